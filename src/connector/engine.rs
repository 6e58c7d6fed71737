//! Runs a connector's steps over HTTP.
//!
//! Lives here: [`Engine`], which is a [`Connector`] made of a [`Model`], a policy's own [`Steps`], and a [`Transport`].
//!
//! * One step: `run.rs`, built by `request.rs` and `body.rs`, `classify.rs` says what the answer means (`xml.rs` reads one in XML), `select.rs` finds the account in it, `paginate.rs` goes
//!   through lists, `base.rs` lays a change over what was read.
//! * Before any step: `session.rs` signs in to the admin API, with `jar.rs` and `html.rs`.
//! * What is done with steps: `verbs.rs` looks, makes and changes, `members.rs` and `resolve.rs` grant and take back, `off.rs` switches off, `list.rs` lists,
//!   `enter.rs` signs a person in at the app itself.
//! * For the conformance kit: `mishap.rs` lets things go wrong on the way.
//! * What is remembered between calls: `state.rs`, `resolved.rs`, `turns.rs`. `stage.rs` runs it all for show.
//!
//! It knows no app by name, and it never decides whether an account may be taken over (`provision/`).

mod admit;
mod base;
mod body;
mod classify;
mod enter;
mod html;
mod jar;
mod list;
mod members;
mod mishap;
mod off;
mod paginate;
mod request;
mod resolve;
mod resolved;
mod run;
mod select;
mod session;
mod stage;
mod state;
mod turns;
mod verbs;
mod xml;

pub use members::Standing;
pub use mishap::{Mishap, Mishaps};
pub use stage::{Cue, Stage, Staged};

use super::gate::{Bounds, Health, Lane};
use super::model::{Call, MemberVerb, Model, Steps, Verb, Way};
use super::{Connector, Context, DoorKey, Entered, Listing, Observation, Outcome, PageMark, SwitchedOff, Trouble};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::outbound::Transport;
use crate::plan::{Account, Step};
use crate::policy::MatchBy;
use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Map, Value};
use state::State;
use std::sync::Arc;
use url::Url;

/// Credentials of admin calls, read from where the policy says. Prints as `[REDACTED]`.
#[derive(Debug, Clone, Default)]
pub struct ResolvedCredential {
    /// `Authorization: Bearer …` (or as the connector says).
    pub token: Option<SecretString>,
    /// `Authorization: Basic …`.
    pub basic: Option<(String, SecretString)>,
    /// Further headers, values being secret.
    pub headers: Vec<(String, SecretString)>,
    /// Settings of the connector that are secrets, by name.
    pub settings: Vec<(String, SecretString)>,
}

/// What one admin call may take, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One exchange, connection included.
    pub timeout_ms: u64,
    /// Largest response body taken.
    pub response_bytes_max: usize,
    /// How many at once, and how many a second.
    pub bounds: Bounds,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout_ms: 5_000, response_bytes_max: 1 << 20, bounds: Bounds::default() }
    }
}

/// An app's admin API, spoken to by data. A clone shares what is remembered, and the gate.
#[derive(Debug, Clone)]
pub struct Engine {
    model: Arc<Model>,
    steps: Option<Steps>,
    base: Url,
    credential: ResolvedCredential,
    settings: Map<String, Value>,
    limits: Limits,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    read_only: bool,
    /// Where the passwords of new accounts come from; `None`: none is set.
    passwords: Option<Arc<dyn Entropy>>,
    /// Who answers instead of the app, in a dry run.
    stage: Option<Arc<dyn Stage>>,
    /// Who lets things go wrong, in the conformance kit.
    mishaps: Option<Arc<dyn Mishaps>>,
    /// Who waits for the answers.
    lane: Lane,
    /// What is remembered between calls.
    state: Arc<State>,
}

impl Engine {
    /// `base` is the admin base URL, the only place this engine ever reaches; `settings` come from [`Model::settings`].
    #[expect(clippy::too_many_arguments, reason = "each is a different thing and has a type of its own; none can be left out")]
    pub fn new(
        model: Arc<Model>,
        steps: Option<Steps>,
        base: Url,
        credential: ResolvedCredential,
        settings: Map<String, Value>,
        limits: Limits,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (state, lane) = (Arc::new(State::new(limits.bounds)), Lane::default());
        Self {
            model,
            steps,
            base,
            credential,
            settings,
            limits,
            transport,
            clock,
            read_only: false,
            passwords: None,
            stage: None,
            mishaps: None,
            lane,
            state,
        }
    }

    /// The same engine, which gives new accounts a password that nobody knows wherever a create has a place for one (`{random}`).
    #[must_use]
    pub fn with_passwords(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.passwords = Some(entropy);
        self
    }

    /// The same engine for a dry run: a step that would write is refused as [`Outcome::Denied`] before anything is sent.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The model it runs.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How a kind of a plan is called in `each` of a policy's own steps.
    fn each_kind(&self, kind: &str) -> Option<&'static str> {
        if kind == self.model.roles_as { Some("roles") } else { (kind == self.model.orgs_as).then_some("orgs") }
    }
}

#[async_trait]
impl Connector for Engine {
    fn ways(&self) -> Vec<MatchBy> {
        let own = self.steps.as_ref().and_then(|steps| steps.0.find.as_ref()).map(|find| find.by);
        let names = self.names();
        // A lookup that the settings switch off is a way that the app does not have.
        let off = |call: &Call| call.condition.as_ref().is_some_and(|condition| matches!(condition.holds(&names), Ok(false)));
        let has = |way: &Way| own == Some(*way) || self.verb(&Verb::Lookup(*way)).iter().any(|call| !off(call));
        [Way::ExternalId, Way::Login, Way::Email].into_iter().filter(has).map(MatchBy::from).collect()
    }

    async fn probe(&self) -> Result<(), Trouble> {
        self.probe_admin_api().await
    }

    fn background(&self) -> Option<Arc<dyn Connector>> {
        Some(Arc::new(self.in_lane(Lane::Background)))
    }

    fn health(&self) -> Health {
        self.state.gate.health(self.clock.now())
    }

    fn is_shut(&self) -> bool {
        self.state.gate.is_shut(self.clock.now())
    }

    fn may_retry(&self) -> bool {
        self.state.gate.may_retry()
    }

    async fn find(&self, context: Context<'_>, by: &[MatchBy]) -> Result<Observation, Trouble> {
        for &by in by {
            match self.look(context, by.into()).await? {
                Observation::Absent => {}
                Observation::Found(mut account, by) => {
                    self.add_memberships(&mut account).await?;
                    return Ok(Observation::Found(account, by));
                }
                Observation::Ambiguous => return Ok(Observation::Ambiguous),
            }
        }
        Ok(Observation::Absent)
    }

    async fn get(&self, context: Context<'_>) -> Result<Observation, Trouble> {
        let observation = self.read_one(context).await?;
        if let Observation::Found(mut account, by) = observation {
            self.add_memberships(&mut account).await?;
            return Ok(Observation::Found(account, by));
        }
        Ok(observation)
    }

    async fn glance(&self, context: Context<'_>) -> Result<Observation, Trouble> {
        let mut observation = self.read_one(context).await?;
        if let Observation::Found(account, _) = &mut observation {
            self.name_memberships(account).await?;
            self.note_disabled(account);
        }
        Ok(observation)
    }

    async fn apply(&self, context: Context<'_>, step: &Step) -> Result<(Outcome, Option<Account>), Trouble> {
        // Changes of one account come one after the other: some read before they write.
        let _turn = match context.account_id {
            Some(id) => Some(self.state.changing.take(id).await),
            None => None,
        };
        match step {
            Step::Create(desired) => self.create(context, desired).await.map(|account| (Outcome::Created, Some(account))),
            Step::Update(changes) => self.update(context, changes).await.map(|outcome| (outcome, None)),
            Step::Enable => self.enable(context).await.map(|outcome| (outcome, None)),
            Step::Add { kind, member, role } => {
                self.change_member(context, kind, member, role.as_deref(), MemberVerb::Add).await.map(|outcome| (outcome, None))
            }
            Step::Remove { kind, member } => self.change_member(context, kind, member, None, MemberVerb::Remove).await.map(|outcome| (outcome, None)),
        }
    }

    fn can(&self, verb: &Verb) -> bool {
        self.model.can(verb)
    }

    async fn change_members(&self, context: Context<'_>, kind: &str, add: &[(&str, Option<&str>)], remove: &[&str]) -> Result<Outcome, Trouble> {
        let _turn = self.state.changing.take(context.account_id.unwrap_or_default()).await;
        if self.model.can(&Verb::Members(kind.to_owned(), MemberVerb::Set)) {
            return self.replace_members(context, kind, members::Change { add, remove }).await;
        }
        let mut outcome = Outcome::Unchanged;
        for name in remove {
            outcome = self.change_member(context, kind, name, None, MemberVerb::Remove).await?;
        }
        for (name, role) in add {
            outcome = self.change_member(context, kind, name, *role, MemberVerb::Add).await?;
        }
        Ok(outcome)
    }

    async fn disable(&self, context: Context<'_>, may_delete: bool) -> Result<SwitchedOff, Trouble> {
        let _turn = self.state.changing.take(context.account_id.unwrap_or_default()).await;
        self.switch_off(context, may_delete).await
    }

    async fn delete(&self, context: Context<'_>) -> Result<Outcome, Trouble> {
        let _turn = self.state.changing.take(context.account_id.unwrap_or_default()).await;
        self.simple(context, &Verb::Delete, "delete").await
    }

    async fn rename(&self, context: Context<'_>, to: &str) -> Result<Outcome, Trouble> {
        let _turn = self.state.changing.take(context.account_id.unwrap_or_default()).await;
        self.rename_to(context, to).await
    }

    async fn revoke_sessions(&self, context: Context<'_>) -> Result<Outcome, Trouble> {
        self.simple(context, &Verb::RevokeSessions, "revoke_sessions").await
    }

    async fn set_password(&self, context: Context<'_>, password: &SecretString) -> Result<Outcome, Trouble> {
        let _turn = self.state.changing.take(context.account_id.unwrap_or_default()).await;
        self.set_password_to(context, password).await
    }

    async fn enter(&self, context: Context<'_>, at: &Url, key: DoorKey<'_>) -> Result<Entered, Trouble> {
        self.enter_at(context, at, key).await
    }

    async fn leave(&self, context: Context<'_>, at: &Url, token: &SecretString) -> Result<Outcome, Trouble> {
        self.leave_at(context, at, token).await
    }

    async fn list(&self, from: Option<&PageMark>) -> Result<Listing, Trouble> {
        self.list_page(from).await
    }

    async fn knows_role(&self, role: &str) -> Result<bool, Trouble> {
        self.has_role(role).await
    }
}
