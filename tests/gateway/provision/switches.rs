//! The switches of `[provision]` at the desk. A test whose name begins with `row_` shows that row of jit-behaviours.md.

use super::world::{Fault, World, header, key_at, linking, person, policy, ready, refused};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vestibule::connector::Outcome;
use vestibule::expr::{Condition, Env, Type};
use vestibule::fault::PublicMessage;
use vestibule::identity::Identity;
use vestibule::policy::switches::{Join, Mode, OnExceed, Trigger, WhenDisabled};
use vestibule::policy::{Glob, MatchBy, OnCollision, OnExisting, Policy, Switches};
use vestibule::provision::{Ensured, PeopleError, Which};
use vestibule::state::{AccountState, Awaiting, Origin};

const HOUR_MS: i64 = 3_600_000;

/// The policy at a revision, with other switches.
fn with(revision: &str, change: impl FnOnce(&mut Switches)) -> Arc<Policy> {
    policy(|policy| {
        revision.clone_into(&mut policy.revision);
        change(&mut policy.provision.as_mut().unwrap().switches);
    })
}

/// As [`with`], for accounts that are recognised by their login.
fn recognising(on_existing: OnExisting, change: impl FnOnce(&mut Switches)) -> Arc<Policy> {
    policy(|policy| {
        let provision = policy.provision.as_mut().unwrap();
        (provision.match_by, provision.on_existing) = (vec![MatchBy::Login], on_existing);
        change(&mut provision.switches);
    })
}

fn condition(text: &str) -> Condition {
    let env = Env::sign_in().with("account", Type::Dynamic, false).with("origin", Type::Text, false);
    Condition::compile(text, &env).unwrap().0
}

fn ada() -> Identity {
    person("ada", "ada", &["g-devs"])
}

#[tokio::test]
async fn row_08_switched_off_nobody_new_comes_and_whoever_has_an_account_goes_on_under_the_recorded_login_without_a_call() {
    let world = World::new().await;
    let (on, off) = (with("r1", |_| {}), with("r2", |switches| switches.enabled = false));
    let session = world.session(&ada()).await;
    assert_eq!(ready(&world.ensure(&session, &on).await).login, "ada");
    // Renamed at the provider since, and of fewer groups.
    let renamed = person("ada", "ada-king", &[]);
    let calls = world.app.all_calls();
    world.app.down.store(true, Ordering::SeqCst);
    for wait_ms in [0, HOUR_MS, 48 * HOUR_MS] {
        world.clock.advance_ms(wait_ms);
        let pass = ready(&world.sign_in(&renamed, &off).await);
        assert_eq!((pass.login.as_str(), header(&pass, "x-user").as_deref(), pass.policy_revision.as_str()), ("ada", Some("ada"), "r2"));
        assert_eq!(refused(&world.sign_in(&person("bob", "bob", &["g-devs"]), &off).await), PublicMessage::AccountsOff);
    }
    assert_eq!((world.app.all_calls(), world.record("bob").await), (calls, None));
    // The session that was there goes on too, and nobody has lost anything once it is on again.
    assert_eq!(ready(&world.ensure(&session, &off).await).login, "ada");
    assert_eq!(world.record("ada").await.unwrap().policy_revision, "r1");
    world.app.down.store(false, Ordering::SeqCst);
    assert_eq!(ready(&world.sign_in(&ada(), &on).await).login, "ada");
    assert_eq!(world.app.groups("ada"), ["devs"]);
}

#[tokio::test]
async fn row_08_an_account_that_needs_a_human_is_not_a_linked_one() {
    let world = World::new().await;
    ready(&world.sign_in(&ada(), &with("r1", |_| {})).await);
    world.app.change("ada", |account| account.disabled = true);
    world.clock.advance_ms(2 * HOUR_MS);
    assert_eq!(refused(&world.sign_in(&ada(), &with("r1", |_| {})).await), PublicMessage::AccountExists);
    assert_eq!(refused(&world.sign_in(&ada(), &with("r2", |switches| switches.enabled = false)).await), PublicMessage::AccountsOff);
}

#[tokio::test]
async fn row_08_deny_all_lets_nobody_in_and_passthrough_everybody_but_under_no_name_that_is_anothers() {
    let world = World::new().await;
    let off = |who: WhenDisabled| with("r2", |switches| (switches.enabled, switches.when_disabled) = (false, who));
    let first = policy(|policy| policy.user.on_collision = OnCollision::Suffix);
    ready(&world.sign_in(&person("s1", "smith", &[]), &first).await);
    assert_eq!(ready(&world.sign_in(&person("s2", "smith", &[]), &first).await).login, "smith-2");
    let calls = world.app.all_calls();
    for subject in ["s1", "s2", "s3"] {
        assert_eq!(refused(&world.sign_in(&person(subject, "smith", &[]), &off(WhenDisabled::DenyAll)).await), PublicMessage::AppClosed);
    }
    let through = off(WhenDisabled::Passthrough);
    for (subject, username, login) in [("s1", "smith", "smith"), ("s2", "smith", "smith-2"), ("eve", "eve", "eve")] {
        assert_eq!(ready(&world.sign_in(&person(subject, username, &[]), &through).await).login, login);
    }
    for username in ["smith", "Smith", "SMITH-2"] {
        assert_eq!(refused(&world.sign_in(&person("s3", username, &[]), &through).await), PublicMessage::AccountExists, "{username}");
    }
    assert_eq!((world.app.all_calls(), world.record("eve").await), (calls, None), "nothing is looked up and nothing is kept");
}

#[tokio::test]
async fn row_07_switched_on_the_next_request_of_a_stranger_makes_the_account() {
    let world = World::new().await;
    let session = world.session(&ada()).await;
    assert_eq!(refused(&world.ensure(&session, &with("r1", |switches| switches.enabled = false)).await), PublicMessage::AccountsOff);
    assert!(session.pass.load().is_none() && world.app.all_calls() == 0);
    let pass = ready(&world.ensure(&session, &with("r2", |_| {})).await);
    assert_eq!((pass.landing.as_deref(), world.app.logins()), (Some("/welcome"), vec!["ada".to_owned()]));
}

#[tokio::test]
async fn row_17_provisioning_is_optional() {
    let world = World::new().await;
    let pass = ready(&world.sign_in(&ada(), &policy(|policy| policy.provision = None)).await);
    assert_eq!((header(&pass, "x-user").as_deref(), world.app.all_calls(), world.record("ada").await), (Some("ada"), 0, None));
}

/// The table of four modes at the end of jit-behaviours.md: for somebody unknown at the app, and for somebody who is there.
#[tokio::test]
async fn modes_are_the_four_of_the_table() {
    for mode in [Mode::CreateAndUpdate, Mode::CreateOnly, Mode::UpdateOnly, Mode::Passthrough] {
        let world = World::new().await;
        world.app.put("old", |account| account.email = Some("old@example.com".into()));
        let policy = recognising(mode.on_existing(), |switches| switches.mode = mode);
        let unknown = world.sign_in(&person("new", "new", &["g-devs"]), &policy).await;
        let there = world.sign_in(&person("old", "old", &["g-devs"]), &policy).await;
        if mode.creates() {
            assert_eq!((ready(&unknown).login.as_str(), world.app.groups("new")), ("new", vec!["devs".to_owned()]), "{mode:?}");
        } else {
            assert_eq!(refused(&unknown), PublicMessage::AccountsOff, "{mode:?}");
            assert_eq!((world.record("new").await, world.app.count("create")), (None, 0), "{mode:?}");
        }
        let (changed, state) = (world.app.groups("old"), world.record("old").await.unwrap().state);
        match mode {
            Mode::CreateAndUpdate | Mode::UpdateOnly => {
                assert_eq!((ready(&there).landing.as_deref(), changed, state), (Some("/mine"), vec!["devs".to_owned()], AccountState::Active));
            }
            Mode::CreateOnly => {
                assert_eq!((refused(&there), changed, state), (PublicMessage::AccountExists, Vec::new(), AccountState::Conflict));
            }
            Mode::Passthrough => {
                assert_eq!((ready(&there).login.as_str(), changed, state), ("old", Vec::new(), AccountState::LinkedUnmanaged));
                assert_eq!((world.app.count("add"), world.app.count("update")), (0, 0));
            }
        }
    }
}

#[tokio::test]
async fn a_mode_that_makes_none_makes_none_again_and_one_that_touches_nothing_touches_not_even_its_own() {
    let world = World::new().await;
    ready(&world.sign_in(&ada(), &with("r1", |_| {})).await);
    let lookers = recognising(OnExisting::Leave, |switches| switches.mode = Mode::Passthrough);
    ready(&world.sign_in(&person("ada", "ada", &["g-ops"]), &lookers).await);
    assert_eq!((world.app.groups("ada"), world.record("ada").await.unwrap().origin), (vec!["devs".to_owned()], Some(Origin::Created)));
    // Removed at the app: not made again, and for a human.
    world.app.accounts.lock().unwrap().clear();
    world.clock.advance_ms(2 * HOUR_MS);
    let takers = recognising(OnExisting::Adopt, |switches| switches.mode = Mode::UpdateOnly);
    assert_eq!(refused(&world.sign_in(&ada(), &takers).await), PublicMessage::AccountsOff);
    assert_eq!((world.app.logins().len(), world.record("ada").await.unwrap().state), (0, AccountState::Conflict));
    // A namesake is not looked for under a name that only a create would have given.
    world.app.put("bob", |account| account.external_id = Some("vestibule-other".into()));
    let suffix = policy(|policy| {
        policy.user.on_collision = OnCollision::Suffix;
        let provision = policy.provision.as_mut().unwrap();
        (provision.match_by, provision.on_existing, provision.switches.mode) = (vec![MatchBy::Login], OnExisting::Adopt, Mode::UpdateOnly);
    });
    let finds = world.app.count("find");
    assert_eq!(refused(&world.sign_in(&person("bob", "bob", &[]), &suffix).await), PublicMessage::AccountExists);
    assert_eq!(world.app.count("find"), finds + 1);
}

#[tokio::test]
async fn row_23_a_program_begins_no_account_and_joins_one_that_is_being_made() {
    let world = World::new().await;
    let policy = with("r1", |_| {});
    let session = world.session(&ada()).await;
    assert_eq!(refused(&world.ensure_by_program(&session, &policy).await), PublicMessage::OpenInBrowser);
    assert_eq!((world.app.all_calls(), world.record("ada").await), (0, None));
    world.app.slow.store(true, Ordering::SeqCst);
    let page = world.session(&ada()).await;
    let (page, program, ()) = tokio::join!(
        world.ensure(&page, &policy),
        async {
            while world.app.all_calls() == 0 {
                tokio::task::yield_now().await;
            }
            world.ensure_by_program(&session, &policy).await
        },
        world.release_after(4)
    );
    assert_eq!((ready(&page).login.clone(), ready(&program).login.clone(), world.app.count("create")), ("ada".into(), "ada".into(), 1));
    // Whoever is known may be looked at again by any request.
    world.clock.advance_ms(2 * HOUR_MS);
    ready(&world.ensure_by_program(&session, &policy).await);
    assert_eq!(world.app.count("get"), 1);
    // Found to be gone, the account is not made anew by a program either; the next page makes it.
    world.app.accounts.lock().unwrap().clear();
    world.clock.advance_ms(2 * HOUR_MS);
    assert_eq!(refused(&world.ensure_by_program(&session, &policy).await), PublicMessage::OpenInBrowser);
    assert_eq!((world.app.logins().len(), world.app.count("create")), (0, 1));
    ready(&world.ensure(&session, &policy).await);
    assert_eq!((world.app.logins().len(), world.app.count("create")), (1, 2));
}

#[tokio::test]
async fn row_23_first_request_lets_a_program_begin() {
    let world = World::new().await;
    let policy = with("r1", |switches| switches.trigger = Trigger::FirstRequest);
    let session = world.session(&ada()).await;
    assert_eq!(ready(&world.ensure_by_program(&session, &policy).await).login, "ada");
    assert_eq!(world.app.count("create"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn row_10_thirty_first_sign_ins_at_once_do_not_exceed_the_seats() {
    for (max, adopted) in [(7, 0), (5, 3)] {
        let world = Arc::new(World::new().await);
        for n in 0..adopted {
            world.app.put(&format!("p{n}"), |_| {});
        }
        let policy = recognising(OnExisting::Adopt, |switches| switches.max_accounts = Some(max));
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..30 {
            let (world, policy) = (world.clone(), policy.clone());
            tasks.spawn(async move {
                let name = format!("p{n}");
                match world.sign_in(&person(&name, &name, &["g-devs"]), &policy).await {
                    Ensured::Ready(_) => true,
                    Ensured::Refused(message) => {
                        assert_eq!(message, PublicMessage::AccountsFull);
                        false
                    }
                    Ensured::Working => panic!("nothing is slow"),
                }
            });
        }
        let inside = tasks.join_all().await.into_iter().filter(|inside| *inside).count();
        assert_eq!(inside, usize::try_from(max).unwrap());
        let all = world.desk.people().list(Some("wiki"), Which::All).await.unwrap();
        assert_eq!(all.len(), inside, "nothing is kept of those who were refused");
        // Whoever has a seat keeps it; a seat that was given back goes to the next.
        let holder = all[0].subject.clone();
        ready(&world.sign_in(&person(&holder, &holder, &["g-ops"]), &policy).await);
        world.desk.people().forget(&key_at("wiki", &holder), "test").await.unwrap();
        world.clock.advance_ms(2_000);
        ready(&world.sign_in(&person("next", "next", &[]), &policy).await);
        assert_eq!(refused(&world.sign_in(&person("more", "more", &[]), &policy).await), PublicMessage::AccountsFull);
    }
}

#[tokio::test]
async fn row_10_a_create_in_doubt_has_its_seat_and_one_that_did_not_happen_gives_it_back() {
    let world = World::new().await;
    let policy = policy(|policy| {
        let provision = policy.provision.as_mut().unwrap();
        (provision.retries, provision.switches.max_accounts) = (0, Some(1));
    });
    // Sent, and nobody knows.
    world.app.fault("create", Fault::Answer(Outcome::InDoubt));
    assert_eq!(refused(&world.sign_in(&ada(), &policy).await), PublicMessage::AccountUnavailable);
    assert!(world.record("ada").await.unwrap().takes_a_seat());
    assert_eq!(refused(&world.sign_in(&person("bob", "bob", &[]), &policy).await), PublicMessage::AccountsFull);
    world.clock.advance_ms(2_000);
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(refused(&world.sign_in(&person("bob", "bob", &[]), &policy).await), PublicMessage::AccountsFull);

    let world = World::new().await;
    world.app.fault("create", Fault::Answer(Outcome::Denied));
    assert_eq!(refused(&world.sign_in(&ada(), &policy).await), PublicMessage::AccountFailed);
    ready(&world.sign_in(&person("bob", "bob", &[]), &policy).await);
}

#[tokio::test]
async fn row_10_beyond_the_seats_a_human_may_approve() {
    let world = World::new().await;
    let policy = with("r1", |switches| (switches.max_accounts, switches.on_exceed) = (Some(1), OnExceed::Approve));
    ready(&world.sign_in(&ada(), &policy).await);
    let bob = person("bob", "bob", &["g-devs"]);
    let session = world.session(&bob).await;
    for _ in 0..2 {
        assert_eq!(refused(&world.ensure(&session, &policy).await), PublicMessage::AwaitingApproval);
        assert_eq!(refused(&world.ensure_by_program(&session, &policy).await), PublicMessage::AwaitingApproval);
        world.clock.advance_ms(2_000);
    }
    let record = world.record("bob").await.unwrap();
    assert_eq!((record.state, record.awaiting, record.login), (AccountState::AwaitingApproval, Some(Awaiting::Account), None));
    assert_eq!(world.app.logins(), ["ada"]);

    let people = world.desk.people();
    let waiting = people.list(None, Which::Waiting).await.unwrap();
    assert_eq!(waiting.iter().map(|one| (one.subject.as_str(), one.who.as_deref())).collect::<Vec<_>>(), [("bob", Some("bob@example.com"))]);
    assert!(matches!(people.approve(&key_at("wiki", "ada"), Some(Awaiting::Account), "op").await, Err(PeopleError::NothingToApprove { .. })));
    assert!(matches!(people.approve(&key_at("wiki", "nobody"), Some(Awaiting::Account), "op").await, Err(PeopleError::NotFound { .. })));
    assert!(matches!(people.approve(&key_at("crm", "bob"), Some(Awaiting::Account), "op").await, Err(PeopleError::NotFound { .. })));
    // What was seen is approved, and nothing else that waits by now.
    for seen in [None, Some(Awaiting::Join), Some(Awaiting::Leave)] {
        let refused = people.approve(&key_at("wiki", "bob"), seen, "op").await;
        assert!(matches!(refused, Err(PeopleError::WaitsForAnother { awaiting: Awaiting::Account, .. })), "{seen:?}: {refused:?}");
    }
    assert_eq!(world.record("bob").await.unwrap().awaiting, Some(Awaiting::Account));
    people.approve(&key_at("wiki", "bob"), Some(Awaiting::Account), "op").await.unwrap();
    assert_eq!(ready(&world.ensure(&session, &policy).await).login, "bob");
    assert_eq!(world.app.logins(), ["ada", "bob"]);
    let bob = people.show(&key_at("wiki", "bob")).await.unwrap();
    assert_eq!((bob.state, bob.awaiting, bob.seat_approved_at.is_some(), bob.join_approved_at), (AccountState::Active, None, true, None));
    assert!(people.list(None, Which::Waiting).await.unwrap().is_empty());
    // One was approved, not everybody.
    assert_eq!(refused(&world.sign_in(&person("cy", "cy", &[]), &policy).await), PublicMessage::AwaitingApproval);
    // With a seat more nobody has to be asked.
    let wider = with("r2", |switches| (switches.max_accounts, switches.on_exceed) = (Some(3), OnExceed::Approve));
    world.clock.advance_ms(2_000);
    ready(&world.sign_in(&person("cy", "cy", &[]), &wider).await);
    assert_eq!(world.record("cy").await.unwrap().awaiting, None);
}

// A yes to a seat is no yes to memberships of an account that was there before.
#[tokio::test]
async fn row_34_who_was_given_a_seat_still_waits_to_join() {
    let world = World::new().await;
    let seats = |switches: &mut Switches| (switches.max_accounts, switches.on_exceed, switches.join) = (Some(1), OnExceed::Approve, Join::Approval);
    let policy = recognising(OnExisting::Adopt, seats);
    ready(&world.sign_in(&ada(), &policy).await);
    let bob = person("bob", "bob", &["g-devs"]);
    assert_eq!(refused(&world.sign_in(&bob, &policy).await), PublicMessage::AwaitingApproval);
    let people = world.desk.people();
    people.approve(&key_at("wiki", "bob"), Some(Awaiting::Account), "op").await.unwrap();
    // Before he comes back, somebody makes the account at the app by hand.
    world.app.put("bob", |_| {});
    ready(&world.sign_in(&bob, &policy).await);
    assert!(world.app.groups("bob").is_empty(), "nobody has approved that");
    let record = world.record("bob").await.unwrap();
    assert_eq!((record.state, record.awaiting), (AccountState::LinkedUnmanaged, Some(Awaiting::Join)));
    assert_eq!((record.seat_approved_at.is_some(), record.join_approved_at), (true, None));
    people.approve(&key_at("wiki", "bob"), Some(Awaiting::Join), "op").await.unwrap();
    ready(&world.sign_in(&bob, &policy).await);
    assert_eq!(world.app.groups("bob"), ["devs"]);
}

// Nor the other way round.
#[tokio::test]
async fn row_10_who_was_allowed_to_join_still_waits_for_a_seat() {
    let world = World::new().await;
    world.app.put("bob", |_| {});
    let with = |seats: u64| {
        let switches = move |switches: &mut Switches| {
            (switches.max_accounts, switches.on_exceed, switches.join) = (Some(seats), OnExceed::Approve, Join::Approval);
        };
        recognising(OnExisting::Adopt, switches)
    };
    let bob = person("bob", "bob", &["g-devs"]);
    ready(&world.sign_in(&bob, &with(2)).await);
    world.desk.people().approve(&key_at("wiki", "bob"), Some(Awaiting::Join), "op").await.unwrap();
    ready(&world.sign_in(&bob, &with(2)).await);
    assert_eq!(world.app.groups("bob"), ["devs"]);
    let record = world.record("bob").await.unwrap();
    assert_eq!((record.seat_approved_at, record.join_approved_at.is_some()), (None, true));
    // The account is removed at the app, and the seats are taken by others meanwhile.
    world.app.accounts.lock().unwrap().clear();
    ready(&world.sign_in(&ada(), &with(2)).await);
    world.clock.advance_ms(2 * HOUR_MS);
    assert_eq!(refused(&world.sign_in(&bob, &with(1)).await), PublicMessage::AwaitingApproval);
    assert_eq!(world.app.logins(), ["ada"]);
}

#[tokio::test]
async fn row_28_a_member_who_has_an_account_is_linked_and_let_in() {
    let world = World::new().await;
    world.app.put("ada", |account| drop(account.memberships.get_mut("group").unwrap().insert("devs".into(), None)));
    let pass = ready(&world.sign_in(&ada(), &linking(&[MatchBy::Login], OnExisting::Adopt)).await);
    let record = world.record("ada").await.unwrap();
    assert_eq!((pass.login.as_str(), record.state, record.origin), ("ada", AccountState::Active, Some(Origin::Adopted)));
    assert_eq!((world.app.groups("ada"), world.app.count("add")), (vec!["devs".to_owned()], 0));
    let calls = world.app.all_calls();
    ready(&world.sign_in(&ada(), &linking(&[MatchBy::Login], OnExisting::Adopt)).await);
    assert_eq!(world.app.all_calls(), calls, "known: straight in");
}

#[tokio::test]
async fn row_32_whoever_has_an_account_and_is_no_member_is_let_in_and_lands_elsewhere() {
    let world = World::new().await;
    world.app.put("ada", |account| account.attributes = [("display".to_owned(), json!("A."))].into());
    let policy = recognising(OnExisting::Adopt, |switches| switches.join = Join::Created);
    let pass = ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!((pass.login.as_str(), pass.landing.as_deref()), ("ada", Some("/mine")));
    assert_eq!(world.record("ada").await.unwrap().state, AccountState::LinkedUnmanaged);
    // Every time, and not only the first.
    assert_eq!(ready(&world.sign_in(&ada(), &policy).await).landing.as_deref(), Some("/mine"));
}

#[tokio::test]
async fn row_33_memberships_are_for_accounts_that_the_gateway_made_and_others_keep_what_they_have() {
    let world = World::new().await;
    world.app.put("ada", |account| drop(account.memberships.get_mut("group").unwrap().insert("web".into(), None)));
    let policy = recognising(OnExisting::Adopt, |switches| switches.join = Join::Created);
    ready(&world.sign_in(&ada(), &policy).await);
    ready(&world.sign_in(&person("bob", "bob", &["g-devs"]), &policy).await);
    assert_eq!((world.app.groups("ada"), world.app.groups("bob")), (vec!["web".to_owned()], vec!["devs".to_owned()]));
    // Other groups, and a look after an hour: still nothing.
    world.clock.advance_ms(2 * HOUR_MS);
    ready(&world.sign_in(&person("ada", "ada", &["g-ops", "g-devs"]), &policy).await);
    assert_eq!((world.app.groups("ada"), world.app.count("add"), world.app.count("remove")), (vec!["web".to_owned()], 1, 0));
    // A rule that came later takes nothing away from those who had joined.
    let world = World::new().await;
    world.app.put("ada", |_| {});
    ready(&world.sign_in(&ada(), &recognising(OnExisting::Adopt, |_| {})).await);
    let later = policy_at("r2", &recognising_made(Join::Created));
    ready(&world.sign_in(&person("ada", "ada", &[]), &later).await);
    assert_eq!(world.app.groups("ada"), ["devs"]);
}

fn recognising_made(join: Join) -> impl Fn(&mut Policy) {
    move |policy| {
        let provision = policy.provision.as_mut().unwrap();
        (provision.match_by, provision.on_existing, provision.switches.join) = (vec![MatchBy::Login], OnExisting::Adopt, join);
    }
}

fn policy_at(revision: &str, change: &impl Fn(&mut Policy)) -> Arc<Policy> {
    policy(|policy| {
        revision.clone_into(&mut policy.revision);
        change(policy);
    })
}

#[tokio::test]
async fn row_34_who_was_there_before_joins_once_a_human_has_approved() {
    let world = World::new().await;
    world.app.put("ada", |_| {});
    let policy = recognising(OnExisting::Adopt, |switches| switches.join = Join::Approval);
    let session = world.session(&ada()).await;
    let pass = ready(&world.ensure(&session, &policy).await);
    assert_eq!((pass.landing.as_deref(), world.app.groups("ada")), (Some("/mine"), Vec::new()));
    let record = world.record("ada").await.unwrap();
    assert_eq!((record.state, record.awaiting), (AccountState::LinkedUnmanaged, Some(Awaiting::Join)));
    // Within minutes of the yes, not within the hour that a pass lives otherwise.
    assert!(pass.good_until.since_ms(vestibule::clock::Clock::now(&*world.clock)) <= 5 * 60_000);
    ready(&world.sign_in(&ada(), &policy).await);
    assert!(world.app.groups("ada").is_empty());

    let people = world.desk.people();
    assert_eq!(people.list(Some("wiki"), Which::Waiting).await.unwrap().len(), 1);
    people.approve(&key_at("wiki", "ada"), Some(Awaiting::Join), "op").await.unwrap();
    ready(&world.ensure(&session, &policy).await);
    assert_eq!(world.app.groups("ada"), ["devs"]);
    let record = world.record("ada").await.unwrap();
    assert_eq!((record.state, record.awaiting, record.join_approved_at.is_some(), record.seat_approved_at), (AccountState::Active, None, true, None));
    // For good: no second yes for other groups.
    ready(&world.sign_in(&person("ada", "ada", &["g-ops"]), &policy).await);
    assert_eq!(world.app.groups("ada"), ["ops"]);
    // Whom the gateway makes has to ask nobody.
    ready(&world.sign_in(&person("bob", "bob", &["g-devs"]), &policy).await);
    assert_eq!(world.app.groups("bob"), ["devs"]);
}

#[tokio::test]
async fn row_35_a_condition_over_the_account_says_who_joins_and_every_record_says_where_it_came_from() {
    let dated = |text: &str| recognising(OnExisting::Adopt, |switches| switches.join_when = Some(condition(text)));
    let rule = dated("origin == 'created' || account.created_at >= '2024-01-01'");
    let world = World::new().await;
    world.app.put("old", |account| account.attributes = [("created_at".to_owned(), json!("2019-05-04T10:00:00Z"))].into());
    world.app.put("newer", |account| account.attributes = [("created_at".to_owned(), json!("2024-05-04T10:00:00Z"))].into());
    world.app.put("undated", |_| {});
    for (name, groups) in [("old", vec![]), ("newer", vec!["devs".to_owned()]), ("undated", vec![]), ("made", vec!["devs".to_owned()])] {
        ready(&world.sign_in(&person(name, name, &["g-devs"]), &rule).await);
        assert_eq!(world.app.groups(name), groups, "{name}");
        let record = world.record(name).await.unwrap();
        let origin = if name == "made" { Origin::Created } else { Origin::Adopted };
        assert_eq!((record.origin, record.policy_revision.as_str()), (Some(origin), "r1"), "{name}");
    }
    // Not even an account that was just made joins when the rule says no.
    ready(&world.sign_in(&person("cy", "cy", &["g-devs"]), &dated("origin == 'adopted'")).await);
    assert!(world.app.groups("cy").is_empty());
    // The revision is stamped anew when another policy has been applied.
    let second = policy_at("r2", &|_: &mut Policy| {});
    ready(&world.sign_in(&person("made", "made", &["g-devs"]), &second).await);
    assert_eq!(world.record("made").await.unwrap().policy_revision, "r2");
}

#[tokio::test]
async fn row_54_protected_accounts_are_nobodys_by_whatever_way() {
    for on_existing in [OnExisting::Adopt, OnExisting::Leave] {
        let rule = |change: fn(&mut Switches)| {
            policy(|policy| {
                let provision = policy.provision.as_mut().unwrap();
                (provision.match_by, provision.on_existing) = (vec![MatchBy::Login, MatchBy::Email], on_existing);
                change(&mut provision.switches);
            })
        };
        let by_name = rule(|switches| switches.protect = vec![Glob::new("svc-*"), Glob::new("root")]);
        let by_rule = rule(|switches| switches.protect_when = Some(condition("account.is_admin == true")));
        let world = World::new().await;
        world.app.put("SVC-backup", |account| account.email = Some("ada@example.com".into()));
        world.app.put("boss", |account| account.attributes = [("is_admin".to_owned(), json!(true))].into());
        world.app.put("bob", |account| account.attributes = [("is_admin".to_owned(), json!(false))].into());
        world.app.put("unsaid", |_| {});
        let refusals = [
            (person("x1", "svc-backup", &[]), &by_name),
            (ada(), &by_name),
            // Not there, and not made either.
            (person("x2", "svc-new", &[]), &by_name),
            (person("x3", "boss", &[]), &by_rule),
            // What the app does not say is not taken for "no".
            (person("x4", "unsaid", &[]), &by_rule),
        ];
        for (who, rule) in refusals {
            assert_eq!(refused(&world.sign_in(&who, rule).await), PublicMessage::AccountExists, "{who:?}");
            assert_eq!(world.record(&who.subject.subject).await.unwrap().account_id, None);
        }
        assert_eq!(world.app.count("create"), 0);
        assert_eq!(ready(&world.sign_in(&person("bob", "bob", &[]), &by_rule).await).login, "bob");
        // A rule that comes later holds for who was linked before, and not for an account of our own making.
        ready(&world.sign_in(&person("x5", "mine", &[]), &by_rule).await);
        world.app.change("bob", |account| account.attributes = [("is_admin".to_owned(), json!(true))].into());
        world.app.change("mine", |account| account.attributes = [("is_admin".to_owned(), json!(true))].into());
        world.clock.advance_ms(2 * HOUR_MS);
        assert_eq!(refused(&world.sign_in(&person("bob", "bob", &[]), &by_rule).await), PublicMessage::AccountExists);
        assert_eq!(ready(&world.sign_in(&person("x5", "mine", &[]), &by_rule).await).login, "mine");
    }
}

#[tokio::test]
async fn row_57_a_first_sign_in_that_takes_too_long_is_counted_and_so_is_every_step_that_fails() {
    let world = World::new().await;
    let policy = with("r1", |switches| switches.slo_ms = 3_000);
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(*world.counted.0.lock().unwrap(), ["ended create 0 ms"]);
    world.counted.0.lock().unwrap().clear();
    // The app asks for patience: four seconds.
    world.app.fault("create", Fault::Later(4_000));
    ready(&world.sign_in(&person("bob", "bob", &["g-devs"]), &policy).await);
    let counted = std::mem::take(&mut *world.counted.0.lock().unwrap());
    let [failed, ended, missed] = counted.as_slice() else { panic!("{counted:?}") };
    assert_eq!((failed.as_str(), missed.as_str()), ("create retry", "slo missed at wiki"));
    let ms: i64 = ended.strip_prefix("ended create ").and_then(|rest| rest.strip_suffix(" ms")).unwrap().parse().unwrap();
    assert!((4_000..20_000).contains(&ms), "{ms}");
    // Who is known has no first sign-in any more.
    world.app.fault("add group ops", Fault::Later(4_000));
    ready(&world.sign_in(&person("bob", "bob", &["g-ops"]), &policy).await);
    let counted = std::mem::take(&mut *world.counted.0.lock().unwrap());
    assert_eq!(counted.len(), 2, "{counted:?}");
    assert!(counted[0] == "add retry" && counted[1].starts_with("ended update "), "{counted:?}");
    // Refused at once is no job that made or adopted anything.
    world.app.put("eve", |_| {});
    assert_eq!(refused(&world.sign_in(&person("eve", "eve", &[]), &policy).await), PublicMessage::AccountExists);
    assert_eq!(*world.counted.0.lock().unwrap(), ["ended ensure 0 ms"]);
}

#[tokio::test]
async fn operators_list_show_retry_and_forget() {
    let world = World::new().await;
    let policy = with("r1", |_| {});
    let people = world.desk.people();
    ready(&world.sign_in(&ada(), &policy).await);
    world.app.put("eve", |_| {});
    assert_eq!(refused(&world.sign_in(&person("e1", "eve", &[]), &policy).await), PublicMessage::AccountExists);
    let failed = people.list(Some("wiki"), Which::Failed).await.unwrap();
    assert_eq!(failed.iter().map(|one| one.subject.as_str()).collect::<Vec<_>>(), ["e1"]);
    assert!(failed[0].failed_at.is_some() && failed[0].last_error.is_some());
    let [shown] = people.called("wiki", "ADA@example.com", None).await.unwrap().try_into().expect("one");
    assert_eq!((shown.login.as_deref(), shown.granted["group"].as_slice()), (Some("ada"), ["devs".to_owned()].as_slice()));
    assert_eq!(serde_json::to_value(&shown).unwrap()["state"], json!("active"));
    // Two of one address are two.
    let other = Identity { email: Some("ada@example.com".into()), ..person("a2", "ada2", &[]) };
    assert_eq!(refused(&world.sign_in(&other, &policy).await), PublicMessage::AccountExists);
    assert_eq!(people.called("wiki", "ada@example.com", None).await.unwrap().len(), 2);

    // Retried at once, although the failure was a moment ago.
    world.app.accounts.lock().unwrap().retain(|account| account.login != "eve");
    assert_eq!(refused(&world.sign_in(&person("e1", "eve", &[]), &policy).await), PublicMessage::AccountExists, "the answer is kept for a second");
    let retried = people.retry(&key_at("wiki", "e1"), "op").await.unwrap();
    assert_eq!((retried.state, retried.last_error, retried.failed_at, retried.attempts), (AccountState::Pending, None, None, 0));
    ready(&world.sign_in(&person("e1", "eve", &[]), &policy).await);

    // Forgotten, and found again by what the gateway wrote into the app.
    people.forget(&key_at("wiki", "ada"), "op").await.unwrap();
    assert_eq!(world.record("ada").await, None);
    assert!(matches!(people.show(&key_at("wiki", "ada")).await, Err(PeopleError::NotFound { .. })));
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(
        (world.app.logins().iter().filter(|login| *login == "ada").count(), world.record("ada").await.unwrap().origin),
        (1, Some(Origin::Created))
    );

    // Nothing is changed under the hands of a job.
    world.app.slow.store(true, Ordering::SeqCst);
    let desk = world.desk.clone();
    let (session, slow) = (world.session(&person("bo", "bo", &[])).await, policy.clone());
    let job = tokio::spawn(async move {
        desk.ensure(&session, &slow, vestibule::fault::Incident::from_bytes([2; 5]), vestibule::provision::Asking::page(20_000)).await
    });
    let calls = world.app.all_calls();
    while world.app.all_calls() == calls {
        tokio::task::yield_now().await;
    }
    assert!(matches!(people.forget(&key_at("wiki", "bo"), "op").await, Err(PeopleError::NotFound { .. } | PeopleError::Busy)));
    world.app.slow.store(false, Ordering::SeqCst);
    world.app.go.notify_waiters();
    ready(&job.await.unwrap());
}
