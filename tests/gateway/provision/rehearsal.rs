//! What is rehearsed is what is sent: the same person, once for show and once for real.

use super::engines::{ALL, ada, logins, start};
use super::world::{World, ready};
use crate::fake_admin::{FakeAdmin, Flavour, User};
use crate::state::T0;
use serde_json::json;
use std::sync::Arc;
use vestibule::connector::engine::ResolvedCredential;
use vestibule::connector::model::Effect;
use vestibule::identity::Identity;
use vestibule::outbound::HyperTransport;
use vestibule::policy::{MatchBy, OnExisting, Policy};
use vestibule::provision::as_wanted;
use vestibule::rehearse::app::{App, MADE_ID};
use vestibule::rehearse::people::Known;
use vestibule::rehearse::perform::{Performance, Real, Scene, perform};
use vestibule::rehearse::plan::{At, look_ahead};
use vestibule::rehearse::records::Records;
use vestibule::source::SourceFile;

/// The policy with the fake's own address, and the settings that the engine of these tests has.
fn at(fake: &FakeAdmin, policy: Arc<Policy>) -> Arc<Policy> {
    let mut policy = Arc::into_inner(policy).expect("nobody else has it yet");
    let provision = policy.provision.as_mut().unwrap();
    provision.url = fake.url.clone();
    provision.settings = provision.connector.settings(&SourceFile::new("x.toml", ""), None).0;
    Arc::new(policy)
}

async fn rehearsed(policy: &Arc<Policy>, identity: Identity, real: bool) -> Performance {
    let base = policy.provision.as_ref().unwrap().url.clone();
    let app = if real { App::of_the_real(&base) } else { App::with(&base, Vec::new()) };
    let real = real.then(|| Real { transport: Arc::new(HyperTransport::new([]).unwrap()), credential: ResolvedCredential::default() });
    let scene = Scene { policy: Arc::clone(policy), identity: Arc::new(identity), records: Arc::new(Records::default()), app: Arc::new(app), real };
    tokio::task::spawn_blocking(move || perform(&[scene], T0).pop().unwrap()).await.unwrap()
}

/// `METHOD /path` below the base, ids of the account as `{id}`, groups by name.
fn lines(seen: impl Iterator<Item = (String, String)>, base: &str, id: &str) -> Vec<String> {
    let one = |(method, target): (String, String)| {
        let path = target.split('?').next().unwrap_or_default().trim_start_matches(base).to_owned();
        let path = path.replace(&format!("/{id}"), "/{id}").replace("/Groups/14", "/Groups/Developer").replace("/Groups/12", "/Groups/Manager");
        format!("{method} {path}")
    };
    seen.map(one).collect()
}

async fn sent(world: &World, fake: &FakeAdmin) -> Vec<String> {
    let id = world.record("ada").await.unwrap().account_id.unwrap();
    let base = fake.url.path().trim_end_matches('/').to_owned();
    lines(fake.take_seen().into_iter().map(|seen| (seen.method, seen.target)), &base, &id)
}

fn shown(performance: &Performance) -> Vec<String> {
    let id = performance.record.as_ref().and_then(|record| record.account_id.clone()).unwrap_or_else(|| MADE_ID.to_string());
    let calls = performance.calls.iter().map(|call| (call.method.to_string(), call.path.clone()));
    lines(calls, "", &id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_is_rehearsed_call_by_call_as_the_real_one_goes() {
    for flavour in ALL {
        let (world, fake, policy) = start(flavour, |_| {}).await;
        let policy = at(&fake, policy);
        let performance = rehearsed(&policy, ada(&["devs", "boss"]), false).await;
        assert!(fake.take_seen().is_empty(), "{flavour:?}: imagined is imagined");
        assert_eq!(performance.ensured.as_ref().map(|pass| pass.login.as_str()), Ok("ada"), "{flavour:?}: {:?}", performance.why());
        ready(&world.sign_in(&ada(&["devs", "boss"]), &policy).await);
        assert_eq!(shown(&performance), sent(&world, &fake).await, "{flavour:?}");
    }
}

/// An app whose accounts are taken over, with one of ada's from before if it is `there`.
async fn adopting(flavour: Flavour, there: bool) -> (World, FakeAdmin, Arc<Policy>) {
    let (world, fake, policy) = start(flavour, |policy| {
        let provision = policy.provision.as_mut().unwrap();
        provision.match_by = vec![if flavour == Flavour::Redmine { MatchBy::Email } else { MatchBy::Login }];
        provision.on_existing = OnExisting::Adopt;
    })
    .await;
    let policy = at(&fake, policy);
    if there {
        fake.add_user(User { login: "ada".into(), email: Some("ada@example.com".into()), ..User::default() });
    }
    (world, fake, policy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_application_is_read_and_never_written_to() {
    for flavour in ALL {
        for there in [false, true] {
            let (world, fake, policy) = adopting(flavour, there).await;
            let before = (logins(&fake), format!("{:?}", fake.groups()));
            let performance = rehearsed(&policy, ada(&["devs"]), true).await;
            let seen = fake.take_seen();
            assert!(!seen.is_empty() && seen.iter().all(|seen| seen.method == "GET"), "{flavour:?}: {seen:?}");
            assert_eq!((logins(&fake), format!("{:?}", fake.groups())), before, "{flavour:?}: nothing has changed");
            assert!(performance.ensured.is_ok(), "{flavour:?}: {:?}", performance.why());
            let really: Vec<String> = performance.calls.iter().filter(|call| call.sent).map(|call| call.method.to_string()).collect();
            assert_eq!(really, vec!["GET"; seen.len()], "{flavour:?}: what was sent is marked as sent");
            let written = performance.calls.iter().filter(|call| call.effect != Effect::Read).count();
            assert!(written > 0, "{flavour:?}: something would be written");
            // And it was the truth.
            let told = shown(&performance);
            ready(&world.sign_in(&ada(&["devs"]), &policy).await);
            assert_eq!(told, sent(&world, &fake).await, "{flavour:?}, there: {there}");
        }
    }
}

// Their record says what they have at the app: nothing is planned for who is in step, whether the account was made or taken over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_step_by_their_record_is_left_as_they_are() {
    for flavour in ALL {
        for there in [false, true] {
            let (world, _fake, policy) = adopting(flavour, there).await;
            ready(&world.sign_in(&ada(&["devs"]), &policy).await);
            let record = world.record("ada").await.unwrap();
            // All of it put there by the gateway, or there before it came.
            let mut had = record.clone();
            (had.applied["attributes"], had.applied["memberships"]) = (json!({}), json!({}));
            for record in [record, had] {
                let at = At::Recorded(as_wanted(&policy, &ada(&["devs"]), &record));
                let known = Known { identity: ada(&["devs"]), record: Some(record.clone()) };
                let outlook = look_ahead(&policy, &known, &Arc::new(Records::with([record])), at, T0);
                let told = (outlook.lines(), outlook.failure());
                assert!(outlook.count().is_nothing() && told.1.is_none(), "{flavour:?}, there: {there}: {told:#?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_does_not_answer_is_no_plan() {
    let (_world, fake, policy) = start(Flavour::Scim, |policy| policy.provision.as_mut().unwrap().retries = 0).await;
    let policy = at(&fake, policy);
    fake.require("Bearer another");
    let performance = rehearsed(&policy, ada(&["devs"]), true).await;
    assert!(performance.ensured.is_err() && performance.steps.is_empty());
    let why = performance.why().unwrap();
    assert!(why.contains("reauth: the admin credential is not accepted"), "{why}");
    assert!(fake.take_seen().iter().all(|seen| seen.method == "GET"));
}
