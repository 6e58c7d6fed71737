//! `vestibule check`: every problem of the configuration, in one pass.

use super::{COULD_NOT, NO, YES};
use crate::load::{UNREADABLE, check, check_files};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// `vestibule check`: prints every problem; returns the exit code.
pub(super) fn run(config: &Path, files: &[PathBuf]) -> u8 {
    let report = if files.is_empty() { check(config) } else { check_files(files) };
    let text = if report.problems.is_empty() { format!("{} in order.\n", counted(report.files)) } else { report.render() };
    if io::stdout().lock().write_all(text.as_bytes()).is_err() || report.problems.iter().any(|problem| problem.code == UNREADABLE) {
        return COULD_NOT;
    }
    if report.errors() == 0 { YES } else { NO }
}

fn counted(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}
