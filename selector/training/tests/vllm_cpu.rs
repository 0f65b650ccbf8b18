//! The shipped rows of real vLLM on a CPU.
#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use gearshift_perfdb::{Observation, Source};
use gearshift_training::read::read;

fn rows() -> Vec<Observation> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../perfdb/data/vllm_cpu.parquet");
    read(&file, &[Source::Measured]).unwrap()
}

#[test]
fn two_models_have_four_workloads_in_twelve_profiles_twice() {
    let mut measured: BTreeMap<(String, String), BTreeMap<String, BTreeSet<u32>>> = BTreeMap::new();
    for row in rows() {
        let context = measured.entry((row.facts.model, row.workload.name)).or_default();
        context.entry(row.action).or_default().insert(row.repeat);
    }
    let models: BTreeSet<_> = measured.keys().map(|(model, _)| model).collect();
    assert_eq!((models.len(), measured.len()), (2, 8));
    for (context, profiles) in &measured {
        assert!(profiles.len() >= 12, "{context:?}: {} profiles", profiles.len());
        assert!(profiles.values().all(|repeats| repeats.len() >= 2), "{context:?}");
    }
}

#[test]
fn every_row_is_whole() {
    for row in rows() {
        let outcome = row.outcome;
        let named = format!("{} {} {}", row.context, row.action, row.repeat);
        assert_eq!((row.dataset.as_str(), outcome.failed), ("vllm_cpu", 0), "{named}");
        let agreement = outcome.agreement.unwrap();
        assert!(row.facts.lossless && (0.0..=1.0).contains(&agreement), "{named}: {agreement}");
        let (ttft, tpot, e2e) = (outcome.ttft_s.unwrap(), outcome.tpot_s.unwrap(), outcome.e2e_s.unwrap());
        // Means that make up the whole, up to float32.
        let whole = ttft + (row.workload.output_tokens - 1.0) * tpot;
        assert!((whole / e2e - 1.0).abs() < 1e-3, "{named}: {whole} {e2e}");
        assert!(row.facts.knobs.max_num_batched_tokens.is_some() && row.facts.kv_tokens.is_some(), "{named}");
        let cached = outcome.cached_tokens.unwrap();
        let caches = row.facts.knobs.prefix_caching == Some(true);
        assert!(caches || (cached == 0.0 && row.workload.cached_tokens == 0.0), "{named}: {cached}");
    }
}
