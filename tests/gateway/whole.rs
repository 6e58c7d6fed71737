//! The whole gateway in this process, an application behind it that keeps every byte it gets, and clients that send any byte.
//!
//! Nothing here knows more of the gateway than its address: people sign in with a provider, requests go over TLS, the application listens on a
//! port of its own. Every wait ends after [`PATIENCE`], with a panic that says for what.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub, reason = "helpers of tests")]

use crate::fake_op::{CLIENT_ID, CLIENT_SECRET, FakeOp};
use crate::listen::Port;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;
use vestibule::app::{self, By, Plan, Running, Source};
use vestibule::clock::{Clock as _, ManualClock, SystemClock};
use vestibule::config::{
    Admin, Audit, AuditSink, Bounds, Certificate, Gateway, Idp, Pages, Provisioning, SecretRef, Server, Session, State, Telemetry, TlsVersion,
};
use vestibule::connector::builtin::builtin;
use vestibule::load::{Candidate, Found};
use vestibule::policy::{Policy, Surroundings, compile};
use vestibule::source::SourceFile;

pub const AUTH: &str = "auth.vestibule.test";
pub const APP: &str = "app.vestibule.test";
pub const WIKI: &str = "wiki.vestibule.test";
pub const COOKIE: &str = "__Host-vestibule";
/// What the admin API of every test asks for.
pub const ADMIN_TOKEN: &str = "t0p-secret-admin-token";

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_elapsed| panic!("nothing within {PATIENCE:?}: {what}"))
}

/// A file of `certs/`.
pub fn cert(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("certs").join(name)
}

/// The first certificate of a file of `certs/`.
pub fn leaf(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(cert(name)).unwrap()
}

/// A policy for `host`: everyone may enter, `/public` is public, `/admins` is for admins; a header, a header without a value, a token.
pub fn policy(host: &str, upstream: SocketAddr) -> String {
    policy_with(host, upstream, "", "")
}

/// As [`policy`], with keys before the first section and sections after the last.
pub fn policy_with(host: &str, upstream: SocketAddr, keys: &str, sections: &str) -> String {
    let name = host.split('.').next().unwrap();
    format!(
        r#"
host = "{host}"
upstream = "http://{upstream}"
{keys}
[access]
everyone = true

[[path]]
match = ["/public", "/public/*"]
public = true

[[path]]
match = ["/admins", "/admins/*"]
groups = ["admins"]

[headers]
X-Remote-User = "{{user.name}}"
X-{name}-Name = "{{user.display}}"
X-{name}-Office = "{{claims.office}}"

[jwt]
header = "X-{name}-JWT"
audience = "{name}"
{sections}
"#
    )
}

/// Compiles a policy that has to be in order.
pub fn compiled(name: &str, text: &str) -> Policy {
    let file = SourceFile { name: format!("policies/{name}.toml").into(), text: text.into() };
    let (policy, problems) = compile(&file, Surroundings { idps: Some(&["corp".to_owned()]), connectors: builtin() });
    policy.unwrap_or_else(|| panic!("{problems:?}"))
}

/// The gateway and what is around it.
pub struct Whole {
    pub at: SocketAddr,
    pub running: Running,
    pub op: Arc<FakeOp>,
    pub app: Upstream,
    pub clock: Arc<ManualClock>,
    pub folder: TempDir,
}

impl Whole {
    /// Two apps, `app` and `wiki`, with one upstream.
    pub async fn new() -> Self {
        Self::with(|app| vec![("app", policy(APP, app)), ("wiki", policy(WIKI, app))], |_| {}).await
    }

    /// One app with keys and sections of the test's own.
    pub async fn app(keys: &str, sections: &str) -> Self {
        Self::with(|app| vec![("app", policy_with(APP, app, keys, sections))], |_| {}).await
    }

    pub async fn with(policies: impl FnOnce(SocketAddr) -> Vec<(&'static str, String)>, change: impl FnOnce(&mut Gateway)) -> Self {
        Self::loaded(|app| policies(app).iter().map(|(name, text)| compiled(name, text)).collect(), change).await
    }

    /// As [`Self::with`], policies being compiled by the test.
    pub async fn loaded(policies: impl FnOnce(SocketAddr) -> Vec<Policy>, change: impl FnOnce(&mut Gateway)) -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let (op, app) = (FakeOp::start(clock.now().seconds()).await, Upstream::start().await);
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = gateway(&folder, &op);
        change(&mut gateway);
        let mut plan = Plan::new(gateway, policies(app.at), vec!["broken.vestibule.test".into()]);
        plan.install_logging = false;
        plan.clock = clock.clone();
        plan.environment = Arc::new(|name| match name {
            "STATE_KEY" => Some(OsString::from("a key for tests that is long enough to be one")),
            "CLIENT_SECRET" => Some(OsString::from(CLIENT_SECRET)),
            "ADMIN_TOKEN" => Some(OsString::from(ADMIN_TOKEN)),
            "VESTIBULE_KEY" => Some(std::fs::read_to_string(cert("vestibule.test.key")).unwrap().into()),
            "OTHER_KEY" => Some(std::fs::read_to_string(cert("other.test.key")).unwrap().into()),
            _ => None,
        });
        let running = app::start(plan).await.unwrap();
        Self { at: running.serving[0], running, op, app, clock, folder }
    }

    /// As if the files of these policies had been changed, and those of all others removed.
    pub fn reload(&self, policies: Vec<Policy>) {
        let candidate = |policy: Policy| Candidate {
            file: SourceFile::new(policy.file.as_str(), ""),
            policy: Some(Arc::new(policy)),
            problems: Vec::new(),
            connector: None,
        };
        let found = Found {
            gateway: gateway(&self.folder, &self.op),
            file: SourceFile::new("vestibule.toml", ""),
            files: policies.len(),
            candidates: policies.into_iter().map(candidate).collect(),
            problems: Vec::new(),
        };
        let reloaded = self.running.swap().take(found, &By::source(Source::Signal));
        assert!(reloaded.ok, "{reloaded:?}");
    }

    pub fn street(&self) -> Street {
        Street { at: self.at, op: Arc::clone(&self.op) }
    }

    pub fn advance_s(&self, seconds: i64) {
        self.clock.advance_ms(seconds * 1000);
        self.op.set_now(self.clock.now().seconds());
    }

    pub async fn sign_in(&self, host: &str) -> Person {
        self.street().sign_in(host).await
    }

    pub async fn connect(&self, host: &str) -> Wire {
        self.street().connect(host).await
    }

    pub async fn ask(&self, host: &str, request: impl AsRef<[u8]>) -> Answer {
        self.street().ask(host, request).await
    }

    /// A bare `GET` by `person`, as scripts send it, on a connection of its own.
    pub async fn get(&self, person: &Person, host: &str, path: &str) -> Answer {
        self.ask(host, get(person, host, path, "")).await
    }
}

/// A `GET` by `person`; `more` are whole header lines.
pub fn get(person: &Person, host: &str, path: &str, more: &str) -> String {
    let cookies = person.cookies(host);
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookies}{more}\r\n")
}

fn gateway(folder: &TempDir, op: &FakeOp) -> Gateway {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let pair = |name: &str, key: &str| Certificate { chain: cert(name), key: SecretRef::Env(key.into()) };
    Gateway {
        server: Server {
            listen: vec![anywhere],
            redirect: vec![anywhere],
            auth_host: AUTH.into(),
            public_port: 443,
            policies: folder.path().into(),
            trusted_proxies: Vec::new(),
            body_bytes_max: 1 << 30,
            drain_ms: 3_000,
            workers: 1,
            bounds: Bounds::default(),
        },
        certificates: vec![pair("vestibule.test.pem", "VESTIBULE_KEY"), pair("other.test.pem", "OTHER_KEY")],
        min_tls: TlsVersion::V1_2,
        admin: Some(Admin { listen: anywhere, console: None, socket: None, socket_group: None, socket_viewers: None }),
        state: State {
            url: format!("sqlite:{}", folder.path().join("v.db").display()),
            key: SecretRef::Env("STATE_KEY".into()),
            backup_keep: 0,
            sign_ins_keep_ms: 90 * 86_400_000,
            incidents_keep_ms: 30 * 86_400_000,
        },
        session: Session { idle_ms: 30 * 60_000, max_ms: 12 * 3_600_000, cookie: COOKIE.into(), same_site: "Lax" },
        provisioning: Provisioning::default(),
        audit: Audit::to(AuditSink::Stdout),
        telemetry: Telemetry { log: "warn".into(), format: "text".into(), metrics: true, otlp: None },
        pages: Pages::default(),
        idps: vec![Idp {
            name: "Corp account".into(),
            client_id: CLIENT_ID.into(),
            client_secret: Some(SecretRef::Env("CLIENT_SECRET".into())),
            scopes: vec!["openid".into()],
            algorithms: vec!["RS256".into()],
            userinfo: true,
            ..Idp::bare("corp", op.issuer.clone())
        }],
    }
}

/// Where people stand: the gateway's address, and the provider they have accounts at.
#[derive(Clone)]
pub struct Street {
    pub at: SocketAddr,
    pub op: Arc<FakeOp>,
}

impl Street {
    /// A TLS connection for `host` that speaks HTTP/1.1.
    pub async fn connect(&self, host: &str) -> Wire {
        Wire::new(self.tls(Tls::for_name(host)).await.unwrap())
    }

    pub async fn tls(&self, tls: Tls<'_>) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.at).await?;
        tcp.set_nodelay(true)?;
        within("a TLS handshake", TlsConnector::from(Arc::new(tls.config())).connect(tls.name.clone(), tcp)).await
    }

    /// Sends one request on a connection of its own, and reads its answer.
    pub async fn ask(&self, host: &str, request: impl AsRef<[u8]>) -> Answer {
        let mut wire = self.connect(host).await;
        wire.send(request.as_ref()).await;
        wire.answer(request.as_ref().starts_with(b"HEAD")).await
    }

    /// An HTTP/2 connection for `host`.
    pub async fn h2(&self, host: &str) -> http2::SendRequest<Full<Bytes>> {
        let tls = self.tls(Tls { alpn: &[b"h2"], ..Tls::for_name(host) }).await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
        drop(tokio::spawn(connection));
        sender
    }

    /// A navigation; keeps the cookies that come.
    pub async fn visit(&self, person: &mut Person, url: &Url) -> Answer {
        let host = url.host_str().unwrap();
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let request = get(person, host, &path, "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n");
        let answer = self.ask(host, request).await;
        person.keep(host, &answer);
        answer
    }

    /// Signs in at `host`, up to the moment where the app's own page would be asked for.
    pub async fn sign_in(&self, host: &str) -> Person {
        let mut person = Person::default();
        self.sign_in_as(&mut person, host).await;
        person
    }

    pub async fn sign_in_as(&self, person: &mut Person, host: &str) {
        let mut url: Url = format!("https://{host}/after-sign-in").parse().unwrap();
        for _ in 0..12 {
            let answer = self.visit(person, &url).await;
            assert_eq!(answer.status(), 303, "{url}: {answer:?}");
            url = url.join(&answer.get("location").unwrap()).unwrap();
            if url.as_str().starts_with(&self.op.issuer) {
                let back = self.op.sign_in(&url);
                url = format!("https://{AUTH}/.vestibule/callback?{back}").parse().unwrap();
            }
            if url.path() == "/after-sign-in" {
                return;
            }
        }
        panic!("too many redirects");
    }
}

/// A browser's cookies, by host.
#[derive(Default, Clone, Debug)]
pub struct Person {
    jars: HashMap<String, BTreeMap<String, String>>,
}

impl Person {
    pub fn keep(&mut self, host: &str, answer: &Answer) {
        for line in answer.all("set-cookie") {
            let (pair, attributes) = line.split_once(';').unwrap_or((&line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            let jar = self.jars.entry(host.to_owned()).or_default();
            drop(if attributes.contains("Max-Age=0;") { jar.remove(name) } else { jar.insert(name.to_owned(), value.to_owned()) });
        }
    }

    /// `Cookie: …` with its line end, or nothing.
    pub fn cookies(&self, host: &str) -> String {
        let pairs: Vec<String> = self.jars.get(host).into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { String::new() } else { format!("Cookie: {}\r\n", pairs.join("; ")) }
    }

    /// Forgets who is signed in, everywhere, as a closed browser does; cookies of applications stay.
    pub fn forget_sessions(&mut self) {
        for jar in self.jars.values_mut() {
            jar.retain(|name, _| !name.starts_with(COOKIE));
        }
    }

    /// The session cookie's value at `host`.
    pub fn session(&self, host: &str) -> String {
        self.jars[host][COOKIE].clone()
    }
}

/// How to shake hands.
#[derive(Clone)]
pub struct Tls<'a> {
    pub name: ServerName<'static>,
    pub alpn: &'a [&'a [u8]],
    pub versions: &'a [&'static SupportedProtocolVersion],
}

impl Tls<'_> {
    /// A host name, or an address: then no name is sent.
    pub fn for_name(name: &str) -> Self {
        Self { name: ServerName::try_from(name.to_owned()).unwrap(), alpn: &[b"http/1.1"], versions: rustls::ALL_VERSIONS }
    }

    pub fn config(&self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(self.versions).unwrap();
        let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anything)).with_no_client_auth();
        config.alpn_protocols = self.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }
}

/// Takes any certificate: which one came is what tests look at.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What a [`Wire`] runs over.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// One end of an HTTP/1.1 connection, by hand.
pub struct Wire {
    io: Box<dyn Io>,
    ahead: Vec<u8>,
}

impl Wire {
    pub fn new(io: impl Io + 'static) -> Self {
        Self { io: Box::new(io), ahead: Vec::new() }
    }

    /// Sends; whether the far end still listens is what the test finds out by reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]> + Send + Sync) {
        drop(
            within("sending", async {
                self.io.write_all(bytes.as_ref()).await?;
                self.io.flush().await
            })
            .await,
        );
    }

    /// As [`Self::send`], and says whether it went out.
    pub async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    /// Closes in order.
    pub async fn close(mut self) {
        drop(within("closing", self.io.shutdown()).await);
    }

    /// Reads once; nothing at the end.
    async fn more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match within("more bytes", self.io.read(&mut chunk)).await {
            Ok(read) if read > 0 => {
                self.ahead.extend_from_slice(&chunk[..read]);
                true
            }
            _ => false,
        }
    }

    /// The next head; `None` when the connection ends instead.
    pub async fn head(&mut self) -> Option<Answer> {
        loop {
            if let Some(at) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.ahead.split_off(at + 4);
                let head = std::mem::replace(&mut self.ahead, rest);
                return Some(Answer { head, body: Vec::new(), whole: true });
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// As many bytes as said, or fewer at the end.
    pub async fn exactly(&mut self, bytes: usize) -> Vec<u8> {
        while self.ahead.len() < bytes && self.more().await {}
        let rest = self.ahead.split_off(bytes.min(self.ahead.len()));
        std::mem::replace(&mut self.ahead, rest)
    }

    /// The data of the next chunk of a chunked body; empty for the last one, `None` when the connection ends instead.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.ahead.windows(2).position(|two| two == b"\r\n") {
                let size = usize::from_str_radix(std::str::from_utf8(&self.ahead[..at]).unwrap(), 16).unwrap();
                let whole = self.exactly(at + 2 + size + 2).await;
                return (whole.len() == at + 2 + size + 2).then(|| whole[at + 2..at + 2 + size].to_vec());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Everything up to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.ahead)
    }

    /// Whether the connection ends with nothing further.
    pub async fn is_over(&mut self) -> bool {
        self.rest().await.is_empty()
    }

    /// The body that `head` speaks of.
    async fn body(&mut self, message: &mut Answer, is_response: bool) {
        if message.get("transfer-encoding").is_some() {
            loop {
                match self.chunk().await {
                    None => return message.whole = false,
                    Some(last) if last.is_empty() => return,
                    Some(data) => message.body.extend(data),
                }
            }
        }
        match message.get("content-length") {
            Some(length) => {
                let length = length.parse().unwrap();
                message.body = self.exactly(length).await;
                message.whole = message.body.len() == length;
            }
            None if is_response => message.body = self.rest().await,
            None => {}
        }
    }

    /// The next response that is not informational.
    pub async fn answer(&mut self, bodiless: bool) -> Answer {
        loop {
            let mut answer = self.head().await.unwrap_or_else(|| panic!("no answer but {:?}", String::from_utf8_lossy(&self.ahead)));
            if (100..200).contains(&answer.status()) && answer.status() != 101 {
                continue;
            }
            if !bodiless && !matches!(answer.status(), 101 | 204 | 304) {
                self.body(&mut answer, true).await;
            }
            return answer;
        }
    }

    /// The next request.
    pub async fn request(&mut self) -> Option<Answer> {
        let mut request = self.head().await?;
        self.body(&mut request, false).await;
        Some(request)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.ahead.is_empty() {
            return std::pin::Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let take = buffer.remaining().min(self.ahead.len());
        let rest = self.ahead.split_off(take);
        buffer.put_slice(&std::mem::replace(&mut self.ahead, rest));
        std::task::Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>, bytes: &[u8]) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// A message as it came, request or response.
#[derive(Clone)]
pub struct Answer {
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    /// Whether the body was as long as its framing said.
    pub whole: bool,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = &self.body[..self.body.len().min(2000)];
        write!(f, "{}{}", String::from_utf8_lossy(&self.head), String::from_utf8_lossy(body))
    }
}

impl Answer {
    /// Request or status line.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(self.head.split(|b| *b == b'\r').next().unwrap()).into_owned()
    }

    pub fn status(&self) -> u16 {
        self.line().split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Header lines, name in lower case, value in bytes.
    pub fn fields(&self) -> Vec<(String, Vec<u8>)> {
        let text = &self.head[..self.head.len() - 4];
        let mut fields = Vec::new();
        let mut at = text.windows(2).position(|two| two == b"\r\n").map_or(text.len(), |at| at + 2);
        while at < text.len() {
            let end = text[at..].windows(2).position(|two| two == b"\r\n").map_or(text.len(), |length| at + length);
            let colon = text[at..end].iter().position(|b| *b == b':').unwrap() + at;
            let name = String::from_utf8_lossy(&text[at..colon]).to_lowercase();
            fields.push((name, text[colon + 1..end].trim_ascii().to_vec()));
            at = end + 2;
        }
        fields
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        self.fields().into_iter().filter(|(key, _)| key == name).map(|(_, value)| String::from_utf8_lossy(&value).into_owned()).collect()
    }

    pub fn get(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether `needle` is anywhere in it, whatever its letter case.
    pub fn mentions(&self, needle: &str) -> bool {
        let all = format!("{}{}", String::from_utf8_lossy(&self.head), self.text()).to_lowercase();
        all.contains(&needle.to_lowercase())
    }
}

/// The application: answers `ok` to everything, keeps what it was asked, or lets the test hold its end of each connection.
#[derive(Clone)]
pub struct Upstream {
    pub at: SocketAddr,
    state: Arc<Mutex<Behind>>,
    handed: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Wire>>>,
}

#[derive(Default)]
struct Behind {
    seen: Vec<Answer>,
    connections: usize,
    by_hand: bool,
    answers: HashMap<String, Vec<u8>>,
}

impl Upstream {
    pub async fn start() -> Self {
        let port = Port::free().await;
        let at = port.at;
        let state: Arc<Mutex<Behind>> = Arc::default();
        let (hand, handed) = mpsc::unbounded_channel();
        let behind = Arc::clone(&state);
        port.serve(move |tcp| {
            let wire = Wire::new(tcp);
            let behind = Arc::clone(&behind);
            let by_hand = {
                let mut behind = behind.lock().unwrap();
                behind.connections += 1;
                behind.by_hand
            };
            let served = if by_hand { hand.send(wire).err().map(|unwanted| unwanted.0) } else { Some(wire) };
            async move {
                if let Some(wire) = served {
                    serve(wire, behind).await;
                }
            }
        });
        Self { at, state, handed: Arc::new(tokio::sync::Mutex::new(handed)) }
    }

    /// From now on the test serves new connections itself: [`Self::accept`].
    pub fn by_hand(&self) {
        self.state.lock().unwrap().by_hand = true;
    }

    pub async fn accept(&self) -> Wire {
        within("a connection to the application", async { self.handed.lock().await.recv().await.unwrap() }).await
    }

    /// Waits for a connection and its first request.
    pub async fn accept_request(&self) -> (Wire, Answer) {
        let mut wire = self.accept().await;
        let request = wire.request().await.unwrap();
        (wire, request)
    }

    /// `path` is answered with these bytes.
    pub fn answer(&self, path: &str, bytes: impl AsRef<[u8]>) {
        drop(self.state.lock().unwrap().answers.insert(path.into(), bytes.as_ref().to_vec()));
    }

    /// Requests since the last call, whole.
    pub fn take(&self) -> Vec<Answer> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// The one request since the last call.
    pub fn one(&self) -> Answer {
        let mut seen = self.take();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

/// An application that answers the first request of every connection and closes it: for what is not about keeping them open.
pub async fn answering(answer: impl Fn(Answer) -> String + Send + Sync + 'static) -> SocketAddr {
    let port = Port::free().await;
    let (at, answer) = (port.at, Arc::new(answer));
    port.serve(move |tcp| {
        let answer = Arc::clone(&answer);
        async move {
            let mut wire = Wire::new(tcp);
            if let Some(request) = wire.request().await {
                wire.send(answer(request)).await;
                wire.close().await;
            }
        }
    });
    at
}

async fn serve(mut wire: Wire, behind: Arc<Mutex<Behind>>) {
    // Idle connections may wait as long as they like; a request that has begun may not.
    while !wire.ahead.is_empty() || first_byte(&mut wire).await {
        let Some(request) = wire.request().await else { return };
        let path = request.line().split(' ').nth(1).unwrap().to_owned();
        let answer = {
            let mut behind = behind.lock().unwrap();
            behind.seen.push(request);
            behind.answers.get(&path).cloned().unwrap_or_else(|| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
        };
        wire.send(&answer).await;
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        if text.contains("connection: close") {
            return wire.close().await;
        }
    }
}

async fn first_byte(wire: &mut Wire) -> bool {
    let mut byte = [0];
    match wire.io.read(&mut byte).await {
        Ok(1) => {
            wire.ahead.push(byte[0]);
            true
        }
        _ => false,
    }
}
