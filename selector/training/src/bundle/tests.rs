//! What was trained is what is served: the same corrections through burn and through a written bundle's graphs.

use std::path::Path;

use gearshift_selector::{
    Bundle, Correction, Encoder, LoadOptions, Texts, TrainingRows,
    inputs::{QUERY_WIDTH, QueryInputs, StaticInputs},
};
use serde::Deserialize as _;

use super::{Contents, Vectors, golden::flat, write};
use crate::{
    dataset::{Dataset, Protocol, tests::row},
    fit::{Fitted, Near, Prepared, Recipe, Schedule, Silent, fit, sample::sample},
    prepare::prepare,
    prior_fit::Priors,
    runtime_for_tests::onnxruntime,
};

/// How many times faster than usual the memory of each accelerator is: two that are trained on, one that is nearly the second of these,
/// and one unlike all.
const ACCELERATORS: [f64; 4] = [1.0, 2.0, 2.1, 3.0];

/// 60 samples of engines that differ, described in words.
fn dataset() -> Dataset {
    let mut random = fastrand::Rng::with_seed(1);
    let mut rows = Vec::new();
    for (context, speed) in (0..20).zip(ACCELERATORS.into_iter().cycle()) {
        for tensor in [1, 2, 4] {
            let mut row = row(&context.to_string(), &format!("tp{tensor}"));
            row.facts.hardware = format!("hardware {speed}");
            row.facts.hardware_facts.memory_gb_per_s *= speed;
            row.facts.hardware_facts.description = row.facts.hardware.clone();
            row.facts.model_facts.layers = 20 + 4 * (context % 5);
            row.facts.model_facts.description = format!("a model of {} layers", row.facts.model_facts.layers);
            row.facts.count = tensor;
            row.facts.knobs.tensor_parallel = Some(tensor);
            row.workload.concurrency = f64::from(1 + context % 7);
            row.outcome.tpot_s = Some(0.01 * (1.0 + random.f64()));
            rows.push(row);
        }
    }
    Dataset::new(rows, Protocol::Clean)
}

/// Any vectors, of width 16, of all texts.
fn vectors(dataset: &Dataset) -> Vectors {
    let mut random = fastrand::Rng::with_seed(2);
    let facts = dataset.samples.iter().map(|sample| &sample.row.facts);
    let texts = facts.flat_map(|facts| [&facts.model_facts.description, &facts.hardware_facts.description]);
    let mut known = Vectors { width: 16, ..Vectors::default() };
    for text in texts {
        known.vectors.entry(text.clone()).or_insert_with(|| (0..16).map(|_| random.f32() - 0.5).collect());
    }
    known
}

fn fitted(rows: &Prepared) -> Fitted {
    let training = Schedule { epochs: 3, batch: 16, rate: 0.02 };
    let near = Some(Near { training, ..Near::default() });
    fit(rows, None, &Recipe { training, near, early_stop: false, window: 1, ..Recipe::default() }, 3, &Silent)
        .unwrap()
}

fn contents<'a>(
    fitted: &'a Fitted,
    rows: &'a Prepared,
    vectors: &'a Vectors,
    encoder: &'a Encoder,
    priors: &'a Priors,
) -> Contents<'a> {
    Contents {
        id: "test",
        fitted,
        rows,
        priors,
        encoder: Some(encoder),
        vectors,
        training: vec![TrainingRows { source: "measured".into(), dataset: "made up".into(), rows: 60 }],
        evaluation: serde_json::Value::Null,
    }
}

fn encoder(width: usize) -> Encoder {
    Encoder { name: "none".into(), model_sha256: "0".repeat(64), tokenizer_sha256: "0".repeat(64), width }
}

/// Every third sample in a profile that nobody was trained on.
fn in_other_profiles(mut dataset: Dataset) -> Dataset {
    for sample in dataset.samples.iter_mut().step_by(3) {
        sample.deployment.knobs.prefix_caching = Some(false);
        sample.deployment.knobs.max_num_seqs = Some(16);
        sample.statics = StaticInputs::new(&sample.deployment);
    }
    dataset
}

/// Golden rows are for all members: those behind the gate, those before it, and both.
fn every_member_has_a_say(fitted: &Fitted, bundle: &Path) {
    let golden = std::fs::read(bundle.join("golden.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    let numbers = |name: &str| -> Vec<f32> {
        let of_row = |row: &serde_json::Value| Vec::<f32>::deserialize(&row[name]).unwrap();
        golden["rows"].as_array().unwrap().iter().flat_map(of_row).collect()
    };
    let [model, hardware, profile] = ["model", "hardware", "profile"].map(numbers);
    let weights = vec![1.0; 48];
    let open = fitted.gate.open(&Prepared { model, hardware, profile, weights, ..Prepared::default() });
    for (how, range) in [("wide", 1.0..=1.0), ("half", 0.3..=0.7), ("not", 0.0..=1e-6)] {
        let count = open.iter().filter(|open| range.contains(*open)).count();
        assert!(count >= 6, "{count} rows {how} open: {open:?}");
    }
}

/// What the server says of the samples, through the bundle's graphs.
fn served(bundle: &Bundle, dataset: &Dataset, rows: &Prepared) -> Vec<Correction> {
    let engines: Vec<_> =
        dataset.samples.iter().map(|sample| (&sample.deployment, Texts::of(&sample.deployment))).collect();
    let memories = bundle.remember(&engines).unwrap();
    let queries: Vec<QueryInputs> =
        rows.query.chunks_exact(QUERY_WIDTH).map(|query| query.try_into().unwrap()).collect();
    let mut said = Vec::new();
    bundle.head().unwrap().correct(&memories.iter().collect::<Vec<_>>(), &queries, &mut said).unwrap();
    said
}

#[test]
fn what_was_trained_is_what_is_served() {
    let Some(runtime) = onnxruntime("running exported graphs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (dataset, priors) = (dataset(), Priors::default());
    for vectors in [Vectors::default(), vectors(&dataset)] {
        let trained_on = ["hardware 1", "hardware 2"];
        let known = dataset.of_contexts(|context| trained_on.contains(&context.hardware.as_str()));
        let known = prepare(&known, &priors.ranking, &vectors);
        let (fitted, encoder) = (fitted(&known), encoder(vectors.width));
        let dataset = in_other_profiles(dataset.clone());
        let mut rows = prepare(&dataset, &priors.ranking, &vectors);
        assert_ne!(fitted.gate.nearest_known(&rows).profile, rows.profile);
        let open = fitted.gate.open(&rows);
        for (how, range) in [("wide", 1.0..=1.0), ("half", 0.3..=0.8), ("not", 0.0..=1e-6)] {
            assert!(open.iter().any(|open| range.contains(open)), "none {how} open: {open:?}");
        }
        let path = directory.path().join(format!("texts-{}", vectors.width));
        let manifest = write(&path, &contents(&fitted, &rows, &vectors, &encoder, &priors)).unwrap();
        assert_eq!(manifest.files.contains_key("vectors.json"), vectors.width > 0);
        let bundle = Bundle::load(&path, runtime, &LoadOptions::unhurried()).unwrap();
        assert_eq!(bundle.manifest(), &manifest);
        every_member_has_a_say(&fitted, &path);

        // Far outside of what was trained on is clipped alike.
        rows.query.iter_mut().step_by(7).for_each(|value| *value *= 50.0);
        let trained = fitted.predict(&rows).unwrap();
        assert!(trained.iter().all(|said| said.spread > 1e-6 && said.tpot != 0.0));
        let served = served(&bundle, &dataset, &rows);
        let off = trained.iter().zip(&served).flat_map(|(a, b)| {
            let (a, b) = (flat(a), flat(b));
            (0..a.len()).map(move |at| (a[at] - b[at]).abs())
        });
        let off = off.fold(0.0, f32::max);
        eprintln!("texts of width {}: off by {off:e} at most; {:?}", vectors.width, bundle.cost());
        assert!(off < 1e-4, "{off}");
    }
}

#[test]
fn too_few_rows_make_no_bundle() {
    let directory = tempfile::tempdir().unwrap();
    let rows = sample(9, 0, 1);
    let (fitted, vectors, priors) = (fitted(&rows), Vectors::default(), Priors::default());
    let encoder = encoder(0);
    let error = write(directory.path(), &contents(&fitted, &rows, &vectors, &encoder, &priors)).unwrap_err();
    assert!(error.to_string().contains("48"), "{error}");
}
