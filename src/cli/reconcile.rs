//! `vestibule reconcile`: everybody who has an account, held against the policy and the app.

use super::socket::{Door, Which};
use super::table::Table;
use super::{COULD_NOT, NO, YES, print, tell};
use crate::admin::commands::{Progress, Reconcile};
use clap::Args;
use serde_json::json;
use std::thread::sleep;
use std::time::Duration;

/// How often it is asked how far it is.
const EVERY: Duration = Duration::from_millis(500);

/// What is to be gone through.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "four flags of a command line")]
pub(super) struct Wish {
    /// Only of this app (the policy's name).
    app: Option<String>,
    /// Only those for whom the policy wants something else than what was last applied.
    #[arg(long)]
    changed_only: bool,
    /// Begin nothing; watch the one that is under way, or show how the last one ended.
    #[arg(long, conflicts_with_all = ["app", "changed_only", "detach"])]
    watch: bool,
    /// Begin, and do not wait for the end.
    #[arg(long)]
    detach: bool,
    /// For programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: Which,
}

/// Begins and watches; returns the exit code.
pub(super) fn run(wish: &Wish) -> u8 {
    let door = Door::find(&wish.at);
    let begun = if wish.watch {
        door.look("/api/v1/reconcile")
    } else {
        door.act("/api/v1/reconcile", &Reconcile { app: wish.app.clone(), changed_only: wish.changed_only })
    };
    let mut progress: Progress = match begun {
        Ok(progress) => progress,
        Err(failed) => return failed.tell(),
    };
    let mut told = 0;
    while progress.running && !wish.detach {
        sleep(EVERY);
        progress = match Door::find(&wish.at).look("/api/v1/reconcile") {
            Ok(progress) => progress,
            Err(failed) => return failed.tell(),
        };
        let people = progress.apps.iter().map(|app| app.counted.people).sum();
        if people >= told + 500 {
            told = people;
            tell(&format!("{people} people so far\n"));
        }
    }
    let printed = if wish.json { print(&format!("{:#}\n", json!(progress))) } else { print(&text(&progress)) };
    if printed == COULD_NOT {
        return COULD_NOT;
    }
    let is_well = progress.apps.iter().all(|app| app.error.is_none() && app.counted.failed == 0 && app.counted.staged == 0);
    if is_well { YES } else { NO }
}

fn text(progress: &Progress) -> String {
    if progress.apps.is_empty() {
        return if progress.running { "begun\n" } else { "nothing has been reconciled since the gateway started\n" }.to_owned();
    }
    let mut table = Table::default();
    table.row(["APP", "PEOPLE", "AS WANTED", "CHANGED", "LEFT", "STAGED", "GONE", "FAILED", "UNKNOWN", "SKIPPED", ""].map(str::to_owned));
    for app in &progress.apps {
        let counted = app.counted;
        let numbers = [
            counted.people,
            counted.as_wanted,
            counted.changed,
            counted.left,
            counted.staged,
            counted.gone,
            counted.failed,
            counted.unknown,
            counted.skipped,
        ];
        let error = app.error.as_ref().map(|error| format!("given up: {error}")).unwrap_or_default();
        table.row(std::iter::once(app.app.clone()).chain(numbers.map(|number| number.to_string())).chain([error]));
    }
    let mut out = table.render();
    if progress.apps.iter().any(|app| app.counted.staged > 0) {
        out += "more people leave at once than the policy allows: `vestibule users list --waiting`, then `vestibule users approve APP --leavers`\n";
    }
    if progress.running {
        out += "still at it: `vestibule reconcile --watch`\n";
    }
    out
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::admin::commands::{OfApp, Progress};
    use crate::provision::Reconciled;

    #[test]
    fn what_came_of_it_is_told_app_by_app() {
        assert_eq!(text(&Progress::default()), "nothing has been reconciled since the gateway started\n");
        let counted = Reconciled { people: 9, as_wanted: 3, changed: 2, left: 1, staged: 1, failed: 1, unknown: 1, ..Reconciled::default() };
        let apps = vec![
            OfApp { app: "wiki".to_owned(), counted, error: None },
            OfApp { app: "crm".to_owned(), counted: Reconciled::default(), error: Some("the state store is not available".to_owned()) },
        ];
        let told = text(&Progress { running: true, apps });
        assert!(told.starts_with("APP"), "{told}");
        assert!(told.contains("approve APP --leavers") && told.contains("given up: the state store") && told.ends_with("--watch`\n"), "{told}");
    }
}
