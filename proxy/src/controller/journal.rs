//! What must outlive Gearshift: profiles, engines, and how far each switch has come.
//!
//! One small JSON file, [written whole](crate::disk). So there is always one whole journal, the one before a step or the one after. Whoever holds its lock is the one that acts.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use gearshift_config::BackendId;
use gearshift_selector::controller::Patience;
use serde::{Deserialize, Serialize};

use super::{
    actuate::boot,
    machine::{Outcome, Switch},
    verify::Proof,
};
use crate::{
    clock,
    disk::{beside, replace},
};

/// Ended switches that are kept, of all backends together.
const HISTORY: usize = 50;
/// Of each backend, so many of the last day are kept in any case: the planner counts them.
const OF_A_DAY: usize = 32;
const DAY_S: u64 = 86_400;

/// The journal's contents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Book {
    /// The system's boot that processes are of: those of another have ended. Empty where it is not known.
    pub(super) boot: String,
    /// Whether an operator has stopped planning.
    pub(super) paused: bool,
    /// By backend.
    pub(super) backends: BTreeMap<String, Entry>,
    /// Ended switches, the last one last.
    pub(super) history: Vec<Record>,
}

impl Book {
    /// It is this boot of the system. What ran in another has ended, and a process of now may have its number and its ticks.
    fn wakes(&mut self, boot: Option<String>) {
        let Some(boot) = boot else { return };
        if !self.boot.is_empty() && self.boot != boot {
            for entry in self.backends.values_mut() {
                (entry.engine, entry.held, entry.memory_before) = (None, None, None);
            }
        }
        self.boot = boot;
    }
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
    /// The engine that Gearshift runs, or ran last.
    pub(super) engine: Option<Engine>,
    /// The profile that it was started in.
    pub(super) runs: Option<String>,
    /// Accelerator memory that others had in use before it started, MiB, where that is looked at.
    pub(super) memory_before: Option<u64>,
    /// How patient the planner has become with it.
    pub(super) patience: Patience,
    /// What that engine held, from just before it is ended until another starts.
    pub(super) held: Option<Held>,
}

/// An engine that Gearshift started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Engine {
    /// Its process, which leads a process group of its own.
    pub(super) pid: i32,
    /// When the process started, in the system's ticks since it booted: tells it from a later one with its number.
    pub(super) started: u64,
}

/// What an engine held while it ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    /// Its processes.
    pub(super) processes: Vec<Engine>,
    /// Whether the accelerators' tool listed one of them.
    pub(super) listed: bool,
    /// Accelerator memory in use while it ran, MiB, where that is looked at.
    pub(super) memory: Option<u64>,
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
    /// Whether the planner wished for it, and no operator.
    #[serde(default)]
    pub(super) planned: bool,
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
    /// When it ended, seconds since 1970.
    pub(super) fn ended(&self) -> u64 {
        self.began.saturating_add(self.seconds)
    }

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
            planned: switch.planned,
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
        let mut book = read_book(path).map_err(failed)?;
        book.wakes(boot());
        Ok(Self { path: path.to_owned(), book, _lock: lock })
    }

    /// As [`open`](Self::open), once it is free: a child that another test forks holds the lock too, until it becomes its program.
    #[cfg(test)]
    pub(super) fn open_once_free(path: &Path) -> Self {
        let mut tries = 0;
        loop {
            match Self::open(path) {
                Err(JournalError::Taken(_)) if tries < 1_000_000 => {
                    tries += 1;
                    std::thread::yield_now();
                }
                opened => return opened.unwrap(),
            }
        }
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
        forget(&mut book.history, clock::unix_seconds());
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

/// Leaves out what nobody needs any more, at this many seconds since 1970.
fn forget(history: &mut Vec<Record>, now: u64) {
    let mut surplus = history.len().saturating_sub(HISTORY);
    if surplus == 0 {
        return;
    }
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for record in &*history {
        *left.entry(record.backend.clone()).or_default() += 1;
    }
    history.retain(|record| {
        let of_backend = left.get_mut(&record.backend);
        let later = of_backend.map_or(0, |left| std::mem::replace(left, left.saturating_sub(1)));
        let counts = later <= OF_A_DAY && now.saturating_sub(record.ended()) < DAY_S;
        let kept = surplus == 0 || counts;
        surplus = surplus.saturating_sub(1);
        kept
    });
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
    let mut text = serde_json::to_vec_pretty(book)?;
    text.push(b'\n');
    replace(path, &text)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
