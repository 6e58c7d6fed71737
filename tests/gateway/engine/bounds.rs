//! The same over sockets: what an app may do to whoever listens to it.

use super::{ACCOUNT, HEAD, outcome, parse};
use crate::listen::Port;
use serde_json::Map;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vestibule::clock::ManualClock;
use vestibule::connector::{Connector as _, Engine, Limits, Outcome, ResolvedCredential};
use vestibule::outbound::HyperTransport;

const LIST: &str = r#"
[[list]]
name     = "all"
effect   = "read"
jsonrpc  = { method = "user.get" }
post     = "/rpc"
paginate = { style = "page", items = "/result" }
classify = [{ status = 200, outcome = "found" }]
[[delete]]
name     = "delete"
effect   = "destroy"
delete   = "/users/{account.id}"
classify = [{ status = 200, outcome = "done" }]
"#;

/// Writes `bytes` to whoever asks, `times` times over, and then nothing.
async fn engine(bytes: Vec<u8>, times: usize) -> Engine {
    let port = Port::free().await;
    let base = format!("http://{}/base", port.at).parse().expect("url");
    port.serve(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            let mut head = [0; 4096];
            drop(stream.read(&mut head).await);
            for _ in 0..times {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            std::future::pending::<()>().await;
        }
    });
    let model = Arc::new(parse(&format!("{HEAD}{LIST}{ACCOUNT}")).expect("a connector"));
    let limits = Limits { timeout_ms: 300, ..Limits::default() };
    let transport = Arc::new(HyperTransport::new([]).expect("transport"));
    Engine::new(model, None, base, ResolvedCredential::default(), Map::new(), limits, transport, Arc::new(ManualClock::default()))
}

async fn check(bytes: &[u8], times: usize) {
    let engine = engine(bytes.to_vec(), times).await;
    assert_eq!(outcome(engine.list(None).await), Outcome::Retry);
    let scope = super::nowhere();
    let removed = engine.delete(super::ann(&scope, Some("7"))).await;
    assert_eq!(outcome(removed), Outcome::InDoubt, "sent, and nobody knows");
}

#[tokio::test]
async fn j4_sixty_four_megabytes_are_not_read() {
    let mut head = b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n".to_vec();
    head.extend(vec![b' '; 1 << 16]);
    check(&head, 1).await;
    // Without saying so beforehand.
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend(vec![b' '; 1 << 16]);
    chunk.extend(b"\r\n");
    let mut whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..32 {
        whole.extend(&chunk);
    }
    check(&whole, 1).await;
}

#[tokio::test]
async fn j4_silence_half_an_answer_and_what_is_compressed_are_no_answer() {
    check(b"", 1).await;
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"result\":[", 1).await;
    // Nothing was asked to be compressed: what comes so is not unpacked, and means nothing.
    check(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00", 1).await;
    check(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n", 1).await;
}
