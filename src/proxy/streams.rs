//! Answers and `WebSocket`s that outlive their request, and must not outlive their session.
//!
//! One list per core. A body gets onto it when it is first waited for, so that a short answer costs nothing; one task per core looks at the list when a
//! sign-on ends, and once a second for sessions that have run out (limits are checked by the clock, not by timers of their own). After a reload every stream is
//! decided anew, those of public paths too: who may not enter any more is out.

use super::worker::Worker;
use crate::request::{Asked, Route};
use crate::session::AppSession;
use crate::state::SignOnId;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// How often sessions that have run out are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The open streams of one core.
#[derive(Default)]
pub(super) struct Streams {
    open: RefCell<HashMap<u64, Open, foldhash::fast::FixedState>>,
    next: Cell<u64>,
}

struct Open {
    stream: Stream,
    waker: Option<Waker>,
    ended: Rc<Cell<bool>>,
}

/// What a stream is of, and for whom.
pub(super) struct Stream {
    /// The app as it was when the stream was let through.
    pub(super) route: Arc<Route>,
    /// On whose session; `None` on public paths.
    pub(super) session: Option<Arc<AppSession>>,
    /// What it was let through on.
    pub(super) asked: Asked,
}

/// A place on the list; dropped, it is given up.
pub(super) struct Watched {
    streams: Rc<Streams>,
    number: u64,
    ended: Rc<Cell<bool>>,
}

impl Streams {
    /// Puts a stream on the list.
    pub(super) fn watch(self: &Rc<Self>, stream: Stream) -> Watched {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let ended = Rc::new(Cell::new(stream.session.as_ref().is_some_and(|session| session.sign_on.ended())));
        self.open.borrow_mut().insert(number, Open { stream, waker: None, ended: Rc::clone(&ended) });
        Watched { streams: Rc::clone(self), number, ended }
    }

    /// Ends every stream that fits, and wakes whoever waits on it.
    fn end(&self, fits: impl Fn(&Stream) -> bool) {
        let mut wakers = Vec::new();
        for open in self.open.borrow_mut().values_mut().filter(|open| !open.ended.get() && fits(&open.stream)) {
            open.ended.set(true);
            wakers.extend(open.waker.take());
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Watched {
    /// Whether it has to end: its session has, or the policy does not let it through any more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Wakes `waker` when it does.
    pub(super) fn wake(&self, waker: &Waker) {
        if let Some(open) = self.streams.open.borrow_mut().get_mut(&self.number)
            && !open.waker.as_ref().is_some_and(|known| known.will_wake(waker))
        {
            open.waker = Some(waker.clone());
        }
    }

    /// Resolves when it does.
    pub(super) async fn ended(&self) {
        poll_fn(|context| {
            if self.has_ended() {
                return Poll::Ready(());
            }
            self.wake(context.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.streams.open.borrow_mut().remove(&self.number);
    }
}

/// Looks after the streams of a core for as long as the core runs.
pub(super) async fn look_after(worker: Rc<Worker>) {
    let mut endings = worker.shared.live.endings();
    let mut known = worker.shared.routes.load_full();
    let mut tick = tokio::time::interval(LOOK_EVERY);
    loop {
        let ended: Option<SignOnId> = tokio::select! {
            _ = tick.tick() => None,
            told = endings.recv() => match told {
                Ok(id) => Some(id),
                // Some endings were missed: every session is looked at instead.
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => return,
            },
        };
        let (now, idle_ms) = (worker.shared.clock.now(), worker.shared.limits.load().idle_ms);
        let over = |session: &AppSession| ended.is_some_and(|id| session.sign_on.id == id) || !session.sign_on.alive(now, idle_ms);
        worker.streams.end(|stream| stream.session.as_deref().is_some_and(over));
        let routes = worker.shared.routes.load_full();
        if !Arc::ptr_eq(&routes, &known) {
            // A reload: whose app is gone, or who may not enter it any more, does not go on receiving from it.
            let may_stay = |stream: &Stream| {
                let route = routes.named(&stream.route.policy.name);
                route.is_some_and(|route| stream.asked.may_stay(route, stream.session.as_deref(), now))
            };
            worker.streams.end(|stream| !may_stay(stream));
            known = routes;
        }
    }
}
