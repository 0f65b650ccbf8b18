//! What is wrong with a bundle is said, and the one before decides on.

use std::fs;

use super::{PATIENT, Stage, make::Made};

/// A fault, and a part of the reason that is given.
fn faults() -> Vec<(&'static str, Made, &'static str)> {
    let good = Made::whole(2);
    let change = |change: &dyn Fn(&mut Made)| {
        let mut made = good.clone();
        change(&mut made);
        made
    };
    let cut = |made: &mut Made| {
        let graph = made.files.get_mut("regressor.onnx").unwrap();
        graph.truncate(graph.len() / 2);
    };
    vec![
        ("cut", change(&cut), "regressor.onnx has SHA-256"),
        (
            "cut-but-hashed",
            change(&|made| {
                cut(made);
                made.hash();
            }),
            "ONNX Runtime refuses it",
        ),
        (
            "wrong-hash",
            change(&|made| made.manifest["files"]["golden.json"] = "0".repeat(64).into()),
            "golden.json has SHA-256",
        ),
        (
            "wrong-schema",
            change(&|made| made.manifest["feature_schema"] = "abc".into()),
            "made for the inputs abc",
        ),
        ("wrong-format", change(&|made| made.manifest["format"] = 99.into()), "has format 99"),
        (
            "no-field",
            change(&|made| drop(made.manifest.as_object_mut().unwrap().remove("spread_scale"))),
            "spread_scale",
        ),
        ("undated", change(&|made| made.manifest["created"] = "2026-12-01".into()), "write UTC as"),
        ("no-golden", change(&|made| drop(made.files.remove("golden.json"))), "golden.json: No such file"),
        (
            "other-graph",
            change(&|made| {
                made.files
                    .insert("regressor.onnx".to_owned(), Made::split(2).files["regressor.onnx"].clone());
                made.hash();
            }),
            "has no input \"features\"",
        ),
        ("nan", Made::nan(2), "is NaN"),
        ("slow", Made::slow(2), "the budget is"),
    ]
}

#[tokio::test]
async fn every_fault_is_said_and_changes_nothing() {
    let Some(stage) = Stage::set("{budget: 2ms}").await else { return };
    fs::create_dir(stage.models()).unwrap();
    Made::whole(1).drop_into(&stage.models(), "good");
    stage.decides("good").await;
    let faults = faults();
    for (name, made, _) in &faults {
        made.drop_into(&stage.models(), name);
    }
    let at = |name: &str| stage.models().join(name);
    good_but_for_manifest(&at("no-manifest"), None);
    good_but_for_manifest(&at("garbage"), Some("{not json"));
    let others = [("no-manifest", "manifest.json: No such file"), ("garbage", "manifest.json: key must be")];
    let mut refused = 0.0;
    for (name, reason) in faults.iter().map(|(name, _, reason)| (*name, *reason)).chain(others) {
        let said = stage.stands(name, "refused").await;
        assert!(said.contains(reason), "{name}: {said}");
        refused += 1.0;
    }
    assert_eq!((stage.active().await, stage.ask().await), ("good".into(), "none".to_owned()));
    assert_eq!(stage.count("gearshift_bundle_loads_total", &["result=\"refused\""]).await, refused);
    assert_eq!(stage.count("gearshift_bundle_last_load_successful", &[]).await, 0.0);

    // What is mended is taken over.
    Made::whole(3).write(&at("nan"));
    stage.decides("nan").await;
    assert_eq!(stage.count("gearshift_bundle_last_load_successful", &[]).await, 1.0);
}

fn good_but_for_manifest(directory: &std::path::Path, manifest: Option<&str>) {
    let beside = directory.with_file_name(".beside");
    Made::whole(2).write(&beside);
    match manifest {
        Some(text) => fs::write(beside.join("manifest.json"), text).unwrap(),
        None => fs::remove_file(beside.join("manifest.json")).unwrap(),
    }
    fs::rename(beside, directory).unwrap();
}

#[tokio::test]
async fn the_first_bundle_may_be_wrong_too() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    fs::create_dir(stage.models()).unwrap();
    Made::nan(1).drop_into(&stage.models(), "nan");
    stage.stands("nan", "refused").await;
    assert_eq!(stage.ask().await, "no_bundle");
    assert!(stage.active().await.is_null());
}
