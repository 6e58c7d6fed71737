//! Messages about JSON files, in words that fit JSON.
//!
//! Lives here: [`in_words_of_the_file`], which a compiler calls on what it found. Messages are written once, with the section headers and `key = value` of TOML, by
//! everybody who finds something; here they become objects and `"key": value`. Apart so that nobody who finds something must know two formats. What a
//! file itself says stands in backticks and stays as it is.

use super::{Problem, SourceFile};
use std::fmt::Write as _;

/// What is said of TOML, and what is said of JSON instead. The longer first.
const PHRASES: &[(&str, &str)] = &[
    (" above the first [section]: in TOML a key is part of the section header above it", " at the top level of the file"),
    (" above the first [section]", " at the top level of the file"),
    (" may stand several times, and takes double brackets", " may stand several times, and takes a list of objects"),
    ("this is a single table", "this is a single object"),
    ("takes sections: ", "takes a list of objects: "),
    ("a table", "an object"),
];

/// Puts problems of a JSON file into words that fit JSON; those of other files stay as they are.
pub(crate) fn in_words_of_the_file(file: &SourceFile, problems: &mut [Problem]) {
    if !file.is_json() {
        return;
    }
    for problem in problems.iter_mut().filter(|problem| problem.file.name == file.name) {
        for text in [&mut problem.message, &mut problem.label].into_iter().chain(&mut problem.helps) {
            *text = for_json(text);
        }
    }
}

fn for_json(text: &str) -> String {
    if text.strip_prefix("write [[").is_some_and(|rest| rest.ends_with("]]")) {
        return "write [{ … }, …]".to_owned();
    }
    let text = PHRASES.iter().fold(text.to_owned(), |text, (toml, json)| text.replace(toml, json));
    let mut out = String::new();
    // Every other part stood in backticks.
    for (number, part) in text.split('`').enumerate() {
        if number > 0 {
            out.push('`');
        }
        if number % 2 == 0 {
            outside(part, &mut out);
        } else {
            match header(part) {
                Some((name, "")) => out.push_str(name),
                _ => out.push_str(part),
            }
        }
    }
    out
}

/// Text that is ours: headers and assignments are rewritten.
fn outside(text: &str, out: &mut String) {
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let starts_word = !(before.is_alphanumeric() || matches!(before, '_' | '.' | ']' | '"'));
        if starts_word && let Some((name, after)) = header(rest) {
            // `[user.extra] department = "…"`: one object, one entry.
            if let Some((key, value)) = after.strip_prefix(' ').and_then(assignment) {
                // Writing to a String cannot fail, here and below.
                let _infallible = write!(out, "\"{name}\": {{ \"{key}\": {value} }}");
                return;
            }
            let _infallible = write!(out, "\"{name}\"");
            (rest, before) = (after, '"');
        } else if starts_word && let Some((key, value)) = assignment(rest) {
            let _infallible = write!(out, "\"{key}\": ");
            (rest, before) = (value, ' ');
        } else {
            out.push(c);
            (rest, before) = (rest.get(c.len_utf8()..).unwrap_or_default(), c);
        }
    }
}

/// `[a.b]` or `[[a.b]]` at the start: the name, and what follows.
fn header(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('[')?;
    let (inner, close) = inner.strip_prefix('[').map_or((inner, "]"), |inner| (inner, "]]"));
    let (name, rest) = inner.split_once(close)?;
    let word = name.starts_with(|c: char| c.is_ascii_lowercase());
    (word && name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.'))).then_some((name, rest))
}

/// `key = value` at the start, the value being one as far as its first character tells: the key, and the value with all that follows.
fn assignment(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once(" = ")?;
    let name = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    let is_value = value.starts_with(['"', '[', '{'])
        || value.starts_with(|c: char| c.is_ascii_digit())
        || value.starts_with("true")
        || value.starts_with("false");
    (name && is_value).then_some((key, value))
}

#[cfg(test)]
mod tests {
    use super::for_json;

    #[test]
    fn toml_becomes_json_and_nothing_else_changes() {
        let check = |toml: &str, json: &str| assert_eq!(for_json(toml), json, "{toml}");
        for same in [
            "write [\"suspended\"]",
            "`[access]x` is not a value of login.idp",
            "`a = \"b\"` is not a value",
            "vars.group_id[item]",
            "a == 'b'",
            "one of: a, b",
            "",
        ] {
            check(same, same);
        }
        check("unknown key `group` in [access]", "unknown key `group` in \"access\"");
        check("unknown key `x` above the first [section]", "unknown key `x` at the top level of the file");
        check(
            "`host` belongs above the first [section]: in TOML a key is part of the section header above it",
            "`host` belongs at the top level of the file",
        );
        check("write [[path]]", "write [{ … }, …]");
        check("path takes sections: [[path]]", "path takes a list of objects: \"path\"");
        check("access takes a table: [access]", "access takes an object: \"access\"");
        check("unknown key `x` in `[[provision.step]]`", "unknown key `x` in `provision.step`");
        check(
            "connector = \"rest\" needs [provision.find] and [[provision.step]]",
            "\"connector\": \"rest\" needs \"provision.find\" and \"provision.step\"",
        );
        check("or write everyone = true to admit all", "or write \"everyone\": true to admit all");
        check("[user.extra] department = \"…\"", "\"user.extra\": { \"department\": \"…\" }");
        check("say how: match = [\"email\"], [\"login\"]", "say how: \"match\": [\"email\"], [\"login\"]");
    }
}
