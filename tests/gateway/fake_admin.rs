//! A scripted admin API on 127.0.0.1: SCIM, JupyterHub and Redmine in their own manners, with a user table in memory and faults on demand.
//!
//! Searches are as fuzzy as the worst app's (contains, without case), locked accounts are hidden from nobody, every request is kept byte for byte.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, reason = "a fake that cannot go on should stop")]

#[path = "fake_admin/grafana.rs"]
mod grafana;

use crate::listen::Port;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Whose manners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Scim,
    Hub,
    Redmine,
    Grafana,
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This status with an error body in the app's manner; nothing is done.
    Status(u16),
    /// As [`Fault::Status`], with `Retry-After`.
    RetryAfter(u16, &'static str),
    /// 200 and a login page; nothing is done.
    Html,
    /// Done, and the answer is half of itself.
    Truncated,
    /// 200 and this many bytes.
    Huge(usize),
    /// 302 to there.
    Redirect(String),
    /// Done, and the answer shows mallory.
    WrongUser,
    /// The connection is closed before anything is done.
    DropBefore,
    /// Done, and the connection is closed without an answer.
    DropAfter,
    /// Done, and the answer never comes.
    Slow,
    /// Done, and the answer comes after [`FakeAdmin::release`].
    Held,
}

/// Where [`FakeAdmin::strike_at`] strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the app has done anything; no answer.
    Before,
    /// It is done; no answer.
    Done,
    /// It is done, and the answer is on its way.
    Answered,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// The request target, byte for byte.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// An account at the fake.
#[derive(Debug, Clone, Default)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) login: String,
    pub(crate) email: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) admin: bool,
    pub(crate) disabled: bool,
    /// As sent on create, or patched.
    pub(crate) record: Value,
    pub(crate) version: u64,
}

/// A group at the fake.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) members: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    users: Vec<User>,
    groups: Vec<Group>,
    seen: Vec<Seen>,
    faults: VecDeque<(String, Fault)>,
    next_id: u64,
    token: Option<String>,
    /// Every connection is closed without an answer.
    down: bool,
    /// Requests until it strikes, and where.
    strike: Option<(usize, Moment)>,
}

/// The fake; it lives as long as the runtime of the test.
#[derive(Debug, Clone)]
pub(crate) struct FakeAdmin {
    pub(crate) url: url::Url,
    flavour: Flavour,
    state: Arc<Mutex<State>>,
    released: Arc<Semaphore>,
    struck: Arc<Semaphore>,
    /// Requests that were dealt with.
    dealt: tokio::sync::watch::Sender<u64>,
}

impl FakeAdmin {
    pub(crate) async fn start(flavour: Flavour) -> Self {
        let port = Port::free().await;
        let base = if flavour == Flavour::Hub { "/hub/api" } else { "" };
        let url = format!("http://{}{base}", port.at).parse().expect("url");
        let (released, struck) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let fake = Self { url, flavour, state: Arc::default(), released, struck, dealt: tokio::sync::watch::Sender::new(0) };
        fake.state.lock().unwrap().next_id = 100;
        let served = fake.clone();
        port.serve(move |stream| {
            let served = served.clone();
            async move { served.serve(stream).await }
        });
        fake
    }

    /// Adds an account; an id is given when it has none.
    pub(crate) fn add_user(&self, mut user: User) -> String {
        let mut state = self.state.lock().unwrap();
        if user.id.is_empty() {
            user.id = state.fresh(self.flavour, &user.login);
        }
        let id = user.id.clone();
        state.users.push(user);
        id
    }

    /// Adds a group.
    pub(crate) fn add_group(&self, id: &str, name: &str) {
        self.state.lock().unwrap().groups.push(Group { id: id.to_owned(), name: name.to_owned(), members: Vec::new() });
    }

    pub(crate) fn remove_user(&self, login: &str) {
        self.state.lock().unwrap().users.retain(|user| user.login != login);
    }

    /// The next request whose `METHOD target` starts with `prefix` goes wrong like this.
    pub(crate) fn fail_next(&self, prefix: &str, fault: Fault) {
        self.state.lock().unwrap().faults.push_back((prefix.to_owned(), fault));
    }

    /// Lets one held answer go.
    pub(crate) fn release(&self) {
        self.released.add_permits(1);
    }

    /// Whether it answers nobody from now on.
    pub(crate) fn set_down(&self, down: bool) {
        self.state.lock().unwrap().down = down;
    }

    /// At the n-th request from now on, somebody is struck: [`Self::has_struck`] comes back.
    pub(crate) fn strike_at(&self, nth: usize, moment: Moment) {
        self.state.lock().unwrap().strike = Some((nth, moment));
    }

    /// Nobody is struck any more.
    pub(crate) fn disarm(&self) {
        self.state.lock().unwrap().strike = None;
        while let Ok(permit) = self.struck.try_acquire() {
            permit.forget();
        }
    }

    /// Comes back at the moment of [`Self::strike_at`].
    pub(crate) async fn has_struck(&self) {
        self.struck.acquire().await.unwrap().forget();
    }

    /// Comes back once it is so; looked at after every request.
    pub(crate) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let mut dealt = self.dealt.subscribe();
        while !is_so(self) {
            dealt.changed().await.unwrap();
        }
    }

    /// Who is a member of the organisation `id`, with their roles, in order of joining.
    pub(crate) fn org(&self, id: &str) -> Vec<(String, String)> {
        self.state.lock().unwrap().org(id)
    }

    /// Makes somebody a member by hand, or changes their role; an empty role takes it away.
    pub(crate) fn set_org(&self, id: &str, login: &str, role: &str) {
        self.state.lock().unwrap().set_org(id, login, role);
    }

    /// Changes an account by hand.
    pub(crate) fn change(&self, login: &str, change: impl FnOnce(&mut User)) {
        change(self.state.lock().unwrap().users.iter_mut().find(|user| user.login == login).expect("user"));
    }

    /// Requests must carry this `Authorization`; others get 401.
    pub(crate) fn require(&self, authorization: &str) {
        self.state.lock().unwrap().token = Some(authorization.to_owned());
    }

    pub(crate) fn users(&self) -> Vec<User> {
        self.state.lock().unwrap().users.clone()
    }

    pub(crate) fn groups(&self) -> Vec<Group> {
        self.state.lock().unwrap().groups.clone()
    }

    /// What came since the last call.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// `METHOD target` of what came since the last call.
    pub(crate) fn take_lines(&self) -> Vec<String> {
        self.take_seen().iter().map(Seen::line).collect()
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some(seen) = read(&mut stream).await else { return };
        if self.state.lock().unwrap().down {
            self.state.lock().unwrap().seen.push(seen);
            return;
        }
        if let Some(moment) = self.whether_to_strike() {
            let done = (moment != Moment::Before).then(|| self.act(&seen, false));
            if let Some((status, extra, body)) = done.filter(|_| moment == Moment::Answered) {
                answer(&mut stream, status, &extra, &body).await;
            }
            self.struck.add_permits(1);
            // Until the other side is gone.
            let mut rest = [0; 64];
            while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            return;
        }
        self.deal(&seen, stream).await;
        self.dealt.send_modify(|dealt| *dealt += 1);
    }

    fn whether_to_strike(&self) -> Option<Moment> {
        let mut state = self.state.lock().unwrap();
        let (left, moment) = state.strike.take()?;
        if left > 1 {
            state.strike = Some((left - 1, moment));
            return None;
        }
        Some(moment)
    }

    async fn deal(&self, seen: &Seen, mut stream: TcpStream) {
        let (fault, authorized) = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(seen.clone());
            let line = seen.line();
            let at = state.faults.iter().position(|(prefix, _)| line.starts_with(prefix.as_str()));
            let fault = at.and_then(|at| state.faults.remove(at)).map(|(_, fault)| fault);
            (fault, state.token.as_deref().is_none_or(|token| seen.header("authorization") == Some(token)))
        };
        if !authorized {
            return answer(&mut stream, 401, "", &error(401, "no").to_string()).await;
        }
        match fault {
            None => {
                let (status, extra, body) = self.act(seen, false);
                answer(&mut stream, status, &extra, &body).await;
            }
            Some(Fault::Status(status)) => answer(&mut stream, status, "", &error(status, "scripted").to_string()).await,
            Some(Fault::RetryAfter(status, after)) => {
                answer(&mut stream, status, &format!("Retry-After: {after}\r\n"), &error(status, "scripted").to_string()).await;
            }
            Some(Fault::Html) => answer(&mut stream, 200, "Content-Type: text/html\r\n", "<html><form action=/login></form></html>").await,
            Some(Fault::Redirect(to)) => answer(&mut stream, 302, &format!("Location: {to}\r\n"), "").await,
            Some(Fault::WrongUser) => {
                let (status, extra, body) = self.act(seen, true);
                answer(&mut stream, status, &extra, &body).await;
            }
            Some(Fault::Truncated) => {
                let (status, _, body) = self.act(seen, false);
                let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n", body.len().max(2));
                drop(stream.write_all(head.as_bytes()).await);
                drop(stream.write_all(&body.as_bytes()[..body.len() / 2]).await);
            }
            Some(Fault::Huge(bytes)) => {
                drop(stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").as_bytes()).await);
                let chunk = vec![b' '; 1 << 16];
                for _ in 0..bytes / chunk.len() {
                    if stream.write_all(&chunk).await.is_err() {
                        return;
                    }
                }
            }
            Some(Fault::DropBefore) => {}
            Some(Fault::DropAfter) => drop(self.act(seen, false)),
            Some(Fault::Held) => {
                let (status, extra, body) = self.act(seen, false);
                self.released.acquire().await.unwrap().forget();
                answer(&mut stream, status, &extra, &body).await;
            }
            Some(Fault::Slow) => {
                drop(self.act(seen, false));
                // Until the other side gives up.
                let mut rest = [0; 64];
                while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            }
        }
    }

    /// Does what is asked: status, extra header lines, body.
    fn act(&self, seen: &Seen, lie: bool) -> (u16, String, String) {
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let path: Vec<String> = path.trim_start_matches(self.url.path().trim_end_matches('/')).split('/').skip(1).map(decode).collect();
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let body: Value = serde_json::from_str(&seen.body).unwrap_or(Value::Null);
        let mut state = self.state.lock().unwrap();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (status, value, etag) = match self.flavour {
            Flavour::Scim => state.scim(&seen.method, &path, &query, &body, seen.header("if-match")),
            Flavour::Hub => state.hub(&seen.method, &path, &body),
            Flavour::Redmine => state.redmine(&seen.method, &path, &query, &body),
            Flavour::Grafana => state.grafana(&seen.method, &path, &query, &body),
        };
        drop(state);
        let (status, value) = match (lie, seen.method.as_str()) {
            (true, "GET") => (200, mallory(self.flavour, &value)),
            (true, _) => (status, mallory(self.flavour, &value)),
            (false, _) => (status, value),
        };
        let extra = etag.map(|version| format!("ETag: W/\"{version}\"\r\n")).unwrap_or_default();
        (status, extra, if value.is_null() { String::new() } else { value.to_string() })
    }
}

/// The same shape of answer about somebody else.
fn mallory(flavour: Flavour, value: &Value) -> Value {
    let scim = || json!({ "id": "666", "userName": "mallory", "externalId": "someone-else", "active": true });
    let redmine = || json!({ "id": 666, "login": "mallory", "mail": "mallory@evil.example" });
    match flavour {
        Flavour::Scim if value.get("Resources").is_some() => json!({ "totalResults": 1, "Resources": [scim()] }),
        Flavour::Scim => scim(),
        Flavour::Hub => json!({ "name": "mallory", "admin": false, "groups": [] }),
        Flavour::Redmine if value.get("users").is_some() => json!({ "users": [redmine()], "total_count": 1 }),
        Flavour::Redmine => json!({ "user": redmine() }),
        Flavour::Grafana => json!({ "id": 666, "login": "mallory", "email": "mallory@evil.example", "isGrafanaAdmin": false }),
    }
}

type Reply = (u16, Value, Option<u64>);

impl State {
    fn fresh(&mut self, flavour: Flavour, login: &str) -> String {
        self.next_id += 1;
        if flavour == Flavour::Hub { login.to_owned() } else { self.next_id.to_string() }
    }

    fn scim(&mut self, method: &str, path: &[&str], query: &[(String, String)], body: &Value, if_match: Option<&str>) -> Reply {
        let none = |status: u16| (status, error(status, "scim"), None);
        let list = |all: Vec<Value>| {
            let get = |name: &str| query.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.parse::<usize>().ok());
            let (start, count) = (get("startIndex").unwrap_or(1).max(1), get("count").unwrap_or(100).min(2));
            let total = all.len();
            let page: Vec<Value> = all.into_iter().skip(start - 1).take(count).collect();
            (200, json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": total, "Resources": page }), None)
        };
        let filter = query.iter().find(|(key, _)| key == "filter").map(|(_, filter)| filter.as_str());
        match (method, path) {
            ("GET", ["Users"]) => match filter.map(scim_filter) {
                None => list(self.users.iter().map(scim_user).collect()),
                Some(Some((attribute, wanted))) => {
                    let wanted = wanted.to_lowercase();
                    let of = |user: &User| match attribute.as_str() {
                        "userName" => user.login.clone(),
                        "externalId" => user.external_id.clone().unwrap_or_default(),
                        _ => user.email.clone().unwrap_or_default(),
                    };
                    list(self.users.iter().filter(|user| of(user).to_lowercase().contains(&wanted)).map(scim_user).collect())
                }
                Some(None) => none(400),
            },
            ("POST", ["Users"]) => {
                let login = body["userName"].as_str().unwrap_or_default().to_owned();
                if self.users.iter().any(|user| user.login.eq_ignore_ascii_case(&login)) {
                    let mut value = error(409, "taken");
                    value["scimType"] = json!("uniqueness");
                    return (409, value, None);
                }
                let user = User {
                    id: self.fresh(Flavour::Scim, &login),
                    login,
                    email: body["emails"][0]["value"].as_str().map(str::to_owned),
                    external_id: body["externalId"].as_str().map(str::to_owned),
                    record: body.clone(),
                    version: 1,
                    ..User::default()
                };
                self.users.push(user.clone());
                (201, scim_user(&user), Some(user.version))
            }
            ("GET" | "PATCH" | "DELETE", ["Users", id]) => {
                let Some(at) = self.users.iter().position(|user| user.id == *id) else { return none(404) };
                if method == "DELETE" {
                    self.users.remove(at);
                    return (204, Value::Null, None);
                }
                let user = &mut self.users[at];
                if method == "PATCH" {
                    if if_match.is_some_and(|tag| tag != format!("W/\"{}\"", user.version)) {
                        return none(412);
                    }
                    user.version += 1;
                    for operation in body["Operations"].as_array().into_iter().flatten() {
                        let (path, value) = (operation["path"].as_str().unwrap_or_default(), operation["value"].clone());
                        match path {
                            "active" => user.disabled = value == json!(false),
                            "userName" => value.as_str().unwrap_or_default().clone_into(&mut user.login),
                            "emails" => user.email = value[0]["value"].as_str().map(str::to_owned),
                            _ => {}
                        }
                        user.record[path] = value;
                    }
                    return (204, Value::Null, Some(user.version));
                }
                (200, scim_user(user), Some(user.version))
            }
            ("GET", ["Groups"]) => match filter.map(scim_filter) {
                Some(Some((attribute, wanted))) => {
                    let fits = |group: &&Group| {
                        if attribute == "displayName" {
                            group.name.to_lowercase().contains(&wanted.to_lowercase())
                        } else {
                            group.members.contains(&wanted)
                        }
                    };
                    list(self.groups.iter().filter(fits).map(scim_group).collect())
                }
                _ => list(self.groups.iter().map(scim_group).collect()),
            },
            ("POST", ["Groups"]) => {
                let name = body["displayName"].as_str().unwrap_or_default().to_owned();
                let group = Group { id: self.fresh(Flavour::Scim, &name), name, members: Vec::new() };
                self.groups.push(group.clone());
                (201, scim_group(&group), None)
            }
            ("PATCH", ["Groups", id]) => {
                let Some(group) = self.groups.iter_mut().find(|group| group.id == *id) else { return none(404) };
                for operation in body["Operations"].as_array().into_iter().flatten() {
                    let path = operation["path"].as_str().unwrap_or_default();
                    if operation["op"] == "add" {
                        group.members.extend(operation["value"][0]["value"].as_str().map(str::to_owned));
                        group.members.dedup();
                    } else if let Some((_, wanted)) = path.strip_prefix("members[").and_then(|rest| scim_filter(rest.strip_suffix(']')?)) {
                        group.members.retain(|member| *member != wanted);
                    }
                }
                (204, Value::Null, None)
            }
            _ => none(404),
        }
    }

    fn hub(&mut self, method: &str, path: &[&str], body: &Value) -> Reply {
        let none = |status: u16, message: &str| (status, json!({ "status": status, "message": message }), None);
        let names = body["users"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
        match (method, path) {
            ("GET", ["users"]) => (200, Value::Array(self.users.iter().map(|user| self.hub_user(user)).collect()), None),
            ("GET", ["users", name]) => match self.users.iter().find(|user| user.login == *name) {
                Some(user) => (200, self.hub_user(user), None),
                None => none(404, "no such user"),
            },
            ("POST", ["users", name]) => {
                if self.users.iter().any(|user| user.login == *name) {
                    return none(409, "exists");
                }
                let user = User { id: (*name).to_owned(), login: (*name).to_owned(), ..User::default() };
                self.users.push(user.clone());
                (201, self.hub_user(&user), None)
            }
            ("GET", ["groups", name]) => match self.groups.iter().find(|group| group.name == *name) {
                Some(group) => (200, json!({ "name": group.name, "users": group.members }), None),
                None => none(404, "no such group"),
            },
            ("POST", ["groups", name]) => {
                if self.groups.iter().any(|group| group.name == *name) {
                    return none(409, "exists");
                }
                self.groups.push(Group { id: (*name).to_owned(), name: (*name).to_owned(), members: Vec::new() });
                (201, json!({ "name": name, "users": [] }), None)
            }
            ("POST" | "DELETE", ["groups", name, "users"]) => {
                if names.iter().any(|name| !self.users.iter().any(|user| user.login == *name)) {
                    return none(400, "no such user");
                }
                let Some(group) = self.groups.iter_mut().find(|group| group.name == *name) else { return none(404, "no such group") };
                group.members.retain(|member| !names.contains(member));
                if method == "POST" {
                    group.members.extend(names);
                }
                (200, json!({ "name": group.name, "users": group.members }), None)
            }
            _ => none(404, "nothing here"),
        }
    }

    fn hub_user(&self, user: &User) -> Value {
        let groups: Vec<&str> = self.groups.iter().filter(|group| group.members.contains(&user.login)).map(|group| group.name.as_str()).collect();
        json!({ "name": user.login, "admin": user.admin, "groups": groups, "kind": "user" })
    }

    fn redmine(&mut self, method: &str, path: &[&str], query: &[(String, String)], body: &Value) -> Reply {
        let none = |status: u16, message: &str| (status, json!({ "errors": [message] }), None);
        let show = |user: &User| json!({ "id": user.id.parse::<u64>().unwrap_or(0), "login": user.login, "mail": user.email, "admin": user.admin });
        match (method, path) {
            ("GET", ["users.json"]) => {
                let wanted = query.iter().find(|(key, _)| key == "name").map(|(_, value)| value.to_lowercase()).unwrap_or_default();
                let fits = |user: &&User| format!("{} {}", user.login, user.email.as_deref().unwrap_or_default()).to_lowercase().contains(&wanted);
                let found: Vec<Value> = self.users.iter().filter(fits).map(show).collect();
                let total = found.len();
                let page: Vec<Value> = found.into_iter().take(25).collect();
                (200, json!({ "total_count": total, "users": page, "offset": 0, "limit": 25 }), None)
            }
            ("POST", ["users.json"]) => {
                let (login, mail) = (body["user"]["login"].as_str().unwrap_or_default().to_owned(), body["user"]["mail"].as_str().map(str::to_owned));
                if self.users.iter().any(|user| user.login.eq_ignore_ascii_case(&login)) {
                    return none(422, "Login has already been taken");
                }
                if self.users.iter().any(|user| user.email == mail) {
                    return none(422, "Email has already been taken");
                }
                let user = User { id: self.fresh(Flavour::Redmine, &login), login, email: mail, record: body.clone(), ..User::default() };
                self.users.push(user.clone());
                (201, json!({ "user": show(&user) }), None)
            }
            ("POST", ["groups", id, "users.json"]) => {
                let Some(group) = self.groups.iter_mut().find(|group| group.id == *id) else { return none(404, "group") };
                let user = body["user_id"].as_str().unwrap_or_default().to_owned();
                if group.members.contains(&user) {
                    return none(422, "User is already a member");
                }
                group.members.push(user);
                (204, Value::Null, None)
            }
            ("DELETE", ["groups", id, "users", user]) => {
                let Some(group) = self.groups.iter_mut().find(|group| group.id == *id) else { return none(404, "group") };
                let had = group.members.len();
                group.members.retain(|member| format!("{member}.json") != *user);
                if group.members.len() == had { none(404, "member") } else { (204, Value::Null, None) }
            }
            _ => none(404, "nothing here"),
        }
    }
}

fn error(status: u16, detail: &str) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": status, "detail": detail })
}

fn scim_user(user: &User) -> Value {
    let mut out =
        json!({ "id": user.id, "userName": user.login, "active": !user.disabled, "meta": { "version": format!("W/\"{}\"", user.version) } });
    if let Some(id) = &user.external_id {
        out["externalId"] = json!(id);
    }
    if let Some(created) = user.record.get("created") {
        out["meta"]["created"] = created.clone();
    }
    if let Some(email) = &user.email {
        out["emails"] = json!([{ "value": email, "type": "work" }]);
    }
    out
}

fn scim_group(group: &Group) -> Value {
    let members: Vec<Value> = group.members.iter().map(|member| json!({ "value": member })).collect();
    json!({ "id": group.id, "displayName": group.name, "members": members })
}

/// `attribute eq "value"`, exactly that or nothing: a value that broke out of its quotes is a 400.
pub(crate) fn scim_filter(filter: &str) -> Option<(String, String)> {
    let (attribute, value) = filter.split_once(" eq ")?;
    Some((attribute.to_owned(), serde_json::from_str(value).ok()?))
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.splitn(3, ' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines.filter_map(|line| line.split_once(": ")).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let length =
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case("content-length")).and_then(|(_, value)| value.parse().ok()).unwrap_or(0_usize);
    let mut body = bytes[head + 4..].to_vec();
    while body.len() < length {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => body.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
    Some(Seen { method, target, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

async fn answer(stream: &mut TcpStream, status: u16, extra: &str, body: &str) {
    let kind = if extra.contains("Content-Type") { "" } else { "Content-Type: application/json\r\n" };
    let text = format!("HTTP/1.1 {status} x\r\n{kind}{extra}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    // The client may have gone; that is its right.
    drop(stream.write_all(text.as_bytes()).await);
    drop(stream.shutdown().await);
}
