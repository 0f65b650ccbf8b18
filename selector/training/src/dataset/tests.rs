use gearshift_config::{HardwareFacts, Knobs, ModelFacts};
use gearshift_perfdb::{Facts, Grain, Load, Outcome, Source, Workload};
use gearshift_selector::{EngineKind, Software};

use super::*;

/// A window of 8 requests of 1000 + 101 tokens on one H100; TTFT 1 s, TPOT 20 ms.
pub(crate) fn row(context: &str, action: &str) -> Observation {
    Observation {
        source: Source::Measured,
        grain: Grain::Window,
        dataset: "test".into(),
        provenance: "test".into(),
        context: context.into(),
        action: action.into(),
        repeat: 0,
        at_unix_s: None,
        facts: facts(),
        workload: Workload {
            name: "1000x101".into(),
            description: String::new(),
            prompt_tokens: 1000.0,
            cached_tokens: 0.0,
            output_tokens: 101.0,
            concurrency: 8.0,
            prompt_spread: 0.0,
            output_spread: 0.0,
        },
        load: Load::default(),
        outcome: Outcome { ttft_s: Some(1.0), tpot_s: Some(0.02), ..Outcome::default() },
        live: None,
    }
}

/// An 8 B model on one H100.
fn facts() -> Facts {
    Facts {
        model: "llama-3.1-8b".into(),
        family: "llama-8b".into(),
        model_facts: ModelFacts {
            description: String::new(),
            parameters_b: 8.0,
            active_parameters_b: 8.0,
            layers: 32,
            hidden: 4096,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            mla_kv_width: None,
            sliding_window: None,
            weight_bytes: 2.0,
            context: 131_072,
            experts: None,
        },
        hardware: "h100_sxm".into(),
        hardware_facts: HardwareFacts {
            description: String::new(),
            vendor: "nvidia".into(),
            architecture: "hopper".into(),
            bf16_tflops: 989.0,
            fp8_tflops: Some(1979.0),
            fp4_tflops: None,
            memory_gb_per_s: 3350.0,
            memory_gib: 80.0,
            interconnect_gb_per_s: 450.0,
            price_usd_per_hour: 2.99,
            tdp_w: 700.0,
            idle_w: 110.0,
        },
        count: 1,
        knobs: Knobs::default(),
        lossless: true,
        software: Software::default(),
        engine_version: None,
        kv_tokens: None,
    }
}

fn taking(ttft_s: f64, row: Observation) -> Observation {
    Observation { outcome: Outcome { ttft_s: Some(ttft_s), ..row.outcome }, ..row }
}

fn of_age(months: f64, mut row: Observation) -> Observation {
    row.facts.software.months = Some(months);
    row
}

#[test]
fn repetitions_are_one_sample_whatever_their_order() {
    let repeated =
        |repeat, ttft, months| of_age(months, taking(ttft, Observation { repeat, ..row("c", "a") }));
    let mut rows = vec![repeated(0, 1.0, 6.0), repeated(1, 9.0, 8.0), repeated(2, 2.0, 10.0), row("c", "b")];
    let dataset = Dataset::new(rows.clone(), Protocol::Clean);
    assert_eq!((dataset.contexts.len(), dataset.samples.len()), (1, 2));
    let [a, b] = dataset.samples.as_slice() else { panic!("{dataset:?}") };
    assert_eq!((a.ttft_ms, a.tpot_ms, a.e2e_ms), (2000.0, 20.0, 4000.0));
    assert_eq!((a.row.repeat, a.deployment.software.months), (0, Some(8.0)));
    assert_eq!((b.row.action.as_str(), b.deployment.software.months), ("b", None));
    assert!(dataset.contexts[0].is_choice());

    rows.reverse();
    let reversed = Dataset::new(rows, Protocol::Clean);
    assert_eq!(format!("{dataset:?}"), format!("{reversed:?}"));
}

#[test]
fn an_era_compares_one_engine_of_six_weeks() {
    let mut sglang = of_age(7.0, row("c", "d"));
    sglang.facts.software.engine = EngineKind::Sglang;
    let rows =
        vec![of_age(6.1, row("c", "a")), of_age(7.4, row("c", "b")), of_age(7.6, row("c", "a")), sglang];
    let clean = Dataset::new(rows.clone(), Protocol::Clean);
    assert_eq!((clean.contexts.len(), clean.samples.len()), (1, 3));
    let era = Dataset::new(rows, Protocol::Era);
    let sizes: Vec<_> = era.contexts.iter().map(|context| context.samples.len()).collect();
    assert_eq!(sizes, [2, 1, 1], "{era:?}");
    assert!(!era.contexts[1].is_choice());
}

#[test]
fn a_missing_time_is_worked_out_of_the_others() {
    let with = |ttft_s, tpot_s, e2e_s| {
        let outcome = Outcome { ttft_s, tpot_s, e2e_s, ..Outcome::default() };
        let dataset = Dataset::new(vec![Observation { outcome, ..row("c", "a") }], Protocol::Clean);
        dataset.samples.first().map(|s| (s.ttft_ms.round(), s.tpot_ms.round(), s.e2e_ms.round()))
    };
    let whole = Some((1000.0, 20.0, 3000.0));
    assert_eq!(with(Some(1.0), Some(0.02), None), whole);
    assert_eq!(with(Some(1.0), None, Some(3.0)), whole);
    assert_eq!(with(None, Some(0.02), Some(3.0)), whole);
    assert_eq!(with(Some(1.0), Some(0.02), Some(9.0)), whole, "the parts go first");
    assert_eq!(with(None, None, Some(3.0)), None);
    assert_eq!(with(Some(0.0), Some(0.02), None), None);
    assert_eq!(with(Some(4.0), None, Some(3.0)), None);
    let mut one_token = row("c", "a");
    one_token.workload.output_tokens = 1.0;
    assert!(Dataset::new(vec![one_token], Protocol::Clean).samples.is_empty());
}

#[test]
fn a_selection_stands_alone() {
    let rows = vec![row("a", "x"), row("b", "x"), row("b", "y"), row("c", "x")];
    let dataset = Dataset::new(rows, Protocol::Clean);
    let kept = dataset.of_contexts(|context| context.name != "a");
    assert_eq!(kept.contexts.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(kept.samples.iter().map(|s| s.context).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(kept.contexts[1].samples, [2]);
    assert_eq!(kept.of(&kept.contexts[0]).map(|s| s.row.action.as_str()).collect::<Vec<_>>(), ["x", "y"]);
}

#[test]
fn a_window_is_a_closed_loop_and_a_request_is_at_its_load() {
    let mut window = row("c", "a");
    window.workload.cached_tokens = 600.0;
    let load = Load { sequences: 3.0, prefill_tokens: 500.0, ..Load::default() };
    let request = Observation { grain: Grain::Request, load, action: "b".into(), ..window.clone() };
    let dataset = Dataset::new(vec![window, request], Protocol::Clean);
    let [window, request] = [0, 1].map(|n| dataset.samples[n].situation);
    assert_eq!(window, Situation::closed_loop(8.0, 1000.0, 600.0, 101.0));
    assert_eq!(
        (request.load.sequences, request.load.prefill_tokens, request.cached_tokens),
        (3.0, 500.0, 600.0)
    );
}
