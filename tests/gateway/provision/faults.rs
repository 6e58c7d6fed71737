//! What may go wrong between the desk and the app, and what is at the app afterwards.

use super::world::{Fault, World, header, linking, person, policy, ready, refused};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vestibule::connector::Outcome;
use vestibule::fault::{Incident, PublicMessage};
use vestibule::plan::Account;
use vestibule::policy::{MatchBy, OnExisting};
use vestibule::provision::{Asking, Ensured};
use vestibule::state::{AccountState, Origin};

fn incident() -> Incident {
    Incident::from_bytes([2; 5])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn j1_twenty_first_requests_at_once_are_one_create() {
    let world = Arc::new(World::new().await);
    let policy = policy(|_| {});
    // Ten in one session, ten in others; half of them at another gateway on the same store.
    let other = world.another(&tokio::runtime::Handle::current(), "gateway-2");
    let session = world.session(&person("ada", "ada", &["g-devs"])).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let session = if n < 10 { session.clone() } else { world.session(&person("ada", "ada", &["g-devs"])).await };
        let desk = if n % 2 == 0 { world.desk.clone() } else { other.clone() };
        let policy = policy.clone();
        tasks.spawn(async move { ready(&desk.ensure(&session, &policy, incident(), Asking::page(60_000)).await).login.clone() });
    }
    assert!(tasks.join_all().await.iter().all(|login| login == "ada"));
    assert_eq!((world.app.count("create"), world.app.logins(), world.app.groups("ada")), (1, vec!["ada".to_owned()], vec!["devs".to_owned()]));
}

#[tokio::test]
async fn j2_no_pass_before_the_account_exists_and_the_job_goes_on_when_nobody_waits() {
    let world = World::new().await;
    let policy = policy(|_| {});
    world.app.slow.store(true, Ordering::SeqCst);
    let session = world.session(&person("ada", "ada", &[])).await;
    assert!(matches!(world.desk.ensure(&session, &policy, incident(), Asking::page(0)).await, Ensured::Working));
    assert!(session.pass.load().is_none() && world.app.logins().is_empty());
    world.app.slow.store(false, Ordering::SeqCst);
    while world.record("ada").await.is_none_or(|record| record.state != AccountState::Active) {
        world.app.go.notify_waiters();
        tokio::task::yield_now().await;
    }
    assert_eq!(world.app.logins(), ["ada"]);
    ready(&world.desk.ensure(&session, &policy, incident(), Asking::page(0)).await);
    assert!(session.pass.load().is_some());
}

#[tokio::test]
async fn j3_a_lost_answer_after_the_create_leaves_one_account() {
    for without_external_ids in [false, true] {
        let world = World::new().await;
        world.app.without_external_ids.store(without_external_ids, Ordering::SeqCst);
        world.app.fault("create", Fault::LostReply);
        world.app.fault("find", Fault::Answer(Outcome::InDoubt));
        let pass = ready(&world.sign_in(&person("ada", "ada", &["g-devs"]), &policy(|_| {})).await);
        assert_eq!((header(&pass, "x-user").as_deref(), pass.landing.as_deref()), (Some("ada"), Some("/welcome")));
        assert_eq!((world.app.count("create"), world.app.logins(), world.app.groups("ada")), (1, vec!["ada".to_owned()], vec!["devs".to_owned()]));
    }
}

#[tokio::test]
async fn j3_a_transient_refusal_of_a_create_that_happened_all_the_same_leaves_one_account() {
    let world = World::new().await;
    world.app.without_external_ids.store(true, Ordering::SeqCst);
    world.app.fault("create", Fault::LostReply);
    // The look after it fails too, as do all tries: the next sign-in finds what we made.
    for _ in 0..3 {
        world.app.fault("find", Fault::Answer(Outcome::Retry));
    }
    let policy = policy(|policy| policy.provision.as_mut().unwrap().retries = 0);
    let ada = person("ada", "ada", &[]);
    let mut ends = Vec::new();
    for _ in 0..5 {
        ends.push(matches!(world.sign_in(&ada, &policy).await, Ensured::Ready(_)));
        world.clock.advance_ms(2_000);
    }
    assert_eq!((ends.last(), ends.first()), (Some(&true), Some(&false)), "{ends:?}");
    assert_eq!((world.app.count("create"), world.app.logins()), (1, vec!["ada".to_owned()]));
}

/// Without ids of ours only time tells an account that we made from one that somebody made since.
#[tokio::test]
async fn j3_a_create_in_doubt_is_a_claim_for_a_quarter_of_an_hour_and_no_longer() {
    for (wait_ms, is_ours) in [(14 * 60_000, true), (16 * 60_000, false)] {
        let world = World::new().await;
        world.app.without_external_ids.store(true, Ordering::SeqCst);
        let policy = policy(|policy| policy.provision.as_mut().unwrap().retries = 0);
        world.app.fault("create", Fault::Answer(Outcome::InDoubt));
        assert_eq!(refused(&world.sign_in(&person("ada", "ada", &[]), &policy).await), PublicMessage::AccountUnavailable);
        world.app.put("ada", |_| {});
        world.clock.advance_ms(wait_ms);
        let ended = world.sign_in(&person("ada", "ada", &[]), &policy).await;
        if is_ours {
            assert_eq!(ready(&ended).login, "ada");
        } else {
            assert_eq!(refused(&ended), PublicMessage::AccountExists);
            assert!(world.record("ada").await.unwrap().in_doubt.is_some(), "whether it is theirs is for a human to say: doubts.rs");
        }
    }
}

/// A try that was not served takes nothing from the doubt of one before it, and adds nothing.
#[tokio::test]
async fn j3_a_try_that_was_not_sent_leaves_the_doubt_as_it_was() {
    let world = World::new().await;
    world.app.without_external_ids.store(true, Ordering::SeqCst);
    let policy = policy(|policy| policy.provision.as_mut().unwrap().retries = 0);
    let ada = person("ada", "ada", &[]);
    let mut doubts = Vec::new();
    for outcome in [Outcome::Retry, Outcome::InDoubt, Outcome::Retry] {
        world.app.fault("create", Fault::Answer(outcome));
        assert_eq!(refused(&world.sign_in(&ada, &policy).await), PublicMessage::AccountUnavailable);
        doubts.push(world.record("ada").await.unwrap().in_doubt);
        world.clock.advance_ms(60_000);
    }
    assert!(doubts[0].is_none() && doubts[1].is_some() && doubts[1] == doubts[2], "{doubts:?}");
}

#[tokio::test]
async fn j3_lost_answers_of_grants_and_removals_end_as_wanted_and_stay_ours() {
    let world = World::new().await;
    let policy = policy(|_| {});
    world.app.fault("add group devs", Fault::LostReply);
    ready(&world.sign_in(&person("ada", "ada", &["g-devs"]), &policy).await);
    world.app.fault("remove group devs", Fault::LostReply);
    ready(&world.sign_in(&person("ada", "ada", &["g-ops"]), &policy).await);
    assert_eq!(world.app.groups("ada"), ["ops"]);
}

#[tokio::test]
async fn j4_every_bad_answer_is_a_clean_refusal_and_the_next_try_recovers() {
    let unavailable = PublicMessage::AccountUnavailable;
    let cases = [
        ("find", Outcome::Retry, unavailable),
        ("find", Outcome::InDoubt, unavailable),
        ("find", Outcome::Reauth, unavailable),
        ("find", Outcome::Denied, PublicMessage::AccountFailed),
        ("find", Outcome::Invalid, PublicMessage::AccountFailed),
        ("find", Outcome::Unsupported, PublicMessage::AccountFailed),
        ("find", Outcome::Ambiguous, PublicMessage::AccountExists),
        ("create", Outcome::Retry, unavailable),
        ("create", Outcome::InDoubt, unavailable),
        ("create", Outcome::Reauth, unavailable),
        ("create", Outcome::Denied, PublicMessage::AccountFailed),
        ("create", Outcome::Invalid, PublicMessage::AccountFailed),
        ("create", Outcome::Unsupported, PublicMessage::AccountFailed),
        ("create", Outcome::Conflict, PublicMessage::AccountExists),
    ];
    for (call, outcome, expected) in cases {
        let world = World::new().await;
        let policy = policy(|policy| policy.provision.as_mut().unwrap().retries = 0);
        let session = world.session(&person("ada", "ada", &[])).await;
        world.app.fault(call, Fault::Answer(outcome));
        assert_eq!(refused(&world.ensure(&session, &policy).await), expected, "{call} {outcome:?}");
        assert!(session.pass.load().is_none() && world.app.logins().is_empty());
        // Asked again at once: the same answer, without another call.
        let calls = world.app.all_calls();
        assert_eq!(refused(&world.ensure(&session, &policy).await), expected);
        assert_eq!(world.app.all_calls(), calls);
        world.clock.advance_ms(31_000);
        ready(&world.ensure(&session, &policy).await);
        assert_eq!(world.app.logins(), ["ada"], "{call} {outcome:?}");
    }
}

/// A look that finds nothing after a create that failed must not read as if the account had been made.
#[tokio::test]
async fn j4_what_a_failed_create_came_to_is_what_operators_read() {
    for (outcome, tries, expected) in [
        (Outcome::InDoubt, 3, "create: in doubt: as the test says; looked for afterwards, and not there"),
        (Outcome::Retry, 3, "create: retry: as the test says"),
        (Outcome::Denied, 1, "create: denied: as the test says"),
    ] {
        let world = World::new().await;
        for _ in 0..3 {
            world.app.fault("create", Fault::Answer(outcome));
        }
        drop(world.sign_in(&person("ada", "ada", &[]), &policy(|policy| policy.provision.as_mut().unwrap().retries = 2)).await);
        assert_eq!(world.app.count("create"), tries, "{outcome:?}");
        assert_eq!(world.record("ada").await.unwrap().last_error.as_deref(), Some(expected));
        assert!(world.app.logins().is_empty());
    }
}

#[tokio::test]
async fn j4_transient_trouble_is_tried_again_within_bounds_and_as_the_app_wishes() {
    let world = World::new().await;
    world.app.fault("find", Fault::Later(1_500));
    world.app.fault("find", Fault::Answer(Outcome::Retry));
    ready(&world.sign_in(&person("ada", "ada", &[]), &policy(|_| {})).await);
    assert!(world.slept_ms.load(Ordering::SeqCst) >= 1_500);
    // A wish for longer than anybody waits ends the job.
    let slept = world.slept_ms.load(Ordering::SeqCst);
    world.app.fault("find", Fault::Later(600_000));
    assert_eq!(refused(&world.sign_in(&person("bob", "bob", &[]), &policy(|_| {})).await), PublicMessage::AccountUnavailable);
    assert_eq!(world.slept_ms.load(Ordering::SeqCst), slept);
}

#[tokio::test]
async fn j5_an_answer_about_another_account_is_refused_wherever_it_comes() {
    let root = || Account { id: "1".into(), login: "boss".into(), admin: true, ..Account::default() };
    for call in ["find", "create"] {
        let world = World::new().await;
        world.app.put("boss", |account| account.admin = true);
        world.app.fault(call, Fault::Instead(Box::new(root())));
        let policy = linking(&[MatchBy::Login, MatchBy::Email], OnExisting::Adopt);
        assert_eq!(refused(&world.sign_in(&person("ada", "ada", &["g-devs"]), &policy).await), PublicMessage::AccountFailed, "{call}");
        assert!(world.app.groups("boss").is_empty());
        assert_eq!(world.record("ada").await.unwrap().account_id, None);
    }
    // Known already: the answer to `get` is another's.
    let world = World::new().await;
    world.app.put("boss", |account| account.admin = true);
    let policy = policy(|_| {});
    ready(&world.sign_in(&person("ada", "ada", &[]), &policy).await);
    world.app.fault("get", Fault::Instead(Box::new(root())));
    assert_eq!(refused(&world.sign_in(&person("ada", "ada", &["g-devs"]), &policy).await), PublicMessage::AccountFailed);
    assert!(world.app.groups("boss").is_empty());
}

/// The desk's part of J11: nothing that a connector says in trouble gets further than the log, and a refusal has no text at all.
#[tokio::test]
async fn j11_a_refusal_carries_a_fixed_message_and_the_record_our_own_words() {
    let world = World::new().await;
    world.app.fault("find", Fault::Answer(Outcome::Denied));
    let ended = world.sign_in(&person("ada", "ada", &[]), &policy(|_| {})).await;
    assert_eq!(format!("{ended:?}"), "Refused(AccountFailed)");
    assert_eq!(world.record("ada").await.unwrap().last_error.as_deref(), Some("find: denied: as the test says"));
}

#[tokio::test]
async fn j12_with_the_admin_api_down_known_people_go_on_and_new_ones_get_a_clean_refusal() {
    let world = World::new().await;
    let policy = policy(|_| {});
    let ada = person("ada", "ada", &["g-devs", "g-ops"]);
    ready(&world.sign_in(&ada, &policy).await);
    world.app.down.store(true, Ordering::SeqCst);
    world.clock.advance_ms(3 * 3_600_000);
    assert_eq!(ready(&world.sign_in(&ada, &policy).await).login, "ada");
    assert_eq!(refused(&world.sign_in(&person("bob", "bob", &[]), &policy).await), PublicMessage::AccountUnavailable);
    // Something new is wanted: the person goes on with what they have, and gets it later.
    world.clock.advance_ms(2_000);
    ready(&world.sign_in(&person("ada", "ada", &["g-devs", "g-ops", "g-web"]), &policy).await);
    assert_eq!(world.app.groups("ada"), ["devs", "ops"]);
    // Something is to be taken back and cannot be: nobody passes on rights they should not have.
    world.clock.advance_ms(2_000);
    assert_eq!(refused(&world.sign_in(&person("ada", "ada", &["g-devs"]), &policy).await), PublicMessage::AccountUnavailable);
    // A day and a half later nobody knows any more whether the account exists.
    world.clock.advance_ms(34 * 3_600_000);
    assert_eq!(refused(&world.sign_in(&ada, &policy).await), PublicMessage::AccountUnavailable);
    world.app.down.store(false, Ordering::SeqCst);
    world.clock.advance_ms(2_000);
    ready(&world.sign_in(&person("ada", "ada", &["g-devs"]), &policy).await);
    ready(&world.sign_in(&person("bob", "bob", &[]), &policy).await);
    assert_eq!((world.app.groups("ada"), world.app.logins()), (vec!["devs".to_owned()], vec!["ada".to_owned(), "bob".to_owned()]));
}

#[tokio::test]
async fn j12_a_slow_admin_api_holds_up_nobody_who_is_known() {
    let world = World::new().await;
    let policy = policy(|_| {});
    let ada = person("ada", "ada", &[]);
    ready(&world.sign_in(&ada, &policy).await);
    world.clock.advance_ms(2 * 3_600_000);
    world.app.slow.store(true, Ordering::SeqCst);
    let session = world.session(&ada).await;
    let pass = ready(&world.desk.ensure(&session, &policy, incident(), Asking::page(0)).await);
    assert_eq!(pass.login, "ada");
    let session = world.session(&person("bob", "bob", &[])).await;
    assert!(matches!(world.desk.ensure(&session, &policy, incident(), Asking::page(0)).await, Ensured::Working));
}

#[tokio::test]
async fn j13_an_account_removed_at_the_app_is_made_anew_unless_somebody_else_has_its_login() {
    let world = World::new().await;
    let policy = policy(|_| {});
    let ada = person("ada", "ada", &["g-devs"]);
    ready(&world.sign_in(&ada, &policy).await);
    world.app.accounts.lock().unwrap().clear();
    world.clock.advance_ms(2 * 3_600_000);
    ready(&world.sign_in(&ada, &policy).await);
    assert_eq!((world.app.logins(), world.app.groups("ada"), world.app.count("create")), (vec!["ada".to_owned()], vec!["devs".to_owned()], 2));
    world.app.accounts.lock().unwrap().clear();
    world.app.put("ada", |_| {});
    world.clock.advance_ms(2 * 3_600_000);
    assert_eq!(refused(&world.sign_in(&ada, &policy).await), PublicMessage::AccountExists);
    assert!(world.app.groups("ada").is_empty());
}

#[tokio::test]
async fn j13_an_account_disabled_or_renamed_at_the_app_needs_a_human() {
    let world = World::new().await;
    let policy = policy(|_| {});
    let ada = person("ada", "ada", &["g-devs"]);
    ready(&world.sign_in(&ada, &policy).await);
    world.app.change("ada", |account| account.disabled = true);
    world.clock.advance_ms(2 * 3_600_000);
    assert_eq!(refused(&world.sign_in(&ada, &policy).await), PublicMessage::AccountExists);
    assert!(world.app.account("ada").disabled);
    world.app.change("ada", |account| account.disabled = false);
    world.clock.advance_ms(2_000);
    ready(&world.sign_in(&ada, &policy).await);
    world.app.change("ada", |account| account.login = "lovelace".into());
    world.clock.advance_ms(2 * 3_600_000);
    assert_eq!(refused(&world.sign_in(&ada, &policy).await), PublicMessage::AccountExists);
}

/// Killed after each of the calls in turn: whatever was sent has happened, nothing after it was recorded.
#[tokio::test]
async fn j15_killed_at_any_call_the_next_sign_in_goes_on_without_a_duplicate() {
    for without_external_ids in [false, true] {
        for call in ["create", "add group devs", "add group ops"] {
            let world = World::new().await;
            world.app.without_external_ids.store(without_external_ids, Ordering::SeqCst);
            let policy = policy(|_| {});
            let ada = person("ada", "ada", &["g-devs", "g-ops"]);
            world.app.fault(call, Fault::Hang);
            let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let desk = world.another(doomed.handle(), "gateway-1");
            let session = world.session(&ada).await;
            let mut ended = desk.ensure(&session, &policy, incident(), Asking::page(0)).await;
            while !world.app.hung.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            assert!(matches!(ended, Ensured::Working));
            doomed.shutdown_background();
            assert_eq!(world.app.logins(), ["ada"], "the create has happened");
            assert!(world.record("ada").await.unwrap().in_doubt.is_some());

            ended = world.sign_in(&ada, &policy).await;
            let pass = ready(&ended);
            assert_eq!((pass.login.as_str(), pass.landing.as_deref()), ("ada", Some("/welcome")), "{call}");
            assert_eq!((world.app.count("create"), world.app.logins()), (1, vec!["ada".to_owned()]), "{call}");
            assert_eq!(world.record("ada").await.unwrap().origin, Some(Origin::Created));
            // Everything that was granted is known to be ours: all of it can be taken back.
            ready(&world.sign_in(&person("ada", "ada", &[]), &policy).await);
            assert!(world.app.groups("ada").is_empty(), "{call}: {:?}", world.app.groups("ada"));
        }
    }
}

/// As above, for an account that has long been complete: what is found there may be anybody's grant, but for what the record says was being sent.
#[tokio::test]
async fn j15_killed_between_a_grant_and_its_record_the_grant_is_still_ours_to_take_back() {
    let world = World::new().await;
    let policy = policy(|_| {});
    ready(&world.sign_in(&person("ada", "ada", &[]), &policy).await);
    world.app.fault("add group devs", Fault::Hang);
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let desk = world.another(doomed.handle(), "gateway-1");
    let more = person("ada", "ada", &["g-devs"]);
    assert!(matches!(desk.ensure(&world.session(&more).await, &policy, incident(), Asking::page(0)).await, Ensured::Working));
    while !world.app.hung.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    doomed.shutdown_background();
    assert_eq!(world.app.groups("ada"), ["devs"]);
    ready(&world.sign_in(&more, &policy).await);
    ready(&world.sign_in(&person("ada", "ada", &[]), &policy).await);
    assert!(world.app.groups("ada").is_empty(), "{:?}", world.app.groups("ada"));
}

#[tokio::test]
async fn a_change_that_stopped_half_way_is_not_taken_for_what_it_was_before() {
    let world = World::new().await;
    let policy = policy(|policy| policy.provision.as_mut().unwrap().retries = 0);
    let ada = person("ada", "ada", &["g-devs", "g-ops"]);
    ready(&world.sign_in(&ada, &policy).await);
    world.app.fault("remove group ops", Fault::Answer(Outcome::Retry));
    assert_eq!(refused(&world.sign_in(&person("ada", "ada", &[]), &policy).await), PublicMessage::AccountUnavailable);
    assert_eq!(world.app.groups("ada"), ["ops"]);
    world.clock.advance_ms(2_000);
    ready(&world.sign_in(&ada, &policy).await);
    assert_eq!(world.app.groups("ada"), ["devs", "ops"]);
}

#[tokio::test]
async fn j15_what_a_killed_gateway_leased_is_waited_for_by_another_one() {
    let world = World::new().await;
    let policy = policy(|_| {});
    world.app.fault("create", Fault::Hang);
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let desk = world.another(doomed.handle(), "gateway-that-dies");
    let ada = person("ada", "ada", &[]);
    assert!(matches!(desk.ensure(&world.session(&ada).await, &policy, incident(), Asking::page(0)).await, Ensured::Working));
    while !world.app.hung.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    doomed.shutdown_background();
    ready(&world.sign_in(&ada, &policy).await);
    assert_eq!((world.app.count("create"), world.app.logins()), (1, vec!["ada".to_owned()]));
    assert!(world.slept_ms.load(Ordering::SeqCst) >= 15_000, "the lease was waited for");
}

/// The account was made by us, and every record was lost.
#[tokio::test]
async fn records_rebuild_by_external_id() {
    let world = World::new().await;
    let policy = policy(|_| {});
    ready(&world.sign_in(&person("ada", "ada", &["g-devs"]), &policy).await);
    let lost = World::new().await;
    *lost.app.accounts.lock().unwrap() = world.app.accounts.lock().unwrap().clone();
    let pass = ready(&lost.sign_in(&person("ada", "ada-king", &["g-devs"]), &policy).await);
    assert_eq!((pass.login.as_str(), lost.app.logins(), lost.app.count("create")), ("ada", vec!["ada".to_owned()], 0));
}
