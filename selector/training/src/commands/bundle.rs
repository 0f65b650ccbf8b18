//! `gearshift-train bundle`.

use std::path::PathBuf;

use gearshift_selector::{Bundle, LoadOptions};
use gearshift_training::Error;

/// Checks a bundle as the server does: hashes, schema, golden rows, and the time a decision takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of the bundle.
    #[arg(default_value = "models/default")]
    bundle: PathBuf,
    /// ONNX Runtime's shared library; ORT_DYLIB_PATH where not given.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
}

/// Runs it; what came of it.
pub(crate) fn run(args: &Args) -> Result<String, Error> {
    let runtime = super::onnxruntime(args.onnxruntime.as_deref())?;
    let bundle = Bundle::load(&args.bundle, &runtime, &LoadOptions::default())
        .map_err(|error| Error::Failed(format!("{}: {error}", args.bundle.display())))?;
    let manifest = bundle.manifest();
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
