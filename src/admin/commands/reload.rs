//! `POST /api/v1/reload`: check, then swap; or say why not.

use crate::admin::socket::{Call, Command, Level, Reply};
use async_trait::async_trait;
use http::Method;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Loads the configuration again.
#[async_trait]
pub trait Reloads: Send + Sync + fmt::Debug {
    /// Check, then swap what is in order; `operator` is who asked, for the audit log.
    async fn reload(&self, operator: &str) -> Reloaded;
    /// The same for somebody at the console.
    async fn reload_from_console(&self, operator: &str) -> Reloaded;
}

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reloaded {
    /// Whether everything is in force as it is written.
    pub ok: bool,
    /// What changed, and what is not in order.
    pub entries: Vec<Entry>,
    /// Policies that are in force as before.
    pub unchanged: usize,
    /// Keys of the gateway file that only a restart changes, and that differ from what runs.
    pub restart: Vec<String>,
    /// Every problem, as `vestibule check` prints them; empty when there is none.
    pub problems: String,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// As it is known to operators, e.g. `policies/redmine.toml`.
    pub file: String,
    /// The app, when it is a policy.
    pub app: Option<String>,
    /// What happened to it since it was last loaded.
    pub change: Change,
    /// Errors in it.
    pub errors: usize,
    /// `[[test]]` blocks in it.
    pub tests: usize,
    /// Whether what it says now is in force.
    pub loaded: bool,
    /// Since when what is in force instead has been (RFC 3339); `None` when nothing is.
    pub serving_since: Option<String>,
    /// What is wrong, in a few words; empty when nothing is.
    pub why: String,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Was not there.
    Added,
    /// Says something else.
    Changed,
    /// Is not there any more.
    Removed,
    /// Says the same; a secret or certificate that it names is another one.
    Secret,
    /// Says the same; it was not in order before, or is not now.
    Unchanged,
}

/// The command.
#[derive(Debug)]
pub struct Reload(pub Arc<dyn Reloads>);

#[async_trait]
impl Command for Reload {
    fn place(&self) -> (Method, &'static str) {
        (Method::POST, "/api/v1/reload")
    }

    fn level(&self) -> Level {
        Level::Act
    }

    async fn run(&self, call: Call) -> Reply {
        Reply::json(&self.0.reload(&call.operator).await)
    }
}
