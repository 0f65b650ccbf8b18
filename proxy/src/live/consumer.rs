//! The consumer: takes events out of the cores' queues, and hands on what follows from them.

use std::{
    collections::VecDeque,
    sync::{Arc, mpsc::Receiver},
    time::Duration,
};

use arc_swap::ArcSwap;
use gearshift_config::Observations;
use tokio::{
    sync::mpsc::{self, Sender},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Ended, View,
    event::Event,
    rows::{self, NoRow, Wall},
    store::{Batch, Store},
    windows::Trackers,
};
use crate::{
    clock,
    metrics::{LiveMetrics, Lost},
    snapshot::Snapshot,
};

/// How often the queues are emptied.
const TICK: Duration = Duration::from_millis(50);
/// How often what is shown is renewed.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// Decisions that are shown.
const RECENT: usize = 256;
/// What writing the last rows may take at the end.
const LAST_FLUSH: Duration = Duration::from_secs(10);

/// The consumer's state.
pub(super) struct Consumer {
    settings: Observations,
    inboxes: Vec<Receiver<Event>>,
    view: Arc<View>,
    live: Arc<ArcSwap<Snapshot>>,
    metrics: LiveMetrics,
    trackers: Trackers,
    recent: VecDeque<Arc<Ended>>,
    pending: Pending,
}

/// Rows that wait for the store.
#[derive(Debug, Default)]
struct Pending {
    rows: VecDeque<Arc<Ended>>,
    /// When the oldest came in.
    since: Option<Instant>,
    /// Rows handed on before.
    before: u64,
}

impl Consumer {
    pub(super) fn new(
        settings: Observations,
        inboxes: Vec<Receiver<Event>>,
        view: Arc<View>,
        live: Arc<ArcSwap<Snapshot>>,
        metrics: LiveMetrics,
    ) -> Self {
        let trackers = Trackers::new(settings.half_life.as_secs_f64());
        let (recent, pending) = (VecDeque::new(), Pending::default());
        Self { settings, inboxes, view, live, metrics, trackers, recent, pending }
    }

    /// Runs until `stop`; then takes in what is left and writes it. Needs a `LocalSet`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let (mut store, writing) = self.open_store(stop.clone()).unzip();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shown = None::<Instant>;
        while !stop.is_cancelled() {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => {}
            }
            self.take_in();
            if shown.is_none_or(|at| at.elapsed() >= SHOW_EVERY) {
                shown = Some(Instant::now());
                self.show();
            }
            if let Some(store) = &store
                && self.pending.due(&self.settings)
            {
                self.hand_on(store);
            }
        }
        // The cores have ended: nothing comes any more.
        self.take_in();
        let rest = async {
            while let Some(store) = store.as_ref().filter(|_| !self.pending.rows.is_empty()) {
                let batch = self.pending.batch(self.settings.flush_rows);
                if store.send(batch).await.is_err() {
                    break;
                }
            }
            drop(store.take());
            if let Some(writing) = writing {
                let _ = writing.await;
            }
        };
        if timeout(LAST_FLUSH, rest).await.is_err() {
            tracing::warn!("the last observations are lost: the store takes too long");
        }
    }

    /// `None` where no rows are kept.
    fn open_store(&self, hurry: CancellationToken) -> Option<(Sender<Batch>, JoinHandle<()>)> {
        let url = self.settings.url.clone()?;
        // One waits while one is written: what else waits is bounded by `max_pending`.
        let (sender, batches) = mpsc::channel(1);
        let store = Store::new(url, replica(), self.metrics.clone(), hurry);
        Some((sender, tokio::task::spawn_local(store.run(batches))))
    }

    /// Cores are emptied one after the other; in the order of time again, gaps between arrivals are what they were.
    fn take_in(&mut self) {
        let mut events: Vec<Event> = self.inboxes.iter().flat_map(Receiver::try_iter).collect();
        events.sort_by_key(Event::at);
        for event in events {
            self.trackers.take(&event);
            if let Event::Ended(ended) | Event::Failed(ended) = event {
                self.keep(ended);
            }
        }
        self.metrics.pending(self.pending.rows.len());
    }

    /// A decision and what came of it, to be shown and to be written.
    fn keep(&mut self, ended: Arc<Ended>) {
        if ended.decided.is_none() {
            return;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(ended.clone());
        if self.settings.url.is_none() {
            return;
        }
        match rows::fit(&ended) {
            Err(NoRow::NotSampled) => {}
            Err(NoRow::UnknownFacts) => self.metrics.lost(Lost::UnknownFacts, 1),
            Ok(()) if self.pending.rows.len() >= size(self.settings.max_pending) => {
                self.metrics.lost(Lost::PendingFull, 1);
            }
            Ok(()) => self.pending.push(ended),
        }
    }

    fn hand_on(&mut self, store: &Sender<Batch>) {
        if let Ok(room) = store.try_reserve() {
            room.send(self.pending.batch(self.settings.flush_rows));
        }
    }

    fn show(&mut self) {
        let now = clock::now();
        self.trackers.keep(&self.live.load());
        let windows = self.trackers.windows(now);
        self.metrics.workloads(&self.view.windows.load(), &windows);
        self.view.windows.store(Arc::new(windows));
        self.view.wall.store(Arc::new(wall()));
        self.view.recent.store(Arc::new(self.recent.iter().cloned().collect()));
    }
}

impl Pending {
    fn push(&mut self, row: Arc<Ended>) {
        self.since.get_or_insert_with(Instant::now);
        self.rows.push_back(row);
    }

    fn due(&self, settings: &Observations) -> bool {
        let old = self.since.is_some_and(|since| since.elapsed() >= settings.flush_every);
        !self.rows.is_empty() && (old || self.rows.len() >= size(settings.flush_rows))
    }

    /// The oldest rows, as many as a file has.
    fn batch(&mut self, most: u32) -> Batch {
        let count = self.rows.len().min(size(most));
        let ended: Vec<_> = self.rows.drain(..count).collect();
        self.since = (!self.rows.is_empty()).then(Instant::now);
        let first = self.before;
        self.before += ended.len() as u64;
        Batch { ended, first, wall: wall() }
    }
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn wall() -> Wall {
    Wall { now: clock::now(), unix_ms: u64::try_from(clock::unix().as_millis()).unwrap_or(u64::MAX) }
}

/// What no other writer into the store is called: the machine's name, the process and when it began, for in containers the first two
/// come again.
fn replica() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = kernel.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let fits = |letter: &char| letter.is_ascii_alphanumeric() || "._-".contains(*letter);
    let host: String = host.trim().chars().filter(fits).take(64).collect();
    let host = if host.is_empty() { "gearshift".to_owned() } else { host };
    format!("{host}-{}-{:x}", std::process::id(), wall().unix_ms)
}
