//! What an engine is: model, hardware, knobs, and how long it takes to start.

use std::sync::Arc;

use gearshift_config::{HardwareFacts, Knobs, ModelFacts};

use super::Factors;

/// In which order waiting requests are taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheduling {
    /// First come, first served: vLLM's default.
    #[default]
    Fcfs,
    /// By [`SimRequest::priority`](super::SimRequest::priority), then by arrival.
    Priority,
}

/// How long an engine takes to change its state, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// From the start of the process to the first request: loading, compiling, capturing graphs.
    pub start_s: f64,
    /// Falling asleep (level 1: weights to host memory).
    pub sleep_s: f64,
    /// Waking up again.
    pub wake_s: f64,
}

/// Everything an [`Engine`](super::Engine) is made from. What [`Knobs`] leave open is vLLM's default for the hardware.
#[derive(Debug, Clone)]
pub struct EngineSpec {
    /// Its name in reports.
    pub name: String,
    /// The hardware's key in the catalog and in the table of fitted factors, for example `h100_sxm`.
    pub hardware_id: String,
    /// One accelerator, in numbers.
    pub hardware: Arc<HardwareFacts>,
    /// How many of them.
    pub count: u32,
    /// The name the model is served under.
    pub model_name: String,
    /// The model, in numbers.
    pub model: Arc<ModelFacts>,
    /// The profile's knobs.
    pub knobs: Knobs,
    /// The draft model of speculative decoding, where the method has one.
    pub draft: Option<Arc<ModelFacts>>,
    /// Order of waiting requests.
    pub scheduling: Scheduling,
    /// Requests inside, waiting *or running*, before more are refused with 503, as `--max-num-queued-reqs` counts
    /// them. `None`: no limit.
    pub max_queued: Option<u32>,
    /// Tokens of a KV block: 16 on GPUs, 128 on CPUs.
    pub block_tokens: u32,
    /// KV blocks, instead of what memory leaves (`--num-gpu-blocks-override`).
    pub blocks: Option<u64>,
    /// Start, sleep and wake times.
    pub times: Times,
    /// Utilisation factors of this engine, instead of those the shipped table has for its hardware.
    pub factors: Option<Arc<Factors>>,
}

/// Why an engine cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// The weights leave no room for a KV cache.
    #[error(
        "{engine}: {need_gib:.1} GiB of weights do not fit into the {have_gib:.1} GiB that {hardware} gives"
    )]
    TooLarge {
        /// The engine's name.
        engine: String,
        /// The hardware's key and count.
        hardware: String,
        /// Weights over all accelerators, GiB.
        need_gib: f64,
        /// Usable memory over all accelerators, GiB.
        have_gib: f64,
    },
    /// Knobs contradict each other, in vLLM's words.
    #[error("{engine}: {reason}")]
    Knobs {
        /// The engine's name.
        engine: String,
        /// What is wrong.
        reason: String,
    },
}
