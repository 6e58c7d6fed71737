//! The desk with a real store and an app that fails, stalls and conflicts on demand. Named after attacks.md J where it is one of those.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod apps;
mod back_again;
mod bridging;
mod crowd;
mod doubts;
mod engines;
mod faults;
mod gone;
mod half_made;
mod killed;
mod kills;
mod leaving;
mod linking;
mod morning;
mod named;
mod people;
mod process;
mod refusals;
mod rehearsal;
mod renaming;
mod rows;
mod socket;
mod steady;
mod stock;
mod switches;
mod told;
mod tokens;
mod world;
