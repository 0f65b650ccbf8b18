//! Least outstanding: who has the fewest of this router's requests.

use gearshift_selector::Index;

use super::{Fleet, Policy, Ticket, Trip, View, least};

/// Takes the healthy backend with the fewest requests under way; any of equals.
#[derive(Debug)]
pub struct LeastOutstanding {
    seed: u64,
    rng: fastrand::Rng,
}

impl LeastOutstanding {
    /// With its own randomness.
    pub fn new(seed: u64) -> Self {
        Self { seed, rng: fastrand::Rng::with_seed(seed) }
    }
}

impl Policy for LeastOutstanding {
    fn name(&self) -> &'static str {
        "least-outstanding"
    }

    fn begin(&mut self, _fleet: &Fleet, _kv_tokens: &[u64]) {
        self.rng = fastrand::Rng::with_seed(self.seed);
    }

    fn send(&mut self, _ticket: Ticket, _trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        least(view.candidates(tried), &mut self.rng, |at| view.outstanding[at])
    }
}
