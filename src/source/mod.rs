//! Files as written: a tree in which every key and value knows where it stands.
//!
//! Lives here: [`SourceFile`] (name and text), [`parse`] into [`Node`]s, and [`Problem`], what is wrong with a file and the way
//! out. Apart because three readers share it: the gateway file, policies and connectors. TOML's types stop here. It knows no
//! key by name; `policy/schema.rs` does. No IO: whoever reads the file hands over its text.

pub mod problem;

pub use problem::{Problem, Severity};

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

/// Parses TOML as far as it goes: the tree of everything readable, and a problem for every place that is not.
pub fn parse(file: &SourceFile) -> (Table, Vec<Problem>) {
    let (tree, errors) = toml::de::DeTable::parse_recoverable(&file.text);
    let problems = errors.iter().map(|error| problem::syntax(file, error.message(), error.span())).collect();
    (table(tree.get_ref()), problems)
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
