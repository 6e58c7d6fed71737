//! What is due of those who have left: accounts to be switched off, and to be removed later; and people who do not come any more.
//!
//! Lives here: [`Desk::tend`]. Apart from `leaving.rs`, which only records that somebody has left, because nobody waits for this and because it alone takes away at the app;
//! `removing.rs` is the part of it that cannot be taken back.

use super::joining::protected;
use super::leaving::{Cause, Left, Off, PAGE, is_being_made, leavers, may_leave, tell};
use super::ledger::{Doubt, Ledger, external_id};
use super::linking::{Claim, MARK, Making, Verdict, judge};
use super::removing::{Removals, may_go};
use super::{Counter, Desk};
use crate::clock::Timestamp;
use crate::connector::{Context, Observation, Outcome, SwitchedOff, Trouble};
use crate::policy::{Leavers, MatchBy, OnExisting, Policy};
use crate::state::{AccountKey, AccountRecord, AccountState, Awaiting, Fence, Origin, StoreError};
use serde_json::Map;
use std::sync::Arc;

/// After a failure it is tried again after so long, doubled each time.
const AGAIN_MS: i64 = 60_000;
/// No longer than that.
const AGAIN_MS_MAX: i64 = 3_600_000;

impl Desk {
    /// What is due at the apps of `policies`: accounts to be switched off, people who do not come any more (when `is_long_look`: all records are read), accounts to be
    /// removed. One after the other, beside whatever people wait for.
    pub async fn tend(&self, policies: &[Arc<Policy>], is_long_look: bool) {
        if let Err(error) = self.uses.write(self.parts.accounts.as_ref()).await {
            // Whoever was here must be known to have been before anybody is judged by it.
            return tracing::warn!(%error, "that people came is not written down at this moment, and nobody is judged by it");
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
        if leavers.idle_ms.is_some() {
            // Whoever comes from now on is written down.
            let _since = self.parts.accounts.uses_since(&policy.name, self.parts.clock.now()).await?;
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
                if self.is_idle(policy, record, leavers).await? {
                    let _departure = self.leaves(&record.key, policy, Cause::Idle, None).await;
                } else if self.is_to_go(record, leavers) {
                    let task = if may_go(record) || removals.has_room() { Task::Delete } else { Task::StageRemoval };
                    self.do_under_lease(policy, &record.key, task).await?;
                }
            }
        }
    }

    pub(super) fn is_due(&self, record: &AccountRecord) -> bool {
        let now = self.parts.clock.now().millis();
        record.awaiting.is_none() && Ledger::of(record).left.is_some_and(|left| left.off.is_none() && left.next_ms <= now)
    }

    /// Whether nobody has come for longer than `idle`, be it in a browser or by token, which is written down apart from the record ([`super::uses`]): a look of
    /// `reconcile` at the account is no visit. Who comes by token may have come before that was written down; in a browser, every visit before that looked at the account
    /// sooner or later.
    async fn is_idle(&self, policy: &Policy, record: &AccountRecord, leavers: Leavers) -> Result<bool, StoreError> {
        let Some(idle_ms) = leavers.idle_ms.filter(|_| may_leave(record)) else { return Ok(false) };
        let now = self.parts.clock.now();
        let is_long_ago = |at: Timestamp| now.since_ms(at) > idle_ms;
        if !is_long_ago(Timestamp::from_millis(Ledger::of(record).as_of_ms)) {
            return Ok(false);
        }
        let since = self.parts.accounts.uses_since(&policy.name, now).await?;
        let begun = match Doubt::read(record) {
            Some(Doubt::Create { at_ms, .. }) => Some(Timestamp::from_millis(at_ms)),
            _ => None,
        };
        let last = match (self.parts.accounts.last_use(&record.key).await?, &policy.bearer) {
            (Some(used), None) => used,
            (Some(used), Some(_)) => used.max(since),
            (None, None) => record.verified_at.or(begun).map_or(since, |looked| looked.min(since)),
            (None, Some(_)) => since,
        };
        Ok(is_long_ago(last))
    }

    fn is_to_go(&self, record: &AccountRecord, leavers: Leavers) -> bool {
        let now = self.parts.clock.now().millis();
        let is_over = |left: Left| {
            let since = left.off_ms.unwrap_or(left.at_ms);
            left.off == Some(Off::Done) && leavers.delete_after_ms.is_some_and(|ms| now >= since.saturating_add(ms))
        };
        let ours = record.state == AccountState::Suspended && record.origin == Some(Origin::Created) && record.account_id.is_some();
        let ours = ours && record.awaiting.is_none();
        ours && Ledger::of(record).left.is_some_and(is_over)
    }

    async fn do_under_lease(&self, policy: &Policy, key: &AccountKey, task: Task) -> Result<(), StoreError> {
        let Some((fence, mut record, _seat)) = self.hold(key).await? else { return Ok(()) };
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
    pub(super) async fn switch_off(&self, policy: &Policy, record: &mut AccountRecord, fence: Fence) -> Result<(), StoreError> {
        let Some(counter) = self.counter_of(policy) else { return Ok(()) };
        if counter.closed() {
            return Ok(());
        }
        let Ok(_permit) = counter.background.acquire().await else { return Ok(()) };
        if is_being_made(record) && !self.settle(policy, &counter, record, fence).await? {
            return Ok(());
        }
        if leavers(policy).is_some_and(|leavers| leavers.delete) {
            return self.remove(policy, &counter, record, fence).await;
        }
        let mut ledger = Ledger::of(record);
        let (scope, mark) = (Map::new(), external_id(&record.key));
        let before = counter.quiet.get(of_record(record, &scope, &mark, ledger.email.as_deref())).await;
        let was_off = match looked(policy, record, &ledger, &mark, before) {
            Look::Settled(off, said) => return self.note(policy, record, fence, ledger, off, said).await,
            Look::Renamed => {
                record.awaiting = Some(Awaiting::Leave);
                self.parts.accounts.save(record, fence).await?;
                tracing::warn!(app = %record.key.upstream, "the account of somebody who has left has another login by now: it is not switched off before a human has said that it is theirs");
                tell(policy, record, None, "guard.tripped", "the account's login was changed at the app: a human says whether it is theirs");
                return Ok(());
            }
            Look::On => false,
            Look::OffBefore => true,
        };
        let Some(left) = &mut ledger.left else { return Ok(()) };
        // Recorded before it is sent: killed now, the next one knows by whom the account was switched off.
        let was_sent = std::mem::replace(&mut left.sent, !was_off);
        record.applied = ledger.write();
        self.parts.accounts.save(record, fence).await?;
        let Some(left) = &mut ledger.left else { return Ok(()) };
        let context = of_record(record, &scope, &mark, ledger.email.as_deref());
        let result = counter.quiet.disable(context, false).await;
        // A call that did not come through says nothing of one before it.
        let in_doubt = |trouble: &Trouble| matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt) && !trouble.is_unsent();
        let in_vain = |trouble: &Trouble| matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt | Outcome::Reauth);
        left.sent = !was_off && result.as_ref().is_err_and(|trouble| in_doubt(trouble) || was_sent && in_vain(trouble));
        let sessions = counter.quiet.revoke_sessions(context).await;
        if let Err(trouble) = sessions
            && !matches!(trouble.outcome, Outcome::Unsupported | Outcome::Gone)
        {
            tracing::warn!(app = %record.key.upstream, error = %trouble, "the app's own sessions of somebody who has left may go on");
        }
        let (off, said) = match result {
            Ok(SwitchedOff::NotAtTheApp) => (Some(Off::Unsupported), Err("this app cannot switch an account off".to_owned())),
            Ok(SwitchedOff::Gone) => (Some(Off::Done), Ok("it is gone".to_owned())),
            Ok(how @ (SwitchedOff::Flag | SwitchedOff::Group | SwitchedOff::MembersRemoved | SwitchedOff::Deleted)) => {
                left.how = Some(how);
                let why = left.why.clone();
                if let Some(provision) = &policy.provision {
                    ledger.forget_taken(&provision.connector, how);
                }
                if was_off { (Some(Off::Before), Ok("it was off before, and not by this gateway".to_owned())) } else { (Some(Off::Done), Ok(why)) }
            }
            Err(trouble) => match come_to(&trouble) {
                Some(Off::Done) => (Some(Off::Done), Ok("it is gone".to_owned())),
                off => (off, Err(trouble.to_string())),
            },
        };
        self.note(policy, record, fence, ledger, off, said).await
    }

    /// Records what came of it (`None`: it is tried again, later each time), and tells why they left, or the trouble.
    pub(super) async fn note(
        &self,
        policy: &Policy,
        record: &mut AccountRecord,
        fence: Fence,
        mut ledger: Ledger,
        off: Option<Off>,
        said: Result<String, String>,
    ) -> Result<(), StoreError> {
        let Some(left) = &mut ledger.left else { return Ok(()) };
        left.off = off;
        if off.is_some() {
            left.off_ms = Some(self.parts.clock.now().millis());
            // A yes was one to this, and to nothing that is due later.
            left.may_go = false;
            record.state = AccountState::Suspended;
            record.attempts = 0;
        } else {
            let wait_ms = AGAIN_MS.saturating_mul(1_i64.checked_shl(record.attempts.min(16)).unwrap_or(i64::MAX)).min(AGAIN_MS_MAX);
            left.next_ms = self.parts.clock.now().plus_ms(wait_ms).millis();
            record.attempts = record.attempts.saturating_add(1);
        }
        record.applied = ledger.write();
        record.last_error = said.as_ref().err().cloned();
        self.parts.accounts.save(record, fence).await?;
        match said {
            Ok(why) => tell(policy, record, None, "account.disabled", &why),
            Err(trouble) => tell(policy, record, None, "account.failed", &trouble),
        }
        Ok(())
    }

    /// Looks for what a create has made that was sent for them and never answered. Whether there is an account that is theirs beyond doubt, and to be switched off now;
    /// whatever else came of it is recorded. Nobody's account is switched off because it has a login that somebody was to get.
    async fn settle(&self, policy: &Policy, counter: &Counter, record: &mut AccountRecord, fence: Fence) -> Result<bool, StoreError> {
        let (Some(provision), Some(Doubt::Create { login, at_ms })) = (&policy.provision, Doubt::read(record)) else { return Ok(false) };
        let is_recent = Doubt::is_recent(at_ms, self.parts.clock.now());
        let mut ledger = Ledger::of(record);
        let (scope, mark, ways) = (Map::new(), external_id(&record.key), counter.quiet.ways());
        let context = Context { scope: &scope, external_id: &mark, login: &login, email: ledger.email.as_deref(), account_id: None };
        let seen = counter.quiet.find(context, &ways).await;
        let (account, by) = match seen {
            Ok(Observation::Found(account, by)) => (account, by),
            // It may show yet.
            Ok(Observation::Absent) if is_recent => {
                let why = "a create was sent for them and never answered, and there is no account so far".to_owned();
                return self.note(policy, record, fence, ledger, None, Err(why)).await.map(|()| false);
            }
            Ok(Observation::Absent) => {
                tell(policy, record, None, "account.disabled", "a create was sent for them and never answered: no account came of it");
                return self.parts.accounts.forget(&record.key, fence).await.map(|()| false);
            }
            Ok(Observation::Ambiguous) => {
                let why = "a create was sent for them and never answered, and more than one account fits".to_owned();
                return self.note(policy, record, fence, ledger, Some(Off::Refused), Err(why)).await.map(|()| false);
            }
            Err(trouble) => {
                let off = come_to(&trouble);
                return self.note(policy, record, fence, ledger, off, Err(trouble.to_string())).await.map(|()| false);
            }
        };
        let claim = Claim {
            external_id: &mark,
            login: &login,
            email: ledger.email.as_deref(),
            email_verified: false,
            match_by: &[],
            on_existing: OnExisting::Refuse,
            facts: &provision.connector.identity,
            making: if is_recent { Making::Doubtful } else { Making::No },
            protected: protected(&provision.switches, &scope, &account).is_some(),
            marks: ways.contains(&MatchBy::ExternalId),
        };
        if judge(&account, by, &claim) == Verdict::Ours {
            let before = (record.clone(), ledger.clone());
            ledger.claim_joined(&provision.connector, &account);
            record.login = Some(if account.login.is_empty() { login } else { account.login.clone() });
            (record.account_id, record.origin, record.in_doubt) = (Some(account.id), Some(Origin::Created), None);
            if let Some(left) = &mut ledger.left {
                left.next_ms = left.at_ms.saturating_add(provision.leavers.after_ms);
            }
            record.applied = ledger.write();
            match self.parts.accounts.save(record, fence).await {
                Ok(()) => {
                    tell(policy, record, None, "create.reconciled", "an interrupted create had come through before they left");
                    return Ok(self.is_due(record));
                }
                Err(StoreError::OwnedByAnother) => (*record, ledger) = before,
                Err(error) => return Err(error),
            }
        }
        let why = "a create was sent for them and never answered, and the account that is there now is not known to be theirs".to_owned();
        self.note(policy, record, fence, ledger, Some(Off::Refused), Err(why)).await.map(|()| false)
    }
}

/// What a look at an account says before it is switched off.
enum Look {
    /// There is nothing to switch off: what comes of it, and what is said.
    Settled(Option<Off>, Result<String, String>),
    /// It is on, or off by us; or it cannot be looked at, which keeps nobody in.
    On,
    /// Its login was changed at the app: it may be somebody else's by now, or they have renamed themselves.
    Renamed,
    /// It is off already, and not by us. It is switched off all the same, as whatever else has it off (a lock for an hour) may be over soon; but whoever comes back finds
    /// it as it was.
    OffBefore,
}

fn looked(policy: &Policy, record: &AccountRecord, ledger: &Ledger, mark: &str, seen: Result<Observation, Trouble>) -> Look {
    let account = match seen {
        Ok(Observation::Found(account, _)) => account,
        Ok(Observation::Absent) => return Look::Settled(Some(Off::Done), Ok("it is gone".to_owned())),
        Ok(Observation::Ambiguous) => return Look::Settled(Some(Off::Refused), Err("several accounts answer to the recorded id".to_owned())),
        Err(trouble) if trouble.outcome == Outcome::Gone => return Look::Settled(Some(Off::Done), Ok("it is gone".to_owned())),
        Err(_) => return Look::On,
    };
    let is_anothers = account.external_id.as_deref().is_some_and(|carried| carried.starts_with(MARK) && carried != mark);
    if is_anothers || record.account_id.as_ref() != Some(&account.id) {
        return Look::Settled(Some(Off::Refused), Err("the account is another person's by now, or not the one that was asked for".to_owned()));
    }
    let Some(provision) = &policy.provision else { return Look::On };
    if record.origin != Some(Origin::Created)
        && let Some(why) = protected(&provision.switches, &Map::new(), &account)
    {
        return Look::Settled(Some(Off::Refused), Err(why));
    }
    let said_yes = ledger.left.as_ref().is_some_and(|left| left.may_go);
    let is_it = |recorded: &String| provision.connector.identity.fold.same(recorded, &account.login);
    if !account.login.is_empty() && !said_yes && !record.login.as_ref().is_some_and(is_it) {
        return Look::Renamed;
    }
    let by_us = ledger.left.as_ref().is_some_and(Left::may_be_off);
    if account.disabled && !by_us { Look::OffBefore } else { Look::On }
}

/// What trouble with a leaver's account comes to; `None`: it is tried again.
pub(super) const fn come_to(trouble: &Trouble) -> Option<Off> {
    match trouble.outcome {
        Outcome::Gone => Some(Off::Done),
        Outcome::Unsupported => Some(Off::Unsupported),
        // A refusal is about the credential, or about this one call; neither lets anybody stay.
        Outcome::Retry | Outcome::InDoubt | Outcome::Reauth => None,
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
        | Outcome::Invalid => Some(Off::Refused),
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

/// What a connector is told of somebody who is not here.
pub(super) fn of_record<'c>(
    record: &'c AccountRecord,
    scope: &'c Map<String, serde_json::Value>,
    mark: &'c str,
    email: Option<&'c str>,
) -> Context<'c> {
    Context { scope, external_id: mark, login: record.login.as_deref().unwrap_or_default(), email, account_id: record.account_id.as_deref() }
}
