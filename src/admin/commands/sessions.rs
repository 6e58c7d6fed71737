//! `sessions`: who is signed in, and the end of it.

use crate::admin::socket::{Call, Command, Level, Reply};
use crate::session::operators::{By, Listed, Sessions, Which};
use crate::state::StoreError;
use async_trait::async_trait;
use http::{Method, StatusCode};

/// Lists them.
#[derive(Debug)]
pub struct ListSessions(pub Sessions);

/// Ends them.
#[derive(Debug)]
pub struct RevokeSessions(pub Sessions);

#[async_trait]
impl Command for ListSessions {
    fn place(&self) -> (Method, &'static str) {
        (Method::GET, "/api/v1/sessions")
    }

    fn level(&self) -> Level {
        Level::Look
    }

    async fn run(&self, call: Call) -> Reply {
        let which = match (call.parameter("user"), call.parameter("id")) {
            (Some(user), _) => Which::User(user),
            (None, Some(id)) => Which::Id(id),
            (None, None) => Which::All,
        };
        answer(self.0.list(&which).await)
    }
}

#[async_trait]
impl Command for RevokeSessions {
    fn place(&self) -> (Method, &'static str) {
        (Method::POST, "/api/v1/sessions/revoke")
    }

    fn level(&self) -> Level {
        Level::Act
    }

    async fn run(&self, call: Call) -> Reply {
        match call.body::<Which>() {
            Ok(which) => {
                let by = By { operator: &call.operator, why: "by an operator", console: None };
                answer(self.0.revoke(&which, by).await)
            }
            Err(no) => no,
        }
    }
}

fn answer(found: Result<Vec<Listed>, StoreError>) -> Reply {
    match found {
        Ok(sessions) => Reply::json(&sessions),
        Err(error) => Reply::no(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}
