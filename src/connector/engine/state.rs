//! What an engine remembers from one call to the next. Nothing here is needed: losing it costs a few more calls.

use super::Engine;
use super::resolved::Resolved;
use super::session::SignedIn;
use super::turns::Turns;
use crate::connector::gate::{Bounds, Gate};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Most `ETag`s remembered between looking and changing.
const ETAGS_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct State {
    /// What stands before the app.
    pub(super) gate: Gate,
    /// What the pre-steps came to, until it ends or is refused.
    pub(super) signed_in: tokio::sync::Mutex<Option<SignedIn>>,
    /// Account id to the `ETag` it was last seen with.
    etags: Mutex<HashMap<String, String>>,
    /// Ids of groups, roles and organisations.
    pub(super) resolved: Resolved,
    /// Names that are being asked for.
    pub(super) resolving: Turns,
    /// Accounts that are being changed.
    pub(super) changing: Turns,
    /// Of the last request.
    id: AtomicU64,
}

impl State {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            gate: Gate::new(bounds),
            signed_in: tokio::sync::Mutex::default(),
            etags: Mutex::default(),
            resolved: Resolved::default(),
            resolving: Turns::default(),
            changing: Turns::default(),
            id: AtomicU64::new(0),
        }
    }

    /// A number for a request.
    pub(super) fn next_id(&self) -> u64 {
        self.id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Engine {
    pub(super) fn note_etag(&self, id: &str, etag: Option<String>) {
        let mut etags = self.state.etags.lock().unwrap_or_else(PoisonError::into_inner);
        if etags.len() >= ETAGS_MAX {
            // What is forgotten is only the check that nobody changed the account in between.
            etags.clear();
        }
        match etag {
            Some(etag) => drop(etags.insert(id.to_owned(), etag)),
            None => drop(etags.remove(id)),
        }
    }

    pub(super) fn etag(&self, id: &str) -> Option<String> {
        self.state.etags.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}
