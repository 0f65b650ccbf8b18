//! An operator's wish, kept over restarts in a file beside the bundles.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::disk;

/// Hidden, so that it is no bundle.
const FILE: &str = ".pinned";

/// Where the wish is kept.
#[derive(Debug, Clone)]
pub(super) struct Pin {
    file: PathBuf,
}

impl Pin {
    /// Of this folder of bundles.
    pub(super) fn of(folder: &Path) -> Self {
        Self { file: folder.join(FILE) }
    }

    /// The wish that was kept.
    pub(super) fn read(&self) -> Option<String> {
        let text = fs::read_to_string(&self.file).ok()?;
        Some(text.trim().to_owned()).filter(|name| !name.is_empty())
    }

    /// Keeps a wish, or none: a crash leaves the one before or this one, never nothing, which would be a wish for the newest. A folder that cannot be
    /// written keeps it until the process ends.
    pub(super) fn keep(&self, wish: Option<&str>) {
        let kept = match wish {
            Some(name) => disk::replace(&self.file, format!("{name}\n").as_bytes()),
            None => disk::remove(&self.file),
        };
        if let Err(error) = kept {
            tracing::warn!(file = %self.file.display(), %error, "the choice of bundle holds until Gearshift ends, not longer");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_never_written_over_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let pin = Pin::of(folder.path());
        pin.keep(Some("old"));
        // What a crash in the middle would leave is this file.
        let before = folder.path().join("before");
        fs::hard_link(&pin.file, &before).unwrap();
        pin.keep(Some("new"));
        assert_eq!(fs::read_to_string(before).unwrap(), "old\n");
        assert_eq!(pin.read().as_deref(), Some("new"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn a_wish_outlives_the_process_where_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let pin = Pin::of(folder.path());
        assert_eq!(pin.read(), None);
        pin.keep(Some("2026-11"));
        assert_eq!(Pin::of(folder.path()).read().as_deref(), Some("2026-11"));
        pin.keep(None);
        pin.keep(None);
        assert_eq!(pin.read(), None);
        Pin::of(Path::new("/proc/no-such-folder")).keep(Some("x"));
    }
}
