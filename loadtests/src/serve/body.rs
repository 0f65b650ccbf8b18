//! Request bodies: the fields of vLLM's four generating endpoints that matter to a simulated engine.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::workload::{Acceptance, Class};

/// A request to generate. One shape for all endpoints: their names do not collide, and what an endpoint does not know
/// stays empty.
#[derive(Debug, Deserialize)]
pub(super) struct GenerateBody<'a> {
    #[serde(borrow)]
    pub(super) model: Option<Cow<'a, str>>,
    /// Chat and messages.
    #[serde(borrow)]
    pub(super) messages: Option<Vec<Message<'a>>>,
    /// Completions.
    #[serde(borrow)]
    pub(super) prompt: Option<Prompt<'a>>,
    /// Responses and embeddings.
    #[serde(borrow)]
    pub(super) input: Option<Input<'a>>,
    /// The system prompt: of messages (`system`) or responses (`instructions`).
    #[serde(borrow, alias = "instructions")]
    pub(super) system: Option<Content<'a>>,
    /// Tools, part of the prompt.
    #[serde(borrow)]
    pub(super) tools: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    pub(super) max_tokens: Option<i64>,
    pub(super) max_completion_tokens: Option<i64>,
    pub(super) max_output_tokens: Option<i64>,
    pub(super) min_tokens: Option<u32>,
    #[serde(default)]
    pub(super) ignore_eos: bool,
    pub(super) n: Option<u32>,
    pub(super) temperature: Option<f64>,
    #[serde(borrow, alias = "stop_sequences")]
    pub(super) stop: Option<OneOrMany<'a>>,
    #[serde(default)]
    pub(super) priority: i32,
    #[serde(borrow)]
    pub(super) cache_salt: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) vllm_xargs: SimArguments,
}

/// What the sender knows of the answer, in vLLM's field for arguments of one's own. A real engine ignores it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct SimArguments {
    /// Tokens the answer has.
    pub(super) sim_output_tokens: Option<u32>,
    /// Which text the answer is.
    pub(super) sim_answer_seed: Option<u64>,
    /// What kind of text it is.
    sim_class: Option<Class>,
    /// Probability that a draft token is accepted, where it is not to be that of the kind.
    sim_acceptance: Option<f64>,
}

impl SimArguments {
    /// The probability that a draft token is accepted, 0 to 1.
    pub(super) fn acceptance(&self, measured: &Acceptance) -> f64 {
        let of_kind =
            || self.sim_class.map_or_else(|| measured.in_any_text(), |class| measured.in_text(class));
        self.sim_acceptance.unwrap_or_else(of_kind).clamp(0.0, 1.0)
    }
}

/// What a stream is to carry besides tokens.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamOptions {
    pub(super) include_usage: bool,
    pub(super) continuous_usage_stats: bool,
}

/// One message of a conversation.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub(super) role: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<&'a RawValue>,
}

/// What a message says: text, or parts of which text ones count.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Parts(#[serde(borrow)] Vec<Part<'a>>),
}

/// A part of a message.
#[derive(Debug, Deserialize)]
pub(super) struct Part<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Cow<'a, str>>,
}

/// A prompt of the completions endpoint.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Prompt<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Texts(#[serde(borrow)] Vec<Cow<'a, str>>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

/// The input of the responses endpoint, or of the embeddings one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Input<'a> {
    Plain(#[serde(borrow)] Prompt<'a>),
    Items(#[serde(borrow)] Vec<Message<'a>>),
}

/// A string or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Many(#[serde(borrow)] Vec<Cow<'a, str>>),
}

impl OneOrMany<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let strings = match self {
            Self::One(string) => std::slice::from_ref(string),
            Self::Many(strings) => strings.as_slice(),
        };
        strings.iter().map(AsRef::as_ref)
    }
}

impl GenerateBody<'_> {
    /// The cap on output tokens under whichever name, and that name.
    pub(super) fn cap(&self) -> Option<(&'static str, i64)> {
        let named = |name, value: Option<i64>| value.map(|value| (name, value));
        named("max_completion_tokens", self.max_completion_tokens)
            .or_else(|| named("max_output_tokens", self.max_output_tokens))
            .or_else(|| named("max_tokens", self.max_tokens))
    }
}
