//! A reconcile of 5,000 people beside people who sign in. Goal: their first sign-in takes at most 50 ms longer (median) while it runs.
//!
//! The app takes 5 to 20 ms for every admin call. A reconcile goes round all the time; before every other sign-in the app stops answering calls about the 5,000,
//! so that it stands still. So each sign-in beside a reconcile has a neighbour in time without one, on the same machine under the same load.

use crate::house::{APP, House, Wires};
use crate::report::{Sample, goal, load_now, ms};
use crate::servers::{App, claims, group, login, subject};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use vestibule::admin::commands::{Reconcile, Reconciles};
use vestibule::clock::{Clock as _, SystemClock, Timestamp};
use vestibule::identity::{Groups, Identity, SubjectId};
use vestibule::policy::Policy;
use vestibule::state::sqlite::Store;
use vestibule::state::{AccountKey, AccountRecord, AccountState, AccountStore as _, Lease, Origin, RecordedSignIn, SignInStore as _};

const OLD: usize = 5_000;
const PAIRS: usize = 150;
/// Pairs that are not counted.
const WARM: usize = 10;
/// How long a reconcile is let run, or stand, before somebody signs in.
const SETTLE: Duration = Duration::from_millis(60);

pub fn run() {
    let app = App::new(OLD, true);
    let house = House::start(Wires::Tls, Arc::clone(&app), async |store, policy, issuer| fill(store, policy, issuer).await);
    let rounds = {
        // It notes where it is asked for, and runs there.
        let _inside = house.runtime.enter();
        house.running.swap().rounds()
    };
    app.park(true);
    let (mut beside, mut alone): (Sample, Sample) = Default::default();
    let (mut old_calls, mut next) = (0, OLD);
    for pair in 0..WARM + PAIRS {
        // Whoever is first changes from pair to pair.
        for running in [pair.is_multiple_of(2), !pair.is_multiple_of(2)] {
            go_on(rounds.as_ref());
            app.park(!running);
            std::thread::sleep(SETTLE);
            let before = app.old_calls.load(Ordering::Relaxed);
            let mut browser = house.browser();
            house.first_login(&mut browser, next);
            next += 1;
            if pair >= WARM {
                let waited = browser.hops.iter().map(|hop| hop.ended - hop.begun).sum();
                if running { &mut beside } else { &mut alone }.0.push(waited);
                old_calls += if running { app.old_calls.load(Ordering::Relaxed) - before } else { 0 };
            }
        }
    }
    let counted = rounds.progress().apps.first().map(|app| app.counted);
    println!(
        "  the reconcile's last round so far: {counted:?}; {:.1} of its admin calls during a sign-in beside it",
        old_calls as f64 / PAIRS as f64
    );
    alone.line("first sign-in while the reconcile stands");
    beside.line("first sign-in beside the reconcile");
    goal("difference of the medians", ms(beside.median()) - ms(alone.median()), 50.0, "ms");
    load_now();
    assert!(old_calls > 0, "no reconcile was under way");
    // The reconcile ends with the process: a gateway that is told to stop in the middle of one says so in its log, at length.
    app.park(true);
}

/// Begins again when it has ended.
fn go_on(rounds: &dyn Reconciles) {
    if !rounds.progress().running {
        rounds.begin(&Reconcile { app: Some(APP.to_owned()), changed_only: false }, "benchmark").unwrap();
    }
}

/// 5,000 people with accounts, looked at not long ago, and what their provider last said of them.
async fn fill(store: &Store, policy: &Policy, issuer: &str) {
    let now = SystemClock.now();
    for number in 0..OLD {
        let record = record(number, policy, issuer, now);
        let Ok(Lease::Held(fence, _)) = store.lease(&record.key, "benchmark", now, now.plus_ms(60_000)).await else { panic!("no lease") };
        store.save(&record, fence).await.unwrap();
        store.release(&record.key, fence).await.unwrap();
        store.record(&RecordedSignIn { identity: identity(number, issuer), auth_time: now, at: now }).await.unwrap();
    }
}

/// The record of person `number`, whose account is there and complete.
pub fn record(number: usize, policy: &Policy, issuer: &str, now: Timestamp) -> AccountRecord {
    let key = AccountKey { upstream: policy.name.clone(), subject: SubjectId { issuer: issuer.to_owned(), subject: subject(number) } };
    let said = claims(number);
    AccountRecord {
        state: AccountState::Active,
        origin: Some(Origin::Created),
        account_id: Some(number.to_string()),
        login: Some(login(number)),
        applied: serde_json::json!({
            "attributes": {"displayName": said["name"], "email": said["email"], "familyName": said["family_name"], "givenName": said["given_name"]},
            "memberships": {"group": {group(number): null}}, "as_of_ms": now.millis(), "email": said["email"], "who": said["email"],
        }),
        desired_fp: Some(format!("{number:064x}")),
        verified_at: Some(now),
        ..AccountRecord::empty(key, &policy.revision)
    }
}

fn identity(number: usize, issuer: &str) -> Identity {
    let said = claims(number);
    let text = |name: &str| said[name].as_str().map(str::to_owned);
    Identity {
        subject: SubjectId { issuer: issuer.to_owned(), subject: subject(number) },
        idp: "corp".to_owned(),
        email: text("email"),
        email_verified: true,
        name: text("name"),
        given_name: text("given_name"),
        family_name: text("family_name"),
        username: text("preferred_username"),
        groups: Groups::Known(vec!["staff".to_owned(), crate::servers::team(number)]),
        claims: said.as_object().unwrap().clone(),
    }
}
