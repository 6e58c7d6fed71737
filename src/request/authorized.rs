//! Fourth stage: a rule has admitted the request.

use super::{Bearings, Doors, Provisioned, Route, Stop, Stopped};
use crate::clock::Timestamp;
use crate::fault::PublicMessage;
use crate::pages::RequestKind;
use crate::policy::evaluate::Admitted;
use crate::provision::{Asking, Ensured};
use crate::session::{AppSession, Pass};
use std::sync::Arc;

/// How long a navigation is held before it gets the waiting page: most accounts are made inside it (operators.md 5.4).
const HOLD_PAGE_MS: u64 = 1_200;
/// How long a script's request is held before it gets 503: it cannot show a waiting page.
const HOLD_API_MS: u64 = 10_000;

/// A request that the policy admits.
#[derive(Debug)]
pub struct Authorized<B> {
    bearings: Bearings,
    body: B,
    route: Arc<Route>,
    session: Option<Arc<AppSession>>,
    admitted: Admitted,
}

impl<B> Authorized<B> {
    pub(super) const fn new(bearings: Bearings, body: B, route: Arc<Route>, session: Option<Arc<AppSession>>, admitted: Admitted) -> Self {
        Self { bearings, body, route, session, admitted }
    }

    /// Makes sure that the account exists. A public path asks for none and announces nobody.
    ///
    /// # Errors
    /// Stops with [`PublicMessage::Waiting`], the desk's refusal, or a redirect to the landing page of a new account.
    pub async fn provision<D: Doors>(self, doors: &D, now: Timestamp) -> Result<Provisioned<B>, Box<Stopped>> {
        let Self { bearings, body, route, session, admitted } = self;
        if admitted.public {
            return Ok(Provisioned::new(bearings, body, route, None));
        }
        let Some(session) = session else {
            // `evaluate` admits nobody without a session but on public paths; were it to, nothing is forwarded.
            return Err(Box::new(Stopped::new(bearings, Some(route), None, Stop::Say(PublicMessage::Internal))));
        };
        let known = session.pass.load_full();
        if let Some(pass) = known.as_ref().filter(|pass| is_good(pass, &route, now)) {
            let pass = Arc::clone(pass);
            return Ok(Provisioned::new(bearings, body, route, Some((session, pass))));
        }
        let interactive = bearings.kind.is_read_by_a_person();
        let asking = Asking { hold_ms: if interactive { HOLD_PAGE_MS } else { HOLD_API_MS }, interactive };
        let stop = match doors.ensure(&session, &route, bearings.incident, asking).await {
            Ensured::Ready(pass) => match pass.landing.as_ref().filter(|_| known.is_none() && bearings.kind == RequestKind::Page) {
                Some(landing) if *landing != bearings.path => Stop::Redirect(landing.clone()),
                _ => return Ok(Provisioned::new(bearings, body, route, Some((session, pass)))),
            },
            Ensured::Working => Stop::Say(PublicMessage::Waiting),
            Ensured::Refused(message) => Stop::Say(message),
        };
        let person = Arc::clone(&session.sign_on.identity);
        Err(Box::new(Stopped::new(bearings, Some(route), Some(person), stop)))
    }
}

fn is_good(pass: &Pass, route: &Route, now: Timestamp) -> bool {
    now < pass.good_until && pass.policy_revision == route.policy.revision
}
