//! attacks.md, where the answer of the whole gateway is what counts and the tests of its parts cannot give it: time, answers of every kind, hostile claims.

use crate::fake_admin::{FakeAdmin, Fault, Flavour};
use crate::house::{ADMIN_TOKEN, AUTH, Answer, Ask, Browser, CONTENT, House, MAX_MS, Options, SHARED_SECRET, TICKETS, WIKI, be};
use serde_json::{Value, json};
use std::sync::Arc;

/// C5: a cookie that another path or a parent domain has tossed in beside ours.
#[tokio::test(flavor = "multi_thread")]
async fn c5_of_two_cookies_of_the_name_a_valid_one_counts_or_none_and_never_a_mixture() {
    let house = House::new().await;
    let (ada, name) = (Browser::signed_in(&house, WIKI).await, house.cookie_name());
    be(&house, "eve", json!({"email": "eve@example.com", "groups": ["staff"]}));
    let eve = Browser::signed_in(&house, WIKI).await;
    let [ada, eve] = [&ada, &eve].map(|browser| browser.cookie(WIKI, name).unwrap());
    let junk = "J".repeat(43);
    for (pairs, may_be) in [
        ([&ada, &junk], vec!["ada@example.com"]),
        ([&junk, &ada], vec!["ada@example.com"]),
        ([&ada, &ada], vec!["ada@example.com"]),
        ([&junk, &junk], vec![]),
        ([&ada, &eve], vec!["ada@example.com", "eve@example.com"]),
        ([&eve, &ada], vec!["ada@example.com", "eve@example.com"]),
    ] {
        for line in [format!("{name}={}; {name}={}", pairs[0], pairs[1]), format!("x=1; {name}={};{name}={}; y=2", pairs[0], pairs[1])] {
            let answer = Browser::default().send(&house, &Ask::api(WIKI, "/page").with("Cookie", &line)).await;
            let seen = house.arrived();
            assert_eq!((answer.status == 200, seen.len()), (!may_be.is_empty(), usize::from(!may_be.is_empty())), "{answer:?}");
            for seen in seen {
                let (user, token) = (seen.only("x-remote-user"), seen.only("x-assertion"));
                assert!(may_be.contains(&user.as_str()), "{user}");
                let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, token.split('.').nth(1).unwrap()).unwrap();
                assert!(String::from_utf8(claims).unwrap().contains(&user), "header and token name two people");
                assert!(!seen.text().contains(&ada) && !seen.text().contains(&eve));
            }
        }
    }
}

/// C8: by `Sec-Fetch-Site` where it is sent, by origin and token where it is not.
#[tokio::test(flavor = "multi_thread")]
async fn c8_another_site_cannot_sign_anybody_out() {
    let house = House::new().await;
    let mut browser = Browser::signed_in(&house, WIKI).await;
    let page = browser.get(&house, WIKI, "/.vestibule/logout").await;
    let token = page.body.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let form = format!("token={token}");
    let other = Browser::signed_in(&house, WIKI).await.get(&house, WIKI, "/.vestibule/logout").await;
    let others = format!("token={}", other.body.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap());
    assert_ne!(form, others);
    let post = |headers: &[(&str, &str)], body: &str| {
        let ask = headers.iter().fold(Ask::bare("POST", WIKI, "/.vestibule/logout"), |ask, (name, value)| ask.with(name, value));
        Ask { body: body.as_bytes().to_vec(), ..ask.with("Accept", "text/html").with("Content-Type", "application/x-www-form-urlencoded") }
    };
    let own = house.origin(WIKI);
    for (case, ask) in [
        ("cross-site", post(&[("Sec-Fetch-Site", "cross-site")], &form)),
        ("same-site: another app of ours is another app", post(&[("Sec-Fetch-Site", "same-site")], &form)),
        ("cross-site with our origin", post(&[("Sec-Fetch-Site", "cross-site"), ("Origin", &own)], &form)),
        ("no token", post(&[("Origin", &own)], "")),
        ("another session's token", post(&[("Origin", &own)], &others)),
        ("foreign origin, right token", post(&[("Origin", "http://evil.example")], &form)),
        ("the other app's origin", post(&[("Origin", &house.origin(TICKETS))], &form)),
        ("GET", Ask::page(WIKI, &format!("/.vestibule/logout?{form}")).with("Sec-Fetch-Site", "same-origin")),
        ("an image", Ask::bare("GET", WIKI, "/.vestibule/logout").with("Sec-Fetch-Mode", "no-cors").with("Sec-Fetch-Site", "cross-site")),
        ("HEAD", Ask::bare("HEAD", WIKI, "/.vestibule/logout").with("Sec-Fetch-Site", "same-origin")),
        ("PUT", Ask::bare("PUT", WIKI, "/.vestibule/logout").with("Sec-Fetch-Site", "same-origin").with("Content-Length", "0")),
        ("override", Ask::page(WIKI, "/.vestibule/logout").with("X-HTTP-Method-Override", "POST").with("Sec-Fetch-Site", "same-origin")),
    ] {
        let mut same = browser.clone();
        drop(same.send(&house, &ask).await);
        assert_eq!(browser.clone().api(&house, WIKI, "/page").await.status, 200, "{case} signed out");
    }
    drop(browser.clone().send(&house, &post(&[("Origin", &own)], &form)).await);
    assert_eq!(browser.api(&house, WIKI, "/page").await.status, 401);
}

/// C9: on the server, whatever the cookie's own life and however the clock jumps.
#[tokio::test(flavor = "multi_thread")]
async fn c9_idle_and_absolute_limits_hold_through_clock_jumps_both_ways() {
    let alive = async |house: &House, browser: &Browser| browser.clone().api(house, WIKI, "/page").await.status == 200;
    // Idle: use prolongs it, to the second, and only use does.
    let house = House::new().await;
    let browser = Browser::signed_in(&house, WIKI).await;
    for _ in 0..5 {
        house.advance_s(1799);
        assert!(alive(&house, &browser).await);
    }
    house.advance_s(1801);
    assert!(!alive(&house, &browser).await, "idle");
    // Dead is dead: a clock that is set back revives nothing.
    house.advance_s(-3600);
    assert!(!alive(&house, &browser).await, "revived by the clock");
    // Absolute: use does not prolong it.
    let mut house = House::new().await;
    let browser = Browser::signed_in(&house, WIKI).await;
    let mut left = MAX_MS / 1000;
    while left > 1200 {
        house.advance_s(1200);
        left -= 1200;
        assert!(alive(&house, &browser).await, "{left} s left");
    }
    house.advance_s(left + 1);
    assert!(!alive(&house, &browser).await, "absolute");
    house.advance_s(-7200);
    assert!(!alive(&house, &browser).await, "revived by the clock");
    house.restart().await;
    assert!(!alive(&house, &browser).await, "revived by a restart");
    // A clock that goes back while a session lives does not prolong it by more than clocks may differ.
    let house = House::new().await;
    let browser = Browser::signed_in(&house, WIKI).await;
    assert!(alive(&house, &browser).await);
    house.advance_s(-60);
    assert!(alive(&house, &browser).await, "clocks differ by a minute");
    house.advance_s(-86_400);
    assert!(!alive(&house, &browser).await, "a session from tomorrow");
    house.advance_s(86_460);
    assert!(!alive(&house, &browser).await, "revived by the clock");
    // Far ahead: ended.
    let house = House::new().await;
    let browser = Browser::signed_in(&house, WIKI).await;
    house.advance_s(400 * 86_400);
    assert!(!alive(&house, &browser).await);
    assert_eq!(house.arrived().len(), 0);
}

fn header(answer: &Answer, name: &str) -> String {
    let all = answer.all(name);
    assert!(all.len() <= 1, "{name} twice: {answer:?}");
    all.into_iter().next().unwrap_or_default()
}

/// C13: on every answer of ours, not only on those of a sign-in.
#[tokio::test(flavor = "multi_thread")]
async fn c13_every_answer_of_ours_is_uncacheable_unframeable_and_strict_about_transport() {
    let admin = FakeAdmin::start(Flavour::Scim).await;
    let wiki = format!("[login]\nlanding_new = \"/welcome\"\n{}", provision(&admin));
    let house = House::with(Options { tls: true, wiki, ..Options::default() }).await;
    let nobody = Browser::default;
    let mut answers: Vec<(String, Answer)> = Vec::new();
    let mut keep = |case: &str, expected: u16, answer: Answer| {
        assert_eq!(answer.status, expected, "{case}: {answer:?}");
        answers.push((case.to_owned(), answer));
    };
    keep("to sign in", 303, nobody().get(&house, WIKI, "/page").await);
    keep("401", 401, nobody().api(&house, WIKI, "/page").await);
    keep("form", 401, nobody().send(&house, &Ask::form(WIKI, "/page", "a=b")).await);
    keep("no such host", 404, nobody().get(&house, "other.vestibule.test", "/").await);
    keep("misdirected", 421, nobody().send(&house, &Ask { sni: Some(TICKETS.into()), ..Ask::page(WIKI, "/page") }).await);
    keep("no such page", 404, nobody().get(&house, WIKI, "/.vestibule/nothing").await);
    keep("no such page, api", 404, nobody().api(&house, AUTH, "/.vestibule/nothing").await);
    keep("bad path", 400, nobody().get(&house, WIKI, "/a/%2e%2e/b").await);
    keep("two hosts", 400, nobody().send(&house, &Ask::page(WIKI, "/").with("Host", TICKETS)).await);
    keep("TRACE", 405, nobody().send(&house, &Ask::bare("TRACE", WIKI, "/")).await);
    keep("too large", 413, nobody().send(&house, &Ask::bare("PUT", WIKI, "/public/x").with("Content-Length", "2000000")).await);
    keep("expired link", 400, nobody().get(&house, AUTH, "/.vestibule/callback?code=x&state=y").await);
    keep("jwks", 200, nobody().get(&house, WIKI, "/.vestibule/jwks").await);
    keep("signed out", 200, nobody().get(&house, AUTH, "/.vestibule/signed-out").await);
    let mut browser = Browser::signed_in(&house, WIKI).await;
    admin.fail_next("GET", Fault::Status(500));
    admin.fail_next("GET", Fault::Status(500));
    admin.fail_next("GET", Fault::Status(500));
    admin.fail_next("GET", Fault::Status(500));
    keep("account failed", 503, browser.get(&house, WIKI, "/page").await);
    house.advance_s(120);
    keep("landing", 303, until_made(&house, &mut browser).await);
    keep("asked once more", 303, browser.get(&house, WIKI, "/admin").await);
    keep("denied", 403, Browser::signed_in(&house, WIKI).await.get(&house, WIKI, "/admin").await);
    keep("denied, api", 403, browser.api(&house, WIKI, "/admin").await);
    keep("whoami", 200, browser.get(&house, WIKI, "/.vestibule/whoami").await);
    keep("wait", 303, browser.get(&house, WIKI, "/.vestibule/wait?to=/page").await);
    keep("logout", 200, browser.get(&house, WIKI, "/.vestibule/logout").await);
    house.wiki.answer("nonsense\r\n\r\n");
    keep("502", 502, browser.get(&house, WIKI, "/page").await);
    house.advance_s(601);
    keep("too old, api", 401, browser.api(&house, WIKI, "/recent").await);
    keep("too old", 303, browser.get(&house, WIKI, "/recent").await);
    keep("signing out", 200, browser.send(&house, &Ask::form(WIKI, "/.vestibule/logout", "")).await);
    for (case, answer) in &answers {
        assert_eq!(header(answer, "cache-control"), "no-store", "{case}: {answer:?}");
        assert_eq!(header(answer, "x-content-type-options"), "nosniff", "{case}");
        assert_eq!(header(answer, "referrer-policy"), "no-referrer", "{case}");
        assert!(header(answer, "content-security-policy").contains("frame-ancestors 'none'"), "{case}");
        assert!(header(answer, "strict-transport-security").starts_with("max-age="), "{case}");
        assert!(answer.get("server").is_none() && answer.get("x-powered-by").is_none(), "{case}");
    }
    // What is the application's stays the application's.
    house.wiki.answer(&format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {}\r\n\r\n{CONTENT}", CONTENT.len()));
    let theirs = nobody().get(&house, WIKI, "/public/x").await;
    assert_eq!((header(&theirs, "cache-control").as_str(), theirs.get("content-security-policy")), ("max-age=60", None));
}

async fn until_made(house: &House, browser: &mut Browser) -> Answer {
    // The page about the failure stays for a moment; then the next request tries again.
    for _ in 0..10 {
        let answer = browser.get(house, WIKI, "/page").await;
        if answer.status == 303 {
            return answer;
        }
        house.advance_s(60);
    }
    browser.get(house, WIKI, "/page").await
}

fn provision(admin: &FakeAdmin) -> String {
    admin.require(&format!("Bearer {ADMIN_TOKEN}"));
    format!("[provision]\nconnector = \"scim\"\nurl = \"{}\"\ntoken = \"env:ADMIN_TOKEN\"\nretries = 0\n", admin.url.as_str().trim_end_matches('/'))
}

/// I4: one safe value, or nothing is forwarded.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_hostile_claim_is_one_safe_value_or_a_refusal() {
    let admin = FakeAdmin::start(Flavour::Scim).await;
    let house = House::with(Options { wiki: provision(&admin), ..Options::default() }).await;
    let big = "x".repeat(70_000);
    for (n, (claim, value, expected)) in [
        ("name", json!("Ada\r\nX-Admin: 1"), None),
        ("name", json!("Ada\0"), None),
        ("name", json!("Ada\u{85}X"), None),
        ("name", json!("\u{202e}nimda"), None),
        ("name", json!("\u{2066}nimda\u{2069}"), None),
        ("name", json!(big), None),
        ("department", json!({"a": 1}), None),
        ("department", json!([["a"]]), None),
        ("department", json!("a\u{7f}b"), None),
        ("department", json!("a\tb"), None),
        // Where a text belongs, nothing else is made into one.
        ("name", json!(["Ada", "Eve"]), None),
        ("name", json!({"given": "Ada"}), None),
        ("name", json!(7), None),
        // Whole and unambiguous, or not there at all.
        ("name", json!("Lovelace, Ada"), Some(Some("Lovelace, Ada"))),
        ("name", json!(null), Some(None)),
        ("department", json!(null), Some(None)),
        ("department", json!(""), Some(None)),
        ("department", json!(42), Some(Some("42"))),
        ("department", json!("Zoë's, \"Büro\""), Some(Some("Zoë's, \"Büro\""))),
        ("department", json!(["a,b", "c"]), Some(Some("a%2Cb,c"))),
    ]
    .into_iter()
    .enumerate()
    {
        let shown: String = format!("{claim} = {value}").chars().take(60).collect();
        let mut person = json!({"email": format!("p{n}@example.com"), "email_verified": true, "groups": ["staff"]});
        person[claim] = value;
        be(&house, &format!("s{n}"), person);
        drop(house.arrived());
        let landed = Browser::default().open(&house, WIKI, "/page").await;
        let seen = house.arrived();
        let Some(expected) = expected else {
            assert!((400..600).contains(&landed.answer.status) && seen.is_empty(), "{shown}: {}", landed.answer.status);
            assert!(!landed.answer.body.contains("X-Admin") && !landed.answer.body.contains('\u{202e}'), "{shown}");
            continue;
        };
        assert_eq!((landed.answer.status, seen.len()), (200, 1), "{shown}: {}", landed.answer.body);
        let header = if claim == "name" { "x-remote-name" } else { "x-department" };
        assert_eq!(seen[0].folded(header), expected.into_iter().map(str::to_owned).collect::<Vec<_>>(), "{shown}");
        assert_eq!(seen[0].only("x-remote-user"), format!("p{n}@example.com"), "{shown}");
    }
    // The name that the account has: never mended into somebody else's.
    for (n, email) in
        ["ada@example.com\r\nX-Admin: 1", "ada@example.com\0", "ADA@example.com ", "\u{202e}ada@example.com", "аda@example.com"].iter().enumerate()
    {
        be(&house, &format!("e{n}"), json!({"email": email, "email_verified": true, "groups": ["staff"]}));
        let landed = Browser::default().open(&house, WIKI, "/page").await;
        let seen = house.arrived();
        assert!(
            landed.answer.status >= 400 && seen.is_empty() || seen.iter().all(|seen| seen.only("x-remote-user") != "ada@example.com"),
            "{email:?}: {seen:?}"
        );
    }
}

/// I5: one group is one group, and ten thousand are bounded.
#[tokio::test(flavor = "multi_thread")]
async fn i5_one_group_with_a_comma_is_not_two_and_ten_thousand_are_bounded() {
    let house = House::new().await;
    let many: Vec<String> = (0..10_000).map(|n| format!("group-{n:05}")).chain(["staff".to_owned()]).collect();
    for (n, (groups, admin, expected)) in [
        (json!(["staff", "users,admins"]), 403, Some("staff,users%2Cadmins")),
        (json!(["staff", "users%2Cadmins"]), 403, Some("staff,users%252Cadmins")),
        (json!(["staff", " admins"]), 403, Some("staff, admins")),
        (json!(["staff", "Admins"]), 403, Some("staff,Admins")),
        (json!(["staff", "admins"]), 200, Some("staff,admins")),
        // One text is one group, too; so this person is not in staff.
        (json!("staff,admins"), 403, None),
        (json!(many), 403, None),
        (json!(["staff", 7]), 403, None),
        (json!({"staff": true}), 403, None),
    ]
    .into_iter()
    .enumerate()
    {
        be(&house, &format!("s{n}"), json!({"email": format!("p{n}@example.com"), "groups": groups}));
        let mut browser = Browser::signed_in(&house, WIKI).await;
        let page = browser.api(&house, WIKI, "/page").await;
        let seen = house.arrived();
        assert_eq!(
            seen.iter().map(|seen| seen.only("x-remote-groups")).collect::<Vec<_>>(),
            expected.into_iter().map(str::to_owned).collect::<Vec<_>>(),
            "{n}"
        );
        assert_eq!(page.status == 200, expected.is_some(), "{n}: {page:?}");
        assert_eq!(browser.api(&house, WIKI, "/admin").await.status, admin, "{n}");
        drop(house.arrived());
    }
    // As many as fit one more bound: in the list, and too large for any header.
    be(&house, "many", json!({"email": "many@example.com", "groups": many[1000..].to_vec()}));
    let mut browser = Browser::signed_in(&house, WIKI).await;
    assert_eq!((browser.api(&house, WIKI, "/page").await.status >= 400, house.arrived().len()), (true, 0));
}

/// I9: an application can tell what came around the gateway (the README says that it should not be able to).
#[tokio::test(flavor = "multi_thread")]
async fn i9_a_shared_secret_goes_along_with_every_request_and_nobody_else_can_send_it() {
    let headers = "X-From-Gateway = { secret = \"env:SHARED_SECRET\" }".to_owned();
    let house = House::with(Options { headers, ..Options::default() }).await;
    let mut browser = Browser::signed_in(&house, WIKI).await;
    let forged = |ask: Ask| ["X-From-Gateway", "x_from_gateway", "X.From-Gateway"].iter().fold(ask, |ask, name| ask.with(name, "forged"));
    for (browser, path) in [(&mut browser.clone(), "/page"), (&mut Browser::default(), "/public/x"), (&mut browser.clone(), "/public/x")] {
        assert_eq!(browser.send(&house, &forged(Ask::page(WIKI, path))).await.status, 200);
        let seen = house.arrived();
        assert_eq!((seen.len(), seen[0].only("x-from-gateway").as_str()), (1, SHARED_SECRET), "{path}");
        assert!(!seen[0].text().contains("forged"));
    }
    // Each app has its own, and through another one nobody sends it.
    assert_eq!(browser.open(&house, TICKETS, "/page").await.answer.status, 200);
    assert_eq!(browser.send(&house, &forged(Ask::page(TICKETS, "/page"))).await.status, 200);
    assert!(house.tickets.take().iter().all(|seen| seen.folded("x-from-gateway").is_empty()));
    // People see it nowhere.
    for path in ["/.vestibule/whoami", "/.vestibule/logout", "/admin", "/page"] {
        for answer in [browser.get(&house, WIKI, path).await, browser.api(&house, WIKI, path).await] {
            assert!(!format!("{answer:?}{}", answer.body).contains(SHARED_SECRET), "{path}");
        }
    }
    // Without its secret, or with one that no header can carry, this app is unavailable and all others are served; the reason names the key and
    // does not show the secret.
    for (reference, why) in [("env:MISSING", "MISSING"), ("env:TWO_LINES", "x-from-gateway")] {
        let headers = format!("X-From-Gateway = {{ secret = \"{reference}\" }}");
        let house = House::with(Options { headers, ..Options::default() }).await;
        let said = house.summary().concat();
        assert!(said.contains("headers.x-from-gateway") && said.contains(why) && said.contains("unavailable") && !said.contains("two"), "{said}");
        for path in ["/page", "/public/x"] {
            assert_eq!(Browser::default().get(&house, WIKI, path).await.status, 503, "{path}");
        }
        assert!(house.arrived().is_empty());
        assert_eq!(Browser::default().open(&house, TICKETS, "/page").await.answer.status, 200);
    }
}

/// J9: what a provider claims reaches the app only where the policy names it.
#[tokio::test(flavor = "multi_thread")]
async fn j9_claims_about_rights_are_not_passed_to_the_admin_api_or_the_app() {
    let admin = FakeAdmin::start(Flavour::Scim).await;
    let house = House::with(Options { wiki: provision(&admin), ..Options::default() }).await;
    let mark = "escalated-9f3";
    let mut person = json!({"email": "ada@example.com", "email_verified": true, "name": "Ada Lovelace", "groups": ["staff"]});
    for claim in [
        "is_admin",
        "admin",
        "role",
        "roles",
        "id",
        "_id",
        "userName",
        "externalId",
        "active",
        "entitlements",
        "userType",
        "schemas",
        "meta",
        "password",
        "superuser",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "__proto__",
        "constructor",
        "user",
        "login",
        "X-Remote-User",
        "x-admin",
    ] {
        person[claim] = json!(mark);
    }
    person["emails"] = json!([{"value": mark}]);
    be(&house, "ada", person);
    let landed = Browser::default().open(&house, WIKI, "/page").await;
    assert_eq!(landed.answer.status, 200, "{:?}", landed.answer);
    let calls = admin.take_seen();
    let create = calls.iter().find(|call| call.method == "POST").unwrap();
    let body: Value = serde_json::from_str(&create.body).unwrap();
    assert_eq!((&body["userName"], &body["active"]), (&json!("ada@example.com"), &json!(true)), "{body}");
    assert!(calls.iter().all(|call| !call.body.contains(mark) && !call.target.contains(mark)), "{calls:?}");
    assert!(["is_admin", "admin", "role", "id", "entitlements", "password"].iter().all(|name| body.get(name).is_none()), "{body}");
    assert_eq!(admin.users().iter().map(|user| (user.login.as_str(), user.admin)).collect::<Vec<_>>(), [("ada@example.com", false)]);
    let seen = house.arrived();
    assert_eq!(seen.len(), 1);
    assert!(!seen[0].text().contains(mark), "{}", seen[0].text());
    let claims = seen[0].only("x-assertion");
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims.split('.').nth(1).unwrap()).unwrap();
    assert!(!String::from_utf8(claims).unwrap().contains(mark));
}

/// O28, in the gateway that people meet.
#[tokio::test(flavor = "multi_thread")]
async fn o28_the_page_about_a_refused_sign_in_has_nothing_of_the_providers_words_and_does_not_loop() {
    let house = House::new().await;
    for payload in ["<script>alert(1)</script>", "\" onerror=\"alert(1)", "javascript:alert(1)", "</title>", "\r\nX-Admin: 1", "{{7*7}}"] {
        let q = crate::house::encoded(payload);
        for error in ["access_denied", "login_required", "server_error", "temporarily_unavailable", &q] {
            let mut browser = Browser::default();
            let url = browser.to_provider(&house, WIKI, "/page").await;
            let state = url.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
            let answer = browser.callback(&house, &format!("error={error}&error_description={q}&error_uri={q}&x={q}&state={state}")).await;
            assert!(matches!(answer.status, 403 | 503) && answer.location().is_none(), "{error} {payload}: {answer:?}");
            assert!(
                !answer.body.contains("alert(1)")
                    && !answer.body.contains("<script")
                    && !answer.body.contains("7*7")
                    && answer.get("x-admin").is_none()
            );
            // The page leads on by a link that a person has to choose: it neither refreshes nor signs in again by itself.
            assert!(!answer.body.contains("http-equiv") && answer.get("refresh").is_none(), "{}", answer.body);
            assert!(browser.cookie(AUTH, house.cookie_name()).is_none());
        }
        // Error and code together are no answer, and the code is not used.
        let mut browser = Browser::default();
        let query = house.op.sign_in(&browser.to_provider(&house, WIKI, "/page").await);
        assert_eq!(browser.callback(&house, &format!("{query}&error={q}")).await.status, 400);
    }
    assert_eq!((house.op.hits("/token"), house.arrived().len()), (0, 0));
}

/// OIDC Core 2: `auth_time` may be left out unless `max_age` was asked for. A sign-in of unknown age is not a recent one.
#[tokio::test(flavor = "multi_thread")]
async fn max_age_works_with_a_provider_that_says_the_time_only_when_asked() {
    let house = House::new().await;
    // Signs in without a word about when: an old session at the provider, for all anybody knows.
    let mut browser = Browser::signed_in(&house, WIKI).await;
    assert_eq!(browser.api(&house, WIKI, "/page").await.status, 200);
    assert_eq!(browser.api(&house, WIKI, "/recent").await.status, 401, "a sign-in of unknown age passed for a recent one");
    // Taking the cookies away and coming back without a password does not help.
    let mut fresh = Browser::signed_in(&house, WIKI).await;
    assert_eq!(fresh.api(&house, WIKI, "/recent").await.status, 401);
    // Asked, the provider says: one more sign-in, and in.
    let before = house.op.hits("/token");
    let landed = browser.open(&house, WIKI, "/recent").await;
    assert_eq!((landed.answer.body.as_str(), house.op.hits("/token") - before), (CONTENT, 1));
    assert!(landed.passed.iter().any(|url| url.contains("max_age=0") && url.contains("prompt=login")), "{:?}", landed.passed);
    house.advance_s(599);
    assert_eq!(browser.api(&house, WIKI, "/recent").await.status, 200);
    house.advance_s(2);
    assert_eq!(browser.api(&house, WIKI, "/recent").await.status, 401);
    // Asked and silent: refused, once, and no loop.
    house.op.set(|script| script.claims = Arc::new(|claims| drop(claims.as_object_mut().unwrap().remove("auth_time"))));
    let landed = browser.open(&house, WIKI, "/recent").await;
    assert_eq!(landed.answer.status, 403, "{landed:?}");
    // The sign-in that is there goes on to be good for the rest.
    assert_eq!(browser.api(&house, WIKI, "/page").await.status, 200);
}
