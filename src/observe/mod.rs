//! What operators see from outside: logs, audit events, metrics, traces.
//!
//! Code emits `tracing` events and knows nothing of this module: events with target `audit` become audit lines (`audit.rs`) and
//! counters, everything else becomes log lines. What stood behind a refusal is kept under its code (`incidents.rs`). The hot path counts into a tally of its own core, which is flushed here
//! once a second (`metrics.rs`). Spans are sent to a collector (`traces.rs`).

pub mod audit;
mod incidents;
mod level;
mod lines;
mod metrics;
mod traces;

pub use audit::Pseudonyms;
pub use incidents::{Incidents, Keep, Keeping};
pub use level::Level;
pub use lines::Flush;
pub use metrics::{Counted, Metrics, Tally};
pub use traces::{Exporter, ExporterError};

use crate::clock::Clock;
use crate::config::{Audit, AuditSink, Telemetry};
use crate::state::seal::Sealer;
use audit::{AuditLayer, NotOpened};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// `[telemetry] log` is not a filter.
    #[error("[telemetry] log = {0:?}: {1}")]
    Filter(String, tracing_subscriber::filter::ParseError),
    /// The audit file cannot be opened.
    #[error("[audit] file: {0} cannot be opened: {1}; the user that runs vestibule must be able to write there")]
    Audit(String, std::io::Error),
    /// Where the audit file ends cannot be written down beside the store.
    #[error("[state] url: {} cannot be written: {cause}; the folder of the store must be there, and the user that runs vestibule must be able to write there", .path.display())]
    Record {
        /// What was to be written.
        path: PathBuf,
        /// The operating system's word.
        cause: std::io::Error,
    },
    /// Nothing listens where the audit log should go.
    #[error("[audit] file = \"{name}\": nothing takes messages at {}: {cause}; see that the log daemon runs, and in a container that its socket is mounted; \"stdout\" or a file needs neither", .path.display())]
    Socket {
        /// `syslog` or `journald`.
        name: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// The operating system's word.
        cause: std::io::Error,
    },
    /// A thread that writes lines.
    #[error("logging: {0}")]
    Thread(std::io::Error),
    /// Somebody has set up logging already.
    #[error("logging is set up already")]
    Twice,
}

/// Why the sink could not be opened.
fn opened(sink: &AuditSink, why: NotOpened) -> ObserveError {
    let cause = match why {
        NotOpened::Sink(cause) => cause,
        NotOpened::Record(path, cause) => return ObserveError::Record { path, cause },
    };
    match sink {
        AuditSink::Stdout => ObserveError::Audit("stdout".to_owned(), cause),
        AuditSink::File(path) => ObserveError::Audit(path.display().to_string(), cause),
        AuditSink::Syslog(path) => ObserveError::Socket { name: "syslog", path: path.clone(), cause },
        AuditSink::Journald(path) => ObserveError::Socket { name: "journald", path: path.clone(), cause },
    }
}

/// Sends logs to standard error and audit events to their sink, for the whole process. Nobody who logs waits for them: see `lines.rs`. The last lines are
/// written when the [`Flush`] is dropped; [`Level`] changes how much is logged. Of `sealer`'s key come the chain of an audit file and, with
/// `[audit] pii = "hash"`, pseudonyms. Where an audit file ends is written down beside the store's file `store`; that it ended elsewhere is logged and audited.
///
/// # Errors
/// [`ObserveError`] by cause.
pub fn install(
    telemetry: &Telemetry,
    audit: &Audit,
    (sealer, store): (&Sealer, Option<&Path>),
    metrics: &Arc<Metrics>,
    clock: Arc<dyn Clock>,
) -> Result<(Flush, Level), ObserveError> {
    let level = Level::parse(&telemetry.log)?;
    let json = match telemetry.format.as_str() {
        "json" => true,
        "text" => false,
        _ => !std::io::stderr().is_terminal(),
    };
    let not_audit = tracing_subscriber::filter::filter_fn(|event| event.target() != audit::TARGET);
    let write = |line: &[u8]| std::io::stderr().lock().write_all(line);
    let log = lines::Queue::open("log", lines::LINES_MAX, metrics, Metrics::log_dropped, write).map_err(ObserveError::Thread)?;
    let layer = AuditLayer::open(audit, (sealer, store), log.clone(), json, Arc::clone(metrics), clock);
    let (layer, found) = layer.map_err(|error| opened(&audit.sink, error))?;
    let flush = Flush(vec![layer.lines().clone(), log.clone()]);
    let writer = move || log.clone();
    let lines = if json {
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(writer).boxed()
    } else {
        tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    // Without the hint everything that may be logged would be put to this filter, trace lines of libraries too.
    let only_audit = tracing_subscriber::filter::filter_fn(|event| event.target() == audit::TARGET).with_max_level_hint(LevelFilter::INFO);
    tracing_subscriber::registry()
        .with(lines.with_filter(not_audit).with_filter(level.clone()))
        .with(layer.with_filter(only_audit))
        .try_init()
        .map_err(|_already| ObserveError::Twice)?;
    if let AuditSink::File(path) = &audit.sink {
        tell_found(path, &found);
    }
    Ok((flush, level))
}

/// What the audit file is found to be at the start, where that is not what it should be.
fn tell_found(path: &Path, found: &audit::Found) {
    let file = path.display();
    match found {
        audit::Found::Whole | audit::Found::Moved { .. } => {}
        audit::Found::Cut { written, there, last } => {
            tracing::info!(target: "audit", action = "audit.cut", file = %file, lines = there, written, last);
            tracing::error!(%file, there, written, last, "lines are missing at the end of the audit file: somebody cut them off, or the power failed before they reached the disk");
        }
        audit::Found::Gone { written, last } => {
            tracing::info!(target: "audit", action = "audit.gone", file = %file, written, last);
            tracing::warn!(%file, written, last, "the audit file is not there any more, and none beside it ends where it ended: moved elsewhere, compressed, or removed");
        }
        audit::Found::Unknown { why } => {
            tracing::info!(target: "audit", action = "audit.end_unknown", file = %file, reason = why);
            tracing::error!(%file, why, "whether lines are missing at the end of the audit file cannot be told: in order only at the first start after an upgrade from a version that wrote down no end; else somebody removed or changed the record");
        }
    }
}
