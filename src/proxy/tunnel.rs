//! `WebSocket`s: two byte streams joined, until either side or the session ends, or a reload closes the way they came by.

use super::streams::{Stream, Watched};
use super::worker::Worker;
use crate::session::AppSession;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Joins the two sides once both have switched protocols. Nothing of either side is read before that (H20: no frames before the 101).
pub(super) fn open(worker: &Rc<Worker>, client: OnUpgrade, upstream: OnUpgrade, stream: Stream) {
    let worker = Rc::clone(worker);
    drop(tokio::task::spawn_local(async move {
        let (client, upstream) = match tokio::try_join!(client, upstream) {
            Ok(sides) => sides,
            Err(error) => return tracing::debug!(%error, "a WebSocket never opened"),
        };
        let session = stream.session.clone();
        let watched = Rc::new(worker.streams.watch(stream));
        let mut client = Noted { inner: TokioIo::new(client), worker: Rc::clone(&worker), session, watched: Rc::clone(&watched) };
        let mut upstream = Noted { inner: TokioIo::new(upstream), worker: Rc::clone(&worker), session: None, watched: Rc::clone(&watched) };
        tokio::select! {
            // Dropping both sides closes both connections: no close frame, for a proxy that speaks frames would have to parse them.
            () = watched.ended() => tracing::debug!("a WebSocket ended with its session, or with the way it came by"),
            joined = tokio::io::copy_bidirectional(&mut client, &mut upstream) => {
                if let Err(error) = joined {
                    tracing::debug!(%error, "a WebSocket broke");
                }
            }
        }
    }));
}

/// One side: whatever it sends keeps the other open, and what a person sends counts as use of the session.
struct Noted {
    inner: TokioIo<hyper::upgrade::Upgraded>,
    worker: Rc<Worker>,
    session: Option<Arc<AppSession>>,
    watched: Rc<Watched>,
}

impl AsyncRead for Noted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if buffer.filled().len() == before {
            return Poll::Ready(Ok(()));
        }
        self.watched.moved(false);
        if let Some(session) = &self.session {
            let shared = &self.worker.shared;
            let now = shared.clock.now();
            // What comes after the session has run out does not bring it back.
            if session.sign_on.alive(now, self.worker.limits.get().idle_ms) {
                session.sign_on.seen(now);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Noted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
