//! What people are signed in with at apps that read no header, as a port.
//!
//! Lives here: [`PersonSecretStore`] and its row. Apart from account records because it is a secret of another kind: who has it can sign in as that person at that app.

use super::{AccountKey, StoreError};
use crate::clock::Timestamp;
use async_trait::async_trait;
use secrecy::SecretString;
use std::fmt;

/// What a person is signed in with at an app.
#[derive(Clone)]
pub struct PersonSecret {
    /// Another one whenever the secret is: by it a writer says what it has read.
    pub tag: [u8; 16],
    /// The secret; sealed at rest.
    pub secret: SecretString,
    /// The app's id of the account that it is for; sealed with it.
    pub account_id: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it first let them in; `None`: nobody knows that the app took it.
    pub proven_at: Option<Timestamp>,
}

impl fmt::Debug for PersonSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersonSecret").field("made_at", &self.made_at).field("proven_at", &self.proven_at).finish_non_exhaustive()
    }
}

/// One secret for each person and app at most. A store drops it by itself when the account record is forgotten, says that the person has left, or names no account.
#[async_trait]
pub trait PersonSecretStore: Send + Sync + fmt::Debug {
    /// The secret, if there is one.
    async fn person_secret(&self, key: &AccountKey) -> Result<Option<PersonSecret>, StoreError>;
    /// Keeps `secret` where the one with the tag `instead_of` is, or where there is none; false, and nothing written, when that has changed meanwhile: of several
    /// that were made at once, one is kept, and the others' makers read it.
    async fn put_person_secret(&self, key: &AccountKey, instead_of: Option<[u8; 16]>, secret: &PersonSecret) -> Result<bool, StoreError>;
    /// Writes down that the secret with this tag let the person in; nothing when there is another one by now.
    async fn person_secret_proven(&self, key: &AccountKey, tag: [u8; 16], at: Timestamp) -> Result<(), StoreError>;
    /// Drops the secret.
    async fn drop_person_secret(&self, key: &AccountKey) -> Result<(), StoreError>;
}
