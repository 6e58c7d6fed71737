//! Whether an audit file is as it was written.
//!
//! Lives here: [`Verification`], which is fed lines in the order of their files and says which were changed, are missing or stand elsewhere. Pure but for the key's
//! arithmetic; `vestibule audit verify` reads the files and prints what it says. Whether lines are missing at the very
//! end, which nothing follows, the record of the end says (`end.rs`).

use super::chain::{BEGINNING, ChainKey, Link};
use super::end::Found;
use serde::Serialize;
use std::collections::HashMap;

/// Looks at lines.
#[derive(Debug)]
pub struct Verification {
    key: ChainKey,
    files: Vec<String>,
    lines: Vec<Seen>,
    number: u64,
    lost: u64,
}

/// What is wrong at a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, as given.
    pub file: String,
    /// Its line, from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: Problem,
    /// Where the line is that it follows, when that is elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follows: Option<(String, u64)>,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// It is no line of a chain: half a line, one of somebody else, or one from before there was a chain.
    NoLink,
    /// Its hash does not fit: it was changed, or written under another key.
    Changed,
    /// It follows a line that is nowhere: one or more were taken out before it.
    Missing,
    /// It follows a line that stands elsewhere: it was moved, or copied.
    Moved,
    /// It begins a chain although lines stand before it: what was between them, nothing says.
    BeginsAnew,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How many lines there are.
    pub lines: u64,
    /// What is wrong, in the order of the lines.
    pub findings: Vec<Finding>,
    /// How many events have no line, by the gateway's own account (`audit.lost`): they found no room, or could not be written. Nobody took them out.
    pub lost: u64,
    /// Whether nothing comes before the first line; else an older file does.
    pub from_the_beginning: bool,
    /// Hash of the last line: what the next file begins with.
    pub last: Option<String>,
    /// What the file of `[audit]` is by the record of its end; `None`: it is not among those that were looked at.
    #[serde(flatten)]
    pub end: Option<Found>,
}

#[derive(Debug)]
struct Seen {
    file: usize,
    number: u64,
    link: Option<Linked>,
}

#[derive(Debug)]
struct Linked {
    prev: u128,
    hash: u128,
    holds: bool,
    is_first: bool,
}

impl Verification {
    /// With the key that the lines were written under.
    pub const fn new(key: ChainKey) -> Self {
        Self { key, files: Vec::new(), lines: Vec::new(), number: 0, lost: 0 }
    }

    /// The lines that follow are those of this file.
    pub fn file(&mut self, name: &str) {
        self.files.push(name.to_owned());
        self.number = 0;
    }

    /// The next line, without its end.
    pub fn line(&mut self, bytes: &[u8]) {
        self.number += 1;
        // What is left of a line that could not be written.
        if bytes.is_empty() {
            return;
        }
        let link = std::str::from_utf8(bytes).ok().and_then(Link::of);
        let holds = link.is_some_and(|link| self.key.holds(&link));
        if holds && let Ok(line) = std::str::from_utf8(bytes) {
            self.lost += super::confessed(line).unwrap_or_default();
        }
        let link = link.map(|link| Linked { prev: number(link.prev), hash: number(link.hash), holds, is_first: link.prev == BEGINNING });
        self.lines.push(Seen { file: self.files.len().saturating_sub(1), number: self.number, link });
    }

    /// What was found.
    pub fn end(self) -> Verdict {
        let places: HashMap<u128, &Seen> = self.lines.iter().filter_map(|seen| Some((seen.link.as_ref()?.hash, seen))).collect();
        let name = |seen: &Seen| self.files.get(seen.file).cloned().unwrap_or_default();
        let (mut findings, mut before, mut from_the_beginning) = (Vec::new(), None, true);
        for seen in &self.lines {
            let found = match &seen.link {
                None => Some((Problem::NoLink, None)),
                Some(link) => {
                    let after = before.replace(link.hash);
                    if after.is_none() {
                        from_the_beginning = link.is_first;
                    }
                    match after {
                        _ if !link.holds => Some((Problem::Changed, None)),
                        Some(after) if after != link.prev && link.is_first => Some((Problem::BeginsAnew, None)),
                        Some(after) if after != link.prev => Some(
                            places
                                .get(&link.prev)
                                .map_or((Problem::Missing, None), |follows| (Problem::Moved, Some((name(follows), follows.number)))),
                        ),
                        Some(_) | None => None,
                    }
                }
            };
            findings.extend(found.map(|(problem, follows)| Finding { file: name(seen), line: seen.number, problem, follows }));
        }
        let last = before.map(|hash| format!("{hash:032x}"));
        Verdict { lines: u64::try_from(self.lines.len()).unwrap_or(u64::MAX), findings, lost: self.lost, from_the_beginning, last, end: None }
    }
}

/// Half of a hash: enough to tell lines apart.
fn number(hash: &str) -> u128 {
    hash.get(..32).and_then(|half| u128::from_str_radix(half, 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Problem, Verification};
    use crate::entropy::OsEntropy;
    use crate::observe::audit::chain::{ChainKey, Chained};
    use crate::state::seal::Sealer;
    use secrecy::SecretString;
    use std::sync::Arc;

    fn key(text: &str) -> ChainKey {
        ChainKey::new(Sealer::new(&SecretString::from(text), Arc::new(OsEntropy::default())).unwrap())
    }

    fn ours() -> ChainKey {
        key("a key for tests that is long enough to be one")
    }

    /// Lines that are a chain.
    fn lines(count: usize) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = Chained::open(&path, ours(), None).unwrap().0;
        for n in 0..count {
            file.write(format!("{{\"n\":{n}}}\n").as_bytes()).unwrap();
        }
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    fn found(files: &[&[String]], key: ChainKey) -> Vec<(String, u64, Problem)> {
        let mut verification = Verification::new(key);
        for (at, lines) in files.iter().enumerate() {
            verification.file(&format!("f{at}"));
            lines.iter().for_each(|line| verification.line(line.as_bytes()));
        }
        verification.end().findings.into_iter().map(|finding| (finding.file, finding.line, finding.problem)).collect()
    }

    #[test]
    fn whatever_was_done_to_a_line_is_told_with_its_number() {
        let check = |change: &dyn Fn(&mut Vec<String>), expected: &[(u64, Problem)]| {
            let mut lines = lines(8);
            change(&mut lines);
            let found: Vec<_> = found(&[&lines], ours()).into_iter().map(|(_, line, problem)| (line, problem)).collect();
            assert_eq!(found, expected);
        };
        check(&|_| {}, &[]);
        check(&|lines| lines[3] = lines[3].replace("\"n\":3", "\"n\":4"), &[(4, Problem::Changed)]);
        check(&|lines| drop(lines.remove(3)), &[(4, Problem::Missing)]);
        check(&|lines| drop(lines.drain(2..5)), &[(3, Problem::Missing)]);
        check(&|lines| lines.swap(3, 4), &[(4, Problem::Moved), (5, Problem::Moved), (6, Problem::Moved)]);
        check(&|lines| lines.insert(4, lines[1].clone()), &[(5, Problem::Moved), (6, Problem::Moved)]);
        check(&|lines| lines.insert(4, lines[0].clone()), &[(5, Problem::BeginsAnew), (6, Problem::Moved)]);
        check(&|lines| lines.insert(4, "{\"n\":9}".to_owned()), &[(5, Problem::NoLink)]);
        check(&|lines| lines[7] = lines[7].chars().take(20).collect(), &[(8, Problem::NoLink)]);
        check(&|lines| lines.insert(4, String::new()), &[]);
        // With a hash of the forger's own making, as everything that follows.
        check(&|lines| lines[3] = lines[3].replace("\"hash\":\"", "\"hash\":\"0"), &[(4, Problem::NoLink), (5, Problem::Missing)]);
    }

    #[test]
    fn lines_that_were_lost_are_counted_where_the_gateway_itself_has_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = Chained::open(&path, ours(), None).unwrap().0;
        for event in ["{\"action\":\"audit.lost\",\"lines\":17}", "{\"action\":\"logout\"}", "{\"action\":\"audit.lost\",\"lines\":3}"] {
            file.write(format!("{event}\n").as_bytes()).unwrap();
        }
        let mut verification = Verification::new(ours());
        verification.file("a");
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().for_each(|line| verification.line(line.as_bytes()));
        // Somebody else's word counts for nothing.
        verification.line(b"{\"action\":\"audit.lost\",\"lines\":1000}");
        verification.line(text.lines().next().unwrap().replace("17", "99").as_bytes());
        let verdict = verification.end();
        assert_eq!((verdict.lost, verdict.findings.len()), (20, 2));
    }

    #[test]
    fn files_follow_each_other_as_lines_do() {
        let lines = lines(6);
        assert_eq!(found(&[&lines[..3], &lines[3..]], ours()), []);
        assert_eq!(found(&[&lines[..2], &lines[3..]], ours()), [("f1".to_owned(), 1, Problem::Missing)]);
        assert_eq!(found(&[&lines[3..], &lines[..3]], ours()), [("f1".to_owned(), 1, Problem::BeginsAnew)]);
        let mut later = Verification::new(ours());
        later.file("f");
        lines[3..].iter().for_each(|line| later.line(line.as_bytes()));
        let verdict = later.end();
        assert!(verdict.findings.is_empty() && !verdict.from_the_beginning && lines[5].contains(&verdict.last.unwrap()));
        assert_eq!(found(&[&lines], key("another key for tests that is long enough")).len(), 6, "another key vouches for nothing");
    }
}
