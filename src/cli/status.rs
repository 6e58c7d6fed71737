//! `vestibule status`: what is loaded, up and pending.

use super::socket::{Door, Which};
use super::table::{Table, moment};
use super::{COULD_NOT, NO, YES};
use crate::admin::commands::{AppStatus, PolicyState, Status, UpstreamState};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::source::value::duration_text;
use serde_json::json;
use std::io::{self, Write as _};

/// Prints how a gateway is; returns the exit code: 1 when something needs attention.
pub(super) fn run(which: &Which, as_json: bool) -> u8 {
    let status: Status = match Door::find(which).look("/api/v1/status") {
        Ok(status) => status,
        Err(failed) => return failed.tell(),
    };
    let text = if as_json { format!("{:#}\n", json!(status)) } else { text(&status, SystemClock.now()) };
    if io::stdout().lock().write_all(text.as_bytes()).is_err() {
        return COULD_NOT;
    }
    if is_well(&status) { YES } else { NO }
}

/// Whether nothing needs attention: every policy in force as written, no application down, the store there.
fn is_well(status: &Status) -> bool {
    let overview = &status.overview;
    let app = |app: &AppStatus| app.policy == PolicyState::Ok && app.upstream_state != UpstreamState::Down && app.admin_api.is_none();
    overview.last_reload_ok && overview.store_ok && status.apps.iter().all(app)
}

fn text(status: &Status, now: Timestamp) -> String {
    let overview = &status.overview;
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let (apps, providers) = (count(status.apps.len(), "app"), count(status.providers.len(), "provider"));
    let mut out = format!(
        "vestibule {}  up {}  {apps}, {providers}, {}\n",
        status.version,
        duration_text(overview.up_s.saturating_mul(1000)),
        count(overview.sessions, "session")
    );
    let mut table = Table::default();
    table.row(["APP", "UPSTREAM", "POLICY", "ACCOUNTS", "FAILED", "REQ/S", "P95"].map(str::to_owned));
    for app in &status.apps {
        let (accounts, failed) =
            if overview.store_ok { (app.accounts.to_string(), app.failed.to_string()) } else { ("?".to_owned(), "?".to_owned()) };
        table.row([app.app.clone(), upstream(app), policy(app, now), accounts, failed, app.requests_per_s.to_string(), p95(app.p95_ms)]);
    }
    out += &table.render();
    for (app, state) in status.apps.iter().filter_map(|app| Some((app, app.admin_api.as_deref()?))) {
        let why = match state {
            "quarantined" => "QUARANTINED: it refuses the credential; nothing but a probe is sent until one works or the credential changes",
            "open" => "OPEN: most calls went wrong; it is left alone for a while",
            _ => "about to be probed",
        };
        out.extend(["ADMIN API  ", &app.app, "  ", why, "\n"]);
    }
    for provider in &status.providers {
        let keys = provider
            .keys_age_s
            .map_or_else(|| "not needed yet".to_owned(), |age_s| format!("keys {} old", duration_text(age_s.saturating_mul(1000))));
        out.extend(["PROVIDER  ", &provider.id, "  ", &keys, "\n"]);
    }
    if !overview.store_ok {
        out += "the state store is not answering\n";
    }
    if !overview.restart.is_empty() {
        out.extend(["only a restart changes ", &overview.restart.join(", "), "\n"]);
    }
    if !overview.last_reload_ok {
        out.extend(["not everything was loaded at ", &moment(&overview.last_reload_at, now), ": `vestibule check` says why\n"]);
    }
    out
}

fn upstream(app: &AppStatus) -> String {
    let state = match app.upstream_state {
        UpstreamState::Up => "up",
        UpstreamState::Slow => "SLOW",
        UpstreamState::Down => "DOWN",
        UpstreamState::Idle => "-",
    };
    format!("{state:<4}  {}", app.upstream)
}

fn policy(app: &AppStatus, now: Timestamp) -> String {
    let errors = || format!("{} error{}", app.errors, if app.errors == 1 { "" } else { "s" });
    match (app.policy, &app.since) {
        (PolicyState::Ok, Some(since)) => format!("ok     {}", moment(since, now)),
        (PolicyState::Ok, None) => "ok".to_owned(),
        (PolicyState::Stale, _) => format!("STALE  {}", errors()),
        (PolicyState::NotLoaded, _) => format!("NONE   {}", errors()),
    }
}

fn p95(ms: Option<u64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(u64::MAX) => ">30s".to_owned(),
        Some(ms @ ..1_000) => format!("≤{ms}ms"),
        Some(ms) => format!("≤{}s", ms / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_well, text};
    use crate::admin::commands::{AppStatus, Overview, PolicyState, ProviderStatus, Status, UpstreamState};
    use crate::clock::Timestamp;

    #[test]
    fn what_needs_attention_stands_out() {
        let app = |name: &str, upstream_state: UpstreamState, policy: PolicyState, errors: usize, p95_ms: Option<u64>| AppStatus {
            app: name.to_owned(),
            host: format!("{name}.example.com"),
            upstream: if policy == PolicyState::NotLoaded { String::new() } else { "10.0.4.20:8080".to_owned() },
            upstream_state,
            policy,
            since: (policy != PolicyState::NotLoaded).then(|| "2026-11-21T10:02:00.000Z".to_owned()),
            errors,
            accounts: 631,
            failed: 1,
            requests_per_s: 12.5,
            p95_ms,
            admin_api: (name == "crm").then(|| "quarantined".to_owned()),
        };
        let mut status = Status {
            version: "1.0.0".to_owned(),
            overview: Overview {
                up_s: 1_036_800,
                sessions: 412,
                last_reload_ok: false,
                last_reload_at: "2026-11-21T10:03:00.000Z".to_owned(),
                restart: vec!["server.listen".to_owned()],
                store_ok: true,
            },
            apps: vec![
                app("crm", UpstreamState::Idle, PolicyState::NotLoaded, 1, None),
                app("redmine", UpstreamState::Slow, PolicyState::Stale, 2, Some(5_000)),
                app("wiki", UpstreamState::Up, PolicyState::Ok, 0, Some(25)),
            ],
            providers: vec![
                ProviderStatus { id: "corp".to_owned(), issuer: None, keys_age_s: Some(250) },
                ProviderStatus { id: "adfs".to_owned(), issuer: None, keys_age_s: None },
            ],
        };
        let expected = "\
vestibule 1.0.0  up 12d  3 apps, 2 providers, 412 sessions
APP       UPSTREAM               POLICY             ACCOUNTS   FAILED   REQ/S   P95
crm       -                      NONE   1 error     631        1        12.5    -
redmine   SLOW  10.0.4.20:8080   STALE  2 errors    631        1        12.5    ≤5s
wiki      up    10.0.4.20:8080   ok     10:02 UTC   631        1        12.5    ≤25ms
ADMIN API  crm  QUARANTINED: it refuses the credential; nothing but a probe is sent until one works or the credential changes
PROVIDER  corp  keys 4m old
PROVIDER  adfs  not needed yet
only a restart changes server.listen
not everything was loaded at 10:03 UTC: `vestibule check` says why
";
        // 2026-11-21
        let today = Timestamp::from_seconds(1_795_262_400);
        assert_eq!(text(&status, today), expected);
        assert!(!is_well(&status));
        status.apps.retain(|app| app.app == "wiki");
        assert!(!is_well(&status), "the last reload");
        status.overview.last_reload_ok = true;
        assert!(is_well(&status));
        status.overview.store_ok = false;
        assert!(!is_well(&status) && text(&status, today).contains("the state store is not answering"));
    }
}
