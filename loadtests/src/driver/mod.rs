//! Load: clients that cost less than what they measure.
//!
//! An HTTP/1.1 client written for measuring: requests are bytes made once, responses are read without
//! being kept, and every one is checked. What it reports counts only if nothing failed.
//!
//! - [`closed`]: a fixed number of connections, each sending its next request when the last is answered.
//!   The load that CPU per request is measured under.
//! - [`open`]: arrivals at a fixed rate whatever the answers do; latency counts from when a request was
//!   due. The load that latency is measured under.
//! - [`replay`]: a workload as it comes, each request with its own text, and what became of each.
//! - [`streams`]: many streams open at once. The load that memory is measured under.
//!
//! Everything runs on the current thread and spawns onto the caller's [`tokio::task::LocalSet`].

mod chunk;
mod chunked;
pub mod closed;
mod connection;
mod endpoint;
mod events;
pub mod open;
mod pacer;
pub mod replay;
mod request;
mod response;
mod sse;
pub mod streams;
mod tally;

pub use chunk::{Chunk, Usage};
pub use chunked::ChunkedDecoder;
pub use connection::{Connection, ExchangeError, Expected, fetch, request_once};
pub use endpoint::{Endpoint, EndpointError};
pub use events::EventCounter;
pub use pacer::Pacer;
pub use request::{ChatRequest, bodiless, post};
pub use response::{Response, ResponseError, ResponseReader, ResponseSink};
pub use sse::SseReader;
pub use tally::{Failures, Tally};

use std::rc::Rc;

/// One request as it is sent over and over: where to, its bytes, and what has to come back.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where it goes.
    pub endpoint: Endpoint,
    /// Head and body, as written to the socket.
    pub request: Rc<[u8]>,
    /// What a good answer looks like.
    pub expected: Expected,
}

impl Job {
    /// A chat completion at `endpoint`.
    pub fn chat(endpoint: &Endpoint, request: &ChatRequest, expected: Expected) -> Self {
        Self { endpoint: endpoint.clone(), request: request.to_bytes(endpoint).into(), expected }
    }
}
