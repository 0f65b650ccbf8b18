//! The engine's own token counts, where a response carries them.

use std::sync::LazyLock;

use gearshift_selector::Usage;
use memchr::memmem;
use serde::Deserialize;

/// Counts seen so far; Anthropic's streams spread them over two events.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    prompt: Option<u32>,
    completion: Option<u32>,
    cached: Option<u32>,
}

/// The `usage` object in OpenAI's and Anthropic's words.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    #[serde(alias = "input_tokens")]
    prompt_tokens: Option<u32>,
    #[serde(alias = "output_tokens")]
    completion_tokens: Option<u32>,
    #[serde(alias = "input_tokens_details")]
    prompt_tokens_details: Option<Details>,
    cache_read_input_tokens: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u32>,
}

const KEY: &[u8] = b"\"usage\":";

/// Made once: making a finder costs more than finding in a chunk.
static FINDER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(KEY));

impl Seen {
    /// Looks for a usage object in a piece of a response. A piece that is not what it seems is ignored.
    pub fn look(&mut self, piece: &[u8]) {
        let Some(at) = FINDER.find_iter(piece).last() else { return };
        let value = &piece[at + KEY.len()..];
        let Some(Ok(raw)) = serde_json::Deserializer::from_slice(value).into_iter::<Raw>().next() else {
            return;
        };
        let cached = raw.prompt_tokens_details.and_then(|details| details.cached_tokens);
        self.prompt = raw.prompt_tokens.or(self.prompt);
        self.completion = raw.completion_tokens.or(self.completion);
        self.cached = cached.or(raw.cache_read_input_tokens).or(self.cached);
    }

    /// The counts, once both are known.
    pub fn usage(&self) -> Option<Usage> {
        Some(Usage {
            prompt_tokens: self.prompt?,
            // Embeddings and their like have no output.
            completion_tokens: self.completion.unwrap_or(0),
            cached_tokens: self.cached,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pieces: &[&str]) -> Option<Usage> {
        let mut seen = Seen::default();
        pieces.iter().for_each(|piece| seen.look(piece.as_bytes()));
        seen.usage()
    }

    #[test]
    fn every_dialect_is_understood() {
        let chat = r#"{"choices":[],"usage":{"prompt_tokens":12,"total_tokens":28,"completion_tokens":16,"prompt_tokens_details":{"cached_tokens":8}}}"#;
        assert_eq!(
            seen(&[chat]),
            Some(Usage { prompt_tokens: 12, completion_tokens: 16, cached_tokens: Some(8) })
        );
        let start =
            r#"data: {"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":0}}}"#;
        let delta = r#"data: {"type":"message_delta","usage":{"output_tokens":5}}"#;
        assert_eq!(
            seen(&[start, delta]),
            Some(Usage { prompt_tokens: 9, completion_tokens: 5, cached_tokens: None })
        );
        let embedding = r#"{"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
        assert_eq!(
            seen(&[embedding]),
            Some(Usage { prompt_tokens: 4, completion_tokens: 0, cached_tokens: None })
        );
    }

    #[test]
    fn what_is_no_usage_changes_nothing() {
        for piece in
            ["", "\"usage\":", "\"usage\":null", "\"usage\":{\"prompt_tokens\":-1}", "\"usage\":{\"prompt"]
        {
            assert_eq!(seen(&[piece]), None, "{piece}");
        }
        assert!(seen(&[r#""usage":{"prompt_tokens":1,"completion_tokens":2}"#, "\"usage\":null"]).is_some());
    }
}
