//! **Vestibule**: the room between the street and the house.
//!
//! A reverse proxy that takes a stranger's coat at the door (single sign-on), makes sure that there is a bed for them inside (an account in the application,
//! made through the application's own admin API), and announces them (headers or a signed JWT). The application needs no change.
//!
//! # Three ways through the house
//!
//! **A request** ([`request`], one file a stage; the module's first lines are the path):
//!
//! ```text
//! TCP -> TLS -> RawRequest -> Routed -> Authenticated -> Authorized -> Provisioned -> UpstreamRequest -> response
//! ```
//!
//! Each stage owns the one before it and moves, so that forwarding without a decision, deciding without a session, or using a decision twice does not
//! compile (`tests/compile_fail/`). A public path is a rule that admits nobody in particular; there is no skip list.
//!
//! **A sign-in** ([`login`]): `begin -> PendingLogin (single use, survives many tabs) -> VerifiedAssertion -> Identity -> session`.
//! [`sso::VerifiedAssertion`] is made in `sso/oidc` and `sso/saml` and nowhere else.
//!
//! **An account** ([`provision`]): identity `--mapping-->` desired; the connector observes; [`plan`] compares three ways; one step is applied at a time, and
//! each outcome is recorded before the next.
//!
//! # The rooms, from the inside out
//!
//! Modules are declared in this order; who must not look at whom stands under the invariants.
//!
//! | | modules |
//! |---|---|
//! | core: data and functions; no IO, no clock, no random source | [`clock`] [`entropy`] [`fault`] [`identity`] [`source`] [`expr`] [`config`] [`policy`] [`plan`] |
//! | ports and adapters | [`outbound`] [`trace`] [`connector`] [`state`] [`session`] [`secrets`] [`signer`] [`sso`] |
//! | pipelines | [`pages`] [`provision`] [`rehearse`] [`kit`] [`login`] [`request`] |
//! | edges | [`observe`] [`proxy`] [`admin`] [`manual`] |
//! | composition root, the one place that names concrete adapters | [`app`] [`load`] [`reload`] |
//! | what starts it | [`cli`] [`demo`] |
//!
//! # Invariants
//!
//! `tests/architecture.rs` reads every line of `src/` and fails on a breach:
//!
//! * Core knows no IO: no tokio, hyper, rustls, sqlx, `std::fs`; `identity expr policy plan` not even `std::net`.
//! * Adapters do not know each other. A library's types stop at the files that wrap the library.
//! * `request` knows neither `sso` nor `login` nor a socket; `login` knows neither `connector` nor `proxy`.
//! * One door to an application: the client that reaches it is private to `proxy/forward.rs`, and takes only an [`request::UpstreamRequest`]. The admin-API client
//!   reaches only the configured base address, follows no redirect, and every read of it is bounded in bytes and time.
//! * What a person sees is a [`fault::PublicMessage`]: a closed enum without free text, and an incident code. Everything else goes to the log.
//! * Time and randomness are arguments ([`clock::Clock`], [`entropy::Entropy`]).

// core: data and functions
pub mod clock;
pub mod entropy;
pub mod fault;
pub mod identity;
pub mod source;
pub mod expr;
pub mod config;
pub mod policy;
pub mod plan;

// ports and adapters
pub mod outbound;
pub mod trace;
pub mod connector;
pub mod state;
pub mod session;
pub mod secrets;
pub mod signer;
pub mod sso;

// pipelines
pub mod pages;
pub mod provision;
pub mod rehearse;
pub mod kit;
pub mod login;
pub mod request;

// edges
pub mod observe;
pub mod proxy;
pub mod admin;
pub mod manual;

// composition root
pub mod app;
pub mod load;
pub mod reload;

// what starts it
pub mod cli;
pub mod demo;
