//! Does anything listen there? A connection, TLS where the policy says so, and not a byte of HTTP: requests have one door, and it is not this one.

use crate::policy::Upstream;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// Longest wait for a connection, whatever the policy would wait.
const CONNECT_MS_MAX: u64 = 5_000;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    /// No address for the name.
    #[error("its name cannot be resolved: {0}")]
    Name(io::Error),
    /// Nobody listens.
    #[error("{0}")]
    Refused(io::Error),
    /// TLS did not come about: no TLS there, or a certificate that is not trusted.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// Not in time.
    #[error("no connection within {0} ms")]
    Timeout(u64),
}

/// Connects and hangs up; where it was.
pub(super) async fn reach(upstream: &Upstream, tls: Arc<ClientConfig>) -> Result<SocketAddr, ReachError> {
    let wait_ms = upstream.connect_timeout_ms.min(CONNECT_MS_MAX);
    tokio::time::timeout(Duration::from_millis(wait_ms), connect(upstream, tls)).await.unwrap_or(Err(ReachError::Timeout(wait_ms)))
}

async fn connect(upstream: &Upstream, tls: Arc<ClientConfig>) -> Result<SocketAddr, ReachError> {
    let addresses: Vec<SocketAddr> = lookup_host((upstream.host.as_str(), upstream.port)).await.map_err(ReachError::Name)?.collect();
    let tcp = TcpStream::connect(addresses.as_slice()).await.map_err(ReachError::Refused)?;
    let address = tcp.peer_addr().map_err(ReachError::Refused)?;
    if upstream.tls {
        let name = ServerName::try_from(upstream.host.clone()).map_err(|error| ReachError::Tls(io::Error::other(error)))?;
        drop(TlsConnector::from(tls).connect(name, tcp).await.map_err(ReachError::Tls)?);
    }
    Ok(address)
}
