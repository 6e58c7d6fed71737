//! Loading: from files to what runs.
//!
//! Lives here: the only place that reads configuration files. `serve`, `check` and the demo call the same functions, so that what `check` accepts is what
//! runs. Everything read goes to the pure compilers in `config/` and `policy/`.

mod own;
mod pages;
mod untested;

pub use own::connector_of;
pub use untested::{Untested, untested, untested_file};

use crate::app::{Plan, Rejected};
use crate::config::environment::{self, Variable};
use crate::config::{self, Gateway};
use crate::connector::builtin::builtin;
use crate::policy::{self, Policy, Surroundings};
use crate::rehearse;
use crate::source::{Problem, Report, Severity, SourceFile, parse};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `serve` starts with.
#[derive(Debug)]
pub struct Loaded {
    /// The gateway file.
    pub gateway: Gateway,
    /// The policies that are in order, by file name. A policy with errors is not among them: its app is not served, all others are.
    pub policies: Vec<Policy>,
    /// Hosts of the policies that were left out, as far as they can be read and nobody else has them: their apps are unavailable, not unknown.
    pub unavailable: Vec<String>,
    /// Everything found, errors of the policies that were left out included.
    pub report: Report,
}

impl Loaded {
    /// What operators should see at the start; `None` when there is nothing to say.
    pub fn report(&self) -> Option<String> {
        if self.report.problems.is_empty() {
            return None;
        }
        let closing = if self.report.errors() == 0 {
            String::new()
        } else if self.unavailable.is_empty() {
            "Policies with errors are not loaded.".to_owned()
        } else {
            format!("Policies with errors are not loaded: {} unavailable.", self.unavailable.join(", "))
        };
        Some(self.report.render_with(&closing))
    }

    /// What to start.
    pub fn into_plan(self) -> Plan {
        let rejected = self.rejected();
        Plan { rejected, ..Plan::new(self.gateway, self.policies, self.unavailable) }
    }

    /// Policy files with errors, each with the first of them.
    fn rejected(&self) -> Vec<Rejected> {
        let mut rejected: Vec<Rejected> = Vec::new();
        for problem in self.report.problems.iter().filter(|problem| problem.severity == Severity::Error) {
            let file = problem.file.name.to_string();
            if !rejected.iter().any(|known| known.file == file) {
                let app = Path::new(&file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
                rejected.push(Rejected { app, file, reason: problem.code });
            }
        }
        rejected
    }
}

/// A file or folder that cannot be read.
pub(crate) const UNREADABLE: &str = "unreadable";

/// Loads the gateway file and its policies.
///
/// # Errors
/// The report, when the gateway file is missing or has errors, or the folder of policies cannot be read: nothing is served then.
pub fn load(config: &Path) -> Result<Loaded, Report> {
    load_over(config, &variables())
}

/// As [`load`], with the environment as an argument.
///
/// # Errors
/// As [`load`].
pub fn load_over(config: &Path, variables: &[Variable]) -> Result<Loaded, Report> {
    let mut look = Look::default();
    let Some(file) = look.read(config) else { return Err(look.report) };
    let folder = config.parent().unwrap_or(Path::new(""));
    let over = environment::overlay(&file, variables);
    let (gateway, problems) = config::compile::compile_over(&over, folder);
    look.report.problems.extend(problems);
    let gateway = gateway.and_then(|gateway| pages::read(gateway, &mut look.report.problems));
    // Policies are looked at even when the gateway file is broken, so that one run shows everything.
    let (policies, idps) = config::compile::outline(&over, folder);
    let around = Surroundings { idps: idps.as_deref(), connectors: builtin() };
    let paths = look.policy_files(&policies);
    let mut compiled: Vec<(SourceFile, Policy)> = Vec::new();
    let mut unavailable = Vec::new();
    for path in paths.as_deref().unwrap_or_default() {
        let Some(file) = look.read(path) else { continue };
        match look.policy(&file, around) {
            Some(policy) => compiled.push((file, policy)),
            None => unavailable.extend(parse(&file).0.text("host").map(str::to_ascii_lowercase)),
        }
    }
    let auth_host = gateway.as_ref().map(|gateway| gateway.server.auth_host.as_str());
    let clashes = config::compile::together(auth_host, compiled.iter().map(|(file, policy)| (file, policy)));
    compiled.retain(|(file, _)| !clashes.iter().any(|problem| problem.file.name == file.name));
    look.report.problems.extend(clashes);
    if let Some(gateway) = &gateway {
        let names: Vec<String> = paths.iter().flatten().filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
        let unfit = config::provisioning::against(&file, &gateway.provisioning, &names, compiled.iter().map(|(file, policy)| (file, policy)));
        let is_unfit = |name: &str| unfit.iter().any(|problem| problem.severity == Severity::Error && *problem.file.name == *name);
        unavailable.extend(compiled.iter().filter(|(file, _)| is_unfit(&file.name)).map(|(_, policy)| policy.host.clone()));
        compiled.retain(|(file, _)| !is_unfit(&file.name));
        look.report.problems.extend(unfit);
    }
    let (Some(gateway), Some(_)) = (gateway, paths) else { return Err(look.report) };
    let policies: Vec<Policy> = compiled.into_iter().map(|(_, policy)| policy).collect();
    unavailable.retain(|host| *host != gateway.server.auth_host && !policies.iter().any(|policy| policy.host == *host));
    unavailable.sort();
    unavailable.dedup();
    Ok(Loaded { gateway, policies, unavailable, report: look.report })
}

/// The gateway file and the policies it names, as far as they can be found.
pub fn files(config: &Path) -> Vec<PathBuf> {
    let mut look = Look::default();
    let Some(file) = look.read(config) else { return vec![config.to_path_buf()] };
    let (policies, _) = config::compile::outline(&environment::overlay(&file, &variables()), config.parent().unwrap_or(Path::new("")));
    std::iter::once(config.to_path_buf()).chain(look.policy_files(&policies).unwrap_or_default()).collect()
}

/// What this process's environment says about the gateway file.
pub fn variables() -> Vec<Variable> {
    let ours = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let ours = ours.filter(|(name, _)| name.starts_with(environment::PREFIX));
    let mut found: Vec<Variable> = ours.map(|(name, value)| Variable { name, value: value.into_string().ok() }).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The policies of a folder by themselves, for a gateway whose configuration is not a file (the demo).
///
/// # Errors
/// The report, when anything is wrong with any of them.
pub fn load_policies(folder: &Path, idps: &[String]) -> Result<Vec<Policy>, Report> {
    let around = Surroundings { idps: Some(idps), connectors: builtin() };
    let mut look = Look::default();
    let mut compiled = Vec::new();
    for path in look.policy_files(folder).unwrap_or_default() {
        let Some(file) = look.read(&path) else { continue };
        compiled.extend(look.policy(&file, around));
    }
    if look.report.errors() == 0 { Ok(compiled) } else { Err(look.report) }
}

/// Every problem of the gateway file and all its policies.
pub fn check(config: &Path) -> Report {
    load(config).map_or_else(|report| report, |loaded| loaded.report)
}

/// Every problem of single policy files (`vestibule check bad-redmine.toml`): without the gateway file, names of identity providers are taken on trust.
pub fn check_files(paths: &[PathBuf]) -> Report {
    let around = Surroundings { idps: None, connectors: builtin() };
    let mut look = Look::default();
    let compiled: Vec<(SourceFile, Policy)> = paths
        .iter()
        .filter_map(|path| {
            let file = look.read(path)?;
            if is_gateway_file(&file) {
                let mut problem = Problem::error("gateway-file", &file, 0..0, "this is a gateway file: give it with --config");
                problem.span = None;
                look.report.problems.push(problem.help(format!("vestibule check --config {}", path.display())));
                return None;
            }
            let policy = look.policy(&file, around)?;
            Some((file, policy))
        })
        .collect();
    look.report.problems.extend(config::compile::together(None, compiled.iter().map(|(file, policy)| (file, policy))));
    look.report
}

/// Sections that only the gateway file has, and no policy's `host`.
fn is_gateway_file(file: &SourceFile) -> bool {
    let tree = parse(file).0;
    tree.get("host").is_none() && ["server", "state", "idp"].iter().any(|section| tree.get(section).is_some())
}

#[derive(Default)]
struct Look {
    report: Report,
    /// Connector files that policies have named, each read once.
    own_connectors: own::Connectors,
}

impl Look {
    fn read(&mut self, path: &Path) -> Option<SourceFile> {
        self.report.files += 1;
        match fs::read_to_string(path) {
            Ok(text) => Some(SourceFile::new(path.display().to_string(), text)),
            Err(error) => {
                self.unreadable(path, &error);
                None
            }
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let file = SourceFile::new(path.display().to_string(), "");
        let mut problem = Problem::error(UNREADABLE, &file, 0..0, format!("cannot be read: {error}"));
        problem.span = None;
        let help = if error.kind() == io::ErrorKind::NotFound {
            "check the path; --config names the gateway file, and [server] policies the folder of policies"
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            "it must be readable by the user that runs vestibule"
        } else {
            "it must be a file of UTF-8 text, and the policies a folder"
        };
        self.report.problems.push(problem.help(help));
    }

    fn compiled(&mut self, file: &SourceFile, around: Surroundings<'_>) -> Option<Policy> {
        if self.is_connector(file) {
            return None;
        }
        let own = self.own_connector(file);
        let connectors: Vec<_> = around.connectors.iter().cloned().chain(own).collect();
        let (policy, problems) = policy::compile(file, Surroundings { connectors: &connectors, ..around });
        self.report.problems.extend(problems);
        policy
    }

    /// A policy that does not do what it says it does is not served.
    fn policy(&mut self, file: &SourceFile, around: Surroundings<'_>) -> Option<Policy> {
        let policy = Arc::new(self.compiled(file, around)?);
        let failed = rehearse::gate(&policy, file);
        let passed = failed.is_empty();
        self.report.problems.extend(failed);
        Arc::into_inner(policy).filter(|_| passed)
    }

    /// `*.toml` and `*.json` directly in the folder, by name. `None`: the folder cannot be read.
    fn policy_files(&mut self, folder: &Path) -> Option<Vec<PathBuf>> {
        let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
        let mut paths = match listed {
            Ok(paths) => paths,
            Err(error) => {
                self.unreadable(folder, &error);
                return None;
            }
        };
        paths.sort();
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let ends = |end: &str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(end)) && !name.starts_with('.');
            if ends("yaml") || ends("yml") {
                let file = SourceFile::new(path.display().to_string(), "");
                let mut problem = Problem::error("not-a-policy", &file, 0..0, "this file is not loaded: policies are TOML or JSON, never YAML");
                problem.span = None;
                self.report.problems.push(problem.help("write it as *.toml or *.json, or move it out of the folder"));
            }
            (ends("toml") || ends("json")) && path.is_file()
        });
        if paths.is_empty() {
            let file = SourceFile::new(folder.display().to_string(), "");
            let mut problem = Problem::warning("no-policies", &file, 0..0, "there is no policy in this folder, so no application is served");
            problem.span = None;
            self.report.problems.push(problem.help("one *.toml or *.json file for each application"));
        }
        Some(paths)
    }
}
