//! `vestibule keys`: what a running gateway signs the identity JWTs of applications with.

use super::print;
use super::socket::{Door, Which as Where};
use super::table::Table;
use crate::clock::Timestamp;
use crate::observe::audit::rfc3339;
use crate::signer::{KeyState, ListedKey};
use clap::Subcommand;
use serde_json::json;

/// What is asked for.
#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Every key, the newest first.
    List {
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: Where,
    },
    /// Make a new key; the old one signs until applications can have fetched the new one.
    Rotate {
        /// For programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: Where,
    },
}

/// Asks, prints; returns the exit code.
pub(super) fn run(what: &What) -> u8 {
    let (keys, as_json, rotated) = match what {
        What::List { json, at } => (Door::find(at).look::<Vec<ListedKey>>("/api/v1/keys"), *json, false),
        What::Rotate { json, at } => (Door::find(at).act::<Vec<ListedKey>>("/api/v1/keys/rotate", &json!({})), *json, true),
    };
    let keys = match keys {
        Ok(keys) => keys,
        Err(failed) => return failed.tell(),
    };
    if as_json {
        return print(&format!("{:#}\n", json!(keys)));
    }
    let said = if rotated { after(&keys) } else { String::new() };
    print(&(text(&keys) + &said))
}

fn text(keys: &[ListedKey]) -> String {
    let mut table = Table::default();
    table.row(["KEY", "MADE", "STATE"].map(str::to_owned));
    let moment = |seconds: i64| rfc3339(Timestamp::from_seconds(seconds)).get(..16).unwrap_or_default().replace('T', " ") + " UTC";
    for key in keys {
        let state = match key.state {
            KeyState::Coming => format!("published, signs from {}", moment(key.signs_from)),
            KeyState::Signs => "signs".to_owned(),
            KeyState::Leaving => key.withdrawn_at.map_or_else(String::new, |at| format!("published until {}", moment(at))),
            KeyState::Withdrawn => "withdrawn".to_owned(),
        };
        table.row([key.kid.clone(), moment(key.made_at), state]);
    }
    table.render()
}

fn after(keys: &[ListedKey]) -> String {
    let is_coming = keys.first().is_some_and(|key| key.state == KeyState::Coming);
    let when = if is_coming { "Tokens are still signed with the old key for 10 minutes, so that applications can fetch the new one.\n" } else { "" };
    format!("{when}[state] key and sessions are not affected.\n")
}
