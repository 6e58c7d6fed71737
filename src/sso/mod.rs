//! Providers that vouch for people, as a port.
//!
//! Lives here: [`VerifiedAssertion`], which only [`VerifiedAssertion::vouch`] makes (called in `oidc/` and `saml.rs`, nowhere else),
//! [`Provider`], and [`SsoFault`], which says whose fault it is. `bearer.rs` is the same for access tokens. `response.rs` is what a browser brings back from a provider. It must
//! never know cookies, pages or apps: `login/` does.

pub mod bearer;
pub mod oidc;
pub mod response;
#[cfg(feature = "saml")]
pub mod saml;

use crate::clock::Timestamp;
use crate::fault::PublicMessage;
use crate::identity::Identity;
use async_trait::async_trait;
use response::{AuthorizationResponse, SamlResponse};
use std::fmt;
use url::Url;

/// What a provider said about a person, every check passed.
pub struct VerifiedAssertion {
    identity: Identity,
    auth_time: Timestamp,
    id_token: Option<String>,
    idp_session: Option<String>,
    once: Option<(String, Timestamp)>,
    ends: Option<Timestamp>,
}

impl VerifiedAssertion {
    /// The reviewed claim that every check of the protocol has passed.
    pub(in crate::sso) fn vouch(identity: Identity, auth_time: Timestamp, id_token: Option<String>, idp_session: Option<String>) -> Self {
        Self { identity, auth_time, id_token, idp_session, once: None, ends: None }
    }

    /// Good once: nobody may have shown `key` before `until` (attacks.md S20). The caller has the store for that.
    #[must_use]
    #[cfg_attr(not(feature = "saml"), expect(dead_code, reason = "assertions of SAML alone are"))]
    pub(in crate::sso) fn good_once(self, key: String, until: Timestamp) -> Self {
        Self { once: Some((key, until)), ..self }
    }

    /// What is made of it ends then at the latest (`SessionNotOnOrAfter`).
    #[must_use]
    #[cfg_attr(not(feature = "saml"), expect(dead_code, reason = "assertions of SAML alone say so"))]
    pub(in crate::sso) fn ending(self, ends: Option<Timestamp>) -> Self {
        Self { ends, ..self }
    }

    /// What may be shown once only, and how long that has to be remembered.
    pub fn once(&self) -> Option<(&str, Timestamp)> {
        self.once.as_ref().map(|(key, until)| (key.as_str(), *until))
    }

    /// When what is made of it ends at the latest, whatever is configured.
    pub const fn ends(&self) -> Option<Timestamp> {
        self.ends
    }

    /// The parts: who, when they proved it (the epoch when the provider did not say: never fresh enough for anything), the ID token for
    /// logout, the provider's session.
    pub fn into_parts(self) -> (Identity, Timestamp, Option<String>, Option<String>) {
        (self.identity, self.auth_time, self.id_token, self.idp_session)
    }
}

impl fmt::Debug for VerifiedAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedAssertion").field("subject", &self.identity.subject).finish_non_exhaustive()
    }
}

/// What a sign-in sends to the provider. The three random values are single-use and the caller's to keep.
#[derive(Clone, Copy)]
pub struct Begin<'a> {
    /// `state`.
    pub state: &'a str,
    /// `nonce`.
    pub nonce: &'a str,
    /// PKCE `code_verifier`; only its hash is sent.
    pub code_verifier: &'a str,
    /// Our callback on the auth host.
    pub redirect_uri: &'a str,
    /// A sign-in older than so many seconds must be repeated; 0: now, whatever came before.
    pub max_age_s: Option<i64>,
}

/// How a browser gets to a provider.
#[derive(Debug, Clone)]
pub enum Departure {
    /// By a redirect.
    Redirect(Url),
    /// By a form that is sent by itself.
    Post {
        /// Where.
        to: Url,
        /// What, name and value.
        fields: Vec<(&'static str, String)>,
    },
}

/// What a browser brought back.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// From an OpenID Provider.
    Code(&'a AuthorizationResponse),
    /// From a SAML identity provider.
    Saml(&'a SamlResponse),
}

/// A provider's logout request that holds.
#[derive(Debug, Clone)]
pub struct LogoutAsked {
    /// Whether the sign-on of this browser is the one that is meant.
    pub meant: bool,
    /// Where the browser takes the answer; `None`: the provider has no place for it.
    pub answer: Option<Url>,
    /// What may be shown once only, and how long that has to be remembered.
    pub once: (String, Timestamp),
}

/// What a sign-in has when the browser comes back.
#[derive(Clone, Copy)]
pub struct Finish<'a> {
    /// What the browser brought; its `state` has been looked up, was bound to this browser, and is used up.
    pub response: Answer<'a>,
    /// As sent.
    pub nonce: &'a str,
    /// As made.
    pub code_verifier: &'a str,
    /// As sent.
    pub redirect_uri: &'a str,
    /// As asked for.
    pub max_age_s: Option<i64>,
    /// When the browser was sent to the provider.
    pub begun_at: Timestamp,
}

impl fmt::Debug for Begin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begin").field("redirect_uri", &self.redirect_uri).field("max_age_s", &self.max_age_s).finish_non_exhaustive()
    }
}

impl fmt::Debug for Finish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finish").field("begun_at", &self.begun_at).field("max_age_s", &self.max_age_s).finish_non_exhaustive()
    }
}

/// A provider that people sign in with.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// `[[idp]] id`.
    fn id(&self) -> &str;

    /// The name that people see.
    fn name(&self) -> &str;

    /// Where to send the browser.
    ///
    /// # Errors
    /// [`SsoFault::Unavailable`]: the provider has not told us its endpoints, now or before.
    async fn begin(&self, begin: Begin<'_>) -> Result<Departure, SsoFault>;

    /// Turns what the browser brought back into an assertion. At most one token request.
    ///
    /// # Errors
    /// Every variant of [`SsoFault`].
    async fn finish(&self, finish: Finish<'_>) -> Result<VerifiedAssertion, SsoFault>;

    /// Issuer of the subjects that it asserts; `None` while it is not known yet. For operators.
    fn issuer(&self) -> Option<String> {
        None
    }

    /// When the keys that are used now were fetched; `None` when none have been needed yet. For operators.
    fn keys_fetched_at(&self) -> Option<Timestamp> {
        None
    }

    /// Whether the provider answers now; `None`: there is nothing to ask. For operators: nobody's sign-in depends on it.
    async fn answers(&self) -> Option<bool> {
        None
    }

    /// A provider asks, through this browser, that a session of `signed_on` be ended: what its assertion gave for logout, if the browser has a sign-on of it. `query` is as it came.
    ///
    /// # Errors
    /// [`SsoFault`]: the request does not hold, or the provider has no such requests.
    async fn logout_asked(&self, _query: &str, _signed_on: Option<&str>) -> Result<LogoutAsked, SsoFault> {
        Err(SsoFault::Check { idp: self.id().to_owned(), check: "protocol", expected: "no logout request".to_owned(), found: "one".to_owned() })
    }

    /// Our own metadata for this provider, as XML; `None`: it wants none.
    fn saml_metadata(&self) -> Option<String> {
        None
    }

    /// Where to send the browser to end the provider's own session; `None` when the provider offers no such place or cannot be reached.
    async fn logout_url(&self, id_token: Option<&str>, back_to: &str, state: &str) -> Option<Url>;
}

/// Why there is no assertion, and whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum SsoFault {
    /// The provider is not answering, or answers nonsense.
    #[error("provider {idp}: {what} is not to be had: {why}")]
    Unavailable {
        /// `[[idp]] id`.
        idp: String,
        /// The endpoint.
        what: &'static str,
        /// What was seen.
        why: String,
    },
    /// The answer came and does not hold.
    #[error("provider {idp}: {check} does not hold: expected {expected}, found {found}")]
    Check {
        /// `[[idp]] id`.
        idp: String,
        /// The exact check.
        check: &'static str,
        /// What would have passed.
        expected: String,
        /// What came; never a token or a code.
        found: String,
    },
    /// The person or the provider said no (`access_denied`).
    #[error("provider {idp} declined: {code}")]
    Declined {
        /// `[[idp]] id`.
        idp: String,
        /// The error code, from the list of RFC 6749 4.1.2.1 and OIDC Core 3.1.2.6, else `other`.
        code: &'static str,
    },
}

impl SsoFault {
    /// What the person is told.
    pub const fn public(&self) -> PublicMessage {
        match self {
            Self::Unavailable { .. } => PublicMessage::ProviderDown,
            Self::Check { .. } => PublicMessage::SignInFailed,
            Self::Declined { .. } => PublicMessage::SignInDeclined,
        }
    }

    /// The exact check, for audit: a closed set of words.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable { what, .. } => what,
            Self::Check { check, .. } => check,
            Self::Declined { code, .. } => code,
        }
    }
}
