//! What every store must do. To test another one, give `open` another body.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::Connection as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use vestibule::clock::Timestamp;
use vestibule::entropy::{Entropy, OsEntropy, SeededEntropy};
use vestibule::identity::{Groups, Identity, SubjectId};
use vestibule::state::seal::Sealer;
use vestibule::state::sqlite::{OpenError, Store};
use vestibule::state::{
    AccountKey, AccountRecord, AccountState, AccountStore as _, AnswerRoom, Awaiting, Fence, Handover, KeptAnswer, KeyStore as _, Lease,
    LoginStore as _, Origin, PendingLogin, PersonSecret, PersonSecretStore as _, SecretHash, SessionStore as _, SignOn, SignOnId, SigningKey,
    StoreError, Taken,
};

pub(crate) const KEY: &str = "a key for tests of 32 characters";
pub(crate) const T0: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HOUR: i64 = 3_600_000;

pub(crate) fn sealer(key: &str) -> Sealer {
    Sealer::new(&key.to_owned().into(), Arc::new(OsEntropy::default())).unwrap()
}

fn url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("vestibule.db").display())
}

pub(crate) async fn open(folder: &Path) -> Store {
    Store::open(&url(folder), sealer(KEY)).await.unwrap()
}

pub(crate) fn sign_on(n: u64, at: Timestamp) -> SignOn {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    let subject = SubjectId { issuer: "https://idp.example".to_owned(), subject: format!("person-{n}") };
    SignOn {
        id: SignOnId(id),
        identity: Identity {
            subject,
            idp: "corp".to_owned(),
            email: Some(format!("zelda-{n}@example.org")),
            email_verified: true,
            name: Some("Zelda Quux".to_owned()),
            given_name: None,
            family_name: None,
            username: Some("zquux".to_owned()),
            groups: Groups::Known(vec!["wizards-of-quux".to_owned()]),
            claims: json!({ "employee_number": "QX-77123" }).as_object().unwrap().clone(),
        },
        auth_time: at,
        created_at: at,
        last_seen: at,
        expires_at: at.plus_ms(8 * HOUR),
        id_token: Some("eyJhbGciOiJSUzI1NiJ9.id-token-body".to_owned()),
        idp_session: Some("idp-session-4711".to_owned()),
    }
}

pub(crate) fn hash(of: &str) -> SecretHash {
    SecretHash::of(of.as_bytes())
}

fn pending(return_to: &str) -> PendingLogin {
    PendingLogin {
        app: Some("wiki".to_owned()),
        return_to: return_to.to_owned(),
        app_binding: Some([7; 32]),
        auth_binding: None,
        idp: Some("corp".to_owned()),
        nonce: Some("nonce-in-clear".to_owned()),
        code_verifier: Some("verifier-in-clear".to_owned()),
        max_age_s: None,
        begun_at_ms: T0.millis(),
        reread: false,
        lands: false,
    }
}

fn key(subject: &str) -> AccountKey {
    let subject = SubjectId { issuer: "https://idp.example".to_owned(), subject: subject.to_owned() };
    AccountKey { upstream: "wiki".to_owned(), subject }
}

fn record(subject: &str, account_id: Option<&str>, login: Option<&str>) -> AccountRecord {
    AccountRecord {
        state: AccountState::Active,
        origin: Some(Origin::Created),
        account_id: account_id.map(str::to_owned),
        login: login.map(str::to_owned),
        applied: json!({ "attributes": { "mail": "zelda-1@example.org" }, "groups": ["wizards-of-quux"] }),
        desired_fp: Some("fp".to_owned()),
        attempts: 3,
        last_error: Some("create: retry".to_owned()),
        verified_at: Some(T0),
        ..AccountRecord::empty(key(subject), "r1")
    }
}

async fn held(store: &Store, key: &AccountKey, owner: &str, now: Timestamp) -> (Fence, Option<AccountRecord>) {
    match store.lease(key, owner, now, now.plus_ms(20_000)).await.unwrap() {
        Lease::Held(fence, record) => (fence, record),
        Lease::Busy(until) => panic!("busy until {until:?}"),
    }
}
// ---- opening ---------------------------------------------------------------------------------------------------------------------

async fn refused(url: &str, key: &str, expected: &[&str]) {
    let error = Store::open(url, sealer(key)).await.map(drop).expect_err("it must be refused").to_string();
    for part in expected {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
    assert!(!error.contains(key), "{error}");
}

#[tokio::test]
async fn an_address_that_is_not_a_file_of_ours_is_refused() {
    for url in ["", "vestibule.db", "postgres://db/x", "sqlite:", "sqlite::memory:", "sqlite:/tmp/x.db?mode=memory", "sqlite:a\0b"] {
        refused(url, KEY, &["is not understood", "sqlite:PATH"]).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("not").join("there.db");
    refused(&format!("sqlite:{}", missing.display()), KEY, &["there.db", "does not exist", "create it"]).await;
    assert!(!folder.path().join("not").exists());
    refused(&format!("sqlite:{}", folder.path().display()), KEY, &["not a regular file"]).await;
}

// F10: never an empty store in the place of a damaged one.
#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for n in 0..200 {
        store.create_sign_on(hash(&n.to_string()), &sign_on(n, T0)).await.unwrap();
    }
    store.close().await;
    let whole = std::fs::read(folder.path().join("vestibule.db")).unwrap();
    assert!(whole.len() > 100_000, "{} bytes: the log was folded in", whole.len());
    let check = async |what: &str, bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vestibule.db");
        std::fs::write(&path, bytes).unwrap();
        let error = Store::open(&url(folder.path()), sealer(KEY)).await.map(drop).expect_err(what);
        assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error:?}");
        let said = error.to_string();
        assert!(said.contains(path.to_str().unwrap()) && said.contains("Restore a backup"), "{what}: {said}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{what}");
    };
    check("empty", b"").await;
    check("text", "this is no database\n".repeat(500).as_bytes()).await;
    check("zeros", &[0; 8192]).await;
    for length in [1, 15, 16, 99, 100, 512, 4095, 4096, 4097, 8192, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        check(&format!("cut to {length} of {}", whole.len()), &whole[..length]).await;
    }
    let mut overwritten = whole.clone();
    overwritten[4096..20_480].fill(0xAA);
    check("overwritten", &overwritten).await;
}

#[tokio::test]
async fn a_log_without_its_file_is_not_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vestibule.db-wal"), b"frames").unwrap();
    refused(&url(folder.path()), KEY, &["the file is missing", "vestibule.db-wal", "Restore a backup"]).await;
    assert!(!folder.path().join("vestibule.db").exists());
}

#[tokio::test]
async fn another_key_another_schema_and_another_program_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.close().await;
    refused(&url(folder.path()), "another key, which is long enough", &["sealed with another [state] key", "vestibule.db"]).await;
    let path = folder.path().join("vestibule.db");
    for (version, expected) in [(6, "newer vestibule"), (99, "newer vestibule"), (0, "older vestibule"), (-1, "older vestibule")] {
        let mut shell = sqlx::SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        sqlx::query("update vestibule_store set version = $1").bind(version).execute(&mut shell).await.unwrap();
        shell.close().await.unwrap();
        refused(&url(folder.path()), KEY, &[expected, "vestibule.db"]).await;
    }
    let mut shell = sqlx::SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::query("delete from vestibule_store").execute(&mut shell).await.unwrap();
    shell.close().await.unwrap();
    refused(&url(folder.path()), KEY, &["the schema version is missing"]).await;

    let foreign = tempfile::tempdir().unwrap();
    let path = foreign.path().join("vestibule.db");
    std::fs::write(&path, b"").unwrap();
    let mut shell = sqlx::SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::query("create table cats (name text)").execute(&mut shell).await.unwrap();
    shell.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    refused(&url(foreign.path()), KEY, &["not a store of vestibule"]).await;
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_new_file_is_ours_alone_and_nothing_lies_about() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.create_sign_on(hash("a"), &sign_on(1, T0)).await.unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["vestibule.db", "vestibule.db-shm", "vestibule.db-wal"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_gateways_that_start_at_once_share_one_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(folder.path());
    let opening: Vec<_> = (0..10)
        .map(|_| {
            // Seeded alike on purpose: they must not trip over each other's scratch files.
            let sealer = Sealer::new(&KEY.to_owned().into(), Arc::new(SeededEntropy::new(1))).unwrap();
            let url = url.clone();
            tokio::spawn(async move { Store::open(&url, sealer).await.unwrap() })
        })
        .collect();
    let mut stores = Vec::new();
    for one in opening {
        stores.push(one.await.unwrap());
    }
    stores[0].create_sign_on(hash("a"), &sign_on(1, T0)).await.unwrap();
    for store in &stores {
        assert!(store.sign_on_by_cookie(hash("a")).await.unwrap().is_some());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

// ---- sessions --------------------------------------------------------------------------------------------------------------------

// C3: every bit of a cookie counts.
#[tokio::test]
async fn a_cookie_with_one_bit_changed_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let secret = (&SeededEntropy::new(3) as &dyn Entropy).token();
    let one = sign_on(1, T0);
    store.create_sign_on(hash(&secret), &one).await.unwrap();
    store.create_app_session(hash(&secret), one.id, "wiki", T0).await.unwrap();
    let nothing = async |hash: SecretHash| {
        assert!(store.sign_on_by_cookie(hash).await.unwrap().is_none());
        assert!(store.app_session(hash).await.unwrap().is_none());
    };
    for bit in 0..secret.len() * 8 {
        let mut flipped = secret.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        nothing(SecretHash::of(&flipped)).await;
    }
    for bit in 0..256 {
        let mut flipped = hash(&secret);
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        nothing(flipped).await;
    }
    nothing(hash("")).await;
    assert!(store.sign_on(SignOnId([9; 16])).await.unwrap().is_none());
    assert_eq!(store.app_session(hash(&secret)).await.unwrap().unwrap().1.identity, one.identity);
}

// C7: what has ended is dead by every name, stays dead after a restart, and nothing hangs anything from it.
#[tokio::test]
async fn an_ended_sign_on_never_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = (open(folder.path()).await, open(folder.path()).await);
    let (one, two) = (sign_on(1, T0), sign_on(2, T0));
    assert!(!store.end_sign_on(one.id, T0).await.unwrap(), "never there");
    for (cookie, sign_on) in [("one", &one), ("two", &two)] {
        store.create_sign_on(hash(cookie), sign_on).await.unwrap();
        store.create_app_session(hash(&format!("{cookie}@wiki")), sign_on.id, "wiki", T0).await.unwrap();
        store.create_app_session(hash(&format!("{cookie}@crm")), sign_on.id, "crm", T0).await.unwrap();
    }
    assert_eq!(other.apps_of(one.id).await.unwrap(), ["crm", "wiki"]);
    assert!(other.end_sign_on(one.id, T0.plus_ms(1)).await.unwrap());
    assert!(!store.end_sign_on(one.id, T0.plus_ms(2)).await.unwrap(), "once");
    let dead = async |store: &Store| {
        assert!(store.sign_on(one.id).await.unwrap().is_none());
        assert!(store.sign_on_by_cookie(hash("one")).await.unwrap().is_none());
        for cookie in ["one@wiki", "one@crm", "one@late"] {
            assert!(store.app_session(hash(cookie)).await.unwrap().is_none(), "{cookie}");
        }
        assert_eq!(store.app_session(hash("two@wiki")).await.unwrap().unwrap().1.id, two.id, "the other person is not touched");
    };
    dead(&store).await;
    store.create_app_session(hash("one@late"), one.id, "wiki", T0).await.unwrap();
    store.touch(&[(one.id, T0.plus_ms(HOUR))]).await.unwrap();
    dead(&store).await;
    assert!(store.create_sign_on(hash("fresh cookie"), &one).await.is_err(), "the id stays taken");
    assert!(store.create_sign_on(hash("one"), &sign_on(3, T0)).await.is_err(), "so does the cookie");
    assert_eq!(store.sweep(T0.plus_ms(8 * HOUR - 1), T0).await.unwrap(), 0, "until its absolute expiry");
    store.close().await;
    other.close().await;
    let again = open(folder.path()).await;
    dead(&again).await;
    assert_eq!(again.sweep(T0.plus_ms(8 * HOUR), T0).await.unwrap(), 2);
    assert!(again.apps_of(two.id).await.unwrap().is_empty(), "app sessions go with their sign-on");
}

#[tokio::test]
async fn being_seen_moves_forwards_only_and_the_idle_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for n in 1..=3 {
        store.create_sign_on(hash(&n.to_string()), &sign_on(n, T0)).await.unwrap();
    }
    let (one, two) = (sign_on(1, T0).id, sign_on(2, T0).id);
    store.touch(&[(one, T0.plus_ms(5000)), (two, T0.plus_ms(7000)), (SignOnId([9; 16]), T0)]).await.unwrap();
    store.touch(&[(one, T0.plus_ms(10))]).await.unwrap();
    assert_eq!(store.sign_on(one).await.unwrap().unwrap().last_seen, T0.plus_ms(5000));
    assert_eq!(store.sweep(T0.plus_ms(8000), T0.plus_ms(5000)).await.unwrap(), 1, "only the third");
    assert!(store.sign_on_by_cookie(hash("3")).await.unwrap().is_none());
    assert!(store.sign_on(one).await.unwrap().is_some());
}

#[tokio::test]
async fn a_sign_on_reads_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut one = sign_on(1, T0);
    one.identity.groups = Groups::Unknown;
    store.create_sign_on(hash("one"), &one).await.unwrap();
    let read = open(folder.path()).await.sign_on_by_cookie(hash("one")).await.unwrap().unwrap();
    assert!(read == one, "{read:?}");
}

// ---- single use ------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn what_is_too_old_or_unknown_or_used_is_not_fresh() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = (open(folder.path()).await, open(folder.path()).await);
    let until = T0.plus_ms(600_000);
    assert!(matches!(store.take_pending(hash("s"), T0).await.unwrap(), Taken::Unknown));
    assert!(matches!(store.take_handover(hash("s"), T0).await.unwrap(), Taken::Unknown));
    store.put_pending(hash("s"), &pending("/a?b=c"), until).await.unwrap();
    assert!(store.put_pending(hash("s"), &pending("/evil"), until).await.is_err(), "replaces nothing");
    assert!(store.pending(hash("s"), until).await.unwrap().is_none(), "too old");
    assert!(matches!(store.take_pending(hash("s"), until).await.unwrap(), Taken::Unknown));
    assert_eq!(other.pending(hash("s"), T0).await.unwrap().unwrap().return_to, "/a?b=c");
    assert_eq!(other.pending_count().await.unwrap(), 1);
    let Taken::Fresh(login) = other.take_pending(hash("s"), T0).await.unwrap() else { panic!("the first taker") };
    assert_eq!(login, pending("/a?b=c"));
    for store in [&store, &other] {
        assert!(matches!(store.take_pending(hash("s"), T0).await.unwrap(), Taken::Used(login) if login.return_to == "/a?b=c"));
        assert!(store.pending(hash("s"), T0).await.unwrap().is_none());
        assert_eq!(store.pending_count().await.unwrap(), 1, "used, and still room");
    }
    let later = T0.plus_ms(5 * 60_000);
    assert!(matches!(store.take_pending(hash("s"), later.plus_ms(-1)).await.unwrap(), Taken::Used(_)));
    assert!(matches!(store.take_pending(hash("s"), later).await.unwrap(), Taken::Unknown), "known as used for five minutes");
    assert_eq!(store.sweep_logins(later).await.unwrap(), 1);
    assert_eq!(store.pending_count().await.unwrap(), 0);
    let handover =
        Handover { sign_on: sign_on(1, T0).id, app: "wiki".to_owned(), app_binding: hash("binding"), return_to: "/a".to_owned(), lands: true };
    store.put_handover(hash("s"), &handover, until).await.unwrap();
    assert!(matches!(other.take_handover(hash("s"), until).await.unwrap(), Taken::Unknown), "too old");
    let Taken::Fresh(taken) = other.take_handover(hash("s"), T0).await.unwrap() else { panic!("the first taker") };
    assert_eq!(taken, handover);
    assert!(matches!(store.take_handover(hash("s"), T0).await.unwrap(), Taken::Used(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_takers_at_once_exactly_one_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let stores = [open(folder.path()).await, open(folder.path()).await];
    let until = T0.plus_ms(60_000);
    for round in 0..5 {
        let key = hash(&format!("round {round}"));
        let handover = Handover { sign_on: sign_on(1, T0).id, app: "wiki".to_owned(), app_binding: key, return_to: "/".to_owned(), lands: false };
        stores[0].put_pending(key, &pending("/"), until).await.unwrap();
        stores[1].put_handover(key, &handover, until).await.unwrap();
        let takers: Vec<_> = (0..50)
            .map(|n| {
                let store = stores[n % 2].clone();
                tokio::spawn(async move {
                    let pending = store.take_pending(key, T0).await.unwrap();
                    let handover = store.take_handover(key, T0).await.unwrap();
                    assert!(!matches!(pending, Taken::Unknown) && !matches!(handover, Taken::Unknown));
                    (
                        u32::from(matches!(pending, Taken::Fresh(_))),
                        u32::from(matches!(handover, Taken::Fresh(_))),
                        u32::from(store.once(key, until).await.unwrap()),
                    )
                })
            })
            .collect();
        let mut fresh = (0, 0, 0);
        for taker in takers {
            let (a, b, c) = taker.await.unwrap();
            fresh = (fresh.0 + a, fresh.1 + b, fresh.2 + c);
        }
        assert_eq!(fresh, (1, 1, 1), "round {round}");
    }
}

#[tokio::test]
async fn a_replay_is_known_until_swept_and_the_sweep_takes_only_the_expired() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    assert!(store.once(hash("jti"), T0.plus_ms(10)).await.unwrap());
    assert!(!store.once(hash("jti"), T0.plus_ms(99)).await.unwrap());
    store.put_pending(hash("old"), &pending("/"), T0.plus_ms(10)).await.unwrap();
    store.put_pending(hash("new"), &pending("/"), T0.plus_ms(20)).await.unwrap();
    assert_eq!(store.pending_count().await.unwrap(), 2);
    assert_eq!(store.sweep_logins(T0.plus_ms(9)).await.unwrap(), 0);
    assert!(!open(folder.path()).await.once(hash("jti"), T0.plus_ms(99)).await.unwrap(), "after a restart too");
    assert_eq!(store.sweep_logins(T0.plus_ms(10)).await.unwrap(), 2);
    assert_eq!(store.pending_count().await.unwrap(), 1);
    assert!(matches!(store.take_pending(hash("new"), T0).await.unwrap(), Taken::Fresh(_)));
}

fn answer(state: &str, code: &str, document: Vec<u8>, now: Timestamp) -> KeptAnswer {
    KeptAnswer { state: hash(state), code: hash(code), document, expires_at: now.plus_ms(120_000) }
}

/// Bytes of the store's files.
fn on_disk(folder: &Path) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn ten_thousand_kept_answers_take_no_more_room_than_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let room = AnswerRoom { of_state: 4, all: 100, bytes: 1 << 20 };
    let mut most = 0;
    for n in 0_u32..10_000 {
        let now = T0.plus_ms(i64::from(n));
        // Every seventh is of one sign-in; all have different bytes.
        let state = if n.is_multiple_of(7) { "one".to_owned() } else { format!("state {n}") };
        let mut document = vec![b'x'; 16 << 10];
        document[..4].copy_from_slice(&n.to_be_bytes());
        store.keep_answer(&answer(&state, &format!("code {n}"), document, now), room, now).await.unwrap();
        if n.is_multiple_of(100) {
            // As the gateway does every second.
            store.fold().await.unwrap();
            most = most.max(on_disk(folder.path()));
        }
    }
    // The bound, what the log holds on its way into the file, and the pages of an empty store.
    assert!(most < 12 << 20, "{most} bytes");
    let now = T0.plus_ms(10_000);
    let kept = async |n: u32, state: &str| store.kept_answer(hash(state), hash(&format!("code {n}")), now).await.unwrap();
    assert!(kept(9_999, "state 9999").await.is_some() && kept(9_950, "state 9950").await.is_some());
    assert!(kept(9_900, "state 9900").await.is_none(), "the oldest made way");
    let of_one = [9_996, 9_989, 9_982, 9_975, 9_968];
    let mut there = Vec::new();
    for n in of_one {
        there.push(kept(n, "one").await.is_some());
    }
    assert_eq!(there, [true, true, true, true, false], "four of one sign-in");
    assert!(store.kept_answer(hash("state 9999"), hash("code 9950"), now).await.unwrap().is_none(), "of another sign-in");
    assert!(store.kept_answer(hash("state 9999"), hash("code 9999"), T0.plus_ms(200_000)).await.unwrap().is_none(), "expired");
    assert!(store.sweep_logins(T0.plus_ms(200_000)).await.unwrap() > 50);
    assert_eq!(store.sweep_logins(T0.plus_ms(200_000)).await.unwrap(), 0);

    // One that is larger than all the room there is stays, alone; the same once more is the same row.
    let large = answer("large", "large", vec![7; 2 << 20], now);
    store.keep_answer(&answer("small", "small", vec![7; 9], now), room, now).await.unwrap();
    for _ in 0..3 {
        store.keep_answer(&large, room, now).await.unwrap();
    }
    assert_eq!(store.kept_answer(hash("large"), hash("large"), now).await.unwrap(), Some(large.document));
    assert!(store.kept_answer(hash("small"), hash("small"), now).await.unwrap().is_none());
}

// ---- accounts --------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_stolen_or_returned_lease_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (open(folder.path()).await, open(folder.path()).await);
    let ada = record("ada", Some("7"), Some("ada"));
    assert!(matches!(a.save(&ada, Fence(0)).await, Err(StoreError::Fenced)), "no lease was ever taken");
    let (first, none) = held(&a, &ada.key, "a", T0).await;
    assert_eq!(none, None);
    assert_eq!(a.account(&ada.key).await.unwrap(), None, "a lease alone is no record");
    assert!(matches!(b.lease(&ada.key, "b", T0.plus_ms(19_999), T0).await.unwrap(), Lease::Busy(until) if until == T0.plus_ms(20_000)));
    let (second, _) = held(&b, &ada.key, "b", T0.plus_ms(20_000)).await;
    assert!(matches!(a.save(&ada, first).await, Err(StoreError::Fenced)), "stolen");
    assert!(matches!(a.release(&ada.key, first).await, Err(StoreError::Fenced)), "stolen");
    assert_eq!(b.account(&ada.key).await.unwrap(), None);
    b.save(&ada, second).await.unwrap();
    assert_eq!(a.account(&ada.key).await.unwrap().unwrap(), ada);
    let (renewed, found) = held(&b, &ada.key, "b", T0.plus_ms(30_000)).await;
    assert_eq!(found.unwrap(), ada);
    assert!(matches!(b.save(&ada, second).await, Err(StoreError::Fenced)), "renewing moves the fence");
    b.release(&ada.key, renewed).await.unwrap();
    assert!(matches!(b.save(&ada, renewed).await, Err(StoreError::Fenced)), "given back");
    assert!(matches!(b.release(&ada.key, renewed).await, Err(StoreError::Fenced)), "given back");
    let (third, _) = held(&a, &ada.key, "a", T0.plus_ms(30_001)).await;
    assert!(third.0 > renewed.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_leases_asked_for_at_once_one_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let stores = [open(folder.path()).await, open(folder.path()).await];
    let asking: Vec<_> = (0..50)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move { store.lease(&key("ada"), &format!("owner {n}"), T0, T0.plus_ms(20_000)).await.unwrap() })
        })
        .collect();
    let mut held = 0;
    for one in asking {
        match one.await.unwrap() {
            Lease::Held(..) => held += 1,
            Lease::Busy(until) => assert_eq!(until, T0.plus_ms(20_000)),
        }
    }
    assert_eq!(held, 1);
}

#[tokio::test]
async fn seats_are_counted_and_taken_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let seated = |n: u32| record(&format!("p{n}"), Some(&format!("id-{n}")), Some(&format!("login-{n}")));
    // Nobody who has given the lease back takes one.
    let (fence, _) = held(&store, &key("p0"), "a", T0).await;
    assert!(matches!(store.save_within(&seated(0), Fence(fence.0 + 1), 5).await, Err(StoreError::Fenced)));
    assert!(store.save_within(&seated(0), fence, 2).await.unwrap());
    // Left as it is, or without an account: no seat.
    for (n, change) in [(1, Some(Origin::Preexisting)), (2, None)] {
        let (fence, _) = held(&store, &key(&format!("p{n}")), "a", T0).await;
        store.save(&AccountRecord { origin: change, account_id: change.map(|_| format!("id-{n}")), ..seated(n) }, fence).await.unwrap();
    }
    // A create in doubt has one.
    let (fence, _) = held(&store, &key("p3"), "a", T0).await;
    let doubt = AccountRecord { origin: None, account_id: None, in_doubt: Some("{}".to_owned()), ..seated(3) };
    assert!(store.save_within(&doubt, fence, 2).await.unwrap());
    let (other, _) = held(&store, &key("p4"), "a", T0).await;
    assert!(!store.save_within(&seated(4), other, 2).await.unwrap());
    assert_eq!(store.account(&key("p4")).await.unwrap(), None, "nothing was written");
    // Whoever has a seat needs no other one, at another app there are others, and a seat given back is free.
    assert!(store.save_within(&seated(3), fence, 2).await.unwrap());
    let elsewhere = AccountKey { upstream: "crm".to_owned(), ..key("p4") };
    let (fence_there, _) = held(&store, &elsewhere, "a", T0).await;
    assert!(store.save_within(&AccountRecord { key: elsewhere, ..seated(4) }, fence_there, 1).await.unwrap());
    store.forget(&key("p3"), fence).await.unwrap();
    assert!(store.save_within(&seated(4), other, 2).await.unwrap());
}

#[tokio::test]
async fn a_forgotten_record_is_gone_and_nobody_writes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let ada = record("ada", Some("7"), Some("Ada"));
    let (stale, _) = held(&store, &ada.key, "a", T0).await;
    store.save(&ada, stale).await.unwrap();
    assert_eq!(store.owner_of_login("wiki", "aDA").await.unwrap(), Some(ada.key.clone()));
    assert_eq!(store.owner_of_login("crm", "ada").await.unwrap(), None);
    let (fence, _) = held(&store, &ada.key, "b", T0.plus_ms(60_000)).await;
    assert!(matches!(store.forget(&ada.key, stale).await, Err(StoreError::Fenced)));
    store.forget(&ada.key, fence).await.unwrap();
    store.release(&ada.key, fence).await.unwrap();
    assert_eq!(store.account(&ada.key).await.unwrap(), None);
    assert_eq!((store.owner_of_login("wiki", "ada").await.unwrap(), store.census().await.unwrap()), (None, vec![]));
    let (again, found) = held(&store, &ada.key, "c", T0.plus_ms(60_000)).await;
    assert_eq!(found, None);
    // The fence went on: whoever held the record before it was forgotten cannot bring it back.
    for old in [stale, fence] {
        assert_ne!(old, again);
        assert!(matches!(store.save(&ada, old).await, Err(StoreError::Fenced)));
    }
    // Login and account are free for others.
    let (fence, _) = held(&store, &key("eve"), "a", T0).await;
    store.save(&record("eve", Some("7"), Some("ada")), fence).await.unwrap();
}

#[tokio::test]
async fn records_are_read_in_pages_and_counted_by_state() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for n in 0..5 {
        for upstream in ["crm", "wiki"] {
            let key = AccountKey { upstream: upstream.to_owned(), ..key(&format!("p{n}")) };
            let (fence, _) = held(&store, &key, "a", T0).await;
            let (state, failed_at) = if n < 2 { (AccountState::Conflict, Some(T0.plus_ms(n))) } else { (AccountState::Active, None) };
            let one = AccountRecord { key, state, failed_at, ..record("", Some(&n.to_string()), Some(&n.to_string())) };
            store.save(&one, fence).await.unwrap();
            assert_eq!(store.account(&one.key).await.unwrap(), Some(one));
        }
    }
    // Leased, and nothing recorded: nobody yet.
    drop(held(&store, &key("leased"), "a", T0).await);
    for (upstream, expected) in [(Some("crm"), 5), (Some("none"), 0), (None, 10)] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.accounts_after(upstream, after.as_ref(), 2).await.unwrap();
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            seen.extend(page.into_iter().map(|record| record.key));
        }
        assert!(seen.is_sorted() && seen.len() == expected, "{upstream:?}: {seen:?}");
    }
    let mut census: Vec<_> = store.census().await.unwrap().into_iter().map(|of| (of.upstream, of.count, of.oldest_failed_at)).collect();
    census.sort();
    let of = |upstream: &str, count, at| (upstream.to_owned(), count, at);
    assert_eq!(census, [of("crm", 2, Some(T0)), of("crm", 3, None), of("wiki", 2, Some(T0)), of("wiki", 3, None)]);
}

#[tokio::test]
async fn no_two_people_own_one_account_or_one_login() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let ada = record("ada", Some("7"), Some("Ada"));
    let (fence, _) = held(&store, &ada.key, "a", T0).await;
    store.save(&ada, fence).await.unwrap();
    let (fence, _) = held(&store, &key("eve"), "a", T0).await;
    for (account_id, login) in [(Some("7"), None), (None, Some("ada")), (None, Some("ADA")), (Some("8"), Some("Ada")), (Some("7"), Some("eve"))] {
        let taken = store.save(&record("eve", account_id, login), fence).await;
        assert!(matches!(taken, Err(StoreError::OwnedByAnother)), "{account_id:?} {login:?}: {taken:?}");
        assert_eq!(store.account(&key("eve")).await.unwrap(), None);
    }
    store.save(&record("eve", Some("8"), Some("eve")), fence).await.unwrap();
    store.save(&record("eve", None, None), fence).await.unwrap();
    let mut elsewhere = record("eve", Some("7"), Some("ada"));
    elsewhere.key.upstream = "crm".to_owned();
    let (fence, _) = held(&store, &elsewhere.key, "a", T0).await;
    store.save(&elsewhere, fence).await.unwrap();
    assert_eq!(store.account(&elsewhere.key).await.unwrap().unwrap(), elsewhere);
    let other_issuer = AccountKey { subject: SubjectId { issuer: "https://idp2.example".to_owned(), subject: "ada".to_owned() }, ..ada.key };
    assert_eq!(store.account(&other_issuer).await.unwrap(), None, "the same sub of another issuer is another person");
}

#[tokio::test]
async fn records_of_a_state_come_page_by_page_without_those_that_wait_for_a_yes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for (n, state) in [AccountState::Conflict, AccountState::Active, AccountState::Conflict, AccountState::Conflict].into_iter().enumerate() {
        let mut one = record(&format!("p{n}"), None, None);
        one.state = state;
        let (fence, _) = held(&store, &one.key, "a", T0.plus_ms(i64::try_from(n).unwrap())).await;
        store.save(&one, fence).await.unwrap();
    }
    held(&store, &key("only leased"), "a", T0).await;
    let mut staged = record("p4", None, None);
    (staged.state, staged.awaiting) = (AccountState::Conflict, Some(Awaiting::Leave));
    let (fence, _) = held(&store, &staged.key, "a", T0.plus_ms(4)).await;
    store.save(&staged, fence).await.unwrap();
    let listed = async |upstream: &str, state, since: Option<i64>, after: Option<&str>, limit| {
        let (since, after) = (since.map(|ms| T0.plus_ms(ms)), after.map(key));
        let found = store.accounts_in(upstream, state, since, after.as_ref(), limit).await.unwrap();
        found.into_iter().map(|record| record.key.subject.subject).collect::<Vec<_>>()
    };
    let conflict = AccountState::Conflict;
    assert!(listed("crm", conflict, None, None, 9).await.is_empty());
    assert!(listed("wiki", AccountState::Pending, None, None, 9).await.is_empty());
    assert!(listed("wiki", conflict, None, None, 0).await.is_empty());
    assert_eq!(listed("wiki", conflict, None, None, 2).await, ["p0", "p2"]);
    assert_eq!(listed("wiki", conflict, None, Some("p2"), 2).await, ["p3"]);
    assert_eq!(listed("wiki", conflict, Some(2), None, 9).await, ["p2", "p3"]);
    assert_eq!(listed("wiki", AccountState::Active, None, None, 9).await, ["p1"]);
}

// ---- keys ------------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn of_two_keys_made_at_once_the_first_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (open(folder.path()).await, open(folder.path()).await);
    let key = |kid: &str, at| SigningKey { kid: kid.to_owned(), pkcs8: vec![1, 2, 3].into(), public: vec![4; 65], created_at: at };
    assert!(a.signing_keys().await.unwrap().is_empty());
    assert!(a.add_signing_key(&key("a", T0)).await.unwrap());
    assert!(!b.add_signing_key(&key("b", T0)).await.unwrap());
    assert!(!b.add_signing_key(&key("b", T0.plus_ms(60_000))).await.unwrap());
    assert!(!b.add_signing_key(&key("b", T0.plus_ms(-60_000))).await.unwrap());
    assert!(b.add_signing_key(&key("next", T0.plus_ms(24 * HOUR))).await.unwrap());
    let kept = a.signing_keys().await.unwrap();
    assert_eq!(kept.iter().map(|key| key.kid.as_str()).collect::<Vec<_>>(), ["next", "a"]);
    assert_eq!(kept[1].pkcs8.as_slice(), [1, 2, 3]);
}

fn person_secret(tag: u8) -> PersonSecret {
    PersonSecret { tag: [tag; 16], secret: format!("the-password-{tag}").into(), account_id: "7".to_owned(), made_at: T0, proven_at: None }
}

#[tokio::test]
async fn of_two_gateways_that_make_a_secret_at_once_one_decides() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (open(folder.path()).await, open(folder.path()).await);
    let ada = key("ada");
    let there =
        async || b.person_secret(&ada).await.unwrap().map(|secret| (secret.tag[0], secret.secret.expose_secret().to_owned(), secret.proven_at));
    assert!(a.put_person_secret(&ada, None, &person_secret(1)).await.unwrap());
    assert!(!b.put_person_secret(&ada, None, &person_secret(2)).await.unwrap());
    assert!(b.put_person_secret(&ada, Some([1; 16]), &person_secret(3)).await.unwrap());
    assert!(!a.put_person_secret(&ada, Some([1; 16]), &person_secret(4)).await.unwrap(), "it was replaced meanwhile");
    a.person_secret_proven(&ada, [1; 16], T0).await.unwrap();
    assert_eq!(there().await, Some((3, "the-password-3".to_owned(), None)), "what was proven is gone");
    a.person_secret_proven(&ada, [3; 16], T0).await.unwrap();
    assert_eq!(there().await, Some((3, "the-password-3".to_owned(), Some(T0))));
    assert!(a.person_secret(&key("bob")).await.unwrap().is_none() && !format!("{:?}", person_secret(1)).contains("the-password"));

    // Gone with the account, with the person, and with the record.
    let (fence, _) = held(&a, &ada, "a", T0).await;
    let put = async || assert!(a.put_person_secret(&ada, None, &person_secret(5)).await.unwrap());
    a.save(&record("ada", Some("7"), Some("ada")), fence).await.unwrap();
    assert!(there().await.is_some());
    for state in [AccountState::Suspending, AccountState::Suspended, AccountState::Deprovisioned] {
        a.save(&AccountRecord { state, ..record("ada", Some("7"), Some("ada")) }, fence).await.unwrap();
        assert!(there().await.is_none(), "{state:?}");
        put().await;
    }
    a.save(&record("ada", None, None), fence).await.unwrap();
    assert!(there().await.is_none());
    put().await;
    a.forget(&ada, fence).await.unwrap();
    assert!(there().await.is_none());
}

#[tokio::test]
async fn a_removed_key_is_gone_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let made =
        |kid: &str, created_at: Timestamp| SigningKey { kid: kid.to_owned(), pkcs8: b"private".to_vec().into(), public: vec![4; 65], created_at };
    for key in [made("a", T0), made("b", T0.plus_ms(2 * HOUR))] {
        assert!(store.add_signing_key(&key).await.unwrap());
    }
    store.remove_signing_key("x").await.unwrap();
    store.remove_signing_key("a").await.unwrap();
    assert_eq!(store.signing_keys().await.unwrap().iter().map(|key| key.kid.as_str()).collect::<Vec<_>>(), ["b"]);
}

// ---- at rest ---------------------------------------------------------------------------------------------------------------------

// C15: who reads the file can neither come in nor learn who did.
#[tokio::test]
async fn the_file_holds_no_usable_secret_and_no_claims_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let one = sign_on(1, T0);
    store.create_sign_on(hash("the-cookie-value"), &one).await.unwrap();
    store.create_app_session(hash("the-app-cookie-value"), one.id, "wiki", T0).await.unwrap();
    store.put_pending(hash("the-state-value"), &pending("/reset?token=in-the-query"), T0.plus_ms(10)).await.unwrap();
    let (fence, _) = held(&store, &key("person-1"), "a", T0).await;
    store.save(&record("person-1", Some("7"), Some("ada")), fence).await.unwrap();
    let signing = SigningKey { kid: "k".to_owned(), pkcs8: b"the-private-key".to_vec().into(), public: vec![4; 65], created_at: T0 };
    store.add_signing_key(&signing).await.unwrap();
    store.put_person_secret(&key("person-1"), None, &person_secret(9)).await.unwrap();
    store.keep_answer(&answer("s", "c", b"<a-posted-document/>".to_vec(), T0), AnswerRoom { of_state: 1, all: 1, bytes: 99 }, T0).await.unwrap();
    let absent = |bytes: &[u8]| {
        for secret in [
            "the-cookie-value",
            "the-app-cookie-value",
            "the-state-value",
            "id-token-body",
            "idp-session-4711",
            "zelda-1@example.org",
            "Zelda",
            "zquux",
            "wizards-of-quux",
            "QX-77123",
            "nonce-in-clear",
            "verifier-in-clear",
            "in-the-query",
            "the-private-key",
            "the-password-9",
            "a-posted-document",
            KEY,
        ] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} lies open");
        }
    };
    let on_disk = |folder: &Path| {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            std::fs::File::open(entry.unwrap().path()).unwrap().read_to_end(&mut all).unwrap();
        }
        all
    };
    let bytes = on_disk(folder.path());
    assert!(bytes.windows(5).any(|window| window == b"wiki\x00" || window.starts_with(b"wiki")), "what is not secret is found, so the search works");
    absent(&bytes);
    store.end_sign_on(one.id, T0).await.unwrap();
    store.close().await;
    absent(&on_disk(folder.path()));
}

// ---- kill -9 ---------------------------------------------------------------------------------------------------------------------

const CRASH_FOLDER: &str = "VESTIBULE_TEST_CRASH_FOLDER";

// F5: killed at any moment, the store opens; what was said to have ended has ended, what was used is used, and nobody is somebody else.
#[tokio::test]
async fn twenty_kills_while_writing_lose_no_ending_and_mix_up_nobody() {
    if let Some(folder) = std::env::var_os(CRASH_FOLDER) {
        return write_until_killed(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut told = 0;
    for round in 0..20_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "state::twenty_kills_while_writing_lose_no_ending_and_mix_up_nobody", "--nocapture"])
            .env(CRASH_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        // Killed after a different number of writes each time, from the very first on.
        while said.len() < usize::try_from(1 + round * 7).unwrap() {
            let line = lines.next().expect("the child goes on until it is killed").unwrap();
            said.extend(line.strip_prefix("did ").map(str::to_owned));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        said.extend(lines.filter_map(|line| line.ok()?.strip_prefix("did ").map(str::to_owned)));
        told += said.len();
        let store = open(folder.path()).await;
        for line in &said {
            verify_after_crash(&store, line, &said).await;
        }
        store.close().await;
    }
    assert!(told > 1000, "{told} writes were checked");
}

/// Tells each thing once it is done; a number is never used twice, not even by the next child.
async fn write_until_killed(folder: &Path) {
    let store = open(folder).await;
    let [a, b, c, d, ..] = (&OsEntropy::default() as &dyn Entropy).bytes::<8>();
    let base = u64::from(u32::from_be_bytes([a, b, c, d])) << 32;
    let say = |what: &str, n: u64| {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("did {what} {n}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
    };
    // Begins a line of its own: the test harness has written half of one.
    std::io::stdout().write_all(b"\n").unwrap();
    for n in base.. {
        let one = sign_on(n, T0);
        store.create_sign_on(hash(&n.to_string()), &one).await.unwrap();
        store.create_app_session(hash(&format!("{n}@wiki")), one.id, "wiki", T0).await.unwrap();
        say("begin", n);
        store.put_pending(hash(&n.to_string()), &pending(&format!("/{n}")), T0.plus_ms(HOUR)).await.unwrap();
        assert!(matches!(store.take_pending(hash(&n.to_string()), T0).await.unwrap(), Taken::Fresh(_)));
        say("use", n);
        if n.is_multiple_of(2) {
            store.end_sign_on(one.id, T0).await.unwrap();
            say("end", n);
        }
    }
}

async fn verify_after_crash(store: &Store, line: &str, said: &[String]) {
    let (what, n) = line.split_once(' ').unwrap();
    let number: u64 = n.parse().unwrap();
    let (by_cookie, by_app) = (store.sign_on_by_cookie(hash(n)).await.unwrap(), store.app_session(hash(&format!("{n}@wiki"))).await.unwrap());
    match what {
        "begin" => {
            for found in by_cookie.iter().chain(by_app.as_ref().map(|(_, sign_on)| sign_on)) {
                assert_eq!(found.identity, sign_on(number, T0).identity, "somebody else");
            }
            // Even ones may have ended without having been able to say so.
            assert!(number.is_multiple_of(2) || (by_cookie.is_some() && by_app.is_some()), "{line} was lost");
        }
        "use" => assert!(matches!(store.take_pending(hash(n), T0).await.unwrap(), Taken::Used(login) if login.return_to == format!("/{n}"))),
        "end" => {
            assert!(by_cookie.is_none() && by_app.is_none(), "{line} came back");
            assert!(store.sign_on(sign_on(number, T0).id).await.unwrap().is_none());
            assert!(said.contains(&format!("begin {n}")));
        }
        other => panic!("{other}"),
    }
}

/// No commit waits for the disk because the log has grown long: whoever signs in next would pay for all before. It is folded into the file beside them.
#[tokio::test]
async fn the_log_is_folded_into_the_file_by_nobodys_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let last = 500;
    for n in 0..=last {
        store.create_sign_on(hash(&n.to_string()), &sign_on(n, T0)).await.unwrap();
    }
    let log = std::fs::metadata(folder.path().join("vestibule.db-wal")).unwrap().len();
    assert!(log > 1_000 * 4096, "SQLite's own threshold is passed: {log} bytes");
    // The file alone, as a loss of power may leave it.
    let in_the_file = async |n: u64| {
        let alone = tempfile::tempdir().unwrap();
        std::fs::copy(folder.path().join("vestibule.db"), alone.path().join("vestibule.db")).unwrap();
        let alone = Store::open_to_read(&url(alone.path()), sealer(KEY)).await.unwrap();
        alone.sign_on_by_cookie(hash(&n.to_string())).await.unwrap().is_some()
    };
    assert!(!in_the_file(0).await, "no commit has folded anything");
    assert_eq!(store.fold().await.unwrap(), 0, "nothing stays behind");
    assert!(in_the_file(0).await && in_the_file(last).await);
    assert_eq!(store.fold().await.unwrap(), 0, "a second time there is nothing to do");
    store.create_sign_on(hash("one more"), &sign_on(last + 1, T0)).await.unwrap();
    assert!(std::fs::metadata(folder.path().join("vestibule.db-wal")).unwrap().len() <= log, "the log begins again from its start");
}
