use std::sync::Arc;

use gearshift_config::{Catalog, Knobs, Speculative};
use proptest::prelude::*;

use super::*;
use crate::sim::{Scheduling, Times};

fn spec(hardware: &str, model: &str, count: u32) -> EngineSpec {
    let catalog = Catalog::shipped();
    EngineSpec {
        name: "engine".to_owned(),
        hardware_id: hardware.to_owned(),
        hardware: Arc::clone(catalog.hardware(hardware).unwrap()),
        count,
        model_name: model.to_owned(),
        model: Arc::clone(catalog.model(model).unwrap()),
        knobs: Knobs::default(),
        draft: None,
        scheduling: Scheduling::Fcfs,
        max_queued: None,
        block_tokens: 16,
        blocks: None,
        times: Times { start_s: 60.0, sleep_s: 1.0, wake_s: 1.0 },
        factors: None,
    }
}

fn speculating(method: &str) -> EngineSpec {
    let mut spec = spec("h100_sxm", "llama-3.1-8b", 1);
    spec.knobs.speculative =
        Some(Speculative { method: method.to_owned(), num_speculative_tokens: 3, model: None });
    spec
}

fn decode(decodes: u32, context: u64) -> StepWork {
    StepWork { decodes, decode_width: 1, decode_context: context, sampled: decodes, ..StepWork::default() }
}

fn prefill(tokens: u64) -> StepWork {
    let pairs = tokens as f64 * tokens as f64 / 2.0;
    StepWork { prefills: 1, prefill_tokens: tokens, prefill_pairs: pairs, sampled: 1, ..StepWork::default() }
}

#[test]
fn every_hardware_and_model_of_the_catalog_has_step_times() {
    let catalog = Catalog::shipped();
    for hardware in catalog.hardware_names() {
        for model in catalog.model_names() {
            let step = StepModel::new(&spec(hardware, model, 8));
            for work in [decode(1, 0), decode(64, 64_000), prefill(1), prefill(8192)] {
                let cost = step.step(&work);
                assert!(cost.seconds.is_finite() && cost.seconds > 0.0, "{hardware} {model} {cost:?}");
                assert!(cost.joules.is_finite() && cost.joules > 0.0, "{hardware} {model} {cost:?}");
                assert!((0.0..=1.0).contains(&cost.compute), "{hardware} {model} {cost:?}");
                assert!((0.0..=1.0).contains(&cost.memory), "{hardware} {model} {cost:?}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_has_no_kv_cache() {
    assert_eq!(StepModel::new(&spec("l4", "llama-3.1-70b", 1)).kv_tokens(), 0);
    let tokens = StepModel::new(&spec("h100_sxm", "llama-3.1-8b", 1)).kv_tokens();
    // 79.6 GiB × 0.92, less 15 GiB of weights and the reserve, at 128 KiB a token.
    assert!((400_000..480_000).contains(&tokens), "{tokens}");
}

#[test]
fn replicas_and_shards_multiply_the_cache() {
    let mut two = spec("h100_sxm", "llama-3.1-8b", 2);
    let one = StepModel::new(&spec("h100_sxm", "llama-3.1-8b", 1)).kv_tokens();
    assert!(StepModel::new(&two).kv_tokens() > 2 * one, "weights are cut in two");
    two.knobs.data_parallel = Some(2);
    assert_eq!(StepModel::new(&two).kv_tokens() / 2, one, "weights stand twice");
}

#[test]
fn drafts_cost_what_makes_them() {
    let work = StepWork { decode_width: 4, ..decode(8, 8000) };
    let seconds = |spec: &EngineSpec| StepModel::new(spec).step(&work).seconds;
    let plain = seconds(&spec("h100_sxm", "llama-3.1-8b", 1));
    let lookup = seconds(&speculating("ngram"));
    let head = seconds(&speculating("eagle3"));
    let mut with_draft = speculating("draft_model");
    with_draft.draft = Catalog::shipped().model("llama-3.2-3b").cloned();
    let draft = seconds(&with_draft);
    assert!(plain < lookup && lookup < head && head < draft, "{plain} {lookup} {head} {draft}");
}

#[test]
fn explicit_factors_replace_the_table() {
    let mut slow = spec("h100_sxm", "llama-3.1-8b", 1);
    let before = StepModel::new(&slow).step(&decode(1, 0)).seconds;
    let table = FactorTable::shipped().entry("h100_sxm", &slow.hardware).factors;
    slow.factors = Some(Arc::new(Factors { step_s: table.step_s + 1.0, ..table }));
    let after = StepModel::new(&slow).step(&decode(1, 0)).seconds;
    assert!((after - before - 1.0).abs() < 1e-9);
}

#[test]
fn nothing_to_do_costs_nothing() {
    let step = StepModel::new(&spec("h100_sxm", "llama-3.1-8b", 1));
    assert_eq!(step.step(&StepWork::default()), StepCost::default());
    assert_eq!(step.decode_line(0, 1), DecodeLine::default());
}

/// Engines of every kind of layout.
fn engines() -> impl Strategy<Value = EngineSpec> {
    let models = prop::sample::select(vec!["llama-3.1-8b", "qwen3-235b-a22b", "deepseek-v3", "smollm2-135m"]);
    let hardware = prop::sample::select(vec!["h100_sxm", "b200_sxm", "l40s", "mi300x", "epyc_9654"]);
    let method = prop::sample::select(vec![None, Some("ngram"), Some("mtp")]);
    (models, hardware, 0_u32..4, 0_u32..2, any::<bool>(), method).prop_map(
        |(model, hardware, tensor, data, pipeline, method)| {
            let (tensor, data, pipeline) = (1 << tensor, 1 << data, 1 + u32::from(pipeline));
            let mut engine = spec(hardware, model, tensor * data * pipeline);
            engine.knobs.tensor_parallel = Some(tensor);
            engine.knobs.data_parallel = Some(data);
            engine.knobs.pipeline_parallel = Some(pipeline);
            engine.knobs.speculative = method.map(|method| Speculative {
                method: method.to_owned(),
                num_speculative_tokens: 2,
                model: None,
            });
            engine
        },
    )
}

proptest! {
    #[test]
    fn the_line_is_the_step(engine in engines(), batch in 1_u32..600, width in 1_u32..5, context in 0_u64..2_000_000) {
        let step = StepModel::new(&engine);
        let line = step.decode_line(batch, width);
        let work = StepWork {
            decodes: batch,
            decode_width: width,
            decode_context: context,
            sampled: batch * width,
            ..StepWork::default()
        };
        let cost = step.step(&work);
        let seconds = line.per_context_s.mul_add(context as f64, line.base_s);
        let joules = line.per_context_j.mul_add(context as f64, line.base_j);
        prop_assert!((cost.seconds / seconds - 1.0).abs() < 1e-9);
        prop_assert!((cost.joules / joules - 1.0).abs() < 1e-9);
        prop_assert!(line.watts > 0.0 && line.watts.is_finite());
    }

    #[test]
    fn more_work_takes_no_less_time(
        engine in engines(),
        decodes in 1_u32..600,
        context in 0_u64..1_000_000,
        tokens in 0_u64..9000,
        more in 1_u32..500,
    ) {
        let step = StepModel::new(&engine);
        let work = StepWork {
            decodes,
            decode_width: 1,
            decode_context: context,
            prefills: 1,
            prefill_tokens: tokens,
            prefill_pairs: tokens as f64 * 300.0,
            prefill_context: 100,
            sampled: decodes,
        };
        let before = step.step(&work).seconds;
        let (added, longer) = (u64::from(more), context * u64::from(decodes + more) / u64::from(decodes) + 1);
        let heavier = [
            // More sequences of the same length.
            StepWork { decodes: decodes + more, decode_context: longer, ..work },
            StepWork { decode_context: context + added, ..work },
            StepWork { decode_width: 1 + more % 8, ..work },
            StepWork { prefill_tokens: tokens + added, ..work },
            StepWork { prefill_pairs: work.prefill_pairs + f64::from(more), ..work },
            StepWork { prefill_context: 100 + added, ..work },
            StepWork { sampled: decodes + more, ..work },
        ];
        for work in heavier {
            prop_assert!(step.step(&work).seconds * (1.0 + 1e-12) >= before, "{:?}", work);
        }
    }
}
