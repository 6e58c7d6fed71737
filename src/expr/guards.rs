//! Which claims are known to be present at a place in a condition.
//!
//! `has(claims.x) && …` and `!has(claims.x) || …` say what absence means. CEL's `&&` and `||` absorb errors whichever side they are on, so
//! the order of the parts does not matter: where `has(claims.x)` is false, `claims.x == 'a' && has(claims.x)` is false too.

use super::parse::{Node, Shape};
use std::collections::BTreeSet;

/// Paths (`claims.status`) known to be present here. Entered and left like a stack.
#[derive(Debug, Default)]
pub(super) struct Guards {
    paths: Vec<String>,
}

impl Guards {
    /// Knows `more` from here on; gives what [`Self::leave`] takes.
    pub(super) fn enter(&mut self, more: BTreeSet<String>) -> usize {
        let before = self.paths.len();
        for path in more {
            if !self.contains(&path) {
                self.paths.push(path);
            }
        }
        before
    }

    pub(super) fn leave(&mut self, before: usize) {
        self.paths.truncate(before);
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.paths.iter().any(|known| known == path)
    }
}

/// The paths without which `node` certainly is the opposite of `holds`: where `node` is `holds`, all of them are present.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever says nothing of presence guards nothing")]
pub(super) fn present_when(node: &Node, holds: bool, text: &str) -> BTreeSet<String> {
    match &node.kind {
        Shape::Call(function, arguments) if function.name == "has" && holds => arguments.iter().filter_map(|of| path(of, text)).collect(),
        Shape::In(key, container) if holds => path(container, text).map(|container| container + &bracketed_node(key, text)).into_iter().collect(),
        Shape::Not(of) => present_when(of, !holds, text),
        Shape::All(parts) if holds => union(parts, holds, text),
        Shape::Any(parts) if !holds => union(parts, holds, text),
        Shape::All(parts) | Shape::Any(parts) => {
            let mut sets = parts.iter().map(|part| present_when(part, holds, text));
            let first = sets.next().unwrap_or_default();
            sets.fold(first, |common, set| &common & &set)
        }
        _ => BTreeSet::new(),
    }
}

fn union(parts: &[Node], holds: bool, text: &str) -> BTreeSet<String> {
    parts.iter().flat_map(|part| present_when(part, holds, text)).collect()
}

/// The way from a top-level name, one spelling for `claims.a` and `claims['a']`.
#[expect(clippy::wildcard_enum_match_arm, reason = "anything that does not begin at a name has no path")]
pub(super) fn path(node: &Node, text: &str) -> Option<String> {
    match &node.kind {
        Shape::Name(name) => Some(name.clone()),
        Shape::Field(of, field) => Some(format!("{}.{}", path(of, text)?, field.name)),
        Shape::Index(of, key) => Some(path(of, text)? + &bracketed_node(key, text)),
        _ => None,
    }
}

fn bracketed_node(key: &Node, text: &str) -> String {
    if let Shape::Text(name) = &key.kind { bracketed(name) } else { format!("[{}]", text.get(key.span.clone()).unwrap_or_default()) }
}

/// `.name`, or `['name']` for what is not an identifier. Long names are cut, since they may come from data.
pub(super) fn bracketed(name: &str) -> String {
    const NAME_CHARS_MAX: usize = 80;
    let plain = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let cut: String = name.chars().take(NAME_CHARS_MAX).collect();
    if plain { format!(".{cut}") } else { format!("['{}']", cut.escape_debug()) }
}
