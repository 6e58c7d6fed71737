//! `vestibule schema`: JSON Schema of both files, for editors.

use super::print;
use crate::config::schema::GATEWAY;
use crate::manual::json_schema::json_schema;
use crate::policy::schema::POLICY;
use clap::ValueEnum;

/// Which file.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Which {
    /// vestibule.toml
    Gateway,
    /// A policy file.
    Policy,
}

/// Prints the schema; returns the exit code.
pub(super) fn run(which: Which) -> u8 {
    let schema = match which {
        Which::Gateway => json_schema("Vestibule: gateway file", &GATEWAY),
        Which::Policy => json_schema("Vestibule: policy file", &POLICY),
    };
    print(&format!("{schema:#}\n"))
}
