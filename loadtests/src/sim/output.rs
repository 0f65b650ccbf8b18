//! What an engine puts out and counts.

use super::{Moment, RequestId};

/// Something an engine put out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Output {
    /// Which request.
    pub id: RequestId,
    /// When.
    pub at: Moment,
    /// What.
    pub kind: OutputKind,
}

/// Kinds of [`Output`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OutputKind {
    /// Tokens of the answer; `first` with the first of them. Counts add up to the answer's length in both paces.
    Tokens {
        /// How many came at once: more than one with speculation, all that are left at the end of a skip.
        count: u32,
        /// Whether they are the first.
        first: bool,
    },
    /// The answer is whole. Follows its last tokens at the same moment.
    Finished {
        /// Prompt tokens that came from the prefix cache, as vLLM counts them in `usage`.
        cached_tokens: u32,
        /// How often the request was preempted.
        preemptions: u32,
        /// Energy of the request's share of the engine's steps, joules; modelled.
        joules: f64,
    },
    /// The engine dropped it (crash, sleep, restart): no more tokens will come.
    Aborted,
}

/// What a scrape shows at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Gauges {
    /// Requests in the running batch.
    pub running: u32,
    /// Requests waiting.
    pub waiting: u32,
    /// KV blocks in use, share of all. Cached blocks that nobody uses count as free.
    pub kv_usage: f64,
}

/// Counted since the engine began.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// Prompt tokens of requests whose prefill ended.
    pub prompt_tokens: u64,
    /// Generated tokens.
    pub generation_tokens: u64,
    /// Tokens looked up in the prefix cache.
    pub prefix_queries: u64,
    /// Tokens found there.
    pub prefix_hits: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// Speculation: drafts made, tokens in them, tokens accepted.
    pub drafts: u64,
    /// Tokens in those drafts.
    pub draft_tokens: u64,
    /// Draft tokens accepted.
    pub accepted_tokens: u64,
    /// Requests that ended well.
    pub finished: u64,
    /// Requests refused because the queue was full.
    pub refused: u64,
    /// Steps.
    pub steps: u64,
    /// Seconds in which a step ran.
    pub busy_s: f64,
    /// Energy, joules, idle power included; modelled.
    pub joules: f64,
}
