//! Tokens for an application that verifies them under a secret which it shares with the gateway (`[jwt] secret`).
//!
//! Apart from the gateway's own key because whoever can verify such a token can make one: it says nothing to anybody but that one application. Here it only signs; no token
//! that comes in is ever verified under such a secret, and it is in no key set.

use super::{SignError, registered};
use crate::clock::Timestamp;
use crate::entropy::Entropy;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// RFC 7518 3.2: a key for HS256 has at least the size of the hash, bytes.
pub const SHARED_BYTES_MIN: usize = 32;

/// Signs with HS256 for one application.
pub struct SharedSigner {
    issuer: String,
    key: EncodingKey,
    entropy: Arc<dyn Entropy>,
}

impl SharedSigner {
    /// With `secret`, for tokens whose `iss` is `issuer`.
    ///
    /// # Errors
    /// [`SignError::Short`].
    pub fn new(secret: &SecretString, issuer: &str, entropy: Arc<dyn Entropy>) -> Result<Self, SignError> {
        Self::fits(secret)?;
        // Once per process; an error says that it was installed before.
        let _installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        Ok(Self { issuer: issuer.to_owned(), key: EncodingKey::from_secret(secret.expose_secret().as_bytes()), entropy })
    }

    /// Whether `secret` is long enough.
    ///
    /// # Errors
    /// [`SignError::Short`].
    pub fn fits(secret: &SecretString) -> Result<(), SignError> {
        let bytes = secret.expose_secret().len();
        if bytes < SHARED_BYTES_MIN { Err(SignError::Short { bytes }) } else { Ok(()) }
    }

    /// As [`super::Signer::sign`], without `kid`.
    ///
    /// # Errors
    /// As there.
    pub fn sign(&self, claims: Map<String, Value>, now: Timestamp, ttl_s: i64) -> Result<String, SignError> {
        let claims = registered(claims, &self.issuer, now, ttl_s, self.entropy.as_ref())?;
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key).map_err(|error| SignError::Crypto(Box::new(error)))
    }
}

impl fmt::Debug for SharedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSigner").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{SHARED_BYTES_MIN, SharedSigner};
    use crate::clock::Timestamp;
    use crate::entropy::SeededEntropy;
    use crate::signer::{SignError, TTL_S_MAX};
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use serde_json::{Map, Value, json};
    use std::sync::Arc;

    const NOW: Timestamp = Timestamp::from_seconds(4_000_000_000); // the verifier reads the machine's clock; tokens here are not yet expired

    fn signer(secret: &str) -> Result<SharedSigner, SignError> {
        SharedSigner::new(&secret.to_owned().into(), "https://auth.example", Arc::new(SeededEntropy::new(1)))
    }

    fn claims() -> Map<String, Value> {
        json!({ "aud": "metrics", "username": "ada", "iss": "forged", "exp": 1 }).as_object().unwrap().clone()
    }

    #[test]
    fn a_secret_that_can_be_guessed_signs_nothing_and_is_in_no_message() {
        for secret in ["", "short", &"s".repeat(SHARED_BYTES_MIN - 1)] {
            let error = signer(secret).unwrap_err();
            assert!(matches!(error, SignError::Short { bytes } if bytes == secret.len()));
            assert!(error.to_string().contains("32") && !error.to_string().contains("sss"), "{error}");
        }
        assert!(!format!("{:?}", signer(&"s".repeat(SHARED_BYTES_MIN)).unwrap()).contains("sss"));
    }

    #[test]
    fn a_token_verifies_under_the_secret_alone_and_lives_for_minutes() {
        let secret = "a secret of an app and the gateway";
        let signer = signer(secret).unwrap();
        for ttl_s in [0, -1, TTL_S_MAX + 1] {
            assert!(matches!(signer.sign(claims(), NOW, ttl_s), Err(SignError::Lifetime(_))));
        }
        assert!(matches!(signer.sign(Map::new(), NOW, 60), Err(SignError::Audience)));
        let token = signer.sign(claims(), NOW, 60).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!((header.alg, header.kid), (Algorithm::HS256, None));
        let verify = |secret: &str, algorithm: Algorithm| {
            let mut validation = Validation::new(algorithm);
            validation.set_audience(&["metrics"]);
            validation.set_issuer(&["https://auth.example"]);
            jsonwebtoken::decode::<Map<String, Value>>(&token, &DecodingKey::from_secret(secret.as_bytes()), &validation).map(|data| data.claims)
        };
        assert!(verify("a secret of an app and the gatewaY", Algorithm::HS256).is_err(), "another secret");
        assert!(verify(secret, Algorithm::HS512).is_err(), "another algorithm");
        let read = verify(secret, Algorithm::HS256).unwrap();
        assert_eq!((&read["username"], &read["exp"]), (&json!("ada"), &json!(NOW.seconds() + 60)));
    }
}
