//! Simulated engines behind HTTP: each a server that cannot be told from vLLM's by its API.
//!
//! An [`EngineServer`] is a [`sim::Engine`](crate::sim::Engine) in real time. Requests are turned into token counts and
//! block hashes (text is four bytes a token), the engine says when tokens come, and they go out as
//! vLLM 0.32 writes them: endpoints, headers, framing, error shapes, names of metrics. One task per engine carries it
//! forward; connections are woken when there is something to write, and nothing is spawned per token.
//!
//! A request may say what its answer is like, in vLLM's field for arguments of one's own:
//! `"vllm_xargs": {"sim_output_tokens": 120, "sim_answer_seed": 7, "sim_class": "code", "sim_acceptance": 0.7}`. A real engine ignores
//! that, so the same load can be put on both.
//!
//! `/sim/faults` breaks an engine in a dozen ways (see [`Fault`](crate::sim::Fault)), from outside and while it serves.

mod answer;
mod api;
mod body;
mod clock;
mod connection;
mod control;
mod errors;
mod faults;
mod format;
mod host;
mod job;
mod mailbox;
mod metrics;
mod prompt;
mod server;
mod state;
mod stream;
mod tokens;
mod upload;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use crate::scenario::Runner;
pub use control::Controller;
pub use faults::kind as fault_kind;
pub use server::{EngineHandle, EngineServer, declared_address};

/// The version of vLLM that is simulated.
const VERSION: &str = "0.32.0";

/// How engines are served.
#[derive(Debug, Clone, PartialEq)]
pub struct ServeOptions {
    /// Simulated seconds in a real one.
    pub time_scale: f64,
    /// Whether the endpoints of vLLM's development mode are open (`VLLM_SERVER_DEV_MODE=1`).
    pub dev_mode: bool,
    /// Whether `X-Request-Id` comes back (`--enable-request-id-headers`).
    pub request_id_headers: bool,
    /// Whether usage tells cached tokens (`--enable-prompt-tokens-details`).
    pub prompt_tokens_details: bool,
    /// Whether tokens that a client has not taken yet go out in one event, as vLLM merges outputs for a client that is
    /// slower than the engine. Otherwise every step's tokens are an event of their own.
    pub merge_tokens: bool,
    /// What the engine computes for.
    pub runner: Runner,
    /// Decides drafts that are accepted and requests that faults strike.
    pub seed: u64,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            time_scale: 1.0,
            dev_mode: false,
            request_id_headers: false,
            prompt_tokens_details: true,
            merge_tokens: true,
            runner: Runner::Generate,
            seed: 0,
        }
    }
}

/// Wall time, for the dates that payloads carry.
fn since_1970() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "payloads carry dates; nothing is decided by them")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
