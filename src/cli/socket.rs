//! The client of the operators' socket, for every command that asks a gateway that runs.
//!
//! Lives here: [`Door`], which finds the socket and asks one question, and [`Failed`], which says why there is no answer. HTTP/1.1, one request a connection, by
//! hand: the far end is ours, and no runtime is needed for it.

use super::{COULD_NOT, tell};
use crate::admin::commands::shell;
use crate::config::SOCKET;
use crate::config::compile::{compile_over, socket};
use crate::config::environment::overlay;
use crate::load::variables;
use crate::source::SourceFile;
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the gateway's file is when nothing is said.
const CONFIG: &str = "/etc/vestibule/vestibule.toml";
/// A gateway that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_mins(1);
/// No answer is longer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Which gateway to ask; flattened into the arguments of every command that does.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The gateway's configuration file, for the place of its socket.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub(super) config: PathBuf,
    /// The gateway's socket, when it is not where the configuration says.
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
}

impl Which {
    /// As it was written, for another line about the same gateway.
    pub(super) fn words(&self) -> Vec<String> {
        let config = (self.config != Path::new(CONFIG)).then(|| ["--config".to_owned(), self.config.display().to_string()]);
        let socket = self.socket.as_ref().map(|socket| ["--socket".to_owned(), socket.display().to_string()]);
        config.into_iter().chain(socket).flatten().collect()
    }

    /// By `--socket`, else as the gateway's file says. The usual place is that of a file in order that says no other, and of the usual file, whatever errors it has come to
    /// since the gateway has read it. Never is another gateway asked than the one that is meant.
    fn place(&self) -> Result<PathBuf, Failed> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let (path, folder) = (&self.config, self.config.parent().unwrap_or(Path::new("")));
        let text = std::fs::read_to_string(path).map_err(|cause| Failed::Unread { path: path.clone(), cause })?;
        let over = overlay(&SourceFile::new(path.display().to_string(), text), &variables());
        if let Some(socket) = socket(&over, folder) {
            return Ok(socket);
        }
        // Of a file that is broken nothing is certain but what is not in it at all.
        let says_nothing = !over.file.text.contains("socket");
        if compile_over(&over, folder).0.is_some() || (path == Path::new(CONFIG) && says_nothing) {
            return Ok(PathBuf::from(SOCKET));
        }
        Err(Failed::Unsaid(path.clone()))
    }
}

/// The socket of a gateway. It is looked for when something is asked.
#[derive(Debug)]
pub(super) struct Door<'a>(&'a Which);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The gateway's file cannot be read: which gateway is meant is not guessed.
    #[error("{} cannot be read: {cause}; check the path, or give the gateway's socket with --socket", .path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The gateway's file does not say where its socket is, and is not in order.
    #[error("{path} has errors and does not say where the socket of its gateway is: `vestibule check --config {path}` shows them, and --socket says which gateway is meant", path = shell(&.0.display().to_string()))]
    Unsaid(PathBuf),
    /// Nobody listens.
    #[error("no gateway listens on {}: {cause}; is it running, and is this its socket? ([admin] socket, --socket)", .path.display())]
    Nobody {
        /// Where.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file system says no.
    #[error("{} may not be used by this user: root may, the user that runs the gateway, and members of [admin] socket_group", .0.display())]
    Forbidden(PathBuf),
    /// The gateway says no, in its own words.
    #[error("{0}")]
    Refused(String),
    /// What came is not an answer.
    #[error("the gateway's answer cannot be read: {0}")]
    Nonsense(String),
}

impl Failed {
    /// Says it; the exit code.
    pub(super) fn tell(&self) -> u8 {
        tell(&format!("error: {self}\n"));
        COULD_NOT
    }
}

impl<'a> Door<'a> {
    /// Of the gateway that is meant.
    pub(super) const fn find(which: &'a Which) -> Self {
        Self(which)
    }

    /// `GET`; `path` with its query.
    pub(super) fn look<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        self.ask("GET", path, &[])
    }

    /// `POST` with `arguments` as JSON.
    pub(super) fn act<T: DeserializeOwned>(&self, path: &str, arguments: &impl Serialize) -> Result<T, Failed> {
        let body = serde_json::to_vec(arguments).map_err(|error| Failed::Nonsense(error.to_string()))?;
        self.ask("POST", path, &body)
    }

    fn ask<T: DeserializeOwned>(&self, method: &str, path: &str, body: &[u8]) -> Result<T, Failed> {
        let socket = self.0.place()?;
        let lost = |cause: io::Error| {
            let path = socket.clone();
            if cause.kind() == ErrorKind::PermissionDenied { Failed::Forbidden(path) } else { Failed::Nobody { path, cause } }
        };
        let mut stream = UnixStream::connect(&socket).map_err(lost)?;
        let exchanged = exchange(&mut stream, method, path, body).map_err(lost)?;
        let (status, json) = answer(&exchanged)?;
        if status == 200 {
            return serde_json::from_slice(json).map_err(|error| Failed::Nonsense(error.to_string()));
        }
        let why = serde_json::from_slice::<Value>(json).ok().and_then(|said| said.get("error")?.as_str().map(str::to_owned));
        Err(why.map_or_else(|| Failed::Nonsense(format!("status {status}")), Failed::Refused))
    }
}

fn exchange(stream: &mut UnixStream, method: &str, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Status and body. The far end closes after one answer and always says how long it is.
fn answer(bytes: &[u8]) -> Result<(u16, &[u8]), Failed> {
    let nonsense = |what: &str| Failed::Nonsense(what.to_owned());
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(|| nonsense("it ends early"))?;
    let (head, body) = bytes.split_at(end);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| nonsense("it has no status"))?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let body = body.get(4..).unwrap_or_default();
    if length == Some(body.len()) { Ok((status, body)) } else { Err(nonsense("it ends early")) }
}

#[cfg(test)]
mod tests {
    use super::{Failed, answer};

    #[test]
    fn half_an_answer_is_none() {
        let check = |bytes: &str, expected: Option<(u16, &str)>| match (answer(bytes.as_bytes()), expected) {
            (Ok((status, body)), Some(expected)) => assert_eq!((status, std::str::from_utf8(body).unwrap()), expected),
            (Err(Failed::Nonsense(_)), None) => {}
            (found, _) => panic!("{bytes:?}: {found:?}"),
        };
        check("", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", None);
        check("HTTP/1.1 200 OK\r\n\r\n{}", None);
        check("nonsense\r\n\r\n", None);
        check("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\n{}", Some((403, "{}")));
    }
}
