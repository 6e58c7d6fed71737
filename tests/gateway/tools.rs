//! What helps with writing policies: `fmt`, `schema`, `help`, `connectors`.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use vestibule::clock::{Clock as _, SystemClock};
use vestibule::proxy::certificate::Facts;

/// Runs it: code, standard output, standard error.
fn vestibule(words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vestibule")).args(words).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn fmt_leaves_a_broken_file_alone_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.toml");
    let text = "host = \n\n\n\nx=1";
    fs::write(&path, text).unwrap();
    let (code, _, said) = vestibule(&["fmt", path.to_str().unwrap()]);
    assert_eq!((code, fs::read_to_string(&path).unwrap().as_str()), (2, text), "{said}");
    assert!(said.contains("broken.toml:1:"), "{said}");
    let (code, _, said) = vestibule(&["fmt", folder.path().join("absent.toml").to_str().unwrap()]);
    assert!(code == 2 && said.contains("absent.toml: cannot be read"), "{said}");
}

#[test]
fn fmt_tidies_once_and_check_only_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wiki.toml");
    let name = path.to_str().unwrap();
    fs::write(&path, "host=\"wiki.example.com\"   # the wiki\nupstream=\"http://127.0.0.1:1\"\n\n\n[access]\neveryone=true").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let (code, out, _) = vestibule(&["fmt", "--check", name]);
    assert_eq!((code, out), (1, format!("{name}: not tidy\n")));
    assert_eq!(vestibule(&["fmt", name]).0, 0);
    let tidy = "host     = \"wiki.example.com\"   # the wiki\nupstream = \"http://127.0.0.1:1\"\n\n[access]\neveryone = true\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), tidy);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(vestibule(&["fmt", "--check", name]), (0, String::new(), String::new()));
}

#[test]
fn fmt_has_nothing_against_what_is_shipped() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["policies", "policies/connectors"] {
        files.extend(fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    }
    assert!(files.len() > 4);
    for file in files {
        assert_eq!(vestibule(&["fmt", "--check", file.to_str().unwrap()]), (0, String::new(), String::new()), "{}", file.display());
    }
}

#[test]
fn help_finds_a_key_or_the_one_that_was_meant() {
    let (code, _, said) = vestibule(&["help", "on_existin"]);
    assert!(code == 1 && said.contains("did you mean `on_existing`?"), "{said}");
    let (code, out, _) = vestibule(&["help", "[provision]"]);
    assert!(code == 0 && out.contains("on_existing") && out.contains("match"), "{out}");
    assert!(vestibule(&["help"]).1.contains("vestibule help policy"));
}

#[test]
fn schema_prints_json_schema_of_both_files() {
    assert_eq!(vestibule(&["schema", "wiki"]).0, 2);
    for which in ["policy", "gateway"] {
        let schema: serde_json::Value = serde_json::from_str(&vestibule(&["schema", which]).1).unwrap();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-04/schema#");
    }
}

/// Row 55: which connectors can do just-in-time accounts is seen in the list, asked for by what they can do, and searched by name.
#[test]
fn row_55_connectors_are_listed_by_what_they_can_do() {
    let (code, _, said) = vestibule(&["connectors", "list", "--supports", "teleport"]);
    assert!(code == 1 && said.contains("connector = \"rest\""), "{said}");
    let (_, all, _) = vestibule(&["connectors", "list"]);
    assert!(all.starts_with("CONNECTOR ") && all.contains("JIT") && all.contains("scim2-server 0.8.3"), "{all}");
    let names = |words: &[&str]| -> Vec<String> {
        let (code, out, said) = vestibule(&[&["connectors", "list"], words].concat());
        assert_eq!(code, 0, "{said}");
        out.lines().skip(1).filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    };
    let disabling = names(&["--supports", "create,disable,membership"]);
    assert!(disabling.contains(&"scim".to_owned()) && !disabling.contains(&"rest".to_owned()), "{disabling:?}");
    assert_eq!(names(&["jupyter"]), ["jupyterhub"]);
    let json: serde_json::Value = serde_json::from_str(&vestibule(&["connectors", "list", "scim", "--json"]).1).unwrap();
    assert!(json[0]["supports"].as_array().unwrap().contains(&"create".into()), "{json}");
}

/// Row 52: whether the app makes accounts by itself, and what to set so that it does not.
#[test]
fn row_52_show_says_what_to_do_about_accounts_that_the_app_makes_itself() {
    let (code, _, said) = vestibule(&["connectors", "show", "jupyterhubb"]);
    assert!(code == 1 && said.contains("did you mean `jupyterhub`?"), "{said}");
    let (code, out, _) = vestibule(&["connectors", "show", "jupyterhub"]);
    assert!(code == 0 && out.contains("allow_existing_users = True"), "{out}");
}

/// A machine that answers every address it knows with JSON; the others with 404.
fn answering(pages: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut first = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            reader.read_line(&mut first).unwrap();
            while reader.read_line(&mut String::new()).is_ok_and(|read| read > 2) {}
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let known = pages.iter().find(|(known, _)| *known == path);
            let (status, body) = known.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", body));
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    format!("http://{address}")
}

/// Runs `init` with these lines as answers.
fn init(folder: &Path, lines: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["init", "--folder", folder.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn init_writes_nothing_without_all_answers_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, said) = init(folder.path(), "auth.example.org\n");
    assert!(code == 2 && said.contains("nothing was written"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(folder.path().join("vestibule.toml"), "mine").unwrap();
    let (code, _, said) = init(folder.path(), "");
    assert!(code == 2 && said.contains("is there already"), "{said}");
    assert_eq!(fs::read_to_string(folder.path().join("vestibule.toml")).unwrap(), "mine");
}

#[test]
fn init_probes_what_it_finds_and_writes_files_that_pass_check() {
    let app = answering(vec![("/", String::new()), ("/api/health", r#"{"database":"ok","version":"12.0"}"#.to_owned())]);
    // An issuer is compared exactly: the provider's own spelling, with its slash, is the one that is written.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let (code, out, said) = init(tempfile::tempdir().unwrap().path(), &format!("auth.example.org\n\n{issuer}\n\n\n{app}\n"));
    assert_eq!(code, 0, "{out}{said}");
    assert!(said.contains("no connection") && said.contains("it answers: Grafana"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let (code, out, said) = init(folder.path(), &format!("auth.example.org\n\n{issuer}\nmy-client\nenv:SECRET\n{app}\n"));
    assert_eq!(code, 0, "{out}{said}");
    assert!(out.contains("https://auth.example.org/.vestibule/callback") && out.contains("grafana.example.org"), "{out}");
    let gateway = fs::read_to_string(folder.path().join("vestibule.toml")).unwrap();
    assert!(gateway.contains("client_id     = \"my-client\"") && gateway.contains("client_secret = \"env:SECRET\""), "{gateway}");
    let policy = fs::read_to_string(folder.path().join("policies/grafana.toml")).unwrap();
    assert!(policy.contains("# connector = \"grafana\"") && policy.contains(&app), "{policy}");
    for private in ["state.key", "self-signed.key"] {
        assert_eq!(fs::metadata(folder.path().join(private)).unwrap().permissions().mode() & 0o777, 0o600, "{private}");
    }
    assert!(out.contains("https://auth.example.org/.vestibule/signed-out"), "{out}");
    // For now, and not for good: no browser takes a certificate of more than 398 days.
    let facts = Facts::of_leaf(&fs::read(folder.path().join("self-signed.pem")).unwrap()).unwrap();
    let now = SystemClock.now();
    assert!(facts.not_before < now && facts.days_left(now) == 396, "{facts:?}");
    assert!(facts.covers("auth.example.org") && facts.covers("grafana.example.org"), "{facts:?}");
    let config = folder.path().join("vestibule.toml");
    let (code, out, said) = vestibule(&["check", "--config", config.to_str().unwrap()]);
    assert!(code == 0 && out.contains("in order"), "{out}{said}");
    assert_eq!(vestibule(&["fmt", "--check", "--config", config.to_str().unwrap()]), (0, String::new(), String::new()));
}

#[test]
fn connectors_test_looks_at_one_app_and_names_what_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (code, ..) = init(folder.path(), "auth.example.org\n\nhttp://127.0.0.1:9/\n\nenv:PATH\nhttp://127.0.0.1:9\n");
    assert_eq!(code, 0);
    let config = folder.path().join("vestibule.toml");
    let (code, out, said) = vestibule(&["connectors", "test", "app", "--config", config.to_str().unwrap()]);
    assert!(code == 1 && out.contains("the application does not answer at http://127.0.0.1:9"), "{out}{said}");
    let (code, out, said) = vestibule(&["connectors", "test", "nobody", "--config", config.to_str().unwrap()]);
    assert!(code != 0 && format!("{out}{said}").contains("nobody"), "{out}{said}");
    // Without a gateway it is a name like any other.
    let nowhere = folder.path().join("nowhere.toml");
    let (code, out, said) = vestibule(&["connectors", "test", "grafanna", "--config", nowhere.to_str().unwrap()]);
    assert!(code == 2 && said.starts_with("there is no connector `grafanna`\nhelp: did you mean `grafana`?\n"), "{out}{said}");
}

#[test]
fn connectors_list_and_show_say_how_somebody_is_switched_off_and_whether_administrators_show() {
    let (code, out, said) = vestibule(&["connectors", "list"]);
    let line = |name: &str| out.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("{out}{said}"));
    assert_eq!(code, 0, "{out}{said}");
    for (name, how) in [
        ("zabbix", " group "),
        ("influxdb", " memberships taken away "),
        ("airflow", " account removed "),
        ("grafana", " yes "),
        ("jupyterhub", " account removed "),
        ("rest", " - "),
    ] {
        assert!(line(name).contains(how), "{name}: {out}");
    }
    let (code, out, said) = vestibule(&["connectors", "list", "--supports", "disable"]);
    assert!(code == 0 && out.contains("zabbix") && out.contains("influxdb") && !out.contains("\nrest "), "{out}{said}");
    for (name, wanted) in [
        ("jenkins", "Shows no administrators"),
        ("scim", "Not every app that speaks it shows administrators"),
        ("policies/connectors/jenkins.toml", "## `jenkins`"),
    ] {
        let (code, out, said) = vestibule(&["connectors", "show", name]);
        assert!(code == 0 && out.contains(wanted), "{name}: {out}{said}");
    }
    let (_, out, _) = vestibule(&["connectors", "show", "grafana"]);
    assert!(!out.contains("administrators:"), "{out}");
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("mine.toml");
    fs::write(&mine, "connector = \"mine\"\nverson = 1\n").unwrap();
    let (code, out, said) = vestibule(&["connectors", "show", mine.to_str().unwrap()]);
    assert!(code == 2 && out.is_empty() && said.contains("verson"), "{out}{said}");
}

#[test]
fn connectors_test_plays_the_scenarios_and_says_what_failed() {
    let (code, out, said) = vestibule(&["connectors", "test", "grafana"]);
    assert!(code == 0 && out.contains("create, reply lost after commit") && out.contains("0 failed"), "{out}{said}");
    let (code, out, _) = vestibule(&["connectors", "test", "forgejo", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(code == 0 && json["scenarios"].as_array().unwrap().len() == vestibule::kit::ORDER.len(), "{json}");
    // A connector as a server has it that speaks it in another way.
    let (code, out, said) = vestibule(&["connectors", "test", "scim-okta"]);
    assert!(code == 0 && out.starts_with("scim-okta\n") && out.contains("0 failed"), "{out}{said}");
    // One's own, with a mistake; and without a scripted app.
    let folder = tempfile::tempdir().unwrap();
    let (mine, dialect) = (folder.path().join("mine.toml"), folder.path().join("app.toml"));
    let text = fs::read_to_string("policies/connectors/jupyterhub.toml").unwrap().replace("\"jupyterhub\"", "\"mine\"");
    fs::write(&mine, text.replace("{ status = 409, outcome = \"exists\" }", "{ status = 409, outcome = \"created\" }")).unwrap();
    fs::copy("src/kit/dialects/jupyterhub.toml", &dialect).unwrap();
    let (mine, dialect) = (mine.to_str().unwrap(), dialect.to_str().unwrap());
    let (code, out, said) = vestibule(&["connectors", "test", mine, "--dialect", dialect]);
    let failed: Vec<&str> = out.lines().filter(|line| line.contains("FAILED")).collect();
    assert!(code == 1 && failed.len() == 1 && failed[0].contains("create, exists"), "{out}{said}");
    let (code, _, said) = vestibule(&["connectors", "test", mine]);
    assert!(code == 2 && said.contains("no scripted app for connector `mine`") && said.contains("--dialect"), "{said}");
    let wrong = fs::read_to_string(dialect).unwrap().replace("\ndo ", "\ndoo ").replace("\ndo=", "\ndoo=");
    fs::write(dialect, format!("ids_ = 1\n{wrong}")).unwrap();
    let (code, _, said) = vestibule(&["connectors", "test", mine, "--dialect", dialect]);
    assert!(code == 2 && said.contains(&format!("{dialect}:1:1")) && said.contains("did you mean `ids`?"), "{said}");
    fs::write(dialect, "user = {").unwrap();
    assert_eq!(vestibule(&["connectors", "test", mine, "--dialect", dialect]).0, 2);
}

#[test]
fn init_prints_the_unit_file() {
    let (code, out, _) = vestibule(&["init", "systemd"]);
    assert!(code == 0 && out.contains("ExecStart=/usr/bin/vestibule serve"), "{out}");
}
