//! Making sure that a person has an account before they get there.
//!
//! Lives here: [`Desk`], which issues a [`Pass`](crate::session::Pass) once the account exists and is as the policy wants it. Single-flight per person and
//! app; a job goes on whether or not anybody waits. Nothing is forwarded to an upstream with `[provision]` without a pass.

use crate::fault::{Incident, PublicMessage};
use crate::policy::Policy;
use crate::session::{AppSession, Pass};
use std::sync::Arc;

/// What asking for an account came to.
#[derive(Debug, Clone)]
pub enum Ensured {
    /// The account is there.
    Ready(Arc<Pass>),
    /// Still being made when the hold was over.
    Working,
    /// Not to be had now. The message says whether trying again makes sense.
    Refused(PublicMessage),
}

/// Issues passes.
#[derive(Debug)]
pub struct Desk {
    _private: (),
}

#[expect(clippy::unused_async, reason = "skeleton")]
impl Desk {
    /// A pass for this session at its app, waiting at most `hold_ms` for a job under way. Also puts the pass into `session.pass`.
    pub async fn ensure(self: &Arc<Self>, session: &Arc<AppSession>, policy: &Arc<Policy>, incident: Incident, hold_ms: u64) -> Ensured {
        let _ = (session, policy, incident, hold_ms);
        Ensured::Working
    }
}
