//! Incidents in SQLite.
//!
//! Lives here: `impl IncidentStore for Store`. Only code and time are readable in the file, and whether somebody was signed in; everything else is sealed.

use super::sessions::described;
use super::{Store, garbled, time, unavailable};
use crate::clock::Timestamp;
use crate::fault::Incident;
use crate::state::seal::Purpose;
use crate::state::{IncidentBounds, IncidentRecord, IncidentStore, OF_ONE_PERSON_MAX, StoreError};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use std::collections::BTreeSet;

#[async_trait]
impl IncidentStore for Store {
    async fn keep_incidents(&self, incidents: &[IncidentRecord]) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("begin immediate").await.map_err(unavailable)?;
        let mut people = BTreeSet::new();
        for incident in incidents {
            let code = number(incident.code)?;
            let plain = incident.facts.row().map_err(garbled)?;
            let subject = incident.facts.person.as_ref().map(|person| &person.subject);
            let person_key = subject.map(|subject| self.sealer.lookup("incident person", &[&subject.issuer, &subject.subject]).to_vec());
            people.extend(person_key.clone());
            sqlx::query(
                "insert into incident (code, at, person, person_key, sealed) values ($1, $2, $3, $4, $5)
                 on conflict (code) do update set at = excluded.at, person = excluded.person, person_key = excluded.person_key, sealed = excluded.sealed",
            )
            .bind(code)
            .bind(incident.at.millis())
            .bind(i64::from(incident.facts.person.is_some()))
            .bind(person_key)
            .bind(self.sealer.seal(Purpose::Incident, &code.to_be_bytes(), &plain)?)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        }
        for person_key in people {
            // As in the sweep below, at once: whoever reloads a page that refuses does not push out what happened to others.
            sqlx::query(
                "delete from incident where person_key = $1
                 and at <= (select at from incident where person_key = $1 order by at desc limit 1 offset $2)",
            )
            .bind(person_key)
            .bind(i64::from(OF_ONE_PERSON_MAX))
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        }
        transaction.commit().await.map_err(unavailable)
    }

    async fn incident(&self, code: Incident) -> Result<Option<IncidentRecord>, StoreError> {
        let found = sqlx::query("select * from incident where code = $1").bind(number(code)?);
        found.fetch_optional(&self.readers).await.map_err(unavailable)?.map(|row| self.incident_from(&row)).transpose()
    }

    async fn incidents_since(&self, since: Timestamp, limit: u32) -> Result<Vec<IncidentRecord>, StoreError> {
        let found = sqlx::query("select * from incident where at >= $1 order by at desc, code limit $2").bind(since.millis()).bind(i64::from(limit));
        found.fetch_all(&self.readers).await.map_err(unavailable)?.iter().map(|row| self.incident_from(row)).collect()
    }

    async fn sweep_incidents(&self, bounds: IncidentBounds) -> Result<u64, StoreError> {
        let old = sqlx::query("delete from incident where at < $1").bind(bounds.since.millis());
        let mut swept = old.execute(&self.writer).await.map_err(unavailable)?.rows_affected();
        for (person, keep) in [(1, bounds.of_people_max), (0, bounds.of_strangers_max)] {
            // Down to the newest one too many; of those that share its moment a few more may go.
            let many = sqlx::query(
                "delete from incident where person = $1 and at <= (select at from incident where person = $1 order by at desc limit 1 offset $2)",
            );
            swept += many.bind(person).bind(i64::from(keep)).execute(&self.writer).await.map_err(unavailable)?.rows_affected();
        }
        Ok(swept)
    }
}

impl Store {
    fn incident_from(&self, row: &SqliteRow) -> Result<IncidentRecord, StoreError> {
        let code: i64 = row.try_get("code").map_err(unavailable)?;
        let sealed: Vec<u8> = row.try_get("sealed").map_err(unavailable)?;
        let plain = self.sealer.open(Purpose::Incident, &code.to_be_bytes(), &sealed)?;
        let facts = serde_json::from_slice(&plain).map_err(|error| garbled(described(&error)))?;
        Ok(IncidentRecord { code: Incident::from_number(u64::try_from(code).map_err(garbled)?), at: time(row, "at")?, facts })
    }
}

/// Forty bits, so that it fits.
fn number(code: Incident) -> Result<i64, StoreError> {
    i64::try_from(code.number()).map_err(garbled)
}
