//! The commands that serve engines.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use gearshift_loadtests::driver::Endpoint;

use super::json;
use crate::common::run;

/// A command of the binary, ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Starts a command and reads the lines it prints until one of them is its last, where it listens.
fn start(arguments: &[&str], lines: usize) -> (Running, Vec<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gearshift-loadtest"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines = output.lines().take(lines).map(Result::unwrap).collect();
    (Running(child), lines)
}

fn endpoint(line: &str) -> Endpoint {
    Endpoint::resolve(&line[line.find("http://").unwrap()..]).unwrap()
}

#[test]
fn an_engine_takes_vllms_flags() {
    let speculative = r#"{"method":"ngram","num_speculative_tokens":4}"#;
    let arguments = [
        "engine",
        "--hardware",
        "h100_sxm",
        "--hardware-count",
        "2",
        "--model",
        "meta-llama/Llama-3.1-8B-Instruct",
        "--served-model-name",
        "chat",
        "--listen",
        "127.0.0.1:0",
        "--dev-mode",
        "--max-num-seqs",
        "8",
        "--max-num-batched-tokens",
        "4096",
        "--max-model-len",
        "4096",
        "--no-enable-prefix-caching",
        "--speculative-config",
        speculative,
        "--kv-cache-dtype",
        "fp8",
        "--num-gpu-blocks-override",
        "1000",
    ];
    let (_running, lines) = start(&arguments, 1);
    assert!(
        lines[0].starts_with("engine: chat on 2 × h100_sxm, listening on http://127.0.0.1:"),
        "{lines:?}"
    );
    let endpoint = endpoint(&lines[0]);
    run(async {
        let (_, models) = json(&endpoint, "GET", "/v1/models", "").await;
        assert_eq!(
            (&models["data"][0]["id"], &models["data"][0]["max_model_len"]),
            (&"chat".into(), &4096.into())
        );
        let (_, info) = json(&endpoint, "GET", "/server_info?config_format=json", "").await;
        let config = &info["vllm_config"];
        assert_eq!(config["scheduler_config"]["max_num_seqs"], 8);
        assert_eq!(config["speculative_config"]["num_speculative_tokens"], 4);
        assert_eq!(config["cache_config"]["enable_prefix_caching"], false);
        assert_eq!(config["cache_config"]["cache_dtype"], "fp8");
        assert_eq!(config["parallel_config"]["tensor_parallel_size"], 2);
    });
}

/// Ports that were free a moment ago.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

#[test]
fn engines_serves_every_backend_of_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gearshift.yaml");
    let [one, two] = free_ports();
    let config = format!(
        "
listen: 127.0.0.1:1
backends:
  - {{name: one, url: 'http://127.0.0.1:{one}', hardware: l4, model: llama-3.2-1b}}
  - {{name: two, url: 'http://127.0.0.1:{two}/v1', hardware: l40s, model: llama-3.2-1b}}
"
    );
    std::fs::write(&file, config).unwrap();
    let arguments = ["engines", "--config", file.to_str().unwrap(), "--control", "127.0.0.1:0"];
    let (_running, lines) = start(&arguments, 3);
    assert!(lines[0].starts_with("one: llama-3.2-1b on 1 × l4"), "{lines:?}");
    run(async {
        let (_, listed) = json(&endpoint(&lines[2]), "GET", "/engines", "").await;
        assert_eq!(
            (&listed["engines"][0]["name"], &listed["engines"][1]["name"]),
            (&"one".into(), &"two".into())
        );
        let chat = r#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":2}"#;
        let (status, _) = json(&endpoint(&lines[1]), "POST", "/v1/chat/completions", chat).await;
        assert_eq!(status, 200);
    });
}

#[test]
fn what_cannot_be_served_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let in_use = format!("engine cannot listen on {address}: ");
    for (arguments, reason) in [
        (
            vec!["engine", "--hardware", "l4", "--model", "llama-3.2-1b", "--listen", &address],
            in_use.as_str(),
        ),
        (vec!["engines", "--scenario", "nowhere", "--time-scale", "10000.1"], "at most 10000"),
        (
            vec!["engine", "--hardware", "t4", "--model", "llama-3.1-70b", "--listen", "127.0.0.1:0"],
            "do not fit",
        ),
        (vec!["engine", "--hardware", "abacus", "--model", "llama-3.1-8b"], "abacus"),
        (vec!["engines", "--scenario", "nowhere"], "no shipped scenario"),
        (vec!["engines"], "--config"),
    ] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_gearshift-loadtest")).args(&arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(reason), "{arguments:?}: {error}");
    }
}
