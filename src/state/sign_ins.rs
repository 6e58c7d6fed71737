//! The last sign-in of each person at each provider, as it was asserted.
//!
//! Lives here: [`RecordedSignIn`] and the port [`SignInStore`]. Apart from sessions because it outlives them: `explain` and `plan` answer for a person who
//! signed out last week. Kept for `[state] sign_ins_keep`. It never knows a cookie: nothing here lets anybody in.

use super::StoreError;
use crate::clock::Timestamp;
use crate::identity::{Identity, SubjectId};
use async_trait::async_trait;
use std::fmt;

/// A sign-in as it was asserted.
#[derive(Clone, PartialEq)]
pub struct RecordedSignIn {
    /// Who it was, with groups and claims.
    pub identity: Identity,
    /// When they proved it at the provider; the epoch when it did not say.
    pub auth_time: Timestamp,
    /// When it arrived here.
    pub at: Timestamp,
}

impl fmt::Debug for RecordedSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without claims and names.
        f.debug_struct("RecordedSignIn").field("subject", &self.identity.subject).field("at", &self.at).finish_non_exhaustive()
    }
}

/// Sign-ins, the last one of each person at each provider.
#[async_trait]
pub trait SignInStore: Send + Sync + fmt::Debug {
    /// Keeps a sign-in in the place of the same person's last one at the same provider; an older one replaces nothing.
    async fn record(&self, sign_in: &RecordedSignIn) -> Result<(), StoreError>;
    /// Of everybody who was asserted with this address, in any letter case, newest first: it may be several people, and one person at several providers.
    async fn last_by_email(&self, email: &str) -> Result<Vec<RecordedSignIn>, StoreError>;
    /// Of everybody with this subject, newest first; `issuer` narrows it down to one person.
    async fn last_by_subject(&self, issuer: Option<&str>, subject: &str) -> Result<Vec<RecordedSignIn>, StoreError>;
    /// Everybody's, newest first.
    async fn all(&self) -> Result<Vec<RecordedSignIn>, StoreError>;
    /// Deletes what arrived before `before`; returns how many.
    async fn sweep_sign_ins(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// The newest sign-in of each person, of a list that is newest first: one person at several providers is several subjects, and several people.
pub fn newest_of_each(sign_ins: Vec<RecordedSignIn>) -> Vec<RecordedSignIn> {
    let mut seen: Vec<SubjectId> = Vec::new();
    let mut kept = Vec::new();
    for sign_in in sign_ins {
        if !seen.contains(&sign_in.identity.subject) {
            seen.push(sign_in.identity.subject.clone());
            kept.push(sign_in);
        }
    }
    kept
}
