//! Closed loop: each connection sends its next request when the last is answered.

use std::{cell::RefCell, rc::Rc, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use super::{Job, Tally, connection::Slot};
use crate::Error;

/// Connections that work through the same job.
#[derive(Debug)]
pub struct ClosedLoop {
    job: Job,
    slots: Vec<Slot>,
}

impl ClosedLoop {
    /// A loop over `connections` connections, opened at their first request and kept between runs.
    pub fn new(job: Job, connections: usize) -> Self {
        Self { job, slots: std::iter::repeat_with(Slot::default).take(connections).collect() }
    }

    /// Sends requests for `duration`, then lets those in flight finish; every request is counted.
    /// A connection whose exchange fails sends no more.
    ///
    /// # Errors
    /// Where a connection's task panicked.
    pub async fn run(&mut self, duration: Duration) -> Result<Tally, Error> {
        let tally = Rc::new(RefCell::new(Tally::new()?));
        let start = Instant::now();
        let until = start + duration;
        let mut workers = JoinSet::new();
        for slot in self.slots.drain(..) {
            workers.spawn_local(work(slot, self.job.clone(), until, Rc::clone(&tally)));
        }
        while let Some(slot) = workers.join_next().await {
            self.slots.push(slot?);
        }
        let mut tally = tally.borrow().clone();
        tally.elapsed = start.elapsed();
        Ok(tally)
    }
}

async fn work(mut slot: Slot, job: Job, until: Instant, tally: Rc<RefCell<Tally>>) -> Slot {
    let mut now = Instant::now();
    while now < until {
        let outcome = slot.run(&job).await;
        let failed = outcome.is_err();
        let answered = Instant::now();
        tally.borrow_mut().record(outcome, answered - now);
        if failed {
            break;
        }
        now = answered;
    }
    slot
}
