//! What the prior adds up: each term can be shown to the operator who asks why.

use crate::features::Situation;

/// The prior's terms for one request at one candidate, before calibration. Milliseconds unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Terms {
    /// Waiting for a free slot where the engine is full.
    pub slot_wait: f64,
    /// Prefill of prompts queued before this one.
    pub queued_prefill: f64,
    /// Prefill of this prompt's uncached tokens.
    pub own_prefill: f64,
    /// Decode steps that the prefill chunks ride on; one at least.
    pub first_steps: f64,

    /// In a decode step: reading the dense weights.
    pub dense_weights: f64,
    /// In a decode step: reading the experts that the batch is routed to.
    pub experts: f64,
    /// In a decode step: reading the batch's KV cache.
    pub kv_cache: f64,
    /// In a decode step: multiplying.
    pub arithmetic: f64,
    /// In a decode step: all-reduces.
    pub collectives: f64,
    /// In a decode step: launches, scheduling, sampling.
    pub overhead: f64,
    /// In a decode step: making the drafts of speculative decoding.
    pub drafts: f64,
    /// Between decode steps: prefill of requests that take the places of those that end.
    pub interference: f64,

    /// What this request delays others by, added up over them.
    pub imposed: f64,

    /// Sequences in the batch while this request decodes, its own included.
    pub concurrency: f64,
    /// Tokens one step yields for a sequence; above 1 with speculative decoding.
    pub tokens_per_step: f64,
}

impl Terms {
    /// One decode step.
    pub fn step_ms(&self) -> f64 {
        self.dense_weights
            + self.experts
            + self.kv_cache
            + self.arithmetic
            + self.collectives
            + self.overhead
            + self.drafts
    }

    /// Time to first token at the engine: without the network.
    pub fn ttft_ms(&self) -> f64 {
        self.slot_wait + self.queued_prefill + self.own_prefill + self.first_steps
    }

    /// Time per output token after the first.
    pub fn tpot_ms(&self) -> f64 {
        (self.step_ms() + self.interference) / self.tokens_per_step
    }

    /// End to end time at the engine: the first token, then the others.
    pub fn e2e_ms(&self, situation: &Situation) -> f64 {
        self.ttft_ms() + situation.decode_tokens() * self.tpot_ms()
    }

    /// The share of a decode step in which memory or arithmetic is busy, 0–1.
    pub fn busy_share(&self) -> f64 {
        let busy = self.dense_weights + self.experts + self.kv_cache + self.arithmetic + self.drafts;
        busy / self.step_ms()
    }
}
