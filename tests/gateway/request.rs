//! What becomes of a request in the whole gateway: the kind of answer it gets, and the headers that reach the application.
#![expect(clippy::indexing_slicing, reason = "tests")]

use crate::fake_admin::{FakeAdmin, Fault, Flavour};
use crate::whole::{ADMIN_TOKEN, APP, AUTH, Answer, COOKIE, Person, WIKI, Whole, get, policy, policy_with};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use std::net::SocketAddr;

const PAGE: &str = "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n";
const SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The rows of operators.md 5.1: method, headers.
const KINDS: [(&str, &str, &str); 8] = [
    ("page", "GET", PAGE),
    ("page", "HEAD", PAGE),
    ("form", "POST", PAGE),
    ("socket", "GET", SOCKET),
    ("api", "GET", "Sec-Fetch-Mode: cors\r\nAccept: text/html\r\n"),
    ("api", "POST", "X-Requested-With: XMLHttpRequest\r\nAccept: text/html\r\n"),
    ("api", "GET", "Accept: application/json\r\n"),
    ("page", "GET", "Accept: text/html,*/*\r\n"),
];

fn request(person: &Person, method: &str, path: &str, headers: &str) -> String {
    let body = if method == "POST" { "Content-Length: 9\r\n\r\ntext=lost" } else { "\r\n" };
    format!("{method} {path} HTTP/1.1\r\nHost: {APP}\r\n{}{headers}{body}", person.cookies(APP))
}

/// A policy that makes accounts at `admin`.
fn provisioned(app: SocketAddr, admin: &FakeAdmin) -> String {
    let url = &admin.url;
    policy_with(
        APP,
        app,
        "",
        &format!("[provision]\nconnector = \"scim\"\nurl = \"{url}\"\ntoken = {{ secret = \"env:ADMIN_TOKEN\" }}\nretries = 0\ntimeout = \"30s\"\n"),
    )
}

async fn with_accounts() -> (Whole, FakeAdmin) {
    with_accounts_for("everyone = true").await
}

/// As [`with_accounts`], for those who fit `access`.
async fn with_accounts_for(access: &str) -> (Whole, FakeAdmin) {
    let admin = FakeAdmin::start(Flavour::Scim).await;
    admin.require(&format!("Bearer {ADMIN_TOKEN}"));
    let whole = Whole::with(|app| vec![("app", provisioned(app, &admin).replace("everyone = true", access))], |_| {}).await;
    (whole, admin)
}

fn check_problem(answer: &Answer, status: u16, slug: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.get("content-type").as_deref(), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!((&problem["status"], &problem["type"]), (&json!(status), &json!(format!("https://{AUTH}/problems/{slug}"))));
    assert_eq!(problem["incident"].as_str(), answer.get("x-vestibule-incident").as_deref());
}

fn check_page(answer: &Answer, status: u16, text: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.get("content-type").as_deref(), Some("text/html; charset=utf-8"), "{answer:?}");
    assert!(answer.text().contains(text), "{text}: {answer:?}");
}

// --- kinds of request (operators.md 5.1) --------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_not_signed_in() {
    let whole = Whole::new().await;
    let nobody = Person::default();
    for (kind, method, headers) in KINDS {
        let answer = whole.ask(APP, request(&nobody, method, "/deep/link?a=1", headers)).await;
        match kind {
            "page" => {
                assert_eq!(answer.status(), 303, "{headers}");
                assert!(answer.get("location").unwrap().starts_with(&format!("https://{AUTH}/.vestibule/login?")), "{answer:?}");
            }
            "form" => check_page(&answer, 401, "Reload"),
            _ => {
                check_problem(&answer, 401, "sign-in-required");
                assert_eq!(answer.get("www-authenticate").as_deref(), Some("Vestibule realm=\"app\""));
                assert_eq!(answer.json()["login"], format!("https://{APP}/.vestibule/login"));
            }
        }
        // C11, O21: only navigations begin a sign-in.
        assert_eq!(answer.get("set-cookie").is_some(), kind == "page", "{kind} {headers}");
        assert_eq!(answer.get("cache-control").as_deref(), Some("no-store"));
    }
    assert_eq!(whole.app.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_denied() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    for (kind, method, headers) in KINDS {
        let answer = whole.ask(APP, request(&person, method, "/admins", headers)).await;
        match (kind, method) {
            (_, "HEAD") => assert_eq!(answer.status(), 403),
            ("page" | "form", _) => check_page(&answer, 403, "ada@example.com"),
            _ => check_problem(&answer, 403, "denied"),
        }
    }
    assert_eq!(whole.app.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_provisioning() {
    let (whole, admin) = with_accounts().await;
    admin.fail_next("POST", Fault::Held);
    let person = whole.sign_in(APP).await;
    // A page begins it; everything else joins.
    check_page(&whole.ask(APP, get(&person, APP, "/first", PAGE)).await, 200, "/.vestibule/wait?to=/first");
    let asked = KINDS.map(|(_, method, headers)| whole.ask(APP, request(&person, method, "/x?y=1", headers)));
    for ((kind, method, _), answer) in KINDS.into_iter().zip(futures_util::future::join_all(asked).await) {
        match (kind, method) {
            (_, "HEAD") => assert_eq!(answer.status(), 200),
            ("page", _) => check_page(&answer, 200, "/.vestibule/wait?to=/x%3Fy%3D1"),
            ("form", _) => check_page(&answer, 503, "reload this page"),
            _ => check_problem(&answer, 503, "account-in-progress"),
        }
        assert_eq!(answer.get("retry-after").as_deref(), (kind != "page").then_some("2"));
    }
    assert_eq!(whole.app.connections(), 0, "J2: nothing reaches the application before the account exists");
    admin.release();
    assert_eq!(whole.get(&person, APP, "/").await.status(), 200);
}

// --- accounts -----------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j2_the_account_is_there_before_the_first_request_arrives_and_is_made_once() {
    let (whole, admin) = with_accounts().await;
    let person = whole.sign_in(APP).await;
    assert!(admin.users().is_empty(), "signing in alone makes no account");
    let asked = (0..10).map(|n| whole.ask(APP, get(&person, APP, &format!("/{n}"), PAGE)));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(whole.app.take().len(), 10);
    let creations = admin.take_lines().into_iter().filter(|line| line.starts_with("POST /Users")).count();
    assert_eq!((creations, admin.users().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j12_admin_api_down_known_people_go_on_and_new_ones_get_a_page() {
    let (whole, admin) = with_accounts().await;
    let known = whole.sign_in(APP).await;
    assert_eq!(whole.ask(APP, get(&known, APP, "/1", PAGE)).await.status(), 200);
    for _ in 0..40 {
        admin.fail_next("", Fault::DropBefore);
    }
    // Past everything that memory and record vouch for on their own.
    whole.advance_s(1_700);
    assert_eq!(whole.get(&known, APP, "/2").await.status(), 200);
    whole.advance_s(1_000);
    assert_eq!(whole.get(&known, APP, "/3").await.status(), 200);
    whole.advance_s(1_000);
    assert_eq!(whole.get(&known, APP, "/4").await.status(), 200, "the record is older than an hour by now");
    whole.op.set(|script| {
        script.subject = json!("grace");
        script.person["email"] = json!("grace@example.com");
    });
    whole.app.take();
    let stranger = whole.sign_in(APP).await;
    let page = whole.ask(APP, get(&stranger, APP, "/5", PAGE)).await;
    check_page(&page, 503, "could not be set up");
    // The failure is the answer for a moment; after that a program does not begin anything.
    check_problem(&whole.get(&stranger, APP, "/5").await, 503, "account-unavailable");
    whole.advance_s(5);
    check_problem(&whole.get(&stranger, APP, "/5").await, 403, "open-in-browser");
    assert!(whole.app.take().is_empty());
    // J11: neither page speaks of the admin API.
    for secret in [ADMIN_TOKEN, &admin.url.port().unwrap().to_string()] {
        assert!(!page.mentions(secret), "{page:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j12_admin_api_slow_first_the_waiting_page_then_in() {
    let (whole, admin) = with_accounts().await;
    admin.fail_next("POST /Users", Fault::Held);
    let mut person = whole.sign_in(APP).await;
    let waiting = whole.ask(APP, get(&person, APP, "/home", PAGE)).await;
    check_page(&waiting, 200, "Setting up");
    let refresh = waiting.text();
    assert!(refresh.contains("http-equiv=\"refresh\"") || waiting.get("refresh").is_some(), "{waiting:?}");
    // Others are not held up.
    whole.op.set(|script| {
        script.subject = json!("grace");
        script.person["email"] = json!("grace@example.com");
    });
    let other = whole.sign_in(APP).await;
    assert_eq!(whole.ask(APP, get(&other, APP, "/", PAGE)).await.status(), 200);
    admin.release();
    let mut answer = waiting;
    for _ in 0..3 {
        answer = whole.street().visit(&mut person, &format!("https://{APP}/.vestibule/wait?to=/home").parse().unwrap()).await;
        if answer.status() == 303 {
            break;
        }
    }
    assert_eq!((answer.status(), answer.get("location").as_deref()), (303, Some("/home")));
    assert_eq!(whole.get(&person, APP, "/home").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_may_not_enter_gets_no_account_by_way_of_a_public_path() {
    let (whole, admin) = with_accounts_for("groups = [\"staff\"]").await;
    whole.op.set(|script| script.person["groups"] = json!(["strangers"]));
    let mut mallory = whole.sign_in(APP).await;
    admin.take_lines();
    let url = |to: &str| format!("https://{APP}/.vestibule/wait?to={to}").parse().unwrap();
    let refused = whole.street().visit(&mut mallory, &url("/home")).await;
    assert_eq!(refused.status(), 403);
    let passed = whole.street().visit(&mut mallory, &url("/public/icon")).await;
    assert_eq!((passed.status(), passed.get("location").as_deref()), (303, Some("/public/icon")));
    assert_eq!(whole.get(&mallory, APP, "/public/icon").await.status(), 200);
    assert!(admin.take_lines().is_empty() && admin.users().is_empty(), "the admin API was not even asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j11_the_admin_token_reaches_neither_application_nor_client() {
    let (whole, admin) = with_accounts().await;
    let person = whole.sign_in(APP).await;
    let mut shown = vec![whole.ask(APP, get(&person, APP, "/", PAGE)).await];
    for path in ["/.vestibule/whoami", "/.vestibule/jwks", "/.vestibule/none", "/admins"] {
        shown.push(whole.ask(APP, get(&person, APP, path, PAGE)).await);
    }
    shown.extend(whole.app.take());
    assert_eq!(shown.len(), 6);
    assert!(shown.iter().all(|message| !message.mentions(ADMIN_TOKEN)), "{shown:?}");
    assert!(!admin.take_lines().is_empty());
    // The admin API has an address of its own here, and no host of the gateway leads to it.
    for path in ["/Users", "/scim/v2/Users"] {
        assert_eq!(whole.get(&person, APP, path).await.text(), "ok", "this is the application's page, not the admin API's");
    }
    assert!(admin.take_lines().is_empty());
}

// --- identity headers ---------------------------------------------------------------------------

/// I1: spellings of one name that some server folds into one variable.
const SPELLINGS: [&str; 24] = [
    "X-Remote-User",
    "x-remote-user",
    "X-REMOTE-USER",
    "X_Remote_User",
    "x_remote_user",
    "X_REMOTE_USER",
    "X-Remote_User",
    "X_Remote-User",
    "x-Remote-User",
    "X.Remote.User",
    "x.remote.user",
    "X-Remote.User",
    "X~Remote~User",
    "X!Remote!User",
    "X#Remote#User",
    "X$Remote$User",
    "X%Remote%User",
    "X&Remote&User",
    "X'Remote'User",
    "X*Remote*User",
    "X+Remote+User",
    "X^Remote^User",
    "X`Remote`User",
    "X|Remote|User",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_no_spelling_of_an_identity_header_gets_through() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    for name in SPELLINGS {
        for (path, expected) in [("/", vec!["ada@example.com"]), ("/public", vec![])] {
            let answer = whole.ask(APP, get(&person, APP, path, &format!("{name}: mallory\r\n{name}: mallory2\r\n"))).await;
            assert!([200, 400].contains(&answer.status()), "{name}");
            let seen = whole.app.take();
            assert!(seen.iter().all(|seen| !seen.mentions("mallory")), "{name} {path}: {seen:?}");
            if answer.status() == 200 {
                assert_eq!(seen[0].all("x-remote-user"), expected, "{name} {path}");
            }
        }
    }
    // All at once, and in a trailer.
    let all = SPELLINGS.map(|name| format!("{name}: mallory\r\n")).concat();
    drop(whole.ask(APP, get(&person, APP, "/", &all)).await);
    assert!(!whole.app.one().mentions("mallory"));
    let cookies = person.cookies(APP);
    let trailer = format!(
        "POST / HTTP/1.1\r\nHost: {APP}\r\n{cookies}Transfer-Encoding: chunked\r\nTrailer: X-Remote-User\r\n\r\n2\r\nab\r\n0\r\nX-Remote-User: mallory\r\n\r\n"
    );
    assert_eq!(whole.ask(APP, trailer).await.status(), 200);
    let seen = whole.app.one();
    assert_eq!((seen.text().as_str(), seen.mentions("mallory"), seen.mentions("trailer")), ("ab", false, false), "H6: {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_a_header_that_another_policy_sets_or_that_has_no_value_is_removed_too() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    // X-App-Office has no value for Ada; X-Wiki-Name is set by the other policy (CVE-2026-30851).
    let forged = "X-App-Office: board room\r\nX_Wiki_Name: mallory\r\nX-Wiki-JWT: e30.e30.\r\nX-App-JWT: e30.e30.x\r\nx_app_jwt: e30.e30.y\r\n";
    for path in ["/", "/public"] {
        assert_eq!(whole.ask(APP, get(&person, APP, path, forged)).await.status(), 200);
        let seen = whole.app.one();
        for gone in ["board room", "mallory", "e30."] {
            assert!(!seen.mentions(gone), "{path} {gone}: {seen:?}");
        }
        assert_eq!(seen.all("x-app-jwt").len(), usize::from(path == "/"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_connection_cannot_name_our_headers_away() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    let names =
        "X-Remote-User, x-app-name, X-APP-JWT, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Request-Id, Host, Cookie, Content-Length";
    for connection in [names.to_owned(), names.to_lowercase(), format!("close, {names}"), format!("keep-alive,{}", names.replace(", ", ","))] {
        let answer = whole.ask(APP, get(&person, APP, "/", &format!("Connection: {connection}\r\nCookie: mine=1\r\n"))).await;
        assert_eq!(answer.status(), 200);
        let seen = whole.app.one();
        assert_eq!(seen.all("x-remote-user"), ["ada@example.com"], "{connection}");
        assert_eq!(seen.all("x-app-name"), ["Ada Lovelace"]);
        assert_eq!(seen.all("x-app-jwt").len(), 1);
        assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
        assert_eq!(seen.all("host"), [APP]);
        assert_eq!(seen.all("connection"), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hop_by_hop_headers_end_here_both_ways() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    whole.app.answer(
        "/",
        "HTTP/1.1 200 OK\r\nConnection: x-mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n\
         Proxy-Connection: keep-alive\r\nTE: x\r\nX-Vestibule-Incident: FAKE-CODE\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nok",
    );
    let sent = "Connection: X-Own, keep-alive\r\nX-Own: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\nTrailer: X\r\nX-Kept: yes\r\n";
    let answer = whole.ask(APP, get(&person, APP, "/", sent)).await;
    let seen = whole.app.one();
    for message in [&seen, &answer] {
        for name in [
            "x-own",
            "x-mine",
            "keep-alive",
            "te",
            "proxy-authorization",
            "proxy-authenticate",
            "proxy-connection",
            "trailer",
            "upgrade",
            "x-vestibule-incident",
        ] {
            assert_eq!(message.all(name), [""; 0], "{name}: {message:?}");
        }
        assert_eq!(message.all("x-kept"), ["yes"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_credentials_of_the_clients_own_do_not_outvote_the_identity() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    let forged = "Authorization: Basic bWFsbG9yeTp4\r\nProxy-Authorization: Basic bWFsbG9yeTp4\r\nProxy: http://mallory.example\r\nX-Client-Cert: mallory\r\nClient-Cert: mallory\r\n\
                  SSL_CLIENT_S_DN: mallory\r\nX-SSL-Client-DN: mallory\r\nX-Forwarded-Client-Cert: mallory\r\nX-Forwarded-User: mallory\r\nREMOTE_USER: mallory\r\n";
    drop(whole.ask(APP, get(&person, APP, "/", forged)).await);
    let seen = whole.app.one();
    assert!(!seen.mentions("mallory") && !seen.mentions("bWFsbG9yeTp4"), "{seen:?}");
    drop(whole.ask(APP, get(&person, APP, "/public", forged)).await);
    let seen = whole.app.one();
    assert!(!seen.mentions("mallory"), "{seen:?}");
    assert_eq!(seen.all("authorization"), ["Basic bWFsbG9yeTp4"], "on a public path nobody is announced, and the application may ask for its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_i5_i7_claims_become_one_safe_value_or_none() {
    let sections =
        "[headers]\nX-Groups = \"{groups}\"\nX-Encoded = { value = \"{claims.nick}\", encoding = \"rfc2047\" }\nX-Nick = \"{claims.nick}\"\n";
    let whole =
        Whole::with(|app| vec![("app", format!("host = \"{APP}\"\nupstream = \"http://{app}\"\n[access]\neveryone = true\n{sections}"))], |_| {})
            .await;
    // What claims say, the status, `X-Groups`, `X-Nick`, `X-Encoded`.
    let check = async |subject: &str, groups: Value, nick: Value, expected: Option<[Option<&str>; 3]>| {
        whole.op.set(|script| {
            script.subject = json!(subject);
            script.person = json!({"email": "ada@example.com", "email_verified": true, "groups": groups, "nick": nick});
        });
        let person = whole.sign_in(APP).await;
        let answer = whole.get(&person, APP, "/").await;
        let seen = whole.app.take();
        match expected {
            None => {
                assert!((400..600).contains(&answer.status()), "{nick}: {answer:?}");
                assert!(seen.is_empty(), "{nick}");
            }
            Some(values) => {
                assert_eq!(answer.status(), 200, "{nick}: {answer:?}");
                for (name, value) in ["x-groups", "x-nick", "x-encoded"].into_iter().zip(values) {
                    assert_eq!(seen[0].all(name), value.into_iter().collect::<Vec<_>>(), "{name} of {groups} {nick}");
                }
            }
        }
    };
    check("1", json!(["users,admins"]), json!("ada"), Some([Some("users%2Cadmins"), Some("ada"), Some("ada")])).await;
    check("2", json!(["users", "admins"]), Value::Null, Some([Some("users,admins"), None, None])).await;
    check("3", json!([]), json!("Zoë ☃"), Some([None, Some("Zoë ☃"), Some("=?UTF-8?B?Wm/DqyDimIM=?=")])).await;
    check("4", json!(["a"]), json!("ada\r\nX-Admin: 1"), None).await;
    check("5", json!(["a"]), json!("ada\nX-Admin: 1"), None).await;
    check("6", json!(["a"]), json!("ada\u{0}"), None).await;
    check("7", json!(["a"]), json!("x".repeat(70_000)), None).await;
    check("8", json!(["a"]), json!({"is": "an object"}), None).await;
    check("9", json!(["a"]), json!("ada\u{202e}nimda"), None).await;
    // Ten thousand groups are bounded: all or nothing.
    check("10", Value::from((0..10_000).map(|n| format!("group-{n}")).collect::<Vec<_>>()), json!("ada"), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_the_injected_token_verifies_and_is_for_this_application_only() {
    let whole = Whole::new().await;
    let mut person = whole.sign_in(APP).await;
    whole.street().sign_in_as(&mut person, WIKI).await;
    let token = async |host: &str| {
        assert_eq!(whole.get(&person, host, "/").await.status(), 200);
        let name = format!("x-{}-jwt", host.split('.').next().unwrap());
        let tokens = whole.app.one().all(&name);
        assert_eq!(tokens.len(), 1);
        tokens[0].clone()
    };
    let (for_app, for_wiki) = (token(APP).await, token(WIKI).await);
    let published = whole.get(&Person::default(), APP, "/.vestibule/jwks").await;
    assert!(!published.text().contains("\"d\""), "the private part stays here");
    assert_eq!(published.text(), whole.get(&Person::default(), AUTH, "/.vestibule/jwks").await.text());
    let keys: JwkSet = serde_json::from_slice(&published.body).unwrap();
    let verify = |token: &str, audience: &str| {
        let header = jsonwebtoken::decode_header(token).unwrap();
        assert_eq!(header.alg, Algorithm::ES256);
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[format!("https://{AUTH}")]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
        jsonwebtoken::decode::<Value>(token, &key, &validation).map(|token| token.claims)
    };
    let claims = verify(&for_app, "app").unwrap();
    assert_eq!(claims["sub"], "ada@example.com");
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1..=300).contains(&life), "{life}");
    assert!(claims["jti"].as_str().is_some_and(|id| id.len() >= 22));
    assert!(verify(&for_app, "wiki").is_err() && verify(&for_wiki, "app").is_err());
    verify(&for_wiki, "wiki").unwrap();
    // Rendered once and used until half its life is over; then there is a new one.
    assert_eq!(token(APP).await, for_app);
    whole.advance_s(151);
    let later = token(APP).await;
    assert_ne!(later, for_app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_forwarded_headers_are_ours_and_a_clients_word_counts_from_a_trusted_peer_only() {
    let forged = "X-Forwarded-For: 10.9.8.7\r\nX_Forwarded_For: 10.9.8.7\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 81\r\n\
                  Forwarded: for=10.9.8.7;host=evil.example\r\nX-Real-IP: 10.9.8.7\r\nTrue-Client-IP: 10.9.8.7\r\nX-Request-Id: 10.9.8.7\r\nVia: 1.1 evil.example\r\n";
    let inner = "[[path]]\nmatch = [\"/inner\"]\nnetworks = [\"10.0.0.0/8\"]\n";
    for (trusted, client, status) in [(vec![], "127.0.0.1", 403), (vec!["127.0.0.0/8"], "10.9.8.7", 200), (vec!["192.0.2.0/24"], "127.0.0.1", 403)] {
        let whole = Whole::with(
            |app| vec![("app", policy_with(APP, app, "", inner))],
            |gateway| gateway.server.trusted_proxies = trusted.iter().map(|net| net.parse().unwrap()).collect(),
        )
        .await;
        let person = whole.sign_in(APP).await;
        for path in ["/", "/public"] {
            drop(whole.ask(APP, get(&person, APP, path, forged)).await);
            let seen = whole.app.one();
            assert_eq!(seen.all("x-forwarded-for"), [client], "{trusted:?}");
            assert_eq!((seen.all("x-forwarded-proto"), seen.all("x-forwarded-host")), (vec!["https".to_owned()], vec![APP.to_owned()]));
            assert!(!seen.mentions("evil.example") && !seen.mentions("gopher"), "{seen:?}");
            let says = seen.fields().into_iter().filter(|(_, value)| value == b"10.9.8.7").count();
            assert_eq!(says, usize::from(client == "10.9.8.7"), "{seen:?}");
        }
        assert_eq!(whole.ask(APP, get(&person, APP, "/inner", forged)).await.status(), status, "{trusted:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h14_headers_of_the_clients_choice_open_nothing() {
    let whole = Whole::app("", "[[path]]\nmatch = [\"/readonly*\"]\nmethods = [\"GET\"]\n").await;
    let person = whole.sign_in(APP).await;
    let tricks = [
        "X-Original-URL: /public\r\n",
        "X-Rewrite-URL: /public\r\n",
        "X-Forwarded-Uri: /public\r\nX-Forwarded-Method: OPTIONS\r\n",
        "User-Agent: GoogleHC/1.0\r\n",
        "User-Agent: kube-probe/1.30\r\n",
        "X-Forwarded-For: 127.0.0.1\r\n",
        "Authorization: Bearer e30.e30.\r\n",
        "X-HTTP-Method-Override: OPTIONS\r\n",
        "Cookie: __Host-vestibule=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
    ];
    for trick in tricks {
        assert_eq!(whole.ask(APP, get(&Person::default(), APP, "/secret", trick)).await.status(), 401, "{trick}");
        assert_eq!(whole.ask(APP, get(&person, APP, "/admins", trick)).await.status(), 403, "{trick}");
    }
    let preflight = format!("OPTIONS /secret HTTP/1.1\r\nHost: {APP}\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: PUT\r\n\r\n");
    assert_eq!(whole.ask(APP, preflight).await.status(), 401);
    assert_eq!(whole.app.connections(), 0);
    // The application is not talked into another path or method by what is let through.
    let forged: String = tricks.iter().filter(|trick| trick.starts_with("X-")).copied().collect();
    drop(whole.ask(APP, get(&person, APP, "/readonly", &forged)).await);
    let seen = whole.app.one();
    for name in ["x-original-url", "x-rewrite-url", "x-forwarded-uri", "x-forwarded-method", "x-http-method-override"] {
        assert_eq!(seen.all(name), [""; 0], "{name}");
    }
}

// --- paths --------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h13_what_is_decided_on_is_what_goes_upstream() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    // Target as sent, status, target upstream.
    let check = async |target: &str, status: u16, upstream: Option<&str>| {
        for (who, anonymous) in [(&person, false), (&Person::default(), true)] {
            let answer = whole.get(who, APP, target).await;
            let seen = whole.app.take();
            let expected = if anonymous && status == 200 && !upstream.is_some_and(|path| path.starts_with("/public")) { 401 } else { status };
            let expected = if anonymous && status == 403 { 401 } else { expected };
            assert_eq!(answer.status(), expected, "{target}: {answer:?}");
            let went: Vec<String> = seen.iter().map(|seen| seen.line().split(' ').nth(1).unwrap().to_owned()).collect();
            let should: Vec<String> = if expected == 200 { upstream.into_iter().map(str::to_owned).collect() } else { Vec::new() };
            assert_eq!(went, should, "{target}");
        }
    };
    for refused in [
        "/public/../admins",
        "/public/%2e%2e/admins",
        "/public/.%2E/admins",
        "/public/%252e%252e/admins",
        "/public/..;/admins",
        "/public/..%2fadmins",
        "/public%2f..%2fadmins",
        "/public%5c..%5cadmins",
        "/public\\..\\admins",
        "//admins",
        "/public//admins",
        "/./admins",
        "/admins/.",
        "/%2fadmins",
        "/admins%00",
        "/admins%0a",
        "/admins%c0%af",
        "/admins%zz",
        "/public/%ff",
    ] {
        check(refused, 400, None).await;
    }
    for restricted in
        ["/admins", "/Admins", "/ADMINS/x", "/admins;x=1", "/%61dmins", "/admins%20", "/admins.", "/admins%3f", "/admins%23x", "/admins?x=/public"]
    {
        check(restricted, 403, None).await;
    }
    check("/p%75blic/%7euser?a=%2F..&b=//", 200, Some("/public/~user?a=%2F..&b=//")).await;
    check("/caf%c3%a9?x", 200, Some("/caf%C3%A9?x")).await;
    check("/a;b=c/d", 200, Some("/a;b=c/d")).await;
    check("/?", 200, Some("/?")).await;
    // Public paths open exactly: what a lenient application may read otherwise needs a sign-in.
    for odd in ["/public;x", "/Public", "/public/%3Bx"] {
        assert_eq!(whole.get(&Person::default(), APP, odd).await.status(), 401, "{odd}");
    }
}

// --- cookies ------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_our_cookies_never_go_up_and_the_application_cannot_touch_them() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    let session = person.session(APP);
    for (path, cookies) in [
        ("/", format!("Cookie: a=1; {COOKIE}={session}; {COOKIE}-b=x; b=2\r\n")),
        ("/public", format!("Cookie: a=1; {COOKIE}={session}\r\nCookie: b=2\r\n")),
        ("/", format!("Cookie: {COOKIE}={session};a=1;__HOST-VESTIBULE=zzz;b=2\r\n")),
    ] {
        assert_eq!(whole.ask(APP, get(&Person::default(), APP, path, &cookies)).await.status(), 200);
        let seen = whole.app.one();
        assert_eq!(seen.all("cookie"), ["a=1; b=2"]);
        assert!(!seen.mentions(&session) && !seen.mentions("vestibule=") && !seen.mentions("vestibule-b"), "{seen:?}");
    }
    drop(whole.get(&person, APP, "/").await);
    assert_eq!(whole.app.one().all("cookie"), [""; 0]);
    whole.app.answer(
        "/evil",
        format!(
            "HTTP/1.1 200 OK\r\nSet-Cookie: {COOKIE}=fixed; Path=/; Secure\r\nSet-Cookie: mine=1\r\nSet-Cookie: {COOKIE}=; Max-Age=0; Path=/; Secure\r\n\
             set-cookie:  __host-vestibule-b=x\r\nClear-Site-Data: \"cookies\", \"cache\"\r\nClear-Site-Data: \"*\"\r\nContent-Length: 0\r\n\r\n"
        ),
    );
    let answer = whole.get(&person, APP, "/evil").await;
    assert_eq!(answer.all("set-cookie"), ["mine=1"]);
    assert_eq!(answer.all("clear-site-data"), ["\"cache\""]);
    assert_eq!(whole.get(&person, APP, "/").await.status(), 200, "still signed in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c14_a_session_of_one_app_is_nobody_at_another() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    let stolen = format!("Cookie: {COOKIE}={}\r\n", person.session(APP));
    assert_eq!(whole.ask(WIKI, get(&Person::default(), WIKI, "/", &stolen)).await.status(), 401);
    let whoami = whole.ask(WIKI, get(&Person::default(), WIKI, "/.vestibule/whoami", &stolen)).await;
    assert_eq!(whoami.status(), 401);
    assert_eq!(whole.ask(APP, get(&Person::default(), APP, "/", &stolen)).await.status(), 200);
    let at_auth = whole.ask(AUTH, get(&Person::default(), AUTH, "/.vestibule/signed-in", &stolen)).await;
    assert!(!at_auth.mentions("ada"), "{at_auth:?}");
    whole.app.one();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c7_a_session_that_was_signed_out_is_dead_at_once_and_everywhere() {
    let whole = Whole::new().await;
    let mut person = whole.sign_in(APP).await;
    whole.street().sign_in_as(&mut person, WIKI).await;
    assert_eq!(whole.get(&person, APP, "/").await.status(), 200);
    assert_eq!(whole.get(&person, WIKI, "/").await.status(), 200);
    sign_out(&whole, &person).await;
    for host in [APP, WIKI] {
        assert_eq!(whole.get(&person, host, "/").await.status(), 401, "{host}");
    }
    assert_eq!(whole.app.take().len(), 2);
}

/// Signs out as the button on our page does.
pub(crate) async fn sign_out(whole: &Whole, person: &Person) {
    let cookies = person.cookies(APP);
    let form = format!("POST /.vestibule/logout HTTP/1.1\r\nHost: {APP}\r\n{cookies}{PAGE}Sec-Fetch-Site: same-origin\r\nContent-Length: 0\r\n\r\n");
    let answer = whole.ask(APP, form).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_of_the_host_decides_whatever_else_is_there() {
    let closed = |app: SocketAddr| policy(WIKI, app).replace("everyone = true", "groups = [\"nobody\"]");
    let whole = Whole::with(|app| vec![("app", policy(APP, app)), ("wiki", closed(app))], |_| {}).await;
    let mut person = whole.sign_in(APP).await;
    whole.street().sign_in_as(&mut person, WIKI).await;
    assert_eq!(whole.get(&person, APP, "/").await.status(), 200);
    let denied = whole.ask(WIKI, get(&person, WIKI, "/", PAGE)).await;
    check_page(&denied, 403, "ada@example.com");
    assert_eq!(whole.ask(WIKI, get(&person, WIKI, "/public", PAGE)).await.status(), 200);
}
