//! The composition root: the one place that names concrete adapters.
//!
//! [`start`] opens the store, makes the desks and starts the cores; [`Running`] stops it all again. No decision is made in here. What files refer to is read in
//! `build.rs`, as often as wanted: `force.rs` has what is in force ([`Swap`]) and puts something else into force while the gateway runs. `wiring.rs` fits ports
//! that do not fit by themselves, `rounds.rs` does what is due now and then, `connectors.rs` makes an engine for every policy that provisions, `sockets.rs` binds, `lines.rs` says what was loaded,
//! `status.rs` how it is, `console.rs` builds the operators' console, `online.rs` looks at everything that a start would need without starting.

mod build;
mod admin_tls;
mod connectors;
mod console;
mod force;
mod lines;
pub mod look;
pub mod online;
mod reconcile;
mod rounds;
mod secret;
mod sockets;
mod status;
mod wiring;

pub use force::{By, Source, Swap};

use crate::admin::console::Console;
use crate::admin::socket::SocketError;
use crate::admin::{self, Admin};
use crate::clock::{Clock, SystemClock};
use crate::config::{Gateway, SecretRef};
use crate::entropy::{Entropy, OsEntropy};
use crate::login::{self, Addresses, DeskParts, TokenDesk};
use crate::observe::{self, Incidents, Metrics};
use crate::outbound::{HyperTransport, Transport};
use crate::pages::Pages;
use crate::policy::Policy;
use crate::provision::{self, ClockedSigner, Times, TokioSleeper};
use crate::proxy::tls::{Acceptor, Resolver};
use crate::proxy::{Shared, Worker, redirect, tls};
use crate::rehearse::perform::Real;
use crate::request::{Limits, Routes};
use crate::secrets::SecretError;
use crate::session::operators::Sessions;
use crate::session::{LiveSessions, TokenSessions};
use crate::signer::{KeyRing, Signer};
use crate::state::seal::Sealer;
use crate::state::{Store, sqlite};
use crate::trace::Recorder;
use arc_swap::ArcSwap;
use build::Builder;
use force::{First, Handles};
use rounds::{Rounds, SWEEP_EVERY};
use sockets::Sockets;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wiring::{AppsByName, DeskAdmission};

/// Sign-ins under way at once, at most (D9).
const PENDING_MAX: u64 = 100_000;
/// How often it is asked who has left.
const TEND_EVERY: Duration = Duration::from_mins(1);

/// What names the address of the demo, which has no gateway file.
pub(crate) const DEMO: &str = "--port";

/// What to start.
pub struct Plan {
    /// The gateway file.
    pub gateway: Gateway,
    /// Its text, where there is one: by it a reload sees whether it has changed.
    pub text: Option<Arc<str>>,
    /// The policies that are in order.
    pub policies: Vec<Arc<Policy>>,
    /// Hosts whose policy is not. Those of policies that lack a secret are added at the start.
    pub unavailable: Vec<String>,
    /// Policy files that are not in order, for operators.
    pub rejected: Vec<Rejected>,
    /// Plain HTTP instead of TLS: the demo and benchmarks only; no configuration file can say so.
    pub plain: bool,
    /// Whether to take over logging for the process.
    pub install_logging: bool,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub entropy: Arc<dyn Entropy>,
    /// The environment that `env:` and `cred:` look at.
    pub environment: Environment,
}

/// A policy file that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Name of its app.
    pub app: String,
    /// The file, as written.
    pub file: String,
    /// Code of the first error in it, e.g. `unknown-key`.
    pub reason: &'static str,
}

/// Looks an environment variable up.
pub type Environment = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

impl Plan {
    /// A plan for the real thing.
    pub fn new(gateway: Gateway, policies: Vec<Policy>, unavailable: Vec<String>) -> Self {
        Self {
            gateway,
            text: None,
            policies: policies.into_iter().map(Arc::new).collect(),
            unavailable,
            rejected: Vec::new(),
            plain: false,
            install_logging: true,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy::default()),
            environment: Arc::new(|name| std::env::var_os(name)),
        }
    }
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A secret cannot be read.
    #[error("{place}: {cause}")]
    Secret {
        /// The file's key it was for, e.g. `[state] key`, `policies/wiki.toml: provision.token`.
        place: String,
        /// Why not.
        cause: SecretError,
    },
    /// A secret of `[headers]` that no header can carry.
    #[error("{file}: headers.{name}: the secret cannot be a header value: visible ASCII on one line")]
    SecretHeader {
        /// The policy.
        file: String,
        /// The header.
        name: String,
    },
    /// A secret of `[jwt]` that nothing should be signed with.
    #[error("{file}: jwt.secret: {cause}")]
    JwtSecret {
        /// The policy.
        file: String,
        /// Why not.
        cause: crate::signer::SignError,
    },
    /// The state key.
    #[error("{0}")]
    Seal(#[from] crate::state::seal::SealError),
    /// The store.
    #[error("[state] url: {0}")]
    Store(#[from] sqlite::OpenError),
    /// The signing key.
    #[error("signing key: {0}")]
    Signer(#[from] crate::signer::SignError),
    /// A certificate file.
    #[error("[tls] cert: {} cannot be read: {cause}; it must be there, and readable by the user that runs vestibule", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        cause: std::io::Error,
    },
    /// A certificate, or TLS settings.
    #[error("{place}: {cause}")]
    Tls {
        /// Which.
        place: String,
        /// What is wrong.
        cause: tls::TlsError,
    },
    /// The connection to an admin API.
    #[error("{file}: provision: {why}")]
    AdminTls {
        /// The policy.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// What a SAML provider needs beside its settings.
    #[error("{place}: {why}")]
    Idp {
        /// The file's key it was for.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// Outgoing TLS.
    #[error("outgoing TLS: {0}")]
    Outbound(String),
    /// A socket.
    #[error("{key}: cannot listen on {address}: {cause}; {}", way_out(key, *address, cause))]
    Listen {
        /// What names the address: `[server] listen`, `[server] redirect`, `[admin] listen`, `--port`.
        key: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        cause: std::io::Error,
    },
    /// Logging.
    #[error("{0}")]
    Observe(#[from] observe::ObserveError),
    /// The operators' listener.
    #[error("[admin] listen: {0} is not a loopback address, and there is no certificate to speak TLS with")]
    AdminPlain(SocketAddr),
    /// Traces.
    #[error("{0}")]
    Traces(#[from] observe::ExporterError),
    /// The operators' socket.
    #[error("{0}")]
    Socket(#[from] SocketError),
    /// A thread.
    #[error("cannot start a core: {0}")]
    Thread(std::io::Error),
}

/// This gateway's name among those on one store: the same after a restart, and another one on another machine or at another address. Two of one name would take each
/// other's leases, and whoever waits for either would be told that the store is down.
fn replica(gateway: &Gateway, sockets: &Sockets) -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let at: Vec<String> = sockets.serving.iter().map(ToString::to_string).collect();
    format!("{}@{}/{}", gateway.server.auth_host, machine.trim(), at.join(","))
}

/// What to do about an address that cannot be listened on.
fn way_out(key: &str, address: SocketAddr, cause: &std::io::Error) -> String {
    let (port, kind) = (address.port(), cause.kind());
    if kind == ErrorKind::AddrInUse && key == DEMO {
        "another program listens there: choose another port with --port, or --port 0 for any".to_owned()
    } else if kind == ErrorKind::AddrInUse {
        format!("another program listens there: `ss -ltnp 'sport = :{port}'` says which; stop it, or choose another port")
    } else if kind == ErrorKind::PermissionDenied && port < 1024 {
        "a port below 1024 takes CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), or choose a higher one".to_owned()
    } else {
        "`ip addr` lists the addresses of this machine".to_owned()
    }
}

impl StartError {
    /// Whether the way out is in a file rather than in the machine.
    pub const fn is_configuration(&self) -> bool {
        !matches!(self, Self::Listen { .. } | Self::Thread(_) | Self::Socket(SocketError::Taken(_) | SocketError::File { .. }))
    }
}

/// A gateway that runs.
pub struct Running {
    /// Where it serves, in the order of `[server] listen`, free ports filled in.
    pub serving: Vec<SocketAddr>,
    /// Where it redirects from.
    pub redirecting: Vec<SocketAddr>,
    /// Where operators look.
    pub admin: Option<SocketAddr>,
    console: Option<Arc<Console>>,
    swap: Arc<Swap>,
    stop: watch::Sender<bool>,
    background: CancellationToken,
    sweeper: tokio::task::JoinHandle<()>,
    keeper: tokio::task::JoinHandle<()>,
    /// Sends the last spans when it is told to stop.
    exporter: Option<tokio::task::JoinHandle<()>>,
    cores: Vec<JoinHandle<std::io::Result<()>>>,
    store: sqlite::Store,
    /// Last, so that what the others say at their end is written.
    _flush: Option<observe::Flush>,
}

/// Starts a gateway; runs until [`Running::stop`]. Must be called on the control runtime (multi-thread).
///
/// # Errors
/// [`StartError`]: nothing runs then.
pub async fn start(plan: Plan) -> Result<Running, StartError> {
    let Plan { gateway, text, policies, unavailable, rejected, plain, install_logging, clock, entropy, environment } = plan;
    let metrics = Arc::new(Metrics::default());
    // Read once more below, when there is a log that can say who else may read it.
    let key = secret::read_saying(&"[state] key", &gateway.state.key, environment.as_ref(), &drop)?;
    let sealer = Sealer::new(&key, Arc::clone(&entropy))?;
    let store = sqlite::file_of(&gateway.state.url);
    let install = || observe::install(&gateway.telemetry, &gateway.audit, (&sealer, store.as_deref()), &metrics, Arc::clone(&clock));
    let (flush, level) = if install_logging { Some(install()?) } else { None }.unzip();
    let transport: Arc<dyn Transport> = Arc::new(HyperTransport::new([]).map_err(|error| StartError::Outbound(error.to_string()))?);
    let (traces, otlp) = match &gateway.telemetry.otlp {
        Some(otlp) => {
            let (recorder, inbox) = Recorder::new(Arc::clone(&clock), Arc::clone(&entropy));
            (Some(recorder), Some(observe::Exporter::new(otlp, Arc::clone(&transport), inbox, Arc::clone(&metrics))?))
        }
        None => (None, None),
    };
    let scheme = if plain { "http" } else { "https" };
    let sockets = Sockets::bind(&gateway, if plain { DEMO } else { "[server] listen" })?;
    let site = console::Site::of(gateway.admin.as_ref(), sockets.admin_at);
    let elsewhere = site.as_ref().map(console::Site::elsewhere);
    let addresses = Addresses { scheme, auth_host: gateway.server.auth_host.clone(), port: gateway.server.public_port, elsewhere };
    let mut builder = Builder::new(&transport, traces.is_some(), Arc::clone(&clock), environment, addresses.auth_origin());
    let sealer = Sealer::new(&builder.secret(&"[state] key", &gateway.state.key)?, Arc::clone(&entropy))?;
    builder.sealer = Some(sealer.clone());
    let store = sqlite::Store::open(&gateway.state.url, sealer).await?;
    let shared_store: Arc<dyn Store> = Arc::new(store.clone());
    let live = Arc::new(LiveSessions::new(Arc::new(store.clone()), Arc::clone(&clock), gateway.session.clone()));
    let signer = Arc::new(Signer::load(&store, Arc::clone(&entropy), clock.as_ref(), &addresses.auth_origin()).await?);
    let mut pages = Pages::new(gateway.pages.clone(), &addresses.auth_origin());
    if let Some(elsewhere) = &addresses.elsewhere {
        pages = pages.with(&elsewhere.host, &elsewhere.origin);
    }
    let pages = Arc::new(pages);
    let control = tokio::runtime::Handle::current();
    let provision = provision::Desk::new(provision::Parts {
        accounts: Arc::new(store.clone()),
        secrets: Arc::new(store.clone()),
        signer: Arc::new(ClockedSigner { signer: Arc::clone(&signer), clock: Arc::clone(&clock) }),
        clock: Arc::clone(&clock),
        owner: replica(&gateway, &sockets),
        entropy: Arc::clone(&entropy),
        sleeper: Arc::new(TokioSleeper),
        runtime: control.clone(),
        meter: Arc::clone(&metrics) as Arc<dyn provision::Meter>,
        times: Times::default(),
    });
    let idps = gateway.idps.iter().map(|idp| builder.idp(idp, &[])).collect::<Result<Vec<_>, _>>()?;
    let routes: Arc<ArcSwap<Routes>> = Arc::default();
    let (published, told) = (Arc::clone(&signer), Arc::clone(&clock));
    let desk_parts = |apps: AppsByName, session: crate::config::Session| DeskParts {
        addresses: addresses.clone(),
        session,
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        logins: Arc::new(store.clone()),
        sessions: Arc::clone(&live),
        session_store: Arc::new(store.clone()),
        sign_ins: Arc::new(store.clone()),
        pages: Arc::clone(&pages),
        providers: idps.iter().map(|known| Arc::clone(&known.provider)).collect(),
        apps: Arc::new(apps),
        admission: Arc::new(DeskAdmission { desk: Arc::clone(&provision), clock: Arc::clone(&clock) }),
        jwks: {
            let (published, told) = (Arc::clone(&published), Arc::clone(&told));
            Arc::new(move || bytes::Bytes::from(published.jwks(told.now()).to_string()))
        },
        pending_max: PENDING_MAX,
    };
    let apps = || AppsByName(Arc::clone(&routes), site.as_ref().map(|site| Arc::clone(&site.policy)));
    let login = Arc::new(login::Desk::new(desk_parts(apps(), gateway.session.clone())));
    let console_desk = Arc::new(login::Desk::of_console(desk_parts(apps(), console::session(&gateway.session))));
    let issuers = idps.iter().filter_map(|known| known.tokens.clone()).collect();
    let tokens = Arc::new(TokenDesk::new(issuers, TokenSessions::new(Arc::clone(&clock), gateway.session.idle_ms)));
    provision.set_passes(Arc::new(wiring::KnownPasses(Arc::clone(&live), Arc::clone(&tokens))));
    let (incidents, keeping) = Incidents::channel(Arc::clone(&metrics));
    let tls = if plain { None } else { builder.certificates(&gateway, None)? };
    let served = Mutex::new(tls.as_ref().map(|new| console::served(&new.certificates)).unwrap_or_default());
    let (certificates, resolver) = tls.map(|new| (new.digest, Arc::new(Resolver::new(new.certificates)))).unzip();
    let admin_acceptor = console::acceptor(gateway.admin.as_ref(), resolver.as_ref(), gateway.min_tls)?;
    let acceptor = resolver.clone().map(|resolver| Acceptor::new(resolver, gateway.min_tls)).transpose();
    let acceptor = acceptor.map_err(|cause| StartError::Tls { place: "[tls]".to_owned(), cause })?.map(Arc::new);
    let upstream_tls = tls::client_config(None).map_err(|cause| StartError::Tls { place: "outgoing TLS".to_owned(), cause })?;
    let limits = Arc::new(ArcSwap::from_pointee(limits(&gateway, scheme)));
    let shared = Arc::new(Shared {
        routes: Arc::clone(&routes),
        limits: Arc::clone(&limits),
        live: Arc::clone(&live),
        login: Arc::clone(&login),
        tokens: Arc::clone(&tokens),
        provision: Arc::clone(&provision),
        pages: Arc::clone(&pages),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        control,
        metrics: Arc::clone(&metrics),
        incidents,
        traces,
        upstream_tls: Arc::new(upstream_tls),
        drain_ms: gateway.server.drain_ms,
        visitors: Arc::default(),
    });
    let (stop, stopping) = watch::channel(false);
    let background = CancellationToken::new();
    let sweeper = tokio::spawn(Arc::clone(&live).run(SWEEP_EVERY, background.clone()));
    let keep = observe::Keep { incidents_ms: gateway.state.incidents_keep_ms, sign_ins_ms: gateway.state.sign_ins_keep_ms };
    let keeper = tokio::spawn(keeping.run(Arc::clone(&shared_store), Arc::clone(&clock), keep, background.clone()));
    let exporter = otlp.map(|exporter| tokio::spawn(exporter.run(background.clone())));
    let tending = reconcile::tend(Arc::clone(&provision), Arc::clone(&routes), TEND_EVERY, background.clone());
    for listener in sockets.redirect {
        drop(tokio::spawn(redirect::run(listener, Arc::clone(&routes), gateway.server.public_port, stopping.clone())));
    }
    let keys = KeyRing { signer: Arc::clone(&signer), store: Arc::new(store.clone()), clock: Arc::clone(&clock) };
    let rounds = Rounds {
        store: store.clone(),
        provision: Arc::clone(&provision),
        live: Arc::clone(&live),
        keys: keys.clone(),
        clock: Arc::clone(&clock),
        backup_keep: gateway.state.backup_keep,
    };
    rounds.begin(&background);
    let sessions = Sessions::new(Arc::clone(&live), Arc::new(store.clone()), Arc::clone(&clock));
    let show_metrics = gateway.telemetry.metrics;
    let handles = Handles {
        keys,
        sessions,
        routes,
        provision,
        login,
        tokens,
        pages: Arc::clone(&pages),
        live: Arc::clone(&live),
        limits,
        metrics: Arc::clone(&metrics),
        store: Arc::clone(&shared_store),
        level,
        resolver,
        served,
        clock: Arc::clone(&clock),
        scheme,
    };
    let swap = Arc::new(Swap::begin(builder, handles, First { gateway, text, policies, unavailable, rejected, idps, certificates }));
    // It has something to do at once, and the apps are there from here on.
    drop(tokio::spawn(tending));
    let console = site.map(|site| Arc::new(site.console(&swap, console_desk, entropy)));
    if let Some(listener) = sockets.admin {
        let gauges = Arc::clone(&swap) as Arc<dyn admin::Gauges>;
        let admin = Arc::new(Admin { metrics, store: shared_store, show_metrics, clock, gauges, console: console.clone() });
        drop(tokio::spawn(admin::run(listener, admin_acceptor, admin, stopping.clone())));
    }
    drop(tokio::spawn(Arc::clone(&swap).look_at_providers(background.clone())));
    drop(tokio::spawn(Arc::clone(&swap).sample(background.clone())));
    let mut cores = Vec::new();
    for (number, listeners) in sockets.cores.into_iter().enumerate() {
        let (shared, stopping, acceptor) = (Arc::clone(&shared), stopping.clone(), acceptor.clone());
        let listeners = listeners.into_iter().map(|listener| (listener, acceptor.clone())).collect();
        let core = std::thread::Builder::new().name(format!("core-{number}"));
        cores.push(core.spawn(move || Worker::run(shared, listeners, stopping)).map_err(StartError::Thread)?);
    }
    let Sockets { serving, redirecting, admin_at, .. } = Sockets { redirect: Vec::new(), admin: None, cores: Vec::new(), ..sockets };
    Ok(Running { serving, redirecting, admin: admin_at, console, swap, stop, background, sweeper, keeper, exporter, cores, store, _flush: flush })
}

/// Bounds of every request.
fn limits(gateway: &Gateway, scheme: &'static str) -> Limits {
    Limits {
        body_bytes_max: gateway.server.body_bytes_max,
        trusted_proxies: gateway.server.trusted_proxies.clone(),
        cookie: gateway.session.cookie.clone(),
        idle_ms: gateway.session.idle_ms,
        scheme,
        bounds: gateway.server.bounds,
    }
}

impl Running {
    /// One line for each app: what was loaded (operators.md 1.2: say it).
    pub fn summary(&self) -> Vec<String> {
        let mut lines = vec![format!("vestibule {} listens on {}\n", env!("CARGO_PKG_VERSION"), list(&self.serving))];
        lines.extend(self.swap.lines());
        lines
    }

    /// What is in force, and the way to put something else into force.
    pub const fn swap(&self) -> &Arc<Swap> {
        &self.swap
    }

    /// The operators' console, where there is one.
    pub const fn console(&self) -> Option<&Arc<Console>> {
        self.console.as_ref()
    }

    /// Becomes true when the gateway stops.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Whether every core is at work.
    pub fn is_whole(&self) -> bool {
        self.cores.iter().all(|core| !core.is_finished())
    }

    /// Accepts nothing more, lets what is under way finish within `[server] drain`, writes down what must not be lost.
    pub async fn stop(self) {
        if self.stop.send(true).is_err() {
            tracing::debug!("every core has gone already");
        }
        let joined = tokio::task::spawn_blocking(move || self.cores.into_iter().map(JoinHandle::join).collect::<Vec<_>>()).await;
        for core in joined.into_iter().flatten() {
            match core {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a core stopped with an error"),
                Err(_panic) => tracing::error!("a core panicked; please report this"),
            }
        }
        self.background.cancel();
        // Its last act is to write down when sessions were last used; the store is closed after that.
        if let Err(error) = self.sweeper.await {
            tracing::error!(%error, "the sweeper of sessions panicked; please report this");
        }
        if let Some(exporter) = self.exporter
            && let Err(error) = exporter.await
        {
            tracing::error!(%error, "the exporter of spans panicked; please report this");
        }
        if let Err(error) = self.keeper.await {
            tracing::error!(%error, "the keeper of incidents panicked; please report this");
        }
        self.store.close().await;
    }
}

/// What reading the admin API of `policy`'s app takes, for a dry run; `None` when it makes no accounts.
///
/// # Errors
/// A secret that cannot be read, or outgoing TLS.
pub fn admin_reader(policy: &Policy) -> Result<Option<Real>, StartError> {
    let Some(provision) = &policy.provision else { return Ok(None) };
    let read = |place: &dyn Display, reference: &SecretRef| secret::read(place, reference, &|name| std::env::var_os(name));
    let usual: Arc<dyn Transport> = Arc::new(HyperTransport::new([]).map_err(|error| StartError::Outbound(error.to_string()))?);
    let key = connectors::client_key(policy, &read)?;
    let transport = admin_tls::Files::read(policy)?.transport(policy, key.as_ref(), &usual)?;
    Ok(Some(Real { transport, credential: connectors::resolve(&policy.file, &provision.credential, &read)? }))
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
