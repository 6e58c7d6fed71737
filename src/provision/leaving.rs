//! People who leave: the door is shut at once, the account at the app is switched off, and removed where the policy says so.
//!
//! Lives here: [`Desk::leaves`], for whoever finds out that a person may not come any more. What is due at the app then is done in `tending.rs`. Apart from `ensure.rs`
//! because nobody waits for it, and because it takes away: every step is behind a guard (`[provision.leavers] max`). What the gateway did not make or take over is left
//! alone. Whoever is let in again is switched on again by their next job (`ensure.rs`).

use super::ledger::{Doubt, Ledger};
use super::{Counter, Desk, seat};
use crate::clock::Timestamp;
use crate::connector::SwitchedOff;
use crate::fault::Incident;
use crate::policy::{Leavers, Policy};
use crate::state::{AccountKey, AccountRecord, AccountState, Awaiting, Census, Fence, Lease, Origin, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The guard counts who left within so long.
const WINDOW_MS: i64 = 3_600_000;
/// Under a lease of so long an account is switched off; longer than any call may take.
const LEASE_MS: i64 = 60_000;
/// When a job is at the record, it is said again after so long,
const SAID_AGAIN_MS: u64 = 5_000;
/// so often: longer than a lease that was left behind by a gateway that was killed.
const SAID_TIMES: u32 = 6;
/// Records read at a time.
pub(super) const PAGE: u32 = 500;

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
    /// When it was off, milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_ms: Option<i64>,
    /// In which way the app did it, as far as it has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<SwitchedOff>,
    /// Not tried before this moment, milliseconds since the epoch.
    pub next_ms: i64,
    /// A human has said yes to what is due next at the app, however many it is due for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_go: bool,
}

/// What came of switching an account off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Off {
    /// It is off, or gone: [`Left::how`].
    Done,
    /// The app cannot: the gateway's door is all that keeps them out.
    Unsupported,
    /// The app will not: its last administrator, for one.
    Refused,
    /// It was off before, and not by us: whoever switched it off may have had another reason.
    Before,
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
        left.may_go = true;
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
        let Some((fence, mut record, _seat)) = self.hold(key).await? else { return Ok(Departure::Later) };
        let left = if may_leave(&record) && !cause.is_outdated(&record) {
            self.mark(policy, leavers, cause, incident, fence, &mut record).await
        } else {
            Ok(Departure::Nothing)
        };
        let due = matches!(left, Ok(Departure::Left)) && self.is_due(&record);
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
        // One at a time: the guard counts.
        let _turn = self.leaving.lock().await;
        let now = self.parts.clock.now();
        let lately = self.left_lately(&record.key.upstream, now).await?;
        let allowed = leavers.guard(self.accounts_of(&record.key.upstream).await?);
        let is_staged = lately >= allowed;
        let mut ledger = Ledger::of(record);
        // Let in again, and gone again before that was done: the account may still be off, and by us.
        let was_off = ledger.left.as_ref().is_some_and(Left::may_be_off);
        let how = ledger.left.as_ref().filter(|_| was_off).and_then(|left| left.how);
        if let Cause::Access { as_of } = cause {
            // An older sign-in, still open in another browser, does not bring them back.
            ledger.as_of_ms = ledger.as_of_ms.max(as_of.millis());
        }
        // A create that nobody knows the end of is looked into at once: the longer it is ago, the less is what is there known to be theirs.
        let wait_ms = if is_being_made(record) { 0 } else { leavers.after_ms };
        ledger.left = Some(Left {
            at_ms: now.millis(),
            why: cause.word().to_owned(),
            off: None,
            off_ms: None,
            sent: was_off,
            how,
            next_ms: now.plus_ms(wait_ms).millis(),
            may_go: false,
        });
        record.applied = ledger.write();
        record.state = AccountState::Suspending;
        record.awaiting = is_staged.then_some(Awaiting::Leave);
        record.desired_fp = None;
        record.attempts = 0;
        self.parts.accounts.save(record, fence).await?;
        if let Some(passes) = self.passes.get() {
            // An older session of theirs, open in another browser, is not announced any longer.
            passes.forget(&record.key);
        }
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
    pub(super) async fn removed_lately(&self, app: &str) -> Result<u64, StoreError> {
        let since = self.parts.clock.now().plus_ms(-WINDOW_MS);
        let found = self.each_in(app, AccountState::Deprovisioned, Some(since), |_| true).await?.len();
        Ok(u64::try_from(found).unwrap_or(u64::MAX))
    }

    /// Keys of the records in `state` that wait for nobody's yes and that `fits` takes.
    pub(super) async fn each_in(
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

    pub(super) async fn accounts_of(&self, app: &str) -> Result<u64, StoreError> {
        let census = self.parts.accounts.census().await?;
        let here = |census: &&Census| {
            census.upstream == app && matches!(census.state, AccountState::Active | AccountState::Degraded | AccountState::LinkedUnmanaged)
        };
        Ok(census.iter().filter(here).map(|census| census.count).sum())
    }

    pub(super) fn counter_of(&self, policy: &Policy) -> Option<Arc<Counter>> {
        let counters = self.counters.load();
        counters.get(&seat(policy)).or_else(|| counters.get(&policy.name)).cloned()
    }

    /// The lease, if nobody is at the record.
    pub(super) async fn hold(&self, key: &AccountKey) -> Result<Option<(Fence, AccountRecord, Seat<'_>)>, StoreError> {
        let Some(seat) = Seat::take(&self.at_leavers, key) else { return Ok(None) };
        let now = self.parts.clock.now();
        // Not the name that jobs of this gateway lease under: theirs must not be taken from them. But the same after a restart: whoever was killed held it for the next.
        let owner = format!("{}/leaving", self.parts.owner);
        match self.parts.accounts.lease(key, &owner, now, now.plus_ms(LEASE_MS)).await? {
            Lease::Held(fence, Some(record)) => Ok(Some((fence, record, seat))),
            Lease::Held(fence, None) => {
                self.let_go(key, fence).await;
                Ok(None)
            }
            Lease::Busy(_) => Ok(None),
        }
    }

    pub(super) async fn let_go(&self, key: &AccountKey, fence: Fence) {
        if let Err(error) = self.parts.accounts.release(key, fence).await {
            // It runs out by itself.
            tracing::debug!(app = %key.upstream, %error, "the lease was not given back");
        }
    }
}

/// A place at a leaver's record, of which there is one in this process: the store gives a lease to whoever has its name, and all here have the same.
pub(super) struct Seat<'d> {
    taken: &'d Mutex<HashSet<AccountKey>>,
    key: AccountKey,
}

impl<'d> Seat<'d> {
    fn take(taken: &'d Mutex<HashSet<AccountKey>>, key: &AccountKey) -> Option<Self> {
        let is_free = taken.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        is_free.then(|| Self { taken, key: key.clone() })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// What becomes of leavers, where accounts are kept at all.
pub(super) fn leavers(policy: &Policy) -> Option<Leavers> {
    let provision = policy.provision.as_ref().filter(|provision| provision.switches.enabled)?;
    Some(provision.leavers).filter(Leavers::acts)
}

/// Whether there is an account that this gateway keeps, or may have made, and whose person has not left yet. One that an operator has named, and nobody has looked at
/// yet, may be an administrator's.
pub(super) fn may_leave(record: &AccountRecord) -> bool {
    let ours = matches!(record.origin, Some(Origin::Created | Origin::Adopted)) && record.login.is_some() && !Ledger::of(record).relinked;
    (ours && record.account_id.is_some() || is_being_made(record)) && !record.state.has_left()
}

/// Whether a create was sent for the person, and nobody knows how it ended.
pub(super) fn is_being_made(record: &AccountRecord) -> bool {
    record.account_id.is_none() && matches!(Doubt::read(record), Some(Doubt::Create { .. }))
}

pub(super) fn tell(policy: &Policy, record: &AccountRecord, incident: Option<Incident>, action: &'static str, reason: &str) {
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
