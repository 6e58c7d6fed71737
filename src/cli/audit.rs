//! `vestibule audit`: what was written down, and whether it is all still there.
//!
//! Lives here: the command line and the files that are meant. `verify.rs` looks whether they are as they were written, `search.rs` for what somebody asks about. Both
//! read files: they need no gateway that runs, and change nothing.

mod search;
mod verify;

use super::{COULD_NOT, tell};
use crate::app::look::key;
use crate::app::{Environment, StartError};
use crate::config::{AuditSink, Gateway};
use crate::load::untested;
use crate::state::seal::Sealer;
use clap::{Args, Subcommand};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// What is asked for.
#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Whether a line was changed, taken out or moved; exit 1 when one was.
    Verify {
        #[command(flatten)]
        files: Files,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// The events that fit.
    Search {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        wanted: search::Wanted,
        /// The lines as they were written.
        #[arg(long)]
        json: bool,
    },
}

/// The files that are read.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// Audit files, the oldest first; default: the one of `[audit] file`.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The gateway's configuration file, for `[audit]` and `[state] key`.
    #[arg(long, value_name = "FILE", default_value = "/etc/vestibule/vestibule.toml")]
    config: PathBuf,
}

/// Looks; returns the exit code.
pub(super) fn run(what: &What) -> u8 {
    let done = match what {
        What::Verify { files, json } => verify::run(files, *json),
        What::Search { files, wanted, json } => search::run(files, wanted, *json),
    };
    done.unwrap_or_else(|why| {
        tell(&format!("error: {why}\n"));
        COULD_NOT
    })
}

impl Files {
    /// The gateway that wrote them. Its policies need not be in order.
    fn gateway(&self) -> Result<Gateway, String> {
        let untested = untested(&self.config, &[]);
        untested.gateway.ok_or_else(|| untested.report.render().trim_start_matches("error: ").trim_end().to_owned())
    }

    /// Where they are.
    fn paths(&self, gateway: &Gateway) -> Result<Vec<PathBuf>, String> {
        if !self.files.is_empty() {
            return Ok(self.files.clone());
        }
        match &gateway.audit.sink {
            AuditSink::File(path) => Ok(vec![path.clone()]),
            AuditSink::Stdout => {
                Err("[audit] file = \"stdout\": audit events are where standard output goes; give the file that it was written to".to_owned())
            }
            AuditSink::Syslog(_) => {
                Err("[audit] file = \"syslog\": audit events are where the syslog daemon writes its facility authpriv".to_owned())
            }
            AuditSink::Journald(_) => Err(
                "[audit] file = \"journald\": `journalctl -t vestibule VESTIBULE_INCIDENT=CODE` (or VESTIBULE_ACTION, VESTIBULE_APP) finds events"
                    .to_owned(),
            ),
        }
    }

    /// The gateway's own file, where it is among those that are read.
    fn ours(&self, gateway: &Gateway) -> Option<PathBuf> {
        let AuditSink::File(path) = &gateway.audit.sink else { return None };
        let is_it = |file: &PathBuf| file == path || fs::canonicalize(file).is_ok_and(|file| fs::canonicalize(path).is_ok_and(|path| path == file));
        (self.files.is_empty() || self.files.iter().any(is_it)).then(|| path.clone())
    }
}

/// What opens what the gateway seals.
fn sealer(gateway: &Gateway) -> Result<Sealer, String> {
    let environment: Environment = Arc::new(|name| std::env::var_os(name));
    key(gateway, &environment).map_err(|error: StartError| format!("{error}\n  audit files are written under [state] key"))
}
