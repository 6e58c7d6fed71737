//! Paths and patterns of any bytes: what one section opens and another restricts is never opened, whatever the spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::policy::path::{CanonicalPath, PathPattern};

fuzz_target!(|input: (&str, &str)| {
    let (path, pattern) = input;
    let Ok(path) = CanonicalPath::parse(path) else { return };
    // Canonical once is canonical for good.
    let again = CanonicalPath::parse(path.as_str()).expect("a canonical path is one");
    assert_eq!(path.as_str(), again.as_str());
    let Ok(pattern) = PathPattern::parse(pattern) else { return };
    assert!(!pattern.opens(&path) || pattern.restricts(&path), "sections open exactly and restrict generously");
});
