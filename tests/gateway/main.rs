//! The gateway's parts at their boundaries, one binary: one file for each module of `src/`.

mod admin;
mod bearer;
mod check;
mod cli;
mod connector;
mod explain;
mod fake_admin;
mod fake_op;
mod forward;
mod house;
mod login;
mod oidc;
mod own;
mod pages;
mod policy;
mod provision;
mod proxy;
mod recorded;
mod rehearse;
mod request;
mod serve;
mod session;
mod settings;
mod state;
mod tools;
mod whole;
