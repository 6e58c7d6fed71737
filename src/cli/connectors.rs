//! `vestibule connectors`: what is built in, and what it needs.

use super::{COULD_NOT, NO, conformance, print, tell};
use crate::connector::builtin::{builtin, named};
use crate::connector::model::Model;
use crate::kit::dialects;
use crate::manual::pages;
use crate::source::value::nearest;
use clap::Subcommand;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// What is asked for.
#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Every connector, a line each.
    List {
        /// Part of a name or summary.
        search: Option<String>,
        /// Only those that can do all of these, e.g. create,disable,membership.
        #[arg(long, value_delimiter = ',', value_name = "WHAT,…")]
        supports: Vec<String>,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// What one needs and can do, and what to set in the app.
    Show {
        /// Its name, or a connector file (`./mine.toml`).
        name: String,
    },
    /// Play every scenario of the conformance kit with a connector; or look at one app of this gateway, as `check --online HOST` does.
    Test {
        /// A connector that is built in, a connector file (`./mine.toml`), or the host or name of an app.
        name: String,
        /// The scripted app to play against, as a file; default: the one that is built in for the connector.
        #[arg(long, value_name = "FILE")]
        dialect: Option<PathBuf>,
        /// Play with the running app of this policy file instead: accounts are made there, and removed again or switched off.
        #[arg(long, value_name = "POLICY", conflicts_with = "dialect")]
        live: Option<PathBuf>,
        /// A group of the sign-in that brings a membership by that policy; a second one, for what somebody else has given by hand.
        #[arg(long, value_name = "NAME", requires = "live")]
        group: Vec<String>,
        /// For machines.
        #[arg(long)]
        json: bool,
        /// The gateway's configuration file, for an app.
        #[arg(long, value_name = "FILE", default_value = "/etc/vestibule/vestibule.toml")]
        config: PathBuf,
    },
}

/// Answers; returns the exit code.
pub(super) fn run(what: &What) -> u8 {
    match what {
        What::List { search, supports, json } => list(search.as_deref(), supports, *json),
        What::Show { name } => show(name),
        What::Test { name, live: Some(policy), group, json, .. } => conformance::run_live(name, policy, group, *json),
        What::Test { name, dialect, json, config, .. } => conformance::run(name, dialect.as_deref(), *json, config),
    }
}

fn list(search: Option<&str>, supports: &[String], as_json: bool) -> u8 {
    let found: Vec<&Model> = builtin().iter().map(AsRef::as_ref).filter(|model| is_meant(model, search) && can_all(model, supports)).collect();
    if as_json {
        let rows: Vec<Value> = found.iter().map(|model| row(model)).collect();
        return print(&format!("{:#}\n", Value::Array(rows)));
    }
    if found.is_empty() {
        tell("no connector fits; an app without one takes connector = \"rest\" and its own steps: `vestibule help provision`\n");
        return NO;
    }
    let width = found.iter().map(|model| model.name.len()).max().unwrap_or_default().max(9);
    let mut out = format!("{:width$}  {:<10}  {:<22}  {:<10}  PROVEN WITH\n", "CONNECTOR", "JIT", "DISABLE", "MEMBERSHIP");
    for model in found {
        let can = pages::capabilities(model);
        let yes = |what: &str| if can.iter().any(|one| one.starts_with(what)) { "yes" } else { "-" };
        // The longest is `memberships taken away`.
        let how = can
            .iter()
            .find_map(|one| one.strip_prefix("disable"))
            .map_or("-", |how| if how.is_empty() { "yes" } else { how.trim_matches([' ', '(', ')']) });
        let jit = if model.name == "rest" { "your steps" } else { yes("create") };
        let proven = match model.tested_with.as_slice() {
            [] if dialects().contains(&model.name.as_str()) => "a scripted app".to_owned(),
            [] => "-".to_owned(),
            apps => apps.join(", "),
        };
        // Writing to a String cannot fail.
        let _infallible = writeln!(out, "{:width$}  {jit:<10}  {how:<22}  {:<10}  {proven}", model.name, yes("membership"));
    }
    print(&out)
}

fn is_meant(model: &Model, search: Option<&str>) -> bool {
    let text = format!("{} {}", model.name, model.summary).to_lowercase();
    search.is_none_or(|search| text.contains(&search.to_lowercase()))
}

fn can_all(model: &Model, supports: &[String]) -> bool {
    let can = pages::capabilities(model);
    supports.iter().all(|wanted| can.iter().any(|one| one.starts_with(wanted.trim())))
}

fn row(model: &Model) -> Value {
    json!({
        "name": model.name,
        "summary": model.summary,
        "proven_with": model.tested_with,
        "supports": pages::capabilities(model),
        "attributes": model.attributes.iter().map(|one| json!({ "name": one.name, "required": one.required, "locked": one.locked })).collect::<Vec<_>>(),
    })
}

fn show(name: &str) -> u8 {
    if let Some(model) = named(name) {
        return print(&pages::connector(&model));
    }
    if conformance::is_file(name) {
        return match conformance::read(name) {
            Ok(model) => print(&pages::connector(&model)),
            Err(why) => {
                tell(&format!("{}\n", why.trim_end()));
                COULD_NOT
            }
        };
    }
    tell(&unknown(name));
    NO
}

/// That there is no connector called `name`, with the nearest one.
pub(super) fn unknown(name: &str) -> String {
    let near = nearest(name, builtin().iter().map(|model| model.name.as_str()).chain(dialects()));
    let hint = near.map_or_else(|| "help: `vestibule connectors list`".to_owned(), |near| format!("help: did you mean `{near}`?"));
    format!("there is no connector `{name}`\n{hint}\n")
}
