//! Fitting ports that do not fit by themselves.

use crate::clock::Clock;
use crate::fault::{DenyReason, PublicMessage};
use crate::login::{Admission, Apps, TokenDesk, Visit};
use crate::policy::Policy;
use crate::policy::evaluate::{Facts, Refusal, SignedIn, evaluate};
use crate::policy::path::CanonicalPath;
use crate::provision::{Desk, Ensured, Passes};
use crate::request::{Denied, Routes};
use crate::session::LiveSessions;
use crate::state::AccountKey;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use std::sync::Arc;

/// The routes, as the login desk asks for them; and the console, which has no route.
#[derive(Debug)]
pub(super) struct AppsByName(pub(super) Arc<ArcSwap<Routes>>, pub(super) Option<Arc<Policy>>);

impl Apps for AppsByName {
    fn by_name(&self, name: &str) -> Option<Arc<Policy>> {
        let console = self.1.as_ref().filter(|console| console.name == name);
        console.cloned().or_else(|| self.0.load().named(name).map(|route| Arc::clone(&route.policy)))
    }

    fn by_host(&self, host: &str) -> Option<Arc<Policy>> {
        let console = self.1.as_ref().filter(|console| console.host == host);
        console.cloned().or_else(|| self.0.load().find(host).map(|route| Arc::clone(&route.policy)))
    }

    fn all(&self) -> Vec<Arc<Policy>> {
        self.0.load().all().map(|route| Arc::clone(&route.policy)).collect()
    }
}

/// What people are told of, in this process.
#[derive(Debug)]
pub(super) struct KnownPasses(pub(super) Arc<LiveSessions>, pub(super) Arc<TokenDesk>);

impl Passes for KnownPasses {
    fn forget(&self, key: &AccountKey) {
        self.0.forget_passes(&key.subject, &key.upstream);
        self.1.forget_person(&key.subject);
    }
}

/// Decision, then account: what the request path does, for whoever sits on the waiting page.
#[derive(Debug)]
pub(super) struct DeskAdmission {
    pub(super) desk: Arc<Desk>,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Admission for DeskAdmission {
    async fn ensure(&self, visit: Visit<'_>) -> Option<Ensured> {
        let raw = visit.to.as_str().split('?').next().unwrap_or("/");
        let Ok(path) = CanonicalPath::parse_as(raw, visit.policy.encoded_slashes) else { return Some(Ensured::Refused(PublicMessage::BadRequest)) };
        let facts = Facts { method: "GET", path: &path, peer: visit.peer, host: &visit.policy.host };
        let sign_on = &visit.session.sign_on;
        let signed_in = SignedIn { identity: &sign_on.identity, auth_time: sign_on.auth_time };
        Some(match evaluate(visit.policy, Some(signed_in), &facts, self.clock.now()) {
            // A public path is open to people whom `[access]` refuses, and those get no account by way of it.
            Ok(admitted) if admitted.public => return None,
            Ok(_) => self.desk.ensure(visit.session, visit.policy, visit.incident, visit.asking).await,
            Err(Refusal::Denied { reason, rule }) => {
                let denied = Denied {
                    incident: visit.incident,
                    policy: Some(visit.policy),
                    person: Some(&sign_on.identity),
                    client: Some(visit.peer),
                    method: Some(facts.method),
                    path: Some(raw),
                    reason: reason.key(),
                    rule: Some(visit.policy.place(rule)),
                };
                denied.tell();
                Ensured::Refused(PublicMessage::Denied(reason))
            }
            Err(Refusal::LoginRequired) => Ensured::Refused(PublicMessage::SignInRequired),
            Err(Refusal::TokenRequired) => Ensured::Refused(PublicMessage::TokenRequired),
            Err(Refusal::FreshLogin { .. }) => Ensured::Refused(PublicMessage::Denied(DenyReason::MaxAge)),
        })
    }
}
