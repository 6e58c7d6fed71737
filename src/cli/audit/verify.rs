//! `vestibule audit verify`: reads files line by line and says what the chain says.

use super::{Files, sealer};
use crate::cli::{NO, YES, print};
use crate::observe::audit::{ChainKey, Finding, Problem, Verdict, Verification};
use serde_json::json;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

/// No line is longer: what is, is none of ours, and is not read into memory.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Findings that are printed; who has more has another key, or another file.
const FINDINGS_MAX: usize = 100;

/// Verifies; the exit code.
pub(super) fn run(files: &Files, as_json: bool) -> Result<u8, String> {
    let gateway = files.gateway()?;
    let paths = files.paths(&gateway)?;
    let mut verification = Verification::new(ChainKey::new(sealer(&gateway)?));
    for path in &paths {
        let name = path.display().to_string();
        let unread = |error: std::io::Error| format!("{name} cannot be read: {error}");
        let mut file = BufReader::new(File::open(path).map_err(unread)?);
        verification.file(&name);
        let mut line = Vec::new();
        while file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(unread)? > 0 {
            verification.line(line.strip_suffix(b"\n").unwrap_or(&line));
            line.clear();
        }
    }
    let verdict = verification.end();
    let whole = verdict.findings.is_empty();
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
    if !verdict.from_the_beginning {
        out += "The first line follows a line of an older file: give that one before this one to see that nothing is missing between them.\n";
    }
    if let Some(last) = &verdict.last {
        let _infallible = writeln!(out, "The last line is {last}; whether lines are missing after it only the next one can say.");
    }
    out
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
    use crate::observe::audit::{Finding, Problem, Verdict};

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
            from_the_beginning: false,
            last: Some("ab".to_owned()),
        };
        let expected = "\
a.jsonl:3: was changed after it was written
a.jsonl:7: was moved or copied, or the line before it was: it follows a.jsonl:2
a.jsonl:9: one or more lines are missing before this one
9 lines: 3 problems.
The first line follows a line of an older file: give that one before this one to see that nothing is missing between them.
The last line is ab; whether lines are missing after it only the next one can say.
";
        assert_eq!(text(&verdict), expected);
        verdict.findings = (1..=9).map(|line| finding(line, Problem::Changed, None)).collect();
        assert!(text(&verdict).contains("[state] key"), "{}", text(&verdict));
        verdict.findings.clear();
        assert!(text(&verdict).starts_with("9 lines: every one as it was written"), "{}", text(&verdict));
    }
}
