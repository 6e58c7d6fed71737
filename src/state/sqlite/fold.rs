//! Folding the write-ahead log into the file, beside the people.
//!
//! Lives here: [`Store::fold`]. Left to itself, SQLite folds within the commit that finds a thousand pages in the log, and that commit waits for the disk, several
//! times: one sign-in in eight, ten milliseconds and more on an ordinary disk. A connection of its own does it instead, while writers go on. Should nobody
//! call it, or should it never come to the end of the log because writers never rest, the log is folded by a commit after all, when it is eight times as long.

use super::{Store, unavailable};
use crate::state::StoreError;
use sqlx::Row as _;

/// Pages in the log (of 4 KiB) from which on a commit folds it itself.
pub(super) const LOG_PAGES_MAX: &str = "8000";

impl Store {
    /// Folds what is in the write-ahead log into the file, as far as it can without holding anybody up, and has it reach the disk. Free when there is nothing.
    /// Gives the pages that stay: someone reads or writes them at the moment.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: no space, or a fault of the disk. Nothing is lost: what was committed stays in the log.
    pub async fn fold(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("pragma wal_checkpoint(passive)").fetch_one(&self.folder).await.map_err(unavailable)?;
        let pages = |column: usize| row.try_get::<i64, _>(column).map_err(unavailable);
        // Columns are: busy, pages in the log, pages folded; -1 where there is no log.
        Ok(u64::try_from(pages(1)?.saturating_sub(pages(2)?)).unwrap_or(0))
    }
}
