//! Somebody whom their provider calls otherwise than before (`[provision] rename = "follow"`).
//!
//! Lives here: the part of a job ([`Work`]) that changes the login of an account. Apart from `making.rs` because no account is found or made, and because it is the
//! one place where the name changes that the app is told in headers: written down before it is sent, looked at before anything else is done, and whatever stands in
//! the way leaves the old name. By default nobody is renamed at all.

use super::ensure::Work;
use super::ledger::Doubt;
use super::linking::{Claim, Making, Verdict, judge};
use super::stop::Stop;
use crate::connector::model::Verb;
use crate::connector::{Observation, Outcome};
use crate::plan::Account;
use crate::policy::mapping::{Mapped, desire};
use crate::policy::switches::Rename;
use crate::policy::{MatchBy, OnExisting};
use crate::state::{AccountKey, AccountRecord, Origin, StoreError};

/// Where what has been rendered for a person is kept: the headers that name them.
pub trait Passes: Send + Sync + std::fmt::Debug {
    /// Forgets what has been rendered for the person of `key` at its app: their next request asks for it anew.
    fn forget(&self, key: &AccountKey);
}

/// Whether a new login was sent for the account and nobody knows what came of it: under which name the app knows the person is not known then.
pub fn is_between_names(record: &AccountRecord) -> bool {
    matches!(Doubt::read(record), Some(Doubt::Rename { .. }))
}

/// Whether the person may be announced by the login of their record without a look at the app.
pub(super) fn may_be_announced(record: &AccountRecord) -> bool {
    record.is_linked() && !is_between_names(record)
}

impl Work<'_> {
    /// The account under the name that the person's provider has for them now, where that has changed and the policy follows; else as it is.
    pub(super) async fn follow(&mut self, mapped: &Mapped, account: Account) -> Result<Account, Stop> {
        let Some(to) = self.other_name(&account) else { return self.settled(account) };
        let to = match to {
            Ok(to) => to,
            Err(why) => return self.stays(account, &why),
        };
        if let Some(why) = self.taken(mapped, &account, &to).await? {
            return self.stays(account, &why);
        }
        self.rename(mapped, account, &to).await
    }

    /// The account as it is, unless one sent before may yet give it another name.
    fn settled(&self, account: Account) -> Result<Account, Stop> {
        if is_between_names(&self.record) {
            return Err(Stop::again("a new login was sent, and it is not known yet what came of it"));
        }
        Ok(account)
    }

    /// What the account should be called, if otherwise than now; the error says why that cannot be.
    fn other_name(&self, account: &Account) -> Option<Result<String, String>> {
        let switches = &self.provision.switches;
        let ours = matches!(self.record.origin, Some(Origin::Created | Origin::Adopted));
        // A name that the app or an operator gave, or that tells namesakes apart, was never the provider's.
        let follows = switches.rename == Rename::Follow && switches.mode.changes() && ours && self.ledger.named && !self.fresh;
        // A session that was begun under the old name knows nothing of the new one.
        let newest = self.job.order.as_of.millis() >= self.ledger.as_of_ms;
        if !follows || !newest || account.disabled || account.login.is_empty() || !self.connector.can(&Verb::Rename) {
            return None;
        }
        let to = match desire(self.policy, &self.job.order.identity, None) {
            Ok(fresh) => fresh.desired.login,
            Err(error) => return Some(Err(error.to_string())),
        };
        let fold = self.provision.connector.identity.fold;
        if fold.same(&to, &account.login) {
            return None;
        }
        if self.ledger.unseen.as_ref().is_some_and(|unseen| fold.same(unseen, &to)) {
            return Some(Err(format!("the app took `{to}` before, and went on showing the old one")));
        }
        if account.admin {
            return Some(Err("an administrator's account is not renamed".to_owned()));
        }
        if switches.protects_login(&to) || switches.protects_login(&account.login) {
            return Some(Err(format!("`{to}` or the name before is protected by the policy")));
        }
        Some(Ok(to))
    }

    /// Whose the name is already, by our records or at the app; `None`: nobody's.
    async fn taken(&mut self, mapped: &Mapped, account: &Account, to: &str) -> Result<Option<String>, Stop> {
        let owner = self.job.parts.accounts.owner_of_login(&self.record.key.upstream, to).await?;
        if owner.is_some_and(|owner| owner != self.record.key) {
            return Ok(Some(format!("`{to}` is another person's by the gateway's own records")));
        }
        if !self.connector.ways().contains(&MatchBy::Login) {
            return Ok(Some(format!("whether `{to}` is free cannot be seen at this app")));
        }
        let asked = self.under(mapped, to)?;
        let seen =
            self.connector.find(self.context(&asked, None), &[MatchBy::Login]).await.inspect_err(|trouble| self.failed("find", trouble.outcome))?;
        Ok(match seen {
            Observation::Absent => None,
            Observation::Found(found, _) if found.id == account.id => None,
            Observation::Found(..) | Observation::Ambiguous => Some(format!("somebody at the app is called `{to}` already")),
        })
    }

    /// Written down, told, looked at.
    async fn rename(&mut self, mapped: &Mapped, account: Account, to: &str) -> Result<Account, Stop> {
        self.renew().await?;
        let before = (self.record.desired_fp.take(), self.record.in_doubt.take());
        self.doubt(to, false).await?;
        // From here on nobody is told the old name: it may be somebody else's before long.
        self.forget_passes();
        let begun = self.now();
        let answer = self.connector.rename(self.context(mapped, Some(&account.id)), to).await;
        self.took("rename", begun);
        let trouble = match answer {
            Ok(Outcome::Gone | Outcome::Absent) => {
                (self.record.desired_fp, self.record.in_doubt) = before;
                self.save().await?;
                // The next attempt sees that, and makes it anew.
                return Err(Stop::again("rename: the account is gone"));
            }
            Ok(_) => {
                self.doubt(to, true).await?;
                let account = self.renamed(mapped, &account.id).await?;
                return account.ok_or_else(|| Stop::again("the app took a new login, and does not show it"));
            }
            Err(trouble) => trouble,
        };
        self.failed("rename", trouble.outcome);
        if matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt) && !trouble.is_unsent() {
            // It may have happened: the next attempt looks first.
            return Err(trouble.into());
        }
        // This one did nothing: the person is known as well as before. One sent earlier is as much in doubt as it was.
        (self.record.desired_fp, self.record.in_doubt) = before;
        self.save().await?;
        if trouble.is_unsent() {
            return Err(trouble.into());
        }
        // A credential that may do all but this (403) is none that was refused: whether it was, every other call says.
        self.stays(account, &trouble.to_string())
    }

    async fn doubt(&mut self, to: &str, taken: bool) -> Result<(), Stop> {
        self.record.in_doubt = Doubt::Rename { to: to.to_owned(), at_ms: self.now().millis(), taken }.write();
        Ok(self.save().await?)
    }

    fn forget_passes(&self) {
        if let Some(passes) = &self.job.passes {
            passes.forget(&self.record.key);
        }
    }

    /// After a rename that was sent, whatever came of it: the account, under whichever of the two names it has now. `None`: it is not to be found under either.
    ///
    /// The old name is no proof that it did not happen: the app may answer from a cache, or from a copy that has not heard of it. It counts once all that is over.
    pub(super) async fn renamed(&mut self, mapped: &Mapped, id: &str) -> Result<Option<Account>, Stop> {
        let Some(Doubt::Rename { to, at_ms, taken }) = Doubt::read(&self.record) else { return Ok(None) };
        let asked = self.under(mapped, &to)?;
        let seen = self.connector.get(self.context(&asked, Some(id))).await.inspect_err(|trouble| self.failed("get", trouble.outcome))?;
        let account = match seen {
            Observation::Found(account, _) if account.id == id => *account,
            Observation::Found(..) => return Err(Stop::failed("the app answered with an account that was not asked for")),
            Observation::Ambiguous => return Err(Stop::exists("several accounts answer to the recorded id")),
            // An app whose ids are logins: known by our mark, or, soon after, by the name that was asked for.
            Observation::Absent => match self.by_its_new_name(&asked, at_ms).await? {
                Some(account) => account,
                None if taken && self.is_recent(at_ms) => return Err(Stop::again("the app took a new login, and shows neither it nor the old one")),
                None => return Ok(None),
            },
        };
        if self.provision.connector.identity.fold.same(&account.login, &to) {
            self.is_called(&account).await?;
        } else if !self.is_recent(at_ms) {
            self.record.in_doubt = None;
            self.ledger.unseen = taken.then_some(to);
        } else if taken {
            return Err(Stop::again("the app took a new login, and shows the old one"));
        }
        // Else its answer was lost a moment ago: sent again, or waited for, see `follow`.
        Ok(Some(account))
    }

    /// Records the login that the account has now.
    async fn is_called(&mut self, account: &Account) -> Result<(), Stop> {
        let before = self.record.login.replace(account.login.clone()).unwrap_or_default();
        self.record.account_id = Some(account.id.clone());
        (self.record.in_doubt, self.ledger.unseen) = (None, None);
        match self.save().await {
            Err(StoreError::OwnedByAnother) => return Err(Stop::exists("the new login is another person's by the gateway's own records")),
            saved => saved?,
        }
        // What was rendered since it was sent has the name before.
        self.forget_passes();
        self.audit("account.renamed", &format!("{before} is {} now", account.login));
        Ok(())
    }

    /// An account that shows, late, the login which the app had taken: the record follows.
    pub(super) async fn shows_late(&mut self, account: &Account) -> Result<(), Stop> {
        let fold = self.provision.connector.identity.fold;
        if self.ledger.unseen.as_ref().is_some_and(|unseen| !account.login.is_empty() && fold.same(unseen, &account.login)) {
            self.is_called(account).await?;
        }
        Ok(())
    }

    async fn by_its_new_name(&mut self, asked: &Mapped, at_ms: i64) -> Result<Option<Account>, Stop> {
        let ways: Vec<MatchBy> = self.connector.ways().into_iter().filter(|way| *way != MatchBy::Email).collect();
        let seen = self.connector.find(self.context(asked, None), &ways).await.inspect_err(|trouble| self.failed("find", trouble.outcome))?;
        let Observation::Found(account, by) = seen else { return Ok(None) };
        let making = if self.is_recent(at_ms) { Making::Doubtful } else { Making::No };
        let claim = Claim {
            external_id: &self.external_id,
            login: &asked.desired.login,
            email: None,
            email_verified: false,
            match_by: &[],
            on_existing: OnExisting::Refuse,
            facts: &self.provision.connector.identity,
            making,
            protected: false,
            marks: self.connector.ways().contains(&MatchBy::ExternalId),
        };
        Ok(Some(*account).filter(|account| judge(account, by, &claim) == Verdict::Ours))
    }

    /// The same person under another login.
    pub(super) fn under(&self, mapped: &Mapped, login: &str) -> Result<Mapped, Stop> {
        let mut asked = desire(self.policy, &self.job.order.identity, Some(login))?;
        asked.email.clone_from(&mapped.email);
        Ok(asked)
    }

    /// Keeps the old name; told once for each reason.
    fn stays(&mut self, account: Account, why: &str) -> Result<Account, Stop> {
        if self.ledger.unnamed.as_deref() != Some(why) {
            tracing::warn!(app = %self.record.key.upstream, incident = %self.job.order.incident, %why, "account: keeps its login, though the provider has another name for the person");
            self.audit("rename.refused", why);
            self.ledger.unnamed = Some(why.to_owned());
        }
        self.settled(account)
    }
}
