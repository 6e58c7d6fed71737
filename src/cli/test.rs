//! `vestibule test`: runs the tests inside the policies.

use super::{COULD_NOT, NO, YES};
use crate::load::{UNREADABLE, untested};
use crate::rehearse::coverage::coverage;
use crate::rehearse::{run as run_tests, show};
use serde_json::json;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// How to run and what to show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// Times, decisions and calls.
    pub(super) verbose: bool,
    /// What no test reaches.
    pub(super) coverage: bool,
    /// For programs.
    pub(super) json: bool,
}

/// `vestibule test`: returns the exit code.
pub(super) fn run(config: &Path, files: &[PathBuf], options: Options) -> u8 {
    let found = untested(config, files);
    let (mut out, mut listed, mut rules_of) = (String::new(), Vec::new(), Vec::new());
    let (mut total, mut failed, mut bare) = (0, 0, 0);
    let mut problems = String::new();
    for (file, policy) in &found.policies {
        let ran = run_tests(policy, file);
        total += ran.len();
        failed += ran.iter().filter(|ran| !ran.problems.is_empty()).count();
        bare += usize::from(ran.is_empty());
        let rules = if options.coverage { coverage(file, policy, &ran) } else { Vec::new() };
        if options.json {
            listed.extend(show::tests_json(&file.name, &ran));
            rules_of.push(json!({ "file": &*file.name, "rules": show::coverage_json(&rules) }));
        } else if !ran.is_empty() || options.coverage {
            out.push_str(&show::tests(&file.name, &ran, options.verbose));
            out.push_str(&if options.coverage { show::coverage(&rules) } else { String::new() });
            out.push('\n');
        }
    }
    if found.report.errors() > 0 {
        problems = found.report.render_with("Files with errors were not tested.");
    }
    let text = if options.json {
        let broken: Vec<_> = found.report.problems.iter().filter(|problem| problem.severity == crate::source::Severity::Error).collect();
        let broken: Vec<_> =
            broken.iter().map(|problem| json!({ "file": &*problem.file.name, "code": problem.code, "message": problem.message })).collect();
        let mut whole = json!({ "tests": listed, "passed": total - failed, "failed": failed, "problems": broken });
        if options.coverage
            && let Some(fields) = whole.as_object_mut()
        {
            fields.insert("coverage".to_owned(), json!(rules_of));
        }
        format!("{whole:#}\n")
    } else {
        let files = counted(found.policies.len(), "file");
        let without = if bare == 0 {
            String::new()
        } else {
            format!(" {} no tests.", if bare == 1 { "1 file has".to_owned() } else { format!("{bare} files have") })
        };
        let passed = if failed == 0 { "all passed".to_owned() } else { format!("{failed} FAILED") };
        let result = if total == 0 { format!("no tests in {files}") } else { format!("{} in {files}: {passed}", counted(total, "test")) };
        format!("{out}{problems}{result}.{without}\n")
    };
    if io::stdout().lock().write_all(text.as_bytes()).is_err() || found.report.problems.iter().any(|problem| problem.code == UNREADABLE) {
        return COULD_NOT;
    }
    if failed == 0 && found.report.errors() == 0 { YES } else { NO }
}

fn counted(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}
