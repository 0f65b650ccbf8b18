//! A real vLLM server: started, asked, timed and read. What measurements of real engines have in common.

mod client;
mod metrics;
mod server;

pub use client::{Answer, ask, ask_json, post, stream, stream_to};
pub use metrics::Metrics;
pub use server::{Server, command, free_port};
