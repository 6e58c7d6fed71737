//! Where a fake listens: every one of them is a server on a free port of this machine, with a task for each connection.
#![expect(clippy::unwrap_used, reason = "a fake that cannot go on should stop")]

use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

/// A free port that nobody is served at yet.
pub(crate) struct Port {
    pub(crate) at: SocketAddr,
    listener: TcpListener,
}

impl Port {
    pub(crate) async fn free() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { at: listener.local_addr().unwrap(), listener }
    }

    /// Gives every connection to `serve`, for as long as the runtime of the test lives.
    pub(crate) fn serve<S: Future<Output = ()> + Send + 'static>(self, serve: impl Fn(TcpStream) -> S + Send + 'static) {
        drop(tokio::spawn(async move {
            while let Ok((stream, _)) = self.listener.accept().await {
                drop(tokio::spawn(serve(stream)));
            }
        }));
    }
}
