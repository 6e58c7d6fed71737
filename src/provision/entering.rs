//! Signing people in at apps that read no header: by a form that takes a password (`session_bridge`), or by an exchange of tokens (`token_exchange`).
//!
//! Lives here: [`Desk::enter`]. A form takes the person's own password there, which `bridging.rs` keeps sealed; what a person may have set there themselves is gone. That is
//! the weaker way: whoever reads the admin API's traffic, or has the store and its key, can sign in. The audit log says so with every sign-in (`assurance = "lower"`).
//!
//! Several browsers of one person share what one sign-in gave: fewer sessions at the app, and one way to its form.

use super::ensure::external_id;
use super::{Counter, Desk, Order, bridging, seat};
use crate::connector::{Context, Entered};
use crate::fault::{Incident, PublicMessage};
use crate::policy::Policy;
use crate::policy::sign_in::Mode;
use crate::session::{AppSession, Got, Pass};
use crate::state::{AccountKey, AccountRecord};
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Mutex as Turn;

/// How long a sign-in at an app is shared with further sessions of the person, milliseconds; it ends before that when the app does not know it any more.
const SHARED_MS: i64 = 8 * 3_600_000;
/// Who could not be signed in is told the same for so long, milliseconds, without another try.
const FAILED_MS: i64 = 5_000;
/// The same for whom the app rejects although their password was set anew: some apps write to people about each one.
const REJECTED_MS: i64 = 60_000;
/// People remembered; beyond that those whose time is over are forgotten, and then all.
const REMEMBERED_MAX: usize = 65_536;

/// What people got at their sign-ins, by person and app; each behind its turn, so that a person signs in once at a time.
#[derive(Debug, Default)]
pub(super) struct Entrances(Mutex<HashMap<AccountKey, Arc<Turn<Option<Last>>>>>);

/// What the last sign-in of a person at an app came to.
pub(super) struct Last {
    told: [u8; 32],
    at_ms: i64,
    got: Result<Arc<Got>, PublicMessage>,
}

impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Last").field("at_ms", &self.at_ms).field("well", &self.got.is_ok()).finish_non_exhaustive()
    }
}

impl Entrances {
    fn turn(&self, key: &AccountKey) -> Arc<Turn<Option<Last>>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= REMEMBERED_MAX && !turns.contains_key(key) {
            // Whoever is at it holds the turn as well.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(key.clone()).or_default())
    }
}

impl Desk {
    /// Signs the person of `session` in at the app, or shares what another of their sessions got there. `stale` is what the app does not know any more.
    ///
    /// # Errors
    /// What the person is told: their account is not known here, or the app does not let them in.
    pub async fn enter(
        self: &Arc<Self>,
        session: &Arc<AppSession>,
        policy: &Arc<Policy>,
        pass: &Pass,
        stale: Option<Arc<Got>>,
        incident: Incident,
    ) -> Result<Arc<Got>, PublicMessage> {
        let order = Order::of(session, policy, incident);
        let turn = self.entrances.turn(&order.key);
        let mut last = turn.lock().await;
        let now_ms = self.parts.clock.now().millis();
        let counts = |last: &&Last| {
            let life_ms = match last.got {
                Ok(_) => SHARED_MS,
                Err(PublicMessage::AppRejected) if policy.sign_in.mode == Mode::SessionBridge => REJECTED_MS,
                Err(_) => FAILED_MS,
            };
            let refused = stale.as_ref().zip(last.got.as_ref().ok()).is_some_and(|(stale, got)| Arc::ptr_eq(stale, got));
            !refused && last.told == pass.told && (0..life_ms).contains(&(now_ms - last.at_ms))
        };
        if let Some(known) = last.as_ref().filter(counts) {
            return known.got.clone();
        }
        let got = self.enter_anew(&order, pass).await.and_then(got).map(Arc::new);
        *last = Some(Last { told: pass.told, at_ms: now_ms, got: got.clone() });
        got
    }

    async fn enter_anew(&self, order: &Order, pass: &Pass) -> Result<Entered, PublicMessage> {
        let counters = self.counters.load_full();
        let counter = counters.get(&seat(&order.policy)).or_else(|| counters.get(&order.key.upstream)).cloned();
        let Some(counter) = counter else {
            tracing::error!(app = %order.key.upstream, incident = %order.incident, "no connector is installed for this app");
            return Err(PublicMessage::AppUnavailable);
        };
        let record = self.parts.accounts.account(&order.key).await.map_err(|error| self.store_down(order, &error))?;
        let Some(record) = record.filter(AccountRecord::is_linked) else { return Err(PublicMessage::AccountFailed) };
        let result = self.through_the_door(order, pass, &counter, &record).await;
        let (assurance, mode) = (if order.policy.sign_in.mode == Mode::SessionBridge { "lower" } else { "usual" }, order.policy.sign_in.mode.word());
        let subject = &order.key.subject;
        tracing::info!(
            target: "audit",
            action = if result.is_ok() { "signin.bridged" } else { "signin.failed" },
            incident = %order.incident,
            app = %order.key.upstream,
            idp = %order.identity.idp,
            user.iss = %subject.issuer,
            user.sub = %subject.subject,
            user.email = order.identity.email.as_deref(),
            account.login = record.login.as_deref(),
            mode,
            assurance,
            reason = result.as_ref().err().map(|(_, why)| why.as_str()),
            policy.revision = %order.policy.revision,
        );
        result.map_err(|(message, why)| {
            tracing::warn!(app = %order.key.upstream, incident = %order.incident, %why, "a person could not be signed in at the app");
            message
        })
    }

    async fn through_the_door(
        &self,
        order: &Order,
        pass: &Pass,
        counter: &Counter,
        record: &AccountRecord,
    ) -> Result<Entered, (PublicMessage, String)> {
        let failed = |message: PublicMessage| move |why: String| (message, why);
        let upstream = &order.policy.upstream;
        let host = if upstream.host.contains(':') { format!("[{}]", upstream.host) } else { upstream.host.clone() };
        let at = format!("{}://{host}:{}", if upstream.tls { "https" } else { "http" }, upstream.port);
        let at = url::Url::parse(&at).map_err(|error| (PublicMessage::Internal, error.to_string()))?;
        let mapped = self.map(order, record.login.as_deref()).map_err(|message| failed(message)("the mapping".to_owned()))?;
        let (external_id, login) = (external_id(&order.key), pass.login.as_str());
        let context = Context {
            scope: &mapped.scope,
            external_id: &external_id,
            login,
            email: mapped.email.as_deref(),
            account_id: record.account_id.as_deref(),
        };
        let Ok(_permit) = counter.permits.acquire().await else { return Err((PublicMessage::Internal, "no permit".to_owned())) };
        let entered = match order.policy.sign_in.mode {
            Mode::SessionBridge => self.bridge(order, counter, context, &at).await?,
            Mode::TokenExchange => {
                let token = self.exchange_token(order, &mapped)?;
                counter.connector.enter(context, &at, &token).await.map_err(|trouble| bridging::refused(&trouble))?
            }
            Mode::Header | Mode::Basic => return Err((PublicMessage::Internal, "this app is told who somebody is on every request".to_owned())),
        };
        match (order.policy.sign_in.mode, entered.cookies.is_empty(), entered.token.is_some()) {
            (Mode::TokenExchange, _, false) => Err((PublicMessage::AppRejected, "the app gave no token".to_owned())),
            (Mode::SessionBridge, true, _) => Err((PublicMessage::AppRejected, "the app set no cookie".to_owned())),
            _ => Ok(entered),
        }
    }

    /// The token that the app exchanges for one of its own, by `[jwt]`.
    fn exchange_token(&self, order: &Order, mapped: &crate::policy::mapping::Mapped) -> Result<SecretString, (PublicMessage, String)> {
        let Some(jwt) = &order.policy.jwt else { return Err((PublicMessage::Internal, "no [jwt]".to_owned())) };
        let token = super::announce::signed(jwt, mapped, self.parts.signer.as_ref());
        token.map(SecretString::from).map_err(|error| (PublicMessage::Internal, error.to_string()))
    }
}

/// As requests carry it.
fn got(entered: Entered) -> Result<Got, PublicMessage> {
    let bearer = |token: &SecretString| {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_shows_the_value| PublicMessage::AppRejected)?;
        value.set_sensitive(true);
        Ok(value)
    };
    Ok(Got { authorization: entered.token.as_ref().map(bearer).transpose()?, cookies: entered.cookies })
}
