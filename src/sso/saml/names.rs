//! The names that SAML and its signatures use, and the one way they write time. Pure.

use crate::clock::Timestamp;

pub(super) const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
pub(super) const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
pub(super) const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
pub(super) const DSIG: &str = super::xml::DSIG;
pub(super) const XENC: &str = "http://www.w3.org/2001/04/xmlenc#";
pub(super) const XENC11: &str = "http://www.w3.org/2009/xmlenc11#";
pub(super) const EXC_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

pub(super) const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
pub(super) const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
pub(super) const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
pub(super) const PERSISTENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
pub(super) const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";
pub(super) const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";
pub(super) const REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
pub(super) const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

/// Signature algorithms that are accepted: RSA and ECDSA, SHA-256 and up (attacks.md S3, S4).
pub(super) const SIGNATURES: [&str; 6] = [
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
];
/// Digests that are accepted.
pub(super) const DIGESTS: [&str; 3] =
    ["http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha512"];

/// `2026-11-22T04:30:00Z`, with or without a fraction, and nothing else (SAML Core 1.3.3: UTC, `Z`; .NET writes fractions of seven digits).
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim_ascii();
    let rest = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
    let (date, time) = whole.split_once('T')?;
    let numbers = |text: &str, separator: char, widths: [usize; 3]| -> Option<[i64; 3]> {
        let mut parts = text.split(separator);
        let mut found = [0_i64; 3];
        for (place, width) in found.iter_mut().zip(widths) {
            let part = parts.next().filter(|part| part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit()))?;
            *place = part.parse().ok()?;
        }
        parts.next().is_none().then_some(found)
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let proper = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !proper || fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let seconds = ((days_since_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(Timestamp::from_millis(seconds * 1000 + ms))
}

/// As SAML writes it, in whole seconds.
pub(super) fn write_time(at: Timestamp) -> String {
    let (days, rest) = (at.seconds().div_euclid(86_400), at.seconds().rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Of the proleptic Gregorian calendar; years begin in March, so that the leap day is the last.
const fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

const fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

#[cfg(test)]
mod tests {
    use super::{parse_time, write_time};

    #[test]
    fn times_are_utc_and_nothing_else() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse_time(text).map(crate::clock::Timestamp::millis), expected, "{text}");
        check("", None);
        check("2026-11-22", None);
        check("2026-11-22T04:30:00", None);
        check("2026-11-22T04:30:00+01:00", None);
        check("2026-11-22 04:30:00Z", None);
        check("2026-13-22T04:30:00Z", None);
        check("2026-02-29T04:30:00Z", None);
        check("2026-11-22T24:00:00Z", None);
        check("2026-11-22T04:30:00.Z", None);
        check("2026-11-22T04:30:00.xZ", None);
        check("-026-11-22T04:30:00Z", None);
        check("99999-11-22T04:30:00Z", None);
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T12:00:00.5Z", Some(951_825_600_500));
        check("2026-11-22T04:30:00.1234567Z", Some(1_795_321_800_123));
        check("2026-11-22T04:30:00+00:00", Some(1_795_321_800_000));
    }

    #[test]
    fn times_are_read_back_as_written() {
        for day in (0..80_000).step_by(13) {
            let at = crate::clock::Timestamp::from_seconds(day * 86_400 + 12_345);
            assert_eq!(parse_time(&write_time(at)), Some(at));
        }
    }
}
