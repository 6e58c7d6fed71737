//! Our cookies among a client's.
//!
//! Every cookie whose name begins with the session cookie's name is ours (`__Host-vestibule`, `__Host-vestibule-b`, …): read here, never sent to
//! an app, never set by one (C6).

use crate::state::SecretHash;
use http::{HeaderMap, HeaderValue, header};

/// At most this many cookies of our name are looked at: a planted heap of them costs an attacker's own requests, not the store.
const CANDIDATES_MAX: usize = 4;
/// 256 bits in URL-safe base64 without padding.
const TOKEN_CHARS: usize = 43;

/// Hashes of well-formed session cookies, in order of appearance. Usually one; two of a name (C5: another path, a parent domain) are each tried, and the
/// first that is live counts.
pub fn session_hashes<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = SecretHash> + 'a {
    values(headers, name).filter(|value| is_token(value)).take(CANDIDATES_MAX).map(SecretHash::of)
}

/// Values of the cookie `name`, in order of appearance.
pub fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
    pairs(headers).filter(move |(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
}

/// Whether `value` can be one of our tokens.
pub fn is_token(value: &[u8]) -> bool {
    value.len() == TOKEN_CHARS && value.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// All cookies, name and value, in order of appearance; what has no `=` is none.
pub(super) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|&b| b == b';')).filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|&b| b == b'=')?;
        Some((pair.get(..at)?.trim_ascii(), pair.get(at + 1..)?.trim_ascii()))
    })
}

/// The `Cookie` header for the app: the client's without ours, crumbs joined with `; ` (RFC 9113 8.2.3); `None` when nothing is left.
pub fn without_ours(headers: &HeaderMap, ours: &str) -> Option<HeaderValue> {
    let mut lines = headers.get_all(header::COOKIE).iter();
    let only = lines.next()?;
    if lines.next().is_none() && !contains(only.as_bytes(), ours.as_bytes()) {
        return Some(only.clone());
    }
    let mut kept: Vec<u8> = Vec::with_capacity(only.len());
    for line in headers.get_all(header::COOKIE) {
        for pair in line.as_bytes().split(|&b| b == b';') {
            let pair = pair.trim_ascii();
            if pair.is_empty() || is_ours(pair, ours) {
                continue;
            }
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(pair);
        }
    }
    if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept).ok() }
}

/// Whether a `Set-Cookie` value, or a `name=value` pair, names one of ours. Case is ignored and leading white space skipped, so that no spelling a
/// browser might fold slips through.
pub fn is_ours(pair: &[u8], ours: &str) -> bool {
    // `=__Host-vestibule=…` is a cookie without a name, which old browsers send back as ours.
    let skipped = pair.iter().take_while(|&&b| b == b'=' || b.is_ascii_whitespace()).count();
    let name = pair.get(skipped..).unwrap_or_default();
    name.get(..ours.len()).is_some_and(|start| start.eq_ignore_ascii_case(ours.as_bytes()))
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::{is_ours, session_hashes, without_ours};
    use crate::state::SecretHash;
    use http::{HeaderMap, HeaderValue, header};

    const NAME: &str = "__Host-vestibule";
    const TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn cookies(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, HeaderValue::from_str(line).expect("cookie"))).collect()
    }

    #[test]
    fn c4_malformed_cookies_are_nobody() {
        for line in [
            "",
            "=",
            ";;;",
            "__Host-vestibule",
            "__Host-vestibule=",
            "__Host-vestibule=short",
            "__Host-vestibule=%00",
            "other=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "__host-VESTIBULE=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(session_hashes(&cookies(&[line]), NAME).count(), 0, "{line:?}");
        }
        let huge = format!("{NAME}={}", "A".repeat(60_000));
        assert_eq!(session_hashes(&cookies(&[&huge]), NAME).count(), 0);
    }

    #[test]
    fn c5_two_cookies_of_the_name_are_each_tried_and_no_more_than_four() {
        let two = cookies(&[&format!("{NAME}={TOKEN}; {NAME}={}", TOKEN.replace('A', "B"))]);
        let hashes: Vec<_> = session_hashes(&two, NAME).collect();
        assert_eq!(hashes, [SecretHash::of(TOKEN.as_bytes()), SecretHash::of(TOKEN.replace('A', "B").as_bytes())]);
        let heap = cookies(&[&vec![format!("{NAME}={TOKEN}"); 50].join("; ")]);
        assert_eq!(session_hashes(&heap, NAME).count(), 4);
    }

    #[test]
    fn c6_our_cookies_never_reach_the_app() {
        let check = |lines: &[&str], expected: Option<&str>| {
            let left = without_ours(&cookies(lines), NAME);
            assert_eq!(left.as_ref().map(|value| value.to_str().expect("ascii")), expected, "{lines:?}");
        };
        check(&[&format!("{NAME}={TOKEN}")], None);
        check(&[&format!("a=1; {NAME}={TOKEN}; b=2")], Some("a=1; b=2"));
        check(&[&format!("{NAME}-b={TOKEN};c=3")], Some("c=3"));
        check(&["a=1", &format!("__HOST-Vestibule={TOKEN}"), "b=2"], Some("a=1; b=2"));
        check(&["a=1; b=2"], Some("a=1; b=2"));
        check(&[], None);
    }

    #[test]
    fn c6_the_app_cannot_name_our_cookies() {
        for ours in ["__Host-vestibule=x; Path=/", " __host-vestibule=; Max-Age=0", "=__Host-vestibule=x; Path=/", "__Host-vestibule-b=x"] {
            assert!(is_ours(ours.as_bytes(), NAME), "{ours}");
        }
        assert!(!is_ours(b"session=__Host-vestibule", NAME));
    }
}
