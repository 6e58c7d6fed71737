//! The way to the application and back in the whole gateway: bodies, failures, retries, `WebSocket`s.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::request::sign_out;
use crate::whole::{APP, Answer, Person, Tls, Whole, Wire, get, policy, within};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n";

fn post(person: &Person, path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: {APP}\r\n{}{headers}\r\n", person.cookies(APP))
}

/// A gateway, somebody signed in, and an application that the test plays.
async fn by_hand() -> (Whole, Person) {
    by_hand_with("").await
}

async fn by_hand_with(keys: &str) -> (Whole, Person) {
    let whole = Whole::app(keys, "").await;
    let person = whole.sign_in(APP).await;
    whole.app.by_hand();
    (whole, person)
}

// --- streams ------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h21_every_piece_of_an_answer_arrives_while_the_rest_is_held_back() {
    let (whole, person) = by_hand().await;
    let mut client = whole.connect(APP).await;
    client.send(get(&person, APP, "/events", "Accept: text/event-stream\r\n")).await;
    let (mut upstream, _) = whole.app.accept_request().await;
    upstream.send(CHUNKED).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status(), head.get("content-type").as_deref()), (200, Some("text/event-stream")));
    for event in ["data: 1\n\n", "data: two\n\n", "d"] {
        upstream.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
        assert_eq!(client.chunk().await.unwrap(), event.as_bytes());
    }
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"");
    // The connection to the application is whole, and so is the client's.
    client.send(get(&person, APP, "/next", "")).await;
    assert_eq!(within("the next request", upstream.request()).await.unwrap().line(), "GET /next HTTP/1.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h22_every_piece_of_an_upload_arrives_while_the_rest_is_held_back() {
    let (whole, person) = by_hand().await;
    for (framing, pieces, end) in
        [("Transfer-Encoding: chunked", ["3\r\nabc\r\n", "2\r\nde\r\n"], "0\r\n\r\n"), ("Content-Length: 5", ["abc", "de"], "")]
    {
        let mut client = whole.connect(APP).await;
        client.send(post(&person, "/upload", &format!("{framing}\r\n"))).await;
        let mut upstream = whole.app.accept().await;
        let head = upstream.head().await.unwrap();
        let (name, value) = framing.split_once(": ").unwrap();
        assert_eq!(head.all(&name.to_lowercase()), [value]);
        for piece in pieces {
            client.send(piece).await;
            assert_eq!(upstream.exactly(piece.len()).await, piece.as_bytes());
        }
        client.send(end).await;
        assert_eq!(upstream.exactly(end.len()).await, end.as_bytes());
        upstream.send("HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.answer(false).await.status(), 201);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h22_who_expects_100_continue_gets_it_and_the_body_arrives() {
    let (whole, person) = by_hand().await;
    let mut client = whole.connect(APP).await;
    client.send(post(&person, "/upload", "Content-Length: 5\r\nExpect: 100-continue\r\n")).await;
    let mut upstream = whole.app.accept().await;
    let head = upstream.head().await.unwrap();
    assert_eq!((head.get("expect"), head.get("content-length").as_deref()), (None, Some("5")));
    assert_eq!(client.head().await.unwrap().line(), "HTTP/1.1 100 Continue");
    client.send("hello").await;
    assert_eq!(upstream.exactly(5).await, b"hello");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    // Somebody who may not upload is told so before a byte of the body.
    let mut stranger = whole.connect(APP).await;
    stranger.send(post(&Person::default(), "/upload", "Content-Length: 5\r\nExpect: 100-continue\r\n")).await;
    assert_eq!(stranger.head().await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d3_a_body_over_the_limit_is_refused_or_cut_off() {
    let whole = Whole::with(|app| vec![("app", policy(APP, app))], |gateway| gateway.server.body_bytes_max = 1000).await;
    let person = whole.sign_in(APP).await;
    whole.app.by_hand();
    let declared = whole.ask(APP, post(&person, "/", "Content-Length: 1001\r\n")).await;
    assert_eq!(declared.status(), 413);
    assert_eq!(declared.json()["type"], "https://auth.vestibule.test/problems/body-too-large");
    assert_eq!(whole.app.connections(), 0);
    let mut client = whole.connect(APP).await;
    client.send(post(&person, "/", "Transfer-Encoding: chunked\r\n")).await;
    let mut upstream = whole.app.accept().await;
    upstream.head().await.unwrap();
    client.send(format!("3e8\r\n{}\r\n", "a".repeat(1000))).await;
    assert_eq!(upstream.chunk().await.unwrap().len(), 1000);
    client.send("1\r\nb\r\n0\r\n\r\n").await;
    assert!(upstream.is_over().await, "no byte more, and no end that looks like one");
    assert_eq!(client.answer(false).await.status(), 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h21_a_client_that_goes_away_is_gone_for_the_application_too() {
    let (whole, person) = by_hand().await;
    // While it waits for an answer, in the middle of one, in the middle of an upload.
    let mut client = whole.connect(APP).await;
    client.send(get(&person, APP, "/slow", "")).await;
    let (mut upstream, _) = whole.app.accept_request().await;
    drop(client);
    assert!(upstream.is_over().await);

    let mut client = whole.connect(APP).await;
    client.send(get(&person, APP, "/events", "")).await;
    let (mut upstream, _) = whole.app.accept_request().await;
    upstream.send(format!("{CHUNKED}2\r\nab\r\n")).await;
    client.head().await.unwrap();
    assert_eq!(client.chunk().await.unwrap(), b"ab");
    drop(client);
    assert!(upstream.is_over().await);

    for framing in ["Transfer-Encoding: chunked\r\n", "Content-Length: 100\r\n"] {
        let mut client = whole.connect(APP).await;
        client.send(post(&person, "/upload", framing)).await;
        let mut upstream = whole.app.accept().await;
        upstream.head().await.unwrap();
        client.send("3\r\nabc\r\n").await;
        assert_eq!(upstream.exactly(8).await, b"3\r\nabc\r\n");
        drop(client);
        assert!(upstream.is_over().await, "{framing}");
    }
}

// --- failures -----------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h16_half_an_answer_is_never_taken_for_a_whole_one() {
    let (whole, person) = by_hand().await;
    for half in ["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let mut client = whole.connect(APP).await;
        client.send(get(&person, APP, "/", "")).await;
        let (mut upstream, _) = whole.app.accept_request().await;
        upstream.send(half).await;
        upstream.close().await;
        let answer = client.answer(false).await;
        assert!(!answer.whole, "{half}: {answer:?}");

        let mut h2 = whole.street().h2(APP).await;
        let cookies = person.cookies(APP);
        let request =
            Request::get(format!("https://{APP}/")).header("cookie", cookies.trim().strip_prefix("Cookie: ").unwrap()).body(Full::default());
        let asked = tokio::spawn(async move { h2.send_request(request.unwrap()).await.unwrap().into_body().collect().await.map(|_| ()) });
        let (mut upstream, _) = whole.app.accept_request().await;
        upstream.send(half).await;
        upstream.close().await;
        assert!(within("an end", asked).await.unwrap().is_err(), "{half}");
    }
}

/// What the client gets when the application says `said` on a new connection and closes.
async fn after(whole: &Whole, person: &Person, headers: &str, said: &str) -> Answer {
    let mut client = whole.connect(APP).await;
    client.send(get(person, APP, "/", headers)).await;
    let (mut upstream, _) = whole.app.accept_request().await;
    upstream.send(said).await;
    upstream.close().await;
    client.answer(false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f4_an_application_that_answers_nothing_or_nonsense_is_502() {
    let (whole, person) = by_hand().await;
    for said in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ] {
        let answer = after(&whole, &person, "", said).await;
        assert_eq!(answer.status(), 502, "{said}: {answer:?}");
        // operators.md 5.1: scripts get what scripts understand.
        assert_eq!(answer.get("content-type").as_deref(), Some("application/problem+json"), "{answer:?}");
        assert_eq!(answer.json()["type"], "https://auth.vestibule.test/problems/app-unreachable");
    }
    let page = after(&whole, &person, "Accept: text/html\r\n", "").await;
    assert_eq!((page.status(), page.get("content-type").as_deref()), (502, Some("text/html; charset=utf-8")));
    // Nothing of the inside shows.
    assert!(!page.mentions("127.0.0.1") && !page.mentions(&whole.app.at.port().to_string()), "{page:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f4_an_application_that_is_not_there_is_502_and_one_that_takes_no_connection_504() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let whole = Whole::with(|_| vec![("app", policy(APP, gone))], |_| {}).await;
    assert_eq!(whole.get(&Person::default(), APP, "/public").await.status(), 502);

    // Its queue is full, and nobody takes connections out of it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let at = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(connection)) = tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(at)).await {
        waiting.push(connection);
    }
    let text = policy(APP, at).replacen("[access]", "connect_timeout = \"200ms\"\n[access]", 1);
    let whole = Whole::with(|_| vec![("app", text)], |_| {}).await;
    let answer = whole.get(&Person::default(), APP, "/public").await;
    assert_eq!((answer.status(), answer.get("retry-after").as_deref()), (504, Some("30")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f4_an_application_that_does_not_answer_in_time_is_504_and_holds_nobody_else_up() {
    let (whole, person) = by_hand_with("response_timeout = \"400ms\"\n").await;
    let mut client = whole.connect(APP).await;
    client.send(get(&person, APP, "/slow", "Accept: text/html\r\n")).await;
    let (mut upstream, _) = whole.app.accept_request().await;
    let other = whole.ask(APP, get(&Person::default(), APP, "/.vestibule/jwks", "")).await;
    assert_eq!(other.status(), 200);
    assert_eq!(client.answer(false).await.status(), 504);
    assert!(upstream.is_over().await, "the request is taken back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h22_an_upload_that_moves_may_take_longer_than_the_application_may_think() {
    let (whole, person) = by_hand_with("response_timeout = \"400ms\"\n").await;
    let mut client = whole.connect(APP).await;
    client.send(post(&person, "/upload", "Transfer-Encoding: chunked\r\n")).await;
    let mut upstream = whole.app.accept().await;
    upstream.head().await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        client.send("1\r\nx\r\n").await;
        assert_eq!(upstream.chunk().await.as_deref(), Some(&b"x"[..]), "after {:?}", begun.elapsed());
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(upstream.chunk().await.unwrap(), b"");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer(false).await.status(), 200);
    // One that stands still does not hold the application for ever.
    let mut client = whole.connect(APP).await;
    client.send(post(&person, "/upload", "Content-Length: 9\r\n")).await;
    assert_eq!(client.answer(false).await.status(), 504);
}

// --- the pool -----------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_the_application_are_used_again() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    for n in 0..5 {
        assert_eq!(whole.get(&person, APP, &format!("/{n}")).await.status(), 200);
    }
    let trailers = "Transfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n2\r\nab\r\n0\r\nX-Late: 1\r\n";
    assert_eq!(whole.ask(APP, post(&person, "/trailers", trailers)).await.status(), 200);
    assert_eq!(whole.get(&person, APP, "/last").await.status(), 200);
    assert_eq!((whole.app.take().len(), whole.app.connections()), (7, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h19_only_what_may_be_repeated_is_and_a_post_is_never_sent_twice() {
    let (whole, person) = by_hand().await;
    // A connection that has carried a request, and closes when the next one arrives: the application's idle timeout met our request.
    for (method, headers, body, repeated) in [
        ("GET", "", "", true),
        ("HEAD", "", "", true),
        ("POST", "Content-Length: 2\r\n", "ab", false),
        ("POST", "Content-Length: 0\r\n", "", false),
        ("GET", "Content-Length: 2\r\n", "ab", false),
        ("DELETE", "", "", false),
        ("PATCH", "Content-Length: 2\r\n", "ab", false),
    ] {
        let mut client = whole.connect(APP).await;
        client.send(get(&person, APP, "/first", "")).await;
        let (mut used, _) = whole.app.accept_request().await;
        used.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(client.answer(false).await.text(), "ok");
        client.send(format!("{method} /second HTTP/1.1\r\nHost: {APP}\r\n{}{headers}\r\n{body}", person.cookies(APP))).await;
        let second = used.request().await.unwrap();
        assert_eq!((second.line(), second.text().as_str()), (format!("{method} /second HTTP/1.1"), body));
        used.close().await;
        if repeated {
            let (mut fresh, again) = whole.app.accept_request().await;
            assert_eq!(again.head, second.head, "the same, byte for byte");
            fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
            assert_eq!(client.answer(method == "HEAD").await.status(), 200);
        } else {
            assert_eq!(client.answer(false).await.status(), 502, "{method}");
        }
    }
    // Nothing was sent that nobody has seen.
    let connections = whole.app.connections();
    assert_eq!(connections, 9);
    // And a new connection that closes is a failure, not a reason to try again.
    assert_eq!(after(&whole, &person, "", "").await.status(), 502);
    assert_eq!(whole.app.connections(), connections + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h16_an_answer_to_an_unfinished_upload_does_not_poison_the_pool() {
    let (whole, person) = by_hand().await;
    for framing in ["Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = whole.connect(APP).await;
        client.send(post(&person, "/upload", framing)).await;
        let mut upstream = whole.app.accept().await;
        upstream.head().await.unwrap();
        upstream.send("HTTP/1.1 409 Conflict\r\nContent-Length: 4\r\n\r\nfull").await;
        let early = client.answer(false).await;
        assert_eq!((early.status(), early.text().as_str()), (409, "full"));
        let mut other = whole.connect(APP).await;
        other.send(get(&person, APP, "/other", "")).await;
        let (mut fresh, request) = whole.app.accept_request().await;
        assert_eq!(request.line(), "GET /other HTTP/1.1");
        fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nother").await;
        assert_eq!(other.answer(false).await.text(), "other");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_application_sends_beyond_its_answer_is_nobodys() {
    let (whole, person) = by_hand().await;
    let mut client = whole.connect(APP).await;
    client.send(get(&person, APP, "/1", "")).await;
    let (mut upstream, _) = whole.app.accept_request().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").await;
    assert_eq!(client.answer(false).await.text(), "one");
    client.send(get(&person, APP, "/2", "")).await;
    let (mut fresh, request) = whole.app.accept_request().await;
    assert_eq!(request.line(), "GET /2 HTTP/1.1");
    fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo").await;
    assert_eq!(client.answer(false).await.text(), "two");
}

// --- answers, as they are -----------------------------------------------------------------------

/// The head and body that the client gets for `said`, an answer with its length.
async fn passed(whole: &Whole, person: &Person, method: &str, headers: &[u8], said: &[u8]) -> (Answer, Answer) {
    let mut client = whole.connect(APP).await;
    let mut request = format!("{method} /file HTTP/1.1\r\nHost: {APP}\r\n{}", person.cookies(APP)).into_bytes();
    request.extend_from_slice(headers);
    request.extend_from_slice(b"\r\n");
    client.send(request).await;
    let (mut upstream, seen) = whole.app.accept_request().await;
    upstream.send(said).await;
    // The first head, whatever it is: an informational one would show.
    let mut answer = client.head().await.unwrap();
    let bodiless = method == "HEAD" || matches!(answer.status(), 204 | 304);
    if let (false, Some(length)) = (bodiless, answer.get("content-length")) {
        answer.body = client.exactly(length.parse().unwrap()).await;
    }
    upstream.close().await;
    // Nothing behind it: the next answer begins where this one ended.
    client.send(format!("TRACE / HTTP/1.1\r\nHost: {APP}\r\n\r\n")).await;
    assert_eq!(client.head().await.unwrap().status(), 405);
    (seen, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h23_answers_pass_as_they_are() {
    let (whole, person) = by_hand().await;
    let (seen, answer) = passed(
        &whole,
        &person,
        "GET",
        b"Range: bytes=2-4\r\nIf-Range: \"v1\"\r\nX-Latin: caf\xe9\r\nAccept-Encoding: gzip, br\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/9\r\nETag: \"v1\"\r\nX-Latin: na\xefve\r\nContent-Length: 3\r\n\r\ncde",
    )
    .await;
    assert_eq!((seen.get("range").as_deref(), seen.get("if-range").as_deref()), (Some("bytes=2-4"), Some("\"v1\"")));
    assert_eq!(seen.get("accept-encoding").as_deref(), Some("gzip, br"));
    assert!(seen.fields().contains(&("x-latin".into(), b"caf\xe9".to_vec())));
    assert!(answer.fields().contains(&("x-latin".into(), b"na\xefve".to_vec())));
    assert_eq!((answer.status(), answer.get("content-range").as_deref(), answer.text().as_str()), (206, Some("bytes 2-4/9"), "cde"));

    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let said = [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n".as_slice(), gzip].concat();
    let (_, answer) = passed(&whole, &person, "GET", b"", &said).await;
    assert_eq!((answer.get("content-encoding").as_deref(), answer.body.as_slice()), (Some("gzip"), gzip.as_slice()));

    let (seen, answer) = passed(&whole, &person, "HEAD", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"v1\"\r\n\r\n").await;
    assert_eq!((seen.line().as_str(), answer.status(), answer.all("content-length")), ("HEAD /file HTTP/1.1", 200, vec!["1234".to_owned()]));

    let (_, answer) = passed(&whole, &person, "DELETE", b"", b"HTTP/1.1 204 No Content\r\nX-Done: yes\r\n\r\n").await;
    assert_eq!((answer.status(), answer.get("x-done").as_deref(), answer.get("transfer-encoding")), (204, Some("yes"), None));

    let (_, answer) =
        passed(&whole, &person, "GET", b"If-None-Match: \"v1\"\r\n", b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nContent-Length: 1234\r\n\r\n")
            .await;
    assert_eq!((answer.status(), answer.get("etag").as_deref()), (304, Some("\"v1\"")));

    // H24: nothing is rewritten that no rule rewrites.
    let (_, answer) = passed(
        &whole,
        &person,
        "GET",
        b"",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:3000/x\r\nSet-Cookie: a=1; Domain=.vestibule.test\r\nSet-Cookie: b=2\r\nContent-Security-Policy: default-src 'self'\r\n\
          Server: Redmine\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert_eq!((answer.status(), answer.get("location").as_deref()), (302, Some("http://127.0.0.1:3000/x")));
    assert_eq!(answer.all("set-cookie"), ["a=1; Domain=.vestibule.test", "b=2"]);
    assert_eq!(answer.all("content-security-policy"), ["default-src 'self'"]);
    assert_eq!((answer.all("server"), answer.all("date")), (vec!["Redmine".to_owned()], vec!["Tue, 15 Nov 1994 08:12:31 GMT".to_owned()]));
    assert_eq!(answer.fields().len(), 7, "and nothing is added: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h18_informational_answers_are_dropped() {
    let (whole, person) = by_hand().await;
    let said =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (_, answer) = passed(&whole, &person, "GET", b"", said).await;
    assert_eq!((answer.status(), answer.text().as_str(), answer.get("link")), (200, "ok", None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h6_trailers_of_an_answer_do_not_become_headers() {
    let (whole, person) = by_hand().await;
    let mut client = whole.connect(APP).await;
    client.send(get(&person, APP, "/", "TE: trailers\r\nConnection: TE\r\n")).await;
    let (mut upstream, _) = whole.app.accept_request().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\r\n2\r\nok\r\n0\r\nSet-Cookie: __Host-vestibule=x\r\n\r\n")
        .await;
    let head = client.head().await.unwrap();
    assert_eq!((head.all("set-cookie"), head.all("trailer")), (vec![], vec![]));
    assert_eq!(client.exactly(12).await, b"2\r\nok\r\n0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_clients_and_old_applications_are_understood() {
    let (whole, person) = by_hand().await;
    // HTTP/1.0 has no chunks: the end of the connection is the end of the body.
    let mut client = whole.connect(APP).await;
    client.send(get(&person, APP, "/", "").replace("HTTP/1.1", "HTTP/1.0")).await;
    let (mut upstream, seen) = whole.app.accept_request().await;
    assert_eq!(seen.line(), "GET / HTTP/1.1");
    upstream.send(format!("{CHUNKED}2\r\nok\r\n0\r\n\r\n")).await;
    let answer = client.answer(false).await;
    assert_eq!((answer.get("transfer-encoding"), answer.text().as_str()), (None, "ok"));
    drop(upstream);
    let answer = after(&whole, &person, "", "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end").await;
    assert_eq!((answer.status(), answer.text().as_str(), answer.whole), (200, "until the end", true));
}

// --- WebSockets ---------------------------------------------------------------------------------

type Socket = WebSocketStream<Wire>;

/// The handshake of `person`'s browser.
fn handshake(person: &Person, path: &str, origin: Option<&str>) -> Request<()> {
    let mut request = format!("wss://{APP}{path}").into_client_request().unwrap();
    let cookies = person.cookies(APP);
    if let Some(cookies) = cookies.trim().strip_prefix("Cookie: ") {
        request.headers_mut().insert("cookie", HeaderValue::from_str(cookies).unwrap());
    }
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", HeaderValue::from_str(origin).unwrap());
    }
    request
}

/// Both ends of an open WebSocket.
async fn open(whole: &Whole, person: &Person, path: &str) -> (Socket, Socket) {
    let wire = whole.connect(APP).await;
    let origin = format!("https://{APP}");
    let asking = tokio_tungstenite::client_async(handshake(person, path, Some(&origin)), wire);
    let answering = async { tokio_tungstenite::accept_async(whole.app.accept().await).await.unwrap() };
    let (client, application) = within("a WebSocket", futures_util::future::join(asking, answering)).await;
    (client.unwrap().0, application)
}

async fn next(socket: &mut Socket) -> Option<Result<Message, WsError>> {
    within("a message", socket.next()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_a_websocket_carries_messages_both_ways() {
    let (whole, person) = by_hand().await;
    let (mut client, mut application) = open(&whole, &person, "/cable?v=1").await;
    for message in [Message::text("hello"), Message::binary(vec![0_u8; 300_000]), Message::Ping(Bytes::from_static(b"p"))] {
        client.send(message.clone()).await.unwrap();
        assert_eq!(next(&mut application).await.unwrap().unwrap(), message);
    }
    application.send(Message::text("news")).await.unwrap();
    application.close(None).await.unwrap();
    // The ping is answered when the application gets to it.
    let mut got = Vec::new();
    while got.len() < 2 {
        got.extend(next(&mut client).await.map(Result::unwrap).filter(|message| !message.is_pong()));
    }
    assert!(got[0] == Message::text("news") && got[1].is_close(), "{got:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_the_application_sees_the_handshake_with_the_identity_and_without_our_cookies() {
    let (whole, person) = by_hand().await;
    let mut client = whole.connect(APP).await;
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: chat\r\nX-Remote-User: mallory\r\n";
    // Frames that come with the handshake wait until both sides have switched.
    client.send(get(&person, APP, "/cable", upgrade) + "early frame").await;
    let (mut upstream, seen) = whole.app.accept_request().await;
    assert_eq!((seen.all("connection"), seen.all("upgrade")), (vec!["Upgrade".to_owned()], vec!["websocket".to_owned()]));
    assert_eq!(seen.all("sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
    assert_eq!((seen.all("sec-websocket-protocol"), seen.all("x-remote-user")), (vec!["chat".to_owned()], vec!["ada@example.com".to_owned()]));
    assert!(!seen.mentions(&person.session(APP)));
    upstream.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n").await;
    let switched = client.head().await.unwrap();
    assert_eq!((switched.status(), switched.get("sec-websocket-accept").as_deref()), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    assert_eq!((switched.get("upgrade").as_deref(), switched.get("connection").as_deref()), (Some("websocket"), Some("Upgrade")));
    assert_eq!(upstream.exactly(11).await, b"early frame");
    upstream.send("late frame").await;
    assert_eq!(client.exactly(10).await, b"late frame");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_a_refused_upgrade_is_the_applications_plain_answer_and_no_frame_gets_through() {
    let (whole, person) = by_hand().await;
    let mut client = whole.connect(APP).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    client.send(get(&person, APP, "/cable", upgrade) + "\u{1}\u{2}frame").await;
    let (mut upstream, _) = whole.app.accept_request().await;
    upstream.send("HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\nContent-Length: 4\r\nConnection: close\r\n\r\nolde").await;
    let answer = client.answer(false).await;
    assert_eq!((answer.status(), answer.text().as_str(), answer.get("sec-websocket-version").as_deref()), (426, "olde", Some("8")));
    drop(client);
    assert!(upstream.is_over().await, "H20: no frames before the 101");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h9_other_upgrades_are_left_behind() {
    let (whole, person) = by_hand().await;
    for upgrade in ["h2c", "TLS/1.0", "websocket, h2c", "connect-udp"] {
        let mut client = whole.connect(APP).await;
        let headers = format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n");
        client.send(get(&person, APP, "/", &headers)).await;
        let (mut upstream, seen) = whole.app.accept_request().await;
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(seen.all(name), [""; 0], "{upgrade} {name}");
        }
        upstream.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await;
        assert_eq!(client.answer(false).await.status(), 502, "{upgrade}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_a_websocket_from_a_page_of_another_origin_is_refused() {
    let (whole, person) = by_hand().await;
    for origin in [
        "https://evil.example",
        "https://wiki.vestibule.test",
        "https://app.vestibule.test.evil.example",
        "https://evil-app.vestibule.test",
        "https://app.vestibule.test:8443",
        "http://app.vestibule.test",
        "https://app.vestibule.test@evil.example",
        "app.vestibule.test",
        "null",
        "",
    ] {
        let refused = tokio_tungstenite::client_async(handshake(&person, "/cable", Some(origin)), whole.connect(APP).await).await;
        match refused {
            Err(WsError::Http(answer)) => assert_eq!(answer.status(), 403, "{origin}"),
            other => panic!("{origin}: {:?}", other.map(|_| "open")),
        }
    }
    assert_eq!(whole.app.connections(), 0);
    // Programs send none, and browsers may write the host in any case.
    for origin in [None, Some("https://APP.vestibule.test"), Some("https://app.vestibule.test:443")] {
        let asking = tokio_tungstenite::client_async(handshake(&person, "/cable", origin), whole.connect(APP).await);
        let answering = async { tokio_tungstenite::accept_async(whole.app.accept().await).await.unwrap() };
        let (opened, _application) = within("a WebSocket", futures_util::future::join(asking, answering)).await;
        assert!(opened.is_ok(), "{origin:?}");
    }
    let nobody = tokio_tungstenite::client_async(handshake(&Person::default(), "/cable", None), whole.connect(APP).await).await;
    assert!(matches!(nobody, Err(WsError::Http(answer)) if answer.status() == 401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_path_has_websockets_too() {
    let (whole, _) = by_hand().await;
    let (mut client, mut application) = open(&whole, &Person::default(), "/public/cable").await;
    client.send(Message::text("anybody")).await.unwrap();
    assert_eq!(next(&mut application).await.unwrap().unwrap(), Message::text("anybody"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_ends_open_websockets_and_streams_within_a_second() {
    let (whole, person) = by_hand().await;
    let (mut socket, mut application) = open(&whole, &person, "/cable").await;
    let mut events = whole.connect(APP).await;
    events.send(get(&person, APP, "/events", "")).await;
    let (mut upstream, _) = whole.app.accept_request().await;
    upstream.send(format!("{CHUNKED}2\r\nab\r\n")).await;
    events.head().await.unwrap();
    assert_eq!(events.chunk().await.unwrap(), b"ab");
    sign_out(&whole, &person).await;
    let ended = Instant::now();
    assert!(next(&mut socket).await.is_none_or(|end| end.is_err()));
    assert_eq!(events.chunk().await, None, "an error, not an end");
    assert!(next(&mut application).await.is_none_or(|end| end.is_err()));
    assert!(upstream.is_over().await);
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_sends_in_a_websocket_counts_as_use() {
    let (whole, person) = by_hand().await;
    let idle = whole.sign_in(APP).await;
    let (mut client, mut application) = open(&whole, &person, "/cable").await;
    for _ in 0..4 {
        whole.advance_s(20 * 60);
        client.send(Message::text("still here")).await.unwrap();
        assert_eq!(next(&mut application).await.unwrap().unwrap(), Message::text("still here"));
    }
    // What the application sends does not.
    let status = async |person: &Person| whole.ask(APP, get(person, APP, "/.vestibule/whoami", "")).await.status();
    assert_eq!((status(&person).await, status(&idle).await), (200, 401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_application_sends_in_a_websocket_does_not_count_as_use() {
    let (whole, person) = by_hand().await;
    let (mut client, mut application) = open(&whole, &person, "/cable").await;
    whole.advance_s(20 * 60);
    application.send(Message::text("news")).await.unwrap();
    assert_eq!(next(&mut client).await.unwrap().unwrap(), Message::text("news"));
    whole.advance_s(20 * 60);
    assert!(next(&mut client).await.is_none_or(|end| end.is_err()), "C9: nobody has used this session for 40 minutes");
    assert_eq!(whole.ask(APP, get(&person, APP, "/.vestibule/whoami", "")).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_over_http_2_is_not_one() {
    let (whole, person) = by_hand().await;
    let stream = whole.street().tls(Tls { alpn: &[b"h2"], ..Tls::for_name(APP) }).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut h2 = whole.street().h2(APP).await;
    let cookies = person.cookies(APP);
    let request =
        Request::connect(format!("https://{APP}/cable")).header("cookie", cookies.trim().strip_prefix("Cookie: ").unwrap()).body(Full::default());
    let answer = within("an answer", h2.send_request(request.unwrap())).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status().is_client_error()));
    assert_eq!(whole.app.connections(), 0);
}
