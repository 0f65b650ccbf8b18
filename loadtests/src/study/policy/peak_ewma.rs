//! Power of two choices by peak-sensitive latency, as Finagle's `p2cPeakEwma` balances.

use gearshift_selector::Index;

use super::{Fleet, Policy, Signal, Ticket, Trip, View, two_of};
use crate::sim::Moment;

/// Finagle's default: a peak decays to 1/e in ten seconds.
const DECAY_S: f64 = 10.0;
/// Cost of a backend that has work and never answered: it gets no second request while others have answered.
const PENALTY: f64 = 1e9;

/// Of two random healthy backends, takes the one with the smaller latency × (requests under way + 1). Latency is
/// that of whole answers: it jumps to a slow one at once and forgets with time.
#[derive(Debug)]
pub struct PeakEwma {
    seed: u64,
    rng: fastrand::Rng,
    latencies: Vec<Latency>,
    /// When the attempt in each slot was sent.
    sent: Vec<Moment>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Latency {
    at: Moment,
    seconds: f64,
}

impl Latency {
    fn observe(&mut self, seconds: f64, now: Moment) {
        let keep = (-now.seconds_since(self.at) / DECAY_S).exp();
        self.seconds =
            if seconds > self.seconds { seconds } else { self.seconds * keep + seconds * (1.0 - keep) };
        self.at = now;
    }

    fn cost(&self, outstanding: u32, now: Moment) -> f64 {
        let outstanding = f64::from(outstanding);
        // Silence counts as an answer in no time: what was slow once is tried again.
        let seconds = self.seconds * (-now.seconds_since(self.at) / DECAY_S).exp();
        if self.seconds == 0.0 && outstanding > 0.0 {
            return PENALTY + outstanding;
        }
        seconds * (outstanding + 1.0)
    }
}

impl PeakEwma {
    /// With its own randomness.
    pub fn new(seed: u64) -> Self {
        Self { seed, rng: fastrand::Rng::with_seed(seed), latencies: Vec::new(), sent: Vec::new() }
    }
}

impl Policy for PeakEwma {
    fn name(&self) -> &'static str {
        "p2c-peak-ewma"
    }

    fn begin(&mut self, fleet: &Fleet, _kv_tokens: &[u64]) {
        self.rng = fastrand::Rng::with_seed(self.seed);
        self.latencies = vec![Latency::default(); fleet.members.len()];
        self.sent.clear();
    }

    fn send(&mut self, ticket: Ticket, _trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let (first, second) = two_of(&view.candidates(tried), &mut self.rng)?;
        let cost = |at: Index| self.latencies[at].cost(view.outstanding[at], view.now);
        let slot = ticket.slot as usize;
        if self.sent.len() <= slot {
            self.sent.resize(slot + 1, Moment(0));
        }
        self.sent[slot] = view.now;
        Some(if cost(second) < cost(first) { second } else { first })
    }

    fn heard(&mut self, ticket: Ticket, backend: Index, signal: Signal, now: Moment) {
        if let Signal::Finished(_) = signal {
            let seconds = now.seconds_since(self.sent[ticket.slot as usize]);
            self.latencies[backend].observe(seconds, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_counts_at_once_and_fades() {
        let mut latency = Latency::default();
        latency.observe(0.1, Moment(0));
        latency.observe(5.0, Moment(0));
        assert_eq!(latency.cost(0, Moment(0)), 5.0);
        assert_eq!(latency.cost(1, Moment(0)), 10.0);
        let later = Moment::default().after_seconds(10.0);
        assert!((latency.cost(0, later) - 5.0 / std::f64::consts::E).abs() < 1e-9);
    }

    #[test]
    fn a_backend_that_never_answered_gets_one_request() {
        assert_eq!(Latency::default().cost(0, Moment(0)), 0.0);
        assert!(Latency::default().cost(1, Moment(0)) >= PENALTY);
    }
}
