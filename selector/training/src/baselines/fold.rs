//! One fold: what a selector may learn from, and what it is then asked.

use std::collections::BTreeMap;

use gearshift_selector::PriorFactors;

use super::{features::View, target::Target};
use crate::{dataset::Dataset, prior_fit::Priors};

/// Training samples, with the prior fitted to them alone, and the samples that are asked about.
#[derive(Debug, Clone)]
pub struct Fold {
    /// What is learned from.
    pub train: Dataset,
    /// The same rows in the contexts that the learner compares: within one era, where the rows are of several.
    pub eras: Option<Dataset>,
    /// What is asked about; its times are for judging only.
    pub test: Dataset,
    /// Simulated rows of other hardware and families than those asked about, with what the learner sees of them.
    pub pretrain: Option<Box<(Dataset, View)>>,
    /// The prior fitted to `train`.
    pub factors: PriorFactors,
    /// What the learner sees of `train`.
    pub train_view: View,
    /// What the learner sees of `test`.
    pub test_view: View,
    /// How long a test sample's context takes by the level prior, fitted to `train` too: natural log of milliseconds, the
    /// mean over its actions.
    pub test_level: Vec<f64>,
}

impl Fold {
    /// Works out what learners see, under these factors.
    pub fn new(train: Dataset, test: Dataset, pretrain: Option<Dataset>, priors: Priors) -> Self {
        let factors = priors.ranking;
        let (train_view, test_view) = (View::new(&train, &factors), View::new(&test, &factors));
        let with_view = |set: Dataset| {
            let view = View::new(&set, &factors);
            Box::new((set, view))
        };
        let pretrain = pretrain.filter(|set| !set.samples.is_empty()).map(with_view);
        let test_level = test.context_means(&View::new(&test, &priors.level).ln_prior);
        Self { train, eras: None, test, pretrain, factors, train_view, test_view, test_level }
    }

    /// With these contexts for the learner.
    #[must_use]
    pub fn with_eras(self, eras: Option<Dataset>) -> Self {
        Self { eras, ..self }
    }
}

/// What a selector says of a fold's test samples; lower is better, within a context.
#[derive(Debug, Clone, Default)]
pub struct Scores {
    /// By target, for every test sample.
    pub by_target: BTreeMap<Target, Vec<f64>>,
    /// The end-to-end time itself, natural log of milliseconds, where it foretells one: what limits are held against.
    pub ln_e2e: Option<Vec<f64>>,
    /// How unsure it is of each sample, where it knows.
    pub spread: Option<Vec<f64>>,
}

impl Scores {
    /// From relative times within each context.
    pub fn of_times(fold: &Fold, ln_e2e: &[f64], targets: &[Target]) -> Self {
        let view = &fold.test_view;
        let of = |target: Target| {
            let samples = fold.test.samples.iter().zip(ln_e2e).zip(&view.ln_power);
            samples.map(|((sample, &time), &power)| target.ln_estimated(sample, time, power)).collect()
        };
        let by_target = targets.iter().map(|&target| (target, of(target))).collect();
        Self { by_target, ..Self::default() }
    }

    /// With absolute times whose means over contexts are those of `level`, and whose differences within are those of
    /// `ranked`.
    #[must_use]
    pub fn with_level(self, fold: &Fold, ranked: &[f64], level: &[f64]) -> Self {
        let (level, mean) = (fold.test.context_means(level), fold.test.context_means(ranked));
        let times = ranked.iter().zip(&mean).zip(&level).map(|((own, mean), level)| level + own - mean);
        self.with_times(times.collect())
    }

    /// With absolute times.
    #[must_use]
    pub fn with_times(mut self, ln_e2e: Vec<f64>) -> Self {
        self.ln_e2e = Some(ln_e2e);
        self
    }
}

/// How much work to put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// As reported.
    Full,
    /// For trying things out: a quarter of the trees, one seed.
    Quick,
}

impl Effort {
    /// Of so many trees.
    pub fn trees(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Quick => full / 4,
        }
    }
}

/// Something that chooses.
pub trait Selector: Send + Sync {
    /// Its name in reports.
    fn name(&self) -> String;

    /// All that changes what it says besides the data and the seed; part of the key of its kept results.
    fn recipe(&self) -> String {
        self.name()
    }

    /// Whether the seed changes what it says.
    fn seeded(&self) -> bool {
        false
    }

    /// Whether it has a say on this target at all.
    fn takes(&self, target: Target) -> bool {
        let _ = target;
        true
    }

    /// Whether it is worth its time on a part, whose full name this is (`measured/silicon/clean/all/family:qwen3-32b`).
    fn joins(&self, part: &str) -> bool {
        let _ = part;
        true
    }

    /// Learns from the fold's training samples and scores its test samples.
    fn scores(&self, fold: &Fold, targets: &[Target], effort: Effort, seed: u64) -> Scores;
}
