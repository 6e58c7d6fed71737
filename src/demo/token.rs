//! How a legacy app would check the gateway's JWT: keys from the gateway, signature, audience, time.

use super::http::send;
use crate::clock::Clock;
use bytes::Bytes;
use http::{HeaderMap, Method};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// Seconds that clocks may differ.
const LEEWAY_S: i64 = 5;

/// What the check came to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// There was no token.
    None,
    /// Everything holds; the claims.
    Verified(Value),
    /// Something does not hold, in words.
    Refused(String),
}

impl Verdict {
    pub(super) fn as_json(&self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Verified(claims) => json!({ "verified": true, "claims": claims }),
            Self::Refused(why) => json!({ "verified": false, "because": why }),
        }
    }
}

/// The gateway's keys, fetched when a key id is new.
pub(super) struct Keys {
    url: url::Url,
    audience: &'static str,
    clock: Arc<dyn Clock>,
    known: Mutex<Option<Arc<JwkSet>>>,
}

impl Keys {
    pub(super) fn new(url: url::Url, audience: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self { url, audience, clock, known: Mutex::new(None) }
    }

    pub(super) async fn verify(&self, token: Option<&str>) -> Verdict {
        match token {
            None => Verdict::None,
            Some(token) => self.claims(token).await.map_or_else(Verdict::Refused, Verdict::Verified),
        }
    }

    async fn claims(&self, token: &str) -> Result<Value, String> {
        let header = jsonwebtoken::decode_header(token).map_err(|problem| problem.to_string())?;
        if header.alg != Algorithm::ES256 {
            return Err(format!("signed with {:?}, and only ES256 is accepted", header.alg));
        }
        let kid = header.kid.ok_or("it names no key")?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let keys = match known.filter(|keys| keys.find(&kid).is_some()) {
            Some(keys) => keys,
            None => self.fetch().await?,
        };
        let key = DecodingKey::from_jwk(keys.find(&kid).ok_or("its key is not published")?).map_err(|problem| problem.to_string())?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[self.audience]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // Time is checked below, by the clock we were handed.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).map_err(|problem| problem.to_string())?.claims;
        let now = self.clock.now().seconds();
        let time = |name: &str| claims.get(name).and_then(Value::as_i64);
        match (time("exp"), time("iat")) {
            (Some(exp), _) if now > exp.saturating_add(LEEWAY_S) => Err("it has expired".to_owned()),
            (_, Some(iat)) if now < iat.saturating_sub(LEEWAY_S) => Err("it is from the future".to_owned()),
            (Some(_), _) => Ok(claims),
            (None, _) => Err("it does not say when it expires".to_owned()),
        }
    }

    async fn fetch(&self) -> Result<Arc<JwkSet>, String> {
        let answer = send(Method::GET, &self.url, HeaderMap::new(), Bytes::new()).await.map_err(|problem| problem.to_string())?;
        let keys: JwkSet = serde_json::from_slice(answer.body()).map_err(|problem| format!("the gateway's keys cannot be read: {problem}"))?;
        let keys = Arc::new(keys);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&keys));
        Ok(keys)
    }
}
