//! What a certificate says of itself: its names, and the days it is good for.
//!
//! Lives here: [`Facts`], for `check --online` and whoever warns before a certificate ends. Apart from `tls.rs`, which serves certificates and minds no dates: a
//! browser does. Two dates are read out of the DER by hand; `webpki` has parsed the whole certificate by then, and keeps them to itself.

use super::tls::{Certificates, TlsError, names};
use crate::clock::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// A certificate that fits its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// DNS names, lower case; `*.` stands for one label.
    pub names: Vec<String>,
    /// Good from here…
    pub not_before: Timestamp,
    /// …to here.
    pub not_after: Timestamp,
}

impl Facts {
    /// Of the leaf of a PEM chain, and its PEM key.
    ///
    /// # Errors
    /// [`TlsError`], by what is wrong with the pair.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Certificates::default().add(chain, key)?;
        Self::of_leaf(chain)
    }

    /// Of the leaf of a PEM chain alone; whether its key fits is not asked.
    ///
    /// # Errors
    /// [`TlsError::Pem`], and what else no certificate may be.
    pub fn of_leaf(chain: &[u8]) -> Result<Self, TlsError> {
        let pem = |cause: String| TlsError::Pem { what: "certificate", cause };
        let leaf = CertificateDer::from_pem_slice(chain).map_err(|cause| pem(cause.to_string()))?;
        let (not_before, not_after) = validity(&leaf).ok_or_else(|| pem("its dates cannot be read".to_owned()))?;
        Ok(Self { names: names(&leaf)?, not_before, not_after })
    }

    /// Whether a browser that asks for `host` takes it, dates aside.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        // RFC 6125 6.4.3: a wildcard stands for exactly one label.
        let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        self.names.iter().any(|name| *name == host || Some(name) == wildcard.as_ref())
    }

    /// Whole days from `now` to its end; negative when it has ended.
    pub const fn days_left(&self, now: Timestamp) -> i64 {
        self.not_after.since_ms(now).div_euclid(86_400_000)
    }
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// RFC 5280 4.1: version, serialNumber, signature, issuer, then validity.
pub(crate) fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (SEQUENCE, whole, _) = element(certificate)? else { return None };
    let (SEQUENCE, mut fields, _) = element(whole)? else { return None };
    if let (VERSION, _, rest) = element(fields)? {
        fields = rest;
    }
    for _serial_signature_issuer in 0..3 {
        fields = element(fields)?.2;
    }
    let (SEQUENCE, dates, _) = element(fields)? else { return None };
    let (first_tag, first, rest) = element(dates)?;
    let (second_tag, second, _) = element(rest)?;
    Some((time(first_tag, first)?, time(second_tag, second)?))
}

/// Tag, content, and what follows (X.690 8.1, lengths of at most four bytes).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.is_empty() || bytes.len() > 4 {
            return None;
        }
        (bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// RFC 5280 4.1.2.5: `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from 2050 on.
fn time(tag: u8, content: &[u8]) -> Option<Timestamp> {
    let digits = content.strip_suffix(b"Z")?;
    let number = |from: usize, length: usize| -> Option<i64> { std::str::from_utf8(digits.get(from..from + length)?).ok()?.parse().ok() };
    let (year, at) = match (tag, digits.len()) {
        (UTC_TIME, 12) => (number(0, 2).map(|year| if year < 50 { 2000 + year } else { 1900 + year })?, 2),
        (GENERALIZED_TIME, 14) => (number(0, 4)?, 4),
        _ => return None,
    };
    let (month, day) = (number(at, 2)?, number(at + 2, 2)?);
    let (hour, minute, second) = (number(at + 4, 2)?, number(at + 6, 2)?, number(at + 8, 2)?);
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    in_range.then(|| Timestamp::from_seconds(days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second))
}

/// Days since 1970-01-01 in the Gregorian calendar. Years begin in March, so that the day that is sometimes missing is the last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::{Facts, GENERALIZED_TIME, UTC_TIME, days, time, validity};
    use crate::clock::Timestamp;
    use proptest::prelude::*;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/certs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn what_is_no_pair_has_no_facts() {
        let check = |chain: &[u8], key: &[u8], expected: &str| {
            let said = Facts::read(chain, key).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        };
        check(b"", &file("other.test.key"), "no certificate in the file");
        check(&file("vestibule.test.pem"), b"hunter2", "key");
        check(&file("vestibule.test.pem"), &file("other.test.key"), "certificate and key");
    }

    #[test]
    fn names_and_dates_are_those_of_the_leaf() {
        let expired = Facts::read(&file("expired.pem"), &file("expired.key")).unwrap();
        // As `openssl x509 -dates` has them.
        assert_eq!((expired.not_before.seconds(), expired.not_after.seconds()), (1_577_836_800, 1_640_995_199));
        assert_eq!(expired.days_left(Timestamp::from_seconds(1_640_995_199)), 0);
        assert_eq!(expired.days_left(Timestamp::from_seconds(1_640_995_200)), -1);
        assert!(expired.covers("a.vestibule.test") && expired.covers("VESTIBULE.test") && !expired.covers("a.b.vestibule.test"));
        let other = Facts::read(&file("other.test.pem"), &file("other.test.key")).unwrap();
        assert_eq!(other.not_after.seconds(), 4_733_510_399, "2119, so in the long form");
        assert!(!other.covers("vestibule.test"));
    }

    #[test]
    fn times_are_read_as_rfc_5280_writes_them() {
        let check = |tag: u8, text: &str, expected: Option<i64>| {
            assert_eq!(time(tag, text.as_bytes()).map(Timestamp::seconds), expected, "{text}");
        };
        for bad in ["", "Z", "700101000000", "7001010000Z", "701301000000Z", "700132000000Z", "700101240000Z", "70010100000xZ", "700101000000+0100"] {
            check(UTC_TIME, bad, None);
        }
        check(GENERALIZED_TIME, "700101000000Z", None);
        check(UTC_TIME, "700101000000Z", Some(0));
        check(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000));
        assert_eq!((days(2000, 2, 29), days(2000, 3, 1), days(1900, 3, 1) - days(1900, 2, 28)), (11_016, 11_017, 1));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(noise in prop::collection::vec(any::<u8>(), 0..64), at in 0_usize..400, byte: u8) {
            let leaf = CertificateDer::from_pem_slice(&file("expired.pem")).unwrap().to_vec();
            prop_assert!(validity(&leaf).is_some());
            prop_assert!(validity(&leaf[..at]).is_none(), "cut short after {at} bytes");
            let mut odd = leaf;
            odd[at] = byte;
            // Whatever comes of these two, they come to an end.
            let (_noise, _odd) = (validity(&noise), validity(&odd));
        }
    }
}
