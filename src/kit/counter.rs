//! The desk of a scenario: a person comes in, and an account is made or found for them, as in live traffic.
//!
//! Apart because the scripted apps and the running ones are entered in the same way. Time is a clock that is moved instead of waited for.

use super::backstage::Person;
use crate::clock::{Clock as _, ManualClock, Timestamp};
use crate::connector::{Connector, Engine};
use crate::entropy::SeededEntropy;
use crate::fault::Incident;
use crate::identity::Way;
use crate::policy::Policy;
use crate::provision::{Asking, Desk, Ensured, NoMeter, Parts, Sleeper, Times, TokenSigner};
use crate::rehearse::records::Records;
use crate::session::{AppSession, LiveSignOn};
use crate::state::SignOnId;
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// A desk without a memory of anybody.
pub(super) struct Counter {
    policy: Arc<Policy>,
    pub(super) desk: Arc<Desk>,
    clock: Arc<ManualClock>,
    began: Timestamp,
}

impl Counter {
    /// `engine` goes by `clock` too.
    pub(super) fn new(policy: &Arc<Policy>, engine: Arc<Engine>, clock: &Arc<ManualClock>) -> Self {
        let parts = Parts {
            accounts: Arc::new(Records::default()),
            secrets: Arc::new(Records::default()),
            signer: Arc::new(NoSigner),
            clock: Arc::clone(clock) as _,
            owner: "kit".to_owned(),
            entropy: Arc::new(SeededEntropy::new(1)),
            sleeper: Arc::new(Skips(Arc::clone(clock))),
            runtime: tokio::runtime::Handle::current(),
            meter: Arc::new(NoMeter),
            times: Times { known_hold_ms: 20_000, ..Times::default() },
        };
        let desk = Desk::new(parts);
        desk.install(HashMap::from([(policy.name.clone(), engine as Arc<dyn Connector>)]));
        Self { policy: Arc::clone(policy), desk, clock: Arc::clone(clock), began: clock.now() }
    }

    /// Somebody signs in and asks for a page, again after a while when that comes to nothing; the login that the app is told.
    pub(super) async fn enters(&self, person: &Person) -> Result<String, String> {
        self.enters_by(person, self.began).await
    }

    /// [`Self::enters`] by a sign-in of `began`.
    pub(super) async fn enters_by(&self, person: &Person, began: Timestamp) -> Result<String, String> {
        let mut why = String::new();
        for _ in 0..3 {
            let identity = Arc::new(person.identity.clone());
            let sign_on = LiveSignOn::passing(SignOnId([0; 16]), identity, began, began, began.plus_ms(86_400_000), began);
            let session = Arc::new(AppSession::of(&self.policy.name, Arc::new(sign_on), Way::Session));
            match self.desk.ensure(&session, &self.policy, Incident::from_bytes([0; 5]), Asking::page(20_000)).await {
                Ensured::Ready(pass) => return Ok(pass.login.clone()),
                Ensured::Working => "still working".clone_into(&mut why),
                Ensured::Refused(message) => why = format!("{message:?}"),
            }
            self.clock.advance_ms(60_000);
        }
        Err(why)
    }

    /// [`Self::enters`] several times, hours apart: let in without a membership or not, as it is worth, each look goes on with it. The last login told.
    pub(super) async fn enters_again(&self, person: &Person) -> String {
        let mut login = String::new();
        for _ in 0..3 {
            if let Ok(told) = self.enters(person).await {
                login = told;
            }
            self.clock.advance_ms(400_000);
        }
        login
    }
}

/// Moves the clock instead of waiting.
#[derive(Debug)]
struct Skips(Arc<ManualClock>);

#[async_trait]
impl Sleeper for Skips {
    async fn sleep_ms(&self, ms: u64) {
        self.0.advance_ms(i64::try_from(ms).unwrap_or(i64::MAX));
        tokio::task::yield_now().await;
    }
}

/// Nobody reads what it signs.
#[derive(Debug)]
struct NoSigner;

impl TokenSigner for NoSigner {
    fn sign(&self, _: &str, _: i64, _: &Map<String, Value>) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok("kit".to_owned())
    }
}
