//! The demo's servers, asked directly: a demo that is lax would prove nothing about the gateway in front of it.

use super::check::{self, Addresses};
use super::http::{Body, Call, Site, json, pairs, send, serve};
use super::{DemoServers, Ports, start, write_files};
use crate::clock::{ManualClock, Timestamp};
use crate::entropy::{Entropy, SeededEntropy};
use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use url::Url;

const NOW_S: i64 = 1_800_000_000;
const CALLBACK: &str = "http://auth.localhost:8080/.vestibule/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Of [`VERIFIER`] (RFC 7636 appendix B).
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

struct Demo {
    servers: DemoServers,
    clock: Arc<ManualClock>,
}

async fn demo() -> Demo {
    demo_behind(8080).await
}

async fn demo_behind(gateway: u16) -> Demo {
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOW_S)));
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(7));
    let ports = Ports { gateway, idp: 0, wiki: 0, tickets: 0 };
    let servers = start(ports, false, Arc::<ManualClock>::clone(&clock), entropy).await.expect("starts");
    Demo { servers, clock }
}

async fn ask(method: Method, addr: SocketAddr, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
    let url = Url::parse(&format!("http://{addr}{path}")).expect("address");
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.append(HeaderName::from_bytes(name.as_bytes()).expect("name"), HeaderValue::from_str(value).expect("value"));
    }
    send(method, &url, all, Bytes::from(body.to_owned())).await.expect("answers")
}

fn value(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or(Value::Null)
}

fn location(response: &Response<Bytes>) -> Url {
    Url::parse(response.headers()["location"].to_str().expect("text")).expect("address")
}

fn param(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

impl Demo {
    async fn authorize(&self, change: &[(&str, &str)]) -> Response<Bytes> {
        let given = [
            ("client_id", "vestibule-demo"),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid email"),
            ("state", "st&te"),
            ("nonce", "n0nce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let kept = given.iter().filter(|(name, _)| !change.iter().any(|(other, _)| other == name));
        let all = kept.chain(change.iter().filter(|(_, value)| !value.is_empty()));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish();
        ask(Method::GET, self.servers.idp_addr, &format!("/authorize?{query}"), &[], "").await
    }

    async fn code(&self) -> String {
        param(&location(&self.authorize(&[("as", "ada")]).await), "code").expect("a code")
    }

    async fn token(&self, secret: &str, code: &str, verifier: &str, redirect: &str) -> Response<Bytes> {
        let basic = format!("Basic {}", STANDARD.encode(format!("vestibule-demo:{secret}")));
        let form = [("grant_type", "authorization_code"), ("code", code), ("code_verifier", verifier), ("redirect_uri", redirect)];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        ask(Method::POST, self.servers.idp_addr, "/token", &[("authorization", &basic)], &body).await
    }

    async fn scim(&self, method: Method, path: &str, body: &Value) -> Response<Bytes> {
        let bearer = format!("Bearer {}", self.servers.secrets.wiki);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(method, self.servers.wiki_addr, &format!("/scim/v2{path}"), &[("authorization", &bearer)], &body).await
    }

    async fn redmine(&self, method: Method, path: &str, body: &Value) -> Response<Bytes> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(method, self.servers.tickets_addr, path, &[("x-redmine-api-key", &self.servers.secrets.tickets)], &body).await
    }
}

// --- the provider --------------------------------------------------------------------------------------

#[tokio::test]
async fn the_provider_never_redirects_to_an_address_it_does_not_know() {
    let demo = demo().await;
    for uri in
        ["http://evil.example/", "http://auth.localhost:8080/.vestibule/callback/", "http://auth.localhost:8080.evil.example/.vestibule/callback", ""]
    {
        let answer = demo.authorize(&[("redirect_uri", uri), ("as", "ada")]).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{uri}");
        assert!(answer.headers().get("location").is_none());
    }
    assert_eq!(demo.authorize(&[("client_id", "other")]).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_provider_tells_its_relying_party_what_is_wrong() {
    let demo = demo().await;
    let check = async |change: &[(&str, &str)], error: &str| {
        let back = location(&demo.authorize(change).await);
        assert!(back.as_str().starts_with(CALLBACK));
        assert_eq!(param(&back, "error").as_deref(), Some(error), "{change:?}");
        assert_eq!(param(&back, "state").as_deref(), Some("st&te"));
        assert_eq!(param(&back, "iss"), Some(format!("http://{}", demo.servers.idp_addr)));
        assert_eq!(param(&back, "code"), None);
    };
    check(&[("response_type", "token")], "unsupported_response_type").await;
    check(&[("scope", "email")], "invalid_scope").await;
    check(&[("code_challenge_method", "plain")], "invalid_request").await;
    check(&[("code_challenge", "")], "invalid_request").await;
    check(&[("prompt", "none")], "login_required").await;
    check(&[("as", "nobody")], "access_denied").await;
}

#[tokio::test]
async fn a_code_is_good_once_for_its_verifier_address_and_client() {
    let demo = demo().await;
    let secret = &demo.servers.secrets.client;
    assert_eq!(demo.token("wrong", &demo.code().await, VERIFIER, CALLBACK).await.status(), StatusCode::UNAUTHORIZED);
    for (code, verifier, redirect) in [
        (demo.code().await.as_str(), "x", CALLBACK),
        (demo.code().await.as_str(), VERIFIER, "http://other.example/"),
        ("unknown", VERIFIER, CALLBACK),
    ] {
        let answer = demo.token(secret, code, verifier, redirect).await;
        assert_eq!((answer.status(), &value(&answer)["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    }
    let code = demo.code().await;
    assert_eq!(demo.token(secret, &code, VERIFIER, CALLBACK).await.status(), StatusCode::OK);
    assert_eq!(demo.token(secret, &code, VERIFIER, CALLBACK).await.status(), StatusCode::BAD_REQUEST, "used twice");
    let late = demo.code().await;
    demo.clock.advance_ms(60_000);
    assert_eq!(demo.token(secret, &late, VERIFIER, CALLBACK).await.status(), StatusCode::BAD_REQUEST, "too late");
}

#[tokio::test]
async fn a_sign_in_ends_in_a_token_that_verifies() {
    let demo = demo().await;
    let addr = demo.servers.idp_addr;
    let choose = demo.authorize(&[]).await;
    let page = String::from_utf8_lossy(choose.body()).into_owned();
    assert!(page.contains("as=ada") && page.contains("as=con") && page.contains("state=st%26te"), "{page}");

    let tokens = value(&demo.token(&demo.servers.secrets.client, &demo.code().await, VERIFIER, CALLBACK).await);
    let discovery = value(&ask(Method::GET, addr, "/.well-known/openid-configuration", &[], "").await);
    assert_eq!(discovery["issuer"], format!("http://{addr}"));
    let keys: JwkSet = serde_json::from_value(value(&ask(Method::GET, addr, "/jwks", &[], "").await)).expect("keys");
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["vestibule-demo"]);
    validation.set_issuer(&[format!("http://{addr}")]);
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(keys.find("demo").expect("key")).expect("RSA");
    let claims = jsonwebtoken::decode::<Value>(tokens["id_token"].as_str().expect("token"), &key, &validation).expect("verifies").claims;
    assert_eq!((&claims["nonce"], &claims["sub"], &claims["email_verified"]), (&json!("n0nce"), &json!("a1b2-ada"), &json!(true)));
    assert_eq!((&claims["groups"], &claims["auth_time"]), (&json!(["staff"]), &json!(NOW_S)));
    assert!(!serde_json::to_string(&keys).expect("JSON").contains("\"d\""), "the private part stays here");

    let bearer = format!("Bearer {}", tokens["access_token"].as_str().expect("token"));
    assert_eq!(value(&ask(Method::GET, addr, "/userinfo", &[("authorization", &bearer)], "").await)["sub"], claims["sub"]);
    assert_eq!(ask(Method::GET, addr, "/userinfo", &[("authorization", "Bearer x")], "").await.status(), StatusCode::UNAUTHORIZED);
    let out = ask(Method::GET, addr, "/end_session?post_logout_redirect_uri=http%3A%2F%2Fevil.example%2F", &[], "").await;
    assert_eq!(out.status(), StatusCode::OK, "no redirect to strangers");
    let out = ask(Method::GET, addr, "/end_session?state=s&post_logout_redirect_uri=http%3A%2F%2Fauth.localhost%3A8080%2Fbye", &[], "").await;
    assert_eq!(location(&out).as_str(), "http://auth.localhost:8080/bye?state=s");
}

#[tokio::test]
async fn a_session_at_the_provider_is_used_unless_a_fresh_sign_in_is_asked_for() {
    let demo = demo().await;
    let first = demo.authorize(&[("as", "bob")]).await;
    let cookie = first.headers()["set-cookie"].to_str().expect("text").split(';').next().expect("pair").to_owned();
    let again = async |more: &str| {
        let path = format!(
            "/authorize?client_id=vestibule-demo&redirect_uri={CALLBACK}&response_type=code&scope=openid&code_challenge={CHALLENGE}&code_challenge_method=S256{more}"
        );
        ask(Method::GET, demo.servers.idp_addr, &path, &[("cookie", &cookie)], "").await.status()
    };
    assert_eq!(again("&prompt=login").await, StatusCode::OK);
    assert_eq!(again("&prompt=select_account").await, StatusCode::OK);
    assert_eq!(again("&max_age=0").await, StatusCode::OK);
    assert_eq!(again("&max_age=60").await, StatusCode::SEE_OTHER);
    demo.clock.advance_ms(61_000);
    assert_eq!(again("&max_age=60").await, StatusCode::OK);
    assert_eq!(again("").await, StatusCode::SEE_OTHER);
}

// --- the apps -------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_app_knows_nobody_who_is_not_in_its_table() {
    let demo = demo().await;
    let wiki = demo.servers.wiki_addr;
    let check = async |headers: &[(&str, &str)], status: StatusCode, text: &str| {
        let answer = ask(Method::GET, wiki, "/", headers, "").await;
        assert_eq!(answer.status(), status, "{headers:?}");
        assert!(String::from_utf8_lossy(answer.body()).contains(text), "{text}");
    };
    check(&[], StatusCode::UNAUTHORIZED, "Nobody is signed in").await;
    check(&[("x-remote-user", "<b>ada")], StatusCode::FORBIDDEN, "called &lt;b&gt;ada in").await;
    check(&[("x-remote-user", "bobby"), ("x-remote-user", "admin")], StatusCode::BAD_REQUEST, "repeated").await;
    check(&[("x-remote-user", "bobby")], StatusCode::OK, "made by hand years ago").await;
    for (addr, path) in [(wiki, "/scim/v2/Users"), (demo.servers.tickets_addr, "/users.json")] {
        assert_eq!(ask(Method::GET, addr, path, &[("authorization", "Bearer wrong")], "").await.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn scim_creates_finds_changes_and_refuses_duplicates() {
    let demo = demo().await;
    let ada = json!({ "schemas": [], "userName": "ada-lovelace", "externalId": "x1", "active": true, "displayName": "Ada",
        "name": { "givenName": "Ada", "familyName": "Lovelace" }, "emails": [{ "value": "ada@example.com", "type": "work", "primary": true }] });
    assert_eq!(demo.scim(Method::POST, "/Users", &json!({ "userName": "" })).await.status(), StatusCode::BAD_REQUEST);
    let made = demo.scim(Method::POST, "/Users", &ada).await;
    let id = value(&made)["id"].as_str().expect("id").to_owned();
    assert_eq!(made.status(), StatusCode::CREATED);
    let twice = demo.scim(Method::POST, "/Users", &ada).await;
    assert_eq!((twice.status(), &value(&twice)["scimType"]), (StatusCode::CONFLICT, &json!("uniqueness")));

    let found = async |filter: &str| {
        let path = format!("/Users?filter={}", form_urlencoded::byte_serialize(filter.as_bytes()).collect::<String>());
        value(&demo.scim(Method::GET, &path, &Value::Null).await)["totalResults"].clone()
    };
    assert_eq!(found("externalId eq \"x1\"").await, 1);
    assert_eq!(found("externalId eq \"X1\"").await, 0, "externalId is case-exact");
    assert_eq!(found("userName eq \"ADA-lovelace\"").await, 1);
    assert_eq!(found("emails.value eq \"bob@example.com\"").await, 1);
    assert_eq!(found("userName eq \"a\\\" or \\\"\"").await, 0);
    assert_eq!(found("userName sw \"a\"").await, Value::Null, "400");

    let patch =
        json!({ "Operations": [{ "op": "Replace", "path": "displayName", "value": "Countess" }, { "op": "replace", "value": { "active": false } }] });
    assert_eq!(demo.scim(Method::PATCH, &format!("/Users/{id}"), &patch).await.status(), StatusCode::OK);
    let now = value(&demo.scim(Method::GET, &format!("/Users/{id}"), &Value::Null).await);
    assert_eq!((&now["displayName"], &now["active"]), (&json!("Countess"), &json!(false)));

    let join = json!({ "Operations": [{ "op": "add", "path": "members", "value": [{ "value": id }] }] });
    assert_eq!(demo.scim(Method::PATCH, "/Groups/2", &join).await.status(), StatusCode::NO_CONTENT);
    let of_ada = format!("/Groups?filter=members.value+eq+%22{id}%22");
    assert_eq!(value(&demo.scim(Method::GET, &of_ada, &Value::Null).await)["Resources"][0]["displayName"], "editors");
    let leave = json!({ "Operations": [{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }] });
    assert_eq!(demo.scim(Method::PATCH, "/Groups/2", &leave).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(value(&demo.scim(Method::GET, &of_ada, &Value::Null).await)["totalResults"], 0);
    assert_eq!(demo.scim(Method::GET, "/Users/9999", &Value::Null).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_ticket_app_has_redmines_habits() {
    let demo = demo().await;
    let bad = demo.redmine(Method::POST, "/users.json", &json!({ "user": { "login": "ada" } })).await;
    assert_eq!(bad.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(value(&bad)["errors"][0], "First name cannot be blank");
    let ada = json!({ "user": { "login": "ada-lovelace", "firstname": "Ada", "lastname": "Lovelace", "mail": "ada@example.com" } });
    let made = demo.redmine(Method::POST, "/users.json", &ada).await;
    let id = value(&made)["user"]["id"].as_u64().expect("id");
    assert_eq!(made.status(), StatusCode::CREATED);
    assert_eq!(demo.redmine(Method::POST, "/users.json", &ada).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let fuzzy = value(&demo.redmine(Method::GET, "/users.json?name=LOVE", &Value::Null).await);
    assert_eq!((&fuzzy["total_count"], &fuzzy["users"][0]["login"]), (&json!(1), &json!("ada-lovelace")));
    let join = async || demo.redmine(Method::POST, "/groups/14/users.json", &json!({ "user_id": id })).await.status();
    assert_eq!(join().await, StatusCode::NO_CONTENT);
    assert_eq!(join().await, StatusCode::UNPROCESSABLE_ENTITY, "already a member");
    let leave = async || demo.redmine(Method::DELETE, &format!("/groups/14/users/{id}.json"), &Value::Null).await.status();
    assert_eq!(leave().await, StatusCode::NO_CONTENT);
    assert_eq!(leave().await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn switches_need_a_post_from_here_and_reset_forgets() {
    let demo = demo().await;
    let wiki = demo.servers.wiki_addr;
    let state = async || value(&ask(Method::GET, wiki, "/_demo/state", &[], "").await);
    ask(Method::GET, wiki, "/_demo/fail?to=on", &[], "").await;
    ask(Method::POST, wiki, "/_demo/fail?to=on", &[("sec-fetch-site", "cross-site")], "").await;
    assert_eq!(state().await["failing"], false);
    ask(Method::POST, wiki, "/_demo/fail?to=on", &[], "").await;
    let user = json!({ "userName": "x" });
    assert_eq!(demo.scim(Method::POST, "/Users", &user).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(state().await["calls"], json!(["POST /scim/v2/Users -> 500"]));
    ask(Method::POST, wiki, "/_demo/fail", &[], "").await;
    assert_eq!(demo.scim(Method::POST, "/Users", &user).await.status(), StatusCode::CREATED);
    ask(Method::POST, wiki, "/_demo/reset", &[], "").await;
    let now = state().await;
    assert_eq!((now["accounts"].as_array().map(Vec::len), &now["calls"]), (Some(2), &json!([])));
}

/// Publishes one key, as the gateway does.
struct Publisher(Jwk);

#[async_trait]
impl Site for Publisher {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let call = Call::read(request).await.expect("small");
        let status = if call.path == "/.vestibule/jwks" && pairs(b"").is_empty() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        json(status, &json!({ "keys": [self.0] }))
    }
}

#[tokio::test]
async fn the_app_marks_a_token_as_verified_only_when_everything_holds() {
    let fresh = || {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("key");
        EncodingKey::from_ec_der(der.as_ref())
    };
    let (key, other) = (fresh(), fresh());
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("JWK");
    jwk.common.key_id = Some("k1".to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let gateway = listener.local_addr().expect("address").port();
    let publishing = tokio::spawn(serve(listener, Arc::new(Publisher(jwk))));
    let demo = demo_behind(gateway).await;

    let claims = |aud: &str, exp: i64| json!({ "iss": "http://auth.localhost", "sub": "a", "aud": aud, "iat": NOW_S, "exp": exp });
    let signed = |kid: &str, key: &EncodingKey, claims: &Value| {
        jsonwebtoken::encode(&Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) }, claims, key).expect("signs")
    };
    let unsigned =
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k1"}"#), URL_SAFE_NO_PAD.encode(claims("wiki", NOW_S + 60).to_string()));
    let symmetric = jsonwebtoken::encode(
        &Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) },
        &claims("wiki", NOW_S + 60),
        &EncodingKey::from_secret(b"x"),
    )
    .expect("signs");
    let verdict = async |token: &str| {
        let headers = [("x-remote-user", "bobby"), ("x-vestibule-jwt", token)];
        value(&ask(Method::GET, demo.servers.wiki_addr, "/api/received", &headers, "").await)["jwt"]["verified"].clone()
    };
    for bad in [
        "x",
        &unsigned,
        &symmetric,
        &signed("k1", &other, &claims("wiki", NOW_S + 60)),
        &signed("k2", &key, &claims("wiki", NOW_S + 60)),
        &signed("k1", &key, &claims("tickets", NOW_S + 60)),
        &signed("k1", &key, &claims("wiki", NOW_S - 60)),
    ] {
        assert_eq!(verdict(bad).await, false, "{bad}");
    }
    assert_eq!(verdict(&signed("k1", &key, &claims("wiki", NOW_S + 60))).await, true);
    publishing.abort();
}

#[tokio::test]
async fn streams_echo_and_tick() {
    let demo = demo().await;
    let wiki = demo.servers.wiki_addr;
    let (mut socket, answer) = tokio_tungstenite::connect_async(format!("ws://{wiki}/ws")).await.expect("upgrades");
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    for text in ["hello".to_owned(), "x".repeat(200), "y".repeat(70_000)] {
        socket.send(text.clone().into()).await.expect("sends");
        assert_eq!(socket.next().await.expect("a frame").expect("whole").into_text().expect("text").as_str(), text);
    }
    socket.close(None).await.expect("closes");
    let bob = [("x-remote-user", "bobby")];
    let ticks = ask(Method::GET, wiki, "/events?count=3&every_ms=1", &bob, "").await;
    assert_eq!(String::from_utf8_lossy(ticks.body()), "id: 1\ndata: tick 1\n\nid: 2\ndata: tick 2\n\nid: 3\ndata: tick 3\n\n");
    let sent = "z".repeat(1_000_000);
    assert_eq!(ask(Method::POST, wiki, "/upload", &bob, &sent).await.body().len(), sent.len());
}

// --- files and the story ----------------------------------------------------------------------------------

#[tokio::test]
async fn policies_are_toml_and_hold_no_secret() {
    let demo = demo().await;
    let folder = tempfile::tempdir().expect("folder");
    let files = write_files(folder.path(), &demo.servers).expect("writes");
    for name in ["wiki.toml", "tickets.toml"] {
        let text = std::fs::read_to_string(files.policies.join(name)).expect("reads");
        let policy: toml::Table = toml::from_str(&text).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert!(policy["host"].as_str().is_some_and(|host| host.ends_with(".localhost")));
        let secrets = &demo.servers.secrets;
        assert!(![&secrets.client, &secrets.wiki, &secrets.tickets, &secrets.state].iter().any(|secret| text.contains(*secret)));
    }
    assert_eq!(files.gateway.idps[0].issuer, format!("http://{}", demo.servers.idp_addr));
    assert!(!format!("{:?}", demo.servers).contains(&demo.servers.secrets.client));
}

#[tokio::test]
async fn the_story_fails_in_words_when_there_is_no_gateway() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("port").local_addr().expect("address").port();
    let demo = demo_behind(closed).await;
    let mut out = Vec::new();
    assert!(!check::run(&Addresses::of(&demo.servers), &mut out).await.expect("writes"));
    let out = String::from_utf8(out).expect("text");
    assert!(out.contains("FAIL  Ada signs in: no connection to 127.0.0.1") && out.ends_with("0 of 10\n"), "{out}");
}
