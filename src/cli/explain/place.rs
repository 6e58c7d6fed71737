//! On which line of a policy a key stands: the compiled policy knows its sections only.

use crate::policy::{Policy, Rule};
use crate::source::{SourceFile, Table, parse};

/// The lines of one policy file.
#[derive(Debug)]
pub(super) struct Lines {
    file: SourceFile,
    tree: Table,
}

/// A place in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `policies/redmine.toml:25`.
    pub(super) text: String,
    /// 25, unless only the file is known.
    pub(super) line: Option<usize>,
}

impl Lines {
    /// Of the file that `policy` was made from; when it cannot be read again, places are those of sections.
    pub(super) fn of(policy: &Policy) -> Self {
        let file = SourceFile::new(policy.file.clone(), std::fs::read_to_string(&policy.file).unwrap_or_default());
        let tree = parse(&file).0;
        Self { file, tree }
    }

    /// Where `key` of the section `rule` stands; the section, when it is not written there.
    pub(super) fn of_key(&self, policy: &Policy, rule: Rule, key: &str) -> Place {
        let key = if key == "email_unverified" { "domains" } else { key };
        let section = match rule {
            Rule::Login => self.tree.table("login"),
            Rule::Access => self.tree.table("access"),
            Rule::Path(index) => self.tree.sections("path").get(index).map(|(_, table)| *table),
        };
        section.and_then(|table| table.get(key)).map_or_else(|| Place::of(policy.place(rule)), |entry| Place::of(&self.file.place(&entry.key_span)))
    }

    /// Where `key` of `[user]` stands, or `[user]`.
    pub(super) fn of_user(&self, policy: &Policy, key: &str) -> Place {
        self.of_section(policy, "user", key)
    }

    /// Where `key` of `[section]` stands, or the section; the file, when that is not written either.
    pub(super) fn of_section(&self, policy: &Policy, section: &str, key: &str) -> Place {
        let entry = self.tree.get(section);
        let written = entry.and_then(|entry| entry.node.as_table()).and_then(|table| table.get(key));
        written.or(entry).map_or_else(|| Place::of(&policy.file), |entry| Place::of(&self.file.place(&entry.key_span)))
    }
}

impl Place {
    /// Of `FILE:LINE` or `FILE`.
    pub(super) fn of(text: &str) -> Self {
        Self { text: text.to_owned(), line: text.rsplit_once(':').and_then(|(_, line)| line.parse().ok()) }
    }
}
