//! Knobs as vLLM's command line takes them.

use gearshift_config::{Knobs, KvCacheDtype, Quantization};

/// Arguments of `vllm serve MODEL` for these knobs; what they leave open is left to vLLM. Four-bit weights have no
/// switch: they need a checkpoint that was made so.
pub fn serve_arguments(knobs: &Knobs) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut number = |name: &str, value: Option<u32>| {
        arguments.extend(value.map(|value| format!("--{name}={value}")));
    };
    number("tensor-parallel-size", knobs.tensor_parallel);
    number("pipeline-parallel-size", knobs.pipeline_parallel);
    number("data-parallel-size", knobs.data_parallel);
    number("max-model-len", knobs.max_model_len);
    number("max-num-batched-tokens", knobs.max_num_batched_tokens);
    number("max-num-seqs", knobs.max_num_seqs);
    let mut switch = |name: &str, value: Option<bool>| match value {
        Some(true) => arguments.push(format!("--{name}")),
        Some(false) => arguments.push(format!("--no-{name}")),
        None => {}
    };
    switch("enable-expert-parallel", knobs.expert_parallel.filter(|&on| on));
    switch("enable-prefix-caching", knobs.prefix_caching);
    switch("enable-chunked-prefill", knobs.chunked_prefill);
    match knobs.kv_cache_dtype {
        Some(KvCacheDtype::Fp8) => arguments.push("--kv-cache-dtype=fp8".into()),
        Some(KvCacheDtype::Bfloat16) => arguments.push("--kv-cache-dtype=bfloat16".into()),
        Some(KvCacheDtype::Auto) | None => {}
    }
    match knobs.quantization {
        Some(Quantization::Fp8) => arguments.push("--quantization=fp8".into()),
        Some(Quantization::None | Quantization::Int8 | Quantization::Int4 | Quantization::Fp4) | None => {}
    }
    if let Some(speculative) = &knobs.speculative {
        let mut config = serde_json::json!({
            "method": speculative.method,
            "num_speculative_tokens": speculative.num_speculative_tokens,
        });
        if let Some(model) = &speculative.model {
            config["model"] = model.as_str().into();
        }
        arguments.push(format!("--speculative-config='{config}'"));
    }
    arguments.extend(knobs.gpu_memory_utilization.map(|share| format!("--gpu-memory-utilization={share}")));
    arguments
}
