//! How figures are printed: what was measured, how often, on how busy a machine, and whether the goal is met.

use std::time::Duration;

/// Cores and load, which decide what the times below are worth.
pub fn machine() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{cores} cores, load {load} before; times in ms unless said");
}

/// A sample of times.
#[derive(Debug, Default, Clone)]
pub struct Sample(pub Vec<Duration>);

impl Sample {
    /// The time that this share of the sample does not exceed; `share` from 0 to 1.
    pub fn at(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
        sorted[place]
    }

    /// Half are faster.
    pub fn median(&self) -> Duration {
        self.at(0.5)
    }

    /// One line: p50, p95, the longest, and how many.
    pub fn line(&self, what: &str) {
        println!("  {what:44} p50 {:8.3}   p95 {:8.3}   max {:8.3}   n {}", ms(self.median()), ms(self.at(0.95)), ms(self.at(1.0)), self.0.len());
    }
}

/// Milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Whether a goal is met.
pub fn goal(what: &str, found: f64, at_most: f64, unit: &str) {
    println!("  {} {what}: {found:.3} {unit} (at most {at_most} {unit})", if found <= at_most { "met   " } else { "MISSED" });
}

/// The load over the last minute.
pub fn load_now() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("  load over the last minute: {}", load.split(' ').next().unwrap_or("?"));
}

/// Time that the threads of this process have run, and have waited for a core although they could run. All of them: fakes and browser, too.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    ran: Duration,
    waited: Duration,
}

impl Cores {
    /// As of now; threads that have ended do not count.
    pub fn now() -> Self {
        let (mut ran, mut waited) = (Duration::ZERO, Duration::ZERO);
        for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
            // Time on a core, time in its queue (both nanoseconds), number of slices.
            let told = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let mut times = told.split_ascii_whitespace().filter_map(|word| word.parse().ok()).map(Duration::from_nanos);
            ran += times.next().unwrap_or_default();
            waited += times.next().unwrap_or_default();
        }
        Self { ran, waited }
    }

    /// One line: for each of `count` since then. What was waited for is not the gateway's doing, and stands in the times above.
    pub fn since(self, count: usize) {
        let (now, count) = (Self::now(), u32::try_from(count).unwrap());
        let each = |now: Duration, before: Duration| ms(now.saturating_sub(before) / count);
        println!(
            "  for each: {:.3} ms of CPU in all threads, {:.3} ms in the queue for a core",
            each(now.ran, self.ran),
            each(now.waited, self.waited)
        );
    }
}
