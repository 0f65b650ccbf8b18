//! Round robin: each in turn.

use gearshift_selector::Index;

use super::{Fleet, Policy, Ticket, Trip, View};

/// Takes the healthy backends in turn.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: usize,
}

impl Policy for RoundRobin {
    fn name(&self) -> &'static str {
        "round-robin"
    }

    fn begin(&mut self, _fleet: &Fleet, _kv_tokens: &[u64]) {
        self.next = 0;
    }

    fn send(&mut self, _ticket: Ticket, _trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let after = view.candidates(tried).find(|&at| at >= self.next);
        let chosen = after.or_else(|| view.candidates(tried).next())?;
        self.next = chosen + 1;
        Some(chosen)
    }
}
