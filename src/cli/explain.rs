//! `vestibule explain`: why a request is allowed or not, and what the person would get.
//!
//! Lives here: the command line and the order of questions. `person.rs` finds out who is meant, `answer.rs` asks the engine, the same that decides live
//! (`policy::explain`, `mapping::desire`, `provision::preview`), `incident.rs` does so for a recorded refusal, `text.rs` and `json.rs` write the answer down, `place.rs` finds
//! the line of a key. Reads the configuration and, for recorded people and incidents, the state file; changes nothing, and works while the gateway is down.

mod answer;
mod incident;
mod json;
mod person;
mod place;
mod text;

use super::vouched::Vouched;
use super::{COULD_NOT, NO, YES, tell};
use crate::app::look::look;
use crate::app::{Environment, StartError};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Gateway, SecretRef};
use crate::fault::Incident;
use crate::identity::Way;
use crate::load::{self, Loaded};
use crate::policy::Policy;
use crate::source::value::nearest;
use crate::state::Store;
use answer::{Answer, Question};
use person::Who;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Address of a page (`https://redmine.example.com/admin`), or the incident code that a page showed (`7KQ4-M2XD`).
    #[arg(value_name = "URL|CODE")]
    what: String,
    /// Who asks: a JSON file with the keys of `[[test]] user`, or the e-mail address of somebody who has signed in. Left out: nobody is signed in.
    #[arg(long, value_name = "FILE|EMAIL")]
    user: Option<String>,
    #[command(flatten)]
    by: Vouched,
    /// An access token says who it is, not a session.
    #[arg(long)]
    bearer: bool,
    /// Method of the request.
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// Address of the client.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
    /// Exit with 1 when the request does not pass.
    #[arg(long)]
    exit_code: bool,
    /// The gateway's configuration file.
    #[arg(long, value_name = "FILE", default_value = "/etc/vestibule/vestibule.toml")]
    config: PathBuf,
}

/// Explains; returns the exit code.
pub(super) fn run(arguments: &Arguments) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime: {error}")),
    };
    let answer = match runtime.block_on(explain(arguments)) {
        Ok(answer) => answer,
        Err(error) => return fail(&error),
    };
    let written = if arguments.json { format!("{:#}\n", json::render(&answer)) } else { text::render(&answer) };
    if io::stdout().lock().write_all(written.as_bytes()).is_err() {
        return COULD_NOT;
    }
    if arguments.exit_code && !answer.passes() { NO } else { YES }
}

async fn explain(arguments: &Arguments) -> Result<Answer, String> {
    let loaded = load::load(&arguments.config).map_err(|report| report.render().trim_start_matches("error: ").to_owned())?;
    let environment: Environment = Arc::new(|name| std::env::var_os(name));
    let now = SystemClock.now();
    if let Some(code) = code(&arguments.what) {
        if arguments.user.is_some() || arguments.by.is_said() {
            return Err("an incident code says itself who it was: leave --user and --subject out".to_owned());
        }
        let store = state(&loaded.gateway, &environment).await?;
        return incident::explain(code, &loaded, store.as_ref(), now).await;
    }
    let url = url(&arguments.what)?;
    let policy = policy(&loaded, &url)?;
    let way = if arguments.bearer { Way::Bearer } else { Way::Session };
    let by = &arguments.by;
    let who = match (&arguments.user, &by.subject) {
        (None, None) if by.is_said() => return Err("--issuer and --idp say whom --user or --subject means".to_owned()),
        (None, None) => Who::nobody(),
        (Some(user), None) if by.is_said() && std::path::Path::new(user).is_file() => {
            return Err("a file says itself who is meant: leave --issuer and --idp out".to_owned());
        }
        (Some(user), None) if std::path::Path::new(user).is_file() => person::from_file(user, &loaded.gateway, policy, way, now)?,
        (user, subject) => {
            let user = user.as_deref();
            if let Some(user) = user.filter(|user| !user.contains('@')) {
                return Err(format!("--user {user}: there is no such file, and it is not an e-mail address"));
            }
            let store = state(&loaded.gateway, &environment).await?;
            person::recorded(store.as_ref(), user.or(subject.as_deref()).unwrap_or_default(), (by, &loaded.gateway.idps), policy, now).await?
        }
    };
    let question =
        Question { url: &url, path: path(&arguments.what, &url), method: &arguments.method.to_ascii_uppercase(), ip: arguments.ip, way, now };
    answer::ask(&loaded.gateway, policy, &who, question)
}

/// A code, unless it can only be an address.
fn code(what: &str) -> Option<Incident> {
    if what.contains(['.', ':', '/']) { None } else { Incident::parse(what) }
}

fn url(what: &str) -> Result<Url, String> {
    let way_out = "give the address of a page, such as https://redmine.example.com/admin, or an incident code, such as 7KQ4-M2XD";
    let written = if what.contains("://") { what.to_owned() } else { format!("https://{what}") };
    let url = Url::parse(&written).map_err(|error| format!("{what}: {error}; {way_out}"))?;
    match url.host_str() {
        Some(_) if matches!(url.scheme(), "https" | "http" | "wss" | "ws") && url.username().is_empty() && url.password().is_none() => Ok(url),
        _ => Err(format!("{what}: this is not the address of a page; {way_out}")),
    }
}

/// The path as it was written, where it has what no client that makes addresses whole would send: the gateway does not make it whole either, and answers 400. Else as
/// the client encodes it.
fn path<'a>(what: &'a str, url: &'a Url) -> &'a str {
    let after_scheme = what.split_once("://").map_or(what, |(_, rest)| rest);
    let written = after_scheme.find(['/', '\\', '?', '#']).and_then(|at| after_scheme.get(at..)).unwrap_or_default();
    let written = written.split(['?', '#']).next().unwrap_or_default();
    let dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if written.contains('\\') || written.split('/').any(dots) { written } else { url.path() }
}

/// The policy of the address's host.
fn policy<'a>(loaded: &'a Loaded, url: &Url) -> Result<&'a Policy, String> {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    if let Some(policy) = loaded.policies.iter().find(|policy| policy.host == host) {
        return Ok(policy);
    }
    if loaded.unavailable.contains(&host) {
        return Err(format!("{host}: its policy has errors, so nobody gets there; `vestibule check` shows them"));
    }
    if host == loaded.gateway.server.auth_host {
        return Err(format!("{host} is where people sign in ([server] auth_host): no policy decides there"));
    }
    let mut hosts: Vec<&str> = loaded.policies.iter().map(|policy| policy.host.as_str()).collect();
    hosts.sort_unstable();
    let meant = nearest(&host, hosts.iter().copied()).map(|host| format!("; did you mean {host}?")).unwrap_or_default();
    let known = if hosts.is_empty() { "there are none".to_owned() } else { format!("hosts: {}", hosts.join(", ")) };
    Err(format!("{host}: no policy has this host{meant}\n  {known}"))
}

/// The state file, to look at.
async fn state(gateway: &Gateway, environment: &Environment) -> Result<Arc<dyn Store>, String> {
    look(gateway, environment).await.map_err(|error| {
        // What systemd hands to the service, it hands to nobody else.
        let hint = match (&error, &gateway.state.key) {
            (StartError::Secret { .. }, SecretRef::Cred(_)) if environment("CREDENTIALS_DIRECTORY").is_none() => {
                "\n  outside of the service, as root: CREDENTIALS_DIRECTORY=/run/credentials/vestibule.service vestibule explain …"
            }
            _ => "",
        };
        format!("{error}{hint}\n  recorded sign-ins and incidents are sealed with [state] key; --user FILE needs neither")
    })
}

fn fail(error: &str) -> u8 {
    tell(&format!("error: {error}\n"));
    COULD_NOT
}
