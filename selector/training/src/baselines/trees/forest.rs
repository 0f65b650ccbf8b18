//! Random forests.

use super::{Binned, Growth, Pull, Tree};
use crate::baselines::matrix::Matrix;

/// How a forest is planted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Planting {
    /// Trees.
    pub trees: usize,
    /// Rows of a leaf at least.
    pub rows: usize,
    /// Share of the columns that each split looks at.
    pub columns: f64,
}

/// A random forest for regression: fully grown trees, each on a bootstrap sample.
#[derive(Debug, Clone)]
pub struct Forest {
    trees: Vec<Tree>,
}

impl Forest {
    /// Grows it; `weights` by row.
    pub fn fit(features: &Matrix, targets: &[f64], weights: &[f64], planting: &Planting, seed: u64) -> Self {
        let binned = Binned::new(features);
        let mut random = fastrand::Rng::with_seed(seed);
        let growth = Growth { leaves: None, rows: planting.rows, columns: planting.columns, ridge: 0.0 };
        let rows = binned.rows();
        let plant = |_| {
            let mut drawn = vec![0.0; rows];
            (0..rows).for_each(|_| drawn[random.usize(..rows)] += 1.0);
            let pull = |row: usize| {
                let hessian = drawn[row] * weights[row];
                Pull { gradient: -hessian * targets[row], hessian }
            };
            let pulls: Vec<Pull> = (0..rows).map(pull).collect();
            let taken = (0..rows).filter(|&row| drawn[row] > 0.0).collect();
            Tree::grow(&binned, taken, (0..binned.columns()).collect(), &pulls, &growth, &mut random)
        };
        Self { trees: (0..planting.trees).map(plant).collect() }
    }

    /// The mean of its trees.
    pub fn predict(&self, row: &[f64]) -> f64 {
        self.trees.iter().map(|tree| tree.predict(row)).sum::<f64>() / self.trees.len().max(1) as f64
    }

    /// Of every row.
    pub fn predict_all(&self, features: &Matrix) -> Vec<f64> {
        features.iter().map(|row| self.predict(row)).collect()
    }
}
