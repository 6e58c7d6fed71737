//! The app's ids of groups, roles and organisations, as far as they are known.
//!
//! Apart because it is the only thing that is believed without asking: for a while, only what was found, and only until an answer says otherwise.

use crate::clock::Timestamp;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Most names remembered; beyond it all are asked for again.
const NAMES_MAX: usize = 10_000;

/// What resolving a name came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    /// The app's id.
    pub(super) id: String,
    /// Whatever else its steps saved.
    pub(super) saved: Map<String, Value>,
}

/// Kind and name to [`Known`].
#[derive(Debug, Default)]
pub(super) struct Resolved(Mutex<HashMap<(String, String), (Known, Timestamp)>>);

impl Resolved {
    pub(super) fn get(&self, kind: &str, name: &str, now: Timestamp) -> Option<Known> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(kind.to_owned(), name.to_owned())).filter(|(_, until)| now < *until).map(|(known, _)| known.clone())
    }

    pub(super) fn put(&self, kind: &str, name: &str, found: Known, until: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        known.insert((kind.to_owned(), name.to_owned()), (found, until));
    }

    /// Whether it was known.
    pub(super) fn forget(&self, kind: &str, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(kind.to_owned(), name.to_owned())).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, Resolved};
    use crate::clock::Timestamp;

    #[test]
    fn a_name_is_believed_for_a_while_and_not_after_it_was_forgotten() {
        let resolved = Resolved::default();
        let known = Known { id: "7".to_owned(), saved: serde_json::Map::new() };
        let at = Timestamp::from_seconds;
        assert_eq!(resolved.get("group", "devs", at(1)), None);
        resolved.put("group", "devs", known.clone(), at(600));
        assert_eq!(resolved.get("role", "devs", at(1)), None);
        assert_eq!(resolved.get("group", "devs", at(600)), None);
        assert_eq!(resolved.get("group", "devs", at(599)), Some(known));
        assert!(resolved.forget("group", "devs"));
        assert!(!resolved.forget("group", "devs"));
        assert_eq!(resolved.get("group", "devs", at(1)), None);
    }
}
