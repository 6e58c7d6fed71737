//! What a key takes, in words: the one text that the manual, `vestibule help` and editors show.

use crate::source::schema::{Key, Kind, Section};

/// What `kind` takes, e.g. `a duration, such as "15m"`.
pub fn takes(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::TextList => "a list of texts".to_owned(),
        Kind::TextOrList => "text, or a list of texts".to_owned(),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Int(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Duration => "a duration, such as `\"15m\"` (`ms`, `s`, `m`, `h`, `d`)".to_owned(),
        Kind::DurationOrZero => "a duration, such as `\"15m\"`, or `\"0s\"`".to_owned(),
        Kind::Size => "a size, such as `\"100 MiB\"`".to_owned(),
        Kind::Secret => "a reference to a secret: `\"cred:NAME\"`, `\"file:/path\"` or `\"env:NAME\"`".to_owned(),
        Kind::Enum(words) => list(words),
        Kind::EnumList(words) => format!("a list of {}", list(words)),
        Kind::Expression => "a condition, such as `\"'staff' in groups\"`".to_owned(),
        Kind::Templates => "text with `{expressions}`, or a list of such, of which the first that is set counts".to_owned(),
        Kind::Header => {
            "text with `{expressions}`, a list of such, `{ secret = \"cred:NAME\" }`, or `{ value = \"…\", encoding = \"utf-8\" }`".to_owned()
        }
        Kind::Message => "text for every language, or texts by language, such as `{ en = \"…\", de = \"…\" }`".to_owned(),
        Kind::Url => "an address, such as `\"https://app.example.com\"`".to_owned(),
        Kind::Host => "a host name, such as `\"app.example.com\"`".to_owned(),
        Kind::Networks => "a list of networks, such as `[\"10.0.0.0/8\"]`".to_owned(),
        Kind::Addresses => "an address and a port, such as `\"0.0.0.0:443\"`, or a list of such".to_owned(),
        Kind::Map(of) => format!("a table of names of your own, each with {}", takes(*of)),
        Kind::Table(section) | Kind::OwnTable(section) => format!("a section, `{}`", section.title),
        Kind::Tables(section) | Kind::OwnTables(section) => format!("sections, `{}`, any number of them", section.title),
        Kind::Free => "a value or a table".to_owned(),
    }
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
}

/// Whether a key is a section of its own rather than a value.
pub const fn inner(kind: Kind) -> Option<&'static Section> {
    if let Kind::Table(section) | Kind::Tables(section) | Kind::OwnTable(section) | Kind::OwnTables(section) = kind { Some(section) } else { None }
}

/// "required", or the default as it would be written; `None` when leaving it out simply means nothing.
pub fn when_left_out(key: &Key) -> Option<String> {
    match (key.required, key.default) {
        (true, _) => Some("required".to_owned()),
        (false, "") => None,
        (false, default) => Some(match written_default(key) {
            Some(_) => format!("default: `{}`", quoted(key.kind, default)),
            None => format!("default: {default}"),
        }),
    }
}

/// The default as JSON, when it is a value rather than a phrase ("the host").
pub fn written_default(key: &Key) -> Option<serde_json::Value> {
    let text = key.default;
    if text.is_empty() {
        return None;
    }
    match key.kind {
        Kind::Bool | Kind::Int(..) | Kind::TextList | Kind::EnumList(_) | Kind::Networks => serde_json::from_str(text).ok(),
        Kind::Templates if text.starts_with(['[', '"']) => serde_json::from_str(text).ok(),
        Kind::Enum(words) => words.contains(&text).then(|| text.into()),
        Kind::Duration | Kind::DurationOrZero => crate::source::value::duration_ms(text).map(|_| text.into()),
        Kind::Size => crate::source::value::size_bytes(text).map(|_| text.into()),
        // One word or path is a value; a phrase with spaces is prose.
        Kind::Text | Kind::Addresses | Kind::Url | Kind::Host if !text.contains(' ') => Some(text.into()),
        Kind::Secret if ["cred:", "file:", "env:"].iter().any(|kind| text.starts_with(kind)) => Some(text.into()),
        Kind::Text
        | Kind::Secret
        | Kind::Addresses
        | Kind::Url
        | Kind::Host
        | Kind::TextOrList
        | Kind::Templates
        | Kind::Expression
        | Kind::Header
        | Kind::Message
        | Kind::Map(_)
        | Kind::Table(_)
        | Kind::Tables(_)
        | Kind::OwnTable(_)
        | Kind::OwnTables(_)
        | Kind::Free => None,
    }
}

fn quoted(kind: Kind, default: &str) -> String {
    let bare = matches!(kind, Kind::Bool | Kind::Int(..) | Kind::TextList | Kind::EnumList(_) | Kind::Networks | Kind::Templates);
    if bare { default.to_owned() } else { format!("\"{default}\"") }
}

#[cfg(test)]
mod tests {
    use super::{takes, when_left_out, written_default};
    use crate::source::schema::{Key, Kind};

    #[test]
    fn what_is_left_out_is_said_in_words() {
        let check = |key: Key, expected: Option<&str>, json: Option<serde_json::Value>| {
            assert_eq!((when_left_out(&key).as_deref(), written_default(&key)), (expected, json), "{}", key.name);
        };
        check(Key::new("a", Kind::Text, "").default("the file's name"), Some("default: the file's name"), None);
        check(Key::new("b", Kind::Duration, "").default("no limit"), Some("default: no limit"), None);
        check(Key::new("c", Kind::Text, ""), None, None);
        check(Key::new("d", Kind::Text, "").required(), Some("required"), None);
        check(Key::new("e", Kind::Duration, "").default("5s"), Some("default: `\"5s\"`"), Some("5s".into()));
        check(Key::new("f", Kind::Bool, "").default("false"), Some("default: `false`"), Some(false.into()));
        check(Key::new("h", Kind::Url, "").default("the provider's token endpoint"), Some("default: the provider's token endpoint"), None);
        check(Key::new("i", Kind::Url, "").default("http://a"), Some("default: `\"http://a\"`"), Some("http://a".into()));
        check(Key::new("g", Kind::EnumList(&["x"]), "").default("[\"x\"]"), Some("default: `[\"x\"]`"), Some(serde_json::json!(["x"])));
    }

    #[test]
    fn no_word_for_nothing_is_printed_as_a_value() {
        for (file, root) in super::super::help::FILES {
            for section in std::iter::once(root).chain(super::super::help::sections(root)) {
                let in_words = |key: &&Key| {
                    !matches!(key.kind, Kind::Enum(_)) && matches!(key.default, "nothing" | "none" | "no" | "all" | "any" | "never" | "unlimited")
                };
                let said: Vec<_> = section.keys.iter().filter(in_words).filter_map(|key| Some((key.name, written_default(key)?))).collect();
                assert!(said.iter().all(|(_, value)| value.is_null()), "{file} {}: {said:?}", section.title);
            }
        }
    }

    #[test]
    fn a_map_says_what_its_values_take() {
        assert_eq!(takes(Kind::Map(&Kind::Bool)), "a table of names of your own, each with `true` or `false`");
    }
}
