//! A request of a workload, prepared for one fleet: what the router reads off it, and what the engines compute.

use std::sync::Arc;

use gearshift_selector::{PREFIX_BLOCK_BYTES, PREFIX_MAX_BLOCKS, PrefixChain, RequestFacts, Work};

use crate::{
    sim::Moment,
    workload::{Class, Request},
};

/// Bytes of prompt text a token stands for, on average.
pub const BYTES_PER_TOKEN: f64 = 4.0;
/// Tokens of one block of the router's prefix chain.
#[expect(clippy::cast_possible_truncation, reason = "64")]
pub const BLOCK_TOKENS: u32 = (PREFIX_BLOCK_BYTES / 4) as u32;
/// How far one prompt's bytes per token may be off the average: texts differ, and a router must guess.
const BYTES_SPREAD: f64 = 0.15;

/// One request on its way through a fleet. Made once, and used by all policies that are compared.
#[derive(Debug, Clone)]
pub struct Trip {
    /// Its number in the workload.
    pub id: u64,
    /// What it is for.
    pub class: Class,
    /// When it reaches the router.
    pub at: Moment,
    /// What the router reads off it.
    pub facts: RequestFacts,
    /// Prompt tokens, as the engine counts them.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub output_tokens: u32,
    /// Block chains over prompt and answer, by the engine's block size.
    blocks: Vec<(u32, Arc<[u64]>)>,
}

impl Trip {
    /// Prepares a request that comes at `at` for engines with these block sizes. `salt` stands for the model's name:
    /// equal prompts to different models share nothing.
    pub fn new(request: &Request, at: Moment, block_sizes: &[u32], salt: u64) -> Self {
        let content = &request.content;
        let mut prefix = content.prompt_chain(BLOCK_TOKENS, salt);
        prefix.truncate(PREFIX_MAX_BLOCKS);
        let prompt_tokens = content.prompt_tokens().max(1);
        let blocks = block_sizes.iter().map(|&size| (size, content.chain(size, salt).into()));
        Self {
            id: request.id,
            class: request.class,
            at,
            facts: RequestFacts {
                work: Work::Generate,
                prompt_bytes: bytes(request.id, prompt_tokens),
                prompt_tokens_exact: None,
                max_tokens: request.max_tokens,
                sequences: 1,
                stream: true,
                prefix: PrefixChain(prefix),
            },
            prompt_tokens,
            output_tokens: content.output_tokens().max(1),
            blocks: blocks.collect(),
        }
    }

    /// The chain for an engine with this block size; empty where it was not prepared.
    pub(super) fn blocks(&self, block_tokens: u32) -> Arc<[u64]> {
        let found = self.blocks.iter().find(|(size, _)| *size == block_tokens);
        found.map(|(_, chain)| Arc::clone(chain)).unwrap_or_default()
    }
}

/// Length of the prompt's text, by the request's number so that it is the same in every run.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and far below 2⁵³")]
fn bytes(id: u64, tokens: u32) -> u64 {
    let off = 2.0 * fastrand::Rng::with_seed(id).f64() - 1.0;
    (f64::from(tokens) * BYTES_PER_TOKEN * (1.0 + BYTES_SPREAD * off)) as u64
}
