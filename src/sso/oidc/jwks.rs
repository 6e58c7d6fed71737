//! A provider's keys: which of them may verify an ID token, and when to ask for them again.
//!
//! [`parse_set`] is pure and keeps only keys that could verify a signature: an unknown or unfit key beside a good one is skipped (RFC 7517 5).
//! [`KeyCache`] is single-flight; an unknown `kid` makes it ask at most every 30 s, whoever sends however many (attacks.md O12), and a
//! failed fetch leaves the last good set in place for a day.

use super::http;
use crate::clock::{Clock, Timestamp};
use crate::outbound::Transport;
use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::Mutex;
use url::Url;

/// A set older than this is fetched again at the next sign-in, so that a withdrawn key stops working.
const FRESH_MS: i64 = 5 * 60 * 1000;
/// A set older than this is not used any more, even when no newer one can be had.
const STALE_MS_MAX: i64 = 24 * 60 * 60 * 1000;
/// Pause between fetches that a token caused (an unknown `kid`, a signature that no key fits), and after failures.
const CAUSED_PAUSE_MS: i64 = 30_000;
/// Keys looked at in a set.
const KEYS_MAX: usize = 64;

/// A public key that may verify signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    /// `alg`, when the key is pinned to one.
    pub(super) alg: Option<String>,
    pub(super) material: Material,
}

/// The numbers of a key, big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256 { x: Vec<u8>, y: Vec<u8> },
    P384 { x: Vec<u8>, y: Vec<u8> },
    Ed25519 { x: Vec<u8> },
}

impl Key {
    /// Whether this key may verify a token with these header parameters. A token without `kid` may have been signed by any key.
    fn fits(&self, kid: Option<&str>, alg: &str) -> bool {
        let right_type = match self.material {
            Material::Rsa { .. } => alg.starts_with("RS") || alg.starts_with("PS"),
            Material::P256 { .. } => alg == "ES256",
            Material::P384 { .. } => alg == "ES384",
            Material::Ed25519 { .. } => alg == "EdDSA",
        };
        // RFC 9864 gave Ed25519 a name of its own; keys of either name are the same.
        let pinned = self.alg.as_deref().is_none_or(|own| own == alg || (own == "Ed25519" && alg == "EdDSA"));
        let named = kid.is_none() || kid == self.kid.as_deref();
        right_type && pinned && named
    }
}

/// Parses a JWK set; what cannot verify a signature is left out.
///
/// # Errors
/// The document is not a JWK set at all.
pub(super) fn parse_set(body: &[u8]) -> Result<Vec<Key>, &'static str> {
    let document: Value = serde_json::from_slice(body).map_err(|_error| "not JSON")?;
    let keys = document.get("keys").and_then(Value::as_array).ok_or("no list of keys")?;
    Ok(keys.iter().filter_map(Value::as_object).filter_map(key).take(KEYS_MAX).collect())
}

fn key(jwk: &Map<String, Value>) -> Option<Key> {
    let optional = |name| match jwk.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_str().map(|text| Some(text.to_owned())),
    };
    // RFC 7517 4.2, 4.3: a key for encryption signs nothing.
    let may_sign = optional("use")?.is_none_or(|usage| usage == "sig");
    let may_verify = jwk.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
    if !may_sign || !may_verify {
        return None;
    }
    let number = |name| URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?.trim_end_matches('=')).ok();
    let sized = |name, bytes: usize| number(name).filter(|number: &Vec<u8>| number.len() == bytes);
    let material = match (jwk.get("kty")?.as_str()?, jwk.get("crv").and_then(Value::as_str)) {
        ("RSA", _) => rsa(number("n")?, number("e")?)?,
        ("EC", Some("P-256")) => Material::P256 { x: sized("x", 32)?, y: sized("y", 32)? },
        ("EC", Some("P-384")) => Material::P384 { x: sized("x", 48)?, y: sized("y", 48)? },
        ("OKP", Some("Ed25519")) => Material::Ed25519 { x: sized("x", 32)? },
        // `oct` above all: a symmetric key in a public document verifies nothing (RFC 8725 2.1).
        _ => return None,
    };
    Some(Key { kid: optional("kid")?, alg: optional("alg")?, material })
}

/// RFC 7518 3.3: 2048 bits or larger. Above 4096 the verifier gives up, and so may we.
fn rsa(n: Vec<u8>, e: Vec<u8>) -> Option<Material> {
    let n: Vec<u8> = n.into_iter().skip_while(|byte| *byte == 0).collect();
    let e: Vec<u8> = e.into_iter().skip_while(|byte| *byte == 0).collect();
    let bits = n.len() * 8 - usize::try_from(n.first()?.leading_zeros()).ok()?;
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    let exponent_fits = e.len() <= 4 && odd(&e) && e != [1];
    ((2048..=4096).contains(&bits) && odd(&n) && exponent_fits).then_some(Material::Rsa { n, e })
}

/// A provider's keys, cached.
#[derive(Debug)]
pub(super) struct KeyCache {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    good: ArcSwapOption<Set>,
    flight: Mutex<Fetches>,
}

#[derive(Debug)]
struct Set {
    keys: Vec<Key>,
    from: Url,
    fetched_at: Timestamp,
}

#[derive(Debug, Default)]
struct Fetches {
    /// The last fetch that a token caused.
    caused_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
}

impl KeyCache {
    pub(super) fn new(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        Self { transport, clock, good: ArcSwapOption::empty(), flight: Mutex::default() }
    }

    /// When the set that is used now was fetched.
    pub(super) fn fetched_at(&self) -> Option<Timestamp> {
        self.good.load().as_ref().map(|set| set.fetched_at)
    }

    /// The keys that may have signed a token with this header; none when the provider has no such key.
    ///
    /// # Errors
    /// There is no set at all to look in.
    pub(super) async fn candidates(&self, jwks_uri: &Url, kid: Option<&str>, alg: &str) -> Result<Vec<Key>, String> {
        let set = self.current(jwks_uri).await?;
        let found = fitting(&set, kid, alg);
        if !found.is_empty() {
            return Ok(found);
        }
        Ok(self.newer_than(&set).await.map(|set| fitting(&set, kid, alg)).unwrap_or_default())
    }

    /// As [`Self::candidates`], after no candidate fitted: only from a set that is newer than the one they came from.
    pub(super) async fn other_candidates(&self, tried: &[Key], kid: Option<&str>, alg: &str) -> Vec<Key> {
        let Some(set) = self.good.load_full() else { return Vec::new() };
        let newer = self.newer_than(&set).await.map(|set| fitting(&set, kid, alg)).unwrap_or_default();
        newer.into_iter().filter(|key| !tried.contains(key)).collect()
    }

    async fn current(&self, jwks_uri: &Url) -> Result<Arc<Set>, String> {
        let age_in = |limit: i64| {
            let set = self.good.load_full()?;
            (set.from == *jwks_uri && (0..limit).contains(&self.clock.now().since_ms(set.fetched_at))).then_some(set)
        };
        if let Some(set) = age_in(FRESH_MS) {
            return Ok(set);
        }
        let mut fetches = self.flight.lock().await;
        if let Some(set) = age_in(FRESH_MS) {
            return Ok(set);
        }
        let stale = age_in(STALE_MS_MAX);
        if let Some(set) = &stale
            && self.within_pause(fetches.failed_at)
        {
            return Ok(Arc::clone(set));
        }
        match self.fetch(jwks_uri).await {
            Ok(set) => {
                fetches.failed_at = None;
                Ok(set)
            }
            Err(why) => {
                fetches.failed_at = Some(self.clock.now());
                stale.ok_or(why)
            }
        }
    }

    /// Fetches because of a token, unless that happened less than 30 s ago.
    async fn newer_than(&self, seen: &Arc<Set>) -> Option<Arc<Set>> {
        let mut fetches = self.flight.lock().await;
        let present = self.good.load_full()?;
        if !Arc::ptr_eq(&present, seen) {
            return Some(present);
        }
        if self.within_pause(fetches.caused_at) {
            return None;
        }
        fetches.caused_at = Some(self.clock.now());
        match self.fetch(&seen.from).await {
            Ok(set) => Some(set),
            Err(why) => {
                tracing::warn!(jwks_uri = %seen.from, why, "the provider's keys could not be fetched again; the last good set stays");
                None
            }
        }
    }

    fn within_pause(&self, since: Option<Timestamp>) -> bool {
        since.is_some_and(|at| (0..CAUSED_PAUSE_MS).contains(&self.clock.now().since_ms(at)))
    }

    async fn fetch(&self, jwks_uri: &Url) -> Result<Arc<Set>, String> {
        let response = http::get(self.transport.as_ref(), jwks_uri.clone(), None).await.map_err(|error| error.to_string())?;
        let keys = parse_set(&response.body).map_err(str::to_owned)?;
        let set = Arc::new(Set { keys, from: jwks_uri.clone(), fetched_at: self.clock.now() });
        self.good.store(Some(Arc::clone(&set)));
        Ok(set)
    }
}

fn fitting(set: &Set, kid: Option<&str>, alg: &str) -> Vec<Key> {
    set.keys.iter().filter(|key| key.fits(kid, alg)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{Key, Material, parse_set};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    fn number(first: u8, bytes: usize) -> String {
        let mut number = vec![0xff; bytes];
        number[0] = first;
        URL_SAFE_NO_PAD.encode(number)
    }

    fn rsa(bits: usize) -> Value {
        json!({"kty": "RSA", "n": number(0xff, bits / 8), "e": "AQAB", "kid": "a"})
    }

    fn usable(keys: &Value) -> usize {
        parse_set(json!({ "keys": keys }).to_string().as_bytes()).unwrap().len()
    }

    #[test]
    fn o8_keys_that_must_not_verify_are_left_out_and_o9_good_ones_beside_them_stay() {
        let with = |mut jwk: Value, name: &str, value: Value| {
            jwk[name] = value;
            jwk
        };
        for bad in [
            json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}),
            with(rsa(2048), "use", json!("enc")),
            with(rsa(2048), "key_ops", json!(["encrypt"])),
            with(rsa(2048), "use", json!(["sig"])),
            with(rsa(2048), "kid", json!(7)),
            rsa(1024),
            rsa(16384),
            with(rsa(2048), "e", json!("AA")),
            with(rsa(2048), "e", json!("AQ")),
            with(rsa(2048), "e", json!("Ag")),
            with(rsa(2048), "n", json!("")),
            with(rsa(2048), "n", json!("***")),
            with(rsa(2048), "n", json!({})),
            json!({"kty": "RSA"}),
            json!({"kty": "EC", "crv": "P-256", "x": number(1, 31), "y": number(1, 32)}),
            json!({"kty": "EC", "crv": "secp256k1", "x": number(1, 32), "y": number(1, 32)}),
            json!({"kty": "OKP", "crv": "X25519", "x": number(1, 32)}),
            json!({"kty": "AKP", "pub": "x"}),
            json!({"kty": ["RSA"]}),
            json!("RSA"),
            Value::Null,
        ] {
            assert_eq!(usable(&json!([bad])), 0, "{bad}");
            assert_eq!(usable(&json!([bad, rsa(2048)])), 1, "{bad}");
        }
        for nonsense in ["", "[]", "{}", "{\"keys\": {}}", "<html>"] {
            assert!(parse_set(nonsense.as_bytes()).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn o8_a_key_verifies_only_its_own_kind_its_own_alg_and_its_own_kid() {
        let key = |alg: Option<&str>| Key { kid: Some("a".into()), alg: alg.map(str::to_owned), material: Material::Rsa { n: vec![1], e: vec![3] } };
        let check = |key: Key, kid: Option<&str>, alg: &str, expected: bool| assert_eq!(key.fits(kid, alg), expected, "{key:?} {kid:?} {alg}");
        check(key(None), Some("b"), "RS256", false);
        check(key(None), Some("A"), "RS256", false);
        check(key(None), Some("a"), "ES256", false);
        check(key(None), Some("a"), "HS256", false);
        check(key(Some("RS512")), Some("a"), "RS256", false);
        check(key(Some("RSA-OAEP")), Some("a"), "RS256", false);
        check(key(Some("RS256")), Some("a"), "RS256", true);
        check(key(None), None, "PS256", true);
    }
}
