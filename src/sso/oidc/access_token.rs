//! Access tokens that are JWTs: every check there is, none of them optional (RFC 9068 4, RFC 8725).
//!
//! What decides what a token is good for stands in here once: typ, algorithm, signature, issuer, audience, times, subject, scopes, and that it is an *access* token. The
//! signature is checked by `jsonwebtoken` under keys of the provider's published set; the claims are read from the text that was signed, and from nowhere else.

use super::OidcProvider;
use super::claims::{self, Reading};
use super::id_token::{self, Failed, Header, fail, failed, numeric_date, object, shown, subject};
use super::jwks::{Key, Material};
use crate::clock::Timestamp;
use crate::identity::Groups;
use crate::sso::bearer::{AccessTokens, TokenFault, TokenRules, VerifiedToken};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

/// The largest seen in the wild (Entra, two hundred groups) have 10 KiB.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Clocks may differ by so much.
const SKEW_S: i64 = 30;

/// A token whose groups nobody could say is verified, and they are asked for, again after so long.
const UNANSWERED_MS: i64 = 60_000;

/// What the token must agree with.
struct Expected<'a> {
    issuer: &'a str,
    client_id: &'a str,
    audience: &'a str,
    now: Timestamp,
}

/// A token that holds, but for its scopes.
struct Verified {
    sub: String,
    auth_time: Option<Timestamp>,
    issued_at: Timestamp,
    expires_at: Timestamp,
    claims: Map<String, Value>,
}

#[async_trait]
impl AccessTokens for OidcProvider {
    fn id(&self) -> &str {
        &self.settings.id
    }

    async fn verify(&self, token: &str, rules: TokenRules<'_>) -> Result<VerifiedToken, TokenFault> {
        let idp = || self.settings.id.clone();
        let refused = |failed: Failed| TokenFault::Invalid { idp: idp(), check: failed.check, expected: failed.expected, found: failed.found };
        let unavailable = |what, why| TokenFault::Unavailable { idp: idp(), what, why };
        // Nothing is asked of anybody for a text that cannot be a token.
        let (header, typed) = header(token, &self.settings.algorithms).map_err(refused)?;
        let metadata = self.discovery.metadata().await.map_err(|why| unavailable("discovery", why))?;
        let kid = header.kid.as_deref();
        let candidates = self.keys.candidates(&metadata.jwks_uri, kid, header.alg).await.map_err(|why| unavailable("jwks", why))?;
        if !signed_by_one_of(token, &header, &candidates) {
            // The key may have been replaced under its old name: once more, if there is a newer set.
            let others = self.keys.other_candidates(&candidates, kid, header.alg).await;
            if !signed_by_one_of(token, &header, &others) {
                return Err(refused(fail(
                    "signature",
                    "a valid signature of the provider",
                    format!("none, alg {} and {} keys", header.alg, candidates.len()),
                )));
            }
        }
        let (issuer, client_id) = (self.settings.issuer.as_str(), self.settings.client_id.as_str());
        let expected = Expected { issuer, client_id, audience: rules.audience, now: self.clock.now() };
        let Verified { sub, auth_time, issued_at, expires_at, claims } = checked(token, typed, &expected).map_err(refused)?;
        if let Some(missing) = rules.scopes.iter().find(|scope| !has_scope(&claims, scope)) {
            return Err(TokenFault::Scope { idp: idp(), missing: missing.clone() });
        }
        let reading = Reading::of(&self.settings);
        // Once for each token: what is made of it is remembered as long as it holds; that the directory did not answer, for a minute.
        let looked_up = self.looked_up(&metadata, &sub, &claims, &reading).await;
        let expires_at = match looked_up {
            Some(Groups::Unknown) => expires_at.min(self.clock.now().plus_ms(UNANSWERED_MS)),
            Some(Groups::Known(_)) | None => expires_at,
        };
        let mut identity = claims::identity(sub, claims, None, &reading);
        identity.groups = looked_up.unwrap_or(identity.groups);
        Ok(VerifiedToken::vouch(identity, auth_time.unwrap_or(Timestamp::from_millis(0)), issued_at, expires_at))
    }
}

/// Reads the header, and whether it says that this is an access token (RFC 9068 2.1: `at+jwt`). Many providers still say `JWT`, or nothing, which is what ID tokens say
/// too: [`checked`] then looks for what gives those away.
fn header(token: &str, allowed: &[String]) -> Result<(Header, bool), Failed> {
    if token.len() > TOKEN_BYTES_MAX {
        return failed("size", format!("at most {TOKEN_BYTES_MAX} bytes"), format!("{} bytes", token.len()));
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [first, ..] = parts.as_slice() else { return failed("access_token", "a JWT", "nothing") };
    if parts.len() != 3 {
        return failed("access_token", "three parts", format!("{} parts", parts.len()));
    }
    let header = object(first).ok_or_else(|| fail("header", "a JSON object", "something else"))?;
    // RFC 7515 4.1.11: critical parameters that are not understood; RFC 7797: b64 changes what is signed; cty: another token inside.
    for name in ["crit", "b64", "cty"] {
        if header.contains_key(name) {
            return failed("header", format!("no {name}"), format!("{name} present"));
        }
    }
    let typed = match header.get("typ") {
        None => false,
        Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JWT") => false,
        Some(Value::String(typ)) if ["at+jwt", "application/at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known)) => true,
        Some(other) => return failed("typ", "at+jwt or JWT", shown(Some(other))),
    };
    Ok((id_token::select(&header, allowed)?, typed))
}

fn signed_by_one_of(token: &str, header: &Header, candidates: &[Key]) -> bool {
    let Some((message, signature)) = token.rsplit_once('.') else { return false };
    let Ok(algorithm) = header.alg.parse::<Algorithm>() else { return false };
    let verifies = |key: &Key| {
        let key = decoding_key(key)?;
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, algorithm).ok()
    };
    candidates.iter().any(|key| verifies(key) == Some(true))
}

/// `None` for numbers that are no key. Which algorithm a key is for was decided when it was selected ([`Key`]).
fn decoding_key(key: &Key) -> Option<DecodingKey> {
    let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
    match &key.material {
        Material::Rsa { n, e } => Some(DecodingKey::from_rsa_raw_components(n, e)),
        Material::P256 { x, y } | Material::P384 { x, y } => DecodingKey::from_ec_components(&text(x), &text(y)).ok(),
        Material::Ed25519 { x } => DecodingKey::from_ed_components(&text(x)).ok(),
    }
}

/// Every check on the claims of a token whose signature holds.
fn checked(token: &str, typed: bool, expected: &Expected<'_>) -> Result<Verified, Failed> {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let claims = object(payload).ok_or_else(|| fail("access_token", "a JSON object", "something else"))?;
    // RFC 9068 4: the issuer MUST exactly match.
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return failed("iss", expected.issuer, shown(claims.get("iss")));
    }
    // RFC 9068 4: `aud` MUST contain the resource's own name; a token for several APIs names them all.
    if !is_for(&claims, expected.audience) {
        return failed("aud", expected.audience, shown(claims.get("aud")));
    }
    is_access_token(&claims, typed, expected.client_id)?;
    // RFC 9449 7.1, RFC 8705 3: a token that is bound to a key is worthless to whoever cannot show the key, and nobody can show one here.
    if let Some(confirmation) = claims.get("cnf") {
        return failed("cnf", "a bearer token", shown(Some(confirmation)));
    }
    let now = expected.now.seconds();
    let exp = numeric_date(&claims, "exp")?.ok_or_else(|| fail("exp", "a time", "nothing"))?;
    let ends = exp.saturating_add(SKEW_S);
    if ends <= now {
        return failed("exp", format!("later than {now}"), exp.to_string());
    }
    let past = |name: &'static str| match numeric_date(&claims, name)? {
        Some(at) if at > now.saturating_add(SKEW_S) => failed(name, format!("not after {now}"), at.to_string()),
        at => Ok(at),
    };
    past("nbf")?;
    // RFC 9068 2.2 requires it. One that does not say when is older than any sign-in: it must not bring back what a later one took away.
    let issued_at = past("iat")?.map_or(Timestamp::default(), Timestamp::from_seconds);
    let auth_time = past("auth_time")?.map(Timestamp::from_seconds);
    let sub = subject(&claims)?;
    Ok(Verified { sub, auth_time, issued_at, expires_at: Timestamp::from_seconds(ends), claims })
}

fn is_for(claims: &Map<String, Value>, audience: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(list)) => list.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    }
}

/// RFC 8725 3.11, 3.12: a token of another kind from the same provider, under the same keys, is not an access token. One with `typ` at+jwt says what it is; of any other it
/// is asked that nothing in it speaks for an ID token, a refresh token or a logout token.
fn is_access_token(claims: &Map<String, Value>, typed: bool, client_id: &str) -> Result<(), Failed> {
    if typed {
        return Ok(());
    }
    let kind = |found: &str| failed("token_kind", "an access token", found);
    // OIDC Core 2, 3.3.2.11: what only an ID token has.
    for name in ["nonce", "at_hash", "c_hash", "s_hash"] {
        if claims.contains_key(name) {
            return kind(&format!("an ID token: it has {name}"));
        }
    }
    // Back-Channel Logout 1.0 2.4.
    if claims.contains_key("events") {
        return kind("a logout token: it has events");
    }
    // Keycloak signs every token alike and tells them apart by this claim: Bearer, ID, Refresh, Offline, Logout.
    if claims.get("typ").and_then(Value::as_str).is_some_and(|typ| !typ.eq_ignore_ascii_case("Bearer")) {
        return kind(&format!("typ {}", shown(claims.get("typ"))));
    }
    // An ID token is for the client: what is for us as well needs a scope to be something else.
    if is_for(claims, client_id) && !["scope", "scp"].iter().any(|name| claims.contains_key(*name)) {
        return kind("perhaps an ID token: it is for our own client_id and has no scope");
    }
    // And the API may go by the name of a client itself, its own registration, which signs people in too. Only what an access token alone has tells the two
    // apart: a scope (RFC 8693 4.2, Entra's scp), or the client it was issued to (RFC 9068 2.2, Entra's appid).
    if !["scope", "scp", "client_id", "appid"].iter().any(|name| claims.contains_key(*name)) {
        return kind("perhaps an ID token: it has neither scope nor client_id");
    }
    Ok(())
}

/// RFC 8693 4.2: `scope`, words with blanks between them. Entra and Okta call it `scp`, as text or as a list.
fn has_scope(claims: &Map<String, Value>, wanted: &str) -> bool {
    ["scope", "scp"].iter().filter_map(|name| claims.get(*name)).any(|granted| match granted {
        Value::String(words) => words.split(' ').any(|word| word == wanted),
        Value::Array(list) => list.iter().any(|word| word.as_str() == Some(wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::{Expected, TOKEN_BYTES_MAX, checked, has_scope, header};
    use crate::clock::Timestamp;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    const NOW_S: i64 = 1_000_000;

    fn claims(change: impl FnOnce(&mut Value)) -> Value {
        let mut claims = json!({"iss": "https://op", "aud": "api://x", "sub": "ada", "iat": NOW_S, "exp": NOW_S + 300, "scope": "a b"});
        change(&mut claims);
        claims
    }

    fn part(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    /// The check that does not hold; empty: all do.
    fn refused(claims: &Value, typed: bool) -> &'static str {
        let expected = Expected { issuer: "https://op", client_id: "gateway", audience: "api://x", now: Timestamp::from_seconds(NOW_S) };
        checked(&format!("h.{}.s", part(claims)), typed, &expected).map_or_else(|failed| failed.check, |_| "")
    }

    fn set(name: &str, value: Value) -> Value {
        claims(|claims| claims[name] = value)
    }

    #[test]
    fn every_claim_is_checked_at_its_boundary() {
        let check = |name: &str, value: Value, expected: &str| assert_eq!(refused(&set(name, value.clone()), true), expected, "{name} {value}");
        check("iss", json!("https://op/"), "iss");
        check("iss", json!(["https://op"]), "iss");
        check("aud", json!("api://y"), "aud");
        check("aud", json!([]), "aud");
        check("aud", json!("api://x api://y"), "aud");
        check("aud", json!(["api://y", "api://x"]), "");
        check("exp", json!(NOW_S - 30), "exp");
        check("exp", json!(NOW_S - 29), "");
        check("exp", json!("soon"), "exp");
        check("exp", json!(i64::MAX), "exp");
        check("exp", Value::Null, "exp");
        check("nbf", json!(NOW_S + 31), "nbf");
        check("nbf", json!(NOW_S + 30), "");
        check("iat", json!(NOW_S + 31), "iat");
        check("auth_time", json!(NOW_S + 31), "auth_time");
        check("sub", json!(""), "sub");
        check("sub", json!(7), "sub");
        check("sub", json!("a\nb"), "sub");
        check("cnf", json!({"jkt": "x"}), "cnf");
        for name in ["iss", "aud", "exp", "sub"] {
            let without = claims(|claims| drop(claims.as_object_mut().unwrap().remove(name)));
            assert_eq!(refused(&without, true), name);
        }
        assert_eq!(refused(&claims(|claims| drop(claims.as_object_mut().unwrap().remove("iat"))), false), "");
    }

    #[test]
    fn a_token_of_another_kind_is_no_access_token_unless_its_type_says_so() {
        let check = |name: &str, value: Value, expected: &str| assert_eq!(refused(&set(name, value.clone()), false), expected, "{name} {value}");
        for name in ["nonce", "at_hash", "c_hash", "s_hash", "events"] {
            check(name, json!("x"), "token_kind");
            assert_eq!(refused(&set(name, json!("x")), true), "", "{name} with at+jwt");
        }
        for typ in ["ID", "Refresh", "Offline", "Logout"] {
            check("typ", json!(typ), "token_kind");
        }
        check("typ", json!("Bearer"), "");
        let for_client = |scope: bool| {
            claims(|claims| {
                claims["aud"] = json!(["api://x", "gateway"]);
                if !scope {
                    claims.as_object_mut().unwrap().remove("scope");
                }
            })
        };
        assert_eq!((refused(&for_client(false), false), refused(&for_client(true), false)), ("token_kind", ""));
    }

    #[test]
    fn the_header_says_what_it_is_and_how_it_is_signed() {
        let allowed = ["RS256".to_owned(), "ES256".to_owned()];
        let check = |head: Value, expected: Result<bool, &str>| {
            let found = header(&format!("{}.e30.x", part(&head)), &allowed).map(|(_, typed)| typed).map_err(|failed| failed.check);
            assert_eq!(found, expected, "{head}");
        };
        check(json!({"alg": "none"}), Err("alg"));
        check(json!({"alg": "HS256"}), Err("alg"));
        check(json!({"alg": "RS512"}), Err("alg"));
        check(json!({"alg": "rs256"}), Err("alg"));
        check(json!({"typ": "at+jwt"}), Err("alg"));
        check(json!({"alg": "RS256", "typ": "logout+jwt"}), Err("typ"));
        check(json!({"alg": "RS256", "typ": "dpop+jwt"}), Err("typ"));
        check(json!({"alg": "RS256", "typ": 1}), Err("typ"));
        check(json!({"alg": "RS256", "crit": ["exp"]}), Err("header"));
        check(json!({"alg": "RS256", "cty": "JWT"}), Err("header"));
        check(json!({"alg": "RS256", "kid": 1}), Err("kid"));
        check(json!({"alg": "RS256"}), Ok(false));
        check(json!({"alg": "RS256", "typ": "jwt"}), Ok(false));
        check(json!({"alg": "ES256", "typ": "AT+JWT"}), Ok(true));
        check(json!({"alg": "ES256", "typ": "application/at+jwt"}), Ok(true));
        let shape = |token: &str| header(token, &allowed).unwrap_err().check;
        assert_eq!(["", "a", "a.b", "a.b.c.d", "a.b.c.d.e"].map(shape), ["access_token"; 5]);
        assert_eq!((shape("!.b.c"), shape(&"x".repeat(TOKEN_BYTES_MAX + 1))), ("header", "size"));
    }

    #[test]
    fn scopes_are_whole_words_of_scope_or_scp() {
        let check = |claims: Value, expected: bool| assert_eq!(has_scope(claims.as_object().unwrap(), "read"), expected, "{claims}");
        check(json!({}), false);
        check(json!({"scope": "reader write"}), false);
        check(json!({"scope": "READ"}), false);
        check(json!({"scope": 1}), false);
        check(json!({"scopes": "read"}), false);
        check(json!({"scope": "write read"}), true);
        check(json!({"scp": "read"}), true);
        check(json!({"scp": ["write", "read"]}), true);
    }
}
