//! What goes into an app, and what its protocol's own errors mean.

use super::{ACCOUNT, House, answer, house, house_with, outcome, parse, with_headers};
use serde_json::{Value, json};
use std::sync::Arc;
use vestibule::connector::{Observation, Outcome, ResolvedCredential};
use vestibule::entropy::SeededEntropy;

const RPC: &str = r#"
[defaults]
post     = "/api_jsonrpc.php"
classify = [{ json = { "/error/data" = { matches = "(?i)re-login" } }, outcome = "reauth" }]
[account]
id    = "/userid"
login = "/username"
[attributes.email]
[[lookup.login]]
name     = "find"
effect   = "read"
jsonrpc  = { method = "user.get", params = { filter = { username = ["{want.login}"] }, output = "extend" } }
select   = { items = "/result", where = { "/username" = "{want.login}" } }
classify = [{ status = 200, json = { "/result" = { exists = true } }, outcome = "found" }]
[[create]]
name     = "create"
effect   = "write"
jsonrpc  = { method = "user.create", params = { username = "{want.login}", usrgrps = { "$each" = "members.group", usrgrpid = "{item.id}" } } }
at       = "/result"
save     = { id = "/userids/0" }
classify = [
  { status = 200, outcome = "created" },
  { json = { "/error/data" = { matches = "already exists" } }, outcome = "exists" },
]
[[resolve.group]]
name     = "by_name"
effect   = "read"
jsonrpc  = { method = "usergroup.get", params = { filter = { name = ["{member.name}"] } } }
select   = { items = "/result", where = { "/name" = "{member.name}" } }
save     = { id = "/usrgrpid" }
classify = [{ status = 200, json = { "/result" = { exists = true } }, outcome = "found" }]
"#;

/// A far end of JSON-RPC: the answer's members go beside the id of the request.
fn rpc(member: impl Fn(&str) -> Value + Send + Sync + 'static) -> House {
    house(RPC, move |sent, _| {
        let request = sent.json();
        let mut answered = member(request["method"].as_str().unwrap_or_default());
        if answered.get("id").is_none() {
            answered["id"] = request["id"].clone();
        }
        answered["jsonrpc"] = json!("2.0");
        answer(200, &answered)
    })
}

#[tokio::test]
async fn a_json_rpc_answer_to_another_request_is_nobody_s() {
    for id in [json!(999), json!("999"), json!(null), json!([1])] {
        let house = rpc(move |_| json!({ "id": id, "result": [{ "userid": "1", "username": "ann" }] }));
        assert_eq!(outcome(house.find().await), Outcome::Retry);
        let trouble = house.create(&[]).await.expect_err("trouble");
        assert_eq!((trouble.outcome, trouble.detail.as_str()), (Outcome::InDoubt, "the answer is to another request"));
    }
}

#[tokio::test]
async fn an_error_of_json_rpc_is_never_a_success_whatever_the_status_and_whatever_else_is_shown() {
    let house = rpc(|_| json!({ "result": [{ "userid": "1", "username": "ann" }], "error": { "code": -32500, "data": "no" } }));
    assert_eq!(outcome(house.find().await), Outcome::Retry);
    assert_eq!(outcome(house.create(&[]).await), Outcome::InDoubt);
    let house = rpc(|_| json!({ "error": { "code": -32602, "data": "User with username \"ann\" already exists." } }));
    assert_eq!(outcome(house.create(&[]).await), Outcome::Exists);
    // A line for every step, from [defaults]; without a pre-step there is nothing to sign in again with.
    let house = rpc(|_| json!({ "error": { "code": -32602, "data": "Session terminated, re-login, please." } }));
    assert_eq!(outcome(house.find().await), Outcome::Reauth);
    // §5: an error that was met before the id was read has none.
    let house = rpc(|_| json!({ "id": null, "error": { "code": -32700, "data": "already exists" } }));
    assert_eq!(outcome(house.create(&[]).await), Outcome::Exists);
}

#[tokio::test]
async fn a_json_rpc_request_has_its_method_as_written_and_values_only_in_its_tree() {
    let house = rpc(|method| match method {
        "usergroup.get" => json!({ "result": [{ "usrgrpid": "13", "name": "dev\"s" }, { "usrgrpid": "14", "name": "devs" }] }),
        "user.create" => json!({ "result": { "userids": ["12"] } }),
        _ => json!({ "result": [{ "userid": "12", "username": "ann" }] }),
    });
    let Ok(Observation::Found(account, _)) = house.find().await else { panic!("ann is there") };
    assert_eq!(account.id, "12");
    house.create(&[("group", &["dev\"s"])]).await.expect("made");
    let sent = house.wire.take();
    let ids: Vec<u64> = sent.iter().map(|sent| sent.json()["id"].as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    assert!(sent.iter().all(|sent| sent.line == "POST /base/api_jsonrpc.php"));
    let made = sent.iter().find(|sent| sent.json()["method"] == "user.create").unwrap().json();
    assert_eq!(made["params"], json!({ "username": "ann", "usrgrps": [{ "usrgrpid": "13" }] }));
}

const GRAPH: &str = r#"
[defaults]
post = "/graphql"
[account]
id    = "/id"
login = "/email"
[[lookup.login]]
name     = "search"
effect   = "read"
graphql  = { query = "query($q: String!) { users { search(query: $q) { id email } } }", variables = { q = "{want.login}" } }
select   = { items = "/data/users/search", where = { "/email" = "{want.login}" } }
classify = [{ status = 200, json = { "/data/users/search" = { exists = true } }, outcome = "found" }]
"#;

#[tokio::test]
async fn a_graphql_answer_with_errors_is_no_answer_even_with_data() {
    let hit = json!([{ "id": 5, "email": "ann" }]);
    let data = json!({ "data": { "users": { "search": hit } }, "errors": [{ "message": "half of it" }] });
    let house = house(GRAPH, move |_, _| answer(200, &data));
    assert_eq!(outcome(house.find().await), Outcome::Retry);
}

#[tokio::test]
async fn a_graphql_document_is_constant_and_values_are_variables() {
    let bad = GRAPH.replace("query: $q)", "query: \\\"{want.login}\\\")");
    assert!(parse(&format!("{}{bad}", super::HEAD)).expect_err("refused").contains("a GraphQL document is constant"));
    // A search that finds more than was meant: what is exactly it is taken.
    let found = json!({ "data": { "users": { "search": [{ "id": 4, "email": "anna" }, { "id": 5, "email": "ann" }] } }, "errors": [] });
    let house = house(GRAPH, move |_, _| answer(200, &found));
    let Ok(Observation::Found(account, _)) = house.find().await else { panic!("ann is there") };
    assert_eq!(account.id, "5");
    let sent = house.wire.take().remove(0).json();
    assert_eq!(sent["variables"], json!({ "q": "ann" }));
    assert_eq!(sent["query"], "query($q: String!) { users { search(query: $q) { id email } } }");
}

#[tokio::test]
async fn a_text_body_is_one_value_and_nothing_else() {
    let step = |text: &str| {
        format!(
            "{}{ACCOUNT}[[create]]\nname = \"password\"\neffect = \"write\"\nput = \"/users/{{want.login}}/password\"\ntext = \"{text}\"\nresponse = \"any\"\nclassify = [{{ status = 204, outcome = \"created\" }}]\n",
            super::HEAD
        )
    };
    for bad in ["password={random}", "{random}{want.login}", "{random} "] {
        assert!(parse(&step(bad)).expect_err("refused").contains("is that value and nothing else"), "{bad}");
    }
    let text = step("{random}").replacen(super::HEAD, "", 1);
    let mut house = house(&text, |_, _| with_headers(204, &[], ""));
    house.engine = house.engine.with_passwords(Arc::new(SeededEntropy::new(7)));
    // 204 says too little to know an id by: it is looked for, and cannot be, by this connector.
    assert_eq!(outcome(house.create(&[]).await), Outcome::InDoubt);
    let sent = house.wire.take().remove(0);
    assert_eq!(sent.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(sent.body.ends_with("-aA1") && sent.body.len() > 20, "a password that nobody knows");
}

const SSO: &str = r#"
[settings.sso_secret]
summary = "secret of DiscourseConnect"
secret  = true
[http]
headers = { Api-Username = "system" }
[[update]]
name     = "sync"
effect   = "write"
post     = "/admin/users/sync_sso"
signed   = { payload = "sso", signature = "sig", key = "sso_secret", fields = { external_id = "{want.external_id}", email = "{want.email}", "groups[]" = ["a", "b"] } }
classify = [{ status = 200, outcome = "updated" }]
[attributes.email]
"#;

#[tokio::test]
async fn a_signed_payload_needs_its_secret_and_is_what_discourse_computes() {
    let lacking = house_with(&format!("{SSO}{ACCOUNT}"), ResolvedCredential::default(), |_, _| answer(200, &json!({})));
    assert_eq!(outcome(lacking.update("a&b=c@example.com").await), Outcome::Invalid);
    assert!(lacking.wire.take().is_empty(), "nothing is sent unsigned");
    let stray = SSO.replace("secret  = true", "default = \"x\"");
    assert!(parse(&format!("{}{stray}{ACCOUNT}", super::HEAD)).expect_err("refused").contains("which is no secret setting"));
    let house = house(&format!("{SSO}{ACCOUNT}"), |_, _| answer(200, &json!({})));
    assert_eq!(house.update("a&b=c@example.com").await, Ok(Outcome::Updated));
    let sent = house.wire.take().remove(0);
    let fields = sent.form();
    // Python: base64.b64encode(urlencode([...])), hmac.new(secret, payload, sha256).hexdigest()
    assert_eq!(
        fields[0],
        ("sso".to_owned(), "ZXh0ZXJuYWxfaWQ9dnN0LTEmZW1haWw9YSUyNmIlM0RjJTQwZXhhbXBsZS5jb20mZ3JvdXBzJTVCJTVEPWEmZ3JvdXBzJTVCJTVEPWI=".to_owned())
    );
    assert_eq!(fields[1], ("sig".to_owned(), "05a6ca40d39327c331f6e13dfa9123645fdfe5a52d8a84bb9f01a0423fa9a5d1".to_owned()));
    assert_eq!(sent.header("api-username"), Some("system"));
    assert!(!sent.body.contains("d836444a9e4084d5b224a60c208dce14"));
}

const QUERY: &str = r#"
[[lookup.login]]
name     = "by_login"
effect   = "read"
get      = "/users"
query    = { filter = { "$json" = { username = { _eq = "{want.login}" } } }, q = { "$rison" = "(filters:!((col:username,opr:eq,value:{want.login})))" }, "v[]" = ["{want.login}", "x"] }
select   = { items = "", where = { "/login" = "{want.login}" } }
classify = [{ status = 200, outcome = "found" }]
"#;

#[tokio::test]
async fn values_in_the_languages_of_apps_stay_values() {
    let check = async |login: &str, filter: &str, rison: &str| {
        let house = house(&format!("{QUERY}{ACCOUNT}"), |_, _| answer(200, &json!([])));
        let scope = super::nowhere();
        let context = vestibule::connector::Context { login, ..super::ann(&scope, None) };
        let looked = vestibule::connector::Connector::find(&house.engine, context, &[vestibule::policy::MatchBy::Login]).await;
        assert_eq!(looked, Ok(Observation::Absent));
        let line = house.wire.lines().remove(0);
        let query: Vec<(String, String)> = form_urlencoded::parse(line.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
        assert_eq!(query[0].1, filter, "{login}");
        assert_eq!(query[1].1, format!("(filters:!((col:username,opr:eq,value:{rison})))"), "{login}");
        assert_eq!((query[2].clone(), query[3].0.as_str()), (("v[]".to_owned(), login.to_owned()), "v[]"));
    };
    check("a'),(col:x,opr:eq,value:'", r#"{"username":{"_eq":"a'),(col:x,opr:eq,value:'"}}"#, "'a!'),(col:x,opr:eq,value:!''").await;
    check("!'\"}},{", r#"{"username":{"_eq":"!'\"}},{"}}"#, "'!!!'\"}},{'").await;
    check("ann", r#"{"username":{"_eq":"ann"}}"#, "'ann'").await;
}

const NUMBERS: &str = r#"
[[members.group.add]]
name     = "join"
effect   = "write"
post     = "/teams/{member.id}/members"
body     = { userId = { "$number" = "{account.id}" }, all = { "$each" = "[account.id]", "$item" = { "$number" = "{item}" } } }
classify = [{ status = 200, outcome = "done" }]
"#;

#[tokio::test]
async fn an_id_becomes_a_number_only_as_it_is_written() {
    let house = house(&format!("{NUMBERS}{ACCOUNT}"), |_, _| answer(200, &json!({})));
    let scope = super::nowhere();
    let step = vestibule::plan::Step::Add { kind: "group".to_owned(), member: "devs".to_owned(), role: None };
    for bad in ["07", "+7", "7.0", "seven", "1e3", ""] {
        let added = vestibule::connector::Connector::apply(&house.engine, super::ann(&scope, Some(bad)), &step).await;
        assert_eq!(outcome(added), Outcome::Invalid, "{bad}");
    }
    assert!(house.wire.take().is_empty());
    assert_eq!(house.add("devs").await, Ok(Outcome::Done));
    assert_eq!(house.wire.take()[0].json(), json!({ "userId": 7, "all": [7] }));
}

#[test]
fn what_a_body_must_not_be_is_a_problem_where_it_stands() {
    const GOOD: &str =
        "[[create]]\nname = \"post\"\neffect = \"write\"\npost = \"/users\"\nBODY\nclassify = [{ status = 201, outcome = \"created\" }]\n";
    let check = |body: &str, expected: &str| {
        let text = format!("{}{ACCOUNT}{}", super::HEAD, GOOD.replace("BODY", body));
        let problems = parse(&text).expect_err(body);
        assert!(problems.contains(expected), "{body}: {problems}");
    };
    check("body = { a = 1 }\nform = { a = \"1\" }", "a request has one body");
    check("jsonrpc = { params = { a = 1 } }", "needs a `method`");
    check("jsonrpc = { method = \"user.{want.login}\" }", "needs a `method`, as written");
    check("jsonrpc = { method = \"x\", parms = { } }", "did you mean `params`?");
    check("graphql = { variables = { } }", "needs a `query`");
    check("body = { a = { \"$risn\" = \"x\" } }", "`$risn` is not known here");
    check("body = { a = { \"$item\" = \"x\" } }", "`$item` is not known here");
    check("body = { a = \"{members.grup}\" }", "grup");
    check("base = \"get\"", "unknown key `base`");
    check("save = { x = { html = \"input\" } }", "only the steps of a pre-step");
    check("save = { x = { at = \"/a\", match = \"^x\" } }", "needs a group");
}
