//! Gradient boosting.

use super::{Binned, Growth, Pull, Tree};
use crate::baselines::matrix::Matrix;

/// How trees are added up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boost {
    /// Trees.
    pub rounds: usize,
    /// Weight of each.
    pub rate: f64,
    /// Share of the rows each sees.
    pub rows: f64,
    /// Share of the columns each sees.
    pub columns: f64,
    /// How each grows.
    pub growth: Growth,
}

/// A sum of trees.
#[derive(Debug, Clone)]
pub struct Boosted {
    start: f64,
    rate: f64,
    trees: Vec<Tree>,
}

impl Boosted {
    /// Adds trees along `pulls`, which is given the predictions of all rows and fills in where the loss pulls them.
    pub fn fit(
        features: &Matrix,
        start: f64,
        boost: &Boost,
        seed: u64,
        mut pulls: impl FnMut(&[f64], &mut [Pull]),
    ) -> Self {
        let binned = Binned::new(features);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut predictions = vec![start; binned.rows()];
        let mut pulled = vec![Pull::default(); binned.rows()];
        let mut trees = Vec::with_capacity(boost.rounds);
        for _ in 0..boost.rounds {
            pulls(&predictions, &mut pulled);
            let rows = drawn(binned.rows(), boost.rows, &mut random);
            let columns = drawn(binned.columns(), boost.columns, &mut random);
            let tree = Tree::grow(&binned, rows, columns, &pulled, &boost.growth, &mut random);
            for (row, prediction) in predictions.iter_mut().enumerate() {
                *prediction += boost.rate * tree.predict_binned(&binned, row);
            }
            trees.push(tree);
        }
        Self { start, rate: boost.rate, trees }
    }

    /// Least squares of `targets`, rows weighted.
    pub fn least_squares(
        features: &Matrix,
        targets: &[f64],
        weights: &[f64],
        boost: &Boost,
        seed: u64,
    ) -> Self {
        let total: f64 = weights.iter().sum();
        let mean = targets.iter().zip(weights).map(|(target, weight)| target * weight).sum::<f64>() / total;
        Self::fit(features, if mean.is_finite() { mean } else { 0.0 }, boost, seed, squared(targets, weights))
    }

    /// What it says of a row.
    pub fn predict(&self, row: &[f64]) -> f64 {
        self.start + self.rate * self.trees.iter().map(|tree| tree.predict(row)).sum::<f64>()
    }

    /// Of every row.
    pub fn predict_all(&self, features: &Matrix) -> Vec<f64> {
        features.iter().map(|row| self.predict(row)).collect()
    }
}

/// The pulls of weighted squared error.
pub fn squared(targets: &[f64], weights: &[f64]) -> impl FnMut(&[f64], &mut [Pull]) {
    move |predictions, pulls| {
        for (row, pull) in pulls.iter_mut().enumerate() {
            *pull =
                Pull { gradient: weights[row] * (predictions[row] - targets[row]), hessian: weights[row] };
        }
    }
}

/// A share of `0..count`, in order.
fn drawn(count: usize, share: f64, random: &mut fastrand::Rng) -> Vec<usize> {
    if share >= 1.0 {
        return (0..count).collect();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let wanted = ((count as f64 * share).round() as usize).clamp(1.min(count), count);
    let mut chosen = random.choose_multiple(0..count, wanted);
    chosen.sort_unstable();
    chosen
}
