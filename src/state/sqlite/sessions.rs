//! Sign-ons and app sessions in SQLite.
//!
//! Lives here: `impl SessionStore for Store`. What names a person is sealed with the sign-on's id: a row moved under another id does not open.

use super::{Store, bytes, garbled, time, unavailable};
use crate::clock::Timestamp;
use crate::identity::Identity;
use crate::state::seal::Purpose;
use crate::state::{SecretHash, SessionStore, SignOn, SignOnId, StoreError};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use std::borrow::Cow;
use zeroize::Zeroizing;

/// Sign-ons touched in one transaction, so that a sign-in never waits long for a flush.
const TOUCHED_AT_ONCE: usize = 500;

/// The sealed part of a sign-on.
#[derive(Serialize, Deserialize)]
struct Person<'a> {
    identity: Cow<'a, Identity>,
    id_token: Option<Cow<'a, str>>,
    idp_session: Option<Cow<'a, str>>,
}

#[async_trait]
impl SessionStore for Store {
    async fn create_sign_on(&self, cookie: SecretHash, sign_on: &SignOn) -> Result<(), StoreError> {
        let person = Person {
            identity: Cow::Borrowed(&sign_on.identity),
            id_token: sign_on.id_token.as_deref().map(Cow::Borrowed),
            idp_session: sign_on.idp_session.as_deref().map(Cow::Borrowed),
        };
        let plain = Zeroizing::new(serde_json::to_vec(&person).map_err(garbled)?);
        let sealed = self.sealer.seal(Purpose::SignOn, &sign_on.id.0, &plain)?;
        sqlx::query("insert into sign_on (id, cookie, sealed, auth_time, created_at, last_seen, expires_at) values ($1, $2, $3, $4, $5, $6, $7)")
            .bind(sign_on.id.0.as_slice())
            .bind(cookie.0.as_slice())
            .bind(sealed)
            .bind(sign_on.auth_time.millis())
            .bind(sign_on.created_at.millis())
            .bind(sign_on.last_seen.millis())
            .bind(sign_on.expires_at.millis())
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(unavailable)
    }

    async fn sign_on_by_cookie(&self, cookie: SecretHash) -> Result<Option<SignOn>, StoreError> {
        let found = sqlx::query("select * from sign_on where cookie = $1 and ended_at is null").bind(cookie.0.as_slice());
        found.fetch_optional(&self.readers).await.map_err(unavailable)?.map(|row| self.sign_on_from(&row)).transpose()
    }

    async fn sign_on(&self, id: SignOnId) -> Result<Option<SignOn>, StoreError> {
        let found = sqlx::query("select * from sign_on where id = $1 and ended_at is null").bind(id.0.as_slice());
        found.fetch_optional(&self.readers).await.map_err(unavailable)?.map(|row| self.sign_on_from(&row)).transpose()
    }

    async fn sign_ons_after(&self, after: Option<SignOnId>, limit: u32) -> Result<Vec<SignOn>, StoreError> {
        let found = sqlx::query("select * from sign_on where id > $1 and ended_at is null order by id limit $2");
        // Every id is longer than none.
        let after = after.map_or_else(Vec::new, |id| id.0.to_vec());
        let rows = found.bind(after).bind(i64::from(limit)).fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(|row| self.sign_on_from(row)).collect()
    }

    async fn create_app_session(&self, cookie: SecretHash, sign_on: SignOnId, app: &str, at: Timestamp) -> Result<(), StoreError> {
        // From the live row, so that nothing is hung from a sign-on that has ended or was swept.
        sqlx::query(
            "insert into app_session (cookie, sign_on, app, created_at)
             select $1, id, $2, $3 from sign_on where id = $4 and ended_at is null",
        )
        .bind(cookie.0.as_slice())
        .bind(app)
        .bind(at.millis())
        .bind(sign_on.0.as_slice())
        .execute(&self.writer)
        .await
        .map(drop)
        .map_err(unavailable)
    }

    async fn app_session(&self, cookie: SecretHash) -> Result<Option<(String, SignOn)>, StoreError> {
        let found = sqlx::query(
            "select app_session.app, sign_on.* from app_session join sign_on on sign_on.id = app_session.sign_on
             where app_session.cookie = $1 and sign_on.ended_at is null",
        );
        let Some(row) = found.bind(cookie.0.as_slice()).fetch_optional(&self.readers).await.map_err(unavailable)? else {
            return Ok(None);
        };
        Ok(Some((row.try_get("app").map_err(unavailable)?, self.sign_on_from(&row)?)))
    }

    async fn apps_of(&self, id: SignOnId) -> Result<Vec<String>, StoreError> {
        let apps = sqlx::query_scalar("select distinct app from app_session where sign_on = $1 order by app");
        apps.bind(id.0.as_slice()).fetch_all(&self.readers).await.map_err(unavailable)
    }

    async fn end_sign_on(&self, id: SignOnId, at: Timestamp) -> Result<bool, StoreError> {
        // The row stays, so that the cookie and the id remain taken; who it was does not.
        let ended = sqlx::query("update sign_on set ended_at = $1, sealed = $2 where id = $3 and ended_at is null");
        let ended = ended.bind(at.millis()).bind([].as_slice()).bind(id.0.as_slice()).execute(&self.durable).await.map_err(unavailable)?;
        Ok(ended.rows_affected() == 1)
    }

    async fn touch(&self, seen: &[(SignOnId, Timestamp)]) -> Result<(), StoreError> {
        for some in seen.chunks(TOUCHED_AT_ONCE) {
            let mut transaction = self.writer.begin_with("begin immediate").await.map_err(unavailable)?;
            for (id, at) in some {
                // Only ever forwards: another handle may have seen them later.
                sqlx::query("update sign_on set last_seen = $1 where id = $2 and last_seen < $1 and ended_at is null")
                    .bind(at.millis())
                    .bind(id.0.as_slice())
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
            }
            transaction.commit().await.map_err(unavailable)?;
        }
        Ok(())
    }

    async fn sweep(&self, now: Timestamp, idle_before: Timestamp) -> Result<u64, StoreError> {
        // Ended ones stay until their absolute expiry. App sessions go with them (on delete cascade).
        let swept = sqlx::query("delete from sign_on where expires_at <= $1 or (ended_at is null and last_seen < $2)");
        let swept = swept.bind(now.millis()).bind(idle_before.millis()).execute(&self.writer).await.map_err(unavailable)?;
        Ok(swept.rows_affected())
    }
}

impl Store {
    fn sign_on_from(&self, row: &SqliteRow) -> Result<SignOn, StoreError> {
        let id = SignOnId(bytes(row, "id")?);
        let sealed: Vec<u8> = row.try_get("sealed").map_err(unavailable)?;
        let plain = self.sealer.open(Purpose::SignOn, &id.0, &sealed)?;
        let person: Person<'_> = serde_json::from_slice(&plain).map_err(|error| garbled(described(&error)))?;
        Ok(SignOn {
            id,
            identity: person.identity.into_owned(),
            auth_time: time(row, "auth_time")?,
            created_at: time(row, "created_at")?,
            last_seen: time(row, "last_seen")?,
            expires_at: time(row, "expires_at")?,
            id_token: person.id_token.map(Cow::into_owned),
            idp_session: person.idp_session.map(Cow::into_owned),
        })
    }
}

/// Where JSON did not read, without the text around it: it may be personal.
pub(super) fn described(error: &serde_json::Error) -> String {
    format!("a sealed value does not read as JSON ({:?} at {}:{})", error.classify(), error.line(), error.column())
}
