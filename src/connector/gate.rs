//! What stands between an engine and one admin API: how many calls at once, how many a second, whether any at all.
//!
//! Lives here: [`Gate`] and its lanes. `breaker.rs` says whether the API is left alone, `rate.rs` how fast it is called, `budget.rs` how much may be done again.
//! Those three are pure: the time is an argument. Apart because none of it depends on what is asked; it never knows a step, an account or a person.

mod breaker;
mod budget;
mod rate;

pub(super) use breaker::{Asked, Probed};
pub use breaker::{BreakerState, Health};

use crate::clock::{Clock, Timestamp};
use breaker::Breaker;
use budget::Budget;
use rate::Rate;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Who waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lane {
    /// A person in front of a page.
    #[default]
    Interactive,
    /// Nobody: a reconcile, a refresh, a removal.
    Background,
}

/// What one admin API is given to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Calls under way at once for people; work in the background has half as many of its own.
    pub concurrency: usize,
    /// Calls a second, both lanes together; `None`: as fast as it answers.
    pub per_second: Option<u32>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { concurrency: 8, per_second: None }
    }
}

/// The gate to one admin API.
#[derive(Debug)]
pub(super) struct Gate {
    /// Lanes of their own: however much is queued in one, the other does not wait for it.
    people: Semaphore,
    background: Semaphore,
    rate: Option<Mutex<Rate>>,
    breaker: Mutex<Breaker>,
    budget: Mutex<Budget>,
    /// Until then nothing is asked in the background: the app has said so.
    wished: Mutex<Option<Timestamp>>,
}

impl Gate {
    pub(super) fn new(bounds: Bounds) -> Self {
        let people = bounds.concurrency.clamp(1, Semaphore::MAX_PERMITS / 2);
        Self {
            people: Semaphore::new(people),
            background: Semaphore::new((people / 2).max(1)),
            rate: bounds.per_second.map(|per_second| Mutex::new(Rate::new(per_second))),
            breaker: Mutex::default(),
            budget: Mutex::default(),
            wished: Mutex::default(),
        }
    }

    /// Whether the API may be asked at all.
    pub(super) fn ask(&self, lane: Lane, now: Timestamp) -> Asked {
        let wished = lock(&self.wished).filter(|until| lane == Lane::Background && now < *until);
        match wished {
            Some(until) => Asked::No { wait_ms: u64::try_from(until.since_ms(now)).unwrap_or(0), bad_credential: false },
            None => lock(&self.breaker).ask(now),
        }
    }

    /// Waits for a place and for its second; `None` when there is none within `patience_ms`. Nothing was sent then.
    pub(super) async fn enter(&self, lane: Lane, clock: &dyn Clock, patience_ms: u64) -> Option<SemaphorePermit<'_>> {
        let waiting = async {
            let places = match lane {
                Lane::Interactive => &self.people,
                Lane::Background => &self.background,
            };
            let place = places.acquire().await.ok()?;
            while let Some(rate) = &self.rate {
                let taken = lock(rate).take(lane, clock.now());
                match taken {
                    Ok(()) => break,
                    Err(wait_ms) => tokio::time::sleep(Duration::from_millis(wait_ms)).await,
                }
            }
            Some(place)
        };
        let place = tokio::time::timeout(Duration::from_millis(patience_ms), waiting).await.ok()??;
        lock(&self.budget).called();
        Some(place)
    }

    /// A call came to an answer, or to none. Says so when the API is left alone from now on.
    pub(super) fn note(&self, well: bool, now: Timestamp) -> bool {
        lock(&self.breaker).note(well, now)
    }

    /// The app wishes not to be asked for a while.
    pub(super) fn wish(&self, until: Timestamp) {
        let mut wished = lock(&self.wished);
        *wished = Some(wished.map_or(until, |before| before.max(until)));
    }

    /// The admin credential was refused for good. Says whether that is news.
    pub(super) fn quarantine(&self, now: Timestamp) -> bool {
        lock(&self.breaker).quarantine(now)
    }

    /// What a probe came to.
    pub(super) fn probed(&self, came: Probed, now: Timestamp) {
        lock(&self.breaker).probed(came, now);
    }

    pub(super) fn health(&self, now: Timestamp) -> Health {
        lock(&self.breaker).health(now)
    }

    /// Whether something may be done again now; it is then counted as done.
    pub(super) fn may_retry(&self) -> bool {
        lock(&self.budget).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Asked, Bounds, Gate, Lane};
    use crate::clock::{ManualClock, Timestamp};

    #[tokio::test]
    async fn a_queue_in_the_background_never_stands_before_a_person() {
        let gate = Gate::new(Bounds { concurrency: 2, per_second: None });
        let clock = ManualClock::default();
        let busy = gate.enter(Lane::Background, &clock, 10).await;
        assert!(busy.is_some());
        assert!(gate.enter(Lane::Background, &clock, 10).await.is_none(), "the background has one place of its own");
        let (first, second) = (gate.enter(Lane::Interactive, &clock, 10).await, gate.enter(Lane::Interactive, &clock, 10).await);
        assert!(first.is_some() && second.is_some(), "people have theirs");
        assert!(gate.enter(Lane::Interactive, &clock, 10).await.is_none());
        drop(first);
        assert!(gate.enter(Lane::Interactive, &clock, 10).await.is_some());
    }

    #[tokio::test]
    async fn whoever_waits_in_vain_has_sent_nothing_and_is_told() {
        let gate = Gate::new(Bounds { concurrency: 8, per_second: Some(1) });
        let clock = ManualClock::default();
        assert!(gate.enter(Lane::Interactive, &clock, 10).await.is_some());
        assert!(gate.enter(Lane::Interactive, &clock, 10).await.is_none(), "one a second");
        clock.advance_ms(1000);
        assert!(gate.enter(Lane::Interactive, &clock, 10).await.is_some());
    }

    #[test]
    fn a_wish_to_be_left_alone_is_kept_by_the_background() {
        let gate = Gate::new(Bounds::default());
        let at = Timestamp::from_seconds;
        gate.wish(at(20));
        gate.wish(at(10));
        assert_eq!(gate.ask(Lane::Background, at(5)), Asked::No { wait_ms: 15_000, bad_credential: false });
        assert_eq!(gate.ask(Lane::Interactive, at(5)), Asked::Yes);
        assert_eq!(gate.ask(Lane::Background, at(20)), Asked::Yes);
    }
}
