//! A forgetting line in log space: how far outcomes are from the prior, and how that changes with load.
//!
//! An engine may be right alone and wrong in company: a CPU that claims to be an accelerator is about as fast for one sequence as
//! its memory allows, and many times slower for thirty. One number then condemns it at every load for what it does at
//! some. So calibration has a level and a slope, `ln ratio = level + slope · (x − mean x)`, where `x` is the logarithm
//! of something that grows with load. Both are learned by recursive least squares that forgets: as `x` is centred and scaled by
//! what was seen of it, the covariance stays near a multiple of one, and one gain stands in for the matrix.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::num;

/// Least weight of one outcome in the level: a twofold slowdown is learned to 1 % within 45 outcomes.
pub(crate) const GAIN: f64 = 0.1;
/// Weight of the slope's step beside the level's: what an engine does at other loads changes less often than how fast it is.
const SLOPE_GAIN: f64 = 0.3;
/// Least weight of one outcome in mean and variance of `x`.
const SEEN_GAIN: f64 = 0.02;
/// Largest error one outcome counts with, natural log.
const BOUND: f64 = 1.0;
/// With −1, times do not grow with `x` at all where the prior has them grow in proportion; with 1, they grow in proportion where
/// the prior has them stand still. An engine is between.
const MAX_SLOPE: f64 = 1.0;
/// Variance that `x` is taken to have at least: below, a slope would be fitted to noise.
const LEAST_VARIANCE: f64 = 0.05;
/// The line holds this far from the mean of what was seen, in standard deviations; beyond it goes on level.
const REACH: f64 = 2.0;
/// Levels stay within a factor of a thousand, so that garbage in cannot banish a backend for good.
const MAX_LEVEL: f64 = 6.9;
/// No logarithm of a load is further from 0.
const MAX_X: f64 = 50.0;

/// The line. Many cores learn and read without a lock; level and slope change together, and a reader that straddles an update sees
/// the centre one outcome apart.
#[derive(Debug)]
pub(crate) struct Line {
    /// Level and slope, `f32` each.
    fit: AtomicU64,
    /// Mean and variance of `x`, `f32` each.
    seen: AtomicU64,
    outcomes: AtomicU32,
}

impl Line {
    /// Level 0, and flat.
    pub(crate) fn new() -> Self {
        Self { fit: AtomicU64::new(0), seen: AtomicU64::new(0), outcomes: AtomicU32::new(0) }
    }

    /// How many outcomes it rests on.
    pub(crate) fn outcomes(&self) -> u32 {
        self.outcomes.load(Relaxed)
    }

    /// Natural log of actual over prior at the loads usually seen.
    pub(crate) fn level(&self) -> f64 {
        unpack(self.fit.load(Relaxed)).0
    }

    /// Natural log of actual over prior at `x`.
    pub(crate) fn at(&self, x: f64) -> f64 {
        let (level, slope) = unpack(self.fit.load(Relaxed));
        let (mean, variance) = unpack(self.seen.load(Relaxed));
        bounded(level + slope * within_reach(x - mean, variance))
    }

    /// Learns that actual over prior was `ln`, a logarithm, at `x`, with `weight` between 0 and 1. `fresh`, 0–1: how much of what is
    /// known is out of date. What is no number teaches nothing.
    pub(crate) fn learn(&self, ln: f64, x: f64, weight: f64, fresh: f64) {
        if !(ln.is_finite() && x.is_finite() && weight > 0.0) {
            return;
        }
        let x = x.clamp(-MAX_X, MAX_X);
        let before = self.outcomes.fetch_add(1, Relaxed);
        let least = 1.0 / (f64::from(before) + 2.0);
        let gain = GAIN.max(least).max(fresh) * weight.min(1.0);
        let (mean, variance) = if before == 0 { (x, 0.0) } else { unpack(self.seen.load(Relaxed)) };
        let off = within_reach(x - mean, variance);
        let scale = variance.max(LEAST_VARIANCE);
        let share = 1.0 / (1.0 + gain * off * off / scale);
        let slope_gain = SLOPE_GAIN * GAIN * weight.min(1.0);
        // The centre follows what is seen, and the level with it along the line.
        let seen_gain = SEEN_GAIN.max(least);
        let moved = seen_gain * (x - mean);
        let step = |word| {
            let (level, slope) = unpack(word);
            let error = (ln - level - slope * off).clamp(-BOUND, BOUND) * share;
            let slope = (slope + slope_gain * error * off / scale).clamp(-MAX_SLOPE, MAX_SLOPE);
            Some(pack(bounded(level + gain * error + slope * moved), slope))
        };
        let _ = self.fit.fetch_update(Relaxed, Relaxed, step);
        let variance = variance + seen_gain * ((x - mean).powi(2) - variance);
        self.seen.store(pack(mean + moved, variance), Relaxed);
    }

    /// Forgets what it saw: from now on as `other`, with `by` taken off its level.
    pub(crate) fn restart_from(&self, other: &Self, by: f64) {
        let (level, slope) = unpack(other.fit.load(Relaxed));
        self.fit.store(pack(bounded(level - by), slope), Relaxed);
        self.seen.store(other.seen.load(Relaxed), Relaxed);
        self.outcomes.store(other.outcomes(), Relaxed);
    }
}

fn within_reach(off: f64, variance: f64) -> f64 {
    let reach = REACH * variance.max(LEAST_VARIANCE).sqrt();
    off.clamp(-reach, reach)
}

fn bounded(level: f64) -> f64 {
    if level.is_finite() { level.clamp(-MAX_LEVEL, MAX_LEVEL) } else { 0.0 }
}

/// Two numbers in one word, so that both change in one atomic store.
pub(crate) fn pack(a: f64, b: f64) -> u64 {
    num::pack(num::to_f32(a).to_bits(), num::to_f32(b).to_bits())
}

/// What [`pack`] made.
pub(crate) fn unpack(word: u64) -> (f64, f64) {
    (f64::from(f32::from_bits(num::high(word))), f64::from(f32::from_bits(num::low(word))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `count` outcomes at loads that come and go, from an engine that is off by `truth(x)`.
    fn taught(line: &Line, count: u32, truth: impl Fn(f64) -> f64) {
        for turn in 0..count {
            let x = 2.0 + 1.5 * (f64::from(turn) * 0.7).sin();
            line.learn(truth(x), x, 1.0, 0.0);
        }
    }

    #[test]
    fn an_engine_that_is_wrong_under_load_only_is_not_condemned_when_idle() {
        let line = Line::new();
        // As the prior at e^0.5, three times slower per e-fold of load beyond it.
        taught(&line, 300, |x| 0.8 * (x - 0.5));
        assert!(line.at(0.7).abs() < 0.25, "idle: {}", line.at(0.7));
        assert!((line.at(3.3) - 2.24).abs() < 0.25, "loaded: {}", line.at(3.3));
    }

    #[test]
    fn a_lasting_change_of_level_arrives_within_fifty_outcomes() {
        let line = Line::new();
        taught(&line, 200, |_| 0.0);
        taught(&line, 50, |_| 2f64.ln());
        for x in [0.5, 2.0, 3.5] {
            assert!((line.at(x) - 2f64.ln()).abs() < 0.1, "{x}: {}", line.at(x));
        }
    }

    #[test]
    fn a_slope_is_not_carried_beyond_what_was_seen() {
        let line = Line::new();
        taught(&line, 300, |x| x - 2.0);
        assert_eq!(line.at(9.0), line.at(90.0));
        assert!(line.at(9.0) < 3.0, "{}", line.at(9.0));
    }

    #[test]
    fn one_load_teaches_no_slope() {
        let line = Line::new();
        (0..100).for_each(|_| line.learn(0.7, 1.0, 1.0, 0.0));
        assert!((line.at(1.0) - 0.7).abs() < 1e-3 && (line.at(3.0) - 0.7).abs() < 1e-3);
    }

    #[test]
    fn what_is_out_of_date_gives_way_at_once() {
        let line = Line::new();
        taught(&line, 100, |_| 1.0);
        line.learn(0.0, 2.0, 1.0, 0.9);
        assert!(line.at(2.0) < 0.2, "{}", line.at(2.0));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_other_than_a_bounded_number(
            outcomes in prop::collection::vec((any::<f64>(), any::<f64>(), 0.0..2.0f64, 0.0..1.0f64), 0..50),
            x in any::<f64>(),
        ) {
            let line = Line::new();
            outcomes.iter().for_each(|&(ln, x, weight, fresh)| line.learn(ln, x, weight, fresh));
            prop_assert!(line.at(x).abs() <= MAX_LEVEL, "{}", line.at(x));
        }
    }
}
