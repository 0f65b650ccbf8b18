//! Calibration: how far the engine that is really there is from the prior, learned from outcomes.
//!
//! One factor for TTFT and one for TPOT, as a wrong idea of compute and of bandwidth are different errors. Both live
//! in log space, forget exponentially (a floor of one tenth a sample: a twofold slowdown is learned to 1 % within 45
//! requests) and move by a bounded step (see [`LogMean`]).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Moment, ewma::LogMean};

/// Least weight of one outcome.
const GAIN: f32 = 0.1;
/// Largest error one outcome counts with, natural log.
const BOUND: f32 = 1.0;
/// Factors stay within this range of 1, so that garbage in cannot banish a backend for good.
const MAX_FACTOR: f64 = 1000.0;

/// What an engine may drift by unseen, natural log per square root of a minute: about a third in one minute, as
/// other tenants come and go. Assumed, not measured.
const DRIFT: f64 = 0.3;

/// Correction of one backend's prior.
#[derive(Debug)]
pub(crate) struct Calibration {
    ttft: LogMean,
    tpot: LogMean,
    /// How far outcomes are from what was expected, as a factor ≥ 1.
    spread: LogMean,
    /// When it last learned, nanoseconds.
    at: AtomicU64,
}

/// What actual over predicted was, of the uncalibrated prior, for one outcome.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sample {
    /// A stream: both parts were seen apart. TPOT only where enough tokens came to measure it.
    Parts {
        /// Actual/prior time to first token, where it says something about the engine.
        ttft: Option<f64>,
        /// Actual/prior time per output token.
        tpot: Option<f64>,
    },
    /// Only the end was seen: actual/calibrated time in total, and the share of it that was predicted as TTFT.
    Whole {
        /// Actual/calibrated total.
        ratio: f64,
        /// 0–1.
        ttft_share: f64,
    },
}

impl Calibration {
    pub(crate) fn new() -> Self {
        let mean = || LogMean::new(1.0, GAIN, BOUND);
        Self { ttft: mean(), tpot: mean(), spread: mean(), at: AtomicU64::new(0) }
    }

    /// Factors for TTFT and TPOT.
    pub(crate) fn factors(&self) -> (f64, f64) {
        (bounded(self.ttft.value()), bounded(self.tpot.value()))
    }

    /// Forgets all; from now on as `other`, with its factors divided by `by`.
    pub(crate) fn restart_from(&self, other: &Self, by: (f64, f64)) {
        let (ttft, tpot) = other.factors();
        self.ttft.restart(ttft / by.0, other.ttft.samples());
        self.tpot.restart(tpot / by.1, other.tpot.samples());
        self.spread.restart(other.spread.value(), other.spread.samples());
        self.at.store(other.at.load(Relaxed), Relaxed);
    }

    /// When it last learned, nanoseconds; 0 for never.
    pub(crate) fn learned_at(&self) -> u64 {
        self.at.load(Relaxed)
    }

    /// Whether any outcome was learned from.
    pub(crate) fn knows(&self) -> bool {
        self.at.load(Relaxed) > 0
    }

    /// Factors and how many outcomes they rest on.
    pub(crate) fn read(&self) -> (f64, f64, u64) {
        let (ttft, tpot) = self.factors();
        (ttft, tpot, u64::from(self.ttft.samples().max(self.tpot.samples())))
    }

    /// How far the factors may be off at `now`, natural log: the noise of outcomes in a forgetting mean, and what may
    /// have changed since the last one. Zero before the first outcome: then all there is is the prior, for every
    /// backend alike.
    pub(crate) fn doubt(&self, now: Moment) -> f64 {
        let at = self.at.load(Relaxed);
        if at == 0 {
            return 0.0;
        }
        let gain = f64::from(GAIN);
        let noise = self.spread.value().ln() * (gain / (2.0 - gain)).sqrt();
        let drift = DRIFT * (now.seconds_since(Moment(at)) / 60.0).sqrt();
        noise.hypot(drift)
    }

    /// Learns from one outcome.
    pub(crate) fn learn(&self, sample: Sample, now: Moment) {
        self.at.fetch_max(now.0, Relaxed);
        self.spread.observe(self.surprise(sample), 1.0);
        match sample {
            Sample::Parts { ttft, tpot } => {
                ttft.into_iter().for_each(|ratio| self.ttft.observe(ratio, 1.0));
                tpot.into_iter().for_each(|ratio| self.tpot.observe(ratio, 1.0));
            }
            Sample::Whole { ratio, ttft_share } => {
                // Blame follows the predicted shares: the larger part explains more of the error.
                let (ttft, tpot) = self.factors();
                self.ttft.observe(ratio * ttft, ttft_share);
                self.tpot.observe(ratio * tpot, 1.0 - ttft_share);
            }
        }
    }

    /// How many times larger or smaller the outcome was than expected; the part that surprised more.
    fn surprise(&self, sample: Sample) -> f64 {
        let (ttft_factor, tpot_factor) = self.factors();
        let off = |ratio: f64| ratio.max(ratio.recip());
        match sample {
            Sample::Parts { ttft, tpot } => {
                let ttft = ttft.map_or(1.0, |ratio| off(ratio / ttft_factor));
                ttft.max(tpot.map_or(1.0, |ratio| off(ratio / tpot_factor)))
            }
            Sample::Whole { ratio, .. } => off(ratio),
        }
    }
}

fn bounded(factor: f64) -> f64 {
    factor.clamp(MAX_FACTOR.recip(), MAX_FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_000_000_000);

    fn parts(ttft: f64, tpot: f64) -> Sample {
        Sample::Parts { ttft: Some(ttft), tpot: Some(tpot) }
    }

    #[test]
    fn the_two_parts_are_learned_apart() {
        let calibration = Calibration::new();
        (0..60).for_each(|_| calibration.learn(parts(3.0, 0.5), NOW));
        let (ttft, tpot, samples) = calibration.read();
        assert!((ttft - 3.0).abs() < 0.03 && (tpot - 0.5).abs() < 0.005, "{ttft} {tpot}");
        assert_eq!(samples, 60);
    }

    #[test]
    fn whole_answers_teach_the_part_that_dominates() {
        let calibration = Calibration::new();
        for _ in 0..80 {
            let (ttft, tpot) = calibration.factors();
            // The prior says 0.1 s + 0.9 s; really decode takes twice that.
            let predicted = 0.1 * ttft + 0.9 * tpot;
            let ratio = (0.1 + 1.8) / predicted;
            calibration.learn(Sample::Whole { ratio, ttft_share: 0.1 * ttft / predicted }, NOW);
        }
        let (ttft, tpot) = calibration.factors();
        assert!((0.1 * ttft + 0.9 * tpot - 1.9).abs() < 0.02, "{ttft} {tpot}");
        assert!(tpot > 1.9, "{tpot}");
    }

    #[test]
    fn doubt_is_noise_plus_what_may_have_changed_since() {
        let calibration = Calibration::new();
        assert_eq!(calibration.doubt(NOW), 0.0);
        (0..200).for_each(|_| calibration.learn(parts(2.0, 2.0), NOW));
        assert!(calibration.doubt(NOW) < 0.01, "a steady engine is known well: {}", calibration.doubt(NOW));
        let later = NOW.after_seconds(60.0);
        assert!((calibration.doubt(later) - DRIFT).abs() < 0.01, "{}", calibration.doubt(later));
        let noisy = Calibration::new();
        for turn in 0..200 {
            noisy.learn(if turn % 2 == 0 { parts(1.0, 1.0) } else { parts(3.0, 3.0) }, NOW);
        }
        assert!((0.08..0.25).contains(&noisy.doubt(NOW)), "{}", noisy.doubt(NOW));
    }

    #[test]
    fn garbage_cannot_banish_a_backend() {
        let calibration = Calibration::new();
        (0..1000).for_each(|_| calibration.learn(parts(1e30, f64::NAN), NOW));
        assert_eq!(calibration.factors(), (MAX_FACTOR, 1.0));
    }
}
