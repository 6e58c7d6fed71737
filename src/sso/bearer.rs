//! Access tokens, as a port (RFC 6750, RFC 9068).
//!
//! Lives here: [`AccessTokens`], what a provider does for them; [`VerifiedToken`], which only a provider makes; [`TokenFault`], whose fault it is. The checks are in
//! `oidc/access_token.rs`. An access token says what a script may do for a person; it is no proof that the person is there, and never an ID token.

use crate::clock::Timestamp;
use crate::fault::PublicMessage;
use crate::identity::Identity;
use async_trait::async_trait;
use std::fmt;

/// What a token must hold besides its provider's signature.
#[derive(Debug, Clone, Copy)]
pub struct TokenRules<'a> {
    /// `aud`, or one of them.
    pub audience: &'a str,
    /// Scopes, all of them.
    pub scopes: &'a [String],
}

/// An access token, every check passed.
pub struct VerifiedToken {
    identity: Identity,
    auth_time: Timestamp,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

impl VerifiedToken {
    /// The reviewed claim that every check has passed.
    pub(in crate::sso) const fn vouch(identity: Identity, auth_time: Timestamp, issued_at: Timestamp, expires_at: Timestamp) -> Self {
        Self { identity, auth_time, issued_at, expires_at }
    }

    /// The parts: for whom it stands, when they signed in (the epoch when the provider did not say: never fresh enough for anything), when it was issued, when it ends.
    pub fn into_parts(self) -> (Identity, Timestamp, Timestamp, Timestamp) {
        (self.identity, self.auth_time, self.issued_at, self.expires_at)
    }
}

impl fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken").field("subject", &self.identity.subject).finish_non_exhaustive()
    }
}

/// A provider whose access tokens can be verified here: JWTs, under its published keys.
#[async_trait]
pub trait AccessTokens: Send + Sync + fmt::Debug {
    /// `[[idp]] id`.
    fn id(&self) -> &str;

    /// Verifies a token.
    ///
    /// # Errors
    /// Every variant of [`TokenFault`].
    async fn verify(&self, token: &str, rules: TokenRules<'_>) -> Result<VerifiedToken, TokenFault>;
}

/// Why a token is nothing here.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// The provider's keys are not to be had.
    #[error("provider {idp}: {what} is not to be had: {why}")]
    Unavailable {
        /// `[[idp]] id`.
        idp: String,
        /// The document.
        what: &'static str,
        /// What was seen.
        why: String,
    },
    /// A check does not hold.
    #[error("provider {idp}: {check} of an access token does not hold: expected {expected}, found {found}")]
    Invalid {
        /// `[[idp]] id`.
        idp: String,
        /// The exact check.
        check: &'static str,
        /// What would have passed.
        expected: String,
        /// What came; never the token.
        found: String,
    },
    /// It holds, and lacks a scope.
    #[error("provider {idp}: an access token lacks the scope {missing}")]
    Scope {
        /// `[[idp]] id`.
        idp: String,
        /// The first that is missing.
        missing: String,
    },
}

impl TokenFault {
    /// What the script is told.
    pub const fn public(&self) -> PublicMessage {
        match self {
            Self::Unavailable { .. } => PublicMessage::ProviderDown,
            Self::Invalid { .. } => PublicMessage::TokenInvalid,
            Self::Scope { .. } => PublicMessage::TokenScope,
        }
    }

    /// The exact check, for audit: a closed set of words.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable { what, .. } => what,
            Self::Invalid { check, .. } => check,
            Self::Scope { .. } => "scope",
        }
    }
}
