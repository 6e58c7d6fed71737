//! One at a time, by name: changes of one account, looking up of one group.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::OwnedMutexGuard;

/// From this many names on, those whose turn is over are forgotten.
const TIDY_FROM: usize = 256;

type Turn = tokio::sync::Mutex<()>;

/// Names and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Weak<Turn>>>);

impl Turns {
    /// Waits for the turn of `name`; it lasts as long as what is returned.
    pub(super) async fn take(&self, name: &str) -> OwnedMutexGuard<()> {
        self.turn(name).lock_owned().await
    }

    fn turn(&self, name: &str) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        if turns.len() >= TIDY_FROM {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::new(Turn::default());
        turns.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::{TIDY_FROM, Turns};

    #[tokio::test]
    async fn one_name_waits_for_itself_and_for_nobody_else() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        assert!(turns.turn("a").try_lock().is_err());
        assert!(turns.turn("b").try_lock().is_ok());
        drop(first);
        assert!(turns.turn("a").try_lock().is_ok());
    }

    #[tokio::test]
    async fn names_are_forgotten_when_their_turn_is_over() {
        let turns = Turns::default();
        let held = turns.take("held").await;
        for n in 0..TIDY_FROM * 3 {
            drop(turns.take(&n.to_string()).await);
        }
        assert!(turns.0.lock().unwrap().len() <= TIDY_FROM);
        assert!(turns.turn("held").try_lock().is_err(), "whose turn it is stays known");
        drop(held);
    }
}
