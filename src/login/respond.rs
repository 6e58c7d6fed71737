//! The shapes of the desk's answers: pages, redirects, and the headers that all of them carry.

use super::cookies::Kind;
use super::{Desk, OwnRequest};
use crate::fault::PublicMessage;
use crate::identity::Identity;
use crate::pages::{PageContext, Told, Wish};
use crate::policy::Policy;
use crate::sso::SsoFault;
use crate::state::StoreError;
use bytes::Bytes;
use http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

/// Life of the binding cookie: longer than any sign-in under way.
pub(super) const BINDING_S: i64 = 60 * 60;

impl Desk {
    /// A page about this request, on its own host.
    pub(super) fn message(&self, request: &OwnRequest, message: PublicMessage) -> Response<Bytes> {
        self.parts.pages.respond(message, context(request, request.app(), None))
    }

    /// A page that knows the app, from the auth host; its links go to the app's front page unless `continue_to` says where on this host.
    pub(super) fn message_about(
        &self,
        request: &OwnRequest,
        message: PublicMessage,
        app: Option<&Policy>,
        continue_to: Option<&str>,
    ) -> Response<Bytes> {
        self.parts.pages.respond(message, PageContext { continue_to, ..context(request, app, None) })
    }

    /// The store did not answer: nobody is let in. Logged here, once.
    pub(super) fn store_down(&self, request: &OwnRequest, error: &StoreError) -> Response<Bytes> {
        tracing::error!(incident = %request.incident, path = request.path, error = %error, "sign-in failed: the store");
        self.message(request, PublicMessage::StoreDown)
    }

    /// A provider's fault, as the person sees it. Logged here, once, with the exact check and both values; audited.
    pub(super) fn sso_fault(
        &self,
        request: &OwnRequest,
        fault: &SsoFault,
        idp: &str,
        app: Option<&Policy>,
        continue_to: Option<&str>,
    ) -> Response<Bytes> {
        let (incident, reason) = (request.incident, fault.reason());
        match fault {
            SsoFault::Unavailable { .. } => tracing::error!(%incident, idp, reason, fault = %fault, "sign-in failed: the provider is not answering"),
            SsoFault::Check { .. } => tracing::warn!(%incident, idp, reason, fault = %fault, "sign-in failed: the provider's answer does not hold"),
            SsoFault::Declined { .. } => tracing::info!(%incident, idp, reason, "sign-in declined"),
        }
        self.audit_failure(request, idp, reason, app);
        because(self.message_about(request, fault.public(), app, continue_to), idp, reason, Some(fault))
    }

    /// `login.failed` for the audit log.
    #[expect(clippy::unused_self, reason = "becomes a port of the desk when audit has one")]
    pub(super) fn audit_failure(&self, request: &OwnRequest, idp: &str, reason: &str, app: Option<&Policy>) {
        let app = app.map_or("", |app| &app.name);
        tracing::info!(target: "audit", action = "login.failed", incident = %request.incident, idp, reason, app, src.ip = %request.peer);
    }

    /// 303, never cached, without a referrer that would carry a ticket or a code.
    pub(super) fn redirect(&self, to: &str) -> Response<Bytes> {
        let Ok(location) = HeaderValue::try_from(to) else {
            // Every address of ours is ASCII by construction; a provider's passed the URL parser.
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        };
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SEE_OTHER;
        self.dress(&mut response);
        response.headers_mut().insert(LOCATION, location);
        response
    }

    /// A JSON document of ours.
    pub(super) fn json(&self, body: Bytes) -> Response<Bytes> {
        let mut response = Response::new(body);
        self.dress(&mut response);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// The headers that `pages` puts on pages, for answers without one (attacks.md C13).
    fn dress(&self, response: &mut Response<Bytes>) {
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; base-uri 'none'; frame-ancestors 'none'"));
        if self.parts.addresses.is_https() {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
    }

    /// With the binding cookie, set anew so that it lives through this sign-in.
    pub(super) fn with_binding(&self, response: Response<Bytes>, binding: &str) -> Response<Bytes> {
        with_cookie(response, self.cookies.set(Kind::Binding, binding, BINDING_S))
    }
}

impl OwnRequest {
    /// The app of the host it came to.
    pub(super) fn app(&self) -> Option<&Policy> {
        match &self.role {
            super::HostRole::App(app) => Some(app),
            super::HostRole::Auth => None,
        }
    }
}

/// What a page may say about `request`.
pub(super) fn context<'a>(request: &'a OwnRequest, app: Option<&'a Policy>, person: Option<&'a Identity>) -> PageContext<'a> {
    let language = Wish::Asked(request.headers.get(ACCEPT_LANGUAGE));
    PageContext { kind: request.kind, incident: request.incident, app, person, continue_to: None, language }
}

/// With what stood behind a page, for whoever keeps incidents: never on the page.
pub(super) fn because(mut page: Response<Bytes>, idp: &str, reason: &str, detail: Option<&SsoFault>) -> Response<Bytes> {
    if let Some(told) = page.extensions_mut().get_mut::<Told>() {
        told.idp = Some(idp.to_owned()).filter(|idp| !idp.is_empty());
        reason.clone_into(&mut told.reason);
        told.detail = detail.map(ToString::to_string);
    }
    page
}

/// With one more `Set-Cookie`.
pub(super) fn with_cookie(mut response: Response<Bytes>, cookie: Option<HeaderValue>) -> Response<Bytes> {
    response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    response
}
