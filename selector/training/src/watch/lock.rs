//! One at a time.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use crate::Error;

/// Held while it lives; the system lets go of it however the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a folder.
    ///
    /// # Errors
    /// Where another process has it, or the folder cannot be written.
    pub fn take(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("lock");
        let file = File::create(&path).map_err(Error::file(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Failed(format!(
                "{}: another `gearshift-train watch` is at work here",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(Error::file(&path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;

    #[test]
    fn only_one_has_it_until_it_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let refused = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("another"), "{refused}");
        drop(first);
        Lock::take(folder.path()).unwrap();
    }
}
