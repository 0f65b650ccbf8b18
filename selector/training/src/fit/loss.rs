//! What is minimised.

use burn::tensor::{Device, Tensor};

use super::{Losses, Prepared, TARGETS, rows::tensor3};
use crate::net::Shape;

/// Column of `relative`, the only one that is compared within a context.
const RELATIVE: usize = 0;
/// Columns that are 90 % quantiles, each with that of its mean.
const P90: [(usize, usize); 2] = [(3, 1), (4, 2)];
/// Column of `saturation`.
const SATURATION: usize = 5;

/// Targets and weights of all rows, worked out once.
pub(super) struct Goals {
    /// `rows × TARGETS`; `relative` centred over its context: its level is nothing to learn.
    targets: Vec<f32>,
    /// Weight of each target, `rows × TARGETS`; 0 where it is not known.
    weights: Vec<f32>,
    /// Whether `relative` is known, by row: 1 or 0.
    known: Vec<f32>,
    offsets: Vec<usize>,
    huber: f32,
    centring: f32,
}

/// Targets and weights of a batch.
pub(super) struct Goal {
    target: Tensor<3>,
    /// Weights of squared (Huber) errors and of quantile errors, `[members, rows, TARGETS]`.
    mean_weight: Tensor<3>,
    p90_weight: Tensor<3>,
    /// Averages over contexts, `[1, rows, rows]`.
    average: Tensor<3>,
    /// 1 at `relative`, `[1, 1, TARGETS]`.
    centred: Tensor<3>,
    huber: f32,
}

impl Goals {
    /// Works out targets and weights. A context of `n` rows weighs `√n`, as its rows are alike in what they share.
    pub(super) fn new(rows: &Prepared, losses: &Losses) -> Self {
        let mut targets = rows.targets.clone();
        let mut weights = vec![0.0; targets.len()];
        let known: Vec<f32> = rows.masks.chunks_exact(TARGETS).map(|mask| mask[RELATIVE]).collect();
        for pair in rows.offsets.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let count: f32 = known[from..to].iter().sum();
            let mean =
                (from..to).map(|row| known[row] * targets[row * TARGETS]).sum::<f32>() / count.max(1.0);
            for row in from..to {
                let context = rows.weights[row] / ((to - from) as f32).sqrt();
                let at = row * TARGETS;
                let (target, mask) = (&mut targets[at..at + TARGETS], &rows.masks[at..at + TARGETS]);
                let weight = &mut weights[at..at + TARGETS];
                target[RELATIVE] -= mean;
                let near = losses.floor + (-losses.sharpness * rows.regrets[row]).exp();
                // A context of one row has nothing to compare.
                let compared = if count > 1.0 { mask[RELATIVE] } else { 0.0 };
                weight[RELATIVE] = losses.relative * near * compared * context;
                for (p90, mean) in P90 {
                    weight[mean] = losses.means * mask[mean] * context;
                    // Where only the mean is known, the quantile is that of what is not explained of the mean.
                    if mask[p90] == 0.0 {
                        target[p90] = target[mean];
                    }
                    weight[p90] = losses.p90 * mask[p90].max(mask[mean]) * context;
                }
                weight[SATURATION] = losses.saturation * mask[SATURATION] * context;
                // What is not known may be anything, NaN included, and must not reach a sum.
                for (target, weight) in target.iter_mut().zip(weight.iter()) {
                    if *weight == 0.0 {
                        *target = 0.0;
                    }
                }
            }
        }
        Self {
            targets,
            weights,
            known,
            offsets: rows.offsets.clone(),
            huber: losses.huber,
            centring: losses.centring,
        }
    }

    /// Weighted mean of each target: where outputs begin. `relative` begins at 0.
    pub(super) fn means(&self) -> [f32; TARGETS] {
        let (mut sums, mut weights) = ([0.0; TARGETS], [0.0; TARGETS]);
        for (targets, of_row) in self.targets.chunks_exact(TARGETS).zip(self.weights.chunks_exact(TARGETS)) {
            for column in (0..TARGETS).filter(|&column| column != RELATIVE) {
                sums[column] += targets[column] * of_row[column];
                weights[column] += of_row[column];
            }
        }
        std::array::from_fn(|column| if weights[column] > 0.0 { sums[column] / weights[column] } else { 0.0 })
    }

    /// Rows of a context.
    pub(super) fn rows_of(&self, context: usize) -> std::ops::Range<usize> {
        self.offsets[context]..self.offsets[context + 1]
    }

    /// The goal of a batch of whole contexts. `share` is the weight of a context for a member.
    pub(super) fn of(
        &self,
        contexts: &[usize],
        shape: &Shape,
        device: &Device,
        share: impl Fn(usize, usize) -> f32,
    ) -> Goal {
        let rows: usize = contexts.iter().map(|&context| self.rows_of(context).len()).sum();
        let mut target = Vec::with_capacity(rows * TARGETS);
        let mut average = vec![0.0; rows * rows];
        let mut at = 0;
        for &context in contexts {
            let range = self.rows_of(context);
            target.extend(&self.targets[range.start * TARGETS..range.end * TARGETS]);
            let known = &self.known[range];
            let count = known.iter().sum::<f32>().max(1.0);
            for row in at..at + known.len() {
                for (cell, known) in average[row * rows + at..].iter_mut().zip(known) {
                    *cell = self.centring * known / count;
                }
            }
            at += known.len();
        }
        let is_p90 = |column: usize| P90.iter().any(|&(p90, _)| p90 == column);
        let weights = |of_p90: bool| {
            let mut weights = Vec::with_capacity(shape.members * rows * TARGETS);
            for member in 0..shape.members {
                for &context in contexts {
                    let range = self.rows_of(context);
                    let share = share(member, context) / rows as f32;
                    let of_rows = &self.weights[range.start * TARGETS..range.end * TARGETS];
                    weights.extend(of_rows.iter().enumerate().map(|(at, weight)| {
                        if is_p90(at % TARGETS) == of_p90 { share * weight } else { 0.0 }
                    }));
                }
            }
            tensor3(weights, [shape.members, rows, TARGETS], device)
        };
        let mut centred = vec![0.0; TARGETS];
        centred[RELATIVE] = 1.0;
        Goal {
            target: tensor3(target, [1, rows, TARGETS], device),
            mean_weight: weights(false),
            p90_weight: weights(true),
            average: tensor3(average, [1, rows, rows], device),
            centred: tensor3(centred, [1, 1, TARGETS], device),
            huber: self.huber,
        }
    }
}

impl Goal {
    /// Each member's loss, `[members, 1, 1]`: Huber's on `relative` (centred over the context, what is said of it as far as [`Losses::centring`] says), the means
    /// and the saturation, the pinball loss at 90 % on the quantiles.
    pub(super) fn loss(&self, outputs: Tensor<3>) -> Tensor<3> {
        let mean = self.average.clone().matmul(outputs.clone()) * self.centred.clone();
        let error = outputs - mean - self.target.clone();
        let size = error.clone().abs();
        let near = size.clone().clamp_max(self.huber);
        // In proportion beyond the bend, as the quantiles' loss is, and not smaller.
        let huber = near.clone() * (size.clone() - near * 0.5) / self.huber;
        let pinball = size * 0.5 - error * 0.4;
        let weighted = huber * self.mean_weight.clone() + pinball * self.p90_weight.clone();
        weighted.sum_dim(1).sum_dim(2)
    }
}
