//! Averages that forget, each in one atomic word: many cores observe and read without a lock, and no update is
//! half seen.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Moment, num};

/// An exponentially forgetting mean in log space: ratios and lengths err by factors, not by differences, and the
/// outliers that matter are many times too large.
///
/// The starting value counts as one observation, so the first real one moves it half-way, the next a third, down to
/// the floor `gain`. An observation counts as at most `bound` (natural log) away from the mean: one outlier shifts
/// the mean by no more than `gain · bound`, while a lasting change still arrives.
#[derive(Debug)]
pub(crate) struct LogMean {
    /// High half: ln of the mean as `f32` bits. Low half: observations.
    word: AtomicU64,
    gain: f32,
    bound: f32,
}

impl LogMean {
    /// Starts at `start` (> 0).
    pub(crate) fn new(start: f64, gain: f32, bound: f32) -> Self {
        Self { word: AtomicU64::new(num::pack(num::to_f32(start.ln()).to_bits(), 0)), gain, bound }
    }

    /// The mean.
    pub(crate) fn value(&self) -> f64 {
        f64::from(ln_of(self.word.load(Relaxed))).exp()
    }

    /// Forgets what it saw: from now on its mean is `value` (> 0), as if from so many observations.
    pub(crate) fn restart(&self, value: f64, samples: u32) {
        self.word.store(num::pack(num::to_f32(value.ln()).to_bits(), samples), Relaxed);
    }

    /// How many observations it rests on.
    pub(crate) fn samples(&self) -> u32 {
        num::low(self.word.load(Relaxed))
    }

    /// Takes in `x` with `weight` between 0 and 1. What has no logarithm teaches nothing.
    pub(crate) fn observe(&self, x: f64, weight: f64) {
        let ln = num::to_f32(x.ln());
        let weight = num::to_f32(weight.clamp(0.0, 1.0));
        if !ln.is_finite() || weight.is_nan() || weight == 0.0 {
            return;
        }
        let step = |word| {
            let (mean, samples) = (ln_of(word), num::low(word));
            let gain = self.gain.max(num::to_f32((f64::from(samples) + 2.0).recip())) * weight;
            let mean = mean + gain * (ln - mean).clamp(-self.bound, self.bound);
            Some(num::pack(mean.to_bits(), samples.saturating_add(1)))
        };
        let _ = self.word.fetch_update(Relaxed, Relaxed, step);
    }
}

fn ln_of(word: u64) -> f32 {
    f32::from_bits(num::high(word))
}

/// Peak-sensitive latency: jumps to a slow observation at once and comes back to the lasting mean with time. A
/// backend that stalls is avoided from its first slow answer on, and tried again without one having to succeed.
#[derive(Debug)]
pub(crate) struct PeakEwma {
    /// High half: the mean. Low half: the peak at `at`. Both `f32` bits in seconds; 0 before the first observation.
    word: AtomicU64,
    /// When the peak was last set, nanoseconds.
    at: AtomicU64,
}

/// How fast a peak decays towards the mean, seconds; as Finagle's and Linkerd's balancers.
const PEAK_DECAY_S: f64 = 10.0;
/// Weight of one observation in the mean.
const MEAN_GAIN: f64 = 0.1;

impl PeakEwma {
    /// Nothing observed yet.
    pub(crate) fn new() -> Self {
        Self { word: AtomicU64::new(0), at: AtomicU64::new(0) }
    }

    /// The estimate at `now`, seconds; `None` before the first observation.
    pub(crate) fn value(&self, now: Moment) -> Option<f64> {
        let (mean, peak) = unpack(self.word.load(Relaxed));
        (mean > 0.0).then(|| decayed(mean, peak, now.seconds_since(Moment(self.at.load(Relaxed)))))
    }

    /// Takes in one latency, seconds.
    pub(crate) fn observe(&self, seconds: f64, now: Moment) {
        if !(seconds > 0.0 && seconds.is_finite()) {
            return;
        }
        let age = now.seconds_since(Moment(self.at.fetch_max(now.0, Relaxed)));
        let step = |word| {
            let (mean, peak) = unpack(word);
            let mean = if mean > 0.0 { mean + MEAN_GAIN * (seconds - mean) } else { seconds };
            let peak = decayed(mean, peak, age).max(seconds);
            Some(num::pack(num::to_f32(mean).to_bits(), num::to_f32(peak).to_bits()))
        };
        let _ = self.word.fetch_update(Relaxed, Relaxed, step);
    }
}

fn unpack(word: u64) -> (f64, f64) {
    (f64::from(f32::from_bits(num::high(word))), f64::from(f32::from_bits(num::low(word))))
}

fn decayed(mean: f64, peak: f64, age_s: f64) -> f64 {
    mean + (peak - mean).max(0.0) * (-age_s / PEAK_DECAY_S).exp()
}

/// A count of recent events that halves with time, such as failures to connect.
#[derive(Debug)]
pub(crate) struct Recent {
    /// High half: the count at the time as `f32` bits. Low half: the time in milliseconds (wraps after 49 days).
    word: AtomicU64,
    half_life_s: f64,
}

impl Recent {
    /// No event yet.
    pub(crate) fn new(half_life_s: f64) -> Self {
        Self { word: AtomicU64::new(0), half_life_s }
    }

    /// The decayed count at `now`.
    pub(crate) fn value(&self, now: Moment) -> f64 {
        self.at(self.word.load(Relaxed), now)
    }

    /// One more event.
    pub(crate) fn add(&self, now: Moment) {
        let step = |word| Some(num::pack(num::to_f32(self.at(word, now) + 1.0).to_bits(), millis(now)));
        let _ = self.word.fetch_update(Relaxed, Relaxed, step);
    }

    fn at(&self, word: u64, now: Moment) -> f64 {
        let count = f32::from_bits(num::high(word));
        if count == 0.0 {
            return 0.0;
        }
        let age = millis(now).wrapping_sub(num::low(word));
        // A core whose clock reading is a little older sees a "negative" age: that is no age.
        let age_s = if age > u32::MAX / 2 { 0.0 } else { f64::from(age) * 1e-3 };
        f64::from(count) * (-age_s / self.half_life_s).exp2()
    }
}

fn millis(now: Moment) -> u32 {
    num::low(now.0 / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_lasting_change_arrives_within_fifty_observations() {
        let mean = LogMean::new(1.0, 0.1, 1.0);
        (0..50).for_each(|_| mean.observe(1.0, 1.0));
        (0..50).for_each(|_| mean.observe(2.0, 1.0));
        assert!((mean.value() - 2.0).abs() < 0.02, "{}", mean.value());
        assert_eq!(mean.samples(), 100);
    }

    #[test]
    fn one_outlier_moves_little() {
        let mean = LogMean::new(1.0, 0.1, 1.0);
        (0..50).for_each(|_| mean.observe(1.0, 1.0));
        mean.observe(1e6, 1.0);
        assert!(mean.value() < 1.11, "{}", mean.value());
    }

    #[test]
    fn what_has_no_logarithm_teaches_nothing() {
        let mean = LogMean::new(4.0, 0.1, 1.0);
        [0.0, -1.0, f64::NAN, f64::INFINITY].iter().for_each(|&x| mean.observe(x, 1.0));
        mean.observe(8.0, f64::NAN);
        assert_eq!((mean.samples(), mean.value().round()), (0, 4.0));
    }

    #[test]
    fn a_peak_rises_at_once_and_decays_to_the_mean() {
        let ewma = PeakEwma::new();
        assert_eq!(ewma.value(Moment(0)), None);
        (0..20).for_each(|i| ewma.observe(0.1, Moment(i * SECOND)));
        ewma.observe(5.0, Moment(20 * SECOND));
        assert!(ewma.value(Moment(20 * SECOND)).unwrap() > 4.9);
        let later = ewma.value(Moment(120 * SECOND)).unwrap();
        assert!(later < 0.7, "{later}");
    }

    #[test]
    fn recent_events_halve() {
        let recent = Recent::new(10.0);
        (0..4).for_each(|_| recent.add(Moment(SECOND)));
        assert!((recent.value(Moment(11 * SECOND)) - 2.0).abs() < 1e-3);
        assert!((recent.value(Moment(0)) - 4.0).abs() < 1e-3, "a slightly older clock reading is no age");
    }

    proptest! {
        #[test]
        fn a_mean_stays_within_what_it_saw(xs in prop::collection::vec(1e-3f64..1e6, 1..100)) {
            let mean = LogMean::new(xs[0], 0.1, 2.0);
            xs.iter().for_each(|&x| mean.observe(x, 1.0));
            let (low, high) = xs.iter().fold((f64::MAX, 0f64), |(l, h), &x| (l.min(x), h.max(x)));
            prop_assert!(mean.value() >= low * 0.999 && mean.value() <= high * 1.001);
        }
    }
}
