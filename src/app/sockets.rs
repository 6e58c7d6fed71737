//! Every socket of the gateway.

use super::StartError;
use crate::config::Gateway;
use crate::proxy::listen;
use std::net::{SocketAddr, TcpListener};

/// Every socket, bound before anything is answered: a port in use stops the start, not the first request.
pub(super) struct Sockets {
    pub(super) serving: Vec<SocketAddr>,
    pub(super) redirecting: Vec<SocketAddr>,
    pub(super) admin_at: Option<SocketAddr>,
    pub(super) cores: Vec<Vec<TcpListener>>,
    pub(super) redirect: Vec<TcpListener>,
    pub(super) admin: Option<TcpListener>,
}

impl Sockets {
    pub(super) fn bind(gateway: &Gateway, key_of_listen: &'static str) -> Result<Self, StartError> {
        let count = match gateway.server.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let one = |key: &'static str, address: SocketAddr, copies| {
            listen::bind(address, copies).map_err(|cause| StartError::Listen { key, address, cause })
        };
        let local = |listener: &TcpListener, fallback| listener.local_addr().unwrap_or(fallback);
        let mut sockets = Self { serving: Vec::new(), redirecting: Vec::new(), admin_at: None, cores: Vec::new(), redirect: Vec::new(), admin: None };
        sockets.cores.resize_with(count, Vec::new);
        for &address in &gateway.server.listen {
            let bound = one(key_of_listen, address, count)?;
            sockets.serving.extend(bound.first().map(|listener| local(listener, address)));
            for (core, listener) in sockets.cores.iter_mut().zip(bound) {
                core.push(listener);
            }
        }
        for &address in &gateway.server.redirect {
            let bound = one("[server] redirect", address, 1)?;
            sockets.redirecting.extend(bound.iter().map(|listener| local(listener, address)));
            sockets.redirect.extend(bound);
        }
        if let Some(admin) = &gateway.admin {
            let listener = one("[admin] listen", admin.listen, 1)?.pop();
            sockets.admin_at = listener.as_ref().map(|listener| local(listener, admin.listen));
            sockets.admin = listener;
        }
        Ok(sockets)
    }
}
