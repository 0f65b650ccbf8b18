//! What must outlive Gearshift: profiles, engines, and how far each switch has come.
//!
//! One small JSON file, written whole: to a new file beside it, to the disk, then over the old one. So there is always one
//! whole journal, the one before a step or the one after. Whoever holds its lock is the one that acts.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use gearshift_config::BackendId;
use serde::{Deserialize, Serialize};

use super::{
    machine::{Outcome, Switch},
    verify::Proof,
};
use crate::clock;

/// Ended switches that are kept.
const HISTORY: usize = 50;

/// The journal's contents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Book {
    /// Whether an operator has stopped planning.
    pub(super) paused: bool,
    /// By backend.
    pub(super) backends: BTreeMap<String, Entry>,
    /// Ended switches, the last one last.
    pub(super) history: Vec<Record>,
}

/// What is kept of one backend.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    /// The profile it is in.
    pub(super) profile: String,
    /// Since when, seconds since 1970; 0 for as long as anybody knows.
    pub(super) since: u64,
    /// The switch under way.
    pub(super) switch: Option<Switch>,
    /// The engine that Gearshift runs.
    pub(super) engine: Option<Engine>,
}

/// An engine that Gearshift started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Engine {
    /// Its process, which leads a process group of its own.
    pub(super) pid: i32,
    /// When the process started, in the system's ticks since it booted: tells it from a later one with its number.
    pub(super) started: u64,
    /// Accelerator memory that others had in use before it started, MiB.
    pub(super) memory_before: Option<u64>,
}

/// An ended switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Of which backend.
    pub(super) backend: String,
    /// Tells it from others.
    pub(super) id: String,
    /// The profile before.
    pub(super) from: String,
    /// The profile wanted.
    pub(super) to: String,
    /// Why.
    pub(super) reason: String,
    /// When it began, seconds since 1970.
    pub(super) began: u64,
    /// How long it took, seconds.
    pub(super) seconds: u64,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// Why not as wanted.
    pub(super) problem: Option<String>,
    /// Knobs that the engine itself confirmed.
    pub(super) verified: Vec<String>,
    /// Knobs of the profile that nobody can look at from outside.
    pub(super) declared: Vec<String>,
}

impl Record {
    /// Of a switch that ends now.
    pub(super) fn of(
        backend: &BackendId,
        switch: &Switch,
        outcome: Outcome,
        problem: Option<String>,
        proof: Proof,
    ) -> Self {
        Self {
            backend: backend.to_string(),
            id: switch.id.clone(),
            from: switch.from.clone(),
            to: switch.to.clone(),
            reason: switch.reason.clone(),
            began: switch.began,
            seconds: clock::unix_seconds().saturating_sub(switch.began),
            outcome,
            problem,
            verified: proof.verified,
            declared: proof.declared,
        }
    }
}

/// The journal, locked.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    book: Book,
    _lock: File,
}

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    /// Another Gearshift has it.
    #[error("another Gearshift has {}", .0.display())]
    Taken(PathBuf),
    /// It cannot be written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl Journal {
    /// Takes the journal at `path`, which need not exist. One that cannot be read is put aside: what runs is found out
    /// otherwise.
    ///
    /// # Errors
    /// When another has it, it cannot be read, or its folder cannot be written.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |error| JournalError::Io { path: path.to_owned(), error };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let lock = beside(path, "lock");
        let lock = File::options().create(true).append(true).open(&lock).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Taken(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let book = read_book(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), book, _lock: lock })
    }

    /// What it says.
    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    /// What it says of a backend.
    pub(super) fn entry(&self, backend: &str) -> Entry {
        self.book.backends.get(backend).cloned().unwrap_or_default()
    }

    /// Changes it, on the disk first.
    ///
    /// # Errors
    /// When it cannot be written; it says what it said before.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Book)) -> Result<(), JournalError> {
        let mut book = self.book.clone();
        change(&mut book);
        let surplus = book.history.len().saturating_sub(HISTORY);
        book.history.drain(..surplus);
        if book != self.book {
            write(&self.path, &book).map_err(|error| JournalError::Io { path: self.path.clone(), error })?;
            self.book = book;
        }
        Ok(())
    }

    /// Changes what it says of a backend.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub(super) fn note(
        &mut self,
        backend: &str,
        change: impl FnOnce(&mut Entry),
    ) -> Result<(), JournalError> {
        self.change(|book| change(book.backends.entry(backend.to_owned()).or_default()))
    }
}

/// What the journal at `path` says; nothing where it does not exist or cannot be read.
pub(super) fn read(path: &Path) -> Book {
    read_book(path).unwrap_or_else(|error| {
        tracing::error!(file = %path.display(), %error, "the controller's journal cannot be read");
        Book::default()
    })
}

/// An error is no empty journal: what is there must not be written over.
fn read_book(path: &Path) -> io::Result<Book> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
        Err(error) => return Err(error),
    };
    Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
        let aside = beside(path, "bad");
        tracing::error!(file = %path.display(), %error, aside = %aside.display(), "the controller's journal makes no sense; it is put aside");
        // It stays where it is then, and is written over.
        let _ = fs::rename(path, &aside);
        Book::default()
    }))
}

fn write(path: &Path, book: &Book) -> io::Result<()> {
    let fresh = beside(path, "new");
    let mut file = File::create(&fresh)?;
    serde_json::to_writer_pretty(&mut file, book)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/journal.json");
        let engine = Engine { pid: 7, started: 9, memory_before: None };
        let mut journal = Journal::open(&path).unwrap();
        journal.note("a", |entry| (entry.profile, entry.engine) = ("fast".into(), Some(engine))).unwrap();
        journal.change(|book| book.paused = true).unwrap();
        let (book, path_of_lock) = (journal.book().clone(), beside(&path, "lock"));
        assert!(matches!(Journal::open(&path), Err(JournalError::Taken(_))), "one acts, not two");
        drop(journal);
        assert!(path_of_lock.exists());
        assert_eq!(Journal::open(&path).unwrap().book(), &book);
    }

    #[test]
    fn a_crash_while_writing_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.json");
        Journal::open(&path).unwrap().note("a", |entry| entry.since = 5).unwrap();
        fs::write(beside(&path, "new"), "{\"backends\": {\"a\"").unwrap();
        assert_eq!(Journal::open(&path).unwrap().entry("a").since, 5);
    }

    #[test]
    fn one_that_makes_no_sense_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.json");
        fs::write(&path, "{\"backends\": [").unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.book(), &Book::default());
        journal.change(|book| book.paused = true).unwrap();
        assert_eq!(fs::read_to_string(beside(&path, "bad")).unwrap(), "{\"backends\": [");
    }

    #[test]
    fn a_change_that_cannot_be_written_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.json");
        let mut journal = Journal::open(&path).unwrap();
        // A folder in the way of the new file.
        fs::create_dir(beside(&path, "new")).unwrap();
        assert!(journal.change(|book| book.paused = true).is_err());
        assert!(!journal.book().paused);
    }

    #[test]
    fn the_history_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("journal.json")).unwrap();
        let record = |id: usize| Record {
            backend: "a".into(),
            id: id.to_string(),
            from: "x".into(),
            to: "y".into(),
            reason: String::new(),
            began: 0,
            seconds: 0,
            outcome: Outcome::Done,
            problem: None,
            verified: Vec::new(),
            declared: Vec::new(),
        };
        journal.change(|book| book.history.extend((0..60).map(record))).unwrap();
        assert_eq!((journal.book().history.len(), journal.book().history[0].id.as_str()), (50, "10"));
    }
}
