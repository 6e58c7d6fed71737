//! Signing people in at apps that read no header: by a form that takes a password (`session_bridge`), or by an exchange of tokens (`token_exchange`).
//!
//! Lives here: [`Desk::enter`]. A form takes the person's own password there, which `bridging.rs` keeps sealed; what a person may have set there themselves is gone. That is
//! the weaker way: whoever reads the admin API's traffic, or has the store and its key, can sign in. The audit log says so with every sign-in (`assurance = "lower"`).
//!
//! Several browsers of one person share what one sign-in by a form gave: fewer sessions at the app, and one way to its form. A token belongs to one session of the gateway
//! alone, and is given back ([`Desk::leave_ended`]) when that ends or another takes its place.

use super::ledger::external_id;
use super::{Counter, Desk, Order, bridging, seat};
use crate::connector::model::Verb;
use crate::connector::{Context, DoorKey, Entered};
use crate::fault::{Incident, PublicMessage};
use crate::identity::Way;
use crate::policy::Policy;
use crate::policy::sign_in::Mode;
use crate::session::{AppSession, Got, LiveSignOn, Pass};
use crate::state::{AccountKey, AccountRecord, SecretHash, SignOnId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Map;
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

/// A token that an app did not take back is offered again after so long, milliseconds, and then no more.
const GIVE_BACK_AGAIN_MS: [u64; 3] = [1_000, 15_000, 120_000];

/// What people got at their sign-ins, each behind its turn, so that a person signs in once at a time.
#[derive(Debug, Default)]
pub(super) struct Entrances {
    /// What a person's sessions share, by person and app.
    people: Mutex<HashMap<AccountKey, Seat>>,
    /// What belongs to one sign-on.
    sign_ons: Mutex<HashMap<SignOnId, Own>>,
}

type Seat = Arc<Turn<Option<Last>>>;

/// What belongs to one sign-on.
#[derive(Debug)]
struct Own {
    sign_on: Arc<LiveSignOn>,
    /// Since when there is something.
    since_ms: i64,
    by_app: HashMap<String, Seat>,
}

/// What the last sign-in of a person at an app came to.
pub(super) struct Last {
    told: [u8; 32],
    at_ms: i64,
    got: Result<Arc<Got>, PublicMessage>,
    held: Option<Held>,
}

/// A token of an app's, and what it takes to give it back.
struct Held {
    policy: Arc<Policy>,
    key: AccountKey,
    account_id: Option<String>,
    login: String,
    token: SecretString,
}

impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Last").field("at_ms", &self.at_ms).field("well", &self.got.is_ok()).finish_non_exhaustive()
    }
}

impl Entrances {
    fn of_person(&self, key: &AccountKey) -> Seat {
        let mut turns = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= REMEMBERED_MAX && !turns.contains_key(key) {
            // Whoever is at it holds the turn as well.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(key.clone()).or_default())
    }

    fn of_sign_on(&self, sign_on: &Arc<LiveSignOn>, app: &str, now_ms: i64) -> Seat {
        let mut sign_ons = self.sign_ons.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Own { sign_on: Arc::clone(sign_on), since_ms: now_ms, by_app: HashMap::new() };
        let own = sign_ons.entry(sign_on.id).or_insert_with(new);
        Arc::clone(own.by_app.entry(app.to_owned()).or_default())
    }

    fn ended(&self, id: SignOnId) -> Vec<Seat> {
        let ended = self.sign_ons.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        ended.into_iter().flat_map(|own| own.by_app.into_values()).collect()
    }

    fn begun_before(&self, at_ms: i64) -> Vec<SignOnId> {
        let sign_ons = self.sign_ons.lock().unwrap_or_else(PoisonError::into_inner);
        sign_ons.iter().filter(|(_, own)| own.since_ms < at_ms).map(|(id, _)| *id).collect()
    }

    fn over(&self) -> Vec<SignOnId> {
        let sign_ons = self.sign_ons.lock().unwrap_or_else(PoisonError::into_inner);
        sign_ons.iter().filter(|(_, own)| own.sign_on.ended()).map(|(id, _)| *id).collect()
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
        let now_ms = self.parts.clock.now().millis();
        let sign_on = &session.sign_on;
        // What stands for an access token has no end that anybody hears of.
        let alone = policy.sign_in.mode == Mode::TokenExchange && session.way == Way::Session;
        let turn = if alone { self.entrances.of_sign_on(sign_on, &policy.name, now_ms) } else { self.entrances.of_person(&order.key) };
        let mut last = turn.lock().await;
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
        let device = if alone {
            device(&[b"session", &sign_on.id.0, policy.name.as_bytes()])
        } else {
            device(&[b"person", external_id(&order.key).as_bytes()])
        };
        let entered = self.enter_anew(&order, pass, &device).await;
        let (got, held) = match entered {
            Ok((entered, held)) => (got(entered).map(Arc::new), held.filter(|_| alone)),
            Err(message) => (Err(message), None),
        };
        let before = last.replace(Last { told: pass.told, at_ms: now_ms, got: got.clone(), held });
        // An app that knows the session by its name has forgotten that token itself; others are told.
        self.give_back(before.and_then(|before| before.held));
        if alone && sign_on.ended() {
            // It ended meanwhile, and whoever gave back what it had did not see this: nor would they now, where its seats are forgotten already.
            let held = last.take().and_then(|last| last.held);
            drop(last);
            self.give_back(held);
            self.leave_ended(sign_on.id);
            return Err(PublicMessage::SignInRequired);
        }
        got
    }

    /// The sign-on has ended: its tokens are given back to the apps they came from, while nobody waits.
    pub fn leave_ended(self: &Arc<Self>, id: SignOnId) {
        for seat in self.entrances.ended(id) {
            let desk = Arc::clone(self);
            drop(self.parts.runtime.spawn(async move {
                let last = seat.lock().await.take();
                desk.give_back(last.and_then(|last| last.held));
            }));
        }
    }

    /// As [`Self::leave_ended`] for all sign-ons that have ended, for whoever has not heard of each of them.
    pub fn leave_all_ended(self: &Arc<Self>) {
        for id in self.entrances.over() {
            self.leave_ended(id);
        }
    }

    /// As [`Self::leave_ended`] for all sign-ons whose tokens are older than `age_ms`, which no sign-on becomes.
    pub fn leave_older(self: &Arc<Self>, age_ms: i64) {
        for id in self.entrances.begun_before(self.parts.clock.now().plus_ms(-age_ms).millis()) {
            self.leave_ended(id);
        }
    }

    fn give_back(self: &Arc<Self>, held: Option<Held>) {
        let Some(held) = held else { return };
        let desk = Arc::clone(self);
        drop(self.parts.runtime.spawn(async move { desk.given_back(&held).await }));
    }

    async fn given_back(&self, held: &Held) {
        let counters = self.counters.load_full();
        // The revision by which somebody came in may be served no more; the app is the same.
        let is_another = |key: &str| key.strip_prefix(&*held.key.upstream).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'));
        let other = || counters.iter().find(|(key, _)| is_another(key)).map(|(_, counter)| counter);
        let counter = counters.get(&seat(&held.policy)).or_else(other).cloned();
        let Some(counter) = counter.filter(|counter| counter.connector.can(&Verb::Leave)) else { return };
        let Ok(at) = address(&held.policy) else { return };
        let (scope, external_id) = (Map::new(), external_id(&held.key));
        let context = Context { scope: &scope, external_id: &external_id, login: &held.login, email: None, account_id: held.account_id.as_deref() };
        let offer = async || {
            // Not while it waits to offer it again: others have their turn.
            let _permit = counter.giving_back.acquire().await;
            counter.quiet.leave(context, &at, &held.token).await
        };
        let mut left = offer().await;
        for wait_ms in GIVE_BACK_AGAIN_MS {
            if left.is_ok() {
                break;
            }
            self.parts.sleeper.sleep_ms(wait_ms).await;
            left = offer().await;
        }
        tracing::info!(
            target: "audit",
            action = if left.is_ok() { "signout.bridged" } else { "signout.failed" },
            app = %held.key.upstream,
            user.iss = %held.key.subject.issuer,
            user.sub = %held.key.subject.subject,
            account.login = %held.login,
            mode = held.policy.sign_in.mode.word(),
            reason = left.as_ref().err().map(ToString::to_string),
            policy.revision = %held.policy.revision,
        );
    }

    async fn enter_anew(&self, order: &Order, pass: &Pass, device: &str) -> Result<(Entered, Option<Held>), PublicMessage> {
        let counters = self.counters.load_full();
        let counter = counters.get(&seat(&order.policy)).or_else(|| counters.get(&order.key.upstream)).cloned();
        let Some(counter) = counter else {
            tracing::error!(app = %order.key.upstream, incident = %order.incident, "no connector is installed for this app");
            return Err(PublicMessage::AppUnavailable);
        };
        let record = self.parts.accounts.account(&order.key).await.map_err(|error| self.store_down(order, &error))?;
        let Some(record) = record.filter(super::renaming::may_be_announced) else { return Err(PublicMessage::AccountFailed) };
        let result = self.through_the_door(order, pass, &counter, &record, device).await;
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
        let entered = result.map_err(|(message, why)| {
            tracing::warn!(app = %order.key.upstream, incident = %order.incident, %why, "a person could not be signed in at the app");
            message
        })?;
        let held = entered.token.clone().map(|token| Held {
            policy: Arc::clone(&order.policy),
            key: order.key.clone(),
            account_id: record.account_id.clone(),
            login: pass.login.clone(),
            token,
        });
        Ok((entered, held))
    }

    async fn through_the_door(
        &self,
        order: &Order,
        pass: &Pass,
        counter: &Counter,
        record: &AccountRecord,
        device: &str,
    ) -> Result<Entered, (PublicMessage, String)> {
        let failed = |message: PublicMessage| move |why: String| (message, why);
        let at = address(&order.policy).map_err(|error| (PublicMessage::Internal, error.to_string()))?;
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
            Mode::SessionBridge => self.bridge(order, counter, context, &at, device).await?,
            Mode::TokenExchange => {
                let token = self.exchange_token(order, &mapped)?;
                counter.connector.enter(context, &at, DoorKey { secret: &token, device }).await.map_err(|trouble| bridging::refused(&trouble))?
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
        let token = super::announce::signed(jwt, mapped, self.signer_of(&order.policy).as_ref());
        token.map(SecretString::from).map_err(|error| (PublicMessage::Internal, error.to_string()))
    }
}

/// Where the app itself is.
fn address(policy: &Policy) -> Result<url::Url, url::ParseError> {
    url::Url::parse(&policy.upstream.origin())
}

/// A name that is the same every time and tells nothing.
fn device(parts: &[&[u8]]) -> String {
    let SecretHash(hash) = SecretHash::of_parts(parts);
    URL_SAFE_NO_PAD.encode(hash.get(..15).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::Entrances;
    use crate::clock::Timestamp;
    use crate::identity::Identity;
    use crate::session::LiveSignOn;
    use crate::state::SignOnId;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    #[test]
    fn whoever_has_not_heard_of_an_ending_finds_it_and_no_other() {
        let at = Timestamp::from_seconds(1_000_000);
        let sign_on = |n: u8| {
            let identity = Arc::new(Identity::bare("corp", "https://idp.example", "ada"));
            Arc::new(LiveSignOn::passing(SignOnId([n; 16]), identity, at, at, at.plus_ms(1_000), at))
        };
        let (entrances, gone, here) = (Entrances::default(), sign_on(1), sign_on(2));
        for (one, app) in [(&gone, "wiki"), (&gone, "crm"), (&here, "wiki")] {
            drop(entrances.of_sign_on(one, app, 0));
        }
        assert_eq!(entrances.over(), []);
        gone.ended.store(true, Ordering::Release);
        assert_eq!(entrances.over(), [gone.id]);
        assert_eq!((entrances.ended(gone.id).len(), entrances.over()), (2, Vec::new()));
        assert_eq!(entrances.ended(here.id).len(), 1);
    }
}
