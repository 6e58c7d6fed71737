//! What is wrong with a file, where, and the way out.
//!
//! A [`Problem`] is a mistake in configuration, found at `check`, start or reload; it is never shown to an end user. The look
//! is the compiler's: code, place, source line, label under the spot, help.

use super::{Entry, Node, SourceFile, Span, Table};
use std::fmt::Write as _;

/// Whether a problem keeps the file from being loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is not loaded.
    Error,
    /// The file is loaded; somebody should look.
    Warning,
}

/// One thing wrong with a file.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// Stable identifier such as `unknown-key`.
    pub code: &'static str,
    /// One sentence without a full stop.
    pub message: String,
    /// The file it is in.
    pub file: SourceFile,
    /// The bytes it is about; `None` when it is about the whole file.
    pub span: Option<Span>,
    /// Written beside the carets; may be empty.
    pub label: String,
    /// Ways out, one line each.
    pub helps: Vec<String>,
}

impl Problem {
    /// An error at `span`.
    pub fn error(code: &'static str, file: &SourceFile, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            file: file.clone(),
            span: Some(span),
            label: String::new(),
            helps: Vec::new(),
        }
    }

    /// A warning at `span`.
    pub fn warning(code: &'static str, file: &SourceFile, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, file, span, message) }
    }

    /// With `label` beside the carets.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With one more way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(help.into());
        self
    }

    /// Line and column of the start, both from 1; columns count characters.
    pub fn line_column(&self) -> (usize, usize) {
        self.line_column_of(self.span.as_ref().map_or(0, |span| span.start))
    }

    /// Line and column of what follows the end.
    pub fn end_line_column(&self) -> (usize, usize) {
        self.line_column_of(self.span.as_ref().map_or(0, |span| span.end.max(span.start)))
    }

    fn line_column_of(&self, offset: usize) -> (usize, usize) {
        let start = offset.min(self.file.text.len());
        let before = self.file.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before.get(line_start..).unwrap_or_default().chars().count() + 1)
    }

    /// The problem as people read it, in plain text.
    pub fn render(&self) -> String {
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        let mut out = format!("{severity}[{}]: {}\n", self.code, clean(&self.message));
        let (line, column) = self.line_column();
        let number = line.to_string();
        let pad = " ".repeat(number.len());
        if let Some(span) = &self.span {
            let (text, before) = excerpt(&clean(self.file.text.lines().nth(line - 1).unwrap_or_default()), column - 1);
            let width = self.file.text.get(span.clone()).map_or(1, |spot| spot.lines().next().unwrap_or_default().chars().count());
            let width = width.min(text.chars().count().saturating_sub(before)).max(1);
            // Tabs stay tabs, so that the marks stand under the spot whatever a tab is worth.
            let indent: String = text.chars().take(before).map(|c| if c == '\t' { c } else { ' ' }).collect();
            let marks = format!("{indent}{}", "^".repeat(width));
            let label = if self.label.is_empty() { String::new() } else { format!(" {}", clean(&self.label)) };
            // Writing to a String cannot fail.
            let _infallible = write!(out, "{pad}--> {}:{line}:{column}\n{pad} |\n{number} | {text}\n{pad} | {marks}{label}\n", self.file.name);
        } else {
            let _infallible = writeln!(out, "{pad}--> {}", self.file.name);
        }
        if !self.helps.is_empty() {
            let _infallible = writeln!(out, "{pad} |");
        }
        for help in &self.helps {
            let _infallible = writeln!(out, "{pad} = help: {}", clean(help));
        }
        out
    }
}

/// A line is shown whole up to here; what programs write (JSON on one line) may be any length.
const LINE_CHARS_MAX: usize = 200;

/// What is shown of a line, and how many characters of that stand before the spot.
fn excerpt(line: &str, spot: usize) -> (String, usize) {
    let chars = line.chars().count();
    if chars <= LINE_CHARS_MAX {
        return (line.to_owned(), spot);
    }
    let start = spot.saturating_sub(LINE_CHARS_MAX / 3);
    let shown: String = line.chars().skip(start).take(LINE_CHARS_MAX).collect();
    let after = if start + LINE_CHARS_MAX < chars { "…" } else { "" };
    if start == 0 { (format!("{shown}{after}"), spot) } else { (format!("…{shown}{after}"), spot - start + 1) }
}

/// Without control characters: a file must not steer the terminal of the person who checks it.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// By place; what concerns a whole file comes last.
pub fn in_order(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
}

/// What a look over some files found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Problems, by file and place.
    pub problems: Vec<Problem>,
    /// Files that were looked at.
    pub files: usize,
}

impl Report {
    /// Problems that keep a file from being loaded.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// All problems and the closing line, in plain text.
    pub fn render(&self) -> String {
        self.render_with(if self.errors() == 0 { "" } else { "Nothing was loaded." })
    }

    /// As [`Self::render`], with `closing` after the numbers; empty for none.
    pub fn render_with(&self, closing: &str) -> String {
        let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let mut out: String = self.problems.iter().map(|problem| problem.render() + "\n").collect();
        let errors = self.errors();
        let found = format!("{}, {} in {}", count(errors, "error"), count(self.problems.len() - errors, "warning"), count(self.files, "file"));
        out.push_str(&found);
        out.push_str(if closing.is_empty() { "." } else { ". " });
        out + closing + "\n"
    }
}

/// A place the TOML parser could not read.
pub(super) fn syntax(file: &SourceFile, message: &str, span: Option<Span>) -> Problem {
    let mut span = span.unwrap_or(0..0);
    span.start = span.start.min(file.text.len());
    let mut problem = Problem::error("syntax", file, span, message.to_owned());
    let line = file.text.lines().nth(problem.line_column().0 - 1).unwrap_or_default();
    if let Some(help) = from_yaml(line) {
        problem = problem.help(help);
    }
    problem
}

/// The way out of a key or section that is written twice, by what has been read of the file.
pub(super) fn twice(problem: Problem, tree: &Table) -> Problem {
    let Some(span) = problem.span.clone().filter(|_| problem.message.starts_with("duplicate key")) else { return problem };
    let line_of = |at: usize| problem.file.text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    let line = problem.file.text.lines().nth(line_of(span.start) - 1).unwrap_or_default().trim();
    let name = problem.file.text.get(span.clone()).unwrap_or_default().trim();
    let help = match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((path, _)) => first_section(problem.file.text.get(..span.start).unwrap_or_default(), path)
            .map(|first| format!("`[{path}]` begins on line {} already: write these keys there", line_of(first))),
        None => first_key(tree, &problem.file, span.start, name)
            .map(|first| format!("`{name}` is set on line {} already: keep one of the two; several values go into one list", line_of(first))),
    };
    match help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

/// Where `[path]` begins first. Of two such sections the parser keeps the second, so that the text is asked.
fn first_section(text: &str, path: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')).is_some_and(|(other, _)| other == path) {
            return Some(at);
        }
        at += line.len();
    }
    None
}

/// Where a key stood last before `at`: one table's keys stand together, so that this is the same table.
fn first_key(tree: &Table, file: &SourceFile, at: usize, name: &str) -> Option<usize> {
    let begins_line =
        |at: usize| file.text.get(..at).is_some_and(|before| before.trim_end_matches([' ', '\t']).ends_with(['\n', '[']) || before.is_empty());
    let inner = |node: &Node| {
        let one = std::slice::from_ref(node);
        node.as_list().unwrap_or(one).iter().filter_map(Node::as_table).filter_map(|table| first_key(table, file, at, name)).max()
    };
    let here = tree.entries.iter().filter(|entry| entry.key_span.start < at);
    let same = |entry: &&Entry| entry.key == name.trim_matches(['"', '\'']) && begins_line(entry.key_span.start) == begins_line(at);
    here.clone().filter(same).map(|entry| entry.key_span.start).chain(here.filter_map(|entry| inner(&entry.node))).max()
}

/// What a line would be in TOML that looks like YAML.
fn from_yaml(line: &str) -> Option<String> {
    let line = line.split(" #").next().unwrap_or_default().trim();
    let (key, written) = match line.strip_prefix("- ") {
        None => line.split_once(':')?,
        Some(element) if element.contains(": ") => {
            return Some("this is TOML: each element of a list of sections begins with a header of its own, such as [[path]]".to_owned());
        }
        Some(element) => return Some(format!("this is TOML: lists are written [{}, …]", value_from_yaml(element))),
    };
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'"' | b'\''));
    if !bare {
        return None;
    }
    if written.trim().is_empty() {
        return Some(format!("this is TOML: {key} = […], or a section header: [{key}]"));
    }
    written.starts_with([' ', '\t']).then(|| format!("this is TOML: {key} = {}", value_from_yaml(written)))
}

fn value_from_yaml(written: &str) -> String {
    let written = written.trim();
    if let Some(list) = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return format!("[{}]", list.split(',').map(value_from_yaml).collect::<Vec<_>>().join(", "));
    }
    let quoted = ['"', '\''].iter().find_map(|quote| written.strip_prefix(*quote)?.strip_suffix(*quote));
    let bare = quoted.unwrap_or(written);
    match bare {
        "yes" | "on" => "true".to_owned(),
        "no" | "off" => "false".to_owned(),
        "true" | "false" => bare.to_owned(),
        _ if bare.parse::<i64>().is_ok() => bare.to_owned(),
        _ if bare.contains(['"', '\\']) => format!("'{bare}'"),
        _ => format!("\"{bare}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::{Problem, Report, SourceFile};

    fn check(text: &str, span: std::ops::Range<usize>, expected: &str) {
        assert_eq!(Problem::error("x", &SourceFile::new("f.toml", text), span, "no\u{1b}[2J").label("here").render(), expected, "{text:?}");
    }

    #[test]
    fn a_problem_cannot_steer_a_terminal() {
        check("a = \u{1b}[31m", 0..1, "error[x]: no\u{fffd}[2J\n --> f.toml:1:1\n  |\n1 | a = \u{fffd}[31m\n  | ^ here\n");
    }

    #[test]
    fn marks_stand_under_the_spot() {
        check("\té = x\r\n", 6..7, "error[x]: no\u{fffd}[2J\n --> f.toml:1:6\n  |\n1 | \té = x\n  | \t    ^ here\n");
        check("", 9..12, "error[x]: no\u{fffd}[2J\n --> f.toml:1:1\n  |\n1 | \n  | ^ here\n");
    }

    #[test]
    fn of_a_long_line_the_spot_is_shown() {
        let long = format!("{}wrong{}", "é".repeat(500), "x".repeat(500));
        let at = long.find("wrong").unwrap();
        let said = Problem::error("x", &SourceFile::new("f.json", long.as_str()), at..at + 5, "m").render();
        let lines: Vec<Vec<char>> = said.lines().map(|line| line.chars().collect()).collect();
        let (shown, marks) = (&lines[3], &lines[4]);
        assert!(said.contains("f.json:1:501") && shown.len() < 220, "{said}");
        let under: String = shown.iter().zip(marks).filter(|(_, mark)| **mark == '^').map(|(c, _)| *c).collect();
        assert_eq!(under, "wrong", "{said}");
        let all = Problem::error("x", &SourceFile::new("f.json", long.as_str()), 0..long.len(), "m").render();
        assert!(all.lines().all(|line| line.chars().count() < 220), "{all}");
    }

    #[test]
    fn a_line_of_yaml_is_said_again_in_toml() {
        let check = |yaml: &str, toml: Option<&str>| {
            assert_eq!(super::from_yaml(yaml), toml.map(|toml| format!("this is TOML: {toml}")), "{yaml}");
        };
        for other in ["host = \"a: b\"", "when = a ? b: c", "[a:b", "http://x", "a", "", "# a: b", ": x"] {
            check(other, None);
        }
        check("host: x", Some("host = \"x\""));
        check("  url: http://10.0.4.20:8080/?a=b # the app", Some("url = \"http://10.0.4.20:8080/?a=b\""));
        check("groups: [staff, 'it', 3]", Some("groups = [\"staff\", \"it\", 3]"));
        check("everyone: yes", Some("everyone = true"));
        check("retries: 3", Some("retries = 3"));
        check("when: '\"a\" in groups'", Some("when = '\"a\" in groups'"));
        check("access:", Some("access = […], or a section header: [access]"));
        check("  - staff", Some("lists are written [\"staff\", …]"));
        check("- match: /x", Some("each element of a list of sections begins with a header of its own, such as [[path]]"));
    }

    #[test]
    fn the_closing_line_counts() {
        let file = SourceFile::new("f.toml", "a\nb\n");
        let check = |problems: Vec<Problem>, expected: &str| {
            let text = Report { problems, files: 2 }.render();
            assert_eq!(text.lines().last(), Some(expected));
        };
        let (error, warning) = (Problem::error("x", &file, 0..1, "m"), Problem::warning("y", &file, 2..3, "m"));
        check(vec![error.clone(), error, warning.clone()], "2 errors, 1 warning in 2 files. Nothing was loaded.");
        check(vec![warning], "0 errors, 1 warning in 2 files.");
        check(Vec::new(), "0 errors, 0 warnings in 2 files.");
    }
}
