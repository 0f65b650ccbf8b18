//! What kernels do not show (small kernels, gaps, the host's share, how much of a kernel's rate a serving engine
//! reaches), from measured serving: one set of numbers for all GPUs.

use std::collections::{BTreeMap, HashMap};

use super::optimise::{simplex, soft_l1};
use crate::{
    sim::{EngineSpec, Factors, StepModel},
    validate::silicon::{SiliconRow, closed_loop},
};

/// Log residuals from which a row counts by its size: TPOT, TTFT.
const SOFT: (f64, f64) = (0.15, 0.3);
/// Weight of TTFT against TPOT: it is the noisier of the two.
const TTFT_WEIGHT: f64 = 0.4;
/// Weight of the draw back to where the fit starts, against the mean loss of the rows.
const RIDGE: f64 = 0.02;
/// Most work a fit does: runs of the simplex times rows is a few million simulated steps.
const EVALUATIONS: usize = 600;
/// Of a group's rows every so many is taken: neighbours in length and concurrency say the same.
const EVERY: usize = 4;

/// A number the fit turns, as what it multiplies in the factors.
type Knob = (&'static str, fn(&mut Factors, f64));

/// All that is turned. Shares of kernels' rates are common to a kind of kernel, so that few numbers cannot fit many rows.
const KNOBS: [Knob; 15] = [
    ("layer_s", |factors, by| factors.layer_s *= by),
    ("layer_passes", |factors, by| factors.layer_passes *= by),
    ("step_s", |factors, by| factors.step_s *= by),
    ("sequence_s", |factors, by| factors.sequence_s *= by),
    ("prompt_s", |factors, by| factors.prompt_s *= by),
    ("experts_spread", |factors, by| factors.experts_spread *= by),
    ("dense memory", |factors, by| factors.gemm_memory *= by),
    // At 16 bits serving runs the kernel that was timed; at 8 and 4 it has more to choose from.
    ("dense compute 8, 4", |factors, by| {
        factors.gemm_compute_8 *= by;
        factors.gemm_compute_4 *= by;
    }),
    ("front_s", |factors, by| factors.front_s *= by),
    ("decode attention", |factors, by| {
        factors.attention_decode_16 *= by;
        factors.attention_decode_8 *= by;
    }),
    ("prefill attention", |factors, by| factors.attention_prefill *= by),
    ("experts memory", |factors, by| factors.experts_memory *= by),
    ("experts compute", |factors, by| {
        factors.experts_compute_16 *= by;
        factors.experts_compute_8 *= by;
        factors.experts_compute_4 *= by;
        factors.experts_compute_widened *= by;
    }),
    ("link", |factors, by| factors.link *= by),
    ("collective_s", |factors, by| factors.collective_s *= by),
];

/// What serving makes of kernels' factors: multipliers by name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Service {
    logs: Vec<f64>,
}

impl Service {
    /// Factors of a GPU in serving, from those of its kernels.
    pub(super) fn applied(&self, kernels: &Factors) -> Factors {
        let mut factors = *kernels;
        for ((_, turn), log) in KNOBS.iter().zip(&self.logs) {
            turn(&mut factors, log.exp());
        }
        factors.within_datasheet()
    }

    /// The multipliers, by name.
    pub(super) fn multipliers(&self) -> BTreeMap<String, f64> {
        KNOBS.iter().zip(&self.logs).map(|((name, _), log)| ((*name).to_owned(), log.exp())).collect()
    }
}

/// A measured row with its engine and its weight.
pub(super) struct Case {
    pub(super) row: SiliconRow,
    pub(super) engine: EngineSpec,
    pub(super) weight: f64,
}

/// Weighs rows so that a model on a GPU counts by the root of its rows.
pub(super) fn cases(rows: &[(SiliconRow, EngineSpec)]) -> Vec<Case> {
    let group = |row: &SiliconRow| (row.model.clone(), row.system.clone(), row.precision.clone());
    let mut counts: HashMap<_, usize> = HashMap::new();
    for (row, _) in rows {
        *counts.entry(group(row)).or_default() += 1;
    }
    let mut seen: HashMap<_, usize> = HashMap::new();
    rows.iter()
        .filter(|(row, _)| {
            let index = seen.entry(group(row)).or_default();
            *index += 1;
            *index % EVERY == 1
        })
        .map(|(row, engine)| {
            let count = counts.get(&group(row)).copied().unwrap_or(1);
            Case { row: row.clone(), engine: engine.clone(), weight: 1.0 / (count as f64).sqrt() }
        })
        .collect()
}

/// Fits the multipliers to the cases, with the kernels' factors of each GPU.
pub(super) fn fit(cases: &[Case], kernels: &BTreeMap<String, Factors>, mut told: impl FnMut(f64)) -> Service {
    let total: f64 = cases.iter().map(|case| case.weight).sum();
    let loss = |logs: &[f64]| {
        let service = Service { logs: logs.to_vec() };
        let applied: BTreeMap<_, _> =
            kernels.iter().map(|(gpu, kernels)| (gpu.as_str(), service.applied(kernels))).collect();
        let off: f64 = cases.iter().map(|case| case.weight * case_loss(case, &applied)).sum();
        let drawn: f64 = logs.iter().map(|log| log * log).sum();
        let loss = off / total + RIDGE * drawn;
        told(loss);
        loss
    };
    Service { logs: simplex(&[0.0; KNOBS.len()], 0.3, EVALUATIONS, loss) }
}

fn case_loss(case: &Case, factors: &BTreeMap<&str, Factors>) -> f64 {
    let Some(factors) = factors.get(case.row.system.as_str()) else { return 0.0 };
    let step = StepModel::with_factors(&case.engine, factors);
    let Some(simulated) = closed_loop(&case.row, &step) else { return 0.0 };
    let tpot = soft_l1((simulated.tpot_s * 1e3 / case.row.tpot_ms).ln(), SOFT.0);
    let ttft = soft_l1((simulated.ttft_s * 1e3 / case.row.ttft_ms).ln(), SOFT.1);
    tpot + TTFT_WEIGHT * ttft
}

/// Evaluations of one fit, for a progress bar.
pub(super) const fn evaluations() -> usize {
    EVALUATIONS
}
