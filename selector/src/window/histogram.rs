//! Lengths, weighted: a histogram of constant relative width.

use super::Quantiles;
use crate::num;

/// Buckets to a factor of two: each is 9 % wide.
const PER_OCTAVE: f64 = 8.0;
/// Up to 2²⁴ tokens; longer ones count as that.
const BUCKETS: usize = 24 * 8;

/// Weights of lengths, in tokens.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram {
    /// Lengths below 1.
    none: f64,
    /// The `i`-th holds lengths from 2^(i/8) to 2^((i+1)/8).
    buckets: Box<[f64; BUCKETS]>,
    weight: f64,
    sum: f64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { none: 0.0, buckets: Box::new([0.0; BUCKETS]), weight: 0.0, sum: 0.0 }
    }

    /// Takes in a length. What is no length is left out.
    pub(super) fn add(&mut self, tokens: f64, weight: f64) {
        if !(tokens >= 0.0 && tokens.is_finite()) {
            return;
        }
        self.weight += weight;
        self.sum += tokens * weight;
        if tokens < 1.0 {
            self.none += weight;
        } else {
            let at = num::to_u32((tokens.log2() * PER_OCTAVE).floor()) as usize;
            self.buckets[at.min(BUCKETS - 1)] += weight;
        }
    }

    /// Multiplies all weights.
    pub(super) fn scale(&mut self, factor: f64) {
        self.buckets.iter_mut().for_each(|bucket| *bucket *= factor);
        self.none *= factor;
        self.weight *= factor;
        self.sum *= factor;
    }

    /// All zero where there was nothing.
    pub(super) fn quantiles(&self) -> Quantiles {
        if self.weight <= 0.0 {
            return Quantiles::default();
        }
        Quantiles {
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            mean: self.sum / self.weight,
        }
    }

    /// Within a bucket, lengths are taken to be spread evenly in the logarithm.
    fn quantile(&self, share: f64) -> f64 {
        // Not `weight`: rounding must not leave the sum of the buckets behind.
        let total: f64 = self.none + self.buckets.iter().sum::<f64>();
        let mut left = share * total - self.none;
        if left <= 0.0 {
            return 0.0;
        }
        let mut last = 0.0;
        for (at, &weight) in self.buckets.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            let within = (left / weight).min(1.0);
            last = ((at as f64 + within) / PER_OCTAVE).exp2();
            left -= weight;
            // What is left may be the rounding of the sum.
            if left <= 1e-9 * total {
                break;
            }
        }
        last
    }
}
