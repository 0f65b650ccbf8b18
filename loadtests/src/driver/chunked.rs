//! The chunked transfer coding (RFC 9112 §7.1), decoded as it comes.

use super::ResponseError;

/// Decodes a chunked body from pieces cut anywhere.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk's size, with the value so far and how many digits it has.
    Size { value: u64, digits: u8 },
    /// After the size: extensions, up to the end of the line.
    Extension { size: u64 },
    /// In a chunk's data.
    Data { left: u64 },
    /// Between a chunk's data and the next size: CR, LF.
    DataEnd,
    /// In the trailer section; `empty` while the current line has nothing but CR.
    Trailer { empty: bool },
    /// Past the last byte.
    End,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { value: 0, digits: 0 }
    }
}

impl ChunkedDecoder {
    /// Whether the body has ended.
    pub fn is_complete(&self) -> bool {
        self.state == State::End
    }

    /// Takes the next piece, hands its payload to `sink`, and returns how many bytes belonged to the body:
    /// all of them unless the body ended within the piece.
    ///
    /// # Errors
    /// Where the bytes are not the chunked coding.
    pub fn feed(&mut self, piece: &[u8], mut sink: impl FnMut(&[u8])) -> Result<usize, ResponseError> {
        let mut at = 0;
        while at < piece.len() && self.state != State::End {
            if let State::Data { left } = self.state {
                let available = piece.len() - at;
                let take = usize::try_from(left).map_or(available, |left| left.min(available));
                sink(&piece[at..at + take]);
                at += take;
                self.state = match left - take as u64 {
                    0 => State::DataEnd,
                    left => State::Data { left },
                };
            } else {
                self.state = framing(self.state, piece[at])?;
                at += 1;
            }
        }
        Ok(at)
    }
}

/// The state after one byte that is not payload.
fn framing(state: State, byte: u8) -> Result<State, ResponseError> {
    let malformed = Err(ResponseError::Malformed("chunk framing"));
    Ok(match (state, byte) {
        (State::Size { digits: 0, .. }, b'\r' | b'\n' | b';' | b' ' | b'\t') => return malformed,
        (State::Size { value: 0, .. }, b'\n') => State::Trailer { empty: true },
        (State::Size { value, .. }, b'\n') => State::Data { left: value },
        (State::Size { value, .. }, b'\r' | b';' | b' ' | b'\t') => State::Extension { size: value },
        (State::Size { value, digits }, byte) => match char::from(byte).to_digit(16) {
            Some(digit) if digits < 15 => {
                State::Size { value: value * 16 + u64::from(digit), digits: digits + 1 }
            }
            _ => return malformed,
        },
        (State::Extension { size: 0 }, b'\n') => State::Trailer { empty: true },
        (State::Extension { size }, b'\n') => State::Data { left: size },
        (State::DataEnd, b'\n') => State::default(),
        (State::Extension { .. }, _) | (State::DataEnd | State::Trailer { empty: true }, b'\r') => state,
        (State::Trailer { empty: true }, b'\n') => State::End,
        (State::Trailer { empty: false }, b'\n') => State::Trailer { empty: true },
        (State::Trailer { .. }, _) => State::Trailer { empty: false },
        (State::DataEnd, _) => return malformed,
        (State::Data { .. } | State::End, _) => state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut wire = Vec::new();
        for chunk in chunks {
            wire.extend_from_slice(format!("{:x};ext=\"1\"\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\nx-trailer: 1\r\n\r\n");
        wire
    }

    proptest! {
        #[test]
        fn a_body_split_anywhere_decodes_to_the_same_payload(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..70), 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
            after in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let body = encode(&chunks);
            let wire = [body.as_slice(), &after].concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len())).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();

            let mut decoder = ChunkedDecoder::default();
            let (mut payload, mut consumed) = (Vec::new(), 0);
            for pair in cuts.windows(2) {
                let piece = &wire[pair[0]..pair[1]];
                consumed += decoder.feed(piece, |bytes| payload.extend_from_slice(bytes)).unwrap();
            }
            prop_assert!(decoder.is_complete());
            prop_assert_eq!(payload, chunks.concat());
            prop_assert_eq!(consumed, body.len());
        }

        #[test]
        fn arbitrary_bytes_never_panic(wire in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut payload = 0;
            let _ = ChunkedDecoder::default().feed(&wire, |bytes| payload += bytes.len());
            prop_assert!(payload <= wire.len());
        }
    }

    #[test]
    fn a_truncated_body_is_not_complete() {
        let mut decoder = ChunkedDecoder::default();
        decoder.feed(b"5\r\nhello\r\n0\r\n", |_| {}).unwrap();
        assert!(!decoder.is_complete());
    }

    #[test]
    fn bad_framing_is_an_error() {
        for wire in [&b"\r\n"[..], b"xyz\r\n", b"3\r\nabcd\r\n", b"ffffffffffffffff\r\n", b";ext\r\n"] {
            assert!(ChunkedDecoder::default().feed(wire, |_| {}).is_err(), "{wire:?}");
        }
    }
}
