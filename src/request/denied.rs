//! What is written down of somebody who may not go where they asked to.
//!
//! Lives here: [`Denied`], the audit event `access.denied`. Apart because requests are refused on their way and on the waiting page, and the two must say the same.
//! It decides nothing.

use crate::fault::Incident;
use crate::identity::Identity;
use crate::policy::Policy;
use std::net::IpAddr;

/// A refusal by the policy.
#[derive(Debug, Clone, Copy)]
pub struct Denied<'a> {
    /// Joins page, log and audit.
    pub incident: Incident,
    /// The app's policy; `None`: no app was found for the request.
    pub policy: Option<&'a Policy>,
    /// Who was refused; `None`: nobody is signed in.
    pub person: Option<&'a Identity>,
    /// The client.
    pub client: Option<IpAddr>,
    /// Method of the request.
    pub method: Option<&'a str>,
    /// Its path, without the query.
    pub path: Option<&'a str>,
    /// The key that refused.
    pub reason: &'static str,
    /// Where it stands.
    pub rule: Option<&'a str>,
}

impl Denied<'_> {
    /// Tells the auditors.
    pub fn tell(&self) {
        tracing::info!(
            target: "audit",
            action = "access.denied",
            incident = %self.incident,
            app = self.policy.map(|policy| policy.name.as_str()),
            idp = self.person.map(|person| person.idp.as_str()),
            user.sub = self.person.map(|person| person.subject.subject.as_str()),
            user.email = self.person.and_then(|person| person.email.as_deref()),
            src.ip = self.client.map(|client| client.to_string()),
            http.method = self.method,
            url.path = self.path,
            reason = self.reason,
            rule = self.rule,
            policy.revision = self.policy.map(|policy| policy.revision.as_str()),
        );
    }
}
