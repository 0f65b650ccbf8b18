//! Power of two choices: the less busy of two that chance names.

use gearshift_selector::Index;

use super::{Fleet, Policy, Ticket, Trip, View, two_of};

/// Takes the one with fewer requests under way of two random healthy backends.
#[derive(Debug)]
pub struct PowerOfTwo {
    seed: u64,
    rng: fastrand::Rng,
}

impl PowerOfTwo {
    /// With its own randomness.
    pub fn new(seed: u64) -> Self {
        Self { seed, rng: fastrand::Rng::with_seed(seed) }
    }
}

impl Policy for PowerOfTwo {
    fn name(&self) -> &'static str {
        "p2c"
    }

    fn begin(&mut self, _fleet: &Fleet, _kv_tokens: &[u64]) {
        self.rng = fastrand::Rng::with_seed(self.seed);
    }

    fn send(&mut self, _ticket: Ticket, _trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let (first, second) = two_of(&view.candidates(tried), &mut self.rng)?;
        Some(if view.outstanding[second] < view.outstanding[first] { second } else { first })
    }
}
