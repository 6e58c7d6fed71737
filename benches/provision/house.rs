//! The gateway under measurement: as `serve` would start it, in this process, with the fakes around it.

use crate::browser::Browser;
use crate::servers::{ADMIN_TOKEN, App, CLIENT_ID, CLIENT_SECRET, Diary, Provider, TEAMS, serve};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use vestibule::app::{self, Plan, Running};
use vestibule::config::{
    Audit, AuditSink, Bounds, Certificate, Gateway, Idp, Pages, Provisioning, SecretRef, Server, Session, State, Telemetry, TlsVersion,
};
use vestibule::connector::builtin::builtin;
use vestibule::entropy::OsEntropy;
use vestibule::policy::{Policy, Surroundings, compile};
use vestibule::source::SourceFile;
use vestibule::state::seal::Sealer;
use vestibule::state::sqlite::Store;

pub const AUTH: &str = "auth.vestibule.test";
pub const HOST: &str = "app.vestibule.test";
/// Name of the policy.
pub const APP: &str = "app";
const STATE_KEY: &str = "a key for benchmarks that is long enough to be one";

/// How browsers reach the gateway, and the gateway the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wires {
    Tcp,
    /// TLS 1.3 both times. The provider and the app's pages are reached by TCP all the same: what they would add, they would add to every gateway.
    Tls,
}

/// The gateway and what is around it.
pub struct House {
    pub at: SocketAddr,
    pub wires: Wires,
    pub app: Arc<App>,
    pub provider: Arc<Provider>,
    /// Of provider and app together.
    pub diary: Diary,
    pub running: Running,
    /// The gateway's control runtime, of two threads as in `serve`.
    pub runtime: Runtime,
    _folder: TempDir,
}

impl House {
    /// With an application that has the accounts of `old` people. `before` puts into the store what is to be there when the gateway starts.
    pub fn start(wires: Wires, app: Arc<App>, before: impl AsyncFnOnce(&Store, &Policy, &str)) -> Self {
        let diary = Diary::default();
        let provider = Provider::start(diary.clone());
        let pages = serve("app", Arc::clone(&app), diary.clone(), None);
        let (admin, ca) = match wires {
            Wires::Tcp => (format!("http://{pages}"), String::new()),
            Wires::Tls => {
                let at = serve("admin", Arc::clone(&app), diary.clone(), Some(server_tls()));
                (format!("https://localhost:{}", at.port()), format!("ca = {:?}\n", cert("ca.pem").display()))
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let policy = policy(&format!("http://{pages}"), &admin, &ca);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("control").enable_all().build().unwrap();
        let gateway = gateway(folder.path(), &provider.issuer(), wires);
        let running = runtime.block_on(async {
            let store = store(&gateway.state.url).await;
            before(&store, &policy, &provider.issuer()).await;
            store.close().await;
            // Its audit goes to a file, as everywhere.
            start(gateway, policy, wires).await
        });
        Self { at: running.serving[0], wires, app, provider, diary, running, runtime, _folder: folder }
    }

    /// A browser that has never been here.
    pub fn browser(&self) -> Browser {
        let tls = (self.wires == Wires::Tls).then(client_tls);
        Browser::new(self.at, tls)
    }

    /// Person `number` opens the app for the first time in their life, and lands in it.
    pub fn first_login(&self, browser: &mut Browser, number: usize) {
        let scheme = if self.wires == Wires::Tls { "https" } else { "http" };
        let page = browser.open(&format!("{scheme}://{HOST}/"), number, &self.provider, &format!("{scheme}://{AUTH}/.vestibule/callback"));
        assert!(page.starts_with(&format!("hello, {}.", crate::servers::login(number))), "{page}");
        assert!(self.app.is_complete(number), "person {number} has no account, or not its group");
    }
}

/// Starts a gateway with this one policy.
pub async fn start(gateway: Gateway, policy: Policy, wires: Wires) -> Running {
    let mut plan = Plan::new(gateway, vec![policy], Vec::new());
    plan.plain = wires == Wires::Tcp;
    plan.environment = Arc::new(|name| match name {
        "STATE_KEY" => Some(OsString::from(STATE_KEY)),
        "CLIENT_SECRET" => Some(OsString::from(CLIENT_SECRET)),
        "ADMIN_TOKEN" => Some(OsString::from(ADMIN_TOKEN)),
        "TLS_KEY" => Some(std::fs::read_to_string(cert("vestibule.test.key")).unwrap().into()),
        _ => None,
    });
    app::start(plan).await.unwrap_or_else(|error| panic!("{error}"))
}

/// The store of the gateway, before it starts.
pub async fn store(url: &str) -> Store {
    Store::open(url, sealer()).await.unwrap()
}

pub fn sealer() -> Sealer {
    Sealer::new(&STATE_KEY.to_owned().into(), Arc::new(OsEntropy::default())).unwrap()
}

/// A policy with an account, its attributes, and a group at the app.
pub fn policy(upstream: &str, admin: &str, ca: &str) -> Policy {
    let mut text = format!(
        "host = \"{HOST}\"\nupstream = \"{upstream}\"\n[access]\ngroups = [\"staff\"]\n[user]\nname = \"{{username}}\"\nemail = \"{{email}}\"\n\
         display = \"{{name}}\"\n[provision]\nconnector = \"scim\"\nurl = \"{admin}/scim/v2\"\ntoken = \"env:ADMIN_TOKEN\"\n{ca}\
         [headers]\nX-Remote-User = \"{{user.name}}\"\n[roles.map]\n"
    );
    for team in 0..TEAMS {
        writeln!(text, "team-{team} = \"Team {team}\"").unwrap();
    }
    let file = SourceFile::new(format!("policies/{APP}.toml"), text);
    let (policy, problems) = compile(&file, Surroundings { idps: Some(&["corp".to_owned()]), connectors: builtin() });
    policy.unwrap_or_else(|| panic!("{}", problems.iter().map(vestibule::source::Problem::render).collect::<String>()))
}

pub fn gateway(folder: &Path, issuer: &str, wires: Wires) -> Gateway {
    let plain = wires == Wires::Tcp;
    Gateway {
        server: Server {
            listen: vec![free()],
            redirect: Vec::new(),
            auth_host: AUTH.into(),
            public_port: if plain { 80 } else { 443 },
            policies: folder.into(),
            trusted_proxies: Vec::new(),
            body_bytes_max: 1 << 30,
            drain_ms: 1_000,
            workers: 0,
            bounds: Bounds::default(),
        },
        certificates: if plain { Vec::new() } else { vec![Certificate { chain: cert("vestibule.test.pem"), key: SecretRef::Env("TLS_KEY".into()) }] },
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
            idle_ms: 30 * 60_000,
            max_ms: 12 * 3_600_000,
            // Without TLS there is no `__Host-`.
            cookie: if plain { "vestibule" } else { "__Host-vestibule" }.into(),
            same_site: "Lax",
        },
        provisioning: Provisioning::default(),
        audit: Audit::to(AuditSink::File(folder.join("audit.jsonl"))),
        telemetry: Telemetry { log: "warn".into(), format: "text".into(), metrics: true, otlp: None },
        pages: Pages::default(),
        idps: vec![Idp {
            name: "Corp account".into(),
            client_id: CLIENT_ID.into(),
            client_secret: Some(SecretRef::Env("CLIENT_SECRET".into())),
            scopes: ["openid", "profile", "email", "groups"].map(str::to_owned).to_vec(),
            algorithms: vec!["RS256".into()],
            userinfo: true,
            ..Idp::bare("corp", issuer)
        }],
    }
}

/// A port that nobody has, on loopback.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn cert(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("certs").join(name)
}

fn client_tls() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

fn server_tls() -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(cert("vestibule.test.pem")).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(cert("vestibule.test.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}
