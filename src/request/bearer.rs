//! The access token of a request (RFC 6750 2.1), where its path takes one.

use super::{Bearings, Route};
use crate::policy::ways;
use http::{HeaderMap, header};

/// What `Authorization` holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown<'a> {
    /// One token, as far as its form goes.
    Token(&'a str),
    /// Meant to be a token, and none: no other way in is tried then.
    Malformed,
}

/// The token of a request whose path accepts tokens. `None`: it is decided by the cookie, and `Authorization` is the application's affair.
pub(super) fn shown<'a>(bearings: &'a Bearings, route: &Route) -> Option<Shown<'a>> {
    let policy = &route.policy;
    // Most policies have no [bearer], and are done here.
    policy.bearer.as_ref()?;
    let shown = token(&bearings.headers)?;
    ways(policy, &bearings.path).bearer.then_some(shown)
}

/// RFC 6750 2.1: one header, `Bearer`, blanks, a `b64token`. Other schemes are not ours.
fn token(headers: &HeaderMap) -> Option<Shown<'_>> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let first = lines.next()?;
    let bearer = |line: &'_ http::HeaderValue| line.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
    if lines.next().is_some() {
        // Which of them counts is what an attacker would like to choose.
        return headers.get_all(header::AUTHORIZATION).iter().any(bearer).then_some(Shown::Malformed);
    }
    if !bearer(first) {
        return None;
    }
    let rest = first.to_str().ok().and_then(|line| line.get(6..)).unwrap_or_default();
    let token = rest.trim_start_matches(' ');
    let well_formed = rest.starts_with(' ')
        && !token.is_empty()
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'='));
    Some(if well_formed { Shown::Token(token) } else { Shown::Malformed })
}

#[cfg(test)]
mod tests {
    use super::{Shown, token};
    use http::{HeaderMap, HeaderValue, header};

    #[test]
    fn one_header_one_scheme_one_token() {
        let check = |lines: &[&'static [u8]], expected: Option<Shown<'_>>| {
            let headers: HeaderMap = lines.iter().map(|line| (header::AUTHORIZATION, HeaderValue::from_bytes(line).unwrap())).collect();
            assert_eq!(token(&headers), expected, "{lines:?}");
        };
        check(&[], None);
        check(&[b"Basic YTpi"], None);
        check(&[b"Basic YTpi", b"Digest x"], None);
        check(&[b"Bearer"], Some(Shown::Malformed));
        check(&[b"Bearer "], Some(Shown::Malformed));
        check(&[b"Bearerx"], Some(Shown::Malformed));
        check(&[b"Bearer a b"], Some(Shown::Malformed));
        check(&[b"Bearer a, Bearer b"], Some(Shown::Malformed));
        check(&[b"Bearer \xff"], Some(Shown::Malformed));
        check(&[b"Bearer a", b"Bearer a"], Some(Shown::Malformed));
        check(&[b"Bearer a", b"Basic b"], Some(Shown::Malformed));
        check(&[b"Bearer a.b.c"], Some(Shown::Token("a.b.c")));
        check(&[b"bEARER  a=="], Some(Shown::Token("a==")));
    }
}
