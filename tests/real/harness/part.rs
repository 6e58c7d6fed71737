//! A real part as a process that cannot outlive its test.

use super::PATIENCE;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A process, its process group, and what it wrote.
#[derive(Debug)]
pub(crate) struct Part {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Part {
    /// Starts `command` in a process group of its own, output to `NAME.log` in `folder`. The kernel ends it should the test be killed.
    pub(crate) fn start(name: &str, command: &Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).expect("the test's folder takes files");
        let mut guarded = Command::new("setpriv");
        guarded.args(["--pdeathsig", "TERM", "--"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => guarded.env(key, value),
                None => guarded.env_remove(key),
            };
        }
        guarded.current_dir(folder).process_group(0).stdin(Stdio::null());
        guarded.stdout(out.try_clone().expect("a second handle")).stderr(out);
        let child = guarded.spawn().unwrap_or_else(|error| panic!("{name} could not be started through setpriv (package util-linux): {error}"));
        Self { name: name.to_owned(), child, log }
    }

    /// Asks `check` until it says yes; a part that has ended, or takes longer than [`PATIENCE`], fails the test with the end of its log.
    pub(crate) async fn ready(&mut self, mut check: impl AsyncFnMut(&str) -> bool) {
        let begun = Instant::now();
        while !check(&self.log()).await {
            if let Some(status) = self.ended() {
                panic!("{} ended at its start ({status}):\n{}", self.name, self.log_end());
            }
            assert!(begun.elapsed() < PATIENCE, "{} was not ready after {PATIENCE:?}:\n{}", self.name, self.log_end());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn finished(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE * 2, "{} has not ended after {:?}:\n{}", self.name, PATIENCE * 2, self.log_end());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything it wrote so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its JSON lines of one `event`.
    pub(crate) fn events(&self, event: &str) -> Vec<serde_json::Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).filter(|line: &serde_json::Value| line["event"] == event).collect()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("it was ours");
    }

    /// Asks it to end, and sees to it.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.ended() {
                // Whatever it left behind in its group goes too.
                self.signal(Signal::KILL);
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        None
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is ours")
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        if let Err(error) = kill_process_group(group, signal) {
            assert_eq!(error, Errno::SRCH, "{}: only a group that is empty already may refuse", self.name);
        }
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(40)).copied().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Part {
    #[expect(clippy::print_stderr, reason = "the test runner shows it under the failed test")]
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.stop();
        }
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}", self.name, self.log_end());
        }
    }
}
