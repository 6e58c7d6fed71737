//! From the auth host to an app's host: a code of one minute, single use, bound to the app and to the browser that asked there.

use super::begin::{Ask, Start, is_again, is_marked_token};
use super::cookies::Kind;
use super::respond::{because, context, with_cookie};
use super::{Desk, OwnRequest, Purpose, ReturnTo, key, parameter};
use crate::fault::PublicMessage;
use crate::policy::Policy;
use crate::session::LiveSignOn;
use crate::state::{Handover, PendingLogin, SecretHash, StoreError, Taken};
use bytes::Bytes;
use http::Response;
use std::sync::Arc;

const CODE_MS: i64 = 60 * 1000;

impl Desk {
    /// On the auth host: gives a sign-on out to an app.
    pub(super) async fn hand_over(
        &self,
        sign_on: &LiveSignOn,
        app: &Policy,
        pending: &PendingLogin,
        again: bool,
    ) -> Result<Response<Bytes>, StoreError> {
        let code = self.marked_token(again);
        let handover = Handover {
            sign_on: sign_on.id,
            app: app.name.clone(),
            // A sign-in without a binding matches no browser, and begins anew at the app.
            app_binding: SecretHash(pending.app_binding.unwrap_or_default()),
            return_to: pending.return_to.clone(),
            lands: pending.lands,
        };
        let expires_at = self.parts.clock.now().plus_ms(CODE_MS);
        self.parts.logins.put_handover(key(Purpose::Code, &code), &handover, expires_at).await?;
        Ok(self.redirect(&format!("{}/.vestibule/callback?code={code}", self.parts.addresses.app_origin(app))))
    }

    /// `/.vestibule/callback` on an app's host.
    pub(super) async fn arrive(&self, request: &OwnRequest, app: &Arc<Policy>) -> Result<Response<Bytes>, StoreError> {
        let Some(code) = parameter(&request.query, "code").filter(|code| is_marked_token(code)) else {
            return Ok(self.message(request, PublicMessage::LinkExpired));
        };
        let taken = self.parts.logins.take_handover(key(Purpose::Code, &code), self.parts.clock.now()).await?;
        let handover = match taken {
            Taken::Fresh(handover) if handover.app == app.name => handover,
            // Reload, or the back button: whoever has a session here goes on, everybody else is told to begin again.
            Taken::Used(handover) if handover.app == app.name => {
                let known = self.app_session(request, app).await?.is_some();
                let return_to = ReturnTo::parse(&handover.return_to);
                return Ok(if known { self.redirect(return_to.as_str()) } else { self.message(request, PublicMessage::LinkExpired) });
            }
            // For another app: worthless here (attacks.md C14).
            Taken::Fresh(_) | Taken::Used(_) | Taken::Unknown => return Ok(self.message(request, PublicMessage::LinkExpired)),
        };
        let return_to = ReturnTo::parse(&handover.return_to);
        let shown = self.cookies.read_token(&request.headers, Kind::Binding).map(|binding| key(Purpose::Binding, &binding));
        if shown != Some(handover.app_binding) {
            tracing::info!(incident = %request.incident, app = app.name, "a hand-over came to another browser than its sign-in began in");
            return self.begin_again(request, app, return_to, &code).await;
        }
        let cookie = self.token();
        let session = self.parts.sessions.begin_app_session(key(Purpose::Session, &cookie), handover.sign_on, &app.name).await?;
        let Some(session) = session else {
            // Signed out in the last minute, or replaced by a sign-on of another tab.
            return self.begin_again(request, app, return_to, &code).await;
        };
        if handover.lands {
            session.expect_landing();
        }
        let cookie = self.cookies.set(Kind::Session, &cookie, self.parts.sessions.max_ms() / 1000);
        // A strict cookie is not sent along a chain of redirects that another site began: one more navigation, from here, and it is.
        let response = if self.parts.session.same_site == "Strict" {
            match format!("{}{return_to}", self.parts.addresses.app_origin(app)).parse() {
                Ok(to) => self.parts.pages.onward(context(request, Some(app), None), &to),
                Err(_not_an_address) => self.redirect(return_to.as_str()),
            }
        } else {
            self.redirect(return_to.as_str())
        };
        Ok(with_cookie(response, cookie))
    }

    /// Once: a browser that keeps no cookies would go round for ever.
    async fn begin_again(&self, request: &OwnRequest, app: &Arc<Policy>, return_to: ReturnTo, code: &str) -> Result<Response<Bytes>, StoreError> {
        if is_again(code) {
            self.audit_failure(request, "", "browser_binding", Some(app));
            return Ok(because(self.message(request, PublicMessage::LinkExpired), "", "browser_binding", None));
        }
        self.begin_at_app(request, app, Start { return_to, ask: Ask::Any, again: true }).await
    }
}
