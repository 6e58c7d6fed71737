//! Whether a connector does what every connector must: the conformance kit.
//!
//! Lives here: the scenarios of every connector (`scenes.rs` those about one call, `jobs.rs` those about a sign-in, `live.rs` those that can be played with a running app), the table that they are printed as (`show.rs`), and
//! the scripted apps that they are played against: one engine (`server.rs`, over the rows of `table.rs`) and one small file of data for each app,
//! `dialects/APP.toml` (`dialect.rs`).
//!
//! Apart because it drives the connector's real engine and the real desk from outside, as an app and a person would. The scripted apps are in the binary and not among the
//! tests, since whoever writes a connector runs the kit (`vestibule connectors test ./mine.toml --dialect ./mine.dialect.toml`) long before anybody tests the
//! gateway. There is no network in it: a scripted app is a [`Transport`](crate::outbound::Transport). It knows no app by name.

mod backstage;
mod counter;
mod dialect;
mod jobs;
#[cfg(test)]
mod leavers;
pub mod live;
mod scenes;
mod server;
pub mod show;
mod table;

pub use dialect::{Dialect, connector_of, dialects, scripted};

use crate::connector::model::Model;
use backstage::Backstage;
use std::sync::Arc;

/// What a scenario came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be; what was seen, in a few words.
    Held(String),
    /// It says nothing about this app; why.
    NotApplicable(String),
    /// What was seen instead.
    Failed(String),
}

/// A scenario, played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is about.
    pub scenario: &'static str,
    /// What it came to.
    pub verdict: Verdict,
}

/// Plays every scenario with `model` against the scripted app, each on a fresh one.
///
/// # Errors
/// The dialect does not fit the connector: its policy does not compile with it, in words.
pub fn run(model: &Arc<Model>, dialect: &Arc<Dialect>) -> Result<Vec<Row>, String> {
    let stage = Backstage::new(model, dialect)?;
    let play = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().ok()?;
        let silent = tracing::subscriber::NoSubscriber::default();
        Some(tracing::subscriber::with_default(silent, || runtime.block_on(all(&stage))))
    };
    // A thread of its own: the caller may be inside a runtime, where nothing may be waited for.
    let played = std::thread::scope(|scope| scope.spawn(play).join());
    played.ok().flatten().ok_or_else(|| "the scenarios broke off".to_owned())
}

async fn all(stage: &Backstage) -> Vec<Row> {
    let mut rows = scenes::play(stage).await;
    rows.extend(jobs::play(stage).await);
    rows.sort_by_key(|row| ORDER.iter().position(|scenario| *scenario == row.scenario));
    rows
}

/// The scenarios, in the order in which they are shown.
pub const ORDER: [&str; 31] = [
    "probe",
    "probe, bad credential",
    "lookup, absent",
    "lookup, exact",
    "lookup, prefix neighbour",
    "lookup, case neighbour",
    "lookup, switched-off account",
    "lookup, administrator",
    "lookup, somebody else's e-mail",
    "lookup, operator characters",
    "list",
    "create",
    "create, exists",
    "create, e-mail taken",
    "create, invalid name",
    "create, reply lost after commit",
    "create, then a membership fails",
    "update",
    "membership, granted twice",
    "membership, taken back twice",
    "membership, unknown group",
    "membership, other letter case",
    "membership, given by hand",
    "disable",
    "disable, twice",
    "disable, last administrator",
    "enable",
    "gone out of band",
    "429 with Retry-After",
    "500 with HTML",
    "200 that is no JSON",
];

#[cfg(test)]
mod tests;
