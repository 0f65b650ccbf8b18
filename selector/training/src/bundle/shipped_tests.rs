//! What the shipped bundle says of engines as they are started.

use std::{path::Path, sync::Arc};

use gearshift_config::{Catalog, Knobs};
use gearshift_selector::{
    Correction, Deployment, Prior, Situation, Software,
    inputs::{self, StaticInputs},
};

use crate::{
    fit::{Fitted, Prepared, Recipe},
    onnx::{Restored, restore},
};

/// Models on accelerators that were measured, and how many it takes.
const MEASURED: [(&str, &str, u32); 4] = [
    ("llama-3.1-70b", "h200_sxm", 2),
    ("llama-3.1-70b", "b200_sxm", 1),
    ("gpt-oss-120b", "h200_sxm", 4),
    ("deepseek-v3", "h200_sxm", 8),
];

fn shipped() -> Fitted {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let restored = restore(&read("context.onnx"), &read("regressor.onnx")).unwrap();
    let Restored { shape, scaling, weights, gate } = restored;
    let recipe = Recipe { shape, ..Recipe::default() };
    Fitted { recipe, scaling, weights, gate, curves: Vec::new(), epochs: 0, spread_scale: 1.0 }
}

fn manifest() -> gearshift_selector::Manifest {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default/manifest.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn deployment(model: &str, hardware: &str, count: u32, knobs: Knobs) -> Deployment {
    let catalog = Catalog::shipped();
    Deployment {
        hardware: Arc::clone(catalog.hardware(hardware).unwrap()),
        count,
        model: Arc::clone(catalog.model(model).unwrap()),
        knobs: Knobs { tensor_parallel: Some(count), ..knobs },
        software: Software::default(),
        kv_tokens: None,
    }
}

/// Engines as rows, candidates of one decision, each with `concurrency` requests of 1000 tokens in and out.
fn rows(engines: &[Deployment], concurrency: f64) -> Prepared {
    let factors = manifest().prior;
    let mut rows = Prepared { offsets: vec![0, engines.len()], groups: vec![0], ..Prepared::default() };
    let mut queries = Vec::new();
    for engine in engines {
        let prior = Prior::new(engine, &factors);
        let situation = Situation::closed_loop(concurrency, 1000.0, 0.0, 1000.0);
        queries.push(inputs::query(&prior, &prior.terms(&situation), &situation));
        let StaticInputs { model, hardware, profile } = StaticInputs::new(engine);
        rows.model.extend(model);
        rows.hardware.extend(hardware);
        rows.profile.extend(profile);
        rows.weights.push(1.0);
        rows.regrets.push(0.0);
        for texts in [&mut rows.texts.model, &mut rows.texts.hardware, &mut rows.texts.workload] {
            texts.push(0);
        }
        for column in [&mut rows.targets, &mut rows.masks] {
            column.extend([0.0; crate::fit::TARGETS]);
        }
    }
    inputs::centre(&mut queries);
    rows.query.extend(queries.iter().flatten());
    rows
}

#[test]
fn engines_with_vllms_defaults_are_known_where_theirs_were_measured() {
    let fitted = shipped();
    let defaults =
        MEASURED.map(|(model, hardware, count)| deployment(model, hardware, count, Knobs::default()));
    assert_eq!(fitted.gate.open(&rows(&defaults, 64.0)), [1.0; 4]);
    let elsewhere = [deployment("llama-3.1-70b", "mi300x", 2, Knobs::default())];
    assert!(fitted.gate.open(&rows(&elsewhere, 64.0))[0] < 1e-3);
}

/// Knobs that nothing was measured of are the prior's to judge: what is known by heart tells no profile from its neighbour by them.
#[test]
fn a_step_beyond_what_was_measured_moves_little() {
    let fitted = shipped();
    let knobs = |caching: bool, steps: u32, slots: u32| Knobs {
        prefix_caching: Some(caching),
        max_num_batched_tokens: Some(steps),
        max_num_seqs: Some(slots),
        ..Knobs::default()
    };
    // The first is as they were measured.
    let profiles =
        [knobs(false, 8192, 256), knobs(true, 8192, 256), knobs(true, 12_288, 256), knobs(true, 12_288, 512)];
    for (model, hardware, count) in MEASURED {
        for concurrency in [16.0, 180.0] {
            let engines = profiles.clone().map(|knobs| deployment(model, hardware, count, knobs));
            let said: Vec<Correction> = fitted.predict(&rows(&engines, concurrency)).unwrap();
            let off: Vec<f32> = said.iter().map(|other| other.relative - said[0].relative).collect();
            eprintln!("{model} on {hardware}, {concurrency}: {:.3}, off by {off:.3?}", said[0].relative);
            assert!(off[1].abs() < 0.01 && off[2..].iter().all(|off| off.abs() < 0.1), "{off:?}");
            assert!(said.iter().all(|said| said.relative.abs() < 0.35), "a level: {said:?}");
        }
    }
}
