//! Why a decision is what it is.
//!
//! Lives here: [`explain`], the sibling of [`evaluate_by`]: where that stops at the first check that fails, this one makes every check of every section that
//! applies and says in words how it went. It cannot disagree: the verdict is `evaluate`'s own, the checks are the same functions, and a property test holds the
//! one against the other. Apart because the hot path must not pay for words. For operators only: people see a `PublicMessage`.

use super::evaluate::{
    Admitted, Facts, Matches, Names, Refusal, Rule, SignedIn, domains_hold, evaluate_by, groups_hold, idp_fits, is_blocked, is_fresh,
    may_break_glass, methods_hold, networks_hold, not_denied, when_holds,
};
use super::{Gate, Glob, PathSection, Policy, Ways};
use crate::clock::Timestamp;
use crate::expr::EvalError;
use crate::fault::DenyReason;
use crate::identity::{Groups, Identity, Way, email};
use crate::source::value::duration_text;
use core::fmt::Display;
use core::net::IpAddr;
use ipnet::IpNet;

/// A decision with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What live traffic gets.
    pub verdict: Result<Admitted, Refusal>,
    /// The sections that apply, in the order of the file; `[login]`, which always does, is not listed.
    pub matched: Vec<Rule>,
    /// Every check of these sections, those that did not matter any more included.
    pub checks: Vec<Check>,
}

/// One key of one section, and how it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The section.
    pub rule: Rule,
    /// The key: `groups`, `when`, `max_age`.
    pub key: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// In words: `redmine-devs fits "redmine-*"`. May hold group names, addresses and conditions.
    pub says: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It does not, for this reason.
    Fails(DenyReason),
    /// Nobody is signed in, so nobody can tell.
    Open,
    /// Shown in a way that is not accepted here: a session where only tokens are, or a token where none is.
    OtherWay,
}

impl Explanation {
    /// The check that the verdict rests on: the one that refused, or that asks for a newer sign-in, or for another way to show who one is.
    pub fn deciding(&self) -> Option<&Check> {
        match self.verdict {
            Err(Refusal::Denied { reason, rule }) => self.checks.iter().find(|check| check.rule == rule && check.outcome == Outcome::Fails(reason)),
            Err(Refusal::FreshLogin { .. }) => self.checks.iter().find(|check| check.outcome == Outcome::Fails(DenyReason::MaxAge)),
            Err(Refusal::LoginRequired | Refusal::TokenRequired) => self.checks.iter().find(|check| check.outcome == Outcome::OtherWay),
            Ok(_) => None,
        }
    }
}

/// Explains what [`evaluate_by`] decides for the same arguments.
///
/// Pure; allocates freely, and makes checks that the decision no longer needs.
pub fn explain(policy: &Policy, signed_in: Option<SignedIn<'_>>, way: Way, facts: &Facts<'_>, now: Timestamp) -> Explanation {
    let verdict = evaluate_by(policy, signed_in, way, facts, now);
    let sections = Matches::of(policy, facts.path);
    let public = sections.public().is_some();
    let mut asked = Asked { signed_in, facts, peer: facts.peer.to_canonical(), now, checks: Vec::new() };
    let mut matched = Vec::new();
    asked.block_paths(policy, way);
    if !public {
        asked.way(&sections, way, policy.bearer.is_some());
        asked.login(policy, way);
        matched.push(Rule::Access);
        asked.gate(Rule::Access, &policy.access);
    }
    for (index, section) in sections.sections() {
        matched.push(Rule::Path(index));
        if section.public {
            asked.tell(
                Rule::Path(index),
                "public",
                Outcome::Holds,
                if public { "no sign-in needed" } else { "but another section asks for a sign-in" },
            );
        }
        if public {
            asked.request(Rule::Path(index), &section.gate);
        } else {
            asked.gate(Rule::Path(index), &section.gate);
        }
    }
    Explanation { verdict, matched, checks: asked.checks }
}

/// What the checks are made of, and how they went so far.
struct Asked<'a> {
    signed_in: Option<SignedIn<'a>>,
    facts: &'a Facts<'a>,
    peer: IpAddr,
    now: Timestamp,
    checks: Vec<Check>,
}

impl Asked<'_> {
    fn tell(&mut self, rule: Rule, key: &'static str, outcome: Outcome, says: impl Into<String>) {
        self.checks.push(Check { rule, key, outcome, says: says.into() });
    }

    /// A check that asks who somebody is.
    fn person(&mut self, rule: Rule, key: &'static str, check: impl FnOnce(&SignedIn<'_>) -> (Result<(), DenyReason>, String)) {
        let Some(signed_in) = self.signed_in else { return self.tell(rule, key, Outcome::Open, "nobody is signed in") };
        let (held, says) = check(&signed_in);
        // A missing verification is a matter of its own: its key is the reason's.
        let key = if held == Err(DenyReason::EmailUnverified) { DenyReason::EmailUnverified.key() } else { key };
        self.tell(rule, key, outcome(held), says);
    }

    /// Said only where it matters: a line about every path that is not blocked would be noise.
    fn block_paths(&mut self, policy: &Policy, way: Way) {
        if !is_blocked(policy, self.facts) {
            return;
        }
        let exempt = may_break_glass(policy, self.signed_in, way);
        let groups = globs(&policy.login.break_glass);
        let (held, says) = match (exempt, policy.login.break_glass.is_empty()) {
            (true, _) => (Ok(()), format!("the app's own sign-in, open to {groups}")),
            (false, true) => (Err(DenyReason::LocalSignIn), "the app's own sign-in: signing in happens at the gateway".to_owned()),
            (false, false) => (Err(DenyReason::LocalSignIn), format!("the app's own sign-in, open to none but {groups}")),
        };
        self.tell(Rule::Login, DenyReason::LocalSignIn.key(), outcome(held), says);
    }

    /// `auth`, of all sections that match together; nothing to say where tokens are nothing and none was shown.
    /// Told of the section that says so: `auth` is a key of `[[path]]`; where none has it, of `[login]`, where sessions come from.
    fn way(&mut self, sections: &Matches<'_>, way: Way, takes_tokens: bool) {
        if self.signed_in.is_none() || (!takes_tokens && way == Way::Session) {
            return;
        }
        let accepted = sections.ways();
        let named = |way: Way| if way == Way::Session { "a session" } else { "an access token" };
        let ways: Vec<&str> = [Way::Session, Way::Bearer].into_iter().filter(|way| accepted.accept(*way)).map(named).collect();
        let holds = accepted.accept(way);
        let outcome = if holds { Outcome::Holds } else { Outcome::OtherWay };
        let tells = |section: &PathSection| !section.public && section.auth.accept(way) == holds;
        let written = sections.sections().find(|(_, section)| section.auth != Ways::SESSION && tells(section));
        let says = written.or_else(|| sections.sections().find(|(_, section)| !holds && tells(section)));
        let rule = says.map_or(Rule::Login, |(index, _)| Rule::Path(index));
        let accepted = if ways.is_empty() { "nothing".to_owned() } else { ways.join(" or ") };
        self.tell(rule, "auth", outcome, format!("{}; accepted here: {accepted}", named(way)));
    }

    fn login(&mut self, policy: &Policy, way: Way) {
        let of_bearer = policy.bearer.as_ref().map(|bearer| bearer.idp.clone());
        let accepted = if way == Way::Session { policy.login.idp.clone() } else { of_bearer.into_iter().collect() };
        self.person(Rule::Login, "idp", |who| {
            let idp = &who.identity.idp;
            if idp_fits(policy, who.identity, way) {
                (Ok(()), idp.clone())
            } else {
                (Err(DenyReason::Idp), format!("{idp} is none of {}", list(&accepted)))
            }
        });
        if let Some(max_age_ms) = policy.login.max_age_ms {
            self.max_age(Rule::Login, max_age_ms);
        }
    }

    /// Every key of a section. A new key of [`Gate`] does not compile here until it has its line.
    fn gate(&mut self, rule: Rule, gate: &Gate) {
        let Gate { everyone, domains, groups, deny_groups, networks: _, methods: _, when, max_age_ms, recheck_ms: _ } = gate;
        if *everyone {
            self.person(rule, "everyone", |_| (Ok(()), "any signed-in person".to_owned()));
        }
        if !deny_groups.is_empty() {
            self.person(rule, "deny_groups", |who| (not_denied(gate, &who.identity.groups), said_of_refused(deny_groups, &who.identity.groups)));
        }
        if !domains.is_empty() {
            self.person(rule, "domains", |who| {
                let held = domains_hold(gate, who.identity);
                (held, said_of_domain(held, domains, who.identity))
            });
        }
        if !groups.is_empty() {
            self.person(rule, "groups", |who| (groups_hold(gate, &who.identity.groups), said_of_groups(groups, &who.identity.groups)));
        }
        self.request(rule, gate);
        if let Some(when) = when {
            let facts = self.facts;
            self.person(rule, "when", |who| match when_holds(when, &Names::new(who.identity, facts)) {
                Ok(true) => (Ok(()), when.as_str().to_owned()),
                Ok(false) => (Err(DenyReason::When), format!("does not hold: {}", when.as_str())),
                Err(EvalError::Absent(name)) => (Err(DenyReason::When), format!("`{name}` is absent, so this denies: {}", when.as_str())),
                Err(EvalError::Type(problem)) => (Err(DenyReason::When), format!("{problem}, so this denies: {}", when.as_str())),
            });
        }
        if let Some(max_age_ms) = max_age_ms {
            self.max_age(rule, *max_age_ms);
        }
    }

    /// The keys of a section that ask about the request alone.
    fn request(&mut self, rule: Rule, gate: &Gate) {
        if !gate.networks.is_empty() {
            let held = networks_hold(gate, self.peer);
            self.tell(rule, "networks", outcome(held), said_of_network(&gate.networks, self.peer));
        }
        if !gate.methods.is_empty() {
            let (held, method) = (methods_hold(gate, self.facts.method), self.facts.method);
            let says = if held.is_ok() { method.to_owned() } else { format!("{method} is none of {}", list(&gate.methods)) };
            self.tell(rule, "methods", outcome(held), says);
        }
    }

    fn max_age(&mut self, rule: Rule, max_age_ms: i64) {
        let now = self.now;
        self.person(rule, "max_age", |who| {
            let held = if is_fresh(max_age_ms, who.auth_time, now) { Ok(()) } else { Err(DenyReason::MaxAge) };
            let (age_ms, limit) = (now.since_ms(who.auth_time), duration_text(max_age_ms));
            let says = if held.is_ok() {
                format!("{} of {limit}", duration_text(age_ms.max(0)))
            } else if who.auth_time == Timestamp::default() {
                format!("the provider did not say when the person signed in, and {limit} is the limit")
            } else if age_ms < 0 {
                format!("signed in {} ahead of this machine's clock", duration_text(-age_ms))
            } else {
                format!("{}, more than {limit}", duration_text(age_ms))
            };
            (held, says)
        });
    }
}

const fn outcome(held: Result<(), DenyReason>) -> Outcome {
    match held {
        Ok(()) => Outcome::Holds,
        Err(reason) => Outcome::Fails(reason),
    }
}

fn said_of_refused(patterns: &[Glob], groups: &Groups) -> String {
    match groups {
        Groups::Unknown => "the provider did not say which groups there are, so this denies".to_owned(),
        Groups::Known(names) => match fitting(patterns, names, Glob::fits_any_case) {
            Some((name, pattern)) => format!("{name} fits {:?}", pattern.as_str()),
            None => format!("none of the person's groups fits {}", globs(patterns)),
        },
    }
}

fn said_of_groups(patterns: &[Glob], groups: &Groups) -> String {
    match groups {
        Groups::Unknown => format!("the provider did not say which groups there are, so none fits {}", globs(patterns)),
        Groups::Known(names) => match fitting(patterns, names, |pattern, name| !name.is_empty() && pattern.fits(name)) {
            Some((name, pattern)) => format!("{name} fits {:?}", pattern.as_str()),
            None => format!("none of the person's groups fits {}", globs(patterns)),
        },
    }
}

fn fitting<'a>(patterns: &'a [Glob], names: &'a [String], fits: impl Fn(&Glob, &str) -> bool) -> Option<(&'a str, &'a Glob)> {
    names.iter().find_map(|name| Some((name.as_str(), patterns.iter().find(|pattern| fits(pattern, name))?)))
}

fn said_of_domain(held: Result<(), DenyReason>, domains: &[String], identity: &Identity) -> String {
    let Some(address) = identity.email.as_deref() else { return "no e-mail address was asserted".to_owned() };
    match (held, email::domain_part(address)) {
        (Ok(()), _) => format!("{address}, verified"),
        (Err(DenyReason::EmailUnverified), _) => format!("the provider does not vouch for {address}"),
        (Err(_), Some(domain)) => format!("{domain} is none of {}", list(domains)),
        (Err(_), None) => "the e-mail address is not one address".to_owned(),
    }
}

fn said_of_network(networks: &[IpNet], peer: IpAddr) -> String {
    match networks.iter().find(|network| network.contains(&peer)) {
        Some(network) => format!("{peer} is in {network}"),
        None if peer.is_unspecified() => format!("no address is known, and it must be in one of {}", list(networks)),
        None => format!("{peer} is in none of {}", list(networks)),
    }
}

/// `["a", "b"]`, as a policy writes it.
fn list(values: &[impl Display]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

fn globs(patterns: &[Glob]) -> String {
    let written: Vec<&str> = patterns.iter().map(Glob::as_str).collect();
    list(&written)
}

#[cfg(test)]
mod tests;
