//! Fifth stage: the account exists; what remains is to announce the person.

use super::upstream::Whose;
use super::{Bearings, Route, UpstreamRequest};
use std::sync::Arc;

/// A request whose person has an account, or that needs none because its path is public.
#[derive(Debug)]
pub struct Provisioned<B> {
    bearings: Box<Bearings>,
    body: B,
    route: Arc<Route>,
    whose: Whose,
}

impl<B> Provisioned<B> {
    pub(super) const fn new(bearings: Box<Bearings>, body: B, route: Arc<Route>, whose: Whose) -> Self {
        Self { bearings, body, route, whose }
    }

    /// Builds the request that goes to the application.
    pub fn into_upstream(self) -> UpstreamRequest<B> {
        UpstreamRequest::new(self.bearings, self.body, self.route, self.whose)
    }
}
