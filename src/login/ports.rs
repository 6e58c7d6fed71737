//! What the desk needs from the rest of the house, as ports.

use super::ReturnTo;
use crate::fault::Incident;
use crate::policy::Policy;
use crate::provision::{Asking, Ensured};
use crate::session::AppSession;
use async_trait::async_trait;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The apps as they are now; a reload swaps them behind this.
pub trait Apps: Send + Sync + fmt::Debug {
    /// The app with this policy name.
    fn by_name(&self, name: &str) -> Option<Arc<Policy>>;
    /// The app on this host (lower case, no port).
    fn by_host(&self, host: &str) -> Option<Arc<Policy>>;
    /// Every app that is served, in no order.
    fn all(&self) -> Vec<Arc<Policy>>;
}

/// A person waiting at the door of an app.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// Their session at it.
    pub session: &'a Arc<AppSession>,
    /// The app.
    pub policy: &'a Arc<Policy>,
    /// Where they want to go; a GET is to be decided upon.
    pub to: &'a ReturnTo,
    /// The client.
    pub peer: IpAddr,
    /// Joins page, log and audit.
    pub incident: Incident,
    /// How long to wait for a job under way, and whether a person looks at a page.
    pub asking: Asking,
}

/// Whether a person may enter, and whether their account is there.
#[async_trait]
pub trait Admission: Send + Sync + fmt::Debug {
    /// Decides by the policy **first**: nobody who may not enter gets an account. Then as `provision::Desk::ensure`; `None` when there is nothing to wait
    /// for, because `visit.to` is public and asks for no account.
    async fn ensure(&self, visit: Visit<'_>) -> Option<Ensured>;
}
