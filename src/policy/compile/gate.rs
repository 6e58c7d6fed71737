//! `[access]` and `[[path]]`: who may pass.

use crate::expr::Env;
use crate::policy::{EncodedSlashes, Gate, Glob, PathPattern, PathProblem, PathSection, Ways, domains};
use crate::source::{Reader, Span, Table};
use ipnet::IpNet;

/// Keys of a gate that ask who somebody is.
const PERSONAL: [&str; 5] = ["groups", "deny_groups", "domains", "when", "max_age"];
/// Keys of a gate that take a list, of which an empty one would mean nobody or everybody.
const LISTS: [&str; 5] = ["groups", "deny_groups", "domains", "networks", "methods"];

/// From the provider to the page takes longer than this only on a very bad line.
const RECHECK_MS_MIN: i64 = 10_000;

/// `[access]`.
pub(super) fn access(reader: &mut Reader<'_>, tree: &Table) -> Gate {
    let Some(node) = tree.node("access") else { return Gate::default() };
    let Some(table) = node.as_table() else { return Gate::default() };
    let gate = gate(reader, table, "access");
    let written = |key: &str| table.get(key).is_some();
    if gate.everyone {
        for key in ["groups", "domains"].into_iter().filter(|key| written(key)) {
            if let Some(entry) = table.get(key) {
                reader.error(
                    "contradiction",
                    &entry.key_span,
                    format!("access.everyone and access.{key} contradict each other"),
                    "leave one of them out",
                );
            }
        }
    }
    let admits = gate.everyone || ["groups", "domains", "when"].into_iter().any(written);
    // A misspelt key is reported already; do not call the section empty because of it.
    let unreadable = table.entries.iter().any(|entry| reader.reported_within(&(entry.key_span.start..entry.node.span.end)));
    if !admits && !unreadable {
        let help = "name groups or domains, or write everyone = true to admit all who can sign in";
        reader.error("nobody-admitted", &node.span, "[access] does not say who may enter", help);
    }
    gate
}

/// `[[path]]` sections, and how they go together.
pub(super) fn paths(reader: &mut Reader<'_>, tree: &Table, slashes: EncodedSlashes) -> Vec<PathSection> {
    let mut sections = Vec::new();
    for (span, table) in tree.sections("path") {
        sections.push(path(reader, span, table, slashes, tree.get("bearer").is_some()));
    }
    overlaps(reader, tree, &sections);
    sections
}

fn path(reader: &mut Reader<'_>, span: &Span, table: &Table, slashes: EncodedSlashes, has_bearer: bool) -> PathSection {
    let mut patterns = Vec::new();
    for node in table.text_nodes("match") {
        match PathPattern::parse_as(node.as_text().unwrap_or_default(), slashes) {
            Ok(pattern) => patterns.push(pattern),
            Err(why @ PathProblem::EncodedSlash) => {
                let help = "encoded_slashes = \"keep\" above the first [section] lets such paths through";
                reader.error("bad-path", &node.span, format!("no request could match this: {why}"), help);
            }
            Err(why) => {
                let message = format!("no request could match this: {why}");
                reader.error("bad-path", &node.span, message, "patterns start with / or *, and * stands for anything; the query never takes part");
            }
        }
    }
    if let Some(node) = table.node("match")
        && node.as_list().is_some_and(<[_]>::is_empty)
    {
        reader.error("empty-list", &node.span, "path.match is an empty list", "name at least one path");
    }
    let public = table.flag("public") == Some(true);
    if public {
        for key in PERSONAL.into_iter().chain(["auth"]) {
            if let Some(entry) = table.get(key) {
                let help = "a public path asks nobody who they are; put the condition into a section of its own";
                reader.error("contradiction", &entry.key_span, format!("path.public and path.{key} contradict each other"), help);
            }
        }
    } else if !has_bearer && table.entries.iter().all(|entry| entry.key == "match" || entry.key == "public") {
        // Where there is a `[bearer]`, a section that says nothing says auth = ["session"].
        reader.warning(
            "no-effect",
            span,
            "this section asks nothing, so it has no effect",
            "give it groups, networks, methods, when, max_age or public = true",
        );
    }
    PathSection {
        place: reader.file.place(span),
        patterns,
        public,
        gate: gate(reader, table, "path"),
        auth: auth(reader, table, has_bearer),
        headers: Vec::new(),
        secret_headers: Vec::new(),
    }
}

/// `auth`. A way in that leads nowhere is an error, not a path that nobody can reach.
fn auth(reader: &mut Reader<'_>, table: &Table, has_bearer: bool) -> Ways {
    let Some(node) = table.node("auth") else { return Ways::SESSION };
    let written = table.texts("auth");
    if node.as_list().is_some_and(<[_]>::is_empty) {
        reader.error("empty-list", &node.span, "path.auth is an empty list: nobody could authenticate", "leave the key out for [\"session\"]");
    }
    let accepts = |way: &str| written.iter().any(|word| word == way);
    if accepts("bearer") && !has_bearer {
        let help = "a [bearer] section says whose tokens are accepted: idp, audience, scopes";
        reader.error("missing-section", &node.span, "path.auth accepts tokens, and there is no [bearer]", help);
    }
    Ways { session: accepts("session"), bearer: accepts("bearer") }
}

/// A path that is both opened and restricted would need an order, and there is none.
fn overlaps(reader: &mut Reader<'_>, tree: &Table, sections: &[PathSection]) {
    let written = tree.sections("path");
    for (section, (_, table)) in sections.iter().zip(&written).filter(|(section, _)| section.public) {
        for (other, (_, other_table)) in sections.iter().zip(&written).filter(|(other, _)| !other.public) {
            let pair = section.patterns.iter().find_map(|open| {
                let closed = other.patterns.iter().find(|closed| open.opens_what_is_restricted_by(closed))?;
                Some((open, closed))
            });
            let Some((open, closed)) = pair else { continue };
            let Some(node) = table.text_nodes("match").into_iter().find(|node| node.as_text() == Some(open.as_str())) else { continue };
            let restricts = PERSONAL.iter().chain(&["networks"]).any(|key| other_table.get(key).is_some());
            let message = format!("`{}` is public, and `{}` ({}) is restricted: some paths are both", open.as_str(), closed.as_str(), other.place);
            if restricts {
                reader.error("public-overlap", &node.span, message, "make the public pattern narrower, or the restricted one");
            } else {
                reader.warning("public-overlap", &node.span, message, "paths that are both need a sign-in");
            }
        }
    }
}

fn gate(reader: &mut Reader<'_>, table: &Table, name: &str) -> Gate {
    for key in LISTS {
        if let Some(node) = table.node(key)
            && node.as_list().is_some_and(<[_]>::is_empty)
        {
            reader.error("empty-list", &node.span, format!("{name}.{key} is an empty list"), "leave the key out, or name at least one");
        }
    }
    let mut accepted = Vec::new();
    for node in table.text_nodes("domains") {
        let written = node.as_text().unwrap_or_default();
        if let Some(help) = domains::problem(written) {
            reader.error("bad-value", &node.span, format!("`{written}` is not a value of {name}.domains"), help);
        }
        accepted.push(written.to_ascii_lowercase());
    }
    if let Some(node) = table.node("recheck")
        && table.duration_ms("recheck").is_some_and(|ms| ms > 0 && ms < RECHECK_MS_MIN)
    {
        let help =
            "at least \"10s\": a sign-in that has just been made must be found new enough, or people would go to the provider and back for ever";
        reader.error("bad-value", &node.span, format!("{name}.recheck is too short"), help);
    }
    let globs = |key: &str| table.texts(key).into_iter().map(Glob::new).collect();
    Gate {
        everyone: table.flag("everyone") == Some(true),
        domains: accepted,
        groups: globs("groups"),
        deny_groups: globs("deny_groups"),
        networks: table.texts("networks").iter().filter_map(|network| parse_network(network)).collect(),
        methods: table.texts("methods"),
        when: table.node("when").and_then(|node| reader.condition(node, &deciding())),
        max_age_ms: table.duration_ms("max_age"),
        recheck_ms: table.duration_ms("recheck"),
    }
}

/// A network, or a single address.
pub(crate) fn parse_network(written: &str) -> Option<IpNet> {
    written.parse().ok().or_else(|| written.parse::<core::net::IpAddr>().ok().map(IpNet::from))
}

/// The names of `when`: the sign-in and the request. What the policy makes of the person comes later.
fn deciding() -> Env {
    Env::sign_in().with_request().but_not(
        &["user", "role", "roles", "orgs", "vars"],
        "it is known in headers, jwt and provisioning, not in `when`: what the policy makes of a person comes after it has let them in",
    )
}
