//! Making sure that a person has an account before they get there.
//!
//! Lives here: [`Desk`], which issues a [`Pass`](crate::session::Pass) once the account exists and is as the policy wants it, and the ports it needs
//! ([`TokenSigner`], [`Sleeper`]). Single-flight per person and app; a job goes on whether or not anybody waits. Nothing is forwarded
//! to an upstream with `[provision]` without a pass.
//!
//! `ensure.rs` is the algorithm of one job, `making.rs` its part that finds or makes the account, `applying.rs` the one that changes it (`stop.rs`: why it stopped;
//! `ledger.rs`: what a record keeps beside its columns), `renaming.rs` the one that follows a new name. `flights.rs` is the single-flight, `linking.rs` says which account
//! may be taken for whose, `joining.rs` which accounts a policy joins and protects, `recorded.rs` is the short way for access tokens (`uses.rs`: that somebody came by
//! one), `announce.rs` renders what the app is told, `events.rs` what auditors are told, `meter.rs` what is counted. `switched_off.rs` says who gets in while accounts are
//! switched off, `heal.rs` looks at an account that the app does not seem to know, `entering.rs` signs people in at apps that read no header (`bridging.rs`: by a
//! password), `leaving.rs` records who may not come any more, `tending.rs` does what is due of them at the app (`removing.rs`: what cannot be taken back; `returning.rs`: what coming back makes of it), `reconcile.rs` goes through all who have an account,
//! `stock.rs` through the accounts that an app has, `people.rs` is for operators: who waits, and for what. It never knows how a session came about (`login/`) or what a
//! request may do (`policy/evaluate.rs`).

mod announce;
mod applying;
mod bridging;
mod ensure;
mod entering;
mod events;
mod flights;
mod heal;
mod joining;
mod leaving;
mod ledger;
mod linking;
mod making;
mod meter;
mod people;
mod reconcile;
mod recorded;
mod removing;
mod renaming;
mod returning;
mod stock;
mod stop;
mod switched_off;
mod tending;
mod uses;

pub use heal::Looked;
pub use joining::{Joined, joins, protected};
pub use leaving::{Cause, Departure, Left, Off};
pub use ledger::as_wanted;
pub use meter::{Meter, NoMeter};
pub use people::{Leaf, Listed, People, PeopleError, Which};
pub use reconcile::Reconciled;
pub use renaming::{Passes, is_between_names};
pub use stock::{Kind, Stock, StockError};

use crate::clock::{Clock, Timestamp};
use crate::connector::Connector;
use crate::entropy::Entropy;
use crate::fault::{Incident, PublicMessage};
use crate::identity::{Identity, Way};
use crate::plan::Wanted;
use crate::policy::mapping::{Mapped, desire};
use crate::policy::switches::{Switches, Trigger, WhenDisabled};
use crate::policy::{Arrival, CanonicalPath, Freshness, Policy};
use crate::session::{AppSession, Pass};
use crate::signer::{SharedSigner, Signer};
use crate::state::{AccountKey, AccountRecord, AccountState, AccountStore, Origin, PersonSecretStore, SecretHash, StoreError};
use announce::{AnnounceError, Terms, announce};
use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use ensure::{End, Job};
use events::{Event, Said};
use flights::{Boarding, Flights};
use ledger::{Ledger, fingerprint};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Jobs at once for one app: the herd at nine on a Monday queues here. How many calls the app gets at once is the connector's affair (`[provision] concurrency`).
const JOBS_MAX: usize = 64;
/// Jobs at once for one app that nobody waits for.
const BACKGROUND_MAX: usize = 2;
/// Tokens given back to one app at once.
const GIVING_BACK_MAX: usize = 2;
/// How long a pass is good that rests on an earlier look.
const STALE_MS: i64 = 60_000;
/// How often an order whose identity differs from that of the job it waited for gets a job of its own.
const ROUNDS_MAX: usize = 3;

/// What asking for an account came to.
#[derive(Debug, Clone)]
pub enum Ensured {
    /// The account is there.
    Ready(Arc<Pass>),
    /// Still being made when the hold was over.
    Working,
    /// Not to be had now. The message says whether trying again makes sense.
    Refused(PublicMessage),
}

/// How a pass is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asking {
    /// Wait at most so many milliseconds for a job under way.
    pub hold_ms: u64,
    /// Whether somebody opens a page: with `trigger = "sign_in"` nothing else begins the making of an account.
    pub interactive: bool,
}

impl Asking {
    /// For somebody who opens a page.
    pub const fn page(hold_ms: u64) -> Self {
        Self { hold_ms, interactive: true }
    }

    /// For a program.
    pub const fn program(hold_ms: u64) -> Self {
        Self { hold_ms, interactive: false }
    }
}

/// Signs the token that an app verifies. The real one is [`ClockedSigner`].
pub trait TokenSigner: Send + Sync + std::fmt::Debug {
    /// A compact JWS for `audience` that lives `ttl_ms` milliseconds, with `claims` besides `iss aud iat exp jti`, which the signer sets.
    ///
    /// # Errors
    /// No key, or the library refused; for the log.
    fn sign(&self, audience: &str, ttl_ms: i64, claims: &Map<String, Value>) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;
}

/// The gateway's [`Signer`], with the time.
#[derive(Debug, Clone)]
pub struct ClockedSigner {
    /// Has the keys.
    pub signer: Arc<Signer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl TokenSigner for ClockedSigner {
    fn sign(&self, audience: &str, ttl_ms: i64, claims: &Map<String, Value>) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let mut claims = claims.clone();
        claims.insert("aud".to_owned(), Value::from(audience));
        Ok(self.signer.sign(claims, self.clock.now(), ttl_ms / 1000)?)
    }
}

/// What an application shares with the gateway (`[jwt] secret`), with the time.
#[derive(Debug, Clone)]
pub struct ClockedShared {
    /// Has the secret.
    pub signer: Arc<SharedSigner>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl TokenSigner for ClockedShared {
    fn sign(&self, audience: &str, ttl_ms: i64, claims: &Map<String, Value>) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let mut claims = claims.clone();
        claims.insert("aud".to_owned(), Value::from(audience));
        Ok(self.signer.sign(claims, self.clock.now(), ttl_ms / 1000)?)
    }
}

/// Nobody's: the secret of an application that is not served any more.
#[derive(Debug)]
struct NoSecret;

impl TokenSigner for NoSecret {
    fn sign(&self, _audience: &str, _ttl_ms: i64, _claims: &Map<String, Value>) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Err("jwt.secret is not at hand".into())
    }
}

/// Waits between tries, so that no test has to.
#[async_trait]
pub trait Sleeper: Send + Sync + std::fmt::Debug {
    /// Comes back after `ms` milliseconds.
    async fn sleep_ms(&self, ms: u64);
}

/// Tokio's timer.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSleeper;

#[async_trait]
impl Sleeper for TokioSleeper {
    async fn sleep_ms(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// Times of the desk, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Whether an account is looked at whatever its record says, as in a rehearsal.
    pub always_look: bool,
    /// How long a request of somebody whose account is due for a look waits for it (`[provision] fresh`).
    pub known_hold_ms: u64,
    /// An account that lacks something optional is tried again after so long.
    pub degraded_ttl_ms: i64,
    /// How long a lease on a record lasts; a crash holds a person up for at most so long.
    pub lease_ms: i64,
    /// After a failure, asking again within so long gets the same answer without a call.
    pub failure_ms: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self { always_look: false, known_hold_ms: 0, degraded_ttl_ms: 300_000, lease_ms: 20_000, failure_ms: 1_000 }
    }
}

/// What a desk is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where records are.
    pub accounts: Arc<dyn AccountStore>,
    /// Where the passwords of people at apps that read no header are.
    pub secrets: Arc<dyn PersonSecretStore>,
    /// Signs `[jwt]` tokens.
    pub signer: Arc<dyn TokenSigner>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This gateway's name on leases. The same after a restart, so that a record it was killed over is not leased to a ghost; another one for each replica.
    pub owner: String,
    /// For jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Waits between tries.
    pub sleeper: Arc<dyn Sleeper>,
    /// Where jobs run: not on the cores that forward.
    pub runtime: tokio::runtime::Handle,
    /// Counts.
    pub meter: Arc<dyn Meter>,
    /// Times; [`Times::default`] but for tests.
    pub times: Times,
}

impl Parts {
    /// How long it is believed that an account of `policy` is as it was.
    fn freshness(&self, policy: &Policy) -> Freshness {
        let never = Freshness { soft_ms: -1, hard_ms: -1, grace_ms: -1 };
        if self.times.always_look { never } else { policy.provision.as_ref().map(|provision| provision.freshness).unwrap_or_default() }
    }

    /// How long a pass of this person is good.
    fn soft_ms(&self, order: &Order) -> i64 {
        let subject = &order.key.subject;
        let SecretHash([a, b, ..]) = SecretHash::of_parts(&[order.key.upstream.as_bytes(), subject.issuer.as_bytes(), subject.subject.as_bytes()]);
        self.freshness(&order.policy).soft_ms_of(u64::from(u16::from_be_bytes([a, b])))
    }

    /// What `record` is worth to `order`, of whose identity `mapped` is made with the recorded login.
    fn standing(&self, order: &Order, record: Option<&AccountRecord>, mapped: &Mapped) -> Standing {
        let Some(record) = record.filter(|record| self.within_grace(&order.policy, record)) else { return Standing::Stranger };
        let same = record.desired_fp.as_deref() == Some(&*fingerprint(&order.policy, mapped));
        let age_ms = self.age_ms(record).unwrap_or(i64::MAX);
        let ttl_ms = if record.state == AccountState::Degraded { self.times.degraded_ttl_ms } else { self.soft_ms(order) };
        if same && record.in_doubt.is_none() && age_ms <= ttl_ms {
            Standing::Fresh
        } else if same && age_ms <= self.freshness(&order.policy).hard_ms {
            Standing::Known
        } else if same {
            Standing::Overdue
        } else if takes_nothing_back(&Ledger::of(record), mapped) {
            Standing::Behind
        } else {
            Standing::Stranger
        }
    }

    /// Whether the account was seen to be as wanted so recently that it may be taken to exist, by the recorded login, while the admin API does not answer.
    fn within_grace(&self, policy: &Policy, record: &AccountRecord) -> bool {
        let fresh = self.freshness(policy);
        let usable = matches!(record.state, AccountState::Active | AccountState::Degraded | AccountState::LinkedUnmanaged);
        usable
            && !is_between_names(record)
            && record.account_id.is_some()
            && self.age_ms(record).is_some_and(|age_ms| age_ms <= fresh.hard_ms.saturating_add(fresh.grace_ms))
    }

    /// Milliseconds since the account was last seen; `None` when never, or "in the future".
    fn age_ms(&self, record: &AccountRecord) -> Option<i64> {
        record.verified_at.map(|at| self.clock.now().since_ms(at)).filter(|age_ms| *age_ms >= 0)
    }
}

/// Issues passes.
#[derive(Debug)]
pub struct Desk {
    parts: Parts,
    counters: ArcSwap<HashMap<String, Arc<Counter>>>,
    /// Signers of the apps with a secret of their own, by policy name; `None`: all is signed by the one of [`Parts`], as in a rehearsal.
    shared: ArcSwapOption<HashMap<String, Arc<dyn TokenSigner>>>,
    flights: Arc<Flights>,
    said: Said,
    /// Who was turned away lately.
    turned: Said,
    /// People are written down as having left one at a time: a guard counts them.
    leaving: tokio::sync::Mutex<()>,
    /// Whose records are leased for what is due of leavers.
    at_leavers: Mutex<HashSet<AccountKey>>,
    looks: heal::Looks,
    entrances: entering::Entrances,
    uses: uses::Uses,
    passes: std::sync::OnceLock<Arc<dyn Passes>>,
}

/// The key of a policy's connector in [`Desk::install`]: requests that began under another revision find that one's.
pub fn seat(policy: &Policy) -> String {
    format!("{}@{}", policy.name, policy.revision)
}

/// Where one app is spoken to.
#[derive(Debug)]
struct Counter {
    connector: Arc<dyn Connector>,
    /// The same for what nobody waits for.
    quiet: Arc<dyn Connector>,
    permits: Semaphore,
    /// For what nobody waits for: a lane of its own, so that it delays nobody.
    background: Semaphore,
    /// For tokens that are given back: many sign-ons may end at once, and an app that hangs must not hold a connection for each, nor up whatever else nobody waits for.
    giving_back: Semaphore,
}

impl Counter {
    /// Whether no job is to be begun: the admin credential was refused. The connector's gate says so, and nobody else: each further job would be told the same, and its
    /// person written down as failed.
    fn closed(&self) -> bool {
        self.connector.is_shut()
    }
}

/// One person's wish for one app. Immutable: the admin calls and the headers of a request come from this one value.
#[derive(Debug, Clone)]
struct Order {
    key: AccountKey,
    identity: Arc<Identity>,
    /// When this identity was asserted.
    as_of: Timestamp,
    policy: Arc<Policy>,
    incident: Incident,
    /// Whether an account may be made for it (`trigger`).
    may_create: bool,
    /// Whether the account is looked at, however lately it was.
    look: bool,
    /// Nobody waits for it: it has a lane of its own.
    background: bool,
}

impl Order {
    /// Of whoever is here in this session: for the account that there is.
    fn of(session: &AppSession, policy: &Arc<Policy>, incident: Incident) -> Self {
        Self {
            key: AccountKey { upstream: policy.name.clone(), subject: session.sign_on.identity.subject.clone() },
            identity: Arc::clone(&session.sign_on.identity),
            as_of: session.sign_on.created_at,
            policy: Arc::clone(policy),
            incident,
            may_create: false,
            look: false,
            background: false,
        }
    }
}

/// What a record is worth to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As wanted, and looked at recently.
    Fresh,
    /// As wanted when last looked at: good while it is looked at again, beside whatever the person asks for.
    Known,
    /// As wanted when last looked at, and that is long ago: good for a while should the admin API not answer.
    Overdue,
    /// Wanted differently by now, but nothing is to be taken back: what the app has is no more than the person may have.
    Behind,
    /// Nothing.
    Stranger,
}

impl Desk {
    /// A desk that knows no app's connector yet: see [`Self::install`].
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            counters: ArcSwap::default(),
            shared: ArcSwapOption::empty(),
            flights: Arc::default(),
            said: Said::default(),
            turned: Said::default(),
            leaving: tokio::sync::Mutex::default(),
            at_leavers: Mutex::default(),
            looks: heal::Looks::default(),
            entrances: entering::Entrances::default(),
            uses: uses::Uses::default(),
            passes: std::sync::OnceLock::new(),
        })
    }

    /// Where passes are kept, for people who are renamed; said once. Without, what was rendered under an old name is told until it is rendered anew.
    pub fn set_passes(&self, passes: Arc<dyn Passes>) {
        // Said twice, the first one holds: there is one place.
        drop(self.passes.set(passes));
    }

    /// Replaces all connectors, by [`seat`], or by policy name for every revision of it. Jobs under way finish with the one they began with. A connector that is the very one that was there goes on
    /// as it was: its jobs count; a new one begins anew.
    pub fn install(&self, connectors: HashMap<String, Arc<dyn Connector>>) {
        let before = self.counters.load();
        let counter = |(app, connector): (String, Arc<dyn Connector>)| {
            let known = before.get(&app).filter(|counter| Arc::ptr_eq(&counter.connector, &connector)).cloned();
            let new = || Counter {
                quiet: connector.background().unwrap_or_else(|| Arc::clone(&connector)),
                connector,
                permits: Semaphore::new(JOBS_MAX),
                background: Semaphore::new(BACKGROUND_MAX),
                giving_back: Semaphore::new(GIVING_BACK_MAX),
            };
            (app, known.unwrap_or_else(|| Arc::new(new())))
        };
        self.counters.store(Arc::new(connectors.into_iter().map(counter).collect()));
    }

    /// Replaces the signers of all apps that share a secret with the gateway, by policy name.
    pub fn share(&self, signers: HashMap<String, Arc<dyn TokenSigner>>) {
        self.shared.store(Some(Arc::new(signers)));
    }

    /// Who signs the token of `policy`. Never the gateway's own key for an app that expects its secret, nor the other way about.
    fn signer_of(&self, policy: &Policy) -> Arc<dyn TokenSigner> {
        let shared = self.shared.load();
        match (shared.as_ref(), &policy.jwt) {
            (Some(shared), Some(jwt)) if jwt.secret.is_some() => shared.get(&policy.name).cloned().unwrap_or_else(|| Arc::new(NoSecret)),
            _ => Arc::clone(&self.parts.signer),
        }
    }

    /// A pass for this session at its app, waiting at most `asking.hold_ms` for a job under way. Also puts the pass into `session.pass`.
    ///
    /// [`Ensured::Ready`] means that the account is there and as wanted, or, while the admin API does not answer, that it was so not long ago.
    /// A job that nobody waits for any more goes on.
    pub async fn ensure(self: &Arc<Self>, session: &Arc<AppSession>, policy: &Arc<Policy>, incident: Incident, asking: Asking) -> Ensured {
        self.ensure_by(session, policy, incident, asking, false).await
    }

    /// As [`Self::ensure`]; with `look`, no earlier look at the account counts.
    async fn ensure_by(self: &Arc<Self>, session: &Arc<AppSession>, policy: &Arc<Policy>, incident: Incident, asking: Asking, look: bool) -> Ensured {
        if session.app != policy.name {
            tracing::error!(app = %policy.name, %incident, "a session of another app was shown to the desk");
            return Ensured::Refused(PublicMessage::Internal);
        }
        // A token that may make accounts (`[bearer] provision`) has no page to open.
        let switches = policy.provision.as_ref().map(|provision| &provision.switches);
        let may_create =
            asking.interactive || session.way == Way::Bearer || switches.is_some_and(|switches| switches.trigger == Trigger::FirstRequest);
        let order = Order { may_create, look, ..Order::of(session, policy, incident) };
        let pass = match switches {
            None => {
                self.map(&order, None).and_then(|mapped| self.pass(&order, &mapped, self.parts.soft_ms(&order), landing(policy, &mapped))).map(Some)
            }
            Some(Switches { enabled: false, when_disabled: WhenDisabled::DenyAll, .. }) => {
                self.switched_off(&order, WhenDisabled::DenyAll).await.map(Some)
            }
            // No admin call is made for these anyway.
            Some(_) if recorded::only(session, policy) => self.recorded(&order).await.map(Some),
            Some(switches) if !switches.enabled => self.switched_off(&order, switches.when_disabled).await.map(Some),
            Some(_) => self.provisioned(&order, asking.hold_ms).await,
        };
        match pass {
            Ok(Some(pass)) => {
                if policy.provision.as_ref().is_some_and(|provision| provision.leavers.idle_ms.is_some()) {
                    self.uses.note(&order.key, self.parts.clock.now());
                }
                let pass = Arc::new(pass);
                session.pass.store(Some(Arc::clone(&pass)));
                Ensured::Ready(pass)
            }
            Ok(None) => Ensured::Working,
            Err(message) => Ensured::Refused(message),
        }
    }

    /// A pass by the record, or by a job; `None`: still at it when the hold was over.
    async fn provisioned(self: &Arc<Self>, order: &Order, hold_ms: u64) -> Result<Option<Pass>, PublicMessage> {
        let counters = self.counters.load_full();
        let Some(counter) = counters.get(&seat(&order.policy)).or_else(|| counters.get(&order.key.upstream)).cloned() else {
            tracing::error!(app = %order.key.upstream, incident = %order.incident, "no connector is installed for this app");
            return Err(PublicMessage::AppUnavailable);
        };
        let mut grounded = false;
        for _ in 0..ROUNDS_MAX {
            let record = self.parts.accounts.account(&order.key).await.map_err(|error| self.store_down(order, &error))?;
            let mapped = self.map(order, record.as_ref().and_then(|record| record.login.as_deref().filter(|_| record.account_id.is_some())))?;
            let standing = self.parts.standing(order, record.as_ref(), &mapped);
            let landing = record.as_ref().and_then(|record| landing_at(&order.policy, &mapped, record, false));
            if let Some(record) = record.as_ref().filter(|_| standing == Standing::Fresh && !order.look) {
                return self.pass(order, &mapped, self.life_ms(order, record), landing).map(Some);
            }
            if let Some(record) = record.as_ref().filter(|record| is_outdated(order, record, &mapped)) {
                // The same person has signed in again since, with other attributes: those count. This session keeps what it was told.
                let known = self.parts.within_grace(&order.policy, record);
                return if known { self.pass(order, &mapped, STALE_MS, landing).map(Some) } else { Err(PublicMessage::SignInRequired) };
            }
            let hold_ms = if standing == Standing::Known && !order.look { hold_ms.min(self.parts.times.known_hold_ms) } else { hold_ms };
            // Whoever has an account may have it looked at by any request; a new one is begun by a page only.
            let may_begin = order.may_create || record.as_ref().is_some_and(|record| record.account_id.is_some());
            match self.fly(order, &counter, hold_ms, may_begin).await {
                // A job may have landed between our reading of the record and our asking for it: the record is read once more.
                Flown::Grounded if !grounded => grounded = true,
                Flown::Grounded if record.as_ref().is_some_and(|record| record.state == AccountState::AwaitingApproval) => {
                    return Err(PublicMessage::AwaitingApproval);
                }
                Flown::Grounded => return Err(PublicMessage::OpenInBrowser),
                Flown::Elsewhere => {}
                // A job that a program began found that there is no account any more: this one may make it.
                Flown::Ended(End::Failed(PublicMessage::OpenInBrowser)) if order.may_create => {}
                Flown::Ended(End::Done { record, made, .. }) => {
                    // Rendered from this order's own identity, never from that of whoever began the job.
                    let mapped = self.map(order, record.login.as_deref())?;
                    if record.desired_fp.as_deref() == Some(&*fingerprint(&order.policy, &mapped)) {
                        return self.pass(order, &mapped, self.life_ms(order, &record), landing_at(&order.policy, &mapped, &record, made)).map(Some);
                    }
                }
                Flown::Ended(End::Failed(message)) => {
                    let behind = || {
                        record
                            .as_ref()
                            .is_some_and(|record| record.state == AccountState::LinkedUnmanaged || has_required(&Ledger::of(record), &mapped))
                    };
                    let known = matches!(standing, Standing::Known | Standing::Overdue) || standing == Standing::Behind && behind();
                    let excused = matches!(message, PublicMessage::AccountUnavailable) && known;
                    if !excused || self.is_being_renamed(order).await? {
                        return Err(message);
                    }
                    tracing::warn!(app = %order.key.upstream, incident = %order.incident, "the admin API does not answer: a known person goes on");
                    self.audit_skipped(order, record.as_ref());
                    return self.pass(order, &mapped, STALE_MS, landing).map(Some);
                }
                Flown::Still if standing == Standing::Known && !self.is_being_renamed(order).await? => {
                    return self.pass(order, &mapped, STALE_MS, landing).map(Some);
                }
                Flown::Still => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Whether a job has sent a new login since the record was read: the one that it has may be somebody else's by now.
    async fn is_being_renamed(&self, order: &Order) -> Result<bool, PublicMessage> {
        let record = self.parts.accounts.account(&order.key).await.map_err(|error| self.store_down(order, &error))?;
        Ok(record.as_ref().is_some_and(is_between_names))
    }

    /// How long a pass on this record is good: shorter where something may change any moment.
    fn life_ms(&self, order: &Order, record: &AccountRecord) -> i64 {
        if record.awaiting.is_some() { self.parts.times.degraded_ttl_ms } else { self.parts.soft_ms(order) }
    }

    /// Joins the job for this person and app, or begins it if it may; it runs where jobs run, whether or not anybody waits.
    async fn fly(self: &Arc<Self>, order: &Order, counter: &Arc<Counter>, hold_ms: u64, may_begin: bool) -> Flown {
        let now = self.parts.clock.now();
        let mut is_other = false;
        let mut wait = match self.flights.board(&order.key, &order.policy.revision, now, self.parts.times.failure_ms, may_begin) {
            Boarding::Nobody => return Flown::Grounded,
            Boarding::Grounded(message) => return Flown::Ended(End::Failed(message)),
            Boarding::Passenger { wait, other } => {
                is_other = other;
                wait
            }
            Boarding::Pilot(pilot, wait) => {
                let passes = self.passes.get().cloned();
                let job = Job { parts: self.parts.clone(), counter: Arc::clone(counter), order: order.clone(), begun: now, passes };
                let clock = Arc::clone(&self.parts.clock);
                let flight = Box::pin(async move {
                    let end = job.run().await;
                    pilot.land(end, clock.now());
                });
                // Nobody waits for the handle: whoever waits, waits for the end.
                drop(self.parts.runtime.spawn(crate::trace::carried(flight)));
                wait
            }
        };
        let ended = async { wait.wait_for(Option::is_some).await.ok().and_then(|end| end.clone()) };
        match tokio::time::timeout(Duration::from_millis(hold_ms), ended).await {
            Ok(Some(End::Failed(_))) if is_other => Flown::Elsewhere,
            Ok(Some(end)) => Flown::Ended(end),
            // The job is gone without a word: it panicked, or the process is stopping.
            Ok(None) => Flown::Ended(End::Failed(PublicMessage::Internal)),
            Err(_over) => Flown::Still,
        }
    }

    fn map(&self, order: &Order, recorded_login: Option<&str>) -> Result<Mapped, PublicMessage> {
        desire(&order.policy, &order.identity, recorded_login).map_err(|error| {
            tracing::warn!(app = %order.key.upstream, incident = %order.incident, %error, "this sign-in cannot become an account");
            self.audit_failed(order, &error.to_string());
            error.public()
        })
    }

    fn pass(&self, order: &Order, mapped: &Mapped, life_ms: i64, landing: Option<String>) -> Result<Pass, PublicMessage> {
        let terms = Terms { now: self.parts.clock.now(), life_ms, landing };
        announce(&order.policy, mapped, self.signer_of(&order.policy).as_ref(), terms).map_err(|error| {
            tracing::error!(app = %order.key.upstream, incident = %order.incident, %error, "the app cannot be told who this is");
            self.audit_failed(order, &error.to_string());
            match error {
                AnnounceError::Signer(_) => PublicMessage::Internal,
                AnnounceError::Unusable { .. } | AnnounceError::Shape { .. } | AnnounceError::TooLarge { .. } => PublicMessage::UnusableSignIn,
            }
        })
    }

    #[expect(clippy::unused_self, reason = "reads like its siblings")]
    fn store_down(&self, order: &Order, error: &StoreError) -> PublicMessage {
        tracing::error!(app = %order.key.upstream, incident = %order.incident, %error, "no account record can be read");
        PublicMessage::StoreDown
    }

    /// Once per failure and a few minutes: every request of the person comes by here.
    fn audit_failed(&self, order: &Order, reason: &str) {
        if self.said.is_news(&order.key, &order.policy.revision, reason, self.parts.clock.now()) {
            Event { action: "account.failed", attempt: "ensure", reason }.tell(order, None);
        }
    }

    /// As [`Self::audit_failed`], for an account that could not be looked at, and whose person went on.
    fn audit_skipped(&self, order: &Order, record: Option<&AccountRecord>) {
        let reason = "the admin API does not answer; known, and within `grace`";
        if self.said.is_news(&order.key, &order.policy.revision, reason, self.parts.clock.now()) {
            Event { action: "verify.skipped", attempt: "verify", reason }.tell(order, record);
        }
    }

    /// As [`Self::audit_failed`], for a correct no.
    fn audit_refused(&self, order: &Order, reason: &str) {
        if self.said.is_news(&order.key, &order.policy.revision, reason, self.parts.clock.now()) {
            Event { action: "account.refused", attempt: "ensure", reason }.tell(order, None);
        }
    }

    /// The people with accounts, for operators.
    pub fn people(&self) -> People {
        let (accounts, clock, passes) = (Arc::clone(&self.parts.accounts), Arc::clone(&self.parts.clock), self.passes.get().cloned());
        People::new(accounts, clock, &self.parts.owner, Arc::clone(&self.flights), passes)
    }
}

/// What the app of `policy` would be told at `path` about the person of `mapped`, names as written: for `explain`, so that it cannot disagree. A token is shown by what it
/// claims; nothing is signed.
///
/// # Errors
/// Why the app cannot be told, in words.
pub fn preview(policy: &Policy, mapped: &Mapped, path: &CanonicalPath<'_>) -> Result<Vec<(String, String)>, String> {
    let terms = Terms { now: Timestamp::default(), life_ms: 0, landing: None };
    let pass = announce(policy, mapped, &Unsigned, terms).map_err(|error| error.to_string())?;
    let written = |name: &http::HeaderName| {
        let header = policy.headers.iter().chain(policy.paths.iter().flat_map(|section| &section.headers)).find(|header| header.name == *name);
        header.map_or_else(|| name.to_string(), |header| header.written.clone())
    };
    let mut headers = http::HeaderMap::new();
    let of_sections = policy.paths.iter().zip(&pass.path_headers).filter(|(section, _)| section.gives(path)).flat_map(|(_, headers)| headers);
    for (name, value) in pass.headers.iter().chain(of_sections) {
        headers.insert(name, value.clone());
    }
    Ok(headers.iter().map(|(name, value)| (written(name), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect())
}

/// Shows what would be signed.
#[derive(Debug)]
struct Unsigned;

impl TokenSigner for Unsigned {
    fn sign(&self, audience: &str, _ttl_ms: i64, claims: &Map<String, Value>) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok(format!("[token for {audience}] {}", Value::Object(claims.clone())))
    }
}

/// What waiting came to.
enum Flown {
    Ended(End),
    /// A job under another revision of the policy has failed: that is no answer to this order.
    Elsewhere,
    Still,
    /// There is no job, and this order may not begin one.
    Grounded,
}

/// Whether the app has nothing that the person should lose.
fn takes_nothing_back(ledger: &Ledger, mapped: &Mapped) -> bool {
    ledger.applied.memberships.iter().all(|(kind, granted)| match mapped.desired.memberships.get(kind) {
        Some(Wanted::Known(wanted)) => granted.iter().all(|(member, role)| wanted.get(member) == Some(role)),
        // Not managed any more, or not said: nothing is taken back either way.
        Some(Wanted::Unknown) | None => true,
    })
}

/// Whether the gateway has granted what nobody goes in without.
fn has_required(ledger: &Ledger, mapped: &Mapped) -> bool {
    let granted = |kind: &String, member: &String| ledger.applied.memberships.get(kind).is_some_and(|members| members.contains_key(member));
    mapped.required.iter().all(|(kind, member)| granted(kind, member))
}

/// Whether `order` wants something else than what a newer sign-in of the same person has brought about.
fn is_outdated(order: &Order, record: &AccountRecord, mapped: &Mapped) -> bool {
    let superseded = Ledger::of(record).as_of_ms > order.as_of.millis() && (record.verified_at.is_some() || record.state.has_left());
    superseded && record.desired_fp.as_deref() != Some(&*fingerprint(&order.policy, mapped))
}

/// Where the person lands at the first page.
fn landing_at(policy: &Policy, mapped: &Mapped, record: &AccountRecord, made: bool) -> Option<String> {
    let arrival = match record.origin {
        Some(Origin::Adopted | Origin::Preexisting) => Arrival::Existing,
        Some(Origin::Created) if made => Arrival::New,
        Some(Origin::Created) | None => Arrival::Known,
    };
    policy.login.landing_of(arrival, &mapped.scope)
}

/// Where the person lands at an app that needs no account made.
fn landing(policy: &Policy, mapped: &Mapped) -> Option<String> {
    policy.login.landing_of(Arrival::Known, &mapped.scope)
}
