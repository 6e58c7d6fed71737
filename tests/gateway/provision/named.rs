//! Whom operators mean: words may fit several people, and what is done is done to the one who is meant.

use super::world::{World, key_at, person, policy, ready};
use std::sync::Arc;
use vestibule::clock::Clock as _;
use vestibule::identity::Identity;
use vestibule::policy::{Leavers, OnCollision, Policy};
use vestibule::provision::{Cause, Departure, Listed, PeopleError, Which};
use vestibule::state::{AccountKey, AccountState, Awaiting};

const ELSEWHERE: &str = "https://other.example";

/// Somebody whom another provider calls the same: no relation of whom the first one calls so.
fn namesake(subject: &str) -> Identity {
    let mut identity = person(subject, subject, &["g-ops"]);
    identity.subject.issuer = ELSEWHERE.into();
    identity.idp = "partner".into();
    identity.email = None;
    identity
}

fn key_elsewhere(subject: &str) -> AccountKey {
    let mut key = key_at("wiki", subject);
    key.subject.issuer = ELSEWHERE.into();
    key
}

fn suffixing(change: impl FnOnce(&mut Policy)) -> Arc<Policy> {
    policy(|policy| {
        policy.user.on_collision = OnCollision::Suffix;
        change(policy);
    })
}

/// Two people with one subject; the second one's account is `ada-2`.
async fn two() -> World {
    let world = World::new().await;
    let policy = suffixing(|_| {});
    ready(&world.sign_in(&person("ada", "ada", &["g-devs"]), &policy).await);
    assert_eq!(ready(&world.sign_in(&namesake("ada"), &policy).await).login, "ada-2");
    world
}

fn keys(found: &[Listed]) -> Vec<AccountKey> {
    found.iter().map(Listed::key).collect()
}

#[tokio::test]
async fn what_fits_nobody_is_nobody_and_what_fits_several_is_all_of_them() {
    let world = two().await;
    let people = world.desk.people();
    let check = async |person: &str, issuer: Option<&str>, expected: &[AccountKey]| {
        let found = match people.called("wiki", person, issuer).await {
            Err(PeopleError::NotFound { .. }) => Vec::new(),
            found => found.unwrap(),
        };
        assert_eq!(keys(&found), expected, "{person} {issuer:?}");
    };
    let (one, other) = (key_at("wiki", "ada"), key_elsewhere("ada"));
    check("nobody", None, &[]).await;
    check("ada", Some("https://third.example"), &[]).await;
    check("ADA", Some("https://third.example"), &[]).await;
    check("", None, &[]).await;
    // A subject is no exception: it is what two people are called.
    check("ada", None, &[one.clone(), other.clone()]).await;
    check("Ada", None, &[one.clone(), other.clone()]).await; // in another letter case it is a login, or a user name
    check("ada-2", None, std::slice::from_ref(&other)).await;
    check("ADA@example.com", None, std::slice::from_ref(&one)).await;
    check("ada", Some(ELSEWHERE), std::slice::from_ref(&other)).await;
    check("ADA-2", Some(ELSEWHERE), std::slice::from_ref(&other)).await;
    check("ada-2", Some("https://idp.example"), &[]).await;
    // With the issuer, a subject is exact, whatever others there are called.
    let policy = suffixing(|_| {});
    ready(&world.sign_in(&person("ada-2", "third", &[]), &policy).await);
    ready(&world.sign_in(&Identity { email: Some("ada".into()), ..person("fourth", "fourth", &[]) }, &policy).await);
    check("ada-2", None, &[key_at("wiki", "ada-2"), other.clone()]).await;
    check("ada", Some("https://idp.example"), std::slice::from_ref(&one)).await;
    check("ada", None, &[one, key_at("wiki", "fourth"), other]).await;
}

#[tokio::test]
async fn an_act_touches_the_record_of_its_key_and_no_other() {
    let world = two().await;
    let people = world.desk.people();
    let kept = async |key: &AccountKey| people.show(key).await.unwrap();
    let (one, other) = (key_at("wiki", "ada"), key_elsewhere("ada"));
    let before = kept(&one).await;
    for nobody in [key_at("crm", "ada"), key_at("wiki", "ADA"), key_at("wiki", "ada@example.com"), key_elsewhere("ada-2")] {
        assert!(matches!(people.retry(&nobody, "op").await, Err(PeopleError::NotFound { .. })), "{nobody:?}");
        assert!(matches!(people.forget(&nobody, "op").await, Err(PeopleError::NotFound { .. })), "{nobody:?}");
        assert!(matches!(people.approve(&nobody, Some(Awaiting::Account), "op").await, Err(PeopleError::NotFound { .. })), "{nobody:?}");
        assert!(matches!(people.relink(&nobody, "77", "op").await, Err(PeopleError::NotFound { .. })), "{nobody:?}");
    }
    world.app.put("spare", |_| {});
    assert_eq!(people.relink(&other, &world.app.account("spare").id, "op").await.unwrap().issuer, ELSEWHERE);
    assert_eq!((kept(&other).await.account_id, kept(&other).await.state), (Some(world.app.account("spare").id), AccountState::Pending));
    assert!(people.retry(&other, "op").await.unwrap().last_error.is_none());
    people.forget(&other, "op").await.unwrap();
    assert!(matches!(people.show(&other).await, Err(PeopleError::NotFound { .. })));
    assert_eq!(kept(&one).await, before);
    assert_eq!(people.list(None, Which::All).await.unwrap().len(), 1, "and no row was made for anybody");
}

#[tokio::test]
async fn a_yes_for_all_leavers_is_one_for_each_whatever_they_are_called() {
    let world = World::new().await;
    let leaving = suffixing(|policy| {
        policy.provision.as_mut().unwrap().leavers = Leavers { disable: true, max: 1, percent_max: 100, ..Leavers::default() };
    });
    let people = [person("first", "first", &[]), person("ada", "ada", &[]), namesake("ada"), person("bob", "bob", &[]), namesake("bob")];
    for identity in &people {
        ready(&world.sign_in(identity, &leaving).await);
    }
    let mut came = Vec::new();
    for identity in &people {
        let key = AccountKey { upstream: "wiki".into(), subject: identity.subject.clone() };
        came.push(world.desk.leaves(&key, &leaving, Cause::Access { as_of: world.clock.now() }, None).await);
    }
    assert_eq!(came[1..], [Departure::Staged, Departure::Staged, Departure::Staged, Departure::Staged]);
    let operators = world.desk.people();
    assert!(operators.approve_leavers("crm", "op").await.unwrap().is_empty());
    assert_eq!(operators.list(None, Which::Waiting).await.unwrap().len(), 4);
    let staged = operators.approve_leavers("wiki", "op").await.unwrap();
    assert_eq!((staged.len(), staged.iter().filter(|listed| listed.awaiting == Some(Awaiting::Leave)).count()), (4, 0));
    assert!(operators.list(None, Which::Waiting).await.unwrap().is_empty());
    world.desk.tend(&[Arc::clone(&leaving)], false).await;
    let off = |login: &str| world.app.account(login).disabled;
    assert_eq!(["ada", "ada-2", "bob", "bob-2"].map(off), [true; 4]);
}
