//! A legacy application: it knows people by a header, has a table of accounts, and an admin API to fill it. Nothing else.
//!
//! Whoever is named in the header but not in the table gets the app's own "unknown user", so that a page that works proves that the account was
//! made first. `/_demo/` has the switches that let one see waiting and failed pages on purpose.

#![expect(clippy::indexing_slicing, reason = "JSON values only: a key that is not there reads as null")]

use super::http::{Body, Call, Site, answer, escape, html, json, see_other};
use super::table::Table;
use super::token::{Keys, Verdict};
use super::{look, redmine, scim, websocket};
use crate::clock::Clock;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll};
use std::time::Duration;

/// Where the gateway puts its JWT in the demo's policies.
pub const JWT_HEADER: &str = "x-vestibule-jwt";
/// Who is signed in, in the demo's policies.
pub const USER_HEADER: &str = "x-remote-user";
/// Milliseconds that a slow create takes.
const SLOW_MS: u64 = 3_000;
/// Admin calls kept for the table of calls.
const CALLS_MAX: usize = 200;

/// Which admin API the app has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// SCIM 2.0 under `/scim/v2`.
    Scim,
    /// Redmine-like REST: `/users.json`, `/groups/ID/users.json`.
    Redmine,
}

/// How an app is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name.
    pub title: &'static str,
    /// Its admin API.
    pub flavour: Flavour,
    /// Bearer token (SCIM) or API key (Redmine) of the admin API.
    pub admin_token: String,
    /// Where the gateway publishes its keys.
    pub jwks: url::Url,
    /// `aud` that tokens for this app carry.
    pub audience: &'static str,
    /// Whether creating an account takes three seconds from the start.
    pub slow: bool,
}

/// The app.
pub struct App {
    settings: Settings,
    table: Mutex<Table>,
    calls: Mutex<Vec<String>>,
    create_ms: AtomicU64,
    failing: AtomicBool,
    keys: Keys,
}

impl App {
    /// An app with Bob in its table already.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let create_ms = AtomicU64::new(if settings.slow { SLOW_MS } else { 0 });
        let keys = Keys::new(settings.jwks.clone(), settings.audience, clock);
        Self { table: Mutex::new(Table::of(settings.flavour)), settings, calls: Mutex::default(), create_ms, failing: AtomicBool::new(false), keys }
    }

    /// The table of accounts.
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a create goes through before it happens: the *slow* and *fail* switches. `Some` is the failure.
    pub(super) async fn before_create(&self) -> Option<Response<Body>> {
        let wait = self.create_ms.load(Ordering::Relaxed);
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        self.failing.load(Ordering::Relaxed).then(|| answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the demo app was told to fail"))
    }

    async fn admin(&self, call: &Call) -> Response<Body> {
        let given = call.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).or_else(|| call.header("x-redmine-api-key"));
        let known = given == Some(self.settings.admin_token.as_str());
        let response = match self.settings.flavour {
            _ if !known => json(StatusCode::UNAUTHORIZED, &json!({ "detail": "The admin token is missing or wrong.", "status": "401" })),
            Flavour::Scim => scim::answer(self, call).await,
            Flavour::Redmine => redmine::answer(self, call).await,
        };
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= CALLS_MAX {
            calls.remove(0);
        }
        calls.push(format!("{} {} -> {}", call.method, call.path, response.status().as_u16()));
        response
    }

    /// The switches, also for programs: `GET /_demo/state` is the table, the switches and the admin calls as JSON.
    fn demo(&self, call: &Call) -> Response<Body> {
        // The switches are harmless, but a page of somebody else's should not press them.
        let foreign = call.header("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
        let pressed = call.method == Method::POST && !foreign;
        match call.path.as_str() {
            "/_demo/state" => return json(StatusCode::OK, &self.state()),
            "/_demo/headers" => return json(StatusCode::OK, &received(call)),
            "/_demo/slow" if pressed => {
                let slow = self.create_ms.load(Ordering::Relaxed) > 0;
                self.create_ms.store(if wanted(call, slow) { SLOW_MS } else { 0 }, Ordering::Relaxed);
            }
            "/_demo/fail" if pressed => {
                let failing = self.failing.load(Ordering::Relaxed);
                self.failing.store(wanted(call, failing), Ordering::Relaxed);
            }
            "/_demo/reset" if pressed => {
                *self.table() = Table::of(self.settings.flavour);
                self.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.failing.store(false, Ordering::Relaxed);
                self.create_ms.store(if self.settings.slow { SLOW_MS } else { 0 }, Ordering::Relaxed);
            }
            _ => return html(StatusCode::OK, self.page("Switches", &self.switches())),
        }
        see_other("/_demo/")
    }

    fn state(&self) -> Value {
        json!({
            "accounts": self.table().rows(),
            "calls": *self.calls.lock().unwrap_or_else(PoisonError::into_inner),
            "slow": self.create_ms.load(Ordering::Relaxed) > 0,
            "failing": self.failing.load(Ordering::Relaxed),
        })
    }

    fn switches(&self) -> String {
        let (slow, failing) = (self.create_ms.load(Ordering::Relaxed) > 0, self.failing.load(Ordering::Relaxed));
        let state = |on: bool| if on { "<b>on</b>" } else { "off" };
        format!(
            "<p>Creating an account takes three seconds: {}. Creating an account fails: {}.</p>\
             <form method=\"post\" action=\"/_demo/slow\"><button>Slow on/off</button></form>\
             <form method=\"post\" action=\"/_demo/fail\"><button>Fail on/off</button></form>\
             <form method=\"post\" action=\"/_demo/reset\"><button>Reset the table</button></form>\
             <p class=\"soft\">The gateway keeps its own record of accounts it has made; after a reset it notices when it looks again.</p><p><a href=\"/\">Back to {}</a></p>",
            state(slow),
            state(failing),
            self.settings.title
        )
    }

    /// Who the header names, if the table knows them.
    fn account(&self, call: &Call) -> Result<Value, Box<Response<Body>>> {
        let mut named = call.headers.get_all(USER_HEADER).iter();
        let name = match (named.next().and_then(|value| value.to_str().ok()), named.next()) {
            (Some(name), None) => name,
            (None, None) => return Err(Box::new(self.refuse(StatusCode::UNAUTHORIZED, "Nobody is signed in", "No header says who you are."))),
            _ => {
                return Err(Box::new(self.refuse(
                    StatusCode::BAD_REQUEST,
                    "Who are you?",
                    "The header that says who you are is repeated or not text.",
                )));
            }
        };
        match self.table().rows().into_iter().find(|row| row["login"] == name) {
            Some(row) if row["active"] == true => Ok(row),
            Some(_) => Err(Box::new(self.refuse(StatusCode::FORBIDDEN, "Account disabled", "This account is switched off."))),
            None => Err(Box::new(self.refuse(StatusCode::FORBIDDEN, "Unknown user", &format!("There is no account called {name} in this app.")))),
        }
    }

    fn refuse(&self, status: StatusCode, title: &str, text: &str) -> Response<Body> {
        html(status, self.page(title, &format!("<p>{}</p><p class=\"soft\">This is the app's own answer.</p>", escape(text))))
    }

    async fn home(&self, call: &Call, account: &Value) -> Response<Body> {
        let verdict = self.keys.verify(call.header(JWT_HEADER)).await;
        let login = account["login"].as_str().unwrap_or_default();
        let body = format!(
            "<p>Hello, <b>{}</b>. The account <code>{}</code> was {}.</p>\
             <h2>The token</h2>{}<h2>My accounts</h2>{}<h2>The headers I received</h2>{}<h2>Admin calls, latest last</h2>{}<h2>Switches</h2>{}\
             <p><a href=\"/.vestibule/whoami\">What the gateway says about you</a> · <a href=\"/.vestibule/logout\">Sign out</a></p>",
            escape(account["display"].as_str().filter(|name| !name.is_empty()).unwrap_or(login)),
            escape(login),
            escape(account["origin"].as_str().unwrap_or_default()),
            token_html(&verdict),
            table_html(&self.table().rows(), login),
            headers_html(call),
            calls_html(&self.calls.lock().unwrap_or_else(PoisonError::into_inner)),
            self.switches(),
        );
        html(StatusCode::OK, self.page(self.settings.title, &body))
    }

    fn page(&self, title: &str, body: &str) -> String {
        let kind = match self.settings.flavour {
            Flavour::Scim => "wiki",
            Flavour::Redmine => "tickets",
        };
        look::page(title, &format!("{} (a legacy app)", self.settings.title), kind, body)
    }
}

#[async_trait]
impl Site for App {
    async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Response<Body> {
        // Streams first: their bodies are not read here.
        if request.uri().path() == "/ws" && websocket::is_handshake(request.headers()) {
            return websocket::echo(&mut request);
        }
        if request.uri().path() == "/upload" && request.method() == Method::POST {
            return upload_echo(request);
        }
        let Some(call) = Call::read(request).await else { return answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "") };
        let admin = match self.settings.flavour {
            Flavour::Scim => call.path.starts_with("/scim/v2"),
            Flavour::Redmine => call.path.strip_suffix(".json").is_some() && !call.path.starts_with("/api/"),
        };
        if admin {
            return self.admin(&call).await;
        }
        if call.path.starts_with("/_demo") {
            return self.demo(&call);
        }
        let account = match self.account(&call) {
            Ok(account) => account,
            Err(refusal) => return *refusal,
        };
        match call.path.as_str() {
            "/events" => ticker(&call),
            "/api/received" => {
                let verdict = self.keys.verify(call.header(JWT_HEADER)).await;
                json(StatusCode::OK, &json!({ "account": account, "headers": received(&call), "jwt": verdict.as_json() }))
            }
            _ => self.home(&call, &account).await,
        }
    }
}

/// `?to=on`, `?to=off`, else the other position.
fn wanted(call: &Call, now: bool) -> bool {
    match call.param("to") {
        Some("on") => true,
        Some("off") => false,
        _ => !now,
    }
}

/// Headers in the order of arrival, each value by itself.
fn received(call: &Call) -> Value {
    call.headers.iter().map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])).collect()
}

/// Sends back what it is sent, as it comes.
fn upload_echo(request: Request<Incoming>) -> Response<Body> {
    let media_type = request.headers().get(CONTENT_TYPE).cloned().unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let mut response = Response::new(request.into_body().boxed());
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// Server-sent events: `?count=N` (10), `?every_ms=N` (1000).
fn ticker(call: &Call) -> Response<Body> {
    let number = |name: &str, or: u64| call.param(name).and_then(|text| text.parse().ok()).unwrap_or(or);
    let ticks = Ticker { left: number("count", 10), at: 0, beat: tokio::time::interval(Duration::from_millis(number("every_ms", 1_000).max(1))) };
    let mut response = Response::new(ticks.boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// A body of numbered events.
struct Ticker {
    left: u64,
    at: u64,
    beat: tokio::time::Interval,
}

impl http_body::Body for Ticker {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        std::task::ready!(self.beat.poll_tick(context));
        self.left -= 1;
        self.at += 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(format!("id: {0}\ndata: tick {0}\n\n", self.at))))))
    }
}

fn token_html(verdict: &Verdict) -> String {
    let claims = |claims: &Value| serde_json::to_string_pretty(claims).map(|text| format!("<pre>{}</pre>", escape(&text))).unwrap_or_default();
    match verdict {
        Verdict::None => "<p class=\"soft\">No token came with this request.</p>".to_owned(),
        Verdict::Verified(value) => format!("<p class=\"good\">✓ verified: signature, audience and time hold</p>{}", claims(value)),
        Verdict::Refused(why) => format!("<p class=\"bad\">✗ not verified: {}</p>", escape(why)),
    }
}

fn table_html(rows: &[Value], me: &str) -> String {
    let cell = |value: &Value| match value {
        Value::String(text) => escape(text),
        Value::Null => String::new(),
        Value::Array(items) => escape(&items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => escape(&value.to_string()),
    };
    let columns = ["id", "login", "display", "email", "groups", "active", "origin"];
    let row = |row: &Value| {
        let mine = if row["login"] == me { " class=\"me\"" } else { "" };
        format!("<tr{mine}>{}</tr>", joined(columns.iter().map(|name| format!("<td>{}</td>", cell(&row[*name])))))
    };
    let head = joined(columns.iter().map(|name| format!("<th>{name}</th>")));
    format!("<table><tr>{head}</tr>{}</table>", joined(rows.iter().map(row)))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect()
}

fn headers_html(call: &Call) -> String {
    let line = |name: &str, value: &str| {
        let (name, value) = (escape(name), escape(value));
        if [USER_HEADER, JWT_HEADER].contains(&name.as_str()) { format!("<b>{name}: {value}</b>\n") } else { format!("{name}: {value}\n") }
    };
    let lines: String = call.headers.iter().map(|(name, value)| line(name.as_str(), &String::from_utf8_lossy(value.as_bytes()))).collect();
    format!("<pre>{lines}</pre>")
}

fn calls_html(calls: &[String]) -> String {
    let recent = calls.iter().skip(calls.len().saturating_sub(20));
    let lines = joined(recent.map(|call| escape(call) + "\n"));
    if lines.is_empty() { "<p class=\"soft\">None so far.</p>".to_owned() } else { format!("<pre>{lines}</pre>") }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("title", &self.settings.title).finish_non_exhaustive()
    }
}
