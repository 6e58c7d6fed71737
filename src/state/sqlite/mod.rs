//! The store in one SQLite file.
//!
//! Lives here: [`Store`] (open, refuse, hand out connections) and [`OpenError`]. The traits are implemented one file each: `sessions.rs`,
//! `logins.rs` (with `answers.rs`), `accounts.rs`, `person_secrets.rs`, `keys.rs`, `sign_ins.rs`, `incidents.rs`; `backup.rs` copies the file while it is in
//! use, `fold.rs` keeps its log short, `create.rs` makes a new file,
//! `schema.sql` is what it makes; `migrate.rs` brings an older file up to date, one numbered step after the other (`steps/`). Statements are written so that
//! PostgreSQL would
//! take them too (`$1`, `on conflict`, integers for times, bytes for hashes); only DDL and pragmas are SQLite's own.
//!
//! **Durability.** WAL with `synchronous = NORMAL`: a commit survives the death of the process (kill -9) at once, and the loss of power from the
//! next checkpoint on, about a second later. A sign-in lost to a power cut is a second sign-in; an account record lost is found again in the app. A *revocation* lost would be a session
//! that comes back, so endings (and signing keys) go through a second writer with `synchronous = FULL`, which reaches the disk, and
//! everything committed before with it, before it answers.
//!
//! **A file that cannot be trusted is refused**, never replaced: an empty store in the place of a damaged one would forget who was locked out.

mod accounts;
mod answers;
mod backup;
mod create;
mod fold;
mod incidents;
mod keys;
mod logins;
mod migrate;
mod pending;
mod person_secrets;
mod sessions;
mod sign_ins;

pub use backup::BackupError;

use crate::clock::Timestamp;
use crate::state::StoreError;
use crate::state::seal::{Purpose, Sealer};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Version of `schema.sql` that this build reads and writes.
const VERSION: i64 = 5;
/// How long a writer waits for another one before it says that the store is not available.
const BUSY: Duration = Duration::from_secs(5);
/// Reads under way at a time; memory answers nearly all of them.
const READERS: u32 = 4;
/// Read at once from a file that is read from its beginning to its end.
const READ_AHEAD_BYTES: usize = 1 << 20;
/// What the check value says once opened.
const CHECK: &[u8] = b"vestibule";

/// Why the store was not opened. Every variant names the file and the way out.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not `sqlite:PATH`.
    #[error("\"{0}\" is not understood; write sqlite:PATH, for example sqlite:/var/lib/vestibule/vestibule.db")]
    Url(String),
    /// The folder for the file does not exist.
    #[error("{}: the folder {} does not exist; create it, owned by the user that runs vestibule, with mode 0700", path.display(), folder.display())]
    NoFolder {
        /// The file that was asked for.
        path: PathBuf,
        /// The folder that is missing.
        folder: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}; the file and its folder must be writable by the user that runs vestibule", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Damaged, cut short, or not a database at all.
    #[error("{}: this is not an intact store ({detail}). {WAY_OUT}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file is gone but its write-ahead log is still there.
    #[error("{}: the file is missing, but {}-wal beside it is not, so a store was here. {WAY_OUT}", path.display(), path.display())]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// A SQLite database of something else.
    #[error("{}: this is a SQLite database, but not a store of vestibule; give another path in [state] url", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer vestibule.
    #[error("{}: written by a newer vestibule (schema {found}, this one knows {VERSION}); run that version, or restore a backup from before the upgrade", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
    },
    /// Written by an older vestibule, and asked to be read only.
    #[error("{}: written by an older vestibule (schema {found}, this one reads {VERSION}); start the gateway once with this version, which brings it up to date", path.display())]
    Behind {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
    },
    /// Nothing there to read.
    #[error("{}: there is no such file; the gateway makes it when it is first started (is this the right --config?)", path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
    },
    /// Written by a vestibule too old to be read.
    #[error("{}: written by an older vestibule (schema {found}, this one needs {VERSION}). {WAY_OUT}", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
    },
    /// `[state] key` is not the one the store was made with.
    #[error("{}: sealed with another [state] key; configure the key that this store was made with. {WAY_OUT}", path.display())]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// Locked, no space, or another fault of the database.
    #[error("{}: the store could not be opened: {source}", path.display())]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

const WAY_OUT: &str = "Restore a backup; or, to begin anew, move the file and its -wal and -shm away: everybody then signs in again, \
and account records are found again in the apps";

/// The store in one SQLite file; cheap to clone, all clones share the connections.
#[derive(Debug, Clone)]
pub struct Store {
    /// One connection: SQLite has one writer at a time anyway, and a queue of ours is fairer than its busy loop.
    writer: SqlitePool,
    /// One connection that answers only when the disk has it; for what must not come back after a power cut.
    durable: SqlitePool,
    /// Connections that cannot write.
    readers: SqlitePool,
    /// One more of them, for look-ups of one record, which a person waits for and which are over at once. Out of a pool it would be looked at on its way back, and the
    /// next to ask would wait for that. `None`: closed, or died; the pool does then.
    lookup: Arc<Mutex<Option<SqliteConnection>>>,
    /// One connection that folds the log into the file.
    folder: SqlitePool,
    sealer: Sealer,
    path: PathBuf,
}

impl Store {
    /// Opens the store at `url` (`sqlite:PATH`), making it (mode 0600) when there is no such file.
    ///
    /// Reads the whole file once (`quick_check`, some seconds for a gigabyte): damage is told at start, not in the middle of a sign-in.
    ///
    /// A file of an older schema is brought up to date first, in one transaction.
    ///
    /// # Errors
    /// [`OpenError`]; an existing file that is not an intact store of this key, and of this version or an older one, is refused and left as it is.
    pub async fn open(url: &str, sealer: Sealer) -> Result<Self, OpenError> {
        let path = path_of(url)?;
        create::if_missing(&path, &sealer).await?;
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(BUSY).foreign_keys(true).pragma("trusted_schema", "off");
        // Looked at by connections that cannot write, so that what is not ours is left as it is.
        let to_read = options.clone().pragma("query_only", "on");
        let readers = pool(READERS).connect_with(to_read.clone()).await;
        let readers = readers.map_err(|error| refused(&path, error))?;
        let intact = async {
            whole(&readers, &path).await?;
            verify(&readers, &path, &sealer).await
        };
        let found = match intact.await {
            Ok(found) => found,
            Err(error) => {
                readers.close().await;
                return Err(error);
            }
        };
        let write = options.journal_mode(SqliteJournalMode::Wal).pragma("wal_autocheckpoint", fold::LOG_PAGES_MAX);
        if found < VERSION {
            migrate::up(&path, write.clone().synchronous(SqliteSynchronous::Full)).await?;
        }
        let writers = async {
            let writer = pool(1).connect_with(write.clone().synchronous(SqliteSynchronous::Normal)).await?;
            let durable = pool(1).connect_with(write.clone().synchronous(SqliteSynchronous::Full)).await?;
            Ok((writer, durable))
        };
        let (writer, durable) = writers.await.map_err(|error| refused(&path, error))?;
        let folder = pool(1).connect_lazy_with(write.synchronous(SqliteSynchronous::Normal));
        let lookup = to_read.connect().await.map_err(|error| refused(&path, error))?;
        Ok(Self { writer, durable, readers, lookup: Arc::new(Mutex::new(Some(lookup))), folder, sealer, path })
    }

    /// Opens the store at `url` to look at it: nothing is made, changed or migrated, and a gateway that runs on the same file is not disturbed. Whatever
    /// writes fails. Damage is not looked for.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Nothing`] when there is no such file, [`OpenError::Behind`] when its schema is older than this build's.
    pub async fn open_to_read(url: &str, sealer: Sealer) -> Result<Self, OpenError> {
        let path = path_of(url)?;
        match std::fs::metadata(&path) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Err(OpenError::Nothing { path }),
            Err(source) => return Err(OpenError::Io { path, source }),
            Ok(_) => {}
        }
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(BUSY).read_only(true).pragma("trusted_schema", "off");
        // Without a log nobody has the file open, and everything is in it: no files are put beside it, which would then belong to whoever looks.
        let options = if create::with_suffix(&path, "-wal").exists() { options } else { options.immutable(true) };
        let readers = pool(1).connect_with(options).await.map_err(|error| refused(&path, error))?;
        let found = match verify(&readers, &path, &sealer).await {
            Ok(found) => found,
            Err(error) => {
                readers.close().await;
                return Err(error);
            }
        };
        if found < VERSION {
            readers.close().await;
            return Err(OpenError::Behind { path, found });
        }
        Ok(Self { writer: readers.clone(), durable: readers.clone(), folder: readers.clone(), readers, lookup: Arc::default(), sealer, path })
    }

    /// Closes the connections; the write-ahead log is folded into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        // Taken out first: whoever asks from now on is told by the pool.
        let lookup = self.lookup.lock().await.take();
        if let Some(lookup) = lookup
            && let Err(error) = lookup.close().await
        {
            tracing::debug!(%error, "a connection of the store was not closed in order");
        }
        self.folder.close().await;
        self.durable.close().await;
        self.writer.close().await;
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads the file from its beginning to its end, so that the system has it in memory as far as it likes: the check comes by every page in the order of the
/// tables, and a disk takes ten times as long for that.
async fn read_ahead(path: &Path) {
    let path = path.to_path_buf();
    let read = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::open(path)?;
        let mut piece = vec![0; READ_AHEAD_BYTES];
        while file.read(&mut piece)? > 0 {}
        Ok::<_, std::io::Error>(())
    });
    // Whatever is wrong with it, the check finds it and says so.
    if let Ok(Err(error)) = read.await {
        tracing::debug!(%error, "the store could not be read ahead");
    }
}

/// Whether the file is whole.
async fn whole(readers: &SqlitePool, path: &Path) -> Result<(), OpenError> {
    read_ahead(path).await;
    let verdict: String = sqlx::query_scalar("pragma quick_check(1)").fetch_one(readers).await.map_err(|error| refused(path, error))?;
    if verdict == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.to_path_buf(), detail: verdict }) }
}

/// The version of the file, when it is ours, one that this build can read or bring up to date, and sealed with this key.
async fn verify(readers: &SqlitePool, path: &Path, sealer: &Sealer) -> Result<i64, OpenError> {
    let owned = || path.to_path_buf();
    let refused = |error| refused(path, error);
    let known = sqlx::query_scalar::<_, i64>("select count(*) from sqlite_master where type = 'table' and name = 'vestibule_store'");
    if known.fetch_one(readers).await.map_err(refused)? == 0 {
        return Err(OpenError::Foreign { path: owned() });
    }
    let row = sqlx::query("select version, seal_check from vestibule_store").fetch_optional(readers).await.map_err(refused)?;
    let Some(row) = row else {
        return Err(OpenError::Damaged { path: owned(), detail: "the schema version is missing".to_owned() });
    };
    let found: i64 = row.try_get("version").map_err(refused)?;
    if !(migrate::OLDEST..=VERSION).contains(&found) {
        let path = owned();
        return Err(if found > VERSION { OpenError::Newer { path, found } } else { OpenError::Older { path, found } });
    }
    let check: Vec<u8> = row.try_get("seal_check").map_err(refused)?;
    match sealer.open(Purpose::Check, b"", &check) {
        Ok(plain) if plain.as_slice() == CHECK => Ok(found),
        Ok(_) | Err(_) => Err(OpenError::WrongKey { path: owned() }),
    }
}

/// Where the store at `url` is; `None`: that is no address of a file.
pub fn file_of(url: &str) -> Option<PathBuf> {
    path_of(url).ok()
}

fn path_of(url: &str) -> Result<PathBuf, OpenError> {
    let written = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    match written {
        // `?` would begin options in the URLs of other tools, and `:memory:` would forget every revocation at exit.
        Some(path) if !path.is_empty() && !path.contains(['?', '\0']) && path != ":memory:" => Ok(PathBuf::from(path)),
        Some(_) | None => Err(OpenError::Url(url.to_owned())),
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    // A local file does not go away like a server does: no ping before use, no renewing of connections.
    SqlitePoolOptions::new().max_connections(connections).acquire_timeout(BUSY).idle_timeout(None).max_lifetime(None).test_before_acquire(false)
}

/// Tells damage from other trouble by SQLite's primary result code.
fn refused(path: &Path, error: sqlx::Error) -> OpenError {
    let path = path.to_path_buf();
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff);
    match code {
        // SQLITE_CORRUPT, SQLITE_NOTADB, and SQLITE_IOERR, which is what reading past the end of a cut file gives.
        Some(10 | 11 | 26) => OpenError::Damaged { path, detail: error.to_string() },
        // SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN.
        Some(3 | 8 | 14) => OpenError::Io { path, source: std::io::Error::new(std::io::ErrorKind::PermissionDenied, error) },
        Some(_) | None => OpenError::Unavailable { path, source: Box::new(error) },
    }
}

/// A fault of the database, as callers see it.
fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

/// A row that does not read as what we wrote.
fn garbled(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable(what.into())
}

fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, StoreError> {
    row.try_get(column).map(Timestamp::from_millis).map_err(unavailable)
}

fn bytes<const N: usize>(row: &SqliteRow, column: &str) -> Result<[u8; N], StoreError> {
    let found: Vec<u8> = row.try_get(column).map_err(unavailable)?;
    <[u8; N]>::try_from(found).map_err(|found| garbled(format!("column {column} has {} bytes, not {N}", found.len())))
}
