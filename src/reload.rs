//! A gateway that follows its files.
//!
//! Lives here: [`Following`], a running gateway with everything that makes it load its configuration again: changed files (`watch.rs`), SIGHUP and the operators'
//! socket all come to [`Reloader::reload`], one at a time: look (`load.rs`), put through the gate, swap (`app/`). A bad policy keeps its last good version and
//! touches no other app; a bad gateway file changes nothing. `systemd.rs` tells the service manager. No decision is made in here.

mod systemd;
mod watch;

use crate::admin::commands::{
    ActOnUser, ApproveLeavers, BeginReconcile, Deed, ListKeys, ListSessions, ListUsers, LookReconcile, Looks, Reload, Reloaded, Reloads,
    RevokeSessions, RotateKeys, Statuses,
};
use crate::admin::socket::{self, Command, Commands, Peers};
use crate::app::{self, By, Plan, Running, Source, StartError, Swap};
use crate::config::{Admin, SOCKET};
use crate::load::{Gate, Loader};
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use systemd::Manager;
use tokio::net::UnixListener;
use tokio::sync::watch::Sender;

/// A gateway that runs and follows its files.
pub struct Following {
    /// The gateway.
    pub running: Running,
    /// Loads its configuration again.
    pub reloader: Arc<Reloader>,
    /// Where operators' commands go, when there is such a place.
    pub socket: Option<PathBuf>,
    manager: Arc<Manager>,
}

/// Loads the configuration of a running gateway again.
pub struct Reloader {
    loader: Arc<Mutex<Loader>>,
    gate: Arc<Gate>,
    swap: Arc<Swap>,
    manager: Arc<Manager>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
    /// How many there have been.
    count: Sender<u64>,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").field("swap", &self.swap).finish_non_exhaustive()
    }
}

impl Following {
    /// Starts what `plan` says, which `loader` has loaded. Must be called on the control runtime (multi-thread).
    ///
    /// # Errors
    /// [`StartError`]: nothing runs then.
    pub async fn start(loader: Loader, gate: Arc<Gate>, plan: Plan) -> Result<Self, StartError> {
        let manager = Arc::new(Manager::new(plan.environment.as_ref()));
        let door = open(plan.gateway.admin.as_ref())?;
        let running = app::start(plan).await?;
        let swap = Arc::clone(running.swap());
        let reloader = Arc::new(Reloader {
            loader: Arc::new(Mutex::new(loader)),
            gate,
            swap: Arc::clone(&swap),
            manager: Arc::clone(&manager),
            turn: tokio::sync::Mutex::default(),
            count: Sender::new(0),
        });
        if let Some(console) = running.console() {
            console.reload_by(Arc::clone(&reloader) as Arc<dyn Reloads>);
        }
        let socket = door.map(|Door { path, listener, peers }| {
            let mut commands: Commands =
                vec![Box::new(Reload(Arc::clone(&reloader) as Arc<dyn Reloads>)), Box::new(Looks(Arc::clone(&swap) as Arc<dyn Statuses>))];
            let people = swap.people();
            let apps = Arc::clone(&swap) as Arc<dyn Statuses>;
            commands.push(Box::new(ListUsers(people.clone(), Arc::clone(&apps))));
            let rounds = swap.rounds();
            commands.push(Box::new(BeginReconcile(Arc::clone(&rounds))));
            commands.push(Box::new(LookReconcile(rounds)));
            commands.push(Box::new(ApproveLeavers(people.clone(), apps)));
            for deed in Deed::ALL {
                commands.push(Box::new(ActOnUser { deed, people: people.clone() }));
            }
            let (sessions, keys) = (swap.sessions(), swap.keys());
            commands.extend([
                Box::new(ListSessions(sessions.clone())) as Box<dyn Command>,
                Box::new(RevokeSessions(sessions)),
                Box::new(ListKeys(keys.clone())),
                Box::new(RotateKeys(keys)),
            ]);
            drop(tokio::spawn(socket::run(listener, peers, commands, running.stopping())));
            path
        });
        Ok(Self { running, reloader, socket, manager })
    }

    /// From now on changed files are noticed.
    pub fn watch(&self) {
        drop(tokio::spawn(watch::follow(Arc::clone(&self.reloader), self.running.stopping())));
    }

    /// Tells the service manager that requests are answered.
    pub fn ready(&self) {
        self.manager.ready();
    }

    /// How often the service manager wants to hear of us; `None`: not at all.
    pub fn watchdog(&self) -> Option<Duration> {
        self.manager.watchdog()
    }

    /// Tells the service manager that all is well, if it is.
    pub fn alive(&self) {
        if self.running.is_whole() {
            self.manager.alive();
        } else {
            tracing::error!("a core has ended; the service manager is not told that all is well");
        }
    }

    /// As [`Running::stop`].
    pub async fn stop(self) {
        self.manager.stopping();
        self.running.stop().await;
        if let Some(socket) = self.socket
            && let Err(error) = std::fs::remove_file(&socket)
        {
            tracing::debug!(%error, path = %socket.display(), "the socket could not be removed");
        }
    }
}

/// The operators' socket, before anybody answers there.
struct Door {
    path: PathBuf,
    listener: UnixListener,
    peers: Peers,
}

/// Opens the socket that `[admin]` names, or the usual one where its folder is there. Only a socket that somebody asked for can keep the gateway from starting.
fn open(admin: Option<&Admin>) -> Result<Option<Door>, StartError> {
    let (group, viewers) = admin.map_or((None, None), |admin| (admin.socket_group.as_deref(), admin.socket_viewers.as_deref()));
    let peers = Peers::new(group, viewers)?;
    if let Some(path) = admin.and_then(|admin| admin.socket.clone()) {
        let listener = socket::bind(&path, &peers)?;
        return Ok(Some(Door { path, listener, peers }));
    }
    let path = PathBuf::from(SOCKET);
    if !path.parent().is_some_and(Path::is_dir) {
        return Ok(None);
    }
    match socket::bind(&path, &peers) {
        Ok(listener) => Ok(Some(Door { path, listener, peers })),
        Err(error) => {
            tracing::warn!(%error, "operators' commands do not reach this gateway");
            Ok(None)
        }
    }
}

impl Reloader {
    /// Looks at the files, checks, and swaps what is in order; waits for its turn.
    pub async fn reload(&self, by: By) -> Reloaded {
        let turn = self.turn.lock().await;
        self.manager.reloading();
        let (loader, gate, swap) = (Arc::clone(&self.loader), Arc::clone(&self.gate), Arc::clone(&self.swap));
        let work = move || {
            let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
            match loader.look(gate.as_ref()) {
                Ok(found) => swap.take(found, &by),
                Err(report) => swap.refuse(loader.config(), &report, &by),
            }
        };
        let reloaded = tokio::task::spawn_blocking(work).await.unwrap_or_else(|died| {
            tracing::error!(error = %died, "a reload panicked; please report this");
            Reloaded { problems: format!("error: {died}; please report this\n"), ..Reloaded::default() }
        });
        self.manager.ready();
        self.count.send_modify(|count| *count += 1);
        drop(turn);
        reloaded
    }

    /// How many reloads there have been, whoever asked for them.
    pub fn count(&self) -> tokio::sync::watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// Every file whose change means a reload, beside the policies; and the folder of those.
    pub fn files(&self) -> (Vec<PathBuf>, PathBuf) {
        let mut files = self.swap.references();
        let loader = self.loader.lock().unwrap_or_else(PoisonError::into_inner);
        files.push(loader.config().to_owned());
        files.extend(loader.connectors());
        drop(loader);
        (files, self.swap.policies())
    }
}

#[async_trait]
impl Reloads for Reloader {
    async fn reload(&self, operator: &str) -> Reloaded {
        Self::reload(self, By { source: Source::Socket, operator: Some(operator.to_owned()) }).await
    }

    async fn reload_from_console(&self, operator: &str) -> Reloaded {
        Self::reload(self, By { source: Source::Console, operator: Some(operator.to_owned()) }).await
    }
}
