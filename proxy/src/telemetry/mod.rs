//! What is told of single requests: spans, access-log lines, headers that explain.
//!
//! A request that something is told of carries a [`Trail`]: numbers, ids and pointers into the snapshot, never text of prompts or
//! answers. When it ends, the trail's [`Record`] goes into queues that neither wait nor wake anybody:
//!
//! ```text
//! core-0 ─ Trail ─▶ queues ─┬─▶ tracer, a thread: records become spans ─▶ OTLP over HTTP ─▶ collector
//! core-1 ─ Trail ─▶ queues ─┴─▶ logger, a thread: records become JSON lines ─▶ stdout, stderr or a file
//! ```
//!
//! What finds a queue full is dropped and counted, so neither a dead collector nor a stuck pipe slows a request. Where nothing is
//! to be told, a request carries an empty trail.
//!
//! Spans are made of records off the request cores, and not by `tracing` spans on them: its registry is one of locked slots that all
//! cores share, and what is known of a request (first token, usage, which attempt answered) is known at its end.

mod access;
mod context;
mod explain;
mod export;
mod record;
mod spans;
mod trail;

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, SystemTime},
};

use gearshift_config::Telemetry;
use gearshift_selector::Moment;
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

pub use self::{
    context::{Context, TRACEPARENT},
    explain::EXPLAIN,
    record::{Asked, Attempt, Ending, Record},
    trail::Trail,
};
use crate::{
    clock,
    metrics::{TelemetryMetrics, Told},
};

/// Records that wait of one core at most, taken out every 50 ms: 80,000 requests a second.
const QUEUE: usize = 4096;
/// How often queues are emptied.
const TICK: Duration = Duration::from_millis(50);
/// What telling the last of it may take at the end.
const LAST: Duration = Duration::from_secs(3);

/// One core's ends of its queues; `None` for what is not told.
#[derive(Debug, Default)]
pub struct Outlets {
    spans: Option<Outlet>,
    lines: Option<Outlet>,
}

#[derive(Debug)]
struct Outlet {
    queue: SyncSender<Arc<Record>>,
    told: Told,
}

impl Outlet {
    /// Never waits: what finds no room is dropped and counted.
    fn put(&self, record: Arc<Record>) {
        if let Err(refused) = self.queue.try_send(record) {
            drop(refused);
            self.told.overflowed(1);
        }
    }
}

/// The other ends, of all cores.
#[derive(Debug)]
struct Inboxes(Vec<Receiver<Arc<Record>>>);

impl Inboxes {
    fn take(&self) -> impl Iterator<Item = Arc<Record>> {
        self.0.iter().flat_map(Receiver::try_iter)
    }
}

/// The threads that tell.
#[derive(Debug, Default)]
pub struct Tellers(Vec<oneshot::Receiver<()>>);

impl Tellers {
    /// Waits until all has been told, for a time: a pipe that nobody reads is nobody's to wait for.
    pub async fn ended(self) {
        for teller in self.0 {
            // One that is gone has ended.
            if timeout(2 * LAST, teller).await.is_err() {
                tracing::warn!("the last spans or access-log lines are lost: nobody takes them");
            }
        }
    }
}

/// Starts what tells, as configured; gives each core's outlets. They end when `stop` is cancelled and all has been told.
///
/// # Errors
/// When the access log's file cannot be opened, spans cannot be sent as configured, or the system gives no thread.
pub fn start(
    settings: &Telemetry,
    cores: usize,
    metrics: &TelemetryMetrics,
    stop: &CancellationToken,
) -> io::Result<(Vec<Arc<Outlets>>, Tellers)> {
    let mut outlets: Vec<Outlets> = (0..cores).map(|_| Outlets::default()).collect();
    let mut tellers = Tellers::default();
    if let Some(tracing) = &settings.tracing {
        let exporter = export::Exporter::new(tracing, metrics.spans.clone())?;
        let inboxes = queues(&mut outlets, &metrics.spans, |outlets| &mut outlets.spans);
        let stop = stop.clone();
        tellers.0.push(thread("tracer", move || exporter.run(inboxes, stop))?);
    }
    if let Some(log) = &settings.access_log {
        let writer = access::Writer::new(&log.to, metrics.lines.clone())?;
        let inboxes = queues(&mut outlets, &metrics.lines, |outlets| &mut outlets.lines);
        let stop = stop.clone();
        tellers.0.push(thread("access-log", move || writer.run(inboxes, stop))?);
    }
    Ok((outlets.into_iter().map(Arc::new).collect(), tellers))
}

fn queues(
    outlets: &mut [Outlets],
    told: &Told,
    place: impl Fn(&mut Outlets) -> &mut Option<Outlet>,
) -> Inboxes {
    let one = |outlets: &mut Outlets| {
        let (queue, inbox) = sync_channel(QUEUE);
        *place(outlets) = Some(Outlet { queue, told: told.clone() });
        inbox
    };
    Inboxes(outlets.iter_mut().map(one).collect())
}

fn thread<W: Future<Output = ()>>(
    name: &str,
    work: impl FnOnce() -> W + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, ended) = oneshot::channel();
    thread::Builder::new().name(name.into()).spawn(move || {
        runtime.block_on(work());
        runtime.shutdown_background();
        // Nobody may be waiting.
        let _ = done.send(());
    })?;
    Ok(ended)
}

/// What moments are on the wall, of one batch.
#[derive(Debug, Clone, Copy)]
struct Wall {
    now: Moment,
    unix: Duration,
}

impl Wall {
    fn read() -> Self {
        Self { now: clock::now(), unix: clock::unix() }
    }

    fn of(&self, at: Moment) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.unix.saturating_sub(clock::between(at, self.now))
    }
}
