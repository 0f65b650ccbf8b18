//! Where files of rows go.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};

use crate::Error;

/// Names tried where a file of that name is there already.
const TRIES: u32 = 8;

/// Writes rows of one replica.
///
/// A file appears whole or
/// not at all (stores promise that; the local one links a finished file to its name), under a name that no other writer has:
/// replica, time, number. So any number of replicas write into one store without locks.
#[derive(Debug)]
pub struct Writer {
    store: Arc<dyn ObjectStore>,
    replica: String,
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
        Ok(Self { store, replica: replica.to_owned(), files: 0 })
    }

    /// Goes on in `store`, opened anew after a failure: the next name is the one that the next would have had, so that a file whose answer was lost is found.
    pub fn reopen(&mut self, store: Arc<dyn ObjectStore>) {
        self.store = store;
    }

    /// Writes the bytes of a file that [`to_parquet`](crate::to_parquet) made, and says its name; `now_unix_ms` is the time of day. Tried again with the
    /// same bytes and time after a failure that was none (the store wrote them, and its answer was lost), it finds them and writes no second file.
    ///
    /// # Errors
    /// Where the store does not take the file.
    pub async fn put(&mut self, file: Bytes, now_unix_ms: u64) -> Result<Path, Error> {
        let mut tries = 0;
        loop {
            let path = Path::from(format!("{}-{now_unix_ms:013}-{:06}.parquet", self.replica, self.files));
            tries += 1;
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match self.store.put_opts(&path, file.clone().into(), options).await {
                Ok(_) => {}
                Err(object_store::Error::AlreadyExists { .. }) if self.has(&path, &file).await => {}
                // Another run of this replica within the same millisecond.
                Err(object_store::Error::AlreadyExists { .. }) if tries < TRIES => {
                    self.files += 1;
                    continue;
                }
                // The next try is under the same name: it may be there after all.
                Err(error) => return Err(error.into()),
            }
            self.files += 1;
            return Ok(path);
        }
    }

    /// Whether these bytes are there already. Where they may not be read, they count as others'.
    async fn has(&self, path: &Path, file: &Bytes) -> bool {
        match self.store.get(path).await {
            Ok(found) if found.meta.size == file.len() as u64 => {
                found.bytes().await.is_ok_and(|found| found == *file)
            }
            Ok(_) | Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
