//! What stands between an engine and one admin API: how many calls at once, how many a second, whether any at all.
//!
//! Lives here: [`Gate`] and its lanes. `breaker.rs` says whether the API is left alone, `wish.rs` for how long it has asked to be, `rate.rs` how fast it is called,
//! `budget.rs` how much may be done again. Those four are pure: the time is an argument. Apart because none of it depends on what is asked; it never knows a step, an account or a person.

mod breaker;
mod budget;
mod rate;
mod wish;

pub(super) use breaker::{Asked, Probed};
pub use breaker::{BreakerState, Health};

use crate::clock::{Clock, Timestamp};
use breaker::Breaker;
use budget::Budget;
use rate::Rate;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use wish::{Turn, Wish};

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
    /// The app has said for how long it wishes not to be asked.
    wish: Mutex<Wish>,
    /// It does not any more.
    lifted: Notify,
    /// Held by whoever asks by a probe whether the credential is good, since a call of theirs was refused.
    vetting: tokio::sync::Mutex<()>,
    /// How many have asked.
    vetted: AtomicU64,
}

/// A place at an admin API, for one call.
#[derive(Debug)]
pub(super) struct Place<'g> {
    _permit: SemaphorePermit<'g>,
    /// It is the one call of a while that the app is asked although it wishes not to be.
    is_trial: bool,
}

/// Why there is no place. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// Too much to do.
    Busy,
    /// The app wishes to be left alone for so many milliseconds more.
    Wished(u64),
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
            wish: Mutex::default(),
            lifted: Notify::new(),
            vetting: tokio::sync::Mutex::default(),
            vetted: AtomicU64::new(0),
        }
    }

    /// Whether the API may be asked at all.
    pub(super) fn ask(&self, lane: Lane, now: Timestamp) -> Asked {
        let wished_ms = lock(&self.wish).left_ms(now).filter(|_| lane == Lane::Background);
        match wished_ms {
            Some(wait_ms) => Asked::No { wait_ms, bad_credential: false },
            None => lock(&self.breaker).ask(now),
        }
    }

    /// Waits for a place and for its second, at most `patience_ms`; nothing was sent when there is none. While the app wishes to be left alone people wait in their lane,
    /// and one of them is let through now and then; `heeds_wishes`: without it, as a probe.
    pub(super) async fn enter(&self, lane: Lane, clock: &dyn Clock, patience_ms: u64, heeds_wishes: bool) -> Result<Place<'_>, NoPlace> {
        let wished_until = AtomicI64::new(i64::MIN);
        let waiting = async {
            let places = match lane {
                Lane::Interactive => &self.people,
                Lane::Background => &self.background,
            };
            let (permit, is_trial) = loop {
                let permit = places.acquire().await.ok()?;
                if !heeds_wishes {
                    break (permit, false);
                }
                // Asked with the place in hand: whoever was queueing for it hears of a wish that came meanwhile.
                let (lifted, now) = (self.lifted.notified(), clock.now());
                let turn = match lane {
                    Lane::Interactive => lock(&self.wish).turn(now),
                    Lane::Background => lock(&self.wish).left_ms(now).map_or(Turn::Free, Turn::Wait),
                };
                match turn {
                    Turn::Free => break (permit, false),
                    Turn::Trial => break (permit, true),
                    Turn::Wait(ms) => {
                        // And given back while it waits: a probe needs one.
                        drop(permit);
                        wished_until.store(now.millis().saturating_add_unsigned(ms), Ordering::Relaxed);
                        tokio::select! {
                            () = tokio::time::sleep(Duration::from_millis(ms)) => {}
                            () = lifted => {}
                        }
                    }
                }
            };
            while let Some(rate) = &self.rate {
                let taken = lock(rate).take(lane, clock.now());
                match taken {
                    Ok(()) => break,
                    Err(wait_ms) => tokio::time::sleep(Duration::from_millis(wait_ms)).await,
                }
            }
            Some(Place { _permit: permit, is_trial })
        };
        let place = tokio::time::timeout(Duration::from_millis(patience_ms), waiting).await.ok().flatten();
        let Some(place) = place else {
            let left_ms = wished_until.load(Ordering::Relaxed).saturating_sub(clock.now().millis());
            return Err(u64::try_from(left_ms).map_or(NoPlace::Busy, |ms| NoPlace::Wished(ms.max(1))));
        };
        lock(&self.budget).called();
        Ok(place)
    }

    /// A call came to an answer, or to none. Says so when the API is left alone from now on.
    pub(super) fn note(&self, well: bool, now: Timestamp) -> bool {
        lock(&self.breaker).note(well, now)
    }

    /// The app wishes not to be asked until then.
    pub(super) fn wish(&self, now: Timestamp, until: Timestamp) {
        lock(&self.wish).note(now, until);
    }

    /// The app has served a call of the lane of people, which was let through in spite of its wish: it is kept by the background only.
    pub(super) fn served(&self, place: &Place<'_>) {
        if place.is_trial {
            lock(&self.wish).lift();
            self.lifted.notify_waiters();
        }
    }

    /// The admin credential was refused for good. Says whether that is news.
    pub(super) fn quarantine(&self, now: Timestamp) -> bool {
        lock(&self.breaker).quarantine(now)
    }

    /// A call was accepted as one by somebody who may call.
    pub(super) fn accept(&self, now: Timestamp) {
        lock(&self.breaker).accept(now);
    }

    /// See [`Breaker::excuses`].
    pub(super) fn excuses(&self, now: Timestamp) -> bool {
        lock(&self.breaker).excuses(now)
    }

    /// Whether nothing is to be begun, since the credential was refused. Of a call that was queueing for its place too.
    pub(super) fn is_shut(&self, now: Timestamp) -> bool {
        lock(&self.breaker).is_shut(now)
    }

    /// Whether the credential was refused, and no trial of it is under way.
    pub(super) fn is_refused(&self, now: Timestamp) -> bool {
        lock(&self.breaker).is_refused(now)
    }

    /// Runs `ask`, which asks by a probe whether the credential is good, unless somebody else does so at this moment: then what they found counts. `None`: it does.
    pub(super) async fn vet<T>(&self, ask: impl Future<Output = T>) -> Option<T> {
        let before = self.vetted.load(Ordering::Acquire);
        let _turn = self.vetting.lock().await;
        if self.vetted.load(Ordering::Acquire) != before {
            return None;
        }
        let found = ask.await;
        self.vetted.fetch_add(1, Ordering::AcqRel);
        Some(found)
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
    use super::{Asked, Bounds, Gate, Lane, NoPlace};
    use crate::clock::{ManualClock, Timestamp};
    use std::sync::atomic::{AtomicU64, Ordering};

    #[tokio::test]
    async fn a_queue_in_the_background_never_stands_before_a_person() {
        let gate = Gate::new(Bounds { concurrency: 2, per_second: None });
        let clock = ManualClock::default();
        let enter = async |lane| gate.enter(lane, &clock, 10, true).await;
        let busy = enter(Lane::Background).await;
        assert!(busy.is_ok());
        assert_eq!(enter(Lane::Background).await.err(), Some(NoPlace::Busy), "the background has one place of its own");
        let (first, second) = (enter(Lane::Interactive).await, enter(Lane::Interactive).await);
        assert!(first.is_ok() && second.is_ok(), "people have theirs");
        assert!(enter(Lane::Interactive).await.is_err());
        drop(first);
        assert!(enter(Lane::Interactive).await.is_ok());
    }

    #[tokio::test]
    async fn whoever_waits_in_vain_has_sent_nothing_and_is_told() {
        let gate = Gate::new(Bounds { concurrency: 8, per_second: Some(1) });
        let clock = ManualClock::default();
        assert!(gate.enter(Lane::Interactive, &clock, 10, true).await.is_ok());
        assert!(gate.enter(Lane::Interactive, &clock, 10, true).await.is_err(), "one a second");
        clock.advance_ms(1000);
        assert!(gate.enter(Lane::Interactive, &clock, 10, true).await.is_ok());
    }

    #[tokio::test]
    async fn a_wish_to_be_left_alone_is_kept_by_the_background_and_waited_out_by_people() {
        let gate = Gate::new(Bounds { concurrency: 2, per_second: None });
        let at = Timestamp::from_seconds;
        gate.wish(at(0), at(20));
        gate.wish(at(0), at(10));
        assert_eq!(gate.ask(Lane::Background, at(5)), Asked::No { wait_ms: 15_000, bad_credential: false });
        assert_eq!((gate.ask(Lane::Interactive, at(5)), gate.ask(Lane::Background, at(20))), (Asked::Yes, Asked::Yes));
        let clock = ManualClock::new(at(3));
        assert_eq!(gate.enter(Lane::Interactive, &clock, 10, true).await.err(), Some(NoPlace::Wished(7_000)));
        assert_eq!(gate.enter(Lane::Background, &clock, 10, true).await.err(), Some(NoPlace::Wished(17_000)));
        assert!(gate.enter(Lane::Interactive, &clock, 10, false).await.is_ok(), "a probe asks how it is");
        // One is let through after ten seconds, and the next one not.
        clock.advance_ms(7_000);
        let trial = gate.enter(Lane::Interactive, &clock, 10, true).await.unwrap();
        assert!(trial.is_trial);
        assert_eq!(gate.enter(Lane::Interactive, &clock, 10, true).await.err(), Some(NoPlace::Wished(10_000)));
        // Whoever waits is let in as soon as that one was served.
        let (came, ()) = tokio::join!(gate.enter(Lane::Interactive, &clock, 60_000, true), async { gate.served(&trial) });
        assert!(!came.unwrap().is_trial);
        assert_eq!(gate.ask(Lane::Background, at(5)), Asked::No { wait_ms: 15_000, bad_credential: false });
    }

    #[tokio::test]
    async fn of_several_who_doubt_the_credential_one_asks() {
        let (gate, asked) = (Gate::new(Bounds::default()), AtomicU64::new(0));
        let vet = async || {
            let ask = async {
                tokio::task::yield_now().await;
                asked.fetch_add(1, Ordering::SeqCst)
            };
            gate.vet(ask).await
        };
        assert_eq!(tokio::join!(vet(), vet(), vet()), (Some(0), None, None));
        assert_eq!(vet().await, Some(1), "whoever comes later asks again");
    }
}
