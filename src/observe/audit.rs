//! Audit events: who came in, who was refused, what was done to which account. One JSON object a line.
//!
//! An event is `tracing::info!(target: "audit", action = "access.denied", app = …, user.sub = …)`; a dot in a field's name nests. Never in an event: tokens,
//! assertions, cookies, bodies, secrets. Control characters cannot forge a line: JSON escapes them (CWE-117).

use super::Metrics;
use super::lines::{LINES_MAX, Queue};
use crate::clock::{Clock, Timestamp};
use crate::config::AuditSink;
use serde_json::{Map, Value, json};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Target of audit events.
pub const TARGET: &str = "audit";

/// Writes audit events, and counts them.
#[derive(Debug)]
pub struct AuditLayer {
    lines: Queue,
    /// Where it is said that lines are being dropped; `json` is how.
    log: Queue,
    json: bool,
    /// Whether the last line was dropped.
    dropping: AtomicBool,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

impl AuditLayer {
    /// Opens the sink; a file is appended to, and made readable by its owner only.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn open(sink: &AuditSink, log: Queue, json: bool, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let mut file = match sink {
            AuditSink::Stdout => None,
            AuditSink::File(path) => Some(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?),
        };
        let write = move |line: &[u8]| match &mut file {
            None => io::stdout().lock().write_all(line),
            Some(file) => file.write_all(line),
        };
        let lines = Queue::open("audit", LINES_MAX, &metrics, Metrics::audit_dropped, write)?;
        Ok(Self { lines, log, json, dropping: AtomicBool::new(false), metrics, clock })
    }

    /// What is to be flushed at the end.
    pub(super) const fn lines(&self) -> &Queue {
        &self.lines
    }

    /// Said once, until a line finds room again. Written by hand: an event from within the subscriber would go nowhere.
    fn complain(&self) {
        let (time, message) = (rfc3339(self.clock.now()), "audit lines are being dropped: their sink takes none");
        let line = if self.json {
            json!({ "timestamp": time, "level": "ERROR", "message": message, "target": module_path!() }).to_string()
        } else {
            format!("{time} ERROR {}: {message}", module_path!())
        };
        self.log.push(format!("{line}\n").into_bytes());
    }
}

impl<S: Subscriber> Layer<S> for AuditLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields(Map::new());
        fields.0.insert("time".to_owned(), Value::String(rfc3339(self.clock.now())));
        event.record(&mut fields);
        self.metrics.audited(&fields.0);
        let mut line = Value::Object(fields.0).to_string();
        line.push('\n');
        let dropped = !self.lines.push(line.into_bytes());
        if dropped && !self.dropping.load(Ordering::Relaxed) {
            self.complain();
        }
        self.dropping.store(dropped, Ordering::Relaxed);
    }
}

/// Collects an event's fields, nesting at dots.
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        let mut into = &mut self.0;
        let mut parts = field.name().split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                into.insert(part.to_owned(), value);
                return;
            }
            let next = into.entry(part.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            match next.as_object_mut() {
                Some(object) => into = object,
                // A plain value where a group was expected: two fields of one name, a mistake in the code that emits them.
                None => return,
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, Value::String(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field, Value::String(format!("{value:?}")));
    }
}

/// `2026-11-21T22:20:17.123Z` (RFC 3339), by the civil-from-days rule; years 0 to 9999.
pub fn rfc3339(at: Timestamp) -> String {
    let (seconds, millis) = (at.seconds(), at.millis().rem_euclid(1000));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01, in 400-year eras of 146,097 days.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;
    use crate::clock::Timestamp;

    #[test]
    fn moments_are_written_as_rfc_3339() {
        let check = |ms: i64, expected: &str| assert_eq!(rfc3339(Timestamp::from_millis(ms)), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_795_299_617_123, "2026-11-21T22:20:17.123Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(4_107_542_399_999, "2100-02-28T23:59:59.999Z");
    }
}
