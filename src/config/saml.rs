//! `[[idp]] type = "saml"`: what it means, and how it is made of what is written. Pure.

use super::SecretRef;
use super::compile::{attributes, secret};
use crate::config::Idp;
use crate::source::value::size_bytes;
use crate::source::{Reader, Span, Table};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use url::Url;

/// What a provider of type `saml` has beside what all have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saml {
    /// `metadata`.
    pub metadata: MetadataPlace,
    /// `pin`: SHA-256 of signing certificates; empty: those of the metadata, whatever they are.
    pub pins: Vec<[u8; 32]>,
    /// `subject`.
    pub subject: SamlSubject,
    /// `entity_id`: ours, when it is not the address of our metadata.
    pub entity_id: Option<String>,
    /// `max_response`.
    pub response_bytes_max: usize,
    /// `cert` and `key`: with them requests are signed and encrypted assertions opened.
    pub key: Option<(PathBuf, SecretRef)>,
}

/// Where metadata is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataPlace {
    /// An address.
    Address(Url),
    /// A file, resolved against the gateway file's folder.
    File(PathBuf),
}

/// What names a person for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SamlSubject {
    /// A NameID of format `persistent`.
    Persistent,
    /// The NameID, of any format but `transient`.
    NameId,
    /// An attribute.
    Attribute(String),
}

/// `[[idp]] max_response`: 256 KiB.
const RESPONSE_BYTES: u64 = 256 * 1024;
/// Base64 of it, written as a form, fits what is taken of a form there.
const RESPONSE_BYTES_MAX: u64 = 512 * 1024;
/// Keys of OpenID Connect.
const FOREIGN: [&str; 7] = ["client_id", "client_secret", "scopes", "algorithms", "userinfo", "groups", "groups_lookup"];

/// A provider of type `saml`.
pub(super) fn saml(reader: &mut Reader<'_>, span: &Span, table: &Table, id: &str, folder: &Path) -> Option<Idp> {
    if cfg!(not(feature = "saml")) {
        let spot = table.node("type").map_or(span, |node| &node.span);
        reader.error("not-built", spot, "this vestibule was built without SAML", "build it with the feature `saml`, which is on by default");
        return None;
    }
    for key in FOREIGN {
        if let Some(entry) = table.get(key) {
            let help = if key == "groups" { "[idp.attributes] groups = \"…\" names the attribute" } else { "leave it out" };
            reader.error("contradiction", &entry.key_span, format!("idp.{key} belongs to OpenID Connect, and this is SAML"), help);
        }
    }
    let pins = pins(reader, table);
    let metadata = metadata(reader, span, table, folder, !pins.is_empty());
    let written = table.text("subject");
    let subject = match written {
        None => SamlSubject::Persistent,
        Some("NameID") => SamlSubject::NameId,
        Some(attribute) => SamlSubject::Attribute(attribute.to_owned()),
    };
    let bytes = table.text("max_response").and_then(size_bytes).unwrap_or(RESPONSE_BYTES);
    if let Some(node) = table.node("max_response").filter(|_| !(1024..=RESPONSE_BYTES_MAX).contains(&bytes)) {
        reader.error("bad-value", &node.span, "idp.max_response is out of range", "1 KiB to 512 KiB");
    }
    let (certificate, key) = (table.text("cert").map(|path| folder.join(path)), secret(table, "key", folder));
    for (there, missing) in [("cert", "key"), ("key", "cert")] {
        if let Some(entry) = table.get(there).filter(|_| table.get(missing).is_none()) {
            reader.error(
                "missing-key",
                &entry.key_span,
                format!("idp.{there} is there and `idp.{missing}` is missing"),
                "a certificate and its key go together",
            );
        }
    }
    Some(Idp {
        name: table.text("name").unwrap_or(id).to_owned(),
        trust_email: table.flag("trust_email") == Some(true),
        attributes: attributes(reader, table),
        saml: Some(Saml {
            metadata: metadata?,
            pins,
            subject,
            entity_id: table.text("entity_id").map(str::to_owned),
            response_bytes_max: usize::try_from(bytes).ok()?,
            key: certificate.zip(key),
        }),
        ..Idp::bare(id, table.text("issuer").unwrap_or_default())
    })
}

fn metadata(reader: &mut Reader<'_>, span: &Span, table: &Table, folder: &Path, pinned: bool) -> Option<MetadataPlace> {
    let Some(node) = table.node("metadata") else {
        let help = "`metadata`: the address that the provider publishes its SAML metadata at, or a file with it";
        reader.error("missing-key", span, "`idp.metadata` is missing", help);
        return None;
    };
    let written = node.as_text()?;
    let Some((scheme, _)) = written.split_once("://") else { return Some(MetadataPlace::File(folder.join(written))) };
    let url = Url::parse(written).ok().filter(|url| matches!(scheme, "https" | "http") && url.has_host());
    let Some(url) = url.filter(|url| url.username().is_empty() && url.password().is_none() && url.fragment().is_none()) else {
        reader.error("bad-value", &node.span, "idp.metadata is not an address that can be fetched", "https://…, or the name of a file");
        return None;
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let loopback =
        host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback());
    if url.scheme() == "http" && !loopback && !pinned {
        let help = "use https, or keep a file, or set pin = \"sha256:…\" of the certificate that the provider signs its metadata with";
        reader.error("insecure", &node.span, "metadata by plain http: whoever is on the way could put a key of their own in it", help);
    }
    Some(MetadataPlace::Address(url))
}

fn pins(reader: &mut Reader<'_>, table: &Table) -> Vec<[u8; 32]> {
    let Some(node) = table.node("pin") else { return Vec::new() };
    let nodes = node.as_list().unwrap_or(std::slice::from_ref(node));
    if nodes.is_empty() {
        reader.error("empty-list", &node.span, "idp.pin is an empty list", "leave the key out, or name at least one");
    }
    let mut pins = Vec::new();
    for node in nodes {
        if let Some(pin) = node.as_text().and_then(pin) {
            pins.push(pin);
        } else {
            let help = "sha256: and 64 hex digits: `openssl x509 -in idp.pem -outform der | sha256sum`";
            reader.error("bad-value", &node.span, "idp.pin is not the SHA-256 of a certificate", help);
        }
    }
    pins
}

/// `sha256:` and 64 hex digits; colons between them, as `openssl x509 -fingerprint` has it, are read over.
fn pin(written: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = written.strip_prefix("sha256:")?.bytes().filter(|byte| *byte != b':').collect();
    let mut pin = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in pin.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(pin)
}
