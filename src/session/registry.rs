//! Every live sign-on of this process, and which have ended.
//!
//! Lives here: [`Registry`], one mutex around two maps. It is what makes "one value per sign-on and process" and "an ended one never comes back" true
//! whatever the caches evict and however loads and endings interleave: adopting a row and ending a sign-on exclude each other, so an ending either
//! finds the value that a load has made, or the load finds the ending. Only loads, sign-ins, endings and the flush come here, never a
//! request that memory can answer. It must never do IO.

use super::{AppSession, LiveSignOn};
use crate::clock::Timestamp;
use crate::identity::{SubjectId, Way};
use crate::state::{SecretHash, SignOn, SignOnId};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// How long a written ending is remembered, for loads that read the row before it was written.
const REMEMBERED_MS: i64 = 10 * 60 * 1000;

#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Maps>);

#[derive(Debug, Default)]
struct Maps {
    live: HashMap<SignOnId, Live>,
    ended: HashMap<SignOnId, Ending>,
}

#[derive(Debug)]
struct Live {
    sign_on: Arc<LiveSignOn>,
    /// `last_seen` as the store has it.
    flushed_ms: i64,
    /// Cookies on the auth host that caches may know it by.
    cookies: Vec<SecretHash>,
    /// Weak: the caches and the cores decide how long an app session is kept.
    apps: Vec<(SecretHash, Weak<AppSession>)>,
}

#[derive(Debug, Clone, Copy)]
struct Ending {
    at: Timestamp,
    written: bool,
}

/// What an ending leaves to be forgotten.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    pub(super) cookies: Vec<SecretHash>,
    pub(super) app_cookies: Vec<SecretHash>,
}

impl Registry {
    /// The one value for a row that was read or written just now; `None` when it has ended since.
    pub(super) fn adopt(&self, cookie: Option<SecretHash>, stored: SignOn, max_ms: i64) -> Option<Arc<LiveSignOn>> {
        let mut maps = self.lock();
        if maps.ended.contains_key(&stored.id) {
            return None;
        }
        let live = maps.live.entry(stored.id).or_insert_with(|| {
            let flushed_ms = stored.last_seen.millis();
            Live { sign_on: Arc::new(LiveSignOn::of(stored, max_ms)), flushed_ms, cookies: Vec::new(), apps: Vec::new() }
        });
        if let Some(cookie) = cookie
            && !live.cookies.contains(&cookie)
        {
            live.cookies.push(cookie);
        }
        Some(Arc::clone(&live.sign_on))
    }

    /// The one value for an app session that was read or written just now; `None` when its sign-on has ended since.
    pub(super) fn adopt_app(&self, cookie: SecretHash, app: &str, stored: SignOn, max_ms: i64) -> Option<Arc<AppSession>> {
        let id = stored.id;
        let sign_on = self.adopt(None, stored, max_ms)?;
        let mut maps = self.lock();
        // Gone again: ended between the two locks.
        let live = maps.live.get_mut(&id).filter(|live| Arc::ptr_eq(&live.sign_on, &sign_on))?;
        if let Some(there) = live.apps.iter().find(|(of, _)| *of == cookie).and_then(|(_, session)| session.upgrade()) {
            return Some(there);
        }
        let session = Arc::new(AppSession::of(app, sign_on, Way::Session));
        live.apps.retain(|(of, kept)| *of != cookie && kept.strong_count() > 0);
        live.apps.push((cookie, Arc::downgrade(&session)));
        Some(session)
    }

    /// What has been rendered for `subject` at `app` is rendered anew.
    pub(super) fn forget_passes(&self, subject: &SubjectId, app: &str) {
        let maps = self.lock();
        let theirs = maps.live.values().filter(|live| live.sign_on.identity.subject == *subject);
        for session in theirs.flat_map(|live| &live.apps).filter_map(|(_, session)| session.upgrade()).filter(|session| session.app == app) {
            session.pass.store(None);
        }
    }

    /// The live sign-on with this id, when memory has it.
    pub(super) fn find(&self, id: SignOnId) -> Option<Arc<LiveSignOn>> {
        self.lock().live.get(&id).map(|live| Arc::clone(&live.sign_on))
    }

    /// Whether this process has ended it.
    pub(super) fn has_ended(&self, id: SignOnId) -> bool {
        self.lock().ended.contains_key(&id)
    }

    /// Ends it in memory. From the return on, no value of it is alive and none can be made. `None`: it had ended before and the store knows.
    pub(super) fn end(&self, id: SignOnId, at: Timestamp) -> Option<Orphans> {
        let mut maps = self.lock();
        match maps.ended.entry(id) {
            Entry::Occupied(there) if there.get().written => return None,
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => {
                free.insert(Ending { at, written: false });
            }
        }
        let Some(live) = maps.live.remove(&id) else { return Some(Orphans::default()) };
        live.sign_on.ended.store(true, Ordering::Release);
        Some(Orphans { cookies: live.cookies, app_cookies: live.apps.into_iter().map(|(cookie, _)| cookie).collect() })
    }

    /// Notes that the store knows of an ending.
    pub(super) fn written(&self, id: SignOnId) {
        if let Some(ending) = self.lock().ended.get_mut(&id) {
            ending.written = true;
        }
    }

    /// Endings that the store does not know of yet.
    pub(super) fn owed(&self) -> Vec<(SignOnId, Timestamp)> {
        self.lock().ended.iter().filter(|(_, ending)| !ending.written).map(|(id, ending)| (*id, ending.at)).collect()
    }

    /// Sign-ons used since the store was last told.
    pub(super) fn dirty(&self) -> Vec<(SignOnId, Timestamp)> {
        let seen = |live: &Live| live.sign_on.last_seen.load(Ordering::Relaxed);
        let maps = self.lock();
        let dirty = maps.live.iter().filter(|(_, live)| seen(live) > live.flushed_ms);
        dirty.map(|(id, live)| (*id, Timestamp::from_millis(seen(live)))).collect()
    }

    /// Notes that the store has been told.
    pub(super) fn flushed(&self, seen: &[(SignOnId, Timestamp)]) {
        let mut maps = self.lock();
        for (id, at) in seen {
            if let Some(live) = maps.live.get_mut(id) {
                live.flushed_ms = live.flushed_ms.max(at.millis());
            }
        }
    }

    /// How many sign-ons are in memory.
    pub(super) fn count(&self) -> usize {
        self.lock().live.len()
    }

    pub(super) fn count_by_idp(&self) -> BTreeMap<String, usize> {
        let mut counted = BTreeMap::new();
        for live in self.lock().live.values() {
            *counted.entry(live.sign_on.identity.idp.clone()).or_default() += 1;
        }
        counted
    }

    /// Holds every sign-on in memory to another absolute limit.
    pub(super) fn limit(&self, max_ms: i64) {
        self.lock().live.values().for_each(|live| live.sign_on.limit(max_ms));
    }

    /// Sign-ons in memory that have run out.
    pub(super) fn expired(&self, now: Timestamp, idle_ms: i64) -> Vec<Arc<LiveSignOn>> {
        self.lock().live.values().filter(|live| !live.sign_on.alive(now, idle_ms)).map(|live| Arc::clone(&live.sign_on)).collect()
    }

    /// Forgets what nobody holds and the store has in full; and old endings that the store has.
    pub(super) fn prune(&self, now: Timestamp) {
        let mut maps = self.lock();
        maps.live.retain(|_, live| {
            live.apps.retain(|(_, session)| session.strong_count() > 0);
            // Nobody can take a new reference while we hold the lock, unless they have one already.
            Arc::strong_count(&live.sign_on) > 1 || live.sign_on.last_seen.load(Ordering::Relaxed) > live.flushed_ms
        });
        maps.ended.retain(|_, ending| !ending.written || now.since_ms(ending.at).abs() < REMEMBERED_MS);
    }

    fn lock(&self) -> MutexGuard<'_, Maps> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Registry;
    use crate::clock::Timestamp;
    use crate::session::tests::stored;
    use crate::state::{SecretHash, SignOnId};
    use std::sync::Arc;

    const T0: Timestamp = Timestamp::from_seconds(1_000_000);
    const MAX: i64 = 3_600_000;

    fn cookie(n: u8) -> SecretHash {
        SecretHash([n; 32])
    }

    #[test]
    fn what_has_ended_is_not_adopted_again_by_any_name() {
        let registry = Registry::default();
        let held = registry.adopt_app(cookie(1), "wiki", stored(1, T0, MAX), MAX).unwrap();
        let orphans = registry.end(SignOnId([1; 16]), T0).unwrap();
        assert_eq!(orphans.app_cookies, [cookie(1)]);
        assert!(held.sign_on.ended());
        for _ in 0..2 {
            assert!(registry.adopt(None, stored(1, T0, MAX), MAX).is_none());
            assert!(registry.adopt(Some(cookie(9)), stored(1, T0, MAX), MAX).is_none());
            assert!(registry.adopt_app(cookie(1), "wiki", stored(1, T0, MAX), MAX).is_none());
            assert!(registry.find(SignOnId([1; 16])).is_none());
            registry.prune(T0.plus_ms(MAX * 1000)); // not written yet: remembered however long it takes
        }
        assert_eq!(registry.owed(), [(SignOnId([1; 16]), T0)]);
        assert!(registry.end(SignOnId([1; 16]), T0).is_some(), "still to be written");
        registry.written(SignOnId([1; 16]));
        assert!(registry.end(SignOnId([1; 16]), T0).is_none());
        assert!(registry.owed().is_empty());
        registry.prune(T0.plus_ms(1));
        assert!(registry.has_ended(SignOnId([1; 16])), "remembered for loads that are under way");
        registry.prune(T0.plus_ms(MAX));
        assert!(!registry.has_ended(SignOnId([1; 16])));
    }

    #[test]
    fn one_value_for_a_session_as_long_as_anybody_holds_it() {
        let registry = Registry::default();
        let wiki = registry.adopt_app(cookie(1), "wiki", stored(1, T0, MAX), MAX).unwrap();
        let crm = registry.adopt_app(cookie(2), "crm", stored(1, T0.plus_ms(1), MAX), MAX).unwrap();
        registry.prune(T0);
        assert!(Arc::ptr_eq(&wiki, &registry.adopt_app(cookie(1), "wiki", stored(1, T0, MAX), MAX).unwrap()), "no cache holds it");
        assert!(Arc::ptr_eq(&wiki.sign_on, &crm.sign_on));
        assert!(Arc::ptr_eq(&wiki.sign_on, &registry.adopt(Some(cookie(3)), stored(1, T0, MAX), MAX).unwrap()));
        let other = registry.adopt(None, stored(2, T0, MAX), MAX).unwrap();
        assert!(!Arc::ptr_eq(&wiki.sign_on, &other));
        let orphans = registry.end(SignOnId([1; 16]), T0).unwrap();
        assert_eq!((orphans.cookies, orphans.app_cookies), (vec![cookie(3)], vec![cookie(1), cookie(2)]));
        assert!(!other.ended());
    }

    #[test]
    fn what_nobody_holds_is_forgotten_but_not_before_its_last_use_is_written() {
        let registry = Registry::default();
        let id = SignOnId([1; 16]);
        registry.adopt_app(cookie(1), "wiki", stored(1, T0, MAX), MAX).unwrap().sign_on.seen(T0.plus_ms(5000));
        registry.prune(T0);
        assert_eq!(registry.dirty(), [(id, T0.plus_ms(5000))]);
        registry.flushed(&[(id, T0.plus_ms(4000))]);
        registry.prune(T0);
        assert_eq!(registry.dirty(), [(id, T0.plus_ms(5000))], "used again since");
        registry.flushed(&registry.dirty());
        assert!(registry.dirty().is_empty());
        registry.prune(T0);
        assert!(registry.find(id).is_none());
    }
}
