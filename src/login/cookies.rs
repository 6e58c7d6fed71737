//! Our cookies: their names, reading them, setting and clearing them.
//!
//! Lives here so that no attribute is forgotten in one place: `HttpOnly`, `Secure`, `Path=/`, no `Domain` (attacks.md C1). A name that comes
//! twice with different values is nobody's (C5): which of the two is ours cannot be told.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Characters of 256 random bits in base64url.
const TOKEN_CHARS: usize = 43;

/// Names and attributes of our cookies on every host.
#[derive(Debug, Clone)]
pub(super) struct Cookies {
    session: String,
    same_site: &'static str,
    secure: bool,
}

/// Which of our cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The sign-on on the auth host, the app session on an app's host.
    Session,
    /// Binds a sign-in under way to this browser; one, however many tabs.
    Binding,
    /// The provider last used, on the auth host.
    LastIdp,
}

impl Cookies {
    /// `name` is `[session] cookie`. Without TLS the prefixes that browsers keep for it are left out.
    pub(super) fn new(name: &str, same_site: &'static str, secure: bool) -> Self {
        let plain = name.strip_prefix("__Host-").or_else(|| name.strip_prefix("__Secure-")).unwrap_or(name);
        Self { session: if secure { name } else { plain }.to_owned(), same_site, secure }
    }

    fn name(&self, kind: Kind) -> String {
        match kind {
            Kind::Session => self.session.clone(),
            Kind::Binding => format!("{}-b", self.session),
            Kind::LastIdp => format!("{}-idp", self.session),
        }
    }

    /// The value of a cookie, when the browser shows exactly one.
    pub(super) fn read(&self, headers: &HeaderMap, kind: Kind) -> Option<String> {
        let name = self.name(kind);
        let mut found: Option<&[u8]> = None;
        // Bytes, not text: another application's cookie beside ours may hold anything.
        for pair in headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')) {
            let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = pair.split_at(equals);
            if key.trim_ascii() != name.as_bytes() {
                continue;
            }
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if found.is_some_and(|other| other != value) {
                return None;
            }
            found = Some(value);
        }
        std::str::from_utf8(found?).ok().map(str::to_owned)
    }

    /// As [`Self::read`], when the value is one of our 256-bit tokens by its looks.
    pub(super) fn read_token(&self, headers: &HeaderMap, kind: Kind) -> Option<String> {
        self.read(headers, kind).filter(|value| is_token(value))
    }

    /// `Set-Cookie` for `max_age_s` seconds.
    pub(super) fn set(&self, kind: Kind, value: &str, max_age_s: i64) -> Option<HeaderValue> {
        let same_site = if kind == Kind::Session { self.same_site } else { "Lax" };
        self.line(kind, value, max_age_s, same_site)
    }

    /// As [`Self::set`] with `SameSite=Lax` whatever is configured: providers send browsers back to the auth host from another site.
    pub(super) fn set_lax(&self, kind: Kind, value: &str, max_age_s: i64) -> Option<HeaderValue> {
        self.line(kind, value, max_age_s, "Lax")
    }

    /// The token that a `Set-Cookie` of ours sets.
    pub(super) fn value_set(&self, line: &HeaderValue, kind: Kind) -> Option<String> {
        let (name, rest) = line.to_str().ok()?.split_once('=')?;
        let value = rest.split(';').next().unwrap_or_default();
        (name == self.name(kind) && is_token(value)).then(|| value.to_owned())
    }

    /// `Set-Cookie` that takes a cookie away.
    pub(super) fn clear(&self, kind: Kind) -> Option<HeaderValue> {
        self.set(kind, "", 0)
    }

    fn line(&self, kind: Kind, value: &str, max_age_s: i64, same_site: &str) -> Option<HeaderValue> {
        let secure = if self.secure { " Secure;" } else { "" };
        let line = format!("{}={value}; Max-Age={}; Path=/; HttpOnly;{secure} SameSite={same_site}", self.name(kind), max_age_s.max(0));
        let mut line = HeaderValue::try_from(line).ok()?;
        line.set_sensitive(true);
        Some(line)
    }
}

/// Whether `text` has the form of a token of ours: 43 characters of base64url.
pub(super) fn is_token(text: &str) -> bool {
    text.len() == TOKEN_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::{Cookies, Kind};
    use http::{HeaderMap, HeaderValue};

    #[test]
    fn c1_no_attribute_is_missing_and_demo_cookies_have_names_that_browsers_take() {
        let check = |secure: bool, expected: &str| {
            let cookies = Cookies::new("__Host-vestibule", "Strict", secure);
            assert_eq!(cookies.set(Kind::Session, "v", 60).unwrap(), expected);
        };
        check(true, "__Host-vestibule=v; Max-Age=60; Path=/; HttpOnly; Secure; SameSite=Strict");
        check(false, "vestibule=v; Max-Age=60; Path=/; HttpOnly; SameSite=Strict");
        let cookies = Cookies::new("__Host-vestibule", "Strict", true);
        assert_eq!(cookies.set(Kind::Binding, "v", 60).unwrap(), "__Host-vestibule-b=v; Max-Age=60; Path=/; HttpOnly; Secure; SameSite=Lax");
        assert_eq!(cookies.clear(Kind::Session).unwrap(), "__Host-vestibule=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Strict");
    }

    #[test]
    fn c5_two_cookies_of_the_name_are_none_and_odd_lines_harm_nobody() {
        let cookies = Cookies::new("__Host-vestibule", "Lax", true);
        let check = |lines: &[&[u8]], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("cookie", HeaderValue::from_bytes(line).unwrap());
            }
            assert_eq!(cookies.read(&headers, Kind::Session).as_deref(), expected, "{lines:?}");
        };
        check(&[], None);
        check(&[b""], None);
        check(&[b"=;;; =x; __Host-vestibule"], None);
        check(&[b"__host-vestibule=a"], None);
        check(&[b"__Host-vestibule-b=a"], None);
        check(&[b"__Host-vestibule=a; __Host-vestibule=b"], None);
        check(&[b"__Host-vestibule=a", b"__Host-vestibule=b"], None);
        check(&[b"__Host-vestibule=\xff"], None);
        check(&[b"\xff\xfe=\xff; x=1; __Host-vestibule=a"], Some("a"));
        check(&[b"__Host-vestibule=a; __Host-vestibule=a"], Some("a"));
    }
}
