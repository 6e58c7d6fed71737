//! A store with the account records of a million people. Goals: a record is found within 50 µs, the file has at most 1 GiB.
//!
//! Keys are asked for in random order. *Warm*: the store has been asked for a while. *Own cache dropped*: a store just opened, whose connections have no page in memory;
//! the system still has the file. *System cache dropped*: neither has; every page comes from the disk, and the disk decides. The records have what Entra's people
//! have: an issuer of 71 characters, object ids for subjects and account ids.

use crate::house::{APP, Wires, gateway, policy, sealer, start, store};
use crate::reconcile::record;
use crate::report::{Sample, goal, load_now, ms};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use vestibule::clock::{Clock as _, SystemClock};
use vestibule::identity::SubjectId;
use vestibule::state::seal::Purpose;
use vestibule::state::sqlite::Store;
use vestibule::state::{AccountKey, AccountStore as _};

const PEOPLE: u64 = 1_000_000;
const LOOKS: usize = 100_000;
/// From the disk each look may take milliseconds.
const COLD_LOOKS: usize = 2_000;
const ISSUER: &str = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";
const GIB: f64 = (1_u64 << 30) as f64;

pub fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir_in(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into())).unwrap();
    let gateway = gateway(folder.path(), "http://127.0.0.1:9", Wires::Tcp);
    let file = folder.path().join("v.db");
    runtime.block_on(async {
        store(&gateway.state.url).await.close().await;
        let begun = Instant::now();
        fill(&file).await;
        println!("  {PEOPLE} records put there in {:.1} s", begun.elapsed().as_secs_f64());
        let bytes = std::fs::metadata(&file).unwrap().len();
        println!("  {:.0} bytes a record", bytes as f64 / PEOPLE as f64);
        goal("the file", bytes as f64 / GIB, 1.0, "GiB");

        let known = opened(&gateway.state.url, "opened, the system's cache warm").await;
        look(&known, LOOKS).await;
        let warm = look(&known, LOOKS).await;
        warm.line("look-up, warm");
        looked_up("warm", &warm);
        let beside = beside(&known).await;
        beside.line("look-up from another task's side, warm");
        known.close().await;

        let known = opened(&gateway.state.url, "opened again").await;
        let fresh = look(&known, LOOKS / 5).await;
        fresh.line("look-up, own cache dropped");
        looked_up("own cache dropped", &fresh);
        known.close().await;

        drop_system_cache(&file);
        let known = opened(&gateway.state.url, "opened, the system's cache dropped").await;
        drop_system_cache(&file);
        look(&known, COLD_LOOKS).await.line("look-up, system cache dropped too");
        known.close().await;

        let policy = policy("http://127.0.0.1:9", "http://127.0.0.1:9", "");
        let begun = Instant::now();
        let running = start(gateway, policy, Wires::Tcp).await;
        println!("  {:44}     {:8.3}", "the gateway, from nothing to listening", ms(begun.elapsed()));
        running.stop().await;
    });
    load_now();
}

fn looked_up(how: &str, sample: &Sample) {
    goal(&format!("look-up, {how}, median"), ms(sample.median()) * 1e3, 50.0, "us");
    goal(&format!("look-up, {how}, p95"), ms(sample.at(0.95)) * 1e3, 50.0, "us");
}

async fn opened(url: &str, how: &str) -> Store {
    let begun = Instant::now();
    let store = store(url).await;
    println!("  {:44}     {:8.3}", format!("the store, {how}"), ms(begun.elapsed()));
    store
}

/// A walk through all numbers that looks like chance and comes again on every run.
struct Shuffled(u64);

impl Iterator for Shuffled {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some((z ^ (z >> 31)) % PEOPLE)
    }
}

/// An object id: hexadecimal, and in no order.
fn object_id(number: u64, kind: u64) -> String {
    let mixed = Shuffled(number.wrapping_mul(3).wrapping_add(kind)).0.wrapping_mul(0xd134_2543_de82_ef95).rotate_left(29) ^ number;
    format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{number:012x}", mixed >> 32, mixed >> 16 & 0xffff, mixed >> 4 & 0xfff, kind & 0xfff)
}

fn key(number: u64) -> AccountKey {
    AccountKey { upstream: APP.to_owned(), subject: SubjectId { issuer: ISSUER.to_owned(), subject: object_id(number, 1) } }
}

async fn look(store: &Store, looks: usize) -> Sample {
    let mut times = Vec::with_capacity(looks);
    for number in Shuffled(times.capacity() as u64).take(looks) {
        let key = key(number);
        let begun = Instant::now();
        let found = store.account(&key).await.unwrap().unwrap();
        times.push(begun.elapsed());
        assert_eq!(found.login.as_deref(), Some(login(number).as_str()));
    }
    Sample(times)
}

/// The same on a thread of the runtime, as requests do it.
async fn beside(store: &Store) -> Sample {
    let store = store.clone();
    tokio::spawn(async move { look(&store, LOOKS).await }).await.unwrap()
}

fn login(number: u64) -> String {
    format!("given.family-{number}")
}

/// Straight into the table, in one transaction: a million sign-ins would take an hour. What is written is what the store writes.
async fn fill(file: &Path) {
    let options = SqliteConnectOptions::new().filename(file).journal_mode(SqliteJournalMode::Off).synchronous(SqliteSynchronous::Off);
    let mut shell: SqliteConnection = options.pragma("cache_size", "-2000000").connect().await.unwrap();
    let (sealer, now) = (sealer(), SystemClock.now());
    let policy = policy("http://127.0.0.1:9", "http://127.0.0.1:9", "");
    let mut all = shell.begin().await.unwrap();
    for number in 0..PEOPLE {
        let place = usize::try_from(number).unwrap();
        let (key, record) = (key(number), record(place, &policy, ISSUER, now));
        let name = serde_json::to_vec(&[&key.upstream, &key.subject.issuer, &key.subject.subject]).unwrap();
        let applied = sealer.seal(Purpose::Applied, &name, &serde_json::to_vec(&record.applied).unwrap()).unwrap();
        let put = sqlx::query(
            "insert into account (upstream, issuer, subject, state, origin, account_id, login, login_folded, applied_sealed, desired_fp,
               policy_revision, verified_at, seat, leased_at, fence) values ($1, $2, $3, 'active', 'created', $4, $5, $5, $6, $7, $8, $9, 1, $9, 2)",
        );
        let put = put.bind(key.upstream).bind(key.subject.issuer).bind(key.subject.subject).bind(object_id(number, 2)).bind(login(number));
        let put = put.bind(applied).bind(record.desired_fp).bind(record.policy_revision).bind(now.millis() + i64::try_from(number).unwrap());
        put.execute(&mut *all).await.unwrap();
    }
    all.commit().await.unwrap();
    shell.close().await.unwrap();
}

/// The pages of the file are written and forgotten; `dd` is in coreutils.
fn drop_system_cache(file: &Path) {
    let told = |arguments: &[&str]| assert!(Command::new("dd").args(arguments).output().unwrap().status.success());
    let file = file.display();
    told(&[&format!("of={file}"), "oflag=nocache", "conv=notrunc,fdatasync", "count=0"]);
    told(&[&format!("if={file}"), "iflag=nocache", "count=0"]);
    std::thread::sleep(Duration::from_millis(200));
}
