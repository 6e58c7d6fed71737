//! An application that keeps sessions of its own: it believes a header once, and its cookie ever after.

use crate::whole::{Answer, answering};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// What it answers to whom it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denies {
    /// 401.
    Unauthorized,
    /// 302 to its own sign-in.
    Redirects,
    /// 200, and a page that says so.
    Says,
    /// 302 from where it reads who somebody is to a page, and from every page back there (Superset does).
    Circles,
}

/// How it behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manners {
    /// The only path at which it reads who somebody is.
    pub(crate) reads_at: Option<&'static str>,
    pub(crate) denies: Denies,
}

impl Default for Manners {
    fn default() -> Self {
        Self { reads_at: None, denies: Denies::Redirects }
    }
}

#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) at: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Person and role by session.
    sessions: HashMap<String, (String, String)>,
    begun: usize,
    ended: usize,
    unknown: HashSet<String>,
    doubted: HashSet<String>,
    seen: Vec<Answer>,
}

pub(crate) fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

impl Keeper {
    pub(crate) async fn start(manners: Manners) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let at = answering(move |request| shared.lock().unwrap().answer(request, manners)).await;
        Self { at, state }
    }

    /// Requests since the last call.
    pub(crate) fn seen(&self) -> Vec<Answer> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// Sessions begun so far.
    pub(crate) fn begun(&self) -> usize {
        self.state.lock().unwrap().begun
    }

    /// Sessions signed out so far.
    pub(crate) fn ended(&self) -> usize {
        self.state.lock().unwrap().ended
    }

    /// From now on it knows nothing of somebody, nor of their sessions.
    pub(crate) fn forget(&self, who: &str) {
        let mut state = self.state.lock().unwrap();
        state.unknown.insert(who.to_owned());
        state.sessions.retain(|_, (of, _)| of != who);
    }

    /// As [`Self::forget`], but it changes its mind after one request.
    pub(crate) fn forget_until_asked_twice(&self, who: &str) {
        self.forget(who);
        self.state.lock().unwrap().doubted.insert(who.to_owned());
    }

    pub(crate) fn remember(&self, who: &str) {
        self.state.lock().unwrap().unknown.remove(who);
    }
}

impl State {
    fn answer(&mut self, request: Answer, manners: Manners) -> String {
        let line = request.line();
        let (method, target) = line.split_once(' ').map(|(method, rest)| (method, rest.split(' ').next().unwrap())).unwrap();
        let path = target.split('?').next().unwrap();
        let cookie = |name: &str| {
            let all = request.get("cookie").unwrap_or_default();
            all.split("; ").find_map(|pair| pair.strip_prefix(&format!("{name}=")).map(str::to_owned))
        };
        let session = cookie("sid").and_then(|sid| self.sessions.get(&sid).cloned());
        let told = self.told(&request).filter(|_| manners.reads_at.is_none_or(|at| at == path));
        let path_of_sign_out = if method == "DELETE" && path.contains("/session") { "/logout" } else { path };
        let reply = match (path_of_sign_out, session) {
            ("/logout", _) if target.contains("refuse") => text("422 Unprocessable Content", "", "your form was forged"),
            ("/logout", session) => {
                self.ended += usize::from(session.is_some());
                if let Some(sid) = cookie("sid") {
                    self.sessions.remove(&sid);
                }
                text("302 Found", "Location: /login\r\nSet-Cookie: sid=; Max-Age=0; Path=/\r\n", "signed out")
            }
            ("/login", _) => text("200 OK", "", "a form for your password"),
            ("/form", Some((who, _))) if method == "POST" && request.get("x-csrf") == cookie("csrf") => text("200 OK", "", &format!("done by {who}")),
            ("/role", Some((who, role))) => text("200 OK", "", &format!("{who} is {role}")),
            (_, Some((who, _))) if manners.reads_at != Some(path) => text("200 OK", "", &format!("you are {who}")),
            (path, _) if path.starts_with("/public/") => {
                let set = if cookie("sid").is_some() { String::new() } else { self.begin("nobody", "") };
                text("200 OK", &set, "you are nobody")
            }
            _ => match told {
                Some((who, role)) if !self.unknown.contains(&who) => {
                    let set = self.begin(&who, &role);
                    match (manners.reads_at, path) {
                        (Some(_), _) => text("302 Found", &format!("Location: /home\r\n{set}"), ""),
                        (None, "/role") => text("200 OK", &set, &format!("{who} is {role}")),
                        (None, _) => text("200 OK", &set, &format!("you are {who}")),
                    }
                }
                told => {
                    if let Some((who, _)) = told
                        && self.doubted.remove(&who)
                    {
                        self.unknown.remove(&who);
                    }
                    match manners.denies {
                        Denies::Unauthorized => text("401 Unauthorized", "", "who are you?"),
                        Denies::Redirects => text("302 Found", "Location: /login?next=x\r\n", ""),
                        Denies::Circles if manners.reads_at == Some(path) => text("302 Found", "Location: /home\r\n", ""),
                        Denies::Circles => text("302 Found", &format!("Location: {}?next=x\r\n", manners.reads_at.unwrap_or("/login")), ""),
                        Denies::Says => text("200 OK", "", "<p>You are not logged in</p>"),
                    }
                }
            },
        };
        self.seen.push(request);
        reply
    }

    /// Whom the headers name, and their role.
    #[expect(clippy::unused_self, reason = "reads like its siblings")]
    fn told(&self, request: &Answer) -> Option<(String, String)> {
        let role = request.get("x-role").unwrap_or_default();
        let basic = request.get("authorization").and_then(|value| {
            let decoded = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
            Some(String::from_utf8(decoded).ok()?.split(':').next()?.to_owned())
        });
        request.get("x-remote-user").or(basic).map(|who| (who, role))
    }

    fn begin(&mut self, who: &str, role: &str) -> String {
        self.begun += 1;
        let sid = self.begun.to_string();
        if who != "nobody" {
            self.sessions.insert(sid.clone(), (who.to_owned(), role.to_owned()));
        }
        format!("Set-Cookie: sid={sid}; Path=/; HttpOnly\r\nSet-Cookie: csrf=tok-{sid}; Path=/; Secure; SameSite=Lax\r\n")
    }
}

fn text(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}
