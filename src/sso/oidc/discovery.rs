//! A provider's metadata: parsed strictly, kept while the provider is away, fetched by one at a time.
//!
//! [`Metadata::parse`] is pure. [`Discovery`] is the cache in front of it: a bad or absent answer never replaces a good one, and a provider
//! that is down is asked again after a pause that doubles, so that nothing needs a restart to recover (attacks.md O30).

use super::http::{self, FetchError};
use crate::clock::{Clock, Timestamp};
use crate::outbound::Transport;
use arc_swap::ArcSwapOption;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::Mutex;
use url::{Host, Url};

/// Metadata older than this is fetched again at the next sign-in.
const FRESH_MS: i64 = 60 * 60 * 1000;
/// First pause after a failure; doubles up to [`PAUSE_MS_MAX`].
const PAUSE_MS_MIN: i64 = 1000;
const PAUSE_MS_MAX: i64 = 30_000;

/// What we use of a provider's metadata (Discovery 1.0 section 3).
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
    pub(super) userinfo_endpoint: Option<Url>,
    pub(super) end_session_endpoint: Option<Url>,
    /// RFC 9207 3: the provider promises an `iss` parameter, so its absence is an attack.
    pub(super) promises_iss: bool,
    /// How a client secret is sent.
    pub(super) secret_in_body: bool,
}

/// Why a document is not a provider's metadata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MetadataError {
    #[error("not a JSON object")]
    NotJson,
    #[error("issuer is {found:?}, not {expected:?}")]
    Issuer { expected: String, found: String },
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is not an address this gateway may ask")]
    Address(&'static str),
}

impl Metadata {
    /// Parses the document at the well-known address of `issuer`.
    ///
    /// `code_challenge_methods_supported` is not read: S256 is sent whatever it says (RFC 9700 2.1.1; a document that offers only
    /// `plain` must not talk us down).
    pub(super) fn parse(issuer: &str, body: &[u8]) -> Result<Self, MetadataError> {
        let Ok(Value::Object(document)) = serde_json::from_slice(body) else { return Err(MetadataError::NotJson) };
        // Discovery 4.3: the issuer MUST be identical, byte for byte, to the one the address was made from.
        let found = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
        if found != issuer {
            return Err(MetadataError::Issuer { expected: issuer.to_owned(), found: found.chars().take(200).collect() });
        }
        let plain = issuer_may_be_plain(issuer)?;
        let required = |name| endpoint(&document, name, plain)?.ok_or(MetadataError::Missing(name));
        let methods = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        let offers = |method: &str| methods.is_some_and(|methods| methods.iter().any(|offered| offered == method));
        Ok(Self {
            authorization_endpoint: required("authorization_endpoint")?,
            token_endpoint: required("token_endpoint")?,
            jwks_uri: required("jwks_uri")?,
            userinfo_endpoint: endpoint(&document, "userinfo_endpoint", plain)?,
            end_session_endpoint: endpoint(&document, "end_session_endpoint", plain)?,
            promises_iss: document.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
            secret_in_body: !offers("client_secret_basic") && offers("client_secret_post"),
        })
    }
}

/// Whether endpoints may be plain http: only when the issuer itself is, and is on this machine.
fn issuer_may_be_plain(issuer: &str) -> Result<bool, MetadataError> {
    let url = Url::parse(issuer).map_err(|_error| MetadataError::Address("issuer"))?;
    let proper = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        "https" if proper => Ok(false),
        "http" if proper && is_loopback(&url) => Ok(true),
        _ => Err(MetadataError::Address("issuer")),
    }
}

fn endpoint(document: &Map<String, Value>, name: &'static str, plain: bool) -> Result<Option<Url>, MetadataError> {
    let Some(written) = document.get(name) else { return Ok(None) };
    let wrong = || MetadataError::Address(name);
    let url = Url::parse(written.as_str().ok_or_else(wrong)?).map_err(|_error| wrong())?;
    let scheme_fits = url.scheme() == "https" || (plain && url.scheme() == "http" && is_loopback(&url));
    let proper = url.has_host() && url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if scheme_fits && proper { Ok(Some(url)) } else { Err(wrong()) }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A provider's metadata, cached.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: String,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    good: ArcSwapOption<(Metadata, Timestamp)>,
    /// Held while asking: one request in flight, everybody else waits for its outcome.
    flight: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    pause_ms: i64,
    last: Option<(Timestamp, String)>,
}

impl Discovery {
    pub(super) fn new(issuer: String, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        Self { issuer, transport, clock, good: ArcSwapOption::empty(), flight: Mutex::default() }
    }

    /// The metadata, fresh if it can be had, else the last that was good.
    ///
    /// # Errors
    /// Why there is none, in words for the log.
    pub(super) async fn metadata(&self) -> Result<Metadata, String> {
        if let Some(metadata) = self.fresh() {
            return Ok(metadata);
        }
        let mut failures = self.flight.lock().await;
        if let Some(metadata) = self.fresh() {
            return Ok(metadata);
        }
        let pausing = failures.last.as_ref().filter(|(at, _)| (0..failures.pause_ms).contains(&self.clock.now().since_ms(*at)));
        let why = if let Some((_, why)) = pausing {
            why.clone()
        } else {
            match self.fetch().await {
                Ok(metadata) => {
                    *failures = Failures::default();
                    self.good.store(Some(Arc::new((metadata.clone(), self.clock.now()))));
                    return Ok(metadata);
                }
                Err(why) => {
                    failures.pause_ms = (failures.pause_ms * 2).clamp(PAUSE_MS_MIN, PAUSE_MS_MAX);
                    failures.last = Some((self.clock.now(), why.clone()));
                    why
                }
            }
        };
        self.last_good().ok_or(why)
    }

    fn fresh(&self) -> Option<Metadata> {
        let good = self.good.load();
        let (metadata, fetched_at) = good.as_deref()?;
        (0..FRESH_MS).contains(&self.clock.now().since_ms(*fetched_at)).then(|| metadata.clone())
    }

    fn last_good(&self) -> Option<Metadata> {
        self.good.load().as_deref().map(|(metadata, _)| metadata.clone())
    }

    async fn fetch(&self) -> Result<Metadata, String> {
        // Discovery 4: a terminating / of the issuer MUST be removed before the well-known path is appended.
        let address = format!("{}/.well-known/openid-configuration", self.issuer.strip_suffix('/').unwrap_or(&self.issuer));
        let url = Url::parse(&address).map_err(|error| error.to_string())?;
        issuer_may_be_plain(&self.issuer).map_err(|error| error.to_string())?;
        let body = http::get(self.transport.as_ref(), url, None).await.map_err(|error: FetchError| error.to_string())?.body;
        Metadata::parse(&self.issuer, &body).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Metadata, MetadataError};
    use serde_json::{Value, json};

    fn document(issuer: &str) -> Value {
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
        })
    }

    fn parse(issuer: &str, name: &str, value: Value) -> Result<Metadata, MetadataError> {
        let mut document = document(issuer);
        document[name] = value;
        Metadata::parse(issuer, document.to_string().as_bytes())
    }

    #[test]
    fn o30_a_document_of_another_issuer_or_with_odd_addresses_is_refused() {
        let op = "https://op.example.com";
        let check = |name: &'static str, value: Value| {
            assert_eq!(parse(op, name, value.clone()).unwrap_err(), MetadataError::Address(name), "{name} {value}");
        };
        for issuer in ["https://OP.example.com", "https://op.example.com/", "https://op2.example.com", ""] {
            assert!(matches!(parse(op, "issuer", json!(issuer)), Err(MetadataError::Issuer { .. })), "{issuer}");
        }
        check("jwks_uri", json!("file:///etc/passwd"));
        check("jwks_uri", json!("http://op.example.com/jwks"));
        check("jwks_uri", json!("data:application/json,{}"));
        check("token_endpoint", json!("http://127.0.0.1/token"));
        check("token_endpoint", json!("https://user:pw@op.example.com/token"));
        check("authorization_endpoint", json!("javascript:alert(1)"));
        check("userinfo_endpoint", json!(["https://op.example.com/userinfo"]));
        check("end_session_endpoint", json!("ftp://op.example.com/bye"));
        for body in ["", "<html>", "[]", "null", "{\"issuer\":"] {
            assert_eq!(Metadata::parse(op, body.as_bytes()).unwrap_err(), MetadataError::NotJson);
        }
        for issuer in ["http://op.example.com", "https://op.example.com?x=1", "file:///op", "https://u@op.example.com"] {
            assert_eq!(Metadata::parse(issuer, document(issuer).to_string().as_bytes()).unwrap_err(), MetadataError::Address("issuer"), "{issuer}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        let op = "http://127.0.0.1:9100";
        assert!(Metadata::parse(op, document(op).to_string().as_bytes()).is_ok());
        assert_eq!(parse(op, "token_endpoint", json!("http://op.example.com/token")).unwrap_err(), MetadataError::Address("token_endpoint"));
        assert!(parse(op, "token_endpoint", json!("https://op.example.com/token")).is_ok());
    }

    #[test]
    fn the_secret_goes_into_the_body_only_where_nothing_else_is_offered() {
        let op = "https://op.example.com";
        let check = |methods: Value, in_body: bool| {
            assert_eq!(parse(op, "token_endpoint_auth_methods_supported", methods).unwrap().secret_in_body, in_body);
        };
        check(Value::Null, false);
        check(json!(["client_secret_post", "client_secret_basic"]), false);
        check(json!(["private_key_jwt", "client_secret_post"]), true);
    }
}
