//! The people that an application knows.
//!
//! Lives here: [`People`], whoever can list them, and [`Recorded`], which does so from the gateway's own records: everybody with an account record at the application,
//! as of their last recorded sign-in. Reads only.

use crate::identity::Identity;
use crate::state::{AccountKey, AccountRecord, Store, StoreError, newest_of_each};
use async_trait::async_trait;
use std::sync::Arc;

/// Records read at once.
const PAGE: u32 = 500;

/// Somebody an application knows.
#[derive(Debug, Clone)]
pub struct Known {
    /// As of their last sign-in.
    pub identity: Identity,
    /// The gateway's record of their account.
    pub record: Option<AccountRecord>,
}

/// Everybody an application knows.
#[derive(Debug, Clone, Default)]
pub struct Everybody {
    /// Those of whom a sign-in is recorded.
    pub people: Vec<Known>,
    /// Records of the application, those of people whose sign-in is not recorded (any more) among them.
    pub records: Vec<AccountRecord>,
    /// How many have a record and no recorded sign-in: nobody can say what they are today.
    pub unseen: usize,
}

/// Whoever can list the people of an application.
#[async_trait]
pub trait People: Send + Sync + std::fmt::Debug {
    /// Everybody that the gateway has seen at `app`, a policy's name.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn everybody(&self, app: &str) -> Result<Everybody, StoreError>;
    /// Those who were asserted with this address, each with their record at `app`; several people may share one.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn by_email(&self, app: &str, email: &str) -> Result<Vec<Known>, StoreError>;
    /// Every record at `app`: seats are counted by them, and no two people own one account.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn records(&self, app: &str) -> Result<Vec<AccountRecord>, StoreError>;
}

/// People of the gateway's own records.
#[derive(Debug, Clone)]
pub struct Recorded(pub Arc<dyn Store>);

#[async_trait]
impl People for Recorded {
    async fn records(&self, app: &str) -> Result<Vec<AccountRecord>, StoreError> {
        let mut records: Vec<AccountRecord> = Vec::new();
        loop {
            let after = records.last().map(|record| record.key.clone());
            let page = self.0.accounts_after(Some(app), after.as_ref(), PAGE).await?;
            let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            records.extend(page);
            if is_last {
                return Ok(records);
            }
        }
    }

    async fn everybody(&self, app: &str) -> Result<Everybody, StoreError> {
        let records = self.records(app).await?;
        let mut people = Vec::new();
        for sign_in in newest_of_each(self.0.all().await?) {
            let theirs = records.iter().find(|record| record.key.subject == sign_in.identity.subject);
            people.extend(theirs.map(|record| Known { identity: sign_in.identity.clone(), record: Some(record.clone()) }));
        }
        // In the order of their records, which does not change when somebody signs in.
        people.sort_by(|a, b| a.identity.subject.cmp(&b.identity.subject));
        Ok(Everybody { unseen: records.len().saturating_sub(people.len()), people, records })
    }

    async fn by_email(&self, app: &str, email: &str) -> Result<Vec<Known>, StoreError> {
        let mut known = Vec::new();
        for sign_in in newest_of_each(self.0.last_by_email(email).await?) {
            let key = AccountKey { upstream: app.to_owned(), subject: sign_in.identity.subject.clone() };
            known.push(Known { record: self.0.account(&key).await?, identity: sign_in.identity });
        }
        Ok(known)
    }
}
