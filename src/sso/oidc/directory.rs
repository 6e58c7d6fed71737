//! The groups of somebody who is in too many for a token, asked of the provider's directory.
//!
//! Lives here: [`Directory`], one `[idp.groups_lookup]`: Microsoft Graph's `getMemberObjects`, in the gateway's own name. Apart because it is asked at overage only, and
//! because everything that it gets wrong would grant or revoke. Only the configured address is ever asked: a token names one too (`_claim_sources`), and whoever could
//! forge that would have the gateway's credential (attacks.md O34). Bounded in time, bytes, pages and groups; whatever is wrong with an answer, there is none.

use super::http;
use crate::clock::{Clock, Timestamp};
use crate::config::GroupsLookup;
use crate::identity::text::tidy;
use crate::outbound::{OutboundError, OutboundResponse, Transport};
use ::http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use url::Url;

/// Pages of one answer; Graph has one for up to 11,000 groups.
const PAGES_MAX: usize = 20;
/// Graph itself says no beyond so many.
const GROUPS_MAX: usize = 11_000;
/// People whose groups are asked for at once.
const AT_ONCE: usize = 16;
/// A token is asked for anew so long before it ends,
const TOKEN_MARGIN_S: i64 = 60;
/// and after so long in any case.
const TOKEN_S_MAX: i64 = 3_600;
/// Longest id of a person in a directory.
const ID_BYTES_MAX: usize = 64;
/// People under way that are remembered before those who are done are forgotten.
const REMEMBERED: usize = 256;

/// Why nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unknown {
    /// The token does not say whom to ask for.
    #[error("the token has no `oid`, or none that is an id")]
    Nobody,
    /// Not within the configured time.
    #[error("no whole answer within {0} ms")]
    Late(u64),
    /// No answer.
    #[error("{what}: {why}")]
    Outbound {
        /// What was asked for.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// An answer that is none.
    #[error("{what}: status {status}")]
    Status {
        /// What was asked for.
        what: &'static str,
        /// What came.
        status: u16,
    },
    /// Not what was asked for.
    #[error("{what}: the answer is {found}")]
    Malformed {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        found: &'static str,
    },
}

impl Unknown {
    /// For audit and metrics: one word.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Nobody => "no_id",
            Self::Late(_) => "timeout",
            Self::Outbound { .. } => "unreachable",
            Self::Status { .. } => "refused",
            Self::Malformed { .. } => "malformed",
        }
    }

    fn outbound(what: &'static str, error: &OutboundError) -> Self {
        Self::Outbound { what, why: error.to_string() }
    }
}

type Asked = Result<Vec<String>, Unknown>;

/// A directory. No `Debug` of what it holds: a token is among it.
pub(super) struct Directory {
    settings: GroupsLookup,
    client_id: String,
    secret: Option<SecretString>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    /// Held while a token is fetched: everybody else waits for it.
    token: tokio::sync::Mutex<Option<Token>>,
    /// Who is being asked for, so that ten tabs are one question.
    under_way: Mutex<HashMap<String, Weak<OnceCell<Asked>>>>,
    permits: Semaphore,
}

/// What the gateway asks with.
struct Token {
    value: SecretString,
    until: Timestamp,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("url", &self.settings.url.as_str()).finish_non_exhaustive()
    }
}

impl Directory {
    /// As configured; `secret` belongs to `client_id`.
    pub(super) fn new(
        settings: GroupsLookup,
        client_id: String,
        secret: Option<SecretString>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let permits = Semaphore::new(AT_ONCE);
        Self { settings, client_id, secret, transport, clock, token: tokio::sync::Mutex::default(), under_way: Mutex::default(), permits }
    }

    /// Uses another secret than the provider's.
    pub(super) fn set_secret(&mut self, secret: SecretString) {
        self.secret = Some(secret);
    }

    /// All groups of the person whom the verified `claims` of a token are about; `token_endpoint` is the provider's.
    ///
    /// # Errors
    /// [`Unknown`]: nothing is known then, which is not the same as none.
    pub(super) async fn groups(&self, token_endpoint: &Url, claims: &Map<String, Value>) -> Asked {
        // `oid` is the person's id in their directory, the same for every application, and no name that people choose.
        let oid = claims.get("oid").and_then(Value::as_str).filter(|oid| is_id(oid)).ok_or(Unknown::Nobody)?;
        let asked = self.boarding(oid);
        let timeout_ms = self.settings.timeout_ms;
        let answer = asked.get_or_init(|| async {
            let whole = tokio::time::timeout(Duration::from_millis(timeout_ms), self.ask(token_endpoint, oid)).await;
            whole.unwrap_or(Err(Unknown::Late(timeout_ms)))
        });
        answer.await.clone()
    }

    /// The question about `oid` that is under way, or a new one. It is forgotten with the last one who waits for it: no answer is older than the sign-in.
    fn boarding(&self, oid: &str) -> Arc<OnceCell<Asked>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = under_way.get(oid).and_then(Weak::upgrade) {
            return asked;
        }
        if under_way.len() >= REMEMBERED {
            under_way.retain(|_, asked| asked.strong_count() > 0);
        }
        let asked = Arc::new(OnceCell::new());
        under_way.insert(oid.to_owned(), Arc::downgrade(&asked));
        asked
    }

    async fn ask(&self, token_endpoint: &Url, oid: &str) -> Asked {
        let Ok(_permit) = self.permits.acquire().await else { return Err(Unknown::Late(self.settings.timeout_ms)) };
        let token = self.token(token_endpoint).await?;
        let first = match self.first_page(&token, oid).await? {
            // Revoked before its time: once more, with another one.
            response if response.status == StatusCode::UNAUTHORIZED => {
                *self.token.lock().await = None;
                let token = self.token(token_endpoint).await?;
                self.first_page(&token, oid).await?
            }
            response => response,
        };
        let mut groups = Vec::new();
        let mut next = page(&first, &mut groups)?;
        for _ in 1..PAGES_MAX {
            let Some(written) = next else { return Ok(groups) };
            let token = self.token(token_endpoint).await?;
            let at = self.below(&written).ok_or(Unknown::Malformed { what: WHAT, found: "continued elsewhere" })?;
            let response = http::get_with(self.transport.as_ref(), at, token.expose_secret()).await;
            next = page(&response.map_err(|error| Unknown::outbound(WHAT, &error))?, &mut groups)?;
        }
        if next.is_none() { Ok(groups) } else { Err(Unknown::Malformed { what: WHAT, found: "of too many pages" }) }
    }

    async fn first_page(&self, token: &SecretString, oid: &str) -> Result<OutboundResponse, Unknown> {
        let mut url = self.settings.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["users", oid, "getMemberObjects"]);
        }
        let body = json!({ "securityEnabledOnly": self.settings.security_only }).to_string();
        let response = http::post_json(self.transport.as_ref(), url, token.expose_secret(), body).await;
        response.map_err(|error| Unknown::outbound(WHAT, &error))
    }

    /// Where the answer goes on: below the configured address, or nowhere.
    fn below(&self, written: &str) -> Option<Url> {
        let base = &self.settings.url;
        let url = Url::parse(written).ok()?;
        let prefix = format!("{}/", base.path().trim_end_matches('/'));
        let is_ours = url.origin() == base.origin() && url.username().is_empty() && url.password().is_none();
        Some(url).filter(|url| is_ours && url.path().starts_with(&prefix))
    }

    fn token_request(&self) -> String {
        let secret = self.secret.as_ref().map(SecretString::expose_secret).unwrap_or_default();
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials").append_pair("scope", &self.settings.scope);
        form.append_pair("client_id", &self.client_id).append_pair("client_secret", secret);
        form.finish()
    }

    /// A token for the directory (RFC 6749 4.4), kept while it is good.
    async fn token(&self, token_endpoint: &Url) -> Result<SecretString, Unknown> {
        const WHAT: &str = "token for the directory";
        let mut kept = self.token.lock().await;
        let now = self.clock.now();
        if let Some(token) = kept.as_ref().filter(|token| now < token.until) {
            return Ok(token.value.clone());
        }
        let endpoint = self.settings.token_url.as_ref().unwrap_or(token_endpoint).clone();
        let response = http::post_form(self.transport.as_ref(), endpoint, None, self.token_request()).await;
        let document = object(&response.map_err(|error| Unknown::outbound(WHAT, &error))?, WHAT)?;
        let value = document.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
        let value = SecretString::from(value.ok_or(Unknown::Malformed { what: WHAT, found: "no token" })?);
        let lasts_s = document.get("expires_in").and_then(|expires| expires.as_i64().or_else(|| expires.as_str()?.parse().ok())).unwrap_or_default();
        let until = now.plus_ms(lasts_s.min(TOKEN_S_MAX).saturating_sub(TOKEN_MARGIN_S).max(0).saturating_mul(1000));
        *kept = Some(Token { value: value.clone(), until });
        Ok(value)
    }
}

const WHAT: &str = "groups in the directory";

/// One path segment, and nothing that is one in disguise.
fn is_id(oid: &str) -> bool {
    !oid.is_empty() && oid.len() <= ID_BYTES_MAX && oid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Adds the groups of a page; where the next one is. JSON format of `OData` 4.01, 4.6.5: `@odata.nextLink` says that there is more.
fn page(response: &OutboundResponse, groups: &mut Vec<String>) -> Result<Option<String>, Unknown> {
    let document = object(response, WHAT)?;
    let list = document.get("value").and_then(Value::as_array).ok_or(Unknown::Malformed { what: WHAT, found: "no list" })?;
    if groups.len() + list.len() > GROUPS_MAX {
        return Err(Unknown::Malformed { what: WHAT, found: "of too many groups" });
    }
    let names: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    // A list of something else is a list nobody here can read.
    groups.extend(names.ok_or(Unknown::Malformed { what: WHAT, found: "no list of names" })?.into_iter().filter_map(tidy));
    match document.get("@odata.nextLink") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(next)) => Ok(Some(next.clone())),
        Some(_) => Err(Unknown::Malformed { what: WHAT, found: "continued nowhere" }),
    }
}

fn object(response: &OutboundResponse, what: &'static str) -> Result<Map<String, Value>, Unknown> {
    if response.status != StatusCode::OK {
        return Err(Unknown::Status { what, status: response.status.as_u16() });
    }
    match serde_json::from_slice(&response.body) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) | Err(_) => Err(Unknown::Malformed { what, found: "no JSON object" }),
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
