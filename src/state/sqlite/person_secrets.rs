//! What people are signed in with at apps, in SQLite.
//!
//! Lives here: `impl PersonSecretStore for Store`. Compared and set in one statement; `accounts.rs` drops a secret in the statement that ends what it is for.

use super::accounts::row_name;
use super::sessions::described;
use super::{Store, bytes, garbled, time, unavailable};
use crate::clock::Timestamp;
use crate::state::seal::Purpose;
use crate::state::{AccountKey, PersonSecret, PersonSecretStore, StoreError};
use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Row as _;
use zeroize::Zeroizing;

#[async_trait]
impl PersonSecretStore for Store {
    async fn person_secret(&self, key: &AccountKey) -> Result<Option<PersonSecret>, StoreError> {
        let found = sqlx::query("select * from person_secret where upstream = $1 and issuer = $2 and subject = $3");
        let found = found.bind(key.upstream.as_str()).bind(key.subject.issuer.as_str()).bind(key.subject.subject.as_str());
        let Some(row) = found.fetch_optional(&self.readers).await.map_err(unavailable)? else { return Ok(None) };
        let sealed: Vec<u8> = row.try_get("sealed").map_err(unavailable)?;
        let plain = self.sealer.open(Purpose::PersonSecret, &row_name(key)?, &sealed)?;
        let (secret, account_id): (String, String) = serde_json::from_slice(&plain).map_err(|error| garbled(described(&error)))?;
        Ok(Some(PersonSecret {
            tag: bytes(&row, "tag")?,
            secret: SecretString::from(secret),
            account_id,
            made_at: time(&row, "made_at")?,
            proven_at: row.try_get::<Option<i64>, _>("proven_at").map_err(unavailable)?.map(Timestamp::from_millis),
        }))
    }

    async fn put_person_secret(&self, key: &AccountKey, instead_of: Option<[u8; 16]>, secret: &PersonSecret) -> Result<bool, StoreError> {
        let plain = Zeroizing::new(serde_json::to_vec(&(secret.secret.expose_secret(), &secret.account_id)).map_err(garbled)?);
        let sealed = self.sealer.seal(Purpose::PersonSecret, &row_name(key)?, &plain)?;
        let put = match instead_of {
            None => {
                "insert into person_secret (upstream, issuer, subject, tag, sealed, made_at, proven_at) values ($1, $2, $3, $4, $5, $6, $7)
                 on conflict (upstream, issuer, subject) do nothing"
            }
            Some(_) => {
                "update person_secret set tag = $4, sealed = $5, made_at = $6, proven_at = $7
                 where upstream = $1 and issuer = $2 and subject = $3 and tag = $8"
            }
        };
        let put = sqlx::query(put)
            .bind(key.upstream.as_str())
            .bind(key.subject.issuer.as_str())
            .bind(key.subject.subject.as_str())
            .bind(secret.tag.as_slice())
            .bind(sealed)
            .bind(secret.made_at.millis())
            .bind(secret.proven_at.map(Timestamp::millis));
        let put = match instead_of {
            None => put,
            Some(tag) => put.bind(tag.to_vec()),
        };
        // What the app is told next must be known here after a power cut, or one more is set then.
        Ok(put.execute(&self.writer).await.map_err(unavailable)?.rows_affected() == 1)
    }

    async fn person_secret_proven(&self, key: &AccountKey, tag: [u8; 16], at: Timestamp) -> Result<(), StoreError> {
        let set = sqlx::query("update person_secret set proven_at = $5 where upstream = $1 and issuer = $2 and subject = $3 and tag = $4");
        let set = set.bind(key.upstream.as_str()).bind(key.subject.issuer.as_str()).bind(key.subject.subject.as_str());
        set.bind(tag.to_vec()).bind(at.millis()).execute(&self.writer).await.map(drop).map_err(unavailable)
    }

    async fn drop_person_secret(&self, key: &AccountKey) -> Result<(), StoreError> {
        let dropped = sqlx::query("delete from person_secret where upstream = $1 and issuer = $2 and subject = $3");
        let dropped = dropped.bind(key.upstream.as_str()).bind(key.subject.issuer.as_str()).bind(key.subject.subject.as_str());
        dropped.execute(&self.writer).await.map(drop).map_err(unavailable)
    }
}
