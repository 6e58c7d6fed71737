//! What an app whose people come and go as always hears of the gateway: next to nothing.

use crate::fake_admin::{FakeAdmin, Flavour};
use crate::whole::{ADMIN_TOKEN, APP, Person, Whole, get};
use serde_json::json;
use std::collections::BTreeMap;
use vestibule::clock::Clock as _;
use vestibule::provision::Which;

const PEOPLE: usize = 2;
const MINUTE_S: i64 = 60;
/// `fresh` and `verify` where a policy says nothing. For each person `fresh` is up to a fifth shorter or longer.
const FRESH_S: i64 = 60 * MINUTE_S;
const VERIFY_S: i64 = 24 * 60 * MINUTE_S;
/// How often everybody comes by.
const STEP_S: i64 = 12 * MINUTE_S;
/// A session lasts twelve hours.
const SHIFT_S: i64 = 11 * 60 * MINUTE_S;

async fn start() -> (Whole, FakeAdmin) {
    let admin = FakeAdmin::start(Flavour::Scim).await;
    admin.require(&format!("Bearer {ADMIN_TOKEN}"));
    admin.add_group("14", "Developer");
    let url = admin.url.as_str().trim_end_matches('/');
    let provision = format!("[provision]\nconnector = \"scim\"\nurl = \"{url}\"\ntoken = \"env:ADMIN_TOKEN\"\n");
    (Whole::app("", &format!("{provision}[roles]\nmap = {{ staff = \"Developer\" }}\n")).await, admin)
}

/// Everybody, each in two browsers.
async fn sign_in(whole: &Whole) -> Vec<Person> {
    let mut browsers = Vec::new();
    for number in 0..PEOPLE {
        let name = format!("person-{number}");
        whole.op.set(|script| {
            script.subject = json!(name);
            script.person = json!({"name": name, "email": format!("{name}@example.com"), "email_verified": true, "groups": ["staff"]});
        });
        browsers.extend([whole.sign_in(APP).await, whole.sign_in(APP).await]);
    }
    browsers
}

/// All browsers ask for a page at once.
async fn come_by(whole: &Whole, browsers: &[Person]) {
    let mut asking = tokio::task::JoinSet::new();
    for browser in browsers {
        let (street, request) = (whole.street(), get(browser, APP, "/issues", "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n"));
        asking.spawn(async move { street.ask(APP, request).await.status() });
    }
    assert_eq!(asking.join_all().await, vec![200; browsers.len()]);
}

/// When which account was looked at, and when whose memberships were, in seconds.
#[derive(Default, Debug)]
struct Log {
    accounts: BTreeMap<String, Vec<i64>>,
    memberships: BTreeMap<String, Vec<i64>>,
}

impl Log {
    /// Notes what was asked since the last time. Nothing but reads by id.
    fn note(&mut self, admin: &FakeAdmin, now_s: i64) {
        for line in admin.take_lines() {
            let id = |rest: &str| rest.chars().filter(char::is_ascii_digit).take(3).collect::<String>();
            if let Some(rest) = line.strip_prefix("GET /Users/") {
                self.accounts.entry(id(rest)).or_default().push(now_s);
            } else if let Some((_, rest)) =
                line.split_once("GET /Groups?filter=members.value%20eq%20%22").or_else(|| line.split_once("GET /Groups?filter=members.value+eq+%22"))
            {
                self.memberships.entry(id(rest)).or_default().push(now_s);
            } else {
                panic!("{line}");
            }
        }
    }
}

/// Three shifts of eleven hours. However many requests, browsers and sessions there are, an account is looked at once in its `fresh`, in one call; its memberships, for
/// which SCIM takes a call of their own, once in `verify`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_most_one_admin_call_per_person_and_ttl_in_steady_state() {
    let (whole, admin) = start().await;
    let mut browsers = sign_in(&whole).await;
    come_by(&whole, &browsers).await;
    // The accounts are made. From here on it is as every day.
    drop(admin.take_lines());
    let begun_s = whole.clock.now().seconds();
    let (mut log, mut shift_ends_s) = (Log::default(), begun_s + SHIFT_S);
    while whole.clock.now().seconds() < begun_s + 3 * SHIFT_S {
        whole.advance_s(STEP_S);
        if whole.clock.now().seconds() >= shift_ends_s {
            browsers = sign_in(&whole).await;
            shift_ends_s += SHIFT_S;
        }
        come_by(&whole, &browsers).await;
        log.note(&admin, whole.clock.now().seconds());
    }
    assert_eq!(log.accounts.len(), PEOPLE, "everybody's account was looked at: {log:?}");
    for (id, times) in &log.accounts {
        let mut before_s = begun_s;
        for at_s in times {
            // A look goes on beside the request: it may be noted one step late.
            let since_s = at_s - before_s;
            assert!(since_s >= FRESH_S * 4 / 5 - STEP_S, "account {id} was looked at again after {since_s} s: {times:?}");
            before_s = *at_s;
        }
        // That of somebody who comes by all day is not forgotten either: a session goes by what it was told for up to `fresh` itself.
        assert!(i64::try_from(times.len()).unwrap() >= 3 * SHIFT_S / (FRESH_S * 12 / 5 + 2 * STEP_S), "account {id}: {times:?}");
    }
    for (id, times) in &log.memberships {
        assert_eq!(times.len(), 1, "the memberships of account {id} are looked at once in `verify`: {times:?}");
        assert!(times[0] - begun_s >= VERIFY_S, "{times:?}");
    }
    assert_eq!(log.memberships.len(), PEOPLE, "and not never: {log:?}");
}

/// Back after so long that nothing is believed any more: one look at each account, before anything is forwarded, for all their browsers together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_verify_is_over_one_look_serves_all_browsers_of_a_person() {
    let (whole, admin) = start().await;
    let browsers = sign_in(&whole).await;
    come_by(&whole, &browsers).await;
    drop(admin.take_lines());
    for _ in 0..3 {
        whole.advance_s(VERIFY_S + MINUTE_S);
        let browsers = sign_in(&whole).await;
        assert!(admin.take_lines().is_empty(), "a sign-in alone asks the app nothing");
        for _ in 0..3 {
            come_by(&whole, &browsers).await;
        }
        let now_s = whole.clock.now().seconds();
        let people = whole.running.swap().people().list(Some("app"), Which::All).await.unwrap();
        assert!(
            people.len() == PEOPLE && people.iter().all(|person| person.verified_at == Some(now_s)),
            "looked at before the page came: {people:?}"
        );
        let mut log = Log::default();
        log.note(&admin, now_s);
        for person in people {
            let id = person.account_id.unwrap();
            assert_eq!((&log.accounts[&id], &log.memberships[&id]), (&vec![now_s], &vec![now_s]));
        }
    }
}
