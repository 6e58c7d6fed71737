//! `vestibule plan`: what provisioning would do, without doing it.

use super::vouched::{Vouched, words};
use super::{COULD_NOT, NO, YES, tell};
use crate::app::look::look as open;
use crate::app::{Environment, admin_reader};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Gateway, Idp};
use crate::load::{Untested, untested, untested_file};
use crate::policy::Policy;
use crate::provision::as_wanted;
use crate::rehearse::people::{Everybody, Known, People, Recorded};
use crate::rehearse::perform::Real;
use crate::rehearse::plan::{At, Outlook, Tally, look_ahead};
use crate::rehearse::records::Records;
use crate::rehearse::{Because, person, show};
use crate::state::{AccountRecord, StoreError};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `plan` was asked.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line, each by its name")]
pub(super) struct Question {
    /// The application: its host or name, or the beginning of one.
    host: String,
    /// The person: a JSON file, or the e-mail address of somebody who has signed in.
    #[arg(long, value_name = "FILE|EMAIL", required_unless_present_any = ["all", "people"])]
    user: Option<String>,
    #[command(flatten)]
    by: Vouched,
    /// Everybody with an account record at this application, as of their last sign-in, added up.
    #[arg(long, conflicts_with = "user")]
    all: bool,
    /// People instead of the recorded ones, one JSON object a line: recorded sign-ins, ID-token payloads, or the keys of `[[test]] user`. All of them, unless
    /// --user says who.
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
            tell(&why);
            COULD_NOT
        }
    }
}

/// What to print, and whether nothing would change.
fn answer(question: &Question) -> Result<(String, bool), String> {
    let around = around(question)?;
    let policy = &around.policy;
    let existing = question.existing.as_deref().map(existing).transpose()?.unwrap_or_default();
    let real = if question.online { admin_reader(policy).map_err(|error| format!("error: {error}\n"))? } else { None };
    let now = SystemClock.now();
    let look = |known: &Known, records: &Arc<Records>| {
        let at = match (&real, &known.record) {
            (Some(real), _) => At::Real(Real::clone(real)),
            (None, Some(record)) if existing.is_empty() => At::Recorded(as_wanted(&around.in_force, &known.identity, record)),
            (None, _) => At::Imagined(existing.clone()),
        };
        look_ahead(policy, known, records, at, now)
    };
    if question.by.is_said() && question.user.is_none() {
        return Err("error: --subject, --issuer and --idp say whom --user means\n".to_owned());
    }
    if question.all || question.user.is_none() {
        let all = if question.people.is_some() {
            with_records(listed(question, &around)?, others(&around))
        } else {
            recorded(&around, async |people: &dyn People| people.everybody(&policy.name).await)?
        };
        // One store for all, so that two people who would get the same login are told apart here, too.
        let records = Arc::new(Records::with(all.records));
        let outlooks: Vec<Outlook> = all.people.iter().map(|known| look(known, &records)).collect();
        return Ok(everybody(question, policy, &outlooks, all.unseen));
    }
    let everybody = with_records(Everybody { people: vec![somebody(question, &around)?], ..Everybody::default() }, others(&around));
    let Some(known) = everybody.people.first() else { return Err("error: nobody is meant\n".to_owned()) };
    let outlook = look(known, &Arc::new(Records::with(everybody.records)));
    if question.online && matches!(outlook.failure(), Some((Because::Account, _))) {
        return Err(show::plan(&outlook, question.curl));
    }
    let quiet = outlook.count().is_nothing() && outlook.failure().is_none();
    let text = if question.json { format!("{:#}\n", show::plan_json(&outlook)) } else { show::plan(&outlook, question.curl) };
    Ok((text, quiet))
}

/// The policy that is meant, and what it stands in.
struct Around {
    policy: Arc<Policy>,
    /// The one that live traffic goes by: another one where a changed policy is looked at.
    in_force: Arc<Policy>,
    gateway: Option<Gateway>,
}

impl Around {
    fn idps(&self) -> &[Idp] {
        self.gateway.as_ref().map(|gateway| gateway.idps.as_slice()).unwrap_or_default()
    }
}

fn everybody(question: &Question, policy: &Policy, outlooks: &[Outlook], unseen: usize) -> (String, bool) {
    let mut tally = Tally::default();
    for outlook in outlooks {
        tally.add(outlook);
    }
    let who = |outlook: &Outlook| outlook.identity.email.clone().unwrap_or_else(|| outlook.identity.subject.subject.clone());
    if question.json {
        let each: Vec<Value> = outlooks.iter().map(show::plan_json).collect();
        return (
            format!("{:#}\n", json!({ "host": policy.host, "summary": show::tally_json(&tally), "unseen": unseen, "people": each })),
            tally.is_quiet(),
        );
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
        let lines = outlook.refused.as_ref().map_or(lines, |(because, _)| vec![format!("does not enter: {because}")]);
        if !lines.is_empty() {
            let _infallible = writeln!(out, "{:<32}{}", who(outlook), lines.join("   "));
        }
    }
    if !out.ends_with("\n\n") {
        out.push('\n');
    }
    if unseen > 0 {
        let who = if unseen == 1 {
            "1 account is not looked at: its person has".to_owned()
        } else {
            format!("{unseen} accounts are not looked at: their people have")
        };
        let _infallible = writeln!(out, "{who} no recorded sign-in.");
    }
    let sent = if question.online { "Nothing but reads was sent." } else { show::unsent(outlooks) };
    let _infallible = writeln!(out, "Plan: {}.\n{sent}", show::tally(&tally));
    (out, tally.is_quiet())
}

/// The policy of the application that is meant.
fn around(question: &Question) -> Result<Around, String> {
    let Untested { gateway, policies, report } = untested(&question.config, &[]);
    if let Some(path) = &question.policy {
        let ids: Option<Vec<String>> = gateway.as_ref().map(|gateway| gateway.idps.iter().map(|idp| idp.id.clone()).collect());
        let changed = untested_file(path, ids.as_deref()).map_err(|report| report.render_with(""))?;
        if !is_meant(&changed, &question.host) {
            return Err(format!("error: {} is the policy of {}, not of {}\n", path.display(), changed.host, question.host));
        }
        let in_force = policies.iter().map(|(_, policy)| policy).find(|policy| policy.host == changed.host).cloned();
        let policy = in_place_of(changed, &policies);
        return Ok(Around { in_force: in_force.unwrap_or_else(|| Arc::clone(&policy)), policy, gateway });
    }
    if gateway.is_none() {
        return Err(report.render_with(""));
    }
    let exact = policies.iter().map(|(_, policy)| policy).find(|policy| policy.host == question.host || policy.name == question.host);
    let near: Vec<&Arc<Policy>> = policies.iter().map(|(_, policy)| policy).filter(|policy| is_meant(policy, &question.host)).collect();
    let hosts = |of: &[&Arc<Policy>]| of.iter().map(|policy| policy.host.as_str()).collect::<Vec<_>>().join(", ");
    match (exact, near.as_slice()) {
        (Some(policy), _) | (None, &[policy]) => Ok(Around { policy: Arc::clone(policy), in_force: Arc::clone(policy), gateway }),
        (None, []) => {
            let all: Vec<&Arc<Policy>> = policies.iter().map(|(_, policy)| policy).collect();
            let broken = if report.errors() > 0 { report.render_with("") } else { String::new() };
            Err(format!("{broken}error: no policy that is in order has the host `{}`; hosts: {}\n", question.host, hosts(&all)))
        }
        (None, several) => Err(format!("error: `{}` is the beginning of several hosts: {}\n", question.host, hosts(several))),
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

fn somebody(question: &Question, around: &Around) -> Result<Known, String> {
    let asked = question.user.as_deref().unwrap_or_default();
    if !asked.contains('@') || Path::new(asked).is_file() {
        if question.by.is_said() {
            return Err("error: a file says itself who is meant: leave --subject, --issuer and --idp out\n".to_owned());
        }
        let identity = person::read(&text_of(Path::new(asked))?, around.idps(), &around.policy);
        return identity.map(|identity| Known { identity, record: None }).map_err(|problem| format!("error: {asked}: {problem}\n"));
    }
    if question.people.is_some() {
        let called = |known: &Known| known.identity.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case(asked));
        let has = |known: &Known| called(known) && question.by.takes(&known.identity);
        return listed(question, around)?
            .people
            .into_iter()
            .find(has)
            .ok_or_else(|| format!("error: nobody among --people has the address {asked}\n"));
    }
    let mut found = recorded(around, async |people: &dyn People| people.by_email(&around.policy.name, asked).await)?;
    found.retain(|known| question.by.takes(&known.identity));
    let first = found.pop().ok_or_else(|| match question.by.no_such_idp(around.idps()) {
        Some(why) => format!("error: {why}\n"),
        None => format!("error: no sign-in with the address {asked} is recorded; --user FILE works for anybody\n"),
    })?;
    if found.is_empty() {
        return Ok(first);
    }
    let line = |known: &Known| format!("  {}   via {}", words(&known.identity), known.identity.idp);
    let lines: Vec<String> = found.iter().chain([&first]).map(line).collect();
    Err(format!("error: {} people have signed in with {asked}; for exactly one of them add:\n{}\n", lines.len(), lines.join("\n")))
}

/// Asks the gateway's own records.
fn recorded<T>(around: &Around, ask: impl AsyncFnOnce(&dyn People) -> Result<T, StoreError>) -> Result<T, String> {
    let gateway =
        around.gateway.as_ref().ok_or("error: the gateway file is not in order, so its records cannot be found; `vestibule check` shows why\n")?;
    let environment: Environment = Arc::new(|name| std::env::var_os(name));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| format!("error: no runtime: {error}\n"))?;
    runtime.block_on(async {
        let store = open(gateway, &environment).await.map_err(|error| {
            format!("error: {error}\n  recorded sign-ins are sealed with [state] key; --user FILE and --people FILE need neither\n")
        })?;
        ask(&Recorded(store)).await.map_err(|error| format!("error: {error}\n"))
    })
}

/// Everybody's records at the application. Whoever is asked about without them, in a file, is told that they were not looked at: seats that are taken and accounts
/// that are others' show only there.
fn others(around: &Around) -> Vec<AccountRecord> {
    if around.policy.provision.is_none() {
        return Vec::new();
    }
    recorded(around, async |people: &dyn People| people.records(&around.policy.name).await).unwrap_or_else(|why| {
        let why = why.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        tell(&format!("note: the accounts of other people are not taken into account (seats, logins that are taken): {why}\n"));
        Vec::new()
    })
}

/// People with the records that are kept of them, beside those of everybody else.
fn with_records(mut all: Everybody, records: Vec<AccountRecord>) -> Everybody {
    for known in &mut all.people {
        let theirs = records.iter().find(|record| record.key.subject == known.identity.subject);
        known.record = theirs.cloned().or(known.record.take());
    }
    all.records = records;
    all
}

fn listed(question: &Question, around: &Around) -> Result<Everybody, String> {
    let Some(path) = &question.people else { return Ok(Everybody::default()) };
    let text = text_of(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(at, line): (usize, &str)| {
        let identity =
            person::read(line, around.idps(), &around.policy).map_err(|problem| format!("error: {}:{}: {problem}\n", path.display(), at + 1))?;
        Ok(Known { identity, record: None })
    };
    Ok(Everybody { people: lines.map(read).collect::<Result<_, String>>()?, ..Everybody::default() })
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
