//! What is made as small as possible.

use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Sample};

/// What the best action of a context is the best in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// End-to-end time.
    Latency,
    /// Accelerators × end-to-end time.
    Cost,
    /// The product of both.
    CostLatency,
    /// Joules per output token.
    Energy,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Latency, Self::Cost, Self::CostLatency, Self::Energy];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Cost => "cost",
            Self::CostLatency => "cost_latency",
            Self::Energy => "energy",
        }
    }

    /// What was measured of it, natural log, up to what is the same for all of a context.
    pub fn ln(self, sample: &Sample) -> Option<f64> {
        let value = match self {
            Self::Latency => sample.e2e_ms,
            Self::Cost => sample.e2e_ms * sample.accelerators,
            Self::CostLatency => sample.e2e_ms.powi(2) * sample.accelerators,
            Self::Energy => sample.row.outcome.joules_per_token?,
        };
        (value > 0.0).then(|| value.ln())
    }

    /// The same from an estimate of the end-to-end time and of one accelerator's power.
    pub(super) fn ln_estimated(self, sample: &Sample, ln_e2e: f64, ln_power: f64) -> f64 {
        let ln_accelerators = sample.accelerators.ln();
        match self {
            Self::Latency => ln_e2e,
            Self::Cost => ln_e2e + ln_accelerators,
            Self::CostLatency => 2.0 * ln_e2e + ln_accelerators,
            Self::Energy => ln_e2e + ln_accelerators + ln_power,
        }
    }
}

/// How far every sample is above its context's best, natural log; `None` where it was not measured.
pub fn regrets(dataset: &Dataset, target: Target) -> Vec<Option<f64>> {
    let mut regrets: Vec<Option<f64>> = dataset.samples.iter().map(|sample| target.ln(sample)).collect();
    for context in &dataset.contexts {
        let best = context.samples.iter().filter_map(|&at| regrets[at]).fold(f64::INFINITY, f64::min);
        for &at in &context.samples {
            regrets[at] = regrets[at].map(|value| value - best);
        }
    }
    regrets
}
