//! The desk with a real store and an app that fails, stalls and conflicts on demand. Named after attacks.md J where it is one of those.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod apps;
mod engines;
mod faults;
mod kills;
mod leaving;
mod named;
mod people;
mod rehearsal;
mod rows;
mod steady;
mod switches;
mod world;
