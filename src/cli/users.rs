//! `vestibule users`: the people a running gateway has made or found accounts for.

use super::socket::{Door, Which as Where};
use super::table::{Table, clean, moment};
use super::{COULD_NOT, NO, print, tell};
use crate::admin::commands::{LeaversOf, Status, Users, Whom, command};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::observe::audit::rfc3339;
use crate::provision::{Left, Listed, Off, Which};
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
        #[command(flatten)]
        which: Narrowed,
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: Where,
    },
    /// Everything that is recorded of one person at one app.
    Show(One),
    /// Say yes to what waits for it: an account, memberships, or that somebody who has left is switched off or removed.
    Approve {
        /// The policy's name.
        app: String,
        /// Subject, login, e-mail address or user name.
        #[arg(required_unless_present = "leavers")]
        person: Option<String>,
        #[command(flatten)]
        by: By,
        /// Everybody who has left this app and waits.
        #[arg(long, conflicts_with_all = ["person", "issuer", "idp"])]
        leavers: bool,
        /// Only if this is what waits; else whatever `show` would say now.
        #[arg(long, value_name = "WHAT", value_parser = ["account", "join", "leave"], conflicts_with = "leavers")]
        awaiting: Option<String>,
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

/// What a list is narrowed down to.
#[derive(Debug, Args)]
#[group(multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "four flags of a command line, one at a time")]
pub(super) struct Narrowed {
    /// Only those whose account could not be prepared, or lacks something.
    #[arg(long)]
    failed: bool,
    /// Only those who wait for an approval.
    #[arg(long)]
    waiting: bool,
    /// Only those whose account somebody changed at the app.
    #[arg(long)]
    drifted: bool,
    /// Only those who have left.
    #[arg(long)]
    left: bool,
}

impl Narrowed {
    fn which(&self) -> Which {
        let asked = [(self.failed, Which::Failed), (self.waiting, Which::Waiting), (self.drifted, Which::Drifted), (self.left, Which::Left)];
        asked.iter().find(|(asked, _)| *asked).map(|(_, which)| *which).unwrap_or_default()
    }
}

/// Who vouches for the person; where several people are called the same.
#[derive(Debug, Args, Default)]
#[group(multiple = false)]
pub(super) struct By {
    /// Issuer (OIDC) or entity id (SAML) of who vouches: PERSON is the subject then, should there be one of that name.
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// The same by its id in the gateway's file.
    #[arg(long, value_name = "NAME")]
    idp: Option<String>,
}

impl By {
    /// Whether any is meant.
    pub(super) const fn is_said(&self) -> bool {
        self.issuer.is_some() || self.idp.is_some()
    }

    /// The issuer that is meant, if one is; the exit code when there is none of that id.
    pub(super) fn issuer(&self, at: &Where) -> Result<Option<String>, u8> {
        match &self.idp {
            Some(idp) => Self::issuer_of(idp, at).map(Some),
            None => Ok(self.issuer.clone()),
        }
    }

    /// The issuer of a provider that the gateway knows by this id.
    fn issuer_of(idp: &str, at: &Where) -> Result<String, u8> {
        let status: Status = Door::find(at).look("/api/v1/status").map_err(|failed| failed.tell())?;
        let known = status.providers.iter().find(|provider| provider.id == idp);
        known.and_then(|provider| provider.issuer.clone()).ok_or_else(|| {
            let ids: Vec<&str> = status.providers.iter().map(|provider| provider.id.as_str()).collect();
            tell(&match known {
                Some(_) => format!("error: the metadata of `{idp}`, which says its entity id, has not been read yet; --issuer takes the entity id\n"),
                None => format!("error: there is no provider `{idp}`; there is {}\n", ids.join(", ")),
            });
            COULD_NOT
        })
    }
}

/// A person at an app.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The policy's name.
    app: String,
    /// Subject, login, e-mail address or user name.
    person: String,
    #[command(flatten)]
    by: By,
    /// For programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: Where,
}

/// Whom a command is about, in the words of its line.
struct Asked<'a> {
    /// What is to be done: `show`, `retry`, …
    deed: &'static str,
    app: &'a str,
    person: &'a str,
    by: &'a By,
    /// What else stands in the line, for the lines that are suggested.
    further: Vec<String>,
    at: &'a Where,
}

/// Asks, prints; returns the exit code.
pub(super) fn run(what: &What) -> u8 {
    match what {
        What::List { app, which, json, at } => list(app.as_deref(), which.which(), *json, at),
        What::Show(one) => match one.asked("show", &[]).found() {
            Ok(user) => show(&user, one.json),
            Err(code) => code,
        },
        What::Approve { app, person: None, json, at, .. } => approve_leavers(app, *json, at),
        What::Approve { app, person: Some(person), by, awaiting, json, at, .. } => {
            let seen = awaiting.iter().flat_map(|what| ["--awaiting".to_owned(), what.clone()]);
            let asked = Asked { deed: "approve", app, person, by, further: seen.chain(further(*json, at)).collect(), at };
            asked.approve(awaiting.as_deref(), *json)
        }
        What::Relink { one, account } => {
            let asked = one.asked("relink", &["--account", account]);
            asked.act(Some(account), one.json, "linked to this account, which is looked at by the person's next request")
        }
        What::Retry(one) => one.asked("retry", &[]).act(None, one.json, "the next request of this person tries again"),
        What::Forget { one, yes } => forget(one, *yes),
    }
}

impl One {
    fn asked(&self, deed: &'static str, further_words: &[&str]) -> Asked<'_> {
        let mut words: Vec<String> = further_words.iter().map(|&word| word.to_owned()).collect();
        words.extend(further(self.json, &self.at));
        Asked { deed, app: &self.app, person: &self.person, by: &self.by, further: words, at: &self.at }
    }
}

/// What a line that is suggested has in common with the one that was written.
fn further(json: bool, at: &Where) -> Vec<String> {
    json.then(|| "--json".to_owned()).into_iter().chain(at.words()).collect()
}

impl Asked<'_> {
    /// The one person who is meant; else it is said whom it could have been, and nothing is done. The exit code then.
    fn found(&self) -> Result<Listed, u8> {
        let issuer = self.by.issuer(self.at)?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("app", self.app).append_pair("person", self.person);
        if let Some(issuer) = &issuer {
            query.append_pair("issuer", issuer);
        }
        let users: Users = Door::find(self.at).look(&format!("/api/v1/users?{}", query.finish())).map_err(|failed| failed.tell())?;
        match <[Listed; 1]>::try_from(users) {
            Ok([user]) => Ok(user),
            Err(users) => {
                tell(&candidates(self.deed, self.app, self.person, &users, &self.further));
                Err(COULD_NOT)
            }
        }
    }

    /// Says yes to what waits, or to this alone; and says what it was.
    fn approve(&self, only: Option<&str>, as_json: bool) -> u8 {
        let user = match self.found() {
            Ok(user) => user,
            Err(code) => return code,
        };
        let awaiting = match only {
            Some(only) => serde_json::from_value(Value::from(only)).ok(),
            None => user.awaiting,
        };
        let what = word(&json!(awaiting));
        let said = format!("approved ({what}): it takes effect at the next request, within 5 minutes on an open session");
        act(self.at, self.deed, &Whom { awaiting, ..Whom::of(&user) }, as_json, &said)
    }

    /// Does it to exactly the person who is meant.
    fn act(&self, account: Option<&str>, as_json: bool, said: &str) -> u8 {
        match self.found() {
            Ok(user) => act(self.at, self.deed, &Whom { account: account.map(str::to_owned), ..Whom::of(&user) }, as_json, said),
            Err(code) => code,
        }
    }
}

/// Words that fit several people: whom, and the line that means each of them and nobody else.
fn candidates(deed: &str, app: &str, person: &str, users: &[Listed], further: &[String]) -> String {
    let mut table = Table::default();
    for user in users {
        let account = user.login.as_ref().map_or_else(|| "no account yet".to_owned(), |login| format!("account {login}"));
        let who = user.who.as_deref().unwrap_or(&user.subject);
        table.row([command(deed, user, further), format!("# {who}, {account}, {}", word(&json!(user.state)))]);
    }
    let mut out = format!("error: `{}` fits {} people at {app}; nothing was done. For exactly one of them:\n", person.escape_debug(), users.len());
    for line in table.render().lines() {
        // Writing to a String cannot fail.
        let _infallible = writeln!(out, "  {line}");
    }
    out
}

fn list(app: Option<&str>, which: Which, as_json: bool, at: &Where) -> u8 {
    let which = Which::ALL.iter().find(|(known, _)| *known == which).map_or("all", |(_, word)| word);
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
        let since = since(user).map(|at| duration_text((now.seconds() - at).max(0).saturating_mul(1000))).unwrap_or_default();
        table.row([
            user.app.clone(),
            user.who.clone().unwrap_or_else(|| user.subject.clone()),
            user.login.clone().unwrap_or_else(|| "-".to_owned()),
            word(&json!(user.state)),
            since,
            if user.attempts == 0 { String::new() } else { user.attempts.to_string() },
            reason(user),
        ]);
    }
    table.render()
}

/// Since when it is so, seconds since the epoch: of somebody who has left, since they have.
fn since(user: &Listed) -> Option<i64> {
    user.left.as_ref().map(|left| left.at_ms.div_euclid(1000)).filter(|_| user.state.has_left()).or(user.failed_at)
}

/// Why somebody should look: what failed, what waits, what was changed by others. Why they have left comes before all that, where they have.
fn reason(user: &Listed) -> String {
    let waits = user.awaiting.map(|what| format!("waits for a yes: {}", word(&json!(what))));
    let drift = || (!user.drift.is_empty()).then(|| format!("changed at the app: {}", user.drift.join("; ")));
    let left = user.left.as_ref().map(|left| format!("left: {}", left.why));
    let other = user.last_error.clone().or(waits).or_else(drift);
    let parts = if user.state.has_left() { [left, other] } else { [other.or(left), None] };
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// A state as people read it: `awaiting_approval` as `awaiting approval`.
fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('_', " ")
}

fn show(user: &Listed, as_json: bool) -> u8 {
    if as_json {
        return print(&format!("{:#}\n", json!([user])));
    }
    print(&shown(user, SystemClock.now()))
}

/// A record, a line for each part of it that there is.
fn shown(user: &Listed, now: Timestamp) -> String {
    let mut out = String::new();
    for (name, value) in json!(user).as_object().into_iter().flatten() {
        let said = match name.as_str() {
            "left" => user.left.as_ref().map(|left| departure(left, now)),
            "state" | "awaiting" | "origin" => value.as_str().map(|_| word(value)),
            time if time.ends_with("_at") => value.as_i64().map(|at| moment(&rfc3339(Timestamp::from_seconds(at)), now)),
            _ => plain(value),
        };
        if let Some(said) = said {
            // Writing to a String cannot fail.
            let _infallible = writeln!(out, "{:<16} {}", name.replace('_', " "), clean(&said));
        }
    }
    out
}

/// A value in words: a list with commas, a table as `group: Developers`; nothing for what is empty.
fn plain(value: &Value) -> Option<String> {
    let said = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(values) => values.iter().filter_map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| Some(format!("{name}: {}", plain(value)?));
            fields.iter().filter_map(field).collect::<Vec<_>>().join("; ")
        }
    };
    (!said.is_empty()).then_some(said)
}

/// When and why somebody left, and what came of it at the app.
fn departure(left: &Left, now: Timestamp) -> String {
    let off = match left.off {
        Some(Off::Done) => "the account is off, or gone",
        Some(Off::Unsupported) => "this app cannot switch it off: only the gateway's door is shut",
        Some(Off::Before) => "it was off already, and not by this gateway",
        Some(Off::Refused) => "it was not switched off or removed: only the gateway's door is shut",
        None => "nothing yet at the app",
    };
    format!("{}, {}; {off}", moment(&rfc3339(Timestamp::from_millis(left.at_ms)), now), left.why)
}

fn approve_leavers(app: &str, as_json: bool, at: &Where) -> u8 {
    let users: Users = match Door::find(at).act("/api/v1/users/approve-leavers", &LeaversOf { app: app.to_owned() }) {
        Ok(users) => users,
        Err(failed) => return failed.tell(),
    };
    if as_json {
        return print(&format!("{:#}\n", json!(users)));
    }
    if users.is_empty() {
        return print(&format!("{app}: nobody waits\n"));
    }
    let waiting = users.iter().filter(|user| user.awaiting.is_some()).count();
    let said = format!("{app}: approved for {} people; they are switched off, or removed, within a minute or two\n", users.len() - waiting);
    let busy = format!("{waiting} more are being worked on at this moment and wait on: say it once more\n");
    print(&if waiting > 0 { said + &busy } else { said })
}

fn act(at: &Where, deed: &str, whom: &Whom, as_json: bool, said: &str) -> u8 {
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
    let asked = one.asked("forget", if yes { &["--yes"] } else { &[] });
    let user = match asked.found() {
        Ok(user) => user,
        Err(code) => return code,
    };
    if !yes {
        let who = user.who.as_deref().unwrap_or(&user.subject);
        tell(&format!(
            "Forgets the gateway's record of {who} only; the account in {} stays. The next sign-in is treated as a first one (on_existing decides).\nContinue? [y/N] ",
            user.app
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
    act(&one.at, "forget", &Whom::of(&user), one.json, "forgotten")
}

#[cfg(test)]
mod tests {
    use super::{candidates, shown, text};
    use crate::clock::Timestamp;
    use crate::identity::SubjectId;
    use crate::provision::{Left, Listed, Off};
    use crate::state::{AccountKey, AccountRecord, AccountState};

    #[test]
    fn the_readme_knows_every_command_about_people() {
        use clap::Subcommand as _;
        let readme = include_str!("../../README.md");
        let commands = super::What::augment_subcommands(clap::Command::new("users"));
        let names: Vec<&str> = commands.get_subcommands().map(clap::Command::get_name).collect();
        assert!(names.len() >= 6, "{names:?}");
        for name in names {
            assert!(readme.contains(&format!("`vestibule users {name} ")), "{name}");
        }
    }

    /// Who left an hour ago, and whose account somebody changed since.
    fn gone(now: Timestamp) -> Listed {
        let subject = SubjectId { issuer: "https://a.example".to_owned(), subject: "ada".to_owned() };
        let key = AccountKey { upstream: "wiki".to_owned(), subject };
        let left = Left {
            at_ms: now.plus_ms(-3_600_000).millis(),
            why: "idle".to_owned(),
            off: Some(Off::Done),
            off_ms: None,
            sent: false,
            how: None,
            next_ms: 0,
            may_go: false,
        };
        Listed {
            drift: vec!["email".to_owned()],
            left: Some(left),
            ..Listed::of(&AccountRecord { state: AccountState::Suspended, ..AccountRecord::empty(key, "r1") })
        }
    }

    #[test]
    fn of_who_has_left_it_is_told_why_and_since_when() {
        let now = Timestamp::from_seconds(1_795_343_725);
        let check = |user: Listed, since: &str, reason: &str| {
            let told = text(std::slice::from_ref(&user), now);
            let line = told.lines().nth(1).unwrap().trim_end();
            assert!(line.ends_with(reason) && line.contains(&format!("   {since}   ")), "{told}");
        };
        check(gone(now), "1h", "left: idle; changed at the app: email");
        check(Listed { drift: Vec::new(), last_error: Some("disable: 500".to_owned()), ..gone(now) }, "1h", "left: idle; disable: 500");
        // Who has come back has not left, whatever is remembered.
        let back = Listed { state: AccountState::Conflict, failed_at: Some(now.seconds() - 120), ..gone(now) };
        check(back, "2m", " changed at the app: email");
    }

    #[test]
    fn a_record_is_shown_in_words_that_steer_no_terminal() {
        let now = Timestamp::from_seconds(1_795_343_725);
        let granted = [("group", vec!["Developers", "Ops"]), ("org", vec!["1"])];
        let user = Listed {
            last_error: Some("somebody else's \"id\" \u{1b}[2J".to_owned()),
            granted: granted.map(|(kind, names)| (kind.to_owned(), names.into_iter().map(str::to_owned).collect())).into(),
            failed_at: Some(1_795_343_725),
            verified_at: Some(1_795_257_325),
            drift: Vec::new(),
            ..gone(now)
        };
        let told = shown(&user, now);
        for line in [
            "last error       somebody else's \"id\" \u{fffd}[2J",
            "granted          group: Developers, Ops; org: 1",
            "left             09:35 UTC, idle; the account is off, or gone",
            "verified at      2026-11-21 10:35 UTC",
            "failed at        10:35 UTC",
            "state            suspended",
        ] {
            assert!(told.lines().any(|found| found == line), "{line:?}: {told}");
        }
        assert!(!told.contains("drift") && !told.contains("awaiting"), "{told}");
    }

    #[test]
    fn words_that_fit_several_people_do_nothing_and_say_whom_they_could_mean() {
        let user = |issuer: &str, subject: &str, login: Option<&str>, state: AccountState| {
            let subject = SubjectId { issuer: issuer.to_owned(), subject: subject.to_owned() };
            let key = AccountKey { upstream: "wiki".to_owned(), subject };
            Listed::of(&AccountRecord { login: login.map(str::to_owned), state, ..AccountRecord::empty(key, "r1") })
        };
        let users = [
            user("https://a.example", "ada", Some("ada"), AccountState::Active),
            user("https://b.example/x y", "ada", None, AccountState::AwaitingApproval),
        ];
        let check = |further: &[String], expected: &str| assert_eq!(candidates("forget", "wiki", "ada", &users, further), expected);
        check(
            &[],
            "error: `ada` fits 2 people at wiki; nothing was done. For exactly one of them:\n  \
             vestibule users forget wiki ada --issuer https://a.example         # ada, account ada, active\n  \
             vestibule users forget wiki ada --issuer 'https://b.example/x y'   # ada, no account yet, awaiting approval\n",
        );
        let further = ["--yes", "--socket", "/run/v 1"].map(str::to_owned);
        assert!(candidates("forget", "wiki", "ada", &users, &further).contains("https://a.example --yes --socket '/run/v 1' "));
    }
}
