//! What goes wrong on purpose between the engine and an application that runs.
//!
//! Apart because it is for the conformance kit alone: a running application fails when it will, and what a connector makes of that must be seen all the same. The
//! engine does not know that there is such a thing until somebody gives it one; it reads no answer and makes no decision.

use super::Engine;
use crate::connector::model::Effect;
use crate::outbound::{OutboundError, OutboundRequest, OutboundResponse};
use std::fmt;
use std::sync::Arc;

/// What befalls a request.
#[derive(Debug)]
pub enum Mishap {
    /// This is answered, and the application hears of nothing.
    Says(OutboundResponse),
    /// The application does it, and no answer comes.
    Lost,
}

/// Whoever lets things go wrong.
pub trait Mishaps: Send + Sync + fmt::Debug {
    /// What befalls the next request, which is of `step` (`create/post`, `members.group.add/join`); `None`: nothing.
    fn befalls(&self, step: &str, effect: Effect) -> Option<Mishap>;
}

impl Engine {
    /// The same engine, on a bad road.
    #[must_use]
    pub fn with_mishaps(mut self, mishaps: Arc<dyn Mishaps>) -> Self {
        self.mishaps = Some(mishaps);
        self
    }

    /// Sends, whatever befalls it.
    pub(super) async fn send(&self, step: &str, effect: Effect, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        match self.mishaps.as_ref().and_then(|mishaps| mishaps.befalls(step, effect)) {
            None => self.transport.send(request).await,
            Some(Mishap::Says(response)) => Ok(response),
            Some(Mishap::Lost) => {
                let timeout_ms = request.timeout_ms;
                self.transport.send(request).await.and(Err(OutboundError::Timeout(timeout_ms)))
            }
        }
    }
}
