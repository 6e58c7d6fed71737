//! Fourth stage: a rule has admitted the request.

use super::upstream::Whose;
use super::{Bearings, Doors, Provisioned, Route, Stop, Stopped, entrance};
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
    bearings: Box<Bearings>,
    body: B,
    route: Arc<Route>,
    session: Option<Arc<AppSession>>,
    admitted: Admitted,
}

impl<B> Authorized<B> {
    pub(super) const fn new(bearings: Box<Bearings>, body: B, route: Arc<Route>, session: Option<Arc<AppSession>>, admitted: Admitted) -> Self {
        Self { bearings, body, route, session, admitted }
    }

    /// Makes sure that the account exists. A public path asks for none and announces nobody.
    ///
    /// # Errors
    /// Stops with [`PublicMessage::Waiting`], the desk's refusal, or a redirect to the page where people land.
    pub async fn provision<D: Doors>(self, doors: &D, now: Timestamp) -> Result<Provisioned<B>, Box<Stopped>> {
        let Self { bearings, body, route, session, admitted } = self;
        if admitted.public {
            return Ok(Provisioned::new(bearings, body, route, Whose::Visitor(session)));
        }
        let Some(session) = session else {
            // `evaluate` admits nobody without a session but on public paths; were it to, nothing is forwarded.
            return Err(Box::new(Stopped::new(bearings, Some(route), None, Stop::Say(PublicMessage::Internal))));
        };
        let ensured = if let Some(pass) = session.pass.load_full().filter(|pass| is_good(pass, &route, now)) {
            Ensured::Ready(pass)
        } else {
            let interactive = bearings.kind.is_read_by_a_person();
            let asking = Asking { hold_ms: if interactive { HOLD_PAGE_MS } else { HOLD_API_MS }, interactive };
            doors.ensure(&session, &route, bearings.incident, asking).await
        };
        let pass = match ensured {
            Ensured::Ready(pass) => pass,
            Ensured::Working => return Err(off_to(bearings, route, &session, Stop::Say(PublicMessage::Waiting))),
            Ensured::Refused(message) => return Err(off_to(bearings, route, &session, Stop::Say(message))),
        };
        // The account is there: on to the app, perhaps by another page first, and signed in there where that is the gateway's to do.
        if let Some(stop) = elsewhere(&bearings, &route, &session, &pass) {
            return Err(off_to(bearings, route, &session, stop));
        }
        if entrance::is_to_be_entered(&route, &session, &pass)
            && let Err(message) = doors.enter(&session, &route, &pass, bearings.incident).await
        {
            return Err(off_to(bearings, route, &session, Stop::Say(message)));
        }
        Ok(Provisioned::new(bearings, body, route, Whose::Person(session, pass)))
    }
}

/// Where a page leads instead: to where the person lands, and then to where the app learns who it is.
fn elsewhere(bearings: &Bearings, route: &Route, session: &AppSession, pass: &Pass) -> Option<Stop> {
    if bearings.kind != RequestKind::Page {
        return None;
    }
    landing(bearings, route, session, pass).map(Stop::Redirect).or_else(|| entrance::way_in(bearings, route, session, pass).map(Stop::Enter))
}

/// Where the first page after a sign-in leads instead, once. Never back to here, and never to the portal, which would lead back.
fn landing(bearings: &Bearings, route: &Route, session: &AppSession, pass: &Pass) -> Option<String> {
    if !session.land() {
        return None;
    }
    let landing = pass.landing.as_deref()?;
    let path = landing.split(['?', '#']).next().unwrap_or_default();
    (path != bearings.path.as_str() && route.policy.login.portal.as_deref() != Some(path)).then(|| landing.to_owned())
}

fn off_to(bearings: Box<Bearings>, route: Arc<Route>, session: &AppSession, stop: Stop) -> Box<Stopped> {
    let person = Arc::clone(&session.sign_on.identity);
    Box::new(Stopped::new(bearings, Some(route), Some(person), stop))
}

fn is_good(pass: &Pass, route: &Route, now: Timestamp) -> bool {
    now < pass.good_until && pass.policy_revision == route.policy.revision
}
