//! `gearshift advise`.

use std::process::Command;

/// Exit code, standard output, standard error.
fn advise(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gearshift"));
    command.arg("advise").args(arguments);
    let output = command.env_remove("ORT_DYLIB_PATH").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const MODEL: [&str; 2] = ["--model", "Qwen/Qwen3-8B"];
const CARD: [&str; 2] = ["--hardware", "h100_sxm"];
const WORK: [&str; 4] = ["--prompt-tokens", "2000", "--output-tokens", "200"];

#[test]
fn the_best_profile_comes_first_with_its_line_to_paste() {
    let (code, said, problem) = advise(&[&MODEL[..], &CARD, &WORK, &["--shared-prefix", "1500"]].concat());
    assert_eq!((code, problem.as_str()), (0, ""));
    assert!(said.starts_with("Qwen/Qwen3-8B on 1 × h100_sxm\n"), "{said}");
    assert!(said.contains("by the prior alone"), "{said}");
    assert!(said.contains("\nvllm serve Qwen/Qwen3-8B --enable-prefix-caching"), "{said}");
    assert!(!said.contains("lossy"), "{said}");
    let (_, lossy, _) = advise(&[&MODEL[..], &CARD, &WORK, &["--allow-lossy"]].concat());
    assert!(lossy.contains("(lossy)"), "{lossy}");
}

#[test]
fn it_is_json_where_asked_for() {
    let more = ["--rate", "2", "--objective", "cost", "--ttft", "2s", "--output", "json", "--top", "2"];
    let (code, said, _) = advise(&[&MODEL[..], &CARD, &WORK, &more].concat());
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(code, 0);
    let profiles = said["profiles"].as_array().unwrap();
    assert!((1..=2).contains(&profiles.len()));
    assert!(profiles[0]["vllm"].as_str().unwrap().starts_with("vllm serve Qwen/Qwen3-8B "));
    let littles = 2.0 * profiles[0]["e2e_s"].as_f64().unwrap();
    let concurrency = said["workload"]["concurrency"].as_f64().unwrap();
    assert!((concurrency / littles.max(1.0) - 1.0).abs() < 0.1, "{concurrency} {littles}");
}

#[test]
fn ways_to_draft_are_named_and_the_usual_bundle_is_asked_where_it_lies() {
    let drafts =
        ["--speculate", "eagle3=heads", "--speculate", "ngram", "--concurrency", "2", "--vllm", "0.19.0"];
    let (code, said, problem) = advise(&[&MODEL[..], &CARD, &WORK, &drafts].concat());
    assert_eq!((code, problem.as_str()), (0, ""));
    let line = said.lines().last().unwrap();
    assert!(
        line.contains("--speculative-config") && line.contains("eagle3") && line.contains("heads"),
        "{said}"
    );
    assert!(said.contains("What ngram gains depends on the text"), "{said}");

    let beside = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(beside.path().join("models/default")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gearshift"));
    command.arg("advise").args([&MODEL[..], &CARD, &WORK].concat()).current_dir(beside.path());
    let said = command.env_remove("ORT_DYLIB_PATH").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("by the prior alone; not by models/default: ONNX Runtime is needed"), "{said}");
}

#[test]
fn hardware_may_be_given_in_numbers() {
    let card = ["--bf16-tflops", "200", "--memory-gb-per-s", "900", "--memory-gib", "48", "--count", "2"];
    let (code, said, problem) = advise(&[&MODEL[..], &card, &WORK].concat());
    assert_eq!((code, problem.as_str()), (0, ""));
    assert!(said.starts_with("Qwen/Qwen3-8B on 2 × hardware in numbers"), "{said}");
}

#[test]
fn what_is_wrong_is_said() {
    let wrong = |arguments: &[&[&str]], why: &str| {
        let (code, said, problem) = advise(&arguments.concat());
        assert!(code != 0 && said.is_empty() && problem.contains(why), "{code} {said} {problem}");
    };
    wrong(&[&MODEL, &["--hardware", "H100-SXM"], &WORK], "did you mean \"h100_sxm\"?");
    wrong(&[&["--model", "qwen3-8b2"], &CARD, &WORK], "did you mean \"qwen3-8b\"?");
    for (typed, meant) in [
        ("Qwen/Quen3-8B", "Qwen/Qwen3-8B"),
        ("meta-llama/llama3.1-8b-instruct", "meta-llama/Llama-3.1-8B-Instruct"),
    ] {
        wrong(&[&["--model", typed], &CARD, &WORK], &format!("did you mean {meant:?}?"));
    }
    wrong(&[&MODEL, &["--hardware", "h200"], &WORK], "did you mean \"h200_sxm\"");
    wrong(&[&MODEL, &CARD], "--prompt-tokens");
    wrong(&[&MODEL, &CARD, &WORK, &["--speculate", "eagle3"]], "eagle3=MODEL");
    wrong(&[&MODEL, &CARD, &WORK, &["--vllm", "newest"]], "no version of vLLM");
    wrong(&[&MODEL, &CARD, &WORK, &["--rate", "1", "--concurrency", "2"]], "cannot be used with");
    wrong(&[&MODEL, &CARD, &WORK, &["--rate", "-1"]], "");
    wrong(&[&MODEL, &CARD, &WORK, &["--rate", "100000"]], "no profile keeps up");
    wrong(&[&MODEL, &CARD, &["--prompt-tokens", "1e9", "--output-tokens", "1"]], "context");
    wrong(&[&MODEL, &CARD, &["--trace", "/nowhere.csv"]], "/nowhere.csv");
    wrong(&[&MODEL, &CARD, &WORK, &["--bundle", "x"]], "--onnxruntime or ORT_DYLIB_PATH");
    let small = ["--bf16-tflops", "10", "--memory-gb-per-s", "100", "--memory-gib", "4"];
    wrong(&[&MODEL, &small, &WORK], "does not fit 1 ×");
}
