//! `gearshift advise --bundle`.

use std::{path::Path, process::Command};

use serde_json::Value;

use super::{
    make::{Made, TinyEncoder},
    onnxruntime,
};

const QUESTION: [&str; 6] = ["--model", "Qwen/Qwen3-8B", "--hardware", "h100_sxm", "--output-tokens", "200"];

/// Exit code, standard output, standard error.
fn advise(library: &Path, bundle: Option<&Path>, more: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gearshift"));
    command.arg("advise").args(QUESTION).args(more).env("ORT_DYLIB_PATH", library);
    if let Some(directory) = bundle {
        command.arg("--bundle").arg(directory);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_bundle_corrects_the_prior_and_says_how_sure_it_is() {
    let Some(library) = onnxruntime() else { return };
    let folder = tempfile::tempdir().unwrap();
    Made::split(1).write(folder.path());
    let short = ["--prompt-tokens", "500", "--output", "json"];
    let ask = |bundle| {
        let (code, said, problem) = advise(&library, bundle, &short);
        assert_eq!((code, problem.as_str()), (0, ""));
        serde_json::from_str::<Value>(&said).unwrap()
    };
    let (alone, corrected) = (ask(None), ask(Some(folder.path())));
    assert_eq!(corrected["predicted"], "by the prior and bundle made-by-tests, mean confidence 0.99");
    let same = |profile: &&Value| profile["knobs"] == corrected["profiles"][0]["knobs"];
    let before =
        alone["profiles"].as_array().unwrap().iter().find(same).expect("it orders as the prior does");
    let after = &corrected["profiles"][0];
    assert!(before["confidence"].is_null());
    // A spread of a tenth of its scale.
    assert!((after["confidence"].as_f64().unwrap() - 1.0 / 1.01).abs() < 1e-6, "{after}");
    let factor = |name: &str| after[name].as_f64().unwrap() / before[name].as_f64().unwrap();
    assert!(factor("ttft_s") > 1.1 && factor("tpot_s") < 1.0, "{} {}", factor("ttft_s"), factor("tpot_s"));

    let (_, table, _) = advise(&library, Some(folder.path()), &["--prompt-tokens", "500"]);
    assert!(table.contains("\npredicted by the prior and bundle made-by-tests"), "{table}");
    assert!(table.lines().any(|line| line.starts_with(" 1 ") && line.contains(" 0.99  ")), "{table}");
}

#[test]
fn descriptions_that_it_cannot_read_are_said() {
    let Some(library) = onnxruntime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (encoder, bundle) = (TinyEncoder::new(), folder.path().join("reader"));
    Made::of_texts(1, &encoder, false).write(&bundle);
    let ask = || advise(&library, Some(&bundle), &["--prompt-tokens", "500"]);
    const UNREAD: &str = "it has no vectors of these descriptions, only the numbers count";
    let (code, said, _) = ask();
    assert!(code == 0 && said.contains(UNREAD), "{said}");
    encoder.put_into(folder.path());
    let (code, said, _) = ask();
    assert!(code == 0 && !said.contains(UNREAD), "{said}");
}

#[test]
fn a_bundle_without_an_answer_is_an_error() {
    let Some(library) = onnxruntime() else { return };
    let folder = tempfile::tempdir().unwrap();
    Made::nan_of_long_prompts(1).write(folder.path());
    let ask = |tokens| advise(&library, Some(folder.path()), &["--prompt-tokens", tokens]);
    assert_eq!(ask("500").0, 0);
    let (code, said, problem) = ask("5000");
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(problem.contains("of candidate 0 is NaN"), "{problem}");
    std::fs::write(folder.path().join("regressor.onnx"), "half").unwrap();
    let (code, said, problem) = ask("500");
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(problem.contains("regressor.onnx has SHA-256"), "{problem}");
}
