//! People who leave: the door is shut at once, the account at the app is switched off, and removed where the policy says so.
//!
//! Lives here: [`Desk::leaves`], for whoever finds out that a person may not come any more, and [`Desk::tend`], which does what is due. Apart from `ensure.rs` because
//! nobody waits for it, and because it takes away: every step is behind a guard (`[provision.leavers] max`). What the gateway did not make or take over is left alone.
//! Whoever is let in again is switched on again by their next job (`ensure.rs`).

use super::ledger::{Ledger, external_id};
use super::{Counter, Desk, seat};
use crate::clock::Timestamp;
use crate::connector::{Context, Observation, Outcome, SwitchedOff, Trouble};
use crate::fault::Incident;
use crate::plan::{Account, Applied};
use crate::policy::{Leavers, Policy};
use crate::state::{AccountKey, AccountRecord, AccountState, Awaiting, Census, Fence, Lease, Origin, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::sync::Arc;

/// The guard counts who left within so long.
const WINDOW_MS: i64 = 3_600_000;
/// Under a lease of so long an account is switched off; longer than any call may take.
const LEASE_MS: i64 = 60_000;
/// After a failure it is tried again after so long, doubled each time.
const AGAIN_MS: i64 = 60_000;
/// No longer than that.
const AGAIN_MS_MAX: i64 = 3_600_000;
/// When a job is at the record, it is said again after so long,
const SAID_AGAIN_MS: u64 = 5_000;
/// so often: longer than a lease that was left behind by a gateway that was killed.
const SAID_TIMES: u32 = 6;
/// Records read at a time.
const PAGE: u32 = 500;

/// When a person left, why, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// `access`, `idle`.
    pub why: String,
    /// What came of it at the app; `None`: nothing yet.
    #[serde(default)]
    pub off: Option<Off>,
    /// The app was told, and its answer is not known: the account may be off already, and by us.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sent: bool,
    /// Not tried before this moment, milliseconds since the epoch.
    pub next_ms: i64,
    /// A human has said that the account may be removed, however many are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_go: bool,
}

/// What came of switching an account off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Off {
    /// It is off, or gone.
    Done,
    /// The app cannot: the gateway's door is all that keeps them out.
    Unsupported,
    /// The app will not: its last administrator, for one.
    Refused,
}

/// Why somebody is taken to have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// `[access]` does not let them in any more, by a sign-in of this moment. One that is older than what the account was last brought in step with says nothing.
    Access {
        /// When it was asserted.
        as_of: Timestamp,
    },
    /// They have not come for longer than `idle`.
    Idle,
}

impl Left {
    /// Whether the account is off because of this, as far as is known: whoever comes back is switched on again.
    pub(super) fn may_be_off(&self) -> bool {
        self.off == Some(Off::Done) || (self.off.is_none() && self.sent)
    }
}

impl Cause {
    const fn word(self) -> &'static str {
        match self {
            Self::Access { .. } => "access",
            Self::Idle => "idle",
        }
    }

    /// Whether the record rests on a newer sign-in.
    fn is_outdated(self, record: &AccountRecord) -> bool {
        matches!(self, Self::Access { as_of } if Ledger::of(record).as_of_ms > as_of.millis())
    }
}

/// What became of a person who was said to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// There is nothing to do: no account, none of the gateway's, or left already.
    Nothing,
    /// The account is off, or will be when `after` is over.
    Left,
    /// Too many at once: a human is asked.
    Staged,
    /// A job is at the record, or the store is not there: to be said again.
    Later,
}

/// A human has said yes: the guard does not hold this one any more.
pub(super) fn release(record: &mut AccountRecord, now: Timestamp) {
    let mut ledger = Ledger::of(record);
    if let Some(left) = &mut ledger.left {
        left.next_ms = left.next_ms.min(now.millis());
        // What is off already waits for its removal.
        left.may_go |= record.state == AccountState::Suspended;
    }
    record.applied = ledger.write();
}

impl Desk {
    /// Somebody whom `[access]` refuses by what is known of them comes by: their account is switched off, if the policy says so. At most once in a few minutes for each
    /// person; returns at once, the work is done where jobs are.
    pub fn turned_away(self: &Arc<Self>, key: AccountKey, policy: &Arc<Policy>, as_of: Timestamp, incident: Incident) {
        if leavers(policy).is_none() {
            return;
        }
        // By this sign-in: whoever was let in again meanwhile, and is refused once more, has left once more.
        if !self.turned.is_news(&key, &policy.revision, &format!("left {}", as_of.millis()), self.parts.clock.now()) {
            return;
        }
        let (desk, policy) = (Arc::clone(self), Arc::clone(policy));
        drop(self.parts.runtime.spawn(async move {
            // They may never come by again: what cannot be done at this moment must not be left undone.
            for _ in 0..SAID_TIMES {
                if desk.leaves(&key, &policy, Cause::Access { as_of }, Some(incident)).await != Departure::Later {
                    return;
                }
                desk.parts.sleeper.sleep_ms(SAID_AGAIN_MS).await;
            }
            tracing::error!(app = %key.upstream, %incident, "somebody has left, and their record could not be had: `vestibule reconcile` does it");
        }));
    }

    /// A person has left. The record says so from now on, and when nobody has to be asked and `after` is over, the account is switched off.
    pub async fn leaves(&self, key: &AccountKey, policy: &Policy, cause: Cause, incident: Option<Incident>) -> Departure {
        let Some(leavers) = leavers(policy) else { return Departure::Nothing };
        // One at a time: the guard counts.
        let _turn = self.leaving.lock().await;
        match self.depart(key, policy, leavers, cause, incident).await {
            Ok(departure) => departure,
            Err(error) => {
                tracing::warn!(app = %key.upstream, %error, "somebody has left, and it was not recorded");
                Departure::Later
            }
        }
    }

    async fn depart(
        &self,
        key: &AccountKey,
        policy: &Policy,
        leavers: Leavers,
        cause: Cause,
        incident: Option<Incident>,
    ) -> Result<Departure, StoreError> {
        let known = self.parts.accounts.account(key).await?;
        if !known.as_ref().is_some_and(|record| may_leave(record) && !cause.is_outdated(record)) {
            return Ok(Departure::Nothing);
        }
        let Some((fence, mut record)) = self.hold(key).await? else { return Ok(Departure::Later) };
        let left = if may_leave(&record) && !cause.is_outdated(&record) {
            self.mark(policy, leavers, cause, incident, fence, &mut record).await
        } else {
            Ok(Departure::Nothing)
        };
        let due = matches!(left, Ok(Departure::Left)) && leavers.after_ms == 0;
        let done = if due { self.switch_off(policy, &mut record, fence).await } else { Ok(()) };
        self.let_go(key, fence).await;
        done?;
        left
    }

    /// Writes down that the person has left, and whether a human has to be asked.
    async fn mark(
        &self,
        policy: &Policy,
        leavers: Leavers,
        cause: Cause,
        incident: Option<Incident>,
        fence: Fence,
        record: &mut AccountRecord,
    ) -> Result<Departure, StoreError> {
        let now = self.parts.clock.now();
        let lately = self.left_lately(&record.key.upstream, now).await?;
        let allowed = leavers.guard(self.accounts_of(&record.key.upstream).await?);
        let is_staged = lately >= allowed;
        let mut ledger = Ledger::of(record);
        if let Cause::Access { as_of } = cause {
            // An older sign-in, still open in another browser, does not bring them back.
            ledger.as_of_ms = ledger.as_of_ms.max(as_of.millis());
        }
        ledger.left = Some(Left {
            at_ms: now.millis(),
            why: cause.word().to_owned(),
            off: None,
            sent: false,
            next_ms: now.plus_ms(leavers.after_ms).millis(),
            may_go: false,
        });
        record.applied = ledger.write();
        record.state = AccountState::Suspending;
        record.awaiting = is_staged.then_some(Awaiting::Leave);
        record.desired_fp = None;
        record.attempts = 0;
        self.parts.accounts.save(record, fence).await?;
        tell(policy, record, incident, "access.revoked", cause.word());
        if is_staged {
            let why = format!("{lately} have left within the hour, and {allowed} may without a human");
            tracing::warn!(app = %record.key.upstream, lately, allowed, "more people leave at once than [provision.leavers] max allows: nothing is done at the app before a human has said yes");
            tell(policy, record, incident, "guard.tripped", &why);
        }
        Ok(if is_staged { Departure::Staged } else { Departure::Left })
    }

    /// How many have left within the hour, whatever came of it.
    async fn left_lately(&self, app: &str, now: Timestamp) -> Result<u64, StoreError> {
        let mut found = 0;
        for state in [AccountState::Suspending, AccountState::Suspended, AccountState::Deprovisioned] {
            let is_recent =
                |record: &AccountRecord| Ledger::of(record).left.is_some_and(|left| (0..WINDOW_MS).contains(&(now.millis() - left.at_ms)));
            // Whoever left within the hour was leased then. Staged ones wait: they have not been counted against anybody yet.
            found += self.each_in(app, state, Some(now.plus_ms(-WINDOW_MS)), is_recent).await?.len();
        }
        Ok(u64::try_from(found).unwrap_or(u64::MAX))
    }

    /// How many accounts were removed within the hour.
    async fn removed_lately(&self, app: &str) -> Result<u64, StoreError> {
        let since = self.parts.clock.now().plus_ms(-WINDOW_MS);
        let found = self.each_in(app, AccountState::Deprovisioned, Some(since), |_| true).await?.len();
        Ok(u64::try_from(found).unwrap_or(u64::MAX))
    }

    /// Keys of the records in `state` that wait for nobody's yes and that `fits` takes.
    async fn each_in(
        &self,
        app: &str,
        state: AccountState,
        since: Option<Timestamp>,
        fits: impl Fn(&AccountRecord) -> bool + Send,
    ) -> Result<Vec<AccountKey>, StoreError> {
        let mut found: Vec<AccountKey> = Vec::new();
        let mut after: Option<AccountKey> = None;
        loop {
            let page = self.parts.accounts.accounts_in(app, state, since, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.key.clone());
            found.extend(page.iter().filter(|record| fits(record)).map(|record| record.key.clone()));
        }
    }

    async fn accounts_of(&self, app: &str) -> Result<u64, StoreError> {
        let census = self.parts.accounts.census().await?;
        let here = |census: &&Census| {
            census.upstream == app && matches!(census.state, AccountState::Active | AccountState::Degraded | AccountState::LinkedUnmanaged)
        };
        Ok(census.iter().filter(here).map(|census| census.count).sum())
    }

    /// What is due at the apps of `policies`: accounts to be switched off, people who do not come any more (when `is_long_look`: all records are read), accounts to be
    /// removed. One after the other, beside whatever people wait for.
    pub async fn tend(&self, policies: &[Arc<Policy>], is_long_look: bool) {
        if let Err(error) = self.uses.write(self.parts.accounts.as_ref()).await {
            // Whoever was here must be known to have been before anybody is judged by it.
            return tracing::warn!(%error, "that people came by token is not written down at this moment, and nobody is judged by it");
        }
        for policy in policies {
            let Some(leavers) = leavers(policy) else { continue };
            if let Err(error) = self.tend_one(policy, leavers, is_long_look).await {
                tracing::warn!(app = %policy.name, %error, "people who have left are not looked after at this moment");
            }
        }
    }

    async fn tend_one(&self, policy: &Policy, leavers: Leavers, is_long_look: bool) -> Result<(), StoreError> {
        for key in self.each_in(&policy.name, AccountState::Suspending, None, |record| self.is_due(record)).await? {
            self.do_under_lease(policy, &key, Task::SwitchOff).await?;
        }
        if !is_long_look || (leavers.idle_ms.is_none() && leavers.delete_after_ms.is_none()) {
            return Ok(());
        }
        let mut removals = match leavers.delete_after_ms {
            Some(_) => Removals { made: self.removed_lately(&policy.name).await?, most: leavers.guard(self.accounts_of(&policy.name).await?) },
            // Nobody's is ever to be removed: nothing needs counting.
            None => Removals { made: 0, most: 0 },
        };
        let mut after: Option<AccountKey> = None;
        loop {
            let page = self.parts.accounts.accounts_after(Some(&policy.name), after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for record in &page {
                if self.is_idle(record, leavers) && !self.comes_by_token(policy, record, leavers).await? {
                    let _departure = self.leaves(&record.key, policy, Cause::Idle, None).await;
                } else if self.is_to_go(record, leavers) {
                    let task = if may_go(record) || removals.has_room() { Task::Delete } else { Task::StageRemoval };
                    self.do_under_lease(policy, &record.key, task).await?;
                }
            }
        }
    }

    fn is_due(&self, record: &AccountRecord) -> bool {
        let now = self.parts.clock.now().millis();
        record.awaiting.is_none() && Ledger::of(record).left.is_some_and(|left| left.off.is_none() && left.next_ms <= now)
    }

    /// A record is looked at whenever its person comes after an hour or so: what was not looked at for longer than `idle`, nobody came for.
    fn is_idle(&self, record: &AccountRecord, leavers: Leavers) -> bool {
        let now = self.parts.clock.now();
        let is_long_ago = |at: Timestamp| leavers.idle_ms.is_some_and(|idle_ms| now.since_ms(at) > idle_ms);
        may_leave(record) && record.verified_at.is_some_and(is_long_ago)
    }

    /// Whether somebody who is not seen in a browser comes by token, or may have come before that was written down.
    async fn comes_by_token(&self, policy: &Policy, record: &AccountRecord, leavers: Leavers) -> Result<bool, StoreError> {
        let (Some(_), Some(idle_ms)) = (&policy.bearer, leavers.idle_ms) else { return Ok(false) };
        let now = self.parts.clock.now();
        let since = self.parts.accounts.uses_since(&policy.name, now).await?;
        let last = self.parts.accounts.last_use(&record.key).await?.map_or(since, |used| used.max(since));
        Ok(now.since_ms(last) <= idle_ms)
    }

    fn is_to_go(&self, record: &AccountRecord, leavers: Leavers) -> bool {
        let now = self.parts.clock.now().millis();
        let is_over = |left: Left| left.off == Some(Off::Done) && leavers.delete_after_ms.is_some_and(|ms| now >= left.at_ms.saturating_add(ms));
        let ours = record.state == AccountState::Suspended && record.origin == Some(Origin::Created) && record.account_id.is_some();
        let ours = ours && record.awaiting.is_none();
        ours && Ledger::of(record).left.is_some_and(is_over)
    }

    async fn do_under_lease(&self, policy: &Policy, key: &AccountKey, task: Task) -> Result<(), StoreError> {
        let Some((fence, mut record)) = self.hold(key).await? else { return Ok(()) };
        let leavers = policy.provision.as_ref().map(|provision| provision.leavers).unwrap_or_default();
        // As it is now: the person may have been let in again meanwhile.
        let done = match task {
            Task::SwitchOff if record.state == AccountState::Suspending && self.is_due(&record) => self.switch_off(policy, &mut record, fence).await,
            Task::Delete if self.is_to_go(&record, leavers) => self.delete(policy, &mut record, fence).await,
            Task::StageRemoval if self.is_to_go(&record, leavers) => self.stage_removal(policy, &mut record, fence).await,
            Task::SwitchOff | Task::Delete | Task::StageRemoval => Ok(()),
        };
        self.let_go(key, fence).await;
        done
    }

    /// Switches the account off, and ends its sessions at the app. Harmless to do twice, so an answer that is lost is no doubt.
    async fn switch_off(&self, policy: &Policy, record: &mut AccountRecord, fence: Fence) -> Result<(), StoreError> {
        let Some(counter) = self.counter_of(policy) else { return Ok(()) };
        let now = self.parts.clock.now();
        if counter.closed(now) {
            return Ok(());
        }
        let Ok(_permit) = counter.background.acquire().await else { return Ok(()) };
        let mut ledger = Ledger::of(record);
        let Some(left) = &mut ledger.left else { return Ok(()) };
        // Recorded before it is sent: killed now, the next one knows by whom the account was switched off.
        let was_sent = std::mem::replace(&mut left.sent, true);
        record.applied = ledger.write();
        self.parts.accounts.save(record, fence).await?;
        let Some(left) = &mut ledger.left else { return Ok(()) };
        let (scope, mark) = (Map::new(), external_id(&record.key));
        let context = of_record(record, &scope, &mark, ledger.email.as_deref());
        let result = counter.quiet.disable(context, false).await;
        // A call that did not come through says nothing of one before it.
        let in_doubt = |trouble: &Trouble| matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt) && !trouble.is_unsent();
        let in_vain = |trouble: &Trouble| matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt | Outcome::Reauth);
        left.sent = result.as_ref().is_err_and(|trouble| in_doubt(trouble) || was_sent && in_vain(trouble));
        let sessions = counter.quiet.revoke_sessions(context).await;
        if let Err(trouble) = sessions
            && !matches!(trouble.outcome, Outcome::Unsupported | Outcome::Gone)
        {
            tracing::warn!(app = %record.key.upstream, error = %trouble, "the app's own sessions of somebody who has left may go on");
        }
        let (off, action, why) = match result {
            Ok(SwitchedOff::Gone) => (Some(Off::Done), "account.disabled", "it is gone".to_owned()),
            Ok(SwitchedOff::NotAtTheApp) => (Some(Off::Unsupported), "account.failed", "this app cannot switch an account off".to_owned()),
            Ok(SwitchedOff::Flag | SwitchedOff::Group | SwitchedOff::MembersRemoved | SwitchedOff::Deleted) => {
                (Some(Off::Done), "account.disabled", left.why.clone())
            }
            Err(trouble) => match trouble.outcome {
                Outcome::Gone => (Some(Off::Done), "account.disabled", "it is gone".to_owned()),
                Outcome::Unsupported => (Some(Off::Unsupported), "account.failed", trouble.to_string()),
                Outcome::Retry | Outcome::InDoubt | Outcome::Reauth => {
                    if trouble.outcome == Outcome::Reauth {
                        counter.close_until(now.plus_ms(self.parts.times.quarantine_ms));
                    }
                    (None, "account.failed", trouble.to_string())
                }
                Outcome::Found
                | Outcome::Absent
                | Outcome::Ambiguous
                | Outcome::Created
                | Outcome::Exists
                | Outcome::Updated
                | Outcome::Unchanged
                | Outcome::Done
                | Outcome::Conflict
                | Outcome::Denied
                | Outcome::Invalid => (Some(Off::Refused), "account.failed", trouble.to_string()),
            },
        };
        left.off = off;
        if off.is_some() {
            record.state = AccountState::Suspended;
            record.attempts = 0;
        } else {
            let wait_ms = AGAIN_MS.saturating_mul(1_i64.checked_shl(record.attempts.min(16)).unwrap_or(i64::MAX)).min(AGAIN_MS_MAX);
            left.next_ms = now.plus_ms(wait_ms).millis();
            record.attempts = record.attempts.saturating_add(1);
        }
        record.last_error = (action == "account.failed").then(|| why.clone());
        record.applied = ledger.write();
        self.parts.accounts.save(record, fence).await?;
        tell(policy, record, None, action, &why);
        Ok(())
    }

    /// Has the removal of an account wait for a human.
    async fn stage_removal(&self, policy: &Policy, record: &mut AccountRecord, fence: Fence) -> Result<(), StoreError> {
        record.awaiting = Some(Awaiting::Leave);
        self.parts.accounts.save(record, fence).await?;
        tracing::warn!(app = %record.key.upstream, "more accounts are to be removed at once than [provision.leavers] max allows: none further is before a human has said yes");
        tell(policy, record, None, "guard.tripped", "to be removed: as many as may be without a human were within the hour");
        Ok(())
    }

    /// Removes an account that this gateway made. Its login stays reserved for the person.
    async fn delete(&self, policy: &Policy, record: &mut AccountRecord, fence: Fence) -> Result<(), StoreError> {
        let Some(counter) = self.counter_of(policy).filter(|counter| !counter.closed(self.parts.clock.now())) else { return Ok(()) };
        let Ok(_permit) = counter.background.acquire().await else { return Ok(()) };
        let mut ledger = Ledger::of(record);
        let (scope, mark) = (Map::new(), external_id(&record.key));
        let context = of_record(record, &scope, &mark, ledger.email.as_deref());
        let seen = counter.quiet.get(context).await;
        if let Ok(Observation::Found(account, _)) = &seen
            && !is_still_off(account, record, &mark)
        {
            // Whoever switched it on at the app had a reason: it is theirs now.
            ledger.left = ledger.left.map(|left| Left { off: Some(Off::Refused), ..left });
            record.last_error = Some("not removed: it is not switched off at the app any more, or not the account that it was".to_owned());
            record.applied = ledger.write();
            self.parts.accounts.save(record, fence).await?;
            tell(policy, record, None, "drift.detected", "switched on at the app after its person had left");
            return Ok(());
        }
        let result = match seen {
            Ok(Observation::Found(..)) => counter.quiet.delete(context).await,
            Ok(Observation::Absent) => Ok(Outcome::Gone),
            Ok(Observation::Ambiguous) => Err(Trouble::unsupported("get", "several accounts answer to the recorded id")),
            Err(trouble) => Err(trouble),
        };
        match result {
            Err(trouble) if trouble.outcome != Outcome::Gone => {
                let why = trouble.to_string();
                let is_news = record.last_error.as_deref() != Some(&why);
                record.last_error = Some(why.clone());
                self.parts.accounts.save(record, fence).await?;
                if is_news {
                    tell(policy, record, None, "account.failed", &why);
                }
            }
            Ok(_) | Err(_) => {
                let before = record.clone();
                record.state = AccountState::Deprovisioned;
                (record.account_id, record.verified_at, record.last_error) = (None, None, None);
                ledger.applied = Applied::default();
                record.applied = ledger.write();
                self.parts.accounts.save(record, fence).await?;
                tell(policy, &before, None, "account.deleted", "delete_after is over");
            }
        }
        Ok(())
    }

    pub(super) fn counter_of(&self, policy: &Policy) -> Option<Arc<Counter>> {
        let counters = self.counters.load();
        counters.get(&seat(policy)).or_else(|| counters.get(&policy.name)).cloned()
    }

    /// The lease, if nobody is at the record.
    async fn hold(&self, key: &AccountKey) -> Result<Option<(Fence, AccountRecord)>, StoreError> {
        let now = self.parts.clock.now();
        // Not the name that jobs of this gateway lease under: theirs must not be taken from them.
        let owner = format!("{}/leaving", self.parts.owner);
        match self.parts.accounts.lease(key, &owner, now, now.plus_ms(LEASE_MS)).await? {
            Lease::Held(fence, Some(record)) => Ok(Some((fence, record))),
            Lease::Held(fence, None) => {
                self.let_go(key, fence).await;
                Ok(None)
            }
            Lease::Busy(_) => Ok(None),
        }
    }

    async fn let_go(&self, key: &AccountKey, fence: Fence) {
        if let Err(error) = self.parts.accounts.release(key, fence).await {
            // It runs out by itself.
            tracing::debug!(app = %key.upstream, %error, "the lease was not given back");
        }
    }
}

/// What is done when it is due.
#[derive(Debug, Clone, Copy)]
enum Task {
    SwitchOff,
    Delete,
    /// Too many are removed at once: it waits for a human.
    StageRemoval,
}

/// How many accounts are removed within the hour without a human.
struct Removals {
    made: u64,
    most: u64,
}

impl Removals {
    /// Whether one more may be.
    fn has_room(&mut self) -> bool {
        let has_room = self.made < self.most;
        self.made += u64::from(has_room);
        has_room
    }
}

/// Whether a human has said that it may be removed.
fn may_go(record: &AccountRecord) -> bool {
    Ledger::of(record).left.is_some_and(|left| left.may_go)
}

/// What becomes of leavers, where accounts are kept at all.
fn leavers(policy: &Policy) -> Option<Leavers> {
    let provision = policy.provision.as_ref().filter(|provision| provision.switches.enabled)?;
    Some(provision.leavers).filter(|leavers| leavers.disable)
}

/// Whether there is an account that this gateway keeps, and whose person has not left yet. One that an operator has named, and nobody has looked at yet, may be an
/// administrator's.
fn may_leave(record: &AccountRecord) -> bool {
    let ours = matches!(record.origin, Some(Origin::Created | Origin::Adopted)) && record.login.is_some() && !Ledger::of(record).relinked;
    ours && record.account_id.is_some() && !record.state.has_left() && record.state != AccountState::Conflict
}

/// Whether an account that is to be removed is the one that was switched off, and is off.
fn is_still_off(account: &Account, record: &AccountRecord, mark: &str) -> bool {
    let same = Some(&account.id) == record.account_id.as_ref() && account.external_id.as_deref().is_none_or(|carried| carried == mark);
    same && account.disabled && !account.admin
}

/// What a connector is told of somebody who is not here.
fn of_record<'c>(record: &'c AccountRecord, scope: &'c Map<String, serde_json::Value>, mark: &'c str, email: Option<&'c str>) -> Context<'c> {
    Context { scope, external_id: mark, login: record.login.as_deref().unwrap_or_default(), email, account_id: record.account_id.as_deref() }
}

fn tell(policy: &Policy, record: &AccountRecord, incident: Option<Incident>, action: &'static str, reason: &str) {
    let subject = &record.key.subject;
    tracing::info!(
        target: "audit",
        action,
        attempt = "leave",
        incident = incident.map(tracing::field::display),
        app = %record.key.upstream,
        user.iss = %subject.issuer,
        user.sub = %subject.subject,
        account.login = record.login.as_deref(),
        account.id = record.account_id.as_deref(),
        policy.file = %policy.file,
        policy.revision = %policy.revision,
        reason,
    );
}
