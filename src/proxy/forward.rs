//! The one door to an application.
//!
//! Takes an [`UpstreamRequest`], which only a provisioned request can become, and nothing else. Retries only what was certainly not
//! received: a request that hyper hands back unsent, or a bodiless idempotent one whose used connection closed before any answer (RFC 9110 9.2.2);
//! a POST is never sent twice (H19).

mod heal;

use super::body::{DownBody, UpBody, UpBodyFate};
use super::leash::Leash;
use super::pool::{ConnectError, Lease, Pool};
use super::streams::Stream;
use super::tunnel;
use super::worker::Worker;
use crate::fault::PublicMessage;
use crate::request::app_cookies::CookieOwner;
use crate::request::{Errand, Limits, Route, UpstreamRequest, Wire, clean_response};
use crate::trace::{Kind, Open, TRACEPARENT};
use bytes::Bytes;
use heal::{Healed, Watched};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::collections::VecDeque;
use std::pin::{Pin, pin};
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
    /// The application does not know a person whose account was looked at.
    #[error("{address} does not know the person, although the account was looked at")]
    NotKnown {
        /// Where to.
        address: String,
    },
    /// The application does not know a person, and there is a reason.
    #[error("{address} does not know the person: {}", message.words())]
    Refused {
        /// Where to.
        address: String,
        /// What the person is told.
        message: PublicMessage,
    },
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
            Self::NotKnown { .. } => PublicMessage::AppRejected,
            Self::Refused { message, .. } => *message,
        }
    }
}

/// Sends a request to its application and starts the answer on its way back.
pub(super) async fn forward(
    worker: &Rc<Worker>,
    limits: &Limits,
    request: UpstreamRequest<Incoming>,
    leash: &Rc<Leash>,
) -> Result<Response<DownBody>, ForwardError> {
    let Wire { body, errand } = request.into_wire();
    let is_bodiless = http_body::Body::is_end_stream(&body);
    let is_chunked = !is_bodiless && http_body::Body::size_hint(&body).exact().is_none();
    let head = || {
        let mut head = errand.head(limits);
        if is_chunked {
            // Otherwise hyper takes a GET to have no body, and the application would answer another question.
            head.headers.insert(header::TRANSFER_ENCODING, http::HeaderValue::from_static("chunked"));
        }
        head
    };
    let watched = Watched::of(&errand, is_bodiless);
    let (body, fate) = UpBody::new(body, limits.body_bytes_max);
    let mut reply = send(worker, &errand, head, body, fate.clone()).await?;
    if reply.head.status == StatusCode::SWITCHING_PROTOCOLS {
        return switch(worker, limits, errand, reply, leash);
    }
    if let Some(watched) = watched
        && watched.may_be_rejection(&reply)
    {
        // Boxed, as all that is rare: it must not make every request's future as large as itself.
        reply = match Box::pin(heal::heal(worker, limits, watched, reply)).await? {
            Healed::Answer(reply) => reply,
            Healed::Elsewhere(to) => return Ok(see_other(HeaderMap::new(), &to)),
        };
    }
    let Reply { mut head, body, ahead, lease, .. } = reply;
    clean_response(&mut head.headers, &limits.cookie, &errand.owner);
    if errand.leads_in() && (head.status.is_success() || head.status.is_redirection()) {
        if let Some(binding) = &errand.binding {
            binding.enter_by_login();
        }
        if let Some(back) = &errand.back {
            return Ok(see_other(head.headers, back));
        }
    } else if let Some(binding) = errand.binding.as_ref().filter(|_| head.status.is_success()) {
        binding.prove();
    }
    let may_be_silent = head.headers.get(header::CONTENT_TYPE).is_some_and(is_event_stream);
    let up = (!fate.finished()).then_some(fate);
    head.version = if errand.bearings.version == Version::HTTP_2 { Version::HTTP_2 } else { Version::HTTP_11 };
    let (route, session, asked) = errand.into_asked();
    let stream = Stream { route, session, asked, up, may_be_silent, leash: Rc::clone(leash) };
    Ok(Response::from_parts(head, DownBody::theirs(ahead, body, lease, Rc::clone(&worker.streams), stream)))
}

/// Joins the two sides of a `WebSocket`.
fn switch(worker: &Rc<Worker>, limits: &Limits, mut errand: Errand, reply: Reply, leash: &Rc<Leash>) -> Result<Response<DownBody>, ForwardError> {
    let client_side = errand.bearings.extensions.remove::<OnUpgrade>();
    let (Some(client_side), Some(upstream_side)) = (client_side, reply.upgraded) else {
        return Err(ForwardError::UnaskedUpgrade { address: address(&errand.route) });
    };
    let response = switching(reply.head.headers, &limits.cookie, &errand.owner);
    let (route, session, asked) = errand.into_asked();
    let stream = Stream { route, session, asked, up: None, may_be_silent: true, leash: Rc::clone(leash) };
    tunnel::open(worker, client_side, upstream_side, stream);
    Ok(response)
}

/// Server-sent events (HTML 9.2.5): silence is part of it.
fn is_event_stream(content_type: &http::HeaderValue) -> bool {
    let kind = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

fn address(route: &Route) -> String {
    format!("{}:{}", route.policy.upstream.host, route.policy.upstream.port)
}

/// An answer of the application, as far as it has come.
struct Reply {
    head: http::response::Parts,
    body: Incoming,
    /// What was read of the body already.
    ahead: VecDeque<Bytes>,
    lease: Lease,
    /// The application's side of an upgrade.
    upgraded: Option<OnUpgrade>,
}

/// Sends a request and waits for the head of the answer. `head` builds what is sent, once more if it has to be sent twice.
async fn send(worker: &Worker, errand: &Errand, head: impl Fn() -> Parts, body: UpBody, fate: UpBodyFate) -> Result<Reply, ForwardError> {
    let route = &errand.route;
    let mut span = worker.span("", Kind::Client);
    if let Some(span) = &mut span {
        announce(span, errand);
    }
    let timeout_ms = route.policy.upstream.response_timeout_ms;
    let answered = {
        let head = || {
            let mut head = head();
            if let Some(span) = &span {
                // It says where it belongs.
                head.headers.insert(TRACEPARENT, span.context().header());
            }
            head
        };
        let exchange = pin!(exchange(&worker.pool, route, head, body, fate.clone()));
        in_time(exchange, &fate, Duration::from_millis(timeout_ms)).await
    };
    if let Some(span) = span {
        tell(span, answered.as_ref());
    }
    let (mut response, lease) = match answered {
        Some(Ok(answer)) => answer,
        Some(Err(_)) if fate.too_large() => return Err(ForwardError::BodyTooLarge),
        Some(Err(Broken::Connect(cause))) => return Err(ForwardError::Connect { address: address(route), cause }),
        Some(Err(Broken::Exchange(cause))) => return Err(ForwardError::Exchange { address: address(route), cause: cause.to_string() }),
        None => return Err(ForwardError::Timeout { address: address(route), timeout_ms }),
    };
    let upgraded = (response.status() == StatusCode::SWITCHING_PROTOCOLS).then(|| hyper::upgrade::on(&mut response));
    let (head, body) = response.into_parts();
    Ok(Reply { head, body, ahead: VecDeque::new(), lease, upgraded })
}

/// On to another page of the app, with the cookies that it has set.
fn see_other(mut headers: HeaderMap, to: &str) -> Response<DownBody> {
    let mut response = Response::new(DownBody::ours(Bytes::new()));
    *response.status_mut() = StatusCode::SEE_OTHER;
    // A page's own address is visible ASCII; one that is not leads to the beginning.
    let place = http::HeaderValue::from_str(to).unwrap_or_else(|_| http::HeaderValue::from_static("/"));
    if let header::Entry::Occupied(set) = headers.entry(header::SET_COOKIE) {
        for cookie in set.remove_entry_mult().1 {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response.headers_mut().insert(header::LOCATION, place);
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

/// Says in the span what the request is. No path: who asked for what is the access log's.
fn announce(span: &mut Open, errand: &Errand) {
    let (method, route) = (errand.bearings.method.as_str(), &errand.route);
    span.rename(method.to_owned());
    span.note("http.request.method", method.to_owned());
    span.note("server.address", route.policy.upstream.host.clone());
    span.note("server.port", route.policy.upstream.port);
    span.note("vestibule.app", route.policy.name.clone());
    span.note("vestibule.purpose", "upstream");
}

/// What came of it, by the time the head of the answer was there.
fn tell(mut span: Open, answered: Option<&Result<Exchanged, Broken>>) {
    match answered {
        Some(Ok((response, ..))) => {
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
async fn in_time<F: Future>(mut exchange: Pin<&mut F>, fate: &UpBodyFate, timeout: Duration) -> Option<F::Output> {
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

type Exchanged = (Response<Incoming>, Lease);

async fn exchange(pool: &Pool, route: &Arc<Route>, head: impl Fn() -> Parts, body: UpBody, fate: UpBodyFate) -> Result<Exchanged, Broken> {
    let mut lease = pool.lease(route).await.map_err(Broken::Connect)?;
    lease.watch(fate.clone());
    let first = head();
    let may_repeat = lease.used && fate.finished() && is_idempotent(&first.method);
    let mut failed = match lease.sender().try_send_request(Request::from_parts(first, body)).await {
        Ok(response) => return Ok((response, lease)),
        Err(failed) => failed,
    };
    let repeated = match failed.take_message() {
        Some(unsent) => unsent,
        None if may_repeat && before_any_answer(failed.error()) => Request::from_parts(head(), UpBody::empty()),
        None => return Err(Broken::Exchange(failed.into_error())),
    };
    let mut fresh = Box::pin(pool.connect(route)).await.map_err(Broken::Connect)?;
    fresh.watch(fate);
    let response = fresh.sender().send_request(repeated).await.map_err(Broken::Exchange)?;
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
fn switching(mut headers: HeaderMap, our_cookies: &str, owner: &CookieOwner) -> Response<DownBody> {
    clean_response(&mut headers, our_cookies, owner);
    let mut response = Response::new(DownBody::ours(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
    response
}
