//! E-mail domains that a gate accepts.
//!
//! Lives here: [`problem`], what may be written, and [`accepts`], whom it fits. A domain is compared whole; `*.example.com` opts in to what is below it, and not
//! to `example.com` itself. Apart because half of this field's advisories are about the end of a string (CVE-2026-40574, GHSA-f24x-5g9q-753f).

/// What opts in to sub-domains.
const BELOW: &str = "*.";

/// What is wrong with `written` as an accepted domain, with the way out; `None` when nothing is.
pub(super) fn problem(written: &str) -> Option<&'static str> {
    let name = written.strip_prefix(BELOW).unwrap_or(written);
    if written.contains('*') && (name.contains('*') || name == written) {
        return Some("a domain is compared whole; \"*.example.com\" means every domain below example.com, and * stands nowhere else");
    }
    if !name.split('.').all(is_label) {
        return Some("a domain is compared whole, such as \"example.com\"; name every one");
    }
    // Everything below `com` is everybody.
    (name != written && !name.contains('.'))
        .then_some("name the organisation's own domain, such as \"*.example.com\": a top-level domain is everybody's")
}

/// Whether `domain`, the part of an address after its one `@`, fits `accepted`. Letter case does not matter; nothing is allocated.
pub(super) fn accepts(accepted: &str, domain: &str) -> bool {
    let Some(above) = accepted.strip_prefix(BELOW) else { return !accepted.is_empty() && accepted.eq_ignore_ascii_case(domain) };
    let Some(at) = domain.len().checked_sub(above.len()) else { return false };
    let (Some(below), Some(end)) = (domain.get(..at), domain.get(at..)) else { return false };
    // `evil-example.com` ends in `example.com` too: a dot comes first, and whole labels before it.
    let Some(labels) = below.strip_suffix('.') else { return false };
    !above.is_empty() && end.eq_ignore_ascii_case(above) && labels.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::{accepts, problem};

    #[test]
    fn row_03_only_whole_domains_and_whole_labels_below_one_fit() {
        let check = |accepted: &str, domain: &str, expected: bool| assert_eq!(accepts(accepted, domain), expected, "{accepted} {domain}");
        check("example.com", "sub.example.com", false);
        check("example.com", "evil-example.com", false);
        check("example.com", "example.com.evil.org", false);
        check("", "", false);
        check("*.", "example.com", false);
        check("*.", "", false);
        check("*.example.com", "example.com", false);
        check("*.example.com", ".example.com", false);
        check("*.example.com", "a..example.com", false);
        check("*.example.com", "evil-example.com", false);
        check("*.example.com", "evil.org/.example.com", false);
        check("*.example.com", "[a].example.com", false);
        check("*.example.com", "sub.example.com.evil.org", false);
        check("*.example.com", "xample.com", false);
        check("*.example.com", "é.xample.com", false);
        check("example.com", "EXAMPLE.com", true);
        check("*.example.com", "sub.example.com", true);
        check("*.example.com", "a.b.Sub.EXAMPLE.com", true);
        check("*.example.com", "zürich.example.com", true);
    }

    #[test]
    fn row_03_a_star_stands_for_sub_domains_and_nothing_else() {
        let check = |written: &str, fine: bool| assert_eq!(problem(written).is_none(), fine, "{written}: {:?}", problem(written));
        for wrong in [
            "*",
            "*.*",
            "*.com",
            "*example.com",
            "exa*mple.com",
            "example.*",
            "*.*.example.com",
            "a.*.example.com",
            "**.example.com",
            "*.",
            "",
            "@example.com",
        ] {
            check(wrong, false);
        }
        for wrong in ["a b.com", ".example.com", "example.com.", "example..com", "a/b.com", "*..example.com", "*.example.com."] {
            check(wrong, false);
        }
        for fine in ["example.com", "*.example.com", "localhost", "*.corp.example.com", "zürich.example", "xn--zrich-kva.example"] {
            check(fine, true);
        }
    }
}
