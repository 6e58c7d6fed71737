//! Sessions as requests meet them: memory first, the store behind.
//!
//! Lives here: [`LiveSignOn`] and [`AppSession`] (one value per session and process, shared by all cores), [`Pass`] (what the app is told, rendered once).
//! `live.rs` has [`LiveSessions`], moka in front of the [`SessionStore`](crate::state::SessionStore), and `registry.rs` under it, which knows every live
//! sign-on of the process; `binding.rs` has [`Binding`], by which an app's own cookies belong to a session; `local.rs` has [`LocalSessions`], what a core keeps for itself; `tokens.rs` has [`TokenSessions`], access tokens that were verified. The hot path asks [`LiveSessions`]
//! only when its own core has no answer or when [`LiveSessions::generation`] has moved: no lock, no hash map shared between cores. Ending a
//! sign-on marks it, forgets its app sessions, moves the generation and tells every open stream.
//!
//! It must never know how a session came about (`login/`) or what it may do (`policy/`).

mod binding;
mod live;
mod local;
pub mod operators;
mod registry;
mod tokens;

pub use binding::{Binding, CookieKey, Got, TAG_CHARS};
pub use live::LiveSessions;
pub use local::LocalSessions;
pub use tokens::{TokenSessions, TokenSignOn};

use crate::clock::Timestamp;
use crate::identity::{Identity, Way};
use crate::state::{SignOn, SignOnId};
use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// How far ahead of our clock a session may have been used before the clock must have been set back.
const AHEAD_MS_MAX: i64 = 60_000;
/// Uses closer together than this are one: a busy session does not bounce a cache line between cores.
const SEEN_STEP_MS: i64 = 1_000;

/// Proof that the account exists and is as the policy wants it, with the identity rendered for the app.
pub struct Pass {
    /// Revision of the policy it was issued under.
    pub policy_revision: String,
    /// The recorded login.
    pub login: String,
    /// Roles by the policy, for the person's own page.
    pub roles: Vec<String>,
    /// Headers to inject, JWT included.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Further headers of the nth `[[path]]` section at place n; empty when no section has any.
    pub path_headers: Vec<Vec<(HeaderName, HeaderValue)>>,
    /// Good until then; afterwards the desk is asked again.
    pub good_until: Timestamp,
    /// Where this person lands at the first page of the session, when not at the page they asked for.
    pub landing: Option<String>,
    /// Of which server is told, how, and what of the person, tokens aside: the app's cookies are bound to it, so that a session of the app ends when it would be told otherwise.
    pub told: [u8; 32],
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the headers: the JWT is among them.
        f.debug_struct("Pass")
            .field("policy_revision", &self.policy_revision)
            .field("login", &self.login)
            .field("good_until", &self.good_until)
            .finish_non_exhaustive()
    }
}

/// A sign-on, live.
pub struct LiveSignOn {
    /// Its name.
    pub id: SignOnId,
    /// Who it is.
    pub identity: Arc<Identity>,
    /// When they proved it; the epoch when the provider did not say.
    pub auth_time: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
    /// Ends then, whatever happens, by what was granted at sign-in.
    granted_until: Timestamp,
    /// The same in milliseconds, by the limit as configured now, which may be tighter.
    expires_at: AtomicI64,
    /// ID token for RP-initiated logout.
    pub id_token: Option<String>,
    /// Milliseconds since the epoch of the last request in any app.
    pub(crate) last_seen: AtomicI64,
    /// Set once, never cleared.
    pub(crate) ended: AtomicBool,
    /// Milliseconds since the epoch of when the provider last said the same of the person again; 0: not since it began.
    confirmed_at: AtomicI64,
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
    /// How the person shows who they are: by a cookie, or by the token that this stands for.
    pub way: Way,
    /// Set by a sign-in, until the first page after it: see [`Self::land`].
    pub(crate) landing_due: AtomicBool,
    /// What the app's cookies are bound to; see [`Self::binding`].
    binding: ArcSwapOption<Binding>,
}

impl AppSession {
    /// Nothing is known yet of its account.
    pub(crate) fn of(app: &str, sign_on: Arc<LiveSignOn>, way: Way) -> Self {
        Self { app: app.to_owned(), sign_on, pass: ArcSwapOption::empty(), way, landing_due: AtomicBool::new(false), binding: ArcSwapOption::empty() }
    }

    /// What the app's cookies are bound to while the app is told `told`; made when that has changed. `key` is that of the app, where it is now.
    pub fn binding(&self, key: &CookieKey, told: &[u8; 32]) -> Arc<Binding> {
        if let Some(known) = self.binding.load().as_ref().filter(|known| known.is_for(key, told)) {
            return Arc::clone(known);
        }
        let made = Arc::new(key.of_session(self, told));
        self.binding.store(Some(Arc::clone(&made)));
        made
    }

    /// The last [`Self::binding`] by this key; `None`: this process has told the app, where it is now, nothing yet.
    pub fn bound(&self, key: &CookieKey) -> Option<Arc<Binding>> {
        self.binding.load_full().filter(|binding| binding.is_of(key))
    }

    /// From now on the next page is the first after a sign-in. Kept in memory alone: after a restart nobody is taken away from what they were doing.
    pub fn expect_landing(&self) {
        self.landing_due.store(true, Ordering::Relaxed);
    }

    /// Whether nobody has got to a page of the app in this session yet, as far as this process knows.
    pub fn expects_landing(&self) -> bool {
        self.landing_due.load(Ordering::Relaxed)
    }

    /// Whether this page is the first after a sign-in; true once.
    pub fn land(&self) -> bool {
        self.landing_due.load(Ordering::Relaxed) && self.landing_due.swap(false, Ordering::Relaxed)
    }
}

impl fmt::Debug for LiveSignOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the ID token and the claims.
        f.debug_struct("LiveSignOn")
            .field("id", &self.id)
            .field("subject", &self.identity.subject)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl LiveSignOn {
    /// Of a stored one; `max_ms` is the absolute limit as configured now, which may be tighter than it was at sign-in.
    fn of(stored: SignOn, max_ms: i64) -> Self {
        Self {
            id: stored.id,
            identity: Arc::new(stored.identity),
            auth_time: stored.auth_time,
            created_at: stored.created_at,
            granted_until: stored.expires_at,
            expires_at: AtomicI64::new(stored.expires_at.min(stored.created_at.plus_ms(max_ms)).millis()),
            id_token: stored.id_token,
            last_seen: AtomicI64::new(stored.last_seen.millis()),
            ended: AtomicBool::new(false),
            confirmed_at: AtomicI64::new(0),
        }
    }

    /// One that no store knows, used just now: it ends at `until`.
    pub(crate) fn passing(
        id: SignOnId,
        identity: Arc<Identity>,
        auth_time: Timestamp,
        created_at: Timestamp,
        until: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            identity,
            auth_time,
            created_at,
            granted_until: until,
            expires_at: AtomicI64::new(until.millis()),
            id_token: None,
            last_seen: AtomicI64::new(now.millis()),
            ended: AtomicBool::new(false),
            confirmed_at: AtomicI64::new(0),
        }
    }

    /// The provider says of the person at `now` what it said at the sign-in.
    pub fn confirm(&self, now: Timestamp) {
        self.confirmed_at.fetch_max(now.millis(), Ordering::Relaxed);
    }

    /// As of when what is known of the person is what the provider says. Kept in memory alone: after a restart it is asked once more.
    pub fn known_as_of(&self) -> Timestamp {
        self.created_at.max(Timestamp::from_millis(self.confirmed_at.load(Ordering::Relaxed)))
    }

    /// Whether a request may still run on it: not ended, inside the absolute limit, used within `idle_ms`; and not "from the future" by more
    /// than a minute, so that a clock set back ends sessions rather than prolonging them.
    pub fn alive(&self, now: Timestamp, idle_ms: i64) -> bool {
        let last_seen = Timestamp::from_millis(self.last_seen.load(Ordering::Relaxed));
        !self.ended.load(Ordering::Acquire)
            && now < self.expires_at()
            && now.since_ms(last_seen) < idle_ms
            && last_seen.since_ms(now) <= AHEAD_MS_MAX
            && self.created_at.since_ms(now) <= AHEAD_MS_MAX
    }

    /// Notes a request at `now`, to about a second. Only ever forwards. Callers have checked [`Self::alive`].
    pub fn seen(&self, now: Timestamp) {
        if now.millis().saturating_sub(self.last_seen.load(Ordering::Relaxed)) >= SEEN_STEP_MS {
            self.last_seen.fetch_max(now.millis(), Ordering::Relaxed);
        }
    }

    /// Ends then, whatever happens.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.expires_at.load(Ordering::Relaxed))
    }

    /// From now on with this absolute limit; never beyond what was granted at sign-in.
    fn limit(&self, max_ms: i64) {
        self.expires_at.store(self.granted_until.min(self.created_at.plus_ms(max_ms)).millis(), Ordering::Relaxed);
    }

    /// Whether it was ended (signed out, or found to have expired).
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    pub(super) fn stored(n: u8, at: Timestamp, max_ms: i64) -> SignOn {
        SignOn {
            id: SignOnId([n; 16]),
            identity: Identity::bare("corp", "https://idp.example", &format!("person-{n}")),
            auth_time: at,
            created_at: at,
            last_seen: at,
            expires_at: at.plus_ms(max_ms),
            id_token: None,
            idp_session: None,
        }
    }

    // C9: idle and absolute limits, and a clock that jumps both ways.
    #[test]
    fn a_sign_on_lives_within_its_limits_and_no_clock_prolongs_it() {
        let begin = Timestamp::from_seconds(1_000_000);
        let check = |seen_ms: i64, now_ms: i64, expected: bool| {
            let live = LiveSignOn::of(stored(1, begin, 8 * HOUR), 8 * HOUR);
            live.seen(begin.plus_ms(seen_ms));
            assert_eq!(live.alive(begin.plus_ms(now_ms), HOUR), expected, "seen at {seen_ms}, now {now_ms}");
        };
        check(0, HOUR, false); // idle to the millisecond
        check(0, HOUR - 1, true);
        check(7 * HOUR + 1, 8 * HOUR, false); // absolute, however busy
        check(7 * HOUR + 1, 8 * HOUR - 1, true);
        check(0, 100 * 365 * 24 * HOUR, false); // the clock jumps ahead
        check(0, i64::MAX, false);
        check(0, -60_001, false); // and back
        check(0, i64::MIN, false);
        check(0, -60_000, true); // a small correction is not an ending
        check(2 * HOUR, HOUR, false); // back to before its last use
    }

    #[test]
    fn an_ended_one_is_dead_and_a_tightened_limit_applies_to_old_ones() {
        let begin = Timestamp::from_seconds(1_000_000);
        let live = LiveSignOn::of(stored(1, begin, 8 * HOUR), 8 * HOUR);
        live.ended.store(true, Ordering::Release);
        assert!(!live.alive(begin, HOUR));
        assert!(live.ended());
        let tightened = LiveSignOn::of(stored(1, begin, 8 * HOUR), 1000);
        assert!(tightened.alive(begin.plus_ms(999), HOUR));
        assert!(!tightened.alive(begin.plus_ms(1000), HOUR));
        tightened.limit(2000);
        assert!(tightened.alive(begin.plus_ms(1999), HOUR) && !tightened.alive(begin.plus_ms(2000), HOUR));
        tightened.limit(24 * HOUR);
        assert_eq!(tightened.expires_at(), begin.plus_ms(8 * HOUR), "never longer than was granted");
    }

    #[test]
    fn being_seen_only_moves_forwards() {
        let begin = Timestamp::from_seconds(1_000_000);
        let live = LiveSignOn::of(stored(1, begin, 8 * HOUR), 8 * HOUR);
        live.seen(begin.plus_ms(5_000));
        live.seen(begin.plus_ms(2_000));
        assert_eq!(live.last_seen.load(Ordering::Relaxed), begin.plus_ms(5_000).millis());
    }
}
