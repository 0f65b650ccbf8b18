//! What the cores share, and what each has to itself.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use gearshift_selector::Generation;
use tokio_util::task::TaskTracker;

use crate::{
    admission::Admission,
    bundles::Faults,
    live::Reporter,
    metrics::Metrics,
    pace::Pace,
    snapshot::{Snapshot, Upstream},
    telemetry::Outlets,
    upstream::{http2::Driver, pool::Pool},
};

/// What the cores share: atomics, and one `ArcSwap`.
#[derive(Debug)]
pub struct Shared {
    /// The live snapshot.
    pub live: Arc<ArcSwap<Snapshot>>,
    /// The metric families.
    pub metrics: Metrics,
    /// Requests and bytes in flight.
    pub admission: Arc<Admission>,
    /// Each core's way to the consumer of what it learns.
    reporters: Vec<Arc<Reporter>>,
    /// Each core's way to those who are told of single requests.
    outlets: Vec<Arc<Outlets>>,
    draining: AtomicBool,
}

impl Shared {
    /// Shares a first snapshot.
    pub fn new(
        snapshot: Snapshot,
        metrics: Metrics,
        reporters: Vec<Arc<Reporter>>,
        outlets: Vec<Arc<Outlets>>,
    ) -> Arc<Self> {
        let admission = Admission::new();
        admission.limit(&snapshot.config.limits);
        let live = Arc::new(ArcSwap::from_pointee(snapshot));
        Arc::new(Self { live, metrics, admission, reporters, outlets, draining: AtomicBool::new(false) })
    }

    /// Swaps the snapshot; requests under way keep theirs.
    pub fn swap(&self, snapshot: Snapshot) {
        self.admission.limit(&snapshot.config.limits);
        self.live.store(Arc::new(snapshot));
    }

    /// Whether new requests are welcome: some model is served, and shutdown has not begun.
    pub fn ready(&self) -> bool {
        !self.draining.load(Relaxed) && self.live.load().can_serve()
    }

    /// Shutdown has begun.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }
}

/// One core's own: pools, randomness, and a cached pointer to the snapshot.
#[derive(Debug)]
pub struct Worker {
    /// What the cores share.
    pub shared: Arc<Shared>,
    /// Connections to backends.
    pub pools: Pools,
    /// Randomness for ties and request ids.
    pub rng: RefCell<fastrand::Rng>,
    /// Its number, from 0: which of a bundle's heads is its own.
    pub core: usize,
    /// Whether its decisions keep to their time.
    pub pace: RefCell<Pace>,
    /// Whether the active bundle keeps failing in them.
    pub faults: RefCell<Faults<Generation>>,
    /// Its way to the consumer of what it learns; every core that serves has one.
    pub reporter: Option<Arc<Reporter>>,
    /// Its way to those who are told of single requests.
    pub outlets: Arc<Outlets>,
    /// Tasks of this core.
    pub tasks: TaskTracker,
    snapshot: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
}

impl Worker {
    /// A core's own, by its number; `seed` makes its random choices repeatable.
    pub fn new(shared: Arc<Shared>, core: usize, seed: u64) -> Rc<Self> {
        let tasks = TaskTracker::new();
        let snapshot = RefCell::new(Cache::new(shared.live.clone()));
        let pools = Pools { pools: RefCell::default(), driver: Driver { tasks: tasks.clone() } };
        Rc::new(Self {
            reporter: shared.reporters.get(core).cloned(),
            outlets: shared.outlets.get(core).cloned().unwrap_or_default(),
            shared,
            core,
            pace: RefCell::default(),
            faults: RefCell::default(),
            pools,
            rng: RefCell::new(fastrand::Rng::with_seed(seed)),
            tasks,
            snapshot,
        })
    }

    /// The live snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow_mut().load().clone()
    }

    /// Closes idle connections from time to time, and forgets pools of backends that have left.
    pub async fn sweep(self: Rc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            let snapshot = self.snapshot();
            self.pools.sweep(snapshot.config.timeouts.pool_idle);
        }
    }
}

/// The pools of one core, by backend.
#[derive(Debug)]
pub struct Pools {
    pools: RefCell<HashMap<u64, Entry>>,
    driver: Driver,
}

/// A pool, and whether its backend is still there: some snapshot or request holds it.
#[derive(Debug)]
struct Entry {
    pool: Rc<Pool>,
    backend: Weak<Upstream>,
}

impl Pools {
    /// The pool of a backend.
    pub fn of(&self, upstream: &Arc<Upstream>) -> Rc<Pool> {
        let fresh = || Entry {
            pool: Rc::new(Pool::new(upstream.connector.clone(), self.driver.clone())),
            backend: Arc::downgrade(upstream),
        };
        self.pools.borrow_mut().entry(upstream.key).or_insert_with(fresh).pool.clone()
    }

    fn sweep(&self, max_idle: Duration) {
        self.pools.borrow_mut().retain(|_, Entry { pool, backend }| {
            pool.sweep(max_idle);
            // A pool in use is kept by its leases; an empty one is made again when needed. An HTTP/2 connection stays
            // open for as long as its backend is there.
            let leased = Rc::strong_count(pool) > 1;
            pool.idle() > 0 || leased || pool.multiplexed() && backend.strong_count() > 0
        });
    }
}
