//! The desk with the real engine and scripted admin APIs over HTTP: SCIM, JupyterHub, and Redmine by a policy's own steps.

use super::world::{World, person, policy, ready, refused};
use crate::connector::{REDMINE, engine, own_steps, vars};
use crate::fake_admin::{FakeAdmin, Fault, Flavour, User};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use vestibule::connector::{Connector, builtin};
use vestibule::fault::PublicMessage;
use vestibule::identity::Identity;
use vestibule::policy::{Glob, MatchBy, OnExisting, Policy};

pub(super) const ALL: [Flavour; 3] = [Flavour::Scim, Flavour::Hub, Flavour::Redmine];

/// A fake with the groups Developer and Manager, a desk that speaks to it, and the policy.
pub(super) async fn start(flavour: Flavour, change: impl FnOnce(&mut Policy)) -> (World, FakeAdmin, Arc<Policy>) {
    let (world, fake) = (World::new().await, FakeAdmin::start(flavour).await);
    fake.add_group("14", "Developer");
    fake.add_group("12", "Manager");
    world.desk.install(HashMap::from([("wiki".to_owned(), Arc::new(engine(&fake, flavour, &json!({}))) as Arc<dyn Connector>)]));
    let policy = policy(|policy| {
        let provision = policy.provision.as_mut().unwrap();
        let name = match flavour {
            Flavour::Scim => "scim",
            Flavour::Hub => "jupyterhub",
            Flavour::Redmine => "rest",
            Flavour::Grafana => "grafana",
        };
        provision.connector = builtin::named(name).expect("built in");
        if flavour == Flavour::Redmine {
            provision.steps = own_steps(REDMINE).0;
        }
        policy.vars = vars();
        policy.roles.as_mut().unwrap().map = vec![(Glob::new("devs"), "Developer".into()), (Glob::new("boss"), "Manager".into())];
        change(policy);
    });
    (world, fake, policy)
}

pub(super) fn ada(groups: &[&str]) -> Identity {
    Identity { given_name: Some("Ada".into()), family_name: Some("Lovelace".into()), ..person("ada", "ada", groups) }
}

pub(super) fn logins(fake: &FakeAdmin) -> Vec<String> {
    fake.users().into_iter().map(|user| user.login).collect()
}

/// Names of the groups that have members.
fn joined(fake: &FakeAdmin) -> Vec<String> {
    fake.groups().into_iter().filter(|group| !group.members.is_empty()).map(|group| group.name).collect()
}

fn create(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Scim => "POST /Users",
        Flavour::Hub => "POST /hub/api/users/ada",
        Flavour::Redmine => "POST /users.json",
        Flavour::Grafana => "POST /api/admin/users",
    }
}

#[tokio::test]
async fn a_newcomer_is_made_joined_left_alone_and_taken_out_again() {
    for flavour in ALL {
        let (world, fake, policy) = start(flavour, |_| {}).await;
        assert_eq!(ready(&world.sign_in(&ada(&["devs", "boss"]), &policy).await).login, "ada", "{flavour:?}");
        assert_eq!((logins(&fake), joined(&fake)), (vec!["ada".to_owned()], vec!["Developer".to_owned(), "Manager".to_owned()]), "{flavour:?}");
        assert_eq!(fake.take_lines().iter().filter(|line| line.starts_with(create(flavour))).count(), 1);
        ready(&world.sign_in(&ada(&["devs", "boss"]), &policy).await);
        assert!(fake.take_seen().is_empty(), "{flavour:?}");
        ready(&world.sign_in(&ada(&["devs"]), &policy).await);
        assert_eq!(joined(&fake), ["Developer"], "{flavour:?}");
        // After an hour it is looked at, and nothing is changed.
        fake.take_seen();
        world.clock.advance_ms(2 * 3_600_000);
        ready(&world.sign_in(&ada(&["devs"]), &policy).await);
        let seen = fake.take_lines();
        assert!(!seen.is_empty() && seen.iter().all(|line| line.starts_with("GET ")), "{flavour:?}: {seen:?}");
    }
}

#[tokio::test]
async fn j3_j5_whatever_becomes_of_the_answer_to_a_create_there_is_one_account_and_it_is_adas() {
    for flavour in ALL {
        for fault in [Fault::DropAfter, Fault::Truncated, Fault::DropBefore, Fault::Html, Fault::Status(500), Fault::Status(503), Fault::WrongUser] {
            let (world, fake, policy) = start(flavour, |_| {}).await;
            fake.fail_next(create(flavour), fault.clone());
            let mut ended = world.sign_in(&ada(&["devs"]), &policy).await;
            if !matches!(ended, vestibule::provision::Ensured::Ready(_)) {
                assert!(
                    matches!(refused(&ended), PublicMessage::AccountUnavailable | PublicMessage::AccountFailed),
                    "{flavour:?} {fault:?}: {ended:?}"
                );
                world.clock.advance_ms(2_000);
                ended = world.sign_in(&ada(&["devs"]), &policy).await;
            }
            assert_eq!(ready(&ended).login, "ada", "{flavour:?} {fault:?}");
            assert_eq!((logins(&fake), joined(&fake)), (vec!["ada".to_owned()], vec!["Developer".to_owned()]), "{flavour:?} {fault:?}");
        }
    }
}

/// Ada's create never got there. Meanwhile another Ada was made, by somebody else: the two stay two.
#[tokio::test]
async fn a_create_that_never_happened_is_no_claim_to_an_account_made_since() {
    const MINUTE_MS: i64 = 60_000;
    for (external_id, wait_ms) in [(Some("hr-17"), MINUTE_MS), (None, MINUTE_MS), (Some("hr-17"), 24 * 60 * MINUTE_MS), (None, 24 * 60 * MINUTE_MS)] {
        let (world, fake, policy) = start(Flavour::Scim, |_| {}).await;
        for _ in 0..3 {
            fake.fail_next("POST /Users", Fault::Status(503));
        }
        assert_eq!(refused(&world.sign_in(&ada(&["devs"]), &policy).await), PublicMessage::AccountUnavailable);
        assert!(world.record("ada").await.unwrap().in_doubt.is_some() && logins(&fake).is_empty());
        let other =
            User { login: "ada".into(), email: Some("other@example.com".into()), external_id: external_id.map(str::to_owned), ..User::default() };
        fake.add_user(other);
        for _ in 0..2 {
            world.clock.advance_ms(wait_ms);
            assert_eq!(refused(&world.sign_in(&ada(&["devs"]), &policy).await), PublicMessage::AccountExists, "{external_id:?} {wait_ms}");
        }
        assert_eq!((logins(&fake).len(), joined(&fake).len()), (1, 0), "{external_id:?} {wait_ms}");
        let record = world.record("ada").await.unwrap();
        assert_eq!((record.account_id, record.login, record.in_doubt), (None, None, None), "{external_id:?} {wait_ms}");
    }
}

/// Where nothing was sent, or nothing was served, there is no doubt: not even an app without ids of ours may give an account away.
#[tokio::test]
async fn a_create_that_was_not_served_is_not_in_doubt() {
    for flavour in ALL {
        let (world, fake, policy) = start(flavour, |policy| policy.provision.as_mut().unwrap().retries = 0).await;
        fake.fail_next(create(flavour), Fault::Status(429));
        assert_eq!(refused(&world.sign_in(&ada(&["devs"]), &policy).await), PublicMessage::AccountUnavailable, "{flavour:?}");
        assert_eq!(world.record("ada").await.unwrap().in_doubt, None, "{flavour:?}");
        fake.add_user(User { login: "ada".into(), email: Some("ada@example.com".into()), ..User::default() });
        world.clock.advance_ms(2_000);
        assert_eq!(refused(&world.sign_in(&ada(&["devs"]), &policy).await), PublicMessage::AccountExists, "{flavour:?}");
        assert_eq!((logins(&fake).len(), joined(&fake).len()), (1, 0), "{flavour:?}");
    }
}

#[tokio::test]
async fn an_account_that_is_there_is_nobodys_until_the_policy_says_whose() {
    for flavour in ALL {
        let existing = User { login: "ada".into(), email: Some("ada@example.com".into()), ..User::default() };
        let (world, fake, policy) = start(flavour, |_| {}).await;
        fake.add_user(existing.clone());
        assert_eq!(refused(&world.sign_in(&ada(&["devs"]), &policy).await), PublicMessage::AccountExists, "{flavour:?}");
        assert_eq!((logins(&fake).len(), joined(&fake).len()), (1, 0));

        let by = if flavour == Flavour::Redmine { MatchBy::Email } else { MatchBy::Login };
        let (world, fake, policy) = start(flavour, |policy| {
            let provision = policy.provision.as_mut().unwrap();
            (provision.match_by, provision.on_existing) = (vec![by], OnExisting::Adopt);
        })
        .await;
        fake.add_user(existing);
        assert_eq!(ready(&world.sign_in(&ada(&["devs"]), &policy).await).login, "ada", "{flavour:?}");
        assert_eq!((logins(&fake).len(), joined(&fake)), (1, vec!["Developer".to_owned()]), "{flavour:?}");
    }
}

#[tokio::test]
async fn a_new_address_does_not_make_a_known_account_look_gone() {
    for flavour in ALL {
        let (world, fake, policy) = start(flavour, |_| {}).await;
        ready(&world.sign_in(&ada(&["devs"]), &policy).await);
        let moved = Identity { email: Some("countess@example.com".into()), ..ada(&["devs"]) };
        assert_eq!(ready(&world.sign_in(&moved, &policy).await).login, "ada", "{flavour:?}");
        world.clock.advance_ms(2 * 3_600_000);
        assert_eq!(ready(&world.sign_in(&moved, &policy).await).login, "ada", "{flavour:?}");
        assert_eq!((logins(&fake), joined(&fake)), (vec!["ada".to_owned()], vec!["Developer".to_owned()]), "{flavour:?}");
    }
}
