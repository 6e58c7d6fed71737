//! The gateway's parts at their boundaries, one binary: one file for each module of `src/`.

mod access;
mod admin;
mod bearer;
mod bounds;
mod check;
mod cli;
mod connector;
mod console;
mod engine;
mod explain;
mod fake_admin;
mod fake_op;
#[expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a fake that cannot be made fails the test")]
mod fake_saml;
mod forward;
mod house;
mod login;
mod oidc;
mod own;
mod pages;
mod policy;
mod provision;
mod reload;
mod proxy;
mod recorded;
mod rehearse;
mod request;
mod saml;
mod serve;
mod session;
mod settings;
mod sign_in;
mod state;
mod tools;
mod traces;
mod whole;
