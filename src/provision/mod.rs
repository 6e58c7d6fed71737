//! Making sure that a person has an account before they get there.
//!
//! Lives here: [`Desk`], which issues a [`Pass`](crate::session::Pass) once the account exists and is as the policy wants it, and the ports it needs
//! ([`TokenSigner`], [`Sleeper`]). Single-flight per person and app; a job goes on whether or not anybody waits. Nothing is forwarded
//! to an upstream with `[provision]` without a pass.
//!
//! `ensure.rs` is the algorithm of one job, `linking.rs` says which account may be taken for whose, `announce.rs` renders what the app is
//! told. It never knows how a session came about (`login/`) or what a request may do (`policy/evaluate.rs`).

mod announce;
mod linking;

use crate::clock::Clock;
use crate::connector::Connector;
use crate::entropy::Entropy;
use crate::fault::{Incident, PublicMessage};
use crate::policy::Policy;
use crate::session::{AppSession, Pass};
use crate::state::AccountStore;
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// What asking for an account came to.
#[derive(Debug, Clone)]
pub enum Ensured {
    /// The account is there.
    Ready(Arc<Pass>),
    /// Still being made when the hold was over.
    Working,
    /// Not to be had now. The message says whether trying again makes sense.
    Refused(PublicMessage),
}

/// Signs the token that an app verifies. The real one is `crate::signer::Signer`.
pub trait TokenSigner: Send + Sync + std::fmt::Debug {
    /// A compact JWS for `audience` that lives `ttl_ms` milliseconds, with `claims` besides `iss aud iat exp jti`, which the signer sets.
    ///
    /// # Errors
    /// No key, or the library refused; for the log.
    fn sign(&self, audience: &str, ttl_ms: i64, claims: &Map<String, Value>) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;
}

/// Waits between tries, so that no test has to.
#[async_trait]
pub trait Sleeper: Send + Sync + std::fmt::Debug {
    /// Comes back after `ms` milliseconds.
    async fn sleep_ms(&self, ms: u64);
}

/// Tokio's timer.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSleeper;

#[async_trait]
impl Sleeper for TokioSleeper {
    async fn sleep_ms(&self, ms: u64) {
        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    }
}

/// Times of the desk, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// An account seen to be as wanted is not looked at again for so long.
    pub soft_ttl_ms: i64,
    /// A known account is good for so long without a look while the admin API does not answer.
    pub stale_grace_ms: i64,
    /// An account that lacks something optional is tried again after so long.
    pub degraded_ttl_ms: i64,
    /// How long a lease on a record lasts; a crash holds a person up for at most so long.
    pub lease_ms: i64,
    /// An admin API that refused our credential is left alone for so long.
    pub quarantine_ms: i64,
    /// After a failure, asking again within so long gets the same answer without a call.
    pub failure_ms: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            soft_ttl_ms: 3_600_000,
            stale_grace_ms: 12 * 3_600_000,
            degraded_ttl_ms: 300_000,
            lease_ms: 20_000,
            quarantine_ms: 30_000,
            failure_ms: 1_000,
        }
    }
}

/// What a desk is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where records are.
    pub accounts: Arc<dyn AccountStore>,
    /// Signs `[jwt]` tokens.
    pub signer: Arc<dyn TokenSigner>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For jitter, and for this process's name on leases.
    pub entropy: Arc<dyn Entropy>,
    /// Waits between tries.
    pub sleeper: Arc<dyn Sleeper>,
    /// Where jobs run: not on the cores that forward.
    pub runtime: tokio::runtime::Handle,
    /// Times; [`Times::default`] but for tests.
    pub times: Times,
}

/// Issues passes.
#[derive(Debug)]
pub struct Desk {
    parts: Parts,
}

#[expect(clippy::unused_async, reason = "skeleton")]
impl Desk {
    /// A desk that knows no app's connector yet: see [`Self::install`].
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self { parts })
    }

    /// Replaces all connectors, by policy name. Jobs under way finish with the one they began with.
    pub fn install(&self, connectors: HashMap<String, Arc<dyn Connector>>) {
        let _ = (connectors, &self.parts);
    }

    /// A pass for this session at its app, waiting at most `hold_ms` for a job under way. Also puts the pass into `session.pass`.
    pub async fn ensure(self: &Arc<Self>, session: &Arc<AppSession>, policy: &Arc<Policy>, incident: Incident, hold_ms: u64) -> Ensured {
        let _ = (session, policy, incident, hold_ms);
        Ensured::Working
    }
}
