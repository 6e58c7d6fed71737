//! How a client's connection is brought to its end from outside.
//!
//! Lives here: [`Leash`], one for each connection; the core has it to let what is under way finish, streams have it to close the connection of a client that takes nothing
//! any more. It never leaves its core: a connection that wakes looks at a cell, and takes no lock.

use super::visitors::Seat;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What is wanted of a connection; it only ever becomes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pull {
    /// Nothing.
    Free,
    /// To end with the request that is under way.
    Finish,
    /// To end now.
    Cut,
}

/// What others keep of a connection: the way to end it, and its place, which a `WebSocket` has for as long as it is open.
#[derive(Debug)]
pub(super) struct Leash {
    pull: Cell<Pull>,
    waker: RefCell<Option<Waker>>,
    _seat: Seat,
}

impl Leash {
    pub(super) const fn new(seat: Seat) -> Self {
        Self { pull: Cell::new(Pull::Free), waker: RefCell::new(None), _seat: seat }
    }

    /// Lets the connection end with the request that is under way.
    pub(super) fn finish(&self) {
        self.pull(Pull::Finish);
    }

    /// Ends the connection now.
    pub(super) fn cut(&self) {
        self.pull(Pull::Cut);
    }

    fn pull(&self, pull: Pull) {
        self.pull.set(self.pull.get().max(pull));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// What is wanted; `context` is woken when that becomes more.
    fn poll(&self, context: &Context<'_>) -> Pull {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        self.pull.get()
    }

    /// Runs `connection` until it is over or cut; `finish` asks it to end with what is under way.
    pub(super) async fn hold<C>(self: Rc<Self>, mut connection: Pin<Box<C>>, finish: impl Fn(Pin<&mut C>)) -> hyper::Result<()>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut finishing = false;
        let served = poll_fn(|context| {
            let pull = self.poll(context);
            if pull == Pull::Cut {
                return Poll::Ready(Ok(()));
            }
            if pull == Pull::Finish && !std::mem::replace(&mut finishing, true) {
                finish(connection.as_mut());
            }
            connection.as_mut().poll(context)
        });
        let served = served.await;
        // Streams may keep the leash for long, and are not to keep the connection's task with it.
        drop(self.waker.take());
        served
    }
}

#[cfg(test)]
mod tests {
    use super::super::visitors::{Admitted, Visitors};
    use super::Leash;
    use crate::config::Bounds;
    use std::cell::Cell;
    use std::pin::{Pin, pin};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    /// A connection that ends when it is asked to, if it listens.
    struct Served {
        listens: bool,
        asked: Cell<usize>,
    }

    impl Future for Served {
        type Output = hyper::Result<()>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<hyper::Result<()>> {
            if self.listens && self.asked.get() > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn leash() -> Leash {
        match Arc::new(Visitors::default()).admit("192.0.2.1".parse().unwrap(), true, Bounds::default()) {
            Admitted::In(seat) => Leash::new(seat),
            other @ (Admitted::Told(_) | Admitted::Out) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_connection_is_asked_once_to_finish_and_is_cut_whether_it_listens_or_not() {
        for (listens, before, expected) in [(true, true, 1), (true, false, 1), (false, false, 1)] {
            let leash = Rc::new(leash());
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut context = Context::from_waker(&waker);
            let connection = Box::pin(Served { listens, asked: Cell::new(0) });
            let mut held = pin!(Rc::clone(&leash).hold(connection, |connection| connection.asked.set(connection.asked.get() + 1)));
            if before {
                leash.finish();
            } else {
                assert!(held.as_mut().poll(&mut context).is_pending());
                leash.finish();
                assert_eq!(woken.0.load(Ordering::Relaxed), expected, "it is woken");
            }
            assert_eq!(held.as_mut().poll(&mut context).is_ready(), listens);
            if !listens {
                assert!(held.as_mut().poll(&mut context).is_pending());
                leash.cut();
                leash.finish();
                assert!(held.as_mut().poll(&mut context).is_ready(), "cut is cut");
            }
            assert!(leash.waker.borrow().is_none(), "nothing is kept of it");
        }
    }
}
