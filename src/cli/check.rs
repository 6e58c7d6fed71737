//! `vestibule check`: every problem of the configuration, in one pass; with `--online`, of what it refers to as well; with `--effective`, what it comes to.

use super::{BUG, COULD_NOT, NO, YES};
use crate::app::online::{self, Look};
use crate::clock::{Clock as _, SystemClock};
use crate::config::environment::overlay;
use crate::config::schema::GATEWAY;
use crate::load::{self, Checked, Loaded, UNREADABLE};
use crate::policy::Policy;
use crate::policy::schema::POLICY;
use crate::source::effective::effective;
use crate::source::format::Format;
use crate::source::{Problem, Report, Severity, SourceFile, parse};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the gateway file usually is.
const USUAL: &str = "/etc/vestibule/vestibule.toml";

/// What may be asked.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The gateway's configuration file; its policies are checked with it.
    #[arg(long, value_name = "FILE", default_value = USUAL)]
    config: PathBuf,
    /// Only these policy files; with --online, also hosts or names of apps.
    #[arg(value_name = "POLICY")]
    files: Vec<PathBuf>,
    /// Look at what the files refer to as well: providers, applications, admin APIs, certificates, secrets. Changes nothing anywhere.
    #[arg(long)]
    online: bool,
    /// Print every value that holds and where it comes from: a file, the environment, a default.
    #[arg(long, conflicts_with = "online")]
    effective: bool,
    /// How problems are printed.
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = Format::NAMES)]
    format: String,
}

impl Arguments {
    /// What one app needs of the world: its provider, its upstream, its admin API with the real credential. `connectors test` asks the same.
    pub(super) fn of_app(config: &Path, app: &str) -> Self {
        Self { config: config.to_owned(), files: vec![PathBuf::from(app)], online: true, effective: false, format: "text".to_owned() }
    }
}

/// Prints every problem; returns the exit code.
pub(super) fn run(arguments: &Arguments) -> u8 {
    let format = Format::parse(&arguments.format).unwrap_or_default();
    if arguments.effective {
        return show_effective(arguments, format);
    }
    if arguments.online {
        return look_online(arguments, format);
    }
    let report = match arguments.files.as_slice() {
        [] => {
            let Checked { mut report, gateway, .. } = load::checked(&arguments.config);
            report.problems.extend(gateway.iter().flat_map(|(gateway, over)| online::ending(gateway, over, SystemClock.now())));
            report
        }
        // Beside the gateway file where there is one, or where one is named: what a policy may say hangs on it.
        files if arguments.config.exists() || arguments.config != Path::new(USUAL) => beside(&arguments.config, files),
        files => load::check_files(files),
    };
    tell(&report, format, None)
}

/// What is wrong with these files among all that the gateway file names; those that are none of its policies are looked at by themselves.
fn beside(config: &Path, files: &[PathBuf]) -> Report {
    let same = |name: &str| files.iter().any(|path| is_same(Path::new(name), path));
    let Checked { report: mut whole, files: known, .. } = load::checked(config);
    let strangers: Vec<PathBuf> = files.iter().filter(|path| !known.iter().any(|name| is_same(name, path))).cloned().collect();
    let broken = |problem: &Problem| problem.severity == Severity::Error && is_same(Path::new(&*problem.file.name), config);
    whole.problems.retain(|problem| same(&problem.file.name) || broken(problem));
    whole.files = files.len();
    if !strangers.is_empty() {
        whole.problems.extend(load::check_files(&strangers).problems);
    }
    whole
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// Prints `report`; the exit code that it means.
fn tell(report: &Report, format: Format, ok: Option<&[String]>) -> u8 {
    let unreadable = report.problems.iter().any(|problem| problem.code == UNREADABLE);
    if !say(&report.format(format, ok)) || unreadable {
        return COULD_NOT;
    }
    if report.errors() == 0 { YES } else { NO }
}

fn say(text: &str) -> bool {
    io::stdout().lock().write_all(text.as_bytes()).is_ok()
}

/// `--online`: files first; what is in order there is looked at where it points to.
fn look_online(arguments: &Arguments, format: Format) -> u8 {
    let variables = load::variables();
    let loaded = match load::load_over(&arguments.config, &variables) {
        Ok(loaded) => loaded,
        Err(report) => return tell(&report, format, None),
    };
    let Loaded { gateway, policies, report, .. } = loaded;
    let narrow = !arguments.files.is_empty();
    let mut chosen: Vec<Arc<Policy>> = Vec::new();
    for word in &arguments.files {
        let found = choose(&policies, word);
        if found.is_empty() {
            return nothing_chosen(&report, &policies, word, format);
        }
        chosen.extend(found);
    }
    let chosen = if narrow { chosen } else { policies };
    let Ok(text) = fs::read_to_string(&arguments.config) else { return COULD_NOT };
    let look = Look {
        file: overlay(&SourceFile::new(arguments.config.display().to_string(), text), &variables),
        gateway,
        policies: chosen.iter().map(|policy| (source(&policy.file), Arc::clone(policy))).collect(),
        narrow,
        environment: Arc::new(|name| std::env::var_os(name)),
        clock: Arc::new(SystemClock),
    };
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() else { return BUG };
    let found = runtime.block_on(online::look(look));
    // A name that is still being resolved does not keep anybody waiting.
    runtime.shutdown_background();
    let about_chosen = |problem: &Problem| !narrow || chosen.iter().any(|policy| policy.file == *problem.file.name);
    let files = if narrow { 1 + chosen.len() } else { report.files };
    let problems = report.problems.into_iter().filter(about_chosen).chain(found.problems).collect();
    tell(&Report { problems, files }, format, Some(&found.ok))
}

/// The policies that a word means: by file, host or name of the app, or by the beginning of exactly one host.
fn choose(policies: &[Arc<Policy>], word: &Path) -> Vec<Arc<Policy>> {
    let written = word.to_string_lossy().to_ascii_lowercase();
    let same_file = |policy: &Policy| fs::canonicalize(word).is_ok_and(|path| fs::canonicalize(&policy.file).is_ok_and(|other| other == path));
    let exact: Vec<Arc<Policy>> =
        policies.iter().filter(|policy| policy.host == written || policy.name == written || same_file(policy)).cloned().collect();
    if !exact.is_empty() {
        return exact;
    }
    let mut beginning = policies.iter().filter(|policy| policy.host.starts_with(&written));
    match (beginning.next(), beginning.next()) {
        (Some(one), None) => vec![Arc::clone(one)],
        _ => Vec::new(),
    }
}

/// A policy that is not there, or has errors.
fn nothing_chosen(report: &Report, policies: &[Arc<Policy>], word: &Path, format: Format) -> u8 {
    if report.errors() > 0 {
        return tell(report, format, None);
    }
    let hosts: Vec<&str> = policies.iter().map(|policy| policy.host.as_str()).collect();
    let message = format!("error: there is no policy `{}`; there are: {}\n", word.display(), hosts.join(", "));
    super::tell(&message);
    COULD_NOT
}

/// A policy's file, for the places of what is found; without a text everything is about the whole file.
fn source(name: &str) -> SourceFile {
    SourceFile::new(name, fs::read_to_string(name).unwrap_or_default())
}

/// `--effective`: the gateway file and every policy, or only the policies that are named. With errors there is nothing to show but them.
fn show_effective(arguments: &Arguments, format: Format) -> u8 {
    let (mut parts, paths) = (Vec::new(), arguments.files.iter().map(|path| path.display().to_string()));
    let paths: Vec<String> = if arguments.files.is_empty() {
        let variables = load::variables();
        let loaded = match load::load_over(&arguments.config, &variables) {
            Ok(loaded) if loaded.report.errors() == 0 => loaded,
            Ok(Loaded { report, .. }) | Err(report) => return tell(&report, format, None),
        };
        let Ok(text) = fs::read_to_string(&arguments.config) else { return COULD_NOT };
        let over = overlay(&SourceFile::new(arguments.config.display().to_string(), text), &variables);
        parts.push((over.file.name.to_string(), effective(&over.tree, &GATEWAY, &|span| over.origin(span))));
        loaded.policies.iter().map(|policy| policy.file.clone()).collect()
    } else {
        let report = load::check_files(&arguments.files);
        if report.errors() > 0 {
            return tell(&report, format, None);
        }
        paths.collect()
    };
    for path in paths {
        let file = source(&path);
        let (tree, _) = parse(&file);
        parts.push((path, effective(&tree, &POLICY, &|span| file.place(span))));
    }
    let parts: Vec<String> = parts.into_iter().map(|(name, text)| format!("# ---- {name}\n{text}")).collect();
    if say(&parts.join("\n")) { YES } else { COULD_NOT }
}
