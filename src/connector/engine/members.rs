//! Memberships: which there are, and granting and taking them back, one at a time or by replacing the whole list.
//!
//! Apart because an app that replaces lists takes away whatever is not in the new one: what somebody gave by hand is read just before and goes back with it.

use super::classify::Look;
use super::request::Names;
use super::run::{Answer, trouble};
use super::{Engine, classify, select};
use crate::connector::model::{Each, MemberVerb, Verb, plain};
use crate::connector::{Context, Outcome, Trouble};
use crate::plan::{Account, Members};
use serde_json::{Value, json};
use std::collections::HashSet;

/// One membership at the app.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Member {
    /// As policies call it.
    pub(super) name: String,
    /// As the app calls it, if that is known.
    pub(super) id: Option<String>,
    /// Role in it.
    pub(super) role: Option<String>,
}

impl Member {
    /// For templates.
    pub(super) fn names(&self) -> Value {
        json!({ "name": self.name, "id": self.id, "role": self.role })
    }
}

/// What is to change about memberships of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) add: &'a [(&'a str, Option<&'a str>)],
    pub(super) remove: &'a [&'a str],
}

/// What becomes of granting a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The app has the group, role or organisation.
    There,
    /// It has not, and granting makes it there.
    Made,
    /// It has not, and granting comes to nothing.
    Lacking,
    /// The app cannot be asked.
    Unknown,
}

impl Engine {
    /// Lists of memberships that do not stand in the account itself, and names of those that stand there by id.
    pub(super) async fn add_memberships(&self, account: &mut Account) -> Result<(), Trouble> {
        let kinds: Vec<&String> =
            self.model.verbs.keys().filter_map(|verb| if let Verb::Members(kind, MemberVerb::List) = verb { Some(kind) } else { None }).collect();
        for kind in kinds {
            let listed = self.listed(&account.id, &account.login, kind).await?;
            let members: &mut Members = account.memberships.entry(kind.clone()).or_default();
            members.extend(listed.into_iter().map(|member| (member.name, member.role)));
        }
        self.name_memberships(account).await?;
        self.note_disabled(account);
        Ok(())
    }

    /// Names instead of ids, where an app shows ids only.
    pub(super) async fn name_memberships(&self, account: &mut Account) -> Result<(), Trouble> {
        for kind in account.memberships.keys().cloned().collect::<Vec<_>>() {
            if !self.model.can(&Verb::Members(kind.clone(), MemberVerb::Name)) {
                continue;
            }
            let ids = std::mem::take(account.memberships.entry(kind.clone()).or_default());
            let mut named = Members::new();
            for (key, role) in ids {
                let name = match key.strip_prefix(select::BY_ID) {
                    Some(id) => self.name_of(&kind, id).await?.unwrap_or_else(|| id.to_owned()),
                    None => key,
                };
                named.insert(name, role);
            }
            account.memberships.insert(kind, named);
        }
        Ok(())
    }

    /// What `members.KIND.list` shows.
    async fn listed(&self, id: &str, login: &str, kind: &str) -> Result<Vec<Member>, Trouble> {
        let verb = format!("members.{kind}.list");
        let mut names = self.names();
        names.set("want", "login", Value::from(login));
        names.set("account", "id", Value::from(id));
        names.set("account", "login", Value::from(login));
        let mut out = Vec::new();
        for call in self.verb(&Verb::Members(kind.to_owned(), MemberVerb::List)) {
            let Some(answer) = self.run(&verb, call, &mut names).await? else { continue };
            match classify::look(answer.outcome) {
                // Several are what a list is for.
                Look::Found | Look::Absent | Look::Ambiguous => {}
                Look::Unsupported | Look::Trouble => return Err(answer.trouble(&format!("{verb}/{}", call.name))),
            }
            // An answer that is the list itself needs neither `select` nor `paginate`.
            let whole = call.select.is_none() && call.paginate.is_none() && classify::is_success(answer.outcome);
            let Some(listed) = (if whole { answer.element.as_array() } else { Some(&answer.elements) }) else {
                return Err(trouble(&format!("{verb}/{}", call.name), Outcome::Retry, "the answer has no list"));
            };
            for element in listed {
                let read = |key: &str| {
                    let found = call.save.iter().find(|(name, _)| name == key);
                    found.and_then(|(_, place)| select::extract(place, element, &answer.headers)).and_then(|found| plain(&found).ok())
                };
                let (id, role) = (read("id"), read("role"));
                let name = match read("name") {
                    Some(name) => Some(name),
                    None => self.named(kind, id.as_deref()).await?,
                };
                out.extend(name.map(|name| Member { name, id, role }));
            }
        }
        Ok(out)
    }

    async fn named(&self, kind: &str, id: Option<&str>) -> Result<Option<String>, Trouble> {
        let Some(id) = id else { return Ok(None) };
        if self.model.can(&Verb::Members(kind.to_owned(), MemberVerb::Name)) { self.name_of(kind, id).await } else { Ok(Some(id.to_owned())) }
    }

    /// What the account has of a kind now, ids included; `None` when the account is gone.
    async fn live(&self, context: Context<'_>, kind: &str) -> Result<Option<Vec<Member>>, Trouble> {
        if self.model.can(&Verb::Members(kind.to_owned(), MemberVerb::List)) {
            return self.listed(context.account_id.unwrap_or_default(), context.login, kind).await.map(Some);
        }
        let Some(answer) = self.read_element(&self.names_for(context)).await? else { return Ok(None) };
        let Some(shape) = self.model.account.members.iter().find(|(known, _)| known == kind).map(|(_, shape)| shape) else {
            return Err(trouble(&format!("members.{kind}.set"), Outcome::Unsupported, "what there is cannot be read before it is replaced"));
        };
        let shown = select::members(shape, &answer.element).or_else(|| self.stage.is_some().then(Vec::new));
        let Some(mut members) = shown else {
            // An answer that leaves the list out says nothing about it, and an empty one would take everything away.
            return Err(trouble("get", Outcome::Retry, format!("the answer does not show what {kind} the account has")));
        };
        for member in &mut members {
            if member.name.is_empty()
                && let Some(name) = self.named(kind, member.id.as_deref()).await?
            {
                member.name = name;
            }
        }
        Ok(Some(members))
    }

    /// Grants or takes back one membership.
    pub(super) async fn change_member(
        &self,
        context: Context<'_>,
        kind: &str,
        member: &str,
        role: Option<&str>,
        verb: MemberVerb,
    ) -> Result<Outcome, Trouble> {
        let (word, adding) = if verb == MemberVerb::Add { ("add", true) } else { ("remove", false) };
        let name = format!("members.{kind}.{word}");
        let mut known = false;
        let mut outcome = Outcome::Unchanged;
        if self.model.can(&Verb::Members(kind.to_owned(), verb)) {
            known = true;
            outcome = self.change_one(context, kind, member, role, verb, &name).await?;
            self.forget_etag(context);
        } else if self.model.can(&Verb::Members(kind.to_owned(), MemberVerb::Set)) {
            known = true;
            let change = if adding { Change { add: &[(member, role)], remove: &[] } } else { Change { add: &[], remove: &[member] } };
            outcome = self.replace_members(context, kind, change).await?;
            self.forget_etag(context);
        }
        let Some(each) = self.each_kind(kind) else { return finish(known, outcome, &name) };
        let item = if each == "orgs" { json!({ "id": member, "role": role }) } else { Value::from(member) };
        for step in self.steps.iter().flat_map(|steps| &steps.0.steps) {
            let fits = match &step.call.each {
                Some(Each::Added(of)) => adding && of == each,
                Some(Each::Removed(of)) => !adding && of == each,
                Some(Each::List(_)) | None => false,
            };
            if fits {
                known = true;
                let mut names = Self::own_names(context);
                names.own.insert("item".to_owned(), item.clone());
                outcome = settle(self.all(&name, std::slice::from_ref(&step.call), &mut names).await, adding)?;
            }
        }
        // A policy that only grants may leave taking back to people.
        let one_sided = self.steps.as_ref().is_some_and(|steps| steps.has_each(each));
        finish(known || one_sided, outcome, &name)
    }

    /// By the connector's own steps for one membership.
    async fn change_one(
        &self,
        context: Context<'_>,
        kind: &str,
        member: &str,
        role: Option<&str>,
        verb: MemberVerb,
        name: &str,
    ) -> Result<Outcome, Trouble> {
        let adding = verb == MemberVerb::Add;
        for last in [false, true] {
            let mut names = self.names_for(context);
            names.set("member", "name", Value::from(member));
            if let Some(role) = role {
                names.set("member", "role", Value::from(role));
            }
            if self.model.can(&Verb::Resolve(kind.to_owned())) {
                match self.resolve(kind, member, &mut names, adding).await? {
                    Some(id) => names.set("member", "id", Value::from(id)),
                    // What is not there has no members.
                    None if !adding => return Ok(Outcome::Done),
                    None => return Err(lacks(kind, member)),
                }
            } else {
                names.set("member", "id", Value::from(member));
            }
            let result = self.all(name, self.verb(&Verb::Members(kind.to_owned(), verb)), &mut names).await;
            let gone = matches!(&result, Err(trouble) if matches!(trouble.outcome, Outcome::Gone | Outcome::Absent | Outcome::Invalid));
            // It may be that the id we remembered is no longer that of the name: the name decides.
            if gone && self.state.resolved.forget(kind, member) && !last {
                continue;
            }
            return settle(result, adding);
        }
        Err(trouble(name, Outcome::Retry, "the app's ids change faster than they are read"))
    }

    /// By replacing the whole list: what is there and not ours goes back as it was read.
    pub(super) async fn replace_members(&self, context: Context<'_>, kind: &str, change: Change<'_>) -> Result<Outcome, Trouble> {
        let verb = format!("members.{kind}.set");
        let gone = || trouble(&verb, Outcome::Gone, "the account is no longer there");
        for last in [false, true] {
            let live = self.live(context, kind).await?.ok_or_else(gone)?;
            let Some(wanted) = self.merged(kind, &live, change)? else { return Ok(Outcome::Unchanged) };
            let mut names = self.names_for(context);
            let wanted = self.with_ids(kind, wanted, change, &mut names).await?;
            if let Some(one) = wanted.iter().find(|member| change.add.iter().any(|(name, _)| *name == member.name)).or(wanted.first()) {
                names.own.insert("member".to_owned(), one.names());
            }
            names.set("members", kind, wanted.iter().map(Member::names).collect());
            let result = self.all(&verb, self.verb(&Verb::Members(kind.to_owned(), MemberVerb::Set)), &mut names).await;
            match result {
                Ok(answer) => return Ok(answer.map_or(Outcome::Unchanged, |answer| answer.outcome)),
                // Somebody else changed it in between: what goes back is put together again.
                Err(trouble) if !last && trouble.status == Some(412) => {}
                Err(trouble) if !last && matches!(trouble.outcome, Outcome::Gone | Outcome::Absent | Outcome::Invalid) => {
                    let forgotten = wanted.iter().filter(|member| self.state.resolved.forget(kind, &member.name)).count();
                    if forgotten == 0 {
                        return Err(trouble);
                    }
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Err(trouble(&verb, Outcome::Retry, "somebody else changed the account in between"))
    }

    /// What the list should be; `None` when it is so already.
    fn merged(&self, kind: &str, live: &[Member], change: Change<'_>) -> Result<Option<Vec<Member>>, Trouble> {
        // By hashes: how many there are is up to the app.
        let remove: HashSet<&str> = change.remove.iter().copied().collect();
        let mut wanted: Vec<Member> = live.iter().filter(|member| !remove.contains(member.name.as_str())).cloned().collect();
        for (name, role) in change.add {
            let role = role.map(str::to_owned);
            match wanted.iter_mut().find(|member| member.name == *name) {
                Some(member) => member.role = role.or(member.role.take()),
                None => wanted.push(Member { name: (*name).to_owned(), id: None, role }),
            }
        }
        if let Some((_, fallback)) = self.model.single.iter().find(|(known, _)| known == kind) {
            // Exactly one: the new one takes the place of the old one.
            if let Some((name, _)) = change.add.last() {
                wanted.retain(|member| member.name == *name);
            } else if wanted.is_empty() && !live.is_empty() {
                let name = fallback.as_ref().and_then(|fallback| fallback.render(&self.names()).ok()).and_then(|name| plain(&name).ok());
                let Some(name) = name.filter(|name| !name.is_empty()) else {
                    let why = format!("an account has exactly one {kind}: it can be replaced, not taken back");
                    return Err(trouble(&format!("members.{kind}.set"), Outcome::Denied, why));
                };
                wanted = vec![Member { name, ..Member::default() }];
            }
        }
        let there: HashSet<(&str, Option<&str>)> = live.iter().map(|is| (is.name.as_str(), is.role.as_deref())).collect();
        let same = wanted.len() == live.len() && wanted.iter().all(|member| there.contains(&(member.name.as_str(), member.role.as_deref())));
        Ok((!same).then_some(wanted))
    }

    /// The same with the app's ids. One that is there and whose id cannot be found out is a reason to leave the list alone.
    async fn with_ids(&self, kind: &str, wanted: Vec<Member>, change: Change<'_>, names: &mut Names<'_>) -> Result<Vec<Member>, Trouble> {
        let can_resolve = self.model.can(&Verb::Resolve(kind.to_owned()));
        let mut out = Vec::new();
        for mut member in wanted {
            if member.id.is_none() {
                let ours = change.add.iter().any(|(name, _)| *name == member.name);
                member.id = if can_resolve {
                    names.set("member", "name", Value::from(member.name.clone()));
                    Some(self.resolve(kind, &member.name, names, ours).await?.ok_or_else(|| lacks(kind, &member.name))?)
                } else {
                    Some(member.name.clone())
                };
            }
            out.push(member);
        }
        Ok(out)
    }

    /// The memberships that a new account is made with, for an app that wants them in the create. One that the app lacks is left out here: granting it is
    /// a step of its own, which says so.
    pub(super) async fn members_for_create(&self, desired: &crate::plan::Desired) -> Result<Value, Trouble> {
        let mut out = serde_json::Map::new();
        let kinds = self.model.verbs.keys().filter_map(|verb| if let Verb::Members(kind, _) = verb { Some(kind.clone()) } else { None });
        for kind in kinds.chain([self.model.roles_as.clone(), self.model.orgs_as.clone()]) {
            out.entry(kind).or_insert_with(|| json!([]));
        }
        for (kind, wanted) in &desired.memberships {
            let crate::plan::Wanted::Known(members) = wanted else { continue };
            let mut listed = Vec::new();
            for (name, role) in members {
                let mut names = self.names();
                names.set("member", "name", Value::from(name.clone()));
                let id =
                    if self.model.can(&Verb::Resolve(kind.clone())) { self.resolve(kind, name, &mut names, true).await? } else { Some(name.clone()) };
                listed.extend(id.map(|id| Member { name: name.clone(), id: Some(id), role: role.clone() }.names()));
            }
            out.insert(kind.clone(), Value::Array(listed));
        }
        Ok(Value::Object(out))
    }

    /// What becomes of granting a membership called `name`: whether the app has it, or would be made to have it. Only reads.
    ///
    /// # Errors
    /// As for [`Connector::probe`](crate::connector::Connector::probe).
    pub async fn standing(&self, kind: &str, name: &str) -> Result<Standing, Trouble> {
        if !self.model.can(&Verb::Resolve(kind.to_owned())) {
            return Ok(Standing::Unknown);
        }
        let mut names = self.names();
        names.set("member", "name", Value::from(name));
        self.state.resolved.forget(kind, name);
        if self.resolve(kind, name, &mut names, false).await?.is_some() {
            return Ok(Standing::There);
        }
        Ok(if self.would_make(kind, &names) { Standing::Made } else { Standing::Lacking })
    }

    fn would_make(&self, kind: &str, names: &Names<'_>) -> bool {
        let makes = |call: &crate::connector::model::Call| {
            let holds = call.condition.as_ref().is_none_or(|condition| matches!(condition.holds(names), Ok(true)));
            call.effect != crate::connector::model::Effect::Read && holds
        };
        self.verb(&Verb::Resolve(kind.to_owned())).iter().any(makes)
    }

    /// Whether `role` is there, or would be made.
    pub(super) async fn has_role(&self, role: &str) -> Result<bool, Trouble> {
        if !self.model.roles.is_empty() {
            return Ok(self.model.may_have_role(role));
        }
        let kind = &self.model.roles_as;
        if !self.model.can(&Verb::Resolve(kind.clone())) {
            return Err(trouble(&format!("resolve.{kind}"), Outcome::Unsupported, "the app cannot be asked which roles it has"));
        }
        let mut names = self.names();
        names.set("member", "name", Value::from(role));
        // Whoever asks wants to know now.
        self.state.resolved.forget(kind, role);
        if self.resolve(kind, role, &mut names, false).await?.is_some() {
            return Ok(true);
        }
        Ok(self.would_make(kind, &names))
    }
}

/// No write can come to `absent`: whoever reads it knows that it is the policy that names something the app lacks.
fn lacks(kind: &str, member: &str) -> Trouble {
    trouble(&format!("resolve.{kind}"), Outcome::Absent, format!("the app has no {kind} called `{member}`"))
}

/// What an app says about a membership that is already as it should be is no failure.
fn settle(result: Result<Option<Answer>, Trouble>, adding: bool) -> Result<Outcome, Trouble> {
    match result {
        Ok(answer) => Ok(answer.map_or(Outcome::Unchanged, |answer| answer.outcome)),
        Err(trouble) if adding && trouble.outcome == Outcome::Exists => Ok(Outcome::Unchanged),
        Err(trouble) if !adding && trouble.outcome == Outcome::Gone => Ok(Outcome::Done),
        Err(trouble) => Err(trouble),
    }
}

fn finish(known: bool, outcome: Outcome, verb: &str) -> Result<Outcome, Trouble> {
    if known { Ok(outcome) } else { Err(trouble(verb, Outcome::Unsupported, "the connector cannot do this")) }
}
