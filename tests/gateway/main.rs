//! The gateway's parts at their boundaries: one file for each module of `src/`.

mod session;
mod state;
