//! Access tokens: a sign-in without a browser, as often as a request comes.
//!
//! Lives here: [`TokenDesk`]. A token is verified by the provider that the policy's `[bearer]` names, once, and remembered until it expires. Refusals are told to
//! auditors by the check that did not hold; the token itself goes nowhere.

use crate::fault::{Incident, PublicMessage};
use crate::policy::Policy;
use crate::session::{AppSession, TokenSessions, TokenSignOn};
use crate::sso::bearer::{AccessTokens, TokenFault, TokenRules};
use crate::state::SecretHash;
use std::sync::Arc;

/// Turns access tokens into sessions.
#[derive(Debug)]
pub struct TokenDesk {
    issuers: Vec<Arc<dyn AccessTokens>>,
    sessions: TokenSessions,
}

impl TokenDesk {
    /// With all providers that issue tokens.
    pub const fn new(issuers: Vec<Arc<dyn AccessTokens>>, sessions: TokenSessions) -> Self {
        Self { issuers, sessions }
    }

    /// The session that `token` stands for at the app of `policy`; `key` is [`TokenSessions::key`] of the three.
    ///
    /// # Errors
    /// [`PublicMessage::TokenInvalid`], [`PublicMessage::TokenScope`]; [`PublicMessage::ProviderDown`] when the provider's keys are not to be had.
    pub async fn session(&self, key: SecretHash, token: &str, policy: &Policy, incident: Incident) -> Result<Arc<AppSession>, PublicMessage> {
        let Some(bearer) = &policy.bearer else { return Err(PublicMessage::TokenInvalid) };
        let Some(issuer) = self.issuers.iter().find(|issuer| issuer.id() == bearer.idp) else {
            tracing::error!(%incident, app = policy.name, idp = bearer.idp, "no provider of this name issues access tokens");
            return Err(PublicMessage::TokenInvalid);
        };
        let rules = TokenRules { audience: &bearer.audience, scopes: &bearer.scopes };
        let verify = async {
            let (identity, auth_time, issued_at, expires_at) = issuer.verify(token, rules).await?.into_parts();
            Ok(TokenSignOn { identity, auth_time, issued_at, expires_at })
        };
        self.sessions.session(key, &policy.name, Box::pin(verify)).await.map_err(|fault: Arc<TokenFault>| {
            if matches!(*fault, TokenFault::Unavailable { .. }) {
                tracing::warn!(%incident, app = policy.name, error = %fault, "an access token cannot be verified");
            } else {
                tracing::debug!(%incident, app = policy.name, error = %fault, "an access token is refused");
                tracing::info!(
                    target: "audit",
                    action = "token.refused",
                    incident = %incident,
                    app = policy.name,
                    idp = bearer.idp,
                    reason = fault.reason(),
                    policy.revision = policy.revision,
                );
            }
            fault.public()
        })
    }
}
