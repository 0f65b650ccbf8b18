//! Rows on their way out: encoded, written, tried again, and given up.

use std::{sync::Arc, time::Duration};

use gearshift_perfdb::{Error, Writer, to_parquet};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    Ended,
    rows::{Wall, rows},
};
use crate::metrics::{LiveMetrics, Lost};

/// A file is tried so often; about two minutes.
const TRIES: u32 = 8;
/// Waits between tries: this, doubled each time, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The log hears of a store that fails so often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// What becomes one file.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) ended: Vec<Arc<Ended>>,
    /// Number of the first one in this process.
    pub(super) first: u64,
    pub(super) wall: Wall,
}

/// Writes batches, one after the other.
#[derive(Debug)]
pub(super) struct Store {
    url: String,
    replica: String,
    /// Opened when first needed.
    writer: Option<Writer>,
    /// Whether its last file failed, so that the store is opened again.
    failed: bool,
    metrics: LiveMetrics,
    complained: Option<Instant>,
    /// Cancelled when there is no time for patience.
    hurry: CancellationToken,
}

impl Store {
    pub(super) fn new(url: String, replica: String, metrics: LiveMetrics, hurry: CancellationToken) -> Self {
        Self { url, replica, writer: None, failed: false, metrics, complained: None, hurry }
    }

    pub(super) async fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(batch) = batches.recv().await {
            self.write(batch).await;
        }
    }

    async fn write(&mut self, batch: Batch) {
        let (count, unix_ms, replica) = (batch.ended.len(), batch.wall.unix_ms, self.replica.clone());
        // Takes a tenth of a second for thousands of rows: the queues go on being emptied meanwhile.
        let encode = move || to_parquet(&rows(&batch.ended, &replica, batch.first, batch.wall));
        let file = match tokio::task::spawn_blocking(encode).await {
            Ok(Ok(file)) => file,
            Ok(Err(error)) => return self.give_up(count, &error.to_string()),
            Err(error) => return self.give_up(count, &error.to_string()),
        };
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let last = attempt == TRIES || self.hurry.is_cancelled();
            match self.put(&file, unix_ms).await {
                Ok(name) => {
                    tracing::debug!(name, rows = count, bytes = file.len(), "wrote observations");
                    self.complained = None;
                    return self.metrics.wrote(count);
                }
                Err(error) if last => return self.give_up(count, &error.to_string()),
                Err(error) => {
                    self.metrics.failed();
                    self.complain(
                        &error.to_string(),
                        "observations are not written, and will be tried again",
                    );
                }
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = self.hurry.cancelled() => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn put(&mut self, file: &bytes::Bytes, unix_ms: u64) -> Result<String, Error> {
        let writer = match &mut self.writer {
            Some(writer) => {
                if self.failed {
                    // A folder that was removed is made anew. Its names go on: what was lost of the last try may be its answer alone.
                    writer.reopen(gearshift_perfdb::open(&self.url)?);
                }
                writer
            }
            none => none.insert(Writer::new(gearshift_perfdb::open(&self.url)?, &self.replica)?),
        };
        let put = writer.put(file.clone(), unix_ms).await;
        self.failed = put.is_err();
        put.map(|path| path.to_string())
    }

    fn give_up(&mut self, rows: usize, problem: &str) {
        self.metrics.failed();
        self.metrics.lost(Lost::Store, rows);
        self.complain(problem, "observations are lost: the store does not take them");
    }

    fn complain(&mut self, problem: &str, what: &'static str) {
        let now = Instant::now();
        if self.complained.is_none_or(|at| now.duration_since(at) >= COMPLAIN_EVERY) {
            self.complained = Some(now);
            tracing::warn!(url = self.url, problem, "{what}; requests are served on");
        }
    }
}
