//! What is learned from the requests that are served: workload windows, recent decisions, rows of the performance database.
//!
//! One way leads from the request cores to here, and nothing leads back:
//!
//! ```text
//! core-0 ─ Report ─▶ queue ─┐                                  ┌▶ windows ─▶ /workload, metrics, controller
//! core-1 ─ Report ─▶ queue ─┼─▶ consumer, a thread of its own ─┼▶ recent decisions
//!    …                      │                                  └▶ rows that wait ─▶ Parquet ─▶ folder or bucket
//! ```
//!
//! A queue is bounded, and putting something in neither waits nor wakes anybody: the consumer looks every 50 ms. What finds it
//! full is dropped and counted; so are rows while the store does not take them. Of prompts there are lengths and hashes,
//! never text.

mod consumer;
mod event;
mod rows;
mod served;
mod store;
mod windows;

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use arc_swap::ArcSwap;
use gearshift_config::Observations;
use tokio_util::sync::CancellationToken;

use self::{consumer::Consumer, event::Event};
pub use self::{
    event::{Decided, End, Ended, Engine, Report, Subject},
    rows::Wall,
    windows::{ModelView, Windows},
};
use crate::{
    metrics::{LiveMetrics, Metrics},
    snapshot::Snapshot,
};

/// Events that wait of one core at most: two a request and one for each attempt that failed, taken out every 50 ms. 200 kB a core.
const QUEUE: usize = 4096;

/// One core's end of its queue.
#[derive(Debug)]
pub struct Reporter {
    queue: SyncSender<Event>,
    metrics: LiveMetrics,
}

impl Reporter {
    /// Never waits: what finds no room is dropped and counted.
    fn put(&self, event: Event) {
        if let Err(refused) = self.queue.try_send(event) {
            drop(refused);
            self.metrics.overflowed();
        }
    }

    /// A decision was made; counts those that explored.
    pub fn decided(&self, explored: bool) {
        if explored {
            self.metrics.explored();
        }
    }
}

/// The consumer's ends of the queues.
#[derive(Debug)]
pub struct Inboxes(Vec<Receiver<Event>>);

impl Inboxes {
    /// Empties the queues; how many events there were.
    pub fn clear(&self) -> usize {
        self.0.iter().map(|inbox| inbox.try_iter().count()).sum()
    }
}

/// A queue for each core.
pub fn queues(cores: usize, metrics: &Metrics) -> (Vec<Arc<Reporter>>, Inboxes) {
    let one = |_| {
        let (queue, inbox) = sync_channel(QUEUE);
        (Arc::new(Reporter { queue, metrics: metrics.live.clone() }), inbox)
    };
    let (reporters, inboxes) = (0..cores).map(one).unzip();
    (reporters, Inboxes(inboxes))
}

/// What the consumer shows; renewed every second.
#[derive(Debug)]
pub struct View {
    /// Half-life of the windows, seconds.
    pub half_life_s: f64,
    /// By model.
    pub windows: ArcSwap<Windows>,
    /// The last requests whose decision was kept, oldest first.
    pub recent: ArcSwap<Vec<Arc<Ended>>>,
    /// What time it was when these were taken.
    pub wall: ArcSwap<Wall>,
}

impl View {
    /// Nothing seen yet.
    pub fn new(settings: &Observations) -> Arc<Self> {
        Arc::new(Self {
            half_life_s: settings.half_life.as_secs_f64(),
            windows: ArcSwap::default(),
            recent: ArcSwap::default(),
            wall: ArcSwap::default(),
        })
    }
}

/// Starts the consumer. When `stop` is cancelled it takes in what is left, writes the rows that wait, and ends: within
/// seconds, also where the store does not answer.
///
/// # Errors
/// When the system gives no thread.
pub fn start(
    settings: &Observations,
    Inboxes(inboxes): Inboxes,
    view: Arc<View>,
    live: Arc<ArcSwap<Snapshot>>,
    metrics: &LiveMetrics,
    stop: CancellationToken,
) -> io::Result<thread::JoinHandle<()>> {
    let consumer = Consumer::new(settings.clone(), inboxes, view, live, metrics.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("observer".into()).spawn(move || {
        tokio::task::LocalSet::new().block_on(&runtime, consumer.run(stop));
        // An upload that is stuck is nobody's to wait for.
        runtime.shutdown_background();
    })
}

#[cfg(test)]
mod row_tests;
#[cfg(test)]
mod tests;
