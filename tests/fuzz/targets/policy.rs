//! A policy file of any bytes: TOML or JSON, parsed, held against the table, compiled, printed with its problems, tidied. Nothing may panic, and what is
//! tidy stays as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule::connector::builtin::builtin;
use vestibule::policy::{Surroundings, compile};
use vestibule::source::{Problem, SourceFile, tidy};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for name in ["fuzz.toml", "fuzz.json"] {
        let file = SourceFile::new(name, text);
        let idps = ["corp".to_owned()];
        let (policy, problems) = compile(&file, Surroundings { idps: Some(&idps), connectors: builtin() });
        let printed: String = problems.iter().map(Problem::render).collect();
        assert!(policy.is_some() || !printed.is_empty(), "a policy that is refused says why");
        if let Ok(once) = tidy(&file) {
            let again = tidy(&SourceFile::new(name, once.as_str())).expect("what was tidied can be read");
            assert_eq!(once, again);
        }
    }
});
