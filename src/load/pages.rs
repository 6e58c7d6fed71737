//! What `[pages]` of the gateway file names: the logo and the folder of own pages.
//!
//! Lives here: [`read`]. Apart because the compiler of the gateway file opens no files; what is found here travels with its result.

use crate::config::Gateway;
use crate::pages::{self, LOGO_BYTES_MAX};
use crate::source::{Problem, Severity, SourceFile};
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

/// The gateway with what its pages are made of; `None` when any of that is not in order, and then `problems` says why.
pub(super) fn read(mut gateway: Gateway, problems: &mut Vec<Problem>) -> Option<Gateway> {
    let mut found = Vec::new();
    let settings = &mut gateway.pages;
    settings.files.logo = settings.logo.as_deref().and_then(|path| logo(path, &mut found));
    settings.files.templates = settings.templates.as_deref().map(|folder| templates(folder, &mut found)).unwrap_or_default();
    found.extend(pages::check(settings));
    let broken = found.iter().any(|problem| problem.severity == Severity::Error);
    problems.extend(found);
    (!broken).then_some(gateway)
}

fn logo(path: &Path, problems: &mut Vec<Problem>) -> Option<String> {
    // One byte more than is allowed shows that it is too large; the rest of a file of any size is not read.
    let limit = LOGO_BYTES_MAX as u64 + 1;
    let read = fs::File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read {
        Err(error) => {
            problems.push(unreadable(path, &error, "[pages] logo names it: an SVG or PNG file, readable by the user that runs vestibule"));
            None
        }
        Ok(bytes) => {
            pages::logo_address(&bytes).map_err(|error| problems.push(whole_file("bad-logo", path, error.to_string(), "[pages] logo names it"))).ok()
        }
    }
}

/// `*.html` directly in the folder, by name.
fn templates(folder: &Path, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
    let mut paths = match listed {
        Ok(paths) => paths,
        Err(error) => {
            problems.push(unreadable(folder, &error, "[pages] templates names it: a folder of *.html files"));
            return Vec::new();
        }
    };
    paths.retain(|path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("html")));
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match fs::read_to_string(&path) {
            Ok(text) => found.push((name, text)),
            Err(error) => problems.push(unreadable(&path, &error, "a page is a file of UTF-8 text")),
        }
    }
    found
}

fn unreadable(path: &Path, error: &io::Error, help: &str) -> Problem {
    whole_file(super::UNREADABLE, path, format!("cannot be read: {error}"), help)
}

fn whole_file(code: &'static str, path: &Path, message: String, help: &str) -> Problem {
    let file = SourceFile::new(path.display().to_string(), "");
    let mut problem = Problem::error(code, &file, 0..0, message);
    problem.span = None;
    problem.help(help)
}
