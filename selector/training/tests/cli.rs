//! What the command line says of itself, and its reports as JSON.
#![cfg(test)]

use std::process::Command;

fn train(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gearshift-train")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_subcommand_has_examples_and_its_report_as_json() {
    let (code, help) = train(&["--help"]);
    assert!(code == Some(0) && help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    let listed = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<_> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 8, "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let (code, help) = train(&[name, "--help"]);
        let shown = help.contains(&format!("Examples:\n  gearshift-train {name}"));
        assert!(code == Some(0) && shown, "{name} has no example: {help}");
        // These two write for shells and man.
        let reports = !["completions", "man"].contains(&name);
        assert_eq!(help.contains("--output <OUTPUT>"), reports, "{name} prints no JSON");
        assert!(train(&["completions", "bash"]).1.contains(name));
    }
    for verb in ["files", "silicon"] {
        let (_, help) = train(&["import", verb, "--help"]);
        let example = format!("Examples:\n  gearshift-train import {verb}");
        assert!(help.contains(&example) && help.contains("Exit codes: 0"), "{help}");
    }
    assert!(train(&["man"]).1.contains(".TH gearshift-train 1"));
    assert_eq!(train(&["fit", "--output", "yaml"]).0, Some(2));
    assert_eq!(train(&["bundle", "/dev/null/nowhere", "--output", "json"]).0, Some(1));
}

#[test]
fn rows_that_were_imported_are_told_as_one_document() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("rows.parquet");
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let (mapping, table) = (format!("{examples}/mapping.yaml"), format!("{examples}/benchmarks.csv"));
    let into = into.to_str().unwrap();
    let import = ["import", "files", "--mapping", &mapping, "--into", into, &table];
    let (code, said) = train(&[&import[..], &["--output", "json"]].concat());
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let size = std::fs::metadata(into).unwrap().len();
    assert_eq!((code, &said["file"], &said["bytes"]), (Some(0), &into.into(), &size.into()));
    assert!(said["rows"].as_u64() > Some(0), "{said}");

    let table = folder.path().join("inputs.csv");
    let table = table.to_str().unwrap();
    let (code, said) = train(&["inputs", "--data", into, "--out", table, "--output", "json"]);
    let inputs: serde_json::Value = serde_json::from_str(&said).unwrap();
    let lines = std::fs::read_to_string(table).unwrap().lines().count();
    assert_eq!((code, inputs["rows"].as_u64()), (Some(0), Some(lines as u64 - 1)));
}
