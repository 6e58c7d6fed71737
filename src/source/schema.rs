//! What a file may say, as data; and the one walk that holds a tree against it.
//!
//! Lives here: [`Section`], [`Key`] and [`Kind`], the types of the tables in `policy/schema.rs` and `config/schema.rs`, and [`check`], which reports
//! every unknown key, wrong type, value out of range, literal secret and missing key in one pass. Apart because the editors' schema and
//! the manual are made from the same tables. It knows no key by name and no meaning: what keys mean together is the compilers' affair.

use super::value::{duration_ms, is_secret_reference, looks_like_path, nearest, size_bytes};
use super::{Entry, Node, Problem, SourceFile, Span, Table, Written};
use crate::config::language::TAGS;
use crate::config::{Language, SecretRef};

/// Longest text of a [`Kind::Message`], in characters: an explanation, not a manual.
const MESSAGE_CHARS_MAX: usize = 500;

/// A table of a file: its root, a `[section]`, an element of `[[section]]`, or an inline `{…}`.
#[derive(Debug)]
pub struct Section {
    /// As people write it, e.g. `[access]`; empty for the root.
    pub title: &'static str,
    /// Prefix of its keys in messages, e.g. `access`; empty for the root.
    pub name: &'static str,
    /// One line for the manual.
    pub doc: &'static str,
    /// Its keys, in the order of the manual.
    pub keys: &'static [Key],
}

/// A key of a section.
#[derive(Debug)]
pub struct Key {
    /// As written.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// The default as written, empty when there is none.
    pub default: &'static str,
    /// One line for the manual.
    pub doc: &'static str,
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text, not empty.
    Text,
    /// A list of texts, none empty.
    TextList,
    /// One text or a list of texts.
    TextOrList,
    /// `true` or `false`.
    Bool,
    /// A whole number in a range.
    Int(i64, i64),
    /// `"15m"`, longer than 0.
    Duration,
    /// As [`Kind::Duration`], and `"0s"`.
    DurationOrZero,
    /// `"100 MiB"`.
    Size,
    /// A reference to a secret.
    Secret,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// A list of some of these words.
    EnumList(&'static [&'static str]),
    /// A CEL condition.
    Expression,
    /// Text with `{expressions}`, or a list of which the first that is set counts.
    Templates,
    /// As [`Kind::Templates`], or `{ secret = "…" }`, or `{ value = …, encoding = … }`.
    Header,
    /// A text for every language, or `{ en = "…", de = "…" }`; short, shown to people.
    Message,
    /// `http://…` or `https://…`.
    Url,
    /// A host name without scheme and port.
    Host,
    /// A list of `10.0.0.0/8`.
    Networks,
    /// `127.0.0.1:443`, or a list of such.
    Addresses,
    /// A table with keys of the file's own choosing, each taking this.
    Map(&'static Self),
    /// A section.
    Table(&'static Section),
    /// `[[section]]`, any number of times.
    Tables(&'static Section),
    /// As [`Kind::Table`], but another reader checks it; named here for the manual and for editors.
    OwnTable(&'static Section),
    /// As [`Kind::Tables`], but another reader checks it; named here for the manual and for editors.
    OwnTables(&'static Section),
    /// Anything; another reader checks it.
    Free,
}

impl Kind {
    /// Whether one value in quotes can be it: what an environment variable may set.
    pub const fn is_scalar(&self) -> bool {
        matches!(
            self,
            Self::Text
                | Self::TextOrList
                | Self::Bool
                | Self::Int(..)
                | Self::Duration
                | Self::DurationOrZero
                | Self::Size
                | Self::Secret
                | Self::Enum(_)
                | Self::Expression
                | Self::Templates
                | Self::Url
                | Self::Host
                | Self::Addresses
        )
    }
}

impl Key {
    /// A key that may be left out.
    pub const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: false, default: "", doc }
    }

    /// That must be there.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// With a default, as written.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }
}

impl Section {
    /// The key called `name`.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The names of its keys.
    pub fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }

    fn dotted(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

/// Holds `tree` against `root`. Problems come in the order of the walk; [`super::in_order`] sorts them by place.
pub fn check(file: &SourceFile, tree: &Table, root: &'static Section) -> Vec<Problem> {
    let mut walk = Walk { file, root, problems: Vec::new(), misplaced: Vec::new() };
    walk.table(tree, root, None);
    let Walk { mut problems, misplaced, .. } = walk;
    // A key that stands in the wrong section is not also missing from the right place.
    problems
        .retain(|problem| problem.code != "missing-key" || problem.span.is_some() || !misplaced.iter().any(|key| problem.message == missing(key)));
    problems
}

/// Every reference to a secret in `tree`: the key as messages write it, and where the reference stands.
pub fn secrets<'t>(tree: &'t Table, root: &'static Section) -> Vec<(String, &'t Node)> {
    let mut found = Vec::new();
    for entry in &tree.entries {
        if let Some(key) = root.key(&entry.key) {
            secrets_of(&entry.node, key.kind, &root.dotted(key.name), &mut found);
        }
    }
    found
}

fn secrets_of<'t>(node: &'t Node, kind: Kind, dotted: &str, found: &mut Vec<(String, &'t Node)>) {
    // `{ secret = "…" }` is a reference like the bare string.
    let inner = node.as_table().and_then(|table| table.node("secret"));
    if matches!(kind, Kind::Secret) {
        found.extend(inner.or(Some(node)).filter(|node| node.as_text().is_some()).map(|node| (dotted.to_owned(), node)));
    } else if matches!(kind, Kind::Header) {
        found.extend(inner.filter(|node| node.as_text().is_some()).map(|node| (dotted.to_owned(), node)));
    } else if let Kind::Map(of) = kind {
        for entry in node.as_table().map(|table| table.entries.as_slice()).unwrap_or_default() {
            secrets_of(&entry.node, *of, &format!("{dotted}.{}", entry.key), found);
        }
    } else if let Kind::Table(section) | Kind::Tables(section) = kind {
        let one = std::slice::from_ref(node);
        for table in node.as_list().unwrap_or(one).iter().filter_map(Node::as_table) {
            found.extend(secrets(table, section));
        }
    }
}

struct Walk<'f> {
    file: &'f SourceFile,
    root: &'static Section,
    problems: Vec<Problem>,
    /// Keys of the root that were found inside a section.
    misplaced: Vec<&'static str>,
}

/// Whether this is written as a section, or as several.
fn is_section(node: &Node) -> bool {
    node.as_table().is_some() || node.as_list().is_some_and(|list| !list.is_empty() && list.iter().all(|element| element.as_table().is_some()))
}

fn header_of(entry: &Entry) -> String {
    if entry.node.as_list().is_some() { format!("[[{}]]", entry.key) } else { format!("[{}]", entry.key) }
}

/// A key that takes a section, as its header is written.
fn headed(key: &Key) -> String {
    if matches!(key.kind, Kind::Tables(_) | Kind::OwnTables(_)) { format!("[[{}]]", key.name) } else { format!("[{}]", key.name) }
}

fn missing(dotted: &str) -> String {
    format!("`{dotted}` is missing")
}

impl Walk<'_> {
    fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn table(&mut self, table: &Table, section: &'static Section, span: Option<&Span>) {
        for entry in &table.entries {
            match section.key(&entry.key) {
                Some(key) => self.value(&entry.node, key.kind, &section.dotted(key.name)),
                None => self.unknown(entry, section),
            }
        }
        for key in section.keys.iter().filter(|key| key.required && table.get(key.name).is_none()) {
            let mut problem = Problem::error("missing-key", self.file, span.cloned().unwrap_or(0..0), missing(&section.dotted(key.name)));
            problem.span = span.cloned();
            self.report(problem.help(format!("`{}`: {}", key.name, key.doc)));
        }
    }

    fn unknown(&mut self, entry: &Entry, section: &'static Section) {
        let place = if section.title.is_empty() { "above the first [section]".to_owned() } else { format!("in {}", section.title) };
        let header = section.title.is_empty() && is_section(&entry.node);
        let at = entry.key_span.clone();
        let mut problem = if header {
            Problem::error("unknown-section", self.file, at, format!("unknown section `{}`", header_of(entry)))
                .label("there is no such section, so it would have no effect")
        } else {
            Problem::error("unknown-key", self.file, at, format!("unknown key `{}` {place}", entry.key))
                .label("not a setting here, so it would have no effect")
        };
        let sections = |key: &&Key| matches!(key.kind, Kind::Table(_) | Kind::Tables(_) | Kind::OwnTable(_) | Kind::OwnTables(_) | Kind::Map(_));
        let root_key = self.root.key(&entry.key).filter(|_| !std::ptr::eq(section, self.root));
        if let Some(key) = root_key.filter(|key| !sections(key)) {
            self.misplaced.push(key.name);
            problem =
                problem.help(format!("`{}` belongs above the first [section]: in TOML a key is part of the section header above it", entry.key));
        } else if let Some(near) = nearest(&entry.key, section.keys.iter().filter(|key| !header || sections(key)).map(|key| key.name)) {
            let near = section.key(near).filter(|_| header).map_or_else(|| near.to_owned(), headed);
            problem = problem.help(format!("did you mean `{near}`?"));
        } else if let Some(home) = self.home_of(&entry.key, section) {
            problem = problem.help(format!("`{}` belongs in {home}", entry.key));
        } else if header {
            let names: Vec<String> = section.keys.iter().filter(sections).map(headed).collect();
            problem = problem.help(format!("sections: {}", names.join(", ")));
        } else if section.keys.len() <= 12 {
            let names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
            problem = problem.help(format!("one of: {}", names.join(", ")));
        }
        self.report(problem);
    }

    /// The section that has this key, when there is exactly one.
    fn home_of(&self, key: &str, here: &'static Section) -> Option<&'static str> {
        let mut homes = self.root.keys.iter().filter_map(|candidate| {
            let (Kind::Table(section) | Kind::Tables(section)) = candidate.kind else { return None };
            (!std::ptr::eq(section, here) && section.key(key).is_some()).then_some(section.title)
        });
        homes.next().filter(|_| homes.next().is_none())
    }

    fn wrong(&mut self, node: &Node, dotted: &str, takes: &str) {
        let problem =
            Problem::error("wrong-type", self.file, node.span.clone(), format!("{dotted} takes {takes}")).label(format!("this is {}", node.kind()));
        self.report(problem);
    }

    fn bad(&mut self, node: &Node, dotted: &str, help: &str) {
        let written = node.as_text().unwrap_or_default();
        let problem = Problem::error("bad-value", self.file, node.span.clone(), format!("`{written}` is not a value of {dotted}"));
        self.report(if help.is_empty() { problem } else { problem.help(help) });
    }

    fn value(&mut self, node: &Node, kind: Kind, dotted: &str) {
        match kind {
            Kind::Free | Kind::OwnTable(_) | Kind::OwnTables(_) => {}
            Kind::Text => {
                self.text(node, dotted, "a string");
            }
            Kind::TextList => self.list(node, dotted, &|_| None),
            Kind::TextOrList => {
                if node.as_list().is_some() {
                    self.list(node, dotted, &|_| None);
                } else {
                    self.text(node, dotted, "a string or a list of strings");
                }
            }
            Kind::EnumList(words) => self.list(node, dotted, &|written| one_of(written, words)),
            Kind::Networks => self.list(node, dotted, &|written| {
                let bare = written.parse::<std::net::IpAddr>().is_ok();
                (written.parse::<ipnet::IpNet>().is_err() && !bare)
                    .then(|| "write an address with a prefix length, such as 10.0.0.0/8 or fd00::/8".to_owned())
            }),
            Kind::Bool => {
                if !matches!(node.value, Written::Bool(_)) {
                    self.wrong(node, dotted, "true or false");
                }
            }
            Kind::Int(least, most) => match node.value {
                Written::Integer(number) if (least..=most).contains(&number) => {}
                Written::Integer(number) => {
                    let problem = Problem::error("bad-value", self.file, node.span.clone(), format!("{number} is not a value of {dotted}"));
                    self.report(problem.help(format!("from {least} to {most}")));
                }
                Written::Text(_) | Written::Float(_) | Written::Bool(_) | Written::Date(_) | Written::List(_) | Written::Table(_) => {
                    self.wrong(node, dotted, "a whole number");
                }
            },
            Kind::Duration if node.as_text().and_then(duration_ms) == Some(0) => self.bad(node, dotted, "it must be longer than 0"),
            Kind::Duration | Kind::DurationOrZero => self.parsed(
                node,
                dotted,
                "a duration",
                &|written| duration_ms(written).is_some(),
                "a number and a unit: ms, s, m, h, d; such as \"15m\"",
            ),
            Kind::Size => self.parsed(
                node,
                dotted,
                "a size",
                &|written| size_bytes(written).is_some(),
                "a number and a unit: KiB, MiB, GiB; such as \"100 MiB\"",
            ),
            Kind::Enum(words) => {
                if let Some(written) = self.text(node, dotted, "a string")
                    && let Some(help) = one_of(&written, words)
                {
                    let problem = Problem::error("bad-value", self.file, node.span.clone(), format!("`{written}` is not a value of {dotted}"));
                    let problem = match nearest(&written, words.iter().copied()) {
                        Some(near) => problem.help(format!("did you mean \"{near}\"?")),
                        None => problem,
                    };
                    self.report(problem.help(help));
                }
            }
            Kind::Expression => {
                self.text(node, dotted, "an expression, as a string");
            }
            Kind::Templates => self.templates(node, dotted),
            Kind::Header => self.header(node, dotted),
            Kind::Message => self.message(node, dotted),
            Kind::Secret => self.secret(node, dotted),
            Kind::Url => self.parsed(node, dotted, "an address", &is_http_url, "an absolute address, such as \"https://app.example.com\""),
            Kind::Host => {
                self.parsed(node, dotted, "a host name", &is_host, "a name only, without scheme, port and path, such as \"app.example.com\"");
            }
            Kind::Addresses => {
                let ok = |written: &str| written.parse::<std::net::SocketAddr>().is_ok();
                let help = "an address and a port, such as \"0.0.0.0:443\" or \"[::]:443\"";
                if node.as_list().is_some() {
                    self.list(node, dotted, &|written| (!ok(written)).then(|| help.to_owned()));
                } else {
                    self.parsed(node, dotted, "an address and a port", &ok, help);
                }
            }
            Kind::Map(of) => match node.as_table() {
                Some(table) => {
                    for entry in &table.entries {
                        self.value(&entry.node, *of, &format!("{dotted}.{}", entry.key));
                    }
                }
                None => self.wrong(node, dotted, "a table"),
            },
            Kind::Table(section) => match node.as_table() {
                Some(table) => self.table(table, section, Some(&node.span)),
                None => self.wrong(node, dotted, &format!("a table: {}", section.title)),
            },
            Kind::Tables(section) => match &node.value {
                Written::List(elements) if elements.iter().all(|element| element.as_table().is_some()) => {
                    for element in elements {
                        if let Some(table) = element.as_table() {
                            self.table(table, section, Some(&element.span));
                        }
                    }
                }
                Written::Table(_) => {
                    let problem = Problem::error(
                        "expected-list",
                        self.file,
                        node.span.clone(),
                        format!("{dotted} may stand several times, and takes double brackets"),
                    );
                    self.report(problem.label("this is a single table").help(format!("write {}", section.title)));
                }
                Written::Text(_) | Written::Integer(_) | Written::Float(_) | Written::Bool(_) | Written::Date(_) | Written::List(_) => {
                    self.wrong(node, dotted, &format!("sections: {}", section.title));
                }
            },
        }
    }

    /// One text, or one for each of some languages.
    fn message(&mut self, node: &Node, dotted: &str) {
        let Some(table) = node.as_table() else { return self.message_text(node, dotted, "a text, or texts by language") };
        if table.entries.is_empty() {
            let problem = Problem::error("empty-value", self.file, node.span.clone(), format!("{dotted} is empty"));
            return self.report(problem.help("leave the key out, or give it a text"));
        }
        for entry in &table.entries {
            if Language::parse(&entry.key).is_none() {
                let mut problem =
                    Problem::error("unknown-language", self.file, entry.key_span.clone(), format!("{dotted}: there is no language `{}`", entry.key));
                let lower = entry.key.to_ascii_lowercase();
                if let Some(near) = lower.split(['-', '_']).next().and_then(Language::parse) {
                    problem = problem.help(format!("did you mean `{}`?", near.tag()));
                }
                self.report(problem.help(format!("one of: {}; a text without a language is for all of them", TAGS.join(", "))));
            }
            self.message_text(&entry.node, &format!("{dotted}.{}", entry.key), "a string");
        }
    }

    fn message_text(&mut self, node: &Node, dotted: &str, takes: &str) {
        let Some(written) = self.text(node, dotted, takes) else { return };
        let count = written.chars().count();
        if count > MESSAGE_CHARS_MAX {
            let problem = Problem::error(
                "too-long",
                self.file,
                node.span.clone(),
                format!("{dotted} has {count} characters, and {MESSAGE_CHARS_MAX} are allowed"),
            );
            self.report(problem.help("say what to do in a sentence or two; access.help can link to a page that explains more"));
        }
    }

    /// The text, when it is one and not blank; else a problem.
    fn text(&mut self, node: &Node, dotted: &str, takes: &str) -> Option<String> {
        match node.as_text() {
            None => {
                self.wrong(node, dotted, takes);
                None
            }
            Some(written) if written.trim().is_empty() => {
                let problem = Problem::error("empty-value", self.file, node.span.clone(), format!("{dotted} is empty"));
                self.report(problem.help("leave the key out, or give it a value"));
                None
            }
            Some(written) => Some(written.to_owned()),
        }
    }

    fn parsed(&mut self, node: &Node, dotted: &str, takes: &str, ok: &dyn Fn(&str) -> bool, help: &str) {
        if let Some(written) = self.text(node, dotted, &format!("{takes}, as a string"))
            && !ok(&written)
        {
            self.bad(node, dotted, help);
        }
    }

    /// A list of texts, each checked by `wrong`, which gives the way out.
    fn list(&mut self, node: &Node, dotted: &str, wrong: &dyn Fn(&str) -> Option<String>) {
        let Some(elements) = node.as_list() else {
            let problem = Problem::error("expected-list", self.file, node.span.clone(), format!("{dotted} takes a list"));
            let problem = match node.as_text() {
                Some(written) => problem.label("this is a single string").help(format!("write [{written:?}]")),
                None => problem.label(format!("this is {}", node.kind())),
            };
            return self.report(problem);
        };
        for element in elements {
            if let Some(written) = self.text(element, dotted, "a list of strings")
                && let Some(help) = wrong(&written)
            {
                self.bad(element, dotted, &help);
            }
        }
    }

    fn templates(&mut self, node: &Node, dotted: &str) {
        let Some(elements) = node.as_list() else {
            if node.as_text() != Some("") {
                self.text(node, dotted, "text with {…}, or a list of which the first that is set counts");
            }
            return;
        };
        if elements.is_empty() {
            self.report(Problem::error("empty-list", self.file, node.span.clone(), format!("{dotted} is an empty list")));
        }
        for element in elements.iter().filter(|element| element.as_text().is_none()) {
            self.wrong(element, dotted, "a list of strings");
        }
    }

    fn header(&mut self, node: &Node, dotted: &str) {
        let Some(table) = node.as_table() else {
            return self.templates(node, dotted);
        };
        for entry in &table.entries {
            match entry.key.as_str() {
                "secret" => self.secret(&entry.node, &format!("{dotted}.secret")),
                "value" => self.templates(&entry.node, &format!("{dotted}.value")),
                "encoding" => self.value(&entry.node, Kind::Enum(&["utf-8", "rfc2047", "percent"]), &format!("{dotted}.encoding")),
                other => {
                    let message = format!("unknown key `{other}` in {dotted}");
                    let problem = Problem::error("unknown-key", self.file, entry.key_span.clone(), message)
                        .label("not a setting here, so it would have no effect");
                    self.report(problem.help("one of: value, encoding, secret"));
                }
            }
        }
        if table.get("secret").is_some() == table.get("value").is_some() {
            let problem = Problem::error("missing-key", self.file, node.span.clone(), format!("{dotted} takes either `value` or `secret`"));
            self.report(problem);
        }
    }

    /// A secret by reference, as text or as `{ secret = "…" }`.
    fn secret(&mut self, node: &Node, dotted: &str) {
        if let Some(table) = node.as_table() {
            let [Entry { key, node: inner, .. }] = table.entries.as_slice() else {
                return self.wrong(node, dotted, "a reference to a secret");
            };
            if key == "secret" {
                return self.secret(inner, dotted);
            }
            return self.wrong(node, dotted, "a reference to a secret");
        }
        let Some(written) = self.text(node, dotted, "a reference to a secret, as a string") else { return };
        if written.starts_with("vault:") {
            let message = format!("{dotted} refers to a vault, and this gateway asks none itself");
            let problem = Problem::error("bad-value", self.file, node.span.clone(), message);
            let problem = problem.help("let the vault's own agent keep the secret in a file, and refer to that: \"file:/path\"");
            return self.report(problem.help(r#"or "cred:NAME" (systemd, Compose, Kubernetes) or "env:NAME""#));
        }
        if SecretRef::parse(&written).is_some() {
            return;
        }
        if is_secret_reference(&written) {
            let problem =
                Problem::error("bad-value", self.file, node.span.clone(), format!("{dotted}: a credential's name is a single word, not a path"));
            return self
                .report(problem.help(r#""cred:NAME" is NAME in the folder that systemd or the container gives; for a path write "file:/path""#));
        }
        let problem = Problem::error("literal-secret", self.file, node.span.clone(), format!("{dotted} holds the secret itself"));
        let problem = if looks_like_path(&written) {
            problem.label("or a path that is not marked as one").help(format!("did you mean \"file:{written}\"?"))
        } else {
            problem.label("policy files are readable by more people than this secret should be")
        };
        self.report(problem.help(r#"refer to it: "cred:NAME" (systemd), "file:/path" or "env:NAME""#));
    }
}

fn one_of(written: &str, words: &[&str]) -> Option<String> {
    (!words.contains(&written)).then(|| format!("one of: {}", words.join(", ")))
}

/// Whether `written` is an absolute `http` or `https` address.
pub fn is_http_url(written: &str) -> bool {
    url::Url::parse(written)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() && url.password().is_none())
}

/// Whether `written` is a DNS name (or `localhost`): letters, digits, `-` and `.`; no scheme, port, path.
pub fn is_host(written: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    written.len() <= 253 && written.split('.').all(label)
}
