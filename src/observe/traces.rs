//! Spans on their way to a collector.
//!
//! Lives here: [`Exporter`], which takes what the rooms have recorded (`trace/`), many at a time, on the control runtime, and sends it by OTLP over HTTP. The encoding is
//! `opentelemetry-otlp`'s, whose types stop here; the request goes out by our own transport, bounded in bytes and time. A collector that is down loses spans, which are
//! counted, and holds nobody up.

use super::Metrics;
use crate::outbound::{OutboundRequest, Transport};
use crate::trace::{Kind, Recorded, Span, Value};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;
use url::Url;

/// Spans sent at once.
const AT_ONCE: usize = 512;
/// How long spans are collected before they are sent.
const EVERY: Duration = Duration::from_secs(1);
/// A batch is there by then, or lost.
const TIMEOUT_MS: u64 = 10_000;
/// The last ones have less time: somebody waits for the end.
const LAST: Duration = Duration::from_secs(2);
/// A collector has little to say.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends spans away.
#[derive(Debug)]
pub struct Exporter {
    exporter: SpanExporter,
    scope: InstrumentationScope,
    recorded: Recorded,
    metrics: Arc<Metrics>,
    /// Whether the last batch was lost: said once.
    down: bool,
}

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
#[error("[telemetry] otlp: {0}")]
pub struct ExporterError(String);

impl Exporter {
    /// Of what comes out of `recorded`, to the collector at `otlp`.
    ///
    /// # Errors
    /// [`ExporterError`]: an address that the library does not take.
    pub fn new(otlp: &Url, transport: Arc<dyn Transport>, recorded: Recorded, metrics: Arc<Metrics>) -> Result<Self, ExporterError> {
        let endpoint = format!("{}/v1/traces", otlp.as_str().trim_end_matches('/'));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Ours(transport))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(Duration::from_millis(TIMEOUT_MS))
            .with_endpoint(endpoint)
            .build();
        let mut exporter = exporter.map_err(|error| ExporterError(error.to_string()))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        exporter.set_resource(&Resource::builder_empty().with_service_name("vestibule").with_attribute(version).build());
        let scope = InstrumentationScope::builder("vestibule").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { exporter, scope, recorded, metrics, down: false })
    }

    /// Sends until `stop`, then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            // A batch under way when the end comes is lost: a collector that stalls is not waited for.
            if stop.run_until_cancelled(self.send_all(&mut batch)).await.is_none() {
                break;
            }
        }
        self.recorded.receiver.close();
        if tokio::time::timeout(LAST, self.send_all(&mut batch)).await.is_err() {
            tracing::debug!("the last spans were not sent in time");
        }
    }

    /// What is there now.
    async fn send_all(&mut self, batch: &mut Vec<Span>) {
        let lost = self.recorded.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.metrics.spans_dropped(lost);
        }
        loop {
            while batch.len() < AT_ONCE
                && let Ok(span) = self.recorded.receiver.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            let count = batch.len();
            let spans = batch.drain(..).map(|span| data(span, &self.scope)).collect();
            match self.exporter.export(spans).await {
                Ok(()) if self.down => {
                    self.down = false;
                    tracing::info!("the collector of [telemetry] otlp answers again");
                }
                Ok(()) => {}
                Err(error) => {
                    self.metrics.spans_dropped(count);
                    if !self.down {
                        tracing::warn!(%error, count, "the collector of [telemetry] otlp did not take these spans: they are lost, as are others until it does");
                    }
                    self.down = true;
                    // The rest waits for the next round: a collector that is slow to fail does not get more of them at once.
                    return;
                }
            }
        }
    }
}

fn data(span: Span, scope: &InstrumentationScope) -> SpanData {
    let ids = |id| SpanContext::new(TraceId::from_bytes(span.trace_id), SpanId::from_bytes(id), TraceFlags::SAMPLED, false, TraceState::NONE);
    let attribute = |(name, value): (&'static str, Value)| match value {
        Value::Text(text) => KeyValue::new(name, text.into_owned()),
        Value::Number(number) => KeyValue::new(name, number),
    };
    SpanData {
        span_context: ids(span.id),
        parent_span_id: span.parent.map_or(SpanId::INVALID, |(id, _)| SpanId::from_bytes(id)),
        parent_span_is_remote: span.parent.is_some_and(|(_, remote)| remote),
        span_kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Internal => SpanKind::Internal,
        },
        name: span.name,
        start_time: SystemTime::UNIX_EPOCH + span.begun,
        end_time: SystemTime::UNIX_EPOCH + span.ended,
        attributes: span.values.into_iter().map(attribute).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if span.failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: scope.clone(),
    }
}

/// Our transport, as the library asks for one.
#[derive(Debug)]
struct Ours(Arc<dyn Transport>);

#[async_trait]
impl HttpClient for Ours {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string())?;
        let asked = OutboundRequest {
            method: Method::POST,
            url,
            headers: head.headers,
            body,
            timeout_ms: TIMEOUT_MS,
            response_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.0.send(asked).await?;
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}
