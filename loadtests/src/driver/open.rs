//! Open loop: requests come when they are due, whatever became of those before them.
//!
//! Latency counts from when a request was due, not from when it could be sent: a server that stalls
//! answers for all that came due meanwhile (no coordinated omission).

use std::{cell::RefCell, rc::Rc, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use super::{Job, Pacer, Tally, connection::Slot};
use crate::{Error, workload::Arrivals};

/// Arrivals at a fixed mean rate.
#[derive(Debug, Clone, Copy)]
pub struct OpenLoop {
    /// Arrivals per second on average.
    pub rate: f64,
    /// How long requests come.
    pub duration: Duration,
    /// Seed of the arrival times: the same seed gives the same load.
    pub seed: u64,
}

impl OpenLoop {
    /// Sends `job` at Poisson arrivals, on connections that are opened as needed and used again,
    /// the most recently used first.
    ///
    /// # Errors
    /// Where the timer fails or a request's task panicked.
    pub async fn run(&self, job: &Job) -> Result<Tally, Error> {
        let pacer = Pacer::new()?;
        let idle: Rc<RefCell<Vec<Slot>>> = Rc::default();
        let mut tally = Tally::new()?;
        let mut requests = JoinSet::new();
        let start = Instant::now();
        for arrival in self.arrivals() {
            let due = start + arrival;
            pacer.sleep_until(due).await?;
            requests.spawn_local(send(job.clone(), Rc::clone(&idle), due));
            while let Some(request) = requests.try_join_next() {
                let (outcome, latency) = request?;
                tally.record(outcome, latency);
            }
        }
        while let Some(request) = requests.join_next().await {
            let (outcome, latency) = request?;
            tally.record(outcome, latency);
        }
        tally.elapsed = start.elapsed();
        Ok(tally)
    }

    /// When requests come due, from the start.
    pub fn arrivals(&self) -> impl Iterator<Item = Duration> + use<> {
        let Self { rate, duration, seed } = *self;
        Arrivals::Poisson.times(rate, seed).take_while(move |at| *at < duration)
    }
}

type Timed = (Result<super::Response, super::ExchangeError>, Duration);

async fn send(job: Job, idle: Rc<RefCell<Vec<Slot>>>, due: Instant) -> Timed {
    let mut slot = idle.borrow_mut().pop().unwrap_or_default();
    let outcome = slot.run(&job).await;
    let latency = due.elapsed();
    idle.borrow_mut().push(slot);
    (outcome, latency)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: OpenLoop = OpenLoop { rate: 1_000.0, duration: Duration::from_secs(20), seed: 7 };

    #[test]
    fn arrivals_come_at_the_rate_and_are_irregular() {
        let arrivals: Vec<Duration> = LOAD.arrivals().collect();
        let expected = LOAD.rate * LOAD.duration.as_secs_f64();
        assert!((arrivals.len() as f64 - expected).abs() < 5.0 * expected.sqrt(), "{}", arrivals.len());

        let gaps: Vec<f64> = arrivals.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variation = variance.sqrt() / mean;
        assert!((0.95..1.05).contains(&variation), "exponential gaps vary by their mean: {variation}");
    }

    #[test]
    fn the_same_seed_gives_the_same_load() {
        assert!(LOAD.arrivals().eq(LOAD.arrivals()));
        assert!(!LOAD.arrivals().eq(OpenLoop { seed: 8, ..LOAD }.arrivals()));
    }
}
