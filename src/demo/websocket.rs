//! A WebSocket echo (RFC 6455), just enough to see that the gateway passes an upgrade on and ends it with the session.

use super::http::{Body, answer, full};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Appended to the key before hashing (RFC 6455 1.3).
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Largest frame that is echoed.
const FRAME_BYTES_MAX: u64 = 1 << 20;

/// Whether the request asks for a WebSocket.
pub(super) fn is_handshake(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// 101, and an echo behind it.
pub(super) fn echo(request: &mut Request<Incoming>) -> Response<Body> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).and_then(|value| value.to_str().ok()) else {
        return answer(StatusCode::BAD_REQUEST, "text/plain", "no key");
    };
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{MAGIC}").as_bytes());
    let Ok(accept) = HeaderValue::try_from(STANDARD.encode(hash)) else { return answer(StatusCode::BAD_REQUEST, "text/plain", "bad key") };
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let ended = match upgrade.await {
            Ok(upgraded) => frames(&mut TokioIo::new(upgraded)).await,
            Err(problem) => Err(io::Error::other(problem)),
        };
        if let Err(problem) = ended {
            tracing::debug!(%problem, "demo WebSocket ended");
        }
    });
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Sends every frame back unmasked; a ping as a pong; ends after a close (RFC 6455 5.2).
async fn frames(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    loop {
        let [first, second] = read::<2>(stream).await?;
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(read::<2>(stream).await?)),
            127 => u64::from_be_bytes(read::<8>(stream).await?),
            short => u64::from(short),
        };
        // RFC 6455 5.1: an unmasked frame from a client ends the connection.
        if second & 0x80 == 0 || length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "unmasked or too large"));
        }
        let mask = read::<4>(stream).await?;
        let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        stream.read_exact(&mut payload).await?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        let opcode = first & 0x0f;
        let first = if opcode == 0x9 { (first & 0xf0) | 0xa } else { first };
        let mut frame = vec![first];
        match u16::try_from(length) {
            Ok(short @ 0..126) => frame.push(short.to_be_bytes()[1]),
            Ok(medium) => {
                frame.push(126);
                frame.extend(medium.to_be_bytes());
            }
            Err(_) => {
                frame.push(127);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend(payload);
        stream.write_all(&frame).await?;
        stream.flush().await?;
        if opcode == 0x8 {
            return stream.shutdown().await;
        }
    }
}

async fn read<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
