//! What people see when the answer is not the app's.
//!
//! Lives here: [`RequestKind`] (what sort of answer the requester can use), [`Pages`], which turns a [`PublicMessage`] into a response for that
//! kind: an HTML page or `application/problem+json`. One self-contained response each: no asset, no script, a strict CSP.
//!
//! A page is made in three steps, one file each: `sheet.rs` says what is on it (headings, texts, actions, as data), `text/` has the words, a file for
//! each language, `html.rs` and `problem.rs` write it down. What operators bring along is `template.rs` (own pages) and `logo.rs`; `own.rs` keeps it. Names that others chose (people, apps, providers) pass through `shown.rs` on their way to a
//! sheet. Apart from the pipelines so that none of them can put text of its own in front of a person. It must never know
//! why something happened: only the closed [`PublicMessage`] gets in.

pub mod console;
mod html;
mod links;
mod logo;
mod markup;
mod negotiate;
mod own;
mod post;
mod problem;
mod sheet;
mod shown;
mod template;
#[cfg(test)]
mod tests;
mod text;

pub use links::{LOGIN_PATH, LOGOUT_PATH, WAIT_PATH, WHOAMI_PATH};
pub use logo::{LOGO_BYTES_MAX, LogoError, data_address as logo_address};
pub use own::check;

use crate::clock::Timestamp;
use crate::config;
use crate::config::Language;
use crate::fault::{Incident, PublicMessage};
use crate::identity::Identity;
use crate::policy::Policy;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE,
};
use http::header::{STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use own::Look;
use sheet::Sheet;
use std::sync::Arc;

/// Carries the incident code of every answer made here.
const INCIDENT_HEADER: HeaderName = HeaderName::from_static("x-vestibule-incident");

/// What sort of answer a requester can use (operators.md 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// A navigation by GET or HEAD: may be redirected.
    Page,
    /// A navigation by POST: the typed text must survive.
    Form,
    /// A WebSocket handshake.
    Socket,
    /// XHR, fetch, scripts: `application/problem+json`.
    Api,
}

impl RequestKind {
    /// Whether a person looks at the answer in a browser window.
    pub const fn is_read_by_a_person(self) -> bool {
        matches!(self, Self::Page | Self::Form)
    }
}

/// What a page may say about the request it answers.
#[derive(Debug, Clone, Copy)]
pub struct PageContext<'a> {
    /// What the requester can use.
    pub kind: RequestKind,
    /// Printed, and sent as `X-Vestibule-Incident`.
    pub incident: Incident,
    /// The app that was asked for.
    pub app: Option<&'a Policy>,
    /// Who is signed in.
    pub person: Option<&'a Identity>,
    /// Path and query that *Try again*, *Sign in* or the wait page go to: ours, already validated as local to this host. Anything
    /// else is replaced by `/` here as well. `None` with an app: the links go to the app's front page, by its full address, so
    /// that a page on the auth host can send people back.
    pub continue_to: Option<&'a str>,
    /// Which language it is read in.
    pub language: Wish<'a>,
}

/// The language that somebody wants to read.
#[derive(Debug, Clone, Copy)]
pub enum Wish<'a> {
    /// `Accept-Language` as sent (its first line; browsers send one); `None`: nothing was said.
    Asked(Option<&'a HeaderValue>),
    /// This one.
    Chosen(Language),
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Self::Asked(None)
    }
}

impl PageContext<'_> {
    /// The language that was settled on; the answer begins with that.
    fn chosen(self) -> Language {
        if let Wish::Chosen(language) = self.language { language } else { Language::default() }
    }

    fn words(self) -> &'static text::Words {
        text::of(self.chosen())
    }
}

/// What an answer of ours says, for whoever keeps incidents: travels with the response, in its extensions, and never on the wire.
#[derive(Debug, Clone)]
pub struct Told {
    /// What the person was told.
    pub message: PublicMessage,
    /// Policy name and revision of the app that was asked for.
    pub app: Option<(String, String)>,
    /// Who was signed in.
    pub person: Option<Box<Identity>>,
    /// Path that the person wants to get to, without query, where the page knows.
    pub wanted: Option<String>,
    /// The provider, where a sign-in failed.
    pub idp: Option<String>,
    /// Why, in the words of the audit log; empty when the message says it all.
    pub reason: String,
    /// Why, in the words of the log.
    pub detail: Option<String>,
}

impl Told {
    /// `None`: nothing that anybody would ask about.
    fn of(message: PublicMessage, context: PageContext<'_>) -> Option<Self> {
        let reason = if let PublicMessage::Denied(reason) = message { reason.key() } else { "" };
        (!matches!(message, PublicMessage::SignedIn | PublicMessage::SignedOut)).then(|| Self {
            message,
            app: context.app.map(|app| (app.name.clone(), app.revision.clone())),
            // Of whom it is about, what the answer hung on: for an app what its policy reads, elsewhere no claims at all.
            person: context.person.map(|person| Box::new(context.app.map_or_else(|| person.with_claims(serde_json::Map::new()), |app| app.needed(person)))),
            wanted: context.continue_to.and_then(|to| to.split('?').next()).map(str::to_owned),
            idp: None,
            reason: reason.to_owned(),
            detail: None,
        })
    }
}

/// The files that `[pages] templates` may have.
pub fn template_files() -> impl Iterator<Item = String> {
    template::NAMES.iter().map(|name| format!("{name}.html"))
}

/// A provider on the picker, an app on the launcher.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// `id` of the `[[idp]]`, name of the policy: for the JSON variant.
    pub id: &'a str,
    /// Its name for people.
    pub name: &'a str,
    /// Where the link goes: local, starts with `/`; on the launcher an app's full address.
    pub href: &'a str,
    /// Marked, and expected first.
    pub last_used: bool,
}

/// What `/.vestibule/whoami` tells people about themselves.
#[derive(Debug, Clone, Copy)]
pub struct WhoAmI<'a> {
    /// The login the app knows, once there is an account.
    pub login: Option<&'a str>,
    /// Roles the app was given.
    pub roles: &'a [String],
    /// Name of the provider that vouched.
    pub provider: &'a str,
    /// When the person proved who they are.
    pub signed_in_at: Timestamp,
    /// Headers the app is told, name and value. Leave tokens out.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Renders pages.
#[derive(Debug)]
pub struct Pages {
    /// `[pages]`; a reload changes it.
    look: ArcSwap<Look>,
    addresses: links::Addresses,
    security_policy: HeaderValue,
}

impl Pages {
    /// `auth_origin` is what browsers call the auth host, scheme and port included: `https://auth.example.com`,
    /// `http://auth.localhost:8080`. App hosts are taken to be served with the same scheme and port.
    pub fn new(settings: config::Pages, auth_origin: &str) -> Self {
        Self {
            look: ArcSwap::from_pointee(Look::new(settings)),
            addresses: links::Addresses::new(auth_origin),
            security_policy: html::security_policy(&[html::STYLE]),
        }
    }

    /// Links to `host` go to `origin`: it is not served where the apps are.
    #[must_use]
    pub fn with(mut self, host: &str, origin: &str) -> Self {
        self.addresses.place(host, origin);
        self
    }

    /// From now on with these settings.
    pub fn change(&self, settings: config::Pages) {
        self.look.store(Arc::new(Look::new(settings)));
    }

    /// The answer to a person, with the status that belongs to the message and kind.
    ///
    /// [`PublicMessage::Waiting`] for a page refreshes, without delay and once, to `/.vestibule/wait?to=CONTINUE_TO`, which has to hold its
    /// answer. [`PublicMessage::SignInRequired`] for a form is the page that saves the typed text.
    pub fn respond(&self, message: PublicMessage, context: PageContext<'_>) -> Response<Bytes> {
        let look = self.look.load();
        let context = look.settled(context);
        self.answer(message, context, &sheet::of_message(message, context, self.names(&look), false))
    }

    /// The waiting page after the first hold: as [`Self::respond`] with [`PublicMessage::Waiting`], in the words for a longer wait.
    pub fn still_waiting(&self, context: PageContext<'_>) -> Response<Bytes> {
        let look = self.look.load();
        let context = look.settled(context);
        self.answer(PublicMessage::Waiting, context, &sheet::of_message(PublicMessage::Waiting, context, self.names(&look), true))
    }

    /// Status, heading and first paragraph of what [`Self::respond`] gives: for operators who ask what somebody saw.
    pub fn headline(&self, message: PublicMessage, context: PageContext<'_>) -> (StatusCode, String, String) {
        let look = self.look.load();
        let sheet = sheet::of_message(message, look.settled(context), self.names(&look), false);
        let first = sheet.first_words();
        (sheet::status(message, context.kind), sheet.title, first)
    }

    /// Which provider to sign in with: links, never forms (Chrome applies `form-action` to the redirect that follows). JSON kinds get
    /// the 401 of a sign-in that is required.
    pub fn picker(&self, context: PageContext<'_>, choices: &[Choice<'_>]) -> Response<Bytes> {
        if !context.kind.is_read_by_a_person() {
            return self.respond(PublicMessage::SignInRequired, context);
        }
        let context = self.look.load().settled(context);
        self.page(StatusCode::OK, context, template::PICKER, &sheet::picker(context, choices))
    }

    /// The apps that let the signed-in person in, as links. Without `context.person` it is the 401 of a sign-in that is required.
    pub fn launcher(&self, context: PageContext<'_>, apps: &[Choice<'_>]) -> Response<Bytes> {
        if context.person.is_none() {
            return self.respond(PublicMessage::SignInRequired, context);
        }
        let look = self.look.load();
        let context = look.settled(context);
        if context.kind.is_read_by_a_person() {
            return self.page(StatusCode::OK, context, template::LAUNCHER, &sheet::launcher(context, self.names(&look), apps));
        }
        self.json(StatusCode::OK, context, "application/json", &problem::launcher(apps))
    }

    /// What the app is told about the signed-in person. Without `context.person` it is the 401 of a sign-in that is required.
    pub fn whoami(&self, context: PageContext<'_>, facts: WhoAmI<'_>) -> Response<Bytes> {
        let Some(person) = context.person else { return self.respond(PublicMessage::SignInRequired, context) };
        let context = self.look.load().settled(context);
        if context.kind.is_read_by_a_person() {
            return self.page(StatusCode::OK, context, template::WHOAMI, &sheet::whoami(context, person, facts));
        }
        self.json(StatusCode::OK, context, "application/json", &problem::whoami(person, facts))
    }

    /// Asks before signing out; a POST to `action` with the hidden field `token`. Answer that POST with a page or a redirect on the
    /// same origin, or with [`Self::onward`]: Chrome refuses a redirect to another origin after a form (`form-action 'self'`).
    pub fn logout_confirm(&self, context: PageContext<'_>, action: &str, token: &str) -> Response<Bytes> {
        let context = self.look.load().settled(context);
        if context.kind.is_read_by_a_person() {
            return self.page(StatusCode::OK, context, template::LOGOUT, &sheet::logout_confirm(context, action, token));
        }
        self.json(StatusCode::OK, context, "application/json", &problem::logout_form(action, token))
    }

    /// Sends a browser on after a form, to another origin if need be (`end_session_endpoint`): a page that refreshes without delay and has a
    /// visible link. `to` must be an address of ours or of a configured provider.
    pub fn onward(&self, context: PageContext<'_>, to: &url::Url) -> Response<Bytes> {
        let context = self.look.load().settled(context);
        self.page(StatusCode::OK, context, template::ONWARD, &sheet::onward(context, to))
    }

    /// 303 to `to`, an address of this host that is ours; without a body, with the headers of every answer of ours (attacks.md C13).
    pub fn see_other(&self, to: &str, incident: Incident) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SEE_OTHER;
        self.protect(&mut response, incident);
        // A policy's landing page is visible ASCII by compilation; were it not, there is no place to go to.
        response.headers_mut().extend(HeaderValue::from_str(to).ok().map(|to| (LOCATION, to)));
        response
    }

    /// Signed out of `apps` (titles); `provider` is the name of the provider where the person may still be signed in, and where to
    /// sign out there.
    pub fn signed_out(&self, context: PageContext<'_>, apps: &[&str], provider: Option<(&str, Option<&url::Url>)>) -> Response<Bytes> {
        if context.kind.is_read_by_a_person() {
            let context = self.look.load().settled(context);
            return self.page(StatusCode::OK, context, problem::slug(PublicMessage::SignedOut), &sheet::signed_out(context, apps, provider));
        }
        self.respond(PublicMessage::SignedOut, context)
    }

    /// Signed in, in a tab that has nowhere to go on to: the words say to go back to the other tab.
    pub fn signed_in(&self, context: PageContext<'_>) -> Response<Bytes> {
        self.respond(PublicMessage::SignedIn, context)
    }

    fn names<'a>(&'a self, look: &'a Look) -> sheet::Names<'a> {
        sheet::Names { settings: &look.settings, addresses: &self.addresses }
    }

    fn answer(&self, message: PublicMessage, context: PageContext<'_>, sheet: &Sheet) -> Response<Bytes> {
        let status = sheet::status(message, context.kind);
        let mut response = if context.kind.is_read_by_a_person() {
            self.page(status, context, problem::slug(message), sheet)
        } else if status.is_success() {
            self.json(status, context, "application/json", &problem::state(message, sheet))
        } else {
            self.json(status, context, "application/problem+json", &problem::problem(message, status, context, sheet, &self.addresses))
        };
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED || message == PublicMessage::TokenScope {
            headers.insert(WWW_AUTHENTICATE, challenge(message, context));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        if let Some(seconds) = sheet::retry_after_s(message)
            && !status.is_success()
        {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(told) = Told::of(message, context) {
            response.extensions_mut().insert(told);
        }
        response
    }

    /// The page called `name`: by the operator's template, else the built-in one.
    fn page(&self, status: StatusCode, context: PageContext<'_>, name: &str, sheet: &Sheet) -> Response<Bytes> {
        let look = self.look.load();
        let names = self.names(&look);
        let Some(template) = look.template(name) else {
            let body = html::render(sheet, &sheet::site_name(context, &look.settings), look.settings.files.logo.as_deref(), context.incident);
            return self.dress(status, context, "text/html; charset=utf-8", body);
        };
        let body = template.render(|hole| own::value(hole, sheet, context, names));
        let mut response = self.dress(status, context, "text/html; charset=utf-8", body);
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, template.security_policy.clone());
        response
    }

    fn json(&self, status: StatusCode, context: PageContext<'_>, media_type: &'static str, value: &serde_json::Value) -> Response<Bytes> {
        self.dress(status, context, media_type, value.to_string())
    }

    /// A body with the headers that every answer of ours has.
    fn dress(&self, status: StatusCode, context: PageContext<'_>, media_type: &'static str, body: String) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(context.chosen().tag()));
        headers.insert(VARY, HeaderValue::from_static("accept-language"));
        self.protect(&mut response, context.incident);
        response
    }

    fn protect(&self, response: &mut Response<Bytes>, incident: Incident) {
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, self.security_policy.clone());
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
        if self.addresses.is_https() {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        if let Ok(code) = HeaderValue::from_bytes(&incident.ascii()) {
            headers.insert(INCIDENT_HEADER, code);
        }
    }
}

/// `Vestibule realm="redmine"`, or `Bearer` where tokens are accepted (RFC 6750 3): never `Basic`, which opens a browser dialog.
fn challenge(message: PublicMessage, context: PageContext<'_>) -> HeaderValue {
    let realm: String =
        context.app.map_or("vestibule", |app| &app.name).chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    let scopes = || context.app.and_then(|app| app.bearer.as_ref()).map(|bearer| bearer.scopes.join(" ")).unwrap_or_default();
    let takes_tokens = matches!(message, PublicMessage::SignInOrTokenRequired | PublicMessage::TokenRequired);
    let (scheme, rest) = if takes_tokens {
        ("Bearer", String::new())
    } else if message == PublicMessage::TokenInvalid {
        ("Bearer", ", error=\"invalid_token\"".to_owned())
    } else if message == PublicMessage::TokenScope {
        ("Bearer", format!(", error=\"insufficient_scope\", scope=\"{}\"", scopes()))
    } else if message == PublicMessage::TokenTooOld {
        // RFC 9470 3.
        ("Bearer", ", error=\"insufficient_user_authentication\"".to_owned())
    } else {
        ("Vestibule", String::new())
    };
    HeaderValue::try_from(format!("{scheme} realm=\"{realm}\"{rest}")).unwrap_or(HeaderValue::from_static("Vestibule"))
}
