//! Tidying a file without changing what it says.
//!
//! Lives here: [`tidy`], which works on lines and leaves the author's choices alone: comments stay where they are, values stay as written, columns that are
//! aligned already stay so. Apart because it is about how a file looks, and nothing else is. Pure.

use super::{Problem, SourceFile, Table, parse};

/// `file` tidied: no space at line ends, at most one blank line in a row and one before a section, one space after `=`, the `=` of neighbouring lines in one
/// column, a line break at the end. Doing it again changes nothing.
///
/// # Errors
/// What makes the file unreadable, when it is: nothing is tidied then.
pub fn tidy(file: &SourceFile) -> Result<String, Vec<Problem>> {
    let (tree, problems) = parse(file);
    if !problems.is_empty() {
        return Err(problems);
    }
    let tidied = if file.name.ends_with(".json") { tidy_json(file) } else { tidy_toml(&file.text) };
    let after = SourceFile { name: file.name.clone(), text: tidied.as_str().into() };
    let (again, problems) = parse(&after);
    if problems.is_empty() && same(&tree, &again) {
        Ok(tidied)
    } else {
        // A bug of ours must not reach the file.
        Err(vec![Problem::error("tidy", file, 0..0, "this file cannot be tidied without changing what it says; it is left as it is")])
    }
}

fn same(one: &Table, other: &Table) -> bool {
    one.to_json() == other.to_json()
}

fn tidy_json(file: &SourceFile) -> String {
    match serde_json::from_str::<serde_json::Value>(&file.text) {
        Ok(value) => format!("{value:#}\n"),
        Err(_unreadable) => file.text.to_string(),
    }
}

/// A line and what stands on it.
#[derive(Debug)]
enum Line {
    Blank,
    Comment(String),
    /// `[section]` with whatever follows it; the name without brackets.
    Header {
        name: String,
        text: String,
    },
    /// `key`, the column of its `=`, and what follows.
    Entry {
        key: String,
        column: usize,
        value: String,
    },
    /// Inside a value that began above.
    Inside(String),
}

fn tidy_toml(text: &str) -> String {
    let mut lines = Vec::new();
    let mut scan = Scan::default();
    for written in text.lines() {
        lines.push(scan.line(written));
    }
    let mut out = Vec::new();
    let mut section = String::new();
    let mut rest = lines.as_slice();
    while let Some((line, after)) = rest.split_first() {
        let block = rest.iter().take_while(|line| matches!(line, Line::Entry { .. } | Line::Inside(_))).count();
        if let (true, Some((block, after))) = (block > 0, rest.split_at_checked(block)) {
            entries(&mut out, block);
            rest = after;
            continue;
        }
        match line {
            Line::Blank => blank(&mut out),
            Line::Header { name, text } => {
                if !is_below(name, &section) {
                    blank_before(&mut out);
                }
                section.clone_from(name);
                out.push(text.clone());
            }
            Line::Comment(text) => out.push(text.clone()),
            Line::Entry { .. } | Line::Inside(_) => {}
        }
        rest = after;
    }
    while out.last().is_some_and(String::is_empty) {
        out.pop();
    }
    out.push(String::new());
    out.join("\n")
}

/// Whether `[name]` is a part of `[section]`, with which it stays together.
fn is_below(name: &str, section: &str) -> bool {
    !section.is_empty() && name.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

fn blank(out: &mut Vec<String>) {
    if out.last().is_some_and(|last| !last.is_empty()) {
        out.push(String::new());
    }
}

/// A blank line before the section, above the comment that belongs to it.
fn blank_before(out: &mut Vec<String>) {
    let comments = out.iter().rev().take_while(|line| line.starts_with('#')).count();
    let at = out.len() - comments;
    if at > 0 && out.get(at - 1).is_some_and(|line| !line.is_empty()) {
        out.insert(at, String::new());
    }
}

fn entries(out: &mut Vec<String>, block: &[Line]) {
    let of = |line: &Line| if let Line::Entry { key, column, .. } = line { Some((key.chars().count(), *column)) } else { None };
    let sizes: Vec<(usize, usize)> = block.iter().filter_map(of).collect();
    let first = sizes.first().map_or(0, |(_, column)| *column);
    let aligned = sizes.iter().all(|(width, column)| *column == first && *column > *width);
    let column = if aligned { first } else { sizes.iter().map(|(width, _)| width + 1).max().unwrap_or_default() };
    for line in block {
        match line {
            Line::Entry { key, value, .. } => {
                let padding = " ".repeat(column.saturating_sub(key.chars().count()));
                out.push(format!("{key}{padding}={}{value}", if value.is_empty() { "" } else { " " }));
            }
            Line::Inside(text) | Line::Comment(text) | Line::Header { text, .. } => out.push(text.clone()),
            Line::Blank => {}
        }
    }
}

/// Where the reader is: inside which string, how deep in brackets.
#[derive(Debug, Default)]
struct Scan {
    string: Option<Quote>,
    depth: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quote {
    mark: char,
    triple: bool,
}

impl Scan {
    fn line(&mut self, written: &str) -> Line {
        let inside = self.string.is_some() || self.depth > 0;
        let begins_in_string = self.string.is_some();
        let bare = written.trim_start();
        if !inside && bare.trim_end().is_empty() {
            return Line::Blank;
        }
        if !inside && bare.starts_with('#') {
            return Line::Comment(bare.trim_end().to_owned());
        }
        if !inside && bare.starts_with('[') {
            return header(bare.trim_end());
        }
        let equals = self.walk(written);
        // White space at the end of a line inside a string is the string's.
        let ends = |text: &str| if self.string.is_some() { text.to_owned() } else { text.trim_end().to_owned() };
        match equals.filter(|_| !inside && !begins_in_string).and_then(|at| written.split_at_checked(at)) {
            Some((key, value)) => {
                let indent = key.chars().count() - key.trim_start().chars().count();
                let value = ends(value.strip_prefix('=').unwrap_or(value).trim_start());
                Line::Entry { column: key.chars().count() - indent, key: key.trim().to_owned(), value }
            }
            None => Line::Inside(ends(written)),
        }
    }

    /// Goes along a line; the place of the first `=` outside strings and brackets.
    fn walk(&mut self, line: &str) -> Option<usize> {
        let mut equals = None;
        let mut characters = line.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            let rest = line.get(at..).unwrap_or_default();
            match self.string {
                Some(quote) => {
                    if c == '\\' && quote.mark == '"' {
                        characters.next();
                    } else if c == quote.mark && (!quote.triple || rest.starts_with(triple(quote.mark))) {
                        if quote.triple {
                            // Up to two quotes more belong to the string: the last three close it.
                            let run = rest.chars().take_while(|next| *next == quote.mark).count();
                            for _ in 1..run {
                                characters.next();
                            }
                        }
                        self.string = None;
                    }
                }
                None => match c {
                    '#' => return equals,
                    '"' | '\'' => {
                        let is_triple = rest.starts_with(triple(c));
                        if is_triple {
                            characters.next();
                            characters.next();
                        }
                        self.string = Some(Quote { mark: c, triple: is_triple });
                    }
                    '[' | '{' => self.depth += 1,
                    ']' | '}' => self.depth = self.depth.saturating_sub(1),
                    '=' if self.depth == 0 && equals.is_none() => equals = Some(at),
                    _ => {}
                },
            }
        }
        // A string in single quotes ends with its line.
        if self.string.is_some_and(|quote| !quote.triple) {
            self.string = None;
        }
        equals
    }
}

const fn triple(mark: char) -> &'static str {
    if mark == '"' { "\"\"\"" } else { "'''" }
}

fn header(text: &str) -> Line {
    let double = text.starts_with("[[");
    let (open, close) = if double { ("[[", "]]") } else { ("[", "]") };
    let quoted = text.contains(['"', '\'']);
    let parts = text.strip_prefix(open).and_then(|rest| rest.split_once(close)).filter(|_| !quoted);
    let Some((name, after)) = parts else { return Line::Header { name: text.to_owned(), text: text.to_owned() } };
    let name: String = name.chars().filter(|c| !c.is_whitespace()).collect();
    Line::Header { text: format!("{open}{name}{close}{after}"), name }
}

#[cfg(test)]
mod tests {
    use super::tidy;
    use crate::source::SourceFile;
    use proptest::prelude::*;

    fn tidied(text: &str) -> String {
        tidy(&SourceFile::new("a.toml", text))
            .unwrap_or_else(|problems| panic!("{}", problems.iter().map(crate::source::Problem::render).collect::<String>()))
    }

    #[test]
    fn a_file_that_cannot_be_read_is_left_alone() {
        let problems = tidy(&SourceFile::new("a.toml", "host = \n")).expect_err("broken");
        assert!(!problems.is_empty());
    }

    #[test]
    fn lines_are_tidied() {
        let check = |text: &str, expected: &str| assert_eq!(tidied(text), expected, "{text:?}");
        check("", "");
        check("a=1", "a = 1\n");
        check("a = 1  \n\n\n\nb = 2\n\n", "a = 1\n\nb = 2\n");
        check("  a   =   1\nlonger =2\n", "a      = 1\nlonger = 2\n");
        // Columns that the author chose stay.
        check("a    = 1\nb    = 2\n", "a    = 1\nb    = 2\n");
        check("a = 1\n# about it\n[ b . c ]  # why\nd=1\n", "a = 1\n\n# about it\n[b.c]  # why\nd = 1\n");
        // A part of a section stays with it.
        check("[[a]]\nb = 1\n[a.c]\nd = 2\n[e]\n", "[[a]]\nb = 1\n[a.c]\nd = 2\n\n[e]\n");
        check("\"a=b\" = 'x # y'   # c\n", "\"a=b\" = 'x # y'   # c\n");
    }

    #[test]
    fn what_stands_inside_values_stays() {
        let check = |text: &str| assert_eq!(tidied(text), text);
        check("a = \"\"\"\n  [b]  \nc=1   \n\n\n  \"\"\"\nd = 1\n");
        check("a = '''x\n# no comment   \n'''\n");
        check("a = [\n  1,\n\n  { b=2 },   # c = 3\n]\n");
        assert_eq!(tidied("a=[\n  1,   \n]\nbb = 2\n"), "a  = [\n  1,\n]\nbb = 2\n");
        check("a = \"\"\"x\"\"\"\"\"\nb = 1\n");
    }

    proptest! {
        #[test]
        fn tidying_twice_is_tidying_once(
            lines in prop::collection::vec(prop_oneof![
                "[a-c]{1,3} {0,2}= {0,2}[0-9]{1,3} {0,2}", "\\[[a-c]\\.[d-f]{1,4}\\]", "# [a-z=\\[\"]{0,6} ?", "", " {1,3}", "[d-h]{1,9}=\"[a-z# =\\[]{0,6}\" # x",
            ], 0..12)
        ) {
            let file = SourceFile::new("a.toml", lines.join("\n"));
            if let Ok(once) = tidy(&file) {
                prop_assert_eq!(tidy(&SourceFile::new("a.toml", once.as_str())).ok(), Some(once));
            }
        }
    }
}
