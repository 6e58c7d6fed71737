//! A directory that answers as the test says.

use super::{Directory, GROUPS_MAX, PAGES_MAX, Unknown};
use crate::clock::{Clock as _, ManualClock, Timestamp};
use crate::config::GroupsLookup;
use crate::outbound::{OutboundError, OutboundRequest, OutboundResponse, Transport};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use url::Url;

const OID: &str = "7d1b2c3d-0000-4000-8000-00000000ada0";
const FIRST: &str = "POST https://graph.example/v1.0/users/7d1b2c3d-0000-4000-8000-00000000ada0/getMemberObjects";

type Script = Result<(u16, String), ()>;

/// Keeps what it was asked; answers the token endpoint by itself.
#[derive(Debug, Default)]
struct Graph {
    answers: Mutex<VecDeque<Script>>,
    asked: Mutex<Vec<(String, String, String)>>,
    tokens: Mutex<u32>,
    stalls: bool,
}

#[async_trait]
impl Transport for Graph {
    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let line = format!("{} {}", request.method, request.url);
        let authorization = request.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        assert!(request.timeout_ms <= 10_000 && request.response_bytes_max <= 1 << 20);
        self.asked.lock().unwrap().push((line, authorization, String::from_utf8(request.body.to_vec()).unwrap()));
        let (status, body) = if request.url.path() == "/token" {
            assert_eq!(request.method, Method::POST);
            let mut tokens = self.tokens.lock().unwrap();
            *tokens += 1;
            (200, json!({ "access_token": format!("t{tokens}"), "token_type": "Bearer", "expires_in": 3599 }).to_string())
        } else if self.stalls {
            return std::future::pending().await;
        } else {
            tokio::task::yield_now().await;
            let next = self.answers.lock().unwrap().pop_front().unwrap_or(Ok((500, String::new())));
            next.map_err(|()| OutboundError::Interrupted("the answer ends early".into()))?
        };
        Ok(OutboundResponse { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: Bytes::from(body) })
    }
}

struct House {
    graph: Arc<Graph>,
    clock: Arc<ManualClock>,
    directory: Directory,
}

fn house(answers: Vec<Script>, timeout_ms: u64, stalls: bool) -> House {
    let graph = Arc::new(Graph { answers: Mutex::new(answers.into()), stalls, ..Graph::default() });
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_000_000)));
    let settings = GroupsLookup {
        url: "https://graph.example/v1.0".parse().unwrap(),
        token_url: None,
        scope: "https://graph.example/.default".into(),
        client_id: None,
        client_secret: None,
        security_only: true,
        timeout_ms,
    };
    let secret = Some(SecretString::from("s3cret"));
    let directory = Directory::new(settings, "gateway".into(), secret, graph.clone(), clock.clone());
    House { graph, clock, directory }
}

impl House {
    async fn groups(&self) -> Result<Vec<String>, Unknown> {
        self.groups_of(&json!({ "oid": OID })).await
    }

    async fn groups_of(&self, claims: &Value) -> Result<Vec<String>, Unknown> {
        let endpoint: Url = "https://login.example/token".parse().unwrap();
        self.directory.groups(&endpoint, claims.as_object().unwrap_or(&Map::new())).await
    }

    fn lines(&self) -> Vec<String> {
        self.graph.asked.lock().unwrap().iter().map(|(line, ..)| line.clone()).collect()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a line of a script, which may be a failure too")]
fn json_page(groups: &[&str], next: Option<&str>) -> Script {
    let mut page = json!({ "value": groups });
    if let Some(next) = next {
        page["@odata.nextLink"] = json!(next);
    }
    Ok((200, page.to_string()))
}

#[tokio::test]
async fn whatever_is_no_answer_is_unknown_and_never_none() {
    let check = async |answers: Vec<Script>, expected: &str| {
        let house = house(answers, 5_000, false);
        let found = house.groups().await.map_err(|unknown| format!("{}: {unknown}", unknown.code()));
        assert_eq!(found.unwrap_err(), expected);
    };
    let page_of = |body: Value| Ok((200, body.to_string()));
    check(vec![Ok((200, "<html><form action=/login></form></html>".into()))], "malformed: groups in the directory: the answer is no JSON object")
        .await;
    check(vec![Ok((403, json!({"error": {"code": "Authorization_RequestDenied"}}).to_string()))], "refused: groups in the directory: status 403")
        .await;
    check(vec![Ok((302, String::new()))], "refused: groups in the directory: status 302").await;
    check(vec![Ok((404, String::new()))], "refused: groups in the directory: status 404").await;
    check(
        vec![Ok((400, json!({"error": {"code": "Directory_ResultSizeLimitExceeded"}}).to_string()))],
        "refused: groups in the directory: status 400",
    )
    .await;
    check(vec![Err(())], "unreachable: groups in the directory: no whole answer: the answer ends early").await;
    check(vec![Ok((200, r#"{"value": ["g1", "g2"#.into()))], "malformed: groups in the directory: the answer is no JSON object").await;
    check(vec![page_of(json!(["g1"]))], "malformed: groups in the directory: the answer is no JSON object").await;
    check(vec![page_of(json!({}))], "malformed: groups in the directory: the answer is no list").await;
    check(vec![page_of(json!({"value": null}))], "malformed: groups in the directory: the answer is no list").await;
    check(vec![page_of(json!({"value": ["g1", {"id": "g2"}]}))], "malformed: groups in the directory: the answer is no list of names").await;
    check(vec![page_of(json!({"value": ["g1"], "@odata.nextLink": 7}))], "malformed: groups in the directory: the answer is continued nowhere").await;
    check(vec![page_of(json!({"value": vec!["g"; GROUPS_MAX + 1]}))], "malformed: groups in the directory: the answer is of too many groups").await;
    // Half of them is not all of them.
    let next = "https://graph.example/v1.0/more?$skiptoken=1";
    check(vec![json_page(&["g1"], Some(next)), Ok((500, String::new()))], "refused: groups in the directory: status 500").await;
    check(vec![json_page(&["g1"], Some(next)), Err(())], "unreachable: groups in the directory: no whole answer: the answer ends early").await;
}

#[tokio::test]
async fn an_answer_that_goes_on_elsewhere_or_for_ever_is_followed_nowhere() {
    for elsewhere in [
        "https://evil.example/v1.0/more",
        "http://graph.example/v1.0/more",
        "https://graph.example:444/v1.0/more",
        "https://gateway@graph.example/v1.0/more",
        "https://graph.example/beta/more",
        "https://graph.example/v1.0/../admin",
        "https://graph.example/v1.0",
        "/v1.0/more",
        "",
    ] {
        let house = house(vec![json_page(&["g1"], Some(elsewhere)), json_page(&["g2"], None)], 5_000, false);
        assert_eq!(house.groups().await.unwrap_err(), Unknown::Malformed { what: super::WHAT, found: "continued elsewhere" }, "{elsewhere}");
        assert_eq!(house.lines(), ["POST https://login.example/token", FIRST], "{elsewhere}");
    }
    let endless = vec![json_page(&["g"], Some("https://graph.example/v1.0/more")); 3 * PAGES_MAX];
    let house = house(endless, 5_000, false);
    assert_eq!(house.groups().await.unwrap_err(), Unknown::Malformed { what: super::WHAT, found: "of too many pages" });
    assert_eq!(house.lines().len(), 1 + PAGES_MAX);
}

#[tokio::test]
async fn nobody_is_asked_for_who_is_not_an_id_and_a_silent_directory_is_left_alone() {
    for claims in [json!({}), json!({"oid": ""}), json!({"oid": 7}), json!({"oid": "a/../b"}), json!({"oid": "a?b"}), json!({"oid": "x".repeat(65)})]
    {
        let house = house(Vec::new(), 5_000, false);
        assert_eq!(house.groups_of(&claims).await, Err(Unknown::Nobody), "{claims}");
        assert!(house.lines().is_empty());
    }
    let house = house(Vec::new(), 20, true);
    assert_eq!(house.groups().await, Err(Unknown::Late(20)));
}

#[tokio::test]
async fn all_pages_are_all_groups_asked_for_in_the_gateways_own_name() {
    let next = "https://graph.example/v1.0/directoryObjects?$skiptoken=x";
    let house = house(vec![json_page(&["g1", "g2"], Some(next)), json_page(&["g3", " "], None), json_page(&[], None)], 5_000, false);
    assert_eq!(house.groups().await.unwrap(), ["g1", "g2", "g3"]);
    // None at all is an answer too.
    assert_eq!(house.groups().await.unwrap(), Vec::<String>::new());
    let asked = house.graph.asked.lock().unwrap().clone();
    let form = "grant_type=client_credentials&scope=https%3A%2F%2Fgraph.example%2F.default&client_id=gateway&client_secret=s3cret";
    assert_eq!(asked[0], ("POST https://login.example/token".into(), String::new(), form.into()));
    assert_eq!(asked[1], (FIRST.into(), "Bearer t1".into(), r#"{"securityEnabledOnly":true}"#.into()));
    assert_eq!(asked[2], (format!("GET {next}"), "Bearer t1".into(), String::new()));
    assert_eq!((asked.len(), asked[3].0.as_str()), (4, FIRST), "one token for both");
    assert!(!format!("{:?}", house.directory).contains("s3cret"));
}

#[tokio::test]
async fn a_token_is_kept_while_it_is_good_and_asked_for_once_more_when_it_is_refused() {
    let none = || json_page(&[], None);
    let one = house(vec![none(), none(), Ok((401, String::new())), none(), Ok((401, String::new())), Ok((401, String::new()))], 5_000, false);
    one.groups().await.unwrap();
    one.clock.advance_ms(3_538_000);
    one.groups().await.unwrap();
    assert_eq!(*one.graph.tokens.lock().unwrap(), 1);
    one.clock.advance_ms(2_000);
    one.groups().await.unwrap();
    assert_eq!(*one.graph.tokens.lock().unwrap(), 3, "its end, and a refusal");
    assert_eq!(one.groups().await.unwrap_err().code(), "refused");
    assert_eq!(*one.graph.tokens.lock().unwrap(), 4, "not for ever");
    assert!(one.clock.now() > Timestamp::from_seconds(1_000_000));
}

#[tokio::test]
async fn ten_tabs_of_one_person_are_one_question() {
    let house = house(vec![json_page(&["g1"], None), json_page(&["g2"], None)], 5_000, false);
    let all = futures_util::future::join_all((0..10).map(|_| house.groups())).await;
    assert!(all.iter().all(|groups| groups.as_deref() == Ok(&["g1".to_owned()])), "{all:?}");
    assert_eq!(house.lines().len(), 2);
    // Whoever comes later gets what holds then.
    assert_eq!(house.groups().await.unwrap(), ["g2"]);
}
