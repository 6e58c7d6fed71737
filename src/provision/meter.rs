//! How long jobs take and what they stumble over, for whoever counts.
//!
//! Lives here: [`Meter`], the port, and [`Timings`] of the steps of one job. Apart because jobs must not know how counters are kept (`observe/`).

use crate::plan::Step;

/// Steps remembered of one job; a person in hundreds of groups is told by the first of them.
const STEPS_MAX: usize = 40;

/// Counts what becomes of jobs. `action` is one of `create`, `adopt`, `update` and `ensure` (it did not come to one of these).
pub trait Meter: Send + Sync + std::fmt::Debug {
    /// A job has ended, well or not, after `elapsed_ms` milliseconds, waiting included.
    fn ended(&self, app: &str, action: &'static str, elapsed_ms: i64);
    /// A step did not go well: `find`, `get`, `create`, `update`, `enable`, `add`, `remove`; `code` is the [word](crate::connector::Outcome::word) of the outcome.
    fn step_failed(&self, app: &str, step: &'static str, code: &'static str);
    /// A first sign-in got its account later than `[provision] slo`.
    fn slo_missed(&self, app: &str);
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMeter;

impl Meter for NoMeter {
    fn ended(&self, _: &str, _: &'static str, _: i64) {}
    fn step_failed(&self, _: &str, _: &'static str, _: &'static str) {}
    fn slo_missed(&self, _: &str) {}
}

/// What the steps of one job took.
#[derive(Debug, Default)]
pub(super) struct Timings(Vec<(String, i64)>);

impl Timings {
    /// Notes that `step` took `ms` milliseconds.
    pub(super) fn note(&mut self, step: impl Into<String>, ms: i64) {
        if self.0.len() < STEPS_MAX {
            self.0.push((step.into(), ms));
        }
    }

    /// `waiting 0 ms, find 120 ms, create 2900 ms`.
    pub(super) fn told(&self) -> String {
        self.0.iter().map(|(step, ms)| format!("{step} {ms} ms")).collect::<Vec<_>>().join(", ")
    }
}

/// A step's kind as a label: no names of groups.
pub(super) const fn kind(step: &Step) -> &'static str {
    match step {
        Step::Create(_) => "create",
        Step::Update(_) => "update",
        Step::Enable => "enable",
        Step::Add { .. } => "add",
        Step::Remove { .. } => "remove",
    }
}
