//! What operators do about accounts, over the admin socket of a real process, by the real command line: refusals first.

use super::process::Process;
use crate::fake_admin::{Fault, User};
use crate::whole::within;
use serde_json::json;

const MATCHING: &str = "match = [\"login\"]\non_existing = \"adopt\"\n";
const LEAVERS: &str = "[provision.leavers]\naccount = \"disable\"\nmax = 1\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_there_is_not_acted_upon_and_nothing_is_told_to_the_app() {
    let mut process = Process::start(LEAVERS).await;
    for words in [
        &["users", "relink", "wiki", "nobody", "--account", "7"][..],
        &["users", "approve", "wiki", "nobody"],
        &["users", "retry", "wiki", "nobody"],
        &["users", "forget", "wiki", "nobody", "--yes"],
    ] {
        let (code, said) = process.says(words).await;
        assert!(code == Some(2) && said.contains("nobody called `nobody` has a record at `wiki`"), "{words:?}: {code:?} {said}");
    }
    let (code, said) = process.says(&["reconcile", "intranet"]).await;
    assert!(code == Some(2) && said.contains("there is no app `intranet` whose accounts the gateway keeps"), "{code:?} {said}");
    let (code, said) = process.says(&["users", "relink", "wiki", "nobody"]).await;
    assert!(code == Some(2) && said.contains("--account"), "{code:?} {said}");
    let (code, said) = process.says(&["users", "approve", "wiki"]).await;
    assert!(code == Some(2) && said.contains("<PERSON>"), "{code:?} {said}");
    // Nobody waits: that is no mistake.
    assert_eq!(process.tells(&["users", "approve", "wiki", "--leavers"]).await, "wiki: nobody waits\n");
    // An app that there is not is one, whatever is asked of it.
    for words in [
        &["users", "list", "intranet"][..],
        &["users", "list", "intranet", "--failed"],
        &["users", "show", "intranet", "ada"],
        &["users", "retry", "intranet", "ada"],
        &["users", "approve", "intranet", "--leavers"],
        &["audit", "search", "--app", "intranet"],
    ] {
        let (code, said) = process.says(words).await;
        assert!(code == Some(2) && said.contains("there is no app `intranet`; there is wiki\n"), "{words:?}: {code:?} {said}");
    }
    assert_eq!(process.tells(&["users", "list", "wiki"]).await, "nobody\n");
    assert_eq!(process.says(&["audit", "search", "--app", "wiki", "--user", "nobody"]).await.0, Some(1));
    assert!(process.admin.take_seen().is_empty(), "the app was asked nothing");
    process.kill();
    for words in [
        &["users", "relink", "wiki", "ada", "--account", "7"][..],
        &["users", "approve", "wiki", "--leavers"],
        &["users", "list"],
        &["reconcile"],
        &["reconcile", "--watch"],
    ] {
        let (code, said) = process.says(words).await;
        assert!(code == Some(2) && said.contains("no gateway listens on") && said.contains("is it running"), "{words:?}: {code:?} {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_two_people_go_by_is_asked_back() {
    let process = Process::start("").await;
    assert_eq!(process.enters("ada", &["staff"]).await, 200);
    assert_eq!(process.enters("bea", &["staff"]).await, 200);
    // Bea is called ada@example.com by her provider from now on.
    let op = &process.street.op;
    op.set(|script| script.person["email"] = json!("ada@example.com"));
    let called = process.enters_as_is().await;
    assert_eq!(called, 200);
    for words in [&["users", "show", "wiki", "ada@example.com"][..], &["users", "relink", "wiki", "ADA@example.com", "--account", "999"]] {
        let (code, said) = process.says(words).await;
        assert!(
            code == Some(2) && said.contains("fits 2 people at wiki; nothing was done") && said.contains("s-ada") && said.contains("s-bea"),
            "{words:?}: {said}"
        );
    }
    // A subject is exact.
    assert_eq!(process.shows("s-bea").await["login"], "bea");
    assert_eq!(process.audited("account.relinked").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relink_is_looked_at_by_the_next_sign_in_and_never_ends_at_an_administrators_account() {
    let process = Process::start("").await;
    process.admin.add_group("g1", "devs");
    assert_eq!(process.enters("ada", &["staff"]).await, 200);
    assert_eq!(process.enters("bea", &["staff"]).await, 200);
    let (ada, bea) = (process.shows("ada").await["account_id"].clone(), process.shows("bea").await["account_id"].clone());
    // Another person's, by our own records.
    let (code, said) = process.says(&["users", "relink", "wiki", "ada", "--account", bea.as_str().unwrap()]).await;
    assert!(code == Some(2) && said.contains("is another person's by the gateway's own records"), "{said}");
    assert_eq!(process.shows("ada").await["account_id"], ada, "nothing has changed");
    // Nobody's: there is no such account. Said now, found out by the next sign-in, which makes none in its place under a foreign name.
    let told = process.tells(&["users", "relink", "wiki", "ada", "--account", "no-such-id"]).await;
    assert!(told.contains("linked to this account, which is looked at by the person's next request"), "{told}");
    assert_eq!(process.shows("s-ada").await["account_id"], "no-such-id");
    process.admin.take_seen();
    let status = process.enters("ada", &["staff"]).await;
    assert_eq!(status, 200, "found again by what the gateway wrote there: {}", process.shows("s-ada").await);
    assert_eq!((process.shows("ada").await["account_id"].clone(), process.admin.users().len()), (ada.clone(), 2));
    // One of the app's that carries somebody else's mark.
    let marked = process.admin.users().into_iter().find(|user| user.login == "bea").unwrap().external_id;
    process.admin.add_user(User { id: "77".into(), login: "old-bea".into(), external_id: marked, ..User::default() });
    process.tells(&["users", "relink", "wiki", "ada", "--account", "77"]).await;
    assert_ne!(process.enters("ada", &["staff"]).await, 200);
    let shown = process.shows("s-ada").await;
    assert!(shown["state"] == "conflict" && shown["last_error"].as_str().unwrap().contains("another person's id"), "{shown}");
    // A reserved name: the administrator's of most apps.
    process.admin.add_user(User { id: "1".into(), login: "Admin".into(), ..User::default() });
    process.tells(&["users", "relink", "wiki", "s-ada", "--account", "1"]).await;
    assert_ne!(process.enters("ada", &["staff"]).await, 200);
    let shown = process.shows("s-ada").await;
    assert!(shown["last_error"].as_str().unwrap().contains("administrator"), "{shown}");
    // Somebody's from before the gateway: the operator's word is enough, and the login is the account's.
    process.admin.add_user(User { id: "42".into(), login: "lovelace".into(), ..User::default() });
    process.tells(&["users", "relink", "wiki", "s-ada", "--account", "42"]).await;
    assert_eq!(process.enters("ada", &["staff", "g-devs"]).await, 200);
    let shown = process.shows("s-ada").await;
    assert_eq!((&shown["login"], &shown["account_id"], &shown["origin"]), (&json!("lovelace"), &json!("42"), &json!("adopted")), "{shown}");
    assert_eq!(process.audited("account.relinked").len(), 4);
    assert!(process.audited("account.relinked").iter().all(|event| event["operator"].is_string() || event["actor"].is_string()));
    let logins: Vec<String> = process.admin.users().into_iter().map(|user| user.login).collect();
    assert_eq!(logins, ["ada", "bea", "old-bea", "Admin", "lovelace"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcile_says_what_came_of_everybody() {
    let process = Process::start("").await;
    for name in ["ada", "bea", "cleo"] {
        assert_eq!(process.enters(name, &["staff"]).await, 200);
    }
    let (code, said) = process.says(&["reconcile", "wiki"]).await;
    assert!(code == Some(0) && row(&said) == ["wiki", "3", "3", "0", "0", "0", "0", "0", "0", "0"], "{said}");
    // One was changed by hand, one removed, and of one the app knows nothing at this moment.
    process.admin.change("ada", |user| user.email = Some("elsewhere@example.org".into()));
    process.admin.remove_user("bea");
    let cleo = process.shows("cleo").await["account_id"].as_str().unwrap().to_owned();
    for _ in 0..4 {
        process.admin.fail_next(&format!("GET /Users/{cleo}"), Fault::Status(500));
    }
    let (code, said) = process.says(&["reconcile", "wiki"]).await;
    assert!(code == Some(1) && row(&said)[..8] == ["wiki", "3", "0", "1", "0", "0", "1", "1"], "{code:?} {said}");
    let users = process.admin.users();
    assert_eq!(users.iter().map(|user| user.login.as_str()).collect::<Vec<_>>(), ["ada", "cleo"], "nobody is made anew who is not here");
    assert_eq!(users[0].email.as_deref(), Some("ada@example.com"));
    let said = process.tells(&["reconcile", "wiki", "--changed-only", "--json"]).await;
    let counted = serde_json::from_str::<serde_json::Value>(&said).unwrap()["apps"][0]["counted"].clone();
    assert_eq!((&counted["people"], &counted["skipped"]), (&json!(2), &json!(2)), "{said}");
    let events = process.audited("admin.reconcile");
    assert_eq!((events.len(), &events[0]["app"]), (3, &json!("wiki")), "{events:?}");
}

/// The numbers of the only app's row.
fn row(said: &str) -> Vec<&str> {
    said.lines().find(|line| line.starts_with("wiki")).map(|line| line.split_whitespace().collect()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_leavers_wait_for_a_yes_which_is_given_once_for_all() {
    let process = Process::start(LEAVERS).await;
    for name in ["ada", "bea", "cleo", "dora"] {
        assert_eq!(process.enters(name, &["staff"]).await, 200);
    }
    for name in ["ada", "bea", "cleo"] {
        assert_eq!(process.enters(name, &[]).await, 403);
    }
    within("the first one switched off", process.admin.until(|admin| admin.users().iter().filter(|user| user.disabled).count() == 1)).await;
    // The others wait; reconcile says so, by its exit code as well.
    let (code, said) = process.says(&["reconcile", "wiki"]).await;
    assert!(code.is_some(), "{said}");
    let waiting = process.tells(&["users", "list", "--waiting"]).await;
    let names: Vec<&str> = ["ada", "bea", "cleo", "dora"].into_iter().filter(|name| waiting.contains(name)).collect();
    assert_eq!((names.len(), waiting.matches("waits for a yes: leave").count()), (2, 2), "{waiting}");
    // One by name, of another app, of none.
    let (code, said) = process.says(&["users", "approve", "wiki", "dora"]).await;
    assert!(code == Some(2) && said.contains("nothing is waiting for approval for `s-dora`"), "{said}");
    let (code, said) = process.says(&["users", "approve", "crm", "--leavers"]).await;
    assert!(code == Some(2) && said.contains("there is no app `crm`; there is wiki"), "{said}");
    let said = process.tells(&["users", "approve", "wiki", "--leavers"]).await;
    assert_eq!(said, "wiki: approved for 2 people; they are switched off, or removed, within a minute or two\n");
    assert_eq!(process.audited("approval.granted").len(), 2);
    let again = process.tells(&["users", "approve", "wiki", "--leavers"]).await;
    assert_eq!(again, "wiki: nobody waits\n");
    assert_eq!(process.tells(&["users", "list", "--waiting"]).await, "nobody\n");
    // The next look at what is due is a minute away, or a start of the gateway.
    let mut process = process;
    process.kill_and_start_again();
    within("all of them switched off", process.admin.until(|admin| admin.users().iter().filter(|user| user.disabled).count() == 3)).await;
    assert!(!Process::is_off(&process.admin, "dora"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_memberships_gets_them_by_a_yes_and_not_before() {
    let process = Process::start(&format!("{MATCHING}join = \"approval\"\n")).await;
    process.admin.add_group("g1", "devs");
    process.admin.add_user(User { id: "42".into(), login: "ada".into(), ..User::default() });
    assert_eq!(process.enters("ada", &["staff", "g-devs"]).await, 200);
    assert_eq!(process.groups("ada"), Vec::<String>::new());
    let waiting = process.tells(&["users", "list", "wiki", "--waiting", "--json"]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&waiting).unwrap()[0]["awaiting"], "join", "{waiting}");
    assert!(process.tells(&["users", "approve", "wiki", "ada"]).await.contains("approved"));
    assert_eq!(process.enters("ada", &["staff", "g-devs"]).await, 200);
    assert_eq!(process.groups("ada"), ["devs"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcile_lists_what_nobody_answers_for_and_touches_none_of_it() {
    let process = Process::start("protect = [\"svc-*\"]\n").await;
    for name in ["ada", "bea", "cleo"] {
        assert_eq!(process.enters(name, &["staff"]).await, 200);
    }
    // One made by hand, an administrator (by its name), one that the policy knows of, and one whose record is forgotten.
    for login in ["handmade", "Administrator", "svc-backup"] {
        process.admin.add_user(User { login: login.into(), ..User::default() });
    }
    process.tells(&["users", "forget", "wiki", "cleo", "--yes"]).await;
    let before = process.admin.users();
    let (code, said) = process.says(&["reconcile", "wiki"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("wiki: 6 accounts at the app, 4 on no record here\n"), "{said}");
    assert!(said.contains("1 administrators, on no record and not in `protect`: Administrator ("), "{said}");
    assert!(said.contains("1 made by this gateway, on no record: cleo (") && !said.contains("on record, and not at the app"), "{said}");
    let after = process.admin.users();
    assert_eq!(format!("{before:?}"), format!("{after:?}"), "nothing is touched");
    let event = process.audited("accounts.listed").pop().unwrap();
    assert_eq!(
        (&event["accounts"], &event["unmanaged"], &event["privileged"], &event["orphaned"]),
        (&json!(6), &json!(4), &json!(1), &json!(1)),
        "{event}"
    );
    assert_eq!(process.audited("account.unaccounted").len(), 2);
    // Only what has changed was asked for: no list.
    let said = process.tells(&["reconcile", "wiki", "--changed-only"]).await;
    assert!(!said.contains("accounts at the app"), "{said}");
    // The list does not come: that is said, and the people are looked after all the same.
    for _ in 0..4 {
        process.admin.fail_next("GET /Users?startIndex=1&count=100", Fault::Status(500));
    }
    let said = process.says(&["reconcile", "wiki"]).await.1;
    assert!(said.contains("wiki: the list of its accounts did not come: ") && row(&said)[..3] == ["wiki", "2", "2"], "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_provider_calls_otherwise_is_renamed_where_the_policy_follows() {
    let process = Process::start("rename = \"follow\"\n").await;
    assert_eq!(process.enters("ada", &["staff"]).await, 200);
    process.admin.add_user(User { login: "ada-king".into(), ..User::default() });
    let enters_as = async |login: &str| {
        process.tells(&["users", "retry", "wiki", "s-ada"]).await;
        process.street.op.set(|script| script.person["preferred_username"] = json!(login));
        process.app.take();
        assert_eq!(process.enters_as_is().await, 200);
        process.app.take().pop().unwrap().get("x-user").unwrap()
    };
    assert_eq!(enters_as("ada-king").await, "ada", "somebody has that name");
    assert_eq!(enters_as("Root").await, "ada", "nobody is called that");
    assert_eq!(enters_as("ada-lovelace").await, "ada-lovelace");
    let logins: Vec<String> = process.admin.users().into_iter().map(|user| user.login).collect();
    assert_eq!(logins, ["ada-lovelace", "ada-king"]);
    assert_eq!((process.audited("rename.refused").len(), process.audited("account.renamed").len()), (2, 1));
}

// Records outlive their policy: what is left of an app can be looked at and forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_an_app_whose_policy_was_removed_can_still_be_reached() {
    let process = Process::start("").await;
    assert_eq!(process.enters("ada", &["staff"]).await, 200);
    std::fs::rename(process.folder.path().join("policies/wiki.toml"), process.folder.path().join("policies/crm.toml")).unwrap();
    process.says(&["reload"]).await;
    assert!(process.tells(&["users", "list", "wiki"]).await.contains("ada@example.com"));
    assert_eq!(process.tells(&["users", "list", "crm"]).await, "nobody\n");
    let (code, said) = process.says(&["users", "list", "intranet"]).await;
    assert!(code == Some(2) && said.contains("there is no app `intranet`; there are crm, wiki"), "{said}");
    process.tells(&["users", "forget", "wiki", "ada", "--yes"]).await;
    assert_eq!(process.says(&["users", "list", "wiki"]).await.0, Some(2), "nothing is left of it");
    // Of what was written down something is.
    assert!(process.tells(&["audit", "search", "--app", "wiki", "--action", "account"]).await.contains("account.forgotten"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_was_written_down_about_somebody_is_found_by_their_address() {
    let process = Process::start("").await;
    assert_eq!(process.enters("ada", &["staff"]).await, 200);
    assert_eq!(process.enters("bea", &["staff"]).await, 200);
    process.tells(&["users", "retry", "wiki", "ada"]).await;
    process.tells(&["users", "forget", "wiki", "ada", "--yes"]).await;
    let found = process.tells(&["audit", "search", "--user", "ADA@example.com"]).await;
    for action in ["login.succeeded", "account.created", "account.retry", "account.forgotten"] {
        assert_eq!(found.matches(action).count(), 1, "{action}: {found}");
    }
    assert!(!found.contains("s-bea") && !found.contains("bea@example.com"), "{found}");
}

// What operators read is words, not what records are made of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_shown_in_words() {
    let process = Process::start("").await;
    process.admin.add_group("g1", "devs");
    assert_eq!(process.enters("ada", &["staff", "g-devs"]).await, 200);
    let shown = process.tells(&["users", "show", "wiki", "ada"]).await;
    assert!(shown.lines().any(|line| line.starts_with("granted ") && line.ends_with(" group: devs")), "{shown}");
    let seen = shown.lines().find(|line| line.starts_with("verified at ")).unwrap();
    assert!(seen.ends_with(" UTC") && !shown.contains("drift") && !shown.contains('{') && !shown.contains('['), "{shown}");
    let marked = process.admin.users()[0].external_id.clone();
    assert_eq!(process.enters("bea", &["staff"]).await, 200);
    process.admin.add_user(User { id: "77".into(), login: "old-ada".into(), external_id: marked, ..User::default() });
    process.tells(&["users", "relink", "wiki", "bea", "--account", "77"]).await;
    assert_ne!(process.enters("bea", &["staff"]).await, 200);
    let shown = process.tells(&["users", "show", "wiki", "s-bea"]).await;
    assert!(shown.contains("the account carries another person's id"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("failed at ") && line.ends_with(" UTC")), "{shown}");
}
