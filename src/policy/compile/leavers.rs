//! `[provision.leavers]`, `fresh`, `verify`, `grace` and `drift`.

use super::super::leavers::{Drift, Freshness, Leavers};
use crate::connector::model::{Model, Verb};
use crate::source::{Reader, Table};

/// What becomes of the accounts of people who leave.
pub(super) fn leavers(reader: &mut Reader<'_>, provision: &Table, connector: &Model) -> Leavers {
    let Some((table, entry)) = provision.table("leavers").zip(provision.get("leavers")) else { return Leavers::default() };
    let known = Leavers::default();
    let disable = table.text("account") == Some("disable");
    let whole = |key: &str| table.integer(key).and_then(|number| u64::try_from(number).ok());
    if disable && !connector.can_switch_off() {
        let span = table.get("account").map_or(&entry.key_span, |account| &account.node.span).clone();
        let help = "leave it out (people are kept out at the gateway), or give the connector a `disable`";
        reader.error("connector-lacks", &span, format!("the connector `{}` cannot switch an account off", connector.name), help);
    }
    if let Some(after) = table.get("delete_after") {
        if !connector.can(&Verb::Delete) {
            let help = "leave it out: accounts stay switched off";
            reader.error("connector-lacks", &after.node.span, format!("the connector `{}` cannot remove an account", connector.name), help);
        } else if !disable {
            reader.warning("no-effect", &after.key_span, "only an account that was switched off is removed", "account = \"disable\"");
        }
    }
    if !disable && let Some(after) = table.get("after") {
        reader.warning("no-effect", &after.key_span, "provision.leavers.after has no effect: nothing is switched off", "account = \"disable\"");
    }
    Leavers {
        disable,
        after_ms: table.duration_ms("after").unwrap_or(known.after_ms),
        idle_ms: table.duration_ms("idle"),
        delete_after_ms: table.duration_ms("delete_after"),
        max: whole("max").unwrap_or(known.max),
        percent_max: whole("max_percent").unwrap_or(known.percent_max),
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
