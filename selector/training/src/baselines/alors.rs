//! ALORS (Mısır and Sebag, 2017): contexts and actions get latent factors, and a forest foretells those of a new context
//! from its features.

use super::{
    factors::Factors,
    matrix::Matrix,
    performance::Performance,
    trees::{Forest, Planting},
};

const RANK: usize = 5;
const RIDGE: f64 = 0.3;

/// Latent factors, and a forest for each of them.
#[derive(Debug, Clone)]
pub struct Alors {
    factors: Factors,
    forests: Vec<Forest>,
}

impl Alors {
    /// Learns from contexts: `features` and `performance` by the same rows.
    pub fn fit(features: &Matrix, performance: &Performance, trees: usize, seed: u64) -> Self {
        let rank = RANK.min(performance.actions.len().saturating_sub(1)).max(1);
        let factors = Factors::fit(performance, rank, RIDGE, seed);
        let weights = vec![1.0; features.rows()];
        let planting = Planting { trees, rows: 2, columns: 0.4 };
        let forest = |factor: usize| {
            let targets: Vec<f64> = factors.contexts().iter().map(|context| context[factor]).collect();
            Forest::fit(features, &targets, &weights, &planting, seed)
        };
        let forests = (0..rank).map(forest).collect();
        Self { factors, forests }
    }

    /// Expected performance of every action in a context with these features.
    pub fn values(&self, features: &[f64]) -> Vec<f64> {
        let context: Vec<f64> = self.forests.iter().map(|forest| forest.predict(features)).collect();
        self.factors.values(&context)
    }

    /// What is expected of an action that was never tried.
    pub fn mean(&self) -> f64 {
        self.factors.mean()
    }
}
