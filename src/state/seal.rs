//! Sealing secrets and personal data at rest.
//!
//! Lives here: [`Sealer`], AES-256-GCM under a key derived from `[state] key`. Apart from the adapters so that every store seals alike.
//! It must never know what it seals, or where that is kept.
//!
//! A sealed value is `key id (1) | nonce (12) | ciphertext | tag (16)`. Key id, purpose and row are authenticated with it, so
//! a value that was moved to another column or another person's row does not open.

use crate::entropy::Entropy;
use crate::state::StoreError;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// `[state] key` has at least so many characters.
pub const KEY_CHARS_MIN: usize = 32;

/// Why a key cannot be used for sealing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short to withstand guessing.
    #[error("[state] key has {found} characters and needs at least {KEY_CHARS_MIN}; make one with: openssl rand -base64 48")]
    TooShort {
        /// Characters found.
        found: usize,
    },
    /// The cryptographic library refused; it never should.
    #[error("[state] key: the sealing key could not be derived")]
    Derivation,
}

/// What a sealed value is for. Part of what is authenticated: a value sealed for one purpose does not open for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The value that tells a wrong key at open.
    Check,
    /// Identity, ID token and `sid` of a sign-on.
    SignOn,
    /// A pending login, `code_verifier` and `nonce` among it.
    PendingLogin,
    /// A hand-over.
    Handover,
    /// What a provider's page has posted.
    Answer,
    /// What a person is signed in with at an app.
    PersonSecret,
    /// Attributes last applied to an account.
    Applied,
    /// Private part of a signing key.
    SigningKey,
    /// A recorded sign-in.
    SignIn,
    /// What stood behind an incident.
    Incident,
}

impl Purpose {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Check => b"check",
            Self::SignOn => b"sign-on",
            Self::PendingLogin => b"pending-login",
            Self::Handover => b"handover",
            Self::Answer => b"answer",
            Self::PersonSecret => b"person-secret",
            Self::Applied => b"applied",
            Self::SigningKey => b"signing-key",
            Self::SignIn => b"sign-in",
            Self::Incident => b"incident",
        }
    }
}

/// Seals and opens values at rest.
#[derive(Clone)]
pub struct Sealer {
    key: Arc<LessSafeKey>,
    key_id: u8,
    /// For names under which sealed values are found again.
    lookup: Arc<hmac::Key>,
    entropy: Arc<dyn Entropy>,
}

impl Sealer {
    /// From `[state] key`: any text of at least [`KEY_CHARS_MIN`] characters.
    ///
    /// HKDF and not a password hash: the key is a random secret from a file, not something that a person remembers.
    ///
    /// # Errors
    /// [`SealError::TooShort`]; [`SealError::Derivation`] when the library refuses.
    pub fn new(key: &SecretString, entropy: Arc<dyn Entropy>) -> Result<Self, SealError> {
        let found = key.expose_secret().chars().count();
        if found < KEY_CHARS_MIN {
            return Err(SealError::TooShort { found });
        }
        // RFC 5869: a fixed salt is allowed; it separates this use of the secret from any other.
        let prk = Salt::new(HKDF_SHA256, b"vestibule state v1").extract(key.expose_secret().as_bytes());
        let derive = |info: &'static [u8]| -> Result<Zeroizing<[u8; 32]>, SealError> {
            let mut out = Zeroizing::new([0; 32]);
            let filled = prk.expand(&[info], HKDF_SHA256).and_then(|okm| okm.fill(out.as_mut_slice()));
            filled.map(|()| out).map_err(|aws_lc_rs::error::Unspecified| SealError::Derivation)
        };
        let [key_id, ..] = *derive(b"key id")?;
        let unbound = UnboundKey::new(&AES_256_GCM, derive(b"aes-256-gcm")?.as_slice());
        let unbound = unbound.map_err(|aws_lc_rs::error::Unspecified| SealError::Derivation)?;
        let lookup = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, derive(b"lookup")?.as_slice()));
        Ok(Self { key: Arc::new(LessSafeKey::new(unbound)), key_id, lookup, entropy })
    }

    /// Seals `plain` for `purpose` in the row that `row` names (its primary key, as bytes).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the library refuses (a value of more than 64 GiB).
    pub fn seal(&self, purpose: Purpose, row: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        // Random 96-bit nonces: good for 2^32 values under one key (NIST SP 800-38D 8.3), that is a billion sign-ins.
        let nonce = self.entropy.bytes::<NONCE_LEN>();
        let mut body = Vec::with_capacity(1 + NONCE_LEN + plain.len() + 16);
        body.extend_from_slice(plain);
        let aad = Aad::from(self.associated(purpose, row));
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body)
            .map_err(|aws_lc_rs::error::Unspecified| StoreError::Unavailable("a value could not be sealed".into()))?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + body.len());
        sealed.push(self.key_id);
        sealed.extend_from_slice(&nonce);
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] made for the same `purpose` and `row`.
    ///
    /// # Errors
    /// [`StoreError::Sealed`]: another key, another purpose, another row, or changed bytes.
    pub fn open(&self, purpose: Purpose, row: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let (&key_id, rest) = sealed.split_first().ok_or(StoreError::Sealed)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(StoreError::Sealed)?;
        if key_id != self.key_id {
            return Err(StoreError::Sealed);
        }
        let mut plain = Zeroizing::new(body.to_vec());
        let aad = Aad::from(self.associated(purpose, row));
        let opened = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, plain.as_mut_slice());
        let length = opened.map_err(|aws_lc_rs::error::Unspecified| StoreError::Sealed)?.len();
        plain.truncate(length);
        Ok(plain)
    }

    /// A name under which something personal is found again without being readable: the same for the same `kind` and `parts`, and worth nothing without
    /// the key, unlike a bare hash, which anybody can try e-mail addresses against.
    pub fn lookup(&self, kind: &str, parts: &[&str]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.lookup);
        for part in std::iter::once(&kind).chain(parts) {
            // Length-prefixed, so that no two lists read the same.
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        out
    }

    /// A name for a file that nobody else is making: not a secret.
    pub(crate) fn scratch_name(&self) -> String {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let [a, b, c, d] = self.entropy.bytes::<4>();
        // Process and count as well, for sources of randomness that are seeded alike.
        format!("{:08x}-{}-{}", u32::from_be_bytes([a, b, c, d]), std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
    }

    /// Length-prefixed, so that no two (purpose, row) pairs read the same (GHSA-7mhv-gr67-hq55).
    fn associated(&self, purpose: Purpose, row: &[u8]) -> Vec<u8> {
        let name = purpose.name();
        let mut out = Vec::with_capacity(2 + name.len() + row.len());
        out.push(self.key_id);
        out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(name);
        out.extend_from_slice(row);
        out
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::{KEY_CHARS_MIN, Purpose, SealError, Sealer};
    use crate::entropy::SeededEntropy;
    use crate::state::StoreError;
    use std::sync::Arc;

    fn sealer(key: &str) -> Sealer {
        Sealer::new(&key.to_owned().into(), Arc::new(SeededEntropy::new(1))).unwrap()
    }

    #[test]
    fn a_short_key_is_refused_and_not_repeated() {
        let short = "s3cret-but-short".to_owned();
        let error = Sealer::new(&short.clone().into(), Arc::new(SeededEntropy::new(1))).unwrap_err();
        assert_eq!(error, SealError::TooShort { found: 16 });
        assert!(error.to_string().contains("at least 32"), "{error}");
        assert!(!error.to_string().contains(&short));
        assert!(Sealer::new(&"k".repeat(KEY_CHARS_MIN - 1).into(), Arc::new(SeededEntropy::new(1))).is_err());
        assert!(Sealer::new(&"k".repeat(KEY_CHARS_MIN).into(), Arc::new(SeededEntropy::new(1))).is_ok());
    }

    #[test]
    fn nothing_opens_but_the_same_key_purpose_row_and_bytes() {
        let ours = sealer("0123456789abcdef0123456789abcdef");
        let sealed = ours.seal(Purpose::SignOn, b"row 1", b"who it is").unwrap();
        let refused = |what: &str, opened: Result<_, StoreError>| assert!(matches!(opened, Err(StoreError::Sealed)), "{what}");
        for other in 0..16 {
            refused("key", sealer(&format!("another key of enough characters {other}")).open(Purpose::SignOn, b"row 1", &sealed));
        }
        refused("purpose", ours.open(Purpose::PendingLogin, b"row 1", &sealed));
        refused("row", ours.open(Purpose::SignOn, b"row 2", &sealed));
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            refused("bit", ours.open(Purpose::SignOn, b"row 1", &flipped));
            refused("cut", ours.open(Purpose::SignOn, b"row 1", &sealed[..at]));
        }
        assert_eq!(ours.open(Purpose::SignOn, b"row 1", &sealed).unwrap().as_slice(), b"who it is");
    }

    #[test]
    fn what_is_looked_up_is_named_alike_only_under_the_same_key_kind_and_parts() {
        let ours = sealer("0123456789abcdef0123456789abcdef");
        let name = ours.lookup("email", &["ada@example.com"]);
        assert_eq!(name, sealer("0123456789abcdef0123456789abcdef").lookup("email", &["ada@example.com"]));
        assert_ne!(name, sealer("0123456789abcdef0123456789abcdeg").lookup("email", &["ada@example.com"]));
        assert_ne!(name, ours.lookup("subject", &["ada@example.com"]));
        assert_ne!(ours.lookup("person", &["ab", "c"]), ours.lookup("person", &["a", "bc"]));
        assert_ne!(ours.lookup("person", &["ab"]), ours.lookup("person", &["ab", ""]));
    }

    #[test]
    fn sealing_twice_gives_different_bytes_and_debug_gives_nothing() {
        let ours = sealer("0123456789abcdef0123456789abcdef");
        assert_ne!(ours.seal(Purpose::Check, b"", b"same").unwrap(), ours.seal(Purpose::Check, b"", b"same").unwrap());
        assert_eq!(format!("{ours:?}"), "Sealer([redacted])");
    }
}
