//! What is to be served: numbers, or the means of a trace.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use clap::Args;
use gearshift_selector::{advise::ClosedLoop, window::WorkloadWindow};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::facts::positive;
use crate::commands::ask::{Admin, ask};

/// Tokens that a block hash of Mooncake's format stands for.
const BLOCK_TOKENS: u32 = 512;

#[derive(Debug, Args)]
pub(super) struct Workload {
    /// Mean prompt tokens of a request.
    #[arg(long, value_name = "N", value_parser = positive, required_unless_present_any = ["trace", "from_live"])]
    prompt_tokens: Option<f64>,
    /// Mean output tokens of a request.
    #[arg(long, value_name = "N", value_parser = positive, required_unless_present_any = ["trace", "from_live"])]
    output_tokens: Option<f64>,
    /// Leading prompt tokens that earlier requests had too, so that a prefix cache saves them.
    #[arg(long, value_name = "N", value_parser = positive)]
    shared_prefix: Option<f64>,
    /// Requests that are always there. Without this and --rate, 16; a trace brings its own rate.
    #[arg(long, value_name = "N", value_parser = positive, conflicts_with = "rate")]
    concurrency: Option<f64>,
    /// Requests a second.
    #[arg(long, value_name = "N", value_parser = positive)]
    rate: Option<f64>,
    /// A trace, for what is not given: .jsonl with timestamp (ms), input_length, output_length and hash_ids, or .csv with
    /// TIMESTAMP, ContextTokens, GeneratedTokens.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// The admin listener of a running Gearshift, such as http://127.0.0.1:9090: what it is asked now, for what is not given.
    #[arg(long, value_name = "URL", conflicts_with = "trace")]
    from_live: Option<String>,
    /// Which of its models; may be left out where it serves one.
    #[arg(long, value_name = "NAME", requires = "from_live")]
    live_model: Option<String>,
    /// Its admin token.
    #[arg(long, value_name = "TOKEN", env = "GEARSHIFT_ADMIN_TOKEN", hide_env_values = true)]
    live_token: Option<String>,
}

/// Means over a trace.
#[derive(Debug, Default, PartialEq)]
struct Means {
    prompt_tokens: f64,
    output_tokens: f64,
    shared_tokens: f64,
    rate: Option<f64>,
}

impl Workload {
    /// Tokens and concurrency, and the rate where one is given.
    pub(super) fn resolve(&self) -> Result<(ClosedLoop, Option<f64>), String> {
        let means = match (&self.trace, &self.from_live) {
            (Some(path), _) => read(path).map_err(|error| format!("{}: {error}", path.display()))?,
            (None, Some(url)) => self.live(url)?,
            (None, None) => Means::default(),
        };
        let rate = if self.concurrency.is_some() { None } else { self.rate.or(means.rate) };
        let closed_loop = ClosedLoop {
            concurrency: self.concurrency.unwrap_or(16.0).max(1.0),
            prompt_tokens: self.prompt_tokens.unwrap_or(means.prompt_tokens),
            cached_tokens: self.shared_prefix.unwrap_or(means.shared_tokens),
            output_tokens: self.output_tokens.unwrap_or(means.output_tokens),
        };
        Ok((closed_loop, rate))
    }
}

impl Workload {
    fn live(&self, url: &str) -> Result<Means, String> {
        let admin = Admin { url: Some(url.to_owned()), token: self.live_token.clone() };
        let answer = ask(&admin, Method::GET, "/workload")?;
        of_windows(&answer, self.live_model.as_deref()).map_err(|problem| format!("{url}: {problem}"))
    }
}

/// The means of a model's workload window, out of the answer of `/workload`.
fn of_windows(answer: &Value, model: Option<&str>) -> Result<Means, String> {
    let models = answer["models"].as_object().ok_or("it knows nothing of its workload")?;
    let named = |name: &str| models.get_key_value(name);
    let found = match model {
        Some(name) => named(name),
        None => models.iter().next().filter(|_| models.len() == 1),
    };
    let known: Vec<&str> = models.keys().map(String::as_str).collect();
    let (name, window) =
        found.ok_or_else(|| format!("name one of its models by --live-model: {}", known.join(", ")))?;
    let window = WorkloadWindow::deserialize(window).map_err(|error| error.to_string())?;
    let (prompt_tokens, output_tokens) = (window.prompt_tokens.mean, window.output_tokens.mean);
    if !(prompt_tokens >= 1.0 && output_tokens >= 1.0) {
        return Err(format!("{name:?} has answered nothing yet"));
    }
    let rate = Some(window.rate_per_s).filter(|rate| *rate > 0.0);
    Ok(Means { prompt_tokens, output_tokens, shared_tokens: window.prefix_share * prompt_tokens, rate })
}

/// A line of Mooncake's format.
#[derive(Debug, Default, Deserialize)]
struct Line {
    /// Milliseconds.
    timestamp: f64,
    input_length: u32,
    output_length: u32,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

fn read(path: &Path) -> Result<Means, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let json = path.extension().is_some_and(|extension| extension == "jsonl");
    let rows = text
        .lines()
        .enumerate()
        .filter(|(number, row)| !(row.trim().is_empty() || *number == 0 && row.starts_with("TIMESTAMP")));
    let line = |(number, row): (usize, &str)| {
        let line = if json { serde_json::from_str(row).map_err(|error| error.to_string()) } else { csv(row) };
        line.map_err(|problem| format!("line {}: {problem}", number + 1))
    };
    means(&rows.map(line).collect::<Result<Vec<_>, _>>()?)
}

fn csv(row: &str) -> Result<Line, String> {
    let fields: Vec<&str> = row.split(',').map(str::trim).collect();
    let [at, prompt, output] = fields[..] else {
        return Err(format!("expected 3 fields, found {}", fields.len()));
    };
    let count = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number of tokens"));
    Ok(Line {
        timestamp: milliseconds(at).ok_or_else(|| format!("{at:?} is no time"))?,
        input_length: count(prompt)?,
        output_length: count(output)?,
        hash_ids: Vec::new(),
    })
}

/// Of `2023-11-16 18:17:03.9799600`, from some epoch.
fn milliseconds(text: &str) -> Option<f64> {
    let (date, clock) = text.split_once([' ', 'T'])?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock.split('+').next()?, ':')?;
    // Days of the civil calendar, with the year beginning in March.
    let (year, month): (f64, f64) = if month > 2.0 { (year, month - 3.0) } else { (year - 1.0, month + 9.0) };
    let leap = (year / 4.0).floor() - (year / 100.0).floor() + (year / 400.0).floor();
    let days = 365.0 * year + leap + ((153.0 * month + 2.0) / 5.0).floor() + day;
    Some((((days * 24.0 + hour) * 60.0 + minute) * 60.0 + second) * 1e3)
}

fn numbers<const N: usize>(text: &str, by: char) -> Option<[f64; N]> {
    text.split(by).map(|part| part.parse().ok()).collect::<Option<Vec<_>>>()?.try_into().ok()
}

fn means(lines: &[Line]) -> Result<Means, String> {
    if lines.is_empty() {
        return Err("no requests".to_owned());
    }
    let count = lines.len() as f64;
    let mean = |of: &dyn Fn(&Line) -> f64| lines.iter().map(of).sum::<f64>() / count;
    let times = || lines.iter().map(|line| line.timestamp);
    let span_s = (times().fold(f64::MIN, f64::max) - times().fold(f64::MAX, f64::min)) / 1e3;
    let mut seen = HashSet::new();
    // A cache that forgets nothing: what could be saved at best.
    let shared = lines.iter().map(|line| {
        let known = line.hash_ids.iter().take_while(|block| seen.contains(*block)).count();
        seen.extend(line.hash_ids.iter().copied());
        f64::from(BLOCK_TOKENS) * known as f64
    });
    let shared_tokens = shared.sum::<f64>() / count;
    Ok(Means {
        prompt_tokens: mean(&|line| f64::from(line.input_length.max(1))),
        output_tokens: mean(&|line| f64::from(line.output_length.max(1))),
        shared_tokens,
        rate: (span_s > 0.0).then(|| (count - 1.0) / span_s),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_comes_to_its_means() {
        let folder = tempfile::tempdir().unwrap();
        let (csv, jsonl) = (folder.path().join("a.csv"), folder.path().join("b.jsonl"));
        let rows = "2023-12-31 23:59:59.0,100,10\n2024-01-01 00:00:01.0,300,30\n";
        std::fs::write(&csv, format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}")).unwrap();
        let expected =
            Means { prompt_tokens: 200.0, output_tokens: 20.0, shared_tokens: 0.0, rate: Some(0.5) };
        assert_eq!(read(&csv).unwrap(), expected);
        let line = |at: u32, blocks: &str| {
            format!(
                "{{\"timestamp\":{at},\"input_length\":1024,\"output_length\":8,\"hash_ids\":[{blocks}]}}\n"
            )
        };
        std::fs::write(&jsonl, line(0, "1,2") + &line(2000, "1,3")).unwrap();
        let expected =
            Means { prompt_tokens: 1024.0, output_tokens: 8.0, shared_tokens: 256.0, rate: Some(0.5) };
        assert_eq!(read(&jsonl).unwrap(), expected);
        std::fs::write(&csv, "yesterday,1,2\n").unwrap();
        assert_eq!(read(&csv).unwrap_err(), "line 1: \"yesterday\" is no time");
        std::fs::write(&csv, "").unwrap();
        assert_eq!(read(&csv).unwrap_err(), "no requests");
    }

    #[test]
    fn a_window_comes_to_its_means() {
        let window = |output: f64| {
            let lengths =
                |mean: f64| serde_json::json!({"p50": mean, "p90": mean, "p99": mean, "mean": mean});
            serde_json::json!({"rate_per_s": 2.5, "burstiness": 1.0, "concurrency": 10.0, "seconds": 4.0,
                "prompt_tokens": lengths(1000.0), "output_tokens": lengths(output), "prefix_share": 0.6,
                "cached_share": 0.1, "requests": 500.0, "routes": {}})
        };
        let one = serde_json::json!({"models": {"chat": window(200.0)}});
        let expected =
            Means { prompt_tokens: 1000.0, output_tokens: 200.0, shared_tokens: 600.0, rate: Some(2.5) };
        assert_eq!(of_windows(&one, None).unwrap(), expected);
        let two = serde_json::json!({"models": {"chat": window(200.0), "code": window(0.0)}});
        assert_eq!(of_windows(&two, Some("chat")).unwrap(), expected);
        let refused = |model| of_windows(&two, model).unwrap_err();
        assert!(
            refused(None).ends_with("--live-model: chat, code") && refused(Some("x")).contains("chat, code")
        );
        assert_eq!(refused(Some("code")), "\"code\" has answered nothing yet");
        assert!(of_windows(&Value::Null, None).is_err());
    }
}
