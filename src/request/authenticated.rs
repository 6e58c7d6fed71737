//! Third stage: it is known on whose behalf the request runs.

use super::{Authorized, Bearings, Route, Stop, Stopped};
use crate::clock::Timestamp;
use crate::fault::{DenyReason, PublicMessage};
use crate::identity::Way;
use crate::pages::RequestKind;
use crate::policy::evaluate::{Facts, Refusal, SignedIn, evaluate_by, ways};
use crate::session::AppSession;
use std::sync::Arc;

/// A request with its principal.
#[derive(Debug)]
pub struct Authenticated<B> {
    bearings: Box<Bearings>,
    body: B,
    route: Arc<Route>,
    session: Option<Arc<AppSession>>,
}

impl<B> Authenticated<B> {
    pub(super) const fn new(bearings: Box<Bearings>, body: B, route: Arc<Route>, session: Option<Arc<AppSession>>) -> Self {
        Self { bearings, body, route, session }
    }

    /// Lets the policy decide.
    ///
    /// # Errors
    /// Stops with a sign-in (navigations), [`PublicMessage::SignInRequired`], [`PublicMessage::SessionEnded`],
    /// [`PublicMessage::FreshSignInRequired`], their counterparts for tokens, or [`PublicMessage::Denied`].
    pub fn authorize(self, now: Timestamp) -> Result<Authorized<B>, Box<Stopped>> {
        let Self { bearings, body, route, session } = self;
        let signed_in = session.as_ref().map(|session| SignedIn { identity: &session.sign_on.identity, auth_time: session.sign_on.auth_time });
        let way = session.as_ref().map_or(Way::Session, |session| session.way);
        let facts = Facts { method: bearings.method.as_str(), path: &bearings.path, peer: bearings.client, host: &bearings.host };
        match evaluate_by(&route.policy, signed_in, way, &facts, now) {
            // A public path is open to pages of other sites as well: nobody is announced there. Nor can a page make a browser send a token.
            Ok(admitted) if bearings.foreign_socket && !admitted.public && way == Way::Session => {
                let person = session.map(|session| Arc::clone(&session.sign_on.identity));
                Err(Box::new(Stopped::new(bearings, Some(route), person, Stop::Say(PublicMessage::Denied(DenyReason::Origin)))))
            }
            Ok(admitted) => Ok(Authorized::new(bearings, body, route, session, admitted)),
            Err(refusal) => {
                let takes_tokens = refusal == Refusal::LoginRequired && ways(&route.policy, &bearings.path).bearer;
                let auth_time = session.as_ref().map(|session| session.sign_on.auth_time);
                let as_of = session.as_ref().map(|session| session.sign_on.created_at);
                let place = if let Refusal::Denied { rule, .. } = refusal { Some(route.policy.place(rule).to_owned()) } else { None };
                let stop = match refusal {
                    Refusal::Denied { reason, .. } if is_worth_a_recheck(bearings.kind, refusal, &route, session.as_deref(), now) => {
                        Stop::Recheck(reason)
                    }
                    Refusal::Denied { .. } | Refusal::LoginRequired | Refusal::TokenRequired | Refusal::FreshLogin { .. } => {
                        answer(bearings.kind, way, refusal, takes_tokens)
                    }
                };
                let person = session.map(|session| Arc::clone(&session.sign_on.identity));
                Err(Box::new(Stopped::new(bearings, Some(route), person, stop).by(place).shown(auth_time, as_of, way)))
            }
        }
    }
}

/// Whether the provider may say otherwise by now: somebody was given a group a minute ago, and comes back to the page that refused them. Only for what can be
/// redirected; and only by a sign-in that is old enough, or people who are refused rightly would go round for ever.
fn is_worth_a_recheck(kind: RequestKind, refusal: Refusal, route: &Route, session: Option<&AppSession>, now: Timestamp) -> bool {
    let is_old = |session: &AppSession| session.way == Way::Session && now.since_ms(session.sign_on.known_as_of()) > route.policy.recheck_ms();
    kind == RequestKind::Page && refusal.rests_on_sign_in(&route.policy) && session.is_some_and(is_old)
}

/// What a refusal means for the kind of request (operators.md 5.1): only navigations are sent to sign in; a form's text must survive; scripts get
/// a status they understand.
fn answer(kind: RequestKind, way: Way, refusal: Refusal, takes_tokens: bool) -> Stop {
    match (refusal, kind) {
        (Refusal::TokenRequired, _) => Stop::Say(PublicMessage::TokenRequired),
        // Signing in in a browser would not make the token any younger.
        (Refusal::FreshLogin { .. }, _) if way == Way::Bearer => Stop::Say(PublicMessage::TokenTooOld),
        (Refusal::LoginRequired, RequestKind::Socket | RequestKind::Api) if takes_tokens => Stop::Say(PublicMessage::SignInOrTokenRequired),
        (Refusal::LoginRequired, RequestKind::Page) => Stop::SignIn { fresh: false },
        (Refusal::LoginRequired | Refusal::FreshLogin { .. }, RequestKind::Form) => Stop::Say(PublicMessage::SessionEnded),
        (Refusal::LoginRequired, RequestKind::Socket | RequestKind::Api) => Stop::Say(PublicMessage::SignInRequired),
        (Refusal::FreshLogin { .. }, RequestKind::Page) => Stop::SignIn { fresh: true },
        (Refusal::FreshLogin { .. }, RequestKind::Socket | RequestKind::Api) => Stop::Say(PublicMessage::FreshSignInRequired),
        (Refusal::Denied { reason, .. }, _) => Stop::Say(PublicMessage::Denied(reason)),
    }
}
