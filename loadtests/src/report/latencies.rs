//! Latencies of any number of requests, in bounded memory.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The resolution; what is shorter counts as this long.
const SHORTEST: Duration = Duration::from_nanos(100);
/// What is longer counts as this long.
const LONGEST: Duration = Duration::from_secs(3_600);

/// A histogram of durations with three significant digits.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty one.
    ///
    /// # Errors
    /// Never with the bounds used here; the histogram's constructor checks them.
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self(Histogram::new_with_bounds(nanoseconds(SHORTEST), nanoseconds(LONGEST), 3)?))
    }

    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(nanoseconds(latency));
    }

    /// Counts one, in seconds; negative times, which clocks do not have, are none.
    pub fn record_seconds(&mut self, latency_s: f64) {
        self.record(Duration::try_from_secs_f64(latency_s).unwrap_or_default());
    }

    /// Counts all that `other` has.
    pub fn merge(&mut self, other: &Self) {
        // Bounds are the same: nothing is out of range.
        let _ = self.0.add(&other.0);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What a share `quantile` of them stayed within, seconds; 0 where there is none.
    pub fn quantile(&self, quantile: f64) -> f64 {
        seconds(self.0.value_at_quantile(quantile))
    }

    /// Their mean, seconds; 0 where there is none.
    pub fn mean(&self) -> f64 {
        self.0.mean() / 1e9
    }

    /// Points of the cumulative distribution: seconds, and the share that stayed within them.
    pub fn distribution(&self) -> Vec<(f64, f64)> {
        let total = self.count() as f64;
        let mut below = 0;
        let recorded = self.0.iter_recorded().map(|bucket| {
            below += bucket.count_since_last_iteration();
            (seconds(bucket.value_iterated_to()), below as f64 / total)
        });
        recorded.collect()
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_values(mut micros in prop::collection::vec(1_u64..100_000_000, 1..60), quantile in 0.0..1.0_f64) {
            let mut latencies = Latencies::new().unwrap();
            micros.iter().for_each(|&micros| latencies.record(Duration::from_micros(micros)));
            micros.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
            let rank = (quantile * micros.len() as f64).ceil().max(1.0) as usize;
            let exact = micros[rank - 1] as f64 / 1e6;
            prop_assert!((latencies.quantile(quantile) / exact - 1.0).abs() < 0.002);
            let points = latencies.distribution();
            prop_assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
            prop_assert!((points[points.len() - 1].1 - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn what_is_beyond_the_bounds_counts_as_the_bound() {
        let mut latencies = Latencies::new().unwrap();
        latencies.record(LONGEST * 10);
        assert!(latencies.quantile(0.5) >= LONGEST.as_secs_f64() * 0.99);
    }

    #[test]
    fn seconds_are_durations_and_no_time_is_none() {
        let mut latencies = Latencies::new().unwrap();
        [0.25, -1.0, f64::NAN].into_iter().for_each(|seconds| latencies.record_seconds(seconds));
        assert_eq!(latencies.count(), 3);
        assert!((latencies.quantile(1.0) - 0.25).abs() < 1e-3);
        assert!(latencies.quantile(0.5) <= SHORTEST.as_secs_f64());
    }

    #[test]
    fn merged_histograms_count_both() {
        let mut both = Latencies::new().unwrap();
        let mut other = Latencies::new().unwrap();
        both.record(Duration::from_millis(1));
        other.record(Duration::from_millis(3));
        both.merge(&other);
        assert_eq!(both.count(), 2);
        assert!((both.mean() - 0.002).abs() < 1e-5);
    }
}
