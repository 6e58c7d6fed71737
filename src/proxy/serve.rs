//! Accepting and running connections.

use super::answer::{self, Connection};
use super::leash::Leash;
use super::visitors::{Admitted, Seat};
use super::worker::Worker;
use super::{streams, tls};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

/// A TLS handshake must be done by then (CVE-2026-22045: the deadline stays armed until it is).
const HANDSHAKE_MS: u64 = 10_000;
/// A request head must be there by then; also ends idle keep-alive connections.
const HEAD_MS: u64 = 30_000;
/// Bytes of a request head, at most.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Header lines, at most; then 431. For more, hyper would take its tables from the heap, every time.
const HEADERS_MAX: usize = 100;
/// Whoever is one too many is told so within this time, handshake included.
const TOLD_MS: u64 = 5_000;
/// Concurrent HTTP/2 streams on a connection.
const STREAMS_MAX: u32 = 128;

/// Accepts on all listeners until told to stop, then lets what is under way finish, within `drain_ms`.
pub(super) async fn serve(
    worker: &Rc<Worker>,
    listeners: Vec<(TcpListener, Option<Arc<tls::Acceptor>>)>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let open = Rc::new(Open::default());
    for (listener, acceptor) in listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        drop(tokio::task::spawn_local(accept(Rc::clone(worker), listener, acceptor, Rc::clone(&open), stop.clone())));
    }
    drop(tokio::task::spawn_local(flush_tally(Rc::clone(worker))));
    drop(tokio::task::spawn_local(streams::look_after(Rc::clone(worker))));
    // An error means that the sender is gone, which is a stop as well.
    drop(stop.wait_for(|stop| *stop).await);
    open.finish();
    drop(tokio::time::timeout(Duration::from_millis(worker.shared.drain_ms), open.closed()).await);
    worker.flush_tally();
    Ok(())
}

/// Once a second this core's counts go to the shared metrics, so that no request touches a shared counter.
async fn flush_tally(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        worker.flush_tally();
    }
}

/// Connections that are open.
#[derive(Default)]
struct Open {
    leashes: RefCell<HashMap<u64, Rc<Leash>, foldhash::fast::FixedState>>,
    next: Cell<u64>,
    finishing: Cell<bool>,
    changed: Notify,
}

impl Open {
    /// From now on every connection ends with the request that is under way.
    fn finish(&self) {
        self.finishing.set(true);
        self.leashes.borrow().values().for_each(|leash| leash.finish());
    }

    async fn closed(&self) {
        while !self.leashes.borrow().is_empty() {
            self.changed.notified().await;
        }
    }
}

/// One open connection; takes itself off the list when it goes, however it goes.
struct Listed {
    open: Rc<Open>,
    number: u64,
}

impl Listed {
    fn new(open: &Rc<Open>, leash: &Rc<Leash>) -> Self {
        let number = open.next.get();
        open.next.set(number.wrapping_add(1));
        open.leashes.borrow_mut().insert(number, Rc::clone(leash));
        if open.finishing.get() {
            leash.finish();
        }
        Self { open: Rc::clone(open), number }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.open.leashes.borrow_mut().remove(&self.number);
        self.open.changed.notify_one();
    }
}

async fn accept(
    worker: Rc<Worker>,
    listener: tokio::net::TcpListener,
    acceptor: Option<Arc<tls::Acceptor>>,
    open: Rc<Open>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let Some((seat, turned_away)) = seat(&worker, peer.ip()) else { continue };
                let leash = Rc::new(Leash::new(seat));
                let listed = Listed::new(&open, &leash);
                let visit = connection(Rc::clone(&worker), tcp, peer.ip(), acceptor.clone(), leash, turned_away);
                drop(tokio::task::spawn_local(async move {
                    if turned_away {
                        drop(tokio::time::timeout(Duration::from_millis(TOLD_MS), visit).await);
                    } else {
                        visit.await;
                    }
                    drop(listed);
                }));
            }
            Err(error) => {
                // Out of descriptors, most likely (D8): let some close instead of spinning.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// A place for a connection, and whether it is one too many; `None`: it is closed at once.
fn seat(worker: &Worker, peer: IpAddr) -> Option<(Seat, bool)> {
    let limits = worker.limits.get();
    let limited = !limits.trusted_proxies.iter().any(|network| network.contains(&peer.to_canonical()));
    let admitted = worker.shared.visitors.admit(peer, limited, limits.bounds);
    if !matches!(admitted, Admitted::In(_)) {
        worker.shared.metrics.turned_away();
        tracing::debug!(%peer, "more connections than [server] max_connections or max_connections_per_client: turned away");
    }
    match admitted {
        Admitted::In(seat) => Some((seat, false)),
        Admitted::Told(seat) => Some((seat, true)),
        Admitted::Out => None,
    }
}

async fn connection(worker: Rc<Worker>, tcp: TcpStream, peer: IpAddr, acceptor: Option<Arc<tls::Acceptor>>, leash: Rc<Leash>, turned_away: bool) {
    if let Err(error) = tcp.set_nodelay(true) {
        return tracing::debug!(%error, "connection closed at once");
    }
    let served = match acceptor {
        None => one(worker, TokioIo::new(tcp), Connection::new(peer.to_canonical(), None, turned_away, leash)).await,
        Some(acceptor) => {
            // Boxed: a connection does not keep what its handshake needed.
            let accepted = tokio::time::timeout(Duration::from_millis(HANDSHAKE_MS), Box::pin(acceptor.accept(tcp))).await;
            let (stream, sni, h2) = match accepted {
                Ok(Ok(accepted)) => accepted,
                Ok(Err(error)) => return tracing::debug!(%error, %peer, "TLS handshake failed"),
                Err(_elapsed) => return tracing::debug!(%peer, "TLS handshake took too long"),
            };
            let facts = Connection::new(peer.to_canonical(), sni, turned_away, leash);
            if h2 { many(worker, TokioIo::new(stream), facts).await } else { one(worker, TokioIo::new(stream), facts).await }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "connection closed");
    }
}

/// HTTP/1.1. Not `async` itself, nor is [`many`]: what they are given would be kept beside the connection that is made of it.
fn one<I>(worker: Rc<Worker>, io: TokioIo<I>, facts: Connection) -> impl Future<Output = hyper::Result<()>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let facts = Rc::new(facts);
    let leash = Rc::clone(&facts.leash);
    let service = service_fn(move |request| answer::answer(Rc::clone(&worker), Rc::clone(&facts), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_MS))
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // A client that closes its sending half has gone: nothing is done for it any longer.
        .half_close(false);
    leash.hold(Box::pin(http.serve_connection(io, service).with_upgrades()), http1::UpgradeableConnection::graceful_shutdown)
}

/// HTTP/2.
fn many<I>(worker: Rc<Worker>, io: TokioIo<I>, facts: Connection) -> impl Future<Output = hyper::Result<()>>
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let facts = Rc::new(facts);
    let leash = Rc::clone(&facts.leash);
    let service = service_fn(move |request| answer::answer(Rc::clone(&worker), Rc::clone(&facts), request));
    let mut http = http2::Builder::new(OnThisCore);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    leash.hold(Box::pin(http.serve_connection(io, service)), http2::Connection::graceful_shutdown)
}

/// Runs HTTP/2 streams on the core of their connection.
#[derive(Debug, Clone, Copy)]
struct OnThisCore;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisCore {
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(async move {
            drop(future.await);
        }));
    }
}
