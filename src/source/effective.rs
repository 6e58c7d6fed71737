//! What a file comes to: every value that holds, and where it comes from.
//!
//! Lives here: [`effective`], which prints a tree as TOML by its table of keys, what is left out filled in, each value with its origin in a comment. Apart
//! from the compilers, which keep meanings and forget places. A secret is printed as the reference it is; what is no reference is not printed.

use super::schema::{Key, Kind, Section};
use super::{Node, SourceFile, Span, Table, Written, parse};
use crate::config::SecretRef;
use std::fmt::Write as _;

/// Sections whose defaults hold even when the section is left out.
const ALWAYS: &[&str] = &["session", "audit", "telemetry", "pages", "login", "user"];
/// What tests say is theirs: nothing is filled in.
const AS_WRITTEN: &[&str] = &["test"];

/// The file as valid TOML; `origin` says where a place of it is, e.g. `policies/wiki.toml:3`.
pub fn effective(tree: &Table, root: &'static Section, origin: &dyn Fn(&Span) -> String) -> String {
    let mut writer = Writer { out: String::new(), origin };
    writer.section("", tree, root, true);
    writer.out
}

struct Writer<'o> {
    out: String,
    origin: &'o dyn Fn(&Span) -> String,
}

impl Writer<'_> {
    fn section(&mut self, path: &str, table: &Table, section: &'static Section, defaults: bool) {
        // In TOML a key is part of the header above it: what has no header of its own comes first.
        for key in section.keys {
            match table.get(key.name) {
                Some(entry) if !has_header(key, &entry.node) => {
                    let origin = (self.origin)(&entry.key_span);
                    self.line(&format!("{} = {}", quoted_key(key.name), literal(&entry.node, key.kind)), &origin);
                }
                None if defaults && !key.default.is_empty() => self.default(key),
                Some(_) | None => {}
            }
        }
        for key in section.keys {
            let dotted = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
            let defaults = defaults && !AS_WRITTEN.contains(&key.name);
            match (table.get(key.name), key.kind) {
                (Some(entry), _) if has_header(key, &entry.node) => self.below_header(&dotted, &entry.node, key.kind, defaults),
                (None, Kind::Table(inner)) if path.is_empty() && ALWAYS.contains(&key.name) => {
                    self.header(&format!("[{dotted}]"), "default");
                    self.section(&dotted, &Table::default(), inner, defaults);
                }
                _ => {}
            }
        }
    }

    fn below_header(&mut self, dotted: &str, node: &Node, kind: Kind, defaults: bool) {
        if let Some(elements) = node.as_list() {
            for (element, table) in elements.iter().filter_map(|element| Some((element, element.as_table()?))) {
                let origin = (self.origin)(&element.span);
                self.header(&format!("[[{dotted}]]"), &origin);
                self.inside(dotted, table, kind, defaults);
            }
        } else if let Some(table) = node.as_table() {
            let origin = (self.origin)(&node.span);
            self.header(&format!("[{dotted}]"), &origin);
            self.inside(dotted, table, kind, defaults);
        }
    }

    fn inside(&mut self, dotted: &str, table: &Table, kind: Kind, defaults: bool) {
        // `has_header` is true of nothing else.
        if let Kind::Table(section) | Kind::Tables(section) = kind {
            self.section(dotted, table, section, defaults);
        } else if let Kind::Map(of) = kind {
            for entry in &table.entries {
                let origin = (self.origin)(&entry.key_span);
                self.line(&format!("{} = {}", quoted_key(&entry.key), literal(&entry.node, *of)), &origin);
            }
        }
    }

    fn header(&mut self, header: &str, origin: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.line(header, origin);
    }

    fn line(&mut self, text: &str, origin: &str) {
        // Writing to a String cannot fail.
        let _infallible = writeln!(self.out, "{text:<60} # {}", origin.replace(char::is_control, "\u{fffd}"));
    }

    /// A default that is a value becomes one; one that is said in words stays a comment.
    fn default(&mut self, key: &Key) {
        let is_list = matches!(key.kind, Kind::TextList | Kind::EnumList(_) | Kind::Networks);
        let bare = matches!(key.kind, Kind::Bool | Kind::Int(..));
        let written = key.default.starts_with(['"', '[', '{']);
        // "the file's name", "as landing".
        let in_words = key.default.contains(' ') && !matches!(key.kind, Kind::Size);
        let value =
            if bare || written { Some(key.default.to_owned()) } else { (!is_list && key.kind.is_scalar() && !in_words).then(|| quoted(key.default)) };
        let line = value.map(|value| format!("{} = {value}", quoted_key(key.name)));
        match line.filter(|line| parse(&SourceFile::new("default", line.as_str())).1.is_empty()) {
            Some(line) => self.line(&line, "default"),
            None => self.line(&format!("# {}: {}", key.name, key.default), "default"),
        }
    }
}

/// Whether it is printed below a header rather than as `key = value`.
fn has_header(key: &Key, node: &Node) -> bool {
    if matches!(key.kind, Kind::Tables(_)) {
        return node.as_list().is_some_and(|list| !list.is_empty() && list.iter().all(|element| element.as_table().is_some()));
    }
    matches!(key.kind, Kind::Table(_) | Kind::Map(_)) && node.as_table().is_some()
}

/// A value on one line.
fn literal(node: &Node, kind: Kind) -> String {
    match &node.value {
        Written::Text(text) => {
            let secret = matches!(kind, Kind::Secret) && SecretRef::parse(text).is_none();
            quoted(if secret { "[redacted]" } else { text })
        }
        Written::Integer(number) => number.to_string(),
        Written::Float(number) => {
            let text = number.to_string();
            if text.contains(['.', 'e', 'n']) { text } else { text + ".0" }
        }
        Written::Bool(yes) => yes.to_string(),
        Written::Date(date) => quoted(date),
        Written::List(list) => format!("[{}]", list.iter().map(|node| literal(node, kind)).collect::<Vec<_>>().join(", ")),
        Written::Table(table) => {
            let entry = |entry: &super::Entry| {
                let kind = if entry.key == "secret" { Kind::Secret } else { kind };
                format!("{} = {}", quoted_key(&entry.key), literal(&entry.node, kind))
            };
            if table.entries.is_empty() {
                return "{}".to_owned();
            }
            format!("{{ {} }}", table.entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A basic string of TOML, which has all escapes of JSON (TOML 1.0, String); U+007F needs one as well.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { key.to_owned() } else { quoted(key) }
}

#[cfg(test)]
mod tests {
    use super::effective;
    use crate::source::schema::{Key, Kind, Section};
    use crate::source::{SourceFile, Table, parse};

    static ROOT: Section = Section {
        title: "",
        name: "",
        doc: "",
        keys: &[
            Key::new("url", Kind::Url, ""),
            Key::new("wait", Kind::Duration, "").default("5s"),
            Key::new("who", Kind::TextList, "").default("all"),
            Key::new("title", Kind::Text, "").default("the file's name"),
            Key::new("vars", Kind::Free, ""),
            Key::new("login", Kind::Table(&LOGIN), ""),
            Key::new("jwt", Kind::Table(&LOGIN), ""),
            Key::new("org", Kind::Tables(&LOGIN), ""),
            Key::new("headers", Kind::Map(&Kind::Header), ""),
            Key::new("key", Kind::Secret, ""),
        ],
    };
    static LOGIN: Section = Section { title: "[login]", name: "login", doc: "", keys: &[Key::new("on", Kind::Bool, "").default("false")] };

    fn check(text: &str, expected: &[&str]) {
        let file = SourceFile::new("f.toml", text);
        let (tree, problems) = parse(&file);
        assert!(problems.is_empty(), "{problems:?}");
        let said = effective(&tree, &ROOT, &|span| file.place(span));
        let lines: Vec<String> =
            said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, expected, "{text}");
        assert!(parse(&SourceFile::new("g.toml", said.as_str())).1.is_empty(), "{said}");
        let (again, _) = parse(&SourceFile::new("g.toml", said.as_str()));
        let same = |table: &Table, key: &str| table.get(key).map(|entry| entry.node.to_json());
        for key in ["url", "vars", "headers", "org"] {
            assert_eq!(same(&again, key).is_some(), same(&tree, key).is_some(), "{key}");
        }
    }

    #[test]
    fn a_literal_secret_is_not_printed() {
        check(
            "key = \"hunter2\"\n[headers]\nX = { secret = \"hunter3\" }\n",
            &[
                "wait = \"5s\" # default",
                "# who: all # default",
                "# title: the file's name # default",
                "key = \"[redacted]\" # f.toml:1",
                "[login] # default",
                "on = false # default",
                "[headers] # f.toml:2",
                "X = { secret = \"[redacted]\" } # f.toml:3",
            ],
        );
    }

    #[test]
    fn every_value_that_holds_has_its_origin() {
        check(
            "url = \"http://x\\u0007\\u007f\"\nkey = \"cred:k\"\nwho = [\"a\"]\ntitle = \"t\"\n[vars]\n\"a b\" = { c = [1, 2.0, true, {}] }\n[jwt]\n[[org]]\n[[org]]\non = true\n[login]\non = true\n",
            &[
                "url = \"http://x\\u0007\\u007f\" # f.toml:1",
                "wait = \"5s\" # default",
                "who = [\"a\"] # f.toml:3",
                "title = \"t\" # f.toml:4",
                "vars = { \"a b\" = { c = [1, 2.0, true, {}] } } # f.toml:5",
                "key = \"cred:k\" # f.toml:2",
                "[login] # f.toml:11",
                "on = true # f.toml:12",
                "[jwt] # f.toml:7",
                "on = false # default",
                "[[org]] # f.toml:8",
                "on = false # default",
                "[[org]] # f.toml:9",
                "on = true # f.toml:10",
            ],
        );
    }
}
