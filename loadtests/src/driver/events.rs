//! Server-sent events, counted without being kept.

/// What vLLM ends every stream with.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Counts the events of a stream and tells whether it ended as it should.
#[derive(Debug, Default)]
pub struct EventCounter {
    events: u64,
    line_length: u64,
    event_length: u64,
    tail: Vec<u8>,
}

impl EventCounter {
    /// Takes the next piece of the stream's payload, cut anywhere.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', piece) {
            self.line_length += (newline - start) as u64;
            if self.line_length > 0 {
                self.event_length += self.line_length;
            } else if self.event_length > 0 {
                self.events += 1;
                self.event_length = 0;
            }
            self.line_length = 0;
            start = newline + 1;
        }
        self.line_length += (piece.len() - start) as u64;
        self.keep_tail(piece);
    }

    fn keep_tail(&mut self, piece: &[u8]) {
        let piece = &piece[piece.len().saturating_sub(DONE.len())..];
        let kept = DONE.len() - piece.len();
        self.tail.drain(..self.tail.len().saturating_sub(kept));
        self.tail.extend_from_slice(piece);
    }

    /// Whole events so far, `[DONE]` included.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Whether the last event was `[DONE]` and nothing follows it.
    pub fn is_done(&self) -> bool {
        self.tail == DONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn events_are_counted_wherever_the_stream_is_cut(
            count in 0_u64..20,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
        ) {
            let mut stream: Vec<u8> =
                (0..count).flat_map(|i| format!("data: {{\"token\":{i}}}\n\n").into_bytes()).collect();
            stream.extend_from_slice(DONE);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();

            let mut counter = EventCounter::default();
            for pair in cuts.windows(2) {
                counter.feed(&stream[pair[0]..pair[1]]);
            }
            prop_assert_eq!(counter.events(), count + 1);
            prop_assert!(counter.is_done());
        }
    }

    #[test]
    fn an_event_that_is_not_closed_does_not_count() {
        let mut counter = EventCounter::default();
        counter.feed(b"data: one\n\ndata: [DONE]\n");
        assert_eq!(counter.events(), 1);
        assert!(!counter.is_done());
    }

    #[test]
    fn a_stream_that_goes_on_after_done_is_not_done() {
        let mut counter = EventCounter::default();
        counter.feed(b"data: [DONE]\n\ndata: {}\n\n");
        assert_eq!(counter.events(), 2);
        assert!(!counter.is_done());
    }

    #[test]
    fn empty_lines_alone_are_no_events() {
        let mut counter = EventCounter::default();
        counter.feed(b"\n\n\n\n");
        assert_eq!(counter.events(), 0);
    }
}
