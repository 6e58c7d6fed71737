//! The door of the whole gateway: listeners, handshakes, which host a request is for, and how it stops.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use crate::whole::{APP, AUTH, Person, Tls, WIKI, Whole, Wire, get, leaf, policy, within};
use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{HandshakeKind, ProtocolVersion};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const SHOP: &str = "shop.other.test";

/// Which certificate is shown for a name.
async fn shown(whole: &Whole, name: &str) -> CertificateDer<'static> {
    let stream = whole.street().tls(Tls::for_name(name)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t4_certificates_are_chosen_by_name_and_the_first_is_for_the_rest() {
    let whole = Whole::new().await;
    for name in [APP, AUTH, "APP.vestibule.test"] {
        assert_eq!(shown(&whole, name).await, leaf("vestibule.test.pem"), "{name}");
    }
    assert_eq!(shown(&whole, SHOP).await, leaf("other.test.pem"));
    for stranger in ["stranger.example", "a.b.vestibule.test", "127.0.0.1"] {
        assert_eq!(shown(&whole, stranger).await, leaf("vestibule.test.pem"), "{stranger}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t4_no_name_means_that_the_host_decides_and_an_unknown_one_is_nobody() {
    let whole = Whole::new().await;
    let without_name = whole.ask("127.0.0.1", get(&Person::default(), APP, "/public", "")).await;
    assert_eq!(without_name.status(), 200, "RFC 6066 3: a client may leave the name out");
    let unknown = whole.ask("stranger.example", get(&Person::default(), "stranger.example", "/public", "")).await;
    assert_eq!(unknown.status(), 404);
    let other = whole.ask("stranger.example", get(&Person::default(), APP, "/public", "")).await;
    assert_eq!(other.status(), 421);
    assert_eq!(whole.app.take().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t4_protocols_are_agreed_on_by_alpn_and_nonsense_is_refused() {
    let whole = Whole::new().await;
    for (offered, agreed) in [
        (&[b"h2".as_slice(), b"http/1.1"] as &[&[u8]], Some(b"h2".as_slice())),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[b"spdy/3", b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = whole.street().tls(Tls { alpn: offered, ..Tls::for_name(APP) }).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
        if agreed != Some(b"h2") {
            let mut wire = Wire::new(stream);
            wire.send(get(&Person::default(), APP, "/public", "")).await;
            assert_eq!(wire.answer(false).await.status(), 200, "{offered:?}");
        }
    }
    let refused = whole.street().tls(Tls { alpn: &[b"gopher"], ..Tls::for_name(APP) }).await;
    assert!(refused.is_err(), "RFC 7301 3.2: no_application_protocol");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_2_and_1_3_are_served_and_early_data_is_not() {
    let whole = Whole::new().await;
    for (version, expected) in [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)] {
        let stream = whole.street().tls(Tls { versions: &[version], ..Tls::for_name(APP) }).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
        let mut wire = Wire::new(stream);
        wire.send(get(&Person::default(), APP, "/public", "")).await;
        assert_eq!(wire.answer(false).await.status(), 200);
    }
    // T8, RFC 8470: a client that would send early data is not offered to, on its first connection or on a resumed one.
    let mut config = Tls::for_name(APP).config();
    config.enable_early_data = true;
    let connector = TlsConnector::from(Arc::new(config));
    for resumed in [false, true] {
        let tcp = TcpStream::connect(whole.at).await.unwrap();
        let name = ServerName::try_from(APP).unwrap();
        let mut offered = false;
        let handshake = connector.connect_with(name, tcp, |connection| offered = connection.early_data().is_some());
        let stream = within("a handshake", handshake).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        assert!(!offered && !stream.get_ref().1.is_early_data_accepted());
        assert_eq!(kind, Some(if resumed { HandshakeKind::Resumed } else { HandshakeKind::Full }));
        let mut wire = Wire::new(stream);
        wire.send(get(&Person::default(), APP, "/public", "")).await;
        assert_eq!(wire.answer(false).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_carries_requests_and_bodies_both_ways() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    let mut sender = whole.street().h2(APP).await;
    let cookies = person.cookies(APP);
    let ours = cookies.trim().strip_prefix("Cookie: ").unwrap();
    // H18: cookie crumbs are joined again (RFC 9113 8.2.3).
    let request = Request::post(format!("https://{APP}/form?a=1"))
        .header("cookie", "a=1")
        .header("cookie", ours)
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(b"name=ada")))
        .unwrap();
    let response = within("an answer", sender.send_request(request)).await.unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    let seen = whole.app.one();
    assert_eq!((seen.line().as_str(), seen.text().as_str()), ("POST /form?a=1 HTTP/1.1", "name=ada"));
    assert_eq!(seen.all("cookie"), ["a=1; b=2"]);
    assert_eq!(seen.all("host"), [APP]);
    assert_eq!(seen.all("te"), [""; 0]);
    assert_eq!(seen.all("x-remote-user"), ["ada@example.com"]);
    assert_eq!(seen.all("content-length"), ["8"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h11_a_host_other_than_the_name_of_the_connection_is_421_in_both_protocols() {
    let whole = Whole::new().await;
    let person = whole.sign_in(WIKI).await;
    let answer = whole.ask(APP, get(&person, WIKI, "/", "")).await;
    assert_eq!(answer.status(), 421, "{answer:?}");
    let mut sender = whole.street().h2(APP).await;
    // Connections are coalesced by browsers when the certificate fits both hosts, as here.
    for (host, expected) in [(WIKI, StatusCode::MISDIRECTED_REQUEST), (AUTH, StatusCode::MISDIRECTED_REQUEST), (APP, StatusCode::OK)] {
        let request = Request::get(format!("https://{host}/public")).body(Full::default()).unwrap();
        assert_eq!(within("an answer", sender.send_request(request)).await.unwrap().status(), expected, "{host}");
    }
    assert_eq!(whole.app.one().get("host").as_deref(), Some(APP));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h11_no_host_two_hosts_and_odd_hosts_are_400() {
    let whole = Whole::new().await;
    for (request, expected) in [
        ("GET /public HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("GET /public HTTP/1.1\r\nHost: {APP}\r\nHost: {APP}\r\n\r\n"), 400),
        (format!("GET /public HTTP/1.1\r\nHost: {APP}\r\nHost: {WIKI}\r\n\r\n"), 400),
        (format!("GET /public HTTP/1.1\r\nHost: ada@{APP}\r\n\r\n"), 400),
        (format!("GET /public HTTP/1.1\r\nHost: {APP}:x\r\n\r\n"), 400),
        (format!("GET /public HTTP/1.1\r\nHost: {APP} {WIKI}\r\n\r\n"), 400),
        ("GET /public HTTP/1.1\r\nHost: \r\n\r\n".to_owned(), 400),
        (format!("GET https://{WIKI}/public HTTP/1.1\r\nHost: {APP}\r\n\r\n"), 400),
        (format!("GET https://ada@{APP}/public HTTP/1.1\r\nHost: {APP}\r\n\r\n"), 400),
        (format!("GET /public HTTP/1.1\r\nHost: {APP}:8443\r\n\r\n"), 200),
        (format!("GET /public HTTP/1.1\r\nHost: {APP}.\r\n\r\n"), 200),
        (format!("GET https://{APP}/public HTTP/1.1\r\nHost: {APP}\r\n\r\n"), 200),
    ] {
        let answer = whole.ask(APP, &request).await;
        assert_eq!(answer.status(), expected, "{request}{answer:?}");
        let reached = whole.app.take();
        assert_eq!(reached.len(), usize::from(expected == 200), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h9_connect_and_trace_are_refused() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    let cookies = person.cookies(APP);
    for request in
        [format!("TRACE / HTTP/1.1\r\nHost: {APP}\r\n{cookies}\r\n"), format!("CONNECT {APP}:443 HTTP/1.1\r\nHost: {APP}:443\r\n{cookies}\r\n")]
    {
        assert_eq!(whole.ask(APP, &request).await.status(), 405, "{request}");
    }
    assert!(whole.app.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h12_a_head_that_is_not_one_is_refused_and_never_forwarded() {
    let whole = Whole::new().await;
    let base = format!("GET /public HTTP/1.1\r\nHost: {APP}\r\n");
    let lines = (0..2000).fold(String::new(), |all, n| format!("{all}X-{n}: 1\r\n"));
    let check = async |bytes: &[u8], expected: &[u16]| {
        let mut wire = whole.connect(APP).await;
        wire.send(bytes).await;
        let status = wire.head().await.map(|answer| answer.status());
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        assert!(status.is_none_or(|status| expected.contains(&status)), "{status:?} {shown}");
    };
    check(format!("{base}X: a\0b\r\n\r\n").as_bytes(), &[400]).await;
    check(format!("{base}X: a\rb\r\n\r\n").as_bytes(), &[400]).await;
    check(format!("{base}X: a\r\n folded\r\n\r\n").as_bytes(), &[400]).await;
    check(format!("{base}X : a\r\n\r\n").as_bytes(), &[400]).await;
    check(format!("{base}X\r\n\r\n").as_bytes(), &[400]).await;
    check(format!("{base}X Y: a\r\n\r\n").as_bytes(), &[400]).await;
    check(format!("{base}{lines}\r\n").as_bytes(), &[431]).await;
    check(format!("{base}X: {}\r\n\r\n", "a".repeat(4 << 20)).as_bytes(), &[431]).await;
    check(format!("GET /{} HTTP/1.1\r\nHost: {APP}\r\n\r\n", "a".repeat(70_000)).as_bytes(), &[414, 431, 400]).await;
    check(b"\x16\x03\x01 not http\r\n\r\n", &[400]).await;
    assert!(whole.app.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_host_is_404_and_a_policy_that_never_loaded_503() {
    let whole = Whole::new().await;
    for (host, expected) in [("nobody.vestibule.test", 404), ("broken.vestibule.test", 503), ("vestibule.test", 404)] {
        let answer = whole.ask(host, get(&Person::default(), host, "/", "Accept: text/html\r\n")).await;
        assert_eq!(answer.status(), expected, "{host}");
        assert_eq!(answer.get("retry-after").is_some(), expected == 503);
    }
    assert_eq!(whole.app.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reserved_prefix_never_reaches_the_application() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    for path in [
        "/.vestibule",
        "/.vestibule/",
        "/.Vestibule/x",
        "/.VESTIBULE/login/x",
        "/%2evestibule/x",
        "/.vestibul%65/x",
        "/.vestibule;a/x",
        "/.vestibule/none",
    ] {
        for answer in [whole.get(&person, APP, path).await, whole.get(&Person::default(), APP, path).await] {
            assert_eq!(answer.status(), 404, "{path}: {answer:?}");
        }
    }
    let post = format!("POST /.vestibule/none HTTP/1.1\r\nHost: {APP}\r\n{}Content-Length: 2\r\n\r\nab", person.cookies(APP));
    assert_eq!(whole.ask(APP, post).await.status(), 404);
    assert_eq!(whole.app.connections(), 0, "not even a connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t8_the_plain_listener_only_redirects() {
    let whole = Whole::new().await;
    let at = whole.running.redirecting[0];
    let check = async |request: String, status: u16, location: Option<&str>| {
        let mut wire = Wire::new(TcpStream::connect(at).await.unwrap());
        wire.send(&request).await;
        let answer = wire.answer(false).await;
        assert_eq!((answer.status(), answer.get("location").as_deref()), (status, location), "{request}");
        assert_eq!(answer.get("set-cookie"), None);
    };
    check(format!("GET /a?b=c HTTP/1.1\r\nHost: {APP}\r\n\r\n"), 308, Some("https://app.vestibule.test/a?b=c")).await;
    check(format!("POST / HTTP/1.1\r\nHost: {AUTH}\r\nContent-Length: 3\r\n\r\nabc"), 308, Some("https://auth.vestibule.test/")).await;
    check("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".into(), 404, None).await;
    check(format!("GET //evil.example/ HTTP/1.1\r\nHost: {APP}\r\n\r\n"), 308, Some("https://app.vestibule.test//evil.example/")).await;
    assert_eq!(whole.app.connections(), 0);
    let hsts = whole.get(&Person::default(), APP, "/").await.get("strict-transport-security");
    assert_eq!(hsts.as_deref(), Some("max-age=31536000"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ipv6_is_served_beside_ipv4() {
    let v6 = "[::1]:0".parse().unwrap();
    let whole = Whole::with(|app| vec![("app", policy(APP, app))], |gateway| gateway.server.listen.push(v6)).await;
    let mut street = whole.street();
    street.at = whole.running.serving[1];
    assert!(street.at.is_ipv6());
    assert_eq!(street.ask(APP, get(&Person::default(), APP, "/public", "")).await.status(), 200);
    assert_eq!(whole.app.one().get("x-forwarded-for").as_deref(), Some("::1"));
    assert_eq!(whole.ask(APP, get(&Person::default(), APP, "/public", "")).await.status(), 200);
    assert_eq!(whole.app.one().get("x-forwarded-for").as_deref(), Some("127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_stalls_hurts_nobody_else() {
    let whole = Whole::new().await;
    let mut stalled = Vec::new();
    for bytes in [b"".as_slice(), b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut wire = Wire::new(TcpStream::connect(whole.at).await.unwrap());
        wire.send(bytes).await;
        stalled.push(wire);
    }
    // A head that never ends, beside them.
    let mut half = whole.connect(APP).await;
    half.send(format!("GET /public HTTP/1.1\r\nHost: {APP}\r\n")).await;
    for _ in 0..3 {
        assert_eq!(whole.get(&Person::default(), APP, "/public").await.status(), 200);
    }
    half.send("\r\n").await;
    assert_eq!(half.answer(false).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f7_a_stop_lets_requests_under_way_finish_and_takes_no_more() {
    let whole = Whole::new().await;
    whole.app.by_hand();
    let (mut idle, mut busy) = (whole.connect(APP).await, whole.connect(APP).await);
    let mut h2 = whole.street().h2(APP).await;
    busy.send(get(&Person::default(), APP, "/public/slow", "")).await;
    let (mut upstream, _) = whole.app.accept_request().await;
    let request = Request::get(format!("https://{APP}/public/h2")).body(Full::default()).unwrap();
    let in_h2 = tokio::spawn(async move { h2.send_request(request).await.unwrap() });
    let (mut upstream_of_h2, _) = whole.app.accept_request().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc").await;
    let head = busy.head().await.unwrap();
    assert_eq!(head.status(), 200);
    let (at, redirect, admin) = (whole.at, whole.running.redirecting[0], whole.running.admin.unwrap());
    let stopped = tokio::spawn(whole.running.stop());
    assert!(idle.is_over().await, "an idle connection is closed");
    for address in [at, redirect, admin] {
        // The listener goes in its own time, and then for good.
        within("refusal", async { while TcpStream::connect(address).await.is_ok() {} }).await;
    }
    assert!(!stopped.is_finished());
    upstream.send("def").await;
    assert_eq!(busy.exactly(6).await, b"abcdef");
    assert!(busy.is_over().await);
    upstream_of_h2.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(within("the answer in h2", in_h2).await.unwrap().into_body().collect().await.unwrap().to_bytes(), "ok");
    within("the stop", stopped).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f7_a_request_that_does_not_finish_holds_a_stop_up_for_no_longer_than_the_drain() {
    let whole = Whole::with(|app| vec![("app", policy(APP, app))], |gateway| gateway.server.drain_ms = 300).await;
    whole.app.by_hand();
    let mut busy = whole.connect(APP).await;
    busy.send(get(&Person::default(), APP, "/public/slow", "")).await;
    let (_upstream, _) = whole.app.accept_request().await;
    let begun = std::time::Instant::now();
    within("the stop", whole.running.stop()).await;
    let took = begun.elapsed().as_millis();
    assert!((300..3_000).contains(&took), "{took} ms");
    assert!(busy.is_over().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_policies_stay_apart_on_one_listener() {
    let whole = Whole::with(|app| vec![("app", policy(APP, app)), ("shop", policy(SHOP, app))], |_| {}).await;
    let person = whole.sign_in(SHOP).await;
    assert_eq!(whole.get(&person, SHOP, "/").await.status(), 200);
    let seen = whole.app.one();
    assert_eq!((seen.get("host").as_deref(), seen.get("x-shop-name").as_deref()), (Some(SHOP), Some("Ada Lovelace")));
}
