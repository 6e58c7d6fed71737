//! What a browser brings back from a provider, parsed once.
//!
//! Pure. Everything that can be refused without knowing the sign-in is refused here, before anything is looked up or sent: a doubled
//! parameter, a token in the query, an answer that is neither code nor error (promises.md, OIDC: duplicate `state`/`code`/`id_token`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// Longest `code` taken; RFC 6749 sets no bound.
const CODE_BYTES_MAX: usize = 8 * 1024;

/// An authorization response (RFC 6749 4.1.2), well-formed.
#[derive(Clone)]
pub struct AuthorizationResponse {
    /// `state`, not empty.
    pub state: String,
    /// `iss` (RFC 9207).
    pub iss: Option<String>,
    /// What it says.
    pub outcome: Outcome,
}

/// Code or error, never both.
#[derive(Clone)]
pub enum Outcome {
    /// `code`, not empty.
    Code(String),
    /// `error`, reduced to the codes that exist; the provider's free text is dropped unread.
    Error(&'static str),
}

impl fmt::Debug for AuthorizationResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationResponse").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(_) => f.write_str("Code([redacted])"),
            Self::Error(code) => write!(f, "Error({code})"),
        }
    }
}

/// Why a query is not an authorization response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A parameter stands there twice.
    #[error("parameter_twice")]
    Twice,
    /// A token came through the browser: nothing of ours asks for that.
    #[error("token_in_query")]
    TokenInQuery,
    /// No `state`, or an empty one.
    #[error("state_missing")]
    NoState,
    /// Both `code` and `error`.
    #[error("code_and_error")]
    CodeAndError,
    /// Neither, or an empty or huge `code`.
    #[error("code_missing")]
    NoCode,
}

impl AuthorizationResponse {
    /// Parses the query of the callback.
    ///
    /// # Errors
    /// [`Malformed`], by variant.
    pub fn parse(query: &str) -> Result<Self, Malformed> {
        let (mut state, mut code, mut iss, mut error) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match name.as_ref() {
                "state" => &mut state,
                "code" => &mut code,
                "iss" => &mut iss,
                "error" => &mut error,
                // RFC 9700 2.1.2: response types that put tokens into the front channel are not asked for.
                "id_token" | "access_token" | "token_type" | "response" => return Err(Malformed::TokenInQuery),
                // RFC 6749 4.1.2: the client MUST ignore unrecognized response parameters.
                _ => continue,
            };
            // RFC 6749 3.1: parameters MUST NOT be included more than once.
            if place.replace(value.into_owned()).is_some() {
                return Err(Malformed::Twice);
            }
        }
        let state = state.filter(|state| !state.is_empty()).ok_or(Malformed::NoState)?;
        let outcome = match (code, error) {
            (Some(_), Some(_)) => return Err(Malformed::CodeAndError),
            (Some(code), None) if !code.is_empty() && code.len() <= CODE_BYTES_MAX => Outcome::Code(code),
            (None, Some(error)) => Outcome::Error(known_error(&error)),
            (Some(_) | None, None) => return Err(Malformed::NoCode),
        };
        Ok(Self { state, iss, outcome })
    }
}

/// A SAML response, out of its form; not a byte of it is believed.
#[derive(Clone)]
pub struct SamlResponse {
    /// `RelayState`: ours, as sent.
    pub state: String,
    /// The document, decoded.
    pub document: Vec<u8>,
}

impl fmt::Debug for SamlResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamlResponse").field("bytes", &self.document.len()).finish_non_exhaustive()
    }
}

/// Why a form is not a SAML response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSaml {
    /// A field stands there twice.
    #[error("field_twice")]
    Twice,
    /// No `RelayState`: nobody here asked for it.
    #[error("relay_state_missing")]
    NoState,
    /// No `SAMLResponse`, or not base64.
    #[error("response_missing")]
    NoResponse,
}

impl SamlResponse {
    /// Parses the form of the POST binding (Bindings 3.5.4).
    ///
    /// # Errors
    /// [`MalformedSaml`], by variant.
    pub fn parse(form: &[u8]) -> Result<Self, MalformedSaml> {
        let (mut state, mut response) = (None, None);
        for (name, value) in form_urlencoded::parse(form) {
            let place = match name.as_ref() {
                "RelayState" => &mut state,
                "SAMLResponse" => &mut response,
                _ => continue,
            };
            // attacks.md S28: which of two is meant cannot be told.
            if place.replace(value.into_owned()).is_some() {
                return Err(MalformedSaml::Twice);
            }
        }
        let response = response.filter(|response| !response.is_empty()).ok_or(MalformedSaml::NoResponse)?;
        let state = state.filter(|state| !state.is_empty()).ok_or(MalformedSaml::NoState)?;
        Ok(Self { state, document: Self::decode(&response).ok_or(MalformedSaml::NoResponse)? })
    }

    /// Lines of 76 characters are common.
    fn decode(response: &str) -> Option<Vec<u8>> {
        STANDARD.decode(response.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>()).ok()
    }
}

/// RFC 6749 4.1.2.1 and OIDC Core 3.1.2.6; anything else is `other`, so that no text of the provider goes anywhere.
fn known_error(code: &str) -> &'static str {
    const KNOWN: [&str; 16] = [
        "access_denied",
        "invalid_request",
        "unauthorized_client",
        "unsupported_response_type",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "interaction_required",
        "login_required",
        "account_selection_required",
        "consent_required",
        "invalid_request_uri",
        "invalid_request_object",
        "request_not_supported",
        "request_uri_not_supported",
        "registration_not_supported",
    ];
    KNOWN.into_iter().find(|known| *known == code).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::{AuthorizationResponse, Malformed, MalformedSaml, Outcome, SamlResponse};

    #[test]
    fn s28_only_one_well_formed_saml_response_is_taken() {
        let check = |form: &str, expected: Result<&str, MalformedSaml>| {
            let found = SamlResponse::parse(form.as_bytes()).map(|response| String::from_utf8(response.document).unwrap());
            assert_eq!(found, expected.map(str::to_owned), "{form}");
        };
        check("", Err(MalformedSaml::NoResponse));
        check("RelayState=s", Err(MalformedSaml::NoResponse));
        check("SAMLResponse=&RelayState=s", Err(MalformedSaml::NoResponse));
        check("SAMLResponse=***&RelayState=s", Err(MalformedSaml::NoResponse));
        check("SAMLResponse=YWJj", Err(MalformedSaml::NoState));
        check("SAMLResponse=YWJj&RelayState=", Err(MalformedSaml::NoState));
        check("SAMLResponse=YWJj&SAMLResponse=YWJj&RelayState=s", Err(MalformedSaml::Twice));
        check("SAMLResponse=YWJj&S%41MLResponse=YWJk&RelayState=s", Err(MalformedSaml::Twice));
        check("SAMLResponse=YWJj&RelayState=s&RelayState=t", Err(MalformedSaml::Twice));
        check("RelayState=s&SAMLResponse=YW%0D%0AJj", Ok("abc"));
    }

    #[test]
    fn o20_o27_o28_only_one_well_formed_answer_is_taken() {
        let check = |query: &str, expected: Result<&str, Malformed>| {
            let found = AuthorizationResponse::parse(query).map(|response| match response.outcome {
                Outcome::Code(code) => code,
                Outcome::Error(error) => format!("error {error}"),
            });
            assert_eq!(found, expected.map(str::to_owned), "{query}");
        };
        check("", Err(Malformed::NoState));
        check("code=c", Err(Malformed::NoState));
        check("code=c&state=", Err(Malformed::NoState));
        check("code=c&state=s&state=s", Err(Malformed::Twice));
        check("code=c&code=d&state=s", Err(Malformed::Twice));
        check("code=c&state=s&iss=a&iss=a", Err(Malformed::Twice));
        check("c%6fde=c&code=d&state=s", Err(Malformed::Twice));
        check("code=c&state=s&id_token=x", Err(Malformed::TokenInQuery));
        check("state=s&access_token=x&token_type=bearer", Err(Malformed::TokenInQuery));
        check("state=s&response=eyJ", Err(Malformed::TokenInQuery));
        check("state=s", Err(Malformed::NoCode));
        check("state=s&code=", Err(Malformed::NoCode));
        check("state=s&code=c&error=access_denied", Err(Malformed::CodeAndError));
        check("state=s&error=access_denied&error_description=%3Cscript%3E", Ok("error access_denied"));
        check("state=s&error=%3Cscript%3E", Ok("error other"));
        check("state=s&code=c&session_state=x&anything=y", Ok("c"));
    }
}
