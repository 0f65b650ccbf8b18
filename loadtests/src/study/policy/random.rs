//! Random: any.

use gearshift_selector::Index;

use super::{Fleet, Policy, Ticket, Trip, View, least};

/// Takes any healthy backend.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    rng: fastrand::Rng,
}

impl Random {
    /// With its own randomness.
    pub fn new(seed: u64) -> Self {
        Self { seed, rng: fastrand::Rng::with_seed(seed) }
    }
}

impl Policy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn begin(&mut self, _fleet: &Fleet, _kv_tokens: &[u64]) {
        self.rng = fastrand::Rng::with_seed(self.seed);
    }

    fn send(&mut self, _ticket: Ticket, _trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        least(view.candidates(tried), &mut self.rng, |_| 0)
    }
}
