//! Live sessions in front of a real store that fails and stalls on demand.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::state::{T0, hash, open, sign_on};
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, broadcast::error::TryRecvError};
use tokio_util::sync::CancellationToken;
use vestibule::clock::{Clock as _, ManualClock, Timestamp};
use vestibule::config;
use vestibule::session::{LiveSessions, LocalSessions};
use vestibule::state::{SecretHash, SessionStore, SignOn, SignOnId, StoreError, sqlite::Store};

const HOUR: i64 = 3_600_000;
const IDLE: i64 = HOUR;

#[derive(Debug)]
struct Faulty {
    inner: Store,
    down: AtomicBool,
    reads: AtomicUsize,
    /// While set, reads have their answer but do not give it until `go`.
    stalled: AtomicBool,
    waiting: Notify,
    go: Notify,
}

impl Faulty {
    fn up(&self) -> Result<(), StoreError> {
        if self.down.load(Ordering::SeqCst) { Err(StoreError::Unavailable("down".into())) } else { Ok(()) }
    }

    async fn read<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.up()?;
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.stalled.load(Ordering::SeqCst) {
            self.waiting.notify_one();
            self.go.notified().await;
        }
        answer
    }
}

#[async_trait]
impl SessionStore for Faulty {
    async fn create_sign_on(&self, cookie: SecretHash, sign_on: &SignOn) -> Result<(), StoreError> {
        self.up()?;
        self.inner.create_sign_on(cookie, sign_on).await
    }
    async fn sign_on_by_cookie(&self, cookie: SecretHash) -> Result<Option<SignOn>, StoreError> {
        self.read(self.inner.sign_on_by_cookie(cookie).await).await
    }
    async fn sign_on(&self, id: SignOnId) -> Result<Option<SignOn>, StoreError> {
        self.read(self.inner.sign_on(id).await).await
    }
    async fn create_app_session(&self, cookie: SecretHash, sign_on: SignOnId, app: &str, at: Timestamp) -> Result<(), StoreError> {
        self.up()?;
        self.inner.create_app_session(cookie, sign_on, app, at).await
    }
    async fn app_session(&self, cookie: SecretHash) -> Result<Option<(String, SignOn)>, StoreError> {
        self.read(self.inner.app_session(cookie).await).await
    }
    async fn sign_ons_after(&self, after: Option<SignOnId>, limit: u32) -> Result<Vec<SignOn>, StoreError> {
        self.read(self.inner.sign_ons_after(after, limit).await).await
    }
    async fn apps_of(&self, id: SignOnId) -> Result<Vec<String>, StoreError> {
        self.read(self.inner.apps_of(id).await).await
    }
    async fn end_sign_on(&self, id: SignOnId, at: Timestamp) -> Result<bool, StoreError> {
        self.up()?;
        self.inner.end_sign_on(id, at).await
    }
    async fn touch(&self, seen: &[(SignOnId, Timestamp)]) -> Result<(), StoreError> {
        self.up()?;
        self.inner.touch(seen).await
    }
    async fn sweep(&self, now: Timestamp, idle_before: Timestamp) -> Result<u64, StoreError> {
        self.up()?;
        self.inner.sweep(now, idle_before).await
    }
}

struct House {
    store: Arc<Faulty>,
    clock: Arc<ManualClock>,
    sessions: Arc<LiveSessions>,
}

/// A gateway that has just started on the store in `folder`.
async fn house(folder: &Path, at: Timestamp) -> House {
    let store = Arc::new(Faulty {
        inner: open(folder).await,
        down: AtomicBool::new(false),
        reads: AtomicUsize::new(0),
        stalled: AtomicBool::new(false),
        waiting: Notify::new(),
        go: Notify::new(),
    });
    let clock = Arc::new(ManualClock::new(at));
    let limits = config::Session { idle_ms: IDLE, max_ms: 8 * HOUR, cookie: "__Host-vestibule".to_owned(), same_site: "Lax" };
    let sessions = Arc::new(LiveSessions::new(Arc::clone(&store) as Arc<dyn SessionStore>, Arc::clone(&clock) as _, limits));
    House { store, clock, sessions }
}

impl House {
    /// Person `n` signs in and opens the wiki: cookies `n` and `n@wiki`.
    async fn enter(&self, n: u64) -> SignOnId {
        let one = sign_on(n, self.clock.now());
        let id = one.id;
        self.sessions.begin_sign_on(hash(&n.to_string()), one).await.unwrap();
        self.sessions.begin_app_session(hash(&format!("{n}@wiki")), id, "wiki").await.unwrap().unwrap();
        id
    }

    async fn is_in(&self, n: u64) -> bool {
        let app = self.sessions.app_session(hash(&format!("{n}@wiki"))).await.unwrap();
        let host = self.sessions.sign_on(hash(&n.to_string())).await.unwrap();
        assert_eq!(app.is_some(), host.is_some());
        if let (Some(app), Some(host)) = (&app, &host) {
            assert!(Arc::ptr_eq(&app.sign_on, host), "one value for a sign-on");
            assert_eq!(app.sign_on.identity.subject.subject, format!("person-{n}"));
        }
        app.is_some()
    }
}

#[tokio::test]
async fn an_unknown_cookie_is_nobody_and_that_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path(), T0).await;
    assert!(!house.is_in(1).await);
    assert!(!house.is_in(1).await);
    assert_eq!(house.store.reads.load(Ordering::SeqCst), 4);
    house.enter(1).await;
    assert!(house.is_in(1).await, "a new session is there at once");
    assert!(house.sessions.begin_app_session(hash("x"), SignOnId([9; 16]), "wiki").await.unwrap().is_none(), "no such sign-on");
}

// C7
#[tokio::test]
async fn an_ended_session_is_dead_everywhere_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let house_ = house(folder.path(), T0).await;
    let id = house_.enter(1).await;
    house_.enter(2).await;
    let mut local = LocalSessions::new(16);
    let before = house_.sessions.generation();
    let outside = house_.sessions.app_session(hash("1@wiki")).await.unwrap().unwrap();
    local.insert(hash("1@wiki"), before, Arc::clone(&outside));
    let mut endings = house_.sessions.endings();
    assert!(matches!(endings.try_recv(), Err(TryRecvError::Empty)));

    house_.sessions.end(id).await.unwrap();
    assert!(!outside.sign_on.alive(T0, IDLE), "who holds it sees it");
    assert_ne!(house_.sessions.generation(), before);
    assert!(local.get(&hash("1@wiki"), house_.sessions.generation()).is_none());
    assert_eq!(endings.try_recv().unwrap(), id);
    assert!(!house_.is_in(1).await);
    assert!(house_.is_in(2).await);
    assert!(house_.sessions.begin_app_session(hash("1@crm"), id, "crm").await.unwrap().is_none());
    house_.sessions.end(id).await.unwrap();
    assert!(matches!(endings.try_recv(), Err(TryRecvError::Empty)), "told once");

    let restarted = house(folder.path(), T0).await;
    assert!(!restarted.is_in(1).await);
    assert!(restarted.is_in(2).await);
}

#[tokio::test]
async fn an_ending_holds_though_the_store_is_down_and_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let house_ = house(folder.path(), T0).await;
    let id = house_.enter(1).await;
    house_.store.down.store(true, Ordering::SeqCst);
    assert!(house_.sessions.end(id).await.is_err());
    assert!(house_.sessions.app_session(hash("1@wiki")).await.is_err(), "memory has no answer, and neither has the store");
    house_.store.down.store(false, Ordering::SeqCst);
    assert!(house_.store.sign_on(id).await.unwrap().is_some(), "the store still believes in it");
    assert!(!house_.is_in(1).await);
    assert!(house_.sessions.begin_app_session(hash("1@crm"), id, "crm").await.unwrap().is_none());
    house_.sessions.flush().await.unwrap();
    assert!(house_.store.sign_on(id).await.unwrap().is_none());
    assert!(!house(folder.path(), T0).await.is_in(1).await);
}

#[tokio::test]
async fn a_load_that_was_under_way_does_not_revive_what_ended_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let id = house(folder.path(), T0).await.enter(1).await;
    let house = house(folder.path(), T0).await;
    house.store.stalled.store(true, Ordering::SeqCst);
    let late = {
        let sessions = Arc::clone(&house.sessions);
        tokio::spawn(async move { sessions.app_session(hash("1@wiki")).await.unwrap() })
    };
    house.store.waiting.notified().await; // it has read the row, and nobody knows that sign-on yet
    house.sessions.end(id).await.unwrap();
    house.store.stalled.store(false, Ordering::SeqCst);
    house.store.go.notify_one();
    assert!(late.await.unwrap().is_none());
    assert!(!house.is_in(1).await);
}

#[tokio::test]
async fn when_the_store_is_down_who_is_known_stays_and_nobody_new_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    house(folder.path(), T0).await.enter(2).await;
    let house = house(folder.path(), T0).await;
    let id = house.enter(1).await;
    house.store.down.store(true, Ordering::SeqCst);
    assert!(house.is_in(1).await);
    assert!(matches!(house.sessions.app_session(hash("2@wiki")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(house.sessions.sign_on(hash("2")).await, Err(StoreError::Unavailable(_))));
    assert!(house.sessions.begin_sign_on(hash("3"), sign_on(3, T0)).await.is_err());
    assert!(house.sessions.begin_app_session(hash("1@crm"), id, "crm").await.is_err());
    house.store.down.store(false, Ordering::SeqCst);
    assert!(house.is_in(2).await, "the failure was not remembered");
    assert!(house.sessions.sign_on(hash("3")).await.unwrap().is_none());
}

// C9: limits on the server, and clocks that jump both ways. What has run out stays out, whatever the clock says next.
#[tokio::test]
async fn who_has_run_out_stays_out_whatever_the_clock_does() {
    let ways: [(&str, &[i64]); 5] = [
        ("idle", &[IDLE]),
        ("absolute", &[IDLE / 2, IDLE, IDLE * 3 / 2, IDLE * 2, IDLE * 5 / 2, IDLE * 3, IDLE * 7 / 2, 8 * HOUR]),
        ("a jump ahead", &[1000, 1000 * HOUR]),
        ("a jump back", &[-61_000]),
        ("a jump back after use", &[IDLE / 2, 0]),
    ];
    for (what, times) in ways {
        for cached in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let mut house_ = house(folder.path(), T0).await;
            house_.enter(1).await;
            for (step, ms) in times.iter().enumerate() {
                if !cached {
                    house_.sessions.flush().await.unwrap();
                    house_ = house(folder.path(), T0).await;
                }
                house_.clock.set(T0.plus_ms(*ms));
                let last = step + 1 == times.len();
                if what != "absolute" || last {
                    assert_eq!(house_.is_in(1).await, !last, "{what}, cached {cached}, at {ms}");
                }
                if let Some(session) = house_.sessions.app_session(hash("1@wiki")).await.unwrap() {
                    session.sign_on.seen(house_.clock.now());
                }
            }
            house_.clock.set(T0.plus_ms(1000));
            assert!(!house_.is_in(1).await, "{what}, cached {cached}: back from the dead");
            assert!(!house(folder.path(), T0.plus_ms(1000)).await.is_in(1).await, "{what}, cached {cached}: back after a restart");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_requests_at_once_read_the_store_once_and_share_one_value() {
    let folder = tempfile::tempdir().unwrap();
    house(folder.path(), T0).await.enter(1).await;
    let house = house(folder.path(), T0).await;
    house.store.stalled.store(true, Ordering::SeqCst);
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let sessions = Arc::clone(&house.sessions);
            tokio::spawn(async move { sessions.app_session(hash("1@wiki")).await.unwrap().unwrap() })
        })
        .collect();
    house.store.waiting.notified().await;
    house.store.stalled.store(false, Ordering::SeqCst);
    house.store.go.notify_one();
    let mut found = Vec::new();
    for one in asking {
        found.push(one.await.unwrap());
    }
    assert!(found.iter().all(|one| Arc::ptr_eq(one, &found[0])));
    assert_eq!(house.store.reads.load(Ordering::SeqCst), 1);
}

// CVE-2026-71326 (single-flight collision: another user's identity), mellon CVE-2014-8566.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_people_at_once_are_never_mixed_up() {
    let folder = tempfile::tempdir().unwrap();
    let first = house(folder.path(), T0).await;
    for n in 0..200 {
        first.enter(n).await;
    }
    let second = Arc::new(house(folder.path(), T0).await);
    let asking: Vec<_> = (0..800_u64)
        .map(|n| {
            let house = Arc::clone(&second);
            tokio::spawn(async move { house.is_in(n % 200).await }) // compares the identity
        })
        .collect();
    for one in asking {
        assert!(one.await.unwrap());
    }
}

#[tokio::test]
async fn last_uses_are_written_by_the_flush_and_kept_until_they_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let house_ = house(folder.path(), T0).await;
    let id = house_.enter(1).await;
    let written = async || house_.store.inner.sign_on(id).await.unwrap().unwrap().last_seen;
    house_.clock.advance_ms(IDLE - 1);
    house_.sessions.app_session(hash("1@wiki")).await.unwrap().unwrap().sign_on.seen(house_.clock.now());
    house_.store.down.store(true, Ordering::SeqCst);
    assert!(house_.sessions.flush().await.is_err());
    assert!(house_.sessions.sweep().await.is_err());
    house_.store.down.store(false, Ordering::SeqCst);
    assert_eq!(written().await, T0);
    house_.sessions.flush().await.unwrap();
    assert_eq!(written().await, T0.plus_ms(IDLE - 1));
    assert!(house(folder.path(), T0.plus_ms(IDLE + 5)).await.is_in(1).await, "not idle for another gateway");
}

#[tokio::test]
async fn the_flush_ends_who_is_idle_so_that_open_streams_end_and_the_sweep_deletes_them() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path(), T0).await;
    let id = house.enter(1).await;
    let mut endings = house.sessions.endings();
    house.clock.advance_ms(IDLE - 1);
    assert_eq!(house.sessions.sweep().await.unwrap(), 0);
    assert!(matches!(endings.try_recv(), Err(TryRecvError::Empty)));
    house.clock.advance_ms(1);
    house.sessions.flush().await.unwrap();
    assert_eq!(endings.try_recv().unwrap(), id);
    assert_eq!(house.sessions.sweep().await.unwrap(), 0, "ended ones stay until their absolute expiry");
    house.clock.advance_ms(8 * HOUR);
    assert_eq!(house.sessions.sweep().await.unwrap(), 1);
    assert!(!house.is_in(1).await);
}

#[tokio::test]
async fn the_background_task_sweeps_on_its_own_and_flushes_when_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path(), T0).await;
    let id = house.enter(1).await;
    let shutdown = CancellationToken::new();
    let mut endings = house.sessions.endings();
    house.clock.advance_ms(IDLE);
    let running = tokio::spawn(Arc::clone(&house.sessions).run(Duration::from_millis(1), shutdown.clone()));
    assert_eq!(endings.recv().await.unwrap(), id);
    let second = house.enter(2).await;
    shutdown.cancel();
    running.await.unwrap();
    house.clock.advance_ms(5000);
    house.sessions.app_session(hash("2@wiki")).await.unwrap().unwrap().sign_on.seen(house.clock.now());
    let stopped = CancellationToken::new();
    stopped.cancel();
    Arc::clone(&house.sessions).run(Duration::from_hours(1), stopped).await;
    assert_eq!(house.store.sign_on(second).await.unwrap().unwrap().last_seen, house.clock.now());
}
