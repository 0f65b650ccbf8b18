//! What is learned from: the learner's own inputs, and plain numbers for those that take no prior.

use gearshift_selector::{
    Prior, PriorFactors,
    inputs::{self, QUERY, QueryInputs},
};

use super::{
    matrix::Matrix,
    target::{Target, regrets},
};
use crate::dataset::{Context, Dataset, Sample};

/// What the prior and the learner see of every sample of a dataset.
#[derive(Debug, Clone)]
pub struct View {
    /// The learner's query inputs, centred within contexts.
    pub query: Vec<QueryInputs>,
    /// The prior's end-to-end time, natural log of milliseconds.
    pub ln_prior: Vec<f64>,
    /// Its time to first token and its time per output token, natural logs of milliseconds.
    pub ln_parts: Vec<[f64; 2]>,
    /// Modelled power of one accelerator, natural log of watts.
    pub ln_power: Vec<f64>,
    /// How far the prior is above its least of the context.
    over_least: Vec<f64>,
}

impl View {
    /// Asks the prior of every sample.
    pub fn new(dataset: &Dataset, factors: &PriorFactors) -> Self {
        let mut view = Self {
            query: Vec::with_capacity(dataset.samples.len()),
            ln_prior: Vec::with_capacity(dataset.samples.len()),
            ln_parts: Vec::with_capacity(dataset.samples.len()),
            ln_power: Vec::with_capacity(dataset.samples.len()),
            over_least: vec![0.0; dataset.samples.len()],
        };
        for Sample { deployment, situation, .. } in &dataset.samples {
            let prior = Prior::new(deployment, factors);
            let terms = prior.terms(situation);
            let (ttft, tpot) = (terms.ttft_ms().max(1e-6), terms.tpot_ms().max(1e-6));
            let e2e = ttft + (situation.output_tokens - 1.0).max(0.0) * tpot;
            let hardware = &deployment.hardware;
            let power = hardware.idle_w + terms.busy_share() * (hardware.tdp_w - hardware.idle_w);
            view.query.push(inputs::query(&prior, &terms, situation));
            view.ln_prior.push(e2e.ln());
            view.ln_parts.push([ttft.ln(), tpot.ln()]);
            view.ln_power.push(power.max(1.0).ln());
        }
        for context in &dataset.contexts {
            let mut rows: Vec<QueryInputs> = context.samples.iter().map(|&at| view.query[at]).collect();
            inputs::centre(&mut rows);
            let least = context.samples.iter().map(|&at| view.ln_prior[at]).fold(f64::INFINITY, f64::min);
            for (&at, row) in context.samples.iter().zip(rows) {
                view.query[at] = row;
                view.over_least[at] = view.ln_prior[at] - least;
            }
        }
        view
    }

    /// Numbers for absolute times: the query as it is.
    pub fn absolute(&self) -> Matrix {
        Matrix::of(self.query.iter().map(|query| doubles(&query[..QUERY.len()])))
    }

    /// Numbers for comparing within a context: the query and its centred copies, without the level of the prior and the
    /// date, which say where a context lies and not which action is best.
    pub fn relative(&self) -> Matrix {
        let level = ["query.log2_prior_e2e_ms", "query.software_months"];
        let left_out = |at: usize| QUERY.get(at).is_some_and(|name| level.contains(name));
        let kept: Vec<usize> = (0..inputs::QUERY_WIDTH).filter(|&at| !left_out(at)).collect();
        let row = |(query, over): (&QueryInputs, &f64)| -> Vec<f64> {
            kept.iter().map(|&at| f64::from(query[at])).chain([*over]).collect()
        };
        Matrix::of(self.query.iter().zip(&self.over_least).map(row))
    }
}

fn doubles(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&number| f64::from(number)).collect()
}

/// Plain numbers of a sample: model, hardware, profile, and what is asked at which load.
pub(super) fn raw(dataset: &Dataset) -> Matrix {
    let row = |sample: &Sample| {
        let statics = &sample.statics;
        let mut row = doubles(&statics.model);
        row.extend(doubles(&statics.hardware));
        row.extend(doubles(&statics.profile));
        row.extend(asked(sample));
        row
    };
    Matrix::of(dataset.samples.iter().map(row))
}

fn asked(sample: &Sample) -> [f64; 4] {
    let s = &sample.situation;
    let in_flight = s.load.sequences + s.sequences;
    [s.prompt_tokens, s.output_tokens, s.cached_tokens, in_flight].map(|count| (count + 1.0).log2())
}

/// Plain numbers of a context, without those of its actions: means over its samples.
pub(super) fn of_contexts(dataset: &Dataset) -> Matrix {
    let of = |context: &Context| {
        let rows = Matrix::of(context.samples.iter().map(|&at| {
            let sample = &dataset.samples[at];
            let mut row = doubles(&sample.statics.model);
            row.extend(doubles(&sample.statics.hardware));
            row.extend(asked(sample));
            row
        }));
        let count = rows.rows().max(1) as f64;
        (0..rows.width()).map(|column| rows.column(column).sum::<f64>() / count).collect::<Vec<f64>>()
    };
    Matrix::of(dataset.contexts.iter().map(of))
}

/// Samples of contexts in which there is a choice.
pub(super) fn with_choice(dataset: &Dataset) -> Vec<usize> {
    let contexts = dataset.contexts.iter().filter(|context| context.samples.len() > 1);
    contexts.flat_map(|context| context.samples.iter().copied()).collect()
}

/// How much it matters to be right about each sample: most for those near their context's best in time or in cost.
pub(super) fn near_best(dataset: &Dataset) -> Vec<f64> {
    let (latency, cost) = (regrets(dataset, Target::Latency), regrets(dataset, Target::Cost));
    let weight = |(latency, cost): (&Option<f64>, &Option<f64>)| {
        let regret = latency.unwrap_or(f64::INFINITY).min(cost.unwrap_or(f64::INFINITY));
        0.25 + (-3.0 * regret).exp()
    };
    latency.iter().zip(&cost).map(weight).collect()
}

/// Values less their mean over each context.
pub(super) fn centred(dataset: &Dataset, values: &[f64]) -> Vec<f64> {
    let mut centred = values.to_vec();
    for context in &dataset.contexts {
        let sum: f64 = context.samples.iter().map(|&at| values[at]).sum();
        let mean = sum / context.samples.len().max(1) as f64;
        context.samples.iter().for_each(|&at| centred[at] -= mean);
    }
    centred
}
