//! One person at one application, played through.
//!
//! Lives here: [`Scene`] (who, where, what is there) and [`perform`], which lets the desk of live traffic ([`Desk`]) do its job over the connector's own engine,
//! with an application for show at the far end and records that nobody keeps. There is no second algorithm: what comes out is what would happen.
//!
//! It runs on a thread of its own, wherever it is called from, and says nothing to logs, counters and auditors: nothing has happened.

use super::app::{App, Call};
use super::records::Records;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::connector::engine::{Engine, Limits, ResolvedCredential};
use crate::connector::model::{InitialPassword, Verb};
use crate::connector::{Connector, Context, Observation, Outcome, Trouble};
use crate::entropy::{Entropy, SeededEntropy};
use crate::fault::{Incident, PublicMessage};
use crate::identity::{Identity, Way};
use crate::outbound::{OutboundError, OutboundRequest, OutboundResponse, Transport};
use crate::plan::{Account, Step};
use crate::policy::mapping::{Mapped, MappingError, desire};
use crate::policy::{MatchBy, Policy, Provision};
use crate::provision::{Asking, Desk, Ensured, NoMeter, Parts, Sleeper, Times, TokenSigner};
use crate::session::{AppSession, LiveSignOn, Pass};
use crate::state::{AccountKey, AccountRecord, SignOnId};
use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How long a real application is waited for.
const HOLD_MS: u64 = 120_000;
/// What stands where a credential would.
const NO_SECRET: &str = "secret";
/// What an engine without randomness gives as a password.
pub(super) const NO_PASSWORD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-aA1";

/// Who, where, and what is there.
#[derive(Debug)]
pub struct Scene {
    /// The application's policy.
    pub policy: Arc<Policy>,
    /// The person, as of a sign-in just now.
    pub identity: Arc<Identity>,
    /// Records that the gateway has of the application's people.
    pub records: Arc<Records>,
    /// The application.
    pub app: Arc<App>,
    /// Reaches the real one, which is read only; `None`: there is none.
    pub real: Option<Real>,
}

/// What reading the real application takes.
#[derive(Debug, Clone)]
pub struct Real {
    /// Sends.
    pub transport: Arc<dyn Transport>,
    /// Admin credential.
    pub credential: ResolvedCredential,
}

/// What came of a scene.
#[derive(Debug)]
pub struct Performance {
    /// What the app would be told, or what the person would be.
    pub ensured: Result<Arc<Pass>, PublicMessage>,
    /// What the policy makes of the person, under the login that the account has.
    pub mapped: Result<Mapped, MappingError>,
    /// The record as it would be kept.
    pub record: Option<AccountRecord>,
    /// The account as it was found; `None`: there was none.
    pub found: Option<Account>,
    /// Steps in order, each with what it came to.
    pub steps: Vec<(Step, Result<Outcome, Trouble>)>,
    /// Calls to the admin API in order, reads included.
    pub calls: Vec<Call>,
    /// Claims of the token that the app would get, `aud` among them.
    pub claims: Option<Map<String, Value>>,
}

impl Performance {
    /// Why the person gets no pass, in words for operators.
    pub fn why(&self) -> Option<String> {
        let message = self.ensured.as_ref().err()?;
        let mapping = self.mapped.as_ref().err().map(ToString::to_string);
        let recorded = self.record.as_ref().and_then(|record| record.last_error.clone());
        Some(mapping.or(recorded).unwrap_or_else(|| message.words()))
    }
}

/// Plays scenes, one after the other; scenes that share [`Records`] see what the earlier ones left.
pub fn perform(scenes: &[Scene], now: Timestamp) -> Vec<Performance> {
    if scenes.is_empty() {
        return Vec::new();
    }
    let play = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = if scenes.iter().any(|scene| scene.real.is_some()) { runtime.enable_all() } else { runtime.enable_time() }.build().ok()?;
        let silent = tracing::subscriber::NoSubscriber::default();
        Some(tracing::subscriber::with_default(silent, || {
            scenes.iter().map(|scene| runtime.block_on(one(scene, now, runtime.handle().clone()))).collect::<Vec<_>>()
        }))
    };
    // A thread of its own: the caller may be inside a runtime, where nothing may be waited for.
    let played = std::thread::scope(|scope| scope.spawn(play).join());
    played.ok().flatten().unwrap_or_else(|| scenes.iter().map(nothing).collect())
}

/// No thread, or no runtime: the machine is out of something.
fn nothing(scene: &Scene) -> Performance {
    Performance {
        ensured: Err(PublicMessage::Internal),
        mapped: desire(&scene.policy, &scene.identity, None),
        record: None,
        found: None,
        steps: Vec::new(),
        calls: Vec::new(),
        claims: None,
    }
}

async fn one(scene: &Scene, now: Timestamp, runtime: tokio::runtime::Handle) -> Performance {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(now));
    let signer = Arc::new(Notepad::default());
    let parts = Parts {
        accounts: Arc::clone(&scene.records) as _,
        secrets: Arc::clone(&scene.records) as _,
        signer: Arc::clone(&signer) as _,
        clock: Arc::clone(&clock),
        owner: "rehearsal".to_owned(),
        entropy: Arc::new(SeededEntropy::new(1)),
        sleeper: Arc::new(Impatient { real: scene.real.is_some() }),
        runtime,
        meter: Arc::new(NoMeter),
        // Whatever a record says, the application is looked at, and waited for.
        times: Times { always_look: true, ..Times::default() },
    };
    let desk = Desk::new(parts);
    let witness = scene.policy.provision.as_ref().map(|provision| Arc::new(Witness::new(engine(scene, provision, &clock))));
    if let Some(witness) = &witness {
        desk.install(HashMap::from([(scene.policy.name.clone(), Arc::clone(witness) as Arc<dyn Connector>)]));
    }
    let session = session(scene, now);
    let ensured = match desk.ensure(&session, &scene.policy, Incident::from_bytes([0; 5]), Asking::page(HOLD_MS)).await {
        Ensured::Ready(pass) => Ok(pass),
        Ensured::Working => Err(PublicMessage::AccountUnavailable),
        Ensured::Refused(message) => Err(message),
    };
    let key = AccountKey { upstream: scene.policy.name.clone(), subject: scene.identity.subject.clone() };
    let record = scene.records.record(&key);
    let login = record.as_ref().filter(|record| record.account_id.is_some()).and_then(|record| record.login.as_deref());
    let (found, steps) = witness.map(|witness| witness.seen()).unwrap_or_default();
    Performance {
        mapped: desire(&scene.policy, &scene.identity, login),
        ensured,
        found,
        steps,
        calls: scene.app.calls(),
        claims: signer.claims(),
        record,
    }
}

fn engine(scene: &Scene, provision: &Provision, clock: &Arc<dyn Clock>) -> Engine {
    let (transport, credential) = match &scene.real {
        Some(real) => (Arc::new(ReadOnly(Arc::clone(&real.transport))) as Arc<dyn Transport>, real.credential.clone()),
        None => (Arc::new(Nowhere) as Arc<dyn Transport>, placeholders(provision)),
    };
    let limits = Limits { timeout_ms: provision.timeout_ms, ..Limits::default() };
    let (connector, steps) = (Arc::clone(&provision.connector), provision.steps.clone());
    let engine = Engine::new(connector, steps, provision.url.clone(), credential, provision.settings.clone(), limits, transport, Arc::clone(clock));
    let engine = match provision.initial_password {
        InitialPassword::Random => engine.with_passwords(Arc::new(Blank)),
        InitialPassword::None => engine,
    };
    engine.staged(Arc::clone(&scene.app) as _)
}

/// The shape of the credential without the secret: what is not sent needs none.
fn placeholders(provision: &Provision) -> ResolvedCredential {
    let secret = || SecretString::from(NO_SECRET);
    let credential = &provision.credential;
    ResolvedCredential {
        token: credential.token.as_ref().map(|_| secret()),
        basic: credential.basic.as_ref().map(|(user, _)| (user.clone(), secret())),
        headers: credential.headers.iter().map(|(name, _)| (name.clone(), secret())).collect(),
        settings: credential.settings.iter().map(|(name, _)| (name.clone(), secret())).collect(),
    }
}

fn session(scene: &Scene, now: Timestamp) -> Arc<AppSession> {
    let identity = Arc::clone(&scene.identity);
    let sign_on = LiveSignOn::passing(SignOnId([0; 16]), identity, now, now, now.plus_ms(3_600_000), now);
    Arc::new(AppSession::of(&scene.policy.name, Arc::new(sign_on), Way::Session))
}

/// A connector that remembers what went through it.
#[derive(Debug)]
struct Witness {
    engine: Engine,
    seen: Mutex<Seen>,
}

/// The account that was found, and the steps.
type Seen = (Option<Account>, Vec<(Step, Result<Outcome, Trouble>)>);

impl Witness {
    fn new(engine: Engine) -> Self {
        Self { engine, seen: Mutex::default() }
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was there before the first step.
    fn note(&self, observed: &Result<Observation, Trouble>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Ok(Observation::Found(account, _)), true) = (observed, seen.1.is_empty()) {
            seen.0 = Some((**account).clone());
        }
    }
}

#[async_trait]
impl Connector for Witness {
    fn ways(&self) -> Vec<MatchBy> {
        self.engine.ways()
    }

    fn can(&self, verb: &Verb) -> bool {
        self.engine.can(verb)
    }

    async fn probe(&self) -> Result<(), Trouble> {
        self.engine.probe().await
    }

    async fn find(&self, context: Context<'_>, by: &[MatchBy]) -> Result<Observation, Trouble> {
        let observed = self.engine.find(context, by).await;
        self.note(&observed);
        observed
    }

    async fn get(&self, context: Context<'_>) -> Result<Observation, Trouble> {
        let observed = self.engine.get(context).await;
        self.note(&observed);
        observed
    }

    async fn apply(&self, context: Context<'_>, step: &Step) -> Result<(Outcome, Option<Account>), Trouble> {
        let applied = self.engine.apply(context, step).await;
        let came_to = applied.as_ref().map(|(outcome, _)| *outcome).map_err(Clone::clone);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).1.push((step.clone(), came_to));
        applied
    }
}

/// No randomness at all: a password that is printed must not look like one to be used.
#[derive(Debug)]
struct Blank;

impl Entropy for Blank {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

/// There is no network here.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn send(&self, _request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        Err(OutboundError::Connect("a rehearsal sends nothing".to_owned()))
    }
}

/// The second lock on the door: the engine has sent only steps that declare to read, and this sends no method that exists for writing.
#[derive(Debug)]
struct ReadOnly(Arc<dyn Transport>);

#[async_trait]
impl Transport for ReadOnly {
    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        // Some applications search by POST; whether this one does, its connector has said.
        if !matches!(request.method, http::Method::GET | http::Method::HEAD | http::Method::POST) {
            return Err(OutboundError::Connect(format!("a rehearsal sends no {}", request.method)));
        }
        self.0.send(request).await
    }
}

/// Writes down what it is asked to sign; nobody could verify what it returns.
#[derive(Debug, Default)]
struct Notepad(Mutex<Option<Map<String, Value>>>);

impl Notepad {
    fn claims(&self) -> Option<Map<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl TokenSigner for Notepad {
    fn sign(&self, audience: &str, _ttl_ms: i64, claims: &Map<String, Value>) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let mut claims = claims.clone();
        claims.insert("aud".to_owned(), Value::from(audience));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(claims);
        Ok("rehearsal".to_owned())
    }
}

/// Waits only where somebody real may need the time.
#[derive(Debug)]
struct Impatient {
    real: bool,
}

#[async_trait]
impl Sleeper for Impatient {
    async fn sleep_ms(&self, ms: u64) {
        if self.real {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
        }
    }
}
