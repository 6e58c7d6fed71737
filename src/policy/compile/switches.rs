//! The switches of `[provision]`, and what they mean together.

use super::super::switches::{Join, Mode, OnExceed, Rename, Switches, Trigger, WhenDisabled};
use crate::connector::model::{Model, Verb};
use crate::expr::{Env, Type};
use crate::policy::{Glob, OnExisting};
use crate::source::{Node, Reader, Table};

/// The switches, and what becomes of an account that was there before; `section` is where `[provision]` stands.
pub(super) fn switches(reader: &mut Reader<'_>, section: &Node, table: &Table) -> (Switches, OnExisting) {
    let (mode, on_existing) = mode(reader, section, table);
    let account = Env::sign_in().with("account", Type::Dynamic, false);
    let join_when = table.node("join_when").and_then(|node| reader.condition(node, &account.clone().with("origin", Type::Text, false)));
    let protect_when = table.node("protect_when").and_then(|node| reader.condition(node, &account));
    let max_accounts = table.integer("max_accounts").and_then(|most| u64::try_from(most).ok());
    if let Some(entry) = table.get("on_exceed").filter(|_| table.get("max_accounts").is_none()) {
        let help = "say how many are allowed: max_accounts = 200";
        reader.warning("no-effect", &entry.key_span, "provision.on_exceed has no effect without provision.max_accounts", help);
    }
    let switches = Switches {
        enabled: table.flag("enabled").unwrap_or(true),
        when_disabled: match table.text("when_disabled") {
            Some("deny_all") => WhenDisabled::DenyAll,
            Some("passthrough") => WhenDisabled::Passthrough,
            _ => WhenDisabled::AllowLinked,
        },
        mode,
        trigger: if table.text("trigger") == Some("first_request") { Trigger::FirstRequest } else { Trigger::SignIn },
        max_accounts,
        on_exceed: if table.text("on_exceed") == Some("approve") { OnExceed::Approve } else { OnExceed::Refuse },
        join: match table.text("join") {
            Some("created") => Join::Created,
            Some("approval") => Join::Approval,
            _ => Join::Always,
        },
        join_when,
        protect: table.texts("protect").into_iter().map(Glob::new).collect(),
        protect_when,
        rename: Rename::default(),
        slo_ms: table.duration_ms("slo").unwrap_or(Switches::default().slo_ms),
    };
    (switches, on_existing)
}

/// What becomes of a login that the provider has another one for by now.
pub(super) fn rename(reader: &mut Reader<'_>, table: &Table, connector: &Model) -> Rename {
    let Some(entry) = table.get("rename").filter(|_| table.text("rename") == Some("follow")) else { return Rename::Never };
    if !connector.can(&Verb::Rename) {
        let message = format!("the connector `{}` cannot change a login", connector.name);
        reader.error("connector-lacks", &entry.node.span, message, "leave it out: an account keeps the login that it has");
    }
    Rename::Follow
}

/// `mode` says what becomes of an existing account, or `on_existing` does; both may, when they say the same.
fn mode(reader: &mut Reader<'_>, section: &Node, table: &Table) -> (Mode, OnExisting) {
    let written = table.text("on_existing").and_then(|word| match word {
        "adopt" => Some(OnExisting::Adopt),
        "leave" => Some(OnExisting::Leave),
        "refuse" => Some(OnExisting::Refuse),
        _ => None,
    });
    let mode = match table.text("mode") {
        Some("create_and_update") => Mode::CreateAndUpdate,
        Some("create_only") => Mode::CreateOnly,
        Some("update_only") => Mode::UpdateOnly,
        Some("passthrough") => Mode::Passthrough,
        // Linking is never implicit: without a word about it, an existing account is a conflict.
        _ => return (Mode::default(), written.unwrap_or_default()),
    };
    if let (Some(written), Some(entry)) = (written.filter(|written| *written != mode.on_existing()), table.get("on_existing")) {
        let message = format!("provision.mode = \"{}\" and provision.on_existing = \"{}\" contradict each other", mode.word(), word(written));
        let help = format!("mode = \"{}\" means on_existing = \"{}\": leave one of the two out", mode.word(), word(mode.on_existing()));
        reader.error("contradiction", &entry.node.span, message, &help);
    }
    if mode.on_existing() != OnExisting::Refuse && table.texts("match").is_empty() {
        let span = table.get("mode").map_or(&section.span, |entry| &entry.node.span).clone();
        let help = "say how an existing account is recognised: match = [\"email\"], [\"login\"] or [\"external_id\"]";
        if mode.creates() {
            reader.warning("no-effect", &span, "without `match` no existing account is recognised: each one is a conflict", help);
        } else {
            reader.error(
                "missing-key",
                &span,
                format!("mode = \"{}\" needs `match`: without it nobody is recognised, and nobody gets in", mode.word()),
                help,
            );
        }
    }
    (mode, mode.on_existing())
}

const fn word(on_existing: OnExisting) -> &'static str {
    match on_existing {
        OnExisting::Adopt => "adopt",
        OnExisting::Leave => "leave",
        OnExisting::Refuse => "refuse",
    }
}
