//! What the facts and knobs of one backend come to: bytes, rates, shards and slots.

use gearshift_config::{HardwareFacts, Knobs, KvCacheDtype, ModelFacts, Quantization};

use super::{Reach, constants as c};

const GIB: f64 = (1u64 << 30) as f64;

/// One engine in the units the prior computes with: bytes, milliseconds, floating-point operations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Engine {
    /// Accelerators one request's dense layers are sharded over.
    pub tensor: f64,
    /// Accelerators the engine's work as a whole is spread over in each step: tensor × data parallel.
    pub group: f64,
    /// Whether attention is data-parallel.
    pub data_parallel: bool,
    /// Whether experts are sharded whole.
    pub expert_parallel: bool,
    /// Memory bandwidth of one accelerator, bytes per ms.
    pub bytes_per_ms: f64,
    /// Peak of one accelerator in the weights' arithmetic, FLOP per ms.
    pub flops_per_ms: f64,
    /// Its BF16 peak, which attention uses, FLOP per ms.
    pub bf16_flops_per_ms: f64,
    /// Bandwidth to a peer, bytes per ms.
    pub link_bytes_per_ms: f64,
    /// Memory of one accelerator, bytes.
    pub memory_bytes: f64,
    /// Share of it that the engine may take.
    pub memory_utilization: f64,
    /// Weights every token reads, bytes.
    pub dense_bytes: f64,
    /// All routed experts, bytes.
    pub expert_bytes: f64,
    /// Bytes of a weight as it is multiplied: of the experts where there are any.
    pub bytes_per_weight: f64,
    /// KV cache of one token that all layers see, bytes.
    pub kv_bytes: f64,
    /// How much of a context is kept.
    pub reach: Reach,
    /// Accelerators one token's KV cache is divided over.
    pub kv_shard: f64,
    /// Tokens of [`Self::reach`] that the KV cache holds; infinite where the numbers leave no room (they contradict each other).
    pub kv_tokens: f64,
    /// As `kv_tokens`, but negative where the weights alone do not fit.
    pub kv_room_tokens: f64,
    /// Sequences in one step at most.
    pub slots: f64,
    /// Tokens in one step at most; infinite without chunked prefill.
    pub step_tokens: f64,
}

impl Engine {
    pub(crate) fn new(hardware: &HardwareFacts, count: u32, model: &ModelFacts, knobs: &Knobs) -> Self {
        let pipeline = at_least_one(knobs.pipeline_parallel);
        let data = at_least_one(knobs.data_parallel);
        // Pipeline stages run one after the other: they add memory and throughput, not speed. No fitted row has any.
        let tensor = knobs.tensor_parallel.map_or_else(
            || (f64::from(count) / (pipeline * data)).floor().max(1.0),
            |tp| at_least_one(Some(tp)),
        );
        let group = tensor * data;
        let data_parallel = data > 1.0;
        let weights = Weights::new(hardware, model, knobs.quantization);
        let expert_parameters = model.experts.map_or(0.0, |experts| experts.parameters_b * 1e9);
        let dense_bytes = (model.parameters_b * 1e9 - expert_parameters).max(0.0) * weights.dense_bytes;
        let expert_bytes = expert_parameters * weights.expert_bytes;
        let kv_bytes = model.kv_bytes_per_token(knobs.kv_cache_dtype.unwrap_or(KvCacheDtype::Auto).bytes());
        let kv_shard = kv_shard(model, tensor, data);
        let resident = dense_bytes * data + expert_bytes;
        let memory_bytes = hardware.memory_gib * GIB;
        let memory_utilization = knobs.gpu_memory_utilization.unwrap_or(c::MEMORY_UTILIZATION);
        let memory = memory_bytes * memory_utilization * c::AFTER_ACTIVATIONS;
        // Replicated KV heads take their room once per replica.
        let kv_room = (memory * group * pipeline - resident) * kv_shard / group;
        let large = hardware.memory_gib >= c::LARGE_GPU_GIB;
        let pick = |(on_large, on_other)| if large { on_large } else { on_other };
        Self {
            tensor,
            group,
            data_parallel,
            expert_parallel: knobs.expert_parallel == Some(true) && model.experts.is_some(),
            bytes_per_ms: positive(hardware.memory_gb_per_s * 1e6),
            flops_per_ms: positive(weights.tflops * 1e9),
            bf16_flops_per_ms: positive(hardware.bf16_tflops * 1e9),
            link_bytes_per_ms: positive(hardware.interconnect_gb_per_s * 1e6),
            memory_bytes: positive(memory_bytes),
            memory_utilization,
            dense_bytes,
            expert_bytes,
            bytes_per_weight: weights.expert_bytes,
            kv_bytes,
            reach: Reach::new(model),
            kv_shard,
            kv_tokens: if kv_room > 0.0 && kv_bytes > 0.0 { kv_room / kv_bytes } else { f64::INFINITY },
            kv_room_tokens: kv_room / kv_bytes.max(f64::MIN_POSITIVE),
            slots: knobs.max_num_seqs.map_or_else(|| pick(c::STEP_SEQUENCES), |n| at_least_one(Some(n)))
                * data,
            step_tokens: if knobs.chunked_prefill == Some(false) {
                f64::INFINITY
            } else {
                knobs.max_num_batched_tokens.map_or_else(|| pick(c::STEP_TOKENS), |n| at_least_one(Some(n)))
            },
        }
    }
}

fn at_least_one(count: Option<u32>) -> f64 {
    f64::from(count.unwrap_or(1).max(1))
}

/// A rate that nothing may be divided by zero with; the catalog's own are checked, a user's may be wrong.
fn positive(rate: f64) -> f64 {
    if rate > 1.0 { rate } else { 1.0 }
}

/// Latent attention replicates its cache over a tensor group; grouped-query attention shards by KV head.
fn kv_shard(model: &ModelFacts, tensor: f64, data: f64) -> f64 {
    let within = match model.mla_kv_width {
        Some(_) => 1.0,
        None => tensor.min(f64::from(model.kv_heads.max(1))),
    };
    within * data
}

/// How weights are stored and multiplied.
struct Weights {
    dense_bytes: f64,
    expert_bytes: f64,
    tflops: f64,
}

impl Weights {
    /// As in the fitted rows: mixtures keep their dense layers wider than their 4-bit experts; 4-bit integers
    /// multiply at the BF16 peak; a part without a unit for the format multiplies at the BF16 peak too.
    fn new(hardware: &HardwareFacts, model: &ModelFacts, quantization: Option<Quantization>) -> Self {
        let moe = model.experts.is_some();
        let bf16 = hardware.bf16_tflops;
        let eight = hardware.fp8_tflops.unwrap_or(bf16);
        let fp8 = if has_fp8_unit(hardware) { eight } else { bf16 };
        let fp4 = hardware.fp4_tflops.unwrap_or(bf16);
        let (dense_bytes, expert_bytes, tflops) = match quantization.unwrap_or(Quantization::None) {
            Quantization::None if model.weight_bytes > 1.5 => (model.weight_bytes, model.weight_bytes, bf16),
            Quantization::None if model.weight_bytes > 0.75 => (model.weight_bytes, model.weight_bytes, fp8),
            Quantization::None => (if moe { 2.0 } else { model.weight_bytes }, model.weight_bytes, fp4),
            Quantization::Fp8 => (1.0, 1.0, fp8),
            Quantization::Int8 => (1.0, 1.0, eight),
            Quantization::Int4 => (if moe { 2.0 } else { c::FOUR_BIT }, c::FOUR_BIT, bf16),
            Quantization::Fp4 => (if moe { 1.0 } else { c::FOUR_BIT }, c::FOUR_BIT, fp4),
        };
        Self { dense_bytes, expert_bytes, tflops }
    }
}

/// Parts without FP8 arithmetic: the catalog's 8-bit peak is their INT8 one, and FP8 weights are widened first.
fn has_fp8_unit(hardware: &HardwareFacts) -> bool {
    !matches!(
        hardware.architecture.as_str(),
        "volta"
            | "turing"
            | "ampere"
            | "cdna2"
            | "tpu_v5e"
            | "trillium"
            | "sapphire_rapids"
            | "granite_rapids"
            | "zen4"
            | "zen5"
    )
}
