//! Advice as a table and as JSON.

use gearshift_config::{Knobs, Quantization, shell_word};
use gearshift_selector::advise::Advice;
use serde_json::{Value, json};

use super::Answer;

pub(super) fn table(answer: &Answer) -> String {
    let Answer { served, hardware, question, rate, by, caveat, profiles } = answer;
    let load = &question.workload;
    let demand = match rate {
        Some(rate) => format!("{rate:.2} requests a second, {:.0} at a time", load.concurrency),
        None => format!("{:.0} requests at a time", load.concurrency),
    };
    let mut lines = vec![
        format!("{served} on {} × {hardware}", question.count),
        format!(
            "{:.0} prompt tokens ({:.0} of them shared), {:.0} output tokens, {demand}",
            load.prompt_tokens, load.cached_tokens, load.output_tokens
        ),
        format!("predicted {by}"),
        String::new(),
        format!(
            "{:>2} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8} {:>5}  profile",
            "#", "TTFT", "TPOT", "E2E", "tokens/s", "$/M tok", "J/token", "conf"
        ),
    ];
    lines.extend(profiles.iter().enumerate().map(|(at, profile)| row(at + 1, profile)));
    if let Some(best) = profiles.first() {
        if !best.meets_slo {
            lines.push("\nNo profile is predicted to meet the limits; these come nearest.".to_owned());
        }
        lines.extend(caveat.iter().map(|caveat| format!("\n{caveat}")));
        lines.push(format!("\n{}", start(served, best)));
    }
    lines.join("\n")
}

fn row(number: usize, profile: &Advice) -> String {
    let number_or = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    let Advice { ttft_s, tpot_s, e2e_s, output_tokens_per_s, usd_per_million, joules_per_token, .. } =
        profile;
    let mut row = format!(
        "{number:>2} {:>9} {:>9} {:>9} {output_tokens_per_s:>9.0} {:>8} {:>8} {:>5}  {}",
        time(*ttft_s),
        time(*tpot_s),
        time(*e2e_s),
        number_or(*usd_per_million),
        number_or(*joules_per_token),
        number_or(profile.confidence),
        in_words(&profile.knobs, profile.replicas)
    );
    if !profile.lossless {
        row += " (lossy)";
    }
    if !profile.meets_slo {
        row += " (misses a limit)";
    }
    row
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// The profile, short.
fn in_words(knobs: &Knobs, replicas: u32) -> String {
    let mut words = Vec::new();
    if replicas > 1 {
        words.push(format!("{replicas} engines"));
    }
    let arguments = knobs.vllm_args();
    words.extend(quantized(knobs).map(|weights| format!("{weights} weights")));
    words.extend(arguments.iter().map(|argument| argument.trim_start_matches("--").to_owned()));
    words.join(" ")
}

/// Weights that a checkpoint has to bring, for no argument makes them.
fn quantized(knobs: &Knobs) -> Option<&'static str> {
    match knobs.quantization? {
        Quantization::Int8 => Some("int8"),
        Quantization::Int4 => Some("int4"),
        Quantization::Fp4 => Some("fp4"),
        Quantization::None | Quantization::Fp8 => None,
    }
}

/// The line to paste.
fn start(served: &str, profile: &Advice) -> String {
    let arguments = profile.knobs.vllm_args();
    let words = std::iter::once(served).chain(arguments.iter().map(String::as_str));
    let line = words.fold("vllm serve".to_owned(), |line, word| line + " " + &shell_word(word));
    let replicas =
        (profile.replicas > 1).then(|| format!("{} of them, each on its own accelerators", profile.replicas));
    let weights = quantized(&profile.knobs).map(|weights| format!("of a checkpoint with {weights} weights"));
    let notes: Vec<_> = weights.into_iter().chain(replicas).collect();
    if notes.is_empty() { line } else { format!("{line}  # {}", notes.join("; ")) }
}

pub(super) fn json(answer: &Answer) -> Value {
    let Answer { served, hardware, question, rate, by, caveat, profiles } = answer;
    let profile = |profile: &Advice| {
        let mut value = json!(profile);
        value["vllm"] = start(served, profile).into();
        value
    };
    json!({
        "model": served,
        "hardware": hardware,
        "count": question.count,
        "workload": question.workload,
        "rate": rate,
        "objective": question.objective,
        "limits": question.slo,
        "predicted": by,
        "caveat": caveat,
        "profiles": profiles.iter().map(profile).collect::<Vec<_>>(),
    })
}
