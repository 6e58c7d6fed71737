//! The first page, and that of one app.

use super::door::Operator;
use super::sessions::incident_rows;
use super::words::{self, address, count, duration};
use super::{Console, No, Shown};
use crate::admin::commands::{AppStatus, PolicyState, Status, UpstreamState, shell};
use crate::pages::console::{Cell, Deed, Page, Part};
use crate::provision::{Listed, PeopleError, Which};
use crate::state::{AccountState, Awaiting};
use http::StatusCode;
use std::collections::BTreeMap;

/// Accounts that are named among what needs attention.
const NAMED_MAX: usize = 10;
/// People who wait are looked at; leavers among them are told in one line for each app.
const WAITING_MAX: usize = 500;
/// Incidents shown.
const LATEST_MAX: u32 = 15;
/// As many are read for the page of an app.
const OF_AN_APP_MAX: u32 = 500;
/// A certificate that ends within so long needs attention.
const ENDING_MS: i64 = 21 * 86_400_000;

impl From<PeopleError> for No {
    fn from(error: PeopleError) -> Self {
        if let PeopleError::Store(error) = error { Self::Store(error) } else { Self::NotFound(error.to_string()) }
    }
}

impl Console {
    pub(super) async fn overview(&self, operator: &Operator) -> Result<Shown, No> {
        let status = self.parts.statuses.status().await;
        let now = self.parts.clock.now();
        let mut parts = vec![Part::Text(format!(
            "vestibule {} · {} · {} · {} in memory · up {} · configuration of {}",
            status.version,
            count(status.apps.len(), "app"),
            count(status.providers.len(), "provider"),
            count(status.overview.sessions, "session"),
            duration(status.overview.up_s.saturating_mul(1000)),
            words::written(&status.overview.last_reload_at),
        ))];
        let failed = self.parts.people.leaf(None, Which::Failed, None, None, NAMED_MAX).await?;
        let waiting = self.parts.people.leaf(None, Which::Waiting, None, None, WAITING_MAX).await?;
        let mut rows = self.of_the_gateway(&status);
        rows.extend(of_leavers(&waiting.listed));
        let each = waiting.listed.iter().filter(|listed| listed.awaiting != Some(Awaiting::Leave)).take(NAMED_MAX);
        rows.extend(failed.listed.iter().filter(|listed| listed.awaiting.is_none()).chain(each).map(of_an_account));
        parts.push(Part::Heading("Needs attention".to_owned()));
        parts.push(Part::Table { head: vec!["What", "Where", "Why", ""], rows, empty: "Nothing." });
        parts.push(Part::Heading("Apps".to_owned()));
        parts.push(apps(&status));
        parts.push(Part::Heading("Identity providers".to_owned()));
        let providers = status.providers.iter().map(|provider| {
            let keys = provider.keys_age_s.map_or_else(|| "none needed yet".to_owned(), |s| format!("{} old", duration(s.saturating_mul(1000))));
            vec![Cell::text(provider.id.as_str()), Cell::text(keys)]
        });
        parts.push(Part::Table { head: vec!["Provider", "Keys"], rows: providers.collect(), empty: "None." });
        parts.push(Part::Heading("Latest refusals".to_owned()));
        let latest = self.parts.store.incidents_since(now.plus_ms(-86_400_000), LATEST_MAX).await?;
        parts.push(incident_rows(&latest, "None in the last 24 hours."));
        if operator.may_act {
            parts.push(Part::Heading("Configuration".to_owned()));
            parts.push(Part::Text(
                "Changed files are taken over by themselves; this looks at all of them now. On a shell: vestibule reload".to_owned(),
            ));
            parts.push(Part::Deeds(vec![Deed { path: "/reload", fields: Vec::new(), button: "Reload", why: Some(false) }]));
        }
        Ok((StatusCode::OK, Page { title: "Overview".to_owned(), place: "/", said: None, parts }))
    }

    /// What is wrong with the gateway itself.
    fn of_the_gateway(&self, status: &Status) -> Vec<Vec<Cell>> {
        let mut rows = Vec::new();
        let mut row = |what: Cell, place: Cell, why: String| rows.push(vec![what, place, Cell::text(why), Cell::default()]);
        if !status.overview.store_ok {
            row(Cell::mark("store", true), Cell::text("state"), "it does not say how many accounts there are".to_owned());
        }
        if !status.overview.restart.is_empty() {
            row(Cell::mark("restart", true), Cell::text("gateway file"), format!("only a restart changes {}", status.overview.restart.join(", ")));
        }
        for app in self.parts.looking.in_force().iter().filter(|app| !app.why.is_empty()) {
            let what = if app.revision.is_some() { "older version in force" } else { "not loaded" };
            row(Cell::mark(what, true), Cell::link(app.app.as_str(), address("/app", [("name", app.app.as_str())])), app.why.clone());
        }
        let now = self.parts.clock.now();
        for certificate in self.parts.looking.certificates() {
            let left_ms = certificate.until.since_ms(now);
            if left_ms < ENDING_MS {
                let why = if left_ms < 0 { "it has ended".to_owned() } else { format!("it ends in {}", duration(left_ms)) };
                row(Cell::mark("certificate", true), Cell::text(certificate.names.join(", ")), why);
            }
        }
        rows
    }

    /// `/app?name=`.
    pub(super) async fn app(&self, query: &str) -> Result<Shown, No> {
        let name = words::parameter(query, "name").unwrap_or_default();
        let in_force = self.parts.looking.in_force().into_iter().find(|app| app.app == name);
        let status = self.parts.statuses.status().await;
        let app = status.apps.iter().find(|app| app.app == name);
        let (Some(in_force), Some(app)) = (in_force, app) else { return Err(No::NotFound(format!("There is no app called {name}."))) };
        let mut facts = vec![
            ("Host", Cell::text(app.host.as_str())),
            ("Upstream", Cell::text(format!("{} ({})", app.upstream, upstream(app.upstream_state).0))),
            ("Policy file", Cell::text(in_force.file.as_str())),
            ("Policy", policy(app.policy)),
            ("In force", Cell::text(in_force.line.as_str())),
            ("Revision", in_force.revision.as_deref().map_or_else(|| Cell::text("none"), Cell::code)),
            ("Since", Cell::text(app.since.as_deref().map_or_else(|| "never".to_owned(), words::written))),
            ("Tests in the file", Cell::text(in_force.tests.to_string())),
            ("Accounts", Cell::link(app.accounts.to_string(), address("/people", [("app", name.as_str())]))),
            ("Failed, waiting or in part", Cell::link(app.failed.to_string(), address("/people", [("app", name.as_str()), ("which", "failed")]))),
        ];
        if !in_force.why.is_empty() {
            facts.insert(4, ("Wrong with the file", Cell::mark(in_force.why.as_str(), true)));
        }
        let mut parts = vec![Part::Facts(facts)];
        let waiting = self.parts.people.leaf(Some(&name), Which::Waiting, None, None, WAITING_MAX).await?;
        let staged = waiting.listed.iter().filter(|listed| listed.awaiting == Some(Awaiting::Leave)).count();
        if staged > 0 {
            parts.push(Part::Heading("Left at once".to_owned()));
            parts.push(Part::Text(format!(
                "{} waiting to be switched off or removed at the app, because more left within an hour than the policy allows without a yes. The gateway's own door is shut to \
                 them already. Look who they are before you say yes: a provider that sends no groups any more looks the same.",
                if staged == 1 { "1 person is".to_owned() } else { format!("{staged} people are") }
            )));
            parts.push(Part::More { href: address("/people", [("app", name.as_str()), ("which", "waiting")]), text: "Who they are" });
            let fields = vec![("app", name.clone())];
            parts.push(Part::Deeds(vec![Deed { path: "/approve-leavers", fields, button: "Approve all who have left", why: Some(true) }]));
        }
        parts.push(Part::Heading("Latest refusals".to_owned()));
        let since = self.parts.clock.now().plus_ms(-7 * 86_400_000);
        let mut latest = self.parts.store.incidents_since(since, OF_AN_APP_MAX).await?;
        latest.retain(|incident| incident.facts.app.as_deref() == Some(&*name));
        latest.truncate(usize::try_from(LATEST_MAX).unwrap_or_default());
        parts.push(incident_rows(&latest, "None in the last seven days."));
        parts.push(Part::Heading("On a shell".to_owned()));
        let (shell, file) = (shell(&name), shell(&in_force.file));
        parts.push(Part::Lines(format!(
            "vestibule check {file}\nvestibule test {file}\nvestibule users list {shell}\nvestibule explain https://{}/ --user ada@example.com\n",
            app.host
        )));
        Ok((StatusCode::OK, Page { title: in_force.title, place: "/", said: None, parts }))
    }
}

fn apps(status: &Status) -> Part {
    let rows = status.apps.iter().map(|app: &AppStatus| {
        let (state, bad) = upstream(app.upstream_state);
        let people = |count: u64, which: &str| {
            if count == 0 {
                Cell::text("0")
            } else {
                Cell::link(count.to_string(), address("/people", [("app", app.app.as_str()), ("which", which)]))
            }
        };
        vec![
            Cell::link(app.app.as_str(), address("/app", [("name", app.app.as_str())])),
            Cell::text(app.host.as_str()),
            Cell::mark(state, bad),
            policy(app.policy),
            Cell::text(format!("{:.1}", app.requests_per_s)),
            Cell::text(app.p95_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"))),
            people(app.accounts, "all"),
            people(app.failed, "failed"),
        ]
    });
    let head = vec!["App", "Host", "Upstream", "Policy", "#Requests/s", "#p95", "#Accounts", "#Failed"];
    Part::Table { head, rows: rows.collect(), empty: "No app is served." }
}

const fn upstream(state: UpstreamState) -> (&'static str, bool) {
    match state {
        UpstreamState::Up => ("up", false),
        UpstreamState::Slow => ("slow", true),
        UpstreamState::Down => ("down", true),
        UpstreamState::Idle => ("idle", false),
    }
}

fn policy(state: PolicyState) -> Cell {
    match state {
        PolicyState::Ok => Cell::mark("loaded", false),
        PolicyState::Stale => Cell::mark("older version", true),
        PolicyState::NotLoaded => Cell::mark("not loaded", true),
    }
}

/// Whoever has left and waits for a yes, app by app.
fn of_leavers(waiting: &[Listed]) -> Vec<Vec<Cell>> {
    let mut staged: BTreeMap<&str, usize> = BTreeMap::new();
    for listed in waiting.iter().filter(|listed| listed.awaiting == Some(Awaiting::Leave)) {
        *staged.entry(&listed.app).or_default() += 1;
    }
    let row = |(app, people): (&str, usize)| {
        let why = format!(
            "{} left at once, more than the policy allows without a yes: nothing was done at the app",
            if people == 1 { "1 person".to_owned() } else { format!("{people} people") }
        );
        let all = address("/people", [("app", app), ("which", "waiting")]);
        vec![Cell::mark("waits for a yes", true), Cell::link(app, address("/app", [("name", app)])), Cell::text(why), Cell::link("details", all)]
    };
    staged.into_iter().map(row).collect()
}

/// An account that somebody should look at.
fn of_an_account(listed: &Listed) -> Vec<Cell> {
    let who = listed.who.as_deref().or(listed.login.as_deref()).unwrap_or(&listed.subject);
    let details = Cell::link(who, words::person(&listed.issuer, &listed.subject));
    let what = match (listed.awaiting, listed.state) {
        (Some(_), _) => "waits for a yes",
        (None, AccountState::Degraded) => "account in part",
        (None, _) => "account failed",
    };
    let why = Some(super::people::why(listed)).filter(|why| !why.is_empty()).unwrap_or_else(|| words::state(listed.state).0.to_owned());
    let fields = super::people::whom(listed);
    let act = if listed.awaiting.is_none() {
        Cell::default().with(Deed { path: "/retry", fields, button: "Retry", why: None })
    } else {
        Cell::link("details", words::person(&listed.issuer, &listed.subject))
    };
    let place = Cell { text: format!("{}: {}", listed.app, details.text), ..details };
    vec![Cell::mark(what, true), place, Cell::text(why), act]
}
