//! An app whose accounts are switched off (`[provision] enabled = false`): who still gets in, and as whom. No admin call is made.
//!
//! Apart from `ensure.rs` because nothing is brought about here. Records are only read: switched on again, everybody is where they were.

use super::{Desk, Order, landing, landing_at};
use crate::fault::PublicMessage;
use crate::policy::switches::WhenDisabled;
use crate::session::Pass;
use crate::state::AccountRecord;

impl Desk {
    /// A pass without a look at the app.
    pub(super) async fn switched_off(&self, order: &Order, who: WhenDisabled) -> Result<Pass, PublicMessage> {
        if who == WhenDisabled::DenyAll {
            self.audit_refused(order, "enabled = false, when_disabled = \"deny_all\"");
            return Err(PublicMessage::AppClosed);
        }
        let record = self.parts.accounts.account(&order.key).await.map_err(|error| self.store_down(order, &error))?;
        if let Some(record) = record.filter(AccountRecord::is_linked) {
            let mapped = self.map(order, record.login.as_deref())?;
            return self.pass(order, &mapped, self.parts.times.soft_ttl_ms, landing_at(&order.policy, &mapped, &record, false));
        }
        if who == WhenDisabled::AllowLinked {
            self.audit_refused(order, "enabled = false, and no account is linked");
            return Err(PublicMessage::AccountsOff);
        }
        let mapped = self.map(order, None)?;
        // Nothing is looked up at the app; but what our own records say is somebody else's name is not given to this person.
        let owner = self.parts.accounts.owner_of_login(&order.key.upstream, &mapped.desired.login).await;
        match owner.map_err(|error| self.store_down(order, &error))? {
            Some(owner) if owner != order.key => {
                self.audit_refused(order, "enabled = false, and the login is another person's by our own records");
                Err(PublicMessage::AccountExists)
            }
            Some(_) | None => self.pass(order, &mapped, self.parts.times.soft_ttl_ms, landing(&order.policy, &mapped)),
        }
    }
}
