//! What all cores share and is swapped whole, as one core last saw it.

use arc_swap::{ArcSwap, Cache};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// One core's view of a `T`. Whoever takes it counts it on this core alone: cores that count one thing together wait for each other.
pub(super) struct Local<T>(RefCell<(Cache<Arc<ArcSwap<T>>, Arc<T>>, Rc<Arc<T>>)>);

impl<T> Local<T> {
    pub(super) fn new(shared: &Arc<ArcSwap<T>>) -> Self {
        Self(RefCell::new((Cache::new(Arc::clone(shared)), Rc::new(shared.load_full()))))
    }

    /// As it is now.
    pub(super) fn get(&self) -> Rc<Arc<T>> {
        let (cache, known) = &mut *self.0.borrow_mut();
        let now = cache.load();
        if !Arc::ptr_eq(now, known) {
            *known = Rc::new(Arc::clone(now));
        }
        Rc::clone(known)
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
        let first = Arc::downgrade(&before);
        drop(before);
        assert!(first.upgrade().is_none(), "the old one is let go");
    }
}
