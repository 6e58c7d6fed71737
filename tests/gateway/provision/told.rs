//! What is told of accounts after they were made, line by line: leaving and coming back, changes, drift, the guard, idle people, removals, approvals and refusals.

use super::leaving::{DAY_MS, HOUR_MS};
use super::world::{Fault, World, first, key_at, person, policy, ready, refused};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use vestibule::clock::Clock as _;
use vestibule::connector::Outcome;
use vestibule::connector::model::Attribute;
use vestibule::fault::{Incident, PublicMessage};
use vestibule::identity::Identity;
use vestibule::policy::sign_in;
use vestibule::policy::switches::{Join, Mode, OnExceed};
use vestibule::policy::{Drift, Jwt, Leavers, MatchBy, OnExisting, Policy, Provision};
use vestibule::provision::{Cause, Departure};
use vestibule::state::Awaiting;

/// Where a test's log lines go.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that this thread logs from now on.
pub(super) struct Told {
    log: Log,
    _listening: tracing::subscriber::DefaultGuard,
    _another: tracing::Dispatch,
}

impl Told {
    pub(super) fn listen() -> Self {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        // With a single dispatcher alive, tracing asks the thread that meets an event first, and other tests' threads have no subscriber.
        let another = tracing::Dispatch::new(tracing_subscriber::registry());
        Self { log, _listening: tracing::subscriber::set_default(subscriber), _another: another }
    }

    /// All lines since the last call, as they were written.
    pub(super) fn text(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.log.0.lock().unwrap())).unwrap()
    }

    /// The audit events since the last call: `action person reason`, or who did it.
    pub(super) fn take(&self) -> Vec<String> {
        events(&self.text()).iter().map(line).collect()
    }

    /// As [`Self::take`], once there is one.
    async fn next(&self) -> Vec<String> {
        let some = async {
            loop {
                let told = self.take();
                if !told.is_empty() {
                    return told;
                }
                tokio::task::yield_now().await;
            }
        };
        crate::whole::within("an audit event", some).await
    }
}

/// The audit events among lines of a log.
pub(super) fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).filter(|line: &Value| line["target"] == "audit").collect()
}

/// `action person reason`. What every event says besides is held against what it must be.
fn line(event: &Value) -> String {
    let field = |name: &str| event["fields"][name].as_str().unwrap_or_default();
    assert_eq!((field("app"), field("user.iss"), field("policy.revision")), ("wiki", "https://idp.example", "r1"), "{event}");
    let (action, who) = (field("action"), field("user.sub"));
    // A person's own request is told with its incident; what the gateway does by itself, and what operators do, has none.
    let by_request = match action {
        "account.disabled" | "account.deleted" | "approval.granted" | "signout.bridged" | "signout.failed" => false,
        "access.revoked" => field("reason") == "access",
        "drift.detected" => !field("reason").starts_with("switched on"),
        _ => true,
    };
    let incident = if by_request { Incident::from_bytes([1; 5]).to_string() } else { String::new() };
    assert_eq!(field("incident"), incident, "{event}");
    let by = field("actor");
    if by.is_empty() { format!("{action} {who} {}", field("reason")) } else { format!("{action} {who} by {by}") }
}

/// Leavers are switched off, and the app keeps an address.
fn keeping(change: impl FnOnce(&mut Provision)) -> Arc<Policy> {
    policy(|policy| {
        let provision = policy.provision.as_mut().unwrap();
        provision.leavers = Leavers { disable: true, ..Leavers::default() };
        let mail = Attribute {
            name: "mail".into(),
            required: false,
            locked: false,
            default: first(&["{user.email}"]),
            read: None,
            path: "mail".into(),
            write: None,
        };
        Arc::get_mut(&mut provision.connector).expect("of this policy alone").attributes = vec![mail];
        change(provision);
    })
}

fn ada() -> Identity {
    person("ada", "ada", &["g-devs"])
}

async fn leaves(world: &World, who: &str, policy: &Arc<Policy>) -> Departure {
    let cause = Cause::Access { as_of: world.clock.now() };
    world.desk.leaves(&key_at("wiki", who), policy, cause, Some(Incident::from_bytes([1; 5]))).await
}

const MADE: [&str; 3] = ["provision.started ada create; add group devs", "account.created ada made", "role.granted ada add group devs"];

#[tokio::test]
async fn leaving_coming_back_and_a_change_are_told_once_each() {
    let (told, world) = (Told::listen(), World::new().await);
    let policy = keeping(|_| {});
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(told.take(), MADE);
    assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
    assert_eq!(told.take(), ["access.revoked ada access", "account.disabled ada access"]);
    // Said again, and looked after again: nothing is done, and nothing is told.
    assert_eq!(leaves(&world, "ada", &policy).await, Departure::Nothing);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!(told.take(), Vec::<String>::new());
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(told.take(), ["account.enabled ada let in again"]);
    // The attribute is named, and its value is not told.
    let moved = Identity { email: Some("countess@example.com".into()), ..ada() };
    ready(&world.sign_in(&moved, &policy).await);
    assert_eq!(told.take(), ["account.updated ada mail"]);
    ready(&world.sign_in(&moved, &policy).await);
    assert_eq!(told.take(), Vec::<String>::new());
    // Gone at the app before its person left: off it is, and told as that.
    world.app.accounts.lock().unwrap().clear();
    assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
    assert_eq!(told.take(), ["access.revoked ada access", "account.disabled ada it is gone"]);
}

#[tokio::test]
async fn drift_is_told_once_and_told_again_when_it_is_another() {
    let (told, world) = (Told::listen(), World::new().await);
    let policy = keeping(|provision| (provision.drift, provision.leavers.delete_after_ms) = (Drift::Report, Some(DAY_MS)));
    let both = person("ada", "ada", &["g-devs", "g-ops"]);
    ready(&world.sign_in(&both, &policy).await);
    told.take();
    let takes_away = |group: &str| world.app.change("ada", |account| drop(account.memberships.get_mut("group").unwrap().remove(group)));
    for (taken, expected) in
        [(Some("devs"), vec!["drift.detected ada group devs"]), (None, vec![]), (Some("ops"), vec!["drift.detected ada group devs; group ops"])]
    {
        taken.map(takes_away);
        world.clock.advance_ms(13 * HOUR_MS);
        ready(&world.sign_in(&both, &policy).await);
        assert_eq!(told.take(), expected, "{taken:?}");
    }
    // Switched on at the app after its person had left: told once, and not removed.
    leaves(&world, "ada", &policy).await;
    assert_eq!(told.take(), ["access.revoked ada access", "account.disabled ada access"]);
    world.app.change("ada", |account| account.disabled = false);
    world.clock.advance_ms(2 * DAY_MS);
    for expected in [vec!["drift.detected ada switched on at the app after its person had left"], vec![]] {
        world.desk.tend(&[Arc::clone(&policy)], true).await;
        assert_eq!(told.take(), expected);
    }
}

#[tokio::test]
async fn the_guard_is_told_and_so_is_who_says_yes() {
    let (told, world) = (Told::listen(), World::new().await);
    let policy = keeping(|provision| (provision.leavers.max, provision.leavers.percent_max) = (1, 100));
    for who in ["ada", "bob"] {
        ready(&world.sign_in(&person(who, who, &[]), &policy).await);
    }
    told.take();
    assert_eq!(leaves(&world, "ada", &policy).await, Departure::Left);
    assert_eq!(told.take(), ["access.revoked ada access", "account.disabled ada access"]);
    assert_eq!(leaves(&world, "bob", &policy).await, Departure::Staged);
    assert_eq!(told.take(), ["access.revoked bob access", "guard.tripped bob 1 have left within the hour, and 1 may without a human"]);
    world.desk.tend(&[Arc::clone(&policy)], true).await;
    assert_eq!((told.take(), world.app.account("bob").disabled), (Vec::new(), false));
    world.desk.people().approve(&key_at("wiki", "bob"), Some(Awaiting::Leave), "olga").await.unwrap();
    assert_eq!(told.take(), ["approval.granted bob by olga"]);
    // There is nothing more to say yes to.
    world.desk.people().approve(&key_at("wiki", "bob"), Some(Awaiting::Leave), "olga").await.unwrap_err();
    assert_eq!(told.take(), Vec::<String>::new());
    world.desk.tend(&[Arc::clone(&policy)], false).await;
    assert_eq!(told.take(), ["account.disabled bob access"]);
}

#[tokio::test]
async fn who_does_not_come_any_more_is_told_as_idle_and_what_is_removed_as_removed() {
    let (told, world) = (Told::listen(), World::new().await);
    let policy = keeping(|provision| (provision.leavers.idle_ms, provision.leavers.delete_after_ms) = (Some(90 * DAY_MS), Some(180 * DAY_MS)));
    ready(&world.sign_in(&ada(), &policy).await);
    assert_eq!(told.take(), MADE);
    // An app that is down is told later; the reason why not is the step's and its outcome.
    for (days, fault, expected) in [
        (89, None, vec![]),
        (2, Some("disable"), vec!["access.revoked ada idle", "account.failed ada disable: Retry: as the test says"]),
        (1, None, vec!["account.disabled ada idle"]),
        (181, Some("delete"), vec!["account.failed ada delete: Retry: as the test says"]),
        (1, None, vec!["account.deleted ada delete_after is over"]),
        (1, None, vec![]),
    ] {
        world.clock.advance_ms(days * DAY_MS);
        if let Some(call) = fault {
            world.app.fault(call, Fault::Answer(Outcome::Retry));
        }
        world.desk.tend(&[Arc::clone(&policy)], true).await;
        let told: Vec<String> = events(&told.text()).iter().map(unasked).collect();
        assert_eq!(told, expected, "after {days} more days");
    }
    assert_eq!(world.app.logins(), Vec::<String>::new());
}

/// As [`line`], of what no request has brought about.
fn unasked(event: &Value) -> String {
    let field = |name: &str| event["fields"][name].as_str().unwrap_or_default();
    assert_eq!((field("app"), field("attempt"), field("incident"), field("policy.file")), ("wiki", "leave", "", "policies/wiki.toml"), "{event}");
    format!("{} {} {}", field("action"), field("user.sub"), field("reason"))
}

#[tokio::test]
async fn who_has_to_be_approved_is_told_and_so_is_who_is_refused() {
    let (told, world) = (Told::listen(), World::new().await);
    let full = |on_exceed| keeping(|provision| (provision.switches.max_accounts, provision.switches.on_exceed) = (Some(1), on_exceed));
    let (asks, refuses) = (full(OnExceed::Approve), full(OnExceed::Refuse));
    ready(&world.sign_in(&ada(), &asks).await);
    assert_eq!(told.take(), MADE);
    let bob = person("bob", "bob", &[]);
    for expected in [vec!["approval.requested bob max_accounts are there, and on_exceed = \"approve\""], vec![]] {
        assert_eq!(refused(&world.sign_in(&bob, &asks).await), PublicMessage::AwaitingApproval);
        assert_eq!(told.take(), expected);
    }
    assert_eq!(refused(&world.sign_in(&person("cy", "cy", &[]), &refuses).await), PublicMessage::AccountsFull);
    assert_eq!(told.take(), ["account.refused cy max_accounts are there"]);
    world.desk.people().approve(&key_at("wiki", "bob"), Some(Awaiting::Account), "olga").await.unwrap();
    ready(&world.sign_in(&bob, &asks).await);
    assert_eq!(told.take(), ["approval.granted bob by olga", "provision.started bob create", "account.created bob made"]);

    // Somebody whose account was there before, and who is to be joined when somebody has said yes.
    world.app.put("dora", |_| {});
    let joins = keeping(|provision| {
        (provision.match_by, provision.on_existing) = (vec![MatchBy::Login], OnExisting::Adopt);
        provision.switches.join = Join::Approval;
    });
    let dora = person("dora", "dora", &["g-devs"]);
    ready(&world.sign_in(&dora, &joins).await);
    let waits = "approval.requested dora join = \"approval\", and the account was there before";
    assert_eq!(told.take(), ["account.adopted dora recognised by its login", "account.updated dora mail", waits]);
    ready(&world.sign_in(&dora, &joins).await);
    assert_eq!(told.take(), Vec::<String>::new());
    world.desk.people().approve(&key_at("wiki", "dora"), Some(Awaiting::Join), "olga").await.unwrap();
    ready(&world.sign_in(&dora, &joins).await);
    assert_eq!(told.take(), ["approval.granted dora by olga", "role.granted dora add group devs"]);

    // Nobody new in a mode that makes no accounts, nor by a program, which begins none.
    let updates = keeping(|provision| provision.switches.mode = Mode::UpdateOnly);
    assert_eq!(refused(&world.sign_in(&person("eve", "eve", &[]), &updates).await), PublicMessage::AccountsOff);
    assert_eq!(told.take(), ["account.refused eve no account is recognised, and this mode makes none"]);
    let pages_only = keeping(|provision| provision.switches.trigger = vestibule::policy::switches::Trigger::SignIn);
    let fay = world.session(&person("fay", "fay", &[])).await;
    assert_eq!(refused(&world.ensure_by_program(&fay, &pages_only).await), PublicMessage::OpenInBrowser);
    assert_eq!(told.take(), Vec::<String>::new(), "nothing is begun: the door tells it");
    world.app.accounts.lock().unwrap().retain(|account| account.login != "ada");
    world.clock.advance_ms(2 * DAY_MS);
    let ada = world.session(&ada()).await;
    assert_eq!(refused(&world.ensure_by_program(&ada, &pages_only).await), PublicMessage::OpenInBrowser);
    let only = "account.refused ada only a page begins the making of an account: trigger = \"sign_in\"";
    assert_eq!(told.take(), ["account.vanished ada removed at the app", only]);
}

/// A token of the app's own that was got for somebody's session is given back when that ends. One that the app does not take is offered four times, and told once.
#[tokio::test]
async fn what_an_app_takes_back_and_what_it_does_not_is_told_when_a_session_ends() {
    let (told, world) = (Told::listen(), World::new().await);
    let policy = policy(|policy| {
        policy.sign_in.mode = sign_in::Mode::TokenExchange;
        let header = http::HeaderName::from_static("authorization");
        policy.jwt = Some(Jwt { header, prefix: String::new(), secret: None, audience: "wiki".into(), ttl_ms: 300_000, claims: Vec::new() });
    });
    for (refusals, left) in [(0, "signout.bridged ada "), (3, "signout.bridged ada "), (4, "signout.failed ada leave: Denied: as the test says")] {
        let session = world.session(&ada()).await;
        let pass = ready(&world.ensure(&session, &policy).await);
        let before = world.app.count("leave");
        world.desk.enter(&session, &policy, &pass, None, Incident::from_bytes([1; 5])).await.unwrap();
        assert_eq!(told.take().last().map(String::as_str), Some("signin.bridged ada "));
        for _ in 0..refusals {
            world.app.fault("leave", Fault::Answer(Outcome::Denied));
        }
        world.desk.leave_ended(session.sign_on.id);
        assert_eq!(told.next().await, [left], "after {refusals} refusals");
        assert_eq!(world.app.count("leave") - before, (refusals + 1).min(4));
    }
}
