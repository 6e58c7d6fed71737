//! Where a provider's metadata comes from: fetched or read by one at a time, the last good one kept.
//!
//! A bad or absent document never replaces a good one that is still valid, and a provider that is down is asked again after a pause that doubles, so that nothing
//! needs a restart to recover (as `oidc/discovery.rs` does).

use super::metadata::{BYTES_MAX, Metadata, Rules, is_loopback};
use crate::clock::{Clock, Timestamp};
use crate::config::{MetadataPlace, Saml};
use crate::outbound::{OutboundRequest, Transport};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Metadata older than this is fetched again at the next sign-in.
const FRESH_MS: i64 = 60 * 60 * 1000;
/// First pause after a failure; doubles up to [`PAUSE_MS_MAX`].
const PAUSE_MS_MIN: i64 = 1000;
const PAUSE_MS_MAX: i64 = 30_000;
const TIMEOUT_MS: u64 = 10_000;

/// A provider's metadata, cached.
#[derive(Debug)]
pub(super) struct Source {
    settings: Saml,
    entity_id: Option<String>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    good: ArcSwapOption<(Arc<Metadata>, Timestamp)>,
    /// Held while asking: one request in flight, everybody else waits for its outcome.
    flight: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    pause_ms: i64,
    last: Option<(Timestamp, String)>,
}

impl Source {
    /// Nothing is fetched yet.
    pub(super) fn new(settings: Saml, entity_id: Option<String>, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        Self { settings, entity_id, transport, clock, good: ArcSwapOption::empty(), flight: Mutex::default() }
    }

    /// The metadata, fresh if it can be had, else the last that was good and is valid still.
    ///
    /// # Errors
    /// Why there is none, in words for the log.
    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>, String> {
        if let Some(metadata) = self.younger_than(FRESH_MS) {
            return Ok(metadata);
        }
        let mut failures = self.flight.lock().await;
        if let Some(metadata) = self.younger_than(FRESH_MS) {
            return Ok(metadata);
        }
        let pausing = failures.last.as_ref().filter(|(at, _)| (0..failures.pause_ms).contains(&self.clock.now().since_ms(*at)));
        let why = if let Some((_, why)) = pausing {
            why.clone()
        } else {
            match self.read().await {
                Ok(metadata) => {
                    *failures = Failures::default();
                    let metadata = Arc::new(metadata);
                    self.good.store(Some(Arc::new((Arc::clone(&metadata), self.clock.now()))));
                    return Ok(metadata);
                }
                Err(why) => {
                    tracing::warn!(why, "a SAML provider's metadata is not to be had; the last good one stays while it is valid");
                    failures.pause_ms = (failures.pause_ms * 2).clamp(PAUSE_MS_MIN, PAUSE_MS_MAX);
                    failures.last = Some((self.clock.now(), why.clone()));
                    why
                }
            }
        };
        self.younger_than(i64::MAX).ok_or(why)
    }

    /// Who it is: as configured, else as the metadata says that is used now.
    pub(super) fn entity_id(&self) -> Option<String> {
        self.entity_id.clone().or_else(|| self.good.load().as_ref().map(|good| good.0.entity_id.clone()))
    }

    /// When what is used now was read.
    pub(super) fn read_at(&self) -> Option<Timestamp> {
        self.good.load().as_ref().map(|good| good.1)
    }

    fn younger_than(&self, ms: i64) -> Option<Arc<Metadata>> {
        let good = self.good.load();
        let (metadata, read_at) = good.as_deref()?;
        let now = self.clock.now();
        let valid = metadata.valid_until.is_none_or(|until| now < until);
        (valid && (0..ms).contains(&now.since_ms(*read_at))).then(|| Arc::clone(metadata))
    }

    async fn read(&self) -> Result<Metadata, String> {
        let mut must_be_signed = false;
        let bytes = match &self.settings.metadata {
            MetadataPlace::File(path) => {
                let read = tokio::fs::read(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
                Bytes::from(read)
            }
            MetadataPlace::Address(url) => {
                must_be_signed = url.scheme() != "https" && !is_loopback(url);
                let mut headers = HeaderMap::new();
                headers.insert(ACCEPT, HeaderValue::from_static("application/samlmetadata+xml, application/xml, text/xml"));
                let (url, timeout_ms) = (url.clone(), TIMEOUT_MS);
                let request = OutboundRequest { method: Method::GET, url, headers, body: Bytes::new(), timeout_ms, response_bytes_max: BYTES_MAX };
                let response = self.transport.send(request).await.map_err(|error| error.to_string())?;
                if response.status != StatusCode::OK {
                    return Err(format!("status {}", response.status));
                }
                response.body
            }
        };
        let (pins, entity_id, now) = (self.settings.pins.clone(), self.entity_id.clone(), self.clock.now());
        let parsing = move || {
            let rules = Rules { entity_id: entity_id.as_deref(), pins: &pins, must_be_signed, now };
            Metadata::parse(&bytes, &rules).map_err(|error| error.to_string())
        };
        // A signature is verified in C, and a large document takes a while.
        tokio::task::spawn_blocking(parsing).await.map_err(|died| died.to_string())?
    }
}
