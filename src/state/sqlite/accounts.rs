//! Account records in SQLite.
//!
//! Lives here: `impl AccountStore for Store`. A lease is a column of the row and a fence that only ever grows: taking, stealing and giving back each move it,
//! so whoever wrote under an older one is refused (`reference/provisioning.md` 4.4).

use super::sessions::described;
use super::{Store, garbled, unavailable};
use crate::clock::Timestamp;
use crate::identity::SubjectId;
use crate::state::seal::Purpose;
use crate::state::{AccountKey, AccountRecord, AccountState, AccountStore, Census, Fence, Lease, PersonSecretStore as _, StoreError};
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// How often to ask again when a lease was given back between finding it held and reading until when.
const LEASE_TRIES: usize = 8;

#[async_trait]
impl AccountStore for Store {
    async fn account(&self, key: &AccountKey) -> Result<Option<AccountRecord>, StoreError> {
        let found = sqlx::query("select * from account where upstream = $1 and issuer = $2 and subject = $3 and state is not null");
        let found = found.bind(key.upstream.as_str()).bind(key.subject.issuer.as_str()).bind(key.subject.subject.as_str());
        match self.look_up(found).await.map_err(unavailable)? {
            Some(row) => self.record_from(&row),
            None => Ok(None),
        }
    }

    async fn lease(&self, key: &AccountKey, owner: &str, now: Timestamp, until: Timestamp) -> Result<Lease, StoreError> {
        for _ in 0..LEASE_TRIES {
            // The same owner asking again gets a new fence: it renews, or it was killed and has come back. Its older self is fenced off.
            let taken = sqlx::query(
                "insert into account (upstream, issuer, subject, lease_owner, lease_until, leased_at, fence) values ($1, $2, $3, $4, $5, $6, 1)
                 on conflict (upstream, issuer, subject) do update
                 set lease_owner = excluded.lease_owner, lease_until = excluded.lease_until, leased_at = excluded.leased_at, fence = account.fence + 1
                 where account.lease_until is null or account.lease_until <= $6 or account.lease_owner = $4
                 returning *",
            );
            let taken = taken
                .bind(key.upstream.as_str())
                .bind(key.subject.issuer.as_str())
                .bind(key.subject.subject.as_str())
                .bind(owner)
                .bind(until.millis())
                .bind(now.millis());
            if let Some(row) = taken.fetch_optional(&self.writer).await.map_err(unavailable)? {
                let fence = Fence(row.try_get("fence").map_err(unavailable)?);
                return Ok(Lease::Held(fence, self.record_from(&row)?));
            }
            let held = sqlx::query_scalar("select lease_until from account where upstream = $1 and issuer = $2 and subject = $3");
            let held = held.bind(key.upstream.as_str()).bind(key.subject.issuer.as_str()).bind(key.subject.subject.as_str());
            let held: Option<Option<i64>> = held.fetch_optional(&self.readers).await.map_err(unavailable)?;
            if let Some(until) = held.flatten() {
                return Ok(Lease::Busy(Timestamp::from_millis(until)));
            }
        }
        // Given back each time we looked, and taken again before we could: somebody is at it.
        Ok(Lease::Busy(now))
    }

    async fn save(&self, record: &AccountRecord, fence: Fence) -> Result<(), StoreError> {
        if self.write(record, fence, None).await? { Ok(()) } else { Err(StoreError::Fenced) }
    }

    async fn save_within(&self, record: &AccountRecord, fence: Fence, seats: u64) -> Result<bool, StoreError> {
        if self.write(record, fence, Some(seats)).await? {
            return Ok(true);
        }
        // Nothing written: no seat, or no lease.
        let key = &record.key;
        let held = sqlx::query_scalar("select fence from account where upstream = $1 and issuer = $2 and subject = $3");
        let held = held.bind(key.upstream.as_str()).bind(key.subject.issuer.as_str()).bind(key.subject.subject.as_str());
        let held: Option<i64> = held.fetch_optional(&self.writer).await.map_err(unavailable)?;
        if held == Some(fence.0) { Ok(false) } else { Err(StoreError::Fenced) }
    }

    async fn forget(&self, key: &AccountKey, fence: Fence) -> Result<(), StoreError> {
        self.drop_person_secret(key).await?;
        let unused = sqlx::query("delete from account_use where upstream = $1 and issuer = $2 and subject = $3");
        let unused = unused.bind(key.upstream.as_str()).bind(key.subject.issuer.as_str()).bind(key.subject.subject.as_str());
        unused.execute(&self.writer).await.map_err(unavailable)?;
        let forgotten = sqlx::query(
            "update account set state = null, origin = null, account_id = null, login = null, login_folded = null, applied_sealed = null,
               desired_fp = null, policy_revision = null, in_doubt = null, attempts = 0, last_error = null, verified_at = null, awaiting = null,
               seat_approved_at = null, join_approved_at = null, failed_at = null, seat = 0
             where upstream = $1 and issuer = $2 and subject = $3 and fence = $4",
        );
        let forgotten = forgotten.bind(key.upstream.as_str()).bind(key.subject.issuer.as_str()).bind(key.subject.subject.as_str()).bind(fence.0);
        match forgotten.execute(&self.writer).await.map_err(unavailable)?.rows_affected() {
            1 => Ok(()),
            _ => Err(StoreError::Fenced),
        }
    }

    async fn owner_of_login(&self, upstream: &str, login: &str) -> Result<Option<AccountKey>, StoreError> {
        let owner = sqlx::query("select issuer, subject from account where upstream = $1 and login_folded = $2");
        let Some(row) = owner.bind(upstream).bind(folded(login)).fetch_optional(&self.readers).await.map_err(unavailable)? else { return Ok(None) };
        let text = |column: &str| row.try_get::<String, _>(column).map_err(unavailable);
        let subject = SubjectId { issuer: text("issuer")?, subject: text("subject")? };
        Ok(Some(AccountKey { upstream: upstream.to_owned(), subject }))
    }

    async fn accounts_after(&self, upstream: Option<&str>, after: Option<&AccountKey>, limit: u32) -> Result<Vec<AccountRecord>, StoreError> {
        // Every key comes after three empty texts: a record has a name in each column.
        let (after_upstream, issuer, subject) =
            after.map_or(("", "", ""), |key| (key.upstream.as_str(), key.subject.issuer.as_str(), key.subject.subject.as_str()));
        let rows = sqlx::query(
            "select * from account where state is not null and ($1 is null or upstream = $1) and (upstream, issuer, subject) > ($2, $3, $4)
             order by upstream, issuer, subject limit $5",
        );
        let rows = rows.bind(upstream).bind(after_upstream).bind(issuer).bind(subject).bind(i64::from(limit));
        let rows = rows.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().filter_map(|row| self.record_from(row).transpose()).collect()
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        let rows = sqlx::query(
            "select upstream, state, count(*) as found, min(failed_at) as oldest from account where state is not null group by upstream, state",
        );
        let rows = rows.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter()
            .map(|row| {
                Ok(Census {
                    upstream: row.try_get("upstream").map_err(unavailable)?,
                    state: read_word(row.try_get("state").map_err(unavailable)?)?,
                    count: u64::try_from(row.try_get::<i64, _>("found").map_err(unavailable)?).map_err(garbled)?,
                    oldest_failed_at: row.try_get::<Option<i64>, _>("oldest").map_err(unavailable)?.map(Timestamp::from_millis),
                })
            })
            .collect()
    }

    async fn release(&self, key: &AccountKey, fence: Fence) -> Result<(), StoreError> {
        // The fence moves here too: who has given the lease back must not write under it any more.
        let released = sqlx::query(
            "update account set lease_owner = null, lease_until = null, fence = fence + 1
             where upstream = $1 and issuer = $2 and subject = $3 and fence = $4",
        );
        let released = released.bind(key.upstream.as_str()).bind(key.subject.issuer.as_str()).bind(key.subject.subject.as_str()).bind(fence.0);
        match released.execute(&self.writer).await.map_err(unavailable)?.rows_affected() {
            1 => Ok(()),
            _ => Err(StoreError::Fenced),
        }
    }

    async fn accounts_in(&self, upstream: &str, state: AccountState, limit: u32) -> Result<Vec<AccountRecord>, StoreError> {
        let rows = sqlx::query("select * from account where upstream = $1 and state = $2 order by leased_at desc, issuer, subject limit $3");
        let rows = rows.bind(upstream).bind(word(&state)?).bind(i64::from(limit)).fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().filter_map(|row| self.record_from(row).transpose()).collect()
    }

    async fn note_uses(&self, uses: &[(AccountKey, Timestamp)]) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("begin immediate").await.map_err(unavailable)?;
        for (key, at) in uses {
            let noted = sqlx::query(
                "insert into account_use (upstream, issuer, subject, used_at) values ($1, $2, $3, $4)
                 on conflict (upstream, issuer, subject) do update set used_at = excluded.used_at where account_use.used_at < excluded.used_at",
            );
            let noted = noted.bind(key.upstream.as_str()).bind(key.subject.issuer.as_str()).bind(key.subject.subject.as_str()).bind(at.millis());
            noted.execute(&mut *transaction).await.map_err(unavailable)?;
        }
        transaction.commit().await.map_err(unavailable)
    }

    async fn last_use(&self, key: &AccountKey) -> Result<Option<Timestamp>, StoreError> {
        let used = sqlx::query_scalar("select used_at from account_use where upstream = $1 and issuer = $2 and subject = $3");
        let used = used.bind(key.upstream.as_str()).bind(key.subject.issuer.as_str()).bind(key.subject.subject.as_str());
        let used: Option<i64> = used.fetch_optional(&self.readers).await.map_err(unavailable)?;
        Ok(used.map(Timestamp::from_millis))
    }

    async fn uses_since(&self, upstream: &str, now: Timestamp) -> Result<Timestamp, StoreError> {
        let nobody = AccountKey { upstream: upstream.to_owned(), subject: SubjectId { issuer: String::new(), subject: String::new() } };
        if let Some(since) = self.last_use(&nobody).await? {
            return Ok(since);
        }
        let begun = sqlx::query("insert into account_use (upstream, issuer, subject, used_at) values ($1, '', '', $2) on conflict do nothing");
        begun.bind(upstream).bind(now.millis()).execute(&self.writer).await.map_err(unavailable)?;
        Ok(self.last_use(&nobody).await?.unwrap_or(now))
    }
}

impl Store {
    /// One row, on the connection that is kept for that, or another one while it is at work.
    async fn look_up(&self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<Option<SqliteRow>, sqlx::Error> {
        let Ok(mut kept) = self.lookup.try_lock() else { return query.fetch_optional(&self.readers).await };
        let Some(connection) = kept.as_mut() else { return query.fetch_optional(&self.readers).await };
        let found = query.fetch_optional(connection).await;
        if matches!(found, Err(sqlx::Error::WorkerCrashed)) {
            *kept = None;
        }
        found
    }

    /// Writes the record under its fence; false when no row had it, or when `seats` others have a seat.
    async fn write(&self, record: &AccountRecord, fence: Fence, seats: Option<u64>) -> Result<bool, StoreError> {
        let key = &record.key;
        // First: should this not be written after all, they are given another one.
        if record.account_id.is_none() || record.state.has_left() {
            self.drop_person_secret(key).await?;
        }
        let plain = Zeroizing::new(serde_json::to_vec(&record.applied).map_err(garbled)?);
        let applied = self.sealer.seal(Purpose::Applied, &row_name(key)?, &plain)?;
        let saved = sqlx::query(
            "update account set state = $1, origin = $2, account_id = $3, login = $4, login_folded = $5, applied_sealed = $6, desired_fp = $7,
               policy_revision = $8, in_doubt = $9, attempts = $10, last_error = $11, verified_at = $12, awaiting = $17, seat_approved_at = $18,
               join_approved_at = $22, failed_at = $19, seat = $20
             where upstream = $13 and issuer = $14 and subject = $15 and fence = $16
               and ($21 is null or $21 > (select count(*) from account as other
                 where other.upstream = $13 and other.seat = 1 and not (other.issuer = $14 and other.subject = $15)))",
        );
        let saved = saved
            .bind(word(&record.state)?)
            .bind(record.origin.as_ref().map(word).transpose()?)
            .bind(record.account_id.as_deref())
            .bind(record.login.as_deref())
            .bind(record.login.as_deref().map(folded))
            .bind(applied)
            .bind(record.desired_fp.as_deref())
            .bind(record.policy_revision.as_str())
            .bind(record.in_doubt.as_deref())
            .bind(i64::from(record.attempts))
            .bind(record.last_error.as_deref())
            .bind(record.verified_at.map(Timestamp::millis))
            .bind(key.upstream.as_str())
            .bind(key.subject.issuer.as_str())
            .bind(key.subject.subject.as_str())
            .bind(fence.0)
            .bind(record.awaiting.as_ref().map(word).transpose()?)
            .bind(record.seat_approved_at.map(Timestamp::millis))
            .bind(record.failed_at.map(Timestamp::millis))
            .bind(i64::from(record.takes_a_seat()))
            .bind(seats.map(|seats| i64::try_from(seats).unwrap_or(i64::MAX)))
            .bind(record.join_approved_at.map(Timestamp::millis));
        match saved.execute(&self.writer).await {
            Ok(done) => Ok(done.rows_affected() == 1),
            Err(error) if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) => Err(StoreError::OwnedByAnother),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// `None` while the row holds nothing but a lease.
    fn record_from(&self, row: &SqliteRow) -> Result<Option<AccountRecord>, StoreError> {
        let text = |column: &str| row.try_get::<Option<String>, _>(column).map_err(unavailable);
        let needed = |column: &str| text(column)?.ok_or_else(|| garbled(format!("column {column} is empty")));
        let Some(state) = text("state")? else { return Ok(None) };
        let key = AccountKey { upstream: needed("upstream")?, subject: SubjectId { issuer: needed("issuer")?, subject: needed("subject")? } };
        let sealed: Vec<u8> = row.try_get("applied_sealed").map_err(unavailable)?;
        let plain = self.sealer.open(Purpose::Applied, &row_name(&key)?, &sealed)?;
        let moment = |column: &str| row.try_get::<Option<i64>, _>(column).map(|ms| ms.map(Timestamp::from_millis)).map_err(unavailable);
        Ok(Some(AccountRecord {
            key,
            state: read_word(state)?,
            origin: text("origin")?.map(read_word).transpose()?,
            account_id: text("account_id")?,
            login: text("login")?,
            applied: serde_json::from_slice(&plain).map_err(|error| garbled(described(&error)))?,
            desired_fp: text("desired_fp")?,
            policy_revision: needed("policy_revision")?,
            in_doubt: text("in_doubt")?,
            attempts: u32::try_from(row.try_get::<i64, _>("attempts").map_err(unavailable)?).map_err(garbled)?,
            last_error: text("last_error")?,
            verified_at: moment("verified_at")?,
            awaiting: text("awaiting")?.map(read_word).transpose()?,
            seat_approved_at: moment("seat_approved_at")?,
            join_approved_at: moment("join_approved_at")?,
            failed_at: moment("failed_at")?,
        }))
    }
}

/// Logins that differ in case or in how an accent is composed are one account at most apps.
fn folded(login: &str) -> String {
    login.nfc().flat_map(char::to_lowercase).collect()
}

/// The primary key as bytes that no other key has: a JSON list.
pub(super) fn row_name(key: &AccountKey) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(&[&key.upstream, &key.subject.issuer, &key.subject.subject]).map_err(garbled)
}

/// An enum without fields as the one word that serde gives it.
fn word(value: &impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(value).map_err(garbled)? {
        Value::String(word) => Ok(word),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(garbled(format!("{other} is not a word")))
        }
    }
}

fn read_word<T: DeserializeOwned>(word: String) -> Result<T, StoreError> {
    serde_json::from_value(Value::String(word)).map_err(garbled)
}

#[cfg(test)]
mod tests {
    use super::{folded, row_name};
    use crate::identity::SubjectId;
    use crate::state::AccountKey;

    #[test]
    fn logins_that_apps_confuse_fold_to_one() {
        for (a, b) in [("Ada", "aDA"), ("JOS\u{c9}", "jose\u{301}"), ("\u{3a3}", "\u{3c3}")] {
            assert_eq!(folded(a), folded(b));
        }
        assert_ne!(folded("ada"), folded("ada "));
        assert_ne!(folded("ada"), folded("a.da"));
    }

    #[test]
    fn no_two_keys_have_one_row_name() {
        let name = |upstream: &str, issuer: &str, subject: &str| {
            let subject = SubjectId { issuer: issuer.to_owned(), subject: subject.to_owned() };
            row_name(&AccountKey { upstream: upstream.to_owned(), subject }).unwrap()
        };
        assert_ne!(name("a", "b", "c"), name("a", "bc", ""));
        assert_ne!(name("a\",\"b", "c", ""), name("a", "b", "c"));
    }
}
