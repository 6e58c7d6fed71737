//! Making a new file.
//!
//! Lives here: [`if_missing`]. The file is made whole under another name and then linked into place, so that a process killed half-way never leaves
//! something at the configured path that would have to be told apart from a damaged store, and two processes cannot both make it.

use super::{CHECK, OpenError, VERSION, refused};
use crate::state::seal::{Purpose, Sealer};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// Smallest page that a SQLite database has (file format 1.3.2).
const PAGE_BYTES_MIN: u64 = 512;

/// Makes a store at `path` when nothing is there.
pub(super) async fn if_missing(path: &Path, sealer: &Sealer) -> Result<(), OpenError> {
    let refused_by_system = |source| OpenError::Io { path: path.to_path_buf(), source };
    match std::fs::metadata(path) {
        // SQLite would take a file of less than a page for a new database.
        Ok(found) if found.is_file() && found.len() < PAGE_BYTES_MIN => {
            return Err(OpenError::Damaged { path: path.to_path_buf(), detail: format!("the file has {} bytes", found.len()) });
        }
        Ok(found) if found.is_file() && ends_inside_a_page(path, found.len()).map_err(refused_by_system)? => {
            return Err(OpenError::Damaged { path: path.to_path_buf(), detail: format!("the file ends inside a page, after {} bytes", found.len()) });
        }
        Ok(found) if found.is_file() => return Ok(()),
        Ok(_) => return Err(OpenError::Damaged { path: path.to_path_buf(), detail: "not a regular file".to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(refused_by_system(error)),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(OpenError::NoFolder { path: path.to_path_buf(), folder: folder.to_path_buf() });
    }
    // A log without its file: SQLite would replay it into the new one.
    if with_suffix(path, "-wal").exists() {
        return Err(OpenError::Lost { path: path.to_path_buf() });
    }
    let new = with_suffix(path, &format!(".new-{}", sealer.scratch_name()));
    let made = make(&new, sealer).await;
    let placed = match made {
        Ok(()) => place(&new, path).map_err(refused_by_system),
        Err(error) => Err(error),
    };
    let removed = std::fs::remove_file(&new);
    placed?;
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(refused_by_system(error)),
        _ => sync_folder(folder).map_err(refused_by_system),
    }
}

/// SQLite reads what is missing from the last page as zeros. Only a process that was killed while it copied the log into the file leaves half a page, and then
/// the log has all of it.
fn ends_inside_a_page(path: &Path, length: u64) -> io::Result<bool> {
    let mut header = [0; 18];
    std::fs::File::open(path)?.read_exact(&mut header)?;
    // File format 1.3.2: a big-endian power of two, 1 for 65536.
    let [.., high, low] = header;
    let page = match u64::from(u16::from_be_bytes([high, low])) {
        0 => return Ok(true),
        1 => 65_536,
        bytes => bytes,
    };
    let log = with_suffix(path, "-wal").metadata().map_or(0, |log| log.len());
    Ok(log == 0 && !length.is_multiple_of(page))
}

async fn make(new: &Path, sealer: &Sealer) -> Result<(), OpenError> {
    let refused = |error| refused(new, error);
    create_private(new).map_err(|source| OpenError::Io { path: new.to_path_buf(), source })?;
    let check = sealer.seal(Purpose::Check, b"", CHECK);
    let check = check.map_err(|error| OpenError::Unavailable { path: new.to_path_buf(), source: Box::new(error) })?;
    let options = SqliteConnectOptions::new().filename(new).create_if_missing(false).journal_mode(SqliteJournalMode::Delete);
    let mut connection: SqliteConnection = options.connect().await.map_err(refused)?;
    let written = async {
        sqlx::raw_sql(include_str!("schema.sql")).execute(&mut connection).await?;
        let row = sqlx::query("insert into vestibule_store (id, version, seal_check) values (1, $1, $2)");
        row.bind(VERSION).bind(check).execute(&mut connection).await?;
        // Last, so that everything is in the file itself when it is linked into place.
        sqlx::query("pragma journal_mode = wal").execute(&mut connection).await?;
        connection.close().await
    };
    written.await.map_err(refused)
}

/// An empty file that only we may read; SQLite gives `-wal` and `-shm` the mode of the file.
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

/// Gives `new` the name `path` unless somebody else's store has it by now; theirs is then used.
fn place(new: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(new, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // A file system without hard links.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) && !path.exists() => std::fs::rename(new, path),
        outcome => outcome,
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
