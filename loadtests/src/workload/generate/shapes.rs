//! What the requests of each class look like.
//!
//! | class | from measured traces | assumed |
//! | --- | --- | --- |
//! | chat | first prompts and answers: Azure conversation trace; turns, their gaps and what they add: Mooncake conversation trace | system prompt of 150 tokens |
//! | code | prompts and answers: Azure code trace | 80 % of a prompt is shared within a burst of 5 requests, 8 s apart |
//! | rag | | system prompt of 300 tokens, 5 of 20,000 passages of about 220 tokens by Zipf's law (exponent 1) |
//! | agent | | 12 agents with tool prompts of about 4,000 tokens, 12 turns of about 500 tokens, 80-token answers, 4 s for a tool |
//! | summary | | documents of about 6,000 tokens, summaries of about 250 |
//! | reasoning | | questions of about 180 tokens, chains of thought of about 1,800 |
//!
//! What is assumed stands for a kind of load and claims no more.

use super::{
    super::Class,
    lengths::{
        AZURE_CODE_OUTPUT, AZURE_CODE_PROMPT, AZURE_CONV_OUTPUT, AZURE_CONV_PROMPT, Length,
        MOONCAKE_FOLLOW_UP, MOONCAKE_GAP_MS, MOONCAKE_GOES_ON,
    },
};

/// The numbers of a class.
#[derive(Debug)]
pub(super) struct Shape {
    /// What every request of the class begins with.
    pub(super) system: System,
    /// What a session begins with after that, tokens.
    pub(super) opening: Length,
    /// What each later turn adds, tokens.
    pub(super) follow_up: Length,
    /// Answers, tokens.
    pub(super) answer: Length,
    /// The client's cap on them, where it sends one.
    pub(super) max_tokens: Option<u32>,
    /// Share of sessions that go on after turn 1, 2, …; the last value holds for all later turns.
    pub(super) goes_on: &'static [f64],
    /// From a request to the next one of its session, milliseconds.
    pub(super) gap_ms: Length,
    /// How turns build on each other.
    pub(super) growth: Growth,
}

/// Prompts that sessions share.
#[derive(Debug, Clone, Copy)]
pub(super) struct System {
    /// How many there are; which one is drawn by Zipf's law with exponent 1.
    pub(super) count: u32,
    /// Tokens of each.
    pub(super) length: Length,
}

/// How the turns of a session build on each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Growth {
    /// Each prompt begins with all before it, answers included.
    Conversation,
    /// Prompts begin with this share of the session's first one and end in text of their own.
    Prefix(f64),
    /// The opening is this many passages of a corpus; one request only.
    Passages(u32),
}

/// No follow-up.
const ONCE: &[f64] = &[0.0];
const AT_ONCE: Length = Length::LogNormal(1.0, 0.0);

/// First prompts are shorter than Azure's, which hold conversations of every age: with this factor the contexts
/// that come out have Azure's mean and 90th percentile (their median is a quarter lower).
const CHAT_OPENING: f64 = 0.68;

/// The numbers of `class`.
pub(super) fn shape(class: Class) -> &'static Shape {
    match class {
        Class::Chat => &CHAT,
        Class::Rag => &RAG,
        Class::Agent => &AGENT,
        Class::Code => &CODE,
        Class::Summary => &SUMMARY,
        Class::Reasoning => &REASONING,
    }
}

static CHAT: Shape = Shape {
    system: System { count: 1, length: Length::LogNormal(150.0, 0.0) },
    opening: Length::Table(&AZURE_CONV_PROMPT, CHAT_OPENING),
    follow_up: Length::Table(&MOONCAKE_FOLLOW_UP, 1.0),
    answer: Length::Table(&AZURE_CONV_OUTPUT, 1.0),
    max_tokens: None,
    goes_on: &MOONCAKE_GOES_ON,
    gap_ms: Length::Table(&MOONCAKE_GAP_MS, 1.0),
    growth: Growth::Conversation,
};

static CODE: Shape = Shape {
    system: System { count: 1, length: AT_ONCE },
    opening: Length::Table(&AZURE_CODE_PROMPT, 1.0),
    follow_up: AT_ONCE,
    answer: Length::Table(&AZURE_CODE_OUTPUT, 1.0),
    max_tokens: Some(2_048),
    goes_on: &[0.8],
    gap_ms: Length::LogNormal(8_000.0, 1.0),
    growth: Growth::Prefix(0.8),
};

static RAG: Shape = Shape {
    system: System { count: 1, length: Length::LogNormal(300.0, 0.0) },
    opening: Length::LogNormal(220.0, 0.4),
    follow_up: Length::LogNormal(40.0, 0.5),
    answer: Length::LogNormal(150.0, 0.6),
    max_tokens: Some(1_024),
    goes_on: ONCE,
    gap_ms: AT_ONCE,
    growth: Growth::Passages(5),
};

static AGENT: Shape = Shape {
    system: System { count: 12, length: Length::LogNormal(4_000.0, 0.4) },
    opening: Length::LogNormal(200.0, 0.6),
    follow_up: Length::LogNormal(500.0, 0.9),
    answer: Length::LogNormal(80.0, 0.6),
    max_tokens: Some(1_024),
    goes_on: &[11.0 / 12.0],
    gap_ms: Length::LogNormal(4_000.0, 0.8),
    growth: Growth::Conversation,
};

static SUMMARY: Shape = Shape {
    system: System { count: 1, length: Length::LogNormal(60.0, 0.0) },
    opening: Length::LogNormal(6_000.0, 0.5),
    follow_up: AT_ONCE,
    answer: Length::LogNormal(250.0, 0.4),
    max_tokens: Some(1_024),
    goes_on: ONCE,
    gap_ms: AT_ONCE,
    growth: Growth::Conversation,
};

static REASONING: Shape = Shape {
    system: System { count: 1, length: Length::LogNormal(40.0, 0.0) },
    opening: Length::LogNormal(180.0, 0.7),
    follow_up: AT_ONCE,
    answer: Length::LogNormal(1_800.0, 0.7),
    max_tokens: Some(8_192),
    goes_on: ONCE,
    gap_ms: AT_ONCE,
    growth: Growth::Conversation,
};
