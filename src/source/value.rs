//! Values as people write them: durations, sizes, references to secrets; and the nearest of several names.
//!
//! Lives here: one parser for each, pure, and the durations written back. Apart because the table ([`super::schema`]) checks with them and the compilers read with them.

/// Milliseconds of `500ms`, `30s`, `15m`, `12h`, `7d`; `None` for anything else.
pub fn duration_ms(written: &str) -> Option<i64> {
    let digits = written.len() - written.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = written.split_at_checked(digits)?;
    let factor: i64 = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

/// Bytes of `512`, `64 KiB`, `100 MiB`, `2 GiB`, `1 kB`, `1 MB`, `1 GB`; `None` for anything else.
pub fn size_bytes(written: &str) -> Option<u64> {
    let digits = written.len() - written.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = written.split_at_checked(digits)?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Whether `written` refers to a secret rather than being one.
pub fn is_secret_reference(written: &str) -> bool {
    ["cred:", "file:", "env:", "vault:"].iter().any(|scheme| written.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

/// Whether `written` looks like a path rather than a secret: somebody forgot `file:` (Authelia #4170).
pub fn looks_like_path(written: &str) -> bool {
    let base = written.rsplit('/').next().unwrap_or_default();
    written.starts_with('/')
        || written.starts_with("./")
        || written.starts_with("../")
        || [".key", ".pem", ".txt", ".secret"].iter().any(|end| base.len() > end.len() && base.ends_with(end))
}

/// A length of time as people write it: `45s`, `14m`, `8h`, `3d`; whole units, rounded down, `90m` where hours would not be exact. The inverse of
/// [`duration_ms`] for whole seconds.
pub fn duration_text(ms: i64) -> String {
    const UNITS: [(i64, char); 3] = [(86_400_000, 'd'), (3_600_000, 'h'), (60_000, 'm')];
    // Up to two of the next unit the smaller one is clearer: 36h, 90m, 100s.
    let unit = UNITS.iter().find(|(length, _)| ms >= *length && (ms % length == 0 || ms >= 2 * length));
    unit.map_or_else(|| format!("{}s", ms / 1000), |(length, name)| format!("{}{name}", ms / length))
}

/// The nearest of `names` to `word`, when it is near enough to be what was meant: one slip for every three letters. Case and underscores count for nothing, so
/// that `givenName` finds `given_name`.
pub fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    const WORD_CHARS_MAX: usize = 64;
    const SLIPS_MAX: usize = 3;
    let word = plain(word);
    if word.len() > WORD_CHARS_MAX {
        return None;
    }
    let limit = (word.len() / 3).min(SLIPS_MAX);
    let ranked = names.into_iter().filter_map(|name| {
        let known = plain(name);
        let slips = slips(&word, known.get(..WORD_CHARS_MAX).unwrap_or(&known));
        (slips <= limit && slips < known.len()).then_some((slips, name))
    });
    ranked.min_by_key(|&(slips, _)| slips).map(|(_, name)| name)
}

fn plain(word: &str) -> Vec<char> {
    word.chars().filter(|&letter| letter != '_').flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment) that turn `a` into `b`.
fn slips(a: &[char], b: &[char]) -> usize {
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = at(&last, j) + usize::from(x != y);
            let mut best = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x) {
                best = best.min(at(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}

#[cfg(test)]
mod tests {
    use super::{duration_ms, duration_text, is_secret_reference, looks_like_path, nearest, size_bytes};

    #[test]
    fn durations_need_a_unit() {
        let check = |written: &str, expected: Option<i64>| assert_eq!(duration_ms(written), expected, "{written:?}");
        for bad in ["", "15", "m", "-1s", "1.5h", "1 week", "1h30m", "99999999999999999d", " 1s"] {
            check(bad, None);
        }
        check("500ms", Some(500));
        check("0s", Some(0));
        check("15m", Some(900_000));
        check("12 h", Some(43_200_000));
        check("7d", Some(604_800_000));
    }

    #[test]
    fn lengths_of_time_are_rough_and_can_be_read_again() {
        let check = |seconds: i64, expected: &str| assert_eq!(duration_text(seconds * 1000), expected, "{seconds}");
        check(0, "0s");
        check(45, "45s");
        check(60, "1m");
        check(90, "90s");
        check(119, "119s");
        check(240, "4m");
        check(5_400, "90m");
        check(7_199, "119m");
        check(14 * 60 + 59, "14m");
        check(3_600, "1h");
        check(7 * 3_600 + 3_599, "7h");
        check(7_200, "2h");
        check(86_400, "1d");
        check(129_600, "36h");
        check(1_036_800, "12d");
        assert_eq!(duration_ms(&duration_text(5_400_000)), Some(5_400_000));
    }

    #[test]
    fn sizes_are_binary_or_decimal_as_written() {
        let check = |written: &str, expected: Option<u64>| assert_eq!(size_bytes(written), expected, "{written:?}");
        for bad in ["", "MiB", "-1", "1 mib", "1.5 GiB", "99999999999 GiB"] {
            check(bad, None);
        }
        check("512", Some(512));
        check("100 MiB", Some(104_857_600));
        check("1MB", Some(1_000_000));
    }

    #[test]
    fn secrets_are_told_from_references() {
        let check = |written: &str, reference: bool, path: bool| {
            assert_eq!((is_secret_reference(written), looks_like_path(written)), (reference, path), "{written:?}");
        };
        check("Zm9vYmFyYmF6", false, false);
        check("cred:", false, false);
        check("hunter2/x", false, false);
        check("CRED:x", false, false);
        check("/run/secrets/x", false, true);
        check("./x", false, true);
        check("certs/x.key", false, true);
        check("cred:x", true, false);
        check("env:X", true, false);
    }

    #[test]
    fn only_near_names_are_proposed() {
        let names = ["groups", "deny_groups", "domains", "rest", "scim", "slug"];
        let check = |word: &str, expected: Option<&str>| assert_eq!(nearest(word, names), expected, "{word}");
        check("password", None);
        check("x", None);
        check("", None);
        check("group", Some("groups"));
        check("gruops", Some("groups"));
        check("rset", Some("rest"));
        check("slgu", Some("slug"));
        check("Domains", Some("domains"));
        check("deny_group", Some("deny_groups"));
        check("denyGroups", Some("deny_groups"));
        check("ip", None);
        check("id", None);
        check("slug", Some("slug"));
    }
}
