//! What an app has that nobody answers for: one list of its accounts against our records.
//!
//! Lives here: [`Desk::take_stock`] and what it finds, [`Stock`]. Apart from `reconcile.rs` because that goes through the people on record, and this through the accounts
//! at the app. It only looks: an account that no record has is somebody else's affair, whatever it may do there, and is told and left alone.

use super::ledger::{Doubt, external_id};
use super::linking::MARK;
use super::{Counter, Desk};
use crate::clock::Timestamp;
use crate::connector::model::{Fold, Verb};
use crate::connector::{Outcome, PageMark, Trouble};
use crate::plan::Account;
use crate::policy::Policy;
use crate::state::{AccountKey, AccountRecord, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Records read at a time.
const PAGE: u32 = 500;
/// Accounts of a kind that are called by name.
const NAMED_MAX: usize = 20;
/// Accounts of an app that are looked through.
const ACCOUNTS_MAX: usize = 1_000_000;

/// An app's accounts against our records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stock {
    /// Accounts at the app.
    pub accounts: u64,
    /// Of which no record has one: somebody made them by hand, or something else did.
    pub unmanaged: u64,
    /// Of those, administrators' that `protect` does not name either.
    pub privileged: Kind,
    /// Of those, the ones that carry this gateway's mark: it made them, and their record was lost, forgotten, or is another account's.
    pub orphaned: Kind,
    /// Accounts on record that are not in the list.
    pub vanished: Kind,
}

/// Accounts of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kind {
    /// How many.
    pub count: u64,
    /// The first few: `login (id)`.
    pub named: Vec<String>,
}

impl Kind {
    fn note(&mut self, login: &str, id: &str) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(format!("{} ({})", login.escape_debug(), id.escape_debug()));
        }
    }
}

/// Why there is no stock.
#[derive(Debug, thiserror::Error)]
pub enum StockError {
    /// The app's list did not come, or not to its end.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Desk {
    /// Lists the accounts at the app of `policy`, and says which of them no record has, and which of the recorded ones are not there; `None`: the app cannot be listed, or
    /// its admin API is left alone at this moment. Told to auditors. Changes nothing.
    ///
    /// # Errors
    /// [`StockError`]: half a list says nothing.
    pub async fn take_stock(&self, policy: &Policy) -> Result<Option<Stock>, StockError> {
        let Some(provision) = &policy.provision else { return Ok(None) };
        let Some(counter) = self.counter_of(policy).filter(|counter| counter.quiet.can(&Verb::List) && !counter.closed()) else {
            return Ok(None);
        };
        // The list first: whoever is given an account while it is read has a record by then.
        let listed = match all_accounts(&counter).await {
            Err(trouble) if trouble.outcome == Outcome::Unsupported => return Ok(None),
            listed => listed?,
        };
        let known = self.on_record(&policy.name, provision.connector.identity.fold).await?;
        let mut stock = Stock { accounts: u64::try_from(listed.len()).unwrap_or(u64::MAX), ..Stock::default() };
        for account in listed.iter().filter(|account| !known.has(account)) {
            stock.unmanaged += 1;
            if account.external_id.as_deref().is_some_and(|id| id.starts_with(MARK)) {
                stock.orphaned.note(&account.login, &account.id);
            }
            if account.admin && !provision.switches.protects_login(&account.login) {
                stock.privileged.note(&account.login, &account.id);
            }
        }
        let here = Names::of(&listed, provision.connector.identity.fold);
        for (id, login) in known.recorded.iter().filter(|(id, login)| !here.has(id, login)) {
            stock.vanished.note(login, id);
        }
        tell(policy, &stock);
        Ok(Some(stock))
    }

    async fn on_record(&self, app: &str, fold: Fold) -> Result<Known, StoreError> {
        let (mut known, mut after): (Known, Option<AccountKey>) = (Known { fold, ..Known::default() }, None);
        let now = self.parts.clock.now();
        loop {
            let page = self.parts.accounts.accounts_after(Some(app), after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(known) };
            after = Some(last.key.clone());
            for record in &page {
                known.note(record, now);
            }
        }
    }
}

/// The whole list, or none.
async fn all_accounts(counter: &Counter) -> Result<Vec<Account>, Trouble> {
    let unending = || Trouble::unsupported("list", "the app has more accounts than are looked through");
    let (mut accounts, mut from): (Vec<Account>, Option<PageMark>) = (Vec::new(), None);
    loop {
        let listing = {
            // A page at a time, so that whoever has left is not kept waiting.
            let Ok(_permit) = counter.background.acquire().await else { return Err(unending()) };
            counter.quiet.list(from.as_ref()).await?
        };
        accounts.extend(listing.accounts.into_iter().map(lean));
        if accounts.len() > ACCOUNTS_MAX {
            return Err(unending());
        }
        match listing.next {
            None => return Ok(accounts),
            next => from = next,
        }
    }
}

/// What is looked at here; a million accounts are kept for a moment.
fn lean(account: Account) -> Account {
    let Account { id, login, external_id, admin, .. } = account;
    Account { id, login, external_id, admin, ..Account::default() }
}

/// What our records say.
#[derive(Debug, Default)]
struct Known {
    fold: Fold,
    ids: HashSet<String>,
    /// Logins of records whose account is not known by an id yet, or that the list shows by login alone.
    logins: HashSet<String>,
    /// Marks of people whose account is just being made.
    making: HashSet<String>,
    /// Id and login of accounts that should be there.
    recorded: Vec<(String, String)>,
}

impl Known {
    fn note(&mut self, record: &AccountRecord, now: Timestamp) {
        let login = record.login.clone().unwrap_or_default();
        if let Some(id) = &record.account_id {
            self.ids.insert(id.clone());
            // Who has left may be gone, and nobody misses them.
            if !record.state.has_left() {
                self.recorded.push((id.clone(), login.clone()));
            }
        } else if matches!(Doubt::read(record), Some(Doubt::Create { at_ms, .. }) if Doubt::is_recent(at_ms, now)) {
            self.making.insert(external_id(&record.key));
        }
        if !login.is_empty() {
            self.logins.insert(self.fold.apply(&login));
        }
    }

    fn has(&self, account: &Account) -> bool {
        let by_login = || self.logins.contains(&self.fold.apply(&account.login));
        let is_being_made = account.external_id.as_ref().is_some_and(|mark| self.making.contains(mark));
        // An id decides where the list shows one; a login that is only reserved is that of an account in the making.
        if account.id.is_empty() { by_login() } else { self.ids.contains(&account.id) || is_being_made }
    }
}

/// What the list shows.
struct Names<'a> {
    ids: HashSet<&'a str>,
    logins: HashSet<String>,
    fold: Fold,
}

impl<'a> Names<'a> {
    fn of(listed: &'a [Account], fold: Fold) -> Self {
        let ids = listed.iter().filter(|account| !account.id.is_empty()).map(|account| account.id.as_str()).collect();
        let without_id = listed.iter().filter(|account| account.id.is_empty());
        Self { ids, logins: without_id.map(|account| fold.apply(&account.login)).collect(), fold }
    }

    fn has(&self, id: &str, login: &str) -> bool {
        self.ids.contains(id) || self.logins.contains(&self.fold.apply(login))
    }
}

/// One event for the app, and one for each account that is called by name.
fn tell(policy: &Policy, stock: &Stock) {
    let (app, file, revision) = (policy.name.as_str(), policy.file.as_str(), policy.revision.as_str());
    tracing::info!(
        target: "audit",
        action = "accounts.listed",
        app,
        accounts = stock.accounts,
        unmanaged = stock.unmanaged,
        privileged = stock.privileged.count,
        orphaned = stock.orphaned.count,
        vanished = stock.vanished.count,
        policy.file = file,
        policy.revision = revision,
    );
    let kinds = [("privileged", &stock.privileged), ("orphaned", &stock.orphaned), ("vanished", &stock.vanished)];
    for (reason, account) in kinds.into_iter().flat_map(|(reason, kind)| kind.named.iter().map(move |account| (reason, account))) {
        tracing::info!(target: "audit", action = "account.unaccounted", app, account.login = account.as_str(), policy.file = file, policy.revision = revision, reason);
    }
}
