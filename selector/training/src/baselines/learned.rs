//! Forests, boosting and a ranker; settings as in the study that the recipe comes from.

use super::{
    features::{centred, near_best, raw, with_choice},
    fold::{Effort, Fold, Scores, Selector},
    matrix::Matrix,
    target::{Target, regrets},
    trees::{Boost, Boosted, Forest, Group, Growth, Planting, lambda},
};

/// A random forest: on plain numbers for the target itself, or on the learner's inputs for the residual on the prior.
#[derive(Debug, Clone, Copy)]
pub struct ForestSelector {
    /// On the residual.
    pub residual: bool,
}

impl Selector for ForestSelector {
    fn name(&self) -> String {
        if self.residual { "rf_residual" } else { "rf_raw" }.into()
    }

    fn seeded(&self) -> bool {
        true
    }

    fn scores(&self, fold: &Fold, targets: &[Target], effort: Effort, seed: u64) -> Scores {
        let (rows, columns) = if self.residual { (3, 0.4) } else { (2, 1.0) };
        let planting = Planting { trees: effort.trees(150), rows, columns };
        let fit = |features: &Matrix, y: &[f64], asked: &Matrix| {
            Forest::fit(features, y, &vec![1.0; y.len()], &planting, seed).predict_all(asked)
        };
        if self.residual {
            let times = residual(fold, fit);
            Scores::of_times(fold, &times, targets).with_times(times)
        } else {
            plain(fold, targets, fit)
        }
    }
}

/// Gradient boosting: on plain numbers for the target itself; or on the residual, centred within contexts and with the
/// near-best weighted most, and uncentred for limits.
#[derive(Debug, Clone, Copy)]
pub struct Boosting {
    /// On the residual.
    pub residual: bool,
}

const CAREFUL: Boost = Boost {
    rounds: 250,
    rate: 0.05,
    rows: 0.7,
    columns: 0.5,
    growth: Growth { leaves: Some(15), rows: 15, columns: 1.0, ridge: 5.0 },
};
const PLAIN: Boost = Boost {
    rounds: 200,
    rate: 0.06,
    rows: 1.0,
    columns: 1.0,
    growth: Growth { leaves: Some(31), rows: 20, columns: 1.0, ridge: 0.0 },
};

impl Selector for Boosting {
    fn name(&self) -> String {
        if self.residual { "gb_residual" } else { "gb_raw" }.into()
    }

    fn seeded(&self) -> bool {
        true
    }

    fn scores(&self, fold: &Fold, targets: &[Target], effort: Effort, seed: u64) -> Scores {
        let settings = if self.residual { CAREFUL } else { PLAIN };
        let boost = Boost { rounds: effort.trees(settings.rounds), ..settings };
        let fit = |features: &Matrix, y: &[f64], asked: &Matrix| {
            Boosted::least_squares(features, y, &vec![1.0; y.len()], &boost, seed).predict_all(asked)
        };
        if !self.residual {
            return plain(fold, targets, fit);
        }
        let over = over_prior(fold);
        let centred = centred(&fold.train, &over);
        let weights = near_best(&fold.train);
        let rows = with_choice(&fold.train);
        let features = picked(&fold.train_view.relative(), &rows);
        let of = |values: &[f64]| rows.iter().map(|&at| values[at]).collect::<Vec<f64>>();
        let model = Boosted::least_squares(&features, &of(&centred), &of(&weights), &boost, seed);
        let corrections = model.predict_all(&fold.test_view.relative());
        let relative: Vec<f64> =
            fold.test_view.ln_prior.iter().zip(corrections).map(|(prior, more)| prior + more).collect();
        Scores::of_times(fold, &relative, targets).with_times(residual(fold, fit))
    }
}

/// LambdaMART on the learner's inputs.
#[derive(Debug, Clone, Copy)]
pub struct LambdaMart;

impl Selector for LambdaMart {
    fn name(&self) -> String {
        "lambdamart".into()
    }

    fn seeded(&self) -> bool {
        true
    }

    fn scores(&self, fold: &Fold, targets: &[Target], effort: Effort, seed: u64) -> Scores {
        let features = picked(&fold.train_view.relative(), &with_choice(&fold.train));
        let asked = fold.test_view.relative();
        let boost = Boost { rounds: effort.trees(200), ..CAREFUL };
        let score = |target: Target| {
            let groups = groups(fold, target);
            let model = Boosted::fit(&features, 0.0, &boost, seed, lambda(&groups, 3));
            model.predict_all(&asked).into_iter().map(|score| -score).collect()
        };
        let by_target = targets.iter().map(|&target| (target, score(target))).collect();
        Scores { by_target, ..Scores::default() }
    }
}

/// The training contexts in which there is a choice, in the order of [`with_choice`]; gains fall off with regret, and
/// what was not measured has none.
fn groups(fold: &Fold, target: Target) -> Vec<Group> {
    let regrets = regrets(&fold.train, target);
    let gain = |&at: &usize| (20.0 * (-4.0 * regrets[at].unwrap_or(f64::INFINITY)).exp()).round();
    let mut begin = 0;
    let choices = fold.train.contexts.iter().filter(|context| context.samples.len() > 1);
    let group = |samples: &Vec<usize>| {
        let rows = (begin..begin + samples.len()).collect();
        begin += samples.len();
        Group { rows, gains: samples.iter().map(gain).collect() }
    };
    choices.map(|context| &context.samples).map(group).collect()
}

/// Actual over the prior, natural log.
fn over_prior(fold: &Fold) -> Vec<f64> {
    let samples = fold.train.samples.iter().zip(&fold.train_view.ln_prior);
    samples.map(|(sample, prior)| sample.e2e_ms.ln() - prior).collect()
}

/// Times from a fit of the residual on the absolute inputs.
fn residual(fold: &Fold, fit: impl Fn(&Matrix, &[f64], &Matrix) -> Vec<f64>) -> Vec<f64> {
    let (train, test) = (&fold.train_view, &fold.test_view);
    let corrections = fit(&train.absolute(), &over_prior(fold), &test.absolute());
    test.ln_prior.iter().zip(corrections).map(|(prior, more)| prior + more).collect()
}

/// A fit of each target itself on plain numbers. What is a product of two targets is the sum of their fits.
fn plain(fold: &Fold, targets: &[Target], fit: impl Fn(&Matrix, &[f64], &Matrix) -> Vec<f64>) -> Scores {
    let (features, asked) = (raw(&fold.train), raw(&fold.test));
    let of = |target: Target| {
        let known: Vec<(usize, f64)> = fold
            .train
            .samples
            .iter()
            .enumerate()
            .filter_map(|(at, sample)| Some((at, target.ln(sample)?)))
            .collect();
        let rows: Vec<usize> = known.iter().map(|(at, _)| *at).collect();
        let values: Vec<f64> = known.iter().map(|(_, value)| *value).collect();
        fit(&picked(&features, &rows), &values, &asked)
    };
    let times = of(Target::Latency);
    let costs = of(Target::Cost);
    let score = |target: Target| match target {
        Target::Latency => times.clone(),
        Target::Cost => costs.clone(),
        Target::CostLatency => times.iter().zip(&costs).map(|(time, cost)| time + cost).collect(),
        Target::Energy => of(Target::Energy),
    };
    let by_target = targets.iter().map(|&target| (target, score(target))).collect();
    Scores { by_target, ..Scores::default() }.with_times(times)
}

fn picked(matrix: &Matrix, rows: &[usize]) -> Matrix {
    Matrix::of(rows.iter().map(|&row| matrix.row(row)))
}
