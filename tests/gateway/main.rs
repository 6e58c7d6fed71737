//! The gateway's parts at their boundaries, one binary: one file for each module of `src/`.

mod policy;
mod provision;
mod session;
mod state;
