//! `[user]`, `[roles]`, `[[org]]` and `[provision]`: the account a person should have, and how it is made. What these must be so that a connector can do
//! its work is in `fit.rs`.

use super::fit;
use crate::config::SecretRef;
use crate::connector::model::{Credential, Model, Steps};
use crate::expr::{Env, FirstOf, Template};
use crate::policy::schema::SIGN_IN_NAMES;
use crate::policy::{AdminTls, Glob, MatchBy, OnCollision, OnExisting, OnSuspect, Org, Pick, Provision, Roles, Sync, UserMapping};
use crate::source::value::nearest;
use crate::source::{Node, Reader, Span, Table, Written};
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
    let on_suspect = if table.text("on_suspect") == Some("accept") { OnSuspect::Accept } else { OnSuspect::Refuse };
    let on_collision = match table.text("on_collision") {
        Some("suffix") => OnCollision::Suffix,
        Some("hash") => OnCollision::Hash,
        _ => OnCollision::Refuse,
    };
    let omit = table.texts("omit");
    // What `[user]` itself makes is not there for templates either.
    let sent = |name: &str, value: FirstOf| if omit.iter().any(|omitted| omitted == name) { FirstOf(Vec::new()) } else { value };
    let (email, display) = (sent("email", email), sent("display", display));
    let name_max = table.integer("name_max").and_then(|max| usize::try_from(max).ok()).filter(|max| *max > 0);
    UserMapping { name, email, display, extra, required: table.texts("required"), name_max, omit, on_collision, on_suspect }
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
        order: table.texts("order"),
        default: table.text("default").map(str::to_owned),
        sync: match table.text("sync") {
            Some("create") => Sync::Create,
            Some("never") => Sync::Never,
            _ => Sync::Login,
        },
        required: table.flag("required").unwrap_or_default(),
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
        let groups = table.texts("groups").into_iter().map(Glob::new).collect();
        orgs.push(Org { id: id.to_json(), groups, role, required: table.flag("required").unwrap_or_default() });
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
            if fit::reported(reader, entry) {
                continue;
            }
            let message = format!("provision.{} has no effect: connector = \"none\" makes no accounts", entry.key);
            reader.warning("no-effect", &entry.key_span, message, "leave it out, or name a connector");
        }
        return None;
    }
    let connector = if rest { Arc::new(Model::rest()) } else { fit::connector(reader, name, connectors)? };
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
    let initial_password = fit::initial_password(reader, table, &connector);
    let (settings, problems) = connector.settings(reader.file, table.table("settings"));
    reader.problems.extend(problems);
    let secrets = connector.secret_settings(reader.file, table.table("settings"));
    let match_by = table.texts("match").iter().filter_map(|by| match_by(by)).collect::<Vec<_>>();
    if match_by.is_empty()
        && table.get("mode").is_none()
        && let Some(entry) = table.get("on_existing").filter(|_| table.text("on_existing") != Some("refuse"))
    {
        let help = "say how an existing account is recognised: match = [\"email\"], [\"login\"] or [\"external_id\"]";
        reader.warning("no-effect", &entry.node.span, "without `match` no existing account is recognised: each one is a conflict", help);
    }
    let (mut switches, on_existing) = super::switches::switches(reader, node, table);
    switches.rename = super::switches::rename(reader, table, &connector);
    if !rest && on_existing != OnExisting::Refuse && !match_by.is_empty() {
        admin_unknown(reader, table, &connector);
    }
    let leavers = super::leavers::leavers(reader, table, &connector);
    let freshness = super::leavers::freshness(reader, table);
    Some(Provision {
        connector,
        url,
        credential: Credential { settings: secrets, ..credential(reader, table) },
        settings,
        on_existing,
        match_by,
        switches,
        leavers,
        freshness,
        drift: super::leavers::drift(table),
        timeout_ms: table.duration_ms("timeout").and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0).unwrap_or(10_000),
        retries: table.integer("retries").and_then(|retries| u32::try_from(retries).ok()).unwrap_or(2),
        steps,
        initial_password,
        tls: admin_tls(reader, table),
        concurrency: table.integer("concurrency").and_then(|many| usize::try_from(many).ok()).unwrap_or(8),
        rate: table.integer("rate").and_then(|rate| u32::try_from(rate).ok()),
    })
}

/// An administrator's account is never taken over, if one can tell: where the connector cannot, the policy is to say whose accounts are not to be had.
fn admin_unknown(reader: &mut Reader<'_>, table: &Table, connector: &Model) {
    if connector.shows_admins() || table.get("protect").is_some() || table.get("protect_when").is_some() {
        return;
    }
    let Some(entry) = table.get("on_existing").or_else(|| table.get("mode")) else { return };
    let shows = if connector.account.admin.is_some() { "may not show" } else { "does not show" };
    let message = format!("connector `{}` {shows} who is an administrator: an administrator's account may be taken over", connector.name);
    let help = "say which accounts are never taken over: protect = [\"admin\", \"svc-*\"], or protect_when";
    reader.warning("admin-unknown", &entry.node.span, message, help);
}

/// `ca`, `client_cert`, `client_key`; relative paths begin beside this file.
fn admin_tls(reader: &mut Reader<'_>, table: &Table) -> Option<AdminTls> {
    let folder = std::path::Path::new(&*reader.file.name).parent().unwrap_or(std::path::Path::new("")).to_path_buf();
    for (key, other) in [("client_cert", "client_key"), ("client_key", "client_cert")] {
        if let (Some(entry), None) = (table.get(key), table.get(other)) {
            reader.error("missing-key", &entry.key_span, format!("`provision.{other}` is missing"), "client_cert and client_key go together");
        }
    }
    let plain = table.text("url").is_some_and(|url| url.starts_with("http://"));
    if let Some(entry) = ["ca", "client_cert"].iter().find_map(|key| table.get(key)).filter(|_| plain) {
        let message = format!("provision.{} has no effect: provision.url is not https", entry.key);
        reader.warning("no-effect", &entry.key_span, message, "https://, or leave the key out");
    }
    let ca = table.text("ca").map(|path| folder.join(path));
    let client = table.text("client_cert").map(|path| folder.join(path)).zip(table.node("client_key").and_then(|node| secret(reader, node)));
    (ca.is_some() || client.is_some()).then_some(AdminTls { ca, client })
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
    Credential { token, basic, headers, settings: Vec::new() }
}

/// `"cred:NAME"` or `{ secret = "cred:NAME" }`.
fn secret(reader: &Reader<'_>, node: &Node) -> Option<SecretRef> {
    let text = node.as_text().or_else(|| node.as_table().and_then(|table| table.text("secret")))?;
    reader.secret(text)
}
