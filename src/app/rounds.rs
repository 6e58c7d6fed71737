//! What is done now and then while the gateway runs, beside whatever people wait for.
//!
//! Lives here: [`Rounds`], and [`again`], the one way in which a round waits for the next. Each ends when the gateway stops; what fails is told, and tried again.

use crate::clock::Clock;
use crate::provision::Desk;
use crate::session::LiveSessions;
use crate::signer::KeyRing;
use crate::state::{LoginStore as _, sqlite};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// How often sessions are flushed and what is over is swept.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// How often the store's log is folded into its file: what a loss of power can cost.
const FOLD_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether today's backup is there.
const BACKUP_EVERY: Duration = Duration::from_mins(10);
/// How often signing keys that nobody needs any more are removed.
const TIDY_EVERY: Duration = Duration::from_mins(10);

/// What the rounds are about.
pub(super) struct Rounds {
    pub(super) store: sqlite::Store,
    pub(super) provision: Arc<Desk>,
    pub(super) live: Arc<LiveSessions>,
    pub(super) keys: KeyRing,
    pub(super) clock: Arc<dyn Clock>,
    /// Daily backups of the store.
    pub(super) backup_keep: usize,
}

impl Rounds {
    /// Begins them.
    pub(super) fn begin(self, stop: &CancellationToken) {
        let Self { store, provision, live, keys, clock, backup_keep } = self;
        drop(tokio::spawn(sweep_logins(store.clone(), Arc::clone(&clock), SWEEP_EVERY, stop.clone())));
        drop(tokio::spawn(give_back(provision, live, SWEEP_EVERY, stop.clone())));
        drop(tokio::spawn(back_up(store.clone(), backup_keep, clock, BACKUP_EVERY, stop.clone())));
        drop(tokio::spawn(fold(store, FOLD_EVERY, stop.clone())));
        drop(tokio::spawn(tidy_keys(keys, TIDY_EVERY, stop.clone())));
    }
}

/// Waits for the next round of work that nobody waits for; false when the gateway stops.
pub(super) async fn again(every: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(every) => true,
    }
}

/// Deletes sign-ins that were never finished.
async fn sweep_logins(logins: sqlite::Store, clock: Arc<dyn Clock>, every: Duration, stop: CancellationToken) {
    while again(every, &stop).await {
        if let Err(error) = logins.sweep_logins(clock.now()).await {
            tracing::warn!(%error, "sign-ins that were never finished could not be swept");
        }
    }
}

/// Removes signing keys that are published no longer.
async fn tidy_keys(keys: KeyRing, every: Duration, stop: CancellationToken) {
    loop {
        if let Err(error) = keys.tidy().await {
            tracing::warn!(%error, "signing keys that nobody needs any more could not be removed; trying again");
        }
        if !again(every, &stop).await {
            return;
        }
    }
}

/// Has the desk give back what ended sign-ons got at apps. When more have ended at once than it could hear of, it looks at each that got something; what all that missed is
/// given back when no sign-on is as old any more.
async fn give_back(desk: Arc<Desk>, live: Arc<LiveSessions>, every: Duration, stop: CancellationToken) {
    let (mut endings, mut ticks) = (live.endings(), tokio::time::interval(every));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            ended = endings.recv() => match ended {
                Ok(id) => desk.leave_ended(id),
                Err(RecvError::Lagged(_)) => desk.leave_all_ended(),
                Err(RecvError::Closed) => return,
            },
            _ = ticks.tick() => desk.leave_older(live.max_ms()),
        }
    }
}

/// Folds the store's log into its file, so that nobody's sign-in has to.
async fn fold(store: sqlite::Store, every: Duration, stop: CancellationToken) {
    while again(every, &stop).await {
        if let Err(error) = store.fold().await {
            tracing::warn!(%error, "the store's log could not be folded into its file; trying again");
        }
    }
}

/// Keeps `keep` daily backups of the store; none are made for 0.
async fn back_up(store: sqlite::Store, keep: usize, clock: Arc<dyn Clock>, every: Duration, stop: CancellationToken) {
    if keep == 0 {
        return;
    }
    loop {
        match store.back_up(clock.now(), keep).await {
            Ok(Some(path)) => tracing::info!(path = %path.display(), "the store is backed up"),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the store could not be backed up; trying again"),
        }
        if !again(every, &stop).await {
            return;
        }
    }
}
