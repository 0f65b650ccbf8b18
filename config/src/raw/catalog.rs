//! Hardware and models in numbers. The shipped catalog and a user's own entries have the same shape.

use schemars::JsonSchema;
use serde::Deserialize;

/// One accelerator in numbers. Peaks are dense, without structured sparsity.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Hardware")]
pub(crate) struct RawHardware {
    /// Entry of the catalog that gives every number not stated here.
    pub(crate) like: Option<String>,
    /// One or two sentences.
    pub(crate) description: Option<String>,
    /// Where the numbers come from.
    pub(crate) source: Option<String>,
    /// Vendor, lower case.
    pub(crate) vendor: Option<String>,
    /// Architecture, lower case.
    pub(crate) architecture: Option<String>,
    /// Dense BF16 peak (FP16 where the part has no BF16), TFLOP/s.
    pub(crate) bf16_tflops: Option<f64>,
    /// Dense FP8 peak (INT8 where the part has no FP8), TFLOP/s.
    pub(crate) fp8_tflops: Option<f64>,
    /// Dense FP4 peak, TFLOP/s.
    pub(crate) fp4_tflops: Option<f64>,
    /// Memory bandwidth, GB/s.
    pub(crate) memory_gb_per_s: Option<f64>,
    /// Memory, GiB.
    pub(crate) memory_gib: Option<f64>,
    /// Bandwidth to a peer in the same machine, GB/s, one direction.
    pub(crate) interconnect_gb_per_s: Option<f64>,
    /// Price of renting one, US dollars an hour.
    pub(crate) price_usd_per_hour: Option<f64>,
    /// Board power limit, W.
    pub(crate) tdp_w: Option<f64>,
    /// Power when idle with a model loaded, W.
    pub(crate) idle_w: Option<f64>,
}

/// A model that clients may name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Model")]
pub(crate) struct RawModel {
    /// Entry of the catalog with its numbers; a catalog id or a Hugging Face name. Default: the model's own name, where
    /// the catalog has it.
    pub(crate) catalog: Option<String>,
    /// A Hugging Face `config.json` to read its numbers from.
    pub(crate) config_json: Option<String>,
    /// Its numbers.
    pub(crate) numbers: Option<RawModelNumbers>,
    /// Other names that clients may use.
    pub(crate) aliases: Vec<String>,
    /// The name the engines serve it under. Default: the model's own name.
    pub(crate) served_name: Option<String>,
}

/// A model in numbers.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "ModelNumbers")]
pub(crate) struct RawModelNumbers {
    /// One or two sentences.
    pub(crate) description: Option<String>,
    /// Parameters in total, billions.
    #[schemars(required)]
    pub(crate) parameters_b: Option<f64>,
    /// Parameters active per token, billions. Default: all.
    pub(crate) active_parameters_b: Option<f64>,
    /// Transformer layers.
    #[schemars(required)]
    pub(crate) layers: Option<u32>,
    /// Hidden size.
    #[schemars(required)]
    pub(crate) hidden: Option<u32>,
    /// Attention (query) heads.
    #[schemars(required)]
    pub(crate) heads: Option<u32>,
    /// Key/value heads. Default: as many as `heads`.
    pub(crate) kv_heads: Option<u32>,
    /// Dimension of one head. Default: `hidden` / `heads`.
    pub(crate) head_dim: Option<u32>,
    /// Compressed KV width per token and layer, elements, for multi-head latent attention.
    pub(crate) mla_kv_width: Option<u32>,
    /// Layers whose attention sees only the last tokens.
    pub(crate) sliding_window: Option<RawSlidingWindow>,
    /// Bytes per weight as published. Default 2.
    pub(crate) weight_bytes: Option<f64>,
    /// Longest context, tokens.
    #[schemars(required)]
    pub(crate) context: Option<u32>,
    /// Expert layers, for a mixture of experts.
    pub(crate) experts: Option<RawExperts>,
}

/// Layers whose attention sees only the last tokens.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "SlidingWindow")]
pub(crate) struct RawSlidingWindow {
    /// How many layers.
    #[schemars(required)]
    pub(crate) layers: Option<u32>,
    /// How many tokens they see.
    #[schemars(required)]
    pub(crate) tokens: Option<u32>,
}

/// The expert layers of a mixture of experts.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Experts")]
pub(crate) struct RawExperts {
    /// Routed experts per layer.
    #[schemars(required)]
    pub(crate) total: Option<u32>,
    /// Experts a token is routed to.
    #[schemars(required)]
    pub(crate) active: Option<u32>,
    /// Parameters in all routed experts of all layers, billions.
    #[schemars(required)]
    pub(crate) parameters_b: Option<f64>,
}
