//! The way to a backend: connections, and the pools that keep them, one set per core.

pub mod body;
pub mod connect;
pub mod http1;
pub mod http2;
pub mod pool;

/// What is sent upstream: a body in one piece, so that it can be sent again.
pub type RequestBody = http_body_util::Full<bytes::Bytes>;
