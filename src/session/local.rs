//! The sessions that one core keeps for itself.
//!
//! Lives here: [`LocalSessions`]. No lock and no allocation on a hit. Two halves instead of a list in order of use: what is used moves to the young half; when
//! that is full, the old half is forgotten and the halves change places.

use super::AppSession;
use crate::state::SecretHash;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

type Half = HashMap<SecretHash, (u64, Arc<AppSession>), RandomState>;

/// App sessions as one core last saw them, each under the generation that was read before asking for it.
#[derive(Debug)]
pub struct LocalSessions {
    young: Half,
    old: Half,
    half_max: usize,
}

impl LocalSessions {
    /// Keeps at most `sessions_max` (at least two); the memory for the table is taken now.
    pub fn new(sessions_max: usize) -> Self {
        let half_max = (sessions_max / 2).max(1);
        let half = || Half::with_capacity_and_hasher(half_max, RandomState::default());
        Self { young: half(), old: half(), half_max }
    }

    /// The session, when it was kept under this very `generation`; another one is forgotten. Callers still ask
    /// [`LiveSignOn::alive`](super::LiveSignOn::alive) and compare `app`.
    pub fn get(&mut self, cookie: &SecretHash, generation: u64) -> Option<Arc<AppSession>> {
        if let Some((kept, session)) = self.young.get(cookie) {
            if *kept == generation {
                return Some(Arc::clone(session));
            }
            self.young.remove(cookie);
            return None;
        }
        let (kept, session) = self.old.remove(cookie)?;
        if kept != generation {
            return None;
        }
        self.insert(*cookie, generation, Arc::clone(&session));
        Some(session)
    }

    /// Keeps `session` under the `generation` that was read before it was asked for.
    pub fn insert(&mut self, cookie: SecretHash, generation: u64, session: Arc<AppSession>) {
        if self.young.len() >= self.half_max && !self.young.contains_key(&cookie) {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.old.remove(&cookie);
        self.young.insert(cookie, (generation, session));
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::LocalSessions;
    use crate::clock::Timestamp;
    use crate::identity::Way;
    use crate::session::{AppSession, LiveSignOn, tests::stored};
    use crate::state::SecretHash;
    use std::sync::Arc;

    fn session(n: u8) -> Arc<AppSession> {
        let sign_on = Arc::new(LiveSignOn::of(stored(n, Timestamp::from_seconds(1), 1000), 1000));
        Arc::new(AppSession::of(&format!("app-{n}"), sign_on, Way::Session))
    }

    fn cookie(n: usize) -> SecretHash {
        SecretHash::of(&n.to_be_bytes())
    }

    #[test]
    fn another_generation_or_another_cookie_finds_nothing() {
        let mut local = LocalSessions::new(8);
        local.insert(cookie(1), 5, session(1));
        assert!(local.get(&cookie(2), 5).is_none());
        assert!(local.get(&cookie(1), 6).is_none());
        assert!(local.get(&cookie(1), 5).is_none(), "what was out of date is forgotten");
        local.insert(cookie(1), 6, session(1));
        assert_eq!(local.get(&cookie(1), 6).unwrap().app, "app-1");
    }

    #[test]
    fn it_never_grows_beyond_its_bound_and_keeps_what_is_used() {
        let mut local = LocalSessions::new(100);
        local.insert(cookie(0), 1, session(0));
        for n in 1..10_000 {
            local.insert(cookie(n), 1, session(1));
            assert!(local.len() <= 100, "{} kept", local.len());
            assert!(local.get(&cookie(0), 1).is_some(), "used all the time, forgotten at {n}");
        }
        assert!(local.get(&cookie(1), 1).is_none());
        assert!(!local.is_empty());
    }

    #[test]
    fn what_is_replaced_or_forgotten_is_let_go() {
        let mut local = LocalSessions::new(2);
        let first = session(1);
        local.insert(cookie(1), 1, Arc::clone(&first));
        local.insert(cookie(2), 1, session(2));
        local.insert(cookie(1), 1, session(1));
        assert_eq!(Arc::strong_count(&first), 1);
        assert_eq!(local.get(&cookie(1), 1).unwrap().sign_on.id.0, [1; 16]);
    }
}
