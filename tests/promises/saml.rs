//! What others learnt about SAML, asserted against the whole gateway: what counts is what the application is told.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "what does not parse fails the test")]

use crate::fake_saml::{Draft, attribute};
use crate::house::{AUTH, Answer, Ask, Browser, House, Options, WIKI, target_of};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::{Duration, Instant};
use url::Url;
use vestibule::clock::Clock as _;
use vestibule::observe::audit::rfc3339;

const ACS: &str = "http://auth.vestibule.test/.vestibule/saml/acs";
const US: &str = "http://auth.vestibule.test/.vestibule/saml/metadata";

async fn house() -> House {
    House::with(Options { saml: true, ..Options::default() }).await
}

/// A sign-in under way, and the response that would finish it.
struct UnderWay {
    draft: Draft,
    relay_state: String,
}

async fn under_way(house: &House, browser: &mut Browser) -> UnderWay {
    let url = browser.to_provider(house, WIKI, "/page").await;
    assert!(url.as_str().starts_with("https://idp.test/sso?"), "{url}");
    let of = |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    let mut xml = String::new();
    let deflated = STANDARD.decode(of("SAMLRequest")).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::DeflateDecoder::new(deflated.as_slice()), &mut xml).unwrap();
    let id = xml.split_once(" ID=\"").unwrap().1.split_once('"').unwrap().0;
    let at = |plus_s: i64| rfc3339(house.clock.now().plus_ms(plus_s * 1000));
    let mut draft = Draft::new(id, ACS, US, &at(0), &at(300));
    draft.assertion_id = format!("_a{}", &id[1..12]);
    draft.attributes = attribute("mail", &["ada@example.com"]) + &attribute("groups", &["staff"]);
    UnderWay { draft, relay_state: of("RelayState") }
}

impl UnderWay {
    fn form(&self, document: &str) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("SAMLResponse", &STANDARD.encode(document)).append_pair("RelayState", &self.relay_state).finish()
    }
}

/// Posted from the provider's page, without cookies; the browser follows.
async fn post(house: &House, browser: &mut Browser, form: &str) -> Answer {
    let ask = Ask::form(AUTH, "/.vestibule/saml/acs", form);
    let answer = Browser::default().send(house, &ask).await;
    match answer.location().filter(|_| answer.status == 303) {
        Some(location) => {
            let url = Url::parse(ACS).unwrap().join(&location).unwrap();
            let answer = browser.get(house, AUTH, &target_of(&url)).await;
            browser.follow(house, AUTH, answer).await.answer
        }
        None => answer,
    }
}

/// Whom the wiki has been told of.
fn told(house: &House) -> Vec<String> {
    house.wiki.take().iter().map(|seen| seen.only("x-remote-user")).collect()
}

/// authentik CVE-2026-25922 and CVE-2026-47201, crewjam CVE-2022-41912 and CVE-2020-27846, gosaml2 CVE-2020-29509, goxmldsig CVE-2020-15216 and CVE-2026-33487, `LemonLDAP`
/// CVE-2012-6426.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_element_whose_signature_was_verified_is_read_and_there_is_one() {
    let house = house().await;
    for sign_response in [false, true] {
        let mut browser = Browser::default();
        let mut way = under_way(&house, &mut browser).await;
        way.draft.sign_response = sign_response;
        let signed = way.draft.response();
        let mut evil = way.draft.clone();
        evil.sign_assertion = false;
        evil.assertion_id.push('e');
        evil.attributes = attribute("mail", &["root@example.com"]) + &attribute("groups", &["staff", "admins"]);
        let evil = evil.assertion();
        let end = "</samlp:Response>";
        for (what, document) in [
            ("before", signed.replacen("<saml:Assertion ", &format!("{evil}<saml:Assertion "), 1)),
            ("after", signed.replace(end, &format!("{evil}{end}"))),
            (
                "around",
                signed
                    .replacen("<saml:Assertion ", &format!("{}<saml:Assertion ", evil.trim_end_matches("</saml:Assertion>")), 1)
                    .replace(end, &format!("</saml:Assertion>{end}")),
            ),
            ("in the signature", signed.replacen("</ds:Signature>", &format!("<ds:Object>{evil}</ds:Object></ds:Signature>"), 1)),
            ("in a value", signed.replacen("ada@example.com", &evil, 1)),
            ("in extensions", signed.replacen("<samlp:Status>", &format!("<samlp:Extensions>{evil}</samlp:Extensions><samlp:Status>"), 1)),
            ("another prefix", signed.replacen("<saml:Assertion ", "<x:y xmlns:x=\"urn:a:b\"/><saml:Assertion ", 1)),
            ("changed", signed.replace("ada@example.com", "root@example.com")),
        ] {
            let answer = post(&house, &mut browser, &way.form(&document)).await;
            assert_eq!(answer.status, 403, "{what}: {answer:?}");
            assert_eq!(told(&house), [""; 0], "{what}");
        }
        // None of them has used the sign-in up.
        let answer = post(&house, &mut browser, &way.form(&signed)).await;
        assert_eq!((answer.status, told(&house)), (200, vec!["ada@example.com".to_owned()]));
    }
}

/// authentik CVE-2026-57580.
#[tokio::test(flavor = "multi_thread")]
async fn a_comment_shortens_neither_a_name_nor_an_attribute() {
    let house = house().await;
    let mut browser = Browser::default();
    let mut way = under_way(&house, &mut browser).await;
    way.draft.attributes = way.draft.attributes.replace("ada@example.com", "root@example.com.evil.example");
    let document = way.draft.response().replace("root@example.com.evil", "root@example.com<!-- -->.evil");
    assert!(document.contains("<!-- -->"));
    let answer = post(&house, &mut browser, &way.form(&document)).await;
    assert_eq!((answer.status, told(&house)), (200, vec!["root@example.com.evil.example".to_owned()]));
}

/// gosaml2 GHSA-pcgw-qcv5-h8ch, mellon 0.17, mellon CVE-2019-3878.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_request_without_signature_ends_nothing_an_assertion_signs_in_once_and_paos_is_nothing_special() {
    let mut house = house().await;
    let mut browser = Browser::default();
    let way = under_way(&house, &mut browser).await;
    let form = way.form(&way.draft.response());
    assert_eq!(post(&house, &mut browser, &form).await.status, 200);
    assert_eq!(told(&house), ["ada@example.com"]);

    // deflate("<x/>"), and nothing that signs it.
    let query = "SAMLRequest=s6nQtwMA&SigAlg=http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23rsa-sha256&Signature=AAAA";
    for query in [query, query.split_once('&').unwrap().0] {
        assert_eq!(browser.get(&house, AUTH, &format!("/.vestibule/saml/logout?{query}")).await.status, 403, "{query}");
    }
    assert_eq!(browser.get(&house, WIKI, "/page").await.status, 200, "signed in still");
    drop(told(&house));

    let mut other = Browser::default();
    assert_ne!(post(&house, &mut other, &form).await.status, 200, "the same response once more, in another browser");
    house.restart().await;
    assert_ne!(post(&house, &mut other, &form).await.status, 200, "after a restart");
    assert_eq!(told(&house), [""; 0]);

    let paos = Ask::page(WIKI, "/page").with("PAOS", "ver=\"urn:liberty:paos:2003-08\"").with("Accept", "application/vnd.paos+xml");
    let answer = Browser::default().send(&house, &paos).await;
    assert!(matches!(answer.status, 303 | 401), "{answer:?}");
    assert_eq!(told(&house), [""; 0]);
}

/// CVE-2023-28119, CVE-2023-26483, GHSA-hwqm-qvj9-4jr2, mellon CVE-2016-2145 and CVE-2016-2146, CVE-2014-8567.
#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_bounded_and_malformed_input_ends_soon_with_an_answer() {
    let house = house().await;
    let mut browser = Browser::default();
    let way = under_way(&house, &mut browser).await;
    let good = way.draft.response();
    let mut documents = vec![
        "<a>".repeat(60_000),
        format!("<!DOCTYPE a [{}]><a>&b9;</a>", (1..10).map(|n| format!("<!ENTITY b{n} \"&b{};&b{};\">", n - 1, n - 1)).collect::<Vec<_>>().concat()),
        format!("<a {}/>", (0..15_000).map(|n| format!("a{n}=''")).collect::<Vec<_>>().join(" ")),
        "\u{0}".repeat(1000),
        good.replace("ada-7", &"a".repeat(250_000)),
    ];
    documents.extend((0..good.len()).step_by(97).map(|at| good[..at].to_owned()));
    documents.extend((0..good.len()).step_by(89).map(|at| format!("{}<&>{}", &good[..at], &good[at..])));
    let begun = Instant::now();
    for document in &documents {
        let answer = post(&house, &mut browser, &way.form(document)).await;
        assert!(matches!(answer.status, 400 | 403), "{answer:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?} for {} documents", begun.elapsed(), documents.len());
    // attacks.md S25: beyond the bound of the form, the connection may be closed on it.
    let huge = Ask::form(AUTH, "/.vestibule/saml/acs", &format!("SAMLResponse={}", "A".repeat(2_000_000)));
    assert!(
        house
            .raw(format!("POST {} HTTP/1.1\r\nHost: {AUTH}\r\nContent-Length: {}\r\n\r\n", huge.target, huge.body.len()).as_bytes(), AUTH)
            .await
            .is_none_or(|answer| answer.status >= 400)
    );
    for query in ["SAMLRequest=%", "SAMLRequest=%ff&SigAlg=%ff&Signature=%ff", "SAMLRequest&SigAlg&Signature", "=&&=", "SAMLEncoding=x"] {
        let answer = browser.get(&house, AUTH, &format!("/.vestibule/saml/logout?{query}")).await;
        assert!(matches!(answer.status, 400 | 403), "{query}: {answer:?}");
    }
    assert_eq!(told(&house), [""; 0]);
    assert_eq!(post(&house, &mut browser, &way.form(&good)).await.status, 200);
}
