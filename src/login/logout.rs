//! Signing out: here first and for certain, at the provider after that and if it can be reached.
//!
//! Only a POST changes anything, and only one that a page of the same origin sent (attacks.md C8). From an app's host the way goes by the auth host,
//! which may hold a sign-on of its own (two tabs that signed in at once), to the provider, and ends on the auth host's signed-out page.
//!
//! What has to travel between the hosts is kept as a [`PendingLogout`], in the place where single-use things of minutes are kept.

use super::cookies::{Kind, is_token};
use super::respond::{context, with_cookie};
use super::{Desk, HostRole, OwnRequest, Purpose, key, parameter};
use crate::fault::PublicMessage;
use crate::identity::SubjectId;
use crate::policy::Policy;
use crate::session::{AppSession, LiveSignOn};
use crate::state::{PendingLogin, SecretHash, StoreError, Taken};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::ORIGIN;
use http::{Method, Response};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;
use url::Url;

const LOGOUT_MS: i64 = 5 * 60 * 1000;
/// Apps named on the signed-out page.
const APPS_NAMED_MAX: usize = 20;

/// A sign-out on its way from an app's host to the auth host.
pub(super) struct PendingLogout {
    /// Whose: a sign-on of somebody else on the auth host is left alone.
    subject: String,
    idp: String,
    id_token: Option<String>,
    /// Policy names.
    apps: Vec<String>,
}

impl PendingLogout {
    /// As the store keeps it. The whole record is sealed, and its key is made for this purpose alone, so neither can stand in for the other.
    fn into_pending(self, begun_at_ms: i64) -> PendingLogin {
        PendingLogin {
            app: None,
            return_to: self.apps.join(","),
            app_binding: None,
            auth_binding: None,
            idp: Some(self.idp),
            nonce: Some(self.subject),
            code_verifier: self.id_token,
            max_age_s: None,
            begun_at_ms,
            reread: false,
            lands: false,
        }
    }

    fn from_pending(pending: PendingLogin) -> Self {
        Self {
            subject: pending.nonce.unwrap_or_default(),
            idp: pending.idp.unwrap_or_default(),
            id_token: pending.code_verifier,
            apps: pending.return_to.split(',').map(str::to_owned).collect(),
        }
    }
}

impl Desk {
    /// `/.vestibule/logout` on an app's host.
    pub(super) async fn logout_at_app(&self, request: &OwnRequest, app: &Arc<Policy>) -> Result<Response<Bytes>, StoreError> {
        let session = self.app_session(request, app).await?;
        if let Some(asked_first) = self.ask_first(request) {
            return Ok(asked_first);
        }
        self.leave_app(request, app, session.as_ref()).await
    }

    /// The app has signed somebody out (`[sign_in] logout_paths`), whose session ends here as well; `request` is the one that asked it to.
    pub async fn signed_out_by_app(self: &Arc<Self>, request: OwnRequest, session: &Arc<AppSession>) -> Response<Bytes> {
        let HostRole::App(app) = &request.role else { return self.message(&request, PublicMessage::NoSuchPage) };
        Box::pin(self.leave_app(&request, app, Some(session))).await.unwrap_or_else(|error| self.store_down(&request, &error))
    }

    /// Ends the session at an app's host, and goes on to the auth host.
    async fn leave_app(&self, request: &OwnRequest, app: &Arc<Policy>, session: Option<&Arc<AppSession>>) -> Result<Response<Bytes>, StoreError> {
        // Without a session here there is nothing to go by: the auth host asks for itself.
        let mut next = format!("{}/.vestibule/logout", self.parts.addresses.auth_origin());
        if let Some(session) = session {
            let ended = self.end(request, &session.sign_on).await?;
            let (token, now) = (self.token(), self.parts.clock.now());
            let pending = ended.into_pending(now.millis());
            self.kept.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.parts.logins.put_pending(key(Purpose::Logout, &token), &pending, now.plus_ms(LOGOUT_MS)).await?;
            next = format!("{next}/done?t={token}");
        }
        // A redirect to another origin after a form is what Chrome's form-action forbids; a page that goes there itself is not.
        let response = match Url::parse(&next) {
            Ok(next) if request.kind.is_read_by_a_person() => self.parts.pages.onward(context(request, Some(app), None), &next),
            _ => self.message(request, PublicMessage::SignedOut),
        };
        Ok(with_cookie(with_cookie(response, self.cookies.clear(Kind::Session)), self.cookies.clear(Kind::Binding)))
    }

    /// `/.vestibule/logout` on the auth host.
    pub(super) async fn logout_here(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        let sign_on = self.sign_on(request).await?;
        if let Some(asked_first) = self.ask_first(request) {
            return Ok(asked_first);
        }
        let ended = match &sign_on {
            Some(sign_on) => Some(self.end(request, sign_on).await?),
            None => None,
        };
        let to = self.after(ended.as_ref()).await;
        let response = match Url::parse(&to) {
            Ok(to) if request.kind.is_read_by_a_person() => self.parts.pages.onward(context(request, None, None), &to),
            _ => self.message(request, PublicMessage::SignedOut),
        };
        Ok(self.without_sign_on(response))
    }

    /// `/.vestibule/logout/done?t=` on the auth host: the second half of a sign-out at an app. A GET, so it acts only on a token that such
    /// a sign-out made, once, and only on a sign-on of the same person.
    pub(super) async fn logout_done(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        let token = parameter(&request.query, "t").filter(|token| is_token(token)).unwrap_or_default();
        let found = self.parts.logins.take_pending(key(Purpose::Logout, &token), self.parts.clock.now()).await?;
        let Taken::Fresh(pending) = found else { return Ok(self.redirect(&self.after(None).await)) };
        let ended = PendingLogout::from_pending(pending);
        match self.sign_on(request).await? {
            Some(other) if fingerprint(&other.identity.subject) != ended.subject => return Ok(self.redirect(&self.after(None).await)),
            Some(same) => drop(self.end(request, &same).await?),
            None => {}
        }
        let to = self.after(Some(&ended)).await;
        Ok(self.without_sign_on(self.redirect(&to)))
    }

    /// `/.vestibule/signed-out?state=` on the auth host: of what. The names are those of apps that exist; anything else is left out.
    pub(super) fn signed_out(&self, request: &OwnRequest) -> Response<Bytes> {
        let names = parameter(&request.query, "state").unwrap_or_default();
        let apps: Vec<Arc<Policy>> = names.split(',').take(APPS_NAMED_MAX).filter_map(|name| self.parts.apps.by_name(name)).collect();
        let titles: Vec<&str> = apps.iter().map(|app| app.title.as_str()).collect();
        let provider = parameter(&request.query, "idp").and_then(|id| self.provider(&id));
        self.parts.pages.signed_out(context(request, None, None), &titles, provider.as_ref().map(|provider| (provider.name(), None)))
    }

    /// The confirm page, unless this is a POST that our own page sent.
    fn ask_first(&self, request: &OwnRequest) -> Option<Response<Bytes>> {
        let token = self.form_token(request);
        if request.method == Method::POST && self.is_own_form(request, &token) {
            return None;
        }
        Some(self.parts.pages.logout_confirm(context(request, request.app(), None), "/.vestibule/logout", &token))
    }

    /// `Sec-Fetch-Site` decides where it is sent, and page script cannot forge it; older browsers, and plain http, need the right `Origin` and the
    /// token from our page.
    fn is_own_form(&self, request: &OwnRequest, token: &str) -> bool {
        if let Some(site) = request.headers.get("sec-fetch-site") {
            return matches!(site.as_bytes(), b"same-origin" | b"none");
        }
        let own = match &request.role {
            HostRole::Auth => self.parts.addresses.auth_origin(),
            HostRole::App(app) => self.parts.addresses.app_origin(app),
        };
        // `null` is what a page with `Referrer-Policy: no-referrer`, as ours are, sends even to its own origin; the token decides then.
        let origin_fits = request.headers.get(ORIGIN).is_none_or(|origin| origin.as_bytes() == own.as_bytes() || origin == "null");
        let sent = form_urlencoded::parse(&request.body).find(|(name, _)| name == "token").map(|(_, value)| value.into_owned());
        let token_fits = sent.is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(token.as_bytes())));
        origin_fits && token_fits && !token.is_empty()
    }

    /// Per session, derived from its cookie, which another origin can neither read nor set. Empty without a session: nothing to sign out of.
    fn form_token(&self, request: &OwnRequest) -> String {
        let cookie = self.cookies.read_token(&request.headers, Kind::Session);
        cookie.map(|cookie| URL_SAFE_NO_PAD.encode(SecretHash::of(format!("logout form:{cookie}").as_bytes()).0)).unwrap_or_default()
    }

    /// Ends a sign-on in the store, in all apps.
    pub(super) async fn end(&self, request: &OwnRequest, sign_on: &LiveSignOn) -> Result<PendingLogout, StoreError> {
        // Only for the sentence on the page: a store that cannot say must not keep anybody signed in.
        let mut apps = self.parts.session_store.apps_of(sign_on.id).await.unwrap_or_else(|error| {
            tracing::warn!(incident = %request.incident, error = %error, "the apps of a sign-on are not known");
            Vec::new()
        });
        if let Some(here) = request.app() {
            // The app it was asked at comes first in the sentence.
            apps.sort_by_key(|name| *name != here.name);
        }
        apps.truncate(APPS_NAMED_MAX);
        self.parts.sessions.end(sign_on.id).await?;
        let person = &sign_on.identity;
        tracing::info!(
            target: "audit",
            action = "logout",
            incident = %request.incident,
            idp = person.idp,
            app = request.app().map_or("", |app| &app.name),
            user.iss = person.subject.issuer,
            user.sub = person.subject.subject,
            src.ip = %request.peer,
        );
        Ok(PendingLogout { subject: fingerprint(&person.subject), idp: person.idp.clone(), id_token: sign_on.id_token.clone(), apps })
    }

    /// Where the browser goes once it is signed out here: to the provider, when it has a place for that.
    async fn after(&self, ended: Option<&PendingLogout>) -> String {
        let page = format!("{}/.vestibule/signed-out", self.parts.addresses.auth_origin());
        let Some(ended) = ended else { return page };
        let state = ended.apps.join(",");
        if let Some(provider) = self.provider(&ended.idp)
            && let Some(url) = provider.logout_url(ended.id_token.as_deref(), &page, &state).await
        {
            return url.into();
        }
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("state", &state).append_pair("idp", &ended.idp).finish();
        format!("{page}?{query}")
    }

    pub(super) fn without_sign_on(&self, response: Response<Bytes>) -> Response<Bytes> {
        with_cookie(with_cookie(response, self.cookies.clear(Kind::Session)), self.cookies.clear(Kind::Binding))
    }
}

/// Of issuer and subject, the issuer's length first, so that no two people have the same.
fn fingerprint(subject: &SubjectId) -> String {
    let text = format!("{}:{}{}", subject.issuer.len(), subject.issuer, subject.subject);
    URL_SAFE_NO_PAD.encode(SecretHash::of(text.as_bytes()).0)
}
