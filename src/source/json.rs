//! JSON files, read into the same tree as TOML files.
//!
//! Lives here: a reader of RFC 8259 whose keys and values know where they stand. Apart because `serde_json` keeps no places, stops at the first mistake and
//! lets the last of two equal keys win. Strict: what is no JSON is a problem. It goes on wherever it is plain what was meant, so that one run names
//! most mistakes; where it is not, it stops and keeps what it has read. Bounded in depth; the size is bounded by [`super::parse`].

use super::{Entry, Node, Problem, SourceFile, Span, Table, Written};
use std::collections::HashSet;

/// Objects and lists inside each other, at most.
const DEPTH_MAX: usize = 64;
/// Somebody who made so many mistakes of form is writing another format.
const PROBLEMS_MAX: usize = 20;

/// The tree of everything readable, and what is not JSON in the order of the file.
pub(super) fn parse(file: &SourceFile) -> (Table, Vec<Problem>) {
    let mut json = Json { file, at: 0, depth: 0, stopped: false, commented: false, problems: Vec::new() };
    let tree = json.document();
    (tree, json.problems)
}

struct Json<'f> {
    file: &'f SourceFile,
    /// Byte offset of what is read next.
    at: usize,
    depth: usize,
    /// Nothing more is read.
    stopped: bool,
    /// Comments are complained of once.
    commented: bool,
    problems: Vec<Problem>,
}

impl Json<'_> {
    fn document(&mut self) -> Table {
        // RFC 8259 8.1: a byte order mark may be ignored.
        if self.file.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        self.blank();
        if self.peek().is_none() && !self.stopped {
            self.stop(0..0, "the file is empty", "a policy is an object: { \"host\": \"…\", … }");
            return Table::default();
        }
        let root = self.value();
        self.blank();
        if !self.stopped && self.peek().is_some() {
            self.stop(self.at..self.at, "this stands after the end of the object", "one file, one object");
        }
        match root {
            Some(Node { value: Written::Table(table), .. }) => table,
            Some(node) => {
                self.wrong(node.span.clone(), format!("the file is {}, not an object", node.kind()), "a policy is an object: { \"host\": \"…\", … }");
                Table::default()
            }
            None => Table::default(),
        }
    }

    /// A value; `None` when there is none, which has been reported.
    fn value(&mut self) -> Option<Node> {
        let start = self.at;
        let value = match self.peek() {
            Some('{') => Written::Table(self.object()),
            Some('[') => Written::List(self.list()),
            Some('"') => Written::Text(self.string('"')?),
            Some('\'') => {
                let text = self.string('\'')?;
                self.wrong(start..self.at, "strings stand in double quotes", &format!("write {}", quoted(&text)));
                Written::Text(text)
            }
            Some(c) if c.is_alphanumeric() || matches!(c, '-' | '+' | '.' | '_') => self.word()?,
            Some(_) => {
                self.stop(start..start, "a value should stand here", "a string, a number, true, false, a list or an object");
                return None;
            }
            None => {
                self.stop(start..start, "the file ends where a value should stand", "");
                return None;
            }
        };
        Some(Node { span: start..self.at, value })
    }

    /// `{ "key": value, … }`.
    fn object(&mut self) -> Table {
        let (start, mut table, mut keys) = (self.at, Table::default(), HashSet::new());
        if !self.enter(start) {
            return table;
        }
        while self.goes_on(start, '}') {
            let Some((key, key_span)) = self.key() else { break };
            if !self.colon(&key) {
                break;
            }
            if matches!(self.peek(), Some(',' | '}')) {
                self.wrong(key_span, format!("`{key}` has no value"), "give it one, or leave the key out");
            } else {
                let node = self.value();
                if !keys.insert(key.clone()) {
                    self.wrong(key_span, "duplicate key", "a key stands once: put the values together, or leave one out");
                } else if let Some(node) = node {
                    table.entries.push(Entry { key, key_span, node });
                }
            }
            self.separator('}');
        }
        table
    }

    /// `[ value, … ]`.
    fn list(&mut self) -> Vec<Node> {
        let (start, mut list) = (self.at, Vec::new());
        if !self.enter(start) {
            return list;
        }
        while self.goes_on(start, ']') {
            list.extend(self.value());
            self.separator(']');
        }
        list
    }

    fn enter(&mut self, start: usize) -> bool {
        self.take();
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            self.stop(start..self.at, &format!("nested deeper than {DEPTH_MAX} levels"), "");
        }
        !self.stopped
    }

    /// Whether another element follows; takes the closing bracket when none does.
    fn goes_on(&mut self, start: usize, close: char) -> bool {
        loop {
            self.blank();
            if self.stopped {
                return false;
            }
            match self.peek() {
                Some(c) if c == close => {
                    self.take();
                    self.depth -= 1;
                    return false;
                }
                Some(',') => {
                    self.wrong(self.at..self.at + 1, "a comma too many", "leave it out");
                    self.take();
                }
                Some(c @ ('}' | ']')) => {
                    self.stop(self.at..self.at + 1, &format!("`{c}` closes what was not opened with it"), &format!("`{close}` should stand here"));
                }
                Some(_) => return true,
                None => self.stop(start..start + 1, "this is never closed", &format!("write `{close}` at its end")),
            }
        }
    }

    /// The comma after an element.
    fn separator(&mut self, close: char) {
        self.blank();
        if self.stopped {
            return;
        }
        let comma = self.at;
        match self.peek() {
            Some(',') => {
                self.take();
                self.blank();
                if self.peek() == Some(close) {
                    self.wrong(comma..comma + 1, "a comma after the last element", "leave it out: JSON has none there");
                }
            }
            Some('}' | ']') | None => {}
            Some(_) => self.wrong(comma..comma, "a comma is missing before this", ""),
        }
    }

    fn key(&mut self) -> Option<(String, Span)> {
        let start = self.at;
        match self.peek()? {
            '"' => Some((self.string('"')?, start..self.at)),
            '\'' => {
                let key = self.string('\'')?;
                self.wrong(start..self.at, "keys stand in double quotes", &format!("write {}", quoted(&key)));
                Some((key, start..self.at))
            }
            c if c.is_alphanumeric() || matches!(c, '_' | '-') => {
                let key = self.run();
                self.wrong(start..self.at, "keys stand in double quotes", &format!("write {}", quoted(&key)));
                Some((key, start..self.at))
            }
            _ => {
                self.stop(start..start, "a key should stand here, in double quotes", "");
                None
            }
        }
    }

    /// The colon between key and value; an `=` is taken for one.
    fn colon(&mut self, key: &str) -> bool {
        self.blank();
        let start = self.at;
        match self.peek() {
            Some(':') => {
                self.take();
            }
            Some('=') => {
                self.wrong(start..start + 1, "`:` stands between key and value", &format!("this is JSON: {}: …", quoted(key)));
                self.take();
            }
            _ => self.stop(start..start, &format!("`:` and a value should follow `{key}`"), ""),
        }
        self.blank();
        !self.stopped
    }

    /// A number, `true`, `false`, or what is neither.
    fn word(&mut self) -> Option<Written> {
        let start = self.at;
        let word = self.run();
        let span = start..self.at;
        match word.as_str() {
            "true" => return Some(Written::Bool(true)),
            "false" => return Some(Written::Bool(false)),
            "null" => {
                self.wrong(span, "null is no value here", "leave the key out");
                return None;
            }
            _ => {}
        }
        if is_number(&word) {
            let whole = word.parse().ok().map(Written::Integer);
            // RFC 8259 6: beyond whole numbers of 64 bits, what an IEEE 754 double holds.
            let number = whole.or_else(|| word.parse().ok().filter(|number: &f64| number.is_finite()).map(Written::Float));
            if number.is_none() {
                self.wrong(span, format!("{word} is too large a number"), "");
            }
            return number;
        }
        let help = match word.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => "write true, or a string in double quotes".to_owned(),
            "false" | "no" | "off" => "write false, or a string in double quotes".to_owned(),
            "none" | "nil" | "undefined" => "leave the key out".to_owned(),
            _ => format!("write {}", quoted(&word)),
        };
        self.wrong(span, format!("`{word}` is not a JSON value"), &help);
        None
    }

    /// Letters, digits and what numbers are made of; at least one character.
    fn run(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '+' | '.' | '_')) {
            self.take();
        }
        self.file.text.get(start..self.at).unwrap_or_default().to_owned()
    }

    /// A string; `None` when it never ends, and then nothing more is read.
    fn string(&mut self, quote: char) -> Option<String> {
        let start = self.at;
        self.take();
        let mut out = String::new();
        loop {
            let at = self.at;
            match self.take() {
                Some(c) if c == quote => return Some(out),
                Some('\\') => out.extend(self.escape(at)),
                None | Some('\n') => {
                    self.stop(start..at, "this string does not end on its line", "close it with a quote; a line break is written \\n");
                    return None;
                }
                // RFC 8259 7: U+0000 to U+001F must be escaped.
                Some(c) if c < ' ' => {
                    let help = if c == '\t' { "write \\t".to_owned() } else { format!("write \\u{:04x}", u32::from(c)) };
                    self.wrong(at..self.at, "a control character in a string", &help);
                    out.push(c);
                }
                Some(c) => out.push(c),
            }
        }
    }

    /// What follows a backslash, which stands at `start`.
    fn escape(&mut self, start: usize) -> Option<char> {
        let c = match self.take() {
            Some(c @ ('"' | '\\' | '/')) => Some(c),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('u') => self.unicode(),
            Some('\n') | None => {
                // The end of the line is the string's to report.
                self.at = start + 1;
                None
            }
            Some(_) => None,
        };
        if c.is_none() && self.at > start + 1 {
            self.wrong(start..self.at, "no such escape", "known: \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u0041");
        }
        c
    }

    /// Four digits after `\u`, or eight and another `\u` for a character beyond U+FFFF (RFC 8259 7).
    fn unicode(&mut self) -> Option<char> {
        let high = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high);
        }
        if !self.rest().starts_with("\\u") {
            return None;
        }
        let mark = self.at;
        self.at += 2;
        let Some(low) = self.four_digits().filter(|low| (0xdc00..0xe000).contains(low)) else {
            self.at = mark;
            return None;
        };
        char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        let number = u32::from_str_radix(digits, 16).ok()?;
        self.at += 4;
        Some(number)
    }

    /// Over white space, and over comments, which JSON does not have.
    fn blank(&mut self) {
        loop {
            while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
                self.take();
            }
            let (start, rest) = (self.at, self.rest());
            let length = if rest.starts_with("//") || rest.starts_with('#') {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |end| end + 2)
            } else {
                return;
            };
            self.at += length;
            if !self.commented {
                self.commented = true;
                self.wrong(start..self.at, "JSON has no comments", "leave it out, or write the file as TOML, which has them");
            }
        }
    }

    fn rest(&self) -> &str {
        if self.stopped { "" } else { self.file.text.get(self.at..).unwrap_or_default() }
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// A mistake after which reading goes on.
    fn wrong(&mut self, span: Span, message: impl Into<String>, help: &str) {
        if self.stopped {
            return;
        }
        let problem = Problem::error("syntax", self.file, span, message);
        self.problems.push(if help.is_empty() { problem } else { problem.help(help) });
        self.stopped = self.problems.len() >= PROBLEMS_MAX;
    }

    /// A mistake after which it is not plain what anything means.
    fn stop(&mut self, span: Span, message: &str, help: &str) {
        self.wrong(span, message, help);
        self.stopped = true;
    }
}

/// RFC 8259 6.
fn is_number(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let word = word.strip_prefix('-').unwrap_or(word);
    let (number, exponent) = word.split_once(['e', 'E']).map_or((word, None), |(number, exponent)| (number, Some(exponent)));
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, fraction)| (whole, Some(fraction)));
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
