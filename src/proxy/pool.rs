//! Connections to applications, one pool per core.
//!
//! hyper-util's legacy client keys its pool by the dialled authority and has no caps; this one is a stack of idle connections per upstream. Private to
//! `forward.rs`: there is no other way to an application.

use super::body::UpBody;
use crate::policy::Upstream;
use crate::request::Route;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Idle connections kept per upstream and core.
const IDLE_MAX: usize = 64;
/// Idle connections are not used again after this: applications close theirs (gunicorn after 2 s, Node and Apache after 5 s), and a
/// request that meets the closing is lost.
const IDLE_FOR: Duration = Duration::from_millis(1_800);
/// Headers in a response, at most. For more, hyper would take its tables from the heap, every time.
const HEADERS_MAX: usize = 100;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Nobody answers, or not in HTTP.
    #[error("{0}")]
    Refused(#[from] io::Error),
    /// Not within the connect timeout.
    #[error("no connection within {0} ms")]
    Timeout(u64),
    /// The HTTP handshake.
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

struct Idle {
    sender: SendRequest<UpBody>,
    since: Instant,
}

type IdleByUpstream = HashMap<Upstream, Vec<Idle>, foldhash::fast::FixedState>;

/// The pool of one core.
#[derive(Clone)]
pub(super) struct Pool(Rc<Inner>);

struct Inner {
    idle: RefCell<IdleByUpstream>,
    tls: Arc<ClientConfig>,
}

/// A connection on loan. Dropped, it is closed; given back, somebody else may use it.
pub(super) struct Lease {
    sender: SendRequest<UpBody>,
    route: Arc<Route>,
    pool: Pool,
    fate: Option<super::body::UpBodyFate>,
    /// Whether it had carried a request before: only then can the far end have closed it unseen.
    pub(super) used: bool,
}

impl Pool {
    /// An empty pool that trusts what `tls` trusts.
    pub(super) fn new(tls: Arc<ClientConfig>) -> Self {
        Self(Rc::new(Inner { idle: RefCell::default(), tls }))
    }

    /// An idle connection, else a new one.
    pub(super) async fn lease(&self, route: &Arc<Route>) -> Result<Lease, ConnectError> {
        while let Some(idle) = self.pop(&route.policy.upstream) {
            let mut sender = idle.sender;
            if idle.since.elapsed() < IDLE_FOR && !sender.is_closed() && sender.ready().await.is_ok() {
                return Ok(self.lend(sender, route, true));
            }
        }
        // Boxed, here and below: what is rare must not make every request's future as large as itself.
        Box::pin(self.connect(route)).await
    }

    /// A new connection.
    pub(super) async fn connect(&self, route: &Arc<Route>) -> Result<Lease, ConnectError> {
        let upstream = &route.policy.upstream;
        let timeout = Duration::from_millis(upstream.connect_timeout_ms);
        let dialled =
            tokio::time::timeout(timeout, self.dial(upstream)).await.map_err(|_elapsed| ConnectError::Timeout(upstream.connect_timeout_ms))?;
        Ok(self.lend(dialled?, route, false))
    }

    fn pop(&self, upstream: &Upstream) -> Option<Idle> {
        self.0.idle.borrow_mut().get_mut(upstream).and_then(Vec::pop)
    }

    fn lend(&self, sender: SendRequest<UpBody>, route: &Arc<Route>, used: bool) -> Lease {
        Lease { sender, route: Arc::clone(route), pool: self.clone(), fate: None, used }
    }

    async fn dial(&self, upstream: &Upstream) -> Result<SendRequest<UpBody>, ConnectError> {
        let tcp = TcpStream::connect((upstream.host.as_str(), upstream.port)).await?;
        tcp.set_nodelay(true)?;
        let mut http = http1::Builder::new();
        // Some old applications mind the case of header names (authentik #25410).
        http.title_case_headers(true).max_headers(HEADERS_MAX);
        if upstream.tls {
            let name = ServerName::try_from(upstream.host.clone()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let tls = TlsConnector::from(Arc::clone(&self.0.tls)).connect(name, tcp).await?;
            let (sender, connection) = http.handshake(TokioIo::new(tls)).await?;
            run(connection.with_upgrades());
            Ok(sender)
        } else {
            let (sender, connection) = http.handshake(TokioIo::new(tcp)).await?;
            run(connection.with_upgrades());
            Ok(sender)
        }
    }
}

/// Runs a connection until it closes. Its errors reach whoever waits for the answer.
fn run(connection: impl Future<Output = hyper::Result<()>> + 'static) {
    drop(tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "upstream connection closed");
        }
    }));
}

impl Lease {
    /// The sending side.
    pub(super) const fn sender(&mut self) -> &mut SendRequest<UpBody> {
        &mut self.sender
    }

    /// Tells the lease how to know whether the request body went up whole.
    pub(super) fn watch(&mut self, fate: super::body::UpBodyFate) {
        self.fate = Some(fate);
    }

    /// Back into the pool, unless the request body is still on its way up (an early answer) or the connection has closed.
    pub(super) fn give_back(self) {
        if self.sender.is_closed() || self.fate.as_ref().is_some_and(|fate| !fate.finished()) {
            return;
        }
        let mut idle = self.pool.0.idle.borrow_mut();
        let entry = Idle { sender: self.sender, since: Instant::now() };
        let upstream = &self.route.policy.upstream;
        if let Some(stack) = idle.get_mut(upstream) {
            if stack.len() < IDLE_MAX {
                stack.push(entry);
            }
        } else {
            idle.insert(upstream.clone(), vec![entry]);
        }
    }
}
