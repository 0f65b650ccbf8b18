//! Metric families of decisions.

use std::time::Duration;

use gearshift_selector::{Decision, Fallback};
use prometheus::{Counter, Histogram, HistogramOpts, IntCounter, IntCounterVec, Registry};

use super::family::{self, CounterVecF64, HistogramVec};

/// Upper bounds in seconds for the decision alone.
const TIME_BUCKETS: &[f64] = &[1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3];
const CONFIDENCE_BUCKETS: &[f64] = &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// What was taken, and an even spread over the same candidates.
const CHOICES: [&str; 2] = ["chosen", "round_robin"];

#[derive(Debug)]
pub(super) struct Decisions {
    made: IntCounterVec,
    seconds: Histogram,
    confidence: HistogramVec,
    predicted: CounterVecF64,
}

/// The children for one route's decisions, resolved once.
#[derive(Debug)]
pub struct DecisionMetrics {
    /// By the meta-learner, then by fallback.
    made: [IntCounter; 1 + Fallback::ALL.len()],
    confidence: Histogram,
    /// Predicted seconds, in the order of [`CHOICES`].
    predicted: [Counter; 2],
}

impl DecisionMetrics {
    /// Notes a decision.
    pub fn note(&self, decision: &Decision) {
        let index =
            decision.fallback.and_then(|reason| Fallback::ALL.iter().position(|known| *known == reason));
        self.made[index.map_or(0, |index| index + 1)].inc();
        let Some(chosen) = decision.chosen.prediction else { return };
        if let Some(learned) = chosen.learned {
            self.confidence.observe(learned.confidence);
        }
        // Both or none: they are compared.
        let both = decision.even_e2e_s.map(|even| [chosen.e2e_s, even]);
        if let Some(seconds) =
            both.filter(|both| both.iter().all(|seconds| seconds.is_finite() && *seconds >= 0.0))
        {
            self.predicted.iter().zip(seconds).for_each(|(counter, seconds)| counter.inc_by(seconds));
        }
    }
}

impl Decisions {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let time = HistogramOpts::new("gearshift_decision_seconds", "Time a decision takes.");
        Ok(Self {
            made: family::counters(
                registry,
                "gearshift_decisions_total",
                "Decisions, by what they fell back to; `none` when the meta-learner decided.",
                &["route", "fallback"],
            )?,
            seconds: family::register(registry, Histogram::with_opts(time.buckets(TIME_BUCKETS.to_vec()))?)?,
            confidence: family::histograms(
                registry,
                "gearshift_decision_confidence_ratio",
                "How far the meta-learner's ensemble agreed on the chosen backend, where it was asked.",
                &["route"],
                CONFIDENCE_BUCKETS,
            )?,
            predicted: family::sums(
                registry,
                "gearshift_decision_predicted_seconds_total",
                "End-to-end times as predicted: of the chosen backend, and the mean over its candidates (an estimate of round robin at the loads that were there).",
                &["route", "choice"],
            )?,
        })
    }

    pub(super) fn children(&self, route: &str) -> DecisionMetrics {
        let made = |fallback| self.made.with_label_values(&[route, fallback]);
        let [a, b, c, d, e, f, g, h] = Fallback::ALL.map(|fallback| made(fallback.as_str()));
        DecisionMetrics {
            made: [made("none"), a, b, c, d, e, f, g, h],
            confidence: self.confidence.with_label_values(&[route]),
            predicted: CHOICES.map(|choice| self.predicted.with_label_values(&[route, choice])),
        }
    }

    pub(super) fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    /// Removes the children of a route; absent ones are what is wanted.
    pub(super) fn forget(&self, route: &str) {
        for label in Fallback::ALL.map(Fallback::as_str).into_iter().chain(["none"]) {
            let _ = self.made.remove_label_values(&[route, label]);
        }
        let _ = self.confidence.remove_label_values(&[route]);
        CHOICES.iter().for_each(|choice| drop(self.predicted.remove_label_values(&[route, choice])));
    }
}
