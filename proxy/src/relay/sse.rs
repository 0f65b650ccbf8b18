//! Server-sent events on their way through: never parsed, never changed, only counted, and never torn.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use crate::endpoint::StreamEnd;

/// An event larger than this is passed on in pieces.
const MAX_HELD: usize = 256 * 1024;

/// Lets whole events pass. Engines write an event at a time, so a chunk nearly always passes as it is; what a
/// TCP boundary tore waits for its rest. So when an engine dies, an error event can follow what the client has,
/// and the client's parser sees two events instead of a broken one.
#[derive(Debug, Default)]
pub struct Aligner {
    held: BytesMut,
    /// Part of an event too large to be held has passed, and its end has not.
    open: bool,
}

impl Aligner {
    /// What may go on now that `chunk` has come.
    pub fn push(&mut self, chunk: Bytes) -> Option<Bytes> {
        if self.held.is_empty() && ends_event(&chunk) {
            self.open = false;
            return Some(chunk);
        }
        self.held.extend_from_slice(&chunk);
        let whole = if self.held.len() > MAX_HELD { self.held.len() } else { last_boundary(&self.held)? };
        let passed = self.held.split_to(whole).freeze();
        self.open = !ends_event(&passed);
        Some(passed)
    }

    /// What is left when the stream has ended: an event without its blank line.
    pub fn finish(&mut self) -> Option<Bytes> {
        (!self.held.is_empty()).then(|| self.held.split().freeze())
    }

    /// Forgets a torn event; gives what must come before anything else, so that it stands alone.
    pub fn discard(&mut self) -> &'static [u8] {
        self.held.clear();
        if std::mem::take(&mut self.open) { b"\n\n" } else { b"" }
    }
}

fn ends_event(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\n\r\n")
}

/// The end of the last whole event.
fn last_boundary(bytes: &[u8]) -> Option<usize> {
    let lf = memmem::rfind(bytes, b"\n\n").map(|at| at + 2);
    let crlf = memmem::rfind(bytes, b"\r\n\r\n").map(|at| at + 4);
    lf.max(crlf)
}

/// Counts what passes.
#[derive(Debug, Default)]
pub struct Tally {
    /// Events that carry output, about one per token.
    pub output_events: u32,
    /// Whether the stream announced its end.
    pub ended: bool,
}

impl Tally {
    /// Counts the events of a piece made of whole events; returns how many carried output.
    pub fn count(&mut self, events: &[u8], end: StreamEnd) -> u32 {
        let mut output = 0;
        for line in lines(events) {
            match end {
                StreamEnd::Done => match line.strip_prefix(b"data:") {
                    Some(data) if data.trim_ascii() == b"[DONE]" => self.ended = true,
                    Some(_) => output += 1,
                    None => {}
                },
                StreamEnd::Events(last) => {
                    let Some(kind) = line.strip_prefix(b"event:").map(<[u8]>::trim_ascii) else { continue };
                    output += u32::from(kind.ends_with(b"delta"));
                    self.ended |= last.iter().any(|name| name.as_bytes() == kind);
                }
            }
        }
        self.output_events = self.output_events.saturating_add(output);
        output
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn push(aligner: &mut Aligner, chunk: &str) -> Option<String> {
        aligner
            .push(Bytes::copy_from_slice(chunk.as_bytes()))
            .map(|out| String::from_utf8(out.to_vec()).unwrap())
    }

    #[test]
    fn whole_events_pass_as_they_came_and_torn_ones_wait() {
        let mut aligner = Aligner::default();
        assert_eq!(push(&mut aligner, "data: 1\n\n").as_deref(), Some("data: 1\n\n"));
        assert_eq!(push(&mut aligner, "data: 2\n\ndata: ").as_deref(), Some("data: 2\n\n"));
        assert_eq!(push(&mut aligner, "3\n"), None);
        assert_eq!(push(&mut aligner, "\n").as_deref(), Some("data: 3\n\n"));
        assert_eq!(push(&mut aligner, "data: [DONE]"), None);
        assert_eq!(aligner.finish().as_deref(), Some(&b"data: [DONE]"[..]));
    }

    #[test]
    fn an_endless_event_is_not_held_for_ever() {
        let mut aligner = Aligner::default();
        assert_eq!(aligner.push(Bytes::from(vec![b'x'; MAX_HELD])), None);
        assert_eq!(aligner.push(Bytes::from_static(b"y")).map(|out| out.len()), Some(MAX_HELD + 1));
        assert_eq!(push(&mut aligner, "z"), None);
        assert_eq!(aligner.discard(), b"\n\n");
        assert_eq!(push(&mut aligner, "data: 1\n\ndata: "), Some("data: 1\n\n".into()));
        assert_eq!(aligner.discard(), b"");
        assert_eq!(aligner.finish(), None);
    }

    #[test]
    fn output_and_end_are_seen_in_either_dialect() {
        let mut openai = Tally::default();
        assert_eq!(
            openai.count(b"data: {\"x\":\"data: [DONE]\"}\n\n: ping\n\ndata: {}\r\n\r\n", StreamEnd::Done),
            2
        );
        assert!(!openai.ended);
        openai.count(b"data: [DONE]\n\n", StreamEnd::Done);
        assert!(openai.ended);

        let end = StreamEnd::Events(&["message_stop"]);
        let mut anthropic = Tally::default();
        anthropic.count(b"event: message_start\ndata: {}\n\nevent: content_block_delta\ndata: {}\n\n", end);
        assert_eq!((anthropic.output_events, anthropic.ended), (1, false));
        anthropic.count(b"event: message_stop\ndata: {}\n\n", end);
        assert!(anthropic.ended);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_no_event_torn(
            events in proptest::collection::vec("[a-z:\r]{0,12}", 0..8),
            tail in "[a-z\r\n]{0,6}",
            cuts in proptest::collection::vec(0_usize..120, 0..8),
        ) {
            let mut text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
            text += &tail;
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut aligner = Aligner::default();
            let mut passed = Vec::new();
            for cut in cuts.windows(2) {
                if let Some(out) = aligner.push(Bytes::copy_from_slice(&text.as_bytes()[cut[0]..cut[1]])) {
                    prop_assert!(out.is_empty() || ends_event(&out));
                    passed.extend_from_slice(&out);
                }
            }
            passed.extend(aligner.finish().into_iter().flatten());
            prop_assert_eq!(passed, text.into_bytes());
        }
    }
}
