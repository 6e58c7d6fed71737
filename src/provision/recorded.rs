//! Access tokens where tokens make no accounts (`[bearer] provision = false`): people with a record pass, everybody else is a stranger.
//!
//! The admin API is never asked and nothing is changed: a token says less of a person than their sign-in, and must not take back what that brought about.

use super::renaming::{is_between_names, may_be_announced};
use super::{Desk, Order, STALE_MS};
use crate::fault::PublicMessage;
use crate::identity::Way;
use crate::policy::Policy;
use crate::policy::mapping::recognise;
use crate::session::{AppSession, Pass};

/// Whether only the record counts for this session.
pub(super) fn only(session: &AppSession, policy: &Policy) -> bool {
    session.way == Way::Bearer && !policy.bearer.as_ref().is_some_and(|bearer| bearer.provision)
}

impl Desk {
    /// A pass for somebody whose account was made, or taken over, at a sign-in in a browser. The login is the recorded one; all else is what the token says.
    pub(super) async fn recorded(&self, order: &Order) -> Result<Pass, PublicMessage> {
        let record = self.parts.accounts.account(&order.key).await.map_err(|error| self.store_down(order, &error))?;
        // Linked once, however long ago: scripts run for months after a sign-in, and the app itself refuses whom it has removed.
        let origin = record.as_ref().and_then(|record| record.origin);
        if record.as_ref().is_some_and(|record| record.is_linked() && is_between_names(record)) {
            self.audit_failed(order, "a new login was sent to the app, and it is not known yet what came of it");
            return Err(PublicMessage::AccountUnavailable);
        }
        let Some(login) = record.filter(may_be_announced).and_then(|record| record.login) else {
            self.audit_failed(order, "a token for somebody without an account");
            return Err(PublicMessage::TokenWithoutAccount);
        };
        self.not_protected(order, origin, &login)?;
        let mapped = recognise(&order.policy, &order.identity, &login).map_err(|error| {
            tracing::warn!(app = %order.key.upstream, incident = %order.incident, %error, "what this token says cannot be passed on");
            self.audit_failed(order, &error.to_string());
            error.public()
        })?;
        self.uses.note(&order.key, self.parts.clock.now());
        // Looked up again before long: a record that is withdrawn withdraws the way in.
        self.pass(order, &mapped, STALE_MS, None)
    }
}
