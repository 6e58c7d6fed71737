//! A request that goes no further, and what it is owed instead.

use super::{Bearings, Route};
use crate::clock::Timestamp;
use crate::fault::{DenyReason, Incident, PublicMessage};
use crate::identity::{Identity, Way};
use crate::pages::RequestKind;
use http::HeaderValue;
use http::header::ACCEPT_LANGUAGE;
use std::sync::Arc;

/// What a stopped request is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A page or problem document.
    Say(PublicMessage),
    /// A way to the provider; `fresh` when an existing sign-in is too old.
    SignIn {
        /// Ask the provider to authenticate anew.
        fresh: bool,
    },
    /// To the provider once more, without asking for a password there: the sign-in that refuses is not of this minute.
    Recheck(DenyReason),
    /// Off to another page of the same app.
    Redirect(String),
    /// Off to where the app learns who it is, and back.
    Enter(String),
}

/// A request that goes no further.
#[derive(Debug)]
pub struct Stopped {
    incident: Incident,
    kind: RequestKind,
    bearings: Option<Box<Bearings>>,
    route: Option<Arc<Route>>,
    person: Option<Arc<Identity>>,
    stop: Stop,
    rule: Option<String>,
    auth_time: Option<Timestamp>,
    as_of: Option<Timestamp>,
    accept_language: Option<HeaderValue>,
    way: Way,
}

impl Stopped {
    /// Stopped before it was clear where it wanted to go.
    pub(super) fn early(incident: Incident, kind: RequestKind, message: PublicMessage, accept_language: Option<HeaderValue>) -> Self {
        Self {
            incident,
            kind,
            bearings: None,
            route: None,
            person: None,
            stop: Stop::Say(message),
            rule: None,
            auth_time: None,
            as_of: None,
            way: Way::Session,
            accept_language,
        }
    }

    /// Stopped on its way.
    pub(super) fn new(bearings: Box<Bearings>, route: Option<Arc<Route>>, person: Option<Arc<Identity>>, stop: Stop) -> Self {
        Self {
            incident: bearings.incident,
            kind: bearings.kind,
            bearings: Some(bearings),
            route,
            person,
            stop,
            rule: None,
            auth_time: None,
            as_of: None,
            way: Way::Session,
            accept_language: None,
        }
    }

    /// With the place of the rule that stopped it, for the log.
    #[must_use]
    pub(super) fn by(mut self, rule: Option<String>) -> Self {
        self.rule = rule;
        self
    }

    /// With when the person signed in, as of when it is known what is known of them, and how they showed it, for whoever explains it later.
    #[must_use]
    pub(super) const fn shown(mut self, auth_time: Option<Timestamp>, as_of: Option<Timestamp>, way: Way) -> Self {
        (self.auth_time, self.as_of, self.way) = (auth_time, as_of, way);
        self
    }

    /// As of when it is known what is known of the person; absent without one.
    pub const fn as_of(&self) -> Option<Timestamp> {
        self.as_of
    }

    /// Names the request.
    pub const fn incident(&self) -> Incident {
        self.incident
    }

    /// What the requester can use.
    pub const fn kind(&self) -> RequestKind {
        self.kind
    }

    /// What is known of the request; nothing when it was not even admitted.
    pub fn bearings(&self) -> Option<&Bearings> {
        self.bearings.as_deref()
    }

    /// What languages the requester wants to read, as sent.
    pub fn accept_language(&self) -> Option<&HeaderValue> {
        self.accept_language.as_ref().or_else(|| self.bearings()?.headers.get(ACCEPT_LANGUAGE))
    }

    /// Takes what is known of the request.
    pub fn into_bearings(self) -> Option<Box<Bearings>> {
        self.bearings
    }

    /// The app it was for.
    pub const fn route(&self) -> Option<&Arc<Route>> {
        self.route.as_ref()
    }

    /// Who is signed in.
    pub fn person(&self) -> Option<&Identity> {
        self.person.as_deref()
    }

    /// What it is owed.
    pub const fn stop(&self) -> &Stop {
        &self.stop
    }

    /// When the person signed in at the provider, where that was looked at.
    pub const fn auth_time(&self) -> Option<Timestamp> {
        self.auth_time
    }

    /// How the person showed who they are, where somebody did.
    pub const fn way(&self) -> Way {
        self.way
    }

    /// The rule that stopped it.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }
}
