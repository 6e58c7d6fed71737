//! First stage: a request as it arrived, made unambiguous or refused.

use super::kind::is_foreign;
use super::{Routed, Routes, Stop, Stopped, kind_of};
use crate::config::Bounds;
use crate::fault::{Incident, PublicMessage};
use crate::pages::RequestKind;
use crate::policy::path::{CanonicalPath, EncodedSlashes};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, HeaderValue, Method, Uri, Version, header, request};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// Bounds that hold for every request, and whom to believe.
#[derive(Debug)]
pub struct Limits {
    /// Largest request body, bytes.
    pub body_bytes_max: u64,
    /// Peers whose `X-Forwarded-For` is believed; empty: nobody (CVE-2026-76835: an empty list must not mean everybody).
    pub trusted_proxies: Vec<IpNet>,
    /// Name of the session cookie; every cookie whose name begins with it is ours.
    pub cookie: String,
    /// Sessions end after so long without a request, milliseconds.
    pub idle_ms: i64,
    /// Scheme people's browsers use: `https`, in the demo `http`.
    pub scheme: &'static str,
    /// Connections, and time in which nothing moves.
    pub bounds: Bounds,
}

/// A request with what its connection knows.
#[derive(Debug)]
pub struct Arrival<B> {
    /// Method, target, headers.
    pub head: request::Parts,
    /// Body, not looked at.
    pub body: B,
    /// Announced length of the body; `None` when chunked.
    pub body_bytes: Option<u64>,
    /// Name the TLS connection was opened for, lower case.
    pub sni: Option<Arc<str>>,
    /// The peer's address.
    pub peer: IpAddr,
    /// The same as text, written once per connection.
    pub peer_text: HeaderValue,
    /// Minted for this request.
    pub incident: Incident,
}

/// What later stages and pages need to know of a request; everything but its body. It goes from stage to stage in a box.
#[derive(Debug)]
pub struct Bearings {
    /// Names the request in page, log and audit.
    pub incident: Incident,
    /// What sort of answer the requester can use.
    pub kind: RequestKind,
    /// Whether it is a WebSocket handshake from a page of another origin.
    pub foreign_socket: bool,
    /// Method.
    pub method: Method,
    /// Host asked for, lower case, without port.
    pub host: String,
    /// Host with port as the client wrote it, for `Host` and `X-Forwarded-Host`.
    pub authority: HeaderValue,
    /// Canonical path: these bytes are matched, and these bytes go upstream. It may hold `%2F`: routed only where the policy keeps that.
    pub path: CanonicalPath<'static>,
    /// Canonical path and query as a request target in origin form: what goes upstream.
    pub target: PathAndQuery,
    /// Headers as they came.
    pub headers: HeaderMap,
    /// The client, after `trusted_proxies`.
    pub client: IpAddr,
    /// The same as text, for `X-Forwarded-For`.
    pub client_text: HeaderValue,
    /// Protocol version the client spoke.
    pub version: Version,
    /// Upgrade handle of the connection, where there is one.
    pub extensions: Extensions,
}

impl Bearings {
    /// Canonical path and query, for going back there.
    pub fn path_and_query(&self) -> String {
        self.target.as_str().to_owned()
    }

    /// Query without `?`.
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }
}

/// A request that is one request, for one host, at one path.
#[derive(Debug)]
pub struct RawRequest<B> {
    bearings: Box<Bearings>,
    body: B,
    sni: Option<Arc<str>>,
}

impl<B> RawRequest<B> {
    /// Admits a request, or says what is ambiguous about it.
    ///
    /// # Errors
    /// Stops with [`PublicMessage::BadRequest`] (no or two hosts, absolute form for another host, non-canonical path), [`PublicMessage::MethodRefused`]
    /// (`CONNECT`, `TRACE`), [`PublicMessage::BodyTooLarge`].
    pub fn admit(arrival: Arrival<B>, limits: &Limits) -> Result<Self, Box<Stopped>> {
        let Arrival { head, body, body_bytes, sni, peer, peer_text, incident } = arrival;
        let kind = kind_of(&head.method, &head.headers);
        let stop = |message| Err(Box::new(Stopped::early(incident, kind, message, head.headers.get(header::ACCEPT_LANGUAGE).cloned())));
        // RFC 9110 9.3.6, 9.3.8: neither tunnels nor echoes of credentials through this door.
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return stop(PublicMessage::MethodRefused);
        }
        let Some(authority) = authority(&head.uri, &head.headers) else { return stop(PublicMessage::BadRequest) };
        let Some(host) = authority.to_str().ok().and_then(host_name) else { return stop(PublicMessage::BadRequest) };
        // RFC 9112 3.2.4: `OPTIONS *` asks about the server, and there is nothing to forward it to.
        let raw_path = if head.uri.path().is_empty() { "/" } else { head.uri.path() };
        // Whose policy it is, and what that says of `%2F`, is the next stage's affair.
        let Ok(path) = CanonicalPath::parse_as(raw_path, EncodedSlashes::Keep) else { return stop(PublicMessage::BadRequest) };
        let Some(target) = target(&head.uri, &path) else { return stop(PublicMessage::BadRequest) };
        if body_bytes.is_some_and(|bytes| bytes > limits.body_bytes_max) {
            return stop(PublicMessage::BodyTooLarge);
        }
        let client = client_address(peer, &head.headers, &limits.trusted_proxies);
        let bearings = Box::new(Bearings {
            incident,
            kind,
            foreign_socket: kind == RequestKind::Socket && is_foreign(&head.headers, limits.scheme, &authority),
            method: head.method,
            host,
            authority,
            path: path.into_owned(),
            target,
            headers: head.headers,
            client,
            client_text: if client == peer { peer_text } else { address_text(client) },
            version: head.version,
            extensions: head.extensions,
        });
        Ok(Self { bearings, body, sni })
    }

    /// Finds the policy for the host.
    ///
    /// # Errors
    /// Stops with [`PublicMessage::NoSuchHost`], [`PublicMessage::Misdirected`] or [`PublicMessage::AppUnavailable`].
    pub fn route(self, routes: &Routes) -> Result<Routed<B>, Box<Stopped>> {
        // RFC 9110 7.4: a connection opened for one name must not be used to reach another; 421 lets the client open the right one.
        if self.sni.as_ref().is_some_and(|sni| **sni != *self.bearings.host) {
            return Err(Box::new(Stopped::new(self.bearings, None, None, Stop::Say(PublicMessage::Misdirected))));
        }
        Routed::find(self.bearings, self.body, routes)
    }
}

/// An address as a header value.
pub fn address_text(address: IpAddr) -> HeaderValue {
    // Digits, dots, colons and hex letters are always a valid header value.
    HeaderValue::from_str(&address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// The request target that goes upstream: the client's own bytes when its path was canonical already, else built from the canonical path. The query is never touched.
fn target(uri: &Uri, path: &CanonicalPath<'_>) -> Option<PathAndQuery> {
    if let Some(as_sent) = uri.path_and_query().filter(|sent| sent.path() == path.as_str()) {
        return Some(as_sent.clone());
    }
    let built = match uri.query() {
        Some(query) => format!("{}?{query}", path.as_str()),
        None => path.as_str().to_owned(),
    };
    PathAndQuery::from_maybe_shared(Bytes::from(built)).ok()
}

/// The one authority a request is for: `:authority` or absolute form when present, and then `Host`, if any, must agree
/// (RFC 9112 3.2: a server must refuse a request that lacks Host or has more than one).
fn authority(uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return None;
    }
    match (uri.authority(), host) {
        (Some(in_target), Some(in_header)) => in_target.as_str().as_bytes().eq_ignore_ascii_case(in_header.as_bytes()).then(|| in_header.clone()),
        (Some(in_target), None) => HeaderValue::from_str(in_target.as_str()).ok(),
        (None, in_header) => in_header.cloned(),
    }
}

/// Lower-case host of `authority` without port and trailing dot; `None` for userinfo, white space, empty or malformed.
fn host_name(authority: &str) -> Option<String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            inside.parse::<std::net::Ipv6Addr>().ok()?;
            (authority.get(..inside.len() + 2)?, after.strip_prefix(':').or_else(|| after.is_empty().then_some(""))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let name_ok = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    let well_formed = host.starts_with('[') || name_ok(host);
    let port_ok = port.is_empty() || port.parse::<u16>().is_ok();
    let host = host.strip_suffix('.').unwrap_or(host);
    (well_formed && port_ok && !host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// The client's address: the peer's, unless the peer is a trusted proxy; then the right-most `X-Forwarded-For` address that is not one.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if trusted.is_empty() || !is_trusted(&peer) {
        return peer;
    }
    let mut client = peer;
    let values = headers.get_all("x-forwarded-for").iter();
    let listed: Vec<&str> = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).collect();
    for written in listed.iter().rev() {
        let Ok(address) = written.trim().parse::<IpAddr>() else { return client };
        client = address;
        if !is_trusted(&address) {
            return client;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::{authority, client_address, host_name};
    use http::{HeaderMap, HeaderValue, Uri};

    #[test]
    fn h11_a_host_is_one_name_or_nothing() {
        let check = |authority: &str, expected: Option<&str>| assert_eq!(host_name(authority).as_deref(), expected, "{authority:?}");
        for bad in [
            "",
            ":443",
            "user@wiki.example.com",
            "wiki example.com",
            "wiki.example.com:x",
            "wiki.example.com:99999",
            "wiki.example.com/",
            "a,b",
            "[::1",
            "[x]",
            "[::1]x",
            "wiki\t",
            ".",
        ] {
            check(bad, None);
        }
        check("Wiki.Example.COM", Some("wiki.example.com"));
        check("wiki.example.com.:8443", Some("wiki.example.com"));
        check("[::1]:8443", Some("[::1]"));
        check("127.0.0.1:1", Some("127.0.0.1"));
    }

    #[test]
    fn h11_host_missing_twice_or_at_odds_with_the_target_is_refused() {
        let check = |uri: &str, hosts: &[&'static str], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append("host", HeaderValue::from_static(host));
            }
            let uri: Uri = uri.parse().expect("test target");
            assert_eq!(authority(&uri, &headers).as_ref().map(|value| value.to_str().expect("ascii")), expected, "{uri} {hosts:?}");
        };
        check("/", &[], None);
        check("/", &["a.example", "a.example"], None);
        check("http://b.example/", &["a.example"], None);
        check("/", &["a.example"], Some("a.example"));
        check("http://A.example/", &["a.example"], Some("a.example"));
        check("https://a.example/", &[], Some("a.example"));
    }

    #[test]
    fn i8_forwarded_for_counts_only_from_a_trusted_peer() {
        let check = |peer: &str, header: &'static str, trusted: &[&str], expected: &str| {
            let headers: HeaderMap = [(http::HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static(header))].into_iter().collect();
            let trusted: Vec<_> = trusted.iter().map(|net| net.parse().expect("net")).collect();
            let client = client_address(peer.parse().expect("peer"), &headers, &trusted);
            assert_eq!(client.to_string(), expected, "{peer} {header} {trusted:?}");
        };
        check("198.51.100.7", "10.0.0.1", &[], "198.51.100.7");
        check("127.0.0.1", "10.0.0.1", &[], "127.0.0.1");
        check("198.51.100.7", "10.0.0.1", &["10.0.0.0/8"], "198.51.100.7");
        check("10.0.0.9", "1.2.3.4, 203.0.113.5", &["10.0.0.0/8"], "203.0.113.5");
        check("10.0.0.9", "203.0.113.5, 10.0.0.2", &["10.0.0.0/8"], "203.0.113.5");
        check("10.0.0.9", "203.0.113.5, garbage", &["10.0.0.0/8"], "10.0.0.9");
    }
}
