//! Bringing an older file up to date.
//!
//! Lives here: [`up`] and the steps it takes. To change the schema: change `schema.sql` for new files, add `steps/N.sql` for old ones, raise `VERSION` to N, and add
//! a line to [`STEPS`]; a test holds that both ways lead to the same tables.
//!
//! All steps are one transaction on a connection that reaches the disk: a process killed half-way leaves the file as it was, and of several that start at
//! once one migrates and the others find it done.

use super::{BUSY, OpenError, VERSION, refused};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::path::Path;

/// The oldest version that there is a way from.
pub(super) const OLDEST: i64 = 1;

/// What leads to a version, with that version.
const STEPS: [(i64, &str); 4] =
    [(2, include_str!("steps/2.sql")), (3, include_str!("steps/3.sql")), (4, include_str!("steps/4.sql")), (5, include_str!("steps/5.sql"))];

/// Brings the file at `path` from whatever version it has to this build's.
pub(super) async fn up(path: &Path, options: SqliteConnectOptions) -> Result<(), OpenError> {
    let done = async {
        let mut connection: SqliteConnection = options.busy_timeout(BUSY).connect().await?;
        let mut transaction = connection.begin_with("begin immediate").await?;
        let found: i64 = sqlx::query_scalar("select version from vestibule_store").fetch_one(&mut *transaction).await?;
        for (to, step) in STEPS.iter().filter(|(to, _)| *to > found) {
            sqlx::raw_sql(*step).execute(&mut *transaction).await?;
            tracing::info!(path = %path.display(), version = to, "the store was brought up to date");
        }
        // A newer build may have been faster: its version stays.
        sqlx::query("update vestibule_store set version = $1 where version < $1").bind(VERSION).execute(&mut *transaction).await?;
        transaction.commit().await?;
        connection.close().await
    };
    done.await.map_err(|error| refused(path, error))
}
