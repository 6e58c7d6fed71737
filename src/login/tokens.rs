//! Access tokens: a sign-in without a browser, as often as a request comes.
//!
//! Lives here: [`TokenDesk`]. A token is verified by the provider that the policy's `[bearer]` names, once, and remembered until it expires. Refusals are told to
//! auditors by the check that did not hold; the token itself goes nowhere.

use crate::fault::{Incident, PublicMessage};
use crate::identity::SubjectId;
use crate::policy::Policy;
use crate::session::{AppSession, TokenSessions, TokenSignOn};
use crate::sso::bearer::{AccessTokens, TokenFault, TokenRules};
use crate::state::SecretHash;
use arc_swap::ArcSwap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Turns access tokens into sessions.
#[derive(Debug)]
pub struct TokenDesk {
    issuers: ArcSwap<Vec<Arc<dyn AccessTokens>>>,
    /// Moves when the issuers change: what an earlier one has verified is verified again.
    generation: AtomicU64,
    sessions: TokenSessions,
}

impl TokenDesk {
    /// With all providers that issue tokens.
    pub fn new(issuers: Vec<Arc<dyn AccessTokens>>, sessions: TokenSessions) -> Self {
        Self { issuers: ArcSwap::from_pointee(issuers), generation: AtomicU64::new(0), sessions }
    }

    /// From now on with these providers; every token is verified again.
    pub fn change_issuers(&self, issuers: Vec<Arc<dyn AccessTokens>>) {
        self.issuers.store(Arc::new(issuers));
        self.forget();
    }

    /// Every token is verified again, and its app told of its person anew.
    pub fn forget(&self) {
        self.sessions.forget();
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Every token of this person is verified again, and its app told of them anew.
    pub fn forget_person(&self, subject: &SubjectId) {
        self.sessions.forget_person(subject);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// A token that was not used for so many milliseconds is verified again.
    pub fn limit(&self, idle_ms: i64) {
        self.sessions.limit(idle_ms);
    }

    /// Moves whenever tokens that were verified may have become wrong. Read it *before* [`Self::session`], and keep the answer under what was read.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The session that `token` stands for at the app of `policy`; `key` is [`TokenSessions::key`] of the three, `client` who
    /// shows it, for the audit log.
    ///
    /// # Errors
    /// [`PublicMessage::TokenInvalid`], [`PublicMessage::TokenScope`]; [`PublicMessage::ProviderDown`] when the provider's keys are not to be had.
    pub async fn session(
        &self,
        key: SecretHash,
        token: &str,
        policy: &Policy,
        incident: Incident,
        client: IpAddr,
    ) -> Result<Arc<AppSession>, PublicMessage> {
        let Some(bearer) = &policy.bearer else { return Err(PublicMessage::TokenInvalid) };
        let Some(issuer) = self.issuers.load().iter().find(|issuer| issuer.id() == bearer.idp).cloned() else {
            tracing::error!(%incident, app = policy.name, idp = bearer.idp, "no provider of this name issues access tokens");
            return Err(PublicMessage::TokenInvalid);
        };
        let rules = TokenRules { audience: &bearer.audience, scopes: &bearer.scopes };
        let verify = async {
            let (identity, auth_time, issued_at, expires_at) = issuer.verify(token, rules).await?.into_parts();
            Ok(TokenSignOn { identity, auth_time, issued_at, expires_at })
        };
        let generation = self.generation();
        let session = self.sessions.session(key, &policy.name, Box::pin(verify)).await;
        if generation != self.generation() {
            // By an issuer of before, and remembered after all was forgotten.
            self.sessions.forget();
        }
        session.map_err(|fault: Arc<TokenFault>| {
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
                    src.ip = %client,
                    policy.revision = policy.revision,
                );
            }
            fault.public()
        })
    }
}
