//! `gearshift explain`: why a request went where it went.

use std::fmt::Write as _;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::ask::{Admin, ask, items};
use crate::Output;

/// `gearshift explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The request's id: `x-request-id` of its response. Without one, the last decisions are listed.
    request: Option<String>,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    admin: Admin,
}

/// Decisions that are listed.
const LISTED: usize = 20;

/// Asks a running Gearshift; the text for standard output.
///
/// # Errors
/// What went wrong, for standard error.
pub(crate) fn run(explain: &Explain) -> Result<String, String> {
    let Explain { request, output, admin } = explain;
    let answer = match request {
        Some(id) => ask(admin, Method::GET, &format!("/decisions/{id}"))?,
        None => ask(admin, Method::GET, "/decisions")?,
    };
    Ok(match (output, request) {
        (Output::Json, _) => answer.to_string(),
        (Output::Text, Some(_)) => one(&answer),
        (Output::Text, None) => list(&answer["decisions"]),
    })
}

fn list(decisions: &Value) -> String {
    let found = items(decisions);
    if found.is_empty() {
        return "no decision yet: they are kept when their request has ended".to_owned();
    }
    let mut text = format!(
        "{:<36} {:<20} {:<24} {:>10} {:>10}  why\n",
        "request", "model", "backend", "predicted", "took"
    );
    for it in found.iter().take(LISTED) {
        let (predicted, took) = (seconds(&it["predicted"]["e2e_s"]), seconds(&it["actual"]["e2e_s"]));
        let cells = [&it["id"], &it["model"], &it["backend"]].map(|cell| cell.as_str().unwrap_or("–"));
        let [id, model, backend] = cells;
        let _ = writeln!(text, "{id:<36} {model:<20} {backend:<24} {predicted:>10} {took:>10}  {}", why(it));
    }
    text
}

fn one(it: &Value) -> String {
    let word = |key: &str| it[key].as_str().unwrap_or("–").to_owned();
    let (predicted, actual) = (&it["predicted"], &it["actual"]);
    let mut text = format!(
        "{} went to {} ({}, profile {}): {}\n\
         model {}, route {}, objective {}, {} candidates, bundle {}\n\
         {} prompt tokens, {} of them predicted in its prefix cache; {} output tokens expected, {} came\n\n",
        word("id"),
        word("backend"),
        word("hardware"),
        word("profile"),
        why(it),
        word("model"),
        word("route"),
        word("objective"),
        it["considered"],
        word("bundle"),
        it["prompt_tokens"],
        it["cached_tokens"],
        it["expected_output_tokens"],
        actual["output_tokens"],
    );
    let _ = writeln!(text, "{:<28} {:>10} {:>10}", "", "predicted", "measured");
    for (name, key) in
        [("time to first token", "ttft_s"), ("time per output token", "tpot_s"), ("end to end", "e2e_s")]
    {
        let _ = writeln!(text, "{name:<28} {:>10} {:>10}", seconds(&predicted[key]), seconds(&actual[key]));
    }
    let _ = writeln!(
        text,
        "\n{:<2}{:<26} {:<20} {:<16} {:>10} {:>10} {:>10} {:>7}  limits",
        "", "candidate", "hardware", "profile", "TTFT", "TPOT", "E2E", "cached"
    );
    for candidate in items(&it["candidates"]) {
        let word = |key: &str| candidate[key].as_str().unwrap_or("–");
        let time = |key: &str| seconds(&candidate["predicted"][key]);
        let _ = writeln!(
            text,
            "{:<2}{:<26} {:<20} {:<16} {:>10} {:>10} {:>10} {:>7}  {}",
            if candidate["chosen"] == true { "▸" } else { "" },
            word("backend"),
            word("hardware"),
            word("profile"),
            time("ttft_s"),
            time("tpot_s"),
            time("e2e_s"),
            candidate["cached_tokens"],
            if candidate["meets_slo"] == true { "met" } else { "missed" },
        );
    }
    text
}

/// In a few words, why it went there.
fn why(it: &Value) -> String {
    let best = match (it["explored"] == true, it["fallback"].as_str(), it["confidence"].as_f64()) {
        (true, _, _) => "drawn to explore".to_owned(),
        (false, Some(reason), _) => format!("best without the learner ({})", reason.replace('_', " ")),
        (false, None, Some(confidence)) => format!("best, confidence {:.0} %", confidence * 100.0),
        (false, None, None) => "best".to_owned(),
    };
    match it["outcome"].as_str() {
        Some("ok") | None => best,
        Some(outcome) => format!("{best}; {}", outcome.replace('_', " ")),
    }
}

fn seconds(value: &Value) -> String {
    match value.as_f64() {
        None => "–".to_owned(),
        Some(s) if s < 1.0 => format!("{:.1} ms", s * 1e3),
        Some(s) => format!("{s:.2} s"),
    }
}
