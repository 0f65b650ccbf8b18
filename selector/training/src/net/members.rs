//! The weights, as burn trains them and as plain numbers.

use std::ops::Range;

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor, TensorData},
};

use super::{Part, Scaling, Shape};

/// The weights as burn trains them: one tensor `[members, in, out]` per [`Part`].
#[derive(Module, Debug)]
pub struct Members {
    parts: Vec<Param<Tensor<3>>>,
}

/// The weights as plain numbers, by [`Part`], each `members × in × out`.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights(pub Vec<Vec<f32>>);

impl Weights {
    /// Fresh weights; the members differ.
    pub fn new(shape: &Shape, random: &mut fastrand::Rng) -> Self {
        let part = |part: &Part| {
            let [rows, columns] = part.size(shape);
            let spread = part.spread(shape);
            (0..shape.members * rows * columns).map(|_| spread * normal(random)).collect()
        };
        let mut weights = Self(Part::of(shape).iter().map(part).collect());
        weights.close_attention(shape);
        weights
    }

    /// Sets to zero what reads the attention: the network begins as a function of the query alone and takes up what
    /// engines add to it. Begun open, their numbers serve as ids: on unseen families that is worse than nothing.
    fn close_attention(&mut self, shape: &Shape) {
        for part in [Part::Combine, Part::Outputs] {
            let [rows, columns] = part.size(shape);
            for weights in self.0[part as usize].chunks_exact_mut(rows * columns) {
                weights[shape.hidden * columns..(shape.hidden + shape.width) * columns].fill(0.0);
            }
        }
    }

    /// Sets to zero what reads inputs that say nothing.
    pub fn forget(&mut self, shape: &Shape, scaling: &Scaling) {
        for (part, scale) in scaling.parts() {
            let [inputs, outputs] = part.size(shape);
            for (at, values) in self.0[part as usize].chunks_exact_mut(outputs).enumerate() {
                if scale.factor[at % inputs] == 0.0 {
                    values.fill(0.0);
                }
            }
        }
    }

    /// Some of the members of a network with `members`.
    #[must_use]
    pub fn only(&self, some: Range<usize>, members: usize) -> Self {
        let of = |values: &Vec<f32>| {
            let each = values.len() / members.max(1);
            values[some.start * each..some.end * each].to_vec()
        };
        Self(self.0.iter().map(of).collect())
    }

    /// These members, then those of another.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            mine.extend(theirs);
        }
        self
    }

    /// One part.
    pub fn of(&self, part: Part) -> &[f32] {
        &self.0[part as usize]
    }

    /// Makes this mean of `count` weights that of one more; of none, those.
    pub fn average_in(&mut self, count: usize, other: Self) {
        if count == 0 {
            *self = other;
            return;
        }
        let share = 1.0 / (count + 1) as f32;
        for (mine, theirs) in self.0.iter_mut().flatten().zip(other.0.into_iter().flatten()) {
            *mine += share * (theirs - *mine);
        }
    }
}

/// Normally distributed, mean 0, variance 1.
fn normal(random: &mut fastrand::Rng) -> f32 {
    let radius = (-2.0 * (1.0 - random.f32()).ln()).sqrt();
    radius * (std::f32::consts::TAU * random.f32()).cos()
}

impl Members {
    /// The network with these weights; to be trained where the device tracks gradients.
    pub fn new(shape: &Shape, weights: &Weights, device: &Device) -> Self {
        let parts = Part::of(shape).iter().map(|&part| {
            let [rows, columns] = part.size(shape);
            let data = TensorData::new(weights.of(part).to_vec(), [shape.members, rows, columns]);
            Param::from_data(data, device)
        });
        Self { parts: parts.collect() }
    }

    /// One part.
    pub fn of(&self, part: Part) -> Tensor<3> {
        self.parts[part as usize].val()
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// Where burn cannot give them as single precision numbers; it always can.
    pub fn weights(&self) -> Result<Weights, crate::Error> {
        self.parts.iter().map(|part| numbers(part.val())).collect::<Result<_, _>>().map(Weights)
    }
}

/// A tensor's numbers.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, crate::Error> {
    tensor.into_data().try_to_vec::<f32>().map_err(|error| crate::Error::Failed(format!("burn: {error:?}")))
}
