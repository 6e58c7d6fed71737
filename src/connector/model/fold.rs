//! When two names are one.
//!
//! Apart because the answer decides whose account somebody gets. A fold here never makes a non-ASCII letter equal to an ASCII one: `ı`, `ſ` and the
//! Kelvin sign fold to `i`, `s` and `k` in Unicode, and that is how accounts were taken over (CVE-2019-19844).

use crate::identity::email;
use unicode_normalization::UnicodeNormalization as _;

/// How an app compares logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fold {
    /// Byte for byte.
    #[default]
    Exact,
    /// ASCII letters without case.
    AsciiLower,
    /// All letters without case, after NFC.
    Casefold,
}

impl Fold {
    /// The canonical form; folding twice is folding once.
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::Exact => text.to_owned(),
            Self::AsciiLower => text.to_ascii_lowercase(),
            // NFC itself turns a few letters into ASCII ones (the Kelvin sign into K): such a text is only like itself.
            Self::Casefold if text.chars().any(becomes_ascii) => text.to_owned(),
            Self::Casefold => text.nfc().flat_map(lower).nfc().collect(),
        }
    }

    /// Whether two names are one.
    pub fn same(self, a: &str, b: &str) -> bool {
        self.apply(a) == self.apply(b)
    }
}

fn becomes_ascii(c: char) -> bool {
    !c.is_ascii() && std::iter::once(c).nfc().all(|c| c.is_ascii())
}

/// Lower case of one letter, unless that crosses from beyond ASCII into it.
fn lower(c: char) -> Vec<char> {
    if c.is_ascii() {
        return vec![c.to_ascii_lowercase()];
    }
    let lowered: Vec<char> = c.to_lowercase().collect();
    if lowered.iter().any(char::is_ascii) { vec![c] } else { lowered }
}

/// Whether two addresses are one: the domain without case, the local part without ASCII case. A malformed address is nobody's.
pub fn same_email(a: &str, b: &str) -> bool {
    let (Some(domain_a), Some(domain_b)) = (email::domain(a), email::domain(b)) else { return false };
    let local = |address: &str| address.split_once('@').map(|(local, _)| local.to_ascii_lowercase());
    domain_a == domain_b && local(a) == local(b)
}

/// What is left of a name when case, width, white space, marks of direction and look-alike case mappings are gone. Broader than any [`Fold`]: only for
/// refusing, never for recognising.
pub fn skeleton(text: &str) -> String {
    let plain = text.nfkc().filter(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(*c));
    // Up and down again: `ı` and `ſ` have the capitals of `i` and `s`.
    plain.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Characters that show nothing: zero-width ones, marks of direction, variation selectors, tags, fillers.
pub(super) const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::{Fold, same_email, skeleton};
    use proptest::prelude::*;

    #[test]
    fn no_letter_from_beyond_ascii_equals_an_ascii_one() {
        let check = |fold: Fold, a: &str, b: &str, expected: bool| assert_eq!(fold.same(a, b), expected, "{fold:?} {a:?} {b:?}");
        check(Fold::Casefold, "m\u{131}ke", "mike", false);
        check(Fold::Casefold, "mi\u{212a}e", "mike", false);
        check(Fold::Casefold, "\u{17f}am", "sam", false);
        check(Fold::Casefold, "\u{ff41}nn", "ann", false);
        check(Fold::Exact, "Ann", "ann", false);
        check(Fold::AsciiLower, "Ünal", "ünal", false);
        check(Fold::AsciiLower, "Ann", "ann", true);
        check(Fold::Casefold, "Ünal", "u\u{308}nal", true);
    }

    #[test]
    fn addresses_are_one_only_when_whole() {
        let check = |a: &str, b: &str, expected: bool| assert_eq!(same_email(a, b), expected, "{a:?} {b:?}");
        check("ann@example.com", "anna@example.com", false);
        check("ann@example.com", "ann@example.com.evil", false);
        check("ann@x@example.com", "ann@x@example.com", false);
        check("m\u{131}ke@example.com", "mike@example.com", false);
        check("", "", false);
        check("Ann@EXAMPLE.com", "ann@example.COM", true);
    }

    #[test]
    fn every_spelling_of_admin_has_the_same_skeleton() {
        for name in ["Admin", " admin", "ad\u{200b}min", "ａｄｍｉｎ", "adm\u{131}n", "ADMİN\u{0}", "a d m i n", "\u{202e}admin"] {
            let bare = skeleton(name);
            assert!(bare == "admin" || name.contains('İ'), "{name:?} became {bare:?}");
        }
        assert_ne!(skeleton("admin2"), "admin");
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in ".{0,24}") {
            for fold in [Fold::Exact, Fold::AsciiLower, Fold::Casefold] {
                let once = fold.apply(&text);
                prop_assert_eq!(fold.apply(&once), once);
            }
        }
    }
}
