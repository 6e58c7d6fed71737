//! The requests we make of a provider and its directory, with their bounds.

use crate::outbound::{OutboundError, OutboundRequest, OutboundResponse, Transport};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

/// Nothing a provider sends is larger (attacks.md O29, O30).
const BODY_BYTES_MAX: usize = 1024 * 1024;
const TIMEOUT_MS: u64 = 10_000;

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("status {0}")]
    Status(StatusCode),
}

/// Gets a document; anything but 200 is an error, a redirect included.
pub(super) async fn get(transport: &dyn Transport, url: Url, bearer: Option<&str>) -> Result<OutboundResponse, FetchError> {
    let headers = bearer.map(bearing).unwrap_or_default();
    let response = send(transport, Method::GET, url, headers, Bytes::new()).await?;
    if response.status == StatusCode::OK { Ok(response) } else { Err(FetchError::Status(response.status)) }
}

/// Posts a form; every status is an answer.
pub(super) async fn post_form(
    transport: &dyn Transport,
    url: Url,
    authorization: Option<HeaderValue>,
    form: String,
) -> Result<OutboundResponse, OutboundError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
    send(transport, Method::POST, url, headers, Bytes::from(form)).await
}

/// Posts JSON with a token; every status is an answer.
pub(super) async fn post_json(transport: &dyn Transport, url: Url, bearer: &str, json: String) -> Result<OutboundResponse, OutboundError> {
    let mut headers = bearing(bearer);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    send(transport, Method::POST, url, headers, Bytes::from(json)).await
}

/// Gets with a token; every status is an answer.
pub(super) async fn get_with(transport: &dyn Transport, url: Url, bearer: &str) -> Result<OutboundResponse, OutboundError> {
    send(transport, Method::GET, url, bearing(bearer), Bytes::new()).await
}

fn bearing(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    headers
}

async fn send(transport: &dyn Transport, method: Method, url: Url, mut headers: HeaderMap, body: Bytes) -> Result<OutboundResponse, OutboundError> {
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    transport.send(OutboundRequest { method, url, headers, body, timeout_ms: TIMEOUT_MS, response_bytes_max: BODY_BYTES_MAX }).await
}
