//! The chain of an audit file: every line says which one it follows, and vouches for both.
//!
//! Lives here: [`ChainKey`], which links and checks; [`Chained`], the file that is written that way. A line is the event's JSON object with two more keys at its end:
//! `prev`, the `hash` of the line before, and `hash`, an HMAC-SHA-256 under a key derived from `[state] key` over everything before it. Without that key nobody can
//! change a line, leave one out or put one in between unseen (CWE-778, and why a plain hash would not do: whoever changes a line computes the rest anew).
//!
//! When the file is moved away, the next line opens a new one, which begins with the last hash of the old: so files follow each other as lines do. It runs on the
//! writer's thread, so that lines that found no room break nothing. Where the file ends is written down elsewhere after each line (`end.rs`): when it ends before that at
//! the next start, the next line follows the one that is missing, and so the file itself tells for ever.

use super::end::{EndRecord, EndWriter, Found, NotOpened};
use crate::state::seal::Sealer;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What the first line of all follows.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Hex digits of a hash.
const DIGITS: usize = 64;
/// What is read of the end of a file to find its last line: no event is longer.
const TAIL_BYTES: u64 = 1 << 20;

/// Makes and checks hashes.
#[derive(Debug, Clone)]
pub struct ChainKey(Sealer);

/// A line, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// What it says it follows.
    pub prev: &'a str,
    /// Its own hash, as it says.
    pub hash: &'a str,
    /// What the hash is over.
    covered: &'a str,
}

impl ChainKey {
    /// Under a key of its own, derived from the key that `sealer` was made of.
    pub const fn new(sealer: Sealer) -> Self {
        Self(sealer)
    }

    /// `event`, a JSON object on one line, as the line that follows `prev`; and its hash.
    fn link(&self, event: &str, prev: &str) -> (String, String) {
        let object = event.trim_end().strip_suffix('}').unwrap_or(event);
        let comma = if object == "{" { "" } else { "," };
        let covered = format!("{object}{comma}\"prev\":\"{prev}\"");
        let hash = self.hash(&covered);
        (format!("{covered},\"hash\":\"{hash}\"}}\n"), hash)
    }

    /// Whether the hash of `link` is the one that this key makes of it.
    pub fn holds(&self, link: &Link<'_>) -> bool {
        // Equal in any time: what is compared is no secret, and lies in the file.
        self.hash(link.covered) == link.hash
    }

    pub(super) fn hash(&self, covered: &str) -> String {
        hex::encode(self.0.lookup("audit chain", &[covered]))
    }
}

impl<'a> Link<'a> {
    /// Takes a line apart; `None`: it is no line of a chain.
    pub fn of(line: &'a str) -> Option<Self> {
        let (covered, end) = line.rsplit_once(",\"hash\":\"")?;
        let hash = digits(end.strip_suffix("\"}")?)?;
        let (_, end) = covered.rsplit_once("\"prev\":\"")?;
        let prev = digits(end.strip_suffix('"')?)?;
        Some(Self { prev, hash, covered })
    }
}

fn digits(text: &str) -> Option<&str> {
    (text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some(text)
}

/// A file whose lines are a chain.
#[derive(Debug)]
pub(super) struct Chained {
    path: PathBuf,
    file: File,
    key: ChainKey,
    /// Of the line that was written last.
    last: String,
    /// Whether what was written last did not get there whole.
    torn: bool,
    /// How many lines the file has.
    lines: u64,
    /// How many bytes it had when it was written last.
    bytes: u64,
    end: Option<EndWriter>,
    /// Whether the record could not be written the last time.
    unrecorded: bool,
}

impl Chained {
    /// Opens the file to append to it, readable by its owner only; goes on where its last line, or the last of the file that was moved away, ends; or, by the record,
    /// where it ended when it was written last. Also what it is found to be.
    ///
    /// # Errors
    /// [`NotOpened`]: the operating system's, by what it is about.
    pub(super) fn open(path: &Path, key: ChainKey, record: Option<&EndRecord>) -> Result<(Self, Found), NotOpened> {
        let ended = record.map(EndRecord::read);
        let (is, lines) = ended.as_ref().map_or(Ok((Found::Whole, 0)), |ended| super::end::found(path, ended))?;
        let mut file = appended(path)?;
        let (last, torn) = end(&mut file)?;
        let bytes = file.metadata()?.len();
        let last = match (&is, last) {
            (Found::Cut { last, .. } | Found::Gone { last, .. }, _) => last.clone(),
            (_, Some(last)) => last,
            (_, None) if bytes == 0 => newest_beside(path).map_or_else(|| BEGINNING.to_owned(), |(_, last)| last),
            // Lines of before there was a chain: it begins after them.
            (_, None) => BEGINNING.to_owned(),
        };
        let end = record.map(EndRecord::writer).transpose()?;
        Ok((Self { path: path.to_owned(), file, key, last, torn, lines, bytes, end, unrecorded: false }, is))
    }

    /// Writes one event, which is JSON and ends its line.
    ///
    /// # Errors
    /// The operating system's: the line is lost, and the next one follows the one before it.
    pub(super) fn write(&mut self, event: &[u8]) -> io::Result<()> {
        if self.was_moved()? {
            self.file = appended(&self.path)?;
            (self.torn, self.lines, self.bytes) = (false, 0, 0);
        }
        let event = std::str::from_utf8(event).map_err(io::Error::other)?;
        let (line, hash) = self.key.link(event, &self.last);
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        self.torn = true;
        self.file.write_all(line.as_bytes())?;
        self.torn = false;
        self.last = hash;
        self.lines += 1;
        self.bytes = self.file.metadata()?.len();
        self.record();
        Ok(())
    }

    /// The line is there, whatever becomes of the record: that is said once.
    fn record(&mut self) {
        let Some(Err(error)) = self.end.as_ref().map(|end| end.write(self.lines, &self.last)) else {
            self.unrecorded = false;
            return;
        };
        if !std::mem::replace(&mut self.unrecorded, true) {
            tracing::error!(%error, "where the audit file ends cannot be written down: that lines are cut off will not be seen");
        }
    }

    /// Whether the name leads elsewhere by now, as after `logrotate`; what copies and cuts the file (`copytruncate`) leaves it where it is.
    fn was_moved(&mut self) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        if ours.len() < self.bytes {
            self.lines = super::end::counted(File::open(&self.path)?, None)?.links;
        }
        match fs::metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) != (ours.dev(), ours.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn appended(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// The hash of the last whole line of a chain in `file`, and whether something half stands behind it.
fn end(file: &mut File) -> io::Result<(Option<String>, bool)> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    let torn = !tail.is_empty() && !tail.ends_with('\n');
    let last = tail.lines().rev().find_map(|line| Link::of(line).map(|link| link.hash.to_owned()));
    Ok((last, torn))
}

/// The newest file that stands beside `path` under its name and an ending of its own (`audit.jsonl.1`, `audit.jsonl-20261122`), with its last hash.
pub(super) fn newest_beside(path: &Path) -> Option<(PathBuf, String)> {
    let (folder, name) = (path.parent().unwrap_or(Path::new(".")), path.file_name()?.to_str()?);
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let is_older = |entry: &fs::DirEntry| {
        entry.file_name().to_str().and_then(|other| other.strip_prefix(name)).is_some_and(|ending| ending.starts_with(['.', '-']))
    };
    let mut older: Vec<_> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter(is_older)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    older.sort();
    let newest = older.pop()?.1;
    let last = end(&mut File::open(&newest).ok()?).ok()?.0?;
    Some((newest, last))
}

#[cfg(test)]
mod tests {
    use super::{BEGINNING, ChainKey, Chained, Link};
    use crate::entropy::OsEntropy;
    use crate::observe::audit::end::{End, EndRecord, Found};
    use crate::state::seal::Sealer;
    use secrecy::SecretString;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    fn key(text: &str) -> ChainKey {
        ChainKey::new(Sealer::new(&SecretString::from(text), Arc::new(OsEntropy::default())).unwrap())
    }

    fn ours() -> ChainKey {
        key("a key for tests that is long enough to be one")
    }

    #[test]
    fn a_line_vouches_for_itself_and_names_the_one_before() {
        let (first, hash) = ours().link("{\"action\":\"a\"}\n", BEGINNING);
        let (second, _) = ours().link("{}", &hash);
        let link = Link::of(first.trim_end()).unwrap();
        assert_eq!((link.prev, link.hash, ours().holds(&link)), (BEGINNING, hash.as_str(), true));
        let event: serde_json::Value = serde_json::from_str(&first).unwrap();
        assert_eq!((event["action"].as_str(), event["hash"].as_str()), (Some("a"), Some(hash.as_str())));
        let next = Link::of(second.trim_end()).unwrap();
        assert_eq!((next.prev, ours().holds(&next)), (hash.as_str(), true));
        assert!(serde_json::from_str::<serde_json::Value>(&second).is_ok());

        let check = |line: &str| assert!(Link::of(line).is_none_or(|link| !ours().holds(&link)), "{line}");
        check(&first.trim_end().replace("\"a\"", "\"b\""));
        check(&first.trim_end().replace(BEGINNING, &hash));
        check(&first.trim_end().replace(",\"hash\"", ", \"hash\""));
        check(&first.trim_end().to_uppercase());
        check("{\"action\":\"a\"}");
        check("");
        assert!(!key("another key for tests that is long enough").holds(&link));
        // What an event says cannot pass for the chain's own keys: theirs are the last.
        let sly = format!("{{\"reason\":\"\\\",\\\"prev\\\":\\\"{hash}\\\",\\\"hash\\\":\\\"{hash}\\\"}}\"}}");
        let (written, _) = ours().link(&sly, BEGINNING);
        assert_eq!(Link::of(written.trim_end()).map(|link| link.prev), Some(BEGINNING));
    }

    /// `prev` and `hash` of every line.
    fn links(text: &str) -> Vec<(String, String)> {
        text.lines().map(|line| Link::of(line).unwrap_or_else(|| panic!("{line}"))).map(|link| (link.prev.to_owned(), link.hash.to_owned())).collect()
    }

    #[test]
    fn a_file_goes_on_where_it_ended_also_after_it_was_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut file = Chained::open(&path, ours(), None).unwrap().0;
        file.write(b"{\"n\":1}\n").unwrap();
        file.write(b"{\"n\":2}\n").unwrap();
        drop(file);
        let mut file = Chained::open(&path, ours(), None).unwrap().0;
        file.write(b"{\"n\":3}\n").unwrap();
        let old = folder.path().join("audit.jsonl.1");
        fs::rename(&path, &old).unwrap();
        file.write(b"{\"n\":4}\n").unwrap();
        let (before, after) = (links(&fs::read_to_string(&old).unwrap()), links(&fs::read_to_string(&path).unwrap()));
        assert_eq!((before.len(), after.len()), (3, 1));
        assert_eq!(before[0].0, BEGINNING);
        assert!(before.windows(2).all(|two| two[1].0 == two[0].1) && after[0].0 == before[2].1);
        // Moved while nobody wrote.
        drop(file);
        fs::rename(&path, folder.path().join("audit.jsonl.2")).unwrap();
        let mut file = Chained::open(&path, ours(), None).unwrap().0;
        file.write(b"{\"n\":5}\n").unwrap();
        assert_eq!(links(&fs::read_to_string(&path).unwrap())[0].0, after[0].1);
        // Cut to nothing in its place.
        let last = links(&fs::read_to_string(&path).unwrap())[0].1.clone();
        fs::write(&path, b"").unwrap();
        file.write(b"{\"n\":6}\n").unwrap();
        assert_eq!(links(&fs::read_to_string(&path).unwrap())[0].0, last);
    }

    /// What an audit file is found to be at a start, after `change` was done to a file of five lines; and whether the next line follows the last that was written.
    fn found_after(change: impl FnOnce(&Path, &Path)) -> (Found, bool) {
        let folder = tempfile::tempdir().unwrap();
        let (path, store) = (folder.path().join("audit.jsonl"), folder.path().join("v.db"));
        let record = EndRecord::beside(&store, &path, ours());
        let (mut file, is) = Chained::open(&path, ours(), Some(&record)).unwrap();
        assert_eq!(is, Found::Whole);
        for n in 0..5 {
            file.write(format!("{{\"n\":{n}}}\n").as_bytes()).unwrap();
        }
        drop(file);
        let last = links(&fs::read_to_string(&path).unwrap())[4].1.clone();
        assert_eq!(record.read().unwrap(), End { lines: 5, hash: last.clone() });
        let of_record =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).find(|path| path != &folder.path().join("audit.jsonl"));
        change(&path, &of_record.unwrap());
        let (mut file, is) = Chained::open(&path, ours(), Some(&record)).unwrap();
        file.write(b"{\"n\":5}\n").unwrap();
        let follows = links(&fs::read_to_string(&path).unwrap()).last().unwrap().0 == last;
        let (_, again) = Chained::open(&path, ours(), Some(&record)).unwrap();
        assert_eq!(again, Found::Whole, "told once");
        (is, follows)
    }

    fn without_last(path: &Path, lines: usize) {
        let text = fs::read_to_string(path).unwrap();
        let kept: String = text.split_inclusive('\n').take(5 - lines).collect();
        fs::write(path, kept).unwrap();
    }

    #[test]
    fn a_file_that_was_cut_is_told_from_one_that_was_moved() {
        assert_eq!(found_after(|_, _| {}), (Found::Whole, true));
        for lines in [1, 4] {
            let (found, follows) = found_after(|path, _| without_last(path, lines));
            let there = 5 - u64::try_from(lines).unwrap();
            assert!(matches!(found, Found::Cut { written: 5, there: found, .. } if found == there) && follows, "{found:?}");
        }
        // Moved away, with the new one made already or not, or copied and cut in its place.
        let (found, follows) = found_after(|path, _| fs::rename(path, path.with_extension("jsonl.1")).unwrap());
        assert!(matches!(&found, Found::Moved { to } if to.ends_with("audit.jsonl.1")) && follows, "{found:?}");
        let (found, follows) = found_after(|path, _| {
            fs::copy(path, path.with_extension("jsonl-20261122")).unwrap();
            fs::write(path, b"").unwrap();
        });
        assert!(matches!(&found, Found::Moved { to } if to.ends_with("audit.jsonl-20261122")) && follows, "{found:?}");
        // Gone, with one beside it that ends before; or all of it in its place.
        let gone = |found: &Found| matches!(found, Found::Gone { written: 5, .. });
        let (found, follows) = found_after(|path, _| {
            without_last(path, 2);
            fs::rename(path, path.with_extension("jsonl.1")).unwrap();
        });
        assert!(gone(&found) && follows, "{found:?}");
        let (found, follows) = found_after(|path, _| fs::write(path, b"").unwrap());
        assert!(gone(&found) && follows, "{found:?}");
        let (found, follows) = found_after(|path, _| fs::remove_file(path).unwrap());
        assert!(gone(&found) && follows, "{found:?}");
        // The record is gone, or somebody wrote one.
        for text in [None, Some("00000000000000000003 ab cd\n"), Some("")] {
            let (found, _) = found_after(|path, record| {
                without_last(path, 2);
                text.map_or_else(|| fs::remove_file(record), |text| fs::write(record, text)).unwrap();
            });
            assert!(matches!(&found, Found::Unknown { why } if why.contains("record")), "{found:?}");
        }
        // One of an earlier moment, with the file as it is: killed between a line and its record.
        let mut early = None;
        let folder = tempfile::tempdir().unwrap();
        let (path, store) = (folder.path().join("a"), folder.path().join("v.db"));
        let record = EndRecord::beside(&store, &path, ours());
        let (mut file, _) = Chained::open(&path, ours(), Some(&record)).unwrap();
        for n in 0..3 {
            file.write(b"{}\n").unwrap();
            early = early.or_else(|| (n == 1).then(|| record.read().unwrap()));
        }
        record.writer().unwrap().write(2, &early.unwrap().hash).unwrap();
        drop(file);
        let (mut file, found) = Chained::open(&path, ours(), Some(&record)).unwrap();
        file.write(b"{}\n").unwrap();
        assert_eq!((found, record.read().unwrap().lines), (Found::Whole, 4));
        assert!(links(&fs::read_to_string(&path).unwrap()).windows(2).all(|two| two[1].0 == two[0].1));
    }

    #[test]
    fn the_record_follows_a_file_that_is_moved_or_cut_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (path, store) = (folder.path().join("audit.jsonl"), folder.path().join("v.db"));
        let record = EndRecord::beside(&store, &path, ours());
        let (mut file, _) = Chained::open(&path, ours(), Some(&record)).unwrap();
        let mut write = |lines: u64| {
            file.write(b"{}\n").unwrap();
            assert_eq!(record.read().unwrap().lines, lines);
        };
        write(1);
        write(2);
        fs::rename(&path, folder.path().join("audit.jsonl.1")).unwrap();
        write(1);
        write(2);
        fs::write(&path, b"").unwrap();
        write(1);
        // However its path is written.
        let same = EndRecord::beside(&store, &folder.path().join(".").join("audit.jsonl"), ours());
        assert_eq!(same.read().unwrap(), record.read().unwrap());
        assert!(EndRecord::beside(&store, &folder.path().join("other"), ours()).read().is_err());
        assert!(EndRecord::beside(&store, &path, key("another key for tests that is long enough")).read().is_err());
    }

    #[test]
    fn half_a_line_is_left_behind_and_lines_of_before_are_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, "{\"old\":true}\n").unwrap();
        let mut file = Chained::open(&path, ours(), None).unwrap().0;
        file.write(b"{\"n\":1}\n").unwrap();
        drop(file);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"n\":2,\"ac")).unwrap();
        let mut file = Chained::open(&path, ours(), None).unwrap().0;
        file.write(b"{\"n\":3}\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "{\"n\":2,\"ac");
        let (first, third) = (Link::of(lines[1]).unwrap(), Link::of(lines[3]).unwrap());
        assert_eq!((first.prev, third.prev), (BEGINNING, first.hash));
    }
}
