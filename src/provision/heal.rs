//! Looking at an account because its app does not seem to know the person.
//!
//! Lives here: [`Desk::look_again`] and how often it is done. The app answers in one way or another that it does not know somebody whom it was told of
//! (`[sign_in] rejected_when`): their account may have been removed or switched off there, and what is known of it here is out of date. It never knows what the app's
//! answer was.

use super::{Asking, Desk, Ensured};
use crate::clock::Timestamp;
use crate::fault::{Incident, PublicMessage};
use crate::policy::Policy;
use crate::session::{AppSession, Pass};
use crate::state::AccountKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A person's account at an app is looked at for this reason at most once in so long, whatever the app answers.
const EVERY_MS: i64 = 60_000;
/// How long it is waited for: somebody waits for the page.
const HOLD_MS: u64 = 5_000;
/// People remembered; beyond that those whose time is over are forgotten, and then all.
const REMEMBERED_MAX: usize = 16_384;

/// What looking came to.
#[derive(Debug, Clone)]
pub enum Looked {
    /// The account is there, as the policy wants it.
    Ready(Arc<Pass>),
    /// Still at it.
    Working,
    /// It was looked at for this reason less than a minute ago.
    Lately,
    /// Not to be had now.
    Refused(PublicMessage),
}

/// Whose account was looked at lately.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<HashMap<AccountKey, Timestamp>>);

impl Looks {
    /// Whether the account may be looked at now; then it has been.
    fn may(&self, key: &AccountKey, now: Timestamp) -> bool {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = |at: Timestamp| now.since_ms(at).abs() < EVERY_MS;
        if looks.get(key).is_some_and(|at| is_late(*at)) {
            return false;
        }
        if looks.len() >= REMEMBERED_MAX {
            looks.retain(|_, at| is_late(*at));
            if looks.len() >= REMEMBERED_MAX {
                looks.clear();
            }
        }
        looks.insert(key.clone(), now);
        true
    }

    /// The look has come to nothing yet: whoever asks next waits for the same one.
    fn goes_on(&self, key: &AccountKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl Desk {
    /// A fresh pass for a person whom the app does not seem to know: the one there was is dropped, and the account looked at however lately that was done; at most
    /// once a minute for a person and an app, unless it is still being looked at.
    pub async fn look_again(self: &Arc<Self>, session: &Arc<AppSession>, policy: &Arc<Policy>, incident: Incident) -> Looked {
        let key = AccountKey { upstream: policy.name.clone(), subject: session.sign_on.identity.subject.clone() };
        if !self.looks.may(&key, self.parts.clock.now()) {
            return Looked::Lately;
        }
        session.pass.store(None);
        match self.ensure_by(session, policy, incident, Asking::page(HOLD_MS), true).await {
            Ensured::Ready(pass) => Looked::Ready(pass),
            Ensured::Working => {
                // Else nobody would let them in again for the rest of the minute, although their account is there by then.
                self.looks.goes_on(&key);
                Looked::Working
            }
            Ensured::Refused(message) => Looked::Refused(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EVERY_MS, Looks};
    use crate::clock::Timestamp;
    use crate::identity::SubjectId;
    use crate::state::AccountKey;

    #[test]
    fn a_person_is_looked_at_once_a_minute_and_others_are_not_held_up() {
        let key = |subject: &str| AccountKey {
            upstream: "wiki".to_owned(),
            subject: SubjectId { issuer: "https://idp.example".to_owned(), subject: subject.to_owned() },
        };
        let (looks, now) = (Looks::default(), Timestamp::from_seconds(1_000_000));
        assert!(looks.may(&key("ada"), now));
        assert!(!looks.may(&key("ada"), now) && !looks.may(&key("ada"), now.plus_ms(EVERY_MS - 1)));
        assert!(looks.may(&key("bob"), now));
        assert!(looks.may(&key("ada"), now.plus_ms(EVERY_MS)));
        assert!(looks.may(&key("bob"), now.plus_ms(-EVERY_MS)), "a clock that was set back holds nobody up for long");
        assert!(looks.may(&key("cy"), now));
        looks.goes_on(&key("cy"));
        assert!(looks.may(&key("cy"), now), "a look that has come to nothing yet is nobody's last word");
    }
}
