//! Where it stands: a file that outlives the process.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The file's name.
const FILE: &str = "state.json";

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What it waits for.
    pub phase: Phase,
    /// When the newest row ended that was trained on, seconds since 1970: newer ones are new.
    pub trained_until_s: f64,
    /// Bundles offered so far, which gives them names.
    pub offers: u64,
}

/// What it waits for. Times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// For rows to train on.
    Waiting,
    /// For Gearshift to take a bundle up.
    Offered {
        /// The bundle.
        bundle: String,
        /// The one that was active when it was offered; `None` where none was.
        before: Option<String>,
        /// When.
        since_s: f64,
    },
    /// For rows that say whether it is as good as was expected.
    Probation {
        /// The bundle.
        bundle: String,
        /// The one that was active before.
        before: Option<String>,
        /// Since when it decides.
        since_s: f64,
        /// Decisions at which it was last looked at: the next look is at twice as many.
        #[serde(default)]
        looked: usize,
    },
    /// For Gearshift to have gone back.
    TakingBack {
        /// The bundle that goes.
        bundle: String,
        /// The one that comes again.
        before: Option<String>,
        /// Why.
        because: String,
    },
}

impl Default for State {
    fn default() -> Self {
        Self { phase: Phase::Waiting, trained_until_s: 0.0, offers: 0 }
    }
}

impl State {
    /// Reads it; the beginning where there is none.
    ///
    /// # Errors
    /// Where the file holds something else: that is not to be passed over, for a bundle may be on probation.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| Error::Failed(format!("{}: {error}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::file(&path)(error)),
        }
    }

    /// Writes it, whole or not at all, and to the disk.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let (beside, path) = (folder.join(".state.json"), folder.join(FILE));
        let text = serde_json::to_vec_pretty(self).map_err(|error| Error::Failed(error.to_string()))?;
        let written = fs::File::create(&beside).and_then(|mut file| {
            std::io::Write::write_all(&mut file, &text)?;
            file.sync_all()
        });
        written.map_err(Error::file(&beside))?;
        fs::rename(&beside, &path).map_err(Error::file(&path))?;
        // The new name outlives a crash only once its folder is on the disk too.
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(State::read(folder.path()).unwrap(), State::default());
        let phase = Phase::Probation { bundle: "live-2".into(), before: None, since_s: 12.5, looked: 200 };
        let state = State { phase, trained_until_s: 3.0, offers: 2 };
        state.write(folder.path()).unwrap();
        assert_eq!(State::read(folder.path()).unwrap(), state);
        fs::write(folder.path().join(FILE), "{\"phase\": {\"phase\": \"dancing\"}}").unwrap();
        assert!(State::read(folder.path()).is_err());
    }
}
