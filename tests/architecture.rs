//! The invariants of `src/lib.rs`, checked against the text of every source file. A breach names the file and line.

#![expect(clippy::expect_used, reason = "a source file that cannot be read fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Files under these are pure: no IO, no async, no clock, no random source.
const CORE: &[&str] =
    &["clock.rs", "entropy.rs", "fault.rs", "identity/", "source/", "expr/", "config/", "policy/", "plan/", "connector/model.rs", "connector/model/"];

/// What core never mentions.
const IO: &[&str] = &[
    "tokio::",
    "hyper::",
    "hyper_util::",
    "rustls::",
    "openidconnect::",
    "samael::",
    "moka::",
    "sqlx::",
    "std::fs",
    "std::process::Command",
    "async fn",
    "std::thread",
];

/// A library's types stop at the files that wrap it.
const WRAPPED: &[(&str, &[&str])] = &[
    ("openidconnect::", &["sso/oidc"]),
    ("samael::", &["sso/saml/verify.rs"]),
    ("quick_xml::", &["sso/saml/xml.rs", "connector/engine/xml.rs"]),
    ("sqlx::", &["state/sqlite"]),
    ("moka::", &["session/"]),
    ("notify::", &["reload/watch.rs"]),
    ("nix::", &["admin/socket.rs"]),
    ("jsonwebtoken::", &["signer", "sso/oidc", "demo/"]),
    ("askama::", &["pages/"]),
    ("toml::", &["source/"]),
    ("prometheus_client::", &["observe/metrics.rs"]),
    ("opentelemetry::", &["observe/traces.rs"]),
    ("opentelemetry_sdk::", &["observe/traces.rs"]),
    ("opentelemetry_otlp::", &["observe/traces.rs"]),
    ("clap::", &["cli/"]),
    ("rustls::", &["proxy/tls.rs", "proxy/pool.rs", "proxy/worker.rs", "outbound", "app/"]),
    ("hyper::", &["proxy/", "admin/", "outbound", "demo/"]),
    ("SystemTime::now", &["clock.rs"]),
    ("SystemRandom", &["entropy.rs", "signer.rs", "demo/", "sso/saml/key.rs"]),
];

/// (files under, never mention): who does not know whom.
const STRANGERS: &[(&str, &[&str])] = &[
    ("sso/", &["crate::connector", "crate::state", "crate::login", "crate::provision", "crate::proxy", "crate::request", "crate::policy"]),
    ("connector/", &["crate::sso", "crate::state", "crate::login", "crate::provision", "crate::proxy", "crate::request", "crate::session"]),
    ("state/", &["crate::sso", "crate::connector", "crate::login", "crate::provision", "crate::proxy", "crate::request", "crate::outbound"]),
    ("session/", &["crate::sso", "crate::connector", "crate::login", "crate::provision", "crate::proxy", "crate::request"]),
    ("request/", &["crate::sso", "crate::login", "crate::proxy", "crate::connector", "hyper::", "tokio::"]),
    ("login/", &["crate::connector", "crate::proxy"]),
    ("pages/", &["crate::sso", "crate::state", "crate::connector", "crate::login", "crate::provision", "crate::proxy"]),
    ("identity/", &["std::net"]),
    ("expr/", &["std::net"]),
    ("policy/", &["std::net"]),
    ("plan/", &["std::net"]),
];

/// (words, the only files that may say them): single doors.
const DOORS: &[(&str, &[&str])] = &[
    // The one door to an application.
    ("into_wire(", &["request/upstream.rs", "proxy/forward.rs"]),
    ("pool.lease(", &["proxy/forward.rs"]),
    ("pool.connect(", &["proxy/forward.rs", "proxy/pool.rs"]),
    // Only `sso` vouches.
    ("VerifiedAssertion::vouch(", &["sso/oidc", "sso/saml"]),
    ("VerifiedToken::vouch(", &["sso/oidc"]),
    // One composition root.
    ("sqlite::Store::open(", &["app/"]),
];

struct Line {
    file: String,
    number: usize,
    text: String,
}

#[test]
fn core_knows_no_io() {
    check(|line| in_any(&line.file, CORE).then(|| first_of(&line.text, IO)).flatten());
}

#[test]
fn library_types_stop_at_the_file_that_wraps_the_library() {
    check(|line| WRAPPED.iter().find(|(library, homes)| mentions(&line.text, library) && !in_any(&line.file, homes)).map(|(library, _)| *library));
}

#[test]
fn rooms_that_must_not_know_each_other_do_not() {
    check(|line| STRANGERS.iter().filter(|(room, _)| line.file.starts_with(room)).find_map(|(_, never)| first_of(&line.text, never)));
}

#[test]
fn there_is_one_door() {
    check(|line| DOORS.iter().find(|(door, homes)| line.text.contains(door) && !in_any(&line.file, homes)).map(|(door, _)| *door));
}

#[test]
fn the_checks_above_can_fail() {
    let line = |file: &str, text: &str| Line { file: file.to_owned(), number: 1, text: text.to_owned() };
    let breach = line("policy/evaluate.rs", "use tokio::sync::Mutex;");
    assert!(in_any(&breach.file, CORE) && first_of(&breach.text, IO) == Some("tokio::"));
    assert!(mentions("let x: sqlx::Row = y;", "sqlx::") && !mentions("let x = my_sqlx::y;", "sqlx::"));
    assert!(lines().len() > 2_000, "the sources were found");
}

/// Fails with every line for which `breach` names what it mentions.
fn check(breach: impl Fn(&Line) -> Option<&'static str>) {
    let found: Vec<String> = lines()
        .iter()
        .filter_map(|line| breach(line).map(|word| format!("src/{}:{}: {word}    {}", line.file, line.number, line.text.trim())))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn in_any(file: &str, homes: &[&str]) -> bool {
    homes.iter().any(|home| file.starts_with(home))
}

fn first_of(text: &str, words: &[&'static str]) -> Option<&'static str> {
    words.iter().copied().find(|word| mentions(text, word))
}

/// Whether `word` stands in `text` as a word of its own.
fn mentions(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| !text.split_at(at).0.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}

/// Every line of code under `src/`, comments and test modules left out.
fn lines() -> Vec<Line> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let mut lines = Vec::new();
    for path in files {
        let name = path.strip_prefix(&root).expect("under src").to_string_lossy().into_owned();
        if name.ends_with("tests.rs") || name.contains("tests/") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        lines.extend(code.map(|(at, line)| Line { file: name.clone(), number: at + 1, text: line.to_owned() }));
    }
    lines
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
