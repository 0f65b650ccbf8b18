//! What a selector chose in one part: all that the report is made from, and all that is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits::{Limits, first_least};
use crate::{
    baselines::{Scores, Target},
    dataset::Dataset,
};

/// How far below a limit a selector stays, as a factor, and the objective's name.
pub(super) const MARGINS: [(&str, f64); 2] = [("limit", 1.0), ("limit_10pct_margin", 0.9)];

/// One selector's choices in one part, by one seed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// By target: the sample chosen in each test context that has a choice, by position in the test samples.
    pub choices: BTreeMap<Target, Vec<usize>>,
    /// By margin: the sample chosen in each case under a limit.
    pub limits: BTreeMap<String, Vec<usize>>,
    /// How unsure it was of its choices for latency.
    pub spreads: Option<Vec<f64>>,
    /// Error of its times, natural log, over all test samples: the median and mean of its magnitude, where it foretells any.
    pub time_error: Option<f64>,
}

/// Contexts of a dataset in which a target offers a choice: two samples at least that were measured.
pub(super) fn questions(dataset: &Dataset, target: Target) -> Vec<(usize, Vec<usize>)> {
    let measured = |at: &usize| target.ln(&dataset.samples[*at]).is_some();
    let of = |(at, samples): (usize, &Vec<usize>)| (at, samples.iter().copied().filter(measured).collect());
    let contexts = dataset.contexts.iter().map(|context| &context.samples).enumerate().map(of);
    contexts.filter(|(_, samples): &(usize, Vec<usize>)| samples.len() > 1).collect()
}

impl Outcome {
    /// Reads choices off scores.
    pub(super) fn new(scores: &Scores, dataset: &Dataset, limits: &Limits) -> Self {
        let choose = |(&target, scores): (&Target, &Vec<f64>)| {
            let best = |(_, samples): (usize, Vec<usize>)| first_least(samples.into_iter(), |at| scores[at]);
            (target, questions(dataset, target).into_iter().filter_map(best).collect::<Vec<usize>>())
        };
        let choices: BTreeMap<Target, Vec<usize>> = scores.by_target.iter().map(choose).collect();
        let under = |times: &Vec<f64>| {
            let of = |margin: f64| limits.cases.iter().map(move |c| limits.choose(c, dataset, times, margin));
            MARGINS.iter().map(|(name, margin)| ((*name).to_owned(), of(*margin).collect())).collect()
        };
        let spreads = scores.spread.as_ref().zip(choices.get(&Target::Latency));
        let spreads = spreads.map(|(spread, chosen)| chosen.iter().map(|&at| spread[at]).collect());
        Self {
            limits: scores.ln_e2e.as_ref().map(under).unwrap_or_default(),
            spreads,
            time_error: scores.ln_e2e.as_ref().map(|times| median_error(times, dataset)),
            choices,
        }
    }
}

/// Median of |foretold / actual − 1|.
fn median_error(times: &[f64], dataset: &Dataset) -> f64 {
    let error = |(time, sample): (&f64, &crate::dataset::Sample)| (time.exp() / sample.e2e_ms - 1.0).abs();
    let errors: Vec<f64> = times.iter().zip(&dataset.samples).map(error).collect();
    gearshift_loadtests::report::median(&errors)
}
