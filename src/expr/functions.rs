//! What can be called, and what it does.
//!
//! Every function is pure, total in time linear in its input, and bounded in what it makes: [`TEXT_BYTES_MAX`]. Without that bound
//! nested `replace` calls could grow text exponentially in the length of the expression.

use super::EvalError;
use super::evaluate::described;
use serde_json::Value;
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization as _;

/// Longest text that a function or `+` makes, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 65_536;

/// A function with its signature. `has` is not here: it asks about its argument, not about the argument's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Lower,
    Upper,
    Trim,
    Slug,
    Ascii,
    Before,
    After,
    Replace,
    Join,
    Split,
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Text,
    /// Elements are text, numbers or booleans.
    Texts,
    /// Anything that has a size.
    Sized,
    /// A string literal with a regular expression.
    Pattern,
}

/// What a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    Text,
    Texts,
    Int,
    Bool,
}

impl Function {
    pub(super) const ALL: [Self; 15] = [
        Self::Lower,
        Self::Upper,
        Self::Trim,
        Self::Slug,
        Self::Ascii,
        Self::Before,
        Self::After,
        Self::Replace,
        Self::Join,
        Self::Split,
        Self::Size,
        Self::Contains,
        Self::StartsWith,
        Self::EndsWith,
        Self::Matches,
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        self.signature().0
    }

    /// Name, parameters, result.
    pub(super) const fn signature(self) -> (&'static str, &'static [Parameter], Gives) {
        use Parameter::{Pattern, Sized, Text, Texts};
        match self {
            Self::Lower => ("lower", &[Text], Gives::Text),
            Self::Upper => ("upper", &[Text], Gives::Text),
            Self::Trim => ("trim", &[Text], Gives::Text),
            Self::Slug => ("slug", &[Text], Gives::Text),
            Self::Ascii => ("ascii", &[Text], Gives::Text),
            Self::Before => ("before", &[Text, Text], Gives::Text),
            Self::After => ("after", &[Text, Text], Gives::Text),
            Self::Replace => ("replace", &[Text, Text, Text], Gives::Text),
            Self::Join => ("join", &[Texts, Text], Gives::Text),
            Self::Split => ("split", &[Text, Text], Gives::Texts),
            Self::Size => ("size", &[Sized], Gives::Int),
            Self::Contains => ("contains", &[Text, Text], Gives::Bool),
            Self::StartsWith => ("startsWith", &[Text, Text], Gives::Bool),
            Self::EndsWith => ("endsWith", &[Text, Text], Gives::Bool),
            Self::Matches => ("matches", &[Text, Pattern], Gives::Bool),
        }
    }

    /// What it does, an example, and what comes of that; for the manual. The examples are tried by a test.
    pub(super) const fn explained(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Lower => ("the text in lower case", "lower('Ada@Example.COM')", "ada@example.com"),
            Self::Upper => ("the text in upper case", "upper('de')", "DE"),
            Self::Trim => ("the text without blanks at either end", "trim('  Ada ')", "Ada"),
            Self::Slug => {
                ("letters, digits and dashes, spelled with ASCII in lower case: a name for a login or an address", "slug('Zoë Brontë')", "zoe-bronte")
            }
            Self::Ascii => ("the text spelled with ASCII letters", "ascii('Brontë')", "Bronte"),
            Self::Before => ("what stands before the first occurrence; the whole text when there is none", "before('ada@example.com', '@')", "ada"),
            Self::After => ("what stands after the first occurrence; nothing when there is none", "after('ada@example.com', '@')", "example.com"),
            Self::Replace => ("the text with every occurrence replaced", "replace('a.b.c', '.', '-')", "a-b-c"),
            Self::Join => ("the elements of a list as one text, with something between them", "join(['staff', 'dev'], ', ')", "staff, dev"),
            Self::Split => ("the parts of a text, as a list", "join(split('a;b', ';'), ' and ')", "a and b"),
            Self::Size => ("how many elements a list, or characters a text, has", "size(['staff', 'dev'])", "2"),
            Self::Contains => ("whether a part is anywhere in the text", "'dev-web'.contains('web')", "true"),
            Self::StartsWith => ("whether the text begins with a part", "'dev-web'.startsWith('dev-')", "true"),
            Self::EndsWith => ("whether the text ends with a part", "'ada@example.com'.endsWith('@example.com')", "true"),
            Self::Matches => (
                "whether a regular expression fits somewhere in the text, in linear time and without look-around; it is written out in quotes",
                "'dev-42'.matches('^dev-[0-9]+$')",
                "true",
            ),
        }
    }

    /// How it is called, for messages: `before(text, '@')`.
    pub(super) const fn usage(self) -> &'static str {
        match self {
            Self::Lower => "lower(text)",
            Self::Upper => "upper(text)",
            Self::Trim => "trim(text)",
            Self::Slug => "slug(text)",
            Self::Ascii => "ascii(text)",
            Self::Before => "before(text, '@')",
            Self::After => "after(text, '@')",
            Self::Replace => "replace(text, 'old', 'new')",
            Self::Join => "join(list, ',')",
            Self::Split => "split(text, ',')",
            Self::Size => "size(list) or size(text)",
            Self::Contains => "text.contains('part')",
            Self::StartsWith => "text.startsWith('part')",
            Self::EndsWith => "text.endsWith('part')",
            Self::Matches => "text.matches('^pattern$')",
        }
    }

    /// Its value for `arguments`, as many as the signature says.
    pub(super) fn apply(self, arguments: &[Cow<'_, Value>]) -> Result<Value, EvalError> {
        let text = |index| self.text(arguments, index);
        Ok(match self {
            Self::Lower => text(0)?.to_lowercase().into(),
            Self::Upper => text(0)?.to_uppercase().into(),
            Self::Trim => text(0)?.trim().into(),
            Self::Slug => slug(text(0)?).into(),
            Self::Ascii => ascii(text(0)?).into(),
            Self::Before => parted(text(0)?, text(1)?).map_or_else(|| text(0), |(before, _)| Ok(before))?.into(),
            Self::After => parted(text(0)?, text(1)?).map_or_else(|| text(0), |(_, after)| Ok(after))?.into(),
            Self::Replace => self.replace(text(0)?, text(1)?, text(2)?)?.into(),
            Self::Join => self.join(arguments.first().map(Cow::as_ref), text(1)?)?.into(),
            Self::Split => split(text(0)?, text(1)?),
            Self::Size => self.size(arguments.first().map(Cow::as_ref))?.into(),
            Self::Contains => text(0)?.contains(text(1)?).into(),
            Self::StartsWith => text(0)?.starts_with(text(1)?).into(),
            Self::EndsWith => text(0)?.ends_with(text(1)?).into(),
            // The checker compiles `matches` into its own code, with the pattern in it.
            Self::Matches => return Err(EvalError::Type("`matches` takes a pattern written in quotes".to_owned())),
        })
    }

    fn text<'a>(self, arguments: &'a [Cow<'_, Value>], index: usize) -> Result<&'a str, EvalError> {
        let value = arguments.get(index).map_or(&Value::Null, Cow::as_ref);
        value.as_str().ok_or_else(|| self.takes("text", value))
    }

    fn takes(self, what: &str, value: &Value) -> EvalError {
        EvalError::Type(format!("`{}` takes {what}, and this is {}", self.name(), described(value)))
    }

    fn replace(self, text: &str, old: &str, new: &str) -> Result<String, EvalError> {
        let growth = text.matches(old).count().saturating_mul(new.len().saturating_sub(old.len()));
        bounded(self.name(), text.len().saturating_add(growth))?;
        Ok(text.replace(old, new))
    }

    fn join(self, list: Option<&Value>, separator: &str) -> Result<String, EvalError> {
        let Some(Value::Array(elements)) = list else { return Err(self.takes("a list", list.unwrap_or(&Value::Null))) };
        let mut joined = String::new();
        for (index, element) in elements.iter().enumerate() {
            let part = super::evaluate::scalar(element).ok_or_else(|| self.takes("a list of text", element))?;
            let separator = if index == 0 { "" } else { separator };
            bounded(self.name(), joined.len() + separator.len() + part.len())?;
            joined.push_str(separator);
            joined.push_str(&part);
        }
        Ok(joined)
    }

    fn size(self, of: Option<&Value>) -> Result<usize, EvalError> {
        match of.unwrap_or(&Value::Null) {
            // CEL counts code points, not bytes (langdef.md, "Standard Definitions": size).
            Value::String(text) => Ok(text.chars().count()),
            Value::Array(elements) => Ok(elements.len()),
            Value::Object(fields) => Ok(fields.len()),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => Err(self.takes("text or a list", other)),
        }
    }
}

/// Refuses text of more than [`TEXT_BYTES_MAX`] before it is made.
pub(super) fn bounded(by: &str, length_bytes: usize) -> Result<(), EvalError> {
    if length_bytes <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(EvalError::Type(format!("`{by}` would make text of more than {TEXT_BYTES_MAX} bytes")))
}

/// Around the first `separator`; an empty one is nowhere.
fn parted<'t>(text: &'t str, separator: &str) -> Option<(&'t str, &'t str)> {
    if separator.is_empty() { None } else { text.split_once(separator) }
}

/// As CEL's strings extension: an empty separator gives the single characters.
fn split(text: &str, separator: &str) -> Value {
    if separator.is_empty() { text.chars().map(String::from).collect() } else { text.split(separator).collect() }
}

/// Transliteration into ASCII; what has no known spelling is left out. Composed first, since the tables know composed letters better
/// (Hangul syllables, for one), and compatibility forms (ligatures, full width) become plain ones.
fn ascii(text: &str) -> String {
    let composed: String = text.nfkc().collect();
    deunicode::deunicode_with_tofu(&composed, "")
}

/// `Brontë-Núñez` → `bronte-nunez`: runs of `a-z0-9` joined by single hyphens.
fn slug(text: &str) -> String {
    let plain = ascii(text).to_ascii_lowercase();
    let words = plain.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::{Function, TEXT_BYTES_MAX, ascii, slug};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::borrow::Cow;

    fn call(function: Function, arguments: &Value) -> Result<Value, String> {
        let arguments: Vec<_> = arguments.as_array().unwrap().iter().map(Cow::Borrowed).collect();
        function.apply(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn refuses_values_of_the_wrong_kind() {
        for (function, arguments, expected) in [
            (Function::Lower, json!([1]), "`lower` takes text, and this is a number"),
            (Function::Before, json!(["a", null]), "`before` takes text, and this is null"),
            (Function::Join, json!(["a", ","]), "`join` takes a list, and this is text"),
            (Function::Join, json!([["a", ["b"]], ","]), "`join` takes a list of text, and this is a list"),
            (Function::Size, json!([true]), "`size` takes text or a list, and this is true or false"),
        ] {
            assert_eq!(call(function, &arguments), Err(expected.to_owned()), "{function:?} {arguments}");
        }
    }

    #[test]
    fn refuses_to_grow_text_without_bound() {
        let long = "a".repeat(TEXT_BYTES_MAX / 2);
        for (function, arguments) in [
            (Function::Replace, json!([long, "a", "bbb"])),
            (Function::Replace, json!([long, "", "b".repeat(9)])),
            (Function::Join, json!([[long, long], ", "])),
        ] {
            let said = call(function, &arguments).unwrap_err();
            assert!(said.ends_with("would make text of more than 65536 bytes"), "{said}");
        }
    }

    #[test]
    fn gives_what_it_says() {
        for (function, arguments, expected) in [
            (Function::Lower, json!(["Ada@EXAMPLE.com"]), json!("ada@example.com")),
            (Function::Upper, json!(["straße"]), json!("STRASSE")),
            (Function::Trim, json!(["  a b\t"]), json!("a b")),
            (Function::Ascii, json!(["Zoë Œuvre ﬁ Ａ"]), json!("Zoe OEuvre fi A")),
            (Function::Before, json!(["ada@x@y", "@"]), json!("ada")),
            (Function::Before, json!(["ada", "@"]), json!("ada")),
            (Function::Before, json!(["ada", ""]), json!("ada")),
            (Function::Before, json!(["@x", "@"]), json!("")),
            (Function::After, json!(["ada@x@y", "@"]), json!("x@y")),
            (Function::After, json!(["ada", "@"]), json!("ada")),
            (Function::Replace, json!(["a.b.c", ".", "-"]), json!("a-b-c")),
            (Function::Join, json!([["a", 1, true], ", "]), json!("a, 1, true")),
            (Function::Join, json!([[], ","]), json!("")),
            (Function::Split, json!(["a,b,", ","]), json!(["a", "b", ""])),
            (Function::Split, json!(["añ", ""]), json!(["a", "ñ"])),
            (Function::Size, json!(["añ€"]), json!(3)),
            (Function::Size, json!([[1, 2]]), json!(2)),
            (Function::Contains, json!(["abc", "bc"]), json!(true)),
            (Function::StartsWith, json!(["abc", "bc"]), json!(false)),
            (Function::EndsWith, json!(["abc", "bc"]), json!(true)),
        ] {
            assert_eq!(call(function, &arguments), Ok(expected), "{function:?} {arguments}");
        }
    }

    #[test]
    fn slugs_are_plain_user_names() {
        for (text, expected) in [
            ("", ""),
            ("---", ""),
            ("Brontë-Núñez", "bronte-nunez"),
            ("Zoe\u{308}", "zoe"),
            ("  O'Brien,  Jr. ", "o-brien-jr"),
            ("Łukasz Żółć", "lukasz-zolc"),
            ("Straße 7", "strasse-7"),
            ("Ｆｕｌｌ ｗｉｄｔｈ", "full-width"),
            ("Мария", "mariia"),
            ("a\u{0}b/../c", "a-b-c"),
        ] {
            assert_eq!(slug(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn slug_is_idempotent_and_plain(text in any::<String>()) {
            let once = slug(&text);
            prop_assert_eq!(&slug(&once), &once);
            prop_assert!(once.split('-').all(|word| !word.is_empty() || once.is_empty()));
            prop_assert!(once.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        }

        #[test]
        fn ascii_gives_ascii(text in any::<String>()) {
            prop_assert!(ascii(&text).is_ascii());
        }
    }
}
