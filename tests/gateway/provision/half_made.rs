//! People for whom a create was sent, whose gateway was killed before it knew the answer, and who may not come any more.

use super::leaving::{DAY_MS, ada, leavers};
use super::world::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vestibule::clock::{Clock as _, Timestamp};
use vestibule::connector::Outcome;
use vestibule::fault::{Incident, PublicMessage};
use vestibule::policy::{Gate, Glob, Leavers, Policy};
use vestibule::provision::{Asking, Cause, Departure, Ensured, Left, Off};
use vestibule::state::{AccountState, Origin, RecordedSignIn, SignInStore};

const MINUTE_MS: i64 = 60_000;

/// The create has reached the app, and the gateway is killed before it hears of it; a minute goes by.
async fn killed_while_making(world: &World, policy: &Arc<Policy>) {
    world.app.fault("create", Fault::Hang);
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let desk = world.another(doomed.handle(), "gateway-1");
    let session = world.session(&ada()).await;
    assert!(matches!(desk.ensure(&session, policy, Incident::from_bytes([7; 5]), Asking::page(0)).await, Ensured::Working));
    while !world.app.hung.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    doomed.shutdown_background();
    let record = world.record("ada").await.unwrap();
    assert_eq!((record.account_id, record.in_doubt.is_some(), world.app.logins()), (None, true, vec!["ada".to_owned()]));
    world.clock.advance_ms(MINUTE_MS);
}

/// As above, but the create never got there.
async fn lost_on_the_way(world: &World, policy: &Arc<Policy>) {
    for _ in 0..3 {
        world.app.fault("create", Fault::Answer(Outcome::InDoubt));
    }
    assert_eq!(refused(&world.sign_in(&ada(), policy).await), PublicMessage::AccountUnavailable);
    world.app.forget_faults();
    let record = world.record("ada").await.unwrap();
    assert_eq!((record.account_id, record.in_doubt.is_some(), world.app.logins()), (None, true, Vec::new()));
    world.clock.advance_ms(MINUTE_MS);
}

async fn leaves(world: &World, policy: &Arc<Policy>) -> Departure {
    world.desk.leaves(&key_at("wiki", "ada"), policy, Cause::Access { as_of: world.clock.now() }, None).await
}

async fn left(world: &World) -> (AccountState, Option<Left>) {
    let listed = world.desk.people().show(&key_at("wiki", "ada")).await.unwrap();
    (listed.state, listed.left)
}

#[tokio::test]
async fn an_account_whose_create_was_never_recorded_is_found_and_switched_off() {
    for without_external_ids in [false, true] {
        let world = World::new().await;
        world.app.without_external_ids.store(without_external_ids, Ordering::SeqCst);
        let policy = leavers(|_| {});
        killed_while_making(&world, &policy).await;
        assert_eq!(leaves(&world, &policy).await, Departure::Left);
        assert!(world.app.account("ada").disabled, "without ids: {without_external_ids}");
        let record = world.record("ada").await.unwrap();
        assert_eq!((record.state, record.origin, record.in_doubt), (AccountState::Suspended, Some(Origin::Created), None));
        // Let in again: the one account, on again, with what they are to have, all of which can be taken back.
        world.clock.advance_ms(MINUTE_MS);
        assert_eq!(ready(&world.sign_in(&ada(), &policy).await).login, "ada");
        assert_eq!((world.app.account("ada").disabled, world.app.count("create"), world.app.groups("ada")), (false, 1, vec!["devs".to_owned()]));
        world.clock.advance_ms(MINUTE_MS);
        ready(&world.sign_in(&person("ada", "ada", &[]), &policy).await);
        assert!(world.app.groups("ada").is_empty());
    }
}

#[tokio::test]
async fn it_is_found_at_once_and_switched_off_when_the_delay_is_over() {
    let world = World::new().await;
    world.app.without_external_ids.store(true, Ordering::SeqCst);
    let policy = leavers(|leavers| leavers.after_ms = DAY_MS);
    killed_while_making(&world, &policy).await;
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    assert!(world.record("ada").await.unwrap().account_id.is_some() && !world.app.account("ada").disabled);
    world.clock.advance_ms(DAY_MS - MINUTE_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert!(!world.app.account("ada").disabled);
    world.clock.advance_ms(MINUTE_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert!(world.app.account("ada").disabled);
}

#[tokio::test]
async fn an_app_that_is_down_is_asked_again() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    killed_while_making(&world, &policy).await;
    world.app.fault("find", Fault::Answer(Outcome::Retry));
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    assert_eq!((world.record("ada").await.unwrap().state, world.app.count("disable")), (AccountState::Suspending, 0));
    world.clock.advance_ms(2 * MINUTE_MS);
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert!(world.app.account("ada").disabled);
}

#[tokio::test]
async fn what_never_came_to_be_is_waited_for_and_then_forgotten() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    lost_on_the_way(&world, &policy).await;
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    assert_eq!(left(&world).await.0, AccountState::Suspending, "it may show yet");
    world.clock.advance_ms(20 * MINUTE_MS);
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert!(world.record("ada").await.is_none(), "of somebody who has nothing at the app nothing is kept");
    assert_eq!(world.app.count("disable"), 0);
    // And it was late only: it shows in the meantime.
    let world = World::new().await;
    killed_while_making(&world, &policy).await;
    let late = std::mem::take(&mut *world.app.accounts.lock().unwrap());
    assert_eq!(leaves(&world, &policy).await, Departure::Left);
    assert_eq!(world.app.count("disable"), 0);
    *world.app.accounts.lock().unwrap() = late;
    world.clock.advance_ms(20 * MINUTE_MS);
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert!(world.app.account("ada").disabled);
}

/// Nobody's account is switched off because it has the login that somebody was to get.
#[tokio::test]
async fn an_account_that_is_not_known_to_be_theirs_is_left_alone() {
    type Case = (&'static str, bool, i64, fn(&mut vestibule::plan::Account));
    let cases: [Case; 4] = [
        ("made by somebody else: where the app keeps our mark, it carries none", false, 0, |_| {}),
        ("the mark of another person", false, 0, |account| account.external_id = Some("vestibule-2".to_owned())),
        ("an administrator's", true, 0, |account| account.admin = true),
        ("too long ago to be ours for certain", true, 16 * MINUTE_MS, |_| {}),
    ];
    for (case, without_external_ids, later_ms, change) in cases {
        let world = World::new().await;
        world.app.without_external_ids.store(without_external_ids, Ordering::SeqCst);
        let policy = leavers(|_| {});
        lost_on_the_way(&world, &policy).await;
        world.clock.advance_ms(later_ms);
        world.app.put("ada", change);
        assert_eq!(leaves(&world, &policy).await, Departure::Left, "{case}");
        let (state, left) = left(&world).await;
        assert_eq!((state, left.unwrap().off), (AccountState::Suspended, Some(Off::Refused)), "{case}");
        world.clock.advance_ms(DAY_MS);
        world.desk.tend(&[Arc::clone(&policy)], true).await;
        assert_eq!((world.app.count("disable"), world.app.account("ada").disabled), (0, false), "{case}");
    }
}

#[tokio::test]
async fn who_never_came_back_after_it_is_idle_one_day() {
    let world = World::new().await;
    let policy = leavers(|leavers| leavers.idle_ms = Some(90 * DAY_MS));
    killed_while_making(&world, &policy).await;
    world.clock.advance_ms(89 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(world.app.count("disable"), 0);
    world.clock.advance_ms(2 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert!(world.app.account("ada").disabled);
}

/// A page that is still open from an older sign-in does not undo what a newer one was making.
#[tokio::test]
async fn an_older_sign_in_takes_nothing_from_an_account_in_the_making() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    let before = Timestamp::from_millis(world.clock.now().millis() - 1);
    killed_while_making(&world, &policy).await;
    assert_eq!(world.desk.leaves(&key_at("wiki", "ada"), &policy, Cause::Access { as_of: before }, None).await, Departure::Nothing);
}

#[tokio::test]
async fn reconcile_finds_them_without_anybody_coming() {
    for may_come in [false, true] {
        let world = World::new().await;
        let policy = policy(|policy| {
            policy.access = Gate { groups: vec![Glob::new(if may_come { "g-devs" } else { "g-ops" })], ..Gate::default() };
            policy.provision.as_mut().unwrap().leavers = Leavers { disable: true, ..Leavers::default() };
        });
        let sign_in = RecordedSignIn { identity: ada(), auth_time: world.clock.now(), at: world.clock.now() };
        world.sign_ins().record(&sign_in).await.unwrap();
        killed_while_making(&world, &policy).await;
        let sign_ins: Arc<dyn SignInStore> = world.sign_ins();
        let found = world.desk.reconcile(&policy, &sign_ins, false, &|_| {}).await.unwrap();
        assert_eq!((found.people, found.left, found.changed), (1, u64::from(!may_come), u64::from(may_come)));
        assert_eq!(world.app.account("ada").disabled, !may_come);
        assert_eq!((world.app.count("create"), world.record("ada").await.unwrap().origin), (1, Some(Origin::Created)));
    }
}
