//! Switching an account off and on, renaming it, removing it, ending its sessions.
//!
//! Apart because these take something away: each does exactly one thing, says what it was, and leaves whether it may to whoever asks (`provision/`).

use super::Engine;
use super::members::Change;
use super::run::trouble;
use crate::connector::model::{DisableBy, Verb, plain};
use crate::connector::{Context, Observation, Outcome, SwitchedOff, Trouble};
use crate::plan::Account;
use serde_json::Value;

impl Engine {
    /// The ways of `disable_by`, in order, until one works.
    pub(super) async fn switch_off(&self, context: Context<'_>, may_delete: bool) -> Result<SwitchedOff, Trouble> {
        let mut last = None;
        for way in &self.model.disable_by {
            let came = match way {
                DisableBy::Flag => self.simple(context, &Verb::Disable, "disable").await.map(|_| SwitchedOff::Flag),
                DisableBy::Group { kind, .. } => self.disable_by_group(context, kind).await,
                DisableBy::MembersRemoved => self.without_members(context).await,
                DisableBy::Delete if !may_delete => continue,
                DisableBy::Delete => self.simple(context, &Verb::Delete, "delete").await.map(|_| SwitchedOff::Deleted),
                DisableBy::Nothing => return Ok(SwitchedOff::NotAtTheApp),
            };
            match came {
                Err(trouble) if trouble.outcome == Outcome::Unsupported => last = Some(trouble),
                Err(trouble) if matches!(trouble.outcome, Outcome::Gone | Outcome::Absent) => return Ok(SwitchedOff::Gone),
                came => return came,
            }
        }
        Err(last.unwrap_or_else(|| trouble("disable", Outcome::Unsupported, "the connector cannot switch an account off")))
    }

    /// Exactly one membership is left: that of the group for which the app lets nobody in.
    async fn disable_by_group(&self, context: Context<'_>, kind: &str) -> Result<SwitchedOff, Trouble> {
        let Some(group) = self.disabled_group(kind) else {
            return Err(trouble("disable", Outcome::Unsupported, "no group is named for accounts that are switched off"));
        };
        let account = self.account_of(context).await?;
        let members = account.memberships.get(kind).map(|members| members.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        let others: Vec<&str> = members.iter().map(String::as_str).filter(|name| *name != group).collect();
        self.replace_members(context, kind, Change { add: &[(&group, None)], remove: &others }).await.map(|_| SwitchedOff::Group)
    }

    /// Every membership that can be listed is taken away.
    async fn without_members(&self, context: Context<'_>) -> Result<SwitchedOff, Trouble> {
        use crate::connector::model::MemberVerb::{Remove, Set};
        let account = self.account_of(context).await?;
        let mut can = false;
        for (kind, members) in &account.memberships {
            let names: Vec<&str> = members.keys().map(String::as_str).collect();
            if self.model.can(&Verb::Members(kind.clone(), Remove)) {
                can = true;
                for name in names {
                    self.change_member(context, kind, name, None, Remove).await?;
                }
            } else if self.model.can(&Verb::Members(kind.clone(), Set)) {
                can = true;
                self.replace_members(context, kind, Change { add: &[], remove: &names }).await?;
            }
        }
        if can { Ok(SwitchedOff::MembersRemoved) } else { Err(trouble("disable", Outcome::Unsupported, "no membership can be taken away")) }
    }

    async fn account_of(&self, context: Context<'_>) -> Result<Account, Trouble> {
        match crate::connector::Connector::get(self, context).await? {
            Observation::Found(account, _) => Ok(*account),
            Observation::Absent => Err(trouble("get", Outcome::Gone, "the account is no longer there")),
            Observation::Ambiguous => Err(trouble("get", Outcome::Ambiguous, "the app shows several accounts with that id")),
        }
    }

    /// Switches on: by `[[enable]]`, or out of the group that it was switched off by.
    pub(super) async fn enable(&self, context: Context<'_>) -> Result<Outcome, Trouble> {
        if self.model.can(&Verb::Enable) {
            return self.simple(context, &Verb::Enable, "enable").await;
        }
        let kind = self.model.disable_by.iter().find_map(|way| if let DisableBy::Group { kind, .. } = way { Some(kind) } else { None });
        match kind.and_then(|kind| Some((kind, self.disabled_group(kind)?))) {
            Some((kind, group)) => self.replace_members(context, kind, Change { add: &[], remove: &[&group] }).await,
            None => Err(trouble("enable", Outcome::Unsupported, "the connector cannot switch an account on")),
        }
    }

    /// Changes the login to `to`.
    pub(super) async fn rename_to(&self, context: Context<'_>, to: &str) -> Result<Outcome, Trouble> {
        let to = self.model.identity.canonical(to);
        self.model.identity.accepts(&to).map_err(|problem| trouble("rename", Outcome::Invalid, problem.to_string()))?;
        if !self.model.can(&Verb::Rename) {
            return Err(trouble("rename", Outcome::Unsupported, "the connector cannot change a login"));
        }
        let mut names = self.names_for(context);
        names.set("want", "login", Value::from(to));
        let answer = self.all("rename", self.verb(&Verb::Rename), &mut names).await;
        self.forget_etag(context);
        Ok(answer?.map_or(Outcome::Unchanged, |answer| answer.outcome))
    }

    /// A verb that needs nothing but the account.
    pub(super) async fn simple(&self, context: Context<'_>, verb: &Verb, word: &str) -> Result<Outcome, Trouble> {
        if !self.model.can(verb) {
            return Err(trouble(word, Outcome::Unsupported, format!("the connector knows no `{word}`")));
        }
        let mut names = self.names_for(context);
        let answer = self.all(word, self.verb(verb), &mut names).await;
        // Whatever ETag was known is the one before this change.
        self.forget_etag(context);
        Ok(answer?.map_or(Outcome::Unchanged, |answer| answer.outcome))
    }

    /// The name of the group that switches off.
    fn disabled_group(&self, kind: &str) -> Option<String> {
        let name = self.model.disable_by.iter().find_map(|way| match way {
            DisableBy::Group { kind: known, name } if known == kind => Some(name),
            DisableBy::Group { .. } | DisableBy::Flag | DisableBy::MembersRemoved | DisableBy::Delete | DisableBy::Nothing => None,
        })?;
        name.render(&self.names()).ok().and_then(|name| plain(&name).ok()).filter(|name| !name.is_empty())
    }

    /// An account whose only membership is the group that switches off is switched off.
    pub(super) fn note_disabled(&self, account: &mut Account) {
        for (kind, members) in &account.memberships {
            if let Some(group) = self.disabled_group(kind)
                && members.len() == 1
                && members.contains_key(&group)
            {
                account.disabled = true;
                return;
            }
        }
    }
}
