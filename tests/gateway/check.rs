//! `vestibule check`, the binary: formats for machines, the environment, what holds, and what files point to.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::fake_admin::{FakeAdmin, Fault, Flavour};
use crate::fake_op::{Answer, FakeOp};
use crate::fake_saml;
use crate::whole::cert;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;

const STATE_KEY: &str = "a key for tests that is long enough to be one";
const TOKEN: &str = "t0p-secret-admin-token";

fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A gateway file, its secrets and one policy; `issuer`, `upstream` and `admin` are where others listen.
fn folder(issuer: &str, upstream: &str, admin: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = fs::read_to_string(cert("vestibule.test.key")).unwrap();
    put(folder.path(), "tls.key", &key);
    put(folder.path(), "state.key", STATE_KEY);
    put(folder.path(), "secrets/token", TOKEN);
    let gateway = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nauth_host = \"auth.vestibule.test\"\n[tls]\ncert = {:?}\nkey = \"file:tls.key\"\n\
         [state]\nurl = \"sqlite:v.db\"\nkey = \"file:state.key\"\n\
         [[idp]]\nid = \"corp\"\nissuer = \"{issuer}\"\nclient_id = \"v\"\nclient_secret = \"env:CLIENT_SECRET\"\n",
        cert("vestibule.test.pem").display(),
    );
    put(folder.path(), "vestibule.toml", &gateway);
    let policy = format!(
        "host = \"wiki.vestibule.test\"\nupstream = \"{upstream}\"\n[access]\neveryone = true\n[user]\nrequired = [\"email\", \"given_name\"]\n\
         [provision]\nconnector = \"scim\"\nurl = \"{admin}\"\ntoken = \"file:../secrets/token\"\n[headers]\nX-User = \"{{user.name}}\"\n"
    );
    put(folder.path(), "policies/wiki.toml", &policy);
    folder
}

fn nowhere() -> TempDir {
    folder("http://127.0.0.1:9", "http://127.0.0.1:9", "http://127.0.0.1:9")
}

fn edit(folder: &Path, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    assert!(text.contains(from), "{file}: {from}");
    put(folder, file, &text.replace(from, to));
}

/// Runs `check` with more words and variables; code, what it says on standard output, and on standard error.
fn run(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.arg("check").args(words).current_dir(folder).env("CLIENT_SECRET", "hunter2-of-the-client");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(!err.contains("panicked"), "{err}");
    for secret in [TOKEN, STATE_KEY, "hunter2", "PRIVATE KEY"] {
        assert!(!out.contains(secret) && !err.contains(secret), "{words:?} shows a secret: {out}{err}");
    }
    (output.status.code().unwrap(), out, err)
}

/// As [`run`] with `--config`; the code must be this, and every part be there.
fn check(folder: &Path, words: &[&str], variables: &[(&str, &str)], code: i32, expected: &[&str]) -> String {
    let words: Vec<&str> = ["--config", "vestibule.toml"].iter().chain(words).copied().collect();
    let (got, out, err) = run(folder, &words, variables);
    assert_eq!(got, code, "{words:?}: {out}{err}");
    for part in expected {
        assert!(out.contains(part) || err.contains(part), "{words:?} should say {part:?}: {out}{err}");
    }
    out
}

#[test]
fn problems_come_whole_in_every_format_and_with_the_same_code() {
    let bad = nowhere();
    edit(bad.path(), "policies/wiki.toml", "everyone = true", "evryone = true");
    put(bad.path(), "policies/tickets.json", "{ \"host\": \"tickets.vestibule.test\",\n  \"upstream\": \"http://127.0.0.1:9\",\n  \"acess\": {} }\n");
    let bad = bad.path();
    check(bad, &["--format", "xml"], &[], 2, &["invalid value 'xml'", "text, json, sarif, github"]);
    check(bad, &["--online", "--effective"], &[], 2, &["cannot be used with"]);
    check(
        bad,
        &[],
        &[],
        1,
        &[
            "error[unknown-key]: unknown key `evryone` in [access]\n --> policies/wiki.toml:4:1\n",
            "error[unknown-section]: unknown section `acess`\n --> policies/tickets.json:3:3\n  |\n3 |   \"acess\": {} }\n  |   ^^^^^^^ there is no such section",
            "3 errors, 0 warnings in 3 files. Nothing was loaded.\n",
        ],
    );
    let said: Value = serde_json::from_str(&check(bad, &["--format", "json"], &[], 1, &[])).unwrap();
    assert_eq!((&said["errors"], &said["warnings"], &said["files"]), (&json!(3), &json!(0), &json!(3)));
    let places: Vec<String> =
        said["problems"].as_array().unwrap().iter().map(|one| format!("{} {} {}", one["file"], one["code"], one["line"])).collect();
    assert_eq!(
        places,
        [
            "\"policies/tickets.json\" \"unknown-section\" 3",
            "\"policies/tickets.json\" \"missing-key\" null",
            "\"policies/wiki.toml\" \"unknown-key\" 4",
        ]
    );
    let sarif: Value = serde_json::from_str(&check(bad, &["--format", "sarif"], &[], 1, &[])).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!((&sarif["version"], run["results"].as_array().unwrap().len()), (&json!("2.1.0"), 3));
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 3);
    let github = check(bad, &["--format", "github"], &[], 1, &[]);
    assert_eq!(github.lines().count(), 3, "{github}");
    assert!(github.contains("::error file=policies/wiki.toml,line=4,col=1,title=unknown-key::unknown key `evryone` in [access]"), "{github}");

    let fine = nowhere();
    assert_eq!(check(fine.path(), &[], &[], 0, &[]), "2 files in order.\n");
    assert_eq!(check(fine.path(), &["--format", "github"], &[], 0, &[]), "");
    let said: Value = serde_json::from_str(&check(fine.path(), &["--format", "json"], &[], 0, &[])).unwrap();
    assert_eq!(said, json!({ "problems": [], "ok": [], "errors": 0, "warnings": 0, "files": 2 }));
}

#[test]
fn the_environment_goes_over_the_gateway_file_and_over_nothing_else() {
    let made = nowhere();
    let made = made.path();
    check(made, &[], &[("VESTIBULE__SERVER__LSTEN", "hunter2")], 1, &["unknown-variable", "did you mean `VESTIBULE__SERVER__LISTEN`?"]);
    check(made, &[], &[("VESTIBULE__SERVER__WORKERS", "many")], 1, &["wrong-type", "VESTIBULE__SERVER__WORKERS"]);
    check(made, &[], &[("VESTIBULE__STATE__KEY", "hunter2")], 1, &["literal-secret", "VESTIBULE__STATE__KEY"]);
    check(made, &[], &[("VESTIBULE__SERVER__POLICIES", "none")], 2, &["cannot be read"]);
    // What Kubernetes injects for a service called `vestibule`.
    check(made, &[], &[("VESTIBULE_PORT", "tcp://10.0.0.1:443"), ("VESTIBULE_SERVICE_HOST", "10.0.0.1")], 0, &["2 files in order."]);
    let (code, out, _) = run(made, &["policies/wiki.toml"], &[("VESTIBULE__ACCESS__EVERYONE", "false")]);
    assert_eq!((code, out.as_str()), (0, "1 file in order.\n"), "policies take no environment");
    // `serve` takes the same way.
    let mut serve = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    serve.args(["serve", "--config", "vestibule.toml"]).current_dir(made).env("CLIENT_SECRET", "s").env("VESTIBULE__SERVER__LISTEN", "443");
    let output = serve.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(78) && said.contains("VESTIBULE__SERVER__LISTEN: `443` is not a value of server.listen"), "{said}");
}

#[test]
fn what_holds_is_shown_with_where_it_comes_from_and_without_secrets() {
    let bad = nowhere();
    edit(bad.path(), "policies/wiki.toml", "everyone = true", "evryone = true");
    check(bad.path(), &["--effective"], &[], 1, &["unknown key `evryone`"]);
    check(bad.path(), &["--effective", "policies/wiki.toml"], &[], 1, &["unknown key `evryone`"]);

    let made = nowhere();
    put(
        made.path(),
        "policies/tickets.json",
        "{ \"host\": \"t.vestibule.test\",\n  \"upstream\": \"http://127.0.0.1:9\",\n  \"access\": { \"groups\": [\"a\"] } }\n",
    );
    let said = check(made.path(), &["--effective"], &[("VESTIBULE__SERVER__LISTEN", "127.0.0.1:8443"), ("VESTIBULE__SESSION__IDLE", "5m")], 0, &[]);
    let squeezed: Vec<String> = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "listen = \"127.0.0.1:8443\" # environment: VESTIBULE__SERVER__LISTEN",
        "auth_host = \"auth.vestibule.test\" # vestibule.toml:3",
        "max_body = \"100 MiB\" # default",
        "key = \"file:state.key\" # vestibule.toml:9",
        "[session] # environment: VESTIBULE__SESSION__IDLE",
        "idle = \"5m\" # environment: VESTIBULE__SESSION__IDLE",
        "max = \"12h\" # default",
        "client_secret = \"env:CLIENT_SECRET\" # vestibule.toml:14",
        "# ---- policies/tickets.json",
        "groups = [\"a\"] # policies/tickets.json:3",
        "# ---- policies/wiki.toml",
        "token = \"file:../secrets/token\" # policies/wiki.toml:10",
        "on_existing = \"refuse\" # default",
        "email = \"{lower(email)}\" # default",
    ] {
        assert!(squeezed.iter().any(|other| other == line), "{line} is not in {said}");
    }
    // Each part is TOML, and says the same as the files.
    let mut parts = said.split("# ---- ").skip(1).map(|part| part.split_once('\n').unwrap());
    let (name, gateway) = parts.next().unwrap();
    assert_eq!(name, "vestibule.toml");
    put(made.path(), "again/vestibule.toml", &gateway.replace("file:", "file:../"));
    for (name, policy) in parts {
        put(made.path(), &format!("again/{}", name.replace(".json", ".toml")), policy);
    }
    let (code, out, _) = run(&made.path().join("again"), &["--config", "vestibule.toml"], &[]);
    // A default that is written out may be told that it has no effect; an error it is not.
    assert!(code == 0 && out.ends_with(" in 3 files.\n") && !out.contains("error["), "{out}");
    let one = check(made.path(), &["--effective", "policies/wiki.toml"], &[], 0, &[]);
    let (again, _) = vestibule::source::parse(&vestibule::source::SourceFile::new("x.toml", one.as_str()));
    assert_eq!(again.text("host"), Some("wiki.vestibule.test"));
}

/// A provider, an application that listens, an admin API that wants [`TOKEN`], and the files for them.
async fn world() -> (Arc<FakeOp>, TcpListener, FakeAdmin, TempDir) {
    let (op, app, admin) = (FakeOp::start(0).await, TcpListener::bind("127.0.0.1:0").await.unwrap(), FakeAdmin::start(Flavour::Scim).await);
    admin.require(&format!("Bearer {TOKEN}"));
    let made = folder(&op.issuer, &format!("http://{}", app.local_addr().unwrap()), admin.url.as_str());
    (op, app, admin, made)
}

/// [`check`], off the threads that the others answer on.
async fn online(made: &TempDir, words: &[&'static str], variables: &[(&'static str, &'static str)], code: i32, expected: &[&str]) -> String {
    let (path, variables) = (made.path().to_owned(), variables.to_vec());
    let words: Vec<&str> = ["--online"].iter().chain(words).copied().collect();
    let said = tokio::task::spawn_blocking(move || check(&path, &words, &variables, code, &[])).await.unwrap();
    for part in expected {
        assert!(said.contains(part), "it should say {part:?}: {said}");
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn what_files_point_to_is_looked_at_all_at_once() {
    let (op, _app, admin, made) = world().await;
    let said = online(
        &made,
        &[],
        &[],
        0,
        &[
            "ok   vestibule.toml:5 ",
            "vestibule.test.pem: vestibule.test, *.vestibule.test, localhost;",
            "state.key: file:state.key, 45 bytes, mode 0600",
            "idp.client_secret: env:CLIENT_SECRET, 21 bytes\n",
            &format!("provider corp: {}, ", op.issuer),
            "upstream http://127.0.0.1:",
            "provision.token: file:policies/../secrets/token, 22 bytes, mode 0600",
            "\"scim\" answers and accepts the credential",
            "\n2 files in order.\n",
        ],
    )
    .await;
    assert!(said.lines().take_while(|line| !line.is_empty()).all(|line| line.starts_with("ok   ")), "{said}");
    assert!(admin.take_lines().iter().all(|line| line.starts_with("GET ")), "it only looks");
    let machine: Value = serde_json::from_str(&online(&made, &["--format", "json"], &[], 0, &[]).await).unwrap();
    assert!(machine["ok"].as_array().unwrap().len() >= 7, "{machine}");

    // A secret that nothing should be signed with.
    put(made.path(), "secrets/jwt", "guess me");
    edit(made.path(), "policies/wiki.toml", "[headers]", "[jwt]\nsecret = \"file:../secrets/jwt\"\n[headers]");
    online(&made, &[], &[], 1, &["error[secret]: jwt.secret: a secret of 8 bytes is too short to sign with"]).await;
    edit(made.path(), "policies/wiki.toml", "[jwt]\nsecret = \"file:../secrets/jwt\"\n[headers]", "[headers]");

    // Everything wrong at once, each at its place.
    op.set(|script| script.discovery = Arc::new(|document| document["issuer"] = json!("https://other.example")));
    put(made.path(), "secrets/token", "a wrong token");
    fs::set_permissions(made.path().join("secrets/token"), fs::Permissions::from_mode(0o644)).unwrap();
    edit(made.path(), "vestibule.toml", "auth.vestibule.test", "auth.elsewhere.test");
    edit(made.path(), "vestibule.toml", "file:state.key", "file:none.key");
    edit(made.path(), "policies/wiki.toml", "[headers]", "[headers]\nX-Shared = { secret = \"env:NOT_SET\" }");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let policy = fs::read_to_string(made.path().join("policies/wiki.toml")).unwrap();
    let upstream = policy.lines().find(|line| line.starts_with("upstream")).unwrap().to_owned();
    edit(made.path(), "policies/wiki.toml", &upstream, &format!("upstream = \"http://{closed}\""));
    online(
        &made,
        &[],
        &[],
        1,
        &[
            "error[provider]: provider corp: discovery is not to be had: issuer is \"https://other.example\", not ",
            " --> vestibule.toml:12:10\n",
            "error[secret]: state.key: secret file:none.key: there is no none.key",
            "error[certificate-name]: no certificate of [tls] names `auth.elsewhere.test`\n --> vestibule.toml:3:13\n",
            "error[unreachable]: the application does not answer at http://",
            " --> policies/wiki.toml:2:12\n",
            "warning[secret-open]: secret file:policies/../secrets/token: policies/../secrets/token has mode 0644, so others can read it",
            "error[secret]: headers.X-Shared: secret env:NOT_SET: the environment variable NOT_SET is not set",
            "error[admin-api]: the admin API at http://127.0.0.1:",
            " --> policies/wiki.toml:9:7\n",
            "is it the right one",
            "6 errors, 1 warning in 2 files.\n",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_before_browsers_read_them() {
    let (op, _app, _admin, made) = world().await;
    let with = |from: &str, to: &str| {
        let text = fs::read_to_string(made.path().join("vestibule.toml")).unwrap();
        put(made.path(), "vestibule.toml", &text.replace(from, to));
    };
    with("vestibule.test.pem", "expired.pem");
    // Without --online it is a warning: whether the files are in order does not hang on the day.
    let path = made.path().to_owned();
    let said = ["warning[certificate-dates]: ", "expired.pem ended ", " days ago\n --> vestibule.toml:5:8\n", "0 errors, 1 warning in 2 files."];
    tokio::task::spawn_blocking(move || check(&path, &[], &[], 0, &said)).await.unwrap();
    online(&made, &[], &[], 1, &["error[certificate]: ", "expired.pem: certificate and key: "]).await;
    put(made.path(), "tls.key", &fs::read_to_string(cert("expired.key")).unwrap());
    online(&made, &[], &[], 1, &["error[certificate-dates]: ", "days ago", "browsers refuse it: renew it", "1 error, 0 warnings"]).await;
    with("expired.pem", "none.pem");
    online(&made, &[], &[], 1, &["none.pem: cannot be read: No such file", "1 error, 0 warnings"]).await;
    with("none.pem", "other.test.pem");
    put(made.path(), "tls.key", &fs::read_to_string(cert("other.test.key")).unwrap());
    online(&made, &[], &[], 1, &["names `auth.vestibule.test`", "names `wiki.vestibule.test`\n --> policies/wiki.toml:1:8", "2 errors, 0 warnings"])
        .await;
    // Keys that fit nothing that is allowed.
    op.set(|script| script.jwks_answer = Some(Answer::json(200, &json!({ "keys": [] }))));
    online(&made, &[], &[], 1, &["error[provider]: provider corp: jwks does not hold: expected a key for RS256, PS256, ES256, EdDSA, found none"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_15_roles_that_the_application_does_not_have_are_found_before_anybody_signs_in() {
    let (_op, _app, admin, made) = world().await;
    let roles = "[roles]\ndefault = \"Operators\"\n[roles.map]\nsre = \"Operator\"\nops = \"Operators\"\n[headers]";
    edit(made.path(), "policies/wiki.toml", "[headers]", roles);
    admin.add_group("9", "Operators");
    let expected = [
        "error[unknown-role]: the application has no role `Operator`\n  --> policies/wiki.toml:14:7\n",
        "= help: make it there",
        "1 error, 0 warnings",
    ];
    online(&made, &[], &[], 1, &expected).await;
    assert!(admin.take_lines().iter().all(|line| line.starts_with("GET ")), "it only looks");
    admin.add_group("10", "Operator");
    online(&made, &[], &[], 0, &["accepts the credential", "2 files in order."]).await;
    // What cannot be told is not called missing.
    admin.fail_next("GET /Groups", Fault::Status(500));
    online(&made, &[], &[], 0, &["warning[admin-api]: whether \"scim\" has the role `Operator` cannot be told", "0 errors, 1 warning"]).await;
    // What no admin API tells is said, for somebody to look.
    edit(made.path(), "policies/wiki.toml", "connector = \"scim\"", "connector = \"jupyterhub\"");
    let advice = "see to it in the application that it makes no accounts by itself: Authenticator.allow_all ";
    online(&made, &["wiki"], &[], 1, &[advice]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_40_one_app_is_looked_at_from_switch_to_required_attributes() {
    let (_op, _app, admin, made) = world().await;
    put(made.path(), "policies/other.toml", "host = \"other.vestibule.test\"\nupstream = \"http://127.0.0.1:9\"\n[access]\neveryone = true\n");
    // The application next door is down, and that is not what was asked.
    online(&made, &[], &[], 1, &["policies/other.toml:2"]).await;
    online(&made, &["nobody.vestibule.test"], &[], 2, &[]).await;
    put(made.path(), "secrets/token", "a wrong token");
    online(&made, &["wiki"], &[], 1, &["error[admin-api]: ", "the credential is not accepted", "1 error, 0 warnings in 2 files."]).await;
    put(made.path(), "secrets/token", TOKEN);
    for word in ["wiki.vestibule.test", "wiki.v", "wiki", "policies/wiki.toml"] {
        admin.take_seen();
        let said = online(
            &made,
            &[word],
            &[],
            0,
            &[
                "accounts: switched on, made by \"scim\" at the first sign-in",
                "\"scim\" answers and accepts the credential",
                "the provider must send: email, given_name",
                "sign-in: by corp",
                "provider corp: ",
                "provision.token: ",
            ],
        )
        .await;
        assert!(!said.contains("other.toml") && !said.contains("state.key"), "{said}");
        assert!(!admin.take_lines().is_empty());
    }
    edit(made.path(), "policies/wiki.toml", "connector = \"scim\"", "connector = \"none\"");
    online(&made, &["wiki"], &[], 0, &["accounts: none are made"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_of_a_saml_provider_is_looked_at_and_held_against_its_pin() {
    let (_op, _app, _admin, made) = world().await;
    let sha256 = |name: &str| {
        let der = STANDARD.decode(fake_saml::certificate(name)).unwrap();
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der))
    };
    let saml = |pin: &str| format!("[[idp]]\nid = \"partner\"\ntype = \"saml\"\nmetadata = \"partner.xml\"\npin = \"sha256:{pin}\"\n");
    let before = fs::read_to_string(made.path().join("vestibule.toml")).unwrap();
    let with = |pin: &str| put(made.path(), "vestibule.toml", &(before.clone() + &saml(pin)));
    edit(made.path(), "policies/wiki.toml", "[access]", "[login]\nidp = [\"corp\"]\n[access]");
    // Not there, then another key than the pinned one, then as it should be.
    with(&sha256("saml-idp.pem"));
    online(&made, &[], &[], 1, &["error[provider]: ", "partner.xml"]).await;
    put(made.path(), "partner.xml", &fake_saml::metadata("https://sso.partner.example", &["saml-idp.pem"]));
    with(&sha256("saml-sp.pem"));
    online(&made, &[], &[], 1, &["error[provider]: ", &sha256("saml-idp.pem")]).await;
    with(&sha256("saml-idp.pem"));
    online(&made, &[], &[], 0, &["provider partner: ", "matches the pin, expires in "]).await;
}
