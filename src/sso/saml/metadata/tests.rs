use super::{Metadata, MetadataError, Rules, fingerprint};
use crate::clock::Timestamp;
use crate::sso::saml::tests::fake_saml::{self, Draft, IDP, metadata, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const NOW: Timestamp = Timestamp::from_seconds(1_795_321_800);

fn rules<'a>(pins: &'a [[u8; 32]]) -> Rules<'a> {
    Rules { entity_id: None, pins, must_be_signed: false, now: NOW }
}

fn pin(name: &str) -> [u8; 32] {
    let der = STANDARD.decode(fake_saml::certificate(name)).unwrap();
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der).as_ref().try_into().unwrap()
}

#[test]
fn s31_metadata_that_nobody_could_be_verified_by_is_none() {
    let good = metadata("https://idp.test", &["saml-idp.pem"]);
    let check = |what: &str, text: &str, expected: &dyn Fn(&MetadataError) -> bool| {
        let error = Metadata::parse(text.as_bytes(), &rules(&[])).unwrap_err();
        assert!(expected(&error), "{what}: {error}");
    };
    check("no certificate", &metadata("https://idp.test", &[]), &|error| *error == MetadataError::NoCertificate);
    check("for encryption only", &good.replace("\"signing\"", "\"encryption\""), &|error| *error == MetadataError::NoCertificate);
    check("no certificate in it", &good.replace("MII", "***"), &|error| *error == MetadataError::NoCertificate);
    check("ended", &good.replace("entityID", "validUntil=\"2020-01-01T00:00:00Z\" entityID"), &|error| *error == MetadataError::Expired);
    check("ends at no time", &good.replace("entityID", "validUntil=\"later\" entityID"), &|error| matches!(error, MetadataError::NotMetadata(_)));
    check("not of SAML 2.0", &good.replace("SAML:2.0:protocol", "SAML:1.1:protocol"), &|error| matches!(error, MetadataError::NoProvider(_)));
    check("a service provider", &good.replace("IDPSSO", "SPSSO"), &|error| matches!(error, MetadataError::NoProvider(_)));
    check("a script as address", &good.replace("https://idp.test/sso", "javascript:alert(1)"), &|error| *error == MetadataError::NoAddress);
    check("plain http as address", &good.replace("https://idp.test/sso", "http://idp.test/sso"), &|error| *error == MetadataError::NoAddress);
    check("no address", &good.replace("SingleSignOnService", "ArtifactResolutionService"), &|error| *error == MetadataError::NoAddress);
    check("a page", "<html></html>", &|error| matches!(error, MetadataError::NotMetadata(_)));
    check("JSON", "{}", &|error| matches!(error, MetadataError::NotMetadata(_)));
    check("a DOCTYPE", &good.replace("<md:Ent", "<!DOCTYPE x><md:Ent"), &|error| matches!(error, MetadataError::NotMetadata(_)));
    let entity = good.split_once("?>\n").unwrap().1;
    let two = format!(
        "<md:EntitiesDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\">{entity}{}</md:EntitiesDescriptor>",
        entity.replace(IDP, "urn:other")
    );
    check("two", &two, &|error| matches!(error, MetadataError::NoProvider(_)));
    let one = Metadata::parse(two.as_bytes(), &Rules { entity_id: Some("urn:other"), ..rules(&[]) }).unwrap();
    assert_eq!(one.entity_id, "urn:other");
}

#[test]
fn s31_a_pin_leaves_one_key_and_a_change_of_keys_needs_two() {
    let both = metadata("https://idp.test", &["saml-idp.pem", "saml-idp-next.pem"]);
    let keys = |pins: &[[u8; 32]]| Metadata::parse(both.as_bytes(), &rules(pins)).map(|metadata| metadata.certificates.len());
    assert_eq!(keys(&[]), Ok(2));
    assert_eq!(keys(&[pin("saml-idp.pem")]), Ok(1));
    assert_eq!(keys(&[pin("saml-idp.pem"), pin("saml-idp-next.pem")]), Ok(2));
    let Err(MetadataError::Pin(found)) = keys(&[pin("saml-sp.pem")]) else { panic!("a pin that nothing matches") };
    let der = STANDARD.decode(fake_saml::certificate("saml-idp.pem")).unwrap();
    assert!(found.contains(&fingerprint(&der)), "{found}");
}

#[test]
fn s31_what_comes_by_plain_http_is_signed_as_a_whole_by_a_pinned_key() {
    let pins = [pin("saml-idp.pem")];
    let strict = Rules { must_be_signed: true, ..rules(&pins) };
    let check = |text: &str, expected: Result<(), MetadataError>| {
        assert_eq!(Metadata::parse(text.as_bytes(), &strict).map(|_| ()), expected);
    };
    let plain = metadata("https://idp.test", &["saml-idp.pem"]);
    check(&plain, Err(MetadataError::Unsigned));
    let draft = Draft::new("", "", "", "", "");
    let template = draft.around("");
    assert!(!template.contains("Signature"));
    let with = |id: &str| {
        let mut draft = Draft::new("", "", "", "", "");
        draft.sign_response = true;
        let response = draft.around("");
        let signature =
            format!("<ds:Signature {}</ds:Signature>", response.split_once("<ds:Signature ").unwrap().1.split_once("</ds:Signature>").unwrap().0);
        let digest = signature.split_once("<ds:DigestValue>").unwrap().1.split_once("</ds:DigestValue>").unwrap().0.to_owned();
        let value = signature.split_once("<ds:SignatureValue>").unwrap().1.split_once("</ds:SignatureValue>").unwrap().0.to_owned();
        signature.replace(&digest, "").replace(&value, "").replace("#_r1", &format!("#{id}"))
    };
    let unsigned = plain.replace("entityID", "ID=\"_m\" entityID").replacen("<md:IDPSSO", &format!("{}<md:IDPSSO", with("_m")), 1);
    let signed = sign(&unsigned, "saml-idp.key");
    check(&signed, Ok(()));
    check(&signed.replace("https://idp.test/sso", "https://evil.test/sso"), Err(MetadataError::Unsigned));
    check(&sign(&unsigned, "saml-sp.key"), Err(MetadataError::Unsigned));
    // Wrapped: the signed one inside of another.
    let inner = signed.clone();
    let outer = signed.replace("_m\"", "_n\"").replace("</md:EntityDescriptor>", &format!("{inner}</md:EntityDescriptor>"));
    check(&outer, Err(MetadataError::Unsigned));
}
