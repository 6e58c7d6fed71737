//! Providers that vouch for people, as a port.
//!
//! Lives here: [`VerifiedAssertion`], which only [`VerifiedAssertion::vouch`] makes (called in `oidc.rs` and, later, `saml.rs`, nowhere else), and [`Provider`].

pub mod oidc;

use crate::clock::Timestamp;
use crate::identity::Identity;

/// What a provider said about a person, every check passed.
#[derive(Debug)]
pub struct VerifiedAssertion {
    identity: Identity,
    auth_time: Timestamp,
    id_token: Option<String>,
    idp_session: Option<String>,
}

impl VerifiedAssertion {
    /// The reviewed claim that every check of the protocol has passed.
    pub(in crate::sso) fn vouch(identity: Identity, auth_time: Timestamp, id_token: Option<String>, idp_session: Option<String>) -> Self {
        Self { identity, auth_time, id_token, idp_session }
    }

    /// The parts: who, when they proved it, the ID token for logout, the provider's session.
    pub fn into_parts(self) -> (Identity, Timestamp, Option<String>, Option<String>) {
        (self.identity, self.auth_time, self.id_token, self.idp_session)
    }
}
