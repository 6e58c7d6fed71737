//! Signing in without having asked for a page: an app's own portal, a link to an app by its name, and the auth host itself, which shows a person what is open to
//! them.

use super::begin::{Ask, Start, Way};
use super::respond::context;
use super::{Desk, OwnRequest, ReturnTo, has_parameter, parameter};
use crate::clock::Timestamp;
use crate::fault::PublicMessage;
use crate::pages::{Choice, RequestKind};
use crate::policy::evaluate::{Facts, Refusal, SignedIn, evaluate};
use crate::policy::{CanonicalPath, Policy};
use crate::session::LiveSignOn;
use crate::state::{PendingLogin, StoreError};
use bytes::Bytes;
use http::Response;
use std::net::IpAddr;
use std::sync::Arc;

impl Desk {
    /// `[login] portal` of an app: whoever has a session goes straight on, everybody else signs in first; both end where the policy has people land.
    pub(super) async fn portal(&self, request: &OwnRequest, app: &Arc<Policy>) -> Result<Response<Bytes>, StoreError> {
        if let Some(session) = self.app_session(request, app).await? {
            session.expect_landing();
            return Ok(self.redirect("/"));
        }
        self.begin_at_app(request, app, Start { return_to: ReturnTo::front(), ask: Ask::Any, again: false }).await
    }

    /// `/.vestibule/login` on the auth host, from a link that no app's host has made: `?app=NAME` leads there, nothing leads to the launcher.
    pub(super) async fn begin_without_ticket(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        if !has_parameter(&request.query, "app") {
            return self.begin_here(request).await;
        }
        let app = parameter(&request.query, "app").and_then(|name| self.parts.apps.by_name(&name));
        Ok(match app {
            // The app's host binds the sign-in to this browser: it begins there.
            Some(app) => self.redirect(&format!("{}/.vestibule/login", self.parts.addresses.app_origin(&app))),
            None => self.message(request, PublicMessage::NoSuchHost),
        })
    }

    /// A sign-in at the auth host itself. Every provider may vouch: what that opens, each app says for itself.
    async fn begin_here(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        if request.kind != RequestKind::Page {
            return Ok(self.message(request, PublicMessage::SignInRequired));
        }
        let ask = Ask::from_query(&request.query);
        if ask == Ask::Any && self.sign_on(request).await?.is_some() {
            return Ok(self.redirect("/"));
        }
        let link = |idp: &str| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("idp", idp).extend_pairs(ask.parameter().map(|name| (name, "1")));
            format!("/.vestibule/login?{}", query.finish())
        };
        let all: Vec<String> = self.parts.providers.iter().map(|provider| provider.id().to_owned()).collect();
        let chosen = match (all.as_slice(), parameter(&request.query, "idp").filter(|chosen| all.contains(chosen))) {
            (_, Some(chosen)) => chosen,
            _ if has_parameter(&request.query, "idp") => return Ok(self.message(request, PublicMessage::LinkExpired)),
            ([only], None) => only.clone(),
            (_, None) => return Ok(self.picker(request, None, &all, link)),
        };
        let pending = PendingLogin {
            app: None,
            return_to: ReturnTo::front().to_string(),
            app_binding: None,
            auth_binding: None,
            idp: None,
            nonce: None,
            code_verifier: None,
            max_age_s: (ask == Ask::Fresh).then_some(0),
            begun_at_ms: self.parts.clock.now().millis(),
            reread: false,
            lands: false,
        };
        let way = Way { app: None, idp: &chosen, retry: link(&chosen), again: false, ticket: None, several: all.len() > 1 };
        self.send_to_provider(request, way, pending).await
    }

    /// `/` on the auth host: the apps that let this person in, as links.
    pub(super) async fn launcher(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        let Some(sign_on) = self.sign_on(request).await? else {
            let page = request.kind == RequestKind::Page;
            return Ok(if page { self.redirect("/.vestibule/login") } else { self.message(request, PublicMessage::SignInRequired) });
        };
        let now = self.parts.clock.now();
        sign_on.seen(now);
        let mut apps = self.parts.apps.all();
        apps.retain(|app| lets_in(app, &sign_on, request.peer, now));
        apps.sort_by(|a, b| (&a.title, &a.name).cmp(&(&b.title, &b.name)));
        let hrefs: Vec<String> =
            apps.iter().map(|app| format!("{}{}", self.parts.addresses.app_origin(app), app.login.portal.as_deref().unwrap_or("/"))).collect();
        let entries = apps.iter().zip(&hrefs).map(|(app, href)| Choice { id: &app.name, name: &app.title, href, last_used: false });
        Ok(self.parts.pages.launcher(context(request, None, Some(&sign_on.identity)), &entries.collect::<Vec<_>>()))
    }
}

/// Whether this person gets as far as the front page, signing in anew included.
fn lets_in(app: &Policy, sign_on: &LiveSignOn, peer: IpAddr, now: Timestamp) -> bool {
    let Ok(path) = CanonicalPath::parse("/") else { return false };
    let facts = Facts { method: "GET", path: &path, peer, host: &app.host };
    let signed_in = SignedIn { identity: &sign_on.identity, auth_time: sign_on.auth_time };
    matches!(evaluate(app, Some(signed_in), &facts, now), Ok(_) | Err(Refusal::FreshLogin { .. }))
}
