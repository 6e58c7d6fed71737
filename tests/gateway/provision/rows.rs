//! Rows of jit-behaviours.md in the whole gateway: policies as files, people with browsers, an application and its admin API.

use crate::fake_admin::{FakeAdmin, Flavour, User};
use crate::whole::{ADMIN_TOKEN, APP, Answer, Person, Whole, Wire, get, within};
use serde_json::json;
use tokio::net::TcpStream;

const PAGE: &str = "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n";

/// The gateway with one app that makes accounts; `keys` are lines of `[provision]`.
async fn start(keys: &str, sections: &str) -> (Whole, FakeAdmin) {
    let admin = FakeAdmin::start(Flavour::Scim).await;
    admin.require(&format!("Bearer {ADMIN_TOKEN}"));
    admin.add_group("14", "Developer");
    let url = admin.url.as_str().trim_end_matches('/');
    let text = format!(
        "[provision]\nconnector = \"scim\"\nurl = \"{url}\"\ntoken = \"env:ADMIN_TOKEN\"\n{keys}\n[roles]\nmap = {{ staff = \"Developer\" }}\n{sections}"
    );
    (Whole::app("", &text).await, admin)
}

async fn page(whole: &Whole, person: &Person, path: &str) -> Answer {
    whole.ask(APP, get(person, APP, path, PAGE)).await
}

fn logins(admin: &FakeAdmin) -> Vec<String> {
    admin.users().into_iter().map(|user| user.login).collect()
}

fn members(admin: &FakeAdmin) -> usize {
    admin.groups().iter().map(|group| group.members.len()).sum()
}

/// Somebody with another name at the provider.
async fn sign_in_as(whole: &Whole, subject: &str) -> Person {
    whole.op.set(|script| {
        script.subject = json!(subject);
        script.person = json!({"name": subject, "email": format!("{subject}@example.com"), "email_verified": true, "groups": ["staff"]});
    });
    whole.sign_in(APP).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_01_row_38_the_first_sign_in_makes_the_account_and_the_second_finds_it() {
    let (whole, admin) = start("", "").await;
    let ada = whole.sign_in(APP).await;
    assert!(admin.take_seen().is_empty(), "nobody has asked for a page yet");
    let answer = page(&whole, &ada, "/issues").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"), "{answer:?}");
    assert_eq!((logins(&admin), members(&admin)), (vec!["ada@example.com".to_owned()], 1));
    assert_eq!(whole.app.one().get("x-remote-user").as_deref(), Some("ada@example.com"));
    drop(admin.take_seen());
    let again = whole.sign_in(APP).await;
    assert_eq!(page(&whole, &again, "/issues").await.status(), 200);
    assert!(admin.take_seen().is_empty());
    assert_eq!(logins(&admin).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_08_accounts_off_is_a_page_that_says_who_makes_accounts() {
    let (whole, admin) = start("enabled = false", "").await;
    let ada = whole.sign_in(APP).await;
    let answer = page(&whole, &ada, "/issues").await;
    assert_eq!(answer.status(), 403);
    assert!(answer.mentions("You don&#39;t have a App account yet") || answer.mentions("have a App account yet"), "{}", answer.text());
    assert!(answer.mentions("New accounts are made by"), "{}", answer.text());
    let problem = whole.get(&ada, APP, "/issues").await;
    assert_eq!((problem.status(), problem.get("content-type").as_deref()), (403, Some("application/problem+json")));
    assert!(problem.json()["type"].as_str().unwrap().ends_with("accounts-off"), "{problem:?}");
    assert!(admin.take_seen().is_empty() && whole.app.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_08_switched_off_the_admin_credential_is_not_needed_and_everybody_passes_under_their_name() {
    let keys = "enabled = false\nwhen_disabled = \"passthrough\"";
    let text = format!("[provision]\nconnector = \"scim\"\nurl = \"http://127.0.0.1:1\"\ntoken = \"env:NOT_THERE\"\n{keys}\n");
    let whole = Whole::app("", &text).await;
    let ada = whole.sign_in(APP).await;
    assert_eq!(whole.get(&ada, APP, "/issues").await.status(), 200);
    assert_eq!(whole.app.one().get("x-remote-user").as_deref(), Some("ada@example.com"));

    let (whole, admin) = start("enabled = false\nwhen_disabled = \"deny_all\"", "").await;
    let ada = whole.sign_in(APP).await;
    let answer = page(&whole, &ada, "/issues").await;
    assert!(answer.status() == 403 && answer.mentions("is closed at the moment"), "{answer:?}");
    assert!(admin.take_seen().is_empty() && whole.app.take().is_empty());
    // What is public stays public.
    assert_eq!(whole.get(&Person::default(), APP, "/public").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_23_a_program_is_told_to_open_the_app_in_a_browser_once() {
    let (whole, admin) = start("", "").await;
    let ada = whole.sign_in(APP).await;
    let answer = whole.get(&ada, APP, "/api/issues").await;
    assert_eq!((answer.status(), answer.get("content-type").as_deref()), (403, Some("application/problem+json")), "{answer:?}");
    let problem = answer.json();
    assert!(problem["detail"].as_str().unwrap().contains("in the browser once"), "{problem}");
    // The waiting page's address is no way around it.
    let waiting = whole.get(&ada, APP, "/.vestibule/wait?to=/api/issues").await;
    assert_eq!(waiting.status(), 403, "{waiting:?}");
    assert!(admin.take_seen().is_empty() && whole.app.take().is_empty());
    assert_eq!(page(&whole, &ada, "/").await.status(), 200);
    assert_eq!(whole.get(&ada, APP, "/api/issues").await.status(), 200);
    assert_eq!(logins(&admin).len(), 1);

    let (whole, admin) = start("trigger = \"first_request\"", "").await;
    let ada = whole.sign_in(APP).await;
    assert_eq!(whole.get(&ada, APP, "/api/issues").await.status(), 200);
    assert_eq!(logins(&admin).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_10_beyond_max_accounts_there_is_a_page() {
    for (keys, words) in [("", "as many accounts as it may have"), ("on_exceed = \"approve\"", "waiting for approval by")] {
        let (whole, admin) = start(&format!("max_accounts = 1\n{keys}"), "").await;
        let ada = whole.sign_in(APP).await;
        assert_eq!(page(&whole, &ada, "/").await.status(), 200);
        let bob = sign_in_as(&whole, "bob").await;
        let answer = page(&whole, &bob, "/").await;
        assert!(answer.status() == 403 && answer.mentions(words), "{answer:?}");
        assert_eq!(logins(&admin), ["ada@example.com"]);
        assert_eq!(page(&whole, &ada, "/").await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_35_an_account_from_before_sso_is_linked_and_joins_by_its_date() {
    let keys = "mode = \"create_and_update\"\nmatch = [\"email\"]\njoin_when = \"origin == 'created' || account.meta.created >= '2024-01-01'\"";
    for (created, joined) in [("2023-12-31T23:59:59Z", 0), ("2024-01-01T00:00:00Z", 1)] {
        let (whole, admin) = start(keys, "").await;
        admin.add_user(User { login: "al".into(), email: Some("ada@example.com".into()), record: json!({ "created": created }), ..User::default() });
        let ada = whole.sign_in(APP).await;
        assert_eq!(page(&whole, &ada, "/").await.status(), 200);
        assert_eq!(whole.app.one().get("x-remote-user").as_deref(), Some("al"));
        assert_eq!((logins(&admin), members(&admin)), (vec!["al".to_owned()], joined), "{created}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_54_a_protected_account_is_a_conflict_with_a_page() {
    let keys = "match = [\"email\"]\non_existing = \"adopt\"\nprotect = [\"svc-*\"]";
    let (whole, admin) = start(keys, "").await;
    admin.add_user(User { login: "svc-backup".into(), email: Some("ada@example.com".into()), ..User::default() });
    let ada = whole.sign_in(APP).await;
    let answer = page(&whole, &ada, "/").await;
    assert!(answer.status() == 409 && answer.mentions("already exists"), "{answer:?}");
    assert!(whole.app.take().is_empty() && members(&admin) == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_57_metrics_say_how_long_accounts_take_and_who_waits() {
    let (whole, admin) = start("max_accounts = 2\non_exceed = \"approve\"\nslo = \"1ms\"\nretries = 0", "").await;
    admin.fail_next("POST /Users", crate::fake_admin::Fault::Status(400));
    let ada = whole.sign_in(APP).await;
    assert_eq!(page(&whole, &ada, "/").await.status(), 503);
    for (name, status) in [("bob", 200), ("cy", 200), ("di", 403)] {
        let person = sign_in_as(&whole, name).await;
        assert_eq!(page(&whole, &person, "/").await.status(), status, "{name}");
    }
    whole.advance_s(90);
    let mut wire = Wire::new(TcpStream::connect(whole.running.admin.unwrap()).await.unwrap());
    wire.send(format!("GET /metrics HTTP/1.1\r\nHost: {APP}\r\n\r\n")).await;
    let text = within("metrics", wire.answer(false)).await.text();
    for line in [
        r#"vestibule_provisioning_duration_seconds_count{app="app",action="create"} 2"#,
        r#"vestibule_provisioning_duration_seconds_count{app="app",action="ensure"} 2"#,
        r#"vestibule_provisioning_step_failures_total{app="app",step="create",code="invalid"} 1"#,
        r#"vestibule_provisioning_failed{app="app"} 1"#,
        r#"vestibule_provisioning_pending{app="app"} 0"#,
        r#"vestibule_provisioning_awaiting_approval{app="app"} 1"#,
        r#"vestibule_provisioning_oldest_failed_seconds{app="app"} 90"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("example.com\"") && !text.contains("bob"), "nobody is named");
}
