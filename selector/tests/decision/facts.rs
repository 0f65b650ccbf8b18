//! Datasheet numbers for tests and benches; the catalog has its own copy with sources.

use gearshift_config::{HardwareFacts, ModelFacts};

/// Hardware by its main numbers.
fn hardware(
    architecture: &str,
    tflops: (f64, Option<f64>),
    memory: (f64, f64),
    link: f64,
    price: f64,
    power: (f64, f64),
) -> HardwareFacts {
    HardwareFacts {
        description: String::new(),
        vendor: "nvidia".into(),
        architecture: architecture.into(),
        bf16_tflops: tflops.0,
        fp8_tflops: tflops.1,
        fp4_tflops: None,
        memory_gb_per_s: memory.0,
        memory_gib: memory.1,
        interconnect_gb_per_s: link,
        price_usd_per_hour: price,
        tdp_w: power.0,
        idle_w: power.1,
    }
}

/// NVIDIA T4.
pub(crate) fn t4() -> HardwareFacts {
    hardware("turing", (65.0, Some(130.0)), (320.0, 16.0), 16.0, 0.35, (70.0, 17.0))
}

/// NVIDIA H100 SXM.
pub(crate) fn h100() -> HardwareFacts {
    hardware("hopper", (989.0, Some(1979.0)), (3350.0, 80.0), 450.0, 2.99, (700.0, 110.0))
}

/// Llama 3.2 3B: fits a T4 in BF16.
pub(crate) fn llama_3b() -> ModelFacts {
    ModelFacts {
        description: String::new(),
        parameters_b: 3.2,
        active_parameters_b: 3.2,
        layers: 28,
        hidden: 3072,
        heads: 24,
        kv_heads: 8,
        head_dim: 128,
        mla_kv_width: None,
        sliding_window: None,
        weight_bytes: 2.0,
        context: 131_072,
        experts: None,
    }
}
