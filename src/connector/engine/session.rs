//! The pre-steps: what signs the engine in to an admin API that takes no lasting credential.
//!
//! Lives here: [`SignedIn`], a token, cookies and what a sign-in saved (a CSRF token, a crumb), kept until it ends or is refused. Apart because it speaks before
//! any step does, holds what must never be printed, and is shared by all calls: whoever finds it stale, everybody gets the fresh one, fetched once.

use super::admit::{is_probe, refused};
use super::jar::{self, Jar};
use super::request::{Authority, Names, build};
use super::run::{Answer, applies, trouble};
use super::{Engine, classify, html, select};
use crate::clock::Timestamp;
use crate::connector::gate::Lane;
use crate::connector::model::{Call, Extract, Place, Verb, plain};
use crate::connector::{Outcome, Trouble};
use crate::outbound::OutboundResponse;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is left of a token when it is no longer used: it may be refused by the time it arrives.
const EARLY_MS: i64 = 30_000;

/// The engine, signed in. Cheap to clone; prints nothing of it.
#[derive(Clone, Default)]
pub(super) struct SignedIn {
    pub(super) token: Option<SecretString>,
    /// `session.NAME`.
    pub(super) values: Map<String, Value>,
    pub(super) jar: Arc<Mutex<Jar>>,
    /// Which sign-in it was.
    pub(super) generation: u64,
    until: Option<Timestamp>,
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn").field("generation", &self.generation).field("jar", &self.jar).finish_non_exhaustive()
    }
}

impl SignedIn {
    pub(super) fn cookies(&self) -> Option<String> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner).header()
    }

    pub(super) fn note(&self, response: &OutboundResponse) {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner).note(&response.headers);
    }
}

impl Engine {
    pub(super) fn has_pre_steps(&self) -> bool {
        self.model.can(&Verb::Token) || self.model.can(&Verb::Session)
    }

    /// Signed in, for `step`; again when the sign-in `stale` was refused and nobody else has signed in since.
    pub(super) async fn signed_in(&self, step: &str, stale: Option<u64>) -> Result<SignedIn, Trouble> {
        if !self.has_pre_steps() {
            return Ok(SignedIn::default());
        }
        // One after the other would wait as long as all before together, where the app answers none of them.
        let patience = Duration::from_millis(self.limits.timeout_ms.saturating_mul(2));
        let held = tokio::time::timeout(patience, self.state.signed_in.lock()).await;
        let mut held = held.map_err(|_over| trouble(step, Outcome::Retry, "others wait for the admin API to sign them in: nothing was sent"))?;
        let now = self.clock.now();
        if let Some(signed_in) = held.as_ref().filter(|held| Some(held.generation) != stale && held.until.is_none_or(|until| now < until)) {
            return Ok(signed_in.clone());
        }
        if !is_probe(step) && self.stage.is_none() && self.state.gate.is_refused(now) {
            // That was said while this one waited for its turn.
            return Err(refused(step));
        }
        let generation = held.take().map_or(0, |before| before.generation) + 1;
        let mut fresh = SignedIn { generation, ..SignedIn::default() };
        for (verb, word) in [(Verb::Token, "token"), (Verb::Session, "session")] {
            if self.model.can(&verb) {
                self.pre_steps(&verb, word, &mut fresh).await?;
            }
        }
        *held = Some(fresh.clone());
        Ok(fresh)
    }

    async fn pre_steps(&self, verb: &Verb, word: &str, into: &mut SignedIn) -> Result<(), Trouble> {
        let mut names = self.names();
        names.own.insert("credential".to_owned(), self.credential_names());
        for call in self.verb(verb) {
            names.own.insert("session".to_owned(), Value::Object(into.values.clone()));
            let step = format!("{word}/{}", call.name);
            if !applies(&step, call, &names)? {
                continue;
            }
            let response = self.pre_step(&step, call, &names, into).await?;
            into.note(&response);
            let (answer, _) = Answer::of(call, &response, self.clock.now());
            answer.note(call, &mut names);
            if !classify::is_success(answer.outcome) && !call.go_on.contains(&answer.outcome) {
                if answer.outcome == Outcome::Reauth {
                    self.quarantine(&step);
                }
                return Err(answer.trouble(&step));
            }
            for (name, place) in &call.save {
                let Some(value) = read(place, &answer.element, &response) else {
                    if name == "expires_in" {
                        continue;
                    }
                    return Err(trouble(&step, Outcome::Retry, format!("the answer does not show `{name}`")));
                };
                names.set("saved", name, value.clone());
                self.take(verb, name, value, into);
            }
        }
        if *verb == Verb::Token && into.token.is_none() {
            self.quarantine(word);
            return Err(trouble(word, Outcome::Reauth, "the pre-step gave no token"));
        }
        let ttl_ms = if *verb == Verb::Token { self.model.http.token_ttl_ms } else { Some(self.model.http.session_ttl_ms) };
        if let Some(ttl_ms) = ttl_ms.and_then(|ms| i64::try_from(ms).ok()) {
            self.ends(into, ttl_ms);
        }
        Ok(())
    }

    /// What a pre-step has saved, where it belongs.
    fn take(&self, verb: &Verb, name: &str, value: Value, into: &mut SignedIn) {
        match (verb, name) {
            (Verb::Token, "token") => into.token = plain(&value).ok().filter(|token| !token.is_empty()).map(SecretString::from),
            (_, "expires_in") => {
                let seconds = value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0);
                self.ends(into, seconds.saturating_mul(1000).saturating_sub(EARLY_MS).max(1000));
            }
            _ => drop(into.values.insert(name.to_owned(), value)),
        }
    }

    /// The sooner of two ends counts.
    fn ends(&self, into: &mut SignedIn, ttl_ms: i64) {
        let until = self.clock.now().plus_ms(ttl_ms);
        into.until = Some(into.until.map_or(until, |before| before.min(until)));
    }

    async fn pre_step(&self, step: &str, call: &Call, names: &Names<'_>, into: &SignedIn) -> Result<OutboundResponse, Trouble> {
        let id = self.state.next_id();
        let authority = Authority {
            credential: &self.credential,
            token: into.token.as_ref(),
            cookies: into.cookies(),
            is_pre_step: true,
            has_pre_steps: true,
            id,
        };
        let mut request = build(step, call, names, names, &self.model.http, &self.base, &authority, &[])?;
        request.timeout_ms = self.limits.timeout_ms;
        request.response_bytes_max = self.limits.response_bytes_max;
        if let Some(response) = self.on_stage(step, call, names, &request)? {
            return Ok(response);
        }
        // Everybody waits for it: it is never queued behind what nobody waits for.
        self.through_the_gate(step, call.effect, Lane::Interactive, request).await
    }

    fn credential_names(&self) -> Value {
        let mut credential = Map::new();
        if let Some((user, password)) = &self.credential.basic {
            credential.insert("username".to_owned(), Value::from(user.clone()));
            credential.insert("password".to_owned(), Value::from(password.expose_secret()));
        }
        if let Some(token) = &self.credential.token {
            credential.insert("token".to_owned(), Value::from(token.expose_secret()));
        }
        Value::Object(credential)
    }
}

/// What a place shows in an answer, pages and cookies included.
pub(super) fn read(extract: &Extract, element: &Value, response: &OutboundResponse) -> Option<Value> {
    let on_page = extract.from.iter().find_map(|place| match place {
        Place::Html(place) => html::attribute(&String::from_utf8_lossy(&response.body), place).map(Value::from),
        Place::Cookie(name) => jar::set_by(&response.headers, name).map(Value::from),
        Place::Json(_) | Place::Header(_) | Place::LocationSegment => None,
    });
    match on_page {
        Some(found) => select::mapped(extract, found),
        None => select::extract(extract, element, &response.headers),
    }
}
