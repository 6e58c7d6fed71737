//! `vestibule reload`: check, then swap; or say why not.

use super::socket::{Door, Which};
use super::table::{Table, moment};
use super::{COULD_NOT, NO, YES};
use crate::admin::commands::{Change, Entry, Reloaded};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use serde_json::json;
use std::io::{self, Write as _};

/// Asks a gateway that runs to load its configuration again, and prints what came of it; returns the exit code.
pub(super) fn run(which: &Which, as_json: bool) -> u8 {
    let reloaded: Reloaded = match Door::find(which).act("/api/v1/reload", &json!({})) {
        Ok(reloaded) => reloaded,
        Err(failed) => return failed.tell(),
    };
    let text = if as_json { format!("{:#}\n", json!(reloaded)) } else { text(&reloaded, SystemClock.now()) };
    if io::stdout().lock().write_all(text.as_bytes()).is_err() {
        return COULD_NOT;
    }
    if reloaded.ok { YES } else { NO }
}

/// A line for each file, what is wrong, and what waits for a restart.
fn text(reloaded: &Reloaded, now: Timestamp) -> String {
    let mut table = Table::default();
    for entry in &reloaded.entries {
        table.row([entry.file.clone(), changed(entry.change).to_owned(), checked(entry), outcome(entry, now)]);
    }
    let mut out = table.render();
    if reloaded.entries.is_empty() {
        out += "nothing has changed\n";
    }
    if !reloaded.restart.is_empty() {
        out.extend(["only a restart changes ", &reloaded.restart.join(", "), "\n"]);
    }
    if !reloaded.problems.is_empty() {
        out += "\n";
        out += &reloaded.problems;
    }
    out
}

const fn changed(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Changed => "changed",
        Change::Removed => "removed",
        Change::Secret => "new secret",
        Change::Unchanged => "unchanged",
    }
}

fn checked(entry: &Entry) -> String {
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    match (entry.errors, entry.tests) {
        (0, 0) => String::new(),
        (0, tests) => count(tests, "test") + " passed",
        (errors, _) => count(errors, "error"),
    }
}

fn outcome(entry: &Entry, now: Timestamp) -> String {
    match (&entry.serving_since, entry.loaded) {
        (_, true) if entry.change == Change::Removed => "unloaded".to_owned(),
        (_, true) => "loaded".to_owned(),
        (Some(since), false) => format!("NOT loaded, the version of {} keeps serving", moment(since, now)),
        (None, false) => "NOT loaded, unavailable".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::admin::commands::{Change, Entry, Reloaded};
    use crate::clock::Timestamp;

    #[test]
    fn a_reload_is_told_file_by_file() {
        let entry = |file: &str, change: Change, errors: usize, loaded: bool, since: Option<&str>| Entry {
            file: file.to_owned(),
            app: None,
            change,
            errors,
            tests: if errors == 0 { 5 } else { 0 },
            loaded,
            serving_since: since.map(str::to_owned),
            why: String::new(),
        };
        let reloaded = Reloaded {
            ok: false,
            entries: vec![
                entry("policies/grafana.toml", Change::Changed, 0, true, None),
                entry("policies/redmine.toml", Change::Changed, 2, false, Some("2026-11-21T09:12:44.000Z")),
                entry("policies/crm.toml", Change::Added, 1, false, None),
            ],
            unchanged: 7,
            restart: vec!["server.listen".to_owned()],
            problems: "error[x]: y\n".to_owned(),
        };
        // 2026-11-21
        let today = Timestamp::from_seconds(1_795_262_400);
        let expected = "\
policies/grafana.toml   changed   5 tests passed   loaded
policies/redmine.toml   changed   2 errors         NOT loaded, the version of 09:12 UTC keeps serving
policies/crm.toml       added     1 error          NOT loaded, unavailable
only a restart changes server.listen

error[x]: y
";
        assert_eq!(text(&reloaded, today), expected);
        assert!(text(&reloaded, today.plus_ms(86_400_000)).contains("the version of 2026-11-21 09:12 UTC keeps"));
        assert_eq!(text(&Reloaded::default(), today), "nothing has changed\n");
    }
}
