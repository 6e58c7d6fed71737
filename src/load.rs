//! Loading: from files to what runs.
//!
//! Lives here: the only place that reads configuration files. `serve`, `check` and the demo call the same functions, so that what `check` accepts is what
//! runs. Everything read goes to the pure compilers in `config/` and `policy/`. [`Loader`] loads again and again and compiles only what has changed;
//! [`Gate`] is the place for whatever else a compiled policy must pass before it is served. `settle.rs`, which is pure, says which version of which file
//! is to be served when not all of them are in order.

mod settle;

pub use settle::{Candidate, Choice, settle};

mod own;
mod pages;
mod untested;

use own::connector_in;
pub use untested::{Untested, untested, untested_file};

use crate::app::{Plan, Rejected};
use crate::config::environment::{self, Overlaid, Variable};
use crate::config::{self, Gateway};
use crate::connector::builtin::builtin;
use crate::policy::{self, Policy, Surroundings};
use crate::rehearse;
use crate::source::{Problem, Report, Severity, SourceFile, Table, parse};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `serve` starts with.
#[derive(Debug)]
pub struct Loaded {
    /// The gateway file.
    pub gateway: Gateway,
    /// Its text.
    pub text: Arc<str>,
    /// The policies that are in order, by file name. A policy with errors is not among them: its app is not served, all others are.
    pub policies: Vec<Arc<Policy>>,
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
        Plan { rejected, policies: self.policies, text: Some(self.text), ..Plan::new(self.gateway, Vec::new(), self.unavailable) }
    }

    /// Policy files with errors, each with the first of them.
    fn rejected(&self) -> Vec<Rejected> {
        let errors = self.report.problems.iter().filter(|problem| problem.severity == Severity::Error);
        let mut known = HashSet::new();
        let first = errors.filter(|problem| known.insert(&problem.file.name));
        first.map(|problem| Rejected { app: app_of(&problem.file), file: problem.file.name.to_string(), reason: problem.code }).collect()
    }
}

/// A file or folder that cannot be read.
pub(crate) const UNREADABLE: &str = "unreadable";

/// What else must hold of a compiled policy before it is served: the problems that are found. One with an error is not loaded. What is served must pass
/// [`rehearse::gate`], its own tests.
pub type Gate = dyn Fn(&Arc<Policy>, &SourceFile) -> Vec<Problem> + Send + Sync;

/// Everything that compiles may be served: for tests and measurements.
pub const fn no_gate(_policy: &Arc<Policy>, _file: &SourceFile) -> Vec<Problem> {
    Vec::new()
}

/// Loads the gateway file and its policies, once.
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
    Ok(Loader::over(config, variables.to_vec()).look(&rehearse::gate)?.first())
}

/// Loads again and again, and compiles only what has changed.
#[derive(Debug)]
pub struct Loader {
    config: PathBuf,
    /// What the environment says over the gateway file.
    variables: Vec<Variable>,
    /// Text of the gateway file that `known` was compiled beside: providers, for one, are its affair.
    around: Arc<str>,
    /// Files that were looked at.
    listed: Vec<PathBuf>,
    /// Policy files as they were at the last look, with what came of them.
    known: HashMap<PathBuf, Candidate>,
}

/// What the files say now. The gateway file is in order; its policies may not be.
#[derive(Debug)]
pub struct Found {
    /// What the gateway file means.
    pub gateway: Gateway,
    /// The gateway file.
    pub file: SourceFile,
    /// The policy files, by name.
    pub candidates: Vec<Candidate>,
    /// What is to be said of the gateway file, the folder and the connectors in it.
    pub problems: Vec<Problem>,
    /// Files that were looked at.
    pub files: usize,
}

impl Loader {
    /// A loader that has looked at nothing yet.
    pub fn new(config: &Path) -> Self {
        Self::over(config, variables())
    }

    /// As [`Self::new`], with the environment as an argument.
    pub fn over(config: &Path, variables: Vec<Variable>) -> Self {
        Self { config: config.to_owned(), variables, around: Arc::from(""), listed: Vec::new(), known: HashMap::new() }
    }

    /// The gateway file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Connector files that policies name, whether or not they are there: what is served changes when they do.
    pub fn connectors(&self) -> Vec<PathBuf> {
        self.known.values().filter_map(|candidate| candidate.connector.as_ref()).map(|(path, _)| path.clone()).collect()
    }

    /// Reads every file; compiles, and puts through `gate`, those whose text has changed since the last look.
    ///
    /// # Errors
    /// As [`load`].
    pub fn look(&mut self, gate: &Gate) -> Result<Found, Report> {
        let mut look = Look::default();
        let Some(file) = look.read(&self.config) else { return Err(look.report) };
        let folder = self.config.parent().unwrap_or(Path::new(""));
        let over = environment::overlay(&file, &self.variables);
        let (gateway, problems) = config::compile::compile_over(&over, folder);
        look.report.problems.extend(problems);
        let gateway = gateway.and_then(|gateway| pages::read(gateway, &mut look.report.problems));
        // Policies are looked at even when the gateway file is broken, so that one run shows everything.
        let (policies, idps) = config::compile::outline(&over, folder);
        let around = Surroundings { idps: idps.as_deref(), connectors: builtin() };
        let paths = look.policy_files(&policies);
        if paths.is_none()
            && let Some(problem) = look.report.problems.pop()
        {
            look.report.problems.extend(over.named(vec![at_its_key(problem, &over)]));
        }
        self.listed = std::iter::once(self.config.clone()).chain(paths.clone().unwrap_or_default()).collect();
        if self.around != file.text {
            self.known.clear();
            self.around = Arc::clone(&file.text);
        }
        let mut before = std::mem::take(&mut self.known);
        let mut candidates = Vec::new();
        for path in paths.as_deref().unwrap_or_default() {
            let Some(candidate) = look.candidate(path, around, gate, before.remove(path)) else { continue };
            if !candidate.is_unreadable() {
                self.known.insert(path.clone(), candidate.clone());
            }
            candidates.push(candidate);
        }
        if let Some(gateway) = &gateway {
            look.unfit(&file, gateway, paths.as_deref().unwrap_or_default(), &mut candidates);
        }
        if let (Some(gateway), Some(_)) = (gateway, &paths) {
            return Ok(Found { gateway, file, candidates, problems: look.report.problems, files: look.report.files });
        }
        let (_, clashes) = settle(&[], &candidates, &HashMap::new());
        look.report.problems.extend(candidates.into_iter().flat_map(|candidate| candidate.problems));
        look.report.problems.extend(clashes);
        Err(look.report)
    }
}

impl Found {
    /// What to start with: no policy is in force yet.
    pub fn first(self) -> Loaded {
        let auth_host = &self.gateway.server.auth_host;
        let (choices, clashes) = settle(&self.gateway.own_hosts(), &self.candidates, &HashMap::new());
        let served = |(candidate, choice): (&Candidate, &Choice)| if *choice == Choice::Now { candidate.policy.clone() } else { None };
        let policies: Vec<Arc<Policy>> = self.candidates.iter().zip(&choices).filter_map(served).collect();
        let unavailable = unavailable(auth_host, &self.candidates, &choices, policies.iter().map(|policy| policy.host.as_str()));
        let mut problems = self.problems;
        problems.extend(self.candidates.into_iter().flat_map(|candidate| candidate.problems));
        problems.extend(clashes);
        Loaded { gateway: self.gateway, text: self.file.text, policies, unavailable, report: Report { problems, files: self.files } }
    }
}

/// Hosts of files of which nothing is served, as far as they can be read and nobody else has them: unavailable rather than unknown.
pub(crate) fn unavailable<'p>(
    auth_host: &'p str,
    candidates: &[Candidate],
    choices: &[Choice],
    served: impl Iterator<Item = &'p str>,
) -> Vec<String> {
    let served: HashSet<&str> = served.chain([auth_host]).collect();
    let nothing = candidates.iter().zip(choices).filter(|(_, choice)| **choice == Choice::Nothing);
    let mut hosts: Vec<String> = nothing.filter_map(|(candidate, _)| candidate.host()).filter(|host| !served.contains(host.as_str())).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// The app that a policy file is of.
pub(crate) fn app_of(file: &SourceFile) -> String {
    Path::new(&*file.name).file_stem().unwrap_or_default().to_string_lossy().into_owned()
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
    checked(config).report
}

/// What [`checked`] found.
#[derive(Debug)]
pub struct Checked {
    /// Every problem.
    pub report: Report,
    /// The gateway file and the policies it names, as far as they can be found.
    pub files: Vec<PathBuf>,
    /// The gateway, when its file is in order, and that file.
    pub gateway: Option<(Gateway, Overlaid)>,
}

/// As [`check`], with what was looked at.
pub fn checked(config: &Path) -> Checked {
    let mut loader = Loader::over(config, variables());
    let (report, gateway) = match loader.look(&rehearse::gate) {
        Ok(found) => {
            let over = environment::overlay(&found.file, &loader.variables);
            let Loaded { report, gateway, .. } = found.first();
            (report, Some((gateway, over)))
        }
        Err(report) => (report, None),
    };
    Checked { report, files: loader.listed, gateway }
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
    look.report.problems.extend(config::compile::together(&[], compiled.iter().map(|(file, policy)| (file, policy))));
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
    /// Their texts; `None`: not to be read.
    connector_texts: HashMap<PathBuf, Option<Arc<str>>>,
    /// Connector files that policies name and that cannot be read, and why.
    unread_connectors: HashMap<PathBuf, io::ErrorKind>,
}

impl Look {
    const fn files(&mut self) {
        self.report.files += 1;
    }

    fn read(&mut self, path: &Path) -> Option<SourceFile> {
        self.files();
        match fs::read_to_string(path) {
            Ok(text) => Some(SourceFile::new(path.display().to_string(), text)),
            Err(error) => {
                self.unreadable(path, &error);
                None
            }
        }
    }

    /// What policies do that the gateway file does not let them.
    fn unfit(&mut self, file: &SourceFile, gateway: &Gateway, paths: &[PathBuf], candidates: &mut [Candidate]) {
        let names: Vec<String> = paths.iter().filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
        let policies = candidates.iter().filter_map(|candidate| Some((&candidate.file, candidate.policy.as_deref()?)));
        let mut of_file: HashMap<Arc<str>, Vec<Problem>> = HashMap::new();
        let nameless = config::groups_lookup::against(&gateway.idps, policies.clone());
        for problem in config::provisioning::against(file, &gateway.provisioning, &names, policies).into_iter().chain(nameless) {
            of_file.entry(Arc::clone(&problem.file.name)).or_default().push(problem);
        }
        self.report.problems.extend(of_file.remove(&file.name).unwrap_or_default());
        for candidate in candidates {
            let found = of_file.remove(&candidate.file.name).unwrap_or_default();
            if found.iter().any(|problem| problem.severity == Severity::Error) {
                candidate.policy = None;
            }
            candidate.problems.extend(found);
        }
    }

    fn connector_text(&mut self, path: &Path) -> Option<Arc<str>> {
        if let Some(known) = self.connector_texts.get(path) {
            return known.clone();
        }
        let text: Option<Arc<str>> = fs::read_to_string(path).ok().map(Arc::from);
        self.connector_texts.insert(path.to_owned(), text.clone());
        text
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.report.problems.push(unreadable(path, error));
    }

    /// A policy file as it is now; what was made of the very same text `before` is that of now. `None`: it is no policy but a connector.
    fn candidate(&mut self, path: &Path, around: Surroundings<'_>, gate: &Gate, before: Option<Candidate>) -> Option<Candidate> {
        self.files();
        let file = match fs::read_to_string(path) {
            Ok(text) => SourceFile::new(path.display().to_string(), text),
            Err(error) => {
                let problem = unreadable(path, &error);
                return Some(Candidate { file: problem.file.clone(), policy: None, problems: vec![problem], connector: None });
            }
        };
        if let Some(before) = before.filter(|before| before.file.text == file.text)
            && before.connector.as_ref().is_none_or(|(path, text)| self.connector_text(path) == *text)
        {
            return Some(before);
        }
        let written = parse(&file);
        if self.is_connector(&file, &written.0) {
            return None;
        }
        let connector = connector_in(&file, &written.0).map(|path| {
            let text = self.connector_text(&path);
            (path, text)
        });
        let said = self.report.problems.len();
        let policy = self.compiled_of(&file, written, around).map(Arc::new);
        let mut problems = self.report.problems.split_off(said);
        let failed = policy.iter().flat_map(|policy| gate(policy, &file)).collect::<Vec<_>>();
        let passed = !failed.iter().any(|problem| problem.severity == Severity::Error);
        problems.extend(failed);
        Some(Candidate { file, policy: policy.filter(|_| passed), problems, connector })
    }

    fn compiled(&mut self, file: &SourceFile, around: Surroundings<'_>) -> Option<Policy> {
        let parsed = parse(file);
        if self.is_connector(file, &parsed.0) { None } else { self.compiled_of(file, parsed, around) }
    }

    fn compiled_of(&mut self, file: &SourceFile, parsed: (Table, Vec<Problem>), around: Surroundings<'_>) -> Option<Policy> {
        let own = self.own_connector(file, &parsed.0);
        let connectors: Vec<_> = around.connectors.iter().cloned().chain(own).collect();
        let unread = self.unread_connector(file, &parsed.0);
        let (policy, mut problems) = policy::compile_parsed(file, parsed, Surroundings { connectors: &connectors, ..around });
        if let Some(why) = unread {
            own::at_its_line(&why, &mut problems);
        }
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
            let named = ends("toml") || ends("json");
            // A link to nowhere, or a folder: an app that is meant to be there is not silently left out.
            if named && !path.is_file() {
                self.unreadable(path, &io::Error::other("it is no file, or a link to nothing"));
            }
            named && path.is_file()
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

/// A folder of policies that cannot be read, told where the gateway file names it.
fn at_its_key(problem: Problem, over: &Overlaid) -> Problem {
    let Some(node) = over.tree.table("server").and_then(|server| server.node("policies")) else { return problem };
    let message = format!("{} {}", problem.file.name, problem.message);
    let place = Problem::error(problem.code, &over.file, node.span.clone(), message);
    problem.helps.into_iter().fold(place, Problem::help)
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
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
    problem.help(help)
}
