//! promises.md, *Identity headers*.
#![expect(clippy::unwrap_used, clippy::string_slice, clippy::indexing_slicing, reason = "tests")]

use crate::fake_op::{Signer, sign};
use crate::house::{ADMIN_TOKEN, AUTH, Answer, Ask, Browser, House, NOW_S, Options, Recorder, Seen, TICKETS, WIKI, be};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

/// Every name that a policy of this house injects.
const MANAGED: [&str; 6] = ["x-remote-user", "x-remote-groups", "x-remote-name", "x-department", "x-assertion", "x-tickets-login"];

/// Spellings that CGI, WSGI, PHP, `FastCGI`, Rack or a case-blind reader take for the same name.
fn spellings(name: &str) -> Vec<String> {
    let capital: String = name.split('-').map(|part| format!("{}{}", part[..1].to_uppercase(), &part[1..])).collect::<Vec<_>>().join("-");
    vec![
        name.to_owned(),
        name.to_uppercase(),
        capital.clone(),
        name.replace('-', "_"),
        capital.replace('-', "_"),
        name.to_uppercase().replace('-', "_"),
        name.replacen('-', "_", 1),
        name.replace('-', "."),
        name.replace('-', "~"),
        name.replacen('-', ".", 1),
    ]
}

fn only(seen: Vec<Seen>) -> Seen {
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.into_iter().next().unwrap()
}

/// CVE-2025-64484 (GHSA-vjrc-mh2v-45x6), CVE-2026-52845, CVE-2026-33433, CVE-2026-54763, CVE-2026-49446.
#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_a_managed_header_is_stripped_before_anything_else() {
    let house = House::new().await;
    let mut browser = Browser::signed_in(&house, WIKI).await;
    for name in MANAGED {
        for spelling in spellings(name) {
            let ask = Ask::page(WIKI, "/page").with(&spelling, "forged-1").with(&spelling, "forged-2");
            assert_eq!(browser.send(&house, &ask).await.status, 200, "{spelling}");
            let seen = only(house.arrived());
            assert!(!seen.text().contains("forged"), "{spelling}: {}", seen.text());
            assert_eq!((seen.only("x-remote-user").as_str(), seen.only("x-remote-groups").as_str()), ("ada@example.com", "staff"), "{spelling}");
        }
    }
    // All at once, and in every position: none shadows the real one.
    let ask = spellings("x-remote-user").iter().fold(Ask::page(WIKI, "/page"), |ask, spelling| ask.with(spelling, "forged"));
    assert_eq!(browser.send(&house, &ask).await.status, 200);
    let seen = only(house.arrived());
    assert!(!seen.text().contains("forged") && seen.only("x-remote-user") == "ada@example.com");
    // The check can fail: a header that nobody manages arrives.
    let ask = Ask::page(WIKI, "/page").with("X-Harmless", "forged");
    assert_eq!(browser.send(&house, &ask).await.status, 200);
    assert!(only(house.arrived()).text().contains("forged"));
}

/// CVE-2026-30851.
#[tokio::test(flavor = "multi_thread")]
async fn a_managed_header_without_a_value_is_removed_and_not_passed_through() {
    let house = House::new().await;
    be(&house, "ada", json!({"email": "ada@example.com", "email_verified": true, "groups": ["staff"]}));
    let mut browser = Browser::signed_in(&house, WIKI).await;
    let ask = Ask::page(WIKI, "/page").with("X-Department", "forged").with("X_Remote_Name", "forged");
    assert_eq!(browser.send(&house, &ask).await.status, 200);
    let seen = only(house.arrived());
    assert_eq!((seen.folded("x-department"), seen.folded("x-remote-name")), (Vec::new(), Vec::new()));
    // With a value it is ours.
    be(&house, "eve", json!({"email": "eve@example.com", "department": "sales", "name": "", "groups": ["staff"]}));
    let mut other = Browser::signed_in(&house, WIKI).await;
    assert_eq!(other.send(&house, &ask).await.status, 200);
    let seen = only(house.arrived());
    assert_eq!((seen.only("x-department").as_str(), seen.folded("x-remote-name")), ("sales", Vec::new()));
}

/// `mod_auth_openidc` change log 2026-08-07 (and older: `AuthType oauth20`, `UnAuthAction pass`).
#[tokio::test(flavor = "multi_thread")]
async fn paths_that_skip_the_sign_in_are_stripped_too() {
    let house = House::new().await;
    let mut signed_in = Browser::signed_in(&house, WIKI).await;
    let forge = |mut ask: Ask| {
        for name in MANAGED {
            ask = spellings(name).iter().fold(ask, |ask, spelling| ask.with(spelling, "forged"));
        }
        ask
    };
    // Public: nobody is announced, not even who is signed in.
    for browser in [&mut Browser::default(), &mut signed_in] {
        for method in ["GET", "OPTIONS", "HEAD", "POST"] {
            assert_eq!(browser.send(&house, &forge(Ask::bare(method, WIKI, "/public/x"))).await.status, 200, "{method}");
            let seen = only(house.arrived());
            assert!(!seen.text().contains("forged"), "{method}: {}", seen.text());
            assert!(MANAGED.iter().all(|name| seen.folded(name).is_empty()), "{method}: {}", seen.text());
        }
    }
    // A preflight opens nothing: it is a request like any other.
    let preflight = forge(Ask::bare("OPTIONS", WIKI, "/page"));
    let preflight = preflight.with("Origin", "https://evil.example").with("Access-Control-Request-Method", "PUT");
    assert_eq!(Browser::default().send(&house, &preflight).await.status, 401);
    assert_eq!(signed_in.send(&house, &preflight).await.status, 200);
    let seen = only(house.arrived());
    assert!(!seen.text().contains("forged") && seen.only("x-remote-user") == "ada@example.com");
    // Our own pages take no identity from headers, and no upstream is in reach.
    for path in ["/.vestibule/whoami", "/.vestibule/wait?to=/", "/.vestibule/signed-in"] {
        let answer = Browser::default().send(&house, &forge(Ask::api(WIKI, path))).await;
        assert!(answer.status == 401 && !answer.body.contains("forged"), "{path}: {answer:?}");
    }
    assert!(house.arrived().is_empty());
}

/// GHSA-w9mr-28mw-j8hg, CVE-2024-45410, CVE-2026-29054 (its bypass in lower case).
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_header_of_the_client_neither_deletes_nor_mangles_ours() {
    let house = House::new().await;
    let mut browser = Browser::signed_in(&house, WIKI).await;
    let ours =
        ["x-remote-user", "x-remote-groups", "x-remote-name", "x-assertion", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "host"];
    let mut lines: Vec<String> = ours.iter().flat_map(|name| spellings(name)).collect();
    lines.push(ours.join(", "));
    lines.push(format!("keep-alive,{}", ours.join(",").to_uppercase()));
    lines.push(", ,x-remote-user,".to_owned());
    for line in &lines {
        for connection in ["Connection", "connection", "CONNECTION"] {
            let ask = Ask::page(WIKI, "/page").with(connection, line).with("X-Remote-User", "forged");
            assert_eq!(browser.send(&house, &ask).await.status, 200, "{line}");
            let seen = only(house.arrived());
            assert_eq!(seen.only("x-remote-user"), "ada@example.com", "{line}");
            assert_eq!((seen.only("x-remote-groups").as_str(), seen.only("x-remote-name").as_str()), ("staff", "Ada Lovelace"), "{line}");
            assert_eq!((seen.only("x-forwarded-for").as_str(), seen.only("host").as_str()), ("127.0.0.1", WIKI), "{line}");
            assert!(!seen.only("x-assertion").is_empty() && seen.folded("connection").is_empty(), "{line}: {}", seen.text());
        }
    }
    // Two of them, and what they do name goes.
    let ask = Ask::page(WIKI, "/page").with("Connection", "x-private").with("Connection", "x-remote-user").with("X-Private", "forged");
    assert_eq!(browser.send(&house, &ask).await.status, 200);
    let seen = only(house.arrived());
    assert!(seen.only("x-remote-user") == "ada@example.com" && !seen.text().contains("forged"));
}

/// `mod_auth_openidc` 2026-05-23, CVE-2024-21499.
#[tokio::test(flavor = "multi_thread")]
async fn a_carriage_return_or_a_line_feed_never_reaches_a_header_value() {
    // From the provider: no header of ours carries it, and nothing is forwarded.
    let house = House::new().await;
    for (n, text) in ["Ada\r\nX-Admin: 1", "Ada\rX-Admin: 1", "Ada\nX-Admin: 1", "\nAda", "Ada\r"].iter().enumerate() {
        for (claim, value) in [("name", json!(text)), ("department", json!(text)), ("groups", json!(["staff", text]))] {
            let mut person = json!({"email": "ada@example.com", "groups": ["staff"]});
            person[claim] = value;
            be(&house, &format!("{claim}-{n}"), person);
            let mut browser = Browser::signed_in(&house, WIKI).await;
            let answer = browser.get(&house, WIKI, "/page").await;
            assert_eq!((answer.status, house.arrived().len()), (403, 0), "{claim} {text:?}: {answer:?}");
        }
    }
    // From the client: a bare one inside a value is no HTTP.
    for value in ["a\rX-Remote-User: forged", "a\nX-Remote-User: forged", "a\r\n X-Remote-User: forged", "a\0b"] {
        let answer = house.raw(format!("GET /public/x HTTP/1.1\r\nHost: {WIKI}\r\nX-Any: {value}\r\n\r\n").as_bytes(), WIKI).await;
        assert!(
            answer.as_ref().is_none_or(|answer| answer.status == 400) || house.arrived().iter().all(|seen| !seen.text().contains("forged")),
            "{value:?}: {answer:?}"
        );
        assert!(house.arrived().iter().all(|seen| seen.folded("x-remote-user").is_empty()), "{value:?}");
    }
    // From addresses, into `Location` and `Set-Cookie`.
    for target in ["/%0d%0aX-Admin:%201", "/a?b=%0d%0aX-Admin:%201", "/.vestibule/login?to=/%0d%0aX-Admin:1", "/.vestibule/wait?to=%0d%0aX-Admin:1"] {
        let answer = Browser::default().get(&house, WIKI, target).await;
        assert!(answer.get("x-admin").is_none(), "{target}: {answer:?}");
        assert!(answer.headers.iter().all(|(_, value)| !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))), "{target}");
    }
}

/// CVE-2026-25748.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_session_cookie_is_not_signed_in_and_never_allowed_without_headers() {
    let house = House::new().await;
    let browser = Browser::signed_in(&house, WIKI).await;
    let good = browser.cookie(WIKI, house.cookie_name()).unwrap();
    let flipped: String = good.char_indices().map(|(at, c)| if at == 7 { if c == 'A' { 'B' } else { 'A' } } else { c }).collect();
    let mut broken: Vec<Vec<u8>> =
        ["", "=", "x", "\"", "%00", "null", "undefined", "{}", "a b", &"A".repeat(43), &"A".repeat(16_000), &good[1..], &flipped]
            .iter()
            .map(|value| format!("vestibule={value}").into_bytes())
            .collect();
    broken.extend(
        [good.to_uppercase(), format!("{good}="), format!("\"{good}\""), format!("{good}.{good}")]
            .map(|value| format!("vestibule={value}").into_bytes()),
    );
    broken.extend([b"vestibule".to_vec(), b"vestibule=\xff\xfe".to_vec(), b";;;=;vestibule;=".to_vec(), format!("Vestibule={good}").into_bytes()]);
    for cookie in &broken {
        let shown = String::from_utf8_lossy(cookie);
        let with = |ask: Ask| {
            let mut ask = ask;
            ask.headers.push(("Cookie".into(), cookie.clone()));
            ask
        };
        let page = Browser::default().send(&house, &with(Ask::page(WIKI, "/page"))).await;
        assert!(page.status == 303 && page.location().unwrap().starts_with(&house.origin(AUTH)), "{shown}: {page:?}");
        assert_eq!(Browser::default().send(&house, &with(Ask::api(WIKI, "/page"))).await.status, 401, "{shown}");
        assert!(house.arrived().is_empty(), "{shown}: forwarded");
    }
    let mut whole = browser;
    assert_eq!(whole.get(&house, WIKI, "/page").await.status, 200);
}

/// CVE-2022-29226.
#[tokio::test(flavor = "multi_thread")]
async fn the_presence_of_a_token_proves_nothing() {
    let house = House::new().await;
    let mut browser = Browser::signed_in(&house, WIKI).await;
    assert_eq!(browser.get(&house, WIKI, "/page").await.status, 200);
    let assertion = only(house.arrived()).only("x-assertion");
    let claims = json!({"iss": house.op.issuer, "sub": "ada", "aud": crate::fake_op::CLIENT_ID, "exp": NOW_S + 300, "iat": NOW_S});
    let id_token = sign(&json!({"alg": "RS256", "kid": "rsa1"}), &claims, Signer::Rsa);
    for token in [assertion.as_str(), id_token.as_str(), ADMIN_TOKEN, "x"] {
        for (name, value) in [
            ("Authorization", format!("Bearer {token}")),
            ("Authorization", format!("Basic {token}")),
            ("X-Assertion", token.to_owned()),
            ("Cookie", format!("vestibule={token}")),
            ("Cookie", format!("BearerToken={token}; IdToken={token}; OauthHMAC=x; OauthExpires=9999999999")),
            ("X-Forwarded-Access-Token", token.to_owned()),
        ] {
            assert_eq!(Browser::default().send(&house, &Ask::api(WIKI, "/page").with(name, &value)).await.status, 401, "{name}");
            let page = Browser::default().send(&house, &Ask::page(WIKI, "/page").with(name, &value)).await;
            assert!(page.status == 303 && page.location().unwrap().starts_with(&house.origin(AUTH)), "{name}: {page:?}");
        }
        for target in
            [format!("/page?access_token={token}"), format!("/.vestibule/whoami?id_token={token}"), format!("/.vestibule/callback?code={token}")]
        {
            assert!(matches!(Browser::default().api(&house, WIKI, &target).await.status, 400 | 401), "{target}");
        }
    }
    assert!(house.arrived().is_empty());
}

async fn jwks(house: &House, host: &str) -> JwkSet {
    let answer: Answer = Browser::default().api(house, host, "/.vestibule/jwks").await;
    assert_eq!(answer.status, 200);
    let set: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(set["keys"].as_array().is_some_and(|keys| !keys.is_empty() && keys.iter().all(|key| key.get("d").is_none())), "{set}");
    serde_json::from_value(set).unwrap()
}

/// The recipe that is given to applications.
fn verified(token: &str, keys: &JwkSet, issuer: &str, audience: &str) -> Result<Value, String> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
    let key = keys.find(header.kid.as_deref().unwrap_or_default()).ok_or("unknown kid")?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    // The clock of these tests is not the machine's.
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(key).map_err(|error| error.to_string())?;
    jsonwebtoken::decode::<Value>(token, &key, &validation).map(|token| token.claims).map_err(|error| error.to_string())
}

async fn token_at(house: &House, browser: &mut Browser, host: &str, app: &Recorder) -> String {
    let landed = browser.open(house, host, "/page").await;
    assert_eq!(landed.answer.status, 200);
    app.take().pop().unwrap().only("x-assertion")
}

/// `ALBeast` (tokens without `aud`, a key host that deployments share), GHSA-wcvh-g65p-v576.
#[tokio::test(flavor = "multi_thread")]
async fn the_signed_assertion_is_of_this_deployment_for_this_app_and_short() {
    let (house, elsewhere) = (House::new().await, House::new().await);
    let mut browser = Browser::default();
    let wiki = token_at(&house, &mut browser, WIKI, &house.wiki).await;
    let tickets = token_at(&house, &mut browser, TICKETS, &house.tickets).await;
    let foreign = token_at(&elsewhere, &mut Browser::default(), WIKI, &elsewhere.wiki).await;
    let keys = jwks(&house, WIKI).await;
    let issuer = house.origin(AUTH);
    for (case, token, issuer, audience) in [
        ("for another app", &tickets, issuer.as_str(), "wiki"),
        ("of this app at another", &wiki, issuer.as_str(), "tickets"),
        ("another issuer", &wiki, "http://auth.evil.test", "wiki"),
        ("another deployment", &foreign, issuer.as_str(), "wiki"),
    ] {
        assert!(verified(token, &keys, issuer, audience).is_err(), "{case}");
    }
    let parts: Vec<&str> = wiki.split('.').collect();
    for forged in [format!("{}.{}.", parts[0], parts[1]), format!("{}.{}.{}", parts[0], tickets.split('.').nth(1).unwrap(), parts[2])] {
        assert!(verified(&forged, &keys, &issuer, "wiki").is_err() && verified(&forged, &keys, &issuer, "tickets").is_err());
    }
    let claims = verified(&wiki, &keys, &issuer, "wiki").unwrap();
    assert_eq!((&claims["iss"], &claims["aud"], &claims["sub"]), (&json!(issuer), &json!("wiki"), &json!("ada@example.com")));
    let (iat, exp) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert!(exp > NOW_S && exp - iat <= 300 && !claims["jti"].as_str().unwrap().is_empty(), "{claims}");
    assert!(verified(&tickets, &jwks(&house, AUTH).await, &issuer, "tickets").is_ok());
    // A key of its own: two deployments share none, and each verifies its own.
    let others = jwks(&elsewhere, WIKI).await;
    assert!(verified(&foreign, &others, &issuer, "wiki").is_ok() && verified(&wiki, &others, &issuer, "wiki").is_err());
}

/// CVE-2024-39315.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_the_provider_are_shown_nowhere() {
    let house = House::with(Options { tls: true, ..Options::default() }).await;
    house.op.set(|script| {
        script.tokens = std::sync::Arc::new(|tokens| {
            tokens["access_token"] = json!("access-token-of-the-provider");
            tokens["refresh_token"] = json!("refresh-token-of-the-provider");
        });
    });
    let mut browser = Browser::signed_in(&house, WIKI).await;
    let mut answers = vec![browser.get(&house, WIKI, "/page").await];
    for host in [WIKI, AUTH] {
        for path in ["/.vestibule/whoami", "/.vestibule/signed-in", "/.vestibule/logout", "/.vestibule/jwks", "/.vestibule/wait?to=/", "/"] {
            answers.push(browser.get(&house, host, path).await);
            answers.push(browser.api(&house, host, path).await);
        }
    }
    let whoami = &answers[2];
    assert!(whoami.status == 200 && whoami.body.contains("ada@example.com"), "{whoami:?}");
    for answer in &answers {
        let text = format!("{answer:?}");
        for secret in ["-token-of-the-provider", "eyJ", crate::fake_op::CLIENT_SECRET] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        // Nor the cookie that a script must not read.
        assert!(!answer.body.contains(&browser.cookie(WIKI, house.cookie_name()).unwrap()));
    }
    let seen = house.arrived();
    assert!(!seen.is_empty() && seen.iter().all(|seen| !seen.text().contains("-token-of-the-provider")));
    assert!(seen.iter().all(|seen| seen.folded("authorization").is_empty() && seen.folded("cookie").is_empty()), "{seen:?}");
}
