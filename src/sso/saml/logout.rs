//! Single logout by Redirect (Profiles 4.4): what a provider says, and what we answer.
//!
//! A logout request is believed only with a signature over the query as it came (Bindings 3.4.4.1), for what is written again may differ from what was signed. It comes with
//! the browser whose session it ends; that browser's sign-on is ended, when it is the one that the request names, and no other.

use super::assertion::{NameId, SKEW_MS};
use super::metadata::{Metadata, fingerprint};
use super::names::{ASSERTION, PROTOCOL, parse_time};
use super::request::SamlSp;
use super::xml::{Limits, parse};
use super::{Refused, guard};
use crate::clock::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::DeflateDecoder;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use std::io::Read as _;

/// A logout request has a name and a few session indices in it.
const BYTES_MAX: usize = 32 * 1024;

/// A logout request that holds.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) name: String,
    /// `SessionIndex`; empty: all of that name.
    pub(super) sessions: Vec<String>,
    pub(super) relay_state: Option<String>,
    /// How long it could be shown again.
    pub(super) until: Timestamp,
}

impl Asked {
    /// Whether a sign-on with this name and session is meant.
    pub(super) fn means(&self, name: &NameId) -> bool {
        let of_session = name.session_index.as_ref().is_some_and(|session| self.sessions.contains(session));
        self.name == name.value && (self.sessions.is_empty() || of_session)
    }
}

/// Judges the query that a provider sent a browser with.
///
/// # Errors
/// [`Refused`]: the first check that does not hold.
pub(super) fn asked(query: &str, sp: &SamlSp, metadata: &Metadata, now: Timestamp) -> Result<Asked, Refused> {
    let raw = Raw::read(query)?;
    raw.verify(&metadata.certificates)?;
    let mut document = Vec::new();
    let deflated = STANDARD.decode(decoded(raw.message)?).map_err(|_not_base64| Refused::new("encoding", "not base64"))?;
    let most = u64::try_from(BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let read = DeflateDecoder::new(deflated.as_slice()).take(most).read_to_end(&mut document);
    read.map_err(|error| Refused::new("encoding", error.to_string()))?;
    let root = parse(&document, &Limits::message(BYTES_MAX))?;
    if !root.is(PROTOCOL, "LogoutRequest") || root.attribute("Version") != Some("2.0") {
        return Err(Refused::expected("root", "a samlp:LogoutRequest", root.name));
    }
    guard::identifiers(&root)?;
    let wrong = |check: &'static str, expected: &str| Refused::expected(check, expected, "another, or none");
    let sender = root.child(ASSERTION, "Issuer").map(super::xml::Element::text);
    if sender.as_deref().map(str::trim) != Some(metadata.entity_id.as_str()) {
        return Err(wrong("Issuer", &metadata.entity_id));
    }
    if root.attribute("Destination") != Some(sp.slo.as_str()) {
        return Err(wrong("Destination", &sp.slo));
    }
    let issued = root.attribute("IssueInstant").and_then(parse_time).ok_or_else(|| wrong("IssueInstant", "a time in UTC"))?;
    let until = issued.plus_ms(2 * SKEW_MS);
    if issued > now.plus_ms(SKEW_MS) || until < now {
        return Err(wrong("IssueInstant", "a time just now"));
    }
    if let Some(written) = root.attribute("NotOnOrAfter")
        && parse_time(written).is_none_or(|until| now.plus_ms(-SKEW_MS) >= until)
    {
        return Err(wrong("NotOnOrAfter", "a time to come"));
    }
    let mut names = root.all(ASSERTION, "NameID");
    let (Some(name), None) = (names.next(), names.next()) else { return Err(wrong("NameID", "exactly one")) };
    let id = root.attribute("ID").filter(|id| !id.is_empty()).ok_or_else(|| wrong("ID", "one"))?;
    Ok(Asked {
        id: id.to_owned(),
        name: name.text().trim().to_owned(),
        sessions: root.all(PROTOCOL, "SessionIndex").map(|index| index.text().trim().to_owned()).collect(),
        relay_state: raw.relay_state.map(decoded).transpose()?,
        until,
    })
}

/// A query, its values as they came.
struct Raw<'q> {
    message: &'q str,
    relay_state: Option<&'q str>,
    algorithm: &'q str,
    signature: &'q str,
}

impl<'q> Raw<'q> {
    fn read(query: &'q str) -> Result<Self, Refused> {
        let (mut message, mut relay_state, mut algorithm, mut signature) = (None, None, None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match decoded(name)?.as_str() {
                "SAMLRequest" => &mut message,
                "RelayState" => &mut relay_state,
                "SigAlg" => &mut algorithm,
                "Signature" => &mut signature,
                // Bindings 3.4.4.1: deflate is what it is when nothing is said.
                "SAMLEncoding" if decoded(value)? == "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE" => continue,
                "SAMLEncoding" => return Err(Refused::new("encoding", "an unknown SAMLEncoding")),
                _ => continue,
            };
            // attacks.md S30: which of two was signed cannot be told; nor may a name be spelt in another way than it was signed in.
            if name.contains('%') || place.replace(value).is_some() {
                return Err(Refused::new("query", "a parameter twice, or oddly spelt"));
            }
        }
        let needed = |value: Option<&'q str>, name: &str| value.ok_or_else(|| Refused::new("signature", format!("no {name}")));
        Ok(Self {
            message: needed(message, "SAMLRequest")?,
            relay_state,
            algorithm: needed(algorithm, "SigAlg")?,
            signature: needed(signature, "Signature")?,
        })
    }

    fn verify(&self, certificates: &[Vec<u8>]) -> Result<(), Refused> {
        let algorithm = decoded(self.algorithm)?;
        let algorithm: &dyn SignatureVerificationAlgorithm = match algorithm.strip_prefix("http://www.w3.org/2001/04/xmldsig-more#") {
            Some("rsa-sha256") => webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
            Some("rsa-sha384") => webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA384,
            Some("rsa-sha512") => webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA512,
            _ => return Err(Refused::new("signature algorithm", "not RSA with SHA-256 and up")),
        };
        let relay_state = self.relay_state.map(|state| format!("&RelayState={state}")).unwrap_or_default();
        let signed = format!("SAMLRequest={}{relay_state}&SigAlg={}", self.message, self.algorithm);
        let signature = STANDARD.decode(decoded(self.signature)?).map_err(|_not_base64| Refused::new("signature", "not base64"))?;
        let holds = certificates.iter().any(|der| {
            let der = CertificateDer::from(der.as_slice());
            webpki::EndEntityCert::try_from(&der)
                .is_ok_and(|certificate| certificate.verify_signature(algorithm, signed.as_bytes(), &signature).is_ok())
        });
        if holds {
            Ok(())
        } else {
            Err(Refused::expected("signature", "one of a certificate in the provider's metadata", "another, or a changed query"))
        }
    }
}

fn decoded(value: &str) -> Result<String, Refused> {
    let spaced = value.replace('+', " ");
    let text = percent_encoding::percent_decode_str(&spaced).decode_utf8().map_err(|_no_utf8| Refused::new("encoding", "not UTF-8"))?;
    Ok(text.into_owned())
}

/// `ID` of a logout message of ours: nothing secret, and nobody else's.
pub(super) fn message_id(name: &str, now: Timestamp) -> String {
    let hash = fingerprint(format!("{}:{name}", now.millis()).as_bytes());
    format!("_{}", hash.trim_start_matches("sha256:"))
}

#[cfg(test)]
mod tests {
    use super::{Raw, asked, message_id};
    use crate::clock::Timestamp;
    use crate::sso::saml::assertion::NameId;
    use crate::sso::saml::key::SpKey;
    use crate::sso::saml::metadata::{Metadata, Rules};
    use crate::sso::saml::names::parse_time;
    use crate::sso::saml::request::{Parameter, SamlSp, redirect};
    use crate::sso::saml::tests::fake_saml::{IDP, metadata};
    use url::Url;

    fn key(name: &str) -> SpKey {
        let file = |ending: &str| std::fs::read(format!("{}/certs/{name}.{ending}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        SpKey::read(&file("pem"), &file("key")).unwrap()
    }

    fn now() -> Timestamp {
        parse_time("2026-11-22T04:30:00Z").unwrap()
    }

    fn us() -> SamlSp {
        SamlSp { entity_id: "https://auth.test/m".to_owned(), acs: "https://auth.test/acs".to_owned(), slo: "https://auth.test/slo".to_owned() }
    }

    fn name() -> NameId {
        let session_index = Some("_s1".to_owned());
        NameId { value: "ada-7".to_owned(), format: None, name_qualifier: None, sp_name_qualifier: None, session_index }
    }

    /// What the provider sends, signed by `by`.
    fn query(by: Option<&str>, change: impl FnOnce(String) -> String) -> String {
        let idp = SamlSp { entity_id: IDP.to_owned(), ..us() };
        let slo = Url::parse(&us().slo).unwrap();
        let xml = change(idp.logout_request(&message_id("ada-7", now()), &slo, now(), &name()));
        let key = by.map(key);
        redirect(&slo, Parameter::Request, &xml, Some("relay state"), key.as_ref()).unwrap().query().unwrap().to_owned()
    }

    fn judged(query: &str) -> Result<bool, &'static str> {
        let rules = Rules { entity_id: None, pins: &[], must_be_signed: false, now: now() };
        let metadata = Metadata::parse(metadata("https://idp.test", &["saml-idp.pem"]).as_bytes(), &rules).unwrap();
        let asked = asked(query, &us(), &metadata, now()).map_err(|refused| refused.check)?;
        assert_eq!(asked.relay_state.as_deref(), Some("relay state"));
        Ok(asked.means(&name()))
    }

    #[test]
    fn s29_s30_a_logout_request_holds_only_as_it_was_signed() {
        let good = query(Some("saml-idp"), |xml| xml);
        assert_eq!(judged(&good), Ok(true));
        let check = |what: &str, query: &str, expected: &'static str| assert_eq!(judged(query), Err(expected), "{what}");
        check("unsigned", &query(None, |xml| xml), "signature");
        check("by a stranger", &query(Some("saml-sp"), |xml| xml), "signature");
        check("another relay state", &good.replace("relay+state", "other"), "signature");
        check("written anew", &good.replace("relay+state", "relay%20state"), "signature");
        check("lower case", &good.replacen("%2F", "%2f", 1), "signature");
        check("SHA-1", &good.replace("xmldsig-more%23rsa-sha256", "xmldsig%23rsa-sha1"), "signature algorithm");
        check("twice", &format!("{good}&RelayState=x"), "query");
        check("twice, oddly spelt", &format!("{good}&R%65layState=x"), "query");
        check("another encoding", &format!("{good}&SAMLEncoding=x"), "encoding");
        check("nothing", "", "signature");
        check("no signature", good.split_once("&Signature=").unwrap().0, "signature");
        check("another issuer", &query(Some("saml-idp"), |xml| xml.replace(IDP, "https://evil.test")), "Issuer");
        check("for another", &query(Some("saml-idp"), |xml| xml.replace("https://auth.test/slo", "https://other.test/slo")), "Destination");
        check("old", &query(Some("saml-idp"), |xml| xml.replace("04:30:00", "04:20:00")), "IssueInstant");
        check("of tomorrow", &query(Some("saml-idp"), |xml| xml.replace("04:30:00", "05:30:00")), "IssueInstant");
        check("no name", &query(Some("saml-idp"), |xml| xml.replace("saml:NameID", "saml:Nobody")), "NameID");
        check("a response", &query(Some("saml-idp"), |xml| xml.replace("LogoutRequest", "LogoutResponse")), "root");
        check("a bomb", &query(Some("saml-idp"), |xml| xml.replace("ada-7", &"a".repeat(9_000_000))), "document size");
        assert_eq!(judged(&query(Some("saml-idp"), |xml| xml.replace("ada-7", "bob-8"))), Ok(false));
        assert_eq!(judged(&query(Some("saml-idp"), |xml| xml.replace("_s1", "_s2"))), Ok(false));
        assert!(Raw::read("SAMLRequest=x&SigAlg=y&Signature=z").is_ok());
    }
}
