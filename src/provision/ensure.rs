//! One job: from whatever is at the app to what the policy wants.
//!
//! Lives here: [`Job`], the algorithm of `reference/provisioning.md` 3.3. It is the same for every app; what differs is behind [`Connector`]. Written so that it
//! may be killed at any line: what is about to be sent is recorded before it is sent, and the next job looks before it sends anything.
//!
//! `making.rs` is the part that finds or makes the account, `applying.rs` the one that changes it; this file leases, repeats and keeps the record. It never knows who is
//! waiting (`flights.rs`) nor what the app will be told (`announce.rs`).

use super::events::Event;
use super::joining::Joined;
use super::ledger::{Doubt, Ledger, external_id};
use super::meter::Timings;
use super::stop::Stop;
use super::{Counter, Order, Parts, Standing};
use crate::clock::Timestamp;
use crate::connector::{Connector, Context, Outcome};
use crate::fault::PublicMessage;
use crate::identity::Identity;
use crate::policy::mapping::{Mapped, desire};
use crate::policy::{Policy, Provision};
use crate::state::{AccountRecord, AccountState, Awaiting, Fence, Lease, Origin, StoreError};
use crate::trace;
use std::sync::Arc;

/// First back-off; doubles with every try.
const BACKOFF_MS: u64 = 250;
/// No wait is longer; an app that wishes a longer one (`Retry-After`) is not tried again by this job.
const BACKOFF_MS_MAX: u64 = 10_000;
/// How often a lease that somebody else has is asked for.
const LEASE_POLL_MS: u64 = 200;

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
    pub(super) doubted: Vec<(String, String)>,
    /// Whether the person had an account, as wanted, before this job.
    was_known: bool,
    /// Whether memberships are applied to the account, once it has been looked at.
    pub(super) joined: Joined,
    /// How many steps have worked.
    pub(super) steps: usize,
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
        if self.counter.closed() {
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
        if let Err(error) = self.is_back().await {
            return self.give_up(&Stop::from(error), self.record.state).await;
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

    /// Somebody who had left may come again. That is written down before anything is asked of the app: whatever becomes of this job, nothing that was due of them as a
    /// leaver (a switch-off, a removal, a human's yes to one) is done any more, until they leave again.
    async fn is_back(&mut self) -> Result<(), StoreError> {
        if !matches!(self.record.state, AccountState::Suspending | AccountState::Suspended) {
            return Ok(());
        }
        self.record.state = AccountState::Pending;
        if self.record.awaiting == Some(Awaiting::Leave) {
            self.record.awaiting = None;
        }
        if let Some(left) = &mut self.ledger.left {
            left.may_go = false;
            if left.off.is_none() && !left.sent {
                // Nothing was done at the app.
                self.ledger.left = None;
            }
        }
        self.save().await
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
        let recorded = self.recorded_login().map(str::to_owned);
        let mapped = desire(self.policy, &self.job.order.identity, recorded.as_deref())?;
        let account = match self.record.account_id.clone() {
            Some(id) => self.revisit(&mapped, &id).await?,
            None => None,
        };
        let account = if let Some(account) = account {
            self.follow(&mapped, account).await?
        } else {
            let mapped = self.past_doubt(mapped).await?;
            self.find_or_make(mapped).await?
        };
        // From here on everything carries the login that the account has.
        let mapped = desire(self.policy, &self.job.order.identity, self.record.login.as_deref())?;
        self.bring_up(&mapped, &account, last).await
    }

    /// Whether what was sent then, and never answered, is still a claim to what is there.
    pub(super) fn is_recent(&self, at_ms: i64) -> bool {
        Doubt::is_recent(at_ms, self.now())
    }

    /// The login that wins over a fresh claim: that of an account we know, or of one we were making.
    fn recorded_login(&self) -> Option<&str> {
        let settled = self.record.origin.is_some() || matches!(Doubt::read(&self.record), Some(Doubt::Create { .. }));
        self.record.login.as_deref().filter(|_| settled)
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
        self.job.parts.meter.step_failed(&self.record.key.upstream, step, outcome.word());
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
