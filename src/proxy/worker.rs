//! One core's share of the work.
//!
//! [`Shared`] is what all cores have in common, read-only or behind atomics; [`Worker`] is what one core has to itself: its pool, its view of the sessions, its
//! store of random bytes. The hot path touches only these two; what memory cannot answer is asked of the control runtime.

use super::local::Local;
use super::pool::Pool;
use super::streams::Streams;
use super::visitors::Visitors;
use super::{serve, tls};
use crate::clock::{Clock, Timestamp};
use crate::entropy::Entropy;
use crate::fault::{Incident, PublicMessage};
use crate::login;
use crate::observe::{Incidents, Metrics, Tally};
use crate::pages::Pages;
use crate::provision::{self, Asking, Ensured};
use crate::request::{Doors, Limits, Route, Routes};
use crate::session::{AppSession, LiveSessions, LocalSessions, Pass, TokenSessions};
use crate::state::{SecretHash, StoreError};
use crate::trace::{self, Kind, Open, Recorder};
use arc_swap::ArcSwap;
use http::StatusCode;
use rustls::ClientConfig;
use std::cell::RefCell;
use std::net::{IpAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Sessions a core keeps for itself; the others are one hop away.
const SESSIONS_MAX: usize = 16_384;
/// Verified access tokens that a core keeps for itself: those of scripts, which are few and come often.
const TOKENS_MAX: usize = 1_024;

/// What all cores share.
#[derive(Debug)]
pub struct Shared {
    /// Hosts and policies; swapped whole.
    pub routes: Arc<ArcSwap<Routes>>,
    /// Bounds of every request; swapped whole.
    pub limits: Arc<ArcSwap<Limits>>,
    /// Sessions.
    pub live: Arc<LiveSessions>,
    /// Our own pages.
    pub login: Arc<login::Desk>,
    /// Access tokens.
    pub tokens: Arc<login::TokenDesk>,
    /// Accounts.
    pub provision: Arc<provision::Desk>,
    /// Pages.
    pub pages: Arc<Pages>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where everything but the hot path runs.
    pub control: Handle,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where what stood behind a refusal goes.
    pub incidents: Incidents,
    /// Where spans go; absent without `[telemetry] otlp`.
    pub traces: Option<Recorder>,
    /// What applications' certificates are checked against.
    pub upstream_tls: Arc<ClientConfig>,
    /// Open connections.
    pub visitors: Arc<Visitors>,
    /// How long in-flight requests may take after a stop.
    pub drain_ms: u64,
}

/// What one core has to itself.
pub struct Worker {
    /// What it shares with the others.
    pub(super) shared: Arc<Shared>,
    /// Its upstream connections.
    pub(super) pool: Pool,
    /// Its streams that must not outlive their session.
    pub(super) streams: Rc<Streams>,
    /// Its view of the hosts and policies.
    pub(super) routes: Local<Routes>,
    /// Its view of the bounds.
    pub(super) limits: Local<Limits>,
    sessions: RefCell<LocalSessions>,
    tokens: RefCell<LocalSessions>,
    random: RefCell<RandomStock>,
    tally: RefCell<Tally>,
}

/// Random bytes drawn in bulk: one call to the source for hundreds of incident codes.
struct RandomStock {
    bytes: Vec<u8>,
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Self {
        let pool = Pool::new(Arc::clone(&shared.upstream_tls));
        Self {
            pool,
            streams: Rc::default(),
            routes: Local::new(&shared.routes),
            limits: Local::new(&shared.limits),
            sessions: RefCell::new(LocalSessions::new(SESSIONS_MAX)),
            tokens: RefCell::new(LocalSessions::new(TOKENS_MAX)),
            random: RefCell::new(RandomStock { bytes: Vec::new() }),
            tally: RefCell::default(),
            shared,
        }
    }

    /// A fresh incident code.
    pub(super) fn incident(&self) -> Incident {
        let mut stock = self.random.borrow_mut();
        if stock.bytes.len() < 5 {
            stock.bytes.resize(1280, 0);
            self.shared.entropy.fill(&mut stock.bytes);
        }
        let mut out = [0; 5];
        for byte in &mut out {
            *byte = stock.bytes.pop().unwrap_or_default();
        }
        Incident::from_bytes(out)
    }

    /// Counts a request.
    pub(super) fn tally(
        &self,
        app: Option<&Route>,
        method: &'static str,
        status: StatusCode,
        elapsed: Duration,
        decision: &'static str,
        reason: &'static str,
    ) {
        let app = app.map_or(usize::MAX, |route| route.metrics);
        self.tally.borrow_mut().count(app, method, status.as_u16(), elapsed, decision, reason);
    }

    /// Begins a part of the request that this task works at, where requests are traced.
    pub(super) fn span(&self, name: &'static str, kind: Kind) -> Option<Open> {
        self.shared.traces.as_ref().and_then(|_| trace::child(name, kind))
    }

    /// Hands this core's counts over.
    pub(super) fn flush_tally(&self) {
        let mut tally = self.tally.borrow_mut();
        if !tally.is_empty() {
            self.shared.metrics.flush(&mut tally);
        }
    }

    /// Runs a core until `stop` says so and its requests are done, on the calling thread.
    ///
    /// # Errors
    /// The operating system's, when the core's runtime or listeners cannot be had.
    pub fn run(shared: Arc<Shared>, listeners: Vec<(TcpListener, Option<Arc<tls::Acceptor>>)>, stop: watch::Receiver<bool>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(tokio::runtime::LocalOptions::default())?;
        runtime.block_on(async move {
            let worker = Rc::new(Self::new(shared));
            serve::serve(&worker, listeners, stop).await
        })
    }
}

impl Doors for Worker {
    async fn session(&self, cookie: SecretHash, now: Timestamp) -> Result<Option<Arc<AppSession>>, StoreError> {
        let _span = self.span("vestibule.session", Kind::Internal);
        let generation = self.shared.live.generation();
        // One that has run out is asked about once more, so that it is ended for good: a clock set back must not revive it (C9).
        let alive = |known: &Arc<AppSession>| known.sign_on.alive(now, self.limits.get().idle_ms);
        if let Some(known) = self.sessions.borrow_mut().get(&cookie, generation).filter(alive) {
            return Ok(Some(known));
        }
        let live = Arc::clone(&self.shared.live);
        let loaded = self.shared.control.spawn(trace::carried(async move { live.app_session(cookie).await })).await;
        let found = loaded.map_err(|died| StoreError::Unavailable(died.into()))??;
        if let Some(session) = &found {
            self.sessions.borrow_mut().insert(cookie, generation, Arc::clone(session));
        }
        Ok(found)
    }

    async fn token(&self, token: &str, route: &Arc<Route>, incident: Incident, client: IpAddr) -> Result<Arc<AppSession>, PublicMessage> {
        let _span = self.span("vestibule.session", Kind::Internal);
        let policy = &route.policy;
        let key = TokenSessions::key(&policy.name, &policy.revision, token);
        let alive = |known: &Arc<AppSession>| known.sign_on.alive(self.shared.clock.now(), self.limits.get().idle_ms);
        let generation = self.shared.tokens.generation();
        if let Some(known) = self.tokens.borrow_mut().get(&key, generation).filter(alive) {
            return Ok(known);
        }
        let (desk, policy, token) = (Arc::clone(&self.shared.tokens), Arc::clone(policy), token.to_owned());
        let verified = self.shared.control.spawn(trace::carried(async move { desk.session(key, &token, &policy, incident, client).await })).await;
        let session = verified.unwrap_or_else(|died| {
            tracing::error!(%incident, error = %died, "the verification of an access token panicked");
            Err(PublicMessage::Internal)
        })?;
        self.tokens.borrow_mut().insert(key, generation, Arc::clone(&session));
        Ok(session)
    }

    fn decide<T>(&self, decide: impl FnOnce() -> T) -> T {
        let _span = self.span("vestibule.access", Kind::Internal);
        decide()
    }

    async fn ensure(&self, session: &Arc<AppSession>, route: &Arc<Route>, incident: Incident, asking: Asking) -> Ensured {
        let (desk, session, policy) = (Arc::clone(&self.shared.provision), Arc::clone(session), Arc::clone(&route.policy));
        let mut span = self.span("vestibule.provision", Kind::Internal);
        if let Some(span) = &mut span {
            span.note("vestibule.app", route.policy.name.clone());
        }
        let work = async move { desk.ensure(&session, &policy, incident, asking).await };
        let asked = self.shared.control.spawn(trace::under(span.as_ref().map(|span| span.context().clone()), work));
        let ensured = asked.await.unwrap_or_else(|died| {
            tracing::error!(%incident, error = %died, "the provisioning desk panicked");
            Ensured::Refused(PublicMessage::Internal)
        });
        if let (Some(span), Ensured::Refused(message)) = (&mut span, &ensured) {
            span.fail(message.words());
        }
        ensured
    }

    async fn enter(&self, session: &Arc<AppSession>, route: &Arc<Route>, pass: &Arc<Pass>, incident: Incident) -> Result<(), PublicMessage> {
        let Some(keys) = &route.shared.cookies else { return Err(PublicMessage::Internal) };
        let binding = session.binding(&keys.key, &pass.told);
        let (desk, session, policy, pass) = (Arc::clone(&self.shared.provision), Arc::clone(session), Arc::clone(&route.policy), Arc::clone(pass));
        let stale = binding.got();
        let asked = self.shared.control.spawn(async move { desk.enter(&session, &policy, &pass, stale, incident).await }).await;
        let entered = asked.unwrap_or_else(|died| {
            tracing::error!(%incident, error = %died, "the provisioning desk panicked");
            Err(PublicMessage::Internal)
        })?;
        binding.enter_with(entered);
        Ok(())
    }
}
