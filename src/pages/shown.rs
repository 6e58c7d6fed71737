//! Names that others chose, made fit to be read on a page of ours.
//!
//! Escaping for HTML is the template's work; this is about what escaping leaves: characters that reorder or hide text, lines without end.

use unicode_normalization::char::is_combining_mark;

/// Longest name of a person, app or provider on a page, in characters.
const NAME_CHARS_MAX: usize = 80;
/// Longest value in the table of `whoami`, in characters.
const VALUE_CHARS_MAX: usize = 300;
/// Longest text of an operator's, in characters; `check` allows no longer one.
const PARAGRAPH_CHARS_MAX: usize = 500;
/// Marks that may pile up on one letter: more is decoration that runs over the lines around it.
const MARKS_MAX: usize = 3;

/// A name, on one line, at most 80 characters, without controls.
pub(super) fn name(text: &str) -> String {
    line(text, NAME_CHARS_MAX)
}

/// A value, on one line, at most 300 characters, without controls.
pub(super) fn value(text: &str) -> String {
    line(text, VALUE_CHARS_MAX)
}

/// A text of an operator's, as one paragraph, at most 500 characters, without controls.
pub(super) fn paragraph(text: &str) -> String {
    line(text, PARAGRAPH_CHARS_MAX)
}

fn line(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    let (mut count, mut marks, mut gap) = (0, 0, false);
    for letter in text.chars() {
        if letter.is_whitespace() {
            gap = !out.is_empty();
            continue;
        }
        if letter.is_control() || is_invisible(letter) {
            continue;
        }
        marks = if is_combining_mark(letter) { marks + 1 } else { 0 };
        if marks > MARKS_MAX {
            continue;
        }
        if count + usize::from(gap) >= chars_max {
            out.push('…');
            return out;
        }
        if std::mem::take(&mut gap) {
            out.push(' ');
            count += 1;
        }
        out.push(letter);
        count += 1;
    }
    out
}

/// Characters that reorder their neighbours (bidirectional controls) or cannot be seen: with them `<U+202E>moc.elpmaxe@ada` reads as an
/// address it is not. Also the tag characters and variation selectors, which carry hidden text.
const fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::{name, value};

    #[test]
    fn what_reorders_hides_or_overflows_is_gone() {
        let check = |given: &str, shown: &str| assert_eq!(name(given), shown, "{given:?}");
        check("", "");
        check(" \t\n ", "");
        check("\u{202e}moc.elpmaxe@ada", "moc.elpmaxe@ada");
        check("a\u{2066}b\u{2069}c\u{200b}d\u{feff}e\u{061c}f", "abcdef");
        check("Ada\r\nLovelace\u{0}\u{1b}[31m", "Ada Lovelace[31m");
        check("  Zoë   Brontë ", "Zoë Brontë");
        check("a\u{300}\u{301}\u{302}\u{303}\u{304}b", "a\u{300}\u{301}\u{302}b");
        check("محمد", "محمد");
        check("<script>alert('x')</script>", "<script>alert('x')</script>");
        check(&"x".repeat(80), &"x".repeat(80));
        check(&"x".repeat(10_000), &format!("{}…", "x".repeat(80)));
        check(&"é ".repeat(5_000), &format!("{}…", "é ".repeat(40).trim_end()));
        assert_eq!(value(&"y".repeat(10_000)).chars().count(), 301);
    }
}
