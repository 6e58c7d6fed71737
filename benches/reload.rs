//! The configuration of a large house: `check` of 1,000 policies (at most 2 s), and a reload of one among 1,000 (at most 50 ms), the latter in a gateway that
//! runs. `cargo bench --bench reload`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot be set up is over")]

use divan::Bencher;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use vestibule::app::{self, By, Source};
use vestibule::load::{Loader, check, no_gate};

const POLICIES: usize = 1_000;

fn main() {
    divan::main();
}

/// A policy as people write them, with an account made through the app's own API.
fn policy(number: usize, title: &str) -> String {
    format!(
        r#"host = "app-{number}.example.com"
upstream = "http://127.0.0.1:9"
title = "{title}"
[access]
groups = ["staff", "team-{number}-*"]
deny_groups = ["suspended"]
when = "has(claims.office) && claims.office != 'closed'"
[[path]]
match = ["/public", "/assets/*"]
public = true
[[path]]
match = ["/admin", "/admin/*"]
groups = ["admins-{number}"]
[user]
name = "{{slug(given_name)}}-{{slug(family_name)}}"
email = "{{email}}"
[roles]
map = {{ "admins-{number}" = "admin", staff = "user" }}
[provision]
connector = "scim"
url = "http://127.0.0.1:9/scim/v2"
token = "file:../token"
[headers]
X-Remote-User = "{{user.name}}"
X-Remote-Email = "{{user.email}}"
X-Remote-Groups = "{{join(groups, ',')}}"
"#
    )
}

struct House {
    folder: TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("certs");
        let gateway = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nauth_host = \"auth.example.com\"\nworkers = 1\n[tls]\ncert = {:?}\nkey = {:?}\n\
             [state]\nurl = \"sqlite:v.db\"\nkey = \"env:STATE_KEY\"\n\
             [[idp]]\nid = \"corp\"\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"v\"\n",
            certs.join("vestibule.test.pem").display(),
            format!("file:{}", certs.join("vestibule.test.key").display()),
        );
        fs::write(folder.path().join("vestibule.toml"), gateway).unwrap();
        fs::write(folder.path().join("token"), "a token").unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        let house = Self { folder };
        (0..POLICIES).for_each(|number| house.write(number, "as it was"));
        house
    }

    fn write(&self, number: usize, title: &str) {
        fs::write(self.folder.path().join(format!("policies/app-{number}.toml")), policy(number, title)).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("vestibule.toml")
    }
}

#[divan::bench(sample_count = 10)]
fn check_of_1000_policies(bencher: Bencher<'_, '_>) {
    let house = House::new();
    bencher.bench_local(|| {
        let report = check(&house.config());
        assert_eq!((report.errors(), report.files), (0, POLICIES + 1), "{}", report.render());
    });
}

#[divan::bench(sample_count = 50)]
fn reload_of_one_among_1000(bencher: Bencher<'_, '_>) {
    let house = House::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut loader = Loader::new(&house.config());
    let first = loader.look(&no_gate).unwrap_or_else(|report| panic!("{}", report.render())).first();
    let mut plan = first.into_plan();
    plan.install_logging = false;
    plan.environment = Arc::new(|name| (name == "STATE_KEY").then(|| OsString::from("a key for a benchmark that is long enough to be one")));
    let running = runtime.block_on(app::start(plan)).unwrap_or_else(|error| panic!("{error}"));
    let swap = Arc::clone(running.swap());
    let mut round = 0;
    bencher.bench_local(|| {
        round += 1;
        house.write(round % POLICIES, &format!("round {round}"));
        let found = loader.look(&no_gate).unwrap_or_else(|report| panic!("{}", report.render()));
        let reloaded = swap.take(found, &By::source(Source::Watch));
        assert_eq!((reloaded.ok, reloaded.entries.len(), reloaded.unchanged), (true, 1, POLICIES - 1), "{reloaded:?}");
    });
    runtime.block_on(running.stop());
}
