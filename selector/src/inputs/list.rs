//! The list: each input's name beside what it is.

use gearshift_config::{HardwareFacts, KvCacheDtype, ModelFacts};

use super::scale::{between_0_and, flag, log2, log2_count, log2_from_1, share};
use crate::{
    deployment::{Deployment, EngineKind},
    features::Situation,
    prior::{self, Engine, Prior, Reach, Terms},
};

/// Software ages are below this; the prior limits them further.
const MONTHS: f32 = 36.0;

/// Declares a token: its names, in order, and the function that makes its numbers.
macro_rules! token {
    (
        $(#[$doc:meta])* $vis:vis $NAMES:ident
        = fn $make:ident($($arg:ident: $Type:ty),*) { $($setup:tt)* }
        [$($name:literal = $value:expr,)*]
    ) => {
        $(#[$doc])*
        $vis const $NAMES: [&str; [$($name),*].len()] = [$($name),*];

        pub(super) fn $make($($arg: $Type),*) -> [f32; $NAMES.len()] {
            $($setup)*
            [$($value),*]
        }
    };
}

token! {
    /// Numbers of the model token.
    pub MODEL = fn model_token(m: &ModelFacts) {
        let experts = m.experts.filter(|x| x.total > 0);
        let sliding = m.sliding_window.map_or(0.0, |w| f64::from(w.layers) / f64::from(m.layers.max(1)));
    } [
        "model.log2_parameters_b" = log2(m.parameters_b),
        "model.active_share" = share(m.active_parameters_b / m.parameters_b),
        "model.log2_layers" = log2_count(m.layers),
        "model.log2_hidden" = log2_count(m.hidden),
        "model.log2_heads" = log2_count(m.heads),
        "model.log2_kv_heads" = log2_count(m.kv_heads),
        "model.log2_head_dim" = log2_count(m.head_dim),
        "model.log2_kv_bytes_per_token" = log2_from_1(m.kv_bytes_per_token(KvCacheDtype::Auto.bytes())),
        "model.latent_attention" = flag(m.mla_kv_width.is_some()),
        "model.experts" = flag(experts.is_some()),
        "model.log2_experts" = experts.map_or(0.0, |x| log2_count(x.total)),
        "model.log2_active_experts" = experts.map_or(0.0, |x| log2_count(x.active)),
        "model.weight_bytes" = between_0_and(8.0, m.weight_bytes),
        "model.sliding_share" = share(sliding),
    ]
}

token! {
    /// Numbers of the hardware token; of one accelerator, but for the count.
    pub HARDWARE = fn hardware_token(h: &HardwareFacts, count: u32) {
        let over_bf16 = |peak: Option<f64>| peak.map_or(0.0, |peak| log2(peak / h.bf16_tflops));
    } [
        "hardware.log2_bf16_tflops" = log2_from_1(h.bf16_tflops),
        "hardware.log2_fp8_over_bf16" = over_bf16(h.fp8_tflops),
        "hardware.log2_fp4_over_bf16" = over_bf16(h.fp4_tflops),
        "hardware.log2_gb_per_s" = log2_from_1(h.memory_gb_per_s),
        "hardware.log2_gib" = log2_from_1(h.memory_gib),
        "hardware.log2_link_gb_per_s" = log2_from_1(h.interconnect_gb_per_s),
        "hardware.log2_flops_per_byte" = log2_from_1(1e3 * h.bf16_tflops / h.memory_gb_per_s),
        "hardware.log2_tdp_w" = log2_from_1(h.tdp_w),
        "hardware.log2_count" = log2_count(count),
    ]
}

token! {
    /// Numbers of the profile token. What a profile leaves open is the engine's default.
    pub PROFILE = fn profile_token(d: &Deployment, e: &Engine) {
        let k = &d.knobs;
        let data = f64::from(k.data_parallel.unwrap_or(1).max(1));
        // A step of an engine that does not chunk takes the longest prompt it serves.
        let longest = f64::from(k.max_model_len.unwrap_or(d.model.context));
        let drafts = k.speculative.as_ref().filter(|s| s.num_speculative_tokens > 0);
        let from_text = drafts.is_some_and(|s| s.method == "ngram" || s.method == "suffix");
        let engine = d.software.engine;
    } [
        "profile.prefix_caching" = flag(k.prefix_caching != Some(false)),
        "profile.whole_prefill" = flag(k.chunked_prefill == Some(false)),
        "profile.log2_step_tokens"
            = log2_from_1(if e.step_tokens.is_finite() { e.step_tokens } else { longest }),
        "profile.log2_slots" = log2_from_1(e.slots / data),
        "profile.draft_tokens"
            = drafts.map_or(0.0, |s| between_0_and(16.0, f64::from(s.num_speculative_tokens))),
        "profile.ngram" = flag(from_text),
        "profile.trained_drafts" = flag(drafts.is_some() && !from_text),
        "profile.kv_bytes" = between_0_and(8.0, k.kv_cache_dtype.unwrap_or(KvCacheDtype::Auto).bytes()),
        "profile.weight_bytes" = between_0_and(8.0, e.bytes_per_weight),
        "profile.quantized" = flag(k.quantization.is_some_and(|q| q != gearshift_config::Quantization::None)),
        "profile.log2_tensor_parallel" = log2_from_1(e.tensor),
        "profile.log2_data_parallel" = log2_from_1(data),
        "profile.log2_pipeline_parallel" = log2_count(k.pipeline_parallel.unwrap_or(1)),
        "profile.expert_parallel" = flag(e.expert_parallel),
        "profile.memory_utilization" = share(e.memory_utilization),
        "profile.vllm" = flag(engine == EngineKind::Vllm),
        "profile.sglang" = flag(engine == EngineKind::Sglang),
        "profile.tensorrt_llm" = flag(engine == EngineKind::TensorrtLlm),
        "profile.software_months" = between_0_and(MONTHS, prior::months(&d.software)),
    ]
}

/// The query's numbers that change only with the configuration; the prior keeps them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EngineNumbers {
    group: f32,
    flops_per_byte: f32,
    weights_over_memory: f32,
    /// KV cache of one token on one accelerator, over its memory.
    kv_token_over_memory: f64,
    reach: Reach,
    hidden_per_accelerator: f32,
    kv_heads_per_accelerator: f32,
    /// Experts a token is routed to, and experts; equal for a dense model.
    experts: (f64, f64),
    data_parallel: f32,
    expert_parallel: f32,
    engine: EngineKind,
    months: f32,
}

impl EngineNumbers {
    pub(crate) fn new(deployment: &Deployment, e: &Engine) -> Self {
        let model = &deployment.model;
        let kv_heads = if model.mla_kv_width.is_some() { 0.0 } else { f64::from(model.kv_heads) };
        let experts = model.experts.filter(|x| x.total > 0);
        Self {
            group: log2_from_1(e.group),
            flops_per_byte: log2_from_1(e.flops_per_ms / e.bytes_per_ms),
            weights_over_memory: between_0_and(
                4.0,
                (e.dense_bytes / e.tensor + e.expert_bytes / e.group) / e.memory_bytes,
            ),
            kv_token_over_memory: e.kv_bytes / e.kv_shard / e.memory_bytes,
            reach: e.reach,
            hidden_per_accelerator: log2(f64::from(model.hidden) / e.group),
            kv_heads_per_accelerator: between_0_and(64.0, kv_heads / e.group),
            experts: experts
                .map_or((1.0, 1.0), |x| (f64::from(x.active.clamp(1, x.total)), f64::from(x.total))),
            data_parallel: flag(e.data_parallel),
            expert_parallel: flag(e.expert_parallel),
            engine: deployment.software.engine,
            months: between_0_and(MONTHS, prior::months(&deployment.software)),
        }
    }
}

/// How many of [`QUERY`], from its first, have centred copies: those that differ between candidates.
pub const CENTRED: usize = 39;

/// Position of the prior's end to end time.
pub(super) const PRIOR_E2E: usize = 12;

token! {
    /// Numbers of the query token that are given as they are; the first [`CENTRED`] have centred copies too.
    pub QUERY = fn query_token(prior: &Prior, t: &Terms, s: &Situation) {
        let n = &prior.numbers;
        let (load, batch) = (&s.load, t.concurrency);
        let e2e = t.e2e_ms(s).max(1e-9);
        let per_e2e = 1.0 / e2e;
        let steps = s.decode_tokens() / t.tokens_per_step;
        // A term of the first token's time, and one of each step.
        let once = |ms: f64| share(ms * per_e2e);
        let each = |ms: f64| share(ms * steps * per_e2e);
        let weights = t.dense_weights + t.experts;
        let prefill = t.queued_prefill + t.own_prefill + steps * t.interference;
        let decode = t.first_steps + steps * t.step_ms();
        let joined = load.sequences + s.sequences;
        let slots = prior.slots(s);
        let context = load.context_tokens + s.sequences * (s.prompt_tokens + s.output_tokens);
        let prompt = log2_from_1(s.prompt_tokens);
        let output = log2_from_1(s.output_tokens);
        let sequences = log2_from_1(joined);
        let (active, total) = n.experts;
        let reached = (total * prior.routed(batch)).max(1.0);
        let per_expert = log2(batch * active / reached);
        let step_room = if prior.step_tokens.is_finite() { prior.step_tokens } else { s.uncached_tokens() };
    } [
        "share.slot_wait" = once(t.slot_wait),
        "share.queued_prefill" = once(t.queued_prefill),
        "share.own_prefill" = once(t.own_prefill),
        "share.first_steps" = once(t.first_steps),
        "share.dense_weights" = each(t.dense_weights),
        "share.experts" = each(t.experts),
        "share.kv_cache" = each(t.kv_cache),
        "share.arithmetic" = each(t.arithmetic),
        "share.collectives" = each(t.collectives),
        "share.overhead" = each(t.overhead),
        "share.drafts" = each(t.drafts),
        "share.interference" = each(t.interference),
        "query.log2_prior_e2e_ms" = log2(e2e),
        "query.cached_share" = share(s.cached_tokens / s.prompt_tokens),
        "query.log2_prefill_over_decode" = log2(prefill / decode),
        "query.log2_accelerators" = n.group,
        "query.log2_sequences" = sequences,
        "query.log2_sequences_per_accelerator" = sequences - n.group,
        "query.log2_sequences_over_slots" = log2(joined / slots),
        "query.log2_overflow" = log2_from_1(joined / slots),
        "query.log2_queued_over_prompt" = log2_from_1(1.0 + load.prefill_tokens / s.prompt_tokens),
        "query.log2_prompt_over_step_tokens" = log2(s.uncached_tokens() / step_room),
        "query.log2_intensity" = log2(t.arithmetic / (weights + t.kv_cache)),
        "query.log2_kv_over_weights" = log2(t.kv_cache / weights),
        "query.log2_collectives_over_weights" = log2(t.collectives / weights),
        "query.attention_of_prefill" = share(prior.attention_share(s)),
        "query.weights_over_memory" = n.weights_over_memory,
        "query.log2_kv_over_memory" = log2(joined * n.reach.tokens(context / joined) * n.kv_token_over_memory),
        "query.log2_hidden_per_accelerator" = n.hidden_per_accelerator,
        "query.kv_heads_per_accelerator" = n.kv_heads_per_accelerator,
        "query.data_parallel" = n.data_parallel,
        "query.expert_parallel" = n.expert_parallel,
        "query.data_parallel_sequences" = n.data_parallel * (sequences - n.group),
        "query.expert_parallel_tokens" = n.expert_parallel * per_expert,
        "query.vllm" = flag(n.engine == EngineKind::Vllm),
        "query.sglang" = flag(n.engine == EngineKind::Sglang),
        "query.tensorrt_llm" = flag(n.engine == EngineKind::TensorrtLlm),
        "query.software_months" = n.months,
        "query.tokens_per_step" = between_0_and(16.0, t.tokens_per_step),
        "query.log2_prompt_tokens" = prompt,
        "query.log2_output_tokens" = output,
        "query.log2_prompt_over_output" = prompt - output,
        "query.log2_decoding_share" = log2((load.decoding + s.sequences) / joined),
        "query.log2_tokens_per_expert" = per_expert,
        "query.experts" = flag(total > 1.0),
        "query.expert_sparsity" = share(active / total),
        "query.log2_flops_per_byte" = n.flops_per_byte,
    ]
}
