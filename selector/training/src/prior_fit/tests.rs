use std::sync::Arc;

use gearshift_config::Experts;
use gearshift_selector::{EngineKind, Prior, Situation};

use super::*;
use crate::dataset::{Protocol, Sample, tests::row};

/// Contexts of a dense model and a mixture over lengths and loads, with what `truth` says of them.
fn synthetic(truth: &PriorFactors) -> Dataset {
    let mut rows = Vec::new();
    for (isl, osl) in [(128.0, 1024.0), (1024.0, 1024.0), (8192.0, 128.0), (32_768.0, 64.0)] {
        for concurrency in [1.0, 8.0, 64.0] {
            for (experts, hopper) in [(false, true), (true, true), (true, false)] {
                for (tensor, data) in [(1, 1), (2, 1), (4, 1), (8, 1), (1, 8)] {
                    let context = format!("{isl} {osl} {concurrency} {experts} {hopper}");
                    let mut row = row(&context, &format!("{tensor} {data}"));
                    row.workload.prompt_tokens = isl;
                    row.workload.output_tokens = osl;
                    row.workload.concurrency = concurrency;
                    row.facts.count = tensor * data;
                    row.facts.kv_tokens = Some(1 << 40);
                    row.facts.knobs.tensor_parallel = Some(tensor);
                    row.facts.knobs.data_parallel = Some(data);
                    row.facts.knobs.expert_parallel = Some(tensor == 4);
                    row.facts.software.engine =
                        [EngineKind::Vllm, EngineKind::Sglang, EngineKind::TensorrtLlm][rows.len() % 3];
                    if experts {
                        row.facts.model_facts.experts =
                            Some(Experts { total: 64, active: 4, parameters_b: 7.0 });
                        row.facts.model_facts.active_parameters_b = 1.5;
                        row.facts.model_facts.layers = 60;
                    }
                    if !hopper {
                        row.facts.hardware_facts.architecture = "blackwell".into();
                    }
                    rows.push(row);
                }
            }
        }
    }
    let mut dataset = Dataset::new(rows, Protocol::Clean);
    for sample in &mut dataset.samples {
        sample.e2e_ms = predicted(sample, truth);
    }
    dataset
}

fn predicted(sample: &Sample, factors: &PriorFactors) -> f64 {
    Prior::new(&sample.deployment, factors).terms(&sample.situation).e2e_ms(&sample.situation)
}

fn truth() -> PriorFactors {
    PriorFactors {
        dense: 1.9,
        kv_cache: 1.1,
        layer_ms: 0.08,
        prefill_flops: 1.3,
        ln_vllm: 0.2,
        ..defaults(&FitOptions::default())
    }
}

#[test]
fn known_factors_are_recovered() {
    let dataset = synthetic(&truth());
    let weak =
        FitOptions { ridge: 1e-6, ridge_prefill: 1e-6, ridge_multipliers: 1e-6, ..FitOptions::default() };
    let fitted = fit(&dataset, &weak);
    let near = |a: f64, b: f64| (a / b - 1.0).abs() < 0.03;
    let t = truth();
    assert!(near(fitted.dense, t.dense) && near(fitted.kv_cache, t.kv_cache), "{fitted:?}");
    assert!(near(fitted.layer_ms, t.layer_ms) && near(fitted.prefill_flops, t.prefill_flops), "{fitted:?}");
    assert!((fitted.ln_vllm - t.ln_vllm).abs() < 0.01 && fitted.ln_sglang.abs() < 0.01, "{fitted:?}");
    for sample in &dataset.samples {
        assert!((predicted(sample, &fitted) / sample.e2e_ms).ln().abs() < 0.01);
    }
    assert_eq!(fit(&dataset, &weak), fitted, "deterministic");
}

#[test]
fn a_few_wild_measurements_change_little() {
    let mut dataset = synthetic(&truth());
    for sample in dataset.samples.iter_mut().step_by(23) {
        sample.e2e_ms *= 5.0;
    }
    let fitted = fit(&dataset, &FitOptions::default());
    let mut errors: Vec<_> =
        synthetic(&truth()).samples.iter().map(|s| (predicted(s, &fitted) / s.e2e_ms).ln().abs()).collect();
    errors.sort_by(f64::total_cmp);
    assert!(errors[errors.len() / 2] < 0.1, "{}", errors[errors.len() / 2]);
}

#[test]
fn nothing_measured_leaves_the_defaults() {
    let options = FitOptions::default();
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    let fitted = fit(&Dataset::default(), &options);
    assert!(
        near(fitted.dense, 1.4) && near(fitted.step_ms, 1.0) && near(fitted.ln_quarter, -0.15),
        "{fitted:?}"
    );
    assert!(near(defaults(&options).dense, 1.4));
}

#[test]
fn the_pace_of_software_is_chosen_by_families_left_out() {
    let truth = PriorFactors { ln_quarter: -0.2, ..truth() };
    let mut dataset = synthetic(&truth);
    for context in &mut dataset.contexts {
        context.family = context.name.split(' ').next().unwrap_or_default().to_owned();
    }
    let options = FitOptions::default();
    assert!((fit(&dataset, &options).ln_quarter - PACES[0]).abs() < 1e-9, "all of one age: nothing to go by");
    for (n, sample) in dataset.samples.iter_mut().enumerate() {
        sample.deployment.software.months = Some((n * 7 % 12) as f64);
        sample.e2e_ms = predicted(sample, &truth);
    }
    assert!((fit(&dataset, &options).ln_quarter + 0.2).abs() < 1e-9);
    let held = FitOptions { pace: Pace::Held(-0.05), ..options };
    assert!((fit(&dataset, &held).ln_quarter + 0.05).abs() < 1e-9);
    let weak = FitOptions { pace: Pace::Fitted, ridge_multipliers: 1e-6, ..options };
    assert!((fit(&dataset, &weak).ln_quarter + 0.2).abs() < 0.01);
}

#[test]
fn the_level_is_its_own_fit() {
    // Whole contexts are off by factors that no term explains: what ranks best is not what is nearest.
    let mut dataset = synthetic(&truth());
    for sample in &mut dataset.samples {
        sample.e2e_ms *= if sample.context % 3 == 0 { 2.5 } else { 1.0 };
    }
    let error = |factors: &PriorFactors| {
        let off = |sample: &Sample| (predicted(sample, factors) / sample.e2e_ms).ln().powi(2);
        dataset.samples.iter().map(off).sum::<f64>()
    };
    let Priors { ranking, level } = Priors::fit(&dataset);
    assert!(error(&level) < 0.95 * error(&ranking), "{} {}", error(&level), error(&ranking));
}

#[test]
fn parts_times_factors_are_the_prior() {
    let factors = PriorFactors { ln_quarter: -0.2, ..truth() };
    let mut dataset = synthetic(&factors);
    // Slots are short as well: what waits for them is still linear in the factors.
    for (n, sample) in dataset.samples.iter_mut().enumerate() {
        sample.deployment.kv_tokens = Some(20_000);
        sample.deployment.software.months = Some(n as f64 / 10.0);
        if n % 2 == 0 {
            sample.situation = Situation { cached_tokens: 100.0, ..sample.situation };
        }
        sample.row = Arc::clone(&sample.row);
    }
    let f = factors;
    let terms = [
        f.dense,
        f.experts,
        f.kv_cache,
        f.decode_flops,
        f.all_reduce_ms,
        f.decode_volume,
        f.layer_ms,
        f.step_ms,
        f.prefill_flops,
        f.prefill_attention,
        f.prefill_volume,
    ];
    let logs = [f.ln_vllm, f.ln_sglang, f.ln_data_parallel, f.ln_expert_parallel, f.ln_hopper, f.ln_quarter];
    for sample in &dataset.samples {
        let parts = parts(sample);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let e2e = dot(&parts.e2e, &terms) * dot(&parts.exponents, &logs).exp();
        assert!((e2e / predicted(sample, &f) - 1.0).abs() < 1e-9);
    }
}
