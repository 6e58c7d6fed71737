//! `vestibule users`: the people a running gateway has made or found accounts for.

use super::socket::{Door, Which as Where};
use super::table::Table;
use super::{COULD_NOT, NO, YES, print, tell};
use crate::admin::commands::{Users, Whom};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::provision::Listed;
use crate::source::value::duration_text;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _};

/// What is asked for.
#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Everybody, a line each.
    List {
        /// Only of this app (the policy's name).
        app: Option<String>,
        /// Only those whose account could not be prepared.
        #[arg(long, conflicts_with = "waiting")]
        failed: bool,
        /// Only those who wait for an approval.
        #[arg(long)]
        waiting: bool,
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: Where,
    },
    /// Everything that is recorded of one person at one app.
    Show(One),
    /// Say yes to what waits for it: an account, memberships, or that somebody who has left is switched off.
    Approve {
        /// The policy's name.
        app: String,
        /// Subject, login, e-mail address or user name.
        #[arg(required_unless_present = "leavers")]
        person: Option<String>,
        /// Everybody who has left this app and waits.
        #[arg(long, conflicts_with = "person")]
        leavers: bool,
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: Where,
    },
    /// Say that another account at the app is this person's.
    Relink {
        #[command(flatten)]
        one: One,
        /// The app's id of the account.
        #[arg(long, value_name = "ID")]
        account: String,
    },
    /// Try again at the person's next request, whatever failed.
    Retry(One),
    /// Forget the gateway's record; the account in the app stays.
    Forget {
        #[command(flatten)]
        one: One,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// A person at an app.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The policy's name.
    app: String,
    /// Subject, login, e-mail address or user name.
    person: String,
    /// For programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: Where,
}

/// Asks, prints; returns the exit code.
pub(super) fn run(what: &What) -> u8 {
    match what {
        What::List { app, failed, waiting, json, at } => list(app.as_deref(), *failed, *waiting, *json, at),
        What::Show(one) => show(one),
        What::Approve { app, person: None, json, at, .. } => approve_leavers(app, *json, at),
        What::Approve { app, person: Some(person), json, at, .. } => {
            let whom = Whom { app: app.clone(), person: person.clone(), account: None };
            act(at, &whom, "approve", *json, "approved: it takes effect at the next request, within 5 minutes on an open session")
        }
        What::Relink { one, account } => {
            let whom = Whom { account: Some(account.clone()), ..one.whom() };
            act(&one.at, &whom, "relink", one.json, "linked to this account, which is looked at by the person's next request")
        }
        What::Retry(one) => act(&one.at, &one.whom(), "retry", one.json, "the next request of this person tries again"),
        What::Forget { one, yes } => forget(one, *yes),
    }
}

fn list(app: Option<&str>, failed: bool, waiting: bool, as_json: bool, at: &Where) -> u8 {
    let which = if failed {
        "failed"
    } else if waiting {
        "waiting"
    } else {
        "all"
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("which", which);
    if let Some(app) = app {
        query.append_pair("app", app);
    }
    let users: Users = match Door::find(at).look(&format!("/api/v1/users?{}", query.finish())) {
        Ok(users) => users,
        Err(failed) => return failed.tell(),
    };
    if as_json {
        return print(&format!("{:#}\n", json!(users)));
    }
    print(&text(&users, SystemClock.now()))
}

fn text(users: &[Listed], now: Timestamp) -> String {
    if users.is_empty() {
        return "nobody\n".to_owned();
    }
    let mut table = Table::default();
    table.row(["APP", "PERSON", "ACCOUNT", "STATE", "SINCE", "TRIES", "REASON"].map(str::to_owned));
    for user in users {
        let since = user.failed_at.map(|at| duration_text((now.seconds() - at).max(0).saturating_mul(1000))).unwrap_or_default();
        let waits = user.awaiting.map(|what| format!("waits for a yes: {}", word(&json!(what)))).unwrap_or_default();
        table.row([
            user.app.clone(),
            user.who.clone().unwrap_or_else(|| user.subject.clone()),
            user.login.clone().unwrap_or_else(|| "-".to_owned()),
            word(&json!(user.state)),
            since,
            if user.attempts == 0 { String::new() } else { user.attempts.to_string() },
            user.last_error.clone().unwrap_or(waits),
        ]);
    }
    table.render()
}

/// A state as people read it: `awaiting_approval` as `awaiting approval`.
fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('_', " ")
}

fn show(one: &One) -> u8 {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("app", &one.app).append_pair("person", &one.person).finish();
    let users: Users = match Door::find(&one.at).look(&format!("/api/v1/users?{query}")) {
        Ok(users) => users,
        Err(failed) => return failed.tell(),
    };
    if one.json {
        return print(&format!("{:#}\n", json!(users)));
    }
    let mut out = String::new();
    for (name, value) in users.iter().filter_map(|user| json!(user).as_object().cloned()).flatten() {
        if value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty) {
            continue;
        }
        let said = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Writing to a String cannot fail.
        let _infallible = writeln!(out, "{:<16} {}", name.replace('_', " "), said.escape_debug());
    }
    print(&out)
}

impl One {
    fn whom(&self) -> Whom {
        Whom { app: self.app.clone(), person: self.person.clone(), account: None }
    }
}

fn approve_leavers(app: &str, as_json: bool, at: &Where) -> u8 {
    let whom = Whom { app: app.to_owned(), person: String::new(), account: None };
    let users: Users = match Door::find(at).act("/api/v1/users/approve-leavers", &whom) {
        Ok(users) => users,
        Err(failed) => return failed.tell(),
    };
    if as_json {
        return print(&format!("{:#}\n", json!(users)));
    }
    print(&format!("{app}: approved for {} people; they are switched off within a minute or two\n", users.len()))
}

fn act(at: &Where, whom: &Whom, deed: &str, as_json: bool, said: &str) -> u8 {
    let user: Listed = match Door::find(at).act(&format!("/api/v1/users/{deed}"), whom) {
        Ok(user) => user,
        Err(failed) => return failed.tell(),
    };
    if as_json {
        return print(&format!("{:#}\n", json!(user)));
    }
    print(&format!("{} {}: {said}\n", user.app, user.who.as_deref().unwrap_or(&user.subject)))
}

fn forget(one: &One, yes: bool) -> u8 {
    if !yes {
        tell(&format!(
            "Forgets the gateway's record of {} only; the account in {} stays. The next sign-in is treated as a first one (on_existing decides).\nContinue? [y/N] ",
            one.person, one.app
        ));
        if !io::stdin().is_terminal() {
            tell("\nerror: nobody is there to answer; --yes says it beforehand\n");
            return COULD_NOT;
        }
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer).is_err() || !matches!(answer.trim(), "y" | "Y" | "yes") {
            return NO;
        }
    }
    let done = act(&one.at, &one.whom(), "forget", one.json, "forgotten");
    if done == YES { YES } else { done }
}
