//! `vestibule audit search`: the events that fit, in any of the formats that `[audit] format` has.
//!
//! Not every event carries an address. Whoever is looked for by theirs is found in all of them: the files are read twice, and by the first reading it is known under which
//! subjects the address was seen.

use super::{Files, sealer};
use crate::admin::commands::no_app;
use crate::cli::table::Table;
use crate::cli::{NO, YES, print};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::fault::Incident;
use crate::load;
use crate::observe::Pseudonyms;
use crate::observe::audit::rfc3339;
use crate::source::value::duration_ms;
use clap::Args;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// Subjects that one address stands for, and apps that are named, at most: an address of more is everybody's.
const KNOWN_MAX: usize = 1_000;

/// What is looked for; all of it must fit.
#[derive(Debug, Args)]
pub(in crate::cli) struct Wanted {
    /// Not older than this: `2h`, `7d`.
    #[arg(long, value_name = "DURATION")]
    since: Option<String>,
    /// About this person: e-mail address, subject or login.
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// The incident code that a page showed.
    #[arg(long, value_name = "CODE")]
    incident: Option<String>,
    /// Of this app, a policy's name.
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// What happened, or the beginning of it: `access.denied`, `account`.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
}

/// What is looked for, ready to be compared.
#[derive(Debug, Default)]
struct Query {
    since: Option<Timestamp>,
    /// Lower case, in every spelling that the file may have.
    user: Vec<String>,
    incident: Option<String>,
    app: Option<String>,
    action: Option<String>,
    /// Under which names the address of `user` was seen.
    people: People,
}

/// Searches; the exit code: 1 when nothing fits.
pub(super) fn run(files: &Files, wanted: &Wanted, as_json: bool) -> Result<u8, String> {
    let gateway = files.gateway()?;
    let pseudonyms = if gateway.audit.hash && wanted.user.is_some() { Some(Pseudonyms::new(sealer(&gateway)?)) } else { None };
    let mut query = Query::of(wanted, pseudonyms.as_ref(), SystemClock.now())?;
    let paths = files.paths(&gateway)?;
    if !query.user.is_empty() {
        if let Some(path) = paths.iter().find(|path| path.exists() && !path.is_file()) {
            return Err(format!("{} can be read only once, and to find a person the files are read twice: write it to a file first", path.display()));
        }
        query.people.providers = gateway.idps.iter().filter(|idp| !idp.issuer.is_empty()).map(|idp| (idp.id.clone(), idp.issuer.clone())).collect();
        each_event(&paths, |_, event| query.people.see(event, &query.user))?;
    }
    let (mut lines, mut table, mut found, mut apps) = (String::new(), Table::default(), 0_usize, BTreeSet::new());
    table.row(["TIME", "ACTION", "APP", "PERSON", "REASON", "INCIDENT"].map(str::to_owned));
    each_event(&paths, |line, event| {
        if apps.len() < KNOWN_MAX && query.app.is_some() {
            apps.insert(text(event, APP));
        }
        if !query.fits(event) {
            return;
        }
        found += 1;
        if as_json {
            lines += &String::from_utf8_lossy(line);
            lines.push('\n');
        } else {
            table.row([time(event), text(event, ACTION), text(event, APP), text(event, PERSON), text(event, REASON), text(event, INCIDENT)]);
        }
    })?;
    if let (0, Some(app)) = (found, &query.app) {
        let policies = load::files(&files.config).into_iter().skip(1);
        apps.extend(policies.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())));
        apps.remove("");
        if !apps.contains(app) {
            return Err(no_app(app, &apps));
        }
    }
    match (as_json, found) {
        (false, 0) => print("no event fits\n"),
        (false, _) => print(&table.render()),
        (true, _) => print(&lines),
    };
    Ok(if found > 0 { YES } else { NO })
}

/// Shows every event of the files in order, with its line.
fn each_event(paths: &[PathBuf], mut show: impl FnMut(&[u8], &Value)) -> Result<(), String> {
    for path in paths {
        each_of(path, &mut show).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    }
    Ok(())
}

fn each_of(path: &Path, show: &mut impl FnMut(&[u8], &Value)) -> std::io::Result<()> {
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        let line = line?;
        // What is no event is the business of `audit verify`.
        if let Ok(event) = serde_json::from_slice::<Value>(&line) {
            show(&line, &event);
        }
    }
    Ok(())
}

/// Who goes by an address: their subjects, each with who vouches for it, as events name that: by issuer, by provider, or by neither.
#[derive(Debug, Default)]
struct People {
    /// Issuers by the id of the provider, as far as the gateway's file and the events say them.
    providers: BTreeMap<String, String>,
    seen: BTreeSet<Named>,
}

/// A subject, by issuer and by provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    subject: String,
    issuer: String,
    idp: String,
}

impl People {
    /// Learns from an event: of an address that is one of `wanted`, whose it is.
    fn see(&mut self, event: &Value, wanted: &[String]) {
        let named = Named::of(event);
        if !named.idp.is_empty() && !named.issuer.is_empty() && self.providers.len() < KNOWN_MAX {
            self.providers.entry(named.idp.clone()).or_insert_with(|| named.issuer.clone());
        }
        let is_wanted = wanted.contains(&text(event, EMAIL).to_lowercase());
        if is_wanted && !named.subject.is_empty() && self.seen.len() < KNOWN_MAX {
            self.seen.insert(named);
        }
    }

    /// Whether an event is about one of them.
    fn have(&self, event: &Value) -> bool {
        let named = Named::of(event);
        !self.seen.is_empty() && self.seen.iter().any(|seen| seen.subject == named.subject && self.same_issuer(seen, &named))
    }

    /// Whether the same provider vouches, as far as the two say which.
    fn same_issuer(&self, one: &Named, other: &Named) -> bool {
        let issuer = |named: &Named| {
            if named.issuer.is_empty() { self.providers.get(&named.idp).cloned() } else { Some(named.issuer.clone()) }
        };
        match (issuer(one), issuer(other)) {
            (Some(one), Some(other)) => one == other,
            // A provider of which nothing is known but its id.
            _ => one.idp == other.idp,
        }
    }
}

impl Named {
    fn of(event: &Value) -> Self {
        Self { subject: text(event, SUBJECT), issuer: text(event, ISSUER), idp: text(event, IDP) }
    }
}

impl Query {
    fn of(wanted: &Wanted, pseudonyms: Option<&Pseudonyms>, now: Timestamp) -> Result<Self, String> {
        let since = match &wanted.since {
            None => None,
            Some(written) => {
                let ms = duration_ms(written).ok_or_else(|| format!("--since {written}: a duration, such as 2h or 7d"))?;
                Some(now.plus_ms(-ms))
            }
        };
        let incident = match &wanted.incident {
            None => None,
            Some(written) => Some(Incident::parse(written).ok_or_else(|| format!("--incident {written}: a code, such as 7KQ4-M2XD"))?.to_string()),
        };
        let mut user: Vec<String> = wanted.user.iter().map(|user| user.to_lowercase()).collect();
        // A pseudonym is that of one spelling: as asked for, and as addresses are mostly written.
        let spellings = wanted.user.iter().flat_map(|written| [written.clone(), written.to_lowercase()]);
        user.extend(pseudonyms.into_iter().flat_map(|pseudonyms| spellings.clone().map(|spelling| pseudonyms.of(&spelling))));
        Ok(Self { since, user, incident, app: wanted.app.clone(), action: wanted.action.clone(), people: People::default() })
    }

    fn fits(&self, event: &Value) -> bool {
        let is = |wanted: &Option<String>, paths: &[&str]| wanted.as_ref().is_none_or(|wanted| text(event, paths) == *wanted);
        let begins = self.action.as_ref().is_none_or(|wanted| {
            let action = text(event, ACTION);
            action.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let recent = self.since.is_none_or(|since| time(event) >= rfc3339(since));
        let about = self.user.is_empty() || names(event, &self.user) || self.people.have(event);
        is(&self.incident, INCIDENT) && is(&self.app, APP) && begins && recent && about
    }
}

/// Where each of the formats has what: our own, OCSF, ECS. The first that is there counts.
const ACTION: &[&str] = &["metadata.event_code", "event.action", "action"];
const INCIDENT: &[&str] = &["incident", "metadata.correlation_uid", "labels.incident"];
const APP: &[&str] = &["app", "labels.app", "unmapped.app", "dst_endpoint.svc_name", "entity.name", "service.name"];
const REASON: &[&str] = &["reason", "status_detail", "event.reason"];
const EMAIL: &[&str] = &["user.email", "user.email_addr", "actor.user.email_addr", "user.target.email"];
const SUBJECT: &[&str] = &["user.sub", "user.uid", "actor.user.uid", "user.id", "user.target.id", "unmapped.user.sub", "labels.user_sub"];
const ISSUER: &[&str] = &["user.iss", "user.domain", "actor.user.domain", "unmapped.user.iss", "labels.user_iss"];
const IDP: &[&str] = &["idp", "actor.idp.name", "unmapped.idp", "labels.idp"];
const PERSON: &[&str] = &[
    "user.email",
    "user.email_addr",
    "actor.user.email_addr",
    "user.target.email",
    "user.sub",
    "user.uid",
    "actor.user.uid",
    "user.id",
    "user.target.id",
    "account.login",
    "operator",
    "unmapped.operator",
    "labels.operator",
];

/// The text at the first of `paths` that has one.
fn text(event: &Value, paths: &[&str]) -> String {
    let at = |path: &&str| path.split('.').try_fold(event, |value, key| value.get(key)).and_then(Value::as_str);
    paths.iter().find_map(at).unwrap_or_default().to_owned()
}

/// RFC 3339, whichever way it was written.
fn time(event: &Value) -> String {
    match event.get("time").or_else(|| event.get("@timestamp")) {
        Some(Value::Number(ms)) => ms.as_i64().map(|ms| rfc3339(Timestamp::from_millis(ms))).unwrap_or_default(),
        Some(Value::String(written)) => written.clone(),
        _ => String::new(),
    }
}

/// Whether any text of the event is one of `wanted`, letter case aside.
fn names(value: &Value, wanted: &[String]) -> bool {
    match value {
        Value::String(text) => wanted.iter().any(|name| *name == text.to_lowercase()),
        Value::Array(values) => values.iter().any(|value| names(value, wanted)),
        Value::Object(fields) => fields.values().any(|value| names(value, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Query, Wanted};
    use crate::clock::Timestamp;
    use serde_json::{Value, json};

    fn wanted() -> Wanted {
        Wanted { since: None, user: None, incident: None, app: None, action: None }
    }

    #[test]
    fn an_address_is_found_under_its_subjects_and_nobody_elses() {
        /// A line, from subject, issuer, provider and address.
        type Format = fn(&str, &str, &str, &str) -> Value;
        let formats: [Format; 3] = [
            |sub, iss, idp, email| json!({"action": "x", "idp": idp, "user": {"sub": sub, "iss": iss, "email": email}}),
            |sub, iss, idp, email| json!({"metadata": {"event_code": "x"}, "user": {"uid": sub, "domain": iss, "email_addr": email}, "actor": {"idp": {"name": idp}}}),
            |sub, iss, idp, email| json!({"event": {"action": "x"}, "user": {"id": sub, "email": email}, "labels": {"user_iss": iss, "idp": idp}}),
        ];
        for event in formats {
            let mut query = Query::of(&Wanted { user: Some("Ada@example.com".to_owned()), ..wanted() }, None, Timestamp::default()).unwrap();
            query.people.providers.insert("corp".to_owned(), "https://a".to_owned());
            for seen in [
                event("s-1", "https://a", "", "ADA@example.com"),
                event("s-2", "", "partner", "ada@example.com"),
                event("s-3", "https://a", "", "bo@example.com"),
            ] {
                query.people.see(&seen, &query.user);
            }
            let check = |sub: &str, iss: &str, idp: &str, expected: bool| {
                assert_eq!(query.fits(&event(sub, iss, idp, "")), expected, "{}", event(sub, iss, idp, ""));
            };
            check("s-1", "https://a", "", true);
            check("s-1", "", "corp", true);
            check("s-1", "https://b", "", false);
            check("s-1", "", "partner", false);
            check("s-2", "", "partner", true);
            check("s-2", "https://a", "", false);
            check("s-3", "https://a", "", false);
            check("", "", "", false);
        }
    }

    #[test]
    fn an_event_fits_in_every_format_or_in_none() {
        let now = Timestamp::from_millis(1_795_299_617_123);
        let formats = [
            json!({"time": "2026-11-21T22:20:17.123Z", "action": "access.denied", "app": "wiki", "incident": "7KQ4-M2XD", "user": {"sub": "s-1", "email": "Ada@example.com"}}),
            json!({"time": 1_795_299_617_123_i64, "action": "Denied", "metadata": {"event_code": "access.denied", "correlation_uid": "7KQ4-M2XD"},
                "dst_endpoint": {"svc_name": "wiki"}, "actor": {"user": {"uid": "s-1", "email_addr": "Ada@example.com"}}}),
            json!({"@timestamp": "2026-11-21T22:20:17.123Z", "event": {"action": "access.denied"}, "labels": {"app": "wiki", "incident": "7KQ4-M2XD"},
                "service": {"name": "vestibule"}, "user": {"id": "s-1", "email": "Ada@example.com"}}),
        ];
        let check = |wanted: Wanted, expected: bool| {
            let query = Query::of(&wanted, None, now.plus_ms(3_600_000)).unwrap();
            for event in &formats {
                assert_eq!(query.fits(event), expected, "{wanted:?} {event}");
            }
        };
        let some = |text: &str| Some(text.to_owned());
        check(wanted(), true);
        check(Wanted { since: some("59m"), ..wanted() }, false);
        check(Wanted { since: some("61m"), ..wanted() }, true);
        check(Wanted { user: some("bob@example.com"), ..wanted() }, false);
        check(Wanted { user: some("ada@EXAMPLE.com"), ..wanted() }, true);
        check(Wanted { user: some("s-1"), ..wanted() }, true);
        check(Wanted { user: some("s-"), ..wanted() }, false);
        check(Wanted { incident: some("7kq4 m2xd"), ..wanted() }, true);
        check(Wanted { incident: some("7KQ4-M2XE"), ..wanted() }, false);
        check(Wanted { app: some("wiki"), ..wanted() }, true);
        check(Wanted { app: some("vestibule"), ..wanted() }, false);
        check(Wanted { action: some("access"), ..wanted() }, true);
        check(Wanted { action: some("acc"), ..wanted() }, false);
        check(Wanted { action: some("access.denied"), user: some("s-1"), app: some("crm"), ..wanted() }, false);
        assert!(Query::of(&Wanted { since: some("2 hours ago"), ..wanted() }, None, now).is_err());
        assert!(Query::of(&Wanted { incident: some("7KQ4"), ..wanted() }, None, now).is_err());
        assert!(!Query::of(&Wanted { user: some("x"), ..wanted() }, None, now).unwrap().fits(&Value::Null));
    }
}
