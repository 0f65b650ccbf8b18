//! The router's own account of what it has in flight at one backend: instant, where scraped gauges lag.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Relaxed},
};

/// The router's own in-flight account of one backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Requests sent and not yet ended.
    pub requests: u32,
    /// Their sequences (`n` of a request, prompts of a batch), in whatever phase.
    pub sequences: u32,
    /// Prompt tokens sent whose first output token has not come back, without those predicted to be cached.
    pub prefill_tokens: u64,
    /// Sequences past their first token.
    pub decoding: u32,
    /// Output tokens expected and not yet seen.
    pub decode_tokens: u64,
    /// Tokens that occupy KV cache: prompts, and what was generated so far.
    pub context_tokens: u64,
}

impl InFlight {
    /// Tokens still to be computed, prefill and decode: what a tie between equals is broken by.
    pub fn tokens(&self) -> u64 {
        self.prefill_tokens.saturating_add(self.decode_tokens)
    }
}

/// The account. Only a [`Held`] share enters and leaves it, so that it can neither leak nor go below zero.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    requests: AtomicU32,
    sequences: AtomicU32,
    prefill_tokens: AtomicU64,
    decoding: AtomicU32,
    decode_tokens: AtomicU64,
    context_tokens: AtomicU64,
}

impl Ledger {
    /// The account now. Each field is exact; fields may be a moment apart while others enter and leave.
    pub(crate) fn read(&self) -> InFlight {
        InFlight {
            requests: self.requests.load(Relaxed),
            sequences: self.sequences.load(Relaxed),
            prefill_tokens: self.prefill_tokens.load(Relaxed),
            decoding: self.decoding.load(Relaxed),
            decode_tokens: self.decode_tokens.load(Relaxed),
            context_tokens: self.context_tokens.load(Relaxed),
        }
    }

    /// Enters a share; true where the account was empty before.
    pub(crate) fn enter(&self, share: &InFlight) -> bool {
        let before = self.requests.fetch_add(share.requests, AcqRel);
        self.sequences.fetch_add(share.sequences, Relaxed);
        self.prefill_tokens.fetch_add(share.prefill_tokens, Relaxed);
        self.decoding.fetch_add(share.decoding, Relaxed);
        self.decode_tokens.fetch_add(share.decode_tokens, Relaxed);
        self.context_tokens.fetch_add(share.context_tokens, Relaxed);
        before == 0
    }

    /// Takes a share out again, exactly as it stands now.
    pub(crate) fn leave(&self, share: &InFlight) {
        self.sequences.fetch_sub(share.sequences, Relaxed);
        self.prefill_tokens.fetch_sub(share.prefill_tokens, Relaxed);
        self.decoding.fetch_sub(share.decoding, Relaxed);
        self.decode_tokens.fetch_sub(share.decode_tokens, Relaxed);
        self.context_tokens.fetch_sub(share.context_tokens, Relaxed);
        self.requests.fetch_sub(share.requests, AcqRel);
    }

    /// The share's prefill is done: its tokens leave the queue, its sequences decode.
    pub(crate) fn start_decoding(&self, share: &mut InFlight) {
        self.prefill_tokens.fetch_sub(share.prefill_tokens, Relaxed);
        share.prefill_tokens = 0;
        self.decoding.fetch_add(share.sequences - share.decoding, Relaxed);
        share.decoding = share.sequences;
    }

    /// `tokens` of the share's output came: no longer outstanding, now context.
    pub(crate) fn progress(&self, share: &mut InFlight, tokens: u32) {
        let expected = share.decode_tokens.min(u64::from(tokens));
        self.decode_tokens.fetch_sub(expected, Relaxed);
        share.decode_tokens -= expected;
        self.context_tokens.fetch_add(u64::from(tokens), Relaxed);
        share.context_tokens += u64::from(tokens);
    }
}
