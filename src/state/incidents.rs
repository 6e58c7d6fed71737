//! What stood behind every page that said no, under the code that the person was shown.
//!
//! Lives here: [`IncidentRecord`] and the port [`IncidentStore`]. Apart from the audit log because it answers one question, "what was 7KQ4-M2XD?", and because
//! it is bounded: in time, in number, and what strangers can cause cannot push out what happened to people. Never in a record: a query, a body, a token, a cookie.

use super::StoreError;
use crate::clock::Timestamp;
use crate::fault::{Incident, PublicMessage};
use crate::identity::Identity;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// One answer of ours that was not what somebody asked for.
#[derive(Clone, PartialEq)]
pub struct IncidentRecord {
    /// What the person reads out.
    pub code: Incident,
    /// When.
    pub at: Timestamp,
    /// What stood behind it.
    pub facts: IncidentFacts,
}

/// What stood behind an incident.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentFacts {
    /// What the page said.
    pub message: PublicMessage,
    /// Why: the key of the policy that refused (`groups`), or the check that failed at sign-in; empty when the message says it all.
    pub reason: String,
    /// What the log said: for provisioning the step and its outcome, for sign-in the check with both values.
    pub detail: Option<String>,
    /// Policy name of the app.
    pub app: Option<String>,
    /// Host that was asked for, where it is known.
    pub host: Option<String>,
    /// Where the rule that refused stood, e.g. `policies/redmine.toml:23`.
    pub rule: Option<String>,
    /// Revision of the policy that decided.
    pub policy_revision: Option<String>,
    /// Method of the request.
    pub method: Option<String>,
    /// Canonical path, without query.
    pub path: Option<String>,
    /// The client.
    pub peer: Option<IpAddr>,
    /// The provider, where a sign-in failed.
    pub idp: Option<String>,
    /// Who was signed in, as asserted then.
    pub person: Option<Identity>,
    /// When they had signed in, in milliseconds since the epoch.
    pub auth_time_ms: Option<i64>,
    /// Whether it was an access token that said who it was.
    #[serde(default)]
    pub bearer: bool,
}

impl fmt::Debug for IncidentRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the person and the path.
        f.debug_struct("IncidentRecord").field("code", &self.code).field("at", &self.at).field("facts", &self.facts).finish()
    }
}

impl fmt::Debug for IncidentFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncidentFacts").field("message", &self.message).field("reason", &self.reason).field("app", &self.app).finish_non_exhaustive()
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncidentBounds {
    /// Nothing from before this moment.
    pub since: Timestamp,
    /// At most so many of signed-in people.
    pub of_people_max: u32,
    /// At most so many of strangers: these can be caused at will, and push out only each other.
    pub of_strangers_max: u32,
}

/// Incidents, by code.
#[async_trait]
pub trait IncidentStore: Send + Sync + fmt::Debug {
    /// Keeps these, all or none of them. A code that is taken is taken over: forty random bits meet once in a lifetime.
    async fn keep_incidents(&self, incidents: &[IncidentRecord]) -> Result<(), StoreError>;
    /// The one with this code.
    async fn incident(&self, code: Incident) -> Result<Option<IncidentRecord>, StoreError>;
    /// Those since a moment, newest first, at most `limit`.
    async fn incidents_since(&self, since: Timestamp, limit: u32) -> Result<Vec<IncidentRecord>, StoreError>;
    /// Deletes what is out of bounds, oldest first; returns how many.
    async fn sweep_incidents(&self, bounds: IncidentBounds) -> Result<u64, StoreError>;
}
