//! What the raw JSON of a prompt tells about its size, without parsing the text.

use std::sync::LazyLock;

use memchr::memmem;

use super::scan;

/// A prompt's size as far as its JSON shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptSize {
    /// Bytes of text; inline media (base64) is not text.
    pub bytes: u64,
    /// Tokens, where the client sent ids.
    pub tokens: Option<u32>,
    /// Prompts in the batch.
    pub batch: u32,
}

/// Measures the raw JSON of `messages`.
pub fn of_messages(raw: &str) -> PromptSize {
    PromptSize { bytes: text_bytes(raw), tokens: None, batch: 1 }
}

/// Measures the raw JSON of `prompt` or `input`: a text, token ids, or a batch of either.
pub fn of_batch(raw: &str) -> PromptSize {
    let one = PromptSize { bytes: text_bytes(raw), tokens: None, batch: 1 };
    let Some(inner) = raw.strip_prefix('[') else { return one };
    match inner.trim_ascii_start().as_bytes().first() {
        Some(b'0'..=b'9') => PromptSize { tokens: Some(numbers(raw)), ..one },
        Some(b'[') => PromptSize { tokens: Some(numbers(raw)), batch: items(raw), ..one },
        Some(b'"') => PromptSize { batch: items(raw), ..one },
        _ => one,
    }
}

/// Numbers in an array of them, or in an array of such arrays: a comma stands before each but the first.
fn numbers(raw: &str) -> u32 {
    let commas = memchr::memchr_iter(b',', raw.as_bytes()).count();
    u32::try_from(commas + 1).unwrap_or(u32::MAX)
}

fn items(raw: &str) -> u32 {
    let items = scan::items(raw).unwrap_or(1).max(1);
    u32::try_from(items).unwrap_or(u32::MAX)
}

const MARK: &[u8] = b";base64,";

/// Made once: making a finder costs more than finding in a short prompt.
static MEDIA: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(MARK));

/// Length without the payload of inline media, whose tokens do not follow from its bytes.
fn text_bytes(raw: &str) -> u64 {
    let bytes = raw.as_bytes();
    let mut media = 0;
    let mut from = 0;
    while let Some(at) = MEDIA.find(&bytes[from..]) {
        let start = from + at + MARK.len();
        let end = memchr::memchr(b'"', &bytes[start..]).map_or(bytes.len(), |length| start + length);
        media += end - start;
        from = end;
    }
    (bytes.len() - media) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_ids_are_counted_and_batches_seen() {
        assert_eq!(of_batch("[1, 2,3]").tokens, Some(3));
        assert_eq!(of_batch("[[1,2],[3]]"), PromptSize { bytes: 11, tokens: Some(3), batch: 2 });
        assert_eq!(of_batch("[\"a\",\"b,c\"]"), PromptSize { bytes: 11, tokens: None, batch: 2 });
        assert_eq!(of_batch("\"text\"").batch, 1);
        assert_eq!(of_batch("[]"), PromptSize { bytes: 2, tokens: None, batch: 1 });
        assert_eq!(of_batch("{\"prompt_embeds\":1}").batch, 1);
    }

    #[test]
    fn inline_media_is_not_text() {
        let raw =
            format!("[{{\"url\":\"data:image/png;base64,{}\"}},{{\"text\":\"hi\"}}]", "A".repeat(1_000));
        assert_eq!(of_messages(&raw).bytes, raw.len() as u64 - 1_000);
        assert_eq!(of_messages("\";base64,AAAA").bytes, 9);
    }
}
