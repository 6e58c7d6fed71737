//! E-mail addresses, as far as a decision may rest on them.

/// The domain of `address`, lower-cased, or `None` unless it has exactly one `@` with something on both sides and neither
/// white space nor control characters (CVE-2026-40574: `a@evil@good` must not match `good`).
///
/// ```
/// use vestibule::identity::email::domain;
/// assert_eq!(domain("Ada@Example.com").as_deref(), Some("example.com"));
/// assert_eq!(domain("a@evil.com@example.com"), None);
/// ```
pub fn domain(address: &str) -> Option<String> {
    domain_part(address).map(str::to_lowercase)
}

/// As [`domain`], as written: for comparison without allocating.
pub fn domain_part(address: &str) -> Option<&str> {
    if address.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return None;
    }
    let (local, domain) = address.split_once('@')?;
    let well_formed = !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !domain.starts_with('.') && !domain.ends_with('.');
    well_formed.then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::domain;

    #[test]
    fn only_one_at_sign_makes_a_domain() {
        let check = |address: &str, expected: Option<&str>| assert_eq!(domain(address).as_deref(), expected, "{address:?}");
        check("a@evil@good.com", None);
        check("@good.com", None);
        check("a@", None);
        check("good.com", None);
        check("a b@good.com", None);
        check("a@good.com\r\nX: y", None);
        check("a@.good.com", None);
        check("a@good.com.", None);
        check("a@Good.COM", Some("good.com"));
    }
}
