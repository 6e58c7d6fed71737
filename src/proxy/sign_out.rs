//! Where an application signs people out (`[sign_in] logout_paths`).
//!
//! Lives here: [`through_the_app`]: first the application ends its session, then the gateway ends its own, whatever the application had to say; and
//! [`never_back_to`], so that nobody who signs in is signed out by that. Apart from `answer.rs` because this is the one answer of an application that becomes one of ours.

use super::body::DownBody;
use super::forward::{ForwardError, forward};
use super::leash::Leash;
use super::worker::Worker;
use crate::login::{HostRole, OwnRequest};
use crate::request::{Bearings, Errand, Limits, Route, UpstreamRequest};
use bytes::Bytes;
use http::header::{ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LENGTH, SET_COOKIE};
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Our own page that asks whether it is meant.
const ASK: &str = "/.vestibule/logout";
/// More than any application has to say to whom it signs out, bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// …and longer than it takes to say it, milliseconds.
const ANSWER_MS: u64 = 10_000;

/// Sends a request to where the application signs people out, and ends the session here. One that a page of another site may have caused (`asked_for` is false) is
/// not sent: the person is asked. An application that refuses, because its own check against forgeries failed, keeps the session alive, and its answer counts.
pub(super) async fn through_the_app(
    worker: &Rc<Worker>,
    limits: &Limits,
    upstream: UpstreamRequest<Incoming>,
    asked_for: bool,
    leash: &Rc<Leash>,
) -> Result<Response<DownBody>, ForwardError> {
    let incident = upstream.errand().bearings.incident;
    let Some(session) = upstream.errand().session().cloned() else { return forward(worker, limits, upstream, leash).await };
    if !asked_for {
        return Ok(worker.shared.pages.see_other(ASK, incident).map(DownBody::ours));
    }
    let (kind, request) = (upstream.errand().bearings.kind, own_request(upstream.errand()));
    let answered = forward(worker, limits, upstream, leash).await;
    if let Ok(refused) = &answered
        && refused.status().is_client_error()
    {
        return answered;
    }
    let answered = match answered {
        Ok(response) if !kind.is_read_by_a_person() => Ok(read_whole(response).await),
        other => other,
    };
    let desk = Arc::clone(&worker.shared.login);
    let signed_out = worker.shared.control.spawn(async move { desk.signed_out_by_app(request, &session).await }).await;
    let ours = match signed_out {
        Ok(response) => response.map(DownBody::ours),
        Err(died) => {
            tracing::error!(%incident, error = %died, "signing out panicked; please report this");
            return answered;
        }
    };
    let theirs = match answered {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%incident, %error, "the application did not answer a sign-out; the session has ended here");
            return Ok(ours);
        }
    };
    // A script reads the answer it knows; a person is taken on to where everything else is signed out.
    let (mut shown, other) = if kind.is_read_by_a_person() { (ours, theirs) } else { (theirs, ours) };
    for cookie in other.headers().get_all(SET_COOKIE) {
        shown.headers_mut().append(SET_COOKIE, cookie.clone());
    }
    Ok(shown)
}

/// What an application says to a script, read before the session ends: a body on its way ends with it.
async fn read_whole(response: Response<DownBody>) -> Response<DownBody> {
    let (mut head, body) = response.into_parts();
    let whole = tokio::time::timeout(Duration::from_millis(ANSWER_MS), Limited::new(body, ANSWER_BYTES_MAX).collect()).await;
    let bytes = whole.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
    if bytes.is_none() {
        // Status and cookies are what counts.
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(CONTENT_ENCODING);
    }
    Response::from_parts(head, DownBody::ours(bytes.unwrap_or_default()))
}

/// As one of our own pages would be asked for.
fn own_request(errand: &Errand) -> OwnRequest {
    let bearings = &errand.bearings;
    let language = bearings.headers.get(ACCEPT_LANGUAGE).map(|value| (ACCEPT_LANGUAGE, value.clone()));
    OwnRequest {
        incident: bearings.incident,
        kind: bearings.kind,
        role: HostRole::App(Arc::clone(&errand.route.policy)),
        method: Method::POST,
        path: ASK.to_owned(),
        query: String::new(),
        headers: language.into_iter().collect::<HeaderMap>(),
        body: Bytes::new(),
        peer: bearings.client,
    }
}

/// The app's front page instead of one that signs out: whoever has to sign in first does not want to be signed out by that.
pub(super) fn never_back_to(route: &Route, bearings: &Bearings) -> Option<String> {
    route.policy.sign_in.signs_out_at(bearings.method.as_str(), &bearings.path).then(|| "/".to_owned())
}
