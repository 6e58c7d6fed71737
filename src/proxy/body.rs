//! Bodies on their way through: never collected, never copied.

use super::pool::Lease;
use super::streams::{Stream, Streams, Watched};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::cell::Cell;
use std::collections::VecDeque;
use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::Instant;

type BoxError = Box<dyn Error + Send + Sync>;

/// A request body on its way up: bounded, and remembered as finished or not.
#[derive(Debug)]
pub(super) struct UpBody {
    inner: Option<Incoming>,
    left: u64,
    fate: UpBodyFate,
}

/// What became of a request body, seen from outside.
#[derive(Debug, Clone)]
pub(super) struct UpBodyFate(Rc<Fate>);

#[derive(Debug)]
struct Fate {
    finished: Cell<bool>,
    too_large: Cell<bool>,
    moved: Cell<Instant>,
}

impl UpBodyFate {
    fn new(finished: bool) -> Self {
        Self(Rc::new(Fate { finished: Cell::new(finished), too_large: Cell::new(false), moved: Cell::new(Instant::now()) }))
    }

    /// Of a request without a body.
    pub(super) fn finished_at_once() -> Self {
        Self::new(true)
    }

    /// Whether every byte went up; otherwise the upstream connection cannot be used again.
    pub(super) fn finished(&self) -> bool {
        self.0.finished.get()
    }

    /// Whether it was cut off at the limit.
    pub(super) fn too_large(&self) -> bool {
        self.0.too_large.get()
    }

    /// When the last piece of it came; at first, when the request did.
    pub(super) fn moved(&self) -> Instant {
        self.0.moved.get()
    }
}

impl UpBody {
    /// `inner`, cut off with an error after `bytes_max`.
    pub(super) fn new(inner: Incoming, bytes_max: u64) -> (Self, UpBodyFate) {
        let empty = inner.is_end_stream();
        let fate = UpBodyFate::new(empty);
        (Self { inner: (!empty).then_some(inner), left: bytes_max, fate: fate.clone() }, fate)
    }

    /// No body at all.
    pub(super) fn empty() -> Self {
        Self { inner: None, left: 0, fate: UpBodyFate::new(true) }
    }
}

impl Body for UpBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                let Some(data) = frame.data_ref() else {
                    // H6: request trailers never become headers; they end here.
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::new()))));
                };
                let bytes = data.len() as u64;
                if bytes > self.left {
                    self.fate.0.too_large.set(true);
                    self.inner = None;
                    return Poll::Ready(Some(Err("the request body is larger than [server] max_body".into())));
                }
                self.left -= bytes;
                self.fate.0.moved.set(Instant::now());
                if self.inner.as_ref().is_some_and(Body::is_end_stream) {
                    self.fate.0.finished.set(true);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                self.fate.0.finished.set(true);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// An answer on its way down.
pub(super) enum DownBody {
    /// Ours.
    Ours(Full<Bytes>),
    /// The application's, streamed.
    Theirs(Streamed),
}

/// An application's body. Its upstream connection goes back to the pool with the last byte; a body that is dropped before takes the
/// connection with it. One that has to be waited for ends, with an error, when its session does, or when a reload closes its way.
pub(super) struct Streamed {
    /// What was read of it already.
    ahead: VecDeque<Bytes>,
    inner: Incoming,
    lease: Option<Lease>,
    bound: Bound,
    /// Whether a piece of it has been taken.
    begun: bool,
}

/// What binds a stream to what it was let through on.
enum Bound {
    /// Nothing: all has been said.
    Free,
    /// It is put on the list once it has to be waited for.
    Will(Rc<Streams>, Stream),
    /// It is on the list.
    Is(Watched),
}

impl DownBody {
    /// A body of our own.
    pub(super) fn ours(bytes: Bytes) -> Self {
        Self::Ours(Full::new(bytes))
    }

    /// An application's body, of which `ahead` was read already; it ends with its session.
    pub(super) fn theirs(ahead: VecDeque<Bytes>, inner: Incoming, lease: Lease, streams: Rc<Streams>, stream: Stream) -> Self {
        let bound = Bound::Will(streams, stream);
        let mut streamed = Streamed { ahead, inner, lease: Some(lease), bound, begun: false };
        if streamed.inner.is_end_stream() {
            streamed.done();
        }
        Self::Theirs(streamed)
    }
}

impl Streamed {
    /// The last byte has been read.
    fn done(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        self.bound = Bound::Free;
    }

    /// Whether it had to end while it was on its way.
    fn cut_off(&self) -> bool {
        matches!(&self.bound, Bound::Is(watched) if watched.has_ended())
    }

    /// A piece of it goes to the client, which has to come for the next one.
    fn moved(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            self.listed();
        }
        if let Bound::Is(watched) = &self.bound {
            watched.moved(true);
        }
    }

    /// Puts it on the list.
    fn listed(&mut self) {
        self.bound = match std::mem::replace(&mut self.bound, Bound::Free) {
            Bound::Will(streams, stream) => Bound::Is(streams.watch(stream)),
            bound @ (Bound::Free | Bound::Is(_)) => bound,
        };
    }

    /// From now on, `context` is woken as well when it has to end.
    fn watch(&mut self, context: &Context<'_>) {
        self.listed();
        if let Bound::Is(watched) = &self.bound {
            watched.waits_for_application();
            watched.wake(context.waker());
            // It may have ended before it was watched, and then nobody else will say so.
            if watched.has_ended() {
                context.waker().wake_by_ref();
            }
        }
    }
}

impl Body for DownBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let streamed = match self.get_mut() {
            Self::Ours(full) => return Pin::new(full).poll_frame(context).map_err(|never| match never {}),
            Self::Theirs(streamed) => streamed,
        };
        if streamed.cut_off() {
            streamed.lease = None;
            streamed.bound = Bound::Free;
            // An error, not an end: the client must not take half an answer for a whole one (H16).
            return Poll::Ready(Some(Err("the session ended, or may not be here any more, or nothing moved".into())));
        }
        if let Some(read) = streamed.ahead.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        let polled = Pin::new(&mut streamed.inner).poll_frame(context);
        match &polled {
            Poll::Ready(None) => streamed.done(),
            Poll::Ready(Some(Ok(_))) if streamed.inner.is_end_stream() => streamed.done(),
            Poll::Ready(Some(Err(_))) => streamed.lease = None,
            Poll::Ready(Some(Ok(_))) => streamed.moved(),
            Poll::Pending => streamed.watch(context),
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Ours(full) => full.is_end_stream(),
            Self::Theirs(streamed) => streamed.ahead.is_empty() && streamed.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ours(full) => full.size_hint(),
            Self::Theirs(streamed) => {
                let mut hint = streamed.inner.size_hint();
                let ahead: u64 = streamed.ahead.iter().map(|read| read.len() as u64).sum();
                if let Some(upper) = hint.upper() {
                    hint.set_upper(upper + ahead);
                }
                hint.set_lower(hint.lower() + ahead);
                hint
            }
        }
    }
}
