//! The three-way difference between what was applied, what is wanted and what is there.
//!
//! Lives here: [`diff`] and its answer, [`Plan`]. Apart from the nouns of `plan/` because it is the one place where it is decided that
//! something is granted or taken back. It never knows who asks: `plan`, `explain`, tests and live traffic get the same answer.
//!
//! `add = desired - live`, `remove = (applied and live) - desired`, and `live - applied` stays: somebody granted it by hand.

use super::{Account, Applied, Desired, Members, Step, Wanted};
use crate::policy::{Drift, Sync};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the difference may do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent answers, always written by name")]
pub struct DiffRules {
    /// Whether the gateway keeps this account in step at all; false for one that was there before and is left alone.
    pub manage: bool,
    /// The gateway has made this account and not finished with it: what is wanted and already there came with the create, and is ours.
    pub fresh: bool,
    /// Whether a disabled account may be switched on: only when it was this gateway that disabled it.
    pub enable: bool,
    /// Whether attributes of an existing account are kept in step.
    pub sync_attributes: bool,
    /// When memberships of a kind are applied; kinds that are not named are kept in step at every sign-in.
    pub sync_memberships: BTreeMap<String, Sync>,
    /// What becomes of what the gateway has set and somebody has changed.
    pub drift: Drift,
    /// Roles from lowest to highest, as far as the app orders them: a higher role that somebody gave by hand is not lowered.
    pub role_order: Vec<String>,
}

impl Default for DiffRules {
    fn default() -> Self {
        Self {
            manage: true,
            fresh: false,
            enable: false,
            sync_attributes: true,
            sync_memberships: BTreeMap::new(),
            drift: Drift::Correct,
            role_order: Vec::new(),
        }
    }
}

impl DiffRules {
    /// Whether `shown` is more than `wanted`.
    fn is_higher(&self, shown: Option<&String>, wanted: Option<&String>) -> bool {
        let rank = |role: Option<&String>| self.role_order.iter().position(|known| Some(known) == role);
        matches!((rank(shown), rank(wanted)), (Some(shown), Some(wanted)) if shown > wanted)
    }

    /// Whether memberships of `kind` are touched now.
    fn touches(&self, kind: &str, making: bool) -> bool {
        match self.sync_memberships.get(kind).copied().unwrap_or_default() {
            Sync::Login => true,
            Sync::Create => making || self.fresh,
            Sync::Never => false,
        }
    }
}

/// A membership that is there, is not wanted, and was not granted by this gateway: untouched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// Kind.
    pub kind: String,
    /// Name or id.
    pub member: String,
}

/// Why an account cannot be brought to what is wanted without a human.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// It is disabled, and not by this gateway: whoever did that had a reason.
    Disabled,
}

/// What to do, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// What counts as put there by this gateway before the first step. [`Applied::note`] moves it on, step by step.
    pub base: Applied,
    /// The steps. What is taken back comes before what is granted.
    pub steps: Vec<Step>,
    /// What is not ours and stays.
    pub kept: Vec<Kept>,
    /// What the gateway had set and somebody has changed at the app: `email`, `group devs`. With [`Drift::Correct`] there are steps that set it again.
    pub drift: Vec<String>,
    /// Set when a human is needed; there are no steps then.
    pub blocked: Option<Blocked>,
}

impl Plan {
    /// What this gateway will have put there once every step has worked.
    pub fn applied(&self) -> Applied {
        let mut applied = self.base.clone();
        self.steps.iter().for_each(|step| applied.note(step));
        applied
    }
}

/// The steps from `observed` to `desired`, given what was `applied` before. `None` means that there is no account.
///
/// Pure and total. Three properties hold for all inputs, and are tested as such: after the steps have worked, the same call finds nothing
/// to do; nothing outside `applied` and `desired` is ever removed; a kind whose groups are [`Wanted::Unknown`] is never touched.
///
/// A kind that the app cannot list (absent from `observed.memberships`) is taken to be as last applied. A kind that `desired` does not
/// mention is not managed (any more) and is left alone.
pub fn diff(applied: &Applied, desired: &Desired, observed: Option<&Account>, rules: &DiffRules) -> Plan {
    let Some(account) = observed else { return making(desired, rules) };
    if account.disabled && !rules.enable {
        return Plan { base: applied.clone(), blocked: Some(Blocked::Disabled), ..Plan::default() };
    }
    if !rules.manage {
        return Plan { base: applied.clone(), ..Plan::default() };
    }
    let mut plan = Plan { base: applied.clone(), ..Plan::default() };
    if account.disabled {
        plan.steps.push(Step::Enable);
    }
    if rules.sync_attributes || rules.fresh {
        let mut changes = attribute_changes(applied, desired, account);
        let drifted = |name: &String, wanted: &Value| applied.attributes.get(name).is_some_and(|set| same(set, wanted));
        plan.drift.extend(changes.iter().filter(|(name, wanted)| drifted(name, wanted)).map(|(name, _)| name.clone()));
        if rules.drift == Drift::Report {
            changes.retain(|name, wanted| !drifted(name, wanted));
        }
        if !changes.is_empty() {
            plan.steps.push(Step::Update(changes));
        }
    }
    let mut grants = Vec::new();
    for (kind, wanted) in &desired.memberships {
        if let Wanted::Known(wanted) = wanted
            && rules.touches(kind, false)
        {
            let live = account.memberships.get(kind);
            memberships(&mut plan, &mut grants, kind, wanted, live, rules);
        }
    }
    plan.steps.append(&mut grants);
    plan
}

/// The plan for an account that is not there: make it, then grant. Nothing that was applied to an earlier one counts.
fn making(desired: &Desired, rules: &DiffRules) -> Plan {
    let mut wanted = desired.clone();
    wanted.memberships.retain(|kind, _| rules.touches(kind, true));
    let grants = wanted.memberships.iter().filter_map(|(kind, wanted)| match wanted {
        Wanted::Unknown => None,
        Wanted::Known(members) => Some((kind, members)),
    });
    let grants: Vec<Step> = grants.flat_map(|(kind, members)| members.iter().map(|(member, role)| add(kind, member, role.as_ref()))).collect();
    let mut steps = vec![Step::Create(wanted)];
    steps.extend(grants);
    Plan { steps, ..Plan::default() }
}

/// Attributes that differ. One that the app does not show is compared with what was last put there.
fn attribute_changes(applied: &Applied, desired: &Desired, account: &Account) -> BTreeMap<String, Value> {
    let differs =
        |name: &String, wanted: &Value| account.attributes.get(name).or_else(|| applied.attributes.get(name)).is_none_or(|is| !same(is, wanted));
    desired.attributes.iter().filter(|&(name, wanted)| differs(name, wanted)).map(|(name, wanted)| (name.clone(), wanted.clone())).collect()
}

/// Whether an app that shows `is` has what `wanted` says: `14` and `"14"` are the same to an app that stores text.
fn same(is: &Value, wanted: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    is == wanted || matches!((text(is), text(wanted)), (Some(is), Some(wanted)) if is == wanted)
}

/// One kind of membership: removals go to `plan.steps`, grants to `grants`.
fn memberships(plan: &mut Plan, grants: &mut Vec<Step>, kind: &str, wanted: &Members, live: Option<&Members>, rules: &DiffRules) {
    let applied = plan.base.memberships.remove(kind).unwrap_or_default();
    let there = live.unwrap_or(&applied);
    // What somebody took away by hand is no longer ours to take away; it is granted again below if it is still wanted.
    let mut ours: Members = applied.iter().filter(|(member, _)| there.contains_key(*member)).map(|(m, r)| (m.clone(), r.clone())).collect();
    let drifted = |member: &String, role: &Option<String>| applied.get(member) == Some(role);
    for (member, role) in there {
        match wanted.get(member) {
            Some(wanted_role) => {
                if has_role(role.as_ref(), applied.get(member), wanted_role.as_ref()) {
                    if rules.fresh {
                        ours.insert(member.clone(), wanted_role.clone());
                    }
                } else if !rules.fresh && !applied.contains_key(member) && rules.is_higher(role.as_ref(), wanted_role.as_ref()) {
                    plan.kept.push(Kept { kind: kind.to_owned(), member: member.clone() });
                } else {
                    let is_drift = drifted(member, wanted_role);
                    if is_drift {
                        plan.drift.push(format!("{kind} {member}"));
                    }
                    if !is_drift || rules.drift == Drift::Correct {
                        grants.push(add(kind, member, wanted_role.as_ref()));
                    }
                }
            }
            None if ours.contains_key(member) => plan.steps.push(Step::Remove { kind: kind.to_owned(), member: member.clone() }),
            None => plan.kept.push(Kept { kind: kind.to_owned(), member: member.clone() }),
        }
    }
    for (member, role) in wanted.iter().filter(|(member, _)| !there.contains_key(*member)) {
        let is_drift = drifted(member, role);
        if is_drift {
            plan.drift.push(format!("{kind} {member}"));
        }
        if is_drift && rules.drift == Drift::Report {
            // It stays what was last set: what somebody took away is not granted again by being looked at twice.
            ours.insert(member.clone(), role.clone());
        } else {
            grants.push(add(kind, member, role.as_ref()));
        }
    }
    if !ours.is_empty() {
        plan.base.memberships.insert(kind.to_owned(), ours);
    }
}

/// Whether a membership that is there has the role that is wanted. An app that does not show roles is taken to have what was last set.
fn has_role(shown: Option<&String>, applied: Option<&Option<String>>, wanted: Option<&String>) -> bool {
    match (wanted, shown) {
        (None, _) => true,
        (Some(wanted), Some(shown)) => wanted == shown,
        (Some(wanted), None) => applied.and_then(Option::as_ref) == Some(wanted),
    }
}

fn add(kind: &str, member: &str, role: Option<&String>) -> Step {
    Step::Add { kind: kind.to_owned(), member: member.to_owned(), role: role.cloned() }
}

#[cfg(test)]
mod tests;
