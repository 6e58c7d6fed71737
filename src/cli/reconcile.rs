//! `vestibule reconcile`: everybody who has an account, held against the policy and the app.

use super::socket::{Door, Which};
use super::table::Table;
use super::{COULD_NOT, NO, YES, print, tell};
use crate::admin::commands::{OfApp, Progress, Reconcile};
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
    out.extend(progress.apps.iter().map(stock));
    if progress.apps.iter().any(|app| app.counted.staged > 0) {
        out += "more people leave at once than the policy allows: `vestibule users list --waiting`, then `vestibule users approve APP --leavers`\n";
    }
    if progress.running {
        out += "still at it: `vestibule reconcile --watch`\n";
    }
    out
}

/// What the app's own list shows; nothing where there is none.
fn stock(of: &OfApp) -> String {
    let app = &of.app;
    let Some(stock) = &of.stock else {
        return of
            .stock_error
            .as_ref()
            .map(|error| format!("{app}: the list of its accounts did not come: {}\n", error.escape_debug()))
            .unwrap_or_default();
    };
    let mut out = format!("{app}: {} accounts at the app, {} on no record here\n", stock.accounts, stock.unmanaged);
    let kinds = [
        (&stock.privileged, "administrators, on no record and not in `protect`"),
        (&stock.orphaned, "made by this gateway, on no record"),
        (&stock.vanished, "on record, and not at the app"),
    ];
    for (kind, what) in kinds.into_iter().filter(|(kind, _)| kind.count > 0) {
        let more = if usize::try_from(kind.count) == Ok(kind.named.len()) { "" } else { ", ..." };
        out.extend(["  ", &kind.count.to_string(), " ", what, ": ", &kind.named.join(", "), more, "\n"]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::admin::commands::{OfApp, Progress};
    use crate::provision::{Kind, Reconciled, Stock};

    #[test]
    fn what_came_of_it_is_told_app_by_app() {
        assert_eq!(text(&Progress::default()), "nothing has been reconciled since the gateway started\n");
        let counted = Reconciled { people: 9, as_wanted: 3, changed: 2, left: 1, staged: 1, failed: 1, unknown: 1, ..Reconciled::default() };
        let apps = vec![
            OfApp { app: "wiki".to_owned(), counted, ..OfApp::default() },
            OfApp { app: "crm".to_owned(), error: Some("the state store is not available".to_owned()), ..OfApp::default() },
        ];
        let told = text(&Progress { running: true, apps });
        assert!(told.starts_with("APP"), "{told}");
        assert!(!told.contains("at the app"), "{told}");
        let kind = |count, named: &[&str]| Kind { count, named: named.iter().map(|name| (*name).to_owned()).collect() };
        let stock =
            Stock { accounts: 12, unmanaged: 4, privileged: kind(1, &["root (1)"]), orphaned: kind(3, &["ada (7)", "bob (8)"]), ..Stock::default() };
        let listed = vec![
            OfApp { app: "wiki".to_owned(), stock: Some(stock), ..OfApp::default() },
            OfApp { app: "crm".to_owned(), stock_error: Some("list: 500".to_owned()), ..OfApp::default() },
        ];
        let shown = text(&Progress { running: false, apps: listed });
        let expected = "wiki: 12 accounts at the app, 4 on no record here\n  1 administrators, on no record and not in `protect`: root (1)\n  \
                        3 made by this gateway, on no record: ada (7), bob (8), ...\ncrm: the list of its accounts did not come: list: 500\n";
        assert!(shown.ends_with(expected), "{shown}");
        assert!(told.contains("approve APP --leavers") && told.contains("given up: the state store") && told.ends_with("--watch`\n"), "{told}");
    }
}
