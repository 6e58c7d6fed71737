//! Account records that nobody keeps.
//!
//! Lives here: [`Records`], an account store in memory, for one rehearsal or a row of them. It keeps the rule that matters for what would happen: no two people
//! of one application own the same account or login. Leases are always to be had, because nobody else is there.

use crate::clock::Timestamp;
use crate::state::{AccountKey, AccountRecord, AccountState, AccountStore, Census, Fence, Lease, PersonSecret, PersonSecretStore, StoreError};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use unicode_normalization::UnicodeNormalization as _;

/// An account store in memory.
#[derive(Debug, Default)]
pub struct Records(Mutex<BTreeMap<AccountKey, AccountRecord>>);

impl Records {
    /// A store that begins with `records`.
    pub fn with(records: impl IntoIterator<Item = AccountRecord>) -> Self {
        Self(Mutex::new(records.into_iter().map(|record| (record.key.clone(), record)).collect()))
    }

    /// The record of `key` as it is now.
    pub fn record(&self, key: &AccountKey) -> Option<AccountRecord> {
        self.records().get(key).cloned()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<AccountKey, AccountRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl AccountStore for Records {
    async fn account(&self, key: &AccountKey) -> Result<Option<AccountRecord>, StoreError> {
        Ok(self.record(key))
    }

    async fn lease(&self, key: &AccountKey, _owner: &str, _now: Timestamp, _until: Timestamp) -> Result<Lease, StoreError> {
        Ok(Lease::Held(Fence(1), self.record(key)))
    }

    async fn save(&self, record: &AccountRecord, _fence: Fence) -> Result<(), StoreError> {
        let mut records = self.records();
        let folded = record.login.as_deref().map(folded);
        let clashes = records.values().filter(|other| other.key != record.key && other.key.upstream == record.key.upstream).any(|other| {
            let same_id = record.account_id.is_some() && other.account_id == record.account_id;
            same_id || (folded.is_some() && other.login.as_deref().map(self::folded) == folded)
        });
        if clashes {
            return Err(StoreError::OwnedByAnother);
        }
        records.insert(record.key.clone(), record.clone());
        Ok(())
    }

    async fn save_within(&self, record: &AccountRecord, fence: Fence, seats: u64) -> Result<bool, StoreError> {
        let others = self
            .records()
            .values()
            .filter(|other| other.key != record.key && other.key.upstream == record.key.upstream && other.takes_a_seat())
            .count();
        if u64::try_from(others).unwrap_or(u64::MAX) >= seats {
            return Ok(false);
        }
        self.save(record, fence).await.map(|()| true)
    }

    async fn forget(&self, key: &AccountKey, _fence: Fence) -> Result<(), StoreError> {
        self.records().remove(key);
        Ok(())
    }

    async fn owner_of_login(&self, upstream: &str, login: &str) -> Result<Option<AccountKey>, StoreError> {
        let login = folded(login);
        let is_it = |record: &&AccountRecord| record.key.upstream == upstream && record.login.as_deref().map(folded).as_deref() == Some(&login);
        Ok(self.records().values().find(is_it).map(|record| record.key.clone()))
    }

    async fn accounts_after(&self, upstream: Option<&str>, after: Option<&AccountKey>, limit: u32) -> Result<Vec<AccountRecord>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_meant =
            |record: &&AccountRecord| upstream.is_none_or(|name| name == record.key.upstream) && after.is_none_or(|after| record.key > *after);
        Ok(self.records().values().filter(is_meant).take(limit).cloned().collect())
    }

    /// Nobody counts what nobody keeps.
    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        Ok(Vec::new())
    }

    async fn release(&self, _key: &AccountKey, _fence: Fence) -> Result<(), StoreError> {
        Ok(())
    }

    /// Nobody leaves while a rehearsal lasts.
    async fn accounts_in(
        &self,
        _upstream: &str,
        _state: AccountState,
        _since: Option<Timestamp>,
        _after: Option<&AccountKey>,
        _limit: u32,
    ) -> Result<Vec<AccountRecord>, StoreError> {
        Ok(Vec::new())
    }

    async fn note_uses(&self, _uses: &[(AccountKey, Timestamp)]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn last_use(&self, _key: &AccountKey) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn uses_since(&self, _upstream: &str, now: Timestamp) -> Result<Timestamp, StoreError> {
        Ok(now)
    }
}

/// Nobody is signed in at an app for a rehearsal.
#[async_trait]
impl PersonSecretStore for Records {
    async fn person_secret(&self, _key: &AccountKey) -> Result<Option<PersonSecret>, StoreError> {
        Ok(None)
    }

    async fn put_person_secret(&self, _key: &AccountKey, _instead_of: Option<[u8; 16]>, _secret: &PersonSecret) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn person_secret_proven(&self, _key: &AccountKey, _tag: [u8; 16], _at: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn drop_person_secret(&self, _key: &AccountKey) -> Result<(), StoreError> {
        Ok(())
    }
}

/// As the real store folds logins.
fn folded(login: &str) -> String {
    login.nfc().flat_map(char::to_lowercase).collect()
}
