//! Recorded sign-ins in SQLite.
//!
//! Lives here: `impl SignInStore for Store`. Nothing of a person is readable in the file: rows are named and found by keyed hashes ([`Sealer::lookup`]), and
//! what was asserted is sealed with the row's name.
//!
//! [`Sealer::lookup`]: crate::state::seal::Sealer::lookup

use super::sessions::described;
use super::{Store, bytes, garbled, time, unavailable};
use crate::clock::Timestamp;
use crate::identity::Identity;
use crate::state::seal::Purpose;
use crate::state::{RecordedSignIn, SignInStore, StoreError};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use zeroize::Zeroizing;

#[async_trait]
impl SignInStore for Store {
    async fn record(&self, sign_in: &RecordedSignIn) -> Result<(), StoreError> {
        let identity = &sign_in.identity;
        let subject = &identity.subject;
        let person = self.sealer.lookup("person", &[&identity.idp, &subject.issuer, &subject.subject]);
        let plain = Zeroizing::new(serde_json::to_vec(identity).map_err(garbled)?);
        let sealed = self.sealer.seal(Purpose::SignIn, &person, &plain)?;
        sqlx::query(
            "insert into sign_in (person, subject_key, email_key, sealed, auth_time, at) values ($1, $2, $3, $4, $5, $6)
             on conflict (person) do update
             set email_key = excluded.email_key, sealed = excluded.sealed, auth_time = excluded.auth_time, at = excluded.at
             where sign_in.at <= excluded.at",
        )
        .bind(person.as_slice())
        .bind(self.subject_key(&subject.subject))
        .bind(identity.email.as_deref().map(|email| self.email_key(email)))
        .bind(sealed)
        .bind(sign_in.auth_time.millis())
        .bind(sign_in.at.millis())
        .execute(&self.writer)
        .await
        .map(drop)
        .map_err(unavailable)
    }

    async fn last_by_email(&self, email: &str) -> Result<Vec<RecordedSignIn>, StoreError> {
        let found = sqlx::query("select * from sign_in where email_key = $1 order by at desc, person").bind(self.email_key(email));
        found.fetch_all(&self.readers).await.map_err(unavailable)?.iter().map(|row| self.sign_in_from(row)).collect()
    }

    async fn last_by_subject(&self, issuer: Option<&str>, subject: &str) -> Result<Vec<RecordedSignIn>, StoreError> {
        let found = sqlx::query("select * from sign_in where subject_key = $1 order by at desc, person").bind(self.subject_key(subject));
        let mut sign_ins: Vec<RecordedSignIn> =
            found.fetch_all(&self.readers).await.map_err(unavailable)?.iter().map(|row| self.sign_in_from(row)).collect::<Result<_, _>>()?;
        sign_ins.retain(|sign_in| issuer.is_none_or(|issuer| sign_in.identity.subject.issuer == issuer));
        Ok(sign_ins)
    }

    async fn all(&self) -> Result<Vec<RecordedSignIn>, StoreError> {
        let rows = sqlx::query("select * from sign_in order by at desc, person").fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(|row| self.sign_in_from(row)).collect()
    }

    async fn sweep_sign_ins(&self, before: Timestamp) -> Result<u64, StoreError> {
        let swept = sqlx::query("delete from sign_in where at < $1").bind(before.millis()).execute(&self.writer).await.map_err(unavailable)?;
        Ok(swept.rows_affected())
    }
}

impl Store {
    fn subject_key(&self, subject: &str) -> Vec<u8> {
        self.sealer.lookup("subject", &[subject]).to_vec()
    }

    /// Addresses are looked up as people type them: in any letter case.
    fn email_key(&self, email: &str) -> Vec<u8> {
        self.sealer.lookup("email", &[&email.trim().to_lowercase()]).to_vec()
    }

    fn sign_in_from(&self, row: &SqliteRow) -> Result<RecordedSignIn, StoreError> {
        let person: [u8; 32] = bytes(row, "person")?;
        let sealed: Vec<u8> = row.try_get("sealed").map_err(unavailable)?;
        let plain = self.sealer.open(Purpose::SignIn, &person, &sealed)?;
        let identity: Identity = serde_json::from_slice(&plain).map_err(|error| garbled(described(&error)))?;
        Ok(RecordedSignIn { identity, auth_time: time(row, "auth_time")?, at: time(row, "at")? })
    }
}
