//! `vestibule help KEY`: what a setting does, without leaving the terminal.

use super::{NO, print, tell};
use crate::manual::help;

/// Prints what the tables know of `asked`; without it, where to begin. Returns the exit code.
pub(super) fn run(asked: Option<&str>) -> u8 {
    let Some(asked) = asked else {
        return print(BEGIN);
    };
    match help::help(asked) {
        Ok(text) => print(&text),
        Err(near) => {
            let hint = near.map_or_else(
                || "help: `vestibule help policy` and `vestibule help gateway` list every setting".to_owned(),
                |near| format!("help: did you mean `{near}`?"),
            );
            tell(&format!("there is no setting or function `{asked}`\n{hint}\n"));
            NO
        }
    }
}

const BEGIN: &str = "\
vestibule help KEY          a setting: on_existing, access.groups, [provision]; or a function of expressions: slug
vestibule help writing      the language: rules, names, functions, tests, accounts, secrets
vestibule help policy       every setting of a policy file
vestibule help gateway      every setting of vestibule.toml
vestibule connectors list   the apps whose admin API is built in
vestibule --help            the commands
";
