//! What the app is told about a person.
//!
//! Lives here: [`announce`], which renders a [`Pass`] from one [`Mapped`]. Apart because every byte of it comes from claims that somebody else wrote:
//! a value either arrives whole and unambiguous, or there is no pass. Nothing is cut, dropped or replaced (CWE-113; attacks.md I4, I5, I7).
//!
//! It never looks at an account: the login in `mapped` is the recorded one.

use crate::clock::Timestamp;
use crate::expr::FirstOf;
use crate::policy::mapping::{Mapped, TextProblem, clean};
use crate::policy::sign_in::Mode;
use crate::policy::{Encoding, Header, Jwt, Policy};
use crate::provision::TokenSigner;
use crate::session::Pass;
use crate::state::SecretHash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value};

/// All injected names and values together: more than this no app accepts.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Claims that only the signer sets.
const REGISTERED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/// Escaped in an element of a list: the separator, and `%` itself so that no two lists read the same (I5).
const IN_LIST: &AsciiSet = &CONTROLS.add(b',').add(b'%');

/// Escaped where the policy says `encoding = "percent"`; non-ASCII always is.
const IN_PERCENT: &AsciiSet = &CONTROLS.add(b'%');

/// RFC 2047 section 2: an encoded word is at most 75 characters; 45 bytes are 60 characters of base64, and `=?UTF-8?B?` `?=` are 12.
const WORD_BYTES_MAX: usize = 45;

/// Why an app cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnnounceError {
    /// A value that no header can carry.
    #[error("header `{header}`: the value {problem}")]
    Unusable {
        /// Which.
        header: String,
        /// What is wrong.
        problem: TextProblem,
    },
    /// An object, or a list of lists.
    #[error("header `{header}`: the value is neither a text nor a list of texts")]
    Shape {
        /// Which.
        header: String,
    },
    /// More than [`HEADER_BYTES_MAX`].
    #[error("the injected headers are {bytes} bytes, more than {HEADER_BYTES_MAX}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// The token could not be signed.
    #[error("the token for the app could not be signed: {0}")]
    Signer(Box<dyn std::error::Error + Send + Sync>),
}

/// How long a pass is good, and where the person lands.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// The present moment.
    pub(super) now: Timestamp,
    /// Until the account is looked at again, milliseconds.
    pub(super) life_ms: i64,
    /// See [`Pass::landing`].
    pub(super) landing: Option<String>,
}

/// Renders what the app of `policy` is told about the person of `mapped`.
///
/// # Errors
/// [`AnnounceError`]: there is no pass then, and nothing is forwarded.
pub(super) fn announce(policy: &Policy, mapped: &Mapped, signer: &dyn TokenSigner, terms: Terms) -> Result<Pass, AnnounceError> {
    let mut headers = rendered(&policy.headers, mapped)?;
    let mut path_headers = Vec::new();
    if policy.paths.iter().any(|section| !section.headers.is_empty()) {
        path_headers = policy.paths.iter().map(|section| rendered(&section.headers, mapped)).collect::<Result<_, _>>()?;
    }
    let claims = policy.jwt.as_ref().map(|jwt| Value::Object(claims(jwt, mapped)).to_string()).unwrap_or_default();
    let told = told(policy, mapped, &claims, &headers, &path_headers);
    let mut life_ms = terms.life_ms;
    if let Some(jwt) = policy.jwt.as_ref().filter(|_| policy.sign_in.mode != Mode::TokenExchange) {
        headers.push((jwt.header.clone(), token(jwt, mapped, signer)?));
        // Half its life is left when a new one is made, so that no request arrives with one that has just expired.
        life_ms = life_ms.min(jwt.ttl_ms / 2);
    }
    let bytes =
        headers.iter().chain(path_headers.iter().flatten()).map(|(name, value): &(HeaderName, HeaderValue)| name.as_str().len() + value.len()).sum();
    if bytes > HEADER_BYTES_MAX {
        return Err(AnnounceError::TooLarge { bytes });
    }
    Ok(Pass {
        policy_revision: policy.revision.clone(),
        login: mapped.desired.login.clone(),
        roles: mapped.scope.get("roles").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        headers,
        path_headers,
        good_until: terms.now.plus_ms(life_ms),
        landing: terms.landing,
        told,
    })
}

/// A print of which server is told, how, what it is told of the person and of the account that it has for them; of a token what it claims, not the token, which is made
/// anew all the time. Which server and how: what one has given a session (cookies, a token) must not be sent to another that takes its place.
fn told(
    policy: &Policy,
    mapped: &Mapped,
    claims: &str,
    headers: &[(HeaderName, HeaderValue)],
    path_headers: &[Vec<(HeaderName, HeaderValue)>],
) -> [u8; 32] {
    let (origin, mode) = (policy.upstream.origin(), policy.sign_in.mode.word());
    let account = mapped.desired.canonical("", "");
    let roles = mapped.scope.get("roles").map(Value::to_string).unwrap_or_default();
    let mut parts: Vec<&[u8]> = vec![origin.as_bytes(), mode.as_bytes(), account.as_bytes(), roles.as_bytes(), claims.as_bytes()];
    for (name, value) in headers.iter().chain(path_headers.iter().flatten()) {
        parts.extend([name.as_str().as_bytes(), value.as_bytes()]);
    }
    SecretHash::of_parts(&parts).0
}

/// Headers of the policy or of a section, in their order; those without a value are left out.
fn rendered(headers: &[Header], mapped: &Mapped) -> Result<Vec<(HeaderName, HeaderValue)>, AnnounceError> {
    let mut out = Vec::with_capacity(headers.len() + 1);
    for header in headers {
        if let Some(value) = header.value.render(&mapped.scope) {
            out.extend(header_value(header, &value)?.map(|value| (header.name.clone(), value)));
        }
    }
    Ok(out)
}

fn token(jwt: &Jwt, mapped: &Mapped, signer: &dyn TokenSigner) -> Result<HeaderValue, AnnounceError> {
    HeaderValue::try_from(format!("{}{}", jwt.prefix, signed(jwt, mapped, signer)?)).map_err(|error| AnnounceError::Signer(Box::new(error)))
}

/// The token of `[jwt]` for this person.
pub(super) fn signed(jwt: &Jwt, mapped: &Mapped, signer: &dyn TokenSigner) -> Result<String, AnnounceError> {
    signer.sign(&jwt.audience, jwt.ttl_ms, &claims(jwt, mapped)).map_err(AnnounceError::Signer)
}

/// What that token claims, but for what the signer sets.
fn claims(jwt: &Jwt, mapped: &Mapped) -> Map<String, Value> {
    let mut claims = Map::from_iter([("sub".to_owned(), Value::from(mapped.desired.login.as_str()))]);
    let own = jwt.claims.iter().filter(|(name, _)| !REGISTERED.contains(&name.as_str()));
    claims.extend(own.filter_map(|(name, value): &(String, FirstOf)| Some((name.clone(), value.render(&mapped.scope)?))));
    claims
}

/// The value as bytes; `None`: there is nothing to say, so the header is left out.
fn header_value(header: &Header, value: &Value) -> Result<Option<HeaderValue>, AnnounceError> {
    let unusable = |problem| AnnounceError::Unusable { header: header.written.clone(), problem };
    let shape = || AnnounceError::Shape { header: header.written.clone() };
    let (text, escaped) = match value {
        Value::Null => return Ok(None),
        Value::Array(items) => {
            let items = items.iter().map(|item| scalar(item).ok_or_else(shape)).collect::<Result<Vec<_>, _>>()?;
            // `["users,admins"]` is one group, and must not become two.
            (items.iter().map(|item| escape(item, IN_LIST)).collect::<Vec<_>>().join(","), true)
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => (scalar(value).ok_or_else(shape)?, false),
    };
    let text = clean(&text).map_err(unusable)?;
    if text.is_empty() {
        return Ok(None);
    }
    let written = match header.encoding {
        Encoding::Utf8 => text,
        Encoding::Rfc2047 => encoded_words(&text),
        // In a list `%` has been escaped; escaping it twice would be one escape too many.
        Encoding::Percent if escaped => utf8_percent_encode(&text, CONTROLS).to_string(),
        Encoding::Percent => utf8_percent_encode(&text, IN_PERCENT).to_string(),
    };
    // `clean` has refused every control character; this refuses them again, should it ever forget one.
    HeaderValue::from_bytes(written.as_bytes()).map(Some).map_err(|_refused| unusable(TextProblem::Control))
}

/// Escapes the ASCII characters of `set` and leaves all others, non-ASCII included, for the header's own encoding.
fn escape(text: &str, set: &'static AsciiSet) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Control characters stay as they are: they are refused whole, below, not smuggled through as escapes.
        if c.is_ascii() && !c.is_ascii_control() {
            out.extend(utf8_percent_encode(c.encode_utf8(&mut [0; 4]), set));
        } else {
            out.push(c);
        }
    }
    out
}

/// RFC 2047 encoded words in UTF-8 and base64. Plain ASCII stays as it is, unless it reads like an encoded word itself.
fn encoded_words(text: &str) -> String {
    if text.is_ascii() && !text.contains("=?") {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for c in text.chars() {
        // Section 5: a character is never split over two words.
        match words.last_mut() {
            Some(word) if word.len() + c.len_utf8() <= WORD_BYTES_MAX => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    let words: Vec<String> = words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join(" ")
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(value: &Value, encoding: Encoding) -> Result<Option<Vec<u8>>, String> {
        let name = HeaderName::from_static("x-groups");
        let header = Header { name, written: "X-Groups".to_owned(), value: FirstOf(Vec::new()), encoding };
        header_value(&header, value).map(|value| value.map(|value| value.as_bytes().to_vec())).map_err(|error| error.to_string())
    }

    /// attacks.md I4.
    #[test]
    fn i4_a_value_is_whole_or_there_is_no_header_at_all() {
        let refused = |value: Value, because: &str| {
            for encoding in [Encoding::Utf8, Encoding::Rfc2047, Encoding::Percent] {
                let error = written(&value, encoding).unwrap_err();
                assert!(error.contains(because), "{value:?}: {error}");
            }
        };
        refused(json!("ada\r\nX-Admin: 1"), "control");
        refused(json!("ada\nX"), "control");
        refused(json!("ada\rX"), "control");
        refused(json!("ada\0"), "control");
        refused(json!("ada\u{85}"), "control");
        refused(json!("ada\t"), "control");
        refused(json!(["ok", "ada\r\nX-Admin: 1"]), "control");
        refused(json!("\u{202e}nimda"), "direction");
        refused(json!({"a": 1}), "neither");
        refused(json!([["a"]]), "neither");
        refused(json!("ad\u{fffd}"), "replacement");
        assert_eq!(written(&Value::Null, Encoding::Utf8), Ok(None));
        assert_eq!(written(&json!([]), Encoding::Utf8), Ok(None));
    }

    /// attacks.md I5.
    #[test]
    fn i5_one_group_with_a_comma_does_not_become_two() {
        let list = |names: &[&str]| written(&json!(names), Encoding::Utf8).unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(list(&["users", "admins"]).as_deref(), Some("users,admins"));
        assert_eq!(list(&["users,admins"]).as_deref(), Some("users%2Cadmins"));
        // ... nor can a group be named so that it reads like the escape of another.
        assert_eq!(list(&["users%2Cadmins"]).as_deref(), Some("users%252Cadmins"));
        let percent = written(&json!(["ü,b", "%2C"]), Encoding::Percent).unwrap().unwrap();
        assert_eq!(String::from_utf8(percent).unwrap(), "%C3%BC%2Cb,%252C");
    }

    /// attacks.md I7.
    #[test]
    fn i7_names_beyond_ascii_round_trip() {
        assert_eq!(written(&json!("Zoë"), Encoding::Utf8), Ok(Some("Zoë".as_bytes().to_vec())));
        assert_eq!(written(&json!("Zoe\u{308}"), Encoding::Utf8), Ok(Some("Zoë".as_bytes().to_vec())));
        assert_eq!(written(&json!("Zoë 100%"), Encoding::Percent), Ok(Some(b"Zo%C3%AB 100%25".to_vec())));
        assert_eq!(written(&json!("Zoë"), Encoding::Rfc2047), Ok(Some(b"=?UTF-8?B?Wm/Dqw==?=".to_vec())));
        assert_eq!(written(&json!("Ada"), Encoding::Rfc2047), Ok(Some(b"Ada".to_vec())));
        let long = "ë".repeat(60);
        let words = String::from_utf8(written(&json!(long), Encoding::Rfc2047).unwrap().unwrap()).unwrap();
        let decoded: String = words
            .split(' ')
            .map(|word| {
                assert!(word.len() <= 75, "{word}");
                String::from_utf8(STANDARD.decode(word.strip_prefix("=?UTF-8?B?").unwrap().strip_suffix("?=").unwrap()).unwrap()).unwrap()
            })
            .collect();
        assert_eq!(decoded, long);
        // An ASCII text that reads like an encoded word must not be decoded into something else.
        assert_ne!(written(&json!("=?UTF-8?B?YWRtaW4=?="), Encoding::Rfc2047), Ok(Some(b"=?UTF-8?B?YWRtaW4=?=".to_vec())));
    }
}
