//! Calibration: how far the engine that is really there is from the prior, learned from outcomes.
//!
//! One [`Line`] for TTFT and one for TPOT, as a wrong idea of compute and of bandwidth are different errors. Each is a level and a
//! slope, in log space: what the prior misses at an engine depends on how much it has to do. All is forgotten
//! exponentially, by outcomes and by time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    Moment,
    ewma::LogMean,
    line::{GAIN, Line, pack, unpack},
};

/// Of the spread alone: least weight of one outcome, and the largest error it counts with.
const SPREAD: (f32, f32) = (0.1, 1.0);

/// What an engine may drift by unseen, natural log per square root of a minute: about a third in one minute, as
/// other tenants come and go. Assumed, not measured.
const DRIFT: f64 = 0.3;
/// Noise of outcomes is at least this, natural log: no engine is steadier.
const LEAST_NOISE: f64 = 0.1;
/// How long a level has to last to be an engine's usual one, seconds.
const USUAL_S: f64 = 600.0;
/// From so many outcomes on, what is usual changes with time alone.
const USUAL_OUTCOMES: u32 = 20;
/// Silence after which an engine that is slower than usual is taken to have come back two thirds of the way, seconds: throttling and busy
/// neighbours pass within minutes.
const RECOVERY_S: f64 = 30.0;
/// Silence after which an engine that is usually slow is taken to have come two thirds of the way to what is assumed of a stranger.
const REPAIR_S: f64 = 600.0;

/// Where on its lines a request is at an engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct At {
    ttft: f64,
    tpot: f64,
}

impl At {
    /// By what the load is seen: the prior's time to first token, seconds, in which queue and prompt are; and how many sequences
    /// are decoded together.
    pub(crate) fn new(prior_ttft_s: f64, concurrency: f64) -> Self {
        Self { ttft: prior_ttft_s.ln(), tpot: concurrency.ln() }
    }
}

/// Correction of one backend's prior.
#[derive(Debug)]
pub(crate) struct Calibration {
    ttft: Line,
    tpot: Line,
    /// How far outcomes are from what was expected, as a factor ≥ 1.
    spread: LogMean,
    /// Levels of TTFT and TPOT over the last [`USUAL_S`], `f32` each.
    usual: AtomicU64,
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
        let (gain, bound) = SPREAD;
        Self {
            ttft: Line::new(),
            tpot: Line::new(),
            spread: LogMean::new(1.0, gain, bound),
            usual: AtomicU64::new(0),
            at: AtomicU64::new(0),
        }
    }

    /// Factors for TTFT and TPOT.
    pub(crate) fn factors(&self, at: &At) -> (f64, f64) {
        (self.ttft.at(at.ttft).exp(), self.tpot.at(at.tpot).exp())
    }

    /// Factors after `silence_s` in which nothing could be learned. An engine that is avoided for what it did cannot show that it
    /// no longer does. So what speaks against it fades: soon what is not usual of it, and late what is, towards the levels that are assumed of a
    /// `stranger`. Once somebody tries it, the outcome counts for as much as is out of date.
    pub(crate) fn factors_after(&self, at: &At, silence_s: f64, stranger: (f64, f64)) -> (f64, f64) {
        let usual = unpack(self.usual.load(Relaxed));
        let (recovered, repaired) = ((-silence_s / RECOVERY_S).exp(), (-silence_s / REPAIR_S).exp());
        let fade = |from: f64, to: f64, left: f64| if from > to { to + (from - to) * left } else { from };
        let faded = |line: &Line, at: f64, usual: f64, stranger: f64| {
            let level = line.level();
            let now = fade(fade(level, usual, recovered), stranger, repaired);
            (line.at(at) + now - level).exp()
        };
        (faded(&self.ttft, at.ttft, usual.0, stranger.0), faded(&self.tpot, at.tpot, usual.1, stranger.1))
    }

    /// Natural logs of the factors for TTFT and TPOT at the loads that are usually seen.
    pub(crate) fn levels(&self) -> (f64, f64) {
        (self.ttft.level(), self.tpot.level())
    }

    /// The same, each where any outcome has told of it.
    pub(crate) fn known_levels(&self) -> (Option<f64>, Option<f64>) {
        let (levels, outcomes) = (self.levels(), self.outcomes());
        ((outcomes.0 > 0).then_some(levels.0), (outcomes.1 > 0).then_some(levels.1))
    }

    /// By how much TTFT and TPOT are now slower than usual, as factors.
    pub(crate) fn drift(&self) -> (f64, f64) {
        let (usual, (ttft, tpot)) = (unpack(self.usual.load(Relaxed)), self.levels());
        ((ttft - usual.0).exp(), (tpot - usual.1).exp())
    }

    /// Forgets all; from now on as `other`, with its factors divided by `by`.
    pub(crate) fn restart_from(&self, other: &Self, by: (f64, f64)) {
        let by = (by.0.ln(), by.1.ln());
        self.ttft.restart_from(&other.ttft, by.0);
        self.tpot.restart_from(&other.tpot, by.1);
        let usual = unpack(other.usual.load(Relaxed));
        self.usual.store(pack(usual.0 - by.0, usual.1 - by.1), Relaxed);
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

    /// How many outcomes TTFT and TPOT rest on.
    pub(crate) fn outcomes(&self) -> (u32, u32) {
        (self.ttft.outcomes(), self.tpot.outcomes())
    }

    /// Factors at the usual loads, and how many outcomes they rest on.
    pub(crate) fn read(&self) -> (f64, f64, u64) {
        let ((ttft, tpot), outcomes) = (self.levels(), self.outcomes());
        (ttft.exp(), tpot.exp(), u64::from(outcomes.0.max(outcomes.1)))
    }

    /// How far the factors may be off at `now`, natural log: the noise of outcomes in a forgetting mean, and what may
    /// have changed since the last one. Zero before the first outcome: then all there is is the prior, for every
    /// backend alike.
    pub(crate) fn doubt(&self, now: Moment) -> f64 {
        let at = self.at.load(Relaxed);
        if at == 0 {
            return 0.0;
        }
        let noise = self.spread.value().ln() * (GAIN / (2.0 - GAIN)).sqrt();
        noise.hypot(drift(now.seconds_since(Moment(at))))
    }

    /// Learns from the outcome of a request that was sent at `sent`.
    pub(crate) fn learn(&self, sample: Sample, at: &At, sent: Moment, now: Moment) {
        let since = Moment(self.at.fetch_max(now.0, Relaxed));
        let since = if since == Moment(0) { now } else { since };
        let (silence_s, passed_s) = (sent.seconds_since(since), now.seconds_since(since));
        let noise = self.spread.value().ln().max(LEAST_NOISE);
        // The gain of a Kalman filter whose state has drifted since: after a long silence one outcome says more than all before.
        let drifted = drift(silence_s).powi(2);
        let fresh = drifted / (drifted + noise * noise);
        let (ttft_ln, tpot_ln) = (self.ttft.at(at.ttft), self.tpot.at(at.tpot));
        self.spread.observe(surprise(sample, (ttft_ln, tpot_ln)), 1.0);
        match sample {
            Sample::Parts { ttft, tpot } => {
                ttft.into_iter().for_each(|ratio| self.ttft.learn(ratio.ln(), at.ttft, 1.0, fresh));
                tpot.into_iter().for_each(|ratio| self.tpot.learn(ratio.ln(), at.tpot, 1.0, fresh));
            }
            Sample::Whole { ratio, ttft_share } => {
                // Blame follows the predicted shares: the larger part explains more of the error.
                self.ttft.learn(ratio.ln() + ttft_ln, at.ttft, ttft_share, fresh);
                self.tpot.learn(ratio.ln() + tpot_ln, at.tpot, 1.0 - ttft_share, fresh);
            }
        }
        self.settle(passed_s);
    }

    /// What is usual follows what is.
    fn settle(&self, passed_s: f64) {
        let (levels, outcomes) = (self.levels(), self.outcomes());
        let outcomes = outcomes.0.max(outcomes.1);
        let first = if outcomes <= USUAL_OUTCOMES { f64::from(outcomes.max(1)).recip() } else { 0.0 };
        let gain = first.max(1.0 - (-passed_s / USUAL_S).exp());
        let step = |word| {
            let (ttft, tpot) = unpack(word);
            Some(pack(ttft + gain * (levels.0 - ttft), tpot + gain * (levels.1 - tpot)))
        };
        let _ = self.usual.fetch_update(Relaxed, Relaxed, step);
    }
}

/// How far an engine may have drifted, natural log.
fn drift(silence_s: f64) -> f64 {
    DRIFT * (silence_s / 60.0).sqrt()
}

/// How many times larger or smaller the outcome was than expected; the part that surprised more.
fn surprise(sample: Sample, (ttft_ln, tpot_ln): (f64, f64)) -> f64 {
    let off = |ratio: f64, ln: f64| (ratio.ln() - ln).abs();
    match sample {
        Sample::Parts { ttft, tpot } => {
            let ttft = ttft.map_or(0.0, |ratio| off(ratio, ttft_ln));
            ttft.max(tpot.map_or(0.0, |ratio| off(ratio, tpot_ln))).exp()
        }
        Sample::Whole { ratio, .. } => off(ratio, 0.0).exp(),
    }
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
