//! Memberships by replacement, and ids that are remembered.

use super::{ACCOUNT, House, answer, house, outcome, parse};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use vestibule::connector::{Connector as _, Outcome};
use vestibule::plan::Step;

const SET: &str = r#"
[account]
id      = "/id"
login   = "/login"
members = { group = { each = "/groups", name = "/name", id = "/gid" } }
[[get]]
name     = "one"
effect   = "read"
get      = "/users/{account.id}"
classify = [{ status = 200, outcome = "found" }, { status = 404, outcome = "absent" }]
[[resolve.group]]
name     = "by_name"
effect   = "read"
get      = "/groups?name={member.name}"
select   = { items = "", where = { "/name" = "{member.name}" } }
save     = { id = "/gid" }
classify = [{ status = 200, outcome = "found" }]
[[members.group.set]]
name     = "set"
effect   = "write"
patch    = "/users/{account.id}"
body     = { groups = { "$each" = "members.group", "$item" = { "$number" = "{item.id}" } } }
classify = [{ status = 200, outcome = "updated" }, { status = 404, outcome = "gone" }, { status = 400, outcome = "invalid" }]
"#;

type Table = Arc<Mutex<(Vec<u64>, Vec<(u64, &'static str)>)>>;

/// An app that replaces lists: the groups of account 7, and all groups.
fn app(of_ann: &[u64], groups: &[(u64, &'static str)]) -> (House, Table) {
    let table: Table = Arc::new(Mutex::new((of_ann.to_vec(), groups.to_vec())));
    let kept = Arc::clone(&table);
    let house = house(SET, move |sent, _| {
        let mut table = kept.lock().unwrap();
        let listed = |(id, name): &(u64, &str)| json!({ "gid": id, "name": name });
        if sent.line.starts_with("GET /base/groups") {
            return answer(200, &table.1.iter().map(listed).collect());
        }
        if sent.line.starts_with("PATCH") {
            let wanted: Vec<u64> = sent.json()["groups"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
            if wanted.iter().any(|id| !table.1.iter().any(|(known, _)| known == id)) {
                return answer(400, &json!({ "groups": ["invalid pk"] }));
            }
            table.0 = wanted;
        }
        let of_ann: Vec<Value> = table.1.iter().filter(|(id, _)| table.0.contains(id)).map(listed).collect();
        answer(200, &json!({ "id": 7, "login": "ann", "groups": of_ann }))
    });
    (house, table)
}

const GROUPS: [(u64, &str); 3] = [(1, "by hand"), (2, "devs"), (3, "ops")];

#[tokio::test]
async fn an_answer_that_does_not_show_the_list_takes_nothing_away() {
    for shown in [json!({ "id": 7, "login": "ann" }), json!({ "id": 7, "login": "ann", "groups": null })] {
        let house = house(SET, move |sent, _| {
            if sent.line.starts_with("GET /base/groups") { answer(200, &json!([{ "gid": 2, "name": "devs" }])) } else { answer(200, &shown) }
        });
        assert_eq!(outcome(house.add("devs").await), Outcome::Retry);
        assert_eq!(house.wire.lines(), ["GET /base/users/7"]);
    }
    let house = house(SET, |_, _| answer(200, &json!({ "id": 8, "login": "mallory", "groups": [] })));
    assert_eq!(outcome(house.add("devs").await), Outcome::Conflict, "somebody else's list");
    let house = super::house(SET, |_, _| answer(404, &json!({})));
    assert_eq!(outcome(house.add("devs").await), Outcome::Gone);
}

#[tokio::test]
async fn what_was_given_by_hand_goes_back_with_the_list() {
    let (house, table) = app(&[1], &GROUPS);
    assert_eq!(house.add("devs").await, Ok(Outcome::Updated));
    assert_eq!(table.lock().unwrap().0, [1, 2]);
    assert_eq!(house.add("devs").await, Ok(Outcome::Unchanged), "twice is once, and nothing is sent");
    assert_eq!(house.remove("ops").await, Ok(Outcome::Unchanged));
    assert_eq!(house.remove("devs").await, Ok(Outcome::Updated));
    assert_eq!(table.lock().unwrap().0, [1]);
    assert_eq!(outcome(house.add("nobody").await), Outcome::Absent);
    assert_eq!(table.lock().unwrap().0, [1]);
    let lines = house.wire.lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with("PATCH")).count(), 2, "{lines:?}");
}

#[tokio::test]
async fn changes_of_one_account_come_one_after_the_other() {
    let (house, table) = app(&[1], &GROUPS);
    let (devs, ops) = tokio::join!(house.add("devs"), house.add("ops"));
    assert_eq!((devs, ops), (Ok(Outcome::Updated), Ok(Outcome::Updated)));
    assert_eq!(table.lock().unwrap().0, [1, 2, 3], "neither overwrote the other");
    let scope = super::nowhere();
    let at_once = house.engine.change_members(super::ann(&scope, Some("7")), "group", &[("ops", None)], &["devs"]).await;
    assert_eq!(at_once, Ok(Outcome::Updated));
    assert_eq!(table.lock().unwrap().0, [1, 3]);
}

#[tokio::test]
async fn an_id_is_remembered_until_an_answer_says_otherwise_and_an_absence_is_not() {
    let (house, table) = app(&[], &GROUPS[..2]);
    assert_eq!(outcome(house.add("ops").await), Outcome::Absent);
    table.lock().unwrap().1.push((3, "ops"));
    assert_eq!(house.add("ops").await, Ok(Outcome::Updated), "an absence is not believed");
    table.lock().unwrap().0.clear();
    drop(house.wire.lines());
    assert_eq!(house.add("ops").await, Ok(Outcome::Updated));
    assert_eq!(house.wire.lines(), ["GET /base/users/7", "PATCH /base/users/7"], "the id is remembered");
    // Somebody removes the group and makes another of that name.
    *table.lock().unwrap() = (Vec::new(), vec![(30, "ops")]);
    assert_eq!(house.add("ops").await, Ok(Outcome::Updated));
    assert_eq!(table.lock().unwrap().0, [30]);
    table.lock().unwrap().0.clear();
    drop(house.wire.lines());
    house.clock.advance_ms(600_000);
    assert_eq!(house.add("ops").await, Ok(Outcome::Updated));
    assert_eq!(house.wire.lines().len(), 3, "and asked for again after a while");
}

#[tokio::test]
async fn a_name_is_asked_for_by_one_for_all() {
    const ADD: &str = r#"
[[resolve.group]]
name     = "by_name"
effect   = "read"
get      = "/groups?name={member.name}"
select   = { items = "", where = { "/name" = "{member.name}" } }
save     = { id = "/gid" }
classify = [{ status = 200, outcome = "found" }]
[[members.group.add]]
name     = "join"
effect   = "write"
post     = "/groups/{member.id}/{account.id}"
classify = [{ status = 200, outcome = "done" }]
"#;
    let house = house(&format!("{ADD}{ACCOUNT}"), |_, _| answer(200, &json!([{ "gid": 2, "name": "devs" }])));
    let scope = super::nowhere();
    let step = Step::Add { kind: "group".to_owned(), member: "devs".to_owned(), role: None };
    let ids: Vec<String> = (0..20).map(|n| format!("u{n}")).collect();
    let add = |id| house.engine.apply(super::ann(&scope, Some(id)), &step);
    let added = futures_util::future::join_all(ids.iter().map(|id| add(id))).await;
    assert!(added.iter().all(Result::is_ok), "{added:?}");
    let lines = house.wire.lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with("GET")).count(), 1, "{lines:?}");
}

const SINGLE: &str = r#"
[single]
group = "FALLBACK"
[account]
id      = "/id"
login   = "/login"
members = { group = { each = "/role", name = "/name", id = "/id" } }
[[get]]
name     = "one"
effect   = "read"
get      = "/users/{account.id}"
classify = [{ status = 200, outcome = "found" }]
[[members.group.set]]
name     = "set"
effect   = "write"
put      = "/users/{account.id}/role"
body     = { roleid = "{member.id}", count = "{size(members.group)}" }
classify = [{ status = 200, outcome = "updated" }]
"#;

#[tokio::test]
async fn what_an_account_has_exactly_one_of_is_replaced_and_never_nothing() {
    let one = |_: &super::Sent, _: usize| answer(200, &json!({ "id": 7, "login": "ann", "role": { "id": "1", "name": "guest" } }));
    let none = house(&SINGLE.replace("FALLBACK", ""), one);
    assert_eq!(outcome(none.remove("guest").await), Outcome::Denied);
    assert_eq!(none.wire.lines(), ["GET /base/users/7"]);
    let house = house(&SINGLE.replace("FALLBACK", "nobody"), one);
    assert_eq!(house.add("guest").await, Ok(Outcome::Unchanged));
    assert_eq!(house.remove("editor").await, Ok(Outcome::Unchanged));
    assert_eq!(house.add("editor").await, Ok(Outcome::Updated));
    assert_eq!(house.remove("guest").await, Ok(Outcome::Updated));
    let bodies: Vec<Value> = house.wire.take().iter().filter(|sent| sent.line.starts_with("PUT")).map(super::Sent::json).collect();
    assert_eq!(bodies, [json!({ "roleid": "editor", "count": 1 }), json!({ "roleid": "nobody", "count": 1 })]);
}

#[tokio::test]
async fn memberships_that_are_shown_by_id_are_named_and_kept() {
    const BY_ID: &str = r#"
[account]
id      = "/id"
login   = "/login"
members = { group = { each = "/groups", name = "/name", id = "" } }
[[get]]
name     = "one"
effect   = "read"
get      = "/users/{account.id}"
classify = [{ status = 200, outcome = "found" }]
[[members.group.name]]
name     = "by_id"
effect   = "read"
get      = "/groups"
select   = { items = "", where = { "/id" = "{member.id}" } }
save     = { name = "/name" }
classify = [{ status = 200, outcome = "found" }]
[[members.group.set]]
name     = "set"
effect   = "write"
put      = "/users/{account.id}"
body     = { groups = { "$each" = "members.group", "$item" = { "$number" = "{item.id}" } } }
classify = [{ status = 200, outcome = "updated" }]
"#;
    let house = house(BY_ID, |sent, _| match sent.line.as_str() {
        "GET /base/groups" => answer(200, &json!([{ "id": 1, "name": "All" }, { "id": 2, "name": "devs" }])),
        _ => answer(200, &json!({ "id": 7, "login": "ann", "groups": [1, 2, 99] })),
    });
    let scope = super::nowhere();
    let Ok(vestibule::connector::Observation::Found(account, _)) = house.engine.get(super::ann(&scope, Some("7"))).await else {
        panic!("ann is there")
    };
    let names: Vec<&String> = account.memberships["group"].keys().collect();
    assert_eq!(names, ["99", "All", "devs"], "one that has no name goes by its id");
    assert_eq!(house.remove("devs").await, Ok(Outcome::Updated));
    assert_eq!(house.wire.take().last().unwrap().json(), json!({ "groups": [1, 99] }));
}

#[test]
fn what_resolves_a_name_is_the_same_for_everybody() {
    let check = |from: &str, to: &str, expected: &str| {
        let problems = parse(&format!("{}{}", super::HEAD, SET.replacen(from, to, 1))).expect_err(to);
        assert!(problems.contains(expected), "{problems}");
    };
    check("/groups?name={member.name}", "/groups?user={account.id}", "account");
    check("/groups?name={member.name}", "/groups?user={want.login}", "login");
    check("members = { group = { each = \"/groups\", name = \"/name\", id = \"/gid\" } }", "", "nothing says how that is read");
    check("select   = { items = \"\", where = { \"/name\" = \"{member.name}\" } }", "cache = \"soon\"", "not a length of time");
}
