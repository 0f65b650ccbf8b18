//! Many streams open at once.

use std::{cell::Cell, rc::Rc};

use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

use super::{Connection, ExchangeError, Job, Response, Tally};
use crate::Error;

/// Streams that connect at the same time; more than a listen backlog holds would wait for the kernel's
/// retries, which measures nothing.
const CONNECTING: usize = 64;
/// Read buffer of a connection that carries one stream, bytes.
const BUFFER_BYTES: usize = 2 * 1024;

/// Streams, each on a connection of its own. Dropping it closes them all.
#[derive(Debug)]
pub struct Streams {
    streams: JoinSet<Result<Response, ExchangeError>>,
    count: usize,
    begun: Rc<Begun>,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Begun {
    count: Cell<usize>,
    all: Notify,
}

impl Streams {
    /// Starts `count` streams of `job`.
    ///
    /// # Errors
    /// Never with the bounds used here; the histogram's constructor checks them.
    pub fn open(job: &Job, count: usize) -> Result<Self, Error> {
        let begun = Rc::<Begun>::default();
        let connecting = Rc::new(Semaphore::new(CONNECTING));
        let mut streams = JoinSet::new();
        for _ in 0..count {
            streams.spawn_local(stream(job.clone(), count, Rc::clone(&begun), Rc::clone(&connecting)));
        }
        Ok(Self { streams, count, begun, tally: Tally::new()? })
    }

    /// Waits until every stream has had its first event.
    ///
    /// # Errors
    /// Where one fails before that.
    pub async fn all_begun(&mut self) -> Result<(), Error> {
        while self.begun.count.get() < self.count {
            tokio::select! {
                () = self.begun.all.notified() => {}
                Some(ended) = self.streams.join_next() => {
                    self.tally.record(ended?, std::time::Duration::ZERO);
                    if let Some(reason) = self.tally.failures.first() {
                        let begun = self.begun.count.get();
                        return Err(Error::Failed(format!("{begun} of {} streams began: {reason}", self.count)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits for every stream's end. A stream that did not deliver all it should is a failure in the tally.
    ///
    /// # Errors
    /// Where a stream's task panicked.
    pub async fn finish(mut self) -> Result<Tally, Error> {
        while let Some(ended) = self.streams.join_next().await {
            self.tally.record(ended?, std::time::Duration::ZERO);
        }
        Ok(self.tally)
    }
}

async fn stream(
    job: Job,
    count: usize,
    begun: Rc<Begun>,
    connecting: Rc<Semaphore>,
) -> Result<Response, ExchangeError> {
    let mut permit = connecting.acquire().await.ok();
    let mut connection = Connection::open(&job.endpoint, BUFFER_BYTES).await?;
    let response = connection
        .exchange(&job.request, |reader| {
            if reader.events() > 0 && permit.take().is_some() {
                begun.count.set(begun.count.get() + 1);
                if begun.count.get() == count {
                    begun.all.notify_one();
                }
            }
        })
        .await?;
    job.expected.check(response)
}
