//! Watching the configuration file, and directories.
//!
//! The parent directory is watched, not the file: editors and `mv` replace the file, and Kubernetes swaps a symlink
//! beside it, and a watch on the old file would never hear of it. Whether anything changed is told by the bytes.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};

/// Quiet for this long, a burst of events is over.
const DEBOUNCE: Duration = Duration::from_millis(150);
/// Where the system gives no events, the file is read this often.
const POLL: Duration = Duration::from_secs(5);

/// Something happened in a directory, and then it was quiet.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<()>,
    /// When to look. Kept here because whoever waits may be called away and come back.
    due: Option<Instant>,
    /// Watches as long as it lives; absent where the system refuses.
    watcher: Option<RecommendedWatcher>,
}

impl Events {
    /// Watches directories, and nothing below them.
    pub fn of<'p>(directories: impl IntoIterator<Item = &'p Path>) -> Self {
        let (heard, events) = mpsc::channel(1);
        let watcher = start(directories, heard)
            .inspect_err(|error| {
                tracing::warn!(%error, every = ?POLL, "cannot watch; looking from time to time instead");
            })
            .ok();
        Self { events, due: None, watcher }
    }

    /// Waits until a burst of events is over. Nothing is lost when the waiting is dropped.
    pub async fn heard(&mut self) {
        if self.watcher.is_none() {
            sleep_until(*self.due.get_or_insert_with(|| Instant::now() + POLL)).await;
        } else {
            if self.due.is_none() {
                self.events.recv().await;
            }
            let mut due = *self.due.get_or_insert_with(|| Instant::now() + DEBOUNCE);
            while timeout_at(due, self.events.recv()).await.is_ok_and(|event| event.is_some()) {
                due = *self.due.insert(Instant::now() + DEBOUNCE);
            }
        }
        self.due = None;
    }
}

/// A file whose changes are awaited.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    seen: Option<Vec<u8>>,
    events: Events,
}

impl FileWatch {
    /// Watches `path`, starting from what it holds now.
    pub fn new(path: &Path) -> Self {
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let seen = std::fs::read(path).ok();
        Self { path: path.to_owned(), seen, events: Events::of([directory]) }
    }

    /// Waits until the file holds something else. A file that is gone for a moment is no change. Nothing is lost when
    /// the waiting is dropped.
    pub async fn changed(&mut self) {
        loop {
            self.events.heard().await;
            match std::fs::read(&self.path) {
                Ok(now) if self.seen.as_ref() != Some(&now) => {
                    self.seen = Some(now);
                    return;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(file = %self.path.display(), %error, "the configuration cannot be read");
                }
            }
        }
    }
}

fn start<'p>(
    directories: impl IntoIterator<Item = &'p Path>,
    heard: mpsc::Sender<()>,
) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file is an event too; only what may have changed it counts.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel already holds the news.
            let _ = heard.try_send(());
        }
    })?;
    for directory in directories {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    async fn change(watch: &mut FileWatch) {
        timeout(Duration::from_secs(20), watch.changed()).await.expect("the change is noticed");
    }

    #[tokio::test]
    async fn a_rewrite_a_rename_and_a_symlink_swap_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gearshift.yaml");
        std::fs::write(&path, "one").unwrap();
        let mut watch = FileWatch::new(&path);

        std::fs::write(&path, "two").unwrap();
        change(&mut watch).await;

        std::fs::write(directory.path().join("new"), "three").unwrap();
        std::fs::rename(directory.path().join("new"), &path).unwrap();
        change(&mut watch).await;
        assert_eq!(watch.seen.as_deref(), Some(&b"three"[..]));
    }

    #[tokio::test]
    async fn a_change_is_not_lost_on_whoever_is_called_away_while_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gearshift.yaml");
        std::fs::write(&path, "one").unwrap();
        let mut watch = FileWatch::new(&path);
        std::fs::write(&path, "two").unwrap();
        let waiting = async { while timeout(DEBOUNCE / 5, watch.changed()).await.is_err() {} };
        timeout(Duration::from_secs(20), waiting).await.expect("the change is noticed");
    }

    #[tokio::test]
    async fn a_config_map_swap_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (version, text) in [("v1", "one"), ("v2", "two")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("gearshift.yaml"), text).unwrap();
        }
        std::os::unix::fs::symlink("v1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/gearshift.yaml", at("gearshift.yaml")).unwrap();
        let mut watch = FileWatch::new(&at("gearshift.yaml"));

        std::os::unix::fs::symlink("v2", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        change(&mut watch).await;
        assert_eq!(watch.seen.as_deref(), Some(&b"two"[..]));
    }
}
