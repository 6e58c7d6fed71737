//! OpenID Connect against a provider that lies: attacks.md O1 to O30, as far as one issuer goes.
//!
//! Each row asserts that there is no session and how many token requests were made, and that an honest sign-in works in the same house afterwards.
#![expect(clippy::unwrap_used, clippy::string_slice, reason = "helpers of tests")]

use crate::fake_op::{Answer, CLIENT_ID, CLIENT_SECRET, Script, Signer, keys};
use crate::house::{APP, AUTH, Browser, COOKIE, House, NOW_S, Options};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::Arc;
use vestibule::identity::Groups;

/// Signs in with a provider changed by `change`, and expects it to fail after one token request, by one of the checks in `reason` (`a|b`).
async fn refused(house: &House, case: &str, reason: &str, change: impl FnOnce(&mut Script)) {
    house.op.reset();
    house.op.set(change);
    let before = house.token_requests();
    let mut browser = Browser::default();
    let seen = browser.sign_in(house, APP, "/issues").await;
    assert!(matches!(seen.status, 400 | 403 | 503), "{case}: {} {:?}", seen.status, seen.location);
    assert!(browser.cookie(AUTH, COOKIE).is_none() && browser.cookie(APP, COOKIE).is_none(), "{case}: a session");
    assert_eq!(house.token_requests() - before, 1, "{case}: token requests");
    assert!(reason.split('|').any(|reason| reason == house.last_reason()), "{case}: refused by {:?}, not {reason}", house.last_reason());
    house.op.reset();
    // The unknown-kid throttle is not what the next row is about.
    house.advance_s(31);
}

async fn accepted(house: &House, case: &str, change: impl FnOnce(&mut Script)) -> Browser {
    house.op.reset();
    house.op.set(change);
    let mut browser = Browser::default();
    let seen = browser.sign_in(house, APP, "/issues?q=1").await;
    assert_eq!((seen.status, seen.location.as_deref()), (303, Some("/issues?q=1")), "{case}: {}", seen.body);
    assert!(house.session(&browser, APP).await.is_some(), "{case}: no session");
    house.op.reset();
    browser
}

type Change = Box<dyn FnOnce(&mut Script)>;

fn header(name: &'static str, value: Value) -> impl FnOnce(&mut Script) {
    move |script| script.header = Arc::new(move |header| header[name] = value.clone())
}

fn claim(name: &'static str, value: Value) -> impl FnOnce(&mut Script) {
    move |script| script.claims = Arc::new(move |claims| claims[name] = value.clone())
}

fn without(name: &'static str) -> impl FnOnce(&mut Script) {
    move |script| script.claims = Arc::new(move |claims| drop(claims.as_object_mut().unwrap().remove(name)))
}

fn jwks(keys: Value) -> impl FnOnce(&mut Script) {
    move |script| script.jwks_answer = Some(Answer::json(200, &json!({ "keys": keys })))
}

fn discovery(name: &'static str, value: Value) -> impl FnOnce(&mut Script) {
    move |script| script.discovery = Arc::new(move |document| document[name] = value.clone())
}

#[tokio::test]
async fn o1_a_broken_signature_is_refused() {
    let house = House::new().await;
    for signer in [Signer::Rsa, Signer::Ec, Signer::Ed] {
        refused(&house, &format!("{signer:?} flipped"), "signature", |script| {
            script.signer = signer;
            script.token = Arc::new(|token| {
                let (input, signature) = token.rsplit_once('.').unwrap();
                let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
                signature[5] ^= 1;
                format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
            });
        })
        .await;
        refused(&house, &format!("{signer:?} payload swapped"), "signature", |script| {
            script.signer = signer;
            script.token = Arc::new(|token| {
                let parts: Vec<&str> = token.split('.').collect();
                let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
                claims["sub"] = json!("admin");
                format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
            });
        })
        .await;
        drop(accepted(&house, &format!("{signer:?} intact"), |script| script.signer = signer).await);
    }
    refused(&house, "signed by a key that is not published", "signature", |script| {
        script.signer = Signer::Rsa2;
        script.header = Arc::new(|header| header["kid"] = json!("rsa1"));
    })
    .await;
}

#[tokio::test]
async fn o2_alg_none_in_every_spelling_is_refused() {
    let house = House::new().await;
    for alg in [json!("none"), json!("None"), json!("NONE"), json!("nOnE"), json!(""), json!(null), json!(["RS256"]), json!("rs256"), json!("RS256 ")]
    {
        for signer in [Signer::Empty, Signer::Rsa] {
            let alg = alg.clone();
            refused(&house, &format!("{alg} {signer:?}"), "alg", move |script| {
                script.signer = signer;
                script.header = Arc::new(move |header| header["alg"] = alg.clone());
            })
            .await;
        }
    }
    refused(&house, "alg missing", "alg", |script| script.header = Arc::new(|header| drop(header.as_object_mut().unwrap().remove("alg")))).await;
    refused(&house, "no signature part", "id_token", |script| script.token = Arc::new(|token| token.rsplit_once('.').unwrap().0.to_owned())).await;
    refused(&house, "a fourth part", "id_token", |script| script.token = Arc::new(|token| format!("{token}.x"))).await;
    refused(&house, "not a token", "id_token", |script| script.token = Arc::new(|_| "...".into())).await;
}

#[tokio::test]
async fn o3_hs256_under_any_key_is_refused_whatever_the_provider_advertises() {
    let house = House::new().await;
    for signer in [Signer::HmacPublicPem, Signer::HmacModulus, Signer::Hmac(b""), Signer::Hmac(CLIENT_SECRET.as_bytes())] {
        refused(&house, &format!("{signer:?}"), "alg", |script| script.signer = signer).await;
    }
}

#[tokio::test]
async fn o4_an_ecdsa_signature_of_zeros_is_refused() {
    let house = House::new().await;
    refused(&house, "zeros", "signature", |script| {
        script.signer = Signer::Zeros;
        script.header = Arc::new(|header| *header = json!({"alg": "ES256", "kid": "ec1"}));
    })
    .await;
}

#[tokio::test]
async fn o5_keys_in_the_header_and_odd_kids_are_never_followed() {
    let house = House::new().await;
    let evil = format!("{}/evil", house.op.issuer);
    for name in ["jku", "x5u"] {
        let evil = evil.clone();
        refused(&house, name, "signature", move |script| {
            script.signer = Signer::Rsa2;
            script.header = Arc::new(move |header| header[name] = json!(evil));
        })
        .await;
    }
    refused(&house, "jwk", "signature", |script| {
        script.signer = Signer::Rsa2;
        script.header = Arc::new(|header| header["jwk"] = keys().rsa_jwk("rsa2", &keys().rsa2));
    })
    .await;
    for kid in [json!("../../../dev/null"), json!("' or 1=1 --"), json!(7), json!(null), json!(["rsa1"]), json!({"a": "rsa1"})] {
        refused(&house, &kid.to_string(), "signature|kid", header("kid", kid)).await;
    }
    assert_eq!(house.op.hits("/evil"), 0);
}

#[tokio::test]
async fn o6_critical_parameters_and_b64_are_refused() {
    let house = House::new().await;
    refused(&house, "crit", "header", header("crit", json!(["exp"]))).await;
    refused(&house, "crit empty", "header", header("crit", json!([]))).await;
    refused(&house, "b64", "header", header("b64", json!(false))).await;
    refused(&house, "cty", "header", header("cty", json!("JWT"))).await;
}

#[tokio::test]
async fn o7_a_token_of_another_type_is_no_id_token() {
    let house = House::new().await;
    for typ in [json!("at+jwt"), json!("logout+jwt"), json!("application/at+jwt"), json!("dpop+jwt"), json!(""), json!(null), json!(["JWT"])] {
        refused(&house, &typ.to_string(), "typ", header("typ", typ)).await;
    }
    drop(accepted(&house, "JWT", header("typ", json!("JWT"))).await);
    drop(accepted(&house, "jwt", header("typ", json!("jwt"))).await);
}

#[tokio::test]
async fn o8_unfit_keys_in_the_jwks_verify_nothing() {
    let good = || keys().rsa_jwk("rsa1", &keys().rsa);
    let with = |name: &str, value: Value| {
        let mut jwk = good();
        jwk[name] = value;
        json!([jwk])
    };
    let short: String = good()["n"].as_str().unwrap().chars().take(171).collect();
    for (case, set) in [
        ("oct", json!([{"kty": "oct", "kid": "rsa1", "k": "AAAA"}])),
        ("enc", with("use", json!("enc"))),
        ("RSA-1024", with("n", json!(short))),
        ("wrong alg", with("alg", json!("RS512"))),
        ("alg of encryption", with("alg", json!("RSA-OAEP"))),
        ("bad n", with("n", json!("!!"))),
        ("no n", with("n", json!(null))),
        ("e = 1", with("e", json!("AQ"))),
        ("key_ops", with("key_ops", json!(["sign"]))),
        ("empty", json!([])),
    ] {
        let house = House::new().await;
        refused(&house, case, "signature", jwks(set)).await;
    }
    for body in ["", "<html>", "[]", "{\"keys\": 7}"] {
        let house = House::new().await;
        refused(&house, body, "jwks", |script| script.jwks_answer = Some(Answer::text(200, body))).await;
    }
    // Two keys of one kid: the one that fits is found, in either order.
    let other = keys().rsa_jwk("rsa1", &keys().rsa2);
    for set in [json!([good(), other]), json!([other, good()])] {
        let house = House::new().await;
        drop(accepted(&house, "duplicate kid", jwks(set)).await);
    }
}

#[tokio::test]
async fn o9_an_unknown_key_type_beside_a_good_key_harms_nobody() {
    let house = House::new().await;
    let set = json!([{"kty": "AKP", "kid": "x", "pub": "y"}, 7, null, {"kty": "RSA"}, keys().rsa_jwk("rsa1", &keys().rsa)]);
    drop(accepted(&house, "unknown kty", jwks(set)).await);
}

fn rotated(script: &mut Script) {
    script.signer = Signer::Rsa2;
    script.jwks_answer = Some(Answer::json(200, &json!({"keys": [keys().rsa_jwk("rsa2", &keys().rsa2)]})));
}

#[tokio::test]
async fn o10_a_new_key_is_found_with_one_refetch() {
    let house = House::new().await;
    drop(accepted(&house, "before", |_| {}).await);
    assert_eq!(house.op.hits("/jwks"), 1);
    drop(accepted(&house, "rotated", rotated).await);
    assert_eq!(house.op.hits("/jwks"), 2);
    // A key replaced under its old name: the signature, not the kid, says so.
    house.advance_s(31);
    drop(
        accepted(&house, "replaced in place", |script| {
            script.header = Arc::new(|header| header["kid"] = json!("rsa2"));
            script.jwks_answer = Some(Answer::json(200, &json!({"keys": [keys().rsa_jwk("rsa2", &keys().rsa)]})));
        })
        .await,
    );
}

#[tokio::test]
async fn o11_a_withdrawn_key_is_refused_after_the_refetch() {
    let house = House::new().await;
    drop(accepted(&house, "before", |_| {}).await);
    house.advance_s(5 * 60 + 1);
    refused(&house, "withdrawn", "signature", jwks(json!([keys().rsa_jwk("rsa2", &keys().rsa2)]))).await;
}

#[tokio::test]
async fn o12_a_flood_of_unknown_kids_causes_one_refetch_an_interval() {
    let house = House::new().await;
    drop(accepted(&house, "before", |_| {}).await);
    let before = house.op.hits("/jwks");
    house.op.set(|script| {
        script.header = Arc::new(|header| header["kid"] = json!("unknown"));
        // The refetch fails: the last good set must stay in place.
        script.jwks_answer = Some(Answer::text(500, ""));
    });
    for _ in 0..10 {
        let mut browser = Browser::default();
        assert_eq!(browser.sign_in(&house, APP, "/").await.status, 403);
    }
    assert_eq!(house.op.hits("/jwks") - before, 1);
    house.advance_s(31);
    let mut browser = Browser::default();
    assert_eq!(browser.sign_in(&house, APP, "/").await.status, 403);
    assert_eq!(house.op.hits("/jwks") - before, 2);
    drop(accepted(&house, "the last good keys are kept", |script| script.jwks_answer = Some(Answer::text(500, ""))).await);
}

#[tokio::test]
async fn o13_any_other_issuer_is_refused() {
    let house = House::new().await;
    let issuer = house.op.issuer.clone();
    for iss in [json!("https://evil.example"), json!(issuer.to_uppercase()), json!(format!("{issuer}/")), json!([issuer]), json!(null), json!("")] {
        refused(&house, &iss.to_string(), "iss|id_token", claim("iss", iss)).await;
    }
    refused(&house, "missing", "iss|id_token", without("iss")).await;
    drop(accepted(&house, "ours", |_| {}).await);
}

#[tokio::test]
async fn o14_audience_wrong_missing_empty_prefix_extra_or_azp_wrong_is_refused() {
    let house = House::new().await;
    for aud in [
        json!("other"),
        json!(""),
        json!([]),
        json!(null),
        json!("gatewa"),
        json!("gateway2"),
        json!("GATEWAY"),
        json!([CLIENT_ID, "other"]),
        json!(["other"]),
        json!({"a": CLIENT_ID}),
        json!([CLIENT_ID, 7]),
    ] {
        refused(&house, &aud.to_string(), "aud|id_token", claim("aud", aud)).await;
    }
    refused(&house, "missing", "aud|id_token", without("aud")).await;
    for azp in [json!("other"), json!(""), json!(null), json!([CLIENT_ID])] {
        refused(&house, &format!("azp {azp}"), "azp|id_token", claim("azp", azp)).await;
    }
    drop(accepted(&house, "list", claim("aud", json!([CLIENT_ID]))).await);
    drop(accepted(&house, "azp", claim("azp", json!(CLIENT_ID))).await);
}

#[tokio::test]
async fn o15_times_that_are_past_future_missing_or_no_times_are_refused() {
    let house = House::new().await;
    // Each refusal moves the clock on; the rows are about differences of years.
    for exp in [
        json!(NOW_S - 3600),
        json!("2100-01-01"),
        json!((NOW_S + 3600).to_string()),
        json!(-1),
        json!(1e300),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(null),
        json!([NOW_S]),
    ] {
        refused(&house, &format!("exp {exp}"), "exp|id_token", claim("exp", exp)).await;
    }
    for name in ["exp", "iat"] {
        refused(&house, &format!("{name} missing"), "exp|iat|id_token", without(name)).await;
    }
    for nbf in [json!(NOW_S + 1_000_000), json!("soon"), json!(null), json!(-5), json!(u64::MAX)] {
        refused(&house, &format!("nbf {nbf}"), "nbf", claim("nbf", nbf)).await;
    }
    for iat in [json!(NOW_S + 1_000_000), json!("now"), json!(-1), json!(i64::MIN)] {
        refused(&house, &format!("iat {iat}"), "iat|id_token", claim("iat", iat)).await;
    }
    // Clocks a minute apart are one clock.
    let now = vestibule::clock::Clock::now(house.clock.as_ref()).seconds();
    drop(accepted(&house, "exp within the leeway", claim("exp", json!(now - 59))).await);
    refused(&house, "exp at the leeway", "exp", claim("exp", json!(now - 60))).await;
    let now = vestibule::clock::Clock::now(house.clock.as_ref()).seconds();
    drop(accepted(&house, "iat within the leeway", claim("iat", json!(now + 60))).await);
    refused(&house, "iat beyond it", "iat", claim("iat", json!(now + 61))).await;
}

#[tokio::test]
async fn o16_any_other_nonce_is_refused() {
    let house = House::new().await;
    for nonce in [json!("wrong"), json!(""), json!(null), json!(["x"])] {
        refused(&house, &nonce.to_string(), "nonce|id_token", claim("nonce", nonce)).await;
    }
    refused(&house, "missing", "nonce|id_token", without("nonce")).await;
}

#[tokio::test]
async fn o17_a_subject_must_be_a_string_of_1_to_255_characters() {
    let house = House::new().await;
    for sub in [json!(""), json!(null), json!(7), json!(["ada"]), json!("a".repeat(256)), json!("ada\nroot"), json!("ada\0")] {
        refused(&house, &sub.to_string(), "sub|id_token", claim("sub", sub)).await;
    }
    refused(&house, "missing", "sub|id_token", without("sub")).await;
    drop(accepted(&house, "255", claim("sub", json!("a".repeat(255)))).await);
    drop(accepted(&house, "zoë", claim("sub", json!("zoë"))).await);
}

#[tokio::test]
async fn o18_a_wrong_at_hash_is_refused_when_present() {
    let house = House::new().await;
    for at_hash in [json!("wrong"), json!(""), json!(null), json!(7)] {
        refused(&house, &at_hash.to_string(), "at_hash|id_token", claim("at_hash", at_hash)).await;
    }
    let right = |algorithm| {
        let digest = aws_lc_rs::digest::digest(algorithm, b"at");
        URL_SAFE_NO_PAD.encode(&digest.as_ref()[..digest.as_ref().len() / 2])
    };
    drop(accepted(&house, "right", claim("at_hash", json!(right(&aws_lc_rs::digest::SHA256)))).await);
    let ed = json!(right(&aws_lc_rs::digest::SHA512));
    let change = move |script: &mut Script| {
        script.signer = Signer::Ed;
        script.claims = Arc::new(move |claims| claims["at_hash"] = ed.clone());
    };
    drop(accepted(&house, "right for EdDSA", change).await);
}

#[tokio::test]
async fn o19_userinfo_of_somebody_else_is_unused_and_the_sign_in_goes_on() {
    let evil = json!({"name": "Evil", "groups": ["admins"], "email": "evil@example.com", "email_verified": true});
    let with_sub = |sub: Value| {
        let mut userinfo = evil.clone();
        userinfo["sub"] = sub;
        Answer::json(200, &userinfo)
    };
    for (case, answer) in [
        ("another sub", with_sub(json!("bob"))),
        ("sub null", with_sub(json!(null))),
        ("sub in a list", with_sub(json!(["ada"]))),
        ("no sub", Answer::json(200, &evil)),
        ("HTML", Answer::text(200, "<html>")),
        ("500", Answer::text(500, "")),
        ("redirect", Answer::Whole(302, vec![("location", "/evil".into())], Vec::new())),
        ("stalled", Answer::Stall),
    ] {
        let house = House::new().await;
        let browser = accepted(&house, case, |script| {
            script.userinfo = Some(answer);
            script.person = json!({});
        })
        .await;
        let identity = house.session(&browser, APP).await.unwrap().sign_on.identity.clone();
        assert_eq!((identity.name.as_deref(), identity.email.as_deref(), &identity.groups), (None, None, &Groups::Unknown), "{case}");
        assert_eq!((house.op.hits("/userinfo"), house.op.hits("/evil")), (1, 0), "{case}");
    }
    let house = House::new().await;
    let browser = accepted(&house, "the same sub", |script| {
        script.userinfo = Some(with_sub(json!("ada")));
        script.person = json!({});
    })
    .await;
    let identity = house.session(&browser, APP).await.unwrap().sign_on.identity.clone();
    assert_eq!((identity.name.as_deref(), &identity.groups), (Some("Evil"), &Groups::Known(vec!["admins".into()])));
}

/// A callback that is refused before any token request, and leaves the sign-in usable.
async fn refused_callback(house: &House, case: &str, query: impl FnOnce(&str, &str) -> String) {
    let before = house.token_requests();
    let mut browser = Browser::default();
    let url = browser.to_provider(house, APP, "/issues").await;
    let good = house.op.sign_in(&url);
    let get = |name: &str| form_urlencoded::parse(good.as_bytes()).find(|(key, _)| key == name).unwrap().1.into_owned();
    let seen = browser.callback(house, &query(&get("code"), &get("state"))).await;
    assert!(matches!(seen.status, 400 | 403 | 503), "{case}: {}", seen.status);
    assert!(browser.cookie(AUTH, COOKIE).is_none(), "{case}: a session");
    assert_eq!(house.token_requests(), before, "{case}: token requests");
}

#[tokio::test]
async fn o20_state_missing_wrong_empty_or_twice_is_refused_before_any_token_request() {
    let house = House::new().await;
    refused_callback(&house, "missing", |code, _| format!("code={code}")).await;
    refused_callback(&house, "empty", |code, _| format!("code={code}&state=")).await;
    refused_callback(&house, "wrong", |code, _| format!("code={code}&state={}", "A".repeat(43))).await;
    refused_callback(&house, "odd", |code, _| format!("code={code}&state=%00%0d%0a")).await;
    refused_callback(&house, "prefix", |code, state| format!("code={code}&state={}", &state[..42])).await;
    refused_callback(&house, "twice", |code, state| format!("code={code}&state={state}&state={state}")).await;
    refused_callback(&house, "code twice", |code, state| format!("code={code}&code={code}&state={state}")).await;
    refused_callback(&house, "code empty", |_, state| format!("code=&state={state}")).await;
    refused_callback(&house, "no code", |_, state| format!("state={state}")).await;
    // Expired: half an hour at the provider is the end of it.
    let mut browser = Browser::default();
    let url = browser.to_provider(&house, APP, "/").await;
    house.advance_s(30 * 60 + 1);
    let query = house.op.sign_in(&url);
    assert_eq!((browser.callback(&house, &query).await.status, house.token_requests()), (400, 0));
}

#[tokio::test]
async fn o21_a_callback_in_another_browser_or_during_the_victims_own_sign_in_gives_no_session() {
    let house = House::new().await;
    let mut attacker = Browser::default();
    let lure = house.op.sign_in(&attacker.to_provider(&house, APP, "/attacker").await);

    let mut stranger = Browser::default();
    let seen = stranger.callback(&house, &lure).await;
    // Sent to sign in from the start, as themselves; nothing of the attacker's answer was used.
    assert!(seen.to().as_str().starts_with("https://redmine.example.com/.vestibule/login?to=%2Fattacker"), "{:?}", seen.location);
    assert!(stranger.cookie(AUTH, COOKIE).is_none());

    let mut victim = Browser::default();
    let own = house.op.sign_in(&victim.to_provider(&house, APP, "/own").await);
    let seen = victim.callback(&house, &lure).await;
    assert!(seen.to().path() == "/.vestibule/login" && victim.cookie(AUTH, COOKIE).is_none());
    assert_eq!(house.token_requests(), 0);

    // Programs are not sent round.
    let url = house.url(AUTH, &format!("/.vestibule/callback?{lure}"));
    let seen = Browser::default().ask(&house, http::Method::GET, &url, vestibule::pages::RequestKind::Api, &[], "").await;
    assert_eq!((seen.status, house.token_requests()), (400, 0));

    // Both sign-ins are still good where they belong.
    let seen = victim.callback(&house, &own).await;
    assert_eq!(victim.follow(&house, seen).await.location.as_deref(), Some("/own"));
    let seen = attacker.callback(&house, &lure).await;
    assert_eq!(attacker.follow(&house, seen).await.location.as_deref(), Some("/attacker"));
}

#[tokio::test]
async fn o22_a_callback_twice_makes_one_token_request() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let query = house.op.sign_in(&browser.to_provider(&house, APP, "/issues").await);
    let first = browser.callback(&house, &query).await;
    assert_eq!(browser.follow(&house, first).await.location.as_deref(), Some("/issues"));
    // Back button with a live session: simply home.
    let again = browser.callback(&house, &query).await;
    assert_eq!(browser.follow(&house, again).await.location.as_deref(), Some("/issues"));
    // And without one: a page.
    browser.forget(AUTH, COOKIE);
    let again = browser.callback(&house, &query).await;
    assert_eq!((again.status, house.token_requests()), (400, 1));
    assert!(browser.cookie(AUTH, COOKIE).is_none());
    // A failed one is used up as well.
    house.op.set(|script| script.token_answer = Some(Answer::text(500, "")));
    let mut browser = Browser::default();
    let query = house.op.sign_in(&browser.to_provider(&house, APP, "/").await);
    assert_eq!(browser.callback(&house, &query).await.status, 503);
    house.op.reset();
    assert_eq!((browser.callback(&house, &query).await.status, house.token_requests()), (400, 2));
}

#[tokio::test]
async fn o22_the_same_callback_at_once_makes_one_token_request() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let query = house.op.sign_in(&browser.to_provider(&house, APP, "/issues").await);
    let mut tabs: Vec<Browser> = vec![browser; 8];
    let asked = tabs.iter_mut().map(|tab| tab.callback(&house, &query));
    let seen = futures_util::future::join_all(asked).await;
    assert_eq!(house.token_requests(), 1);
    assert_eq!(seen.iter().filter(|seen| seen.status == 303).count(), 1);
}

#[tokio::test]
async fn o23_a_stolen_code_is_stopped_by_pkce_and_by_the_nonce_alone() {
    let house = House::new().await;
    for ignores_pkce in [false, true] {
        house.op.set(|script| script.ignores_pkce = ignores_pkce);
        let mut victim = Browser::default();
        let stolen = house.op.sign_in(&victim.to_provider(&house, APP, "/").await);
        let code = form_urlencoded::parse(stolen.as_bytes()).find(|(name, _)| name == "code").unwrap().1.into_owned();
        let mut attacker = Browser::default();
        let url = attacker.to_provider(&house, APP, "/").await;
        let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let before = house.token_requests();
        let seen = attacker.callback(&house, &format!("code={code}&state={state}")).await;
        assert_eq!((seen.status, house.token_requests() - before), (403, 1), "ignores_pkce={ignores_pkce}");
        assert!(attacker.cookie(AUTH, COOKIE).is_none());
    }
}

#[tokio::test]
async fn o24_the_iss_parameter_wrong_or_missing_though_promised_is_refused_before_the_token_request() {
    let house = House::new().await;
    let issuer = house.op.issuer.clone();
    for iss in ["https://evil.example".to_owned(), format!("{issuer}/"), String::new(), issuer.to_uppercase()] {
        refused_callback(&house, &iss, |code, state| format!("code={code}&state={state}&iss={iss}")).await;
    }
    let promised = House::new().await;
    promised.op.set(discovery("authorization_response_iss_parameter_supported", json!(true)));
    refused_callback(&promised, "missing", |code, state| format!("code={code}&state={state}")).await;
    refused_callback(&promised, "error without it", |_, state| format!("error=access_denied&state={state}")).await;
    let mut browser = Browser::default();
    let seen = browser.sign_in(&promised, APP, "/issues").await;
    assert_eq!(seen.location.as_deref(), Some("/issues"));
}

#[tokio::test]
async fn o26_pkce_is_s256_whatever_the_metadata_says() {
    for methods in [json!(["plain"]), json!([]), json!(null), json!(["S256"])] {
        let house = House::new().await;
        house.op.set(discovery("code_challenge_methods_supported", methods));
        let mut browser = Browser::default();
        let url = browser.to_provider(&house, APP, "/").await;
        let get = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default();
        assert_eq!((get("code_challenge_method").as_str(), get("code_challenge").len()), ("S256", 43));
        assert_eq!((get("response_type").as_str(), get("scope").as_str()), ("code", "openid email"));
        assert!(get("nonce").len() == 43 && get("state").len() == 43 && get("nonce") != get("state"));
        let query = house.op.sign_in(&url);
        drop(browser.callback(&house, &query).await);
        let (authorization, form) = house.op.last_token_request();
        let challenge = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, form["code_verifier"].as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.encode(challenge.as_ref()), get("code_challenge"));
        assert!(authorization.unwrap().starts_with("Basic ") && !form.contains_key("client_secret"));
    }
}

#[tokio::test]
async fn o27_tokens_in_the_query_and_form_post_are_refused() {
    let house = House::new().await;
    refused_callback(&house, "id_token", |code, state| format!("code={code}&state={state}&id_token=x")).await;
    refused_callback(&house, "access_token", |code, state| format!("code={code}&state={state}&access_token=x")).await;
    refused_callback(&house, "id_token alone", |_, state| format!("state={state}&id_token=x")).await;
    refused_callback(&house, "fragment only", |_, _| String::new()).await;
    let mut browser = Browser::default();
    let query = house.op.sign_in(&browser.to_provider(&house, APP, "/").await);
    for method in [http::Method::POST, http::Method::HEAD, http::Method::PUT] {
        let url = house.url(AUTH, "/.vestibule/callback");
        let seen = browser.ask(&house, method.clone(), &url, vestibule::pages::RequestKind::Form, &[], &query).await;
        assert!(seen.status >= 400, "{method}");
        let url = house.url(AUTH, &format!("/.vestibule/callback?{query}"));
        let seen = browser.ask(&house, method.clone(), &url, vestibule::pages::RequestKind::Form, &[], "").await;
        assert!(seen.status >= 400, "{method}");
    }
    assert_eq!((browser.cookie(AUTH, COOKIE), house.token_requests()), (None, 0));
}

#[tokio::test]
async fn o28_nothing_of_the_providers_error_is_on_the_page_and_access_denied_does_not_loop() {
    let house = House::new().await;
    let xss = "%3Cscript%3Ealert(1)%3C/script%3E";
    for (error, status) in [("access_denied", 403), ("server_error", 503), ("login_required", 403), (xss, 403)] {
        let mut browser = Browser::default();
        let url = browser.to_provider(&house, APP, "/").await;
        let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let query = format!("error={error}&error_description={xss}&error_uri=javascript:alert(1)&state={state}");
        let seen = browser.callback(&house, &query).await;
        assert_eq!((seen.status, seen.location.as_deref()), (status, None), "{error}");
        assert!(!seen.body.contains("alert(1)") && !seen.body.contains("<script"), "{error}: {}", seen.body);
        assert!(browser.cookie(AUTH, COOKIE).is_none());
    }
    refused_callback(&house, "error with code", |code, state| format!("error=access_denied&code={code}&state={state}")).await;
    assert_eq!(house.token_requests(), 0);
}

#[tokio::test]
async fn o29_a_token_endpoint_that_misbehaves_is_refused_in_bounded_time_and_never_followed() {
    let house = House::new().await;
    let whole = |body: Value| Answer::json(200, &body);
    for (case, answer) in [
        ("500", Answer::text(500, "oops")),
        ("HTML", Answer::text(200, "<html>")),
        ("truncated JSON", Answer::text(200, "{\"access_token\":\"a\",")),
        ("error with 200", whole(json!({"error": "invalid_grant"}))),
        ("307", Answer::Whole(307, vec![("location", "/evil".into())], Vec::new())),
        ("302", Answer::Whole(302, vec![("location", "/evil".into())], Vec::new())),
        ("64 MB", Answer::Whole(200, Vec::new(), vec![b' '; 64 * 1024 * 1024])),
        ("stalled", Answer::Stall),
        ("empty", Answer::text(200, "")),
        ("a list", whole(json!([]))),
    ] {
        refused(&house, case, "token endpoint|token response|token request", |script| script.token_answer = Some(answer)).await;
    }
    for (name, value) in [
        ("token_type", json!("mac")),
        ("token_type", json!(null)),
        ("id_token", json!(null)),
        ("id_token", json!("")),
        ("id_token", json!(["x"])),
        ("access_token", json!(null)),
        ("id_token", json!("x".repeat(300_000))),
    ] {
        refused(&house, &format!("{name} {value:.20}"), "token endpoint|token response|token request", move |script| {
            script.tokens = Arc::new(move |tokens| tokens[name] = value.clone());
        })
        .await;
    }
    assert_eq!(house.op.hits("/evil"), 0);
    drop(accepted(&house, "bearer in lower case", |script| script.tokens = Arc::new(|tokens| tokens["token_type"] = json!("bearer"))).await);
}

#[tokio::test]
async fn o30_discovery_that_does_not_hold_is_refused_and_recovers_without_a_restart() {
    let house = House::new().await;
    let mut waited = 0;
    let changes: Vec<(&str, Change)> = vec![
        ("issuer differs", Box::new(discovery("issuer", json!("https://evil.example")))),
        ("404", Box::new(|script| script.discovery_answer = Some(Answer::text(404, "")))),
        ("HTML", Box::new(|script| script.discovery_answer = Some(Answer::text(200, "<html>")))),
        ("64 MB", Box::new(|script| script.discovery_answer = Some(Answer::Whole(200, Vec::new(), vec![b' '; 64 * 1024 * 1024])))),
        ("slow", Box::new(|script| script.discovery_answer = Some(Answer::Stall))),
        ("redirect", Box::new(|script| script.discovery_answer = Some(Answer::Whole(302, vec![("location", "/evil".into())], Vec::new())))),
        ("jwks file://", Box::new(discovery("jwks_uri", json!("file:///etc/passwd")))),
        ("jwks elsewhere in plain", Box::new(discovery("jwks_uri", json!("http://op.example.com/jwks")))),
        ("token endpoint gone", Box::new(discovery("token_endpoint", json!(null)))),
    ];
    for (case, change) in changes {
        house.op.reset();
        house.op.set(change);
        // Past the pause after the last failure.
        house.advance_s(31);
        waited += 31;
        let mut browser = Browser::default();
        let seen = browser.sign_in(&house, APP, "/").await;
        assert_eq!((seen.status, house.token_requests()), (503, 0), "{case}");
        let asked = house.op.hits("/.well-known/openid-configuration");
        // Within the pause nobody asks again.
        assert_eq!(browser.sign_in(&house, APP, "/").await.status, 503, "{case}");
        assert_eq!(house.op.hits("/.well-known/openid-configuration"), asked, "{case}");
    }
    assert!(waited < 3600 && house.op.hits("/evil") == 0);
    house.advance_s(31);
    drop(accepted(&house, "back", |_| {}).await);
    // Gone again, an hour later: the last good document serves.
    house.advance_s(3601);
    drop(accepted(&house, "last good kept", |script| script.discovery_answer = Some(Answer::text(500, ""))).await);
}

#[tokio::test]
async fn o34_o35_claim_sources_are_not_fetched_and_odd_addresses_grant_nothing() {
    let house = House::new().await;
    let evil = format!("{}/evil", house.op.issuer);
    let browser = accepted(&house, "overage", |script| {
        script.person =
            json!({"_claim_names": {"groups": "s"}, "_claim_sources": {"s": {"endpoint": evil}}, "email": "a@evil@good.com", "email_verified": true});
    })
    .await;
    let identity = house.session(&browser, APP).await.unwrap().sign_on.identity.clone();
    assert_eq!((&identity.groups, identity.email.as_deref(), identity.email_verified), (&Groups::Unknown, None, false));
    assert_eq!(house.op.hits("/evil"), 0);
    let trusting = House::with(Options { trust_email: true, ..Options::default() }).await;
    let browser = accepted(&trusting, "trusted", |script| script.person = json!({"email": "a@good.com"})).await;
    assert!(trusting.session(&browser, APP).await.unwrap().sign_on.identity.email_verified);
}

#[tokio::test]
async fn a6_no_token_code_cookie_or_state_is_ever_logged() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let url = browser.to_provider(&house, APP, "/issues").await;
    let query = house.op.sign_in(&url);
    let seen = browser.callback(&house, &query).await;
    drop(browser.follow(&house, seen).await);
    for name in ["nonce", "sub", "aud", "iss", "exp"] {
        refused(&house, name, &format!("{name}|id_token"), claim(name, json!("wrong\nforged=\"line\""))).await;
    }
    refused(&house, "signature", "signature", |script| script.signer = Signer::Zeros).await;
    refused(&house, "token endpoint", "token request", |script| script.token_answer = Some(Answer::text(400, "{\"error\":\"invalid_grant\"}"))).await;
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let log = house.log();
    assert!(log.lines().count() >= 15 && log.contains("login.succeeded") && log.contains("expected"), "{log}");
    for secret in ["eyJ", "code-", &state, &browser.cookie(AUTH, COOKIE).unwrap(), &browser.cookie(APP, COOKIE).unwrap(), CLIENT_SECRET] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    assert!(!log.lines().any(|line| line.starts_with("forged")), "{log}");
}

#[tokio::test]
async fn a_fresh_sign_in_asks_for_one_and_an_old_one_is_refused() {
    let house = House::new().await;
    let mut browser = accepted(&house, "first", |_| {}).await;
    house.advance_s(3600);
    for (case, auth_time, status) in [("old", json!(NOW_S), 403), ("absent", json!(null), 403), ("in the future", json!(NOW_S + 100_000), 403)] {
        house.op.set(|script| {
            script.claims = Arc::new(move |claims| {
                if auth_time.is_null() { drop(claims.as_object_mut().unwrap().remove("auth_time")) } else { claims["auth_time"] = auth_time.clone() }
            });
        });
        let seen = browser.visit(&house, APP, "/secret", true).await;
        let seen = browser.get(&house, &seen.to()).await;
        let url = seen.to();
        assert!(url.query().unwrap().contains("max_age=0&prompt=login"), "{url}");
        let query = house.op.sign_in(&url);
        assert_eq!(browser.callback(&house, &query).await.status, status, "{case}");
    }
    house.op.reset();
    let seen = browser.visit(&house, APP, "/secret", true).await;
    assert_eq!(browser.follow(&house, seen).await.location.as_deref(), Some("/secret"));
    assert_eq!(house.session(&browser, APP).await.unwrap().sign_on.auth_time.seconds(), NOW_S + 3600);
}
