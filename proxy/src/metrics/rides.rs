//! Metric families of forwarded requests, by route, model and backend.

use std::{sync::Arc, time::Duration};

use gearshift_config::Slo;
use gearshift_selector::{Hindsight, Prediction, Usage};
use prometheus::{Counter, IntCounter, IntCounterVec, Registry};

use super::{
    attempts::{Attempts, Failed, FailedAttempts},
    family::{self, CounterVecF64},
    histograms::{Histogram, Histograms},
};

/// Upper bounds in seconds from 1 ms to 600 s, 2–2.5× apart: fine enough for quantiles, few enough to scrape.
const LATENCY_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
    600.0,
];
/// Upper bounds in seconds for one token: 1.3–1.5× apart where engines are, from 4 to 128 ms.
const TOKEN_BUCKETS: &[f64] = &[
    0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024, 0.032, 0.048, 0.064, 0.096, 0.128, 0.25, 0.5,
    1.0, 2.5, 10.0,
];
/// Upper bounds for measured over predicted, alike on both sides of 1.
const RATIO_BUCKETS: &[f64] = &[0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.11, 1.25, 1.5, 2.0, 4.0];

/// How a forwarded request ended; a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The backend's response was relayed whole, with a status below 400.
    Ok,
    /// The backend answered 4xx; relayed whole.
    ClientError,
    /// The backend answered 5xx; relayed whole.
    UpstreamError,
    /// The backend's response broke off.
    Cut,
    /// The client went away.
    Cancelled,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Ok, Self::ClientError, Self::UpstreamError, Self::Cut, Self::Cancelled];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::UpstreamError => "upstream_error",
            Self::Cut => "cut",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Seconds of the choice, of the best other candidate, and of what the one exceeds the other by where it does.
const REGRET: [&str; 3] = ["chosen", "best_other", "regret"];
const TOKENS: [&str; 3] = ["prompt", "cached", "output"];
const TARGETS: [&str; 3] = ["ttft", "tpot", "e2e"];
const RESULTS: [&str; 2] = ["met", "missed"];

/// Families with children for each route, model and backend.
#[derive(Debug)]
pub(super) struct Rides {
    requests: IntCounterVec,
    attempts: Attempts,
    ttft: Histograms,
    tpot: Histograms,
    duration: Histograms,
    tokens: IntCounterVec,
    accuracy: Histograms,
    slo: IntCounterVec,
    cost: CounterVecF64,
    energy: CounterVecF64,
    regret: CounterVecF64,
}

/// The children for one route and backend, resolved once.
#[derive(Debug)]
pub struct RideMetrics {
    outcomes: [IntCounter; 5],
    failed: Arc<FailedAttempts>,
    ttft: Arc<Histogram>,
    tpot: Arc<Histogram>,
    duration: Arc<Histogram>,
    /// In the order of [`TOKENS`].
    tokens: [IntCounter; 3],
    /// Measured over predicted, in the order of [`TARGETS`].
    accuracy: [Arc<Histogram>; 3],
    /// The route's limits and the counters of requests that met and missed them; `None` where it has none.
    slo: Option<(Slo, [IntCounter; 2])>,
    cost: Counter,
    energy: Counter,
    /// Of the whole route, in the order of [`REGRET`].
    regret: [Counter; 3],
}

/// A regular answer that was relayed whole.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// From the request's arrival to the end of the answer.
    pub duration: Duration,
    /// From the request's arrival to the first output; `None` where it did not come as a stream.
    pub first: Option<Duration>,
    /// From the first output to the last.
    pub decoding: Duration,
    /// From the request's arrival to the choice of the backend that answered.
    pub chosen: Duration,
    /// Output tokens, by the engine's count or by counting events.
    pub output_tokens: u32,
    /// The engine's counts, where it tells.
    pub usage: Option<Usage>,
    /// What was predicted for this output.
    pub predicted: Option<Prediction>,
    /// The choice against the best of the other candidates.
    pub hindsight: Option<Hindsight>,
}

impl Answered {
    /// Seconds from arrival to the first output, seconds a token after it, seconds to the end.
    fn times(&self) -> [Option<f64>; 3] {
        let further = self.output_tokens.saturating_sub(1);
        let tpot =
            (self.first.is_some() && further > 0).then(|| self.decoding.as_secs_f64() / f64::from(further));
        [self.first.map(|first| first.as_secs_f64()), tpot, Some(self.duration.as_secs_f64())]
    }
}

impl RideMetrics {
    /// Counts an end.
    pub fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].inc();
    }

    /// Counts an attempt that gave no response for the client.
    pub fn failed(&self, what: Failed) {
        self.failed.count(what);
    }

    /// Notes a regular answer.
    pub fn answered(&self, answered: &Answered) {
        let times = answered.times();
        for (histogram, seconds) in [&self.ttft, &self.tpot, &self.duration].into_iter().zip(times) {
            seconds.into_iter().for_each(|seconds| histogram.observe(seconds));
        }
        let usage = answered.usage;
        let cached = usage.and_then(|usage| usage.cached_tokens);
        let counts =
            [usage.map_or(0, |usage| usage.prompt_tokens), cached.unwrap_or(0), answered.output_tokens];
        self.tokens.iter().zip(counts).for_each(|(counter, count)| counter.inc_by(count.into()));
        if let Some((slo, counters)) = &self.slo {
            counters[usize::from(missed(slo, times))].inc();
        }
        if let Some(hindsight) = answered.hindsight {
            self.regret(hindsight);
        }
        if let Some(predicted) = answered.predicted {
            self.compare(&predicted, times, answered.chosen.as_secs_f64());
        }
    }

    fn regret(&self, Hindsight { chosen_s, best_other_s }: Hindsight) {
        let seconds = [chosen_s, best_other_s, (chosen_s - best_other_s).max(0.0)];
        // All or none: they are compared.
        if seconds.iter().all(|seconds| seconds.is_finite() && *seconds >= 0.0) {
            self.regret.iter().zip(seconds).for_each(|(counter, seconds)| counter.inc_by(seconds));
        }
    }

    /// Attempts that came before are not the prediction's fault: both it and the times compared begin at the choice.
    fn compare(&self, predicted: &Prediction, [ttft, tpot, e2e]: [Option<f64>; 3], chosen: f64) {
        let measured = [ttft.map(|ttft| ttft - chosen), tpot, e2e.map(|e2e| e2e - chosen)];
        let expected = [predicted.ttft_s, predicted.tpot_s, predicted.e2e_s];
        for ((histogram, measured), expected) in self.accuracy.iter().zip(measured).zip(expected) {
            let ratio = measured.map(|measured| measured / expected).filter(|ratio| ratio.is_finite());
            ratio.into_iter().for_each(|ratio| histogram.observe(ratio.max(0.0)));
        }
        let amount = |amount: Option<f64>| amount.filter(|amount| amount.is_finite()).unwrap_or(0.0).max(0.0);
        self.cost.inc_by(amount(predicted.cost_usd));
        self.energy.inc_by(amount(predicted.energy_j));
    }
}

/// Whether a limit was missed. What was not seen apart, as the first token of an answer in one piece, misses none.
fn missed(slo: &Slo, times: [Option<f64>; 3]) -> bool {
    let limits = [slo.ttft, slo.tpot, slo.e2e];
    limits.into_iter().zip(times).any(|(limit, seconds)| {
        limit.zip(seconds).is_some_and(|(limit, seconds)| seconds > limit.as_secs_f64())
    })
}

impl Rides {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        const LABELS: &[&str] = &["route", "model", "backend"];
        let times = |name, help, bounds| Histograms::new(name, help, LABELS, bounds);
        let counters = |name, help, more| family::counters(registry, name, help, &[LABELS, &[more]].concat());
        Ok(Self {
            requests: counters(
                "gearshift_requests_total",
                "Forwarded requests by how they ended.",
                "outcome",
            )?,
            attempts: Attempts::new(registry)?,
            ttft: times(
                "gearshift_time_to_first_token_seconds",
                "From the request's arrival to the first output of a streamed response.",
                LATENCY_BUCKETS,
            ),
            tpot: times(
                "gearshift_time_per_output_token_seconds",
                "Mean time per output token after the first, of a streamed response.",
                TOKEN_BUCKETS,
            ),
            duration: times(
                "gearshift_request_duration_seconds",
                "From the request's arrival to the end of a whole response.",
                LATENCY_BUCKETS,
            ),
            tokens: counters(
                "gearshift_tokens_total",
                "Tokens of whole responses, by the engine's count or, for output, by counting events; `cached` are those of the prompt that its prefix cache held.",
                "kind",
            )?,
            accuracy: Histograms::new(
                "gearshift_measured_over_predicted_ratio",
                "Measured time over the time predicted when the backend was chosen, the end to end for the output that came.",
                &["model", "backend", "target"],
                RATIO_BUCKETS,
            ),
            slo: counters(
                "gearshift_slo_requests_total",
                "Whole responses on routes with limits, by whether all of them were kept.",
                "result",
            )?,
            cost: family::sums(
                registry,
                "gearshift_estimated_cost_usd_total",
                "Cost of whole responses as estimated at the decision: price times the request's share of the engine's time.",
                LABELS,
            )?,
            energy: family::sums(
                registry,
                "gearshift_estimated_energy_joules_total",
                "Energy of whole responses as estimated at the decision by a linear power model; not measured.",
                LABELS,
            )?,
            regret: family::sums(
                registry,
                "gearshift_estimated_regret_seconds_total",
                "Whole answers on routes for latency: `chosen`, their time from the choice, as measured; `best_other`, what the best other candidate was predicted to take for the same output; `regret`, by how much the one exceeds the other, where it does. With what a request delays others by, as predicted.",
                &["route", "of"],
            )?,
        })
    }

    pub(super) fn children(&self, route: &str, model: &str, backend: &str, slo: &Slo) -> RideMetrics {
        let labels = [route, model, backend];
        let counter =
            |family: &IntCounterVec, label: &str| family.with_label_values(&[route, model, backend, label]);
        let limited = *slo != Slo::default();
        RideMetrics {
            outcomes: Outcome::ALL.map(|outcome| counter(&self.requests, outcome.as_str())),
            failed: self.attempts.child(route, model, backend),
            ttft: self.ttft.child(&labels),
            tpot: self.tpot.child(&labels),
            duration: self.duration.child(&labels),
            tokens: TOKENS.map(|kind| counter(&self.tokens, kind)),
            accuracy: TARGETS.map(|target| self.accuracy.child(&[model, backend, target])),
            slo: limited.then(|| (*slo, RESULTS.map(|result| counter(&self.slo, result)))),
            cost: self.cost.with_label_values(&labels),
            energy: self.energy.with_label_values(&labels),
            regret: REGRET.map(|of| self.regret.with_label_values(&[route, of])),
        }
    }

    pub(super) fn retry(&self, after: Failed) {
        self.attempts.retry(after);
    }

    /// Writes the families that the registry has not.
    pub(super) fn write(&self, page: &mut String) {
        self.attempts.write(page);
        [&self.ttft, &self.tpot, &self.duration, &self.accuracy].iter().for_each(|family| family.write(page));
    }

    /// Removes the children of one route and backend; absent ones are what is wanted.
    pub(super) fn forget(&self, route: &str, model: &str, backend: &str) {
        let labels = [route, model, backend];
        let counters = |family: &IntCounterVec, label: &str| {
            let _ = family.remove_label_values(&[route, model, backend, label]);
        };
        Outcome::ALL.iter().for_each(|outcome| counters(&self.requests, outcome.as_str()));
        self.attempts.forget(route, model, backend);
        TOKENS.iter().for_each(|kind| counters(&self.tokens, kind));
        RESULTS.iter().for_each(|result| counters(&self.slo, result));
        [&self.ttft, &self.tpot, &self.duration].iter().for_each(|family| family.remove(&labels));
        for family in [&self.cost, &self.energy] {
            let _ = family.remove_label_values(&labels);
        }
    }

    /// Removes the children of a route as a whole; absent ones are what is wanted.
    pub(super) fn forget_route(&self, route: &str) {
        REGRET.iter().for_each(|of| drop(self.regret.remove_label_values(&[route, of])));
    }

    /// Removes the children of a model on a backend that no route leads to any more.
    pub(super) fn forget_accuracy(&self, model: &str, backend: &str) {
        TARGETS.iter().for_each(|target| self.accuracy.remove(&[model, backend, target]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slo(ttft_ms: u64) -> Slo {
        Slo { ttft: Some(Duration::from_millis(ttft_ms)), ..Slo::default() }
    }

    #[test]
    fn a_limit_is_missed_by_what_was_seen_only() {
        let times = [Some(0.3), Some(0.02), Some(4.0)];
        assert!(!missed(&slo(300), times));
        assert!(missed(&slo(299), times));
        assert!(!missed(&slo(299), [None, None, Some(4.0)]), "an answer in one piece has no first token");
        assert!(!missed(&Slo::default(), times));
    }

    #[test]
    fn one_token_has_no_time_per_token() {
        let answered = |output_tokens| Answered {
            duration: Duration::from_secs(2),
            first: Some(Duration::from_secs(1)),
            decoding: Duration::from_secs(1),
            chosen: Duration::ZERO,
            output_tokens,
            usage: None,
            predicted: None,
            hindsight: None,
        };
        assert_eq!(answered(1).times(), [Some(1.0), None, Some(2.0)]);
        assert_eq!(answered(11).times(), [Some(1.0), Some(0.1), Some(2.0)]);
    }
}
