//! Changes that are the whole object.

use super::{answer, house, outcome, with_headers};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use vestibule::connector::Outcome;

const PUT: &str = r#"
[account]
id    = "/userId"
login = "/userId"
etag  = { header = "ETag" }
[attributes.email]
[[get]]
name     = "one"
effect   = "read"
get      = "/users/{account.id}"
classify = [{ status = 200, outcome = "found" }, { status = 404, outcome = "absent" }]
[[update]]
name     = "put"
effect   = "write"
put      = "/users/{account.id}"
base     = "get"
drop     = ["/links", "/meta/self"]
body     = { emailAddress = "{want.email}", source = "{base.source}" }
classify = [{ status = 204, outcome = "updated" }, { status = 404, outcome = "gone" }, { status = 400, outcome = "invalid" }]
"#;

fn shown(roles: &Value) -> Value {
    json!({ "userId": "7", "status": "active", "source": "default", "roles": roles, "links": [1], "meta": { "self": "/x", "kept": true }, "emailAddress": "old@example.com" })
}

#[tokio::test]
async fn nothing_is_written_over_what_could_not_be_read() {
    let check = async |status: u16, body: Value, expected: Outcome| {
        let house = house(PUT, move |_, _| answer(status, &body));
        assert_eq!(outcome(house.update("new@example.com").await), expected);
        assert_eq!(house.wire.lines(), ["GET /base/users/7"]);
    };
    check(200, json!({ "userId": "8", "roles": [] }), Outcome::Conflict).await;
    check(404, json!({}), Outcome::Gone).await;
    check(503, json!({}), Outcome::Retry).await;
    check(401, json!({}), Outcome::Reauth).await;
    let html = house(PUT, |_, _| with_headers(200, &[], "<html>"));
    assert_eq!(outcome(html.update("new@example.com").await), Outcome::Retry);
    let stalled = house(PUT, |_, _| Err(vestibule::outbound::OutboundError::Timeout(5)));
    assert_eq!(outcome(stalled.update("new@example.com").await), Outcome::Retry);
}

#[tokio::test]
async fn what_the_connector_does_not_know_survives_a_put() {
    let house = house(PUT, |sent, _| {
        if sent.line.starts_with("GET") {
            with_headers(200, &[("etag", "\"v1\"")], &shown(&json!(["by hand"])).to_string())
        } else {
            with_headers(204, &[], "")
        }
    });
    assert_eq!(house.update("new@example.com").await, Ok(Outcome::Updated));
    let put = house.wire.take().remove(1);
    assert_eq!(put.header("if-match"), Some("\"v1\""));
    let expected = json!({ "userId": "7", "status": "active", "source": "default", "roles": ["by hand"], "meta": { "kept": true }, "emailAddress": "new@example.com" });
    assert_eq!(put.json(), expected);
}

#[tokio::test]
async fn what_somebody_else_changes_in_between_is_read_again() {
    let version = Arc::new(Mutex::new((1, json!(["old"]))));
    let house = house(PUT, move |sent, _| {
        let mut version = version.lock().unwrap();
        let etag = format!("\"v{}\"", version.0);
        if sent.line.starts_with("GET") {
            let answer = with_headers(200, &[("etag", &etag)], &shown(&version.1).to_string());
            if version.0 == 1 {
                *version = (2, json!(["old", "by hand"]));
            }
            return answer;
        }
        if sent.header("if-match") == Some(&etag) { with_headers(204, &[], "") } else { with_headers(412, &[], "") }
    });
    assert_eq!(house.update("new@example.com").await, Ok(Outcome::Updated));
    let sent = house.wire.take();
    assert_eq!(sent.len(), 4);
    assert_eq!(sent[3].json()["roles"], json!(["old", "by hand"]));
}

#[tokio::test]
async fn an_account_that_never_stands_still_is_left_for_later() {
    let house = house(PUT, |sent, _| if sent.line.starts_with("GET") { answer(200, &shown(&json!([]))) } else { with_headers(412, &[], "") });
    let trouble = house.update("new@example.com").await.expect_err("trouble");
    assert_eq!((trouble.outcome, trouble.detail.as_str()), (Outcome::Retry, "somebody else changed the account in between"));
    assert_eq!(house.wire.lines().len(), 6);
}

#[tokio::test]
async fn a_lost_answer_to_a_put_is_in_doubt_and_only_the_fields_that_are_kept_go_back() {
    let text =
        PUT.replace("drop     = [\"/links\", \"/meta/self\"]", "keep = [\"/source\", \"/meta/kept\"]").replace(", source = \"{base.source}\"", "");
    let house = house(&text, |sent, _| {
        if sent.line.starts_with("GET") {
            answer(200, &shown(&json!([])))
        } else {
            Err(vestibule::outbound::OutboundError::Interrupted("cut".to_owned()))
        }
    });
    assert_eq!(outcome(house.update("new@example.com").await), Outcome::InDoubt);
    let put = house.wire.take().remove(1);
    assert_eq!(put.json(), json!({ "source": "default", "meta": { "kept": true }, "emailAddress": "new@example.com" }));
    assert_eq!(put.header("if-match"), None, "no version was shown");
}
