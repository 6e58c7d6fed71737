//! Calls a second, as a bucket of tokens that fills by the clock. Pure.

use super::Lane;
use crate::clock::Timestamp;

/// A token, in parts: a bucket that is asked every millisecond loses nothing to rounding.
const TOKEN: i64 = 1_000;

/// The bucket: it holds a second's worth.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: i64,
    /// In parts of a token.
    held: i64,
    filled_at: Option<Timestamp>,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = i64::from(per_second.max(1));
        Self { per_second, held: per_second * TOKEN, filled_at: None }
    }

    /// Takes a token, or says in how many milliseconds there will be one. The background leaves half of the bucket to people.
    pub(super) fn take(&mut self, lane: Lane, now: Timestamp) -> Result<(), u64> {
        let elapsed = self.filled_at.map_or(0, |at| now.since_ms(at).max(0));
        self.filled_at = Some(now);
        // A millisecond brings as many parts of a token as there are tokens in a second.
        self.held = self.held.saturating_add(elapsed.saturating_mul(self.per_second)).min(self.per_second * TOKEN);
        let left = match lane {
            Lane::Interactive => 0,
            Lane::Background => self.per_second / 2 * TOKEN,
        };
        let lacking = left + TOKEN - self.held;
        if lacking <= 0 {
            self.held -= TOKEN;
            return Ok(());
        }
        Err(u64::try_from((lacking + self.per_second - 1) / self.per_second).unwrap_or(1).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;
    use crate::clock::Timestamp;
    use crate::connector::gate::Lane::{Background, Interactive};

    #[test]
    fn no_second_has_more_calls_than_it_may_and_half_of_them_are_for_people() {
        let at = Timestamp::from_millis;
        let mut rate = Rate::new(4);
        assert_eq!(rate.take(Background, at(0)), Ok(()));
        assert_eq!(rate.take(Background, at(0)), Ok(()));
        assert_eq!(rate.take(Background, at(0)), Err(250), "the rest is for people");
        assert_eq!(rate.take(Interactive, at(0)), Ok(()));
        assert_eq!(rate.take(Interactive, at(0)), Ok(()));
        assert_eq!(rate.take(Interactive, at(0)), Err(250));
        assert_eq!(rate.take(Interactive, at(249)), Err(1));
        assert_eq!(rate.take(Interactive, at(250)), Ok(()));
        assert_eq!(rate.take(Interactive, at(-9_000)), Err(250), "a clock that goes back gives nothing");
        let mut slow = Rate::new(1);
        assert_eq!((slow.take(Background, at(0)), slow.take(Background, at(0))), (Ok(()), Err(1000)));
        assert_eq!(slow.take(Interactive, at(3_600_000)), Ok(()));
        assert_eq!(slow.take(Interactive, at(3_600_000)), Err(1000), "an hour of rest is worth a second");
    }
}
