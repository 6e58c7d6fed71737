//! Sign-in by SAML through the login desk: two browsers, one provider that signs with the test key, a clock that is moved.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::fake_saml::Draft;
use crate::house::{APP, AUTH, Browser, COOKIE, House, Options, SAML, Seen};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::DeflateDecoder;
use http::Method;
use std::io::Read as _;
use url::Url;
use vestibule::clock::Clock as _;
use vestibule::pages::RequestKind;

const ACS: &str = "https://auth.example.com/.vestibule/saml/acs";
const US: &str = "https://auth.example.com/.vestibule/saml/metadata";

async fn house() -> House {
    House::with(Options { providers: vec![SAML], ..Options::default() }).await
}

/// What a browser is sent to the provider with.
struct Asked {
    xml: String,
    id: String,
    relay_state: String,
}

impl Asked {
    fn read(url: &Url) -> Self {
        let of = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default();
        let mut xml = String::new();
        DeflateDecoder::new(STANDARD.decode(of("SAMLRequest")).unwrap().as_slice()).read_to_string(&mut xml).unwrap();
        let id = xml.split_once(" ID=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        Self { xml, id, relay_state: of("RelayState") }
    }
}

/// As far as the provider's door.
async fn to_provider(house: &House, browser: &mut Browser, fresh: bool) -> Asked {
    let seen = browser.visit(house, APP, "/deep?x=1", fresh).await;
    let seen = browser.get(house, &seen.to()).await;
    let url = seen.to();
    assert!(url.as_str().starts_with("https://idp.test/sso?"), "{url}");
    Asked::read(&url)
}

fn time(house: &House, plus_s: i64) -> String {
    vestibule::observe::audit::rfc3339(house.clock.now().plus_ms(plus_s * 1000))
}

fn draft(house: &House, asked: &Asked) -> Draft {
    Draft::new(&asked.id, ACS, US, &time(house, 0), &time(house, 300))
}

fn form(document: &str, relay_state: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("SAMLResponse", &STANDARD.encode(document))
        .append_pair("RelayState", relay_state)
        .finish()
}

/// The provider's page posts: from another site, so that no cookie of `SameSite=Lax` comes along.
async fn post(house: &House, body: &str) -> Seen {
    let url = house.url(AUTH, "/.vestibule/saml/acs");
    Browser::default().ask(house, Method::POST, &url, RequestKind::Form, &[], body).await
}

/// …and the browser goes on by itself.
async fn go_on(house: &House, browser: &mut Browser, posted: &Seen) -> Seen {
    let url = house.url(AUTH, "/").join(posted.location.as_deref().unwrap_or_else(|| panic!("{} {}", posted.status, posted.body))).unwrap();
    let seen = browser.get(house, &url).await;
    browser.follow(house, seen).await
}

#[tokio::test]
async fn a_person_signs_in_and_is_back_where_they_wanted_to_go() {
    let house = house().await;
    let mut ada = Browser::default();
    let asked = to_provider(&house, &mut ada, false).await;
    assert!(asked.relay_state.len() <= 80 && asked.id.len() > 40, "S32: {} {}", asked.relay_state, asked.id);
    assert!(
        asked.xml.contains(&format!("AssertionConsumerServiceURL=\"{ACS}\"")) && asked.xml.contains(&format!("<saml:Issuer>{US}</saml:Issuer>")),
        "{}",
        asked.xml
    );
    assert!(!asked.xml.contains("ForceAuthn"), "{}", asked.xml);

    let posted = post(&house, &form(&draft(&house, &asked).response(), &asked.relay_state)).await;
    assert_eq!(posted.status, 303, "{}", posted.body);
    let seen = go_on(&house, &mut ada, &posted).await;

    assert_eq!(seen.location.as_deref(), Some("/deep?x=1"), "{} {}", seen.status, seen.body);
    let session = house.session(&ada, APP).await.unwrap();
    let person = &session.sign_on.identity;
    assert_eq!((person.subject.issuer.as_str(), person.subject.subject.as_str()), ("https://idp.test/metadata", "ada-7"));
    assert_eq!((person.email.as_deref(), person.email_verified, person.idp.as_str()), (Some("ada@example.com"), false, SAML));
    assert_eq!(person.groups.listed(), ["staff", "r&d <x>"]);
    assert!(!house.log().contains("SAMLResponse") && !house.log().contains(&asked.relay_state), "nothing of it in the log");
}

#[tokio::test]
async fn a_response_that_is_encrypted_is_opened_with_our_key() {
    let house = house().await;
    for method in ["aes128-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm"] {
        let mut ada = Browser::default();
        let asked = to_provider(&house, &mut ada, false).await;
        let mut draft = draft(&house, &asked);
        draft.assertion_id = format!("_{method}");
        let sealed = draft.around(&crate::fake_saml::encrypted(&draft.assertion(), method, true));
        let posted = post(&house, &form(&sealed, &asked.relay_state)).await;
        assert_eq!(posted.status, 303, "{method}: {} {}", posted.body, house.last_reason());
        go_on(&house, &mut ada, &posted).await;
        assert!(house.session(&ada, APP).await.is_some(), "{method}");
    }
}

#[tokio::test]
async fn s24_what_is_encrypted_badly_is_refused_in_one_way() {
    let house = house().await;
    let mut ada = Browser::default();
    let asked = to_provider(&house, &mut ada, false).await;
    let signed = draft(&house, &asked);
    let mut unsigned = signed.clone();
    unsigned.sign_assertion = false;
    let whole = crate::fake_saml::encrypted(&signed.assertion(), "aes128-cbc", true);
    let value = whole.rsplit_once("<xenc:CipherValue>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let with = |bytes: Vec<u8>| whole.replace(&value, &STANDARD.encode(bytes));
    let bytes = STANDARD.decode(&value).unwrap();
    let mut cases = vec![
        crate::fake_saml::encrypted(&unsigned.assertion(), "aes256-gcm", true),
        crate::fake_saml::encrypted("not XML", "aes128-cbc", true),
        crate::fake_saml::encrypted(&signed.assertion(), "aes128-cbc", false),
        with(Vec::new()),
        with(bytes[..16].to_vec()),
        with(bytes[..40].to_vec()),
        whole.replace("rsa-oaep-mgf1p", "rsa-1_5"),
        whole.replace("aes128-cbc", "tripledes-cbc"),
    ];
    for at in [0, 20, bytes.len() - 1, bytes.len() - 17] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        cases.push(with(changed));
    }
    let mut bodies = Vec::new();
    for content in cases {
        let seen = post(&house, &form(&signed.around(&content), &asked.relay_state)).await;
        assert_eq!((seen.status, house.last_reason().as_str()), (403, "encryption"), "{content}");
        bodies.push(seen.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "one page for all of them");
    // An encrypted one of an attacker's beside a signed one.
    let two = signed.around(&format!("{}{whole}", signed.assertion()));
    assert_eq!(post(&house, &form(&two, &asked.relay_state)).await.status, 403);
    assert_eq!(house.last_reason(), "assertions");
}

#[tokio::test]
async fn s19_a_response_for_another_browser_signs_nobody_in() {
    let house = house().await;
    let (mut mallory, mut ada) = (Browser::default(), Browser::default());
    let asked = to_provider(&house, &mut mallory, false).await;
    let posted = post(&house, &form(&draft(&house, &asked).response(), &asked.relay_state)).await;
    // The attacker's own answer, brought to another browser: with no sign-in of its own, and with one under way.
    for under_way in [false, true] {
        if under_way {
            to_provider(&house, &mut ada, false).await;
        }
        let url = house.url(AUTH, "/").join(posted.location.as_deref().unwrap()).unwrap();
        let seen = ada.get(&house, &url).await;
        assert!(house.sign_on(&ada).await.is_none() && ada.cookie(AUTH, COOKIE).is_none(), "{}", seen.status);
    }
    // …and it is still good for the browser that it belongs to.
    go_on(&house, &mut mallory, &posted).await;
    assert!(house.session(&mallory, APP).await.is_some());
}

#[tokio::test]
async fn s20_a_response_signs_in_once() {
    let house = house().await;
    let mut ada = Browser::default();
    let asked = to_provider(&house, &mut ada, false).await;
    let document = draft(&house, &asked).response();
    let body = form(&document, &asked.relay_state);
    let posted = post(&house, &body).await;
    go_on(&house, &mut ada, &posted).await;
    let session = house.sign_on(&ada).await.unwrap().id;

    // Pressed once more: the person goes home, nothing is begun.
    let again = post(&house, &body).await;
    assert!(!again.location.as_deref().unwrap().contains("code="), "{:?}", again.location);
    go_on(&house, &mut ada, &again).await;
    assert_eq!(house.sign_on(&ada).await.unwrap().id, session);
    // In another browser: nothing.
    let mut other = Browser::default();
    let seen = go_on(&house, &mut other, &again).await;
    assert!(house.sign_on(&other).await.is_none(), "{}", seen.body);
    // The code of the way on, too, is worth nothing elsewhere.
    let seen = go_on(&house, &mut other, &posted).await;
    assert!(house.sign_on(&other).await.is_none(), "{}", seen.body);
}

#[tokio::test]
async fn s20_an_assertion_is_good_once_whatever_it_answers() {
    // Two sign-ins of one browser, and a provider that gives one assertion for both: the second is a replay.
    let house = house().await;
    let mut ada = Browser::default();
    let first = to_provider(&house, &mut ada, true).await;
    let posted = post(&house, &form(&draft(&house, &first).response(), &first.relay_state)).await;
    go_on(&house, &mut ada, &posted).await;
    assert!(house.sign_on(&ada).await.is_some());
    house.advance_s(30);
    let second = to_provider(&house, &mut ada, true).await;
    let posted = post(&house, &form(&draft(&house, &second).response(), &second.relay_state)).await;
    assert_eq!(posted.status, 303);
    let seen = go_on(&house, &mut ada, &posted).await;
    assert_eq!((seen.status, house.last_reason().as_str()), (403, "replay"));
}

/// `document` with so many bytes more that nothing vouches for.
fn padded(document: &str, nth: usize, bytes: usize) -> String {
    document.replacen("<samlp:Status>", &format!("<!--{nth}-->{}<samlp:Status>", " ".repeat(bytes)), 1)
}

#[tokio::test]
async fn responses_posted_over_and_over_take_no_room_and_keep_nobody_out() {
    let house = house().await;
    let (mut mallory, mut ada) = (Browser::default(), Browser::default());
    let theirs = to_provider(&house, &mut mallory, false).await;
    let asked = to_provider(&house, &mut ada, false).await;
    let (stranger, owner) = (draft(&house, &theirs), draft(&house, &asked));
    let mut owner = owner;
    owner.assertion_id = "_of_the_owner".to_owned();
    let room = || std::fs::read_dir(house.store.path().parent().unwrap()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>();

    // What holds, dressed up anew each time: one row. What does not, with the owner's RelayState and without: none.
    let document = stranger.response();
    for nth in 0..60 {
        let seen = post(&house, &form(&padded(&document, nth, 200_000), &theirs.relay_state)).await;
        assert_eq!(seen.status, 303, "{} {}", seen.body, house.last_reason());
        if nth % 10 == 0 {
            // As the gateway does every second.
            house.store.fold().await.unwrap();
        }
    }
    for relay_state in [asked.relay_state.as_str(), "x", &"y".repeat(43)] {
        for nth in 0..20 {
            let seen = post(&house, &form(&padded(&document, nth, 200_000), relay_state)).await;
            assert!(seen.location.is_none_or(|to| !to.contains("code=")), "nothing is kept");
        }
    }
    // One row, and what the log held between two folds.
    assert!(room() < 8 << 20, "{} bytes", room());

    // The owner's own response, posted by somebody who has seen it, before and after the owner's page posts it.
    let document = owner.response();
    for nth in 0..10 {
        assert_eq!(post(&house, &form(&padded(&document, nth, 9), &asked.relay_state)).await.status, 303);
    }
    let posted = post(&house, &form(&document, &asked.relay_state)).await;
    for nth in 10..20 {
        assert_eq!(post(&house, &form(&padded(&document, nth, 9), &asked.relay_state)).await.location, posted.location);
    }
    go_on(&house, &mut ada, &posted).await;
    assert_eq!(house.session(&ada, APP).await.unwrap().sign_on.identity.subject.subject, "ada-7");
    // …and the stranger's own sign-in is as good as it was.
    let posted = post(&house, &form(&stranger.response(), &theirs.relay_state)).await;
    go_on(&house, &mut mallory, &posted).await;
    assert!(house.session(&mallory, APP).await.is_some());
}

#[tokio::test]
async fn what_does_not_hold_is_refused_and_the_reason_is_audited() {
    let house = house().await;
    let mut ada = Browser::default();
    let asked = to_provider(&house, &mut ada, false).await;
    let good = draft(&house, &asked);
    let mut unsigned = good.clone();
    unsigned.sign_assertion = false;
    let mut for_another = good.clone();
    for_another.conditions = for_another.conditions.replace(US, "https://other.test");
    let mut refusal = good.clone();
    refusal.status = refusal
        .status
        .replace("Success\"/>", "Responder\"><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:AuthnFailed\"/></samlp:StatusCode>");
    for (document, reason) in [
        (unsigned.response(), "signature"),
        (good.response().replace("ada-7", "admin"), "signature"),
        (for_another.response(), "audience"),
        (refusal.response(), "AuthnFailed"),
        ("<x/>".to_owned(), "root"),
    ] {
        let seen = post(&house, &form(&document, &asked.relay_state)).await;
        assert_eq!((seen.status, house.last_reason().as_str()), (403, reason), "{}", seen.body);
    }
    // Nothing of that used the sign-in up.
    let posted = post(&house, &form(&good.response(), &asked.relay_state)).await;
    go_on(&house, &mut ada, &posted).await;
    assert!(house.session(&ada, APP).await.is_some());
}

#[tokio::test]
async fn s17_a_response_that_took_too_long_is_refused() {
    let house = house().await;
    let mut ada = Browser::default();
    let asked = to_provider(&house, &mut ada, false).await;
    let document = draft(&house, &asked).response();
    house.advance_s(300 + 180);
    let seen = post(&house, &form(&document, &asked.relay_state)).await;
    assert_eq!((seen.status, house.last_reason().as_str()), (403, "Conditions"));
    // On its way between form and browser, too.
    let asked = to_provider(&house, &mut ada, false).await;
    let posted = post(&house, &form(&draft(&house, &asked).response(), &asked.relay_state)).await;
    house.advance_s(130);
    let seen = go_on(&house, &mut ada, &posted).await;
    assert!(house.session(&ada, APP).await.is_none(), "{}", seen.status);
}

#[tokio::test]
async fn s27_s28_forms_that_are_none_of_ours_are_refused_unread() {
    let house = house().await;
    for (body, reason) in
        [("", "response_missing"), ("SAMLResponse=YWJj", "relay_state_missing"), ("SAMLResponse=YWJj&SAMLResponse=YWJj&RelayState=x", "field_twice")]
    {
        let seen = post(&house, body).await;
        assert_eq!((seen.status >= 400, house.last_reason().as_str()), (true, reason), "{body}");
    }
    for relay_state in ["https://evil.test/", "//evil.test", "javascript:alert(1)", "\r\nSet-Cookie: x=y", &"x".repeat(100_000)] {
        let seen = post(&house, &form("<x/>", relay_state)).await;
        let location = seen.location.unwrap();
        assert!(location.starts_with("/.vestibule/saml/acs?") && location.len() < 200, "{location}");
    }
}

#[tokio::test]
async fn row_30_a_sign_in_that_must_be_fresh_is_forced_and_checked() {
    let house = house().await;
    let mut ada = Browser::default();
    let asked = to_provider(&house, &mut ada, true).await;
    assert!(asked.xml.contains("ForceAuthn=\"true\""), "{}", asked.xml);
    let mut stale = draft(&house, &asked);
    stale.authn = stale.authn.replace(&time(&house, 0), &time(&house, -3600));
    let seen = post(&house, &form(&stale.response(), &asked.relay_state)).await;
    assert_eq!((seen.status, house.last_reason().as_str()), (403, "AuthnInstant"));
}

#[tokio::test]
async fn s23_a_session_ends_with_the_providers() {
    let house = house().await;
    let mut ada = Browser::default();
    let asked = to_provider(&house, &mut ada, false).await;
    let mut short = draft(&house, &asked);
    short.authn = short.authn.replace("SessionIndex", &format!("SessionNotOnOrAfter=\"{}\" SessionIndex", time(&house, 600)));
    let posted = post(&house, &form(&short.response(), &asked.relay_state)).await;
    go_on(&house, &mut ada, &posted).await;
    assert!(house.sign_on(&ada).await.is_some());
    house.advance_s(601);
    assert!(house.sign_on(&ada).await.is_none());
}

#[tokio::test]
async fn our_metadata_is_there_for_the_provider() {
    let house = house().await;
    let seen = Browser::default().get(&house, &house.url(AUTH, "/.vestibule/saml/metadata")).await;
    assert_eq!((seen.status, seen.headers["content-type"].to_str().unwrap()), (200, "application/samlmetadata+xml"));
    for part in [ACS, US, "AuthnRequestsSigned=\"true\"", &crate::fake_saml::certificate("saml-sp.pem"), "use=\"encryption\""] {
        assert!(seen.body.contains(part), "{part}: {}", seen.body);
    }
    let seen = Browser::default().get(&house, &house.url(AUTH, "/.vestibule/saml/metadata?idp=corp")).await;
    assert_eq!(seen.status, 404);
}

#[tokio::test]
async fn a_logout_request_of_the_provider_ends_the_session_it_names_and_is_answered() {
    let house = house().await;
    let mut ada = Browser::default();
    let asked = to_provider(&house, &mut ada, false).await;
    let posted = post(&house, &form(&draft(&house, &asked).response(), &asked.relay_state)).await;
    go_on(&house, &mut ada, &posted).await;
    let slo = |name: &str, key: Option<&str>| house.url(AUTH, &format!("/.vestibule/saml/logout?{}", logout_query(&house, name, key)));
    for (what, url) in [("unsigned", slo("ada-7", None)), ("by a stranger", slo("ada-7", Some("saml-sp.key")))] {
        let seen = ada.get(&house, &url).await;
        assert_eq!((seen.status, house.last_reason().as_str()), (403, "signature"), "{what}");
        assert!(house.sign_on(&ada).await.is_some(), "{what}");
    }
    let seen = ada.get(&house, &slo("bob-8", Some("saml-idp.key"))).await;
    assert!(seen.to().as_str().starts_with("https://idp.test/slo?SAMLResponse="), "answered");
    assert!(house.sign_on(&ada).await.is_some(), "somebody else's");
    let seen = ada.get(&house, &slo("ada-7", Some("saml-idp.key"))).await;
    let answer = seen.to();
    assert!(answer.query_pairs().any(|(name, value)| name == "RelayState" && value == "back"), "{answer}");
    assert!(house.sign_on(&ada).await.is_none() && house.session(&ada, APP).await.is_none());
}

/// As the provider writes it: signed over the query.
fn logout_query(house: &House, name: &str, key: Option<&str>) -> String {
    use std::io::Write as _;
    let xml = format!(
        "<samlp:LogoutRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_l{name}\" \
         Version=\"2.0\" IssueInstant=\"{}\" Destination=\"https://auth.example.com/.vestibule/saml/logout\"><saml:Issuer>{}</saml:Issuer>\
         <saml:NameID>{name}</saml:NameID><samlp:SessionIndex>_s1</samlp:SessionIndex></samlp:LogoutRequest>",
        time(house, 0),
        crate::fake_saml::IDP
    );
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    deflated.write_all(xml.as_bytes()).unwrap();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("SAMLRequest", &STANDARD.encode(deflated.finish().unwrap())).append_pair("RelayState", "back");
    let Some(key) = key else { return query.finish() };
    query.append_pair("SigAlg", crate::fake_saml::RSA_SHA256);
    let signed = query.finish();
    let signature = crate::fake_saml::rsa_sha256(&signed, key);
    format!("{signed}&{}", form_urlencoded::Serializer::new(String::new()).append_pair("Signature", &STANDARD.encode(signature)).finish())
}
