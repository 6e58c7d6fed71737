//! What provisioning would do for a person.
//!
//! Lives here: [`Outlook`], one person's plan as data, made by [`look_ahead`]; and [`Tally`], many of them added up. `show.rs` prints both. Plans are not computed
//! here: they are read off what the desk of live traffic did while it was played ([`perform`](super::perform)).

use super::app::{App, Call};
use super::people::Known;
use super::perform::{Performance, Real, Scene, perform};
use super::records::Records;
use super::test::because;
use crate::clock::Timestamp;
use crate::identity::Identity;
use crate::plan::{Step, Wanted};
use crate::policy::evaluate::{Facts, Refusal, Rule, SignedIn, evaluate};
use crate::policy::{CanonicalPath, Policy};
use crate::state::{AccountRecord, Origin};
use core::net::{IpAddr, Ipv4Addr};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is looked at.
#[derive(Debug)]
pub enum At {
    /// An application that has these accounts.
    Imagined(Vec<Value>),
    /// An application that has the account of the record, as the record has it.
    Recorded,
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
    let (refused, real) = (refused(policy, &identity, now), matches!(at, At::Real(_)));
    let mut outlook =
        Outlook { policy: Arc::clone(policy), identity: Arc::clone(&identity), refused, performance: None, before: known.record.clone(), real };
    let Some(base) = policy.provision.as_ref().map(|provision| provision.url.clone()).filter(|_| outlook.refused.is_none()) else { return outlook };
    let (app, real) = match at {
        At::Imagined(accounts) => (App::with(&base, accounts), None),
        At::Recorded => (known.record.as_ref().map_or_else(|| App::with(&base, Vec::new()), |record| App::by_record(&base, record)), None),
        At::Real(real) => (App::of_the_real(&base), Some(real)),
    };
    let scene = Scene { policy: Arc::clone(policy), identity, records: Arc::clone(records), app: Arc::new(app), real };
    outlook.performance = perform(&[scene], now).pop();
    outlook
}

/// Whether `[login]` and `[access]` let the person in; what hangs on the request is another question (`explain`).
fn refused(policy: &Policy, identity: &Identity, now: Timestamp) -> Option<(&'static str, String)> {
    let path = CanonicalPath::parse("/").ok()?;
    let facts = Facts { method: "GET", path: &path, peer: IpAddr::V4(Ipv4Addr::LOCALHOST), host: &policy.host };
    match evaluate(policy, Some(SignedIn { identity, auth_time: now }), &facts, now) {
        Err(Refusal::Denied { reason, rule: rule @ (Rule::Login | Rule::Access) }) if !matches!(reason.key(), "networks" | "methods") => {
            Some((reason.key(), policy.place(rule).to_owned()))
        }
        _ => None,
    }
}

impl Outlook {
    /// Why the person would not get an account, or not the one they should have: `because` of a test, and words.
    pub fn failure(&self) -> Option<(&'static str, String)> {
        let performance = self.performance.as_ref()?;
        let message = *performance.ensured.as_ref().err()?;
        Some((because(message), performance.why().unwrap_or_default()))
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
            lines.push(Line { sign: '!', inner: false, what: because.to_owned(), value: String::new(), why });
        }
        lines
    }

    /// Numbers of [`Self::lines`].
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        for (step, _) in self.performance.iter().flat_map(|performance| &performance.steps) {
            match step {
                Step::Create(_) => count.create += 1,
                Step::Update(changes) => count.change += changes.len(),
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
        match step {
            Step::Create(desired) => {
                let why = if performance.found.is_some() { "the one that is there is not theirs" } else { "no account found" };
                lines.push(line('+', "account", desired.login.clone(), why.to_owned()));
                let inner = |what: &str, value: String, why: String| Line { sign: '+', inner: true, what: what.to_owned(), value, why };
                lines.push(inner("login", Value::from(desired.login.as_str()).to_string(), "[user] name".to_owned()));
                lines.extend(desired.attributes.iter().map(|(name, value)| inner(short(name), value.to_string(), self.source(name))));
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
                for (name, value) in changes {
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
        match bare {
            "email" | "user.email" => "[user] email".to_owned(),
            "display" | "user.display" => "[user] display".to_owned(),
            "given_name" | "family_name" | "name" | "username" => "the sign-in".to_owned(),
            _ => "the connector's default".to_owned(),
        }
    }

    /// Groups of the person that give this role.
    fn groups_behind(&self, member: &str) -> String {
        let Some(roles) = &self.policy.roles else { return String::new() };
        let groups = self.identity.groups.listed().iter();
        let behind: Vec<&str> =
            groups.filter(|group| roles.map.iter().any(|(pattern, role)| role == member && pattern.fits(group))).map(String::as_str).collect();
        behind.join(", ")
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
            Some(("conflict", _)) => self.conflicts += 1,
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
