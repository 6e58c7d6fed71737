//! A sign-in: `begin -> PendingLogin (single use, survives many tabs) -> VerifiedAssertion -> Identity -> session`.
//!
//! Lives here: [`Desk`], which answers everything under `/.vestibule/` on app hosts and everything on the auth host. It does not know
//! `connector` or `proxy::forward`.

use crate::fault::Incident;
use crate::pages::RequestKind;
use crate::policy::Policy;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// Which of our hosts a request is for.
#[derive(Debug, Clone)]
pub enum HostRole {
    /// `[server] auth_host`.
    Auth,
    /// An app's host.
    App(Arc<Policy>),
}

/// A request for one of our own pages.
#[derive(Debug)]
pub struct OwnRequest {
    /// Minted for this request.
    pub incident: Incident,
    /// What the requester can use.
    pub kind: RequestKind,
    /// Host it came to.
    pub role: HostRole,
    /// Method.
    pub method: Method,
    /// Canonical path.
    pub path: String,
    /// Query without `?`, as sent.
    pub query: String,
    /// Headers as sent.
    pub headers: HeaderMap,
    /// Body, at most 64 KiB.
    pub body: Bytes,
    /// The client, after `trusted_proxies`.
    pub peer: IpAddr,
}

/// Answers our own pages.
#[derive(Debug)]
pub struct Desk {
    _private: (),
}

#[expect(clippy::unused_async, reason = "skeleton")]
impl Desk {
    /// Answers.
    pub async fn serve(self: &Arc<Self>, request: OwnRequest) -> Response<Bytes> {
        drop(request);
        Response::new(Bytes::new())
    }

    /// Sends a navigation that needs a sign-in on its way: 303 to the auth host, with the pending login kept and the binding cookie set.
    /// `return_to` is the canonical path and query that was asked for.
    pub async fn send_to_sign_in(self: &Arc<Self>, request: OwnRequest, return_to: String, fresh: bool) -> Response<Bytes> {
        drop((request, return_to, fresh));
        Response::new(Bytes::new())
    }
}
