//! Server-sent events, one by one.

/// Longest event that is read, bytes: a server that never ends one must not fill the memory.
const LONGEST: usize = 8 * 1024 * 1024;

/// Takes a stream apart into the data of its events, from pieces cut anywhere. Lines may end in LF or CR LF; fields other
/// than `data`, and comments, are skipped.
#[derive(Debug, Default)]
pub struct SseReader {
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// Data lines of the event that has not ended yet.
    data: Vec<u8>,
    has_data: bool,
}

impl SseReader {
    /// Takes the next piece, and hands the data of each event that it ends to `take`.
    pub fn feed(&mut self, piece: &[u8], mut take: impl FnMut(&[u8])) {
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', piece) {
            if self.line.is_empty() {
                self.end_line(&piece[start..newline], &mut take);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&piece[start..newline]);
                self.end_line(&line, &mut take);
                line.clear();
                self.line = line;
            }
            start = newline + 1;
        }
        if self.line.len() < LONGEST {
            self.line.extend_from_slice(&piece[start..]);
        }
    }

    fn end_line(&mut self, line: &[u8], take: &mut impl FnMut(&[u8])) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                take(&self.data);
                self.data.clear();
            }
        } else if let Some(value) = line.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            if self.data.len() < LONGEST {
                self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            }
            self.has_data = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let (mut reader, mut events) = (SseReader::default(), Vec::new());
        for piece in pieces {
            reader.feed(piece, |data| events.push(String::from_utf8_lossy(data).into_owned()));
        }
        events
    }

    #[test]
    fn fields_and_comments_are_told_apart() {
        let stream = b": ping\n\nevent: x\ndata: a\ndata:b\n\nid: 1\n\ndata: c\r\n\r\ndata: open";
        assert_eq!(read(&[stream]), ["a\nb", "c"]);
    }

    proptest! {
        #[test]
        fn events_are_the_same_wherever_the_stream_is_cut(
            events in prop::collection::vec("[a-z{}\": ]{1,20}", 0..12),
            crlf in any::<bool>(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
        ) {
            let end = if crlf { "\r\n" } else { "\n" };
            let stream: String = events.iter().map(|event| format!("data: {event}{end}{end}")).collect();
            let stream = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), events);
        }

        #[test]
        fn arbitrary_bytes_never_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = read(&pieces);
        }
    }
}
