//! Who somebody is, once a provider has vouched for them.
//!
//! Lives here: [`SubjectId`] (the only key a person has), [`Groups`] with its third state, [`Identity`] and [`Principal`].
//! Pure data. It must never know how an assertion was verified (`sso/`) or which app is asked for (`policy/`).

pub mod email;
pub mod text;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The key of a person: who says so, and what they call them. Never an e-mail address, never a user name
/// (OIDC Core 5.7: only `iss` and `sub` together are stable and unique).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SubjectId {
    /// Issuer identifier (OIDC) or entity id (SAML).
    pub issuer: String,
    /// `sub`, or the persistent NameID.
    pub subject: String,
}

/// The groups a provider asserted. *Unknown* is not *empty*: a provider that leaves groups out (Entra on overage) has said
/// nothing, and nothing is neither granted nor revoked on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Groups {
    /// The provider listed them; the list may be empty.
    Known(Vec<String>),
    /// The provider did not say.
    Unknown,
}

impl Groups {
    /// The listed names; nothing when unknown.
    pub fn listed(&self) -> &[String] {
        match self {
            Self::Known(names) => names,
            Self::Unknown => &[],
        }
    }
}

/// A person as the provider described them at their last sign-in. Immutable: one value serves the decision, the admin call
/// and the injected header of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Issuer and subject.
    pub subject: SubjectId,
    /// `id` of the `[[idp]]` that vouched.
    pub idp: String,
    /// `email`, when exactly one well-formed address was asserted.
    pub email: Option<String>,
    /// Whether the provider vouches for the address; `[[idp]] trust_email` may say so for it.
    pub email_verified: bool,
    /// `name`.
    pub name: Option<String>,
    /// `given_name`.
    pub given_name: Option<String>,
    /// `family_name`.
    pub family_name: Option<String>,
    /// `preferred_username`.
    pub username: Option<String>,
    /// The groups claim that `[[idp]] groups` names.
    pub groups: Groups,
    /// Everything that was asserted, for `claims.NAME`.
    pub claims: Map<String, Value>,
}

impl Identity {
    /// Somebody of whom a provider has said nothing but who they are.
    pub fn bare(idp: &str, issuer: &str, subject: &str) -> Self {
        Self {
            subject: SubjectId { issuer: issuer.to_owned(), subject: subject.to_owned() },
            idp: idp.to_owned(),
            email: None,
            email_verified: false,
            name: None,
            given_name: None,
            family_name: None,
            username: None,
            groups: Groups::Unknown,
            claims: Map::new(),
        }
    }

    /// The same person with `claims` instead of all that was asserted; names, address and groups stay.
    #[must_use]
    pub fn with_claims(&self, claims: Map<String, Value>) -> Self {
        Self {
            subject: self.subject.clone(),
            idp: self.idp.clone(),
            email: self.email.clone(),
            email_verified: self.email_verified,
            name: self.name.clone(),
            given_name: self.given_name.clone(),
            family_name: self.family_name.clone(),
            username: self.username.clone(),
            groups: self.groups.clone(),
            claims,
        }
    }
}

/// How somebody showed who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Way {
    /// By the cookie of a session: a browser.
    #[default]
    Session,
    /// By an access token in `Authorization: Bearer`: a script.
    Bearer,
}

/// On whose behalf a request runs.
#[derive(Debug, Clone)]
pub enum Principal {
    /// Nobody has signed in.
    Anonymous,
    /// A signed-in person.
    User(Arc<Identity>),
}
