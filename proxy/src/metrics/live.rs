//! Metric families of what is learned from requests: rows, exploration, workload windows.

use gearshift_selector::window::{Quantiles, WorkloadWindow};
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::{counters, register};
use crate::live::Windows;

/// Why something was not kept; a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The core's queue was full: what the workload windows and rows would have been told of a request.
    QueueFull,
    /// As many rows as may wait were waiting for the store.
    PendingFull,
    /// The store did not take them.
    Store,
    /// Hardware or model of the backend is not known.
    UnknownFacts,
}

impl Lost {
    const ALL: [Self; 4] = [Self::QueueFull, Self::PendingFull, Self::Store, Self::UnknownFacts];

    fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::PendingFull => "pending_full",
            Self::Store => "store",
            Self::UnknownFacts => "unknown_facts",
        }
    }
}

/// The families.
#[derive(Debug, Clone)]
pub struct LiveMetrics {
    written: IntCounter,
    lost: [IntCounter; Lost::ALL.len()],
    files: IntCounterVec,
    pending: IntGauge,
    explored: IntCounter,
    numbers: [GaugeVec; NUMBERS.len()],
    lengths: [GaugeVec; LENGTHS.len()],
}

/// Gauges of a window by model: name, what it says, and its value.
type Number = (&'static str, &'static str, fn(&WorkloadWindow) -> f64);

const NUMBERS: [Number; 5] = [
    ("gearshift_workload_requests_per_second", "Requests that arrive, decayed.", |window| window.rate_per_s),
    (
        "gearshift_workload_burstiness",
        "Squared coefficient of variation of the times between arrivals: 1 at random, more in bursts.",
        |window| window.burstiness,
    ),
    ("gearshift_workload_concurrency", "Requests in the house on average, decayed.", |window| {
        window.concurrency
    }),
    (
        "gearshift_workload_prefix_share",
        "Share of prompt tokens that an earlier prompt began with: what a prefix cache could save.",
        |window| window.prefix_share,
    ),
    (
        "gearshift_workload_cached_share",
        "Share of prompt tokens that engines took from their caches.",
        |window| window.cached_share,
    ),
];

type Lengths = (&'static str, &'static str, fn(&WorkloadWindow) -> &Quantiles);

const LENGTHS: [Lengths; 2] = [
    ("gearshift_workload_prompt_tokens", "Lengths of prompts, decayed.", |window| &window.prompt_tokens),
    ("gearshift_workload_output_tokens", "Lengths of answers, decayed.", |window| &window.output_tokens),
];

/// A value of the label `quantile`, and the number under it.
type Quantile = (&'static str, fn(&Quantiles) -> f64);

const QUANTILES: [Quantile; 3] =
    [("0.5", |lengths| lengths.p50), ("0.9", |lengths| lengths.p90), ("0.99", |lengths| lengths.p99)];

impl LiveMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauges =
            |name, help, labels: &[&str]| register(registry, GaugeVec::new(Opts::new(name, help), labels)?);
        let [a, b, c, d, e] = NUMBERS.map(|(name, help, _)| gauges(name, help, &["model"]));
        let [f, g] = LENGTHS.map(|(name, help, _)| gauges(name, help, &["model", "quantile"]));
        let lost = counters(
            registry,
            "gearshift_observations_lost_total",
            "Finished requests that became no row, by why.",
            &["reason"],
        )?;
        let files = counters(
            registry,
            "gearshift_observation_files_total",
            "Attempts to write a file of rows, by result.",
            &["result"],
        )?;
        ["written", "failed"].iter().for_each(|result| drop(files.with_label_values(&[result])));
        let counter = |name, help| register(registry, IntCounter::new(name, help)?);
        Ok(Self {
            written: counter("gearshift_observations_written_total", "Rows written to the store.")?,
            lost: Lost::ALL.map(|reason| lost.with_label_values(&[reason.as_str()])),
            files,
            pending: register(
                registry,
                IntGauge::new("gearshift_observations_pending", "Rows that wait for the store.")?,
            )?,
            explored: counter(
                "gearshift_decisions_explored_total",
                "Decisions that explored or introduced a backend: the request may have gone elsewhere than to the best. Introductions come with `explore: 0` too.",
            )?,
            numbers: [a?, b?, c?, d?, e?],
            lengths: [f?, g?],
        })
    }

    /// A queue was full.
    pub fn overflowed(&self) {
        self.lost[Lost::QueueFull as usize].inc();
    }

    /// A decision explored.
    pub fn explored(&self) {
        self.explored.inc();
    }

    /// So many rows are lost.
    pub fn lost(&self, reason: Lost, rows: usize) {
        self.lost[reason as usize].inc_by(rows as u64);
    }

    /// A file of so many rows was written.
    pub fn wrote(&self, rows: usize) {
        self.written.inc_by(rows as u64);
        self.files.with_label_values(&["written"]).inc();
    }

    /// A file was not written; it may be tried again.
    pub fn failed(&self) {
        self.files.with_label_values(&["failed"]).inc();
    }

    /// So many rows wait.
    pub fn pending(&self, rows: usize) {
        self.pending.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// Takes in all windows; those of models that are no more go.
    pub fn workloads(&self, before: &Windows, now: &Windows) {
        for model in before.keys().filter(|model| !now.contains_key(*model)) {
            // Absent is what is wanted.
            self.numbers.iter().for_each(|family| drop(family.remove_label_values(&[model])));
            for family in &self.lengths {
                QUANTILES
                    .iter()
                    .for_each(|(label, _)| drop(family.remove_label_values(&[model.as_str(), label])));
            }
        }
        for (model, view) in now {
            for (family, (_, _, value)) in self.numbers.iter().zip(NUMBERS) {
                family.with_label_values(&[model]).set(value(&view.window));
            }
            for (family, (_, _, lengths)) in self.lengths.iter().zip(LENGTHS) {
                for (label, quantile) in QUANTILES {
                    family.with_label_values(&[model, label]).set(quantile(lengths(&view.window)));
                }
            }
        }
    }
}
