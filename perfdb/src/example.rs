//! Rows for tests.

use gearshift_config::{Catalog, Knobs, KvCacheDtype, Objective, Quantization, SlidingWindow, Speculative};
use gearshift_selector::{EngineKind, Software, Typical};

use crate::{
    Candidates, Ended, Facts, Grain, Live, Load, Observation, Outcome, Prediction, Source, Workload,
};

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
        live: None,
    };
    let mut full = plain.clone();
    full.facts.hardware_facts.fp8_tflops = Some(1.0);
    full.facts.hardware_facts.fp4_tflops = Some(2.0);
    full.facts.hardware_facts.description = "Ümlaut, \"quoted\"".into();
    fill(&mut full);
    vec![plain, full]
}

fn fill(row: &mut Observation) {
    row.live = Some(Box::new(live()));
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

fn live() -> Live {
    let two = |first: f64| vec![first, first + 1.0];
    Live {
        backend: "b".into(),
        route: "default".into(),
        stream: true,
        attempt: 1,
        objective: Objective::Cost,
        limit_ttft_s: Some(0.5),
        limit_tpot_s: Some(0.05),
        limit_e2e_s: Some(30.0),
        bundle: Some("default".into()),
        fallback: Some("no_bundle".into()),
        considered: 2,
        sequences: Some(2),
        round_trip_s: Some(0.003),
        typical: Some(Typical { prompt_tokens: 500.0, uncached_tokens: 300.0, output_tokens: 200.0 }),
        propensity: 0.495,
        explored: true,
        prediction: Some(Prediction {
            ttft_s: 0.1,
            tpot_s: 0.01,
            e2e_s: 1.4,
            prior_ttft_s: 0.05,
            prior_tpot_s: 0.005,
            prior_e2e_s: 0.7,
            learned_ttft_factor: Some(1.1),
            learned_tpot_factor: Some(0.9),
            learned_confidence: Some(0.8),
        }),
        candidates: Candidates {
            backends: vec!["a".into(), "b".into()],
            scores: two(0.0),
            meets: two(1.0),
            ttft_s: two(2.0),
            tpot_s: two(3.0),
            e2e_s: two(4.0),
            cached_tokens: two(5.0),
            sequences: two(6.0),
            decoding: two(7.0),
            prefill_tokens: two(8.0),
            decode_tokens: two(9.0),
            context_tokens: two(10.0),
            full_at: two(11.0),
        },
        ended: Ended::Ok,
        ended_after_s: Some(1.5),
        status: Some(200),
        prompt_tokens: Some(512.0),
        output_tokens: Some(128.0),
    }
}
