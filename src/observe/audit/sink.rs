//! Where audit events go, and how they are wrapped on the way.
//!
//! Lives here: [`open`], which makes a writer for each kind of sink, and [`Frame`], which makes of an event what that sink takes: a line, a message of syslog
//! (RFC 5424), an entry of journald's native protocol. Apart because the layer knows events only. It runs on the writer's thread: it may block.

use super::chain::{ChainKey, Chained};
use super::end::{EndRecord, Found, NotOpened};
use super::rfc3339;
use crate::clock::Timestamp;
use crate::config::AuditSink;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Facility `authpriv` (RFC 5424 6.2.1: security messages that not everybody may read).
const AUTHPRIV: u8 = 10;
/// Longest `HOSTNAME` and `MSGID` (RFC 5424 6).
const HOSTNAME_MAX: usize = 255;
const MSGID_MAX: usize = 32;
/// Linux: the name of this machine.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

/// Writes one frame.
pub(super) type Writer = Box<dyn FnMut(&[u8]) -> io::Result<()> + Send>;

/// Opens the sink; a file is appended to, made readable by its owner only, and its lines are a chain whose end is written down in `record`. Also what the file is found to be.
///
/// # Errors
/// [`NotOpened`]: the operating system's. Of a socket: nothing listens there.
pub(super) fn open(sink: &AuditSink, key: &ChainKey, record: Option<&EndRecord>) -> Result<(Writer, Frame, Found), NotOpened> {
    Ok(match sink {
        AuditSink::Stdout => (Box::new(|line| io::stdout().lock().write_all(line)), Frame::Line, Found::Whole),
        AuditSink::File(path) => {
            let (mut file, found) = Chained::open(path, key.clone(), record)?;
            (Box::new(move |line| file.write(line)), Frame::Line, found)
        }
        AuditSink::Syslog(path) => (datagrams(path)?, Frame::Syslog { host: hostname(), process: std::process::id() }, Found::Whole),
        AuditSink::Journald(path) => (datagrams(path)?, Frame::Journald, Found::Whole),
    })
}

/// A frame is one datagram to whoever listens at `path` at that moment: a log daemon that is restarted is found again.
fn datagrams(path: &Path) -> io::Result<Writer> {
    // Asked once, and on a socket of its own: one that is connected would stay with the daemon that is gone.
    UnixDatagram::unbound()?.connect(path)?;
    let (socket, path): (UnixDatagram, PathBuf) = (UnixDatagram::unbound()?, path.to_owned());
    Ok(Box::new(move |frame| {
        loop {
            match socket.send_to(frame, &path) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                sent => return sent.map(drop),
            }
        }
    }))
}

/// `-` where it is not known (RFC 5424 6.2.4: NILVALUE).
fn hostname() -> String {
    fs::read_to_string(HOSTNAME_FILE).map_or_else(|_unknown| "-".to_owned(), |name| word(&name, HOSTNAME_MAX))
}

/// `PRINTUSASCII` of RFC 5424, at most `max` of it; `-` for nothing.
fn word(text: &str, max: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(max).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// What one event is to a sink.
#[derive(Debug)]
pub(super) enum Frame {
    /// A line of its own.
    Line,
    /// RFC 5424.
    Syslog {
        /// This machine.
        host: String,
        /// This process.
        process: u32,
    },
    /// Native protocol of journald: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.
    Journald,
}

/// What a frame says outside of the event itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label<'a> {
    /// When.
    pub(super) at: Timestamp,
    /// Severity as syslog counts.
    pub(super) priority: u8,
    /// Its action.
    pub(super) action: &'a str,
    /// Its incident, or empty.
    pub(super) incident: &'a str,
    /// Its app, or empty.
    pub(super) app: &'a str,
}

impl Frame {
    /// `event` is JSON without line breaks.
    pub(super) fn wrap(&self, label: Label<'_>, event: &str) -> Vec<u8> {
        match self {
            Self::Line => format!("{event}\n").into_bytes(),
            // No structured data: the message is that already. No byte order mark before it (MSG-ANY, 6.4), at which parsers of JSON stumble.
            Self::Syslog { host, process } => {
                let (pri, time, id) = (AUTHPRIV * 8 + label.priority, rfc3339(label.at), word(label.action, MSGID_MAX));
                format!("<{pri}>1 {time} {host} vestibule {process} {id} - {event}").into_bytes()
            }
            Self::Journald => {
                let mut out = Vec::new();
                let (priority, facility) = (label.priority.to_string(), AUTHPRIV.to_string());
                for (name, value) in [
                    ("MESSAGE", event),
                    ("PRIORITY", &priority),
                    ("SYSLOG_FACILITY", &facility),
                    ("SYSLOG_IDENTIFIER", "vestibule"),
                    ("VESTIBULE_ACTION", label.action),
                    ("VESTIBULE_INCIDENT", label.incident),
                    ("VESTIBULE_APP", label.app),
                ] {
                    entry(&mut out, name, value);
                }
                out
            }
        }
    }
}

/// A value with a line break is sent with its length, so that it cannot begin a field of its own (CWE-117).
fn entry(out: &mut Vec<u8>, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&u64::try_from(value.len()).unwrap_or(u64::MAX).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::{ChainKey, Frame, Label, hostname, open};
    use crate::clock::Timestamp;
    use crate::config::AuditSink;
    use crate::entropy::OsEntropy;
    use crate::state::seal::Sealer;
    use std::fs;
    use std::os::unix::net::UnixDatagram;
    use std::sync::Arc;

    fn label<'a>(action: &'a str, app: &'a str) -> Label<'a> {
        Label { at: Timestamp::from_millis(1_795_299_617_123), priority: 5, action, incident: "7KQ4-M2XD", app }
    }

    #[test]
    fn a_message_of_syslog_has_the_header_of_rfc_5424() {
        let frame = Frame::Syslog { host: "gw1".into(), process: 42 };
        let check = |action: &str, expected: &str| assert_eq!(String::from_utf8(frame.wrap(label(action, "wiki"), "{}")).unwrap(), expected);
        check("login.failed", "<85>1 2026-11-21T22:20:17.123Z gw1 vestibule 42 login.failed - {}");
        check("a b\n\u{e9}", "<85>1 2026-11-21T22:20:17.123Z gw1 vestibule 42 ab - {}");
        check("", "<85>1 2026-11-21T22:20:17.123Z gw1 vestibule 42 - - {}");
        check(&"x".repeat(40), &format!("<85>1 2026-11-21T22:20:17.123Z gw1 vestibule 42 {} - {{}}", "x".repeat(32)));
        assert!(!hostname().is_empty() && hostname().bytes().all(|byte| byte.is_ascii_graphic()), "{}", hostname());
    }

    #[test]
    fn no_value_begins_a_field_of_its_own_in_the_journal() {
        let wrapped = Frame::Journald.wrap(label("login.failed", "wiki\nPRIORITY=0"), "{}");
        let plain =
            "MESSAGE={}\nPRIORITY=5\nSYSLOG_FACILITY=10\nSYSLOG_IDENTIFIER=vestibule\nVESTIBULE_ACTION=login.failed\nVESTIBULE_INCIDENT=7KQ4-M2XD\n";
        let mut expected = plain.as_bytes().to_vec();
        expected.extend_from_slice(b"VESTIBULE_APP\n\x0f\0\0\0\0\0\0\0wiki\nPRIORITY=0\n");
        assert_eq!(wrapped, expected);
        let text = String::from_utf8(Frame::Journald.wrap(label("logout", ""), "{}")).unwrap();
        assert!(!text.contains("VESTIBULE_APP"), "{text}");
    }

    #[test]
    fn a_log_daemon_is_there_at_the_start_and_is_found_again_after_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for sink in [AuditSink::Syslog(path.clone()), AuditSink::Journald(path.clone())] {
            let key = ChainKey::new(Sealer::new(&"a key for tests that is long enough to be one".into(), Arc::new(OsEntropy::default())).unwrap());
            assert!(open(&sink, &key, None).is_err(), "nothing listens");
            let daemon = UnixDatagram::bind(&path).unwrap();
            let (mut write, ..) = open(&sink, &key, None).unwrap();
            let mut buffer = [0; 64];
            write(b"one").unwrap();
            assert_eq!(daemon.recv(&mut buffer).map(|len| buffer[..len].to_vec()).unwrap(), b"one");
            drop(daemon);
            fs::remove_file(&path).unwrap();
            assert!(write(b"lost").is_err(), "and counted by whoever writes");
            let daemon = UnixDatagram::bind(&path).unwrap();
            write(b"two").unwrap();
            assert_eq!(daemon.recv(&mut buffer).map(|len| buffer[..len].to_vec()).unwrap(), b"two");
            fs::remove_file(&path).unwrap();
        }
    }
}
