//! `[defaults]`: what every step of a connector has in common, for an app with one address for everything (JSON-RPC, GraphQL).

use super::call::{self, METHODS};
use super::read::Reader;
use super::{Effect, Rule};
use crate::source::Table;

/// `[defaults]`.
#[derive(Default)]
pub(super) struct Defaults<'t> {
    /// Has the request of steps that name none.
    pub(super) request: Option<&'t Table>,
    /// Looked at before each step's own lines.
    pub(super) classify: Vec<Rule>,
}

pub(super) fn parse<'t>(reader: &mut Reader<'_>, table: &'t Table) -> Defaults<'t> {
    let mut known: Vec<&str> = METHODS.iter().map(|(key, _)| *key).collect();
    known.push("classify");
    reader.keys(table, "`[defaults]`", &known);
    let mut classify = Vec::new();
    if let Some(entry) = table.get("classify") {
        for node in reader.list(&entry.node) {
            // A line for every step must be true of every step.
            let before = reader.problems.len();
            let rule = call::rule(reader, node, Effect::Read);
            if reader.problems.len() == before {
                drop(call::rule(reader, node, Effect::Write));
            }
            classify.extend(rule);
        }
    }
    let request = METHODS.iter().any(|(key, _)| table.get(key).is_some()).then_some(table);
    Defaults { request, classify }
}
