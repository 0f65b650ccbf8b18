//! Bundles dropped into the folder that a running Gearshift watches: beside their place first, and there at once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gearshift_selector::Manifest;

use super::{clock, write_manifest};
use crate::Error;

/// Copies a bundle's directory into the folder of bundles under this name: under a hidden name first, which Gearshift does not look
/// at, and then at once by renaming. Its path there.
///
/// # Errors
/// Where the name is taken, or the folder cannot be written.
pub fn offer(bundle: &Path, models: &Path, name: &str) -> Result<PathBuf, Error> {
    place(bundle, models, name, None)
}

/// Offers a bundle that lies in the folder once more, as made now: the newest is the one that decides. So Gearshift goes back to it
/// without being asked.
///
/// # Errors
/// As [`offer`].
pub fn again(bundle: &Path, models: &Path, name: &str) -> Result<PathBuf, Error> {
    place(bundle, models, name, Some(clock::now()))
}

fn place(bundle: &Path, models: &Path, name: &str, created: Option<String>) -> Result<PathBuf, Error> {
    let (hidden, there) = (models.join(format!(".{name}")), models.join(name));
    if there.exists() {
        return Err(Error::Failed(format!("{}: there is a bundle of this name already", there.display())));
    }
    // Of an attempt that was broken off.
    if hidden.exists() {
        fs::remove_dir_all(&hidden).map_err(Error::file(&hidden))?;
    }
    fs::create_dir_all(&hidden).map_err(Error::file(&hidden))?;
    for entry in fs::read_dir(bundle).map_err(Error::file(bundle))? {
        let from = entry.map_err(Error::file(bundle))?.path();
        let own = from.file_name().filter(|_| from.is_file());
        if let Some(file) = own.filter(|file| !file.as_encoded_bytes().starts_with(b".")) {
            fs::copy(&from, hidden.join(file)).map_err(Error::file(&from))?;
        }
    }
    if let Some(created) = created {
        let path = hidden.join("manifest.json");
        let text = fs::read(&path).map_err(Error::file(&path))?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
        write_manifest(&hidden, &Manifest { created, ..manifest })?;
    }
    fs::rename(&hidden, &there).map_err(Error::file(&there))?;
    Ok(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default")
    }

    fn manifest(directory: &Path) -> Manifest {
        serde_json::from_slice(&fs::read(directory.join("manifest.json")).unwrap()).unwrap()
    }

    #[test]
    fn an_offered_bundle_is_there_whole_and_nothing_hidden_stays() {
        let models = tempfile::tempdir().unwrap();
        // What a broken attempt left is no obstacle.
        fs::create_dir(models.path().join(".live-1")).unwrap();
        fs::write(models.path().join(".live-1/half.onnx"), "half").unwrap();
        let there = offer(&shipped(), models.path(), "live-1").unwrap();
        assert_eq!(manifest(&there), manifest(&shipped()));
        assert!(!there.join("half.onnx").exists());
        let names: Vec<_> =
            fs::read_dir(models.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["live-1"]);
        offer(&shipped(), models.path(), "live-1").unwrap_err();
    }

    #[test]
    fn one_that_is_offered_again_is_the_newest() {
        let models = tempfile::tempdir().unwrap();
        let there = again(&shipped(), models.path(), "default-again").unwrap();
        let (now, before) = (manifest(&there), manifest(&shipped()));
        assert!(now.created > before.created);
        assert_eq!(now.files, before.files);
    }
}
