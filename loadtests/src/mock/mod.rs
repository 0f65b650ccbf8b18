//! A stub in the shape of vLLM's server, for measuring proxies.
//!
//! **It is no engine and simulates none.** Prompts are not read, tokens take whatever time they are told to,
//! every answer is made of constants: it costs as little as an HTTP server can, so that the proxy before it
//! is what the benchmark sees. Its endpoints, framing, usage and metrics are vLLM's, so that a proxy that
//! inspects them works as it would before a real one.
//!
//! `POST /stub/settings?chunks=N&interval_ms=D` changes what streams look like from then on.

mod answers;
mod body;
mod prompt;
mod server;
mod settings;

pub use server::serve;
pub use settings::{Settings, SettingsError};
