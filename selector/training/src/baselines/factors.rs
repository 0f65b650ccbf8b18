//! Low-rank factors of a table with gaps, by alternating least squares.

use super::{matrix::dot, performance::Performance};

const ROUNDS: usize = 30;

/// `value ≈ mean + bias(action) + context · action`.
#[derive(Debug, Clone)]
pub struct Factors {
    mean: f64,
    biases: Vec<f64>,
    contexts: Vec<Vec<f64>>,
    actions: Vec<Vec<f64>>,
}

impl Factors {
    /// Factors of a rank, with a ridge on all of them.
    pub fn fit(table: &Performance, rank: usize, ridge: f64, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let means = table.shrunken_means(0..table.rows.len());
        let biases: Vec<f64> = means.by_action.iter().map(|mean| mean - means.overall).collect();
        let residual = |&(action, value): &(usize, f64)| (action, value - means.overall - biases[action]);
        let by_context: Vec<Vec<(usize, f64)>> =
            table.rows.iter().map(|row| row.iter().map(residual).collect()).collect();
        let mut by_action: Vec<Vec<(usize, f64)>> = vec![Vec::new(); table.actions.len()];
        for (context, row) in by_context.iter().enumerate() {
            row.iter().for_each(|&(action, value)| by_action[action].push((context, value)));
        }
        let start = |_| (0..rank).map(|_| random.f64() - 0.5).collect();
        let mut actions: Vec<Vec<f64>> = (0..table.actions.len()).map(start).collect();
        let mut contexts = Vec::new();
        for _ in 0..ROUNDS {
            contexts = by_context.iter().map(|row| ridge_fit(row, &actions, rank, ridge)).collect();
            actions = by_action.iter().map(|row| ridge_fit(row, &contexts, rank, ridge)).collect();
        }
        Self { mean: means.overall, biases, contexts, actions }
    }

    /// The factors of every context.
    pub fn contexts(&self) -> &[Vec<f64>] {
        &self.contexts
    }

    /// What a context with these factors is expected to make of every action.
    pub fn values(&self, context: &[f64]) -> Vec<f64> {
        let value = |(bias, action): (&f64, &Vec<f64>)| self.mean + bias + dot(context, action);
        self.biases.iter().zip(&self.actions).map(value).collect()
    }

    /// What is expected of an action that was never tried.
    pub fn mean(&self) -> f64 {
        self.mean
    }
}

/// The factors that explain `row` best, given those of the other side.
fn ridge_fit(row: &[(usize, f64)], others: &[Vec<f64>], rank: usize, ridge: f64) -> Vec<f64> {
    let mut normal = vec![vec![0.0; rank]; rank];
    let mut right = vec![0.0; rank];
    (0..rank).for_each(|i| normal[i][i] = ridge);
    for &(other, value) in row {
        let factors = &others[other];
        for i in 0..rank {
            right[i] += factors[i] * value;
            (0..rank).for_each(|j| normal[i][j] += factors[i] * factors[j]);
        }
    }
    solve(normal, right)
}

/// Solves a positive definite system by elimination.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for pivot in 0..n {
        let row = a[pivot].clone();
        for below in pivot + 1..n {
            let factor = a[below][pivot] / row[pivot];
            a[below].iter_mut().zip(&row).skip(pivot).for_each(|(cell, above)| *cell -= factor * above);
            b[below] -= factor * b[pivot];
        }
    }
    for at in (0..n).rev() {
        let known: f64 = (at + 1..n).map(|j| a[at][j] * b[j]).sum();
        b[at] = (b[at] - known) / a[at][at];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_rank_two_is_completed() {
        let mut random = fastrand::Rng::with_seed(9);
        let mut side = |n: usize| (0..n).map(|_| [random.f64(), random.f64()]).collect::<Vec<_>>();
        let (contexts, actions) = (side(60), side(12));
        let truth = |c: usize, a: usize| dot(&contexts[c], &actions[a]);
        let name = |a: usize| format!("a{a:02}");
        let table = Performance::new((0..60_usize).map(|c| {
            (0..12).filter(|a| !(c + a).is_multiple_of(4)).map(|a| (name(a), truth(c, a))).collect()
        }));
        let factors = Factors::fit(&table, 3, 1e-3, 1);
        let off = |c: usize| {
            let values = factors.values(&factors.contexts()[c]);
            (0..12).map(|a| (values[a] - truth(c, a)).abs()).sum::<f64>() / 12.0
        };
        let off = (0..60).map(off).sum::<f64>() / 60.0;
        assert!(off < 0.05, "{off}; entries are about 0.5");
    }
}
