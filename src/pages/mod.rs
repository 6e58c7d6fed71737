//! What people see when the answer is not the app's.
//!
//! Lives here: [`RequestKind`] (what sort of answer the requester can use), [`Pages`], which turns a [`PublicMessage`] into a response for that
//! kind: an HTML page or `application/problem+json`. One self-contained response each: no asset, no script, a strict CSP.

use crate::fault::{Incident, PublicMessage};
use crate::identity::Identity;
use crate::policy::Policy;
use bytes::Bytes;
use http::Response;

/// What sort of answer a requester can use (operators.md 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// A navigation by GET or HEAD: may be redirected.
    Page,
    /// A navigation by POST: the typed text must survive.
    Form,
    /// A WebSocket handshake.
    Socket,
    /// XHR, fetch, scripts: `application/problem+json`.
    Api,
}

/// What a page may say about the request it answers.
#[derive(Debug, Clone, Copy)]
pub struct PageContext<'a> {
    /// What the requester can use.
    pub kind: RequestKind,
    /// Printed, and sent as `X-Vestibule-Incident`.
    pub incident: Incident,
    /// The app that was asked for.
    pub app: Option<&'a Policy>,
    /// Who is signed in.
    pub person: Option<&'a Identity>,
    /// Path and query that *Try again*, *Sign in* or the wait page go to: ours, already validated as local to this host.
    pub continue_to: Option<&'a str>,
}

/// Renders pages.
#[derive(Debug)]
pub struct Pages {
    _private: (),
}

impl Pages {
    /// The answer to a person, with the status that belongs to the message and kind.
    pub fn respond(&self, message: PublicMessage, context: PageContext<'_>) -> Response<Bytes> {
        let _ = (message, context);
        Response::new(Bytes::new())
    }
}
