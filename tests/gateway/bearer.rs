//! Access tokens through the whole gateway: what is refused, what passes, what an application gets of it; headers of path sections; `%2F`.
#![expect(clippy::indexing_slicing, reason = "tests")]

use crate::fake_admin::{FakeAdmin, Flavour};
use crate::fake_op::{Answer as OpAnswer, CLIENT_ID, Signer, keys, sign};
use crate::whole::{ADMIN_TOKEN, APP, AUTH, Answer, Person, WIKI, Whole, get, policy, policy_with};
use serde_json::{Value, json};

const PAGE: &str = "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n";
const SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

const SECTIONS: &str = r#"
[[path]]
match = ["/api/*"]
auth  = ["bearer", "session"]
[[path]]
match = ["/hooks/*"]
auth  = ["bearer"]
[[path]]
match   = ["/api/recent"]
auth    = ["bearer", "session"]
max_age = "15m"
[[path]]
match  = ["/api/admins"]
auth   = ["bearer"]
groups = ["admins"]
[[path]]
match  = ["/api/people"]
groups = ["staff"]
[bearer]
idp      = "corp"
audience = "api://app"
scopes   = ["app.read", "app.use"]
"#;

async fn house() -> Whole {
    Whole::app("", SECTIONS).await
}

/// Header and claims of a token that holds.
fn good(whole: &Whole) -> (Value, Value) {
    let (now, issuer) = (vestibule::clock::Clock::now(&*whole.clock).seconds(), &whole.op.issuer);
    let header = json!({"alg": "RS256", "kid": "rsa1", "typ": "at+jwt"});
    let claims = json!({
        "iss": issuer, "sub": "ada", "aud": "api://app", "client_id": "ci", "iat": now, "exp": now + 300, "scope": "app.use openid app.read",
        "preferred_username": "ada", "email": "ada@example.com", "email_verified": true, "name": "Ada Lovelace", "groups": ["staff"],
    });
    (header, claims)
}

fn token_by(whole: &Whole, signer: Signer, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let (mut header, mut claims) = good(whole);
    change(&mut header, &mut claims);
    sign(&header, &claims, signer)
}

fn token(whole: &Whole, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    token_by(whole, Signer::Rsa, change)
}

fn with(token: &str, more: &str) -> String {
    format!("Authorization: Bearer {token}\r\n{more}")
}

async fn by_token(whole: &Whole, path: &str, token: &str) -> Answer {
    whole.get_with(&Person::default(), path, &with(token, "")).await
}

impl Whole {
    async fn get_with(&self, person: &Person, path: &str, more: &str) -> Answer {
        self.ask(APP, get(person, APP, path, more)).await
    }
}

fn check_problem(case: &str, answer: &Answer, status: u16, slug: &str, challenge: &str) {
    assert_eq!(answer.status(), status, "{case}: {answer:?}");
    assert_eq!(answer.get("content-type").as_deref(), Some("application/problem+json"), "{case}");
    assert_eq!(answer.json()["type"], format!("https://{AUTH}/problems/{slug}"), "{case}");
    assert_eq!(answer.get("www-authenticate").unwrap_or_default(), challenge, "{case}");
    assert!(answer.all("set-cookie").is_empty(), "{case}");
}

const INVALID: &str = "Bearer realm=\"app\", error=\"invalid_token\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_does_not_hold_is_401_and_reaches_no_application() {
    let whole = house().await;
    let now = vestibule::clock::Clock::now(&*whole.clock).seconds();
    let claim = |name: &'static str, value: Value| token(&whole, |_, claims| claims[name] = value);
    let head = |name: &'static str, value: Value| token(&whole, |header, _| header[name] = value);
    let symmetric = |signer| token_by(&whole, signer, |header, _| header["alg"] = json!("HS256"));
    let id_token = |nonce: bool, audience: Value| {
        token(&whole, |header, claims| {
            header["typ"] = json!("JWT");
            claims.as_object_mut().unwrap().remove("scope");
            claims["aud"] = audience;
            if nonce {
                claims["nonce"] = json!("n");
            }
        })
    };
    let cases = [
        ("expired", claim("exp", json!(now - 31))),
        ("without an end", token(&whole, |_, claims| drop(claims.as_object_mut().unwrap().remove("exp")))),
        ("not yet valid", claim("nbf", json!(now + 60))),
        ("issued in the future", claim("iat", json!(now + 60))),
        ("another audience", claim("aud", json!("api://other"))),
        ("the client as audience", claim("aud", json!(CLIENT_ID))),
        ("another issuer", claim("iss", json!("https://evil.example"))),
        ("nearly the issuer", claim("iss", json!(format!("{}/", whole.op.issuer)))),
        ("alg none", token_by(&whole, Signer::Empty, |header, _| header["alg"] = json!("none"))),
        ("HS256 under the public key, as PEM", symmetric(Signer::HmacPublicPem)),
        ("HS256 under the public key, as a number", symmetric(Signer::HmacModulus)),
        ("HS256 under nothing", symmetric(Signer::Hmac(b""))),
        ("an unknown kid", head("kid", json!("rsa9"))),
        ("a key that is not published", token_by(&whole, Signer::Rsa2, |_, _| {})),
        ("a signature of zeros", token_by(&whole, Signer::Zeros, |header, _| *header = json!({"alg": "ES256", "kid": "ec1"}))),
        ("an algorithm that is not configured", token_by(&whole, Signer::Ec, |header, _| *header = json!({"alg": "ES256", "kid": "ec1"}))),
        ("an ID token", id_token(true, json!("api://app"))),
        ("an ID token without nonce", id_token(false, json!(["api://app", CLIENT_ID]))),
        (
            "an ID token of the API's own registration",
            token(&whole, |header, claims| {
                header["typ"] = json!("JWT");
                claims.as_object_mut().unwrap().retain(|name, _| !matches!(name.as_str(), "scope" | "client_id"));
            }),
        ),
        ("the ID token of the gateway's own sign-in", id_token(true, json!(CLIENT_ID))),
        ("a logout token by its type", head("typ", json!("logout+jwt"))),
        ("bound to a key", claim("cnf", json!({"jkt": "x"}))),
        ("without a subject", claim("sub", json!(""))),
        ("critical extensions", head("crit", json!(["x"]))),
        ("huge", claim("padding", json!("x".repeat(17_000)))),
        ("opaque", "2YotnFZFEjr1zCsicMWpAA".to_owned()),
        ("encrypted", "a.b.c.d.e".to_owned()),
        ("nothing", String::new()),
    ];
    for (case, token) in &cases {
        check_problem(case, &by_token(&whole, "/api/x", token).await, 401, "invalid-token", INVALID);
    }
    // Whatever it says it accepts, a script gets no page and no way to a sign-in.
    for more in [PAGE, "Accept: text/html\r\n", "X-Requested-With: x\r\n"] {
        let answer = whole.get_with(&Person::default(), "/api/x", &with(&cases[0].1, more)).await;
        check_problem(more, &answer, 401, "invalid-token", INVALID);
    }
    let (good, bad) = (token(&whole, |_, _| {}), "Authorization: Bearer x\r\n");
    for (case, lines) in [
        ("two", with(&good, bad)),
        ("twice the same", with(&good, &with(&good, ""))),
        ("and Basic", with(&good, "Authorization: Basic YTpi\r\n")),
        ("two in one", format!("Authorization: Bearer {good}, Bearer {good}\r\n")),
    ] {
        check_problem(case, &whole.get_with(&Person::default(), "/api/x", &lines).await, 401, "invalid-token", INVALID);
    }
    assert!(whole.app.take().is_empty());
    assert_eq!(by_token(&whole, "/api/x", &good).await.status(), 200, "a good one passes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_every_scope_is_403_and_says_which() {
    let whole = house().await;
    let challenge = "Bearer realm=\"app\", error=\"insufficient_scope\", scope=\"app.read app.use\"";
    for scope in [json!("app.read"), json!("app.reader app.use"), json!(""), json!(7)] {
        let token = token(&whole, |_, claims| claims["scope"] = scope.clone());
        check_problem(&scope.to_string(), &by_token(&whole, "/api/x", &token).await, 403, "insufficient-scope", challenge);
    }
    assert!(whole.app.take().is_empty());
    let listed = token(&whole, |_, claims| {
        claims.as_object_mut().unwrap().remove("scope");
        claims["scp"] = json!(["app.use", "app.read"]);
    });
    assert_eq!(by_token(&whole, "/api/x", &listed).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_passes_as_the_person_it_stands_for_and_does_not_go_upstream() {
    let whole = house().await;
    for typ in ["at+jwt", "application/at+jwt", "JWT"] {
        let token = token(&whole, |header, _| header["typ"] = json!(typ));
        let forged = "X-Remote-User: root\r\nX_Remote_User: root\r\nX-app-Name: root\r\n";
        let answer = whole.get_with(&Person::default(), "/api/x?q=1", &with(&token, forged)).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"), "{typ}: {answer:?}");
        assert!(answer.all("set-cookie").is_empty());
        let seen = whole.app.one();
        assert_eq!(seen.line(), "GET /api/x?q=1 HTTP/1.1");
        assert_eq!((seen.all("x-remote-user"), seen.all("x-app-name")), (vec!["ada".to_owned()], vec!["Ada Lovelace".to_owned()]));
        assert!(!seen.mentions(&token) && seen.get("authorization").is_none() && !seen.mentions("root"), "{seen:?}");
        assert!(seen.get("x-app-jwt").is_some(), "the token of our own is there");
    }
    assert_eq!(whole.op.hits("/jwks"), 1);
    // The same one again and again, until it has ended: also on a core that remembers it.
    let token = token(&whole, |_, _| {});
    for _ in 0..3 {
        assert_eq!(by_token(&whole, "/api/x", &token).await.status(), 200);
    }
    whole.advance_s(329);
    assert_eq!(by_token(&whole, "/api/x", &token).await.status(), 200, "clocks may differ by half a minute");
    whole.advance_s(1);
    check_problem("ended", &by_token(&whole, "/api/x", &token).await, 401, "invalid-token", INVALID);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_matching_section_must_accept_the_way_that_is_used() {
    let whole = house().await;
    let (token, nobody, ada) = (token(&whole, |_, _| {}), Person::default(), whole.sign_in(APP).await);
    // Nobody: 401, with Bearer where a token would do.
    let session = "Vestibule realm=\"app\"";
    let bearer = "Bearer realm=\"app\"";
    check_problem("no section", &whole.get_with(&nobody, "/x", "").await, 401, "sign-in-required", session);
    let either = whole.get_with(&nobody, "/api/x", "").await;
    check_problem("either", &either, 401, "sign-in-required", bearer);
    assert_eq!(either.json()["login"], format!("https://{APP}/.vestibule/login"));
    check_problem("tokens only", &whole.get_with(&nobody, "/hooks/x", "").await, 401, "token-required", bearer);
    // A token where none is accepted is nothing: not at a path without a section, not where one section of several says nothing, not under another spelling.
    for path in ["/x", "/api/people", "/API/x", "/api/x;y", "/api%2520/x"] {
        let answer = by_token(&whole, path, &token).await;
        assert_eq!((answer.status(), answer.get("www-authenticate").as_deref()), (401, Some(session)), "{path}");
    }
    // A cookie where only tokens are accepted: refused, and no way to a sign-in that would not help.
    for more in ["", PAGE] {
        let refused = whole.get_with(&ada, "/hooks/x", more).await;
        assert_eq!((refused.status(), refused.get("location"), refused.get("www-authenticate").as_deref()), (401, None, Some(bearer)), "{more}");
    }
    assert!(whole.app.take().is_empty());
    assert_eq!(by_token(&whole, "/hooks/x", &token).await.status(), 200);
    assert_eq!(whole.get_with(&ada, "/api/x", "").await.status(), 200);
    assert_eq!(whole.app.take().len(), 2);
    // Both: the token counts where it is accepted, and there only.
    let grace = self::token(&whole, |_, claims| (claims["sub"], claims["preferred_username"]) = (json!("grace"), json!("grace")));
    for (path, expected) in [("/api/x", "grace"), ("/x", "ada@example.com"), ("/api/people", "ada@example.com")] {
        assert_eq!(whole.get_with(&ada, path, &with(&grace, "")).await.status(), 200, "{path}");
        let seen = whole.app.one();
        assert_eq!((seen.get("x-remote-user").as_deref(), seen.get("authorization")), (Some(expected), None), "{path}");
    }
    check_problem("a bad one beside a good cookie", &whole.get_with(&ada, "/api/x", &with("x", "")).await, 401, "invalid-token", INVALID);
    // Where no token is looked at, and for other schemes, all is as it was.
    assert_eq!(whole.get_with(&nobody, "/public", &with(&token, "")).await.status(), 200);
    assert_eq!(whole.app.one().get("authorization"), Some(format!("Bearer {token}")));
    assert_eq!(whole.get_with(&ada, "/api/x", "Authorization: Basic YTpi\r\n").await.status(), 200);
    assert_eq!(whole.app.one().get("authorization"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_needs_no_cookie_and_no_origin_but_a_cookie_still_does() {
    let whole = house().await;
    let (token, ada) = (token(&whole, |_, _| {}), whole.sign_in(APP).await);
    let foreign = format!("{SOCKET}Origin: https://evil.example\r\n");
    assert_eq!(whole.get_with(&ada, "/api/x", &foreign).await.status(), 403);
    assert!(whole.app.take().is_empty());
    // No page can make a browser send this header.
    drop(whole.get_with(&Person::default(), "/api/x", &with(&token, &foreign)).await);
    assert_eq!(whole.app.one().get("x-remote-user").as_deref(), Some("ada"));
    let post = format!("POST /api/x HTTP/1.1\r\nHost: {APP}\r\nOrigin: https://evil.example\r\nContent-Length: 1\r\n{}\r\nx", with(&token, ""));
    assert_eq!(whole.ask(APP, post).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn max_age_is_told_by_auth_time_and_a_token_without_is_too_old() {
    let whole = house().await;
    let now = vestibule::clock::Clock::now(&*whole.clock).seconds();
    let signed_in = |at: i64| token(&whole, |_, claims| claims["auth_time"] = json!(at));
    let stale = "Bearer realm=\"app\", error=\"insufficient_user_authentication\"";
    for (case, token) in [("none", token(&whole, |_, _| {})), ("old", signed_in(now - 901))] {
        check_problem(case, &by_token(&whole, "/api/recent", &token).await, 401, "token-too-old", stale);
        let page = whole.get_with(&Person::default(), "/api/recent", &with(&token, PAGE)).await;
        assert_eq!((page.status(), page.get("location")), (401, None), "{case}");
    }
    assert_eq!(by_token(&whole, "/api/recent", &signed_in(now - 890)).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_the_token_decide_like_those_of_a_sign_in() {
    let whole = house().await;
    let of = |groups: Option<Value>| {
        token(&whole, |_, claims| match groups {
            Some(groups) => claims["groups"] = groups,
            None => drop(claims.as_object_mut().unwrap().remove("groups")),
        })
    };
    for groups in [Some(json!(["staff"])), Some(json!([])), None] {
        check_problem("no admin", &by_token(&whole, "/api/admins", &of(groups)).await, 403, "denied", "");
    }
    let overage = token(&whole, |_, claims| claims["_claim_names"] = json!({"groups": "src1"}));
    check_problem("overage", &by_token(&whole, "/api/admins", &overage).await, 403, "denied", "");
    assert!(whole.app.take().is_empty());
    assert_eq!(by_token(&whole, "/api/admins", &of(Some(json!(["admins"])))).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_not_to_be_had_are_503_and_new_ones_are_found() {
    let whole = house().await;
    whole.op.set(|script| script.jwks_answer = Some(OpAnswer::text(500, "")));
    let good = token(&whole, |_, _| {});
    check_problem("no keys", &by_token(&whole, "/api/x", &good).await, 503, "provider-down", "");
    whole.op.reset();
    assert_eq!(by_token(&whole, "/api/x", &good).await.status(), 200);
    // A new key under a new name; asked for at most every half minute, however many tokens name it.
    let rotated = || token_by(&whole, Signer::Rsa2, |header, _| header["kid"] = json!("rsa2"));
    let asked = whole.op.hits("/jwks");
    for _ in 0..3 {
        check_problem("unknown", &by_token(&whole, "/api/x", &rotated()).await, 401, "invalid-token", INVALID);
    }
    assert_eq!(whole.op.hits("/jwks") - asked, 1);
    whole.op.set(|script| {
        script.jwks = std::sync::Arc::new(|set| set["keys"].as_array_mut().unwrap().push(keys().rsa_jwk("rsa2", &keys().rsa2)));
    });
    whole.advance_s(31);
    assert_eq!(by_token(&whole, "/api/x", &rotated()).await.status(), 200);
}

// --- accounts -----------------------------------------------------------------------------------

async fn with_accounts(provision: bool) -> (Whole, FakeAdmin) {
    let admin = FakeAdmin::start(Flavour::Scim).await;
    admin.require(&format!("Bearer {ADMIN_TOKEN}"));
    let url = admin.url.clone();
    let sections = format!(
        "{SECTIONS}provision = {provision}\n[user]\nname = [\"{{username}}\", \"{{before(email, '@')}}\"]\nrequired = [\"name\"]\n\
         [provision]\nconnector = \"scim\"\nurl = \"{url}\"\ntoken = \"env:ADMIN_TOKEN\"\nretries = 0\n"
    );
    let whole = Whole::with(|app| vec![("app", policy_with(APP, app, "", &sections))], |_| {}).await;
    (whole, admin)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_makes_no_account_and_passes_for_people_who_have_one() {
    let (whole, admin) = with_accounts(false).await;
    let ada = token(&whole, |_, _| {});
    let stranger = by_token(&whole, "/api/x", &ada).await;
    check_problem("a stranger", &stranger, 403, "no-account-yet", "");
    assert_eq!(stranger.json()["login"], format!("https://{APP}/.vestibule/login"));
    assert!(stranger.json()["detail"].as_str().unwrap().contains("once in a browser"), "{stranger:?}");
    assert_eq!((admin.take_seen().len(), whole.app.take().len()), (0, 0), "nothing is asked, nothing is told");

    let person = whole.sign_in(APP).await;
    assert_eq!(whole.get_with(&person, "/x", "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n").await.status(), 200);
    assert_eq!(whole.app.one().get("x-remote-user").as_deref(), Some("ada"));
    assert!(!admin.take_seen().is_empty());
    assert_eq!(by_token(&whole, "/api/x", &ada).await.status(), 200, "the very token that was refused");
    drop(whole.app.take());
    // The recorded login, whatever the token calls them; and what made the account need not be in every token.
    let meagre = token(&whole, |_, claims| {
        for name in ["name", "email", "email_verified", "groups"] {
            claims.as_object_mut().unwrap().remove(name);
        }
        claims["preferred_username"] = json!("root");
    });
    assert_eq!(by_token(&whole, "/api/x", &meagre).await.status(), 200);
    let seen = whole.app.one();
    assert_eq!((seen.all("x-remote-user"), seen.all("x-app-name")), (vec!["ada".to_owned()], vec!["root".to_owned()]), "{seen:?}");
    let grace = token(&whole, |_, claims| claims["sub"] = json!("grace"));
    check_problem("somebody else of that name", &by_token(&whole, "/api/x", &grace).await, 403, "no-account-yet", "");
    // Months later, too: it is not for a token to find out what became of the account.
    whole.advance_s(90 * 86_400);
    let later = token(&whole, |_, _| {});
    assert_eq!(by_token(&whole, "/api/x", &later).await.status(), 200);
    assert!(admin.take_seen().is_empty(), "the admin API was never asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_makes_an_account_where_the_policy_says_so() {
    let (whole, admin) = with_accounts(true).await;
    let nameless = token(&whole, |_, claims| drop(claims.as_object_mut().unwrap().remove("name")));
    check_problem("what is required", &by_token(&whole, "/api/x", &nameless).await, 403, "incomplete-sign-in", "");
    assert!(admin.take_seen().iter().all(|seen| seen.method != "POST"));
    assert_eq!(by_token(&whole, "/api/x", &token(&whole, |_, _| {})).await.status(), 200);
    assert_eq!(whole.app.one().get("x-remote-user").as_deref(), Some("ada"));
    assert_eq!(admin.take_seen().iter().filter(|seen| seen.method == "POST").count(), 1);
}

// --- headers of path sections -------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sections_headers_go_to_its_paths_and_nobody_else_may_send_them() {
    let sections = r#"
[[path]]
match   = ["*.json", "*.xml"]
headers = { X-Redmine-API-Key = { secret = "env:ADMIN_TOKEN" }, X-Redmine-Switch-User = "{user.name}" }
[[path]]
match   = ["/issues*"]
headers = { X-Redmine-API-Key = { secret = "env:ADMIN_TOKEN" }, X-Area = ["issues", "x"] }
[[path]]
match   = ["/office/*"]
headers = { X-Redmine-API-Key = { secret = "env:ADMIN_TOKEN" }, X-Office = "{claims.office}", X-Floor = "2" }
[[path]]
match   = ["/health"]
public  = true
headers = { X-From-Gateway = { secret = "env:STATE_KEY" } }
"#;
    let whole = Whole::with(|app| vec![("app", policy_with(APP, app, "", sections)), ("wiki", policy(WIKI, app))], |_| {}).await;
    let ada = whole.sign_in(APP).await;
    let forged = "X-Redmine-API-Key: forged-by-client\r\nX_Redmine_API_Key: forged-by-client\r\nx.redmine.switch.user: forged-by-client\r\nX-Area: forged-by-client\r\nX-Office: forged-by-client\r\nX-From-Gateway: forged-by-client\r\n";
    let check = async |path: &str, key: bool, user: Option<&str>, area: bool| {
        assert_eq!(whole.get_with(&ada, path, forged).await.status(), 200, "{path}");
        let seen = whole.app.one();
        assert!(!seen.mentions("forged-by-client"), "{path}: {seen:?}");
        assert_eq!(seen.all("x-redmine-api-key"), if key { vec![ADMIN_TOKEN.to_owned()] } else { Vec::new() }, "{path}");
        assert_eq!((seen.get("x-redmine-switch-user").as_deref(), seen.get("x-area").is_some()), (user, area), "{path}");
        assert_eq!((seen.get("x-office"), seen.get("x-remote-user").as_deref()), (None, Some("ada@example.com")), "{path}");
    };
    let ada_is = Some("ada@example.com");
    check("/x.json", true, ada_is, false).await;
    check("/x.json?y=.css", true, ada_is, false).await;
    check("/issues", true, None, true).await;
    check("/issues.json", true, ada_is, true).await;
    check("/", false, None, false).await;
    // The key on behalf of nobody would be the key of its owner.
    check("/office/x", false, None, false).await;
    check("/x?y=.json", false, None, false).await;
    // What a section gives, it gives for its exact bytes only.
    for path in ["/x.JSON", "/x.json/", "/x;y.json", "/x.json;y", "/x%3F.json", "/Issues"] {
        check(path, false, None, false).await;
    }
    for path in ["/public", "/health"] {
        assert_eq!(whole.get_with(&Person::default(), path, forged).await.status(), 200, "{path}");
        let seen = whole.app.one();
        assert!(!seen.mentions("forged-by-client") && !seen.mentions(ADMIN_TOKEN), "{path}: {seen:?}");
        assert_eq!(seen.get("x-from-gateway").is_some(), path == "/health", "{path}");
    }
    // What one app trusts cannot be sent through another.
    let reader = whole.sign_in(WIKI).await;
    drop(whole.ask(WIKI, get(&reader, WIKI, "/x.json", forged)).await);
    let seen = whole.app.one();
    assert!(!seen.mentions("forged-by-client") && !seen.mentions(ADMIN_TOKEN), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_section_may_take_tokens_and_give_headers() {
    let sections = r#"
[[path]]
match   = ["*.json"]
auth    = ["bearer", "session"]
methods = ["GET", "POST"]
headers = { X-Redmine-API-Key = { secret = "env:ADMIN_TOKEN" }, X-Redmine-Switch-User = "{user.name}" }
[bearer]
idp      = "corp"
audience = "api://app"
"#;
    let whole = Whole::app("", sections).await;
    let token = token(&whole, |_, _| {});
    assert_eq!(by_token(&whole, "/issues.json", &token).await.status(), 200);
    let seen = whole.app.one();
    assert_eq!((seen.get("x-redmine-api-key").as_deref(), seen.get("x-redmine-switch-user").as_deref()), (Some(ADMIN_TOKEN), Some("ada")));
    assert!(seen.get("authorization").is_none());
    let delete = format!("DELETE /issues.json HTTP/1.1\r\nHost: {APP}\r\n{}\r\n", with(&token, ""));
    check_problem("DELETE", &whole.ask(APP, delete).await, 403, "denied", "");
}

// --- encoded slashes ----------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoded_slash_is_kept_byte_for_byte_or_refused() {
    let check = async |keys: &str, path: &str, person: bool, expected: u16| {
        let whole = Whole::app(keys, "").await;
        let who = if person { whole.sign_in(APP).await } else { Person::default() };
        assert_eq!(whole.get_with(&who, path, "").await.status(), expected, "{keys} {path}");
        let seen = whole.app.take();
        assert_eq!(seen.len(), usize::from(expected == 200), "{keys} {path}");
        if let Some(seen) = seen.first() {
            assert_eq!(seen.line(), format!("GET {path} HTTP/1.1"));
        }
    };
    for path in ["/api/projects/group%2Fproject", "/public/a%2Fb"] {
        check("", path, true, 400).await;
    }
    let keep = "encoded_slashes = \"keep\"";
    check(keep, "/api/projects/group%2Fproject?path=a%2Fb", true, 200).await;
    check(keep, "/public/a%2Fb", false, 200).await;
    check(keep, "/public%2Fa", false, 401).await;
    check(keep, "/admins%2Fusers", true, 403).await;
    check(keep, "/public/..%2Fadmins", false, 400).await;
    check(keep, "/.vestibule%2Fwhoami", true, 400).await;
}
