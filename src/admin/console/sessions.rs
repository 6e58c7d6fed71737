//! Who is signed in, and what stood behind the pages that said no.

use super::words::{self, address, moment, parameter};
use super::{Console, No, Shown};
use crate::clock::Timestamp;
use crate::fault::Incident;
use crate::pages::console::{Cell, Deed, Page, Part};
use crate::session::operators::{Leaf, Which};
use crate::state::{IncidentRecord, SignOn, SignOnId, StoreError};
use http::StatusCode;

/// Sign-ons on a screen.
const SCREEN: usize = 100;
/// Incidents on the page.
const INCIDENTS: u32 = 200;

impl Console {
    /// `/sessions`.
    pub(super) async fn sessions(&self, query: &str) -> Result<Shown, No> {
        let after = parameter(query, "after").and_then(|name| SignOnId::of_name(&name));
        let Leaf { found, next } = self.parts.sessions.leaf(&Which::All, after, SCREEN).await?;
        let mut parts = vec![
            Part::Text("A session is one browser that is signed in: at every app, and at this console.".to_owned()),
            self.session_rows(&found, false).await?,
        ];
        if let Some(next) = next {
            parts.push(Part::More { href: address("/sessions", [("after", next.name().as_str())]), text: "Further sessions" });
        }
        Ok((StatusCode::OK, Page { title: "Sessions".to_owned(), place: "/sessions", said: None, parts }))
    }

    pub(super) async fn session_rows(&self, sign_ons: &[SignOn], of_one_person: bool) -> Result<Part, StoreError> {
        let mut rows = Vec::new();
        for sign_on in sign_ons {
            let subject = &sign_on.identity.subject;
            let apps = self.parts.store.apps_of(sign_on.id).await?;
            let apps: Vec<&str> = apps.iter().map(|app| if app == super::APP { "this console" } else { app }).collect();
            let who = super::door::called(&sign_on.identity);
            let end = Deed { path: "/end", fields: vec![("session", sign_on.id.name())], button: "End", why: Some(true) };
            let mut row = vec![
                Cell::link(who, words::person(&subject.issuer, &subject.subject)),
                Cell::text(sign_on.identity.idp.as_str()),
                Cell::text(moment(sign_on.created_at)),
                Cell::text(moment(sign_on.last_seen)),
                Cell::text(moment(sign_on.expires_at)),
                Cell::text(apps.join(", ")),
                Cell::default().with(end),
            ];
            if of_one_person {
                row.remove(0);
            }
            rows.push(row);
        }
        let mut head = vec!["Person", "Provider", "Began", "Last used", "Ends", "Apps", ""];
        if of_one_person {
            head.remove(0);
        }
        Ok(Part::Table { head, rows, empty: "Nobody is signed in." })
    }

    /// `/incidents`.
    pub(super) async fn incidents(&self) -> Result<Shown, No> {
        let found = self.parts.store.incidents_since(Timestamp::default(), INCIDENTS).await?;
        let parts = vec![
            Part::Text(format!("The latest {INCIDENTS} refusals. Any of the last 30 days is found by its code.")),
            incident_rows(&found, "None on record."),
        ];
        Ok((StatusCode::OK, Page { title: "Incidents".to_owned(), place: "/incidents", said: None, parts }))
    }

    /// `/incident?code=`.
    pub(super) async fn incident(&self, query: &str) -> Result<Shown, No> {
        let written = parameter(query, "code").unwrap_or_default();
        let found = match Incident::parse(&written) {
            Some(code) => self.parts.store.incident(code).await?,
            None => None,
        };
        let Some(IncidentRecord { code, at, facts }) = found else {
            return Err(No::NotFound(format!("No incident {written} is on record. They are kept for 30 days; the audit log has the code as well.")));
        };
        let mut rows = vec![("When", Cell::text(moment(at))), ("What the page said", Cell::text(words::said(facts.message)))];
        let mut row = |name, value: Option<String>| rows.extend(value.filter(|value| !value.is_empty()).map(|value| (name, Cell::text(value))));
        row("Reason", Some(facts.reason));
        row("What the log said", facts.detail);
        row("Rule", facts.rule);
        row("Method", facts.method);
        row("Host", facts.host);
        row("Path", facts.path);
        row("Client", facts.peer.map(|peer| peer.to_string()));
        row("Provider", facts.idp);
        row("Signed in at", facts.auth_time_ms.filter(|ms| *ms != 0).map(|ms| moment(Timestamp::from_millis(ms))));
        row("By", facts.bearer.then(|| "an access token".to_owned()));
        row("Policy revision", facts.policy_revision);
        if let Some(app) = &facts.app {
            rows.push(("App", Cell::link(app.as_str(), address("/app", [("name", app.as_str())]))));
        }
        if let Some(person) = &facts.person {
            let subject = &person.subject;
            rows.insert(1, ("Who", Cell::link(super::door::called(person), words::person(&subject.issuer, &subject.subject))));
            rows.push(("Groups then", Cell::text(person.groups.listed().join(", "))));
        }
        let parts = vec![
            Part::Facts(rows),
            Part::Heading("On a shell".to_owned()),
            Part::Text("It says as well whether it would be decided the same way today.".to_owned()),
            Part::Lines(format!("vestibule explain {code}\n")),
        ];
        Ok((StatusCode::OK, Page { title: format!("Incident {code}"), place: "/incidents", said: None, parts }))
    }
}

/// What was refused, newest first.
pub(super) fn incident_rows(found: &[IncidentRecord], empty: &'static str) -> Part {
    let rows = found.iter().map(|IncidentRecord { code, at, facts }| {
        let code = code.to_string();
        let who = facts.person.as_ref().map_or_else(
            || Cell::text(facts.peer.map(|peer| peer.to_string()).unwrap_or_default()),
            |person| Cell::link(super::door::called(person), words::person(&person.subject.issuer, &person.subject.subject)),
        );
        let place = format!("{} {}", facts.app.as_deref().or(facts.host.as_deref()).unwrap_or_default(), facts.path.as_deref().unwrap_or_default());
        vec![
            Cell::text(moment(*at)),
            Cell::text(words::said(facts.message)),
            who,
            Cell::text(place),
            Cell::text(facts.reason.as_str()),
            Cell::link(code.as_str(), address("/incident", [("code", code.as_str())])),
        ]
    });
    Part::Table { head: vec!["When", "What", "Who", "Where", "Reason", "Code"], rows: rows.collect(), empty }
}
