//! What a run of the driver saw.

use std::time::Duration;

use super::{ExchangeError, Response};
use crate::report::Latencies;

/// What went wrong: how often, and the first reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    count: u64,
    first: Option<String>,
}

impl Failures {
    /// Counts one.
    pub fn record(&mut self, reason: &ExchangeError) {
        self.count += 1;
        self.first.get_or_insert_with(|| reason.to_string());
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first reason, where there is one.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }
}

/// Counts and latencies of a run.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Responses that were as expected.
    pub requests: u64,
    /// Events in them, `[DONE]` not counted.
    pub events: u64,
    /// Payload in them, bytes.
    pub body_bytes: u64,
    /// From the first request to the last response.
    pub elapsed: Duration,
    /// Exchanges that failed.
    pub failures: Failures,
    latency: Latencies,
}

impl Tally {
    /// An empty one.
    ///
    /// # Errors
    /// Never with the bounds used here; the histogram's constructor checks them.
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self {
            requests: 0,
            events: 0,
            body_bytes: 0,
            elapsed: Duration::ZERO,
            failures: Failures::default(),
            latency: Latencies::new()?,
        })
    }

    /// Counts one exchange that took `latency`.
    pub fn record(&mut self, outcome: Result<Response, ExchangeError>, latency: Duration) {
        match outcome {
            Ok(response) => {
                self.requests += 1;
                self.events += response.events.saturating_sub(u64::from(response.done));
                self.body_bytes += response.body_bytes;
                self.latency.record(latency);
            }
            Err(reason) => self.failures.record(&reason),
        }
    }

    /// The latency that a share `quantile` of requests stayed within, microseconds.
    pub fn latency_us(&self, quantile: f64) -> f64 {
        self.latency.quantile(quantile) * 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_good_responses_count() {
        let mut tally = Tally::new().unwrap();
        let response = Response { status: 200, keep_alive: true, body_bytes: 7, events: 3, done: true };
        tally.record(Ok(response), Duration::from_micros(100));
        tally.record(Ok(response), Duration::from_micros(300));
        tally.record(Err(ExchangeError::Closed), Duration::from_secs(9));
        tally.record(Err(ExchangeError::Silent(Duration::from_secs(30))), Duration::from_secs(9));
        assert_eq!((tally.requests, tally.events, tally.body_bytes), (2, 4, 14));
        assert_eq!(tally.failures.count(), 2);
        assert_eq!(tally.failures.first(), Some(ExchangeError::Closed.to_string().as_str()));
        assert!((tally.latency_us(1.0) - 300.0).abs() < 1.0);
    }
}
