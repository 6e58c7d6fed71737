//! What clients may take of the gateway: connections, and time in which nothing moves.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::whole::{APP, Person, Whole, Wire, get, policy};
use vestibule::config::Bounds;

const SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// One app, its application by hand, under these bounds.
async fn bounded(bounds: Bounds) -> Whole {
    Whole::with(|app| vec![("app", policy(APP, app))], |gateway| gateway.server.bounds = bounds).await
}

async fn asked(wire: &mut Wire) -> u16 {
    wire.send(get(&Person::default(), APP, "/", "")).await;
    wire.answer(false).await.status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_too_many_connections_is_told_so_and_may_come_back() {
    let whole = bounded(Bounds { connections_per_client_max: 2, ..Bounds::default() }).await;
    let (mut one, mut two) = (whole.connect(APP).await, whole.connect(APP).await);
    assert_eq!((asked(&mut one).await, asked(&mut two).await), (401, 401));
    let mut three = whole.connect(APP).await;
    three.send(get(&Person::default(), APP, "/", "")).await;
    let told = three.answer(false).await;
    assert_eq!((told.status(), told.get("connection").as_deref()), (503, Some("close")));
    assert!(told.get("retry-after").is_some() && told.json()["type"].as_str().unwrap().ends_with("/problems/too-many-connections"), "{told:?}");
    assert!(three.is_over().await, "and that is all");
    assert_eq!(asked(&mut one).await, 401, "who was there first stays");
    one.close().await;
    drop(one_more(&whole).await);
}

/// A connection that is served: the place of one that was closed is free as soon as its end has come.
async fn one_more(whole: &Whole) -> Wire {
    for _ in 0..1000 {
        let mut wire = whole.connect(APP).await;
        if asked(&mut wire).await == 401 {
            return wire;
        }
    }
    panic!("the place of a closed connection is never free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_together_have_their_bound_and_a_trusted_proxy_has_no_other() {
    let trusted = |gateway: &mut vestibule::config::Gateway| {
        gateway.server.bounds = Bounds { connections_max: 4, connections_per_client_max: 1, ..Bounds::default() };
        gateway.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    };
    let whole = Whole::with(|app| vec![("app", policy(APP, app))], trusted).await;
    let mut open = Vec::new();
    for expected in [401, 401, 401, 401, 503] {
        let mut wire = whole.connect(APP).await;
        assert_eq!(asked(&mut wire).await, expected, "{}", open.len());
        open.push(wire);
    }
}

/// A signed-in person's request, the application's head and first piece on their way.
async fn begun(whole: &Whole, person: &Person, headers: &str) -> (Wire, Wire) {
    let mut wire = whole.connect(APP).await;
    wire.send(get(person, APP, "/stream", "")).await;
    let (mut upstream, _) = whole.app.accept_request().await;
    upstream.send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n5\r\nfirst\r\n")).await;
    assert_eq!(wire.head().await.unwrap().status(), 200);
    assert_eq!(wire.chunk().await.as_deref(), Some(&b"first"[..]));
    (wire, upstream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_stops_in_the_middle_is_cut_off_and_a_silent_stream_is_not() {
    let whole = bounded(Bounds { response_idle_ms: 300, ..Bounds::default() }).await;
    let person = whole.sign_in(APP).await;
    whole.app.by_hand();
    let (mut events, mut far) = begun(&whole, &person, "Content-Type: text/event-stream; charset=utf-8\r\n").await;
    let mut socket = whole.connect(APP).await;
    socket.send(get(&person, APP, "/cable", SOCKET)).await;
    let (mut cable, _) = whole.app.accept_request().await;
    cable.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(socket.head().await.unwrap().status(), 101);
    let (mut stalled, mut upstream) = begun(&whole, &person, "").await;
    assert_eq!(stalled.chunk().await, None, "half an answer ends with the connection, never like a whole one");
    assert!(upstream.is_over().await, "the application's connection is not kept either");
    // These were as silent for as long.
    far.send("6\r\nsecond\r\n").await;
    assert_eq!(events.chunk().await.as_deref(), Some(&b"second"[..]));
    cable.send("frame").await;
    assert_eq!(socket.exactly(5).await, b"frame");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_sockets_have_a_limit_of_their_own() {
    let whole = bounded(Bounds { stream_idle_ms: 300, ..Bounds::default() }).await;
    let person = whole.sign_in(APP).await;
    whole.app.by_hand();
    let (mut events, _far) = begun(&whole, &person, "Content-Type: text/event-stream\r\n").await;
    let mut socket = whole.connect(APP).await;
    socket.send(get(&person, APP, "/cable", SOCKET)).await;
    let (mut cable, _) = whole.app.accept_request().await;
    cable.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(socket.head().await.unwrap().status(), 101);
    assert_eq!(events.chunk().await, None);
    assert!(socket.is_over().await && cable.is_over().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_does_not_keep_the_application() {
    let whole = bounded(Bounds { response_idle_ms: 300, ..Bounds::default() }).await;
    let person = whole.sign_in(APP).await;
    whole.app.by_hand();
    let (_reads_no_more, mut upstream) = begun(&whole, &person, "").await;
    let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    // More than any buffer on the way holds.
    let mut sent = 0;
    while upstream.try_send(piece.as_bytes()).await.is_ok() {
        sent += 1;
        assert!(sent < 10_000, "somebody keeps all of it");
    }
}
