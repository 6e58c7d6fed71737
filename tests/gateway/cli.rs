//! The binary, run badly: what it says and which code it ends with; and signals that must not kill it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::whole::cert;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const POLICY: &str = "host = \"wiki.vestibule.test\"\nupstream = \"http://127.0.0.1:9\"\n[access]\neveryone = true\n";

/// A gateway file that would start, with its one policy.
pub(crate) fn folder(port: u16) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let gateway = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\nauth_host = \"auth.vestibule.test\"\nworkers = 1\n[tls]\ncert = {:?}\nkey = {:?}\n\
         [state]\nurl = \"sqlite:v.db\"\nkey = \"env:STATE_KEY\"\n[telemetry]\nformat = \"json\"\n\
         [[idp]]\nid = \"corp\"\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"v\"\nclient_secret = \"env:CLIENT_SECRET\"\n",
        cert("vestibule.test.pem").display(),
        format!("file:{}", cert("vestibule.test.key").display()),
    );
    fs::write(folder.path().join("vestibule.toml"), gateway).unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(folder.path().join("policies/wiki.toml"), POLICY).unwrap();
    folder
}

pub(crate) fn edit(folder: &Path, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    assert!(text.contains(from), "{file}: {from}");
    fs::write(folder.join(file), text.replace(from, to)).unwrap();
}

pub(crate) fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.args(words).current_dir(folder).env("STATE_KEY", "a key for tests that is long enough to be one").env("CLIENT_SECRET", "s");
    command
}

/// Runs it to its end: code, and everything it says; every part of `expected` must be there, nothing of it twice.
fn check(folder: &Path, words: &[&str], code: i32, expected: &[&str]) {
    let output = command(folder, words).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    for part in expected {
        assert_eq!(said.matches(part).count(), 1, "{words:?} should say {part:?} once: {said}");
    }
    assert!(!said.contains("Os {") && !said.contains("panicked"), "{said}");
}

const SERVE: &[&str] = &["serve", "--config", "vestibule.toml"];
const CHECK: &[&str] = &["check", "--config", "vestibule.toml"];

#[test]
fn every_way_to_run_it_badly_has_its_code_and_its_way_out() {
    let fine = folder(0);
    let fine = fine.path();
    check(fine, &["--help"], 0, &["Usage: vestibule", "serve", "demo"]);
    check(fine, CHECK, 0, &["2 files in order."]);
    check(fine, &["frobnicate"], 2, &["unrecognized subcommand", "Usage:"]);
    check(fine, &["serve", "--port"], 2, &["unexpected argument"]);
    check(fine, &[], 2, &["Usage:"]);
    check(fine, &["check", "vestibule.toml"], 1, &["this is a gateway file: give it with --config", "vestibule check --config vestibule.toml"]);
    check(fine, &["check", "--config", "none.toml"], 2, &["none.toml", "cannot be read", "check the path"]);
    check(fine, &["serve", "--config", "none.toml"], 78, &["none.toml", "cannot be read", "check the path"]);
    // Which gateway is asked is never guessed: a file that does not say it is no file of a gateway that has the usual socket.
    fs::write(fine.join("empty.toml"), "").unwrap();
    fs::write(fine.join("number.toml"), "[admin]\nlisten = \"127.0.0.1:0\"\nsocket = 5\n").unwrap();
    for asks in [&["status"][..], &["reload"], &["users", "list"], &["sessions", "revoke", "--all"], &["keys", "rotate"], &["reconcile"]] {
        let with = |file: &'static str| [asks, &["--config", file]].concat();
        check(fine, &with("none.toml"), 2, &["none.toml", "cannot be read", "check the path", "--socket"]);
        check(fine, &with("empty.toml"), 2, &["empty.toml has errors and does not say", "--socket", "vestibule check --config empty.toml"]);
        check(fine, &with("number.toml"), 2, &["number.toml has errors and does not say", "--socket", "vestibule check --config number.toml"]);
        check(fine, &[asks, &["--config", "none.toml", "--socket", "no.sock"]].concat(), 2, &["no gateway listens on no.sock"]);
    }
    let broken = |file: &str, from: &str, to: &str| {
        let made = folder(0);
        edit(made.path(), file, from, to);
        made
    };
    let gateway = broken("vestibule.toml", "workers = 1", "wrokers = 1");
    check(gateway.path(), SERVE, 78, &["unknown key `wrokers`", "did you mean `workers`?"]);
    check(gateway.path(), CHECK, 1, &["unknown key `wrokers`"]);
    check(gateway.path(), &["status", "--config", "vestibule.toml"], 2, &["vestibule.toml has errors and does not say"]);
    // What it says holds, whatever else it has come to since the gateway read it.
    edit(gateway.path(), "vestibule.toml", "[telemetry]", "[admin]\nlisten = \"127.0.0.1:0\"\nsocket = \"no.sock\"\n[telemetry]");
    check(gateway.path(), &["status", "--config", "vestibule.toml"], 2, &["no gateway listens on no.sock"]);
    let policy = broken("policies/wiki.toml", "everyone = true", "evryone = true");
    check(policy.path(), CHECK, 1, &["unknown key `evryone`", "policies/wiki.toml:4"]);
    let state = broken("vestibule.toml", "env:STATE_KEY", "file:state.key");
    check(state.path(), SERVE, 78, &["[state] key: secret file:", "there is no ", "create it with mode 0600"]);
    let short = broken("vestibule.toml", "env:STATE_KEY", "env:CLIENT_SECRET");
    check(short.path(), SERVE, 78, &["[state] key", "openssl rand -base64 48"]);
    let idp = broken("vestibule.toml", "env:CLIENT_SECRET", "env:NOT_THERE");
    check(idp.path(), SERVE, 78, &["[[idp]] corp: client_secret: secret env:NOT_THERE"]);
    let chain = broken("vestibule.toml", "vestibule.test.pem", "none.pem");
    check(chain.path(), SERVE, 78, &["[tls] cert: ", "none.pem cannot be read"]);
    let audit = broken("vestibule.toml", "[telemetry]", "[audit]\nfile = \"none/audit.jsonl\"\n[telemetry]");
    check(audit.path(), SERVE, 78, &["[audit] file: ", "none/audit.jsonl cannot be opened"]);
    let store = broken("vestibule.toml", "[telemetry]", "[audit]\nfile = \"audit.jsonl\"\n[telemetry]");
    edit(store.path(), "vestibule.toml", "sqlite:v.db", "sqlite:none/v.db");
    check(store.path(), SERVE, 78, &["[state] url: none/v.db.audit-", "the folder of the store must be there"]);
    let online = &[CHECK, &["--online"]].concat();
    check(store.path(), online, 1, &["error[state]", "none/v.db: the folder none does not exist", "mode 0700"]);
    check(audit.path(), online, 1, &["[audit] file", "none does not exist"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    check(folder(port).path(), SERVE, 2, &["[server] listen: cannot listen on 127.0.0.1:", "another program listens there", "ss -ltnp"]);
    check(fine, &["demo", "--port", &port.to_string()], 2, &["cannot listen on 127.0.0.1:", "--port 0"]);
}

/// Runs it until it says `until`.
pub(crate) fn running(mut command: Command, until: &str) -> (Child, impl Iterator<Item = String> + use<>, Vec<String>) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let before = so_far(&mut lines, until);
    (child, lines, before)
}

fn so_far(lines: &mut impl Iterator<Item = String>, until: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for line in lines {
        let found = line.contains(until);
        seen.push(line);
        if found {
            return seen;
        }
    }
    panic!("it ended without {until:?}: {seen:?}");
}

#[test]
fn a_policy_without_its_secret_takes_down_its_own_app_only_until_the_secret_is_there() {
    let made = folder(0);
    let tickets = POLICY.replace("wiki", "tickets") + "[provision]\nconnector = \"scim\"\nurl = \"http://127.0.0.1:9\"\ntoken = \"file:none\"\n";
    fs::write(made.path().join("policies/tickets.toml"), tickets).unwrap();
    let (mut child, mut lines, said) = running(command(made.path(), SERVE), "policies/wiki.toml");
    let said = said.join("\n");
    assert!(said.contains("policies/tickets.toml: provision.token: secret file:policies/none"), "{said}");
    assert!(said.contains("tickets.vestibule.test   is unavailable"), "{said}");
    fs::write(made.path().join("policies/none"), "a token").unwrap();
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    drop(so_far(&mut lines, "loaded: tickets.vestibule.test"));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_demo_takes_its_folder_with_it_however_it_is_ended() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let made = tempfile::tempdir().unwrap();
        // `listens on` is no line of the demo: the first line of its log is. Another test may take the free port that it has found before it does: once more then.
        let begun = (0..5).find_map(|_| {
            let mut demo = command(made.path(), &["demo", "--port", "0"]);
            let mut child = demo.env("TMPDIR", made.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let first = BufReader::new(child.stdout.take().unwrap()).lines().next();
            if first.is_some_and(|line| line.is_ok()) { Some(child) } else { child.wait().map(|_| None).unwrap() }
        });
        let mut child = begun.unwrap();
        assert_eq!(fs::read_dir(made.path()).unwrap().count(), 1, "{signal:?}");
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal:?}");
        assert_eq!(fs::read_dir(made.path()).unwrap().count(), 0, "{signal:?}");
    }
}
