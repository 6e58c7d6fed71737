//! The gateway's parts at their boundaries: one file for each module of `src/`.

mod fake_op;
mod house;
mod login;
mod oidc;
mod session;
mod state;
