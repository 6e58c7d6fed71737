//! What would happen, without its happening.
//!
//! Lives here: the tests that a policy carries ([`test`](mod@test), which gate its load), what no test reaches ([`coverage`]) and what provisioning would do for a person
//! ([`plan`]). All of it is played by the functions of live traffic: `policy::evaluate`, `policy::mapping`, the [`Desk`](crate::provision::Desk) and the
//! connector's own engine. What is not real is at the edges: the application ([`app`]), the records ([`records`]), the signer, the clock. There is
//! no second engine.
//!
//! It must never write anything anywhere: not to an application, not to the store, not to a log that says something happened.

mod answer;
pub mod app;
mod because;
pub mod coverage;
mod expect;
pub mod people;
pub mod perform;
pub mod person;
pub mod plan;
pub mod records;
mod sent;
pub mod show;
pub mod test;

pub use because::Because;
pub use test::{gate, run};

#[cfg(test)]
mod tests;
