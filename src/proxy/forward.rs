//! The one door to an application.
//!
//! Takes an [`UpstreamRequest`], which only a provisioned request can become, and nothing else. Retries only what was certainly not
//! received: a request that hyper hands back unsent, or a bodiless idempotent one whose used connection closed before any answer (RFC 9110 9.2.2);
//! a POST is never sent twice (H19).

use super::body::{DownBody, UpBody, UpBodyFate};
use super::heal::{self, Healed};
use super::pool::{ConnectError, Lease, Pool};
use super::streams::Stream;
use super::tunnel;
use super::visitors::Leash;
use super::worker::Worker;
use crate::fault::PublicMessage;
use crate::pages::RequestKind;
use crate::policy::SignIn;
use crate::request::app_cookies::CookieOwner;
use crate::request::{Doors as _, Route, Spare, UpstreamRequest, Wire, clean_response, entrance};
use crate::trace::{Kind, Open, TRACEPARENT};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use std::collections::VecDeque;
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
    request: UpstreamRequest<Incoming>,
    stalled: &Rc<Leash>,
) -> Result<Response<DownBody>, ForwardError> {
    let Wire { mut head, body, route, session, asked, upgrade, downstream, incident, kind, owner, binding, back, signs_out } = request.into_wire();
    if !http_body::Body::is_end_stream(&body) && http_body::Body::size_hint(&body).exact().is_none() {
        // Otherwise hyper takes a GET to have no body, and the application would answer another question.
        head.headers.insert(header::TRANSFER_ENCODING, http::HeaderValue::from_static("chunked"));
    }
    let sign_in = &route.policy.sign_in;
    // Signing out may well lead to where nobody is known.
    let watched = session.as_ref().filter(|_| !sign_in.rejected_when.is_empty() && upgrade.is_none() && !signs_out).cloned();
    let leads_in = binding.is_some() && sign_in.login_url.as_deref() == Some(head.uri.path());
    let page = (kind == RequestKind::Page && head.method == Method::GET).then(|| head.uri.path_and_query().cloned()).flatten();
    let (body, fate) = UpBody::new(body, worker.shared.limits.load().body_bytes_max);
    let keep = watched.is_some() && fate.finished() && matches!(head.method, Method::GET | Method::HEAD);
    let up = fate.clone();
    let mut reply = send(worker, &route, head, body, fate, keep).await?;
    if reply.head.status == StatusCode::SWITCHING_PROTOCOLS {
        let Some(client_side) = upgrade.and_then(|mut extensions| extensions.remove::<hyper::upgrade::OnUpgrade>()) else {
            return Err(ForwardError::UnaskedUpgrade { address: address(&route) });
        };
        let Some(upstream_side) = reply.upgraded.take() else { return Err(ForwardError::UnaskedUpgrade { address: address(&route) }) };
        let stream = Stream { route: Arc::clone(&route), session, asked, up: None, may_be_silent: true, stalled: Rc::clone(stalled) };
        tunnel::open(worker, client_side, upstream_side, stream);
        return Ok(switching(&reply.head.headers, &worker.shared.limits.load().cookie, &owner));
    }
    // From its login address to the page, and from the page back to its login address: it does not know whom it was told of.
    let turned_back = page.is_some() && binding.as_ref().is_some_and(|binding| binding.is_unproven()) && reply.leads_to_login(sign_in);
    if let Some(person) = &watched
        && (turned_back || reply.is_rejection(sign_in).await)
    {
        let seen = heal::Rejection { incident, route: &route, status: reply.head.status };
        let healed = heal::look_again(worker, person, &seen).await;
        // The next page leads by the login address once more: by then the application may know them.
        if let Some(binding) = binding.as_ref().filter(|_| turned_back || matches!(healed, Healed::Again(_))) {
            binding.leave();
        }
        match healed {
            Healed::Refused(message) => return Err(ForwardError::Refused { address: address(&route), message }),
            // From the page to where the app learns who it is, and back to the page.
            Healed::Again(_) if sign_in.login_url.is_some() && page.is_some() && !leads_in => {
                let to = sign_in.login_url.as_deref().zip(page.as_ref()).map(|(login, page)| entrance::address(login, page.as_str()));
                return Ok(see_other(HeaderMap::new(), to.as_deref().unwrap_or("/")));
            }
            Healed::Again(pass) => {
                if sign_in.mode.enters()
                    && let Err(message) = worker.enter(person, &route, &pass, incident).await
                {
                    return Err(ForwardError::Refused { address: address(&route), message });
                }
                let binding = route.shared.cookies.as_ref().filter(|_| binding.is_some()).map(|keys| person.binding(&keys.key, &pass.told));
                if let Some(spare) = reply.spare.take() {
                    drop(reply);
                    let (body, fate) = (UpBody::empty(), UpBodyFate::finished_at_once());
                    reply = send(worker, &route, Spare(spare).anew(&pass, &route, binding.as_deref()), body, fate, false).await?;
                    let still = reply.is_rejection(sign_in).await;
                    heal::tell_again(worker, &seen, !still);
                    if still && kind.is_read_by_a_person() {
                        return Err(ForwardError::NotKnown { address: address(&route) });
                    }
                } else if kind.is_read_by_a_person() {
                    return Err(ForwardError::NotKnown { address: address(&route) });
                }
            }
            Healed::Often if kind.is_read_by_a_person() => return Err(ForwardError::NotKnown { address: address(&route) }),
            // Its own answer is what an application's own scripts know to read.
            Healed::Often => {}
        }
    }
    let Reply { mut head, body, ahead, lease, .. } = reply;
    clean_response(&mut head.headers, &worker.shared.limits.load().cookie, &owner);
    if leads_in && (head.status.is_success() || head.status.is_redirection()) {
        if let Some(binding) = &binding {
            binding.enter_by_login();
        }
        if let Some(back) = back {
            return Ok(see_other(head.headers, &back));
        }
    } else if let Some(binding) = binding.as_ref().filter(|_| head.status.is_success()) {
        binding.prove();
    }
    let may_be_silent = head.headers.get(header::CONTENT_TYPE).is_some_and(is_event_stream);
    let up = (!up.finished()).then_some(up);
    let stream = Stream { route: Arc::clone(&route), session, asked, up, may_be_silent, stalled: Rc::clone(stalled) };
    head.version = if downstream == Version::HTTP_2 { Version::HTTP_2 } else { Version::HTTP_11 };
    Ok(Response::from_parts(head, DownBody::theirs(ahead, body, lease, Rc::clone(&worker.streams), stream)))
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
    /// The request, to be sent again.
    spare: Option<Parts>,
    /// The application's side of an upgrade.
    upgraded: Option<hyper::upgrade::OnUpgrade>,
}

impl Reply {
    fn place(&self) -> Option<&str> {
        self.head.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).map(heal::within_the_app)
    }

    /// Whether it sends to where the application learns who somebody is.
    fn leads_to_login(&self, sign_in: &SignIn) -> bool {
        self.head.status.is_redirection() && self.place().is_some_and(|place| sign_in.leads_in(place))
    }

    /// Whether it says that the application does not know the person. Of its text only the beginning is read.
    async fn is_rejection(&mut self, sign_in: &SignIn) -> bool {
        let status = self.head.status.as_u16();
        if sign_in.is_rejection(status, self.place()) {
            return true;
        }
        if !sign_in.reads(status) || !heal::is_text(&self.head.headers) {
            return false;
        }
        heal::begin(&mut self.body, &mut self.ahead).await;
        let text: Vec<u8> = self.ahead.iter().flat_map(|piece| piece.iter().copied()).collect();
        sign_in.is_rejection_in_words(status, &text)
    }
}

/// Sends a request and waits for the head of the answer; keeps the request if it is to be kept.
async fn send(worker: &Worker, route: &Arc<Route>, mut head: Parts, body: UpBody, fate: UpBodyFate, keep: bool) -> Result<Reply, ForwardError> {
    let mut span = worker.span("", Kind::Client);
    if let Some(span) = &mut span {
        announce(span, &mut head, route);
    }
    let timeout_ms = route.policy.upstream.response_timeout_ms;
    let exchange = exchange(&worker.pool, route, head, body, fate.clone(), keep);
    let answered = in_time(exchange, &fate, Duration::from_millis(timeout_ms)).await;
    if let Some(span) = span {
        tell(span, answered.as_ref());
    }
    let (mut response, lease, spare) = match answered {
        Some(Ok(answer)) => answer,
        Some(Err(_)) if fate.too_large() => return Err(ForwardError::BodyTooLarge),
        Some(Err(Broken::Connect(cause))) => return Err(ForwardError::Connect { address: address(route), cause }),
        Some(Err(Broken::Exchange(cause))) => return Err(ForwardError::Exchange { address: address(route), cause: cause.to_string() }),
        None => return Err(ForwardError::Timeout { address: address(route), timeout_ms }),
    };
    let upgraded = (response.status() == StatusCode::SWITCHING_PROTOCOLS).then(|| hyper::upgrade::on(&mut response));
    let (head, body) = response.into_parts();
    Ok(Reply { head, body, ahead: VecDeque::new(), lease, spare, upgraded })
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

type Exchanged = (Response<Incoming>, Lease, Option<Parts>);

async fn exchange(pool: &Pool, route: &Arc<Route>, head: Parts, body: UpBody, fate: UpBodyFate, keep: bool) -> Result<Exchanged, Broken> {
    let mut lease = pool.lease(route).await.map_err(Broken::Connect)?;
    lease.watch(fate.clone());
    let bodiless = fate.finished();
    // Copied only where it may be needed: a used connection, an idempotent method, no body; or an application that may not know the person.
    let used = lease.used && bodiless && is_idempotent(&head.method);
    let spare = (used || keep).then(|| head.clone());
    let failed = match lease.sender().try_send_request(Request::from_parts(head, body)).await {
        Ok(response) => return Ok((response, lease, spare)),
        Err(failed) => failed,
    };
    let mut failed = failed;
    let again = match failed.take_message() {
        Some(unsent) => Some(unsent),
        None => spare.clone().filter(|_| used && before_any_answer(failed.error())).map(|head| Request::from_parts(head, UpBody::empty())),
    };
    let Some(again) = again else { return Err(Broken::Exchange(failed.into_error())) };
    let mut fresh = Box::pin(pool.connect(route)).await.map_err(Broken::Connect)?;
    fresh.watch(fate);
    let response = fresh.sender().send_request(again).await.map_err(Broken::Exchange)?;
    Ok((response, fresh, spare))
}

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether the connection closed before a byte of an answer: what an idle connection that the application was just closing looks like.
fn before_any_answer(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message()
}

/// The 101 for the client: the handshake's own headers, hop-by-hop ones included, for this hop is the one that upgrades.
fn switching(from: &HeaderMap, our_cookies: &str, owner: &CookieOwner) -> Response<DownBody> {
    let mut headers = from.clone();
    clean_response(&mut headers, our_cookies, owner);
    let mut response = Response::new(DownBody::ours(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
    response
}
