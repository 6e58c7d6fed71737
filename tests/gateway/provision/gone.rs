//! What becomes of a leaver's account at the app, way by way: removed where nobody can be switched off, without memberships, in a group that lets nobody in. And of coming back.

use super::leaving::{DAY_MS, HOUR_MS};
use super::told::{Told, events};
use super::world::*;
use std::sync::Arc;
use vestibule::clock::Clock as _;
use vestibule::connector::model::{DisableBy, MemberVerb, Verb};
use vestibule::connector::{Outcome, SwitchedOff};
use vestibule::expr::{Env, Template};
use vestibule::identity::Identity;
use vestibule::plan::Account;
use vestibule::policy::{Drift, Glob, Leavers, MatchBy, OnExisting, Policy, Provision};
use vestibule::provision::{Cause, Departure, Ensured, Off};
use vestibule::state::{AccountKey, AccountState, Awaiting};

/// An app that keeps people out in this way, and a policy by which it does.
async fn house(way: SwitchedOff, change: impl FnOnce(&mut Policy)) -> (World, Arc<Policy>) {
    let world = World::new().await;
    *world.app.off_by.lock().unwrap() = Some(way);
    (world, by(way, change))
}

fn by(way: SwitchedOff, change: impl FnOnce(&mut Policy)) -> Arc<Policy> {
    policy(|policy| {
        let provision = policy.provision.as_mut().unwrap();
        provision.leavers = Leavers { disable: way != SwitchedOff::Deleted, delete: way == SwitchedOff::Deleted, ..Leavers::default() };
        let model = Arc::get_mut(&mut provision.connector).expect("of this policy alone");
        for verb in [MemberVerb::List, MemberVerb::Remove] {
            model.verbs.insert(Verb::Members("group".to_owned(), verb), Vec::new());
        }
        model.disable_by = match way {
            SwitchedOff::Deleted => vec![DisableBy::Delete, DisableBy::Nothing],
            SwitchedOff::MembersRemoved => vec![DisableBy::MembersRemoved],
            SwitchedOff::Group => vec![DisableBy::Group { kind: "group".to_owned(), name: Template::compile(OFF, &Env::sign_in()).unwrap().0 }],
            SwitchedOff::Flag | SwitchedOff::Gone | SwitchedOff::NotAtTheApp => vec![DisableBy::Flag],
        };
        change(policy);
    })
}

fn provision(policy: &mut Policy) -> &mut Provision {
    policy.provision.as_mut().unwrap()
}

fn key(subject: &str) -> AccountKey {
    key_at("wiki", subject)
}

fn ada() -> Identity {
    person("ada", "ada", &["g-devs"])
}

async fn leaves(world: &World, subject: &str, policy: &Arc<Policy>) -> Departure {
    world.clock.advance_ms(1_000);
    world.desk.leaves(&key(subject), policy, Cause::Access { as_of: world.clock.now() }, None).await
}

async fn comes_back(world: &World, identity: &Identity, policy: &Arc<Policy>) -> Ensured {
    world.clock.advance_ms(1_000);
    world.sign_in(identity, policy).await
}

/// The state of the record, and what came of it at the app.
async fn came_to(world: &World, subject: &str) -> (AccountState, Option<Off>) {
    let listed = world.desk.people().show(&key(subject)).await.unwrap();
    (listed.state, listed.left.and_then(|left| left.off))
}

/// `action reason` of what was told.
fn heard(told: &Told) -> Vec<String> {
    let field = |event: &serde_json::Value, name: &str| event["fields"][name].as_str().unwrap_or_default().to_owned();
    events(&told.text()).iter().map(|event| format!("{} {}", field(event, "action"), field(event, "reason"))).collect()
}

// --- account = "delete" --------------------------------------------------------------------------

/// What an account has become, and how.
type Change = (&'static str, fn(&mut Account));

#[tokio::test]
async fn an_account_is_not_removed_that_the_gateway_did_not_make_or_that_is_not_what_it_was() {
    let (world, policy) = house(SwitchedOff::Deleted, |_| {}).await;
    world.app.put("ada", |_| {});
    let adopting =
        by(SwitchedOff::Deleted, |policy| (provision(policy).match_by, provision(policy).on_existing) = (vec![MatchBy::Login], OnExisting::Adopt));
    ready(&world.sign_in(&ada(), &adopting).await);
    assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
    assert_eq!((came_to(&world, "ada").await, world.app.count("delete")), ((AccountState::Suspended, Some(Off::Unsupported)), 0));
    // Nor later, nor after a yes, for which nobody is asked.
    world.clock.advance_ms(400 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!((world.app.logins(), world.app.count("delete")), (vec!["ada".to_owned()], 0));

    // Made by the gateway, and no longer what it was.
    let changes: [Change; 3] = [
        ("an administrator's", |account| account.admin = true),
        ("somebody else's", |account| account.external_id = Some("hr-17".to_owned())),
        ("protected", |account| account.login = "svc-ada".to_owned()),
    ];
    for (what, change) in changes {
        let (world, policy) = house(SwitchedOff::Deleted, |_| {}).await;
        ready(&world.sign_in(&ada(), &policy).await);
        world.app.change("ada", change);
        let policy = by(SwitchedOff::Deleted, |policy| provision(policy).switches.protect = vec![Glob::new("svc-*")]);
        assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
        let came = (came_to(&world, "ada").await, world.app.count("delete"), world.app.logins().len());
        assert_eq!(came, ((AccountState::Suspended, Some(Off::Refused)), 0, 1), "{what}");
    }

    // A policy that says `disable` removes nobody, whatever else the app could.
    let (world, _) = house(SwitchedOff::Deleted, |_| {}).await;
    let disables = by(SwitchedOff::Deleted, |policy| (provision(policy).leavers.disable, provision(policy).leavers.delete) = (true, false));
    ready(&world.sign_in(&ada(), &disables).await);
    assert_eq!(leaves(&world, "ada", &disables).await, Departure::Left);
    assert_eq!((came_to(&world, "ada").await.1, world.app.count("delete"), world.app.logins().len()), (Some(Off::Unsupported), 0, 1));
}

#[tokio::test]
async fn who_leaves_an_app_that_can_switch_nobody_off_is_removed_when_after_is_over_and_made_anew() {
    let told = Told::listen();
    let (world, policy) = house(SwitchedOff::Deleted, |policy| provision(policy).leavers.after_ms = 7 * DAY_MS).await;
    ready(&world.sign_in(&ada(), &policy).await);
    let id = world.app.account("ada").id;
    assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
    world.clock.advance_ms(6 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!((world.app.logins().len(), came_to(&world, "ada").await), (1, (AccountState::Suspending, None)));
    heard(&told);
    world.clock.advance_ms(2 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert_eq!((world.app.logins().len(), came_to(&world, "ada").await), (0, (AccountState::Deprovisioned, Some(Off::Done))));
    assert_eq!((heard(&told), world.app.count("revoke_sessions")), (vec!["account.deleted access".to_owned()], 1));
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!((world.app.count("delete"), heard(&told)), (1, Vec::new()));
    // The name stays hers.
    assert!(!matches!(comes_back(&world, &person("eve", "ada", &[]), &policy).await, Ensured::Ready(_)));
    assert!(world.app.logins().is_empty());
    ready(&comes_back(&world, &ada(), &policy).await);
    assert_eq!(
        (world.app.logins(), world.app.groups("ada"), came_to(&world, "ada").await),
        (vec!["ada".to_owned()], vec!["devs".to_owned()], (AccountState::Active, None))
    );
    assert_ne!(world.app.account("ada").id, id);
}

#[tokio::test]
async fn a_removal_whose_answer_is_lost_or_that_the_app_puts_off_is_done_once() {
    for (fault, left) in [(Fault::LostReply, 0), (Fault::Answer(Outcome::Retry), 1)] {
        let told = Told::listen();
        let (world, policy) = house(SwitchedOff::Deleted, |_| {}).await;
        ready(&world.sign_in(&ada(), &policy).await);
        world.app.fault("delete", fault.clone());
        leaves(&world, "ada", &policy).await;
        assert_eq!((came_to(&world, "ada").await, world.app.logins().len()), ((AccountState::Suspending, None), left), "{fault:?}");
        heard(&told);
        world.clock.advance_ms(61_000);
        world.desk.tend(&[Arc::clone(&policy)], false).await;
        assert_eq!((came_to(&world, "ada").await.0, world.app.logins().len()), (AccountState::Deprovisioned, 0), "{fault:?}");
        assert_eq!(heard(&told), [if left == 0 { "account.deleted it is gone" } else { "account.deleted access" }]);
    }
}

#[tokio::test]
async fn too_many_who_would_be_removed_wait_for_a_yes_and_one_yes_is_enough() {
    let max_of = |max| move |policy: &mut Policy| (provision(policy).leavers.max, provision(policy).leavers.percent_max) = (max, 100);
    let (world, policy) = house(SwitchedOff::Deleted, max_of(2)).await;
    for name in ["p0", "p1", "p2", "p3"] {
        ready(&world.sign_in(&person(name, name, &[]), &policy).await);
    }
    let mut came = Vec::new();
    for name in ["p0", "p1", "p2", "p3"] {
        came.push(leaves(&world, name, &policy).await);
    }
    assert_eq!(came, [Departure::Left, Departure::Left, Departure::Staged, Departure::Staged]);
    world.clock.advance_ms(2 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(world.app.logins(), ["p2", "p3"]);
    assert_eq!(world.desk.people().approve_leavers("wiki", "test").await.unwrap().len(), 2);
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert_eq!(world.app.logins(), Vec::<String>::new());

    // They left one by one, and are due all at once: the app was down meanwhile.
    let (world, policy) = house(SwitchedOff::Deleted, max_of(1)).await;
    for name in ["p0", "p1", "p2"] {
        ready(&world.sign_in(&person(name, name, &[]), &policy).await);
    }
    for name in ["p0", "p1", "p2"] {
        world.app.fault("get", Fault::Answer(Outcome::Retry));
        assert_eq!(leaves(&world, name, &policy).await, Departure::Left, "{name}");
        world.clock.advance_ms(2 * HOUR_MS);
    }
    for _ in 0..2 {
        world.desk.tend(&[Arc::clone(&policy)], true).await;
    }
    assert_eq!((world.app.logins(), world.app.count("delete")), (vec!["p1".to_owned(), "p2".to_owned()], 1));
    assert_eq!(world.record("p1").await.unwrap().awaiting, Some(Awaiting::Leave));
    assert_eq!(world.desk.people().approve_leavers("wiki", "test").await.unwrap().len(), 2);
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert_eq!(world.app.logins(), Vec::<String>::new());
}

/// A yes to being switched off is none to being removed later.
#[tokio::test]
async fn a_yes_to_leaving_is_not_one_to_being_removed() {
    let change = |policy: &mut Policy| {
        let leavers = &mut provision(policy).leavers;
        (leavers.max, leavers.percent_max, leavers.delete_after_ms) = (1, 100, Some(DAY_MS));
    };
    let (world, policy) = house(SwitchedOff::Flag, change).await;
    for name in ["p0", "p1", "p2"] {
        ready(&world.sign_in(&person(name, name, &[]), &policy).await);
    }
    for name in ["p0", "p1", "p2"] {
        leaves(&world, name, &policy).await;
    }
    assert_eq!(world.desk.people().approve_leavers("wiki", "test").await.unwrap().len(), 2);
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert_eq!(world.app.count("disable"), 3);
    world.clock.advance_ms(2 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(world.app.count("delete"), 1);
}

// --- delete_after --------------------------------------------------------------------------------

#[tokio::test]
async fn who_was_switched_off_by_losing_memberships_or_by_a_group_is_removed_in_the_end_unless_somebody_let_them_in_again() {
    for way in [SwitchedOff::MembersRemoved, SwitchedOff::Group] {
        for let_in in [true, false] {
            let told = Told::listen();
            let (world, policy) = house(way, |policy| provision(policy).leavers.delete_after_ms = Some(DAY_MS)).await;
            ready(&world.sign_in(&ada(), &policy).await);
            leaves(&world, "ada", &policy).await;
            let listed = world.desk.people().show(&key("ada")).await.unwrap();
            assert_eq!((listed.granted.len(), listed.left.unwrap().how), (0, Some(way)), "nothing of it is there any more");
            heard(&told);
            if let_in {
                world.app.change("ada", |account| {
                    account.disabled = false;
                    account.memberships.get_mut("group").unwrap().insert("web".to_owned(), None);
                });
            }
            world.clock.advance_ms(2 * DAY_MS);
            for _ in 0..2 {
                world.desk.tend(&[Arc::clone(&policy)], true).await;
            }
            let (expected, logins) = if let_in {
                ("drift.detected switched on at the app after its person had left", 1)
            } else {
                ("account.deleted delete_after is over", 0)
            };
            assert_eq!((heard(&told), world.app.logins().len()), (vec![expected.to_owned()], logins), "{way:?}");
        }
    }
}

// --- coming back ---------------------------------------------------------------------------------

#[tokio::test]
async fn who_comes_back_gets_again_what_switching_off_took_and_it_is_no_drift() {
    for way in [SwitchedOff::MembersRemoved, SwitchedOff::Group] {
        for drift in [Drift::Report, Drift::Correct] {
            for when in [vestibule::policy::Sync::Login, vestibule::policy::Sync::Create] {
                for lost in [false, true] {
                    let told = Told::listen();
                    let change = |policy: &mut Policy| {
                        provision(policy).drift = drift;
                        policy.roles.as_mut().unwrap().sync = when;
                    };
                    let (world, policy) = house(way, change).await;
                    ready(&world.sign_in(&ada(), &policy).await);
                    if lost {
                        world.app.fault("disable", Fault::LostReply);
                    }
                    leaves(&world, "ada", &policy).await;
                    assert!(!world.app.groups("ada").contains(&"devs".to_owned()));
                    heard(&told);
                    ready(&comes_back(&world, &ada(), &policy).await);
                    let what = format!("{way:?} {drift:?} {when:?} lost: {lost}");
                    assert_eq!((world.app.groups("ada"), world.app.account("ada").disabled), (vec!["devs".to_owned()], false), "{what}");
                    let heard = heard(&told);
                    assert!(
                        !heard.iter().any(|event| event.starts_with("drift")) && heard.contains(&"role.granted add group devs".to_owned()),
                        "{what}: {heard:?}"
                    );
                    // What somebody takes away from now on is drift, where it was to be kept in step.
                    world.app.change("ada", |account| account.memberships.get_mut("group").unwrap().clear());
                    world.clock.advance_ms(30 * HOUR_MS);
                    ready(&comes_back(&world, &ada(), &policy).await);
                    let again = when == vestibule::policy::Sync::Login && drift == Drift::Correct;
                    assert_eq!(world.app.groups("ada").len(), usize::from(again), "{what}");
                }
            }
        }
    }
}

/// A flag takes no membership: what is missing then, somebody took.
#[tokio::test]
async fn what_somebody_took_away_meanwhile_is_still_drift_where_a_flag_switched_off() {
    let told = Told::listen();
    let (world, policy) = house(SwitchedOff::Flag, |policy| provision(policy).drift = Drift::Report).await;
    ready(&world.sign_in(&ada(), &policy).await);
    leaves(&world, "ada", &policy).await;
    world.app.change("ada", |account| account.memberships.get_mut("group").unwrap().clear());
    heard(&told);
    ready(&comes_back(&world, &ada(), &policy).await);
    assert_eq!(
        (heard(&told), world.app.groups("ada").len()),
        (vec!["drift.detected group devs".to_owned(), "account.enabled let in again".to_owned()], 0)
    );
}

/// Before anything was sent to the app, nothing was taken by us.
#[tokio::test]
async fn what_somebody_took_away_before_after_was_over_is_drift_as_well() {
    let change = |policy: &mut Policy| (provision(policy).drift, provision(policy).leavers.after_ms) = (Drift::Report, 7 * DAY_MS);
    let (world, policy) = house(SwitchedOff::MembersRemoved, change).await;
    ready(&world.sign_in(&ada(), &policy).await);
    leaves(&world, "ada", &policy).await;
    world.app.change("ada", |account| account.memberships.get_mut("group").unwrap().clear());
    ready(&comes_back(&world, &ada(), &policy).await);
    let listed = world.desk.people().show(&key("ada")).await.unwrap();
    assert_eq!((listed.drift, world.app.groups("ada").len()), (vec!["group devs".to_owned()], 0));
}

#[tokio::test]
async fn a_membership_that_is_required_is_required_of_who_comes_back() {
    for way in [SwitchedOff::MembersRemoved, SwitchedOff::Group] {
        let change = |policy: &mut Policy| {
            provision(policy).drift = Drift::Report;
            policy.roles.as_mut().unwrap().required = true;
        };
        let (world, policy) = house(way, change).await;
        ready(&world.sign_in(&ada(), &policy).await);
        leaves(&world, "ada", &policy).await;
        for _ in 0..4 {
            world.app.fault("add group devs", Fault::Answer(Outcome::Denied));
        }
        let came = comes_back(&world, &ada(), &policy).await;
        assert!(!matches!(came, Ensured::Ready(_)), "{way:?}: {came:?}");
        // The next try goes on from there.
        world.app.forget_faults();
        world.clock.advance_ms(HOUR_MS);
        ready(&comes_back(&world, &ada(), &policy).await);
        assert_eq!(world.app.groups("ada"), ["devs"], "{way:?}");
    }
}

/// Half-way back, and gone again: what was granted meanwhile is taken away, and all of it comes with the next return.
#[tokio::test]
async fn who_leaves_again_half_way_back_keeps_nothing() {
    for way in [SwitchedOff::MembersRemoved, SwitchedOff::Group] {
        for when in [vestibule::policy::Sync::Login, vestibule::policy::Sync::Create] {
            let change = |policy: &mut Policy| {
                provision(policy).drift = Drift::Report;
                let roles = policy.roles.as_mut().unwrap();
                (roles.required, roles.sync) = (true, when);
            };
            let (world, policy) = house(way, change).await;
            let both = person("ada", "ada", &["g-devs", "g-ops"]);
            ready(&world.sign_in(&both, &policy).await);
            leaves(&world, "ada", &policy).await;
            for _ in 0..4 {
                world.app.fault("add group ops", Fault::Answer(Outcome::Retry));
            }
            let came = comes_back(&world, &both, &policy).await;
            assert!(!matches!(came, Ensured::Ready(_)), "{way:?}: {came:?}");
            assert_eq!(world.app.groups("ada"), ["devs"], "{way:?}");
            world.app.forget_faults();
            assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
            assert!(!world.app.groups("ada").contains(&"devs".to_owned()), "{way:?}");
            ready(&comes_back(&world, &both, &policy).await);
            assert_eq!(world.app.groups("ada"), ["devs", "ops"], "{way:?} {when:?}");
        }
    }
}
