//! Memberships that went when somebody was switched off, and what is made of that when they come back.
//!
//! Apart from `applying.rs` because only here it is known that something which is missing at the app was taken by the gateway itself, and not by somebody there: it is no drift,
//! and whoever comes back gets what a newcomer gets.

use super::ensure::Work;
use super::leaving::{Left, Off};
use super::ledger::Ledger;
use crate::connector::SwitchedOff;
use crate::connector::model::{DisableBy, Model};
use crate::plan::Account;
use crate::policy::Sync;
use std::collections::BTreeMap;

impl Ledger {
    /// What switching off in this way has taken away is not there any more, and nothing that the gateway might take back.
    pub(super) fn forget_taken(&mut self, connector: &Model, how: SwitchedOff) {
        self.applied.memberships.retain(|kind, _| !takes(connector, Some(how), kind));
    }
}

impl Work<'_> {
    /// `sync` for this job: what the gateway itself took away when the person left is granted as to a newcomer, and is no drift.
    pub(super) fn after_return(&mut self, account: &Account, mut sync: BTreeMap<String, Sync>) -> BTreeMap<String, Sync> {
        let Some(how) = self.ledger.left.as_ref().filter(|left| was_tried(left)).map(|left| left.how) else { return sync };
        for (kind, there) in &account.memberships {
            if !takes(&self.provision.connector, how, kind) {
                continue;
            }
            let mut applied = self.ledger.applied.memberships.remove(kind).unwrap_or_default();
            // The answer was lost, or it was given up half-way: what is missing tells.
            let is_lost = how.is_some() || applied.keys().any(|member| !there.contains_key(member));
            applied.retain(|member, _| there.contains_key(member));
            if is_lost && let Some(when) = sync.get_mut(kind).filter(|when| **when == Sync::Create) {
                *when = Sync::Login;
                if how.is_none() {
                    // Nothing of a kind that is given once is ever taken back.
                    applied.clear();
                }
            }
            if !applied.is_empty() {
                self.ledger.applied.memberships.insert(kind.clone(), applied);
            }
        }
        sync
    }
}

/// Whether the app was told to switch the account off, be it in vain.
fn was_tried(left: &Left) -> bool {
    left.sent || left.how.is_some() || matches!(left.off, Some(Off::Done | Off::Unsupported | Off::Refused))
}

/// Whether memberships of `kind` go when an account is switched off in this way; in any way that the connector has, where it is not known in which.
fn takes(connector: &Model, how: Option<SwitchedOff>, kind: &str) -> bool {
    connector.disable_by.iter().any(|way| {
        let is_it = match way {
            DisableBy::Group { .. } => matches!(how, None | Some(SwitchedOff::Group)),
            DisableBy::MembersRemoved => matches!(how, None | Some(SwitchedOff::MembersRemoved)),
            DisableBy::Flag | DisableBy::Delete | DisableBy::Nothing => false,
        };
        is_it && connector.takes_away(way, kind)
    })
}
