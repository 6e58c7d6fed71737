//! What no test reaches.
//!
//! Lives here: [`coverage`], which goes through the rules of a policy one by one (keys of `[access]` and `[[path]]`, entries of `[roles] map`, `[[org]]` sections,
//! choices of fallback lists) and says which of them some test came to, and which of those that refuse ever refused. Apart from `test.rs`: it runs
//! nothing, it only reads what came.

use super::test::{Came, Ran, Verdict};
use crate::expr::{FirstOf, is_set};
use crate::identity::Identity;
use crate::policy::{CanonicalPath, Glob, Policy, Rule};
use crate::source::{Node, SourceFile, Span, Table, parse};

/// Keys of a gate, in the order in which a decision looks at them, `deny_groups` of all sections before all else.
const KEYS: [&str; 6] = ["domains", "groups", "networks", "methods", "when", "max_age"];

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// As people would call it: `[access] groups`, `[roles] map.sre`.
    pub what: String,
    /// `policies/redmine.toml:12`.
    pub place: String,
    /// Whether some test came to it.
    pub reached: bool,
    /// For what may refuse: whether it ever did.
    pub refused: Option<bool>,
}

/// Every rule of `policy`, compiled from `file`, in the order of the file, with what the tests `ran` came to.
pub fn coverage(file: &SourceFile, policy: &Policy, ran: &[Ran]) -> Vec<Covered> {
    let tree = parse(file).0;
    let mut list = List { file, rules: Vec::new() };
    list.gates(&tree, policy, ran);
    list.roles(&tree, policy, ran);
    list.orgs(&tree, policy, ran);
    list.fallbacks(&tree, policy, ran);
    list.rules.sort_by_key(|(at, _)| *at);
    list.rules.into_iter().map(|(_, rule)| rule).collect()
}

struct List<'a> {
    file: &'a SourceFile,
    rules: Vec<(usize, Covered)>,
}

impl List<'_> {
    fn add(&mut self, span: &Span, what: String, reached: bool, refused: Option<bool>) {
        self.rules.push((span.start, Covered { what, place: self.file.place(span), reached, refused }));
    }

    /// `[access]` and `[[path]]`, key by key; a section that only opens is one rule.
    fn gates(&mut self, tree: &Table, policy: &Policy, ran: &[Ran]) {
        let access = tree.node("access").and_then(|node| Some((&node.span, node.as_table()?))).map(|found| (Rule::Access, "[access]", found));
        let paths = tree.sections("path").into_iter().enumerate().map(|(at, found)| (Rule::Path(at), "[[path]]", found));
        for (rule, title, (span, table)) in access.into_iter().chain(paths) {
            let keys: Vec<_> = table
                .entries
                .iter()
                .filter(|entry| entry.key == "deny_groups" || entry.key == "everyone" || KEYS.contains(&entry.key.as_str()))
                .collect();
            let title = match table.texts("match").first() {
                Some(first) => format!("{title} {first}"),
                None => title.to_owned(),
            };
            if keys.is_empty() {
                self.add(span, title, ran.iter().any(|ran| matched(policy, ran).contains(&rule)), None);
                continue;
            }
            for entry in keys {
                let refused = ran.iter().any(|ran| refused_by(ran, rule, &entry.key));
                let reached = refused || ran.iter().any(|ran| looked_at(policy, ran, rule, &entry.key));
                let may_refuse = (entry.key != "everyone").then_some(refused);
                self.add(&entry.key_span, format!("{title} {}", entry.key), reached, may_refuse);
            }
        }
    }

    fn roles(&mut self, tree: &Table, policy: &Policy, ran: &[Ran]) {
        let (Some(table), Some(roles)) = (tree.table("roles"), &policy.roles) else { return };
        for (entry, (pattern, _)) in table.table("map").map(|map| map.entries.as_slice()).unwrap_or_default().iter().zip(&roles.map) {
            let reached = entered(ran).any(|(_, who)| fits(who, std::slice::from_ref(pattern)));
            self.add(&entry.key_span, format!("[roles] map.{}", entry.key), reached, None);
        }
        if let Some(entry) = table.get("default") {
            let none = |who: &Identity| !roles.map.iter().any(|(pattern, _)| fits(who, std::slice::from_ref(pattern)));
            self.add(&entry.key_span, "[roles] default".to_owned(), entered(ran).any(|(_, who)| none(who)), None);
        }
    }

    fn orgs(&mut self, tree: &Table, policy: &Policy, ran: &[Ran]) {
        for ((span, _), org) in tree.sections("org").into_iter().zip(&policy.orgs) {
            let reached = entered(ran).any(|(_, who)| org.groups.is_empty() || fits(who, &org.groups));
            self.add(span, format!("[[org]] {}", org.id), reached, None);
        }
    }

    /// Lists of which the first that is set counts: each choice is a rule.
    fn fallbacks(&mut self, tree: &Table, policy: &Policy, ran: &[Ran]) {
        let mut lists: Vec<(String, Option<&Node>, &FirstOf)> = Vec::new();
        let user = tree.table("user");
        for (key, value) in [("name", &policy.user.name), ("email", &policy.user.email), ("display", &policy.user.display)] {
            lists.push((format!("[user] {key}"), user.and_then(|user| user.node(key)), value));
        }
        let extra = user.and_then(|user| user.table("extra"));
        for (key, value) in &policy.user.extra {
            lists.push((format!("[user.extra] {key}"), extra.and_then(|extra| extra.node(key)), value));
        }
        for header in &policy.headers {
            lists.push((
                format!("[headers] {}", header.written),
                tree.table("headers").and_then(|headers| headers.node(&header.written)),
                &header.value,
            ));
        }
        let claims = tree.table("jwt").and_then(|jwt| jwt.table("claims"));
        for (key, value) in policy.jwt.iter().flat_map(|jwt| &jwt.claims) {
            lists.push((format!("[jwt] claims.{key}"), claims.and_then(|claims| claims.node(key)), value));
        }
        for (what, node, value) in lists {
            let choices = node.and_then(Node::as_list).filter(|list| list.len() > 1 && list.len() == value.0.len()).unwrap_or_default();
            for (at, choice) in choices.iter().enumerate() {
                let reached = entered(ran).any(|(came, _)| chosen(value, came) == Some(at));
                self.add(&choice.span, format!("{what}, choice {}", at + 1), reached, None);
            }
        }
    }
}

/// Tests whose person enters, and who that is.
fn entered(ran: &[Ran]) -> impl Iterator<Item = (&Came, &Identity)> {
    ran.iter().filter(|ran| matches!(ran.came.verdict, Verdict::Allow(_))).filter_map(|ran| Some((&ran.came, ran.came.identity.as_deref()?)))
}

fn fits(who: &Identity, patterns: &[Glob]) -> bool {
    who.groups.listed().iter().any(|group| patterns.iter().any(|pattern| pattern.fits(group)))
}

/// The choice that counted.
fn chosen(value: &FirstOf, came: &Came) -> Option<usize> {
    let scope = &came.mapped.as_ref()?.scope;
    value.0.iter().position(|template| template.render(scope).is_ok_and(|value| is_set(&value)))
}

/// Sections that a test's path matches, in the order of a decision: restricting ones generously, public ones exactly.
fn matched(policy: &Policy, ran: &Ran) -> Vec<Rule> {
    let Ok(path) = CanonicalPath::parse_as(&ran.path, policy.encoded_slashes) else { return Vec::new() };
    let paths = policy.paths.iter().enumerate().filter(|(_, section)| section.applies(&path)).map(|(at, _)| Rule::Path(at));
    let public = matches!(ran.came.verdict, Verdict::Public(_));
    (!public).then_some(Rule::Access).into_iter().chain(paths).collect()
}

fn refused_by(ran: &Ran, rule: Rule, key: &str) -> bool {
    match &ran.came.verdict {
        Verdict::Deny { because, rule: Some(by), .. } => *by == rule && (*because == key || (*because == "email_unverified" && key == "domains")),
        Verdict::Allow(_) | Verdict::Public(_) | Verdict::Login | Verdict::Again | Verdict::Deny { .. } | Verdict::Unplayable(_) => false,
    }
}

/// Whether the decision came as far as this key of this section.
fn looked_at(policy: &Policy, ran: &Ran, rule: Rule, key: &str) -> bool {
    let sections = matched(policy, ran);
    let Some(here) = sections.iter().position(|section| *section == rule) else { return false };
    match &ran.came.verdict {
        // Without a section: only the account, or the sign-in itself, was not as it must be.
        Verdict::Allow(_) | Verdict::Public(_) | Verdict::Again | Verdict::Deny { rule: None, .. } => true,
        Verdict::Login | Verdict::Unplayable(_) => false,
        Verdict::Deny { rule: Some(by), because, .. } => {
            let Some(there) = sections.iter().position(|section| section == by) else { return false };
            if *because == "deny_groups" {
                return key == "deny_groups" && here <= there;
            }
            let order = |key: &str| KEYS.iter().position(|known| *known == key).unwrap_or(0);
            key == "deny_groups" || here < there && key != "max_age" || here == there && order(key) <= order(because)
        }
    }
}
