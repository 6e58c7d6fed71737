//! Starting real parts and speaking to them.
//!
//! Lives here: [`Part`], a process that ends with its test; the parts themselves ([`OidcProvider`], [`Hub`], [`ScimServer`], [`SimpleSaml`], [`Gateway`]); [`Person`], an
//! HTTP client that behaves like a browser; the app and the road to an admin API that tests watch ([`App`], [`Road`]). Every test starts
//! what it needs on ports of its own and shares nothing. A part that cannot run fails the test and says what to do.

mod app;
mod apps;
mod gateway;
mod part;
mod parts;
mod person;
mod superset;

pub(crate) use app::{App, Road};
pub(crate) use apps::{InfluxDb, OctoPrint, Radicale, RealApp, Seen, Synapse, Zabbix, redmine_groups, toml_of_page, until_shown};
pub(crate) use gateway::{Gateway, Site};
pub(crate) use part::Part;
pub(crate) use parts::{Client, Hub, OidcProvider, Redmine, ScimServer, SimpleSaml};
pub(crate) use person::{Person, Reply};
pub(crate) use superset::Superset;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long anything here may take before the test gives up; generous, because other tests run beside it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file under `target/lab`, where `make setup-lab` puts the real parts.
pub(crate) fn lab(path: &str) -> PathBuf {
    let file = repository().join("target/lab").join(path);
    assert!(file.exists(), "{} is missing: the real parts are not installed. Run `make setup-lab` first (`make test` does)", file.display());
    file
}

/// A TCP port on 127.0.0.1 that nobody listens on. Below the range that outgoing connections use, so that it is still free when the part
/// that was told to use it starts.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    let from = u16::try_from(std::process::id() * 37 % u32::from(COUNT)).expect("less than COUNT");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + u16::try_from((u32::from(from) + u32::from(step)) % u32::from(COUNT)).expect("less than COUNT");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on 127.0.0.1")
}

/// Asks `check` until it says yes, for at most [`PATIENCE`].
pub(crate) async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !check().await {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
