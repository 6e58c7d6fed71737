//! A SAML provider's metadata: parsed strictly. Pure; `source.rs` fetches it.
//!
//! The rule that matters: without a certificate to verify signatures with there is no provider. A pin narrows the certificates to those that an operator has seen.

use super::names::{DSIG, METADATA, POST, PROTOCOL, REDIRECT, parse_time};
use super::xml::{Element, Limits, parse};
use super::{guard, verify};
use crate::clock::Timestamp;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::{Host, Url};

/// Nothing a provider publishes about itself is larger; a whole federation is, and is not read.
pub(super) const BYTES_MAX: usize = 1024 * 1024;
/// Certificates looked at.
const CERTIFICATES_MAX: usize = 16;

/// What we use of a provider's metadata (SAML Metadata 2.4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) entity_id: String,
    /// Single sign-on by Redirect.
    pub(super) sso_redirect: Option<Url>,
    /// Single sign-on by POST.
    pub(super) sso_post: Option<Url>,
    /// Single logout by Redirect.
    pub(super) slo_redirect: Option<Url>,
    /// Where answers to the provider's own logout requests go.
    pub(super) slo_response: Option<Url>,
    /// DER of what may verify its signatures; never empty.
    pub(super) certificates: Vec<Vec<u8>>,
    /// Not used after this.
    pub(super) valid_until: Option<Timestamp>,
    /// `WantAuthnRequestsSigned`.
    pub(super) wants_signed_requests: bool,
}

/// What metadata must fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// Entity id, when several are in the document or one is insisted on.
    pub(super) entity_id: Option<&'a str>,
    /// SHA-256 of certificates; empty: whatever the document says.
    pub(super) pins: &'a [[u8; 32]],
    /// Whether the document must be signed under a pinned certificate: it came by plain http.
    pub(super) must_be_signed: bool,
    /// Our clock.
    pub(super) now: Timestamp,
}

/// Why a document is not a provider's metadata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MetadataError {
    #[error("not SAML metadata: {0}")]
    NotMetadata(String),
    #[error("no identity provider {0} in it")]
    NoProvider(String),
    #[error("it ended at its validUntil")]
    Expired,
    #[error("no signing certificate in it: nothing that it signs could be verified")]
    NoCertificate,
    #[error("no signing certificate matches the pin; it has {0}")]
    Pin(String),
    #[error("no single sign-on address that a browser may be sent to")]
    NoAddress,
    #[error("it came by plain http, and is not signed by a pinned certificate")]
    Unsigned,
}

/// `sha256:` and hex digits, as pins are written.
pub(super) fn fingerprint(certificate: &[u8]) -> String {
    format!("sha256:{}", hex::encode(digest(&SHA256, certificate)))
}

impl Metadata {
    /// Parses a document.
    pub(super) fn parse(bytes: &[u8], rules: &Rules<'_>) -> Result<Self, MetadataError> {
        let mut root = parse(bytes, &Limits::message(BYTES_MAX)).map_err(|refused| MetadataError::NotMetadata(refused.to_string()))?;
        if rules.must_be_signed {
            // Read from what was verified, not from what came.
            let certificates = certificates(of_entity(&root, rules)?.1, rules)?;
            root =
                guard::document(root).and_then(|guarded| verify::verified(&guarded, &certificates)).map_err(|_unsigned| MetadataError::Unsigned)?;
        }
        let (entity, provider) = of_entity(&root, rules)?;
        let read_until = |element: &Element| match element.attribute("validUntil") {
            None => Ok(None),
            Some(written) => parse_time(written).map(Some).ok_or_else(|| MetadataError::NotMetadata("validUntil is no time".to_owned())),
        };
        let valid_until = [read_until(&root)?, read_until(entity)?, read_until(provider)?].into_iter().flatten().min();
        if valid_until.is_some_and(|until| until <= rules.now) {
            return Err(MetadataError::Expired);
        }
        let (by_redirect, by_post) = (endpoint(provider, "SingleSignOnService", REDIRECT)?, endpoint(provider, "SingleSignOnService", POST)?);
        if by_redirect.is_none() && by_post.is_none() {
            return Err(MetadataError::NoAddress);
        }
        let slo = provider.all(METADATA, "SingleLogoutService").find(|service| service.attribute("Binding") == Some(REDIRECT));
        let logout = slo.and_then(|service| address(service.attribute("Location")?));
        let slo_response = slo.and_then(|service| address(service.attribute("ResponseLocation")?)).or_else(|| logout.clone());
        Ok(Self {
            entity_id: entity.attribute("entityID").unwrap_or_default().to_owned(),
            sso_redirect: by_redirect,
            sso_post: by_post,
            slo_redirect: logout,
            slo_response,
            certificates: certificates(provider, rules)?,
            valid_until,
            wants_signed_requests: matches!(provider.attribute("WantAuthnRequestsSigned"), Some("true" | "1")),
        })
    }
}

/// The entity and its role: the one that is asked for, or the only one.
fn of_entity<'e>(root: &'e Element, rules: &Rules<'_>) -> Result<(&'e Element, &'e Element), MetadataError> {
    let entities: Vec<&Element> = if root.is(METADATA, "EntityDescriptor") {
        vec![root]
    } else if root.is(METADATA, "EntitiesDescriptor") {
        root.all(METADATA, "EntityDescriptor").collect()
    } else {
        return Err(MetadataError::NotMetadata(format!("the root is {}", root.name)));
    };
    let role = |entity: &&'e Element| {
        entity
            .all(METADATA, "IDPSSODescriptor")
            .find(|role| role.attribute("protocolSupportEnumeration").unwrap_or_default().split_whitespace().any(|protocol| protocol == PROTOCOL))
    };
    let mut fitting = entities
        .into_iter()
        .filter(|entity| rules.entity_id.is_none_or(|wanted| entity.attribute("entityID") == Some(wanted)))
        .filter_map(|entity| role(&entity).map(|role| (entity, role)));
    let (first, second) = (fitting.next(), fitting.next());
    match (first, second) {
        (Some((entity, role)), None) if entity.attribute("entityID").is_some_and(|id| !id.is_empty()) => Ok((entity, role)),
        (Some(_), Some(_)) => Err(MetadataError::NoProvider("that is the only one: idp.issuer says which".to_owned())),
        _ => Err(MetadataError::NoProvider(rules.entity_id.unwrap_or("that speaks SAML 2.0").to_owned())),
    }
}

fn certificates(provider: &Element, rules: &Rules<'_>) -> Result<Vec<Vec<u8>>, MetadataError> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    // Metadata 2.4.1.1: without `use`, for both.
    for key in provider.all(METADATA, "KeyDescriptor").filter(|key| matches!(key.attribute("use"), None | Some("signing"))) {
        let texts = key
            .all(DSIG, "KeyInfo")
            .flat_map(|info| info.all(DSIG, "X509Data"))
            .flat_map(|data| data.all(DSIG, "X509Certificate"))
            .map(|certificate| certificate.text().split_ascii_whitespace().collect::<String>());
        for text in texts {
            // A certificate is a sequence; what is none beside a good one is left out.
            if let Some(der) = STANDARD.decode(text).ok().filter(|der| der.len() > 64 && der.first() == Some(&0x30))
                && !found.contains(&der)
                && found.len() < CERTIFICATES_MAX
            {
                found.push(der);
            }
        }
    }
    if found.is_empty() {
        return Err(MetadataError::NoCertificate);
    }
    if rules.pins.is_empty() {
        return Ok(found);
    }
    let pinned: Vec<Vec<u8>> = found.iter().filter(|der| rules.pins.iter().any(|pin| digest(&SHA256, der).as_ref() == pin)).cloned().collect();
    if pinned.is_empty() {
        return Err(MetadataError::Pin(found.iter().map(|der| fingerprint(der)).collect::<Vec<_>>().join(", ")));
    }
    Ok(pinned)
}

fn endpoint(provider: &Element, service: &str, binding: &str) -> Result<Option<Url>, MetadataError> {
    let Some(service) = provider.all(METADATA, service).find(|service| service.attribute("Binding") == Some(binding)) else { return Ok(None) };
    service.attribute("Location").and_then(address).map(Some).ok_or(MetadataError::NoAddress)
}

/// https, or plain http on this machine.
fn address(written: &str) -> Option<Url> {
    let url = Url::parse(written).ok()?;
    let scheme_fits = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    (scheme_fits && url.has_host() && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()).then_some(url)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
