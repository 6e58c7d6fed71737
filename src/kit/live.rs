//! The scenarios with a running app: accounts are made for the occasion and removed again, or switched off where they cannot be.
//!
//! Apart because a running app has people: nobody is looked for, changed or removed but those that this run has made, and no group is made that would stay.
//! Lives here: who is in a run, how it begins and how it is cleared away. `live/calls.rs` has the scenarios about one call, `live/road.rs` those in which something
//! goes wrong between the gateway and the app, for which the app itself need not fail.

mod calls;
mod road;

use super::Verdict::{Failed, Held, NotApplicable};
use super::backstage::{Person, words};
use super::scenes::seen;
use super::{ORDER, Row, Verdict};
use crate::clock::Clock;
use crate::connector::engine::{Engine, Limits, ResolvedCredential};
use crate::connector::model::{InitialPassword, Verb};
use crate::connector::{Connector as _, Observation, Outcome, Standing, SwitchedOff, Trouble};
use crate::entropy::Entropy;
use crate::identity::{Groups, Identity, SubjectId};
use crate::outbound::Transport;
use crate::plan::{Step, Wanted};
use crate::policy::mapping::desire;
use crate::policy::{Policy, Provision};
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
    /// Groups of the sign-in that bring memberships; the first one brought is granted and taken back, the second stands for what somebody gave by hand.
    pub groups: Vec<String>,
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
/// The policy makes no accounts, or makes none of the kit's people; in words. Whatever was made by then is cleared away.
pub async fn play(live: &Live) -> Result<Played, String> {
    let provision = live.policy.provision.as_ref().ok_or("the policy has no [provision]")?;
    let stamp = format!("{:08x}", u32::from_be_bytes(live.entropy.bytes::<4>()));
    let engine = engine(live, provision, Arc::clone(&live.clock));
    let mut scene = Scene {
        live,
        provision,
        engine,
        stamp,
        rows: Vec::new(),
        made: Vec::new(),
        grants: Vec::new(),
        no_grant: NO_GROUP.to_owned(),
        makes_groups: false,
    };
    let came = scene.all().await;
    let left = scene.clean_up().await;
    came?;
    let mut rows = scene.rows;
    for scenario in ORDER {
        if !rows.iter().any(|row| row.scenario == scenario) {
            rows.push(Row { scenario, verdict: NotApplicable("not played: see what failed".to_owned()) });
        }
    }
    rows.sort_by_key(|row| ORDER.iter().position(|scenario| *scenario == row.scenario));
    Ok(Played { rows, left })
}

const NO_GROUP: &str = "--group names no group of the sign-in that brings a membership by this policy";

fn engine(live: &Live, provision: &Provision, clock: Arc<dyn Clock>) -> Engine {
    engine_with(live, provision, clock, live.credential.clone())
}

fn engine_with(live: &Live, provision: &Provision, clock: Arc<dyn Clock>, credential: ResolvedCredential) -> Engine {
    let limits = Limits { timeout_ms: provision.timeout_ms, ..Limits::default() };
    let (model, steps, url) = (Arc::clone(&provision.connector), provision.steps.clone(), provision.url.clone());
    let engine = Engine::new(model, steps, url, credential, provision.settings.clone(), limits, Arc::clone(&live.transport), clock);
    match provision.initial_password {
        InitialPassword::Random => engine.with_passwords(Arc::clone(&live.entropy)),
        InitialPassword::None => engine,
    }
}

/// The same, and nothing of it is right.
fn wrong(credential: &ResolvedCredential) -> ResolvedCredential {
    let wrong = || SecretString::from("not-the-secret");
    ResolvedCredential {
        token: credential.token.as_ref().map(|_| wrong()),
        basic: credential.basic.as_ref().map(|(user, _)| (user.clone(), wrong())),
        headers: credential.headers.iter().map(|(name, _)| (name.clone(), wrong())).collect(),
        settings: credential.settings.iter().map(|(name, _)| (name.clone(), wrong())).collect(),
    }
}

/// A membership: kind, name, role.
type Grant = (String, String, Option<String>);

struct Scene<'l> {
    live: &'l Live,
    provision: &'l Provision,
    engine: Engine,
    stamp: String,
    rows: Vec<Row>,
    /// Accounts of this run: who, and their ids.
    made: Vec<(Person, String)>,
    /// What is granted, of one kind.
    grants: Vec<Grant>,
    /// Why nothing is, otherwise.
    no_grant: String,
    /// Whether the desk would make a group for these people, which would stay.
    makes_groups: bool,
}

impl Scene<'_> {
    /// Somebody of this run, in these groups of the sign-in.
    fn person(&self, name: &str, groups: &[String]) -> Result<Person, String> {
        self.person_called(name, name, groups)
    }

    /// As [`Self::plain`], and of this family.
    fn known_as(&self, name: &str, family: &str) -> Result<Person, String> {
        self.person_called(name, family, &[]).or_else(|_| self.person_called(name, family, &self.live.groups))
    }

    fn person_called(&self, name: &str, family: &str, groups: &[String]) -> Result<Person, String> {
        let username = format!("kit{}{name}", self.stamp);
        let identity = Identity {
            subject: SubjectId { issuer: "https://idp.example".into(), subject: username.clone() },
            idp: "kit".into(),
            email: Some(format!("{username}@example.com")),
            email_verified: true,
            name: Some(format!("Kit {family}")),
            given_name: Some("Kit".to_owned()),
            family_name: Some(family.to_owned()),
            username: Some(username.clone()),
            groups: Groups::Known(groups.to_vec()),
            claims: Map::new(),
        };
        let mapped = desire(&self.live.policy, &identity, None).map_err(|error| error.to_string())?;
        Ok(Person { identity, mapped, external_id: format!("kit-{username}") })
    }

    /// Somebody without memberships, if the policy makes accounts for such people.
    fn plain(&self, name: &str) -> Result<Person, String> {
        self.person(name, &[]).or_else(|_| self.person(name, &self.live.groups))
    }

    /// As [`Self::plain`], under a login of this scenario's choice.
    fn called(&self, login: &str) -> Result<Person, String> {
        let mut person = self.plain("ann")?;
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

    fn none(&mut self, scenario: &'static str, why: &str) {
        self.row(scenario, NotApplicable(why.to_owned()));
    }

    async fn all(&mut self) -> Result<(), String> {
        if !self.admitted().await {
            return Ok(());
        }
        let ann = self.plain("ann")?;
        if !self.stranger(&ann).await {
            return Ok(());
        }
        self.choose_grants().await?;
        if !self.engine.model().can(&Verb::Create) && self.provision.steps.is_none() {
            self.none("create", "the connector makes no accounts");
            return Ok(());
        }
        let Some(id) = self.make(ann).await else { return Ok(()) };
        let ann = self.plain("ann")?;
        self.look(&ann, &id).await?;
        self.list(&id).await;
        self.refuse(&ann).await?;
        self.change(&ann, &id).await?;
        self.join(&ann, &id).await;
        self.befall(&ann).await?;
        self.come_in().await?;
        self.switch_off(&ann, &id).await;
        self.none("lookup, administrator", "a running app's administrators are left alone");
        self.none("disable, last administrator", "a running app's administrators are left alone");
        self.go(&ann, &id).await;
        Ok(())
    }

    /// Whether the app answers, and takes this credential and no other.
    async fn admitted(&mut self) -> bool {
        if self.engine.can(&Verb::Probe) {
            let probed = self.engine.probe().await;
            let said = probed.as_ref().map_or_else(words, |()| "answers".to_owned());
            self.held("probe", probed.is_ok(), said);
            if probed.is_err() {
                return false;
            }
        } else {
            self.none("probe", "the connector has no probe");
        }
        let bad = engine_with(self.live, self.provision, Arc::clone(&self.live.clock), wrong(&self.live.credential));
        let Ok(ann) = self.plain("ann") else { return true };
        let observed = bad.find(ann.context(None), &bad.ways()).await;
        let is_refused = matches!(&observed, Err(trouble) if trouble.outcome == Outcome::Reauth);
        self.held("probe, bad credential", is_refused, seen(&observed));
        true
    }

    /// Nobody has this name yet.
    async fn stranger(&mut self, ann: &Person) -> bool {
        let observed = self.engine.find(ann.context(None), &self.engine.ways()).await;
        let is_absent = matches!(observed, Ok(Observation::Absent));
        self.held("lookup, absent", is_absent, seen(&observed));
        is_absent
    }

    /// What the groups of the sign-in bring, of one kind, and nothing that granting would make there for good.
    async fn choose_grants(&mut self) -> Result<(), String> {
        let (with, without) = (self.person("ann", &self.live.groups)?, self.plain("ann")?);
        let mut all: Vec<Grant> = Vec::new();
        for (kind, wanted) in with.desired().memberships.iter().chain(&without.desired().memberships) {
            let Wanted::Known(members) = wanted else { continue };
            for name in members.keys() {
                if self.engine.standing(kind, name).await.map_err(|trouble| words(&trouble))? == Standing::Made {
                    self.no_grant = format!("the app has no {kind} called `{name}`, and granting it would make it there for good: make it first");
                    self.makes_groups = true;
                    return Ok(());
                }
            }
        }
        for (kind, wanted) in &with.desired().memberships {
            let Wanted::Known(members) = wanted else { continue };
            let has = |name: &String| matches!(without.desired().memberships.get(kind), Some(Wanted::Known(known)) if known.contains_key(name));
            let is_alone = self.live.groups.is_empty();
            all.extend(members.iter().filter(|(name, _)| is_alone || !has(name)).map(|(name, role)| (kind.clone(), name.clone(), role.clone())));
        }
        // What the app's accounts have exactly one of comes last: there is more to be seen of the others.
        let is_single = |grant: &Grant| self.engine.model().single.iter().any(|(kind, _)| *kind == grant.0);
        all.sort_by_key(is_single);
        let Some(kind) = all.first().map(|(kind, ..)| kind.clone()) else { return Ok(()) };
        all.retain(|(known, ..)| *known == kind);
        self.grants = all;
        Ok(())
    }

    /// Makes the account, and looks at it; its id.
    async fn make(&mut self, person: Person) -> Option<String> {
        let (came, account) = match self.engine.apply(person.context(None), &Step::Create(person.desired().clone())).await {
            Ok((came, Some(account))) => (came, account),
            Ok((came, None)) => {
                self.row("create", Failed(format!("{came} without an account")));
                return None;
            }
            Err(trouble) => {
                self.row("create", Failed(words(&trouble)));
                return None;
            }
        };
        let id = account.id.clone();
        let read = self.engine.get(person.context(Some(&id))).await;
        let is_so = matches!(&read, Ok(Observation::Found(read, _))
            if read.id == id && !read.disabled && !read.admin && (read.email.is_none() || read.email.as_deref().map(str::to_lowercase) == person.mapped.email.as_deref().map(str::to_lowercase)));
        let said = if is_so { came.to_string() } else { format!("made, and then {}", seen(&read)) };
        self.made.push((person, id.clone()));
        self.held("create", is_so, said);
        Some(id)
    }

    /// Notes an account of this run that was made by other means than [`Self::make`].
    async fn note(&mut self, person: Person) -> Result<Observation, Trouble> {
        let observed = self.engine.find(person.context(None), &self.engine.ways()).await;
        if let Ok(Observation::Found(account, _)) = &observed {
            self.made.push((person, account.id.clone()));
        }
        observed
    }

    /// Removes what is left of this run, or switches it off; the logins of those that stay.
    async fn clean_up(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        for (person, id) in std::mem::take(&mut self.made) {
            let context = person.context(Some(&id));
            let is_removed = self.engine.model().can(&Verb::Delete) && self.engine.delete(context).await.is_ok();
            let stays = if is_removed {
                match self.engine.get(context).await {
                    Ok(Observation::Absent) => None,
                    Ok(Observation::Found(account, _)) if account.disabled => Some("switched off"),
                    // It says who it was, and gives the name to nobody else.
                    Err(trouble) if trouble.outcome == Outcome::Conflict => Some("removed; the app keeps the name"),
                    Ok(Observation::Found(..) | Observation::Ambiguous) | Err(_) => Some("not seen to be gone"),
                }
            } else {
                Some(stays_as(&self.engine.disable(context, false).await))
            };
            left.extend(stays.map(|how| format!("{} ({how})", person.login())));
        }
        left
    }
}

/// How an account stays that cannot be removed, by what switching it off came to.
const fn stays_as(off: &Result<SwitchedOff, Trouble>) -> &'static str {
    match off {
        Ok(SwitchedOff::Flag | SwitchedOff::Group) => "switched off",
        Ok(SwitchedOff::MembersRemoved) => "still active, without memberships",
        Ok(SwitchedOff::Deleted | SwitchedOff::Gone) => "not seen to be gone",
        Ok(SwitchedOff::NotAtTheApp) | Err(_) => "as it was: still active",
    }
}

#[cfg(test)]
mod tests {
    use super::stays_as;
    use crate::connector::{SwitchedOff, Trouble};

    #[test]
    fn an_account_that_the_app_still_lets_in_is_not_said_to_be_switched_off() {
        let check = |off: Result<SwitchedOff, Trouble>, expected: &str| assert_eq!(stays_as(&off), expected, "{off:?}");
        check(Ok(SwitchedOff::NotAtTheApp), "as it was: still active");
        check(Err(Trouble::unsupported("disable", "no")), "as it was: still active");
        check(Ok(SwitchedOff::MembersRemoved), "still active, without memberships");
        check(Ok(SwitchedOff::Flag), "switched off");
        check(Ok(SwitchedOff::Group), "switched off");
    }
}
