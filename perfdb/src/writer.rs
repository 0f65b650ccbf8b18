//! Where rows go: a buffer, and a file for each flush.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore, PutMode, PutOptions, path::Path};

use crate::{Error, Observation, to_parquet};

/// Rows a writer holds at most between flushes. Default: some 10 MB.
pub const BUFFERED_ROWS: usize = 8192;
/// Names tried where a file of that name is there already.
const TRIES: u32 = 8;

/// Writes rows of one replica.
///
/// Rows gather by [`push`](Self::push) until [`flush`](Self::flush) writes them as one file of one row group. A file appears whole or
/// not at all (stores promise that; the local one links a finished file to its name), under a name that no other writer has:
/// replica, time, number. So any number of replicas write into one store without locks.
#[derive(Debug)]
pub struct Writer {
    store: Arc<dyn ObjectStore>,
    replica: String,
    buffer: Vec<Observation>,
    capacity: usize,
    dropped: u64,
    files: u64,
}

impl Writer {
    /// A writer into `store` for the replica of this name, which is unique among those that write there.
    ///
    /// # Errors
    /// Where the name has letters that a file's name cannot hold everywhere.
    pub fn new(store: Arc<dyn ObjectStore>, replica: &str) -> Result<Self, Error> {
        let fits = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
        if replica.is_empty() || !replica.bytes().all(fits) {
            return Err(Error::Replica(replica.to_owned()));
        }
        let buffer = Vec::new();
        Ok(Self { store, replica: replica.to_owned(), buffer, capacity: BUFFERED_ROWS, dropped: 0, files: 0 })
    }

    /// Holds at most this many rows between flushes, instead of [`BUFFERED_ROWS`].
    #[must_use]
    pub fn with_capacity(mut self, rows: usize) -> Self {
        self.capacity = rows;
        self
    }

    /// Takes a row, or drops and counts it where the buffer is full: rows must never cost the proxy its memory.
    pub fn push(&mut self, row: Observation) {
        if self.buffer.len() < self.capacity {
            self.buffer.push(row);
        } else {
            self.dropped += 1;
        }
    }

    /// Rows that wait for the next flush.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Rows dropped since the writer was made.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Writes what was pushed as one file, and says its name; nothing where nothing was. `now_unix_ms` is the time of day. After a
    /// failure the rows are still here, and the next flush tries again. A flush that is cancelled half-way may have written its file:
    /// then the next one writes the rows twice.
    ///
    /// # Errors
    /// Where the store does not take the file.
    pub async fn flush(&mut self, now_unix_ms: u64) -> Result<Option<Path>, Error> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let path = self.put(to_parquet(&self.buffer)?, now_unix_ms).await?;
        self.buffer.clear();
        Ok(Some(path))
    }

    /// Writes the bytes of a file that [`to_parquet`] made elsewhere, and says its name. What was pushed stays where it is.
    ///
    /// # Errors
    /// Where the store does not take the file.
    pub async fn put(&mut self, file: Bytes, now_unix_ms: u64) -> Result<Path, Error> {
        let mut tries = 0;
        loop {
            let path = Path::from(format!("{}-{now_unix_ms:013}-{:06}.parquet", self.replica, self.files));
            self.files += 1;
            tries += 1;
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match self.store.put_opts(&path, file.clone().into(), options).await {
                Ok(_) => return Ok(path),
                // Another run of this replica within the same millisecond.
                Err(object_store::Error::AlreadyExists { .. }) if tries < TRIES => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
