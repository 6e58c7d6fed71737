//! Access tokens that were verified, as sessions of the app they are for.
//!
//! Lives here: [`TokenSessions`], so that a token costs a signature check once and a look-up ever after. A token is a session like any other from here on: it has an
//! identity, an end and a [`Pass`](super::Pass), and stops when it expires. It never knows how a token is verified (`sso/`): whoever asks brings that along.

use super::{AppSession, LiveSignOn};
use crate::clock::{Clock, Timestamp};
use crate::identity::{Identity, SubjectId, Way};
use crate::state::{SecretHash, SignOnId};
use moka::future::Cache;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Tokens kept; beyond that the least used are verified again.
const TOKENS_MAX: u64 = 100_000;

/// What a verified token says.
#[derive(Debug)]
pub struct TokenSignOn {
    /// Who it stands for.
    pub identity: Identity,
    /// When the person signed in at the provider; the epoch when it did not say.
    pub auth_time: Timestamp,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Worthless from then on.
    pub expires_at: Timestamp,
}

/// All verified tokens of this process.
#[derive(Debug)]
pub struct TokenSessions {
    known: Cache<SecretHash, Arc<AppSession>>,
    clock: Arc<dyn Clock>,
    idle_ms: AtomicI64,
}

impl TokenSessions {
    /// None yet. A token that was not used for `idle_ms` is verified again.
    pub fn new(clock: Arc<dyn Clock>, idle_ms: i64) -> Self {
        // A token that nobody shows any more is forgotten: most are shown for minutes.
        let idle = Duration::from_millis(u64::try_from(idle_ms).unwrap_or_default().max(1));
        let known = Cache::builder().max_capacity(TOKENS_MAX).time_to_idle(idle).support_invalidation_closures().build();
        Self { known, clock, idle_ms: AtomicI64::new(idle_ms) }
    }

    /// From now on with another limit.
    pub fn limit(&self, idle_ms: i64) {
        self.idle_ms.store(idle_ms, Ordering::Relaxed);
    }

    /// Every token is verified again.
    pub fn forget(&self) {
        self.known.invalidate_all();
    }

    /// Every token of this person is verified again.
    pub fn forget_person(&self, subject: &SubjectId) {
        let subject = subject.clone();
        if self.known.invalidate_entries_if(move |_key, session| session.sign_on.identity.subject == subject).is_err() {
            self.forget();
        }
    }

    /// The name of a token at an app under one revision of its policy: a policy that asks for more asks every token again.
    pub fn key(app: &str, revision: &str, token: &str) -> SecretHash {
        SecretHash::of_parts(&[app.as_bytes(), revision.as_bytes(), token.as_bytes()])
    }

    /// The session behind `key`, else the one that `verify` makes: once, however many ask at the same time. What is refused is not remembered.
    ///
    /// # Errors
    /// Those of `verify`.
    pub async fn session<E: Send + Sync + 'static>(
        &self,
        key: SecretHash,
        app: &str,
        verify: impl Future<Output = Result<TokenSignOn, E>> + Send,
    ) -> Result<Arc<AppSession>, Arc<E>> {
        if let Some(known) = self.known.get(&key).await {
            if known.sign_on.alive(self.clock.now(), self.idle_ms.load(Ordering::Relaxed)) {
                return Ok(known);
            }
            self.known.invalidate(&key).await;
        }
        self.known.try_get_with(key, async { Ok(Arc::new(AppSession::of_token(key, app, verify.await?, self.clock.now()))) }).await
    }
}

impl AppSession {
    fn of_token(key: SecretHash, app: &str, token: TokenSignOn, now: Timestamp) -> Self {
        let mut id = [0; 16];
        id.iter_mut().zip(key.0).for_each(|(to, from)| *to = from);
        let TokenSignOn { identity, auth_time, issued_at, expires_at } = token;
        let sign_on = LiveSignOn::passing(SignOnId(id), Arc::new(identity), auth_time, issued_at, expires_at, now);
        Self::of(app, Arc::new(sign_on), Way::Bearer)
    }
}

#[cfg(test)]
mod tests {
    use super::{TokenSessions, TokenSignOn};
    use crate::clock::{Clock, ManualClock, Timestamp};
    use crate::identity::Way;
    use crate::session::tests::stored;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    const T0: Timestamp = Timestamp::from_seconds(1_000_000);

    #[tokio::test]
    async fn a_token_is_verified_once_until_it_expires_and_a_refused_one_every_time() {
        let clock = Arc::new(ManualClock::new(T0));
        let tokens = TokenSessions::new(clock.clone(), 600_000);
        let asked = AtomicU32::new(0);
        let verify = |good: bool| {
            asked.fetch_add(1, Ordering::Relaxed);
            let now = clock.now();
            let token = TokenSignOn { identity: stored(1, now, 1).identity, auth_time: now, issued_at: now, expires_at: now.plus_ms(300_000) };
            std::future::ready(if good { Ok(token) } else { Err("no") })
        };
        let key = TokenSessions::key("wiki", "r1", "token");
        for expected in ["no", "no"] {
            assert_eq!(*tokens.session(key, "wiki", async { verify(false).await }).await.unwrap_err(), expected);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        let first = tokens.session(key, "wiki", async { verify(true).await }).await.unwrap();
        let second = tokens.session(key, "wiki", async { verify(true).await }).await.unwrap();
        assert!(Arc::ptr_eq(&first, &second) && first.way == Way::Bearer && first.app == "wiki");
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        clock.advance_ms(300_000);
        assert_eq!(*tokens.session(key, "wiki", async { verify(false).await }).await.unwrap_err(), "no", "expired");
        assert_eq!(asked.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_token_has_a_name_of_its_own_at_every_app_and_revision() {
        let names = [("a", "bc", "t"), ("ab", "c", "t"), ("a", "b", "ct"), ("a", "b", "t"), ("a", "c", "t"), ("", "", "abct")];
        for (at, one) in names.iter().enumerate() {
            for other in names.iter().skip(at + 1) {
                assert_ne!(TokenSessions::key(one.0, one.1, one.2), TokenSessions::key(other.0, other.1, other.2), "{one:?} {other:?}");
            }
        }
    }
}
