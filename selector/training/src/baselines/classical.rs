//! ISAC, ALORS and SVD on the folds' contexts and actions.

use super::{
    alors::Alors,
    factors::Factors,
    features::of_contexts,
    fold::{Effort, Fold, Scores, Selector},
    isac::Isac,
    matrix::Matrix,
    performance::Performance,
    rules::performance,
    target::Target,
};

/// ISAC; see [`Isac`].
#[derive(Debug, Clone, Copy)]
pub struct IsacSelector;

impl Selector for IsacSelector {
    fn name(&self) -> String {
        "isac".into()
    }

    fn seeded(&self) -> bool {
        true
    }

    fn scores(&self, fold: &Fold, targets: &[Target], _: Effort, seed: u64) -> Scores {
        by_context(fold, targets, |features, performance| {
            let isac = Isac::fit(features, performance, seed);
            let mean = isac.mean();
            (move |features: &[f64]| isac.values(features).to_vec(), mean)
        })
    }
}

const TREES: usize = 100;

/// ALORS; see [`Alors`].
#[derive(Debug, Clone, Copy)]
pub struct AlorsSelector;

impl Selector for AlorsSelector {
    fn name(&self) -> String {
        "alors".into()
    }

    fn seeded(&self) -> bool {
        true
    }

    fn scores(&self, fold: &Fold, targets: &[Target], effort: Effort, seed: u64) -> Scores {
        by_context(fold, targets, |features, performance| {
            let alors = Alors::fit(features, performance, effort.trees(TREES), seed);
            let mean = alors.mean();
            (move |features: &[f64]| alors.values(features), mean)
        })
    }
}

/// Low-rank completion without features. Of a context in which nothing was tried it can say no more than the mean of
/// what it completed the training contexts with.
#[derive(Debug, Clone, Copy)]
pub struct SvdSelector;

const RANK: usize = 5;
const RIDGE: f64 = 0.3;

impl Selector for SvdSelector {
    fn name(&self) -> String {
        "svd".into()
    }

    fn seeded(&self) -> bool {
        true
    }

    fn scores(&self, fold: &Fold, targets: &[Target], _: Effort, seed: u64) -> Scores {
        by_context(fold, targets, |_, performance| {
            let factors = Factors::fit(performance, RANK, RIDGE, seed);
            let mut mean = vec![0.0; performance.actions.len()];
            for context in factors.contexts() {
                let values = factors.values(context);
                mean.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
            let overall = factors.mean();
            (move |_: &[f64]| mean.clone(), overall * factors.contexts().len() as f64)
        })
    }
}

/// Fits a model per target to the training contexts, and asks it of each test context. The model comes with what it
/// expects of an action that was never tried.
fn by_context<M: Fn(&[f64]) -> Vec<f64>>(
    fold: &Fold,
    targets: &[Target],
    fit: impl Fn(&Matrix, &Performance) -> (M, f64),
) -> Scores {
    let choices = fold.train.of_contexts(|context| context.samples.len() > 1);
    let (features, asked) = (of_contexts(&choices), of_contexts(&fold.test));
    let score = |target: Target| {
        let performance = performance(&choices, target);
        let mut scores = vec![0.0; fold.test.samples.len()];
        if performance.rows.is_empty() {
            return scores;
        }
        let (model, unknown) = fit(&features, &performance);
        for (context, features) in fold.test.contexts.iter().zip(asked.iter()) {
            let values = model(features);
            for &at in &context.samples {
                let action = performance.action(&fold.test.samples[at].row.action);
                scores[at] = action.map_or(unknown, |action| values[action]);
            }
        }
        scores
    };
    let by_target = targets.iter().map(|&target| (target, score(target))).collect();
    Scores { by_target, ..Scores::default() }
}
