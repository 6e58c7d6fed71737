//! `vestibule serve` as a process of its own: what it logs and audits, how it ends, how much memory it takes.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use crate::fake_op::{CLIENT_ID, CLIENT_SECRET, FakeOp};
use crate::whole::{APP, AUTH, Answer, Person, Street, Upstream, Wire, cert, get, policy, within};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use vestibule::clock::{Clock as _, SystemClock};

const PAGE: &str = "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n";
const MIB: usize = 1 << 20;

/// The process, and what is around it.
struct Served {
    child: Child,
    street: Street,
    app: Upstream,
    log: Arc<Mutex<Vec<String>>>,
    lines: watch::Receiver<usize>,
    folder: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        // Gone already where the test stopped it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Served {
    async fn start() -> Self {
        Self::auditing("").await
    }

    /// With these further keys of `[audit]`.
    async fn auditing(keys: &str) -> Self {
        let (op, app) = (FakeOp::start(SystemClock.now().seconds()).await, Upstream::start().await);
        let folder = tempfile::tempdir().unwrap();
        let issuer = &op.issuer;
        let config = format!(
            r#"
[server]
listen = "127.0.0.1:0"
auth_host = "{AUTH}"
max_body = "1 GiB"
drain = "10s"
workers = 1
[tls]
cert = "{}"
key = "env:TLS_KEY"
[state]
url = "sqlite:v.db"
key = "env:STATE_KEY"
[audit]
file = "audit.jsonl"
{keys}
[telemetry]
format = "json"
[[idp]]
id = "corp"
issuer = "{issuer}"
client_id = "{CLIENT_ID}"
client_secret = "env:CLIENT_SECRET"
"#,
            cert("vestibule.test.pem").display()
        );
        std::fs::write(folder.path().join("vestibule.toml"), config).unwrap();
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        std::fs::write(folder.path().join("policies/app.toml"), policy(APP, app.at)).unwrap();
        std::fs::write(folder.path().join("policies/broken.toml"), "host = \"broken.vestibule.test\"\nupstraem = \"http://127.0.0.1:1\"\n").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .args(["serve", "--config"])
            .arg(folder.path().join("vestibule.toml"))
            .env("STATE_KEY", "a key for tests that is long enough to be one")
            .env("CLIENT_SECRET", CLIENT_SECRET)
            .env("TLS_KEY", std::fs::read_to_string(cert("vestibule.test.key")).unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (log, (count, lines)) = (Arc::new(Mutex::new(Vec::new())), watch::channel(0));
        let (written, stderr) = (Arc::clone(&log), BufReader::new(child.stderr.take().unwrap()));
        drop(std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                written.lock().unwrap().push(line);
                count.send_modify(|count| *count += 1);
            }
        }));
        let mut served = Self { child, street: Street { at: ([127, 0, 0, 1], 0).into(), op }, app, log, lines, folder };
        let said = served.line(|line| line.contains(" listens on ")).await;
        served.street.at = said.rsplit(' ').next().unwrap().parse::<SocketAddr>().unwrap_or_else(|error| panic!("{error}: {said}"));
        served
    }

    /// Waits for a line on standard error.
    async fn line(&mut self, fits: impl Fn(&str) -> bool + Send + Sync) -> String {
        let (log, lines) = (Arc::clone(&self.log), &mut self.lines);
        within("a line of the log", async {
            loop {
                lines.mark_unchanged();
                if let Some(line) = log.lock().unwrap().iter().find(|line| fits(line)) {
                    return line.clone();
                }
                lines.changed().await.unwrap_or_else(|_ended| panic!("the process has ended: {:?}", log.lock().unwrap()));
            }
        })
        .await
    }

    /// The one line of the request with this incident code.
    async fn request_line(&mut self, incident: &str) -> Value {
        let line = self.line(|line| line.contains("vestibule::request") && line.contains(incident)).await;
        let all = self.log.lock().unwrap().iter().filter(|line| line.contains("vestibule::request") && line.contains(incident)).count();
        assert_eq!(all, 1, "one line a request");
        serde_json::from_str(&line).unwrap()
    }

    /// All audit events, once there is one of this `action`: a thread of its own writes them.
    async fn audit(&self, action: &str) -> Vec<Value> {
        self.audited("/action", action).await
    }

    /// All audit events, once there is one with this text at `pointer`.
    async fn audited(&self, pointer: &str, expected: &str) -> Vec<Value> {
        within("an audit event", async {
            loop {
                let text = std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
                let events: Vec<Value> = text.split_inclusive('\n').filter_map(|line| serde_json::from_str(line.strip_suffix('\n')?).ok()).collect();
                if events.iter().any(|event| event.pointer(pointer).is_some_and(|found| found == expected)) {
                    return events;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Largest memory it ever had, bytes.
    fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }
}

fn incident(answer: &Answer) -> String {
    answer.get("x-vestibule-incident").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_force_and_what_is_not_is_audited_at_the_start() {
    let served = Served::start().await;
    let events = served.audit("config.rejected").await;
    let told = |action: &str| -> Vec<Value> { events.iter().filter(|event| event["action"] == action).cloned().collect() };
    let (loaded, rejected) = (told("config.loaded"), told("config.rejected"));
    assert_eq!((loaded.len(), rejected.len()), (1, 1), "{loaded:?} {rejected:?}");
    assert_eq!((&loaded[0]["app"], loaded[0]["policy"]["revision"].as_str().map(str::len)), (&json!("app"), Some(12)));
    assert_eq!(rejected[0]["app"], "broken");
    assert!(rejected[0]["policy"]["file"].as_str().unwrap().ends_with("broken.toml") && rejected[0]["reason"].is_string(), "{rejected:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_one_structured_line_without_its_secrets() {
    let mut served = Served::start().await;
    let person = served.street.sign_in(APP).await;
    let request = get(&person, APP, "/tickets/1?token=s3cr3t", "Authorization: Bearer s3cr3t\r\n");
    assert_eq!(served.street.ask(APP, request).await.status(), 200);
    let seen = served.app.one();
    let line = served.request_line(&seen.get("x-request-id").unwrap()).await;
    for (name, expected) in [
        ("level", json!("INFO")),
        ("app", json!("app")),
        ("method", json!("GET")),
        ("path", json!("/tickets/1")),
        ("status", json!(200)),
        ("decision", json!("allowed")),
        ("reason", json!("")),
        ("peer", json!("127.0.0.1")),
        ("client", json!("127.0.0.1")),
    ] {
        assert_eq!(line[name], expected, "{name}: {line}");
    }
    assert!(line["elapsed_us"].is_u64() && line["timestamp"].is_string(), "{line}");
    // F10, J11: neither log nor audit holds a cookie, a code, a token or a query.
    let log = served.log.lock().unwrap().join("\n");
    let events = served.audit("login.succeeded").await;
    let audit = json!(events).to_string();
    let jwt = seen.get("x-app-jwt").unwrap();
    for secret in ["s3cr3t", &person.session(APP), CLIENT_SECRET, "code=", "code-0", &jwt] {
        assert!(!log.contains(secret) && !audit.contains(secret), "{secret}: {log}{audit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_incident_code_joins_page_header_log_and_audit() {
    let mut served = Served::start().await;
    let person = served.street.sign_in(APP).await;
    let denied = served.street.ask(APP, get(&person, APP, "/admins/secret?token=s3cr3t", PAGE)).await;
    let code = incident(&denied);
    assert_eq!(denied.status(), 403);
    assert!(denied.text().contains(&code), "{denied:?}");
    let line = served.request_line(&code).await;
    assert_eq!((&line["status"], &line["decision"], &line["reason"]), (&json!(403), &json!("denied"), &json!("groups")));
    let audit = served.audit("access.denied").await;
    let event = audit.iter().find(|event| event["action"] == "access.denied").unwrap();
    assert_eq!((&event["incident"], &event["app"], &event["reason"]), (&json!(code), &json!("app"), &json!("groups")));
    assert_eq!((&event["user"]["sub"], &event["user"]["email"], &event["idp"]), (&json!("ada"), &json!("ada@example.com"), &json!("corp")));
    assert_eq!((&event["src"]["ip"], &event["url"]["path"]), (&json!("127.0.0.1"), &json!("/admins/secret")));
    assert!(event["rule"].as_str().unwrap().ends_with("app.toml:12"), "{event}");
    assert_eq!(event["policy"]["revision"].as_str().unwrap().len(), 12);
    // On the waiting page somebody is refused in the same words.
    let waited = served.street.ask(APP, get(&person, APP, "/.vestibule/wait?to=/admins/secret%3Ftoken=s3cr3t", PAGE)).await;
    assert_eq!(waited.status(), 403);
    let events = served.audited("/incident", &incident(&waited)).await;
    let told = |incident: &str| {
        let mut event = events.iter().find(|event| event["incident"] == incident && event["action"] == "access.denied").unwrap().clone();
        for own in ["time", "incident", "prev", "hash"] {
            event.as_object_mut().unwrap().remove(own);
        }
        event
    };
    assert_eq!(told(&incident(&waited)), told(&code));
    // Scripts get the code in their document, and the log has the cause that the page does not tell.
    served.app.by_hand();
    let mut client = served.street.connect(APP).await;
    client.send(get(&person, APP, "/broken", "")).await;
    drop(served.app.accept_request().await);
    let broken = client.answer(false).await;
    let code = incident(&broken);
    assert_eq!((broken.status(), broken.json()["incident"].as_str()), (502, Some(code.as_str())));
    let cause = served.line(|line| line.contains("the application did not answer")).await;
    let at = served.app.at.to_string();
    assert!(cause.contains(&code) && cause.contains(&at) && !broken.mentions(&at), "{cause}");
    assert_eq!(served.request_line(&code).await["status"], 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_events_have_the_names_of_ocsf_where_that_is_the_format() {
    let served = Served::auditing("format = \"ocsf\"").await;
    let person = served.street.sign_in(APP).await;
    let denied = served.street.ask(APP, get(&person, APP, "/admins/ada", PAGE)).await;
    let events = served.audited("/metadata/event_code", "access.denied").await;
    let of = |code: &str| events.iter().find(|event| event["metadata"]["event_code"] == code).unwrap_or_else(|| panic!("{code}: {events:?}"));
    for (code, type_uid) in [("config.loaded", 300_403), ("config.rejected", 300_403), ("login.succeeded", 300_201), ("access.denied", 400_203)] {
        let event = of(code);
        assert_eq!(event["type_uid"], type_uid, "{event}");
        assert!(event["time"].as_i64().unwrap() > 1_700_000_000_000 && event["status_id"].is_u64(), "{event}");
        assert!(event.pointer("/unmapped/user").is_none() && event.pointer("/unmapped/src").is_none(), "{event}");
    }
    assert_eq!((&of("config.loaded")["entity"]["name"], &of("config.rejected")["status"]), (&json!("app"), &json!("Failure")));
    assert_eq!((&of("login.succeeded")["user"]["uid"], &of("login.succeeded")["service"]["name"]), (&json!("ada"), &json!("app")));
    let event = of("access.denied");
    assert_eq!((&event["metadata"]["correlation_uid"], &event["status_detail"]), (&json!(incident(&denied)), &json!("groups")));
    assert_eq!((&event["actor"]["user"]["email_addr"], &event["src_endpoint"]["ip"]), (&json!("ada@example.com"), &json!("127.0.0.1")));
    assert_eq!(event["http_request"], json!({ "http_method": "GET", "url": { "path": "/admins/ada" } }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_named_in_the_audit_log_where_people_are_hashed() {
    let served = Served::auditing("format = \"ecs\"\npii = \"hash\"").await;
    let person = served.street.sign_in(APP).await;
    let denied = served.street.ask(APP, get(&person, APP, "/admins/ada", PAGE)).await;
    let events = served.audited("/event/action", "access.denied").await;
    let of = |action: &str| events.iter().find(|event| event["event"]["action"] == action).unwrap_or_else(|| panic!("{action}: {events:?}"));
    let (login, access) = (of("login.succeeded"), of("access.denied"));
    let hashed = login["user"]["id"].as_str().unwrap();
    assert!(hashed.starts_with("h:") && hashed.len() == 34, "{login}");
    assert_eq!(access["user"]["id"], hashed, "one person is one pseudonym");
    assert_eq!((&access["labels"]["incident"], &access["event"]["reason"]), (&json!(incident(&denied)), &json!("groups")));
    let text = std::fs::read_to_string(served.folder.path().join("audit.jsonl")).unwrap();
    for private in ["ada@", "\"ada\"", "/ada", "example.com"] {
        assert!(!text.contains(private), "{private}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_what_a_client_sends_cannot_forge_a_line() {
    let mut served = Served::start().await;
    let path = "/public/%0a%22%7d%7b";
    let refused = served.street.ask(APP, get(&Person::default(), APP, path, "User-Agent: a\tb\"}{\r\n")).await;
    let line = served.request_line(&incident(&refused)).await;
    assert_eq!((refused.status(), line["path"].as_str()), (400, Some(path)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f7_sigterm_lets_requests_under_way_finish_and_ends_with_0() {
    let mut served = Served::start().await;
    let person = served.street.sign_in(APP).await;
    served.app.by_hand();
    let mut client = served.street.connect(APP).await;
    client.send(get(&person, APP, "/slow", "")).await;
    let (mut upstream, _) = served.app.accept_request().await;
    served.terminate();
    let _stopping = served.line(|line| line.contains("stopping")).await;
    within("refusal", async { while tokio::net::TcpStream::connect(served.street.at).await.is_ok() {} }).await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
    assert_eq!(client.answer(false).await.text(), "done");
    let code = within("the end", async {
        loop {
            if let Some(code) = served.child.try_wait().unwrap() {
                return code;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(code.success(), "{code}");
}

/// Bytes that tell their place: one MiB is never like the next.
fn piece(number: usize) -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let mut state = 0x9E37_79B9_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..MIB + 8192).map(|_| next()).collect()
    });
    &bytes[number * 31 % 8192..][..MIB]
}

async fn write(wire: &mut Wire, pieces: usize) {
    for number in 0..pieces {
        wire.send(piece(number)).await;
    }
}

async fn read(wire: &mut Wire, pieces: usize) {
    for number in 0..pieces {
        assert!(wire.exactly(MIB).await == piece(number), "MiB {number} is not what was sent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h22_200_mib_up_and_200_mib_down_at_flat_memory() {
    const PIECES: usize = 200;
    let served = Served::start().await;
    let person = served.street.sign_in(APP).await;
    served.app.by_hand();
    let before = served.memory();
    let length = PIECES * MIB;
    let mut client = served.street.connect(APP).await;
    client.send(format!("POST /up HTTP/1.1\r\nHost: {APP}\r\n{}Content-Length: {length}\r\n\r\n", person.cookies(APP))).await;
    let mut upstream = served.app.accept().await;
    upstream.head().await.unwrap();
    futures_util::future::join(write(&mut client, PIECES), read(&mut upstream, PIECES)).await;
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    futures_util::future::join(write(&mut upstream, PIECES), read(&mut client, PIECES)).await;
    let grown = served.memory().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} MiB more", grown / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h21_who_does_not_read_holds_the_application_back() {
    let served = Served::start().await;
    let person = served.street.sign_in(APP).await;
    served.app.by_hand();
    let before = served.memory();
    let mut client = served.street.connect(APP).await;
    client.send(get(&person, APP, "/endless", "")).await;
    let (mut upstream, _) = served.app.accept_request().await;
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40)).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    // Until nothing goes any more: sockets on the way are full then.
    let mut sent = 0;
    while let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(1), upstream.try_send(&vec![0; MIB])).await {
        sent += 1;
        assert!(sent < 128, "the gateway takes what nobody reads");
    }
    let grown = served.memory().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} MiB more for {sent} MiB", grown / MIB);
}
