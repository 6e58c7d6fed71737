//! What the forms of the console do.
//!
//! Lives here: [`Console::act`]. In order: may this person act, did a page of ours send it, is it complete, is the sign-in recent enough; then it is told to the
//! auditors, then done. Every act is one that the command line has as well, by the same functions.

use super::Console;
use super::door::{Operator, refused};
use super::words;
use crate::admin::commands::{Reloaded, status_of};
use crate::fault::PublicMessage;
use crate::identity::SubjectId;
use crate::login::OwnRequest;
use crate::pages::LOGIN_PATH;
use crate::pages::console::{Cell, Page, Part, Said};
use crate::provision::PeopleError;
use crate::session::operators::{By, Which};
use crate::state::{AccountKey, Awaiting, SignOnId, StoreError};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;
use std::collections::HashMap;

/// A reason is a sentence.
const WHY_CHARS_MAX: usize = 200;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Retry,
    Approve,
    ApproveLeavers,
    Forget,
    End,
    EndAll,
    Reload,
}

impl Act {
    fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/retry" => Self::Retry,
            "/approve" => Self::Approve,
            "/approve-leavers" => Self::ApproveLeavers,
            "/forget" => Self::Forget,
            "/end" => Self::End,
            "/end-all" => Self::EndAll,
            "/reload" => Self::Reload,
            _ => return None,
        })
    }

    /// What it is to be called when it is done.
    const fn said(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Approve => "approved",
            Self::ApproveLeavers => "approved-leavers",
            Self::Forget => "forgotten",
            Self::End => "ended",
            Self::EndAll => "ended-all",
            Self::Reload => "reloaded",
        }
    }

    /// Whether somebody has to say why.
    const fn wants_a_reason(self) -> bool {
        matches!(self, Self::Approve | Self::ApproveLeavers | Self::Forget | Self::End | Self::EndAll)
    }

    /// Whether the sign-in must be recent: it cannot be taken back.
    const fn wants_a_fresh_sign_in(self) -> bool {
        matches!(self, Self::Forget | Self::EndAll)
    }
}

/// What is said when something was done.
pub(super) fn said(key: &str) -> Option<&'static str> {
    Some(match key {
        "retried" => "The next page that this person opens tries again.",
        "approved" => "Approved. It is done when this person next comes by; whoever has left is switched off, or removed, within a minute or two.",
        "approved-leavers" => {
            "Approved for everybody who had left. They are switched off, or removed, within a minute or two; whoever was being worked on at that moment waits on."
        }
        "forgotten" => "The record is forgotten. The account at the app is as it was.",
        "ended" => "The session has ended, in every app.",
        "ended-all" => "All sessions of this person have ended, in every app.",
        _ => return None,
    })
}

/// Why it was not done.
enum Not {
    Incomplete(&'static str),
    People(PeopleError),
    Store(StoreError),
    NoReload,
}

impl From<StoreError> for Not {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<PeopleError> for Not {
    fn from(error: PeopleError) -> Self {
        Self::People(error)
    }
}

/// The fields of a form, each there once.
struct Form(HashMap<String, String>);

impl Form {
    fn of(body: &[u8]) -> Option<Self> {
        let mut fields = HashMap::new();
        for (name, value) in form_urlencoded::parse(body) {
            if fields.insert(name.into_owned(), value.into_owned()).is_some() {
                return None;
            }
        }
        Some(Self(fields))
    }

    /// The person it is about.
    fn person(&self) -> Result<SubjectId, Not> {
        Ok(SubjectId { issuer: self.get("issuer")?.to_owned(), subject: self.get("subject")?.to_owned() })
    }

    /// What the operator saw waiting.
    fn awaiting(&self) -> Option<Awaiting> {
        self.0.get("awaiting").and_then(|word| serde_json::from_value(Value::from(word.as_str())).ok())
    }

    fn get(&self, name: &'static str) -> Result<&str, Not> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty()).ok_or(Not::Incomplete(name))
    }

    /// The reason, without what could pass for another line.
    fn why(&self) -> String {
        let why = self.0.get("why").map(|why| why.trim()).unwrap_or_default();
        why.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(WHY_CHARS_MAX).collect()
    }
}

impl Console {
    /// Does what a form asks for, or says why not.
    pub(super) async fn act(&self, request: &OwnRequest, operator: &Operator) -> Response<Bytes> {
        let Some(act) = Act::at(&request.path) else { return self.not(request, operator, StatusCode::NOT_FOUND, "There is no such page.") };
        if !operator.may_act {
            refused(request, &operator.name, &operator.identity, "viewer");
            return self.not(request, operator, StatusCode::FORBIDDEN, "You may look, and not act: that is for members of [admin] groups.");
        }
        let form = Form::of(&request.body);
        let token = form.as_ref().and_then(|form| form.0.get("token")).map(String::as_str);
        let form = match form.as_ref() {
            Some(form) if self.is_own_form(request, operator, token) => form,
            _ => {
                refused(request, &operator.name, &operator.identity, "csrf");
                let text = "This did not come from a page of the console, or that page is from an earlier session. Nothing was done. Go back, reload, try again.";
                return self.not(request, operator, StatusCode::FORBIDDEN, text);
            }
        };
        if act.wants_a_reason() && form.why().is_empty() {
            return self.not(request, operator, StatusCode::BAD_REQUEST, "Nothing was done: say why. It stands in the audit log.");
        }
        if act.wants_a_fresh_sign_in() && !operator.is_fresh(self.parts.clock.now()) {
            return self.fresh_first(request, operator, form);
        }
        tracing::info!(
            target: "audit",
            action = "admin.command",
            incident = %request.incident,
            operator = operator.name,
            idp = operator.identity.idp,
            user.iss = operator.identity.subject.issuer,
            user.sub = operator.identity.subject.subject,
            src.ip = %request.peer,
            url.path = request.path,
            app = form.0.get("app"),
            issuer = form.0.get("issuer"),
            subject = form.0.get("subject"),
            session = form.0.get("session"),
            awaiting = form.0.get("awaiting"),
            reason = form.why(),
            source = "console",
        );
        match self.perform(act, request, operator, form).await {
            Ok(Done::Back(to)) => self.look.see_other(&to, request.incident),
            Ok(Done::Reloaded(reloaded)) => self.page(request, operator, StatusCode::OK, &reload_page(&reloaded)),
            Err(not) => {
                let (status, text) = not.told(request);
                let mut page = self.nothing(text);
                "Not done".clone_into(&mut page.title);
                if let Ok(person) = form.person() {
                    page.parts.push(Part::More { href: words::person(&person.issuer, &person.subject), text: "Back to the person" });
                }
                self.page(request, operator, status, &page)
            }
        }
    }

    async fn perform(&self, act: Act, request: &OwnRequest, operator: &Operator, form: &Form) -> Result<Done, Not> {
        let by = operator.name.as_str();
        let people = &self.parts.people;
        let back = |person: &SubjectId| {
            let parameters = [("issuer", person.issuer.as_str()), ("subject", person.subject.as_str()), ("said", act.said())];
            Done::Back(words::address("/person", parameters))
        };
        let why = form.why();
        let ended_by = By { operator: by, why: &why, console: Some(request.incident) };
        match act {
            Act::Reload => {
                let reloads = self.reloads.get().ok_or(Not::NoReload)?;
                Ok(Done::Reloaded(reloads.reload_from_console(by).await))
            }
            Act::Retry | Act::Approve | Act::Forget => {
                let key = AccountKey { upstream: form.get("app")?.to_owned(), subject: form.person()? };
                match act {
                    Act::Approve => people.approve(&key, form.awaiting(), by).await?,
                    Act::Forget => people.forget(&key, by).await?,
                    Act::Retry | Act::ApproveLeavers | Act::End | Act::EndAll | Act::Reload => people.retry(&key, by).await?,
                };
                Ok(back(&key.subject))
            }
            Act::ApproveLeavers => {
                let app = form.get("app")?;
                people.approve_leavers(app, by).await?;
                Ok(Done::Back(words::address("/app", [("name", app), ("said", act.said())])))
            }
            Act::End => {
                let id = SignOnId::of_name(form.get("session")?).ok_or(Not::Incomplete("session"))?;
                let sign_on = self.parts.store.sign_on(id).await?.ok_or(Not::Incomplete("session"))?;
                self.parts.sessions.end(&sign_on, ended_by).await?;
                Ok(back(&sign_on.identity.subject))
            }
            Act::EndAll => {
                let person = form.person()?;
                self.parts.sessions.revoke(&Which::Person(person.clone()), ended_by).await?;
                Ok(back(&person))
            }
        }
    }

    fn not(&self, request: &OwnRequest, operator: &Operator, status: StatusCode, text: &str) -> Response<Bytes> {
        let mut page = self.nothing(text.to_owned());
        "Not done".clone_into(&mut page.title);
        self.page(request, operator, status, &page)
    }

    /// A link, never a redirect: Chrome applies `form-action` to what follows a form.
    fn fresh_first(&self, request: &OwnRequest, operator: &Operator, form: &Form) -> Response<Bytes> {
        let of = |name: &str| form.0.get(name).map(String::as_str).unwrap_or_default();
        let to = if of("issuer").is_empty() { "/people".to_owned() } else { words::person(of("issuer"), of("subject")) };
        let href = words::address(LOGIN_PATH, [("to", to.as_str()), ("fresh", "1")]);
        let page = Page {
            title: "Sign in again first".to_owned(),
            place: "",
            said: Some(Said {
                good: false,
                text: "Nothing was done. What cannot be taken back asks for a sign-in of the last 15 minutes.".to_owned(),
            }),
            parts: vec![Part::More { href, text: "Sign in again" }],
        };
        self.page(request, operator, StatusCode::FORBIDDEN, &page)
    }
}

/// What it came to.
enum Done {
    /// Done; what it was about is shown there.
    Back(String),
    /// The configuration was looked at.
    Reloaded(Reloaded),
}

impl Not {
    fn told(&self, request: &OwnRequest) -> (StatusCode, String) {
        match self {
            Self::Incomplete(name) => {
                (StatusCode::BAD_REQUEST, format!("Nothing was done: `{name}` is missing, or there is nothing of that name any more."))
            }
            Self::NoReload => (StatusCode::CONFLICT, "This gateway was started without files: there is nothing to load.".to_owned()),
            Self::People(error) => (status_of(error), format!("Not done: {error}.")),
            Self::Store(error) => {
                tracing::error!(incident = %request.incident, %error, "an operator's act was not done: the store");
                (StatusCode::SERVICE_UNAVAILABLE, format!("The state store does not answer: {}.", PublicMessage::StoreDown.words()))
            }
        }
    }
}

fn reload_page(reloaded: &Reloaded) -> Page {
    let rows = reloaded.entries.iter().map(|entry| {
        let came = match (entry.loaded, &entry.serving_since) {
            (true, _) => Cell::mark("loaded", false),
            (false, Some(since)) => Cell::mark(format!("not loaded, serving the version of {}", words::written(since)), true),
            (false, None) => Cell::mark("not loaded", true),
        };
        vec![Cell::text(entry.file.as_str()), Cell::text(words::word(&entry.change)), came, Cell::text(entry.why.as_str())]
    });
    let mut parts = vec![Part::Table { head: vec!["File", "Change", "Came", "Why"], rows: rows.collect(), empty: "Nothing has changed." }];
    if !reloaded.restart.is_empty() {
        parts.push(Part::Text(format!("Only a restart changes {}.", reloaded.restart.join(", "))));
    }
    if !reloaded.problems.is_empty() {
        parts.push(Part::Heading("Problems, as `vestibule check` prints them".to_owned()));
        parts.push(Part::Lines(reloaded.problems.clone()));
    }
    let text = if reloaded.ok { "Everything is in force as it is written." } else { "Not everything is in order: what was in force before stays." };
    Page { title: "Reload".to_owned(), place: "/", said: Some(Said { good: reloaded.ok, text: text.to_owned() }), parts }
}
