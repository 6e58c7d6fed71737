//! Why an attempt stopped.
//!
//! Lives here: [`Stop`], and what the trouble of a verb, a mapping and the store mean for an attempt. Apart because every part of a job ends in it; it knows what a person is
//! told and what the log says, and decides nothing.

use crate::connector::{Outcome, Trouble};
use crate::fault::PublicMessage;
use crate::policy::mapping::MappingError;
use crate::state::StoreError;

/// Why an attempt stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// Transient: look again, later.
    Again {
        /// For the log.
        why: String,
        /// The app's own wish.
        retry_after_ms: Option<u64>,
    },
    /// The admin API does not let us: not the credential, or not this call. Whoever is known stays known, and it is not tried again by this job.
    Closed(String),
    /// Trying again by itself will not help; `exists`: it is about an account that is there.
    Human {
        /// For the person.
        message: PublicMessage,
        /// For the log.
        why: String,
    },
    /// A correct no: the policy makes no account here and now.
    Refused {
        /// For the person.
        message: PublicMessage,
        /// For the log.
        why: &'static str,
    },
    /// The sign-in lacks something.
    Mapping(MappingError),
    /// The store.
    Store(StoreError),
}

impl Stop {
    pub(super) fn again(why: impl Into<String>) -> Self {
        Self::Again { why: why.into(), retry_after_ms: None }
    }

    pub(super) fn exists(why: impl Into<String>) -> Self {
        Self::Human { message: PublicMessage::AccountExists, why: why.into() }
    }

    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Human { message: PublicMessage::AccountFailed, why: why.into() }
    }

    /// Again, for this reason and what was seen since; the app's own wish for the next try stays.
    pub(super) fn but(&self, seen: &str) -> Self {
        let retry_after_ms = if let Self::Again { retry_after_ms, .. } = self { *retry_after_ms } else { None };
        Self::Again { why: format!("{}; {seen}", self.why()), retry_after_ms }
    }

    pub(super) fn message(&self) -> PublicMessage {
        match self {
            Self::Again { .. } | Self::Closed(_) => PublicMessage::AccountUnavailable,
            Self::Human { message, .. } | Self::Refused { message, .. } => *message,
            Self::Mapping(error) => error.public(),
            Self::Store(StoreError::OwnedByAnother) => PublicMessage::AccountExists,
            Self::Store(StoreError::Unavailable(_) | StoreError::Sealed | StoreError::Fenced) => PublicMessage::StoreDown,
        }
    }

    pub(super) fn why(&self) -> String {
        match self {
            Self::Again { why, .. } | Self::Closed(why) | Self::Human { why, .. } => why.clone(),
            Self::Refused { why, .. } => (*why).to_owned(),
            Self::Mapping(error) => error.to_string(),
            Self::Store(error) => error.to_string(),
        }
    }
}

impl From<Trouble> for Stop {
    /// What a verb that did not end well means for the attempt. Nothing is ever "absent" because of it.
    fn from(trouble: Trouble) -> Self {
        let why = trouble.to_string();
        match trouble.outcome {
            Outcome::Retry | Outcome::InDoubt => Self::Again { why, retry_after_ms: trouble.retry_after_ms },
            Outcome::Reauth => Self::Closed(why),
            Outcome::Ambiguous | Outcome::Conflict | Outcome::Exists => Self::exists(why),
            Outcome::Found
            | Outcome::Absent
            | Outcome::Created
            | Outcome::Updated
            | Outcome::Unchanged
            | Outcome::Done
            | Outcome::Gone
            | Outcome::Denied
            | Outcome::Invalid
            | Outcome::Unsupported => Self::failed(why),
        }
    }
}

impl From<MappingError> for Stop {
    fn from(error: MappingError) -> Self {
        Self::Mapping(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
