//! Lines on their way out.
//!
//! Lives here: [`Queue`], a bounded queue with a writer thread of its own. Apart because whoever logs must never wait for whoever reads the log: a core
//! that writes to a full pipe would stop with all its connections. It knows nothing of what is in a line.
//!
//! What somebody from outside can cause as often as they like has only half of it ([`Queue::push_lesser`]): it must not push out what there is room for but once. A queue may
//! be told how to say that lines were lost; its own thread does so, as soon as most of what waited has been written.

use super::Metrics;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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
    lines_max: usize,
    state: Arc<State>,
}

/// What both ends know.
#[derive(Debug)]
struct State {
    /// Lines that wait.
    waiting: AtomicUsize,
    /// Lines that were lost and of which nothing was said yet.
    lost: AtomicU64,
    /// Whether it was said that there is no room, since that was last made good.
    complained: AtomicBool,
    metrics: Arc<Metrics>,
    count_lost: fn(&Metrics),
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It will be written.
    Well,
    /// It found no room; `first`: nor was any other lost since that was said last.
    Lost {
        /// Whether this is news.
        first: bool,
    },
}

/// Makes the line that says how many were lost.
pub(super) type Confession = Box<dyn FnMut(u64) -> Vec<u8> + Send>;

impl State {
    fn lose(&self) {
        (self.count_lost)(&self.metrics);
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn turn_away(&self) -> Pushed {
        self.lose();
        Pushed::Lost { first: !self.complained.swap(true, Ordering::Relaxed) }
    }
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
        write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        Self::start(name, lines_max, (metrics, count_lost), write, None)
    }

    /// As [`Self::open`]; lines that are lost are confessed in one of their own, once there is room again.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn confessing(
        name: &str,
        lines_max: usize,
        metrics: &Arc<Metrics>,
        count_lost: fn(&Metrics),
        write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
        confession: Confession,
    ) -> io::Result<Self> {
        Self::start(name, lines_max, (metrics, count_lost), write, Some(confession))
    }

    fn start(
        name: &str,
        lines_max: usize,
        (metrics, count_lost): (&Arc<Metrics>, fn(&Metrics)),
        mut write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
        mut confession: Option<Confession>,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(lines_max);
        let (waiting, lost, complained) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let state = Arc::new(State { waiting, lost, complained, metrics: Arc::clone(metrics), count_lost });
        let shared = Arc::clone(&state);
        let writer = thread::Builder::new().name(name.to_owned()).spawn(move || {
            for item in receiver {
                let flushed = match item {
                    Item::Line(line) => {
                        shared.waiting.fetch_sub(1, Ordering::Relaxed);
                        if write(&line).is_err() {
                            shared.lose();
                            continue;
                        }
                        // Not while the flood lasts: one such line for each that found room would be half of them.
                        if shared.waiting.load(Ordering::Relaxed) > lines_max / 4 {
                            continue;
                        }
                        None
                    }
                    Item::Flush(written) => Some(written),
                };
                if let Some(confession) = &mut confession {
                    confess(&shared, confession, &mut write);
                }
                if let Some(written) = flushed {
                    // Whoever asked may have lost patience.
                    let _gone_maybe = written.send(());
                }
            }
        })?;
        // It ends when the last clone of the queue is gone.
        drop(writer);
        Ok(Self { sender, lines_max, state })
    }

    /// Takes a line, if there is room for it.
    pub(super) fn push(&self, line: Vec<u8>) -> Pushed {
        // Counted before: the other end may be quicker.
        self.state.waiting.fetch_add(1, Ordering::Relaxed);
        if self.sender.try_send(Item::Line(line)).is_ok() {
            return Pushed::Well;
        }
        self.state.waiting.fetch_sub(1, Ordering::Relaxed);
        self.state.turn_away()
    }

    /// So many others, which a line that was lost would have told of, are told of by nobody else.
    pub(super) fn lose_others(&self, lines: u64) {
        self.state.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// Takes a line that anybody can cause, if not more than half of the room is taken.
    pub(super) fn push_lesser(&self, line: Vec<u8>) -> Pushed {
        if self.state.waiting.load(Ordering::Relaxed) >= self.lines_max.div_ceil(2) { self.state.turn_away() } else { self.push(line) }
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

/// Says how many lines were lost, if any were; what cannot be said now is said later.
fn confess(state: &State, confession: &mut Confession, write: &mut impl FnMut(&[u8]) -> io::Result<()>) {
    let lines = state.lost.swap(0, Ordering::Relaxed);
    if lines == 0 {
        return;
    }
    if write(&confession(lines)).is_err() {
        state.lost.fetch_add(lines, Ordering::Relaxed);
    } else {
        state.complained.store(false, Ordering::Relaxed);
    }
}

/// The subscriber writes each line whole, in one call.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _counted: Pushed = self.push(line.to_vec());
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
    use super::{Metrics, Pushed, Queue};
    use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
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
        assert_eq!(queue.push(b"1".to_vec()), Pushed::Well);
        // The writer has the first line, two more fit, and nobody waits for the others.
        first.recv().unwrap();
        let (news, more) = (Pushed::Lost { first: true }, Pushed::Lost { first: false });
        assert_eq!(["2", "3", "4", "5"].map(|line| queue.push(line.into())), [Pushed::Well, Pushed::Well, news, more]);
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
        assert_eq!([queue.push(b"1".to_vec()), queue.push(b"2".to_vec())].map(|pushed| pushed == Pushed::Well), [true; 2]);
        assert!(Queue::flush(&queue, Duration::from_mins(1)));
        assert!(metrics.text().contains("vestibule_audit_dropped_total{sink=\"lines\"} 2"), "{}", metrics.text());
    }

    /// A queue whose writer waits to be told to go on.
    struct Gated {
        queue: Queue,
        /// Whether the next write goes well.
        go: Sender<bool>,
        begun: Receiver<()>,
        written: Arc<Mutex<Vec<String>>>,
    }

    fn gated(lines_max: usize) -> Gated {
        let metrics = Arc::new(Metrics::default());
        let written = Arc::new(Mutex::new(Vec::new()));
        let (go, gate) = channel::<bool>();
        let (begins, begun) = sync_channel(64);
        let to = Arc::clone(&written);
        let write = move |line: &[u8]| {
            begins.send(()).unwrap();
            if !gate.recv().unwrap() {
                return Err(std::io::Error::other("no space left"));
            }
            to.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap());
            Ok(())
        };
        let confession = Box::new(|lines| format!("lost {lines}").into_bytes());
        let queue = Queue::confessing("test", lines_max, &metrics, Metrics::audit_dropped, write, confession).unwrap();
        Gated { queue, go, begun, written }
    }

    #[test]
    fn what_anybody_can_cause_pushes_nothing_else_out_and_what_is_lost_is_said() {
        let Gated { queue, go, begun, written } = gated(8);
        assert_eq!(queue.push("0".into()), Pushed::Well);
        begun.recv().unwrap();
        // Four of eight places; the other four are for what is not theirs.
        let flood: Vec<bool> = (0..20).map(|n| queue.push_lesser(format!("flood {n}").into()) == Pushed::Well).collect();
        assert_eq!(flood.iter().filter(|well| **well).count(), 4);
        for line in ["granted", "revoked", "command", "expired"] {
            assert_eq!(queue.push(line.into()), Pushed::Well, "{line}");
        }
        assert_eq!(queue.push("one too many".into()), Pushed::Lost { first: false });
        for _ in 0..10 {
            go.send(true).unwrap();
        }
        assert!(Queue::flush(&queue, Duration::from_mins(1)));
        let lines = written.lock().unwrap().clone();
        // Said once, and not before most of what waited was written.
        let said: Vec<usize> = lines.iter().enumerate().filter(|(_, line)| line.starts_with("lost")).map(|(at, _)| at).collect();
        assert!(matches!(said.as_slice(), [at] if *at >= 6) && lines.contains(&"lost 17".to_owned()), "{lines:?}");
        assert!(["0", "flood 0", "flood 3", "granted", "revoked", "command", "expired"].iter().all(|line| lines.contains(&(*line).to_owned())));
        assert_eq!(queue.push("x".into()), Pushed::Well, "there is room again");
        go.send(true).unwrap();
        assert!(Queue::flush(&queue, Duration::from_mins(1)));
    }

    #[test]
    fn what_a_full_disk_took_is_said_once_there_is_space_again() {
        let Gated { queue, go, begun: _begun, written } = gated(8);
        for line in ["1", "2", "3"] {
            queue.push(line.into());
        }
        // Two lines fail, the third is written, and so is what became of them; where that fails too it is said with the next.
        for well in [false, false, true, false] {
            go.send(well).unwrap();
        }
        while written.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        queue.push("4".into());
        go.send(true).unwrap();
        go.send(true).unwrap();
        assert!(Queue::flush(&queue, Duration::from_mins(1)));
        assert_eq!(*written.lock().unwrap(), ["3", "4", "lost 2"]);
    }
}
