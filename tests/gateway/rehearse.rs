//! `vestibule test` and `vestibule plan` as people run them, and the gate that tests are to a load.
#![expect(clippy::unwrap_used, reason = "tests")]

use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;
use vestibule::clock::{Clock as _, SystemClock, Timestamp};
use vestibule::entropy::OsEntropy;
use vestibule::identity::{Groups, Identity, SubjectId};
use vestibule::state::seal::Sealer;
use vestibule::state::sqlite::Store;
use vestibule::state::{AccountKey, AccountRecord, AccountState, AccountStore as _, Lease, Origin, RecordedSignIn, SignInStore as _};

const GATEWAY: &str = r#"
[server]
listen = "127.0.0.1:0"
auth_host = "auth.vestibule.test"
workers = 1
[tls]
cert = "PEM"
key = "file:PRIVATE"
[state]
url = "sqlite:v.db"
key = "env:STATE_KEY"
[audit]
file = "audit.jsonl"
[telemetry]
format = "json"
[[idp]]
id = "corp"
issuer = "http://127.0.0.1:9"
client_id = "v"
[[idp]]
id = "adfs"
issuer = "http://127.0.0.1:8"
client_id = "v"
"#;

const BROKEN: &str = r#"host = "broken.vestibule.test"
upstream = "http://127.0.0.1:9"

[access]
groups = ["staff"]

[[test]]
name   = "staff enter"
user   = { email = "ada@example.com", groups = ["staff"] }
get    = "/"
expect = { access = "allow" }

[[test]]
name   = "guests enter"
user   = { email = "eve@example.com", groups = ["guests"] }
get    = "/"
expect = { access = "allow" }
"#;

/// A gateway with the policy of Redmine as it is shipped, and one whose test fails.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let cert = |name: &str| crate::whole::cert(name).display().to_string();
    let gateway = GATEWAY.replace("PEM", &cert("vestibule.test.pem")).replace("PRIVATE", &cert("vestibule.test.key"));
    fs::write(folder.path().join("vestibule.toml"), gateway).unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::copy("policies/redmine.toml", folder.path().join("policies/redmine.toml")).unwrap();
    fs::copy("policies/jupyterhub.toml", folder.path().join("policies/jupyterhub.toml")).unwrap();
    fs::write(folder.path().join("policies/broken.toml"), BROKEN).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("ada.json", r#"{"given_name": "Ada", "family_name": "Lovelace", "email": "ada@example.com", "groups": ["redmine-devs"]}"#);
    write("eve.json", r#"{"given_name": "Eve", "family_name": "Guest", "email": "eve@example.com", "groups": ["guests"]}"#);
    write("bob.json", r#"{"email": "bob@example.com", "groups": ["research", "data-lab"]}"#);
    write("hub.json", r#"{"name": "bob", "admin": false, "groups": ["research", "chess"]}"#);
    write("mail.json", r#"{"mail": "x"}"#);
    write(
        "people.jsonl",
        "{\"email\":\"bob@example.com\",\"sub\":\"1\",\"groups\":[\"research\"]}\n\n{\"email\":\"eve@example.com\",\"sub\":\"2\",\"groups\":[]}\n",
    );
    folder
}

/// Code and standard output, and what was said beside it.
fn run(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    let output = command.args(words).current_dir(folder).env("STATE_KEY", "a key for tests that is long enough to be one").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn out(folder: &Path, words: &[&str], code: i32) -> String {
    let (came, out, err) = run(folder, words);
    assert_eq!(came, code, "{words:?}: {out}{err}");
    assert!(!out.contains("panicked") && !err.contains("panicked"), "{err}");
    out
}

#[test]
fn tests_are_told_one_by_one_and_a_failure_says_what_decided() {
    let made = folder();
    let text = out(made.path(), &["test", "--config", "vestibule.toml"], 1);
    insta::assert_snapshot!("test", text);
    let verbose = out(made.path(), &["test", "-v", "policies/redmine.toml"], 0);
    assert!(verbose.contains(" ms\n") && verbose.contains("          POST /groups/14/users.json\n"), "{verbose}");
    assert!(verbose.ends_with("6 tests in 1 file: all passed.\n"), "{verbose}");
    insta::assert_snapshot!("coverage", out(made.path(), &["test", "--coverage", "policies/jupyterhub.toml"], 0));
    let json: Value = serde_json::from_str(&out(made.path(), &["test", "--json", "--coverage", "--config", "vestibule.toml"], 1)).unwrap();
    assert_eq!((&json["passed"], &json["failed"]), (&10.into(), &1.into()), "{json}");
    assert_eq!(json["tests"][1]["problems"][0]["line"], 17, "{json}");
    assert_eq!(json["coverage"][0]["rules"][0]["rule"], "[access] groups");
    assert_eq!(out(made.path(), &["test", "none.toml"], 2).matches("cannot be read").count(), 1);
    fs::write(made.path().join("policies/wrong.toml"), "hsot = 1\n").unwrap();
    let text = out(made.path(), &["test", "policies/wrong.toml"], 1);
    assert!(text.contains("unknown key `hsot`") && text.ends_with("no tests in 0 files.\n"), "{text}");
}

#[test]
fn a_policy_whose_tests_fail_is_not_loaded_and_check_says_why() {
    let made = folder();
    let text = out(made.path(), &["check", "--config", "vestibule.toml"], 1);
    assert!(text.contains("error[test-failed]: test \"guests enter\": access is \"deny\" because of `groups`, not \"allow\""), "{text}");
    assert!(text.contains("policies/broken.toml:17:21") && text.contains("1 error, 0 warnings in 4 files"), "{text}");
    out(made.path(), &["check", "policies/redmine.toml"], 0);
    let loaded = vestibule::load::load(&made.path().join("vestibule.toml")).unwrap();
    let names: Vec<&str> = loaded.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["jupyterhub", "redmine"]);
    assert_eq!(loaded.unavailable, ["broken.vestibule.test"]);
}

/// Shipped policies and examples, as they are written.
#[test]
fn every_shipped_test_passes() {
    let examples = [
        "tests/policies/example-redmine.toml",
        "tests/policies/example-grafana.toml",
        "policies/wiki.toml",
        "policies/redmine.toml",
        "policies/jupyterhub.toml",
    ];
    let (code, text, _) = run(Path::new("."), &[&["test"], examples.as_slice()].concat());
    assert_eq!(code, 0, "{text}");
    assert!(text.ends_with("20 tests in 5 files: all passed. 1 file has no tests.\n"), "{text}");
}

#[test]
fn a_plan_is_told_and_nothing_is_sent() {
    let made = folder();
    let plan = |words: &[&str], code: i32| out(made.path(), &[&["plan", "--config", "vestibule.toml"], words].concat(), code);
    insta::assert_snapshot!("plan_newcomer", plan(&["redmine", "--user", "ada.json"], 0));
    insta::assert_snapshot!("plan_existing", plan(&["jup", "--user", "bob.json", "--existing", "hub.json"], 0));
    insta::assert_snapshot!("plan_json", plan(&["redmine.example.com", "--user", "ada.json", "--json"], 0));
    insta::assert_snapshot!("plan_all", plan(&["jup", "--all", "--people", "people.jsonl"], 0));
    // People who are listed are all meant, unless --user says who.
    assert_eq!(plan(&["jup", "--people", "people.jsonl"], 0), plan(&["jup", "--all", "--people", "people.jsonl"], 0));
    plan(&["redmine", "--user", "ada.json", "--exit-code"], 1);
    plan(&["redmine", "--user", "eve.json", "--exit-code"], 0);
    assert!(plan(&["redmine", "--user", "eve.json"], 0).contains("They do not enter: groups, policies/redmine.toml:"));
    let curl = plan(&["redmine", "--user", "ada.json", "--curl"], 0);
    assert!(
        curl.contains("\ncurl -sS -X POST 'http://10.0.4.31:3000/groups/14/users.json'")
            && curl.contains("-H \"x-redmine-api-key: $X_REDMINE_API_KEY\"")
    );
    assert!(curl.contains("--data '{\"user_id\":\"{id}\"}'"), "{curl}");
    // A version that is not in force.
    let changed = fs::read_to_string("policies/jupyterhub.toml").unwrap().replace("research = \"research\"", "research = \"lab\"");
    fs::write(made.path().join("new.toml"), changed).unwrap();
    let plan_of_new = plan(&["jup", "--user", "bob@example.com", "--people", "people.jsonl", "--policy", "new.toml"], 0);
    assert!(plan_of_new.contains("+ group              lab") && plan_of_new.contains("new.toml"), "{plan_of_new}");
}

/// The commands of the README and what they answer, character by character.
#[test]
fn what_the_readme_shows_is_what_the_commands_say() {
    let made = folder();
    let wiki =
        "host     = \"wiki.example.com\"\nupstream = \"http://10.0.4.20:8080\"\n\n[access]\ngroup = [\"staff\"]\nwhen  = \"'interns' in gruops\"\n";
    fs::write(made.path().join("policies/wiki.toml"), wiki).unwrap();
    let readme = fs::read_to_string("README.md").unwrap();
    let shown = readme.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let mut said = Vec::new();
    for command in shown.lines().filter_map(|line| line.strip_prefix("$ vestibule ")) {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.splice(1..1, ["--config", "vestibule.toml"]);
        said.push(format!("$ vestibule {command}\n{}", run(made.path(), &words).1));
    }
    assert_eq!(said.len(), 4, "check, test, explain, plan");
    let said = said.join("\n");
    assert!(said == shown, "README.md should show:\n{said}");
}

#[test]
fn what_cannot_be_planned_says_why() {
    let made = folder();
    let check = |words: &[&str], said: &str| {
        let (code, out, err) = run(made.path(), &[&["plan", "--config", "vestibule.toml"], words].concat());
        assert_eq!(code, 2, "{words:?}: {out}{err}");
        assert!(err.contains(said), "{words:?}: {err}");
    };
    check(&["grafana", "--user", "ada.json"], "no policy that is in order has the host `grafana`; hosts: ");
    check(&["", "--user", "ada.json"], "is the beginning of several hosts");
    check(&["redmine", "--user", "none.json"], "none.json cannot be read");
    check(&["redmine", "--user", "mail.json"], "mail.json: unknown key `mail`");
    check(&["redmine", "--user", "hub.json", "--existing", "ada.json"], "hub.json: unknown key `admin`");
    check(&["redmine", "--user", "ada@example.com"], "--user FILE and --people FILE need neither");
    check(&["redmine", "--all"], "--user FILE and --people FILE need neither");
    check(&["redmine", "--user", "zoe@example.com", "--people", "people.jsonl"], "nobody among --people has the address zoe@example.com");
    check(&["redmine", "--user", "ada.json", "--online"], "policies/redmine.toml: provision.headers.X-Redmine-API-Key: secret cred:");
    check(&["redmine", "--user", "ada.json", "--policy", "policies/jupyterhub.toml"], "is the policy of jupyter.example.com, not of redmine");
    let (code, ..) = run(made.path(), &["plan", "redmine"]);
    assert_eq!(code, 2, "somebody, or everybody");
    // An admin API that does not answer: what it came to is said once, in the words of the manual.
    let hub = fs::read_to_string(made.path().join("policies/jupyterhub.toml")).unwrap();
    let hub = hub.replace("http://127.0.0.1:8081", "http://127.0.0.1:9").replace("cred:jupyterhub-token", "env:CARGO_MANIFEST_DIR");
    fs::write(made.path().join("new.toml"), hub).unwrap();
    let words = ["plan", "jup", "--config", "vestibule.toml", "--policy", "new.toml", "--user", "bob.json", "--online"];
    let (code, out, err) = run(made.path(), &words);
    assert!(code == 2 && out.is_empty() && err.contains("Plan: not possible: the admin API does not do what it takes.\n"), "{out}{err}");
    assert!(err.matches(": retry: ").count() == 1 && !err.lines().any(|line| line.starts_with("error: ")) && !err.contains("Retry"), "{err}");
}

/// An account record of the hub, its sign-in beside it when `groups` are given.
async fn known(store: &Store, subject: &str, groups: Option<&[&str]>, granted: &[&str]) {
    known_at(store, "jupyterhub", subject, groups, granted, &json!({})).await;
}

/// The same at `app`, where these attributes were put.
async fn known_at(store: &Store, app: &str, subject: &str, groups: Option<&[&str]>, granted: &[&str], attributes: &Value) {
    let email = format!("{subject}@example.com");
    let subject = SubjectId { issuer: "http://127.0.0.1:9".to_owned(), subject: subject.to_owned() };
    let key = AccountKey { upstream: app.to_owned(), subject: subject.clone() };
    let Lease::Held(fence, _) = store.lease(&key, "t", Timestamp::default(), Timestamp::from_seconds(9)).await.unwrap() else { return };
    let login = subject.subject.clone();
    let members: serde_json::Map<String, Value> = granted.iter().map(|group| ((*group).to_owned(), Value::Null)).collect();
    let record = AccountRecord {
        state: AccountState::Active,
        origin: Some(Origin::Created),
        account_id: Some(login.clone()),
        login: Some(login),
        applied: json!({ "attributes": attributes, "memberships": { "group": members } }),
        verified_at: Some(Timestamp::from_seconds(1)),
        ..AccountRecord::empty(key, "")
    };
    store.save(&record, fence).await.unwrap();
    store.release(&record.key, fence).await.unwrap();
    let Some(groups) = groups else { return };
    let identity = Identity {
        subject,
        idp: "corp".to_owned(),
        email: Some(email),
        email_verified: true,
        name: None,
        given_name: None,
        family_name: None,
        username: None,
        groups: Groups::Known(groups.iter().map(|group| (*group).to_owned()).collect()),
        claims: serde_json::Map::new(),
    };
    store.record(&RecordedSignIn { identity, auth_time: Timestamp::from_seconds(1), at: SystemClock.now() }).await.unwrap();
}

#[tokio::test]
async fn everybody_who_has_an_account_is_held_against_a_changed_policy() {
    let made = folder();
    let here = made.path();
    let sealer = Sealer::new(&SecretString::from("a key for tests that is long enough to be one"), Arc::new(OsEntropy::default())).unwrap();
    let store = Store::open(&format!("sqlite:{}", here.join("v.db").display()), sealer).await.unwrap();
    known(&store, "ada", Some(&["research"]), &["research", "data"]).await;
    known(&store, "bob", Some(&["research", "data-lab"]), &["research"]).await;
    known(&store, "cy", Some(&["research"]), &["research"]).await;
    known(&store, "di", Some(&["guests"]), &["research"]).await;
    known(&store, "gone", None, &["research"]).await;
    store.close().await;
    let plan = |words: &[&str], code: i32| out(here, &[&["plan", "jup", "--config", "vestibule.toml"], words].concat(), code);
    insta::assert_snapshot!("plan_recorded", plan(&["--all"], 0));
    plan(&["--all", "--exit-code"], 1);
    let changed = fs::read_to_string("policies/jupyterhub.toml").unwrap().replace("\"data-*\" = \"data\"", "\"data-*\" = \"lab\"");
    fs::write(here.join("new.toml"), changed).unwrap();
    let new = plan(&["--all", "--policy", "new.toml"], 0);
    assert!(new.contains("Plan: 1 loses data, +1 lab, 1 does not enter.\n"), "{new}");
    let bob = plan(&["--user", "BOB@example.com"], 0);
    assert!(bob.contains("= account            bob") && bob.contains("+ group              data                             data-lab"), "{bob}");
    assert!(plan(&["--user", "cy@example.com", "--exit-code"], 0).contains("Plan: no changes."));
    let (code, _, said) = run(here, &["plan", "jup", "--config", "vestibule.toml", "--user", "eve@example.com"]);
    assert!(code == 2 && said.contains("no sign-in with the address eve@example.com is recorded"), "{said}");
}

const SCIM: &str = r#"host = "crm.vestibule.test"
upstream = "http://127.0.0.1:9"
[access]
everyone = true
[user]
name = "{slug(email)}"
[roles]
map = { staff = "editors" }
[provision]
connector = "scim"
url = "http://127.0.0.1:9/scim/v2"
token = { secret = "env:STATE_KEY" }
[headers]
X-User = "{user.name}"
"#;

// A record says what the account has: whoever is in step with the policy has nothing done to them, at an app of any kind.
#[tokio::test]
async fn who_is_in_step_is_in_step_in_everybodys_plan() {
    let made = folder();
    let here = made.path();
    fs::write(here.join("policies/crm.toml"), SCIM).unwrap();
    let sealer = Sealer::new(&SecretString::from("a key for tests that is long enough to be one"), Arc::new(OsEntropy::default())).unwrap();
    let store = Store::open(&format!("sqlite:{}", here.join("v.db").display()), sealer).await.unwrap();
    for name in ["ada", "bob"] {
        known_at(
            &store,
            "crm",
            name,
            Some(&["staff"]),
            &["editors"],
            &json!({ "email": format!("{name}@example.com"), "displayName": format!("{name}@example.com") }),
        )
        .await;
    }
    store.close().await;
    let plan = |words: &[&str]| out(here, &[&["plan", "crm", "--config", "vestibule.toml"], words].concat(), 0);
    for words in [&["--all"][..], &["--user", "ada@example.com"], &["--all", "--policy", "policies/crm.toml"]] {
        let told = plan(words);
        assert!(told.contains("Plan: no changes."), "{words:?}: {told}");
    }
}

/// A policy of a hub that has two seats, and a front page for everybody.
fn hub_with(here: &Path, switches: &str) -> String {
    let policy = fs::read_to_string(here.join("policies/jupyterhub.toml")).unwrap();
    policy.replacen("[provision]", &format!("[[path]]\nmatch = [\"/\"]\npublic = true\n\n[provision]\n{switches}"), 1)
}

// Whether somebody may enter does not hang on what the front page shows to strangers.
#[test]
fn a_public_front_page_does_not_let_anybody_in() {
    let made = folder();
    let here = made.path();
    fs::write(here.join("new.toml"), hub_with(here, "")).unwrap();
    let plan = |file: &str| out(here, &["plan", "jup", "--config", "vestibule.toml", "--policy", "new.toml", "--user", file], 0);
    assert!(plan("eve.json").contains("They do not enter: groups, "), "{}", plan("eve.json"));
    assert!(plan("bob.json").contains("+ account            bob"), "{}", plan("bob.json"));
}

// One person's plan counts the others: seats that are taken, and logins that are somebody's.
#[tokio::test]
async fn one_persons_plan_counts_the_others() {
    let made = folder();
    let here = made.path();
    let sealer = Sealer::new(&SecretString::from("a key for tests that is long enough to be one"), Arc::new(OsEntropy::default())).unwrap();
    let store = Store::open(&format!("sqlite:{}", here.join("v.db").display()), sealer).await.unwrap();
    known(&store, "ada", None, &[]).await;
    known(&store, "cy", Some(&["research"]), &["research"]).await;
    store.close().await;
    let plan = |switches: &str, file: &str| {
        fs::write(here.join("new.toml"), hub_with(here, switches)).unwrap();
        out(here, &["plan", "jup", "--config", "vestibule.toml", "--policy", "new.toml", "--user", file], 0)
    };
    let full = plan("max_accounts = 2\n", "bob.json");
    assert!(full.contains("Plan: not possible: ") && !full.contains("+ account"), "{full}");
    assert!(plan("max_accounts = 3\n", "bob.json").contains("+ account            bob"));
    // Who has a seat keeps it.
    assert!(plan("max_accounts = 2\n", "cy@example.com").contains("Plan: no changes."), "{}", plan("max_accounts = 2\n", "cy@example.com"));
    // Somebody else of the name of an account that is another's.
    fs::write(here.join("other.json"), r#"{"sub": "another", "email": "ada@example.org", "groups": ["research"]}"#).unwrap();
    let taken = plan("", "other.json");
    assert!(!taken.contains("+ account            ada "), "{taken}");
}

// What a plan lists is what its calls send, and where that comes from.
#[test]
fn a_plan_lists_what_is_sent_and_says_where_it_is_from() {
    let made = folder();
    let plan: Value =
        serde_json::from_str(&out(made.path(), &["plan", "--config", "vestibule.toml", "redmine", "--user", "ada.json", "--json"], 0)).unwrap();
    let whats: Vec<&str> = plan["changes"].as_array().unwrap().iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert!(whats.contains(&"given_name") && whats.contains(&"department"), "{whats:?}");
    // The steps of this policy send first and last name, and no display name.
    assert!(!whats.contains(&"display"), "{whats:?}");
}

/// Tests make accounts in an application that is not there: auditors must not read that they were made.
#[test]
fn what_is_rehearsed_at_the_start_is_not_audited() {
    let made = folder();
    fs::remove_file(made.path().join("policies/jupyterhub.toml")).unwrap();
    let redmine = fs::read_to_string("policies/redmine.toml").unwrap().replace("cred:redmine-api-key", "env:STATE_KEY");
    fs::write(made.path().join("policies/redmine.toml"), redmine).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.args(["serve", "--config", "vestibule.toml"]).current_dir(made.path()).env("STATE_KEY", "a key for tests that is long enough to be one");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        let up = line.contains("-> http://10.0.4.31:3000");
        said.push(line);
        if up {
            break;
        }
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said:?}");
    assert!(said.iter().any(|line| line.contains("broken.vestibule.test unavailable")), "{said:?}");
    let audit = fs::read_to_string(made.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains("config.loaded") && audit.contains("test-failed"), "{audit}");
    assert!(!audit.contains("account."), "{audit}");
}
