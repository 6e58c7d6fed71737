//! The path of a request; one file a stage.
//!
//! ```text
//! RawRequest      raw.rs            id minted, limits applied, one Host, path canonical once
//!  -> Routed      routed.rs         host -> policy; our own pages leave the path here
//!  -> Authenticated authenticated.rs  cookie or token -> session, or nobody
//!  -> Authorized  authorized.rs     the policy decides; carries the rule that admitted it
//!  -> Provisioned provisioned.rs    the account exists and is as the policy wants it
//!  -> UpstreamRequest upstream.rs   new header map, identity set
//! ```
//!
//! Each stage owns the one before it, has private fields, no `Clone` and one constructor, and moves: forwarding without a decision, deciding
//! without a session, or using a decision twice does not compile (`tests/compile_fail/`). What ends early becomes a
//! [`Stopped`]. [`walk`] is the whole path. Nothing in here knows a socket, a store or a provider: [`Doors`] is what a request may ask for.

#![expect(clippy::future_not_send, reason = "a request never leaves its core; that is the point of one runtime per core")]

pub mod app_cookies;
mod authenticated;
mod authorized;
mod bearer;
pub mod cookies;
mod denied;
pub mod entrance;
mod kind;
mod provisioned;
mod raw;
pub mod reserved;
mod response;
mod routed;
mod routes;
mod stopped;
mod upstream;

pub use authenticated::Authenticated;
pub use authorized::Authorized;
pub use denied::Denied;
pub use kind::kind_of;
pub use provisioned::Provisioned;
pub use raw::{Arrival, Bearings, Limits, RawRequest, address_text, client_address};
pub use response::clean_response;
pub use routed::{ForApp, Own, Routed};
pub use routes::{AppCookies, Route, Routes, SharedSecrets};
pub use stopped::{Stop, Stopped};
pub use upstream::{Asked, Errand, UpstreamRequest, Wire};

use crate::clock::Timestamp;
use crate::fault::{Incident, PublicMessage};
use crate::provision::{Asking, Ensured};
use crate::session::{AppSession, Pass};
use crate::state::{SecretHash, StoreError};
use std::net::IpAddr;
use std::sync::Arc;

/// What a request may ask for on its way. The hot path answers from memory; only when memory has no answer does it leave the core.
pub trait Doors {
    /// The live app session behind a cookie.
    fn session(&self, cookie: SecretHash, now: Timestamp) -> impl Future<Output = Result<Option<Arc<AppSession>>, StoreError>>;

    /// The session that an access token of `client` stands for, by the `[bearer]` of the route's policy. The message says why there is none.
    fn token(
        &self,
        token: &str,
        route: &Arc<Route>,
        incident: Incident,
        client: IpAddr,
    ) -> impl Future<Output = Result<Arc<AppSession>, PublicMessage>>;

    /// Has the policy decide. Whoever measures may measure it; the answer is `decide`'s.
    fn decide<T>(&self, decide: impl FnOnce() -> T) -> T {
        decide()
    }

    /// A pass for this session at its app.
    fn ensure(&self, session: &Arc<AppSession>, route: &Arc<Route>, incident: Incident, asking: Asking) -> impl Future<Output = Ensured>;

    /// Signs this session in at an app that reads no header; the message says why not.
    fn enter(
        &self,
        session: &Arc<AppSession>,
        route: &Arc<Route>,
        pass: &Arc<Pass>,
        incident: Incident,
    ) -> impl Future<Output = Result<(), PublicMessage>> {
        let _ = (session, route, pass, incident);
        async { Err(PublicMessage::Internal) }
    }
}

/// Where a request came out.
#[derive(Debug)]
pub enum Walked<B> {
    /// On to the application.
    Forward(UpstreamRequest<B>),
    /// To our own pages; there is no upstream in reach.
    Own(Own<B>),
    /// Not any further.
    Stopped(Box<Stopped>),
}

/// Walks a request from the door to its upstream, or as far as it may go.
pub async fn walk<B, D: Doors>(arrival: Arrival<B>, routes: &Routes, limits: &Limits, doors: &D, now: Timestamp) -> Walked<B> {
    let for_app = match RawRequest::admit(arrival, limits).and_then(|raw| raw.route(routes)) {
        Ok(Routed::App(for_app)) => for_app,
        Ok(Routed::Own(own)) => return Walked::Own(own),
        Err(stopped) => return Walked::Stopped(stopped),
    };
    let decided = for_app.authenticate(limits, doors, now).await.and_then(|authenticated| doors.decide(|| authenticated.authorize(now)));
    let provisioned = match decided {
        Ok(authorized) => authorized.provision(doors, now).await,
        Err(stopped) => Err(stopped),
    };
    match provisioned {
        Ok(provisioned) => Walked::Forward(provisioned.into_upstream()),
        Err(stopped) => Walked::Stopped(stopped),
    }
}
