//! The whole gateway in this process, a provider that says what the test wants, two recording applications, and browsers of raw HTTP.
//!
//! Everything goes over real sockets: what a promise says of "the upstream" is asserted on the bytes that arrived there.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wrong_self_convention,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "helpers of tests"
)]

use crate::fake_op::{CLIENT_ID, CLIENT_SECRET, FakeOp};
use crate::listen::Port;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;
use vestibule::app::{self, Plan, Running, StartError};
use vestibule::clock::{Clock as _, ManualClock, Timestamp};
use vestibule::config::{Audit, AuditSink, Certificate, Gateway, Idp, Pages, Provisioning, SecretRef, Server, Session, State, Telemetry, TlsVersion};
use vestibule::config::{MetadataPlace, Saml, SamlSubject};
use vestibule::connector::builtin::builtin;
use vestibule::entropy::{Entropy, OsEntropy};
use vestibule::policy::{Policy, Surroundings, compile};
use vestibule::source::SourceFile;

pub const AUTH: &str = "auth.vestibule.test";
pub const WIKI: &str = "wiki.vestibule.test";
pub const TICKETS: &str = "tickets.vestibule.test";
/// 2026-11-21, on a whole second.
pub const NOW_S: i64 = 1_795_000_000;
pub const IDLE_MS: i64 = 30 * 60_000;
pub const MAX_MS: i64 = 12 * 3_600_000;
/// The credential of the admin API.
pub const ADMIN_TOKEN: &str = "admin-token-of-the-wiki-0123456789";
/// What the wiki and the gateway share.
pub const SHARED_SECRET: &str = "shared-secret-of-the-wiki-9876543210";
/// What the applications answer.
pub const CONTENT: &str = "TOP SECRET CONTENT";

/// A request as it arrived at an application.
#[derive(Debug, Clone)]
pub struct Seen {
    pub line: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Seen {
    /// Every value of a header, by any spelling that a CGI application would fold to the same variable.
    pub fn folded(&self, name: &str) -> Vec<String> {
        let fold = |name: &str| name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let fits = self.headers.iter().filter(|(key, _)| fold(key) == fold(name));
        fits.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The one value of a header.
    pub fn only(&self, name: &str) -> String {
        let all = self.folded(name);
        assert_eq!(all.len(), 1, "{name}: {all:?} in {self:?}");
        all[0].clone()
    }

    pub fn text(&self) -> String {
        let lines = self.headers.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
        format!("{}\n{}{}", self.line, lines.collect::<String>(), String::from_utf8_lossy(&self.body))
    }
}

/// An application that keeps every request byte for byte and answers what it is told.
#[derive(Clone)]
pub struct Recorder {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    async fn start() -> Self {
        let port = Port::free().await;
        let recorder = Self { addr: port.at, seen: Arc::default(), answer: Arc::default() };
        recorder.answer(&format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{CONTENT}", CONTENT.len()));
        let served = recorder.clone();
        port.serve(move |stream| {
            let served = served.clone();
            async move { served.serve(stream).await }
        });
        recorder
    }

    /// From now on this is the answer, byte for byte.
    pub fn answer(&self, raw: &str) {
        *self.answer.lock().unwrap() = raw.as_bytes().to_vec();
    }

    /// What came since the last call.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while let Some((head, rest)) = read_head(&mut stream, &mut buffer).await {
            let mut lines = head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            let line = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
            let headers: Vec<(String, Vec<u8>)> = lines
                .filter_map(|line| {
                    let at = line.iter().position(|&b| b == b':')?;
                    Some((String::from_utf8_lossy(&line[..at]).into_owned(), line[at + 1..].trim_ascii().to_vec()))
                })
                .collect();
            buffer = rest;
            let body = read_body(&mut stream, &mut buffer, &headers, false).await;
            self.seen.lock().unwrap().push(Seen { line, headers, body });
            let answer = self.answer.lock().unwrap().clone();
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn more(stream: &mut (impl AsyncRead + Unpin + ?Sized), buffer: &mut Vec<u8>) -> bool {
    let mut chunk = [0; 16 * 1024];
    match tokio::time::timeout(Duration::from_secs(20), stream.read(&mut chunk)).await {
        Ok(Ok(read)) if read > 0 => {
            buffer.extend_from_slice(&chunk[..read]);
            true
        }
        Ok(_) => false,
        Err(elapsed) => panic!("no answer within 20 s: {elapsed}"),
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin + ?Sized), buffer: &mut Vec<u8>) -> Option<(Vec<u8>, Vec<u8>)> {
    loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            return Some((buffer[..at].to_vec(), buffer[at + 4..].to_vec()));
        }
        let mut chunk = [0; 16 * 1024];
        // An idle keep-alive connection may wait for ever.
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => buffer.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}

async fn read_body(stream: &mut (impl AsyncRead + Unpin + ?Sized), buffer: &mut Vec<u8>, headers: &[(String, Vec<u8>)], answer: bool) -> Vec<u8> {
    let find =
        |name: &str| headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    if let Some(length) = find("content-length") {
        let length: usize = length.parse().unwrap();
        while buffer.len() < length && more(stream, buffer).await {}
        let rest = buffer.split_off(length.min(buffer.len()));
        return std::mem::replace(buffer, rest);
    }
    if find("transfer-encoding").is_some() {
        while !buffer.windows(5).any(|five| five == b"0\r\n\r\n") && more(stream, buffer).await {}
        // Good enough for what these tests look for in a body.
        return std::mem::take(buffer);
    }
    if answer {
        while more(stream, buffer).await {}
        return std::mem::take(buffer);
    }
    Vec::new()
}

/// An answer of the gateway.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: String,
}

impl Answer {
    pub fn all(&self, name: &str) -> Vec<String> {
        let fits = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        fits.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    pub fn get(&self, name: &str) -> Option<String> {
        self.all(name).pop()
    }

    pub fn location(&self) -> Option<String> {
        self.get("location")
    }
}

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: String,
    pub host: String,
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub sni: Option<String>,
}

impl Ask {
    /// A navigation.
    pub fn page(host: &str, target: &str) -> Self {
        Self::bare("GET", host, target).with("Accept", "text/html").with("Sec-Fetch-Mode", "navigate")
    }

    /// A script's request.
    pub fn api(host: &str, target: &str) -> Self {
        Self::bare("GET", host, target).with("Accept", "application/json").with("Sec-Fetch-Mode", "cors")
    }

    /// A form, sent by a page of the same origin.
    pub fn form(host: &str, target: &str, body: &str) -> Self {
        let ask =
            Self::bare("POST", host, target).with("Accept", "text/html").with("Sec-Fetch-Mode", "navigate").with("Sec-Fetch-Site", "same-origin");
        Self { body: body.as_bytes().to_vec(), ..ask.with("Content-Type", "application/x-www-form-urlencoded") }
    }

    pub fn bare(method: &str, host: &str, target: &str) -> Self {
        Self { method: method.into(), host: host.into(), target: target.into(), headers: Vec::new(), body: Vec::new(), sni: None }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    fn raw(&self, cookies: &str) -> Vec<u8> {
        let mut raw = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host).into_bytes();
        if !cookies.is_empty() {
            raw.extend_from_slice(format!("Cookie: {cookies}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            raw.extend_from_slice(name.as_bytes());
            raw.extend_from_slice(b": ");
            raw.extend_from_slice(value);
            raw.extend_from_slice(b"\r\n");
        }
        if !self.body.is_empty() || self.method == "POST" {
            raw.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        raw.extend_from_slice(b"\r\n");
        raw.extend_from_slice(&self.body);
        raw
    }
}

/// What to build.
#[derive(Clone)]
pub struct Options {
    pub tls: bool,
    /// More text for the wiki's policy, after its `[access]`.
    pub wiki: String,
    /// More lines for the wiki's `[headers]`.
    pub headers: String,
    /// The wiki's `[access]`.
    pub access: String,
    pub idp_name: String,
    pub title: String,
    pub entropy: Arc<dyn Entropy>,
    /// Whether the provider speaks SAML, and is `fake_saml`.
    pub saml: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: false,
            wiki: String::new(),
            headers: String::new(),
            access: "groups = [\"staff\"]".into(),
            idp_name: "Company account".into(),
            title: "Wiki".into(),
            entropy: Arc::new(OsEntropy::default()),
            saml: false,
        }
    }
}

/// The gateway with everything around it.
pub struct House {
    pub op: Arc<FakeOp>,
    pub wiki: Recorder,
    pub tickets: Recorder,
    pub clock: Arc<ManualClock>,
    pub addr: SocketAddr,
    pub options: Options,
    folder: TempDir,
    running: Mutex<Option<Running>>,
}

impl House {
    pub async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let op = FakeOp::start(NOW_S).await;
        let (wiki, tickets) = (Recorder::start().await, Recorder::start().await);
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOW_S)));
        let folder = tempfile::tempdir().unwrap();
        let mut house = Self { op, wiki, tickets, clock, addr: ([127, 0, 0, 1], 0).into(), options, folder, running: Mutex::default() };
        house.start().await.unwrap();
        house
    }

    /// What operators are told at the start.
    pub fn summary(&self) -> Vec<String> {
        self.running.lock().unwrap().as_ref().unwrap().summary()
    }

    /// Stops it and starts it again on what it has written down.
    pub async fn restart(&mut self) {
        let running = self.running.lock().unwrap().take().unwrap();
        running.stop().await;
        self.start().await.unwrap();
    }

    async fn start(&mut self) -> Result<(), StartError> {
        let policies = vec![policy("wiki", &wiki_policy(&self.options, self.wiki.addr)), policy("tickets", &tickets_policy(self.tickets.addr))];
        let mut plan = Plan::new(gateway(self.folder.path(), &self.op, &self.options), policies, Vec::new());
        plan.plain = !self.options.tls;
        plan.install_logging = false;
        plan.clock = self.clock.clone();
        plan.entropy = Arc::clone(&self.options.entropy);
        plan.environment = Arc::new(|name| {
            let value = match name {
                "STATE_KEY" => "a key for tests that is long enough to be one",
                "CLIENT_SECRET" => CLIENT_SECRET,
                "ADMIN_TOKEN" => ADMIN_TOKEN,
                "SHARED_SECRET" => SHARED_SECRET,
                "TWO_LINES" => "one\ntwo",
                _ => return None,
            };
            Some(OsString::from(value))
        });
        let running = app::start(plan).await?;
        self.addr = running.serving[0];
        *self.running.lock().unwrap() = Some(running);
        Ok(())
    }

    pub fn cookie_name(&self) -> &'static str {
        if self.options.tls { "__Host-vestibule" } else { "vestibule" }
    }

    pub fn scheme(&self) -> &'static str {
        if self.options.tls { "https" } else { "http" }
    }

    pub fn origin(&self, host: &str) -> String {
        format!("{}://{host}", self.scheme())
    }

    pub fn advance_s(&self, seconds: i64) {
        self.clock.advance_ms(seconds * 1000);
        self.op.set_now(self.clock.now().seconds());
    }

    /// What came to any application since the last call.
    pub fn arrived(&self) -> Vec<Seen> {
        self.wiki.take().into_iter().chain(self.tickets.take()).collect()
    }

    /// Sends bytes as they are; `None` when the connection is closed without an answer.
    pub async fn raw(&self, raw: &[u8], sni: &str) -> Option<Answer> {
        let tcp = TcpStream::connect(self.addr).await.unwrap();
        let mut stream: Box<dyn Stream> = if self.options.tls { Box::new(tls(tcp, sni).await) } else { Box::new(tcp) };
        // A gateway that has seen enough may answer and close before everything is sent.
        drop(stream.write_all(raw).await);
        let mut buffer = Vec::new();
        let (head, rest) = tokio::time::timeout(Duration::from_secs(40), read_head(&mut stream, &mut buffer)).await.expect("an answer in time")?;
        let head: Vec<&[u8]> = head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
        let status = String::from_utf8_lossy(head[0]).split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, Vec<u8>)> = head[1..]
            .iter()
            .map(|line| {
                let at = line.iter().position(|&b| b == b':').unwrap();
                (String::from_utf8_lossy(&line[..at]).into_owned(), line[at + 1..].trim_ascii().to_vec())
            })
            .collect();
        let mut buffer = rest;
        let bodiless = raw.starts_with(b"HEAD ") || matches!(status, 204 | 304);
        let body = if bodiless { Vec::new() } else { read_body(&mut stream, &mut buffer, &headers, true).await };
        Some(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

async fn tls(tcp: TcpStream, sni: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certs().join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(sni.to_owned()).unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

fn certs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certs")
}

fn gateway(folder: &Path, op: &FakeOp, options: &Options) -> Gateway {
    let certificate = || Certificate { chain: certs().join("vestibule.test.pem"), key: SecretRef::File(certs().join("vestibule.test.key")) };
    Gateway {
        server: Server {
            listen: vec![([127, 0, 0, 1], 0).into()],
            redirect: Vec::new(),
            auth_host: AUTH.into(),
            public_port: if options.tls { 443 } else { 80 },
            policies: PathBuf::new(),
            trusted_proxies: Vec::new(),
            body_bytes_max: 1 << 20,
            drain_ms: 200,
            workers: 1,
            bounds: vestibule::config::Bounds::default(),
        },
        certificates: if options.tls { vec![certificate()] } else { Vec::new() },
        min_tls: TlsVersion::V1_2,
        admin: None,
        state: State {
            url: format!("sqlite:{}", folder.join("v.db").display()),
            key: SecretRef::Env("STATE_KEY".into()),
            backup_keep: 0,
            sign_ins_keep_ms: 90 * 86_400_000,
            incidents_keep_ms: 30 * 86_400_000,
        },
        session: Session {
            idle_ms: IDLE_MS,
            max_ms: MAX_MS,
            cookie: if options.tls { "__Host-vestibule" } else { "vestibule" }.into(),
            same_site: "Lax",
        },
        provisioning: Provisioning::default(),
        audit: Audit::to(AuditSink::Stdout),
        telemetry: Telemetry { log: "warn".into(), format: "text".into(), metrics: false, otlp: None },
        pages: Pages { name: "Example sign-in".into(), ..Pages::default() },
        idps: vec![Idp {
            name: options.idp_name.clone(),
            client_id: CLIENT_ID.into(),
            client_secret: Some(SecretRef::Env("CLIENT_SECRET".into())),
            scopes: vec!["openid".into(), "email".into()],
            algorithms: vec!["RS256".into()],
            attributes: if options.saml { vec![("email".into(), vec!["mail".into()])] } else { Vec::new() },
            userinfo: true,
            saml: options.saml.then(|| saml(folder)),
            ..Idp::bare("corp", if options.saml { String::new() } else { op.issuer.clone() })
        }],
    }
}

fn saml(folder: &Path) -> Saml {
    let metadata = folder.join("idp.xml");
    std::fs::write(&metadata, crate::fake_saml::metadata("https://idp.test", &["saml-idp.pem"])).unwrap();
    Saml {
        metadata: MetadataPlace::File(metadata),
        pins: Vec::new(),
        subject: SamlSubject::Persistent,
        entity_id: None,
        response_bytes_max: 256 * 1024,
        key: None,
    }
}

fn wiki_policy(options: &Options, upstream: SocketAddr) -> String {
    let Options { access, wiki, headers, title, .. } = options;
    format!(
        r#"
title    = {title:?}
host     = "{WIKI}"
upstream = "http://{upstream}"
[access]
{access}
[[path]]
match  = ["/public", "/public/*"]
public = true
[[path]]
match  = ["/admin", "/admin/*"]
groups = ["admins"]
[[path]]
match   = ["/recent"]
max_age = "10m"
[user]
name = "{{email}}"
[headers]
X-Remote-User = "{{user.name}}"
X-Remote-Groups = "{{groups}}"
X-Remote-Name = "{{name}}"
X-Department = "{{claims.department}}"
{headers}
[jwt]
header   = "X-Assertion"
audience = "wiki"
claims   = {{ name = "{{name}}" }}
{wiki}
"#
    )
}

fn tickets_policy(upstream: SocketAddr) -> String {
    format!(
        r#"
host     = "{TICKETS}"
upstream = "http://{upstream}"
[access]
everyone = true
[user]
name = "{{email}}"
[headers]
X-Tickets-Login = "{{user.name}}"
[jwt]
header   = "X-Assertion"
audience = "tickets"
"#
    )
}

fn policy(name: &str, text: &str) -> Policy {
    let file = SourceFile::new(format!("policies/{name}.toml"), text);
    let idps = ["corp".to_owned()];
    let (policy, problems) = compile(&file, Surroundings { idps: Some(&idps), connectors: builtin() });
    policy.unwrap_or_else(|| panic!("{problems:#?}"))
}

/// Where a chain of redirects ended.
#[derive(Debug, Clone)]
pub struct Landed {
    pub url: Url,
    pub answer: Answer,
    /// Every `Location` on the way.
    pub passed: Vec<String>,
}

/// A browser: a jar for each host.
#[derive(Debug, Clone, Default)]
pub struct Browser {
    pub jars: BTreeMap<String, BTreeMap<String, String>>,
}

impl Browser {
    pub fn cookie(&self, host: &str, name: &str) -> Option<String> {
        self.jars.get(host)?.get(name).cloned()
    }

    pub fn plant(&mut self, host: &str, name: &str, value: &str) {
        drop(self.jars.entry(host.into()).or_default().insert(name.into(), value.into()));
    }

    pub async fn send(&mut self, house: &House, ask: &Ask) -> Answer {
        let host = ask.host.split(':').next().unwrap();
        let cookies = self.jars.get(host).into_iter().flatten().fold(String::new(), |mut line, (name, value)| {
            let gap = if line.is_empty() { "" } else { "; " };
            write!(line, "{gap}{name}={value}").unwrap();
            line
        });
        let answer = house.raw(&ask.raw(&cookies), ask.sni.as_deref().unwrap_or(host)).await.expect("an answer");
        for line in answer.all("set-cookie") {
            let (pair, attributes) = line.split_once(';').unwrap_or((&line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            let jar = self.jars.entry(host.to_owned()).or_default();
            drop(if attributes.contains("Max-Age=0") { jar.remove(name) } else { jar.insert(name.to_owned(), value.to_owned()) });
        }
        answer
    }

    pub async fn get(&mut self, house: &House, host: &str, target: &str) -> Answer {
        self.send(house, &Ask::page(host, target)).await
    }

    pub async fn api(&mut self, house: &House, host: &str, target: &str) -> Answer {
        self.send(house, &Ask::api(host, target)).await
    }

    /// As far as the provider's door: its address, with everything in the query.
    pub async fn to_provider(&mut self, house: &House, host: &str, target: &str) -> Url {
        let answer = self.get(house, host, target).await;
        let login: Url = answer.location().unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap();
        assert_eq!(login.host_str(), Some(AUTH), "{login}");
        let answer = self.get(house, AUTH, &target_of(&login)).await;
        answer.location().unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
    }

    pub async fn callback(&mut self, house: &House, query: &str) -> Answer {
        self.get(house, AUTH, &format!("/.vestibule/callback?{query}")).await
    }

    /// Follows redirects as a browser does, through the provider's sign-in if there is one. Fails when one leads to a host that is not of this house.
    pub async fn follow(&mut self, house: &House, from: &str, first: Answer) -> Landed {
        let mut url: Url = house.origin(from).parse().unwrap();
        let (mut answer, mut passed) = (first, Vec::new());
        for _ in 0..14 {
            let Some(location) = answer.location().filter(|_| (300..400).contains(&answer.status)) else { return Landed { url, answer, passed } };
            url = url.join(&location).unwrap();
            passed.push(url.to_string());
            if url.as_str().starts_with(&house.op.issuer) {
                let back = house.op.sign_in(&url);
                url = format!("{}/.vestibule/callback?{back}", house.origin(AUTH)).parse().unwrap();
            }
            let host = url.host_str().unwrap().to_owned();
            assert!([AUTH, WIKI, TICKETS].contains(&host.as_str()) && url.scheme() == house.scheme(), "off the house: {url} by {passed:?}");
            answer = self.get(house, &host, &target_of(&url)).await;
        }
        panic!("too many redirects: {passed:?}");
    }

    /// Opens an address and signs in on the way.
    pub async fn open(&mut self, house: &House, host: &str, target: &str) -> Landed {
        let answer = self.get(house, host, target).await;
        self.follow(house, host, answer).await
    }

    /// Signed in at an app, without having asked the app for anything yet.
    pub async fn signed_in(house: &House, host: &str) -> Self {
        let mut browser = Self::default();
        let landed = browser.open(house, host, "/.vestibule/login?to=/.vestibule/whoami").await;
        assert_eq!((landed.answer.status, landed.url.path()), (200, "/.vestibule/whoami"), "{landed:?}");
        browser
    }
}

pub fn target_of(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

/// Percent-encoded for a query.
pub fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Makes the provider vouch for this person.
pub fn be(house: &House, subject: &str, person: serde_json::Value) {
    let subject = serde_json::Value::from(subject);
    house.op.set(|script| {
        script.subject = subject;
        script.person = person;
    });
}
