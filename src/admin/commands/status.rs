//! `GET /api/v1/status`: what is loaded, up and pending.

use crate::admin::socket::{Call, Command, Level, Reply};
use async_trait::async_trait;
use http::Method;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Knows how the gateway is.
#[async_trait]
pub trait Statuses: Send + Sync + fmt::Debug {
    /// Now.
    async fn status(&self) -> Status;
}

/// How the gateway is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version that runs.
    pub version: String,
    /// The gateway as a whole.
    pub overview: Overview,
    /// Every app, by name.
    pub apps: Vec<AppStatus>,
    /// Every identity provider, in the order of the file.
    pub providers: Vec<ProviderStatus>,
}

/// The gateway as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// Seconds since the start.
    pub up_s: i64,
    /// Sign-ons in memory: of people who come by, and lately did.
    pub sessions: usize,
    /// Whether what was loaded last was in order as a whole.
    pub last_reload_ok: bool,
    /// When the configuration was last looked at (RFC 3339).
    pub last_reload_at: String,
    /// Keys of the gateway file that wait for a restart.
    pub restart: Vec<String>,
    /// False when the store does not say how many accounts there are.
    pub store_ok: bool,
}

/// One app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppStatus {
    /// Name of its policy.
    pub app: String,
    /// Host that people type.
    pub host: String,
    /// `10.0.4.20:8080`.
    pub upstream: String,
    /// What its traffic of the last minute says of it.
    pub upstream_state: UpstreamState,
    /// Whether its policy is in order.
    pub policy: PolicyState,
    /// Since when the policy in force has been (RFC 3339); `None` when none is.
    pub since: Option<String>,
    /// Errors in its file as it is now.
    pub errors: usize,
    /// Accounts on record.
    pub accounts: u64,
    /// Records that wait for another try or for a person, and accounts that lack something.
    pub failed: u64,
    /// Requests a second, over the last minute.
    pub requests_per_s: f64,
    /// 95 of 100 requests of the last minute were answered within so many milliseconds; `None` without requests.
    pub p95_ms: Option<u64>,
    /// Why its admin API is not asked at present: `half_open`, `open`, `quarantined`; `None` while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_api: Option<String>,
}

/// What an app's traffic says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamState {
    /// It answers.
    Up,
    /// It answers, late.
    Slow,
    /// It has not answered.
    Down,
    /// Nobody has asked.
    Idle,
}

/// Whether an app's policy is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyState {
    /// What the file says is in force.
    Ok,
    /// An older version is: what the file says now is not in order.
    Stale,
    /// None is: the file never was in order.
    NotLoaded,
}

/// One identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// `[[idp]] id`.
    pub id: String,
    /// Issuer identifier or entity id; `None` while metadata that would say it has not been read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Age of its keys, seconds; `None` when none have been needed yet.
    pub keys_age_s: Option<i64>,
}

/// The command.
#[derive(Debug)]
pub struct Looks(pub Arc<dyn Statuses>);

#[async_trait]
impl Command for Looks {
    fn place(&self) -> (Method, &'static str) {
        (Method::GET, "/api/v1/status")
    }

    fn level(&self) -> Level {
        Level::Look
    }

    async fn run(&self, _call: Call) -> Reply {
        Reply::json(&self.0.status().await)
    }
}
