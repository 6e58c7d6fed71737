//! A gateway whose files change while it runs.
//!
//! [`Followed`] is the whole gateway in this process, started from files as `serve` does, with an application and a provider; tests write files and reload.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod files;
mod load;
mod operators;

use crate::fake_op::{CLIENT_ID, CLIENT_SECRET, FakeOp};
use crate::whole::{APP, AUTH, Answer, Person, Street, Upstream, WIKI, Wire, cert, get, policy};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpStream;
use vestibule::admin::commands::{Entry, Reloaded};
use vestibule::app::{By, Source};
use vestibule::clock::{Clock as _, ManualClock, SystemClock};
use vestibule::load::{Gate, Loader, no_gate};
use vestibule::reload::Following;

struct Followed {
    following: Following,
    street: Street,
    app: Upstream,
    clock: Arc<ManualClock>,
    folder: TempDir,
}

impl Followed {
    /// Two apps, `app` and `wiki`, with one upstream.
    async fn new() -> Self {
        Self::gated(Arc::new(no_gate)).await
    }

    async fn gated(gate: Arc<Gate>) -> Self {
        Self::with(gate, |app| vec![("app", policy(APP, app)), ("wiki", policy(WIKI, app))]).await
    }

    async fn with(gate: Arc<Gate>, policies: impl FnOnce(std::net::SocketAddr) -> Vec<(&'static str, String)>) -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let (op, app) = (FakeOp::start(clock.now().seconds()).await, Upstream::start().await);
        let folder = tempfile::tempdir().unwrap();
        let issuer = &op.issuer;
        let config = format!(
            r#"
[server]
listen = "127.0.0.1:0"
auth_host = "{AUTH}"
workers = 1
drain = "2s"
[tls]
cert = "tls.pem"
key = "file:tls.key"
[admin]
listen = "127.0.0.1:0"
socket = "admin.sock"
[state]
url = "sqlite:v.db"
key = "env:STATE_KEY"
[pages]
contact = "helpdesk@example.com"
[[idp]]
id = "corp"
issuer = "{issuer}"
client_id = "{CLIENT_ID}"
client_secret = "file:client.secret"
scopes = ["openid"]
"#
        );
        fs::write(folder.path().join("vestibule.toml"), config).unwrap();
        fs::write(folder.path().join("client.secret"), CLIENT_SECRET).unwrap();
        fs::copy(cert("vestibule.test.pem"), folder.path().join("tls.pem")).unwrap();
        fs::copy(cert("vestibule.test.key"), folder.path().join("tls.key")).unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        for (name, text) in policies(app.at) {
            fs::write(folder.path().join(format!("policies/{name}.toml")), text).unwrap();
        }
        let mut loader = Loader::new(&folder.path().join("vestibule.toml"));
        let first = loader.look(gate.as_ref()).unwrap_or_else(|report| panic!("{}", report.render())).first();
        let mut plan = first.into_plan();
        plan.install_logging = false;
        plan.clock = clock.clone();
        plan.environment = Arc::new(|name| (name == "STATE_KEY").then(|| OsString::from("a key for tests that is long enough to be one")));
        let following = Following::start(loader, gate, plan).await.unwrap();
        let street = Street { at: following.running.serving[0], op };
        Self { following, street, app, clock, folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(file), text).unwrap();
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "{file}: {from}");
        self.write(file, text.replace(from, to));
    }

    async fn reload(&self) -> Reloaded {
        self.following.reloader.reload(By::source(Source::Signal)).await
    }

    /// Reloads; what came of each file, by its name without folder: `app.toml changed loaded`.
    async fn reloaded(&self) -> Vec<String> {
        let reloaded = self.reload().await;
        let said = |entry: &Entry| {
            let file = entry.file.rsplit('/').next().unwrap();
            let change = serde_json::to_value(entry.change).unwrap();
            let came = if entry.loaded { "loaded" } else { "not" };
            format!("{file} {} {came}", change.as_str().unwrap())
        };
        assert_eq!(reloaded.ok, reloaded.entries.iter().all(|entry| entry.loaded), "{reloaded:?}");
        reloaded.entries.iter().map(said).collect()
    }

    /// As somebody who opens a page: only then is an account made.
    async fn open(&self, person: &Person, host: &str) -> Answer {
        self.street.ask(host, get(person, host, "/", "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n")).await
    }

    async fn get(&self, person: &Person, host: &str, path: &str) -> Answer {
        self.street.ask(host, get(person, host, path, "")).await
    }

    fn advance_s(&self, seconds: i64) {
        self.clock.advance_ms(seconds * 1000);
        self.street.op.set_now(self.clock.now().seconds());
    }

    /// What the operators' listener counts.
    async fn metrics(&self) -> String {
        let mut wire = Wire::new(TcpStream::connect(self.following.running.admin.unwrap()).await.unwrap());
        wire.send(format!("GET /metrics HTTP/1.1\r\nHost: {APP}\r\n\r\n")).await;
        wire.answer(false).await.text()
    }
}
