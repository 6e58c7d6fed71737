//! Sessions as requests meet them: memory first, the store behind.
//!
//! Lives here: [`LiveSignOn`] and [`AppSession`] (one value per session and process, shared by all cores), [`Pass`] (what the app is told, rendered once),
//! and [`LiveSessions`], moka in front of the [`SessionStore`]. The hot path keeps `Arc<AppSession>`s of its own per core and asks here
//! only when it has none or when [`LiveSessions::generation`] has moved: no lock, no hash map shared between cores. Ending a
//! sign-on marks it, forgets its app sessions, moves the generation and tells every open stream.
//!
//! It must never know how a session came about (`login/`) or what it may do (`policy/`).

use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::identity::Identity;
use crate::state::{SecretHash, SessionStore, SignOn, SignOnId, StoreError};
use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};
use tokio::sync::broadcast;

/// Proof that the account exists and is as the policy wants it, with the identity rendered for the app.
#[derive(Debug)]
pub struct Pass {
    /// Revision of the policy it was issued under.
    pub policy_revision: String,
    /// The recorded login.
    pub login: String,
    /// Headers to inject, JWT included.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Good until then; afterwards the desk is asked again.
    pub good_until: Timestamp,
    /// Where this person lands at the first page of the session, when not at the page they asked for.
    pub landing: Option<String>,
}

/// A sign-on, live.
#[derive(Debug)]
pub struct LiveSignOn {
    /// Its name.
    pub id: SignOnId,
    /// Who it is.
    pub identity: Arc<Identity>,
    /// When they proved it.
    pub auth_time: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
    /// Ends then, whatever happens.
    pub expires_at: Timestamp,
    /// ID token for RP-initiated logout.
    pub id_token: Option<String>,
    /// Milliseconds since the epoch of the last request in any app.
    pub(crate) last_seen: AtomicI64,
    /// Set once, never cleared.
    pub(crate) ended: AtomicBool,
}

/// A person's session at one app: what the app host's cookie stands for.
#[derive(Debug)]
pub struct AppSession {
    /// Policy name of the app; worthless at any other.
    pub app: String,
    /// The sign-on it hangs from.
    pub sign_on: Arc<LiveSignOn>,
    /// What the app is told, once the account exists.
    pub pass: ArcSwapOption<Pass>,
}

/// All sessions of this process.
#[derive(Debug)]
pub struct LiveSessions {
    _private: (),
}

impl LiveSignOn {
    /// Whether a request may still run on it: not ended, inside the absolute limit, used within `idle_ms`; and not "from the future" by more
    /// than a minute, so that a clock set back ends sessions rather than prolonging them.
    pub fn alive(&self, now: Timestamp, idle_ms: i64) -> bool {
        let _ = (now, idle_ms);
        false
    }

    /// Notes a request at `now`.
    pub fn seen(&self, now: Timestamp) {
        let _ = now;
    }
}

#[expect(clippy::unused_async, reason = "skeleton")]
impl LiveSessions {
    /// In front of `store`.
    pub fn new(store: Arc<dyn SessionStore>, clock: Arc<dyn Clock>, limits: config::Session) -> Self {
        let _ = (store, clock, limits);
        Self { _private: () }
    }

    /// Moves whenever anything cached outside may have become wrong.
    pub fn generation(&self) -> u64 {
        0
    }

    /// The live session with this cookie on an app's host. Callers compare `app` with the host's policy.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: memory had no answer and the store has none either.
    pub async fn app_session(&self, cookie: SecretHash) -> Result<Option<Arc<AppSession>>, StoreError> {
        let _ = cookie;
        Ok(None)
    }

    /// The live sign-on with this cookie on the auth host.
    ///
    /// # Errors
    /// As [`Self::app_session`].
    pub async fn sign_on(&self, cookie: SecretHash) -> Result<Option<Arc<LiveSignOn>>, StoreError> {
        let _ = cookie;
        Ok(None)
    }

    /// Begins a sign-on.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin_sign_on(&self, cookie: SecretHash, sign_on: SignOn) -> Result<Arc<LiveSignOn>, StoreError> {
        let _ = (cookie, sign_on);
        Err(StoreError::Sealed)
    }

    /// Begins an app session under a live sign-on; `None` when the sign-on has ended meanwhile.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin_app_session(&self, cookie: SecretHash, sign_on: SignOnId, app: &str) -> Result<Option<Arc<AppSession>>, StoreError> {
        let _ = (cookie, sign_on, app);
        Ok(None)
    }

    /// Ends a sign-on everywhere: store, caches, open streams.
    ///
    /// # Errors
    /// The store's; memory has forgotten the session all the same.
    pub async fn end(&self, id: SignOnId) -> Result<(), StoreError> {
        let _ = id;
        Ok(())
    }

    /// Ids of sign-ons as they end, for open streams.
    pub fn endings(&self) -> broadcast::Receiver<SignOnId> {
        broadcast::channel(1).1
    }
}
