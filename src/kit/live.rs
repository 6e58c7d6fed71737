//! The scenarios that can be played with a running app: its accounts are made for the occasion and removed again, or switched off where they cannot be.
//!
//! Apart because a running app has people: nobody is looked for, changed or removed but those that this run has made. What an app does only when it fails is
//! left to the scripted ones.

use super::Verdict::{Failed, Held, NotApplicable};
use super::backstage::{Person, outcome, words};
use super::scenes::{OPERATORS, seen};
use super::{ORDER, Row, Verdict};
use crate::clock::Clock;
use crate::connector::engine::{Engine, Limits, ResolvedCredential};
use crate::connector::model::{DisableBy, InitialPassword, Verb};
use crate::connector::{Connector as _, Observation, Outcome, Trouble};
use crate::entropy::Entropy;
use crate::identity::{Groups, Identity, SubjectId};
use crate::outbound::Transport;
use crate::plan::{Step, Wanted};
use crate::policy::mapping::desire;
use crate::policy::{MatchBy, Policy, Provision};
use secrecy::SecretString;
use serde_json::Map;
use std::sync::Arc;

/// A running app.
#[derive(Debug, Clone)]
pub struct Live {
    /// Its policy: address, connector, settings, and what a person becomes.
    pub policy: Arc<Policy>,
    /// Reaches it.
    pub transport: Arc<dyn Transport>,
    /// Its admin credential.
    pub credential: ResolvedCredential,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For passwords, and for names that nobody has.
    pub entropy: Arc<dyn Entropy>,
    /// A group of the sign-in that brings a membership; absent: none is granted.
    pub group: Option<String>,
}

/// What was seen, and the logins of accounts that could not be removed.
#[derive(Debug)]
pub struct Played {
    /// Every scenario.
    pub rows: Vec<Row>,
    /// Left behind, switched off where the app can.
    pub left: Vec<String>,
}

/// Plays what can be played.
///
/// # Errors
/// The policy makes no accounts, or makes none of the kit's people; in words.
pub async fn play(live: &Live) -> Result<Played, String> {
    let provision = live.policy.provision.as_ref().ok_or("the policy has no [provision]")?;
    let stamp = format!("{:08x}", u32::from_be_bytes(live.entropy.bytes::<4>()));
    let mut scene =
        Scene { live, engine: engine(live, provision, false), bad: engine(live, provision, true), stamp, rows: Vec::new(), made: Vec::new() };
    scene.all().await?;
    let left = scene.clean_up().await;
    let mut rows = scene.rows;
    for scenario in ORDER {
        if !rows.iter().any(|row| row.scenario == scenario) {
            rows.push(Row { scenario, verdict: NotApplicable("not with a running app".to_owned()) });
        }
    }
    rows.sort_by_key(|row| ORDER.iter().position(|scenario| *scenario == row.scenario));
    Ok(Played { rows, left })
}

fn engine(live: &Live, provision: &Provision, bad: bool) -> Engine {
    let mut credential = live.credential.clone();
    if bad {
        let wrong = || SecretString::from("not-the-secret");
        credential.token = credential.token.map(|_| wrong());
        credential.basic = credential.basic.map(|(user, _)| (user, wrong()));
        credential.headers = credential.headers.into_iter().map(|(name, _)| (name, wrong())).collect();
    }
    let limits = Limits { timeout_ms: provision.timeout_ms, ..Limits::default() };
    let (transport, clock) = (Arc::clone(&live.transport), Arc::clone(&live.clock));
    let (model, steps, url) = (Arc::clone(&provision.connector), provision.steps.clone(), provision.url.clone());
    let engine = Engine::new(model, steps, url, credential, provision.settings.clone(), limits, transport, clock);
    match provision.initial_password {
        InitialPassword::Random => engine.with_passwords(Arc::clone(&live.entropy)),
        InitialPassword::None => engine,
    }
}

struct Scene<'l> {
    live: &'l Live,
    engine: Engine,
    bad: Engine,
    stamp: String,
    rows: Vec<Row>,
    /// Accounts of this run: who, and their ids.
    made: Vec<(Person, String)>,
}

impl Scene<'_> {
    fn person(&self, name: &str) -> Result<Person, String> {
        let username = format!("kit{}{name}", self.stamp);
        let identity = Identity {
            subject: SubjectId { issuer: "https://idp.example".into(), subject: username.clone() },
            idp: "kit".into(),
            email: Some(format!("{username}@example.com")),
            email_verified: true,
            name: Some(format!("Kit {name}")),
            given_name: Some("Kit".to_owned()),
            family_name: Some(name.to_owned()),
            username: Some(username.clone()),
            groups: Groups::Known(self.live.group.iter().cloned().collect()),
            claims: Map::new(),
        };
        let mapped = desire(&self.live.policy, &identity, None).map_err(|error| error.to_string())?;
        Ok(Person { identity, mapped, external_id: format!("kit-{username}") })
    }

    fn called(&self, login: &str) -> Result<Person, String> {
        let mut person = self.person("ann")?;
        login.clone_into(&mut person.mapped.desired.login);
        login.clone_into(&mut person.external_id);
        person.mapped.email = None;
        Ok(person)
    }

    fn row(&mut self, scenario: &'static str, verdict: Verdict) {
        self.rows.push(Row { scenario, verdict });
    }

    fn held(&mut self, scenario: &'static str, is_so: bool, what: String) {
        self.row(scenario, if is_so { Held(what) } else { Failed(what) });
    }

    async fn all(&mut self) -> Result<(), String> {
        let probed = if self.engine.can("probe") { Some(self.engine.probe().await) } else { None };
        match probed {
            None => self.row("probe", NotApplicable("the connector has no probe".to_owned())),
            Some(Ok(())) => self.row("probe", Held("answers".to_owned())),
            Some(Err(trouble)) => {
                self.row("probe", Failed(words(&trouble)));
                return Ok(());
            }
        }
        let ann = self.person("ann")?;
        let observed = self.bad.find(ann.context(None), &self.bad.ways()).await;
        let is_refused = matches!(&observed, Err(trouble) if trouble.outcome == Outcome::Reauth);
        self.held("probe, bad credential", is_refused, seen(&observed));
        let observed = self.engine.find(ann.context(None), &self.engine.ways()).await;
        let is_absent = matches!(observed, Ok(Observation::Absent));
        self.held("lookup, absent", is_absent, seen(&observed));
        if !is_absent || !self.engine.can("create") {
            return Ok(());
        }
        let Some(id) = self.make("create", ann).await else { return Ok(()) };
        let ann = self.person("ann")?;
        self.look(&ann, &id).await?;
        self.refuse(&ann).await?;
        self.join(&ann, &id).await;
        self.switch_off(&ann, &id).await;
        self.go(&ann, &id).await;
        Ok(())
    }

    /// Makes the account; its id.
    async fn make(&mut self, scenario: &'static str, person: Person) -> Option<String> {
        match self.engine.apply(person.context(None), &Step::Create(person.desired().clone())).await {
            Ok((came, Some(account))) => {
                self.row(scenario, Held(outcome(came)));
                self.made.push((person, account.id.clone()));
                Some(account.id)
            }
            Ok((came, None)) => {
                self.row(scenario, Failed(format!("{} without an account", outcome(came))));
                None
            }
            Err(trouble) => {
                self.row(scenario, Failed(words(&trouble)));
                None
            }
        }
    }

    async fn look(&mut self, ann: &Person, id: &str) -> Result<(), String> {
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
            let neighbour = self.person(name)?;
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
        if let Some(email) = ann.mapped.email.clone().filter(|_| !ann.login().contains('@')) {
            let other = self.called(&email)?;
            let observed = self.engine.find(other.context(None), &[MatchBy::Login]).await;
            self.held("lookup, somebody else's e-mail", !matches!(observed, Ok(Observation::Found(..) | Observation::Ambiguous)), seen(&observed));
        }
        let mut wrong = Vec::new();
        for login in OPERATORS {
            let person = self.called(login)?;
            let observed = self.engine.find(person.context(None), &[MatchBy::Login, MatchBy::ExternalId]).await;
            if matches!(observed, Ok(Observation::Found(..) | Observation::Ambiguous)) {
                wrong.push(format!("{login}: {}", seen(&observed)));
            }
        }
        let said = if wrong.is_empty() { format!("{} of them find nobody", OPERATORS.len()) } else { wrong.join(", ") };
        self.held("lookup, operator characters", wrong.is_empty(), said);
        Ok(())
    }

    /// Creates that must not work.
    async fn refuse(&mut self, ann: &Person) -> Result<(), String> {
        let came = self.engine.apply(ann.context(None), &Step::Create(ann.desired().clone())).await;
        let said = came.as_ref().map_or_else(words, |(came, _)| outcome(*came));
        let is_so = matches!(&came, Err(trouble) if matches!(trouble.outcome, Outcome::Exists | Outcome::InDoubt));
        self.held("create, exists", is_so, said);
        if ann.mapped.email.is_some() && !ann.login().contains('@') {
            let mut bob = self.person("bob")?;
            bob.mapped.email.clone_from(&ann.mapped.email);
            for (name, value) in &ann.mapped.desired.attributes {
                bob.mapped.desired.attributes.insert(name.clone(), value.clone());
            }
            match self.engine.apply(bob.context(None), &Step::Create(bob.desired().clone())).await {
                Ok((_, account)) => {
                    self.row("create, e-mail taken", NotApplicable("two accounts may have one address there".to_owned()));
                    self.made.extend(account.map(|account| (bob, account.id)));
                }
                Err(trouble) => {
                    let allowed = [Outcome::Exists, Outcome::Conflict, Outcome::Invalid, Outcome::InDoubt];
                    self.held("create, e-mail taken", allowed.contains(&trouble.outcome), words(&trouble));
                }
            }
        }
        let person = self.called("no good\u{1}name")?;
        let came = self.engine.apply(person.context(None), &Step::Create(person.desired().clone())).await;
        let said = came.as_ref().map_or_else(words, |(came, _)| outcome(*came));
        self.held("create, invalid name", matches!(came, Err(trouble) if trouble.outcome == Outcome::Invalid), said);
        Ok(())
    }

    async fn join(&mut self, ann: &Person, id: &str) {
        let wanted = ann.desired().memberships.iter().find_map(|(kind, wanted)| match wanted {
            Wanted::Known(members) => members.iter().next().map(|(name, role)| (kind.clone(), name.clone(), role.clone())),
            Wanted::Unknown => None,
        });
        let Some((kind, member, role)) = wanted else {
            for scenario in ["membership, granted twice", "membership, taken back twice", "membership, unknown group"] {
                self.row(scenario, NotApplicable("no membership: --group names a group of the sign-in that brings one".to_owned()));
            }
            return;
        };
        let grant = Step::Add { kind: kind.clone(), member: member.clone(), role: role.clone() };
        self.twice("membership, granted twice", ann, id, &grant).await;
        if !self.engine.model().single.iter().any(|(single, _)| *single == kind) {
            self.twice("membership, taken back twice", ann, id, &Step::Remove { kind: kind.clone(), member }).await;
        }
        let unknown = Step::Add { kind, member: format!("kit{}", self.stamp), role };
        let came = self.engine.apply(ann.context(Some(id)), &unknown).await;
        let said = came.as_ref().map_or_else(words, |(came, _)| outcome(*came));
        let is_so = matches!(came, Err(trouble) if !matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt | Outcome::Reauth));
        self.held("membership, unknown group", is_so, said);
    }

    async fn twice(&mut self, scenario: &'static str, ann: &Person, id: &str, step: &Step) {
        let mut came = Vec::new();
        let mut is_so = true;
        for _ in 0..2 {
            let applied = self.engine.apply(ann.context(Some(id)), step).await;
            is_so &= applied.is_ok();
            came.push(applied.map_or_else(|trouble| words(&trouble), |(came, _)| outcome(came)));
        }
        self.held(scenario, is_so, came.join(", then "));
    }

    async fn switch_off(&mut self, ann: &Person, id: &str) {
        if self.engine.model().disable_by.iter().all(|way| matches!(way, DisableBy::Nothing | DisableBy::Delete)) {
            for scenario in ["disable", "disable, twice", "lookup, switched-off account"] {
                self.row(scenario, NotApplicable("the app cannot: the gateway keeps the person out".to_owned()));
            }
            return;
        }
        for scenario in ["disable", "disable, twice"] {
            let came = self.engine.disable(ann.context(Some(id)), false).await;
            let said = came.as_ref().map_or_else(words, |off| format!("{off:?}").to_lowercase());
            self.held(scenario, came.is_ok(), said);
        }
        let observed = self.engine.find(ann.context(None), &self.engine.ways()).await;
        let is_so = matches!(&observed, Ok(Observation::Found(account, _)) if account.disabled);
        if self.engine.model().account.disabled.is_some() {
            self.held("lookup, switched-off account", is_so, seen(&observed));
        }
    }

    async fn go(&mut self, ann: &Person, id: &str) {
        if !self.engine.model().can(&Verb::Delete) {
            return;
        }
        if let Err(trouble) = self.engine.delete(ann.context(Some(id))).await {
            self.row("gone out of band", Failed(words(&trouble)));
            return;
        }
        self.made.retain(|(_, made)| made != id);
        let observed = self.engine.get(ann.context(Some(id))).await;
        self.held("gone out of band", matches!(observed, Ok(Observation::Absent)), seen(&observed));
    }

    /// Removes what is left of this run, or switches it off; the logins of those that stay.
    async fn clean_up(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        for (person, id) in std::mem::take(&mut self.made) {
            let context = person.context(Some(&id));
            if !self.engine.model().can(&Verb::Delete) || self.engine.delete(context).await.is_err() {
                let off = self.engine.disable(context, false).await.is_ok();
                left.push(if off { format!("{} (switched off)", person.login()) } else { person.login().to_owned() });
            }
        }
        left
    }
}
