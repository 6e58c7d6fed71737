//! Whether an admin API is asked at all: closed, open, half open, quarantined. Pure.
//!
//! Closed: calls go through, and are counted for a minute. Open: too many of them went wrong; nothing is sent for a while, and then one probe is. Quarantined:
//! the credential was refused; nothing but a probe is sent until one works. A changed credential makes a new gate.
//!
//! One call that is refused says nothing of the credential: it may be about one person (a firewall that dislikes their name). The API is asked by a probe then; where a
//! connector has none, a call that was accepted just before counts for one, and the next call after a while is the trial.

use crate::clock::Timestamp;

/// What is counted is this recent.
const WINDOW_MS: i64 = 60_000;
/// Fewer calls than that say nothing.
const CALLS_MIN: u32 = 10;
/// The first time it is left alone; doubled each time that a probe fails.
const OPEN_MS: i64 = 5_000;
const OPEN_MS_MAX: i64 = 120_000;
/// Between probes with a credential that was refused.
const QUARANTINE_MS: i64 = 30_000;
/// How lately a call must have been accepted for the next one's refusal to be about that call alone, where the API cannot be asked by a probe.
const ACCEPTED_MS: i64 = 10_000;
/// A probe of which nothing was heard by then was given up.
const PROBE_MS: i64 = 30_000;
/// What whoever comes during a probe is told to wait.
const SOON_MS: u64 = 1_000;

/// How an admin API is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BreakerState {
    /// It is asked.
    #[default]
    Closed,
    /// The next call is a probe.
    HalfOpen,
    /// It is left alone for a while.
    Open,
    /// It refuses the admin credential.
    Quarantined,
}

impl BreakerState {
    /// As a number, the worse the higher.
    pub const fn number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
            Self::Quarantined => 3,
        }
    }

    /// As printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
            Self::Quarantined => "quarantined",
        }
    }
}

/// How an admin API is, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// How it is.
    pub state: BreakerState,
    /// Since when it is not asked; `None` while it is.
    pub since: Option<Timestamp>,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connector) enum Asked {
    /// Yes.
    Yes,
    /// Once a probe has worked, which is the asker's to send.
    Probe,
    /// No, and not before this many milliseconds.
    No { wait_ms: u64, bad_credential: bool },
}

/// What a probe came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connector) enum Probed {
    /// The API answers and accepts the credential.
    Well,
    /// It does not answer as it should. (One that refuses the credential: [`Breaker::quarantine`].)
    Badly,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { since: Timestamp, until: Timestamp, times: u32 },
    Quarantined { since: Timestamp, probe_from: Timestamp },
}

/// The breaker of one admin API.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// When a probe was sent of which nothing was heard yet.
    probing: Option<Timestamp>,
    /// The window's beginning, calls and failures in it; and of the one before, which counts as long as it is recent.
    window: (Timestamp, u32, u32),
    before: (u32, u32),
    /// When a call was last accepted, none having been refused since.
    accepted: Option<Timestamp>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, probing: None, window: (Timestamp::from_millis(0), 0, 0), before: (0, 0), accepted: None }
    }
}

impl Breaker {
    pub(super) fn ask(&mut self, now: Timestamp) -> Asked {
        let (from, bad_credential) = match self.state {
            State::Closed => return Asked::Yes,
            State::Open { until, .. } => (until, false),
            State::Quarantined { probe_from, .. } => (probe_from, true),
        };
        if now < from {
            return Asked::No { wait_ms: u64::try_from(from.since_ms(now)).unwrap_or(SOON_MS), bad_credential };
        }
        if self.is_probing(now) {
            return Asked::No { wait_ms: SOON_MS, bad_credential };
        }
        self.probing = Some(now);
        Asked::Probe
    }

    /// Counts a call; true when it was one too many that went wrong.
    pub(super) fn note(&mut self, well: bool, now: Timestamp) -> bool {
        if !matches!(self.state, State::Closed) {
            // Calls that were under way already say nothing new.
            return false;
        }
        let age = now.since_ms(self.window.0);
        if !(0..WINDOW_MS / 2).contains(&age) {
            self.before = if (0..WINDOW_MS).contains(&age) { (self.window.1, self.window.2) } else { (0, 0) };
            self.window = (now, 0, 0);
        }
        self.window.1 += 1;
        self.window.2 += u32::from(!well);
        let (calls, failures) = (self.window.1 + self.before.0, self.window.2 + self.before.1);
        if well || calls < CALLS_MIN || failures * 2 < calls {
            return false;
        }
        self.state = State::Open { since: now, until: now.plus_ms(OPEN_MS), times: 0 };
        self.probing = None;
        true
    }

    /// The credential was refused, beyond doubt. Says whether that is news.
    pub(super) fn quarantine(&mut self, now: Timestamp) -> bool {
        (self.probing, self.accepted) = (None, None);
        let (since, is_news) = match self.state {
            State::Quarantined { since, .. } => (since, false),
            State::Open { since, .. } => (since, true),
            State::Closed => (now, true),
        };
        self.state = State::Quarantined { since, probe_from: now.plus_ms(QUARANTINE_MS) };
        is_news
    }

    /// A call was accepted: not by far, but as one by somebody who may call.
    pub(super) fn accept(&mut self, now: Timestamp) {
        self.accepted = Some(now);
    }

    /// A call was refused, and the API cannot be asked by a probe. Whether that is about this call alone: one before it was accepted a moment ago. The next refusal
    /// without one in between is not.
    pub(super) fn excuses(&mut self, now: Timestamp) -> bool {
        let accepted = self.accepted.take();
        matches!(self.state, State::Closed) && accepted.is_some_and(|at| (0..=ACCEPTED_MS).contains(&now.since_ms(at)))
    }

    /// Whether nothing is to be begun: the credential was refused, and no probe is due, or one is under way.
    pub(super) fn is_shut(&self, now: Timestamp) -> bool {
        let State::Quarantined { probe_from, .. } = self.state else { return false };
        now < probe_from || self.is_probing(now)
    }

    /// Whether the credential was refused, and no trial of it is under way: a call that was queueing when that was said has nothing to ask.
    pub(super) fn is_refused(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Quarantined { .. }) && !self.is_probing(now)
    }

    fn is_probing(&self, now: Timestamp) -> bool {
        self.probing.is_some_and(|at| (0..PROBE_MS).contains(&now.since_ms(at)))
    }

    pub(super) fn probed(&mut self, came: Probed, now: Timestamp) {
        self.probing = None;
        self.state = match (came, self.state) {
            (Probed::Well, _) => {
                (self.window, self.before) = ((now, 0, 0), (0, 0));
                State::Closed
            }
            (Probed::Badly, State::Open { since, times, .. }) => {
                let wait = OPEN_MS.saturating_mul(1_i64.checked_shl(times + 1).unwrap_or(i64::MAX)).min(OPEN_MS_MAX);
                State::Open { since, until: now.plus_ms(wait), times: (times + 1).min(16) }
            }
            (Probed::Badly, State::Quarantined { since, .. }) => State::Quarantined { since, probe_from: now.plus_ms(QUARANTINE_MS) },
            (Probed::Badly, State::Closed) => State::Closed,
        };
    }

    pub(super) fn health(&self, now: Timestamp) -> Health {
        match self.state {
            State::Closed => Health::default(),
            State::Open { since, until, .. } => {
                Health { state: if now < until { BreakerState::Open } else { BreakerState::HalfOpen }, since: Some(since) }
            }
            State::Quarantined { since, .. } => Health { state: BreakerState::Quarantined, since: Some(since) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Breaker, BreakerState, Probed};
    use crate::clock::Timestamp;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        for call in 0..10 {
            breaker.note(false, at(call));
        }
        assert_eq!(breaker.health(at(10)).state, BreakerState::Open);
        breaker
    }

    #[test]
    fn few_failures_or_old_ones_or_a_minority_open_nothing() {
        let check = |calls: &[(i64, bool)]| {
            let mut breaker = Breaker::default();
            for (ms, well) in calls {
                assert!(!breaker.note(*well, at(*ms)), "{ms}");
            }
            assert_eq!(breaker.ask(at(200_000)), Asked::Yes);
        };
        check(&[(0, false); 9]);
        check(&[[(0, true); 11].as_slice(), &[(1, false); 10]].concat());
        check(&[[(0, false); 9].as_slice(), &[(61_000, false); 9]].concat());
        check(&[[(0, false); 9].as_slice(), &[(-5, false); 9]].concat());
    }

    #[test]
    fn a_majority_of_failures_opens_and_one_probe_at_a_time_is_let_through() {
        let mut breaker = open();
        assert_eq!(breaker.ask(at(9)), Asked::No { wait_ms: 5000, bad_credential: false });
        assert!(!breaker.note(true, at(20)), "a late answer changes nothing");
        assert_eq!(breaker.health(at(5_009)).state, BreakerState::HalfOpen);
        assert_eq!(breaker.ask(at(5_009)), Asked::Probe);
        assert_eq!(breaker.ask(at(5_010)), Asked::No { wait_ms: 1000, bad_credential: false });
        assert_eq!(breaker.ask(at(40_000)), Asked::Probe, "the first was given up");
        breaker.probed(Probed::Well, at(40_001));
        assert_eq!((breaker.ask(at(40_002)), breaker.health(at(40_002)).state), (Asked::Yes, BreakerState::Closed));
        assert!(!breaker.note(false, at(40_003)), "it begins anew");
    }

    #[test]
    fn probes_that_fail_come_ever_more_rarely() {
        let mut breaker = open();
        let mut now = 9;
        for wait in [5_000, 10_000, 20_000, 40_000, 80_000, 120_000, 120_000] {
            assert_eq!(breaker.ask(at(now)), Asked::No { wait_ms: u64::try_from(wait).unwrap(), bad_credential: false });
            now += wait;
            assert_eq!(breaker.ask(at(now)), Asked::Probe);
            breaker.probed(Probed::Badly, at(now));
        }
        assert_eq!(breaker.health(at(now)).since, Some(at(9)), "since the first");
    }

    #[test]
    fn a_refused_credential_is_tried_again_by_probes_only() {
        let mut breaker = Breaker::default();
        assert!(!breaker.is_shut(at(0)));
        assert!(breaker.quarantine(at(0)));
        assert!(!breaker.quarantine(at(2)), "that is no news");
        assert_eq!((breaker.ask(at(3)), breaker.is_shut(at(3))), (Asked::No { wait_ms: 29_999, bad_credential: true }, true));
        assert!(breaker.is_refused(at(3)) && breaker.is_refused(at(30_002)) && !breaker.is_shut(at(30_002)), "somebody has to ask");
        assert_eq!((breaker.ask(at(30_002)), breaker.is_shut(at(30_002)), breaker.is_refused(at(30_002))), (Asked::Probe, true, false));
        breaker.probed(Probed::Badly, at(30_003));
        assert_eq!((breaker.health(at(30_004)).state, breaker.health(at(30_004)).since), (BreakerState::Quarantined, Some(at(0))));
        assert_eq!(breaker.ask(at(60_003)), Asked::Probe);
        assert!(!breaker.quarantine(at(60_004)));
        assert_eq!(breaker.ask(at(90_004)), Asked::Probe);
        breaker.probed(Probed::Well, at(90_005));
        assert_eq!((breaker.ask(at(90_006)), breaker.is_shut(at(90_006))), (Asked::Yes, false));
    }

    #[test]
    fn a_call_that_was_accepted_just_before_speaks_for_the_credential_once() {
        let check = |accepted: &[i64], refused: i64, expected: bool| {
            let mut breaker = Breaker::default();
            for ms in accepted {
                breaker.accept(at(*ms));
            }
            assert_eq!(breaker.excuses(at(refused)), expected, "{accepted:?} {refused}");
            assert!(!breaker.excuses(at(refused)), "and not twice");
        };
        check(&[], 0, false);
        check(&[0], 10_001, false);
        check(&[5], 4, false);
        check(&[0], 10_000, true);
        check(&[0, 60_000], 60_001, true);
        let mut breaker = Breaker::default();
        breaker.accept(at(0));
        breaker.quarantine(at(1));
        assert!(!breaker.excuses(at(2)), "what came before a refusal says nothing");
    }
}
