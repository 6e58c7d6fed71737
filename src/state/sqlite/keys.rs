//! Signing keys in SQLite.
//!
//! Lives here: `impl KeyStore for Store`.

use super::{Store, time, unavailable};
use crate::state::seal::Purpose;
use crate::state::{KeyStore, SigningKey, StoreError};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// Two keys made within this time of each other are two replicas that started together; the first one counts.
const SAME_START_MS: i64 = 60 * 60 * 1000;

#[async_trait]
impl KeyStore for Store {
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let rows = sqlx::query("select * from signing_key order by created_at desc, kid").fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(|row| self.key_from(row)).collect()
    }

    async fn add_signing_key(&self, key: &SigningKey) -> Result<bool, StoreError> {
        let sealed = self.sealer.seal(Purpose::SigningKey, key.kid.as_bytes(), &key.pkcs8)?;
        let added = sqlx::query(
            "insert into signing_key (kid, public, sealed, created_at)
             select $1, $2, $3, $4 where not exists (select 1 from signing_key where kid = $1 or created_at > $5)",
        );
        let added = added
            .bind(key.kid.as_str())
            .bind(key.public.as_slice())
            .bind(sealed)
            .bind(key.created_at.millis())
            .bind(key.created_at.plus_ms(-SAME_START_MS).millis());
        Ok(added.execute(&self.durable).await.map_err(unavailable)?.rows_affected() == 1)
    }

    async fn remove_signing_key(&self, kid: &str) -> Result<(), StoreError> {
        let removed = sqlx::query("delete from signing_key where kid = $1").bind(kid);
        removed.execute(&self.durable).await.map(drop).map_err(unavailable)
    }
}

impl Store {
    fn key_from(&self, row: &SqliteRow) -> Result<SigningKey, StoreError> {
        let kid: String = row.try_get("kid").map_err(unavailable)?;
        let sealed: Vec<u8> = row.try_get("sealed").map_err(unavailable)?;
        let pkcs8 = self.sealer.open(Purpose::SigningKey, kid.as_bytes(), &sealed)?;
        Ok(SigningKey { kid, pkcs8, public: row.try_get("public").map_err(unavailable)?, created_at: time(row, "created_at")? })
    }
}
