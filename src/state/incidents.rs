//! What stood behind every page that said no, under the code that the person was shown.
//!
//! Lives here: [`IncidentRecord`] and the port [`IncidentStore`]. Apart from the audit log because it answers one question, "what was 7KQ4-M2XD?", and because
//! it is bounded: in time, in number, in bytes and for each person, and what strangers can cause cannot push out what happened to people. Never in a record: a query, a body, a token, a cookie.

use super::StoreError;
use crate::clock::Timestamp;
use crate::fault::{Incident, PublicMessage};
use crate::identity::{Groups, Identity};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use zeroize::Zeroizing;

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
    /// Whether something of the person was left out, because it was too much.
    #[serde(default)]
    pub cut: bool,
}

impl IncidentFacts {
    /// Of this answer, and nothing further is known.
    pub const fn of(message: PublicMessage) -> Self {
        Self {
            message,
            reason: String::new(),
            detail: None,
            app: None,
            host: None,
            rule: None,
            policy_revision: None,
            method: None,
            path: None,
            peer: None,
            idp: None,
            person: None,
            auth_time_ms: None,
            bearer: false,
            cut: false,
        }
    }

    /// What is kept: JSON of at most [`ROW_BYTES_MAX`]. What is too much goes, what helps least first: claims, then groups from the end of their list, then all
    /// but who it was.
    ///
    /// # Errors
    /// None that a value of this type can cause.
    pub fn row(&self) -> serde_json::Result<Zeroizing<Vec<u8>>> {
        let whole = Zeroizing::new(serde_json::to_vec(self)?);
        if whole.len() <= ROW_BYTES_MAX {
            return Ok(whole);
        }
        let mut less = Self { cut: true, ..self.clone() };
        for text in [&mut less.reason].into_iter().chain([&mut less.detail, &mut less.host, &mut less.rule, &mut less.path].into_iter().flatten()) {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        if let Some(person) = &mut less.person {
            person.claims.clear();
            if let Groups::Known(groups) = &mut person.groups {
                let mut room = GROUPS_BYTES_MAX;
                let fits = groups.iter().take_while(|group| {
                    let left = room.checked_sub(group.len() + 3);
                    room = left.unwrap_or(0);
                    left.is_some()
                });
                let fits = fits.count();
                groups.truncate(fits);
            }
        }
        let row = Zeroizing::new(serde_json::to_vec(&less)?);
        if row.len() <= ROW_BYTES_MAX {
            return Ok(row);
        }
        less.person = less.person.map(|person| Identity::bare(&person.idp, &person.subject.issuer, &person.subject.subject));
        serde_json::to_vec(&less).map(Zeroizing::new)
    }
}

/// Bytes that are kept of one incident, before sealing.
pub const ROW_BYTES_MAX: usize = 8 * 1024;
/// Of which for a person's groups…
const GROUPS_BYTES_MAX: usize = 4 * 1024;
/// …and for any other text, where it is too much.
const TEXT_BYTES_MAX: usize = 512;
/// Incidents that are kept of one person: the newest.
pub const OF_ONE_PERSON_MAX: u32 = 100;

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
    /// Keeps [`IncidentFacts::row`] of these, all or none of them; of each person the newest [`OF_ONE_PERSON_MAX`] stay. A code that is taken is taken over: forty
    /// random bits meet once in a lifetime.
    async fn keep_incidents(&self, incidents: &[IncidentRecord]) -> Result<(), StoreError>;
    /// The one with this code.
    async fn incident(&self, code: Incident) -> Result<Option<IncidentRecord>, StoreError>;
    /// Those since a moment, newest first, at most `limit`.
    async fn incidents_since(&self, since: Timestamp, limit: u32) -> Result<Vec<IncidentRecord>, StoreError>;
    /// Deletes what is out of bounds, oldest first; returns how many.
    async fn sweep_incidents(&self, bounds: IncidentBounds) -> Result<u64, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::{IncidentFacts, ROW_BYTES_MAX};
    use crate::fault::PublicMessage;
    use crate::identity::{Groups, Identity};
    use serde_json::json;

    fn facts(claim: &str, groups: usize, name: &str) -> IncidentFacts {
        let mut person = Identity::bare("corp", "https://idp.example", "1");
        person.claims.insert("bio".to_owned(), json!(claim));
        person.groups = Groups::Known((0..groups).map(|n| format!("group-{n}")).collect());
        person.name = Some(name.to_owned());
        IncidentFacts { person: Some(person), ..IncidentFacts::of(PublicMessage::Internal) }
    }

    #[test]
    fn a_row_has_its_bytes_and_no_more_and_says_what_was_left_out() {
        let check = |facts: &IncidentFacts, cut: bool, claims: usize, groups: Option<usize>| {
            let row = facts.row().unwrap();
            assert!(row.len() <= ROW_BYTES_MAX, "{}", row.len());
            let kept: IncidentFacts = serde_json::from_slice(&row).unwrap();
            let person = kept.person.as_ref().unwrap();
            let known = if let Groups::Known(groups) = &person.groups { Some(groups.len()) } else { None };
            assert_eq!((kept.cut, person.claims.len(), known), (cut, claims, groups));
            assert_eq!(person.subject, facts.person.as_ref().unwrap().subject);
        };
        check(&facts("short", 3, "Ada"), false, 1, Some(3));
        check(&facts(&"x".repeat(9_000), 3, "Ada"), true, 0, Some(3));
        check(&facts("short", 5_000, "Ada"), true, 0, Some(350));
        check(&facts("short", 3, &"A".repeat(9_000)), true, 0, None);
        let long = IncidentFacts { detail: Some("é".repeat(9_000)), ..facts("short", 0, "Ada") };
        check(&long, true, 0, Some(0));
    }
}
