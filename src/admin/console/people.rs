//! Who has an account where: the list, one person, and the search.

use super::words::{self, address, moment, parameter};
use super::{Console, No, Shown};
use crate::admin::commands::command;
use crate::clock::Timestamp;
use crate::fault::Incident;
use crate::identity::{Groups, SubjectId};
use crate::pages::console::{Cell, Deed, Field, Page, Part};
use crate::provision::{Listed, Which};
use crate::session::operators as sessions;
use crate::state::{AccountKey, RecordedSignIn};
use http::StatusCode;

/// People on a screen.
const SCREEN: usize = 100;

impl Console {
    /// `/people?app=&which=&q=`.
    pub(super) async fn list_people(&self, query: &str) -> Result<Shown, No> {
        let (app, called) = (parameter(query, "app"), parameter(query, "q"));
        let written = parameter(query, "which").unwrap_or_default();
        let which = Which::of_word(&written).unwrap_or_default();
        let after = match (parameter(query, "after_app"), parameter(query, "after_issuer"), parameter(query, "after_subject")) {
            (Some(upstream), Some(issuer), Some(subject)) => Some(AccountKey { upstream, subject: SubjectId { issuer, subject } }),
            _ => None,
        };
        let leaf = self.parts.people.leaf(app.as_deref(), which, called.as_deref(), after, SCREEN).await?;
        let mut options = vec![(String::new(), "all".to_owned())];
        options.extend(self.parts.looking.in_force().into_iter().map(|app| (app.app.clone(), app.app)));
        let states = [
            ("", "all"),
            ("failed", "failed, or in part"),
            ("waiting", "waiting for a yes"),
            ("drifted", "changed at the app"),
            ("left", "has left"),
        ];
        let app_written = app.clone().unwrap_or_default();
        let mut parts = vec![
            Part::Filter {
                path: "/people",
                fields: vec![
                    Field::Choice { label: "App", name: "app", options, chosen: app_written.clone() },
                    Field::Choice {
                        label: "State",
                        name: "which",
                        options: states.map(|(value, words)| (value.to_owned(), words.to_owned())).to_vec(),
                        chosen: written.clone(),
                    },
                    Field::Text { label: "Called", name: "q", value: called.clone().unwrap_or_default() },
                ],
            },
            self.people(&leaf.listed),
        ];
        if let Some(next) = leaf.next {
            let called = called.unwrap_or_default();
            let more = [
                ("app", app_written.as_str()),
                ("which", written.as_str()),
                ("q", called.as_str()),
                ("after_app", next.upstream.as_str()),
                ("after_issuer", next.subject.issuer.as_str()),
                ("after_subject", next.subject.subject.as_str()),
            ];
            parts.push(Part::More { href: address("/people", more), text: "Further people" });
        }
        Ok((StatusCode::OK, Page { title: "People".to_owned(), place: "/people", said: None, parts }))
    }

    /// `/person?issuer=&subject=`.
    pub(super) async fn person(&self, query: &str) -> Result<Shown, No> {
        let (Some(issuer), Some(name)) = (parameter(query, "issuer"), parameter(query, "subject")) else {
            return Err(No::NotFound("A person has an issuer and a subject.".to_owned()));
        };
        let subject = SubjectId { issuer, subject: name };
        let apps: Vec<String> = self.parts.looking.in_force().into_iter().map(|app| app.app).collect();
        let accounts = self.parts.people.everywhere(&subject, &apps).await?;
        let sign_ins = self.parts.store.last_by_subject(Some(&subject.issuer), &subject.subject).await?;
        let sessions = self.parts.sessions.leaf(&sessions::Which::Person(subject.clone()), None, SCREEN).await?.found;
        if accounts.is_empty() && sign_ins.is_empty() && sessions.is_empty() {
            return Err(No::NotFound("Nothing is known of this person: no account, no sign-in, no session.".to_owned()));
        }
        let latest = sign_ins.first();
        let title = latest
            .map(|sign_in| super::door::called(&sign_in.identity))
            .or_else(|| accounts.iter().find_map(|listed| listed.who.clone()))
            .unwrap_or_else(|| subject.subject.clone());
        let provider = self.parts.looking.provider_of(&subject.issuer);
        let mut parts = vec![Part::Facts(facts(&subject, provider.as_deref(), latest))];
        for listed in &accounts {
            parts.push(Part::Heading(format!("Account at {}", listed.app)));
            parts.extend(account(listed, self.parts.clock.now()));
        }
        if accounts.is_empty() {
            parts.push(Part::Heading("Accounts".to_owned()));
            parts.push(Part::Text("None on record.".to_owned()));
        }
        parts.push(Part::Heading("Sessions".to_owned()));
        parts.push(self.session_rows(&sessions, true).await?);
        if !sessions.is_empty() {
            let fields = vec![("issuer", subject.issuer.clone()), ("subject", subject.subject.clone())];
            parts.push(Part::Deeds(vec![Deed { path: "/end-all", fields, button: "End all sessions", why: Some(true) }]));
        }
        Ok((StatusCode::OK, Page { title, place: "/people", said: None, parts }))
    }

    /// `/search?q=`: an incident code, an app, a person.
    pub(super) async fn search(&self, query: &str) -> Result<Shown, No> {
        let asked = parameter(query, "q").unwrap_or_default().trim().to_owned();
        if asked.is_empty() {
            return Err(No::Elsewhere("/".to_owned()));
        }
        if let Some(code) = Incident::parse(&asked)
            && self.parts.store.incident(code).await?.is_some()
        {
            return Err(No::Elsewhere(address("/incident", [("code", code.to_string().as_str())])));
        }
        if self.parts.looking.in_force().iter().any(|app| app.app == asked) {
            return Err(No::Elsewhere(address("/app", [("name", asked.as_str())])));
        }
        let mut known = self.parts.store.last_by_email(&asked).await?;
        known.extend(self.parts.store.last_by_subject(None, &asked).await?);
        let leaf = self.parts.people.leaf(None, Which::All, Some(&asked), None, SCREEN).await?;
        let mut subjects: Vec<(String, String)> = known
            .iter()
            .map(|sign_in| sign_in.identity.subject.clone())
            .chain(leaf.listed.iter().map(|listed| SubjectId { issuer: listed.issuer.clone(), subject: listed.subject.clone() }))
            .map(|subject| (subject.issuer, subject.subject))
            .collect();
        subjects.sort();
        subjects.dedup();
        if let [(issuer, subject)] = subjects.as_slice() {
            return Err(No::Elsewhere(words::person(issuer, subject)));
        }
        let sign_ins = known.iter().map(|sign_in| {
            let subject = &sign_in.identity.subject;
            vec![
                Cell::link(super::door::called(&sign_in.identity), words::person(&subject.issuer, &subject.subject)),
                Cell::text(sign_in.identity.idp.as_str()),
                Cell::text(moment(sign_in.at)),
            ]
        });
        let parts = vec![
            Part::Heading("Signed in".to_owned()),
            Part::Table { head: vec!["Person", "Provider", "Last sign-in"], rows: sign_ins.collect(), empty: "Nobody of that address or subject." },
            Part::Heading("Accounts".to_owned()),
            self.people(&leaf.listed),
        ];
        Ok((StatusCode::OK, Page { title: format!("Search: {asked}"), place: "", said: None, parts }))
    }

    /// A table of them; who vouches is said where it tells people apart.
    fn people(&self, listed: &[Listed]) -> Part {
        let several = listed.iter().any(|one| listed.first().is_some_and(|first| first.issuer != one.issuer));
        let rows = listed.iter().map(|listed| {
            let who = listed.who.as_deref().unwrap_or(&listed.subject);
            let mut row = vec![
                Cell::link(who, words::person(&listed.issuer, &listed.subject)),
                Cell::text(self.parts.looking.provider_of(&listed.issuer).unwrap_or_else(|| listed.issuer.clone())),
                Cell::link(listed.app.as_str(), address("/app", [("name", listed.app.as_str())])),
                Cell::text(listed.login.clone().unwrap_or_default()),
                state(listed),
                Cell::text(why(listed)),
            ];
            if !several {
                row.remove(1);
            }
            row
        });
        let mut head = vec!["Person", "Provider", "App", "Login", "State", "Why"];
        if !several {
            head.remove(1);
        }
        Part::Table { head, rows: rows.collect(), empty: "Nobody." }
    }
}

/// Why somebody should look at it: what is asked for, what is in doubt, what failed, what others changed.
pub(super) fn why(listed: &Listed) -> String {
    let waits = listed.awaiting.map(|awaiting| format!("asks for {}", words::asked_for(awaiting)));
    let doubt = || listed.in_doubt.as_ref().map(|doubt| format!("in doubt: {doubt}"));
    let drift = || (!listed.drift.is_empty()).then(|| format!("changed at the app: {}", listed.drift.join("; ")));
    waits.or_else(doubt).or_else(|| listed.last_error.clone()).or_else(drift).unwrap_or_default()
}

fn state(listed: &Listed) -> Cell {
    let (word, bad) = words::state(listed.state);
    Cell::mark(word, bad || listed.awaiting.is_some())
}

fn facts(subject: &SubjectId, provider: Option<&str>, latest: Option<&RecordedSignIn>) -> Vec<(&'static str, Cell)> {
    let issuer = provider.map_or_else(|| subject.issuer.clone(), |provider| format!("{} ({provider})", subject.issuer));
    let mut facts = vec![("Subject", Cell::code(subject.subject.as_str())), ("Issuer", Cell::text(issuer))];
    let Some(RecordedSignIn { identity, auth_time, at }) = latest else {
        facts.push(("Last sign-in", Cell::text("none on record")));
        return facts;
    };
    let set = |name, value: &Option<String>| value.as_ref().map(|value| (name, Cell::text(value.as_str())));
    facts.extend(set("Name", &identity.name));
    facts.extend(set("User name", &identity.username));
    if let Some(email) = &identity.email {
        facts.push(("E-mail", Cell::text(format!("{email} ({})", if identity.email_verified { "verified" } else { "not verified" }))));
    }
    let groups = match &identity.groups {
        Groups::Known(groups) if groups.is_empty() => "none".to_owned(),
        Groups::Known(groups) => groups.join(", "),
        Groups::Unknown => "the provider did not say".to_owned(),
    };
    facts.push(("Groups", Cell::text(groups)));
    facts.push(("Last sign-in", Cell::text(format!("{} by {}", moment(*at), identity.idp))));
    if *auth_time != Timestamp::from_millis(0) {
        facts.push(("Proven at", Cell::text(moment(*auth_time))));
    }
    facts
}

/// What a form says of whom it is about: this record, and no other.
pub(super) fn whom(listed: &Listed) -> Vec<(&'static str, String)> {
    vec![("app", listed.app.clone()), ("issuer", listed.issuer.clone()), ("subject", listed.subject.clone())]
}

/// A record, and what can be done about it.
fn account(listed: &Listed, now: Timestamp) -> Vec<Part> {
    let since = |at: Option<i64>| at.map(Timestamp::from_seconds).map(|at| format!("{} ({} ago)", moment(at), words::duration(now.since_ms(at))));
    let mut facts = vec![("State", state(listed))];
    let mut fact = |name, value: Option<String>| facts.extend(value.filter(|value| !value.is_empty()).map(|value| (name, Cell::text(value))));
    fact("Waits for a yes", listed.awaiting.map(|awaiting| words::asked_for(awaiting).to_owned()));
    fact("Last error", listed.last_error.clone());
    fact(
        "In doubt",
        listed.in_doubt.as_ref().map(|doubt| format!("{doubt}: sent, and never answered; it is looked up before anything is sent again")),
    );
    fact("Failing since", since(listed.failed_at));
    fact("Tries since then", (listed.attempts > 0).then(|| listed.attempts.to_string()));
    fact("Login", listed.login.clone());
    fact("Id at the app", listed.account_id.clone());
    fact("Came about", listed.origin.as_ref().map(words::word));
    if let Some(left) = &listed.left {
        let at = Timestamp::from_millis(left.at_ms);
        fact("Left", Some(format!("{} ({} ago): {}", moment(at), words::duration(now.since_ms(at)), words::why_left(&left.why))));
        fact("Since then", Some(words::switched_off(left.off).to_owned()));
    }
    for drift in &listed.drift {
        fact("Changed at the app", Some(drift.clone()));
    }
    for (kind, members) in &listed.granted {
        fact("Granted by the gateway", (!members.is_empty()).then(|| format!("{kind}: {}", members.join(", "))));
    }
    fact("Seen to be as wanted", since(listed.verified_at));
    fact("Account approved", since(listed.seat_approved_at));
    fact("Memberships approved", since(listed.join_approved_at));
    fact("Policy revision", Some(listed.policy_revision.clone()));
    let fields = || whom(listed);
    let mut deeds = Vec::new();
    if let Some(awaiting) = listed.awaiting {
        // The yes is to what this page says, whatever waits when it is pressed.
        let fields = [fields(), vec![("awaiting", words::word(&awaiting))]].concat();
        deeds.push(Deed { path: "/approve", fields, button: "Approve", why: Some(true) });
    }
    deeds.push(Deed { path: "/retry", fields: fields(), button: "Retry", why: Some(false) });
    deeds.push(Deed { path: "/forget", fields: fields(), button: "Forget", why: Some(true) });
    let commands = ["show", "retry"].map(|deed| command(deed, listed, &[]) + "\n").concat();
    let says = "Retry forgets the failure: the next page of this person looks at the account anew. Forget drops the gateway's record; the account at the app stays, and \
                the next sign-in is a first one.";
    vec![Part::Facts(facts), Part::Deeds(deeds), Part::Text(says.to_owned()), Part::Lines(commands)]
}
