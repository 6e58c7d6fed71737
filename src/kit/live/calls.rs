//! The scenarios about one call, with a running app: looking, what must not work, granting, switching off.

use super::super::backstage::{Person, words};
use super::super::scenes::{OPERATORS, in_other_case, is_for_good, is_nobody, listed, seen, unlike};
use super::Scene;
use crate::connector::model::{DisableBy, Verb};
use crate::connector::{Connector as _, Observation, Outcome, Standing, SwitchedOff, Trouble};
use crate::plan::Step;
use crate::policy::MatchBy;
use std::collections::BTreeMap;

const MEMBERSHIPS: [&str; 5] = [
    "membership, granted twice",
    "membership, taken back twice",
    "membership, unknown group",
    "membership, other letter case",
    "membership, given by hand",
];

impl Scene<'_> {
    pub(super) async fn look(&mut self, ann: &Person, id: &str) -> Result<(), String> {
        let is_ann = |observed: &Result<Observation, Trouble>| matches!(observed, Ok(Observation::Found(account, _)) if account.id == id);
        let keeps = matches!(self.engine.get(ann.context(Some(id))).await, Ok(Observation::Found(account, _)) if account.external_id.is_some());
        let ways: Vec<MatchBy> = self.engine.ways().into_iter().filter(|by| *by != MatchBy::ExternalId || keeps).collect();
        let mut found = Vec::new();
        let mut is_found = true;
        for by in ways {
            let observed = self.engine.find(ann.context(None), &[by]).await;
            is_found &= is_ann(&observed);
            found.push(seen(&observed));
        }
        self.held("lookup, exact", is_found, found.join(", "));
        let mut neighbours = Vec::new();
        for name in ["an", "ann2"] {
            let neighbour = self.plain(name)?;
            neighbours.push(self.engine.find(neighbour.context(None), &self.engine.ways()).await);
        }
        let are_absent = neighbours.iter().all(|observed| matches!(observed, Ok(Observation::Absent)));
        self.held("lookup, prefix neighbour", are_absent, neighbours.iter().map(seen).collect::<Vec<_>>().join(", "));
        let capital = self.called(&ann.login().to_uppercase())?;
        let observed = self.engine.find(capital.context(None), &[MatchBy::Login]).await;
        let model = self.engine.model();
        let same = model.identity.lower || model.identity.fold.same(capital.login(), ann.login());
        let is_so = if same { is_ann(&observed) } else { matches!(observed, Ok(Observation::Absent)) };
        self.held("lookup, case neighbour", is_so, seen(&observed));
        match ann.mapped.email.clone() {
            _ if ann.login().contains('@') => self.none("lookup, somebody else's e-mail", "logins are addresses there"),
            None => self.none("lookup, somebody else's e-mail", "the policy gives no addresses"),
            Some(email) => {
                let other = self.called(&email)?;
                let observed = self.engine.find(other.context(None), &[MatchBy::Login]).await;
                self.held(
                    "lookup, somebody else's e-mail",
                    !matches!(observed, Ok(Observation::Found(..) | Observation::Ambiguous)),
                    seen(&observed),
                );
            }
        }
        let mut wrong = Vec::new();
        for login in OPERATORS {
            let person = self.called(login)?;
            let observed = self.engine.find(person.context(None), &[MatchBy::Login, MatchBy::ExternalId]).await;
            if !is_nobody(&observed) {
                wrong.push(format!("{login}: {}", seen(&observed)));
            }
        }
        let said = if wrong.is_empty() { format!("{} of them find nobody", OPERATORS.len()) } else { wrong.join(", ") };
        self.held("lookup, operator characters", wrong.is_empty(), said);
        Ok(())
    }

    pub(super) async fn list(&mut self, id: &str) {
        const SCENARIO: &str = "list";
        if !self.engine.model().can(&Verb::List) {
            self.none(SCENARIO, "the connector lists nobody");
            return;
        }
        let came = listed(&self.engine).await;
        let is_so = came.as_ref().is_ok_and(|ids| ids.iter().filter(|other| *other == id).count() == 1);
        let said = came.map_or_else(|trouble| words(&trouble), |ids| format!("{} accounts", ids.len()));
        self.held(SCENARIO, is_so, said);
    }

    /// The same person under another name.
    pub(super) async fn change(&mut self, ann: &Person, id: &str) -> Result<(), String> {
        const SCENARIO: &str = "update";
        if !self.engine.model().can(&Verb::Update) {
            self.none(SCENARIO, "the connector changes no attributes");
            return Ok(());
        }
        let renamed = self.known_as("ann", "Renamed")?;
        let (is, wanted) = (&ann.desired().attributes, &renamed.desired().attributes);
        let differs = |(name, value): &(&String, &serde_json::Value)| is.get(*name) != Some(*value);
        let changes: BTreeMap<_, _> = wanted.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect();
        if changes.is_empty() {
            self.none(SCENARIO, "the policy makes nothing of a person's name");
            return Ok(());
        }
        let came = self.engine.apply(ann.context(Some(id)), &Step::Update(changes.clone())).await;
        let shown = self.engine.get(ann.context(Some(id))).await;
        let unlike = if let Ok(Observation::Found(account, _)) = &shown { unlike(account, wanted) } else { vec![seen(&shown)] };
        let said = came.as_ref().map_or_else(words, |(came, _)| came.to_string());
        let names = changes.into_keys().collect::<Vec<_>>().join(", ");
        let is_so = came.is_ok() && unlike.is_empty();
        self.held(SCENARIO, is_so, if is_so { format!("{said}: {names}") } else { format!("{said}: {names}; {}", unlike.join(", ")) });
        Ok(())
    }

    /// Creates that must not work.
    pub(super) async fn refuse(&mut self, ann: &Person) -> Result<(), String> {
        let came = self.engine.apply(ann.context(None), &Step::Create(ann.desired().clone())).await;
        let said = came.as_ref().map_or_else(words, |(came, _)| came.to_string());
        let is_so = matches!(&came, Err(trouble) if matches!(trouble.outcome, Outcome::Exists | Outcome::InDoubt));
        self.held("create, exists", is_so, said);
        self.email_taken(ann).await?;
        let person = self.called("no good\u{1}name")?;
        let came = self.engine.apply(person.context(None), &Step::Create(person.desired().clone())).await;
        let said = came.as_ref().map_or_else(words, |(came, _)| came.to_string());
        self.held("create, invalid name", matches!(&came, Err(trouble) if trouble.outcome == Outcome::Invalid), said);
        if let Ok((_, Some(account))) = came {
            self.made.push((person, account.id));
        }
        Ok(())
    }

    async fn email_taken(&mut self, ann: &Person) -> Result<(), String> {
        const SCENARIO: &str = "create, e-mail taken";
        let mut bob = self.plain("bob")?;
        // Only what is written there can be taken there.
        let writes = |(_, value): (&String, &serde_json::Value)| value.as_str().is_some() && value.as_str() == ann.mapped.email.as_deref();
        if !ann.desired().attributes.iter().any(writes) {
            self.none(SCENARIO, "no address is written there");
            return Ok(());
        }
        if ann.login().contains('@') {
            self.none(SCENARIO, "the address is the login: see `create, exists`");
            return Ok(());
        }
        bob.mapped.email.clone_from(&ann.mapped.email);
        for (name, value) in &ann.mapped.desired.attributes {
            bob.mapped.desired.attributes.insert(name.clone(), value.clone());
        }
        match self.engine.apply(bob.context(None), &Step::Create(bob.desired().clone())).await {
            Ok((_, account)) => {
                self.none(SCENARIO, "two accounts may have one address there");
                self.made.extend(account.map(|account| (bob, account.id)));
            }
            Err(trouble) => {
                let allowed = [Outcome::Exists, Outcome::Conflict, Outcome::Invalid, Outcome::InDoubt];
                self.held(SCENARIO, allowed.contains(&trouble.outcome), words(&trouble));
            }
        }
        Ok(())
    }

    /// Whether the app shows the membership; `None`: it does not show such memberships.
    pub(super) async fn is_in(&self, ann: &Person, id: &str, kind: &str, member: &str) -> Option<bool> {
        match self.engine.get(ann.context(Some(id))).await {
            Ok(Observation::Found(account, _)) => account.memberships.get(kind).map(|members| members.contains_key(member)),
            Ok(Observation::Absent | Observation::Ambiguous) | Err(_) => Some(false),
        }
    }

    pub(super) async fn join(&mut self, ann: &Person, id: &str) {
        let mut grants = self.grants.clone().into_iter();
        let Some((kind, member, role)) = grants.next() else {
            let can = self.engine.model().verbs.keys().any(|verb| matches!(verb, Verb::Members(..)));
            let why = if can { self.no_grant.clone() } else { "the connector grants no memberships".to_owned() };
            for scenario in MEMBERSHIPS {
                self.none(scenario, &why);
            }
            return;
        };
        let is_single = self.engine.model().single.iter().any(|(single, _)| *single == kind);
        let grant = Step::Add { kind: kind.clone(), member: member.clone(), role: role.clone() };
        let back = Step::Remove { kind: kind.clone(), member: member.clone() };
        let [twice, back_twice, unknown, other_case, by_hand] = MEMBERSHIPS;
        self.twice(twice, ann, id, (&grant, &kind, &member), true).await;
        if is_single {
            self.none(back_twice, "an account has exactly one of them");
        } else {
            self.twice(back_twice, ann, id, (&back, &kind, &member), false).await;
        }
        self.unknown(unknown, ann, id, &kind, role.clone()).await;
        self.other_case(other_case, ann, id, (&kind, &member), role).await;
        match grants.next() {
            _ if is_single => self.none(by_hand, "an account has exactly one of them"),
            None => self.none(by_hand, "only one membership is brought: a second --group would name another"),
            Some((_, other, role)) => {
                let others = Step::Add { kind: kind.clone(), member: other.clone(), role };
                let mut came = Ok(());
                for step in [&others, &grant, &back] {
                    came = came.and(self.engine.apply(ann.context(Some(id)), step).await.map(|_| ()));
                }
                let (stays, is_back) = (self.is_in(ann, id, &kind, &other).await, self.is_in(ann, id, &kind, &member).await);
                let is_so = came.is_ok() && stays != Some(false) && is_back != Some(true);
                let said = if is_so && stays.is_none() {
                    "nothing fails; the app does not show whether it stays".to_owned()
                } else if is_so {
                    "stays".to_owned()
                } else {
                    format!("{}; {}, {}", came.as_ref().map_or_else(words, |()| "answers".to_owned()), is_in(&other, stays), is_in(&member, is_back))
                };
                self.held(by_hand, is_so, said);
            }
        }
    }

    async fn twice(&mut self, scenario: &'static str, ann: &Person, id: &str, (step, kind, member): (&Step, &str, &str), is_in: bool) {
        let mut came = Vec::new();
        let mut is_so = true;
        for _ in 0..2 {
            let applied = self.engine.apply(ann.context(Some(id)), step).await;
            is_so &= applied.is_ok();
            came.push(applied.map_or_else(|trouble| words(&trouble), |(came, _)| came.to_string()));
        }
        let shown = self.is_in(ann, id, kind, member).await;
        let mut said = came.join(", then ");
        if shown.is_none() {
            said.push_str("; the app does not show it");
        }
        let is_seen = shown.is_none_or(|shown| shown == is_in);
        self.held(scenario, is_so && is_seen, if is_seen { said } else { format!("{said}; and the app shows otherwise") });
    }

    async fn unknown(&mut self, scenario: &'static str, ann: &Person, id: &str, kind: &str, role: Option<String>) {
        let name = format!("kit{}", self.stamp);
        if matches!(self.engine.standing(kind, &name).await, Ok(Standing::Made)) {
            self.none(scenario, "a group that is missing is made");
            return;
        }
        let unknown = Step::Add { kind: kind.to_owned(), member: name, role };
        let came = self.engine.apply(ann.context(Some(id)), &unknown).await;
        let said = came.as_ref().map_or_else(words, |(came, _)| came.to_string());
        let is_so = matches!(came, Err(trouble) if !matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt | Outcome::Reauth));
        self.held(scenario, is_so, said);
    }

    /// As the scripted scenario has it: no such group, or one that is shown as it was asked for.
    async fn other_case(&mut self, scenario: &'static str, ann: &Person, id: &str, (kind, member): (&str, &str), role: Option<String>) {
        let name = in_other_case(member);
        if name == member {
            self.none(scenario, "groups are numbers there");
            return;
        }
        if matches!(self.engine.standing(kind, &name).await, Ok(Standing::Made)) {
            self.none(scenario, "a group that is missing is made");
            return;
        }
        let grant = Step::Add { kind: kind.to_owned(), member: name.clone(), role };
        if let Err(trouble) = self.engine.apply(ann.context(Some(id)), &grant).await {
            self.held(scenario, is_for_good(&trouble), words(&trouble));
            return;
        }
        let shown = self.is_in(ann, id, kind, &name).await;
        self.held(scenario, shown != Some(false), format!("joined `{name}`, and shown there: {shown:?}"));
        drop(self.engine.apply(ann.context(Some(id)), &Step::Remove { kind: kind.to_owned(), member: name }).await);
    }

    pub(super) async fn switch_off(&mut self, ann: &Person, id: &str) {
        const SCENARIOS: [&str; 3] = ["disable", "disable, twice", "lookup, switched-off account"];
        if self.engine.model().disable_by.iter().all(|way| matches!(way, DisableBy::Nothing | DisableBy::Delete)) {
            let removes = self.engine.model().can_only_remove();
            for scenario in SCENARIOS {
                let why =
                    if removes { "nobody is switched off there: accounts are removed" } else { "the app cannot: the gateway keeps the person out" };
                self.none(scenario, why);
            }
            self.none("enable", "nobody was switched off");
            return;
        }
        if let Some((kind, member, role)) = self.grants.first().cloned() {
            // What it comes to is the business of the scenarios before this one.
            drop(self.engine.apply(ann.context(Some(id)), &Step::Add { kind, member, role }).await);
        }
        let mut how = None;
        for scenario in ["disable", "disable, twice"] {
            let came = self.engine.disable(ann.context(Some(id)), false).await;
            let observed = self.engine.find(ann.context(None), &self.engine.ways()).await;
            let is_off = match (&came, &observed) {
                (Ok(SwitchedOff::Flag | SwitchedOff::Group), Ok(Observation::Found(account, _))) => account.disabled,
                (Ok(SwitchedOff::MembersRemoved), Ok(Observation::Found(account, _))) => account.memberships.values().all(BTreeMap::is_empty),
                _ => false,
            };
            let said = came.as_ref().map_or_else(words, ToString::to_string);
            self.held(scenario, is_off, if is_off { said } else { format!("{said}, and then {}", seen(&observed)) });
            how = came.ok();
        }
        if how == Some(SwitchedOff::MembersRemoved) {
            self.none("lookup, switched-off account", "the app shows no such thing");
            self.none("enable", "memberships are granted again");
            return;
        }
        let observed = self.engine.find(ann.context(None), &self.engine.ways()).await;
        let is_so = matches!(&observed, Ok(Observation::Found(account, _)) if account.id == id && account.disabled);
        let on = self.engine.apply(ann.context(Some(id)), &Step::Enable).await;
        let again = self.engine.get(ann.context(Some(id))).await;
        let is_on = matches!((&on, &again), (Ok(_), Ok(Observation::Found(account, _))) if !account.disabled);
        self.held("lookup, switched-off account", is_so, if is_so { "found, and seen to be switched off".to_owned() } else { seen(&observed) });
        let said = on.as_ref().map_or_else(words, |(came, _)| came.to_string());
        self.held("enable", is_on, if is_on { said } else { format!("{said}, and then {}", seen(&again)) });
    }

    pub(super) async fn go(&mut self, ann: &Person, id: &str) {
        const SCENARIO: &str = "gone out of band";
        if !self.engine.model().can(&Verb::Delete) {
            self.none(SCENARIO, "the connector removes nobody");
            return;
        }
        if let Err(trouble) = self.engine.delete(ann.context(Some(id))).await {
            self.held(SCENARIO, false, words(&trouble));
            return;
        }
        let observed = self.engine.get(ann.context(Some(id))).await;
        // An app that keeps the name for good says so, and nobody comes in on it.
        let is_kept = matches!(&observed, Err(trouble) if trouble.outcome == Outcome::Conflict);
        if !is_kept {
            self.made.retain(|(_, made)| made != id);
        }
        let is_gone = is_kept || matches!(observed, Ok(Observation::Absent));
        let Some((kind, member, role)) = self.grants.first().cloned().filter(|_| is_gone) else {
            self.held(SCENARIO, is_gone, seen(&observed));
            return;
        };
        match self.engine.apply(ann.context(Some(id)), &Step::Add { kind: kind.clone(), member: member.clone(), role }).await {
            // A group that takes whoever is named: it is asked to forget them again.
            Ok(_) => {
                let back = self.engine.apply(ann.context(Some(id)), &Step::Remove { kind, member }).await;
                self.held(SCENARIO, back.is_ok(), format!("{}; the app takes a membership of nobody", seen(&observed)));
            }
            Err(trouble) => {
                let is_so = !matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt | Outcome::Reauth);
                self.held(SCENARIO, is_so, format!("{}; a membership: {}", seen(&observed), trouble.outcome));
            }
        }
    }
}

/// Whether somebody is in a group or has a role, as far as the app shows it.
pub(super) fn is_in(member: &str, shown: Option<bool>) -> String {
    match shown {
        Some(true) => format!("in `{member}`"),
        Some(false) => format!("not in `{member}`"),
        None => format!("in `{member}` or not: the app does not show it"),
    }
}
