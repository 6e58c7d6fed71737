//! Tests of policies, played; the refusing ones first.

use super::coverage::coverage;
use super::people::Known;
use super::plan::{At, Tally, look_ahead};
use super::records::Records;
use super::{gate, perform, person, run, show};
use crate::config::Idp;
use crate::connector::builtin::builtin;
use crate::identity::Groups;
use crate::policy::{self, Policy, Surroundings};
use crate::source::{Problem, SourceFile};
use crate::state::{AccountKey, AccountRecord, AccountState, Origin};
use serde_json::{Value, json};
use std::sync::Arc;

/// An app with its own steps, whose search is by address.
const OWN: &str = r#"
host = "app.example.com"
upstream = "http://127.0.0.1:1"
[login]
landing_existing = "/old"
landing_new = "/new"
[access]
groups = ["staff", "dev-*"]
deny_groups = ["suspended"]
[[path]]
match = ["/admin*"]
groups = ["ops"]
max_age = "15m"
[user]
required = ["given_name"]
name = "{slug(given_name)}"
on_collision = "suffix"
[user.extra]
dept = ["{claims.dept}", "none"]
[roles]
map = { staff = "Reader", "dev-*" = "Writer" }
pick = "all"
[[org]]
id = 4
[vars]
group_id = { Reader = 11, Writer = 12 }
[provision]
connector = "rest"
url = "http://127.0.0.1:1/api"
on_existing = "adopt"
match = ["email"]
[provision.find]
get = "/users?q={user.email}"
list = "users"
where = "lower(item.address) == user.email"
[[provision.step]]
name = "make"
on = "create"
post = "/users"
save = { id = "user.id" }
body = { user = { login = "{user.name}", dept = "{user.extra.dept}" } }
[[provision.step]]
name = "join"
on = ["create", "update"]
each = "roles.added"
put = "/users/{id}/groups/{vars.group_id[item]}"
[headers]
X-User = "{user.name}"
X-Groups = "{groups}"
[jwt]
audience = "app"
claims = { role = "{role}" }
"#;

const ADA: &str = r#"user = { given_name = "Ada", email = "Ada@example.com", groups = ["staff"] }"#;

const SCIM: &str = r#"
host = "wiki.example.com"
upstream = "http://127.0.0.1:1"
[access]
everyone = true
[roles]
map = { staff = "readers", ops = "editors" }
pick = "all"
[provision]
connector = "scim"
url = "http://127.0.0.1:1/scim/v2"
token = "env:NONE"
on_existing = "adopt"
match = ["login"]
"#;

fn compile(text: &str) -> (SourceFile, Arc<Policy>) {
    let file = SourceFile::new("app.toml", text);
    let (policy, problems) = policy::compile(&file, Surroundings { idps: None, connectors: builtin() });
    let said: String = problems.iter().map(Problem::render).collect();
    (file, Arc::new(policy.unwrap_or_else(|| panic!("{said}"))))
}

/// What the gate says of `base` with one test that says `test`.
fn failures(base: &str, test: &str) -> Vec<Problem> {
    let (file, policy) = compile(&format!("{base}[[test]]\nname = \"t\"\n{test}\n"));
    gate(&policy, &file)
}

/// One failure, whose text has every part of `expected`.
fn fails(base: &str, test: &str, expected: &[&str]) {
    let found = failures(base, test);
    assert_eq!(found.len(), 1, "{test}: {:?}", found.iter().map(|problem| &problem.message).collect::<Vec<_>>());
    let said = found[0].render();
    for part in expected {
        assert!(said.contains(part), "{test}: {part:?} should be in\n{said}");
    }
    assert!(found[0].code == "test-failed" && found[0].span.is_some(), "{said}");
}

fn passes(base: &str, test: &str) {
    let found: String = failures(base, test).iter().map(Problem::render).collect();
    assert!(found.is_empty(), "{test}\n{found}");
}

#[test]
fn a_decision_that_is_another_one_fails() {
    let eve = r#"user = { email = "eve@example.com", groups = ["guests"] }"#;
    let ask = |user: &str, get: &str, expect: &str| format!("{user}\nget = {get:?}\nexpect = {{ {expect} }}");
    fails(OWN, &ask(eve, "/", r#"access = "allow""#), &["access is \"deny\" because of `groups`, not \"allow\"", "decided by [access], app.toml:"]);
    fails(OWN, &ask(ADA, "/", r#"access = "deny""#), &["access is \"allow\", not \"deny\""]);
    fails(OWN, &ask(eve, "/", r#"because = "deny_groups""#), &["`groups` refuses, not `deny_groups`"]);
    fails(OWN, &ask(ADA, "/", r#"because = "groups""#), &["nothing refuses, not `groups`"]);
    fails(OWN, &ask("", "/", r#"access = "public""#), &["access is \"login\", not \"public\""]);
    fails(OWN, &ask(ADA, "/admin", r#"access = "deny", because = "deny_groups""#), &["`groups` refuses", "decided by [[path]], app.toml:"]);
    // The sections that restrict are asked however the path is spelt, here as in live traffic.
    fails(OWN, &ask(ADA, "/Admin;x", r#"access = "allow""#), &["because of `groups`"]);
    fails(OWN, &ask(r#"user = { groups = ["staff"] }"#, "/", r#"access = "allow""#), &["because of `required`", "`given_name` is missing"]);
    fails(OWN, &ask(r#"user = { given_name = "Admin", groups = ["staff"] }"#, "/", r#"access = "allow""#), &["`unusable`", "reserved"]);
    // Expecting a name is expecting that they enter.
    fails(OWN, &ask(eve, "/", r#"name = "eve""#), &["nobody gets so far", "because of `groups`"]);
    let old = format!("{}\nage = \"20m\"", r#"user = { given_name = "Ada", groups = ["ops", "staff"] }"#);
    fails(OWN, &ask(&old, "/admin", r#"access = "deny", because = "max_age""#), &["access is \"login\" because of `max_age`", "is repeated"]);
    passes(OWN, &ask(&old, "/admin", r#"access = "login", because = "max_age""#));
    passes(OWN, &ask(&old, "/", r#"access = "allow""#));
    passes(OWN, &ask("", "/", r#"access = "login""#));
}

#[test]
fn a_person_who_comes_out_otherwise_fails() {
    let ask = |expect: &str| format!("{ADA}\nget = \"/\"\nexpect = {{ {expect} }}");
    fails(OWN, &ask(r#"name = "Ada""#), &["name is \"ada\", not \"Ada\"", "^^^^^ it is \"ada\""]);
    fails(OWN, &ask(r#"email = "Ada@example.com""#), &["email is \"ada@example.com\""]);
    fails(OWN, &ask(r#"display = "Ada Lovelace""#), &["display is \"Ada@example.com\""]);
    fails(OWN, &ask(r#"role = "Writer""#), &["role is \"Reader\""]);
    fails(OWN, &ask(r#"roles = ["Reader", "Writer"]"#), &["roles is [\"Reader\"]"]);
    fails(OWN, &ask("roles = []"), &["roles is [\"Reader\"]"]);
    fails(OWN, &ask("orgs = [4, 9]"), &["orgs is [4]", "no [[org]] of this policy has the id 9"]);
    fails(OWN, &ask("orgs = 4"), &["orgs is [4], not 4"]);
    fails(OWN, &ask(r#"extra = { dept = "it" }"#), &["user.extra.dept is \"none\""]);
    fails(OWN, &ask(r#"extra = { detp = "none" }"#), &["user.extra.detp is not set"]);
    fails(OWN, &ask(r#"landing = "/""#), &["landing is \"/new\""]);
    fails(OWN, &ask(r#"headers = { X-User = "Ada" }"#), &["headers.x-user is \"ada\""]);
    fails(OWN, &ask(r#"headers = { X-Usr = "ada" }"#), &["headers.x-usr is not set"]);
    fails(OWN, &ask(r#"jwt = { role = "Writer" }"#), &["jwt.claims.role is \"Reader\""]);
    fails(OWN, &ask(r#"jwt = { aud = "other" }"#), &["jwt.claims.aud is \"app\""]);
    let all = r#"access = "allow", name = "ada", email = "ada@example.com", role = "Reader", orgs = ["4"], extra = { dept = "none" }, landing = "/new", headers = { x-user = "ada", X-Groups = "staff" }, jwt = { sub = "ada", role = "Reader" }"#;
    passes(OWN, &ask(all));
    let two = format!("{}\nget = \"/\"\nexpect = {{ roles = [\"Writer\", \"Reader\"] }}", ADA.replace("\"staff\"", "\"staff\", \"dev-x\""));
    passes(OWN, &two);
}

#[test]
fn other_calls_or_another_order_fail() {
    let ask = |calls: &str| format!("{ADA}\nget = \"/\"\nexpect = {{}}\ncalls = {calls}");
    let came = r#"these came: calls = ["GET /users","POST /users","PUT /users/{id}/groups/11"]"#;
    fails(OWN, &ask("[]"), &["other calls", came]);
    fails(OWN, &ask(r#"["POST /users", "GET /users", "PUT /users/{id}/groups/11"]"#), &["in another order", came]);
    fails(OWN, &ask(r#"["GET /users", "POST /users"]"#), &[came]);
    fails(OWN, &ask(r#"["GET /users", "POST /users", "PUT /users/{id}/groups/11", "PUT /users/{id}/groups/12"]"#), &[came]);
    fails(OWN, &ask(r#"["GET /users", "PUT /users", "PUT /users/{id}/groups/11"]"#), &[came]);
    // A write that comes twice is named twice.
    fails(OWN, &ask(r#"["GET /users", "GET /users", "POST /users", "PUT /users/{id}/groups/11"]"#), &[came]);
    passes(OWN, &ask(r#"["GET /users", "POST /users", "PUT /users/{id}/groups/11"]"#));
    passes(OWN, &ask(r#"["GET /users", "POST /users", "GET /users", "PUT /users/{id}/groups/11"]"#));
    // Nobody who does not enter gets a call.
    passes(OWN, "user = { groups = [\"guests\"] }\nget = \"/\"\nexpect = { access = \"deny\" }\ncalls = []");
    fails(OWN, "user = { groups = [\"guests\"] }\nget = \"/\"\nexpect = { access = \"deny\" }\ncalls = [\"GET /users\"]", &["calls = []"]);
}

#[test]
fn an_account_that_is_there_is_taken_only_as_the_policy_says() {
    let ask = |existing: &str, more: &str| format!("{ADA}\nget = \"/\"\nexisting = {existing}\n{more}");
    let ada = r#"{ id = 7, login = "ada.l", address = "ADA@example.com" }"#;
    passes(OWN, &ask(ada, "expect = { name = \"ada.l\", landing = \"/old\" }\ncalls = [\"GET /users\", \"PUT /users/7/groups/11\"]"));
    fails(OWN, &ask(ada, "expect = { landing = \"/new\" }"), &["landing is \"/old\""]);
    let refused = |base: &str, existing: &str, why: &str| {
        passes(base, &ask(existing, "expect = { access = \"deny\", because = \"conflict\" }\ncalls = [\"GET /users\"]"));
        fails(base, &ask(existing, "expect = { access = \"allow\" }"), &["because of `conflict`", why]);
    };
    refused(&OWN.replace("match = [\"email\"]\n", ""), ada, "neither match nor on_existing");
    refused(&OWN.replace("\"adopt\"", "\"refuse\""), ada, "neither match nor on_existing");
    refused(OWN, r#"{ id = 7, login = "ada.l", address = "ada@example.com", admin = true }"#, "administrator");
    refused(OWN, r#"[{ id = 7, login = "a", address = "ada@example.com" }, { id = 8, login = "b", address = "ada@example.com" }]"#, "more than one");
    let unverified = ADA.replace("groups", "email_verified = false, groups");
    let test = format!("{unverified}\nget = \"/\"\nexisting = {ada}\nexpect = {{ access = \"deny\", because = \"conflict\" }}");
    passes(OWN, &test);
}

#[test]
fn a_connector_file_is_played_like_own_steps() {
    let ask = |rest: &str| format!("user = {{ email = \"ada@example.com\", groups = [\"staff\"] }}\nget = \"/\"\n{rest}");
    passes(
        SCIM,
        &ask("expect = { name = \"ada@example.com\" }\ncalls = [\"GET /Users\", \"POST /Users\", \"GET /Groups\", \"PATCH /Groups/readers\"]"),
    );
    // The app has an account, in its own words; a group of it that nobody granted stays.
    let there = "existing = { id = \"u1\", userName = \"ADA@example.com\", active = true, groups = [\"old\", \"readers\"] }";
    let calls = "calls = [\"GET /Users\", \"GET /Groups\", \"PATCH /Users/u1\"]";
    passes(SCIM, &ask(&format!("{there}\nexpect = {{ name = \"ADA@example.com\" }}\n{calls}")));
    let disabled = "existing = { id = \"u1\", userName = \"ada@example.com\", active = false }";
    passes(SCIM, &ask(&format!("{disabled}\nexpect = {{ because = \"conflict\" }}")));
    let unmade = "[provision.settings]\ncreate_groups = true\n";
    passes(&format!("{SCIM}{unmade}"), &ask("expect = {}\ncalls = [\"GET /Users\", \"POST /Users\", \"GET /Groups\", \"PATCH /Groups/readers\"]"));
}

/// Whatever connector is built in: an application that is made of its file understands its steps.
#[test]
fn every_built_in_connector_can_be_played() {
    for model in builtin().iter().filter(|model| model.name != "rest") {
        let by_address = model.identity.accepts("ada").is_err();
        let login = if by_address { "ada@example.com" } else { "ada" };
        let text = format!(
            "host = \"app.example.com\"\nupstream = \"http://127.0.0.1:1\"\n[access]\neveryone = true\n[user]\nname = \"{}\"\n\
             [roles]\nmap = {{ staff = \"{}\" }}\n[[org]]\nid = 4\nrole = \"{{role}}\"\n[provision]\nconnector = \"{}\"\nurl = \"http://127.0.0.1:1/api\"\nusername = \"x\"\npassword = \"env:X\"\n{}\
             [[test]]\nname = \"t\"\nuser = {{ given_name = \"Ada\", email = \"ada@example.com\", groups = [\"staff\"] }}\nget = \"/\"\nexpect = {{}}\ncalls = []\n",
            // Where people are their addresses.
            if by_address { "{email}" } else { "{slug(given_name)}" },
            model.role_order.last().map_or("devs", String::as_str),
            model.name,
            if model.settings.iter().any(|setting| setting.name == "org") { "[provision.settings]\norg = \"acme\"\n" } else { "" }
        );
        let (file, policy) = compile(&text);
        let ran = run(&policy, &file);
        let done = ran[0].came.performance.as_ref().unwrap_or_else(|| panic!("{}: {:?}", model.name, ran[0]));
        assert_eq!(done.ensured.as_ref().map(|pass| pass.login.as_str()), Ok(login), "{}: {:?} {:?}", model.name, done.why(), ran[0].came.calls());
        let state = done.record.as_ref().map(|record| (record.state, record.last_error.clone()));
        assert_eq!(state, Some((AccountState::Active, None)), "{}: {:?}", model.name, ran[0].came.calls());
        // By a step of its own, or along with the create.
        let kinds = done.record.as_ref().and_then(|record| record.applied.get("memberships")?.as_object().cloned()).unwrap_or_default();
        let is_granted = kinds.values().any(|members| members.as_object().is_some_and(|members| !members.is_empty()));
        assert_eq!(is_granted, model.supports("members"), "{}: made and granted a role: {:?}", model.name, done.steps);
    }
}

#[test]
fn a_person_is_read_as_a_provider_would_have_said_it() {
    let (_, policy) = compile(OWN);
    let idp = Idp { name: "Corp".to_owned(), client_id: "v".to_owned(), groups: "realm.roles".to_owned(), ..Idp::bare("corp", "https://idp") };
    let read = |value: &Value| person::read(&value.to_string(), std::slice::from_ref(&idp), &policy);
    let refused = |value: &Value, because: &str| {
        let said = read(value).map(|_| ()).map_err(|problem| problem.to_string());
        assert!(said.as_ref().is_err_and(|said| said.contains(because)), "{value}: {said:?}");
    };
    refused(&json!([]), "JSON object");
    refused(&json!({"mail": "x"}), "`mail`");
    refused(&json!({"given_nam": "x"}), "did you mean `given_name`?");
    refused(&json!({"groups": "staff"}), "`groups` takes a list");
    refused(&json!({"email": "a@b.c", "email_verified": "true"}), "true or false");
    refused(&json!({"claims": 1}), "`claims` takes a table");
    refused(&json!({"iss": "https://other", "sub": "1"}), "no [[idp]] has the issuer");
    refused(&json!({"subject": 1, "idp": "corp"}), "not a recorded sign-in");
    let who = read(&json!({"email": "a@evil@good.com", "idp": "corp"})).unwrap();
    assert_eq!((who.email, who.email_verified, who.groups), (None, false, Groups::Known(Vec::new())), "an address that is none is not vouched for");
    let overage = read(&json!({"idp": "corp", "claims": {"hasgroups": true}})).unwrap();
    assert_eq!(overage.groups, Groups::Unknown);
    let token = read(&json!({"iss": "https://idp", "sub": "s1", "email": "a@b.c", "realm": {"roles": ["x"]}})).unwrap();
    assert_eq!((token.idp.as_str(), token.subject.subject.as_str(), token.email_verified), ("corp", "s1", false));
    assert_eq!(token.groups, Groups::Known(vec!["x".to_owned()]));
    let recorded = read(&serde_json::to_value(&token).unwrap()).unwrap();
    assert_eq!(recorded, token);
    assert_eq!(read(&json!({"identity": token})).unwrap(), recorded);
}

#[test]
fn coverage_names_what_no_test_came_to() {
    let tests = r#"
[[test]]
name = "in"
user = { given_name = "Ada", groups = ["staff"] }
get = "/"
expect = { access = "allow" }
[[test]]
name = "out"
user = { given_name = "Ada", groups = ["suspended"] }
get = "/admin"
expect = { access = "deny" }
"#;
    let (file, policy) = compile(&format!("{OWN}{tests}"));
    let rules = coverage(&file, &policy, &run(&policy, &file));
    insta::assert_snapshot!(show::coverage(&rules));
    assert!(rules.iter().filter(|rule| rule.refused == Some(true)).all(|rule| rule.what == "[access] deny_groups"), "{rules:?}");
}

/// A record of an account that this gateway made and put into groups.
fn record(policy: &Policy, who: &crate::identity::Identity, applied: Value) -> AccountRecord {
    AccountRecord {
        state: AccountState::Active,
        origin: Some(Origin::Created),
        account_id: Some("u1".to_owned()),
        login: Some("ada@example.com".to_owned()),
        applied,
        verified_at: Some(super::test::NOW.plus_ms(-1000)),
        ..blank(AccountKey { upstream: policy.name.clone(), subject: who.subject.clone() })
    }
}

fn blank(key: AccountKey) -> AccountRecord {
    AccountRecord { applied: json!({}), ..AccountRecord::empty(key, "") }
}

#[test]
fn what_was_granted_is_taken_back_and_the_sum_says_so() {
    let (_, policy) = compile(SCIM);
    let person = |sub: &str, groups: &[&str]| {
        person::read(&json!({"email": "ada@example.com", "sub": sub, "groups": groups}).to_string(), &[], &policy).unwrap()
    };
    let mut tally = Tally::default();
    let mut look = |who: crate::identity::Identity, applied: Option<Value>| {
        let record = applied.map(|applied| record(&policy, &who, applied));
        let records = Arc::new(Records::with(record.clone()));
        let outlook = look_ahead(&policy, &Known { identity: who, record }, &records, At::Recorded(None), super::test::NOW);
        tally.add(&outlook);
        show::plan(&outlook, false)
    };
    let loses = look(
        person("1", &["staff"]),
        Some(json!({"attributes": {"email": "ada@example.com"}, "memberships": {"group": {"readers": null, "editors": null}}})),
    );
    let gains = look(person("2", &["staff", "ops"]), Some(json!({"attributes": {}, "memberships": {"group": {"readers": null}}})));
    let unknown = json!({"email": "ada@example.com", "sub": "3", "claims": {"hasgroups": true}});
    let unknown = person::read(&unknown.to_string(), &[], &policy).unwrap();
    let untouched = look(unknown, Some(json!({"attributes": {}, "memberships": {"group": {"editors": null}}})));
    assert!(loses.contains("- group") && loses.contains("editors") && loses.contains("granted by vestibule"), "{loses}");
    assert!(gains.contains("+ group") && !gains.contains("- group"), "{gains}");
    assert!(!untouched.contains("- group") && untouched.contains("groups are not known: untouched"), "{untouched}");
    assert_eq!(tally.people, 3);
    let said = show::tally(&tally);
    assert!(said.starts_with("+1 editors, 1 loses editors"), "{said}");
}

#[test]
fn two_new_people_of_one_name_are_a_conflict_of_the_second() {
    let (_, policy) = compile(&OWN.replace("on_collision = \"suffix\"\n", ""));
    let records = Arc::new(Records::default());
    let mut tally = Tally::default();
    for (sub, email) in [("1", "a@example.com"), ("2", "b@example.com")] {
        let who = json!({"given_name": "Ada", "sub": sub, "email": email, "groups": ["staff"]}).to_string();
        let known = Known { identity: person::read(&who, &[], &policy).unwrap(), record: None };
        tally.add(&look_ahead(&policy, &known, &records, At::Imagined(Vec::new()), super::test::NOW));
    }
    assert_eq!(show::tally(&tally), "+1 Reader, 1 account to create, 1 conflict");
}

#[test]
fn a_rehearsal_may_be_played_inside_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { passes(OWN, &format!("{ADA}\nget = \"/\"\nexpect = {{ landing = \"/new\" }}")) });
}

#[test]
fn nothing_to_play_is_nothing() {
    assert!(perform::perform(&[], super::test::NOW).is_empty());
}
