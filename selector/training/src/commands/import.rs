//! `gearshift-train import`.

use std::path::{Path, PathBuf};

use gearshift_perfdb::{Observation, to_parquet};
use gearshift_training::{Error, import};

/// Turns tables and benchmark results into rows of the performance database.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// AIConfigurator's table of measured serving, mended.
    Silicon(Silicon),
    /// Any CSV, JSON or JSON Lines, and results of vllm bench, GuideLLM and AIPerf.
    Files(Files),
}

#[derive(Debug, clap::Args)]
struct Silicon {
    /// `silicon_sample.csv`; tools/aiconfigurator_kernels.py fetches it.
    #[arg(default_value = ".cache/aiconfigurator/silicon_sample.csv")]
    table: PathBuf,
    /// AIConfigurator's own estimates of these rows, from tools/aiconfigurator_estimates.py.
    #[arg(long)]
    estimates: Option<PathBuf>,
    /// The file to write.
    #[arg(long, default_value = "perfdb/data/silicon.parquet")]
    into: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Files {
    /// Which field is which column; selector/training/examples/mapping.yaml explains it.
    #[arg(long)]
    mapping: PathBuf,
    /// The file to write.
    #[arg(long)]
    into: PathBuf,
    /// The tables and results.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Runs it; what came of it in one line.
pub(crate) fn run(args: &Args) -> Result<String, Error> {
    match &args.what {
        What::Silicon(Silicon { table, estimates, into }) => {
            let (rows, counts) = import::silicon::rows(table, estimates.as_deref())?;
            Ok(format!("{counts}\n{}", write(&rows, into)?))
        }
        What::Files(Files { mapping, into, files }) => {
            let mapping = import::Mapping::read(mapping)?;
            write(&import::files(&mapping, files)?, into)
        }
    }
}

fn write(rows: &[Observation], into: &Path) -> Result<String, Error> {
    let file = to_parquet(rows).map_err(|error| Error::Failed(error.to_string()))?;
    if let Some(directory) = into.parent() {
        std::fs::create_dir_all(directory).map_err(Error::file(directory))?;
    }
    std::fs::write(into, &file).map_err(Error::file(into))?;
    Ok(format!("{}: {} rows, {:.1} KB", into.display(), rows.len(), file.len() as f64 / 1e3))
}
