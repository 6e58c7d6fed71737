//! Second stage: the policy is known. Our own pages leave the path here, with no upstream in reach.

use super::bearer::{self, Shown};
use super::{Authenticated, Bearings, Doors, Limits, Route, Routes, Stop, Stopped, cookies};
use crate::clock::Timestamp;
use crate::fault::PublicMessage;
use crate::pages::RequestKind;
use crate::session::AppSession;
use crate::state::StoreError;
use std::sync::Arc;

/// Everything under this prefix is ours, on every host.
const OURS: &str = "/.vestibule";

/// A request for one of our own pages.
#[derive(Debug)]
pub struct Own<B> {
    /// What is known of it.
    pub bearings: Box<Bearings>,
    /// Its body.
    pub body: B,
    /// The app on whose host it arrived; `None` on the auth host.
    pub route: Option<Arc<Route>>,
}

/// A request for an app.
#[derive(Debug)]
pub struct ForApp<B> {
    bearings: Box<Bearings>,
    body: B,
    route: Arc<Route>,
}

/// A request that has found its policy.
#[derive(Debug)]
pub enum Routed<B> {
    /// For us.
    Own(Own<B>),
    /// For an app.
    App(ForApp<B>),
}

impl<B> Routed<B> {
    /// Looks the host up.
    pub(super) fn find(bearings: Box<Bearings>, body: B, routes: &Routes) -> Result<Self, Box<Stopped>> {
        let stop = |bearings, message| Err(Box::new(Stopped::new(bearings, None, None, Stop::Say(message))));
        // Only a policy can say that `%2F` is part of a name; none does for our own pages.
        let path = bearings.path.as_str();
        let kept = || routes.find(&bearings.host).is_some_and(|route| bearings.path.suits(route.policy.encoded_slashes) && !is_ours(path));
        if bearings.path.has_encoded_slash() && !kept() {
            return stop(bearings, PublicMessage::BadRequest);
        }
        if routes.is_auth_host(&bearings.host) {
            return Ok(Self::Own(Own { bearings, body, route: None }));
        }
        let Some(route) = routes.find(&bearings.host).cloned() else {
            let message = if routes.is_unavailable(&bearings.host) { PublicMessage::AppUnavailable } else { PublicMessage::NoSuchHost };
            return stop(bearings, message);
        };
        if is_ours(path) || is_portal(path, &route) {
            return Ok(Self::Own(Own { bearings, body, route: Some(route) }));
        }
        Ok(Self::App(ForApp { bearings, body, route }))
    }
}

impl<B> ForApp<B> {
    /// Finds out on whose behalf the request runs. A broken, unknown, foreign or ended cookie is *nobody*, never an error and never
    /// "allowed without headers" (CVE-2026-25748).
    ///
    /// # Errors
    /// Stops with [`PublicMessage::StoreDown`] when neither memory nor the store can tell: nobody is let in on a guess. With
    /// [`PublicMessage::TokenInvalid`] and its siblings for a token that does not hold, where tokens are accepted.
    pub async fn authenticate<D: Doors>(self, limits: &Limits, doors: &D, now: Timestamp) -> Result<Authenticated<B>, Box<Stopped>> {
        if let Some(shown) = bearer::shown(&self.bearings, &self.route) {
            let known = match shown {
                Shown::Token(token) => doors.token(token, &self.route, self.bearings.incident, self.bearings.client).await,
                Shown::Malformed => Err(PublicMessage::TokenInvalid),
            };
            return self.by_token(known, now);
        }
        match self.session(limits, doors, now).await {
            Ok(session) => Ok(Authenticated::new(self.bearings, self.body, self.route, session)),
            Err(error) => {
                tracing::error!(incident = %self.bearings.incident, %error, "no session can be looked up");
                Err(Box::new(Stopped::new(self.bearings, Some(self.route), None, Stop::Say(PublicMessage::StoreDown))))
            }
        }
    }

    /// Where a token is accepted and shown, it is what counts: a cookie beside it is not looked at.
    fn by_token(mut self, known: Result<Arc<AppSession>, PublicMessage>, now: Timestamp) -> Result<Authenticated<B>, Box<Stopped>> {
        // Whoever sends a token is a script, whatever it says it accepts: no page, no redirect to a sign-in.
        if self.bearings.kind != RequestKind::Socket {
            self.bearings.kind = RequestKind::Api;
        }
        match known {
            Ok(session) if session.app == self.route.policy.name => {
                session.sign_on.seen(now);
                Ok(Authenticated::new(self.bearings, self.body, self.route, Some(session)))
            }
            Ok(_elsewhere) => Err(Box::new(Stopped::new(self.bearings, Some(self.route), None, Stop::Say(PublicMessage::TokenInvalid)))),
            Err(message) => Err(Box::new(Stopped::new(self.bearings, Some(self.route), None, Stop::Say(message)))),
        }
    }

    async fn session<D: Doors>(&self, limits: &Limits, doors: &D, now: Timestamp) -> Result<Option<Arc<AppSession>>, StoreError> {
        for cookie in cookies::session_hashes(&self.bearings.headers, &limits.cookie) {
            // C14: a session of another app is nothing here, however valid it is there.
            let ours = |found: &Arc<AppSession>| found.app == self.route.policy.name && found.sign_on.alive(now, limits.idle_ms);
            if let Some(found) = doors.session(cookie, now).await?.filter(ours) {
                found.sign_on.seen(now);
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// Whether this is where the policy lets anybody begin a sign-in: exactly there, byte for byte.
fn is_portal(path: &str, route: &Route) -> bool {
    route.policy.login.portal.as_deref() == Some(path)
}

/// Whether a canonical path is under our prefix, in any letter case: a case-blind app must not get to answer for us.
fn is_ours(path: &str) -> bool {
    path.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS))
        && path.get(OURS.len()..).is_some_and(|rest| rest.is_empty() || ["/", ";", "%2F"].iter().any(|next| rest.starts_with(next)))
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn the_reserved_prefix_is_ours_in_any_case_and_nothing_else_is() {
        for ours in ["/.vestibule", "/.vestibule/", "/.vestibule/login", "/.Vestibule/x", "/.vestibule;a/x", "/.vestibule%2Flogin"] {
            assert!(is_ours(ours), "{ours}");
        }
        for theirs in ["/", "/.vestibules", "/x/.vestibule/", "/.vestibul", "/é.vestibule", "/.vestibuleé"] {
            assert!(!is_ours(theirs), "{theirs}");
        }
    }
}
