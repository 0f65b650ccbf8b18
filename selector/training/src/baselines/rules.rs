//! What needs no model: the single best action, and an expert's rule.

use super::{
    fold::{Effort, Fold, Scores, Selector},
    performance::Performance,
    target::{Target, regrets},
};
use crate::dataset::Dataset;

/// The action with the least mean regret in the training contexts.
#[derive(Debug, Clone, Copy)]
pub struct SingleBest;

impl Selector for SingleBest {
    fn name(&self) -> String {
        "single_best".into()
    }

    fn scores(&self, fold: &Fold, targets: &[Target], _: Effort, _: u64) -> Scores {
        let by_target = targets.iter().map(|&target| (target, single_best(fold, target))).collect();
        Scores { by_target, ..Scores::default() }
    }
}

fn single_best(fold: &Fold, target: Target) -> Vec<f64> {
    let performance = performance(&fold.train, target);
    let means = performance.shrunken_means(0..performance.rows.len());
    let expected = |name: &str| performance.action(name).map_or(means.overall, |at| means.by_action[at]);
    fold.test.samples.iter().map(|sample| expected(&sample.row.action)).collect()
}

/// Regrets of the contexts in which there is a choice.
pub(super) fn performance(dataset: &Dataset, target: Target) -> Performance {
    let regrets = regrets(dataset, target);
    let row = |samples: &[usize]| {
        let of = |&at: &usize| Some((dataset.samples[at].row.action.clone(), regrets[at]?));
        samples.iter().filter_map(of).collect()
    };
    let choices = dataset.contexts.iter().filter(|context| context.samples.len() > 1);
    Performance::new(choices.map(|context| row(&context.samples)))
}

/// The most accelerators for latency, the fewest for cost.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Ties go to the newest software, not to the action that did best in training.
    pub newest: bool,
    /// Always the most accelerators, or always the fewest, where both have reasons.
    pub most: Option<bool>,
}

impl Selector for Rule {
    fn name(&self) -> String {
        let direction = match self.most {
            None => "",
            Some(true) => "_most",
            Some(false) => "_fewest",
        };
        format!("rule{}{direction}", if self.newest { "_plus" } else { "" })
    }

    fn takes(&self, target: Target) -> bool {
        match target {
            Target::Latency | Target::Cost | Target::Energy => self.most.is_none(),
            Target::CostLatency => self.most.is_some(),
        }
    }

    fn scores(&self, fold: &Fold, targets: &[Target], _: Effort, _: u64) -> Scores {
        let of = |target: Target| {
            let most = self.most.unwrap_or(target == Target::Latency);
            let sign = if most { -1.0 } else { 1.0 };
            let ties = if self.newest { newest(fold) } else { single_best(fold, target) };
            let samples = fold.test.samples.iter().zip(ties);
            samples.map(|(sample, tie)| sign * sample.accelerators * 1e3 + tie).collect()
        };
        let by_target = targets.iter().map(|&target| (target, of(target))).collect();
        Scores { by_target, ..Scores::default() }
    }
}

fn newest(fold: &Fold) -> Vec<f64> {
    let months = |months: Option<f64>| months.unwrap_or(gearshift_selector::MIDDLE_MONTH);
    fold.test.samples.iter().map(|sample| -months(sample.deployment.software.months)).collect()
}
