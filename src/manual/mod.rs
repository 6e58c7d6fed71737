//! The manual: the reference pages of both files and of every connector.
//!
//! Lives here: what is made from the tables ([`words`], [`pages`], [`help`], [`json_schema`]) and the pages themselves, as committed. A reference page is never edited by
//! hand: `make manual` writes it anew, and a test fails when it says something else than the table. Apart because it is for people, and no line of it decides
//! anything.

#![expect(clippy::doc_markdown, reason = "the pages are made for people from the words of the tables")]

pub mod help;
pub mod json_schema;
pub mod pages;
pub mod words;

#[doc = include_str!("writing.md")]
pub mod writing {}

#[doc = include_str!("first_policy.md")]
pub mod first_policy {}

#[doc = include_str!("policy.md")]
pub mod policy {}

#[doc = include_str!("gateway.md")]
pub mod gateway {}

#[doc = include_str!("connectors.md")]
pub mod connectors {}

#[doc = include_str!("connecting.md")]
pub mod connecting {}

#[cfg(test)]
mod tests {
    use super::pages::{connectors, reference};
    use crate::config::schema::GATEWAY;
    use crate::policy::schema::POLICY;
    use crate::source::schema::Section;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_pages_say_what_the_tables_say() {
        let pages = [
            ("policy.md", reference("A policy file", &POLICY)),
            ("gateway.md", reference("The gateway file, `vestibule.toml`", &GATEWAY)),
            ("connectors.md", connectors()),
        ];
        for (name, made) in pages {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual").join(name);
            if std::env::var_os("VESTIBULE_WRITE_MANUAL").is_some() {
                fs::write(&path, &made).expect("the page is written");
            }
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == made, "{name} is not what the table says: run `make manual`");
        }
    }

    #[test]
    fn the_chapter_on_writing_names_every_function_and_name() {
        let chapter = include_str!("writing.md");
        let names = crate::expr::function_names().chain(["has"]);
        let missing: Vec<&str> = names.filter(|name| !chapter.contains(&format!("{name}("))).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let env = crate::expr::Env::sign_in().with_user([]).with_roles().with_request().with_vars(&serde_json::Map::new());
        let missing: Vec<&str> = env
            .names()
            .chain(["item", "id"])
            .filter(|name| !chapter.contains(&format!("`{name}`")) && !chapter.contains(&format!("`{name}.")))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// The lists of keys that readers of connector files and dialects know, from their own sources: whatever is added there is asked for here.
    fn keys_of_connectors() -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources: Vec<_> =
            fs::read_dir(folder.join("connector/model")).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
        // A policy's own steps have a table of their own: policy.md.
        sources.retain(|path| path.extension().is_some_and(|end| end == "rs") && !path.ends_with("own.rs"));
        let text: String = sources.iter().map(|path| fs::read_to_string(path).expect("a source")).collect();
        let lists = regex::Regex::new(r"(?s)(?:\.keys\([^;]*?&\[([^\]]*)\]|const [A-Z_]+: \[&str; \d+\] = \[([^\]]*)\])").expect("a pattern");
        let words = regex::Regex::new(r#""([^"]+)""#).expect("a pattern");
        let mut keys: Vec<String> = Vec::new();
        for list in lists.captures_iter(&text) {
            let list = list.get(1).or_else(|| list.get(2)).expect("one of them").as_str();
            keys.extend(words.captures_iter(list).map(|word| word[1].to_owned()));
        }
        // Names of templates, which are no keys.
        keys.retain(|key| !key.contains('.') && key != "vars");
        let dialect = fs::read_to_string(folder.join("kit/dialect.rs")).expect("a source");
        let fields = regex::Regex::new(r"(?m)^    pub\(super\) (\w+):").expect("a pattern");
        keys.extend(fields.captures_iter(&dialect).map(|field| field[1].to_owned()).filter(|field| field != "act"));
        keys
    }

    #[test]
    fn the_chapter_on_connectors_names_every_key() {
        let chapter = include_str!("connecting.md");
        let keys = keys_of_connectors();
        assert!(keys.len() > 150 && keys.iter().any(|key| key == "joined_on_create") && keys.iter().any(|key| key == "hides_disabled"), "{keys:?}");
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words: std::collections::HashSet<&str> = chapter.split(|c: char| !is_word(c)).collect();
        let mut missing: Vec<&String> = keys.iter().filter(|key| !words.contains(key.as_str())).collect();
        missing.sort();
        missing.dedup();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_key_and_section_is_documented() {
        fn walk(section: &'static Section, thin: &mut Vec<String>) {
            let mut note = |name: &str, doc: &str| {
                if doc.len() < 4 {
                    thin.push(format!("{} {name}", section.title));
                }
            };
            note("", section.doc);
            for key in section.keys {
                note(key.name, key.doc);
            }
            for inner in super::help::sections(section) {
                walk(inner, thin);
            }
        }
        let mut thin = Vec::new();
        for root in [&POLICY, &GATEWAY] {
            walk(root, &mut thin);
        }
        assert!(thin.is_empty(), "{thin:?}");
    }
}
