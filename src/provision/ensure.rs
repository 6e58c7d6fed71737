//! One job: from whatever is at the app to what the policy wants.
//!
//! Lives here: [`Job`], the algorithm of `reference/provisioning.md` 3.3. It is the same for every app; what differs is behind [`Connector`]. Written so that it
//! may be killed at any line: what is about to be sent is recorded before it is sent, and the next job looks before it sends anything.
//!
//! `making.rs` is the part that finds or makes the account; this file leases, repeats, applies the difference and keeps the record. It never knows who is
//! waiting (`flights.rs`) nor what the app will be told (`announce.rs`).

use super::events::Event;
use super::joining::{Joined, joins};
use super::leaving::Left;
use super::meter::{Timings, code, kind};
use super::{Counter, Order, Parts, Standing};
use crate::clock::Timestamp;
use crate::connector::{Connector, Context, Outcome, Trouble};
use crate::fault::PublicMessage;
use crate::identity::Identity;
use crate::plan::{Account, Applied, DiffRules, Step, diff};
use crate::policy::mapping::{Mapped, MappingError, desire};
use crate::policy::{Drift, OnExisting, Policy, Provision, Sync};
use crate::state::{AccountKey, AccountRecord, AccountState, Awaiting, Fence, Lease, Origin, SecretHash, StoreError};
use crate::trace;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// First back-off; doubles with every try.
const BACKOFF_MS: u64 = 250;
/// No wait is longer; an app that wishes a longer one (`Retry-After`) is not tried again by this job.
const BACKOFF_MS_MAX: u64 = 10_000;
/// How often a lease that somebody else has is asked for.
const LEASE_POLL_MS: u64 = 200;
/// How long an account without a mark may be taken for what a create in doubt has made; later it may well be somebody else's work.
pub(super) const DOUBT_MS: u64 = 15 * 60_000;

/// How a job ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// The account is as wanted by the identity the job was begun for; `made` when this job made it.
    Done {
        /// The record.
        record: Arc<AccountRecord>,
        /// Whether the account was made just now.
        made: bool,
        /// How many steps it took.
        steps: usize,
    },
    /// It is not.
    Failed(PublicMessage),
}

/// Why an attempt stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// Transient: look again, later.
    Again {
        /// For the log.
        why: String,
        /// The app's own wish.
        retry_after_ms: Option<u64>,
    },
    /// The admin credential is not accepted.
    Closed(String),
    /// Trying again by itself will not help; `exists`: it is about an account that is there.
    Human {
        /// For the person.
        message: PublicMessage,
        /// For the log.
        why: String,
    },
    /// A correct no: the policy makes no account here and now.
    Refused {
        /// For the person.
        message: PublicMessage,
        /// For the log.
        why: &'static str,
    },
    /// The sign-in lacks something.
    Mapping(MappingError),
    /// The store.
    Store(StoreError),
}

impl Stop {
    pub(super) fn again(why: impl Into<String>) -> Self {
        Self::Again { why: why.into(), retry_after_ms: None }
    }

    pub(super) fn exists(why: impl Into<String>) -> Self {
        Self::Human { message: PublicMessage::AccountExists, why: why.into() }
    }

    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Human { message: PublicMessage::AccountFailed, why: why.into() }
    }

    /// Again, for this reason and what was seen since; the app's own wish for the next try stays.
    pub(super) fn but(&self, seen: &str) -> Self {
        let retry_after_ms = if let Self::Again { retry_after_ms, .. } = self { *retry_after_ms } else { None };
        Self::Again { why: format!("{}; {seen}", self.why()), retry_after_ms }
    }

    fn message(&self) -> PublicMessage {
        match self {
            Self::Again { .. } | Self::Closed(_) => PublicMessage::AccountUnavailable,
            Self::Human { message, .. } | Self::Refused { message, .. } => *message,
            Self::Mapping(error) => error.public(),
            Self::Store(StoreError::OwnedByAnother) => PublicMessage::AccountExists,
            Self::Store(StoreError::Unavailable(_) | StoreError::Sealed | StoreError::Fenced) => PublicMessage::StoreDown,
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Again { why, .. } | Self::Closed(why) | Self::Human { why, .. } => why.clone(),
            Self::Refused { why, .. } => (*why).to_owned(),
            Self::Mapping(error) => error.to_string(),
            Self::Store(error) => error.to_string(),
        }
    }
}

impl From<Trouble> for Stop {
    /// What a verb that did not end well means for the attempt. Nothing is ever "absent" because of it.
    fn from(trouble: Trouble) -> Self {
        let why = trouble.to_string();
        match trouble.outcome {
            Outcome::Retry | Outcome::InDoubt => Self::Again { why, retry_after_ms: trouble.retry_after_ms },
            Outcome::Reauth => Self::Closed(why),
            Outcome::Ambiguous | Outcome::Conflict | Outcome::Exists => Self::exists(why),
            Outcome::Found
            | Outcome::Absent
            | Outcome::Created
            | Outcome::Updated
            | Outcome::Unchanged
            | Outcome::Done
            | Outcome::Gone
            | Outcome::Denied
            | Outcome::Invalid
            | Outcome::Unsupported => Self::failed(why),
        }
    }
}

impl From<MappingError> for Stop {
    fn from(error: MappingError) -> Self {
        Self::Mapping(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What was sent and is not known to have worked, as the record keeps it: one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Doubt {
    /// A create with this login.
    Create {
        /// The login.
        login: String,
        /// When it was sent, milliseconds since the epoch.
        at_ms: i64,
    },
    /// Another login.
    Rename {
        /// Which.
        to: String,
        /// When it was sent, milliseconds since the epoch.
        at_ms: i64,
        /// The app has said that it did it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        taken: bool,
    },
    /// A membership: kind, member, role.
    Add(String, String, Option<String>),
    /// Anything that is harmless to do again; its label.
    Step(String),
}

impl Doubt {
    pub(super) fn of(step: &Step, now: Timestamp) -> Self {
        match step {
            Step::Create(desired) => Self::Create { login: desired.login.clone(), at_ms: now.millis() },
            Step::Add { kind, member, role } => Self::Add(kind.clone(), member.clone(), role.clone()),
            Step::Update(_) | Step::Enable | Step::Remove { .. } => Self::Step(step.label()),
        }
    }

    pub(super) fn read(record: &AccountRecord) -> Option<Self> {
        record.in_doubt.as_deref().and_then(|text| serde_json::from_str(text).ok())
    }

    pub(super) fn write(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// For people: `create ada`, `add group devs`.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Create { login, .. } => format!("create {login}"),
            Self::Rename { to, .. } => format!("rename to {to}"),
            Self::Add(kind, member, _) => format!("add {kind} {member}"),
            Self::Step(label) => label.clone(),
        }
    }
}

/// What a record's `applied` holds: the base of the three-way merge, and as of which sign-in. An older sign-in of the same person, still open in
/// another browser, must not bring back what a newer one took away.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    #[serde(flatten)]
    pub(super) applied: Applied,
    #[serde(default)]
    pub(super) as_of_ms: i64,
    /// The address under which the app was last seen to know the account.
    #[serde(default)]
    pub(super) email: Option<String>,
    /// What operators call the person: address, else user name, of the last sign-in.
    #[serde(default)]
    pub(super) who: Option<String>,
    /// When the person left, and what came of it at the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left: Option<Left>,
    /// What somebody changed at the app, as last seen there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) drift: Vec<String>,
    /// An operator has said that this account is the person's, and it has not been looked at yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) relinked: bool,
    /// The account's login is what the policy makes of the person's sign-in, or was when it was last looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) named: bool,
    /// Why it keeps a login that is not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unnamed: Option<String>,
    /// A login that the app took and did not show in all the time it had: not sent again, and known for the person's should it show yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unseen: Option<String>,
    /// When the account was last looked at with all its memberships, seconds since the epoch.
    #[serde(default)]
    pub(super) whole_s: i64,
}

impl Ledger {
    pub(super) fn of(record: &AccountRecord) -> Self {
        Self::deserialize(&record.applied).unwrap_or_default()
    }

    pub(super) fn write(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

/// Fingerprint of what is wanted: 64 hex digits.
pub(super) fn fingerprint(policy: &Policy, mapped: &Mapped) -> String {
    let connector = policy.provision.as_ref().map(|provision| format!("{}{}", provision.connector.name, provision.connector.revision));
    let SecretHash(digest) = SecretHash::of(mapped.desired.canonical(&connector.unwrap_or_default(), &policy.revision).as_bytes());
    hex::encode(digest)
}

/// What this gateway writes into an app to know the person's account again: 128 bits of a hash over issuer and subject, which are delimited by their
/// lengths. The same at every app, after a loss of all records, and no e-mail address.
pub(super) fn external_id(key: &AccountKey) -> String {
    let input = format!("{}:{}{}:{}", key.subject.issuer.len(), key.subject.issuer, key.subject.subject.len(), key.subject.subject);
    let SecretHash(digest) = SecretHash::of(input.as_bytes());
    format!("{}{}", super::linking::MARK, hex::encode(digest.get(..16).unwrap_or_default()))
}

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) parts: Parts,
    pub(super) counter: Arc<Counter>,
    pub(super) order: Order,
    /// When it was asked for.
    pub(super) begun: Timestamp,
    /// Where passes are kept.
    pub(super) passes: Option<Arc<dyn super::Passes>>,
}

/// A job under its lease.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) job: &'a Job,
    pub(super) policy: &'a Policy,
    pub(super) provision: &'a Provision,
    pub(super) connector: &'a dyn Connector,
    pub(super) external_id: String,
    pub(super) record: AccountRecord,
    pub(super) ledger: Ledger,
    /// The account was made by this gateway and never yet seen complete.
    pub(super) fresh: bool,
    /// Grants that were sent and never answered.
    doubted: Vec<(String, String)>,
    /// Whether the person had an account, as wanted, before this job.
    was_known: bool,
    /// Whether memberships are applied to the account, once it has been looked at.
    joined: Joined,
    /// How many steps have worked.
    steps: usize,
    /// Nothing has changed but the time: a glance at the account will do.
    pub(super) routine: bool,
    /// What each step took.
    pub(super) timings: Timings,
    pub(super) fence: Fence,
    until: Timestamp,
}

impl Job {
    /// Does the job. Never panics on an app's answer; the lease is given back in every case.
    pub(super) async fn run(self) -> End {
        let Some(provision) = &self.order.policy.provision else { return End::Failed(PublicMessage::Internal) };
        // One app at a time gets a bounded number of jobs: a slow one holds up its own newcomers only (J12).
        let lane = if self.order.background { &self.counter.background } else { &self.counter.permits };
        let Ok(_permit) = lane.acquire().await else { return End::Failed(PublicMessage::Internal) };
        if self.counter.closed(self.parts.clock.now()) {
            return End::Failed(PublicMessage::AccountUnavailable);
        }
        let (fence, until, record) = match self.lease().await {
            Ok(lease) => lease,
            Err(stop) => {
                tracing::warn!(app = %self.order.key.upstream, incident = %self.order.incident, error = %stop.why(), "no lease on the account record");
                return End::Failed(stop.message());
            }
        };
        let record = record.unwrap_or_else(|| blank(&self.order));
        let mut timings = Timings::default();
        timings.note("waiting", self.parts.clock.now().since_ms(self.begun));
        let mut work = Work {
            job: &self,
            policy: &self.order.policy,
            provision,
            connector: if self.order.background { self.counter.quiet.as_ref() } else { self.counter.connector.as_ref() },
            external_id: external_id(&self.order.key),
            ledger: Ledger::of(&record),
            fresh: record.origin == Some(Origin::Created) && record.account_id.is_some() && record.verified_at.is_none(),
            doubted: Vec::new(),
            was_known: record.verified_at.is_some() && record.account_id.is_some(),
            joined: Joined::Yes,
            steps: 0,
            routine: false,
            timings,
            record,
            fence,
            until,
        };
        let end = work.through().await;
        work.tell_times(&end);
        if let Err(error) = self.parts.accounts.release(&self.order.key, work.fence).await {
            // It runs out by itself.
            tracing::debug!(app = %self.order.key.upstream, %error, "the lease was not given back");
        }
        end
    }

    /// The lease, waiting for whoever has it: another replica at work, or one that was killed.
    async fn lease(&self) -> Result<(Fence, Timestamp, Option<AccountRecord>), Stop> {
        let lease_ms = self.parts.times.lease_ms;
        let give_up = self.parts.clock.now().plus_ms(lease_ms.saturating_mul(2));
        loop {
            let now = self.parts.clock.now();
            let until = now.plus_ms(lease_ms);
            match self.parts.accounts.lease(&self.order.key, &self.parts.owner, now, until).await? {
                Lease::Held(fence, record) => return Ok((fence, until, record)),
                Lease::Busy(_) if now >= give_up => return Err(Stop::again("the record is leased by another gateway")),
                Lease::Busy(_) => self.parts.sleeper.sleep_ms(LEASE_POLL_MS).await,
            }
        }
    }

    /// Full jitter: anything from nothing to the doubled base, but not before the app wishes.
    fn backoff_ms(&self, attempt: u32, retry_after_ms: Option<u64>) -> u64 {
        let ceiling = BACKOFF_MS.saturating_mul(1_u64.checked_shl(attempt).unwrap_or(u64::MAX)).min(BACKOFF_MS_MAX);
        let random = u64::from_le_bytes(self.parts.entropy.bytes::<8>());
        (random % (ceiling + 1)).max(retry_after_ms.unwrap_or(0))
    }
}

fn blank(order: &Order) -> AccountRecord {
    AccountRecord { applied: Ledger::default().write(), ..AccountRecord::empty(order.key.clone(), &order.policy.revision) }
}

/// What operators call a person.
fn called(identity: &Identity) -> Option<String> {
    let vouched = identity.email.clone().filter(|_| identity.email_verified);
    vouched.or_else(|| identity.username.clone()).or_else(|| identity.email.clone()).or_else(|| identity.name.clone())
}

impl Work<'_> {
    /// All attempts.
    async fn through(&mut self) -> End {
        if let Ok(mapped) = desire(self.policy, &self.job.order.identity, self.record.login.as_deref()) {
            // A newer sign-in was here meanwhile: what this one wants otherwise has nothing to say any more.
            let outdated = super::is_outdated(&self.job.order, &self.record, &mapped);
            let standing = self.job.parts.standing(&self.job.order, Some(&self.record), &mapped);
            // Another job was quicker, between our order's reading of the record and its boarding, or at another gateway.
            if outdated || !self.job.order.look && standing == Standing::Fresh {
                return End::Done { record: Arc::new(self.record.clone()), made: false, steps: 0 };
            }
            self.routine = standing == Standing::Known && self.may_glance();
        }
        if let Some(doubt) = Doubt::read(&self.record) {
            self.audit("provision.resumed", &format!("{}: looked at before anything is sent again", doubt.label()));
        }
        let was = self.record.state;
        let retries = self.provision.retries;
        let mut attempt = 0;
        loop {
            let stop = match self.attempt(attempt >= retries).await {
                Ok(()) => return End::Done { record: Arc::new(self.record.clone()), made: self.fresh, steps: self.steps },
                Err(stop) => stop,
            };
            self.record.attempts = self.record.attempts.saturating_add(1);
            self.record.last_error = Some(stop.why());
            if let Stop::Again { why, retry_after_ms } = &stop
                && attempt < retries
                && retry_after_ms.unwrap_or(0) <= BACKOFF_MS_MAX
                && self.connector.may_retry()
            {
                let wait_ms = self.job.backoff_ms(attempt, *retry_after_ms);
                tracing::info!(app = %self.record.key.upstream, incident = %self.job.order.incident, attempt, wait_ms, error = %why, "account: trying again");
                let begun = self.now();
                self.job.parts.sleeper.sleep_ms(wait_ms).await;
                self.took("back-off", begun);
                attempt += 1;
                continue;
            }
            return self.give_up(&stop, was).await;
        }
    }

    /// Whether a look may leave out the memberships that take calls of their own: somebody comes by as they always do, the account lacks nothing, and its memberships
    /// were looked at within `verify`. Nobody's memberships change by that: what is not shown counts as it was last applied.
    fn may_glance(&self) -> bool {
        let complete = matches!(self.record.state, AccountState::Active | AccountState::LinkedUnmanaged);
        let whole_age_ms = self.now().since_ms(Timestamp::from_seconds(self.ledger.whole_s));
        let recent = (0..=self.provision.freshness.hard_ms).contains(&whole_age_ms);
        !self.job.order.look && !self.ledger.relinked && self.record.in_doubt.is_none() && complete && recent
    }

    /// Records the failure. A person who is known stays known while the trouble is the admin API's.
    async fn give_up(&mut self, stop: &Stop, was: AccountState) -> End {
        if let Stop::Refused { message, why } = stop {
            return self.refuse(*message, why).await;
        }
        self.record.failed_at = self.record.failed_at.or_else(|| Some(self.now()));
        let known = self.record.verified_at.is_some() && self.record.account_id.is_some();
        self.record.state = match stop {
            Stop::Human { .. } | Stop::Refused { .. } | Stop::Mapping(_) | Stop::Store(StoreError::OwnedByAnother) => AccountState::Conflict,
            Stop::Again { .. } | Stop::Closed(_) | Stop::Store(_) if known => was,
            Stop::Again { .. } | Stop::Closed(_) | Stop::Store(_) => AccountState::Pending,
        };
        if let Stop::Closed(_) = stop {
            self.job.counter.close_until(self.now().plus_ms(self.job.parts.times.quarantine_ms));
        }
        if self.record.origin.is_none() && self.record.in_doubt.is_none() {
            // Reserved for a create that did not happen: the next person of that name may have it.
            self.record.login = None;
        }
        let why = stop.why();
        tracing::error!(app = %self.record.key.upstream, incident = %self.job.order.incident, error = %why, "account: not as wanted");
        self.audit("account.failed", &why);
        if let Err(error) = self.save().await {
            // The record still says what is in doubt: the next job looks first.
            tracing::error!(app = %self.record.key.upstream, incident = %self.job.order.incident, %error, "account: the failure was not recorded");
        }
        End::Failed(stop.message())
    }

    /// A correct no. Of somebody who has nothing at the app, nothing is kept, but for who waits for an approval.
    async fn refuse(&mut self, message: PublicMessage, why: &str) -> End {
        let nothing = self.record.origin.is_none() && self.record.in_doubt.is_none();
        if nothing {
            self.record.login = None;
        }
        tracing::info!(app = %self.record.key.upstream, incident = %self.job.order.incident, reason = why, "account: refused");
        let written = if message == PublicMessage::AwaitingApproval {
            let is_news = self.record.awaiting != Some(Awaiting::Account);
            (self.record.state, self.record.awaiting) = (AccountState::AwaitingApproval, Some(Awaiting::Account));
            (self.record.last_error, self.record.failed_at, self.record.attempts) = (None, None, 0);
            let written = self.save().await;
            if is_news && written.is_ok() {
                self.audit("approval.requested", why);
            }
            written
        } else {
            self.audit("account.refused", why);
            if nothing {
                self.job.parts.accounts.forget(&self.record.key, self.fence).await
            } else {
                // An account that was removed at the app, and may not be made again here and now.
                self.record.state = if message == PublicMessage::AccountsOff { AccountState::Conflict } else { AccountState::Pending };
                self.save().await
            }
        };
        if let Err(error) = written {
            tracing::error!(app = %self.record.key.upstream, incident = %self.job.order.incident, %error, "account: the refusal was not recorded");
            return End::Failed(PublicMessage::StoreDown);
        }
        End::Failed(message)
    }

    /// Looks, makes if need be, and brings up to date. On the `last` attempt an optional membership that will not come is done without.
    async fn attempt(&mut self, last: bool) -> Result<(), Stop> {
        self.forget_old_doubt();
        let recorded = self.recorded_login().map(str::to_owned);
        let mapped = desire(self.policy, &self.job.order.identity, recorded.as_deref())?;
        let account = match self.record.account_id.clone() {
            Some(id) => self.revisit(&mapped, &id).await?,
            None => None,
        };
        let account = match account {
            Some(account) => self.follow(&mapped, account).await?,
            None => self.find_or_make(mapped).await?,
        };
        // From here on everything carries the login that the account has.
        let mapped = desire(self.policy, &self.job.order.identity, self.record.login.as_deref())?;
        self.bring_up(&mapped, &account, last).await
    }

    /// A create in doubt that nobody has looked for in time is no claim to anything any more.
    fn forget_old_doubt(&mut self) {
        if let Some(Doubt::Create { at_ms, .. }) = Doubt::read(&self.record)
            && !self.is_recent(at_ms)
        {
            self.record.in_doubt = None;
        }
    }

    /// Whether what was sent then, and never answered, is still a claim to what is there.
    pub(super) fn is_recent(&self, at_ms: i64) -> bool {
        self.now().since_ms(Timestamp::from_millis(at_ms)).unsigned_abs() <= DOUBT_MS
    }

    /// The login that wins over a fresh claim: that of an account we know, or of one we were making.
    fn recorded_login(&self) -> Option<&str> {
        let settled = self.record.origin.is_some() || matches!(Doubt::read(&self.record), Some(Doubt::Create { .. }));
        self.record.login.as_deref().filter(|_| settled)
    }

    /// Applies the difference, step by step.
    async fn bring_up(&mut self, mapped: &Mapped, account: &Account, last: bool) -> Result<(), Stop> {
        self.settle(account);
        if self.record.origin == Some(Origin::Preexisting) && self.provision.on_existing == OnExisting::Adopt {
            self.record.origin = Some(Origin::Adopted);
            if !self.save_seated().await? {
                tracing::warn!(app = %self.record.key.upstream, incident = %self.job.order.incident, "account: max_accounts are there; this one is left as it is");
                self.record.origin = Some(Origin::Preexisting);
            }
        }
        let rules = DiffRules {
            manage: self.record.origin != Some(Origin::Preexisting) && self.provision.switches.mode.changes(),
            fresh: self.fresh,
            // Only what this gateway has switched off is it that switches it on again.
            enable: self.ledger.left.as_ref().is_some_and(Left::may_be_off),
            sync_memberships: self.join(mapped, account),
            role_order: self.provision.connector.role_order.clone(),
            drift: self.provision.drift,
            ..DiffRules::default()
        };
        let plan = diff(&self.ledger.applied, &mapped.desired, Some(account), &rules);
        if plan.blocked.is_some() {
            return Err(Stop::exists("the account is disabled at the app, and not by this gateway"));
        }
        self.ledger.applied = plan.base;
        self.note_drift(plan.drift);
        self.ledger.as_of_ms = self.ledger.as_of_ms.max(self.job.order.as_of.millis());
        let mut missing: Vec<String> = Vec::new();
        let (mut later, mut refused) = (None, None);
        for step in &plan.steps {
            let required = matches!(step, Step::Add { kind, member, .. } if mapped.required.contains(&(kind.clone(), member.clone())));
            match self.step(mapped, account, step).await? {
                Stepped::Done => {}
                // The others are given all the same: the next attempt has less to do.
                Stepped::Without(why) if required => refused = Some(Stop::failed(why)),
                Stepped::Without(why) => missing.push(why),
                Stepped::Later { why, .. } if last && !required => missing.push(why),
                Stepped::Later { why, retry_after_ms } => later = Some(Stop::Again { why, retry_after_ms }),
            }
        }
        match refused.or(later) {
            Some(stop) => Err(stop),
            None => self.finish(mapped, &missing).await,
        }
    }

    /// Tells what somebody has changed at the app, once.
    fn note_drift(&mut self, drift: Vec<String>) {
        if self.routine && drift.is_empty() {
            // What a glance does not show has not gone away.
            return;
        }
        if !drift.is_empty() && drift != self.ledger.drift {
            self.audit("drift.detected", &drift.join("; "));
        }
        self.ledger.drift = if self.provision.drift == Drift::Report { drift } else { Vec::new() };
    }

    /// Which kinds of memberships are touched when. Whoever is not joined keeps what they have, and gets nothing.
    fn join(&mut self, mapped: &Mapped, account: &Account) -> BTreeMap<String, Sync> {
        let Some(origin) = self.record.origin.filter(|_| !mapped.sync.is_empty()) else { return mapped.sync.clone() };
        if !self.provision.switches.mode.changes() {
            self.joined = Joined::No("mode = \"passthrough\"".to_owned());
            return never(mapped);
        }
        self.joined = joins(&self.provision.switches, origin, self.record.join_approved_at.is_some(), &mapped.scope, account);
        match &self.joined {
            Joined::Yes => mapped.sync.clone(),
            Joined::No(why) => {
                tracing::info!(app = %self.record.key.upstream, incident = %self.job.order.incident, %why, "account: linked, not joined");
                never(mapped)
            }
            Joined::Waits => never(mapped),
        }
    }

    /// What was in doubt when the last job ended, decided by what is there now.
    fn settle(&mut self, account: &Account) {
        if let Some(Doubt::Add(kind, member, role)) = Doubt::read(&self.record) {
            if account.memberships.get(&kind).is_some_and(|live| live.contains_key(&member)) {
                // It was not there before we sent it: it is our grant, and ours to take back.
                self.ledger.applied.note(&Step::Add { kind, member, role });
            } else {
                self.doubted.push((kind, member));
            }
        }
        self.record.in_doubt = None;
    }

    /// One step: recorded, sent, recorded.
    async fn step(&mut self, mapped: &Mapped, account: &Account, step: &Step) -> Result<Stepped, Stop> {
        self.record.desired_fp = None;
        self.record.in_doubt = Doubt::of(step, self.now()).write();
        self.save().await?;
        self.renew().await?;
        let begun = self.now();
        let context = self.context(mapped, Some(&account.id));
        let (outcome, trouble) = match self.connector.apply(context, step).await {
            Ok((outcome, _)) => (outcome, None),
            Err(trouble) => (trouble.outcome, Some(trouble)),
        };
        self.took(step.label(), begun);
        if trouble.is_some() {
            self.failed(kind(step), outcome);
        }
        let why = trouble.as_ref().map_or_else(|| format!("{}: {outcome:?}", step.label()), |trouble| format!("{}: {trouble}", step.label()));
        let retry_after_ms = trouble.and_then(|trouble| trouble.retry_after_ms);
        let lowers = self.may_lower(account, step);
        let stepped = match (step, outcome) {
            // It is there already. Ours only if we had sent it before and lost the answer; else somebody was quicker, and it is not ours to take back.
            (Step::Add { kind, member, .. }, Outcome::Exists | Outcome::Unchanged) => {
                if self.doubted.contains(&(kind.clone(), member.clone())) {
                    self.ledger.applied.note(step);
                }
                Stepped::Done
            }
            (_, Outcome::Created | Outcome::Updated | Outcome::Unchanged | Outcome::Done | Outcome::Found) => {
                self.ledger.applied.note(step);
                self.audit_step(step);
                Stepped::Done
            }
            // Gone already; or an app whose accounts cannot be changed: noted, so that it is not tried for ever.
            (Step::Remove { .. }, Outcome::Gone | Outcome::Absent) | (Step::Update(_), Outcome::Unsupported) => {
                self.ledger.applied.note(step);
                Stepped::Done
            }
            (_, Outcome::Reauth) => return Err(Stop::Closed(why)),
            (Step::Add { kind, member, .. }, Outcome::Retry | Outcome::InDoubt) if !lowers => {
                // Where the app shows memberships, an unneeded claim to one does no harm: what is not there is not taken back.
                if account.memberships.contains_key(kind) {
                    self.ledger.applied.note(step);
                } else {
                    self.doubted.push((kind.clone(), member.clone()));
                }
                Stepped::Later { why, retry_after_ms }
            }
            // Gone in the middle of it: the next attempt sees that, and makes it anew.
            (Step::Update(_) | Step::Enable, Outcome::Gone) | (_, Outcome::Retry | Outcome::InDoubt) => {
                return Err(Stop::Again { why, retry_after_ms });
            }
            // The policy names something that the app does not have. It is told, never dropped in silence.
            (Step::Add { .. }, Outcome::Absent) => return Err(Stop::failed(why)),
            // Less than wanted is safe. More than wanted (a removal that fails, a role that stays) is not, and ends below.
            (Step::Add { .. }, _) if !lowers => Stepped::Without(why),
            (Step::Update(_), _) if self.record.verified_at.is_some() => Stepped::Without(why),
            (_, Outcome::Conflict | Outcome::Exists | Outcome::Ambiguous) => return Err(Stop::exists(why)),
            (_, Outcome::Absent | Outcome::Gone | Outcome::Denied | Outcome::Invalid | Outcome::Unsupported) => return Err(Stop::failed(why)),
        };
        self.record.in_doubt = None;
        self.steps += usize::from(matches!(stepped, Stepped::Done));
        Ok(stepped)
    }

    /// Whether a step takes a role away: the person has another one there, and it is not known to be the lower one.
    fn may_lower(&self, account: &Account, step: &Step) -> bool {
        let Step::Add { kind, member, role: Some(wanted) } = step else { return false };
        let Some(Some(shown)) = account.memberships.get(kind).and_then(|members| members.get(member)) else { return false };
        let rank = |role: &String| self.provision.connector.role_order.iter().position(|known| known == role);
        shown != wanted && !matches!((rank(shown), rank(wanted)), (Some(shown), Some(wanted)) if shown < wanted)
    }

    /// Everything is as wanted, but for what is `missing`.
    async fn finish(&mut self, mapped: &Mapped, missing: &[String]) -> Result<(), Stop> {
        self.record.state = match (self.record.origin, missing.is_empty()) {
            (Some(Origin::Preexisting), _) => AccountState::LinkedUnmanaged,
            (Some(Origin::Adopted), _) if self.joined != Joined::Yes => AccountState::LinkedUnmanaged,
            (_, true) => AccountState::Active,
            (_, false) => AccountState::Degraded,
        };
        self.record.desired_fp = Some(fingerprint(self.policy, mapped));
        self.record.policy_revision.clone_from(&self.policy.revision);
        self.record.in_doubt = None;
        self.record.attempts = 0;
        self.record.last_error = if missing.is_empty() { None } else { Some(missing.join("; ")) };
        self.record.verified_at = Some(self.now());
        self.record.failed_at = None;
        self.ledger.left = None;
        let fold = self.provision.connector.identity.fold;
        let is_given = |login: &str| desire(self.policy, &self.job.order.identity, None).is_ok_and(|fresh| fold.same(&fresh.desired.login, login));
        if self.record.login.as_deref().is_some_and(is_given) {
            (self.ledger.named, self.ledger.unnamed) = (true, None);
        }
        if !self.routine {
            self.ledger.whole_s = self.now().seconds();
        }
        let waited = self.record.awaiting == Some(Awaiting::Join);
        self.record.awaiting = (self.joined == Joined::Waits).then_some(Awaiting::Join);
        if self.record.awaiting.is_some() && !waited {
            self.audit("approval.requested", "join = \"approval\", and the account was there before");
        }
        if !missing.is_empty() {
            tracing::warn!(app = %self.record.key.upstream, incident = %self.job.order.incident, missing = %missing.join("; "), "account: degraded");
            self.audit("account.degraded", &missing.join("; "));
        }
        self.save().await?;
        Ok(())
    }

    /// What a connector is told.
    pub(super) fn context<'c>(&'c self, mapped: &'c Mapped, account_id: Option<&'c str>) -> Context<'c> {
        Context { scope: &mapped.scope, external_id: &self.external_id, login: &mapped.desired.login, email: mapped.email.as_deref(), account_id }
    }

    /// Writes the record under our fence.
    pub(super) async fn save(&mut self) -> Result<(), StoreError> {
        self.write_ledger();
        self.job.parts.accounts.save(&self.record, self.fence).await
    }

    /// As [`Self::save`], for a record that takes a seat of `max_accounts`; false, and nothing written, when there is none left. Whom a human has
    /// approved for one needs none; a yes to memberships is no yes to a seat.
    pub(super) async fn save_seated(&mut self) -> Result<bool, StoreError> {
        match self.provision.switches.max_accounts {
            Some(seats) if self.record.seat_approved_at.is_none() => {
                self.write_ledger();
                self.job.parts.accounts.save_within(&self.record, self.fence, seats).await
            }
            Some(_) | None => self.save().await.map(|()| true),
        }
    }

    fn write_ledger(&mut self) {
        self.ledger.who = called(&self.job.order.identity).or(self.ledger.who.take());
        self.record.applied = self.ledger.write();
    }

    /// Prolongs the lease when a third of it is gone; a lease that was taken over stops the job before it sends anything more.
    pub(super) async fn renew(&mut self) -> Result<(), Stop> {
        let now = self.now();
        let lease_ms = self.job.parts.times.lease_ms;
        if self.until.since_ms(now) > lease_ms - lease_ms / 3 {
            return Ok(());
        }
        let until = now.plus_ms(lease_ms);
        match self.job.parts.accounts.lease(&self.record.key, &self.job.parts.owner, now, until).await? {
            Lease::Held(fence, _) => {
                (self.fence, self.until) = (fence, until);
                Ok(())
            }
            Lease::Busy(_) => Err(Stop::Store(StoreError::Fenced)),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.job.parts.clock.now()
    }

    /// Notes what a step took that began at `begun`.
    pub(super) fn took(&mut self, step: impl Into<String>, begun: Timestamp) {
        let (ms, step) = (self.now().since_ms(begun), step.into());
        // What it was, not about whom: a label has logins and groups in it.
        let name = step.split(' ').next().unwrap_or_default().to_owned();
        trace::past("vestibule.provision.step", ms, [("vestibule.step", name.into())]);
        self.timings.note(step, ms);
    }

    /// Counts a step that did not go well.
    pub(super) fn failed(&self, step: &'static str, outcome: Outcome) {
        self.job.parts.meter.step_failed(&self.record.key.upstream, step, code(outcome));
    }

    /// How long it all took; a first sign-in that had to wait too long is told with its steps.
    fn tell_times(&self, end: &End) {
        let (app, elapsed_ms) = (self.record.key.upstream.as_str(), self.now().since_ms(self.job.begun));
        let action = match (self.was_known, self.record.origin) {
            (true, _) => "update",
            (false, Some(Origin::Created)) => "create",
            (false, Some(Origin::Adopted | Origin::Preexisting)) => "adopt",
            (false, None) => "ensure",
        };
        self.job.parts.meter.ended(app, action, elapsed_ms);
        let slo_ms = self.provision.switches.slo_ms;
        if !self.was_known && matches!(end, End::Done { .. }) && elapsed_ms > slo_ms {
            self.job.parts.meter.slo_missed(app);
            tracing::warn!(app, incident = %self.job.order.incident, elapsed_ms, slo_ms, steps = %self.timings.told(), "account: a first sign-in took longer than [provision] slo");
        }
    }

    fn audit_step(&self, step: &Step) {
        match step {
            Step::Add { .. } => self.audit("role.granted", &step.label()),
            Step::Remove { .. } => self.audit("role.revoked", &step.label()),
            Step::Update(attributes) => self.audit("account.updated", &attributes.keys().map(String::as_str).collect::<Vec<_>>().join(" ")),
            Step::Enable => self.audit("account.enabled", "let in again"),
            Step::Create(_) => {}
        }
    }

    /// See [`Event`].
    pub(super) fn audit(&self, action: &'static str, reason: &str) {
        let attempt = match self.record.origin {
            _ if self.record.verified_at.is_some() && self.record.account_id.is_some() => "update",
            Some(Origin::Adopted | Origin::Preexisting) => "adopt",
            Some(Origin::Created) | None => "create",
        };
        Event { action, attempt, reason }.tell(&self.job.order, Some(&self.record));
    }
}

/// Every kind of membership is left alone.
pub(super) fn never(mapped: &Mapped) -> BTreeMap<String, Sync> {
    mapped.sync.keys().map(|kind| (kind.clone(), Sync::Never)).collect()
}

/// What a step came to, when the attempt goes on.
#[derive(Debug)]
enum Stepped {
    /// Done.
    Done,
    /// It will not come; the account is usable without.
    Without(String),
    /// It may come at another try.
    Later {
        /// For the log.
        why: String,
        /// The app's own wish.
        retry_after_ms: Option<u64>,
    },
}
