//! A policy's own `[provision.find]` and `[[provision.step]]`, in the short form people write, made into the same steps.

use super::call::{self, METHODS};
use super::read::Reader;
use super::{Body, Call, Each, Effect, Extract, Filter, OwnFind, OwnStep, OwnSteps, Place, Pointer, Rule, Select, Steps, Way};
use super::{body, paging};
use crate::connector::Outcome;
use crate::expr::{Env, Type};
use crate::policy::schema::{FIND, STEP};
use crate::source::value::nearest;
use crate::source::{Node, Problem, SourceFile, Table};
use std::sync::Arc;

/// When a step may run.
const MOMENTS: [&str; 2] = ["create", "update"];

pub(super) fn parse(file: &SourceFile, find: Option<&Node>, steps: &[Node], env: &Env) -> (Option<Steps>, Vec<Problem>) {
    let mut reader = Reader::new(file);
    let find = find.and_then(|node| own_find(&mut reader, node, env));
    let mut env = env.clone().with("id", Type::Text, true);
    let mut own = Vec::new();
    for node in steps {
        if let Some(step) = own_step(&mut reader, node, &env) {
            for (name, _) in step.call.save.iter().filter(|(name, _)| name != "id") {
                env = env.with(name, Type::Dynamic, true);
            }
            own.push(step);
        }
    }
    let sound = reader.is_sound();
    (sound.then(|| Steps(Arc::new(OwnSteps { find, steps: own }))), reader.problems)
}

fn own_find(reader: &mut Reader<'_>, node: &Node, env: &Env) -> Option<OwnFind> {
    let table = reader.table(node)?;
    reader.keys(table, "`[provision.find]`", &FIND.names());
    let (method, path, mut query) = call::request(reader, table, node, env)?;
    query.extend(call::pairs(reader, table, "query", env));
    let list = reader.pointer_at(table, "list");
    let item = env.clone().with("item", Type::Dynamic, false);
    let condition = table.get("where").and_then(|entry| reader.condition(&entry.node, &item));
    if list.is_some() && table.get("where").is_none() {
        let help = "where = \"lower(item.mail) == user.email\"";
        reader.error_help("missing-key", &node.span, "a search is never trusted to be exact: `where` must say which element is meant", help);
    }
    let ways = [("external_id", Way::ExternalId), ("login", Way::Login), ("email", Way::Email)];
    let by = match table.get("by") {
        Some(entry) => reader.choice(&entry.node, &ways)?,
        None => guess_way(table),
    };
    let classify = if table.get("classify").is_some() {
        rules(reader, table, Effect::Read)
    } else {
        // 404 says "none" only where the path names the person: for a search it means that the address is wrong.
        let mut rules = vec![made(&[200], Outcome::Found)];
        rules.extend(list.is_none().then(|| made(&[404, 410], Outcome::Absent)));
        rules
    };
    let exact = condition.is_some();
    let filter = condition.map_or_else(|| Filter::Equal(Vec::new(), super::SameAs::Login), Filter::When);
    let body = body::parse(reader, table, env);
    let call = Call {
        headers: call::headers(reader, table, env),
        classify,
        select: Some(Select { items: list, filter }),
        paginate: table.get("paginate").and_then(|entry| paging::paginate(reader, &entry.node, &body)),
        body,
        any_body: call::any_body(reader, table),
        xml: call::xml(reader, table),
        ..bare("find", method, path, query)
    };
    let mut shape = super::file::account_parts(reader, table);
    // The usual names, so that an administrator is known for one and the recorded login is the account's own.
    let usual = |given: Option<Extract>, names: &[&str]| {
        given.or_else(|| Some(Extract { from: names.iter().map(|name| Place::Json(Pointer::parse(name))).collect(), map: Vec::new(), part: None }))
    };
    shape.id = usual(shape.id, &["/id"]);
    shape.login = usual(shape.login, &["/login", "/username", "/userName", "/user_name"]);
    shape.email = usual(shape.email, &["/email", "/mail", "/emailAddress", "/emails/0/value"]);
    shape.admin = usual(shape.admin, &["/admin", "/is_admin", "/isAdmin", "/is_superuser", "/superuser"]);
    Some(OwnFind { by, call, shape, exact })
}

/// What the search is made of says in which way it looks.
fn guess_way(table: &Table) -> Way {
    let written = |key: &str| table.get(key).map(|entry| format!("{:?}", entry.node.value)).unwrap_or_default();
    let text: String = ["get", "post", "query", "where", "body", "jsonrpc", "graphql"].iter().map(|key| written(key)).collect();
    if text.contains("email") { Way::Email } else { Way::Login }
}

fn own_step(reader: &mut Reader<'_>, node: &Node, env: &Env) -> Option<OwnStep> {
    let table = reader.table(node)?;
    reader.keys(table, "`[[provision.step]]`", &STEP.names());
    let name = reader.text_at(table, "name").unwrap_or_default();
    if name.is_empty() {
        reader.error("missing-key", &node.span, "a step needs a `name`: it is what people read when it fails");
    }
    let on = reader.texts_at(table, "on");
    for one in table.text_nodes("on") {
        let written = one.as_text().unwrap_or_default();
        if !MOMENTS.contains(&written) {
            let meant = nearest(written, MOMENTS).map(|meant| format!("did you mean \"{meant}\"?"));
            let help = meant.unwrap_or_else(|| "\"create\", \"update\", or both in a list".to_owned());
            reader.error_help("unknown-value", &one.span, format!("`on` cannot be `{written}`"), help);
        }
    }
    if on.is_empty() {
        reader.error_help("missing-key", &node.span, "a step needs `on`", "on = \"create\", or [\"create\", \"update\"]");
    }
    let each = table.get("each").map(|entry| call::each(reader, &entry.node, env));
    let over_item = each.as_ref().map(|each| call::with_item(env, each.as_ref()));
    let each = each.flatten();
    let env = over_item.as_ref().unwrap_or(env);
    let (method, path, mut query) = call::request(reader, table, node, env)?;
    query.extend(call::pairs(reader, table, "query", env));
    let effect = match METHODS.iter().find(|(_, known)| *known == method) {
        Some(("get", _)) => Effect::Read,
        Some(("delete", _)) => Effect::Destroy,
        _ => Effect::Write,
    };
    let (on_create, on_update) = (on.iter().any(|one| one == "create"), on.iter().any(|one| one == "update"));
    match &each {
        Some(Each::Added(kind)) if !(on_create && on_update) => {
            let help = format!("`on` = [\"create\", \"update\"]; to grant only when the account is made: [{kind}] sync = \"create\"");
            reader.error_help("unknown-value", &node.span, format!("`each = \"{kind}.added\"` runs whenever something is added"), help);
        }
        Some(Each::Removed(kind)) if !on_update => {
            reader.error("unknown-value", &node.span, format!("`each = \"{kind}.removed\"` runs on update"));
        }
        _ => {}
    }
    let classify =
        if table.get("classify").is_some() { rules(reader, table, effect) } else { usual_rules(reader, table, effect, each.as_ref(), on_create) };
    let save = call::saves(reader, table);
    for (name, _) in &save {
        if matches!(name.as_str(), "item" | "random" | "user" | "role" | "roles" | "orgs" | "vars" | "claims" | "email" | "groups") {
            reader.error("unknown-value", &node.span, format!("`{name}` has a meaning already; save under another name"));
        }
    }
    // Sent once, when the account is made: a step that also runs later would change the password each time.
    let makes = on_create && !on_update;
    let body = if makes { body::parse(reader, table, &body::with_random(env)) } else { body::parse(reader, table, env) };
    let call = Call {
        effect,
        condition: table.get("if").and_then(|entry| reader.condition(&entry.node, env)),
        each,
        headers: call::headers(reader, table, env),
        random: body.reads(body::RANDOM),
        body,
        classify,
        save,
        any_body: call::any_body(reader, table),
        xml: call::xml(reader, table),
        ..bare(&name, method, path, query)
    };
    Some(OwnStep { on_create, on_update, call })
}

fn rules(reader: &mut Reader<'_>, table: &Table, effect: Effect) -> Vec<Rule> {
    let Some(entry) = table.get("classify") else { return Vec::new() };
    reader.list(&entry.node).iter().filter_map(|one| call::rule(reader, one, effect)).collect()
}

/// What answers usually mean, unless the step has its own `classify`. `ok` is taken at its word.
fn usual_rules(reader: &mut Reader<'_>, table: &Table, effect: Effect, each: Option<&Each>, on_create: bool) -> Vec<Rule> {
    let good = if each.is_some() || effect != Effect::Write {
        Outcome::Done
    } else if on_create {
        Outcome::Created
    } else {
        Outcome::Updated
    };
    let ok = table.get("ok").map(|entry| reader.statuses(&entry.node)).unwrap_or_default();
    if let (Some(entry), Some(_)) = (table.get("ok"), ok.iter().find(|status| matches!(status, 401 | 403 | 429 | 500..=599))) {
        reader.error("outcome", &entry.node.span, "401, 403, 429 and 5xx are never a success");
    }
    let mut out = vec![if ok.is_empty() { made(&[200, 201, 202, 204], good) } else { made(&ok, good) }];
    match (effect, good) {
        (_, Outcome::Created) => {
            out.push(made(&[409, 412], Outcome::Exists));
            // Many apps say "taken" in a validation error (GitLab, Gitea, Redmine, Django REST framework).
            let taken = regex::Regex::new("(?i)already|taken|exists|in use|duplicate|unique").ok();
            out.push(Rule { body: taken, ..made(&[400, 422], Outcome::Exists) });
            out.push(made(&[400, 422], Outcome::Invalid));
        }
        (Effect::Destroy, _) => out.push(made(&[404, 410], Outcome::Done)),
        (Effect::Write, _) => {
            out.push(made(&[404, 410], Outcome::Gone));
            out.push(made(&[409], Outcome::Conflict));
            out.push(made(&[412], Outcome::Retry));
            out.push(made(&[400, 422], Outcome::Invalid));
        }
        (Effect::Read, _) => out.push(made(&[404, 410], Outcome::Gone)),
    }
    out
}

fn made(status: &[u16], outcome: Outcome) -> Rule {
    Rule { status: status.to_vec(), json: Vec::new(), body: None, headers: Vec::new(), outcome, reason: None }
}

fn bare(name: &str, method: http::Method, path: crate::expr::Template, query: Vec<(String, super::Tree)>) -> Call {
    Call {
        name: name.to_owned(),
        effect: Effect::Read,
        condition: None,
        each: None,
        method,
        path,
        query,
        headers: Vec::new(),
        body: Body::Empty,
        classify: Vec::new(),
        go_on: Vec::new(),
        select: None,
        at: Pointer(Vec::new()),
        save: Vec::new(),
        paginate: None,
        any_body: false,
        xml: None,
        then_get: false,
        random: false,
        base: None,
        cache_ms: None,
    }
}
