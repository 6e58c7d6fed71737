//! A sign-in: `begin -> PendingLogin (single use, survives many tabs) -> VerifiedAssertion -> Identity -> session`.
//!
//! Lives here: [`Desk`], which answers everything under `/.vestibule/` on app hosts and everything on the auth host. In the order of a sign-in:
//! `begin.rs` (app host to auth host to provider), `callback.rs` (provider to auth host; `saml.rs` where it comes as a form), `handover.rs` (auth host to app host), `logout.rs`,
//! `own_pages.rs` (whoami, wait), `launcher.rs` (an app's portal, the apps of a person). `return_to.rs`, `cookies.rs`, `addresses.rs` are the nouns under
//! them; the ports it needs are in `ports.rs`. `console.rs` is the same for the operators' console, which is an app to it like any other. `tokens.rs` has [`TokenDesk`], the short way of scripts that bring an access token. It does not know `connector`
//! or `proxy::forward`.
//!
//! Three secrets travel through the browser: a *ticket* (app host to auth host), `state` (to the provider and back), a *code* (auth host to
//! app host). Each is 256 bits, kept hashed, short-lived, and worth nothing without the binding cookie of the browser it was made for.

mod addresses;
mod begin;
mod callback;
mod console;
mod cookies;
mod handover;
mod launcher;
mod logout;
mod own_pages;
mod ports;
mod respond;
mod return_to;
mod saml;
mod tokens;

pub use addresses::{Addresses, Elsewhere};
pub use begin::Ask;
pub use console::AtConsole;
pub use ports::{Admission, Apps, Visit};
pub use return_to::ReturnTo;
pub use saml::SAML_ACS;
pub use tokens::TokenDesk;

use crate::clock::Clock;
use crate::config;
use crate::entropy::Entropy;
use crate::fault::{Incident, PublicMessage};
use crate::pages::{Pages, RequestKind};
use crate::policy::Policy;
use crate::session::{LiveSessions, LiveSignOn};
use crate::sso::Provider;
use crate::state::{LoginStore, SecretHash, SessionStore, SignInStore, StoreError};
use arc_swap::ArcSwap;
use bytes::Bytes;
use cookies::{Cookies, Kind};
use http::{HeaderMap, Method, Response};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

/// Which of our hosts a request is for.
#[derive(Debug, Clone)]
pub enum HostRole {
    /// `[server] auth_host`.
    Auth,
    /// An app's host.
    App(Arc<Policy>),
}

/// A request for one of our own pages.
pub struct OwnRequest {
    /// Minted for this request.
    pub incident: Incident,
    /// What the requester can use.
    pub kind: RequestKind,
    /// Host it came to.
    pub role: HostRole,
    /// Method.
    pub method: Method,
    /// Canonical path.
    pub path: String,
    /// Query without `?`, as sent.
    pub query: String,
    /// Headers as sent.
    pub headers: HeaderMap,
    /// Body, at most 64 KiB.
    pub body: Bytes,
    /// The client, after `trusted_proxies`.
    pub peer: IpAddr,
}

impl fmt::Debug for OwnRequest {
    /// Without query, headers and body: codes, tickets and cookies travel there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("OwnRequest");
        out.field("incident", &self.incident)
            .field("kind", &self.kind)
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What a desk works with; `app/` fills it in.
pub struct DeskParts {
    /// Where we are.
    pub addresses: Addresses,
    /// `[session]`.
    pub session: config::Session,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where tickets, states and session ids come from.
    pub entropy: Arc<dyn Entropy>,
    /// Sign-ins under way.
    pub logins: Arc<dyn LoginStore>,
    /// Sign-ons and app sessions.
    pub sessions: Arc<LiveSessions>,
    /// The store behind them, to say which apps a sign-on was used in.
    pub session_store: Arc<dyn SessionStore>,
    /// Where the last sign-in of each person is kept.
    pub sign_ins: Arc<dyn SignInStore>,
    /// Pages.
    pub pages: Arc<Pages>,
    /// Every `[[idp]]`, in the order of the file, as of the start.
    pub providers: Vec<Arc<dyn Provider>>,
    /// The apps as they are now.
    pub apps: Arc<dyn Apps>,
    /// Access and account, for the waiting page.
    pub admission: Arc<dyn Admission>,
    /// The JWK set that apps verify with, as JSON; asked for at every request, so that a rotation shows at once.
    pub jwks: Arc<dyn Fn() -> Bytes + Send + Sync>,
    /// Most sign-ins under way at once; above it new ones are told to come back, and long before that a client's own make way for each other (attacks.md D9).
    pub pending_max: u64,
}

/// Answers our own pages.
pub struct Desk {
    parts: DeskParts,
    /// The providers as they are now; `parts` has those of the start.
    providers: ArcSwap<Vec<Arc<dyn Provider>>>,
    cookies: Cookies,
    /// Sign-ins under way when they were last counted, and those begun since.
    kept: AtomicU64,
    /// When it was last said that some client has more of them than its share, in milliseconds since the epoch.
    said_at_ms: AtomicI64,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("addresses", &self.parts.addresses).finish_non_exhaustive()
    }
}

/// What a token stands for: part of its hash, so that a ticket never passes as a `state`.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Ticket,
    State,
    Code,
    Logout,
    Binding,
    Session,
    /// A SAML response on its way from the form to this browser's own request.
    Answer,
    /// An assertion that has been here.
    Assertion,
}

impl Desk {
    /// A desk of these parts.
    pub fn new(parts: DeskParts) -> Self {
        let secure = parts.addresses.is_https();
        Self::with_cookies(parts, secure)
    }

    /// `secure`: whether browsers reach the hosts that it answers for by TLS.
    fn with_cookies(parts: DeskParts, secure: bool) -> Self {
        let cookies = Cookies::new(&parts.session.cookie, parts.session.same_site, secure);
        let providers = ArcSwap::from_pointee(parts.providers.clone());
        // Not counted yet: more than any limit.
        Self { parts, providers, cookies, kept: AtomicU64::new(u64::MAX / 2), said_at_ms: AtomicI64::new(0) }
    }

    /// Answers.
    pub async fn serve(self: &Arc<Self>, mut request: OwnRequest) -> Response<Bytes> {
        // Nobody typed what a provider's page sends, and sending it again helps nobody.
        if request.path == SAML_ACS && request.kind == RequestKind::Form {
            request.kind = RequestKind::Page;
        }
        let outcome = match &request.role {
            HostRole::Auth => Box::pin(self.on_auth_host(&request)).await,
            HostRole::App(app) => Box::pin(self.on_app_host(&request, app)).await,
        };
        outcome.unwrap_or_else(|error| self.store_down(&request, &error))
    }

    /// Sends a navigation that needs a sign-in on its way: 303 to the auth host, with the pending login kept and the binding cookie set.
    /// `return_to` is the canonical path and query that was asked for; `ask` says which sign-on will do. Other kinds of request
    /// are told to sign in: only navigations start a sign-in, or background requests would pile up pending ones.
    pub async fn send_to_sign_in(self: &Arc<Self>, request: OwnRequest, return_to: String, ask: Ask) -> Response<Bytes> {
        let HostRole::App(app) = &request.role else { return self.message(&request, PublicMessage::NoSuchPage) };
        let start = begin::Start { return_to: ReturnTo::parse(&return_to), ask, again: false };
        Box::pin(self.begin_at_app(&request, app, start)).await.unwrap_or_else(|error| self.store_down(&request, &error))
    }

    async fn on_auth_host(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        match request.path.as_str() {
            "/.vestibule/login" if reads(request) => self.choose_provider(request).await,
            "/.vestibule/callback" => self.provider_callback(request).await,
            SAML_ACS => self.saml_response(request).await,
            "/.vestibule/saml/logout" if request.method == Method::GET => self.saml_logout(request).await,
            "/.vestibule/saml/metadata" if reads(request) => Ok(self.saml_metadata(request)),
            "/.vestibule/logout" => self.logout_here(request).await,
            "/.vestibule/logout/done" if reads(request) => self.logout_done(request).await,
            "/.vestibule/signed-out" if reads(request) => Ok(self.signed_out(request)),
            "/.vestibule/jwks" if reads(request) => Ok(self.jwks()),
            "/" if reads(request) => self.launcher(request).await,
            "/.vestibule/signed-in" if reads(request) => self.signed_in(request).await,
            _ => Ok(self.message(request, PublicMessage::NoSuchPage)),
        }
    }

    async fn on_app_host(&self, request: &OwnRequest, app: &Arc<Policy>) -> Result<Response<Bytes>, StoreError> {
        match request.path.as_str() {
            portal if app.login.portal.as_deref() == Some(portal) && reads(request) => self.portal(request, app).await,
            "/.vestibule/login" if reads(request) => self.begin_by_link(request, app).await,
            "/.vestibule/callback" if request.method == Method::GET => self.arrive(request, app).await,
            "/.vestibule/logout" => self.logout_at_app(request, app).await,
            "/.vestibule/whoami" if reads(request) => self.who_am_i(request, app).await,
            "/.vestibule/wait" if reads(request) => self.wait(request, app).await,
            "/.vestibule/jwks" if reads(request) => Ok(self.jwks()),
            "/.vestibule/signed-in" if reads(request) => self.signed_in(request).await,
            _ => Ok(self.message(request, PublicMessage::NoSuchPage)),
        }
    }

    /// The live sign-on of this browser; on the auth host only.
    async fn sign_on(&self, request: &OwnRequest) -> Result<Option<Arc<LiveSignOn>>, StoreError> {
        match self.cookies.read_token(&request.headers, Kind::Session) {
            Some(cookie) => self.parts.sessions.sign_on(SecretHash::of(cookie.as_bytes())).await,
            None => Ok(None),
        }
    }

    /// From now on with these providers; sign-ins under way finish with the one of the same id.
    pub fn change_providers(&self, providers: Vec<Arc<dyn Provider>>) {
        self.providers.store(Arc::new(providers));
    }

    fn provider(&self, id: &str) -> Option<Arc<dyn Provider>> {
        self.providers.load().iter().find(|provider| provider.id() == id).cloned()
    }

    fn token(&self) -> String {
        self.parts.entropy.as_ref().token()
    }
}

/// The key under which a token is kept.
fn key(purpose: Purpose, token: &str) -> SecretHash {
    let prefix = match purpose {
        // What `request/` computes for the session cookies it meets: the bare hash.
        Purpose::Session => "",
        Purpose::Ticket => "ticket:",
        Purpose::State => "state:",
        Purpose::Code => "code:",
        Purpose::Logout => "logout:",
        Purpose::Binding => "binding:",
        Purpose::Answer => "answer:",
        Purpose::Assertion => "assertion:",
    };
    SecretHash::of(format!("{prefix}{token}").as_bytes())
}

fn reads(request: &OwnRequest) -> bool {
    matches!(request.method, Method::GET | Method::HEAD)
}

/// Whether a query parameter is there at all, whatever its value.
fn has_parameter(query: &str, name: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == name)
}

/// The value of a query parameter; `None` when it is absent, empty, or there twice.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let value = values.next().filter(|value| !value.is_empty())?;
    values.next().is_none().then_some(value)
}
