//! What providers' pages have posted, in SQLite: never more of it than there is room for.
//!
//! Lives here: the part of `LoginStore` that keeps documents of hundreds of kilobytes. Apart from `logins.rs` because these rows do what no other row does: they make way
//! for newer ones. Whoever floods the gateway with responses that hold pushes out their own before anybody else's, and the disk stays as it is.

use super::{Store, garbled, unavailable};
use crate::clock::Timestamp;
use crate::state::seal::Purpose;
use crate::state::{AnswerRoom, KeptAnswer, SecretHash, StoreError};
use sqlx::Row as _;

impl Store {
    pub(super) async fn answer_kept(&self, answer: &KeptAnswer, room: AnswerRoom, now: Timestamp) -> Result<(), StoreError> {
        let sealed = self.sealer.seal(Purpose::Answer, &row_name(answer.state, answer.code), &answer.document)?;
        let bytes = i64::try_from(sealed.len()).map_err(garbled)?;
        let half_of_its_life = now.plus_ms(answer.expires_at.since_ms(now) / 2);
        let mut transaction = self.writer.begin_with("begin immediate").await.map_err(unavailable)?;
        // The same once more costs nothing, unless what is there is about to expire.
        let kept = sqlx::query(
            "insert into kept_answer (state, code, digest, bytes, kept_at, expires_at, sealed) values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (state, code) do update
             set digest = excluded.digest, bytes = excluded.bytes, kept_at = excluded.kept_at, expires_at = excluded.expires_at, sealed = excluded.sealed
             where kept_answer.digest <> excluded.digest or kept_answer.expires_at < $8",
        );
        let kept = kept
            .bind(answer.state.0.as_slice())
            .bind(answer.code.0.as_slice())
            .bind(SecretHash::of(&answer.document).0.to_vec())
            .bind(bytes)
            .bind(now.millis())
            .bind(answer.expires_at.millis())
            .bind(sealed)
            .bind(half_of_its_life.millis());
        if kept.execute(&mut *transaction).await.map_err(unavailable)?.rows_affected() == 0 {
            return transaction.rollback().await.map_err(unavailable);
        }
        let others = sqlx::query(
            "delete from kept_answer where state = $1 and code <> $2 and code not in
               (select code from kept_answer where state = $1 and code <> $2 order by kept_at desc, code limit $3)",
        );
        let others = others.bind(answer.state.0.as_slice()).bind(answer.code.0.as_slice()).bind(i64::from(room.of_state.saturating_sub(1)));
        others.execute(&mut *transaction).await.map_err(unavailable)?;
        // Read from the index of ages alone.
        let sum = sqlx::query("select count(*) as found, coalesce(sum(bytes), 0) as bytes from kept_answer");
        let sum = sum.fetch_one(&mut *transaction).await.map_err(unavailable)?;
        let of = |column: &str| sum.try_get::<i64, _>(column).map_err(unavailable);
        let bytes_max = i64::try_from(room.bytes).unwrap_or(i64::MAX);
        if of("found")? > i64::from(room.all) || of("bytes")? > bytes_max {
            let oldest = sqlx::query(
                "delete from kept_answer where not (state = $1 and code = $2) and (state, code) in
                   (select state, code from
                     (select state, code, sum(bytes) over newest as upto, count(*) over newest as nth from kept_answer
                      window newest as (order by (state = $1 and code = $2) desc, kept_at desc, state, code rows unbounded preceding)) as aged
                    where upto > $3 or nth > $4)",
            );
            let oldest = oldest.bind(answer.state.0.as_slice()).bind(answer.code.0.as_slice()).bind(bytes_max).bind(i64::from(room.all));
            oldest.execute(&mut *transaction).await.map_err(unavailable)?;
        }
        transaction.commit().await.map_err(unavailable)
    }

    pub(super) async fn answer_of(&self, state: SecretHash, code: SecretHash, now: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        let found = sqlx::query_scalar("select sealed from kept_answer where state = $1 and code = $2 and expires_at > $3");
        let found = found.bind(state.0.as_slice()).bind(code.0.as_slice()).bind(now.millis());
        let found: Option<Vec<u8>> = found.fetch_optional(&self.readers).await.map_err(unavailable)?;
        found.map(|sealed| self.sealer.open(Purpose::Answer, &row_name(state, code), &sealed).map(|plain| plain.to_vec())).transpose()
    }
}

/// The primary key as bytes.
fn row_name(state: SecretHash, code: SecretHash) -> [u8; 32] {
    SecretHash::of_parts(&[&state.0, &code.0]).0
}
