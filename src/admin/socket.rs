//! The operators' socket: HTTP/1.1 with JSON under `/api/v1/` on a Unix socket, for the command line, and for a console later. It works when sign-in does not.
//!
//! Who may: root, the user that runs the gateway and the members of `[admin] socket_group` may [`Level::Act`]; the members of `[admin] socket_viewers` may
//! [`Level::Look`]; nobody else may anything. The kernel says who a peer is (`SO_PEERCRED`), the name service in which groups; nothing a peer sends counts. What
//! is refused is audited (`admin.refused`), what acts too (`admin.command`).
//!
//! # Adding a command
//!
//! 1. A file in `admin/commands/`: a type that implements [`Command`] (method and path, [`Level`], what it does), what it answers as `Serialize +
//!    Deserialize` types, and a port (a trait) for what it needs from rooms that this one must not know.
//! 2. Its line in [`Commands`] where `reload.rs` puts them together.
//! 3. A file in `cli/` that asks for it through `cli/socket.rs` and prints the answer.
//!
//! Arguments of a command that looks are in the query ([`Call::parameter`]), those of one that acts in a JSON body ([`Call::body`]). An answer is 200 and JSON
//! ([`Reply::json`]), a no is another status and `{"error": "…"}` ([`Reply::no`]).

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// A body of arguments is small.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// …and there soon.
const BODY_MS: u64 = 10_000;

/// What a peer may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Read what there is.
    Look,
    /// Change something.
    Act,
}

/// Something an operator may ask for.
#[async_trait]
pub trait Command: Send + Sync + fmt::Debug {
    /// Method and path: `GET` for what only looks, `POST` for what acts.
    fn place(&self) -> (Method, &'static str);

    /// What a peer must be allowed.
    fn level(&self) -> Level;

    /// Does it.
    async fn run(&self, call: Call) -> Reply;
}

/// All of them.
pub type Commands = Vec<Box<dyn Command>>;

/// One request of a peer who may make it.
#[derive(Debug)]
pub struct Call {
    /// Who asks, for audit: the user's name, else `uid 1000`.
    pub operator: String,
    query: String,
    body: Bytes,
}

impl Call {
    /// The value of a parameter of the query, decoded; `None` when it is absent.
    pub fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The arguments in the body.
    ///
    /// # Errors
    /// The answer for a body that is not what it should be.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Reply> {
        serde_json::from_slice(&self.body).map_err(|error| Reply::no(StatusCode::BAD_REQUEST, &format!("the body does not fit: {error}")))
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    json: Vec<u8>,
}

impl Reply {
    /// 200 and `value` as JSON.
    pub fn json<T: Serialize>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => Self { status: StatusCode::OK, json },
            Err(error) => Self::no(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    /// Another status, and why.
    pub fn no(status: StatusCode, why: &str) -> Self {
        Self { status, json: serde_json::json!({ "error": why }).to_string().into_bytes() }
    }

    fn respond(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.json)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Who may what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peers {
    /// Users that may act.
    pub users: Vec<u32>,
    /// A group whose members may act.
    pub group: Option<u32>,
    /// A group whose members may look.
    pub viewers: Option<u32>,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A group that this machine does not have.
    #[error("[admin] {key}: there is no group `{group}` on this machine; `getent group` lists them")]
    NoSuchGroup {
        /// `socket_group` or `socket_viewers`.
        key: &'static str,
        /// As written.
        group: String,
    },
    /// The name service.
    #[error("[admin] {key}: group `{group}` cannot be looked up: {cause}")]
    NameService {
        /// `socket_group` or `socket_viewers`.
        key: &'static str,
        /// As written.
        group: String,
        /// What the system said.
        cause: nix::errno::Errno,
    },
    /// Another gateway listens there.
    #[error("[admin] socket: another gateway listens on {}; give each its own", .0.display())]
    Taken(PathBuf),
    /// The file system.
    #[error("[admin] socket: {} cannot be made: {cause}; the user that runs vestibule must be able to write there", .path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl Peers {
    /// Root, the user that we run as, and the groups that `[admin]` names.
    ///
    /// # Errors
    /// [`SocketError::NoSuchGroup`], [`SocketError::NameService`].
    pub fn new(group: Option<&str>, viewers: Option<&str>) -> Result<Self, SocketError> {
        let gid = |key: &'static str, group: &str| match Group::from_name(group) {
            Ok(Some(found)) => Ok(found.gid.as_raw()),
            Ok(None) => Err(SocketError::NoSuchGroup { key, group: group.to_owned() }),
            Err(cause) => Err(SocketError::NameService { key, group: group.to_owned(), cause }),
        };
        Ok(Self {
            users: vec![0, Uid::effective().as_raw()],
            group: group.map(|group| gid("socket_group", group)).transpose()?,
            viewers: viewers.map(|group| gid("socket_viewers", group)).transpose()?,
        })
    }

    /// What a user in these groups may.
    pub fn level(&self, uid: u32, groups: &[u32]) -> Option<Level> {
        let in_group = |group: Option<u32>| group.is_some_and(|group| groups.contains(&group));
        if self.users.contains(&uid) || in_group(self.group) { Some(Level::Act) } else { in_group(self.viewers).then_some(Level::Look) }
    }
}

/// Binds `path` with mode 0660 and the group that may act. With viewers there are two groups and a file has one: then anybody may connect, and is refused by
/// what the kernel says of them. A socket that nobody listens on any more is replaced.
///
/// # Errors
/// [`SocketError::Taken`], [`SocketError::File`].
pub fn bind(path: &Path, peers: &Peers) -> Result<UnixListener, SocketError> {
    let file = |cause| SocketError::File { path: path.to_owned(), cause };
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(SocketError::Taken(path.to_owned()));
            }
            std::fs::remove_file(path).map_err(file)?;
        }
        // Whatever else is there is not ours to remove; binding says so.
        Ok(_) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(file)?;
    if let Some(group) = peers.group {
        std::os::unix::fs::chown(path, None, Some(group)).map_err(file)?;
    }
    let mode = if peers.viewers.is_some() { 0o666 } else { 0o660 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(file)?;
    Ok(listener)
}

/// Answers until told to stop.
pub async fn run(listener: UnixListener, peers: Peers, commands: Commands, mut stop: watch::Receiver<bool>) {
    let desk = Arc::new(Desk { peers, commands });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (stream, _) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely (D8): let some close instead of spinning.
                tracing::warn!(%error, edge = "admin socket", "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        drop(tokio::spawn(connection(stream, Arc::clone(&desk))));
    }
}

#[derive(Debug)]
struct Desk {
    peers: Peers,
    commands: Commands,
}

/// Who is at the other end, and what they may.
#[derive(Debug, Clone)]
struct Peer {
    uid: u32,
    pid: Option<i32>,
    name: String,
    level: Option<Level>,
}

async fn connection(stream: UnixStream, desk: Arc<Desk>) {
    let peer = match stream.peer_cred() {
        Ok(credentials) => {
            let (peers, pid) = (desk.peers.clone(), credentials.pid());
            // The name service may ask the network.
            let known = tokio::task::spawn_blocking(move || Peer::of(credentials.uid(), credentials.gid(), pid, &peers)).await;
            match known {
                Ok(peer) => peer,
                Err(error) => return tracing::error!(%error, "the peer of the admin socket could not be looked up"),
            }
        }
        Err(error) => return tracing::warn!(%error, "the admin socket does not say who is there"),
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let (desk, peer) = (Arc::clone(&desk), peer.clone());
        async move { Ok::<_, Infallible>(desk.answer(&peer, request).await.respond()) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "admin socket connection closed");
    }
}

impl Peer {
    fn of(uid: u32, gid: u32, pid: Option<i32>, peers: &Peers) -> Self {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let mut groups = vec![gid];
        if let Some(user) = &user
            && let Ok(name) = CString::new(user.name.as_str())
            && let Ok(listed) = getgrouplist(&name, Gid::from_raw(gid))
        {
            groups.extend(listed.iter().map(|group| group.as_raw()));
        }
        let name = user.map_or_else(|| format!("uid {uid}"), |user| user.name);
        Self { uid, pid, name, level: peers.level(uid, &groups) }
    }
}

impl Desk {
    async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if peer.level.is_none() {
            refused(peer, &head.method, path);
            let why = "root, the user that runs the gateway and members of [admin] socket_group may use this socket; members of [admin] socket_viewers may look";
            return Reply::no(StatusCode::FORBIDDEN, &format!("{} may not: {why}", peer.name));
        }
        let here = self.commands.iter().filter(|command| command.place().1 == path);
        let Some(command) = here.clone().find(|command| command.place().0 == head.method) else {
            return if here.count() == 0 {
                Reply::no(StatusCode::NOT_FOUND, "there is no such command; the gateway may be older than the command line")
            } else {
                Reply::no(StatusCode::METHOD_NOT_ALLOWED, "not by this method")
            };
        };
        if peer.level < Some(command.level()) {
            refused(peer, &head.method, path);
            return Reply::no(StatusCode::FORBIDDEN, &format!("{} may look and not act: that is for members of [admin] socket_group", peer.name));
        }
        let read = tokio::time::timeout(Duration::from_millis(BODY_MS), Limited::new(body, BODY_BYTES_MAX).collect()).await;
        let Ok(Ok(body)) = read else { return Reply::no(StatusCode::BAD_REQUEST, "the body is too long, or did not come") };
        if command.level() == Level::Act {
            tracing::info!(target: "audit", action = "admin.command", operator = peer.name, peer.uid = peer.uid, url.path = path, source = "socket");
        }
        let query = head.uri.query().unwrap_or_default().to_owned();
        command.run(Call { operator: peer.name.clone(), query, body: body.to_bytes() }).await
    }
}

fn refused(peer: &Peer, method: &Method, path: &str) {
    tracing::info!(
        target: "audit",
        action = "admin.refused",
        operator = peer.name,
        peer.uid = peer.uid,
        peer.pid = peer.pid,
        method = %method,
        url.path = path,
        source = "socket",
    );
}

#[cfg(test)]
mod tests {
    use super::{Level, Peers, SocketError, bind};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    #[test]
    fn row_11_settings_are_for_admins_and_viewers_may_look() {
        let peers = Peers { users: vec![0, 990], group: Some(50), viewers: Some(60) };
        let check = |uid: u32, groups: &[u32], expected: Option<Level>| assert_eq!(peers.level(uid, groups), expected, "{uid} {groups:?}");
        check(1000, &[], None);
        check(1000, &[1000, 0, 990], None);
        check(50, &[51], None);
        check(1000, &[1000, 60], Some(Level::Look));
        check(1000, &[60, 50], Some(Level::Act));
        check(1000, &[50], Some(Level::Act));
        check(0, &[0], Some(Level::Act));
        check(990, &[990], Some(Level::Act));
        let none = Peers::default();
        assert_eq!(none.level(0, &[0]), None, "nobody is somebody by default");
        assert!(Level::Look < Level::Act && None < Some(Level::Look));
    }

    #[test]
    fn a_group_that_there_is_not_is_named() {
        let check = |group: Option<&str>, viewers: Option<&str>, expected: &str| {
            let error = Peers::new(group, viewers).unwrap_err();
            assert!(matches!(error, SocketError::NoSuchGroup { .. }) && error.to_string().contains(expected), "{error}");
        };
        check(Some("no-such-group"), None, "[admin] socket_group: there is no group `no-such-group`");
        check(None, Some("nor-this"), "[admin] socket_viewers: there is no group `nor-this`");
        assert!(Peers::new(None, None).unwrap().users.contains(&0));
    }

    #[tokio::test]
    async fn the_socket_is_for_owner_and_group_and_one_gateway() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let first = bind(&path, &Peers::default()).unwrap();
        assert_eq!(mode(), 0o660);
        assert!(matches!(bind(&path, &Peers::default()), Err(SocketError::Taken(_))));
        drop(first);
        // What a gateway that was killed left behind is no obstacle.
        let own = std::fs::metadata(&path).unwrap().gid();
        let again = bind(&path, &Peers { group: Some(own), viewers: Some(own), ..Peers::default() }).unwrap();
        assert_eq!(mode(), 0o666);
        drop(again);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path, &Peers::default()), Err(SocketError::File { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        assert!(matches!(bind(&folder.path().join("none/admin.sock"), &Peers::default()), Err(SocketError::File { .. })));
    }
}
