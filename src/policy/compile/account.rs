//! `[user]`, `[roles]`, `[[org]]` and `[provision]`: the account a person should have, and how it is made.

use crate::config::SecretRef;
use crate::connector::model::{Credential, MemberVerb, Model, Steps, Verb};
use crate::expr::{Env, FirstOf, Template};
use crate::policy::schema::SIGN_IN_NAMES;
use crate::policy::{Glob, MatchBy, OnCollision, OnExisting, OnSuspect, Org, Pick, Provision, Roles, Sync, UserMapping};
use crate::source::value::nearest;
use crate::source::{Entry, Node, Reader, Severity, Span, Table, Written};
use std::sync::Arc;

/// What `[user]` means when it says nothing.
const NAME: &[&str] = &["{lower(username)}", "{lower(email)}"];
const EMAIL: &[&str] = &["{lower(email)}"];
const DISPLAY: &[&str] = &["{name}", "{given_name} {family_name}", "{username}", "{email}"];

/// `[user]`.
pub(super) fn user(reader: &mut Reader<'_>, tree: &Table) -> UserMapping {
    let nothing = Table::default();
    let table = tree.table("user").unwrap_or(&nothing);
    let env = Env::sign_in();
    let mut mapped = |key: &str, default: &[&str]| match table.node(key) {
        Some(node) => reader.first_of(node, &env),
        None => FirstOf(default.iter().filter_map(|text| Template::compile(text, &env).ok()).map(|(template, _)| template).collect()),
    };
    let (name, email, display) = (mapped("name", NAME), mapped("email", EMAIL), mapped("display", DISPLAY));
    let mut extra = Vec::new();
    for entry in table.table("extra").map(|extra| extra.entries.as_slice()).unwrap_or_default() {
        extra.push((entry.key.clone(), reader.first_of(&entry.node, &env)));
    }
    for node in table.text_nodes("required") {
        let written = node.as_text().unwrap_or_default();
        let known = SIGN_IN_NAMES.contains(&written) || written.strip_prefix("claims.").is_some_and(|name| !name.is_empty());
        if !known {
            let near = nearest(written, SIGN_IN_NAMES.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
            let help = near.unwrap_or_else(|| format!("a claim without a short name is written \"claims.{written}\""));
            reader.error("unknown-name", &node.span, format!("no sign-in has an attribute `{written}`"), &help);
        }
    }
    let on_collision = if table.text("on_collision") == Some("suffix") { OnCollision::Suffix } else { OnCollision::Refuse };
    let on_suspect = if table.text("on_suspect") == Some("accept") { OnSuspect::Accept } else { OnSuspect::Refuse };
    UserMapping { name, email, display, extra, required: table.texts("required"), on_collision, on_suspect }
}

/// `[roles]`.
pub(super) fn roles(reader: &mut Reader<'_>, tree: &Table) -> Option<Roles> {
    let node = tree.node("roles")?;
    let table = node.as_table()?;
    let mut map = Vec::new();
    for entry in table.table("map").map(|map| map.entries.as_slice()).unwrap_or_default() {
        if entry.key.trim().is_empty() {
            reader.error("empty-value", &entry.key_span, "an empty group name fits nobody", "leave it out");
        }
        if let Some(role) = entry.node.as_text() {
            map.push((Glob::new(entry.key.clone()), role.to_owned()));
        }
    }
    Some(Roles {
        map,
        pick: if table.text("pick") == Some("all") { Pick::All } else { Pick::Highest },
        default: table.text("default").map(str::to_owned),
        sync: match table.text("sync") {
            Some("create") => Sync::Create,
            Some("never") => Sync::Never,
            _ => Sync::Login,
        },
    })
}

/// `[[org]]` sections.
pub(super) fn orgs(reader: &mut Reader<'_>, tree: &Table, env: &Env) -> Vec<Org> {
    let mut orgs = Vec::new();
    for (_, table) in tree.sections("org") {
        let Some(id) = table.node("id") else { continue };
        if !matches!(id.value, Written::Integer(_) | Written::Text(_)) {
            reader.error("wrong-type", &id.span, "org.id takes a number or a string", "");
        }
        if let Some(node) = table.node("groups")
            && node.as_list().is_some_and(<[_]>::is_empty)
        {
            reader.error("empty-list", &node.span, "org.groups is an empty list", "leave the key out for everyone");
        }
        let role = table.node("role").map_or_else(|| FirstOf(Vec::new()), |node| reader.first_of(node, env));
        orgs.push(Org { id: id.to_json(), groups: table.texts("groups").into_iter().map(Glob::new).collect(), role });
    }
    orgs
}

/// `[provision]`. `None` also for `connector = "none"`.
pub(super) fn provision(reader: &mut Reader<'_>, tree: &Table, connectors: &[Arc<Model>], env: &Env) -> Option<Provision> {
    let node = tree.node("provision")?;
    let table = node.as_table()?;
    let name = table.node("connector")?;
    let written = name.as_text()?;
    let rest = written == "rest";
    let (find, step) = (table.node("find"), table.node("step"));
    let steps = own_steps(reader, find, step, env);
    if written == "none" {
        for entry in table.entries.iter().filter(|entry| entry.key != "connector") {
            if reported(reader, entry) {
                continue;
            }
            let message = format!("provision.{} has no effect: connector = \"none\" makes no accounts", entry.key);
            reader.warning("no-effect", &entry.key_span, message, "leave it out, or name a connector");
        }
        return None;
    }
    let connector = if rest { Arc::new(Model::rest()) } else { built_in(reader, name, connectors)? };
    if !rest && let Some(own) = find.or(step) {
        reader.error(
            "contradiction",
            &own.span,
            format!("own steps need connector = \"rest\", and this is \"{written}\""),
            "leave the steps out, or the connector",
        );
    }
    if rest && (find.is_none() || step.is_none()) {
        reader.error(
            "missing-key",
            &node.span,
            "connector = \"rest\" needs [provision.find] and [[provision.step]]",
            "say how an account is found, and what to call",
        );
    }
    let Some(url) = table.node("url") else {
        reader.error("missing-key", &node.span, "`provision.url` is missing", "`url`: base address of the admin API");
        return None;
    };
    let url = base(reader, url)?;
    let (settings, problems) = connector.settings(reader.file, table.table("settings"));
    reader.problems.extend(problems);
    let match_by = table.texts("match").iter().filter_map(|by| match_by(by)).collect::<Vec<_>>();
    if match_by.is_empty()
        && let Some(entry) = table.get("on_existing").filter(|_| table.text("on_existing") != Some("refuse"))
    {
        let help = "say how an existing account is recognised: match = [\"email\"], [\"login\"] or [\"external_id\"]";
        reader.warning("no-effect", &entry.node.span, "without `match` no existing account is recognised: each one is a conflict", help);
    }
    Some(Provision {
        connector,
        url,
        credential: credential(reader, table),
        settings,
        on_existing: match table.text("on_existing") {
            Some("adopt") => OnExisting::Adopt,
            Some("leave") => OnExisting::Leave,
            _ => OnExisting::Refuse,
        },
        match_by,
        timeout_ms: table.duration_ms("timeout").and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0).unwrap_or(10_000),
        retries: table.integer("retries").and_then(|retries| u32::try_from(retries).ok()).unwrap_or(2),
        steps,
    })
}

/// What sections say that this app cannot do, and what it needs that they do not say.
pub(super) fn fits_connector(
    reader: &mut Reader<'_>,
    tree: &Table,
    user: &UserMapping,
    roles: Option<&Roles>,
    orgs: &[Org],
    provision: Option<&Provision>,
) {
    let span_of = |key: &str| tree.node(key).map_or(0..0, |node| node.span.clone());
    unused_extra(reader, tree, provision);
    let Some(provision) = provision else {
        // A section that is there and broken would do something once it is mended.
        if tree.node("provision").is_none() || tree.table("provision").and_then(|table| table.text("connector")) == Some("none") {
            without_accounts(reader, tree);
        }
        return;
    };
    let model = &provision.connector;
    let grants = |kind: &str, each: &str| {
        let verb = |verb| model.can(&Verb::Members(kind.to_owned(), verb));
        verb(MemberVerb::Add) || verb(MemberVerb::Set) || provision.steps.as_ref().is_some_and(|steps| steps.has_each(each))
    };
    if !orgs.is_empty() && !grants(&model.orgs_as, "orgs") {
        let span = tree.sections("org").first().map_or(0..0, |(span, _)| (*span).clone());
        reader.warning("no-effect", &span, format!("connector `{}` has no organisations: [[org]] has no effect", model.name), "");
    }
    if let Some(roles) = roles {
        if !grants(&model.roles_as, "roles") {
            let help = "headers and the JWT may still use {role} and {roles}";
            reader.warning("no-effect", &span_of("roles"), format!("connector `{}` does not grant roles", model.name), help);
        }
        unknown_roles(reader, tree, roles, model);
    }
    for attribute in model.attributes.iter().filter(|attribute| attribute.required || attribute.locked) {
        let given = user.extra.iter().any(|(name, _)| *name == attribute.name) || ["email", "display"].contains(&attribute.name.as_str());
        if !given && attribute.default.0.is_empty() {
            let message = format!("connector `{}` needs the attribute `{}`", model.name, attribute.name);
            reader.error("missing-attribute", &span_of("provision"), message, &format!("[user.extra] {} = \"…\"", attribute.name));
        }
    }
}

/// What is wrong is not called without effect as well.
fn reported(reader: &Reader<'_>, entry: &Entry) -> bool {
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

/// `[user.extra]` names that no connector takes and no text of the policy mentions: misspelt, most likely.
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
        let help = near.unwrap_or_else(|| format!("use it as {{user.extra.{name}}}, or leave it out"));
        reader.warning("no-effect", &entry.key_span, format!("nothing uses user.extra.{name}"), &help);
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

/// `pick = "highest"` needs to know where a role stands.
fn unknown_roles(reader: &mut Reader<'_>, tree: &Table, roles: &Roles, model: &Model) {
    if model.role_order.is_empty() || roles.pick == Pick::All {
        return;
    }
    let table = tree.table("roles");
    let mapped = table.and_then(|table| table.table("map")).map(|map| map.entries.as_slice()).unwrap_or_default();
    let nodes = mapped.iter().map(|entry| &entry.node).chain(table.and_then(|table| table.node("default")));
    for node in nodes {
        let Some(role) = node.as_text().filter(|role| !model.role_order.iter().any(|known| known == role)) else { continue };
        let near = nearest(role, model.role_order.iter().map(String::as_str)).map(|near| format!("did you mean \"{near}\"?"));
        let help = near.unwrap_or_else(|| format!("one of: {}", model.role_order.join(", ")));
        reader.error("unknown-role", &node.span, format!("connector `{}` knows no role `{role}`", model.name), &help);
    }
}

fn built_in(reader: &mut Reader<'_>, node: &Node, connectors: &[Arc<Model>]) -> Option<Arc<Model>> {
    let written = node.as_text()?;
    if let Some(model) = connectors.iter().find(|model| model.name == written) {
        return Some(Arc::clone(model));
    }
    let names: Vec<&str> = connectors.iter().map(|model| model.name.as_str()).filter(|name| *name != "rest").chain(["rest", "none"]).collect();
    let problem =
        crate::source::Problem::error("bad-value", reader.file, node.span.clone(), format!("`{written}` is not a value of provision.connector"));
    let problem = match nearest(written, names.iter().copied()) {
        Some(near) => problem.help(format!("did you mean \"{near}\"?")),
        None => problem,
    };
    reader.problems.push(problem.help(format!("one of: {}", names.join(", "))));
    None
}

fn own_steps(reader: &mut Reader<'_>, find: Option<&Node>, step: Option<&Node>, env: &Env) -> Option<Steps> {
    if find.is_none() && step.is_none() {
        return None;
    }
    let steps = match step.map(|node| (node, node.as_list())) {
        None => &[][..],
        Some((_, Some(list))) => list,
        Some((node, None)) => {
            reader.error(
                "expected-list",
                &node.span,
                "provision.step may stand several times, and takes double brackets",
                "write [[provision.step]]",
            );
            &[]
        }
    };
    let (compiled, problems) = Steps::parse(reader.file, find, steps, env);
    reader.problems.extend(problems);
    compiled
}

fn base(reader: &mut Reader<'_>, node: &Node) -> Option<url::Url> {
    let url = url::Url::parse(node.as_text()?).ok()?;
    if url.query().is_some() || url.fragment().is_some() {
        reader.error("bad-value", &node.span, "provision.url is a base address: no query, no fragment", "");
        return None;
    }
    let mut url = url;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Some(url)
}

fn match_by(written: &str) -> Option<MatchBy> {
    match written {
        "external_id" => Some(MatchBy::ExternalId),
        "login" => Some(MatchBy::Login),
        "email" => Some(MatchBy::Email),
        _ => None,
    }
}

fn credential(reader: &mut Reader<'_>, table: &Table) -> Credential {
    let token = table.node("token").and_then(|node| secret(reader, node));
    if let Some(entry) = table.get("token").filter(|_| table.get("username").is_some() || table.get("password").is_some()) {
        let help = "an admin call carries one of the two: leave the other out";
        reader.error("contradiction", &entry.key_span, "provision.token and provision.username contradict each other", help);
    }
    let pair = (table.text("username"), table.node("password"));
    let lonely = |reader: &mut Reader<'_>, span: &Span, other: &str| {
        reader.error("missing-key", span, format!("`provision.{other}` is missing"), "username and password go together");
    };
    let basic = match pair {
        (Some(user), Some(password)) => secret(reader, password).map(|password| (user.to_owned(), password)),
        (Some(_), None) => {
            if let Some(entry) = table.get("username") {
                lonely(reader, &entry.key_span, "password");
            }
            None
        }
        (None, Some(password)) => {
            lonely(reader, &password.span, "username");
            None
        }
        (None, None) => None,
    };
    let mut headers = Vec::new();
    for entry in table.table("headers").map(|headers| headers.entries.as_slice()).unwrap_or_default() {
        if http::HeaderName::from_bytes(entry.key.as_bytes()).is_err() {
            reader.error("bad-header", &entry.key_span, format!("`{}` is not a header name", entry.key), "letters, digits and -");
        }
        headers.extend(secret(reader, &entry.node).map(|secret| (entry.key.clone(), secret)));
    }
    Credential { token, basic, headers }
}

/// `"cred:NAME"` or `{ secret = "cred:NAME" }`.
fn secret(reader: &Reader<'_>, node: &Node) -> Option<SecretRef> {
    let text = node.as_text().or_else(|| node.as_table().and_then(|table| table.text("secret")))?;
    reader.secret(text)
}
