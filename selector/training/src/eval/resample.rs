//! The bootstrap: the same draws for all selectors of a split, so that they can be compared pairwise.

use gearshift_loadtests::report::{Interval, quantile_sorted};
use serde::Serialize;

/// How often each unit was drawn, by draw.
#[derive(Debug, Clone)]
pub(super) struct Resamples {
    /// Per draw: the weight of every item.
    weights: Vec<Vec<f64>>,
}

const DRAWS: usize = 1000;

impl Resamples {
    /// Draws units with replacement; `unit` is the one each item belongs to, numbered from 0.
    pub(super) fn new(unit: &[usize], seed: u64) -> Self {
        let units = unit.iter().max().map_or(0, |most| most + 1);
        let mut random = fastrand::Rng::with_seed(seed);
        let draw = |_| {
            let mut drawn = vec![0.0; units];
            (0..units).for_each(|_| drawn[random.usize(..units)] += 1.0);
            unit.iter().map(|&unit| drawn[unit]).collect()
        };
        Self { weights: (0..DRAWS).map(draw).collect() }
    }

    /// Mean of the values in every draw; NaN where none of its units was drawn.
    pub(super) fn means(&self, values: &[f64]) -> Vec<f64> {
        let mean = |weights: &Vec<f64>| {
            let (mut sum, mut total) = (0.0, 0.0);
            for (weight, value) in weights.iter().zip(values) {
                sum += weight * value;
                total += weight;
            }
            sum / total
        };
        self.weights.iter().map(mean).collect()
    }
}

/// Lower and upper end of an interval; written as a pair.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ends(pub f64, pub f64);

impl Ends {
    /// Between which 95 of 100 values lie; `None` of nothing.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let interval =
            Interval { low: quantile_sorted(&sorted, 0.025), high: quantile_sorted(&sorted, 0.975) };
        (!sorted.is_empty()).then_some(Self(interval.low, interval.high))
    }
}

/// Numbers that name groups, from 0 in the order they first come.
pub(super) fn numbered<K: Ord>(keys: impl IntoIterator<Item = K>) -> Vec<usize> {
    let mut known = std::collections::BTreeMap::new();
    keys.into_iter()
        .map(|key| {
            let next = known.len();
            *known.entry(key).or_insert(next)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_that_vary_together_widen_the_interval() {
        let values: Vec<f64> = (0..200).map(|at| f64::from(at / 20)).collect();
        let alone: Vec<usize> = (0..200).collect();
        let clustered: Vec<usize> = (0..200).map(|at| at / 20).collect();
        let width = |unit: &[usize]| {
            let Ends(low, high) = Ends::of(Resamples::new(unit, 1).means(&values)).unwrap();
            assert!(low < 4.5 && high > 4.5);
            high - low
        };
        assert!(width(&clustered) > 3.0 * width(&alone));
        assert_eq!(Ends::of([]), None);
    }
}
