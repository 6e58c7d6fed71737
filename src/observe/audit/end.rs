//! Where an audit file ended, written down elsewhere.
//!
//! Lives here: [`EndRecord`], a small file beside the store that says how many lines the audit file has and what the last one's hash is, under a key as the lines are; and
//! [`Found`], what the file is found to be by it. Apart from `chain.rs` because a chain cannot say where it ends: lines cut off at its end leave a chain that holds.
//!
//! The record is written after each line, so a process that is killed between the two leaves a file that is ahead of it, which is no cut. Neither waits for the disk: after
//! a power cut lines may be missing that nobody took.
//!
//! What it cannot see: somebody who puts both the file and the record back to what they were at the same earlier moment.

use super::chain::{ChainKey, Link};
use crate::state::SecretHash;
use serde::Serialize;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Longer than any record.
const RECORD_BYTES_MAX: u64 = 512;
/// No line is longer.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Where the record of an audit file is.
#[derive(Debug, Clone)]
pub struct EndRecord {
    path: PathBuf,
    key: ChainKey,
}

/// Where a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// How many lines the file had.
    pub lines: u64,
    /// Hash of the last one.
    pub hash: String,
}

/// Why it is not known where a file ended.
#[derive(Debug, thiserror::Error)]
pub enum NoEnd {
    /// There is no record: nothing was written yet, or it was removed.
    #[error("there is no record of where the file ended")]
    Nothing,
    /// It was changed, or written under another key.
    #[error("the record of where the file ended was changed, or written under another [state] key")]
    Changed,
    /// The operating system's.
    #[error("the record of where the file ended cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Why the place of audit events was not opened.
#[derive(Debug)]
pub(in crate::observe) enum NotOpened {
    /// The place itself.
    Sink(io::Error),
    /// The record of where the file ends, which is at this path, beside the store.
    Record(PathBuf, io::Error),
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> Self {
        Self::Sink(error)
    }
}

/// What an audit file is found to be, by the record of its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum Found {
    /// It ends where it ended, or beyond.
    Whole,
    /// It was moved to this file, which ends where it ended; nothing was written since.
    Moved {
        /// Where it is.
        to: String,
    },
    /// It is not there any more, or empty, and nothing beside it ends where it ended: moved elsewhere, compressed, or removed.
    Gone {
        /// How many lines it had.
        written: u64,
        /// Hash of the last one.
        last: String,
    },
    /// Its last lines are missing.
    Cut {
        /// How many lines it had.
        written: u64,
        /// How many it has.
        there: u64,
        /// Hash of the last one that was written.
        last: String,
    },
    /// It has lines, and nobody knows where it ended.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl EndRecord {
    /// Of the audit file `audit`, beside the store's file `store`.
    pub fn beside(store: &Path, audit: &Path, key: ChainKey) -> Self {
        let folder = audit.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // However its path is written: the record is found by it.
        let whole = fs::canonicalize(folder).unwrap_or_else(|_not_there| folder.to_owned()).join(audit.file_name().unwrap_or_default());
        let SecretHash([a, b, c, d, ..]) = SecretHash::of(whole.as_os_str().as_encoded_bytes());
        let mut path = store.as_os_str().to_owned();
        path.push(format!(".audit-{:08x}", u32::from_be_bytes([a, b, c, d])));
        Self { path: path.into(), key }
    }

    /// Where the file ended.
    ///
    /// # Errors
    /// [`NoEnd`] by cause.
    pub fn read(&self) -> Result<End, NoEnd> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(NoEnd::Nothing),
            opened => opened?,
        };
        let mut text = String::new();
        file.take(RECORD_BYTES_MAX).read_to_string(&mut text)?;
        let mut words = text.lines().next().unwrap_or_default().split(' ');
        let (Some(lines), Some(hash), Some(mac), None) = (words.next(), words.next(), words.next(), words.next()) else { return Err(NoEnd::Changed) };
        match lines.parse() {
            Ok(lines) if self.key.hash(&covered(lines, hash)) == mac => Ok(End { lines, hash: hash.to_owned() }),
            _ => Err(NoEnd::Changed),
        }
    }

    /// What the audit file at `path` is by it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn found(&self, path: &Path) -> io::Result<Found> {
        found(path, &self.read()).map(|(found, _)| found)
    }

    /// Opens the record to write it, readable by its owner only.
    ///
    /// # Errors
    /// [`NotOpened::Record`].
    pub(super) fn writer(&self) -> Result<EndWriter, NotOpened> {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path);
        let file = opened.map_err(|error| NotOpened::Record(self.path.clone(), error))?;
        Ok(EndWriter { file, key: self.key.clone() })
    }
}

/// Writes a record.
#[derive(Debug)]
pub(super) struct EndWriter {
    file: File,
    key: ChainKey,
}

impl EndWriter {
    /// The file has `lines` lines now, the last one with this hash.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn write(&self, lines: u64, hash: &str) -> io::Result<()> {
        let covered = covered(lines, hash);
        let mac = self.key.hash(&covered);
        // As long as the one before, so that there is nothing to cut, and within one page: no reader ever finds half of it.
        self.file.write_all_at(format!("{covered} {mac}\n").as_bytes(), 0)
    }
}

fn covered(lines: u64, hash: &str) -> String {
    let mut out = String::with_capacity(160);
    // Writing to a String cannot fail.
    write!(out, "{lines:020} {hash}").unwrap_or_default();
    out
}

/// What the file at `path` is, which ended at `end`; and how many lines of a chain it has.
///
/// # Errors
/// The operating system's.
pub(super) fn found(path: &Path, end: &Result<End, NoEnd>) -> io::Result<(Found, u64)> {
    let counted = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Counted::default(),
        opened => counted(opened?, end.as_ref().ok().map(|end| end.hash.as_str()))?,
    };
    Ok((judged(path, end, &counted), counted.links))
}

/// What a file with this in it is, which ended at `end`.
fn judged(path: &Path, end: &Result<End, NoEnd>, counted: &Counted) -> Found {
    let end = match end {
        Ok(end) => end,
        // Nothing was written, and nothing is there.
        Err(NoEnd::Nothing) if counted.links == 0 && super::chain::newest_beside(path).is_none() => return Found::Whole,
        Err(why) => return Found::Unknown { why: why.to_string() },
    };
    if counted.has_it {
        return Found::Whole;
    }
    let (written, last) = (end.lines, end.hash.clone());
    if counted.links > 0 {
        return Found::Cut { written, there: counted.links, last };
    }
    match super::chain::newest_beside(path).filter(|(_, hash)| *hash == end.hash) {
        Some((to, _)) => Found::Moved { to: to.display().to_string() },
        None => Found::Gone { written, last },
    }
}

/// What is in a file.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Lines of a chain.
    pub(super) links: u64,
    /// Whether the line with the wanted hash is among them.
    has_it: bool,
}

/// Reads a file from its beginning.
pub(super) fn counted(file: File, wanted: Option<&str>) -> io::Result<Counted> {
    let (mut file, mut line, mut counted) = (BufReader::new(file), Vec::new(), Counted::default());
    while file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
        if let Some(link) = std::str::from_utf8(&line).ok().and_then(|line| Link::of(line.trim_end())) {
            counted.links += 1;
            counted.has_it |= wanted == Some(link.hash);
        }
        line.clear();
    }
    Ok(counted)
}
