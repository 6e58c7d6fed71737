//! **Vestibule**: the room between the street and the house.
//!
//! A reverse proxy that signs people in, makes sure that they have an account in the application behind it, and announces them to it.
//! (Map and invariants: to be written with the last stone.)

// core: data and functions
pub mod clock;
pub mod config;
pub mod entropy;
pub mod expr;
pub mod fault;
pub mod identity;
pub mod plan;
pub mod policy;
pub mod source;
// ports and adapters
pub mod connector;
pub mod outbound;
pub mod secrets;
pub mod session;
pub mod signer;
pub mod sso;
pub mod state;
// pipelines
pub mod login;
pub mod pages;
pub mod provision;
pub mod request;
// edges
pub mod observe;
pub mod proxy;
pub mod admin;
pub mod cli;
pub mod demo;
// composition root
pub mod app;
