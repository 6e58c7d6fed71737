//! Operators: who may ask through the socket, what they are told, and signals; through the real binary where a process of its own matters.

use super::Followed;
use crate::whole::{APP, AUTH, Person, cert, within};
use rustix::process::{Pid, Signal, getgid, getuid, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;
use vestibule::admin::commands::{Looks, Reload, Reloads, Statuses};
use vestibule::admin::socket::{Commands, Peers, bind, run};

/// Asks the socket at `path`; status and JSON.
async fn ask(path: &Path, method: &str, target: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

/// A further socket of a gateway, for other peers than its own.
fn for_peers(followed: &Followed, name: &str, peers: Peers) -> (std::path::PathBuf, watch::Sender<bool>) {
    let path = followed.path(name);
    let listener = bind(&path, &peers).unwrap();
    let commands: Commands = vec![
        Box::new(Reload(Arc::clone(&followed.following.reloader) as Arc<dyn Reloads>)),
        Box::new(Looks(Arc::clone(followed.following.running.swap()) as Arc<dyn Statuses>)),
    ];
    let (stop, stopping) = watch::channel(false);
    drop(tokio::spawn(run(listener, peers, commands, stopping)));
    (path, stop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_nobody_changes_settings_but_those_who_may_and_viewers_only_look() {
    let followed = Followed::new().await;
    let before = *followed.following.reloader.count().borrow();
    let (path, _stop) = for_peers(&followed, "nobody.sock", Peers::default());
    for (method, target) in [("GET", "/api/v1/status"), ("POST", "/api/v1/reload"), ("GET", "/nothing")] {
        let (status, said) = ask(&path, method, target).await;
        assert_eq!(status, 403, "{target}: {said}");
        assert!(said["error"].as_str().unwrap().contains("members of [admin] socket_group may use this socket"), "{said}");
    }
    let viewers = Peers { viewers: Some(getgid().as_raw()), ..Peers::default() };
    let (path, _stop) = for_peers(&followed, "viewers.sock", viewers);
    assert_eq!(ask(&path, "GET", "/api/v1/status").await.0, 200);
    let (status, said) = ask(&path, "POST", "/api/v1/reload").await;
    assert!(status == 403 && said["error"].as_str().unwrap().contains("may look and not act"), "{said}");
    assert_eq!(*followed.following.reloader.count().borrow(), before, "nothing was loaded for them");
    let group = Peers { group: Some(getgid().as_raw()), ..Peers::default() };
    let (path, _stop) = for_peers(&followed, "group.sock", group);
    assert_eq!(ask(&path, "POST", "/api/v1/reload").await.0, 200);
    assert_eq!(*followed.following.reloader.count().borrow(), before + 1);
    for (method, target, expected) in [("GET", "/api/v1/nothing", 404), ("GET", "/api/v1/reload", 405), ("POST", "/api/v1/status", 405)] {
        assert_eq!(ask(&path, method, target).await.0, expected, "{method} {target}");
    }
    // The gateway's own, for its own user.
    let own = followed.following.socket.clone().unwrap();
    assert_eq!(own, followed.path("admin.sock"));
    assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(ask(&own, "POST", "/api/v1/reload").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_what_is_loaded_and_what_is_not() {
    let followed = Followed::new().await;
    let person = followed.street.sign_in(APP).await;
    assert_eq!(followed.get(&person, APP, "/").await.status(), 200);
    followed.write("policies/wiki.toml", "");
    followed.write("policies/crm.toml", "host = \"crm.vestibule.test\"\n");
    followed.edit("vestibule.toml", "workers = 1", "workers = 2");
    assert!(!followed.reload().await.ok);
    followed.advance_s(90);
    let (status, said) = ask(&followed.path("admin.sock"), "GET", "/api/v1/status").await;
    assert_eq!(status, 200);
    let overview = &said["overview"];
    assert_eq!((&overview["up_s"], &overview["sessions"], &overview["last_reload_ok"]), (&json!(90), &json!(1), &json!(false)));
    assert_eq!((&overview["restart"], &overview["store_ok"]), (&json!(["server.workers"]), &json!(true)));
    let apps: Vec<(&str, &str, u64)> = said["apps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|app| (app["app"].as_str().unwrap(), app["policy"].as_str().unwrap(), app["errors"].as_u64().unwrap()))
        .collect();
    assert_eq!(apps[0], ("app", "ok", 0));
    assert!(apps[1].0 == "crm" && apps[1].1 == "not_loaded" && apps[1].2 > 0, "{said}");
    assert!(apps[2].0 == "wiki" && apps[2].1 == "stale" && apps[2].2 > 0, "{said}");
    assert_eq!(said["apps"][2]["upstream"], followed.app.at.to_string());
    assert_eq!((&said["providers"][0]["id"], said["providers"][0]["keys_age_s"].as_i64()), (&json!("corp"), Some(90)));
    assert!(!said.to_string().contains("ada"), "nobody is named: {said}");
}

/// `vestibule serve` as a process.
struct Served {
    child: Child,
    folder: TempDir,
    manager: UnixDatagram,
}

impl Drop for Served {
    fn drop(&mut self) {
        // Gone already where the test stopped it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const POLICY: &str = "host = \"wiki.vestibule.test\"\nupstream = \"http://127.0.0.1:9\"\n[access]\neveryone = true\n";

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nauth_host = \"{AUTH}\"\nworkers = 1\n[tls]\ncert = {:?}\nkey = {:?}\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             socket = \"admin.sock\"\n[state]\nurl = \"sqlite:v.db\"\nkey = \"env:STATE_KEY\"\n[audit]\nfile = \"audit.jsonl\"\n\
             [[idp]]\nid = \"corp\"\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"v\"\n",
            cert("vestibule.test.pem").display(),
            format!("file:{}", cert("vestibule.test.key").display()),
        );
        fs::write(folder.path().join("vestibule.toml"), config).unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        fs::write(folder.path().join("policies/wiki.toml"), POLICY).unwrap();
        let manager = UnixDatagram::bind(folder.path().join("notify.sock")).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let served = Self { child: Self::spawned(folder.path()), folder, manager };
        served.hear(|said| said == "READY=1");
        served
    }

    fn spawned(folder: &Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .args(["serve", "--config", "vestibule.toml"])
            .current_dir(folder)
            .env("STATE_KEY", "a key for tests that is long enough to be one")
            .env("NOTIFY_SOCKET", folder.join("notify.sock"))
            .env("WATCHDOG_USEC", "200000")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Killed, with `meanwhile` done before it is started again.
    fn again(&mut self, meanwhile: impl FnOnce(&Self)) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // What the one before had said last is not what the next one says first.
        self.manager.set_nonblocking(true).unwrap();
        while self.manager.recv(&mut [0; 200]).is_ok() {}
        self.manager.set_nonblocking(false).unwrap();
        meanwhile(self);
        self.child = Self::spawned(self.folder.path());
        self.hear(|said| said == "READY=1");
    }

    /// Waits until the service manager is told what fits; the heartbeat aside, what it was told until then.
    fn hear(&self, fits: impl Fn(&str) -> bool) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let mut bytes = [0; 200];
            let length = self.manager.recv(&mut bytes).unwrap_or_else(|error| panic!("{error}: {told:?}"));
            let said = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let found = fits(&said);
            if said != "WATCHDOG=1" {
                told.push(said);
            }
            if found {
                return told;
            }
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command.args(words).args(["--config", "vestibule.toml"]).current_dir(self.folder.path());
        command
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("policies/wiki.toml"), text).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for an audit event that fits.
    fn audited(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let until = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let text = fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap_or_default();
            let events = text.split_inclusive('\n').filter_map(|line| serde_json::from_str::<Value>(line.strip_suffix('\n')?).ok());
            if let Some(event) = events.into_iter().find(&fits) {
                return event;
            }
            assert!(std::time::Instant::now() < until, "no such event: {text}");
            std::thread::yield_now();
        }
    }
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned())
}

#[test]
fn sighup_reloads_and_the_service_manager_hears_all_of_it() {
    let mut served = Served::start();
    // A first look, for what has changed since the files were read.
    served.hear(|said| said.starts_with("RELOADING=1"));
    served.hear(|said| said == "READY=1");
    served.hear(|said| said == "WATCHDOG=1");
    for _ in 0..2 {
        served.signal(Signal::HUP);
        let told = served.hear(|said| said == "READY=1");
        assert!(told.len() == 2 && told[0].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told:?}");
    }
    served.write(&POLICY.replace("everyone = true", "groups = [\"staff\"]"));
    served.signal(Signal::HUP);
    let loaded = |event: &Value| event["action"] == "config.loaded" && event["app"] == "wiki";
    let first = served.audited(|event| loaded(event) && event["source"] == "start");
    let second = served.audited(|event| loaded(event) && event["source"] != "start");
    assert_ne!(first["policy"]["revision"], second["policy"]["revision"]);
    served.signal(Signal::TERM);
    served.hear(|said| said == "STOPPING=1");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    assert!(!served.folder.path().join("admin.sock").exists(), "the socket goes with the gateway");
}

#[test]
fn the_command_line_says_what_came_of_a_reload() {
    let served = Served::start();
    let (code, text) = said(&served.command(&["reload"]).output().unwrap());
    assert_eq!((code, text.as_str()), (Some(0), "nothing has changed\n"));
    served.write(&POLICY.replace("everyone", "evryone"));
    let (code, text) = said(&served.command(&["reload"]).output().unwrap());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("policies/wiki.toml") && text.contains("NOT loaded, the version of "), "{text}");
    assert!(text.contains("error[unknown-key]: unknown key `evryone` in [access]"), "{text}");
    let rejected = served.audited(|event| event["action"] == "config.rejected");
    assert_eq!((&rejected["app"], rejected["source"].as_str().is_some()), (&json!("wiki"), true));
    let asked = served.audited(|event| event["action"] == "admin.command");
    assert_eq!((&asked["peer"]["uid"], &asked["url"]["path"]), (&json!(getuid().as_raw()), &json!("/api/v1/reload")), "{asked}");
    let (code, text) = said(&served.command(&["reload", "--json"]).output().unwrap());
    let reloaded: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &reloaded["ok"], &reloaded["entries"][0]["app"]), (Some(1), &json!(false), &json!("wiki")));
    let (code, text) = said(&served.command(&["status"]).output().unwrap());
    assert!(code == Some(1) && text.contains("STALE  ") && text.contains("1 app, 1 provider, 0 sessions"), "{text}");
    served.write(POLICY);
    assert_eq!(said(&served.command(&["reload"]).output().unwrap()).0, Some(0));
    let (code, text) = said(&served.command(&["status"]).output().unwrap());
    assert!(code == Some(0) && text.contains("ok     "), "{text}");
    let (code, text) = said(&served.command(&["status", "--json"]).output().unwrap());
    assert_eq!((code, serde_json::from_str::<Value>(&text).unwrap()["apps"][0]["policy"].clone()), (Some(0), json!("ok")));
    // Nobody there, and somebody who may not.
    let (code, text) = said(&served.command(&["status", "--socket", "none.sock"]).output().unwrap());
    assert!(code == Some(2) && text.contains("no gateway listens on none.sock"), "{text}");
    fs::set_permissions(served.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut other = Command::new("cp");
    let binary = served.folder.path().join("vestibule");
    assert!(other.arg(env!("CARGO_BIN_EXE_vestibule")).arg(&binary).status().unwrap().success());
    let mut other = Command::new(&binary);
    other.args(["reload", "--socket", "admin.sock"]).current_dir(served.folder.path());
    let root = getuid().is_root();
    if root {
        other.uid(65_534).gid(65_534);
    }
    let (code, text) = said(&other.output().unwrap());
    if root {
        assert!(code == Some(2) && text.contains("admin.sock may not be used by this user: root may"), "{text}");
    } else {
        assert_eq!(code, Some(0), "the gateway's own user may: {text}");
    }
}

#[test]
fn a_gateway_that_nobody_could_ask_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nauth_host = \"{AUTH}\"\n[tls]\ncert = {:?}\nkey = {:?}\n[admin]\nlisten = \"127.0.0.1:0\"\nSOCKET\n\
         [state]\nurl = \"sqlite:v.db\"\nkey = \"env:STATE_KEY\"\n[[idp]]\nid = \"corp\"\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"v\"\n",
        cert("vestibule.test.pem").display(),
        format!("file:{}", cert("vestibule.test.key").display()),
    );
    fs::create_dir(folder.path().join("policies")).unwrap();
    let check = |socket: &str, expected: i32, text: &str| {
        fs::write(folder.path().join("vestibule.toml"), config.replace("SOCKET", socket)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command.args(["serve", "--config", "vestibule.toml"]).current_dir(folder.path());
        let (code, said) = said(&command.env("STATE_KEY", "a key for tests that is long enough to be one").output().unwrap());
        assert!(code == Some(expected) && said.contains(text), "{socket}: {code:?} {said}");
    };
    check("socket = \"none/admin.sock\"", 2, "[admin] socket: none/admin.sock cannot be made");
    check("socket = \"admin.sock\"\nsocket_group = \"no-such-group\"", 78, "[admin] socket_group: there is no group `no-such-group`");
    check("socket = \"admin.sock\"\nsocket_viewers = \"no-such-group\"", 78, "[admin] socket_viewers: there is no group `no-such-group`");
    assert!(!folder.path().join("admin.sock").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_before_a_reload_stays_its_apps() {
    let followed = Followed::new().await;
    assert_eq!(followed.get(&Person::default(), APP, "/public").await.status(), 200);
    let line = "vestibule_access_decisions_total{app=\"app\",decision=\"public\",reason=\"\"} 1";
    let counted = || {
        within("the counts", async {
            loop {
                let metrics = followed.metrics().await;
                if metrics.lines().any(|found| found == line) {
                    return metrics;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    drop(counted().await);
    fs::remove_file(followed.path("policies/app.toml")).unwrap();
    followed.write("policies/aaa.toml", crate::whole::policy("aaa.vestibule.test", followed.app.at));
    assert!(followed.reload().await.ok);
    let metrics = counted().await;
    assert!(!metrics.contains("app=\"aaa\",decision"), "{metrics}");
}

/// Somebody waits for a human: operators see it, say yes, and forget, all through the socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_listed_approved_and_forgotten_by_the_command_line() {
    use vestibule::clock::{Clock as _, SystemClock};
    use vestibule::entropy::{Entropy, OsEntropy};
    use vestibule::identity::SubjectId;
    use vestibule::state::{AccountKey, AccountRecord, AccountState, AccountStore as _, Awaiting, Lease, seal::Sealer, sqlite};
    let served = Served::start();
    let users = |words: &[&str]| said(&served.command(&[&["users"], words].concat()).output().unwrap());
    assert_eq!(users(&["list"]), (Some(0), "nobody\n".to_owned()));
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::default());
    let sealer = Sealer::new(&"a key for tests that is long enough to be one".into(), entropy).unwrap();
    let store = sqlite::Store::open(&format!("sqlite:{}", served.folder.path().join("v.db").display()), sealer).await.unwrap();
    let now = SystemClock.now();
    let waits = async |issuer: &str, subject: &str, login: &str| {
        let key = AccountKey { upstream: "wiki".to_owned(), subject: SubjectId { issuer: issuer.to_owned(), subject: subject.to_owned() } };
        let Lease::Held(fence, _) = store.lease(&key, "t", now, now.plus_ms(9_000)).await.unwrap() else { panic!("held") };
        let record = AccountRecord {
            state: AccountState::AwaitingApproval,
            login: Some(login.to_owned()),
            applied: json!({}),
            awaiting: Some(Awaiting::Account),
            ..AccountRecord::empty(key.clone(), "")
        };
        store.save(&record, fence).await.unwrap();
        store.release(&key, fence).await.unwrap();
    };
    waits("https://idp", "s-1", "ada").await;
    let (code, text) = users(&["list", "--waiting"]);
    assert!(code == Some(0) && text.contains("awaiting approval") && text.contains("waits for a yes: account"), "{text}");
    let (code, text) = users(&["approve", "wiki", "nobody"]);
    assert!(code == Some(2) && text.contains("nobody called `nobody` has a record at `wiki`"), "{text}");
    let (code, text) = users(&["forget", "wiki", "ada"]);
    assert!(code == Some(2) && text.contains("--yes says it beforehand"), "{text}");
    let (code, text) = users(&["approve", "wiki", "ada"]);
    assert!(code == Some(0) && text.contains("approved"), "{text}");
    assert_eq!(users(&["list", "--waiting"]).1, "nobody\n");
    assert!(users(&["approve", "wiki", "ada"]).1.contains("nothing is waiting for approval"));
    let (code, text) = users(&["show", "wiki", "ada"]);
    assert!(code == Some(0) && text.contains("approved at"), "{text}");
    assert_eq!(users(&["forget", "wiki", "ada", "--yes"]).0, Some(0));
    assert_eq!(users(&["list"]).1, "nobody\n");
    served.audited(|event| event["action"] == "approval.granted");

    // Two providers call somebody the same: nothing is done, and each line that is suggested means one of them.
    waits("https://idp", "bo", "bo").await;
    waits("http://127.0.0.1:9", "bo", "bo-2").await;
    for deed in [["show"].as_slice(), &["approve"], &["retry"], &["forget", "--yes"], &["relink", "--account", "7"]] {
        let (code, text) = users(&[deed, &["wiki", "bo"]].concat());
        let suggested = format!("vestibule users {} wiki bo --issuer https://idp", deed[0]);
        assert!(code == Some(2) && text.contains("`bo` fits 2 people at wiki; nothing was done") && text.contains(&suggested), "{text}");
        assert!(text.contains("# bo, account bo-2, awaiting approval") && deed[1..].iter().all(|word| text.contains(word)), "{text}");
    }
    assert_eq!(users(&["list", "--waiting"]).1.lines().count(), 3, "the head, and both");
    let (code, text) = users(&["approve", "wiki", "bo", "--idp", "nobody"]);
    assert!(code == Some(2) && text.contains("there is no provider `nobody`; there is corp"), "{text}");
    let (code, text) = users(&["approve", "wiki", "bo", "--issuer", "https://idp", "--idp", "corp"]);
    assert!(code == Some(2) && text.contains("cannot be used with"), "{text}");
    assert_eq!(users(&["approve", "wiki", "bo", "--idp", "corp"]).0, Some(0));
    for (flag, lines) in [("--failed", 3), ("--drifted", 1), ("--left", 1)] {
        assert_eq!(users(&["list", flag]).1.lines().count(), lines, "{flag}");
    }
    assert_eq!(users(&["list", "--failed", "--waiting"]).0, Some(2));
    let (_, text) = users(&["list", "--waiting", "--json"]);
    let left: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((left.as_array().unwrap().len(), &left[0]["issuer"]), (1, &json!("https://idp")), "{text}");
    assert_eq!(users(&["approve", "wiki", "bo", "--issuer", "https://idp"]).0, Some(0));
    assert_eq!(users(&["list", "--waiting"]).1, "nobody\n");
    store.close().await;
}

/// Keys and sessions, by the command line; what acts is audited, and the file in which it is vouches for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_ended_and_keys_rotated_by_the_command_line_and_the_audit_file_is_whole() {
    use vestibule::clock::{Clock as _, SystemClock};
    use vestibule::entropy::{Entropy, OsEntropy};
    use vestibule::state::{SessionStore as _, seal::Sealer, sqlite};
    let served = Served::start();
    let ask = |words: &[&str]| said(&served.command(words).env("STATE_KEY", "a key for tests that is long enough to be one").output().unwrap());
    assert_eq!(ask(&["sessions", "list"]), (Some(0), "nobody\n".to_owned()));
    let (code, text) = ask(&["sessions", "revoke"]);
    assert!(code == Some(2) && text.contains("--user"), "{text}");
    assert_eq!(ask(&["sessions", "revoke", "--user", "zelda-1@example.org"]), (Some(1), "There was none.\n".to_owned()));

    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::default());
    let sealer = Sealer::new(&"a key for tests that is long enough to be one".into(), entropy).unwrap();
    let store = sqlite::Store::open(&format!("sqlite:{}", served.folder.path().join("v.db").display()), sealer).await.unwrap();
    for n in 1..=3 {
        store.create_sign_on(crate::state::hash(&n.to_string()), &crate::state::sign_on(n, SystemClock.now())).await.unwrap();
    }
    let over = crate::state::sign_on(4, SystemClock.now().plus_ms(-9 * 3_600_000));
    store.create_sign_on(crate::state::hash("4"), &over).await.unwrap();
    let (code, text) = ask(&["sessions", "list"]);
    assert!(code == Some(0) && text.lines().count() == 4 && text.contains("zelda-2@example.org") && !text.contains("zelda-4"), "{text}");
    let (_, text) = ask(&["sessions", "revoke", "--user", "ZELDA-1@example.org", "--dry-run"]);
    assert!(text.contains("zelda-1@example.org") && !text.contains("zelda-2"), "{text}");
    // Somebody of another provider has the same address: nobody's session ends before it is said whose.
    let mut namesake = crate::state::sign_on(1, SystemClock.now());
    namesake.id.0[15] = 99;
    namesake.identity.subject.issuer = "https://other.example".to_owned();
    store.create_sign_on(crate::state::hash("99"), &namesake).await.unwrap();
    let (code, text) = ask(&["sessions", "revoke", "--user", "ZELDA-1@example.org"]);
    assert!(code == Some(2) && text.contains("is what 2 people are called; no session was ended"), "{text}");
    assert!(
        text.contains(&format!("vestibule sessions revoke --user={} --issuer https://other.example", namesake.identity.subject.subject)),
        "{text}"
    );
    let (code, text) = ask(&["sessions", "revoke", "--all", "--issuer", "https://other.example"]);
    assert!(code == Some(2) && text.contains("say whom --user means"), "{text}");
    assert_eq!(ask(&["sessions", "list"]).1.lines().count(), 5, "the head, and all of them");
    let (code, text) = ask(&["sessions", "revoke", "--user", "ZELDA-1@example.org", "--issuer", "https://other.example"]);
    assert!(code == Some(0) && text.starts_with("Ended 1 session. "), "{text}");
    assert!(store.sign_on_by_cookie(crate::state::hash("99")).await.unwrap().is_none());
    assert!(store.sign_on_by_cookie(crate::state::hash("1")).await.unwrap().is_some());
    let (code, text) = ask(&["sessions", "revoke", "--user", "ZELDA-1@example.org"]);
    assert!(code == Some(0) && text.starts_with("Ended 1 session. "), "{text}");
    assert!(store.sign_on_by_cookie(crate::state::hash("1")).await.unwrap().is_none());
    assert!(store.sign_on_by_cookie(crate::state::hash("2")).await.unwrap().is_some());
    assert!(ask(&["sessions", "revoke", "--all"]).1.starts_with("Ended 2 sessions. "));
    store.close().await;

    let (code, text) = ask(&["keys", "list"]);
    assert!(code == Some(0) && text.lines().count() == 2 && text.contains("signs"), "{text}");
    // The first key is younger than an hour.
    let (code, text) = ask(&["keys", "rotate"]);
    assert!(code == Some(2) && text.contains("wait until it is an hour old"), "{text}");
    served.audited(|event| event["action"] == "session.revoked" && event["user"]["email"] == "zelda-2@example.org");

    // The log as it was written, and as somebody would like it to have been.
    let verify = || ask(&["audit", "verify"]);
    let (code, text) = verify();
    assert!(code == Some(0) && text.contains("every one as it was written"), "{text}");
    let (code, text) = ask(&["audit", "search", "--user", "zelda-2@example.org", "--since", "1h"]);
    assert!(code == Some(0) && text.lines().count() == 2 && text.contains("session.revoked"), "{text}");
    let (code, text) = ask(&["audit", "search", "--user", "nobody@example.org"]);
    assert_eq!((code, text.as_str()), (Some(1), "no event fits\n"));
    let path = served.folder.path().join("audit.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    let at = whole.lines().position(|line| line.contains("zelda-2@example.org")).unwrap() + 1;
    fs::write(served.folder.path().join("forged.jsonl"), whole.replace("zelda-2@example.org", "zelda-3@example.org")).unwrap();
    let (code, text) = ask(&["audit", "verify", "forged.jsonl"]);
    assert!(code == Some(1) && text.contains(&format!("forged.jsonl:{at}: was changed after it was written")), "{text}");
    let without = whole.split_inclusive('\n').filter(|line| !line.contains("zelda-2@example.org")).collect::<String>();
    fs::write(served.folder.path().join("forged.jsonl"), without).unwrap();
    let (code, text) = ask(&["audit", "verify", "forged.jsonl"]);
    assert!(code == Some(1) && text.contains(&format!("forged.jsonl:{at}: one or more lines are missing before this one")), "{text}");
}

/// What a chain cannot say of itself: where it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_was_cut_off_an_audit_file_is_told_at_the_start_and_by_the_command_line() {
    let mut served = Served::start();
    let ask = |served: &Served, words: &[&str]| {
        said(&served.command(words).env("STATE_KEY", "a key for tests that is long enough to be one").output().unwrap())
    };
    let file = |served: &Served| served.folder.path().join("audit.jsonl");
    let lines = |served: &Served| fs::read_to_string(file(served)).unwrap().lines().count();
    served.write(&POLICY.replace("everyone = true", "groups = [\"staff\"]"));
    served.signal(Signal::HUP);
    served.audited(|event| event["action"] == "config.loaded" && event["source"] != "start");
    let check = |served: &Served, code: i32, expected: &[&str]| {
        let (found, text) = ask(served, &["audit", "verify"]);
        assert!(found == Some(code) && expected.iter().all(|part| text.contains(part)), "{found:?} {text}");
    };
    check(&served, 0, &["every one as it was written", "none is missing after it"]);

    // Cut off while nobody writes: a chain that holds, and ends too early.
    served.again(|served| {
        let (whole, before) = (fs::read_to_string(file(served)).unwrap(), lines(served));
        let cut: String = whole.split_inclusive('\n').take(before - 1).collect();
        fs::write(file(served), cut).unwrap();
        check(
            served,
            1,
            &["every one as it was written", &format!("the gateway wrote {before} into this file"), &format!("and {} are there", before - 1)],
        );
    });
    served.audited(|event| event["action"] == "audit.cut");
    // From now on the file itself tells.
    check(&served, 1, &["one or more lines are missing before this one", "none is missing after it"]);

    // Moved away, which is no cut; and removed, which is not the same.
    served.again(|served| {
        fs::rename(file(served), served.folder.path().join("audit.jsonl.1")).unwrap();
        check(served, 0, &["The file was moved to", "audit.jsonl.1, which ends where the gateway wrote last"]);
    });
    served.audited(|event| event["action"] == "config.loaded");
    check(&served, 0, &["The first line follows a line of an older file", "none is missing after it"]);
    served.again(|served| {
        fs::remove_file(file(served)).unwrap();
        check(served, 1, &["The file is not there, or empty"]);
    });
    served.audited(|event| event["action"] == "audit.gone");
    check(&served, 0, &["The first line follows a line of an older file"]);
}
