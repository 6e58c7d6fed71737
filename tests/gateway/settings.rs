//! Keys of the gateway file, seen from outside: TLS versions, cookies, backups, how a provider's claims are read.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use crate::fake_op::Answer as OpAnswer;
use crate::whole::{APP, AUTH, Person, Tls, Whole, get, policy, policy_with, within};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vestibule::clock::Timestamp;
use vestibule::config::{Gateway, TlsVersion};
use vestibule::entropy::OsEntropy;
use vestibule::state::seal::Sealer;
use vestibule::state::sqlite::Store;
use vestibule::state::{LoginStore as _, SecretHash};

async fn with(change: impl FnOnce(&mut Gateway)) -> Whole {
    Whole::with(|app| vec![("app", policy(APP, app))], change).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_tls_1_3_is_refused_where_that_is_the_oldest() {
    let whole = with(|gateway| gateway.min_tls = TlsVersion::V1_3).await;
    let old = whole.street().tls(Tls { versions: &[&rustls::version::TLS12], ..Tls::for_name(APP) }).await;
    let error = old.map(drop).unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
    assert_eq!(whole.get(&Person::default(), APP, "/public").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_have_the_name_and_the_same_site_that_are_configured() {
    let whole = with(|gateway| {
        gateway.session.cookie = "__Host-sso".into();
        gateway.session.same_site = "Strict";
    })
    .await;
    let (street, mut person) = (whole.street(), Person::default());
    let mut url: url::Url = format!("https://{APP}/wiki").parse().unwrap();
    let mut session = None;
    for _ in 0..12 {
        let answer = street.visit(&mut person, &url).await;
        for line in answer.all("set-cookie") {
            assert!(line.starts_with("__Host-sso"), "{line}");
            if line.starts_with("__Host-sso=") && url.host_str() == Some(APP) {
                session = Some(line);
            }
        }
        let Some(location) = answer.get("location") else {
            // A strict cookie is sent from here on: a page of our own goes on to the page that was asked for.
            assert!(answer.text().contains(&format!("https://{APP}/wiki")), "{answer:?}");
            break;
        };
        url = url.join(&location).unwrap();
        if url.as_str().starts_with(&whole.op.issuer) {
            url = format!("https://{AUTH}/.vestibule/callback?{}", whole.op.sign_in(&url)).parse().unwrap();
        }
    }
    let session = session.unwrap();
    assert!(session.contains("; SameSite=Strict"), "{session}");
    assert_eq!(whole.get(&person, APP, "/wiki").await.status(), 200);
    let seen = whole.app.one();
    assert!(!seen.mentions("__Host-sso"), "our cookies stay here: {seen:?}");
    let other = format!("GET /wiki HTTP/1.1\r\nHost: {APP}\r\n{}\r\n", person.cookies(APP).replace("__Host-sso=", "__Host-vestibule="));
    assert_eq!(whole.ask(APP, other).await.status(), 401, "under another name it is nothing");
}

// --- backups ------------------------------------------------------------------------------------

const KEY: &str = "a key for tests that is long enough to be one";

async fn store(path: &Path) -> Store {
    let sealer = Sealer::new(&SecretString::from(KEY), Arc::new(OsEntropy::default())).unwrap();
    Store::open(&format!("sqlite:{}", path.display()), sealer).await.unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    names.sort();
    names
}

#[tokio::test]
async fn one_backup_a_day_is_made_and_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vestibule.db");
    let store = store(&path).await;
    // Neither what an interrupted backup has left nor what is not ours is in the way, or taken away.
    for other in ["vestibule.db.2026-11-22.part", "vestibule.db.old", "other.db.2020-01-01"] {
        std::fs::write(folder.path().join(other), "x").unwrap();
    }
    let noon = Timestamp::from_seconds(1_795_305_600 + 43_200);
    let day = |days: i64| noon.plus_ms(days * 86_400_000);
    let once = SecretHash::of(b"once");
    assert!(store.once(once, day(9)).await.unwrap());
    let made = store.back_up(noon, 2).await.unwrap().unwrap();
    assert_eq!(made, PathBuf::from(format!("{}.2026-11-22", path.display())));
    assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(store.back_up(noon.plus_ms(3_600_000), 2).await.unwrap(), None, "there is one for today");
    for days in 1..=3 {
        assert!(store.back_up(day(days), 2).await.unwrap().is_some());
    }
    assert_eq!(
        files(folder.path()),
        ["other.db.2020-01-01", "vestibule.db", "vestibule.db.2026-11-24", "vestibule.db.2026-11-25", "vestibule.db.old"]
    );
    store.close().await;
    // It is a whole store: under its own key it opens, and it remembers.
    let restored = self::store(&folder.path().join("vestibule.db.2026-11-25")).await;
    assert!(!restored.once(once, day(9)).await.unwrap());
    restored.close().await;
}

#[tokio::test]
async fn a_backup_that_fails_leaves_the_others_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("vestibule.db")).await;
    let now = Timestamp::from_seconds(1_795_305_600);
    store.back_up(now, 1).await.unwrap().unwrap();
    // A folder in the place of the copy: it can be neither removed nor written.
    std::fs::create_dir(folder.path().join("vestibule.db.2026-11-23.part")).unwrap();
    let error = store.back_up(now.plus_ms(86_400_000), 1).await.unwrap_err().to_string();
    assert!(error.contains("vestibule.db.2026-11-23"), "{error}");
    assert!(files(folder.path()).contains(&"vestibule.db.2026-11-22".to_owned()));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_backs_its_store_up_when_it_starts() {
    let whole = with(|gateway| gateway.state.backup_keep = 3).await;
    let folder = whole.folder.path().to_owned();
    let backup = |name: &String| name.strip_prefix("v.db.").is_some_and(|day| day.len() == 10);
    within("a backup", async {
        while !files(&folder).iter().any(backup) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let none = with(|_| {}).await;
    assert_eq!(none.sign_in(APP).await.session(APP).len(), 43);
    assert!(!files(none.folder.path()).iter().any(backup), "backup_keep = 0");
}

// --- what a provider's claims are called --------------------------------------------------------

/// A gateway that knows `employee_id` and the names by other claims, and an app that must have them.
async fn attributes(userinfo: bool) -> Whole {
    let sections = "[user]\nname = \"{claims.employee_id}\"\nrequired = [\"claims.employee_id\", \"given_name\"]\n";
    Whole::with(
        |app| vec![("app", policy_with(APP, app, "", sections).replace("{claims.office}", "{given_name} {family_name}"))],
        |gateway| {
            let idp = &mut gateway.idps[0];
            idp.userinfo = userinfo;
            let sources = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
            idp.attributes = vec![
                ("given_name".into(), sources(&["urn:oid:2.5.4.42"])),
                ("family_name".into(), sources(&["http://schemas.example/claims/surname", "sn"])),
                ("employee_id".into(), sources(&["employeeNumber", "empid"])),
            ];
        },
    )
    .await
}

/// Signs in with these claims in the ID token and in userinfo; what the app is told, or what the person reads instead.
async fn told(whole: &Whole, id_token: Value, userinfo: Option<Value>) -> Result<(String, String), String> {
    whole.op.set(|script| {
        script.person = id_token;
        script.userinfo = userinfo.map(|claims| OpAnswer::json(200, &claims));
    });
    let person = whole.sign_in(APP).await;
    let answer = whole.ask(APP, get(&person, APP, "/x", "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n")).await;
    if answer.status() != 200 {
        assert!(whole.app.take().is_empty());
        return Err(format!("{} {}", answer.status(), answer.text()));
    }
    let seen = whole.app.one();
    Ok((seen.get("x-remote-user").unwrap(), seen.get("x-app-office").unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_39_what_the_app_needs_may_be_in_the_id_token_or_in_userinfo() {
    let whole = attributes(true).await;
    let name = json!({"urn:oid:2.5.4.42": "Ada", "sn": "Lovelace"});
    let refused = told(&whole, name.clone(), None).await.unwrap_err();
    assert!(refused.starts_with("403 ") && refused.contains("employee_id"), "{refused}");
    // Somebody else's userinfo is nobody's.
    let refused = told(&whole, name.clone(), Some(json!({"sub": "eve", "employeeNumber": "1"}))).await.unwrap_err();
    assert!(refused.starts_with("403 "), "{refused}");
    whole.advance_s(3_601); // metadata says anew where userinfo is
    let both = ("7".to_owned(), "Ada Lovelace".to_owned());
    assert_eq!(told(&whole, name.clone(), Some(json!({"sub": "ada", "employeeNumber": "7", "sn": "Evil"}))).await, Ok(both.clone()));
    let mut all = name.clone();
    all["employeeNumber"] = json!("7");
    assert_eq!(told(&whole, all, None).await, Ok(both));
    assert!(whole.op.hits("/userinfo") > 0);

    let deaf = attributes(false).await;
    let refused = told(&deaf, name, Some(json!({"sub": "ada", "employeeNumber": "7"}))).await.unwrap_err();
    assert!(refused.starts_with("403 "), "{refused}");
    assert_eq!(deaf.op.hits("/userinfo"), 0, "userinfo = false");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_43_a_name_is_read_from_the_claim_that_the_provider_calls_it_by() {
    let whole = attributes(true).await;
    // The name of the standard is not the name that is configured, nor is another letter case.
    for claims in [
        json!({"given_name": "Ada", "employeeNumber": "7"}),
        json!({"URN:OID:2.5.4.42": "Ada", "employeeNumber": "7"}),
        json!({"urn:oid:2.5.4.42": "Ada", "employee_id": "7", "employeenumber": "7"}),
    ] {
        let refused = told(&whole, claims.clone(), None).await.unwrap_err();
        assert!(refused.starts_with("403 "), "{claims}: {refused}");
    }
    let check = async |claims: Value, user: &str, name: &str| {
        assert_eq!(told(&whole, claims.clone(), None).await, Ok((user.to_owned(), name.to_owned())), "{claims}");
    };
    check(json!({"urn:oid:2.5.4.42": "Ada", "empid": "8", "sn": "Byron", "family_name": "Evil"}), "8", "Ada Byron").await;
    let uri =
        json!({"urn:oid:2.5.4.42": "Ada", "employeeNumber": "9", "empid": "8", "http://schemas.example/claims/surname": "Lovelace", "sn": "Byron"});
    check(uri, "9", "Ada Lovelace").await;
}
