//! What somebody sees who writes a policy in an editor: Tombi, the TOML language server behind several editors, with the schemas that `vestibule schema` prints.

use crate::harness::{lab, repository};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use tempfile::TempDir;

const SETTINGS: &str = r#"
toml-version = "v1.0.0"
[schema]
enabled = true
catalog = { paths = [] }
[[schemas]]
path = "policy.schema.json"
include = ["policies/*.toml"]
[[schemas]]
path = "gateway.schema.json"
include = ["vestibule.toml"]
"#;

/// A folder as an operator's: both schemas, the editor's settings, and these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("policies")).expect("a folder");
    fs::write(folder.path().join("tombi.toml"), SETTINGS).expect("written");
    for which in ["policy", "gateway"] {
        let schema = Command::new(env!("CARGO_BIN_EXE_vestibule")).args(["schema", which]).output().expect("runs");
        assert!(schema.status.success(), "{schema:?}");
        fs::write(folder.path().join(format!("{which}.schema.json")), schema.stdout).expect("written");
    }
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

fn tombi(folder: &Path) -> Command {
    let mut command = Command::new(lab("venv/bin/tombi"));
    // Nothing from the network, and nobody's own settings.
    command.current_dir(folder).env("HOME", folder).env("XDG_CACHE_HOME", folder.join("cache")).env("NO_COLOR", "1");
    command
}

fn lint(folder: &Path) -> (bool, String) {
    let Output { status, stdout, stderr } = tombi(folder).args(["lint", "--offline"]).output().expect("runs");
    (status.success(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[test]
fn the_editor_marks_what_check_would_refuse() {
    let broken = fs::read_to_string(repository().join("tests/policies/bad-redmine.toml")).expect("readable");
    let (clean, said) = lint(folder(&[("policies/redmine.toml", &broken)]).path());
    assert!(!clean, "{said}");
    for mark in [
        "\"group\" is not allowed",
        "redmine.toml:4:1",
        "expected a value of type Array",
        "redmine.toml:5:15",
        "\"host\" is required",
        "redmine.toml:17:15",
    ] {
        assert!(said.contains(mark), "{mark}: {said}");
    }
    let (clean, said) = lint(folder(&[("vestibule.toml", "[server]\nlisten = 443\nauth_hots = \"auth.example.com\"\n")]).path());
    assert!(!clean && said.contains("\"auth_hots\" is not allowed"), "{said}");
}

#[test]
fn the_editor_has_nothing_against_the_files_that_are_shipped() {
    let mut files = vec![("vestibule.toml".to_owned(), "tests/policies/example-vestibule.toml".into())];
    for entry in fs::read_dir(repository().join("policies")).expect("readable") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push((format!("policies/{}", path.file_name().expect("a name").to_string_lossy()), path));
        }
    }
    for example in ["grafana", "redmine"] {
        files.push((format!("policies/example-{example}.toml"), repository().join(format!("tests/policies/example-{example}.toml"))));
    }
    let texts: Vec<(String, String)> =
        files.into_iter().map(|(name, path)| (name, fs::read_to_string(repository().join(path)).expect("readable"))).collect();
    assert!(texts.len() >= 6, "{texts:?}");
    let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let (clean, said) = lint(folder(&texts).path());
    assert!(clean && !said.contains("Warning"), "{said}");
}

#[test]
fn the_editor_completes_keys_and_says_what_they_do() {
    let text = "host = \"a.example.com\"\nupstream = \"http://127.0.0.1:1\"\n[access]\nde\n";
    let folder = folder(&[("policies/new.toml", text)]);
    let mut editor = Editor::open(folder.path(), "policies/new.toml", text);
    let completed = editor.ask("textDocument/completion", 3, 2);
    let items = completed.as_array().or_else(|| completed["items"].as_array()).expect("a list");
    let item = items.iter().find(|item| item["label"] == "deny_groups").unwrap_or_else(|| panic!("{completed}"));
    assert!(item["documentation"]["value"].as_str().is_some_and(|text| text.contains("groups that always refuse")), "{item}");
    let hover = editor.ask("textDocument/hover", 0, 1);
    assert!(hover.to_string().contains("the name people type into the browser"), "{hover}");
}

/// Speaks the Language Server Protocol 3.17 over a pipe, as an editor does.
struct Editor {
    server: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    uri: String,
    asked: u64,
}

impl Editor {
    fn open(folder: &Path, file: &str, text: &str) -> Self {
        let mut server =
            tombi(folder).args(["lsp", "--offline"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
        let (to, from) = (server.stdin.take().expect("a pipe"), BufReader::new(server.stdout.take().expect("a pipe")));
        let root = format!("file://{}", folder.display());
        let mut editor = Self { server, to, from, uri: format!("{root}/{file}"), asked: 0 };
        let hello = json!({ "processId": null, "rootUri": root, "workspaceFolders": [{ "uri": root, "name": "policies" }], "capabilities": {} });
        editor.request("initialize", &hello);
        editor.send(&json!({ "jsonrpc": "2.0", "method": "initialized", "params": {} }));
        let document = json!({ "textDocument": { "uri": editor.uri, "languageId": "toml", "version": 1, "text": text } });
        editor.send(&json!({ "jsonrpc": "2.0", "method": "textDocument/didOpen", "params": document }));
        editor
    }

    /// Asks about a place until there is an answer: the server reads the schema while it answers `null`.
    fn ask(&mut self, method: &str, line: u32, character: u32) -> Value {
        for _ in 0..10_000 {
            let about = json!({ "textDocument": { "uri": self.uri }, "position": { "line": line, "character": character } });
            let answer = self.request(method, &about);
            if !answer.is_null() && answer.as_array().is_none_or(|list| !list.is_empty()) {
                return answer;
            }
        }
        panic!("{method} was never answered")
    }

    fn request(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let message = self.receive();
            match (message.get("method"), message.get("id")) {
                (None, Some(answered)) if *answered == id => return message["result"].clone(),
                // A wish of the server's.
                (Some(_), Some(wish)) => self.send(&json!({ "jsonrpc": "2.0", "id": wish, "result": null })),
                _ => {}
            }
        }
    }

    fn send(&mut self, message: &Value) {
        let body = message.to_string();
        write!(self.to, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("the server reads");
        self.to.flush().expect("the server reads");
    }

    fn receive(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.from.read_line(&mut line).expect("the server writes") > 0, "the server has gone");
            match line.trim().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().expect("a number"),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.from.read_exact(&mut body).expect("the server writes");
        serde_json::from_slice(&body).expect("JSON")
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}
