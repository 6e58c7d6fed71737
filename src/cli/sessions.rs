//! `vestibule sessions`: who is signed in at a running gateway, and the end of it.

use super::socket::{Door, Failed, Which as Where};
use super::table::Table;
use super::users::By;
use super::{COULD_NOT, NO, YES, print, tell};
use crate::admin::commands::shell;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::identity::SubjectId;
use crate::session::operators::{Listed, Which};
use crate::source::value::duration_text;
use clap::{Args, Subcommand};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is asked for.
#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Every session, a line each.
    List {
        /// Only of this person: e-mail address, user name or subject.
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: Where,
    },
    /// End sessions: the next request is refused, open streams end at once.
    Revoke {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        by: By,
        /// Say which, and end none.
        #[arg(long)]
        dry_run: bool,
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: Where,
    },
}

/// Whose sessions; exactly one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Whose {
    /// Of this person: e-mail address, user name or subject.
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// The one with this id, as `sessions list` has it.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Everybody's.
    #[arg(long)]
    all: bool,
}

/// Asks, prints; returns the exit code.
pub(super) fn run(what: &What) -> u8 {
    match what {
        What::List { user, json, at } => list(at, user.as_ref().map(|user| ("user", user.as_str())), *json),
        What::Revoke { whose, dry_run: true, json, at, .. } => {
            let which = whose.user.as_ref().map(|user| ("user", user)).or_else(|| whose.id.as_ref().map(|id| ("id", id)));
            list(at, which.map(|(name, value)| (name, value.as_str())), *json)
        }
        What::Revoke { whose, by, dry_run: false, json, at } => revoke(at, whose, by, *json),
    }
}

fn list(at: &Where, which: Option<(&str, &str)>, as_json: bool) -> u8 {
    match found(at, which) {
        Ok(sessions) => print(&if as_json { format!("{:#}\n", json!(sessions)) } else { text(&sessions, SystemClock.now()) }),
        Err(failed) => failed.tell(),
    }
}

fn found(at: &Where, which: Option<(&str, &str)>) -> Result<Vec<Listed>, Failed> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some((name, value)) = which {
        query.append_pair(name, value);
    }
    Door::find(at).look(&format!("/api/v1/sessions?{}", query.finish()))
}

fn text(sessions: &[Listed], now: Timestamp) -> String {
    if sessions.is_empty() {
        return "nobody\n".to_owned();
    }
    let mut table = Table::default();
    table.row(["PERSON", "PROVIDER", "SINCE", "LAST SEEN", "APPS", "ID"].map(str::to_owned));
    let ago = |at: i64| duration_text((now.seconds() - at).max(0).saturating_mul(1000));
    for session in sessions {
        table.row([
            session.who.clone().unwrap_or_else(|| session.subject.clone()),
            session.idp.clone(),
            ago(session.since),
            ago(session.last_seen),
            session.apps.join(" "),
            session.id.clone(),
        ]);
    }
    table.render()
}

fn revoke(at: &Where, whose: &Whose, by: &By, as_json: bool) -> u8 {
    let which = match (&whose.user, &whose.id, whose.all) {
        (Some(user), ..) => match person(at, user, by, as_json) {
            Ok(which) => which,
            Err(code) => return code,
        },
        (None, ..) if by.is_said() => {
            tell("error: --issuer and --idp say whom --user means\n");
            return COULD_NOT;
        }
        (None, Some(id), _) => Which::Id(id.clone()),
        (None, None, true) => Which::All,
        (None, None, false) => {
            tell("error: whose sessions? --user, --id or --all\n");
            return COULD_NOT;
        }
    };
    let ended: Vec<Listed> = match Door::find(at).act("/api/v1/sessions/revoke", &which) {
        Ok(ended) => ended,
        Err(failed) => return failed.tell(),
    };
    let said = match ended.len() {
        _ if as_json => format!("{:#}\n", json!(ended)),
        0 => "There was none.\n".to_owned(),
        count => {
            let sessions = if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") };
            format!("Ended {sessions}. The next request is refused; sign-in at the provider is not affected.\n")
        }
    };
    let printed = print(&said);
    if printed == YES && ended.is_empty() { NO } else { printed }
}

/// The one person whom `--user` means; else it is said whom it could have been, and nothing is ended. The exit code then.
fn person(at: &Where, user: &str, by: &By, as_json: bool) -> Result<Which, u8> {
    let issuer = by.issuer(at)?;
    let sessions = found(at, Some(("user", user))).map_err(|failed| failed.tell())?;
    let mut people = people_of(&sessions, user, issuer.as_deref());
    match (people.pop_first(), people.is_empty()) {
        // Nobody now: whoever has come since is not meant.
        (None, _) => Ok(Which::Person(SubjectId { issuer: issuer.unwrap_or_default(), subject: user.to_owned() })),
        (Some(((issuer, subject), _)), true) => Ok(Which::Person(SubjectId { issuer, subject })),
        (Some((key, who)), false) => {
            people.insert(key, who);
            let further = as_json.then(|| "--json".to_owned()).into_iter().chain(at.words()).collect::<Vec<_>>();
            tell(&candidates(user, &people, &further));
            Err(COULD_NOT)
        }
    }
}

/// By issuer and subject, what those are called whose sessions these are. With an `issuer`, whose subject `user` is comes before whoever else is called so.
fn people_of(sessions: &[Listed], user: &str, issuer: Option<&str>) -> BTreeMap<(String, String), String> {
    let called = |session: &Listed| session.who.clone().unwrap_or_else(|| session.subject.clone());
    let of_issuer = sessions.iter().filter(|session| issuer.is_none_or(|issuer| session.issuer == issuer));
    let mut people: BTreeMap<_, _> = of_issuer.map(|session| ((session.issuer.clone(), session.subject.clone()), called(session))).collect();
    if issuer.is_some() && people.keys().any(|(_, subject)| subject == user) {
        people.retain(|(_, subject), _| subject == user);
    }
    people
}

fn candidates(user: &str, people: &BTreeMap<(String, String), String>, further: &[String]) -> String {
    let mut table = Table::default();
    for ((issuer, subject), who) in people {
        // With `=`, a subject that looks like an option is none.
        let words = [vec![format!("--user={subject}"), "--issuer".to_owned(), issuer.clone()], further.to_vec()].concat();
        let words: Vec<String> = words.iter().map(|word| shell(word)).collect();
        table.row([format!("vestibule sessions revoke {}", words.join(" ")), format!("# {who}")]);
    }
    let mut out =
        format!("error: `{}` is what {} people are called; no session was ended. For exactly one of them:\n", user.escape_debug(), people.len());
    for line in table.render().lines() {
        // Writing to a String cannot fail.
        let _infallible = writeln!(out, "  {line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Listed, candidates, people_of};

    #[test]
    fn an_end_is_for_one_person_or_for_nobody() {
        let session = |issuer: &str, subject: &str, who: &str| Listed {
            id: String::new(),
            who: Some(who.to_owned()),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            idp: "corp".to_owned(),
            since: 0,
            last_seen: 0,
            until: 0,
            apps: Vec::new(),
        };
        let sessions = [
            session("https://a", "bo", "x@a"),
            session("https://a", "bo", "x@a"),
            session("https://a", "s-2", "bo"),
            session("https://b", "-bo", "bo"),
        ];
        let check = |issuer: Option<&str>, expected: &[(&str, &str)]| {
            let people = people_of(&sessions, "bo", issuer);
            let keys: Vec<(&str, &str)> = people.keys().map(|(issuer, subject)| (issuer.as_str(), subject.as_str())).collect();
            assert_eq!(keys, expected, "{issuer:?}");
        };
        check(Some("https://c"), &[]);
        check(None, &[("https://a", "bo"), ("https://a", "s-2"), ("https://b", "-bo")]);
        check(Some("https://a"), &[("https://a", "bo")]);
        check(Some("https://b"), &[("https://b", "-bo")]);
        let said = candidates("bo", &people_of(&sessions, "bo", None), &["--json".to_owned()]);
        assert!(said.starts_with("error: `bo` is what 3 people are called; no session was ended."), "{said}");
        assert!(said.contains("\n  vestibule sessions revoke --user=bo --issuer https://a --json "), "{said}");
        assert!(said.contains("--user=-bo") && said.ends_with("# bo\n"), "{said}");
    }
}
