//! `[provision.leavers]`, `fresh`, `verify`, `grace` and `drift`.

use super::super::leavers::{Drift, Freshness, Leavers};
use crate::connector::model::{Model, Verb};
use crate::source::{Reader, Table};

/// What becomes of the accounts of people who leave.
pub(super) fn leavers(reader: &mut Reader<'_>, provision: &Table, connector: &Model) -> Leavers {
    let Some((table, entry)) = provision.table("leavers").zip(provision.get("leavers")) else { return Leavers::default() };
    let known = Leavers::default();
    let (disable, delete) = (table.text("account") == Some("disable"), table.text("account") == Some("delete"));
    let span = table.get("account").map_or(&entry.key_span, |account| &account.node.span).clone();
    let name = &connector.name;
    if disable && !connector.can_switch_off() {
        let help = if connector.can_only_remove() {
            "account = \"delete\" has it removed there, if the gateway made it; or leave it out: people are kept out at the gateway"
        } else {
            "leave it out (people are kept out at the gateway), or give the connector a `disable`"
        };
        reader.error("connector-lacks", &span, format!("the connector `{name}` cannot switch an account off"), help);
    }
    if delete && connector.can_switch_off() {
        let help = "account = \"disable\"; with delete_after = \"30d\" it is removed later";
        reader.error("contradiction", &span, format!("the connector `{name}` can switch an account off: nobody's need be removed for that"), help);
    } else if delete && !connector.can_only_remove() {
        let help = "leave it out: people are kept out at the gateway";
        reader.error("connector-lacks", &span, format!("the connector `{name}` cannot remove an account"), help);
    }
    later(reader, table, connector, disable, delete);
    Leavers {
        disable,
        delete,
        after_ms: table.duration_ms("after").unwrap_or(known.after_ms),
        idle_ms: table.duration_ms("idle"),
        delete_after_ms: table.duration_ms("delete_after").filter(|_| !delete),
        max: whole(table, "max").unwrap_or(known.max),
        percent_max: whole(table, "max_percent").unwrap_or(known.percent_max),
    }
}

fn whole(table: &Table, key: &str) -> Option<u64> {
    table.integer(key).and_then(|number| u64::try_from(number).ok())
}

/// `after` and `delete_after`: whether they come to anything.
fn later(reader: &mut Reader<'_>, table: &Table, connector: &Model, disable: bool, delete: bool) {
    let name = &connector.name;
    let word = if connector.can_only_remove() { "account = \"delete\"" } else { "account = \"disable\"" };
    if let Some(after) = table.get("delete_after") {
        if !connector.can(&Verb::Delete) {
            let help = "leave it out: accounts stay switched off";
            reader.error("connector-lacks", &after.node.span, format!("the connector `{name}` cannot remove an account"), help);
        } else if delete {
            let help = "with account = \"delete\" it is `after` that says how long";
            reader.warning("no-effect", &after.key_span, "provision.leavers.delete_after has no effect: nothing is switched off first", help);
        } else if !disable {
            reader.warning("no-effect", &after.key_span, "only an account that was switched off is removed", word);
        } else if !connector.shows_who_is_off() {
            let message = format!(
                "the connector `{name}` does not show whether an account is switched off: one that somebody has switched on again is not removed"
            );
            reader.error("connector-lacks", &after.node.span, message, "leave it out, or give the connector `[account] disabled`");
        }
    }
    if !disable
        && !delete
        && let Some(after) = table.get("after")
    {
        reader.warning("no-effect", &after.key_span, "provision.leavers.after has no effect: nothing is switched off", word);
    }
}

/// How long it is believed that an account is as it was.
pub(super) fn freshness(reader: &mut Reader<'_>, table: &Table) -> Freshness {
    let known = Freshness::default();
    let soft_ms = table.duration_ms("fresh").unwrap_or(known.soft_ms);
    let fresh = Freshness {
        soft_ms,
        hard_ms: table.duration_ms("verify").unwrap_or(known.hard_ms.max(soft_ms)),
        grace_ms: table.duration_ms("grace").unwrap_or(known.grace_ms),
    };
    if fresh.hard_ms < fresh.soft_ms
        && let Some(entry) = table.get("verify")
    {
        let help = "an account is looked at beside a request after `fresh`, and before one after `verify`: make `verify` the longer one";
        reader.error("contradiction", &entry.node.span, "provision.verify is shorter than provision.fresh", help);
    }
    fresh
}

/// What becomes of what somebody has changed at the app.
pub(super) fn drift(table: &Table) -> Drift {
    if table.text("drift") == Some("report") { Drift::Report } else { Drift::Correct }
}
