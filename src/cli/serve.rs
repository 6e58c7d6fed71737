//! `vestibule serve`: the real thing.

use super::{BUG, CONFIG, COULD_NOT, YES, tell};
use crate::app::{By, Source};
use crate::load::Loader;
use crate::rehearse;
use crate::reload::Following;
use std::path::Path;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the gateway until SIGTERM or SIGINT; returns the exit code.
pub(super) fn serve(config: &Path) -> u8 {
    let mut loader = Loader::new(config);
    let first = match loader.look(&rehearse::gate) {
        Ok(found) => found.first(),
        Err(report) => {
            tell(&report.render());
            return CONFIG;
        }
    };
    if let Some(broken) = first.report() {
        tell(&broken);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("control").enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(&format!("error: no runtime: {error}\n"));
            return COULD_NOT;
        }
    };
    let code = runtime.block_on(async move {
        match Following::start(loader, Arc::new(rehearse::gate), first.into_plan()).await {
            Ok(following) => until_told(following).await,
            Err(error) => {
                tell(&format!("error: {error}\n"));
                if error.is_configuration() { CONFIG } else { COULD_NOT }
            }
        }
    });
    // Jobs under way (an account half made) have recorded where they are; the next login goes on from there.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}

async fn until_told(following: Following) -> u8 {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        tell("error: no signal handlers\n");
        return BUG;
    };
    for line in following.running.summary() {
        tell(&line);
    }
    following.watch();
    following.ready();
    let mut pulse = following.watchdog().map(tokio::time::interval);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // What a service manager sends for "reload". In the meantime a stop is heard.
            Some(()) = hangup.recv() => {
                let reloader = Arc::clone(&following.reloader);
                drop(tokio::spawn(async move { reloader.reload(By::source(Source::Signal)).await }));
            }
            () = beat(&mut pulse) => following.alive(),
        }
    }
    tracing::info!("stopping: no new connections, requests under way are finished");
    following.stop().await;
    YES
}

/// Comes back when the service manager wants to hear of us; never, when it does not.
async fn beat(pulse: &mut Option<tokio::time::Interval>) {
    match pulse {
        Some(pulse) => drop(pulse.tick().await),
        None => std::future::pending().await,
    }
}
