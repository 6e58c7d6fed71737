//! An admin API that refuses: the credential for good, or one call about one person.

use super::engines::{self, ada, logins};
use super::world::{World, key_at, person, ready, refused};
use crate::connector::{TOKEN, engine_at};
use crate::fake_admin::{FakeAdmin, Fault, Flavour};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use vestibule::clock::Clock as _;
use vestibule::connector::Connector;
use vestibule::fault::PublicMessage;
use vestibule::identity::Identity;
use vestibule::policy::{Leavers, Policy};
use vestibule::provision::{Cause, Departure};
use vestibule::state::AccountState;

/// With a probe, and without.
const BOTH: [Flavour; 2] = [Flavour::Scim, Flavour::Redmine];

/// A desk that speaks to a scripted app, both by one clock.
async fn start(flavour: Flavour, change: impl FnOnce(&mut Policy)) -> (World, FakeAdmin, Arc<Policy>) {
    let (world, fake, policy) = engines::start(flavour, |policy| {
        policy.provision.as_mut().unwrap().retries = 0;
        change(policy);
    })
    .await;
    let engine = engine_at(&fake, flavour, &json!({}), Arc::clone(&world.clock));
    world.desk.install(HashMap::from([("wiki".to_owned(), Arc::new(engine) as Arc<dyn Connector>)]));
    (world, fake, policy)
}

fn somebody(name: &str) -> Identity {
    Identity { given_name: Some(name.to_owned()), family_name: Some("Example".into()), ..person(name, name, &[]) }
}

fn create(flavour: Flavour) -> &'static str {
    if flavour == Flavour::Scim { "POST /Users" } else { "POST /users.json" }
}

#[tokio::test]
async fn j4_a_credential_that_is_refused_for_good_is_not_shown_again_and_again_and_nobody_is_absent() {
    for flavour in BOTH {
        let (world, fake, policy) = start(flavour, |_| {}).await;
        fake.require("Bearer another");
        for round in 0..3 {
            for n in 0..10 {
                let name = format!("p{n}");
                assert_eq!(refused(&world.sign_in(&somebody(&name), &policy).await), PublicMessage::AccountUnavailable, "{flavour:?}");
                world.clock.advance_ms(2_500);
            }
            let calls = fake.take_lines();
            assert!(calls.len() <= if round == 0 && flavour == Flavour::Scim { 2 } else { 1 }, "{flavour:?} {round}: {calls:?}");
            assert!(calls.iter().all(|line| line.starts_with("GET ")), "{calls:?}");
            world.clock.advance_ms(6_000);
        }
        assert!(world.record("p1").await.is_none(), "nobody else is written down as failed");
        fake.require(&format!("Bearer {TOKEN}"));
        world.clock.advance_ms(31_000);
        assert_eq!(ready(&world.sign_in(&somebody("bob"), &policy).await).login, "bob", "{flavour:?}");
        assert_eq!(logins(&fake), ["bob"]);
    }
}

/// A firewall in front of the app answers 403 to what one person is called.
#[tokio::test]
async fn one_person_whom_the_app_refuses_keeps_nobody_else_out() {
    for flavour in BOTH {
        let (world, fake, policy) = start(flavour, |_| {}).await;
        for n in 0..6 {
            fake.fail_next(create(flavour), Fault::Status(403));
            assert_eq!(refused(&world.sign_in(&somebody("eve"), &policy).await), PublicMessage::AccountFailed, "{flavour:?}");
            let name = format!("p{n}");
            assert_eq!(ready(&world.sign_in(&somebody(&name), &policy).await).login, name, "{flavour:?}");
            world.clock.advance_ms(2_000);
        }
        assert_eq!(logins(&fake).len(), 6, "{flavour:?}");
        // And when it is not refused any more, they have theirs.
        ready(&world.sign_in(&somebody("eve"), &policy).await);
        assert_eq!(logins(&fake).len(), 7);
    }
}

#[tokio::test]
async fn a_known_person_whom_the_app_does_not_show_goes_on() {
    for flavour in BOTH {
        let (world, fake, policy) = start(flavour, |_| {}).await;
        ready(&world.sign_in(&ada(&["devs"]), &policy).await);
        for _ in 0..3 {
            world.clock.advance_ms(2 * 3_600_000);
            fake.fail_next("GET", Fault::Status(403));
            assert_eq!(ready(&world.sign_in(&ada(&["devs"]), &policy).await).login, "ada", "{flavour:?}");
        }
        assert_eq!(world.record("ada").await.unwrap().state, AccountState::Active, "{flavour:?}");
        assert_eq!(logins(&fake), ["ada"]);
    }
}

#[tokio::test]
async fn a_leaver_whom_the_app_refuses_to_switch_off_is_tried_again_and_holds_up_no_other() {
    let (world, fake, policy) =
        start(Flavour::Scim, |policy| policy.provision.as_mut().unwrap().leavers = Leavers { disable: true, ..Leavers::default() }).await;
    for name in ["ada", "bob"] {
        ready(&world.sign_in(&somebody(name), &policy).await);
    }
    world.clock.advance_ms(1_000);
    fake.fail_next("PATCH", Fault::Status(403));
    for name in ["ada", "bob"] {
        let left = world.desk.leaves(&key_at("wiki", name), &policy, Cause::Access { as_of: world.clock.now() }, None).await;
        assert_eq!(left, Departure::Left);
    }
    let states = async || (world.record("ada").await.unwrap().state, world.record("bob").await.unwrap().state);
    assert_eq!(states().await, (AccountState::Suspending, AccountState::Suspended));
    assert_eq!(fake.users().iter().map(|user| user.disabled).collect::<Vec<_>>(), [false, true]);
    world.clock.advance_ms(61_000);
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert_eq!(states().await, (AccountState::Suspended, AccountState::Suspended));
    assert!(fake.users().iter().all(|user| user.disabled));
}
