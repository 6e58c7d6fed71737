//! Whether a policy and its connector fit: roles, organisations, attributes and passwords that the app has, and those that it cannot be without.
//!
//! Apart from `account.rs` because it is about two files at once: each rule here holds what the policy says against what a [`Model`] says. It never knows an
//! app by name.

use crate::connector::model::{Attribute, InitialPassword, MemberVerb, Model, Verb};
use crate::expr::FirstOf;
use crate::policy::{Org, Provision, Roles, UserMapping};
use crate::source::value::nearest;
use crate::source::{Entry, Node, Problem, Reader, Severity, Span, Table, Written};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What sections say that this app cannot do, and what it needs that they do not say.
pub(super) fn fits_connector(
    reader: &mut Reader<'_>,
    tree: &Table,
    user: &UserMapping,
    roles: Option<&Roles>,
    orgs: &[Org],
    provision: Option<&Provision>,
) {
    unused_extra(reader, tree, provision);
    if let Some(roles) = roles {
        role_order(reader, tree, roles, provision);
    }
    // A section that is there and broken would do something once it is mended.
    let none = tree.node("provision").is_none() || tree.table("provision").and_then(|table| table.text("connector")) == Some("none");
    if none || provision.is_some() {
        omitted(reader, tree, user, provision.map(|provision| &*provision.connector));
    }
    let Some(provision) = provision else {
        if none {
            without_accounts(reader, tree);
        }
        return;
    };
    organisations(reader, tree, orgs, provision);
    if roles.is_some() && !grants(provision, &provision.connector.roles_as, "roles") && !uses_roles(tree) {
        let span = span_of(tree, "roles");
        let help = "headers, the JWT and [[org]] may use {role} and {roles}";
        reader.warning("no-effect", &span, format!("connector `{}` does not grant roles", provision.connector.name), help);
    }
    unknown_roles(reader, tree, &provision.connector);
    missing_attributes(reader, tree, user, &provision.connector);
}

fn span_of(tree: &Table, key: &str) -> Span {
    tree.node(key).map_or(0..0, |node| node.span.clone())
}

/// Whether there is a way to grant memberships of `kind`; `each` is what a policy's own steps call them.
fn grants(provision: &Provision, kind: &str, each: &str) -> bool {
    let verb = |verb| provision.connector.can(&Verb::Members(kind.to_owned(), verb));
    verb(MemberVerb::Add) || verb(MemberVerb::Set) || provision.steps.as_ref().is_some_and(|steps| steps.has_each(each))
}

/// What is wrong is not called without effect as well.
pub(super) fn reported(reader: &Reader<'_>, entry: &Entry) -> bool {
    reader.reported_within(&(entry.key_span.start..entry.node.span.end))
}

/// What only an app with accounts needs.
fn without_accounts(reader: &mut Reader<'_>, tree: &Table) {
    for (section, key) in [("roles", "sync"), ("user", "on_collision")] {
        if let Some(entry) = tree.table(section).and_then(|table| table.get(key)).filter(|entry| !reported(reader, entry)) {
            let message = format!("{section}.{key} has no effect: this policy makes no accounts");
            reader.warning("no-effect", &entry.key_span, message, "leave it out, or add [provision]");
        }
    }
}

// --- attributes ------------------------------------------------------------------------------------------

/// `[user.extra]` names that no connector takes and no text of the policy mentions: misspelt, most likely. Where the connector lists what the app has, it
/// is an error: somebody meant to fill an attribute, and it would stay empty.
fn unused_extra(reader: &mut Reader<'_>, tree: &Table, provision: Option<&Provision>) {
    let Some(extra) = tree.table("user").and_then(|user| user.table("extra")) else { return };
    if provision.is_none() && reader.problems.iter().any(|problem| problem.severity == Severity::Error) {
        return;
    }
    let mut texts = Vec::new();
    for entry in tree.entries.iter().filter(|entry| !["user", "test"].contains(&entry.key.as_str())) {
        all_texts(&entry.node, &mut texts);
    }
    let taken: Vec<&str> = provision.iter().flat_map(|provision| &provision.connector.attributes).map(|known| known.name.as_str()).collect();
    // `user.extra` as a whole may use any of them.
    let whole =
        texts.iter().any(|text| text.match_indices("extra").any(|(at, word)| text.get(at + word.len()..).is_some_and(|rest| !rest.starts_with('.'))));
    for entry in &extra.entries {
        let name = entry.key.as_str();
        if whole || taken.contains(&name) || texts.iter().any(|text| text.contains(&format!("extra.{name}"))) {
            continue;
        }
        let near = nearest(name, taken.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let otherwise = format!("use it as {{user.extra.{name}}}, or leave it out");
        let Some(model) = provision.map(|provision| &provision.connector).filter(|_| !taken.is_empty()) else {
            reader.warning("no-effect", &entry.key_span, format!("nothing uses user.extra.{name}"), &near.unwrap_or(otherwise));
            continue;
        };
        let message = format!("connector `{}` has no attribute `{name}`, and nothing else uses it", model.name);
        let problem = Problem::error("unknown-attribute", reader.file, entry.key_span.clone(), message);
        let problem = near.into_iter().fold(problem, Problem::help);
        reader.problems.push(problem.help(format!("attributes: {}", taken.join(", "))).help(otherwise));
    }
}

fn all_texts<'t>(node: &'t Node, texts: &mut Vec<&'t str>) {
    match &node.value {
        Written::Text(text) => texts.push(text),
        Written::List(list) => list.iter().for_each(|node| all_texts(node, texts)),
        Written::Table(table) => table.entries.iter().for_each(|entry| all_texts(&entry.node, texts)),
        Written::Integer(_) | Written::Float(_) | Written::Bool(_) | Written::Date(_) => {}
    }
}

/// What the app cannot be without has to come from somewhere.
fn missing_attributes(reader: &mut Reader<'_>, tree: &Table, user: &UserMapping, model: &Model) {
    for attribute in model.attributes.iter().filter(|attribute| attribute.required || attribute.locked) {
        let given = has_own(user, &attribute.name) || ["email", "display"].contains(&attribute.name.as_str());
        if !given && attribute.default.0.is_empty() {
            let message = format!("connector `{}` needs the attribute `{}`", model.name, attribute.name);
            reader.error("missing-attribute", &span_of(tree, "provision"), message, &format!("[user.extra] {} = \"…\"", attribute.name));
        }
    }
}

fn has_own(user: &UserMapping, name: &str) -> bool {
    user.extra.iter().any(|(own, _)| own == name)
}

/// `[user] omit`: what the app needs stays, and names mean something.
fn omitted(reader: &mut Reader<'_>, tree: &Table, user: &UserMapping, model: Option<&Model>) {
    let attributes: &[Attribute] = model.map(|model| model.attributes.as_slice()).unwrap_or_default();
    let app = model.map_or("the app", |model| model.name.as_str());
    for node in tree.table("user").map(|user| user.text_nodes("omit")).unwrap_or_default() {
        let written = node.as_text().unwrap_or_default();
        if matches!(written, "name" | "login") {
            let help = "where it comes from is free: [user] name = \"…\"";
            reader.error("attribute-locked", &node.span, "the login cannot be left out: it is who the account is", help);
            continue;
        }
        let own = attributes.iter().find(|attribute| attribute.name == written);
        let fed = |attribute: &&Attribute| !has_own(user, &attribute.name) && only_from_user(&attribute.default, written);
        let needs = |attribute: &&Attribute| attribute.required || attribute.locked;
        if let Some(locked) = own.filter(needs).or_else(|| attributes.iter().filter(needs).find(fed)) {
            let message = format!("connector `{app}` cannot be without `{}`", locked.name);
            let help = match written {
                "email" | "display" => format!("where it comes from is free: [user] {written} = \"…\""),
                _ => format!("where it comes from is free: [user.extra] {} = \"…\"", locked.name),
            };
            reader.error("attribute-locked", &node.span, message, &help);
        } else if has_own(user, written) {
            reader.error("contradiction", &node.span, format!("`{written}` is both left out and given in [user.extra]"), "leave one of the two out");
        } else if own.is_none() && !["email", "display"].contains(&written) {
            let known = ["email", "display"].into_iter().chain(attributes.iter().map(|attribute| attribute.name.as_str()));
            let known: Vec<&str> = known.collect();
            let near = nearest(written, known.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
            let help = near.unwrap_or_else(|| format!("what can be left out: {}", known.join(", ")));
            reader.error("unknown-attribute", &node.span, format!("there is no attribute `{written}` to leave out"), &help);
        }
    }
}

/// Whether every candidate is made of `user.FIELD`.
fn only_from_user(default: &FirstOf, field: &str) -> bool {
    let name = format!("user.{field}");
    !default.0.is_empty() && default.0.iter().all(|template| template.names().contains(&name))
}

// --- roles and organisations -----------------------------------------------------------------------------

/// Whether a text of the policy is made of the person's roles.
fn uses_roles(tree: &Table) -> bool {
    let mut texts = Vec::new();
    for entry in tree.entries.iter().filter(|entry| !["roles", "test"].contains(&entry.key.as_str())) {
        all_texts(&entry.node, &mut texts);
    }
    texts.iter().any(|text| text.contains('{') && text.contains("role"))
}

/// Roles as `[roles]` and `[[org]]` write them out, with their places.
pub(crate) fn written_roles(tree: &Table) -> Vec<&Node> {
    let table = tree.table("roles");
    let mapped = table.and_then(|table| table.table("map")).map(|map| map.entries.as_slice()).unwrap_or_default();
    let mut nodes: Vec<&Node> = mapped.iter().map(|entry| &entry.node).chain(table.and_then(|table| table.node("default"))).collect();
    for (_, org) in tree.sections("org") {
        nodes.extend(org.text_nodes("role"));
    }
    nodes.retain(|node| node.as_text().is_some_and(|role| !role.contains(['{', '}'])));
    nodes
}

/// A role that the app does not have, where the connector lists those that it has.
fn unknown_roles(reader: &mut Reader<'_>, tree: &Table, model: &Model) {
    for node in written_roles(tree) {
        let Some(role) = node.as_text().filter(|role| !model.may_have_role(role)) else { continue };
        let near = nearest(role, model.roles.iter().map(String::as_str)).map(|near| format!("did you mean \"{near}\"?"));
        let help = near.unwrap_or_else(|| format!("one of: {}", model.roles.join(", ")));
        reader.error("unknown-role", &node.span, format!("connector `{}` knows no role `{role}`", model.name), &help);
    }
}

/// `[roles] order`: a role that it leaves out would stand below all others, and nobody would know.
fn role_order(reader: &mut Reader<'_>, tree: &Table, roles: &Roles, provision: Option<&Provision>) {
    let Some(entry) = tree.table("roles").and_then(|table| table.get("order")) else { return };
    if entry.node.as_list().is_some_and(<[_]>::is_empty) {
        reader.error("empty-list", &entry.node.span, "roles.order is an empty list", "leave the key out for the order of the map");
        return;
    }
    if let Some(model) = provision.map(|provision| &provision.connector).filter(|model| !model.role_order.is_empty()) {
        let known: Vec<&str> = model.role_order.iter().rev().map(String::as_str).collect();
        let message = format!("roles.order has no effect: connector `{}` knows it", model.name);
        reader.warning("no-effect", &entry.key_span, message, &format!("leave it out; it is {}", known.join(" > ")));
        return;
    }
    let table = tree.table("roles");
    let mapped = table.and_then(|table| table.table("map")).map(|map| map.entries.as_slice()).unwrap_or_default();
    for node in mapped.iter().map(|entry| &entry.node).chain(table.and_then(|table| table.node("default"))) {
        let Some(role) = node.as_text().filter(|role| !roles.order.iter().any(|known| known == role)) else { continue };
        let near = nearest(role, roles.order.iter().map(String::as_str)).map(|near| format!("did you mean \"{near}\"?"));
        let help = near.unwrap_or_else(|| "add it to roles.order, from highest to lowest".to_owned());
        reader.error("unknown-role", &node.span, format!("`{role}` is not in roles.order"), &help);
    }
}

/// `[[org]]` against what the connector can do with organisations.
fn organisations(reader: &mut Reader<'_>, tree: &Table, orgs: &[Org], provision: &Provision) {
    let model = &provision.connector;
    let sections = tree.sections("org");
    if !orgs.is_empty() && !grants(provision, &model.orgs_as, "orgs") {
        let span = sections.first().map_or(0..0, |(span, _)| (*span).clone());
        reader.warning("no-effect", &span, format!("connector `{}` has no organisations: [[org]] has no effect", model.name), "");
    }
    if !model.orgs_by_number {
        return;
    }
    for id in sections.iter().filter_map(|(_, org)| org.node("id")) {
        let number = match &id.value {
            Written::Integer(number) => *number > 0,
            Written::Text(text) => text.parse::<u64>().is_ok(),
            Written::Float(_) | Written::Bool(_) | Written::Date(_) | Written::List(_) | Written::Table(_) => true,
        };
        if !number {
            let message = format!("connector `{}` knows organisations by number", model.name);
            reader.error("bad-value", &id.span, message, "the application shows the number of an organisation: id = 1");
        }
    }
}

// --- connector and password ------------------------------------------------------------------------------

/// Where the connector file stands that `written` names, seen from the policy file called `policy`; `None`: it is the name of a connector.
pub(crate) fn connector_file(policy: &str, written: &str) -> Option<PathBuf> {
    let is_path = written.contains(['/', '\\']) || Path::new(written).extension().is_some_and(|end| end.eq_ignore_ascii_case("toml"));
    let plain = written.strip_prefix("./").unwrap_or(written);
    is_path.then(|| Path::new(policy).parent().unwrap_or(Path::new("")).join(plain))
}

/// The connector that `[provision] connector` names: a built-in one, or the file beside the policy, which whoever loads policies has read.
pub(super) fn connector(reader: &mut Reader<'_>, node: &Node, connectors: &[Arc<Model>]) -> Option<Arc<Model>> {
    let written = node.as_text()?;
    if let Some(path) = connector_file(&reader.file.name, written) {
        let path = path.display().to_string();
        let found = connectors.iter().find(|model| model.file.as_deref() == Some(&*path)).cloned();
        if found.is_none() {
            let message = format!("the connector file `{written}` cannot be used");
            let help = format!("what is wrong with it is said where it stands: {path}");
            reader.error("connector-file", &node.span, message, &help);
        }
        return found;
    }
    let built_in = || connectors.iter().filter(|model| model.file.is_none());
    if let Some(model) = built_in().find(|model| model.name == written) {
        return Some(Arc::clone(model));
    }
    let names: Vec<&str> = built_in().map(|model| model.name.as_str()).filter(|name| *name != "rest").chain(["rest", "none"]).collect();
    let problem = Problem::error("bad-value", reader.file, node.span.clone(), format!("`{written}` is not a value of provision.connector"));
    let problem = match nearest(written, names.iter().copied()) {
        Some(near) => problem.help(format!("did you mean \"{near}\"?")),
        None => problem,
    };
    reader.problems.push(problem.help(format!("one of: {}", names.join(", "))));
    None
}

/// What becomes of the password of a new account: as the policy says, if the app can do that.
pub(super) fn initial_password(reader: &mut Reader<'_>, table: &Table, model: &Model) -> InitialPassword {
    let written = match table.text("initial_password") {
        Some("random") => Some(InitialPassword::Random),
        Some("none") => Some(InitialPassword::None),
        _ => None,
    };
    let usual = model.initial_password.first().copied().unwrap_or(InitialPassword::Random);
    let Some(wanted) = written else { return usual };
    if let (false, Some(node)) = (model.initial_password.is_empty() || model.initial_password.contains(&wanted), table.node("initial_password")) {
        let (message, help) = match wanted {
            InitialPassword::None => ("makes no account without a password", "leave the key out: one that nobody knows is set, and never kept"),
            InitialPassword::Random => ("has no place for a password", "leave the key out: people sign in through the gateway"),
        };
        reader.error("bad-value", &node.span, format!("connector `{}` {message}", model.name), help);
    }
    wanted
}
