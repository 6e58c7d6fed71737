//! The operators' console of the whole gateway, over TLS and by browsers' rules: who gets in, who may act, and that what is done is done.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use crate::fake_admin::{FakeAdmin, Fault, Flavour};
use crate::whole::{ADMIN_TOKEN, APP, AUTH, Answer, COOKIE, Person, Tls, Whole, Wire, get, policy_with};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;
use vestibule::admin::commands::{Reloaded, Reloads};
use vestibule::clock::Clock as _;
use vestibule::config::{Console, Gateway};
use vestibule::identity::SubjectId;
use vestibule::provision::{Listed, Which};
use vestibule::state::sqlite::Store;
use vestibule::state::{AccountKey, AccountRecord, AccountState, AccountStore as _, Awaiting, Lease};

const OPS: &str = "ops.vestibule.test";
const CONSOLE_COOKIE: &str = "__Host-vestibule-admin";
const BROWSER: &str = "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n";

/// A gateway with a console, an app with accounts, and everything that is audited.
struct Ops {
    whole: Whole,
    admin: FakeAdmin,
    log: Arc<Mutex<Vec<u8>>>,
    scheme: &'static str,
    _listening: tracing::subscriber::DefaultGuard,
    _another: tracing::Dispatch,
}

struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn with_console(gateway: &mut Gateway, listen: &str) {
    let admin = gateway.admin.as_mut().unwrap();
    admin.listen = listen.parse().unwrap();
    admin.console = Some(Console {
        host: OPS.to_owned(),
        idp: "corp".to_owned(),
        groups: vec!["operators".to_owned(), "others".to_owned()],
        viewers: vec!["helpdesk".to_owned()],
    });
}

impl Ops {
    /// On every address, so that TLS is spoken.
    async fn new() -> Self {
        Self::listening("0.0.0.0:0", "").await
    }

    async fn listening(listen: &str, provision: &str) -> Self {
        let log: Arc<Mutex<Vec<u8>>> = Arc::default();
        let writer = Arc::clone(&log);
        let listener =
            tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::INFO).with_writer(move || Log(Arc::clone(&writer))).finish();
        // With a single dispatcher alive, tracing asks the thread that meets an event first, and cores have no subscriber.
        let another = tracing::Dispatch::new(tracing_subscriber::registry());
        let listening = tracing::subscriber::set_default(listener);
        let admin = FakeAdmin::start(Flavour::Scim).await;
        admin.require(&format!("Bearer {ADMIN_TOKEN}"));
        let section = format!(
            "[provision]\nconnector = \"scim\"\nurl = \"{}\"\ntoken = {{ secret = \"env:ADMIN_TOKEN\" }}\nretries = 0\n{provision}",
            admin.url
        );
        let policies = |at: SocketAddr| vec![("app", policy_with(APP, at, "", &section))];
        let whole = Whole::with(policies, |gateway| with_console(gateway, listen)).await;
        let scheme = if listen.starts_with("127.") { "http" } else { "https" };
        Self { whole, admin, log, scheme, _listening: listening, _another: another }
    }

    fn origin(&self) -> String {
        format!("{}://{OPS}:{}", self.scheme, self.whole.running.admin.unwrap().port())
    }

    fn url(&self, path: &str) -> Url {
        format!("{}{path}", self.origin()).parse().unwrap()
    }

    async fn wire(&self, sni: &str) -> Wire {
        let at = SocketAddr::from(([127, 0, 0, 1], self.whole.running.admin.unwrap().port()));
        let tcp = TcpStream::connect(at).await.unwrap();
        if self.scheme == "http" {
            return Wire::new(tcp);
        }
        let tls = Tls::for_name(sni);
        Wire::new(TlsConnector::from(Arc::new(tls.config())).connect(tls.name.clone(), tcp).await.unwrap())
    }

    /// Any bytes at the operators' listener.
    async fn raw(&self, request: &str) -> Answer {
        let mut wire = self.wire(OPS).await;
        wire.send(request).await;
        wire.answer(request.starts_with("HEAD")).await
    }

    /// A navigation, wherever it leads; keeps cookies.
    async fn visit(&self, person: &mut Person, url: &Url) -> Answer {
        if url.host_str() != Some(OPS) {
            return self.whole.street().visit(person, url).await;
        }
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let answer = self.raw(&get(person, OPS, path, BROWSER)).await;
        person.keep(OPS, &answer);
        answer
    }

    /// Follows a browser from `url` through every redirect, the sign-in at the provider and pages that go on by themselves.
    async fn travel(&self, person: &mut Person, url: Url) -> (Vec<Url>, Answer) {
        let mut passed = vec![url];
        for _ in 0..16 {
            let at = passed.last().unwrap().clone();
            if at.as_str().starts_with(&self.whole.op.issuer) {
                let back = self.whole.op.sign_in(&at);
                passed.push(format!("https://{AUTH}/.vestibule/callback?{back}").parse().unwrap());
                continue;
            }
            let answer = self.visit(person, &at).await;
            let text = answer.text();
            let next = match (answer.get("location"), text.split_once("content=\"0; url=")) {
                (Some(location), _) => location,
                (None, Some((_, rest))) => rest.split_once('"').unwrap().0.replace("&#38;", "&"),
                (None, None) => return (passed, answer),
            };
            passed.push(at.join(&next).unwrap());
        }
        panic!("round and round: {passed:?}");
    }

    /// From now on this person stands at the provider.
    fn be(&self, subject: &str, groups: &[&str]) {
        let person = json!({"name": format!("{subject} Example"), "email": format!("{subject}@example.com"), "email_verified": true, "groups": groups, "preferred_username": subject});
        self.is(subject, person);
    }

    fn is(&self, subject: &str, person: Value) {
        self.whole.op.set(|script| {
            script.subject = json!(subject);
            script.person = person;
            script.auth_time = None;
        });
    }

    async fn signed_in(&self, subject: &str, groups: &[&str]) -> Person {
        self.be(subject, groups);
        let mut person = Person::default();
        let (_, answer) = self.travel(&mut person, self.url("/")).await;
        assert_eq!(answer.status(), if groups.is_empty() { 403 } else { 200 }, "{answer:?}");
        person
    }

    async fn operator(&self) -> Person {
        self.signed_in("olga", &["staff", "operators"]).await
    }

    /// Somebody with an account, or one that failed, at the app.
    async fn somebody(&self, subject: &str) -> (Person, u16) {
        self.be(subject, &["staff"]);
        let mut person = self.whole.sign_in(APP).await;
        let answer = self.whole.street().visit(&mut person, &format!("https://{APP}/").parse().unwrap()).await;
        (person, answer.status())
    }

    async fn page(&self, person: &mut Person, path: &str) -> String {
        let answer = self.visit(person, &self.url(path)).await;
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        answer.text()
    }

    /// What a page of `person` sends by a button.
    async fn form(&self, person: &mut Person, fields: &[(&str, &str)]) -> String {
        let page = self.page(person, "/").await;
        let token = page.split_once("name=\"token\" value=\"").map(|(_, rest)| rest.split_once('"').unwrap().0.to_owned()).unwrap_or_default();
        form_urlencoded::Serializer::new(String::new()).append_pair("token", &token).extend_pairs(fields).finish()
    }

    async fn post(&self, person: &Person, path: &str, headers: &str, body: &str) -> Answer {
        let cookies = person.cookies(OPS);
        let length = body.len();
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        self.raw(&format!("POST {path} HTTP/1.1\r\nHost: {OPS}\r\n{BROWSER}{cookies}{form}{headers}Content-Length: {length}\r\n\r\n{body}")).await
    }

    /// As the button of a page does.
    async fn press(&self, person: &mut Person, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = self.form(person, fields).await;
        self.post(person, path, &format!("Origin: {}\r\nSec-Fetch-Site: same-origin\r\n", self.origin()), &body).await
    }

    /// What a form about the account of `subject` carries.
    fn form_of<'a>(&'a self, subject: &'a str, further: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [&[("app", "app"), ("issuer", self.whole.op.issuer.as_str()), ("subject", subject)], further].concat()
    }

    async fn record(&self, subject: &str) -> Option<Listed> {
        self.whole.running.swap().people().list(Some("app"), Which::All).await.unwrap().into_iter().find(|listed| listed.subject == subject)
    }

    /// Keeps a record as if a job had.
    async fn write(&self, record: &AccountRecord) {
        let url = format!("sqlite:{}", self.whole.folder.path().join("v.db").display());
        let store = Store::open(&url, crate::state::sealer("a key for tests that is long enough to be one")).await.unwrap();
        let now = self.whole.clock.now();
        let Lease::Held(fence, _) = store.lease(&record.key, "test", now, now.plus_ms(1_000)).await.unwrap() else { panic!("held") };
        store.save(record, fence).await.unwrap();
        store.release(&record.key, fence).await.unwrap();
        store.close().await;
    }

    fn issuer(&self) -> String {
        self.whole.op.issuer.clone()
    }

    /// Audit lines that say all of this.
    fn audited(&self, words: &[&str]) -> Vec<String> {
        let log = String::from_utf8(self.log.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains("audit") && words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_sent_to_sign_in_and_comes_back() {
    let ops = Ops::new().await;
    let mut person = Person::default();
    for (method, path, headers, status) in [
        ("GET", "/", "", 401),
        ("POST", "/reload", "", 401),
        ("POST", "/retry", BROWSER, 401),
        ("GET", "/", "Sec-Fetch-Mode: cors\r\n", 401),
        ("DELETE", "/", BROWSER, 401),
        ("GET", "/people", BROWSER, 303),
    ] {
        let answer = ops.raw(&format!("{method} {path} HTTP/1.1\r\nHost: {OPS}\r\n{headers}Content-Length: 0\r\n\r\n")).await;
        assert_eq!(answer.status(), status, "{method} {path} {headers}: {answer:?}");
        assert!(!answer.mentions("ada") && !answer.text().contains("Needs attention"), "{answer:?}");
    }
    ops.be("olga", &["operators"]);
    let (passed, answer) = ops.travel(&mut person, ops.url("/people?which=failed&q=a%20b")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(passed.last().unwrap(), &ops.url("/people?which=failed&q=a%20b"), "{passed:?}");
    assert!(passed.iter().any(|url| url.host_str() == Some(AUTH)) && passed.iter().any(|url| url.as_str().starts_with(&ops.issuer())), "{passed:?}");
    assert!(answer.text().contains("value=\"a b\"") && answer.text().contains("<option value=\"failed\" selected>"), "{answer:?}");
    // Who is signed on already is let in without a question.
    let again = ops.travel(&mut Person::default(), ops.url("/")).await.0;
    assert!(again.iter().any(|url| url.as_str().starts_with(&ops.issuer())));
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("strict-transport-security", "max-age=31536000"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.get(name).as_deref(), Some(value), "{name}");
    }
    let policy = answer.get("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("form-action 'self'"), "{policy}");
    assert!(!answer.text().contains("<script"), "no script");
}

#[tokio::test]
async fn the_cookie_of_the_console_is_its_own() {
    let ops = Ops::new().await;
    ops.be("olga", &["operators"]);
    let mut person = Person::default();
    let (passed, _) = ops.travel(&mut person, ops.url("/")).await;
    let callback = passed.iter().find(|url| url.host_str() == Some(OPS) && url.path() == "/.vestibule/callback").unwrap();
    let mut again = Person::default();
    // The code is used up, and was bound to the first browser.
    let stolen = ops.visit(&mut again, callback).await;
    assert!(stolen.all("set-cookie").iter().all(|line| !line.starts_with(&format!("{CONSOLE_COOKIE}="))), "{stolen:?}");
    let cookies = person.cookies(OPS);
    assert!(cookies.contains(&format!("{CONSOLE_COOKIE}=")) && !cookies.contains(&format!("{COOKIE}=")), "{cookies}");
    let mut fresh = Person::default();
    ops.be("olga", &["operators"]);
    let mut url = ops.url("/");
    let line = loop {
        if url.as_str().starts_with(&ops.issuer()) {
            url = format!("https://{AUTH}/.vestibule/callback?{}", ops.whole.op.sign_in(&url)).parse().unwrap();
        }
        let answer = ops.visit(&mut fresh, &url).await;
        if let Some(line) = answer.all("set-cookie").into_iter().find(|line| line.starts_with(&format!("{CONSOLE_COOKIE}="))) {
            break line;
        }
        url = url.join(&answer.get("location").unwrap()).unwrap();
    };
    assert!(line.ends_with("; Path=/; HttpOnly; Secure; SameSite=Strict"), "{line}");
}

#[tokio::test]
async fn a_session_of_an_app_is_nobody_here_and_one_of_the_console_nobody_there() {
    let ops = Ops::new().await;
    ops.be("olga", &["operators"]);
    let at_app = ops.whole.sign_in(APP).await;
    let shown = |value: &str| format!("GET / HTTP/1.1\r\nHost: {OPS}\r\n{BROWSER}Cookie: {CONSOLE_COOKIE}={value}; {COOKIE}={value}\r\n\r\n");
    for value in [at_app.session(APP), at_app.session(AUTH)] {
        let answer = ops.raw(&shown(&value)).await;
        assert_eq!(answer.status(), 303, "a session of an operator at an app opens nothing here: {answer:?}");
    }
    let mut operator = ops.operator().await;
    let cookies = operator.cookies(OPS);
    let value = cookies.split(&format!("{CONSOLE_COOKIE}=")).nth(1).unwrap().split([';', '\r']).next().unwrap();
    assert_eq!(ops.raw(&shown(value)).await.status(), 200, "this one does");
    for host in [APP, AUTH] {
        let request = format!("GET /private HTTP/1.1\r\nHost: {host}\r\nCookie: {COOKIE}={value}; {CONSOLE_COOKIE}={value}\r\n\r\n");
        let answer = ops.whole.ask(host, request).await;
        assert!(matches!(answer.status(), 401 | 404), "{host}: {answer:?}");
    }
    assert!(ops.whole.app.take().is_empty(), "nothing got to the app");
    // Signed out of the app, out of the console: it is one sign-on.
    let page = ops.page(&mut operator, "/sessions").await;
    assert!(page.contains("this console"), "{page}");
    drop(page);
}

#[tokio::test]
async fn people_of_no_group_are_told_so_and_viewers_look_and_change_nothing() {
    let ops = Ops::new().await;
    ops.admin.fail_next("POST /Users", Fault::Status(400));
    let (_, status) = ops.somebody("bo").await;
    assert_eq!(status, 503);
    for groups in [json!(["staff"]), json!([]), Value::Null] {
        ops.is("sam", json!({"email": "sam@example.com", "groups": groups}));
        let mut sam = Person::default();
        let (_, answer) = ops.travel(&mut sam, ops.url("/people")).await;
        assert_eq!(answer.status(), 403, "{answer:?}");
        assert!(!answer.mentions("bo@example.com"), "{answer:?}");
        let answer = ops.post(&sam, "/reload", &format!("Origin: {}\r\n", ops.origin()), "token=x").await;
        assert_eq!(answer.status(), 403);
    }
    assert_eq!(ops.audited(&["admin.refused", "sam@example.com", "groups"]).len(), 6);

    let mut viewer = ops.signed_in("vera", &["helpdesk"]).await;
    for path in ["/", "/people", "/sessions", "/incidents", &format!("/person?issuer={}&subject=bo", ops.issuer())] {
        let page = ops.page(&mut viewer, path).await;
        assert!(!page.contains("method=\"post\"") && page.contains("who may look"), "{path}: {page}");
    }
    assert!(ops.page(&mut viewer, "/people").await.contains("bo@example.com"));
    let before = ops.record("bo").await.unwrap();
    assert!(before.last_error.is_some());
    for path in ["/retry", "/forget", "/approve", "/approve-leavers", "/end", "/end-all", "/reload"] {
        let answer = ops.press(&mut viewer, path, &[("app", "app"), ("subject", "bo"), ("issuer", &ops.issuer()), ("why", "because")]).await;
        assert_eq!(answer.status(), 403, "{path}: {answer:?}");
        assert!(answer.text().contains("You may look, and not act"), "{answer:?}");
    }
    assert_eq!(ops.record("bo").await.unwrap(), before);
    assert_eq!(ops.audited(&["admin.refused", "vera@example.com", "viewer"]).len(), 7);
    assert!(ops.audited(&["admin.command"]).is_empty());
}

#[tokio::test]
async fn what_operators_do_is_done_and_audited_with_who_and_why() {
    let ops = Ops::listening("0.0.0.0:0", "max_accounts = 1\non_exceed = \"approve\"\n").await;
    ops.admin.fail_next("POST /Users", Fault::Status(400));
    assert_eq!(ops.somebody("bo").await.1, 503);
    let mut operator = ops.operator().await;
    let page = ops.page(&mut operator, "/").await;
    assert!(page.contains("account failed") && page.contains("app: bo@example.com"), "{page}");
    let page = ops.page(&mut operator, "/people?which=failed").await;
    assert!(page.contains("bo@example.com") && page.contains("create"), "{page}");
    let failed = ops.record("bo").await.unwrap();
    assert!(failed.last_error.is_some() && failed.failed_at.is_some());

    // Retry: the failure is forgotten, and the next page of the person makes the account.
    let answer = ops.press(&mut operator, "/retry", &ops.form_of("bo", &[])).await;
    assert_eq!(answer.status(), 303, "{answer:?}");
    assert!(ops.visit(&mut operator, &ops.url(&answer.get("location").unwrap())).await.text().contains("tries again"));
    assert_eq!(ops.record("bo").await.unwrap().last_error, None);
    let (bo, status) = ops.somebody("bo").await;
    assert_eq!((status, ops.record("bo").await.unwrap().login.is_some()), (200, true));
    assert_eq!(ops.audited(&["account.retry", "actor=\"olga@example.com\""]).len(), 1);

    // Approve: beyond the limit nothing is made before somebody says yes.
    assert_eq!(ops.somebody("kim").await.1, 403);
    let page = ops.page(&mut operator, "/people?which=waiting").await;
    assert!(page.contains("kim@example.com") && !page.contains("bo@example.com"), "{page}");
    let answer = ops.press(&mut operator, "/approve", &ops.form_of("kim", &[])).await;
    assert!(answer.status() == 400 && answer.text().contains("say why"), "{answer:?}");
    assert!(ops.record("kim").await.unwrap().awaiting.is_some(), "not without a reason");
    // What was seen is approved, and nothing else that waits by now.
    for seen in [[].as_slice(), &[("awaiting", "join")], &[("awaiting", "leave")], &[("awaiting", "x")]] {
        let answer = ops.press(&mut operator, "/approve", &ops.form_of("kim", &[seen, &[("why", "x")]].concat())).await;
        assert!(answer.status() == 409 && answer.text().contains("waits for something else by now"), "{seen:?}: {answer:?}");
    }
    assert!(ops.record("kim").await.unwrap().awaiting.is_some());
    let page = ops.page(&mut operator, &format!("/person?issuer={}&subject=kim", ops.issuer())).await;
    assert!(page.contains("name=\"awaiting\" value=\"account\""), "{page}");
    let answer = ops.press(&mut operator, "/approve", &ops.form_of("kim", &[("awaiting", "account"), ("why", "ticket 4711\r\nnew colleague")])).await;
    assert_eq!(answer.status(), 303, "{answer:?}");
    assert!(ops.record("kim").await.unwrap().seat_approved_at.is_some());
    assert_eq!(ops.audited(&["admin.command", "olga@example.com", "ticket 4711  new colleague", "/approve", "source=\"console\""]).len(), 1);
    assert_eq!(ops.somebody("kim").await.1, 200);

    // Ending a session: the app sees no more of this browser, at once.
    assert_eq!(ops.whole.get(&bo, APP, "/x").await.status(), 200);
    let issuer = ops.issuer();
    let page = ops.page(&mut operator, &format!("/person?issuer={issuer}&subject=bo")).await;
    let sessions: Vec<String> = page.split("name=\"session\" value=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0.to_owned()).collect();
    assert_eq!(sessions.len(), 2, "of the sign-in that failed, and of the one that did not: {page}");
    for session in &sessions {
        let answer = ops.press(&mut operator, "/end", &[("session", session), ("why", "laptop lost")]).await;
        assert_eq!(answer.status(), 303, "{answer:?}");
    }
    let known = ops.somebody("bo").await.0;
    assert_eq!(ops.whole.get(&known, APP, "/x").await.status(), 200, "a new one");
    assert_eq!(ops.whole.get(&bo, APP, "/x").await.status(), 401);
    assert_eq!(ops.audited(&["session.revoked", "laptop lost", "olga@example.com", "bo@example.com"]).len(), 2);

    // All sessions of a person.
    let answer = ops.press(&mut operator, "/end-all", &[("issuer", &issuer), ("subject", "bo"), ("why", "left the company")]).await;
    assert_eq!(answer.status(), 403, "olga's provider does not say when she signed in: not recent enough. {answer:?}");
    assert_eq!(ops.whole.get(&known, APP, "/x").await.status(), 200);
    fresh(&ops, &mut operator).await;
    let answer = ops.press(&mut operator, "/end-all", &[("issuer", &issuer), ("subject", "bo"), ("why", "left the company")]).await;
    assert_eq!(answer.status(), 303, "{answer:?}");
    assert_eq!(ops.whole.get(&known, APP, "/x").await.status(), 401);
    let page = ops.page(&mut operator, &format!("/person?issuer={issuer}&subject=bo")).await;
    assert!(page.contains("Nobody is signed in.") && !page.contains("End all sessions"), "{page}");

    // Forgetting: the record goes, the account stays.
    let answer = ops.press(&mut operator, "/forget", &ops.form_of("bo", &[("why", "wrong person")])).await;
    assert_eq!(answer.status(), 303, "{answer:?}");
    assert_eq!(ops.record("bo").await.map(|listed| listed.account_id), None);
    assert_eq!(ops.audited(&["account.forgotten", "olga@example.com"]).len(), 1);
    let answer = ops.press(&mut operator, "/forget", &ops.form_of("bo", &[("why", "again")])).await;
    assert!(answer.status() == 404 && answer.text().contains("nobody called `bo` has a record"), "{answer:?}");
}

/// Two providers say `bo`: what is done about the one is not done about the other, and words alone do nothing.
#[tokio::test]
async fn a_form_is_about_one_person_whoever_else_is_called_the_same() {
    let ops = Ops::new().await;
    ops.admin.fail_next("POST /Users", Fault::Status(400));
    assert_eq!(ops.somebody("bo").await.1, 503);
    let namesake = SubjectId { issuer: "https://other.example".to_owned(), subject: "bo".to_owned() };
    let key = AccountKey { upstream: "app".to_owned(), subject: namesake };
    ops.write(&AccountRecord { state: AccountState::Conflict, last_error: Some("theirs".to_owned()), ..AccountRecord::empty(key.clone(), "r0") })
        .await;
    let people = ops.whole.running.swap().people();
    let mut operator = ops.operator().await;
    fresh(&ops, &mut operator).await;

    let before = people.list(None, Which::All).await.unwrap();
    assert_eq!(before.len(), 2);
    for fields in [
        vec![("app", "app"), ("subject", "bo"), ("why", "x")],
        vec![("app", "app"), ("issuer", "https://third.example"), ("subject", "bo"), ("why", "x")],
        vec![("app", "app"), ("issuer", "https://other.example"), ("subject", "bo@example.com"), ("why", "x")],
        vec![("app", "crm"), ("issuer", "https://other.example"), ("subject", "bo"), ("why", "x")],
    ] {
        for path in ["/retry", "/approve", "/forget"] {
            let answer = ops.press(&mut operator, path, &fields).await;
            assert!(matches!(answer.status(), 400 | 404), "{path} {fields:?}: {answer:?}");
        }
    }
    assert_eq!(people.list(None, Which::All).await.unwrap(), before);

    // The first page and that of the person send the key; both are told apart by who vouches for them.
    let overview = ops.page(&mut operator, "/").await;
    for issuer in [ops.issuer().as_str(), "https://other.example"] {
        assert!(overview.contains(&format!("name=\"issuer\" value=\"{issuer}\"")), "{overview}");
    }
    let page = ops.page(&mut operator, "/person?issuer=https://other.example&subject=bo").await;
    assert!(page.contains("theirs") && page.contains("vestibule users retry app bo --issuer https://other.example"), "{page}");
    let mine: Vec<(&str, &str)> = vec![("app", "app"), ("issuer", "https://other.example"), ("subject", "bo"), ("why", "another person")];
    let answer = ops.press(&mut operator, "/retry", &mine).await;
    assert_eq!(answer.get("location").as_deref(), Some("/person?issuer=https%3A%2F%2Fother.example&subject=bo&said=retried"), "{answer:?}");
    assert_eq!(ops.press(&mut operator, "/forget", &mine).await.status(), 303);
    let left = people.list(None, Which::All).await.unwrap();
    assert_eq!(left, [before.into_iter().find(|listed| listed.issuer == ops.issuer()).unwrap()]);
}

/// More left at once than the policy allows without a human: one line, one page that says so, one yes for all of them and for nothing else.
#[tokio::test]
async fn one_yes_is_for_all_who_have_left_and_for_nothing_else() {
    let ops = Ops::new().await;
    let key = |issuer: &str, subject: &str| {
        let subject = SubjectId { issuer: issuer.to_owned(), subject: subject.to_owned() };
        AccountKey { upstream: "app".to_owned(), subject }
    };
    let left = json!({ "attributes": {}, "memberships": {}, "left": { "at_ms": ops.whole.clock.now().millis(), "why": "idle", "next_ms": 0 } });
    for (issuer, login) in [("https://one.example", "lea"), ("https://two.example", "lea-2")] {
        let staged = AccountRecord {
            state: AccountState::Suspending,
            awaiting: Some(Awaiting::Leave),
            login: Some(login.to_owned()),
            applied: left.clone(),
            ..AccountRecord::empty(key(issuer, "lea"), "r0")
        };
        ops.write(&staged).await;
    }
    let newcomer = key("https://one.example", "ned");
    let waits =
        AccountRecord { state: AccountState::AwaitingApproval, awaiting: Some(Awaiting::Account), ..AccountRecord::empty(newcomer.clone(), "r0") };
    ops.write(&waits).await;
    let people = ops.whole.running.swap().people();
    let waiting = async || people.list(None, Which::Waiting).await.unwrap().len();
    let mut operator = ops.operator().await;
    assert!(ops.page(&mut operator, "/").await.contains("2 people left at once"));
    let page = ops.page(&mut operator, "/app?name=app").await;
    assert!(page.contains("2 people are waiting to be switched off or removed") && page.contains("Approve all who have left"), "{page}");
    let page = ops.page(&mut operator, "/person?issuer=https://two.example&subject=lea").await;
    assert!(page.contains("has not come for a long time") && page.contains("nothing yet at the app"), "{page}");
    for (fields, expected) in [(vec![("app", "app")], 400), (vec![("why", "x")], 400), (vec![("app", "crm"), ("why", "x")], 303)] {
        assert_eq!(ops.press(&mut operator, "/approve-leavers", &fields).await.status(), expected, "{fields:?}");
        assert_eq!(waiting().await, 3, "{fields:?}");
    }
    let answer = ops.press(&mut operator, "/approve-leavers", &[("app", "app"), ("why", "the branch office was closed")]).await;
    assert_eq!(answer.get("location").as_deref(), Some("/app?name=app&said=approved-leavers"), "{answer:?}");
    assert_eq!(people.list(None, Which::Waiting).await.unwrap().iter().map(Listed::key).collect::<Vec<_>>(), [newcomer]);
    assert_eq!(ops.audited(&["approval.granted", "actor=\"olga@example.com\""]).len(), 2);
    let page = ops.page(&mut operator, "/app?name=app&said=approved-leavers").await;
    assert!(page.contains("Approved for everybody who had left.") && !page.contains("waiting to be switched off"), "{page}");
}

/// What an operator reads of a record that is not simply as wanted; and the lists find it.
#[tokio::test]
async fn what_is_wrong_with_an_account_is_said_where_people_are_listed() {
    let ops = Ops::new().await;
    let issuer = ops.issuer();
    let record = |subject: &str, state: AccountState| {
        let subject = SubjectId { issuer: issuer.clone(), subject: subject.to_owned() };
        AccountRecord {
            state,
            login: Some(subject.subject.clone()),
            ..AccountRecord::empty(AccountKey { upstream: "app".to_owned(), subject }, "r0")
        }
    };
    let drifted = json!({ "attributes": {}, "memberships": {}, "drift": ["group admins: joined"] });
    let gone = json!({ "attributes": {}, "memberships": {}, "left": { "at_ms": 0, "why": "access", "off": "unsupported", "next_ms": 0 } });
    ops.write(&AccountRecord { applied: drifted, ..record("dora", AccountState::Active) }).await;
    ops.write(&AccountRecord { last_error: Some("add group ops: denied".to_owned()), ..record("kim", AccountState::Degraded) }).await;
    ops.write(&AccountRecord { applied: gone, ..record("sue", AccountState::Suspended) }).await;
    let mut operator = ops.operator().await;
    let overview = ops.page(&mut operator, "/").await;
    assert!(overview.contains("account in part") && overview.contains("add group ops: denied") && !overview.contains("subject=sue"), "{overview}");
    for (which, found, others) in [("failed", "kim", ["dora", "sue"]), ("drifted", "dora", ["kim", "sue"]), ("left", "sue", ["dora", "kim"])] {
        let page = ops.page(&mut operator, &format!("/people?which={which}")).await;
        let is_there = |who: &str| page.contains(&format!("subject={who}"));
        assert!(is_there(found) && !others.iter().any(|other| is_there(other)), "{which}: {page}");
    }
    let page = ops.page(&mut operator, &format!("/person?issuer={issuer}&subject=dora")).await;
    assert!(page.contains("Changed at the app") && page.contains("group admins: joined") && page.contains(&format!("{issuer} (corp)")), "{page}");
    let page = ops.page(&mut operator, &format!("/person?issuer={issuer}&subject=sue")).await;
    assert!(page.contains("may not enter any more") && page.contains("this app cannot switch it off"), "{page}");
    // What a page suggests can be typed.
    let page = ops.page(&mut operator, "/app?name=app").await;
    assert!(page.contains("vestibule test policies/app.toml") && page.contains("explain https://app.vestibule.test/ --user "), "{page}");
    let answer = ops.press(&mut operator, "/approve", &ops.form_of("kim", &[("why", "x")])).await;
    assert!(
        answer.status() == 409 && answer.text().contains("nothing is waiting for approval") && answer.text().contains("Back to the person"),
        "{answer:?}"
    );
}

/// What memory knows of a session's last use, the store is told before anybody looks for what has run out.
#[tokio::test]
async fn ending_all_sessions_ends_one_that_was_used_a_second_ago() {
    let ops = Ops::new().await;
    let mut operator = ops.operator().await;
    let (bo, status) = ops.somebody("bo").await;
    assert_eq!(status, 200);
    // The store has last heard of it when it began, by now so long ago that it seems to be over.
    for _ in 0..2 {
        ops.whole.advance_s(29 * 60);
        assert_eq!(ops.whole.get(&bo, APP, "/x").await.status(), 200);
    }
    fresh(&ops, &mut operator).await;
    ops.whole.advance_s(1);
    let issuer = ops.issuer();
    let page = ops.page(&mut operator, &format!("/person?issuer={issuer}&subject=bo")).await;
    assert!(page.contains("End all sessions"), "{page}");
    let answer = ops.press(&mut operator, "/end-all", &[("issuer", &issuer), ("subject", "bo"), ("why", "left the company")]).await;
    assert_eq!(answer.status(), 303, "{answer:?}");
    assert_eq!(ops.whole.get(&bo, APP, "/x").await.status(), 401);
    assert_eq!(ops.audited(&["session.revoked", "left the company", "source=\"console\""]).len(), 1);
}

/// Signs in once more, as the page that asks for it says.
async fn fresh(ops: &Ops, operator: &mut Person) {
    ops.be("olga", &["staff", "operators"]);
    let (passed, answer) = ops.travel(operator, ops.url("/.vestibule/login?to=%2Fpeople&fresh=1")).await;
    assert_eq!((answer.status(), passed.last().unwrap().path()), (200, "/people"), "{passed:?}");
    let asked = passed.iter().find(|url| url.as_str().starts_with(&ops.issuer())).expect("the provider is asked");
    assert!(asked.query().unwrap().contains("max_age=0") && asked.query().unwrap().contains("prompt=login"), "{asked}");
}

#[derive(Debug, Default)]
struct Asked(Mutex<Vec<String>>);

#[async_trait]
impl Reloads for Asked {
    async fn reload(&self, operator: &str) -> Reloaded {
        self.0.lock().unwrap().push(format!("socket {operator}"));
        Reloaded::default()
    }

    async fn reload_from_console(&self, operator: &str) -> Reloaded {
        self.0.lock().unwrap().push(format!("console {operator}"));
        Reloaded { problems: "error[x]: <b>broken</b>\n".to_owned(), restart: vec!["admin".to_owned()], ..Reloaded::default() }
    }
}

#[tokio::test]
async fn nothing_acts_that_a_page_of_the_console_has_not_sent() {
    let ops = Ops::new().await;
    let asked = Arc::new(Asked::default());
    let mut operator = ops.operator().await;
    let answer = ops.press(&mut operator, "/reload", &[]).await;
    assert!(answer.status() == 409 && answer.text().contains("started without files"), "{answer:?}");
    ops.whole.running.console().unwrap().reload_by(Arc::clone(&asked) as Arc<dyn Reloads>);
    let form = ops.form(&mut operator, &[("why", "x")]).await;
    let mut other = ops.signed_in("oscar", &["operators"]).await;
    let form_of_another = ops.form(&mut other, &[]).await;
    let own = format!("Origin: {}\r\n", ops.origin());
    let check = async |headers: &str, body: &str| {
        let answer = ops.post(&operator, "/reload", headers, body).await;
        assert_eq!(answer.status(), 403, "{headers} {body}: {answer:?}");
        assert!(answer.text().contains("Nothing was done"), "{answer:?}");
    };
    check("", &form).await;
    check("Origin: null\r\n", &form).await;
    check("Origin: https://evil.example\r\n", &form).await;
    check(&format!("Origin: https://{OPS}\r\n"), &form).await;
    check(&format!("Origin: https://{APP}\r\n"), &form).await;
    check(&own.replace("https", "http"), &form).await;
    check(&format!("{own}Origin: https://evil.example\r\n"), &form).await;
    check(&format!("{own}Sec-Fetch-Site: same-site\r\n"), &form).await;
    check(&format!("{own}Sec-Fetch-Site: cross-site\r\n"), &form).await;
    check(&own, "").await;
    check(&own, "token=").await;
    check(&own, "token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    check(&own, &form_of_another).await;
    check(&own, &format!("{form}&token=x")).await;
    assert_eq!(asked.0.lock().unwrap().len(), 0);
    assert_eq!(ops.audited(&["admin.refused", "csrf", "olga@example.com"]).len(), 14);
    for path in ["/reload", "/retry", "/end-all"] {
        assert_eq!(ops.visit(&mut operator, &ops.url(path)).await.status(), 404, "a link does nothing: {path}");
    }
    assert_eq!(ops.post(&operator, "/", &own, &form).await.status(), 404);
    let put = format!("PUT /reload HTTP/1.1\r\nHost: {OPS}\r\n{BROWSER}{}Content-Length: 0\r\n\r\n", operator.cookies(OPS));
    assert_eq!(ops.raw(&put).await.status(), 405);
    let large = ops.post(&operator, "/reload", &own, &format!("{form}&x={}", "x".repeat(20_000))).await;
    assert_eq!(large.status(), 400);
    assert_eq!(asked.0.lock().unwrap().len(), 0);

    let answer = ops.post(&operator, "/reload", &own, &form).await;
    assert!(answer.status() == 200 && answer.text().contains("Only a restart changes admin."), "{answer:?}");
    assert!(answer.text().contains("&#60;b&#62;broken&#60;/b&#62;"), "{answer:?}");
    assert_eq!(*asked.0.lock().unwrap(), ["console olga@example.com"]);
}

#[tokio::test]
async fn the_console_answers_by_its_own_name_only() {
    let ops = Ops::new().await;
    let operator = ops.operator().await;
    let cookies = operator.cookies(OPS);
    let port = ops.whole.running.admin.unwrap().port();
    let check = async |hosts: &str, expected: u16| {
        let answer = ops.raw(&format!("GET / HTTP/1.1\r\n{hosts}{BROWSER}{cookies}\r\n")).await;
        assert_eq!(answer.status(), expected, "{hosts}: {answer:?}");
        assert_eq!(answer.text().contains("Needs attention"), expected == 200, "{hosts}");
    };
    check("Host: evil.example\r\n", 421).await;
    check(&format!("Host: {AUTH}\r\n"), 421).await;
    check(&format!("Host: 127.0.0.1:{port}\r\n"), 421).await;
    check("Host: localhost\r\n", 421).await;
    check(&format!("Host: x{OPS}\r\n"), 421).await;
    check(&format!("Host: {OPS}@evil.example\r\n"), 421).await;
    check(&format!("Host: {OPS}:1@evil.example\r\n"), 421).await;
    check(&format!("Host: {OPS}\r\nHost: evil.example\r\n"), 421).await;
    check("", 421).await;
    check(&format!("Host: {OPS}\r\n"), 200).await;
    check(&format!("Host: OPS.vestibule.test:{port}\r\n"), 200).await;
    // A connection that was opened for another name.
    let mut wire = ops.wire(APP).await;
    wire.send(format!("GET / HTTP/1.1\r\nHost: {OPS}\r\n{BROWSER}{cookies}\r\n")).await;
    assert_eq!(wire.answer(false).await.status(), 421);
    let answer = ops.raw(&format!("GET https://evil.example/ HTTP/1.1\r\nHost: {OPS}\r\n{BROWSER}{cookies}\r\n")).await;
    assert_eq!(answer.status(), 421);
    // Probes answer by any name, and nothing of the console is on the public listener.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(ops.raw(&format!("GET {path} HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n")).await.status(), 200, "{path}");
    }
    assert_eq!(ops.whole.ask(OPS, format!("GET / HTTP/1.1\r\nHost: {OPS}\r\n{BROWSER}{cookies}\r\n")).await.status(), 404);
}

#[tokio::test]
async fn what_people_and_providers_say_is_text() {
    let ops = Ops::new().await;
    let evil = "<img src=x onerror=alert(1)>\"'&";
    ops.is("<b>s</b>", json!({"name": evil, "email": "e@example.com", "preferred_username": evil, "groups": [evil], "office": evil}));
    let mut evil_person = ops.whole.sign_in(APP).await;
    ops.whole.street().visit(&mut evil_person, &format!("https://{APP}/admins/%3Cscript%3E").parse().unwrap()).await;
    ops.whole.street().visit(&mut evil_person, &format!("https://{APP}/").parse().unwrap()).await;
    ops.whole.op.set(|script| script.claims = Arc::new(|claims| claims["aud"] = json!("<script>alert(2)</script>")));
    let mut url: Url = format!("https://{APP}/").parse().unwrap();
    let mut nobody = Person::default();
    let refused = loop {
        if url.as_str().starts_with(&ops.issuer()) {
            url = format!("https://{AUTH}/.vestibule/callback?{}", ops.whole.op.sign_in(&url)).parse().unwrap();
        }
        let answer = ops.whole.street().visit(&mut nobody, &url).await;
        let Some(location) = answer.get("location") else { break answer };
        url = url.join(&location).unwrap();
    };
    let code = refused.get("x-vestibule-incident").unwrap();
    ops.whole.op.set(|script| script.claims = Arc::new(|_| {}));
    let mut operator = ops.operator().await;
    let subject = "%3Cb%3Es%3C%2Fb%3E";
    let mut seen = HashMap::new();
    for path in [
        "/".to_owned(),
        "/people".to_owned(),
        "/people?q=%3Cscript%3E&app=%3Cscript%3E&which=%3Cscript%3E".to_owned(),
        format!("/person?issuer={}&subject={subject}", ops.issuer()),
        "/sessions".to_owned(),
        "/search?q=%3Cscript%3E".to_owned(),
        "/?said=%3Cscript%3E".to_owned(),
        "/app?name=app".to_owned(),
    ] {
        let page = ops.page(&mut operator, &path).await;
        assert!(!page.contains("<img") && !page.contains("<b>s") && !page.contains("<script"), "{path}: {page}");
        seen.insert(path, page);
    }
    let person = &seen[&format!("/person?issuer={}&subject={subject}", ops.issuer())];
    assert!(person.contains("&#60;img src=x onerror=alert(1)&#62;") && person.contains("&#60;b&#62;s&#60;/b&#62;"), "{person}");
    // What was kept is written down within a moment.
    let page = crate::whole::within("the incident", async {
        loop {
            let answer = ops.visit(&mut operator, &ops.url(&format!("/incident?code={code}"))).await;
            if answer.status() == 200 {
                return answer.text();
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(page.contains("&#60;script&#62;alert(2)") && !page.contains("<script"), "{page}");
    let found = ops.visit(&mut operator, &ops.url(&format!("/search?q={}", code.to_lowercase()))).await;
    assert_eq!(found.get("location").as_deref(), Some(format!("/incident?code={code}").as_str()));
    assert_eq!(ops.visit(&mut operator, &ops.url("/search?q=olga@example.com")).await.status(), 303);
    assert_eq!(ops.visit(&mut operator, &ops.url("/search?q=app")).await.get("location").as_deref(), Some("/app?name=app"));
    for path in
        ["/incident?code=0000-0000", "/app?name=none", "/person?issuer=x&subject=y", "/person", "/nothing", "/.vestibule/wait", "/.vestibule/jwks"]
    {
        assert_eq!(ops.visit(&mut operator, &ops.url(path)).await.status(), 404, "{path}");
    }
    assert_eq!(ops.visit(&mut operator, &ops.url("/a/../people")).await.status(), 200, "the browser's own parser");
    assert_eq!(ops.raw(&format!("GET /a/../people HTTP/1.1\r\nHost: {OPS}\r\n{BROWSER}{}\r\n", operator.cookies(OPS))).await.status(), 400);
}

#[tokio::test]
async fn a_console_that_was_left_alone_asks_who_is_there() {
    let ops = Ops::new().await;
    let mut operator = ops.operator().await;
    for _ in 0..3 {
        ops.whole.advance_s(14 * 60);
        assert_eq!(ops.visit(&mut operator, &ops.url("/")).await.status(), 200, "whoever works stays");
    }
    ops.whole.advance_s(15 * 60);
    assert_eq!(ops.visit(&mut operator, &ops.url("/")).await.status(), 303);
    ops.be("olga", &["operators"]);
    let (passed, answer) = ops.travel(&mut operator, ops.url("/people")).await;
    assert_eq!(answer.status(), 200);
    let asked = passed.iter().find(|url| url.as_str().starts_with(&ops.issuer())).expect("the provider is asked");
    assert!(asked.query().unwrap().contains("max_age=0"), "{asked}");
    // Taken out of the group, they are out at their next sign-in; signed out, at once.
    ops.be("olga", &["staff"]);
    ops.whole.advance_s(2);
    let (_, answer) = ops.travel(&mut operator, ops.url("/.vestibule/login?to=%2F&fresh=1")).await;
    assert_eq!(answer.status(), 403, "{answer:?}");
    let mut operator = ops.operator().await;
    let page = ops.visit(&mut operator, &ops.url("/.vestibule/logout")).await.text();
    let token = page.split_once("name=\"token\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    let answer = ops.post(&operator, "/.vestibule/logout", "Sec-Fetch-Site: same-origin\r\n", &format!("token={token}")).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(ops.visit(&mut operator, &ops.url("/")).await.status(), 303);
}

#[tokio::test]
async fn on_loopback_it_is_plain_and_the_cookie_says_so() {
    let ops = Ops::listening("127.0.0.1:0", "").await;
    let mut operator = ops.operator().await;
    let cookies = operator.cookies(OPS);
    assert!(cookies.contains("vestibule-admin=") && !cookies.contains("__Host-"), "{cookies}");
    let answer = ops.visit(&mut operator, &ops.url("/people")).await;
    assert_eq!((answer.status(), answer.get("strict-transport-security")), (200, None));
    ops.whole.running.console().unwrap().reload_by(Arc::new(Asked::default()));
    assert_eq!(ops.press(&mut operator, "/reload", &[]).await.status(), 200, "the origin is http there");
    assert_eq!(ops.raw("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.status(), 421);
}

#[tokio::test]
async fn without_a_host_there_is_no_console_and_other_addresses_speak_tls_only() {
    let whole = Whole::with(
        |at| vec![("app", policy_with(APP, at, "", ""))],
        |gateway| gateway.admin.as_mut().unwrap().listen = "0.0.0.0:0".parse().unwrap(),
    )
    .await;
    assert!(whole.running.console().is_none());
    let at = SocketAddr::from(([127, 0, 0, 1], whole.running.admin.unwrap().port()));
    let ask = async |path: &str, host: &str| {
        let tls = Tls { alpn: &[b"h2", b"http/1.1"], ..Tls::for_name(OPS) };
        let tcp = TcpStream::connect(at).await.unwrap();
        let mut wire = Wire::new(TlsConnector::from(Arc::new(tls.config())).connect(tls.name.clone(), tcp).await.unwrap());
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{BROWSER}\r\n")).await;
        wire.answer(false).await
    };
    assert_eq!(ask("/metrics", "any.example").await.status(), 200);
    for path in ["/", "/people", "/.vestibule/login", "/.vestibule/callback?code=x", "/reload"] {
        assert_eq!(ask(path, OPS).await.status(), 404, "{path}");
    }
    let mut plain = Wire::new(TcpStream::connect(at).await.unwrap());
    plain.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(plain.head().await.is_none(), "nothing is said in plain text");
}

#[tokio::test]
async fn metrics_know_sessions_providers_and_certificates() {
    let ops = Ops::new().await;
    let metrics = async || ops.raw("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.text();
    let text = metrics().await;
    assert!(!text.contains("vestibule_sessions{") && !text.contains("vestibule_idp_up{"), "{text}");
    drop(ops.whole.sign_in(APP).await);
    drop(ops.operator().await);
    ops.whole.running.swap().ask_providers().await;
    ops.whole.advance_s(7);
    let text = metrics().await;
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    has("vestibule_sessions{idp=\"corp\"} 2");
    has("vestibule_idp_up{idp=\"corp\"} 1");
    has("vestibule_idp_metadata_age_seconds{idp=\"corp\"} 7");
    let expiry = text.lines().find(|line| line.starts_with("vestibule_certificate_expiry_timestamp_seconds{subject=\"tls:")).unwrap();
    assert!(expiry.rsplit(' ').next().unwrap().parse::<i64>().unwrap() > 1_700_000_000, "{expiry}");
    ops.whole.op.set(|script| script.discovery_answer = Some(crate::fake_op::Answer::text(500, "down")));
    ops.whole.running.swap().ask_providers().await;
    assert!(metrics().await.lines().any(|line| line == "vestibule_idp_up{idp=\"corp\"} 0"));
}
