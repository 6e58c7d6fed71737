//! ID tokens: every check there is, none of them optional.
//!
//! `openidconnect` verifies signature, issuer, audience, expiry and nonce, under an allow-list and a clock that are ours. What it does not
//! check stands here: header `typ` and `b64`, `azp`, further audiences, numbers that are not times, `iat` and `nbf` with a leeway, `sub`,
//! `at_hash`, `auth_time`. The claims are read from the text whose signature was verified, and from nowhere else.

use super::jwks::{Key, Material};
use crate::clock::Timestamp;
use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreGenderClaim, CoreJsonCurveType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm};
use openidconnect::{
    ClaimsVerificationError, ClientId, EmptyAdditionalClaims, IdToken, IdTokenVerifier, IssuerUrl, JsonWebKeyId, JsonWebKeySet, Nonce,
    SignatureVerificationError,
};
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime};
use subtle::ConstantTimeEq as _;

/// Clocks may differ by so much.
const LEEWAY_S: i64 = 60;
/// 9999-12-31: a larger number is no time, and adding to it must not wrap.
const NUMERIC_DATE_MAX: i64 = 253_402_300_799;
/// OIDC Core 2: `sub` MUST NOT exceed 255 ASCII characters.
const SUB_CHARS_MAX: usize = 255;
/// Algorithms that can be verified here; `none` and `HS*` can never be configured in.
const VERIFIABLE: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

type CoreIdToken = IdToken<EmptyAdditionalClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

/// A check that did not hold: which, what would have passed, what came. Never the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) check: &'static str,
    pub(super) expected: String,
    pub(super) found: String,
}

/// What the token must agree with.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) access_token: &'a str,
    pub(super) max_age_s: Option<i64>,
    pub(super) begun_at: Timestamp,
    pub(super) now: Timestamp,
}

/// The header parameters that select a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) alg: &'static str,
    pub(super) kid: Option<String>,
}

/// A token that holds.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) sub: String,
    pub(super) auth_time: Option<Timestamp>,
    pub(super) sid: Option<String>,
    pub(super) claims: Map<String, Value>,
}

/// Reads the header; the only thing done with it is to find candidates among the provider's own keys.
///
/// # Errors
/// A header that no ID token for us has.
pub(super) fn header(token: &str, allowed: &[String]) -> Result<Header, Failed> {
    let mut parts = token.split('.');
    let (Some(first), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return failed("id_token", "three parts", format!("{} parts", token.split('.').count()));
    };
    let header = object(first).ok_or_else(|| fail("header", "a JSON object", "something else"))?;
    // RFC 7515 4.1.11: critical parameters that are not understood; RFC 7797: b64 changes what is signed.
    for name in ["crit", "b64", "cty"] {
        if header.contains_key(name) {
            return failed("header", format!("no {name}"), format!("{name} present"));
        }
    }
    // RFC 8725 3.11: an access token or a logout token is no ID token.
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JWT") => {}
        Some(other) => return failed("typ", "JWT or none", shown(Some(other))),
    }
    select(&header, allowed)
}

/// Algorithm and key, as the header names them.
pub(super) fn select(header: &Map<String, Value>, allowed: &[String]) -> Result<Header, Failed> {
    let alg = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    // RFC 8725 3.1: the list is ours; what the provider advertises is no matter.
    let alg = VERIFIABLE.into_iter().find(|known| *known == alg && allowed.iter().any(|allowed| is_same_alg(allowed, known)));
    let alg = alg.ok_or_else(|| fail("alg", format!("one of {}", allowed.join(", ")), shown(header.get("alg"))))?;
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(other) => return failed("kid", "a string", shown(Some(other))),
    };
    Ok(Header { alg, kid })
}

fn is_same_alg(configured: &str, alg: &str) -> bool {
    configured == alg || (configured == "Ed25519" && alg == "EdDSA")
}

/// Verifies `token` with the keys that its header selected.
///
/// # Errors
/// The first check that does not hold; `signature` when no candidate fits, which is the caller's cue to look for newer keys.
pub(super) fn verify(token: &str, header: &Header, candidates: &[Key], expected: &Expected<'_>) -> Result<Verified, Failed> {
    let parsed: CoreIdToken = token.parse().map_err(|error: serde_json::Error| fail("id_token", "an ID token", bounded(&error.to_string())))?;
    let alg: CoreJwsSigningAlgorithm = serde_json::from_value(Value::String(header.alg.to_owned()))
        .map_err(|error| fail("alg", "a known algorithm", bounded(&error.to_string())))?;
    let issuer = IssuerUrl::new(expected.issuer.to_owned()).map_err(|error| fail("iss", "an address", error.to_string()))?;
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(expected.now.seconds().saturating_sub(LEEWAY_S)).unwrap_or(0));
    let nonce = Nonce::new(expected.nonce.to_owned());
    let mut last =
        fail("signature", "a key of the provider", format!("none for alg {} and kid {}", header.alg, bounded(&format!("{:?}", header.kid))));
    for key in candidates {
        let keys = JsonWebKeySet::new(vec![core_key(key, header.kid.as_deref())]);
        let verifier = IdTokenVerifier::new_public_client(ClientId::new(expected.client_id.to_owned()), issuer.clone(), keys)
            .set_allowed_algs([alg.clone()])
            .set_time_fn(move || at.into());
        match parsed.claims(&verifier, &nonce) {
            Ok(_) => return checked(token, header, expected),
            Err(ClaimsVerificationError::SignatureVerification(error)) => last = signature(&error),
            Err(error) => return Err(library(&error, expected)),
        }
    }
    Err(last)
}

fn core_key(key: &Key, kid: Option<&str>) -> CoreJsonWebKey {
    let kid = kid.map(|kid| JsonWebKeyId::new(kid.to_owned()));
    match &key.material {
        Material::Rsa { n, e } => CoreJsonWebKey::new_rsa(n.clone(), e.clone(), kid),
        Material::P256 { x, y } => CoreJsonWebKey::new_ec(x.clone(), y.clone(), CoreJsonCurveType::P256, kid),
        Material::P384 { x, y } => CoreJsonWebKey::new_ec(x.clone(), y.clone(), CoreJsonCurveType::P384, kid),
        Material::Ed25519 { x } => CoreJsonWebKey::new_okp(x.clone(), CoreJsonCurveType::Ed25519, kid),
    }
}

fn signature(error: &SignatureVerificationError) -> Failed {
    fail("signature", "a valid signature", bounded(&error.to_string()))
}

fn library(error: &ClaimsVerificationError, expected: &Expected<'_>) -> Failed {
    let (check, wanted) = match error {
        ClaimsVerificationError::Expired(_) => ("exp", format!("later than {}", expected.now.seconds())),
        ClaimsVerificationError::InvalidAudience(_) => ("aud", expected.client_id.to_owned()),
        ClaimsVerificationError::InvalidIssuer(_) => ("iss", expected.issuer.to_owned()),
        ClaimsVerificationError::InvalidNonce(_) => ("nonce", "the nonce of this sign-in".to_owned()),
        ClaimsVerificationError::InvalidSubject(_) => ("sub", "a subject".to_owned()),
        ClaimsVerificationError::InvalidAuthContext(_)
        | ClaimsVerificationError::InvalidAuthTime(_)
        | ClaimsVerificationError::Other(_)
        | ClaimsVerificationError::SignatureVerification(_)
        | ClaimsVerificationError::Unsupported(_)
        // The enum is open; whatever else it may come to say is a refusal.
        | _ => ("id_token", "a token that the library accepts".to_owned()),
    };
    fail(check, wanted, bounded(&error.to_string()))
}

/// The checks of our own, on the text that has just been verified.
fn checked(token: &str, header: &Header, expected: &Expected<'_>) -> Result<Verified, Failed> {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let claims = object(payload).ok_or_else(|| fail("id_token", "a JSON object", "something else"))?;
    let is = |name: &str, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
    // OIDC Core 3.1.3.7 step 2: the issuer MUST match exactly.
    if !is("iss", expected.issuer) {
        return failed("iss", expected.issuer, shown(claims.get("iss")));
    }
    // Steps 3 to 5: ours alone. No other audience is trusted, and azp, where present, must be us.
    let audience_is_ours = match claims.get("aud") {
        Some(Value::String(audience)) => audience == expected.client_id,
        Some(Value::Array(list)) => !list.is_empty() && list.iter().all(|audience| audience.as_str() == Some(expected.client_id)),
        _ => false,
    };
    if !audience_is_ours {
        return failed("aud", expected.client_id, shown(claims.get("aud")));
    }
    if claims.contains_key("azp") && !is("azp", expected.client_id) {
        return failed("azp", expected.client_id, shown(claims.get("azp")));
    }
    times(&claims, expected)?;
    // Step 11.
    let nonce = claims.get("nonce").and_then(Value::as_str).unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) || nonce.is_empty() {
        return failed("nonce", "the nonce of this sign-in", "another");
    }
    access_token_hash(&claims, header.alg, expected.access_token)?;
    let sub = subject(&claims)?;
    let auth_time = auth_time(&claims, expected)?;
    let sid = claims.get("sid").and_then(Value::as_str).map(str::to_owned);
    Ok(Verified { sub, auth_time, sid, claims })
}

/// Steps 9 and 10; RFC 7519 4.1.5 for `nbf`.
fn times(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Failed> {
    let now = expected.now.seconds();
    let required = |name| numeric_date(claims, name)?.ok_or_else(|| fail(name, "a time", "nothing"));
    let (exp, iat) = (required("exp")?, required("iat")?);
    if exp.saturating_add(LEEWAY_S) <= now {
        return failed("exp", format!("later than {now}"), exp.to_string());
    }
    if iat > now.saturating_add(LEEWAY_S) {
        return failed("iat", format!("not after {now}"), iat.to_string());
    }
    match numeric_date(claims, "nbf")? {
        Some(nbf) if nbf > now.saturating_add(LEEWAY_S) => failed("nbf", format!("not after {now}"), nbf.to_string()),
        _ => Ok(()),
    }
}

/// A `NumericDate` (RFC 7519 2), whole seconds; a fraction is rounded down.
pub(super) fn numeric_date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, Failed> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    #[expect(clippy::cast_possible_truncation, reason = "checked to be within a range that both types hold exactly")]
    let seconds = value.as_i64().or_else(|| {
        let fraction = value.as_f64().filter(|seconds| (0.0..253_402_300_800.0).contains(seconds))?;
        Some(fraction.floor() as i64)
    });
    match seconds {
        Some(seconds) if (0..=NUMERIC_DATE_MAX).contains(&seconds) => Ok(Some(seconds)),
        _ => failed(name, "seconds since 1970", shown(Some(value))),
    }
}

/// OIDC Core 3.1.3.8: when present, `at_hash` MUST be the left half of the access token's hash.
fn access_token_hash(claims: &Map<String, Value>, alg: &str, access_token: &str) -> Result<(), Failed> {
    let Some(at_hash) = claims.get("at_hash") else { return Ok(()) };
    let algorithm: &Algorithm = if alg.ends_with("256") {
        &SHA256
    } else if alg.ends_with("384") {
        &SHA384
    } else {
        &SHA512 // 512, and Ed25519
    };
    let hash = digest(algorithm, access_token.as_bytes());
    let half = URL_SAFE_NO_PAD.encode(hash.as_ref().split_at(hash.as_ref().len() / 2).0);
    if at_hash.as_str() == Some(half.as_str()) { Ok(()) } else { failed("at_hash", "the hash of the access token", "another") }
}

/// OIDC Core 2, and no control characters: the value becomes a key.
pub(super) fn subject(claims: &Map<String, Value>) -> Result<String, Failed> {
    match claims.get("sub") {
        Some(Value::String(sub)) if (1..=SUB_CHARS_MAX).contains(&sub.chars().count()) && !sub.chars().any(char::is_control) => Ok(sub.clone()),
        other => failed("sub", "a string of 1 to 255 characters", shown(other)),
    }
}

/// Step 13. The age counts from the moment the browser was sent, not from its return. With `max_age` the claim is required (Core 2): a
/// provider that leaves it out has not shown that the sign-in is recent.
fn auth_time(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<Option<Timestamp>, Failed> {
    let auth_time = numeric_date(claims, "auth_time")?;
    if let Some(at) = auth_time
        && at > expected.now.seconds().saturating_add(LEEWAY_S)
    {
        return failed("auth_time", format!("not after {}", expected.now.seconds()), at.to_string());
    }
    if let Some(max_age_s) = expected.max_age_s {
        let earliest = expected.begun_at.seconds().saturating_sub(max_age_s).saturating_sub(LEEWAY_S);
        if auth_time.is_none_or(|at| at < earliest) {
            return failed("auth_time", format!("{earliest} or later, for max_age={max_age_s}"), shown(claims.get("auth_time")));
        }
    }
    Ok(auth_time.map(Timestamp::from_seconds))
}

pub(super) fn object(part: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?) {
        Ok(Value::Object(map)) => Some(map),
        _ => None,
    }
}

pub(super) fn fail(check: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Failed {
    Failed { check, expected: expected.into(), found: found.into() }
}

pub(super) fn failed<T>(check: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Result<T, Failed> {
    Err(fail(check, expected, found))
}

pub(super) fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| bounded(&value.to_string()))
}

/// Hostile text on its way to the log: short, and without anything that could start a new line.
fn bounded(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}
