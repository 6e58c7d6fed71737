//! A connector file, `policies/connectors/APP.toml`.

use super::call::{self, Expect};
use super::read::{Reader, literal};
use super::{
    AccountShape, Attribute, Auth, AuthMember, Body, Call, Fold, Http, IdentityFacts, InitialPassword, MemberShape, MemberVerb, Model, NativeJit,
    Pointer, Presented, Rejected, Setting, SignIn, Verb, Way,
};
use super::{defaults, disable};
use crate::config::SecretRef;
use crate::expr::{Env, FirstOf, Template, Type};
use crate::policy::CanonicalPath;
use crate::policy::sign_in::Mode;
use crate::source::{self, Entry, Node, Problem, SourceFile, Table};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const TOP: [&str; 40] = [
    "connector",
    "version",
    "summary",
    "tested_with",
    "roles_as",
    "orgs_as",
    "role_order",
    "roles",
    "default_role",
    "orgs_by",
    "joined_on_create",
    "initial_password",
    "http",
    "defaults",
    "disable_by",
    "disable_group",
    "single",
    "session",
    "settings",
    "identity",
    "account",
    "attributes",
    "sign_in",
    "token",
    "probe",
    "lookup",
    "get",
    "create",
    "update",
    "rename",
    "enable",
    "disable",
    "delete",
    "list",
    "members",
    "resolve",
    "revoke_sessions",
    "set_password",
    "enter",
    "leave",
];

pub(super) fn parse(file: &SourceFile) -> (Option<Model>, Vec<Problem>) {
    let (table, problems) = source::parse(file);
    let mut reader = Reader::new(file);
    reader.problems = problems;
    let model = model(&mut reader, &table);
    (reader.is_sound().then_some(model), reader.problems)
}

fn model(reader: &mut Reader<'_>, table: &Table) -> Model {
    reader.keys(table, "a connector", &TOP);
    let name = reader.text_at(table, "connector").unwrap_or_default();
    if name.is_empty() {
        reader.error("missing-key", &(0..0), "`connector` is missing: its name");
    }
    if table.get("version").is_none() || reader.number_at(table, "version", 1, 1, 1) != 1 {
        reader.error("version", &(0..0), "`version = 1` is missing");
    }
    let settings = section(reader, table, "settings").map(|given| given.entries.iter().filter_map(|entry| setting(reader, entry)).collect());
    let mut model = Model { name, settings: settings.unwrap_or_default(), ..rest() };
    model.summary = reader.text_at(table, "summary").unwrap_or_default();
    model.tested_with = reader.texts_at(table, "tested_with");
    model.roles_as = reader.text_at(table, "roles_as").unwrap_or(model.roles_as);
    model.orgs_as = reader.text_at(table, "orgs_as").unwrap_or(model.orgs_as);
    roles(reader, table, &mut model);
    passwords(reader, table, &mut model);
    if let Some(given) = section(reader, table, "http") {
        model.http = http(reader, given, &settings_env(&model));
    }
    if let Some(given) = section(reader, table, "identity") {
        model.identity = identity(reader, given);
    }
    if let Some(given) = section(reader, table, "account") {
        model.account = account(reader, given);
    }
    let attributes = section(reader, table, "attributes");
    model.attributes = attributes.map(|given| given.entries.iter().filter_map(|entry| attribute(reader, entry)).collect()).unwrap_or_default();
    if let Some(given) = section(reader, table, "sign_in") {
        model.sign_in = sign_in(reader, given, &model.settings, settings_type(&model));
    }
    verbs(reader, table, &mut model);
    let shared = settings_env(&model);
    disable::parse(reader, table, &mut model, &shared);
    check_keys_of_signatures(reader, &model);
    check_reads(reader, &model);
    if model.account.id.is_none() || model.account.login.is_none() {
        reader.error("missing-key", &(0..0), "`[account]` must say where `id` and `login` stand in an answer");
    }
    let misfits: Vec<Verb> =
        model.verbs.keys().filter(|verb| matches!(verb, Verb::Lookup(Way::ExternalId)) && model.account.external_id.is_none()).cloned().collect();
    if !misfits.is_empty() {
        reader.error("missing-key", &(0..0), "`[account]` must say where `external_id` stands: it is looked up by");
    }
    model
}

/// `role_order`, `roles`, `default_role`, `orgs_by`, `joined_on_create`.
fn roles(reader: &mut Reader<'_>, table: &Table, model: &mut Model) {
    model.role_order = reader.texts_at(table, "role_order");
    model.roles = if table.get("roles").is_some() { reader.texts_at(table, "roles") } else { model.role_order.clone() };
    model.default_role = reader.text_at(table, "default_role");
    let by = table.get("orgs_by").and_then(|entry| reader.choice(&entry.node, &[("name", false), ("number", true)]));
    model.orgs_by_number = by.unwrap_or(false);
    if let Some(given) = section(reader, table, "joined_on_create") {
        model.joined_on_create = given.entries.iter().map(|entry| (entry.key.clone(), reader.texts(&entry.node))).collect();
    }
    if model.roles.is_empty() {
        return;
    }
    let joined = model.joined_on_create.iter().flat_map(|(_, roles)| roles);
    let named: Vec<String> = model.role_order.iter().chain(&model.default_role).chain(joined).cloned().collect();
    for role in named.iter().filter(|role| !model.roles.contains(role)) {
        let span = table.get("roles").map_or(0..0, |entry| entry.node.span.clone());
        reader.error("unknown-role", &span, format!("`{role}` is not among `roles`"));
    }
}

/// `initial_password`: what it can do, the usual first.
fn passwords(reader: &mut Reader<'_>, table: &Table, model: &mut Model) {
    let known = [("random", InitialPassword::Random), ("none", InitialPassword::None)];
    let Some(entry) = table.get("initial_password") else {
        model.initial_password = vec![InitialPassword::None];
        return;
    };
    let nodes = entry.node.as_list().unwrap_or(std::slice::from_ref(&entry.node));
    model.initial_password = nodes.iter().filter_map(|node| reader.choice(node, &known)).collect();
    if nodes.is_empty() {
        reader.error_help("missing-key", &entry.node.span, "`initial_password` is empty", "[\"random\"], [\"none\"] or both, the usual first");
    }
}

/// The model behind `connector = "rest"`.
pub(super) fn rest() -> Model {
    Model {
        name: "rest".to_owned(),
        summary: "A policy's own steps".to_owned(),
        tested_with: Vec::new(),
        http: Http {
            auth: Auth { header: http::header::AUTHORIZATION, prefix: "Bearer ".to_owned(), presented: Presented::Usual, member: None },
            accept: "application/json".to_owned(),
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            session_ttl_ms: 1_800_000,
            token_ttl_ms: None,
        },
        settings: Vec::new(),
        identity: IdentityFacts { fold: Fold::AsciiLower, lower: false, charset: None, chars_max: 255, reserved: reserved() },
        account: AccountShape::default(),
        attributes: Vec::new(),
        roles_as: "role".to_owned(),
        orgs_as: "org".to_owned(),
        role_order: Vec::new(),
        roles: Vec::new(),
        default_role: None,
        orgs_by_number: false,
        joined_on_create: Vec::new(),
        initial_password: Vec::new(),
        file: None,
        revision: String::new(),
        disable_by: Vec::new(),
        single: Vec::new(),
        verbs: BTreeMap::new(),
        sign_in: SignIn::default(),
    }
}

/// Names that are an administrator's or the system's wherever they exist.
fn reserved() -> Vec<String> {
    ["admin", "administrator", "root", "system"].map(str::to_owned).to_vec()
}

pub(super) fn settings(model: &Model, file: &SourceFile, given: Option<&Table>) -> (Map<String, Value>, Vec<Problem>) {
    let mut reader = Reader::new(file);
    // A secret one is no value: see `secret_settings`.
    let shown = model.settings.iter().filter(|setting| !setting.secret);
    let mut out: Map<String, Value> = shown.map(|setting| (setting.name.clone(), setting.default.clone())).collect();
    if let Some(given) = given {
        let known: Vec<&str> = model.settings.iter().map(|setting| setting.name.as_str()).collect();
        reader.keys(given, &format!("the settings of connector `{}`", model.name), &known);
        for (entry, setting) in
            given.entries.iter().filter_map(|entry| model.settings.iter().find(|setting| setting.name == entry.key).map(|found| (entry, found)))
        {
            let value = literal(&entry.node);
            if setting.secret {
                if secret_text(&entry.node).and_then(SecretRef::parse).is_none() {
                    let help = format!("{} = \"cred:NAME\", \"file:PATH\" or \"env:NAME\"", entry.key);
                    reader.error_help(
                        "literal-secret",
                        &entry.node.span,
                        format!("`{}` is a secret: it is referred to, never written", entry.key),
                        help,
                    );
                }
                continue;
            }
            if std::mem::discriminant(&value) != std::mem::discriminant(&setting.default) {
                reader.error("wrong-type", &entry.node.span, format!("`{}` is {} here", entry.key, entry.node.kind()));
            } else if !setting.allowed.is_empty() && !setting.allowed.contains(&value) {
                let allowed: Vec<String> = setting.allowed.iter().map(ToString::to_string).collect();
                reader.error_help(
                    "unknown-value",
                    &entry.node.span,
                    format!("`{}` cannot be this", entry.key),
                    format!("one of {}", allowed.join(", ")),
                );
            } else {
                out.insert(entry.key.clone(), value);
            }
        }
    }
    (out, reader.problems)
}

/// `"cred:NAME"` or `{ secret = "cred:NAME" }`.
fn secret_text(node: &Node) -> Option<&str> {
    node.as_text().or_else(|| node.as_table().and_then(|table| table.text("secret")))
}

pub(super) fn secret_settings(model: &Model, file: &SourceFile, given: Option<&Table>) -> Vec<(String, SecretRef)> {
    let folder = std::path::Path::new(&*file.name).parent().unwrap_or(std::path::Path::new(""));
    let secret = |setting: &Setting| {
        let text = secret_text(&given?.get(&setting.name)?.node)?;
        Some((setting.name.clone(), SecretRef::parse(text)?.beside(folder)))
    };
    model.settings.iter().filter(|setting| setting.secret).filter_map(secret).collect()
}

fn section<'t>(reader: &mut Reader<'_>, table: &'t Table, key: &str) -> Option<&'t Table> {
    table.get(key).and_then(|entry| reader.table(&entry.node))
}

fn setting(reader: &mut Reader<'_>, entry: &Entry) -> Option<Setting> {
    let table = reader.table(&entry.node)?;
    reader.keys(table, "a setting", &["summary", "default", "allowed", "secret"]);
    let summary = reader.text_at(table, "summary").unwrap_or_default();
    if reader.bool_at(table, "secret", false) {
        if let Some(default) = table.get("default") {
            reader.error("contradiction", &default.key_span, "a secret has no default");
        }
        return Some(Setting { name: entry.key.clone(), summary, default: Value::String(String::new()), allowed: Vec::new(), secret: true });
    }
    let Some(default) = table.get("default") else {
        reader.error("missing-key", &entry.node.span, "a setting needs a `default`");
        return None;
    };
    let allowed = table.get("allowed").map(|allowed| reader.list(&allowed.node).iter().map(literal).collect()).unwrap_or_default();
    Some(Setting { name: entry.key.clone(), summary, default: literal(&default.node), allowed, secret: false })
}

/// `settings` and `session`, for what every request has.
fn settings_env(model: &Model) -> Env {
    Env::new().with("settings", settings_type(model), false).with("session", Type::Dynamic, false)
}

fn settings_type(model: &Model) -> Type {
    let shown = model.settings.iter().filter(|setting| !setting.secret);
    Type::Record(shown.map(|setting| (setting.name.clone(), type_of(&setting.default), false)).collect())
}

fn http(reader: &mut Reader<'_>, table: &Table, env: &Env) -> Http {
    reader.keys(table, "`[http]`", &["auth", "accept", "content_type", "headers", "session_ttl", "token_ttl"]);
    let mut out = rest().http;
    if let Some(entry) = table.get("auth") {
        auth(reader, &entry.node, &mut out.auth, env);
    }
    out.accept = reader.text_at(table, "accept").unwrap_or(out.accept);
    out.content_type = reader.text_at(table, "content_type").unwrap_or(out.content_type);
    if let Some(given) = section(reader, table, "headers") {
        for entry in &given.entries {
            if entry.node.as_text().is_some_and(|text| http::HeaderValue::from_str(text).is_err()) {
                reader.error("bad-header", &entry.node.span, "not a header value");
            }
            out.headers.extend(reader.header_name(entry).zip(reader.template(&entry.node, env)));
        }
    }
    let mut ttl = |key: &str| {
        let entry = table.get(key)?;
        let ms = reader.text(&entry.node).as_deref().and_then(source::value::duration_ms).and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
        if ms.is_none() {
            reader.error_help("wrong-type", &entry.node.span, "not a length of time", "\"30m\"");
        }
        ms
    };
    out.token_ttl_ms = ttl("token_ttl");
    out.session_ttl_ms = ttl("session_ttl").unwrap_or(out.session_ttl_ms);
    out
}

/// `{ header = "X-API-KEY", prefix = "" }`, `"basic"` or `"none"`.
fn auth(reader: &mut Reader<'_>, node: &Node, out: &mut Auth, env: &Env) {
    let Some(given) = node.as_table() else {
        let words = [("basic", Presented::Basic), ("none", Presented::Nowhere)];
        out.presented = reader.choice(node, &words).unwrap_or(out.presented);
        return;
    };
    reader.keys(given, "`auth`", &["header", "prefix", "jsonrpc", "if"]);
    if let Some(name) = reader.text_at(given, "jsonrpc") {
        let condition = given.get("if").and_then(|entry| reader.condition(&entry.node, env));
        out.member = Some(AuthMember { name, condition });
        if given.get("header").is_none() {
            return;
        }
    }
    if let Some(name) = reader.text_at(given, "header").and_then(|text| http::HeaderName::from_bytes(text.as_bytes()).ok()) {
        out.header = name;
    }
    out.prefix = reader.text_at(given, "prefix").unwrap_or_default();
}

/// A `signed` body names a setting that is a secret.
fn check_keys_of_signatures(reader: &mut Reader<'_>, model: &Model) {
    for call in model.verbs.values().flatten() {
        let Body::Signed { key, .. } = &call.body else { continue };
        if !model.settings.iter().any(|setting| setting.secret && setting.name == *key) {
            let help = format!("[settings.{key}] secret = true");
            reader.error_help("missing-key", &(0..0), format!("step `{}` signs with `{key}`, which is no secret setting", call.name), help);
        }
    }
}

/// What is laid over an account, or replaces its memberships, needs to be read first.
fn check_reads(reader: &mut Reader<'_>, model: &Model) {
    for (verb, calls) in &model.verbs {
        let over = calls.iter().find(|call| call.base.is_some());
        if let Some(call) = over.filter(|_| !model.can(&Verb::Get)) {
            reader.error("missing-key", &(0..0), format!("step `{}` of `{verb}` has `base = \"get\"`, and there is no `[[get]]`", call.name));
        }
        let Verb::Members(kind, MemberVerb::Set) = verb else { continue };
        let shown = model.can(&Verb::Get) && model.account.members.iter().any(|(known, _)| known == kind);
        if !shown && !model.can(&Verb::Members(kind.clone(), MemberVerb::List)) {
            let help = format!("[account] members = {{ {kind} = {{ each = … }} }} and [[get]], or [[members.{kind}.list]]");
            reader.error_help("missing-key", &(0..0), format!("`{verb}` replaces what there is, and nothing says how that is read"), help);
        }
    }
}

fn identity(reader: &mut Reader<'_>, table: &Table) -> IdentityFacts {
    reader.keys(table, "`[identity]`", &["fold", "lower", "charset", "max", "reserved"]);
    let folds = [("exact", Fold::Exact), ("ascii_lower", Fold::AsciiLower), ("casefold", Fold::Casefold)];
    IdentityFacts {
        fold: table.get("fold").and_then(|entry| reader.choice(&entry.node, &folds)).unwrap_or_default(),
        lower: reader.bool_at(table, "lower", false),
        charset: table.get("charset").and_then(|entry| reader.regex(&entry.node)),
        chars_max: usize::try_from(reader.number_at(table, "max", 255, 1, 4096)).unwrap_or(255),
        reserved: table.get("reserved").map_or_else(reserved, |entry| reader.texts(&entry.node)),
    }
}

pub(super) const ACCOUNT_KEYS: [&str; 9] = ["id", "login", "external_id", "email", "admin", "admin_optional", "disabled", "etag", "members"];

pub(super) fn account(reader: &mut Reader<'_>, table: &Table) -> AccountShape {
    reader.keys(table, "`[account]`", &ACCOUNT_KEYS);
    let mut members = Vec::new();
    if let Some(given) = section(reader, table, "members") {
        members = given.entries.iter().filter_map(|entry| Some((entry.key.clone(), member_shape(reader, &entry.node)?))).collect();
    }
    AccountShape { members, admin_optional: reader.bool_at(table, "admin_optional", false), ..account_parts(reader, table) }
}

/// The parts that a policy's own find may name too.
pub(super) fn account_parts(reader: &mut Reader<'_>, table: &Table) -> AccountShape {
    AccountShape {
        id: reader.extract_at(table, "id"),
        login: reader.extract_at(table, "login"),
        external_id: reader.extract_at(table, "external_id"),
        email: reader.extract_at(table, "email"),
        admin: reader.extract_at(table, "admin"),
        admin_optional: false,
        disabled: reader.extract_at(table, "disabled"),
        etag: reader.extract_at(table, "etag"),
        members: Vec::new(),
    }
}

fn member_shape(reader: &mut Reader<'_>, node: &Node) -> Option<MemberShape> {
    let table = reader.table(node)?;
    reader.keys(table, "a list of memberships", &["each", "name", "role", "id"]);
    let each = reader.pointer_at(table, "each")?;
    let (role, id) = (reader.pointer_at(table, "role"), reader.pointer_at(table, "id"));
    Some(MemberShape { each, name: reader.pointer_at(table, "name").unwrap_or(Pointer(Vec::new())), role, id })
}

fn attribute(reader: &mut Reader<'_>, entry: &Entry) -> Option<Attribute> {
    let table = reader.table(&entry.node)?;
    reader.keys(table, "an attribute", &["required", "locked", "default", "read", "path", "write"]);
    // Where values come from is the sign-in and `[user]`; an absent source only moves on to the next.
    let user = Type::Record(vec![
        ("name".to_owned(), Type::Text, true),
        ("email".to_owned(), Type::Text, true),
        ("display".to_owned(), Type::Text, true),
        ("extra".to_owned(), Type::Dynamic, true),
    ]);
    let sources = Env::sign_in().with("user", user, false);
    let value = Env::new().with("value", Type::Dynamic, false);
    Some(Attribute {
        name: entry.key.clone(),
        required: reader.bool_at(table, "required", false),
        locked: reader.bool_at(table, "locked", false),
        default: table.get("default").map_or(FirstOf(Vec::new()), |entry| reader.first_of(&entry.node, &sources)),
        read: reader.extract_at(table, "read"),
        path: reader.text_at(table, "path").unwrap_or_else(|| entry.key.clone()),
        write: table.get("write").and_then(|entry| reader.tree(&entry.node, &value)),
    })
}

fn sign_in(reader: &mut Reader<'_>, table: &Table, settings: &[Setting], type_of_settings: Type) -> SignIn {
    reader.keys(
        table,
        "`[sign_in]`",
        &["header", "modes", "login_url", "own_session", "logout_paths", "basic_password", "rejected_when", "block_paths", "native_jit", "advice"],
    );
    let modes = table.get("modes").map(|entry| reader.list(&entry.node)).unwrap_or_default();
    SignIn {
        header: reader.text_at(table, "header"),
        modes: modes.iter().filter_map(|node| reader.choice(node, &Mode::WORDS)).collect(),
        login_url: login_url(reader, table, settings, type_of_settings),
        own_session: reader.bool_at(table, "own_session", false),
        logout_paths: reader.texts_at(table, "logout_paths"),
        basic_password: reader.text_at(table, "basic_password"),
        rejected_when: table.get("rejected_when").map(|entry| rejections(reader, &entry.node)).unwrap_or_default(),
        block_paths: reader.texts_at(table, "block_paths"),
        native_jit: table.get("native_jit").and_then(|entry| native_jit(reader, &entry.node)),
        advice: reader.texts_at(table, "advice"),
    }
}

/// A path for the defaults, and for every value that one setting may have besides.
fn login_url(reader: &mut Reader<'_>, table: &Table, settings: &[Setting], type_of_settings: Type) -> Option<Template> {
    let entry = table.get("login_url")?;
    let template = reader.template(&entry.node, &Env::new().with("settings", type_of_settings, false))?;
    let defaults: Map<String, Value> = settings.iter().map(|setting| (setting.name.clone(), setting.default.clone())).collect();
    let others = settings.iter().flat_map(|setting| setting.allowed.iter().map(|value| (setting.name.clone(), value.clone())));
    let others = others.map(|other| defaults.clone().into_iter().chain([other]).collect());
    let known = SignIn { login_url: Some(template), ..SignIn::default() };
    let canonical = |settings: Map<String, Value>| {
        let path = known.login_url(&settings).unwrap_or_default();
        CanonicalPath::parse(&path).is_ok_and(|canonical| canonical.as_str() == path) && !path.contains('*')
    };
    if !std::iter::once(defaults.clone()).chain(others).all(canonical) {
        reader.error_help("bad-value", &entry.node.span, "not a path as requests have it", "such as \"/hub/login\": no *, no query");
        return None;
    }
    known.login_url
}

pub(super) fn rejected_when(file: &SourceFile, node: &Node) -> (Vec<Rejected>, Vec<Problem>) {
    let mut reader = Reader::new(file);
    let signs = rejections(&mut reader, node);
    (signs, reader.problems)
}

fn rejections(reader: &mut Reader<'_>, node: &Node) -> Vec<Rejected> {
    let mut signs = Vec::new();
    for node in reader.list(node) {
        let Some(sign) = reader.table(node) else { continue };
        reader.keys(sign, "`rejected_when`", &["status", "redirect", "body"]);
        let statuses = sign.get("status").map(|entry| reader.statuses(&entry.node)).unwrap_or_default();
        match (sign.get("redirect"), sign.get("body")) {
            (Some(to), None) if statuses.is_empty() => signs.extend(reader.regex(&to.node).map(Rejected::Redirect)),
            (None, Some(body)) => {
                let text = reader.regex(&body.node);
                let statuses = if statuses.is_empty() { vec![200] } else { statuses };
                signs.extend(text.into_iter().flat_map(|text| statuses.iter().map(move |&status| Rejected::Body { status, text: text.clone() })));
            }
            (None, None) if sign.get("status").is_some() => signs.extend(statuses.into_iter().map(Rejected::Status)),
            _ => {
                let help = "{ status = 401 }, { redirect = \"^/login\" } or { status = 200, body = \"not logged in\" }";
                reader.error_help("bad-value", &node.span, "this is no sign that an answer could show", help);
            }
        }
    }
    signs
}

/// `"in words"`, or `{ setting = "auth.jwt.auto_sign_up", want = "off", text = "…" }`.
fn native_jit(reader: &mut Reader<'_>, node: &Node) -> Option<NativeJit> {
    let Some(table) = node.as_table() else {
        return reader.text(node).map(|text| NativeJit { settings: Vec::new(), want: String::new(), text });
    };
    reader.keys(table, "`native_jit`", &["setting", "want", "text"]);
    for key in ["setting", "want"] {
        if table.get(key).is_none() {
            reader.error("missing-key", &node.span, format!("`native_jit` needs `{key}`"));
        }
    }
    let settings = reader.texts_at(table, "setting");
    let (want, text) = (reader.text_at(table, "want"), reader.text_at(table, "text"));
    Some(NativeJit { settings, want: want.unwrap_or_default(), text: text.unwrap_or_default() })
}

/// Names that the steps of a verb may use; `kinds` are the kinds of membership.
fn env(model: &Model, verb: &Verb, kinds: &[String]) -> Env {
    let field = |name: &str, of: Type, may_be_absent: bool| (name.to_owned(), of, may_be_absent);
    let mut want = vec![field("login", Type::Text, false), field("external_id", Type::Text, false), field("email", Type::Text, true)];
    want.extend(model.attributes.iter().filter(|attribute| attribute.name != "email").map(|attribute| field(&attribute.name, Type::Dynamic, true)));
    let mut env = Env::new()
        .with("want", Type::Record(want), false)
        .with("settings", settings_type(model), false)
        .with("saved", Type::Dynamic, false)
        .with("session", Type::Dynamic, false)
        .with("outcome", Type::Dynamic, false)
        .with("item", Type::Dynamic, true);
    // What a name resolves to is the same for everybody: it is remembered.
    let by_name = matches!(verb, Verb::Resolve(_) | Verb::Members(_, MemberVerb::Name));
    if by_name {
        env = env.with("want", Type::Record(Vec::new()), false);
    } else if !matches!(verb, Verb::Token | Verb::Session | Verb::Probe | Verb::Lookup(_) | Verb::List) {
        let account = vec![field("id", Type::Text, true), field("login", Type::Text, false), field("etag", Type::Text, true)];
        env = env.with("account", Type::Record(account), false);
    }
    let members = Type::Record(kinds.iter().map(|kind| field(kind, Type::List(Box::new(Type::Dynamic)), false)).collect());
    match verb {
        Verb::Update => env.with("changes", Type::List(Box::new(Type::Dynamic)), false),
        Verb::Create => env.with("members", members, false),
        Verb::Members(_, MemberVerb::Set) => {
            let member = vec![field("name", Type::Text, true), field("id", Type::Text, true), field("role", Type::Text, true)];
            env.with("member", Type::Record(member), false).with("members", members, false)
        }
        Verb::Members(_, MemberVerb::Add | MemberVerb::Remove | MemberVerb::Name) | Verb::Resolve(_) => {
            let member = vec![field("name", Type::Text, false), field("id", Type::Text, true), field("role", Type::Text, true)];
            env.with("member", Type::Record(member), false)
        }
        Verb::Token | Verb::Session => {
            let credential = vec![field("username", Type::Text, true), field("password", Type::Text, true), field("token", Type::Text, true)];
            env.with("credential", Type::Record(credential), false)
        }
        Verb::Probe
        | Verb::Lookup(_)
        | Verb::Get
        | Verb::Rename
        | Verb::Enable
        | Verb::Disable
        | Verb::Delete
        | Verb::List
        | Verb::Members(_, MemberVerb::List)
        | Verb::RevokeSessions => env,
        Verb::Enter => env.with("secret", Type::Text, false).with("device", Type::Text, false),
        Verb::SetPassword | Verb::Leave => env.with("secret", Type::Text, false),
    }
}

fn type_of(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::Bool,
        Value::String(_) => Type::Text,
        Value::Number(_) => Type::Int,
        Value::Array(_) => Type::List(Box::new(Type::Text)),
        Value::Null | Value::Object(_) => Type::Dynamic,
    }
}

fn verbs(reader: &mut Reader<'_>, table: &Table, model: &mut Model) {
    let defaults = section(reader, table, "defaults").map(|given| defaults::parse(reader, given)).unwrap_or_default();
    let members = section(reader, table, "members").map(|given| given.entries.as_slice()).unwrap_or_default();
    let mut kinds = vec![model.roles_as.clone(), model.orgs_as.clone()];
    kinds.extend(members.iter().map(|entry| entry.key.clone()));
    model.single = disable::single(reader, table, &settings_env(model));
    let add = |reader: &mut Reader<'_>, model: &mut Model, verb: Verb, node: &Node| {
        let env = env(model, &verb, &kinds);
        let expect = expected(&verb);
        let nodes = reader.list(node);
        if nodes.is_empty() {
            reader.error("missing-key", &node.span, "a verb needs at least one step");
        }
        let calls: Vec<Call> = nodes.iter().filter_map(|one| call::parse(reader, one, &env, expect, &defaults)).collect();
        model.verbs.insert(verb, calls);
    };
    let simple = [
        ("token", Verb::Token),
        ("session", Verb::Session),
        ("probe", Verb::Probe),
        ("get", Verb::Get),
        ("create", Verb::Create),
        ("update", Verb::Update),
        ("rename", Verb::Rename),
        ("enable", Verb::Enable),
        ("disable", Verb::Disable),
        ("delete", Verb::Delete),
        ("list", Verb::List),
        ("revoke_sessions", Verb::RevokeSessions),
        ("set_password", Verb::SetPassword),
        ("enter", Verb::Enter),
        ("leave", Verb::Leave),
    ];
    for (key, verb) in simple {
        if let Some(entry) = table.get(key) {
            add(reader, model, verb, &entry.node);
        }
    }
    if let Some(given) = section(reader, table, "lookup") {
        reader.keys(given, "`lookup`", &["external_id", "login", "email"]);
        for (key, way) in [("external_id", Way::ExternalId), ("login", Way::Login), ("email", Way::Email)] {
            if let Some(entry) = given.get(key) {
                add(reader, model, Verb::Lookup(way), &entry.node);
            }
        }
    }
    for entry in members {
        let Some(given) = reader.table(&entry.node) else { continue };
        let words = [
            ("list", MemberVerb::List),
            ("add", MemberVerb::Add),
            ("remove", MemberVerb::Remove),
            ("set", MemberVerb::Set),
            ("name", MemberVerb::Name),
        ];
        reader.keys(given, "`members`", &words.map(|(key, _)| key));
        for (key, verb) in words {
            if let Some(steps) = given.get(key) {
                add(reader, model, Verb::Members(entry.key.clone(), verb), &steps.node);
            }
        }
    }
    for entry in section(reader, table, "resolve").map(|given| given.entries.as_slice()).unwrap_or_default() {
        add(reader, model, Verb::Resolve(entry.key.clone()), &entry.node);
    }
}

const fn expected(verb: &Verb) -> Expect {
    match verb {
        Verb::Lookup(_) => Expect::Lookup,
        Verb::Resolve(_) | Verb::Members(_, MemberVerb::Name) => Expect::Resolve,
        Verb::Create => Expect::Create,
        Verb::Token | Verb::Session | Verb::Enter => Expect::PreStep,
        Verb::Probe | Verb::Get | Verb::List | Verb::Members(_, MemberVerb::List) => Expect::Read,
        Verb::Update | Verb::Rename | Verb::Enable | Verb::Disable | Verb::Members(_, MemberVerb::Add | MemberVerb::Remove | MemberVerb::Set) => {
            Expect::Change
        }
        Verb::Delete | Verb::RevokeSessions | Verb::Leave => Expect::Any,
        Verb::SetPassword => Expect::Change,
    }
}
