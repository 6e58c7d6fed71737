//! Where a person goes back to: a path and query of the same host, and nothing else, as a browser would understand it.
//!
//! Pure. The one parser for every `to` and `return_to`; a value of type [`ReturnTo`] cannot lead off the host (promises.md, Redirects; attacks.md C12).

use std::fmt;
use url::Url;

/// A `Location` longer than this is cut off somewhere on the way.
const BYTES_MAX: usize = 6 * 1024;
/// Our own pages that may be gone back to; the others would sign out, or begin again.
const OWN: [&str; 2] = ["/.vestibule/signed-in", "/.vestibule/whoami"];

/// A path and query, local to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The front page.
    pub fn front() -> Self {
        Self("/".to_owned())
    }

    /// `written`, when it is local beyond doubt; else the front page.
    pub fn parse(written: &str) -> Self {
        local(written).unwrap_or_else(Self::front)
    }

    /// The path and query; begins with exactly one `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn local(written: &str) -> Option<ReturnTo> {
    // Visible ASCII only: browsers strip tabs and line ends before they parse, and trim white space. A backslash is a slash to them.
    if written.len() > BYTES_MAX || !written.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return None;
    }
    let written = written.split_once('#').map_or(written, |(before, _fragment)| before);
    let path = written.split_once('?').map_or(written, |(path, _query)| path);
    // One slash and no second: `//host` and `/\host` are addresses of other hosts. An encoded one, or encoded white space in its place, is
    // what the next decoder down the line makes it.
    let mut rest = path.strip_prefix('/')?.to_ascii_lowercase();
    while let Some(byte) = encoded_first(&rest) {
        if byte <= b' ' || matches!(byte, b'/' | b'\\' | 0x7f) {
            return None;
        }
        rest = rest.get(3..).unwrap_or_default().to_owned();
    }
    let lower = path.to_ascii_lowercase();
    let hidden = ["%5c", "%00", "%09", "%0a", "%0d"].iter().any(|hidden| lower.contains(hidden));
    if rest.starts_with('/') || hidden {
        return None;
    }
    // The browser's own parser has the last word: same host, and the path it would ask for is the one written here (no dot segments).
    let base = Url::parse("https://host.invalid/").ok()?;
    let understood = base.join(written).ok()?;
    let same = understood.origin() == base.origin() && understood.username().is_empty() && understood.password().is_none();
    let ours = lower.starts_with("/.vestibule") && !OWN.contains(&path);
    (same && understood.path() == path && !ours).then(|| ReturnTo(written.to_owned()))
}

/// The byte behind a percent-encoding at the very start.
fn encoded_first(text: &str) -> Option<u8> {
    u8::from_str_radix(text.strip_prefix('%')?.get(..2)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::ReturnTo;

    #[test]
    fn c12_whatever_could_leave_the_host_goes_to_the_front_page() {
        for written in [
            "",
            "https://evil.example",
            "http:evil.example",
            "https:/evil.example",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "\\\\evil.example",
            "/%5cevil.example",
            "/%5C%5Cevil.example",
            "/%2f/evil.example",
            "/%2Fevil.example",
            "/%09/evil.example",
            "/%0a/evil.example",
            "/%0d%0aLocation:%20x",
            "/%20/evil.example",
            "/%20//evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\u{0}/evil.example",
            " //evil.example",
            "/ /evil.example",
            "/.//evil.example",
            "/..//evil.example",
            "/a/..//evil.example",
            "/%2e%2e//evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "evil.example",
            "@evil.example",
            "?x=1",
            "#x",
            "/a\r\nSet-Cookie: x=y",
            "/ünïcode",
            "/.vestibule/logout",
            "/.vestibule/login?to=/x",
            "/.vestibule/callback?code=x",
            "/.VESTIBULE/login",
        ] {
            assert_eq!(ReturnTo::parse(written).as_str(), "/", "{written:?}");
        }
        assert_eq!(ReturnTo::parse(&format!("/{}", "a".repeat(7000))).as_str(), "/");
    }

    #[test]
    fn deep_links_and_queries_survive_byte_for_byte() {
        for written in [
            "/",
            "/issues/42?tab=history&q=a%20b%2Fc",
            "/wiki/My%20Page",
            "/z%C3%BCrich/%E2%82%AC?x=%0A",
            "/a//b",
            "/search?u=https://example.com//x",
            "/~ada/:x;v=1,2/@me/a=b",
            "/.well-known/x",
            "/.vestibule/signed-in",
            "/.vestibule/whoami",
        ] {
            assert_eq!(ReturnTo::parse(written).as_str(), written);
        }
        assert_eq!(ReturnTo::parse("/a?b#c").as_str(), "/a?b");
    }
}
