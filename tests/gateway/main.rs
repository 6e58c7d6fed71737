//! The gateway's parts at their boundaries, one binary: one file for each module of `src/`.

mod connector;
mod fake_admin;
mod fake_op;
mod house;
mod login;
mod oidc;
mod pages;
mod policy;
mod provision;
mod session;
mod state;
