//! The command line; one file a command.

mod audit;
mod check;
mod conformance;
mod connectors;
mod demo;
mod explain;
mod fmt;
mod help;
mod init;
mod keys;
mod plan;
mod reconcile;
mod reload;
mod schema;
mod serve;
mod sessions;
mod socket;
mod status;
mod table;
mod test;
mod users;
mod vouched;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Done, or yes.
pub const YES: u8 = 0;
/// The answer is no: problems were found.
pub const NO: u8 = 1;
/// It could not be done: a bad command line, no permission, no answer.
pub const COULD_NOT: u8 = 2;
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
    /// Make vestibule.toml and a first policy: asks six questions.
    Init {
        /// What to make.
        #[arg(value_enum, default_value_t = init::What::Files)]
        what: init::What,
        /// Where.
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        folder: PathBuf,
    },
    /// Find every problem in the configuration.
    Check(check::Arguments),
    /// Why a request is allowed or not, or what stood behind an incident code.
    Explain(explain::Arguments),
    /// Run the tests inside the policies.
    Test {
        /// The gateway's configuration file; the tests of its policies are run.
        #[arg(long, value_name = "FILE", default_value = "/etc/vestibule/vestibule.toml")]
        config: PathBuf,
        /// Only these policy files.
        #[arg(value_name = "POLICY")]
        files: Vec<PathBuf>,
        /// Show times, decisions and calls.
        #[arg(short, long)]
        verbose: bool,
        /// Show which rules no test reaches.
        #[arg(long)]
        coverage: bool,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// What provisioning would do for somebody, without doing it.
    Plan(plan::Question),
    /// Tidy the files: spaces, blank lines, aligned `=`; never what they say.
    Fmt {
        /// Change nothing; exit 1 when a file is not tidy.
        #[arg(long)]
        check: bool,
        /// The files; default: the gateway file and its policies.
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The gateway's configuration file.
        #[arg(long, value_name = "FILE", default_value = "/etc/vestibule/vestibule.toml")]
        config: PathBuf,
    },
    /// What is built in, and what it needs.
    Connectors {
        #[command(subcommand)]
        what: connectors::What,
    },
    /// JSON Schema of the files, for editors.
    Schema {
        /// Which file.
        which: schema::Which,
    },
    /// What a setting or a function does: `help on_existing`, `help access.groups`, `help slug`, `help policy`.
    Help {
        /// A key, a section, a function of expressions or a file.
        key: Option<String>,
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
    /// The people with accounts: list, show, approve, retry, forget.
    Users {
        #[command(subcommand)]
        what: users::What,
    },
    /// Who is signed in, and the end of it.
    Sessions {
        #[command(subcommand)]
        what: sessions::What,
    },
    /// What the identity tokens of applications are signed with.
    Keys {
        #[command(subcommand)]
        what: keys::What,
    },
    /// The audit log: search it, or see whether it is whole.
    Audit {
        #[command(subcommand)]
        what: audit::What,
    },
    /// Hold everybody who has an account against the policy and the app, without waiting for them to come.
    Reconcile(reconcile::Wish),
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
            let code = if error.use_stderr() { COULD_NOT } else { YES };
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::from(COULD_NOT) };
        }
    };
    ExitCode::from(match arguments.command {
        Command::Serve { config } => serve::serve(&config),
        Command::Init { what, folder } => init::run(what, &folder),
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Test { config, files, verbose, coverage, json } => test::run(&config, &files, test::Options { verbose, coverage, json }),
        Command::Plan(question) => plan::run(&question),
        Command::Fmt { check, files, config } => fmt::run(&config, &files, check),
        Command::Connectors { what } => connectors::run(&what),
        Command::Schema { which } => schema::run(which),
        Command::Reload { which, json } => reload::run(&which, json),
        Command::Status { which, json } => status::run(&which, json),
        Command::Help { key } => help::run(key.as_deref()),
        Command::Users { what } => users::run(&what),
        Command::Sessions { what } => sessions::run(&what),
        Command::Keys { what } => keys::run(&what),
        Command::Audit { what } => audit::run(&what),
        Command::Reconcile(wish) => reconcile::run(&wish),
        Command::Demo { check, port } => demo::run(check, port),
    })
}

/// The answer, to standard output; a reader that has gone away is no failure of ours. Returns the exit code.
fn print(text: &str) -> u8 {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => COULD_NOT,
        _ => YES,
    }
}

/// To the operator, beside the answer; a closed standard error is nobody's loss.
fn tell(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
