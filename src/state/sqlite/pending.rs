//! Sign-ins under way, in SQLite: nobody's are more than there is room for.
//!
//! Lives here: the part of `LoginStore` that keeps one within its bounds. Apart from `logins.rs` because these rows make way for newer ones of the same ticket, or of the same
//! client: whoever floods the gateway with sign-ins pushes out their own, and nobody else's.

use super::{Store, unavailable};
use crate::clock::Timestamp;
use crate::state::seal::Purpose;
use crate::state::{PendingLogin, PendingRoom, SecretHash, StoreError};
use sqlx::sqlite::SqliteConnection;

impl Store {
    pub(super) async fn pending_put(
        &self,
        key: SecretHash,
        login: &PendingLogin,
        expires_at: Timestamp,
        room: PendingRoom,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let sealed = self.seal_json(Purpose::PendingLogin, key, login)?;
        // Who was where is nobody's to read in a backup.
        let client = self.sealer.lookup("pending client", &[&room.client.to_string()]);
        let mut transaction = self.writer.begin_with("begin immediate").await.map_err(unavailable)?;
        let put = sqlx::query("insert into pending_login (key, sealed, expires_at, ticket, client, kept_at) values ($1, $2, $3, $4, $5, $6)");
        let put = put.bind(key.0.as_slice()).bind(sealed).bind(expires_at.millis()).bind(room.ticket.map(|(ticket, _)| ticket.0.to_vec()));
        put.bind(client.as_slice()).bind(now.millis()).execute(&mut *transaction).await.map_err(unavailable)?;
        if let Some((ticket, most)) = room.ticket {
            make_way(&mut transaction, (OF_TICKET, OLDEST_OF_TICKET), &ticket.0, key, most).await?;
        }
        let of_client = match room.of_client {
            Some(most) => make_way(&mut transaction, (OF_CLIENT, OLDEST_OF_CLIENT), &client, key, most).await?,
            None => 0,
        };
        transaction.commit().await.map_err(unavailable)?;
        Ok(of_client)
    }
}

// Counted by the indices alone. What has been used up makes way before what somebody may still come back with.
const OF_TICKET: &str = "select count(*) from pending_login where ticket = $1";
const OLDEST_OF_TICKET: &str = "delete from pending_login where key in (select key from pending_login where ticket = $1 and key <> $2 order by used_at is null, kept_at, key limit $3)";
const OF_CLIENT: &str = "select count(*) from pending_login where client = $1";
const OLDEST_OF_CLIENT: &str = "delete from pending_login where key in (select key from pending_login where client = $1 and key <> $2 order by used_at is null, kept_at, key limit $3)";

/// Deletes the oldest of `whose` beyond `most`, never `newest`; how many.
async fn make_way(
    connection: &mut SqliteConnection,
    (count, delete): (&'static str, &'static str),
    whose: &[u8],
    newest: SecretHash,
    most: u32,
) -> Result<u64, StoreError> {
    let there: i64 = sqlx::query_scalar(count).bind(whose).fetch_one(&mut *connection).await.map_err(unavailable)?;
    let too_many = there.saturating_sub(i64::from(most));
    if too_many <= 0 {
        return Ok(0);
    }
    let deleted = sqlx::query(delete).bind(whose).bind(newest.0.as_slice()).bind(too_many).execute(&mut *connection).await;
    deleted.map(|done| done.rows_affected()).map_err(unavailable)
}
