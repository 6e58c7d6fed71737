//! A scripted app: the requests of a dialect done to its table, and what goes wrong on purpose.
//!
//! Apart because it is the app's side, and knows nothing of connectors: it sees methods, paths and bodies, as an app does.

use super::dialect::{Act, By, Dialect, Pages, Route, Say, Whole};
use super::table::{Table, User, is_true, text};
use crate::outbound::{OutboundError, OutboundRequest, OutboundResponse, Transport};
use async_trait::async_trait;
use aws_lc_rs::hmac;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which request something goes wrong with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// The next one.
    Next,
    /// The next that makes an account.
    Create,
    /// The next that changes memberships.
    Membership,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub(super) enum Wrong {
    /// This is answered, and nothing is done.
    Says(Say),
    /// It is done, and no answer comes.
    Lost,
}

/// A scripted app.
#[derive(Debug)]
pub(super) struct Server {
    dialect: Arc<Dialect>,
    table: Mutex<Table>,
    faults: Mutex<VecDeque<(When, Wrong)>>,
    /// `METHOD path` of what came, and what became of it.
    seen: Mutex<Vec<String>>,
}

impl Server {
    pub(super) fn new(dialect: &Arc<Dialect>) -> Self {
        Self { dialect: Arc::clone(dialect), table: Mutex::new(Table::new(dialect)), faults: Mutex::default(), seen: Mutex::default() }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fail(&self, when: When, wrong: Wrong) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push_back((when, wrong));
    }

    /// Whether everything that was to go wrong has.
    pub(super) fn is_spent(&self) -> bool {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What came since the last call.
    pub(super) fn take_seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What goes wrong with this request.
    fn fault(&self, route: &Route) -> Option<Wrong> {
        let makes = matches!(route.act, Act::Create | Act::Upsert);
        let changes = matches!(route.act, Act::Join | Act::Leave) || (route.act == Act::Update && !route.members.is_empty());
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let at = faults.iter().position(|(when, _)| match when {
            When::Next => true,
            When::Create => makes,
            When::Membership => changes,
        })?;
        faults.remove(at).map(|(_, wrong)| wrong)
    }

    fn answer(&self, request: &OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let mut names = names_of(request);
        self.verify(&mut names);
        let path = request.url.path().strip_prefix(self.dialect.base.as_str()).unwrap_or_default();
        let route = self.dialect.route.iter().find_map(|route| {
            let captures = matched(&route.on, request.method.as_str(), path)?;
            let is_there = route.when.iter().all(|name| at(&names, name).is_some_and(|value| !value.is_null()));
            is_there.then(|| having(route, &names)).flatten().map(|found| (route, captures, found))
        });
        let Some((route, captures, found)) = route else { return Ok(said(&self.dialect.nothing, &names)) };
        names.insert("path".to_owned(), Value::Object(captures));
        names.insert("found".to_owned(), Value::Object(found));
        let demanded = self.dialect.demands.iter().all(|(name, wanted)| shows(request, name, wanted));
        let expected = route.expect.iter().all(|(name, wanted)| at(&names, name).is_some_and(|value| text(value) == *wanted));
        if !expected || !(route.open || demanded) {
            return Ok(said(&self.dialect.refuse, &names));
        }
        let wrong = if route.open { None } else { self.fault(route) };
        if let Some(Wrong::Says(say)) = &wrong {
            return Ok(said(say, &names));
        }
        let (say, more) = self.act(route, &names);
        names.extend(more);
        let response = said(&say, &names);
        if matches!(wrong, Some(Wrong::Lost)) { Err(OutboundError::Timeout(5_000)) } else { Ok(response) }
    }

    /// Whether a signed payload is signed under a secret that the app has: `signed.valid`.
    fn verify(&self, names: &mut Map<String, Value>) {
        let (Some(payload), Some(tag)) = (at(names, "body.sso").map(text), at(names, "body.sig").map(text)) else { return };
        let is_ours = |secret: &String| {
            let tag_of = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), payload.as_bytes());
            hex::encode(tag_of) == tag
        };
        let is_valid = self.dialect.credential.settings.values().any(is_ours);
        if let Some(signed) = names.get_mut("signed").and_then(Value::as_object_mut) {
            signed.insert("valid".to_owned(), json!(is_valid));
        }
    }

    /// Does it: the answer, and names for its template.
    fn act(&self, route: &Route, names: &Map<String, Value>) -> (Say, Map<String, Value>) {
        let mut table = self.table();
        let wanted = |name: &str| at(names, name).map(text).unwrap_or_default();
        let or_absent = |say: &Option<Say>| say.clone().unwrap_or_else(|| route.absent.clone());
        let is_hidden = |at: &usize| route.hides_disabled && table.users.get(*at).is_some_and(|user| table.is_off(user));
        let user = || table_user(&table, &self.dialect, route, &wanted(&route.who)).filter(|at| !is_hidden(at));
        match route.act {
            Act::Say => (route.ok.clone(), Map::new()),
            Act::User => match user() {
                Some(at) => (route.ok.clone(), self.shown(route, &table, at)),
                None => (route.absent.clone(), Map::new()),
            },
            Act::Users => {
                let found = if route.who.is_empty() {
                    table.found(By::Login, super::dialect::How::Contains, "", route.hides_disabled)
                } else {
                    table.found(route.by, route.how, &wanted(&route.who), route.hides_disabled)
                };
                let only = at(names, &route.only).map(is_true);
                let found: Vec<User> = found.into_iter().filter(|user| only.is_none_or(|on| on != table.is_off(user))).collect();
                let all = found.iter().map(|user| render(self.shape(route), &table.names(&self.dialect, user))).collect();
                if found.is_empty() && route.absent.status != 404 {
                    return (route.absent.clone(), Map::new());
                }
                paged(route, all, "users", names)
            }
            Act::Create => self.create(route, names, &mut table),
            Act::Upsert => match user() {
                Some(at) => self.change(route, names, &mut table, at),
                None => self.create(route, names, &mut table),
            },
            Act::Update => match user() {
                Some(at) => self.change(route, names, &mut table, at),
                None => (route.absent.clone(), Map::new()),
            },
            Act::Delete => match user() {
                Some(at) => {
                    if let (true, Some(say)) = (table.users.get(at).is_some_and(|user| table.is_last_admin(user)), &route.last_admin) {
                        return (say.clone(), self.shown(route, &table, at));
                    }
                    let shown = self.shown(route, &table, at);
                    table.remove(at);
                    (route.ok.clone(), shown)
                }
                None => (route.absent.clone(), Map::new()),
            },
            Act::Group => {
                match [route.group_named, true].iter().find_map(|named| table.group_like(&route.kind, &wanted(&route.group), *named, route.how)) {
                    Some(group) => (route.ok.clone(), one("group", self.group(&table, &route.kind, &group))),
                    None => (or_absent(&route.no_group), Map::new()),
                }
            }
            Act::Groups => {
                let sought = wanted(&route.group).to_lowercase();
                let all: Vec<Value> = table
                    .groups
                    .get(&route.kind)
                    .into_iter()
                    .flatten()
                    .filter(|(_, name, _)| match route.how {
                        _ if route.group.is_empty() => true,
                        super::dialect::How::Exact => *name == wanted(&route.group),
                        super::dialect::How::Fold => name.to_lowercase() == sought,
                        super::dialect::How::Prefix => name.to_lowercase().starts_with(&sought),
                        super::dialect::How::Contains | super::dialect::How::Short => name.to_lowercase().contains(&sought),
                    })
                    .map(|group| self.group(&table, &route.kind, group))
                    .collect();
                paged(route, all, "groups", names)
            }
            Act::MakeGroup => {
                let name = wanted(&route.group);
                if table.group(&route.kind, &name, true).is_some() {
                    return (or_absent(&route.exists), Map::new());
                }
                let id = if self.dialect.ids == super::dialect::Ids::Login { json!(name) } else { table.fresh(&self.dialect, &name) };
                let group = (id, name, Map::new());
                table.groups.entry(route.kind.clone()).or_default().push(group.clone());
                (route.ok.clone(), one("group", self.group(&table, &route.kind, &group)))
            }
            Act::Join | Act::Leave => {
                let Some((group, ..)) = table.group(&route.kind, &wanted(&route.group), route.group_named) else {
                    return (or_absent(&route.no_group), Map::new());
                };
                let Some(at) = user() else { return (route.absent.clone(), Map::new()) };
                let (group, id) = (text(&group), table.users.get(at).map(|user| text(&user.id)).unwrap_or_default());
                let is_in = table.is_member(&route.kind, &group, &id);
                if route.act == Act::Join {
                    if let (true, Some(say)) = (is_in, &route.member) {
                        return (say.clone(), Map::new());
                    }
                    let role = route.gives.clone().or_else(|| Some(wanted(&route.role)).filter(|role| !role.is_empty()));
                    table.join(&route.kind, &group, &id, role);
                } else {
                    if let (false, Some(say)) = (is_in, &route.not_member) {
                        return (say.clone(), Map::new());
                    }
                    if let (Some(role), Some(say)) = (&route.admins, &route.last_admin)
                        && table.is_last_as(role, &route.kind, &group, &id)
                    {
                        return (say.clone(), Map::new());
                    }
                    table.leave(&route.kind, &group, &id, route.leaves.as_ref());
                }
                (route.ok.clone(), self.shown(route, &table, at))
            }
            Act::Memberships => {
                let Some(at) = user() else { return (route.absent.clone(), Map::new()) };
                let shown = self.shown(route, &table, at);
                let all = self::at(&shown, &format!("members.{}", route.kind)).and_then(Value::as_array).cloned().unwrap_or_default();
                paged(route, all, "members", names)
            }
        }
    }

    fn create(&self, route: &Route, names: &Map<String, Value>, table: &mut Table) -> (Say, Map<String, Value>) {
        let mut user = User::default();
        read(&mut user, route, names, &self.dialect);
        let fits = |pattern: &String| regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(&user.login));
        let say = |say: &Option<Say>| say.clone().unwrap_or_else(|| Say { status: 400, ..Say::default() });
        let lacks =
            |place: &String| at(names, place).is_none_or(|value| matches!(value, Value::Null) || text(value).is_empty() || text(value) == "[]");
        if user.login.is_empty() || route.needs.iter().any(lacks) || !self.dialect.logins.as_ref().is_none_or(fits) {
            return (say(&route.invalid), Map::new());
        }
        if table.has_login(&self.dialect, &user.login) {
            let at = table.at(&self.dialect, By::Login, &user.login).filter(|_| route.revives);
            let Some((at, off)) = at.and_then(|at| Some((at, table.users.get_mut(at).filter(|user| user.disabled)?))) else {
                return (say(&route.exists), Map::new());
            };
            off.disabled = false;
            return self.change(route, names, table, at);
        }
        let email = user.email.clone().unwrap_or_default().to_lowercase();
        if self.dialect.unique_email && table.users.iter().any(|other| other.email.as_deref().is_some_and(|other| other.to_lowercase() == email)) {
            return (say(&route.taken), Map::new());
        }
        if let Some(say) = lacking(route, names, table) {
            return (say, Map::new());
        }
        let id = table.add(&self.dialect, user);
        let Some(at) = table.at(&self.dialect, By::Id, &id) else { return (say(&None), Map::new()) };
        memberships(route, names, table, &id);
        (route.made.as_ref().unwrap_or(&route.ok).clone(), self.shown(route, table, at))
    }

    fn change(&self, route: &Route, names: &Map<String, Value>, table: &mut Table, at: usize) -> (Say, Map<String, Value>) {
        let Some(mut user) = table.users.get(at).cloned() else { return (route.absent.clone(), Map::new()) };
        if let (true, Some(say)) = (user.fields.get("external").is_some_and(is_true), &route.external) {
            return (say.clone(), Map::new());
        }
        let was_last = table.is_last_admin(&user);
        read(&mut user, route, names, &self.dialect);
        let is_parked = route.members.iter().filter_map(|whole| named(whole, names)).any(|(whole, ids)| {
            let group = |id: &String| table.group(&whole.kind, id, whole.named).is_some_and(|(id, ..)| table.switches_off(&whole.kind, &text(&id)));
            ids.iter().any(group)
        });
        if let (true, Some(say)) = (was_last && (user.disabled || is_parked || !table.is_admin(&user)), &route.last_admin) {
            return (say.clone(), Map::new());
        }
        if let Some(say) = lacking(route, names, table) {
            return (say, Map::new());
        }
        let id = text(&user.id);
        if let Some(slot) = table.users.get_mut(at) {
            *slot = user;
        }
        memberships(route, names, table, &id);
        (route.ok.clone(), self.shown(route, table, at))
    }

    /// How accounts are shown there.
    fn shape(&self, route: &Route) -> &Value {
        route.shape.as_ref().and_then(|shape| self.dialect.shapes.get(shape)).unwrap_or(&self.dialect.user)
    }

    fn shown(&self, route: &Route, table: &Table, at: usize) -> Map<String, Value> {
        let Some(user) = table.users.get(at) else { return Map::new() };
        let mut names = table.names(&self.dialect, user);
        let shown = render(self.shape(route), &names);
        names.insert("user".to_owned(), shown);
        names
    }

    fn group(&self, table: &Table, kind: &str, (id, name, more): &(Value, String, Map<String, Value>)) -> Value {
        let mut names = more.clone();
        let here = table.members.iter().filter(|one| one.kind == kind && one.group == text(id) && !one.is_over);
        names.insert("users".to_owned(), here.map(|one| json!({ "value": one.user })).collect());
        names.insert("id".to_owned(), id.clone());
        names.insert("name".to_owned(), json!(name));
        self.dialect.group.get(kind).map_or_else(|| json!({ "id": id, "name": name }), |template| render(template, &names))
    }
}

#[async_trait]
impl Transport for Server {
    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let answer = self.answer(&request);
        let status = answer.as_ref().map_or_else(|_| "lost".to_owned(), |answer| answer.status.as_u16().to_string());
        let line = format!("{} {} -> {status}", request.method, request.url.path());
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        answer
    }
}

fn table_user(table: &Table, dialect: &Dialect, route: &Route, wanted: &str) -> Option<usize> {
    (!wanted.is_empty()).then(|| table.at(dialect, route.by, wanted)).flatten()
}

fn one(name: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value)])
}

/// What the groups of `having` hold; `None`: the request is not of that kind.
fn having(route: &Route, names: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut found = Map::new();
    for (place, wanted) in &route.having {
        let pattern = regex::Regex::new(&format!("^(?:{wanted})$")).ok()?;
        let given = text(at(names, place)?);
        let captures = pattern.captures(&given)?;
        let groups = pattern.capture_names().flatten();
        found.extend(groups.filter_map(|name| Some((name.to_owned(), json!(captures.name(name)?.as_str())))));
    }
    Some(found)
}

/// What a request says of the account.
fn read(user: &mut User, route: &Route, names: &Map<String, Value>, dialect: &Dialect) {
    let given = route.read.iter().filter_map(|(field, place)| Some((field.clone(), at(names, place).filter(|value| !value.is_null())?.clone())));
    for (field, value) in given.chain(route.set.clone()) {
        match field.as_str() {
            "login" => user.login = text(&value),
            "email" => user.email = Some(text(&value)).filter(|email| !email.is_empty()),
            "external_id" => user.external_id = Some(text(&value)).filter(|id| !id.is_empty()),
            "admin" => user.admin = is_true(&value),
            "disabled" => user.disabled = is_true(&value),
            "active" => user.disabled = !is_true(&value),
            "status" => user.disabled = text(&value) != text(&dialect.status.0),
            _ => drop(user.fields.insert(field, value)),
        }
    }
}

/// The ids that a body names, for one list.
fn named<'w>(whole: &'w Whole, names: &Map<String, Value>) -> Option<(&'w Whole, Vec<String>)> {
    let list = match at(names, &whole.from)? {
        Value::Array(list) => list.clone(),
        Value::Null => return None,
        // Several names in one text: `a,b`.
        Value::String(text) => text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Value::from).collect(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => vec![other.clone()],
    };
    let id = |value: &Value| match &whole.id {
        Some(key) => value.get(key).map(text).unwrap_or_default(),
        None => text(value),
    };
    Some((whole, list.iter().map(id).collect()))
}

/// The answer to a body that names a group that is not there.
fn lacking(route: &Route, names: &Map<String, Value>, table: &Table) -> Option<Say> {
    let lists = route.members.iter().filter_map(|whole| named(whole, names));
    let lacks = lists.into_iter().any(|(whole, ids)| ids.iter().any(|id| table.group(&whole.kind, id, whole.named).is_none()));
    lacks.then(|| route.no_group.clone()).flatten()
}

fn memberships(route: &Route, names: &Map<String, Value>, table: &mut Table, user: &str) {
    for (whole, ids) in route.members.iter().filter_map(|whole| named(whole, names)) {
        if !whole.adds && !whole.removes {
            table.members.retain(|one| !(one.kind == whole.kind && one.user == user));
        }
        for id in ids {
            let Some((group, ..)) = table.group(&whole.kind, &id, whole.named) else { continue };
            if whole.removes {
                table.leave(&whole.kind, &text(&group), user, None);
            } else {
                table.join(&whole.kind, &text(&group), user, None);
            }
        }
    }
}

fn paged(route: &Route, all: Vec<Value>, name: &str, names: &Map<String, Value>) -> (Say, Map<String, Value>) {
    let total = all.len();
    if let (0, Some(say)) = (total, &route.empty) {
        return (say.clone(), Map::new());
    }
    let page = match &route.pages {
        None => all,
        Some(Pages { at: place, first, elements, most }) => {
            let number = at(names, place).and_then(|value| text(value).parse::<u64>().ok()).unwrap_or(*first);
            let number = usize::try_from(number.saturating_sub(*first)).unwrap_or(usize::MAX);
            let from = if *elements { number } else { number.saturating_mul(*most) };
            all.into_iter().skip(from).take(*most).collect()
        }
    };
    let names = [("here", json!(page.len())), (name, Value::Array(page)), ("total", json!(total))];
    (route.ok.clone(), names.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// `path.…`, `query.…`, `body.…` (JSON or a form), `header.…`, `filter.…` (SCIM), `signed.…` (a payload in base64), `text`.
fn names_of(request: &OutboundRequest) -> Map<String, Value> {
    let pairs = |text: &[u8]| {
        let mut out = Map::new();
        for (name, value) in form_urlencoded::parse(text).into_owned() {
            match out.get_mut(&name) {
                Some(Value::Array(list)) => list.push(json!(value)),
                Some(before) => *before = json!([before.clone(), value]),
                None => drop(out.insert(name, json!(value))),
            }
        }
        out
    };
    let query = pairs(request.url.query().unwrap_or_default().as_bytes());
    let kind = request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_form = kind.starts_with("application/x-www-form-urlencoded");
    let body = if is_form { Value::Object(pairs(&request.body)) } else { serde_json::from_slice(&request.body).unwrap_or(Value::Null) };
    let header = |(name, value): (&HeaderName, &HeaderValue)| (name.as_str().to_owned(), json!(value.to_str().unwrap_or_default()));
    let mut names = Map::new();
    if let Some((attribute, value)) = query.get("filter").and_then(Value::as_str).and_then(scim) {
        names.insert("filter".to_owned(), json!({ attribute.replace('.', "_"): value }));
    }
    for operation in body.get("Operations").and_then(Value::as_array).into_iter().flatten() {
        patched(&mut names, operation);
    }
    if let Some(payload) = body.get("sso").and_then(Value::as_str) {
        let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap_or_default();
        names.insert("signed".to_owned(), Value::Object(pairs(&payload)));
    }
    // One field a call: `key=email&value=…` is `one.email`.
    if let (Some(key), Some(value)) = (body.get("key"), body.get("value")) {
        names.insert("one".to_owned(), json!({ text(key): value }));
    }
    names.insert("query".to_owned(), Value::Object(query));
    names.insert("header".to_owned(), Value::Object(request.headers.iter().map(header).collect()));
    names.insert("text".to_owned(), json!(String::from_utf8_lossy(&request.body)));
    names.insert("body".to_owned(), body);
    names
}

/// `attribute eq "value"` (RFC 7644 §3.4.2.2), and nothing else.
fn scim(filter: &str) -> Option<(String, String)> {
    let (attribute, value) = filter.split_once(" eq ")?;
    Some((attribute.to_owned(), serde_json::from_str(value).ok()?))
}

/// An operation of a SCIM PATCH, as `patch.ATTRIBUTE` or `member.add`, `member.remove`; and `member.remove_by_value`, as Entra ID writes it.
fn patched(names: &mut Map<String, Value>, operation: &Value) {
    let path = operation.get("path").and_then(Value::as_str).unwrap_or_default();
    let value = operation.get("value").cloned().unwrap_or(Value::Null);
    let is_add = operation.get("op").and_then(Value::as_str).is_some_and(|op| op.eq_ignore_ascii_case("add"));
    let (slot, key, value) = if path == "members" && is_add {
        ("member", "add".to_owned(), value.get(0).and_then(|member| member.get("value")).cloned().unwrap_or(Value::Null))
    } else if path == "members" && operation.get("op").and_then(Value::as_str).is_some_and(|op| op.eq_ignore_ascii_case("remove")) {
        // RFC 7644 §3.5.2.2 knows no `value` here: without a filter all members would go.
        ("member", "remove_by_value".to_owned(), value.get(0).and_then(|member| member.get("value")).cloned().unwrap_or(Value::Null))
    } else if let Some((_, wanted)) = path.strip_prefix("members[").and_then(|rest| rest.strip_suffix(']')).and_then(scim) {
        ("member", "remove".to_owned(), json!(wanted))
    } else {
        let value = if path == "emails" { value.get(0).and_then(|email| email.get("value")).cloned().unwrap_or(Value::Null) } else { value };
        ("patch", path.replace('.', "_"), value)
    };
    if let Value::Object(fields) = names.entry(slot).or_insert_with(|| json!({})) {
        fields.insert(key, value);
    }
}

fn shows(request: &OutboundRequest, name: &str, wanted: &str) -> bool {
    request.headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(wanted))
}

/// The captures of `GET /users/{id}.json` in a request.
fn matched(on: &str, method: &str, path: &str) -> Option<Map<String, Value>> {
    let path_wanted = on.strip_prefix(method)?.strip_prefix(' ')?;
    let (wanted, given): (Vec<&str>, Vec<&str>) = (path_wanted.split('/').collect(), path.split('/').collect());
    if wanted.len() != given.len() {
        return None;
    }
    let mut captures = Map::new();
    for (wanted, given) in wanted.iter().zip(given) {
        let given = percent_decode_str(given).decode_utf8_lossy().into_owned();
        segment(wanted, &given, &mut captures)?;
    }
    Some(captures)
}

/// The captures of `{group}:{user}.json` in one segment.
fn segment(wanted: &str, given: &str, captures: &mut Map<String, Value>) -> Option<()> {
    let Some((before, rest)) = wanted.split_once('{') else { return (wanted == given).then_some(()) };
    let (name, after) = rest.split_once('}')?;
    let given = given.strip_prefix(before)?;
    // Up to what stands between this one and the next.
    let between = after.split('{').next().unwrap_or_default();
    let end = if between.is_empty() { given.len() } else { given.rfind(between)? };
    let (value, left) = given.split_at_checked(end)?;
    captures.insert(name.to_owned(), json!(value));
    segment(after, left, captures)
}

/// The value of a dotted name.
pub(super) fn at<'n>(names: &'n Map<String, Value>, dotted: &str) -> Option<&'n Value> {
    let mut parts = dotted.split('.');
    let mut here = names.get(parts.next()?)?;
    for part in parts {
        here = match here {
            Value::Array(list) => list.get(part.parse::<usize>().ok()?)?,
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => other.get(part)?,
        };
    }
    Some(here)
}

/// A template filled in: `"{name}"` alone keeps its type, what is absent is null.
pub(super) fn render(template: &Value, names: &Map<String, Value>) -> Value {
    match template {
        Value::String(written) => match written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).filter(|name| !name.contains(['{', '}'])) {
            Some(name) => at(names, name).cloned().unwrap_or(Value::Null),
            None => json!(filled(written, names)),
        },
        Value::Array(list) => list.iter().map(|one| render(one, names)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, one)| (name.clone(), render(one, names))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
    }
}

fn filled(written: &str, names: &Map<String, Value>) -> String {
    let mut out = String::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else { break };
        out.push_str(&at(names, name).map(text).unwrap_or_default());
        rest = after;
    }
    out + rest
}

/// An answer, made.
pub(super) fn said(say: &Say, names: &Map<String, Value>) -> OutboundResponse {
    let mut headers = HeaderMap::new();
    for (name, value) in &say.headers {
        let pair = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&filled(value, names)));
        if let (Ok(name), Ok(value)) = pair {
            headers.append(name, value);
        }
    }
    let (kind, body) = match (&say.text, &say.body) {
        (Some(text), _) => ("text/html; charset=utf-8", filled(text, names)),
        (None, Some(body)) => ("application/json", render(body, names).to_string()),
        (None, None) => ("application/json", String::new()),
    };
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
    OutboundResponse { status: StatusCode::from_u16(say.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers, body: Bytes::from(body) }
}
