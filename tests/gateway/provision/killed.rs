//! A gateway process that is killed for real (`SIGKILL`), at every moment of its talk with an admin API, and begun again on the same files.
//!
//! `VESTIBULE_KILLS=20 cargo test --test gateway provision::killed` kills it twenty times; without, two hundred times, which takes a minute or two.

use super::process::Process;
use crate::fake_admin::Moment;
use crate::whole::within;
use std::collections::{BTreeMap, BTreeSet};

const STAY: [&str; 5] = ["ada", "bea", "cleo", "dora", "eve"];
/// Who come and go.
const LEAVE: [&str; 2] = ["fay", "gil"];
const SECTIONS: &str = "[provision.leavers]\naccount = \"disable\"\nmax = 1000\nmax_percent = 100\n";
const MOMENTS: [Moment; 3] = [Moment::Before, Moment::Done, Moment::Answered];

/// xorshift64: the same kills in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn wanted(bits: u64) -> Vec<&'static str> {
    let mut groups = vec!["staff"];
    groups.extend((bits & 1 == 1).then_some("g-devs"));
    groups.extend((bits & 2 == 2).then_some("g-ops"));
    groups
}

fn kills() -> usize {
    std::env::var("VESTIBULE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(200)
}

/// Nobody has two accounts, whatever they are told apart by.
fn no_duplicates(process: &Process, after: usize) {
    let users = process.admin.users();
    let logins: BTreeSet<&str> = users.iter().map(|user| user.login.as_str()).collect();
    let marks: BTreeSet<Option<&str>> = users.iter().map(|user| user.external_id.as_deref()).collect();
    assert!(logins.len() == users.len() && marks.len() == users.len(), "after {after} kills: {users:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j15_a_process_that_is_killed_at_any_step_makes_no_second_account_and_loses_no_revocation() {
    let mut process = Process::start(SECTIONS).await;
    process.admin.add_group("g1", "devs");
    process.admin.add_group("g2", "ops");
    for name in LEAVE {
        assert_eq!(process.enters(name, &["staff"]).await, 200);
    }
    let (mut random, mut killed, mut rounds) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0);
    let mut where_struck: BTreeMap<String, usize> = BTreeMap::new();
    while killed < kills() {
        rounds += 1;
        assert!(rounds < 20 * kills(), "nobody is killed: {where_struck:?}");
        let moment = MOMENTS[usize::try_from(next(&mut random) % 3).unwrap()];
        let leaver = (next(&mut random).is_multiple_of(4)).then(|| LEAVE[rounds % 2]);
        process.admin.take_seen();
        let entered = match leaver {
            None => {
                let who = STAY[usize::try_from(next(&mut random) % 5).unwrap()];
                process.admin.strike_at(1 + usize::try_from(next(&mut random) % 7).unwrap(), moment);
                let groups = wanted(next(&mut random));
                tokio::select! {
                    biased;
                    () = process.admin.has_struck() => None,
                    status = process.enters(who, &groups) => Some((status, 200)),
                }
            }
            Some(who) => {
                process.admin.strike_at(1 + usize::try_from(next(&mut random) % 2).unwrap(), moment);
                let admin = process.admin.clone();
                tokio::select! {
                    biased;
                    () = process.admin.has_struck() => None,
                    status = async {
                        let status = process.enters(who, &[]).await;
                        within("being switched off", admin.until(|admin| Process::is_off(admin, who))).await;
                        status
                    } => Some((status, 403)),
                }
            }
        };
        if let Some((status, expected)) = entered {
            assert_eq!(status, expected, "{leaver:?} in round {rounds}");
            process.admin.disarm();
        } else {
            let struck = process.admin.take_lines().pop().unwrap_or_default();
            let verb = struck.split(['?', ' ']).take(2).map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit())).collect::<Vec<_>>().join(" ");
            *where_struck.entry(format!("{verb} {moment:?}")).or_default() += 1;
            killed += 1;
            process.kill();
            process.admin.disarm();
            no_duplicates(&process, killed);
            process.kill_and_start_again();
        }
        if let Some(who) = leaver {
            // What was to be switched off is, by the next process, whether or not anybody comes.
            let off = within("being switched off after all", process.admin.until(|admin| Process::is_off(admin, who)));
            off.await;
            let status = process.enters(who, &["staff"]).await;
            assert_eq!(status, 200, "{who} is let in again: {}", process.shows(who).await);
            assert!(!Process::is_off(&process.admin, who), "{who} is switched on again");
        }
    }
    assert!(where_struck.len() >= 6, "{where_struck:?}");
    for (n, who) in STAY.into_iter().enumerate() {
        let groups = wanted(u64::try_from(n).unwrap());
        assert_eq!(process.enters(who, &groups).await, 200, "{who}");
        let has: Vec<String> = process.groups(who).iter().map(|group| format!("g-{group}")).collect();
        assert_eq!(has, groups[1..], "{who}: {}\n{:?}\n{}", process.shows(who).await, process.admin.take_lines(), process.story_of(who));
        // All that was ever granted, answered or not, recorded or not, can be taken back.
        assert_eq!(process.enters(who, &["staff"]).await, 200, "{who}");
        assert_eq!(process.groups(who), Vec::<String>::new(), "{who}");
    }
    for who in LEAVE {
        assert_eq!(process.enters(who, &[]).await, 403);
        within("being switched off at last", process.admin.until(|admin| Process::is_off(admin, who))).await;
    }
    no_duplicates(&process, killed);
    assert_eq!(process.admin.users().len(), STAY.len() + LEAVE.len());
}
