//! `vestibule audit search`: the events that fit, in any of the formats that `[audit] format` has.

use super::{Files, sealer};
use crate::cli::table::Table;
use crate::cli::{NO, YES, print};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::fault::Incident;
use crate::observe::Pseudonyms;
use crate::observe::audit::rfc3339;
use crate::source::value::duration_ms;
use clap::Args;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead as _, BufReader};

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
}

/// Searches; the exit code: 1 when nothing fits.
pub(super) fn run(files: &Files, wanted: &Wanted, as_json: bool) -> Result<u8, String> {
    let gateway = files.gateway()?;
    let pseudonyms = if gateway.audit.hash && wanted.user.is_some() { Some(Pseudonyms::new(sealer(&gateway)?)) } else { None };
    let query = Query::of(wanted, pseudonyms.as_ref(), SystemClock.now())?;
    let (mut lines, mut table, mut found) = (String::new(), Table::default(), 0_usize);
    table.row(["TIME", "ACTION", "APP", "PERSON", "REASON", "INCIDENT"].map(str::to_owned));
    for path in files.paths(&gateway)? {
        let unread = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
        for line in BufReader::new(File::open(&path).map_err(unread)?).split(b'\n') {
            let line = line.map_err(unread)?;
            // What is no event is the business of `audit verify`.
            let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
            if !query.fits(&event) {
                continue;
            }
            found += 1;
            if as_json {
                lines += &String::from_utf8_lossy(&line);
                lines.push('\n');
            } else {
                table.row([
                    time(&event),
                    text(&event, ACTION),
                    text(&event, APP),
                    text(&event, PERSON),
                    text(&event, REASON),
                    text(&event, INCIDENT),
                ]);
            }
        }
    }
    match (as_json, found) {
        (false, 0) => print("no event fits\n"),
        (false, _) => print(&table.render()),
        (true, _) => print(&lines),
    };
    Ok(if found > 0 { YES } else { NO })
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
        Ok(Self { since, user, incident, app: wanted.app.clone(), action: wanted.action.clone() })
    }

    fn fits(&self, event: &Value) -> bool {
        let is = |wanted: &Option<String>, paths: &[&str]| wanted.as_ref().is_none_or(|wanted| text(event, paths) == *wanted);
        let begins = self.action.as_ref().is_none_or(|wanted| {
            let action = text(event, ACTION);
            action.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let recent = self.since.is_none_or(|since| time(event) >= rfc3339(since));
        let about = self.user.is_empty() || names(event, &self.user);
        is(&self.incident, INCIDENT) && is(&self.app, APP) && begins && recent && about
    }
}

/// Where each of the formats has what: our own, OCSF, ECS. The first that is there counts.
const ACTION: &[&str] = &["metadata.event_code", "event.action", "action"];
const INCIDENT: &[&str] = &["incident", "metadata.correlation_uid", "labels.incident"];
const APP: &[&str] = &["app", "labels.app", "unmapped.app", "dst_endpoint.svc_name", "entity.name", "service.name"];
const REASON: &[&str] = &["reason", "status_detail", "event.reason"];
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
