//! Policies as they are compiled, their tests not run.
//!
//! Lives here: [`untested`], for the commands that run the tests themselves and show how, or that look ahead. Apart from the loader because what comes from here is
//! never served.

use super::{Look, variables};
use crate::config::{self, Gateway, environment};
use crate::connector::builtin::builtin;
use crate::policy::{Policy, Surroundings};
use crate::source::{Report, SourceFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Policies that compile, and what is wrong with the others.
#[derive(Debug, Default)]
pub struct Untested {
    /// The gateway file, when one was looked at and is in order.
    pub gateway: Option<Gateway>,
    /// The policies, by file name.
    pub policies: Vec<(SourceFile, Arc<Policy>)>,
    /// Everything found.
    pub report: Report,
}

/// The policies of `files`, or of the folder that `config` names when there are none.
pub fn untested(config: &Path, files: &[PathBuf]) -> Untested {
    let mut look = Look::default();
    let (mut gateway, mut idps, mut paths) = (None, None, files.to_vec());
    // Single files are looked at without the gateway's, as `check` does.
    if files.is_empty()
        && let Some(file) = look.read(config)
    {
        let folder = config.parent().unwrap_or(Path::new(""));
        let over = environment::overlay(&file, &variables());
        let (compiled, problems) = config::compile::compile_over(&over, folder);
        look.report.problems.extend(problems);
        gateway = compiled;
        let (policies, known) = config::compile::outline(&over, folder);
        idps = known;
        paths = look.policy_files(&policies).unwrap_or_default();
    }
    let around = Surroundings { idps: idps.as_deref(), connectors: builtin() };
    let mut policies = Vec::new();
    for path in &paths {
        let Some(file) = look.read(path) else { continue };
        let policy = look.compiled(&file, around);
        policies.extend(policy.map(|policy| (file, Arc::new(policy))));
    }
    Untested { gateway, policies, report: look.report }
}

/// One policy file beside the gateway of `config`, as a version of it that is not in force.
///
/// # Errors
/// What is wrong with it.
pub fn untested_file(path: &Path, idps: Option<&[String]>) -> Result<Arc<Policy>, Report> {
    let mut look = Look::default();
    let Some(file) = look.read(path) else { return Err(look.report) };
    let policy = look.compiled(&file, Surroundings { idps, connectors: builtin() });
    policy.map(Arc::new).ok_or(look.report)
}
