//! What the audit log says of accounts.
//!
//! Lives here: [`Event`], the one place that names the fields of these events, which are those of sign-ins and refusals (`user.sub`, `policy.file`, `reason`).
//! Apart because the desk and its jobs both tell; it decides nothing.

use super::Order;
use crate::clock::Timestamp;
use crate::state::{AccountKey, AccountRecord};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The same failure of the same person is told again only after so long: a page that loads twenty pictures is one failure.
const AGAIN_MS: i64 = 5 * 60_000;
/// Failures remembered; beyond that they are told once more.
const SAID_MAX: usize = 4096;

/// One event per decision. Names and steps, never values of attributes, bodies or credentials.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<'a> {
    /// `account.created`, `role.granted`, ...
    pub(super) action: &'static str,
    /// What was being done, for a counter: `create`, `adopt`, `update`, or `ensure` when it did not come to that.
    pub(super) attempt: &'static str,
    /// In our own words.
    pub(super) reason: &'a str,
}

impl Event<'_> {
    /// Tells it, of the account in `record` when there is one.
    pub(super) fn tell(&self, order: &Order, record: Option<&AccountRecord>) {
        let Self { action, attempt, reason } = *self;
        let (subject, policy) = (&order.key.subject, &order.policy);
        tracing::info!(
            target: "audit",
            action,
            attempt,
            incident = %order.incident,
            app = %order.key.upstream,
            idp = %order.identity.idp,
            user.iss = %subject.issuer,
            user.sub = %subject.subject,
            user.email = order.identity.email.as_deref(),
            account.login = record.and_then(|record| record.login.as_deref()),
            account.id = record.and_then(|record| record.account_id.as_deref()),
            policy.file = %policy.file,
            policy.revision = %policy.revision,
            reason,
        );
    }
}

/// Failures that were told lately, by person, app, policy and reason.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<HashMap<(AccountKey, String, String), Timestamp>>);

impl Said {
    /// Whether this failure of `person` under this policy is to be told now.
    pub(super) fn is_news(&self, person: &AccountKey, revision: &str, reason: &str, now: Timestamp) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (person.clone(), revision.to_owned(), reason.to_owned());
        if said.get(&key).is_some_and(|at| now.since_ms(*at).abs() < AGAIN_MS) {
            return false;
        }
        if said.len() >= SAID_MAX {
            said.clear();
        }
        said.insert(key, now);
        true
    }
}
