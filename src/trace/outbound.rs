//! Requests of ours as spans.
//!
//! Lives here: [`Traced`], in front of any [`Transport`]. Whoever asks need not know of it; what is asked under no span is not recorded.

use super::{Kind, TRACEPARENT, child};
use crate::outbound::{OutboundError, OutboundRequest, OutboundResponse, Transport};
use async_trait::async_trait;
use http::Method;
use std::sync::Arc;

/// Records what is sent, and says where it belongs where the far end is an app's.
#[derive(Debug)]
pub struct Traced {
    inner: Arc<dyn Transport>,
    /// `vestibule.purpose`: `admin_api`, `idp`.
    purpose: &'static str,
    /// Whether `traceparent` goes along: to apps, which are the operator's own; not to providers, which are anybody's.
    passed_on: bool,
}

impl Traced {
    /// In front of `inner`.
    pub fn new(inner: Arc<dyn Transport>, purpose: &'static str, passed_on: bool) -> Self {
        Self { inner, purpose, passed_on }
    }
}

#[async_trait]
impl Transport for Traced {
    async fn send(&self, mut request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let Some(mut span) = child(name(&request.method), Kind::Client) else { return self.inner.send(request).await };
        span.note("http.request.method", if name(&request.method) == "HTTP" { "_OTHER" } else { name(&request.method) });
        span.note("server.address", request.url.host_str().unwrap_or_default().to_owned());
        if let Some(port) = request.url.port_or_known_default() {
            span.note("server.port", port);
        }
        span.note("vestibule.purpose", self.purpose);
        if self.passed_on {
            request.headers.insert(TRACEPARENT, span.context().header());
        }
        let answer = self.inner.send(request).await;
        match &answer {
            Ok(response) => {
                span.note("http.response.status_code", response.status.as_u16());
                if response.status.is_client_error() || response.status.is_server_error() {
                    span.fail(response.status.as_u16().to_string());
                }
            }
            Err(OutboundError::Connect(_)) => span.fail("connect"),
            Err(OutboundError::Interrupted(_)) => span.fail("interrupted"),
            Err(OutboundError::Timeout(_)) => span.fail("timeout"),
            Err(OutboundError::TooLarge(_)) => span.fail("too_large"),
        }
        answer
    }
}

/// A method as a name of low cardinality.
const fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "HTTP",
    }
}
