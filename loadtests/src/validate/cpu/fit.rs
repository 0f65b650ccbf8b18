//! Fits step times to the probes, and to nothing else.

use super::{
    outcome::Measurement,
    plan::Profile,
    probes::{Probe, Sample},
    simulate::{Fitted, spec},
};
use crate::{
    Error,
    fit::optimise::{simplex, soft_l1},
    sim::{FactorTable, Factors, StepModel},
};

/// Where a residual, in logarithms, begins to count by its size rather than by its square.
const SCALE: f64 = 0.05;
/// Each start of the search, and what is tried in it.
const STARTS: usize = 4;
const EVALUATIONS: usize = 4_000;

/// One number that is fitted: always positive, searched in logarithms.
struct Parameter {
    start: f64,
    set: fn(&mut Fitted, f64),
}

/// The terms that a CPU has of the model; what it has not (links, experts, other types) stays as it is.
const PARAMETERS: [Parameter; 8] = [
    Parameter { start: 0.5, set: |fitted, value| fitted.factors.gemm_memory = value },
    Parameter { start: 1.0, set: |fitted, value| fitted.factors.gemm_compute_16 = value },
    Parameter { start: 0.5, set: |fitted, value| fitted.factors.attention_prefill = value },
    Parameter { start: 0.5, set: |fitted, value| fitted.factors.attention_decode_16 = value },
    Parameter { start: 10e-3, set: |fitted, value| fitted.factors.step_s = value },
    Parameter { start: 0.5e-3, set: |fitted, value| fitted.factors.sequence_s = value },
    Parameter { start: 1e-3, set: |fitted, value| fitted.factors.prompt_s = value },
    Parameter { start: 5e-3, set: |fitted, value| fitted.front_end_s = value },
];

/// Fits to a measurement's probes.
///
/// # Errors
/// Where there are no probes, or the catalog lacks what the engine needs.
pub fn fit(measurement: &Measurement) -> Result<Fitted, Error> {
    if measurement.probes.is_empty() {
        return Err(Error::Failed("the measurement has no probes to fit to".into()));
    }
    let probes = Probes::new(measurement)?;
    let mut at: Vec<f64> = PARAMETERS.iter().map(|parameter| parameter.start.ln()).collect();
    // A simplex that has shrunk too early is opened again around the best point.
    for _ in 0..STARTS {
        at = simplex(&at, 0.5, EVALUATIONS, |at| probes.loss(&fitted(at)));
    }
    Ok(fitted(&at))
}

/// A probe, and what the fit makes of it.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Refitted {
    /// As measured.
    #[serde(flatten)]
    pub sample: Sample,
    /// As the fitted model has it, seconds.
    pub predicted_s: f64,
}

impl Refitted {
    /// predicted / measured − 1.
    pub fn error(&self) -> f64 {
        self.predicted_s / self.sample.seconds - 1.0
    }

    /// Its kind in reports.
    pub fn kind(&self) -> &'static str {
        match self.sample.probe {
            Probe::Prompt { tokens } if tokens > self.sample.budget => "prompt in chunks",
            Probe::Prompt { .. } => "prompt",
            Probe::Decode { .. } => "batch",
            Probe::Join { .. } => "prompt that joins a batch",
        }
    }
}

/// What the fit makes of the probes that it was made on.
///
/// # Errors
/// Where the catalog lacks what the engine needs.
pub fn refitted(measurement: &Measurement, fitted: &Fitted) -> Result<Vec<Refitted>, Error> {
    let probes = Probes::new(measurement)?;
    let model = probes.model(fitted);
    let of = |sample: &Sample| Refitted { sample: *sample, predicted_s: predicted(sample, &model, fitted) };
    Ok(probes.samples.iter().map(of).collect())
}

/// Overheads per layer and per kernel are one with those per step here, so they are left at nothing.
fn neutral() -> Factors {
    Factors {
        layer_s: 0.0,
        layer_passes: 0.0,
        gemm_s: 0.0,
        attention_s: 0.0,
        front_s: 0.0,
        ..FactorTable::shipped().otherwise.factors
    }
}

struct Probes<'a> {
    samples: &'a [Sample],
    spec: crate::sim::EngineSpec,
}

impl<'a> Probes<'a> {
    fn new(measurement: &'a Measurement) -> Result<Self, Error> {
        let cores = measurement.machine.working_cores();
        Ok(Self { samples: &measurement.probes, spec: spec(Profile::FITTED, cores, neutral())? })
    }

    fn model(&self, fitted: &Fitted) -> StepModel {
        StepModel::with_factors(&self.spec, &fitted.factors)
    }

    fn loss(&self, fitted: &Fitted) -> f64 {
        let model = self.model(fitted);
        let residual = |sample: &Sample| (predicted(sample, &model, fitted) / sample.seconds).ln();
        self.samples.iter().map(|sample| soft_l1(residual(sample), SCALE)).sum()
    }
}

/// What a client sees of a probe: steps, and for a prompt's first token the way in and out.
fn predicted(sample: &Sample, model: &StepModel, fitted: &Fitted) -> f64 {
    let way = if matches!(sample.probe, Probe::Prompt { .. }) { fitted.front_end_s } else { 0.0 };
    sample.predicted(model) + way
}

fn fitted(logarithms: &[f64]) -> Fitted {
    let mut fitted = Fitted { factors: neutral(), front_end_s: 0.0 };
    for (parameter, logarithm) in PARAMETERS.iter().zip(logarithms) {
        (parameter.set)(&mut fitted, logarithm.exp());
    }
    fitted
}
