//! Which kind of answer a requester can use.

use crate::pages::RequestKind;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Tells the kind from method and headers (operators.md 5.1). `Sec-Fetch-Mode` is sent by all current browsers to https and localhost, and page
/// script cannot forge it; the other tests cover the rest. When in doubt, the answer is *API*: only navigations may start a sign-in.
pub fn kind_of(method: &Method, headers: &HeaderMap) -> RequestKind {
    let safe = matches!(*method, Method::GET | Method::HEAD);
    let navigation = if safe { RequestKind::Page } else { RequestKind::Form };
    if is_websocket(headers) {
        return RequestKind::Socket;
    }
    if let Some(mode) = headers.get(FETCH_MODE) {
        return if mode == "navigate" { navigation } else { RequestKind::Api };
    }
    if headers.contains_key(REQUESTED_WITH) {
        return RequestKind::Api;
    }
    let html = headers.get_all(header::ACCEPT).iter().any(|accept| contains(accept, b"text/html"));
    if html { navigation } else { RequestKind::Api }
}

/// Whether this is a WebSocket handshake (RFC 6455 4.1: `Upgrade: websocket`, any case).
fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Whether a page of another origin sent this. Browsers let any page open a WebSocket to any host, cookies included, and leave it to the server to look at
/// `Origin` (RFC 6455 10.2: cross-site WebSocket hijacking). `authority` is the host as the client wrote it, with its port. Programs send no `Origin`.
pub(super) fn is_foreign(headers: &HeaderMap, scheme: &str, authority: &HeaderValue) -> bool {
    let port: &[u8] = if scheme == "https" { b":443" } else { b":80" };
    let bare = |authority: &[u8]| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
    headers.get_all(header::ORIGIN).iter().any(|origin| {
        let theirs = origin.as_bytes().strip_prefix(scheme.as_bytes()).and_then(|rest| rest.strip_prefix(b"://"));
        theirs.is_none_or(|theirs| bare(theirs) != bare(authority.as_bytes()))
    })
}

fn contains(value: &HeaderValue, needle: &[u8]) -> bool {
    value.as_bytes().windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::kind_of;
    use crate::pages::RequestKind::{self, Api, Form, Page, Socket};
    use http::{HeaderMap, HeaderName, HeaderValue, Method};

    #[test]
    fn only_navigations_are_pages() {
        let check = |method: Method, headers: &[(&'static str, &'static str)], expected: RequestKind| {
            let map: HeaderMap = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
            assert_eq!(kind_of(&method, &map), expected, "{method} {headers:?}");
        };
        check(Method::GET, &[], Api);
        check(Method::GET, &[("accept", "*/*")], Api);
        check(Method::GET, &[("accept", "application/json")], Api);
        check(Method::GET, &[("sec-fetch-mode", "cors"), ("accept", "text/html")], Api);
        check(Method::GET, &[("sec-fetch-mode", "no-cors")], Api);
        check(Method::GET, &[("x-requested-with", "XMLHttpRequest"), ("accept", "text/html")], Api);
        check(Method::POST, &[("sec-fetch-mode", "same-origin")], Api);
        check(Method::POST, &[("sec-fetch-mode", "navigate")], Form);
        check(Method::POST, &[("accept", "text/html,application/xhtml+xml")], Form);
        check(Method::GET, &[("upgrade", "WebSocket"), ("sec-fetch-mode", "websocket")], Socket);
        check(Method::GET, &[("sec-fetch-mode", "navigate")], Page);
        check(Method::HEAD, &[("accept", "text/HTML")], Page);
    }
}
