//! What helps with writing policies: `fmt`, `schema`, `help`, `connectors`.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

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
    assert_eq!(vestibule(&["schema", "wiki"]).0, 64);
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
    assert!(disabling.contains(&"scim".to_owned()) && !disabling.contains(&"jupyterhub".to_owned()), "{disabling:?}");
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
