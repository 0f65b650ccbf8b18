//! The oracle: who will be done first, asked of the engines themselves.

use gearshift_selector::Index;

use super::{Fleet, Policy, Ticket, Trip, View, least};

/// Takes the backend that would end this answer first if nothing else came, by the engine's true state and the
/// answer's true length. Greedy: what the choice does to later requests is not weighed, so under overload others may do
/// better.
#[derive(Debug)]
pub struct Oracle {
    seed: u64,
    rng: fastrand::Rng,
    round_trips: Vec<f64>,
}

impl Oracle {
    /// With its own randomness, which equals need.
    pub fn new(seed: u64) -> Self {
        Self { seed, rng: fastrand::Rng::with_seed(seed), round_trips: Vec::new() }
    }
}

impl Policy for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn begin(&mut self, fleet: &Fleet, _kv_tokens: &[u64]) {
        self.rng = fastrand::Rng::with_seed(self.seed);
        self.round_trips = fleet.members.iter().map(|member| member.round_trip.as_secs_f64()).collect();
    }

    fn send(&mut self, _ticket: Ticket, trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let end_s = |at: Index| self.round_trips[at] + view.stations[at].forecast(trip, view.now).e2e_s;
        least(view.candidates(tried), &mut self.rng, end_s)
    }
}
