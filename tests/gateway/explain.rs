//! `vestibule explain`, by the real binary: for people in files, for people who have signed in, and for codes that people read out.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::cli::{command, edit, folder, running};
use crate::fake_op::{CLIENT_ID, FakeOp};
use crate::state::sign_on;
use crate::whole::{ADMIN_TOKEN, APP, Street, Whole, get};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use vestibule::clock::{Clock as _, SystemClock, Timestamp};
use vestibule::entropy::OsEntropy;
use vestibule::fault::{DenyReason, Incident, PublicMessage};
use vestibule::identity::Groups;
use vestibule::state::seal::Sealer;
use vestibule::state::sqlite::Store;
use vestibule::state::{
    AccountKey, AccountRecord, AccountState, AccountStore as _, IncidentFacts, IncidentRecord, IncidentStore as _, Lease, Origin, RecordedSignIn,
    SignInStore as _,
};

const REDMINE: &str = r#"host = "redmine.vestibule.test"
upstream = "http://127.0.0.1:9"

[login]
idp = ["corp"]
max_age = "8h"
landing_new = "/projects"
landing_existing = "/my/page"

[access]
groups = ["redmine-*", "contractors"]
when = "!has(claims.status) || claims.status != 'leaver'"
contact = "it-apps@example.com"

[[path]]
match = ["/robots.txt", "/themes/*"]
public = true

[[path]]
match = ["/admin", "/admin/*", "/settings*"]
groups = ["redmine-admins"]
max_age = "15m"

[[path]]
match = ["*.json", "*.xml"]
methods = ["GET", "POST"]

[[path]]
match = ["/projects/payroll/*"]
networks = ["10.0.0.0/8"]

[user]
name = "{slug(given_name)}-{slug(family_name)}"
email = "{lower(email)}"
required = ["given_name", "family_name", "email"]

[roles]
map = { redmine-admins = "Manager", redmine-devs = "Developer" }
pick = "all"
default = "Reporter"

[[org]]
id = 1
role = "{role}"

[[org]]
id = 4
groups = ["redmine-data"]
role = "Viewer"

[headers]
X-Forwarded-User = "{user.name}"
X-Role = "{role}"
X-From-Gateway = { secret = "env:SHARED" }

[jwt]
header = "X-JWT"
audience = "redmine"
claims = { role = "{role}" }
"#;

/// A gateway's files, Redmine's policy among them.
fn house() -> TempDir {
    let made = folder(0);
    fs::write(made.path().join("policies/redmine.toml"), REDMINE).unwrap();
    made
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn explain(folder: &Path, words: &[&str]) -> Said {
    let mut all = vec!["explain", "--config", "vestibule.toml"];
    all.extend(words);
    let output = command(folder, &all).env("SHARED", "never-to-be-shown").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let said = Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
    assert!(!said.err.contains("panicked") && !format!("{}{}", said.out, said.err).contains("never-to-be-shown"), "{}{}", said.out, said.err);
    said
}

fn person(folder: &Path, fields: &Value) -> String {
    fs::write(folder.join("person.json"), fields.to_string()).unwrap();
    "person.json".to_owned()
}

fn ada() -> Value {
    json!({ "given_name": "Ada", "family_name": "Lovelace", "email": "ada@example.com", "groups": ["redmine-devs"] })
}

/// The state file, as the gateway of `folder` would open it.
async fn store(folder: &Path) -> Store {
    let sealer = Sealer::new(&SecretString::from("a key for tests that is long enough to be one"), Arc::new(OsEntropy::default())).unwrap();
    Store::open(&format!("sqlite:{}", folder.join("v.db").display()), sealer).await.unwrap()
}

fn signed_in(email: &str, subject: &str, groups: &[&str], ago_s: i64) -> RecordedSignIn {
    let at = SystemClock.now().plus_ms(-ago_s * 1000);
    let mut identity = sign_on(1, at).identity;
    subject.clone_into(&mut identity.subject.subject);
    identity.email = Some(email.to_owned());
    identity.given_name = Some("Ada".to_owned());
    identity.family_name = Some("Lovelace".to_owned());
    identity.groups = Groups::Known(groups.iter().map(|&group| group.to_owned()).collect());
    RecordedSignIn { identity, auth_time: at, at }
}

// ---- what cannot be done ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn what_cannot_be_explained_says_the_way_out() {
    let made = house();
    let here = made.path();
    let check = |words: &[&str], parts: &[&str]| {
        let said = explain(here, words);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{words:?}: {}", said.err);
        for part in parts {
            assert!(said.err.contains(part), "{words:?} lacks {part:?}: {}", said.err);
        }
    };
    check(&["https://redmime.vestibule.test/"], &["no policy has this host", "did you mean redmine.vestibule.test?", "wiki.vestibule.test"]);
    check(&["https://auth.vestibule.test/"], &["where people sign in"]);
    check(&["mailto:ada@example.com"], &["not the address of a page", "7KQ4-M2XD"]);
    check(&["https://redmine.vestibule.test/.vestibule/login"], &["answered by the gateway itself"]);
    check(&["https://redmine.vestibule.test/a%2Fb"], &["encoded slash", "400"]);
    check(&["https://redmine.vestibule.test/", "--user", "ada.json"], &["there is no such file", "not an e-mail address"]);
    let typo = person(here, &json!({ "group": ["x"] }));
    check(&["https://redmine.vestibule.test/", "--user", &typo], &["did you mean `groups`?"]);
    // Before the gateway was ever started.
    check(&["7KQ4-M2XD"], &["v.db: there is no such file", "is this the right --config?"]);
    check(&["https://redmine.vestibule.test/", "--user", "ada@example.com"], &["v.db: there is no such file", "--user FILE"]);
    let store = store(here).await;
    for (subject, ago_s) in [("one", 60), ("two", 3600)] {
        store.record(&signed_in("ada@example.com", subject, &[], ago_s)).await.unwrap();
    }
    store.close().await;
    check(&["7kq4m2xd"], &["no incident 7KQ4-M2XD", "30d", "--config"]);
    check(&["7KQ4-M2XD", "--user", "ada@example.com"], &["leave --user and --subject out"]);
    check(&["https://redmine.vestibule.test/", "--user", "bo@example.com"], &["nobody called bo@example.com", "--user FILE"]);
    check(
        &["https://redmine.vestibule.test/", "--user", "ada@example.com"],
        &["is 2 people", "--subject one ", "1 minute ago", "--subject two ", "1 hour ago"],
    );
    edit(here, "vestibule.toml", "env:STATE_KEY", "cred:state-key");
    check(&["7KQ4-M2XD"], &["[state] key: secret cred:state-key", "CREDENTIALS_DIRECTORY=/run/credentials/vestibule.service", "as root"]);
    edit(here, "vestibule.toml", "cred:state-key", "env:OTHER");
    let other = command(here, &["explain", "--config", "vestibule.toml", "7KQ4-M2XD"]).env("OTHER", "x".repeat(40)).output().unwrap();
    let other = String::from_utf8(other.stderr).unwrap();
    assert!(other.contains("v.db: sealed with another [state] key"), "{other}");
    edit(here, "policies/redmine.toml", "max_age = \"8h\"", "max_aeg = \"8h\"");
    check(&["https://redmine.vestibule.test/"], &["its policy has errors", "vestibule check"]);
    edit(here, "vestibule.toml", "workers", "wrokers");
    check(&["https://redmine.vestibule.test/"], &["unknown key `wrokers`"]);
}

// ---- people in files -------------------------------------------------------------------------------------------------------------

#[test]
fn a_refusal_is_explained_as_operators_read_it() {
    let made = house();
    let ada = person(made.path(), &ada());
    let said = explain(made.path(), &["https://redmine.vestibule.test/admin/info.json?secret=1", "--user", &ada]);
    let expected = r#"DENY   groups                                              policies/redmine.toml:21

sign-in   ada@example.com via corp, as if just now         (made up in a file)
          groups: redmine-devs
matched   [access]                                         policies/redmine.toml:10
          [[path]] /admin, /admin/*, /settings*            policies/redmine.toml:19
          [[path]] *.json, *.xml                           policies/redmine.toml:24
checks    ok    [login]  idp        corp
          ok    [login]  max_age    0s of 8h
          ok    [access] groups     redmine-devs fits "redmine-*"
          ok    [access] when       !has(claims.status) || claims.status != 'leaver'
          FAIL  [[path]] groups     none of the person's groups fits ["redmine-admins"]
          ok    [[path]] max_age    0s of 15m
          ok    [[path]] methods    GET
sees      "You don't have access to Redmine. Your account is not in a group that has access."  contact it-apps@example.com
fix       add the person to redmine-admins at the provider, or widen line 21
"#;
    assert_eq!(said.out, expected);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(explain(made.path(), &["redmine.vestibule.test/admin/info.json", "--user", &ada, "--exit-code"]).code, 1);
}

#[test]
fn row_22_the_roles_and_orgs_that_a_person_gets_are_answered() {
    let made = house();
    let data = person(
        made.path(),
        &json!({ "given_name": "Ada", "family_name": "Lovelace", "email": "Ada@Example.com", "groups": ["redmine-devs", "redmine-data"] }),
    );
    let said = explain(made.path(), &["https://redmine.vestibule.test/issues", "--user", &data, "--exit-code"]);
    let expected = r#"ALLOW  [access]                                            policies/redmine.toml:10

sign-in   Ada@Example.com via corp, as if just now         (made up in a file)
          groups: redmine-devs, redmine-data
matched   [access]                                         policies/redmine.toml:10
checks    ok    [login]  idp        corp
          ok    [login]  max_age    0s of 8h
          ok    [access] groups     redmine-devs fits "redmine-*"
          ok    [access] when       !has(claims.status) || claims.status != 'leaver'
account   ada-lovelace
roles     Developer
orgs      1 as Developer, 4 as Viewer
headers   X-Forwarded-User: ada-lovelace
          X-Role: Developer
          x-jwt: [token for redmine] {"sub":"ada-lovelace","role":"Developer"}
          x-from-gateway: [redacted]
"#;
    assert_eq!(said.out, expected);
    assert_eq!(said.code, 0);
    let gets = |fields: &Value| {
        let file = person(made.path(), fields);
        let said = explain(made.path(), &["https://redmine.vestibule.test/", "--user", &file, "--json"]);
        let answer: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err));
        answer["gets"].clone()
    };
    let mut contractor = ada();
    contractor["groups"] = json!(["contractors"]);
    assert_eq!((gets(&contractor)["roles"].clone(), gets(&contractor)["orgs"].clone()), (json!("Reporter"), json!("1 as Reporter")));
    // Groups that the provider left out: nothing is made up.
    edit(made.path(), "policies/redmine.toml", "groups = [\"redmine-*\", \"contractors\"]", "everyone = true");
    let mut unknown = ada();
    unknown["claims"] = json!({ "groups": null });
    unknown.as_object_mut().unwrap().remove("groups");
    assert!(gets(&unknown)["orgs"].as_str().unwrap().contains("did not say which groups"), "{}", gets(&unknown));
}

#[test]
fn every_verdict_has_its_word_and_its_reason() {
    let made = house();
    let check = |who: Option<&Value>, words: &[&str], verdict: &str, why: &str, fix: &str| {
        let file = who.map(|fields| person(made.path(), fields));
        let mut all = vec![words[0], "--json"];
        all.extend(&words[1..]);
        all.extend(file.iter().flat_map(|file| ["--user", file.as_str()]));
        let said = explain(made.path(), &all);
        let answer: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err));
        assert_eq!((answer["verdict"].as_str(), answer["why"].as_str()), (Some(verdict), Some(why)), "{words:?}: {answer:#}");
        assert!(answer["fix"].as_str().unwrap_or_default().contains(fix), "{answer:#}");
        answer
    };
    let host = "https://redmine.vestibule.test";
    let ada = ada();
    let with = |key: &str, value: Value| {
        let mut fields = ada.clone();
        if value.is_null() {
            fields.as_object_mut().unwrap().remove(key);
        } else {
            fields[key] = value;
        }
        fields
    };
    let payroll = format!("{host}/projects/payroll/x");
    let said = check(Some(&ada), &[&payroll], "DENY", "networks", "line 30");
    assert!(said["checks"].to_string().contains("no address is known"), "{said:#}");
    check(Some(&ada), &[&payroll, "--ip", "192.0.2.1"], "DENY", "networks", "widen");
    check(Some(&ada), &[&payroll, "--ip", "10.9.9.9"], "ALLOW", "[[path]] /projects/payroll/*", "");
    check(Some(&ada), &[&format!("{host}/x.json"), "--method", "delete"], "DENY", "methods", "line 26");
    check(Some(&with("claims", json!({ "status": "leaver" }))), &[host], "DENY", "when", "line 12");
    check(Some(&with("groups", json!([]))), &[host], "DENY", "groups", "redmine-* or contractors");
    let said = check(Some(&with("family_name", Value::Null)), &[host], "DENY", "required", "have the provider send family_name");
    assert_eq!(said["place"], "policies/redmine.toml:35");
    assert!(said["sees"]["text"].as_str().unwrap().contains("family name"), "{said:#}");
    let said = check(Some(&with("given_name", json!("Ada\nX-Admin: 1"))), &[host], "DENY", "required", "correct user.display at the provider");
    assert_eq!(said["place"], "policies/redmine.toml:32");
    let said = check(None, &[host], "SIGN-IN", "nobody is signed in", "");
    assert!(said["checks"].to_string().contains("\"open\""), "{said:#}");
    let said = check(None, &[&format!("{host}/robots.txt")], "PUBLIC", "[[path]] /robots.txt, /themes/*", "");
    assert_eq!(said["gets"]["headers"], json!({ "x-from-gateway": "[redacted]" }), "no identity is sent");
}

// ---- people who have signed in ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn somebody_who_has_signed_in_is_found_with_their_account_while_the_gateway_is_down() {
    let made = house();
    let store = store(made.path()).await;
    store.record(&signed_in("ada@example.com", "s-1", &["redmine-admins"], 14 * 60 + 5)).await.unwrap();
    let mut namesake = signed_in("ada@example.com", "s-2", &["redmine-devs"], 3 * 86_400);
    namesake.identity.name = Some("Another Ada".to_owned());
    store.record(&namesake).await.unwrap();
    let subject = signed_in("", "s-1", &[], 0).identity.subject;
    let key = AccountKey { upstream: "redmine".to_owned(), subject };
    let Lease::Held(fence, _) = store.lease(&key, "t", Timestamp::default(), Timestamp::from_seconds(9)).await.unwrap() else { panic!("held") };
    let record = AccountRecord {
        state: AccountState::Active,
        origin: Some(Origin::Adopted),
        account_id: Some("7".to_owned()),
        login: Some("alovelace".to_owned()),
        applied: json!({}),
        ..AccountRecord::empty(key, "")
    };
    store.save(&record, fence).await.unwrap();
    store.close().await;
    let said = explain(made.path(), &["https://redmine.vestibule.test/admin", "--user", "ADA@example.com", "--subject", "s-1"]);
    for part in [
        "ALLOW  [[path]] /admin, /admin/*, /settings*",
        "sign-in   ada@example.com via corp, 14 minutes ago         (as of the last sign-in; --user FILE for another)",
        "ok    [[path]] max_age    14m of 15m",
        "account   alovelace                                        (active, taken over)",
        "X-Forwarded-User: alovelace",
        "lands     /my/page",
    ] {
        assert!(said.out.contains(part), "{part:?}: {}{}", said.out, said.err);
    }
    let old = explain(made.path(), &["https://redmine.vestibule.test/", "--subject", "s-2"]);
    assert!(old.out.starts_with("SIGN-IN max_age 8h"), "{}{}", old.out, old.err);
    assert!(old.out.contains("FAIL  [login]  max_age    3d, more than 8h"), "{}", old.out);
    assert_eq!(
        fs::read_dir(made.path()).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("v.db")).count(),
        1
    );
}

// One name at two providers, and one address: what is suggested is the way out.
#[tokio::test]
async fn two_people_with_the_same_subject_and_address_are_told_apart() {
    let made = house();
    let store = store(made.path()).await;
    let here = signed_in("ada@example.com", "ada", &["redmine-devs"], 60);
    let mut there = signed_in("ada@example.com", "ada", &["redmine-admins"], 120);
    there.identity.subject.issuer = "https://partner.example".to_owned();
    "partner".clone_into(&mut there.identity.idp);
    for sign_in in [&here, &there] {
        store.record(sign_in).await.unwrap();
    }
    store.close().await;
    let page = "https://redmine.vestibule.test/";
    for words in [&["--user", "ada@example.com"][..], &["--subject", "ada"], &["--user", "ada@example.com", "--subject", "ada"]] {
        let said = explain(made.path(), &[&[page], words].concat());
        let suggested =
            ["is 2 people", "--subject ada --issuer https://partner.example ", &format!("--subject ada --issuer {} ", here.identity.subject.issuer)];
        assert!(said.code == 2 && suggested.iter().all(|part| said.err.contains(part)), "{words:?}: {}", said.err);
    }
    for by in [&["--issuer", "https://partner.example"][..], &["--idp", "partner"]] {
        let said = explain(made.path(), &[&[page, "--subject", "ada"], by].concat());
        assert!(said.out.contains("ada@example.com via partner, 2 minutes ago"), "{by:?}: {}{}", said.out, said.err);
        let said = explain(made.path(), &[&[page, "--user", "ada@example.com"], by].concat());
        assert!(said.out.contains("via partner"), "{by:?}: {}{}", said.out, said.err);
    }
    let said = explain(made.path(), &[page, "--user", "ada@example.com", "--idp", "nobody"]);
    assert!(said.code == 2 && said.err.contains("there is no provider `nobody`; there is corp"), "{}", said.err);
    let said = explain(made.path(), &[page, "--idp", "corp"]);
    assert!(said.code == 2 && said.err.contains("--user"), "{}", said.err);
    // The same way out of a plan.
    let plan = |words: &[&str]| {
        let output = command(made.path(), &[&["plan", "redmine", "--config", "vestibule.toml", "--user", "ada@example.com"], words].concat())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) = plan(&[]);
    assert!(code == Some(2) && said.contains("--subject ada --issuer https://partner.example"), "{said}");
    for by in [&["--issuer", "https://partner.example"][..], &["--idp", "partner"], &["--subject", "ada", "--idp", "partner"]] {
        let (code, said) = plan(by);
        assert!(code == Some(0) && said.contains("ada@example.com via partner"), "{by:?}: {said}");
    }
}

// ---- incidents -------------------------------------------------------------------------------------------------------------------

fn refused(code: u64, sign_in: &RecordedSignIn, message: PublicMessage, detail: Option<&str>) -> IncidentRecord {
    let reason = if let PublicMessage::Denied(reason) = message { reason.key() } else { "" };
    let facts = IncidentFacts {
        reason: reason.to_owned(),
        detail: detail.map(str::to_owned),
        app: Some("redmine".to_owned()),
        host: Some("redmine.vestibule.test".to_owned()),
        rule: Some("policies/redmine.toml:19".to_owned()),
        policy_revision: Some("000000000000".to_owned()),
        method: Some("GET".to_owned()),
        path: Some("/admin/info.json".to_owned()),
        peer: Some("192.0.2.7".parse().unwrap()),
        idp: Some("corp".to_owned()),
        person: Some(sign_in.identity.clone()),
        auth_time_ms: Some(sign_in.auth_time.millis()),
        ..IncidentFacts::of(message)
    };
    IncidentRecord { code: Incident::from_number(code), at: sign_in.at.plus_ms(1000), facts }
}

#[tokio::test]
async fn a_recorded_refusal_says_whether_it_still_stands() {
    let made = house();
    let store = store(made.path()).await;
    // Half a minute less than an hour: a slow machine may take a while to ask.
    let then = signed_in("ada@example.com", "s-1", &["redmine-devs"], 3570);
    let incidents = [
        refused(1, &then, PublicMessage::Denied(DenyReason::Groups), None),
        refused(2, &then, PublicMessage::AccountExists, Some("lookup: exists: GET /users.json 200")),
    ];
    store.keep_incidents(&incidents).await.unwrap();
    let ask = |code: &str| explain(made.path(), &[code]).out;
    let stands = ask("0000-0001");
    for part in [
        "DENY   groups                                              policies/redmine.toml:21",
        "incident  0000-0001, 59 minutes ago                        (as recorded)",
        "GET https://redmine.vestibule.test/admin/info.json from 192.0.2.7",
        "FAIL  [[path]] groups     none of the person's groups fits",
        "today     the policy has changed since",
    ] {
        assert!(stands.contains(part), "{part:?}: {stands}");
    }
    assert!(!stands.contains("with today's policy"), "{stands}");
    let failed = ask("00000002");
    assert!(failed.starts_with("FAILED account exists") && failed.contains("log: lookup: exists: GET /users.json 200"), "{failed}");

    // The person was let into the group and has signed in again.
    store.record(&signed_in("ada@example.com", "s-1", &["redmine-admins"], 300)).await.unwrap();
    let since = ask("oooo-oooi");
    assert!(since.contains("with the sign-in of 5 minutes ago: ALLOW"), "{since}");
    // The policy was changed.
    edit(made.path(), "policies/redmine.toml", "groups = [\"redmine-admins\"]", "groups = [\"redmine-*\"]");
    let changed = ask("0000-0001");
    assert!(changed.starts_with("DENY   groups") && changed.contains("today     with today's policy: ALLOW"), "{changed}");
    // The app is gone.
    fs::remove_file(made.path().join("policies/redmine.toml")).unwrap();
    let gone = ask("0000-0001");
    assert!(gone.starts_with("DENY   groups") && gone.contains("there is no policy called redmine any more"), "{gone}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_code_of_a_refused_page_is_the_one_that_is_explained() {
    let op = FakeOp::start(SystemClock.now().seconds()).await;
    let made = folder(0);
    let here = made.path();
    edit(here, "vestibule.toml", "issuer = \"http://127.0.0.1:9\"", &format!("issuer = \"{}\"", op.issuer));
    edit(here, "vestibule.toml", "client_id = \"v\"", &format!("client_id = \"{CLIENT_ID}\""));
    let wiki = "[[path]]\nmatch = [\"/admins\"]\ngroups = [\"admins\"]\n[[path]]\nmatch = [\"/names\"]\nmethods = [\"GET\"]\n[user]\nrequired = [\"claims.office\"]\n";
    let text = fs::read_to_string(here.join("policies/wiki.toml")).unwrap();
    fs::write(here.join("policies/wiki.toml"), text + wiki).unwrap();
    let mut serve = command(here, &["serve", "--config", "vestibule.toml"]);
    serve.env("CLIENT_SECRET", crate::fake_op::CLIENT_SECRET);
    let (mut child, _lines, said) = running(serve, "listens on");
    let at = said.last().unwrap().rsplit_once("listens on ").unwrap().1.trim().parse().unwrap();
    let street = Street { at, op: Arc::clone(&op) };
    let host = "wiki.vestibule.test";
    let person = street.sign_in(host).await;

    let denied = street.ask(host, get(&person, host, "/admins?token=hidden", "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n")).await;
    let code = denied.get("x-vestibule-incident").unwrap();
    assert_eq!(denied.status(), 403);
    assert!(String::from_utf8_lossy(&denied.body).contains(&code), "the page shows it");
    let incomplete = street.ask(host, get(&person, host, "/", "")).await;
    assert_eq!(incomplete.status(), 403);
    let stranger = street.ask("nobody.vestibule.test", "GET /x HTTP/1.1\r\nHost: nobody.vestibule.test\r\n\r\n").await;
    let failed = street.ask("auth.vestibule.test", "GET /.vestibule/callback?state=x&code=y HTTP/1.1\r\nHost: auth.vestibule.test\r\n\r\n").await;
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let ask = |code: &str| {
        let said = explain(here, &[code]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(!said.out.contains("hidden"), "the query is not kept: {}", said.out);
        said.out
    };
    let said = ask(&code);
    for part in [
        "DENY   groups                                              policies/wiki.toml:7",
        "/admins from 127.0.0.1",
        "ada@example.com via corp",
        "groups: staff",
        "FAIL  [[path]] groups      none of the person's groups fits [\"admins\"]",
    ] {
        assert!(said.contains(part), "{part:?}: {said}");
    }
    let missing = ask(&incomplete.get("x-vestibule-incident").unwrap());
    assert!(missing.starts_with("DENY   required") && missing.contains("log: `claims.office` is missing from the sign-in"), "{missing}");
    assert!(ask(&stranger.get("x-vestibule-incident").unwrap()).starts_with("FAILED no such host"));
    let link = ask(&failed.get("x-vestibule-incident").unwrap());
    assert!(link.starts_with("FAILED link expired") && link.contains("log: "), "{link}");

    let recorded = explain(here, &["https://wiki.vestibule.test/admins", "--user", "Ada@Example.com"]);
    assert!(recorded.out.starts_with("DENY   groups"), "{}{}", recorded.out, recorded.err);
    assert!(recorded.out.contains("via corp, "), "{}", recorded.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_said_of_an_account_and_where_somebody_waited_for_are_recorded() {
    // Nothing listens at the admin API.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = taken.local_addr().unwrap();
    drop(taken);
    let sections = format!("[provision]\nconnector = \"scim\"\nurl = \"http://{nowhere}/scim\"\ntoken = \"env:ADMIN_TOKEN\"\nretries = 0\n");
    let whole = Whole::app("", &sections).await;
    let person = whole.sign_in(APP).await;
    let failed = whole.ask(APP, get(&person, APP, "/issues?token=hidden", "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n")).await;
    assert_eq!(failed.status(), 503, "{failed:?}");
    let waited = whole.get(&person, APP, "/.vestibule/wait?to=/admins%3Ftoken=hidden").await;
    assert_eq!(waited.status(), 403, "{waited:?}");
    let codes = [failed, waited].map(|answer| Incident::parse(&answer.get("x-vestibule-incident").unwrap()).unwrap());
    whole.running.stop().await;

    let store = store(whole.folder.path()).await;
    let [failed, waited] = [store.incident(codes[0]).await.unwrap().unwrap().facts, store.incident(codes[1]).await.unwrap().unwrap().facts];
    assert_eq!((failed.message, failed.path.as_deref()), (PublicMessage::AccountUnavailable, Some("/issues")));
    let log = failed.detail.unwrap();
    assert!(log.contains("lookup") && !log.contains(ADMIN_TOKEN), "what the account record has: {log}");
    let kept = failed.person.unwrap();
    assert_eq!((kept.email.as_deref(), kept.claims.len()), (Some("ada@example.com"), 0), "claims that the policy does not read are not kept");
    assert_eq!((waited.message, waited.path.as_deref()), (PublicMessage::Denied(DenyReason::Groups), Some("/admins")));
    let recorded = store.last_by_email("ada@example.com").await.unwrap();
    assert_eq!(recorded.len(), 1, "the sign-in is recorded");
    assert!(!recorded[0].identity.claims.is_empty());
}

#[test]
fn a_token_is_explained_as_a_token() {
    let made = house();
    let scripts = "\n[bearer]\nidp = \"corp\"\naudience = \"api\"\n[[path]]\nmatch = [\"/api/*\"]\nauth = [\"bearer\"]\nheaders = { X-Api-User = \"{user.name}\", X-Api-Key = { secret = \"env:SHARED\" } }\n";
    fs::write(made.path().join("policies/redmine.toml"), format!("{REDMINE}{scripts}")).unwrap();
    let ada = person(made.path(), &ada());
    let ask = |words: &[&str]| explain(made.path(), &[words, &["--user", &ada]].concat()).out;
    let session = ask(&["https://redmine.vestibule.test/api/x"]);
    assert!(session.starts_with("DENY   auth") && session.contains("policies/redmine.toml:"), "{session}");
    assert!(session.contains("FAIL  [[path]] auth") && session.contains("a session; accepted here: an access token"), "{session}");
    let token = ask(&["https://redmine.vestibule.test/api/x", "--bearer"]);
    assert!(token.starts_with("ALLOW  [[path]] /api/*"), "{token}");
    assert!(token.contains("X-Api-User: ada-lovelace") && token.contains("x-api-key: [redacted]"), "{token}");
    let elsewhere = ask(&["https://redmine.vestibule.test/issues", "--bearer"]);
    assert!(elsewhere.starts_with("SIGN-IN no access token is accepted here"), "{elsewhere}");
    assert!(!elsewhere.contains("X-Api-User"), "{elsewhere}");
    assert!(!format!("{session}{token}{elsewhere}").contains("[access] auth"), "`auth` is no key of [access]: {token}");
}

// Tokens are of the provider that [bearer] names, whoever signs people in.
#[test]
fn who_is_signed_in_by_the_app_s_own_form_is_told_to_be_of_lower_assurance() {
    let made = house();
    let policy = "host = \"redmine.vestibule.test\"\nupstream = \"http://127.0.0.1:9\"\n[access]\neveryone = true\n[sign_in]\nmode = \"session_bridge\"\n\
                  [provision]\nconnector = \"redmine\"\nurl = \"http://127.0.0.1:9\"\nheaders = { X-Redmine-API-Key = { secret = \"env:SHARED\" } }\n";
    fs::write(made.path().join("policies/redmine.toml"), policy).unwrap();
    let ada = person(made.path(), &ada());
    let asked = ["https://redmine.vestibule.test/", "--user", &ada];
    let said = explain(made.path(), &asked);
    assert!(
        said.out.starts_with("ALLOW") && said.out.contains("\nenters    by the app's own form") && said.out.contains("lower assurance"),
        "{}",
        said.out
    );
    let json: Value = serde_json::from_str(&explain(made.path(), &[&asked[..], &["--json"]].concat()).out).unwrap();
    assert!(json["gets"]["enters"].as_str().is_some_and(|enters| enters.contains("lower assurance")), "{json}");
}

#[test]
fn a_token_is_of_the_provider_of_bearer_and_not_of_login() {
    let made = house();
    edit(made.path(), "vestibule.toml", "[[idp]]", "[[idp]]\nid = \"robots\"\nissuer = \"http://127.0.0.1:7\"\nclient_id = \"v\"\n[[idp]]");
    let scripts = "\n[bearer]\nidp = \"robots\"\naudience = \"api\"\n[[path]]\nmatch = [\"/api/*\"]\nauth = [\"bearer\"]\n";
    fs::write(made.path().join("policies/redmine.toml"), format!("{REDMINE}{scripts}")).unwrap();
    let ada = person(made.path(), &ada());
    let token = explain(made.path(), &["https://redmine.vestibule.test/api/x", "--bearer", "--user", &ada]).out;
    assert!(token.starts_with("ALLOW  [[path]] /api/*") && token.contains("via robots"), "{token}");
    assert!(token.contains("ok    [bearer] idp") && token.contains("ok    [[path]] auth"), "{token}");
    let mut corp = self::ada();
    corp["idp"] = json!("corp");
    let corp = person(made.path(), &corp);
    let elsewhere = explain(made.path(), &["https://redmine.vestibule.test/api/x", "--bearer", "--user", &corp]).out;
    let line = format!("{REDMINE}{scripts}").lines().position(|line| line == "idp = \"robots\"").unwrap() + 1;
    assert!(elsewhere.starts_with("DENY   idp") && elsewhere.contains(&format!("policies/redmine.toml:{line}")), "{elsewhere}");
    assert!(elsewhere.contains("FAIL  [bearer] idp") && elsewhere.contains("fix       use a token of robots"), "{elsewhere}");
}

// [provision] enabled and when_disabled decide after [access] does.
#[test]
fn who_is_kept_out_while_accounts_are_switched_off_is_told_so() {
    let made = house();
    let ada = person(made.path(), &ada());
    let check = |switches: &str, expected: &[&str]| {
        let provision = format!("\n[provision]\nconnector = \"scim\"\nurl = \"http://127.0.0.1:9/scim\"\ntoken = \"env:SHARED\"\n{switches}\n");
        // Roles are groups there, and organisations nothing.
        let redmine = REDMINE.split("[roles]").next().unwrap();
        fs::write(made.path().join("policies/redmine.toml"), format!("{redmine}{provision}")).unwrap();
        let said = explain(made.path(), &["https://redmine.vestibule.test/issues", "--user", &ada]);
        assert!(expected.iter().all(|part| said.out.contains(part)), "{expected:?}: {}{}", said.out, said.err);
    };
    check("", &["ALLOW  [access]", "no account is recorded"]);
    check("enabled = false", &["DENY   accounts off", "FAIL  [provision] enabled", "when_disabled = \"allow_linked\"", "policies/redmine.toml:"]);
    check("enabled = false\nwhen_disabled = \"deny_all\"", &["DENY   app closed", "FAIL  [provision] enabled", "nobody is let in", "fix       "]);
    check("enabled = false\nwhen_disabled = \"passthrough\"", &["ALLOW  [access]"]);
}

// Live traffic answers 400; a reader of addresses makes them whole, and would say something else.
#[test]
fn an_address_that_is_not_whole_is_refused_as_it_is_written() {
    let made = house();
    for path in ["/public/../admin", "/./x", "/a/..", "/%2e%2E/admin", "/a/.%2e/b", "/a\\b", "/projects/%2e"] {
        let said = explain(made.path(), &[&format!("https://redmine.vestibule.test{path}")]);
        assert!(said.code == 2 && said.err.contains("the gateway answers 400, whoever asks"), "{path}: {}{}", said.out, said.err);
        let said = explain(made.path(), &[&format!("redmine.vestibule.test{path}?x=/../y#/..")]);
        assert!(said.code == 2 && said.err.contains("the gateway answers 400"), "{path}: {}{}", said.out, said.err);
    }
    for path in ["/a/b?next=/../x", "/a...b", "/caf\u{e9}/x", "/a/b#/../c", ""] {
        let said = explain(made.path(), &[&format!("https://redmine.vestibule.test{path}")]);
        assert_eq!(said.code, 0, "{path}: {}{}", said.out, said.err);
    }
}
