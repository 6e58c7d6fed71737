//! The scenarios in which something goes wrong on the way to a running app: an answer that is lost, one that is not the app's, a membership that fails.
//!
//! Apart because the app itself need not fail for them: what befalls a request stands between the engine and the app, which is asked afterwards what it has.

use super::super::Verdict::NotApplicable;
use super::super::backstage::{html, words};
use super::super::counter::Counter;
use super::super::counter::announced;
use super::super::dialect::Say;
use super::super::scenes::seen;
use super::super::server::{When, Wrong, said};
use super::{Person, Scene, engine};
use crate::clock::ManualClock;
use crate::connector::engine::{Mishap, Mishaps};
use crate::connector::model::Effect;
use crate::connector::{Connector as _, Observation, Outcome};
use crate::plan::Step;
use serde_json::Map;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// The road to the app, and what waits there.
#[derive(Debug, Default)]
struct Road(Mutex<VecDeque<(When, Wrong)>>);

impl Road {
    fn with(waiting: impl IntoIterator<Item = (When, Wrong)>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(waiting.into_iter().collect())))
    }

    /// Whether everything that was to go wrong has.
    fn is_spent(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Mishaps for Road {
    fn befalls(&self, step: &str, effect: Effect) -> Option<Mishap> {
        let verb = step.split('/').next().unwrap_or_default();
        // Signing in to the admin API, and asking how it is, are what the others are done by.
        if matches!(verb, "session" | "token" | "probe") {
            return None;
        }
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = waiting.iter().position(|(when, _)| match when {
            When::Next => true,
            When::Create => verb == "create" && effect != Effect::Read,
            When::Membership => verb.starts_with("members.") && effect != Effect::Read,
        })?;
        waiting.remove(at).map(|(_, wrong)| match wrong {
            Wrong::Says(say) => Mishap::Says(said(&say, &Map::new())),
            Wrong::Lost => Mishap::Lost,
        })
    }
}

impl Scene<'_> {
    /// Answers that are not the app's, to a lookup and to a create.
    pub(super) async fn befall(&mut self, ann: &Person) -> Result<(), String> {
        let later = Say { status: 429, headers: BTreeMap::from([("Retry-After".to_owned(), "7".to_owned())]), ..Say::default() };
        self.instead("429 with Retry-After", ann, &later, Some(7_000)).await?;
        self.instead("500 with HTML", ann, &html(500), None).await?;
        self.instead("200 that is no JSON", ann, &html(200), None).await
    }

    async fn instead(&mut self, scenario: &'static str, ann: &Person, say: &Say, after_ms: Option<u64>) -> Result<(), String> {
        let on = |when: When| {
            let road = Road::with([(when, Wrong::Says(say.clone()))]);
            engine(self.live, self.provision, Arc::clone(&self.live.clock)).with_mishaps(road)
        };
        let ways = self.engine.ways();
        let looked = on(When::Next).find(ann.context(None), ways.get(..1).unwrap_or_default()).await;
        let is_read = matches!(&looked, Err(trouble) if trouble.outcome == Outcome::Retry && trouble.retry_after_ms == after_ms);
        if !is_read {
            self.held(scenario, false, format!("lookup: {}", seen(&looked)));
            return Ok(());
        }
        let odd = self.plain("odd")?;
        let made = on(When::Create).apply(odd.context(None), &Step::Create(odd.desired().clone())).await;
        let is_so = match &made {
            // RFC 6585 §4: nothing was served; anything else leaves doubt.
            Err(trouble) if say.status == 429 => trouble.is_unsent() && trouble.retry_after_ms == after_ms,
            Err(trouble) => trouble.outcome == Outcome::InDoubt,
            Ok(_) => false,
        };
        let came = made.as_ref().map_or_else(|trouble| trouble.outcome.to_string(), |(came, _)| came.to_string());
        let there = self.note(odd).await;
        let is_absent = matches!(there, Ok(Observation::Absent));
        let said = if is_absent { format!("lookup: retry; create: {came}") } else { format!("create: {came}; and then {}", seen(&there)) };
        self.held(scenario, is_so && is_absent, said);
        Ok(())
    }

    /// Sign-ins, through the desk.
    pub(super) async fn come_in(&mut self) -> Result<(), String> {
        if self.makes_groups {
            for scenario in ["create, reply lost after commit", "create, then a membership fails"] {
                self.row(scenario, NotApplicable(self.no_grant.clone()));
            }
            return Ok(());
        }
        let lost = self.plain("lost")?;
        let road = Road::with([(When::Create, Wrong::Lost)]);
        let told = self.counter(&road).enters(&lost).await;
        let login = lost.login().to_owned();
        let there = self.note(lost).await;
        let is_one = matches!(&there, Ok(Observation::Found(account, _)) if self.engine.model().identity.fold.same(&account.login, &login));
        let is_so = is_one && road.is_spent() && told.as_ref() == Ok(&login);
        let said = if is_so { "found again, one account".to_owned() } else { format!("{}; {}", announced(&told), seen(&there)) };
        self.held("create, reply lost after commit", is_so, said);
        self.half_made().await
    }

    async fn half_made(&mut self) -> Result<(), String> {
        const SCENARIO: &str = "create, then a membership fails";
        let Some((kind, member, _)) = self.grants.first().cloned() else {
            self.none(SCENARIO, "no membership is granted: see those rows");
            return Ok(());
        };
        let half = self.person("half", &self.live.groups)?;
        let road = Road::with((0..3).map(|_| (When::Membership, Wrong::Says(html(503)))));
        let told = self.counter(&road).enters_again(&half).await;
        let login = half.login().to_owned();
        let there = self.note(self.person("half", &self.live.groups)?).await;
        let is_in = match &there {
            Ok(Observation::Found(account, _)) => self.is_in(&half, &account.id, &kind, &member).await,
            Ok(Observation::Absent | Observation::Ambiguous) => Some(false),
            Err(trouble) => return Err(words(trouble)),
        };
        if told.as_ref() != Ok(&login) || is_in == Some(false) {
            self.held(SCENARIO, false, format!("{}; {}, {}", announced(&told), seen(&there), super::calls::is_in(&member, is_in)));
        } else if road.is_spent() {
            self.held(SCENARIO, true, "gone on with, one account".to_owned());
        } else {
            self.none(SCENARIO, "an account is made with its memberships");
        }
        Ok(())
    }

    fn counter(&self, road: &Arc<Road>) -> Counter {
        let clock = Arc::new(ManualClock::new(self.live.clock.now()));
        let engine = engine(self.live, self.provision, Arc::clone(&clock) as _).with_mishaps(Arc::clone(road) as _);
        Counter::new(&self.live.policy, Arc::new(engine), &clock)
    }
}
