//! `gearshift bundle`: look at bundles, try one out, say what one is made of, tell a running Gearshift which one to use.

mod schema;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;
use gearshift_proxy::{bundles::shelf, percent::encoded};
use gearshift_selector::{Bundle, LoadOptions, OnnxRuntime};
use http::Method;
use serde_json::{Value, json};

use super::ask::{Admin, ask};
use crate::{Output, examples};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load a bundle as `serve` would, and say what is wrong with it or what it costs.
    #[command(after_help = examples::BUNDLE_VERIFY)]
    Verify {
        /// The bundle's directory.
        directory: PathBuf,
        /// ONNX Runtime's shared library.
        #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
        onnxruntime: Option<PathBuf>,
        /// Time that it may add to a decision, as `learner.budget` has it.
        #[arg(long, value_name = "TIME", default_value = "100us", value_parser = time)]
        budget: Duration,
        /// How it is written.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Say which numbers a bundle's graphs are given and must say, in order, and their hash: for making one elsewhere.
    #[command(after_help = examples::BUNDLE_SCHEMA)]
    Schema {
        /// How it is written.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// List the bundles of a folder, newest first; with --admin, as a running Gearshift sees them.
    #[command(after_help = examples::BUNDLE_LIST)]
    List {
        /// The folder that bundles are dropped into.
        #[arg(default_value = "models")]
        folder: PathBuf,
        /// How they are written.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
        #[command(flatten)]
        admin: Admin,
    },
    /// Make a running Gearshift use this bundle and no other, also after a restart.
    #[command(after_help = examples::BUNDLE_ACTIVATE)]
    Activate {
        /// The bundle's directory name.
        id: String,
        /// How the answer is written.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
        #[command(flatten)]
        admin: Admin,
    },
    /// Make a running Gearshift use the bundle that was active before, and no other.
    #[command(after_help = examples::BUNDLE_ROLLBACK)]
    Rollback {
        /// How the answer is written.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
        #[command(flatten)]
        admin: Admin,
    },
    /// Make a running Gearshift follow the newest bundle again.
    #[command(after_help = examples::BUNDLE_NEWEST)]
    Newest {
        /// How the answer is written.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
        #[command(flatten)]
        admin: Admin,
    },
}

/// Carries it out; the text for standard output.
///
/// # Errors
/// What went wrong, for standard error.
pub(crate) fn run(command: Command) -> Result<String, String> {
    match command {
        Command::Verify { directory, onnxruntime, budget, output } => {
            verify(&directory, onnxruntime, budget, output)
        }
        Command::Schema { output: Output::Text } => Ok(schema::table()),
        Command::Schema { output: Output::Json } => Ok(format!("{:#}", schema::json())),
        Command::List { folder, output, admin } if admin.url.is_none() => list(&folder, output),
        Command::List { folder: _, output, admin } => {
            ask(&admin, Method::GET, "/bundles").map(|view| match output {
                Output::Json => view.to_string(),
                Output::Text => seen(&view),
            })
        }
        Command::Activate { id, output, admin } => {
            activated(&admin, &format!("/bundles/{}/activate", encoded(&id)), output)
        }
        Command::Rollback { output, admin } => activated(&admin, "/bundles/rollback", output),
        Command::Newest { output, admin } => activated(&admin, "/bundles/newest", output),
    }
}

/// Such as `100us`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write it as 100us, 2ms or 1s");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number = number.parse().map_err(|_| wrong())?;
    match unit {
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(wrong()),
    }
}

/// Why nothing can be loaded.
pub(super) const NO_LIBRARY: &str =
    "ONNX Runtime is needed: name its shared library by --onnxruntime or ORT_DYLIB_PATH";

/// As `serve` would load it: encoders lie beside it.
pub(super) fn options(directory: &Path) -> LoadOptions {
    let folder = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    LoadOptions { encoders: Some(folder.join(shelf::ENCODERS)), ..LoadOptions::default() }
}

fn verify(
    directory: &Path,
    onnxruntime: Option<PathBuf>,
    budget: Duration,
    output: Output,
) -> Result<String, String> {
    let library = onnxruntime.ok_or(NO_LIBRARY)?;
    let runtime = OnnxRuntime::load(&library).map_err(|error| error.to_string())?;
    let wrong = |problem: String| format!("{}: {problem}", directory.display());
    shelf::look(directory).manifest.map_err(wrong)?;
    let options = LoadOptions { budget, ..options(directory) };
    let bundle = Bundle::load(directory, &runtime, &options).map_err(|error| wrong(error.to_string()))?;
    let (manifest, cost) = (bundle.manifest(), bundle.cost());
    if matches!(output, Output::Json) {
        let took =
            |(size, took): &(usize, Duration)| json!({"candidates": size, "seconds": took.as_secs_f64()});
        let costs: Vec<Value> = cost.medians.iter().map(took).collect();
        let (id, created, candidates) = (&manifest.id, &manifest.created, cost.candidates);
        return Ok(
            json!({"id": id, "created": created, "candidates": candidates, "costs": costs}).to_string()
        );
    }
    let mut lines = vec![format!("{}: ok; made {}", manifest.id, manifest.created)];
    lines.push(format!("  asked about {} candidates within {budget:?}", cost.candidates));
    lines.extend(cost.medians.iter().map(|(size, took)| format!("    {size:>2} take {took:?}")));
    let trained = manifest.training.iter();
    lines.extend(
        trained.map(|rows| format!("  trained on {} {} rows ({})", rows.rows, rows.source, rows.dataset)),
    );
    Ok(lines.join("\n"))
}

fn list(folder: &Path, output: Output) -> Result<String, String> {
    let found = shelf::scan(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if matches!(output, Output::Json) {
        let one = |found: &shelf::Found| match &found.manifest {
            Ok(manifest) => json!({"id": found.name, "created": manifest.created}),
            Err(problem) => json!({"id": found.name, "problem": problem.to_string()}),
        };
        return Ok(json!({"bundles": found.iter().map(one).collect::<Vec<_>>()}).to_string());
    }
    if found.is_empty() {
        return Ok(format!("no bundles in {}", folder.display()));
    }
    let line = |found: shelf::Found| match &found.manifest {
        Ok(manifest) => format!("{:<24} {}", found.name, manifest.created),
        Err(problem) => format!("{:<24} cannot be used: {problem}", found.name),
    };
    Ok(found.into_iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// The answer of `/bundles` as a table.
fn seen(view: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = Vec::new();
    if let Some(off) = view["off"].as_str() {
        lines.push(format!("bundles are not used: {off}"));
    }
    for one in view["bundles"].as_array().into_iter().flatten() {
        let (id, status, created) = (text(&one["id"]), text(&one["status"]), text(&one["created"]));
        let line = format!("{id:<24} {status:<10} {created:<20}  {}", text(&one["reason"]));
        lines.push(line.trim_end().to_owned());
    }
    if let Some(pinned) = view["pinned"].as_str() {
        lines.push(format!("pinned: {pinned} (`gearshift bundle newest` follows the newest again)"));
    }
    let shadow = &view["shadow"];
    if let Some(id) = shadow["id"].as_str() {
        let count = |name: &str| shadow["decisions"][name].as_u64().unwrap_or_default();
        let (compared, wanted, agreed) = (count("compared"), count("wanted"), count("agreed"));
        lines.push(format!("in shadow: {id}, {compared} of {wanted} decisions compared, {agreed} the same"));
    }
    if lines.is_empty() { "no bundles".to_owned() } else { lines.join("\n") }
}

fn activated(admin: &Admin, path: &str, output: Output) -> Result<String, String> {
    let answer = ask(admin, Method::POST, path)?;
    Ok(match output {
        Output::Json => answer.to_string(),
        Output::Text => format!("active: {}", answer["active"].as_str().unwrap_or("none")),
    })
}
