//! The one place that asks `samael`: does a signature of these certificates hold over this document?
//!
//! Lives here: [`verified`]. It takes what `guard.rs` made, never bytes, and gives back the element that the digest was computed over, read from the very octets that
//! were digested: whatever else the document says is not in it (attacks.md S5, S6). `PreDigest` is the only mode used; the library's own reading of responses is not
//! used at all. Calls into C (libxml2, xmlsec1, OpenSSL): run it on a thread that may block.

use super::Refused;
use super::guard::Guarded;
use super::names::DSIG;
use super::xml::{Element, Limits, parse};
use samael::crypto::{AllowedSignatureAlgorithm, CertificateDer, Crypto, CryptoProvider as _, ReduceMode};

const ALLOWED: [AllowedSignatureAlgorithm; 6] = [
    AllowedSignatureAlgorithm::RsaSha256,
    AllowedSignatureAlgorithm::RsaSha384,
    AllowedSignatureAlgorithm::RsaSha512,
    AllowedSignatureAlgorithm::EcdsaSha256,
    AllowedSignatureAlgorithm::EcdsaSha384,
    AllowedSignatureAlgorithm::EcdsaSha512,
];

/// The element that a signature was verified over: the response where that is signed, else the assertion. Every signature in the document must hold.
///
/// # Errors
/// [`Refused`]: no certificate verifies it, or what was verified is not what was asked about.
pub(super) fn verified(guarded: &Guarded, certificates: &[Vec<u8>]) -> Result<Element, Refused> {
    let text = guarded.text();
    let octets = signed_octets(&text, certificates)?;
    // Canonical XML is a document of its own, and a little longer where namespaces are repeated.
    let root = parse(octets.as_bytes(), &Limits::message(text.len().saturating_mul(4)))?;
    // The enveloped signature is taken out before the digest.
    if guarded.signed.as_ref().is_some_and(|signed| signed.is(&root)) && root.child(DSIG, "Signature").is_none() {
        Ok(root)
    } else {
        Err(Refused::new("signature", "over something else"))
    }
}

/// One certificate after the other: a provider that changes its key lists both. Together at the end, for one that signs assertion and response with
/// different keys.
fn signed_octets(text: &str, certificates: &[Vec<u8>]) -> Result<String, Refused> {
    let all: Vec<CertificateDer> = certificates.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let together = (all.len() > 1).then_some(all.as_slice());
    for some in all.chunks(1).chain(together) {
        // Why not is of no use to anybody: xmlsec says so on standard error.
        if let Ok(octets) = Crypto::reduce_xml_to_signed_with_allowed_algorithms(text, some, ReduceMode::PreDigest, Some(&ALLOWED)) {
            return Ok(octets);
        }
    }
    Err(Refused::expected("signature", "one of a certificate in the provider's metadata", "another, or a changed document"))
}
