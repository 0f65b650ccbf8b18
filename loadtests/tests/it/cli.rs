//! The binary, as people run it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use gearshift_loadtests::procfs::ProcessTree;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

fn loadtest(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gearshift-loadtest"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A command in a process group of its own, of which nothing outlives the test, however that ends.
struct Group(Child);

impl Group {
    fn spawn(command: &mut Command) -> Self {
        Self(command.process_group(0).spawn().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // No group is left where all of it ended, and its number is not given out again so soon.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// A stub engine in a process of its own, ended with the test.
struct Stub {
    child: Child,
    url: String,
}

impl Stub {
    fn start() -> Self {
        let mut child = loadtest(&["mock", "--listen", "127.0.0.1:0"]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, url }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn streams_are_counted_and_memory_is_reported() {
    let stub = Stub::start();
    let pid = stub.child.id().to_string();
    let arguments = ["streams", "--target", &stub.url, "--mock", &stub.url, "--pid", &pid];
    let shape = ["--count", "300", "--chunks", "4", "--interval-ms", "50", "--output", "json"];
    let output = loadtest(&[&arguments[..], &shape].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["complete"], &report["lost"]), (&300.into(), &0.into()));
    assert_eq!(report["chunks"], 1_200);
    assert!(report["rss_peak_bytes"].as_u64() >= report["rss_before_bytes"].as_u64());
}

#[test]
fn a_workload_is_run_and_reported() {
    let stub = Stub::start();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, records) = (path("report"), path("records.jsonl"));
    let load = ["run", "--target", &stub.url, "--workload", "drift", "--rate", "100", "--duration", "0.5"];
    let shape = [
        "--seeds",
        "1,2",
        "--context",
        "4096",
        "--slo-ttft-ms",
        "5000",
        "--stretch",
        "--arrivals",
        "gamma:2",
    ];
    let files = ["--out", &out, "--records", &records, "--output", "json"];
    let output = loadtest(&[&load[..], &shape, &files].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "no progress bar without a terminal");

    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["conditions"]["model"], &report["total"]["failed"]), (&"stub".into(), &0.into()));
    let requests = report["total"]["requests"].as_u64().unwrap();
    let of = |part: &str| -> u64 {
        report[part].as_object().unwrap().values().map(|figures| figures["requests"].as_u64().unwrap()).sum()
    };
    assert_eq!((of("classes"), of("seeds")), (requests, requests));
    let lines = std::fs::read_to_string(records).unwrap();
    assert_eq!(lines.lines().count() as u64, requests);
    let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(line["first_token_s"].as_f64() > line["due_s"].as_f64());
    for name in ["run.json", "run.md", "run-ttft.svg", "run-e2e.svg"] {
        assert!(folder.path().join("report").join(name).exists(), "{name}");
    }
}

#[test]
fn what_cannot_be_run_says_why() {
    let arguments = ["run", "--target", "http://127.0.0.1:1", "--model", "m"];
    for (more, reason) in [
        (["--workload", "nothing"], "one of steady, drift"),
        (["--arrivals", "trace"], "workload steady is no trace"),
        (["--rate", "0"], "expected a number above 0"),
        (["--arrivals", "sometimes"], "gamma:CV"),
    ] {
        let output = loadtest(&[&arguments[..], &more].concat()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(reason), "{error}");
    }
}

#[test]
fn lost_streams_fail_the_command() {
    let stub = Stub::start();
    let arguments = ["streams", "--target", &stub.url, "--count", "3", "--chunks", "999", "--output"];
    let output = loadtest(&[&arguments[..], &["json"]].concat()).output().unwrap();
    assert!(!output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["lost"], 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains("3 of 3 streams were lost"));
    let output = loadtest(&[&arguments[..], &["text"]].concat()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("0 of 3 streams complete, 0 chunks; 3 lost"));
}

#[test]
fn the_stub_ends_when_told() {
    let mut stub = Stub::start();
    kill_process(Pid::from_child(&stub.child), Signal::TERM).unwrap();
    assert!(stub.child.wait().unwrap().success());
}

#[test]
fn the_benchmark_writes_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("reports/bench.json");
    let arguments =
        ["bench", "--only", "direct", "--cases", "request_1k", "--quick", "--rounds", "1", "--out"];
    let output = loadtest(&arguments).arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    let row = &report["rows"][0];
    assert_eq!((&row["proxy"], &row["case"]), (&"direct".into(), &"request_1k".into()));
    assert!(row["per_second"].as_f64().unwrap() > 0.0);
    assert!(row.get("cpu_us").is_none(), "there is no proxy whose CPU could be measured");
    assert!(!report["conditions"]["kernel"].as_str().unwrap().is_empty());
    let table = std::fs::read_to_string(out.with_extension("md")).unwrap();
    assert!(table.contains("| request_1k | direct |"));
}

#[test]
fn a_missing_gearshift_is_an_error_that_says_what_to_do() {
    let output = loadtest(&["bench", "--gearshift", "no/such/file"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cargo build --release"));
}

#[test]
fn a_test_that_fails_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let script = format!("sleep 600 & echo $! $$ >{0}.new; mv {0}.new {0}; wait", pids.display());
    let group = Group::spawn(Command::new("sh").args(["-c", &script]));
    while !pids.exists() {
        std::thread::yield_now();
    }
    drop(group);
    for pid in std::fs::read_to_string(pids).unwrap().split_ascii_whitespace() {
        // Whoever inherits it may not have waited for it yet.
        let dead = || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat.contains(") Z ") || stat.contains(") X "),
            Err(_) => true,
        };
        while !dead() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn an_interrupted_benchmark_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bench.json");
    let arguments = ["bench", "--only", "direct", "--cases", "request_1k", "--rounds", "1000", "--out"];
    let mut group = Group::spawn(loadtest(&arguments).arg(&out));
    let bench = &mut group.0;
    let mut progress = BufReader::new(bench.stderr.take().unwrap());
    let mut line = String::new();
    progress.read_line(&mut line).unwrap();
    assert!(line.starts_with("round 1/1000"), "{line}");

    let mut processes = ProcessTree::of(bench.id()).processes().unwrap();
    assert!(processes.remove(&bench.id()) && processes.len() == 1, "the stub engine runs");
    kill_process(Pid::from_child(bench), Signal::INT).unwrap();
    assert!(!bench.wait().unwrap().success());
    progress.read_to_string(&mut line).unwrap();
    assert!(line.contains("interrupted"));
    for process in processes {
        assert!(!Path::new(&format!("/proc/{process}")).exists(), "process {process} still runs");
    }
    assert!(!out.exists());
}

#[test]
fn the_command_line_explains_itself() {
    let told = |arguments: &[&str]| {
        let output = loadtest(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, help) = told(&["--help"]);
    assert!(code == Some(0) && help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    assert!(!help.contains('\u{1b}'), "colours without a terminal: {help:?}");
    for (arguments, code) in [
        (&["nothing"][..], 2),
        (&["route", "--output", "yaml"], 2),
        (&["collect", "--plan", "/dev/null/x"], 1),
    ] {
        assert_eq!(told(arguments).0, Some(code), "{arguments:?}");
    }
    let listed = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<_> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 12, "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let (code, help) = told(&[name, "--help"]);
        let shown = help.contains(&format!("Examples:\n  gearshift-loadtest {name}"));
        assert!(code == Some(0) && shown, "{name} has no example: {help}");
        // Servers say where they listen; the last two write for shells and man.
        let reports = !["mock", "engine", "engines", "completions", "man"].contains(&name);
        assert_eq!(help.contains("--output <OUTPUT>"), reports, "{name} prints no JSON");
    }
    assert!(told(&["completions", "bash"]).1.contains("fit-hardware"));
    assert!(told(&["man"]).1.contains(".TH gearshift-loadtest 1"));
}
