//! What is learned per served model: how many tokens a prompt's bytes make, and what requests usually look like.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    affinity::Affinity,
    ewma::LogMean,
    features::{RequestFacts, Typical, Usage},
    num,
    outputs::{OutputLengths, START_OUTPUT_TOKENS, new_length},
};

/// Bytes per token assumed before the first usage: English text under today's vocabularies.
const START_BYTES_PER_TOKEN: f64 = 4.0;
/// Ratios outside of this come from something that is not text (image data, an engine's odd count).
const PLAUSIBLE_BYTES_PER_TOKEN: std::ops::RangeInclusive<f64> = 0.5..=16.0;
/// A prompt of this many tokens teaches half as much as an endless one: in short ones the chat template dominates.
const HALF_WEIGHT_TOKENS: f64 = 64.0;
/// Prompt tokens assumed of unseen requests: the mean of the Azure LLM inference trace, conversations (2023).
const START_PROMPT_TOKENS: f64 = 1155.0;

/// Learned per served model: bytes per prompt token (from usage), output length by route (log-space EWMA).
#[derive(Debug)]
pub struct ModelState {
    /// Tells models apart in [`OutputLengths`]; never 0.
    key: u64,
    bytes_per_token: LogMean,
    prompt_tokens: LogMean,
    uncached_tokens: LogMean,
    output_tokens: LogMean,
    pub(crate) affinity: Affinity,
}

impl ModelState {
    /// Nothing learned yet.
    pub fn new() -> Self {
        // Any distinct number will do: nothing but equality depends on it.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            key: NEXT.fetch_add(1, Relaxed),
            bytes_per_token: LogMean::new(START_BYTES_PER_TOKEN, 0.05, 0.5),
            prompt_tokens: LogMean::new(START_PROMPT_TOKENS, 0.05, 2.0),
            uncached_tokens: LogMean::new(START_PROMPT_TOKENS, 0.05, 2.0),
            output_tokens: new_length(),
            affinity: Affinity::new(),
        }
    }

    /// Estimated prompt tokens of a request; exact where the client sent token ids. At least 1.
    pub fn prompt_tokens(&self, facts: &RequestFacts) -> u32 {
        let estimate = || num::to_u32(facts.prompt_bytes as f64 / self.bytes_per_token());
        facts.prompt_tokens_exact.unwrap_or_else(estimate).max(1)
    }

    /// Bytes of prompt text per token, as learned.
    pub fn bytes_per_token(&self) -> f64 {
        self.bytes_per_token.value()
    }

    /// What requests to this model usually look like.
    pub fn typical(&self) -> Typical {
        let prompt_tokens = self.prompt_tokens.value();
        Typical {
            prompt_tokens,
            uncached_tokens: self.uncached_tokens.value().min(prompt_tokens),
            output_tokens: self.output_tokens.value(),
        }
    }

    /// Output tokens to expect of one sequence on a route, before any cap: learned on that route, else for this
    /// model anywhere, else 211 (the mean of a public conversation trace).
    pub(crate) fn output_tokens(&self, route: &OutputLengths) -> f64 {
        let here = || (self.output_tokens.samples() > 0).then(|| self.output_tokens.value());
        route.expected(self.key).or_else(here).unwrap_or(START_OUTPUT_TOKENS)
    }

    /// A request was sent with this prompt, this much of it predicted to be cached.
    pub(crate) fn observe_prompt(&self, prompt_tokens: f64, uncached_tokens: f64) {
        self.prompt_tokens.observe(prompt_tokens, 1.0);
        self.uncached_tokens.observe(uncached_tokens, 1.0);
    }

    /// An answer of `prompt_bytes` of text came with the engine's count.
    pub(crate) fn observe_usage(&self, prompt_bytes: u64, usage: &Usage) {
        let tokens = f64::from(usage.prompt_tokens);
        let ratio = prompt_bytes as f64 / tokens;
        if PLAUSIBLE_BYTES_PER_TOKEN.contains(&ratio) {
            self.bytes_per_token.observe(ratio, tokens / (tokens + HALF_WEIGHT_TOKENS));
        }
    }

    /// A sequence ended after `tokens`. Where the client's cap cut it, its length is only known to be at least
    /// that: it can lengthen the estimate, never shorten it.
    pub(crate) fn observe_output(&self, route: &OutputLengths, tokens: f64, cut: bool) {
        if !cut || tokens > self.output_tokens(route) {
            route.observe(self.key, tokens);
            self.output_tokens.observe(tokens, 1.0);
        }
    }
}

impl Default for ModelState {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrefixChain, Work};

    fn facts(prompt_bytes: u64) -> RequestFacts {
        RequestFacts {
            work: Work::Generate,
            prompt_bytes,
            prompt_tokens_exact: None,
            max_tokens: None,
            sequences: 1,
            stream: true,
            prefix: PrefixChain::default(),
        }
    }

    fn usage(prompt_tokens: u32) -> Usage {
        Usage { prompt_tokens, completion_tokens: 10, cached_tokens: None }
    }

    #[test]
    fn starts_at_four_bytes_and_learns_the_ratio() {
        let model = ModelState::new();
        assert_eq!(model.prompt_tokens(&facts(4000)), 1000);
        (0..100).for_each(|_| model.observe_usage(6000, &usage(2000)));
        let tokens = model.prompt_tokens(&facts(3000));
        assert!((990..=1010).contains(&tokens), "{tokens}");
    }

    #[test]
    fn images_and_short_prompts_do_not_spoil_the_ratio() {
        let model = ModelState::new();
        (0..100).for_each(|_| model.observe_usage(4000, &usage(1000)));
        (0..10).for_each(|_| model.observe_usage(5_000_000, &usage(1500)));
        model.observe_usage(40, &usage(30));
        model.observe_usage(40, &usage(0));
        assert!((model.bytes_per_token() - 4.0).abs() < 0.05, "{}", model.bytes_per_token());
    }

    #[test]
    fn token_ids_are_exact_and_nothing_is_zero() {
        let model = ModelState::new();
        let exact = RequestFacts { prompt_tokens_exact: Some(7), ..facts(4000) };
        assert_eq!(model.prompt_tokens(&exact), 7);
        assert_eq!(model.prompt_tokens(&facts(0)), 1);
        assert_eq!(model.prompt_tokens(&facts(u64::MAX)), u32::MAX);
    }

    #[test]
    fn a_new_route_starts_from_what_the_model_does_elsewhere() {
        let (model, chat, code) = (ModelState::new(), OutputLengths::default(), OutputLengths::default());
        assert_eq!(model.output_tokens(&chat), START_OUTPUT_TOKENS);
        (0..200).for_each(|_| model.observe_output(&chat, 40.0, false));
        assert!((model.output_tokens(&code) - 40.0).abs() < 1.0);
        (0..200).for_each(|_| model.observe_output(&code, 5.0, false));
        assert!((model.output_tokens(&chat) - 40.0).abs() < 1.0);
        assert!((model.output_tokens(&code) - 5.0).abs() < 0.5);
    }

    #[test]
    fn a_cut_answer_only_lengthens() {
        let (model, route) = (ModelState::new(), OutputLengths::default());
        (0..100).for_each(|_| model.observe_output(&route, 300.0, false));
        (0..100).for_each(|_| model.observe_output(&route, 16.0, true));
        assert!((model.output_tokens(&route) - 300.0).abs() < 5.0);
        model.observe_output(&route, 2000.0, true);
        assert!(model.output_tokens(&route) > 305.0);
    }
}
