//! Who leaves again before they were all the way back, whose account is a conflict when they leave, and who is told of it meanwhile.

use super::leaving::{DAY_MS, HOUR_MS, ada, leavers, policy_like};
use super::renaming::Forgotten;
use super::world::*;
use std::sync::Arc;
use vestibule::clock::Clock as _;
use vestibule::connector::Outcome;
use vestibule::fault::PublicMessage;
use vestibule::policy::Policy;
use vestibule::policy::switches::WhenDisabled;
use vestibule::provision::{Cause, Departure, Listed, Off};
use vestibule::state::{AccountState, Awaiting, RecordedSignIn};

const MINUTE_MS: i64 = 60_000;

async fn leaves(world: &World, policy: &Arc<Policy>) -> Departure {
    world.desk.leaves(&key_at("wiki", "ada"), policy, Cause::Access { as_of: world.clock.now() }, None).await
}

async fn listed(world: &World) -> Listed {
    world.desk.people().show(&key_at("wiki", "ada")).await.unwrap()
}

/// The account is switched on first, and what comes after it does not work: nothing of that may keep the account on once they leave again.
#[tokio::test]
async fn who_leaves_again_before_they_were_all_the_way_back_is_switched_off_again() {
    for (call, outcome, message) in [
        ("add group ops", Outcome::Retry, PublicMessage::AccountUnavailable),
        ("remove group devs", Outcome::Retry, PublicMessage::AccountUnavailable),
        ("enable", Outcome::InDoubt, PublicMessage::AccountUnavailable),
    ] {
        let world = World::new().await;
        let policy = policy_like(&leavers(|_| {}), |provision| provision.retries = 0);
        ready(&world.sign_in(&ada(), &policy).await);
        assert_eq!(leaves(&world, &policy).await, Departure::Left);
        world.clock.advance_ms(MINUTE_MS);
        world.app.fault(call, Fault::Answer(outcome));
        let back = world.sign_in(&person("ada", "ada", &["g-ops"]), &policy).await;
        if call != "add group ops" {
            assert_eq!(refused(&back), message, "{call}");
        }
        assert_eq!(world.app.account("ada").disabled, call == "enable", "{call}");
        world.clock.advance_ms(MINUTE_MS);
        assert_eq!(leaves(&world, &policy).await, Departure::Left, "{call}: {:?}", listed(&world).await);
        assert!(world.app.account("ada").disabled, "{call}");
        assert_eq!(listed(&world).await.state, AccountState::Suspended, "{call}");
        // And what was switched off by us twice is switched on by us again.
        world.clock.advance_ms(MINUTE_MS);
        ready(&world.sign_in(&ada(), &policy).await);
        assert_eq!((world.app.account("ada").disabled, world.app.groups("ada")), (false, vec!["devs".to_owned()]), "{call}");
    }
}

/// `delete_after` blames nobody for what this gateway did itself.
#[tokio::test]
async fn an_account_that_was_switched_on_half_way_is_no_drift() {
    let world = World::new().await;
    let policy = policy_like(&leavers(|leavers| leavers.delete_after_ms = Some(DAY_MS)), |provision| provision.retries = 0);
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    world.app.fault("remove group devs", Fault::Answer(Outcome::Retry));
    assert_eq!(refused(&world.sign_in(&person("ada", "ada", &[]), &policy).await), PublicMessage::AccountUnavailable);
    world.clock.advance_ms(2 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!((world.app.count("delete"), listed(&world).await.state), (0, AccountState::Pending));
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    world.clock.advance_ms(2 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert!(world.app.logins().is_empty(), "off, and removed a day later: {:?}", listed(&world).await);
}

/// She has renamed herself at the app, so that no header may name her: and then she is fired.
#[tokio::test]
async fn whose_account_has_another_login_by_now_is_switched_off_when_a_human_says_so() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    ready(&world.sign_in(&ada(), &policy).await);
    world.app.change("ada", |account| account.login = "countess".to_owned());
    world.clock.advance_ms(2 * HOUR_MS);
    assert_eq!(refused(&world.sign_in(&ada(), &policy).await), PublicMessage::AccountExists);
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    world.clock.advance_ms(DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert!(!world.app.account("countess").disabled, "not without a yes");
    assert_eq!((listed(&world).await.state, listed(&world).await.awaiting), (AccountState::Suspending, Some(Awaiting::Leave)));
    world.desk.people().approve(&key_at("wiki", "ada"), Some(Awaiting::Leave), "test").await.unwrap();
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert!(world.app.account("countess").disabled);
    // Let in again before anybody has said yes: a conflict as it was, and nothing to say yes to.
    let world = World::new().await;
    ready(&world.sign_in(&ada(), &policy).await);
    world.app.change("ada", |account| account.login = "countess".to_owned());
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    assert_eq!(listed(&world).await.awaiting, Some(Awaiting::Leave));
    world.clock.advance_ms(MINUTE_MS);
    assert_eq!(refused(&world.sign_in(&ada(), &policy).await), PublicMessage::AccountExists);
    let now = listed(&world).await;
    assert_eq!((now.state, now.awaiting, now.left), (AccountState::Conflict, None, None));
}

/// A group that the app does not have makes everybody's record a conflict: whose account it is, is as certain as before.
#[tokio::test]
async fn a_conflict_that_is_not_about_whose_account_it_is_keeps_no_leaver_in() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    ready(&world.sign_in(&ada(), &policy).await);
    world.app.fault("add group ops", Fault::Answer(Outcome::Absent));
    assert_eq!(refused(&world.sign_in(&person("ada", "ada", &["g-devs", "g-ops"]), &policy).await), PublicMessage::AccountFailed);
    assert_eq!(listed(&world).await.state, AccountState::Conflict);
    world.clock.advance_ms(MINUTE_MS);
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    assert!(world.app.account("ada").disabled);
}

/// Let in again while the app does not answer: what was due of her as a leaver is due no more, whatever becomes of her job.
#[tokio::test]
async fn who_is_back_loses_nothing_by_having_left() {
    let world = World::new().await;
    let policy = policy_like(&leavers(|leavers| leavers.after_ms = 7 * DAY_MS), |provision| provision.retries = 0);
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    world.clock.advance_ms(7 * DAY_MS);
    world.app.down.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(refused(&world.sign_in(&ada(), &policy).await), PublicMessage::AccountUnavailable);
    world.app.down.store(false, std::sync::atomic::Ordering::SeqCst);
    world.clock.advance_ms(MINUTE_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!((world.app.count("disable"), listed(&world).await.left), (0, None));
    // Nor by what was to be removed, and off all the while.
    let world = World::new().await;
    let policy = policy_like(&leavers(|leavers| leavers.delete_after_ms = Some(DAY_MS)), |provision| provision.retries = 0);
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    world.clock.advance_ms(2 * DAY_MS);
    world.app.down.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(refused(&world.sign_in(&ada(), &policy).await), PublicMessage::AccountUnavailable);
    world.app.down.store(false, std::sync::atomic::Ordering::SeqCst);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(world.app.logins(), ["ada"]);
    world.clock.advance_ms(MINUTE_MS);
    ready(&world.sign_in(&ada(), &policy).await);
    assert!(!world.app.account("ada").disabled, "off by us, and on again by us");
}

/// What is kept although `delete_after` is over stays off by us: whoever comes back is switched on again.
#[tokio::test]
async fn what_is_not_removed_is_still_off_by_us() {
    let world = World::new().await;
    let policy = leavers(|leavers| leavers.delete_after_ms = Some(DAY_MS));
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    world.app.change("ada", |account| account.admin = true);
    world.clock.advance_ms(2 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!((world.app.count("delete"), listed(&world).await.left.unwrap().off), (0, Some(Off::Done)));
    world.app.change("ada", |account| account.admin = false);
    ready(&world.sign_in(&ada(), &policy).await);
    assert!(!world.app.account("ada").disabled);
}

/// `delete_after` begins when the account is off, not when its person left.
#[tokio::test]
async fn an_account_is_removed_so_long_after_it_was_switched_off() {
    let world = World::new().await;
    let policy = leavers(|leavers| (leavers.after_ms, leavers.delete_after_ms) = (30 * DAY_MS, Some(30 * DAY_MS)));
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    for (days, left) in [(31, 1), (29, 1), (2, 0)] {
        world.clock.advance_ms(days * DAY_MS);
        world.desk.tend(&[Arc::clone(&policy)], true).await;
        assert_eq!(world.app.logins().len(), left, "{days}");
    }
}

/// An account that is somebody else's by now is not switched off, not even by a yes to another one.
#[tokio::test]
async fn an_account_that_is_another_persons_by_now_is_not_switched_off() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    ready(&world.sign_in(&ada(), &policy).await);
    world.app.change("ada", |account| account.external_id = Some("vestibule-2".to_owned()));
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    assert!(!world.app.account("ada").disabled);
    assert_eq!((listed(&world).await.state, listed(&world).await.left.unwrap().off), (AccountState::Suspended, Some(Off::Refused)));
}

/// The app's own administrator has locked the account before its person left: whoever comes back does not find it unlocked.
#[tokio::test]
async fn what_was_off_before_somebody_left_stays_off_when_they_come_back() {
    let world = World::new().await;
    let policy = leavers(|leavers| leavers.delete_after_ms = Some(DAY_MS));
    ready(&world.sign_in(&ada(), &policy).await);
    world.app.change("ada", |account| account.disabled = true);
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    // It is said all the same: a lock by the app itself may be over soon.
    assert_eq!((world.app.count("disable"), listed(&world).await.left.unwrap().off), (1, Some(Off::Before)));
    world.clock.advance_ms(2 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(world.app.logins(), ["ada"], "nor is it removed");
    assert_eq!(refused(&world.sign_in(&ada(), &policy).await), PublicMessage::AccountExists);
    assert!(world.app.account("ada").disabled);
}

/// An older session, open in another browser, is not announced on the strength of what it was let in by.
#[tokio::test]
async fn who_has_left_and_whom_an_operator_has_acted_on_are_announced_by_no_pass_from_before() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    let forgotten = Arc::new(Forgotten::default());
    world.desk.set_passes(forgotten.clone());
    let told = || std::mem::take(&mut *forgotten.0.lock().unwrap());
    let before = world.session(&ada()).await;
    ready(&world.ensure(&before, &policy).await);
    told();
    world.clock.advance_ms(MINUTE_MS);
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    assert_eq!(told(), [key_at("wiki", "ada")]);
    assert_eq!(refused(&world.ensure(&before, &policy).await), PublicMessage::SignInRequired);
    ready(&world.sign_in(&ada(), &policy).await);
    told();
    world.app.put("other", |_| {});
    let people = world.desk.people();
    people.relink(&key_at("wiki", "ada"), &world.app.account("other").id, "test").await.unwrap();
    assert_eq!(told(), [key_at("wiki", "ada")]);
    people.retry(&key_at("wiki", "ada"), "test").await.unwrap();
    assert_eq!(told(), [key_at("wiki", "ada")]);
}

/// A look of `reconcile` at an account every night is no visit, and a visit while accounts were switched off is one.
#[tokio::test]
async fn idle_counts_who_came_and_not_who_was_looked_at() {
    let world = World::new().await;
    let policy = leavers(|leavers| leavers.idle_ms = Some(90 * DAY_MS));
    let off = policy_like(&policy, |provision| {
        (provision.switches.enabled, provision.switches.when_disabled) = (false, WhenDisabled::AllowLinked);
    });
    let daily = person("bob", "bob", &["g-devs"]);
    for identity in [ada(), daily.clone()] {
        ready(&world.sign_in(&identity, &policy).await);
        world.sign_ins().record(&RecordedSignIn { identity, auth_time: world.clock.now(), at: world.clock.now() }).await.unwrap();
    }
    // One session of months; the sign-in is as old as hers.
    let session = world.session(&daily).await;
    for day in 0..92 {
        world.clock.advance_ms(DAY_MS);
        let now = if day < 60 { &off } else { &policy };
        ready(&world.ensure(&session, now).await);
        world.desk.tend(&[Arc::clone(now)], true).await;
        if day >= 60 {
            world.desk.reconcile(&policy, &world.sign_ins(), false, &|_| {}).await.unwrap();
        }
    }
    assert_eq!((world.app.account("ada").disabled, world.app.account("bob").disabled), (true, false));
}
