//! An app whose accounts are switched off (`[provision] enabled = false`): who still gets in, and as whom. No admin call is made.
//!
//! Apart from `ensure.rs` because nothing is brought about here. Records are only read: switched on again, everybody is where they were.

use super::renaming::{is_between_names, may_be_announced};
use super::{Desk, Order, landing, landing_at};
use crate::fault::PublicMessage;
use crate::policy::switches::WhenDisabled;
use crate::session::Pass;
use crate::state::{AccountState, Origin};

impl Desk {
    /// A pass without a look at the app.
    pub(super) async fn switched_off(&self, order: &Order, who: WhenDisabled) -> Result<Pass, PublicMessage> {
        if who == WhenDisabled::DenyAll {
            self.audit_refused(order, "enabled = false, when_disabled = \"deny_all\"");
            return Err(PublicMessage::AppClosed);
        }
        let record = self.parts.accounts.account(&order.key).await.map_err(|error| self.store_down(order, &error))?;
        let conflict = record.as_ref().is_some_and(|record| record.state == AccountState::Conflict);
        // Nobody is told a name that may be somebody else's, neither the one before nor the one that was sent.
        if record.as_ref().is_some_and(is_between_names) {
            self.audit_refused(order, "enabled = false, and it is not known yet what came of a new login that was sent");
            return Err(PublicMessage::AccountUnavailable);
        }
        if let Some(record) = record.filter(may_be_announced) {
            self.not_protected(order, record.origin, record.login.as_deref().unwrap_or_default())?;
            let mapped = self.map(order, record.login.as_deref())?;
            return self.pass(order, &mapped, self.parts.soft_ms(order), landing_at(&order.policy, &mapped, &record, false));
        }
        if who == WhenDisabled::AllowLinked {
            self.audit_refused(order, "enabled = false, and no account is linked");
            return Err(PublicMessage::AccountsOff);
        }
        // Whose account a human has to look at is not announced by that very login meanwhile.
        if conflict {
            self.audit_refused(order, "enabled = false, and the account is a conflict");
            return Err(PublicMessage::AccountExists);
        }
        let mapped = self.map(order, None)?;
        self.not_protected(order, None, &mapped.desired.login)?;
        // Nothing is looked up at the app; but what our own records say is somebody else's name is not given to this person.
        let owner = self.parts.accounts.owner_of_login(&order.key.upstream, &mapped.desired.login).await;
        match owner.map_err(|error| self.store_down(order, &error))? {
            Some(owner) if owner != order.key => {
                self.audit_refused(order, "enabled = false, and the login is another person's by our own records");
                Err(PublicMessage::AccountExists)
            }
            Some(_) | None => self.pass(order, &mapped, self.parts.soft_ms(order), landing(&order.policy, &mapped)),
        }
    }

    /// `protect` holds where the app is not asked as well: nobody is announced by a protected login, but for an account of the gateway's own making.
    pub(super) fn not_protected(&self, order: &Order, origin: Option<Origin>, login: &str) -> Result<(), PublicMessage> {
        let protects = order.policy.provision.as_ref().is_some_and(|provision| provision.switches.protects_login(login));
        if !protects || origin == Some(Origin::Created) {
            return Ok(());
        }
        self.audit_refused(order, "the login is protected by the policy");
        Err(PublicMessage::AccountExists)
    }
}
