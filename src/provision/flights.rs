//! Single-flight: at most one job per person and app in this process.
//!
//! Lives here: [`Flights`], which knows the jobs under way and, for a second, those that failed. Apart because it is the only lock of the desk. It never
//! knows what a job does.

use super::ensure::End;
use crate::clock::Timestamp;
use crate::fault::PublicMessage;
use crate::state::AccountKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Failures remembered beyond this many are forgotten, oldest or not: they only save calls.
const FAILED_MAX: usize = 10_000;

/// Jobs under way and just failed.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// By whom it is about: the policy's revision it was begun under, and where to wait.
    running: HashMap<AccountKey, (String, watch::Receiver<Option<End>>)>,
    failed: HashMap<AccountKey, Failed>,
}

/// A job that has failed.
#[derive(Debug)]
struct Failed {
    /// The policy's revision it was begun under: what failed by one may work by another.
    revision: String,
    at: Timestamp,
    message: PublicMessage,
}

/// What asking to join comes to.
#[derive(Debug)]
pub(super) enum Boarding {
    /// There is a job: wait here.
    Passenger {
        wait: watch::Receiver<Option<End>>,
        /// It was begun under another revision of the policy: that it fails says nothing.
        other: bool,
    },
    /// There was none: do it, and wait there like everybody else.
    Pilot(Pilot, watch::Receiver<Option<End>>),
    /// It has just failed.
    Grounded(PublicMessage),
    /// There is none, and it may not be begun.
    Nobody,
}

/// The duty to end a job. Dropped without [`Pilot::land`] (a panic), it clears the way for the next one.
#[derive(Debug)]
pub(super) struct Pilot {
    flights: Arc<Flights>,
    key: AccountKey,
    revision: String,
    tell: watch::Sender<Option<End>>,
}

impl Flights {
    /// Joins the job for `key`, or is told to do it, under `revision` of the policy, if it `may_begin`. A failure under the same revision and younger than `failure_ms` is
    /// the answer again, without a job.
    pub(super) fn board(self: &Arc<Self>, key: &AccountKey, revision: &str, now: Timestamp, failure_ms: i64, may_begin: bool) -> Boarding {
        let mut table = self.table();
        if let Some((under, there)) = table.running.get(key) {
            return Boarding::Passenger { wait: there.clone(), other: under != revision };
        }
        if let Some(failed) = table.failed.get(key) {
            if failed.revision == revision && (0..=failure_ms).contains(&now.since_ms(failed.at)) {
                return Boarding::Grounded(failed.message);
            }
            table.failed.remove(key);
        }
        if !may_begin {
            return Boarding::Nobody;
        }
        let (tell, wait) = watch::channel(None);
        table.running.insert(key.clone(), (revision.to_owned(), wait.clone()));
        Boarding::Pilot(Pilot { flights: Arc::clone(self), key: key.clone(), revision: revision.to_owned(), tell }, wait)
    }

    /// Forgets that the job for `key` has just failed.
    pub(super) fn forgive(&self, key: &AccountKey) {
        self.table().failed.remove(key);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pilot {
    /// Ends the job and tells everybody who waits.
    pub(super) fn land(self, end: End, now: Timestamp) {
        // What a program may not begin, a page may.
        if let End::Failed(message) = &end
            && *message != PublicMessage::OpenInBrowser
        {
            let mut table = self.flights.table();
            if table.failed.len() >= FAILED_MAX {
                table.failed.clear();
            }
            table.failed.insert(self.key.clone(), Failed { revision: self.revision.clone(), at: now, message: *message });
        }
        self.tell.send_replace(Some(end));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.flights.table().running.remove(&self.key);
    }
}
