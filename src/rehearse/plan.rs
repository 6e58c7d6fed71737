//! What provisioning would do for a person.
//!
//! Lives here: [`Outlook`], one person's plan as data, made by [`look_ahead`]; and [`Tally`], many of them added up. `show.rs` prints both. Plans are not computed
//! here: they are read off what the desk of live traffic did while it was played ([`perform`](super::perform)).

use super::app::{App, Call};
use super::because::Because;
use super::people::Known;
use super::perform::{Performance, Real, Scene, perform};
use super::records::Records;
use super::sent::Sent;
use crate::clock::Timestamp;
use crate::identity::{Identity, Way};
use crate::plan::{Desired, Step, Wanted};
use crate::policy::evaluate::refuses_everywhere;
use crate::policy::mapping::desire;
use crate::policy::{Org, Policy};
#[cfg(doc)]
use crate::provision::as_wanted;
use crate::state::{AccountRecord, Origin};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is looked at.
#[derive(Debug)]
pub enum At {
    /// An application that has these accounts.
    Imagined(Vec<Value>),
    /// An application that has the account of the record, as the record has it; and what else it had by the policy that is in force ([`as_wanted`]).
    Recorded(Option<Desired>),
    /// The real one; read only.
    Real(Real),
}

/// One person's plan.
#[derive(Debug)]
pub struct Outlook {
    /// The policy.
    pub policy: Arc<Policy>,
    /// The person.
    pub identity: Arc<Identity>,
    /// Whether they may enter at all; else the key that refuses and where it stands.
    pub refused: Option<(&'static str, String)>,
    /// What would be done; `None` for who may not enter.
    pub performance: Option<Performance>,
    /// The record before.
    pub before: Option<AccountRecord>,
    /// Whether the real application was read.
    pub real: bool,
    /// Whether the application was taken to have the account as it is recorded.
    pub recorded: bool,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// `+ ~ - = !`.
    pub sign: char,
    /// Whether it is about a part of the line before.
    pub inner: bool,
    /// `account`, `login`, `group`, an attribute.
    pub what: String,
    /// A value, name, or change.
    pub value: String,
    /// Where it comes from, or why.
    pub why: String,
}

/// Numbers of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Accounts to make.
    pub create: usize,
    /// Attributes to change, accounts to adopt or switch on.
    pub change: usize,
    /// Memberships to grant.
    pub add: usize,
    /// Memberships to take back.
    pub remove: usize,
}

impl Count {
    /// Whether nothing would change.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Plays a sign-in of `known` now.
pub fn look_ahead(policy: &Arc<Policy>, known: &Known, records: &Arc<Records>, at: At, now: Timestamp) -> Outlook {
    let identity = Arc::new(known.identity.clone());
    let (refused, before) = (refused(policy, &identity), known.record.clone());
    let (real, recorded) = (matches!(at, At::Real(_)), matches!(at, At::Recorded(_)));
    let mut outlook = Outlook { policy: Arc::clone(policy), identity: Arc::clone(&identity), refused, performance: None, before, real, recorded };
    let Some(base) = policy.provision.as_ref().map(|provision| provision.url.clone()).filter(|_| outlook.refused.is_none()) else { return outlook };
    let (app, real) = match at {
        At::Imagined(accounts) => (App::with(&base, accounts), None),
        At::Recorded(had) => {
            (known.record.as_ref().map_or_else(|| App::with(&base, Vec::new()), |record| App::by_record(&base, record, had.as_ref())), None)
        }
        At::Real(real) => (App::of_the_real(&base), Some(real)),
    };
    let scene = Scene { policy: Arc::clone(policy), identity, records: Arc::clone(records), app: Arc::new(app), real };
    outlook.performance = perform(&[scene], now).pop();
    outlook
}

/// Whether `[login]` and `[access]` let the person in; what hangs on the request is another question (`explain`).
fn refused(policy: &Policy, identity: &Identity) -> Option<(&'static str, String)> {
    let (reason, rule) = refuses_everywhere(policy, identity, Way::Session)?;
    Some((reason.key(), policy.place(rule).to_owned()))
}

impl Outlook {
    /// Why the person would not get an account, or not the one they should have: `because` of a test, and what exactly.
    pub fn failure(&self) -> Option<(Because, String)> {
        let performance = self.performance.as_ref()?;
        let message = *performance.ensured.as_ref().err()?;
        Some((Because::of(message), performance.why().unwrap_or_default()))
    }

    /// What would change, line by line.
    pub fn lines(&self) -> Vec<Line> {
        let Some(performance) = &self.performance else { return Vec::new() };
        let mut lines = Vec::new();
        self.account(performance, &mut lines);
        for (step, _) in &performance.steps {
            self.step(performance, step, &mut lines);
        }
        Self::kept(performance, &mut lines);
        if let Some((because, why)) = self.failure() {
            lines.push(Line { sign: '!', inner: false, what: because.word().to_owned(), value: String::new(), why });
        }
        lines
    }

    /// Numbers of [`Self::lines`].
    pub fn count(&self) -> Count {
        let sent = Sent::in_calls(self.writes());
        let mut count = Count::default();
        for (step, _) in self.performance.iter().flat_map(|performance| &performance.steps) {
            match step {
                Step::Create(_) => count.create += 1,
                // A policy's own steps may run for a change that they do not send: that is one change, of whatever they do.
                Step::Update(changes) => count.change += changes.values().filter(|value| sent.has(value)).count().max(1),
                Step::Enable => count.change += 1,
                Step::Add { .. } => count.add += 1,
                Step::Remove { .. } => count.remove += 1,
            }
        }
        count.change += usize::from(self.adopted());
        count
    }

    /// Calls that would write, in order.
    pub fn writes(&self) -> impl Iterator<Item = &Call> {
        self.calls().filter(|call| call.effect != crate::connector::model::Effect::Read)
    }

    /// Calls that read, in order.
    pub fn reads(&self) -> impl Iterator<Item = &Call> {
        self.calls().filter(|call| call.effect == crate::connector::model::Effect::Read)
    }

    fn calls(&self) -> impl Iterator<Item = &Call> {
        self.performance.iter().flat_map(|performance| &performance.calls)
    }

    fn adopted(&self) -> bool {
        let after = self.performance.as_ref().and_then(|performance| performance.record.as_ref()).and_then(|record| record.origin);
        let before = self.before.as_ref().and_then(|record| record.origin);
        after == Some(Origin::Adopted) && before != after && self.failure().is_none()
    }

    /// What becomes of an account that is there.
    fn account(&self, performance: &Performance, lines: &mut Vec<Line>) {
        let Some(found) = performance.found.as_ref().filter(|_| self.failure().is_none()) else { return };
        let line = |sign, why: &str| Line { sign, inner: false, what: "account".to_owned(), value: found.login.clone(), why: why.to_owned() };
        let origin = performance.record.as_ref().and_then(|record| record.origin);
        lines.extend(match origin {
            Some(Origin::Adopted) if self.adopted() => Some(line('~', "there before; taken over (on_existing = \"adopt\")")),
            Some(Origin::Preexisting) => Some(line('=', "there before; left as it is (on_existing = \"leave\")")),
            Some(Origin::Adopted | Origin::Created) => Some(line('=', "")),
            None => None,
        });
    }

    fn step(&self, performance: &Performance, step: &Step, lines: &mut Vec<Line>) {
        let line = |sign, what: &str, value: String, why: String| Line { sign, inner: false, what: what.to_owned(), value, why };
        // What is wanted and what is sent are two things: a policy's own steps, and a connector's, send what they name.
        let sent = Sent::in_calls(self.writes());
        match step {
            Step::Create(desired) => {
                let why = if performance.found.is_some() { "the one that is there is not theirs" } else { "no account found" };
                lines.push(line('+', "account", desired.login.clone(), why.to_owned()));
                let inner = |what: &str, value: String, why: String| Line { sign: '+', inner: true, what: what.to_owned(), value, why };
                lines.push(inner("login", Value::from(desired.login.as_str()).to_string(), self.source_of_login(&desired.login)));
                let known = desired.attributes.iter().filter(|(_, value)| sent.has(value));
                lines.extend(known.map(|(name, value)| inner(short(name), value.to_string(), self.source(name))));
                let unset =
                    self.policy.user.extra.iter().filter(|(name, _)| {
                        !desired.attributes.contains_key(name) && !desired.attributes.contains_key(&format!("user.extra.{name}"))
                    });
                lines.extend(unset.map(|(name, value)| {
                    let names: Vec<String> = value.0.iter().flat_map(crate::expr::Template::names).collect();
                    inner(name, "(not set)".to_owned(), if names.is_empty() { String::new() } else { format!("{} absent", names.join(", ")) })
                }));
            }
            Step::Update(changes) => {
                if !changes.values().any(|value| sent.has(value)) {
                    let names = changes.keys().map(|name| short(name)).collect::<Vec<_>>().join(", ");
                    lines.push(line('~', "account", format!("{names} changed"), "the update steps run, and do not send it".to_owned()));
                }
                for (name, value) in changes.iter().filter(|(_, value)| sent.has(value)) {
                    let was = performance
                        .found
                        .as_ref()
                        .and_then(|found| found.attributes.get(name))
                        .map_or_else(|| "(not shown)".to_owned(), Value::to_string);
                    lines.push(line('~', short(name), format!("{was} -> {value}"), self.source(name)));
                }
            }
            Step::Enable => lines.push(line('~', "account", "switched on again".to_owned(), String::new())),
            Step::Add { kind, member, role } => {
                let value = role.as_ref().map_or_else(|| member.clone(), |role| format!("{member} as {role}"));
                lines.push(line('+', kind, value, self.groups_behind(member)));
            }
            Step::Remove { kind, member } => lines.push(line('-', kind, member.clone(), "granted by vestibule".to_owned())),
        }
    }

    /// Memberships that are there, are not wanted, and are not ours to take back.
    fn kept(performance: &Performance, lines: &mut Vec<Line>) {
        let (Some(found), Ok(mapped)) = (&performance.found, &performance.mapped) else { return };
        for (kind, members) in &found.memberships {
            let wanted = mapped.desired.memberships.get(kind);
            for member in members.keys() {
                let asked = matches!(wanted, Some(Wanted::Known(wanted)) if wanted.contains_key(member));
                let removed =
                    performance.steps.iter().any(|(step, _)| matches!(step, Step::Remove { kind: of, member: is } if of == kind && is == member));
                if !asked && !removed {
                    let why = if matches!(wanted, Some(Wanted::Unknown)) { "groups are not known: untouched" } else { "not ours, untouched" };
                    lines.push(Line { sign: '=', inner: false, what: kind.clone(), value: member.clone(), why: why.to_owned() });
                }
            }
        }
    }

    /// Where an attribute comes from.
    fn source(&self, name: &str) -> String {
        let bare = name.strip_prefix("user.extra.").unwrap_or(name);
        if let Some((_, value)) = self.policy.user.extra.iter().find(|(known, _)| known == bare) {
            let scope = self.performance.as_ref().and_then(|performance| performance.mapped.as_ref().ok()).map(|mapped| &mapped.scope);
            let choice = scope.and_then(|scope| {
                value
                    .0
                    .iter()
                    .position(|template| template.render(scope).is_ok_and(|value| crate::expr::is_set(&value)))
                    .filter(|_| value.0.len() > 1)
            });
            return choice.map_or_else(|| format!("[user.extra] {bare}"), |at| format!("[user.extra] {bare}, choice {}", at + 1));
        }
        let read = self.policy.provision.as_ref().and_then(|provision| provision.connector.attribute(name));
        let Some(attribute) = read else {
            // Of a policy with its own steps: named as templates name it.
            return match name {
                "user.email" => "[user] email".to_owned(),
                "user.display" => "[user] display".to_owned(),
                _ => "the sign-in".to_owned(),
            };
        };
        let scope = self.performance.as_ref().and_then(|performance| performance.mapped.as_ref().ok()).map(|mapped| &mapped.scope);
        let names = scope.and_then(|scope| attribute.default.chosen(scope)).map(|(template, _)| template.names()).unwrap_or_default();
        let of_user = |name: &String| name.strip_prefix("user.").filter(|key| !key.starts_with("extra")).map(|key| format!("[user] {key}"));
        match names.as_slice() {
            [] => "the connector's default".to_owned(),
            [one] if of_user(one).is_some() => of_user(one).unwrap_or_default(),
            several => format!("the connector's default, of {}", several.join(", ")),
        }
    }

    /// Where a login comes from; one that somebody else has is given an ending.
    fn source_of_login(&self, login: &str) -> String {
        let fresh = desire(&self.policy, &self.identity, None).ok().map(|mapped| mapped.desired.login);
        match fresh {
            Some(fresh) if fresh != login => format!("[user] name is {fresh}, which is taken"),
            _ => "[user] name".to_owned(),
        }
    }

    /// Groups of the person that give this role or organisation, or the key that gives it to everybody.
    fn groups_behind(&self, member: &str) -> String {
        let groups = self.identity.groups.listed();
        let named = |org: &&Org| org.id.as_str().map_or_else(|| org.id.to_string(), str::to_owned) == member;
        if let Some(org) = self.policy.orgs.iter().find(named) {
            let behind: Vec<&str> = groups.iter().filter(|group| org.groups.iter().any(|pattern| pattern.fits(group))).map(String::as_str).collect();
            return if behind.is_empty() { "[[org]]".to_owned() } else { behind.join(", ") };
        }
        let Some(roles) = &self.policy.roles else { return String::new() };
        let gives = |group: &&String| roles.map.iter().any(|(pattern, role)| role == member && pattern.fits(group));
        let behind: Vec<&str> = groups.iter().filter(gives).map(String::as_str).collect();
        if behind.is_empty() && roles.default.as_deref() == Some(member) { "[roles] default".to_owned() } else { behind.join(", ") }
    }
}

/// An attribute without the table it stands in.
fn short(name: &str) -> &str {
    name.strip_prefix("user.extra.").or_else(|| name.strip_prefix("user.")).unwrap_or(name)
}

/// Many plans, added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// People looked at.
    pub people: usize,
    /// People for whom something would change.
    pub changed: usize,
    /// Accounts to make.
    pub create: usize,
    /// Attributes to change.
    pub change: usize,
    /// Grants and losses by membership: `(kind, member)`.
    pub members: BTreeMap<(String, String), (usize, usize)>,
    /// People who need a human.
    pub conflicts: usize,
    /// People whose account cannot be made or brought up to date for another reason.
    pub failed: usize,
    /// People who may not enter.
    pub refused: usize,
}

impl Tally {
    /// Adds one person's plan.
    pub fn add(&mut self, outlook: &Outlook) {
        self.people += 1;
        self.refused += usize::from(outlook.refused.is_some());
        match outlook.failure() {
            Some((Because::Conflict, _)) => self.conflicts += 1,
            Some(_) => self.failed += 1,
            None => {}
        }
        let count = outlook.count();
        self.changed += usize::from(!count.is_nothing());
        self.create += count.create;
        self.change += count.change;
        for (step, _) in outlook.performance.iter().flat_map(|performance| &performance.steps) {
            match step {
                Step::Add { kind, member, .. } => self.members.entry((kind.clone(), member.clone())).or_default().0 += 1,
                Step::Remove { kind, member } => self.members.entry((kind.clone(), member.clone())).or_default().1 += 1,
                Step::Create(_) | Step::Update(_) | Step::Enable => {}
            }
        }
    }

    /// Whether anything would change, or needs somebody.
    pub fn is_quiet(&self) -> bool {
        self.changed == 0 && self.conflicts == 0 && self.failed == 0
    }
}
