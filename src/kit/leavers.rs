//! Every connector that is built in, about somebody who leaves: kept out at the app, given everything back when they return, removed where the policy says so. With the desk
//! and the engine of live traffic.

use super::backstage::{Backstage, Person, Set};
use super::counter::Counter;
use super::table::text;
use super::{connector_of, dialects, scripted};
use crate::clock::Clock as _;
use crate::connector::builtin::named;
use crate::connector::model::Verb;
use crate::policy::{Drift, Leavers};
use crate::provision::{Cause, Departure, Listed, Off};
use crate::state::{AccountKey, AccountState};
use serde_json::json;
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

/// A stage whose leavers are looked after as the connector can.
fn stage(name: &str, drift: Drift) -> Backstage {
    let model = named(connector_of(name)).expect("built in");
    let dialect = scripted(name).expect("scripted").expect("reads");
    let mut stage = Backstage::new(&model, &dialect).expect("a policy that compiles");
    let provision = Arc::get_mut(&mut stage.policy).expect("nobody else's").provision.as_mut().expect("accounts");
    provision.drift = drift;
    provision.leavers = Leavers {
        disable: model.can_switch_off(),
        delete: model.can_only_remove(),
        delete_after_ms: (model.can_switch_off() && model.can(&Verb::Delete)).then_some(DAY_MS),
        ..Leavers::default()
    };
    stage
}

/// Whom the app lets in, and what they may there: login, and group with role.
fn there(set: &Set) -> Vec<(String, Vec<String>)> {
    let table = set.app.table();
    let on = table.users.iter().filter(|user| !table.is_off(user));
    let held = |id: &str| {
        let mut held: Vec<String> = table
            .members
            .iter()
            .filter(|one| one.user == id && !one.is_over)
            .map(|one| format!("{} {} {:?}", one.kind, one.group, one.role))
            .collect();
        held.sort();
        held
    };
    on.map(|user| (user.login.clone(), held(&text(&user.id)))).collect()
}

struct House {
    stage: Backstage,
    set: Set,
    counter: Counter,
    ann: Person,
}

impl House {
    async fn of(name: &str, drift: Drift) -> Self {
        let stage = stage(name, drift);
        let groups: Vec<&str> = stage.member().map(|member| member.from.as_str()).into_iter().collect();
        let (set, ann) = (stage.set(), stage.person("ann", &groups).expect("ann"));
        let counter = Counter::new(&stage.policy, Arc::clone(&set.engine), &set.clock);
        let house = Self { stage, set, counter, ann };
        house.enters().await;
        house
    }

    async fn enters(&self) {
        self.set.clock.advance_ms(60_000);
        self.counter.enters_by(&self.ann, self.set.clock.now()).await.expect("let in");
    }

    fn key(&self) -> AccountKey {
        AccountKey { upstream: self.stage.policy.name.clone(), subject: self.ann.identity.subject.clone() }
    }

    async fn leaves(&self) -> Listed {
        self.set.clock.advance_ms(60_000);
        let cause = Cause::Access { as_of: self.set.clock.now() };
        assert_eq!(self.counter.desk.leaves(&self.key(), &self.stage.policy, cause, None).await, Departure::Left);
        self.shown().await
    }

    async fn shown(&self) -> Listed {
        self.counter.desk.people().show(&self.key()).await.expect("a record")
    }

    /// Nothing of what ann had, or nobody.
    fn is_out(&self) -> bool {
        let there = there(&self.set);
        there.is_empty() || self.stage.model.account.disabled.is_none() && there.iter().all(|(_, held)| held.is_empty())
    }
}

#[tokio::test]
async fn who_comes_back_has_what_they_had_and_none_of_it_is_drift() {
    for name in dialects() {
        for drift in [Drift::Correct, Drift::Report] {
            let house = House::of(name, drift).await;
            let before = there(&house.set);
            assert_eq!(before.len(), 1, "{name}");
            let left = house.leaves().await;
            assert!(house.is_out(), "{name} {drift:?}: {:?}, {left:?}", there(&house.set));
            assert_eq!(left.left.and_then(|left| left.off), Some(Off::Done), "{name}");
            house.enters().await;
            let mut now = there(&house.set);
            if name == "zabbix" {
                // Nobody is in no group there: out of the one that switches off, they are in that of the setting `group`, and then in theirs.
                now[0].1.retain(|held| held != "group 8 None");
            }
            assert_eq!(now, before, "{name} {drift:?}");
            let back = house.shown().await;
            assert_eq!((back.state, back.drift, back.left), (AccountState::Active, Vec::new(), None), "{name} {drift:?}");
        }
    }
}

#[tokio::test]
async fn who_stays_away_is_removed_where_the_app_can() {
    for name in dialects() {
        let house = House::of(name, Drift::Report).await;
        let left = house.leaves().await;
        let model = &house.stage.model;
        if model.can_only_remove() {
            assert_eq!((left.state, house.set.count()), (AccountState::Deprovisioned, 0), "{name}");
        } else if model.can(&Verb::Delete) {
            assert_eq!((left.state, house.set.count()), (AccountState::Suspended, 1), "{name}");
            house.set.clock.advance_ms(2 * DAY_MS);
            house.counter.desk.tend(&[Arc::clone(&house.stage.policy)], true).await;
            let shown = house.shown().await;
            // Synapse deactivates an account for good, and gives its name to nobody.
            let stay = usize::from(name == "synapse");
            assert_eq!((shown.state, house.set.count()), (AccountState::Deprovisioned, stay), "{name}: {shown:?}");
            assert!(house.is_out(), "{name}");
        }
    }
}

/// Whoever has ever come in by the gateway's header or token is "external" to Grafana, and no external user can be switched off there.
#[tokio::test]
async fn grafana_switches_nobody_off_who_has_signed_in_and_takes_their_organisations_instead() {
    for drift in [Drift::Correct, Drift::Report] {
        let house = House::of("grafana", drift).await;
        let before = there(&house.set);
        house.set.app.table().users[0].fields.insert("external".to_owned(), json!(true));
        house.leaves().await;
        assert_eq!(there(&house.set), [("ann".to_owned(), Vec::new())]);
        house.enters().await;
        assert_eq!(there(&house.set), before, "{drift:?}");
        house.leaves().await;
        house.set.clock.advance_ms(2 * DAY_MS);
        house.counter.desk.tend(&[Arc::clone(&house.stage.policy)], true).await;
        assert_eq!(house.set.count(), 0, "{:?}", house.shown().await);
    }
}
