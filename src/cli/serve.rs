//! `vestibule serve`: the real thing.

use super::{BUG, CONFIG, COULD_NOT, YES};
use crate::app::{self, Running};
use crate::load;
use std::io::Write as _;
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the gateway until SIGTERM or SIGINT; returns the exit code.
pub(super) fn serve(config: &Path) -> u8 {
    let loaded = match load::load(config) {
        Ok(loaded) => loaded,
        Err(report) => {
            say(&report.render());
            return CONFIG;
        }
    };
    if let Some(broken) = loaded.report() {
        say(&broken);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("control").enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("error: no runtime: {error}\n"));
            return COULD_NOT;
        }
    };
    let code = runtime.block_on(async move {
        match app::start(loaded.into_plan()).await {
            Ok(running) => until_told(running).await,
            Err(error) => {
                say(&format!("error: {error}\n"));
                if error.is_configuration() { CONFIG } else { COULD_NOT }
            }
        }
    });
    // Jobs under way (an account half made) have recorded where they are; the next login goes on from there.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}

async fn until_told(running: Running) -> u8 {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        say("error: no signal handlers\n");
        return BUG;
    };
    for line in running.summary() {
        say(&line);
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // What a service manager sends for "reload": caught, for its default is to kill.
            Some(()) = hangup.recv() => tracing::warn!("reload is not supported yet; restart to apply changes"),
        }
    }
    tracing::info!("stopping: no new connections, requests under way are finished");
    running.stop().await;
    YES
}

/// To the operator; a closed standard error is nobody's loss.
fn say(text: &str) {
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}
