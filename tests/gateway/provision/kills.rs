//! A gateway that is killed wherever it stands, and crowds on a Monday morning.

use super::world::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use vestibule::fault::Incident;
use vestibule::provision::Asking;

const PEOPLE: [&str; 8] = ["ada", "bea", "cleo", "dora", "eve", "fay", "gil", "hal"];
const GROUPS: [&str; 3] = ["g-devs", "g-ops", "g-web"];

/// xorshift64: the same kills in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn wanted(bits: u64) -> Vec<&'static str> {
    GROUPS.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, group)| *group).collect()
}

/// Before and after every write to the store and every call to the app is a place to die at. Whoever is killed there was in the middle of giving and taking; the
/// next sign-in goes on from what the record says.
#[tokio::test]
async fn j15_two_hundred_kills_anywhere_make_no_second_account_and_lose_no_revocation() {
    for without_external_ids in [false, true] {
        let world = World::new().await;
        world.app.without_external_ids.store(without_external_ids, std::sync::atomic::Ordering::SeqCst);
        let policy = policy(|_| {});
        let (mut random, mut kills, mut places) = (0x9e37_79b9_7f4a_7c15, 0, BTreeSet::new());
        while kills < 100 {
            let who = PEOPLE[usize::try_from(next(&mut random) % 8).unwrap()];
            let groups = wanted(next(&mut random));
            world.clock.advance_ms(2_000);
            let session = world.session(&person(who, who, &groups)).await;
            let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let desk = world.another(doomed.handle(), "gateway-1");
            let place = 1 + next(&mut random) % 24;
            world.reaper.arm(place);
            let run = {
                let (policy, session) = (policy.clone(), session.clone());
                doomed.spawn(async move { desk.ensure(&session, &policy, Incident::from_bytes([3; 5]), Asking::page(60_000)).await })
            };
            while !world.reaper.has_struck() && !run.is_finished() {
                tokio::task::yield_now().await;
            }
            if world.reaper.has_struck() {
                kills += 1;
                places.insert(place);
            }
            doomed.shutdown_background();
            world.reaper.disarm();
            let mut logins = world.app.logins();
            logins.sort();
            let distinct: BTreeSet<&String> = logins.iter().collect();
            assert_eq!(distinct.len(), logins.len(), "after {kills} kills: {logins:?}");
        }
        assert!(places.len() >= 15, "{places:?}");
        for (n, who) in PEOPLE.into_iter().enumerate() {
            world.clock.advance_ms(2_000);
            let groups = wanted(u64::try_from(n).unwrap());
            assert_eq!(ready(&world.sign_in(&person(who, who, &groups), &policy).await).login, who);
            let has: Vec<String> = world.app.groups(who).iter().map(|group| format!("g-{group}")).collect();
            assert_eq!(has, groups, "{who}");
            // All that was ever granted, answered or not, recorded or not, can be taken back.
            world.clock.advance_ms(2_000);
            ready(&world.sign_in(&person(who, who, &[]), &policy).await);
            assert!(world.app.groups(who).is_empty(), "{who}: {:?}", world.app.groups(who));
        }
        assert_eq!(world.app.logins().len(), PEOPLE.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn j1_fifty_people_with_twenty_first_requests_each_are_fifty_creates() {
    let world = Arc::new(World::new().await);
    let policy = policy(|_| {});
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..50 {
        let name = format!("p{n}");
        let session = world.session(&person(&name, &name, &["g-devs"])).await;
        for _ in 0..20 {
            let (world, policy, session, name) = (world.clone(), policy.clone(), session.clone(), name.clone());
            tasks.spawn(async move { assert_eq!(ready(&world.ensure(&session, &policy).await).login, name) });
        }
    }
    tasks.join_all().await;
    assert_eq!((world.app.count("create"), world.app.logins().len(), world.app.count("add group devs")), (50, 50, 50));
    // And whoever comes again within the hour costs nothing.
    let calls = world.app.all_calls();
    for n in 0..50 {
        let name = format!("p{n}");
        ready(&world.sign_in(&person(&name, &name, &["g-devs"]), &policy).await);
    }
    assert_eq!(world.app.all_calls(), calls);
}
