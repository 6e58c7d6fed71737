//! For how long an admin API has asked to be left alone (`Retry-After`), and what becomes of people meanwhile. Pure.
//!
//! Work that nobody waits for keeps the wish to its end. People wait in their lane; one of them is let through now and then, since whoever asks for a minute may well
//! serve again before it is over. Once that one is served, all are let through.

use crate::clock::Timestamp;

/// Between people who are let through in spite of a wish.
const TRIAL_MS: i64 = 10_000;

/// The wish.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// What it said.
    until: Option<Timestamp>,
    /// When the next person is let through; `None`: people are not held.
    trial_at: Option<Timestamp>,
}

/// Whether a person's call goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is no wish, or it is over.
    Free,
    /// As the one call of a while.
    Trial,
    /// Not before so many milliseconds.
    Wait(u64),
}

impl Wish {
    /// The app has said, at `now`, that it wishes not to be asked until then. The longer wish counts.
    pub(super) fn note(&mut self, now: Timestamp, until: Timestamp) {
        self.until = Some(self.until.map_or(until, |before| before.max(until)));
        self.trial_at = Some(now.plus_ms(TRIAL_MS));
    }

    /// People need not wait any more.
    pub(super) fn lift(&mut self) {
        self.trial_at = None;
    }

    /// How long it goes on; `None`: it is over.
    pub(super) fn left_ms(&self, now: Timestamp) -> Option<u64> {
        self.until.and_then(|until| u64::try_from(until.since_ms(now)).ok()).filter(|ms| *ms > 0)
    }

    /// Whether a person's call goes through; a trial is theirs then.
    pub(super) fn turn(&mut self, now: Timestamp) -> Turn {
        let (Some(left_ms), Some(trial_at)) = (self.left_ms(now), self.trial_at) else { return Turn::Free };
        match u64::try_from(trial_at.since_ms(now)) {
            Ok(ms) if ms > 0 => Turn::Wait(ms.min(left_ms)),
            Ok(_) | Err(_) => {
                self.trial_at = Some(now.plus_ms(TRIAL_MS));
                Turn::Trial
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Turn, Wish};
    use crate::clock::Timestamp;

    #[test]
    fn one_person_is_let_through_now_and_then_and_all_when_it_is_over_or_that_one_was_served() {
        let at = Timestamp::from_seconds;
        let mut wish = Wish::default();
        assert_eq!((wish.turn(at(0)), wish.left_ms(at(0))), (Turn::Free, None));
        wish.note(at(100), at(160));
        let mut check = |seconds: i64, expected: Turn| assert_eq!(wish.turn(at(seconds)), expected, "{seconds}");
        check(100, Turn::Wait(10_000));
        check(109, Turn::Wait(1_000));
        check(110, Turn::Trial);
        check(110, Turn::Wait(10_000));
        check(155, Turn::Trial);
        check(155, Turn::Wait(5_000));
        check(160, Turn::Free);
        // A short one is simply waited out.
        wish.note(at(200), at(203));
        assert_eq!((wish.turn(at(201)), wish.turn(at(203))), (Turn::Wait(2_000), Turn::Free));
        wish.note(at(300), at(360));
        wish.lift();
        assert_eq!((wish.turn(at(301)), wish.left_ms(at(301))), (Turn::Free, Some(59_000)), "the background keeps it");
    }
}
