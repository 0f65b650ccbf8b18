//! Bundles: what is right loads and decides, what is wrong is refused with the reason.

use std::{fs, sync::Arc, time::Duration};

use gearshift_config::Objective;
use gearshift_selector::{
    Bundle, BundleError, Decider, Fallback, Group, LoadOptions, OnnxRuntime, Texts, choose, inputs,
};
use serde_json::json;
use smallvec::SmallVec;

use crate::{
    facts::{h100, llama_3b, t4},
    fleet::{Fleet, backend, replicas, request},
    made::{Made, TEXT},
    onnx,
};

fn runtime() -> Option<&'static OnnxRuntime> {
    let runtime = onnx::runtime();
    if runtime.is_none() {
        eprintln!("SKIPPED: bundles; set ORT_DYLIB_PATH to libonnxruntime.so to run it");
    }
    runtime
}

fn load(made: &Made, runtime: &OnnxRuntime) -> Result<Bundle, BundleError> {
    Bundle::load(&made.directory, runtime, &LoadOptions::unhurried())
}

#[test]
fn a_bundle_decides_on_every_core() {
    let Some(runtime) = runtime() else { return };
    for made in [Made::split(), Made::whole()] {
        let bundle = load(&made, runtime).unwrap();
        assert_eq!((bundle.manifest().id.as_str(), bundle.cost().candidates), ("made", 64));
        let heads = bundle.heads(2).unwrap();
        assert!(heads.of(2).is_none());
        let mut fleet = Fleet::new(replicas(3, &h100(), &llama_3b()), Objective::Latency);
        fleet.group = Group::with_bundle(fleet.group.backends().to_vec(), &bundle).unwrap();
        for core in [0, 1] {
            let mut head = heads.of(core).unwrap();
            assert!(heads.of(core).is_none(), "nobody waits for a head that is taken");
            let decider = Decider { rng: &mut fleet.rng, head: Some(&mut head) };
            let decision =
                choose(&fleet.group, &fleet.policy, &request(1000), &SmallVec::new(), fleet.now, decider)
                    .unwrap();
            assert_eq!(decision.fallback, None);
            let learned = decision.chosen.prediction.unwrap().learned.unwrap();
            let weight = 1.0 / (1.0 + (0.05f64 / 0.2).powi(2));
            assert!((learned.confidence - weight).abs() < 1e-6, "{learned:?}");
            assert_eq!(learned.generation, bundle.generation());
        }
        assert_eq!(fleet.choose(&request(1000)).fallback, Some(Fallback::OverBudget), "without a head");
    }
}

#[test]
fn heads_say_the_same_of_one_candidate_as_of_many() {
    let Some(runtime) = runtime() else { return };
    let bundle = load(&Made::split(), runtime).unwrap();
    let specs = replicas(1, &h100(), &llama_3b()).into_iter().chain(replicas(1, &t4(), &llama_3b()));
    let deployments: Vec<_> = specs.map(|spec| spec.deployment().unwrap()).collect();
    let known = Texts { model: TEXT.0, ..Texts::default() };
    let unknown = Texts { hardware: "never heard of", ..Texts::default() };
    let memories = bundle
        .remember(&[(&deployments[0], known), (&deployments[1], unknown), (&deployments[1], unknown)])
        .unwrap();
    assert_eq!(bundle.missing_texts(), 1, "each text is counted once");
    let mut head = bundle.head().unwrap();
    let queries: Vec<_> = (0..3u8).map(|at| [f32::from(at) * 0.1; inputs::QUERY_WIDTH]).collect();
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    head.correct(&memories.iter().collect::<Vec<_>>(), &queries, &mut together).unwrap();
    for at in 0..3 {
        head.correct(&[&memories[at]], &queries[at..=at], &mut alone).unwrap();
        let pairs = alone[0].to_array().into_iter().zip(together[at].to_array());
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5), "{alone:?} {together:?}");
    }
    assert!(together[1].relative < together[2].relative, "one engine, two queries: {together:?}");
    assert!(head.correct(&[&memories[0]], &queries, &mut alone).is_err(), "one query for each");
    let other = load(&Made::whole(), runtime).unwrap();
    assert!(
        other.head().unwrap().correct(&[&memories[0]], &queries[..1], &mut alone).is_err(),
        "another bundle's"
    );
}

/// What is done to a bundle, and what its refusal says.
type Fault = (&'static str, fn(&Made), &'static str);

const FAULTS: [Fault; 16] = [
    ("no manifest", |made| remove(made, "manifest.json"), "manifest.json"),
    ("half a manifest", |made| truncate(made, "manifest.json"), "manifest.json: EOF"),
    ("half copied", |made| remove(made, "regressor.onnx"), "copied completely"),
    ("damaged", |made| truncate(made, "regressor.onnx"), "copy the bundle again"),
    ("no graph", |made| sign_after(made, |made| truncate(made, "regressor.onnx")), "ONNX Runtime refuses it"),
    (
        "not named",
        |made| made.change(|m| drop(m["files"].as_object_mut().unwrap().remove("golden.json"))),
        "golden.json",
    ),
    ("another format", |made| made.change(|m| m["format"] = json!(99)), "format 99"),
    ("other inputs", |made| made.change(|m| m["feature_schema"] = json!("abc")), "made for the inputs abc"),
    ("a way out", |made| made.change(|m| m["files"]["../../etc/passwd"] = json!("00")), "own directory"),
    ("an odd name", |made| made.change(|m| m["id"] = json!("Über")), "`id`"),
    ("no scale", |made| made.change(|m| m["spread_scale"] = json!(0.0)), "spread_scale"),
    (
        "few rows",
        |made| sign_after(made, |made| made.write("golden.json", &json!({"rows": []}))),
        "32 are the fewest",
    ),
    (
        "other vectors",
        |made| sign_after(made, |made| made.write("vectors.json", &json!({"width": 5, "vectors": {}}))),
        "width is 5",
    ),
    ("NaN", |made| replace(made, "nan"), "is NaN"),
    ("other inputs of the graph", |made| replace(made, "whole"), "no input \"memory\", only [\"features\"]"),
    ("another graph", |made| sign_after(made, other_texts), "golden row 0"),
];

#[test]
fn whatever_is_wrong_is_refused_with_the_reason() {
    let Some(runtime) = runtime() else { return };
    for (name, damage, said) in FAULTS {
        let made = Made::split();
        damage(&made);
        let error = load(&made, runtime).unwrap_err().to_string();
        assert!(error.contains(said), "{name}: {error}");
    }
    let made = Made::split();
    let options = LoadOptions { budget: Duration::from_nanos(1), encoders: None };
    let error = Bundle::load(&made.directory, runtime, &options).unwrap_err();
    assert!(matches!(error, BundleError::TooSlow { candidates: 1, .. }), "{error}");
}

fn remove(made: &Made, file: &str) {
    fs::remove_file(made.directory.join(file)).unwrap();
}

fn truncate(made: &Made, file: &str) {
    let content = fs::read(made.directory.join(file)).unwrap();
    fs::write(made.directory.join(file), &content[..content.len() / 2]).unwrap();
}

fn sign_after(made: &Made, change: fn(&Made)) {
    change(made);
    made.sign();
}

fn replace(made: &Made, fixture: &str) {
    let other = Made::new(&[("context.onnx", "context"), ("regressor.onnx", fixture)]);
    fs::copy(other.directory.join("regressor.onnx"), made.directory.join("regressor.onnx")).unwrap();
    made.sign();
}

fn other_texts(made: &Made) {
    made.write("vectors.json", &json!({"width": 4, "vectors": {TEXT.0: [9.0, 9.0, 9.0, 9.0]}}));
}

#[test]
fn a_backend_of_unknown_facts_keeps_the_group_from_the_learner() {
    let Some(runtime) = runtime() else { return };
    let bundle = load(&Made::split(), runtime).unwrap();
    let state = Arc::default();
    let mut specs =
        vec![backend("a", h100(), &llama_3b(), &state), backend("b", h100(), &llama_3b(), &state)];
    specs[0].model = None;
    let mut fleet = Fleet::new(Vec::new(), Objective::Latency);
    fleet.group = Group::with_bundle(specs, &bundle).unwrap();
    let mut head = bundle.head().unwrap();
    let decider = Decider { rng: &mut fleet.rng, head: Some(&mut head) };
    let decision =
        choose(&fleet.group, &fleet.policy, &request(100), &SmallVec::new(), fleet.now, decider).unwrap();
    assert_eq!(decision.fallback, Some(Fallback::UnknownFacts));
}
