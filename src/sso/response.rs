//! What a browser brings back from an OpenID Provider, parsed once.
//!
//! Pure. Everything that can be refused without knowing the sign-in is refused here, before anything is looked up or sent: a doubled
//! parameter, a token in the query, an answer that is neither code nor error (promises.md, OIDC: duplicate `state`/`code`/`id_token`).

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
    use super::{AuthorizationResponse, Malformed, Outcome};

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
