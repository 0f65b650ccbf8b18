//! Estimates that are not learned, beyond the prior's few factors.

use super::{
    fold::{Effort, Fold, Scores, Selector},
    target::Target,
};
use crate::{dataset::Sample, eval::is_one_of_eight};

/// The prior, fitted to the fold's training rows: one fit ranks, the other says how long it takes.
#[derive(Debug, Clone, Copy)]
pub struct PriorAlone;

impl Selector for PriorAlone {
    fn name(&self) -> String {
        "prior".into()
    }

    fn scores(&self, fold: &Fold, targets: &[Target], _: Effort, _: u64) -> Scores {
        let times = &fold.test_view.ln_prior;
        Scores::of_times(fold, times, targets).with_level(fold, times, &fold.test_level)
    }
}

/// AIConfigurator's own estimate.
#[derive(Debug, Clone, Copy)]
pub struct Aiconfigurator;

impl Selector for Aiconfigurator {
    fn name(&self) -> String {
        "aiconfigurator".into()
    }

    fn scores(&self, fold: &Fold, targets: &[Target], _: Effort, _: u64) -> Scores {
        let own: Vec<Option<f64>> = fold
            .test
            .samples
            .iter()
            .map(|sample| sample.row.outcome.reference_e2e_s.filter(|&s| s > 0.0).map(|s| (s * 1e3).ln()))
            .collect();
        if own.iter().all(Option::is_none) {
            return Scores::default();
        }
        let prior = &fold.test_view.ln_prior;
        let absolute: Vec<f64> = own.iter().zip(prior).map(|(own, prior)| own.unwrap_or(*prior)).collect();
        let mut relative = prior.clone();
        for context in &fold.test.contexts {
            if context.samples.iter().all(|&at| own[at].is_some()) {
                context.samples.iter().for_each(|&at| relative[at] = absolute[at]);
            }
        }
        Scores::of_times(fold, &relative, targets).with_times(absolute)
    }
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Oracle {
    /// Of the paper's eight actions alone: what is lost without the other knobs.
    pub discrete: bool,
}

impl Selector for Oracle {
    fn name(&self) -> String {
        if self.discrete { "oracle_of_eight" } else { "oracle" }.into()
    }

    fn joins(&self, part: &str) -> bool {
        !self.discrete || part.starts_with("simulated/")
    }

    fn scores(&self, fold: &Fold, targets: &[Target], _: Effort, _: u64) -> Scores {
        let value = |sample: &Sample, target: Target| {
            let known = target.ln(sample).unwrap_or(f64::INFINITY);
            // The best of the others only where a context has none of the eight.
            if self.discrete && !is_one_of_eight(&sample.row.action) { known + 1e6 } else { known }
        };
        let truth = |target: Target| fold.test.samples.iter().map(|sample| value(sample, target)).collect();
        let by_target = targets.iter().map(|&target| (target, truth(target))).collect();
        let scores = Scores { by_target, ..Scores::default() };
        if self.discrete {
            return scores;
        }
        scores.with_times(fold.test.samples.iter().map(|sample| sample.e2e_ms.ln()).collect())
    }
}
