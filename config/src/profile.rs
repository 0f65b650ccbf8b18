//! Profiles: named sets of engine knobs.

use crate::ProfileId;
/// A named set of engine knobs.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Profile {
    /// Its name.
    pub id: ProfileId,
    /// Whether it leaves the model's outputs as they are.
    pub lossless: bool,
    /// The knobs it sets; the rest is the engine's default.
    pub knobs: Knobs,
}

/// Engine knobs; `None` leaves the engine's default.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// Automatic prefix caching.
    pub prefix_caching: Option<bool>,
    /// Chunked prefill.
    pub chunked_prefill: Option<bool>,
    /// Token budget of one step.
    pub max_num_batched_tokens: Option<u32>,
    /// Sequences in one step at most.
    pub max_num_seqs: Option<u32>,
    /// Longest context served.
    pub max_model_len: Option<u32>,
    /// Speculative decoding.
    pub speculative: Option<Speculative>,
    /// KV-cache dtype.
    pub kv_cache_dtype: Option<KvCacheDtype>,
    /// Weight quantization.
    pub quantization: Option<Quantization>,
    /// Tensor-parallel size; the hardware's count where absent.
    pub tensor_parallel: Option<u32>,
    /// Pipeline-parallel size.
    pub pipeline_parallel: Option<u32>,
    /// Data-parallel size.
    pub data_parallel: Option<u32>,
    /// Whether experts are sharded over the group.
    pub expert_parallel: Option<bool>,
    /// Share of the accelerator's memory the engine may take.
    pub gpu_memory_utilization: Option<f64>,
}

impl Knobs {
    /// These knobs, with what they leave open taken from `other`.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            prefix_caching: self.prefix_caching.or(other.prefix_caching),
            chunked_prefill: self.chunked_prefill.or(other.chunked_prefill),
            max_num_batched_tokens: self.max_num_batched_tokens.or(other.max_num_batched_tokens),
            max_num_seqs: self.max_num_seqs.or(other.max_num_seqs),
            max_model_len: self.max_model_len.or(other.max_model_len),
            speculative: self.speculative.clone().or_else(|| other.speculative.clone()),
            kv_cache_dtype: self.kv_cache_dtype.or(other.kv_cache_dtype),
            quantization: self.quantization.or(other.quantization),
            tensor_parallel: self.tensor_parallel.or(other.tensor_parallel),
            pipeline_parallel: self.pipeline_parallel.or(other.pipeline_parallel),
            data_parallel: self.data_parallel.or(other.data_parallel),
            expert_parallel: self.expert_parallel.or(other.expert_parallel),
            gpu_memory_utilization: self.gpu_memory_utilization.or(other.gpu_memory_utilization),
        }
    }

    /// Whether these knobs leave the model's outputs as they are. Speculation does: rejected drafts leave no
    /// trace in what is sampled.
    pub fn lossless(&self) -> bool {
        matches!(self.quantization, None | Some(Quantization::None))
            && !matches!(self.kv_cache_dtype, Some(KvCacheDtype::Fp8))
    }
}

/// Speculative decoding.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speculative {
    /// How drafts are made: `ngram`, `draft_model`, `suffix`, `eagle3`, `mtp`, ….
    pub method: String,
    /// Draft tokens per step.
    pub num_speculative_tokens: u32,
    /// The draft model, for methods that have one.
    pub model: Option<String>,
}

/// KV-cache element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KvCacheDtype {
    /// The model's own type (two bytes for most).
    Auto,
    /// Two bytes.
    Bfloat16,
    /// One byte, any FP8 variant.
    Fp8,
}

impl KvCacheDtype {
    /// Bytes of one element.
    pub fn bytes(self) -> f64 {
        match self {
            Self::Auto | Self::Bfloat16 => 2.0,
            Self::Fp8 => 1.0,
        }
    }
}

/// Weight quantization, by what matters to speed: bytes per weight and the unit that multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantization {
    /// None.
    None,
    /// 8-bit floating point weights and activations.
    Fp8,
    /// 8-bit integer weights and activations.
    Int8,
    /// 4-bit weights, 16-bit arithmetic (AWQ, GPTQ, …).
    Int4,
    /// 4-bit floating point.
    Fp4,
}
