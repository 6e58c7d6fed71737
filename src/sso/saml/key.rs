//! Our own key at a SAML provider: it signs what we send and opens what is encrypted for us.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use zeroize::Zeroizing;

/// What [`SpKey::sign`] makes.
pub(super) const ALGORITHM: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";

/// A key and its certificate.
pub struct SpKey {
    certificate: Vec<u8>,
    signing: RsaKeyPair,
    opening: OaepPrivateDecryptingKey,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The certificate is not PEM.
    #[error("the certificate is not PEM")]
    Certificate,
    /// The key is not an RSA key of 2048 to 8192 bits in PEM.
    #[error("the key is not an RSA key of at least 2048 bits, in PEM")]
    Key,
    /// They do not belong together.
    #[error("key and certificate do not belong together")]
    Pair,
}

impl fmt::Debug for SpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpKey([redacted])")
    }
}

impl SpKey {
    /// Of PEM texts.
    ///
    /// # Errors
    /// [`KeyError`], by what is wrong.
    pub fn read(certificate: &[u8], key: &[u8]) -> Result<Self, KeyError> {
        let certificate = CertificateDer::from_pem_slice(certificate).map_err(|_no_pem| KeyError::Certificate)?.to_vec();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_no_pem| KeyError::Key)?;
        let signing = if let PrivateKeyDer::Pkcs8(der) = &key {
            RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
        } else if let PrivateKeyDer::Pkcs1(der) = &key {
            RsaKeyPair::from_der(der.secret_pkcs1_der())
        } else {
            return Err(KeyError::Key);
        }
        .map_err(|_rejected| KeyError::Key)?;
        // The certificate holds the public key as it is: looked for rather than parsed.
        let public = signing.public_key().as_ref();
        if !certificate.windows(public.len()).any(|window| window == public) {
            return Err(KeyError::Pair);
        }
        let pkcs8: Pkcs8V1Der<'_> = signing.as_der().map_err(|_unspecified| KeyError::Key)?;
        let opening = PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).map_err(|_rejected| KeyError::Key)?;
        let opening = OaepPrivateDecryptingKey::new(opening).map_err(|_unspecified| KeyError::Key)?;
        Ok(Self { certificate, signing, opening })
    }

    /// DER of the certificate.
    pub(super) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// RSA-SHA256.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.signing.public_modulus_len()];
        // PKCS#1 v1.5 takes no randomness; the argument is the API's.
        self.signing.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    }

    /// Opens an encrypted key.
    pub(super) fn open(&self, sealed: &[u8], digest: OaepDigest) -> Option<Zeroizing<Vec<u8>>> {
        let algorithm: &'static OaepAlgorithm = match digest {
            OaepDigest::Sha1 => &OAEP_SHA1_MGF1SHA1,
            OaepDigest::Sha256 => &OAEP_SHA256_MGF1SHA256,
        };
        let mut out = Zeroizing::new(vec![0; self.opening.min_output_size()]);
        let length = self.opening.decrypt(algorithm, sealed, &mut out, None).ok()?.len();
        out.truncate(length);
        Some(out)
    }
}

/// Digest of OAEP; the mask is made with the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OaepDigest {
    Sha1,
    Sha256,
}
