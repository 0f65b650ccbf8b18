//! Seeded draws from the distributions that workloads are made of.

use std::sync::LazyLock;

/// A seeded source of draws: the same seed gives the same sequence.
#[derive(Debug, Clone)]
pub(super) struct Random(fastrand::Rng);

impl Random {
    /// The stream number `stream` of `seed`: what one consumer draws does not move the others.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(fastrand::Rng::with_seed(scramble(seed ^ scramble(stream))))
    }

    /// Any number.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Uniform in 0..1.
    pub(super) fn share(&mut self) -> f64 {
        self.0.f64()
    }

    /// Exponential with mean 1.
    pub(super) fn exponential(&mut self) -> f64 {
        -(1.0 - self.0.f64()).ln()
    }

    /// Standard normal (Box and Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    /// Gamma of a shape, with scale 1 (Marsaglia and Tsang 2000).
    pub(super) fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * (1.0 - self.share()).powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let normal = self.normal();
            let cube = (1.0 + c * normal).powi(3);
            if cube > 0.0 {
                let below = (1.0 - self.share()).ln();
                if below < 0.5 * normal * normal + d - d * cube + d * cube.ln() {
                    return d * cube;
                }
            }
        }
    }

    /// Log-normal, from its median and the standard deviation of its logarithm.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// An index, as likely as its weight; the last one where no weight is positive.
    pub(super) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.share() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        weights.len().saturating_sub(1)
    }
}

/// SplitMix64's finaliser: near seeds give far ones.
pub(super) fn scramble(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// A count of tokens from a positive number; at least 1.
pub(super) fn tokens(amount: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and the bounds are those of u32"
    )]
    let count = amount.round().max(1.0) as u32;
    count
}

/// Ranks whose probability falls as `rank^-exponent`, from 0.
#[derive(Debug)]
pub(super) struct Zipf(Vec<f64>);

impl Zipf {
    /// Over `count` ranks.
    pub(super) fn new(count: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=count).map(|rank| {
            sum += f64::from(rank).powf(-exponent);
            sum
        });
        Self(cumulative.collect())
    }

    /// One of them.
    pub(super) fn draw(&self, random: &mut Random) -> u64 {
        let total = self.0.last().copied().unwrap_or_default();
        let at = random.share() * total;
        self.0.partition_point(|&sum| sum <= at).min(self.0.len().saturating_sub(1)) as u64
    }
}

/// Passages of the retrieval corpus by popularity; see [`super::generate`].
pub(super) static PASSAGES: LazyLock<Zipf> = LazyLock::new(|| Zipf::new(20_000, 1.0));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mean_and_variation(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..40_000).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance.sqrt() / mean)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gamma_has_its_mean_and_variation(shape in 0.2..20.0_f64, seed in any::<u64>()) {
            let mut random = Random::new(seed, 0);
            let (mean, variation) = mean_and_variation(|| random.gamma(shape));
            prop_assert!((mean / shape - 1.0).abs() < 0.07, "{mean} for {shape}");
            prop_assert!((variation * shape.sqrt() - 1.0).abs() < 0.1, "{variation} for {shape}");
        }

        #[test]
        fn an_index_without_weight_is_never_drawn(weights in prop::collection::vec(0.0..3.0_f64, 1..6), zero in any::<prop::sample::Index>(), seed in any::<u64>()) {
            let mut weights = weights;
            let zero = zero.index(weights.len());
            weights[zero] = 0.0;
            prop_assume!(weights.iter().any(|weight| *weight > 0.01));
            let mut random = Random::new(seed, 1);
            prop_assert!((0..200).all(|_| random.weighted(&weights) != zero));
        }
    }

    #[test]
    fn a_log_normal_has_its_median() {
        let mut random = Random::new(3, 0);
        let above = (0..20_000).filter(|_| random.log_normal(40.0, 1.3) > 40.0).count();
        assert!((9_700..10_300).contains(&above), "{above}");
    }

    #[test]
    fn streams_of_a_seed_differ() {
        assert_ne!(Random::new(1, 0).bits(), Random::new(1, 1).bits());
        assert_eq!(Random::new(1, 1).bits(), Random::new(1, 1).bits());
    }

    #[test]
    fn zipf_ranks_fall_by_the_exponent() {
        let (zipf, mut random) = (Zipf::new(1_000, 1.0), Random::new(9, 0));
        let mut counts = vec![0_u32; 1_000];
        (0..200_000).for_each(|_| counts[usize::try_from(zipf.draw(&mut random)).unwrap()] += 1);
        let ratio = f64::from(counts[0]) / f64::from(counts[9]);
        assert!((8.5..11.5).contains(&ratio), "{ratio}");
    }
}
