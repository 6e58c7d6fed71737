//! `vestibule demo`: gateway, provider and two legacy apps in one process, state in a temporary folder.

use super::{CONFIG, COULD_NOT, NO, YES};
use crate::app::{self, Plan, Running};
use crate::clock::{Clock, SystemClock};
use crate::demo::{self, DemoError, DemoServers, Ports};
use crate::entropy::{Entropy, OsEntropy};
use crate::load;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs the demo until Ctrl-C or SIGTERM, or with `story` drives it headless and says how it went; returns the exit code.
pub(super) fn run(story: bool, port: u16) -> u8 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("control").enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime: {error}"), COULD_NOT),
    };
    let folder = match Folder::make(&OsEntropy::default()) {
        Ok(folder) => folder,
        Err(error) => return fail(&format!("no temporary folder: {error}"), COULD_NOT),
    };
    let code = runtime.block_on(async {
        let Ok(mut told) = Told::listen() else { return fail("no signal handlers", COULD_NOT) };
        let (servers, running) = match start(&folder.0, story, port).await {
            Ok(started) => started,
            Err((error, code)) => return fail(&error, code),
        };
        let code = if story {
            tokio::select! {
                code = tell(&servers) => code,
                () = told.wait() => NO,
            }
        } else {
            say(&servers.welcome());
            told.wait().await;
            YES
        };
        running.stop().await;
        code
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}

async fn start(folder: &Path, story: bool, port: u16) -> Result<(DemoServers, Running), (String, u8)> {
    let could_not = |error: &dyn std::fmt::Display| (error.to_string(), COULD_NOT);
    let gateway_port = if port == 0 || story { free_port().map_err(|error| could_not(&error))? } else { port };
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(OsEntropy::default()));
    let idp = if story || port == 0 { 0 } else { port.saturating_add(1) };
    let ports = Ports { gateway: gateway_port, idp, wiki: 0, tickets: 0 };
    let servers = demo::start(ports, !story, clock, entropy).await.map_err(|error| match &error {
        DemoError::Listen(..) => {
            (format!("{error}; the provider takes the port after the gateway's: choose another with --port, or --port 0 for any"), COULD_NOT)
        }
        DemoError::Provider(_) | DemoError::File(..) | DemoError::Address(_) => could_not(&error),
    })?;
    let files = demo::write_files(folder, &servers).map_err(|error| could_not(&error))?;
    let idps: Vec<String> = files.gateway.idps.iter().map(|idp| idp.id.clone()).collect();
    let policies = load::load_policies(&files.policies, &idps).map_err(|report| (report.render(), CONFIG))?;
    let mut plan = Plan::new(files.gateway, policies, Vec::new());
    plan.plain = true;
    let running = app::start(plan).await.map_err(|error| could_not(&error))?;
    Ok((servers, running))
}

/// Ctrl-C, SIGTERM, or a terminal that was closed: each ends the demo in order, its folder deleted.
struct Told([Signal; 3]);

impl Told {
    fn listen() -> std::io::Result<Self> {
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

async fn tell(servers: &DemoServers) -> u8 {
    let mut out = std::io::stdout();
    match demo::check::run(&demo::check::Addresses::of(servers), &mut out).await {
        Ok(true) => YES,
        Ok(false) => NO,
        Err(error) => fail(&error.to_string(), COULD_NOT),
    }
}

/// A port that was free a moment ago: the addresses that providers and apps are told contain it, so it is chosen before anything listens.
fn free_port() -> std::io::Result<u16> {
    std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.port())
}

/// A temporary folder of our own, gone with the demo.
struct Folder(PathBuf);

impl Folder {
    fn make(entropy: &dyn Entropy) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let name: String = entropy.token().chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        let path = std::env::temp_dir().join(format!("vestibule-demo-{name}"));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn fail(error: &str, code: u8) -> u8 {
    drop(std::io::stderr().lock().write_all(format!("error: {error}\n").as_bytes()));
    code
}

fn say(text: &str) {
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
}
