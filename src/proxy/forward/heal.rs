//! An application that does not know the person it was told of.
//!
//! Lives here: [`Watched`], which reads the signs, and [`heal`], which has the account looked at and asks the application once more. Once a minute for a person and an app
//! and never twice for a request, whatever the application answers: two machines that do not agree must not keep each other busy. Within `forward.rs`, for what is
//! sent again goes by the same door.

use super::{ForwardError, Reply, address, send};
use crate::fault::{Incident, PublicMessage};
use crate::pages::RequestKind;
use crate::policy::SignIn;
use crate::provision::Looked;
use crate::proxy::body::{UpBody, UpBodyFate};
use crate::proxy::worker::Worker;
use crate::request::{Bearings, Doors as _, Errand, Limits, Route, entrance};
use crate::session::{AppSession, Pass};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// So much of a text is read for signs.
const BEGINNING_BYTES_MAX: usize = 16 * 1024;
/// …and so long it is waited for.
const BEGINNING_MS: u64 = 2_000;

/// A request whose answer may say that the application does not know the person.
pub(super) struct Watched<'e> {
    errand: &'e Errand,
    person: &'e Arc<AppSession>,
    /// Whether it had no body, and may be sent once more.
    is_repeatable: bool,
}

/// What becomes of an answer.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(super) enum Healed {
    /// It is passed on: the first one, or one to the request sent again.
    Answer(Reply),
    /// Off to where the application learns who it is, and back.
    Elsewhere(String),
}

impl<'e> Watched<'e> {
    /// `None` where no answer says so: on public paths, and where the policy has no signs for it.
    pub(super) fn of(errand: &'e Errand, is_bodiless: bool) -> Option<Self> {
        // Signing out may well lead to where nobody is known.
        if errand.route.policy.sign_in.rejected_when.is_empty() || errand.socket || errand.signs_out.is_some() {
            return None;
        }
        let is_repeatable = is_bodiless && matches!(errand.bearings.method, Method::GET | Method::HEAD);
        Some(Self { errand, person: errand.session()?, is_repeatable })
    }

    /// The page that it is for, where it is for one.
    fn page(&self) -> Option<&'e str> {
        let Bearings { kind, method, target, .. } = &*self.errand.bearings;
        (*kind == RequestKind::Page && *method == Method::GET).then(|| target.as_str())
    }

    /// Whether `reply` has to be looked at more closely.
    pub(super) fn may_be_rejection(&self, reply: &Reply) -> bool {
        let (sign_in, status) = (&self.errand.route.policy.sign_in, reply.head.status.as_u16());
        self.is_turned_back(reply) || sign_in.is_rejection(status, reply.place()) || (sign_in.reads(status) && is_text(&reply.head.headers))
    }

    /// From its login address to the page, and from the page back to its login address: it does not know whom it was told of.
    fn is_turned_back(&self, reply: &Reply) -> bool {
        let unproven = self.page().is_some() && self.errand.binding.as_ref().is_some_and(|binding| binding.is_unproven());
        unproven && reply.head.status.is_redirection() && reply.place().is_some_and(|place| self.errand.route.policy.sign_in.leads_in(place))
    }
}

/// Passes `reply` on, unless it says that the application does not know the person: then their account is looked at, and when that is there, the application is asked once
/// more.
pub(super) async fn heal(worker: &Worker, limits: &Limits, watched: Watched<'_>, mut reply: Reply) -> Result<Healed, ForwardError> {
    let Watched { errand, person, .. } = watched;
    let route = &errand.route;
    let turned_back = watched.is_turned_back(&reply);
    if !turned_back && !reply.is_rejection(&route.policy.sign_in).await {
        return Ok(Healed::Answer(reply));
    }
    let seen = Rejection { incident: errand.bearings.incident, route, status: reply.head.status };
    let account = look_again(worker, person, &seen).await;
    // The next page leads by the login address once more: by then the application may know them.
    if let Some(binding) = errand.binding.as_ref().filter(|_| turned_back || matches!(account, Account::There(_))) {
        binding.leave();
    }
    match account {
        Account::Refused(message) => Err(ForwardError::Refused { address: address(route), message }),
        Account::There(pass) => ask_again(worker, limits, watched, reply, &pass, &seen).await,
        Account::SeenLately if errand.bearings.kind.is_read_by_a_person() => Err(ForwardError::NotKnown { address: address(route) }),
        // Its own answer is what an application's own scripts know to read.
        Account::SeenLately => Ok(Healed::Answer(reply)),
    }
}

/// The account is there: the application is asked once more, told by `pass`.
async fn ask_again(
    worker: &Worker,
    limits: &Limits,
    watched: Watched<'_>,
    reply: Reply,
    pass: &Arc<Pass>,
    seen: &Rejection<'_>,
) -> Result<Healed, ForwardError> {
    let Watched { errand, person, is_repeatable } = watched;
    let Errand { bearings, route, binding, .. } = errand;
    let sign_in = &route.policy.sign_in;
    let not_known = || ForwardError::NotKnown { address: address(route) };
    // From the page to where the app learns who it is, and back to the page.
    if let (Some(login), Some(page), false) = (sign_in.login_url.as_deref(), watched.page(), errand.leads_in()) {
        return Ok(Healed::Elsewhere(entrance::address(login, page)));
    }
    if sign_in.mode.enters()
        && let Err(message) = worker.enter(person, route, pass, bearings.incident).await
    {
        return Err(ForwardError::Refused { address: address(route), message });
    }
    if !is_repeatable {
        return if bearings.kind.is_read_by_a_person() { Err(not_known()) } else { Ok(Healed::Answer(reply)) };
    }
    drop(reply);
    let binding = route.shared.cookies.as_ref().filter(|_| binding.is_some()).map(|keys| person.binding(&keys.key, &pass.told));
    let (body, fate) = (UpBody::empty(), UpBodyFate::finished_at_once());
    let head = || errand.head_anew(limits, pass, binding.as_deref());
    let mut reply = send(worker, errand, head, body, fate).await?;
    let still = reply.is_rejection(sign_in).await;
    tell_again(worker, seen, !still);
    if still && bearings.kind.is_read_by_a_person() {
        return Err(not_known());
    }
    Ok(Healed::Answer(reply))
}

impl Reply {
    fn place(&self) -> Option<&str> {
        self.head.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).map(within_the_app)
    }

    /// Whether it says that the application does not know the person. Of its text only the beginning is read.
    async fn is_rejection(&mut self, sign_in: &SignIn) -> bool {
        let status = self.head.status.as_u16();
        if sign_in.is_rejection(status, self.place()) {
            return true;
        }
        if !sign_in.reads(status) || !is_text(&self.head.headers) {
            return false;
        }
        begin(&mut self.body, &mut self.ahead).await;
        let text: Vec<u8> = self.ahead.iter().flat_map(|piece| piece.iter().copied()).collect();
        sign_in.is_rejection_in_words(status, &text)
    }
}

/// What was seen.
struct Rejection<'r> {
    incident: Incident,
    route: &'r Arc<Route>,
    status: StatusCode,
}

/// What looking at the account came to.
enum Account {
    /// It is there, as wanted: the application may be asked once more.
    There(Arc<Pass>),
    /// It was looked at lately: this is not what is wrong.
    SeenLately,
    /// There is a reason.
    Refused(PublicMessage),
}

/// Has the account looked at, whatever was known of it. Told in the audit log and counted.
async fn look_again(worker: &Worker, session: &Arc<AppSession>, seen: &Rejection<'_>) -> Account {
    let Rejection { incident, route, status } = *seen;
    let (desk, person, policy) = (Arc::clone(&worker.shared.provision), Arc::clone(session), Arc::clone(&route.policy));
    let asked = worker.shared.control.spawn(crate::trace::carried(async move { desk.look_again(&person, &policy, incident).await })).await;
    let looked = asked.unwrap_or_else(|died| {
        tracing::error!(%incident, error = %died, "the provisioning desk panicked");
        Looked::Refused(PublicMessage::Internal)
    });
    let (account, result) = match looked {
        Looked::Ready(pass) => (Account::There(pass), "looked"),
        // One that takes so long to look is asked by the next request.
        Looked::Working => (Account::SeenLately, "working"),
        Looked::Lately => (Account::SeenLately, "limited"),
        Looked::Refused(message) => (Account::Refused(message), "refused"),
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
    account
}

/// Counts what asking once more came to.
fn tell_again(worker: &Worker, seen: &Rejection<'_>, well: bool) {
    let result = if well { "healed" } else { "still" };
    worker.shared.metrics.sign_in_rejected(&seen.route.policy.name, result);
    if !well {
        let app = seen.route.policy.name.as_str();
        tracing::warn!(incident = %seen.incident, app, status = seen.status.as_u16(), "the application does not know a person whose account is there: is its sign-in set up as the manual says?");
    }
}

/// Path and query of a place that an application leads to; names of hosts are not what signs go by.
fn within_the_app(location: &str) -> &str {
    let Some((_, rest)) = location.split_once("://") else { return location };
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}

/// Whether an answer's text can be read.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let readable = [&b"text/"[..], b"application/json", b"application/xhtml"].iter().any(|start| kind.starts_with(start));
    // An event stream has no beginning that is over soon.
    readable && !kind.starts_with(b"text/event-stream") && !headers.contains_key(header::CONTENT_ENCODING)
}

/// Reads the beginning of a body; what was read comes first when it goes on. A body that breaks off breaks off there.
async fn begin(body: &mut Incoming, ahead: &mut VecDeque<Bytes>) {
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
