//! The app, the policy and the clock of these tests.

use crate::state::{T0, hash, open};
use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use vestibule::clock::{Clock as _, ManualClock, Timestamp};
use vestibule::config;
use vestibule::connector::model::{Credential, MemberVerb, Model, Verb, same_email};
use vestibule::connector::{Connector, Context, DoorKey, Entered, Listing, Observation, Outcome, PageMark, SwitchedOff, Trouble};
use vestibule::entropy::SeededEntropy;
use vestibule::expr::{Env, FirstOf, Template};
use vestibule::fault::{Incident, PublicMessage};
use vestibule::identity::{Groups, Identity, SubjectId};
use vestibule::plan::{Account, Members, Step};
use vestibule::policy::*;
use vestibule::provision::{Asking, Desk, Ensured, Meter, Parts, Sleeper, Times, TokenSigner};
use vestibule::session::{AppSession, LiveSessions, Pass};
use vestibule::state::{
    AccountKey, AccountRecord, AccountState, AccountStore, Census, Fence, Lease, SignInStore, SignOn, SignOnId, StoreError, sqlite::Store,
};

/// What goes wrong with a call.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The app does it, and the answer is lost.
    LostReply,
    /// The app does not do it; this is what it comes to.
    Answer(Outcome),
    /// As [`Fault::Answer`], with the app's own wish for the next try.
    Later(u64),
    /// The app does it and answers with this account.
    Instead(Box<Account>),
    /// The app does it and never answers.
    Hang,
}

/// Where a gateway is killed: at the n-th place from now on, before or after something is done. Whoever comes there goes no further.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    /// Places left; nobody is killed at 0.
    left: AtomicU64,
    struck: AtomicBool,
}

impl Reaper {
    pub(crate) fn arm(&self, places: u64) {
        self.struck.store(false, Ordering::SeqCst);
        self.left.store(places, Ordering::SeqCst);
    }

    pub(crate) fn disarm(&self) {
        self.left.store(0, Ordering::SeqCst);
        self.struck.store(false, Ordering::SeqCst);
    }

    pub(crate) fn has_struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }

    /// A place to die at.
    async fn pass(&self) {
        if self.has_struck() {
            return std::future::pending().await;
        }
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left == Ok(1) {
            self.struck.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
    }
}

/// The group whose members the app lets in nowhere.
pub(crate) const OFF: &str = "off";

/// An app with an admin API: unique logins, compared without ASCII case.
#[derive(Debug, Default)]
pub(crate) struct App {
    pub(crate) accounts: Mutex<Vec<Account>>,
    /// Calls as they arrived: `find`, `get`, `create`, `add group devs`.
    pub(crate) calls: Mutex<Vec<String>>,
    /// Faults by the beginning of the call's name, each used once.
    faults: Mutex<VecDeque<(String, Fault)>>,
    /// While set, no call is answered before `go`.
    pub(crate) slow: AtomicBool,
    pub(crate) go: Notify,
    pub(crate) down: AtomicBool,
    /// Set once a [`Fault::Hang`] has done what was asked.
    pub(crate) hung: AtomicBool,
    /// How it switches somebody off; `None`: by a flag.
    pub(crate) off_by: Mutex<Option<SwitchedOff>>,
    /// Whether it keeps the gateway's id.
    pub(crate) without_external_ids: AtomicBool,
    /// Whether an account goes by its login, and by another id after a rename.
    pub(crate) ids_are_logins: AtomicBool,
    reaper: Arc<Reaper>,
    next: AtomicI64,
}

impl App {
    pub(crate) fn fault(&self, call: &str, fault: Fault) {
        self.faults.lock().unwrap().push_back((call.to_owned(), fault));
    }

    /// Faults that nobody has met.
    pub(crate) fn forget_faults(&self) {
        self.faults.lock().unwrap().clear();
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|made| made.starts_with(call)).count()
    }

    pub(crate) fn all_calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    pub(crate) fn logins(&self) -> Vec<String> {
        self.accounts.lock().unwrap().iter().map(|account| account.login.clone()).collect()
    }

    pub(crate) fn account(&self, login: &str) -> Account {
        self.accounts.lock().unwrap().iter().find(|account| account.login == login).cloned().unwrap_or_else(|| panic!("no account {login}"))
    }

    pub(crate) fn groups(&self, login: &str) -> Vec<String> {
        self.account(login).memberships["group"].keys().cloned().collect()
    }

    /// An account that somebody made by hand.
    pub(crate) fn put(&self, login: &str, change: impl FnOnce(&mut Account)) {
        let id = self.next.fetch_add(1, Ordering::SeqCst) + 1;
        let memberships = BTreeMap::from([("group".to_owned(), Members::new())]);
        let mut account = Account { id: id.to_string(), login: login.to_owned(), memberships, ..Account::default() };
        change(&mut account);
        self.accounts.lock().unwrap().push(account);
    }

    pub(crate) fn change(&self, login: &str, change: impl FnOnce(&mut Account)) {
        change(self.accounts.lock().unwrap().iter_mut().find(|account| account.login == login).expect("account"));
    }

    async fn arrive(&self, call: &str) -> Result<Option<Fault>, Trouble> {
        self.reaper.pass().await;
        self.calls.lock().unwrap().push(call.to_owned());
        if self.slow.load(Ordering::SeqCst) {
            self.go.notified().await;
        }
        if self.down.load(Ordering::SeqCst) {
            return Err(trouble(call, Outcome::Retry));
        }
        let mut faults = self.faults.lock().unwrap();
        let at = faults.iter().position(|(of, _)| call.starts_with(of.as_str()));
        Ok(at.and_then(|at| faults.remove(at)).map(|(_, fault)| fault))
    }

    fn does(&self, context: Context<'_>, step: &Step) -> (Outcome, Option<Account>) {
        let mut accounts = self.accounts.lock().unwrap();
        if let Step::Create(desired) = step {
            if accounts.iter().any(|account| account.login.eq_ignore_ascii_case(&desired.login)) {
                return (Outcome::Exists, None);
            }
            let id = self.next.fetch_add(1, Ordering::SeqCst) + 1;
            let external_id = (!self.without_external_ids.load(Ordering::SeqCst)).then(|| context.external_id.to_owned());
            accounts.push(Account {
                id: id.to_string(),
                login: desired.login.clone(),
                external_id,
                email: context.email.map(str::to_owned),
                attributes: desired.attributes.clone(),
                memberships: BTreeMap::from([("group".to_owned(), Members::new())]),
                ..Account::default()
            });
            return (Outcome::Created, accounts.last().cloned());
        }
        let Some(account) = accounts.iter_mut().find(|account| Some(account.id.as_str()) == context.account_id) else { return (Outcome::Gone, None) };
        match step {
            Step::Create(_) => {}
            Step::Update(attributes) => account.attributes.extend(attributes.clone()),
            Step::Enable => {
                account.disabled = false;
                account.memberships.entry("group".to_owned()).or_default().remove(OFF);
            }
            Step::Add { kind, member, role } => {
                account.memberships.entry(kind.clone()).or_default().insert(member.clone(), role.clone());
            }
            Step::Remove { kind, member } => {
                account.memberships.entry(kind.clone()).or_default().remove(member);
            }
        }
        (Outcome::Done, None)
    }
}

fn trouble(step: &str, outcome: Outcome) -> Trouble {
    Trouble { step: step.to_owned(), outcome, retry_after_ms: None, status: None, detail: "as the test says".to_owned() }
}

fn read(call: &str, fault: Option<Fault>, seen: Observation) -> Result<Observation, Trouble> {
    match fault {
        None => Ok(seen),
        Some(Fault::Answer(outcome)) => Err(trouble(call, outcome)),
        Some(Fault::Later(ms)) => Err(Trouble { retry_after_ms: Some(ms), ..trouble(call, Outcome::Retry) }),
        Some(Fault::Instead(account)) => Ok(Observation::Found(account, MatchBy::Login)),
        Some(Fault::LostReply | Fault::Hang) => Err(trouble(call, Outcome::Retry)),
    }
}

#[async_trait]
impl Connector for App {
    fn ways(&self) -> Vec<MatchBy> {
        let external = (!self.without_external_ids.load(Ordering::SeqCst)).then_some(MatchBy::ExternalId);
        external.into_iter().chain([MatchBy::Login, MatchBy::Email]).collect()
    }

    async fn probe(&self) -> Result<(), Trouble> {
        self.arrive("probe").await.map(|_| ())
    }

    async fn find(&self, context: Context<'_>, by: &[MatchBy]) -> Result<Observation, Trouble> {
        let fault = self.arrive("find").await?;
        let seen = {
            let accounts = self.accounts.lock().unwrap();
            let fits = |account: &&Account, by: MatchBy| match by {
                MatchBy::ExternalId => account.external_id.as_deref() == Some(context.external_id),
                MatchBy::Login => account.login.eq_ignore_ascii_case(context.login),
                MatchBy::Email => matches!((&account.email, context.email), (Some(has), Some(asked)) if same_email(has, asked)),
            };
            by.iter().find_map(|&by| {
                let found: Vec<&Account> = accounts.iter().filter(|account| fits(account, by)).collect();
                match found.as_slice() {
                    [] => None,
                    [one] => Some(Observation::Found(Box::new((*one).clone()), by)),
                    _ => Some(Observation::Ambiguous),
                }
            })
        };
        read("find", fault, seen.unwrap_or(Observation::Absent))
    }

    async fn get(&self, context: Context<'_>) -> Result<Observation, Trouble> {
        let fault = self.arrive("get").await?;
        let found = self.accounts.lock().unwrap().iter().find(|account| Some(account.id.as_str()) == context.account_id).cloned();
        read("get", fault, found.map_or(Observation::Absent, |account| Observation::Found(Box::new(account), MatchBy::ExternalId)))
    }

    async fn disable(&self, context: Context<'_>, may_delete: bool) -> Result<SwitchedOff, Trouble> {
        let way = (*self.off_by.lock().unwrap()).unwrap_or(SwitchedOff::Flag);
        let outcome = match way {
            SwitchedOff::Deleted if !may_delete => return Ok(SwitchedOff::NotAtTheApp),
            SwitchedOff::Deleted => self.delete(context).await?,
            SwitchedOff::MembersRemoved => {
                let bare = |accounts: &mut Vec<Account>, at: usize| accounts[at].memberships.values_mut().for_each(BTreeMap::clear);
                self.switch("disable", context, bare).await?
            }
            SwitchedOff::Group => {
                let parked = |accounts: &mut Vec<Account>, at: usize| {
                    accounts[at].memberships.insert("group".to_owned(), Members::from([(OFF.to_owned(), None)]));
                    accounts[at].disabled = true;
                };
                self.switch("disable", context, parked).await?
            }
            SwitchedOff::Flag | SwitchedOff::Gone | SwitchedOff::NotAtTheApp => {
                self.switch("disable", context, |accounts, at| accounts[at].disabled = true).await?
            }
        };
        Ok(if outcome == Outcome::Gone { SwitchedOff::Gone } else { way })
    }

    async fn delete(&self, context: Context<'_>) -> Result<Outcome, Trouble> {
        self.switch("delete", context, |accounts, at| drop(accounts.remove(at))).await
    }

    async fn revoke_sessions(&self, context: Context<'_>) -> Result<Outcome, Trouble> {
        self.switch("revoke_sessions", context, |_, _| {}).await
    }

    fn can(&self, verb: &Verb) -> bool {
        matches!(verb, Verb::Rename | Verb::List | Verb::Leave)
    }

    async fn enter(&self, _: Context<'_>, _: &url::Url, _: DoorKey<'_>) -> Result<Entered, Trouble> {
        self.arrive("enter").await?;
        Ok(Entered { token: Some("of the app's own".to_owned().into()), ..Entered::default() })
    }

    async fn leave(&self, _: Context<'_>, _: &url::Url, _: &SecretString) -> Result<Outcome, Trouble> {
        match self.arrive("leave").await? {
            Some(Fault::Answer(outcome)) => Err(trouble("leave", outcome)),
            _ => Ok(Outcome::Done),
        }
    }

    async fn rename(&self, context: Context<'_>, to: &str) -> Result<Outcome, Trouble> {
        let is_taken = self.accounts.lock().unwrap().iter().any(|account| account.login.eq_ignore_ascii_case(to));
        if is_taken {
            return Err(trouble("rename", Outcome::Conflict));
        }
        let (to, ids_are_logins) = (to.to_owned(), self.ids_are_logins.load(Ordering::SeqCst));
        let renamed = move |accounts: &mut Vec<Account>, at: usize| {
            if ids_are_logins {
                accounts[at].id.clone_from(&to);
            }
            accounts[at].login = to;
        };
        let outcome = self.switch("rename", context, renamed).await;
        self.reaper.pass().await;
        outcome
    }

    /// Two accounts a page.
    async fn list(&self, from: Option<&PageMark>) -> Result<Listing, Trouble> {
        let from: usize = from.map_or(0, |mark| mark.0.parse().unwrap());
        match self.arrive(&format!("list from {from}")).await? {
            Some(Fault::Answer(outcome)) => return Err(trouble("list", outcome)),
            Some(_) => return Err(trouble("list", Outcome::Retry)),
            None => {}
        }
        let accounts = self.accounts.lock().unwrap();
        let next = (accounts.len() > from + 2).then(|| PageMark((from + 2).to_string()));
        Ok(Listing { accounts: accounts.iter().skip(from).take(2).cloned().collect(), next })
    }

    async fn apply(&self, context: Context<'_>, step: &Step) -> Result<(Outcome, Option<Account>), Trouble> {
        let call = step.label();
        match self.arrive(&call).await? {
            Some(Fault::Answer(outcome)) => return Err(trouble(&call, outcome)),
            Some(Fault::Later(ms)) => return Err(Trouble { retry_after_ms: Some(ms), ..trouble(&call, Outcome::Retry) }),
            Some(Fault::LostReply) => {
                self.does(context, step);
                return Err(trouble(&call, Outcome::InDoubt));
            }
            Some(Fault::Instead(account)) => {
                self.does(context, step);
                return Ok((Outcome::Created, Some(*account)));
            }
            Some(Fault::Hang) => {
                self.does(context, step);
                self.hung.store(true, Ordering::SeqCst);
                return std::future::pending().await;
            }
            None => {}
        }
        let done = self.does(context, step);
        self.reaper.pass().await;
        match done {
            (outcome @ (Outcome::Exists | Outcome::Gone), _) => Err(trouble(&call, outcome)),
            done => Ok(done),
        }
    }
}

impl App {
    /// A call about the account as a whole.
    async fn switch(&self, call: &str, context: Context<'_>, change: impl FnOnce(&mut Vec<Account>, usize) + Send) -> Result<Outcome, Trouble> {
        let fault = self.arrive(call).await?;
        match fault {
            Some(Fault::Answer(outcome)) => return Err(trouble(call, outcome)),
            Some(Fault::Later(ms)) => return Err(Trouble { retry_after_ms: Some(ms), ..trouble(call, Outcome::Retry) }),
            Some(Fault::LostReply | Fault::Instead(_) | Fault::Hang) | None => {}
        }
        let mut accounts = self.accounts.lock().unwrap();
        let Some(at) = accounts.iter().position(|account| Some(account.id.as_str()) == context.account_id) else { return Ok(Outcome::Gone) };
        change(&mut accounts, at);
        if matches!(fault, Some(Fault::LostReply)) { Err(trouble(call, Outcome::InDoubt)) } else { Ok(Outcome::Done) }
    }
}

/// The store, counting how often a record was read: whoever has read one and must wait is at the job by then.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Arc<Store>,
    reads: AtomicU64,
    reaper: Arc<Reaper>,
}

#[async_trait]
impl AccountStore for Watched {
    async fn account(&self, key: &AccountKey) -> Result<Option<AccountRecord>, StoreError> {
        let record = self.inner.account(key).await;
        self.reads.fetch_add(1, Ordering::SeqCst);
        record
    }
    async fn lease(&self, key: &AccountKey, owner: &str, now: Timestamp, until: Timestamp) -> Result<Lease, StoreError> {
        self.reaper.pass().await;
        let leased = self.inner.lease(key, owner, now, until).await;
        self.reaper.pass().await;
        leased
    }
    async fn save(&self, record: &AccountRecord, fence: Fence) -> Result<(), StoreError> {
        self.reaper.pass().await;
        let saved = self.inner.save(record, fence).await;
        self.reaper.pass().await;
        saved
    }
    async fn release(&self, key: &AccountKey, fence: Fence) -> Result<(), StoreError> {
        self.reaper.pass().await;
        self.inner.release(key, fence).await
    }
    async fn save_within(&self, record: &AccountRecord, fence: Fence, seats: u64) -> Result<bool, StoreError> {
        self.inner.save_within(record, fence, seats).await
    }
    async fn forget(&self, key: &AccountKey, fence: Fence) -> Result<(), StoreError> {
        self.inner.forget(key, fence).await
    }
    async fn owner_of_login(&self, upstream: &str, login: &str) -> Result<Option<AccountKey>, StoreError> {
        self.inner.owner_of_login(upstream, login).await
    }
    async fn accounts_after(&self, upstream: Option<&str>, after: Option<&AccountKey>, limit: u32) -> Result<Vec<AccountRecord>, StoreError> {
        self.inner.accounts_after(upstream, after, limit).await
    }
    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        self.inner.census().await
    }
    async fn accounts_in(
        &self,
        upstream: &str,
        state: AccountState,
        since: Option<Timestamp>,
        after: Option<&AccountKey>,
        limit: u32,
    ) -> Result<Vec<AccountRecord>, StoreError> {
        self.inner.accounts_in(upstream, state, since, after, limit).await
    }
    async fn note_uses(&self, uses: &[(AccountKey, Timestamp)]) -> Result<(), StoreError> {
        self.inner.note_uses(uses).await
    }
    async fn last_use(&self, key: &AccountKey) -> Result<Option<Timestamp>, StoreError> {
        self.inner.last_use(key).await
    }
    async fn uses_since(&self, upstream: &str, now: Timestamp) -> Result<Timestamp, StoreError> {
        self.inner.uses_since(upstream, now).await
    }
}

/// Moves the clock instead of sleeping.
#[derive(Debug)]
struct Skip(Arc<ManualClock>, Arc<AtomicU64>);

#[async_trait]
impl Sleeper for Skip {
    async fn sleep_ms(&self, ms: u64) {
        self.0.advance_ms(i64::try_from(ms).unwrap());
        self.1.fetch_add(ms, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// What was counted, in words: `ended create 0 ms`.
#[derive(Debug, Default)]
pub(crate) struct Counted(pub(crate) Mutex<Vec<String>>);

impl Meter for Counted {
    fn ended(&self, _: &str, action: &'static str, elapsed_ms: i64) {
        self.0.lock().unwrap().push(format!("ended {action} {elapsed_ms} ms"));
    }
    fn step_failed(&self, _: &str, step: &'static str, code: &'static str) {
        self.0.lock().unwrap().push(format!("{step} {code}"));
    }
    fn slo_missed(&self, app: &str) {
        self.0.lock().unwrap().push(format!("slo missed at {app}"));
    }
}

/// Says what it was asked to sign, and how often.
#[derive(Debug, Default)]
pub(crate) struct Says(pub(crate) AtomicU64);

impl TokenSigner for Says {
    fn sign(
        &self,
        audience: &str,
        ttl_ms: i64,
        claims: &Map<String, Value>,
    ) -> Result<String, Box<dyn std::error::Error + Send + std::marker::Sync>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(json!([audience, ttl_ms, claims]).to_string())
    }
}

pub(crate) fn first(texts: &[&str]) -> FirstOf {
    let env = Env::sign_in().with_user([]).with_roles();
    FirstOf(texts.iter().map(|text| Template::compile(text, &env).unwrap().0).collect())
}

fn landing(path: &str) -> Landing {
    let template = Template::compile(path, &Env::sign_in()).unwrap().0;
    Landing(vec![landing::Place::of(template).unwrap()])
}

/// Groups become groups of the app: `g-devs` gives `devs`.
pub(crate) fn policy(change: impl FnOnce(&mut Policy)) -> Arc<Policy> {
    let mut model = Model::rest();
    "group".clone_into(&mut model.roles_as);
    model.verbs.insert(Verb::Members("group".to_owned(), MemberVerb::Add), Vec::new());
    let map = ["devs", "ops", "web"].map(|group| (Glob::new(format!("g-{group}")), group.to_owned())).to_vec();
    let mut policy = Policy {
        name: "wiki".into(),
        file: "policies/wiki.toml".into(),
        revision: "r1".into(),
        title: "Wiki".into(),
        host: "wiki.example.com".into(),
        upstream: Upstream { tls: false, host: "127.0.0.1".into(), port: 1, connect_timeout_ms: 1, response_timeout_ms: 1 },
        login: Login { landing_new: Some(landing("/welcome")), landing_existing: Some(landing("/mine")), ..Login::default() },
        access: Gate::default(),
        login_place: String::new(),
        access_place: String::new(),
        contact: None,
        help: None,
        paths: PathSections::default(),
        messages: messages::Messages::default(),
        encoded_slashes: EncodedSlashes::Refuse,
        bearer: None,
        user: UserMapping {
            name: first(&["{username}"]),
            email: first(&["{lower(email)}"]),
            display: first(&["{name}"]),
            extra: Vec::new(),
            required: Vec::new(),
            name_max: None,
            omit: Vec::new(),
            on_collision: OnCollision::Refuse,
            on_suspect: OnSuspect::Refuse,
        },
        roles: Some(Roles { map, pick: Pick::All, order: Vec::new(), default: None, sync: Sync::Login, required: false }),
        orgs: Vec::new(),
        vars: Map::new(),
        provision: Some(Provision {
            connector: Arc::new(model),
            url: "http://127.0.0.1:1/".parse().unwrap(),
            credential: Credential::default(),
            settings: Map::new(),
            on_existing: OnExisting::Refuse,
            match_by: Vec::new(),
            switches: Switches::default(),
            leavers: Leavers::default(),
            freshness: Freshness::default(),
            drift: Drift::default(),
            timeout_ms: 1000,
            retries: 2,
            steps: None,
            initial_password: vestibule::connector::model::InitialPassword::None,
            tls: None,
            concurrency: 8,
            rate: None,
        }),
        headers: vec![
            Header {
                name: http::HeaderName::from_static("x-user"),
                written: "X-User".into(),
                value: first(&["{user.name}"]),
                encoding: Encoding::Utf8,
            },
            Header {
                name: http::HeaderName::from_static("x-email"),
                written: "X-Email".into(),
                value: first(&["{user.email}"]),
                encoding: Encoding::Utf8,
            },
        ],
        secret_headers: Vec::new(),
        jwt: None,
        sign_in: SignIn::default(),
        tests: Vec::new(),
    };
    change(&mut policy);
    Arc::new(policy)
}

pub(crate) fn linking(by: &[MatchBy], on_existing: OnExisting) -> Arc<Policy> {
    policy(|policy| {
        let provision = policy.provision.as_mut().unwrap();
        (provision.match_by, provision.on_existing) = (by.to_vec(), on_existing);
    })
}

/// Whose record it is that `person(subject, …)` has at `app`.
pub(crate) fn key_at(app: &str, subject: &str) -> AccountKey {
    AccountKey { upstream: app.into(), subject: SubjectId { issuer: "https://idp.example".into(), subject: subject.into() } }
}

pub(crate) fn person(subject: &str, username: &str, groups: &[&str]) -> Identity {
    Identity {
        subject: SubjectId { issuer: "https://idp.example".into(), subject: subject.into() },
        idp: "corp".into(),
        email: Some(format!("{subject}@example.com")),
        email_verified: true,
        name: Some(subject.to_owned()),
        given_name: None,
        family_name: None,
        username: Some(username.to_owned()),
        groups: Groups::Known(groups.iter().map(|&group| group.to_owned()).collect()),
        claims: Map::new(),
    }
}

pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) store: Arc<Watched>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) app: Arc<App>,
    pub(crate) reaper: Arc<Reaper>,
    pub(crate) signer: Arc<Says>,
    pub(crate) slept_ms: Arc<AtomicU64>,
    pub(crate) counted: Arc<Counted>,
    sessions: LiveSessions,
    people: AtomicU64,
    pub(crate) desk: Arc<Desk>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap()).await
    }

    /// As [`Self::new`], in memory where this machine has a folder there: for tests that need hundreds of worlds.
    pub(crate) async fn quick() -> Self {
        Self::in_folder(tempfile::tempdir_in("/dev/shm").or_else(|_none| tempfile::tempdir()).unwrap()).await
    }

    async fn in_folder(folder: tempfile::TempDir) -> Self {
        let store = Arc::new(open(folder.path()).await);
        let clock = Arc::new(ManualClock::new(T0));
        let limits = config::Session { idle_ms: 400 * 3_600_000, max_ms: 400 * 3_600_000, cookie: "c".into(), same_site: "Lax" };
        let sessions = LiveSessions::new(store.clone(), clock.clone(), limits);
        let reaper = Arc::new(Reaper::default());
        let store = Arc::new(Watched { inner: store, reads: AtomicU64::new(0), reaper: reaper.clone() });
        let app = Arc::new(App { reaper: reaper.clone(), ..App::default() });
        let (signer, slept_ms) = (Arc::new(Says::default()), Arc::new(AtomicU64::new(0)));
        let counted = Arc::new(Counted::default());
        let desk = desk_on(&tokio::runtime::Handle::current(), "gateway-1", &store, &clock, &app, &signer, &slept_ms, &counted);
        Self { _folder: folder, store, clock, app, reaper, signer, slept_ms, counted, sessions, people: AtomicU64::new(0), desk }
    }

    /// Another gateway on the same store, or the same one after a restart.
    pub(crate) fn another(&self, runtime: &tokio::runtime::Handle, owner: &str) -> Arc<Desk> {
        desk_on(runtime, owner, &self.store, &self.clock, &self.app, &self.signer, &self.slept_ms, &self.counted)
    }

    /// As [`Self::another`], with a connector, a way to wait and dice of its own.
    pub(crate) fn another_with(&self, owner: &str, dice: u64, connector: Arc<dyn Connector>, sleeper: Arc<dyn Sleeper>) -> Arc<Desk> {
        let runtime = tokio::runtime::Handle::current();
        let parts = parts(&runtime, owner, &self.store, &self.clock, &self.signer, &self.slept_ms, &self.counted);
        let desk = Desk::new(Parts { entropy: Arc::new(SeededEntropy::new(dice)), sleeper, ..parts });
        desk.install(HashMap::from([("wiki".to_owned(), connector)]));
        desk
    }

    pub(crate) async fn session(&self, identity: &Identity) -> Arc<AppSession> {
        let n = self.people.fetch_add(1, Ordering::SeqCst);
        let now = self.clock.now();
        let id = SignOnId(u128::from(n).to_be_bytes());
        let sign_on = SignOn {
            id,
            identity: identity.clone(),
            auth_time: now,
            created_at: now,
            last_seen: now,
            expires_at: now.plus_ms(400 * 3_600_000),
            id_token: None,
            idp_session: None,
        };
        self.sessions.begin_sign_on(hash(&format!("auth-{n}")), sign_on).await.unwrap();
        self.sessions.begin_app_session(hash(&format!("app-{n}")), id, "wiki").await.unwrap().unwrap()
    }

    pub(crate) async fn ensure(&self, session: &Arc<AppSession>, policy: &Arc<Policy>) -> Ensured {
        self.desk.ensure(session, policy, Incident::from_bytes([1; 5]), Asking::page(20_000)).await
    }

    /// Another desk on the same store, where nobody who is known waits.
    pub(crate) fn hurried(&self, runtime: &tokio::runtime::Handle) -> Arc<Desk> {
        let parts = parts(runtime, "hurried", &self.store, &self.clock, &self.signer, &self.slept_ms, &self.counted);
        installed(Desk::new(Parts { times: Times::default(), ..parts }), &self.app)
    }

    /// As [`Self::ensure`], at another desk.
    pub(crate) async fn ensure_at(&self, desk: &Arc<Desk>, session: &Arc<AppSession>, policy: &Arc<Policy>) -> Ensured {
        desk.ensure(session, policy, Incident::from_bytes([1; 5]), Asking::page(20_000)).await
    }

    /// Where sign-ins are recorded.
    pub(crate) fn sign_ins(&self) -> Arc<dyn SignInStore> {
        self.store.inner.clone()
    }

    /// As [`Self::ensure`], by a program.
    pub(crate) async fn ensure_by_program(&self, session: &Arc<AppSession>, policy: &Arc<Policy>) -> Ensured {
        self.desk.ensure(session, policy, Incident::from_bytes([1; 5]), Asking::program(20_000)).await
    }

    /// Once `people` have asked for a pass since the beginning, lets a slow app answer.
    pub(crate) async fn release_after(&self, people: u64) {
        while self.app.all_calls() == 0 || self.store.reads.load(Ordering::SeqCst) < people {
            tokio::task::yield_now().await;
        }
        self.app.slow.store(false, Ordering::SeqCst);
        self.app.go.notify_waiters();
    }

    /// Signs in and asks for a pass.
    pub(crate) async fn sign_in(&self, identity: &Identity, policy: &Arc<Policy>) -> Ensured {
        self.ensure(&self.session(identity).await, policy).await
    }

    pub(crate) async fn record(&self, subject: &str) -> Option<AccountRecord> {
        self.store.account(&key_at("wiki", subject)).await.unwrap()
    }
}

#[expect(clippy::too_many_arguments, reason = "what a world is made of")]
fn desk_on(
    runtime: &tokio::runtime::Handle,
    owner: &str,
    store: &Arc<Watched>,
    clock: &Arc<ManualClock>,
    app: &Arc<App>,
    signer: &Arc<Says>,
    slept_ms: &Arc<AtomicU64>,
    counted: &Arc<Counted>,
) -> Arc<Desk> {
    installed(Desk::new(parts(runtime, owner, store, clock, signer, slept_ms, counted)), app)
}

fn installed(desk: Arc<Desk>, app: &Arc<App>) -> Arc<Desk> {
    desk.install(HashMap::from([("wiki".to_owned(), app.clone() as Arc<dyn Connector>)]));
    desk
}

fn parts(
    runtime: &tokio::runtime::Handle,
    owner: &str,
    store: &Arc<Watched>,
    clock: &Arc<ManualClock>,
    signer: &Arc<Says>,
    slept_ms: &Arc<AtomicU64>,
    counted: &Arc<Counted>,
) -> Parts {
    Parts {
        accounts: store.clone(),
        secrets: store.inner.clone(),
        signer: signer.clone(),
        clock: clock.clone(),
        owner: owner.to_owned(),
        entropy: Arc::new(SeededEntropy::new(7)),
        sleeper: Arc::new(Skip(clock.clone(), slept_ms.clone())),
        runtime: runtime.clone(),
        meter: counted.clone(),
        times: Times { known_hold_ms: 20_000, ..Times::default() },
    }
}

pub(crate) fn ready(ensured: &Ensured) -> Arc<Pass> {
    match ensured {
        Ensured::Ready(pass) => Arc::clone(pass),
        Ensured::Working | Ensured::Refused(_) => panic!("not ready: {ensured:?}"),
    }
}

pub(crate) fn refused(ensured: &Ensured) -> PublicMessage {
    match ensured {
        Ensured::Refused(message) => *message,
        Ensured::Working | Ensured::Ready(_) => panic!("not refused: {ensured:?}"),
    }
}

pub(crate) fn header(pass: &Pass, name: &str) -> Option<String> {
    pass.headers.iter().find(|(is, _)| is.as_str() == name).map(|(_, value)| String::from_utf8(value.as_bytes().to_vec()).unwrap())
}
