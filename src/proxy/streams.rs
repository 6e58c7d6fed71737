//! Answers and `WebSocket`s that outlive their request, and must not outlive their session.
//!
//! One list per core. A body gets onto it when it is first waited for, so that a short answer costs nothing; one task per core looks at the list when a
//! sign-on ends, and once a second for sessions that have run out (limits are checked by the clock, not by timers of their own). After a reload every stream is
//! decided anew, those of public paths too: who may not enter any more is out. What nothing moves of is cut off, whether it is the application that is silent or the
//! client that takes nothing (`[server] response_idle`, `stream_idle`).
//!
//! A body also gets onto the list with its second piece, so that a client that takes one and never another is seen.

use super::body::UpBodyFate;
use super::leash::Leash;
use super::worker::Worker;
use crate::config::Bounds;
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
use tokio::time::Instant;

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
    motion: Rc<Motion>,
}

/// What last moved, and who is waited for.
#[derive(Debug)]
struct Motion {
    at: Cell<Instant>,
    /// The client, which has not come for more; else the application.
    client: Cell<bool>,
}

/// What a stream is of, and for whom.
pub(super) struct Stream {
    /// The app as it was when the stream was let through.
    pub(super) route: Arc<Route>,
    /// On whose session; `None` on public paths.
    pub(super) session: Option<Arc<AppSession>>,
    /// What it was let through on.
    pub(super) asked: Asked,
    /// The request's own body, which may still be on its way up.
    pub(super) up: Option<UpBodyFate>,
    /// Whether the application may be silent for long: an event stream, a `WebSocket`.
    pub(super) may_be_silent: bool,
    /// Closes the client's connection, when it takes nothing any more.
    pub(super) leash: Rc<Leash>,
}

/// A place on the list; dropped, it is given up.
pub(super) struct Watched {
    streams: Rc<Streams>,
    number: u64,
    ended: Rc<Cell<bool>>,
    motion: Rc<Motion>,
}

impl Streams {
    /// Puts a stream on the list.
    pub(super) fn watch(self: &Rc<Self>, stream: Stream) -> Watched {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let ended = Rc::new(Cell::new(stream.session.as_ref().is_some_and(|session| session.sign_on.ended())));
        let motion = Rc::new(Motion { at: Cell::new(Instant::now()), client: Cell::new(false) });
        self.open.borrow_mut().insert(number, Open { stream, waker: None, ended: Rc::clone(&ended), motion: Rc::clone(&motion) });
        Watched { streams: Rc::clone(self), number, ended, motion }
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

impl Streams {
    /// Cuts off what nothing moves of: by an error where the application is waited for, by the end of the connection where the client is, for it would not hear of
    /// an error either.
    fn cut_off(&self, bounds: Bounds) {
        let mut stalled = Vec::new();
        for open in self.open.borrow().values().filter(|open| !open.ended.get()) {
            let of_client = open.motion.client.get();
            let idle_ms = if open.stream.may_be_silent && !of_client { bounds.stream_idle_ms } else { bounds.response_idle_ms };
            let up = open.stream.up.as_ref().map(UpBodyFate::moved);
            let moved = up.map_or(open.motion.at.get(), |up| up.max(open.motion.at.get()));
            if moved.elapsed() >= Duration::from_millis(idle_ms) {
                open.ended.set(true);
                stalled.push((of_client.then(|| Rc::clone(&open.stream.leash)), open.stream.route.policy.name.clone()));
            }
        }
        if stalled.is_empty() {
            return;
        }
        for (connection, app) in stalled {
            tracing::debug!(app, by_client = connection.is_some(), "an answer of which nothing moves is cut off");
            if let Some(connection) = connection {
                connection.cut();
            }
        }
        let wakers: Vec<Waker> = self.open.borrow_mut().values_mut().filter(|open| open.ended.get()).filter_map(|open| open.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Watched {
    /// Something moved. What is waited for next is the client, or else the application.
    pub(super) fn moved(&self, for_client: bool) {
        self.motion.at.set(Instant::now());
        self.motion.client.set(for_client);
    }

    /// The client has come for more, and there is none yet.
    pub(super) fn waits_for_application(&self) {
        if self.motion.client.replace(false) {
            self.motion.at.set(Instant::now());
        }
    }

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
        worker.streams.cut_off(worker.shared.limits.load().bounds);
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
