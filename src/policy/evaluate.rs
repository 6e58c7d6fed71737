//! The decision: may this request reach its upstream?
//!
//! Lives here: [`evaluate`] and what goes in and out of it. Pure, and the only place that decides: live traffic, `test`, `explain` and the
//! console call it. It knows no HTTP library, no session store and no account.

use super::sections::{MARKED_MAX, Marks};
use super::{Gate, PathSection, Policy, Ways, domains};
use crate::clock::Timestamp;
use crate::expr::{Condition, EvalError, Lookup};
use crate::fault::DenyReason;
use crate::identity::{Groups, Identity, Way, email};
use crate::policy::path::CanonicalPath;
use core::net::{IpAddr, Ipv4Addr};
use serde_json::{Value, json};
use std::cell::OnceCell;

/// How far ahead of our clock a sign-in may lie before it counts as too old: a clock set back must not prolong anything.
const SKEW_MS: i64 = 60_000;

/// A person and when they proved who they are.
#[derive(Debug, Clone, Copy)]
pub struct SignedIn<'a> {
    /// Who it is.
    pub identity: &'a Identity,
    /// When they signed in at the provider.
    pub auth_time: Timestamp,
}

/// What is known of a request.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Method, as received: upper case for every standard one.
    pub method: &'a str,
    /// The canonical path, without query.
    pub path: &'a CanonicalPath<'a>,
    /// The client's address, after trusted proxies.
    pub peer: IpAddr,
    /// Host, lower case, without port.
    pub host: &'a str,
}

/// A section of the policy, by number: [`Policy::place`] says where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// `[login]`.
    Login,
    /// `[access]`.
    Access,
    /// The nth `[[path]]` section, from 0.
    Path(usize),
}

/// The request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// The section that admitted it: the first public one, else the last `[[path]]` that matched, else `[access]`.
    pub rule: Rule,
    /// Whether it passes without a sign-in: then no identity is sent, signed in or not.
    pub public: bool,
}

/// The request may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody is signed in and the path is not public.
    LoginRequired,
    /// Only access tokens are accepted here, and none was shown: signing in in a browser does not help.
    TokenRequired,
    /// All else holds, but the sign-in is older than this.
    FreshLogin {
        /// Milliseconds.
        max_age_ms: i64,
    },
    /// A correct no.
    Denied {
        /// For the person.
        reason: DenyReason,
        /// The section that refused, for ops.
        rule: Rule,
    },
}

/// Decides whether a request may reach its upstream.
///
/// `[access]` and **every** matching `[[path]]` must hold; there is no order and nothing overrides anything. Sections that restrict match
/// generously and sections that open exactly ([`super::path`]). A path is public only when every section that matches it says so. Groups that
/// refuse are looked at first, everywhere. An anonymous request to anything that is not public learns nothing but that it must sign in. The app's own
/// sign-in (`[login] block_paths`) is closed before all else, public or not.
///
/// Pure: the same arguments always give the same decision. Allocates only for `when`.
///
/// # Errors
/// * [`Refusal::LoginRequired`]: nobody is signed in, and no public section admits the request.
/// * [`Refusal::Denied`]: a check failed; `reason` is the first that did.
/// * [`Refusal::FreshLogin`]: everything holds except the age of the sign-in.
/// * [`Refusal::TokenRequired`]: a session, or nobody, where `auth` accepts tokens only.
pub fn evaluate(policy: &Policy, signed_in: Option<SignedIn<'_>>, facts: &Facts<'_>, now: Timestamp) -> Result<Admitted, Refusal> {
    evaluate_by(policy, signed_in, Way::Session, facts, now)
}

/// As [`evaluate`], for somebody who showed who they are in the given `way`; without `signed_in` it means nothing.
///
/// # Errors
/// As [`evaluate`]; [`Refusal::LoginRequired`] also for a token where none is accepted.
pub fn evaluate_by(policy: &Policy, signed_in: Option<SignedIn<'_>>, way: Way, facts: &Facts<'_>, now: Timestamp) -> Result<Admitted, Refusal> {
    if is_blocked(policy, facts) && !may_break_glass(policy, signed_in, way) {
        return Err(Refusal::Denied { reason: DenyReason::LocalSignIn, rule: Rule::Login });
    }
    decide(policy, &Matches::of(policy, facts.path), signed_in, way, facts, now)
}

/// What follows once it is known which sections match.
fn decide(
    policy: &Policy,
    matches: &Matches<'_>,
    signed_in: Option<SignedIn<'_>>,
    way: Way,
    facts: &Facts<'_>,
    now: Timestamp,
) -> Result<Admitted, Refusal> {
    let peer = facts.peer.to_canonical();
    if let Some(index) = matches.public() {
        for (index, section) in matches.sections() {
            request_holds(&section.gate, facts.method, peer).map_err(|reason| Refusal::Denied { reason, rule: Rule::Path(index) })?;
        }
        return Ok(Admitted { rule: Rule::Path(index), public: true });
    }
    let ways = matches.ways();
    let elsewise = if ways.session { Refusal::LoginRequired } else { Refusal::TokenRequired };
    let SignedIn { identity, auth_time } = signed_in.filter(|_| ways.accept(way)).ok_or(elsewise)?;

    if !idp_fits(policy, identity, way) {
        return Err(Refusal::Denied { reason: DenyReason::Idp, rule: Rule::Login });
    }
    let sections =
        || std::iter::once((Rule::Access, &policy.access)).chain(matches.sections().map(|(index, section)| (Rule::Path(index), &section.gate)));
    let denied = |rule: Rule| move |reason: DenyReason| Refusal::Denied { reason, rule };
    for (rule, gate) in sections() {
        not_denied(gate, &identity.groups).map_err(denied(rule))?;
    }
    let names = OnceCell::new();
    let mut last = Rule::Access;
    let mut max_age_ms = policy.login.max_age_ms;
    for (rule, gate) in sections() {
        person_holds(gate, identity).map_err(denied(rule))?;
        request_holds(gate, facts.method, peer).map_err(denied(rule))?;
        // An expression that has no value (an absent claim) denies.
        if gate.when.as_ref().is_some_and(|when| when_holds(when, names.get_or_init(|| Names::new(identity, facts))) != Ok(true)) {
            return Err(denied(rule)(DenyReason::When));
        }
        max_age_ms = [max_age_ms, gate.max_age_ms].into_iter().flatten().min();
        last = rule;
    }
    if let Some(max_age_ms) = max_age_ms
        && !is_fresh(max_age_ms, auth_time, now)
    {
        return Err(Refusal::FreshLogin { max_age_ms });
    }
    Ok(Admitted { rule: last, public: false })
}

/// How people may show who they are at `path`: in no way but those that every matching section accepts. Public sections ask nobody, and say nothing.
pub fn ways(policy: &Policy, path: &CanonicalPath<'_>) -> Ways {
    if policy.bearer.is_none() { Ways::SESSION } else { Matches::of(policy, path).ways() }
}

/// `[login] block_paths`: generously, like everything that restricts, and before anything that opens.
pub(super) fn is_blocked(policy: &Policy, facts: &Facts<'_>) -> bool {
    policy.login.block_paths.iter().any(|pattern| pattern.restricts(facts.method, facts.path))
}

/// `[login] break_glass`: of a sign-in in a browser that counts here, and only by groups that the provider listed.
pub(super) fn may_break_glass(policy: &Policy, signed_in: Option<SignedIn<'_>>, way: Way) -> bool {
    let login = &policy.login;
    signed_in.filter(|_| way == Way::Session).is_some_and(|SignedIn { identity, .. }| {
        login.idp.contains(&identity.idp)
            && identity.groups.listed().iter().any(|name| !name.is_empty() && login.break_glass.iter().any(|pattern| pattern.fits(name)))
    })
}

impl Refusal {
    /// Whether another sign-in could say otherwise: the refusal rests on what the provider said of the person, and on nothing of the request.
    pub fn rests_on_sign_in(&self, policy: &Policy) -> bool {
        let Self::Denied { reason, rule } = self else { return false };
        match reason {
            DenyReason::Groups | DenyReason::DenyGroups | DenyReason::Domains | DenyReason::EmailUnverified => true,
            DenyReason::When => {
                let gate = match rule {
                    Rule::Path(index) => policy.paths.get(*index).map(|section| &section.gate),
                    Rule::Access | Rule::Login => Some(&policy.access),
                };
                gate.and_then(|gate| gate.when.as_ref()).is_some_and(|when| !when.names().iter().all(|name| is_of_request(name)))
            }
            DenyReason::Networks
            | DenyReason::MaxAge
            | DenyReason::Required
            | DenyReason::Methods
            | DenyReason::Idp
            | DenyReason::Origin
            | DenyReason::LocalSignIn => false,
        }
    }
}

/// Which `[[path]]` sections match: found once a request, and nothing is allocated.
pub(super) struct Matches<'a> {
    policy: &'a Policy,
    path: &'a CanonicalPath<'a>,
    /// Of the first sections; any further ones are tried when asked for.
    marks: Marks,
}

impl<'a> Matches<'a> {
    pub(super) fn of(policy: &'a Policy, path: &'a CanonicalPath<'a>) -> Self {
        Self { policy, path, marks: policy.paths.matching(path) }
    }

    /// By trying every section: what the index is held against.
    #[cfg(test)]
    fn tried(policy: &'a Policy, path: &'a CanonicalPath<'a>) -> Self {
        let mut marks = Marks::default();
        policy.paths.iter().enumerate().filter(|(_, section)| section.applies(path)).for_each(|(index, _)| marks.set(index));
        Self { policy, path, marks }
    }

    /// In the order of the file.
    pub(super) fn sections(&self) -> impl Iterator<Item = (usize, &'a PathSection)> {
        let marked = self.marks.iter(self.policy.paths.len()).filter_map(|index| Some((index, self.policy.paths.get(index)?)));
        let further = self.policy.paths.iter().enumerate().skip(MARKED_MAX).filter(|(_, section)| section.applies(self.path));
        marked.chain(further)
    }

    /// What all that match accept. The way in by a token is opened like a public path: by exact bytes only.
    pub(super) fn ways(&self) -> Ways {
        let mut ways = Ways::SESSION;
        if self.policy.bearer.is_none() {
            return ways;
        }
        let (mut opened, mut closed) = (false, false);
        for (_, section) in self.sections().filter(|(_, section)| !section.public) {
            ways.session &= section.auth.session;
            closed |= !section.auth.bearer;
            opened |= section.auth.bearer && section.gives(self.path);
        }
        ways.bearer = opened && !closed;
        ways
    }

    /// The first public section, when every section that matches is public.
    pub(super) fn public(&self) -> Option<usize> {
        let mut first = None;
        for (index, section) in self.sections() {
            if !section.public {
                return None;
            }
            first = first.or(Some(index));
        }
        first
    }
}

/// `[login] idp`, and `[bearer] idp` for tokens.
pub(super) fn idp_fits(policy: &Policy, identity: &Identity, way: Way) -> bool {
    match way {
        Way::Session => policy.login.idp.contains(&identity.idp),
        Way::Bearer => policy.bearer.as_ref().is_some_and(|bearer| bearer.idp == identity.idp),
    }
}

/// `deny_groups`. A provider that did not say which groups there are has not said that this person is in none of these.
pub(super) fn not_denied(gate: &Gate, groups: &Groups) -> Result<(), DenyReason> {
    if gate.deny_groups.is_empty() {
        return Ok(());
    }
    let refused = match groups {
        Groups::Unknown => true,
        // Refusals match generously: a provider that changes letter case must not lift them.
        Groups::Known(names) => names.iter().any(|name| gate.deny_groups.iter().any(|pattern| pattern.fits_any_case(name))),
    };
    if refused { Err(DenyReason::DenyGroups) } else { Ok(()) }
}

/// `domains` and `groups`.
fn person_holds(gate: &Gate, identity: &Identity) -> Result<(), DenyReason> {
    domains_hold(gate, identity)?;
    groups_hold(gate, &identity.groups)
}

/// `domains`.
pub(super) fn domains_hold(gate: &Gate, identity: &Identity) -> Result<(), DenyReason> {
    if !gate.domains.is_empty() {
        // CVE-2026-40574: exactly one @, whole domain.
        let domain = identity.email.as_deref().and_then(email::domain_part).ok_or(DenyReason::Domains)?;
        if !gate.domains.iter().any(|accepted| domains::accepts(accepted, domain)) {
            return Err(DenyReason::Domains);
        }
        if !identity.email_verified {
            return Err(DenyReason::EmailUnverified);
        }
    }
    Ok(())
}

/// `groups`.
pub(super) fn groups_hold(gate: &Gate, groups: &Groups) -> Result<(), DenyReason> {
    if !gate.groups.is_empty() && !groups.listed().iter().any(|name| !name.is_empty() && gate.groups.iter().any(|pattern| pattern.fits(name))) {
        return Err(DenyReason::Groups);
    }
    Ok(())
}

/// Why `[login]` and `[access]` refuse a person whatever they ask for; `None`: whether they may enter rests on the request. For plans, which are about people:
/// requests are decided by [`evaluate`], and a public page says nothing of who gets an account.
pub fn refuses_everywhere(policy: &Policy, identity: &Identity, way: Way) -> Option<(DenyReason, Rule)> {
    if !idp_fits(policy, identity, way) {
        return Some((DenyReason::Idp, Rule::Login));
    }
    let gate = &policy.access;
    if let Err(reason) = not_denied(gate, &identity.groups).and_then(|()| person_holds(gate, identity)) {
        return Some((reason, Rule::Access));
    }
    let when = gate.when.as_ref().filter(|when| !when.names().iter().any(|name| is_of_request(name)))?;
    let path = CanonicalPath::parse("/").ok()?;
    let facts = Facts { method: "GET", path: &path, peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED), host: &policy.host };
    (when_holds(when, &Names::new(identity, &facts)) != Ok(true)).then_some((DenyReason::When, Rule::Access))
}

fn is_of_request(name: &str) -> bool {
    name == "request" || name.starts_with("request.")
}

/// `networks` and `methods`.
fn request_holds(gate: &Gate, method: &str, peer: IpAddr) -> Result<(), DenyReason> {
    networks_hold(gate, peer)?;
    methods_hold(gate, method)
}

/// `networks`; `peer` in its canonical form.
pub(super) fn networks_hold(gate: &Gate, peer: IpAddr) -> Result<(), DenyReason> {
    if !gate.networks.is_empty() && !gate.networks.iter().any(|network| network.contains(&peer)) {
        return Err(DenyReason::Networks);
    }
    Ok(())
}

/// `methods`.
pub(super) fn methods_hold(gate: &Gate, method: &str) -> Result<(), DenyReason> {
    if !gate.methods.is_empty() && !gate.methods.iter().any(|accepted| accepted == method) {
        return Err(DenyReason::Methods);
    }
    Ok(())
}

/// `when`; [`Names`] say what is known.
pub(super) fn when_holds(when: &Condition, names: &Names<'_>) -> Result<bool, EvalError> {
    when.holds(names)
}

/// `max_age`: whether a sign-in is recent enough. One of unknown age (the epoch) never is.
pub(super) fn is_fresh(max_age_ms: i64, auth_time: Timestamp, now: Timestamp) -> bool {
    (-SKEW_MS..=max_age_ms).contains(&now.since_ms(auth_time))
}

/// Answers for the names of a `when`, each made on first use.
pub(super) struct Names<'a> {
    identity: &'a Identity,
    facts: &'a Facts<'a>,
    values: [OnceCell<Option<Value>>; NAMES.len()],
}

/// The names a `when` may use; `request` last. The types are in `compile.rs`.
const NAMES: [&str; 10] = ["email", "email_verified", "name", "given_name", "family_name", "username", "groups", "idp", "claims", "request"];

impl<'a> Names<'a> {
    pub(super) const fn new(identity: &'a Identity, facts: &'a Facts<'a>) -> Self {
        Self { identity, facts, values: [const { OnceCell::new() }; NAMES.len()] }
    }

    fn value(&self, name: &str) -> Option<Value> {
        let text = |value: &Option<String>| value.clone().map(Value::String);
        let who = self.identity;
        match name {
            "email" => text(&who.email),
            "email_verified" => Some(Value::Bool(who.email_verified)),
            "name" => text(&who.name),
            "given_name" => text(&who.given_name),
            "family_name" => text(&who.family_name),
            "username" => text(&who.username),
            // Unknown is not empty: an expression over groups then has no value, and denies.
            "groups" => match &who.groups {
                Groups::Known(names) => Some(json!(names)),
                Groups::Unknown => None,
            },
            "idp" => Some(Value::String(who.idp.clone())),
            "claims" => Some(Value::Object(who.claims.clone())),
            "request" => Some(json!({
                "method": self.facts.method,
                "path": self.facts.path.as_str(),
                "host": self.facts.host,
                "ip": self.facts.peer.to_canonical().to_string(),
            })),
            _ => None,
        }
    }
}

impl Lookup for Names<'_> {
    fn name(&self, name: &str) -> Option<&Value> {
        let index = NAMES.iter().position(|known| *known == name)?;
        self.values.get(index)?.get_or_init(|| self.value(name)).as_ref()
    }
}

#[cfg(test)]
mod index_tests;
#[cfg(test)]
mod tests;
