//! One step: request, classification, selection. Shared by connector files and a policy's own steps.

use super::defaults::Defaults;
use super::read::{Reader, literal};
use super::{Base, Body, Call, Each, Effect, Filter, Fold, Place, Pointer, Rule, SameAs, Select, Test, Tree};
use super::{body, names, paging};
use crate::connector::Outcome;
use crate::expr::{Env, Template, Type};
use crate::identity::text::clean;
use crate::source::value::{duration_ms, nearest};
use crate::source::{Entry, Node, Table, Written};
use http::Method;

/// The verbs of HTTP as keys.
pub(super) const METHODS: [(&str, Method); 5] =
    [("get", Method::GET), ("post", Method::POST), ("put", Method::PUT), ("patch", Method::PATCH), ("delete", Method::DELETE)];

const CALL_KEYS: [&str; 19] = [
    "name", "effect", "if", "each", "get", "post", "put", "patch", "delete", "query", "headers", "classify", "continue", "select", "save",
    "paginate", "response", "lists", "at",
];

/// How long a name that was resolved is believed, unless its step says otherwise.
const CACHE_MS: u64 = 600_000;

/// Outcomes as written.
const OUTCOMES: [(&str, Outcome); 16] = Outcome::WORDS;

/// What is expected of a step where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// It looks for an account: only reads, an exact filter is mandatory, and `then = "get"` may follow.
    Lookup,
    /// It looks for something else by name: an exact filter is mandatory.
    Resolve,
    /// It must not change anything.
    Read,
    /// It makes an account: its body may have `{random}` in it.
    Create,
    /// It signs in to the admin API: it may read HTML pages and cookies.
    PreStep,
    /// It changes an account: what was read just before may go back with it (`base`).
    Change,
    /// Nothing in particular.
    Any,
}

/// A step of a connector.
pub(super) fn parse(reader: &mut Reader<'_>, node: &Node, env: &Env, expect: Expect, defaults: &Defaults<'_>) -> Option<Call> {
    let table = reader.table(node)?;
    check_keys(reader, table, expect);
    // What was read just before (`base`), for values that have to be sent along.
    let over_base = env.clone().with("base", Type::Dynamic, false);
    let env = if table.get("base").is_some() { &over_base } else { env };
    let each = table.get("each").map(|entry| each(reader, &entry.node, env));
    let over_item = each.as_ref().map(|each| with_item(env, each.as_ref()));
    let env = over_item.as_ref().unwrap_or(env);
    let name = reader.text_at(table, "name").unwrap_or_default();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        reader.error("missing-key", &node.span, "a step needs a `name` of lower-case letters, digits and _");
    }
    let effect = effect(reader, table, node, expect)?;
    let has_request = METHODS.iter().any(|(key, _)| table.get(key).is_some());
    let (method, path, mut query) = request(reader, defaults.request.filter(|_| !has_request).unwrap_or(table), node, env)?;
    if effect == Effect::Read && matches!(method, Method::PUT | Method::PATCH | Method::DELETE) {
        reader.error("effect", &node.span, format!("{method} is no read"));
    }
    query.extend(pairs(reader, table, "query", env));
    let mut classify = defaults.classify.clone();
    if let Some(entry) = table.get("classify") {
        classify.extend(reader.list(&entry.node).iter().filter_map(|one| rule_in(reader, one, effect, expect)));
    }
    if classify.len() == defaults.classify.len() {
        reader.error_help("missing-key", &node.span, "a step must `classify` its answers", "classify = [{ status = 200, outcome = \"found\" }]");
    }
    let select = table.get("select").and_then(|entry| select(reader, &entry.node, env, expect));
    if matches!(expect, Expect::Lookup | Expect::Resolve) && select.is_none() && effect == Effect::Read {
        let help = "select = { where = { \"/login\" = \"{want.login}\" }, fold = \"login\" }";
        reader.error_help("missing-key", &node.span, "a lookup must say what it takes for an exact match: `select`", help);
    }
    let body = if expect == Expect::Create { body::parse(reader, table, &body::with_random(env)) } else { body::parse(reader, table, env) };
    let paginate = table.get("paginate").and_then(|entry| paging::paginate(reader, &entry.node, &body));
    let save = saves(reader, table);
    if let Some(entry) = table.get("save").filter(|_| expect != Expect::PreStep && save.iter().any(|(_, extract)| of_a_page(extract))) {
        reader.error("unknown-value", &entry.node.span, "only the steps of a pre-step (`[[session]]`, `[[token]]`) read pages and cookies");
    }
    Some(Call {
        name,
        effect,
        condition: table.get("if").and_then(|entry| reader.condition(&entry.node, env)),
        each: each.flatten(),
        method,
        path,
        query,
        headers: headers(reader, table, env),
        random: body.reads(body::RANDOM),
        base: base(reader, table, &body),
        body,
        go_on: go_on(reader, table, effect, &classify, select.is_some()),
        classify,
        select,
        at: reader.pointer_at(table, "at").unwrap_or(Pointer(Vec::new())),
        save,
        paginate,
        any_body: any_body(reader, table),
        xml: xml(reader, table),
        then_get: table.get("then").and_then(|entry| reader.choice(&entry.node, &[("get", true)])).unwrap_or(false),
        cache_ms: if expect == Expect::Resolve { Some(cache(reader, table)).filter(|ms| *ms > 0) } else { None },
    })
}

fn check_keys(reader: &mut Reader<'_>, table: &Table, expect: Expect) {
    let mut known = [CALL_KEYS.as_slice(), body::BODIES.as_slice()].concat();
    match expect {
        Expect::Lookup => known.push("then"),
        Expect::Resolve => known.push("cache"),
        Expect::Change => known.extend(["base", "keep", "drop"]),
        Expect::Read | Expect::Create | Expect::PreStep | Expect::Any => {}
    }
    reader.keys(table, "a step", &known);
}

fn effect(reader: &mut Reader<'_>, table: &Table, node: &Node, expect: Expect) -> Option<Effect> {
    let effects = [("read", Effect::Read), ("write", Effect::Write), ("destroy", Effect::Destroy)];
    if table.get("effect").is_none() {
        reader.error_help("missing-key", &node.span, "a step must say its `effect`", "read, write or destroy");
    }
    let effect = table.get("effect").and_then(|entry| reader.choice(&entry.node, &effects))?;
    if matches!(expect, Expect::Lookup | Expect::Read | Expect::PreStep) && effect != Effect::Read {
        reader.error("effect", &node.span, "this verb only reads: `effect` must be \"read\"");
    }
    Some(effect)
}

/// `base = "get"`, with `keep` or `drop`.
fn base(reader: &mut Reader<'_>, table: &Table, body: &Body) -> Option<Base> {
    let entry = table.get("base")?;
    reader.choice(&entry.node, &[("get", ())])?;
    if !matches!(body, Body::Json(_)) {
        reader.error("missing-key", &entry.key_span, "`base` needs a `body`: the changes that are laid over what was read");
    }
    let pointers = |reader: &mut Reader<'_>, key: &str| reader.texts_at(table, key).iter().map(|text| Pointer::parse(text)).collect::<Vec<_>>();
    Some(Base { keep: pointers(reader, "keep"), drop: pointers(reader, "drop") })
}

fn cache(reader: &mut Reader<'_>, table: &Table) -> u64 {
    let Some(entry) = table.get("cache") else { return CACHE_MS };
    let ms = reader.text(&entry.node).as_deref().and_then(duration_ms).and_then(|ms| u64::try_from(ms).ok());
    if ms.is_none() {
        reader.error_help("wrong-type", &entry.node.span, "not a length of time", "cache = \"10m\"; \"0s\": ask every time");
    }
    ms.unwrap_or(CACHE_MS)
}

fn of_a_page(extract: &super::Extract) -> bool {
    extract.from.iter().any(|place| matches!(place, Place::Html(_) | Place::Cookie(_)))
}

/// `continue`: outcomes after which the verb goes on. One that the step never comes to would be waited for in vain.
fn go_on(reader: &mut Reader<'_>, table: &Table, effect: Effect, classify: &[Rule], selects: bool) -> Vec<Outcome> {
    let Some(entry) = table.get("continue") else { return Vec::new() };
    let nodes = entry.node.as_list().unwrap_or(std::slice::from_ref(&entry.node));
    let mut out = Vec::new();
    for node in nodes {
        let Some(outcome) = reader.choice(node, &OUTCOMES) else { continue };
        if !names::may_come_to(outcome, effect, classify, selects) {
            let known: Vec<&str> =
                OUTCOMES.iter().filter(|(_, known)| classify.iter().any(|rule| rule.outcome == *known)).map(|(word, _)| *word).collect();
            let help = format!("its lines of `classify` come to: {}", known.join(", "));
            reader.error_help("unknown-value", &node.span, format!("this step never comes to `{}`", outcome.word()), help);
        }
        out.push(outcome);
    }
    out
}

/// `env` with `item`, for a step with `each`.
pub(super) fn with_item(env: &Env, each: Option<&Each>) -> Env {
    let item = match each {
        Some(Each::Added(kind) | Each::Removed(kind)) => names::item_of_kind(kind),
        Some(Each::List(list)) => names::item(list.result_type()),
        None => Type::Dynamic,
    };
    env.clone().with("item", item, false)
}

pub(super) fn any_body(reader: &mut Reader<'_>, table: &Table) -> bool {
    let choices = [("json", false), ("xml", false), ("any", true)];
    table.get("response").and_then(|entry| reader.choice(&entry.node, &choices)).unwrap_or(false)
}

/// `response = "xml"`, with `lists`.
pub(super) fn xml(reader: &mut Reader<'_>, table: &Table) -> Option<Vec<String>> {
    let is_xml = table.get("response").is_some_and(|entry| entry.node.as_text() == Some("xml"));
    if let (Some(entry), false) = (table.get("lists"), is_xml) {
        reader.error_help("unknown-key", &entry.key_span, "`lists` names elements of XML", "response = \"xml\"");
    }
    is_xml.then(|| reader.texts_at(table, "lists"))
}

/// Method, path, and the query that was written with it.
pub(super) type Request = (Method, Template, Vec<(String, Tree)>);

/// `get = "/users?name={…}"`: method, path, and the query that was written with it.
pub(super) fn request(reader: &mut Reader<'_>, table: &Table, node: &Node, env: &Env) -> Option<Request> {
    let mut found = METHODS.iter().filter_map(|(key, method)| table.get(key).map(|entry| (method.clone(), entry)));
    let (first, second) = (found.next(), found.next());
    drop(found);
    if let Some((_, entry)) = second {
        reader.error("one-request", &entry.key_span, "a step is one request");
        return None;
    }
    let Some((method, entry)) = first else {
        reader.error_help("missing-key", &node.span, "a step needs a request", "get, post, put, patch or delete = \"/path\"");
        return None;
    };
    let text = reader.text(&entry.node)?;
    let (path, written_query) = split_once(&text, '?').unwrap_or((text.as_str(), ""));
    check_path(reader, entry, path);
    let path = reader.template_part(&entry.node, path, env);
    let mut query = Vec::new();
    for pair in split(written_query, '&') {
        let (name, value) = split_once(pair, '=').unwrap_or((pair, ""));
        if name.contains(['{', '}']) {
            reader.error("query-name", &entry.node.span, "the name of a query parameter cannot be a template");
        }
        let name = decode(name);
        let value = if value.contains('{') { value.to_owned() } else { decode(value) };
        query.extend(reader.template_part(&entry.node, &value, env).map(|template| (name, Tree::Template(template))));
    }
    path.map(|path| (method, path, query))
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The written part of a path must be one already: what is not encoded here would be read differently at the app.
fn check_path(reader: &mut Reader<'_>, entry: &Entry, path: &str) {
    let written = outside(path);
    let bad = written.chars().any(|c| !(c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@%".contains(c)));
    if !path.starts_with('/') {
        reader.error_help("bad-path", &entry.node.span, "the path must begin with /", "it goes after the admin API's base address");
    } else if bad || written.split('/').any(|part| matches!(part.to_ascii_lowercase().as_str(), "." | ".." | "%2e" | "%2e%2e")) {
        reader.error("bad-path", &entry.node.span, "not a plain path: no spaces, no `..`, nothing beyond ASCII, no #");
    }
}

/// `text` without its `{…}`; each leaves an `x`.
fn outside(text: &str) -> String {
    let mut depth = 0_u32;
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                out.push('x');
            }
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

/// At the first `sep` outside braces.
fn split_once(text: &str, sep: char) -> Option<(&str, &str)> {
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if c == sep && depth == 0 => return Some((text.get(..at)?, text.get(at + c.len_utf8()..)?)),
            _ => {}
        }
    }
    None
}

fn split(mut text: &str, sep: char) -> Vec<&str> {
    let mut out = Vec::new();
    while let Some((part, rest)) = split_once(text, sep) {
        out.push(part);
        text = rest;
    }
    out.push(text);
    out.retain(|part| !part.is_empty());
    out
}

pub(super) fn pairs(reader: &mut Reader<'_>, table: &Table, key: &str, env: &Env) -> Vec<(String, Tree)> {
    let Some(given) = table.get(key).and_then(|entry| reader.table(&entry.node)) else { return Vec::new() };
    given.entries.iter().filter_map(|entry| Some((entry.key.clone(), reader.tree(&entry.node, env)?))).collect()
}

pub(super) fn headers(reader: &mut Reader<'_>, table: &Table, env: &Env) -> Vec<(http::HeaderName, Template)> {
    let Some(given) = table.get("headers").and_then(|entry| reader.table(&entry.node)) else { return Vec::new() };
    let mut headers = Vec::new();
    for entry in &given.entries {
        let (Some(name), Some(value)) = (reader.header_name(entry), reader.template(&entry.node, env)) else { continue };
        // Sent as it is, with every call.
        if let Err(problem) = clean(&value.shape("")) {
            reader.error("bad-value", &entry.node.span, format!("the header `{}` {problem}", entry.key));
        }
        headers.push((name, value));
    }
    headers
}

pub(super) fn saves(reader: &mut Reader<'_>, table: &Table) -> Vec<(String, super::Extract)> {
    let Some(given) = table.get("save").and_then(|entry| reader.table(&entry.node)) else { return Vec::new() };
    given.entries.iter().filter_map(|entry| Some((entry.key.clone(), reader.extract(&entry.node)?))).collect()
}

pub(super) fn each(reader: &mut Reader<'_>, node: &Node, env: &Env) -> Option<Each> {
    const KINDS: [&str; 2] = ["roles", "orgs"];
    const CHANGES: [&str; 2] = ["added", "removed"];
    let text = reader.text(node)?;
    // `role.aded`: what comes near, and is no name that steps may use; `role` is one text.
    if let Some((kind, change)) = text.split_once('.')
        && (KINDS.contains(&kind) || kind == "role" || !env.names().any(|name| name == kind))
        && !(KINDS.contains(&kind) && CHANGES.contains(&change))
        && let Some(meant) = nearest(kind, KINDS)
    {
        let all = || KINDS.iter().flat_map(|kind| CHANGES.map(|change| format!("\"{kind}.{change}\""))).collect::<Vec<_>>().join(", ");
        let help = nearest(change, CHANGES)
            .map_or_else(|| format!("one of {}, or a list such as vars.groups", all()), |change| format!("did you mean \"{meant}.{change}\"?"));
        reader.error_help("unknown-value", &node.span, format!("`each` cannot be `{text}`"), help);
        return None;
    }
    match text.split_once('.') {
        Some((kind @ ("roles" | "orgs"), "added")) => Some(Each::Added(kind.to_owned())),
        Some((kind @ ("roles" | "orgs"), "removed")) => Some(Each::Removed(kind.to_owned())),
        _ => reader.template_part(node, &format!("{{{text}}}"), env).map(Each::List),
    }
}

pub(super) fn rule(reader: &mut Reader<'_>, node: &Node, effect: Effect) -> Option<Rule> {
    rule_in(reader, node, effect, Expect::Any)
}

fn rule_in(reader: &mut Reader<'_>, node: &Node, effect: Effect, expect: Expect) -> Option<Rule> {
    let table = reader.table(node)?;
    reader.keys(table, "a line of `classify`", &["status", "json", "body", "headers", "outcome", "reason"]);
    let status = table.get("status").map(|entry| reader.statuses(&entry.node)).unwrap_or_default();
    let json = table.get("json").map(|entry| tests(reader, &entry.node)).unwrap_or_default();
    let body = table.get("body").and_then(|entry| reader.regex(&entry.node));
    let mut headers = Vec::new();
    for entry in table.get("headers").and_then(|entry| reader.table(&entry.node)).map(|given| given.entries.as_slice()).unwrap_or_default() {
        headers.extend(reader.header_name(entry).zip(reader.regex(&entry.node)));
    }
    let Some(entry) = table.get("outcome") else {
        reader.error("missing-key", &node.span, "a line of `classify` needs an `outcome`");
        return None;
    };
    let outcome = reader.choice(&entry.node, &OUTCOMES)?;
    // An app may be asked whether a name is free before an account is made under it.
    let asks_whether_free = expect == Expect::Create && outcome == Outcome::Exists;
    if let Err(why) = if asks_whether_free { Ok(()) } else { fits(effect, &status, outcome) } {
        reader.error("outcome", &entry.node.span, why);
    }
    Some(Rule { status, json, body, headers, outcome, reason: reader.text_at(table, "reason") })
}

/// Whether a line of `classify` can be true. The answers that were once taken for "there is none" and made second accounts are ruled out here.
fn fits(effect: Effect, status: &[u16], outcome: Outcome) -> Result<(), &'static str> {
    use Outcome::{
        Absent, Ambiguous, Conflict, Created, Denied, Done, Exists, Found, Gone, InDoubt, Invalid, Reauth, Retry, Unchanged, Unsupported, Updated,
    };
    let never_here = match effect {
        Effect::Read => matches!(outcome, Created | Exists | Updated | Unchanged | InDoubt),
        Effect::Write | Effect::Destroy => matches!(outcome, Found | Absent | Ambiguous),
    };
    if never_here {
        return Err(if effect == Effect::Read { "a read cannot come to this" } else { "a write cannot come to this" });
    }
    if status.iter().any(|status| matches!(status, 401 | 403)) && !matches!(outcome, Reauth | Denied | Unsupported | Retry) {
        return Err("401 and 403 speak about the credential, never about the account");
    }
    let silent = |status: &u16| matches!(status, 429 | 300..=399 | 500..=599);
    if status.iter().any(silent) && matches!(outcome, Absent | Gone) {
        return Err("this status does not say that there is none");
    }
    if status.iter().any(|status| matches!(status, 429 | 500..=599)) && matches!(outcome, Found | Created | Updated | Unchanged | Done) {
        return Err("this status is no success");
    }
    match outcome {
        Found | Absent | Ambiguous | Created | Exists | Updated | Unchanged | Done | Gone | Conflict | Denied | Invalid | Retry | Reauth
        | InDoubt | Unsupported => Ok(()),
    }
}

fn tests(reader: &mut Reader<'_>, node: &Node) -> Vec<(Pointer, Test)> {
    let Some(table) = reader.table(node) else { return Vec::new() };
    let mut out = Vec::new();
    for entry in &table.entries {
        let test = match &entry.node.value {
            Written::Table(test) => {
                reader.keys(test, "a test", &["exists", "matches", "equals"]);
                match (test.get("matches"), test.get("equals")) {
                    (Some(matches), _) => reader.regex(&matches.node).map(Test::Matches),
                    (None, Some(equals)) => Some(Test::Equals(literal(&equals.node))),
                    (None, None) => Some(Test::Exists(reader.bool_at(test, "exists", true))),
                }
            }
            Written::Text(_) | Written::Integer(_) | Written::Float(_) | Written::Bool(_) | Written::Date(_) | Written::List(_) => {
                Some(Test::Equals(literal(&entry.node)))
            }
        };
        out.extend(test.map(|test| (Pointer::parse(&entry.key), test)));
    }
    out
}

fn select(reader: &mut Reader<'_>, node: &Node, env: &Env, expect: Expect) -> Option<Select> {
    let table = reader.table(node)?;
    // A list may leave elements out by a condition; whoever looks for one account or one name compares.
    if let (Expect::Read, Some(entry)) = (expect, table.get("when")) {
        reader.keys(table, "`select`", &["items", "when"]);
        let condition = reader.condition(&entry.node, &env.clone().with("item", Type::Dynamic, false))?;
        return Some(Select { items: reader.pointer_at(table, "items"), filter: Filter::When(condition) });
    }
    reader.keys(table, "`select`", &["items", "where", "fold"]);
    let same = [
        ("exact", SameAs::Folded(Fold::Exact)),
        ("ascii_lower", SameAs::Folded(Fold::AsciiLower)),
        ("casefold", SameAs::Folded(Fold::Casefold)),
        ("login", SameAs::Login),
        ("email", SameAs::Email),
    ];
    let fold = table.get("fold").and_then(|entry| reader.choice(&entry.node, &same)).unwrap_or(SameAs::Folded(Fold::Exact));
    let filter = table.get("where").and_then(|entry| reader.table(&entry.node));
    let filter: Vec<_> = filter
        .map(|filter| filter.entries.iter().filter_map(|entry| Some((Pointer::parse(&entry.key), reader.template(&entry.node, env)?))).collect())
        .unwrap_or_default();
    if filter.is_empty() {
        reader.error_help(
            "missing-key",
            &node.span,
            "`select` needs `where`: what the element must be, exactly",
            "a search is never trusted to be exact",
        );
        return None;
    }
    Some(Select { items: reader.pointer_at(table, "items"), filter: Filter::Equal(filter, fold) })
}
