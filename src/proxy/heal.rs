//! An application that does not know the person it was told of.
//!
//! Lives here: reading the signs ([`begin`], [`is_text`], [`within_the_app`]) and [`look_again`], which has the account looked at. Once a minute for a person and an app and
//! never twice for a request, whatever the application answers: two machines that do not agree must not keep each other busy. What is sent again is `forward.rs`'s affair.

use super::worker::Worker;
use crate::fault::{Incident, PublicMessage};
use crate::provision::Looked;
use crate::request::Route;
use crate::session::{AppSession, Pass};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// So much of a text is read for signs.
const BEGINNING_BYTES_MAX: usize = 16 * 1024;
/// …and so long it is waited for.
const BEGINNING_MS: u64 = 2_000;

/// What was seen.
pub(super) struct Rejection<'r> {
    pub(super) incident: Incident,
    pub(super) route: &'r Arc<Route>,
    pub(super) status: StatusCode,
}

/// What looking at the account came to.
pub(super) enum Healed {
    /// It is there, as wanted: the application may be asked once more.
    Again(Arc<Pass>),
    /// It was looked at lately: this is not what is wrong.
    Often,
    /// There is a reason.
    Refused(PublicMessage),
}

/// Has the account looked at, whatever was known of it. Told in the audit log and counted.
pub(super) async fn look_again(worker: &Worker, session: &Arc<AppSession>, seen: &Rejection<'_>) -> Healed {
    let Rejection { incident, route, status } = *seen;
    let (desk, person, policy) = (Arc::clone(&worker.shared.provision), Arc::clone(session), Arc::clone(&route.policy));
    let asked = worker.shared.control.spawn(crate::trace::carried(async move { desk.look_again(&person, &policy, incident).await })).await;
    let looked = asked.unwrap_or_else(|died| {
        tracing::error!(%incident, error = %died, "the provisioning desk panicked");
        Looked::Refused(PublicMessage::Internal)
    });
    let (healed, result) = match looked {
        Looked::Ready(pass) => (Healed::Again(pass), "looked"),
        // One that takes so long to look is asked by the next request.
        Looked::Working => (Healed::Often, "working"),
        Looked::Lately => (Healed::Often, "limited"),
        Looked::Refused(message) => (Healed::Refused(message), "refused"),
    };
    worker.shared.metrics.sign_in_rejected(&route.policy.name, result);
    // What is limited is limited in the log as well.
    if result != "limited" {
        let identity = &session.sign_on.identity;
        tracing::info!(
            target: "audit",
            action = "signin.rejected",
            incident = %incident,
            app = route.policy.name,
            idp = identity.idp,
            user.iss = identity.subject.issuer,
            user.sub = identity.subject.subject,
            user.email = identity.email.as_deref(),
            http.status = status.as_u16(),
            reason = result,
            policy.revision = route.policy.revision,
        );
    }
    healed
}

/// Counts what asking once more came to.
pub(super) fn tell_again(worker: &Worker, seen: &Rejection<'_>, well: bool) {
    let result = if well { "healed" } else { "still" };
    worker.shared.metrics.sign_in_rejected(&seen.route.policy.name, result);
    if !well {
        let app = seen.route.policy.name.as_str();
        tracing::warn!(incident = %seen.incident, app, status = seen.status.as_u16(), "the application does not know a person whose account is there: is its sign-in set up as the manual says?");
    }
}

/// Path and query of a place that an application leads to; names of hosts are not what signs go by.
pub(super) fn within_the_app(location: &str) -> &str {
    let Some((_, rest)) = location.split_once("://") else { return location };
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}

/// Whether an answer's text can be read.
pub(super) fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let readable = [&b"text/"[..], b"application/json", b"application/xhtml"].iter().any(|start| kind.starts_with(start));
    // An event stream has no beginning that is over soon.
    readable && !kind.starts_with(b"text/event-stream") && !headers.contains_key(header::CONTENT_ENCODING)
}

/// Reads the beginning of a body; what was read comes first when it goes on. A body that breaks off breaks off there.
pub(super) async fn begin(body: &mut Incoming, ahead: &mut VecDeque<Bytes>) {
    let read = async {
        let mut bytes = 0;
        while bytes < BEGINNING_BYTES_MAX
            && let Some(Ok(frame)) = body.frame().await
            && let Ok(data) = frame.into_data()
        {
            bytes += data.len();
            ahead.push_back(data);
        }
    };
    // What is slow is passed on as it comes.
    drop(tokio::time::timeout(Duration::from_millis(BEGINNING_MS), read).await);
}

#[cfg(test)]
mod tests {
    use super::{is_text, within_the_app};
    use http::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn signs_are_read_in_texts_and_in_places_of_the_app() {
        for (location, expected) in
            [("/login?next=%2F", "/login?next=%2F"), ("login", "login"), ("https://wiki.example.com/login", "/login"), ("http://10.0.0.1:8080", "/")]
        {
            assert_eq!(within_the_app(location), expected);
        }
        let check = |lines: &[(&'static str, &'static str)], expected: bool| {
            let headers: HeaderMap = lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
            assert_eq!(is_text(&headers), expected, "{lines:?}");
        };
        check(&[], false);
        check(&[("content-type", "image/png")], false);
        check(&[("content-type", "text/event-stream")], false);
        check(&[("content-type", "text/html"), ("content-encoding", "gzip")], false);
        check(&[("content-type", "Text/HTML; charset=utf-8")], true);
        check(&[("content-type", "application/json")], true);
    }
}
