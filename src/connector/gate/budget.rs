//! How much may be done again: one call in ten. Pure.
//!
//! Retries help one person through a hiccup and everybody into an outage: when most calls fail, those that are repeated are the ones that keep it going.

/// What a call earns; what a retry costs, which is a job of about three calls.
const EARNED: u32 = 1;
const COST: u32 = 30;
/// Ten retries in hand, for an app that is rarely called.
const FULL: u32 = 300;

/// What is left to be done again.
#[derive(Debug)]
pub(super) struct Budget(u32);

impl Default for Budget {
    fn default() -> Self {
        Self(FULL)
    }
}

impl Budget {
    pub(super) fn called(&mut self) {
        self.0 = (self.0 + EARNED).min(FULL);
    }

    pub(super) fn take(&mut self) -> bool {
        let left = self.0.checked_sub(COST);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn what_is_done_again_is_a_tenth_of_what_is_done() {
        let mut budget = Budget::default();
        assert_eq!((0..100).filter(|_| budget.take()).count(), 10, "a few in hand");
        let mut again = 0;
        for _job in 0..1_000 {
            (0..3).for_each(|_| budget.called());
            again += u32::from(budget.take());
        }
        assert_eq!(again, 100);
    }
}
