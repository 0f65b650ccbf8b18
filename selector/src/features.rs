//! What a prediction is made from: the one place where the decision's inputs are defined.
//!
//! [`RequestFacts`] is what the router reads off a request; [`Situation`] is that request at one candidate under
//! its present load, in the units the prior (and later the learner) computes with.

use crate::{load::Load, prefix::PrefixChain};

/// What kind of work a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// Prefill, then decode.
    Generate,
    /// Prefill only (embeddings, pooling, score, rerank, classify): modelled by the prior's prefill part, counted as unmodelled.
    Encode,
    /// Neither (tokenize, detokenize): least loaded.
    Utility,
    /// Audio upload: unmodelled, bytes only.
    Audio,
}

impl Work {
    /// Whether the roofline prior has a form for it.
    pub fn has_prior(self) -> bool {
        match self {
            Self::Generate | Self::Encode => true,
            Self::Utility | Self::Audio => false,
        }
    }
}

/// Request facts: what the router can know before asking any engine.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestFacts {
    /// What kind of work it is.
    pub work: Work,
    /// Bytes of prompt text (JSON bytes of messages, prompt, input, …).
    pub prompt_bytes: u64,
    /// Prompt length where the client sent token ids.
    pub prompt_tokens_exact: Option<u32>,
    /// The client's cap on output tokens.
    pub max_tokens: Option<u32>,
    /// Answers asked for (`n`, or prompts in a batch); 0 counts as 1.
    pub sequences: u32,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Chain of prefix block hashes; see [`prefix_chain`](crate::prefix_chain).
    pub prefix: PrefixChain,
}

/// More sequences than any engine takes; a client may ask for what it likes, but not fill the ledger with it.
const MAX_SEQUENCES: u32 = 1024;

impl RequestFacts {
    /// Sequences to account for: at least 1, and no more than an engine would take.
    pub(crate) fn counted_sequences(&self) -> u32 {
        self.sequences.clamp(1, MAX_SEQUENCES)
    }
}

/// The engine's own count, where the response carried it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, chat template included.
    pub prompt_tokens: u32,
    /// Tokens generated, over all sequences.
    pub completion_tokens: u32,
    /// Prompt tokens taken from the prefix cache, where the engine tells.
    pub cached_tokens: Option<u32>,
}

/// What requests to a model usually look like; stands in for requests this router cannot see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Typical {
    /// Prompt tokens.
    pub prompt_tokens: f64,
    /// Prompt tokens that were not expected in the prefix cache.
    pub uncached_tokens: f64,
    /// Output tokens of one sequence.
    pub output_tokens: f64,
}

/// One request at one candidate, now. Token counts are per prompt; estimates, hence not integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Situation {
    /// Whether tokens are generated after the prefill.
    pub generates: bool,
    /// Prompt tokens.
    pub prompt_tokens: f64,
    /// Leading prompt tokens predicted to be in the candidate's prefix cache; less than `prompt_tokens`.
    pub cached_tokens: f64,
    /// Expected output tokens of each sequence; at least 1.
    pub output_tokens: f64,
    /// Sequences decoded side by side; at least 1.
    pub sequences: f64,
    /// The candidate's load without this request.
    pub load: Load,
    /// What the load's unseen requests usually look like.
    pub typical: Typical,
}

/// Share of a closed loop's requests that wait for their prefill: what the measured times to first token ask for.
const WAITING: f64 = 0.1;

impl Situation {
    /// One of `concurrency` equal requests in a closed loop, in its steady state: a few of the others wait for their
    /// prefill, the rest decode, half through.
    /// What a row of grain `window` stands for.
    pub fn closed_loop(concurrency: f64, prompt_tokens: f64, cached_tokens: f64, output_tokens: f64) -> Self {
        let others = (concurrency - 1.0).max(0.0);
        let cached_tokens = cached_tokens.min(prompt_tokens - 1.0).max(0.0);
        let waiting = WAITING * others;
        let load = Load {
            sequences: others,
            decoding: others - waiting,
            prefill_tokens: waiting * (prompt_tokens - cached_tokens),
            decode_tokens: others * output_tokens / 2.0,
            context_tokens: others * (prompt_tokens + output_tokens / 2.0),
            full_at: None,
        };
        let typical =
            Typical { prompt_tokens, uncached_tokens: prompt_tokens - cached_tokens, output_tokens };
        Self { generates: true, prompt_tokens, cached_tokens, output_tokens, sequences: 1.0, load, typical }
    }

    /// Output tokens after the first.
    pub fn decode_tokens(&self) -> f64 {
        if self.generates { (self.output_tokens - 1.0).max(0.0) } else { 0.0 }
    }

    /// Prompt tokens left to compute.
    pub fn uncached_tokens(&self) -> f64 {
        self.prompt_tokens - self.cached_tokens
    }
}
