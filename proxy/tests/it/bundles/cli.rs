//! `gearshift bundle`.

use std::{fs, path::Path, process::Command};

use gearshift_selector::{FORMAT, OUTPUTS, inputs};
use serde_json::{Value, json};

use super::{PATIENT, Stage, make::Made, onnxruntime};
use crate::common::Gearshift;

/// Exit code, standard output, standard error.
fn bundle(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gearshift"));
    command.arg("bundle").args(arguments);
    let output = command.env_remove("ORT_DYLIB_PATH").env_remove("GEARSHIFT_ADMIN_TOKEN").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_names_what_can_be_done() {
    let (code, help, _) = bundle(&["--help"]);
    assert_eq!(code, 0);
    for command in ["verify", "schema", "list", "activate", "rollback", "newest"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    assert_eq!(bundle(&["shelve"]).0, 2);
}

#[test]
fn the_schema_has_all_that_a_maker_of_bundles_needs() {
    let (code, said, problem) = bundle(&["schema", "--output", "json"]);
    assert_eq!((code, problem.as_str()), (0, ""));
    let schema: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(schema["format"], FORMAT);
    assert_eq!(schema["feature_schema"], inputs::schema_hash());
    assert_eq!(schema["outputs"], json!(OUTPUTS));
    let features: Vec<_> =
        schema["features"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    let groups =
        ["model", "hardware", "profile", "query"].map(|group| schema["inputs"][group].as_array().unwrap());
    assert!(groups.into_iter().flatten().map(|name| name.as_str().unwrap()).eq(features.iter().copied()));
    let (code, table, _) = bundle(&["schema"]);
    assert_eq!(code, 0);
    for text in [schema["feature_schema"].as_str().unwrap(), "\nquery [n, 87]", "\nprediction [n, 7]"] {
        assert!(table.contains(text), "{text}: {table}");
    }
    for (at, name) in features.iter().enumerate() {
        assert!(table.lines().any(|line| line.ends_with(&format!(" {at:>4}  {name}"))), "{at} {name}");
    }
}

/// Its official builds would write who this is under the home directory, and send it with what runs here.
#[test]
fn onnx_runtime_reports_nothing_to_its_makers() {
    let Some(library) = onnxruntime() else { return };
    let (home, models) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bundle = models.path().join("one");
    Made::whole(1).write(&bundle);
    let output = Command::new(env!("CARGO_BIN_EXE_gearshift"))
        .args(["bundle", "verify", "--onnxruntime"])
        .args([Path::new(&library), &bundle])
        .env_clear()
        .env("HOME", home.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_folder_is_listed_without_onnx_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(bundle(&["list", path]), (0, format!("no bundles in {path}\n"), String::new()));
    Made::whole(1).write(&folder.path().join("one"));
    Made::whole(2).write(&folder.path().join("two"));
    fs::write(folder.path().join("two/manifest.json"), "{").unwrap();
    let (code, listed, _) = bundle(&["list", path]);
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(code, 0);
    assert!(lines[0].starts_with("one ") && lines[0].ends_with("2026-11-01T00:00:00Z"), "{listed}");
    assert!(lines[1].starts_with("two ") && lines[1].contains("manifest.json: EOF"), "{listed}");
    assert_eq!(bundle(&["verify", path]).0, 1);
}

#[test]
fn a_bundle_is_tried_out() {
    let Some(library) = onnxruntime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let verify = |made: &Made, budget: &str| {
        made.write(folder.path());
        let (library, directory) = (library.to_str().unwrap(), folder.path().to_str().unwrap());
        bundle(&["verify", directory, "--onnxruntime", library, "--budget", budget])
    };
    let (code, said, problem) = verify(&Made::split(1), "50ms");
    assert_eq!((code, problem.as_str()), (0, ""));
    assert!(
        // Its directory is called otherwise.
        said.contains("made-by-tests: ok; made 2026-11-01")
            && said.contains("asked about 64 candidates within 50ms"),
        "{said}"
    );
    let (code, said, problem) = verify(&Made::slow(1), "20us");
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(problem.contains("candidates take") && problem.contains("the budget is 20µs"), "{problem}");
    let (code, _, problem) = verify(&Made::nan(1), "50ms");
    assert!(code == 1 && problem.contains("is NaN"), "{problem}");
    assert_eq!(verify(&Made::split(1), "soon").0, 2);
}

#[tokio::test]
async fn a_running_gearshift_is_told() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    fs::create_dir(stage.models()).unwrap();
    for (day, name) in [(1, "one"), (2, "two")] {
        Made::whole(day).drop_into(&stage.models(), name);
        stage.decides(name).await;
    }
    let admin = format!("http://{}", stage.proxy.admin);
    let told = |arguments: &[&str]| bundle(&[arguments, &["--admin", &admin]].concat());
    let done = |said: &str| (0, format!("active: {said}\n"), String::new());
    assert_eq!(told(&["activate", "one"]), done("one"));
    assert_eq!(told(&["rollback"]), done("two"));
    assert_eq!(told(&["newest"]), done("two"));
    let (code, _, problem) = told(&["activate", "three"]);
    assert_eq!(
        (code, problem.as_str()),
        (1, "gearshift: there is no bundle \"three\"; see `gearshift bundle list`\n")
    );
    let (code, listed, _) = told(&["list"]);
    assert_eq!(code, 0);
    assert!(listed.contains("two                      active     2026-11-02T00:00:00Z"), "{listed}");
    assert!(listed.contains("one                      previous   2026-11-01T00:00:00Z"), "{listed}");
    drop(stage);
    let (code, _, problem) = told(&["newest"]);
    assert!(code == 1 && problem.contains("Connection refused"), "{problem}");
    let (code, _, problem) = bundle(&["newest", "--admin", "ftp://x"]);
    assert!(code == 1 && problem.contains("write an address such as"), "{problem}");
}

#[tokio::test]
async fn a_bundle_is_activated_whatever_its_directory_is_called() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    fs::create_dir(stage.models()).unwrap();
    for (day, name) in [(1, "v1+live"), (2, "plain")] {
        Made::whole(day).drop_into(&stage.models(), name);
        stage.decides(name).await;
    }
    let admin = format!("http://{}", stage.proxy.admin);
    let (code, said, problem) = bundle(&["activate", "v1+live", "--admin", &admin]);
    assert_eq!((code, said.as_str(), problem.as_str()), (0, "active: v1+live\n", ""));
    let (code, _, problem) = bundle(&["activate", "no such: 100%/?", "--admin", &admin]);
    assert!(code == 1 && problem.contains("there is no bundle \"no such: 100%/?\""), "{problem}");
}

#[tokio::test]
async fn without_onnx_runtime_it_says_so() {
    let engine = crate::common::Engine::start().await;
    let proxy = Gearshift::start(crate::common::Yaml::of(&[&engine])).await;
    let (code, _, problem) = bundle(&["newest", "--admin", &format!("http://{}", proxy.admin)]);
    assert!(code == 1 && problem.contains("ONNX Runtime is not loaded"), "{problem}");
    let (code, _, problem) = bundle(&["verify", Path::new("x").to_str().unwrap()]);
    assert!(code == 1 && problem.contains("--onnxruntime or ORT_DYLIB_PATH"), "{problem}");
}
