//! How answers look on the wire: vLLM 0.32's payloads at its four generating endpoints.

mod chat;
mod completion;
mod messages;
mod responses;

use serde_json::Value;

use super::{
    answer::{Answer, Finish},
    body::{GenerateBody, StreamOptions},
    errors::Failure,
};

/// What ends streams in OpenAI's older protocols.
const DONE: &str = "data: [DONE]\n\n";
/// What vLLM 0.32 says of the build that answered.
const FINGERPRINT: &str = "vllm-0.32.0-0bf07db9";

/// The endpoints that generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completion,
    /// `/v1/responses`
    Responses,
    /// `/v1/messages`
    Messages,
}

/// Tokens of a request and its answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt: u32,
    pub(super) completion: u32,
    /// Prompt tokens from the cache, where the server tells (`--enable-prompt-tokens-details`).
    pub(super) cached: Option<u32>,
}

impl Usage {
    fn total(self) -> u32 {
        self.prompt + self.completion
    }
}

/// What an answer's payloads have in common.
#[derive(Debug, Clone)]
pub(super) struct Heading {
    /// A name for the request, without the protocol's prefix.
    pub(super) id: String,
    /// The model's name.
    pub(super) model: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    /// What a stream is to carry.
    pub(super) options: StreamOptions,
    /// Choices in the answer.
    pub(super) choices: usize,
    /// Tokens of the prompt.
    pub(super) prompt_tokens: u32,
    /// The cap on output tokens.
    pub(super) max_tokens: u32,
}

impl Heading {
    /// The member for usage so far, for those who want it with every chunk; `more` follows its counts.
    fn running_usage(&self, completion: u32, more: &str) -> String {
        if !self.options.continuous_usage_stats {
            return String::new();
        }
        let prompt = self.prompt_tokens;
        let total = prompt + completion;
        format!(
            r#","usage":{{"prompt_tokens":{prompt},"total_tokens":{total},"completion_tokens":{completion}{more}}}"#
        )
    }
}

/// A piece of one choice.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    /// Which choice.
    pub(super) choice: usize,
    /// Its text; letters and spaces, nothing that JSON escapes.
    pub(super) text: &'a str,
    /// Why the choice ends, where it ends with this piece.
    pub(super) finish: Option<&'a Finish>,
    /// Tokens of the choice so far.
    pub(super) tokens: u32,
}

/// Writes the events of a stream.
pub(super) trait Stream: std::fmt::Debug {
    /// What comes before the first token.
    fn begin(&mut self, out: &mut String);
    /// A piece.
    fn piece(&mut self, piece: &Piece<'_>, out: &mut String);
    /// What comes after the last one.
    fn end(&mut self, usage: Usage, out: &mut String);
}

impl Protocol {
    /// The writer of a stream.
    pub(super) fn stream(self, heading: Heading) -> Box<dyn Stream> {
        match self {
            Self::Chat => Box::new(chat::ChatStream::new(heading)),
            Self::Completion => Box::new(completion::CompletionStream::new(heading)),
            Self::Responses => Box::new(responses::ResponsesStream::new(heading)),
            Self::Messages => Box::new(messages::MessagesStream::new(heading)),
        }
    }

    /// A whole answer.
    pub(super) fn whole(self, heading: &Heading, answers: &[Answer], usage: Usage) -> Value {
        match self {
            Self::Chat => chat::whole(heading, answers, usage),
            Self::Completion => completion::whole(heading, answers, usage),
            Self::Responses => responses::whole(heading, answers, usage),
            Self::Messages => messages::whole(heading, answers, usage),
        }
    }

    /// An error.
    pub(super) fn failure(self, failure: &Failure) -> Value {
        match self {
            Self::Messages => failure.anthropic(),
            Self::Chat | Self::Completion | Self::Responses => failure.openai(),
        }
    }

    /// A required field that the body lacks.
    pub(super) fn missing(self, body: &GenerateBody<'_>) -> Option<&'static str> {
        let lacking = |field, lacks: bool| lacks.then_some(field);
        match self {
            Self::Chat => lacking("messages", body.messages.is_none()),
            Self::Completion => lacking("prompt", body.prompt.is_none()),
            Self::Responses => lacking("input", body.input.is_none()),
            Self::Messages => lacking("messages", body.messages.is_none())
                .or_else(|| lacking("max_tokens", body.max_tokens.is_none())),
        }
    }
}

/// The event with a stream's usage: the beginning of every event, no choices, and what `details` there are beside the
/// cached tokens.
fn usage_event(before: &str, usage: Usage, details: &str) -> String {
    let Usage { prompt, completion, cached } = usage;
    let total = usage.total();
    let cached = cached.map_or_else(String::new, |cached| {
        format!(r#","prompt_tokens_details":{{"cached_tokens":{cached}{details}}}"#)
    });
    format!(
        "{before}],\"usage\":{{\"prompt_tokens\":{prompt},\"total_tokens\":{total},\"completion_tokens\":{completion}{cached}}},\
         \"system_fingerprint\":\"{FINGERPRINT}\"}}\n\n"
    )
}

/// The finish reason in OpenAI's words, as JSON.
fn reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop(_) => r#""stop""#,
        Finish::Length => r#""length""#,
        Finish::Abort => r#""abort""#,
    }
}

/// The stop string that ended an answer, as JSON.
fn stop_reason(finish: &Finish) -> Value {
    match finish {
        Finish::Stop(Some(stop)) => stop.as_str().into(),
        Finish::Stop(None) | Finish::Length | Finish::Abort => Value::Null,
    }
}

/// `"name":value` members of a choice that ends with this piece; `null` before that.
fn finish_members(finish: Option<&Finish>) -> String {
    finish.map_or_else(
        || r#""finish_reason":null"#.to_owned(),
        |finish| format!(r#""finish_reason":{},"stop_reason":{}"#, reason(finish), stop_reason(finish)),
    )
}

#[cfg(test)]
mod tests;
