//! Factors from kernel timings: one roofline for each class of kernel.

use std::collections::BTreeMap;

use gearshift_config::HardwareFacts;

use super::{
    optimise::{simplex, soft_l1},
    samples::{Classes, Sample},
};
use crate::{sim::Factors, validate::silicon::median};

/// Log residual from which a timing counts by its size.
const SOFT: f64 = 0.2;
/// Weight of the draw back to where the fit starts, against the mean loss of the timings.
const RIDGE: f64 = 0.01;
/// Share of a kernel that arithmetic (memory) takes where its power counts as arithmetic's (memory's).
const MOSTLY: f64 = 0.85;

/// What the timings of one GPU say.
#[derive(Debug, Clone)]
pub(super) struct KernelFit {
    /// Factors; what no timing speaks of is as in [`Factors::default`].
    pub(super) factors: Factors,
    /// Timings behind them, by class.
    pub(super) rows: BTreeMap<String, usize>,
    /// Median |relative error| by class.
    pub(super) residual: BTreeMap<String, f64>,
}

/// A fitted roofline: shares of both peaks, and a floor.
#[derive(Debug, Clone, Copy)]
struct Roofline {
    compute: f64,
    memory: f64,
    floor_s: f64,
}

impl Roofline {
    fn seconds(&self, sample: &Sample) -> f64 {
        self.floor_s + (sample.compute_s / self.compute).hypot(sample.memory_s / self.memory)
    }

    fn from_logs(logs: &[f64]) -> Self {
        let log = |index: usize| logs.get(index).copied().unwrap_or_default().exp();
        Self { compute: log(0), memory: log(1), floor_s: log(2) }
    }

    fn fitted(samples: &[Sample], start: Self) -> Self {
        let from = [start.compute.ln(), start.memory.ln(), start.floor_s.ln()];
        let loss = |logs: &[f64]| {
            let line = Self::from_logs(logs);
            let off =
                samples.iter().map(|sample| soft_l1((line.seconds(sample) / sample.measured_s).ln(), SOFT));
            let drawn: f64 = logs.iter().zip(&from).map(|(log, from)| (log - from).powi(2)).sum();
            off.sum::<f64>() / samples.len() as f64 + RIDGE * drawn
        };
        Self::from_logs(&simplex(&from, 0.2, 250, loss))
    }
}

/// Fits every class of one GPU; `told` hears of each class done.
pub(super) fn fit(classes: &Classes, hardware: &HardwareFacts, mut told: impl FnMut(&str)) -> KernelFit {
    let mut all = KernelFit { factors: Factors::default(), rows: BTreeMap::new(), residual: BTreeMap::new() };
    for (class, samples) in classes {
        let timed: Vec<Sample> = samples.iter().filter(|sample| sample.power.is_none()).copied().collect();
        if timed.len() < 50 {
            continue;
        }
        let line = Roofline::fitted(&timed, start(class, &all.factors));
        let errors = timed.iter().map(|sample| (line.seconds(sample) / sample.measured_s - 1.0).abs());
        all.rows.insert((*class).to_owned(), timed.len());
        all.residual.insert((*class).to_owned(), rounded(median(errors.collect()).unwrap_or_default()));
        enter(&mut all.factors, class, &line);
        told(class);
    }
    enter_power(&mut all, classes, hardware);
    all
}

/// Where the fit of a class starts, and what it is drawn back to.
fn start(class: &str, factors: &Factors) -> Roofline {
    let line = |compute, memory, floor_s| Roofline { compute, memory, floor_s };
    match class {
        "gemm 16" => line(factors.gemm_compute_16, factors.gemm_memory, factors.gemm_s),
        "gemm 8" => line(factors.gemm_compute_8, factors.gemm_memory, factors.gemm_s),
        "gemm 4" => line(factors.gemm_compute_4, factors.gemm_memory, factors.gemm_s),
        "decode attention 16" => line(1.0, factors.attention_decode_16, factors.attention_s),
        "decode attention 8" => line(1.0, factors.attention_decode_8, factors.attention_s),
        "experts 16" => line(factors.experts_compute_16, factors.experts_memory, factors.experts_s),
        "experts 8" => line(factors.experts_compute_8, factors.experts_memory, factors.experts_s),
        "experts 4" => line(factors.experts_compute_4, factors.experts_memory, factors.experts_s),
        "experts widened" => line(factors.experts_compute_widened, factors.experts_memory, factors.experts_s),
        "all-reduce" => line(1.0, factors.link, factors.collective_s),
        _ => line(factors.attention_prefill, factors.attention_decode_16, factors.attention_s),
    }
}

/// Takes a class's roofline into the factors. Sixteen-bit classes come first and give what classes share; the floors of
/// the others hold the quantization of activations, which compiled models fuse elsewhere.
fn enter(factors: &mut Factors, class: &str, line: &Roofline) {
    match class {
        "gemm 16" => {
            (factors.gemm_compute_16, factors.gemm_memory, factors.gemm_s) =
                (line.compute, line.memory, line.floor_s);
        }
        "gemm 8" => factors.gemm_compute_8 = line.compute,
        "gemm 4" => factors.gemm_compute_4 = line.compute,
        "decode attention 16" => {
            (factors.attention_decode_16, factors.attention_s) = (line.memory, line.floor_s);
        }
        "decode attention 8" => factors.attention_decode_8 = line.memory,
        "prefill attention 16" => factors.attention_prefill = line.compute,
        "experts 16" => {
            (factors.experts_compute_16, factors.experts_memory, factors.experts_s) =
                (line.compute, line.memory, line.floor_s);
        }
        "experts 8" => factors.experts_compute_8 = line.compute,
        "experts 4" => factors.experts_compute_4 = line.compute,
        "experts widened" => factors.experts_compute_widened = line.compute,
        "all-reduce" => (factors.link, factors.collective_s) = (line.memory, line.floor_s),
        _ => {}
    }
}

/// Power where it was measured: the median over kernels that are nearly all arithmetic, and nearly all memory.
fn enter_power(all: &mut KernelFit, classes: &Classes, hardware: &HardwareFacts) {
    let idle = hardware.idle_w / hardware.tdp_w;
    let (mut compute, mut memory) = (Vec::new(), Vec::new());
    for (class, samples) in classes {
        let line = start(class, &all.factors);
        for (sample, power) in samples.iter().filter_map(|sample| Some((sample, sample.power?))) {
            let above = ((power - idle) / (1.0 - idle)).clamp(0.0, 1.0);
            if sample.compute_s / line.compute > MOSTLY * sample.measured_s {
                compute.push(above);
            } else if sample.memory_s / line.memory > MOSTLY * sample.measured_s {
                memory.push(above);
            }
        }
    }
    let counts = [("power, arithmetic", compute.len()), ("power, memory", memory.len())];
    if let (Some(compute), Some(memory)) = (median(compute), median(memory)) {
        (all.factors.power_compute, all.factors.power_memory) = (compute, memory);
        all.rows.extend(counts.map(|(name, count)| (name.to_owned(), count)));
    }
}

/// Three digits: what follows is noise.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}
