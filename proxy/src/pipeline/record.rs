//! Record: what became of a forwarded request, for the selector to learn from and for the metrics.

use std::sync::Arc;

use gearshift_selector::{Flight, Moment, Usage};
use http::StatusCode;

use super::admit::RequestId;
use crate::{
    admission::Permit,
    clock,
    metrics::{Outcome, RideMetrics},
};

/// A request at a backend that has not answered yet. Dropped unsettled, it is one whose client went away.
#[derive(Debug)]
pub(super) struct Waiting {
    metrics: Arc<RideMetrics>,
    settled: bool,
}

impl Waiting {
    pub(super) fn new(metrics: Arc<RideMetrics>) -> Self {
        Self { metrics, settled: false }
    }

    /// The backend has answered or failed, and is counted elsewhere.
    pub(super) fn settle(mut self) -> Arc<RideMetrics> {
        self.settled = true;
        self.metrics.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.settled {
            self.metrics.count(Outcome::Cancelled);
        }
    }
}

/// A request on its way back. Lives exactly as long as the response body: it holds the permit and the backend's
/// ledger entry, and dropping it unended records that the client went away.
#[derive(Debug)]
pub(super) struct Ride {
    flight: Option<Flight>,
    metrics: Arc<RideMetrics>,
    id: RequestId,
    status: StatusCode,
    arrived: Moment,
    first: Option<Moment>,
    last: Moment,
    output_tokens: u32,
    _permit: Permit,
}

impl Ride {
    pub(super) fn new(
        flight: Flight,
        metrics: Arc<RideMetrics>,
        id: RequestId,
        status: StatusCode,
        arrived: Moment,
        permit: Permit,
    ) -> Self {
        let (first, last) = (None, clock::now());
        Self {
            flight: Some(flight),
            metrics,
            id,
            status,
            arrived,
            first,
            last,
            output_tokens: 0,
            _permit: permit,
        }
    }

    /// Notes output that passed: about one token per event.
    pub(super) fn output(&mut self, events: u32) {
        let now = clock::now();
        self.last = now;
        let Some(flight) = &mut self.flight else { return };
        if self.first.is_none() && events > 0 {
            self.first = Some(now);
            flight.first_token(now);
        }
        flight.progress(events, now);
        self.output_tokens = self.output_tokens.saturating_add(events);
    }

    /// When something last passed.
    pub(super) fn last(&self) -> Moment {
        self.last
    }

    /// The response has been relayed to its end.
    pub(super) fn whole(&mut self, usage: Option<Usage>) {
        let outcome = match self.status.as_u16() {
            ..400 => Outcome::Ok,
            400..500 => Outcome::ClientError,
            500.. => Outcome::UpstreamError,
        };
        let Some(flight) = self.end(outcome) else { return };
        // Only a regular answer teaches: errors end early and would make a broken backend look fast.
        if outcome == Outcome::Ok {
            self.observe(usage);
            flight.finish(usage, clock::now());
        }
    }

    /// The backend's response broke off.
    pub(super) fn cut(&mut self, why: &str) {
        tracing::warn!(request_id = %self.id, why, "a response was cut");
        drop(self.end(Outcome::Cut));
    }

    fn end(&mut self, outcome: Outcome) -> Option<Flight> {
        let flight = self.flight.take()?;
        self.metrics.count(outcome);
        let seconds = clock::between(self.arrived, clock::now()).as_secs_f64();
        tracing::debug!(
            target: "gearshift::access",
            request_id = %self.id,
            status = self.status.as_u16(),
            outcome = outcome.as_str(),
            seconds,
            output_tokens = self.output_tokens,
        );
        Some(flight)
    }

    fn observe(&self, usage: Option<Usage>) {
        let seconds = |from, to| clock::between(from, to).as_secs_f64();
        self.metrics.duration.observe(seconds(self.arrived, clock::now()));
        let output = usage.map_or(self.output_tokens, |usage| usage.completion_tokens);
        self.metrics.output_tokens.inc_by(output.into());
        if let Some(usage) = usage {
            self.metrics.prompt_tokens.inc_by(usage.prompt_tokens.into());
        }
        if let Some(first) = self.first {
            self.metrics.ttft.observe(seconds(self.arrived, first));
            if output > 1 {
                self.metrics.tpot.observe(seconds(first, self.last) / f64::from(output - 1));
            }
        }
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        drop(self.end(Outcome::Cancelled));
    }
}
