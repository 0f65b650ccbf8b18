//! SGLang's cache-aware routing.
//!
//! After the router's own description (`sgl-router/src/policies/cache_aware.rs`, `docs/getting-started/load-balancing.md`
//! of its successor SMG, defaults read 2026-11): where loads are far apart, the least loaded; else who got the longest
//! prefix of the prompt, where that is more than a share of it; else who was sent the least distinct text so far.
//!
//! Here prefixes are told apart in blocks of 64 tokens, not in characters, and nothing is evicted: the original starts
//! to at 2²⁶ characters a backend, more than a study sends.

use gearshift_selector::Index;

use super::{Fleet, Policy, Ticket, Trip, View, least, prefixes::Prefixes};
use crate::study::BLOCK_TOKENS;

/// Least share of a prompt that must match: `--cache-threshold`.
const CACHE_THRESHOLD: f64 = 0.3;
/// Requests that loads may be apart: `--balance-abs-threshold`.
const BALANCE_ABS: u32 = 64;
/// Factor that loads may be apart: `--balance-rel-threshold`.
const BALANCE_REL: f64 = 1.5;

/// Cache-aware routing by SGLang's rule, with its published defaults.
#[derive(Debug)]
pub struct CacheAware {
    seed: u64,
    rng: fastrand::Rng,
    prefixes: Prefixes,
    /// Distinct prompt tokens sent to each: the size of its tree.
    sizes: Vec<u64>,
}

impl CacheAware {
    /// With its own randomness, which equal trees need.
    pub fn new(seed: u64) -> Self {
        Self { seed, rng: fastrand::Rng::with_seed(seed), prefixes: Prefixes::default(), sizes: Vec::new() }
    }

    fn pick(&mut self, trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let candidates = view.candidates(tried);
        let loads = || view.outstanding.iter().copied();
        let (max, min) = (loads().max()?, loads().min()?);
        if max - min > BALANCE_ABS && f64::from(max) > f64::from(min) * BALANCE_REL {
            return candidates.min_by_key(|&at| view.outstanding[at]);
        }
        let longest = self.prefixes.longest(&trip.facts.prefix.0).filter(|&(blocks, _)| {
            blocks as f64 * f64::from(BLOCK_TOKENS) > CACHE_THRESHOLD * f64::from(trip.prompt_tokens)
        });
        let chosen = match longest {
            Some((_, backend)) => Some(backend),
            None => least(candidates.clone(), &mut self.rng, |at| self.sizes[at]),
        };
        // As the original: where that one cannot be had, the first that can.
        chosen.filter(|&at| candidates.clone().any(|other| other == at)).or_else(|| candidates.clone().next())
    }
}

impl Policy for CacheAware {
    fn name(&self) -> &'static str {
        "cache-aware"
    }

    fn begin(&mut self, fleet: &Fleet, _kv_tokens: &[u64]) {
        self.rng = fastrand::Rng::with_seed(self.seed);
        self.prefixes = Prefixes::new(fleet.members.len(), usize::MAX);
        self.sizes = vec![0; fleet.members.len()];
    }

    fn send(&mut self, _ticket: Ticket, trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let chosen = self.pick(trip, tried, view)?;
        let chain = &trip.facts.prefix.0;
        let known = chain.len() - self.prefixes.insert(chain, chosen);
        let known_tokens = known as u64 * u64::from(BLOCK_TOKENS);
        self.sizes[chosen] += u64::from(trip.prompt_tokens).saturating_sub(known_tokens);
        Some(chosen)
    }
}
