//! The little the stub wants to know of a request, found without parsing it.

/// Looks for the two flags that change an answer's shape. Quotes within JSON strings are escaped, so a
/// key with its quotes is never found inside a prompt.
#[derive(Debug, Default)]
pub(super) struct Prompt {
    /// Whether the answer is to be a stream.
    pub(super) stream: bool,
    /// Whether the stream is to end with a usage chunk.
    pub(super) include_usage: bool,
    /// Bytes seen.
    pub(super) bytes: u64,
    tail: Vec<u8>,
}

/// Longest text searched for, less one byte: what may have begun in the piece before.
const OVERLAP: usize = b"\"include_usage\" : true".len() - 1;
/// Bytes of JSON per token, roughly; the stub's usage need not be right, only present.
const BYTES_PER_TOKEN: u64 = 4;

impl Prompt {
    /// Takes the next piece of the body.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.tail.extend_from_slice(&piece[..piece.len().min(OVERLAP)]);
        for haystack in [self.tail.as_slice(), piece] {
            self.stream |= is_true(haystack, b"\"stream\"");
            self.include_usage |= is_true(haystack, b"\"include_usage\"");
        }
        if piece.len() > OVERLAP {
            self.tail.clear();
            self.tail.extend_from_slice(&piece[piece.len() - OVERLAP..]);
        } else {
            self.tail.drain(..self.tail.len().saturating_sub(OVERLAP));
        }
    }

    /// Tokens the body counts as.
    pub(super) fn tokens(&self) -> u64 {
        self.bytes / BYTES_PER_TOKEN
    }
}

fn is_true(haystack: &[u8], key: &[u8]) -> bool {
    memchr::memmem::find_iter(haystack, key).any(|at| {
        let value = haystack[at + key.len()..].trim_ascii_start();
        value.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"true"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = br#"{"messages":[{"content":"say \"stream\": true"}],"stream" : true,"stream_options":{"include_usage": true}}"#;

    fn read(pieces: &[&[u8]]) -> Prompt {
        let mut prompt = Prompt::default();
        pieces.iter().for_each(|piece| prompt.feed(piece));
        prompt
    }

    proptest! {
        #[test]
        fn flags_are_found_wherever_the_body_is_cut(cut in 0..BODY.len(), second in 0..BODY.len()) {
            let (first, second) = (cut.min(second), cut.max(second));
            let prompt = read(&[&BODY[..first], &BODY[first..second], &BODY[second..]]);
            prop_assert!(prompt.stream && prompt.include_usage);
            prop_assert_eq!(prompt.bytes, BODY.len() as u64);
        }
    }

    #[test]
    fn what_a_prompt_says_is_no_flag() {
        let prompt = read(&[br#"{"messages":[{"content":"\"stream\":true"}],"stream":false}"#]);
        assert!(!prompt.stream && !prompt.include_usage);
    }
}
