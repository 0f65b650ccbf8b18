//! Calibration of what the meta-learner makes of the prior.
//!
//! How far an engine is from prior × learner is another number than how far it is from the prior, and another one for each
//! bundle. It is kept apart for each bundle that decides, and begins where the prior's calibration is: so a bundle that comes
//! in, or is taken back, moves no engine that is known from outcomes. With it goes how far the bundle is believed there: not at
//! all at first, so that it moves no engine that nobody knows either; see [`Gate`].
//!
//! A bundle may bring factors of its own for the prior. These are part of what it says, and of the learner's factors here: the prior's calibration is
//! over the same prior under every bundle and under none.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Release},
};

use crate::{calibration::Calibration, gate::Gate, learner::Generation};

/// Bundles told apart: the one that decides, and the one before it or in its shadow.
const BUNDLES: usize = 2;

/// One backend's calibrations, by bundle.
#[derive(Debug)]
pub(crate) struct Relearned {
    slots: [Slot; BUNDLES],
}

#[derive(Debug)]
struct Slot {
    /// [`Generation`] it belongs to; 0 while free.
    owner: AtomicU32,
    learnt: Learnt,
}

/// What outcomes have taught of one bundle at one backend.
#[derive(Debug)]
pub(crate) struct Learnt {
    /// How far the engine is from prior × learner.
    pub(crate) calibration: Calibration,
    /// How far the learner's TTFT is believed.
    pub(crate) ttft: Gate,
    /// How far its TPOT is.
    pub(crate) tpot: Gate,
}

impl Learnt {
    /// Weights of the learner's TTFT and TPOT.
    pub(crate) fn weights(&self) -> (f64, f64) {
        (self.ttft.weight(), self.tpot.weight())
    }

    /// By how much the bundle usually moves a prediction here, natural log; see [`Gate::say`].
    pub(crate) fn say(&self) -> f64 {
        self.ttft.say().max(self.tpot.say())
    }

    /// Whether the bundle has any weight here.
    pub(crate) fn weighs(&self) -> bool {
        let (ttft, tpot) = self.weights();
        ttft > 0.0 || tpot > 0.0
    }

    /// Whether any outcome has been compared.
    pub(crate) fn compared(&self) -> bool {
        self.ttft.knows() || self.tpot.knows()
    }
}

impl Relearned {
    pub(crate) fn new() -> Self {
        let learnt = || Learnt { calibration: Calibration::new(), ttft: Gate::new(), tpot: Gate::new() };
        let slot = |_| Slot { owner: AtomicU32::new(0), learnt: learnt() };
        Self { slots: std::array::from_fn(slot) }
    }

    /// Where this bundle has been calibrated.
    pub(crate) fn of(&self, generation: Generation) -> Option<&Learnt> {
        let slot = self.slots.iter().find(|slot| slot.owner.load(Acquire) == generation.0)?;
        Some(&slot.learnt)
    }

    /// What was taught of this bundle. At its first use its calibration is what takes `factors`, the learner's, back to the calibrated
    /// level of the prior; `None` where that has not learned anything yet.
    pub(crate) fn seeded(
        &self,
        generation: Generation,
        prior: &Calibration,
        factors: (f64, f64),
    ) -> Option<&Learnt> {
        self.of(generation).or_else(|| prior.knows().then(|| self.begin(generation, prior, factors)))
    }

    /// As [`Self::of`]; begins with nothing learned where there is none.
    pub(crate) fn of_or_new(&self, generation: Generation) -> &Learnt {
        self.of(generation).unwrap_or_else(|| self.begin(generation, &Calibration::new(), (1.0, 1.0)))
    }

    /// Takes the slot that was used longest ago. Two cores that begin at once write nearly the same; a core that still decides
    /// by the bundle that is put out may read the new one's factors, once.
    fn begin(&self, generation: Generation, from: &Calibration, by: (f64, f64)) -> &Learnt {
        let [first, second] = &self.slots;
        let age = |slot: &Slot| match slot.owner.load(Acquire) {
            0 => 0,
            _ => slot.learnt.calibration.learned_at().max(1),
        };
        let slot = if age(first) <= age(second) { first } else { second };
        slot.owner.store(0, Release);
        slot.learnt.calibration.restart_from(from, by);
        slot.learnt.ttft.restart();
        slot.learnt.tpot.restart();
        slot.owner.store(generation.0, Release);
        &slot.learnt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Moment,
        calibration::{At, Sample},
    };

    const NOW: Moment = Moment(1_000_000_000);

    fn here() -> At {
        At::new(0.1, 4.0)
    }

    fn calibrated(ttft: f64, tpot: f64) -> Calibration {
        let calibration = Calibration::new();
        let sample = Sample::Parts { ttft: Some(ttft), tpot: Some(tpot) };
        (0..100).for_each(|_| calibration.learn(sample, &here(), NOW, NOW));
        calibration
    }

    #[test]
    fn a_new_bundle_begins_where_the_prior_is() {
        let (relearned, prior) = (Relearned::new(), calibrated(2.0, 3.0));
        let (ttft, tpot) =
            relearned.seeded(Generation(1), &prior, (4.0, 0.5)).unwrap().calibration.factors(&here());
        assert!((ttft * 4.0 - 2.0).abs() < 1e-3 && (tpot * 0.5 - 3.0).abs() < 1e-3, "{ttft} {tpot}");
        assert!(relearned.seeded(Generation(2), &Calibration::new(), (4.0, 0.5)).is_none());
    }

    #[test]
    fn what_was_learned_stays_until_a_third_bundle_comes() {
        let (relearned, prior) = (Relearned::new(), calibrated(2.0, 2.0));
        let learn = |generation, at| {
            let sample = Sample::Parts { ttft: Some(5.0), tpot: Some(5.0) };
            relearned.of_or_new(Generation(generation)).calibration.learn(
                sample,
                &here(),
                Moment(at),
                Moment(at),
            );
        };
        (0..50).for_each(|at| learn(1, 2_000_000_000 + at));
        relearned.seeded(Generation(2), &prior, (1.0, 1.0)).unwrap();
        let (ttft, _) =
            relearned.seeded(Generation(1), &prior, (1.0, 1.0)).unwrap().calibration.factors(&here());
        assert!((ttft - 5.0).abs() < 0.05, "the first is still there: {ttft}");
        learn(3, 3_000_000_000);
        assert!(relearned.of(Generation(2)).is_none(), "the one that was used longest ago goes");
        assert!(relearned.of(Generation(1)).is_some() && relearned.of(Generation(3)).is_some());
    }
}
