//! Rates that change by the hour.

use std::time::Duration;

/// How many requests come in each of some stretches of equal length, relative to each other; then from the first again.
#[derive(Debug, Clone, PartialEq)]
pub struct Rhythm {
    stretch_s: f64,
    /// Time that would have passed at the mean rate by the end of each stretch, seconds.
    ends: Vec<f64>,
}

impl Rhythm {
    /// `None` without stretches, or where a factor is not positive.
    pub fn new(stretch: Duration, factors: &[f64]) -> Option<Self> {
        let sum: f64 = factors.iter().sum();
        let good = factors.iter().all(|factor| factor.is_finite() && *factor > 0.0) && !stretch.is_zero();
        if factors.is_empty() || !good {
            return None;
        }
        let (stretch_s, count) = (stretch.as_secs_f64(), factors.len() as f64);
        let mut end = 0.0;
        let ends = factors.iter().map(|factor| {
            end += factor / sum * count * stretch_s;
            end
        });
        Some(Self { stretch_s, ends: ends.collect() })
    }

    /// When an arrival comes that at the mean rate would come at `even`.
    pub fn at(&self, even: Duration) -> Duration {
        let all = self.stretch_s * self.ends.len() as f64;
        let (rounds, within) = ((even.as_secs_f64() / all).floor(), even.as_secs_f64() % all);
        let stretch = self.ends.partition_point(|&end| end <= within).min(self.ends.len() - 1);
        let begin = if stretch == 0 { 0.0 } else { self.ends[stretch - 1] };
        let along = ((within - begin) / (self.ends[stretch] - begin)).clamp(0.0, 1.0);
        Duration::from_secs_f64(rounds * all + (stretch as f64 + along) * self.stretch_s)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_stretch_gets_its_share() {
        let rhythm = Rhythm::new(Duration::from_secs(10), &[1.0, 3.0]).unwrap();
        let times: Vec<f64> =
            (0..40).map(|second| rhythm.at(Duration::from_secs(second)).as_secs_f64()).collect();
        let within = |from: f64| times.iter().filter(|&&at| (from..from + 10.0).contains(&at)).count();
        assert_eq!([0.0, 10.0, 20.0, 30.0].map(within), [5, 15, 5, 15]);
        assert_eq!(Rhythm::new(Duration::from_secs(1), &[1.0, 0.0]), None);
    }

    proptest! {
        #[test]
        fn order_is_kept(factors in prop::collection::vec(0.1..10.0_f64, 1..30), a in 0.0..1e5_f64, b in 0.0..1e5_f64) {
            let rhythm = Rhythm::new(Duration::from_secs(60), &factors).unwrap();
            let at = |seconds: f64| rhythm.at(Duration::from_secs_f64(seconds));
            prop_assert!(a > b || at(a) <= at(b));
        }
    }
}
