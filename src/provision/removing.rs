//! Removing the account of somebody who has left: when `delete_after` is over, or at once at an app that cannot switch anybody off (`account = "delete"`).
//!
//! Apart from `tending.rs`, which says when it is due, because nothing here can be taken back. Only what this gateway made is removed, after a fresh look at it, and never an
//! administrator's account; more at once than `[provision.leavers] max` allows wait for a human.

use super::joining::protected;
use super::leaving::{Left, Off, leavers, tell};
use super::ledger::{Ledger, external_id};
use super::tending::{come_to, of_record};
use super::{Counter, Desk};
use crate::connector::model::{DisableBy, Model};
use crate::connector::{Observation, Outcome, SwitchedOff, Trouble};
use crate::plan::{Account, Applied};
use crate::policy::Policy;
use crate::state::{AccountRecord, AccountState, Awaiting, Fence, Origin, StoreError};
use serde_json::Map;
use std::collections::BTreeMap;

impl Desk {
    /// Removes the account of somebody who has left an app where nobody can be switched off.
    pub(super) async fn remove(&self, policy: &Policy, counter: &Counter, record: &mut AccountRecord, fence: Fence) -> Result<(), StoreError> {
        let ledger = Ledger::of(record);
        let Some(left) = &ledger.left else { return Ok(()) };
        if record.origin != Some(Origin::Created) {
            let why = "this app cannot switch an account off, and one that the gateway did not make is not removed".to_owned();
            return self.note(policy, record, fence, ledger, Some(Off::Unsupported), Err(why)).await;
        }
        if !left.may_go && !self.may_remove_one_more(policy).await? {
            return self.stage_removal(policy, record, fence).await;
        }
        let why_left = left.why.clone();
        let (scope, mark) = (Map::new(), external_id(&record.key));
        let context = of_record(record, &scope, &mark, ledger.email.as_deref());
        let came = match counter.quiet.get(context).await {
            Ok(Observation::Found(account, _)) => {
                if let Some(why) = kept(policy, record, &account, &mark) {
                    return self.note(policy, record, fence, ledger, Some(Off::Refused), Err(format!("not removed: {why}"))).await;
                }
                if let Err(trouble) = counter.quiet.revoke_sessions(context).await {
                    tracing::debug!(app = %record.key.upstream, error = %trouble, "sessions at the app are left to end with the account");
                }
                counter.quiet.disable(context, true).await
            }
            Ok(Observation::Absent) => Ok(SwitchedOff::Gone),
            Ok(Observation::Ambiguous) => {
                let why = "not removed: several accounts answer to the recorded id".to_owned();
                return self.note(policy, record, fence, ledger, Some(Off::Refused), Err(why)).await;
            }
            Err(trouble) => Err(trouble),
        };
        match came {
            Ok(SwitchedOff::Deleted) => self.removed(policy, record, fence, ledger, &why_left).await,
            Ok(SwitchedOff::Gone) => self.removed(policy, record, fence, ledger, "it is gone").await,
            Ok(SwitchedOff::Flag | SwitchedOff::Group | SwitchedOff::MembersRemoved) => {
                self.note(policy, record, fence, ledger, Some(Off::Done), Ok(why_left)).await
            }
            Ok(SwitchedOff::NotAtTheApp) => {
                let why = "this app cannot remove an account".to_owned();
                self.note(policy, record, fence, ledger, Some(Off::Unsupported), Err(why)).await
            }
            Err(trouble) => match come_to(&trouble) {
                Some(Off::Done) => self.removed(policy, record, fence, ledger, "it is gone").await,
                off => self.note(policy, record, fence, ledger, off, Err(trouble.to_string())).await,
            },
        }
    }

    /// Removes an account that this gateway made and has switched off long ago.
    pub(super) async fn delete(&self, policy: &Policy, record: &mut AccountRecord, fence: Fence) -> Result<(), StoreError> {
        let Some(counter) = self.counter_of(policy).filter(|counter| !counter.closed()) else { return Ok(()) };
        let Ok(_permit) = counter.background.acquire().await else { return Ok(()) };
        let mut ledger = Ledger::of(record);
        let (scope, mark) = (Map::new(), external_id(&record.key));
        let context = of_record(record, &scope, &mark, ledger.email.as_deref());
        let result = match counter.quiet.get(context).await {
            Ok(Observation::Found(account, _)) => {
                let is_off = ledger.left.as_ref().is_some_and(|left| is_still_off(policy, left, &account));
                let why = kept(policy, record, &account, &mark);
                if !is_off {
                    // Whoever switched it on at the app had a reason: it is theirs now.
                    ledger.left = ledger.left.map(|left| Left { off: Some(Off::Refused), ..left });
                    record.last_error = Some("not removed: it is not switched off at the app any more".to_owned());
                    record.applied = ledger.write();
                    self.parts.accounts.save(record, fence).await?;
                    tell(policy, record, None, "drift.detected", "switched on at the app after its person had left");
                    return Ok(());
                }
                match why {
                    None => counter.quiet.delete(context).await,
                    // Off it stays, by us.
                    Some(why) => Err(Trouble::unsupported("delete", &format!("not removed: {why}"))),
                }
            }
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
                Ok(())
            }
            Ok(_) | Err(_) => self.removed(policy, record, fence, ledger, "delete_after is over").await,
        }
    }

    /// Records that the account is no more. Its login stays reserved for the person.
    async fn removed(&self, policy: &Policy, record: &mut AccountRecord, fence: Fence, mut ledger: Ledger, why: &str) -> Result<(), StoreError> {
        let before = record.clone();
        record.state = AccountState::Deprovisioned;
        (record.account_id, record.verified_at, record.last_error) = (None, None, None);
        record.attempts = 0;
        ledger.left = ledger.left.map(|left| Left { off: Some(Off::Done), how: Some(SwitchedOff::Deleted), ..left });
        ledger.applied = Applied::default();
        record.applied = ledger.write();
        self.parts.accounts.save(record, fence).await?;
        tell(policy, &before, None, "account.deleted", why);
        Ok(())
    }

    /// Has the removal of an account wait for a human.
    pub(super) async fn stage_removal(&self, policy: &Policy, record: &mut AccountRecord, fence: Fence) -> Result<(), StoreError> {
        record.awaiting = Some(Awaiting::Leave);
        self.parts.accounts.save(record, fence).await?;
        tracing::warn!(app = %record.key.upstream, "more accounts are to be removed at once than [provision.leavers] max allows: none further is before a human has said yes");
        tell(policy, record, None, "guard.tripped", "to be removed: as many as may be without a human were within the hour");
        Ok(())
    }

    /// Whether one more account may be removed within the hour without a human.
    async fn may_remove_one_more(&self, policy: &Policy) -> Result<bool, StoreError> {
        let Some(leavers) = leavers(policy) else { return Ok(false) };
        // The one that is to go was among those that were there when its person left.
        let there = self.accounts_of(&policy.name).await?.saturating_add(1);
        Ok(self.removed_lately(&policy.name).await? < leavers.guard(there))
    }
}

/// Why an account of the gateway's own making is not removed, whoever's it is now.
fn kept(policy: &Policy, record: &AccountRecord, account: &Account, mark: &str) -> Option<String> {
    let is_it = Some(&account.id) == record.account_id.as_ref() && account.external_id.as_deref().is_none_or(|carried| carried == mark);
    if !is_it {
        return Some("it is not the account that it was".to_owned());
    }
    if account.admin {
        return Some("it is an administrator's now".to_owned());
    }
    protected(&policy.provision.as_ref()?.switches, &Map::new(), account)
}

/// Whether an account is off in the way in which it was switched off.
fn is_still_off(policy: &Policy, left: &Left, account: &Account) -> bool {
    let is_bare = |connector: &Model| {
        let taken = |kind: &String| connector.takes_away(&DisableBy::MembersRemoved, kind);
        account.memberships.iter().filter(|(kind, _)| taken(kind)).all(|(_, members)| BTreeMap::is_empty(members))
    };
    match left.how {
        // Nothing else is to be seen of it.
        Some(SwitchedOff::MembersRemoved) => account.disabled || policy.provision.as_ref().is_some_and(|provision| is_bare(&provision.connector)),
        Some(SwitchedOff::Flag | SwitchedOff::Group | SwitchedOff::Deleted | SwitchedOff::Gone | SwitchedOff::NotAtTheApp) | None => account.disabled,
    }
}

/// How many accounts are removed within the hour without a human.
pub(super) struct Removals {
    pub(super) made: u64,
    pub(super) most: u64,
}

impl Removals {
    /// Whether one more may be.
    pub(super) fn has_room(&mut self) -> bool {
        let has_room = self.made < self.most;
        self.made += u64::from(has_room);
        has_room
    }
}

/// Whether a human has said that it may be removed.
pub(super) fn may_go(record: &AccountRecord) -> bool {
    Ledger::of(record).left.is_some_and(|left| left.may_go)
}
