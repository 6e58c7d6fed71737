//! `vestibule audit verify`: reads files line by line and says what the chain says.

use super::{Files, sealer};
use crate::cli::{NO, YES, print};
use crate::observe::audit::{ChainKey, EndRecord, Finding, Found, Problem, Verdict, Verification};
use crate::state::sqlite;
use serde_json::json;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};

/// No line is longer: what is, is none of ours, and is not read into memory.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Findings that are printed; who has more has another key, or another file.
const FINDINGS_MAX: usize = 100;

/// Verifies; the exit code.
pub(super) fn run(files: &Files, as_json: bool) -> Result<u8, String> {
    let gateway = files.gateway()?;
    let (paths, ours) = (files.paths(&gateway)?, files.ours(&gateway));
    let key = ChainKey::new(sealer(&gateway)?);
    // First: a gateway that runs goes on writing while the lines are read.
    let end = ours.as_ref().zip(sqlite::file_of(&gateway.state.url)).map(|(path, store)| EndRecord::beside(&store, path, key.clone()).found(path));
    let mut verification = Verification::new(key);
    for path in &paths {
        let name = path.display().to_string();
        let unread = |error: std::io::Error| format!("{name} cannot be read: {error}");
        let file = match File::open(path) {
            // That it is not there says the record of its end.
            Err(error) if error.kind() == ErrorKind::NotFound && ours.as_ref() == Some(path) && end.as_ref().is_some_and(Result::is_ok) => continue,
            opened => opened.map_err(unread)?,
        };
        let mut file = BufReader::new(file);
        verification.file(&name);
        let mut line = Vec::new();
        while file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(unread)? > 0 {
            verification.line(line.strip_suffix(b"\n").unwrap_or(&line));
            line.clear();
        }
    }
    let mut verdict = verification.end();
    verdict.end = end.transpose().map_err(|error| format!("the end of the audit file cannot be looked at: {error}"))?;
    let whole = verdict.findings.is_empty() && !matches!(verdict.end, Some(Found::Cut { .. } | Found::Gone { .. } | Found::Unknown { .. }));
    print(&if as_json { format!("{:#}\n", json!(verdict)) } else { text(&verdict) });
    Ok(if whole { YES } else { NO })
}

fn text(verdict: &Verdict) -> String {
    let mut out = String::new();
    for finding in verdict.findings.iter().take(FINDINGS_MAX) {
        // Writing to a String cannot fail.
        let _infallible = writeln!(out, "{}:{}: {}", finding.file, finding.line, said(finding));
    }
    let more = verdict.findings.len().saturating_sub(FINDINGS_MAX);
    if more > 0 {
        let _infallible = writeln!(out, "... and {more} more");
    }
    let all_changed = u64::try_from(verdict.findings.len()).is_ok_and(|count| count == verdict.lines && count > 0)
        && verdict.findings.iter().all(|finding| finding.problem == Problem::Changed);
    if all_changed {
        out += "No line fits: is this the gateway's own --config, with the [state] key that the file was written under?\n";
    }
    let lines = if verdict.lines == 1 { "1 line".to_owned() } else { format!("{} lines", verdict.lines) };
    let problems = match verdict.findings.len() {
        0 => "every one as it was written, none missing between them".to_owned(),
        1 => "1 problem".to_owned(),
        several => format!("{several} problems"),
    };
    let _infallible = writeln!(out, "{lines}: {problems}.");
    if verdict.lost > 0 {
        let lines = if verdict.lost == 1 { "1 event has".to_owned() } else { format!("{} events have", verdict.lost) };
        let _infallible = writeln!(
            out,
            "{lines} no line: the gateway says so itself (`vestibule audit search --action audit.lost`); too many came at once, or the disk took none."
        );
    }
    out += &ended(verdict);
    if !verdict.from_the_beginning {
        out += "The first line follows a line of an older file: give that one before this one to see that nothing is missing between them.\n";
    }
    out
}

/// What is known of the end.
fn ended(verdict: &Verdict) -> String {
    let last = verdict.last.as_deref().unwrap_or("none");
    match &verdict.end {
        Some(Found::Whole) => format!("The last line is {last}: none is missing after it, as the gateway has written down.\n"),
        Some(Found::Cut { written, there, last }) => {
            format!("Lines are missing at the end: the gateway wrote {written} into this file, the last one {last}, and {there} are there.\n")
        }
        Some(Found::Moved { to }) => format!("The file was moved to {to}, which ends where the gateway wrote last; nothing was written since.\n"),
        Some(Found::Gone { written, last }) => format!(
            "The file is not there, or empty: the gateway wrote {written} lines into it, the last one {last}, and no file beside it ends there. \
             If it was moved elsewhere or compressed, give that one to see whether it ends there.\n"
        ),
        Some(Found::Unknown { why }) => format!(
            "The last line is {last}; whether lines are missing after it cannot be told: {why}. That is in order only at the first start after an upgrade from a \
             version that wrote down no end; else somebody removed or changed the record, and lines may have been cut off.\n"
        ),
        None if verdict.last.is_some() => format!("The last line is {last}; whether lines are missing after it only the next file can say.\n"),
        None => String::new(),
    }
}

fn said(finding: &Finding) -> String {
    match (&finding.problem, &finding.follows) {
        (Problem::NoLink, _) => "no line of the chain: half a line, or not written by this gateway".to_owned(),
        (Problem::Changed, _) => "was changed after it was written".to_owned(),
        (Problem::Missing, _) => "one or more lines are missing before this one".to_owned(),
        (Problem::Moved, Some((file, line))) => format!("was moved or copied, or the line before it was: it follows {file}:{line}"),
        (Problem::Moved, None) => "was moved or copied".to_owned(),
        (Problem::BeginsAnew, _) => "a new chain begins here: what was between it and the line before, nothing says".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::observe::audit::{Finding, Found, Problem, Verdict};

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        let finding = |line: u64, problem: Problem, follows: Option<(String, u64)>| Finding { file: "a.jsonl".to_owned(), line, problem, follows };
        let mut verdict = Verdict {
            lines: 9,
            findings: vec![
                finding(3, Problem::Changed, None),
                finding(7, Problem::Moved, Some(("a.jsonl".to_owned(), 2))),
                finding(9, Problem::Missing, None),
            ],
            lost: 0,
            from_the_beginning: false,
            last: Some("ab".to_owned()),
            end: None,
        };
        let expected = "\
a.jsonl:3: was changed after it was written
a.jsonl:7: was moved or copied, or the line before it was: it follows a.jsonl:2
a.jsonl:9: one or more lines are missing before this one
9 lines: 3 problems.
The last line is ab; whether lines are missing after it only the next file can say.
The first line follows a line of an older file: give that one before this one to see that nothing is missing between them.
";
        assert_eq!(text(&verdict), expected);
        verdict.findings = (1..=9).map(|line| finding(line, Problem::Changed, None)).collect();
        assert!(text(&verdict).contains("[state] key"), "{}", text(&verdict));
        verdict.findings.clear();
        assert!(text(&verdict).starts_with("9 lines: every one as it was written"), "{}", text(&verdict));
        verdict.lost = 17;
        assert!(text(&verdict).contains("\n17 events have no line: the gateway says so itself"), "{}", text(&verdict));
        let mut check = |end: Found, expected: &str| {
            verdict.end = Some(end);
            assert!(text(&verdict).contains(expected), "{}", text(&verdict));
        };
        check(Found::Whole, "The last line is ab: none is missing after it");
        check(Found::Cut { written: 12, there: 9, last: "cd".to_owned() }, "wrote 12 into this file, the last one cd, and 9 are there");
        check(Found::Moved { to: "a.jsonl.1".to_owned() }, "moved to a.jsonl.1, which ends where the gateway wrote last");
        check(Found::Gone { written: 12, last: "cd".to_owned() }, "The file is not there, or empty: the gateway wrote 12 lines");
        check(Found::Unknown { why: "no record".to_owned() }, "cannot be told: no record");
    }
}
