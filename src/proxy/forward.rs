//! The one door to an application.
//!
//! Takes an [`UpstreamRequest`], which only a provisioned request can become, and nothing else. Retries only what was certainly not
//! received: a request that hyper hands back unsent, or a bodiless idempotent one whose used connection closed before any answer (RFC 9110 9.2.2);
//! a POST is never sent twice (H19).

use super::body::{DownBody, UpBody, UpBodyFate};
use super::pool::{ConnectError, Lease, Pool};
use super::tunnel;
use super::worker::Worker;
use crate::fault::PublicMessage;
use crate::request::{Route, UpstreamRequest, Wire, clean_response};
use crate::trace::{Kind, Open, TRACEPARENT};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

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
pub(super) async fn forward(worker: &Rc<Worker>, request: UpstreamRequest<Incoming>) -> Result<Response<DownBody>, ForwardError> {
    let Wire { mut head, body, route, session, upgrade, downstream, .. } = request.into_wire();
    let mut span = worker.span("", Kind::Client);
    if let Some(span) = &mut span {
        announce(span, &mut head, &route);
    }
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
    if let Some(span) = span {
        tell(span, answered.as_ref());
    }
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
        tunnel::open(worker, client_side, upstream_side, session);
        return Ok(switching(response.headers(), &worker.shared.limits.load().cookie));
    }
    let bound = session.map(|session| (Rc::clone(&worker.streams), session));
    let (mut head, body) = response.into_parts();
    clean_response(&mut head.headers, &worker.shared.limits.load().cookie);
    head.version = if downstream == Version::HTTP_2 { Version::HTTP_2 } else { Version::HTTP_11 };
    Ok(Response::from_parts(head, DownBody::theirs(body, lease, bound)))
}

/// Says in the request where it belongs, and in the span what it is. No path: who asked for what is the access log's.
fn announce(span: &mut Open, head: &mut Parts, route: &Route) {
    head.headers.insert(TRACEPARENT, span.context().header());
    span.rename(head.method.as_str().to_owned());
    span.note("http.request.method", head.method.as_str().to_owned());
    span.note("server.address", route.policy.upstream.host.clone());
    span.note("server.port", route.policy.upstream.port);
    span.note("vestibule.app", route.policy.name.clone());
    span.note("vestibule.purpose", "upstream");
}

/// What came of it, by the time the head of the answer was there.
fn tell(mut span: Open, answered: Option<&Result<(Response<Incoming>, Lease), Broken>>) {
    match answered {
        Some(Ok((response, _))) => {
            span.note("http.response.status_code", response.status().as_u16());
            if response.status().is_client_error() || response.status().is_server_error() {
                span.fail(response.status().as_u16().to_string());
            }
        }
        Some(Err(Broken::Connect(_))) => span.fail("connect"),
        Some(Err(Broken::Exchange(_))) => span.fail("exchange"),
        None => span.fail("timeout"),
    }
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
