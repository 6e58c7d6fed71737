//! The gateway's parts at their boundaries, one binary: one file for each module of `src/`.

mod admin;
mod cli;
mod connector;
mod fake_admin;
mod fake_op;
mod forward;
mod house;
mod login;
mod oidc;
mod pages;
mod policy;
mod provision;
mod reload;
mod proxy;
mod request;
mod serve;
mod session;
mod state;
mod whole;
