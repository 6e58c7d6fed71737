//! What people see about themselves on an app's host: who they are to the app, and the page that waits for their account.

use super::begin::{Ask, Start};
use super::cookies::Kind;
use super::respond::context;
use super::{Desk, HostRole, OwnRequest, Purpose, ReturnTo, Visit, key, parameter};
use crate::clock::Timestamp;
use crate::fault::PublicMessage;
use crate::pages::{PageContext, WhoAmI};
use crate::policy::Policy;
use crate::provision::{Asking, Ensured};
use crate::session::AppSession;
use crate::state::StoreError;
use bytes::Bytes;
use http::Response;
use std::sync::Arc;

/// The waiting page's address holds its answer for so long (operators.md 5.4).
const HOLD_PAGE_MS: u64 = 20_000;
/// A program is told to come back sooner.
const HOLD_API_MS: u64 = 10_000;

impl Desk {
    /// The live session of this browser at this app, and at no other.
    pub(super) async fn app_session(&self, request: &OwnRequest, app: &Policy) -> Result<Option<Arc<AppSession>>, StoreError> {
        let Some(cookie) = self.cookies.read_token(&request.headers, Kind::Session) else { return Ok(None) };
        let session = self.parts.sessions.app_session(key(Purpose::Session, &cookie)).await?;
        Ok(session.filter(|session| session.app == app.name))
    }

    /// `/.vestibule/whoami`: what the app is told, tokens left out.
    pub(super) async fn who_am_i(&self, request: &OwnRequest, app: &Policy) -> Result<Response<Bytes>, StoreError> {
        let Some(session) = self.app_session(request, app).await? else {
            let context = PageContext { continue_to: Some("/.vestibule/whoami"), ..context(request, Some(app), None) };
            return Ok(self.parts.pages.respond(PublicMessage::SignInRequired, context));
        };
        let person = &session.sign_on.identity;
        let pass = session.pass.load_full();
        let token_header = app.jwt.as_ref().map(|jwt| &jwt.header);
        let injected = pass.iter().flat_map(|pass| &pass.headers).filter(|(name, _)| Some(name) != token_header);
        let injected: Vec<(&str, String)> =
            injected.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect();
        let headers: Vec<(&str, &str)> = injected.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let roles = pass.as_deref().map_or(&[][..], |pass| &pass.roles);
        let said = session.sign_on.auth_time != Timestamp::from_millis(0);
        let provider = self.provider(&person.idp);
        let facts = WhoAmI {
            login: pass.as_deref().map(|pass| pass.login.as_str()),
            roles,
            provider: provider.as_ref().map_or(person.idp.as_str(), |provider| provider.name()),
            signed_in_at: if said { session.sign_on.auth_time } else { session.sign_on.created_at },
            headers: &headers,
        };
        Ok(self.parts.pages.whoami(context(request, Some(app), Some(person)), facts))
    }

    /// `/.vestibule/wait?to=`: holds its answer until the account is there.
    pub(super) async fn wait(&self, request: &OwnRequest, app: &Arc<Policy>) -> Result<Response<Bytes>, StoreError> {
        let to = parameter(&request.query, "to").map_or_else(ReturnTo::front, |to| ReturnTo::parse(&to));
        let Some(session) = self.app_session(request, app).await? else {
            return self.begin_at_app(request, app, Start { return_to: to, ask: Ask::Any, again: false }).await;
        };
        let interactive = request.kind.is_read_by_a_person();
        let asking = Asking { hold_ms: if interactive { HOLD_PAGE_MS } else { HOLD_API_MS }, interactive };
        let visit = Visit { session: &session, policy: app, to: &to, peer: request.peer, incident: request.incident, asking };
        let context = PageContext { continue_to: Some(to.as_str()), ..context(request, Some(app), Some(&session.sign_on.identity)) };
        Ok(match self.parts.admission.ensure(visit).await {
            None => self.redirect(to.as_str()),
            Some(Ensured::Ready(pass)) => {
                let landing = pass.landing.as_deref().filter(|_| session.land()).map(ReturnTo::parse);
                self.redirect(landing.as_ref().unwrap_or(&to).as_str())
            }
            Some(Ensured::Working) => self.parts.pages.still_waiting(context),
            Some(Ensured::Refused(message)) => self.parts.pages.respond(message, context),
        })
    }

    /// A tab with nowhere to go on to.
    pub(super) async fn signed_in(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        let person = match &request.role {
            HostRole::Auth => self.sign_on(request).await?.map(|sign_on| Arc::clone(&sign_on.identity)),
            HostRole::App(app) => self.app_session(request, app).await?.map(|session| Arc::clone(&session.sign_on.identity)),
        };
        Ok(match &person {
            Some(person) => self.parts.pages.signed_in(context(request, request.app(), Some(person))),
            None => self.message(request, PublicMessage::SignInRequired),
        })
    }

    /// `/.vestibule/jwks`.
    pub(super) fn jwks(&self) -> Response<Bytes> {
        self.json((self.parts.jwks)())
    }
}
