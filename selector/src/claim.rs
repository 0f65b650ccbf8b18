//! What is claimed of a backend, and whether the measurements contradict it.
//!
//! Declared hardware and profile make the prior. The prior is off by a third or so for engines that are what they claim; one that is off by
//! much more is not what it claims, or not well. A flag says so to people. The decision needs none: calibration has moved its
//! share long before.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::calibration::Calibration;

/// A part of what is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// How fast it computes, and what its prefix cache saves: by the time to first token.
    Prefill,
    /// Its memory's bandwidth: by the time per output token.
    Decode,
    /// That it is near, which is assumed of all: by the network's round trip.
    Network,
}

/// A factor from which a claim is contradicted, and one below which it no longer is. Chosen, not fitted: far enough from the third or so that the
/// prior is off that `gearshift-loadtest route --adapt` flags none of its honest engines, which are simulated.
const SLOWER: Bounds = Bounds { raise: 2.5, clear: 1.8 };
/// The same of round trips, seconds: another continent.
const FARTHER: Bounds = Bounds { raise: 0.1, clear: 0.07 };
/// Outcomes before which nothing is concluded. Each moves the level by a bounded step: this many have to agree.
pub(crate) const LEAST_OUTCOMES: u32 = 4;

struct Bounds {
    raise: f64,
    clear: f64,
}

impl Claim {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Prefill, Self::Decode, Self::Network];

    /// As serialized, for labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Network => "network",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Which claims are contradicted now.
#[derive(Debug, Default)]
pub(crate) struct Contradicted {
    bits: AtomicU8,
}

impl Contradicted {
    pub(crate) fn has(&self, claim: Claim) -> bool {
        self.bits.load(Relaxed) & claim.bit() != 0
    }

    /// After an outcome.
    pub(crate) fn judge(&self, calibration: &Calibration) {
        let (levels, outcomes) = (calibration.levels(), calibration.outcomes());
        for (claim, level, outcomes) in
            [(Claim::Prefill, levels.0, outcomes.0), (Claim::Decode, levels.1, outcomes.1)]
        {
            if outcomes >= LEAST_OUTCOMES {
                self.hold(claim, level.exp(), &SLOWER);
            }
        }
    }

    /// After a round trip was measured; its mean.
    pub(crate) fn judge_round_trip(&self, seconds: f64) {
        self.hold(Claim::Network, seconds, &FARTHER);
    }

    fn hold(&self, claim: Claim, measured: f64, bounds: &Bounds) {
        let bound = if self.has(claim) { bounds.clear } else { bounds.raise };
        if measured >= bound {
            self.bits.fetch_or(claim.bit(), Relaxed);
        } else {
            self.bits.fetch_and(!claim.bit(), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Moment,
        calibration::{At, Sample},
    };

    fn teach(calibration: &Calibration, contradicted: &Contradicted, count: u32, ttft: f64, tpot: f64) {
        let sample = Sample::Parts { ttft: Some(ttft), tpot: Some(tpot) };
        for _ in 0..count {
            calibration.learn(sample, &At::new(0.1, 4.0), Moment(1), Moment(1));
            contradicted.judge(calibration);
        }
    }

    #[test]
    fn a_flag_takes_evidence_to_rise_and_to_fall() {
        let (calibration, contradicted) = (Calibration::new(), Contradicted::default());
        teach(&calibration, &contradicted, 3, 1.0, 10.0);
        assert!(!contradicted.has(Claim::Decode), "three outcomes are too few");
        teach(&calibration, &contradicted, 10, 1.0, 10.0);
        assert!(contradicted.has(Claim::Decode) && !contradicted.has(Claim::Prefill));
        teach(&calibration, &contradicted, 100, 1.0, 2.2);
        assert!(contradicted.has(Claim::Decode), "between the bounds a flag stays");
        teach(&calibration, &contradicted, 50, 1.0, 1.2);
        assert!(!contradicted.has(Claim::Decode));
        teach(&calibration, &contradicted, 100, 1.0, 2.2);
        assert!(!contradicted.has(Claim::Decode), "and stays down");
    }

    #[test]
    fn far_is_flagged_apart() {
        let contradicted = Contradicted::default();
        contradicted.judge_round_trip(0.18);
        assert_eq!(Claim::ALL.map(|claim| contradicted.has(claim)), [false, false, true]);
        contradicted.judge_round_trip(0.08);
        assert!(contradicted.has(Claim::Network));
        contradicted.judge_round_trip(0.02);
        assert!(!contradicted.has(Claim::Network));
    }
}
