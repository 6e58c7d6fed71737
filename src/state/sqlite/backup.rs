//! Daily backups: a whole copy of the store beside it, made while it is in use.
//!
//! Lives here: [`Store::back_up`]. `VACUUM INTO` reads one consistent state through a connection of its own and holds up no writer (WAL). The copy is written under
//! another name, reaches the disk, and only then gets its own: a backup that is there is whole. What is sealed in the store is sealed in the copy, under the same
//! `[state] key`.

use super::{BUSY, Store};
use crate::clock::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The operating system refused: no space, no right to write into the folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database refused.
    #[error("{}: {source}", path.display())]
    Database {
        /// The copy.
        path: PathBuf,
        /// What the database said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Store {
    /// Makes the backup of the day of `now` (UTC) unless there is one, as `vestibule.db.2026-11-22` beside `vestibule.db`, mode 0600; then deletes the oldest
    /// beyond `keep` (at least one stays). Gives the path of a backup that was made.
    ///
    /// # Errors
    /// [`BackupError`]; older backups are left as they are then.
    pub async fn back_up(&self, now: Timestamp, keep: usize) -> Result<Option<PathBuf>, BackupError> {
        let target = beside(self.path(), &day(now));
        let made = if target.exists() {
            None
        } else {
            let part = beside(&target, "part");
            self.copy_to(&part).await?;
            let failed = |source| BackupError::Io { path: target.clone(), source };
            File::open(&part).and_then(|file| file.sync_all()).map_err(failed)?;
            fs::rename(&part, &target).map_err(failed)?;
            Some(target)
        };
        prune(self.path(), keep.max(1))?;
        Ok(made)
    }

    async fn copy_to(&self, part: &Path) -> Result<(), BackupError> {
        let io = |source| BackupError::Io { path: part.to_path_buf(), source };
        // What a backup that was interrupted has left.
        match fs::remove_file(part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
        // Made here, so that it is never readable by others; SQLite takes an empty file for none.
        drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(part).map_err(io)?);
        let database = |source: sqlx::Error| BackupError::Database { path: part.to_path_buf(), source: Box::new(source) };
        let options = SqliteConnectOptions::new().filename(self.path()).read_only(true).busy_timeout(BUSY);
        let mut connection = options.connect().await.map_err(database)?;
        let copied = sqlx::query("vacuum into $1").bind(part.to_string_lossy().into_owned()).execute(&mut connection).await;
        connection.close().await.map_err(database)?;
        copied.map(|_done| ()).map_err(database)
    }
}

/// Deletes the oldest backups beyond `keep`. Nothing whose name we did not give is touched.
fn prune(store: &Path, keep: usize) -> Result<(), BackupError> {
    let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| BackupError::Io { path, source }
    };
    let prefix = format!("{}.", store.file_name().unwrap_or_default().to_string_lossy());
    let mut backups: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        if entry.file_name().to_str().and_then(|name| name.strip_prefix(&prefix)).is_some_and(is_day) {
            backups.push(entry.path());
        }
    }
    // Dates in this order are in order as text.
    backups.sort();
    let beyond = backups.len().saturating_sub(keep);
    backups.iter().take(beyond).try_for_each(|backup| fs::remove_file(backup).map_err(failed(backup)))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && text.bytes().enumerate().all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
}

/// `2026-11-22`, UTC. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn day(now: Timestamp) -> String {
    let days = now.millis().div_euclid(DAY_MS) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::{day, is_day};
    use crate::clock::Timestamp;

    #[test]
    fn days_are_named_as_calendars_name_them() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
            (1_795_305_600 - 1, "2026-11-21"),
            (1_795_305_600, "2026-11-22"),
            (1_798_761_599, "2026-12-31"),
        ] {
            assert_eq!(day(Timestamp::from_seconds(seconds)), expected, "{seconds}");
        }
        for other in ["", "2026-11-2", "2026-11-22.part", "2026/11/22", "20261122xx", "wal"] {
            assert!(!is_day(other), "{other}");
        }
        assert!(is_day("2026-11-22"));
    }
}
