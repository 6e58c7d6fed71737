//! The command line; one file a command.

mod check;
mod demo;
mod reload;
mod serve;
mod socket;
mod status;
mod table;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Done, or yes.
pub const YES: u8 = 0;
/// The answer is no: problems were found.
pub const NO: u8 = 1;
/// It could not be done.
pub const COULD_NOT: u8 = 2;
/// A bad command line (`EX_USAGE` of sysexits).
pub const USAGE: u8 = 64;
/// A bug of ours (`EX_SOFTWARE`).
pub const BUG: u8 = 70;
/// Bad configuration (`EX_CONFIG`); the unit file does not restart on it.
pub const CONFIG: u8 = 78;

/// Single sign-on at the door, and an account in the app before the person gets there.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve {
        /// The gateway's configuration file.
        #[arg(long, value_name = "FILE", default_value = "/etc/vestibule/vestibule.toml")]
        config: PathBuf,
    },
    /// Find every problem in the configuration.
    Check {
        /// The gateway's configuration file; its policies are checked with it.
        #[arg(long, value_name = "FILE", default_value = "/etc/vestibule/vestibule.toml")]
        config: PathBuf,
        /// Only these policy files.
        #[arg(value_name = "POLICY")]
        files: Vec<PathBuf>,
    },
    /// Check the configuration of a running gateway again, then swap; or say why not.
    Reload {
        #[command(flatten)]
        which: socket::Which,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// What a running gateway has loaded, what is up and what is pending.
    Status {
        #[command(flatten)]
        which: socket::Which,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Gateway, identity provider and two legacy apps on this machine, in one process.
    Demo {
        /// Drive the whole story headless, print a line for each step, exit 0 or 1.
        #[arg(long)]
        check: bool,
        /// Port of the gateway on loopback; the provider takes the next one. 0: any free port.
        #[arg(long, value_name = "PORT", default_value_t = 8080)]
        port: u16,
    },
}

/// Runs a command line; returns the process's exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are not errors; clap prints both where they belong.
            let code = if error.use_stderr() { USAGE } else { YES };
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::from(COULD_NOT) };
        }
    };
    ExitCode::from(match arguments.command {
        Command::Serve { config } => serve::serve(&config),
        Command::Check { config, files } => check::run(&config, &files),
        Command::Reload { which, json } => reload::run(&which, json),
        Command::Status { which, json } => status::run(&which, json),
        Command::Demo { check, port } => demo::run(check, port),
    })
}
