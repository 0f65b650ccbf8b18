//! Rows for tests.

use gearshift_config::{Catalog, Knobs, KvCacheDtype, Quantization, SlidingWindow, Speculative};
use gearshift_selector::{EngineKind, Software};

use crate::{Facts, Grain, Load, Observation, Outcome, Source, Workload};

/// A row with no optional value, and one with all.
pub(crate) fn rows() -> Vec<Observation> {
    let catalog = Catalog::shipped();
    let model_facts = catalog.model("llama-3.1-8b").unwrap().as_ref().clone();
    let facts = Facts {
        model: "llama-3.1-8b".into(),
        family: "llama-3.1-8b".into(),
        model_facts,
        hardware: "a100_sxm_80gb".into(),
        hardware_facts: catalog.hardware("h200_sxm").unwrap().as_ref().clone(),
        count: 2,
        knobs: Knobs::default(),
        lossless: true,
        software: Software::default(),
        engine_version: None,
        kv_tokens: None,
    };
    let workload = Workload {
        name: "chat".into(),
        description: "Short questions, short answers.".into(),
        prompt_tokens: 512.0,
        cached_tokens: 0.0,
        output_tokens: 128.5,
        concurrency: 8.0,
        prompt_spread: 0.0,
        output_spread: 0.3,
    };
    let plain = Observation {
        source: Source::Live,
        grain: Grain::Request,
        dataset: "own".into(),
        provenance: "test".into(),
        context: "c".into(),
        action: "a".into(),
        repeat: 0,
        at_unix_s: None,
        facts,
        workload,
        load: Load { sequences: 7.0, ..Load::default() },
        outcome: Outcome { requests: 1, ..Outcome::default() },
    };
    let mut full = plain.clone();
    full.facts.hardware_facts.fp8_tflops = Some(1.0);
    full.facts.hardware_facts.fp4_tflops = Some(2.0);
    full.facts.hardware_facts.description = "Ümlaut, \"quoted\"".into();
    fill(&mut full);
    vec![plain, full]
}

fn fill(row: &mut Observation) {
    let sparse = Catalog::shipped().model("deepseek-v3").unwrap();
    row.at_unix_s = Some(1_780_000_000);
    row.facts.model_facts = sparse.as_ref().clone();
    row.facts.model_facts.sliding_window = Some(SlidingWindow { layers: 3, tokens: 128 });
    row.facts.knobs = Knobs {
        prefix_caching: Some(true),
        chunked_prefill: Some(false),
        max_num_batched_tokens: Some(2048),
        max_num_seqs: Some(256),
        max_model_len: Some(4096),
        speculative: Some(Speculative {
            method: "ngram".into(),
            num_speculative_tokens: 3,
            model: Some("d".into()),
        }),
        kv_cache_dtype: Some(KvCacheDtype::Fp8),
        quantization: Some(Quantization::Int4),
        tensor_parallel: Some(2),
        pipeline_parallel: Some(1),
        data_parallel: Some(4),
        expert_parallel: Some(true),
        gpu_memory_utilization: Some(0.9),
    };
    row.facts.software = Software { engine: EngineKind::Sglang, months: Some(-1.5) };
    row.facts.engine_version = Some("0.5.9".into());
    row.facts.kv_tokens = Some(123_456);
    row.load.full_at = Some(40.0);
    row.load.age_s = Some(0.25);
    row.outcome = Outcome {
        requests: 100,
        failed: 1,
        ttft_s: Some(0.1),
        ttft_p90_s: Some(0.2),
        tpot_s: Some(0.01),
        tpot_p90_s: Some(0.02),
        e2e_s: Some(1.5),
        output_tokens_per_s: Some(1000.0),
        joules_per_token: Some(0.5),
        cached_tokens: Some(256.0),
        agreement: Some(1.0),
        reference_e2e_s: Some(1.4),
        reference_tpot_s: Some(0.009),
    };
}
