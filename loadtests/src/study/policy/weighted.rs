//! llm-d's weighted scorers.
//!
//! After the endpoint picker of the Gateway API Inference Extension, on which llm-d's scheduler is built (scorers in
//! `pkg/epp/scheduling/framework/plugins`, read 2026-11): each candidate's score is 3 × the share of the prompt's
//! blocks that were last sent to it, + 2 × how short its queue is between the shortest (1) and the longest (0), + 2 × its
//! free share of the KV cache; the highest wins, any of equals. Queue and cache are as last scraped, every 50 ms.
//!
//! Here blocks are 64 tokens, not 16: the index keeps the original's limits in tokens (256 blocks of a prompt, 31,250
//! blocks of a backend).

use std::time::Duration;

use gearshift_selector::Index;

use super::{Fleet, Policy, Ticket, Trip, View, least, prefixes::Prefixes};
use crate::study::BLOCK_TOKENS;

const PREFIX_WEIGHT: f64 = 3.0;
const QUEUE_WEIGHT: f64 = 2.0;
const CACHE_WEIGHT: f64 = 2.0;
/// `--refresh-metrics-interval`.
const SCRAPE_INTERVAL: Duration = Duration::from_millis(50);
/// Tokens of the original's blocks.
const ORIGINAL_BLOCK: usize = 16;
/// Blocks of a prompt that are looked up, in blocks of ours.
const MAX_BLOCKS: usize = 256 * ORIGINAL_BLOCK / BLOCK_TOKENS as usize;
/// Blocks remembered of one backend, in blocks of ours.
const CAPACITY: usize = 31_250 * ORIGINAL_BLOCK / BLOCK_TOKENS as usize;

/// The weighted scorer with llm-d's weights: prefix 3, queue 2, KV cache 2.
#[derive(Debug)]
pub struct Weighted {
    seed: u64,
    rng: fastrand::Rng,
    prefixes: Prefixes,
    matched: Vec<usize>,
}

impl Weighted {
    /// With its own randomness, which equals need.
    pub fn new(seed: u64) -> Self {
        Self { seed, rng: fastrand::Rng::with_seed(seed), prefixes: Prefixes::default(), matched: Vec::new() }
    }
}

impl Policy for Weighted {
    fn name(&self) -> &'static str {
        "weighted-scorer"
    }

    fn scrape_interval(&self) -> Duration {
        SCRAPE_INTERVAL
    }

    fn begin(&mut self, fleet: &Fleet, _kv_tokens: &[u64]) {
        self.rng = fastrand::Rng::with_seed(self.seed);
        self.prefixes = Prefixes::new(fleet.members.len(), CAPACITY);
        self.matched = vec![0; fleet.members.len()];
    }

    fn send(&mut self, _ticket: Ticket, trip: &Trip, tried: &[Index], view: &View<'_>) -> Option<Index> {
        let chain = &trip.facts.prefix.0;
        let chain = &chain[..chain.len().min(MAX_BLOCKS)];
        self.prefixes.matched(chain, &mut self.matched);
        let candidates = view.candidates(tried);
        let waiting = |at: Index| view.scrapes[at].map_or(0, |scrape| scrape.waiting);
        let shortest = candidates.clone().map(waiting).min()?;
        let longest = candidates.clone().map(waiting).max()?;
        let score = |at: Index| {
            let prefix = self.matched[at] as f64 / chain.len().max(1) as f64;
            let queue = match longest - shortest {
                0 => 1.0,
                spread => f64::from(longest - waiting(at)) / f64::from(spread),
            };
            let cache = 1.0 - view.scrapes[at].map_or(0.0, |scrape| scrape.kv_usage);
            PREFIX_WEIGHT * prefix + QUEUE_WEIGHT * queue + CACHE_WEIGHT * cache
        };
        let chosen = least(candidates, &mut self.rng, |at| -score(at))?;
        self.prefixes.insert(chain, chosen);
        Some(chosen)
    }
}
