//! Whole policies in live traffic, from the file on disk to the application and its admin API: the shipped Grafana policy, two instances of one app, a connector of
//! one's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use crate::fake_admin::{FakeAdmin, Flavour, User};
use crate::fake_op::CLIENT_SECRET;
use crate::whole::{ADMIN_TOKEN, APP, Person, WIKI, Whole};
use base64::Engine as _;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use vestibule::connector::model::{Model, Verb};
use vestibule::load::{check_files, load_policies};

fn is(whole: &Whole, subject: &str, person: Value) {
    whole.op.set(|script| {
        script.subject = json!(subject);
        script.person = person;
    });
}

/// The claims of the token that the application got.
fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Signs in and opens a page in the browser, which is when an account is made: who, and what came of the page.
async fn enters(whole: &Whole, host: &str) -> (Person, u16) {
    let mut person = whole.sign_in(host).await;
    whole.app.take();
    let answer = whole.street().visit(&mut person, &format!("https://{host}/d/home").parse().unwrap()).await;
    (person, answer.status())
}

async fn grafana() -> FakeAdmin {
    let fake = FakeAdmin::start(Flavour::Grafana).await;
    fake.require(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("vestibule:{ADMIN_TOKEN}"))));
    fake.add_group("1", "Main Org.");
    fake.add_group("4", "Data");
    fake
}

/// `policies/grafana.toml`, word for word but for addresses and the place of the password.
async fn grafana_whole(fake: &FakeAdmin) -> Whole {
    let text = fs::read_to_string("policies/grafana.toml").unwrap();
    let (url, admin) = (fake.url.clone(), "http://10.0.4.7:3000\"\nusername");
    assert!(text.contains(admin) && text.contains("host     = \"grafana.example.com\""));
    let text = text.replace("grafana.example.com", APP).replace(admin, &format!("{}\"\nusername", url.as_str().trim_end_matches('/')));
    let text = text.replace("cred:grafana-admin-password", "env:ADMIN_TOKEN");
    Whole::with(|app| vec![("grafana", text.replace("10.0.4.7:3000", &app.to_string()))], |_| {}).await
}

#[tokio::test]
async fn the_shipped_grafana_policy_works_as_it_stands() {
    let fake = grafana().await;
    let whole = grafana_whole(&fake).await;
    is(&whole, "1", json!({ "email": "Ada@example.com", "email_verified": true, "name": "Ada Lovelace", "groups": ["sre"] }));
    let (ada, status) = enters(&whole, APP).await;
    assert_eq!(status, 200);
    let token = claims(&whole.app.one().get("x-jwt-assertion").unwrap());
    let told = ["login", "email", "name", "role", "aud"].map(|name| token[name].as_str().unwrap_or_default().to_owned());
    assert_eq!(told, ["ada", "ada@example.com", "Ada Lovelace", "Admin", "grafana"]);
    assert_eq!((fake.org("1"), fake.org("4")), (vec![("ada".to_owned(), "Admin".to_owned())], vec![]));

    is(&whole, "2", json!({ "email": "bo@example.org", "email_verified": true, "groups": ["dev-data"] }));
    let (bo, status) = enters(&whole, APP).await;
    assert_eq!(status, 200);
    assert_eq!((fake.org("1")[1].1.as_str(), fake.org("4")), ("Editor", vec![("bo".to_owned(), "Viewer".to_owned())]));
    let answer = whole.street().visit(&mut Person::default(), &format!("https://{APP}/api/health").parse().unwrap()).await;
    assert_eq!(answer.status(), 200, "health needs no sign-in");
    // Admin pages are for sre, and the public ones carry nobody's name.
    assert_eq!(whole.get(&bo, APP, "/admin/users").await.status(), 403);
    whole.app.take();
    whole.get(&ada, APP, "/public/app.js").await;
    assert_eq!(whole.app.one().get("x-jwt-assertion"), None);
}

#[tokio::test]
async fn the_shipped_grafana_policy_recognises_by_verified_address_and_never_an_administrator() {
    for (admin, expected) in [(false, 200), (true, 409)] {
        let fake = grafana().await;
        fake.add_user(User { login: "countess".into(), email: Some("ada@example.com".into()), admin, ..User::default() });
        let whole = grafana_whole(&fake).await;
        is(&whole, "1", json!({ "email": "ada@example.com", "email_verified": true, "groups": ["dev-web"] }));
        assert_eq!(enters(&whole, APP).await.1, expected);
        if admin {
            assert_eq!(fake.org("1"), []);
            continue;
        }
        // The header names the account that is there, under its own login.
        let told: Vec<Value> = whole.app.take().iter().filter_map(|seen| seen.get("x-jwt-assertion")).map(|token| claims(&token)).collect();
        assert!(!told.is_empty() && told.iter().all(|token| token["login"] == "countess"), "{told:?}");
        assert_eq!(fake.org("1"), [("countess".to_owned(), "Editor".to_owned())]);
    }
}

#[tokio::test]
async fn row_14_two_instances_of_one_app_have_accounts_records_and_credentials_of_their_own() {
    let (one, two) = (grafana().await, FakeAdmin::start(Flavour::Grafana).await);
    two.require(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("other:{CLIENT_SECRET}"))));
    two.add_group("1", "Main Org.");
    let policy = |host: &str, app: std::net::SocketAddr, fake: &FakeAdmin, user: &str, secret: &str, role: &str| {
        format!(
            "host = \"{host}\"\nupstream = \"http://{app}\"\n[access]\neveryone = true\n[[org]]\nid = 1\nrole = \"{role}\"\n\
            [headers]\nX-User = \"{{user.name}}\"\n\
            [provision]\nconnector = \"grafana\"\nurl = \"{}\"\nusername = \"{user}\"\npassword = \"env:{secret}\"\n[user]\non_collision = \"suffix\"\n",
            fake.url
        )
    };
    let policies = |app| {
        vec![
            ("app", policy(APP, app, &one, "vestibule", "ADMIN_TOKEN", "Editor")),
            ("wiki", policy(WIKI, app, &two, "other", "CLIENT_SECRET", "Viewer")),
        ]
    };
    let whole = Whole::with(policies, |_| {}).await;
    // The second instance has an Ada already, who is somebody else.
    two.add_user(User { login: "ada".into(), email: Some("other@example.com".into()), ..User::default() });
    is(&whole, "1", json!({ "email": "ada@example.com", "email_verified": true, "preferred_username": "ada" }));
    for (host, name) in [(APP, "ada"), (WIKI, "ada-2")] {
        assert_eq!(enters(&whole, host).await.1, 200);
        assert_eq!(whole.app.one().get("x-user").as_deref(), Some(name), "{host}");
    }
    assert_eq!((one.org("1"), two.org("1")), (vec![("ada".to_owned(), "Editor".to_owned())], vec![("ada-2".to_owned(), "Viewer".to_owned())]));
    assert_eq!((one.users().len(), two.users().len()), (1, 2));
}

// --- a connector of one's own ----------------------------------------------------------------------------

const POLICY: &str = r#"
host = "app.vestibule.test"
upstream = "http://127.0.0.1:1"
[access]
everyone = true
[user]
name = "{before(lower(email), '@')}"
[roles]
map = { staff = "Members" }
[provision]
connector = "./my-app.toml"
url = "http://127.0.0.1:1/hub/api"
token = "env:ADMIN_TOKEN"
[headers]
X-User = "{user.name}"
"#;

/// A folder with a policy for each name, and a connector file that is the one for JupyterHub with `change` made to it.
fn folder(names: &[&str], change: impl FnOnce(String) -> String) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let hub = fs::read_to_string("policies/connectors/jupyterhub.toml").unwrap().replace("\"jupyterhub\"", "\"my-app\"");
    fs::write(folder.path().join("my-app.toml"), change(hub)).unwrap();
    let paths = names.iter().map(|name| {
        let path = folder.path().join(format!("{name}.toml"));
        fs::write(&path, POLICY.replace("app.vestibule.test", &format!("{name}.vestibule.test"))).unwrap();
        path
    });
    let paths = paths.collect();
    (folder, paths)
}

#[test]
fn row_47_what_is_wrong_with_a_connector_file_is_said_there_and_once() {
    let (folder, paths) = folder(&["app", "wiki"], |text| {
        text.replace("effect   = \"read\"\nget      = \"/users?limit=1\"", "efect = \"read\"\nget = \"/users?limit=1\"")
    });
    let report = check_files(&paths);
    let said: Vec<String> =
        report.problems.iter().map(|problem| format!("{} {}", problem.code, problem.file.name.rsplit('/').next().unwrap())).collect();
    let (mut inside, mut outside): (Vec<&String>, Vec<&String>) = said.iter().partition(|said| said.ends_with("my-app.toml"));
    inside.sort();
    outside.sort();
    assert_eq!(inside, ["missing-key my-app.toml", "unknown-key my-app.toml"], "{}", report.render());
    assert_eq!(outside, ["connector-file app.toml", "connector-file wiki.toml"]);
    let slip = report.problems.iter().find(|problem| problem.code == "unknown-key").unwrap();
    assert!(
        slip.line_column().0 > 10 && slip.render().contains("efect = \"read\"") && slip.render().contains("did you mean `effect`?"),
        "{}",
        slip.render()
    );
    // No such file.
    fs::remove_file(folder.path().join("my-app.toml")).unwrap();
    let codes: Vec<&str> = check_files(&paths[..1]).problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["connector-file"]);
    // A policy is no connector.
    fs::write(folder.path().join("my-app.toml"), POLICY).unwrap();
    assert!(check_files(&paths[..1]).problems.iter().any(|problem| problem.code == "connector-file"));
}

/// By itself, or among the policies before or after the one that names it: looked at as what it is, and once.
#[test]
fn row_47_a_connector_file_among_policies_is_no_policy() {
    let (folder, _) = folder(&["app", "wiki"], |text| text.replacen("effect   = \"read\"", "", 1));
    let codes = |report: vestibule::source::Report| report.problems.iter().map(|problem| problem.code).collect::<Vec<_>>();
    assert_eq!(codes(check_files(&[folder.path().join("my-app.toml")])), ["missing-key"]);
    let loaded = load_policies(folder.path(), &["corp".to_owned()]).expect_err("a broken connector");
    assert_eq!(codes(loaded), ["missing-key", "connector-file", "connector-file"]);
}

#[test]
fn row_47_a_connector_file_is_looked_for_beside_the_policy_that_names_it() {
    let (folder, paths) = folder(&["app"], |text| text);
    let report = check_files(&paths);
    assert!(report.problems.is_empty(), "{}", report.render());
    let model = |path: &PathBuf| -> Arc<Model> {
        let found = load_policies(path.parent().unwrap(), &["corp".to_owned()]).unwrap_or_else(|report| panic!("{}", report.render()));
        found.into_iter().find(|policy| policy.name == "app").and_then(|policy| policy.provision).unwrap().connector
    };
    fs::create_dir(folder.path().join("connectors")).unwrap();
    fs::rename(folder.path().join("my-app.toml"), folder.path().join("connectors/my-app.toml")).unwrap();
    let text = fs::read_to_string(&paths[0]).unwrap();
    for written in ["connectors/my-app.toml", "./connectors/my-app.toml"] {
        fs::write(&paths[0], text.replace("./my-app.toml", written)).unwrap();
        let model = model(&paths[0]);
        assert_eq!((model.name.as_str(), model.can(&Verb::Create)), ("my-app", true), "{written}");
        assert!(model.file.as_deref().is_some_and(|file| file.ends_with("connectors/my-app.toml")), "{:?}", model.file);
    }
    let absolute = folder.path().join("connectors/my-app.toml");
    fs::write(&paths[0], text.replace("./my-app.toml", &absolute.display().to_string())).unwrap();
    let before = model(&paths[0]);
    assert_eq!(before.name, "my-app");
    // Whoever changes the file has accounts looked at again.
    fs::write(&absolute, fs::read_to_string(&absolute).unwrap() + "# changed\n").unwrap();
    assert_ne!(model(&paths[0]).revision, before.revision);
}

#[tokio::test]
async fn row_47_a_connector_of_one_s_own_makes_accounts_like_a_built_in_one() {
    let fake = FakeAdmin::start(Flavour::Hub).await;
    fake.require(&format!("token {ADMIN_TOKEN}"));
    let (folder, paths) = folder(&["app"], |text| text);
    let text = fs::read_to_string(&paths[0]).unwrap().replace("http://127.0.0.1:1/hub/api", fake.url.as_str());
    // Told on every request: the way in by the hub's login address has tests of its own.
    let text = format!("{text}\n[sign_in]\nlogin_url = \"none\"\n");
    let whole = Whole::loaded(
        |app| {
            fs::write(&paths[0], text.replace("http://127.0.0.1:1\"\n[access]", &format!("http://{app}\"\n[access]"))).unwrap();
            load_policies(folder.path(), &["corp".to_owned()]).unwrap_or_else(|report| panic!("{}", report.render()))
        },
        |_| {},
    )
    .await;
    is(&whole, "1", json!({ "email": "ada@example.com", "email_verified": true, "groups": ["staff"] }));
    assert_eq!(enters(&whole, APP).await.1, 200);
    assert_eq!(whole.app.one().get("x-user").as_deref(), Some("ada"));
    assert_eq!((fake.users()[0].login.as_str(), fake.groups()[0].members.len()), ("ada", 1));
}

#[test]
fn a_connector_file_that_is_not_there_is_missed_at_the_policys_own_line() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("tracker.toml");
    let text = "host = \"a.example.com\"\nupstream = \"http://127.0.0.1:1\"\n[access]\neveryone = true\n[provision]\nconnector = \"./mine.toml\"\nurl = \"http://127.0.0.1:1\"\n";
    fs::write(&policy, text).unwrap();
    let said = check_files(std::slice::from_ref(&policy)).problems;
    let [problem] = said.as_slice() else { panic!("{said:?}") };
    let mine = folder.path().join("mine.toml");
    assert_eq!((problem.code, problem.line_column(), &*problem.file.name), ("connector-file", (6, 13), &*policy.display().to_string()));
    assert_eq!(
        (problem.message.clone(), problem.helps.clone()),
        (format!("there is no {}", mine.display()), vec!["a relative path begins beside this policy".to_owned()])
    );
    // One that is there and wrong is told where it is wrong.
    fs::write(&mine, "connector = \"mine\"\nverson = 1\n").unwrap();
    let said = check_files(std::slice::from_ref(&policy)).problems;
    assert!(
        said.iter().any(|problem| problem.file.name.ends_with("mine.toml")) && said.iter().all(|problem| !problem.message.contains("there is no /")),
        "{said:?}"
    );
}
