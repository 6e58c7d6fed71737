//! What a service manager is told: `sd_notify(3)`, a few words on a datagram socket.
//!
//! Lives here: [`Manager`]. Without `$NOTIFY_SOCKET` it says nothing. A message that is not taken is nobody's loss but the manager's.

use crate::secrets::Environment;
use rustix::time::{ClockId, clock_gettime};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager, if there is one.
#[derive(Debug)]
pub(super) struct Manager {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// By `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`.
    pub(super) fn new(environment: Environment<'_>) -> Self {
        let text = |name: &str| environment(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
        let to = text("NOTIFY_SOCKET").and_then(|path| {
            let address = match path.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&path),
            };
            match address.and_then(|address| Ok((UnixDatagram::unbound()?, address))) {
                Ok((socket, address)) => {
                    // Nobody waits for a manager that does not read.
                    let unblocked = socket.set_nonblocking(true);
                    unblocked.is_ok().then_some((socket, address))
                }
                Err(error) => {
                    tracing::warn!(%error, path, "NOTIFY_SOCKET: the service manager cannot be told anything");
                    None
                }
            }
        });
        // sd_watchdog_enabled(3): meant for another process when it names one.
        let ours = text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = text("WATCHDOG_USEC").and_then(|us| us.parse().ok()).filter(|us| *us > 0 && ours && to.is_some());
        Self { to, watchdog: watchdog.map(|us: u64| Duration::from_micros(us / 2)) }
    }

    /// Requests are answered, with the configuration as it is.
    pub(super) fn ready(&self) {
        self.say("READY=1");
    }

    /// The configuration is being loaded again.
    pub(super) fn reloading(&self) {
        if self.to.is_none() {
            // The clock is the manager's affair. It is read where the kernel has put it into memory, and valgrind has not.
            return;
        }
        let now = clock_gettime(ClockId::Monotonic);
        let us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={us}"));
    }

    /// It is the end.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// How often to call [`Self::alive`]: twice as often as asked for.
    pub(super) const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// All is well.
    pub(super) fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    fn say(&self, words: &str) {
        if let Some((socket, address)) = &self.to
            && let Err(error) = socket.send_to_addr(words.as_bytes(), address)
        {
            tracing::debug!(%error, "the service manager did not take a message");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Manager;
    use std::ffi::OsString;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    fn manager(variables: &[(&str, String)]) -> Manager {
        Manager::new(&|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 200];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn without_a_manager_nothing_is_said_and_nothing_fails() {
        for variables in [vec![], vec![("NOTIFY_SOCKET", String::new())], vec![("NOTIFY_SOCKET", "/nowhere/at/all".to_owned())]] {
            let manager = manager(&variables);
            manager.ready();
            manager.reloading();
            manager.stopping();
            assert_eq!(manager.watchdog(), None);
        }
    }

    #[test]
    fn a_manager_hears_each_state_on_either_kind_of_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("vestibule-test-{}", std::process::id());
        let named = UnixDatagram::bind(&path).unwrap();
        let unnamed = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, address) in [(&named, path.display().to_string()), (&unnamed, format!("@{name}"))] {
            let own = std::process::id();
            let of =
                |pid: u32| manager(&[("NOTIFY_SOCKET", address.clone()), ("WATCHDOG_USEC", "30000000".into()), ("WATCHDOG_PID", pid.to_string())]);
            assert_eq!(of(own + 1).watchdog(), None, "meant for another process");
            let manager = of(own);
            assert_eq!(manager.watchdog(), Some(Duration::from_secs(15)));
            manager.ready();
            assert_eq!(heard(socket), "READY=1");
            manager.reloading();
            let said = heard(socket);
            let us = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{said}"));
            assert!(us.parse::<u64>().unwrap() > 0);
            manager.alive();
            manager.stopping();
            assert_eq!([heard(socket), heard(socket)], ["WATCHDOG=1", "STOPPING=1"]);
        }
    }
}
