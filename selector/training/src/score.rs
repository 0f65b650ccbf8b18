//! How good a choice is: the regret of a score in each context, and the gap it closes.

use std::collections::HashMap;

use crate::dataset::{Dataset, Sample};

/// What is to be small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// End to end time.
    Latency,
    /// Accelerator time per token.
    Cost,
}

impl Objective {
    /// Natural log of what is to be small, up to what a context's samples have in common; `ln_e2e` is measured or
    /// predicted.
    pub fn ln(self, sample: &Sample, ln_e2e: f64) -> f64 {
        match self {
            Self::Latency => ln_e2e,
            Self::Cost => ln_e2e + sample.accelerators.ln(),
        }
    }

    fn of(self, sample: &Sample) -> f64 {
        self.ln(sample, sample.e2e_ms.ln())
    }
}

/// For each context with a choice: natural log of the chosen over the best. `scores` has one for each sample; the
/// least is chosen, of equal ones the first.
pub fn regrets(dataset: &Dataset, scores: &[f64], objective: Objective) -> Vec<f64> {
    let choices = dataset.contexts.iter().filter(|context| context.is_choice());
    let regret = |samples: &[usize]| {
        let by_score = |a: &&usize, b: &&usize| scores[**a].total_cmp(&scores[**b]);
        let chosen = samples.iter().min_by(by_score)?;
        let best = samples.iter().map(|&s| objective.of(&dataset.samples[s])).min_by(f64::total_cmp)?;
        Some(objective.of(&dataset.samples[*chosen]) - best)
    };
    choices.filter_map(|context| regret(&context.samples)).collect()
}

/// Scores of the single best action: mean regret over the contexts of `train` in which it was to be had, drawn to the
/// mean of all actions by the weight of five contexts.
pub fn single_best(train: &Dataset, test: &Dataset, objective: Objective) -> Vec<f64> {
    const DRAWN: f64 = 5.0;
    let (mut sums, mut all) = (HashMap::new(), (0.0, 0.0));
    for context in train.contexts.iter().filter(|context| context.is_choice()) {
        let best = train.of(context).map(|s| objective.of(s)).fold(f64::INFINITY, f64::min);
        for sample in train.of(context) {
            let regret = objective.of(sample) - best;
            let (sum, count) = sums.entry(sample.row.action.as_str()).or_insert((0.0, 0.0));
            (*sum, *count) = (*sum + regret, *count + 1.0);
            all = (all.0 + regret, all.1 + 1.0);
        }
    }
    let mean = all.0 / f64::max(all.1, 1.0);
    let score = |sample: &Sample| {
        let (sum, count) = sums.get(sample.row.action.as_str()).copied().unwrap_or((0.0, 0.0));
        (sum + DRAWN * mean) / (count + DRAWN)
    };
    test.samples.iter().map(score).collect()
}

/// Share of the single best's mean regret that a selector saves, over the same contexts: 1 is the oracle, 0 no gain.
pub fn gap_closed(selector: &[f64], single_best: &[f64]) -> f64 {
    1.0 - selector.iter().sum::<f64>() / single_best.iter().sum::<f64>()
}
