//! Files that change.
//!
//! Lives here: [`follow`]. Folders are watched rather than files, for files are replaced (editors, `mv`, certbot) and mounted by links to folders that are
//! replaced (Kubernetes); what else lies in those folders (a database, a log) does not count. Many changes at once are one reload.

use super::Reloader;
use crate::app::{By, Source};
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::watch;
use tokio::time::Instant;

/// It has been quiet for so long: whoever writes has finished.
const QUIET: Duration = Duration::from_millis(150);
/// Somebody who never stops writing does not hold a reload up for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reloads whenever a file has changed that the configuration consists of, until told to stop.
pub(super) async fn follow(reloader: Arc<Reloader>, mut stop: watch::Receiver<bool>) {
    let wanted = Arc::new(Mutex::new(Wanted::default()));
    // One place is enough: a change that finds it taken is part of the one before.
    let (tell, mut changes) = channel(1);
    let fits = Arc::clone(&wanted);
    let made = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.map_or(true, |event| fits.lock().unwrap_or_else(PoisonError::into_inner).concerns(&event)) {
            let _full_is_told = tell.try_send(());
        }
    });
    let mut watched = match made {
        Ok(watcher) => Watched { watcher, folders: HashSet::new() },
        Err(error) => return tracing::warn!(%error, "changed files are not noticed; `vestibule reload` works"),
    };
    let mut count = reloader.count();
    count.mark_unchanged();
    watched.arm(&reloader, &wanted);
    // What has changed between the start and now, nobody has told us.
    let mut due = true;
    loop {
        if due {
            reloader.reload(By::source(Source::Watch)).await;
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            told = changes.recv() => {
                if told.is_none() {
                    return;
                }
                due = true;
            }
            // Somebody has reloaded, and other files may count from now on.
            there = count.changed() => {
                if there.is_err() {
                    return;
                }
                watched.arm(&reloader, &wanted);
                due = false;
                continue;
            }
        }
        settle(&mut changes).await;
    }
}

/// Waits until nothing changes any more.
async fn settle(changes: &mut Receiver<()>) {
    let until = Instant::now() + PATIENCE;
    while let Ok(Some(())) = tokio::time::timeout_at(until.min(Instant::now() + QUIET), changes.recv()).await {}
}

/// Which paths count.
#[derive(Debug, Default)]
struct Wanted {
    files: HashSet<PathBuf>,
    policies: PathBuf,
}

impl Wanted {
    fn concerns(&self, event: &Event) -> bool {
        // Reading is no change, least of all our own.
        let read = matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        event.need_rescan() || (!read && event.paths.iter().any(|path| self.counts(path)))
    }

    fn counts(&self, path: &Path) -> bool {
        let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else { return true };
        let policy = || {
            let ending = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml") || ending.eq_ignore_ascii_case("json"));
            ending && !name.starts_with('.') && path.parent() == Some(&*self.policies)
        };
        // `..data`: how Kubernetes replaces all files of a mount at once. The folder of policies itself may come and go, too.
        self.files.contains(path) || path == self.policies || name.starts_with("..") || policy()
    }
}

struct Watched {
    watcher: RecommendedWatcher,
    folders: HashSet<PathBuf>,
}

impl Watched {
    /// Watches the folders that count now, and no others.
    fn arm(&mut self, reloader: &Reloader, wanted: &Mutex<Wanted>) {
        let (files, policies) = reloader.files();
        let mut all = HashSet::new();
        for file in files {
            let file = absolute(&file);
            // A link may be replaced, and so may what it leads to.
            all.extend(std::fs::canonicalize(&file));
            all.insert(file);
        }
        let policies = absolute(&policies);
        let mut folders: HashSet<PathBuf> = all.iter().filter_map(|file| file.parent()).map(Path::to_owned).collect();
        folders.insert(policies.clone());
        *wanted.lock().unwrap_or_else(PoisonError::into_inner) = Wanted { files: all, policies };
        for gone in self.folders.difference(&folders) {
            if let Err(error) = self.watcher.unwatch(gone) {
                tracing::debug!(%error, folder = %gone.display(), "a folder that does not count any more");
            }
        }
        self.folders.retain(|folder| folders.contains(folder));
        for folder in folders {
            if self.folders.contains(&folder) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder)),
                // Tried again at the next reload.
                Err(error) => tracing::warn!(%error, folder = %folder.display(), "changes in this folder are not noticed; `vestibule reload` works"),
            }
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_no_working_directory| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::Wanted;
    use notify::event::{AccessKind, AccessMode, CreateKind, Flag, ModifyKind, RemoveKind};
    use notify::{Event, EventKind};
    use std::path::PathBuf;

    #[test]
    fn what_lies_beside_the_configuration_does_not_count() {
        let wanted = Wanted { files: ["/etc/v/vestibule.toml", "/etc/v/certs/a.pem"].map(PathBuf::from).into(), policies: "/etc/v/policies".into() };
        let check = |kind: EventKind, path: &str, expected: bool| {
            assert_eq!(wanted.concerns(&Event::new(kind).add_path(path.into())), expected, "{kind:?} {path}");
        };
        let modified = EventKind::Modify(ModifyKind::Any);
        for (path, expected) in [
            ("/etc/v/v.db", false),
            ("/etc/v/v.db-wal", false),
            ("/etc/v/audit.jsonl", false),
            ("/etc/v/other.toml", false),
            ("/etc/v/policies/.wiki.toml.swp", false),
            ("/etc/v/policies/.wiki.toml", false),
            ("/etc/v/policies/wiki.toml~", false),
            ("/etc/v/policies/old/wiki.toml", false),
            ("/etc/v/certs/a.key", false),
            ("/etc/v/vestibule.toml", true),
            ("/etc/v/certs/a.pem", true),
            ("/etc/v/policies/wiki.toml", true),
            ("/etc/v/policies/wiki.JSON", true),
            ("/etc/v/policies", true),
            ("/etc/v/policies/..data", true),
        ] {
            check(modified, path, expected);
        }
        let file = "/etc/v/policies/wiki.toml";
        check(EventKind::Access(AccessKind::Open(AccessMode::Any)), file, false);
        check(EventKind::Access(AccessKind::Close(AccessMode::Read)), file, false);
        check(EventKind::Access(AccessKind::Close(AccessMode::Write)), file, true);
        check(EventKind::Create(CreateKind::File), file, true);
        check(EventKind::Remove(RemoveKind::File), file, true);
        assert!(wanted.concerns(&Event::new(EventKind::Other).set_flag(Flag::Rescan)), "the system has lost some");
    }
}
