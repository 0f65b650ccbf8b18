//! `gearshift-loadtest collect`, with simulated engines in the place of real ones.

use std::{path::Path, process::Command, time::SystemTime};

use gearshift_loadtests::collect::Plan;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_gearshift-loadtest");

/// Two profiles and two workloads on a simulated engine. JSON is YAML.
fn plan(folder: &Path) -> Value {
    let texts = folder.join("texts.json");
    std::fs::write(&texts, r#"{"code": ["fn a() {} fn b() {}", "a b c d"], "chat": ["Hello!"]}"#).unwrap();
    std::fs::write(folder.join("config.json"), r#"{"vocab_size": 1000}"#).unwrap();
    let model = json!({"path": folder, "catalog": "smollm2-135m"});
    json!({
        "dataset": "test", "seed": 1, "repeats": 2, "reference": "off", "defaults": "on",
        "engine": {"command": [
            BINARY, "engine", "--hardware=l4", "--model=smollm2-135m", "--served-model-name={name}",
            "--listen=127.0.0.1:{port}", "--dev-mode",
        ]},
        "hardware": {"name": "l4"},
        "models": {"small": model},
        "knobs": {"max_model_len": 2048},
        "profiles": {
            "off": {"knobs": {"prefix_caching": false, "max_num_seqs": 2}},
            "on": {"knobs": {"prefix_caching": true}},
        },
        "workloads": {
            "shared": {
                "description": "Shared.", "requests": 6, "concurrency": [3], "output": [4, 8],
                "prompt": {"kind": "shared", "prefixes": 1, "prefix_tokens": 300, "tokens": [5, 20]},
            },
            "code": {
                "description": "Code.", "requests": 4, "concurrency": [1], "output": [4, 4],
                "prompt": {"kind": "texts", "file": texts, "list": "code"},
            },
        },
        "greedy": {"file": texts, "of_each": 1, "output": 4},
    })
}

fn collect(folder: &Path, more: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    command.arg("collect").arg("--plan").arg(folder.join("plan.yaml")).arg("--out").arg(folder.join("out"));
    let output = command.args(more).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// Mean time of a profile's requests over its repeats.
fn mean(profile: &Value) -> f64 {
    let repeats = profile["e2e_s"].as_array().unwrap();
    repeats.iter().map(|mean| mean.as_f64().unwrap()).sum::<f64>() / repeats.len() as f64
}

fn changed(path: &Path) -> SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

#[test]
fn what_is_measured_is_kept_reported_and_not_measured_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("plan.yaml"), plan(folder).to_string()).unwrap();
    let rows = folder.join("rows.parquet");
    collect(folder, &["--rows", rows.to_str().unwrap()]);
    let report: Value =
        serde_json::from_slice(&std::fs::read(folder.join("out/collect.json")).unwrap()).unwrap();
    // Both profiles twice, and the reference twice more at the end: two workloads each.
    assert_eq!((&report["conditions"]["measurements"], &report["missing"]), (&12.into(), &0.into()));
    let shared = &report["contexts"][1]; // JSON has sorted them
    assert_eq!(shared["workload"], "shared");
    // Which is the fastest this machine says; the report has to agree with what it measured.
    let profiles = shared["profiles"].as_array().unwrap();
    let fastest = profiles.iter().min_by(|a, b| mean(a).total_cmp(&mean(b))).unwrap();
    assert_eq!(shared["best"]["profile"], fastest["profile"], "{shared}");
    let of = |name: &str| shared["best"]["over_reference"][name].as_f64().unwrap();
    let (low, gain, high) = (of("low"), of("gain"), of("high"));
    assert!(0.0 < low && low <= gain && gain <= high, "{shared}");
    assert!(shared["profiles"][1]["cached_share"].as_f64().unwrap() > 0.5);
    // Three texts: one of each list, and all of them in one.
    assert_eq!(report["agreement"][1]["alone"]["of"], 3);
    assert!(rows.metadata().unwrap().len() > 0);

    let kept = folder.join("out/cells/small--on--shared-3--0.json");
    let lost = folder.join("out/cells/small--on--code-1--1.json");
    let before = changed(&kept);
    std::fs::remove_file(&lost).unwrap();
    let said = collect(folder, &[]);
    assert!(said.contains("code, 1 in flight, repeat 1") && !said.contains("shared"), "{said}");
    assert!(lost.exists());
    assert_eq!(changed(&kept), before);
}

#[test]
fn the_shipped_plan_is_sound() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/collect_cpu.yaml");
    let plan = Plan::load(&path).unwrap();
    assert!(plan.profiles.len() >= 12 && plan.workloads.len() >= 4 && plan.models.len() >= 2);
    assert!(plan.profiles.values().all(|profile| plan.declared_lossless(profile)));
    let reference = plan.arguments(&plan.profiles[&plan.reference]).join(" ");
    assert!(reference.starts_with("--no-enable-prefix-caching --no-enable-chunked-prefill"), "{reference}");
}

#[test]
fn a_plan_says_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut plan = plan(folder.path());
        change(&mut plan);
        Plan::parse("plan.yaml", &plan.to_string()).unwrap_err().to_string()
    };
    assert!(wrong(&|plan| plan["reference"] = "none".into()).contains("no profile none"));
    assert!(wrong(&|plan| plan["hardware"]["name"] = "abacus".into()).contains("abacus"));
    assert!(wrong(&|plan| plan["models"]["a/b"] = plan["models"]["small"].clone()).contains("a/b"));
    assert!(wrong(&|plan| plan["workloads"]["code"]["concurrency"] = json!([9])).contains("code"));
    assert!(wrong(&|plan| plan["repeats"] = 0.into()).contains("repeat"));
    assert!(wrong(&|plan| plan["knobs"]["max_sequences"] = 1.into()).contains("max_sequences"));
}
