//! Who gets in, where they land, and which doors of an app are shut: the rows of jit-behaviours.md about sign-in and access, in the whole gateway.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::fake_admin::{FakeAdmin, Flavour};
use crate::house::{self, Browser, House};
use crate::whole::{ADMIN_TOKEN, APP, AUTH, Answer, Person, WIKI, Whole, get, policy_with};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use url::Url;
use vestibule::connector::builtin::builtin;
use vestibule::identity::Groups;
use vestibule::pages::RequestKind;
use vestibule::policy::{RequestPattern, Surroundings, compile};
use vestibule::source::{Problem, SourceFile};
use vestibule::state::SecretHash;

const PAGE: &str = "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n";
const API: &str = "Sec-Fetch-Mode: cors\r\nAccept: application/json\r\n";

/// A way through the gateway: what was passed, and what was there at its end.
struct Trip {
    passed: Vec<Url>,
    answer: Answer,
}

impl Trip {
    /// The page it ended at.
    fn end(&self) -> &str {
        self.passed.last().unwrap().path()
    }

    /// The addresses of the provider that were passed.
    fn provider(&self, whole: &Whole) -> Vec<&Url> {
        self.passed.iter().filter(|url| url.as_str().starts_with(&whole.op.issuer)).collect()
    }
}

/// A navigation to its end, by way of the provider where there is one.
async fn go(whole: &Whole, person: &mut Person, url: &str) -> Trip {
    let mut passed = vec![url.parse::<Url>().unwrap()];
    for _ in 0..15 {
        let url = passed.last().unwrap().clone();
        let url = if url.as_str().starts_with(&whole.op.issuer) {
            format!("https://{AUTH}/.vestibule/callback?{}", whole.op.sign_in(&url)).parse().unwrap()
        } else {
            url
        };
        let answer = whole.street().visit(person, &url).await;
        if answer.status() != 303 {
            return Trip { passed, answer };
        }
        passed.push(url.join(&answer.get("location").unwrap()).unwrap());
    }
    panic!("round and round: {passed:?}");
}

/// A request on a connection of its own.
async fn ask(whole: &Whole, person: &Person, method: &str, path: &str, headers: &str) -> Answer {
    let request = get(person, APP, path, headers).replacen("GET", method, 1);
    whole.ask(APP, if method == "GET" { request } else { request.replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n") }).await
}

/// One app for those who fit `access`, with sections of the test's own.
async fn app(access: &str, sections: &str) -> Whole {
    let text = move |at: SocketAddr| policy_with(APP, at, "", sections).replace("everyone = true", access);
    Whole::with(|at| vec![("app", text(at))], |_| {}).await
}

/// As [`app`], with accounts made over SCIM.
async fn app_with_accounts(access: &str, sections: &str) -> (Whole, FakeAdmin) {
    let admin = FakeAdmin::start(Flavour::Scim).await;
    admin.require(&format!("Bearer {ADMIN_TOKEN}"));
    let url = &admin.url;
    let provision = format!("[provision]\nconnector = \"scim\"\nurl = \"{url}\"\ntoken = {{ secret = \"env:ADMIN_TOKEN\" }}\nretries = 0\n");
    (app(access, &format!("{sections}\n{provision}")).await, admin)
}

/// Who signs in from now on.
fn be(whole: &Whole, subject: &str, person: Value) {
    whole.op.set(|script| {
        script.subject = json!(subject);
        script.person = person;
    });
}

fn member_of(groups: &[&str]) -> Value {
    json!({"name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true, "groups": groups})
}

fn compiled(text: &str) -> Vec<Problem> {
    compile(&SourceFile::new("policies/app.toml", text), Surroundings { idps: None, connectors: builtin() }).1
}

// --- rows 2, 9, 19: the preconditions of making accounts -----------------------------------------

#[test]
fn row_02_accounts_without_anybody_who_signs_in_are_a_mistake_with_a_way_out() {
    let text = |paths: &str, connector: &str| {
        format!(
            "host = \"a.example.com\"\nupstream = \"http://127.0.0.1:1\"\n[access]\neveryone = true\n[[path]]\nmatch = [{paths}]\npublic = true\n[provision]\nconnector = \"{connector}\"\n{}",
            if connector == "none" { "" } else { "url = \"http://127.0.0.1:1\"\ntoken = \"cred:t\"\n" }
        )
    };
    for paths in ["\"/*\"", "\"*\"", "\"/x\", \"/**\""] {
        let problems = compiled(&text(paths, "scim"));
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        let shown = problem.render();
        assert!(
            shown.starts_with("error[provision-without-sign-in]: [provision] makes accounts for people who sign in, and here nobody does"),
            "{shown}"
        );
        assert!(
            shown.contains("policies/app.toml:8:2")
                && shown.contains("8 | [provision]")
                && shown.contains("= help: make the public section narrower"),
            "{shown}"
        );
    }
    for (paths, connector) in [("\"/public/*\"", "scim"), ("\"/\"", "scim"), ("\"*.css\"", "scim"), ("\"/*\"", "none")] {
        assert!(compiled(&text(paths, connector)).is_empty(), "{paths} {connector}");
    }
}

/// A folder with a gateway file and policies; what loading it comes to.
fn loaded(provisioning: &str) -> vestibule::load::Loaded {
    let folder = tempfile::tempdir().unwrap();
    let gateway = "[server]\nlisten = \"127.0.0.1:0\"\nauth_host = \"auth.example.com\"\n[tls]\ncert = \"c.pem\"\nkey = \"file:c.key\"\n\
                   [state]\nurl = \"sqlite:v.db\"\nkey = \"cred:k\"\n[[idp]]\nid = \"corp\"\nissuer = \"https://idp.example.com\"\nclient_id = \"v\"\n";
    let config = folder.path().join("vestibule.toml");
    fs::write(&config, format!("{gateway}{provisioning}")).unwrap();
    let policies = folder.path().join("policies");
    fs::create_dir(&policies).unwrap();
    for (name, provision) in [("grafana", true), ("redmine", true), ("wiki", false), ("none", false)] {
        let section = match (provision, name) {
            (true, _) => "[provision]\nconnector = \"scim\"\nurl = \"http://127.0.0.1:1\"\ntoken = \"cred:t\"\n",
            (false, "none") => "[provision]\nconnector = \"none\"\n",
            (false, _) => "",
        };
        let text = format!("host = \"{name}.example.com\"\nupstream = \"http://127.0.0.1:1\"\n[access]\neveryone = true\n{section}");
        fs::write(policies.join(format!("{name}.toml")), text).unwrap();
    }
    vestibule::load::load(&config).unwrap_or_else(|report| panic!("{}", report.render()))
}

fn names(loaded: &vestibule::load::Loaded) -> Vec<&str> {
    loaded.policies.iter().map(|policy| policy.name.as_str()).collect()
}

#[test]
fn row_09_accounts_are_made_only_where_they_are_made_available() {
    let all = loaded("");
    assert_eq!((names(&all), all.report.problems.len()), (vec!["grafana", "none", "redmine", "wiki"], 0));
    let some = loaded("[provisioning]\nallow = [\"redmine\", \"grafna\"]\n");
    assert_eq!(names(&some), ["none", "redmine", "wiki"], "{}", some.report.render());
    assert_eq!(some.unavailable, ["grafana.example.com"]);
    let shown = some.report.render();
    assert!(shown.contains("error[provisioning-not-available]: [provision] is not available to `grafana`: provisioning.allow in "), "{shown}");
    assert!(shown.contains("grafana.toml:5:2") && shown.contains("help: add \"grafana\" to provisioning.allow in "), "{shown}");
    assert!(shown.contains("warning[unknown-policy]: there is no policy `grafna`") && shown.contains("did you mean \"grafana\"?"), "{shown}");
    let nobody = loaded("[provisioning]\nallow = []\n");
    assert_eq!(names(&nobody), ["none", "wiki"], "{}", nobody.report.render());
}

#[test]
fn row_19_a_policy_that_is_locked_on_makes_accounts_or_is_not_loaded() {
    let fine = loaded("[provisioning]\nlocked = [\"redmine\"]\n");
    assert_eq!((names(&fine), fine.report.problems.len()), (vec!["grafana", "none", "redmine", "wiki"], 0));
    let off = loaded("[provisioning]\nlocked = [\"wiki\", \"none\", \"gone\"]\n");
    assert_eq!(names(&off), ["grafana", "redmine"], "{}", off.report.render());
    assert_eq!(off.unavailable, ["none.example.com", "wiki.example.com"]);
    let codes: Vec<&str> = off.report.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["unknown-policy", "provisioning-locked", "provisioning-locked"], "{}", off.report.render());
    assert!(off.report.render().contains("take \"wiki\" out of provisioning.locked in "), "{}", off.report.render());
}

// --- row 3: domains ------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_03_only_verified_addresses_of_the_domain_and_of_those_below_it_by_choice() {
    let whole =
        app("domains = [\"example.com\", \"*.partner.example\"]", "[[path]]\nmatch = [\"/berlin\"]\ndomains = [\"*.de.partner.example\"]\n").await;
    for (n, (email, verified, front, berlin)) in [
        ("ada@sub.example.com", true, 403, 403),
        ("ada@partner.example", true, 403, 403),
        ("ada@evilpartner.example", true, 403, 403),
        ("ada@example.com.evil.example", true, 403, 403),
        ("ada@sub.partner.example", false, 403, 403),
        ("ada@example.com", false, 403, 403),
        ("ada@example.com", true, 200, 403),
        ("ada@sub.partner.example", true, 200, 403),
        ("ada@de.partner.example", true, 200, 403),
        ("ada@a.b.DE.partner.example", true, 200, 200),
    ]
    .into_iter()
    .enumerate()
    {
        be(&whole, &format!("s{n}"), json!({"email": email, "email_verified": verified}));
        let person = whole.sign_in(APP).await;
        assert_eq!(ask(&whole, &person, "GET", "/", PAGE).await.status(), front, "{email} {verified}");
        assert_eq!(ask(&whole, &person, "GET", "/berlin", API).await.status(), berlin, "{email} {verified}");
    }
}

// --- row 16: no second group store ----------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_16_groups_are_kept_with_the_sign_in_alone_sealed_and_go_with_it() {
    use sqlx::{Connection as _, Row as _, SqliteConnection};
    const SECRET: &str = "g-very-secret-team";
    let (whole, admin) = app_with_accounts("groups = [\"g-*\"]", "[roles]\nmap = { g-very-secret-team = \"editors\" }\n").await;
    admin.add_group("7", "editors");
    be(&whole, "ada", member_of(&[SECRET]));
    let mut person = Person::default();
    assert_eq!(go(&whole, &mut person, &format!("https://{APP}/")).await.answer.status(), 200);
    assert_eq!(admin.users().len(), 1);
    // Nowhere in the file, nor in what the store has not yet written into it.
    let needle = SECRET.as_bytes();
    let mut bytes = 0;
    for entry in fs::read_dir(whole.folder.path()).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap();
        bytes += content.len();
        assert!(!content.windows(needle.len()).any(|at| at == needle));
    }
    assert!(bytes > 4096, "the store was looked at");
    // Opened with the key: in the sign-on, and in no record of an account.
    let entropy: Arc<dyn vestibule::entropy::Entropy> = Arc::new(vestibule::entropy::OsEntropy::default());
    let sealer = vestibule::state::seal::Sealer::new(&"a key for tests that is long enough to be one".into(), entropy).unwrap();
    let path = whole.folder.path().join("v.db");
    let store = vestibule::state::sqlite::Store::open(&format!("sqlite:{}", path.display()), sealer).await.unwrap();
    let (_, sign_on) = vestibule::state::SessionStore::app_session(&store, SecretHash::of(person.session(APP).as_bytes())).await.unwrap().unwrap();
    assert_eq!(sign_on.identity.groups, Groups::Known(vec![SECRET.to_owned()]));
    let key = vestibule::state::AccountKey { upstream: "app".into(), subject: sign_on.identity.subject.clone() };
    let record = vestibule::state::AccountStore::account(&store, &key).await.unwrap().unwrap();
    assert!(!format!("{record:?}").contains(SECRET), "{record:?}");
    // With the end of the sign-in they are gone.
    crate::request::sign_out(&whole, &person).await;
    let mut raw = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let rows = sqlx::query("select sealed from sign_on").fetch_all(&mut raw).await.unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row.get::<Vec<u8>, _>("sealed").is_empty()));
}

// --- row 18: portal and launcher ------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_18_anybody_may_begin_at_the_portal_and_it_never_reaches_the_app() {
    let whole = app("groups = [\"staff\"]", "[login]\nportal = \"/app/login\"\nlanding = \"/home\"\n").await;
    let portal = format!("https://{APP}/app/login");
    let mut ada = Person::default();
    let trip = go(&whole, &mut ada, &portal).await;
    assert_eq!((trip.answer.status(), trip.end(), trip.provider(&whole).len()), (200, "/home", 1), "{:?}", trip.passed);
    // Signed in: straight on, and to the same place.
    let trip = go(&whole, &mut ada, &format!("{portal}?x=1")).await;
    assert_eq!((trip.end(), trip.provider(&whole).len(), trip.passed.len()), ("/home", 0, 3), "{:?}", trip.passed);
    let asked: Vec<String> = whole.app.take().iter().map(Answer::line).collect();
    assert_eq!(asked, ["GET /home HTTP/1.1", "GET /home HTTP/1.1"]);
    // Only a navigation begins a sign-in, only by reading, and only there.
    let nobody = Person::default();
    assert_eq!(ask(&whole, &nobody, "GET", "/app/login", API).await.status(), 401);
    assert_eq!(ask(&whole, &ada, "POST", "/app/login", PAGE).await.status(), 404);
    for path in ["/app/login/", "/APP/login", "/app/login;x"] {
        assert_eq!(ask(&whole, &ada, "GET", path, API).await.text(), "ok", "{path} is the app's");
    }
    // Whoever may not enter gets the page that says so, not a round trip.
    be(&whole, "mallory", member_of(&["strangers"]));
    let trip = go(&whole, &mut Person::default(), &portal).await;
    assert_eq!((trip.answer.status(), trip.provider(&whole).len()), (403, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_18_the_launcher_shows_what_is_open_to_this_person_and_links_lead_there_by_name() {
    let closed = |at| policy_with("closed.vestibule.test", at, "title = \"Payroll\"", "").replace("everyone = true", "groups = [\"payroll\"]");
    let portal = "[login]\nportal = \"/wiki/login\"\nmax_age = \"1h\"\n";
    let whole = Whole::with(
        |at| {
            vec![
                ("app", policy_with(APP, at, "title = \"Zettel <b>\"", "")),
                ("wiki", policy_with(WIKI, at, "title = \"Wiki\"", portal)),
                ("closed", closed(at)),
            ]
        },
        |_| {},
    )
    .await;
    let front = format!("https://{AUTH}/");
    let mut ada = Person::default();
    // Not signed in: through the one provider, and back to the apps.
    let trip = go(&whole, &mut ada, &front).await;
    assert_eq!((trip.answer.status(), trip.end(), trip.provider(&whole).len()), (200, "/", 1), "{:?}", trip.passed);
    let page = trip.answer.text();
    assert!(
        page.contains("Your apps")
            && page.contains("ada@example.com")
            && !page.contains("<b>")
            && !page.contains("Payroll")
            && !page.contains("<script"),
        "{page}"
    );
    let (wiki, zettel) =
        (page.find(&format!("href=\"https://{WIKI}/wiki/login\"")).unwrap(), page.find(&format!("href=\"https://{APP}/\"")).unwrap());
    assert!(wiki < zettel, "by title");
    // Too old for the wiki by now: signing in anew is its affair, so it stays.
    whole.advance_s(1700);
    go(&whole, &mut ada, &front).await;
    whole.advance_s(1700);
    go(&whole, &mut ada, &front).await;
    whole.advance_s(400);
    assert!(go(&whole, &mut ada, &front).await.answer.mentions("/wiki/login"));
    // As programs read it; nobody is sent anywhere by it.
    let api = whole.ask(AUTH, get(&ada, AUTH, "/", API)).await;
    let titles: Vec<Value> = api.json()["apps"].as_array().unwrap().iter().map(|app| app["name"].clone()).collect();
    assert_eq!(titles, ["wiki", "app"]);
    assert_eq!(whole.ask(AUTH, get(&Person::default(), AUTH, "/", API)).await.status(), 401);
    // Somebody else is shown other apps.
    be(&whole, "pay", member_of(&["payroll"]));
    assert!(go(&whole, &mut Person::default(), &front).await.answer.mentions("Payroll"));
    // By name, from anywhere.
    let link = |app: &str| format!("https://{AUTH}/.vestibule/login?app={app}");
    let trip = go(&whole, &mut Person::default(), &link("wiki")).await;
    assert_eq!((trip.answer.text().as_str(), trip.passed.last().unwrap().host_str()), ("ok", Some(WIKI)));
    for unknown in ["nowhere", "", "//evil.example", "closed&app=wiki"] {
        let trip = go(&whole, &mut ada, &link(unknown)).await;
        assert_eq!((trip.answer.status(), trip.passed.len()), (404, 1), "{unknown}");
    }
    // Nothing is open to a person whom every app refuses: a page, with a way out, and no round trip.
    let alone = Whole::with(|at| vec![("closed", closed(at))], |_| {}).await;
    let trip = go(&alone, &mut Person::default(), &front).await;
    assert!(trip.answer.mentions("No app is open to your account yet") && trip.provider(&alone).len() == 1, "{:?}", trip.answer);
}

#[tokio::test]
async fn row_18_at_the_auth_host_several_providers_are_a_choice_and_only_a_navigation_begins() {
    let house = House::with(house::Options { providers: vec!["corp", "partners"], ..house::Options::default() }).await;
    let front = house.url(house::AUTH, "/");
    let mut browser = Browser::default();
    let seen = browser.get(&house, &front).await;
    assert_eq!((seen.status, seen.location.as_deref()), (303, Some("/.vestibule/login")));
    let login = house.url(house::AUTH, "/.vestibule/login");
    let picker = browser.get(&house, &login).await;
    assert!(picker.status == 200 && picker.body.contains("corp account") && picker.body.contains("partners account"), "{}", picker.body);
    for query in ["?idp=evil", "?idp=", "?idp=corp&idp=partners"] {
        assert_eq!(browser.get(&house, &house.url(house::AUTH, &format!("/.vestibule/login{query}"))).await.status, 400, "{query}");
    }
    for kind in [RequestKind::Api, RequestKind::Form, RequestKind::Socket] {
        assert_eq!(browser.ask(&house, http::Method::GET, &login, kind, &[], "").await.status, 401, "{kind:?}");
    }
    let seen = browser.get(&house, &house.url(house::AUTH, "/.vestibule/login?idp=partners")).await;
    let back = house.op.sign_in(&seen.to());
    // Another browser's state is worth nothing here either.
    assert_eq!(Browser::default().callback(&house, &back).await.status, 400);
    let seen = browser.callback(&house, &back).await;
    assert_eq!((seen.status, seen.location.as_deref()), (303, Some("/")));
    assert!(browser.get(&house, &front).await.body.contains("https://redmine.example.com/"));
    // Reloaded: home again, and the code is not used a second time.
    assert_eq!(browser.callback(&house, &back).await.location.as_deref(), Some("/"));
    assert_eq!(house.token_requests(), 1);
    // Signed in already: straight home; as somebody else: to the provider, who is to ask.
    assert_eq!(browser.get(&house, &login).await.location.as_deref(), Some("/"));
    let seen = browser.get(&house, &house.url(house::AUTH, "/.vestibule/login?other=1&idp=corp")).await;
    assert!(seen.to().query().unwrap().contains("prompt=login"), "{:?}", seen.location);
}

// --- row 26: the app's own sign-in -----------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_26_the_apps_own_sign_in_is_never_forwarded_but_for_those_who_break_the_glass() {
    let login = "[login]\nblock_paths = [\"/login\", \"/user/forgot_password\", \"/public/signup\"]\nbreak_glass = [\"sso-operators\"]\n";
    let whole = app("groups = [\"staff\", \"sso-operators\"]", login).await;
    let (nobody, ada) = (Person::default(), whole.sign_in(APP).await);
    for person in [&nobody, &ada] {
        for path in ["/login", "/Login", "/login/", "/login;a=b", "/%6cogin", "/login?next=/", "/user/forgot_password", "/public/signup"] {
            for method in ["GET", "POST", "PUT"] {
                let page = ask(&whole, person, method, path, PAGE).await;
                assert_eq!(page.status(), 403, "{method} {path}: {page:?}");
                assert!(page.mentions("Signing in happens at the gateway"), "{page:?}");
                let problem = ask(&whole, person, method, path, API).await;
                assert_eq!(
                    (problem.status(), problem.json()["type"].clone()),
                    (403, json!(format!("https://{AUTH}/problems/local-sign-in"))),
                    "{path}"
                );
            }
        }
    }
    assert!(ask(&whole, &nobody, "GET", "/login", PAGE).await.mentions("/.vestibule/login?to=/\""), "a way in");
    assert_eq!(whole.app.connections(), 0);
    be(&whole, "operator", member_of(&["sso-operators"]));
    let operator = whole.sign_in(APP).await;
    assert_eq!(ask(&whole, &operator, "POST", "/login", PAGE).await.text(), "ok");
    assert_eq!(ask(&whole, &operator, "GET", "/user/forgot_password", API).await.text(), "ok");
    assert_eq!(whole.app.take().iter().map(Answer::line).collect::<Vec<_>>(), ["POST /login HTTP/1.1", "GET /user/forgot_password HTTP/1.1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_26_a_connector_brings_its_list_and_an_empty_one_switches_it_off() {
    let hub = |login: &str| {
        format!(
            "{login}\n[provision]\nconnector = \"jupyterhub\"\nurl = \"http://127.0.0.1:1/hub/api\"\ntoken = {{ secret = \"env:ADMIN_TOKEN\" }}\nretries = 0\n"
        )
    };
    for (login, status) in [("", 403), ("[login]\nblock_paths = [\"/x\"]\n", 403), ("[login]\nblock_paths = []\n", 401)] {
        let whole = app("everyone = true", &hub(login)).await;
        assert_eq!(ask(&whole, &Person::default(), "POST", "/hub/signup", API).await.status(), status, "{login}");
    }
    // What a connector lists is a path, or its policy would not load.
    let listed: Vec<&String> = builtin().iter().flat_map(|model| &model.sign_in.block_paths).collect();
    assert!(!listed.is_empty() && listed.iter().all(|path| RequestPattern::parse(path).is_ok()), "{listed:?}");
}

// --- rows 29, 30: how recent a sign-in is ---------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_29_who_signed_in_recently_goes_straight_in() {
    let whole = Whole::app("", "[login]\nmax_age = \"1h\"\n[[path]]\nmatch = [\"/admin\"]\nmax_age = \"15m\"\n").await;
    let mut ada = Person::default();
    let first = go(&whole, &mut ada, &format!("https://{APP}/admin")).await;
    assert!(first.provider(&whole)[0].query().unwrap().contains("max_age=3600"), "the provider is told what recent means: {:?}", first.passed);
    whole.advance_s(890);
    let trip = go(&whole, &mut ada, &format!("https://{APP}/admin")).await;
    assert_eq!((trip.answer.text().as_str(), trip.passed.len()), ("ok", 1));
    whole.advance_s(1200);
    assert_eq!(go(&whole, &mut ada, &format!("https://{APP}/")).await.passed.len(), 1);
    assert_eq!(whole.op.hits("/token"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_30_an_old_sign_in_is_repeated_at_the_provider_and_ends_at_the_page_asked_for() {
    // A landing page is for arriving: whoever proves themselves again in the middle of their work goes back to it.
    let whole = Whole::app("", "[login]\nmax_age = \"25m\"\nlanding = \"/home\"\n[[path]]\nmatch = [\"/admin*\"]\nmax_age = \"15m\"\n").await;
    let mut ada = Person::default();
    assert_eq!(go(&whole, &mut ada, &format!("https://{APP}/x")).await.end(), "/home");
    whole.advance_s(901);
    assert_eq!(ask(&whole, &ada, "GET", "/admin", API).await.status(), 401, "a script is told");
    let trip = go(&whole, &mut ada, &format!("https://{APP}/admin/x?tab=1&q=a%20b")).await;
    let asked = trip.provider(&whole);
    assert_eq!((trip.answer.text().as_str(), asked.len()), ("ok", 1), "{:?}", trip.passed);
    assert!(asked[0].query().unwrap().contains("max_age=0") && asked[0].query().unwrap().contains("prompt=login"), "{asked:?}");
    let end = trip.passed.last().unwrap();
    assert_eq!((end.path(), end.query()), ("/admin/x", Some("tab=1&q=a%20b")));
    // The whole app, likewise.
    whole.advance_s(1501);
    let trip = go(&whole, &mut ada, &format!("https://{APP}/page")).await;
    assert_eq!((trip.end(), trip.provider(&whole).len()), ("/page", 1), "{:?}", trip.passed);
    // A provider that did not ask again after all: refused, and no loop.
    whole.advance_s(1501);
    let long_ago = vestibule::clock::Clock::now(whole.clock.as_ref()).seconds() - 5000;
    whole.op.set(|script| script.auth_time = Some(long_ago));
    assert_eq!(go(&whole, &mut ada, &format!("https://{APP}/page")).await.answer.status(), 403);
}

// --- row 31: landing ------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_31_each_outcome_lands_where_the_policy_says_and_nowhere_else() {
    let sections = "[login]\nlanding = [\"/org/{orgs[0]}\", \"/nowhere\"]\nlanding_new = \"/welcome?as={user.name}\"\nlanding_existing = \"/u/{claims.nick}\"\n\
                    [[org]]\nid = 7\ngroups = [\"staff\"]\nrole = \"member\"\n";
    let (whole, admin) = app_with_accounts("everyone = true", sections).await;
    let deep = format!("https://{APP}/deep?x=1");
    // Made just now.
    let mut ada = Person::default();
    let trip = go(&whole, &mut ada, &deep).await;
    let end = trip.passed.last().unwrap();
    assert_eq!((end.path(), end.query(), admin.users().len()), ("/welcome", Some("as=ada%40example.com"), 1), "{:?}", trip.passed);
    assert_eq!(whole.app.take().len(), 1, "the page asked for was not opened on the way");
    // Once: from then on people are where they go.
    assert_eq!(go(&whole, &mut ada, &deep).await.passed.len(), 1);
    // Known by now, in another browser: the organisation's page.
    let mut again = Person::default();
    assert_eq!(go(&whole, &mut again, &deep).await.end(), "/org/7");
    // A script's request is no arrival, and takes nobody's landing away.
    let third = whole.sign_in(APP).await;
    assert_eq!(ask(&whole, &third, "GET", "/data", API).await.text(), "ok");
    let mut third = third;
    assert_eq!(go(&whole, &mut third, &deep).await.end(), "/org/7");
    // In no organisation: the next candidate.
    be(&whole, "grace", json!({"email": "grace@example.com", "email_verified": true, "groups": ["guests"]}));
    assert_eq!(go(&whole, &mut Person::default(), &deep).await.end(), "/welcome");
    assert_eq!(go(&whole, &mut Person::default(), &deep).await.end(), "/nowhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_31_no_claim_leads_off_the_app_and_without_a_key_people_land_where_they_wanted() {
    let whole = Whole::app("", "[login]\nlanding = \"/u/{claims.nick}\"\n").await;
    let deep = format!("https://{APP}/deep?x=1");
    for (n, (nick, end)) in [
        (json!(".."), "/deep"),
        (json!("../admin"), "/deep"),
        (json!("/evil.example"), "/deep"),
        (json!("\\evil.example"), "/deep"),
        (json!("a\r\nLocation: https://evil.example"), "/deep"),
        (json!(["a"]), "/deep"),
        (json!(""), "/deep"),
        (Value::Null, "/deep"),
        (json!("ada lovelace?"), "/u/ada%20lovelace%3F"),
        (json!("//evil.example@"), "/deep"),
        (json!(7), "/u/7"),
    ]
    .into_iter()
    .enumerate()
    {
        be(&whole, &format!("s{n}"), json!({"email": format!("p{n}@example.com"), "nick": nick, "groups": []}));
        let trip = go(&whole, &mut Person::default(), &deep).await;
        assert_eq!((trip.end(), trip.answer.text().as_str()), (end, "ok"), "{nick}: {:?}", trip.passed);
        assert!(trip.passed.iter().all(|url| [Some(APP), Some(AUTH), Some("127.0.0.1")].contains(&url.host_str())), "{:?}", trip.passed);
    }
    let plain = Whole::app("", "[login]\nlanding = \"requested\"\n").await;
    let trip = go(&plain, &mut Person::default(), &deep).await;
    assert_eq!((trip.end(), trip.passed.last().unwrap().query()), ("/deep", Some("x=1")));
}

// --- rows 36, 37, 56: assigned, not assigned, assigned meanwhile -----------------------------------

const ASSIGNED: &str = "groups = [\"app-users\"]\ncontact = \"it-apps@example.com\"\nhelp = \"https://intranet.example.com/access\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_36_who_is_not_assigned_gets_no_account_and_is_told_whom_to_ask() {
    let (whole, admin) = app_with_accounts(ASSIGNED, "").await;
    for (n, person) in [member_of(&[]), member_of(&["app-users2"]), json!({"email": "x@example.com", "email_verified": true})].into_iter().enumerate()
    {
        be(&whole, &format!("s{n}"), person);
        let mut mallory = Person::default();
        let trip = go(&whole, &mut mallory, &format!("https://{APP}/")).await;
        assert_eq!((trip.answer.status(), trip.provider(&whole).len()), (403, 1));
        for said in ["not in a group that has access", "it-apps@example.com", "https://intranet.example.com/access", "Incident code"] {
            assert!(trip.answer.mentions(said), "{said}: {:?}", trip.answer);
        }
        assert!(!trip.answer.mentions("app-users"), "group names stay with operators");
        for (method, path) in [("GET", "/x"), ("POST", "/x"), ("GET", "/.vestibule/wait?to=/x")] {
            assert_eq!(ask(&whole, &mallory, method, path, API).await.status(), 403, "{path}");
        }
    }
    assert!(admin.take_lines().is_empty() && admin.users().is_empty(), "the admin API was not even asked");
    assert_eq!(whole.app.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_56_a_group_of_the_identity_provider_is_what_lets_people_in() {
    let (whole, admin) = app_with_accounts(ASSIGNED, "").await;
    for (n, (groups, status)) in
        [(json!(["app-users"]), 200), (json!(["x", "app-users"]), 200), (json!("app-users"), 200), (json!(["App-Users"]), 403)]
            .into_iter()
            .enumerate()
    {
        be(&whole, &format!("s{n}"), json!({"email": format!("p{n}@example.com"), "email_verified": true, "groups": groups}));
        assert_eq!(go(&whole, &mut Person::default(), &format!("https://{APP}/")).await.answer.status(), status, "{groups}");
    }
    assert_eq!(admin.users().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_37_who_is_assigned_meanwhile_gets_in_at_the_next_click() {
    let (whole, admin) = app_with_accounts(ASSIGNED, "[login]\nlanding_new = \"/welcome\"\n").await;
    let page = format!("https://{APP}/page?x=1");
    be(&whole, "ada", member_of(&[]));
    let mut ada = Person::default();
    assert_eq!(go(&whole, &mut ada, &page).await.answer.status(), 403);
    // A fresh no is a no: nobody is sent round.
    whole.advance_s(60);
    let trip = go(&whole, &mut ada, &page).await;
    assert_eq!((trip.answer.status(), trip.passed.len()), (403, 1));
    // Older than that: the provider is asked once more, without a password, and says the same; no loop.
    whole.advance_s(1);
    assert_eq!(ask(&whole, &ada, "GET", "/page", API).await.status(), 403, "a script is told at once");
    assert_eq!(ask(&whole, &ada, "POST", "/page", PAGE).await.status(), 403, "and a form's text is not lost on the way");
    let other_tab = ada.clone();
    let trip = go(&whole, &mut ada, &page).await;
    let asked = trip.provider(&whole);
    assert_eq!((trip.answer.status(), asked.len()), (403, 1), "{:?}", trip.passed);
    // The provider says the same, so nobody is signed out of anything: the session in another tab still holds.
    assert_eq!(ask(&whole, &other_tab, "GET", "/page", API).await.status(), 403, "signed in, and refused: not 401");
    assert!(!asked[0].query().unwrap().contains("prompt=") && !asked[0].query().unwrap().contains("max_age"), "{asked:?}");
    assert!(admin.users().is_empty());
    // Assigned: the next click after that minute makes the account, and it is a first arrival.
    be(&whole, "ada", member_of(&["app-users"]));
    whole.advance_s(61);
    let trip = go(&whole, &mut ada, &page).await;
    assert_eq!((trip.answer.text().as_str(), trip.end(), admin.users().len()), ("ok", "/welcome", 1), "{:?}", trip.passed);
    // And straight in from now on.
    assert_eq!(go(&whole, &mut ada, &page).await.passed.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_37_every_refusal_that_the_provider_can_lift_is_looked_at_again_and_no_other() {
    let sections = "[login]\nlanding = \"/home\"\n[[path]]\nmatch = [\"/team\"]\ngroups = [\"team\"]\n[[path]]\nmatch = [\"/domain\"]\ndomains = [\"other.example\"]\n\
                    [[path]]\nmatch = [\"/never\"]\ndeny_groups = [\"staff\"]\n[[path]]\nmatch = [\"/when\"]\nwhen = \"has(claims.level) && claims.level == 'high'\"\n\
                    [[path]]\nmatch = [\"/request\"]\nwhen = \"request.method == 'PUT'\"\n[[path]]\nmatch = [\"/net\"]\nnetworks = [\"10.0.0.0/8\"]\n\
                    [[path]]\nmatch = [\"/method\"]\nmethods = [\"PUT\"]\n";
    let whole = app("everyone = true\nrecheck = \"5m\"", sections).await;
    let mut ada = Person::default();
    assert_eq!(go(&whole, &mut ada, &format!("https://{APP}/")).await.end(), "/home");
    whole.advance_s(301);
    for path in ["/request", "/net", "/method"] {
        let trip = go(&whole, &mut ada, &format!("https://{APP}{path}")).await;
        assert_eq!((trip.answer.status(), trip.passed.len()), (403, 1), "{path}");
    }
    for path in ["/team", "/domain", "/never", "/when"] {
        let trip = go(&whole, &mut ada, &format!("https://{APP}{path}")).await;
        assert_eq!((trip.answer.status(), trip.end(), trip.provider(&whole).len()), (403, path, 1), "{:?}", trip.passed);
        // In the minutes after that the answer stands.
        assert_eq!(go(&whole, &mut ada, &format!("https://{APP}{path}")).await.passed.len(), 1);
        whole.advance_s(301);
    }
    // In the middle of their work people come back to what they clicked, not to where they once landed.
    be(&whole, "ada", member_of(&["team"]));
    let trip = go(&whole, &mut ada, &format!("https://{APP}/team")).await;
    assert_eq!((trip.answer.text().as_str(), trip.end()), ("ok", "/team"), "{:?}", trip.passed);
}

// --- row 53: hygiene ------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_53_a_value_that_no_app_may_be_given_is_a_page_that_names_it_and_no_account() {
    let (whole, admin) = app_with_accounts("everyone = true", "").await;
    let person = |name: &str, more: Value| {
        let mut person = json!({"name": name, "email": "ada@example.com", "email_verified": true, "groups": ["staff\u{0}", "ZÃ¼rich"], "nickname": "\u{202e}x\u{fffd}"});
        person.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        person
    };
    for (n, (name, named)) in
        [("ZoÃ«", "name"), ("Zoe\u{202e}", "name"), ("Zo\u{fffd}", "name"), ("Zo\u{85}", "name"), ("Zo\u{e000}", "name"), ("Zo\u{378}", "name")]
            .into_iter()
            .enumerate()
    {
        be(&whole, &format!("s{n}"), person(name, json!({})));
        let trip = go(&whole, &mut Person::default(), &format!("https://{APP}/")).await;
        assert_eq!(trip.answer.status(), 403, "{name:?}");
        assert!(trip.answer.mentions(&format!("cannot be used for an account: {named}.")), "{name:?}: {:?}", trip.answer);
    }
    assert!(admin.users().is_empty() && whole.app.connections() == 0);
    // What nothing uses locks nobody out, whatever is in it; and the app is told one form of a name.
    be(&whole, "zoe", person("Zoe\u{308} Bronte\u{308}", json!({"office": " "})));
    assert_eq!(go(&whole, &mut Person::default(), &format!("https://{APP}/")).await.answer.text(), "ok");
    let seen = whole.app.one();
    assert_eq!((seen.get("x-app-name").as_deref(), seen.get("x-app-office")), (Some("Zoë Brontë"), None));
    assert!(!admin.users()[0].record.to_string().contains('\u{308}'), "{:?}", admin.users());
    // A guess is a guess: the policy may say otherwise.
    let (lenient, admin) = app_with_accounts("everyone = true", "[user]\non_suspect = \"accept\"\n").await;
    be(&lenient, "zoe", person("ZoÃ«", json!({})));
    assert_eq!(go(&lenient, &mut Person::default(), &format!("https://{APP}/")).await.answer.text(), "ok");
    assert_eq!(admin.users().len(), 1);
}
