//! Binding sockets. `[::]` means IPv6 only, so that it and `0.0.0.0` go together on one port, whatever the machine's default.

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
    if address.port() != 0 {
        // SO_REUSEPORT would share the port with another process of ours that listens already: each would get some of the connections.
        socket(address, false)?.bind(address)?;
    }
    let mut bound: Vec<TcpListener> = Vec::with_capacity(copies);
    let mut address = address;
    for _ in 0..copies.max(1) {
        let socket = socket(address, copies > 1)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?.into_std()?;
        address = listener.local_addr()?;
        bound.push(listener);
    }
    Ok(bound)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::bind;
    use std::io::ErrorKind;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    #[tokio::test]
    async fn a_port_that_is_taken_is_refused_however_it_is_shared() {
        for (theirs, ours) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let taken = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), theirs).unwrap();
            let again = bind(taken[0].local_addr().unwrap(), ours).map(|bound| bound.len());
            assert_eq!(again.map_err(|error| error.kind()), Err(ErrorKind::AddrInUse), "{theirs} {ours}");
        }
    }

    #[tokio::test]
    async fn both_wildcards_go_together_on_one_port() {
        for copies in [1, 2] {
            let six = bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), copies).unwrap();
            let port = six[0].local_addr().unwrap().port();
            let four = bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), copies).unwrap();
            assert_eq!((six.len(), four.len()), (copies, copies));
            assert!(six.iter().chain(&four).all(|listener| listener.local_addr().unwrap().port() == port));
        }
    }
}
