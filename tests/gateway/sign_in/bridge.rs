//! Apps that read no header: the gateway fills in their form, or exchanges tokens with them.

use super::World;
use super::keeper::{Keeper, Manners};
use crate::ear::Ear;
use crate::whole::{ADMIN_TOKEN, APP, Answer, Person, Whole, answering, within};
use secrecy::ExposeSecret as _;
use serde_json::json;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use vestibule::connector::model::Model;
use vestibule::entropy::OsEntropy;
use vestibule::identity::SubjectId;
use vestibule::policy::{Policy, Surroundings, compile};
use vestibule::source::SourceFile;
use vestibule::state::seal::Sealer;
use vestibule::state::sqlite::Store;
use vestibule::state::{AccountKey, PersonSecretStore as _};

const CONNECTOR: &str = r#"
connector   = "formy"
version     = 1
summary     = "an app with a form"
tested_with = ["this test"]
initial_password = ["none"]

[account]
id    = "/id"
login = "/login"

[[probe]]
name     = "probe"
effect   = "read"
get      = "/users/nobody"
classify = [{ status = [200, 404], outcome = "done" }]

[[lookup.login]]
name     = "by_name"
effect   = "read"
get      = "/users/{want.login}"
select   = { where = { "/login" = "{want.login}" }, fold = "login" }
classify = [{ status = 200, outcome = "found" }, { status = 404, json = { "/missing" = true }, outcome = "absent" }]

[[get]]
name     = "one"
effect   = "read"
get      = "/users/{account.id}"
classify = [{ status = 200, outcome = "found" }, { status = 404, json = { "/missing" = true }, outcome = "absent" }]

[[create]]
name     = "post"
effect   = "write"
post     = "/users/{want.login}"
classify = [{ status = 201, outcome = "created" }]

[[set_password]]
name     = "put"
effect   = "write"
put      = "/users/{account.id}/password"
body     = { password = "{secret}" }
response = "any"
classify = [{ status = 204, outcome = "updated" }]

[[enter]]
name     = "form"
effect   = "read"
if       = "settings.by == 'form'"
get      = "/login"
response = "any"
save     = { csrf = { html = "input[name=authenticity_token]", attribute = "value" } }
classify = [{ status = 200, outcome = "found" }]

[[enter]]
name     = "post"
effect   = "read"
if       = "settings.by == 'form'"
post     = "/login"
form     = { authenticity_token = "{saved.csrf}", username = "{account.login}", password = "{secret}" }
response = "any"
classify = [{ status = 302, outcome = "done" }, { status = 200, outcome = "denied" }]

[[enter]]
name     = "exchange"
effect   = "read"
if       = "settings.by == 'token'"
post     = "/exchange"
body     = { type = "jwt", token = "{secret}", device = "{device}" }
select   = { where = { "/user" = "{account.login}" } }
save     = { token = "/access_token" }
classify = [{ status = 200, outcome = "done" }, { status = 403, outcome = "denied" }]

[[leave]]
name     = "out"
effect   = "write"
post     = "/give-back"
headers  = { Authorization = "Bearer {secret}" }
classify = [{ status = 200, outcome = "done" }]

[settings.by]
summary = "how people get in"
default = "form"

[sign_in]
modes         = ["session_bridge", "token_exchange"]
own_session   = true
rejected_when = [{ redirect = "^/login" }, { status = 401 }]
"#;

/// An app with a form of its own, sessions of its own, and an admin API below `/admin`.
#[derive(Clone)]
struct FormApp {
    at: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    accounts: HashMap<String, Option<String>>,
    sessions: HashMap<String, String>,
    tokens: HashMap<String, String>,
    /// Names of sessions that tokens were asked for with.
    devices: Vec<String>,
    /// Whom the exchange signs in whatever the token says.
    mistaken_for: Option<String>,
    next: usize,
    seen: Vec<Answer>,
    /// Logins that the form refuses, whatever the password.
    refused: Vec<String>,
}

impl FormApp {
    async fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let at = answering(move |request| shared.lock().unwrap().answer(request)).await;
        Self { at, state }
    }

    fn seen(&self) -> Vec<Answer> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    fn count(&self, line: &str) -> usize {
        self.state.lock().unwrap().seen.iter().filter(|request| request.line().starts_with(line)).count()
    }

    fn end_all_sessions(&self) {
        let mut state = self.state.lock().unwrap();
        state.sessions.clear();
        state.tokens.clear();
    }
}

impl State {
    fn answer(&mut self, request: Answer) -> String {
        let line = request.line();
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let path = target.split('?').next().unwrap();
        let cookie = |name: &str| {
            let all = request.get("cookie").unwrap_or_default();
            all.split("; ").find_map(|pair| pair.strip_prefix(&format!("{name}=")).map(str::to_owned))
        };
        let reply = if let Some(rest) = path.strip_prefix("/admin/users/") {
            self.admin(&method, rest, &request)
        } else if path == "/login" && method == "GET" {
            respond(
                "200 OK",
                "Set-Cookie: pre=1; Path=/; HttpOnly\r\n",
                "<form><input type=\"hidden\" name=\"authenticity_token\" value=\"t&amp;1\"></form>",
            )
        } else if path == "/login" {
            let form: HashMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
            let who = form.get("username").cloned().unwrap_or_default();
            let known = self.accounts.get(&who).is_some_and(|password| password.is_some() && password.as_ref() == form.get("password"));
            let sound = cookie("pre").is_some() && form.get("authenticity_token").map(String::as_str) == Some("t&1");
            if known && sound && !self.refused.contains(&who) {
                self.next += 1;
                self.sessions.insert(self.next.to_string(), who);
                respond("302 Found", &format!("Location: /my/page\r\nSet-Cookie: sid={}; Path=/; HttpOnly; SameSite=Lax\r\n", self.next), "")
            } else {
                respond("200 OK", "", "wrong password")
            }
        } else if path == "/exchange" {
            let token = request.json()["token"].as_str().unwrap_or_default().to_owned();
            let claims =
                token.split('.').nth(1).and_then(|part| base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, part).ok());
            let claims: serde_json::Value = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
            match (claims["aud"].as_str(), claims["sub"].as_str()) {
                (Some("formy"), Some(who)) => {
                    self.next += 1;
                    let token = format!("syt-{}", self.next);
                    self.tokens.insert(token.clone(), who.to_owned());
                    self.devices.push(request.json()["device"].as_str().unwrap().to_owned());
                    json_answer("200 OK", &json!({ "access_token": token, "user": self.mistaken_for.as_deref().unwrap_or(who) }))
                }
                _ => json_answer("403 Forbidden", &json!({})),
            }
        } else if path == "/give-back" {
            let token = request.get("authorization").unwrap_or_default().replace("Bearer ", "");
            match self.tokens.remove(&token) {
                Some(_) => json_answer("200 OK", &json!({})),
                None => json_answer("401 Unauthorized", &json!({})),
            }
        } else {
            let by_token = request.get("authorization").and_then(|value| self.tokens.get(value.strip_prefix("Bearer ")?).cloned());
            match cookie("sid").and_then(|sid| self.sessions.get(&sid).cloned()).or(by_token) {
                Some(who) => respond("200 OK", "", &format!("you are {who}")),
                None if path.starts_with("/api") => respond("401 Unauthorized", "", "no token"),
                None => respond("302 Found", "Location: /login\r\n", ""),
            }
        };
        self.seen.push(request);
        reply
    }

    fn admin(&mut self, method: &str, rest: &str, request: &Answer) -> String {
        if request.get("authorization").as_deref() != Some(&format!("Bearer {ADMIN_TOKEN}")) {
            return json_answer("401 Unauthorized", &json!({}));
        }
        let (login, what) = rest.split_once('/').unwrap_or((rest, ""));
        match (method, what) {
            ("POST", "") => {
                self.accounts.insert(login.to_owned(), None);
                json_answer("201 Created", &json!({ "id": login, "login": login }))
            }
            ("PUT", "password") => {
                let password = request.json()["password"].as_str().unwrap().to_owned();
                self.accounts.insert(login.to_owned(), Some(password));
                // As Redmine does: whoever is signed in with the old one is not any more.
                self.sessions.retain(|_, who| who != login);
                "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned()
            }
            _ if self.accounts.contains_key(login) => json_answer("200 OK", &json!({ "id": login, "login": login })),
            _ => json_answer("404 Not Found", &json!({ "missing": true })),
        }
    }
}

fn respond(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn json_answer(status: &str, body: &serde_json::Value) -> String {
    let body = body.to_string();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn policy(app: &FormApp, rest: &str) -> Policy {
    policy_at(app, app.at, rest)
}

/// With the app's own pages at `upstream`, and its admin API where it was.
fn policy_at(app: &FormApp, upstream: SocketAddr, rest: &str) -> Policy {
    let (model, problems) = Model::parse(&SourceFile::new("connectors/formy.toml", CONNECTOR));
    let model = model.unwrap_or_else(|| panic!("{}", problems.iter().map(vestibule::source::Problem::render).collect::<String>()));
    let text = format!(
        "host = \"{APP}\"\nupstream = \"http://{upstream}\"\n[access]\neveryone = true\n[user]\nname = \"{{lower(username)}}\"\n\
         [provision]\nconnector = \"formy\"\nurl = \"http://{at}/admin\"\ntoken = \"env:ADMIN_TOKEN\"\nretries = 0\n{rest}",
        at = app.at
    );
    let file = SourceFile::new("policies/app.toml", &*text);
    let (policy, problems) = compile(&file, Surroundings { idps: Some(&["corp".to_owned()]), connectors: &[Arc::new(model)] });
    policy.unwrap_or_else(|| panic!("{}", problems.iter().map(vestibule::source::Problem::render).collect::<String>()))
}

async fn bridged(rest: &str) -> (World, FormApp) {
    let app = FormApp::start().await;
    let compiled = policy(&app, rest);
    let whole = Whole::loaded(|_| vec![compiled], |_| {}).await;
    // Not in use: this app keeps its own counsel.
    let keeper = Keeper::start(Manners::default()).await;
    (World { whole, keeper }, app)
}

#[tokio::test]
async fn a_person_is_signed_in_by_the_app_s_own_form_and_never_sees_the_password() {
    let (world, app) = bridged("").await;
    let mut ada = Person::default();
    world.sign_in(&mut ada, "ada").await;
    let answer = world.page(&mut ada, "/issues?a=1").await;
    assert_eq!((answer.status(), answer.text()), (200, "you are ada".to_owned()));
    assert!(answer.all("set-cookie").iter().any(|line| line == "sid=1; Path=/; HttpOnly; SameSite=Lax"), "{answer:?}");
    assert!(answer.all("set-cookie").iter().any(|line| line.starts_with("sid~vestibule=")), "bound to the person: {answer:?}");
    assert_eq!((app.count("PUT /admin/users/ada/password"), app.count("POST /login")), (1, 1));
    assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
    assert_eq!(app.count("POST /login"), 1, "once for a session");
    // The password is in no answer, and the admin credential is on no form.
    let password = app.state.lock().unwrap().accounts["ada"].clone().unwrap();
    assert!(!answer.mentions(&password));
    for seen in app.seen() {
        let on_form = seen.line().starts_with("POST /login") || seen.line().starts_with("PUT /admin");
        assert!(on_form || !seen.mentions(&password), "{seen:?}");
        assert!(seen.line().contains("/admin/") || !seen.mentions(ADMIN_TOKEN), "{seen:?}");
    }
    // A second browser of the same person shares what there is: a new password would throw the first out.
    let mut phone = Person::default();
    world.sign_in(&mut phone, "ada").await;
    assert_eq!(world.page(&mut phone, "/").await.text(), "you are ada");
    assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
    assert_eq!(app.count("PUT /admin/users/ada/password"), 0);
    // Somebody else has a session of their own.
    ada.forget_sessions();
    world.sign_in(&mut ada, "bob").await;
    assert_eq!(world.page(&mut ada, "/").await.text(), "you are bob");
    // Scripts without a cookie jar get in as well.
    let mut script = Person::default();
    world.sign_in(&mut script, "ada").await;
    assert_eq!(world.whole.get(&script, APP, "/api/x").await.text(), "you are ada");
}

#[tokio::test]
async fn a_session_that_the_app_has_ended_is_begun_anew_and_not_for_ever() {
    let (world, app) = bridged("").await;
    let mut ada = Person::default();
    world.sign_in(&mut ada, "ada").await;
    world.page(&mut ada, "/").await;
    let old = app.state.lock().unwrap().accounts["ada"].clone();
    app.end_all_sessions();
    app.seen();
    assert_eq!(world.page(&mut ada, "/issues").await.text(), "you are ada");
    assert_eq!((app.count("POST /login"), app.count("PUT /admin/users/ada/password")), (1, 0));
    assert_eq!(app.state.lock().unwrap().accounts["ada"], old, "one password for every sign-in");
    assert_eq!(world.page(&mut ada, "/issues").await.text(), "you are ada", "the browser has the new cookie");

    // The form refuses from now on.
    world.whole.advance_s(61);
    app.state.lock().unwrap().refused.push("ada".to_owned());
    app.end_all_sessions();
    app.seen();
    let answer = world.page(&mut ada, "/").await;
    assert_eq!(answer.status(), 502, "{answer:?}");
    for _ in 0..5 {
        assert_eq!(world.page(&mut ada, "/").await.status(), 502);
    }
    let tries = || (app.count("POST /login"), app.count("PUT /admin/users/ada/password"));
    assert_eq!(tries(), (2, 1), "once with the password it had, once with a new one, and not for every page");
    // …and no new one a while later: the last has never let anybody in.
    world.whole.advance_s(61);
    let last = app.state.lock().unwrap().accounts["ada"].clone();
    assert_eq!(world.page(&mut ada, "/").await.status(), 502);
    assert_eq!((tries(), app.state.lock().unwrap().accounts["ada"].clone()), ((3, 2), last));
    app.state.lock().unwrap().refused.clear();
    world.whole.advance_s(61);
    assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
}

#[tokio::test]
async fn a_password_is_set_anew_when_it_was_changed_at_the_app_and_when_it_is_due() {
    let (world, app) = bridged("[sign_in]\nmode = \"session_bridge\"\nrotate = \"7d\"\n").await;
    let mut ada = Person::default();
    world.sign_in(&mut ada, "ada").await;
    assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
    let password = || app.state.lock().unwrap().accounts["ada"].clone().unwrap();
    let first = password();
    // They set one of their own there, which ends their sessions.
    drop(app.state.lock().unwrap().accounts.insert("ada".to_owned(), Some("of my own".to_owned())));
    app.end_all_sessions();
    app.seen();
    assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
    let second = password();
    assert_eq!((app.count("POST /login"), app.count("PUT /admin/users/ada/password")), (2, 1));
    assert!(second != first && second != "of my own");
    // A week later.
    app.seen();
    for (days, sets) in [(6, 0), (2, 1), (1, 0)] {
        world.whole.advance_s(days * 86_400);
        world.sign_in(&mut ada, "ada").await;
        app.end_all_sessions();
        assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
        assert_eq!(app.count("PUT /admin/users/ada/password"), sets, "after {days} more days");
        app.seen();
    }
    assert_ne!(password(), second);
}

#[tokio::test]
async fn two_gateways_on_one_store_share_a_password_and_end_nobody_s_session() {
    let (world, app) = bridged("").await;
    let (compiled, url, op) = (policy(&app, ""), format!("sqlite:{}", world.whole.folder.path().join("v.db").display()), Arc::clone(&world.whole.op));
    let issuer = op.issuer.clone();
    let mut whole = Whole::loaded(
        |_| vec![compiled],
        |gateway| {
            gateway.state.url = url;
            gateway.idps[0].issuer = issuer;
        },
    )
    .await;
    whole.op = op;
    let second = World { whole, keeper: Keeper::start(Manners::default()).await };
    let (mut ada, mut phone) = (Person::default(), Person::default());
    world.sign_in(&mut ada, "ada").await;
    assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
    second.sign_in(&mut phone, "ada").await;
    for _ in 0..3 {
        assert_eq!(second.page(&mut phone, "/").await.text(), "you are ada");
        assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
    }
    assert_eq!((app.count("POST /login"), app.count("PUT /admin/users/ada/password")), (2, 1), "a session each, by one password");

    // Both make one at once: the first to write it down decides, and nobody is left outside.
    let sealer = Sealer::new(&"a key for tests that is long enough to be one".into(), Arc::new(OsEntropy::default())).unwrap();
    let store = Store::open(&format!("sqlite:{}", world.whole.folder.path().join("v.db").display()), sealer).await.unwrap();
    let key = AccountKey { upstream: "app".to_owned(), subject: SubjectId { issuer: world.whole.op.issuer.clone(), subject: "ada".to_owned() } };
    store.drop_person_secret(&key).await.unwrap();
    app.end_all_sessions();
    app.seen();
    let _either = tokio::join!(world.page(&mut ada, "/"), second.page(&mut phone, "/"));
    for _ in 0..2 {
        assert_eq!(second.page(&mut phone, "/").await.text(), "you are ada");
        assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
    }
    let kept = store.person_secret(&key).await.unwrap().unwrap();
    assert_eq!(app.state.lock().unwrap().accounts["ada"].as_deref(), Some(kept.secret.expose_secret()));
    let set: Vec<_> =
        app.seen().into_iter().filter(|request| request.line().starts_with("PUT ")).map(|request| request.json()["password"].clone()).collect();
    assert!((1..=2).contains(&set.len()) && set.iter().all(|password| password == kept.secret.expose_secret()), "one password, whoever set it");
}

#[tokio::test]
async fn a_token_of_the_gateway_is_exchanged_for_one_of_the_app_s() {
    let (world, app) = bridged("[provision.settings]\nby = \"token\"\n[sign_in]\nmode = \"token_exchange\"\n[jwt]\naudience = \"formy\"\n").await;
    let mut ada = Person::default();
    world.sign_in(&mut ada, "ada").await;
    assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
    let own = format!("GET /api/sync HTTP/1.1\r\nHost: {APP}\r\nAuthorization: Bearer forged\r\n{}\r\n", ada.cookies(APP));
    assert_eq!(world.whole.ask(APP, own).await.text(), "you are ada");
    assert_eq!(world.whole.get(&ada, APP, "/api/sync").await.text(), "you are ada");
    assert_eq!(app.count("POST /exchange"), 1, "one token for a session");
    let seen = app.seen();
    let sync = seen.iter().find(|request| request.line().contains("/api/sync")).unwrap();
    assert_eq!((sync.all("authorization"), sync.get("x-jwt-assertion")), (vec!["Bearer syt-1".to_owned()], None), "{sync:?}");
    // A token that the app has forgotten is replaced, once.
    app.end_all_sessions();
    assert_eq!(world.whole.get(&ada, APP, "/api/sync").await.text(), "you are ada");
    assert_eq!(app.count("POST /exchange"), 1);
}

const BY_TOKEN: &str = "[provision.settings]\nby = \"token\"\n[sign_in]\nmode = \"token_exchange\"\n[jwt]\naudience = \"formy\"\n";

impl FormApp {
    /// The tokens that are good, once there are so many.
    async fn tokens(&self, count: usize) -> Vec<String> {
        let counted = async {
            loop {
                let mut tokens: Vec<String> = self.state.lock().unwrap().tokens.keys().cloned().collect();
                if tokens.len() == count {
                    tokens.sort();
                    return tokens;
                }
                tokio::task::yield_now().await;
            }
        };
        within("so many tokens are good", counted).await
    }
}

#[tokio::test]
async fn an_answer_about_somebody_else_is_no_sign_in() {
    let (world, app) = bridged(BY_TOKEN).await;
    app.state.lock().unwrap().mistaken_for = Some("root".to_owned());
    let mut ada = Person::default();
    world.sign_in(&mut ada, "ada").await;
    assert_eq!(world.page(&mut ada, "/").await.status(), 502);
    assert!(app.seen().iter().all(|seen| !seen.mentions("Bearer syt")), "the token is not used");
}

#[tokio::test]
async fn a_token_is_one_session_s_and_is_given_back_when_that_ends() {
    let listening = Ear::listen();
    let (world, app) = bridged(BY_TOKEN).await;
    let ear = listening.to(&world.whole.op.issuer);
    let (mut ada, mut phone) = (Person::default(), Person::default());
    for browser in [&mut ada, &mut phone] {
        world.sign_in(browser, "ada").await;
        assert_eq!(world.page(browser, "/").await.text(), "you are ada");
    }
    assert_eq!(app.tokens(2).await, ["syt-1", "syt-2"], "one for each");
    // One that the app has forgotten is asked for again under the same name, so that an app may put it in the place of the old one.
    app.state.lock().unwrap().tokens.remove("syt-1");
    assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
    let devices = app.state.lock().unwrap().devices.clone();
    assert!(devices[0] == devices[2] && devices[0] != devices[1] && devices[0].len() == 20, "{devices:?}");

    // Signed out on the telephone: its token is given back, and the other goes on.
    let out = format!(
        "POST /.vestibule/logout HTTP/1.1\r\nHost: {APP}\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nAccept: text/html\r\n{}Content-Length: 0\r\n\r\n",
        phone.cookies(APP)
    );
    let answer = world.whole.ask(APP, out).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(app.tokens(1).await, ["syt-3"]);
    let line = |event: &serde_json::Value| {
        assert!(event["policy.revision"].is_string() && event.get("reason").is_none() && !event.to_string().contains("syt-"), "{event}");
        ["action", "app", "user.sub", "account.login", "mode"].map(|name| event[name].as_str().unwrap_or_default().to_owned()).join(" ")
    };
    // The one that the app had forgotten was given back as well.
    let signed_out: Vec<String> = ear.hears(2, "signout.bridged").await.iter().map(line).collect();
    assert_eq!(signed_out, ["signout.bridged app ada ada token_exchange"; 2]);
    assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
    assert!(!answer.mentions("syt-"), "no token is ever shown");

    // Somebody else at this browser: a token of their own.
    let before = ada.clone();
    ada.forget_sessions();
    world.sign_in(&mut ada, "bob").await;
    assert_eq!(world.page(&mut ada, "/").await.text(), "you are bob");
    assert_eq!(app.tokens(2).await, ["syt-3", "syt-4"]);
    // Sessions that end by themselves take their tokens with them.
    world.whole.advance_s(48 * 3600);
    for late in [&before, &ada] {
        assert_eq!(world.whole.get(late, APP, "/").await.status(), 401);
    }
    app.tokens(0).await;
    let mut signed_out: Vec<String> = ear.hears(4, "signout.bridged").await.iter().map(line).collect();
    signed_out.sort();
    let told = ["ada ada", "ada ada", "ada ada", "bob bob"].map(|who| format!("signout.bridged app {who} token_exchange"));
    assert_eq!((signed_out, ear.heard("signout.failed")), (told.to_vec(), Vec::new()));
}

#[tokio::test]
async fn what_one_server_gave_a_session_never_goes_to_another_that_takes_its_place() {
    for rest in [BY_TOKEN, ""] {
        let (world, app) = bridged(rest).await;
        let mut ada = Person::default();
        world.sign_in(&mut ada, "ada").await;
        assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
        let other = FormApp::start().await;
        {
            let mut state = other.state.lock().unwrap();
            (state.next, state.accounts) = (100, app.state.lock().unwrap().accounts.clone());
        }
        world.whole.reload(vec![policy_at(&app, other.at, rest)]);
        for _ in 0..2 {
            assert_eq!(world.page(&mut ada, "/").await.text(), "you are ada");
        }
        let seen = other.seen();
        assert_eq!(seen.iter().filter(|request| request.line().starts_with("GET / ")).count(), 2, "{seen:?}");
        for request in &seen {
            let cookies = request.get("cookie").unwrap_or_default();
            assert!(!cookies.split("; ").any(|pair| pair == "sid=1"), "{request:?}");
            assert_ne!(request.get("authorization").as_deref(), Some("Bearer syt-1"), "{request:?}");
        }
        // And the one that it was gets its own back.
        app.tokens(0).await;
    }
}
