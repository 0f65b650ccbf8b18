//! `gearshift-train bundle`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gearshift_selector::{Bundle, LoadOptions};
use gearshift_training::{Error, bundle};

use super::Output;

/// Checks a bundle as the server does: hashes, schema, golden rows, and the time a decision takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of the bundle.
    #[arg(default_value = "models/default")]
    bundle: PathBuf,
    /// Write what this report of `gearshift-train eval` says of the recipe into its manifest, once it has been found whole.
    #[arg(long, value_name = "EVAL.JSON")]
    note: Option<PathBuf>,
    /// ONNX Runtime's shared library; ORT_DYLIB_PATH where not given.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Runs it; what came of it.
pub(crate) fn run(args: &Args) -> Result<String, Error> {
    let runtime = super::onnxruntime(args.onnxruntime.as_deref())?;
    let bundle = Bundle::load(&args.bundle, &runtime, &LoadOptions::default())
        .map_err(|error| Error::Failed(format!("{}: {error}", args.bundle.display())))?;
    let manifest = bundle.manifest();
    if let Some(report) = &args.note {
        if manifest.evaluation.get("live").is_some() {
            let problem = format!(
                "{} was trained on live rows: what is known of it is the verdict on live rows in its manifest",
                args.bundle.display()
            );
            return Err(Error::Failed(problem));
        }
        note(&args.bundle, report)?;
    }
    if args.output == Output::Json {
        let took = |(size, took): &(usize, std::time::Duration)| serde_json::json!({"candidates": size, "seconds": took.as_secs_f64()});
        let costs: Vec<_> = bundle.cost().medians.iter().map(took).collect();
        return super::json(&serde_json::json!({
            "bundle": args.bundle,
            "id": manifest.id,
            "created": manifest.created,
            "training": manifest.training,
            "candidates": bundle.cost().candidates,
            "costs": costs,
        }));
    }
    let rows: Vec<String> = manifest
        .training
        .iter()
        .map(|rows| format!("{} of {} ({})", rows.rows, rows.dataset, rows.source))
        .collect();
    Ok(format!(
        "{}: bundle {} of {} is whole and says what it said where it was made\ntrained on {}\n{:?}",
        args.bundle.display(),
        manifest.id,
        manifest.created,
        rows.join(", "),
        bundle.cost(),
    ))
}

fn note(directory: &Path, report: &Path) -> Result<(), Error> {
    let text = fs::read(report).map_err(Error::file(report))?;
    let wrong = |error: String| Error::Failed(format!("{}: {error}", report.display()));
    let report = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let summary = bundle::summary(&report).map_err(|error| wrong(error.to_string()))?;
    bundle::evaluated(directory, summary).map(|_| ())
}
