//! The operators' listener: `/healthz`, `/readyz`, `/metrics`, and the console where there is one. Its own address, loopback unless told otherwise, never the
//! public one; on any other address than loopback it speaks TLS only.
//!
//! The three have no state of their own and open nothing: a health check is not a way around a policy (CVE-2026-34457). They answer whoever reaches the listener,
//! by any name; everything else is the console's (`console/`), and only by its own. `socket.rs` is the Unix socket that the command line talks to, `commands/`
//! what may be asked there.

pub mod commands;
pub mod console;
pub mod socket;

use crate::clock::Clock;
use crate::observe::Metrics;
use crate::proxy::tls::Acceptor;
use crate::state::{SecretHash, Store};
use bytes::Bytes;
use console::{BODY_BYTES_MAX, Console};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The store must answer the readiness question by then.
const READY_MS: u64 = 1_000;
/// A TLS handshake must be done by then, and a form be there.
const HANDSHAKE_MS: u64 = 10_000;

/// Sets what is looked up rather than counted, when somebody asks for `/metrics`.
pub trait Gauges: Send + Sync + fmt::Debug {
    /// Now.
    fn set(&self, metrics: &Metrics);
}

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
    /// What is looked up for `/metrics`.
    pub gauges: Arc<dyn Gauges>,
    /// The console, where `[admin] host` names one.
    pub console: Option<Arc<Console>>,
}

/// Answers until told to stop; by TLS where there is an `acceptor`.
///
/// # Errors
/// The operating system's, when the listener cannot be used.
pub async fn run(
    listener: std::net::TcpListener,
    acceptor: Option<Arc<Acceptor>>,
    admin: Arc<Admin>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely (D8): let some close instead of spinning.
                tracing::warn!(%error, edge = "admin edge", "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        drop(tokio::spawn(connection(tcp, peer.ip().to_canonical(), acceptor.clone(), Arc::clone(&admin), stop.clone())));
    }
}

async fn connection(tcp: TcpStream, peer: IpAddr, acceptor: Option<Arc<Acceptor>>, admin: Arc<Admin>, stop: watch::Receiver<bool>) {
    let Some(acceptor) = acceptor else { return serve(tcp, Caller { peer, sni: None }, admin, stop).await };
    match tokio::time::timeout(Duration::from_millis(HANDSHAKE_MS), acceptor.accept(tcp)).await {
        Ok(Ok((stream, sni, _))) => serve(stream, Caller { peer, sni }, admin, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, %peer, "TLS handshake of the admin listener failed"),
        Err(_elapsed) => tracing::debug!(%peer, "TLS handshake of the admin listener took too long"),
    }
}

/// Who sends a request.
struct Caller {
    peer: IpAddr,
    /// Name that the TLS connection was opened for.
    sni: Option<Arc<str>>,
}

async fn serve<I>(io: I, from: Caller, admin: Arc<Admin>, stop: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let from = Arc::new(from);
    let service = service_fn(move |request: Request<Incoming>| {
        let (admin, from, stopping) = (Arc::clone(&admin), Arc::clone(&from), *stop.borrow());
        async move { Ok::<_, Infallible>(Box::pin(admin.route(request, &from, stopping)).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    if let Err(error) = http.serve_connection(TokioIo::new(io), service).await {
        tracing::debug!(%error, "admin connection closed");
    }
}

impl Admin {
    async fn route(&self, request: Request<Incoming>, from: &Caller, stopping: bool) -> Response<Full<Bytes>> {
        let probe = matches!(request.uri().path(), "/healthz" | "/readyz" | "/metrics");
        let Some(console) = self.console.as_ref().filter(|_| !probe) else {
            return self.answer(request.method(), request.uri().path(), stopping).await;
        };
        let (head, body) = request.into_parts();
        if !console.is_meant(&head, from.sni.as_deref()) {
            return text(StatusCode::MISDIRECTED_REQUEST, "the console is not reached by this name\n");
        }
        let read = tokio::time::timeout(Duration::from_millis(HANDSHAKE_MS), Limited::new(body, BODY_BYTES_MAX).collect()).await;
        let Ok(Ok(body)) = read else { return text(StatusCode::BAD_REQUEST, "the form is too long, or did not come\n") };
        console.answer(head, body.to_bytes(), from.peer).await.map(Full::new)
    }

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
                self.gauges.set(&self.metrics);
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
