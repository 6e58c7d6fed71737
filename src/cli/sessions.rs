//! `vestibule sessions`: who is signed in at a running gateway, and the end of it.

use super::socket::{Door, Which as Where};
use super::table::Table;
use super::{COULD_NOT, NO, YES, print, tell};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::session::operators::{Listed, Which};
use crate::source::value::duration_text;
use clap::{Args, Subcommand};
use serde_json::json;

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
        What::Revoke { whose, dry_run: true, json, at } => {
            let which = whose.user.as_ref().map(|user| ("user", user)).or_else(|| whose.id.as_ref().map(|id| ("id", id)));
            list(at, which.map(|(name, value)| (name, value.as_str())), *json)
        }
        What::Revoke { whose, dry_run: false, json, at } => revoke(at, whose, *json),
    }
}

fn list(at: &Where, which: Option<(&str, &str)>, as_json: bool) -> u8 {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some((name, value)) = which {
        query.append_pair(name, value);
    }
    let sessions: Vec<Listed> = match Door::find(at).look(&format!("/api/v1/sessions?{}", query.finish())) {
        Ok(sessions) => sessions,
        Err(failed) => return failed.tell(),
    };
    print(&if as_json { format!("{:#}\n", json!(sessions)) } else { text(&sessions, SystemClock.now()) })
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

fn revoke(at: &Where, whose: &Whose, as_json: bool) -> u8 {
    let which = match (&whose.user, &whose.id, whose.all) {
        (Some(user), ..) => Which::User(user.clone()),
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
