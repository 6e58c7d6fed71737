//! The fakes: an OpenID Provider and an application with a SCIM admin API. Each has a thread and a runtime of its own, and writes down when it was at work.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use vestibule::clock::{Clock as _, SystemClock};

pub const CLIENT_ID: &str = "gateway";
pub const CLIENT_SECRET: &str = "s3cret of the client";
pub const ADMIN_TOKEN: &str = "t0p-secret-admin-token";
/// Teams, each of which is a group at the application.
pub const TEAMS: usize = 50;

/// When a server was at work: from the first byte of a request to the last of its answer, TLS included.
#[derive(Debug, Clone, Default)]
pub struct Diary(Arc<Mutex<Vec<(Instant, Instant)>>>);

impl Diary {
    /// What was written since the last call. Nothing may be under way.
    pub fn take(&self) -> Vec<(Instant, Instant)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A connection that keeps the diary.
struct Timed {
    tcp: TcpStream,
    diary: Diary,
    begun: Option<Instant>,
    /// The row of the answer that is being written.
    row: Option<usize>,
}

impl AsyncRead for Timed {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(context, buffer))?;
        if buffer.filled().len() > before && (self.begun.is_none() || self.row.is_some()) {
            (self.begun, self.row) = (Some(Instant::now()), None);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.tcp).poll_write(context, bytes))?;
        let (now, this) = (Instant::now(), &mut *self);
        let mut rows = this.diary.0.lock().unwrap();
        if let Some(row) = this.row.and_then(|row| rows.get_mut(row)) {
            row.1 = now;
        } else {
            rows.push((this.begun.unwrap_or(now), now));
            this.row = Some(rows.len() - 1);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

/// A request, read.
pub struct Call {
    method: Method,
    path: String,
    query: HashMap<String, String>,
    body: Bytes,
    /// `X-Remote-User`.
    user: Option<String>,
}

/// Something that answers.
pub trait Site: Send + Sync + 'static {
    /// Status and body; JSON unless it is a page.
    fn answer(&self, call: Call) -> impl Future<Output = (u16, Bytes)> + Send;
}

/// Serves `site` on a thread of its own, for as long as the process lives.
pub fn serve<S: Site>(name: &str, site: Arc<S>, diary: Diary, tls: Option<Arc<ServerConfig>>) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    let named = std::thread::Builder::new().name(name.to_owned());
    drop(
        named
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    tell.send(listener.local_addr().unwrap()).unwrap();
                    loop {
                        let (tcp, _) = listener.accept().await.unwrap();
                        tcp.set_nodelay(true).unwrap();
                        let timed = Timed { tcp, diary: diary.clone(), begun: None, row: None };
                        let (site, tls) = (Arc::clone(&site), tls.clone());
                        drop(tokio::spawn(async move {
                            match tls {
                                None => connection(timed, site).await,
                                Some(tls) => connection(TlsAcceptor::from(tls).accept(timed).await.unwrap(), site).await,
                            }
                        }));
                    }
                });
            })
            .unwrap(),
    );
    told.recv().unwrap()
}

async fn connection<S: Site>(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, site: Arc<S>) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move {
            let (head, body) = request.into_parts();
            let query = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
            let user = head.headers.get("x-remote-user").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = body.collect().await.unwrap().to_bytes();
            let (status, body) = site.answer(Call { method: head.method, path: head.uri.path().to_owned(), query, body, user }).await;
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
            Ok::<_, Infallible>(response)
        }
    });
    // The far end may go when it likes.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service).await);
}

/// The provider: believes whoever comes with a code of its own.
pub struct Provider {
    key: RsaKeyPair,
    issuer: Mutex<String>,
    codes: Mutex<HashMap<String, (usize, String)>>,
    access: Mutex<HashMap<String, usize>>,
}

impl Provider {
    pub fn start(diary: Diary) -> Arc<Self> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let provider = Arc::new(Self { key, issuer: Mutex::default(), codes: Mutex::default(), access: Mutex::default() });
        let at = serve("provider", Arc::clone(&provider), diary, None);
        *provider.issuer.lock().unwrap() = format!("http://{at}");
        provider
    }

    pub fn issuer(&self) -> String {
        self.issuer.lock().unwrap().clone()
    }

    /// Person `number` has said that it is them: the code to come back with.
    pub fn code(&self, number: usize, nonce: &str) -> String {
        let code = format!("code-{number}-{}", nonce.get(..8).unwrap_or_default());
        drop(self.codes.lock().unwrap().insert(code.clone(), (number, nonce.to_owned())));
        code
    }

    fn token(&self, form: &HashMap<String, String>) -> Value {
        let (number, nonce) = self.codes.lock().unwrap().remove(&form["code"]).unwrap();
        let now = SystemClock.now().seconds();
        let mut claims = claims(number);
        for (name, value) in [
            ("iss", json!(self.issuer())),
            ("aud", json!(CLIENT_ID)),
            ("iat", json!(now)),
            ("exp", json!(now + 300)),
            ("auth_time", json!(now)),
            ("nonce", json!(nonce)),
        ] {
            claims[name] = value;
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", encode(&json!({"alg": "RS256", "kid": "k"})), encode(&claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        let access = format!("access-{number}");
        self.access.lock().unwrap().insert(format!("Bearer {access}"), number);
        json!({"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))})
    }
}

/// What the provider says of person `number`.
pub fn claims(number: usize) -> Value {
    json!({
        "sub": subject(number), "preferred_username": login(number), "name": format!("Person {number}"), "given_name": "Person",
        "family_name": format!("No {number}"), "email": email(number), "email_verified": true, "groups": ["staff", team(number)],
    })
}

pub fn subject(number: usize) -> String {
    format!("5e1f0000-0000-4000-8000-{number:012}")
}

pub fn login(number: usize) -> String {
    format!("person-{number}")
}

pub fn email(number: usize) -> String {
    format!("person-{number}@example.com")
}

/// The provider's group of a person, of which the policy makes the application's group [`group`].
pub fn team(number: usize) -> String {
    format!("team-{}", number % TEAMS)
}

pub fn group(number: usize) -> String {
    format!("Team {}", number % TEAMS)
}

impl Site for Provider {
    async fn answer(&self, call: Call) -> (u16, Bytes) {
        let issuer = self.issuer();
        let public = self.key.public_key();
        let answer = match call.path.as_str() {
            "/.well-known/openid-configuration" => json!({
                "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
                "userinfo_endpoint": format!("{issuer}/userinfo"), "jwks_uri": format!("{issuer}/jwks"), "response_types_supported": ["code"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            }),
            "/jwks" => json!({"keys": [{
                "kty": "RSA", "use": "sig", "kid": "k", "n": URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero()),
                "e": URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero()),
            }]}),
            "/token" => self.token(&form_urlencoded::parse(&call.body).into_owned().collect()),
            "/userinfo" => {
                // One access token a person: the last one that was given out is the one that is shown.
                let access = self.access.lock().unwrap().drain().map(|(_, number)| number).last();
                claims(access.unwrap())
            }
            other => panic!("the provider has no {other}"),
        };
        (200, Bytes::from(answer.to_string()))
    }
}

/// An account at the application; its id is its place in the list.
#[derive(Debug, Clone)]
struct User {
    login: String,
    external_id: Option<String>,
    email: String,
    display: String,
    given: String,
    family: String,
    version: u32,
}

#[derive(Debug, Default)]
struct Table {
    users: Vec<User>,
    by_login: HashMap<String, usize>,
    by_external_id: HashMap<String, usize>,
    by_email: HashMap<String, usize>,
    members: Vec<HashSet<usize>>,
    team_of: HashMap<usize, usize>,
}

/// The application: pages that say who is there, and a SCIM admin API.
#[derive(Debug)]
pub struct App {
    table: Mutex<Table>,
    /// Whether an admin call takes 5 to 20 ms.
    slow: AtomicBool,
    /// While true, admin calls about accounts below `old` are not answered.
    parked: watch::Sender<bool>,
    old: usize,
    /// Admin calls so far, and those about old accounts.
    pub calls: AtomicU64,
    pub old_calls: AtomicU64,
}

impl App {
    /// With the accounts of `old` people, as this gateway would have made them.
    pub fn new(old: usize, slow: bool) -> Arc<Self> {
        let mut table = Table { members: vec![HashSet::new(); TEAMS], ..Table::default() };
        for number in 0..old {
            let user = User {
                login: login(number),
                external_id: None,
                email: email(number),
                display: format!("Person {number}"),
                given: "Person".to_owned(),
                family: format!("No {number}"),
                version: 1,
            };
            table.add(user);
            table.members[number % TEAMS].insert(number);
            table.team_of.insert(number, number % TEAMS);
        }
        let parked = watch::Sender::new(false);
        Arc::new(Self { table: Mutex::new(table), slow: AtomicBool::new(slow), parked, old, calls: AtomicU64::new(0), old_calls: AtomicU64::new(0) })
    }

    /// From now on calls about old accounts wait, or go on.
    pub fn park(&self, parked: bool) {
        self.parked.send_replace(parked);
    }

    /// Whether `login` has an account, and is a member of its one group.
    pub fn is_complete(&self, number: usize) -> bool {
        let table = self.table.lock().unwrap();
        table.by_login.get(&login(number)).is_some_and(|id| table.members[number % TEAMS].contains(id))
    }

    /// What the call takes an application that has to think.
    async fn think(&self, old: bool) {
        let nth = self.calls.fetch_add(1, Ordering::Relaxed);
        if old {
            self.old_calls.fetch_add(1, Ordering::Relaxed);
            let mut parked = self.parked.subscribe();
            parked.wait_for(|parked| !parked).await.unwrap();
        }
        if self.slow.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5 + nth * 7 % 16)).await;
        }
    }

    async fn scim(&self, call: Call, path: &str) -> (u16, Value) {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let filter = call.query.get("filter").map(|filter| {
            let (attribute, value) = filter.split_once(" eq ").unwrap();
            (attribute.to_owned(), serde_json::from_str::<String>(value).unwrap())
        });
        let about = match (parts.as_slice(), &filter) {
            (["Users", id], _) => Some(*id),
            (_, Some((attribute, id))) if attribute == "members.value" => Some(id.as_str()),
            _ => None,
        };
        self.think(about.and_then(|id| id.parse::<usize>().ok()).is_some_and(|id| id < self.old)).await;
        let mut table = self.table.lock().unwrap();
        match (call.method.as_str(), parts.as_slice()) {
            ("GET", ["Users"]) => {
                let (attribute, value) = filter.unwrap();
                let index = match attribute.as_str() {
                    "externalId" => &table.by_external_id,
                    "userName" => &table.by_login,
                    _ => &table.by_email,
                };
                let found = index.get(&value).copied();
                (200, list(&found.into_iter().map(|id| table.user(id)).collect::<Vec<_>>()))
            }
            ("GET", ["Users", id]) => (200, table.user(id.parse().unwrap())),
            ("POST", ["Users"]) => {
                let body: Value = serde_json::from_slice(&call.body).unwrap();
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let user = User {
                    login: text(&body["userName"]),
                    external_id: body["externalId"].as_str().map(str::to_owned),
                    email: text(&body["emails"][0]["value"]),
                    display: text(&body["displayName"]),
                    given: text(&body["name"]["givenName"]),
                    family: text(&body["name"]["familyName"]),
                    version: 1,
                };
                assert!(!table.by_login.contains_key(&user.login), "made twice: {user:?}");
                let id = table.add(user);
                (201, table.user(id))
            }
            ("GET", ["Groups"]) => {
                let (attribute, value) = filter.unwrap();
                let team = match attribute.as_str() {
                    "displayName" => value.strip_prefix("Team ").and_then(|team| team.parse().ok()),
                    _ => table.team_of.get(&value.parse::<usize>().unwrap()).copied(),
                };
                let whole = !call.query.contains_key("excludedAttributes");
                (200, list(&team.into_iter().map(|team| table.group(team, whole)).collect::<Vec<_>>()))
            }
            ("PATCH", ["Groups", id]) => {
                let body: Value = serde_json::from_slice(&call.body).unwrap();
                let (team, member) =
                    (id.trim_start_matches('g').parse::<usize>().unwrap(), body["Operations"][0]["value"][0]["value"].as_str().unwrap());
                let member: usize = member.parse().unwrap();
                table.members[team].insert(member);
                table.team_of.insert(member, team);
                (204, Value::Null)
            }
            (method, _) => panic!("the application has no {method} {path}"),
        }
    }
}

impl Table {
    fn add(&mut self, user: User) -> usize {
        let id = self.users.len();
        self.by_login.insert(user.login.clone(), id);
        self.by_email.insert(user.email.clone(), id);
        if let Some(external_id) = &user.external_id {
            self.by_external_id.insert(external_id.clone(), id);
        }
        self.users.push(user);
        id
    }

    fn user(&self, id: usize) -> Value {
        let user = &self.users[id];
        let mut value = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": id.to_string(), "userName": user.login, "active": true,
            "displayName": user.display, "name": {"givenName": user.given, "familyName": user.family},
            "emails": [{"value": user.email, "type": "work", "primary": true}], "meta": {"resourceType": "User", "version": format!("W/\"{}\"", user.version)},
        });
        if let Some(external_id) = &user.external_id {
            value["externalId"] = json!(external_id);
        }
        value
    }

    fn group(&self, team: usize, whole: bool) -> Value {
        let mut value =
            json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "id": format!("g{team}"), "displayName": format!("Team {team}")});
        if whole {
            value["members"] = self.members[team].iter().map(|id| json!({"value": id.to_string()})).collect();
        }
        value
    }
}

fn list(found: &[Value]) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": found.len(), "Resources": found})
}

impl Site for App {
    async fn answer(&self, call: Call) -> (u16, Bytes) {
        if let Some(path) = call.path.strip_prefix("/scim/v2").map(str::to_owned) {
            let (status, value) = self.scim(call, &path).await;
            let body = if value.is_null() { String::new() } else { value.to_string() };
            return (status, Bytes::from(body));
        }
        // A page of 1 kB that says who is there.
        (200, Bytes::from(format!("{:<1024}", format!("hello, {}.", call.user.unwrap_or_default()))))
    }
}
