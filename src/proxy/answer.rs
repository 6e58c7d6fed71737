//! One request, from the connection to the connection.

use super::body::DownBody;
use super::forward::forward;
use super::leash::Leash;
use super::seen::Seen;
use super::sign_out;
use super::worker::Worker;
use crate::fault::{Incident, PublicMessage};
use crate::identity::Way;
use crate::login::{Ask, HostRole, OwnRequest, SAML_ACS};
use crate::pages::{PageContext, Told, Wish};
use crate::policy::leavers::has_left;
use crate::request::{Arrival, Bearings, Denied, Own, Route, Stop, Stopped, Walked, address_text, client_address, kind_of, walk};
use crate::state::AccountKey;
use crate::trace::{self, Kind, Open, Parent, TRACESTATE};
use bytes::Bytes;
use http::header::ACCEPT_LANGUAGE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use ipnet::IpNet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Our own pages take small forms only.
const OWN_BODY_BYTES_MAX: usize = 64 * 1024;
/// A SAML response of 512 KiB, in base64, as a form.
const SAML_BODY_BYTES_MAX: usize = 1024 * 1024;
/// …and not slowly.
const OWN_BODY_MS: u64 = 10_000;

/// What a connection knows of itself.
#[derive(Debug)]
pub(super) struct Connection {
    /// The peer's address.
    pub(super) peer: IpAddr,
    /// The same as text.
    pub(super) peer_text: HeaderValue,
    /// Name it was opened for, lower case.
    pub(super) sni: Option<Arc<str>>,
    /// Whether it is one too many: then that is all it is told.
    pub(super) turned_away: bool,
    /// Told when it takes nothing of an answer any more: it is closed then.
    pub(super) leash: Rc<Leash>,
}

impl Connection {
    pub(super) fn new(peer: IpAddr, sni: Option<Arc<str>>, turned_away: bool, leash: Rc<Leash>) -> Self {
        Self { peer, peer_text: address_text(peer), sni, turned_away, leash }
    }
}

/// How a request ended, for its log line and the counters.
struct Ending {
    app: Option<Arc<Route>>,
    decision: &'static str,
    reason: &'static str,
}

/// An answer that is being made. In a box of its own: a connection that waits for its next request does not keep the room for it.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Response<DownBody>, Infallible>>>>;

/// Answers a request.
pub(super) fn answer(worker: Rc<Worker>, connection: Rc<Connection>, request: Request<Incoming>) -> Answering {
    if worker.shared.traces.is_some() {
        return Box::pin(async move { Ok(traced(&worker, &connection, request).await) });
    }
    Box::pin(async move { Ok(answered(&worker, &connection, request).await.0) })
}

async fn traced(worker: &Rc<Worker>, connection: &Connection, mut request: Request<Incoming>) -> Response<DownBody> {
    let Some(recorder) = &worker.shared.traces else { return answered(worker, connection, request).await.0 };
    // Who is not trusted to say who a client is, is not trusted to say what a request belongs to either.
    let trusted = worker.limits.get().trusted_proxies.iter().any(|net| net.contains(&connection.peer));
    let parent = if trusted { Parent::read(request.headers()) } else { None };
    let mut span = recorder.begin(parent);
    let context = span.context().clone();
    if parent.is_none() {
        // The state of somebody else's trace.
        request.headers_mut().remove(TRACESTATE);
    }
    let (response, ended) = trace::under(Some(context), answered(worker, connection, request)).await;
    ended.tell(&mut span, response.status());
    response
}

/// What a span says of a request.
struct Ended {
    method: &'static str,
    incident: Incident,
    ending: Ending,
}

impl Ended {
    fn tell(self, span: &mut Open, status: StatusCode) {
        let Self { method, incident, ending: Ending { app, decision, reason } } = self;
        let verb = if method == "_OTHER" { "HTTP" } else { method };
        match &app {
            Some(route) => {
                span.rename(format!("{verb} /{}", route.policy.name));
                span.note("server.address", route.policy.host.clone());
                span.note("vestibule.app", route.policy.name.clone());
            }
            None => span.rename(verb.to_owned()),
        }
        span.note("http.request.method", method);
        span.note("http.response.status_code", status.as_u16());
        span.note("vestibule.decision", decision);
        span.note("vestibule.reason", reason);
        span.note("vestibule.incident", incident.to_string());
        if status.is_server_error() {
            span.fail(status.as_u16().to_string());
        }
    }
}

async fn answered(worker: &Rc<Worker>, connection: &Connection, request: Request<Incoming>) -> (Response<DownBody>, Ended) {
    let begun = Instant::now();
    let incident = worker.incident();
    if connection.turned_away {
        let ending = Ending { app: None, decision: "refused", reason: "too_many_connections" };
        return (too_many(worker, incident, &request), Ended { method: known(request.method()), incident, ending });
    }
    let limits = worker.limits.get();
    let (head, body) = request.into_parts();
    let line = Line::of(&head, connection.peer, &limits.trusted_proxies);
    let body_bytes = http_body::Body::size_hint(&body).exact();
    let arrival =
        Arrival { head, body, body_bytes, sni: connection.sni.clone(), peer: connection.peer, peer_text: connection.peer_text.clone(), incident };
    let walked = walk(arrival, &worker.routes.get(), &limits, worker.as_ref(), worker.shared.clock.now()).await;
    let (mut response, ending, seen) = match walked {
        Walked::Forward(upstream) => {
            let errand = upstream.errand();
            let (app, kind) = (Some(Arc::clone(&errand.route)), errand.bearings.kind);
            // Shared bytes: nothing is copied.
            let language = errand.bearings.headers.get(ACCEPT_LANGUAGE).cloned();
            let decision = if errand.session().is_some() { "allowed" } else { "public" };
            let forwarded = match errand.signs_out {
                None => forward(worker, &limits, upstream, &connection.leash).await,
                Some(asked_for) => Box::pin(sign_out::through_the_app(worker, &limits, upstream, asked_for, &connection.leash)).await,
            };
            match forwarded {
                Ok(response) => (response, Ending { app, decision, reason: "" }, None),
                Err(error) => {
                    tracing::warn!(%incident, %error, app = app.as_ref().map(|route| route.policy.name.as_str()), "the application did not answer");
                    let page = page(worker, error.public(), incident, kind, app.as_deref(), language.as_ref());
                    (page, Ending { app, decision, reason: "upstream" }, Some(Box::new(Seen::unanswered(&line, &error))))
                }
            }
        }
        Walked::Own(own) => {
            let (app, seen) = (own.route.clone(), Box::new(Seen::of(&own.bearings)));
            (Box::pin(ours(worker, own)).await, Ending { app, decision: "own", reason: "" }, Some(seen))
        }
        Walked::Stopped(stopped) => {
            let ending = Ending { app: stopped.route().cloned(), decision: decision(stopped.stop()), reason: reason(stopped.stop()) };
            let seen = Box::new(Seen::stopped(&stopped));
            (Box::pin(stop(worker, *stopped)).await, ending, Some(seen))
        }
    };
    if let Some(seen) = seen
        && let Some(told) = response.extensions_mut().remove::<Told>()
    {
        worker.shared.incidents.keep(seen.with(told, incident, worker.shared.clock.now()));
    }
    worker.tally(ending.app.as_deref(), line.method, response.status(), begun.elapsed(), ending.decision, ending.reason);
    line.write(incident, &ending, response.status(), begun, connection.peer);
    (response, Ended { method: line.method, incident, ending })
}

/// To whoever is one too many: that, and the end of the connection.
fn too_many(worker: &Worker, incident: Incident, request: &Request<Incoming>) -> Response<DownBody> {
    let is_h1 = request.version() < http::Version::HTTP_2;
    let kind = kind_of(request.method(), request.headers());
    let mut response = page(worker, PublicMessage::TooManyConnections, incident, kind, None, request.headers().get(ACCEPT_LANGUAGE));
    drop(response.extensions_mut().remove::<Told>());
    if is_h1 {
        response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What the log line says of the request; the path only when the line will be written, and never the query, which may hold secrets.
pub(super) struct Line {
    pub(super) method: &'static str,
    /// And the client, after `trusted_proxies`.
    pub(super) path: Option<(String, IpAddr)>,
}

impl Line {
    fn of(head: &Parts, peer: IpAddr, trusted: &[IpNet]) -> Self {
        let wanted = tracing::enabled!(target: "vestibule::request", tracing::Level::INFO);
        let path = wanted.then(|| (head.uri.path().to_owned(), client_address(peer, &head.headers, trusted)));
        Self { method: known(&head.method), path }
    }

    fn write(&self, incident: Incident, ending: &Ending, status: StatusCode, begun: Instant, peer: IpAddr) {
        let Some((path, client)) = &self.path else { return };
        let app = ending.app.as_ref().map_or("", |route| route.policy.name.as_str());
        let elapsed_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(
            target: "vestibule::request",
            incident = %incident, app, method = self.method, path, status = status.as_u16(), elapsed_us, decision = ending.decision, reason = ending.reason, client = %client, peer = %peer,
            "request"
        );
    }
}

/// A method as a label of low cardinality.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

const fn decision(stop: &Stop) -> &'static str {
    match stop {
        Stop::SignIn { .. } => "sign_in",
        Stop::Recheck(_) => "recheck",
        Stop::Say(PublicMessage::Denied(_)) => "denied",
        Stop::Say(PublicMessage::Waiting) => "waiting",
        Stop::Redirect(_) => "landing",
        Stop::Enter(_) => "entering",
        Stop::Say(_) => "refused",
    }
}

const fn reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::Say(PublicMessage::Denied(reason)) | Stop::Recheck(reason) => reason.key(),
        Stop::Say(PublicMessage::AccountsOff) => "accounts_off",
        Stop::Say(PublicMessage::AccountsFull) => "accounts_full",
        Stop::Say(PublicMessage::AwaitingApproval) => "awaiting_approval",
        Stop::Say(PublicMessage::OpenInBrowser) => "open_in_browser",
        Stop::Say(PublicMessage::AppClosed) => "app_closed",
        Stop::SignIn { fresh: true } => "max_age",
        Stop::SignIn { fresh: false } | Stop::Redirect(_) | Stop::Enter(_) | Stop::Say(_) => "",
    }
}

fn page(
    worker: &Worker,
    message: PublicMessage,
    incident: Incident,
    kind: crate::pages::RequestKind,
    app: Option<&Route>,
    language: Option<&HeaderValue>,
) -> Response<DownBody> {
    let app = app.map(|route| route.policy.as_ref());
    let context = PageContext { kind, incident, app, person: None, continue_to: None, language: Wish::Asked(language) };
    worker.shared.pages.respond(message, context).map(DownBody::ours)
}

/// A request that goes no further gets what it is owed.
async fn stop(worker: &Rc<Worker>, stopped: Stopped) -> Response<DownBody> {
    if let Stop::Say(PublicMessage::Denied(denied)) = stopped.stop() {
        audit_denied(&stopped, denied.key());
        turn_away(worker, &stopped);
    }
    let ask = match stopped.stop() {
        Stop::Say(message) => {
            let back = stopped.bearings().map(Bearings::path_and_query);
            let app = stopped.route().map(|route| route.policy.as_ref());
            let language = Wish::Asked(stopped.accept_language());
            let (kind, incident, person) = (stopped.kind(), stopped.incident(), stopped.person());
            let context = PageContext { kind, incident, app, person, continue_to: back.as_deref(), language };
            return worker.shared.pages.respond(*message, context).map(DownBody::ours);
        }
        Stop::Redirect(to) | Stop::Enter(to) => return worker.shared.pages.see_other(to, stopped.incident()).map(DownBody::ours),
        Stop::SignIn { fresh: true } => Ask::Fresh,
        Stop::SignIn { fresh: false } => Ask::Any,
        Stop::Recheck(_) => Ask::Reread,
    };
    let (incident, kind, route) = (stopped.incident(), stopped.kind(), stopped.route().cloned());
    let (Some(route), Some(bearings)) = (route, stopped.into_bearings()) else {
        return page(worker, PublicMessage::Internal, incident, kind, None, None);
    };
    let return_to = sign_out::never_back_to(&route, &bearings).unwrap_or_else(|| bearings.path_and_query());
    let request = own_request(bearings, HostRole::App(Arc::clone(&route.policy)), Bytes::new());
    let desk = Arc::clone(&worker.shared.login);
    let span = worker.span("vestibule.login.begin", Kind::Internal);
    let work = async move { desk.send_to_sign_in(request, return_to, ask).await };
    let asked = worker.shared.control.spawn(trace::under(span.as_ref().map(|span| span.context().clone()), work)).await;
    asked.map_or_else(|died| died_page(worker, incident, kind, &died), |response| response.map(DownBody::ours))
}

/// Whoever is refused by what is certain of them has left: the desk looks after their account.
fn turn_away(worker: &Rc<Worker>, stopped: &Stopped) {
    // A token says what its client asked for: less than a sign-in, and nothing of who has left.
    if let (Some(route), Some(person), Some(as_of), Way::Session) = (stopped.route(), stopped.person(), stopped.as_of(), stopped.way())
        && route.policy.provision.as_ref().is_some_and(|provision| provision.leavers.acts())
        && has_left(&route.policy, person).is_some()
    {
        let key = AccountKey { upstream: route.policy.name.clone(), subject: person.subject.clone() };
        worker.shared.provision.turned_away(key, &route.policy, as_of, stopped.incident());
    }
}

fn audit_denied(stopped: &Stopped, reason: &'static str) {
    let bearings = stopped.bearings();
    Denied {
        incident: stopped.incident(),
        policy: stopped.route().map(|route| route.policy.as_ref()),
        person: stopped.person(),
        client: bearings.map(|bearings| bearings.client),
        method: bearings.map(|bearings| bearings.method.as_str()),
        path: bearings.map(|bearings| bearings.path.as_str()),
        reason,
        rule: stopped.rule(),
    }
    .tell();
}

/// One of our own pages.
async fn ours(worker: &Rc<Worker>, own: Own<Incoming>) -> Response<DownBody> {
    let Own { bearings, body, route } = own;
    let (incident, kind) = (bearings.incident, bearings.kind);
    let language = bearings.headers.get(ACCEPT_LANGUAGE).cloned();
    let bytes_max = if route.is_none() && bearings.path.as_str() == SAML_ACS { SAML_BODY_BYTES_MAX } else { OWN_BODY_BYTES_MAX };
    let read = tokio::time::timeout(Duration::from_millis(OWN_BODY_MS), Limited::new(body, bytes_max).collect()).await;
    let body = match read {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(_)) => return page(worker, PublicMessage::BodyTooLarge, incident, kind, route.as_deref(), language.as_ref()),
        Err(_elapsed) => return page(worker, PublicMessage::BadRequest, incident, kind, route.as_deref(), language.as_ref()),
    };
    let role = route.map_or(HostRole::Auth, |route| HostRole::App(Arc::clone(&route.policy)));
    let request = own_request(bearings, role, body);
    let desk = Arc::clone(&worker.shared.login);
    let span = page_name(&request.path).and_then(|name| worker.span(name, Kind::Internal));
    let context = span.as_ref().map_or_else(trace::current, |span| Some(span.context().clone()));
    let asked = worker.shared.control.spawn(trace::under(context, async move { desk.serve(request).await })).await;
    asked.map_or_else(|died| died_page(worker, incident, kind, &died), |response| response.map(DownBody::ours))
}

/// The part of a sign-in that a page of ours is.
fn page_name(path: &str) -> Option<&'static str> {
    Some(match path {
        "/.vestibule/login" => "vestibule.login.begin",
        "/.vestibule/callback" => "vestibule.login.callback",
        "/.vestibule/wait" => "vestibule.provision",
        "/.vestibule/logout" => "vestibule.logout",
        _ => return None,
    })
}

fn own_request(bearings: Box<Bearings>, role: HostRole, body: Bytes) -> OwnRequest {
    let query = bearings.query().unwrap_or_default().to_owned();
    let bearings = *bearings;
    OwnRequest {
        incident: bearings.incident,
        kind: bearings.kind,
        role,
        method: bearings.method,
        path: bearings.path.as_str().to_owned(),
        query,
        headers: bearings.headers,
        body,
        peer: bearings.client,
    }
}

fn died_page(worker: &Worker, incident: Incident, kind: crate::pages::RequestKind, died: &tokio::task::JoinError) -> Response<DownBody> {
    tracing::error!(%incident, error = %died, "a page of our own panicked; please report this");
    page(worker, PublicMessage::Internal, incident, kind, None, None)
}
