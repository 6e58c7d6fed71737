//! `keys`: what the identity JWTs of applications are signed with, and a new one.

use crate::admin::socket::{Call, Command, Level, Reply};
use crate::signer::{KeyRing, RotateError};
use async_trait::async_trait;
use http::{Method, StatusCode};

/// Lists them.
#[derive(Debug)]
pub struct ListKeys(pub KeyRing);

/// Makes a new one.
#[derive(Debug)]
pub struct RotateKeys(pub KeyRing);

#[async_trait]
impl Command for ListKeys {
    fn place(&self) -> (Method, &'static str) {
        (Method::GET, "/api/v1/keys")
    }

    fn level(&self) -> Level {
        Level::Look
    }

    async fn run(&self, _call: Call) -> Reply {
        Reply::json(&self.0.list())
    }
}

#[async_trait]
impl Command for RotateKeys {
    fn place(&self) -> (Method, &'static str) {
        (Method::POST, "/api/v1/keys/rotate")
    }

    fn level(&self) -> Level {
        Level::Act
    }

    async fn run(&self, call: Call) -> Reply {
        match self.0.rotate(&call.operator).await {
            Ok(keys) => Reply::json(&keys),
            Err(error @ RotateError::TooSoon) => Reply::no(StatusCode::CONFLICT, &error.to_string()),
            Err(error @ RotateError::Sign(_)) => Reply::no(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        }
    }
}
