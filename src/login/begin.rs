//! The way out: from the app's host to the auth host, and on to a provider.

use super::cookies::{Kind, is_token};
use super::respond::{context, with_cookie};
use super::{Desk, OwnRequest, Purpose, ReturnTo, has_parameter, key, parameter};
use crate::clock::Timestamp;
use crate::config::Bounds;
use crate::fault::PublicMessage;
use crate::pages::Choice;
use crate::policy::Policy;
use crate::session::LiveSignOn;
use crate::sso::{Begin, Departure};
use crate::state::{PendingLogin, PendingRoom, SecretHash, StoreError};
use bytes::Bytes;
use http::Response;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// From the app's host to the auth host, the picker included.
const TICKET_MS: i64 = 10 * 60 * 1000;
/// At the provider: passwords are looked up, phones are fetched.
const STATE_MS: i64 = 30 * 60 * 1000;
const LAST_IDP_S: i64 = 30 * 24 * 60 * 60;
/// Sign-ins under way are counted once more than this part of what may be there is known of.
const UNCOUNTED: u64 = 8;
/// Ways to a provider that one ticket leads at a time; the oldest is forgotten for a new one. Each tab has a ticket of its own: these are for whoever goes back and tries again.
const STATES_OF_TICKET_MAX: u32 = 16;
/// Once that is [`UNCOUNTED`] of what may be there, a client has so small a part of what is still free…
const SHARE: u64 = 8;
/// …but never less than this.
const SHARE_MIN: u64 = 64;
/// That some client has more than its share is said again after so long, milliseconds.
const SAID_AGAIN_MS: u64 = 60_000;
/// Marks tickets, states and codes of a sign-in that was begun again: it is not begun a third time.
const AGAIN: char = '.';

/// What a sign-in is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Any sign-on that the policy accepts will do.
    Any,
    /// The person is to prove who they are now, whatever came before.
    Fresh,
    /// The provider is to say once more who they are; whether it asks them anything is its affair.
    Reread,
}

impl Ask {
    /// Of a sign-in under way.
    pub(super) fn of(pending: &PendingLogin) -> Self {
        if pending.max_age_s == Some(0) {
            Self::Fresh
        } else if pending.reread {
            Self::Reread
        } else {
            Self::Any
        }
    }

    /// Its name in links of ours.
    pub(super) const fn parameter(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Fresh => Some("fresh"),
            Self::Reread => Some("reread"),
        }
    }

    /// As a link says.
    pub(super) fn from_query(query: &str) -> Self {
        let asked = |name| parameter(query, name).is_some_and(|value| value == "1");
        if asked("fresh") || asked("other") {
            Self::Fresh
        } else if asked("reread") {
            Self::Reread
        } else {
            Self::Any
        }
    }
}

/// A sign-in about to begin at an app's host.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) return_to: ReturnTo,
    pub(super) ask: Ask,
    /// Whether this is the second try.
    pub(super) again: bool,
}

/// From the auth host to a provider.
pub(super) struct Way<'a> {
    /// `None`: a sign-in at the auth host itself.
    pub(super) app: Option<&'a Policy>,
    pub(super) idp: &'a str,
    /// A path of the auth host that tries this again.
    pub(super) retry: String,
    pub(super) again: bool,
    /// Key of the ticket that led here.
    pub(super) ticket: Option<SecretHash>,
    /// Whether there was a choice, which is remembered then.
    pub(super) several: bool,
}

impl Desk {
    /// `/.vestibule/login?to=` on an app's host, from a link on one of our pages.
    pub(super) async fn begin_by_link(&self, request: &OwnRequest, app: &Arc<Policy>) -> Result<Response<Bytes>, StoreError> {
        let again = parameter(&request.query, "again").is_some_and(|value| value == "1");
        let return_to = parameter(&request.query, "to").map_or_else(ReturnTo::front, |to| ReturnTo::parse(&to));
        self.begin_at_app(request, app, Start { return_to, ask: Ask::from_query(&request.query), again }).await
    }

    /// Keeps what was asked for under a new ticket, and sends the browser to the auth host.
    pub(super) async fn begin_at_app(&self, request: &OwnRequest, app: &Arc<Policy>, start: Start) -> Result<Response<Bytes>, StoreError> {
        if request.kind != crate::pages::RequestKind::Page {
            return Ok(self.message(request, PublicMessage::SignInRequired));
        }
        if self.is_full(request).await? {
            return Ok(self.message(request, PublicMessage::ProviderDown));
        }
        // Whoever proves themselves anew in the middle of their work goes back to it.
        let lands = start.ask == Ask::Any || self.app_session(request, app).await?.is_none_or(|session| session.expects_landing());
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
            max_age_s: if start.ask == Ask::Fresh { Some(0) } else { app.login.max_age_ms.map(|ms| ms / 1000) },
            begun_at_ms: self.parts.clock.now().millis(),
            reread: start.ask == Ask::Reread,
            lands,
        };
        self.keep(request, (key(Purpose::Ticket, &ticket), None), &pending, TICKET_MS).await?;
        let to = format!("{}{}", self.parts.addresses.auth_origin(), login_path(&app.host, &ticket, None));
        Ok(self.with_binding(self.redirect(&to), &binding))
    }

    /// `/.vestibule/login` on the auth host: with a ticket from an app's host, or without one.
    pub(super) async fn choose_provider(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        if !has_parameter(&request.query, "t") {
            return self.begin_without_ticket(request).await;
        }
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
            (allowed, _) => return Ok(self.picker(request, Some(&app), allowed, |idp| login_path(&app.host, &ticket, Some(idp)))),
        };
        let way = Way {
            app: Some(&app),
            idp: &chosen,
            retry: login_path(&app.host, &ticket, Some(&chosen)),
            again: is_again(&ticket),
            ticket: Some(key(Purpose::Ticket, &ticket)),
            several: app.login.idp.len() > 1,
        };
        self.send_to_provider(request, way, pending).await
    }

    pub(super) async fn send_to_provider(&self, request: &OwnRequest, way: Way<'_>, begun: PendingLogin) -> Result<Response<Bytes>, StoreError> {
        let Way { app, idp, retry, again, ticket, several } = way;
        let Some(provider) = self.provider(idp) else {
            tracing::error!(incident = %request.incident, idp, app = app.map(|app| app.name.as_str()), "the policy names a provider that is not configured");
            return Ok(self.message_about(request, PublicMessage::Internal, app, None));
        };
        // Here as well: one ticket could be shown a million times.
        if self.is_full(request).await? {
            return Ok(self.message_about(request, PublicMessage::ProviderDown, app, None));
        }
        let binding = self.binding(request);
        let (state, nonce, code_verifier) = (self.marked_token(again), self.token(), self.token());
        let redirect_uri = self.redirect_uri();
        let asked = Begin { state: &state, nonce: &nonce, code_verifier: &code_verifier, redirect_uri: &redirect_uri, max_age_s: begun.max_age_s };
        let departure = match provider.begin(asked).await {
            Ok(departure) => departure,
            Err(fault) => return Ok(self.sso_fault(request, &fault, idp, app, Some(&retry))),
        };
        let pending = PendingLogin {
            auth_binding: Some(key(Purpose::Binding, &binding).0),
            idp: Some(idp.to_owned()),
            nonce: Some(nonce),
            code_verifier: Some(code_verifier),
            begun_at_ms: self.parts.clock.now().millis(),
            ..begun
        };
        self.keep(request, (key(Purpose::State, &state), ticket), &pending, STATE_MS).await?;
        let leaving = match &departure {
            Departure::Redirect(url) => self.redirect(url.as_str()),
            Departure::Post { to, fields } => self.parts.pages.post_onward(context(request, app, None), to, fields),
        };
        let response = self.with_binding(leaving, &binding);
        let remembered = several.then(|| self.cookies.set(Kind::LastIdp, idp, LAST_IDP_S)).flatten();
        Ok(with_cookie(response, remembered))
    }

    /// Links, never forms; the last used first.
    pub(super) fn picker(&self, request: &OwnRequest, app: Option<&Policy>, allowed: &[String], link: impl Fn(&str) -> String) -> Response<Bytes> {
        let last = self.cookies.read(&request.headers, Kind::LastIdp);
        let known: Vec<_> = allowed.iter().filter_map(|id| self.provider(id)).collect();
        let mut choices: Vec<(&str, &str, String, bool)> = known
            .iter()
            .map(|provider| {
                let id = provider.id();
                (id, provider.name(), link(id), last.as_deref() == Some(id))
            })
            .collect();
        choices.sort_by_key(|(_, _, _, last_used)| !last_used);
        let choices: Vec<Choice<'_>> = choices.iter().map(|(id, name, href, last_used)| Choice { id, name, href, last_used: *last_used }).collect();
        self.parts.pages.picker(context(request, app, None), &choices)
    }

    /// One binding for all tabs: the value the browser shows, when it looks like one of ours, else a new one.
    pub(super) fn binding(&self, request: &OwnRequest) -> String {
        self.cookies.read_token(&request.headers, Kind::Binding).unwrap_or_else(|| self.token())
    }

    /// Whether the store holds as many sign-ins under way as it should; what has expired does not count.
    async fn is_full(&self, request: &OwnRequest) -> Result<bool, StoreError> {
        // Counting takes longer the more there are. Up to an eighth of what may be there the last count will do: there are other desks (the console's, those of other
        // gateways on the store), which do not know of each other, and each may be ahead of the count by so much.
        if self.kept.load(Ordering::Relaxed) < self.parts.pending_max / UNCOUNTED {
            return Ok(false);
        }
        let count = self.parts.logins.pending_count().await?;
        self.kept.store(count, Ordering::Relaxed);
        if count < self.parts.pending_max {
            return Ok(false);
        }
        self.parts.logins.sweep_logins(self.parts.clock.now()).await?;
        let full = self.parts.logins.pending_count().await? >= self.parts.pending_max;
        if full {
            tracing::warn!(incident = %request.incident, "too many sign-ins under way: this one was turned away");
        }
        Ok(full)
    }

    /// Keeps a sign-in under way, which came by `ticket`, under `key`.
    async fn keep(
        &self,
        request: &OwnRequest,
        (key, ticket): (SecretHash, Option<SecretHash>),
        pending: &PendingLogin,
        life_ms: i64,
    ) -> Result<(), StoreError> {
        let (now, most) = (self.parts.clock.now(), self.parts.pending_max);
        let kept = self.kept.fetch_add(1, Ordering::Relaxed);
        // Nobody is turned away for being one of many behind one address: their oldest, which nobody may be waiting for any more, make way. A share of what is free is one
        // that a few clients cannot fill the store with, and a whole office has room in it.
        let share = (kept >= most / UNCOUNTED).then(|| (most.saturating_sub(kept) / SHARE).max(SHARE_MIN));
        let room = PendingRoom {
            ticket: ticket.map(|ticket| (ticket, STATES_OF_TICKET_MAX)),
            client: Bounds::client(request.peer),
            of_client: share.map(|share| u32::try_from(share).unwrap_or(u32::MAX)),
        };
        let made_way = self.parts.logins.put_pending_within(key, pending, now.plus_ms(life_ms), room, now).await?;
        if made_way > 0 && now.millis().abs_diff(self.said_at_ms.load(Ordering::Relaxed)) >= SAID_AGAIN_MS {
            self.said_at_ms.store(now.millis(), Ordering::Relaxed);
            let (incident, client) = (request.incident, room.client);
            tracing::warn!(%incident, %client, "too many sign-ins under way from one client: its oldest make way");
        }
        Ok(())
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

/// Whether a sign-on made earlier does for this sign-in: its provider is accepted, it is as recent as was asked for, and what it says was not in doubt.
pub(super) fn satisfies(sign_on: &LiveSignOn, app: &Policy, pending: &PendingLogin) -> bool {
    let accepted = app.login.idp.contains(&sign_on.identity.idp);
    let fresh = pending.max_age_s.is_none_or(|max_age_s| {
        // Providers speak whole seconds: compared with the second in which the sign-in began.
        let begun = Timestamp::from_millis(pending.begun_at_ms).seconds();
        sign_on.auth_time.seconds() >= begun.saturating_sub(max_age_s)
    });
    let reread = !pending.reread || sign_on.created_at.millis() >= pending.begun_at_ms;
    accepted && fresh && reread
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
