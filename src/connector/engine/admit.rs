//! Before a call: whether the app may be asked now. After it: what the call says about the app.
//!
//! Apart because it is the only place where a step meets the gate, and the only one that asks the app a question nobody put: a probe, when it was left alone.

use super::run::trouble;
use super::{Engine, classify};
use crate::connector::gate::{Asked, Lane, Probed};
use crate::connector::model::{Effect, Verb};
use crate::connector::{Outcome, Trouble};
use crate::outbound::{OutboundError, OutboundRequest, OutboundResponse};

impl Engine {
    /// Whether `step` may be begun. An app that was left alone is probed first, by whoever comes first.
    pub(super) async fn admit(&self, step: &str) -> Result<(), Trouble> {
        // For show nothing is counted; and a probe is how the gate is opened again.
        if self.stage.is_some() || step.starts_with("probe") {
            return Ok(());
        }
        match self.state.gate.ask(self.lane, self.clock.now()) {
            Asked::Yes => Ok(()),
            Asked::No { wait_ms, bad_credential: true } => {
                let why = "the admin credential was refused: it is not shown again until it changes or a probe works";
                Err(Trouble { retry_after_ms: Some(wait_ms), ..trouble(step, Outcome::Reauth, why) })
            }
            Asked::No { wait_ms, bad_credential: false } => {
                let why = "the admin API is left alone for a while: too many calls went wrong, or it has said so";
                Err(Trouble { retry_after_ms: Some(wait_ms), ..trouble(step, Outcome::Retry, why) })
            }
            Asked::Probe => self.probe_first(step).await,
        }
    }

    async fn probe_first(&self, step: &str) -> Result<(), Trouble> {
        if !self.model.can(&Verb::Probe) {
            // The step itself shows how the app is: closed until it says otherwise.
            self.opened(Probed::Well);
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
            Err(trouble) if trouble.outcome == Outcome::Reauth => self.opened(Probed::Refused),
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
        let Some(_place) = self.state.gate.enter(lane, self.clock.as_ref(), self.limits.timeout_ms).await else {
            return Err(trouble(step, Outcome::Retry, "the admin API has as much to do as it may: nothing was sent"));
        };
        let came = self.send(step, effect, request).await;
        let now = self.clock.now();
        // A server that fails is counted whatever its failure means: some apps say "exists" by a 500, but none says so most of the time.
        let well = came.as_ref().is_ok_and(|response| !response.status.is_server_error());
        if self.state.gate.note(well, now) {
            tracing::warn!(admin_api = %self.base, "admin API: most calls go wrong; it is left alone for a while");
        }
        if let Ok(response) = &came
            && matches!(response.status.as_u16(), 429 | 503)
            && let Some(wait_ms) = classify::retry_after_ms(&response.headers, now).and_then(|ms| i64::try_from(ms).ok())
        {
            self.state.gate.wish(now.plus_ms(wait_ms));
        }
        came.map_err(|error: OutboundError| classify::no_answer(step, effect, &error))
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
