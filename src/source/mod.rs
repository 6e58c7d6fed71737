//! Files as written: a tree in which every key and value knows where it stands.
//!
//! Lives here: [`SourceFile`] (name and text), [`parse`] into [`Node`]s, [`Problem`] (what is wrong with a file, and the way
//! out) and [`schema`], the walk that holds a tree against a table of keys. Apart because three readers share it: the gateway file,
//! policies and connectors; a policy may be JSON, which [`json`] reads. TOML's types stop here. It knows no key by name; `policy/schema.rs` does. No IO: whoever reads
//! the file hands over its text.

pub mod effective;
pub mod format;
mod json;
pub mod problem;
pub mod read;
pub mod schema;
mod shape;
pub mod tidy;
pub mod value;
mod wording;

pub use problem::{Problem, Report, Severity, in_order};
pub use read::Reader;
pub use shape::shaped;
pub use tidy::tidy;
pub(crate) use wording::in_words_of_the_file;

use std::ops::Range;
use std::sync::Arc;

/// A configuration file: the name people know it by, and its text.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// As given on the command line or found in the policies folder; printed in every problem.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

/// Byte range in the text of a file.
pub type Span = Range<usize>;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Bytes of the value in the file, quotes included.
    pub span: Span,
    /// The value.
    pub value: Written,
}

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// A string, escapes resolved.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A date or time, which no key takes.
    Date(String),
    /// `[…]`, or the elements of `[[…]]`.
    List(Vec<Node>),
    /// `{…}` or a `[section]`.
    Table(Table),
}

/// The entries of a table, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Keys with their values.
    pub entries: Vec<Entry>,
}

/// `key = value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, quotes removed.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub node: Node,
}

impl Table {
    /// The entry called `key`.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl Node {
    /// The text, when this is a string.
    pub fn as_text(&self) -> Option<&str> {
        if let Written::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The entries, when this is a table.
    pub fn as_table(&self) -> Option<&Table> {
        if let Written::Table(table) = &self.value { Some(table) } else { None }
    }

    /// The elements, when this is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Written::List(list) = &self.value { Some(list) } else { None }
    }

    /// What this is, in the words of an error message: "a string", "a list"…
    pub const fn kind(&self) -> &'static str {
        match self.value {
            Written::Text(_) => "a string",
            Written::Integer(_) => "a whole number",
            Written::Float(_) => "a number",
            Written::Bool(_) => "true or false",
            Written::Date(_) => "a date",
            Written::List(_) => "a list",
            Written::Table(_) => "a table",
        }
    }
}

/// Larger files are not read: nobody writes a policy of this size, and what is read is bounded.
pub const BYTES_MAX: usize = 1 << 20;

/// Whoever has as many mistakes in a file has written it in another language; more would be told in time that grows with their square.
const SYNTAX_PROBLEMS_MAX: usize = 100;

/// Parses TOML, or JSON when the name ends in `.json`, as far as it goes: the tree of everything readable, and a problem for every line that is not.
pub fn parse(file: &SourceFile) -> (Table, Vec<Problem>) {
    if file.text.len() > BYTES_MAX {
        let mut problem = Problem::error("too-large", file, 0..0, format!("the file is larger than {} KiB", BYTES_MAX >> 10));
        problem.span = None;
        return (Table::default(), vec![problem]);
    }
    if file.is_json() {
        let (tree, mut problems) = json::parse(file);
        in_order(&mut problems);
        return (tree, problems);
    }
    let (tree, errors) = toml::de::DeTable::parse_recoverable(&file.text);
    let errors = errors.iter().take(SYNTAX_PROBLEMS_MAX);
    let mut problems: Vec<Problem> = errors.map(|error| problem::syntax(file, error.message(), error.span())).collect();
    in_order(&mut problems);
    // One mistake throws the parser off for the rest of its line: the first message is the true one.
    problems.dedup_by_key(|problem| problem.line_column().0);
    let tree = table(tree.get_ref());
    let problems = problems.into_iter().map(|problem| problem::twice(problem, &tree)).collect();
    (tree, problems)
}

impl SourceFile {
    /// A file by its name and text.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Whether this is JSON rather than TOML: its name says so.
    pub fn is_json(&self) -> bool {
        self.name.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case("json"))
    }

    /// `name:line` of a place, e.g. `policies/redmine.toml:23`.
    pub fn place(&self, span: &Span) -> String {
        let before = self.text.get(..span.start).unwrap_or_default();
        format!("{}:{}", self.name, before.matches('\n').count() + 1)
    }

    /// Where bytes `part` of a string's *value* stand in the file, `string` being the whole string, quotes included. Follows escapes; the
    /// whole string when it cannot.
    pub fn inside_string(&self, string: &Span, value: &str, part: &Span) -> Span {
        let raw = self.text.get(string.clone()).unwrap_or_default();
        let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
        let mut inner = raw.get(quotes..raw.len().saturating_sub(quotes)).unwrap_or_default();
        let mut start = string.start + quotes;
        if quotes == 3 {
            // A line break right after the opening quotes is not part of the value.
            let trimmed = inner.strip_prefix("\r\n").or_else(|| inner.strip_prefix('\n')).unwrap_or(inner);
            start += inner.len() - trimmed.len();
            inner = trimmed;
        }
        let at = |offset: usize, first: bool| written_offset(inner, value, offset, first).map(|offset| start + offset);
        match (at(part.start, true), at(part.end, false)) {
            (Some(from), Some(to)) if from <= to => from..to,
            _ => string.clone(),
        }
    }
}

/// The offset in `inner`, a string as written without quotes, of byte `offset` of its value. `first`: what is swallowed at the end of a line just
/// before it does not count.
fn written_offset(inner: &str, value: &str, offset: usize, first: bool) -> Option<usize> {
    if inner == value {
        return Some(offset);
    }
    let (mut written, mut read) = (0, 0);
    while read < offset {
        let rest = inner.get(written..)?;
        let next = value.get(read..)?.chars().next()?;
        let step = match rest.strip_prefix('\\') {
            None if rest.starts_with(next) => next.len_utf8(),
            None => return None,
            Some(escape) => match escape.chars().next()? {
                'x' => 4,
                // JSON writes what is beyond U+FFFF as two of them (RFC 8259 7).
                'u' if next > '\u{ffff}' => 12,
                'u' => 6,
                'U' => 10,
                // A backslash at the end of a line swallows the blanks that follow: nothing is read.
                c if c.is_whitespace() => {
                    written += 1 + escape.len() - escape.trim_start().len();
                    continue;
                }
                _ => 2,
            },
        };
        written += step;
        read += next.len_utf8();
    }
    if first && let Some(rest) = inner.get(written..).and_then(|rest| rest.strip_prefix('\\')) {
        let swallowed = rest.len() - rest.trim_start().len();
        written += if swallowed == 0 { 0 } else { 1 + swallowed };
    }
    (read == offset && written <= inner.len()).then_some(written)
}

fn table(from: &toml::de::DeTable<'_>) -> Table {
    let entries = from.iter().map(|(key, value)| Entry { key: key.get_ref().to_string(), key_span: key.span(), node: node(value) });
    let mut entries: Vec<Entry> = entries.collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    Table { entries }
}

fn node(from: &toml::Spanned<toml::de::DeValue<'_>>) -> Node {
    use toml::de::DeValue;
    let value = match from.get_ref() {
        DeValue::String(text) => Written::Text(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or_else(|_| Written::Date(number.as_str().to_owned()), Written::Integer)
        }
        DeValue::Float(number) => Written::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(yes) => Written::Bool(*yes),
        DeValue::Datetime(when) => Written::Date(when.to_string()),
        DeValue::Array(list) => Written::List(list.iter().map(node).collect()),
        DeValue::Table(entries) => Written::Table(table(entries)),
    };
    Node { span: from.span(), value }
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, parse};

    #[test]
    fn places_inside_strings_follow_escapes() {
        let check = |text: &str, part: std::ops::Range<usize>, expected: &str| {
            let file = SourceFile::new("x.toml", text);
            let (tree, problems) = parse(&file);
            assert!(problems.is_empty(), "{text}");
            let node = &tree.get("k").unwrap().node;
            let span = file.inside_string(&node.span, node.as_text().unwrap(), &part);
            assert_eq!(text.get(span), Some(expected), "{text}");
        };
        check(r#"k = "abc def""#, 4..7, "def");
        check("k = 'a\\b def'", 4..7, "def");
        check(r#"k = "a\"b\" def""#, 5..8, "def");
        check(r#"k = "\u00e9 def""#, 3..6, "def");
        check("k = \"\"\"\nabc\ndef\"\"\"", 4..7, "def");
        check("k = \"\"\"\nabc \\\n   def\"\"\"", 4..7, "def");
    }

    #[test]
    fn what_is_written_twice_is_told_where_it_stands_first() {
        let check = |text: &str, expected: &[&str]| {
            let (_, problems) = parse(&SourceFile::new("x.toml", text));
            let helps: Vec<&str> = problems.iter().flat_map(|problem| problem.helps.iter().map(String::as_str)).collect();
            assert_eq!(helps, expected, "{text}: {:?}", problems.iter().map(super::Problem::render).collect::<Vec<_>>());
        };
        let key = "`a` is set on line 1 already: keep one of the two; several values go into one list";
        check("a = 1\na = 2\n", &[key]);
        check("a = 1\nx = { a = 5 }\na = 2\n", &[key]);
        check("\"a\" = 1\n'a' = 2\n", &[&key.replace("`a`", "`'a'`")]);
        check("[s]\na = 1\n[t]\na = 1\n[u]\nb = 1\na = 3\n", &[]);
        check("[s]\na = 1\n[t]\na = 1\na = 3\n", &[&key.replace('1', "4")]);
        check("[[s]]\na = 1\n[[s]]\na = 1\na = 3\n", &[&key.replace('1', "4")]);
        check("[s]\na = 1\n[t]\ns = 2\n[s]\nb = 1\n", &["`[s]` begins on line 1 already: write these keys there"]);
        check("[s.t]\na = 1\n[s.t]\nb = 1\n", &["`[s.t]` begins on line 1 already: write these keys there"]);
    }

    #[test]
    fn a_file_in_another_language_is_not_told_everything() {
        let (_, problems) = parse(&SourceFile::new("x.toml", "a = 1\n".repeat(100_000)));
        assert_eq!(problems.len(), super::SYNTAX_PROBLEMS_MAX);
    }

    #[test]
    fn what_looks_like_yaml_is_answered_in_toml() {
        let file = SourceFile::new("x.toml", "host: wiki.example.com\n[access]\ngroups:\n  - staff\n");
        let (_, problems) = parse(&file);
        let rendered: Vec<String> = problems.iter().map(super::Problem::render).collect();
        assert!(rendered[0].contains("help: this is TOML: host = \"wiki.example.com\""), "{rendered:?}");
        assert!(rendered[1].contains("help: this is TOML: groups = […]"), "{rendered:?}");
    }
}
