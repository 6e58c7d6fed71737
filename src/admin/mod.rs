//! The operators' listener: `/healthz`, `/readyz`, `/metrics`. Its own address, loopback unless told otherwise, never the public one.
//!
//! It has no state of its own and opens nothing: a health check is not a way around a policy (CVE-2026-34457). `socket.rs` is the Unix socket that the command
//! line talks to, `commands/` what may be asked there.

pub mod commands;
pub mod socket;

use crate::clock::Clock;
use crate::observe::Metrics;
use crate::state::{SecretHash, Store};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The store must answer the readiness question by then.
const READY_MS: u64 = 1_000;

/// What the operators' pages look at.
#[derive(Debug)]
pub struct Admin {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The store, asked whether it answers.
    pub store: Arc<dyn Store>,
    /// Whether `/metrics` answers.
    pub show_metrics: bool,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Answers until told to stop.
///
/// # Errors
/// The operating system's, when the listener cannot be used.
pub async fn run(listener: std::net::TcpListener, admin: Arc<Admin>, mut stop: watch::Receiver<bool>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let Ok((tcp, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (admin, stopping) = (Arc::clone(&admin), stop.clone());
        drop(tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (admin, stopping) = (Arc::clone(&admin), *stopping.borrow());
                async move { Ok::<_, Infallible>(admin.answer(request.method(), request.uri().path(), stopping).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
            if let Err(error) = http.serve_connection(TokioIo::new(tcp), service).await {
                tracing::debug!(%error, "admin connection closed");
            }
        }));
    }
}

impl Admin {
    async fn answer(&self, method: &Method, path: &str, stopping: bool) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        }
        match path {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if stopping => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            "/readyz" if self.store_answers().await => text(StatusCode::OK, "ready\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "the state store is not answering\n"),
            "/metrics" if self.show_metrics => {
                self.count_accounts().await;
                let mut response = text(StatusCode::OK, self.metrics.text());
                let openmetrics = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, openmetrics);
                response
            }
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    /// Records are counted when somebody asks. A store that does not answer leaves the figures of last time; `/readyz` says so.
    async fn count_accounts(&self) {
        match tokio::time::timeout(Duration::from_millis(READY_MS), self.store.census()).await {
            Ok(Ok(census)) => self.metrics.take_census(&census, self.clock.now()),
            Ok(Err(error)) => tracing::warn!(%error, "account records could not be counted for /metrics"),
            Err(_elapsed) => tracing::warn!("account records could not be counted for /metrics within a second"),
        }
    }

    async fn store_answers(&self) -> bool {
        let asked = self.store.app_session(SecretHash::of(b"readyz"));
        matches!(tokio::time::timeout(Duration::from_millis(READY_MS), asked).await, Ok(Ok(_)))
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
