//! Record: what became of a forwarded request, for the selector to learn from and for the metrics.

use std::{sync::Arc, time::Duration};

use gearshift_selector::{Flight, Moment, Usage};
use http::StatusCode;

use super::{Failure, admit::RequestId};
use crate::{
    admission::Permit,
    clock,
    error::{Reason, Source},
    live::{Decided, End, Report},
    metrics::{Answered, Outcome, RideMetrics},
    telemetry::{Ending, Trail},
};

/// A request at a backend that has not answered yet. Dropped unsettled, it is one whose client went away.
#[derive(Debug)]
pub(super) struct Waiting {
    metrics: Arc<RideMetrics>,
    /// Where the decision is kept for the record.
    decided: Option<Box<Decided>>,
    /// The request's, while it is here.
    report: Option<Report>,
    settled: bool,
}

impl Waiting {
    pub(super) fn new(metrics: Arc<RideMetrics>, decided: Option<Box<Decided>>) -> Self {
        Self { metrics, decided, report: None, settled: false }
    }

    /// Takes along what is said of the request, until it is settled.
    pub(super) fn carry(&mut self, report: Option<Report>) {
        self.report = report;
    }

    /// The backend has answered.
    pub(super) fn answered(mut self, trail: Trail) -> (Arc<RideMetrics>, Told) {
        self.settled = true;
        let told = Told { report: self.report.take(), decided: self.decided.take(), trail };
        (self.metrics.clone(), told)
    }

    /// The attempt failed; gives back what is said of the request, which goes on.
    pub(super) fn failed(mut self, failure: &Failure) -> Option<Report> {
        self.settled = true;
        failure.what.into_iter().for_each(|what| self.metrics.failed(what));
        let reason = failure.error.reason;
        let report = self.report.take()?;
        // What went wrong here says nothing of the backend.
        if reason.source() == Source::Upstream {
            let status = (reason == Reason::UpstreamRefused).then_some(StatusCode::SERVICE_UNAVAILABLE);
            report.failed(status.map(|it| it.as_u16()), self.decided.take(), clock::now());
        }
        Some(report)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        self.metrics.count(Outcome::Cancelled);
        if let Some(report) = self.report.take() {
            report.abandoned(self.decided.take(), clock::now());
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
    told: Told,
    _permit: Permit,
}

/// What is said of a request when it has ended, and what was decided about it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) report: Option<Report>,
    pub(super) decided: Option<Box<Decided>>,
    pub(super) trail: Trail,
}

impl Ride {
    pub(super) fn new(
        flight: Flight,
        metrics: Arc<RideMetrics>,
        id: RequestId,
        status: StatusCode,
        arrived: Moment,
        told: Told,
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
            told,
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
        let Some(flight) = self.end(outcome, usage) else { return };
        // Only a regular answer teaches: errors end early and would make a broken backend look fast.
        if outcome == Outcome::Ok {
            self.observe(&flight, usage);
            flight.finish(usage, clock::now());
        }
    }

    /// The backend's response broke off.
    pub(super) fn cut(&mut self, why: &str) {
        tracing::warn!(request_id = %self.id, why, "a response was cut");
        drop(self.end(Outcome::Cut, None));
    }

    fn end(&mut self, outcome: Outcome, usage: Option<Usage>) -> Option<Flight> {
        let flight = self.flight.take()?;
        self.metrics.count(outcome);
        let now = clock::now();
        self.tell(outcome, usage, now);
        Some(flight)
    }

    fn tell(&mut self, outcome: Outcome, usage: Option<Usage>, now: Moment) {
        self.told.trail.end(Ending {
            at: now,
            status: Some(self.status),
            outcome: outcome.as_str(),
            reason: (outcome == Outcome::Cut).then_some(Reason::UpstreamCut),
            first: self.first,
            counted_tokens: self.output_tokens,
            usage,
        });
        let Some(report) = self.told.report.take() else { return };
        let end = End {
            arrived: self.arrived,
            first: self.first,
            last: self.last,
            at: now,
            outcome,
            status: Some(self.status.as_u16()),
            counted_tokens: self.output_tokens,
            usage,
        };
        report.end(end, self.told.decided.take());
    }

    fn observe(&self, flight: &Flight, usage: Option<Usage>) {
        let output_tokens = usage.map_or(self.output_tokens, |usage| usage.completion_tokens);
        self.metrics.answered(&Answered {
            duration: clock::between(self.arrived, clock::now()),
            first: self.first.map(|first| clock::between(self.arrived, first)),
            decoding: self.first.map_or(Duration::ZERO, |first| clock::between(first, self.last)),
            chosen: clock::between(self.arrived, flight.started()),
            output_tokens,
            usage,
            predicted: flight.predicted(output_tokens),
            hindsight: flight.hindsight(output_tokens, clock::now()),
        });
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        drop(self.end(Outcome::Cancelled, None));
    }
}
