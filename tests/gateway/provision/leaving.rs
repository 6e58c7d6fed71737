//! Who may not come any more, who does not, and what becomes of their accounts.

use super::world::*;
use crate::state::T0;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vestibule::clock::Clock as _;
use vestibule::connector::Outcome;
use vestibule::fault::{DenyReason, PublicMessage};
use vestibule::identity::{Groups, Identity};
use vestibule::policy::leavers::has_left;
use vestibule::policy::{Bearer, Drift, Gate, Glob, Leavers, MatchBy, OnExisting, Policy};
use vestibule::provision::{Cause, Departure, Off, Reconciled};
use vestibule::session::{TokenSessions, TokenSignOn};
use vestibule::state::{AccountKey, AccountState, Awaiting, RecordedSignIn, SignInStore};

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// Who leaves is switched off.
pub(super) fn leavers(change: impl FnOnce(&mut Leavers)) -> Arc<Policy> {
    policy(|policy| {
        let provision = policy.provision.as_mut().unwrap();
        provision.leavers = Leavers { disable: true, ..Leavers::default() };
        change(&mut provision.leavers);
    })
}

fn key(subject: &str) -> AccountKey {
    key_at("wiki", subject)
}

pub(super) fn ada() -> Identity {
    person("ada", "ada", &["g-devs"])
}

async fn leaves(world: &World, subject: &str, policy: &Arc<Policy>) -> Departure {
    world.desk.leaves(&key(subject), policy, Cause::Access { as_of: world.clock.now() }, None).await
}

async fn state(world: &World, subject: &str) -> AccountState {
    world.record(subject).await.unwrap().state
}

#[tokio::test]
async fn nothing_is_done_about_whom_the_gateway_does_not_keep() {
    let world = World::new().await;
    let kept = policy(|_| {});
    ready(&world.sign_in(&ada(), &kept).await);
    let calls = world.app.all_calls();
    // The policy does not say so.
    assert_eq!(leaves(&world, "ada", &kept).await, Departure::Nothing);
    // Nobody of that name.
    assert_eq!(leaves(&world, "eve", &leavers(|_| {})).await, Departure::Nothing);
    // An account from before, left alone.
    world.app.put("bob", |_| {});
    let lookers = policy(|policy| {
        let provision = policy.provision.as_mut().unwrap();
        (provision.match_by, provision.on_existing) = (vec![MatchBy::Login], OnExisting::Leave);
    });
    ready(&world.sign_in(&person("bob", "bob", &[]), &lookers).await);
    assert_eq!(leaves(&world, "bob", &leavers(|_| {})).await, Departure::Nothing);
    assert_eq!((world.app.count("disable"), world.app.all_calls() > calls), (0, true));
    assert!(!world.app.account("bob").disabled && !world.app.account("ada").disabled);
    assert_eq!(state(&world, "ada").await, AccountState::Active);
}

#[tokio::test]
async fn who_leaves_is_switched_off_and_who_comes_back_is_switched_on() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
    assert!(world.app.account("ada").disabled);
    let record = world.record("ada").await.unwrap();
    assert_eq!((record.state, record.account_id.is_some(), record.login.as_deref()), (AccountState::Suspended, true, Some("ada")));
    assert_eq!((world.app.count("disable"), world.app.count("revoke_sessions")), (1, 1));
    // Once is enough, whoever says it again.
    assert_eq!(leaves(&world, "ada", &policy).await, Departure::Nothing);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(world.app.count("disable"), 1);
    // Let in again: the same account, on again.
    assert_eq!(ready(&world.sign_in(&ada(), &policy).await).login, "ada");
    assert_eq!((world.app.account("ada").disabled, world.app.logins().len(), state(&world, "ada").await), (false, 1, AccountState::Active));
    let listed = world.desk.people().show(&key("ada")).await.unwrap();
    assert_eq!(listed.left, None);
}

#[tokio::test]
async fn an_older_sign_in_neither_takes_away_nor_brings_back() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    // In one browser she is let in ...
    let before = world.session(&ada()).await;
    ready(&world.ensure(&before, &policy).await);
    let let_in_at = world.clock.now();
    // ... later, in another one, she is not any more: the account is off, and the session before does not switch it on.
    world.clock.advance_ms(60_000);
    assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
    world.clock.advance_ms(2 * HOUR_MS);
    assert_eq!(refused(&world.ensure(&before, &policy).await), PublicMessage::SignInRequired);
    assert!(world.app.account("ada").disabled);
    // Let in by a new sign-in, a page that is still open from before takes nothing away.
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(world.desk.leaves(&key("ada"), &policy, Cause::Access { as_of: let_in_at }, None).await, Departure::Nothing);
    assert!(!world.app.account("ada").disabled);
}

#[tokio::test]
async fn while_accounts_are_switched_off_nobody_is() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    ready(&world.sign_in(&ada(), &policy).await);
    let off = policy_like(&policy, |provision| provision.switches.enabled = false);
    assert_eq!(leaves(&world, "ada", &off).await, Departure::Nothing);
    world.clock.advance_ms(400 * DAY_MS);
    world.desk.tend(&[off], true).await;
    assert_eq!(world.app.count("disable"), 0);
}

#[tokio::test]
async fn what_was_switched_on_at_the_app_is_not_removed_and_what_nobody_has_looked_at_is_not_switched_off() {
    let world = World::new().await;
    let policy = leavers(|leavers| leavers.delete_after_ms = Some(DAY_MS));
    ready(&world.sign_in(&ada(), &policy).await);
    leaves(&world, "ada", &policy).await;
    world.app.change("ada", |account| account.disabled = false);
    world.clock.advance_ms(2 * DAY_MS);
    for _ in 0..2 {
        world.desk.tend(&[Arc::clone(&policy)], true).await;
    }
    assert_eq!((world.app.logins(), world.app.count("delete")), (vec!["ada".to_owned()], 0));
    // An account that an operator has named may be anybody's until it has been looked at.
    ready(&world.sign_in(&person("bob", "bob", &[]), &policy).await);
    world.app.put("root", |account| account.admin = true);
    world.desk.people().relink(&key("bob"), &world.app.account("root").id, "test").await.unwrap();
    assert_eq!(leaves(&world, "bob", &policy).await, Departure::Nothing);
    assert!(!world.app.account("root").disabled);
}

#[tokio::test]
async fn whom_somebody_else_has_switched_off_is_not_switched_on() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    ready(&world.sign_in(&ada(), &policy).await);
    world.app.change("ada", |account| account.disabled = true);
    world.clock.advance_ms(2 * HOUR_MS);
    assert_eq!(refused(&world.sign_in(&ada(), &policy).await), PublicMessage::AccountExists);
    assert!(world.app.account("ada").disabled);
}

#[tokio::test]
async fn an_app_that_is_down_is_told_later_and_the_record_keeps_the_wish() {
    let world = World::new().await;
    let policy = leavers(|_| {});
    ready(&world.sign_in(&ada(), &policy).await);
    world.app.fault("disable", Fault::Answer(Outcome::Retry));
    assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
    assert_eq!((state(&world, "ada").await, world.app.account("ada").disabled), (AccountState::Suspending, false));
    // Not at once again, and not for ever later.
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert_eq!(world.app.count("disable"), 1);
    world.clock.advance_ms(61_000);
    // The answer is lost: it is said again, which harms nobody.
    world.app.fault("disable", Fault::LostReply);
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert_eq!((state(&world, "ada").await, world.app.count("disable")), (AccountState::Suspending, 2));
    world.clock.advance_ms(121_000);
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert_eq!((state(&world, "ada").await, world.app.account("ada").disabled), (AccountState::Suspended, true));
}

/// The first answer was lost, and later calls do not come through: the account may be off all the same, and by us.
#[tokio::test]
async fn who_was_switched_off_by_a_call_whose_answer_was_lost_is_switched_on_again_whatever_failed_after_it() {
    for later in [Outcome::Retry, Outcome::Reauth] {
        let world = World::new().await;
        let policy = leavers(|_| {});
        ready(&world.sign_in(&ada(), &policy).await);
        world.app.fault("disable", Fault::LostReply);
        assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
        world.clock.advance_ms(61_000);
        world.app.fault("disable", Fault::Answer(later));
        world.desk.tend(&[Arc::clone(&policy)], false).await;
        assert_eq!((state(&world, "ada").await, world.app.account("ada").disabled), (AccountState::Suspending, true));
        world.clock.advance_ms(DAY_MS);
        ready(&world.sign_in(&ada(), &policy).await);
        assert!(!world.app.account("ada").disabled);
    }
}

/// `delete_after` made shorter by mistake removes two, as many as always may, and the others wait for a yes.
#[tokio::test]
async fn too_many_removals_at_once_wait_for_a_human() {
    let world = World::new().await;
    let policy = leavers(|leavers| (leavers.max, leavers.percent_max, leavers.delete_after_ms) = (3, 100, Some(DAY_MS)));
    for n in 0..6 {
        let name = format!("p{n}");
        ready(&world.sign_in(&person(&name, &name, &[]), &policy).await);
        assert_eq!(leaves(&world, &name, &policy).await, Departure::Left);
        world.clock.advance_ms(HOUR_MS);
    }
    world.clock.advance_ms(2 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!((world.app.count("delete"), world.app.logins()), (2, ["p2", "p3", "p4", "p5"].map(str::to_owned).to_vec()));
    let staged = world.record("p4").await.unwrap();
    assert_eq!((staged.state, staged.awaiting), (AccountState::Suspended, Some(Awaiting::Leave)));
    // Nor does time alone remove them; one comes back, and one is said yes to.
    world.clock.advance_ms(DAY_MS);
    ready(&world.sign_in(&person("p3", "p3", &[]), &policy).await);
    world.desk.people().approve(&key("p4"), Some(Awaiting::Leave), "test").await.unwrap();
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(world.app.logins(), ["p2", "p3", "p5"]);
    assert!(!world.app.account("p3").disabled && world.app.account("p5").disabled);
    assert_eq!(world.desk.people().approve_leavers("wiki", "test").await.unwrap().len(), 2);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(world.app.logins(), ["p3"]);
}

#[tokio::test]
async fn what_an_app_cannot_or_will_not_do_is_recorded_and_not_tried_for_ever() {
    for (outcome, off) in [(Outcome::Unsupported, Off::Unsupported), (Outcome::Denied, Off::Refused)] {
        let world = World::new().await;
        let policy = leavers(|_| {});
        ready(&world.sign_in(&ada(), &policy).await);
        world.app.fault("disable", Fault::Answer(outcome));
        assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
        let listed = world.desk.people().show(&key("ada")).await.unwrap();
        assert_eq!((listed.state, listed.left.unwrap().off), (AccountState::Suspended, Some(off)));
        world.clock.advance_ms(DAY_MS);
        world.desk.tend(&[Arc::clone(&policy)], true).await;
        assert_eq!(world.app.count("disable"), 1);
    }
}

#[tokio::test]
async fn a_delay_is_waited_for_and_coming_back_in_time_undoes_it() {
    let world = World::new().await;
    let policy = leavers(|leavers| leavers.after_ms = 7 * DAY_MS);
    for name in ["ada", "bob"] {
        ready(&world.sign_in(&person(name, name, &[]), &policy).await);
        assert_eq!(leaves(&world, name, &policy).await, Departure::Left);
    }
    world.clock.advance_ms(6 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(world.app.count("disable"), 0);
    ready(&world.sign_in(&person("bob", "bob", &[]), &policy).await);
    world.clock.advance_ms(DAY_MS + 1);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!((world.app.account("ada").disabled, world.app.account("bob").disabled), (true, false));
}

#[tokio::test]
async fn too_many_at_once_wait_for_a_human() {
    let world = World::new().await;
    let policy = leavers(|leavers| (leavers.max, leavers.percent_max) = (3, 100));
    for n in 0..8 {
        let name = format!("p{n}");
        ready(&world.sign_in(&person(&name, &name, &[]), &policy).await);
    }
    let mut came = Vec::new();
    for n in 0..6 {
        came.push(leaves(&world, &format!("p{n}"), &policy).await);
    }
    assert_eq!(came, [Departure::Left, Departure::Left, Departure::Left, Departure::Staged, Departure::Staged, Departure::Staged]);
    world.clock.advance_ms(DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(world.app.count("disable"), 3, "nothing is done before somebody has said yes");
    let staged = world.record("p3").await.unwrap();
    assert_eq!((staged.state, staged.awaiting), (AccountState::Suspending, Some(Awaiting::Leave)));
    // The door is shut meanwhile: that is no state in which a record lets anybody in. Whoever may come again comes, as ever.
    ready(&world.sign_in(&person("p5", "p5", &[]), &policy).await);
    assert_eq!(world.record("p5").await.unwrap().awaiting, None);
    // A yes for one, then for all; it is no approval of anything else.
    world.desk.people().approve(&key("p3"), Some(Awaiting::Leave), "test").await.unwrap();
    let record = world.record("p3").await.unwrap();
    assert_eq!((record.seat_approved_at, record.join_approved_at), (None, None));
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert_eq!(world.app.count("disable"), 4);
    assert_eq!(world.desk.people().approve_leavers("wiki", "test").await.unwrap().len(), 1);
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    let off = |name: &str| world.app.account(name).disabled;
    assert_eq!(["p0", "p1", "p2", "p3", "p4", "p5", "p6"].map(off), [true, true, true, true, true, false, false]);
}

#[tokio::test]
async fn who_does_not_come_any_more_has_left_and_is_removed_in_the_end() {
    let world = World::new().await;
    let policy = leavers(|leavers| (leavers.idle_ms, leavers.delete_after_ms) = (Some(90 * DAY_MS), Some(180 * DAY_MS)));
    ready(&world.sign_in(&ada(), &policy).await);
    world.app.put("old", |_| {});
    let adopting = policy_like(&policy, |provision| (provision.match_by, provision.on_existing) = (vec![MatchBy::Login], OnExisting::Adopt));
    ready(&world.sign_in(&person("old", "old", &[]), &adopting).await);
    world.clock.advance_ms(89 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(world.app.count("disable"), 0);
    world.clock.advance_ms(2 * DAY_MS);
    // A short look reads no records.
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert_eq!(world.app.count("disable"), 0);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!((world.app.account("ada").disabled, world.app.account("old").disabled), (true, true));
    world.clock.advance_ms(181 * DAY_MS);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    // Only what the gateway has made is removed; the login stays hers.
    assert_eq!(world.app.logins(), ["old"]);
    let record = world.record("ada").await.unwrap();
    assert_eq!((record.state, record.account_id, record.login.as_deref()), (AccountState::Deprovisioned, None, Some("ada")));
    assert_eq!(refused(&world.sign_in(&person("ada-2", "ada", &[]), &policy).await), PublicMessage::AccountExists);
    assert_eq!(ready(&world.sign_in(&ada(), &policy).await).login, "ada");
    assert_eq!((world.app.count("create"), state(&world, "ada").await), (2, AccountState::Active));
}

/// Tokens are accepted, and make no accounts.
fn by_token(like: &Arc<Policy>) -> Arc<Policy> {
    let leavers = like.provision.as_ref().unwrap().leavers;
    policy(|policy| {
        policy.provision.as_mut().unwrap().leavers = leavers;
        policy.bearer = Some(Bearer { idp: "corp".into(), audience: "wiki".into(), scopes: Vec::new(), provision: false });
    })
}

#[tokio::test]
async fn who_comes_by_token_alone_comes() {
    let world = World::new().await;
    let policy = by_token(&leavers(|leavers| leavers.idle_ms = Some(90 * DAY_MS)));
    for who in ["ada", "bob", "cy"] {
        ready(&world.sign_in(&person(who, who, &[]), &policy).await);
    }
    let tokens = TokenSessions::new(world.clock.clone(), HOUR_MS);
    let script = async |who: &str| {
        let now = world.clock.now();
        let token = TokenSignOn { identity: person(who, who, &[]), auth_time: now, issued_at: now, expires_at: now.plus_ms(60_000) };
        let key = TokenSessions::key("wiki", "r1", &format!("{who} {}", now.millis()));
        let session = tokens.session(key, "wiki", async { Ok::<_, String>(token) }).await.unwrap();
        ready(&world.ensure_by_program(&session, &policy).await)
    };
    let tend = async || world.desk.tend(&[Arc::clone(&policy)], true).await;
    let off = |who: &str| world.app.account(who).disabled;
    // Nobody knows who came before it was written down: the first look begins to count.
    world.clock.advance_ms(91 * DAY_MS);
    tend().await;
    assert_eq!(world.app.count("disable"), 0);
    world.clock.advance_ms(60 * DAY_MS);
    script("ada").await;
    script("ada").await;
    tend().await;
    world.clock.advance_ms(29 * DAY_MS);
    ready(&world.sign_in(&person("cy", "cy", &[]), &policy).await);
    tend().await;
    assert_eq!(world.app.count("disable"), 0);
    world.clock.advance_ms(2 * DAY_MS);
    tend().await;
    assert_eq!(["ada", "bob", "cy"].map(off), [false, true, false], "by token, not at all, in a browser");
    // Another gateway reads what this one wrote down; and nobody comes for ever by having come once.
    let another = world.another(&tokio::runtime::Handle::current(), "gateway-2");
    another.tend(&[Arc::clone(&policy)], true).await;
    assert!(!off("ada"));
    world.clock.advance_ms(60 * DAY_MS);
    another.tend(&[Arc::clone(&policy)], true).await;
    assert!(off("ada"));
}

#[tokio::test]
async fn a_token_of_somebody_who_has_left_is_worth_nothing() {
    let world = World::new().await;
    let policy = leavers(|leavers| leavers.after_ms = DAY_MS);
    ready(&world.sign_in(&ada(), &policy).await);
    leaves(&world, "ada", &policy).await;
    assert!(!world.record("ada").await.unwrap().is_linked());
}

#[test]
fn only_what_is_certain_means_that_somebody_has_left() {
    let of = |gate: Gate| policy(|policy| policy.access = gate);
    let gate =
        || Gate { groups: vec![Glob::new("staff")], deny_groups: vec![Glob::new("gone")], domains: vec!["example.com".into()], ..Gate::default() };
    let who = |groups: Groups, email: Option<&str>| Identity { groups, email: email.map(str::to_owned), email_verified: true, ..ada() };
    let known = |names: &[&str]| Groups::Known(names.iter().map(|&name| name.to_owned()).collect());
    let check = |identity: &Identity, expected| assert_eq!(has_left(&of(gate()), identity), expected, "{identity:?}");
    check(&who(known(&["staff"]), Some("ada@example.com")), None);
    check(&who(known(&["other"]), Some("ada@example.com")), Some(DenyReason::Groups));
    check(&who(known(&["staff", "GONE"]), Some("ada@example.com")), Some(DenyReason::DenyGroups));
    check(&who(known(&["staff"]), Some("ada@elsewhere.example")), Some(DenyReason::Domains));
    // What a provider does not say takes nothing away: groups that are too many for a token, an address that is not there or not verified.
    check(&who(Groups::Unknown, Some("ada@example.com")), None);
    check(&who(known(&["staff"]), None), None);
    check(&Identity { email_verified: false, ..who(known(&["staff"]), Some("ada@example.com")) }, None);
}

pub(super) fn policy_like(like: &Arc<Policy>, change: impl FnOnce(&mut vestibule::policy::Provision)) -> Arc<Policy> {
    let leavers = like.provision.as_ref().unwrap().leavers;
    policy(|policy| {
        let provision = policy.provision.as_mut().unwrap();
        provision.leavers = leavers;
        change(provision);
    })
}

// --- drift ---------------------------------------------------------------------------------------

#[tokio::test]
async fn drift_is_set_right_or_told() {
    for (drift, groups) in [(Drift::Correct, vec!["devs".to_owned()]), (Drift::Report, Vec::new())] {
        let world = World::new().await;
        let policy = policy(|policy| policy.provision.as_mut().unwrap().drift = drift);
        ready(&world.sign_in(&ada(), &policy).await);
        world.app.change("ada", |account| account.memberships.get_mut("group").unwrap().clear());
        world.clock.advance_ms(2 * HOUR_MS);
        ready(&world.sign_in(&ada(), &policy).await);
        assert_eq!(world.app.groups("ada"), groups);
        let listed = world.desk.people().show(&key("ada")).await.unwrap();
        assert_eq!(listed.drift, if drift == Drift::Report { vec!["group devs".to_owned()] } else { Vec::new() });
        // Looked at twice, it is still the same; and what the policy takes back is taken back.
        world.clock.advance_ms(2 * HOUR_MS);
        ready(&world.sign_in(&person("ada", "ada", &["g-ops"]), &policy).await);
        assert_eq!(world.app.groups("ada"), ["ops"]);
        assert!(world.desk.people().show(&key("ada")).await.unwrap().drift.is_empty());
    }
}

// --- relink --------------------------------------------------------------------------------------

#[tokio::test]
async fn an_operator_says_which_account_is_whose_and_the_rules_hold_all_the_same() {
    let world = World::new().await;
    let policy = policy(|_| {});
    ready(&world.sign_in(&ada(), &policy).await);
    ready(&world.sign_in(&person("bob", "bob", &[]), &policy).await);
    world.app.put("ada.lovelace", |_| {});
    world.app.put("root", |account| account.admin = true);
    let id = |login: &str| world.app.account(login).id;
    let people = world.desk.people();
    let taken = people.relink(&key("ada"), &id("bob"), "test").await.unwrap_err();
    assert!(taken.to_string().contains("another person's"), "{taken}");
    // An administrator's account is nobody's, whoever says so.
    people.relink(&key("ada"), &id("root"), "test").await.unwrap();
    assert_eq!(refused(&world.sign_in(&ada(), &policy).await), PublicMessage::AccountExists);
    people.relink(&key("ada"), &id("ada.lovelace"), "test").await.unwrap();
    assert_eq!(ready(&world.sign_in(&ada(), &policy).await).login, "ada.lovelace");
    assert_eq!(world.app.groups("ada.lovelace"), ["devs"]);
}

// --- freshness -----------------------------------------------------------------------------------

#[tokio::test]
async fn whoever_is_known_goes_on_at_once_and_is_looked_at_beside_it() {
    let world = World::new().await;
    let policy = policy(|_| {});
    let desk = world.hurried(&tokio::runtime::Handle::current());
    let session = world.session(&ada()).await;
    ready(&world.ensure_at(&desk, &session, &policy).await);
    world.app.slow.store(true, Ordering::SeqCst);
    world.clock.advance_ms(2 * HOUR_MS);
    let pass = ready(&world.ensure_at(&desk, &session, &policy).await);
    assert!(pass.good_until.since_ms(world.clock.now()) <= 60_000, "not for longer than until the look is over");
    while world.app.count("get") == 0 {
        tokio::task::yield_now().await;
    }
    world.app.slow.store(false, Ordering::SeqCst);
    world.app.go.notify_waiters();
    while world.record("ada").await.unwrap().verified_at == Some(T0) {
        tokio::task::yield_now().await;
    }
    // Within a fifth of an hour of an hour.
    let pass = ready(&world.ensure_at(&desk, &session, &policy).await);
    assert!((48..=72).contains(&(pass.good_until.since_ms(world.clock.now()) / 60_000)), "{pass:?}");
    assert_eq!(world.app.count("get"), 1);
    // After a day it is looked at before anything goes on, and a look that does not come is waited for.
    world.clock.advance_ms(25 * HOUR_MS);
    world.app.accounts.lock().unwrap().clear();
    let session = world.session(&ada()).await;
    ready(&world.ensure_at(&desk, &session, &policy).await);
    assert_eq!((world.app.count("get"), world.app.count("create")), (2, 2));
    // The admin API is down: good for twelve hours more, and no longer.
    world.app.down.store(true, Ordering::SeqCst);
    for (hours, goes_on) in [(30, true), (5, true), (2, false)] {
        world.clock.advance_ms(hours * HOUR_MS);
        let ensured = world.ensure_at(&desk, &session, &policy).await;
        if goes_on {
            ready(&ensured);
        } else {
            assert_eq!(refused(&ensured), PublicMessage::AccountUnavailable);
        }
    }
}

// --- reconcile -----------------------------------------------------------------------------------

async fn reconcile(world: &World, policy: &Arc<Policy>, changed_only: bool) -> Reconciled {
    let sign_ins: Arc<dyn SignInStore> = world.sign_ins();
    let last = std::sync::Mutex::new(Reconciled::default());
    let counted = world.desk.reconcile(policy, &sign_ins, changed_only, &|so_far| *last.lock().unwrap() = so_far).await.unwrap();
    assert_eq!(*last.lock().unwrap(), counted);
    counted
}

#[tokio::test]
async fn everybody_is_held_against_the_policy_without_being_here() {
    let world = World::new().await;
    let before = leavers(|_| {});
    for (name, groups) in [
        ("as-is", &["g-devs", "in"][..]),
        ("moved", &["g-devs", "g-ops", "in"]),
        ("out", &["g-devs"]),
        ("gone", &["g-devs", "in"]),
        ("lost", &["in"]),
    ] {
        let identity = person(name, name, groups);
        ready(&world.sign_in(&identity, &before).await);
        if name != "lost" {
            let sign_in = RecordedSignIn { identity, auth_time: world.clock.now(), at: world.clock.now() };
            world.sign_ins().record(&sign_in).await.unwrap();
        }
    }
    world.app.change("moved", |account| account.memberships.get_mut("group").unwrap().clear());
    world.app.accounts.lock().unwrap().retain(|account| account.login != "gone");
    world.clock.advance_ms(60_000);
    let after = policy(|policy| {
        policy.access = Gate { groups: vec![Glob::new("in")], ..Gate::default() };
        policy.provision.as_mut().unwrap().leavers = Leavers { disable: true, ..Leavers::default() };
        policy.revision = "r2".to_owned();
    });
    let counted = reconcile(&world, &after, false).await;
    assert_eq!(counted, Reconciled { people: 5, as_wanted: 1, changed: 1, left: 1, gone: 1, unknown: 1, ..Reconciled::default() });
    assert!(world.app.account("out").disabled);
    assert_eq!(world.app.groups("moved"), ["devs", "ops"]);
    assert_eq!(world.app.count("create"), 5, "nobody who is not here is made an account");
    // Again: nothing left to do; and with `changed_only` nothing is even looked at.
    let calls = world.app.all_calls();
    let again = reconcile(&world, &after, true).await;
    assert_eq!((again.skipped, again.unknown, world.app.all_calls()), (2, 1, calls));
}
