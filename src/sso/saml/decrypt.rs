//! Opening an encrypted assertion (XML Encryption 1.1), on `aws-lc-rs`. `samael` knows half of the algorithms and panics on short input.
//!
//! Whatever is wrong, the answer is one and the same (attacks.md S24): who can tell a bad padding from a bad document reads along, one byte at a time. CBC says nothing
//! of who made the text; what comes out is judged as if anybody had written it.

use super::Refused;
use super::key::{OaepDigest, SpKey};
use super::names::{DSIG, XENC, XENC11};
use super::xml::Element;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const BLOCK: usize = 16;

/// What an `EncryptedAssertion` holds.
///
/// # Errors
/// [`Refused`], always the same.
pub(super) fn opened(encrypted: &Element, key: &SpKey) -> Result<Zeroizing<Vec<u8>>, Refused> {
    open(encrypted, key).ok_or_else(|| Refused::expected("encryption", "an assertion for this gateway's key", "another, or a changed one"))
}

fn open(encrypted: &Element, key: &SpKey) -> Option<Zeroizing<Vec<u8>>> {
    let data = encrypted.child(XENC, "EncryptedData")?;
    let method = Method::of(data)?;
    let sealed = cipher_value(data)?;
    let within = data.all(DSIG, "KeyInfo").flat_map(|info| info.all(XENC, "EncryptedKey"));
    // One key for each recipient: ours is the one that opens.
    let content_key = within.chain(encrypted.all(XENC, "EncryptedKey")).find_map(|wrapped| content_key(wrapped, key, method))?;
    match method {
        Method::Cbc(_) => cbc(&content_key, &sealed),
        Method::Gcm(_) => gcm(&content_key, &sealed),
    }
}

/// How content is encrypted, and with how long a key.
#[derive(Debug, Clone, Copy)]
enum Method {
    Cbc(usize),
    Gcm(usize),
}

impl Method {
    fn of(data: &Element) -> Option<Self> {
        let algorithm = data.child(XENC, "EncryptionMethod")?.attribute("Algorithm")?;
        match (algorithm.strip_prefix(XENC), algorithm.strip_prefix(XENC11)) {
            (Some("aes128-cbc"), _) => Some(Self::Cbc(16)),
            (Some("aes256-cbc"), _) => Some(Self::Cbc(32)),
            (_, Some("aes128-gcm")) => Some(Self::Gcm(16)),
            (_, Some("aes256-gcm")) => Some(Self::Gcm(32)),
            _ => None,
        }
    }

    const fn key_bytes(self) -> usize {
        match self {
            Self::Cbc(bytes) | Self::Gcm(bytes) => bytes,
        }
    }
}

/// RSA-OAEP only: PKCS#1 v1.5 is an oracle by itself (XML Encryption 1.1, 6.1.2).
fn content_key(wrapped: &Element, key: &SpKey, method: Method) -> Option<Zeroizing<Vec<u8>>> {
    const SHA1: &str = "http://www.w3.org/2000/09/xmldsig#sha1";
    let described = wrapped.child(XENC, "EncryptionMethod")?;
    let algorithm = |element: &Element| element.attribute("Algorithm").unwrap_or_default().to_owned();
    let digest = described.child(DSIG, "DigestMethod").map_or_else(|| SHA1.to_owned(), algorithm);
    let mask = described.child(XENC11, "MGF").map(algorithm);
    let digest = match (described.attribute("Algorithm")?, digest.as_str(), mask.as_deref()) {
        ("http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p", SHA1, None)
        | ("http://www.w3.org/2009/xmlenc11#rsa-oaep", SHA1, None | Some("http://www.w3.org/2009/xmlenc11#mgf1sha1")) => OaepDigest::Sha1,
        (
            "http://www.w3.org/2009/xmlenc11#rsa-oaep",
            "http://www.w3.org/2001/04/xmlenc#sha256",
            Some("http://www.w3.org/2009/xmlenc11#mgf1sha256"),
        ) => OaepDigest::Sha256,
        _ => return None,
    };
    key.open(&cipher_value(wrapped)?, digest).filter(|opened| opened.len() == method.key_bytes())
}

fn cipher_value(element: &Element) -> Option<Vec<u8>> {
    let text = element.child(XENC, "CipherData")?.child(XENC, "CipherValue")?.text();
    STANDARD.decode(text.split_ascii_whitespace().collect::<String>()).ok()
}

/// XML Encryption 5.2.1. The padding is of this standard (only its last byte says anything), which the library's CBC does not take.
fn cbc(key: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    let (iv, blocks) = sealed.split_at_checked(BLOCK)?;
    if blocks.is_empty() || blocks.len() % BLOCK != 0 {
        return None;
    }
    let mut plain = Zeroizing::new(blocks.to_vec());
    let ecb = DecryptingKey::ecb(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
    ecb.decrypt(&mut plain, DecryptionContext::None).ok()?;
    for (block, before) in plain.chunks_mut(BLOCK).zip(std::iter::once(iv).chain(blocks.chunks(BLOCK))) {
        block.iter_mut().zip(before).for_each(|(byte, before)| *byte ^= before);
    }
    let padding = usize::from(*plain.last()?);
    let length = plain.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding))?;
    plain.truncate(length);
    Some(plain)
}

/// XML Encryption 5.2.4: 96 bits of nonce before, 128 bits of tag after.
fn gcm(key: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
    let (nonce, rest) = sealed.split_at_checked(12)?;
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
    let mut plain = Zeroizing::new(rest.to_vec());
    let length = key.open_in_place(Nonce::try_assume_unique_for_key(nonce).ok()?, Aad::empty(), &mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}
