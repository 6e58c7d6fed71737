//! The scenarios about a sign-in: the real desk, the real engine, and an app that fails half-way.

use super::Verdict::{Failed, Held, NotApplicable};
use super::backstage::{Backstage, NOW, Person, Set, html};
use super::server::{When, Wrong};
use super::table::text;
use super::{Row, Verdict};
use crate::clock::ManualClock;
use crate::connector::Connector;
use crate::connector::model::Verb;
use crate::entropy::SeededEntropy;
use crate::fault::Incident;
use crate::identity::Way;
use crate::provision::{Asking, Desk, Ensured, NoMeter, Parts, Sleeper, Times, TokenSigner};
use crate::rehearse::records::Records;
use crate::session::{AppSession, LiveSignOn};
use crate::state::SignOnId;
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) async fn play(stage: &Backstage) -> Vec<Row> {
    let lost = reply_lost(stage).await.unwrap_or_else(Failed);
    let half = half_made(stage).await.unwrap_or_else(Failed);
    vec![Row { scenario: "create, reply lost after commit", verdict: lost }, Row { scenario: "create, then a membership fails", verdict: half }]
}

/// The desk of one scenario.
struct Counter<'s> {
    stage: &'s Backstage,
    set: Set,
    desk: Arc<Desk>,
}

impl<'s> Counter<'s> {
    fn new(stage: &'s Backstage) -> Self {
        let set = stage.set();
        let parts = Parts {
            accounts: Arc::new(Records::default()),
            secrets: Arc::new(Records::default()),
            signer: Arc::new(NoSigner),
            clock: Arc::clone(&set.clock) as _,
            owner: "kit".to_owned(),
            entropy: Arc::new(SeededEntropy::new(1)),
            sleeper: Arc::new(Skips(Arc::clone(&set.clock))),
            runtime: tokio::runtime::Handle::current(),
            meter: Arc::new(NoMeter),
            times: Times { known_hold_ms: 20_000, ..Times::default() },
        };
        let desk = Desk::new(parts);
        desk.install(HashMap::from([(stage.policy.name.clone(), Arc::clone(&set.engine) as Arc<dyn Connector>)]));
        Self { stage, set, desk }
    }

    /// Somebody signs in and asks for a page, again after a while when that comes to nothing; the login that the app is told.
    async fn enters(&self, person: &Person) -> Result<String, String> {
        let mut why = String::new();
        for _ in 0..3 {
            let identity = Arc::new(person.identity.clone());
            let sign_on = LiveSignOn::passing(SignOnId([0; 16]), identity, NOW, NOW, NOW.plus_ms(86_400_000), NOW);
            let session = Arc::new(AppSession::of(&self.stage.policy.name, Arc::new(sign_on), Way::Session));
            match self.desk.ensure(&session, &self.stage.policy, Incident::from_bytes([0; 5]), Asking::page(20_000)).await {
                Ensured::Ready(pass) => return Ok(pass.login.clone()),
                Ensured::Working => "still working".clone_into(&mut why),
                Ensured::Refused(message) => why = format!("{message:?}"),
            }
            self.set.clock.advance_ms(60_000);
        }
        Err(why)
    }
}

/// One account, whatever became of the answer, and it is theirs.
async fn reply_lost(stage: &Backstage) -> Result<Verdict, String> {
    if !stage.model.can(&Verb::Create) {
        return Ok(NotApplicable("the connector makes no accounts".to_owned()));
    }
    let (counter, ann) = (Counter::new(stage), stage.person("ann", &[])?);
    counter.set.app.fail(When::Create, Wrong::Lost);
    let login = counter.enters(&ann).await?;
    let logins: Vec<String> = counter.set.app.table().users.iter().map(|user| user.login.clone()).collect();
    if counter.set.app.is_spent() && login == ann.login() && logins == [ann.login()] {
        Ok(Held("found again, one account".to_owned()))
    } else {
        Ok(Failed(format!("announced as {login}; accounts: {logins:?}")))
    }
}

/// The account is made, the membership is not; the next time goes on from there.
async fn half_made(stage: &Backstage) -> Result<Verdict, String> {
    if !stage.model.can(&Verb::Create) {
        return Ok(NotApplicable("the connector makes no accounts".to_owned()));
    }
    let Some(member) = stage.member() else { return Ok(NotApplicable("the connector grants no memberships".to_owned())) };
    let (counter, ann) = (Counter::new(stage), stage.person("ann", &[&member.from])?);
    for _ in 0..3 {
        counter.set.app.fail(When::Membership, Wrong::Says(html(503)));
    }
    let mut login = String::new();
    for _ in 0..3 {
        // Let in without it or not, as the membership is worth: either way the next look goes on.
        if let Ok(told) = counter.enters(&ann).await {
            login = told;
        }
        counter.set.clock.advance_ms(400_000);
    }
    let table = counter.set.app.table();
    let is_it = |group: &str| table.group(&member.kind, group, false).is_some_and(|(id, name, _)| name == member.name || text(&id) == member.name);
    let joined = table.members.iter().filter(|one| one.kind == member.kind && is_it(&one.group)).count();
    let users = table.users.len();
    drop(table);
    if users != 1 || joined != 1 || login != ann.login() {
        let seen = counter.set.app.take_seen();
        return Ok(Failed(format!("announced as {login}; {users} accounts, {joined} memberships; {}", seen.join("; "))));
    }
    Ok(if counter.set.app.is_spent() {
        Held("gone on with, one account".to_owned())
    } else {
        NotApplicable("an account is made with its memberships".to_owned())
    })
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
