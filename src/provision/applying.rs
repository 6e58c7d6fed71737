//! From the account that is there to the one that is wanted: the part of a job that changes it.
//!
//! Lives here: applying the difference step by step, each recorded before it is sent and again when its answer is there, and what is written down at the end. Apart from
//! `ensure.rs`, which leases and repeats, and from `making.rs`, which finds or makes the account.

use super::ensure::Work;
use super::joining::{Joined, joins};
use super::leaving::Left;
use super::ledger::{Doubt, fingerprint};
use super::meter::kind;
use super::stop::Stop;
use crate::connector::Outcome;
use crate::plan::{Account, DiffRules, Step, diff};
use crate::policy::mapping::{Mapped, desire};
use crate::policy::{Drift, OnExisting, Sync};
use crate::state::{AccountState, Awaiting, Origin};
use std::collections::BTreeMap;

impl Work<'_> {
    /// Applies the difference, step by step.
    pub(super) async fn bring_up(&mut self, mapped: &Mapped, account: &Account, last: bool) -> Result<(), Stop> {
        self.settle(account);
        if self.record.origin == Some(Origin::Preexisting) && self.provision.on_existing == OnExisting::Adopt {
            self.record.origin = Some(Origin::Adopted);
            if !self.save_seated().await? {
                tracing::warn!(app = %self.record.key.upstream, incident = %self.job.order.incident, "account: max_accounts are there; this one is left as it is");
                self.record.origin = Some(Origin::Preexisting);
            }
        }
        let sync = self.join(mapped, account);
        let sync = self.after_return(account, sync);
        let rules = DiffRules {
            manage: self.record.origin != Some(Origin::Preexisting) && self.provision.switches.mode.changes(),
            fresh: self.fresh,
            // Only what this gateway has switched off is it that switches it on again.
            enable: self.ledger.left.as_ref().is_some_and(Left::may_be_off),
            sync_memberships: sync,
            role_order: self.provision.connector.role_order.clone(),
            drift: self.provision.drift,
            ..DiffRules::default()
        };
        let plan = diff(&self.ledger.applied, &mapped.desired, Some(account), &rules);
        if plan.blocked.is_some() {
            return Err(Stop::exists("the account is disabled at the app, and not by this gateway"));
        }
        self.ledger.applied = plan.base;
        self.note_drift(plan.drift);
        self.ledger.as_of_ms = self.ledger.as_of_ms.max(self.job.order.as_of.millis());
        let mut missing: Vec<String> = Vec::new();
        let (mut later, mut refused) = (None, None);
        for step in &plan.steps {
            let required = matches!(step, Step::Add { kind, member, .. } if mapped.required.contains(&(kind.clone(), member.clone())));
            match self.step(mapped, account, step).await? {
                Stepped::Done => {}
                // The others are given all the same: the next attempt has less to do.
                Stepped::Without(why) if required => refused = Some(Stop::failed(why)),
                Stepped::Without(why) => missing.push(why),
                Stepped::Later { why, .. } if last && !required => missing.push(why),
                Stepped::Later { why, retry_after_ms } => later = Some(Stop::Again { why, retry_after_ms }),
            }
        }
        match refused.or(later) {
            Some(stop) => Err(stop),
            None => self.finish(mapped, &missing).await,
        }
    }

    /// Tells what somebody has changed at the app, once.
    fn note_drift(&mut self, drift: Vec<String>) {
        if self.routine && drift.is_empty() {
            // What a glance does not show has not gone away.
            return;
        }
        if !drift.is_empty() && drift != self.ledger.drift {
            self.audit("drift.detected", &drift.join("; "));
        }
        self.ledger.drift = if self.provision.drift == Drift::Report { drift } else { Vec::new() };
    }

    /// Which kinds of memberships are touched when. Whoever is not joined keeps what they have, and gets nothing.
    fn join(&mut self, mapped: &Mapped, account: &Account) -> BTreeMap<String, Sync> {
        let Some(origin) = self.record.origin.filter(|_| !mapped.sync.is_empty()) else { return mapped.sync.clone() };
        if !self.provision.switches.mode.changes() {
            self.joined = Joined::No("mode = \"passthrough\"".to_owned());
            return never(mapped);
        }
        self.joined = joins(&self.provision.switches, origin, self.record.join_approved_at.is_some(), &mapped.scope, account);
        match &self.joined {
            Joined::Yes => mapped.sync.clone(),
            Joined::No(why) => {
                tracing::info!(app = %self.record.key.upstream, incident = %self.job.order.incident, %why, "account: linked, not joined");
                never(mapped)
            }
            Joined::Waits => never(mapped),
        }
    }

    /// What was in doubt when the last job ended, decided by what is there now.
    fn settle(&mut self, account: &Account) {
        if let Some(Doubt::Add(kind, member, role)) = Doubt::read(&self.record) {
            if account.memberships.get(&kind).is_some_and(|live| live.contains_key(&member)) {
                // It was not there before we sent it: it is our grant, and ours to take back.
                self.ledger.applied.note(&Step::Add { kind, member, role });
            } else {
                self.doubted.push((kind, member));
            }
        }
        self.record.in_doubt = None;
    }

    /// One step: recorded, sent, recorded.
    async fn step(&mut self, mapped: &Mapped, account: &Account, step: &Step) -> Result<Stepped, Stop> {
        self.record.desired_fp = None;
        self.record.in_doubt = Doubt::of(step, self.now()).write();
        let is_back = |left: &&mut Left| matches!(step, Step::Enable) || matches!(step, Step::Add { .. }) && left.may_be_off();
        if let Some(left) = self.ledger.left.as_mut().filter(is_back) {
            // From here on they have not left, as far as the app is concerned: whatever becomes of this job, who leaves again is switched off again.
            (left.off, left.sent) = (None, true);
            self.record.state = AccountState::Provisioning;
        }
        self.save().await?;
        self.renew().await?;
        let begun = self.now();
        let context = self.context(mapped, Some(&account.id));
        let (outcome, trouble) = match self.connector.apply(context, step).await {
            Ok((outcome, _)) => (outcome, None),
            Err(trouble) => (trouble.outcome, Some(trouble)),
        };
        self.took(step.label(), begun);
        if trouble.is_some() {
            self.failed(kind(step), outcome);
        }
        let why = trouble.as_ref().map_or_else(|| format!("{}: {outcome:?}", step.label()), |trouble| format!("{}: {trouble}", step.label()));
        let retry_after_ms = trouble.and_then(|trouble| trouble.retry_after_ms);
        let lowers = self.may_lower(account, step);
        let stepped = match (step, outcome) {
            // It is there already. Ours only if we had sent it before and lost the answer; else somebody was quicker, and it is not ours to take back.
            (Step::Add { kind, member, .. }, Outcome::Exists | Outcome::Unchanged) => {
                if self.doubted.contains(&(kind.clone(), member.clone())) {
                    self.ledger.applied.note(step);
                }
                Stepped::Done
            }
            (_, Outcome::Created | Outcome::Updated | Outcome::Unchanged | Outcome::Done | Outcome::Found) => {
                self.ledger.applied.note(step);
                self.audit_step(step);
                Stepped::Done
            }
            // Gone already; or an app whose accounts cannot be changed: noted, so that it is not tried for ever.
            (Step::Remove { .. }, Outcome::Gone | Outcome::Absent) | (Step::Update(_), Outcome::Unsupported) => {
                self.ledger.applied.note(step);
                Stepped::Done
            }
            (_, Outcome::Reauth) => return Err(Stop::Closed(why)),
            (Step::Add { kind, member, .. }, Outcome::Retry | Outcome::InDoubt) if !lowers => {
                // Where the app shows memberships, an unneeded claim to one does no harm: what is not there is not taken back.
                if account.memberships.contains_key(kind) {
                    self.ledger.applied.note(step);
                } else {
                    self.doubted.push((kind.clone(), member.clone()));
                }
                Stepped::Later { why, retry_after_ms }
            }
            // Gone in the middle of it: the next attempt sees that, and makes it anew.
            (Step::Update(_) | Step::Enable, Outcome::Gone) | (_, Outcome::Retry | Outcome::InDoubt) => {
                return Err(Stop::Again { why, retry_after_ms });
            }
            // The policy names something that the app does not have. It is told, never dropped in silence.
            (Step::Add { .. }, Outcome::Absent) => {
                self.record.in_doubt = None;
                return Err(Stop::failed(why));
            }
            // Less than wanted is safe. More than wanted (a removal that fails, a role that stays) is not, and ends below.
            (Step::Add { .. }, _) if !lowers => Stepped::Without(why),
            (Step::Update(_), _) if self.record.verified_at.is_some() => Stepped::Without(why),
            (_, Outcome::Conflict | Outcome::Exists | Outcome::Ambiguous) => return Err(Stop::exists(why)),
            (_, Outcome::Absent | Outcome::Gone | Outcome::Denied | Outcome::Invalid | Outcome::Unsupported) => return Err(Stop::failed(why)),
        };
        self.record.in_doubt = None;
        self.steps += usize::from(matches!(stepped, Stepped::Done));
        Ok(stepped)
    }

    /// Whether a step takes a role away: the person has another one there, and it is not known to be the lower one.
    fn may_lower(&self, account: &Account, step: &Step) -> bool {
        let Step::Add { kind, member, role: Some(wanted) } = step else { return false };
        let Some(Some(shown)) = account.memberships.get(kind).and_then(|members| members.get(member)) else { return false };
        let rank = |role: &String| self.provision.connector.role_order.iter().position(|known| known == role);
        shown != wanted && !matches!((rank(shown), rank(wanted)), (Some(shown), Some(wanted)) if shown < wanted)
    }

    /// Everything is as wanted, but for what is `missing`.
    async fn finish(&mut self, mapped: &Mapped, missing: &[String]) -> Result<(), Stop> {
        self.record.state = match (self.record.origin, missing.is_empty()) {
            (Some(Origin::Preexisting), _) => AccountState::LinkedUnmanaged,
            (Some(Origin::Adopted), _) if self.joined != Joined::Yes => AccountState::LinkedUnmanaged,
            (_, true) => AccountState::Active,
            (_, false) => AccountState::Degraded,
        };
        self.record.desired_fp = Some(fingerprint(self.policy, mapped));
        self.record.policy_revision.clone_from(&self.policy.revision);
        self.record.in_doubt = None;
        self.record.attempts = 0;
        self.record.last_error = if missing.is_empty() { None } else { Some(missing.join("; ")) };
        self.record.verified_at = Some(self.now());
        self.record.failed_at = None;
        self.ledger.left = None;
        let fold = self.provision.connector.identity.fold;
        let is_given = |login: &str| desire(self.policy, &self.job.order.identity, None).is_ok_and(|fresh| fold.same(&fresh.desired.login, login));
        if self.record.login.as_deref().is_some_and(is_given) {
            (self.ledger.named, self.ledger.unnamed) = (true, None);
        }
        if !self.routine {
            self.ledger.whole_s = self.now().seconds();
        }
        let waited = self.record.awaiting == Some(Awaiting::Join);
        self.record.awaiting = (self.joined == Joined::Waits).then_some(Awaiting::Join);
        if self.record.awaiting.is_some() && !waited {
            self.audit("approval.requested", "join = \"approval\", and the account was there before");
        }
        if !missing.is_empty() {
            tracing::warn!(app = %self.record.key.upstream, incident = %self.job.order.incident, missing = %missing.join("; "), "account: degraded");
            self.audit("account.degraded", &missing.join("; "));
        }
        self.save().await?;
        Ok(())
    }

    fn audit_step(&self, step: &Step) {
        match step {
            Step::Add { .. } => self.audit("role.granted", &step.label()),
            Step::Remove { .. } => self.audit("role.revoked", &step.label()),
            Step::Update(attributes) => self.audit("account.updated", &attributes.keys().map(String::as_str).collect::<Vec<_>>().join(" ")),
            Step::Enable => self.audit("account.enabled", "let in again"),
            Step::Create(_) => {}
        }
    }
}

/// Every kind of membership is left alone.
pub(super) fn never(mapped: &Mapped) -> BTreeMap<String, Sync> {
    mapped.sync.keys().map(|kind| (kind.clone(), Sync::Never)).collect()
}

/// What a step came to, when the attempt goes on.
#[derive(Debug)]
enum Stepped {
    /// Done.
    Done,
    /// It will not come; the account is usable without.
    Without(String),
    /// It may come at another try.
    Later {
        /// For the log.
        why: String,
        /// The app's own wish.
        retry_after_ms: Option<u64>,
    },
}
