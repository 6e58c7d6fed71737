//! The gateway under test: the real binary, with files in a folder of the test's own.

use super::{OidcProvider, Part, Person, free_port, repository};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// What must be settled before anything starts: the folder, and where people will reach the gateway.
#[derive(Debug)]
pub(crate) struct Site {
    folder: TempDir,
    port: u16,
    admin_port: u16,
}

impl Site {
    /// A fresh one.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("vestibule-real-").tempdir().expect("a temporary folder");
        Self { folder, port: free_port(), admin_port: free_port() }
    }

    /// Files of this test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Port that people use.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// An address at `LABEL.vestibule.test`.
    pub(crate) fn url(&self, label: &str, path: &str) -> String {
        format!("https://{label}.vestibule.test:{}{path}", self.port)
    }

    /// Writes a file that a policy names as a secret, and returns the reference to it.
    pub(crate) fn secret(&self, name: &str, value: &str) -> String {
        let file = self.folder().join(name);
        fs::write(&file, value).expect("the test's folder takes files");
        format!("file:{}", file.display())
    }
}

/// `vestibule serve`.
#[derive(Debug)]
pub(crate) struct Gateway {
    part: Part,
    folder: std::path::PathBuf,
    admin_port: u16,
}

impl Gateway {
    /// Starts it with these policies (file stem, text).
    pub(crate) async fn start(site: &Site, provider: &OidcProvider, policies: &[(&str, String)]) -> Self {
        Self::start_with(site, &idps(site, provider), policies).await
    }

    /// As [`Self::start`], with `[[idp]]` sections as written.
    pub(crate) async fn start_with(site: &Site, idps: &str, policies: &[(&str, String)]) -> Self {
        let folder = site.folder();
        fs::write(folder.join("vestibule.toml"), configuration(site) + idps).expect("the test's folder takes files");
        fs::create_dir_all(folder.join("policies")).expect("the test's folder takes folders");
        for (name, text) in policies {
            fs::write(folder.join(format!("policies/{name}.toml")), text).expect("the test's folder takes files");
        }
        let part = spawn(folder);
        let mut gateway = Self { part, folder: folder.to_owned(), admin_port: site.admin_port };
        gateway.wait().await;
        gateway
    }

    /// Writes another policy in the place of one, which it takes up by itself.
    pub(crate) fn rewrite(&self, name: &str, text: &str) {
        fs::write(self.folder.join(format!("policies/{name}.toml")), text).expect("the test's folder takes files");
    }

    /// Ends it as a power cut would, and starts it again on what is left.
    pub(crate) async fn crash_and_restart(&mut self) {
        self.part.kill();
        self.part = spawn(&self.folder);
        self.wait().await;
    }

    /// What it wrote to standard output and error.
    pub(crate) fn log(&self) -> String {
        self.part.log()
    }

    /// Its audit events, oldest first.
    pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.folder.join("audit.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("not a JSON line ({error}): {line}"))).collect()
    }

    /// `/metrics`, `/healthz` or `/readyz`.
    pub(crate) async fn admin(&self, path: &str) -> super::Reply {
        Person::new().send("GET", &format!("http://127.0.0.1:{}{path}", self.admin_port), &[], None).await
    }

    async fn wait(&mut self) {
        let ready = format!("http://127.0.0.1:{}/readyz", self.admin_port);
        self.part.ready(async |_| Person::new().gets(200, &ready).await).await;
    }
}

fn spawn(folder: &Path) -> Part {
    let mut vestibule = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    vestibule.arg("serve").arg("--config").arg(folder.join("vestibule.toml"));
    Part::start("vestibule", &vestibule, folder)
}

fn configuration(site: &Site) -> String {
    let certs = repository().join("certs");
    let certs = certs.display();
    let state_key = site.secret("state-key", "test-only-state-key-of-more-than-32-characters");
    format!(
        r#"
version = 1

[server]
listen      = "127.0.0.1:{port}"
public_port = {port}
auth_host   = "auth.vestibule.test"

[tls]
cert = "{certs}/vestibule.test.pem"
key  = "file:{certs}/vestibule.test.key"

[admin]
listen = "127.0.0.1:{admin_port}"

[state]
url = "sqlite:{folder}/vestibule.db"
key = "{state_key}"

[audit]
file = "{folder}/audit.jsonl"

[pages]
name    = "Test sign-in"
contact = "helpdesk@example.com"
"#,
        port = site.port,
        admin_port = site.admin_port,
        folder = site.folder().display(),
    )
}

fn idps(site: &Site, provider: &OidcProvider) -> String {
    let client_secret = site.secret("client-secret", OidcProvider::SECRET);
    let mut text = String::new();
    for client in &provider.clients {
        let (id, alg, issuer) = (client.id, client.alg, &provider.issuer);
        write!(
            text,
            r#"
[[idp]]
id            = "{id}"
name          = "Company account"
type          = "oidc"
issuer        = "{issuer}"
client_id     = "{id}"
client_secret = "{client_secret}"
algorithms    = ["{alg}"]
scopes        = ["openid", "profile", "email", "groups"]
"#
        )
        .expect("a string takes it");
    }
    text
}
