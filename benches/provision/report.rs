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
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a list")]
        let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
        sorted[place]
    }

    /// Half are faster.
    pub fn median(&self) -> Duration {
        self.at(0.5)
    }

    /// One line: p50, p95, the longest, and how many.
    pub fn line(&self, what: &str) {
        println!(
            "  {what:44} p50 {:8.3}   p95 {:8.3}   max {:8.3}   n {}",
            ms(self.median()),
            ms(self.at(0.95)),
            ms(self.at(1.0)),
            self.0.len()
        );
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
