//! Cookies of a session with an admin API.
//!
//! One jar belongs to one session at one base address, and goes nowhere else: `Domain` and `Path` are not needed to keep it there (RFC 6265 §5.3 in small).

use http::{HeaderMap, header};

const COOKIES_MAX: usize = 64;
const COOKIE_BYTES_MAX: usize = 4096;

/// Name and value, the latest of a name.
#[derive(Default)]
pub(super) struct Jar(Vec<(String, String)>);

impl std::fmt::Debug for Jar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jar({} cookies)", self.0.len())
    }
}

impl Jar {
    /// Takes what an answer sets, and drops what it takes back.
    pub(super) fn note(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE) {
            let Some((name, value, gone)) = line.to_str().ok().filter(|line| line.len() <= COOKIE_BYTES_MAX).and_then(parse) else { continue };
            self.0.retain(|(known, _)| known != name);
            if !gone && self.0.len() < COOKIES_MAX {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// `Cookie`; `None` when there are none.
    pub(super) fn header(&self) -> Option<String> {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// The value of a cookie that an answer sets.
pub(super) fn set_by<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::SET_COOKIE).iter().filter_map(|line| parse(line.to_str().ok()?));
    lines.filter(|(name, _, gone)| *name == wanted && !gone).map(|(_, value, _)| value).fold(None, |_, value| Some(value))
}

/// Name, value, and whether it is taken back.
fn parse(line: &str) -> Option<(&str, &str, bool)> {
    let mut parts = line.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let sound = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}".contains(c));
    let gone = parts.any(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (key.trim(), value.trim());
        let past =
            || httpdate::parse_http_date(value).is_ok_and(|at| at.duration_since(std::time::UNIX_EPOCH).is_ok_and(|age| age.as_secs() < 86_400));
        // An end that is not the beginning of time is bounded by the session's own.
        (key.eq_ignore_ascii_case("max-age") && value.parse::<i64>().is_ok_and(|age| age <= 0)) || (key.eq_ignore_ascii_case("expires") && past())
    });
    sound.then_some((name, value, gone))
}

#[cfg(test)]
mod tests {
    use super::{Jar, set_by};
    use http::{HeaderMap, HeaderValue, header};

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (header::SET_COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn a_jar_forgets_what_is_taken_back_and_keeps_the_latest() {
        let mut jar = Jar::default();
        let mut check = |lines: &[&str], expected: Option<&str>| {
            jar.note(&headers(lines));
            assert_eq!(jar.header().as_deref(), expected, "{lines:?}");
        };
        check(&["no cookie", "=x", "a b=c", "\u{e9}=1"], None);
        check(&["JSESSIONID.1=abc; Path=/; HttpOnly", "csrf=x"], Some("JSESSIONID.1=abc; csrf=x"));
        check(&["csrf=y==; Secure"], Some("JSESSIONID.1=abc; csrf=y=="));
        check(&["csrf=; Max-Age=0"], Some("JSESSIONID.1=abc"));
        check(&["JSESSIONID.1=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], None);
        check(&["late=1; Expires=Wed, 21 Oct 2065 07:28:00 GMT"], Some("late=1"));
    }

    #[test]
    fn a_jar_is_bounded_and_prints_no_cookie() {
        let mut jar = Jar::default();
        let many: Vec<String> = (0..100).map(|n| format!("c{n}=secret")).collect();
        jar.note(&headers(&many.iter().map(String::as_str).collect::<Vec<_>>()));
        jar.note(&headers(&[&format!("big={}", "x".repeat(5000))]));
        assert_eq!(jar.0.len(), 64);
        assert_eq!(format!("{jar:?}"), "Jar(64 cookies)");
        assert_eq!(set_by(&headers(&["a=1", "csrf=2", "csrf=3"]), "csrf"), Some("3"));
    }
}
