//! Choices that were made before, so that a second run, or one that was interrupted, need not make them again.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::outcome::Outcome;
use crate::Error;

/// What changes with the code of the selectors: count up when their figures change.
const VERSION: u32 = 2;

/// A directory of outcomes, one a file, named by the hash of what they came from.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Makes the directory.
    ///
    /// # Errors
    /// Where that cannot be.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where the outcome of all this is kept.
    fn path(&self, key: &str) -> PathBuf {
        let hash = Sha256::digest(format!("{VERSION}|{key}"));
        let name: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name + ".json")
    }

    /// What was chosen; `None` where it is not known. A file that cannot be read is made again.
    pub(super) fn get(&self, key: &str) -> Option<Outcome> {
        let text = std::fs::read(self.path(key)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn put(&self, key: &str, outcome: &Outcome) -> Result<(), Error> {
        let path = self.path(key);
        let text = serde_json::to_vec(outcome).map_err(|error| Error::Failed(error.to_string()))?;
        // Whole or not at all: a run may be interrupted here.
        let beside = path.with_extension("part");
        std::fs::write(&beside, text).map_err(Error::file(&beside))?;
        std::fs::rename(&beside, &path).map_err(Error::file(&path))
    }
}
