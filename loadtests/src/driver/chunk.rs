//! What one event of a completion's stream says.

use std::borrow::Cow;

use serde::Deserialize;

/// The tokens of a request, as the server counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, Deserialize)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: u64,
    /// Of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Of the prompt, and found in the prefix cache; nothing where the server does not say.
    #[serde(default, rename(deserialize = "prompt_tokens_details"), deserialize_with = "cached")]
    pub cached_tokens: Option<u64>,
}

fn cached<'de, D: serde::Deserializer<'de>>(details: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Details {
        #[serde(default)]
        cached_tokens: Option<u64>,
    }
    Ok(Option::<Details>::deserialize(details)?.and_then(|details| details.cached_tokens))
}

/// An event, as far as a load test wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    /// It carries text, reasoning or a tool call.
    Tokens,
    /// It carries the request's usage.
    Usage(Usage),
    /// Neither: a role, a finish reason.
    Other,
    /// The server's word that the request failed.
    Error,
    /// `[DONE]`.
    Done,
    /// Nothing that a completion's stream has.
    Malformed,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(default)]
    tool_calls: Option<Vec<serde::de::IgnoredAny>>,
}

impl Choice<'_> {
    fn has_tokens(&self) -> bool {
        let said = |text: &Option<Cow<'_, str>>| text.as_deref().is_some_and(|text| !text.is_empty());
        said(&self.text)
            || self.delta.as_ref().is_some_and(|delta| {
                said(&delta.content)
                    || said(&delta.reasoning)
                    || said(&delta.reasoning_content)
                    || delta.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
            })
    }
}

impl Chunk {
    /// Reads an event's data. Usage that comes with tokens in every chunk (`continuous_usage_stats`) counts as tokens.
    pub fn parse(data: &[u8]) -> Self {
        if data == b"[DONE]" {
            return Self::Done;
        }
        match serde_json::from_slice::<Wire<'_>>(data) {
            Err(_) => Self::Malformed,
            Ok(Wire { error: Some(_), .. }) => Self::Error,
            Ok(wire) if wire.choices.iter().any(Choice::has_tokens) => Self::Tokens,
            Ok(Wire { usage: Some(usage), .. }) => Self::Usage(usage),
            Ok(_) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let usage =
            |cached_tokens| Chunk::Usage(Usage { prompt_tokens: 7, completion_tokens: 3, cached_tokens });
        for (data, chunk) in [
            (r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, Chunk::Other),
            (r#"{"choices":[{"delta":{"content":"a\n"},"finish_reason":null}],"usage":null}"#, Chunk::Tokens),
            (r#"{"choices":[{"text":" b"}]}"#, Chunk::Tokens),
            (r#"{"choices":[{"delta":{"content":null,"reasoning":"hm"}}]}"#, Chunk::Tokens),
            (r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#, Chunk::Tokens),
            (r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, Chunk::Tokens),
            (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, Chunk::Other),
            (
                r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":null}}"#,
                usage(None),
            ),
            (r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#, usage(None)),
            (
                r#"{"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}"#,
                usage(Some(4)),
            ),
            (r#"{"error":{"message":"no","code":500}}"#, Chunk::Error),
            ("[DONE]", Chunk::Done),
            (r#"{"choices":[{"del"#, Chunk::Malformed),
            ("", Chunk::Malformed),
        ] {
            assert_eq!(Chunk::parse(data.as_bytes()), chunk, "{data}");
        }
    }
}
