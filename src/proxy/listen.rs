//! Binding sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use tokio::net::TcpSocket;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Binds `copies` listeners to one address, each for a core of its own; the kernel spreads connections over them. Port 0 picks a free port, the same for
/// all copies. Must run inside a tokio runtime.
///
/// # Errors
/// The operating system's: address in use, no permission, no such address.
pub fn bind(address: SocketAddr, copies: usize) -> io::Result<Vec<TcpListener>> {
    let mut bound: Vec<TcpListener> = Vec::with_capacity(copies);
    let mut address = address;
    for _ in 0..copies.max(1) {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(copies > 1)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?.into_std()?;
        address = listener.local_addr()?;
        bound.push(listener);
    }
    Ok(bound)
}
