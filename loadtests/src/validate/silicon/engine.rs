//! The engine a measured row was taken on, as a specification for the simulator.

use std::sync::Arc;

use gearshift_config::{Catalog, Knobs, KvCacheDtype, Quantization};

use super::SiliconRow;
use crate::sim::{EngineSpec, Scheduling, Times};

/// Budget of a step in the measured runs. Default: vLLM's own on these GPUs at the time.
const STEP_TOKENS: u32 = 8192;

/// The engine of a row; `None` where the catalog has no such model or hardware.
pub fn engine(row: &SiliconRow) -> Option<EngineSpec> {
    let catalog = Catalog::shipped();
    let name = row.model.strip_suffix("-FP8").unwrap_or(&row.model);
    let name = name
        .strip_prefix("nvidia/Llama")
        .map_or_else(|| name.to_owned(), |rest| format!("meta-llama/Llama{rest}"));
    let quantization = match row.precision.as_str() {
        _ if row.model.ends_with("-FP8") => Quantization::Fp8,
        // Published with MXFP4 experts: what the table calls fp4 is the model as it is.
        _ if row.model.contains("gpt-oss") => Quantization::None,
        "fp8" => Quantization::Fp8,
        "fp4" => Quantization::Fp4,
        "int4" => Quantization::Int4,
        _ => Quantization::None,
    };
    // NVIDIA's FP8 and NVFP4 checkpoints carry scales for an 8-bit cache, which vLLM then takes.
    let eight = matches!(quantization, Quantization::Fp4)
        || (quantization == Quantization::Fp8 && row.model.contains("Llama"));
    let knobs = Knobs {
        prefix_caching: Some(false),
        max_num_batched_tokens: Some(STEP_TOKENS),
        max_num_seqs: Some(row.concurrency.max(256)),
        kv_cache_dtype: eight.then_some(KvCacheDtype::Fp8),
        quantization: Some(quantization),
        tensor_parallel: Some(row.tensor),
        data_parallel: Some(row.data),
        expert_parallel: Some(row.expert),
        gpu_memory_utilization: Some(0.9),
        ..Knobs::default()
    };
    Some(EngineSpec {
        name: row.id.clone(),
        hardware_id: row.system.clone(),
        hardware: Arc::clone(catalog.hardware(&row.system)?),
        count: row.count,
        model_name: row.model.clone(),
        model: Arc::clone(catalog.model(&name)?),
        knobs,
        draft: None,
        scheduling: Scheduling::Fcfs,
        max_queued: None,
        block_tokens: 16,
        blocks: None,
        times: Times { start_s: 0.0, sleep_s: 0.0, wake_s: 0.0 },
        factors: None,
    })
}
