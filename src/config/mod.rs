//! What `vestibule.toml` means.
//!
//! Lives here: [`Gateway`] and its sections, defaults filled in. `compile.rs` makes it from the file as written. Pure: secrets are still
//! references ([`SecretRef`]), certificates still paths; `app/` reads both.

pub mod change;
pub mod compile;
pub mod environment;
pub mod groups_lookup;
pub mod language;
pub mod provisioning;
pub mod saml;
pub mod schema;

pub use compile::compile;
pub use groups_lookup::GroupsLookup;
pub use language::Language;
pub use provisioning::Provisioning;
pub use saml::{MetadataPlace, Saml, SamlSubject};

use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The gateway file.
#[derive(Debug)]
pub struct Gateway {
    /// `[server]`.
    pub server: Server,
    /// `[tls]`; several certificates through `[[tls.certificate]]`. Empty only in the demo.
    pub certificates: Vec<Certificate>,
    /// `[tls] min_version`.
    pub min_tls: TlsVersion,
    /// `[admin]`.
    pub admin: Option<Admin>,
    /// `[state]`.
    pub state: State,
    /// `[session]`.
    pub session: Session,
    /// `[provisioning]`.
    pub provisioning: Provisioning,
    /// `[audit]`.
    pub audit: Audit,
    /// `[telemetry]`.
    pub telemetry: Telemetry,
    /// `[pages]`.
    pub pages: Pages,
    /// `[[idp]]`, at least one.
    pub idps: Vec<Idp>,
}

/// `[server]`.
#[derive(Debug)]
pub struct Server {
    /// Where TLS is served; several addresses may be given (IPv4 and IPv6).
    pub listen: Vec<SocketAddr>,
    /// Where plain HTTP is redirected from.
    pub redirect: Vec<SocketAddr>,
    /// Host of sign-in, callbacks, JWKS, signed-out page; lower case.
    pub auth_host: String,
    /// Port that people's browsers use, when it is not the scheme's own: 443 unless `public_port` says otherwise.
    pub public_port: u16,
    /// Folder of policy files, resolved against the gateway file's folder.
    pub policies: PathBuf,
    /// Peers whose `X-Forwarded-For` is believed; empty: nobody.
    pub trusted_proxies: Vec<IpNet>,
    /// Largest request body in bytes.
    pub body_bytes_max: u64,
    /// How long in-flight requests may take after SIGTERM.
    pub drain_ms: u64,
    /// Worker threads; 0: one per core.
    pub workers: usize,
    /// How much of the gateway strangers may take.
    pub bounds: Bounds,
}

/// How much of the gateway its clients may take: connections, and time in which nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections that are open at once (`max_connections`).
    pub connections_max: usize,
    /// Of which one client may have so many (`max_connections_per_client`).
    pub connections_per_client_max: usize,
    /// An answer of which nothing moves for so long is cut off (`response_idle`).
    pub response_idle_ms: u64,
    /// As long may an event stream or a WebSocket be silent (`stream_idle`).
    pub stream_idle_ms: u64,
}

impl Bounds {
    /// What counts as one client: of IPv6 the first 64 bits, for the others are the client's to choose.
    pub fn client(peer: IpAddr) -> IpAddr {
        match peer.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            address @ IpAddr::V4(_) => address,
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections_max: 10_000, connections_per_client_max: 1_000, response_idle_ms: 120_000, stream_idle_ms: 3_600_000 }
    }
}

/// The oldest TLS version that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    V1_2,
    /// TLS 1.3 only.
    V1_3,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// PEM chain, leaf first.
    pub chain: PathBuf,
    /// PEM private key.
    pub key: SecretRef,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Listener of `/metrics`, `/healthz`, `/readyz` and the console: TLS unless it is a loopback address.
    pub listen: SocketAddr,
    /// Who may use the console; absent: there is none.
    pub console: Option<Console>,
    /// What the command line talks to, resolved against the gateway file's folder; absent: [`SOCKET`], where its folder is there.
    pub socket: Option<PathBuf>,
    /// Group of this machine whose members may act through the socket, beside root and the user that runs the gateway.
    pub socket_group: Option<String>,
    /// Group of this machine whose members may look through the socket.
    pub socket_viewers: Option<String>,
}

impl Admin {
    /// Whether the listener speaks plain HTTP: what never leaves this machine.
    pub const fn is_plain(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }
}

/// The operators' console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Its host, lower case; no app has the same.
    pub host: String,
    /// The one provider whose people may be operators.
    pub idp: String,
    /// Groups whose members may act; at least one.
    pub groups: Vec<String>,
    /// Groups whose members may look.
    pub viewers: Vec<String>,
}

impl Gateway {
    /// Hosts that no policy may claim, and where that is said.
    pub fn own_hosts(&self) -> Vec<(&str, &'static str)> {
        let console = self.admin.as_ref().and_then(|admin| admin.console.as_ref());
        let console = console.map(|console| (console.host.as_str(), "[admin] host"));
        [(self.server.auth_host.as_str(), "[server] auth_host")].into_iter().chain(console).collect()
    }
}

/// Where the command line finds the gateway unless `[admin] socket` says otherwise.
pub const SOCKET: &str = "/run/vestibule/admin.sock";

/// `[state]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// `sqlite:PATH`.
    pub url: String,
    /// Key that seals secrets at rest.
    pub key: SecretRef,
    /// Daily backups beside the file to keep; 0: none are made.
    pub backup_keep: usize,
    /// How long the last sign-in of each person is kept.
    pub sign_ins_keep_ms: i64,
    /// How long what stood behind an incident code is kept.
    pub incidents_keep_ms: i64,
}

/// `[session]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Ends after so long without a request.
    pub idle_ms: i64,
    /// Ends so long after sign-in, whatever happens.
    pub max_ms: i64,
    /// Cookie name, `__Host-` prefixed wherever TLS is served.
    pub cookie: String,
    /// `SameSite` of the cookie: `Lax` or `Strict`.
    pub same_site: &'static str,
}

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Where audit events go.
    pub sink: AuditSink,
    /// Whose names they have.
    pub format: AuditFormat,
    /// Whether people are hashed (`pii = "hash"`).
    pub hash: bool,
}

impl Audit {
    /// All of every event, under our own names.
    pub const fn to(sink: AuditSink) -> Self {
        Self { sink, format: AuditFormat::Plain, hash: false }
    }
}

/// The shape of audit events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuditFormat {
    /// Our own.
    #[default]
    Plain,
    /// Open Cybersecurity Schema Framework.
    Ocsf,
    /// Elastic Common Schema.
    Ecs,
}

/// Where audit events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditSink {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
    /// The socket of a syslog daemon: `/dev/log`.
    Syslog(PathBuf),
    /// journald's native socket.
    Journald(PathBuf),
}

/// `[telemetry]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// `tracing` filter directive.
    pub log: String,
    /// `text`, `json` or `auto` (text on a terminal).
    pub format: String,
    /// Whether `/metrics` answers.
    pub metrics: bool,
    /// Where traces go (OTLP over HTTP), without `/v1/traces`; absent: nowhere.
    pub otlp: Option<url::Url>,
}

/// `[pages]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pages {
    /// Name of the sign-in, e.g. `Example Corp sign-in`.
    pub name: String,
    /// Whom people should ask about sign-in.
    pub contact: Option<String>,
    /// Languages that readers can choose from; the first is for everybody else. Empty: English.
    pub languages: Vec<Language>,
    /// An image for the head of every page, resolved against the gateway file's folder.
    pub logo: Option<PathBuf>,
    /// Folder of own pages, resolved against the gateway file's folder.
    pub templates: Option<PathBuf>,
    /// What the two hold: read, and checked, when the configuration is loaded.
    pub files: PageFiles,
}

/// What the files of `[pages]` hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageFiles {
    /// The logo as a `data:` address.
    pub logo: Option<String>,
    /// Own pages: the file's name without `.html`, and its text.
    pub templates: Vec<(String, String)>,
}

/// `[[idp]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idp {
    /// Name that policies use.
    pub id: String,
    /// Name that people see.
    pub name: String,
    /// Issuer identifier, exactly as the provider writes it; SAML: its entity id, empty when its metadata says it.
    pub issuer: String,
    /// `client_id`.
    pub client_id: String,
    /// `client_secret`; absent: a public client.
    pub client_secret: Option<SecretRef>,
    /// Scopes to ask for, `openid` among them.
    pub scopes: Vec<String>,
    /// Claim that lists groups.
    pub groups: String,
    /// Treat e-mail as verified when `email_verified` is absent.
    pub trust_email: bool,
    /// Signature algorithms accepted on ID tokens and access tokens, e.g. `RS256`, `ES256`, `EdDSA`; never `none`, never `HS*`.
    pub algorithms: Vec<String>,
    /// Names of policies (`given_name`, or one of their own, which becomes `claims.NAME`), each with the claims that it is read from: the first that is set.
    pub attributes: Vec<(String, Vec<String>)>,
    /// Whether the userinfo endpoint is asked for what the ID token lacks.
    pub userinfo: bool,
    /// `[idp.groups_lookup]`: where groups are asked for that do not fit into a token.
    pub groups_lookup: Option<GroupsLookup>,
    /// Type `saml`; `None`: `oidc`.
    pub saml: Option<Saml>,
}

impl Idp {
    /// A provider of which only the id, which people see too, and the issuer are known: nobody can sign in by it before the rest is filled in.
    pub fn bare(id: impl Into<String>, issuer: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            name: id.clone(),
            id,
            issuer: issuer.into(),
            client_id: String::new(),
            client_secret: None,
            scopes: Vec::new(),
            groups: "groups".to_owned(),
            trust_email: false,
            algorithms: Vec::new(),
            attributes: Vec::new(),
            userinfo: false,
            groups_lookup: None,
            saml: None,
        }
    }
}

/// A secret by reference: `cred:NAME`, `file:PATH`, `env:NAME`. Prints the reference, which is not secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// `$CREDENTIALS_DIRECTORY/NAME`, else `/run/secrets/NAME`.
    Cred(String),
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

impl SecretRef {
    /// Parses `cred:NAME`, `file:PATH` or `env:NAME`; `None` for anything else, a literal secret among it.
    pub fn parse(written: &str) -> Option<Self> {
        let (scheme, rest) = written.split_once(':')?;
        if rest.is_empty() {
            return None;
        }
        match scheme {
            "cred" if !rest.contains(['/', '\\']) && rest != ".." && rest != "." => Some(Self::Cred(rest.to_owned())),
            "file" => Some(Self::File(PathBuf::from(rest))),
            "env" => Some(Self::Env(rest.to_owned())),
            _ => None,
        }
    }

    /// With a relative `file:` started in `folder`: that of the file that says it.
    #[must_use]
    pub fn beside(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            other @ (Self::Cred(_) | Self::Env(_)) => other,
        }
    }
}
