//! Changes to a body that leave every other byte as it came.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Replaces the model's name. `span` covers the JSON string with its quotes.
pub fn model(body: &Bytes, span: Range<usize>, name: &str) -> Bytes {
    // A string always serializes.
    let quoted = serde_json::to_string(name).unwrap_or_default();
    raw(body, span, quoted.as_bytes())
}

/// Asks for usage at the end of a stream; the body is a JSON object without `stream_options`.
pub fn usage(body: &Bytes) -> Bytes {
    let Some(end) = body.iter().rposition(|byte| *byte == b'}') else { return body.clone() };
    raw(body, end..end, br#","stream_options":{"include_usage":true}"#)
}

/// Replaces bytes as they are.
pub fn raw(body: &Bytes, span: Range<usize>, with: &[u8]) -> Bytes {
    let mut spliced = BytesMut::with_capacity(body.len() - span.len() + with.len());
    spliced.extend_from_slice(&body[..span.start]);
    spliced.extend_from_slice(with);
    spliced.extend_from_slice(&body[span.end..]);
    spliced.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_changes() {
        let body = Bytes::from_static(br#"{ "model":"alias" , "x":1.0}"#);
        assert_eq!(
            model(&body, 10..17, "the \"real\" one"),
            &br#"{ "model":"the \"real\" one" , "x":1.0}"#[..]
        );
    }

    #[test]
    fn usage_is_asked_for_at_the_end() {
        let body = Bytes::from_static(b"{\"stream\":true}\n");
        assert_eq!(usage(&body), &b"{\"stream\":true,\"stream_options\":{\"include_usage\":true}}\n"[..]);
    }
}
