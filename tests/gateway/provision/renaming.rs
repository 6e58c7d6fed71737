//! Row "User renamed in IdP": nobody is renamed by default; where the policy follows, never onto somebody else's name, and never twice.

use super::world::*;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use vestibule::connector::Outcome;
use vestibule::fault::PublicMessage;
use vestibule::identity::Identity;
use vestibule::policy::switches::{Rename, Switches, WhenDisabled};
use vestibule::policy::{Glob, MatchBy, OnCollision, OnExisting, Policy};
use vestibule::provision::{Ensured, Passes};
use vestibule::state::AccountKey;

fn following(change: impl FnOnce(&mut Policy)) -> Arc<Policy> {
    policy(|policy| {
        policy.provision.as_mut().unwrap().switches.rename = Rename::Follow;
        change(policy);
    })
}

fn switched(change: impl FnOnce(&mut Switches)) -> Arc<Policy> {
    following(|policy| change(&mut policy.provision.as_mut().unwrap().switches))
}

/// The same person, by another name at their provider.
fn called(username: &str) -> Identity {
    Identity { username: Some(username.into()), ..person("ada", "ada", &["g-devs"]) }
}

/// Signs in so long after the last look that the account is looked at.
async fn later(world: &World, identity: &Identity, policy: &Arc<Policy>) -> Ensured {
    world.clock.advance_ms(2 * 3_600_000);
    world.sign_in(identity, policy).await
}

#[tokio::test]
async fn by_default_and_wherever_anything_stands_in_the_way_the_login_stays() {
    let check = async |what: &str, policy: Arc<Policy>, prepare: &dyn Fn(&App), to: &str| {
        let world = World::new().await;
        ready(&world.sign_in(&called("ada"), &policy).await);
        ready(&world.sign_in(&person("eve", "eve", &[]), &policy).await);
        prepare(&world.app);
        let id = world.app.account("ada").id;
        let login = ready(&later(&world, &called(to), &policy).await).login.clone();
        assert_eq!((login.as_str(), world.app.account("ada").id), ("ada", id), "{what}");
        assert_eq!(world.record("ada").await.unwrap().login.as_deref(), Some("ada"), "{what}");
        assert!(world.record("ada").await.unwrap().in_doubt.is_none(), "{what}");
        world.app.count("rename")
    };
    let nothing: &dyn Fn(&App) = &|_| {};
    assert_eq!(check("never is the default", policy(|_| {}), nothing, "ada-king").await, 0);
    assert_eq!(check("another person's by our records", switched(|_| {}), nothing, "EVE").await, 0);
    assert_eq!(check("somebody's at the app", switched(|_| {}), &|app| app.put("Ada-King", |_| {}), "ada-king").await, 0);
    assert_eq!(check("reserved", switched(|_| {}), nothing, "root").await, 0);
    assert_eq!(check("protected", switched(|s| s.protect = vec![Glob::new("svc-*")]), nothing, "svc-backup").await, 0);
    assert_eq!(check("an administrator by now", switched(|_| {}), &|app| app.change("ada", |account| account.admin = true), "ada-king").await, 0);
    let refuses: &dyn Fn(&App) = &|app| app.fault("rename", Fault::Answer(Outcome::Denied));
    assert_eq!(check("the app will not", switched(|_| {}), refuses, "ada-king").await, 1);
    let may_not: &dyn Fn(&App) = &|app| app.fault("rename", Fault::Answer(Outcome::Reauth));
    assert_eq!(check("the token may do all but this", switched(|_| {}), may_not, "ada-king").await, 1);
    let took: &dyn Fn(&App) = &|app| app.fault("rename", Fault::Answer(Outcome::Conflict));
    assert_eq!(check("somebody was quicker", switched(|_| {}), took, "ada-king").await, 1);
}

#[tokio::test]
async fn a_name_that_was_never_the_providers_is_not_followed() {
    // Told apart from a namesake.
    let world = World::new().await;
    let policy = following(|policy| policy.user.on_collision = OnCollision::Suffix);
    ready(&world.sign_in(&person("first", "ada", &[]), &policy).await);
    assert_eq!(ready(&world.sign_in(&called("ada"), &policy).await).login, "ada-2");
    world.app.accounts.lock().unwrap().retain(|account| account.login != "ada");
    assert_eq!(ready(&later(&world, &called("ada"), &policy).await).login, "ada-2");
    assert_eq!(ready(&later(&world, &called("ada-king"), &policy).await).login, "ada-2");
    // Recognised by address, under a name of the app's own.
    let world = World::new().await;
    world.app.put("lovelace", |account| account.email = Some("ada@example.com".into()));
    let policy = following(|policy| {
        let provision = policy.provision.as_mut().unwrap();
        (provision.match_by, provision.on_existing) = (vec![MatchBy::Email], OnExisting::Adopt);
    });
    assert_eq!(ready(&world.sign_in(&called("ada"), &policy).await).login, "lovelace");
    assert_eq!(ready(&later(&world, &called("ada-king"), &policy).await).login, "lovelace");
    assert_eq!(world.app.count("rename"), 0);
}

/// Whose passes were forgotten.
#[derive(Debug, Default)]
pub(super) struct Forgotten(pub(super) Mutex<Vec<AccountKey>>);

impl Passes for Forgotten {
    fn forget(&self, key: &AccountKey) {
        self.0.lock().unwrap().push(key.clone());
    }
}

#[tokio::test]
async fn a_new_name_is_followed_once_by_the_same_account_and_headers_say_it() {
    let world = World::new().await;
    let policy = switched(|_| {});
    let forgotten = Arc::new(Forgotten::default());
    world.desk.set_passes(forgotten.clone());
    let before = world.session(&called("ada")).await;
    ready(&world.ensure(&before, &policy).await);
    let id = world.app.account("ada").id;
    let pass = ready(&later(&world, &called("ada-king"), &policy).await);
    assert_eq!((pass.login.as_str(), header(&pass, "x-user").as_deref()), ("ada-king", Some("ada-king")));
    assert_eq!((world.app.account("ada-king").id, world.app.logins().len(), world.app.count("rename")), (id, 1, 1));
    assert_eq!(world.app.groups("ada-king"), ["devs"], "nothing else has changed");
    assert_eq!(forgotten.0.lock().unwrap().len(), 2, "what was rendered under the old name, before or meanwhile, is told to nobody any more");
    // A browser that was signed in before is told of by the new name, and changes nothing back.
    world.clock.advance_ms(2 * 3_600_000);
    assert_eq!(ready(&world.ensure(&before, &policy).await).login, "ada-king");
    assert_eq!(ready(&later(&world, &called("ada-king"), &policy).await).login, "ada-king");
    assert_eq!((world.app.count("rename"), world.app.logins()), (1, vec!["ada-king".to_owned()]));
    // The name before is free.
    assert_eq!(ready(&world.sign_in(&person("new", "ada", &[]), &policy).await).login, "ada");
    assert_ne!(world.app.account("ada").id, world.app.account("ada-king").id);
}

#[tokio::test]
async fn a_lost_answer_is_looked_at_before_anything_is_sent_again() {
    for ids_are_logins in [false, true] {
        for without_external_ids in [false, true] {
            let world = World::new().await;
            world.app.without_external_ids.store(without_external_ids, Ordering::SeqCst);
            let policy = switched(|_| {});
            ready(&world.sign_in(&called("ada"), &policy).await);
            world.app.ids_are_logins.store(ids_are_logins, Ordering::SeqCst);
            world.app.fault("rename", Fault::LostReply);
            let pass = ready(&later(&world, &called("ada-king"), &policy).await);
            let told = format!("ids are logins: {ids_are_logins}, no marks: {without_external_ids}");
            assert_eq!((pass.login.as_str(), world.app.logins(), world.app.count("rename")), ("ada-king", vec!["ada-king".to_owned()], 1), "{told}");
            assert_eq!(world.record("ada").await.unwrap().account_id, Some(world.app.account("ada-king").id), "{told}");
            // It did not happen: it is sent again.
            world.app.fault("rename", Fault::Answer(Outcome::InDoubt));
            assert_eq!(ready(&later(&world, &called("ada-byron"), &policy).await).login, "ada-byron", "{told}");
            assert_eq!((world.app.logins().len(), world.app.count("rename")), (1, 3), "{told}");
        }
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_it_nobody_is_told_a_name_that_may_be_wrong() {
    let world = World::new().await;
    let policy = switched(|_| {});
    ready(&world.sign_in(&called("ada"), &policy).await);
    world.clock.advance_ms(2 * 3_600_000);
    // Before the call arrives is a place, and after it was done, and before and after every write.
    let mut places = 1;
    loop {
        assert!(places < 60, "it was never killed behind the rename");
        let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let desk = world.another(doomed.handle(), "gateway-1");
        let session = world.session(&called("ada-king")).await;
        world.reaper.arm(places);
        let of = policy.clone();
        let run = doomed.spawn(async move {
            desk.ensure(&session, &of, vestibule::fault::Incident::from_bytes([9; 5]), vestibule::provision::Asking::page(60_000)).await
        });
        while !world.reaper.has_struck() && !run.is_finished() {
            tokio::task::yield_now().await;
        }
        let struck = world.reaper.has_struck();
        doomed.shutdown_background();
        world.reaper.disarm();
        places += 1;
        if struck && world.app.logins() == ["ada-king"] {
            break;
        }
        assert!(struck, "it ended before it was killed behind the rename");
    }
    assert_eq!(world.record("ada").await.unwrap().login.as_deref(), Some("ada"), "not known yet");
    // The admin API is down: known people go on, but not under a name of which nobody knows whose it is.
    world.app.down.store(true, Ordering::SeqCst);
    assert_eq!(refused(&world.sign_in(&called("ada-king"), &policy).await), PublicMessage::AccountUnavailable);
    world.app.down.store(false, Ordering::SeqCst);
    world.clock.advance_ms(5_000);
    assert_eq!(ready(&world.sign_in(&called("ada-king"), &policy).await).login, "ada-king");
    assert_eq!((world.app.logins(), world.app.count("rename")), (vec!["ada-king".to_owned()], 1));
}

/// The next looks see the account as it was, whatever it is now.
fn from_a_cache(world: &World, looks: usize) {
    let old = world.app.account("ada");
    for _ in 0..looks {
        world.app.fault("get", Fault::Instead(Box::new(old.clone())));
    }
}

#[tokio::test]
async fn an_app_that_still_shows_the_old_name_after_it_took_the_new_one_is_not_believed_at_once() {
    let world = World::new().await;
    let policy = switched(|_| {});
    ready(&world.sign_in(&called("ada"), &policy).await);
    // Before the call, and after it at each of three attempts.
    from_a_cache(&world, 4);
    assert_eq!(refused(&later(&world, &called("ada-king"), &policy).await), PublicMessage::AccountUnavailable, "nobody is told the old name");
    let record = world.record("ada").await.unwrap();
    assert!(record.in_doubt.is_some_and(|doubt| doubt.contains("ada-king")));
    assert_eq!(record.login.as_deref(), Some("ada"));
    world.clock.advance_ms(5_000);
    assert_eq!(ready(&world.sign_in(&called("ada-king"), &policy).await).login, "ada-king");
    assert_eq!((world.app.count("rename"), world.app.logins()), (1, vec!["ada-king".to_owned()]), "sent once");
}

#[tokio::test]
async fn a_new_name_that_the_app_never_showed_is_not_sent_for_ever_and_known_when_it_comes_after_all() {
    let world = World::new().await;
    let policy = switched(|_| {});
    ready(&world.sign_in(&called("ada"), &policy).await);
    from_a_cache(&world, 4);
    assert_eq!(refused(&later(&world, &called("ada-king"), &policy).await), PublicMessage::AccountUnavailable);
    // So long after it, what the app shows is how it is.
    let old = Box::new(vestibule::plan::Account { login: "ada".into(), ..world.app.account("ada-king") });
    for _ in 0..2 {
        world.app.fault("get", Fault::Instead(old.clone()));
    }
    world.clock.advance_ms(16 * 60_000);
    assert_eq!(ready(&world.sign_in(&called("ada-king"), &policy).await).login, "ada");
    assert!(world.record("ada").await.unwrap().in_doubt.is_none());
    world.app.forget_faults();
    // It shows it after all: no conflict for ever.
    assert_eq!(ready(&later(&world, &called("ada-king"), &policy).await).login, "ada-king");
    assert_eq!(world.app.count("rename"), 1);
}

#[tokio::test]
async fn a_rename_that_was_never_sent_costs_nobody_their_grace_and_a_403_of_it_closes_nothing() {
    let world = World::new().await;
    let policy = switched(|_| {});
    ready(&world.sign_in(&called("ada"), &policy).await);
    let before = world.record("ada").await.unwrap();
    for _ in 0..3 {
        world.app.fault("rename", Fault::Answer(Outcome::Retry));
    }
    assert_eq!(ready(&later(&world, &called("ada-king"), &policy).await).login, "ada", "nothing was sent: known as before");
    let record = world.record("ada").await.unwrap();
    assert_eq!((record.in_doubt, record.desired_fp), (None, before.desired_fp));
    // The token may do all but this: everybody else goes on, newcomers too.
    world.app.fault("rename", Fault::Answer(Outcome::Reauth));
    assert_eq!(ready(&later(&world, &called("ada-king"), &policy).await).login, "ada");
    assert_eq!(ready(&world.sign_in(&person("eve", "eve", &[]), &policy).await).login, "eve");
    assert_eq!(ready(&later(&world, &called("ada-king"), &policy).await).login, "ada-king");
}

#[tokio::test]
async fn a_refusal_does_not_settle_what_an_earlier_call_may_have_done() {
    let world = World::new().await;
    let policy = switched(|_| {});
    ready(&world.sign_in(&called("ada"), &policy).await);
    // Its answer is lost, the looks come from a cache, and the second call is refused: the name is taken, by the first one.
    from_a_cache(&world, 3);
    world.app.fault("rename", Fault::LostReply);
    assert_eq!(ready(&later(&world, &called("ada-king"), &policy).await).login, "ada-king", "the third attempt sees it");
    assert_eq!((world.app.logins(), world.record("ada").await.unwrap().in_doubt), (vec!["ada-king".to_owned()], None));
}

#[tokio::test]
async fn while_a_rename_is_in_doubt_no_way_in_tells_the_old_name() {
    let world = World::new().await;
    let policy = switched(|_| {});
    let outdated = world.session(&person("ada", "ada", &["g-ops"])).await;
    ready(&world.ensure(&outdated, &policy).await);
    world.clock.advance_ms(60_000);
    ready(&world.sign_in(&called("ada"), &policy).await);
    // It is done, the answer is lost, and nothing more is to be heard.
    from_a_cache(&world, 1);
    world.app.fault("get", Fault::Answer(Outcome::Retry));
    world.app.fault("get", Fault::Answer(Outcome::Retry));
    world.app.fault("rename", Fault::LostReply);
    assert_eq!(refused(&later(&world, &called("ada-king"), &policy).await), PublicMessage::AccountUnavailable);
    assert_eq!(world.app.logins(), ["ada-king"]);
    // By a session that a newer sign-in has overtaken.
    assert_eq!(refused(&world.ensure(&outdated, &policy).await), PublicMessage::SignInRequired);
    // Where accounts are switched off since.
    for who in [WhenDisabled::AllowLinked, WhenDisabled::Passthrough] {
        let off = switched(|switches| (switches.enabled, switches.when_disabled) = (false, who));
        assert_eq!(refused(&world.sign_in(&called("ada-king"), &off).await), PublicMessage::AccountUnavailable, "{who:?}");
        assert_eq!(refused(&world.ensure(&outdated, &off).await), PublicMessage::AccountUnavailable, "{who:?}");
    }
    world.clock.advance_ms(5_000);
    assert_eq!(ready(&world.sign_in(&called("ada-king"), &policy).await).login, "ada-king");
    assert_eq!(world.app.count("rename"), 1);
}
