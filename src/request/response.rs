//! The way back: what an application may tell a client.

use super::app_cookies::{CookieOwner, from_app};
use super::cookies;
use super::upstream::{Listed, hop_by_hop};
use http::{HeaderMap, HeaderName, HeaderValue, header};

const INCIDENT: &str = "x-vestibule-incident";
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Takes out of an application's answer what is not for the client: hop-by-hop headers, cookies that bear our names (C6: an app can neither set
/// nor delete them, `Clear-Site-Data` included), and headers that only we may send; and says whose the app's own cookies are. An answer that needs no change
/// is looked through once and left alone.
pub fn clean_response(headers: &mut HeaderMap, our_cookies: &str, owner: &CookieOwner) {
    if !headers.keys().any(needs_care) && !owner.is_owed() {
        return;
    }
    let listed = Listed::of(headers);
    let listed: Vec<HeaderName> = headers.keys().filter(|name| listed.names(name) && !is_never_listed(name)).cloned().collect();
    for name in listed {
        headers.remove(name);
    }
    // Nearly always one: `Connection: keep-alive`.
    while let Some(name) = headers.keys().find(|name| hop_by_hop(name) || name.as_str() == INCIDENT).cloned() {
        headers.remove(name);
    }
    keep_our_cookies(headers, our_cookies);
    from_app(headers, owner);
}

/// Whether an answer cannot do without it, whatever its `Connection` says.
fn is_never_listed(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH || *name == header::SET_COOKIE
}

fn needs_care(name: &HeaderName) -> bool {
    hop_by_hop(name) || *name == header::SET_COOKIE || matches!(name.as_str(), "clear-site-data" | INCIDENT)
}

fn keep_our_cookies(headers: &mut HeaderMap, ours: &str) {
    if headers.get_all(header::SET_COOKIE).iter().any(|cookie| cookies::is_ours(cookie.as_bytes(), ours)) {
        let theirs: Vec<HeaderValue> =
            headers.get_all(header::SET_COOKIE).iter().filter(|cookie| !cookies::is_ours(cookie.as_bytes(), ours)).cloned().collect();
        headers.remove(header::SET_COOKIE);
        for cookie in theirs {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
    if headers.contains_key(CLEAR_SITE_DATA) {
        let directives: Vec<HeaderValue> = headers.get_all(CLEAR_SITE_DATA).iter().cloned().collect();
        headers.remove(CLEAR_SITE_DATA);
        for line in directives {
            let kept: Vec<&[u8]> =
                line.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|d| !matches!(*d, b"\"cookies\"" | b"\"*\"")).collect();
            if !kept.is_empty()
                && let Ok(value) = HeaderValue::from_bytes(&kept.join(&b", "[..]))
            {
                headers.append(CLEAR_SITE_DATA, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::clean_response;
    use crate::request::app_cookies::CookieOwner;
    use http::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn c6_the_app_can_neither_set_nor_delete_our_cookies() {
        let check = |given: &[(&str, &str)], expected: &[(&str, &str)]| {
            let map = |list: &[(&str, &str)]| -> HeaderMap {
                list.iter().map(|(n, v)| (n.parse::<HeaderName>().expect("name"), HeaderValue::from_str(v).expect("value"))).collect()
            };
            let mut headers = map(given);
            clean_response(&mut headers, "__Host-vestibule", &CookieOwner::Unbound);
            assert_eq!(headers, map(expected), "{given:?}");
        };
        check(&[("set-cookie", "__Host-vestibule=x; Path=/"), ("set-cookie", "a=1")], &[("set-cookie", "a=1")]);
        check(&[("set-cookie", " __HOST-VESTIBULE-b=; Max-Age=0")], &[]);
        check(&[("clear-site-data", "\"cache\", \"cookies\"")], &[("clear-site-data", "\"cache\"")]);
        check(&[("clear-site-data", "\"*\"")], &[]);
        check(&[("connection", "close, x-secret"), ("x-secret", "1"), ("content-type", "a/b")], &[("content-type", "a/b")]);
        check(
            &[("connection", "set-cookie, content-length"), ("set-cookie", "a=1"), ("content-length", "3")],
            &[("set-cookie", "a=1"), ("content-length", "3")],
        );
        check(&[("transfer-encoding", "chunked"), ("keep-alive", "timeout=5"), ("x-vestibule-incident", "FAKE")], &[]);
    }
}
