//! `vestibule fmt`: tidies the files; what they say stays.

use super::{COULD_NOT, NO, YES, print, tell};
use crate::load;
use crate::source::{Problem, SourceFile, tidy};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Tidies `files`, or the gateway file and all its policies; with `check` only says which are not tidy. Returns the exit code.
pub(super) fn run(config: &Path, files: &[PathBuf], check: bool) -> u8 {
    let files = if files.is_empty() { load::files(config) } else { files.to_vec() };
    let (mut untidy, mut broken) = (false, false);
    for path in &files {
        match tidied(path) {
            Ok(None) => {}
            Ok(Some(text)) if check => {
                untidy = true;
                drop(text);
                print(&format!("{}: not tidy\n", path.display()));
            }
            Ok(Some(text)) => match replace(path, &text) {
                Ok(()) => drop(print(&format!("{}: tidied\n", path.display()))),
                Err(error) => {
                    broken = true;
                    tell(&format!("error: {}: {error}\n", path.display()));
                }
            },
            Err(why) => {
                broken = true;
                tell(&why);
            }
        }
    }
    match (broken, untidy) {
        (true, _) => COULD_NOT,
        (false, true) => NO,
        (false, false) => YES,
    }
}

/// The tidied text; `None` when it is tidy already.
fn tidied(path: &Path) -> Result<Option<String>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("error: {}: cannot be read: {error}\n", path.display()))?;
    let file = SourceFile::new(path.display().to_string(), text);
    let tidied = tidy(&file).map_err(|problems| problems.iter().map(Problem::render).collect::<String>())?;
    Ok((tidied != *file.text).then_some(tidied))
}

/// Whole or not at all: a gateway that watches the file never reads half of it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".tidy");
    let beside = PathBuf::from(name);
    fs::write(&beside, text)?;
    fs::set_permissions(&beside, fs::metadata(&path)?.permissions())?;
    fs::rename(&beside, &path)
}
