//! What all cores share and is swapped whole, as one core last saw it.

use arc_swap::{ArcSwap, Cache};
use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

/// One core's view of a `T`. Whoever takes it counts it on this core alone: cores that count one thing together wait for each other.
pub(super) struct Local<T> {
    cache: RefCell<Cache<Arc<ArcSwap<T>>, Arc<T>>>,
    known: RefCell<Rc<Kept<T>>>,
}

/// A core's own hold on a `T` that all cores share.
pub(super) struct Kept<T>(Arc<T>);

impl<T> Local<T> {
    pub(super) fn new(shared: &Arc<ArcSwap<T>>) -> Self {
        Self { cache: RefCell::new(Cache::new(Arc::clone(shared))), known: RefCell::new(Rc::new(Kept(shared.load_full()))) }
    }

    /// As it is now.
    pub(super) fn get(&self) -> Rc<Kept<T>> {
        let (mut cache, mut known) = (self.cache.borrow_mut(), self.known.borrow_mut());
        let now = cache.load();
        if !Arc::ptr_eq(now, &known.0) {
            *known = Rc::new(Kept(Arc::clone(now)));
        }
        Rc::clone(&known)
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Local;
    use arc_swap::ArcSwap;
    use std::sync::Arc;

    #[test]
    fn what_was_swapped_is_seen_at_once_and_what_was_taken_stays() {
        let shared = Arc::new(ArcSwap::from_pointee(1));
        let local = Local::new(&shared);
        let before = local.get();
        shared.store(Arc::new(2));
        assert_eq!((**before, **local.get(), **local.get()), (1, 2, 2));
        let first = Arc::downgrade(&before.0);
        drop(before);
        assert!(first.upgrade().is_none(), "the old one is let go");
    }
}
