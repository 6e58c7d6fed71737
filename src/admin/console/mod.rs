//! The operators' console: what is loaded, who has an account, who is signed in, what went wrong; and the few things to be done about it.
//!
//! Lives here: [`Console`], from a request to its answer. `door.rs` says who stands there and what they may, `acts.rs` does what forms ask for, `overview.rs`,
//! `people.rs` and `sessions.rs` (with incidents) put pages together; `pages/console.rs` writes them down. Apart from the socket because browsers come here, which send what other sites
//! tell them to: nothing acts but a POST with the token of a page of ours, from our own origin. It edits no policy, makes no user, and has no secret to show.
//!
//! People sign in by the code that apps use (`login/console.rs`). To act takes a group of `[admin] groups`, to look one of `[admin] viewers`; there is no switch that
//! leaves the sign-in out.

mod acts;
mod door;
mod overview;
mod people;
mod sessions;
mod words;

use super::commands::{Reloads, Statuses};
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::entropy::Entropy;
use crate::fault::{DenyReason, Incident, PublicMessage};
use crate::login::{Ask, Desk, HostRole, OwnRequest};
use crate::pages::console::{ConsoleLook, Page, Reader, Said};
use crate::pages::{PageContext, Pages, Wish};
use crate::policy::{CanonicalPath, Policy};
use crate::provision::People;
use crate::request::kind_of;
use crate::session::operators::Sessions;
use crate::state::{SecretHash, Store, StoreError};
use bytes::Bytes;
use door::{Door, Operator};
use http::header::{ACCEPT_LANGUAGE, ALLOW, HOST};
use http::request::Parts as Head;
use http::{HeaderValue, Method, Response, StatusCode};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};

/// The name that sessions of the console hang from. No policy has it: theirs are names of files.
pub const APP: &str = "vestibule/console";

/// The most that a form of ours sends.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// What is in force of an app, for people to read.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Name of the app.
    pub app: String,
    /// Name for people.
    pub title: String,
    /// The policy's file.
    pub file: String,
    /// Revision in force; `None` when none is.
    pub revision: Option<String>,
    /// `[[test]]` blocks of it.
    pub tests: usize,
    /// Host, upstream, who may enter, how accounts are made: one line.
    pub line: String,
    /// What is wrong with the file as it is now; empty when nothing is.
    pub why: String,
}

/// A certificate that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its names.
    pub names: Vec<String>,
    /// When it ends.
    pub until: Timestamp,
}

/// Knows what is in force.
pub trait Looking: Send + Sync + fmt::Debug {
    /// Every app, by name, those without a policy in force too.
    fn in_force(&self) -> Vec<InForce>;
    /// `[[idp]] id` of the provider that vouches as `issuer`; `None`: none does any more, or its metadata has not been read yet.
    fn provider_of(&self, issuer: &str) -> Option<String>;
    /// The certificates that are served.
    fn certificates(&self) -> Vec<Served>;
}

/// What a console works with; `app/` fills it in.
pub struct Parts {
    /// `[admin] host` and who may.
    pub settings: config::Console,
    /// `https://vestibule-admin.example.com:9443`.
    pub origin: String,
    /// Stands for the console where people sign in.
    pub policy: Arc<Policy>,
    /// The desk of its own host.
    pub desk: Arc<Desk>,
    /// Who is signed in, and the end of it.
    pub sessions: Sessions,
    /// Sign-ins, incidents, sign-ons.
    pub store: Arc<dyn Store>,
    /// Pages of people, for what is said before somebody is let in.
    pub pages: Arc<Pages>,
    /// Account records.
    pub people: People,
    /// How the gateway is.
    pub statuses: Arc<dyn Statuses>,
    /// What is in force.
    pub looking: Arc<dyn Looking>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where incident codes come from.
    pub entropy: Arc<dyn Entropy>,
}

/// The console.
pub struct Console {
    parts: Parts,
    look: ConsoleLook,
    reloads: OnceLock<Arc<dyn Reloads>>,
    /// When each session was last used: it ends sooner than those of apps.
    seen: Mutex<HashMap<SecretHash, Timestamp>>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("origin", &self.parts.origin).finish_non_exhaustive()
    }
}

/// A page and its status.
type Shown = (StatusCode, Page);

/// Why there is no page.
#[derive(Debug)]
enum No {
    /// The store.
    Store(StoreError),
    /// Nothing of that name.
    NotFound(String),
    /// Another place has it.
    Elsewhere(String),
}

impl From<StoreError> for No {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Console {
    /// A console of these parts.
    pub fn new(parts: Parts) -> Self {
        let look = ConsoleLook::new(parts.origin.starts_with("https://"));
        Self { parts, look, reloads: OnceLock::new(), seen: Mutex::default() }
    }

    /// From now on *Reload* does something; without, there are no files to load.
    pub fn reload_by(&self, reloads: Arc<dyn Reloads>) {
        // Asked once, by the one that follows the files.
        if self.reloads.set(reloads).is_err() {
            tracing::debug!("the console knows already who reloads");
        }
    }

    /// Whether a request is for this console: one `Host`, ours, and no other name in the TLS handshake. What comes for another name is a page of somebody
    /// else's that has been made to point here (DNS rebinding), or a mistake.
    pub fn is_meant(&self, head: &Head, sni: Option<&str>) -> bool {
        let mut hosts = head.headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(only), None) => only.to_str().unwrap_or_default(),
            _ => return false,
        };
        let name = |authority: &str| {
            let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
            let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
            is_port && name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case(&self.parts.settings.host)
        };
        let in_target = head.uri.authority().is_none_or(|authority| name(authority.as_str()));
        name(host) && in_target && sni.is_none_or(|sni| sni.eq_ignore_ascii_case(&self.parts.settings.host))
    }

    /// Answers a request that is meant for it.
    pub async fn answer(&self, head: Head, body: Bytes, peer: IpAddr) -> Response<Bytes> {
        let incident = Incident::mint(self.parts.entropy.as_ref());
        let kind = kind_of(&head.method, &head.headers);
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
        let canonical = CanonicalPath::parse(&path).is_ok_and(|canonical| canonical.as_str() == path);
        let role = HostRole::App(Arc::clone(&self.parts.policy));
        let request = OwnRequest { incident, kind, role, method: head.method, path, query, headers: head.headers, body, peer };
        if !canonical {
            return self.say(&request, PublicMessage::BadRequest, None);
        }
        self.route(request).await
    }

    async fn route(&self, request: OwnRequest) -> Response<Bytes> {
        if request.path.starts_with("/.vestibule/") {
            if !matches!(request.path.as_str(), "/.vestibule/login" | "/.vestibule/callback" | "/.vestibule/logout" | "/.vestibule/signed-in") {
                return self.say(&request, PublicMessage::NoSuchPage, None);
            }
            let response = self.parts.desk.serve(request).await;
            if let Some(session) = self.parts.desk.session_begun(&response) {
                self.note(session);
            }
            return response;
        }
        let operator = match self.door(&request).await {
            Ok(Door::Open(operator)) => operator,
            Ok(Door::SignIn(ask)) => return self.sign_in(request, ask).await,
            Ok(Door::Closed(person)) => {
                door::refused(&request, &door::called(&person), &person, "groups");
                return self.say(&request, PublicMessage::Denied(DenyReason::Groups), Some(&person));
            }
            Err(error) => {
                tracing::error!(incident = %request.incident, %error, "the console cannot tell who is there: the store");
                return self.say(&request, PublicMessage::StoreDown, None);
            }
        };
        match request.method {
            Method::GET | Method::HEAD => self.show(&request, &operator).await,
            Method::POST => self.act(&request, &operator).await,
            _ => {
                let mut response = self.say(&request, PublicMessage::MethodRefused, Some(&operator.identity));
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
                response
            }
        }
    }

    /// Off to the auth host, and back to what was asked for.
    async fn sign_in(&self, request: OwnRequest, ask: Ask) -> Response<Bytes> {
        let to = if request.query.is_empty() { request.path.clone() } else { format!("{}?{}", request.path, request.query) };
        self.parts.desk.send_to_sign_in(request, to, ask).await
    }

    async fn show(&self, request: &OwnRequest, operator: &Operator) -> Response<Bytes> {
        let query = &request.query;
        let shown = match request.path.as_str() {
            "/" => self.overview(operator).await,
            "/app" => self.app(query).await,
            "/people" => self.list_people(query).await,
            "/person" => self.person(query).await,
            "/sessions" => self.sessions(query).await,
            "/incidents" => self.incidents().await,
            "/incident" => self.incident(query).await,
            "/search" => self.search(query).await,
            _ => Err(No::NotFound("There is no such page.".to_owned())),
        };
        let (status, mut page) = match shown {
            Ok(shown) => shown,
            Err(No::Elsewhere(to)) => return self.look.see_other(&to, request.incident),
            Err(No::NotFound(text)) => (StatusCode::NOT_FOUND, self.nothing(text)),
            Err(No::Store(error)) => {
                tracing::error!(incident = %request.incident, %error, "a page of the console could not be made: the store");
                (StatusCode::SERVICE_UNAVAILABLE, self.nothing("The state store does not answer.".to_owned()))
            }
        };
        if page.said.is_none() {
            page.said = words::parameter(query, "said").and_then(|said| acts::said(&said)).map(|text| Said { good: true, text: text.to_owned() });
        }
        self.page(request, operator, status, &page)
    }

    fn page(&self, request: &OwnRequest, operator: &Operator, status: StatusCode, page: &Page) -> Response<Bytes> {
        let Operator { name, may_act, form_token, .. } = operator;
        self.look.page(status, page, Reader { name, may_act: *may_act, form_token, incident: request.incident })
    }

    /// A page with nothing but a sentence.
    #[expect(clippy::unused_self, reason = "beside the others that make pages")]
    fn nothing(&self, text: String) -> Page {
        Page { title: "Nothing to show".to_owned(), place: "", said: Some(Said { good: false, text }), parts: Vec::new() }
    }

    /// A page of people's: to whom the console is not open.
    fn say(&self, request: &OwnRequest, message: PublicMessage, person: Option<&crate::identity::Identity>) -> Response<Bytes> {
        let language = Wish::Asked(request.headers.get(ACCEPT_LANGUAGE));
        let app = Some(self.parts.policy.as_ref());
        let context = PageContext { kind: request.kind, incident: request.incident, app, person, continue_to: Some("/"), language };
        self.parts.pages.respond(message, context)
    }
}
