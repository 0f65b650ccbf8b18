//! Gearshift with somebody who looks on: when are claims first contradicted?

use gearshift_selector::{Claim, Index};

use crate::{
    sim::Moment,
    study::{Fleet, Gearshift, News, Policy, Signal, Ticket, Trip, View},
};

/// When a claim of a backend was first contradicted.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Found {
    /// Which backend.
    pub backend: Index,
    /// What of it.
    pub claim: Claim,
    /// Requests the router had taken in by then.
    pub requests: u64,
    /// Of these, sent to the backend.
    pub own_requests: u64,
}

/// The selector, watched.
#[derive(Debug)]
pub struct Watched {
    inner: Gearshift,
    sent: Vec<u64>,
    /// What was found out, in this order.
    pub found: Vec<Found>,
}

impl Watched {
    /// Watches this policy.
    pub fn new(inner: Gearshift) -> Self {
        Self { inner, sent: Vec::new(), found: Vec::new() }
    }

    fn look(&mut self, backend: Index) {
        let state = &self.inner.group().backends()[backend].state;
        for claim in Claim::ALL {
            let known = |found: &Found| (found.backend, found.claim) == (backend, claim);
            if state.contradicts(claim) && !self.found.iter().any(known) {
                let requests = self.sent.iter().sum();
                self.found.push(Found { backend, claim, requests, own_requests: self.sent[backend] });
            }
        }
    }
}

impl Policy for Watched {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn counts_tokens(&self) -> bool {
        self.inner.counts_tokens()
    }

    fn begin(&mut self, fleet: &Fleet, kv_tokens: &[u64]) {
        self.sent = vec![0; fleet.members.len()];
        self.found.clear();
        self.inner.begin(fleet, kv_tokens);
        (0..fleet.members.len()).for_each(|backend| self.look(backend));
    }

    fn send(&mut self, ticket: Ticket, trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let chosen = self.inner.send(ticket, trip, tried, view)?;
        self.sent[chosen] += 1;
        Some(chosen)
    }

    fn heard(&mut self, ticket: Ticket, backend: Index, signal: Signal, now: Moment) {
        self.inner.heard(ticket, backend, signal, now);
        self.look(backend);
    }

    fn learned(&mut self, backend: Index, news: News, now: Moment) {
        self.inner.learned(backend, news, now);
        self.look(backend);
    }
}
