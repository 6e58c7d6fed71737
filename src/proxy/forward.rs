//! The one door to an application.
//!
//! Takes an [`UpstreamRequest`], which only a provisioned request can become, and nothing else. Retries only what was certainly not
//! received: a request that hyper hands back unsent, or a bodiless idempotent one whose used connection closed before any answer (RFC 9110 9.2.2);
//! a POST is never sent twice (H19).

use super::body::{DownBody, UpBody, UpBodyFate};
use super::pool::{ConnectError, Lease, Pool};
use super::streams::Stream;
use super::tunnel;
use super::worker::Worker;
use crate::fault::PublicMessage;
use crate::request::{Route, UpstreamRequest, Wire, clean_response};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Why there is no answer from the application. The address and the cause are for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardError {
    /// No connection.
    #[error("connect {address}: {cause}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        cause: ConnectError,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("exchange with {address}: {cause}")]
    Exchange {
        /// Where to.
        address: String,
        /// What happened.
        cause: String,
    },
    /// No response head in time.
    #[error("no answer from {address} within {timeout_ms} ms")]
    Timeout {
        /// Where to.
        address: String,
        /// How long we waited.
        timeout_ms: u64,
    },
    /// The client sent more than it may.
    #[error("the request body is larger than [server] max_body")]
    BodyTooLarge,
    /// The application switched protocols without being asked (H8).
    #[error("{address} answered 101 unasked")]
    UnaskedUpgrade {
        /// Where to.
        address: String,
    },
}

impl ForwardError {
    /// What the person sees.
    pub(super) const fn public(&self) -> PublicMessage {
        match self {
            Self::Connect { cause: ConnectError::Timeout(_), .. } | Self::Timeout { .. } => PublicMessage::AppTimeout,
            Self::Connect { .. } | Self::Exchange { .. } | Self::UnaskedUpgrade { .. } => PublicMessage::AppUnreachable,
            Self::BodyTooLarge => PublicMessage::BodyTooLarge,
        }
    }
}

/// Sends a request to its application and starts the answer on its way back.
pub(super) async fn forward(worker: &Rc<Worker>, request: UpstreamRequest<Incoming>, stalled: &Rc<Notify>) -> Result<Response<DownBody>, ForwardError> {
    let Wire { mut head, body, route, session, asked, upgrade, downstream, .. } = request.into_wire();
    if !http_body::Body::is_end_stream(&body) && http_body::Body::size_hint(&body).exact().is_none() {
        // Otherwise hyper takes a GET to have no body, and the application would answer another question.
        head.headers.insert(header::TRANSFER_ENCODING, http::HeaderValue::from_static("chunked"));
    }
    let upstream = &route.policy.upstream;
    let address = || format!("{}:{}", upstream.host, upstream.port);
    let (body, fate) = UpBody::new(body, worker.shared.limits.load().body_bytes_max);
    let exchange = exchange(&worker.pool, &route, head, body, fate.clone());
    let timeout_ms = upstream.response_timeout_ms;
    let answered = in_time(exchange, &fate, Duration::from_millis(timeout_ms)).await;
    let (mut response, lease) = match answered {
        Some(Ok(answer)) => answer,
        Some(Err(_)) if fate.too_large() => return Err(ForwardError::BodyTooLarge),
        Some(Err(Broken::Connect(cause))) => return Err(ForwardError::Connect { address: address(), cause }),
        Some(Err(Broken::Exchange(cause))) => return Err(ForwardError::Exchange { address: address(), cause: cause.to_string() }),
        None => return Err(ForwardError::Timeout { address: address(), timeout_ms }),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upstream_side = hyper::upgrade::on(&mut response);
        let Some(client_side) = upgrade.and_then(|mut extensions| extensions.remove::<hyper::upgrade::OnUpgrade>()) else {
            return Err(ForwardError::UnaskedUpgrade { address: address() });
        };
        tunnel::open(worker, client_side, upstream_side, Stream { route: Arc::clone(&route), session, asked, up: None, may_be_silent: true, stalled: Rc::clone(stalled) });
        return Ok(switching(response.headers(), &worker.shared.limits.load().cookie));
    }
    let may_be_silent = response.headers().get(header::CONTENT_TYPE).is_some_and(is_event_stream);
    let up = (!fate.finished()).then_some(fate);
    let stream = Stream { route: Arc::clone(&route), session, asked, up, may_be_silent, stalled: Rc::clone(stalled) };
    let (mut head, body) = response.into_parts();
    clean_response(&mut head.headers, &worker.shared.limits.load().cookie);
    head.version = if downstream == Version::HTTP_2 { Version::HTTP_2 } else { Version::HTTP_11 };
    Ok(Response::from_parts(head, DownBody::theirs(body, lease, Rc::clone(&worker.streams), stream)))
}

/// Server-sent events (HTML 9.2.5): silence is part of it.
fn is_event_stream(content_type: &http::HeaderValue) -> bool {
    let kind = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Waits for the head of the answer. An application is not late while its request is still on the way: the time runs from the last piece of it.
async fn in_time<F: Future>(exchange: F, fate: &UpBodyFate, timeout: Duration) -> Option<F::Output> {
    let mut exchange = pin!(exchange);
    loop {
        let moved = fate.moved();
        match tokio::time::timeout_at(moved + timeout, exchange.as_mut()).await {
            Ok(done) => return Some(done),
            Err(_elapsed) if fate.moved() > moved => {}
            Err(_elapsed) => return None,
        }
    }
}

/// What broke an exchange.
enum Broken {
    Connect(ConnectError),
    Exchange(hyper::Error),
}

async fn exchange(pool: &Pool, route: &Arc<Route>, head: Parts, body: UpBody, fate: UpBodyFate) -> Result<(Response<Incoming>, Lease), Broken> {
    let mut lease = pool.lease(route).await.map_err(Broken::Connect)?;
    lease.watch(fate.clone());
    let bodiless = fate.finished();
    // Copied only where it may be needed: a used connection, an idempotent method, no body.
    let spare = (lease.used && bodiless && is_idempotent(&head.method)).then(|| head.clone());
    let failed = match lease.sender().try_send_request(Request::from_parts(head, body)).await {
        Ok(response) => return Ok((response, lease)),
        Err(failed) => failed,
    };
    let mut failed = failed;
    let again = match failed.take_message() {
        Some(unsent) => Some(unsent),
        None => spare.filter(|_| before_any_answer(failed.error())).map(|head| Request::from_parts(head, UpBody::empty())),
    };
    let Some(again) = again else { return Err(Broken::Exchange(failed.into_error())) };
    let mut fresh = Box::pin(pool.connect(route)).await.map_err(Broken::Connect)?;
    fresh.watch(fate);
    let response = fresh.sender().send_request(again).await.map_err(Broken::Exchange)?;
    Ok((response, fresh))
}

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether the connection closed before a byte of an answer: what an idle connection that the application was just closing looks like.
fn before_any_answer(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message()
}

/// The 101 for the client: the handshake's own headers, hop-by-hop ones included, for this hop is the one that upgrades.
fn switching(from: &HeaderMap, our_cookies: &str) -> Response<DownBody> {
    let mut headers = from.clone();
    clean_response(&mut headers, our_cookies);
    let mut response = Response::new(DownBody::ours(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
    response
}
