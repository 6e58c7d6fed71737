//! Recorded sign-ins and incidents in the store, and files from before there were any.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::state::{KEY, T0, hash, open, sealer, sign_on};
use sqlx::{Connection as _, Row as _};
use std::path::Path;
use vestibule::clock::Timestamp;
use vestibule::fault::{DenyReason, Incident, PublicMessage};
use vestibule::state::sqlite::{OpenError, Store};
use vestibule::state::{
    IncidentBounds, IncidentFacts, IncidentRecord, IncidentStore as _, RecordedSignIn, SessionStore as _, SignInStore as _, StoreError,
    newest_of_each,
};

const DAY: i64 = 86_400_000;

fn sign_in(n: u64, at: Timestamp) -> RecordedSignIn {
    RecordedSignIn { identity: sign_on(n, at).identity, auth_time: at.plus_ms(-1000), at }
}

fn incident(n: u64, at: Timestamp, person: bool) -> IncidentRecord {
    let facts = IncidentFacts {
        reason: "groups".to_owned(),
        app: Some("wiki".to_owned()),
        host: Some("wiki.example.com".to_owned()),
        rule: Some("policies/wiki.toml:12".to_owned()),
        policy_revision: Some("r1".to_owned()),
        method: Some("GET".to_owned()),
        path: Some("/zelda/private".to_owned()),
        peer: Some("192.0.2.77".parse().unwrap()),
        idp: Some("corp".to_owned()),
        person: person.then(|| sign_on(n, at).identity),
        auth_time_ms: Some(at.millis()),
        ..IncidentFacts::of(PublicMessage::Denied(DenyReason::Groups))
    };
    IncidentRecord { code: Incident::from_number(n), at, facts }
}

async fn shell(folder: &Path) -> sqlx::SqliteConnection {
    sqlx::SqliteConnection::connect(folder.join("vestibule.db").to_str().unwrap()).await.unwrap()
}

// ---- sign-ins --------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn nobody_is_found_by_what_was_not_asserted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.record(&sign_in(1, T0)).await.unwrap();
    for email in ["", "zelda-1@example.or", "elda-1@example.org", "zelda-1@example.org.evil", "%", "zelda-_@example.org"] {
        assert_eq!(store.last_by_email(email).await.unwrap(), [], "{email:?}");
    }
    assert_eq!(store.last_by_subject(Some("https://other.example"), "person-1").await.unwrap(), []);
    assert_eq!(store.last_by_subject(None, "PERSON-1").await.unwrap(), [], "subjects mind letter case");
    assert_eq!(store.last_by_email(" Zelda-1@Example.ORG ").await.unwrap(), [sign_in(1, T0)]);
    assert_eq!(store.last_by_subject(None, "person-1").await.unwrap(), [sign_in(1, T0)]);
}

#[tokio::test]
async fn the_last_sign_in_of_each_person_at_each_provider_is_kept_until_it_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let (first, mut second) = (sign_in(1, T0), sign_in(1, T0.plus_ms(DAY)));
    second.identity.email = Some("new-name@example.org".to_owned());
    store.record(&second).await.unwrap();
    store.record(&first).await.unwrap();
    assert_eq!(store.all().await.unwrap(), [second.clone()], "an older one replaces nothing");
    assert_eq!(store.last_by_email("zelda-1@example.org").await.unwrap(), [], "the old address is not theirs any more");
    assert_eq!(store.last_by_email("new-name@example.org").await.unwrap(), [second.clone()]);

    let mut elsewhere = sign_in(1, T0);
    elsewhere.identity.idp = "adfs".to_owned();
    let mut namesake = sign_in(2, T0.plus_ms(1));
    namesake.identity.email = second.identity.email.clone();
    let mut nameless = sign_in(3, T0.plus_ms(2));
    nameless.identity.email = None;
    for one in [&elsewhere, &namesake, &nameless] {
        store.record(one).await.unwrap();
    }
    assert_eq!(store.all().await.unwrap(), [second.clone(), nameless.clone(), namesake.clone(), elsewhere.clone()]);
    assert_eq!(newest_of_each(store.all().await.unwrap()), [second.clone(), nameless, namesake.clone()]);
    assert_eq!(store.last_by_email("new-name@example.org").await.unwrap(), [second.clone(), namesake]);
    assert_eq!(store.sweep_sign_ins(T0.plus_ms(DAY)).await.unwrap(), 3);
    assert_eq!(store.all().await.unwrap(), [second]);
}

#[tokio::test]
async fn nothing_of_a_person_is_readable_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.record(&sign_in(1, T0)).await.unwrap();
    store.keep_incidents(&[incident(7, T0, true)]).await.unwrap();
    store.close().await;
    let file = std::fs::read(folder.path().join("vestibule.db")).unwrap();
    let text = String::from_utf8_lossy(&file).to_lowercase();
    for personal in ["zelda", "quux", "person-1", "person-7", "example.org", "qx-77123", "192.0.2.77", "private"] {
        assert!(!text.contains(personal), "{personal}");
    }
    let opened = Store::open_to_read(&format!("sqlite:{}", folder.path().join("vestibule.db").display()), sealer(KEY)).await.unwrap();
    assert_eq!(opened.all().await.unwrap(), [sign_in(1, T0)], "but with the key");
    let printed = format!("{:?} {:?}", sign_in(1, T0), incident(7, T0, true)).to_lowercase();
    assert!(!printed.contains("zelda") && !printed.contains("private") && !printed.contains("192.0.2"), "{printed}");
}

#[tokio::test]
async fn a_row_moved_to_another_person_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.record(&sign_in(1, T0)).await.unwrap();
    store.record(&sign_in(2, T0)).await.unwrap();
    store.keep_incidents(&[incident(1, T0, true), incident(2, T0, true)]).await.unwrap();
    let mut shell = shell(folder.path()).await;
    for table in ["sign_in", "incident"] {
        let swap = format!("update {table} set sealed = (select max(sealed) from {table})");
        sqlx::raw_sql(sqlx::AssertSqlSafe(swap)).execute(&mut shell).await.unwrap();
    }
    assert!(matches!(store.all().await, Err(StoreError::Sealed)));
    assert!(matches!(store.incidents_since(T0, 9).await, Err(StoreError::Sealed)));
}

// ---- incidents -------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_incident_is_found_by_its_code_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let (one, two) = (incident(0xff_ffff_ffff, T0, true), incident(0, T0.plus_ms(1), false));
    store.keep_incidents(&[one.clone(), two.clone()]).await.unwrap();
    assert_eq!(store.incident(Incident::from_number(1)).await.unwrap(), None);
    assert_eq!(store.incident(one.code).await.unwrap(), Some(one.clone()));
    assert_eq!(store.incidents_since(T0, 9).await.unwrap(), [two.clone(), one.clone()]);
    assert_eq!(store.incidents_since(T0.plus_ms(1), 9).await.unwrap(), std::slice::from_ref(&two));
    assert_eq!(store.incidents_since(T0, 1).await.unwrap(), std::slice::from_ref(&two));
    let again = incident(0, T0.plus_ms(5), true);
    store.keep_incidents(std::slice::from_ref(&again)).await.unwrap();
    assert_eq!(store.incident(two.code).await.unwrap(), Some(again), "a code that is taken is taken over");
}

#[tokio::test]
async fn what_strangers_cause_pushes_out_nothing_of_people() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let at = |n: u64| T0.plus_ms(i64::try_from(n).unwrap());
    let people: Vec<_> = (0..10).map(|n| incident(n, at(n), true)).collect();
    let strangers: Vec<_> = (100..200).map(|n| incident(n, at(n), false)).collect();
    store.keep_incidents(&people).await.unwrap();
    store.keep_incidents(&strangers).await.unwrap();
    let bounds = IncidentBounds { since: at(2), of_people_max: 50, of_strangers_max: 20 };
    assert_eq!(store.sweep_incidents(bounds).await.unwrap(), 82);
    let mut left: Vec<_> = store.incidents_since(T0, 999).await.unwrap().iter().map(|incident| incident.code.number()).collect();
    left.sort_unstable();
    assert_eq!(left, (2..10).chain(180..200).collect::<Vec<u64>>(), "the newest of each");
    assert_eq!(store.sweep_incidents(bounds).await.unwrap(), 0);
}

// Whoever reloads a page that refuses them does not fill the file, and takes nobody else's place.
#[tokio::test]
async fn of_one_person_the_newest_hundred_are_kept_and_of_others_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let at = |n: u64| T0.plus_ms(i64::try_from(n).unwrap());
    let of = |n: u64, person: u64| {
        let mut one = incident(n, at(n), true);
        one.facts.person = Some(sign_on(person, T0).identity);
        one
    };
    store.keep_incidents(&[of(1, 7), of(2, 8)]).await.unwrap();
    for batch in 0..5 {
        let many: Vec<_> = (0..50).map(|n| of(10 + batch * 50 + n, 7)).collect();
        store.keep_incidents(&many).await.unwrap();
    }
    let left = store.incidents_since(T0, 999).await.unwrap();
    let theirs = |person: &str| {
        let is = |incident: &&IncidentRecord| incident.facts.person.as_ref().unwrap().subject.subject == person;
        left.iter().filter(is).map(|incident| incident.code.number()).collect::<Vec<_>>()
    };
    assert_eq!(theirs("person-7"), (160..260).rev().collect::<Vec<_>>());
    assert_eq!(theirs("person-8"), [2]);
    let mut large = of(500, 9);
    large.facts.person.as_mut().unwrap().claims.insert("photo".to_owned(), "x".repeat(100_000).into());
    store.keep_incidents(&[large]).await.unwrap();
    let kept = store.incident(Incident::from_number(500)).await.unwrap().unwrap();
    assert!(kept.facts.cut && kept.facts.person.unwrap().claims.is_empty());
    let mut shell = shell(folder.path()).await;
    let longest: i64 = sqlx::query_scalar("select max(length(sealed)) from incident").fetch_one(&mut shell).await.unwrap();
    assert!(longest < 9_000, "{longest}");
}

// ---- older files and looking -----------------------------------------------------------------------------------------------------

/// A file as version 1 made it.
async fn version_1(folder: &Path) {
    open(folder).await.close().await;
    let path = folder.join("vestibule.db");
    let mut shell = shell(folder).await;
    let check: Vec<u8> = sqlx::query_scalar("select seal_check from vestibule_store").fetch_one(&mut shell).await.unwrap();
    shell.close().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"").unwrap();
    let mut shell = self::shell(folder).await;
    sqlx::raw_sql(include_str!("schema_1.sql")).execute(&mut shell).await.unwrap();
    sqlx::query("insert into vestibule_store (id, version, seal_check) values (1, 1, $1)").bind(check).execute(&mut shell).await.unwrap();
    sqlx::query("pragma journal_mode = wal").execute(&mut shell).await.unwrap();
    shell.close().await.unwrap();
}

/// Every table with its columns, every index with its statement.
async fn shape(folder: &Path) -> Vec<String> {
    let mut shell = shell(folder).await;
    let columns = sqlx::query(
        "select m.name as owner, c.name as name, c.type || ' ' || c.\"notnull\" || ' ' || coalesce(c.dflt_value, '') || ' ' || c.pk as told
         from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table'
         union all select tbl_name, name, coalesce(sql, '') from sqlite_master where type = 'index' order by 1, 2, 3",
    );
    let rows = columns.fetch_all(&mut shell).await.unwrap();
    rows.iter().map(|row| format!("{} {} {}", row.get::<String, _>(0), row.get::<String, _>(1), row.get::<String, _>(2))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_file_is_brought_up_to_date_and_keeps_what_it_has() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    version_1(old.path()).await;
    let mut shell = shell(old.path()).await;
    sqlx::query("insert into seen_once (key, expires_at) values (x'01', 5)").execute(&mut shell).await.unwrap();
    shell.close().await.unwrap();
    let url = format!("sqlite:{}", old.path().join("vestibule.db").display());
    let looked = Store::open_to_read(&url, sealer(KEY)).await.map(drop).unwrap_err();
    assert!(matches!(looked, OpenError::Behind { found: 1, .. }) && looked.to_string().contains("start the gateway once"), "{looked}");
    let other = Store::open(&url, sealer("another key, which is long enough")).await.map(drop).unwrap_err();
    assert!(matches!(other, OpenError::WrongKey { .. }), "{other}");

    // Several at once: one migrates, the others find it done.
    let opening: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Store::open(&url, sealer(KEY)).await.unwrap() })
        })
        .collect();
    let mut stores = Vec::new();
    for one in opening {
        stores.push(one.await.unwrap());
    }
    stores[0].record(&sign_in(1, T0)).await.unwrap();
    stores[1].create_sign_on(hash("a"), &sign_on(1, T0)).await.unwrap();
    assert_eq!(stores[3].all().await.unwrap(), [sign_in(1, T0)]);
    for store in stores {
        store.close().await;
    }
    open(new.path()).await.close().await;
    assert_eq!(shape(old.path()).await, shape(new.path()).await, "both ways lead to the same tables");
    let mut shell = self::shell(old.path()).await;
    let kept: i64 = sqlx::query_scalar("select count(*) from seen_once").fetch_one(&mut shell).await.unwrap();
    assert_eq!(kept, 1);
}

// One yes stood for both: it goes to what it can have been about.
#[tokio::test]
async fn an_approval_of_version_2_stands_for_one_thing_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    version_1(folder.path()).await;
    let mut shell = shell(folder.path()).await;
    sqlx::raw_sql(include_str!("../../src/state/sqlite/steps/2.sql")).execute(&mut shell).await.unwrap();
    sqlx::query("update vestibule_store set version = 2").execute(&mut shell).await.unwrap();
    for (subject, origin, approved_at) in [
        ("new", None, Some(7)),
        ("made", Some("created"), Some(7)),
        ("taken", Some("adopted"), Some(7)),
        ("left", Some("preexisting"), Some(7)),
        ("never", Some("adopted"), None),
    ] {
        let row = sqlx::query(
            "insert into account (upstream, issuer, subject, origin, approved_at, leased_at, fence) values ('wiki', 'i', $1, $2, $3, 0, 0)",
        );
        row.bind(subject).bind(origin).bind(approved_at).execute(&mut shell).await.unwrap();
    }
    shell.close().await.unwrap();
    open(folder.path()).await.close().await;
    let mut shell = self::shell(folder.path()).await;
    let rows = sqlx::query("select subject, seat_approved_at, join_approved_at from account order by subject").fetch_all(&mut shell).await.unwrap();
    let found: Vec<(String, Option<i64>, Option<i64>)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let expected = [("left", None, None), ("made", Some(7), None), ("never", None, None), ("new", Some(7), None), ("taken", None, Some(7))];
    assert_eq!(found, expected.map(|(subject, seat, join)| (subject.to_owned(), seat, join)));
}

#[tokio::test]
async fn looking_changes_nothing_whether_or_not_the_gateway_runs() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("vestibule.db").display());
    let nothing = Store::open_to_read(&url, sealer(KEY)).await.map(drop).unwrap_err();
    assert!(matches!(nothing, OpenError::Nothing { .. }) && nothing.to_string().contains("--config"), "{nothing}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let gateway = open(folder.path()).await;
    gateway.record(&sign_in(1, T0)).await.unwrap();
    let wrong = Store::open_to_read(&url, sealer("another key, which is long enough")).await.map(drop).unwrap_err();
    assert!(matches!(wrong, OpenError::WrongKey { .. }), "{wrong}");
    let looking = Store::open_to_read(&url, sealer(KEY)).await.unwrap();
    assert_eq!(looking.all().await.unwrap(), [sign_in(1, T0)], "while the gateway runs");
    assert!(looking.record(&sign_in(2, T0)).await.is_err());
    gateway.record(&sign_in(3, T0.plus_ms(1))).await.unwrap();
    assert_eq!(looking.all().await.unwrap().len(), 2, "and it goes on");
    looking.close().await;
    gateway.close().await;

    let before = std::fs::read(folder.path().join("vestibule.db")).unwrap();
    let looking = Store::open_to_read(&url, sealer(KEY)).await.unwrap();
    assert_eq!(looking.all().await.unwrap().len(), 2, "while it does not");
    assert!(looking.sweep_sign_ins(T0.plus_ms(DAY)).await.is_err());
    looking.close().await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no file is left beside it");
    assert_eq!(std::fs::read(folder.path().join("vestibule.db")).unwrap(), before);
}
