//! Keeping what stood behind every refusal, so that `vestibule explain 7KQ4-M2XD` can say it.
//!
//! Lives here: [`Incidents`], which takes records without ever waiting, and [`Keeping`], which writes them down, many at a time, on the control runtime. What finds no
//! room is counted, not waited for. Strangers get half of the room: whoever floods the door does not keep a person's refusal from being recorded.

use super::Metrics;
use crate::clock::Clock;
use crate::fault::PublicMessage;
use crate::state::{AccountKey, IncidentBounds, IncidentRecord, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Records that wait to be written.
const WAITING_MAX: usize = 4096;
/// Records written at once.
const AT_ONCE: usize = 256;
/// A full batch is followed by a pause: whoever floods the door does not get all of the disk as well.
const PAUSE: Duration = Duration::from_millis(50);
/// Records after which what is too many is deleted, whatever the time.
const SWEEP_AFTER: usize = 10_000;
/// How often what is too old is deleted.
const SWEEP_EVERY: Duration = Duration::from_mins(15);
/// Records kept, of people and of strangers: 100,000 together, and [`SWEEP_AFTER`] until the next sweep.
const OF_PEOPLE_MAX: u32 = 80_000;
const OF_STRANGERS_MAX: u32 = 20_000;

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Incidents: `[state] incidents_keep`.
    pub incidents_ms: i64,
    /// Sign-ins: `[state] sign_ins_keep`.
    pub sign_ins_ms: i64,
}

/// Takes records.
#[derive(Debug, Clone)]
pub struct Incidents {
    sender: mpsc::Sender<IncidentRecord>,
    metrics: Arc<Metrics>,
}

/// Writes records down.
#[derive(Debug)]
pub struct Keeping {
    receiver: mpsc::Receiver<IncidentRecord>,
    metrics: Arc<Metrics>,
}

impl Incidents {
    /// One that takes, and one that keeps.
    pub fn channel(metrics: Arc<Metrics>) -> (Self, Keeping) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self { sender, metrics: Arc::clone(&metrics) }, Keeping { receiver, metrics })
    }

    /// Has a record written down, if there is room. Never waits.
    pub fn keep(&self, incident: IncidentRecord) {
        let room = incident.facts.person.is_some() || self.sender.capacity() > WAITING_MAX / 2;
        if !room || self.sender.try_send(incident).is_err() {
            self.metrics.incidents_dropped(1);
        }
    }
}

impl Keeping {
    /// Writes until `stop`, then what is left; deletes incidents and sign-ins as they get old.
    pub async fn run(mut self, store: Arc<dyn Store>, clock: Arc<dyn Clock>, keep: Keep, stop: CancellationToken) {
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        let mut batch = Vec::with_capacity(AT_ONCE);
        let mut written = 0;
        loop {
            tokio::select! {
                count = self.receiver.recv_many(&mut batch, AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    self.write(&store, &mut batch).await;
                    written += count;
                    if written >= SWEEP_AFTER {
                        sweep.reset_immediately();
                    }
                    if count == AT_ONCE {
                        drop(tokio::time::timeout(PAUSE, stop.cancelled()).await);
                    }
                }
                _ = sweep.tick() => {
                    written = 0;
                    sweep_old(&store, clock.as_ref(), keep).await;
                }
                // Nothing more is taken; what waits is still given out, and then nothing.
                () = stop.cancelled(), if !self.receiver.is_closed() => self.receiver.close(),
            }
        }
    }

    async fn write(&self, store: &Arc<dyn Store>, batch: &mut Vec<IncidentRecord>) {
        for incident in batch.iter_mut() {
            complete(store, incident).await;
        }
        if let Err(error) = store.keep_incidents(batch).await {
            tracing::warn!(%error, count = batch.len(), "incidents could not be recorded: explain will not know of them");
            self.metrics.incidents_dropped(batch.len());
        }
        batch.clear();
    }
}

/// Adds what the account record says of a failure: the step and its outcome, as in the log.
async fn complete(store: &Arc<dyn Store>, incident: &mut IncidentRecord) {
    let facts = &mut incident.facts;
    let of_an_account = matches!(facts.message, PublicMessage::AccountFailed | PublicMessage::AccountUnavailable | PublicMessage::AccountExists);
    let (Some(app), Some(person), None, true) = (&facts.app, &facts.person, &facts.detail, of_an_account) else { return };
    let key = AccountKey { upstream: app.clone(), subject: person.subject.clone() };
    match store.account(&key).await {
        Ok(record) => facts.detail = record.and_then(|record| record.last_error),
        Err(error) => tracing::debug!(%error, "no account record for an incident"),
    }
}

async fn sweep_old(store: &Arc<dyn Store>, clock: &dyn Clock, keep: Keep) {
    let now = clock.now();
    let bounds = IncidentBounds { since: now.plus_ms(-keep.incidents_ms), of_people_max: OF_PEOPLE_MAX, of_strangers_max: OF_STRANGERS_MAX };
    if let Err(error) = store.sweep_incidents(bounds).await {
        tracing::warn!(%error, "old incidents could not be deleted");
    }
    if let Err(error) = store.sweep_sign_ins(now.plus_ms(-keep.sign_ins_ms)).await {
        tracing::warn!(%error, "old sign-ins could not be deleted");
    }
}

#[cfg(test)]
mod tests {
    use super::{Incidents, WAITING_MAX};
    use crate::clock::Timestamp;
    use crate::fault::{Incident, PublicMessage};
    use crate::identity::Identity;
    use crate::observe::Metrics;
    use crate::state::{IncidentFacts, IncidentRecord};
    use std::sync::Arc;

    fn record(person: bool) -> IncidentRecord {
        let identity = || Identity::bare("corp", "https://idp.example", "1");
        let facts = IncidentFacts { person: person.then(identity), ..IncidentFacts::of(PublicMessage::NoSuchHost) };
        IncidentRecord { code: Incident::from_number(1), at: Timestamp::default(), facts }
    }

    #[test]
    fn strangers_fill_half_of_the_room_people_all_of_it_and_what_is_lost_is_counted() {
        let metrics = Arc::new(Metrics::default());
        let (incidents, keeping) = Incidents::channel(Arc::clone(&metrics));
        let lost = |count: usize| {
            let line = format!("vestibule_incidents_dropped_total {count}\n");
            assert!(metrics.text().contains(&line), "{line}{}", metrics.text());
        };
        for _ in 0..WAITING_MAX {
            incidents.keep(record(false));
        }
        lost(WAITING_MAX / 2);
        for _ in 0..WAITING_MAX / 2 {
            incidents.keep(record(true));
        }
        lost(WAITING_MAX / 2);
        incidents.keep(record(true));
        lost(WAITING_MAX / 2 + 1);
        assert_eq!(keeping.receiver.len(), WAITING_MAX);
    }
}
