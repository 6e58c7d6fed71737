//! `vestibule help KEY`: everything the tables know under a name.

use super::pages::connector as connector_page;
use super::words::{inner, takes, when_left_out};
use crate::config::schema::GATEWAY;
use crate::connector::builtin::builtin;
use crate::expr::{function_help, function_names};
use crate::policy::schema::POLICY;
use crate::source::schema::{Key, Kind, Section};
use crate::source::value::nearest;
use std::fmt::Write as _;

/// What `asked` finds: text for a terminal.
///
/// `asked` is a key (`on_existing`), a dotted key (`provision.on_existing`), a section (`access`, `[access]`), a function of expressions (`slug`), a file (`policy`,
/// `gateway`), a connector, or `writing`: the chapter on expressions, tests and accounts.
///
/// # Errors
/// The nearest name, when nothing is called so: `None` when nothing comes near.
pub fn help(asked: &str) -> Result<String, Option<String>> {
    let asked = asked.trim().trim_matches(['[', ']']);
    if asked == "writing" {
        return Ok(include_str!("writing.md").to_owned());
    }
    if let Some(connector) = builtin().iter().find(|connector| connector.name == asked) {
        return Ok(connector_page(connector));
    }
    for (name, root) in FILES {
        if asked == name {
            return Ok(whole(root, name));
        }
    }
    let found = everything().into_iter().filter(|entry| entry.is_called(asked));
    let found: Vec<String> = found.map(|entry| entry.text()).chain(function(asked)).collect();
    if found.is_empty() {
        let names: Vec<String> = everything().iter().flat_map(|entry| [entry.dotted(), entry.name().to_owned()]).collect();
        let functions: Vec<&str> = function_names().chain(["has"]).collect();
        let names = names.iter().map(String::as_str).chain(functions.iter().copied());
        return Err(nearest(asked, names).map(str::to_owned));
    }
    Ok(found.join("\n"))
}

/// A function of the expression language.
fn function(asked: &str) -> Option<String> {
    let [usage, does, example, value] = function_help(asked.trim_end_matches("()"))?;
    Some(format!("{usage}    expressions: `when`, and {{…}} in texts\n\n  {}\n  {example} is {value}.\n", sentence(does)))
}

/// The files, by the name people ask for them.
pub(super) const FILES: [(&str, &Section); 2] = [("policy", &POLICY), ("gateway", &GATEWAY)];

/// A key or section and where it belongs.
struct Entry {
    file: &'static str,
    section: &'static Section,
    key: Option<&'static Key>,
}

impl Entry {
    fn name(&self) -> &'static str {
        self.key.map_or(self.section.name, |key| key.name)
    }

    fn dotted(&self) -> String {
        match self.key {
            Some(key) if self.section.name.is_empty() => key.name.to_owned(),
            Some(key) => format!("{}.{}", self.section.name, key.name),
            None => self.section.name.to_owned(),
        }
    }

    fn is_called(&self, asked: &str) -> bool {
        // A section is shown once: as the section, not also as the key that opens it.
        let opens = self.key.is_some_and(|key| inner(key.kind).is_some());
        !opens && !self.name().is_empty() && (self.name() == asked || self.dotted() == asked)
    }

    fn text(&self) -> String {
        let mut out = String::new();
        match self.key {
            None => {
                // Writing to a String cannot fail.
                let _infallible = writeln!(out, "{}    {} file\n\n  {}\n", self.section.title, self.file, self.section.doc);
                keys(&mut out, self.section);
            }
            Some(key) => {
                let place = if self.section.title.is_empty() { "above the first [section]" } else { self.section.title };
                let _infallible = writeln!(
                    out,
                    "{}    {} file, {place}\n\n  {}\n  Takes {}.",
                    self.dotted(),
                    self.file,
                    sentence(key.doc),
                    plain(&takes(key.kind))
                );
                if let Some(left_out) = when_left_out(key) {
                    let _infallible = writeln!(out, "  {}.", plain(&capital(&left_out)));
                }
            }
        }
        out
    }
}

fn whole(root: &'static Section, name: &str) -> String {
    let mut out = format!("{name} file\n\n  {}\n\n", root.doc);
    keys(&mut out, root);
    for section in sections(root) {
        let _infallible = writeln!(out, "\n{}    {}\n", section.title, section.doc);
        keys(&mut out, section);
    }
    out
}

fn keys(out: &mut String, section: &Section) {
    let width = section.keys.iter().map(|key| key.name.len()).max().unwrap_or_default();
    for key in section.keys {
        let left_out = when_left_out(key).map(|text| format!(" ({})", plain(&text))).unwrap_or_default();
        let _infallible = writeln!(out, "  {:width$}  {}{left_out}", key.name, key.doc);
    }
}

fn everything() -> Vec<Entry> {
    let mut all = Vec::new();
    for (file, root) in FILES {
        for section in std::iter::once(root).chain(sections(root)) {
            if !section.name.is_empty() {
                all.push(Entry { file, section, key: None });
            }
            all.extend(section.keys.iter().map(|key| Entry { file, section, key: Some(key) }));
        }
    }
    all
}

/// The sections below `root`, depth first.
pub(super) fn sections(root: &'static Section) -> Vec<&'static Section> {
    root.keys.iter().filter_map(|key| inner_of(key.kind)).flat_map(|section| std::iter::once(section).chain(sections(section))).collect()
}

fn inner_of(kind: Kind) -> Option<&'static Section> {
    if let Kind::Map(of) = kind { inner(*of) } else { inner(kind) }
}

/// With a capital, unless it begins with a name of something: of a file or a setting, whose case counts.
pub(super) fn capital(text: &str) -> String {
    let first = text.split_whitespace().next().unwrap_or_default().trim_end_matches([',', ';', ':', '.']);
    if first.contains(['_', '.', '/', ':', '=', '…']) || first.chars().skip(1).any(char::is_uppercase) {
        return text.to_owned();
    }
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// A doc line as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let text = capital(text);
    if text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") }
}

fn plain(text: &str) -> String {
    text.replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::help;

    #[test]
    fn an_unknown_key_gets_the_nearest_one() {
        assert_eq!(help("on_existin").expect_err("unknown"), Some("on_existing".to_owned()));
        assert_eq!(help("qqqqqqqq").expect_err("unknown"), None);
    }

    #[test]
    fn a_key_is_found_by_its_name_its_dotted_name_and_its_section() {
        let text = help("provision.on_existing").expect("known");
        assert!(
            text.contains("policy file, [provision]") && text.contains("\"adopt\", \"leave\", \"refuse\"") && text.contains("Default: \"refuse\"."),
            "{text}"
        );
        assert_eq!(help("on_existing").expect("known"), text);
        let section = help("[access]").expect("known");
        assert!(section.starts_with("[access]    policy file") && section.contains("deny_groups"), "{section}");
        // In both files, or in several sections: all of them.
        let groups = help("groups").expect("known");
        assert!(groups.contains("gateway file, [[idp]]") && groups.contains("policy file, [access]"), "{groups}");
    }

    #[test]
    fn what_has_a_case_of_its_own_keeps_it() {
        let check = |text: &str, expected: &str| assert_eq!(super::sentence(text), expected, "{text}");
        check("webserver_config.py has it", "webserver_config.py has it.");
        check("sonar.web… must be on", "sonar.web… must be on.");
        check("omniauth_enabled = false", "omniauth_enabled = false.");
        check("sqlite:PATH", "sqlite:PATH.");
        check("OAuth is off", "OAuth is off.");
        check("`aud`", "`aud`.");
        check("how long, e.g. 5m", "How long, e.g. 5m.");
        check("files: all of them", "Files: all of them.");
    }

    #[test]
    fn prose_is_no_default() {
        for (key, expected) in [
            ("jwt.prefix", "Default: no prefix."),
            ("idp.groups_lookup.token_url", "Default: the provider's token endpoint."),
            ("state.url", "The database: sqlite:PATH."),
        ] {
            let text = help(key).expect("known");
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_function_is_shown_with_an_example_that_holds() {
        assert_eq!(help("slgu").expect_err("unknown"), Some("slug".to_owned()));
        let text = help("slug").expect("known");
        assert!(text.starts_with("slug(text)    expressions: ") && text.contains("  slug('Zoë Brontë') is zoe-bronte.\n"), "{text}");
        for name in crate::expr::function_names().chain(["has"]) {
            let [_, does, example, value] = crate::expr::function_help(name).expect(name);
            assert!(!does.is_empty() && help(name).is_ok() && example.contains(&format!("{name}(")), "{name}");
            let (template, problems) = crate::expr::Template::compile(&format!("{{{example}}}"), &crate::expr::Env::sign_in()).expect(example);
            let rendered = template.render(&serde_json::Map::new()).expect(example);
            let rendered = rendered.as_str().map_or_else(|| rendered.to_string(), str::to_owned);
            assert!(problems.is_empty() && rendered == value, "{example} is {rendered}, not {value}");
        }
    }

    #[test]
    fn a_file_is_shown_whole() {
        let text = help("gateway").expect("known");
        assert!(text.contains("[state]") && text.contains("auth_host"), "{text}");
    }
}
