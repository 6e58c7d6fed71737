//! A login desk with everything under it, and a browser in front of it: no proxy, no network but the provider's.
#![expect(clippy::unwrap_used, clippy::panic, clippy::string_slice, clippy::wrong_self_convention, unreachable_pub, reason = "helpers of tests")]

use crate::fake_op::{CLIENT_ID, CLIENT_SECRET, FakeOp};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Response};
use secrecy::SecretString;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use url::Url;
use vestibule::clock::{Clock, ManualClock, Timestamp};
use vestibule::config;
use vestibule::entropy::{Entropy, OsEntropy};
use vestibule::expr::FirstOf;
use vestibule::fault::Incident;
use vestibule::login::{Addresses, Admission, Apps, Ask, Desk, DeskParts, HostRole, OwnRequest, Visit};
use vestibule::outbound::{HyperTransport, OutboundError, OutboundRequest, OutboundResponse, Transport};
use vestibule::pages::{Pages, RequestKind};
use vestibule::policy::{Gate, Login, OnCollision, OnSuspect, Policy, Upstream, UserMapping};
use vestibule::provision::Ensured;
use vestibule::session::{AppSession, LiveSessions, LiveSignOn};
use vestibule::sso::Provider;
use vestibule::sso::oidc::OidcProvider;
use vestibule::sso::saml::{SamlProvider, SpKey};
use vestibule::state::seal::Sealer;
use vestibule::state::sqlite::Store;
use vestibule::state::{LoginStore, SecretHash, SessionStore};

pub const AUTH: &str = "auth.example.com";
pub const APP: &str = "redmine.example.com";
pub const OTHER: &str = "wiki.example.com";
pub const COOKIE: &str = "__Host-vestibule";
/// The provider that speaks SAML, where `Options::providers` has it.
pub const SAML: &str = "partner";
/// 2026-11-21, on a whole second.
pub const NOW_S: i64 = 1_795_000_000;

/// The real transport with less patience, so that no test waits ten seconds for a stalled provider.
#[derive(Debug)]
struct Hasty(HyperTransport);

#[async_trait]
impl Transport for Hasty {
    async fn send(&self, mut request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        assert!(request.timeout_ms <= 10_000 && request.response_bytes_max <= 1024 * 1024, "unbounded request");
        request.timeout_ms = request.timeout_ms.min(2500);
        self.0.send(request).await
    }
}

#[derive(Debug)]
struct Directory(Vec<Arc<Policy>>);

impl Apps for Directory {
    fn by_name(&self, name: &str) -> Option<Arc<Policy>> {
        self.0.iter().find(|app| app.name == name).cloned()
    }

    fn by_host(&self, host: &str) -> Option<Arc<Policy>> {
        self.0.iter().find(|app| app.host == host).cloned()
    }

    fn all(&self) -> Vec<Arc<Policy>> {
        self.0.clone()
    }
}

/// Says what the test told it to, and remembers where people wanted to go.
#[derive(Debug, Default)]
pub struct Doorman {
    pub answer: Mutex<Option<Ensured>>,
    pub asked: Mutex<Vec<(String, u64)>>,
}

#[async_trait]
impl Admission for Doorman {
    async fn ensure(&self, visit: Visit<'_>) -> Option<Ensured> {
        self.asked.lock().unwrap().push((visit.to.to_string(), visit.asking.hold_ms));
        Some(self.answer.lock().unwrap().clone().unwrap_or(Ensured::Working))
    }
}

#[derive(Clone)]
pub struct Options {
    pub pending_max: u64,
    pub max_age_ms: Option<i64>,
    pub providers: Vec<&'static str>,
    pub scheme: &'static str,
    pub port: u16,
    pub trust_email: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { pending_max: 1000, max_age_ms: None, providers: vec!["corp"], scheme: "https", port: 443, trust_email: false }
    }
}

pub struct House {
    pub op: Arc<FakeOp>,
    pub desk: Arc<Desk>,
    pub clock: Arc<ManualClock>,
    pub sessions: Arc<LiveSessions>,
    pub store: Arc<Store>,
    pub apps: Vec<Arc<Policy>>,
    pub doorman: Arc<Doorman>,
    /// Everything this thread logs and audits.
    log: Log,
    options: Options,
    _folder: TempDir,
    _listening: tracing::subscriber::DefaultGuard,
}

/// Where the log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl House {
    pub async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let log = Log::default();
        let writer = log.clone();
        let listener = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::DEBUG).with_writer(move || writer.clone()).finish();
        let listening = tracing::subscriber::set_default(listener);
        let op = FakeOp::start(NOW_S).await;
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOW_S)));
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::default());
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(&SecretString::from("a key for tests that is long enough to be one"), Arc::clone(&entropy)).unwrap();
        let store = Arc::new(Store::open(&format!("sqlite:{}", folder.path().join("v.db").display()), sealer).await.unwrap());
        let session = config::Session { idle_ms: 8 * 3_600_000, max_ms: 24 * 3_600_000, cookie: COOKIE.into(), same_site: "Lax" };
        let time: Arc<dyn Clock> = clock.clone();
        let session_store: Arc<dyn SessionStore> = store.clone();
        let logins: Arc<dyn LoginStore> = store.clone();
        let sessions = Arc::new(LiveSessions::new(Arc::clone(&session_store), Arc::clone(&time), session.clone()));
        let transport: Arc<dyn Transport> = Arc::new(Hasty(HyperTransport::new([]).unwrap()));
        let addresses = Addresses { scheme: options.scheme, auth_host: AUTH.into(), port: options.port, elsewhere: None };
        let metadata = folder.path().join("idp.xml");
        std::fs::write(&metadata, crate::fake_saml::metadata("https://idp.test", &["saml-idp.pem"])).unwrap();
        let provider = |id: &str| {
            let settings = config::Idp {
                name: format!("{id} account"),
                client_id: CLIENT_ID.into(),
                scopes: vec!["openid".into(), "email".into()],
                trust_email: options.trust_email,
                algorithms: vec!["RS256".into(), "ES256".into(), "EdDSA".into()],
                userinfo: true,
                ..config::Idp::bare(id, op.issuer.clone())
            };
            if id == SAML {
                let file = |name: &str| std::fs::read(format!("{}/certs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
                let key = SpKey::read(&file("saml-sp.pem"), &file("saml-sp.key")).unwrap();
                let saml = config::Saml {
                    metadata: config::MetadataPlace::File(metadata.clone()),
                    pins: Vec::new(),
                    subject: config::SamlSubject::Persistent,
                    entity_id: None,
                    response_bytes_max: 256 * 1024,
                    key: None,
                };
                let attributes = vec![("email".to_owned(), vec!["mail".to_owned()])];
                let settings = config::Idp { issuer: String::new(), attributes, saml: Some(saml), ..settings };
                let provider = SamlProvider::new(settings, Some(key), &addresses.auth_origin(), Arc::clone(&transport), Arc::clone(&time)).unwrap();
                return Arc::new(provider) as Arc<dyn Provider>;
            }
            let provider = OidcProvider::new(settings, Some(SecretString::from(CLIENT_SECRET)), Arc::clone(&transport), Arc::clone(&time));
            Arc::new(provider) as Arc<dyn Provider>
        };
        let apps = vec![policy("redmine", APP, &options), policy("wiki", OTHER, &options)];
        let doorman = Arc::new(Doorman::default());
        let providers = options.providers.iter().map(|id| provider(id)).collect();
        let desk = Arc::new(Desk::new(DeskParts {
            pages: Arc::new(Pages::new(config::Pages::default(), &addresses.auth_origin())),
            addresses: addresses.clone(),
            session,
            clock: Arc::clone(&time),
            entropy,
            logins,
            sessions: Arc::clone(&sessions),
            session_store,
            sign_ins: store.clone(),
            providers,
            apps: Arc::new(Directory(apps.clone())),
            admission: doorman.clone(),
            jwks: Arc::new(|| Bytes::from_static(b"{\"keys\":[]}")),
            pending_max: options.pending_max,
        }));
        Self { op, desk, clock, sessions, store, apps, doorman, log, options, _folder: folder, _listening: listening }
    }

    pub fn advance_s(&self, seconds: i64) {
        self.clock.advance_ms(seconds * 1000);
        self.op.set_now(self.clock.now().seconds());
    }

    pub fn url(&self, host: &str, path_query: &str) -> Url {
        let port = if self.options.port == 443 { String::new() } else { format!(":{}", self.options.port) };
        format!("{}://{host}{port}{path_query}", self.options.scheme).parse().unwrap()
    }

    /// The live session that a browser has at an app's host.
    pub async fn session(&self, browser: &Browser, host: &str) -> Option<Arc<AppSession>> {
        let cookie = browser.cookie(host, COOKIE)?;
        let app = self.apps.iter().find(|app| app.host == host).unwrap();
        self.sessions.app_session(SecretHash::of(cookie.as_bytes())).await.unwrap().filter(|session| session.app == app.name)
    }

    pub async fn sign_on(&self, browser: &Browser) -> Option<Arc<LiveSignOn>> {
        self.sessions.sign_on(SecretHash::of(browser.cookie(AUTH, COOKIE)?.as_bytes())).await.unwrap()
    }

    /// All that was logged since the house was built.
    pub fn log(&self) -> String {
        String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap()
    }

    /// The `reason` of the last `login.failed` in the audit log.
    pub fn last_reason(&self) -> String {
        let log = self.log();
        let line = log.lines().rfind(|line| line.contains("login.failed")).unwrap_or_default();
        line.split("reason=\"").nth(1).unwrap_or_default().split('"').next().unwrap_or_default().to_owned()
    }

    pub fn token_requests(&self) -> usize {
        self.op.hits("/token")
    }
}

fn policy(name: &str, host: &str, options: &Options) -> Arc<Policy> {
    let mut title = name.to_owned();
    title[..1].make_ascii_uppercase();
    Arc::new(Policy {
        name: name.into(),
        file: format!("policies/{name}.toml"),
        revision: "0123456789ab".into(),
        title,
        host: host.into(),
        upstream: Upstream { tls: false, host: "127.0.0.1".into(), port: 1, connect_timeout_ms: 1, response_timeout_ms: 1 },
        login: Login { idp: options.providers.iter().map(|id| (*id).to_owned()).collect(), max_age_ms: options.max_age_ms, ..Login::default() },
        access: Gate { everyone: true, ..Gate::default() },
        login_place: String::new(),
        access_place: String::new(),
        contact: None,
        help: None,
        paths: vestibule::policy::PathSections::default(),
        messages: vestibule::policy::messages::Messages::default(),
        encoded_slashes: vestibule::policy::EncodedSlashes::Refuse,
        bearer: None,
        user: UserMapping {
            name: FirstOf(Vec::new()),
            email: FirstOf(Vec::new()),
            display: FirstOf(Vec::new()),
            extra: Vec::new(),
            required: Vec::new(),
            name_max: None,
            omit: Vec::new(),
            on_collision: OnCollision::Refuse,
            on_suspect: OnSuspect::Refuse,
        },
        roles: None,
        orgs: Vec::new(),
        vars: serde_json::Map::new(),
        provision: None,
        headers: Vec::new(),
        secret_headers: Vec::new(),
        jwt: None,
        sign_in: vestibule::policy::SignIn::default(),
        tests: Vec::new(),
    })
}

/// An answer, read.
pub struct Seen {
    pub status: u16,
    pub location: Option<String>,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn to(&self) -> Url {
        self.location.as_deref().unwrap_or_else(|| panic!("no redirect: {} {}", self.status, self.body)).parse().unwrap()
    }
}

/// A browser: a cookie jar for each host, and redirects followed by hand.
#[derive(Default, Clone)]
pub struct Browser {
    jars: HashMap<String, BTreeMap<String, String>>,
    /// Where it stands; `None`: where all of them do.
    peer: Option<IpAddr>,
}

impl Browser {
    pub fn at(peer: &str) -> Self {
        Self { peer: Some(peer.parse().unwrap()), ..Self::default() }
    }

    pub fn cookie(&self, host: &str, name: &str) -> Option<String> {
        self.jars.get(host)?.get(name).cloned()
    }

    pub fn plant(&mut self, host: &str, name: &str, value: &str) {
        drop(self.jars.entry(host.into()).or_default().insert(name.into(), value.into()));
    }

    pub fn forget(&mut self, host: &str, name: &str) {
        if let Some(jar) = self.jars.get_mut(host) {
            drop(jar.remove(name));
        }
    }

    pub fn cookie_names(&self, host: &str) -> Vec<String> {
        self.jars.get(host).map(|jar| jar.keys().cloned().collect()).unwrap_or_default()
    }

    fn request(&self, house: &House, method: Method, url: &Url, kind: RequestKind, body: &str) -> OwnRequest {
        let host = url.host_str().unwrap();
        let mut headers = HeaderMap::new();
        let cookies: Vec<String> = self.jars.get(host).into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            headers.insert("cookie", HeaderValue::from_str(&cookies.join("; ")).unwrap());
        }
        let role = if host == AUTH { HostRole::Auth } else { HostRole::App(house.apps.iter().find(|app| app.host == host).unwrap().clone()) };
        OwnRequest {
            incident: Incident::from_bytes([1, 2, 3, 4, 5]),
            kind,
            role,
            method,
            path: url.path().into(),
            query: url.query().unwrap_or_default().into(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            peer: self.peer.unwrap_or(IpAddr::from([192, 0, 2, 1])),
        }
    }

    fn take(&mut self, host: &str, response: Response<Bytes>) -> Seen {
        let (head, body) = response.into_parts();
        for line in head.headers.get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (pair, attributes) = line.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let jar = self.jars.entry(host.to_owned()).or_default();
            drop(if attributes.contains("Max-Age=0;") { jar.remove(name) } else { jar.insert(name.to_owned(), value.to_owned()) });
        }
        Seen {
            status: head.status.as_u16(),
            location: head.headers.get(LOCATION).map(|value| value.to_str().unwrap().to_owned()),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub async fn get(&mut self, house: &House, url: &Url) -> Seen {
        self.ask(house, Method::GET, url, RequestKind::Page, &[], "").await
    }

    pub async fn ask(&mut self, house: &House, method: Method, url: &Url, kind: RequestKind, headers: &[(&'static str, &str)], body: &str) -> Seen {
        let mut request = self.request(house, method, url, kind, body);
        for (name, value) in headers {
            drop(request.headers.insert(*name, HeaderValue::from_str(value).unwrap()));
        }
        let response = house.desk.serve(request).await;
        self.take(url.host_str().unwrap(), response)
    }

    /// A navigation to an app's page without a session: what `request/` does with it.
    pub async fn visit(&mut self, house: &House, host: &str, path_query: &str, fresh: bool) -> Seen {
        let request = self.request(house, Method::GET, &house.url(host, "/"), RequestKind::Page, "");
        let ask = if fresh { Ask::Fresh } else { Ask::Any };
        let response = house.desk.send_to_sign_in(request, path_query.to_owned(), ask).await;
        self.take(host, response)
    }

    /// Follows redirects between our own hosts, through the provider's sign-in if there is one, until an app's own page or an answer that is no redirect.
    pub async fn follow(&mut self, house: &House, mut seen: Seen) -> Seen {
        for _ in 0..12 {
            let Some(location) = seen.location.clone() else { return seen };
            let last = house.url(APP, "/");
            let url = last.join(&location).unwrap();
            if url.as_str().starts_with(&house.op.issuer) {
                let back = house.op.sign_in(&url);
                seen = self.get(house, &house.url(AUTH, &format!("/.vestibule/callback?{back}"))).await;
            } else if url.path().starts_with("/.vestibule/") {
                seen = self.get(house, &url).await;
            } else {
                return seen;
            }
        }
        panic!("too many redirects");
    }

    /// As far as the provider's door.
    pub async fn to_provider(&mut self, house: &House, host: &str, path_query: &str) -> Url {
        let seen = self.visit(house, host, path_query, false).await;
        let seen = self.get(house, &seen.to()).await;
        let url = seen.to();
        assert!(url.as_str().starts_with(&house.op.issuer), "{url}");
        url
    }

    pub async fn callback(&mut self, house: &House, query: &str) -> Seen {
        self.get(house, &house.url(AUTH, &format!("/.vestibule/callback?{query}"))).await
    }

    /// The whole sign-in.
    pub async fn sign_in(&mut self, house: &House, host: &str, path_query: &str) -> Seen {
        let seen = self.visit(house, host, path_query, false).await;
        self.follow(house, seen).await
    }
}
