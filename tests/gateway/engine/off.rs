//! Switching off and on, renaming, removing, ending sessions.

use super::{ACCOUNT, answer, house, outcome, parse};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use vestibule::connector::model::{MemberVerb, Verb};
use vestibule::connector::{Connector as _, Observation, Outcome, SwitchedOff, Trouble};
use vestibule::plan::Step;

const ALL: &str = r#"
disable_by = ["flag", "members_removed", "delete", "none"]
[account]
id      = "/id"
login   = "/login"
members = { org = { each = "/orgs", name = "/id" } }
[[get]]
name     = "one"
effect   = "read"
get      = "/users/{account.id}"
classify = [{ status = 200, outcome = "found" }, { status = 404, outcome = "absent" }]
[[disable]]
name     = "flag"
effect   = "write"
post     = "/users/{account.id}/disable"
classify = [{ status = 200, outcome = "done" }, { status = 404, outcome = "gone" }, { status = 500, body = "external user", outcome = "unsupported" }]
[[delete]]
name     = "delete"
effect   = "destroy"
delete   = "/users/{account.id}"
classify = [{ status = [200, 404], outcome = "done" }, { status = 422, outcome = "denied" }]
[[members.org.remove]]
name     = "leave"
effect   = "destroy"
delete   = "/orgs/{member.name}/users/{account.id}"
classify = [{ status = 200, outcome = "done" }, { status = 400, outcome = "denied", reason = "the last administrator" }]
[[rename]]
name     = "rename"
effect   = "write"
post     = "/users/{account.login}/rename"
body     = { new_username = "{want.login}" }
classify = [{ status = 204, outcome = "updated" }, { status = 422, outcome = "conflict" }]
[[revoke_sessions]]
name     = "out"
effect   = "write"
post     = "/users/{account.id}/logout"
classify = [{ status = [200, 404], outcome = "done" }]
"#;

async fn off(house: &super::House, may_delete: bool) -> Result<SwitchedOff, Trouble> {
    let scope = super::nowhere();
    house.engine.disable(super::ann(&scope, Some("7")), may_delete).await
}

#[tokio::test]
async fn a_refusal_is_no_reason_to_try_another_way() {
    let check = async |status: u16, body: &'static str, expected: Outcome| {
        let house = house(ALL, move |_, _| super::with_headers(status, &[], body));
        assert_eq!(outcome(off(&house, true).await), expected, "{status}");
        assert_eq!(house.wire.lines(), ["POST /base/users/7/disable"]);
    };
    check(500, "{\"message\":\"out of disk\"}", Outcome::InDoubt).await;
    check(503, "", Outcome::InDoubt).await;
    check(401, "{}", Outcome::Reauth).await;
    check(429, "{}", Outcome::Retry).await;
}

#[tokio::test]
async fn the_next_way_is_taken_when_the_app_cannot_do_the_first() {
    let external = |sent: &super::Sent, orgs: Value| match sent.line.as_str() {
        "POST /base/users/7/disable" => super::with_headers(500, &[], "{\"message\":\"Could not disable external user\"}"),
        "GET /base/users/7" => answer(200, &json!({ "id": 7, "login": "ann", "orgs": orgs })),
        "DELETE /base/orgs/3/users/7" => answer(400, &json!({ "message": "last admin" })),
        _ => answer(200, &json!({})),
    };
    let house = house(ALL, move |sent, _| external(sent, json!([{ "id": 1 }, { "id": 2 }])));
    assert_eq!(off(&house, false).await, Ok(SwitchedOff::MembersRemoved));
    let expected = ["POST /base/users/7/disable", "GET /base/users/7", "DELETE /base/orgs/1/users/7", "DELETE /base/orgs/2/users/7"];
    assert_eq!(house.wire.lines(), expected);
    let last_admin = super::house(ALL, move |sent, _| external(sent, json!([{ "id": 3 }])));
    assert_eq!(outcome(off(&last_admin, true).await), Outcome::Denied);
    assert!(!last_admin.wire.lines().contains(&"DELETE /base/users/7".to_owned()), "nobody is removed because of that");
}

#[tokio::test]
async fn an_account_is_removed_only_for_whoever_may_and_one_that_is_gone_is_off() {
    let text = ALL.replace("[\"flag\", \"members_removed\", \"delete\", \"none\"]", "[\"delete\", \"none\"]");
    let house = house(&text, |_, _| answer(200, &json!({})));
    assert_eq!(off(&house, false).await, Ok(SwitchedOff::NotAtTheApp));
    assert_eq!(house.wire.lines(), [""; 0]);
    assert_eq!(off(&house, true).await, Ok(SwitchedOff::Deleted));
    assert_eq!(house.wire.lines(), ["DELETE /base/users/7"]);
    let gone = super::house(ALL, |_, _| answer(404, &json!({})));
    assert_eq!(off(&gone, true).await, Ok(SwitchedOff::Gone));
    let none = super::house(ACCOUNT, |_, _| answer(200, &json!({})));
    assert_eq!(off(&none, true).await, Ok(SwitchedOff::NotAtTheApp), "an app that cannot");
}

#[tokio::test]
async fn what_an_app_cannot_do_is_unsupported_and_what_it_can_is_told() {
    let scope = super::nowhere();
    let ann = super::ann(&scope, Some("7"));
    let bare = house(ACCOUNT, |_, _| answer(200, &json!({})));
    assert_eq!(outcome(bare.engine.delete(ann).await), Outcome::Unsupported);
    assert_eq!(outcome(bare.engine.rename(ann, "anna").await), Outcome::Unsupported);
    assert_eq!(outcome(bare.engine.revoke_sessions(ann).await), Outcome::Unsupported);
    assert_eq!(outcome(bare.engine.list(None).await), Outcome::Unsupported);
    assert!(bare.wire.take().is_empty());
    assert!(!bare.engine.can(&Verb::Delete) && bare.engine.can(&Verb::Get));
    let house = house(ALL, |sent, _| if sent.line.ends_with("rename") { super::with_headers(204, &[], "") } else { answer(200, &json!({})) });
    assert!(house.engine.can(&Verb::Members("org".to_owned(), MemberVerb::Remove)) && house.engine.can(&Verb::Rename));
    assert_eq!(outcome(house.engine.rename(ann, "admin").await), Outcome::Invalid, "a reserved name");
    assert_eq!(house.engine.rename(ann, "anna").await, Ok(Outcome::Updated));
    assert_eq!(house.engine.revoke_sessions(ann).await, Ok(Outcome::Done));
    assert_eq!(house.engine.delete(ann).await, Ok(Outcome::Done));
    let sent = house.wire.take();
    assert_eq!((sent[0].line.as_str(), sent[0].json()), ("POST /base/users/ann/rename", json!({ "new_username": "anna" })));
}

const GROUP: &str = r#"
disable_by = ["group"]
[disable_group]
kind = "group"
name = "{settings.disabled_group}"
[settings.disabled_group]
summary = "group whose members cannot sign in"
default = "Disabled"
[account]
id      = "/id"
login   = "/login"
members = { group = { each = "/groups" } }
[[get]]
name     = "one"
effect   = "read"
get      = "/users/{account.id}"
classify = [{ status = 200, outcome = "found" }]
[[members.group.set]]
name     = "set"
effect   = "write"
put      = "/users/{account.id}"
body     = { groups = { "$each" = "members.group", "$item" = "{item.name}" } }
classify = [{ status = 200, outcome = "updated" }]
"#;

#[tokio::test]
async fn a_group_that_lets_nobody_in_is_a_switch() {
    let groups = Arc::new(Mutex::new(json!(["devs", "by hand"])));
    let kept = Arc::clone(&groups);
    let house = house(GROUP, move |sent, _| {
        let mut groups = kept.lock().unwrap();
        if sent.line.starts_with("PUT") {
            *groups = sent.json()["groups"].clone();
        }
        answer(200, &json!({ "id": 7, "login": "ann", "groups": *groups }))
    });
    let scope = super::nowhere();
    let is_off = async || match house.engine.get(super::ann(&scope, Some("7"))).await {
        Ok(Observation::Found(account, _)) => account.disabled,
        other => panic!("{other:?}"),
    };
    assert!(!is_off().await);
    assert_eq!(off(&house, false).await, Ok(SwitchedOff::Group));
    assert_eq!(off(&house, false).await, Ok(SwitchedOff::Group), "twice is once");
    assert_eq!(*groups.lock().unwrap(), json!(["Disabled"]));
    assert!(is_off().await);
    assert_eq!(house.add("devs").await, Ok(Outcome::Updated));
    assert_eq!(house.apply(Step::Enable).await, Ok(Outcome::Updated));
    assert_eq!(*groups.lock().unwrap(), json!(["devs"]));
    assert!(!is_off().await);
}

#[test]
fn a_way_of_switching_off_that_the_connector_lacks_is_a_problem() {
    let check = |text: &str, expected: &str| {
        let problems = parse(&format!("{}{text}{ACCOUNT}", super::HEAD)).expect_err(text);
        assert!(problems.contains(expected), "{problems}");
    };
    check("disable_by = [\"flag\"]", "needs `[[disable]]`");
    check("disable_by = [\"delete\"]", "needs `[[delete]]`");
    check("disable_by = [\"group\"]", "needs `[disable_group]");
    check("disable_by = [\"flog\"]", "did you mean \"flag\"?");
    check("disable_by = [\"group\"]\n[disable_group]\nkind = \"group\"\nname = \"{settings.none}\"", "none");
}
