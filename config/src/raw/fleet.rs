//! Backends, profiles, and how they are watched.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    RawActuator,
    values::{DurationText, Named, TextOr},
};
use crate::{KvCacheDtype, Quantization, UpstreamProtocol};

/// One running engine: a model, on a hardware, in a profile.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Backend")]
pub(crate) struct RawBackend {
    /// Name in metrics, logs and the admin API. Default: host and port of the URL.
    pub(crate) name: Option<String>,
    /// Base URL, such as `http://10.0.0.5:8000`; `${NAME}` reads an environment variable.
    #[schemars(required)]
    pub(crate) url: Option<String>,
    /// What it runs on: a name from the catalog or from `hardware`, or keys `kind` and `count`.
    pub(crate) hardware: Option<TextOr<RawBackendHardware>>,
    /// Which model it serves: a name from `models` or the catalog, or `detect` to ask the engine. Default `detect`.
    pub(crate) model: Option<String>,
    /// In which profile it runs: a name from `profiles`, or `detect` to ask the engine. Default `detect`.
    pub(crate) profile: Option<String>,
    /// Profiles it may be shifted into, its own among them. Default: it stays in its own.
    pub(crate) profiles: Vec<String>,
    /// What puts it into another profile. Without one the controller only says what it would do.
    pub(crate) actuator: Option<RawActuator>,
    /// Price of the whole engine, US dollars an hour. Default: the hardware's price times its count.
    #[schemars(range(min = 0))]
    pub(crate) price_usd_per_hour: Option<f64>,
    /// Sent as bearer token instead of the client's own; `${NAME}` reads an environment variable.
    pub(crate) api_key: Option<String>,
    /// HTTP version spoken with it. Default `http1`, what vLLM's server speaks.
    pub(crate) protocol: Option<UpstreamProtocol>,
    /// Further trust root (PEM file) for an `https` URL.
    pub(crate) ca_file: Option<String>,
}

/// Accelerators of one kind.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "BackendHardware")]
pub(crate) struct RawBackendHardware {
    /// Name from the catalog or from `hardware`.
    #[schemars(required)]
    pub(crate) kind: Option<String>,
    /// How many the engine runs on, 1 to 4096. Default 1.
    pub(crate) count: Option<u32>,
}

impl Named for RawBackendHardware {
    const WHAT: &'static str = "a name such as h100_sxm, or keys `kind` and `count`";
}

/// Engine knobs under vLLM's names; what is left out is the engine's default.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Profile")]
pub(crate) struct RawProfile {
    /// Whether it leaves the model's outputs as they are. Default: false with weight quantization or an FP8 KV cache,
    /// else true. What is stated is believed: serving a checkpoint that was published in FP8 as FP8 changes nothing.
    pub(crate) lossless: Option<bool>,
    /// Automatic prefix caching (`--enable-prefix-caching`).
    pub(crate) prefix_caching: Option<bool>,
    /// Chunked prefill (`--enable-chunked-prefill`). Without it `max_num_batched_tokens` must reach `max_model_len`.
    pub(crate) chunked_prefill: Option<bool>,
    /// Token budget of one step.
    pub(crate) max_num_batched_tokens: Option<u32>,
    /// Sequences in one step at most.
    pub(crate) max_num_seqs: Option<u32>,
    /// Longest context served, tokens.
    pub(crate) max_model_len: Option<u32>,
    /// Speculative decoding.
    pub(crate) speculative: Option<RawSpeculative>,
    /// Element type of the KV cache.
    pub(crate) kv_cache_dtype: Option<KvCacheDtype>,
    /// Quantization of the weights.
    pub(crate) quantization: Option<Quantization>,
    /// Tensor-parallel size. Default: what the hardware's count leaves.
    pub(crate) tensor_parallel: Option<u32>,
    /// Pipeline-parallel size.
    pub(crate) pipeline_parallel: Option<u32>,
    /// Data-parallel size.
    pub(crate) data_parallel: Option<u32>,
    /// Whether experts are sharded over the whole group.
    pub(crate) expert_parallel: Option<bool>,
    /// Share of the accelerator's memory the engine may take, above 0, at most 1.
    pub(crate) gpu_memory_utilization: Option<f64>,
}

/// Speculative decoding.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Speculative")]
pub(crate) struct RawSpeculative {
    /// How drafts are made: `ngram`, `draft_model`, `suffix`, `eagle3`, `mtp`, …
    #[schemars(required)]
    pub(crate) method: Option<String>,
    /// Draft tokens per step, 1 to 128.
    #[schemars(required)]
    pub(crate) num_speculative_tokens: Option<u32>,
    /// The draft model, for methods that have one.
    pub(crate) model: Option<String>,
}

/// How the fleet is watched.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Fleet")]
pub(crate) struct RawFleet {
    /// Between two health checks of a backend. Default `2s`.
    pub(crate) health_interval: Option<DurationText>,
    /// How long one may take. Default `5s`.
    pub(crate) health_timeout: Option<DurationText>,
    /// Failures in a row that take a backend out, 1 to 1000. Default 3.
    pub(crate) unhealthy_after: Option<u32>,
    /// Between two scrapes of a backend's metrics. Default `1s`.
    pub(crate) scrape_interval: Option<DurationText>,
    /// Work in flight without a token for this long is a hang. Default `60s`.
    pub(crate) hang_after: Option<DurationText>,
    /// Between two detections of model and profile. Default `30s`.
    pub(crate) detect_interval: Option<DurationText>,
}
