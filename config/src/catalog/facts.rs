//! The catalog: what is known of hardware and models, as data.

/// One accelerator of a kind, in numbers. Peaks are dense (no structured sparsity).
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct HardwareFacts {
    /// One or two sentences for people and for the text encoder.
    pub description: String,
    /// Vendor, lower case: `nvidia`, `amd`, `intel`, `google`.
    pub vendor: String,
    /// Architecture, lower case: `hopper`, `blackwell`, `cdna3`, …
    pub architecture: String,
    /// Dense BF16 (FP16 where the part has no BF16) peak, TFLOP/s.
    pub bf16_tflops: f64,
    /// Dense FP8 (INT8 where the part has no FP8) peak, TFLOP/s, where it has either.
    pub fp8_tflops: Option<f64>,
    /// Dense FP4 peak, TFLOP/s, where the part has it.
    pub fp4_tflops: Option<f64>,
    /// Memory bandwidth, GB/s (10⁹ bytes per second).
    pub memory_gb_per_s: f64,
    /// Memory, GiB.
    pub memory_gib: f64,
    /// Bandwidth to a peer accelerator in the same machine, GB/s, one direction.
    pub interconnect_gb_per_s: f64,
    /// List price of renting one, US dollars an hour.
    pub price_usd_per_hour: f64,
    /// Board power limit, W.
    pub tdp_w: f64,
    /// Power when idle with a model loaded, W.
    pub idle_w: f64,
}

impl HardwareFacts {
    /// Whether it is a CPU's socket, by its architecture: one of the catalog's, or `cpu`.
    pub fn is_cpu(&self) -> bool {
        matches!(self.architecture.as_str(), "sapphire_rapids" | "granite_rapids" | "zen4" | "zen5" | "cpu")
    }
}

/// The expert layers of a mixture-of-experts model.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Experts {
    /// Routed experts per layer.
    pub total: u32,
    /// Experts a token is routed to.
    pub active: u32,
    /// Parameters in all routed experts of all layers, billions.
    pub parameters_b: f64,
}

/// Layers whose attention sees only the last tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct SlidingWindow {
    /// How many layers.
    pub layers: u32,
    /// How many tokens they see.
    pub tokens: u32,
}

/// A model, in numbers.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct ModelFacts {
    /// One or two sentences for people and for the text encoder.
    pub description: String,
    /// Parameters in total, billions.
    pub parameters_b: f64,
    /// Parameters active per token, billions; equals `parameters_b` for a dense model.
    pub active_parameters_b: f64,
    /// Transformer layers.
    pub layers: u32,
    /// Hidden size.
    pub hidden: u32,
    /// Attention (query) heads.
    pub heads: u32,
    /// Key/value heads.
    pub kv_heads: u32,
    /// Dimension of one head.
    pub head_dim: u32,
    /// Compressed KV width per token and layer for multi-head latent attention, elements.
    pub mla_kv_width: Option<u32>,
    /// Layers with a sliding window, where there are any.
    pub sliding_window: Option<SlidingWindow>,
    /// Bytes per weight as served without further quantization.
    pub weight_bytes: f64,
    /// Longest context, tokens.
    pub context: u32,
    /// Expert layers, for a mixture of experts.
    pub experts: Option<Experts>,
}

impl ModelFacts {
    /// Bytes of KV cache one token occupies over all layers, at `element_bytes` per element.
    pub fn kv_bytes_per_token(&self, element_bytes: f64) -> f64 {
        let per_layer = match self.mla_kv_width {
            Some(width) => f64::from(width),
            None => 2.0 * f64::from(self.kv_heads) * f64::from(self.head_dim),
        };
        per_layer * f64::from(self.layers) * element_bytes
    }
}
