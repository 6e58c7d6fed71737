//! What a SAML response must look like before anything else reads it (design, section 5). Pure.
//!
//! Lives here: [`response`] and [`assertion`]. [`Guarded`] is the only thing that `verify.rs` takes, and it hands on the text that was written anew from the tree that
//! was judged, never the bytes that came. The rule is a table of what may stand where: what is not in it is refused, so that nothing can be hidden in a place
//! that one reader looks at and another does not. It must never know keys or the time.

use super::Refused;
use super::names::{ASSERTION, DIGESTS, DSIG, ENVELOPED, EXC_C14N, METADATA, PROTOCOL, SIGNATURES, SUCCESS, XENC, XENC11};
use super::xml::{Element, Limits, Node, parse};
use std::collections::HashSet;

/// A response of a form that leaves one way to read it.
#[derive(Debug)]
pub(super) struct Guarded {
    /// The document.
    pub(super) root: Element,
    /// What its outermost signature is over; `None`: nothing is signed, and what is encrypted in it must be.
    pub(super) signed: Option<Signed>,
}

/// An element that a signature says it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    ns: String,
    name: String,
    id: String,
}

impl Signed {
    fn element(element: &Element) -> Self {
        Self { ns: element.ns.clone(), name: element.name.clone(), id: element.attribute("ID").unwrap_or_default().to_owned() }
    }

    /// Whether `element` is that one.
    pub(super) fn is(&self, element: &Element) -> bool {
        element.is(&self.ns, &self.name) && !self.id.is_empty() && element.attribute("ID") == Some(&self.id)
    }
}

impl Guarded {
    /// What a verifier is given: the document, written anew.
    pub(super) fn text(&self) -> String {
        self.root.write()
    }
}

/// Judges a response.
///
/// # Errors
/// [`Refused`]: the first rule that it breaks; `status` when the provider says that nobody has signed in.
pub(super) fn response(bytes: &[u8], bytes_max: usize) -> Result<Guarded, Refused> {
    let root = parse(bytes, &Limits::message(bytes_max))?;
    if !root.is(PROTOCOL, "Response") {
        return Err(Refused::new("root", "not a samlp:Response"));
    }
    // A refusal carries no assertion, details of any kind, and often no signature: it is a no all the same.
    status(&root)?;
    shape(&root)?;
    identifiers(&root)?;
    for name in ["Issuer", "Signature", "Status", "Assertion", "EncryptedAssertion"] {
        at_most_one(
            &root,
            if name == "Signature" {
                DSIG
            } else if name == "Status" {
                PROTOCOL
            } else {
                ASSERTION
            },
            name,
        )?;
    }
    let mut signed = signature(&root)?.then(|| Signed::element(&root));
    match (root.child(ASSERTION, "Assertion"), root.child(ASSERTION, "EncryptedAssertion")) {
        (Some(assertion), None) => {
            let own = inner(assertion)?.then(|| Signed::element(assertion));
            signed = signed.or(own);
            // attacks.md S1: one of the two.
            if signed.is_none() {
                return Err(Refused::new("signature", "neither response nor assertion is signed"));
            }
        }
        // S24: whether it is signed is seen when it is open.
        (None, Some(encrypted)) => cipher(encrypted)?,
        _ => return Err(Refused::new("assertions", "not exactly one")),
    }
    Ok(Guarded { root, signed })
}

/// Judges an assertion that stood encrypted in a response. `None` in `signed`: it carries no signature of its own.
///
/// # Errors
/// [`Refused`]: the first rule that it breaks.
pub(super) fn assertion(bytes: &[u8], bytes_max: usize) -> Result<Guarded, Refused> {
    let root = parse(bytes, &Limits::message(bytes_max))?;
    if !root.is(ASSERTION, "Assertion") {
        return Err(Refused::new("root", "what was encrypted is not an assertion"));
    }
    shape(&root)?;
    identifiers(&root)?;
    let signed = inner(&root)?.then(|| Signed::element(&root));
    Ok(Guarded { root, signed })
}

/// Judges a document of another kind (metadata, a logout request) that must be signed as a whole.
///
/// # Errors
/// [`Refused`]: it is not, or another signature stands in it.
pub(super) fn document(root: Element) -> Result<Guarded, Refused> {
    identifiers(&root)?;
    let mut signatures = 0;
    root.walk(&mut |element| {
        signatures += usize::from(element.is(DSIG, "Signature"));
        Ok(())
    })?;
    if !signature(&root)? || signatures != 1 {
        return Err(Refused::new("signature", "not exactly one, over the whole"));
    }
    for part in root.all(DSIG, "Signature") {
        shape(part)?;
    }
    let signed = Some(Signed::element(&root));
    Ok(Guarded { root, signed })
}

/// Core 3.2.2.2: the codes that exist; of any other nothing is repeated.
fn status(root: &Element) -> Result<(), Refused> {
    const KNOWN: [&str; 10] = [
        "Requester",
        "Responder",
        "VersionMismatch",
        "AuthnFailed",
        "NoPassive",
        "InvalidNameIDPolicy",
        "RequestDenied",
        "NoAuthnContext",
        "RequestUnsupported",
        "UnknownPrincipal",
    ];
    let mut statuses = root.all(PROTOCOL, "Status");
    let (Some(status), None) = (statuses.next(), statuses.next()) else { return Err(Refused::new("status", "not exactly one")) };
    let mut codes = status.all(PROTOCOL, "StatusCode");
    let (Some(code), None) = (codes.next(), codes.next()) else { return Err(Refused::new("status", "not exactly one code")) };
    let value = code.attribute("Value").unwrap_or_default();
    if value == SUCCESS {
        return Ok(());
    }
    let second = code.child(PROTOCOL, "StatusCode").and_then(|code| code.attribute("Value"));
    let said = second.unwrap_or(value).rsplit(':').next().unwrap_or_default();
    Err(Refused::new("status", KNOWN.into_iter().find(|known| *known == said).unwrap_or("another code")))
}

/// What may stand in what; `p a d e f c` are the prefixes of [`short`]. An element that holds nothing here holds text.
const MAY_HOLD: &[(&str, &str)] = &[
    ("p:Response", "a:Issuer d:Signature p:Status a:Assertion a:EncryptedAssertion"),
    ("p:Status", "p:StatusCode p:StatusMessage"),
    ("p:StatusCode", "p:StatusCode"),
    ("p:StatusMessage", ""),
    ("a:Issuer", ""),
    ("a:Assertion", "a:Issuer d:Signature a:Subject a:Conditions a:AuthnStatement a:AttributeStatement"),
    ("a:EncryptedAssertion", "e:EncryptedData e:EncryptedKey"),
    ("a:Subject", "a:NameID a:SubjectConfirmation"),
    ("a:NameID", ""),
    ("a:SubjectConfirmation", "a:SubjectConfirmationData"),
    ("a:SubjectConfirmationData", ""),
    ("a:Conditions", "a:AudienceRestriction a:OneTimeUse a:ProxyRestriction"),
    ("a:AudienceRestriction", "a:Audience"),
    ("a:ProxyRestriction", "a:Audience"),
    ("a:Audience", ""),
    ("a:OneTimeUse", ""),
    ("a:AuthnStatement", "a:SubjectLocality a:AuthnContext"),
    ("a:SubjectLocality", ""),
    ("a:AuthnContext", "a:AuthnContextClassRef a:AuthnContextDeclRef a:AuthenticatingAuthority"),
    ("a:AuthnContextClassRef", ""),
    ("a:AuthnContextDeclRef", ""),
    ("a:AuthenticatingAuthority", ""),
    ("a:AttributeStatement", "a:Attribute"),
    ("a:Attribute", "a:AttributeValue"),
    // eduPersonTargetedID holds a NameID.
    ("a:AttributeValue", "a:NameID"),
    ("d:Signature", "d:SignedInfo d:SignatureValue d:KeyInfo"),
    ("d:SignedInfo", "d:CanonicalizationMethod d:SignatureMethod d:Reference"),
    ("d:CanonicalizationMethod", "c:InclusiveNamespaces"),
    ("d:SignatureMethod", ""),
    ("d:SignatureValue", ""),
    ("d:Reference", "d:Transforms d:DigestMethod d:DigestValue"),
    ("d:Transforms", "d:Transform"),
    ("d:Transform", "c:InclusiveNamespaces"),
    ("c:InclusiveNamespaces", ""),
    ("d:DigestMethod", ""),
    ("d:DigestValue", ""),
    ("d:KeyInfo", "d:KeyName d:KeyValue d:X509Data e:EncryptedKey"),
    ("d:KeyName", ""),
    ("d:KeyValue", "d:RSAKeyValue"),
    ("d:RSAKeyValue", "d:Modulus d:Exponent"),
    ("d:Modulus", ""),
    ("d:Exponent", ""),
    ("d:X509Data", "d:X509Certificate d:X509IssuerSerial d:X509SubjectName d:X509SKI"),
    ("d:X509Certificate", ""),
    ("d:X509IssuerSerial", "d:X509IssuerName d:X509SerialNumber"),
    ("d:X509IssuerName", ""),
    ("d:X509SerialNumber", ""),
    ("d:X509SubjectName", ""),
    ("d:X509SKI", ""),
    ("e:EncryptedData", "e:EncryptionMethod d:KeyInfo e:CipherData"),
    ("e:EncryptedKey", "e:EncryptionMethod d:KeyInfo e:CipherData e:ReferenceList e:CarriedKeyName"),
    ("e:EncryptionMethod", "d:DigestMethod f:MGF e:KeySize"),
    ("f:MGF", ""),
    ("e:KeySize", ""),
    ("e:CipherData", "e:CipherValue"),
    ("e:CipherValue", ""),
    ("e:ReferenceList", "e:DataReference"),
    ("e:DataReference", ""),
    ("e:CarriedKeyName", ""),
];

fn short(element: &Element) -> Option<String> {
    let prefix = match element.ns.as_str() {
        PROTOCOL => 'p',
        ASSERTION => 'a',
        DSIG => 'd',
        XENC => 'e',
        XENC11 => 'f',
        EXC_C14N => 'c',
        _ => return None,
    };
    Some(format!("{prefix}:{}", element.name))
}

fn shape(element: &Element) -> Result<(), Refused> {
    let unexpected = |element: &Element| Refused::new("structure", format!("{} where it may not stand", element.name));
    let name = short(element).ok_or_else(|| unexpected(element))?;
    let (_, may_hold) = MAY_HOLD.iter().find(|(parent, _)| *parent == name).ok_or_else(|| unexpected(element))?;
    for child in &element.children {
        match child {
            Node::Element(child) => {
                let fits = short(child).is_some_and(|child| may_hold.split(' ').any(|allowed| allowed == child));
                if !fits {
                    return Err(unexpected(child));
                }
                shape(child)?;
            }
            Node::Text(text) => {
                let is_leaf = may_hold.is_empty() || element.is(ASSERTION, "AttributeValue");
                if !is_leaf && !text.chars().all(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) {
                    return Err(Refused::new("structure", format!("text in {}", element.name)));
                }
            }
        }
    }
    Ok(())
}

/// One spelling for each kind of element, plain names, and no value twice: whoever looks an element up by its id finds the same one.
pub(super) fn identifiers(root: &Element) -> Result<(), Refused> {
    let mut seen = HashSet::new();
    root.walk(&mut |element| {
        for attribute in element.attributes.iter().filter(|attribute| attribute.name.eq_ignore_ascii_case("id")) {
            let spelt = if matches!(element.ns.as_str(), PROTOCOL | ASSERTION | METADATA) { "ID" } else { "Id" };
            let plain = attribute.value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && attribute.value.len() <= 256
                && attribute.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
            if !attribute.ns.is_empty() || attribute.name != spelt || !plain {
                return Err(Refused::new("ID", "an odd one"));
            }
            if !seen.insert(attribute.value.clone()) {
                return Err(Refused::new("ID", "one twice"));
            }
        }
        Ok(())
    })
}

/// An assertion's own rules; whether it is signed.
fn inner(assertion: &Element) -> Result<bool, Refused> {
    for (name, ns) in [("Issuer", ASSERTION), ("Signature", DSIG), ("Subject", ASSERTION), ("Conditions", ASSERTION)] {
        at_most_one(assertion, ns, name)?;
    }
    if let Some(subject) = assertion.child(ASSERTION, "Subject") {
        at_most_one(subject, ASSERTION, "NameID")?;
    }
    if assertion.attribute("ID").is_none() {
        return Err(Refused::new("ID", "the assertion has none"));
    }
    signature(assertion)
}

/// The signature directly in `signed`, if there is one, must be over `signed` and nothing else.
fn signature(signed: &Element) -> Result<bool, Refused> {
    at_most_one(signed, DSIG, "Signature")?;
    let Some(signature) = signed.child(DSIG, "Signature") else { return Ok(false) };
    let info = exactly_one(signature, "SignedInfo")?;
    at_most_one(signature, DSIG, "KeyInfo")?;
    base64_text(exactly_one(signature, "SignatureValue")?)?;
    let algorithm = |element: &Element| element.attribute("Algorithm").unwrap_or_default().to_owned();
    if algorithm(exactly_one(info, "CanonicalizationMethod")?) != EXC_C14N {
        return Err(Refused::new("canonicalisation", "not exclusive"));
    }
    let method = algorithm(exactly_one(info, "SignatureMethod")?);
    if !SIGNATURES.contains(&method.as_str()) {
        return Err(Refused::new("signature algorithm", printable(&method)));
    }
    let reference = exactly_one(info, "Reference")?;
    // Core 5.4.2: one reference, to the ID of the element that is signed.
    let id = signed.attribute("ID").unwrap_or_default();
    if id.is_empty() || reference.attribute("URI") != Some(format!("#{id}").as_str()) || reference.attribute("Type").is_some() {
        return Err(Refused::new("reference", "not to the element that it is in"));
    }
    let digest = algorithm(exactly_one(reference, "DigestMethod")?);
    if !DIGESTS.contains(&digest.as_str()) {
        return Err(Refused::new("digest algorithm", printable(&digest)));
    }
    base64_text(exactly_one(reference, "DigestValue")?)?;
    // Core 5.4.4: enveloped, then exclusive canonicalisation.
    let transforms: Vec<String> = exactly_one(reference, "Transforms")?.all(DSIG, "Transform").map(algorithm).collect();
    if transforms != [ENVELOPED, EXC_C14N] {
        return Err(Refused::new("transforms", "not enveloped and exclusive canonicalisation"));
    }
    for key_info in signature.all(DSIG, "KeyInfo") {
        if key_info.child(XENC, "EncryptedKey").is_some() {
            return Err(Refused::new("structure", "an encrypted key in a signature"));
        }
    }
    Ok(true)
}

/// One block of data, one key for it.
fn cipher(encrypted: &Element) -> Result<(), Refused> {
    let mut data = encrypted.all(XENC, "EncryptedData");
    let (Some(data), None) = (data.next(), data.next()) else { return Err(Refused::new("encryption", "not exactly one EncryptedData")) };
    let beside = encrypted.all(XENC, "EncryptedKey").count();
    let within: usize = data.all(DSIG, "KeyInfo").map(|info| info.all(XENC, "EncryptedKey").count()).sum();
    if beside + within == 0 || beside + within > 4 {
        return Err(Refused::new("encryption", "no key, or too many"));
    }
    Ok(())
}

fn at_most_one(parent: &Element, ns: &str, name: &str) -> Result<(), Refused> {
    if parent.all(ns, name).nth(1).is_some() { Err(Refused::new("structure", format!("{name} twice"))) } else { Ok(()) }
}

fn exactly_one<'e>(parent: &'e Element, name: &str) -> Result<&'e Element, Refused> {
    at_most_one(parent, DSIG, name)?;
    parent.child(DSIG, name).ok_or_else(|| Refused::new("structure", format!("no {name}")))
}

fn base64_text(element: &Element) -> Result<(), Refused> {
    let text = element.text();
    let proper = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b' ' | b'\t' | b'\n' | b'\r'));
    if proper && text.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err(Refused::new("structure", format!("{} is not base64", element.name)))
    }
}

fn printable(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}
