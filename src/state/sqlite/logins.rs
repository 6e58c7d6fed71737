//! Single-use things in SQLite.
//!
//! Lives here: `impl LoginStore for Store`. Using up is one `update … where used_at is null returning`: SQLite runs it alone, PostgreSQL locks the row,
//! so exactly one caller gets the row and everybody else finds it used.

use super::sessions::described;
use super::{Store, garbled, unavailable};
use crate::clock::Timestamp;
use crate::state::seal::Purpose;
use crate::state::{AnswerRoom, Handover, KeptAnswer, LoginStore, PendingLogin, PendingRoom, SecretHash, SignOnId, StoreError, Taken};
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// A hand-over as it is sealed.
#[derive(Serialize, Deserialize)]
struct SealedHandover<'a> {
    sign_on: SignOnId,
    app: Cow<'a, str>,
    app_binding: [u8; 32],
    return_to: Cow<'a, str>,
    #[serde(default)]
    lands: bool,
}

#[async_trait]
impl LoginStore for Store {
    async fn put_pending(&self, key: SecretHash, login: &PendingLogin, expires_at: Timestamp) -> Result<(), StoreError> {
        let sealed = self.seal_json(Purpose::PendingLogin, key, login)?;
        let put = sqlx::query("insert into pending_login (key, sealed, expires_at) values ($1, $2, $3)");
        put.bind(key.0.as_slice()).bind(sealed).bind(expires_at.millis()).execute(&self.writer).await.map(drop).map_err(unavailable)
    }

    async fn put_pending_within(
        &self,
        key: SecretHash,
        login: &PendingLogin,
        expires_at: Timestamp,
        room: PendingRoom,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.pending_put(key, login, expires_at, room, now).await
    }

    async fn pending(&self, key: SecretHash, now: Timestamp) -> Result<Option<PendingLogin>, StoreError> {
        let found = sqlx::query_scalar("select sealed from pending_login where key = $1 and expires_at > $2 and used_at is null");
        let found: Option<Vec<u8>> = found.bind(key.0.as_slice()).bind(now.millis()).fetch_optional(&self.readers).await.map_err(unavailable)?;
        found.map(|sealed| self.open_json(Purpose::PendingLogin, key, &sealed)).transpose()
    }

    async fn take_pending(&self, key: SecretHash, now: Timestamp) -> Result<Taken<PendingLogin>, StoreError> {
        self.take(
            // What is used up stays only to send late callbacks home: not as long as somebody could fill the store with it.
            "update pending_login set used_at = $2, expires_at = case when expires_at > $2 + 300000 then $2 + 300000 else expires_at end
             where key = $1 and expires_at > $2 and used_at is null returning sealed",
            "select sealed from pending_login where key = $1 and expires_at > $2",
            key,
            now,
            |sealed| self.open_json(Purpose::PendingLogin, key, sealed),
        )
        .await
    }

    async fn put_handover(&self, code: SecretHash, handover: &Handover, expires_at: Timestamp) -> Result<(), StoreError> {
        let body = SealedHandover {
            sign_on: handover.sign_on,
            app: Cow::Borrowed(&handover.app),
            app_binding: handover.app_binding.0,
            return_to: Cow::Borrowed(&handover.return_to),
            lands: handover.lands,
        };
        let sealed = self.seal_json(Purpose::Handover, code, &body)?;
        let put = sqlx::query("insert into handover (code, sealed, expires_at) values ($1, $2, $3)");
        put.bind(code.0.as_slice()).bind(sealed).bind(expires_at.millis()).execute(&self.writer).await.map(drop).map_err(unavailable)
    }

    async fn take_handover(&self, code: SecretHash, now: Timestamp) -> Result<Taken<Handover>, StoreError> {
        self.take(
            "update handover set used_at = $2 where code = $1 and expires_at > $2 and used_at is null returning sealed",
            "select sealed from handover where code = $1 and expires_at > $2",
            code,
            now,
            |sealed| {
                let body: SealedHandover<'_> = self.open_json(Purpose::Handover, code, sealed)?;
                Ok(Handover {
                    sign_on: body.sign_on,
                    app: body.app.into_owned(),
                    app_binding: SecretHash(body.app_binding),
                    return_to: body.return_to.into_owned(),
                    lands: body.lands,
                })
            },
        )
        .await
    }

    async fn once(&self, key: SecretHash, expires_at: Timestamp) -> Result<bool, StoreError> {
        // A key that has expired but was not swept yet still counts as seen: the safe side.
        let kept = sqlx::query("insert into seen_once (key, expires_at) values ($1, $2) on conflict (key) do nothing");
        let kept = kept.bind(key.0.as_slice()).bind(expires_at.millis()).execute(&self.writer).await.map_err(unavailable)?;
        Ok(kept.rows_affected() == 1)
    }

    async fn sweep_logins(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut swept = 0;
        for sql in [
            "delete from pending_login where expires_at <= $1",
            "delete from handover where expires_at <= $1",
            "delete from seen_once where expires_at <= $1",
            "delete from kept_answer where expires_at <= $1",
        ] {
            swept += sqlx::query(sql).bind(now.millis()).execute(&self.writer).await.map_err(unavailable)?.rows_affected();
        }
        Ok(swept)
    }

    async fn pending_count(&self) -> Result<u64, StoreError> {
        // Used or not: each of them is room. Read from the index of expiries alone: about a millisecond at a hundred thousand.
        let count: i64 = sqlx::query_scalar("select count(*) from pending_login").fetch_one(&self.readers).await.map_err(unavailable)?;
        u64::try_from(count).map_err(garbled)
    }

    async fn keep_answer(&self, answer: &KeptAnswer, room: AnswerRoom, now: Timestamp) -> Result<(), StoreError> {
        self.answer_kept(answer, room, now).await
    }

    async fn kept_answer(&self, state: SecretHash, code: SecretHash, now: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        self.answer_of(state, code, now).await
    }
}

impl Store {
    async fn take<T: Send>(
        &self,
        use_up: &'static str,
        look: &'static str,
        key: SecretHash,
        now: Timestamp,
        open: impl Fn(&[u8]) -> Result<T, StoreError> + Send + Sync,
    ) -> Result<Taken<T>, StoreError> {
        let taking = sqlx::query_scalar::<_, Vec<u8>>(use_up).bind(key.0.as_slice()).bind(now.millis());
        if let Some(sealed) = taking.fetch_optional(&self.writer).await.map_err(unavailable)? {
            return open(&sealed).map(Taken::Fresh);
        }
        let there = sqlx::query_scalar::<_, Vec<u8>>(look).bind(key.0.as_slice()).bind(now.millis());
        match there.fetch_optional(&self.readers).await.map_err(unavailable)? {
            Some(sealed) => open(&sealed).map(Taken::Used),
            None => Ok(Taken::Unknown),
        }
    }

    pub(super) fn seal_json(&self, purpose: Purpose, row: SecretHash, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        let plain = Zeroizing::new(serde_json::to_vec(value).map_err(garbled)?);
        self.sealer.seal(purpose, &row.0, &plain)
    }

    fn open_json<T: DeserializeOwned>(&self, purpose: Purpose, row: SecretHash, sealed: &[u8]) -> Result<T, StoreError> {
        let plain = self.sealer.open(purpose, &row.0, sealed)?;
        serde_json::from_slice(&plain).map_err(|error| garbled(described(&error)))
    }
}
