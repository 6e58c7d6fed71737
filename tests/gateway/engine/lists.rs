//! Lists that go on: all of them, or no answer.

use super::{ACCOUNT, House, answer, house, outcome, with_headers};
use serde_json::{Value, json};
use vestibule::connector::{Connector as _, Observation, Outcome, PageMark, Trouble};

fn connector(paginate: &str) -> String {
    format!(
        r#"
[[lookup.login]]
name     = "by_login"
effect   = "read"
get      = "/users"
select   = {{ items = "/data", where = {{ "/login" = "{{want.login}}" }} }}
paginate = {paginate}
classify = [{{ status = 200, outcome = "found" }}]
[[list]]
name     = "all"
effect   = "read"
get      = "/users"
paginate = {paginate}
classify = [{{ status = 200, outcome = "found" }}]
{ACCOUNT}"#
    )
}

fn users(from: u64, count: u64) -> Value {
    (from..from + count).map(|id| json!({ "id": id, "login": format!("user{id}") })).collect()
}

async fn all(house: &House) -> Result<Vec<String>, Trouble> {
    let (mut logins, mut at) = (Vec::new(), None);
    loop {
        let listing = house.engine.list(at.as_ref()).await?;
        logins.extend(listing.accounts.into_iter().map(|account| account.login));
        match listing.next {
            Some(next) => at = Some(next),
            None => return Ok(logins),
        }
    }
}

#[tokio::test]
async fn a_list_that_is_longer_than_it_may_be_is_trouble_and_nobody_is_absent() {
    let endless = [
        "{ style = \"offset\", items = \"/data\", limit = 2, max_pages = 3 }",
        "{ style = \"page\", items = \"/data\", limit = 2, max_pages = 3 }",
        "{ style = \"cursor\", from = \"/next\", items = \"/data\", limit = 2, max_pages = 3 }",
    ];
    for paginate in endless {
        let house = house(&connector(paginate), |_, before| answer(200, &json!({ "data": users(0, 2), "next": format!("c{before}") })));
        assert_eq!(outcome(house.find().await), Outcome::Unsupported, "{paginate}");
        assert_eq!(house.wire.lines().len(), 3);
        assert_eq!(outcome(all(&house).await), Outcome::Unsupported, "{paginate}");
        assert_eq!(house.wire.lines().len(), 3);
    }
}

#[tokio::test]
async fn an_answer_that_says_there_is_more_than_it_shows_is_no_absence() {
    let text = connector("X").replace("paginate = X\n", "");
    let house = house(&text, |_, _| answer(200, &json!({ "data": users(0, 2), "total": 3 })));
    assert_eq!(outcome(house.find().await), Outcome::Unsupported);
}

#[tokio::test]
async fn a_page_that_goes_wrong_leaves_no_half_a_list() {
    let page = "{ style = \"page\", items = \"/data\", limit = 2 }";
    let check = async |second: fn() -> Result<vestibule::outbound::OutboundResponse, vestibule::outbound::OutboundError>, expected: Outcome| {
        let house = house(&connector(page), move |_, before| if before % 2 == 0 { answer(200, &json!({ "data": users(0, 2) })) } else { second() });
        assert_eq!(outcome(house.find().await), expected);
        assert_eq!(outcome(all(&house).await), expected);
    };
    check(|| answer(429, &json!({})), Outcome::Retry).await;
    // The page before was shown: it is not the credential.
    check(|| answer(401, &json!({})), Outcome::Denied).await;
    check(|| answer(200, &json!({ "message": "no list" })), Outcome::Retry).await;
    check(|| with_headers(200, &[], "{\"data\":[{\"id\":1,"), Outcome::Retry).await;
    check(|| with_headers(200, &[], "<html>log in</html>"), Outcome::Retry).await;
    check(|| with_headers(302, &[("location", "http://evil.example/")], ""), Outcome::Retry).await;
    check(|| Err(vestibule::outbound::OutboundError::TooLarge(1)), Outcome::Retry).await;
}

#[tokio::test]
async fn a_cursor_that_stands_still_and_a_next_page_elsewhere_are_trouble() {
    let cursor = connector("{ style = \"cursor\", from = \"/next\", items = \"/data\", limit = 2 }");
    let still = house(&cursor, |_, _| answer(200, &json!({ "data": users(0, 2), "next": "same" })));
    assert_eq!(outcome(still.find().await), Outcome::Retry);
    assert_eq!(still.wire.lines().len(), 2);
    let link = connector("{ style = \"link\", items = \"/data\" }");
    for elsewhere in
        ["<http://evil.example/base/users?page=2>; rel=\"next\"", "<https://app.example/base/users>; rel=next", "</users?page=2>; rel=\"next\""]
    {
        let house = house(&link, move |_, _| with_headers(200, &[("link", elsewhere)], &json!({ "data": users(0, 1) }).to_string()));
        assert_eq!(outcome(house.find().await), Outcome::Retry, "{elsewhere}");
        assert_eq!(house.wire.lines().len(), 1);
    }
}

#[tokio::test]
async fn every_style_comes_to_the_end_of_the_list() {
    let number = |line: &str, name: &str| -> u64 {
        let query = line.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map_or(0, |(_, value)| value.parse().unwrap())
    };
    let check = async |paginate: &str, answers: &'static (dyn Fn(u64, u64) -> (Value, Option<String>) + Sync), parameter: &'static str| {
        let house = house(&connector(paginate), move |sent, _| {
            let (body, link) = answers(number(&sent.line, parameter), number(&sent.line, "limit"));
            let links: Vec<(&str, &str)> = link.iter().map(|link| ("link", link.as_str())).collect();
            with_headers(200, &links, &body.to_string())
        });
        let expected: Vec<String> = (0..5).map(|id| format!("user{id}")).collect();
        assert_eq!(all(&house).await.expect("the list"), expected, "{paginate}");
        drop(house.wire.lines());
        assert_eq!(house.find().await, Ok(Observation::Absent), "{paginate}: looked through and not there");
    };
    let take = |from: u64, limit: u64| users(from, limit.min(5_u64.saturating_sub(from)));
    let offset: &'static _ = Box::leak(Box::new(move |from: u64, limit: u64| (json!({ "data": take(from, limit), "total": 5 }), None)));
    check("{ style = \"offset\", items = \"/data\", limit = 2, total = \"/total\" }", offset, "offset").await;
    let page: &'static _ = Box::leak(Box::new(move |page: u64, limit: u64| (json!({ "data": take((page - 1) * limit, limit) }), None)));
    check("{ style = \"page\", items = \"/data\", limit = 2, size = \"limit\" }", page, "page").await;
    let cursor: &'static _ = Box::leak(Box::new(move |from: u64, limit: u64| {
        let next = if from + limit < 5 { json!((from + limit).to_string()) } else { json!("") };
        (json!({ "data": take(from, limit), "next": next }), None)
    }));
    check("{ style = \"cursor\", from = \"/next\", items = \"/data\", limit = 2 }", cursor, "cursor").await;
    let link: &'static _ = Box::leak(Box::new(move |page: u64, _: u64| {
        let next = (page < 2).then(|| format!("<http://app.example/base/users?p={}>; rel=\"last next\"", page + 1));
        (json!({ "data": take(page * 2, 2) }), next)
    }));
    check("{ style = \"link\", items = \"/data\" }", link, "p").await;
}

/// A list that is asked for by POST, with this body and this paging.
fn posted(body: &str, paginate: &str) -> String {
    connector(paginate).replace("get      = \"/users\"", &format!("post     = \"/users\"\n{body}"))
}

#[tokio::test]
async fn a_place_in_a_list_goes_into_the_body_where_the_app_wants_it_there() {
    // Three pages, whatever the style; what each of them was asked for with.
    let asked = async |body: &str, paginate: &str, place: &'static str| {
        let house = house(&posted(body, paginate), move |sent, _| {
            assert!(!sent.line.contains('?'), "{}", sent.line);
            let text = sent.body.clone();
            let from = serde_json::from_str::<Value>(&text).ok().and_then(|body| body.pointer(place).cloned()).unwrap_or_default();
            let from = from.as_u64().or_else(|| from.as_str()?.strip_prefix('c')?.parse().ok());
            let from = from.or_else(|| text.split('&').find_map(|pair| pair.strip_prefix("offset=")?.parse().ok())).unwrap_or_default();
            let next = if from < 4 { json!(format!("c{}", from + 2)) } else { Value::Null };
            answer(200, &json!({ "data": users(from, 2_u64.min(5 - from)), "next": next, "total": 5 }))
        });
        assert_eq!(all(&house).await.expect("the list").len(), 5, "{paginate}");
        house.wire.take().into_iter().map(|sent| sent.body).collect::<Vec<_>>()
    };
    let json = |bodies: Vec<String>| bodies.iter().map(|body| serde_json::from_str::<Value>(body).unwrap()).collect::<Vec<_>>();
    let cursor = "{ style = \"cursor\", in = \"body\", from = \"/next\", items = \"/data\", limit = 2, parameter = \"after\", size = \"first\" }";
    let seen =
        json(asked("graphql  = { query = \"query($after: String) { users }\", variables = { active = true } }", cursor, "/variables/after").await);
    let variables: Vec<&Value> = seen.iter().map(|body| &body["variables"]).collect();
    let page = |after: &str| json!({ "active": true, "first": 2, "after": after });
    assert_eq!(variables, [&json!({ "active": true, "first": 2 }), &page("c2"), &page("c4")]);
    let offset = |more: &str| format!("{{ style = \"offset\", in = \"body\", items = \"/data\", limit = 2, total = \"/total\"{more} }}");
    let seen = json(
        asked("body     = { filter = { kind = \"user\" } }", &offset(", parameter = \"/page/from\", size = \"/page/size\""), "/page/from").await,
    );
    assert_eq!(seen[2], json!({ "filter": { "kind": "user" }, "page": { "from": 4, "size": 2 } }));
    let seen = asked("form     = { kind = \"user\" }", &offset(""), "/none").await;
    assert_eq!(seen, ["kind=user&offset=0&limit=2", "kind=user&offset=2&limit=2", "kind=user&offset=4&limit=2"]);
    for (body, paginate, expected) in [
        ("", offset(""), "there is no body that the place in the list could go into"),
        ("body     = {}", "{ style = \"link\", in = \"body\", items = \"/data\" }".to_owned(), "a link is an address"),
    ] {
        let shown = super::parse(&format!("{}{}", super::HEAD, posted(body, &paginate))).map(drop).unwrap_err();
        assert!(shown.contains(expected), "{shown}");
    }
}

#[tokio::test]
async fn a_mark_leads_nowhere_but_on_in_the_list() {
    let house = house(&connector("{ style = \"link\", items = \"/data\" }"), |_, _| answer(200, &json!({ "data": users(0, 1) })));
    let forged = [
        "",
        "{}",
        r#"{"query":[],"address":"http://evil.example/base/users","pages":1,"elements":1}"#,
        r#"{"query":[],"address":"http://app.example/admin","pages":1,"elements":1}"#,
        r#"{"query":[],"address":"file:///etc/passwd","pages":1,"elements":1}"#,
        r#"{"query":[["a"]],"address":null,"pages":1,"elements":1}"#,
    ];
    for mark in forged {
        assert_eq!(outcome(house.engine.list(Some(&PageMark(mark.to_owned()))).await), Outcome::Invalid, "{mark}");
    }
    assert!(house.wire.take().is_empty());
}
