//! Outgoing HTTP that is not to an upstream: providers and admin APIs. Bounded in bytes and time, follows no redirect.
//!
//! Lives here: the [`Transport`] port and its one adapter over hyper and rustls, [`HyperTransport`]. Apart because two adapters (`sso`, `connector`)
//! need the same limits and must not know each other. It must never know what is asked or why: no retry, no credential, no log.

mod hyper;
#[cfg(test)]
mod tls_tests;

pub use hyper::{HyperTransport, TlsSetupError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use std::fmt;

/// A request to a provider or an admin API. Its `Debug` shows neither headers nor body nor query: credentials travel there.
#[derive(Clone)]
pub struct OutboundRequest {
    /// Method.
    pub method: Method,
    /// Absolute address, `https` or `http`.
    pub url: url::Url,
    /// Headers; `Host` is set from the address.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Whole exchange, connection included.
    pub timeout_ms: u64,
    /// Largest response body taken.
    pub response_bytes_max: usize,
}

impl fmt::Debug for OutboundRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = format!("{}://{}{}", self.url.scheme(), self.url.host_str().unwrap_or_default(), self.url.path());
        f.debug_struct("OutboundRequest").field("method", &self.method).field("url", &place).finish_non_exhaustive()
    }
}

/// The answer. A redirect is an answer like any other: never followed.
#[derive(Clone)]
pub struct OutboundResponse {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, whole.
    pub body: Bytes,
}

impl fmt::Debug for OutboundResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundResponse").field("status", &self.status).field("body_bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Nothing was sent: name, connection or TLS failed. Safe to do again.
    #[error("no connection: {0}")]
    Connect(String),
    /// Sent, or partly; no whole answer came. A write may have happened.
    #[error("no whole answer: {0}")]
    Interrupted(String),
    /// No whole answer in time. A write may have happened.
    #[error("no whole answer within {0} ms")]
    Timeout(u64),
    /// More than `response_bytes_max`.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Sends one request.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends and reads the whole answer.
    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError>;
}
