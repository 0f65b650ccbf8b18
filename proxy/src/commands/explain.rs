//! `gearshift explain`: why a request went where it went.

use std::fmt::Write as _;

use clap::Args;
use gearshift_proxy::percent::encoded;
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
        Some(id) => ask(admin, Method::GET, &format!("/decisions/{}", encoded(id)))?,
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
    text += &before(items(&it["earlier"]));
    let _ = writeln!(text, "{:<28} {:>10} {:>10}", "", "predicted", "measured");
    for (name, key) in
        [("time to first token", "ttft_s"), ("time per output token", "tpot_s"), ("end to end", "e2e_s")]
    {
        let _ = writeln!(text, "{name:<28} {:>10} {:>10}", seconds(&predicted[key]), seconds(&actual[key]));
    }
    text + &candidates(items(&it["candidates"]), it["objective"].as_str().unwrap_or_default())
}

/// Who could have been chosen, best first, with what ranked them.
fn candidates(all: &[Value], objective: &str) -> String {
    let mut text = format!(
        "\n{:<2}{:<26} {:<20} {:<16} {:>9} {:>7} {:>10} {:>10} {:>10} {:>10} {:>10}  limits\n",
        "",
        "candidate",
        "hardware",
        "profile",
        "in flight",
        "cached",
        "TTFT",
        "TPOT",
        "E2E",
        "delays",
        "score"
    );
    for it in all {
        let word = |key: &str| it[key].as_str().unwrap_or("–");
        let time = |key: &str| seconds(&it["predicted"][key]);
        let _ = writeln!(
            text,
            "{:<2}{:<26} {:<20} {:<16} {:>9} {:>7} {:>10} {:>10} {:>10} {:>10} {:>10}  {}",
            if it["chosen"] == true { "▸" } else { "" },
            word("backend"),
            word("hardware"),
            word("profile"),
            it["load"]["sequences"].as_f64().map_or("–".to_owned(), |sequences| format!("{sequences:.1}")),
            it["cached_tokens"].to_string(),
            time("ttft_s"),
            time("tpot_s"),
            time("e2e_s"),
            seconds(&it["priced_s"]),
            score(&it["score"], objective),
            if it["meets_slo"] == true { "met" } else { "missed" },
        );
    }
    text + "\n"
        + scored(objective)
        + "; --output json has each one's load, prior, learner's factors, cost and energy.\n"
}

fn score(value: &Value, objective: &str) -> String {
    match (value.as_f64(), objective) {
        (None, _) => "–".to_owned(),
        (Some(usd), "cost") => format!("${usd:.3e}"),
        (Some(joules), "energy") => format!("{joules:.1} J"),
        (Some(_), _) => seconds(value),
    }
}

/// What the score is, by the route's objective.
fn scored(objective: &str) -> &'static str {
    match objective {
        "cost" => "Score: the request's cost, more after recent failures",
        "energy" => "Score: the request's energy, more after recent failures",
        "throughput" => {
            "Score: time until the engine could be done with all it has, more after recent failures"
        }
        _ => "Score: E2E and what the request delays others by, more after recent failures",
    }
}

/// A line for each attempt that failed before, and one to end them.
fn before(attempts: &[Value]) -> String {
    let mut text = String::new();
    for it in attempts {
        let (backend, took) = (it["backend"].as_str().unwrap_or("–"), seconds(&it["actual"]["e2e_s"]));
        let _ = writeln!(text, "attempt {} went to {backend}: {}, after {took}", it["attempt"], why(it));
    }
    if !attempts.is_empty() {
        text.push('\n');
    }
    text
}

/// In a few words, why it went there.
fn why(it: &Value) -> String {
    let best = match (it["explored"] == true, it["fallback"].as_str(), it["confidence"].as_f64()) {
        (true, _, _) => "drawn, to get to know a backend".to_owned(),
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
