//! A create that was sent and never answered, and then for so long not looked for that nobody can tell any more what it made, at an app that keeps no ids of ours.

use super::world::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vestibule::fault::{Incident, PublicMessage};
use vestibule::identity::Identity;
use vestibule::policy::{OnCollision, Policy};
use vestibule::provision::{Asking, Ensured};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Nothing but a login tells who it is.
fn called(username: &str) -> Identity {
    Identity { email: None, email_verified: false, ..person("ada", username, &[]) }
}

fn told_apart(by: OnCollision) -> Arc<Policy> {
    policy(|policy| policy.user.on_collision = by)
}

/// The create has made `ada`, the gateway was killed before it heard of it, and then the app was down for longer than that is a claim.
async fn forgotten(policy: &Arc<Policy>, without_external_ids: bool) -> World {
    let world = World::new().await;
    world.app.without_external_ids.store(without_external_ids, Ordering::SeqCst);
    world.app.fault("create", Fault::Hang);
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let desk = world.another(doomed.handle(), "gateway-1");
    let session = world.session(&called("ada")).await;
    assert!(matches!(desk.ensure(&session, policy, Incident::from_bytes([7; 5]), Asking::page(0)).await, Ensured::Working));
    while !world.app.hung.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    doomed.shutdown_background();
    world.app.down.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        world.clock.advance_ms(6 * MINUTE_MS);
        assert_eq!(refused(&world.sign_in(&called("ada"), policy).await), PublicMessage::AccountUnavailable);
    }
    world.app.down.store(false, Ordering::SeqCst);
    world.clock.advance_ms(MINUTE_MS);
    world
}

#[tokio::test]
async fn j3_there_is_never_a_second_account_beside_one_that_may_be_theirs() {
    for by in [OnCollision::Refuse, OnCollision::Suffix, OnCollision::Hash] {
        let policy = told_apart(by);
        let world = forgotten(&policy, true).await;
        for _ in 0..3 {
            assert_eq!(refused(&world.sign_in(&called("ada"), &policy).await), PublicMessage::AccountExists, "{by:?}");
            // Nor under a name of a later day.
            assert_eq!(refused(&world.sign_in(&called("ada-king"), &policy).await), PublicMessage::AccountExists, "{by:?}");
            world.clock.advance_ms(DAY_MS);
        }
        assert_eq!((world.app.logins(), world.app.count("create")), (vec!["ada".to_owned()], 1), "{by:?}");
        let record = world.record("ada").await.unwrap();
        assert_eq!((record.login.as_deref(), record.account_id, record.in_doubt.is_some()), (Some("ada"), None, true), "{by:?}");
        assert!(record.last_error.unwrap().contains("users relink"));
        // Another person of that name is told apart from them, as from anybody.
        let other = Identity { email: None, ..person("other", "ada", &[]) };
        let ended = world.sign_in(&other, &policy).await;
        match by {
            OnCollision::Refuse => assert_eq!(refused(&ended), PublicMessage::AccountExists),
            OnCollision::Suffix | OnCollision::Hash => assert_ne!(ready(&ended).login, "ada"),
        }
    }
}

#[tokio::test]
async fn whoever_decides_has_the_last_word() {
    let policy = told_apart(OnCollision::Suffix);
    let people = |world: &World| world.desk.people();
    // It is theirs.
    let world = forgotten(&policy, true).await;
    assert_eq!(refused(&world.sign_in(&called("ada"), &policy).await), PublicMessage::AccountExists);
    people(&world).relink(&key_at("wiki", "ada"), &world.app.account("ada").id, "test").await.unwrap();
    assert_eq!(ready(&world.sign_in(&called("ada"), &policy).await).login, "ada");
    assert_eq!((world.app.logins(), world.record("ada").await.unwrap().in_doubt), (vec!["ada".to_owned()], None));
    // It is not.
    let world = forgotten(&policy, true).await;
    people(&world).forget(&key_at("wiki", "ada"), "test").await.unwrap();
    assert_eq!(ready(&world.sign_in(&called("ada"), &policy).await).login, "ada-2");
    assert_eq!(world.app.logins(), ["ada", "ada-2"]);
    // To try again decides nothing, until it is removed at the app.
    let world = forgotten(&policy, true).await;
    people(&world).retry(&key_at("wiki", "ada"), "test").await.unwrap();
    assert_eq!(refused(&world.sign_in(&called("ada"), &policy).await), PublicMessage::AccountExists);
    world.app.accounts.lock().unwrap().clear();
    people(&world).retry(&key_at("wiki", "ada"), "test").await.unwrap();
    assert_eq!(ready(&world.sign_in(&called("ada"), &policy).await).login, "ada");
    assert_eq!((world.app.logins(), world.app.count("create")), (vec!["ada".to_owned()], 2));
}

#[tokio::test]
async fn where_nothing_came_of_it_they_are_called_what_they_are_called_now() {
    for (username, expected) in [("ada", "ada"), ("ada-king", "ada-king")] {
        let policy = told_apart(OnCollision::Suffix);
        let world = forgotten(&policy, true).await;
        world.app.accounts.lock().unwrap().clear();
        assert_eq!(ready(&world.sign_in(&called(username), &policy).await).login, expected);
        assert_eq!(world.app.logins(), [expected]);
    }
}

#[tokio::test]
async fn where_the_app_keeps_our_mark_it_is_known_however_late() {
    for username in ["ada", "ada-king"] {
        let policy = told_apart(OnCollision::Suffix);
        let world = forgotten(&policy, false).await;
        assert_eq!(ready(&world.sign_in(&called(username), &policy).await).login, "ada");
        assert_eq!((world.app.logins(), world.app.count("create")), (vec!["ada".to_owned()], 1));
    }
}
