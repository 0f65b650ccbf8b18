//! What vLLM opens with `VLLM_SERVER_DEV_MODE=1`.

use gearshift_config::{KvCacheDtype, Quantization};
use serde_json::{Value, json};

use super::{Answer, failed, reply};
use crate::serve::{errors::Failure, format::Protocol, host::Host};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    Sleep,
    Wake,
    IsSleeping,
    ResetPrefixCache,
    ServerInfo,
}

/// Does it.
pub(super) async fn answer(host: &Host, action: Action, query: &str) -> Answer {
    match action {
        Action::Sleep => match parameter(query, "level").unwrap_or("1").parse() {
            Ok(level @ 0..=2) => {
                host.fall_asleep(level).await;
                reply::ok(host, &json!({"status": "sleeping", "level": level}))
            }
            Ok(_) | Err(_) => {
                failed(host, Protocol::Chat, &Failure::parameter("level", "The level must be 0, 1 or 2."))
            }
        },
        Action::Wake => {
            host.wake_up().await;
            reply::ok(host, &json!({"status": "awake", "tags": null}))
        }
        Action::IsSleeping => reply::ok(host, &json!({"is_sleeping": host.asleep().is_some()})),
        Action::ResetPrefixCache => reply::ok(host, &json!({"success": host.reset_prefix_cache()})),
        Action::ServerInfo => reply::ok(host, &server_info(host)),
    }
}

/// The value of a query parameter.
pub(super) fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The sections of vLLM's configuration that hold knobs.
fn server_info(host: &Host) -> Value {
    let (spec, knobs) = (&host.spec, &host.spec.knobs);
    let quantization = match knobs.quantization {
        None | Some(Quantization::None) => None,
        Some(Quantization::Fp8) => Some("fp8"),
        Some(Quantization::Int8) => Some("experts_int8"),
        Some(Quantization::Int4) => Some("awq"),
        Some(Quantization::Fp4) => Some("modelopt_fp4"),
    };
    let dtype = match knobs.kv_cache_dtype {
        None | Some(KvCacheDtype::Auto) => "auto",
        Some(KvCacheDtype::Bfloat16) => "bfloat16",
        Some(KvCacheDtype::Fp8) => "fp8",
    };
    let speculative = knobs.speculative.as_ref().map(|speculative| {
        json!({
            "method": speculative.method,
            "num_speculative_tokens": speculative.num_speculative_tokens,
            "model": speculative.model,
        })
    });
    let ways = knobs.pipeline_parallel.unwrap_or(1) * knobs.data_parallel.unwrap_or(1);
    let config = json!({
        "model_config": {
            "model": spec.model_name, "served_model_name": spec.model_name, "max_model_len": host.limits().context,
            "quantization": quantization,
        },
        "cache_config": {
            "block_size": spec.block_tokens,
            "gpu_memory_utilization": knobs.gpu_memory_utilization.unwrap_or(0.92),
            "cache_dtype": dtype,
            "enable_prefix_caching": knobs.prefix_caching.unwrap_or(true),
            "num_gpu_blocks_override": spec.blocks,
        },
        "parallel_config": {
            "pipeline_parallel_size": knobs.pipeline_parallel.unwrap_or(1),
            "tensor_parallel_size": knobs.tensor_parallel.unwrap_or(spec.count / ways.max(1)),
            "data_parallel_size": knobs.data_parallel.unwrap_or(1),
            "enable_expert_parallel": knobs.expert_parallel.unwrap_or(false),
        },
        "scheduler_config": {
            "max_num_batched_tokens": knobs.max_num_batched_tokens,
            "max_num_seqs": knobs.max_num_seqs,
            "enable_chunked_prefill": knobs.chunked_prefill.unwrap_or(true),
            "max_num_queued_reqs": spec.max_queued,
        },
        "speculative_config": speculative,
    });
    json!({"vllm_config": config, "vllm_env": {}, "system_env": {}})
}
