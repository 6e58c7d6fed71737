//! That people come, by token or in a browser, which need not change their record: written down now and then.
//!
//! Lives here: [`Uses`]. Apart from who lets them in because nobody waits for it: a use is noted in memory, and goes to the store with the next look after leavers, once
//! in an hour for each person. What a crash loses is a minute.

use crate::clock::Timestamp;
use crate::state::{AccountKey, AccountStore, StoreError};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A use so long after the one that was written down is written down again, milliseconds.
const EVERY_MS: i64 = 3_600_000;
/// People remembered; beyond that those whose last use is written down are forgotten, and then all are: then somebody is written down twice in an hour.
const REMEMBERED_MAX: usize = 65_536;

/// Who was here lately.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<AccountKey, Use>>);

#[derive(Debug, Clone, Copy)]
struct Use {
    at: Timestamp,
    written: Option<Timestamp>,
}

impl Use {
    fn is_due(&self) -> bool {
        self.written.is_none_or(|written| self.at.since_ms(written) >= EVERY_MS)
    }
}

impl Uses {
    /// This person is here at this moment.
    pub(super) fn note(&self, key: &AccountKey, now: Timestamp) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = uses.get_mut(key) {
            known.at = now;
            return;
        }
        if uses.len() >= REMEMBERED_MAX {
            uses.retain(|_, known| known.is_due());
        }
        if uses.len() < REMEMBERED_MAX {
            uses.insert(key.clone(), Use { at: now, written: None });
        }
    }

    /// Writes down what is due.
    ///
    /// # Errors
    /// The store's: it is due the next time as well.
    pub(super) async fn write(&self, accounts: &dyn AccountStore) -> Result<(), StoreError> {
        let due: Vec<(AccountKey, Timestamp)> = {
            let uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            uses.iter().filter(|(_, known)| known.is_due()).map(|(key, known)| (key.clone(), known.at)).collect()
        };
        if due.is_empty() {
            return Ok(());
        }
        accounts.note_uses(&due).await?;
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, at) in due {
            if let Some(known) = uses.get_mut(&key) {
                known.written = Some(at);
            }
        }
        Ok(())
    }
}
