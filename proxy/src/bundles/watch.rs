//! Hearing of changes in the folder of bundles.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use super::shelf;
use crate::control::watch::Events;

/// Looked at this often in any case: network file systems give no events, and a symlink may be swapped further up.
const POLL: Duration = Duration::from_secs(5);
/// Directories watched at most; the others wait for [`POLL`].
const MOST: usize = 64;

/// A directory that is watched: the same path may become another one.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    path: PathBuf,
    inode: (u64, u64),
}

/// The folder, wherever it is now: it may be made later, or be a symlink that is swapped.
#[derive(Debug)]
pub(super) struct FolderWatch {
    folder: PathBuf,
    targets: Vec<Target>,
    events: Events,
}

impl FolderWatch {
    pub(super) fn new(folder: &Path) -> Self {
        let targets = targets(folder);
        Self { folder: folder.to_owned(), events: listen(&targets), targets }
    }

    /// Waits until something may have changed, no longer than until `latest`. Nothing is lost when the waiting is dropped.
    pub(super) async fn heard(&mut self, latest: Option<Instant>) {
        let poll = Instant::now() + POLL;
        // Either way it is time to look.
        let _ = timeout_at(latest.map_or(poll, |latest| latest.min(poll)), self.events.heard()).await;
        let targets = targets(&self.folder);
        if targets != self.targets {
            self.events = listen(&targets);
            self.targets = targets;
        }
    }
}

fn listen(targets: &[Target]) -> Events {
    Events::of(targets.iter().map(|target| target.path.as_path()))
}

/// What a change would be seen in: the folder, its bundles, and what it lies in itself.
fn targets(folder: &Path) -> Vec<Target> {
    let above = folder
        .ancestors()
        .skip(1)
        .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let nearest = above.filter_map(target).next();
    let bundles = shelf::directories(folder).unwrap_or_default();
    let inside = bundles.iter().filter_map(|path| target(path));
    nearest.into_iter().chain(target(folder)).chain(inside).take(MOST).collect()
}

fn target(path: &Path) -> Option<Target> {
    let path = path.canonicalize().ok().filter(|path| path.is_dir())?;
    let about = path.metadata().ok()?;
    Some(Target { path, inode: (about.dev(), about.ino()) })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use tokio::time::timeout;

    use super::*;

    async fn hear(watch: &mut FolderWatch) {
        // Less than the poll: it is an event that is heard.
        timeout(POLL * 4 / 5, watch.heard(None)).await.expect("the change is heard");
    }

    #[tokio::test]
    async fn a_folder_that_is_made_later_and_what_is_put_into_it_is_heard() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("models");
        let mut watch = FolderWatch::new(&folder);
        fs::create_dir(&folder).unwrap();
        hear(&mut watch).await;
        fs::create_dir(folder.join("one")).unwrap();
        hear(&mut watch).await;
        fs::write(folder.join("one/manifest.json"), "{}").unwrap();
        hear(&mut watch).await;
    }

    #[tokio::test]
    async fn a_folder_that_is_swapped_for_another_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("rev-1")).unwrap();
        fs::create_dir_all(at("rev-2/one")).unwrap();
        symlink("rev-1", at("models")).unwrap();
        let mut watch = FolderWatch::new(&at("models"));
        symlink("rev-2", at("models.new")).unwrap();
        fs::rename(at("models.new"), at("models")).unwrap();
        hear(&mut watch).await;
        fs::write(at("rev-2/one/manifest.json"), "{}").unwrap();
        hear(&mut watch).await;
    }
}
