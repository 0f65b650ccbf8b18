//! `gearshift-loadtest route`, as people run it.

use std::process::{Command, Output};

fn route(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gearshift-loadtest"));
    command.arg("route").args(arguments).env_remove("GEARSHIFT_DATA").output().unwrap()
}

#[test]
fn the_report_is_printed_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let grid = ["--fleets", "homogeneous", "--workloads", "chat", "--loads", "0.3,0.9", "--seeds", "2"];
    let size =
        ["--requests", "60", "--policies", "random,gearshift,oracle", "--output", "json", "--out", out];
    let output = route(&[&grid[..], &size].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["simulated"], true);
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 4);
    let oracles = cells.iter().filter(|cell| !cell["policies"]["oracle"].is_null()).count();
    assert_eq!(oracles, 1, "with the first seed and at low load");
    assert!(cells.iter().all(|cell| cell["policies"]["gearshift"]["whole"] == 1.0));
    for name in ["route.json", "route.md", "route.svg"] {
        assert!(folder.path().join(name).metadata().unwrap().len() > 500, "{name}");
    }
    let text = std::fs::read_to_string(folder.path().join("route.md")).unwrap();
    assert!(text.contains("(simulated)") && text.contains("| **gearshift** | 1.00"), "{text}");
}

#[test]
fn what_cannot_be_run_is_said() {
    for (arguments, reason) in [
        (&["--fleets", "nowhere"][..], "no shipped scenario is called nowhere"),
        (&["--workloads", "nothing"], "is no workload"),
        (&["--workloads", "chat", "--loads", "0"], "is no load"),
    ] {
        let output = route(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(reason), "{said}");
    }
}
