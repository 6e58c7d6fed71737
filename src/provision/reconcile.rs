//! Everybody who has an account at an app, held against the policy and the app, without waiting for them to come.
//!
//! Lives here: [`Desk::reconcile`] and what it counts. Apart because it goes through all records; what is done for each one is what their own request would do
//! (`ensure.rs`), or what becomes of somebody who has left (`leaving.rs`). It never makes an account.

use super::ensure::{End, Job};
use super::flights::Boarding;
use super::leaving::{Cause, Departure, is_being_made};
use super::{Counter, Desk, Order};
use crate::fault::{Incident, PublicMessage};
use crate::policy::Policy;
use crate::policy::leavers::has_left;
use crate::policy::mapping::desire;
use crate::state::{AccountKey, AccountRecord, RecordedSignIn, SignInStore, StoreError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Records read at a time.
const PAGE: u32 = 200;
/// People looked after at once: as many as the background lane has room for.
const AT_ONCE: usize = super::BACKGROUND_MAX;

/// What came of going through an app's people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reconciled {
    /// Records that have an account.
    pub people: u64,
    /// As wanted already.
    pub as_wanted: u64,
    /// Brought up to date.
    pub changed: u64,
    /// Have left: switched off, or about to be.
    pub left: u64,
    /// Have left, and a human has to say yes first.
    pub staged: u64,
    /// Removed at the app.
    pub gone: u64,
    /// Could not be looked after; the record says why.
    pub failed: u64,
    /// Nothing is known of them any more but their record: nobody was looked after.
    pub unknown: u64,
    /// Passed over: nothing has changed for them since they were last looked at.
    pub skipped: u64,
}

/// What came of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum One {
    AsWanted,
    Changed,
    Left,
    Staged,
    Gone,
    Failed,
    Unknown,
    Skipped,
}

impl Reconciled {
    fn count(&mut self, one: One) {
        let field = match one {
            One::AsWanted => &mut self.as_wanted,
            One::Changed => &mut self.changed,
            One::Left => &mut self.left,
            One::Staged => &mut self.staged,
            One::Gone => &mut self.gone,
            One::Failed => &mut self.failed,
            One::Unknown => &mut self.unknown,
            One::Skipped => &mut self.skipped,
        };
        *field += 1;
    }
}

impl Desk {
    /// Goes through everybody who has an account at the app of `policy`, each as of their last recorded sign-in; with `changed_only`, looks only after those for whom
    /// the policy wants something else by now. `tell` hears how far it is.
    ///
    /// # Errors
    /// The store's, between two people; what was done stays done.
    pub async fn reconcile(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
        sign_ins: &Arc<dyn SignInStore>,
        changed_only: bool,
        tell: &(dyn Fn(Reconciled) + Send + Sync),
    ) -> Result<Reconciled, StoreError> {
        let (mut counted, mut after): (Reconciled, Option<AccountKey>) = (Reconciled::default(), None);
        let mut under_way: JoinSet<Result<One, StoreError>> = JoinSet::new();
        loop {
            let page = self.parts.accounts.accounts_after(Some(&policy.name), after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for record in page.into_iter().filter(|record| (record.account_id.is_some() || is_being_made(record)) && !record.state.has_left()) {
                counted.people += 1;
                if under_way.len() >= AT_ONCE {
                    Self::one_more(&mut under_way, &mut counted).await?;
                    tell(counted);
                }
                let (desk, policy, sign_ins) = (Arc::clone(self), Arc::clone(policy), Arc::clone(sign_ins));
                under_way.spawn(async move { desk.reconcile_one(&policy, &record, sign_ins.as_ref(), changed_only).await });
            }
        }
        while !under_way.is_empty() {
            Self::one_more(&mut under_way, &mut counted).await?;
        }
        tell(counted);
        Ok(counted)
    }

    async fn one_more(under_way: &mut JoinSet<Result<One, StoreError>>, counted: &mut Reconciled) -> Result<(), StoreError> {
        match under_way.join_next().await {
            Some(Ok(one)) => counted.count(one?),
            Some(Err(_died)) => counted.count(One::Failed),
            None => {}
        }
        Ok(())
    }

    async fn reconcile_one(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
        record: &AccountRecord,
        sign_ins: &dyn SignInStore,
        changed_only: bool,
    ) -> Result<One, StoreError> {
        let subject = &record.key.subject;
        let Some(sign_in) = sign_ins.last_by_subject(Some(&subject.issuer), &subject.subject).await?.into_iter().next() else {
            return Ok(One::Unknown);
        };
        if has_left(policy, &sign_in.identity).is_some() {
            return Ok(match self.leaves(&record.key, policy, Cause::Access { as_of: sign_in.at }, None).await {
                Departure::Left => One::Left,
                Departure::Staged => One::Staged,
                // Nothing of ours: it is left as it is.
                Departure::Nothing => One::Skipped,
                Departure::Later => One::Failed,
            });
        }
        let order = self.order_of(policy, record, sign_in);
        if changed_only && !wants_something_else(&order, record) {
            return Ok(One::Skipped);
        }
        let Some(counter) = self.counter_of(policy) else { return Ok(One::Failed) };
        Ok(match self.look_after(order, counter).await {
            End::Done { steps: 0, .. } => One::AsWanted,
            End::Done { .. } => One::Changed,
            // The account is gone, and nobody is here to have another one.
            End::Failed(PublicMessage::OpenInBrowser) => One::Gone,
            End::Failed(_) => One::Failed,
        })
    }

    fn order_of(&self, policy: &Arc<Policy>, record: &AccountRecord, sign_in: RecordedSignIn) -> Order {
        Order {
            key: record.key.clone(),
            identity: Arc::new(sign_in.identity),
            as_of: sign_in.at,
            policy: Arc::clone(policy),
            incident: Incident::from_bytes(self.parts.entropy.bytes::<5>()),
            may_create: false,
            look: true,
            background: true,
        }
    }

    /// The job of somebody who is not here; or the end of the one that is under way because they are.
    async fn look_after(self: &Arc<Self>, order: Order, counter: Arc<Counter>) -> End {
        let now = self.parts.clock.now();
        match self.flights.board(&order.key, &order.policy.revision, now, self.parts.times.failure_ms, true) {
            Boarding::Nobody => End::Failed(PublicMessage::Internal),
            Boarding::Grounded(message) => End::Failed(message),
            Boarding::Passenger { mut wait, .. } => {
                let ended = wait.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
                ended.unwrap_or(End::Failed(PublicMessage::Internal))
            }
            Boarding::Pilot(pilot, _wait) => {
                let job = Job { parts: self.parts.clone(), counter, order, begun: now, passes: self.passes.get().cloned() };
                let end = Box::pin(job.run()).await;
                pilot.land(end.clone(), self.parts.clock.now());
                end
            }
        }
    }
}

fn wants_something_else(order: &Order, record: &AccountRecord) -> bool {
    let mapped = desire(&order.policy, &order.identity, record.login.as_deref());
    mapped.is_ok_and(|mapped| record.desired_fp.as_deref() != Some(&*super::ledger::fingerprint(&order.policy, &mapped)))
}
