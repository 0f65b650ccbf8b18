//! What `gearshift-loadtest validate` is told.

use std::path::PathBuf;

use clap::Args;

use crate::options::Format;

/// Options of `gearshift-loadtest validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateOptions {
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// A virtual environment with vLLM for CPUs; `auto` installs one, with the model, as `make e2e` does.
    #[arg(long, value_name = "VENV|auto", default_value = "auto")]
    pub vllm: String,
    /// The model's directory: SmolLM2-135M in Hugging Face's form. Needed with a VENV.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Only measure.
    #[arg(long, conflicts_with = "compare_only")]
    pub measure_only: bool,
    /// Only compare: with what was measured last, or else with the measurement that ships with Gearshift.
    #[arg(long)]
    pub compare_only: bool,
    /// Measured rows of GPUs: `silicon_sample.csv` of the PyPI package aiconfigurator-core.
    #[arg(long, value_name = "CSV")]
    pub silicon: Option<PathBuf>,
    /// Where the report goes.
    #[arg(long, value_name = "DIR", default_value = "target/reports")]
    pub out: PathBuf,
    /// Where measurements are kept, part by part.
    #[arg(long, value_name = "DIR", default_value = "target/simulator")]
    pub kept: PathBuf,
    /// Also write the whole measurement to one file, as the one that ships with Gearshift.
    #[arg(long, value_name = "JSON")]
    pub save: Option<PathBuf>,
    /// Measure everything anew.
    #[arg(long)]
    pub fresh: bool,
}
