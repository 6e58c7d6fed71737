//! `vestibule plan`: what provisioning would do, without doing it.

use super::{COULD_NOT, NO, YES};
use crate::app::admin_reader;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Idp;
use crate::load::{untested, untested_file};
use crate::policy::Policy;
use crate::rehearse::perform::Real;
use crate::rehearse::plan::{At, Known, Outlook, Tally, look_ahead};
use crate::rehearse::records::Records;
use crate::rehearse::{person, show};
use crate::source::Report;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `plan` was asked.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Question {
    /// The application: its host or name, or the beginning of one.
    host: String,
    /// The person: a JSON file, or an e-mail address among --people.
    #[arg(long, value_name = "FILE|EMAIL", required_unless_present = "all")]
    user: Option<String>,
    /// Everybody among --people, added up.
    #[arg(long, conflicts_with = "user", requires = "people")]
    all: bool,
    /// People, one JSON object a line: recorded sign-ins, ID-token payloads, or the keys of [[test]] user.
    #[arg(long, value_name = "FILE")]
    people: Option<PathBuf>,
    /// A changed policy file, instead of the one in force.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Accounts that the application has, as JSON it would show: one, or a list.
    #[arg(long, value_name = "FILE", conflicts_with = "online")]
    existing: Option<PathBuf>,
    /// Look at the real application; nothing that writes is sent.
    #[arg(long)]
    online: bool,
    /// Exit 1 when something would change.
    #[arg(long)]
    exit_code: bool,
    /// Print calls as commands, too.
    #[arg(long)]
    curl: bool,
    /// For programs.
    #[arg(long)]
    json: bool,
    /// The gateway's configuration file.
    #[arg(long, value_name = "FILE", default_value = "/etc/vestibule/vestibule.toml")]
    config: PathBuf,
}

/// `vestibule plan`: returns the exit code.
pub(super) fn run(question: &Question) -> u8 {
    match answer(question) {
        Ok((text, quiet)) => {
            if io::stdout().lock().write_all(text.as_bytes()).is_err() {
                return COULD_NOT;
            }
            if question.exit_code && !quiet { NO } else { YES }
        }
        Err(why) => {
            drop(io::stderr().lock().write_all(why.as_bytes()));
            COULD_NOT
        }
    }
}

/// What to print, and whether nothing would change.
fn answer(question: &Question) -> Result<(String, bool), String> {
    let (policy, idps) = policy(question)?;
    let existing = question.existing.as_deref().map(existing).transpose()?.unwrap_or_default();
    let real = if question.online { admin_reader(&policy).map_err(|error| format!("error: {error}\n"))? } else { None };
    let now = SystemClock.now();
    let look = |known: &Known, records: &Arc<Records>| {
        let at = match (&real, &known.record) {
            (Some(real), _) => At::Real(Real::clone(real)),
            (None, Some(_)) => At::Recorded,
            (None, None) => At::Imagined(existing.clone()),
        };
        look_ahead(&policy, known, records, at, now)
    };
    if question.all {
        let records = Arc::new(Records::default());
        let outlooks: Vec<Outlook> = people(question, &idps, &policy)?.iter().map(|known| look(known, &records)).collect();
        return Ok(everybody(question, &policy, &outlooks));
    }
    let known = Known { identity: somebody(question, &idps, &policy)?, record: None };
    let outlook = look(&known, &Arc::new(Records::default()));
    if let (Some((_, why)), true) = (outlook.failure().filter(|(because, _)| *because == "account"), question.online) {
        return Err(format!("{}error: {why}\n", show::plan(&outlook, question.curl)));
    }
    let quiet = outlook.count().is_nothing() && outlook.failure().is_none();
    let text = if question.json { format!("{:#}\n", show::plan_json(&outlook)) } else { show::plan(&outlook, question.curl) };
    Ok((text, quiet))
}

fn everybody(question: &Question, policy: &Policy, outlooks: &[Outlook]) -> (String, bool) {
    let mut tally = Tally::default();
    outlooks.iter().for_each(|outlook| tally.add(outlook));
    let who = |outlook: &Outlook| outlook.identity.email.clone().unwrap_or_else(|| outlook.identity.subject.subject.clone());
    if question.json {
        let each: Vec<Value> = outlooks.iter().map(show::plan_json).collect();
        return (format!("{:#}\n", json!({ "host": policy.host, "summary": show::tally_json(&tally), "people": each })), tally.is_quiet());
    }
    let people = if tally.people == 1 { "1 person".to_owned() } else { format!("{} people", tally.people) };
    let mut out = format!("{}     {people}      {}\n\n", policy.host, policy.file);
    for outlook in outlooks {
        let lines: Vec<String> = outlook
            .lines()
            .iter()
            .filter(|line| !line.inner && line.sign != '=')
            .map(|line| format!("{} {} {}", line.sign, line.what, if line.value.is_empty() { &line.why } else { &line.value }))
            .collect();
        let lines = outlook.refused.as_ref().map(|(because, _)| vec![format!("does not enter: {because}")]).unwrap_or(lines);
        if !lines.is_empty() {
            out.push_str(&format!("{:<32}{}\n", who(outlook), lines.join("   ")));
        }
    }
    if !out.ends_with("\n\n") {
        out.push('\n');
    }
    out.push_str(&format!("Plan: {}.\n{}\n", show::tally(&tally), if question.online { "Nothing but reads was sent." } else { "Nothing was sent." }));
    (out, tally.is_quiet())
}

/// The policy of the application that is meant.
fn policy(question: &Question) -> Result<(Arc<Policy>, Vec<Idp>), String> {
    let rendered = |report: &Report| report.render_with("");
    let found = untested(&question.config, &[]);
    let idps = found.gateway.as_ref().map(|gateway| gateway.idps.clone()).unwrap_or_default();
    let ids: Vec<String> = idps.iter().map(|idp| idp.id.clone()).collect();
    if let Some(path) = &question.policy {
        let changed = untested_file(path, found.gateway.is_some().then_some(ids.as_slice())).map_err(|report| rendered(&report))?;
        return if is_meant(&changed, &question.host) {
            Ok((in_place_of(changed, &found.policies), idps))
        } else {
            Err(format!("error: {} is the policy of {}, not of {}\n", path.display(), changed.host, question.host))
        };
    }
    if found.gateway.is_none() {
        return Err(rendered(&found.report));
    }
    let exact = found.policies.iter().find(|(_, policy)| policy.host == question.host || policy.name == question.host);
    let near: Vec<&Arc<Policy>> = found.policies.iter().map(|(_, policy)| policy).filter(|policy| is_meant(policy, &question.host)).collect();
    match (exact.map(|(_, policy)| policy), near.as_slice()) {
        (Some(policy), _) => Ok((Arc::clone(policy), idps)),
        (None, [policy]) => Ok((Arc::clone(policy), idps)),
        (None, []) => {
            let hosts: Vec<&str> = found.policies.iter().map(|(_, policy)| policy.host.as_str()).collect();
            let broken = if found.report.errors() > 0 { rendered(&found.report) } else { String::new() };
            Err(format!("{broken}error: no policy that is in order has the host `{}`; hosts: {}\n", question.host, hosts.join(", ")))
        }
        (None, several) => {
            let hosts: Vec<&str> = several.iter().map(|policy| policy.host.as_str()).collect();
            Err(format!("error: `{}` is the beginning of several hosts: {}\n", question.host, hosts.join(", ")))
        }
    }
}

fn is_meant(policy: &Policy, host: &str) -> bool {
    policy.host.starts_with(host) || policy.name.starts_with(host)
}

/// A changed version has the name under which the records of the one in force are kept.
fn in_place_of(changed: Arc<Policy>, policies: &[(crate::source::SourceFile, Arc<Policy>)]) -> Arc<Policy> {
    let name = policies.iter().find(|(_, policy)| policy.host == changed.host).map(|(_, policy)| policy.name.clone());
    match (name, Arc::try_unwrap(changed)) {
        (Some(name), Ok(policy)) => Arc::new(Policy { name, ..policy }),
        (None, Ok(policy)) => Arc::new(policy),
        (_, Err(shared)) => shared,
    }
}

fn somebody(question: &Question, idps: &[Idp], policy: &Policy) -> Result<crate::identity::Identity, String> {
    let asked = question.user.as_deref().unwrap_or_default();
    if asked.contains('@') && !Path::new(asked).exists() {
        if question.people.is_none() {
            return Err(format!("error: {asked}: give a file that lists people with --people, or a JSON file of this person with --user\n"));
        }
        let found = people(question, idps, policy)?
            .into_iter()
            .find(|known| known.identity.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case(asked)));
        return found.map(|known| known.identity).ok_or_else(|| format!("error: nobody among --people has the address {asked}\n"));
    }
    person::read(&text_of(Path::new(asked))?, idps, policy).map_err(|problem| format!("error: {asked}: {problem}\n"))
}

fn people(question: &Question, idps: &[Idp], policy: &Policy) -> Result<Vec<Known>, String> {
    let Some(path) = &question.people else { return Ok(Vec::new()) };
    let text = text_of(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(at, line): (usize, &str)| {
        let identity = person::read(line, idps, policy).map_err(|problem| format!("error: {}:{}: {problem}\n", path.display(), at + 1))?;
        Ok(Known { identity, record: None })
    };
    lines.map(read).collect()
}

fn existing(path: &Path) -> Result<Vec<Value>, String> {
    match serde_json::from_str(&text_of(path)?) {
        Ok(Value::Array(several)) => Ok(several),
        Ok(one @ Value::Object(_)) => Ok(vec![one]),
        Ok(_) => Err(format!("error: {}: an account is a JSON object\n", path.display())),
        Err(error) => Err(format!("error: {}: not JSON: {error}\n", path.display())),
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("error: {} cannot be read: {error}\n", path.display()))
}
