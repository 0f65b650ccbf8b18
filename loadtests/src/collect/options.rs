//! What `gearshift-loadtest collect` is told.

use std::path::PathBuf;

use clap::Args;

use crate::options::{Format, positive};

/// Options of `gearshift-loadtest collect`.
#[derive(Debug, Clone, Args)]
pub struct CollectOptions {
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// What to measure; paths in it start at the current directory.
    #[arg(long, value_name = "YAML", default_value = "loadtests/data/collect_cpu.yaml")]
    pub plan: PathBuf,
    /// Where measurements are kept, part by part, and the report goes. A second run measures only what is missing.
    #[arg(long, value_name = "DIR", default_value = "target/collect")]
    pub out: PathBuf,
    /// Only measure where model, profile and workload, in this order, contain this text; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// Measure again where other processes kept more cores than this busy.
    #[arg(long, value_name = "CORES", value_parser = positive)]
    pub undisturbed: Option<f64>,
    /// Niceness of engine and driver while they are measured, where the system allows it. Below -15 a machine's own kernel
    /// workers may starve behind an engine that keeps all cores busy.
    #[arg(long, value_name = "N", default_value_t = -15, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-20..=0))]
    pub niceness: i32,
    /// Measure nothing; report what is there.
    #[arg(long)]
    pub report_only: bool,
    /// Also write the rows to one Parquet file.
    #[arg(long, value_name = "PARQUET")]
    pub rows: Option<PathBuf>,
}
