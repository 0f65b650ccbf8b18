//! What lies in the folder that bundles are dropped into.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use gearshift_selector::Manifest;

/// Where the shared text encoders lie; no bundle.
pub const ENCODERS: &str = "encoder";
const MANIFEST: &str = "manifest.json";

/// One directory that is, or is becoming, a bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The directory.
    pub directory: PathBuf,
    /// The directory's name, by which operators call it.
    pub name: String,
    /// Changes whenever a file of it does: what was refused is looked at again then.
    pub fingerprint: u64,
    /// The manifest, or why there is none to be read.
    pub manifest: Result<Manifest, String>,
}

impl Found {
    /// When it was made, as its manifest says; RFC 3339 in UTC sorts as text.
    pub fn created(&self) -> &str {
        self.manifest.as_ref().map_or("", |manifest| manifest.created.as_str())
    }
}

/// The bundles of a folder, newest first. The folder may be a bundle itself: a mounted ConfigMap is flat.
///
/// # Errors
/// When the folder cannot be read. One that is not there has no bundles.
pub fn scan(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = if folder.join(MANIFEST).is_file() {
        vec![look(folder)]
    } else {
        directories(folder)?.iter().filter(|path| is_bundle(path)).map(|path| look(path)).collect()
    };
    found.sort_by(|a, b| b.created().cmp(a.created()).then_with(|| b.name.cmp(&a.name)));
    Ok(found)
}

/// Directories that are, or may become, bundles.
pub(super) fn directories(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    // Names with a dot are those of copies under way, of editors, and of Kubernetes' own symlinks.
    let plain = |path: &PathBuf| {
        let name = name(path);
        !name.starts_with('.') && name != ENCODERS && path.is_dir()
    };
    paths.filter(|path| path.as_ref().map_or(true, plain)).collect()
}

/// Others may keep directories of their own beside bundles.
fn is_bundle(directory: &Path) -> bool {
    [MANIFEST, "regressor.onnx", "context.onnx", "golden.json"]
        .iter()
        .any(|file| directory.join(file).exists())
}

/// What a directory says of itself.
pub fn look(directory: &Path) -> Found {
    // First of all: of a directory that changes meanwhile, what is read after may be newer than this, so that it is read once more. The
    // other way about, something old would pass for the new.
    let fingerprint = fingerprint(directory);
    let manifest = fs::read(directory.join(MANIFEST))
        .map_err(|error| format!("{MANIFEST}: {error}"))
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| format!("{MANIFEST}: {error}")))
        .and_then(dated);
    Found { directory: directory.to_owned(), name: name(directory), fingerprint, manifest }
}

/// Times are compared as text, so they must be written alike.
fn dated(manifest: Manifest) -> Result<Manifest, String> {
    let shape: String = manifest.created.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z') {
        return Ok(manifest);
    }
    Err(format!("{MANIFEST}: `created` is {:?}; write UTC as 2026-11-22T10:00:00Z", manifest.created))
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Of names, sizes, times and inodes of the files: cheap enough to ask after every event.
fn fingerprint(directory: &Path) -> u64 {
    let about = |entry: fs::DirEntry| {
        // Hidden files are ours and Kubernetes'; what its symlinks lead to is seen through them.
        let about = fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        (!hidden).then(|| (entry.file_name(), about.len(), about.modified().ok(), about.ino()))
    };
    let mut files: Vec<_> =
        fs::read_dir(directory).into_iter().flatten().flatten().filter_map(about).collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    // Through symlinks, so that a swapped link is another directory.
    directory.canonicalize().ok().hash(&mut hasher);
    files.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn bundle(folder: &Path, name: &str, created: &str) -> PathBuf {
        let directory = folder.join(name);
        fs::create_dir_all(&directory).unwrap();
        let manifest = serde_json::json!({
            "format": 1, "id": name, "created": created, "feature_schema": "", "spread_scale": 0.1,
            "training": [], "files": {},
        });
        fs::write(directory.join(MANIFEST), manifest.to_string()).unwrap();
        directory
    }

    fn names(folder: &Path) -> Vec<String> {
        scan(folder).unwrap().into_iter().map(|found| found.name).collect()
    }

    #[test]
    fn what_changes_while_it_is_looked_at_is_never_taken_for_newer_than_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        bundle(folder.path(), "..v1", "2026-11-01T00:00:00Z");
        bundle(folder.path(), "..v2", "2026-11-02T00:00:00Z");
        fs::create_dir(at("one")).unwrap();
        symlink("../..data/manifest.json", at("one/manifest.json")).unwrap();
        let swap = |to: &str| {
            symlink(to, at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
        };
        swap("..v2");
        let newer = look(&at("one")).fingerprint;
        for _ in 0..300 {
            swap("..v1");
            std::thread::scope(|scope| {
                let swapped = scope.spawn(|| swap("..v2"));
                while !swapped.is_finished() {
                    let found = look(&at("one"));
                    assert!(found.fingerprint != newer || found.created() == "2026-11-02T00:00:00Z");
                }
            });
        }
    }

    #[test]
    fn the_newest_comes_first_and_what_is_no_bundle_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        bundle(at, "old", "2026-01-01T00:00:00Z");
        bundle(at, "new", "2026-11-01T00:00:00Z");
        bundle(at, ".copying", "2026-12-01T00:00:00Z");
        fs::create_dir_all(at.join("encoder/0abc")).unwrap();
        fs::write(at.join("README.md"), "").unwrap();
        fs::create_dir(at.join("somebody-elses")).unwrap();
        fs::create_dir(at.join("half")).unwrap();
        fs::write(at.join("half/regressor.onnx"), "").unwrap();
        bundle(at, "undated", "yesterday");
        assert_eq!(names(at), ["new", "old", "undated", "half"]);
        let problems = scan(at).unwrap().into_iter().filter_map(|found| found.manifest.err());
        let problems: Vec<_> = problems.collect();
        assert!(problems[0].contains("write UTC as") && problems[1].contains("No such file"), "{problems:?}");
        assert_eq!(scan(&at.join("nowhere")).unwrap(), []);
    }

    #[test]
    fn a_folder_may_be_a_bundle_itself() {
        let folder = tempfile::tempdir().unwrap();
        bundle(folder.path(), "flat", "2026-01-01T00:00:00Z");
        assert_eq!(names(&folder.path().join("flat")), ["flat"]);
    }

    #[test]
    fn every_change_shows_in_the_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let directory = bundle(folder.path(), "one", "2026-01-01T00:00:00Z");
        let before = scan(folder.path()).unwrap()[0].fingerprint;
        assert_eq!(scan(folder.path()).unwrap()[0].fingerprint, before);
        fs::write(directory.join("regressor.onnx"), "half").unwrap();
        let half = scan(folder.path()).unwrap()[0].fingerprint;
        assert_ne!(half, before);
        fs::write(directory.join(".pinned"), "one").unwrap();
        assert_eq!(scan(folder.path()).unwrap()[0].fingerprint, half, "our own note is no change");
        fs::write(directory.join("regressor.onnx"), "the whole").unwrap();
        assert_ne!(scan(folder.path()).unwrap()[0].fingerprint, half);
    }

    #[test]
    fn a_swapped_symlink_is_another_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let hidden = folder.path().join(".versions");
        bundle(&hidden, "v1", "2026-01-01T00:00:00Z");
        bundle(&hidden, "v2", "2026-01-01T00:00:00Z");
        let link = folder.path().join("current");
        symlink(hidden.join("v1"), &link).unwrap();
        let before = scan(folder.path()).unwrap();
        fs::remove_file(&link).unwrap();
        symlink(hidden.join("v2"), &link).unwrap();
        let after = scan(folder.path()).unwrap();
        assert_eq!((before[0].name.as_str(), after[0].name.as_str()), ("current", "current"));
        assert_ne!(before[0].fingerprint, after[0].fingerprint);
    }
}
