//! `vestibule connectors test`: a connector through the conformance kit, or one app as `check --online` looks at it.

use super::{COULD_NOT, NO, YES, check, connectors, print, tell};
use crate::app::admin_reader;
use crate::clock::SystemClock;
use crate::connector::builtin::named;
use crate::connector::model::Model;
use crate::entropy::OsEntropy;
use crate::kit::live::{self, Live, Played};
use crate::kit::{Dialect, connector_of, dialects, run as play, scripted, show};
use crate::load::untested_file;
use crate::source::{Problem, SourceFile};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Returns the exit code.
pub(super) fn run(name: &str, dialect: Option<&Path>, json: bool, config: &Path) -> u8 {
    let is_file = is_file(name);
    // `scim-okta` is the connector `scim`, played by an app that speaks it as Okta does.
    let variant = dialects().contains(&name).then(|| connector_of(name));
    let model = if is_file { read(name) } else { named(variant.unwrap_or(name)).ok_or_else(String::new) };
    let model = match model {
        Ok(model) => model,
        Err(why) if is_file => {
            tell(&format!("{}\n", why.trim_end()));
            return COULD_NOT;
        }
        // Nor an app: there is no gateway whose app it could be.
        Err(_) if !config.exists() => {
            tell(&format!("{}note: nor is it an app of a gateway: there is no {}\n", connectors::unknown(name), config.display()));
            return COULD_NOT;
        }
        Err(_) => return check::run(&check::Arguments::of_app(config, name)),
    };
    let played = if variant.is_some() { name } else { model.name.as_str() };
    match tested(&model, played, dialect) {
        Ok(rows) => {
            let text = if json { format!("{:#}\n", show::json(played, &rows)) } else { show::table(played, &rows) };
            let code = print(&text);
            if code == YES && !show::is_good(&rows) { NO } else { code }
        }
        Err(why) => {
            tell(&format!("{why}\n"));
            COULD_NOT
        }
    }
}

/// The same with the running app of a policy.
pub(super) fn run_live(name: &str, policy: &Path, groups: &[String], json: bool) -> u8 {
    match played(name, policy, groups) {
        Ok(Played { rows, left }) => {
            let mut shown = show::json(name, &rows);
            if let Some(shown) = shown.as_object_mut() {
                shown.insert("left".to_owned(), left.clone().into());
            }
            let text = if json { format!("{shown:#}\n") } else { show::table(name, &rows) };
            let code = print(&text);
            if !left.is_empty() {
                tell(&format!("left behind at the app: {}\n", left.join(", ")));
            }
            if code == YES && !show::is_good(&rows) { NO } else { code }
        }
        Err(why) => {
            tell(&format!("{}\n", why.trim_end()));
            COULD_NOT
        }
    }
}

fn played(name: &str, policy: &Path, groups: &[String]) -> Result<Played, String> {
    let policy = untested_file(policy, None).map_err(|report| report.render_with(""))?;
    let connector = policy.provision.as_ref().map(|provision| provision.connector.name.clone()).unwrap_or_default();
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
    if connector != name && connector != stem {
        return Err(format!("error: {} provisions by connector `{connector}`, not by `{name}`", policy.file));
    }
    let real = admin_reader(&policy).map_err(|error| format!("error: {error}"))?.ok_or("error: the policy makes no accounts")?;
    let live = Live {
        policy,
        transport: real.transport,
        credential: real.credential,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy::default()),
        groups: groups.to_vec(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(live::play(&live))
}

/// Whether a connector file is named, and no connector.
pub(super) fn is_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "toml")
}

/// A connector file of one's own.
pub(super) fn read(path: &str) -> Result<Arc<Model>, String> {
    let file = source(Path::new(path))?;
    let (model, problems) = Model::parse(&file);
    model.map(Arc::new).ok_or_else(|| problems.iter().map(Problem::render).collect())
}

fn tested(model: &Arc<Model>, app: &str, dialect: Option<&Path>) -> Result<Vec<crate::kit::Row>, String> {
    let dialect = match dialect {
        Some(path) => Arc::new(Dialect::parse(&source(path)?)?),
        None => scripted(app).ok_or_else(|| {
            let known = dialects().join(", ");
            format!("there is no scripted app for connector `{app}`\nhelp: --dialect FILE; built in: {known}")
        })??,
    };
    play(model, &dialect)
}

fn source(path: &Path) -> Result<SourceFile, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(SourceFile::new(path.display().to_string(), text))
}
