//! What is told of single requests: spans, access-log lines, headers that explain.

mod access;
mod collector;
mod engines;
mod explain;
mod spans;

use crate::common::{Engine, Yaml};

/// What no span, line or header may hold.
const SECRET: &str = "the-prompt-that-nobody-may-find";
const ANSWER: &str = "the-answer-that-nobody-may-find";

/// Engines that are known, so that there are predictions.
fn known(engines: &[&Engine], telemetry: &str) -> Yaml {
    let entry = |(engine, name): (&&Engine, char)| {
        let address = engine.address;
        format!("{{name: {name}, url: \"http://{address}\", model: stub, hardware: l4, profile: fast}}")
    };
    engines
        .iter()
        .zip('a'..)
        .map(entry)
        .fold(Yaml::new(), |yaml, one| yaml.entry(&one))
        .model("{catalog: qwen3-8b, served_name: stub, aliases: [chatty]}")
        .with("profiles: {fast: {max_num_seqs: 64}}")
        .with(&format!("telemetry: {{{telemetry}}}"))
}

fn question(model: &str, stream: bool) -> String {
    serde_json::json!({"model": model, "stream": stream, "max_tokens": 20,
        "messages": [{"role": "user", "content": SECRET}]})
    .to_string()
}

fn completion() -> String {
    serde_json::json!({"object": "chat.completion", "model": "stub",
        "choices": [{"message": {"role": "assistant", "content": ANSWER}}],
        "usage": {"prompt_tokens": 31, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 16}}})
    .to_string()
}

/// A streamed answer.
const PIECES: [&str; 3] = [
    "data: {\"choices\":[{\"delta\":{\"content\":\"the-answer-that-nobody-may-find\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"more\"}}]}\n\n",
    "data: [DONE]\n\n",
];
