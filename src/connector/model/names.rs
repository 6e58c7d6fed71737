//! Names that the steps of a verb leave to those after them: `outcome.STEP`, `saved.NAME`, `session.NAME`, and what an `item` of `each` is.
//!
//! Apart because a misspelt one would be no mistake that anybody sees: what is absent makes an `if` false, and the step is skipped for good.

use super::{Effect, MemberVerb, Rule, Verb};
use crate::connector::Outcome;
use crate::expr::{Env, Type};
use crate::source::{Node, Table};

/// What steps that run earlier leave.
#[derive(Clone, Default)]
pub(super) struct Left {
    outcomes: Vec<String>,
    saved: Vec<String>,
}

impl Left {
    /// Before the first step of `verb`: what looking for the id of a membership has saved.
    pub(super) fn before(table: &Table, verb: &Verb) -> Self {
        let Verb::Members(kind, MemberVerb::Add | MemberVerb::Remove | MemberVerb::Set) = verb else { return Self::default() };
        let resolve = table.get("resolve").and_then(|entry| entry.node.as_table()?.get(kind)).and_then(|entry| entry.node.as_list());
        Self { outcomes: Vec::new(), saved: resolve.into_iter().flatten().flat_map(saves).collect() }
    }

    /// After `step` too.
    pub(super) fn note(&mut self, step: &Node) {
        self.outcomes.extend(step.as_table().and_then(|table| table.text("name")).map(str::to_owned));
        self.saved.extend(saves(step));
    }

    /// `env` with them. A step that was skipped leaves nothing.
    pub(super) fn over(&self, env: &Env) -> Env {
        env.clone().with("outcome", record(&self.outcomes, &Type::Text), false).with("saved", record(&self.saved, &Type::Dynamic), false)
    }
}

/// `session`: what the pre-steps of the file save, but for the token itself and its time.
pub(super) fn session(table: &Table) -> Type {
    let steps = ["token", "session"].into_iter().filter_map(|key| Some((key, table.get(key)?.node.as_list()?)));
    let names = steps
        .flat_map(|(key, steps)| steps.iter().flat_map(saves).filter(move |name| name != "expires_in" && (key, name.as_str()) != ("token", "token")));
    record(&names.collect::<Vec<_>>(), &Type::Dynamic)
}

/// What `item` is while a list of this type is gone through.
pub(super) fn item(list: &Type) -> Type {
    match list {
        Type::List(element) => element.as_ref().clone(),
        Type::Text | Type::Bool | Type::Int | Type::Record(_) | Type::Dynamic => Type::Dynamic,
    }
}

/// What `item` is for `roles.added` and the like: a role is a text, an organisation has an id and perhaps a role.
pub(super) fn item_of_kind(kind: &str) -> Type {
    if kind == "orgs" { Type::Record(vec![("id".to_owned(), Type::Dynamic, false), ("role".to_owned(), Type::Text, true)]) } else { Type::Text }
}

/// Whether a step can come to `outcome`: by a line of its `classify`, by its `select`, or by an answer that no line knows.
pub(super) fn may_come_to(outcome: Outcome, effect: Effect, classify: &[Rule], selects: bool) -> bool {
    let unknown = if effect == Effect::Read { Outcome::Retry } else { Outcome::InDoubt };
    let of_select = [Outcome::Absent, Outcome::Ambiguous, Outcome::Conflict, Outcome::Retry];
    classify.iter().any(|rule| rule.outcome == outcome)
        || matches!(outcome, Outcome::Reauth | Outcome::Retry)
        || outcome == unknown
        || (selects && of_select.contains(&outcome))
}

fn saves(step: &Node) -> Vec<String> {
    let saved = step.as_table().and_then(|table| table.get("save")).and_then(|entry| entry.node.as_table());
    saved.map(|saved| saved.entries.iter().map(|entry| entry.key.clone()).collect()).unwrap_or_default()
}

fn record(names: &[String], of: &Type) -> Type {
    Type::Record(names.iter().map(|name| (name.clone(), of.clone(), true)).collect())
}
