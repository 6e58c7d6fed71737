//! What we send: `AuthnRequest`, logout messages, our own metadata. Pure.
//!
//! Lives here: the XML of each, and [`redirect`], which puts one into an address (Bindings 3.4.4.1: the signature is over the query exactly as it is sent).

use super::key::SpKey;
use super::names::{ASSERTION, DSIG, METADATA, PERSISTENT, POST, PROTOCOL, REDIRECT, SUCCESS, XENC, XENC11, write_time};
use super::xml::escape;
use crate::clock::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::fmt::Write as _;
use std::io::Write as _;
use url::Url;

/// Who we are to the provider.
#[derive(Debug, Clone)]
pub(super) struct SamlSp {
    pub(super) entity_id: String,
    /// Where responses come.
    pub(super) acs: String,
    /// Where logout messages come.
    pub(super) slo: String,
}

/// A sign-in that is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct AuthnRequest<'a> {
    pub(super) id: &'a str,
    pub(super) destination: &'a Url,
    pub(super) now: Timestamp,
    /// The person is to prove who they are, whatever came before.
    pub(super) force: bool,
    /// Whether a persistent name is what names the person.
    pub(super) persistent: bool,
}

impl SamlSp {
    /// Core 3.4.1.
    pub(super) fn authn_request(&self, asked: &AuthnRequest<'_>) -> String {
        let mut xml = head("AuthnRequest", asked.id, asked.destination, asked.now);
        let _infallible = write!(xml, " AssertionConsumerServiceURL=\"{}\" ProtocolBinding=\"{POST}\"", escaped(&self.acs));
        if asked.force {
            xml.push_str(" ForceAuthn=\"true\"");
        }
        let _infallible = write!(xml, "><saml:Issuer>{}</saml:Issuer>", escaped(&self.entity_id));
        if asked.persistent {
            let _infallible = write!(xml, "<samlp:NameIDPolicy Format=\"{PERSISTENT}\" AllowCreate=\"true\"/>");
        }
        xml.push_str("</samlp:AuthnRequest>");
        xml
    }

    /// Metadata 2.4.4: what a provider needs to know of us.
    pub(super) fn metadata(&self, key: Option<&SpKey>) -> String {
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<md:EntityDescriptor xmlns:md=\"{METADATA}\" entityID=\"{}\">\n  <md:SPSSODescriptor \
             protocolSupportEnumeration=\"{PROTOCOL}\" AuthnRequestsSigned=\"{}\" WantAssertionsSigned=\"true\">\n",
            escaped(&self.entity_id),
            key.is_some(),
        );
        for (usage, key) in ["signing", "encryption"].into_iter().zip(std::iter::repeat(key)) {
            let Some(key) = key else { continue };
            let certificate = STANDARD.encode(key.certificate());
            let _infallible = write!(
                xml,
                "    <md:KeyDescriptor use=\"{usage}\"><ds:KeyInfo xmlns:ds=\"{DSIG}\"><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate>\
                 </ds:X509Data></ds:KeyInfo>"
            );
            if usage == "encryption" {
                for method in [format!("{XENC11}aes256-gcm"), format!("{XENC11}aes128-gcm"), format!("{XENC}rsa-oaep-mgf1p")] {
                    let _infallible = write!(xml, "<md:EncryptionMethod Algorithm=\"{method}\"/>");
                }
            }
            xml.push_str("</md:KeyDescriptor>\n");
        }
        let (acs, slo) = (escaped(&self.acs), escaped(&self.slo));
        let _infallible = write!(
            xml,
            "    <md:SingleLogoutService Binding=\"{REDIRECT}\" Location=\"{slo}\"/>\n    <md:NameIDFormat>{PERSISTENT}</md:NameIDFormat>\n    \
             <md:AssertionConsumerService Binding=\"{POST}\" Location=\"{acs}\" index=\"0\" isDefault=\"true\"/>\n  </md:SPSSODescriptor>\n\
             </md:EntityDescriptor>\n"
        );
        xml
    }
}

impl SamlSp {
    /// Core 3.7.1.
    pub(super) fn logout_request(&self, id: &str, destination: &Url, now: Timestamp, name: &super::assertion::NameId) -> String {
        let mut xml = head("LogoutRequest", id, destination, now);
        let _infallible = write!(xml, "><saml:Issuer>{}</saml:Issuer><saml:NameID", escaped(&self.entity_id));
        let attributes = [("Format", &name.format), ("NameQualifier", &name.name_qualifier), ("SPNameQualifier", &name.sp_name_qualifier)];
        for (attribute, value) in attributes {
            if let Some(value) = value {
                let _infallible = write!(xml, " {attribute}=\"{}\"", escaped(value));
            }
        }
        let _infallible = write!(xml, ">{}</saml:NameID>", escaped(&name.value));
        if let Some(session) = &name.session_index {
            let _infallible = write!(xml, "<samlp:SessionIndex>{}</samlp:SessionIndex>", escaped(session));
        }
        xml.push_str("</samlp:LogoutRequest>");
        xml
    }

    /// Core 3.7.2.
    pub(super) fn logout_response(&self, id: &str, destination: &Url, now: Timestamp, in_response_to: &str) -> String {
        let mut xml = head("LogoutResponse", id, destination, now);
        let _infallible = write!(
            xml,
            " InResponseTo=\"{}\"><saml:Issuer>{}</saml:Issuer><samlp:Status><samlp:StatusCode Value=\"{SUCCESS}\"/></samlp:Status></samlp:LogoutResponse>",
            escaped(in_response_to),
            escaped(&self.entity_id),
        );
        xml
    }
}

/// What every message begins with.
fn head(name: &str, id: &str, destination: &Url, now: Timestamp) -> String {
    format!(
        "<samlp:{name} xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" ID=\"{}\" Version=\"2.0\" IssueInstant=\"{}\" Destination=\"{}\"",
        escaped(id),
        write_time(now),
        escaped(destination.as_str()),
    )
}

/// Which parameter a message travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Request,
    Response,
}

impl Parameter {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Request => "SAMLRequest",
            Self::Response => "SAMLResponse",
        }
    }
}

/// Bindings 3.4.4: deflated, in the query, signed when there is a key. `None`: the address cannot be made.
pub(super) fn redirect(to: &Url, parameter: Parameter, xml: &str, relay_state: Option<&str>, key: Option<&SpKey>) -> Option<Url> {
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
    deflated.write_all(xml.as_bytes()).ok()?;
    let message = STANDARD.encode(deflated.finish().ok()?);
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair(parameter.name(), &message);
    query.extend_pairs(relay_state.map(|state| ("RelayState", state)));
    if key.is_some() {
        query.append_pair("SigAlg", super::key::ALGORITHM);
    }
    let mut query = query.finish();
    if let Some(key) = key {
        let signature = STANDARD.encode(key.sign(query.as_bytes())?);
        query = format!("{query}&{}", form_urlencoded::Serializer::new(String::new()).append_pair("Signature", &signature).finish());
    }
    let mut url = to.clone();
    let whole = match to.query().filter(|own| !own.is_empty()) {
        Some(own) => format!("{own}&{query}"),
        None => query,
    };
    url.set_query(Some(&whole));
    Some(url)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(text, true, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::{AuthnRequest, Parameter, SamlSp, redirect};
    use crate::clock::Timestamp;
    use crate::sso::saml::names::PERSISTENT;
    use crate::sso::saml::xml::{Limits, parse};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use std::io::Read as _;
    use url::Url;

    fn sp() -> SamlSp {
        SamlSp {
            entity_id: "https://auth.test/m?a=1&b=\"2\"".to_owned(),
            acs: "https://auth.test/acs".to_owned(),
            slo: "https://auth.test/slo".to_owned(),
        }
    }

    #[test]
    fn s32_a_request_says_where_to_answer_and_nothing_that_the_browser_said() {
        let destination = Url::parse("https://idp.test/sso?tenant=1").unwrap();
        let check = |force: bool, persistent: bool| {
            let asked = AuthnRequest { id: "_abc", destination: &destination, now: Timestamp::from_seconds(0), force, persistent };
            let xml = sp().authn_request(&asked);
            let url = redirect(&destination, Parameter::Request, &xml, Some("state"), None).unwrap();
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["tenant", "SAMLRequest", "RelayState"]);
            let mut inflated = String::new();
            flate2::read::DeflateDecoder::new(STANDARD.decode(&pairs[1].1).unwrap().as_slice()).read_to_string(&mut inflated).unwrap();
            assert_eq!(inflated, xml);
            let root = parse(xml.as_bytes(), &Limits::message(10_000)).unwrap();
            assert_eq!(
                (root.attribute("ID"), root.attribute("Version"), root.attribute("IssueInstant")),
                (Some("_abc"), Some("2.0"), Some("1970-01-01T00:00:00Z"))
            );
            assert_eq!(root.attribute("AssertionConsumerServiceURL"), Some("https://auth.test/acs"));
            assert_eq!(root.attribute("ForceAuthn"), force.then_some("true"));
            assert_eq!(xml.contains(PERSISTENT), persistent);
            assert!(xml.contains("a=1&amp;b=&quot;2&quot;"), "{xml}");
        };
        check(false, true);
        check(true, false);
    }

    #[test]
    fn our_metadata_is_well_formed_and_says_where_we_are() {
        let xml = sp().metadata(None);
        let root = parse(xml.as_bytes(), &Limits::message(10_000)).unwrap();
        assert_eq!(root.attribute("entityID"), Some("https://auth.test/m?a=1&b=\"2\""));
        assert!(xml.contains("Location=\"https://auth.test/acs\"") && !xml.contains("KeyDescriptor"), "{xml}");
    }
}
