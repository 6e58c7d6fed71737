//! Values as people write them: durations, sizes, references to secrets; and the nearest of several names.
//!
//! Lives here: one parser for each, pure. Apart because the table ([`super::schema`]) checks with them and the compilers read with them.

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

/// The nearest of `names` to `word`, when it is near enough to be what was meant.
pub fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    names
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| (distance(&word.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(far, name)| *far <= limit && *far < name.chars().count())
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = at(&row, j) + usize::from(from != to);
            let mut best = replaced.min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from) {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    at(&row, b.len())
}

#[cfg(test)]
mod tests {
    use super::{duration_ms, is_secret_reference, looks_like_path, nearest, size_bytes};

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
    }
}
