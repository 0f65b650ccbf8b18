use std::sync::Arc;

use gearshift_config::{
    Experts, HardwareFacts, Knobs, KvCacheDtype, Quantization, SlidingWindow, Speculative,
};
use proptest::prelude::*;

use super::*;
use crate::{features::Typical, load::Load};

#[path = "../../tests/decision/facts.rs"]
pub(crate) mod facts;
use facts::{h100, llama_3b, t4};

fn prior(hw: &HardwareFacts, count: u32, model: &ModelFacts, knobs: &Knobs, kv_tokens: Option<u64>) -> Prior {
    let deployment = Deployment {
        hardware: Arc::new(hw.clone()),
        count,
        model: Arc::new(model.clone()),
        knobs: knobs.clone(),
        software: Software::default(),
        kv_tokens,
    };
    Prior::new(&deployment, &PriorFactors::default())
}

/// Llama 3.1 8B.
fn llama_8b() -> ModelFacts {
    ModelFacts {
        parameters_b: 8.0,
        active_parameters_b: 8.0,
        layers: 32,
        hidden: 4096,
        heads: 32,
        ..llama_3b()
    }
}

/// Qwen3 235B-A22B in FP8.
fn qwen_235b() -> ModelFacts {
    ModelFacts {
        parameters_b: 235.0,
        active_parameters_b: 22.0,
        layers: 94,
        hidden: 4096,
        heads: 64,
        kv_heads: 4,
        head_dim: 128,
        weight_bytes: 1.0,
        experts: Some(Experts { total: 128, active: 8, parameters_b: 227.0 }),
        ..llama_3b()
    }
}

/// Steps large enough that chunking, which the recipe does not have, stays out of the comparison.
fn one_chunk() -> Knobs {
    Knobs { max_num_batched_tokens: Some(1 << 24), ..Knobs::default() }
}

/// The fitted recipe as published, for `conc` equal requests in a closed loop; milliseconds.
fn recipe(
    hw: &HardwareFacts,
    g: f64,
    model: &ModelFacts,
    (dp, ep): (bool, bool),
    (conc, isl, osl): (f64, f64, f64),
) -> f64 {
    let (bandwidth, layers, hidden) =
        (hw.memory_gb_per_s * 1e6, f64::from(model.layers), f64::from(model.hidden));
    let peak = 1e9 * if model.weight_bytes > 1.5 { hw.bf16_tflops } else { hw.fp8_tflops.unwrap() };
    let (expert_bytes, e, k) = model.experts.map_or((0.0, 1.0, 0.0), |x| {
        (x.parameters_b * 1e9 * model.weight_bytes, f64::from(x.total), f64::from(x.active))
    });
    let dense_bytes = model.parameters_b * 1e9 * model.weight_bytes - expert_bytes;
    let d = dense_bytes / if dp { 1.0 } else { g } / bandwidth;
    let x = (1.0 - (1.0 - k / e).powf(conc)) * expert_bytes / g / bandwidth;
    let shard = if dp { g } else { g.min(f64::from(model.kv_heads)) };
    let kv = conc * (isl + osl / 2.0) * model.kv_bytes_per_token(2.0) / shard / bandwidth;
    let flops = |tokens: f64| 2.0 * model.active_parameters_b * 1e9 * tokens / (g * peak);
    let volume = |tokens: f64| {
        2.0 * layers * tokens * 2.0 * hidden * 2.0 * (g - 1.0) / g / (hw.interconnect_gb_per_s * 1e6)
    };
    let a = 2.0 * f64::from(model.heads) * f64::from(model.head_dim) * layers * isl * isl
        / (g * hw.bf16_tflops * 1e9);
    let reduces = layers * g.log2();
    let step = 1.49 * d
        + 1.13 * x
        + 1.02 * kv
        + 1.60 * flops(conc)
        + 0.0043 * reduces
        + 0.71 * volume(conc)
        + 0.10 * layers
        + 1.15;
    let prefill = 1.03 * flops(isl) + 2.29 * a + 0.78 * volume(isl);
    let ln: f64 = 0.115 - if dp { 0.122 } else { 0.0 } + if ep { 0.038 } else { 0.0 }
        - if hw.architecture == "hopper" { 0.02 } else { 0.0 };
    (osl * step + conc * prefill) * ln.exp()
}

/// One request of `conc` equal ones: the last of a burst, or one in the steady state of a closed loop.
fn one_of(conc: f64, isl: f64, osl: f64, burst: bool) -> Situation {
    let others = conc - 1.0;
    let load = Load {
        sequences: others,
        decoding: if burst { 0.0 } else { others },
        prefill_tokens: if burst { others * isl } else { 0.0 },
        decode_tokens: others * osl,
        context_tokens: others * (isl + osl / 2.0),
        full_at: None,
    };
    Situation {
        generates: true,
        prompt_tokens: isl,
        cached_tokens: 0.0,
        output_tokens: osl,
        sequences: 1.0,
        load,
        typical: Typical { prompt_tokens: isl, uncached_tokens: isl, output_tokens: osl },
    }
}

fn e2e(prior: &Prior, s: &Situation) -> f64 {
    let terms = prior.terms(s);
    terms.ttft_ms() + (s.output_tokens - 1.0) * terms.tpot_ms()
}

#[test]
fn a_burst_and_a_steady_state_add_up_to_the_recipe() {
    let parallel = |tp, dp, ep| Knobs {
        tensor_parallel: Some(tp),
        data_parallel: Some(dp),
        expert_parallel: Some(ep),
        ..one_chunk()
    };
    let cases = [
        (h100(), 1, llama_8b(), parallel(1, 1, false)),
        (h100(), 4, llama_8b(), parallel(4, 1, false)),
        (t4(), 1, llama_3b(), parallel(1, 1, false)),
        (h100(), 8, qwen_235b(), parallel(8, 1, false)),
        (h100(), 8, qwen_235b(), parallel(8, 1, true)),
        (h100(), 8, qwen_235b(), parallel(1, 8, true)),
    ];
    for (hw, count, model, knobs) in cases {
        let prior = prior(&hw, count, &model, &knobs, Some(1 << 30));
        let (dp, ep) = (knobs.data_parallel > Some(1), knobs.expert_parallel == Some(true));
        for (conc, isl, osl) in [(1.0, 128.0, 128.0), (8.0, 1024.0, 512.0), (64.0, 4096.0, 1024.0)] {
            let expected = recipe(&hw, f64::from(count), &model, (dp, ep), (conc, isl, osl));
            let burst = e2e(&prior, &one_of(conc, isl, osl, true));
            assert!((burst / expected - 1.0).abs() < 1e-6, "burst {burst} {expected}");
            let steady = e2e(&prior, &one_of(conc, isl, osl, false));
            // All but the others' prefill in the time of the first token.
            assert!((steady / expected - 1.0).abs() < 0.02, "steady {steady} {expected}");
        }
    }
}

#[test]
fn magnitudes_are_those_of_real_engines() {
    let at_rest = |hw: &HardwareFacts, model: &ModelFacts| {
        prior(hw, 1, model, &Knobs::default(), None).terms(&one_of(1.0, 1000.0, 200.0, false))
    };
    let (h100, t4) = (at_rest(&h100(), &llama_8b()), at_rest(&t4(), &llama_3b()));
    assert!((5.0..15.0).contains(&h100.tpot_ms()), "{h100:?}");
    assert!((20.0..60.0).contains(&t4.tpot_ms()), "{t4:?}");
    assert!((15.0..60.0).contains(&h100.ttft_ms()), "{h100:?}");
    assert!((80.0..400.0).contains(&t4.ttft_ms()), "{t4:?}");
}

#[test]
fn knobs_change_the_arithmetic() {
    let s = one_of(8.0, 1000.0, 200.0, false);
    let with = |knobs: Knobs| prior(&h100(), 1, &llama_8b(), &knobs, None).terms(&s);
    let plain = with(Knobs::default());
    let quantized = |q| with(Knobs { quantization: Some(q), ..Knobs::default() });

    let fp8 = quantized(Quantization::Fp8);
    assert!((fp8.dense_weights / plain.dense_weights - 0.5).abs() < 1e-9);
    assert!(fp8.own_prefill < 0.7 * plain.own_prefill);
    let int4 = quantized(Quantization::Int4);
    assert!(int4.dense_weights < 0.3 * plain.dense_weights);
    assert_eq!(int4.own_prefill, plain.own_prefill, "4-bit integers multiply in 16 bits");

    let kv8 = with(Knobs { kv_cache_dtype: Some(KvCacheDtype::Fp8), ..Knobs::default() });
    assert!((kv8.kv_cache / plain.kv_cache - 0.5).abs() < 1e-9);

    let small_steps = with(Knobs { max_num_batched_tokens: Some(128), ..Knobs::default() });
    assert!(small_steps.first_steps > 7.0 * plain.first_steps, "eight chunks, eight steps");

    let few_slots = with(Knobs { max_num_seqs: Some(4), ..Knobs::default() });
    assert!(few_slots.slot_wait > 0.0 && plain.slot_wait == 0.0);
}

#[test]
fn cached_tokens_are_not_computed_again() {
    let cold = one_of(1.0, 8000.0, 100.0, false);
    let prior = prior(&h100(), 1, &llama_8b(), &Knobs::default(), None);
    let prefill = |cached_tokens| prior.terms(&Situation { cached_tokens, ..cold }).own_prefill;
    // The linear half of the work halves; attention of the second half still looks back over the first.
    let (linear, quadratic) = (prior.own_per_token * 8000.0, prior.attention * 8000.0 * 8000.0);
    assert!((prefill(0.0) - (linear + quadratic)).abs() < 1e-9);
    assert!((prefill(4000.0) - (linear / 2.0 + quadratic * 0.75)).abs() < 1e-9);
    assert!(prefill(7999.0) < prefill(0.0) / 1000.0);
}

#[test]
fn only_measured_speculation_counts() {
    let s = one_of(1.0, 1000.0, 200.0, false);
    let tpot = |method: &str, k| {
        let speculative = Some(Speculative { method: method.into(), num_speculative_tokens: k, model: None });
        let knobs = Knobs { speculative, ..Knobs::default() };
        prior(&h100(), 1, &llama_8b(), &knobs, None).terms(&s).tpot_ms()
    };
    let plain = tpot("ngram", 3);
    assert!((1.4..1.8).contains(&(plain / tpot("mtp", 1))));
    assert!((2.0..2.8).contains(&(plain / tpot("eagle3", 3))));
    assert!(tpot("eagle3", 9) > tpot("eagle3", 3), "further drafts cost and are not credited");
    assert_eq!(plain, tpot("mtp", 0));
}

#[test]
fn fp8_weights_on_a_part_without_fp8_multiply_in_16_bits() {
    let fp8 = Knobs { quantization: Some(Quantization::Fp8), ..Knobs::default() };
    let prefill = |knobs: &Knobs| {
        prior(&t4(), 1, &llama_3b(), knobs, None).terms(&one_of(1.0, 1000.0, 10.0, false)).own_prefill
    };
    assert_eq!(prefill(&fp8), prefill(&Knobs::default()));
}

#[test]
fn software_gets_faster_as_far_as_it_was_measured() {
    let s = one_of(8.0, 1000.0, 200.0, false);
    let tpot = |months| {
        let deployment = Deployment {
            hardware: Arc::new(h100()),
            count: 1,
            model: Arc::new(llama_8b()),
            knobs: Knobs::default(),
            software: Software { months, ..Software::default() },
            kv_tokens: None,
        };
        Prior::new(&deployment, &PriorFactors::default()).terms(&s).tpot_ms()
    };
    assert!((tpot(Some(4.0)) / tpot(Some(7.0)) - 0.15f64.exp()).abs() < 1e-9);
    assert_eq!(tpot(None), tpot(Some(MIDDLE_MONTH)));
    assert_eq!(tpot(Some(NEWEST_MONTH)), tpot(Some(500.0)));
    assert_eq!(tpot(Some(0.0)), tpot(Some(-500.0)));
    assert_eq!(tpot(None), tpot(Some(f64::NAN)));
}

#[test]
fn software_newer_than_all_that_was_measured_is_taken_for_the_newest_of_that() {
    let of = |software| Deployment {
        hardware: Arc::new(h100()),
        count: 1,
        model: Arc::new(llama_8b()),
        knobs: Knobs::default(),
        software,
        kv_tokens: None,
    };
    let measured = of(Software { months: Some(NEWEST_MONTH), ..Software::default() });
    let s = one_of(8.0, 1000.0, 200.0, false);
    let seen = |deployment: &Deployment| {
        let prior = Prior::new(deployment, &PriorFactors::default());
        let terms = prior.terms(&s);
        (terms.ttft_ms(), terms.tpot_ms(), crate::inputs::StaticInputs::new(deployment))
    };
    for version in ["0.32.0", "0.33.1", "2.0.0"] {
        // The prior says the same, and the learner is told the same.
        assert_eq!(seen(&of(Software::vllm(version))), seen(&measured), "{version}");
    }
    assert_ne!(seen(&of(Software::vllm("0.11.2"))).1, seen(&measured).1);
    assert_eq!(seen(&of(Software::vllm("nightly"))), seen(&of(Software::default())));
}

#[test]
fn the_engines_own_capacity_goes_first() {
    let s = one_of(8.0, 1000.0, 200.0, false);
    let slots =
        |kv_tokens| prior(&h100(), 1, &llama_8b(), &Knobs::default(), kv_tokens).terms(&s).concurrency;
    assert_eq!(slots(None), 8.0);
    assert!((slots(Some(4400)) - 4.0).abs() < 0.1, "{}", slots(Some(4400)));
}

#[test]
fn windows_spare_memory_and_time() {
    let whole = llama_8b();
    let windowed =
        ModelFacts { sliding_window: Some(SlidingWindow { layers: 16, tokens: 128 }), ..llama_8b() };
    let s = one_of(4096.0, 7800.0, 400.0, false);
    let terms = |model, kv_tokens| prior(&h100(), 1, model, &Knobs::default(), kv_tokens).terms(&s);
    let (a, b) = (terms(&whole, None), terms(&windowed, None));
    assert!((1.9..2.0).contains(&(b.concurrency / a.concurrency)), "{} {}", b.concurrency, a.concurrency);
    let per_sequence = |terms: &Terms| terms.kv_cache / terms.concurrency;
    assert!((0.5..0.52).contains(&(per_sequence(&b) / per_sequence(&a))));
    assert!(b.own_prefill < a.own_prefill);
    // What the engine says of its cache has the windows in it.
    assert_eq!(terms(&whole, Some(80_000)).concurrency, terms(&windowed, Some(80_000)).concurrency);
}

prop_compose! {
    pub(crate) fn any_hardware()(
        tflops in 0.0f64..5000.0, fp8 in prop::option::of(0.0f64..9000.0), bandwidth in 0.0f64..9000.0,
        gib in 0.0f64..300.0, link in 0.0f64..900.0,
    ) -> HardwareFacts {
        let base = h100();
        HardwareFacts {
            bf16_tflops: tflops, fp8_tflops: fp8, memory_gb_per_s: bandwidth, memory_gib: gib,
            interconnect_gb_per_s: link, ..base
        }
    }
}

prop_compose! {
    pub(crate) fn any_model()(
        parameters in 0.0f64..1000.0, active in 0.0f64..1.0, layers in 0u32..120, heads in 0u32..128,
        kv_heads in 0u32..64, mla in prop::option::of(0u32..1000), bytes in 0.25f64..4.0,
        experts in prop::option::of((0u32..512, 0u32..16)), sliding in prop::option::of((0u32..150, 0u32..4096)),
    ) -> ModelFacts {
        ModelFacts {
            parameters_b: parameters, active_parameters_b: parameters * active, layers, heads, kv_heads,
            mla_kv_width: mla, weight_bytes: bytes,
            sliding_window: sliding.map(|(layers, tokens)| SlidingWindow { layers, tokens }),
            experts: experts.map(|(total, active)| Experts { total, active, parameters_b: parameters * 0.9 }),
            ..llama_3b()
        }
    }
}

prop_compose! {
    pub(crate) fn any_situation()(
        prompt in 1.0f64..200_000.0, cached in 0.0f64..1.0, output in 1.0f64..50_000.0, sequences in 1.0f64..64.0,
        others in 0.0f64..5000.0, share in 0.0f64..1.0, queued in 0.0f64..1e7, full in prop::option::of(1.0f64..500.0),
        typical in 1.0f64..100_000.0, generates: bool,
    ) -> Situation {
        Situation {
            generates, prompt_tokens: prompt, cached_tokens: (prompt - 1.0) * cached, output_tokens: output, sequences,
            load: Load {
                sequences: others, decoding: others * share, prefill_tokens: queued, decode_tokens: others * 100.0,
                context_tokens: others * typical, full_at: full,
            },
            typical: Typical { prompt_tokens: typical, uncached_tokens: typical * share, output_tokens: 1.0 + typical / 7.0 },
        }
    }
}

proptest! {
    /// Whatever a user writes into a catalog of their own: no NaN, nothing negative, nothing for free.
    #[test]
    fn every_prediction_is_finite_and_positive(
        hw in any_hardware(), count in 0u32..64, model in any_model(), s in any_situation(),
        tp in prop::option::of(0u32..16), dp in prop::option::of(0u32..16), pp in prop::option::of(0u32..8),
        seqs in prop::option::of(0u32..2000), budget in prop::option::of(0u32..20_000), kv in prop::option::of(0u64..1 << 40),
    ) {
        let knobs = Knobs {
            tensor_parallel: tp, data_parallel: dp, pipeline_parallel: pp, max_num_seqs: seqs,
            max_num_batched_tokens: budget, ..Knobs::default()
        };
        let prior = prior(&hw, count, &model, &knobs, kv);
        let terms = prior.terms(&s);
        prop_assert!(terms.ttft_ms() > 0.0 && terms.ttft_ms().is_finite(), "{terms:?}");
        prop_assert!(terms.tpot_ms() > 0.0 && terms.tpot_ms().is_finite(), "{terms:?}");
        prop_assert!(terms.slot_wait >= 0.0 && terms.interference >= 0.0 && terms.own_prefill >= 0.0, "{terms:?}");
        prop_assert!((0.0..=1.0).contains(&terms.busy_share()), "{terms:?}");
        prop_assert!(prior.drain_ms(&s) >= 0.0 && prior.drain_ms(&s).is_finite());
    }

    /// More of what costs time never makes a prediction better.
    #[test]
    fn predictions_are_monotone(s in any_situation(), more in 1.0f64..100.0) {
        let prior = prior(&h100(), 1, &llama_8b(), &Knobs::default(), None);
        let base = prior.terms(&s);
        let not_less = |changed: Situation| {
            let terms = prior.terms(&changed);
            terms.ttft_ms() >= base.ttft_ms() * 0.999_999 && terms.tpot_ms() >= base.tpot_ms() * 0.999_999
        };
        let load = s.load;
        let queued = Load { prefill_tokens: load.prefill_tokens + 100.0 * more, ..load };
        let changed = Situation { load: queued, ..s };
        prop_assert!(not_less(changed));
        let decoding = Load { decoding: load.decoding + more, ..load };
        let changed = Situation { load: decoding, ..s };
        prop_assert!(not_less(changed));
        let cold = Situation { cached_tokens: s.cached_tokens / (1.0 + more), ..s };
        prop_assert!(not_less(cold));
    }
}
