//! How far the meta-learner is believed at one backend: as far as its corrections have explained what came.
//!
//! Each outcome compares two forecasts made before it: the prior × its calibration, off by `e` (logarithm of actual over
//! predicted), and the learner's × its own calibration, which differs from the first by `d`. The weight of the learner that would
//! have left the least squared error is the regression of `e` on `d`, `Σ e·d / Σ d²`, over outcomes that count less as
//! they get older: stacking (Wolpert 1992), online. One standard error is taken off, so that a learner that adds noise ends up with no
//! say instead of the say that noise grants it; one that is right keeps nearly all of it.
//!
//! Before outcomes have told anything of an engine the learner has no say there. What it is trained on are mostly windows at a constant load, whose mean
//! times hold waiting that a request's situation does not show, and a fleet that is new is filling up: in the routing study its guess of how
//! far the prior is off in general made choices in such a fleet worse. For the same reason the first outcomes do not count: both calibrations are still looking for
//! that level, and who was nearer to it then says nothing of who is once they have found it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::line::{pack, unpack};

/// Weight that an outcome loses with each one after it: some 250 count.
const FORGET: f64 = 0.004;
/// Outcomes after which a calibration has found its level: from here on it forgets by [`GAIN`](crate::line::GAIN).
const LEVEL_OUTCOMES: u32 = 8;
/// Error of calibrated forecasts, natural log: what the standard error of the weight is worked out from.
const NOISE: f64 = 0.2;
/// Logarithms beyond this are no forecast's merit or fault.
const BOUND: f64 = 1.0;

/// Weight of the learner for one of TTFT and TPOT at one backend.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Σ e·d and Σ d², `f32` each: they change together.
    sums: AtomicU64,
    /// Outcomes compared.
    compared: AtomicU32,
}

impl Gate {
    /// No evidence.
    pub(crate) fn new() -> Self {
        Self { sums: AtomicU64::new(0), compared: AtomicU32::new(0) }
    }

    /// Without evidence again.
    pub(crate) fn restart(&self) {
        self.sums.store(0, Relaxed);
        self.compared.store(0, Relaxed);
    }

    /// Whether any outcome was compared.
    pub(crate) fn knows(&self) -> bool {
        self.compared.load(Relaxed) > 0
    }

    /// By how much the learner usually moves a prediction here, natural log: its weight times the usual size of what it says.
    pub(crate) fn say(&self) -> f64 {
        let (_, moved) = unpack(self.sums.load(Relaxed));
        let compared = f64::from(self.compared.load(Relaxed));
        let count = -(compared * (-FORGET).ln_1p()).exp_m1() / FORGET;
        if count > 0.0 { self.weight() * (moved / count).sqrt() } else { 0.0 }
    }

    /// Weight of the learner's correction, 0–1; 0 without evidence.
    pub(crate) fn weight(&self) -> f64 {
        let (merit, moved) = unpack(self.sums.load(Relaxed));
        if moved > 0.0 { ((merit - NOISE * moved.sqrt()) / moved).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Compares forecasts: `error`, ln of actual over the prior's, and `correction`, ln of the learner's over the prior's, all calibrated,
    /// the learner's on so many `outcomes` before.
    pub(crate) fn learn(&self, outcomes: u32, error: f64, correction: f64) {
        if outcomes < LEVEL_OUTCOMES || !(error.is_finite() && correction.is_finite()) {
            return;
        }
        let (error, correction) = (error.clamp(-BOUND, BOUND), correction.clamp(-BOUND, BOUND));
        let step = |word| {
            let (merit, moved) = unpack(word);
            let keep = 1.0 - FORGET;
            Some(pack(keep * merit + error * correction, keep * moved + correction * correction))
        };
        let _ = self.sums.fetch_update(Relaxed, Relaxed, step);
        let _ = self.compared.fetch_update(Relaxed, Relaxed, |count| count.checked_add(1));
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
            gate.learn(LEVEL_OUTCOMES, right * correction + 0.7 * (rng.f64() - 0.5), correction);
        }
        gate.weight()
    }

    #[test]
    fn a_learner_is_believed_as_far_as_it_is_right() {
        assert!(weight(1.0) > 0.8, "{}", weight(1.0));
        assert!((0.2..0.7).contains(&weight(0.5)), "{}", weight(0.5));
        assert!(weight(0.0) < 0.1, "noise: {}", weight(0.0));
        assert_eq!(weight(-1.0), 0.0, "the wrong way");
    }

    #[test]
    fn without_evidence_there_is_no_belief_and_an_engine_has_to_be_known_to_give_it() {
        let gate = Gate::new();
        assert_eq!((gate.weight(), gate.say()), (0.0, 0.0));
        (0..LEVEL_OUTCOMES).for_each(|outcomes| gate.learn(outcomes, 0.5, 0.5));
        assert_eq!((gate.weight(), gate.knows()), (0.0, false));
        (0..20).for_each(|more| gate.learn(LEVEL_OUTCOMES + more, 0.5, 0.5));
        assert!(gate.weight() > 0.8 && gate.knows(), "{}", gate.weight());
    }

    #[test]
    fn a_say_is_how_far_predictions_are_moved() {
        let gate = Gate::new();
        let swing = |turn: u32| if turn.is_multiple_of(2) { 0.3 } else { -0.3 };
        (0..2000).for_each(|turn| gate.learn(turn + 8, swing(turn), swing(turn)));
        assert!((0.27..0.3001).contains(&gate.say()), "{}", gate.say());
        let small = Gate::new();
        (0..2000).for_each(|turn| small.learn(turn + 8, swing(turn), swing(turn) / 30.0));
        assert!(small.say() <= 0.0101, "right and next to nothing: {}", small.say());
    }

    #[test]
    fn a_learner_that_turns_bad_loses_its_weight() {
        let gate = Gate::new();
        let swing = |turn: u32| if turn.is_multiple_of(2) { 0.3 } else { -0.3 };
        (0..1000).for_each(|turn| gate.learn(turn + 8, swing(turn), swing(turn)));
        assert!(gate.weight() > 0.9, "{}", gate.weight());
        (0..100).for_each(|_| gate.learn(1100, 0.0, 0.8));
        assert!(gate.weight() < 0.25, "{}", gate.weight());
    }

    proptest! {
        #[test]
        fn a_weight_is_a_weight(outcomes in prop::collection::vec((any::<f64>(), any::<f64>()), 0..50)) {
            let gate = Gate::new();
            outcomes.iter().for_each(|&(error, correction)| gate.learn(8, error, correction));
            prop_assert!((0.0..=1.0).contains(&gate.weight()));
        }
    }
}
