//! The identity JWT that applications verify.
//!
//! Lives here: [`Signer`], ES256 over claims that somebody else decided (`provision/`), and the JWKS under which it is verified. Keys come from the
//! [`KeyStore`], made on first start; [`SharedSigner`], HS256 for an application that knows nothing else. Apart from `session/` and `provision/` because the private key must not be in reach of either. It must never know
//! what the claims mean.

mod shared;

pub use shared::{SHARED_BYTES_MIN, SharedSigner};

use crate::clock::{Clock, Timestamp};
use crate::entropy::Entropy;
use crate::state::{KeyStore, SigningKey, StoreError};
use arc_swap::ArcSwap;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::Arc;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// Longest life of a token: what is asserted may have changed since.
pub const TTL_S_MAX: i64 = 300;

/// Why there is no token, or no signer.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Not between one second and [`TTL_S_MAX`].
    #[error("a token may live 1 to {TTL_S_MAX} seconds, not {0}")]
    Lifetime(i64),
    /// `aud` is not one non-empty string: a token for nobody in particular would be good anywhere (`ALBeast`).
    #[error("a token needs one audience")]
    Audience,
    /// A secret that somebody could find out by trying.
    #[error("a secret of {bytes} bytes is too short to sign with: HS256 needs {SHARED_BYTES_MIN} or more (RFC 7518 3.2)")]
    Short {
        /// How many it has.
        bytes: usize,
    },
    /// A stored key is not a P-256 key pair, or its halves do not belong together.
    #[error("signing key {kid} in the state store is not usable")]
    Key {
        /// `kid` of that key.
        kid: String,
    },
    /// The cryptographic library refused.
    #[error("the token could not be signed: {0}")]
    Crypto(Box<dyn std::error::Error + Send + Sync>),
    /// The keys could not be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A new key signs only when applications can have fetched it: they may keep a key set for so long.
const PUBLISHED_FIRST_MS: i64 = 10 * 60_000;
/// A key that signs no longer is published for so long: tokens that it signed live for minutes, caches of key sets and clocks are less exact.
const PUBLISHED_AFTER_MS: i64 = 24 * 3_600_000;

/// Signs identity JWTs and publishes the keys.
pub struct Signer {
    issuer: String,
    /// The newest first; never empty.
    keys: ArcSwap<Vec<Loaded>>,
    entropy: Arc<dyn Entropy>,
    /// Held from before keys are read until they are those in use: who has read earlier must not put theirs over newer ones.
    turn: Mutex<()>,
}

/// A key, ready to sign.
struct Loaded {
    header: Header,
    key: EncodingKey,
    jwk: Value,
    made_at: Timestamp,
}

/// The keys, for operators.
#[derive(Debug, Clone)]
pub struct KeyRing {
    /// Signs with them.
    pub signer: Arc<Signer>,
    /// Keeps them.
    pub store: Arc<dyn KeyStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// One key, without its private half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedKey {
    /// `kid`.
    pub kid: String,
    /// When it was made, seconds since the epoch.
    pub made_at: i64,
    /// What it is good for now.
    pub state: KeyState,
    /// From when on it signs, seconds since the epoch.
    pub signs_from: i64,
    /// When it is published no longer, seconds since the epoch; `None` while no newer one signs in its place.
    pub withdrawn_at: Option<i64>,
}

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Published, and signs before long.
    Coming,
    /// Signs.
    Signs,
    /// Has signed; published for what it signed.
    Leaving,
    /// Published no longer.
    Withdrawn,
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The last one is younger than an hour: the store takes it for one of another gateway that was quicker.
    #[error("a key was made within the last hour: wait until it is an hour old")]
    TooSoon,
    /// The key, or the store.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl KeyRing {
    /// Every key, the newest first.
    pub fn list(&self) -> Vec<ListedKey> {
        self.signer.list(self.clock.now())
    }

    /// Makes a new key and publishes it; it signs in ten minutes. `by` is for the audit log. Returns every key.
    ///
    /// # Errors
    /// [`RotateError`].
    pub async fn rotate(&self, by: &str) -> Result<Vec<ListedKey>, RotateError> {
        let _turn = self.signer.turn.lock().await;
        let key = generate(self.clock.now())?;
        if !self.store.add_signing_key(&key).await.map_err(SignError::from)? {
            return Err(RotateError::TooSoon);
        }
        let kept = self.store.signing_keys().await.map_err(SignError::from)?;
        self.signer.keys.store(Arc::new(loaded(&kept)?));
        tracing::info!(target: "audit", action = "key.rotated", actor = by, key.kid = key.kid);
        Ok(self.list())
    }

    /// Removes the keys that are published no longer: nothing that they have signed is good any more, and nobody has their public halves cached. Returns how many.
    ///
    /// # Errors
    /// The store's: what is left is removed the next time.
    pub async fn tidy(&self) -> Result<usize, SignError> {
        let _turn = self.signer.turn.lock().await;
        let withdrawn: Vec<ListedKey> = self.list().into_iter().filter(|key| key.state == KeyState::Withdrawn).collect();
        for key in &withdrawn {
            self.store.remove_signing_key(&key.kid).await?;
            tracing::info!(target: "audit", action = "key.removed", actor = "vestibule", key.kid = key.kid);
        }
        if !withdrawn.is_empty() {
            // Another gateway may have made one meanwhile.
            self.signer.keys.store(Arc::new(loaded(&self.store.signing_keys().await?)?));
        }
        Ok(withdrawn.len())
    }
}

impl Signer {
    /// Reads the keys, making one when there is none. Two gateways that start together end with the same key: the store takes only the first.
    ///
    /// `issuer` is what `iss` will say, the origin of the auth host. The newest key signs once it has been published for ten minutes; keys are published
    /// until a day after another has taken their place.
    ///
    /// # Errors
    /// [`SignError::Store`], [`SignError::Key`], [`SignError::Crypto`].
    pub async fn load(store: &dyn KeyStore, entropy: Arc<dyn Entropy>, clock: &dyn Clock, issuer: &str) -> Result<Self, SignError> {
        let mut keys = store.signing_keys().await?;
        if keys.is_empty() {
            // False: another gateway was first, and its key is the one that we read next.
            let _ours = store.add_signing_key(&generate(clock.now())?).await?;
            keys = store.signing_keys().await?;
        }
        Self::with_keys(&keys, entropy, issuer)
    }

    fn with_keys(keys: &[SigningKey], entropy: Arc<dyn Entropy>, issuer: &str) -> Result<Self, SignError> {
        // Once per process; an error says that it was installed before.
        let _installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        Ok(Self { issuer: issuer.to_owned(), keys: ArcSwap::from_pointee(loaded(keys)?), entropy, turn: Mutex::new(()) })
    }

    /// A signed JWT with `claims`, good for `ttl_s` seconds from `now`.
    ///
    /// `iss`, `iat`, `nbf`, `exp` and `jti` are ours (RFC 7519 4.1) and replace claims of those names. `claims` brings `aud`, the one application that
    /// the token is for.
    ///
    /// # Errors
    /// [`SignError::Lifetime`], [`SignError::Audience`], [`SignError::Crypto`].
    pub fn sign(&self, claims: Map<String, Value>, now: Timestamp, ttl_s: i64) -> Result<String, SignError> {
        let claims = registered(claims, &self.issuer, now, ttl_s, self.entropy.as_ref())?;
        let keys = self.keys.load();
        let key = keys.get(signing(&keys, now)).ok_or_else(|| SignError::Crypto("there is no key".into()))?;
        jsonwebtoken::encode(&key.header, &claims, &key.key).map_err(|error| SignError::Crypto(Box::new(error)))
    }

    /// The JWK set (RFC 7517 5) at `now`: public parts of every key that a token may be signed with, before long or still.
    pub fn jwks(&self, now: Timestamp) -> Value {
        let keys = self.keys.load();
        let states = states(&keys, now);
        let published: Vec<&Value> =
            keys.iter().zip(&states).filter(|(_, (state, _))| *state != KeyState::Withdrawn).map(|(key, _)| &key.jwk).collect();
        json!({ "keys": published })
    }

    fn list(&self, now: Timestamp) -> Vec<ListedKey> {
        let keys = self.keys.load();
        let one = |(at, (key, (state, withdrawn_at))): (usize, (&Loaded, (KeyState, Option<Timestamp>)))| ListedKey {
            kid: key.header.kid.clone().unwrap_or_default(),
            made_at: key.made_at.seconds(),
            state,
            signs_from: if at + 1 == keys.len() { key.made_at } else { key.made_at.plus_ms(PUBLISHED_FIRST_MS) }.seconds(),
            withdrawn_at: withdrawn_at.map(Timestamp::seconds),
        };
        keys.iter().zip(states(&keys, now)).enumerate().map(one).collect()
    }
}

/// `claims` with those of RFC 7519 4.1 that are ours.
fn registered(
    mut claims: Map<String, Value>,
    issuer: &str,
    now: Timestamp,
    ttl_s: i64,
    entropy: &dyn Entropy,
) -> Result<Map<String, Value>, SignError> {
    if !(1..=TTL_S_MAX).contains(&ttl_s) {
        return Err(SignError::Lifetime(ttl_s));
    }
    if claims.get("aud").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(SignError::Audience);
    }
    let issued_at = now.seconds();
    claims.insert("iss".to_owned(), Value::from(issuer));
    claims.insert("iat".to_owned(), Value::from(issued_at));
    claims.insert("nbf".to_owned(), Value::from(issued_at));
    claims.insert("exp".to_owned(), Value::from(issued_at.saturating_add(ttl_s)));
    claims.insert("jti".to_owned(), Value::from(URL_SAFE_NO_PAD.encode(entropy.bytes::<16>())));
    Ok(claims)
}

/// Which of `keys`, the newest first, signs at `now`: the newest that has been published for long enough; the first of all had nobody before it.
fn signing(keys: &[Loaded], now: Timestamp) -> usize {
    keys.iter().position(|key| now.since_ms(key.made_at) >= PUBLISHED_FIRST_MS).unwrap_or_else(|| keys.len().saturating_sub(1))
}

/// What each of `keys`, the newest first, is good for at `now`, and when it is published no longer.
fn states(keys: &[Loaded], now: Timestamp) -> Vec<(KeyState, Option<Timestamp>)> {
    let signs = signing(keys, now);
    let mut newer: Option<Timestamp> = None;
    let mut states = Vec::with_capacity(keys.len());
    for (at, key) in keys.iter().enumerate() {
        let withdrawn_at = newer.replace(key.made_at).map(|made_at| made_at.plus_ms(PUBLISHED_FIRST_MS + PUBLISHED_AFTER_MS));
        let state = match at.cmp(&signs) {
            std::cmp::Ordering::Less => KeyState::Coming,
            std::cmp::Ordering::Equal => KeyState::Signs,
            std::cmp::Ordering::Greater if withdrawn_at.is_some_and(|at| now >= at) => KeyState::Withdrawn,
            std::cmp::Ordering::Greater => KeyState::Leaving,
        };
        states.push((state, withdrawn_at));
    }
    states
}

/// Keys of the store, the newest first, ready to sign.
fn loaded(keys: &[SigningKey]) -> Result<Vec<Loaded>, SignError> {
    if keys.is_empty() {
        return Err(StoreError::Unavailable("the signing key that was kept is not there".into()).into());
    }
    let one = |key: &SigningKey| {
        let jwk = jwk(key)?;
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(key.kid.clone());
        Ok(Loaded { header, key: EncodingKey::from_ec_der(&key.pkcs8), jwk, made_at: key.created_at })
    };
    keys.iter().map(one).collect()
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<_> = self.keys.load().iter().map(|key| key.header.kid.clone()).collect();
        f.debug_struct("Signer").field("issuer", &self.issuer).field("kids", &kids).finish_non_exhaustive()
    }
}

/// A fresh key pair. The random source is the library's own, which is the operating system's: private keys are never seeded.
fn generate(now: Timestamp) -> Result<SigningKey, SignError> {
    let refused = |what: &'static str| move |Unspecified| SignError::Crypto(what.into());
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(refused("no key pair could be made"))?;
    let document = pair.to_pkcs8v1().map_err(refused("the new key pair could not be written"))?;
    let public = pair.public_key().as_ref().to_vec();
    let kid = thumbprint(&public).ok_or_else(|| SignError::Crypto("the new key pair has an odd public key".into()))?;
    Ok(SigningKey { kid, pkcs8: Zeroizing::new(document.as_ref().to_vec()), public, created_at: now })
}

/// The JWK of a stored key, after making sure that both halves belong together.
fn jwk(key: &SigningKey) -> Result<Value, SignError> {
    let unusable = || SignError::Key { kid: key.kid.clone() };
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.pkcs8).map_err(|_rejected| unusable())?;
    if pair.public_key().as_ref() != key.public {
        return Err(unusable());
    }
    let (x, y) = coordinates(&key.public).ok_or_else(unusable)?;
    Ok(json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key.kid, "x": x, "y": y }))
}

/// RFC 7638: SHA-256 of the required members in lexical order, without spaces.
fn thumbprint(public: &[u8]) -> Option<String> {
    let (x, y) = coordinates(public)?;
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    Some(URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes())))
}

/// SEC 1 2.3.3: an uncompressed point is `04`, then x and y of 32 bytes each.
fn coordinates(public: &[u8]) -> Option<(String, String)> {
    let point: &[u8; 65] = public.try_into().ok()?;
    let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
    Some((URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y)))
}

#[cfg(test)]
mod tests {
    use super::{KeyRing, KeyState, SignError, Signer, TTL_S_MAX, generate};
    use crate::clock::{ManualClock, Timestamp};
    use crate::entropy::SeededEntropy;
    use crate::state::{KeyStore, SigningKey, StoreError};
    use async_trait::async_trait;
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use serde_json::{Map, Value, json};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use tokio::sync::Semaphore;

    const NOW: Timestamp = Timestamp::from_seconds(4_000_000_000); // the verifier reads the machine's clock; tokens here are not yet expired

    /// Keeps only the first key, as the port says; and may lose the race to another replica.
    #[derive(Debug, Default)]
    struct Keys {
        kept: Mutex<Vec<SigningKey>>,
        other_is_first: Mutex<Option<SigningKey>>,
        down: bool,
    }

    #[async_trait]
    impl KeyStore for Keys {
        async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
            if self.down { Err(StoreError::Sealed) } else { Ok(self.kept.lock().unwrap().clone()) }
        }

        async fn add_signing_key(&self, key: &SigningKey) -> Result<bool, StoreError> {
            let other = self.other_is_first.lock().unwrap().take();
            let first = other.is_none();
            self.kept.lock().unwrap().push(other.unwrap_or_else(|| key.clone()));
            Ok(first)
        }

        async fn remove_signing_key(&self, kid: &str) -> Result<(), StoreError> {
            self.kept.lock().unwrap().retain(|key| key.kid != kid);
            Ok(())
        }
    }

    /// Whoever reads first is told late what they have read.
    #[derive(Debug)]
    struct Slow {
        keys: Keys,
        reads: AtomicUsize,
        gate: Semaphore,
    }

    #[async_trait]
    impl KeyStore for Slow {
        async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
            let kept = self.keys.signing_keys().await;
            if self.reads.fetch_add(1, Ordering::Relaxed) == 0 {
                self.gate.acquire().await.unwrap().forget();
            }
            kept
        }

        async fn add_signing_key(&self, key: &SigningKey) -> Result<bool, StoreError> {
            self.keys.add_signing_key(key).await
        }

        async fn remove_signing_key(&self, kid: &str) -> Result<(), StoreError> {
            self.keys.remove_signing_key(kid).await
        }
    }

    #[tokio::test]
    async fn removing_keys_never_puts_the_list_of_before_over_a_new_key() {
        const DAY_MS: i64 = 24 * 3_600_000;
        let made = [-3, -2].map(|days| generate(NOW.plus_ms(days * DAY_MS)).unwrap());
        let keys = Keys { kept: Mutex::new(made.iter().rev().cloned().collect()), ..Keys::default() };
        let signer = Arc::new(load(&keys, 1).await.unwrap());
        let store = Arc::new(Slow { keys, reads: AtomicUsize::new(0), gate: Semaphore::new(0) });
        let ring = KeyRing { signer, store: store.clone(), clock: Arc::new(ManualClock::new(NOW)) };
        let (tidying, rotating) = (ring.clone(), ring.clone());
        let tidy = tokio::spawn(async move { tidying.tidy().await });
        while store.reads.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let rotate = tokio::spawn(async move { rotating.rotate("op").await });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        store.gate.add_permits(1);
        assert_eq!(tidy.await.unwrap().unwrap(), 1);
        rotate.await.unwrap().unwrap();
        let kept: Vec<String> = store.keys.kept.lock().unwrap().iter().map(|key| key.kid.clone()).collect();
        assert_eq!(ring.list().into_iter().map(|key| key.kid).collect::<Vec<_>>(), kept);
        assert_eq!(kept.len(), 2, "one of two removed, one made");
    }

    async fn load(store: &Keys, seed: u64) -> Result<Signer, SignError> {
        Signer::load(store, Arc::new(SeededEntropy::new(seed)), &ManualClock::new(NOW), "https://auth.example").await
    }

    fn claims() -> Map<String, Value> {
        json!({ "aud": "https://wiki.example", "sub": "ada" }).as_object().unwrap().clone()
    }

    fn verify(token: &str, jwks: &Value, audience: &str) -> jsonwebtoken::errors::Result<Map<String, Value>> {
        let set: JwkSet = serde_json::from_value(jwks.clone()).unwrap();
        let header = jsonwebtoken::decode_header(token)?;
        assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::ES256, Some("JWT")));
        let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).expect("the kid is published"))?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&["https://auth.example"]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation).map(|data| data.claims)
    }

    #[tokio::test]
    async fn no_token_without_an_audience_or_for_longer_than_five_minutes() {
        let signer = load(&Keys::default(), 1).await.unwrap();
        for ttl_s in [i64::MIN, -1, 0, TTL_S_MAX + 1, i64::MAX] {
            assert!(matches!(signer.sign(claims(), NOW, ttl_s), Err(SignError::Lifetime(found)) if found == ttl_s));
        }
        for aud in [json!(null), json!(""), json!([]), json!(["a", "b"]), json!(1)] {
            let mut without = claims();
            without.insert("aud".to_owned(), aud);
            assert!(matches!(signer.sign(without, NOW, 60), Err(SignError::Audience)));
        }
        assert!(matches!(signer.sign(Map::new(), NOW, 60), Err(SignError::Audience)));
    }

    #[tokio::test]
    async fn a_token_verifies_by_the_published_keys_for_its_audience_alone() {
        let signer = load(&Keys::default(), 1).await.unwrap();
        let token = signer.sign(claims(), NOW, 60).unwrap();
        assert!(verify(&token, &signer.jwks(NOW), "https://crm.example").is_err(), "another app");
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert!(verify(&format!("{unsigned}.AAAA"), &signer.jwks(NOW), "https://wiki.example").is_err(), "another signature");
        let read = verify(&token, &signer.jwks(NOW), "https://wiki.example").unwrap();
        assert_eq!(read["sub"], "ada");
        assert_eq!(read["iss"], "https://auth.example");
        assert_eq!((&read["iat"], &read["nbf"], &read["exp"]), (&json!(NOW.seconds()), &json!(NOW.seconds()), &json!(NOW.seconds() + 60)));
        assert_eq!(read["jti"].as_str().unwrap().len(), 22);
    }

    #[tokio::test]
    async fn registered_claims_are_ours_and_no_two_tokens_are_one() {
        let signer = load(&Keys::default(), 1).await.unwrap();
        let mut forged = claims();
        for name in ["iss", "iat", "nbf", "exp", "jti"] {
            forged.insert(name.to_owned(), json!("forged"));
        }
        let read = |token: &str| verify(token, &signer.jwks(NOW), "https://wiki.example").unwrap();
        let (one, two) = (read(&signer.sign(forged, NOW, 300).unwrap()), read(&signer.sign(claims(), NOW, 300).unwrap()));
        assert!(one.values().all(|value| value != "forged"));
        assert_ne!(one["jti"], two["jti"]);
    }

    #[tokio::test]
    async fn nothing_private_is_published_or_printed() {
        let store = Keys::default();
        let signer = load(&store, 1).await.unwrap();
        let jwks = signer.jwks(NOW);
        let [key] = jwks["keys"].as_array().unwrap().as_slice() else { panic!("one key") };
        let mut members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
        assert_eq!((&key["use"], &key["alg"]), (&json!("sig"), &json!("ES256")));
        assert!(format!("{signer:?}").ends_with(", .. }"));
    }

    #[tokio::test]
    async fn replicas_that_start_together_sign_with_one_key() {
        let theirs = generate(NOW).unwrap();
        let store = Keys { other_is_first: Mutex::new(Some(theirs.clone())), ..Keys::default() };
        let late = load(&store, 1).await.unwrap();
        let again = load(&store, 2).await.unwrap();
        assert_eq!(late.list(NOW)[0].kid, theirs.kid);
        assert_eq!(again.jwks(NOW), late.jwks(NOW));
        let token = late.sign(claims(), NOW, 60).unwrap();
        assert!(verify(&token, &again.jwks(NOW), "https://wiki.example").is_ok());
    }

    #[tokio::test]
    async fn a_new_key_signs_when_it_is_known_and_the_old_one_is_known_as_long_as_it_is_needed() {
        const HOUR_MS: i64 = 3_600_000;
        let (old, new) = (generate(NOW).unwrap(), generate(NOW.plus_ms(HOUR_MS)).unwrap());
        let store = Keys { kept: Mutex::new(vec![new.clone(), old.clone()]), ..Keys::default() };
        let signer = load(&store, 1).await.unwrap();
        let check = |after_ms: i64, signs: &SigningKey, published: &[&SigningKey], states: [KeyState; 2]| {
            let now = NOW.plus_ms(HOUR_MS + after_ms);
            let token = signer.sign(claims(), now, 60).unwrap();
            assert_eq!(jsonwebtoken::decode_header(&token).unwrap().kid, Some(signs.kid.clone()), "{after_ms}");
            let kids: Vec<Value> = signer.jwks(now)["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
            assert_eq!(kids, published.iter().map(|key| json!(key.kid)).collect::<Vec<_>>(), "{after_ms}");
            assert_eq!(signer.list(now).iter().map(|key| key.state).collect::<Vec<_>>(), states, "{after_ms}");
        };
        let minutes = |count: i64| count * 60_000;
        check(0, &old, &[&new, &old], [KeyState::Coming, KeyState::Signs]);
        check(minutes(10) - 1, &old, &[&new, &old], [KeyState::Coming, KeyState::Signs]);
        check(minutes(10), &new, &[&new, &old], [KeyState::Signs, KeyState::Leaving]);
        check(minutes(10) + 24 * HOUR_MS - 1, &new, &[&new, &old], [KeyState::Signs, KeyState::Leaving]);
        check(minutes(10) + 24 * HOUR_MS, &new, &[&new], [KeyState::Signs, KeyState::Withdrawn]);
        check(-HOUR_MS, &old, &[&new, &old], [KeyState::Coming, KeyState::Signs]);
    }

    #[tokio::test]
    async fn a_withdrawn_key_is_removed_and_no_other() {
        const HOUR_MS: i64 = 3_600_000;
        let ages = [30, 2, 0].map(|hours| NOW.plus_ms(-hours * HOUR_MS));
        let made = ages.map(|at| generate(at).unwrap());
        let store = Arc::new(Keys { kept: Mutex::new(made.iter().rev().cloned().collect()), ..Keys::default() });
        let clock = Arc::new(ManualClock::new(NOW));
        let ring = KeyRing { signer: Arc::new(load(&store, 1).await.unwrap()), store: store.clone(), clock: clock.clone() };
        let kept = || store.kept.lock().unwrap().iter().map(|key| key.kid.clone()).collect::<Vec<_>>();
        let [oldest, middle, newest] = made.each_ref().map(|key| key.kid.clone());
        // What the oldest has signed is good for minutes, and its public half may be cached: until a day after the next one has taken its place.
        clock.advance_ms(22 * HOUR_MS + 10 * 60_000 - 1);
        assert_eq!((ring.tidy().await.unwrap(), kept()), (0, vec![newest.clone(), middle.clone(), oldest]));
        clock.advance_ms(1);
        assert_eq!((ring.tidy().await.unwrap(), kept()), (1, vec![newest.clone(), middle.clone()]));
        assert_eq!(ring.list().iter().map(|key| key.kid.clone()).collect::<Vec<_>>(), kept(), "and from memory");
        assert!(ring.signer.sign(claims(), NOW, 60).is_ok());
        clock.advance_ms(365 * 24 * HOUR_MS);
        assert_eq!((ring.tidy().await.unwrap(), kept()), (1, vec![newest.clone()]));
        assert_eq!((ring.tidy().await.unwrap(), kept()), (0, vec![newest]), "whoever signs stays");
    }

    #[tokio::test]
    async fn a_store_that_is_down_or_a_key_that_does_not_fit_makes_no_signer() {
        let down = Keys { down: true, ..Keys::default() };
        assert!(matches!(load(&down, 1).await, Err(SignError::Store(StoreError::Sealed))));
        let (one, two) = (generate(NOW).unwrap(), generate(NOW).unwrap());
        let swapped = Keys { kept: Mutex::new(vec![SigningKey { public: two.public, ..one.clone() }]), ..Keys::default() };
        assert!(matches!(load(&swapped, 1).await, Err(SignError::Key { kid }) if kid == one.kid));
        let garbage = Keys { kept: Mutex::new(vec![SigningKey { pkcs8: vec![1, 2, 3].into(), ..one }]), ..Keys::default() };
        assert!(matches!(load(&garbage, 1).await, Err(SignError::Key { .. })));
    }
}
