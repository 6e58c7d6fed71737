//! Text that a provider sent, made fit to be compared, or found unfit to be used.
//!
//! Lives here: [`tidy`] and [`tidy_claims`], which every claim passes on its way into an [`Identity`](super::Identity) (one form of Unicode, nothing that is blank), and
//! [`clean`] and [`is_mojibake`], which a value has to pass before an app is given it. Apart because the first never refuses, and the second does: a group or a
//! claim that no policy uses must not lock anybody out, whatever is in it.
//!
//! Pure. It must never know what a value is for.

use regex::Regex;
use serde_json::{Map, Value};
use std::sync::LazyLock;
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// Claims that name somebody or something byte for byte. OIDC Core 2: `sub` is compared as it is; two forms of one text are two subjects.
const VERBATIM: [&str; 6] = ["iss", "sub", "aud", "azp", "sid", "jti"];

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    /// A list or an object where a text belongs.
    #[error("is not a text")]
    NotText,
    /// A control character, a line break among them.
    #[error("contains a control character")]
    Control,
    /// A mark that changes the direction of what is read.
    #[error("contains a mark of writing direction")]
    Bidi,
    /// U+FFFD: somebody decoded it wrongly before us.
    #[error("contains a replacement character: it was decoded wrongly somewhere")]
    Replacement,
    /// U+FFFE and its kind, and what Unicode has not given a meaning.
    #[error("contains a code point that is no character")]
    NoCharacter,
    /// A character that means something else in every house.
    #[error("contains a private-use character")]
    PrivateUse,
    /// `ZoÃ«`: UTF-8 that somebody read as Windows-1252.
    #[error("looks wrongly decoded: UTF-8 that was read as Windows-1252 or Latin-1")]
    Mojibake,
}

/// What no text for an app may hold: controls, private use, and code points without a character.
static NO_TEXT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{Cc}\p{Co}\p{Cn}]").ok());

/// Text in NFC; `None` when it is empty or blank, which is the same as not being there.
pub fn tidy(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return None;
    }
    Some(nfc(text))
}

/// Every claim in NFC, at any depth; blank ones are gone, blank elements of lists too. Identifiers of the protocol stay byte for byte.
pub fn tidy_claims(claims: Map<String, Value>) -> Map<String, Value> {
    claims
        .into_iter()
        .filter_map(|(name, value)| if VERBATIM.contains(&name.as_str()) { Some((name, value)) } else { Some((name, tidy_value(value)?)) })
        .collect()
}

fn tidy_value(value: Value) -> Option<Value> {
    Some(match value {
        Value::String(text) => Value::String(tidy(&text)?),
        Value::Array(items) => Value::Array(items.into_iter().filter_map(tidy_value).collect()),
        Value::Object(fields) => Value::Object(fields.into_iter().filter_map(|(name, field)| Some((name, tidy_value(field)?))).collect()),
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_)) => scalar,
    })
}

fn nfc(text: &str) -> String {
    if is_nfc(text) { text.to_owned() } else { text.nfc().collect() }
}

/// The text in NFC, or what is wrong with it.
///
/// # Errors
/// The first [`TextProblem`]; never [`TextProblem::Mojibake`], which is a guess and has a switch: see [`is_mojibake`].
pub fn clean(text: &str) -> Result<String, TextProblem> {
    if let Some(problem) = text.chars().find_map(unclean) {
        return Err(problem);
    }
    // The characters above are named one by one; the categories catch the rest. Were the pattern ever not to compile, nothing would pass.
    match &*NO_TEXT {
        Some(pattern) if !pattern.is_match(text) => Ok(nfc(text)),
        Some(_) | None => Err(TextProblem::NoCharacter),
    }
}

fn unclean(c: char) -> Option<TextProblem> {
    if c.is_control() {
        return Some(TextProblem::Control);
    }
    match c {
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some(TextProblem::Bidi),
        '\u{2028}' | '\u{2029}' => Some(TextProblem::Control),
        '\u{fffd}' => Some(TextProblem::Replacement),
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}' => Some(TextProblem::PrivateUse),
        _ => None,
    }
}

/// Whether the text reads like UTF-8 that somebody took for Windows-1252 or Latin-1 (`ZoÃ«`, `Oâ€™Brien`, `ÐŸÑ‘Ñ‚Ñ€`): a guess, tuned to leave alone what people write, such as a
/// capital in front of a closing quotation mark.
pub fn is_mojibake(text: &str) -> bool {
    let bytes: Vec<Option<Byte>> = text.chars().map(windows_1252).collect();
    let mut rest = bytes.as_slice();
    let mut follows_another = false;
    while let Some((_, behind)) = rest.split_first() {
        let found = Sequence::of(rest);
        // One alone is a sign only where hardly anybody writes so; several in a row are what other scripts become.
        if found.as_ref().is_some_and(|sequence| sequence.is_telling || follows_another) {
            return true;
        }
        follows_another = found.is_some();
        rest = found.and_then(|sequence| rest.get(sequence.length..)).unwrap_or(behind);
    }
    false
}

/// A character as the byte that Windows-1252 has for it.
#[derive(Debug, Clone, Copy)]
struct Byte {
    value: u8,
    is_letter: bool,
}

/// A well-formed UTF-8 sequence of more than one byte (RFC 3629 4), spelt in characters of Windows-1252.
#[derive(Debug)]
struct Sequence {
    length: usize,
    /// Whether it gives itself away without a neighbour.
    is_telling: bool,
}

impl Sequence {
    fn of(bytes: &[Option<Byte>]) -> Option<Self> {
        let lead = bytes.first().copied()??;
        let length = match lead.value {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return None,
        };
        let whole: Vec<Byte> = bytes.get(..length)?.iter().copied().collect::<Option<_>>()?;
        let spelt: Vec<u8> = whole.iter().map(|byte| byte.value).collect();
        std::str::from_utf8(&spelt).ok()?;
        let symbols_follow = whole.iter().skip(1).all(|byte| !byte.is_letter);
        let is_telling = match (lead.value, spelt.get(1)) {
            // Â, Ä, Å before a sign that is no letter: Latin letters with accents, and signs.
            (0xc2 | 0xc4 | 0xc5, _) => symbols_follow,
            // Ã before any sign: most accented letters. Quotation marks, dashes, the euro and trade marks; the byte order mark; most emoji.
            (0xc3, _) | (0xe2, Some(0x80 | 0x82 | 0x84)) | (0xef, Some(0xbb)) | (0xf0, Some(0x9f)) => true,
            _ => false,
        };
        Some(Self { length, is_telling })
    }
}

/// The byte above ASCII that Windows-1252 has for `c`; controls of Latin-1 count as themselves, as some programs take them.
fn windows_1252(c: char) -> Option<Byte> {
    const HIGH: [(char, u8); 27] = [
        ('€', 0x80),
        ('‚', 0x82),
        ('ƒ', 0x83),
        ('„', 0x84),
        ('…', 0x85),
        ('†', 0x86),
        ('‡', 0x87),
        ('ˆ', 0x88),
        ('‰', 0x89),
        ('Š', 0x8a),
        ('‹', 0x8b),
        ('Œ', 0x8c),
        ('Ž', 0x8e),
        ('‘', 0x91),
        ('’', 0x92),
        ('“', 0x93),
        ('”', 0x94),
        ('•', 0x95),
        ('–', 0x96),
        ('—', 0x97),
        ('˜', 0x98),
        ('™', 0x99),
        ('š', 0x9a),
        ('›', 0x9b),
        ('œ', 0x9c),
        ('ž', 0x9e),
        ('Ÿ', 0x9f),
    ];
    let value = match u8::try_from(u32::from(c)) {
        Ok(value) if value >= 0x80 => value,
        Ok(_) => return None,
        Err(_wider) => HIGH.iter().find(|(known, _)| *known == c)?.1,
    };
    Some(Byte { value, is_letter: c.is_alphabetic() })
}

#[cfg(test)]
mod tests {
    use super::{TextProblem, clean, is_mojibake, tidy, tidy_claims};
    use proptest::prelude::*;
    use serde_json::json;
    use unicode_normalization::is_nfc;

    #[test]
    fn row_53_what_no_app_may_be_given_is_refused() {
        let check = |text: &str, expected: TextProblem| assert_eq!(clean(text), Err(expected), "{text:?}");
        for c in ['\0', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{80}', '\u{85}', '\u{9f}', '\u{2028}', '\u{2029}'] {
            check(&format!("Ada{c}"), TextProblem::Control);
        }
        for c in ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}'] {
            check(&format!("{c}Ada"), TextProblem::Bidi);
        }
        check("Zo\u{fffd}", TextProblem::Replacement);
        for c in ['\u{e000}', '\u{f8ff}', '\u{f0000}', '\u{10fffd}'] {
            check(&format!("A{c}"), TextProblem::PrivateUse);
        }
        for c in ['\u{378}', '\u{fdd0}', '\u{fffe}', '\u{1ffff}', '\u{e0080}', '\u{10ffff}'] {
            check(&format!("A{c}"), TextProblem::NoCharacter);
        }
        for text in ["Zoë Brontë", "Łukasz", "Nguyễn Thị", "王小明", "محمد", "Ольга", "O’Brien", "Ada 🦀", "a\u{200d}b"] {
            assert_eq!(clean(text).as_deref(), Ok(text));
        }
        assert_eq!(clean("Zoe\u{308}").as_deref(), Ok("Zoë"));
    }

    #[test]
    fn row_53_wrongly_decoded_text_is_told_from_what_people_write() {
        for wrong in [
            "ZoÃ«",
            "JosÃ©",
            "RenÃ©e",
            "MÃ¼ller",
            "GRÃœN",
            "StraÃŸe",
            "Oâ€™Brien",
            "a â€“ b",
            "10 â‚¬",
            "Â©",
            "Â°",
            "DvoÅ™Ã¡k",
            "Å\u{a0}imon",
            "Å¡imon",
            "ÐŸÑ‘Ñ‚Ñ€",
            "Î\u{2018}Î»Î¾Î·Ï‚",
            "æ—¥æœ¬",
            "ï»¿Ada",
            "Ada ðŸ¦€",
        ] {
            assert!(is_mojibake(wrong), "{wrong}");
        }
        for right in [
            "Zoë",
            "José",
            "JOSÉ",
            "„Spaß“",
            "SÃO PAULO",
            "JOÃO",
            "MÁŠA ÍŽOVÁ",
            "BÉŽOVÁ",
            "«THÉ»",
            "olé…”",
            "O’Brien",
            "Škoda – Žižkov",
            "Ærø",
            "Ångström",
            "Łódź",
            "Ñandú’s",
            "naïve café",
            "Œuvre",
            "王小明",
            "Ольга",
            "plain ASCII",
            "",
        ] {
            assert!(!is_mojibake(right), "{right}");
        }
    }

    #[test]
    fn row_53_blank_is_absent_and_identifiers_stay_as_they_are() {
        let claims = json!({
            "sub": "Zoe\u{308}", "name": "Zoe\u{308}", "office": " \t", "none": null, "n": 7,
            "groups": ["Zu\u{308}rich", "", " "], "deep": {"a": "", "b": "e\u{301}"},
        });
        let tidied = tidy_claims(claims.as_object().unwrap().clone());
        assert_eq!(
            serde_json::Value::Object(tidied),
            json!({"sub": "Zoe\u{308}", "name": "Zoë", "none": null, "n": 7, "groups": ["Zürich"], "deep": {"b": "é"}})
        );
        assert_eq!((tidy(""), tidy("\u{a0} \n")), (None, None));
        assert_eq!(tidy(" Ada ").as_deref(), Some(" Ada "));
    }

    proptest! {
        #[test]
        fn row_53_nothing_panics_and_tidying_twice_is_tidying_once(text in any::<String>()) {
            let _guess = is_mojibake(&text);
            if let Ok(cleaned) = clean(&text) {
                prop_assert!(is_nfc(&cleaned));
                prop_assert_eq!(clean(&cleaned), Ok(cleaned));
            }
            if let Some(tidied) = tidy(&text) {
                prop_assert!(is_nfc(&tidied));
                prop_assert_eq!(tidy(&tidied), Some(tidied));
            }
        }

        /// Whatever script it is: text of other alphabets, taken for Windows-1252, is found out.
        #[test]
        fn row_53_cyrillic_and_greek_taken_for_latin_are_found_out(text in "[а-яά-ώ]{2,12}") {
            let wrong: String = text.bytes().map(char::from).collect();
            prop_assert!(is_mojibake(&wrong), "{:?}", wrong);
        }
    }
}
