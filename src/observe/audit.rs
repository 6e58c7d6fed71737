//! Audit events: who came in, who was refused, what was done to which account. One JSON object a line.
//!
//! An event is `tracing::info!(target: "audit", action = "access.denied", app = …, user.sub = …)`; a dot in a field's name nests. Never in an event: tokens,
//! assertions, cookies, bodies, secrets. Control characters cannot forge a line: JSON escapes them (CWE-117).
//!
//! On its way an event may be one too many of its kind (`throttle.rs`), may find no room (refusals have half of it: `lines.rs`), which is said in a line of its own, loses who it was, where that is wanted (`pseudonym.rs`), gets the names of a schema (`ocsf.rs`, `ecs.rs`, by the table in `meaning.rs`),
//! and is wrapped as its sink takes it (`sink.rs`); in a file it
//! becomes a link of a chain (`chain.rs`), the end of which is written down elsewhere (`end.rs`).

mod chain;
mod ecs;
mod end;
mod fields;
mod meaning;
mod ocsf;
mod pseudonym;
mod sink;
mod throttle;
mod verify;

pub use chain::{BEGINNING, ChainKey, Link};
pub(super) use end::NotOpened;
pub use end::{End, EndRecord, Found, NoEnd};
pub use pseudonym::Pseudonyms;
pub use verify::{Finding, Problem, Verdict, Verification};

use super::Metrics;
use super::lines::{LINES_MAX, Pushed, Queue};
use crate::clock::{Clock, Timestamp};
use crate::config::{Audit, AuditFormat, AuditSink};
use crate::state::seal::Sealer;
use fields::Fields;
use meaning::{Meaning, UNKNOWN, meaning};
use serde_json::{Map, Value, json};
use sink::{Frame, Label};
use std::path::Path;
use std::sync::Arc;
use throttle::{Admitted, Throttle};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Says how many lines were lost before it. As no other event, it comes from the thread that writes them.
const LOST: &str = "audit.lost";

/// Target of audit events.
pub const TARGET: &str = "audit";

/// Writes audit events, and counts them.
#[derive(Debug)]
pub struct AuditLayer {
    lines: Queue,
    shape: Shape,
    /// `pii = "hash"`.
    pseudonyms: Option<Pseudonyms>,
    /// Where it is said that lines are being dropped; `json` is how.
    log: Queue,
    json: bool,
    throttle: Throttle,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

impl AuditLayer {
    /// Opens the sink: see `sink.rs`. Of `sealer`'s key come pseudonyms, where nobody is to be named, and the chain of a file, whose end is written down beside
    /// `store`. Also what the file is found to be.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub(super) fn open(
        audit: &Audit,
        (sealer, store): (&Sealer, Option<&Path>),
        log: Queue,
        json: bool,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Found), NotOpened> {
        let key = ChainKey::new(sealer.clone());
        let record = match (&audit.sink, store) {
            (AuditSink::File(path), Some(store)) => Some(EndRecord::beside(store, path, key.clone())),
            _ => None,
        };
        let (write, frame, found) = sink::open(&audit.sink, &key, record.as_ref())?;
        let pseudonyms = audit.hash.then(|| Pseudonyms::new(sealer.clone()));
        let shape = Shape { frame: Arc::new(frame), format: audit.format };
        let (confessing, now) = (shape.clone(), Arc::clone(&clock));
        let confession = Box::new(move |lines| confessing.confession(lines, now.now()));
        let lines = Queue::confessing("audit", LINES_MAX, &metrics, Metrics::audit_dropped, write, confession)?;
        let layer = Self { lines, shape, pseudonyms, log, json, throttle: Throttle::default(), metrics, clock };
        Ok((layer, found))
    }

    /// What is to be flushed at the end.
    pub(super) const fn lines(&self) -> &Queue {
        &self.lines
    }

    /// Said once, until it is said in a line of its own how many there were. Written by hand: an event from within the subscriber would go nowhere.
    fn complain(&self) {
        let (time, message) = (rfc3339(self.clock.now()), "audit lines are being dropped: their sink takes none");
        let line = if self.json {
            json!({ "timestamp": time, "level": "ERROR", "message": message, "target": module_path!() }).to_string()
        } else {
            format!("{time} ERROR {}: {message}", module_path!())
        };
        let _counted: Pushed = self.log.push(format!("{line}\n").into_bytes());
    }
}

/// What an event becomes.
#[derive(Debug, Clone)]
struct Shape {
    frame: Arc<Frame>,
    format: AuditFormat,
}

impl Shape {
    /// The event as its sink takes it.
    fn written(&self, event: Fields, meaning: Meaning, at: Timestamp) -> Vec<u8> {
        let text = |name: &str| event.text(name).to_owned();
        let (action, incident, app) = (text("action"), text("incident"), text("app"));
        let shaped = match self.format {
            AuditFormat::Plain => plain(event, at),
            AuditFormat::Ocsf => ocsf::shape(event, &meaning, at),
            AuditFormat::Ecs => ecs::shape(event, &meaning, at),
        };
        let label = Label { at, priority: meaning.severity.priority(), action: &action, incident: &incident, app: &app };
        self.frame.wrap(label, &shaped.to_string())
    }

    /// That `lines` were lost.
    fn confession(&self, lines: u64, at: Timestamp) -> Vec<u8> {
        let reason = "no room, or they could not be written";
        let event = Map::from_iter([("action".to_owned(), LOST.into()), ("lines".to_owned(), lines.into()), ("reason".to_owned(), reason.into())]);
        self.written(Fields(event), meaning(LOST, "").unwrap_or(UNKNOWN), at)
    }
}

/// How many lines were lost before this one, in whatever format; `None` for any other event. Lines that do not so much as name it cost no parsing.
fn confessed(line: &str) -> Option<u64> {
    let event: Value = line.contains("\"audit.lost\"").then(|| serde_json::from_str(line).ok()).flatten()?;
    let at = |path: &str| event.pointer(path).filter(|value| !value.is_null());
    let is_it = ["/action", "/event/action", "/metadata/event_code"].into_iter().filter_map(at).any(|action| action == LOST);
    let lines = ["/lines", "/labels/lines", "/unmapped/lines"].into_iter().find_map(at)?;
    is_it.then(|| lines.as_u64().or_else(|| lines.as_str()?.parse().ok())).flatten()
}

impl<S: Subscriber> Layer<S> for AuditLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.metrics.audited(&fields.0);
        let (meaning, now) = (meaning(fields.text("action"), fields.text("attempt")).unwrap_or(UNKNOWN), self.clock.now());
        let lesser = throttle::is_refusal(&fields, &meaning);
        let left_out = match self.throttle.admit(&fields, &meaning, now) {
            Admitted::Written { left_out } => left_out,
            Admitted::LeftOut => return self.metrics.audit_left_out(),
        };
        if left_out > 0 {
            fields.0.insert("left_out".to_owned(), left_out.into());
        }
        if let Some(pseudonyms) = &self.pseudonyms {
            pseudonyms.hide(&mut fields);
        }
        let line = self.shape.written(fields, meaning, now);
        let pushed = if lesser { self.lines.push_lesser(line) } else { self.lines.push(line) };
        match pushed {
            Pushed::Well => {}
            Pushed::Lost { first } => {
                self.lines.lose_others(left_out);
                if first {
                    self.complain();
                }
            }
        }
    }
}

/// Our own names, as emitted.
fn plain(event: Fields, at: Timestamp) -> Value {
    let mut out = Map::from_iter([("time".to_owned(), Value::String(rfc3339(at)))]);
    out.extend(event.0);
    Value::Object(out)
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
    use super::{AuditLayer, ChainKey, Frame, NotOpened, Shape, TARGET, UNKNOWN, Verification, confessed, fields, rfc3339};
    use crate::clock::{ManualClock, Timestamp};
    use crate::config::{Audit, AuditFormat, AuditSink};
    use crate::entropy::OsEntropy;
    use crate::observe::lines::{Flush, Queue};
    use crate::observe::{Metrics, ObserveError, opened};
    use crate::state::seal::Sealer;
    use secrecy::SecretString;
    use serde_json::{Value, json};
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn moments_are_written_as_rfc_3339() {
        let check = |ms: i64, expected: &str| assert_eq!(rfc3339(Timestamp::from_millis(ms)), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_795_299_617_123, "2026-11-21T22:20:17.123Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(4_107_542_399_999, "2100-02-28T23:59:59.999Z");
    }

    const KEY: &str = "a key for tests that is long enough to be one";

    /// Tells three events through a real layer; returns once they are written.
    fn tell(audit: &Audit) {
        let metrics = Arc::new(Metrics::default());
        let log = Queue::open("log", 8, &metrics, Metrics::log_dropped, |_| Ok(())).unwrap();
        let sealer = Sealer::new(&SecretString::from(KEY), Arc::new(OsEntropy::default())).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_795_299_617_123)));
        let (layer, _) = AuditLayer::open(audit, (&sealer, None), log, true, Arc::clone(&metrics), clock).unwrap();
        let flush = Flush(vec![layer.lines().clone()]);
        // With a single dispatcher alive, tracing asks the thread that meets an event first, and other tests' threads have no subscriber.
        let _another = tracing::Dispatch::new(tracing_subscriber::registry());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(target: TARGET, action = "login.failed", incident = "7KQ4-M2XD", reason = "state_unknown", app = "");
            tracing::info!(target: TARGET, action = "account.failed", attempt = "create", app = "wiki", user.sub = "u-1", user.email = "ada@example.com", account.login = "ada", reason = "the login ada is taken by zoe@example.com\n");
        });
        drop(flush);
        assert!(!metrics.text().contains("vestibule_audit_dropped_total{sink=\"lines\"}"), "{}", metrics.text());
    }

    /// The lines of a file, for this format.
    fn lines(format: AuditFormat, hash: bool) -> (String, Vec<Value>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        tell(&Audit { format, hash, ..Audit::to(AuditSink::File(path.clone())) });
        let text = std::fs::read_to_string(path).unwrap();
        let mut events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let chain: Vec<(Value, Value)> =
            events.iter_mut().filter_map(Value::as_object_mut).map(|event| (event.remove("prev").unwrap(), event.remove("hash").unwrap())).collect();
        assert!(chain.windows(2).all(|two| two[1].0 == two[0].1), "{text}");
        (text, events)
    }

    #[test]
    fn every_format_tells_the_same_events() {
        let (_, plain) = lines(AuditFormat::Plain, false);
        assert_eq!(
            plain[0],
            json!({ "time": "2026-11-21T22:20:17.123Z", "action": "login.failed", "incident": "7KQ4-M2XD", "reason": "state_unknown", "app": "" })
        );
        let (_, ocsf) = lines(AuditFormat::Ocsf, false);
        assert_eq!(
            (&ocsf[0]["type_uid"], &ocsf[1]["type_uid"], &ocsf[1]["user"]["email_addr"]),
            (&json!(300_201), &json!(300_101), &json!("ada@example.com"))
        );
        let (_, ecs) = lines(AuditFormat::Ecs, false);
        assert_eq!((&ecs[1]["event"]["type"], &ecs[1]["user"]["id"], ecs.len()), (&json!(["error"]), &json!("u-1"), 2));
    }

    #[test]
    fn how_many_lines_were_lost_is_read_in_every_format_and_nobody_else_can_say_so() {
        let at = Timestamp::from_millis(1_795_299_617_123);
        for format in [AuditFormat::Plain, AuditFormat::Ocsf, AuditFormat::Ecs] {
            let shape = Shape { frame: Arc::new(Frame::Line), format };
            let line = String::from_utf8(shape.confession(17, at)).unwrap();
            assert_eq!(confessed(&line), Some(17), "{line}");
            let told = |pairs: &[(&str, &str)]| String::from_utf8(shape.written(fields::fields(pairs), UNKNOWN, at)).unwrap();
            let sly = told(&[("action", "access.denied"), ("user.sub", "audit.lost"), ("reason", "audit.lost"), ("lines", "9")]);
            assert_eq!(confessed(&sly), None, "{sly}");
        }
        assert_eq!(confessed("\"audit.lost\""), None);
    }

    #[test]
    fn nobody_is_named_in_any_format_where_that_is_not_wanted() {
        for format in [AuditFormat::Plain, AuditFormat::Ocsf, AuditFormat::Ecs] {
            let (text, events) = lines(format, true);
            // "metadata" is a word of OCSF.
            for private in ["ada@", "\"ada\"", " ada ", "zoe", "u-1", "example.com"] {
                assert!(!text.contains(private), "{private}: {text}");
            }
            assert!(text.contains("h:") && text.contains("7KQ4-M2XD") && text.contains("wiki") && events.len() == 2, "{text}");
        }
        let (_, again) = lines(AuditFormat::Plain, true);
        assert_eq!(lines(AuditFormat::Plain, true).1[1]["user"], again[1]["user"], "the same after a restart");
    }

    #[test]
    fn a_flood_of_refusals_pushes_nobody_elses_line_out_and_the_chain_itself_says_what_was_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let metrics = Arc::new(Metrics::default());
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_795_299_617_123)));
        let key = || ChainKey::new(Sealer::new(&SecretString::from(KEY), Arc::new(OsEntropy::default())).unwrap());
        let mut file = super::chain::Chained::open(&path, key(), None).unwrap().0;
        // A disk that takes nothing until the sender is gone.
        let (disk_is_full, gate) = std::sync::mpsc::channel::<()>();
        let write = move |line: &[u8]| {
            let _open_by_now = gate.recv();
            file.write(line)
        };
        let shape = Shape { frame: Arc::new(Frame::Line), format: AuditFormat::Plain };
        let confessing = shape.clone();
        let confession = Box::new(move |lines| confessing.confession(lines, Timestamp::from_millis(0)));
        let lines = Queue::confessing("audit", 16, &metrics, Metrics::audit_dropped, write, confession).unwrap();
        let (flush, throttle) = (Flush(vec![lines.clone()]), super::Throttle::default());
        let log = Queue::open("log", 8, &metrics, Metrics::log_dropped, |_| Ok(())).unwrap();
        let layer = AuditLayer { lines, shape, pseudonyms: None, log, json: true, throttle, metrics, clock };
        let _another = tracing::Dispatch::new(tracing_subscriber::registry());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            // Many of them, so that ten lines of each are too many as well.
            for n in 0..100 {
                tracing::info!(target: TARGET, action = "access.denied", app = "wiki", user.sub = format!("p-{n}"), reason = "groups");
            }
            tracing::info!(target: TARGET, action = "admin.command", operator = "root");
            tracing::info!(target: TARGET, action = "role.granted", app = "wiki", user.sub = "ada");
            tracing::info!(target: TARGET, action = "session.revoked", user.sub = "bob");
        });
        drop(disk_is_full);
        drop(flush);
        let mut verification = Verification::new(key());
        verification.file("audit.jsonl");
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().for_each(|line| verification.line(line.as_bytes()));
        let verdict = verification.end();
        let told = |action: &str| text.lines().filter(|line| line.contains(&format!("\"action\":\"{action}\""))).count();
        assert!(["admin.command", "role.granted", "session.revoked"].into_iter().all(|action| told(action) == 1), "{text}");
        assert_eq!(
            (verdict.findings.len(), told("audit.lost"), usize::try_from(verdict.lost).unwrap() + told("access.denied")),
            (0, 1, 100),
            "{text}"
        );
    }

    /// What a daemon at a socket hears of the two events.
    fn heard(sink: impl Fn(&Path) -> AuditSink) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let daemon = UnixDatagram::bind(&path).unwrap();
        tell(&Audit::to(sink(&path)));
        let mut buffer = [0; 4096];
        let mut hear = || daemon.recv(&mut buffer).map(|len| String::from_utf8(buffer[..len].to_vec()).unwrap()).unwrap();
        vec![hear(), hear()]
    }

    #[test]
    fn log_daemons_hear_one_datagram_an_event() {
        let said = heard(|path| AuditSink::Syslog(path.into()));
        assert!(said[0].starts_with("<85>1 2026-11-21T22:20:17.123Z ") && said[0].contains(" login.failed - {\"time\""), "{said:?}");
        assert!(said[1].starts_with("<84>1 ") && said[1].ends_with('}'), "{said:?}");
        let said = heard(|path| AuditSink::Journald(path.into()));
        assert!(said[0].starts_with("MESSAGE={\"time\"") && said[0].contains("\nVESTIBULE_INCIDENT=7KQ4-M2XD\n"), "{said:?}");
        assert!(said[1].contains("\nPRIORITY=4\n") && said[1].contains("\nVESTIBULE_ACTION=account.failed\nVESTIBULE_APP=wiki\n"), "{said:?}");
    }

    #[test]
    fn a_socket_that_is_not_there_ends_the_start_and_says_what_to_do() {
        let (absent, io) = (Path::new("/nowhere/journal/socket"), || NotOpened::Sink(std::io::Error::from(std::io::ErrorKind::NotFound)));
        let check = |sink: AuditSink, expected: &[&str]| {
            let error: ObserveError = opened(&sink, io());
            let text = error.to_string();
            assert!(expected.iter().all(|part| text.contains(part)), "{text}");
        };
        check(AuditSink::Journald(absent.into()), &["[audit] file = \"journald\"", "/nowhere/journal/socket", "\"stdout\""]);
        check(AuditSink::Syslog(absent.into()), &["[audit] file = \"syslog\"", "/nowhere/journal/socket"]);
        check(AuditSink::File("a.jsonl".into()), &["[audit] file: a.jsonl cannot be opened"]);
        let record = NotOpened::Record("none/v.db.audit-1".into(), std::io::Error::from(std::io::ErrorKind::NotFound));
        let text = opened(&AuditSink::File("a.jsonl".into()), record).to_string();
        assert!(text.starts_with("[state] url: none/v.db.audit-1 cannot be written") && !text.contains("a.jsonl"), "{text}");
    }
}
