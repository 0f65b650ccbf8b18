//! Responses, read without being kept.

use super::{ChunkedDecoder, EventCounter};

/// Most header fields that a response may have.
const MAX_HEADERS: usize = 64;
/// Longest response head, bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Why bytes are not a response.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResponseError {
    /// Not HTTP/1.1.
    #[error("malformed response: {0}")]
    Malformed(&'static str),
    /// More came than the response holds; the driver never pipelines.
    #[error("{0} bytes after the end of the response")]
    Trailing(usize),
}

/// What is known of a response that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Whether the server takes another request on the connection.
    pub keep_alive: bool,
    /// Payload, bytes.
    pub body_bytes: u64,
    /// Whole events in the payload, `[DONE]` included.
    pub events: u64,
    /// Whether the payload ended with `[DONE]`.
    pub done: bool,
}

/// Takes what a response consists of, as it comes.
pub trait ResponseSink {
    /// A header field of the head.
    fn header(&mut self, _name: &str, _value: &[u8]) {}
    /// A piece of the payload, cut anywhere.
    fn payload(&mut self, _piece: &[u8]) {}
}

/// Drops everything.
impl ResponseSink for () {}

/// Keeps the payload.
impl ResponseSink for Vec<u8> {
    fn payload(&mut self, piece: &[u8]) {
        self.extend_from_slice(piece);
    }
}

/// Reads one response from pieces cut anywhere.
#[derive(Debug, Default)]
pub struct ResponseReader {
    stage: Stage,
    /// The head's first pieces, where it did not come in one.
    head: Vec<u8>,
    status: u16,
    keep_alive: bool,
    body_bytes: u64,
    events: EventCounter,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Head,
    Sized {
        left: u64,
    },
    Chunked(ChunkedDecoder),
    UntilClose,
    Complete,
}

impl ResponseReader {
    /// Takes the next piece; the response, once it is whole.
    ///
    /// # Errors
    /// Where the bytes are not one HTTP/1.1 response.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Option<Response>, ResponseError> {
        self.feed_to(piece, &mut ())
    }

    /// As [`Self::feed`]; hands what the response consists of to `sink`.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub fn feed_to(
        &mut self,
        piece: &[u8],
        sink: &mut impl ResponseSink,
    ) -> Result<Option<Response>, ResponseError> {
        let used = match self.stage {
            Stage::Head => self.feed_head(piece, sink)?,
            Stage::Sized { .. } | Stage::Chunked(_) | Stage::UntilClose | Stage::Complete => {
                self.feed_body(piece, sink)?
            }
        };
        let complete = matches!(self.stage, Stage::Complete);
        match piece.len() - used {
            0 => Ok(complete.then(|| self.response())),
            trailing => Err(ResponseError::Trailing(trailing)),
        }
    }

    /// Takes the end of the connection; the response, where that is what ends it.
    pub fn feed_end(&mut self) -> Option<Response> {
        matches!(self.stage, Stage::UntilClose).then(|| self.response())
    }

    /// Whether no byte has come.
    pub fn is_untouched(&self) -> bool {
        matches!(self.stage, Stage::Head) && self.head.is_empty()
    }

    /// The status, once the head is there.
    pub fn status(&self) -> Option<u16> {
        (!matches!(self.stage, Stage::Head)).then_some(self.status)
    }

    /// Whole events so far.
    pub fn events(&self) -> u64 {
        self.events.events()
    }

    fn response(&self) -> Response {
        Response {
            status: self.status,
            keep_alive: self.keep_alive,
            body_bytes: self.body_bytes,
            events: self.events.events(),
            done: self.events.is_done(),
        }
    }

    /// Reads the head, and whatever of the body follows it; returns how much of `piece` was used.
    fn feed_head(&mut self, piece: &[u8], sink: &mut impl ResponseSink) -> Result<usize, ResponseError> {
        if self.head.is_empty() {
            return match self.parse_head(piece, sink)? {
                Some(length) => Ok(length + self.feed_body(&piece[length..], sink)?),
                None => {
                    self.head.extend_from_slice(piece);
                    Ok(piece.len())
                }
            };
        }
        let mut head = std::mem::take(&mut self.head);
        let before = head.len();
        head.extend_from_slice(piece);
        match self.parse_head(&head, sink)? {
            Some(length) => Ok(length - before + self.feed_body(&head[length..], sink)?),
            None if head.len() > MAX_HEAD_BYTES => Err(ResponseError::Malformed("head too long")),
            None => {
                self.head = head;
                Ok(piece.len())
            }
        }
    }

    /// Parses a whole head and sets the stage after it; returns its length.
    fn parse_head(
        &mut self,
        bytes: &[u8],
        sink: &mut impl ResponseSink,
    ) -> Result<Option<usize>, ResponseError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        let length = match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(ResponseError::Malformed("head")),
        };
        self.status = parsed.code.unwrap_or_default();
        self.keep_alive = parsed.version == Some(1);
        self.stage = Stage::UntilClose;
        for header in parsed.headers {
            self.apply_header(header)?;
            sink.header(header.name, header.value.trim_ascii());
        }
        Ok(Some(length))
    }

    fn apply_header(&mut self, header: &httparse::Header<'_>) -> Result<(), ResponseError> {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("content-length") {
            if !matches!(self.stage, Stage::UntilClose) {
                return Err(ResponseError::Malformed("two body lengths"));
            }
            let left = std::str::from_utf8(value)
                .ok()
                .and_then(|value| value.parse().ok())
                .ok_or(ResponseError::Malformed("content-length"))?;
            self.stage = if left == 0 { Stage::Complete } else { Stage::Sized { left } };
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") || !matches!(self.stage, Stage::UntilClose) {
                return Err(ResponseError::Malformed("transfer-encoding"));
            }
            self.stage = Stage::Chunked(ChunkedDecoder::default());
        } else if header.name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case(b"close") {
            self.keep_alive = false;
        }
        Ok(())
    }

    /// Reads body bytes; returns how many belonged to this response.
    fn feed_body(&mut self, piece: &[u8], sink: &mut impl ResponseSink) -> Result<usize, ResponseError> {
        let Self { stage, events, body_bytes, .. } = self;
        let mut take = |payload: &[u8]| {
            *body_bytes += payload.len() as u64;
            events.feed(payload);
            sink.payload(payload);
        };
        match stage {
            Stage::Head | Stage::Complete => Ok(0),
            Stage::UntilClose => {
                take(piece);
                Ok(piece.len())
            }
            Stage::Sized { left } => {
                let used = usize::try_from(*left).map_or(piece.len(), |left| left.min(piece.len()));
                take(&piece[..used]);
                *left -= used as u64;
                if *left == 0 {
                    *stage = Stage::Complete;
                }
                Ok(used)
            }
            Stage::Chunked(decoder) => {
                let used = decoder.feed(piece, take)?;
                if decoder.is_complete() {
                    *stage = Stage::Complete;
                }
                Ok(used)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
        Transfer-Encoding: chunked\r\n\r\na\r\ndata: {}\n\n\r\n0\r\n\r\n";
    const SIZED: &[u8] = b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";

    fn read(pieces: &[&[u8]]) -> Result<Option<Response>, ResponseError> {
        let mut reader = ResponseReader::default();
        let mut last = None;
        for piece in pieces {
            last = reader.feed(piece)?;
        }
        Ok(last)
    }

    fn well_formed_stream() -> Vec<u8> {
        let mut wire = STREAM[..memchr::memmem::find(STREAM, b"\r\n\r\n").unwrap() + 4].to_vec();
        for payload in ["data: {\"a\":1}\n\n", "data: {\"a\":2}\n\n", "data: [DONE]\n\n"] {
            wire.extend_from_slice(format!("{:X}\r\n{payload}\r\n", payload.len()).as_bytes());
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        wire
    }

    proptest! {
        #[test]
        fn a_response_split_anywhere_reads_the_same(
            sized in any::<bool>(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..16),
        ) {
            let wire = if sized { SIZED.to_vec() } else { well_formed_stream() };
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len())).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            cuts.dedup();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
            let expected = if sized {
                Response { status: 404, keep_alive: false, body_bytes: 5, events: 0, done: false }
            } else {
                Response { status: 200, keep_alive: true, body_bytes: 44, events: 3, done: true }
            };
            prop_assert_eq!(read(&pieces), Ok(Some(expected)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = read(&pieces);
        }
    }

    #[test]
    fn an_unfinished_response_is_none() {
        assert_eq!(read(&[&SIZED[..SIZED.len() - 1]]), Ok(None));
        assert_eq!(read(&[&STREAM[..STREAM.len() - 2]]), Ok(None));
    }

    #[test]
    fn what_follows_the_response_is_an_error() {
        assert_eq!(read(&[SIZED, b"x"]), Err(ResponseError::Trailing(1)));
        assert_eq!(read(&[&[STREAM, b"xy"].concat()]), Err(ResponseError::Trailing(2)));
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        let mut reader = ResponseReader::default();
        assert_eq!(reader.feed(b"HTTP/1.0 200 OK\r\n\r\nabc"), Ok(None));
        let response = reader.feed_end().unwrap();
        assert_eq!((response.body_bytes, response.keep_alive), (3, false));
        assert!(ResponseReader::default().feed_end().is_none());
    }

    #[test]
    fn a_body_with_two_lengths_is_refused() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(read(&[head]).is_err());
    }
}
