//! An operator's wish, kept over restarts in a file beside the bundles.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Hidden, so that it is no bundle.
const FILE: &str = ".pinned";

/// Where the wish is kept.
#[derive(Debug)]
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

    /// Keeps a wish, or none. A folder that cannot be written keeps it until the process ends.
    pub(super) fn keep(&self, wish: Option<&str>) {
        let kept = match wish {
            Some(name) => fs::write(&self.file, format!("{name}\n")),
            None => fs::remove_file(&self.file),
        };
        if let Err(error) = kept.or_else(absent_is_well) {
            tracing::warn!(file = %self.file.display(), %error, "the choice of bundle holds until Gearshift ends, not longer");
        }
    }
}

fn absent_is_well(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
