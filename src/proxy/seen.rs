//! What is known of a request when its answer turns out to be a page of ours.
//!
//! Lives here: [`Seen`], which becomes an [`IncidentRecord`] once it is clear what the person was told. Apart from `answer.rs` because requests that are
//! forwarded never get here. The query is left out everywhere: codes, tickets and what apps put there travel in it.

use super::answer::Line;
use super::forward::ForwardError;
use crate::clock::Timestamp;
use crate::fault::{Incident, PublicMessage};
use crate::identity::Way;
use crate::pages::{Told, WAIT_PATH};
use crate::policy::mapping::desire;
use crate::request::{Bearings, Stop, Stopped};
use crate::state::{IncidentFacts, IncidentRecord};
use std::net::IpAddr;

/// What is kept of a method, which may be any token.
const METHOD_BYTES_MAX: usize = 32;
/// What is kept of a path.
const PATH_BYTES_MAX: usize = 2048;

/// What is known of a request.
pub(super) struct Seen {
    method: Option<String>,
    path: Option<String>,
    host: Option<String>,
    peer: Option<IpAddr>,
    rule: Option<String>,
    auth_time: Option<Timestamp>,
    way: Way,
    /// Why, where that is known before the page is made.
    reason: &'static str,
    detail: Option<String>,
}

impl Seen {
    /// Of a request for one of our own pages.
    pub(super) fn of(bearings: &Bearings) -> Self {
        Self {
            method: Some(bearings.method.as_str().to_owned()),
            path: Some(bearings.path.as_str().to_owned()),
            host: Some(bearings.host.clone()),
            peer: Some(bearings.client),
            rule: None,
            auth_time: None,
            way: Way::Session,
            reason: "",
            detail: None,
        }
    }

    /// Of a request that goes no further.
    pub(super) fn stopped(stopped: &Stopped) -> Self {
        let seen = stopped.bearings().map_or_else(Self::nothing, Self::of);
        let incomplete = matches!(stopped.stop(), Stop::Say(PublicMessage::IncompleteSignIn | PublicMessage::UnusableSignIn));
        // What the desk found missing, found again: it says so in its log, and keeps nothing of it.
        let missing = match (stopped.route(), stopped.person()) {
            (Some(route), Some(person)) if incomplete => desire(&route.policy, person, None).err().map(|error| error.to_string()),
            _ => None,
        };
        Self { rule: stopped.rule().map(str::to_owned), auth_time: stopped.auth_time(), way: stopped.way(), detail: missing, ..seen }
    }

    /// Of a request that was passed on and not answered: what the log line has.
    pub(super) fn unanswered(line: &Line, error: &ForwardError) -> Self {
        let (path, peer) = line.path.clone().unzip();
        Self { method: Some(line.method.to_owned()), path, peer, reason: "upstream", detail: Some(error.to_string()), ..Self::nothing() }
    }

    const fn nothing() -> Self {
        Self { method: None, path: None, host: None, peer: None, rule: None, auth_time: None, way: Way::Session, reason: "", detail: None }
    }

    /// With what the person was told.
    pub(super) fn with(self, told: Told, code: Incident, at: Timestamp) -> IncidentRecord {
        let (app, policy_revision) = told.app.unzip();
        // Whoever waits, waits for another page.
        let path = if self.path.as_deref() == Some(WAIT_PATH) { told.wanted.or(self.path) } else { self.path };
        let facts = IncidentFacts {
            message: told.message,
            reason: if told.reason.is_empty() { self.reason.to_owned() } else { told.reason },
            detail: told.detail.or(self.detail),
            app,
            host: self.host,
            rule: self.rule,
            policy_revision,
            method: self.method.map(|method| cut(method, METHOD_BYTES_MAX)),
            path: path.map(|path| cut(path, PATH_BYTES_MAX)),
            peer: self.peer,
            idp: told.idp.or_else(|| told.person.as_ref().map(|person| person.idp.clone())),
            person: told.person.map(|person| *person),
            auth_time_ms: self.auth_time.map(Timestamp::millis),
            bearer: self.way == Way::Bearer,
            cut: false,
        };
        IncidentRecord { code, at, facts }
    }
}

/// At most `bytes_max` bytes, and a mark where something is left out.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}
