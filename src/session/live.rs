//! Sessions in memory, the store behind.
//!
//! Lives here: [`LiveSessions`]. Two caches with single-flight loads (by app cookie, by auth-host cookie) decide what stays in memory; the registry under them
//! decides what is true. What the store does not know is never cached: a new session is there for the next request.

use super::registry::Registry;
use super::{AppSession, LiveSignOn};
use crate::clock::Clock;
use crate::config;
use crate::identity::SubjectId;
use crate::state::{SecretHash, SessionStore, SignOn, SignOnId, StoreError};
use moka::future::Cache;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// App sessions kept in memory; beyond that the least used are read again from the store.
const APPS_MAX: u64 = 100_000;
/// Sign-ons kept by their cookie on the auth host, which is asked only at sign-in.
const COOKIES_MAX: u64 = 10_000;
/// Endings that a slow listener may fall behind before it must look for itself.
const ENDINGS_BUFFERED: usize = 1024;
/// A row is swept as idle only so long after it could have been, for uses that another handle has not flushed yet.
const SWEEP_MARGIN_MS: i64 = 60 * 60 * 1000;

/// All sessions of this process.
#[derive(Debug)]
pub struct LiveSessions {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    /// `[session] idle` and `max`, milliseconds; a reload changes both.
    idle_ms: AtomicI64,
    max_ms: AtomicI64,
    apps: Cache<SecretHash, Arc<AppSession>>,
    cookies: Cache<SecretHash, Arc<LiveSignOn>>,
    registry: Registry,
    generation: AtomicU64,
    endings: broadcast::Sender<SignOnId>,
}

impl LiveSessions {
    /// In front of `store`.
    #[expect(clippy::needless_pass_by_value, reason = "the limits are its own from here on")]
    pub fn new(store: Arc<dyn SessionStore>, clock: Arc<dyn Clock>, limits: config::Session) -> Self {
        Self {
            store,
            clock,
            idle_ms: AtomicI64::new(limits.idle_ms),
            max_ms: AtomicI64::new(limits.max_ms),
            apps: Cache::new(APPS_MAX),
            cookies: Cache::new(COOKIES_MAX),
            registry: Registry::default(),
            generation: AtomicU64::new(0),
            endings: broadcast::channel(ENDINGS_BUFFERED).0,
        }
    }

    /// A session ends after so long without a request, milliseconds.
    pub fn idle_ms(&self) -> i64 {
        self.idle_ms.load(Ordering::Relaxed)
    }

    /// A session ends so long after sign-in, milliseconds.
    pub fn max_ms(&self) -> i64 {
        self.max_ms.load(Ordering::Relaxed)
    }

    /// Changes both limits, for the sessions there are as well; none lives longer than was granted at its sign-in.
    pub fn limit(&self, idle_ms: i64, max_ms: i64) {
        self.idle_ms.store(idle_ms, Ordering::Relaxed);
        self.max_ms.store(max_ms, Ordering::Relaxed);
        self.registry.limit(max_ms);
    }

    /// Sign-ons in memory: those of people who come by, and those lately used.
    pub fn count(&self) -> usize {
        self.registry.count()
    }

    /// The same, by the provider that vouched.
    pub fn count_by_idp(&self) -> BTreeMap<String, usize> {
        self.registry.count_by_idp()
    }

    /// Moves whenever anything cached outside may have become wrong. Read it *before* [`Self::app_session`], and keep the answer under what was read.
    ///
    /// A session that a cache evicts is not wrong: its value is found again as long as anybody holds it, and an ending reaches it.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The live session with this cookie on an app's host. Callers compare `app` with the host's policy.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: memory had no answer and the store has none either.
    pub async fn app_session(&self, cookie: SecretHash) -> Result<Option<Arc<AppSession>>, StoreError> {
        let load = async {
            let (app, stored) = self.store.app_session(cookie).await?.ok_or(Miss::Absent)?;
            self.registry.adopt_app(cookie, &app, stored, self.max_ms()).ok_or(Miss::Absent)
        };
        let session = match self.apps.try_get_with(cookie, load).await {
            Ok(session) => session,
            Err(miss) => return miss.answer(),
        };
        if self.still_alive(&session.sign_on).await {
            return Ok(Some(session));
        }
        self.apps.invalidate(&cookie).await;
        Ok(None)
    }

    /// The live sign-on with this cookie on the auth host.
    ///
    /// # Errors
    /// As [`Self::app_session`].
    pub async fn sign_on(&self, cookie: SecretHash) -> Result<Option<Arc<LiveSignOn>>, StoreError> {
        let load = async {
            let stored = self.store.sign_on_by_cookie(cookie).await?.ok_or(Miss::Absent)?;
            self.registry.adopt(Some(cookie), stored, self.max_ms()).ok_or(Miss::Absent)
        };
        let sign_on = match self.cookies.try_get_with(cookie, load).await {
            Ok(sign_on) => sign_on,
            Err(miss) => return miss.answer(),
        };
        if self.still_alive(&sign_on).await {
            return Ok(Some(sign_on));
        }
        self.cookies.invalidate(&cookie).await;
        Ok(None)
    }

    /// Forgets what apps are told about `subject` at `app`, in every browser: the next request of each asks the desk.
    pub fn forget_passes(&self, subject: &SubjectId, app: &str) {
        self.registry.forget_passes(subject, app);
    }

    /// Begins a sign-on.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin_sign_on(&self, cookie: SecretHash, sign_on: SignOn) -> Result<Arc<LiveSignOn>, StoreError> {
        self.store.create_sign_on(cookie, &sign_on).await?;
        let id = sign_on.id;
        let live = self.registry.adopt(Some(cookie), sign_on, self.max_ms());
        // Ids are 128 fresh random bits: one that has ended already is a broken random source.
        let live = live.ok_or_else(|| StoreError::Unavailable(format!("{id:?} was used before").into()))?;
        self.cookies.insert(cookie, Arc::clone(&live)).await;
        Ok(live)
    }

    /// Begins an app session under a live sign-on; `None` when the sign-on has ended meanwhile.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin_app_session(&self, cookie: SecretHash, sign_on: SignOnId, app: &str) -> Result<Option<Arc<AppSession>>, StoreError> {
        if self.registry.has_ended(sign_on) {
            return Ok(None);
        }
        if let Some(live) = self.registry.find(sign_on)
            && !self.still_alive(&live).await
        {
            return Ok(None);
        }
        self.store.create_app_session(cookie, sign_on, app, self.clock.now()).await?;
        // Read back: the store hangs nothing from a sign-on that another process has ended.
        self.app_session(cookie).await
    }

    /// Ends a sign-on everywhere: store, caches, open streams.
    ///
    /// Memory first, so that a store that is down cannot keep it alive here; an ending that could not be written is written by a later [`Self::flush`].
    ///
    /// # Errors
    /// The store's; memory has forgotten the session all the same.
    pub async fn end(&self, id: SignOnId) -> Result<(), StoreError> {
        let at = self.clock.now();
        let Some(orphans) = self.registry.end(id, at) else { return Ok(()) };
        self.generation.fetch_add(1, Ordering::AcqRel);
        // Nobody listening is fine.
        let _listeners = self.endings.send(id);
        for cookie in &orphans.app_cookies {
            self.apps.invalidate(cookie).await;
        }
        for cookie in &orphans.cookies {
            self.cookies.invalidate(cookie).await;
        }
        self.store.end_sign_on(id, at).await?;
        self.registry.written(id);
        Ok(())
    }

    /// Ids of sign-ons as they end (signed out, idle, expired), for open streams. A receiver that has fallen behind (`Lagged`) asks
    /// [`LiveSignOn::alive`] of each of its streams instead.
    pub fn endings(&self) -> broadcast::Receiver<SignOnId> {
        self.endings.subscribe()
    }

    /// Ends what has run out (so that open streams end too), writes endings that the store missed and `last_seen`, and forgets what nobody holds.
    ///
    /// # Errors
    /// The store's; what was not written is written next time.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut failed = None;
        for sign_on in self.registry.expired(now, self.idle_ms()) {
            failed = self.expire(&sign_on).await.err().or(failed);
        }
        for (id, at) in self.registry.owed() {
            match self.store.end_sign_on(id, at).await {
                Ok(_) => self.registry.written(id),
                Err(error) => failed = Some(error),
            }
        }
        let dirty = self.registry.dirty();
        if !dirty.is_empty() {
            match self.store.touch(&dirty).await {
                Ok(()) => self.registry.flushed(&dirty),
                Err(error) => failed = Some(error),
            }
        }
        self.apps.run_pending_tasks().await;
        self.cookies.run_pending_tasks().await;
        self.registry.prune(now);
        failed.map_or(Ok(()), Err)
    }

    /// Flushes, then deletes from the store what is long over; returns how many sign-ons.
    ///
    /// # Errors
    /// The store's; nothing is deleted when the flush failed, because the store then thinks people idle who are not.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        self.flush().await?;
        let now = self.clock.now();
        self.store.sweep(now, now.plus_ms(-self.idle_ms()).plus_ms(-SWEEP_MARGIN_MS)).await
    }

    /// Sweeps every `interval` until `shutdown`, and flushes a last time. Up to `interval` of `last_seen` is lost when the process is killed.
    pub async fn run(self: Arc<Self>, interval: Duration, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.sweep().await {
                Ok(0) => {}
                Ok(swept) => tracing::debug!(swept, "deleted sign-ons that are over"),
                Err(error) => tracing::warn!(%error, "sessions could not be written down; trying again"),
            }
        }
        if let Err(error) = self.flush().await {
            tracing::warn!(%error, "the last uses of sessions could not be written down");
        }
    }

    /// Ends what has run out; told once, whoever finds it first.
    async fn expire(&self, sign_on: &LiveSignOn) -> Result<(), StoreError> {
        if !sign_on.ended.swap(true, Ordering::AcqRel) {
            let subject = &sign_on.identity.subject;
            tracing::info!(
                target: "audit",
                action = "session.expired",
                idp = sign_on.identity.idp,
                user.iss = subject.issuer,
                user.sub = subject.subject,
                user.email = sign_on.identity.email.as_deref(),
                reason = if self.clock.now() >= sign_on.expires_at() { "max" } else { "idle" },
            );
        }
        self.end(sign_on.id).await
    }

    /// Whether a request may run on it now; one that has run out is ended for good, so that a clock set back does not revive it.
    async fn still_alive(&self, sign_on: &LiveSignOn) -> bool {
        if sign_on.alive(self.clock.now(), self.idle_ms()) {
            return true;
        }
        if !sign_on.ended()
            && let Err(error) = self.expire(sign_on).await
        {
            // Not the caller's trouble: memory refuses, and the flush writes it later.
            tracing::warn!(%error, "an expired session could not be written down as ended; trying again");
        }
        false
    }
}

/// Why a load put nothing into the cache.
#[derive(Debug)]
enum Miss {
    Absent,
    Store(StoreError),
}

impl From<StoreError> for Miss {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Miss {
    /// What everybody who waited for the load is told.
    fn answer<T>(self: Arc<Self>) -> Result<Option<T>, StoreError> {
        match Arc::try_unwrap(self) {
            Ok(Self::Absent) => Ok(None),
            Ok(Self::Store(error)) => Err(error),
            Err(shared) => match &*shared {
                Self::Absent => Ok(None),
                Self::Store(StoreError::Unavailable(error)) => Err(StoreError::Unavailable(error.to_string().into())),
                Self::Store(StoreError::Sealed) => Err(StoreError::Sealed),
                Self::Store(StoreError::Fenced) => Err(StoreError::Fenced),
                Self::Store(StoreError::OwnedByAnother) => Err(StoreError::OwnedByAnother),
            },
        }
    }
}
