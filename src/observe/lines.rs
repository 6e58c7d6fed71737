//! Lines on their way out.
//!
//! Lives here: [`Queue`], a bounded queue with a writer thread of its own. Apart because whoever logs must never wait for whoever reads the log: a core
//! that writes to a full pipe would stop with all its connections. It knows nothing of what is in a line.

use super::Metrics;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that may wait for a slow reader; beyond that they are dropped and counted.
pub(super) const LINES_MAX: usize = 8192;
/// How long the end waits for the last lines.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// How often a full queue is tried while waiting for the end.
const FLUSH_POLL: Duration = Duration::from_millis(5);

/// What the writer thread gets.
#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// To be answered when everything before it has been written.
    Flush(SyncSender<()>),
}

/// Takes lines and never blocks. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    sender: SyncSender<Item>,
    metrics: Arc<Metrics>,
    count_lost: fn(&Metrics),
}

impl Queue {
    /// At most `lines_max` lines wait for `write`, which gets one line at a time on a thread called `name`. Lines that find no room or that `write` fails on
    /// are lost, and counted by `count_lost`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn open(
        name: &str,
        lines_max: usize,
        metrics: &Arc<Metrics>,
        count_lost: fn(&Metrics),
        mut write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(lines_max);
        let counted = Arc::clone(metrics);
        let writer = thread::Builder::new().name(name.to_owned()).spawn(move || {
            for item in receiver {
                match item {
                    Item::Line(line) => {
                        if write(&line).is_err() {
                            count_lost(&counted);
                        }
                    }
                    // Whoever asked may have lost patience.
                    Item::Flush(written) => drop(written.send(())),
                }
            }
        })?;
        // It ends when the last clone of the queue is gone.
        drop(writer);
        Ok(Self { sender, metrics: Arc::clone(metrics), count_lost })
    }

    /// Whether there was room for `line`.
    pub(super) fn push(&self, line: Vec<u8>) -> bool {
        let pushed = self.sender.try_send(Item::Line(line)).is_ok();
        if !pushed {
            (self.count_lost)(&self.metrics);
        }
        pushed
    }

    /// Waits until everything pushed before has been written; false when that takes longer than `patience`.
    fn flush(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let (written, hear) = sync_channel(1);
        let mut item = Item::Flush(written);
        loop {
            match self.sender.try_send(item) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if Instant::now() < until => item = back,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return false,
            }
            thread::sleep(FLUSH_POLL);
        }
        hear.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok()
    }
}

/// The subscriber writes each line whole, in one call.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the last lines from being lost: when dropped, it waits (two seconds a queue at most) until they are written.
#[derive(Debug)]
#[must_use = "the last lines are written when this is dropped"]
pub struct Flush(pub(super) Vec<Queue>);

impl Drop for Flush {
    fn drop(&mut self) {
        for queue in &self.0 {
            // Whoever does not read by now will not read a complaint either.
            Queue::flush(queue, FLUSH_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Metrics, Queue};
    use std::sync::mpsc::{channel, sync_channel};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    #[test]
    fn a_reader_that_stalls_costs_lines_and_never_time() {
        let metrics = Arc::new(Metrics::default());
        let written = Arc::new(Mutex::new(Vec::new()));
        let (go, gate) = channel::<()>();
        let (begun, first) = sync_channel(8);
        let to = Arc::clone(&written);
        let write = move |line: &[u8]| {
            begun.send(()).unwrap();
            gate.recv().unwrap();
            to.lock().unwrap().extend_from_slice(line);
            Ok(())
        };
        let queue = Queue::open("test", 2, &metrics, Metrics::audit_dropped, write).unwrap();
        assert!(queue.push(b"1".to_vec()));
        // The writer has the first line, two more fit, and nobody waits for the others.
        first.recv().unwrap();
        assert_eq!(["2", "3", "4", "5"].map(|line| queue.push(line.into())), [true, true, false, false]);
        assert!(metrics.text().contains("vestibule_audit_dropped_total{sink=\"lines\"} 2"), "{}", metrics.text());
        assert!(!Queue::flush(&queue, Duration::ZERO), "nothing is read: the end does not wait for ever");
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        assert!(Queue::flush(&queue, Duration::from_mins(1)));
        assert_eq!(*written.lock().unwrap(), b"123");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_rest_goes_on() {
        let metrics = Arc::new(Metrics::default());
        let full = |_line: &[u8]| Err(std::io::Error::other("no space left"));
        let queue = Queue::open("test", 8, &metrics, Metrics::audit_dropped, full).unwrap();
        assert!(queue.push(b"1".to_vec()) && queue.push(b"2".to_vec()));
        assert!(Queue::flush(&queue, Duration::from_mins(1)));
        assert!(metrics.text().contains("vestibule_audit_dropped_total{sink=\"lines\"} 2"), "{}", metrics.text());
    }
}
