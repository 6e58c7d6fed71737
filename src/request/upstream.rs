//! Last stage: the request that goes to the application, built anew.
//!
//! A new header map, never the old one edited: what is not copied on purpose does not arrive. In order: hop-by-hop headers and whatever `Connection`
//! names are left behind, reserved names in every spelling are left behind, our cookies are taken out, and only then is the identity set, so that nothing a
//! client sends can delete or shadow it (CVE-2024-45410, GHSA-w9mr-28mw-j8hg).

use super::app_cookies::{self, CookieOwner};
use super::reserved::Reserved;
use super::{Bearings, Limits, Route, entrance};
use crate::clock::Timestamp;
use crate::identity::Way;
use crate::pages::RequestKind;
use crate::policy::CanonicalPath;
use crate::policy::evaluate::{Facts, Refusal, SignedIn, evaluate_by};
use crate::policy::switches::WhenDisabled;
use crate::session::{AppSession, Binding, Pass};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use std::sync::Arc;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a decision rested on besides the person: kept while the answer is under way, so that it can be decided anew when the policy changes. A request without its headers.
#[derive(Debug)]
pub struct Asked(Box<Bearings>);

impl Asked {
    /// Whether the request would still be let through by the policy of `route`, on this session or, on public paths, on none. A sign-in that has become too old
    /// stays: it was not when the answer began, and pages ask for a new one.
    pub fn may_stay(&self, route: &Route, session: Option<&AppSession>, now: Timestamp) -> bool {
        let policy = &route.policy;
        let Bearings { method, path, client, .. } = &*self.0;
        if !path.suits(policy.encoded_slashes) {
            return false;
        }
        let facts = Facts { method: method.as_str(), path, peer: *client, host: &policy.host };
        let signed_in = session.map(|session| SignedIn { identity: &session.sign_on.identity, auth_time: now });
        let way = session.map_or(Way::Session, |session| session.way);
        // An app that is closed to everybody is closed to whoever is in it.
        let switches = policy.provision.as_ref().map(|provision| &provision.switches);
        let closed = switches.is_some_and(|switches| !switches.enabled && switches.when_disabled == WhenDisabled::DenyAll);
        match evaluate_by(policy, signed_in, way, &facts, now) {
            Ok(admitted) => admitted.public || !closed,
            Err(Refusal::FreshLogin { .. }) => !closed,
            Err(Refusal::LoginRequired | Refusal::TokenRequired | Refusal::Denied { .. }) => false,
        }
    }
}

/// On whose behalf a request is sent.
#[derive(Debug)]
pub(super) enum Whose {
    /// Somebody with an account.
    Person(Arc<AppSession>, Arc<Pass>),
    /// Whoever is on a public path; with the session of this browser, if there is one. Nobody is announced.
    Visitor(Option<Arc<AppSession>>),
}

/// A request that may be sent to its application. The client that sends it is private to `proxy::forward`, and takes nothing else.
#[derive(Debug)]
pub struct UpstreamRequest<B> {
    body: B,
    errand: Errand,
}

/// An [`UpstreamRequest`] taken apart by the one that sends it.
#[derive(Debug)]
pub struct Wire<B> {
    /// Body, as the client sends it.
    pub body: B,
    /// Everything else.
    pub errand: Errand,
}

/// A request but for its body. It stays here while the request is with its application: should that have to be sent once more, its head is built once more.
#[derive(Debug)]
pub struct Errand {
    /// As it came; the client's side of an upgrade only where it asked for a WebSocket.
    pub bearings: Box<Bearings>,
    /// Where to.
    pub route: Arc<Route>,
    whose: Whose,
    /// Whether it asks for a WebSocket.
    pub socket: bool,
    /// Whose the app's cookies are.
    pub owner: CookieOwner,
    /// What is known of the session's way into the app, where that matters.
    pub binding: Option<Arc<Binding>>,
    /// This is where the app learns who it is; the page that led here.
    pub back: Option<String>,
    /// Whether the app signs the person out here; `Some(false)`: it would, but not because they asked for it.
    pub signs_out: Option<bool>,
}

impl Errand {
    fn new(mut bearings: Box<Bearings>, route: Arc<Route>, whose: Whose) -> Self {
        // RFC 9113 8.6: a WebSocket over HTTP/1.1 only; h2c and every other upgrade is left behind with the `Upgrade` header (H9).
        let socket = bearings.kind == RequestKind::Socket && bearings.version == Version::HTTP_11 && bearings.method == Method::GET;
        if !socket {
            bearings.extensions.clear();
        }
        let (owner, binding) = owner(&whose, &route);
        let signs_out = matches!(whose, Whose::Person(..)).then(|| entrance::signs_out(&bearings, &route)).flatten();
        let back = entrance::way_back(&mut bearings.target, &route.policy.sign_in);
        Self { bearings, route, whose, socket, owner, binding, back, signs_out }
    }

    /// On whose session it is sent; `None` on public paths.
    pub const fn session(&self) -> Option<&Arc<AppSession>> {
        match &self.whose {
            Whose::Person(session, _) => Some(session),
            Whose::Visitor(_) => None,
        }
    }

    /// Whether this is where the app learns who it is.
    pub fn leads_in(&self) -> bool {
        self.binding.is_some() && self.route.policy.sign_in.login_url.as_deref() == Some(self.bearings.path.as_str())
    }

    /// The head for the application, in origin form.
    pub fn head(&self, limits: &Limits) -> http::request::Parts {
        let pass = match &self.whose {
            Whose::Person(_, pass) => Some(pass.as_ref()),
            Whose::Visitor(_) => None,
        };
        let cookie = app_cookies::to_app(&self.bearings.headers, &limits.cookie, &self.owner, &self.route.policy.sign_in.script_cookies);
        self.build(limits, pass, cookie, self.binding.as_deref())
    }

    /// The same, but told by `pass`, and without the app's cookies: what they stood for is not known there any more.
    pub(crate) fn head_anew(&self, limits: &Limits, pass: &Pass, binding: Option<&Binding>) -> http::request::Parts {
        self.build(limits, Some(pass), binding.and_then(app_cookies::got_alone), binding)
    }

    fn build(&self, limits: &Limits, pass: Option<&Pass>, cookie: Option<HeaderValue>, binding: Option<&Binding>) -> http::request::Parts {
        let Self { bearings, route, .. } = self;
        let sign_in = &route.policy.sign_in;
        let mut headers = HeaderMap::with_capacity(bearings.headers.len() + 12);
        headers.insert(header::HOST, bearings.authority.clone());
        headers.insert(FORWARDED_HOST, bearings.authority.clone());
        copy(&mut headers, &bearings.headers, &route.reserved, pass.is_some());
        if let Some(cookie) = cookie {
            headers.insert(header::COOKIE, cookie);
        }
        headers.insert(FORWARDED_FOR, bearings.client_text.clone());
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(limits.scheme));
        if let Ok(id) = HeaderValue::from_bytes(&bearings.incident.ascii()) {
            headers.insert(REQUEST_ID, id);
        }
        if self.socket {
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        if sign_in.reads_any() {
            // What the application says is read, and must not come compressed.
            headers.remove(header::ACCEPT_ENCODING);
        }
        for (name, value) in &route.shared.everywhere {
            headers.insert(name.clone(), value.clone());
        }
        let pass = pass.filter(|_| sign_in.announces_at(bearings.path.as_str()));
        give(&mut headers, &bearings.path, route, pass);
        if let Some(pass) = pass {
            announce(&mut headers, pass, route, binding);
        }
        let mut head = http::Request::new(()).into_parts().0;
        head.method = bearings.method.clone();
        head.version = Version::HTTP_11;
        head.uri = Uri::from(bearings.target.clone());
        head.headers = headers;
        head
    }

    /// What remains to be known once the answer is on its way: where it came from, on whose session, and on what it was let through.
    pub fn into_asked(self) -> (Arc<Route>, Option<Arc<AppSession>>, Asked) {
        let session = match self.whose {
            Whose::Person(session, _) => Some(session),
            Whose::Visitor(_) => None,
        };
        let mut bearings = self.bearings;
        bearings.headers = HeaderMap::new();
        (self.route, session, Asked(bearings))
    }
}

impl<B> UpstreamRequest<B> {
    pub(super) fn new(bearings: Box<Bearings>, body: B, route: Arc<Route>, whose: Whose) -> Self {
        Self { body, errand: Errand::new(bearings, route, whose) }
    }

    /// All of it but its body.
    pub const fn errand(&self) -> &Errand {
        &self.errand
    }

    /// Takes it apart, to send it. Only the forwarder has a client to send it with.
    pub(crate) fn into_wire(self) -> Wire<B> {
        let Self { body, errand } = self;
        Wire { body, errand }
    }
}

/// Whose the app's cookies are, and what is known of the session's way into the app.
fn owner(whose: &Whose, route: &Route) -> (CookieOwner, Option<Arc<Binding>>) {
    let sign_in = &route.policy.sign_in;
    if !sign_in.keeps_sessions() {
        return (CookieOwner::Unbound, None);
    }
    let keys = route.shared.cookies.as_ref();
    let binding = keys.and_then(|keys| match whose {
        Whose::Person(session, pass) => Some(session.binding(&keys.key, &pass.told)),
        // A person's own cookies go with them to public pages: else the app would set others there, over them.
        Whose::Visitor(Some(session)) => session.bound(&keys.key),
        Whose::Visitor(None) => Some(Arc::clone(&keys.nobody)),
    });
    let owner = match &binding {
        _ if !sign_in.bound => CookieOwner::Unbound,
        Some(binding) => CookieOwner::Bound(Arc::clone(binding)),
        None => CookieOwner::Unknown,
    };
    (owner, binding.filter(|_| matches!(whose, Whose::Person(..))))
}

/// Tells the app who it is.
fn announce(headers: &mut HeaderMap, pass: &Pass, route: &Route, binding: Option<&Binding>) {
    for (name, value) in &pass.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some(password) = &route.shared.password
        && let Some(value) = entrance::basic(&pass.login, password)
    {
        headers.insert(header::AUTHORIZATION, value);
    }
    if let Some(value) = binding.and_then(Binding::got).and_then(|got| got.authorization.clone()) {
        headers.insert(header::AUTHORIZATION, value);
    }
}

/// Adds what the sections of `path` give: what they announce of the person, and their secrets. A secret goes along only with every other header of its section:
/// an application that takes "this key, on behalf of that user" would take the key alone for its owner.
fn give(headers: &mut HeaderMap, path: &CanonicalPath<'_>, route: &Route, pass: Option<&Pass>) {
    let announced = pass.map_or(&[] as &[_], |pass| &pass.path_headers);
    if announced.is_empty() && route.shared.paths.is_empty() {
        return;
    }
    for (index, section) in route.policy.paths.iter().enumerate() {
        let announced = announced.get(index).map_or(&[] as &[_], Vec::as_slice);
        let whole = announced.len() == section.headers.len();
        let secrets = route.shared.paths.get(index).filter(|_| whole).map_or(&[] as &[_], Vec::as_slice);
        if !(announced.is_empty() && secrets.is_empty()) && section.gives(path) {
            for (name, value) in announced.iter().chain(secrets) {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Copies what a client may tell an application.
fn copy(to: &mut HeaderMap, from: &HeaderMap, reserved: &Reserved, identified: bool) {
    let listed = Listed::of(from);
    for (name, value) in from {
        let left_behind = hop_by_hop(name)
            || *name == header::HOST
            || *name == header::COOKIE
            || *name == REQUEST_ID
            // hyper answers 100-continue itself when the body is first read.
            || *name == header::EXPECT
            // I3: credentials of the application's own would outvote the identity that we announce.
            || (identified && *name == header::AUTHORIZATION)
            || reserved.contains(name)
            || listed.names(name);
        if !left_behind {
            to.append(name.clone(), value.clone());
        }
    }
}

/// Names in `Connection` (RFC 9110 7.6.1).
pub(super) struct Listed<'a>(Vec<&'a [u8]>);

impl<'a> Listed<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut names = Vec::new();
        for value in headers.get_all(header::CONNECTION) {
            names.extend(value.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|name| {
                !name.eq_ignore_ascii_case(b"keep-alive") && !name.eq_ignore_ascii_case(b"close") && !name.eq_ignore_ascii_case(b"upgrade")
            }));
        }
        Self(names)
    }

    pub(super) fn names(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|listed| listed.eq_ignore_ascii_case(name.as_str().as_bytes()))
    }
}

/// RFC 9110 7.6.1, and the framing headers, which belong to a connection.
pub(super) fn hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}
