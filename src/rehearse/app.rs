//! An application that is not there.
//!
//! Lives here: [`App`], which answers a connector's own engine in its own words. What is read is answered from the accounts it was given; what would be
//! written is written down, and answered with what the connector calls success. So the calls that come out are those that live traffic would make: they come
//! from the same engine, and only the far end is another. With [`App::of_the_real`], reads go to the real application until something would have been written.
//!
//! It never knows why a step is taken (`provision/`), nor what a test expects (`test.rs`).

use super::answer::{absent, good, list_of, listing, place, put, written};
use crate::connector::engine::{Cue, Stage, Staged};
use crate::connector::model::{Effect, Extract, PageStyle, Pointer};
use crate::outbound::{OutboundRequest, OutboundResponse};
use crate::plan::{Applied, Desired, Wanted};
use crate::state::AccountRecord;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The id of an account that the application would give; written `{id}` by the `calls` of a test.
pub const MADE_ID: u64 = 9001;

/// Where an account that a record describes keeps attributes by the connector's names, until a step shows where the application has them.
const ATTRIBUTES: &str = "vestibule attributes";

/// A membership of a record that has a role: its name, and the role.
const MEMBER: &str = "vestibule member";
const ROLE: &str = "vestibule role";

/// Names tried for what a policy's own `where` looks at, when what was posted does not show it.
const LIKELY: [&str; 6] = ["user.email", "user.name", "email", "username", "name", "user.display"];

/// A call to the admin API: sent, or written down instead.
#[derive(Debug, Clone)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Path below the admin API's base address, as it would be sent.
    pub path: String,
    /// Query as it would be sent.
    pub query: Option<String>,
    /// The whole address.
    pub url: url::Url,
    /// Headers; those that are secret are marked sensitive.
    pub headers: HeaderMap,
    /// Body.
    pub body: bytes::Bytes,
    /// The verb it belongs to, e.g. `create`.
    pub verb: String,
    /// The step's name.
    pub name: String,
    /// Whether it is one of the policy's own steps.
    pub own: bool,
    /// What it does.
    pub effect: Effect,
    /// Status of the answer.
    pub status: u16,
    /// Whether it was really sent.
    pub sent: bool,
}

/// An application for show.
#[derive(Debug)]
pub struct App {
    /// Length of the admin API's base path.
    base: usize,
    /// Whether reads may go to the real one.
    real: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accounts: Vec<Value>,
    /// Index of the account that would have been made.
    made: Option<usize>,
    /// Index of the account that a record describes.
    recorded: Option<usize>,
    calls: Vec<Call>,
}

impl App {
    /// An application below `base` that has these accounts, each as it shows them itself; a part that is missing there may be given by the name it has in
    /// `[account]` of a connector (`id`, `login`, `email`, `external_id`, `admin`, `disabled`).
    pub fn with(base: &url::Url, accounts: Vec<Value>) -> Self {
        let state = State { accounts, ..State::default() };
        Self { base: base.path().trim_end_matches('/').len(), real: false, state: Mutex::new(state) }
    }

    /// The real application below `base`: it is read, and never written to.
    pub fn of_the_real(base: &url::Url) -> Self {
        Self { real: true, ..Self::with(base, Vec::new()) }
    }

    /// The application below `base` with an account of which only the gateway's record is known: id, login, what was last put there; and what it `had` beside that.
    pub fn by_record(base: &url::Url, record: &AccountRecord, had: Option<&Desired>) -> Self {
        let (Some(id), Some(login)) = (&record.account_id, &record.login) else { return Self::with(base, Vec::new()) };
        let applied: Applied = serde_json::from_value(record.applied.clone()).unwrap_or_default();
        let (mut attributes, mut memberships) = (applied.attributes, applied.memberships);
        if let Some(had) = had {
            attributes.extend(had.attributes.clone());
            for (kind, wanted) in &had.memberships {
                let Wanted::Known(members) = wanted else { continue };
                memberships.entry(kind.clone()).or_default().extend(members.clone());
            }
        }
        let mut account = json!({ "id": id, "login": login, ATTRIBUTES: attributes });
        for (kind, members) in &memberships {
            let element = |(name, role): (&String, &Option<String>)| {
                role.as_ref().map_or_else(|| Value::from(name.as_str()), |role| json!({ MEMBER: name, ROLE: role }))
            };
            put(&mut account, &Pointer(vec![kind.clone()]), members.iter().map(element).collect());
        }
        let app = Self::with(base, vec![account]);
        app.state().recorded = Some(0);
        app
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, cue: &Cue<'_>, request: &OutboundRequest, status: u16, sent: bool) {
        if matches!(cue.verb, "token" | "session") {
            // How the gateway signs in to the admin API is no call about the person, and its body is a secret.
            return;
        }
        let path = request.url.path();
        let call = Call {
            method: request.method.clone(),
            path: path.get(self.base..).unwrap_or(path).to_owned(),
            query: request.url.query().map(str::to_owned),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            verb: cue.verb.to_owned(),
            name: cue.call.name.clone(),
            own: cue.own,
            effect: cue.call.effect,
            status,
            sent,
        };
        self.state().calls.push(call);
    }

    /// The answer of an application that is not there.
    fn answer(&self, cue: &Cue<'_>, request: &OutboundRequest) -> OutboundResponse {
        let mut state = self.state();
        let kind = cue.verb.split('.').next().unwrap_or_default();
        match (kind, cue.call.effect) {
            ("token" | "session", _) => good(cue, &with_saves(cue, json!({}), "for-show")),
            ("find" | "lookup" | "get", Effect::Read) => state.look(cue, request),
            ("members", Effect::Read) if cue.verb.rsplit('.').next() != Some("name") => state.members(cue, request),
            ("resolve", _) | ("members", Effect::Read) => {
                let member = member(cue, with_wanted(cue, json!({})));
                if cue.call.effect == Effect::Read && list_of(cue.call).is_some() {
                    let elements = if is_later_page(cue, request) { Vec::new() } else { vec![member] };
                    listing(cue, &elements)
                } else {
                    good(cue, &in_items(cue, member))
                }
            }
            ("create", Effect::Write) => state.create(cue, request),
            _ => good(cue, &in_items(cue, with_saves(cue, with_wanted(cue, json!({})), "for-show"))),
        }
    }
}

impl Stage for App {
    fn cue(&self, cue: &Cue<'_>, request: &OutboundRequest) -> Staged {
        // Once an account would have been made, what asks for it is answered here: the real application does not have it.
        let about_made =
            self.state().made.is_some() && ["find", "lookup", "get", "members"].contains(&cue.verb.split('.').next().unwrap_or_default());
        if self.real && cue.call.effect == Effect::Read && !about_made {
            return Staged::Send;
        }
        let response = self.answer(cue, request);
        self.note(cue, request, response.status.as_u16(), false);
        Staged::Answer(response)
    }

    fn answered(&self, cue: &Cue<'_>, request: &OutboundRequest, response: &OutboundResponse) {
        self.note(cue, request, response.status.as_u16(), true);
    }
}

impl State {
    /// Looking for an account. The engine's own filter decides who is meant, here as there.
    fn look(&mut self, cue: &Cue<'_>, request: &OutboundRequest) -> OutboundResponse {
        for account in &mut self.accounts {
            complete(cue, account);
        }
        for at in [self.made, self.recorded].into_iter().flatten() {
            if let Some(account) = self.accounts.get_mut(at) {
                show_what_is_looked_at(cue, account);
            }
        }
        if list_of(cue.call).is_some() {
            return if is_later_page(cue, request) { listing(cue, &[]) } else { listing(cue, &self.accounts) };
        }
        let exact = !cue.wanted().is_empty() || !cue.looked_at().is_empty();
        let id = |account: &Value| cue.shape.id.as_ref().and_then(|place| cue.read(place, account)).map(|id| text(&id));
        let meant = |account: &&Value| match (cue.verb, cue.value("account.id").map(text)) {
            ("get", Some(asked)) => id(account).is_some_and(|id| id == asked),
            _ if exact => cue.takes(account),
            _ => is_named(request, account),
        };
        match self.accounts.iter().find(meant) {
            Some(account) => good(cue, account),
            None => absent(cue),
        }
    }

    /// Memberships of an account, as its own JSON says: `groups = ["a", …]` or `group = […]`, elements as the application shows them or names.
    fn members(&self, cue: &Cue<'_>, request: &OutboundRequest) -> OutboundResponse {
        let kind = cue.verb.split('.').nth(1).unwrap_or_default();
        let id = cue.value("account.id").map(text);
        let own = |account: &&Value| cue.shape.id.as_ref().and_then(|place| cue.read(place, account)).map(|id| text(&id)) == id;
        let given = self.accounts.iter().find(own).and_then(|account| account.get(format!("{kind}s")).or_else(|| account.get(kind)));
        let saved = |key: &str| cue.call.save.iter().find(|(name, _)| name == key);
        let element = |given: &Value| {
            let (name, role) = named(given);
            let mut element = with_wanted(cue, if name.is_some() { json!({}) } else { given.clone() });
            if let (Some(at), Some(name)) = (saved("name").and_then(|(_, extract)| place(extract)), name) {
                put(&mut element, at, name.clone());
            }
            if let (Some((_, extract)), Some(role)) = (saved("role"), role) {
                set(&mut element, extract, role.clone());
            }
            element
        };
        let elements = match given {
            Some(Value::Array(list)) if !is_later_page(cue, request) => list.iter().map(element).collect(),
            _ => Vec::new(),
        };
        if list_of(cue.call).is_some() { listing(cue, &elements) } else { good(cue, &Value::Array(elements)) }
    }

    /// The account is as it was sent, with an id.
    fn create(&mut self, cue: &Cue<'_>, request: &OutboundRequest) -> OutboundResponse {
        let sent = sent(request);
        if cue.own {
            return self.create_own(cue, sent);
        }
        let at = self.made.unwrap_or_else(|| {
            let account = cue.call.at.first(&sent).filter(|inner| inner.is_object()).cloned().unwrap_or(sent);
            self.accounts.push(account);
            self.accounts.len() - 1
        });
        self.made = Some(at);
        let Some(account) = self.accounts.get_mut(at) else { return good(cue, &json!({})) };
        let shape = cue.shape;
        let parts = [
            (&shape.id, Some(Value::from(MADE_ID))),
            (&shape.external_id, cue.value("want.external_id").cloned()),
            (&shape.email, cue.value("want.email").cloned()),
            (&shape.admin, Some(Value::Bool(false))),
            (&shape.disabled, Some(Value::Bool(false))),
            // Last: at some applications the login is the id.
            (&shape.login, cue.value("want.login").cloned()),
        ];
        for (extract, value) in parts {
            if let (Some(extract), Some(value)) = (extract, value) {
                set(account, extract, value);
            }
        }
        // What the step itself wants to see of the account that it made.
        for (at, value) in cue.wanted() {
            put(account, &at, value);
        }
        for attribute in cue.attributes() {
            if let (Some(read), Some(value)) = (&attribute.read, cue.value(&format!("want.{}", attribute.name)).cloned()) {
                set(account, read, value);
            }
        }
        let shown = with_saves(cue, account.clone(), "for-show");
        good(cue, &shown)
    }

    /// The first of a policy's own steps that writes makes the account; where it saves the id from is where the account stands.
    fn create_own(&mut self, cue: &Cue<'_>, sent: Value) -> OutboundResponse {
        let id = cue.call.save.iter().find(|(name, _)| name == "id").and_then(|(_, extract)| place(extract));
        if self.made.is_none() {
            let around = id.and_then(|at| at.0.split_last()).map(|(_, around)| Pointer(around.to_vec()));
            let inner = around.as_ref().and_then(|around| around.first(&sent)).filter(|inner| inner.is_object());
            let lone =
                || sent.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.values().next()).filter(|inner| inner.is_object());
            let mut account = inner.or_else(lone).unwrap_or(&sent).clone();
            // At some applications the login is the id.
            let [at_id, at_login] = [&cue.shape.id, &cue.shape.login].map(|extract| extract.as_ref().and_then(place).map(|at| &at.0));
            if let (Some(extract), false) = (&cue.shape.id, at_id == at_login) {
                set(&mut account, extract, Value::from(MADE_ID));
            }
            for (extract, name) in [(&cue.shape.login, "user.name"), (&cue.shape.email, "user.email")] {
                if let (Some(extract), Some(value)) = (extract, cue.value(name))
                    && cue.read(extract, &account).is_none()
                {
                    set(&mut account, extract, value.clone());
                }
            }
            self.made = Some(self.accounts.len());
            self.accounts.push(account);
        }
        let mut shown = sent;
        if let Some(at) = id {
            put(&mut shown, at, Value::from(MADE_ID));
        }
        good(cue, &with_saves(cue, shown, "for-show"))
    }
}

fn set(account: &mut Value, extract: &Extract, value: Value) {
    if let Some(at) = place(extract) {
        put(account, at, written(extract, value));
    }
}

/// What the connector reads of an account and the account does not show, from the names that people use in tests; an id is made up.
fn complete(cue: &Cue<'_>, account: &mut Value) {
    let shape = cue.shape;
    let parts = [
        ("login", &shape.login),
        ("email", &shape.email),
        ("external_id", &shape.external_id),
        ("admin", &shape.admin),
        ("disabled", &shape.disabled),
        ("id", &shape.id),
    ];
    for (name, extract) in parts {
        let Some(extract) = extract else { continue };
        if cue.read(extract, account).is_some() {
            continue;
        }
        let given = account.get(name).cloned();
        if let Some(value) = given.or_else(|| (name == "id").then(|| Value::from(1))) {
            set(account, extract, value);
        }
    }
    for (kind, members) in &shape.members {
        let given: Vec<Value> = account.get(kind).and_then(Value::as_array).cloned().unwrap_or_default();
        if members.each.first(account).is_none() {
            let element = |given: &Value| {
                let (name, role) = named(given);
                let mut element = json!({});
                put(&mut element, &members.name, name.unwrap_or(given).clone());
                if let (Some(at), Some(role)) = (&members.role, role) {
                    put(&mut element, at, role.clone());
                }
                element
            };
            let listed = given.iter().map(element).collect();
            put(account, &members.each, Value::Array(listed));
        }
    }
    let attributes = account.get(ATTRIBUTES).and_then(Value::as_object).cloned().unwrap_or_default();
    for attribute in cue.attributes() {
        if let (Some(read), Some(value)) = (&attribute.read, attributes.get(&attribute.name))
            && cue.read(read, account).is_none()
        {
            set(account, read, value.clone());
        }
    }
}

/// Name and role of a membership; no name: it is as the application shows it.
fn named(given: &Value) -> (Option<&Value>, Option<&Value>) {
    match given.get(MEMBER) {
        Some(name) => (Some(name), given.get(ROLE)),
        None => ((!given.is_object()).then_some(given), None),
    }
}

/// A policy's own `where` may look at what was not posted under that name: the application shows what it was told under its own names.
fn show_what_is_looked_at(cue: &Cue<'_>, account: &mut Value) {
    if cue.takes(account) {
        return;
    }
    let missing: Vec<Pointer> = cue.looked_at().into_iter().filter(|at| at.first(account).is_none()).take(3).collect();
    let values: Vec<Value> = LIKELY.iter().filter_map(|name| cue.value(name).cloned()).collect();
    if let Some(shown) = try_all(cue, account.clone(), &missing, &values) {
        *account = shown;
    }
}

fn try_all(cue: &Cue<'_>, account: Value, missing: &[Pointer], values: &[Value]) -> Option<Value> {
    let Some((first, rest)) = missing.split_first() else { return cue.takes(&account).then_some(account) };
    values.iter().find_map(|value| {
        let mut tried = account.clone();
        put(&mut tried, first, value.clone());
        try_all(cue, tried, rest, values)
    })
}

/// With what `select` compares.
fn with_wanted(cue: &Cue<'_>, mut element: Value) -> Value {
    for (at, value) in cue.wanted() {
        put(&mut element, &at, value);
    }
    element
}

/// With a value wherever the step saves one and nothing stands yet.
fn with_saves(cue: &Cue<'_>, mut element: Value, value: &str) -> Value {
    for (_, extract) in &cue.call.save {
        if let Some(at) = place(extract).filter(|at| at.first(&element).is_none()) {
            put(&mut element, at, Value::from(value));
        }
    }
    element
}

/// A group, role or organisation: its id is its name.
fn member(cue: &Cue<'_>, element: Value) -> Value {
    with_saves(cue, element, &cue.member().unwrap_or_default())
}

/// Inside the list that the step looks through.
fn in_items(cue: &Cue<'_>, element: Value) -> Value {
    match cue.call.select.as_ref().and_then(|select| select.items.as_ref()) {
        Some(items) => {
            let mut whole = json!({});
            put(&mut whole, items, Value::Array(vec![element]));
            whole
        }
        None => element,
    }
}

/// Whether a request asks for what follows the first page: everything was on that.
fn is_later_page(cue: &Cue<'_>, request: &OutboundRequest) -> bool {
    let Some(PageStyle::Offset { parameter, first, .. } | PageStyle::Page { parameter, first, .. }) =
        cue.call.paginate.as_ref().map(|paginate| &paginate.style)
    else {
        return false;
    };
    request.url.query_pairs().any(|(name, value)| name == *parameter && value.parse::<u64>().is_ok_and(|at| at > *first))
}

/// Whether the address names the account by one of its own values: a step without a filter trusts its path.
fn is_named(request: &OutboundRequest, account: &Value) -> bool {
    let in_path = request.url.path().split('/').map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned());
    let asked: Vec<String> = in_path.chain(request.url.query_pairs().map(|(_, value)| value.into_owned())).filter(|part| !part.is_empty()).collect();
    let fields = account.as_object().map(|fields| fields.values().collect::<Vec<_>>()).unwrap_or_default();
    fields.into_iter().filter(|value| value.is_string() || value.is_number()).any(|value| asked.contains(&text(value)))
}

/// What a request carries, as a table.
fn sent(request: &OutboundRequest) -> Value {
    if let Ok(mut value @ Value::Object(_)) = serde_json::from_slice::<Value>(&request.body) {
        // What is inside a call by JSON-RPC or GraphQL.
        let inside = if value.get("jsonrpc").is_some() { value.get_mut("params") } else { None };
        return inside.map(Value::take).filter(Value::is_object).unwrap_or(value);
    }
    let is_form =
        request.headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let form: Map<String, Value> = if is_form {
        form_urlencoded::parse(&request.body).map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect()
    } else {
        Map::new()
    };
    Value::Object(form)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
