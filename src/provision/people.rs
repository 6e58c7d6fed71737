//! The people with accounts at an app, for operators: who is there, who waits for a yes, who has failed; and the yes.
//!
//! Lives here: [`People`], which the admin socket, the console and the CLI ask. Apart from the desk because nobody at the door waits for it. It changes
//! records under a lease like a job does, and never speaks to an app: what it changes takes effect when the person is next looked after.
//!
//! Looking for somebody and doing something about them are two things: words may fit several people ([`People::called`]), an act takes the key of one record and
//! touches no other.

use super::Passes;
use super::flights::Flights;
use super::leaving::{self, Left};
use super::ledger::{Doubt, Ledger};
use crate::clock::{Clock, Timestamp};
use crate::identity::SubjectId;
use crate::state::{AccountKey, AccountRecord, AccountState, AccountStore, Awaiting, Fence, Lease, Origin, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Records read at a time.
const PAGE: u32 = 500;
/// Records looked at for one screen.
const LOOKED_AT_MAX: usize = 20_000;
/// What is done to a record takes no longer.
const LEASE_MS: i64 = 5_000;

/// Operators' view of the account records.
#[derive(Debug, Clone)]
pub struct People {
    accounts: Arc<dyn AccountStore>,
    clock: Arc<dyn Clock>,
    /// Not the name that jobs of this gateway lease under: theirs must not be taken from them.
    owner: String,
    flights: Arc<Flights>,
    passes: Option<Arc<dyn Passes>>,
}

/// Which people to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// All.
    #[default]
    All,
    /// Whose account could not be prepared, or lacks something: in need of a human, of their yes, or to be tried again. By the state alone, as `status` counts them.
    Failed,
    /// Who waits for an approval.
    Waiting,
    /// Whose account somebody changed at the app.
    Drifted,
    /// Who has left, switched off at the app or about to be.
    Left,
}

impl Which {
    /// All of them, each with the word that commands and pages use for it.
    pub const ALL: [(Self, &str); 5] =
        [(Self::All, "all"), (Self::Failed, "failed"), (Self::Waiting, "waiting"), (Self::Drifted, "drifted"), (Self::Left, "left")];

    /// The one of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(which, _)| *which)
    }
}

impl Which {
    fn takes(self, record: &AccountRecord) -> bool {
        match self {
            Self::All => true,
            Self::Failed => {
                use AccountState::{AwaitingApproval, Conflict, Degraded, Pending};
                matches!(record.state, Conflict | Pending | AwaitingApproval | Degraded)
            }
            Self::Waiting => record.awaiting.is_some(),
            Self::Drifted => !Ledger::of(record).drift.is_empty(),
            Self::Left => record.state.has_left(),
        }
    }
}

/// A screen of a list.
#[derive(Debug, Default)]
pub struct Leaf {
    /// Who is on it.
    pub listed: Vec<Listed>,
    /// Where the next one begins; `None`: there is none.
    pub next: Option<AccountKey>,
}

/// One person at one app: names and states, no attributes and no secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Policy name.
    pub app: String,
    /// Who vouches.
    pub issuer: String,
    /// Their name there.
    pub subject: String,
    /// E-mail address, else user name, of the last sign-in that got as far as a job.
    pub who: Option<String>,
    /// State of the record.
    pub state: AccountState,
    /// What a human is asked to approve.
    pub awaiting: Option<Awaiting>,
    /// Where the account came from.
    pub origin: Option<Origin>,
    /// Login at the app.
    pub login: Option<String>,
    /// The app's id of the account.
    pub account_id: Option<String>,
    /// Revision of the policy that was last applied.
    pub policy_revision: String,
    /// Tries since the last success.
    pub attempts: u32,
    /// Why the last try did not work: step and outcome.
    pub last_error: Option<String>,
    /// What was sent and never answered.
    pub in_doubt: Option<String>,
    /// Memberships that the gateway granted, by kind.
    pub granted: BTreeMap<String, Vec<String>>,
    /// What somebody changed at the app, as last seen there.
    #[serde(default)]
    pub drift: Vec<String>,
    /// When the person left, why, and what came of it at the app.
    #[serde(default)]
    pub left: Option<Left>,
    /// When the account was last seen to be as wanted, seconds since the epoch.
    pub verified_at: Option<i64>,
    /// When a human approved an account beyond `max_accounts`, seconds since the epoch.
    pub seat_approved_at: Option<i64>,
    /// When a human approved memberships for an account that was there before, seconds since the epoch.
    pub join_approved_at: Option<i64>,
    /// Since when nothing has worked, seconds since the epoch.
    pub failed_at: Option<i64>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// No record fits.
    #[error("nobody called `{person}` has a record at `{app}`; `vestibule users list` shows who has")]
    NotFound {
        /// Policy name.
        app: String,
        /// As asked for.
        person: String,
    },
    /// They wait for nothing.
    #[error("nothing is waiting for approval for `{person}`")]
    NothingToApprove {
        /// Subject.
        person: String,
    },
    /// They wait for something else than what was to be approved.
    #[error("`{person}` waits for something else by now: {}; nothing was approved", asked_for(*.awaiting))]
    WaitsForAnother {
        /// Subject.
        person: String,
        /// What waits now.
        awaiting: Awaiting,
    },
    /// Another person's record has that account.
    #[error("the account `{account_id}` is another person's by the gateway's own records; `vestibule users forget` gives it up")]
    Taken {
        /// As asked for.
        account_id: String,
    },
    /// A job is at it.
    #[error("the account is being worked on at this moment; try again")]
    Busy,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl People {
    pub(super) fn new(
        accounts: Arc<dyn AccountStore>,
        clock: Arc<dyn Clock>,
        owner: &str,
        flights: Arc<Flights>,
        passes: Option<Arc<dyn Passes>>,
    ) -> Self {
        Self { accounts, clock, owner: format!("{owner}/people"), flights, passes }
    }

    /// The people of `app`, or of all apps, in the order of their keys.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn list(&self, app: Option<&str>, which: Which) -> Result<Vec<Listed>, PeopleError> {
        Ok(self.records(app, |record| which.takes(record)).await?.iter().map(Listed::of).collect())
    }

    /// A screen of a list: at most `limit` people of `app`, or of all apps, who come after `after`, go by `called` (a part of their login, of their subject or of
    /// what they are called, letter case aside) and fit `which`. Looks at no more than [`LOOKED_AT_MAX`] records.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn leaf(
        &self,
        app: Option<&str>,
        which: Which,
        called: Option<&str>,
        after: Option<AccountKey>,
        limit: usize,
    ) -> Result<Leaf, PeopleError> {
        let called = called.map(str::to_lowercase);
        let has = |text: Option<&str>| called.as_ref().is_none_or(|called| text.is_some_and(|text| text.to_lowercase().contains(called)));
        let fits = |record: &AccountRecord, listed: &Listed| {
            which.takes(record) && (has(Some(&listed.subject)) || has(listed.login.as_deref()) || has(listed.who.as_deref()))
        };
        let (mut leaf, mut after, mut seen) = (Leaf::default(), after, 0);
        loop {
            let page = self.accounts.accounts_after(app, after.as_ref(), PAGE).await?;
            let Some(last) = page.last().map(|record| record.key.clone()) else { return Ok(leaf) };
            seen += page.len();
            for record in page {
                if leaf.listed.len() == limit {
                    leaf.next = after;
                    return Ok(leaf);
                }
                after = Some(record.key.clone());
                let listed = Listed::of(&record);
                if fits(&record, &listed) {
                    leaf.listed.push(listed);
                }
            }
            after = Some(last);
            if seen >= LOOKED_AT_MAX {
                leaf.next = after;
                return Ok(leaf);
            }
        }
    }

    /// The apps of which anybody is on record, whether or not they have a policy.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn apps(&self) -> Result<BTreeSet<String>, PeopleError> {
        Ok(self.accounts.census().await?.into_iter().map(|counted| counted.upstream).collect())
    }

    /// One person at these apps, where they have a record.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn everywhere(&self, subject: &SubjectId, apps: &[String]) -> Result<Vec<Listed>, PeopleError> {
        let mut found = Vec::new();
        for app in apps {
            let key = AccountKey { upstream: app.clone(), subject: subject.clone() };
            found.extend(self.accounts.account(&key).await?.as_ref().map(Listed::of));
        }
        Ok(found)
    }

    /// Everybody at `app` whom `person` fits, at least one: by subject, by login at the app or by what they are called, the latter two in any letter case. An
    /// `issuer` narrows it down to those it vouches for; one of them whose subject `person` is, is then the only one, whatever the others are called.
    ///
    /// # Errors
    /// [`PeopleError::NotFound`], [`PeopleError::Store`].
    pub async fn called(&self, app: &str, person: &str, issuer: Option<&str>) -> Result<Vec<Listed>, PeopleError> {
        if let Some(issuer) = issuer {
            let subject = SubjectId { issuer: issuer.to_owned(), subject: person.to_owned() };
            let exact = self.accounts.account(&AccountKey { upstream: app.to_owned(), subject }).await?;
            if let Some(record) = exact {
                return Ok(vec![Listed::of(&record)]);
            }
        }
        let called = person.to_lowercase();
        let same = |text: &Option<String>| text.as_ref().is_some_and(|text| text.to_lowercase() == called);
        let fits = |record: &AccountRecord| {
            let subject = &record.key.subject;
            issuer.is_none_or(|issuer| subject.issuer == issuer)
                && (subject.subject == person || same(&record.login) || same(&Ledger::of(record).who))
        };
        let found: Vec<Listed> = self.records(Some(app), fits).await?.iter().map(Listed::of).collect();
        if found.is_empty() { Err(PeopleError::NotFound { app: app.to_owned(), person: person.to_owned() }) } else { Ok(found) }
    }

    /// One person at one app.
    ///
    /// # Errors
    /// [`PeopleError::NotFound`], [`PeopleError::Store`].
    pub async fn show(&self, key: &AccountKey) -> Result<Listed, PeopleError> {
        self.accounts.account(key).await?.as_ref().map(Listed::of).ok_or_else(|| not_found(key))
    }

    /// Says yes to what was `seen` to wait for it, and to nothing else that may wait by now; `None`: nothing was seen. `by` is for the audit log.
    ///
    /// # Errors
    /// As [`Self::show`]; [`PeopleError::NothingToApprove`], [`PeopleError::WaitsForAnother`], [`PeopleError::Busy`].
    pub async fn approve(&self, key: &AccountKey, seen: Option<Awaiting>, by: &str) -> Result<Listed, PeopleError> {
        self.change(key, by, "approval.granted", |record, now| {
            let person = || key.subject.subject.clone();
            let awaiting = record.awaiting.ok_or_else(|| PeopleError::NothingToApprove { person: person() })?;
            if seen != Some(awaiting) {
                return Err(PeopleError::WaitsForAnother { person: person(), awaiting });
            }
            record.awaiting = None;
            match awaiting {
                Awaiting::Account => (record.state, record.seat_approved_at) = (AccountState::Pending, Some(now)),
                // Not an approval of anything that the person gets.
                Awaiting::Leave => leaving::release(record, now),
                // Looked at anew, and joined, by the next request that asks.
                Awaiting::Join => (record.desired_fp, record.join_approved_at) = (None, Some(now)),
            }
            Ok(())
        })
        .await
    }

    /// Forgets that it went wrong: the person's next request tries, and looks at the app even if all seemed well.
    ///
    /// # Errors
    /// As [`Self::show`]; [`PeopleError::Busy`].
    pub async fn retry(&self, key: &AccountKey, by: &str) -> Result<Listed, PeopleError> {
        self.change(key, by, "account.retry", |record, _| {
            if record.state == AccountState::Conflict {
                record.state = AccountState::Pending;
            }
            (record.desired_fp, record.last_error, record.failed_at, record.attempts) = (None, None, None, 0);
            Ok(())
        })
        .await
    }

    /// Says yes to everybody who has left `app` and waits for a human, because too many had left at once. Returns all of them as they are then: whoever is worked
    /// on at this moment waits on.
    ///
    /// # Errors
    /// [`PeopleError::Store`]; those before it are approved.
    pub async fn approve_leavers(&self, app: &str, by: &str) -> Result<Vec<Listed>, PeopleError> {
        let mut staged = Vec::new();
        for record in self.records(Some(app), |record| record.awaiting == Some(Awaiting::Leave)).await? {
            match self.approve(&record.key, Some(Awaiting::Leave), by).await {
                Ok(listed) => staged.push(listed),
                Err(PeopleError::Busy) => staged.push(Listed::of(&record)),
                // Somebody else was faster: with a yes, or by forgetting the record.
                Err(PeopleError::NothingToApprove { .. } | PeopleError::WaitsForAnother { .. } | PeopleError::NotFound { .. }) => {}
                Err(error @ (PeopleError::Store(_) | PeopleError::Taken { .. })) => return Err(error),
            }
        }
        Ok(staged)
    }

    /// Says that the account with `account_id` at the app is this person's, whatever the record said: looked at by their next request, and refused then when it is an
    /// administrator's, a protected one, or carries another person's mark. What was granted to an earlier account is forgotten.
    ///
    /// # Errors
    /// As [`Self::show`]; [`PeopleError::Taken`] when it is another person's by our own records, [`PeopleError::Busy`].
    pub async fn relink(&self, key: &AccountKey, account_id: &str, by: &str) -> Result<Listed, PeopleError> {
        let relinked = self
            .change(key, by, "account.relinked", |record, _| {
                let before = Ledger::of(record);
                let ledger = Ledger { who: before.who, as_of_ms: before.as_of_ms, relinked: true, ..Ledger::default() };
                record.applied = ledger.write();
                record.state = AccountState::Pending;
                record.origin = Some(Origin::Adopted);
                record.account_id = Some(account_id.to_owned());
                (record.login, record.desired_fp, record.in_doubt, record.awaiting) = (None, None, None, None);
                (record.verified_at, record.last_error, record.failed_at, record.attempts) = (None, None, None, 0);
                Ok(())
            })
            .await;
        match relinked {
            Err(PeopleError::Store(StoreError::OwnedByAnother)) => Err(PeopleError::Taken { account_id: account_id.to_owned() }),
            other => other,
        }
    }

    /// Forgets the record; the account at the app stays as it is. The person's next sign-in is a first one: the account is found again by what this gateway
    /// wrote there, or by `match`. A session that is open goes on until its pass is to be renewed, within the hour.
    ///
    /// # Errors
    /// As [`Self::show`]; [`PeopleError::Busy`].
    pub async fn forget(&self, key: &AccountKey, by: &str) -> Result<Listed, PeopleError> {
        let (fence, record) = self.leased(key).await?;
        let forgotten = self.accounts.forget(key, fence).await;
        self.give_back(key, fence).await;
        forgotten?;
        tell(&record, "account.forgotten", by);
        self.flights.forgive(key);
        Ok(Listed::of(&record))
    }

    /// Changes a record under a lease.
    async fn change(
        &self,
        key: &AccountKey,
        by: &str,
        action: &'static str,
        change: impl FnOnce(&mut AccountRecord, Timestamp) -> Result<(), PeopleError> + Send,
    ) -> Result<Listed, PeopleError> {
        let (fence, mut record) = self.leased(key).await?;
        let changed = match change(&mut record, self.clock.now()) {
            Ok(()) => self.accounts.save(&record, fence).await.map_err(PeopleError::from),
            Err(error) => Err(error),
        };
        self.give_back(key, fence).await;
        changed?;
        tell(&record, action, by);
        self.flights.forgive(key);
        if let Some(passes) = &self.passes {
            // Nobody is announced any longer by what the record said before.
            passes.forget(key);
        }
        Ok(Listed::of(&record))
    }

    /// The lease on a person's record, and the record as it is now.
    async fn leased(&self, key: &AccountKey) -> Result<(Fence, AccountRecord), PeopleError> {
        if self.accounts.account(key).await?.is_none() {
            // Asking for the lease would make a row for somebody of whom nothing is known.
            return Err(not_found(key));
        }
        let now = self.clock.now();
        match self.accounts.lease(key, &self.owner, now, now.plus_ms(LEASE_MS)).await? {
            Lease::Held(fence, Some(record)) => Ok((fence, record)),
            Lease::Held(fence, None) => {
                self.give_back(key, fence).await;
                Err(not_found(key))
            }
            Lease::Busy(_) => Err(PeopleError::Busy),
        }
    }

    async fn give_back(&self, key: &AccountKey, fence: Fence) {
        if let Err(error) = self.accounts.release(key, fence).await {
            // It runs out by itself.
            tracing::debug!(app = %key.upstream, %error, "the lease was not given back");
        }
    }

    async fn records(&self, app: Option<&str>, fits: impl Fn(&AccountRecord) -> bool + Send) -> Result<Vec<AccountRecord>, PeopleError> {
        let (mut out, mut after): (Vec<AccountRecord>, Option<AccountKey>) = (Vec::new(), None);
        loop {
            let page = self.accounts.accounts_after(app, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(out) };
            after = Some(last.key.clone());
            out.extend(page.into_iter().filter(|record| fits(record)));
        }
    }
}

/// What a yes would be to, with the word that stands for it.
const fn asked_for(awaiting: Awaiting) -> &'static str {
    match awaiting {
        Awaiting::Account => "`account`, one beyond max_accounts",
        Awaiting::Join => "`join`, memberships for an account from before",
        Awaiting::Leave => "`leave`, to be switched off or removed at the app",
    }
}

fn not_found(key: &AccountKey) -> PeopleError {
    PeopleError::NotFound { app: key.upstream.clone(), person: key.subject.subject.clone() }
}

impl Listed {
    /// Whose record it is, and where: what acts are about.
    pub fn key(&self) -> AccountKey {
        let subject = SubjectId { issuer: self.issuer.clone(), subject: self.subject.clone() };
        AccountKey { upstream: self.app.clone(), subject }
    }

    pub(crate) fn of(record: &AccountRecord) -> Self {
        let ledger = Ledger::of(record);
        let seconds = |at: Option<Timestamp>| at.map(Timestamp::seconds);
        Self {
            app: record.key.upstream.clone(),
            issuer: record.key.subject.issuer.clone(),
            subject: record.key.subject.subject.clone(),
            who: ledger.who,
            state: record.state,
            awaiting: record.awaiting,
            origin: record.origin,
            login: record.login.clone(),
            account_id: record.account_id.clone(),
            policy_revision: record.policy_revision.clone(),
            attempts: record.attempts,
            last_error: record.last_error.clone(),
            in_doubt: Doubt::read(record).map(|doubt| doubt.label()),
            granted: ledger.applied.memberships.into_iter().map(|(kind, members)| (kind, members.into_keys().collect())).collect(),
            drift: ledger.drift,
            left: ledger.left,
            verified_at: seconds(record.verified_at),
            seat_approved_at: seconds(record.seat_approved_at),
            join_approved_at: seconds(record.join_approved_at),
            failed_at: seconds(record.failed_at),
        }
    }
}

/// An operator's act.
fn tell(record: &AccountRecord, action: &'static str, by: &str) {
    let subject = &record.key.subject;
    tracing::info!(
        target: "audit",
        action,
        actor = by,
        app = %record.key.upstream,
        user.iss = %subject.issuer,
        user.sub = %subject.subject,
        account.login = record.login.as_deref(),
        account.id = record.account_id.as_deref(),
        policy.revision = %record.policy_revision,
    );
}
