//! Last stage: the request that goes to the application, built anew.
//!
//! A new header map, never the old one edited: what is not copied on purpose does not arrive. In order: hop-by-hop headers and whatever `Connection`
//! names are left behind, reserved names in every spelling are left behind, our cookies are taken out, and only then is the identity set, so that nothing a
//! client sends can delete or shadow it (CVE-2024-45410, GHSA-w9mr-28mw-j8hg).

use super::app_cookies::{self, CookieOwner};
use super::kind::is_websocket;
use super::reserved::Reserved;
use super::{Bearings, Limits, Route, entrance};
use crate::clock::Timestamp;
use crate::fault::Incident;
use crate::identity::Way;
use crate::pages::RequestKind;
use crate::policy::CanonicalPath;
use crate::policy::evaluate::{Facts, Refusal, SignedIn, evaluate_by};
use crate::policy::switches::WhenDisabled;
use crate::session::{AppSession, Binding, Pass};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use std::net::IpAddr;
use std::sync::Arc;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a decision rested on besides the person: kept while the answer is under way, so that it can be decided anew when the policy changes.
#[derive(Debug)]
pub struct Asked {
    method: Method,
    /// Canonical, without query.
    path: String,
    client: IpAddr,
}

impl Asked {
    /// Whether the request would still be let through by the policy of `route`, on this session or, on public paths, on none. A sign-in that has become too old
    /// stays: it was not when the answer began, and pages ask for a new one.
    pub fn may_stay(&self, route: &Route, session: Option<&AppSession>, now: Timestamp) -> bool {
        let policy = &route.policy;
        let Ok(path) = CanonicalPath::parse_as(&self.path, policy.encoded_slashes) else { return false };
        let facts = Facts { method: self.method.as_str(), path: &path, peer: self.client, host: &policy.host };
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
    head: http::request::Parts,
    body: B,
    route: Arc<Route>,
    session: Option<Arc<AppSession>>,
    incident: Incident,
    kind: RequestKind,
    downstream: Version,
    upgrade: Option<Extensions>,
    asked: Asked,
    owner: CookieOwner,
    binding: Option<Arc<Binding>>,
    back: Option<String>,
    signs_out: Option<bool>,
}

/// An [`UpstreamRequest`] taken apart by the one that sends it.
#[derive(Debug)]
pub struct Wire<B> {
    /// Origin-form request head for the application.
    pub head: http::request::Parts,
    /// Body, as the client sends it.
    pub body: B,
    /// Where to.
    pub route: Arc<Route>,
    /// On whose session; `None` on public paths.
    pub session: Option<Arc<AppSession>>,
    /// Names the request.
    pub incident: Incident,
    /// What it was decided on.
    pub asked: Asked,
    /// Version the client spoke.
    pub downstream: Version,
    /// The client's side of an upgrade, where it asked for a WebSocket.
    pub upgrade: Option<Extensions>,
    /// What the requester can use, should the application not know the person.
    pub kind: RequestKind,
    /// Whose the app's cookies are.
    pub owner: CookieOwner,
    /// What is known of the session's way into the app, where that matters.
    pub binding: Option<Arc<Binding>>,
    /// This is where the app learns who it is; the page that led here.
    pub back: Option<String>,
    /// Whether the app signs people out here.
    pub signs_out: bool,
}

/// What it takes to send a request once more: everything but a body, which it must not have had.
#[derive(Debug)]
pub struct Spare(pub(crate) http::request::Parts);

impl Spare {
    /// As for the first time, but told by `pass`, and without the app's cookies: what they stood for is not known there any more. Nothing of what the first time said
    /// of the person stays, also where `pass` has nothing to put in its place.
    pub fn anew(mut self, pass: &Pass, route: &Route, binding: Option<&Binding>) -> http::request::Parts {
        let headers = &mut self.0.headers;
        headers.remove(header::COOKIE);
        if let Some(got) = binding.and_then(app_cookies::got_alone) {
            headers.insert(header::COOKIE, got);
        }
        let path = self.0.uri.path();
        if route.policy.sign_in.announces_at(path) {
            unsay(headers, route);
            give(headers, path, route, Some(pass));
            announce(headers, pass, route, binding);
        }
        self.0
    }
}

impl<B> UpstreamRequest<B> {
    pub(super) fn build(bearings: Bearings, body: B, route: Arc<Route>, whose: Whose, limits: &Limits) -> Self {
        // RFC 9113 8.6: a WebSocket over HTTP/1.1 only; h2c and every other upgrade is left behind with the `Upgrade` header (H9).
        let socket = bearings.version == Version::HTTP_11 && bearings.method == Method::GET && is_websocket(&bearings.headers);
        let sign_in = &route.policy.sign_in;
        let (owner, binding) = owner(&whose, &route);
        let cookie = app_cookies::to_app(&bearings.headers, &limits.cookie, &owner, &sign_in.script_cookies);
        let identified = matches!(whose, Whose::Person(..));
        let signs_out = identified.then(|| entrance::signs_out(&bearings, &route)).flatten();
        let mut headers = HeaderMap::with_capacity(bearings.headers.len() + 12);
        headers.insert(header::HOST, bearings.authority.clone());
        headers.insert(FORWARDED_HOST, bearings.authority);
        copy(&mut headers, &bearings.headers, &route.reserved, identified);
        if let Some(cookie) = cookie {
            headers.insert(header::COOKIE, cookie);
        }
        headers.insert(FORWARDED_FOR, bearings.client_text);
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(limits.scheme));
        if let Ok(id) = HeaderValue::from_bytes(&bearings.incident.ascii()) {
            headers.insert(REQUEST_ID, id);
        }
        if socket {
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
        let pass = match &whose {
            Whose::Person(_, pass) if sign_in.announces_at(&bearings.path) => Some(pass.as_ref()),
            Whose::Person(..) | Whose::Visitor(_) => None,
        };
        give(&mut headers, &bearings.path, &route, pass);
        if let Some(pass) = pass {
            announce(&mut headers, pass, &route, binding.as_deref());
        }
        let session = match whose {
            Whose::Person(session, _) => Some(session),
            Whose::Visitor(_) => None,
        };
        let (target, back) = entrance::way_back(bearings.target, sign_in);
        let mut head = http::Request::new(()).into_parts().0;
        head.method = bearings.method;
        head.version = Version::HTTP_11;
        head.uri = Uri::from(target);
        head.headers = headers;
        let upgrade = socket.then_some(bearings.extensions);
        let asked = Asked { method: head.method.clone(), path: bearings.path, client: bearings.client };
        let (incident, kind, downstream) = (bearings.incident, bearings.kind, bearings.version);
        Self { head, body, route, session, incident, kind, downstream, upgrade, asked, owner, binding, back, signs_out }
    }

    /// Whether the app signs the person out here; `Some(false)`: it would, but not because they asked for it.
    pub const fn signs_out(&self) -> Option<bool> {
        self.signs_out
    }

    /// Names the request.
    pub const fn incident(&self) -> Incident {
        self.incident
    }

    /// What the requester can use, should the application not answer.
    pub const fn kind(&self) -> RequestKind {
        self.kind
    }

    /// What languages the requester wants to read, as sent, should the application not answer.
    pub fn accept_language(&self) -> Option<&HeaderValue> {
        self.head.headers.get(header::ACCEPT_LANGUAGE)
    }

    /// The app it goes to.
    pub fn route(&self) -> Arc<Route> {
        Arc::clone(&self.route)
    }

    /// Whether it carries somebody's identity; otherwise its path is public.
    pub const fn is_announced(&self) -> bool {
        self.session.is_some()
    }

    /// On whose session it is sent; `None` on public paths.
    pub const fn session(&self) -> Option<&Arc<AppSession>> {
        self.session.as_ref()
    }

    /// The headers that will be sent.
    pub const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Takes it apart, to send it. Only the forwarder has a client to send it with.
    pub(crate) fn into_wire(self) -> Wire<B> {
        let Self { head, body, route, session, incident, downstream, upgrade, kind, owner, binding, back, signs_out, asked } = self;
        Wire { head, body, route, session, incident, downstream, upgrade, kind, owner, binding, back, signs_out: signs_out.is_some(), asked }
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

/// Takes back whatever [`give`] and [`announce`] may have said of somebody. All these names are reserved: none of them is the client's own.
fn unsay(headers: &mut HeaderMap, route: &Route) {
    let policy = &route.policy;
    let sections = policy.paths.iter().flat_map(|section| {
        let secrets = section.secret_headers.iter().map(|header| &header.name);
        section.headers.iter().map(|header| &header.name).chain(secrets)
    });
    for name in policy.headers.iter().map(|header| &header.name).chain(policy.jwt.iter().map(|jwt| &jwt.header)).chain(sections) {
        headers.remove(name);
    }
    headers.remove(header::AUTHORIZATION);
    // A secret that goes along everywhere may have the name of one that a section gives.
    for (name, value) in &route.shared.everywhere {
        headers.insert(name.clone(), value.clone());
    }
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
fn give(headers: &mut HeaderMap, path: &str, route: &Route, pass: Option<&Pass>) {
    let announced = pass.map_or(&[] as &[_], |pass| &pass.path_headers);
    if announced.is_empty() && route.shared.paths.is_empty() {
        return;
    }
    let Ok(path) = CanonicalPath::parse_as(path, route.policy.encoded_slashes) else { return };
    for (index, section) in route.policy.paths.iter().enumerate() {
        let announced = announced.get(index).map_or(&[] as &[_], Vec::as_slice);
        let whole = announced.len() == section.headers.len();
        let secrets = route.shared.paths.get(index).filter(|_| whole).map_or(&[] as &[_], Vec::as_slice);
        if !(announced.is_empty() && secrets.is_empty()) && section.gives(&path) {
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
struct Listed<'a>(Vec<&'a [u8]>);

impl<'a> Listed<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut names = Vec::new();
        for value in headers.get_all(header::CONNECTION) {
            names.extend(value.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|name| {
                !name.eq_ignore_ascii_case(b"keep-alive") && !name.eq_ignore_ascii_case(b"close") && !name.eq_ignore_ascii_case(b"upgrade")
            }));
        }
        Self(names)
    }

    fn names(&self, name: &HeaderName) -> bool {
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
