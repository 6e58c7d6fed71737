//! "Did you mean": the known word that is nearest to one that is not.

/// The candidate with the fewest slips from `word`, when they are few for its length. Case and underscores count for nothing, so that
/// `givenName` finds `given_name`.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const WORD_CHARS_MAX: usize = 64;
    let word = plain(word);
    if word.len() > WORD_CHARS_MAX {
        return None;
    }
    let ranked = candidates.into_iter().filter_map(|candidate| {
        let slips = slips(&word, &plain(candidate));
        (slips <= word.len() / 3).then_some((slips, candidate))
    });
    ranked.min_by_key(|&(slips, _)| slips).map(|(_, candidate)| candidate)
}

fn plain(word: &str) -> Vec<char> {
    word.chars().filter(|&letter| letter != '_').flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment) that turn `a` into `b`.
fn slips(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        for (j, &y) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&y) && b.get(j - 1) == Some(&x);
            if swapped {
                best = best.min(at(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_near_words_only() {
        let words = ["groups", "given_name", "name", "id", "startsWith", "slug", "email", "email_verified"];
        for (word, expected) in [
            ("department", None),
            ("x", None),
            ("ip", None),
            ("", None),
            ("gruops", Some("groups")),
            ("nmae", Some("name")),
            ("slgu", Some("slug")),
            ("givenName", Some("given_name")),
            ("starts_with", Some("startsWith")),
            ("Email", Some("email")),
            ("emial_verified", Some("email_verified")),
        ] {
            assert_eq!(nearest(word, words), expected, "{word}");
        }
    }
}
