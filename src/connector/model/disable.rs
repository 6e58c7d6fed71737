//! `disable_by` and `[single]`: what taking away means at an app, as written.
//!
//! Apart because no two apps agree on what a switched-off account is: a flag, a group that lets nobody in, no membership at all, or none of it.

use super::read::Reader;
use super::{DisableBy, Model, Verb};
use crate::expr::{Env, Template};
use crate::source::Table;

pub(super) fn parse(reader: &mut Reader<'_>, table: &Table, model: &mut Model, settings: &Env) {
    let words = [("flag", 0), ("group", 1), ("members_removed", 2), ("delete", 3), ("none", 4)];
    let Some(entry) = table.get("disable_by") else {
        model.disable_by = match (model.can(&Verb::Disable), model.can(&Verb::Delete)) {
            (true, _) => vec![DisableBy::Flag],
            (false, true) => vec![DisableBy::Delete, DisableBy::Nothing],
            (false, false) => vec![DisableBy::Nothing],
        };
        return;
    };
    let nodes = entry.node.as_list().unwrap_or(std::slice::from_ref(&entry.node));
    for node in nodes {
        let Some(word) = reader.choice(node, &words) else { continue };
        let lacks = |reader: &mut Reader<'_>, what: &str| reader.error("missing-key", &node.span, format!("this way of switching off needs {what}"));
        match word {
            0 if !model.can(&Verb::Disable) => lacks(reader, "`[[disable]]`"),
            0 => model.disable_by.push(DisableBy::Flag),
            1 => match group(reader, table, settings) {
                Some(group) => model.disable_by.push(group),
                None => lacks(reader, "`[disable_group] kind = \"…\", name = \"…\"`"),
            },
            2 => model.disable_by.push(DisableBy::MembersRemoved),
            3 if !model.can(&Verb::Delete) => lacks(reader, "`[[delete]]`"),
            3 => model.disable_by.push(DisableBy::Delete),
            _ => model.disable_by.push(DisableBy::Nothing),
        }
    }
}

fn group(reader: &mut Reader<'_>, table: &Table, settings: &Env) -> Option<DisableBy> {
    let given = table.get("disable_group").and_then(|entry| reader.table(&entry.node))?;
    reader.keys(given, "`[disable_group]`", &["kind", "name"]);
    let kind = reader.text_at(given, "kind")?;
    let name = given.get("name").and_then(|entry| reader.template(&entry.node, settings))?;
    Some(DisableBy::Group { kind, name })
}

/// `[single]`: kind = what it becomes when it is taken back; empty: it can only be replaced.
pub(super) fn single(reader: &mut Reader<'_>, table: &Table, settings: &Env) -> Vec<(String, Option<Template>)> {
    let Some(given) = table.get("single").and_then(|entry| reader.table(&entry.node)) else { return Vec::new() };
    let mut out = Vec::new();
    for entry in &given.entries {
        let is_blank = entry.node.as_text().is_some_and(str::is_empty);
        out.push((entry.key.clone(), if is_blank { None } else { reader.template(&entry.node, settings) }));
    }
    out
}
