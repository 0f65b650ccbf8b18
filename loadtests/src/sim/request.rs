//! What an engine is asked: token counts and the identity of the tokens, never text.

use std::sync::Arc;

/// Names a request within one engine. The caller's choice; unique among those in the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimWork {
    /// Prefill, then decode to the end of the answer.
    Generate,
    /// Prefill only (embeddings, score, rerank).
    Encode,
}

/// One sequence for an engine. The simulation knows beforehand what a real engine finds out: how long the answer
/// gets, and which tokens it consists of.
#[derive(Debug, Clone)]
pub struct SimRequest {
    /// Its name.
    pub id: RequestId,
    /// What it asks for.
    pub work: SimWork,
    /// Prompt tokens, at least 1.
    pub prompt_tokens: u32,
    /// Tokens the answer will have, at least 1; ignored for [`SimWork::Encode`].
    pub output_tokens: u32,
    /// Chain hashes of the whole KV blocks of prompt *and* answer, in the engine's block size: element i stands for all
    /// tokens up to `(i + 1) · block_size`, so equal elements mean equal prefixes. May be shorter than the sequence
    /// (or empty): blocks without a hash are never shared.
    pub blocks: Arc<[u64]>,
    /// Lower goes first under priority scheduling; ignored otherwise.
    pub priority: i32,
    /// Probability that a draft token is accepted, given that those before it were; 0 to 1. From measurements, by
    /// kind of text and method of speculation.
    pub acceptance: f64,
}
