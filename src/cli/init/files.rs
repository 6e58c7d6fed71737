//! The files that `init` writes: short, commented, and in order as they are.

use super::probe::App;
use crate::clock::Timestamp;
use crate::entropy::Entropy;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What was answered.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) auth_host: String,
    pub(super) certificate: Certificate,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) upstream: String,
    pub(super) app: Option<&'static App>,
}

/// Where the certificate comes from.
#[derive(Debug)]
pub(super) enum Certificate {
    /// Made now.
    SelfSigned,
    /// There already.
    Files { chain: String, key: String },
}

impl Answers {
    fn app_name(&self) -> &str {
        self.app.map_or("app", |app| app.name)
    }

    /// `auth.example.com` -> `example.com`.
    fn domain(&self) -> &str {
        self.auth_host.split_once('.').map_or(self.auth_host.as_str(), |(_, domain)| domain)
    }

    fn app_host(&self) -> String {
        format!("{}.{}", self.app_name(), self.domain())
    }
}

/// Why the files were not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// A file.
    #[error("{}: {cause}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The certificate.
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Writes them; never over something that is there. Returns what was written.
pub(super) fn write(folder: &Path, answers: &Answers, entropy: &dyn Entropy, now: Timestamp) -> Result<Vec<PathBuf>, WriteError> {
    let mut written = Vec::new();
    let mut put = |name: &str, text: &str, mode: u32| -> Result<(), WriteError> {
        let path = folder.join(name);
        let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        made.map_err(|cause| WriteError::File { path: path.clone(), cause })?;
        written.push(path);
        Ok(())
    };
    let policies = folder.join("policies");
    fs::create_dir_all(&policies).map_err(|cause| WriteError::File { path: policies, cause })?;
    if matches!(answers.certificate, Certificate::SelfSigned) {
        let names = vec![answers.auth_host.clone(), format!("*.{}", answers.domain())];
        let (chain, key) = self_signed(names, now)?;
        put("self-signed.pem", &chain, 0o644)?;
        put("self-signed.key", &key, 0o600)?;
    }
    put("state.key", &entropy.token(), 0o600)?;
    put(&format!("policies/{}.toml", answers.app_name()), &policy(answers), 0o644)?;
    put("vestibule.toml", &gateway(answers), 0o644)?;
    Ok(written)
}

/// A certificate, and its key, that ends: one that is forgotten should be noticed before it has become a habit. No longer than browsers take (CA/Browser Forum Baseline
/// Requirements 6.3.2: at most 398 days); from an hour ago, for machines whose clock is behind.
fn self_signed(names: Vec<String>, now: Timestamp) -> Result<(String, String), rcgen::Error> {
    const DAYS: u32 = 397;
    const HOUR: Duration = Duration::from_hours(1);
    let since_epoch = Duration::from_secs(u64::try_from(now.seconds()).unwrap_or_default());
    let mut parameters = rcgen::CertificateParams::new(names)?;
    parameters.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch.saturating_sub(HOUR);
    parameters.not_after = parameters.not_before + HOUR * 24 * DAYS;
    let key = rcgen::KeyPair::generate()?;
    Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn gateway(answers: &Answers) -> String {
    let (chain, key, note) = match &answers.certificate {
        Certificate::SelfSigned => {
            ("self-signed.pem", "self-signed.key", "        # browsers will warn, and it ends after 397 days: replace it before people use this")
        }
        Certificate::Files { chain, key } => (chain.as_str(), key.as_str(), ""),
    };
    format!(
        "# The gateway. `vestibule help gateway` lists every setting, `vestibule check` finds every mistake.

[server]
listen    = \"0.0.0.0:443\"
redirect  = \"0.0.0.0:80\"             # plain HTTP: redirects to https, nothing else
auth_host = {auth_host}
# policies = \"policies\"              # one file for each application

[tls]
cert = {chain}{note}
key  = {key}

[state]
url = \"sqlite:vestibule.db\"          # sessions, accounts, signing keys: relative to this file
key = \"file:state.key\"               # encrypts the above; without it they are lost: keep a copy elsewhere

[session]
idle = \"30m\"
max  = \"12h\"

[admin]                              # /metrics, /healthz, /readyz
listen = \"127.0.0.1:9443\"

[[idp]]
id            = \"corp\"
type          = \"oidc\"
issuer        = {issuer}
client_id     = {client_id}
client_secret = {client_secret}
# groups      = \"groups\"             # the claim that lists groups
",
        auth_host = quoted(&answers.auth_host),
        chain = quoted(chain),
        key = quoted(&format!("file:{key}")),
        issuer = quoted(&answers.issuer),
        client_id = quoted(&answers.client_id),
        client_secret = quoted(&answers.client_secret),
    )
}

fn policy(answers: &Answers) -> String {
    let mut out = format!(
        "# {title}. `vestibule help policy` lists every setting.
host     = {host}
upstream = {upstream}

[access]                             # all of it must hold
domains = [{domain}]     # verified e-mail domain
# groups  = [\"staff\", \"team-*\"]      # any of these groups
# contact = \"helpdesk@{bare}\"        # whom to ask, on the page that refuses

[user]                               # the account as the application should see it
name = [\"{{lower(username)}}\", \"{{before(lower(email), '@')}}\"]  # the first that is set

[headers]                            # what the application is told with every request
X-Forwarded-User  = \"{{user.name}}\"
X-Forwarded-Email = \"{{user.email}}\"
",
        title = answers.app.map_or("The first application", |app| app.title),
        host = quoted(&answers.app_host()),
        upstream = quoted(&answers.upstream),
        domain = quoted(answers.domain()),
        bare = answers.domain(),
    );
    // Writing to a String cannot fail.
    let _infallible = match answers.app.and_then(|app| app.connector) {
        Some((connector, path, credential)) => write!(out, "\n{}", provision(answers, connector, path, credential)),
        None => write!(out, "\n# Accounts made at the first sign-in, through the application's own admin API: `vestibule help provision`.\n"),
    };
    let _infallible = write!(
        out,
        "\n[[test]]                             # tests are run before a change is loaded: `vestibule test`
name   = \"another company stays out\"
user   = {{ email = \"eve@elsewhere.example\", email_verified = true, username = \"eve\" }}
get    = \"/\"
expect = {{ access = \"deny\", because = \"domains\" }}
"
    );
    out
}

fn provision(answers: &Answers, connector: &str, path: &str, credential: &str) -> String {
    let url = quoted(&format!("{}{path}", answers.upstream.trim_end_matches('/')));
    let name = answers.app_name();
    let credential = match credential {
        "password" => format!("# username  = \"vestibule\"\n# password  = \"file:{name}-admin-password\"\n"),
        "headers" => format!("# headers   = {{ X-Redmine-API-Key = {{ secret = \"file:{name}-admin-key\" }} }}\n"),
        _ => format!("# token     = \"file:{name}-admin-token\"\n"),
    };
    let note = if connector == "rest" { "# and [provision.find] and [[provision.step]]: see `vestibule help provision`\n" } else { "" };
    format!(
        "# Accounts made at the first sign-in. Uncomment, give the credential, and look first: `vestibule plan {name} --user FILE`.\n# [provision]\n# connector = \"{connector}\"\n# url       = {url}\n{credential}{note}"
    )
}

fn quoted(text: &str) -> String {
    // JSON's strings are TOML's basic strings.
    serde_json::Value::from(text).to_string()
}

/// What to do next.
pub(super) fn farewell(answers: &Answers, config: &Path) -> String {
    let config = config.display();
    format!(
        "
At the provider, register the client {client} with this redirect address:
  https://{auth}/.vestibule/callback
and, to come back to after signing out (post-logout redirect address):
  https://{auth}/.vestibule/signed-out
DNS: {auth} and {app} are names of this machine.

Next:
  vestibule check --config {config} --online
  vestibule serve --config {config}
",
        client = quoted(&answers.client_id),
        auth = answers.auth_host,
        app = answers.app_host(),
    )
}
