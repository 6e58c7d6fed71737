//! `users`: who has an account at which app, who waits, who has failed; the yes, another try, and forgetting.

use super::Statuses;
use crate::admin::socket::{Call, Command, Level, Reply};
use crate::identity::SubjectId;
use crate::provision::{Listed, People, PeopleError, Which};
use crate::state::{AccountKey, Awaiting};
use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Lists people, or shows one.
#[derive(Debug)]
pub struct ListUsers(pub People, pub Arc<dyn Statuses>);

/// Does something about one person.
#[derive(Debug)]
pub struct ActOnUser {
    /// What.
    pub deed: Deed,
    /// To whom.
    pub people: People,
}

/// Says that everybody who has left an app may be switched off there.
#[derive(Debug)]
pub struct ApproveLeavers(pub People, pub Arc<dyn Statuses>);

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// What waited for a human may go on.
    Approve,
    /// The next request of the person tries again.
    Retry,
    /// The gateway's record goes; the account at the app stays.
    Forget,
    /// Another account at the app is this person's.
    Relink,
}

impl Deed {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Approve, Self::Retry, Self::Forget, Self::Relink];
}

/// Whom a deed is about: one record, and no words that others may go by as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whom {
    /// Policy name.
    pub app: String,
    /// Who vouches for the person.
    pub issuer: String,
    /// Their name there.
    pub subject: String,
    /// The app's id of the account, for [`Deed::Relink`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What was seen to wait for a yes, for [`Deed::Approve`]: nothing else is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting: Option<Awaiting>,
}

/// Whose leavers [`ApproveLeavers`] is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaversOf {
    /// Policy name.
    pub app: String,
}

impl Whom {
    /// The person of this record, and what it waits for.
    pub fn of(listed: &Listed) -> Self {
        let (app, issuer, subject) = (listed.app.clone(), listed.issuer.clone(), listed.subject.clone());
        Self { app, issuer, subject, account: None, awaiting: listed.awaiting }
    }

    /// The record.
    pub fn key(&self) -> AccountKey {
        let subject = SubjectId { issuer: self.issuer.clone(), subject: self.subject.clone() };
        AccountKey { upstream: self.app.clone(), subject }
    }
}

/// What does `deed` (`show`, `retry`, …) about this very person on a shell, whoever else is called the same; `further` comes after it.
pub fn command(deed: &str, listed: &Listed, further: &[String]) -> String {
    let by = ["--issuer".to_owned(), listed.issuer.clone()];
    let whom = [listed.app.clone(), listed.subject.clone()];
    let words = if listed.subject.starts_with('-') {
        // What comes after `--` is no option, whatever it looks like.
        [&by, further, &["--".to_owned()], &whom].concat()
    } else {
        [&whom, by.as_slice(), further].concat()
    };
    let words: Vec<String> = words.iter().map(|word| shell(word)).collect();
    format!("vestibule users {deed} {}", words.join(" "))
}

/// One word of a shell, quoted where it needs to be.
pub fn shell(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@:/+%=".contains(&byte));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[async_trait]
impl Command for ListUsers {
    fn place(&self) -> (Method, &'static str) {
        (Method::GET, "/api/v1/users")
    }

    fn level(&self) -> Level {
        Level::Look
    }

    async fn run(&self, call: Call) -> Reply {
        let app = call.parameter("app");
        if let (Some(app), Some(person)) = (&app, call.parameter("person")) {
            let called = self.0.called(app, &person, call.parameter("issuer").as_deref()).await;
            return match called {
                Err(PeopleError::NotFound { .. }) => unknown(app, &self.0, &self.1).await.unwrap_or_else(|| answer(called)),
                _ => answer(called),
            };
        }
        let written = call.parameter("which").unwrap_or_else(|| "all".to_owned());
        let Some(which) = Which::of_word(&written) else {
            let words = Which::ALL.map(|(_, word)| word).join(", ");
            return Reply::no(StatusCode::BAD_REQUEST, &format!("which: one of {words}, not `{written}`"));
        };
        let listed = self.0.list(app.as_deref(), which).await;
        match (&app, &listed) {
            (Some(app), Ok(nobody)) if nobody.is_empty() => unknown(app, &self.0, &self.1).await.unwrap_or_else(|| answer(listed)),
            _ => answer(listed),
        }
    }
}

#[async_trait]
impl Command for ActOnUser {
    fn place(&self) -> (Method, &'static str) {
        let path = match self.deed {
            Deed::Approve => "/api/v1/users/approve",
            Deed::Retry => "/api/v1/users/retry",
            Deed::Forget => "/api/v1/users/forget",
            Deed::Relink => "/api/v1/users/relink",
        };
        (Method::POST, path)
    }

    fn level(&self) -> Level {
        Level::Act
    }

    async fn run(&self, call: Call) -> Reply {
        let whom: Whom = match call.body() {
            Ok(whom) => whom,
            Err(no) => return no,
        };
        let (key, by) = (whom.key(), call.operator.as_str());
        answer(match self.deed {
            Deed::Approve => self.people.approve(&key, whom.awaiting, by).await,
            Deed::Retry => self.people.retry(&key, by).await,
            Deed::Forget => self.people.forget(&key, by).await,
            Deed::Relink => match whom.account.as_deref().filter(|account| !account.is_empty()) {
                Some(account) => self.people.relink(&key, account, by).await,
                None => return Reply::no(StatusCode::BAD_REQUEST, "account: the app's id of the account is missing"),
            },
        })
    }
}

#[async_trait]
impl Command for ApproveLeavers {
    fn place(&self) -> (Method, &'static str) {
        (Method::POST, "/api/v1/users/approve-leavers")
    }

    fn level(&self) -> Level {
        Level::Act
    }

    async fn run(&self, call: Call) -> Reply {
        match call.body::<LeaversOf>() {
            Ok(LeaversOf { app }) => match unknown(&app, &self.0, &self.1).await {
                None => answer(self.0.approve_leavers(&app, &call.operator).await),
                Some(no) => no,
            },
            Err(no) => no,
        }
    }
}

/// The answer when nobody knows of `app`: it has neither a policy, in order or not, nor a record of anybody.
async fn unknown(app: &str, people: &People, apps: &Arc<dyn Statuses>) -> Option<Reply> {
    let recorded = match people.apps().await {
        Ok(recorded) => recorded,
        Err(error) => return Some(answer::<()>(Err(error))),
    };
    let known: BTreeSet<String> = apps.status().await.apps.into_iter().map(|known| known.app).chain(recorded).collect();
    (!known.contains(app)).then(|| Reply::no(StatusCode::NOT_FOUND, &no_app(app, &known)))
}

/// What is said of an app that there is not.
pub fn no_app(app: &str, known: &BTreeSet<String>) -> String {
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    let are = if names.len() == 1 { "is" } else { "are" };
    let there = if names.is_empty() { "are none".to_owned() } else { format!("{are} {}", names.join(", ")) };
    format!("there is no app `{}`; there {there}", app.escape_debug())
}

fn answer<T: Serialize>(found: Result<T, PeopleError>) -> Reply {
    match found {
        Ok(found) => Reply::json(&found),
        Err(error) => Reply::no(status_of(&error), &error.to_string()),
    }
}

/// How operators are told, at the socket and at the console.
pub fn status_of(error: &PeopleError) -> StatusCode {
    match error {
        PeopleError::NotFound { .. } => StatusCode::NOT_FOUND,
        PeopleError::NothingToApprove { .. } | PeopleError::WaitsForAnother { .. } | PeopleError::Taken { .. } | PeopleError::Busy => {
            StatusCode::CONFLICT
        }
        PeopleError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// One answer of a list: the same type on both ends.
pub type Users = Vec<Listed>;

#[cfg(test)]
mod tests {
    use super::{Whom, command, shell};
    use crate::identity::SubjectId;
    use crate::provision::Listed;
    use crate::state::{AccountKey, AccountRecord};

    #[test]
    fn a_command_names_one_person_whatever_they_are_called() {
        let check = |issuer: &str, subject: &str, further: &[&str], expected: &str| {
            let subject = SubjectId { issuer: issuer.to_owned(), subject: subject.to_owned() };
            let listed = Listed::of(&AccountRecord::empty(AccountKey { upstream: "wiki".to_owned(), subject }, "r1"));
            let further: Vec<String> = further.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(command("retry", &listed, &further), expected);
            assert_eq!(Whom::of(&listed).key(), listed.key());
        };
        check("https://idp", "ada", &[], "vestibule users retry wiki ada --issuer https://idp");
        check("https://idp", "a b'c", &["--yes"], "vestibule users retry wiki 'a b'\\''c' --issuer https://idp --yes");
        check("urn:x;rm -rf", "-x", &[], "vestibule users retry --issuer 'urn:x;rm -rf' -- wiki -x");
        check("https://idp", "", &[], "vestibule users retry wiki '' --issuer https://idp");
    }

    #[test]
    fn a_word_of_a_shell_is_one_word() {
        assert_eq!([shell("a-b@c"), shell("a b"), shell("it's"), shell("")], ["a-b@c", "'a b'", "'it'\\''s'", "''"]);
    }
}
