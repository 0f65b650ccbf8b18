//! How far the meta-learner is believed at one backend: as far as its corrections have explained what came.
//!
//! Each outcome compares two forecasts made before it: the prior × its calibration, off by `e` (logarithm of actual over
//! predicted), and the learner's × its own calibration, which differs from the first by `d`. The weight of the learner that would
//! have left the least squared error is the regression of `e` on `d`, `Σ e·d / Σ d²`, over outcomes that count less as
//! they get older: stacking (Wolpert 1992), online. One standard error is taken off, so that a learner that adds noise ends up with no
//! say instead of the say that noise grants it; one that is right keeps nearly all of it.
//!
//! Before outcomes have told anything of an engine the learner is believed in full: knowing engines that nobody has measured is
//! what it is for. That fades as calibration sets in.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::line::{pack, unpack};

/// Weight that an outcome loses with each one after it: some 250 count.
const FORGET: f64 = 0.004;
/// Outcomes over which belief without evidence fades.
const UNSEEN_OUTCOMES: f64 = 20.0;
/// Error of calibrated forecasts, natural log: what the standard error of the weight is worked out from.
const NOISE: f64 = 0.2;
/// Logarithms beyond this are no forecast's merit or fault.
const BOUND: f64 = 1.0;

/// Weight of the learner for one of TTFT and TPOT at one backend.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Σ e·d and Σ d², `f32` each: they change together.
    sums: AtomicU64,
}

impl Gate {
    /// No evidence.
    pub(crate) fn new() -> Self {
        Self { sums: AtomicU64::new(0) }
    }

    /// Without evidence again.
    pub(crate) fn restart(&self) {
        self.sums.store(0, Relaxed);
    }

    /// Weight of the learner's correction, 0–1, at a backend of which calibration has seen so many outcomes.
    pub(crate) fn weight(&self, outcomes: u32) -> f64 {
        let (merit, moved) = unpack(self.sums.load(Relaxed));
        let earned = if moved > 0.0 { (merit - NOISE * moved.sqrt()) / moved } else { 0.0 };
        earned.max(1.0 - f64::from(outcomes) / UNSEEN_OUTCOMES).clamp(0.0, 1.0)
    }

    /// Compares forecasts: `error`, ln of actual over the prior's, and `correction`, ln of the learner's over the prior's, all calibrated.
    pub(crate) fn learn(&self, error: f64, correction: f64) {
        if !(error.is_finite() && correction.is_finite()) {
            return;
        }
        let (error, correction) = (error.clamp(-BOUND, BOUND), correction.clamp(-BOUND, BOUND));
        let step = |word| {
            let (merit, moved) = unpack(word);
            let keep = 1.0 - FORGET;
            Some(pack(keep * merit + error * correction, keep * moved + correction * correction))
        };
        let _ = self.sums.fetch_update(Relaxed, Relaxed, step);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Weight after 400 outcomes: the learner says `correction`, of which `right` is true, amid noise of 20 %.
    fn weight(right: f64) -> f64 {
        let (gate, mut rng) = (Gate::new(), fastrand::Rng::with_seed(5));
        for _ in 0..400 {
            let correction = 0.6 * (rng.f64() - 0.5);
            gate.learn(right * correction + 0.7 * (rng.f64() - 0.5), correction);
        }
        gate.weight(400)
    }

    #[test]
    fn a_learner_is_believed_as_far_as_it_is_right() {
        assert!(weight(1.0) > 0.8, "{}", weight(1.0));
        assert!((0.2..0.7).contains(&weight(0.5)), "{}", weight(0.5));
        assert!(weight(0.0) < 0.1, "noise: {}", weight(0.0));
        assert_eq!(weight(-1.0), 0.0, "the wrong way");
    }

    #[test]
    fn belief_without_evidence_fades_as_the_engine_gets_known() {
        let gate = Gate::new();
        assert_eq!([0, 10, 20, 1000].map(|outcomes| gate.weight(outcomes)), [1.0, 0.5, 0.0, 0.0]);
    }

    #[test]
    fn a_learner_that_turns_bad_loses_its_weight() {
        let gate = Gate::new();
        let swing = |turn: u32| if turn.is_multiple_of(2) { 0.3 } else { -0.3 };
        (0..1000).for_each(|turn| gate.learn(swing(turn), swing(turn)));
        assert!(gate.weight(1000) > 0.9, "{}", gate.weight(1000));
        (0..100).for_each(|_| gate.learn(0.0, 0.8));
        assert!(gate.weight(1100) < 0.25, "{}", gate.weight(1100));
    }

    proptest! {
        #[test]
        fn a_weight_is_a_weight(outcomes in prop::collection::vec((any::<f64>(), any::<f64>()), 0..50)) {
            let gate = Gate::new();
            outcomes.iter().for_each(|&(error, correction)| gate.learn(error, correction));
            prop_assert!((0.0..=1.0).contains(&gate.weight(50)));
        }
    }
}
