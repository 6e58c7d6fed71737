//! `[login]` beyond the sign-in itself: where people land, where they may begin, and which of the app's own doors are shut.
//!
//! Apart from `compile.rs` because these keys are read last: landings may name what the policy makes of a person, and the connector knows the app's own doors.

use crate::expr::Env;
use crate::policy::landing::{Landing, Place, is_local};
use crate::policy::{CanonicalPath, Glob, Login, PathPattern, PathSection, Provision, RequestPattern};
use crate::source::{Node, Reader, Table};

/// Keys that say where people land.
const LANDINGS: [&str; 3] = ["landing", "landing_new", "landing_existing"];

/// Reads the rest of `[login]` into `login`.
pub(super) fn complete(reader: &mut Reader<'_>, tree: &Table, env: &Env, provision: Option<&Provision>, login: &mut Login) {
    let nothing = Table::default();
    let table = tree.table("login").unwrap_or(&nothing);
    let [landing, landing_new, landing_existing] = LANDINGS.map(|key| landing(reader, table, key, env));
    (login.landing, login.landing_new, login.landing_existing) = (landing, landing_new, landing_existing);
    login.portal = portal(reader, table);
    login.block_paths = block_paths(reader, tree, table, provision);
    login.break_glass = break_glass(reader, table, &login.block_paths);
    reachable_landings(reader, table, login);
}

fn landing(reader: &mut Reader<'_>, table: &Table, key: &str, env: &Env) -> Option<Landing> {
    let node = table.node(key)?;
    let nodes = node.as_list().unwrap_or(std::slice::from_ref(node));
    let mut places = Vec::new();
    for node in nodes.iter().filter(|node| node.as_text().is_some_and(|text| !text.trim().is_empty())) {
        let Some(template) = reader.template(node, env) else { continue };
        if let Some(place) = Place::of(template) {
            places.push(place);
            continue;
        }
        let message = format!("`{}` is not a value of login.{key}", node.as_text().unwrap_or_default());
        let help = "a path of this application, such as \"/projects\" or \"/org/{orgs[0]}\", or \"requested\"";
        reader.error("bad-value", &node.span, message, help);
    }
    (!places.is_empty()).then_some(Landing(places))
}

fn portal(reader: &mut Reader<'_>, table: &Table) -> Option<String> {
    let node = table.node("portal")?;
    let written = node.as_text().filter(|text| !text.trim().is_empty())?;
    let canonical = CanonicalPath::parse(written).ok().filter(|path| path.as_str() != "/" && !path.as_str().contains('*') && is_local(path.as_str()));
    if canonical.is_none() {
        let help = "a path of this application that nothing else is at, such as \"/grafana/login\": not /, no *, no query, not below /.vestibule";
        reader.error("bad-value", &node.span, format!("`{written}` is not a value of login.portal"), help);
    }
    canonical.map(|path| path.as_str().to_owned())
}

fn block_paths(reader: &mut Reader<'_>, tree: &Table, table: &Table, provision: Option<&Provision>) -> Vec<RequestPattern> {
    let known = provision.map(|provision| provision.connector.sign_in.block_paths.as_slice()).unwrap_or_default();
    patterns(reader, tree, table, "login", "block_paths", known)
}

/// Paths of the app: the policy's own, in `key` of `section`, and those that the connector knows; an empty list is neither.
pub(super) fn patterns(reader: &mut Reader<'_>, tree: &Table, table: &Table, section: &str, key: &str, known: &[String]) -> Vec<RequestPattern> {
    let written = table.node(key);
    if written.is_some_and(|node| node.as_list().is_some_and(<[_]>::is_empty)) {
        return Vec::new();
    }
    let mut patterns = Vec::new();
    for node in table.text_nodes(key) {
        match RequestPattern::parse(node.as_text().unwrap_or_default()) {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => {
                let message = format!("no request could match this: {why}");
                reader.error("bad-path", &node.span, message, "patterns start with / or *, or with a method and a blank before that (\"DELETE /session/*\"), and * stands for anything; the query never takes part");
            }
        }
    }
    for path in known {
        match RequestPattern::parse(path) {
            Ok(pattern) if patterns.contains(&pattern) => {}
            Ok(pattern) => patterns.push(pattern),
            Err(why) => {
                let span = tree.node("provision").map_or(0..0, |node| node.span.clone());
                let message = format!("the connector's {key} has `{path}`, which no request could match: {why}");
                reader.error("bad-path", &span, message, &format!("mend the connector, or write {section}.{key} = []"));
            }
        }
    }
    patterns
}

fn break_glass(reader: &mut Reader<'_>, table: &Table, blocked: &[RequestPattern]) -> Vec<Glob> {
    if let Some(node) = table.node("break_glass") {
        if node.as_list().is_some_and(<[_]>::is_empty) {
            reader.error("empty-list", &node.span, "login.break_glass is an empty list", "leave the key out for nobody, or name at least one group");
        } else if blocked.is_empty() && !reader.reported_within(&node.span) {
            reader.warning("no-effect", &node.span, "login.break_glass has no effect: no path is blocked", "leave it out, or name login.block_paths");
        }
    }
    table.texts("break_glass").into_iter().map(Glob::new).collect()
}

/// A landing page that is refused, or that begins to sign in again, is none.
fn reachable_landings(reader: &mut Reader<'_>, table: &Table, login: &Login) {
    for (key, landing) in LANDINGS.into_iter().zip([&login.landing, &login.landing_new, &login.landing_existing]) {
        let Some((node, landing)) = table.node(key).zip(landing.as_ref()) else { continue };
        for path in landing.fixed() {
            let Ok(path) = CanonicalPath::parse(&path) else { continue };
            if login.portal.as_deref() == Some(path.as_str()) {
                contradiction(reader, node, key, "portal", path.as_str());
            } else if login.block_paths.iter().any(|pattern| pattern.restricts("GET", &path)) {
                contradiction(reader, node, key, "block_paths", path.as_str());
            }
        }
    }
}

fn contradiction(reader: &mut Reader<'_>, node: &Node, key: &str, other: &str, path: &str) {
    let message = format!("login.{key} and login.{other} contradict each other: nobody could stay at {path}");
    reader.error("contradiction", &node.span, message, "land on another page");
}

/// An account is made for somebody who has signed in. Where everything is public nobody ever has, so `[provision]` would do nothing for ever.
pub(super) fn provision_without_sign_in(reader: &mut Reader<'_>, tree: &Table, paths: &[PathSection], provision: Option<&Provision>) {
    let everything = |pattern: &PathPattern| pattern.as_str().trim_start_matches('/').chars().all(|c| c == '*') && pattern.as_str().ends_with('*');
    let all_public = paths.iter().all(|section| section.public) && paths.iter().flat_map(|section| &section.patterns).any(everything);
    if let Some(entry) = tree.get("provision").filter(|_| provision.is_some() && all_public) {
        let place = paths.iter().find(|section| section.patterns.iter().any(everything)).map_or("", |section| &section.place);
        let message = format!("[provision] makes accounts for people who sign in, and here nobody does: every path is public ({place})");
        reader.error(
            "provision-without-sign-in",
            &entry.key_span,
            message,
            "make the public section narrower, such as match = [\"/public/*\"], or leave [provision] out",
        );
    }
}
