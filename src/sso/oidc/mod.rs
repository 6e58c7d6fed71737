//! OpenID Connect, on `openidconnect`: authorization code flow with PKCE, nothing else.
//!
//! Lives here: [`OidcProvider`], one configured `[[idp]]`. Around it: `discovery.rs` (metadata), `jwks.rs` (keys), `token.rs` (the exchange),
//! `id_token.rs` (every check on the token), `access_token.rs` (the same for tokens of scripts), `probe.rs` (is it there, and is it fit), `claims.rs` (claims
//! to identity), `directory.rs` (groups that do not fit into a token), `http.rs` (bounds). The library's types stop at
//! `id_token.rs`. Start reading at [`Provider::finish`].

mod access_token;
mod claims;
mod directory;
mod discovery;
mod http;
mod id_token;
mod jwks;
mod probe;
mod token;

use super::response::{AuthorizationResponse, Outcome};
use super::{Answer, Begin, Departure, Finish, Provider, SsoFault, VerifiedAssertion};
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::identity::{Groups, Identity};
use crate::outbound::Transport;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::Directory;
use discovery::{Discovery, Metadata};
use id_token::{Expected, Failed, Verified};
use jwks::KeyCache;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::sync::Arc;
use token::{Client, Grant, TokenError, Tokens};
use url::Url;

/// A provider of type `oidc`.
#[derive(Debug)]
pub struct OidcProvider {
    settings: config::Idp,
    secret: Option<SecretString>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    discovery: Discovery,
    keys: KeyCache,
    directory: Option<Directory>,
}

impl OidcProvider {
    /// A provider as configured; `secret` is what `settings.client_secret` refers to. Nothing is fetched yet: a provider that is down at
    /// start is found when it is back.
    pub fn new(settings: config::Idp, secret: Option<SecretString>, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        let discovery = Discovery::new(settings.issuer.clone(), Arc::clone(&transport), Arc::clone(&clock));
        let keys = KeyCache::new(Arc::clone(&transport), Arc::clone(&clock));
        let directory = settings.groups_lookup.clone().map(|lookup| {
            let client_id = lookup.client_id.clone().unwrap_or_else(|| settings.client_id.clone());
            Directory::new(lookup, client_id, secret.clone(), Arc::clone(&transport), Arc::clone(&clock))
        });
        Self { settings, secret, transport, clock, discovery, keys, directory }
    }

    /// Asks the directory with a secret of its own: what `groups_lookup.client_secret` refers to.
    #[must_use]
    pub fn with_lookup_secret(mut self, secret: Option<SecretString>) -> Self {
        if let (Some(directory), Some(secret)) = (&mut self.directory, secret) {
            directory.set_secret(secret);
        }
        self
    }

    async fn metadata(&self) -> Result<Metadata, SsoFault> {
        self.discovery.metadata().await.map_err(|why| self.unavailable("discovery", why))
    }

    /// What can be refused before anything is sent.
    fn code<'a>(&self, metadata: &Metadata, response: &'a AuthorizationResponse) -> Result<&'a str, SsoFault> {
        // RFC 9207 2.4: compared as strings; RFC 9700 4.4: required wherever it was promised.
        match &response.iss {
            Some(iss) if *iss != self.settings.issuer => return Err(self.check("iss parameter", &self.settings.issuer, &printable(iss))),
            None if metadata.promises_iss => return Err(self.check("iss parameter", &self.settings.issuer, "nothing")),
            _ => {}
        }
        match &response.outcome {
            Outcome::Code(code) => Ok(code),
            Outcome::Error(code @ "access_denied") => Err(SsoFault::Declined { idp: self.settings.id.clone(), code }),
            Outcome::Error(code @ ("server_error" | "temporarily_unavailable")) => {
                Err(self.unavailable("authorization endpoint", (*code).to_owned()))
            }
            Outcome::Error(code) => Err(self.check("authorization response", "a code", code)),
        }
    }

    async fn exchange(&self, metadata: &Metadata, code: &str, finish: &Finish<'_>) -> Result<Tokens, SsoFault> {
        let client = Client { id: &self.settings.client_id, secret: self.secret.as_ref(), secret_in_body: metadata.secret_in_body };
        let grant = Grant { code, code_verifier: finish.code_verifier, redirect_uri: finish.redirect_uri };
        token::exchange(self.transport.as_ref(), metadata.token_endpoint.clone(), &client, &grant).await.map_err(|error| match error {
            TokenError::Outbound(_) | TokenError::Nonsense(_) => self.unavailable("token endpoint", error.to_string()),
            TokenError::Refused(code) => self.check("token request", "tokens", code),
            TokenError::Malformed { what, found } => self.check("token response", what, found),
        })
    }

    async fn verify(&self, metadata: &Metadata, tokens: &Tokens, finish: &Finish<'_>) -> Result<Verified, SsoFault> {
        let token = &tokens.id_token;
        let header = id_token::header(token, &self.settings.algorithms).map_err(|failed| self.failed(failed))?;
        let kid = header.kid.as_deref();
        let candidates = self.keys.candidates(&metadata.jwks_uri, kid, header.alg).await.map_err(|why| self.unavailable("jwks", why))?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: finish.nonce,
            access_token: &tokens.access_token,
            max_age_s: finish.max_age_s,
            begun_at: finish.begun_at,
            now: self.clock.now(),
        };
        match id_token::verify(token, &header, &candidates, &expected) {
            // The key may have been replaced under its old name, or the token names none: once more, if there is a newer set.
            Err(failed) if failed.check == "signature" && !candidates.is_empty() => {
                let others = self.keys.other_candidates(&candidates, kid, header.alg).await;
                if others.is_empty() { Err(failed) } else { id_token::verify(token, &header, &others, &expected) }
            }
            outcome => outcome,
        }
        .map_err(|failed| self.failed(failed))
    }

    /// Userinfo, when it is about the same person. Whatever is wrong with it, the sign-in goes on without its values.
    async fn userinfo(&self, metadata: &Metadata, access_token: &str, sub: &str) -> Option<Map<String, Value>> {
        let endpoint = metadata.userinfo_endpoint.clone()?;
        let why = match http::get(self.transport.as_ref(), endpoint, Some(access_token)).await {
            Ok(response) => match serde_json::from_slice(&response.body) {
                // OIDC Core 5.3.2: if sub does not match exactly, the values MUST NOT be used.
                Ok(Value::Object(claims)) if claims.get("sub").and_then(Value::as_str) == Some(sub) => return Some(claims),
                Ok(Value::Object(_)) => "its sub is not the ID token's".to_owned(),
                Ok(_) | Err(_) => "it is not a JSON object".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        tracing::warn!(idp = self.settings.id, why, "userinfo is not used");
        None
    }

    /// The groups of somebody who is in too many for the token of these verified `claims`; `None`: it lists them, or there is nobody to ask.
    async fn looked_up(&self, metadata: &Metadata, sub: &str, claims: &Map<String, Value>, reading: &claims::Reading<'_>) -> Option<Groups> {
        let directory = self.directory.as_ref().filter(|_| reading.is_overage(claims))?;
        let found = directory.groups(&metadata.token_endpoint, claims).await;
        let reason = found.as_ref().map_or_else(directory::Unknown::code, |_groups| "known");
        let (idp, iss) = (self.settings.id.as_str(), self.settings.issuer.as_str());
        tracing::info!(target: "audit", action = "groups.looked_up", idp, user.iss = iss, user.sub = sub, reason);
        if let Err(unknown) = &found {
            tracing::warn!(idp, why = %unknown, "groups do not fit into the token, and the directory does not say them: they are unknown to policies");
        }
        Some(found.map_or(Groups::Unknown, Groups::Known))
    }

    fn unavailable(&self, what: &'static str, why: String) -> SsoFault {
        SsoFault::Unavailable { idp: self.settings.id.clone(), what, why }
    }

    fn check(&self, check: &'static str, expected: &str, found: &str) -> SsoFault {
        SsoFault::Check { idp: self.settings.id.clone(), check, expected: expected.to_owned(), found: found.to_owned() }
    }

    fn failed(&self, failed: Failed) -> SsoFault {
        SsoFault::Check { idp: self.settings.id.clone(), check: failed.check, expected: failed.expected, found: failed.found }
    }
}

#[async_trait]
impl Provider for OidcProvider {
    fn id(&self) -> &str {
        &self.settings.id
    }

    fn name(&self) -> &str {
        &self.settings.name
    }

    async fn begin(&self, begin: Begin<'_>) -> Result<Departure, SsoFault> {
        let mut url = self.metadata().await?.authorization_endpoint;
        let challenge = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, begin.code_verifier.as_bytes());
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", begin.redirect_uri)
            .append_pair("scope", &self.settings.scopes.join(" "))
            .append_pair("state", begin.state)
            .append_pair("nonce", begin.nonce)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge.as_ref()))
            .append_pair("code_challenge_method", "S256");
        if let Some(max_age_s) = begin.max_age_s {
            query.append_pair("max_age", &max_age_s.to_string());
            if max_age_s == 0 {
                query.append_pair("prompt", "login");
            }
        }
        drop(query);
        Ok(Departure::Redirect(url))
    }

    async fn finish(&self, finish: Finish<'_>) -> Result<VerifiedAssertion, SsoFault> {
        let Answer::Code(response) = finish.response else { return Err(self.check("protocol", "an authorization response", "one of SAML")) };
        let metadata = self.metadata().await?;
        let code = self.code(&metadata, response)?;
        let tokens = self.exchange(&metadata, code, &finish).await?;
        let Verified { sub, auth_time, sid, claims } = self.verify(&metadata, &tokens, &finish).await?;
        let userinfo = if self.settings.userinfo { self.userinfo(&metadata, &tokens.access_token, &sub).await } else { None };
        let reading = claims::Reading::of(&self.settings);
        let looked_up = self.looked_up(&metadata, &sub, &claims, &reading).await;
        let mut identity = claims::identity(sub, claims, userinfo, &reading);
        identity.groups = looked_up.unwrap_or(identity.groups);
        // A provider that does not say when the person signed in has not said that it was recently.
        let auth_time = auth_time.unwrap_or(Timestamp::from_millis(0));
        Ok(VerifiedAssertion::vouch(identity, auth_time, Some(tokens.id_token), sid))
    }

    fn issuer(&self) -> Option<String> {
        Some(self.settings.issuer.clone())
    }

    fn keys_fetched_at(&self) -> Option<Timestamp> {
        self.keys.fetched_at()
    }

    async fn answers(&self) -> Option<bool> {
        Some(self.is_up().await)
    }

    async fn logout_url(&self, id_token: Option<&str>, back_to: &str, state: &str) -> Option<Url> {
        let mut url = match self.discovery.metadata().await {
            Ok(metadata) => metadata.end_session_endpoint?,
            Err(why) => {
                tracing::warn!(idp = self.settings.id, why, "signed out here only: the provider's metadata is not to be had");
                return None;
            }
        };
        let mut query = url.query_pairs_mut();
        // RP-Initiated Logout 1.0 section 2.
        query.extend_pairs(id_token.map(|token| ("id_token_hint", token)));
        query.append_pair("client_id", &self.settings.client_id).append_pair("post_logout_redirect_uri", back_to).append_pair("state", state);
        drop(query);
        Some(url)
    }
}

/// The person that these claims of an ID token would be at `idp`: for tests of policies and dry runs, which have no assertion. Vouches for nothing.
pub fn identity_of(idp: &config::Idp, sub: String, claims: Map<String, Value>) -> Identity {
    claims::identity(sub, claims, None, &claims::Reading::of(idp))
}

fn printable(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}
