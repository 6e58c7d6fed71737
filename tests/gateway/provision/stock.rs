//! An app's own list of accounts against our records.

use super::world::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vestibule::connector::Outcome;
use vestibule::policy::{Glob, MatchBy, OnExisting};
use vestibule::provision::StockError;

#[tokio::test]
async fn half_a_list_says_nothing() {
    let world = World::new().await;
    let policy = policy(|_| {});
    for name in ["a", "b", "c"] {
        ready(&world.sign_in(&person(name, name, &[]), &policy).await);
    }
    for outcome in [Outcome::Retry, Outcome::Reauth, Outcome::Denied] {
        world.app.fault("list", Fault::Answer(outcome));
        assert!(matches!(world.desk.take_stock(&policy).await, Err(StockError::Trouble(trouble)) if trouble.outcome == outcome));
    }
    // The second page does not come.
    world.app.fault("list from 2", Fault::Answer(Outcome::Retry));
    assert!(matches!(world.desk.take_stock(&policy).await, Err(StockError::Trouble(trouble)) if trouble.outcome == Outcome::Retry));
    assert_eq!(world.desk.take_stock(&policy).await.unwrap().unwrap().accounts, 3);
    // An app that has no list is no mistake.
    world.app.fault("list", Fault::Answer(Outcome::Unsupported));
    assert_eq!(world.desk.take_stock(&policy).await.unwrap(), None);
}

#[tokio::test]
async fn what_nobody_answers_for_is_told_and_left_alone() {
    let world = World::new().await;
    let policy = policy(|policy| policy.provision.as_mut().unwrap().switches.protect = vec![Glob::new("breakglass")]);
    for name in ["ada", "bob", "cleo"] {
        ready(&world.sign_in(&person(name, name, &["g-devs"]), &policy).await);
    }
    world.app.put("handmade", |_| {});
    world.app.put("boss", |account| account.admin = true);
    world.app.put("breakglass", |account| account.admin = true);
    world.app.put("lost", |account| account.external_id = Some("vestibule-00000000000000000000000000000000".into()));
    world.app.accounts.lock().unwrap().retain(|account| account.login != "bob");
    let (before, calls) = (format!("{:?}", world.app.accounts.lock().unwrap()), world.app.all_calls());
    let stock = world.desk.take_stock(&policy).await.unwrap().unwrap();
    assert_eq!((stock.accounts, stock.unmanaged), (6, 4));
    assert_eq!((stock.privileged.count, stock.privileged.named), (1, vec!["boss (5)".to_owned()]));
    assert_eq!((stock.orphaned.count, stock.orphaned.named), (1, vec!["lost (7)".to_owned()]));
    assert_eq!((stock.vanished.count, stock.vanished.named), (1, vec!["bob (2)".to_owned()]));
    assert_eq!((before, calls + 3), (format!("{:?}", world.app.accounts.lock().unwrap()), world.app.all_calls()), "three pages, and nothing else");
    // Whoever is linked and left alone has a record all the same.
    let lookers = linking(&[MatchBy::Login], OnExisting::Leave);
    ready(&world.sign_in(&person("handmade", "handmade", &[]), &lookers).await);
    assert_eq!(world.desk.take_stock(&policy).await.unwrap().unwrap().unmanaged, 3);
}

#[tokio::test]
async fn an_account_in_the_making_is_nobodys_orphan() {
    let world = World::new().await;
    let policy = policy(|_| {});
    world.app.fault("create", Fault::Hang);
    let session = world.session(&person("ada", "ada", &[])).await;
    let world = Arc::new(world);
    let making = {
        let (world, policy, session) = (world.clone(), policy.clone(), session.clone());
        tokio::spawn(async move { world.ensure(&session, &policy).await })
    };
    while !world.app.hung.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    let stock = world.desk.take_stock(&policy).await.unwrap().unwrap();
    assert_eq!((stock.accounts, stock.unmanaged, stock.orphaned.count), (1, 0, 0));
    // Nobody has come for it since: told like any other.
    world.clock.advance_ms(20 * 60_000);
    assert_eq!(world.desk.take_stock(&policy).await.unwrap().unwrap().orphaned.count, 1);
    making.abort();
}
