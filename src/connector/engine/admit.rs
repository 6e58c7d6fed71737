//! Before a call: whether the app may be asked now. After it: what the call says about the app.
//!
//! Apart because it is the only place where a step meets the gate, and the only one that asks the app a question nobody put: a probe, when it was left alone.

use super::run::{Answer, trouble};
use super::{Engine, classify};
use crate::clock::Timestamp;
use crate::connector::gate::{Asked, BreakerState, Lane, NoPlace, Place, Probed};
use crate::connector::model::{Effect, Verb};
use crate::connector::{Connector as _, Outcome, Trouble};
use crate::outbound::{OutboundError, OutboundRequest, OutboundResponse};

impl Engine {
    /// Whether `step` may be begun. An app that was left alone is probed first, by whoever comes first.
    pub(super) async fn admit(&self, step: &str) -> Result<(), Trouble> {
        // For show nothing is counted; and a probe is how the gate is opened again.
        if self.stage.is_some() || is_probe(step) {
            return Ok(());
        }
        match self.state.gate.ask(self.lane, self.clock.now()) {
            Asked::Yes => Ok(()),
            Asked::No { wait_ms, bad_credential: true } => Err(Trouble { retry_after_ms: Some(wait_ms), ..refused(step) }),
            Asked::No { wait_ms, bad_credential: false } => {
                let why = "the admin API is left alone for a while: too many calls went wrong, or it has said so";
                Err(Trouble { retry_after_ms: Some(wait_ms), ..trouble(step, Outcome::Retry, why) })
            }
            Asked::Probe => self.probe_first(step).await,
        }
    }

    async fn probe_first(&self, step: &str) -> Result<(), Trouble> {
        if !self.model.can(&Verb::Probe) {
            // The step itself shows how the app is, and `heard` whether the credential is good again.
            if self.health().state != BreakerState::Quarantined {
                self.opened(Probed::Well);
            }
            return Ok(());
        }
        // Boxed: a probe is a step like any other.
        let came = Box::pin(self.probe_admin_api()).await;
        match came {
            Ok(()) => Ok(()),
            Err(trouble) if trouble.outcome == Outcome::Reauth => Err(Trouble { step: step.to_owned(), ..trouble }),
            // Whatever else it was, nothing was sent for this step.
            Err(probe) => Err(Trouble { retry_after_ms: probe.retry_after_ms, ..trouble(step, Outcome::Retry, format!("probe: {}", probe.detail)) }),
        }
    }

    /// What a probe came to, whoever asked for it.
    pub(super) fn note_probe(&self, came: &Result<(), Trouble>) {
        if self.stage.is_some() {
            return;
        }
        match came {
            Ok(()) => self.opened(Probed::Well),
            Err(trouble) if trouble.outcome == Outcome::Reauth => self.quarantine(&trouble.step),
            Err(_) => self.opened(Probed::Badly),
        }
    }

    fn opened(&self, came: Probed) {
        let now = self.clock.now();
        let before = self.state.gate.health(now).state;
        self.state.gate.probed(came, now);
        let after = self.state.gate.health(now).state;
        if before != after {
            tracing::warn!(admin_api = %self.base, before = before.word(), now = after.word(), "admin API: asked again, or not");
        }
    }

    /// Sends, through the gate, and notes how it went.
    pub(super) async fn through_the_gate(
        &self,
        step: &str,
        effect: Effect,
        lane: Lane,
        request: OutboundRequest,
    ) -> Result<OutboundResponse, Trouble> {
        let is_probe = is_probe(step);
        let place = self.state.gate.enter(lane, self.clock.as_ref(), self.limits.timeout_ms, !is_probe).await;
        let place = place.map_err(|why| no_place(step, why))?;
        if !is_probe && !is_pre_step(step) && self.stage.is_none() && self.state.gate.is_refused(self.clock.now()) {
            // That was said while this one was queueing for its place.
            return Err(refused(step));
        }
        let came = self.send(step, effect, request).await;
        let now = self.clock.now();
        // A server that fails is counted whatever its failure means: some apps say "exists" by a 500, but none says so most of the time.
        let well = came.as_ref().is_ok_and(|response| !response.status.is_server_error());
        if self.state.gate.note(well, now) {
            tracing::warn!(admin_api = %self.base, "admin API: most calls go wrong; it is left alone for a while");
        }
        self.note_wish(&place, came.as_ref().ok(), now);
        came.map_err(|error: OutboundError| classify::no_answer(step, effect, &error))
    }

    /// Sends to the app itself, on behalf of a person: in its turn like any other call, as the wishes of the app are the same. Whether it goes well says nothing of the
    /// admin API.
    pub(super) async fn past_the_gate(&self, step: &str, effect: Effect, request: OutboundRequest) -> Result<OutboundResponse, Trouble> {
        let place = self.state.gate.enter(self.lane, self.clock.as_ref(), self.limits.timeout_ms, true).await;
        let place = place.map_err(|why| no_place(step, why))?;
        let came = self.transport.send(request).await;
        self.note_wish(&place, came.as_ref().ok(), self.clock.now());
        came.map_err(|error| classify::no_answer(step, effect, &error))
    }

    /// `Retry-After`, or that the app serves again.
    fn note_wish(&self, place: &Place<'_>, answer: Option<&OutboundResponse>, now: Timestamp) {
        let Some(answer) = answer else { return };
        if !matches!(answer.status.as_u16(), 429 | 503) {
            return self.state.gate.served(place);
        }
        if let Some(wait_ms) = classify::retry_after_ms(&answer.headers, now).and_then(|ms| i64::try_from(ms).ok()) {
            self.state.gate.wish(now, now.plus_ms(wait_ms));
        }
    }

    /// What an answer says of the admin credential, and what a refusal is to whoever asked: of the credential, or, where that is good, of this one call.
    pub(super) async fn heard(&self, step: &str, answer: &mut Answer) {
        if self.stage.is_some() || is_probe(step) {
            // A probe is noted by whoever sent it.
            return;
        }
        let now = self.clock.now();
        if !matches!(answer.outcome, Outcome::Reauth | Outcome::Retry | Outcome::InDoubt) {
            self.state.gate.accept(now);
            if self.health().state == BreakerState::Quarantined && !self.model.can(&Verb::Probe) {
                self.opened(Probed::Well);
            }
        }
        if answer.outcome != Outcome::Reauth {
            return;
        }
        let is_good = if self.model.can(&Verb::Probe) { self.is_credential_good(step).await } else { self.state.gate.excuses(now) };
        if !is_good {
            return self.quarantine(step);
        }
        let status = answer.status;
        tracing::warn!(admin_api = %self.base, step, status, "admin API: it refuses this call, and accepts the credential otherwise; nobody else is held up");
        answer.reason =
            format!("refused (status {status}), and the admin credential is good otherwise: its rights, or something in front of the app");
        // What nobody waits for is tried again later: a leaver is not given up because of it.
        if self.lane == Lane::Interactive {
            answer.outcome = Outcome::Denied;
        }
    }

    /// Asks by a probe; of several at once, one.
    async fn is_credential_good(&self, step: &str) -> bool {
        if self.health().state == BreakerState::Quarantined {
            return false;
        }
        let ask = async {
            let came = self.probe_admin_api().await;
            if came.is_err() {
                // Whoever waits for this answer finds it so.
                self.quarantine(step);
            }
            came.is_ok()
        };
        // Boxed: a probe is a step like any other.
        match self.state.gate.vet(Box::pin(ask)).await {
            Some(is_good) => is_good,
            None => self.health().state != BreakerState::Quarantined,
        }
    }

    /// The credential was refused, also when it was shown afresh.
    pub(super) fn quarantine(&self, step: &str) {
        if self.stage.is_none() && self.state.gate.quarantine(self.clock.now()) {
            tracing::error!(admin_api = %self.base, step, "admin API: it refuses the credential; nothing but a probe is sent until one works or the credential changes");
        }
    }

    /// Whether work in the background is meant.
    pub(super) fn in_lane(&self, lane: Lane) -> Self {
        Self { lane, ..self.clone() }
    }
}

pub(super) fn is_probe(step: &str) -> bool {
    step.starts_with("probe")
}

/// Whoever asks for a probe has the engine sign in for it.
fn is_pre_step(step: &str) -> bool {
    step.starts_with("token") || step.starts_with("session")
}

pub(super) fn refused(step: &str) -> Trouble {
    trouble(step, Outcome::Reauth, "the admin credential was refused: it is not shown again until it changes or a probe works")
}

fn no_place(step: &str, why: NoPlace) -> Trouble {
    match why {
        NoPlace::Busy => trouble(step, Outcome::Retry, "the admin API has as much to do as it may: nothing was sent"),
        NoPlace::Wished(ms) => {
            Trouble { retry_after_ms: Some(ms), ..trouble(step, Outcome::Retry, "the app has asked to be left alone for a while: nothing was sent") }
        }
    }
}
