//! Which of the configured languages a reader gets (RFC 9110 12.5.4).

use crate::config::Language;

/// Longer lists than any browser sends; the rest is not looked at.
const RANGES_MAX: usize = 32;

/// The best of `configured` for an `Accept-Language` as sent; the first of them when nothing fits, nothing was sent, or it cannot be read.
pub(super) fn best(configured: &[Language], asked: Option<&str>) -> Language {
    let default = configured.first().copied().unwrap_or_default();
    let Some(asked) = asked.filter(|_| configured.len() > 1) else { return default };
    let mut best = (default, 0);
    for &language in configured {
        let weight = weight(language, asked);
        // Equally welcome: in the order of the gateway file.
        if weight > best.1 {
            best = (language, weight);
        }
    }
    best.0
}

/// How welcome a language is, in thousandths: the weight of the range that fits it most exactly (RFC 4647 3.4, lookup), of `*` otherwise.
fn weight(language: Language, asked: &str) -> u16 {
    let (mut named, mut any) = (None, None);
    for range in asked.split(',').take(RANGES_MAX) {
        let mut parts = range.split(';');
        let tag = parts.next().unwrap_or_default().trim();
        let Some(weight) = quality(parts.next()) else { continue };
        if tag == "*" {
            any = any.or(Some(weight));
        } else if tag.split('-').next().is_some_and(|primary| primary.eq_ignore_ascii_case(language.tag())) {
            // de-CH is answered in de: there is one of each. The most welcome of its variants counts.
            named = named.max(Some(weight));
        }
    }
    named.or(any).unwrap_or(0)
}

/// `q=0.8` in thousandths (RFC 9110 12.4.2); `None` when it is not one.
fn quality(parameter: Option<&str>) -> Option<u16> {
    let Some(parameter) = parameter else { return Some(1000) };
    let (name, value) = parameter.split_once('=')?;
    let value = value.trim();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if !name.trim().eq_ignore_ascii_case("q") || fraction.len() > 3 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = fraction.bytes().chain(*b"000").take(3).fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::best;
    use crate::config::Language::{self, De, En, Fr, Ja};

    #[test]
    fn the_most_welcome_of_the_configured_languages_is_chosen() {
        let check = |configured: &[Language], asked: &str, expected: Language| {
            assert_eq!(best(configured, Some(asked)), expected, "{configured:?} {asked:?}");
        };
        // Nothing fits, or nothing can be read: the first.
        for asked in ["", "it", "it, pt;q=0.9", ";;;,,,", "de;q=", "de;q=2", "de;q=0", "de;q=0.0000", "de;v=1", "deutsch", "*;q=0", "\u{e9}"] {
            check(&[En, De], asked, En);
        }
        check(&[De, En], "it", De);
        check(&[En], "de", En);
        check(&[], "de", En);
        check(&[En, De, Fr], "de", De);
        check(&[En, De, Fr], "DE-ch", De);
        check(&[En, De, Fr], "fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", Fr);
        check(&[En, De, Fr], "en;q=0.5, de;q=0.9", De);
        check(&[En, De, Fr], "de;q=0.500,fr;q=0.501", Fr);
        check(&[En, De, Fr], "en;q=0, *", De);
        check(&[En, De, Fr], "it, *;q=0.1", En);
        check(&[En, De, Ja], "ja ; q=1.0 , en", En);
        check(&[En, De, Ja], "ja ; q=1.0 , en;q=0.999", Ja);
        check(&[De, En], "en, de", De);
        check(&[En, De], &format!("{}de", "it,".repeat(10_000)), En);
        assert_eq!(best(&[Fr, De], None), Fr);
    }
}
