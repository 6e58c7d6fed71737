//! The token endpoint: one request, one answer, both bounded. Credentials and tokens have no `Debug` here.

use super::http;
use crate::outbound::{OutboundError, OutboundResponse, Transport};
use ::http::{HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

/// An ID token above this is nobody's: the largest seen in the wild (hundreds of groups) have 40 KiB.
const ID_TOKEN_BYTES_MAX: usize = 256 * 1024;

/// How we say who we are (RFC 6749 2.3).
pub(super) struct Client<'a> {
    pub(super) id: &'a str,
    pub(super) secret: Option<&'a SecretString>,
    /// `client_secret_post` in place of `client_secret_basic`.
    pub(super) secret_in_body: bool,
}

/// What is sent beside that.
pub(super) struct Grant<'a> {
    pub(super) code: &'a str,
    pub(super) code_verifier: &'a str,
    pub(super) redirect_uri: &'a str,
}

/// What came.
pub(super) struct Tokens {
    pub(super) id_token: String,
    pub(super) access_token: String,
}

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// Not what a token endpoint answers: 5xx, a redirect, HTML.
    #[error("status {0} and no token response")]
    Nonsense(StatusCode),
    /// The endpoint refused (RFC 6749 5.2). Only codes from the specification's list are kept.
    #[error("{0}")]
    Refused(&'static str),
    /// A token response that lacks something or has it wrong.
    #[error("{what} is {found}")]
    Malformed {
        /// The parameter.
        what: &'static str,
        /// What is wrong with it.
        found: &'static str,
    },
}

/// Exchanges a code. Sent once: whatever happens, the code is spent.
pub(super) async fn exchange(transport: &dyn Transport, endpoint: Url, client: &Client<'_>, grant: &Grant<'_>) -> Result<Tokens, TokenError> {
    let (authorization, form) = request(client, grant);
    let response = http::post_form(transport, endpoint, authorization, form).await?;
    parse(&response)
}

fn request(client: &Client<'_>, grant: &Grant<'_>) -> (Option<HeaderValue>, String) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", grant.code)
        .append_pair("redirect_uri", grant.redirect_uri)
        .append_pair("code_verifier", grant.code_verifier);
    let authorization = match client.secret {
        Some(secret) if !client.secret_in_body => basic(client.id, secret.expose_secret()),
        Some(secret) => {
            form.append_pair("client_id", client.id).append_pair("client_secret", secret.expose_secret());
            None
        }
        None => {
            form.append_pair("client_id", client.id);
            None
        }
    };
    (authorization, form.finish())
}

/// RFC 6749 2.3.1: both halves are form-urlencoded before they are joined.
fn basic(id: &str, secret: &str) -> Option<HeaderValue> {
    let encode = |part: &str| form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn parse(response: &OutboundResponse) -> Result<Tokens, TokenError> {
    let Ok(Value::Object(document)) = serde_json::from_slice(&response.body) else { return Err(TokenError::Nonsense(response.status)) };
    // Some endpoints report errors with status 200 (attacks.md O29).
    if let Some(code) = document.get("error") {
        return Err(TokenError::Refused(known_error(code.as_str().unwrap_or_default())));
    }
    if response.status != StatusCode::OK {
        return Err(TokenError::Nonsense(response.status));
    }
    let text = |what: &'static str| match document.get(what) {
        None | Some(Value::Null) => Err(TokenError::Malformed { what, found: "missing" }),
        Some(Value::String(text)) if text.is_empty() => Err(TokenError::Malformed { what, found: "empty" }),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(TokenError::Malformed { what, found: "not a string" }),
    };
    // OIDC Core 3.1.3.3: token_type MUST be Bearer; RFC 6749 5.1: compared without case.
    if !text("token_type")?.eq_ignore_ascii_case("Bearer") {
        return Err(TokenError::Malformed { what: "token_type", found: "not Bearer" });
    }
    let (id_token, access_token) = (text("id_token")?, text("access_token")?);
    if id_token.len() > ID_TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed { what: "id_token", found: "too long" });
    }
    Ok(Tokens { id_token: id_token.to_owned(), access_token: access_token.to_owned() })
}

fn known_error(code: &str) -> &'static str {
    const KNOWN: [&str; 6] = ["invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"];
    KNOWN.into_iter().find(|known| *known == code).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::{Client, Grant, parse, request};
    use crate::outbound::OutboundResponse;
    use http::{HeaderMap, StatusCode};
    use secrecy::SecretString;

    #[test]
    fn o29_only_a_whole_bearer_answer_is_taken() {
        let check = |status: u16, body: &str, expected: &str| {
            let response =
                OutboundResponse { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: body.to_owned().into() };
            let found = parse(&response).map_or_else(|error| error.to_string(), |tokens| tokens.id_token);
            assert_eq!(found, expected, "{status} {body}");
        };
        check(200, "<html>", "status 200 OK and no token response");
        check(500, "oops", "status 500 Internal Server Error and no token response");
        check(307, "", "status 307 Temporary Redirect and no token response");
        check(200, r#"{"id_token":"a","#, "status 200 OK and no token response");
        check(200, r#"{"error":"invalid_grant","id_token":"a","access_token":"b","token_type":"Bearer"}"#, "invalid_grant");
        check(400, r#"{"error":"<script>"}"#, "other");
        check(201, r#"{"id_token":"a","access_token":"b","token_type":"Bearer"}"#, "status 201 Created and no token response");
        check(200, r#"{"id_token":"a","access_token":"b","token_type":"mac"}"#, "token_type is not Bearer");
        check(200, r#"{"id_token":"a","access_token":"b"}"#, "token_type is missing");
        check(200, r#"{"access_token":"b","token_type":"Bearer"}"#, "id_token is missing");
        check(200, r#"{"id_token":["a"],"access_token":"b","token_type":"Bearer"}"#, "id_token is not a string");
        check(200, r#"{"id_token":"a","token_type":"Bearer"}"#, "access_token is missing");
        check(200, r#"{"id_token":"a","access_token":"b","token_type":"bearer"}"#, "a");
    }

    #[test]
    fn the_secret_goes_where_the_provider_takes_it_and_is_encoded_first() {
        let secret = SecretString::from("p:w d+%");
        let grant = Grant { code: "c&d", code_verifier: "v", redirect_uri: "https://auth/cb" };
        let sent = |secret: Option<&SecretString>, secret_in_body| {
            let (authorization, form) = request(&Client { id: "a:b", secret, secret_in_body }, &grant);
            (authorization.map(|value| value.to_str().unwrap().to_owned()), form)
        };
        let body = "grant_type=authorization_code&code=c%26d&redirect_uri=https%3A%2F%2Fauth%2Fcb&code_verifier=v";
        // base64 of a%3Ab:p%3Aw+d%2B%25
        assert_eq!(sent(Some(&secret), false), (Some("Basic YSUzQWI6cCUzQXcrZCUyQiUyNQ==".to_owned()), body.to_owned()));
        assert_eq!(sent(Some(&secret), true), (None, format!("{body}&client_id=a%3Ab&client_secret=p%3Aw+d%2B%25")));
        assert_eq!(sent(None, false), (None, format!("{body}&client_id=a%3Ab")));
    }
}
