//! Patterns with `*`: of groups, of paths.
//!
//! Lives here: [`Glob`], its match and its intersection test. Apart because three readers share it (groups, paths, the check for overlapping
//! sections), and because matching must stay linear in pattern × text whatever a client sends.

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// A pattern in which `*` stands for any run of characters, `/` included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// The pattern as written, in the form of Unicode that identities have (NFC).
    pub fn new(pattern: impl Into<String>) -> Self {
        let pattern = pattern.into();
        Self(if is_nfc(&pattern) { pattern } else { pattern.nfc().collect() })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` fits, byte for byte; linear in pattern × text at worst, no allocation. An empty pattern fits nothing
    /// (oauth2-proxy #3365: an empty string in an allow-list must never match).
    pub fn fits(&self, text: &str) -> bool {
        !self.0.is_empty() && fits(self.0.as_bytes(), text.as_bytes(), false, false)
    }

    /// As [`Glob::fits`], ASCII letters compared without case.
    pub fn fits_any_case(&self, text: &str) -> bool {
        !self.0.is_empty() && fits(self.0.as_bytes(), text.as_bytes(), true, false)
    }

    /// As [`Glob::fits_any_case`] on `text` with a `/` put after it.
    pub(super) fn fits_any_case_with_slash(&self, text: &str) -> bool {
        !self.0.is_empty() && fits(self.0.as_bytes(), text.as_bytes(), true, true)
    }

    /// Whether some text fits both patterns. Exact: neither misses an overlap nor invents one.
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.0.is_empty() && !other.0.is_empty() && overlaps(self.0.as_bytes(), other.0.as_bytes())
    }
}

/// Wildcard match with one point of return, so that `a*b*c` cannot go exponential. `slash`: as if `text` ended in one more `/`.
fn fits(pattern: &[u8], text: &[u8], any_case: bool, slash: bool) -> bool {
    let same = |a: u8, b: u8| if any_case { a.eq_ignore_ascii_case(&b) } else { a == b };
    let length = text.len() + usize::from(slash);
    let at = |index: usize| text.get(index).copied().unwrap_or(b'/');
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < length {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(&wanted) if same(wanted, at(t)) => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    p = star + 1;
                    t = from + 1;
                    back = Some((star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&rest| rest == b'*')
}

/// Walks both patterns side by side: `row` holds the places in `b` that can be reached together with the present place in `a`.
fn overlaps(a: &[u8], b: &[u8]) -> bool {
    // A star may stand for nothing: reaching it reaches what follows.
    let past_stars = |row: &mut Vec<bool>| {
        for index in 0..b.len() {
            if row.get(index) == Some(&true)
                && b.get(index) == Some(&b'*')
                && let Some(next) = row.get_mut(index + 1)
            {
                *next = true;
            }
        }
    };
    let mut row = vec![false; b.len() + 1];
    if let Some(first) = row.first_mut() {
        *first = true;
    }
    past_stars(&mut row);
    for &in_a in a {
        let mut next = vec![false; b.len() + 1];
        if in_a == b'*' {
            // `a` swallows any part of `b`: whatever was reachable stays, and everything behind it becomes reachable.
            let mut reached = false;
            for (slot, &was) in next.iter_mut().zip(&row) {
                reached |= was;
                *slot = reached;
            }
        } else {
            for (index, &in_b) in b.iter().enumerate() {
                if row.get(index) != Some(&true) {
                    continue;
                }
                // A star in `b` swallows the byte and stays; an equal byte moves on.
                let to = if in_b == b'*' { index } else { index + 1 };
                if (in_b == b'*' || in_b == in_a)
                    && let Some(slot) = next.get_mut(to)
                {
                    *slot = true;
                }
            }
        }
        past_stars(&mut next);
        row = next;
    }
    row.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn a_pattern_fits_whole_texts_only() {
        let check = |pattern: &str, text: &str, expected: bool| assert_eq!(Glob::new(pattern).fits(text), expected, "{pattern} {text}");
        check("", "", false);
        check("", "x", false);
        check("staff", "staff2", false);
        check("staff", "xstaff", false);
        check("staff", "Staff", false);
        check("dev-*", "dev", false);
        check("a*b*c", "aXXbXX", false);
        check("staff", "staff", true);
        check("dev-*", "dev-data", true);
        check("dev-*", "dev-", true);
        check("a*b*c", "aXbXbXc", true);
        check("*", "", true);
    }

    #[test]
    fn hostile_patterns_stay_linear() {
        let pattern = Glob::new("*a".repeat(200) + "b");
        assert!(!pattern.fits(&"a".repeat(8192)), "would take longer than the universe if it went exponential");
    }

    #[test]
    fn overlap_is_exact() {
        let check = |a: &str, b: &str, expected: bool| {
            assert_eq!(Glob::new(a).overlaps(&Glob::new(b)), expected, "{a} {b}");
            assert_eq!(Glob::new(b).overlaps(&Glob::new(a)), expected, "{b} {a}");
        };
        check("/public/*", "/admin/*", false);
        check("/a", "/ab", false);
        check("*.json", "*.xml", false);
        check("/api/*/x", "/api/y", false);
        check("", "*", false);
        check("/public/*", "/public/x", true);
        check("/themes/*", "*.json", true);
        check("*", "/", true);
        check("/a*c", "/ab*", true);
        check("*a", "b*", true);
        check("/public/*", "/public/", true);
    }
}
