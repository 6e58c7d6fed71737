//! Who is signed in, for operators: a list, and the end of it.
//!
//! Lives here: [`Sessions`], which the operators' socket and the console ask. Apart from the live sessions because no request comes here. What it ends is over at once:
//! in memory, in the store, and for open streams. Access tokens are the provider's to end.

use super::LiveSessions;
use crate::clock::{Clock, Timestamp};
use crate::fault::Incident;
use crate::identity::SubjectId;
use crate::state::{SessionStore, SignOn, SignOnId, StoreError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Sign-ons read at once.
const AT_ONCE: u32 = 500;

/// Operators' view of the sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    live: Arc<LiveSessions>,
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
}

/// One sign-on: names and times, no claims and no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name, which lets nobody in.
    pub id: String,
    /// E-mail address, else user name.
    pub who: Option<String>,
    /// Who vouches.
    pub issuer: String,
    /// Their name there.
    pub subject: String,
    /// `[[idp]] id`.
    pub idp: String,
    /// Since when, seconds since the epoch.
    pub since: i64,
    /// Last request in any app, seconds since the epoch.
    pub last_seen: i64,
    /// Ends at the latest, seconds since the epoch.
    pub until: i64,
    /// Apps it was used in.
    pub apps: Vec<String>,
}

/// Which sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Everybody's.
    All,
    /// Of whoever is called this: e-mail address, user name or subject; addresses in any letter case.
    User(String),
    /// The one with this id.
    Id(String),
    /// Of this very person, whoever else is called the same.
    Person(SubjectId),
}

/// A screen of a list.
#[derive(Debug, Default)]
pub struct Leaf {
    /// Those on it, in the order of their ids.
    pub found: Vec<SignOn>,
    /// Where the next one begins; `None`: there is none.
    pub next: Option<SignOnId>,
}

/// Who ends a session, for the audit log.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The operator.
    pub operator: &'a str,
    /// Their reason.
    pub why: &'a str,
    /// The request of the console that said so; `None`: the socket.
    pub console: Option<Incident>,
}

impl Sessions {
    /// Of these.
    pub const fn new(live: Arc<LiveSessions>, store: Arc<dyn SessionStore>, clock: Arc<dyn Clock>) -> Self {
        Self { live, store, clock }
    }

    /// Those that are alive, the newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, which: &Which) -> Result<Vec<Listed>, StoreError> {
        let mut listed = Vec::new();
        for sign_on in self.fitting(which).await? {
            let apps = self.store.apps_of(sign_on.id).await?;
            listed.push(Listed::of(&sign_on, apps));
        }
        Ok(listed)
    }

    /// Ends them; `by` is for the audit log. Returns those that were ended.
    ///
    /// # Errors
    /// The store's: those that were ended before it stay ended.
    pub async fn revoke(&self, which: &Which, by: By<'_>) -> Result<Vec<Listed>, StoreError> {
        let mut ended = Vec::new();
        for sign_on in self.fitting(which).await? {
            let apps = self.store.apps_of(sign_on.id).await?;
            self.end(&sign_on, by).await?;
            ended.push(Listed::of(&sign_on, apps));
        }
        Ok(ended)
    }

    /// Ends one, everywhere.
    ///
    /// # Errors
    /// The store's; in memory it is over all the same.
    pub async fn end(&self, sign_on: &SignOn, by: By<'_>) -> Result<(), StoreError> {
        self.live.end(sign_on.id).await?;
        let person = &sign_on.identity;
        tracing::info!(
            target: "audit",
            action = "session.revoked",
            incident = by.console.map(tracing::field::display),
            actor = by.operator,
            idp = person.idp,
            user.iss = person.subject.issuer,
            user.sub = person.subject.subject,
            user.email = person.email.as_deref(),
            session = sign_on.id.name(),
            reason = by.why,
            source = by.console.map(|_| "console"),
        );
        Ok(())
    }

    /// Those that are alive and fit, from after `after`: at most `max`. The one way to list sessions: what memory knows of their last use is written down first, or
    /// one that was used a second ago might look as if it had run out.
    ///
    /// # Errors
    /// The store's.
    pub async fn leaf(&self, which: &Which, after: Option<SignOnId>, max: usize) -> Result<Leaf, StoreError> {
        self.live.flush().await?;
        let (now, idle_ms, max_ms) = (self.clock.now(), self.live.idle_ms(), self.live.max_ms());
        let (mut leaf, mut after) = (Leaf::default(), after);
        loop {
            let some = self.store.sign_ons_after(after, AT_ONCE).await?;
            if some.is_empty() {
                return Ok(leaf);
            }
            for sign_on in some {
                if leaf.found.len() == max {
                    leaf.next = after;
                    return Ok(leaf);
                }
                after = Some(sign_on.id);
                if which.fits(&sign_on) && is_alive(&sign_on, now, idle_ms, max_ms) {
                    leaf.found.push(sign_on);
                }
            }
        }
    }

    /// All of them, the newest first.
    async fn fitting(&self, which: &Which) -> Result<Vec<SignOn>, StoreError> {
        let mut found = self.leaf(which, None, usize::MAX).await?.found;
        found.sort_by_key(|one| (std::cmp::Reverse(one.created_at), one.id.0));
        Ok(found)
    }
}

/// As [`LiveSignOn::alive`](super::LiveSignOn::alive) decides it for requests.
fn is_alive(one: &SignOn, now: Timestamp, idle_ms: i64, max_ms: i64) -> bool {
    now < one.expires_at.min(one.created_at.plus_ms(max_ms)) && now.since_ms(one.last_seen) < idle_ms
}

impl Which {
    fn fits(&self, sign_on: &SignOn) -> bool {
        let person = &sign_on.identity;
        match self {
            Self::All => true,
            Self::User(called) => {
                let is = |name: &Option<String>| name.as_ref().is_some_and(|name| name.to_lowercase() == called.to_lowercase());
                person.subject.subject == *called || is(&person.email) || is(&person.username)
            }
            Self::Id(id) => sign_on.id.name() == *id,
            Self::Person(subject) => person.subject == *subject,
        }
    }
}

impl Listed {
    fn of(sign_on: &SignOn, apps: Vec<String>) -> Self {
        let person = &sign_on.identity;
        Self {
            id: sign_on.id.name(),
            who: person.email.clone().or_else(|| person.username.clone()),
            issuer: person.subject.issuer.clone(),
            subject: person.subject.subject.clone(),
            idp: person.idp.clone(),
            since: sign_on.created_at.seconds(),
            last_seen: sign_on.last_seen.seconds(),
            until: sign_on.expires_at.seconds(),
            apps,
        }
    }
}
