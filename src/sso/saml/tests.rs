//! Documents that attackers send, and those that providers do, through the whole way of a response: guard, signature, checks.

use super::assertion::{Expected, Judged};
use super::key::SpKey;
use super::names::parse_time;
use super::{Refused, read};
use crate::config::SamlSubject;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

#[expect(dead_code, reason = "shared with the tests of the gateway, which need more of it")]
#[path = "../../../tests/gateway/fake_saml.rs"]
pub(super) mod fake_saml;

use fake_saml::{Draft, ENVELOPED, EXC, IDP, attribute};

const NOW: &str = "2026-11-22T04:30:00Z";
const UNTIL: &str = "2026-11-22T04:35:00Z";
const ACS: &str = "https://auth.test/.vestibule/saml/acs";
const US: &str = "https://auth.test/.vestibule/saml/metadata";
const REQUEST: &str = "_request";

fn draft() -> Draft {
    Draft::new(REQUEST, ACS, US, NOW, UNTIL)
}

fn certificate(name: &str) -> Vec<u8> {
    CertificateDer::from_pem_file(format!("{}/certs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap().to_vec()
}

fn sp_key() -> SpKey {
    let file = |name: &str| std::fs::read(format!("{}/certs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    SpKey::read(&file("saml-sp.pem"), &file("saml-sp.key")).unwrap()
}

fn judged_at(document: &str, now: &str, max_age_s: Option<i64>, subject: &SamlSubject) -> Result<Judged, Refused> {
    let (now, begun_at) = (parse_time(now).unwrap(), parse_time("2026-11-22T04:29:30Z").unwrap());
    let expected = Expected { issuer: IDP, audience: US, acs: ACS, request_id: REQUEST, max_age_s, begun_at, now, subject };
    let certificates = [certificate("saml-idp-next.pem"), certificate("saml-idp.pem")];
    read(document.as_bytes(), 256 * 1024, &certificates, Some(&sp_key()), &expected)
}

fn judged(document: &str) -> Result<Judged, Refused> {
    judged_at(document, NOW, None, &SamlSubject::Persistent)
}

fn refused(document: &str, expected: &str, what: &str) {
    match judged(document) {
        Err(refused) => assert_eq!(refused.check, expected, "{what}: {refused}"),
        Ok(judged) => panic!("{what} was accepted as {}", judged.subject),
    }
}

#[test]
fn what_providers_send_is_accepted_signed_either_way_and_by_either_key() {
    let check = |change: &dyn Fn(&mut Draft)| {
        let mut draft = draft();
        change(&mut draft);
        let judged = judged(&draft.response()).unwrap();
        assert_eq!((judged.subject.as_str(), judged.session_index.as_deref(), judged.id.as_str()), ("ada-7", Some("_s1"), "_a1"));
        assert_eq!(judged.attributes["mail"], "ada@example.com");
        assert_eq!(judged.attributes["groups"], serde_json::json!(["staff", "r&d <x>"]));
        assert_eq!(judged.auth_time, parse_time(NOW).unwrap());
        assert_eq!(judged.until, parse_time("2026-11-22T04:38:00Z").unwrap());
    };
    check(&|_| {});
    check(&|draft| (draft.sign_response, draft.sign_assertion) = (true, false));
    check(&|draft| (draft.sign_response, draft.sign_assertion) = (true, true));
    check(&|draft| draft.key = "saml-idp-next.key");
    check(&|draft| draft.algorithm = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512");
    check(&|draft| draft.digest = "http://www.w3.org/2001/04/xmlenc#sha512");
    check(&|draft| draft.response_attributes = format!("InResponseTo=\"{REQUEST}\""));
    // A certificate in the message is read by nobody, and harms nobody.
    check(&|draft| {
        draft.key_info = format!("<ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data>", fake_saml::certificate("saml-sp.pem"))
    });
}

#[test]
fn s1_s2_s4_what_is_not_signed_by_a_key_of_the_metadata_is_refused() {
    let check = |what: &str, expected: &str, change: &dyn Fn(&mut Draft)| {
        let mut draft = draft();
        change(&mut draft);
        refused(&draft.response(), expected, what);
    };
    check("unsigned", "signature", &|draft| draft.sign_assertion = false);
    let of_stranger = |info: String| {
        move |draft: &mut Draft| {
            draft.key = "saml-sp.key";
            draft.key_info.clone_from(&info);
        }
    };
    check("a foreign key", "signature", &of_stranger(String::new()));
    let certificate = fake_saml::certificate("saml-sp.pem");
    check(
        "a foreign key with its certificate",
        "signature",
        &of_stranger(format!("<ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data>")),
    );
    let theirs = fake_saml::certificate("saml-idp.pem");
    check(
        "a foreign key beside the right certificate",
        "signature",
        &of_stranger(format!("<ds:X509Data><ds:X509Certificate>{theirs}</ds:X509Certificate></ds:X509Data>")),
    );
    check("SHA-1", "signature algorithm", &|draft| draft.algorithm = "http://www.w3.org/2000/09/xmldsig#rsa-sha1");
    check("SHA-1 digest", "digest algorithm", &|draft| draft.digest = "http://www.w3.org/2000/09/xmldsig#sha1");

    let good = draft().response();
    let edit = |what: &str, expected: &str, from: &str, to: &str| {
        assert!(good.contains(from), "{what}: {from}");
        refused(&good.replace(from, to), expected, what);
    };
    let value = between(&good, "<ds:SignatureValue>", "</ds:SignatureValue>");
    edit("an empty value", "structure", value, "");
    edit("a shortened value", "signature", value, &value[..40]);
    edit("HMAC", "signature algorithm", fake_saml::RSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256");
    edit("RSA-MD5", "signature algorithm", fake_saml::RSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#rsa-md5");
    edit("no algorithm", "signature algorithm", fake_saml::RSA_SHA256, "");
    edit("HMACOutputLength", "structure", "<ds:Reference ", "<ds:HMACOutputLength>1</ds:HMACOutputLength><ds:Reference ");
    edit("a changed name", "signature", "ada-7", "admin");
    edit("a changed attribute", "signature", "ada@example.com", "root@example.com");
    edit("a changed audience", "signature", &format!("<saml:Audience>{US}"), "<saml:Audience>https://other.test");
}

fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    text.split_once(from).unwrap().1.split_once(to).unwrap().0
}

#[test]
fn s5_s6_nothing_but_the_signed_assertion_is_ever_read() {
    for both in [false, true] {
        for own_id in [false, true] {
            let mut draft = draft();
            draft.sign_response = both;
            let good = draft.response();
            let assertion = format!("<saml:Assertion {}</saml:Assertion>", between(&good, "<saml:Assertion ", "</saml:Assertion>"));
            let signature = format!("<ds:Signature {}</ds:Signature>", between(&assertion, "<ds:Signature ", "</ds:Signature>"));
            let bare = assertion.replace(&signature, "");
            let evil_id = if own_id { "_evil" } else { "_a1" };
            let evil = bare.replace("ada-7", "admin").replace("_a1", evil_id);
            let evil_signed = evil.replacen("</saml:Issuer>", &format!("</saml:Issuer>{signature}"), 1);
            let into_signature = |what: &str| signature.replace("</ds:Signature>", &format!("{what}</ds:Signature>"));
            let with = |to: &str| good.replace(&assertion, to);
            let whole = good.clone();
            let cases = [
                (
                    "XSW1",
                    good.replacen("<ds:Signature ", &format!("{whole}<ds:Signature "), 1).replacen("_r1", "_evil", 1).replacen("ada-7", "admin", 1),
                ),
                ("XSW2", with(&evil).replacen("<samlp:Status>", &format!("{whole}<samlp:Status>"), 1)),
                ("XSW3", with(&format!("{evil}{assertion}"))),
                ("XSW3, after", with(&format!("{assertion}{evil}"))),
                ("XSW4", with(&evil.replace("</saml:Assertion>", &format!("{assertion}</saml:Assertion>")))),
                ("XSW5", with(&format!("{evil_signed}{bare}"))),
                ("XSW6", with(&evil.replacen("</saml:Issuer>", &format!("</saml:Issuer>{}", into_signature(&bare)), 1))),
                ("XSW7", with(&format!("<samlp:Extensions>{evil}</samlp:Extensions>{assertion}"))),
                (
                    "XSW8",
                    with(&evil.replacen(
                        "</saml:Issuer>",
                        &format!("</saml:Issuer>{}", into_signature(&format!("<ds:Object>{bare}</ds:Object>"))),
                        1,
                    )),
                ),
                ("Advice", with(&assertion.replace("<saml:AuthnStatement", &format!("<saml:Advice>{evil}</saml:Advice><saml:AuthnStatement")))),
                ("StatusDetail", good.replace("</samlp:Status>", &format!("<samlp:StatusDetail>{evil}</samlp:StatusDetail></samlp:Status>"))),
                ("AttributeValue", with(&assertion.replace("ada@example.com", &evil))),
                ("evil with the signature", with(&evil_signed)),
                ("only evil", with(&evil)),
            ];
            for (what, document) in cases {
                let what = format!("{what}, both {both}, own id {own_id}");
                assert_ne!(document, good, "{what}");
                match judged(&document) {
                    Err(refused) => {
                        assert!(matches!(refused.check, "structure" | "assertions" | "reference" | "ID" | "signature"), "{what}: {refused}")
                    }
                    Ok(judged) => panic!("{what} was accepted as {}", judged.subject),
                }
            }
            let soap = format!("<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{good}</s:Body></s:Envelope>");
            refused(&soap, "root", "SOAP (ECP, PAOS)");
            refused(&assertion, "root", "a bare assertion");
        }
    }
}

#[test]
fn s7_s8_s9_a_signature_is_over_its_parent_and_nothing_is_fetched_or_run() {
    let good = draft().response();
    let edit = |what: &str, expected: &str, from: &str, to: &str| {
        assert!(good.contains(from), "{what}: {from}");
        refused(&good.replacen(from, to, 1), expected, what);
    };
    let uri = "URI=\"#_a1\"";
    edit("no reference", "reference", uri, "");
    edit("an empty reference", "reference", uri, "URI=\"\"");
    edit("the response", "reference", uri, "URI=\"#_r1\"");
    edit("an address", "reference", uri, "URI=\"http://127.0.0.1:1/x\"");
    edit("a file", "reference", uri, "URI=\"file:///dev/zero\"");
    edit("an xpointer", "reference", uri, "URI=\"#xpointer(id('_a1'))\"");
    edit("another type", "reference", uri, "URI=\"#_a1\" Type=\"http://www.w3.org/2000/09/xmldsig#Manifest\"");
    let reference = format!("<ds:Reference {}</ds:Reference>", between(&good, "<ds:Reference ", "</ds:Reference>"));
    edit("two references", "structure", &reference, &format!("{reference}{reference}"));
    edit("no reference at all", "structure", &reference, "");
    let info = format!("<ds:SignedInfo>{}</ds:SignedInfo>", between(&good, "<ds:SignedInfo>", "</ds:SignedInfo>"));
    edit("two SignedInfo", "structure", &info, &format!("{info}{info}"));
    edit("a second signature", "structure", "<ds:SignedInfo>", "<ds:Signature/><ds:SignedInfo>");
    edit("an object", "structure", "</ds:Signature>", "<ds:Object/></ds:Signature>");
    edit("a manifest", "structure", "</ds:Signature>", "<ds:Object><ds:Manifest/></ds:Object></ds:Signature>");
    edit(
        "a retrieval method",
        "structure",
        "</ds:Signature>",
        "<ds:KeyInfo><ds:RetrievalMethod URI=\"http://127.0.0.1:1/\"/></ds:KeyInfo></ds:Signature>",
    );
    edit("a comment in the digest", "comment", "</ds:DigestValue>", "<!-- x --></ds:DigestValue>");
    edit("text in the digest", "structure", "</ds:DigestValue>", "#</ds:DigestValue>");
    let exclusive = format!("<ds:Transform Algorithm=\"{EXC}\"/>");
    for (what, transform) in [
        ("XSLT", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
        ("XPath", "http://www.w3.org/TR/1999/REC-xpath-19991116"),
        ("base64", "http://www.w3.org/2000/09/xmldsig#base64"),
        ("inclusive", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
        ("with comments", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"),
    ] {
        edit(what, "transforms", &exclusive, &format!("<ds:Transform Algorithm=\"{transform}\"/>"));
    }
    edit("no transform", "transforms", &exclusive, "");
    edit("5,000 transforms", "document size", &exclusive, &exclusive.repeat(5000));
    edit(
        "a stylesheet",
        "structure",
        &exclusive,
        &format!("<ds:Transform Algorithm=\"{EXC}\"><x:stylesheet xmlns:x=\"http://www.w3.org/1999/XSL/Transform\"/></ds:Transform>"),
    );
    edit(
        "inclusive canonicalisation",
        "canonicalisation",
        &format!("<ds:CanonicalizationMethod Algorithm=\"{EXC}\"/>"),
        "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/TR/2001/REC-xml-c14n-20010315\"/>",
    );
    let enveloped = format!("<ds:Transform Algorithm=\"{ENVELOPED}\"/>");
    edit("the other order", "transforms", &format!("{enveloped}{exclusive}"), &format!("{exclusive}{enveloped}"));
}

#[test]
fn s6_s11_ids_and_names_leave_one_reading() {
    let good = draft().response();
    let edit = |what: &str, expected: &str, from: &str, to: &str| {
        assert!(good.contains(from), "{what}: {from}");
        refused(&good.replacen(from, to, 1), expected, what);
    };
    edit("the same id", "ID", "ID=\"_r1\"", "ID=\"_a1\"");
    edit("xml:id", "ID", "<saml:Subject>", "<saml:Subject xml:id=\"_x\">");
    edit("Id beside ID", "ID", "ID=\"_r1\"", "ID=\"_r1\" Id=\"_x\"");
    edit("id on a subject", "ID", "<saml:Subject>", "<saml:Subject id=\"_a1\">");
    edit("an id that is no name", "ID", "ID=\"_r1\"", "ID=\"element(/1)\"");
    edit("another namespace", "root", "urn:oasis:names:tc:SAML:2.0:protocol\" ID", "urn:oasis:names:tc:SAML:1.1:protocol\" ID");
    edit("a DOCTYPE", "document type", "<samlp:Response", "<!DOCTYPE r [<!ATTLIST r ID ID #IMPLIED>]><samlp:Response");
    edit("an external DTD", "document type", "<samlp:Response", "<!DOCTYPE r SYSTEM \"http://127.0.0.1:1/x.dtd\"><samlp:Response");
    edit("an entity", "document type", "<samlp:Response", "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><samlp:Response");
    edit("a CDATA section", "CDATA", "ada-7", "<![CDATA[ada-7]]>");
    edit("a processing instruction", "processing instruction", "ada-7", "ada<?x?>-7");
    edit("an element in a name", "structure", "ada-7", "ada<saml:NameID/>-7");
    edit("a second name", "structure", "<saml:SubjectConfirmation ", "<saml:NameID>admin</saml:NameID><saml:SubjectConfirmation ");
    edit("an encrypted name", "structure", "<saml:SubjectConfirmation ", "<saml:EncryptedID/><saml:SubjectConfirmation ");
    edit("an encrypted attribute", "structure", "<saml:Attribute ", "<saml:EncryptedAttribute/><saml:Attribute ");
    edit("an unknown condition", "structure", "<saml:AudienceRestriction>", "<saml:Condition/><saml:AudienceRestriction>");
    edit("extensions", "structure", "<samlp:Status>", "<samlp:Extensions/><samlp:Status>");
    edit("an empty signature", "structure", "<samlp:Status>", "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/><samlp:Status>");
    edit("a relative namespace", "namespace", "<saml:Subject>", "<saml:Subject xmlns:x=\"x\">");
    edit("two conditions", "structure", "<saml:Conditions", "<saml:Conditions/><saml:Conditions");
    edit("text between", "structure", "<saml:Subject>", "x<saml:Subject>");
}

#[test]
fn s12_a_comment_in_a_name_never_shortens_it() {
    let mut draft = draft();
    draft.subject = draft.subject.replace("ada-7", "admin.evil-7");
    let document = draft.response().replace("admin.evil-7", "admin<!-- -->.evil-7");
    assert_eq!(judged(&document).unwrap().subject, "admin.evil-7");
}

#[test]
fn s25_s26_bombs_and_scraps_end_soon() {
    let good = draft().response();
    refused(&"<a>".repeat(100_000), "document size", "100,000 levels");
    refused(&format!("<a {}/>", (0..100_000).map(|n| format!("a{n}='' ")).collect::<String>()), "document size", "100,000 attributes");
    refused(&format!("<a {}/>", (0..9000).map(|n| format!("xmlns:a{n}='urn:a:b' ")).collect::<String>()), "well-formed", "9,000 namespaces");
    refused(&format!("<a>{}</a>", "<b/>".repeat(30_000)), "document size", "30,000 elements");
    refused(&" ".repeat(8_000_000), "document size", "8 MB");
    refused(&good.replace("ada-7", &"a".repeat(300_000)), "document size", "a huge name");
    refused("", "well-formed", "nothing");
    refused(&good[..good.len() - 20], "well-formed", "its beginning");
    refused(&format!("{good}{good}"), "well-formed", "two of it");
    refused(&good.replace("ada-7", "ada\u{0}-7"), "characters", "NUL");
}

#[test]
fn s13_to_s23_what_is_signed_must_still_be_for_us_for_now_and_for_this_request() {
    let check = |what: &str, expected: &str, change: &dyn Fn(&mut Draft)| {
        for sign_response in [false, true] {
            let mut draft = draft();
            change(&mut draft);
            draft.sign_response = sign_response;
            refused(&draft.response(), expected, what);
        }
    };
    let late = "2026-11-22T04:26:00Z";
    let far = "2026-11-22T05:30:00Z";
    check("Destination of another", "Destination", &|draft| {
        draft.response_attributes = draft.response_attributes.replace(ACS, "https://other.test/acs")
    });
    check("Destination empty", "Destination", &|draft| draft.response_attributes = draft.response_attributes.replace(ACS, ""));
    check("Destination a prefix", "Destination", &|draft| draft.response_attributes = draft.response_attributes.replace("/acs", ""));
    check("InResponseTo of another", "InResponseTo", &|draft| draft.response_attributes = draft.response_attributes.replace(REQUEST, "_other"));
    check("unsolicited", "InResponseTo", &|draft| draft.response_attributes = format!("Destination=\"{ACS}\""));
    check("InResponseTo of another, inside", "InResponseTo", &|draft| draft.subject = draft.subject.replace(REQUEST, "_other"));
    check("unsolicited, inside", "InResponseTo", &|draft| draft.subject = draft.subject.replace(&format!("InResponseTo=\"{REQUEST}\""), ""));
    check("another issuer", "Issuer", &|draft| draft.issuer = "https://evil.test".to_owned());
    check("no issuer", "Issuer", &|draft| draft.issuer = String::new());
    check("issued before it was asked for", "IssueInstant", &|draft| draft.now = "2026-11-22T04:20:00Z".to_owned());
    check("issued tomorrow", "IssueInstant", &|draft| draft.now = "2026-11-23T04:30:00Z".to_owned());
    check("issued at no time", "IssueInstant", &|draft| draft.now = "yesterday".to_owned());
    check("a refusal", "status", &|draft| draft.status = draft.status.replace("Success", "Responder"));
    check("no conditions", "Conditions", &|draft| draft.conditions = String::new());
    check("no audience", "audience", &|draft| draft.conditions = format!("<saml:Conditions NotOnOrAfter=\"{UNTIL}\"/>"));
    check("an empty restriction", "audience", &|draft| {
        draft.conditions = "<saml:Conditions><saml:AudienceRestriction/></saml:Conditions>".to_owned()
    });
    check("another audience", "audience", &|draft| draft.conditions = draft.conditions.replace(US, "https://other.test"));
    check("a prefix of us", "audience", &|draft| draft.conditions = draft.conditions.replace(US, "https://auth.test/"));
    check("a second restriction", "audience", &|draft| {
        let other =
            "</saml:AudienceRestriction><saml:AudienceRestriction><saml:Audience>https://other.test</saml:Audience></saml:AudienceRestriction>";
        draft.conditions = draft.conditions.replace("</saml:AudienceRestriction>", other);
    });
    check("expired", "Conditions", &|draft| draft.conditions = draft.conditions.replace(UNTIL, late));
    check("not valid yet", "Conditions", &|draft| draft.conditions = draft.conditions.replace(NOW, far));
    check("valid at no time", "Conditions", &|draft| draft.conditions = draft.conditions.replace(UNTIL, "soon"));
    check("no subject", "subject", &|draft| draft.subject = String::new());
    check("no confirmation", "SubjectConfirmation", &|draft| draft.subject = "<saml:Subject><saml:NameID>x</saml:NameID></saml:Subject>".to_owned());
    check("holder of key", "SubjectConfirmation", &|draft| draft.subject = draft.subject.replace(":bearer", ":holder-of-key"));
    check("sender vouches", "SubjectConfirmation", &|draft| draft.subject = draft.subject.replace(":bearer", ":sender-vouches"));
    check("confirmation that does not end", "SubjectConfirmation", &|draft| {
        draft.subject = draft.subject.replace(&format!("NotOnOrAfter=\"{UNTIL}\""), "")
    });
    check("confirmation that has ended", "SubjectConfirmation", &|draft| draft.subject = draft.subject.replace(UNTIL, late));
    check("confirmation with NotBefore", "SubjectConfirmation", &|draft| {
        draft.subject = draft.subject.replace("NotOnOrAfter", &format!("NotBefore=\"{NOW}\" NotOnOrAfter"))
    });
    check("Recipient of another", "Recipient", &|draft| draft.subject = draft.subject.replace(ACS, "https://other.test/acs"));
    check("no Recipient", "Recipient", &|draft| draft.subject = draft.subject.replace(&format!("Recipient=\"{ACS}\""), ""));
    check("no statement", "AuthnStatement", &|draft| draft.authn = String::new());
    check("signed in tomorrow", "AuthnInstant", &|draft| draft.authn = draft.authn.replace(NOW, "2026-11-23T04:30:00Z"));
    check("a session that is over", "SessionNotOnOrAfter", &|draft| {
        draft.authn = draft.authn.replace("SessionIndex", &format!("SessionNotOnOrAfter=\"{late}\" SessionIndex"))
    });
    check("a transient name", "subject", &|draft| draft.subject = draft.subject.replace(":persistent", ":transient"));
    check("an address as name", "subject", &|draft| {
        draft.subject = draft.subject.replace("2.0:nameid-format:persistent", "1.1:nameid-format:emailAddress")
    });
    check("a name of another provider", "subject", &|draft| {
        draft.subject = draft.subject.replace("<saml:NameID ", "<saml:NameID NameQualifier=\"https://evil.test\" ")
    });
    check("an empty name", "subject", &|draft| draft.subject = draft.subject.replace("ada-7", " "));
    check("a name of two lines", "subject", &|draft| draft.subject = draft.subject.replace("ada-7", "ada&#13;&#10;7"));
    check("a name of 1,000 characters", "subject", &|draft| draft.subject = draft.subject.replace("ada-7", &"a".repeat(1000)));
    let mut old = draft();
    old.sign_response = true;
    old.response_attributes = format!("InResponseTo=\"{REQUEST}\"");
    refused(&old.response(), "Destination", "signed, and to nobody (Bindings 3.5.5.2)");
    refused(&draft().response().replacen("Version=\"2.0\"", "Version=\"1.1\"", 1), "Version", "1.1");
}

#[test]
fn s17_s23_clocks_may_differ_a_little_and_sessions_end() {
    let good = draft().response();
    let at = |now: &str| judged_at(&good, now, None, &SamlSubject::Persistent).map(|_| ()).map_err(|refused| refused.check);
    assert_eq!(at("2026-11-22T04:37:59Z"), Ok(()));
    assert_eq!(at("2026-11-22T04:38:00Z"), Err("Conditions"));
    assert_eq!(at("2026-11-22T04:27:01Z"), Ok(()));
    assert_eq!(at("2026-11-22T04:26:59Z"), Err("IssueInstant"));
    let mut lasting = draft();
    lasting.authn = lasting.authn.replace("SessionIndex", "SessionNotOnOrAfter=\"2026-11-22T08:00:00Z\" SessionIndex");
    assert_eq!(judged(&lasting.response()).unwrap().session_until, parse_time("2026-11-22T08:00:00Z"));
}

#[test]
fn row_30_who_was_asked_to_prove_themselves_anew_has_done_so() {
    let check = |instant: &str, max_age_s: Option<i64>, expected: Result<&str, &'static str>| {
        let mut draft = draft();
        draft.authn = draft.authn.replace(NOW, instant);
        let found =
            judged_at(&draft.response(), NOW, max_age_s, &SamlSubject::Persistent).map(|judged| judged.auth_time).map_err(|refused| refused.check);
        assert_eq!(found, expected.map(|time| parse_time(time).unwrap()), "{instant} {max_age_s:?}");
    };
    check("2026-11-22T01:00:00Z", None, Ok("2026-11-22T01:00:00Z"));
    check("2026-11-22T01:00:00Z", Some(0), Err("AuthnInstant"));
    check("2026-11-22T01:00:00Z", Some(3600), Err("AuthnInstant"));
    check("2026-11-22T04:00:00Z", Some(3600), Ok("2026-11-22T04:00:00Z"));
    check("2026-11-22T04:29:31Z", Some(0), Ok("2026-11-22T04:29:31Z"));
    // Its clock is ten seconds late: taken for the moment at which the sign-in began, so that nobody goes in circles.
    check("2026-11-22T04:29:20Z", Some(0), Ok("2026-11-22T04:29:30Z"));
}

#[test]
fn what_names_a_person_is_what_was_configured() {
    let check = |draft: &Draft, subject: &SamlSubject, expected: Result<&str, &'static str>| {
        let found = judged_at(&draft.response(), NOW, None, subject).map(|judged| judged.subject).map_err(|refused| refused.check);
        assert_eq!(found, expected.map(str::to_owned), "{subject:?}");
    };
    let by = |name: &str| SamlSubject::Attribute(name.to_owned());
    let mut odd = draft();
    odd.attributes = attribute("oid", &["7f3"]) + &attribute("two", &["a", "b"]) + &attribute("sub", &["admin"]) + &attribute("none", &[]);
    check(&odd, &SamlSubject::Persistent, Ok("ada-7"));
    check(&odd, &by("oid"), Ok("7f3"));
    check(&odd, &by("two"), Err("subject"));
    check(&odd, &by("none"), Err("subject"));
    check(&odd, &by("absent"), Err("subject"));
    // Names of the protocol are no attributes.
    check(&odd, &by("sub"), Err("subject"));
    odd.subject = odd.subject.replace("2.0:nameid-format:persistent", "1.1:nameid-format:emailAddress");
    check(&odd, &SamlSubject::NameId, Ok("ada-7"));
    odd.subject = odd.subject.replace("1.1:nameid-format:emailAddress", "2.0:nameid-format:transient");
    check(&odd, &SamlSubject::NameId, Err("subject"));
    check(&odd, &by("oid"), Ok("7f3"));
}
