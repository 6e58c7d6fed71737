//! `reconcile`: everybody who has an account, held against the policy and the app.

use crate::admin::socket::{Call, Command, Level, Reply};
use crate::provision::{Reconciled, Stock};
use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Goes through apps, one at a time.
pub trait Reconciles: Send + Sync + fmt::Debug {
    /// Begins.
    ///
    /// # Errors
    /// Why not, for people: one is under way, or there is no such app.
    fn begin(&self, what: &Reconcile, operator: &str) -> Result<(), String>;
    /// How far it is, or how the last one ended; empty before the first.
    fn progress(&self) -> Progress;
}

/// What is to be gone through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconcile {
    /// Policy name; `None`: every app whose accounts are kept.
    pub app: Option<String>,
    /// Only those for whom the policy wants something else by now.
    pub changed_only: bool,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Whether it is still at it.
    pub running: bool,
    /// The apps it has come to, in order.
    pub apps: Vec<OfApp>,
}

/// One app.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OfApp {
    /// Policy name.
    pub app: String,
    /// So far.
    pub counted: Reconciled,
    /// Why it was given up; `None`: it was not.
    pub error: Option<String>,
    /// The app's accounts against our records; `None`: not looked at, or the app cannot be listed.
    #[serde(default)]
    pub stock: Option<Stock>,
    /// Why the list of the app's accounts did not come.
    #[serde(default)]
    pub stock_error: Option<String>,
}

/// Begins.
#[derive(Debug)]
pub struct BeginReconcile(pub Arc<dyn Reconciles>);

/// Looks how far it is.
#[derive(Debug)]
pub struct LookReconcile(pub Arc<dyn Reconciles>);

#[async_trait]
impl Command for BeginReconcile {
    fn place(&self) -> (Method, &'static str) {
        (Method::POST, "/api/v1/reconcile")
    }

    fn level(&self) -> Level {
        Level::Act
    }

    async fn run(&self, call: Call) -> Reply {
        let what: Reconcile = match call.body() {
            Ok(what) => what,
            Err(no) => return no,
        };
        match self.0.begin(&what, &call.operator) {
            Ok(()) => Reply::json(&self.0.progress()),
            Err(why) => Reply::no(StatusCode::CONFLICT, &why),
        }
    }
}

#[async_trait]
impl Command for LookReconcile {
    fn place(&self) -> (Method, &'static str) {
        (Method::GET, "/api/v1/reconcile")
    }

    fn level(&self) -> Level {
        Level::Look
    }

    async fn run(&self, _call: Call) -> Reply {
        Reply::json(&self.0.progress())
    }
}
