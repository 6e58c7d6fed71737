use super::{CanonicalPath, EncodedSlashes, PATH_BYTES_MAX, PathPattern, PathProblem};

#[test]
fn paths_that_two_readers_would_read_differently_are_refused() {
    use PathProblem::*;
    let check =
        |raw: &str, expected: PathProblem| assert_eq!(CanonicalPath::parse(raw).map(|path| path.as_str().to_owned()), Err(expected), "{raw:?}");
    check("", NotAbsolute);
    check("admin", NotAbsolute);
    check("*", NotAbsolute);
    check("http://x/", NotAbsolute);
    check("/..", DotSegment);
    check("/.", DotSegment);
    check("/./admin", DotSegment);
    check("/public/../admin", DotSegment);
    check("/public/..", DotSegment);
    check("/public/%2e%2e/admin", DotSegment);
    check("/public/.%2E/admin", DotSegment);
    check("/public/%2e./admin", DotSegment);
    check("/public/%2e/admin", DotSegment);
    check("/public/..;/admin", DotSegment);
    check("/public/..;a=b/admin", DotSegment);
    check("/public/.;/admin", DotSegment);
    check("/public/%2e%2e;x/admin", DotSegment);
    check("/public/..%3b/admin", DotSegment);
    check("/public/..%20/admin", DotSegment);
    check("/public/%252e%252e/admin", DotSegment);
    check("/public/%25252e%25252e/admin", DotSegment);
    check("/public/..%252fadmin", DotSegment);
    check("/public/..%255cadmin", DotSegment);
    check("/public/.../admin", DotSegment);
    check("/public/%EF%BC%8E%EF%BC%8E/admin", DotSegment); // full-width dots
    check("/public/%E2%80%A5/admin", DotSegment); // two dot leader
    check("//admin", EmptySegment);
    check("/public//admin", EmptySegment);
    check("/admin//", EmptySegment);
    check("///", EmptySegment);
    check("/;/admin", EmptySegment);
    check("/public/;a=b/admin", EmptySegment);
    check("/%20/admin", EmptySegment);
    check("/public%252f%252fadmin", EmptySegment);
    check("/public%2fadmin", EncodedSlash);
    check("/public%2Fadmin", EncodedSlash);
    check("/public/..%2fadmin", EncodedSlash);
    check("/public\\admin", Backslash);
    check("/\\admin", Backslash);
    check("/public/..%5cadmin", Backslash);
    check("/public%5Cadmin", Backslash);
    check("/admin%00", Control);
    check("/admin%00.css", Control);
    check("/admin%0d%0aX:y", Control);
    check("/admin%09", Control);
    check("/admin%7f", Control);
    check("/ad\tmin", Control);
    check("/ad min", Control);
    check("/admin\r\n", Control);
    check("/\u{0}", Control);
    check("/caf\u{e9}", NotAscii);
    check("/public/%c0%ae%c0%ae/admin", NotUtf8);
    check("/public/%e0%80%ae/admin", NotUtf8);
    check("/public%c0%afadmin", NotUtf8);
    check("/%ff", NotUtf8);
    check("/%", Escape);
    check("/%2", Escape);
    check("/%zz", Escape);
    check("/%u002e%u002e/admin", Escape);
    check("/%+1", Escape);
    check("/admin#x", Delimiter);
    check("/admin?x", Delimiter);
    check("/%25252525252e", Nested);
    check(&format!("/{}", "a".repeat(PATH_BYTES_MAX)), TooLong);
}

#[test]
fn the_canonical_bytes_are_stated_and_stable() {
    let check = |raw: &str, expected: &str| {
        let path = CanonicalPath::parse(raw).unwrap_or_else(|problem| panic!("{raw}: {problem}"));
        assert_eq!(path.as_str(), expected, "{raw}");
        assert_eq!(path.rewritten(), raw != expected, "{raw}: borrowed when nothing changes");
        let again = CanonicalPath::parse(expected).unwrap();
        assert_eq!((again.as_str(), again.rewritten()), (expected, false), "{raw}: parsing again changes nothing");
    };
    check("/", "/");
    check("/a/b.c/~d_e-f", "/a/b.c/~d_e-f");
    check("/a/", "/a/");
    check("/%61dmin", "/admin");
    check("/%41", "/A");
    check("/%7euser", "/~user");
    check("/caf%c3%a9", "/caf%C3%A9");
    check("/a%20b", "/a%20b");
    check("/a%3fb%23c", "/a%3Fb%23c");
    check("/a;jsessionid=1/b", "/a;jsessionid=1/b");
    check("/;jsessionid=1", "/;jsessionid=1");
    check("/{id}|\"x\"", "/%7Bid%7D%7C%22x%22");
    check("/a/*/b,c=d@e:f!$&'()+", "/a/*/b,c=d@e:f!$&'()+");
    check("/100%25", "/100%25");
    check("/x.", "/x.");
    check("/.well-known/x", "/.well-known/x");
    check("/..a/a..b/...x", "/..a/a..b/...x");
}

#[test]
fn restrictions_match_whatever_a_lenient_app_would_read() {
    let check = |pattern: &str, raw: &str| {
        let path = CanonicalPath::parse(raw).unwrap_or_else(|problem| panic!("{raw}: {problem}"));
        assert!(PathPattern::parse(pattern).unwrap().restricts(&path), "{pattern} must restrict {raw}");
    };
    for pattern in ["/admin", "/admin*", "/Admin", "/ADMIN/", "/admin/*"] {
        for raw in [
            "/admin",
            "/admin/",
            "/ADMIN",
            "/Admin/",
            "/%61dmin",
            "/%41DMIN",
            "/admin;x=y",
            "/admin;",
            "/admin;x/",
            "/admin/;x",
            "/admin.",
            "/admin./",
            "/admin%20",
            "/admin%3Bx",
            "/admin%3Fx",
            "/admin%23",
            "/admin%253Fx",
            "/%2561dmin",
            "/%252561dmin",
            "/admin%2500.css",
            "/%EF%BD%81dmin", // full-width a
        ] {
            check(pattern, raw);
        }
    }
    check("/admin/*", "/admin%252Fusers");
    check("/admin/*", "/admin%255Cusers");
    check("/admin/*", "/admin%EF%BC%8Fusers"); // full-width slash
    check("/admin/*", "/admin;x=1/users;y=2");
    check("*.json", "/issues.JSON");
    check("*.json", "/issues.json/");
    check("*.json", "/issues.json;x");
    check("*.json", "/issues.json%3Fx");
    check("/caf\u{e9}/*", "/caf%C3%A9/menu");
    check("/caf\u{e9}/*", "/CAF%C3%89/menu");
    check("/caf%C3%A9/*", "/caf%C3%A9/menu");
    check("/a b", "/a%20b");
    check("/;x", "/;x");
}

#[test]
fn restrictions_leave_other_paths_alone() {
    let check =
        |pattern: &str, raw: &str| assert!(!PathPattern::parse(pattern).unwrap().restricts(&CanonicalPath::parse(raw).unwrap()), "{pattern} {raw}");
    check("/admin", "/administrator");
    check("/admin", "/x/admin");
    check("/admin", "/admin/users");
    check("/admin/*", "/administrator");
    check("*.json", "/json");
    check("/", "/x");
}

#[test]
fn openings_match_exact_bytes_only() {
    let opens = |pattern: &str, raw: &str| PathPattern::parse(pattern).unwrap().opens(&CanonicalPath::parse(raw).unwrap());
    let refuse = |pattern: &str, raw: &str| assert!(!opens(pattern, raw), "{pattern} must not open {raw}");
    refuse("/public/*", "/Public/x");
    refuse("/public/*", "/public");
    refuse("/public/*", "/public/x;y");
    refuse("/public/*", "/public/;y");
    refuse("/public/*", "/public/%2561");
    refuse("/public/*", "/public/a%3Fb");
    refuse("/public/*", "/public/a%23b");
    refuse("/public/*", "/public/a%3Bb");
    refuse("/public/*", "/public/a%EF%BC%8Fb");
    refuse("/health", "/health/");
    refuse("/health", "/healthz");
    refuse("/health", "/health.");
    refuse("*.css", "/admin;x.css");
    let allow = |pattern: &str, raw: &str| assert!(opens(pattern, raw), "{pattern} opens {raw}");
    allow("/public/*", "/public/x/y.css");
    allow("/public/*", "/%70ublic/x");
    allow("/public/*", "/public/caf%c3%a9%20x");
    allow("/caf\u{e9}", "/caf%C3%A9");
}

#[test]
fn patterns_that_no_path_could_fit_are_refused() {
    let check = |pattern: &str| assert!(PathPattern::parse(pattern).is_err(), "{pattern}");
    for pattern in ["", "admin", "//x", "/a/../b", "/a?b", "/a#b", "/a\\b", "/a%2fb", "/%zz", "https://x/"] {
        check(pattern);
    }
}

#[test]
fn overlaps_are_seen_in_the_forms_that_match() {
    let check = |open: &str, closed: &str, expected: bool| {
        assert_eq!(PathPattern::parse(open).unwrap().opens_what_is_restricted_by(&PathPattern::parse(closed).unwrap()), expected, "{open} {closed}");
    };
    check("/public/*", "/admin/*", false);
    check("/robots.txt", "*.json", false);
    check("/themes/*", "*.json", true);
    check("/Admin", "/admin", true);
    check("/admin/", "/admin", true);
    check("/admin", "/admin/*", true);
    check("*", "/x", true);
}

proptest::proptest! {
    #[test]
    fn parsing_is_idempotent_and_never_panics(raw in "/[a-cA-C%0-9.;/ ?#\\\\\u{e9}]{0,24}") {
        if let Ok(path) = CanonicalPath::parse(&raw) {
            let again = CanonicalPath::parse(path.as_str()).unwrap();
            proptest::prop_assert_eq!(again.as_str(), path.as_str());
            proptest::prop_assert!(!again.rewritten());
            proptest::prop_assert_eq!(&again.other, &path.other);
        }
    }

    /// What a public pattern opens, the same text as a restricting pattern covers too.
    #[test]
    fn openings_are_within_restrictions(raw in "/[a-cA%0-9.;/]{0,16}", pattern in "/[a-c*]{0,6}") {
        if let (Ok(path), Ok(pattern)) = (CanonicalPath::parse(&raw), PathPattern::parse(&pattern)) {
            proptest::prop_assert!(!pattern.opens(&path) || pattern.restricts(&path));
        }
    }

    /// With `%2F` kept: what restricts or opens either reading, `%2F` as a slash and as a character of a name, decides for the path itself.
    #[test]
    fn a_kept_slash_is_restricted_by_either_reading_and_opened_by_both(raw in "/([a-cA.;]|%2[fF]|/){0,14}", pattern in "[/*]([a-c*.]|/){0,6}") {
        let keep = |raw| CanonicalPath::parse_as(raw, EncodedSlashes::Keep);
        if let (Ok(path), Ok(pattern)) = (keep(&raw), PathPattern::parse(&pattern)) {
            let bytes = path.as_str();
            proptest::prop_assert_eq!(bytes, raw.replace("%2f", "%2F"), "the same bytes go upstream");
            proptest::prop_assert_eq!(&keep(bytes).unwrap(), &path);
            proptest::prop_assert_eq!(path.has_encoded_slash(), CanonicalPath::parse(&raw) == Err(PathProblem::EncodedSlash));
            let (slashed, named) = (bytes.replace("%2F", "/"), bytes.replace("%2F", "q"));
            let readings: Vec<CanonicalPath<'_>> = [&slashed, &named].into_iter().filter_map(|reading| CanonicalPath::parse(reading).ok()).collect();
            proptest::prop_assert_eq!(readings.len(), 2, "a path that is kept has two readings");
            for reading in readings {
                proptest::prop_assert!(!pattern.restricts(&reading) || pattern.restricts(&path), "restricts {}", reading.as_str());
                proptest::prop_assert!(!pattern.opens(&path) || pattern.opens(&reading), "opens {}", reading.as_str());
            }
            proptest::prop_assert!(!pattern.opens(&path) || pattern.restricts(&path));
        }
    }
}
