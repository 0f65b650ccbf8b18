//! Small files that a crash must not tear.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Writes a file whole: to a new one beside it, to the disk, then over the old one. So whoever reads it, after a crash too, finds what was
/// there before or all of what is there now. Of several that write at once, in other processes or on other machines too, one is the last:
/// each has a new file of its own. A crash may leave that one behind.
///
/// # Errors
/// What the system says; the file is what it was then, unless only its folder could not be brought to the disk.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    // In containers on several machines process ids are the same.
    let fresh = beside(path, &format!("{}-{:016x}.new", std::process::id(), fastrand::u64(..)));
    let placed = write_to_disk(&fresh, contents).and_then(|()| fs::rename(&fresh, path));
    if placed.is_err() {
        // It may not be there.
        let _ = fs::remove_file(&fresh);
    }
    placed?;
    sync_folder(path)
}

fn write_to_disk(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Removes a file for good; one that is not there is removed.
///
/// # Errors
/// What the system says.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The file of this name and ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_that_write_at_once_one_is_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::thread::scope(|scope| {
            for letter in [b'a', b'b', b'c'] {
                let path = &path;
                // Of different lengths: a mixture would be seen.
                let text = vec![letter; 1000 * usize::from(letter)];
                scope.spawn(move || (0..40).for_each(|_| replace(path, &text).unwrap()));
            }
        });
        let text = fs::read(&path).unwrap();
        assert_eq!(text, vec![text[0]; 1000 * usize::from(text[0])]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::create_dir(&path).unwrap();
        replace(&path, b"text").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
