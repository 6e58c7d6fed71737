//! `users`: who has an account at which app, who waits, who has failed; the yes, another try, and forgetting.

use crate::admin::socket::{Call, Command, Level, Reply};
use crate::provision::{Listed, People, PeopleError, Which};
use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

/// Lists people, or shows one.
#[derive(Debug)]
pub struct ListUsers(pub People);

/// Does something about one person.
#[derive(Debug)]
pub struct ActOnUser {
    /// What.
    pub deed: Deed,
    /// To whom.
    pub people: People,
}

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
    /// Everybody who has left an app may be switched off there.
    ApproveLeavers,
}

impl Deed {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Approve, Self::Retry, Self::Forget, Self::Relink, Self::ApproveLeavers];
}

/// Whom a deed is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whom {
    /// Policy name.
    pub app: String,
    /// Subject, login, e-mail address or user name; empty where a deed is about everybody.
    #[serde(default)]
    pub person: String,
    /// The app's id of the account, for [`Deed::Relink`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
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
            return answer(self.0.show(app, &person).await.map(|one| vec![one]));
        }
        let which = match call.parameter("which").as_deref() {
            Some("failed") => Which::Failed,
            Some("waiting") => Which::Waiting,
            None | Some("all") => Which::All,
            Some(other) => return Reply::no(StatusCode::BAD_REQUEST, &format!("which: all, failed or waiting, not `{other}`")),
        };
        answer(self.0.list(app.as_deref(), which).await)
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
            Deed::ApproveLeavers => "/api/v1/users/approve-leavers",
        };
        (Method::POST, path)
    }

    fn level(&self) -> Level {
        Level::Act
    }

    async fn run(&self, call: Call) -> Reply {
        let Whom { app, person, account } = match call.body() {
            Ok(whom) => whom,
            Err(no) => return no,
        };
        answer(match self.deed {
            Deed::Approve => self.people.approve(&app, &person, &call.operator).await,
            Deed::Retry => self.people.retry(&app, &person, &call.operator).await,
            Deed::Forget => self.people.forget(&app, &person, &call.operator).await,
            Deed::Relink => match account.as_deref().filter(|account| !account.is_empty()) {
                Some(account) => self.people.relink(&app, &person, account, &call.operator).await,
                None => return Reply::no(StatusCode::BAD_REQUEST, "account: the app's id of the account is missing"),
            },
            Deed::ApproveLeavers => return answer(self.people.approve_leavers(&app, &call.operator).await),
        })
    }
}

fn answer<T: Serialize>(found: Result<T, PeopleError>) -> Reply {
    let error = match found {
        Ok(found) => return Reply::json(&found),
        Err(error) => error,
    };
    let status = match &error {
        PeopleError::NotFound { .. } => StatusCode::NOT_FOUND,
        PeopleError::Ambiguous { .. } | PeopleError::NothingToApprove { .. } | PeopleError::Taken { .. } | PeopleError::Busy => StatusCode::CONFLICT,
        PeopleError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Reply::no(status, &error.to_string())
}

/// One answer of a list: the same type on both ends.
pub type Users = Vec<Listed>;
