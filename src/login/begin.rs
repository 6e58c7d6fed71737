//! The way out: from the app's host to the auth host, and on to a provider.

use super::cookies::{Kind, is_token};
use super::respond::{context, with_cookie};
use super::{Desk, OwnRequest, Purpose, ReturnTo, key, parameter};
use crate::clock::Timestamp;
use crate::fault::PublicMessage;
use crate::pages::Choice;
use crate::policy::Policy;
use crate::session::LiveSignOn;
use crate::sso::Begin;
use crate::state::{PendingLogin, StoreError};
use bytes::Bytes;
use http::Response;
use std::sync::Arc;

/// From the app's host to the auth host, the picker included.
const TICKET_MS: i64 = 10 * 60 * 1000;
/// At the provider: passwords are looked up, phones are fetched.
const STATE_MS: i64 = 30 * 60 * 1000;
const LAST_IDP_S: i64 = 30 * 24 * 60 * 60;
/// Marks tickets, states and codes of a sign-in that was begun again: it is not begun a third time.
const AGAIN: char = '.';

/// A sign-in about to begin at an app's host.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) return_to: ReturnTo,
    pub(super) fresh: bool,
    /// Whether this is the second try.
    pub(super) again: bool,
}

impl Desk {
    /// `/.vestibule/login?to=` on an app's host, from a link on one of our pages.
    pub(super) async fn begin_by_link(&self, request: &OwnRequest, app: &Arc<Policy>) -> Result<Response<Bytes>, StoreError> {
        let asked = |name| parameter(&request.query, name).is_some_and(|value| value == "1");
        let return_to = parameter(&request.query, "to").map_or_else(ReturnTo::front, |to| ReturnTo::parse(&to));
        self.begin_at_app(request, app, Start { return_to, fresh: asked("fresh") || asked("other"), again: asked("again") }).await
    }

    /// Keeps what was asked for under a new ticket, and sends the browser to the auth host.
    pub(super) async fn begin_at_app(&self, request: &OwnRequest, app: &Arc<Policy>, start: Start) -> Result<Response<Bytes>, StoreError> {
        if request.kind != crate::pages::RequestKind::Page {
            return Ok(self.message(request, PublicMessage::SignInRequired));
        }
        if self.is_full(request).await? {
            return Ok(self.message(request, PublicMessage::ProviderDown));
        }
        let binding = self.binding(request);
        let ticket = self.marked_token(start.again);
        let pending = PendingLogin {
            app: Some(app.name.clone()),
            return_to: start.return_to.to_string(),
            app_binding: Some(key(Purpose::Binding, &binding).0),
            auth_binding: None,
            idp: None,
            nonce: None,
            code_verifier: None,
            max_age_s: if start.fresh { Some(0) } else { app.login.max_age_ms.map(|ms| ms / 1000) },
            begun_at_ms: self.parts.clock.now().millis(),
        };
        self.keep(Purpose::Ticket, &ticket, &pending, TICKET_MS).await?;
        let to = format!("{}{}", self.parts.addresses.auth_origin(), login_path(&app.host, &ticket, None));
        Ok(self.with_binding(self.redirect(&to), &binding))
    }

    /// `/.vestibule/login` on the auth host.
    pub(super) async fn choose_provider(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        let now = self.parts.clock.now();
        let ticket = parameter(&request.query, "t").filter(|ticket| is_marked_token(ticket));
        let pending = match &ticket {
            Some(ticket) => self.parts.logins.pending(key(Purpose::Ticket, ticket), now).await?,
            None => None,
        };
        let app = pending.as_ref().and_then(|pending| self.parts.apps.by_name(pending.app.as_deref()?));
        let (Some(ticket), Some(pending), Some(app)) = (ticket, pending, app) else {
            let app = parameter(&request.query, "app").and_then(|host| self.parts.apps.by_host(&host));
            return Ok(self.message_about(request, PublicMessage::LinkExpired, app.as_deref(), None));
        };
        if let Some(sign_on) = self.sign_on(request).await?
            && satisfies(&sign_on, &app, &pending)
        {
            return self.hand_over(&sign_on, &app, &pending, is_again(&ticket)).await;
        }
        let chosen = match (app.login.idp.as_slice(), parameter(&request.query, "idp")) {
            ([only], _) => only.clone(),
            (allowed, Some(chosen)) if allowed.contains(&chosen) => chosen,
            (allowed, _) => return Ok(self.picker(request, &app, &ticket, allowed)),
        };
        self.send_to_provider(request, &app, pending, &ticket, &chosen).await
    }

    async fn send_to_provider(
        &self,
        request: &OwnRequest,
        app: &Policy,
        begun: PendingLogin,
        ticket: &str,
        idp: &str,
    ) -> Result<Response<Bytes>, StoreError> {
        let Some(provider) = self.provider(idp) else {
            tracing::error!(incident = %request.incident, idp, app = app.name, "the policy names a provider that is not configured");
            return Ok(self.message_about(request, PublicMessage::Internal, Some(app), None));
        };
        // Here as well: one ticket could be shown a million times.
        if self.is_full(request).await? {
            return Ok(self.message_about(request, PublicMessage::ProviderDown, Some(app), None));
        }
        let binding = self.binding(request);
        let (state, nonce, code_verifier) = (self.marked_token(is_again(ticket)), self.token(), self.token());
        let redirect_uri = self.redirect_uri();
        let asked = Begin { state: &state, nonce: &nonce, code_verifier: &code_verifier, redirect_uri: &redirect_uri, max_age_s: begun.max_age_s };
        let url = match provider.begin(asked).await {
            Ok(url) => url,
            Err(fault) => {
                let retry = login_path(&app.host, ticket, Some(idp));
                return Ok(self.sso_fault(request, &fault, idp, Some(app), Some(&retry)));
            }
        };
        let pending = PendingLogin {
            auth_binding: Some(key(Purpose::Binding, &binding).0),
            idp: Some(idp.to_owned()),
            nonce: Some(nonce),
            code_verifier: Some(code_verifier),
            begun_at_ms: self.parts.clock.now().millis(),
            ..begun
        };
        self.keep(Purpose::State, &state, &pending, STATE_MS).await?;
        let response = self.with_binding(self.redirect(url.as_str()), &binding);
        let remembered = (app.login.idp.len() > 1).then(|| self.cookies.set(Kind::LastIdp, idp, LAST_IDP_S)).flatten();
        Ok(with_cookie(response, remembered))
    }

    /// Links, never forms; the last used first.
    fn picker(&self, request: &OwnRequest, app: &Policy, ticket: &str, allowed: &[String]) -> Response<Bytes> {
        let last = self.cookies.read(&request.headers, Kind::LastIdp);
        let known: Vec<_> = allowed.iter().filter_map(|id| self.provider(id)).collect();
        let mut choices: Vec<(&str, &str, String, bool)> = known
            .iter()
            .map(|provider| {
                let id = provider.id();
                (id, provider.name(), login_path(&app.host, ticket, Some(id)), last.as_deref() == Some(id))
            })
            .collect();
        choices.sort_by_key(|(_, _, _, last_used)| !last_used);
        let choices: Vec<Choice<'_>> = choices.iter().map(|(id, name, href, last_used)| Choice { id, name, href, last_used: *last_used }).collect();
        self.parts.pages.picker(context(request, Some(app), None), &choices)
    }

    /// One binding for all tabs: the value the browser shows, when it looks like one of ours, else a new one.
    pub(super) fn binding(&self, request: &OwnRequest) -> String {
        self.cookies.read_token(&request.headers, Kind::Binding).unwrap_or_else(|| self.token())
    }

    /// Whether the store holds as many sign-ins under way as it should; what has expired does not count.
    async fn is_full(&self, request: &OwnRequest) -> Result<bool, StoreError> {
        if self.parts.logins.pending_count().await? < self.parts.pending_max {
            return Ok(false);
        }
        self.parts.logins.sweep_logins(self.parts.clock.now()).await?;
        let full = self.parts.logins.pending_count().await? >= self.parts.pending_max;
        if full {
            tracing::warn!(incident = %request.incident, "too many sign-ins under way: this one was turned away");
        }
        Ok(full)
    }

    pub(super) async fn keep(&self, purpose: Purpose, token: &str, pending: &PendingLogin, life_ms: i64) -> Result<(), StoreError> {
        self.parts.logins.put_pending(key(purpose, token), pending, self.parts.clock.now().plus_ms(life_ms)).await
    }

    pub(super) fn redirect_uri(&self) -> String {
        format!("{}/.vestibule/callback", self.parts.addresses.auth_origin())
    }

    pub(super) fn marked_token(&self, again: bool) -> String {
        let mut token = self.token();
        if again {
            token.push(AGAIN);
        }
        token
    }
}

/// Whether a sign-on made earlier does for this sign-in: its provider is accepted, and it is as recent as was asked for.
pub(super) fn satisfies(sign_on: &LiveSignOn, app: &Policy, pending: &PendingLogin) -> bool {
    let accepted = app.login.idp.contains(&sign_on.identity.idp);
    let fresh = pending.max_age_s.is_none_or(|max_age_s| {
        // Providers speak whole seconds: compared with the second in which the sign-in began.
        let begun = Timestamp::from_millis(pending.begun_at_ms).seconds();
        sign_on.auth_time.seconds() >= begun.saturating_sub(max_age_s)
    });
    accepted && fresh
}

/// Whether a token is of a sign-in that was begun again. Part of the token, and so of its hash: nobody can add or drop the mark.
pub(super) fn is_again(token: &str) -> bool {
    token.ends_with(AGAIN)
}

pub(super) fn is_marked_token(token: &str) -> bool {
    is_token(token.strip_suffix(AGAIN).unwrap_or(token))
}

fn login_path(app_host: &str, ticket: &str, idp: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("app", app_host).append_pair("t", ticket);
    query.extend_pairs(idp.map(|idp| ("idp", idp)));
    format!("/.vestibule/login?{}", query.finish())
}
