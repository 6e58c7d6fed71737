//! The way back: a provider sends the browser to the auth host.
//!
//! The order matters and is the whole defence: nothing is looked up before the answer is well-formed, nothing is used up before it is known to
//! be this browser's, nothing is sent before it is used up. So a `state` causes at most one token request, ever.

use super::begin::{Ask, Start, is_again, is_marked_token, satisfies};
use super::cookies::Kind;
use super::respond::{because, with_cookie};
use super::{Desk, OwnRequest, Purpose, ReturnTo, key};
use crate::clock::Timestamp;
use crate::fault::PublicMessage;
use crate::identity::Identity;
use crate::pages::RequestKind;
use crate::policy::Policy;
use crate::session::LiveSignOn;
use crate::sso::response::AuthorizationResponse;
use crate::sso::{Answer, Finish, VerifiedAssertion};
use crate::state::{PendingLogin, RecordedSignIn, SecretHash, SignOn, SignOnId, StoreError, Taken};
use bytes::Bytes;
use http::{Method, Response};
use std::sync::Arc;

impl Desk {
    /// `/.vestibule/callback` on the auth host.
    pub(super) async fn provider_callback(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        // A form_post was not asked for (RFC 9700 2.1.2); a HEAD must not use a code up.
        if request.method != Method::GET {
            return Ok(self.message(request, PublicMessage::BadRequest));
        }
        let response = match AuthorizationResponse::parse(&request.query) {
            Ok(response) => response,
            Err(malformed) => {
                tracing::info!(incident = %request.incident, reason = %malformed, "a callback was refused unread");
                self.audit_failure(request, "", &malformed.to_string(), None);
                return Ok(because(self.message(request, PublicMessage::LinkExpired), "", &malformed.to_string(), None));
            }
        };
        let sign_on = self.sign_on(request).await?;
        self.came_back(request, sign_on, &response.state, Some(Answer::Code(&response))).await
    }

    /// This browser shows a `state`, and what a provider gave it; `answer`: `None` when that is not to be had any more.
    pub(super) async fn came_back(
        &self,
        request: &OwnRequest,
        sign_on: Option<Arc<LiveSignOn>>,
        token: &str,
        answer: Option<Answer<'_>>,
    ) -> Result<Response<Bytes>, StoreError> {
        let now = self.parts.clock.now();
        if !is_marked_token(token) {
            return self.unknown_state(request, sign_on.as_deref()).await;
        }
        let state = key(Purpose::State, token);
        if let Some(pending) = self.parts.logins.pending(state, now).await?
            && !self.is_of_this_browser(request, &pending)
        {
            // Somebody else's, or a tab whose binding another tab replaced. It stays usable for the browser it belongs to.
            return self.not_this_browser(request, sign_on.as_deref(), &pending, token).await;
        }
        match self.parts.logins.take_pending(state, now).await? {
            Taken::Fresh(pending) => match answer {
                Some(answer) => self.answered(request, sign_on.as_ref(), pending, token, answer).await,
                None => Ok(self.message_about(request, PublicMessage::LinkExpired, self.app_of(&pending).as_deref(), None)),
            },
            Taken::Used(pending) => match self.go_home(sign_on.as_deref(), &pending, is_again(token)).await? {
                Some(home) => Ok(home),
                // A sign-in at the auth host itself ends at the launcher, however often its callback is reloaded.
                None if pending.app.is_none() && sign_on.is_some() => Ok(self.redirect("/")),
                None => Ok(self.message_about(request, PublicMessage::LinkExpired, self.app_of(&pending).as_deref(), None)),
            },
            Taken::Unknown => self.unknown_state(request, sign_on.as_deref()).await,
        }
    }

    /// This browser's own sign-in, just used up.
    async fn answered(
        &self,
        request: &OwnRequest,
        present: Option<&Arc<LiveSignOn>>,
        pending: PendingLogin,
        token: &str,
        answer: Answer<'_>,
    ) -> Result<Response<Bytes>, StoreError> {
        // Another tab was first: nothing is left to prove.
        if let Some(home) = self.go_home(present.map(AsRef::as_ref), &pending, is_again(token)).await? {
            return Ok(home);
        }
        let app = self.app_of(&pending);
        let idp = pending.idp.as_deref().unwrap_or_default();
        let accepted = app.as_ref().is_none_or(|app| app.login.idp.iter().any(|accepted| accepted == idp));
        let (Some(provider), Some(nonce), Some(code_verifier), true) =
            (self.provider(idp), pending.nonce.as_deref(), pending.code_verifier.as_deref(), accepted)
        else {
            // The configuration changed meanwhile, or the record is not of a sign-in at a provider.
            return Ok(self.message_about(request, PublicMessage::LinkExpired, app.as_deref(), None));
        };
        let redirect_uri = self.redirect_uri();
        let begun_at = Timestamp::from_millis(pending.begun_at_ms);
        let finish = Finish { response: answer, nonce, code_verifier, redirect_uri: &redirect_uri, max_age_s: pending.max_age_s, begun_at };
        match provider.finish(finish).await {
            Ok(assertion) if !self.is_first_time(&assertion).await? => {
                self.audit_failure(request, idp, "replay", app.as_deref());
                Ok(because(self.message_about(request, PublicMessage::SignInFailed, app.as_deref(), None), idp, "replay", None))
            }
            Ok(assertion) => self.signed_on(request, present, assertion, &pending, is_again(token)).await,
            Err(fault) => Ok(self.sso_fault(request, &fault, idp, app.as_deref(), None)),
        }
    }

    /// A new sign-on with a new id, whatever cookie was shown; the one that was there before is ended.
    async fn signed_on(
        &self,
        request: &OwnRequest,
        present: Option<&Arc<LiveSignOn>>,
        assertion: VerifiedAssertion,
        pending: &PendingLogin,
        again: bool,
    ) -> Result<Response<Bytes>, StoreError> {
        let ends = assertion.ends();
        let (identity, auth_time, id_token, idp_session) = assertion.into_parts();
        let now = self.parts.clock.now();
        // Asked once more what it says of the person, the provider says the same: nobody is signed out of anything for it.
        if let Some(present) = present.filter(|present| pending.reread && says_the_same(&present.identity, &identity)) {
            present.confirm(now);
            let app = self.app_of(pending);
            return match &app {
                Some(app) => self.hand_over(present, app, pending, again).await,
                None => Ok(self.redirect("/")),
            };
        }
        let cookie = self.token();
        let most = now.plus_ms(self.parts.sessions.max_ms());
        let sign_on = SignOn {
            id: SignOnId(self.parts.entropy.as_ref().bytes::<16>()),
            identity,
            auth_time,
            created_at: now,
            last_seen: now,
            expires_at: ends.map_or(most, |ends| ends.min(most)),
            id_token,
            idp_session,
        };
        let recorded = RecordedSignIn { identity: sign_on.identity.clone(), auth_time, at: now };
        let live = self.parts.sessions.begin_sign_on(key(Purpose::Session, &cookie), sign_on).await?;
        // Nobody is kept out because operators could not be told later.
        if let Err(error) = self.parts.sign_ins.record(&recorded).await {
            tracing::warn!(incident = %request.incident, %error, "a sign-in was not recorded: explain will not know of it");
        }
        if let Some(present) = present {
            self.parts.sessions.end(present.id).await?;
        }
        let app = self.app_of(pending);
        tracing::info!(
            target: "audit",
            action = "login.succeeded",
            incident = %request.incident,
            idp = live.identity.idp,
            app = app.as_ref().map_or("", |app| &app.name),
            user.iss = live.identity.subject.issuer,
            user.sub = live.identity.subject.subject,
            src.ip = %request.peer,
        );
        let response = match &app {
            Some(app) => self.hand_over(&live, app, pending, again).await?,
            None => self.redirect("/"),
        };
        Ok(with_cookie(response, self.cookies.set_lax(Kind::Session, &cookie, self.parts.sessions.max_ms() / 1000)))
    }

    /// What is good once has not been here before.
    async fn is_first_time(&self, assertion: &VerifiedAssertion) -> Result<bool, StoreError> {
        match assertion.once() {
            Some((shown, until)) => self.parts.logins.once(key(Purpose::Assertion, shown), until).await,
            None => Ok(true),
        }
    }

    /// To the app, by hand-over, when this browser is signed on well enough for what `pending` asked.
    async fn go_home(&self, sign_on: Option<&LiveSignOn>, pending: &PendingLogin, again: bool) -> Result<Option<Response<Bytes>>, StoreError> {
        let (Some(sign_on), Some(app)) = (sign_on, self.app_of(pending)) else { return Ok(None) };
        if !satisfies(sign_on, &app, pending) {
            return Ok(None);
        }
        self.hand_over(sign_on, &app, pending, again).await.map(Some)
    }

    /// A `state` of another browser's, or of this one under a binding that is gone. Nothing of the answer is used. With a sign-on of its own the
    /// browser goes where it would have gone (the code it gets is bound to the other browser and begins anew there); a person who has none
    /// signs in from the start, as themselves, once.
    async fn not_this_browser(
        &self,
        request: &OwnRequest,
        sign_on: Option<&LiveSignOn>,
        pending: &PendingLogin,
        state: &str,
    ) -> Result<Response<Bytes>, StoreError> {
        tracing::info!(incident = %request.incident, "a callback came to another browser than its sign-in began in, or the binding is gone");
        if let Some(home) = self.go_home(sign_on, pending, is_again(state)).await? {
            return Ok(home);
        }
        let app = self.app_of(pending);
        match &app {
            Some(app) if request.kind == RequestKind::Page && !is_again(state) => {
                let start = Start { return_to: ReturnTo::parse(&pending.return_to), ask: Ask::of(pending), again: true };
                Ok(self.redirect(&self.begin_link(app, &start)))
            }
            _ => {
                self.audit_failure(request, pending.idp.as_deref().unwrap_or_default(), "state_of_another_browser", app.as_deref());
                let page = self.message_about(request, PublicMessage::LinkExpired, app.as_deref(), None);
                Ok(because(page, pending.idp.as_deref().unwrap_or_default(), "state_of_another_browser", None))
            }
        }
    }

    /// A `state` that nobody here made, or too old.
    async fn unknown_state(&self, request: &OwnRequest, sign_on: Option<&LiveSignOn>) -> Result<Response<Bytes>, StoreError> {
        if sign_on.is_some() {
            return self.signed_in(request).await;
        }
        tracing::info!(incident = %request.incident, "a callback with an unknown or expired state");
        self.audit_failure(request, "", "state_unknown", None);
        Ok(because(self.message(request, PublicMessage::LinkExpired), "", "state_unknown", None))
    }

    /// Where a sign-in begins on the app's own host.
    fn begin_link(&self, app: &Policy, start: &Start) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("to", start.return_to.as_str());
        query.extend_pairs(start.ask.parameter().map(|name| (name, "1")));
        query.extend_pairs(start.again.then_some(("again", "1")));
        format!("{}/.vestibule/login?{}", self.parts.addresses.app_origin(app), query.finish())
    }

    fn is_of_this_browser(&self, request: &OwnRequest, pending: &PendingLogin) -> bool {
        let shown = self.cookies.read_token(&request.headers, Kind::Binding).map(|binding| key(Purpose::Binding, &binding));
        pending.auth_binding.is_some() && shown == pending.auth_binding.map(SecretHash)
    }

    fn app_of(&self, pending: &PendingLogin) -> Option<Arc<Policy>> {
        self.parts.apps.by_name(pending.app.as_deref()?)
    }
}

/// Whether two sign-ins say the same of the same person; when each was made aside (RFC 7519 4.1, OIDC Core 2).
fn says_the_same(before: &Identity, now: &Identity) -> bool {
    const OF_THE_MOMENT: [&str; 7] = ["iat", "exp", "nbf", "jti", "auth_time", "sid", "session_state"];
    let lasting = |identity: &Identity| {
        let mut identity = identity.clone();
        identity.claims.retain(|name, _| !OF_THE_MOMENT.contains(&name.as_str()));
        identity
    };
    lasting(before) == lasting(now)
}
