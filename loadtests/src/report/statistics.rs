//! Statistics of a few values.

use serde::Serialize;

/// The mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The value that a share `quantile` (0–1) of them stays within, interpolated between neighbours; NaN of nothing.
pub fn quantile(values: &[f64], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_sorted(&sorted, quantile)
}

/// As [`quantile()`], of values in ascending order.
pub fn quantile_sorted(sorted: &[f64], quantile: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = quantile.clamp(0.0, 1.0) * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the values")]
    let below = at as usize;
    let above = (below + 1).min(last);
    let (low, high) = (sorted[below], sorted[above]);
    // Written so that equal neighbours, infinite ones included, stay what they are.
    if low == high { low } else { low + (high - low) * (at - below as f64) }
}

/// The median; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// What is usually said of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many values.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Least.
    pub min: f64,
    /// Half stay within this.
    pub p50: f64,
    /// 90 % do.
    pub p90: f64,
    /// 99 % do.
    pub p99: f64,
    /// Greatest.
    pub max: f64,
}

impl Summary {
    /// Of the values given; nothing of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let at = |quantile| quantile_sorted(&sorted, quantile);
        Some(Self {
            count: sorted.len(),
            mean: mean(&sorted),
            min,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max,
        })
    }
}

/// Where a statistic would lie in 95 of 100 repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// 2.5 % lie below.
    pub low: f64,
    /// 2.5 % lie above.
    pub high: f64,
}

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2_000;

/// The 95 % percentile-bootstrap interval of `statistic`, by drawing items with replacement; the same for a seed. NaN of
/// nothing. Where values come in groups that vary together, the groups are the items.
///
/// ```
/// use gearshift_loadtests::report::{bootstrap, mean};
///
/// let values: Vec<f64> = (0..100).map(f64::from).collect();
/// let interval = bootstrap(&values, 7, |drawn| drawn.iter().copied().sum::<f64>() / drawn.len() as f64);
/// assert!(interval.low < mean(&values) && mean(&values) < interval.high);
/// ```
pub fn bootstrap<T>(items: &[T], seed: u64, statistic: impl Fn(&[&T]) -> f64) -> Interval {
    if items.is_empty() {
        return Interval { low: f64::NAN, high: f64::NAN };
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut drawn = Vec::with_capacity(items.len());
    let mut resampled = || {
        drawn.clear();
        drawn.extend((0..items.len()).map(|_| &items[random.usize(..items.len())]));
        statistic(&drawn)
    };
    let mut values: Vec<f64> = (0..RESAMPLES).map(|_| resampled()).collect();
    values.sort_by(f64::total_cmp);
    Interval { low: quantile_sorted(&values, 0.025), high: quantile_sorted(&values, 0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert!((quantile(&[4.0, 1.0, 3.0, 2.0], 0.5) - 2.5).abs() < 1e-12);
        assert_eq!(quantile(&[5.0], 0.99), 5.0);
        assert_eq!(quantile(&[f64::INFINITY, f64::INFINITY], 0.5), f64::INFINITY);
        assert!(quantile(&[], 0.5).is_nan() && mean(&[]).is_nan());
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn an_interval_is_as_wide_as_theory_has_it() {
        let mut random = fastrand::Rng::with_seed(1);
        let values: Vec<f64> = (0..400).map(|_| random.f64()).collect();
        let interval = bootstrap(&values, 3, |drawn| drawn.iter().copied().sum::<f64>() / drawn.len() as f64);
        let expected = 2.0 * 1.96 * (1.0_f64 / 12.0 / 400.0).sqrt();
        assert!(((interval.high - interval.low) / expected - 1.0).abs() < 0.15);
        let again = bootstrap(&values, 3, |drawn| drawn.iter().copied().sum::<f64>() / drawn.len() as f64);
        assert_eq!(interval, again);
        assert!(bootstrap(&[0.0; 0], 1, |_| 0.0).low.is_nan());
    }

    proptest! {
        #[test]
        fn a_summary_is_in_order(values in prop::collection::vec(-1e9..1e9_f64, 1..60)) {
            let Summary { min, p50, p90, p99, max, mean, .. } = Summary::of(&values).unwrap();
            prop_assert!(min <= p50 && p50 <= p90 && p90 <= p99 && p99 <= max);
            prop_assert!(min - 1e-3 <= mean && mean <= max + 1e-3);
        }
    }
}
