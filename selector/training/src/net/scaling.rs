//! Standardisation: constants of the network, worked out from training rows alone.

use gearshift_selector::inputs::{HARDWARE, MODEL, PROFILE, query_names};

use super::Part;
use crate::fit::Prepared;

/// Values further than this from the mean, in standard deviations, count as this far.
pub(crate) const REACH: f32 = 4.0;
/// A number whose standard deviation is below this never varied: nothing was learned of it.
const STILL: f64 = 1e-5;

/// How a group of numbers is brought to mean 0 and variance 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Mean of each number.
    pub mean: Vec<f32>,
    /// One over its standard deviation; 0 where it never varied in training, so that it says nothing.
    pub factor: Vec<f32>,
    /// Values below count as this.
    pub low: Vec<f32>,
    /// Values above count as this.
    pub high: Vec<f32>,
}

/// How all inputs are scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// Of the model token.
    pub model: Scale,
    /// Of the hardware token.
    pub hardware: Scale,
    /// Of the profile token.
    pub profile: Scale,
    /// Of the query token.
    pub query: Scale,
}

impl Scaling {
    /// Of the inputs that this or `other` looks at; those that both look at are scaled alike where both are of the same rows.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (mine, theirs) in [
            (&mut self.model, &other.model),
            (&mut self.hardware, &other.hardware),
            (&mut self.profile, &other.profile),
            (&mut self.query, &other.query),
        ] {
            for at in 0..mine.factor.len() {
                if mine.factor[at] != 0.0 {
                    continue;
                }
                mine.mean[at] = theirs.mean[at];
                mine.factor[at] = theirs.factor[at];
                mine.low[at] = theirs.low[at];
                mine.high[at] = theirs.high[at];
            }
        }
        self
    }

    /// The inputs' scales, each with the part of the network that reads it.
    pub fn parts(&self) -> [(Part, &Scale); 4] {
        [
            (Part::Model, &self.model),
            (Part::Hardware, &self.hardware),
            (Part::Profile, &self.profile),
            (Part::Query, &self.query),
        ]
    }

    /// The same, but that inputs whose name begins with one of `ignore` say nothing.
    #[must_use]
    pub fn without(mut self, ignore: &[String]) -> Self {
        let forget = |scale: &mut Scale, names: Vec<String>| {
            for (factor, name) in scale.factor.iter_mut().zip(names) {
                if !is_used(&name, ignore) {
                    *factor = 0.0;
                }
            }
        };
        forget(&mut self.model, owned(&MODEL));
        forget(&mut self.hardware, owned(&HARDWARE));
        forget(&mut self.profile, owned(&PROFILE));
        forget(&mut self.query, query_names().collect());
        self
    }

    /// Works it out from the rows of all sets, each set weighing the same. Inputs whose name begins with one of
    /// `ignore` say nothing; a centred copy's name is its number's after `centred.`.
    pub fn new(sets: &[&Prepared], ignore: &[String]) -> Self {
        let scale = |names: Vec<String>, values: fn(&Prepared) -> &[f32]| {
            let slices: Vec<&[f32]> = sets.iter().map(|set| values(set)).collect();
            Scale::new(&slices, &names.iter().map(|name| is_used(name, ignore)).collect::<Vec<_>>())
        };
        Self {
            model: scale(owned(&MODEL), |set| &set.model),
            hardware: scale(owned(&HARDWARE), |set| &set.hardware),
            profile: scale(owned(&PROFILE), |set| &set.profile),
            query: scale(query_names().collect(), |set| &set.query),
        }
    }
}

fn is_used(name: &str, ignore: &[String]) -> bool {
    !ignore.iter().any(|prefix| name.starts_with(prefix.as_str()))
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

impl Scale {
    /// Mean and deviation of each column over `sets`, rows one after another; columns not `used` get factor 0.
    fn new(sets: &[&[f32]], used: &[bool]) -> Self {
        let width = used.len();
        let mut mean = vec![0.0; width];
        let mut square = vec![0.0; width];
        let filled = sets.iter().filter(|set| !set.is_empty()).count().max(1) as f64;
        for set in sets {
            let rows = (set.len() / width) as f64;
            for row in set.chunks_exact(width) {
                for ((mean, square), &value) in mean.iter_mut().zip(&mut square).zip(row) {
                    *mean += f64::from(value) / rows / filled;
                    *square += f64::from(value) * f64::from(value) / rows / filled;
                }
            }
        }
        let mut scale = Self { mean: Vec::new(), factor: Vec::new(), low: Vec::new(), high: Vec::new() };
        for ((mean, square), &used) in mean.into_iter().zip(square).zip(used) {
            let deviation = (square - mean * mean).max(0.0).sqrt();
            let moves = used && deviation > STILL * mean.abs().max(1.0);
            let reach = if moves { f64::from(REACH) * deviation } else { 0.0 };
            scale.mean.push(single(mean));
            scale.factor.push(if moves { single(1.0 / deviation) } else { 0.0 });
            scale.low.push(single(mean - reach));
            scale.high.push(single(mean + reach));
        }
        scale
    }

    /// Scaled values of rows one after another.
    pub fn apply(&self, values: &[f32]) -> Vec<f32> {
        let width = self.mean.len();
        values
            .iter()
            .enumerate()
            .map(|(at, value)| {
                let column = at % width;
                (value.max(self.low[column]).min(self.high[column]) - self.mean[column]) * self.factor[column]
            })
            .collect()
    }

    /// A linear layer on scaled values as one on clipped, unscaled values. `weights` is `members × width × outputs`,
    /// `bias` is `members × outputs`.
    pub fn fold(&self, weights: &[f32], bias: &[f32], outputs: usize) -> (Vec<f32>, Vec<f32>) {
        let width = self.mean.len();
        let mut folded = Vec::with_capacity(weights.len());
        let mut shifted: Vec<f64> = bias.iter().map(|&bias| f64::from(bias)).collect();
        for (at, &weight) in weights.iter().enumerate() {
            let (row, output) = (at / outputs, at % outputs);
            let (member, column) = (row / width, row % width);
            let weight = f64::from(weight) * f64::from(self.factor[column]);
            shifted[member * outputs + output] -= weight * f64::from(self.mean[column]);
            folded.push(single(weight));
        }
        (folded, shifted.into_iter().map(single).collect())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn scales_clips_and_leaves_out_what_never_moved() {
        let scale = Scale::new(&[&[1.0, 5.0, 0.0, 3.0, 5.0, 9.0], &[]], &[true, true, false]);
        assert_eq!(scale.apply(&[3.0, 7.0, 1.0]), [1.0, 0.0, 0.0]);
        assert_eq!(scale.apply(&[900.0, 7.0, 1.0]), [4.0, 0.0, 0.0]);
    }

    #[test]
    fn folded_weights_do_the_same() {
        let scale = Scale::new(&[&[1.0, 5.0, 3.0, 6.0, 2.0, 9.0]], &[true, true]);
        let (weights, bias, row) = ([1.0, -2.0, 0.5, 3.0], [0.25, 4.0], [2.5, 7.0]);
        let scaled = scale.apply(&row);
        let (folded, shifted) = scale.fold(&weights, &bias, 1);
        for member in 0..2 {
            let on =
                |w: &[f32], b: &[f32], x: &[f32]| b[member] + w[2 * member] * x[0] + w[2 * member + 1] * x[1];
            assert!((on(&weights, &bias, &scaled) - on(&folded, &shifted, &row)).abs() < 1e-5);
        }
    }
}
