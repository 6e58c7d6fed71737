//! The edge that speaks HTTP: downstream to browsers, upstream to applications.
//!
//! One runtime per core, each with its own listener (`SO_REUSEPORT`) and its own pool of upstream connections: nothing of the hot path
//! crosses cores (`worker.rs`). `listen.rs` binds, `tls.rs` has the certificates, `serve.rs` runs connections, `answer.rs` takes one request
//! through [`crate::request::walk`] and back, `forward.rs` is the one door to an application: the client in `pool.rs` is private to it, and
//! so is `forward/heal.rs`, which is what happens when an application does not know whom it is told.
#![expect(clippy::future_not_send, reason = "a worker's futures never leave its thread; that is the point of one runtime per core")]

mod answer;
mod body;
pub mod certificate;
mod forward;
mod leash;
pub mod listen;
mod local;
mod pool;
pub mod redirect;
mod seen;
mod serve;
mod sign_out;
mod streams;
pub mod tls;
mod tunnel;
mod visitors;
pub mod worker;

pub use visitors::Visitors;
pub use worker::{Shared, Worker};
