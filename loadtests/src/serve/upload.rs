//! Request bodies, read whole and up to a limit.

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

/// Most bytes of a request to an engine: room for a few images in base64.
pub(super) const REQUEST_LIMIT: usize = 64 << 20;
/// Most bytes of an order about faults.
pub(super) const ORDER_LIMIT: usize = 64 << 10;

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It has more bytes than the limit.
    TooLarge,
    /// The connection broke off in the middle of it.
    BrokenOff,
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(body: Incoming, limit: usize) -> Result<Bytes, Unread> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Err(_) => Err(Unread::BrokenOff),
    }
}

/// The answer to a body of more than `limit` bytes.
pub(super) fn too_large(limit: usize) -> Value {
    json!({"detail": format!("the body has more than {limit} bytes")})
}
